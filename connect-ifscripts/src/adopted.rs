// SPDX-License-Identifier: GPL-3.0-or-later
//! Finding the children that an earlier helper started, and their output.

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
    /// Its age.
    pub(crate) age: Duration,
    pub(crate) pipes: pipes::Found,
}

/// Finds a child and begins to watch it. `None` if it has ended.
///
/// # Errors
/// The error of the system if it does not allow us to watch the child.
pub(crate) fn find(child: Child) -> io::Result<Option<Adopted>> {
    let is_it = || child.start_time != 0 && start_time::of(child.pid) == Some(child.start_time);
    let Some(watched) = Watched::find(child.pid)? else {
        return Ok(None);
    };
    // The start time is read after the descriptor was opened: if it is the right one, so is the
    // process of the descriptor.
    if !is_it() {
        return Ok(None);
    }
    // The pipes are the right ones, too, if the start time is still right after they were opened.
    let pipes = Some(pipes::find(child.pid)).filter(|_| is_it());
    Ok(Some(Adopted {
        watched,
        age: start_time::age(child.start_time),
        pipes: pipes.unwrap_or_default(),
    }))
}
