// SPDX-License-Identifier: GPL-3.0-or-later
//! The end of `connect`, once the service is released: the script helper waits for its scripts, and
//! `connect` waits for the helper.
//!
//! ```text
//!   USR1 --> helper lets its scripts run to their end, at most --stop-wait --> it ends
//!   a second signal ---------------------> TERM, INT: it ends at once
//!   --stop-wait and a margin have passed --> KILL
//! ```
//!
//! Meanwhile the service and its sockets are free: the next `connect` may be running already.
//! Scripts are never ended here: those that remain go on, and the next script helper watches them.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use connect_runtime::signals::PARENT_DEATH;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::timeout;

use crate::signals::Signals;

/// How long the script helper may take in addition to the time that it waits for scripts. It needs
/// milliseconds; this allows for a loaded host.
///
/// Then it is killed, since it is stopped or hangs. Everything that it knows is in its journal, and
/// its scripts go on. If it stayed, it would keep the lock on the journal, and the next script
/// helper would wait for ever.
pub(crate) const MARGIN: Duration = Duration::from_secs(2);

/// A script helper that was asked to end.
#[derive(Debug)]
pub(crate) struct LastHelper {
    child: Child,
    /// How long it waits for its scripts.
    stop_wait: Duration,
    /// [`MARGIN`], but in tests.
    margin: Duration,
    /// How many scripts were under way or waiting, as far as core knows.
    scripts: u64,
}

/// How the helper has ended.
#[derive(Debug)]
enum Outcome {
    /// By itself.
    Ended(io::Result<ExitStatus>),
    /// It had to be killed.
    Killed,
}

impl LastHelper {
    /// Tells the helper to end. To be called while it is connected to core, so that it knows why it
    /// then loses that connection.
    ///
    /// The signal is not one that an operator sends: who ends all processes of the service at once
    /// sends the helper a `SIGTERM` of its own, and together they would count as two.
    pub(crate) fn ask(child: Child, stop_wait: Duration, scripts: u64) -> Self {
        let helper = LastHelper {
            child,
            stop_wait,
            margin: MARGIN,
            scripts,
        };
        helper.signal(PARENT_DEATH);
        helper
    }

    /// Waits until the helper has ended; not for its scripts, if a second signal has come already
    /// or comes meanwhile.
    pub(crate) async fn ended(mut self, signals: &mut Signals) {
        let scripts = self.scripts;
        if scripts > 0 {
            tracing::info!(
                scripts,
                seconds = self.stop_wait.as_secs(),
                "the service has ended; waiting for its scripts to end, for at most so many \
                 seconds; another signal ends the wait, and the scripts go on"
            );
        }
        match self.outcome(signals).await {
            Outcome::Ended(Ok(status)) => {
                if scripts > 0 {
                    tracing::info!(%status, "the script helper has ended");
                }
            }
            Outcome::Ended(Err(error)) => {
                tracing::warn!(%error, "cannot wait for the script helper");
            }
            Outcome::Killed => tracing::warn!(
                scripts,
                "killed the script helper, which did not end in time; scripts under way go on, and \
                 the next script helper watches them; without --keep-state, those of which it did \
                 not know yet are lost"
            ),
        }
    }

    async fn outcome(&mut self, signals: &mut Signals) -> Outcome {
        let ended = tokio::select! {
            ended = timeout(self.stop_wait + self.margin, self.child.wait()) => ended,
            () = signals.hurry() => {
                // Two signals of an operator, of different kinds: the system delivers two of one
                // kind as one if the first is still pending.
                self.signal(Signal::TERM);
                self.signal(Signal::INT);
                timeout(self.margin, self.child.wait()).await
            }
        };
        if let Ok(ended) = ended {
            return Outcome::Ended(ended);
        }
        // It may end by itself at this very moment.
        let _ = self.child.start_kill();
        // A process that hangs in the kernel does not end even then.
        let _ = timeout(self.margin, self.child.wait()).await;
        Outcome::Killed
    }

    fn signal(&self, signal: Signal) {
        // `None` if it has ended: then the number may belong to another process.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::Request;
    use std::process::Stdio;
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    use tokio::process::Command;

    /// A child that does this at USR1, and ends with 3 at the second of TERM and INT.
    async fn child(asked: &str) -> Child {
        let end = "one=; trap '[ \"$one\" ] && exit 3; one=1' TERM INT";
        let script = format!("trap '{asked}' USR1; {end}; echo; while :; do :; done");
        // Who starts tests in the background may have INT ignored, and a shell cannot trap that.
        let mut child = Command::new("env")
            .args(["--default-signal=INT", "/bin/sh", "-c", &script])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // It has set its traps when it writes.
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).lines().next_line().await.unwrap();
        child
    }

    /// How a child has ended that does this when it is asked to end, while these requests come.
    async fn end(asked: &str, requests: &[Request]) -> Option<i32> {
        let hour = Duration::from_secs(3600);
        let mut helper = LastHelper::ask(child(asked).await, hour, 1);
        // However long a loaded machine takes.
        helper.margin = hour;
        match helper.outcome(&mut Signals::of(requests)).await {
            Outcome::Ended(status) => status.unwrap().code(),
            Outcome::Killed => None,
        }
    }

    #[tokio::test]
    async fn a_helper_is_waited_for_until_it_has_ended_or_another_signal_has_come() {
        assert_eq!(end("exit 0", &[]).await, Some(0));
        assert_eq!(end("exit 0", &[Request::Reload]).await, Some(0));
        assert_eq!(end(":", &[Request::Leave]).await, Some(3));
        assert_eq!(end(":", &[Request::Hurry]).await, Some(3));
    }

    #[tokio::test]
    async fn a_helper_that_does_not_run_is_killed_in_the_end() {
        let mut helper = LastHelper::ask(child(":").await, Duration::ZERO, 1);
        helper.margin = Duration::ZERO;
        let outcome = helper.outcome(&mut Signals::of(&[])).await;
        assert!(matches!(outcome, Outcome::Killed), "{outcome:?}");
    }
}
