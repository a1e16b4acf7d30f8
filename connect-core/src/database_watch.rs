// SPDX-License-Identifier: GPL-3.0-or-later
//! Notices that the peer database's file has changed, and reads it off the main loop.
//!
//! ```text
//!   [this task] --looks at--> file
//!   [this task] --loads on a thread of its own--> Database --> core's loop
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use connect_runtime::clock;
use connect_runtime::deadline::Deadline;
use peerdb::{Database, FileIdentity};
use tokio::sync::{Notify, mpsc};

use crate::machine::Loaded;

/// How often the file is looked at: an operator who installs a database sees it loaded within
/// the time it takes to look. One `stat` a second costs nothing worth counting.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches the file for ever; each new state of it is loaded once, be it good or bad. Who asks to
/// look now has the file read in any case, and so learns what is wrong with it, or that all is
/// well.
pub(crate) async fn watch(
    path: PathBuf,
    mut seen: Option<FileIdentity>,
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
        if current == seen && !asked {
            continue;
        }
        seen = current;
        let file = path.clone();
        let Ok(result) = tokio::task::spawn_blocking(move || Database::load(file)).await else {
            // The runtime is ending.
            return;
        };
        if let Ok(database) = &result {
            // What was read may be newer than what was looked at.
            seen = database.identity();
        }
        if loaded.send(result.into()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_gets_an_answer_even_if_the_file_is_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.cdb");
        let seen = FileIdentity::of(&path).ok();
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
