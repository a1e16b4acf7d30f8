// SPDX-License-Identifier: GPL-3.0-or-later
//! Watching the children of the script helper, which owes core a word when one has ended.

use connect_ipc::RunId;
use connect_runtime::pidfd::Watched;
use tokio::sync::mpsc;

use super::arrivals::Arrival;

/// Says by [`Arrival::ChildEnded`] when the process has ended. Nothing is said about one that
/// cannot be watched: then only its time limit shows that the helper stands still.
pub(super) fn watch(run: RunId, pid: i32, arrivals: mpsc::Sender<Arrival>) {
    let Ok(watched) = Watched::find(pid) else {
        return;
    };
    tokio::spawn(async move {
        // Without one, it has ended before it could be watched.
        if let Some(watched) = watched {
            watched.ended().await;
        }
        // A closed channel means that core is ending.
        let _ = arrivals.send(Arrival::ChildEnded(run)).await;
    });
}
