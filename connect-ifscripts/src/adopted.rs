// SPDX-License-Identifier: GPL-3.0-or-later
//! Children that an earlier helper had started: finding them, and the task that watches one.
//!
//! ```text
//!   service --Action--> [watch] <--- exit of the process
//!           <--Input::Gone--
//! ```
//!
//! Their pipes were closed with that helper, and their status goes to another process: all that can
//! be known is when they end.

use std::io;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::scripts::Child;
use connect_runtime::pidfd::Watched;
use connect_runtime::start_time;
use rustix::process::Signal;
use tokio::sync::mpsc;

use crate::child::Actions;
use crate::machine::{Action, Input};

/// Finds a child and begins to watch it; also returns how old it is. `None` if it has ended.
///
/// # Errors
/// What the system says if it refuses to let the child be watched.
pub(crate) fn find(child: Child) -> io::Result<Option<(Watched, Duration)>> {
    let Some(watched) = Watched::find(child.pid)? else {
        return Ok(None);
    };
    // The start time is read after the descriptor was opened: if it is right now, the descriptor is
    // that of the right process, too.
    if child.start_time == 0 || start_time::of(child.pid) != Some(child.start_time) {
        return Ok(None);
    }
    Ok(Some((watched, start_time::age(child.start_time))))
}

/// Watches a child until it ends.
pub(crate) async fn watch(
    run: RunId,
    watched: Watched,
    mut actions: Actions,
    inputs: mpsc::Sender<Input>,
) {
    loop {
        tokio::select! {
            biased;
            () = watched.ended() => break,
            action = actions.next() => match action {
                // The process existed a moment ago, and the system does not use a number again
                // before it has used all others.
                Action::Terminate => watched.signal_group(Signal::TERM),
                Action::Kill => watched.signal_group(Signal::KILL),
                Action::CloseOutput => {}
            },
        }
    }
    // The service ends only with the whole process.
    let _ = inputs.send(Input::Gone { run }).await;
}
