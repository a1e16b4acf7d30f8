// SPDX-License-Identifier: GPL-3.0-or-later
//! Finding the children that an earlier helper started, and their output.

use std::io;
use std::time::Duration;

use connect_ipc::scripts::Child;
use connect_runtime::pidfd::Watched;
use connect_runtime::start_time::{self, Stat};

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
/// The error of the system if it does not allow us to watch the child, or if we cannot look for
/// want of descriptors or memory.
pub(crate) fn find(child: Child) -> io::Result<Option<Adopted>> {
    let is_it = || -> io::Result<bool> {
        let stat = Stat::look_at(child.pid)?;
        let fits = stat.is_some_and(|stat| stat.start_time == child.start_time);
        Ok(fits && child.start_time != 0)
    };
    let Some(watched) = Watched::find(child.pid)? else {
        return Ok(None);
    };
    // The start time is read after the descriptor was opened: if it is the right one, so is the
    // process of the descriptor.
    if !is_it()? {
        return Ok(None);
    }
    // The pipes are the right ones, too, if the start time is still right after they were opened.
    let pipes = pipes::find(child.pid)?;
    let pipes = is_it()?.then_some(pipes);
    Ok(Some(Adopted {
        watched,
        age: start_time::age(child.start_time),
        pipes: pipes.unwrap_or_default(),
    }))
}
