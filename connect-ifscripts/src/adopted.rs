// SPDX-License-Identifier: GPL-3.0-or-later
//! Finding the children that an earlier helper had started, and their output.

use std::io;
use std::time::Duration;

use connect_ipc::scripts::Child;
use connect_runtime::pidfd::Watched;
use connect_runtime::start_time;

use crate::pipes;

/// A child that was found.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) watched: Watched,
    /// How old it is.
    pub(crate) age: Duration,
    pub(crate) pipes: pipes::Found,
}

/// Finds a child and begins to watch it. `None` if it has ended.
///
/// # Errors
/// What the system says if it refuses to let the child be watched.
pub(crate) fn find(child: Child) -> io::Result<Option<Adopted>> {
    let is_it = || child.start_time != 0 && start_time::of(child.pid) == Some(child.start_time);
    let Some(watched) = Watched::find(child.pid)? else {
        return Ok(None);
    };
    // The start time is read after the descriptor was opened: if it is right now, the descriptor is
    // that of the right process, too.
    if !is_it() {
        return Ok(None);
    }
    // And so are the pipes, if it is still right when they are open.
    let pipes = Some(pipes::find(child.pid)).filter(|_| is_it());
    Ok(Some(Adopted {
        watched,
        age: start_time::age(child.start_time),
        pipes: pipes.unwrap_or_default(),
    }))
}
