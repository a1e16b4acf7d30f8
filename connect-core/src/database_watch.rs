// SPDX-License-Identifier: GPL-3.0-or-later
//! Notices that the file of the peer database has changed, and reads it outside the main loop. If
//! it cannot be read, it is tried again until it can.
//!
//! ```text
//!   [this task] --looks at--> file
//!   [this task] --loads on a thread of its own--> Database --> core's loop
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;
use connect_runtime::deadline::Deadline;
use peerdb::{Database, FileIdentity, LoadError};
use tokio::sync::{Notify, mpsc};

use crate::machine::Loaded;

/// How often the file is looked at: so soon an operator sees that a new database is loaded. One
/// `stat` a second costs almost nothing.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The longest pause between two attempts to read a file that cannot be read. The first is
/// [`LOOK_EVERY`], and each is twice the one before.
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// What is known of the file.
#[derive(Debug)]
pub(crate) struct Seen {
    identity: Option<FileIdentity>,
    fault: Option<Fault>,
}

/// Why the file could not be read, and when that is tried again. Each kind of fault is tried again:
/// a file that looks damaged may have been written twice within one tick of the file system's
/// clock.
#[derive(Debug)]
struct Fault {
    text: String,
    pause: Duration,
    again: Monotonic,
}

impl Seen {
    /// What is known after reading a file gave `result`; `looked_at` is what the file was before.
    pub(crate) fn new(
        result: &Result<Database, LoadError>,
        looked_at: Option<FileIdentity>,
    ) -> Self {
        let fault = result.as_ref().err().map(|error| Fault {
            text: error.to_string(),
            pause: LOOK_EVERY,
            again: clock::now() + LOOK_EVERY,
        });
        // The file that was read may be newer than the one that was looked at.
        let read = result.as_ref().ok().and_then(Database::identity);
        Seen {
            identity: read.or(looked_at),
            fault,
        }
    }

    /// Whether the file is to be read again, although it is as it was.
    fn is_retried(&self) -> bool {
        let due = |fault: &Fault| clock::now() >= fault.again;
        self.fault.as_ref().is_some_and(due)
    }

    /// Takes over the result of a retry. Returns whether it is another one than before.
    fn retried(&mut self, next: Seen) -> bool {
        let pause = match (&self.fault, &next.fault) {
            (Some(before), Some(now)) if before.text == now.text => before.pause * 2,
            _ => {
                *self = next;
                return true;
            }
        };
        if let Some(fault) = &mut self.fault {
            fault.pause = pause.min(LAST_PAUSE);
            fault.again = clock::now() + fault.pause;
        }
        false
    }
}

/// Watches the file for ever. Each new state of it is loaded once. One that cannot be read is tried
/// again and again, and reported when the result changes. A request to look now makes it read the
/// file in any case, so that whoever asked learns the result.
pub(crate) async fn watch(
    path: PathBuf,
    mut seen: Seen,
    loaded: mpsc::Sender<Loaded>,
    look_now: Arc<Notify>,
    mut look: Deadline,
) {
    loop {
        look.set(Some(clock::now() + LOOK_EVERY));
        let asked = tokio::select! {
            () = look.passed() => false,
            () = look_now.notified() => true,
        };
        let current = FileIdentity::of(&path).ok();
        let retrying = current == seen.identity && !asked;
        if retrying && !seen.is_retried() {
            continue;
        }
        let file = path.clone();
        let Ok(result) = tokio::task::spawn_blocking(move || Database::load(file)).await else {
            // The runtime is ending.
            return;
        };
        let next = Seen::new(&result, current);
        if retrying {
            if !seen.retried(next) {
                continue;
            }
        } else {
            seen = next;
        }
        if loaded.send(result.into()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exhausted(error: i32) -> Result<Database, LoadError> {
        Err(LoadError::Exhausted {
            path: PathBuf::from("peers.cdb"),
            source: std::io::Error::from_raw_os_error(error),
        })
    }

    #[test]
    fn what_could_not_be_read_is_tried_again_and_reported_when_the_result_changes() {
        let mut seen = Seen::new(&exhausted(24), None);
        assert!(!seen.is_retried(), "not at once");
        let mut pauses = Vec::new();
        for _ in 0..5 {
            assert!(!seen.retried(Seen::new(&exhausted(24), None)));
            pauses.extend(seen.fault.as_ref().map(|fault| fault.pause.as_secs()));
        }
        assert_eq!(pauses, [2, 4, 8, 10, 10]);
        seen.fault.as_mut().unwrap().again = clock::now();
        assert!(seen.is_retried());
        assert!(
            seen.retried(Seen::new(&exhausted(12), None)),
            "another fault is news"
        );
        assert!(
            seen.retried(Seen::new(&Ok(Database::default()), None)),
            "so is its end"
        );
        assert!(!seen.is_retried());
    }

    #[tokio::test]
    async fn who_asks_gets_an_answer_even_if_the_file_is_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.cdb");
        let seen = Seen::new(&Database::load(&path), FileIdentity::of(&path).ok());
        let (sender, mut loaded) = mpsc::channel(1);
        let look_now = Arc::new(Notify::new());
        let look = Deadline::new().unwrap();
        tokio::spawn(watch(path, seen, sender, Arc::clone(&look_now), look));
        for _ in 0..2 {
            look_now.notify_one();
            let loaded = loaded.recv().await.unwrap();
            assert!(matches!(loaded, Loaded::Faulty { .. }));
        }
    }
}
