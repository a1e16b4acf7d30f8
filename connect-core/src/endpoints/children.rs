// SPDX-License-Identifier: GPL-3.0-or-later
//! Watching the children of the script helper, which must tell core when one has ended.

use connect_ipc::RunId;
use connect_runtime::pidfd::Watched;
use tokio::sync::mpsc;

use super::arrivals::Arrival;

/// Says by [`Arrival::ChildEnded`] when the process has ended. A child that cannot be watched is
/// not reported: then only its time limit shows that the helper hangs.
pub(super) fn watch(run: RunId, pid: i32, arrivals: mpsc::Sender<Arrival>) {
    let Ok(watched) = Watched::find(pid) else {
        return;
    };
    tokio::spawn(async move {
        // If there is none, the child ended before it could be watched.
        if let Some(watched) = watched {
            watched.ended().await;
        }
        // A closed channel means that core is ending.
        let _ = arrivals.send(Arrival::ChildEnded(run)).await;
    });
}
