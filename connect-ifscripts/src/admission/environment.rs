// SPDX-License-Identifier: GPL-3.0-or-later
//! The environment of scripts, except for the variables of each run.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process;

use connect_runtime::notifier::PRIVATE_VARIABLES;
use connect_runtime::paths::{self, SCRIPTS_PATH};

/// What a clean environment keeps: the user, the language and the time zone.
const KEPT: [&str; 7] = ["HOME", "LANG", "LANGUAGE", "LOGNAME", "SHELL", "TZ", "USER"];

/// What else it keeps: locale categories, and the variables of TrIPE.
const KEPT_PREFIXES: [&str; 2] = ["LC_", "TRIPE"];

/// Which variables scripts get in addition to those of their run.
#[derive(Clone, Debug)]
pub(super) enum Environment {
    /// Our own, with the first list added where we have no such variable, and without the second.
    Inherited(Vec<(OsString, OsString)>, Vec<&'static str>),
    /// Only these.
    Clean(Vec<(OsString, OsString)>),
}

impl Environment {
    /// A clean environment, or our own.
    pub(super) fn new(clean: bool) -> Self {
        let directory = paths::directory(None);
        let socket = paths::admin_socket(None, &directory);
        let tripe = [
            ("TRIPEDIR", directory.into_os_string()),
            ("TRIPESOCK", socket.into_os_string()),
        ];
        let missing = tripe
            .into_iter()
            .filter(|(name, _)| env::var_os(name).is_none_or(|value| value.is_empty()))
            .map(|(name, value)| (name.into(), value));
        if clean {
            let kept = env::vars_os().filter(|(name, _)| is_kept(name));
            let path = [("PATH".into(), SCRIPTS_PATH.into())];
            Environment::Clean(kept.chain(missing).chain(path).collect())
        } else {
            // Scripts must not send messages to our service manager.
            let private = PRIVATE_VARIABLES.into_iter();
            let private = private.filter(|name| env::var_os(name).is_some());
            Environment::Inherited(missing.collect(), private.collect())
        }
    }

    /// Gives it to a command.
    pub(super) fn apply(&self, command: &mut process::Command) {
        match self {
            Environment::Inherited(missing, private) => {
                command.envs(missing.iter().map(|(name, value)| (name, value)));
                for variable in private {
                    command.env_remove(variable);
                }
            }
            Environment::Clean(all) => {
                command.env_clear();
                command.envs(all.iter().map(|(name, value)| (name, value)));
            }
        }
    }

    /// Its `PATH`.
    pub(super) fn path(&self) -> OsString {
        match self {
            Environment::Inherited(..) => env::var_os("PATH").unwrap_or_default(),
            Environment::Clean(_) => SCRIPTS_PATH.into(),
        }
    }
}

fn is_kept(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_environment_keeps_what_the_manual_says() {
        for name in ["HOME", "LANG", "LC_TIME", "TZ", "TRIPESOCK", "TRIPE_SLIPIF"] {
            assert!(is_kept(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "LD_PRELOAD", "IFS", "ENV", "NOTIFY_SOCKET", "HOMER"] {
            assert!(!is_kept(OsStr::new(name)), "{name}");
        }
        assert!(!is_kept(OsStr::new("LISTEN_FDS")));
    }
}
