// SPDX-License-Identifier: GPL-3.0-or-later
//! Waits for the lock while another helper has it, and reports for which process it waits.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;
use connect_runtime::lock_holder::{Holder, LOCK};
use connect_runtime::notifier::Notifier;
use connect_runtime::signals::EndSignals;
use rustix::fs::{FlockOperation, flock};
use tokio::time::sleep;
use tracing::{info, warn};

use super::directory::Directory;
use super::lock::{Files, try_lock};
use super::locked::Locked;

/// The first pause before the lock is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest: short enough for a first helper that was killed.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long to wait before it is a reason to warn. A helper that is ending makes way within 50 ms,
/// and one that was killed does at once.
const WARN_AFTER: Duration = Duration::from_secs(3);

/// How often to warn.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Takes the lock of a directory, as soon as no other helper has it. `None` if a signal asks us to
/// end first.
///
/// # Errors
/// If the files cannot be opened or locked.
pub(crate) async fn take(
    directory: Directory,
    signals: &mut EndSignals,
    notifier: &mut Notifier,
) -> anyhow::Result<Option<Locked>> {
    let files = Files::open(&directory)?;
    if files.take(&directory)? {
        return Ok(Some(Locked::new(directory, files)));
    }
    tokio::select! {
        _ = signals.next() => Ok(None),
        locked = wait(directory, files, notifier) => locked.map(Some),
    }
}

async fn wait(
    mut directory: Directory,
    mut files: Files,
    notifier: &mut Notifier,
) -> anyhow::Result<Locked> {
    let mut waiting = Waiting::since(clock::now());
    let mut pause = FIRST_PAUSE;
    loop {
        // A third helper waits without it, and gets it when it is free.
        if let Ok(next) = &files.next {
            try_lock(&next.file, FlockOperation::NonBlockingLockExclusive)?;
        }
        notifier.feed();
        waiting.tell(&directory, &files, notifier);
        sleep(pause).await;
        if !directory.is_in_place() {
            directory = Directory::open(directory.path())?;
        }
        // Whoever holds a file that has lost its name holds nothing.
        if !directory.has(LOCK, &files.lock) || !files.has_next(&directory) {
            files = Files::open(&directory)?;
        }
        if files.take(&directory)? {
            if let Ok(next) = &files.next {
                flock(&next.file, FlockOperation::Unlock)?;
            }
            let path = directory.path().display();
            info!(%path, "the other script helper has ended; going on with its scripts");
            return Ok(Locked::new(directory, files));
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What was reported of a wait.
#[derive(Debug)]
struct Waiting {
    since: Monotonic,
    /// When it is reported next.
    tell_at: Monotonic,
    is_told: bool,
}

/// What is to be reported.
#[derive(Debug, Eq, PartialEq)]
enum News {
    /// The wait has begun.
    Begun,
    /// The wait still lasts, after this many seconds.
    Lasts(u64),
}

impl Waiting {
    fn since(now: Monotonic) -> Self {
        Waiting {
            since: now,
            tell_at: now + WARN_AFTER,
            is_told: false,
        }
    }

    /// What is to be reported at `now`: at once that the wait has begun, and later how long it
    /// lasts.
    fn news(&mut self, now: Monotonic) -> Option<News> {
        if now >= self.tell_at {
            self.tell_at = now + WARN_EVERY;
            return Some(News::Lasts(now.since(self.since).as_secs()));
        }
        let is_told = std::mem::replace(&mut self.is_told, true);
        (!is_told).then_some(News::Begun)
    }

    /// Reports in the log and to the service manager for which process the helper waits, if it is
    /// time.
    fn tell(&mut self, directory: &Directory, files: &Files, notifier: &mut Notifier) {
        let Some(news) = self.news(clock::now()) else {
            return;
        };
        let holder = Holder::read(&files.lock.file);
        notifier.status(&words(holder, &news));
        let pid = holder.map(|holder| holder.pid);
        let path = directory.path().display();
        match news {
            News::Begun => info!(
                %path,
                pid,
                "another script helper uses this directory; waiting for it to end"
            ),
            News::Lasts(seconds) if holder.is_none() => warn!(
                %path,
                seconds,
                "the script helper that had locked the directory has ended, but a child of it \
                 still has the lock: the child hangs while the system executes its program, for \
                 example from a file system that does not answer; no script is started \
                 meanwhile; correct that file system, or kill the child, a process with the \
                 command line of connect-ifscripts"
            ),
            News::Lasts(seconds) => warn!(
                %path,
                pid,
                seconds,
                "still waiting for another script helper to end, and no script is started \
                 meanwhile; if that process is stopped or hangs, kill it: its scripts go on"
            ),
        }
    }
}

/// What the service manager reads.
fn words(holder: Option<Holder>, news: &News) -> String {
    let mut text = "waiting for another script helper to end".to_owned();
    if let Some(holder) = holder {
        text = format!("{text}: {holder}");
    }
    if let News::Lasts(seconds) = news {
        text = format!("{text}, for {seconds} s so far");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_at_once_then_after_three_seconds_then_each_minute() {
        let begin = Monotonic(5_000_000_000);
        let mut waiting = Waiting::since(begin);
        let mut told = Vec::new();
        for seconds in 0..130 {
            let now = begin + Duration::from_secs(seconds);
            told.extend(waiting.news(now));
            assert_eq!(waiting.news(now), None, "{seconds}");
        }
        let expected = [
            News::Begun,
            News::Lasts(3),
            News::Lasts(63),
            News::Lasts(123),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn the_service_manager_reads_who_is_waited_for_and_for_how_long() {
        let holder = Holder {
            pid: 77,
            start_time: 5,
        };
        let text = words(Some(holder), &News::Lasts(63));
        let expected = "waiting for another script helper to end: process 77, for 63 s so far";
        assert_eq!(text, expected);
        let text = words(None, &News::Begun);
        assert_eq!(text, "waiting for another script helper to end");
    }
}
