// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks whether the script helper that `connect` has started can begin, or waits for the lock of
//! another one.
//!
//! ```text
//!   helper's start --3 s--> another process has the lock: core is told
//!                  --`--stop-wait` and 2 s--> and the `connect` that started it has ended: KILL
//!   the helper has the lock --> nothing is looked at any more
//! ```
//!
//! When the `connect` of a helper ends, the system sends the helper `SIGUSR1`. The helper then
//! releases the lock of the journal as soon as the next helper wants it. A helper that is suspended
//! or hangs does not release it, and would keep the lock for ever. Under a service manager the
//! watchdog ends such a helper.

use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use connect_runtime::lock_holder::{Holder, is_locked};
use rustix::process::geteuid;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::restarts::Supervision;
use crate::stopping::MARGIN;

/// How often to look while another process has the lock, and when to look first.
const LOOK: Duration = Duration::from_secs(1);

/// The longest pause while no process is known to have it: the helper may have no journal.
const LONGEST: Duration = Duration::from_secs(60);

/// When to tell core. A helper that is ending releases the lock within 50 ms.
const TELL_AFTER: Duration = Duration::from_secs(3);

/// What is known of the lock, from one helper to the next.
#[derive(Debug)]
pub(crate) struct LockWatch {
    /// The directory of the journal.
    directory: PathBuf,
    /// How long a process whose `connect` has ended may keep the lock.
    patience: Duration,
    other: Option<Other>,
    /// Since when a child of a helper that has ended is known to have the lock.
    child_since: Option<Instant>,
}

/// Another process that has the lock.
#[derive(Debug)]
struct Other {
    holder: Holder,
    since: Instant,
    is_told: bool,
    is_killed: bool,
}

/// A process that has the lock, and whether its `connect` has ended.
#[derive(Clone, Copy, Debug)]
struct Found {
    holder: Holder,
    is_orphan: bool,
}

/// What was found.
#[derive(Clone, Copy, Debug)]
enum Lock {
    /// No process is known to have it.
    Free,
    /// The process that is named in it runs.
    Held(Found),
    /// The process that is named in it has ended, but a child of it still has the lock.
    LeftToChild,
}

/// What to do next.
#[derive(Debug, Eq, PartialEq)]
enum Step {
    /// Look again later.
    Look,
    /// Nothing more, since the helper has the lock.
    Rest,
    /// Tell core this.
    Tell(String),
    /// Kill this process.
    Kill(Holder),
}

impl LockWatch {
    /// A watch on this directory; `stop_wait` is how long a helper that ends waits for its scripts.
    pub(crate) const fn new(directory: PathBuf, stop_wait: Duration) -> Self {
        LockWatch {
            directory,
            patience: stop_wait.saturating_add(MARGIN),
            other: None,
            child_since: None,
        }
    }

    /// Makes sure that the helper with this process number can begin. Never ends. Cancel safe.
    pub(crate) async fn attend(&mut self, helper: Option<u32>, core: &Supervision) {
        let helper = helper.and_then(|id| i32::try_from(id).ok());
        let mut pause = LOOK;
        loop {
            sleep(pause).await;
            let directory = self.directory.clone();
            // Reading the command line of a process that hangs may block.
            let found = spawn_blocking(move || find(&directory)).await;
            let found = found.unwrap_or(Lock::Free);
            pause = match found {
                Lock::Free => (pause * 2).min(LONGEST),
                Lock::Held(_) | Lock::LeftToChild => LOOK,
            };
            match self.look_at(found, helper, Instant::now()) {
                Step::Look => {}
                Step::Rest => pending().await,
                Step::Tell(why) => core.held_up(why),
                Step::Kill(holder) => self.kill(holder),
            }
        }
    }

    fn look_at(&mut self, found: Lock, helper: Option<i32>, now: Instant) -> Step {
        let Lock::LeftToChild = found else {
            self.child_since = None;
            let found = match found {
                Lock::Held(found) => Some(found),
                Lock::Free | Lock::LeftToChild => None,
            };
            return self.step(found, helper, now);
        };
        self.other = None;
        let since = *self.child_since.get_or_insert(now);
        // Core needs to be told once for each helper.
        let waited = now.duration_since(since);
        if waited < TELL_AFTER || waited >= TELL_AFTER + LOOK {
            return Step::Look;
        }
        let directory = self.directory.display();
        Step::Tell(format!(
            "the script helper cannot begin, and no script is started: an earlier script helper \
             has ended, but a child of it still locks the journal of scripts in {directory}; the \
             child hangs while the system executes its program, for example from a file system \
             that does not answer; correct that file system, or kill the child, a process with \
             the command line of connect-ifscripts"
        ))
    }

    fn step(&mut self, found: Option<Found>, helper: Option<i32>, now: Instant) -> Step {
        let Some(Found { holder, is_orphan }) = found else {
            self.other = None;
            return Step::Look;
        };
        if helper == Some(holder.pid) {
            self.other = None;
            return Step::Rest;
        }
        let known = self.other.take().filter(|other| other.holder == holder);
        let other = self.other.insert(known.unwrap_or(Other {
            holder,
            since: now,
            is_told: false,
            is_killed: false,
        }));
        let waited = now.duration_since(other.since);
        if is_orphan && waited >= self.patience && !other.is_killed {
            other.is_killed = true;
            return Step::Kill(holder);
        }
        if waited >= TELL_AFTER && !other.is_told {
            other.is_told = true;
            let directory = self.directory.display();
            let remedy = if is_orphan {
                "its own connect has ended, so it will be killed soon; its scripts go on"
            } else {
                "if its own connect is ending, it ends within --stop-wait and 2 s; if it is \
                 stopped or hangs, kill it: its scripts go on; if another connect uses this \
                 directory, end one of the two"
            };
            return Step::Tell(format!(
                "the script helper cannot begin, and no script is started, because {holder} \
                 locks the journal of scripts in {directory}; {remedy}"
            ));
        }
        Step::Look
    }

    fn kill(&self, holder: Holder) {
        let pid = holder.pid;
        match holder.kill() {
            Ok(true) => tracing::warn!(
                pid,
                seconds = self.patience.as_secs(),
                "killed a script helper of an earlier connect, which did not release the journal \
                 of scripts in time; scripts under way go on, and the next script helper watches \
                 them"
            ),
            // It has ended by itself.
            Ok(false) => {}
            Err(error) => tracing::error!(
                pid,
                %error,
                "cannot kill a script helper that locks the journal of scripts; kill it"
            ),
        }
    }
}

/// Finds out who has the lock. Only a file of our own user counts, since the process that it names
/// may be killed.
fn find(directory: &std::path::Path) -> Lock {
    let owner = Some(geteuid().as_raw());
    match Holder::find(directory, owner) {
        Some(holder) => Lock::Held(Found {
            holder,
            is_orphan: holder.is_orphan(),
        }),
        None if is_locked(directory, owner) => Lock::LeftToChild,
        None => Lock::Free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: Holder = Holder {
        pid: 77,
        start_time: 5,
    };
    const OURS: Holder = Holder {
        pid: 99,
        start_time: 6,
    };

    fn watch() -> LockWatch {
        LockWatch::new(PathBuf::from("scripts"), Duration::from_secs(10))
    }

    /// What is done in each of these seconds, but for looking again.
    fn done(
        watch: &mut LockWatch,
        begin: Instant,
        seconds: std::ops::Range<u64>,
        is_orphan: bool,
    ) -> Vec<(u64, Step)> {
        let found = Found {
            holder: OTHER,
            is_orphan,
        };
        let at = |second| begin + Duration::from_secs(second);
        let steps = seconds.map(|second| (second, watch.step(Some(found), Some(99), at(second))));
        steps.filter(|(_, step)| *step != Step::Look).collect()
    }

    #[test]
    fn an_orphan_that_keeps_the_lock_is_told_and_then_killed_once() {
        let steps = done(&mut watch(), Instant::now(), 0..100, true);
        let [(3, Step::Tell(text)), (12, Step::Kill(holder))] = &steps[..] else {
            panic!("{steps:?}");
        };
        assert_eq!(*holder, OTHER);
        assert!(
            text.contains("process 77") && text.contains("killed soon"),
            "{text}"
        );
    }

    #[test]
    fn a_child_of_a_dead_helper_that_has_the_lock_is_told_and_nothing_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(find(dir.path()), Lock::Free));
        let file = std::fs::File::create(dir.path().join("lock")).unwrap();
        assert!(matches!(find(dir.path()), Lock::Free));
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let found = find(dir.path());
        assert!(matches!(found, Lock::LeftToChild), "{found:?}");
        let (mut watch, begin) = (watch(), Instant::now());
        let at = |second| begin + Duration::from_secs(second);
        let steps = (0..100).map(|second| (second, watch.look_at(found, Some(99), at(second))));
        let told: Vec<_> = steps.filter(|(_, step)| *step != Step::Look).collect();
        let [(3, Step::Tell(text))] = &told[..] else {
            panic!("{told:?}");
        };
        assert!(
            text.contains("hangs while the system executes its program"),
            "{text}"
        );
    }

    #[test]
    fn one_that_somebody_has_charge_of_is_told_and_left_alone() {
        let steps = done(&mut watch(), Instant::now(), 0..1000, false);
        let [(3, Step::Tell(text))] = &steps[..] else {
            panic!("{steps:?}");
        };
        assert!(
            text.contains("process 77") && text.contains("kill it"),
            "{text}"
        );
    }

    #[test]
    fn the_time_goes_on_over_a_restart_of_our_helper_and_not_for_another_holder() {
        let begin = Instant::now();
        let mut watch = watch();
        assert_eq!(done(&mut watch, begin, 0..12, true).len(), 1);
        // It is another process number now.
        let found = |holder| {
            let is_orphan = true;
            Some(Found { holder, is_orphan })
        };
        let at = begin + Duration::from_secs(12);
        assert_eq!(watch.step(found(OTHER), Some(100), at), Step::Kill(OTHER));
        assert_eq!(watch.step(found(OURS), Some(100), at), Step::Look);
        assert_eq!(watch.step(None, Some(100), at), Step::Look);
        assert_eq!(watch.step(found(OURS), Some(99), at), Step::Rest);
    }
}
