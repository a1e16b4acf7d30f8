// SPDX-License-Identifier: GPL-3.0-or-later
//! What every command has at hand: the places, the time limits, the output.

use std::path::{Path, PathBuf};
use std::time::Duration;

use connect_runtime::paths::{self, RuntimeDir};

use crate::connection::{Control, ControlError};
use crate::options::Common;
use crate::output::Output;

/// How long a service that is there may take over an answer that costs it nothing.
const PROMPT: Duration = Duration::from_secs(10);

/// How long a command may take by its nature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pace {
    /// The answer is known at once.
    Prompt,
    /// The answer may wait for a name to be looked up, for a peer, or for a person.
    Patient,
}

/// What every command has at hand.
#[derive(Debug)]
pub struct Context {
    common: Common,
    /// Where the result goes.
    pub out: Output,
}

impl Context {
    /// The context of this process.
    #[must_use]
    pub fn new(common: Common) -> Self {
        Context {
            common,
            out: Output::stdout(),
        }
    }

    /// The same once more, for work that outlives a single call.
    #[must_use]
    pub fn again(&self) -> Self {
        Context::new(self.common.clone())
    }

    /// The configuration directory.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        paths::directory(self.common.directory.as_deref())
    }

    /// The tripe server's socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        paths::admin_socket(self.common.admin_socket.as_deref(), &self.directory())
    }

    /// The directory of the service's sockets.
    #[must_use]
    pub fn runtime(&self) -> RuntimeDir {
        RuntimeDir::find_service(self.common.runtime_dir.as_deref(), &self.admin_socket())
    }

    /// The service's control socket.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.common
            .control
            .as_deref()
            .map_or_else(|| self.runtime().control_socket(), Path::to_path_buf)
    }

    /// How long to wait for an answer; `None` for ever.
    #[must_use]
    pub fn limit(&self, pace: Pace) -> Option<Duration> {
        match self.common.timeout {
            Some(limit) if limit.seconds() == 0 => None,
            Some(limit) => Some(limit.duration()),
            None => (pace == Pace::Prompt).then_some(PROMPT),
        }
    }

    /// Connects to the service.
    ///
    /// # Errors
    /// [`ControlError`] if it is not there, or not for us.
    pub async fn control(&self, pace: Pace) -> Result<Control, ControlError> {
        // Whatever the command, a service that is there says hello at once.
        let hello = self.limit(Pace::Prompt);
        Control::open(&self.control_socket(), hello, self.limit(pace)).await
    }

    /// Connects to the service only to look: whoever may not command it may still be allowed that.
    ///
    /// # Errors
    /// [`ControlError`] if the service is not there, or not for us.
    pub async fn observe(&self) -> Result<Control, ControlError> {
        let denied = match self.control(Pace::Prompt).await {
            Err(denied @ ControlError::Denied { .. }) if self.common.control.is_none() => denied,
            other => return other,
        };
        let limit = self.limit(Pace::Prompt);
        match Control::open(&self.runtime().observe_socket(), limit, limit).await {
            // A service without a socket for observers is one that we may not use.
            Err(ControlError::NoService { .. } | ControlError::Denied { .. }) => Err(denied),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_given_holds_for_every_command() {
        let limits = |timeout: Option<&str>| {
            let timeout = timeout.map(|text| text.parse().unwrap());
            let context = Context::new(Common {
                timeout,
                ..Common::default()
            });
            (context.limit(Pace::Prompt), context.limit(Pace::Patient))
        };
        assert_eq!(limits(None), (Some(PROMPT), None));
        assert_eq!(limits(Some("0")), (None, None));
        let minute = Some(Duration::from_secs(60));
        assert_eq!(limits(Some("1m")), (minute, minute));
    }

    #[test]
    fn the_control_socket_is_the_one_named_or_in_the_runtime_directory() {
        let socket = |control: Option<&str>, runtime: Option<&str>| {
            Context::new(Common {
                control: control.map(PathBuf::from),
                runtime_dir: runtime.map(PathBuf::from),
                ..Common::default()
            })
            .control_socket()
        };
        assert_eq!(socket(Some("/x/c"), Some("/run/x")), Path::new("/x/c"));
        assert_eq!(
            socket(None, Some("/run/x")),
            Path::new("/run/x/control.sock")
        );
    }
}
