// SPDX-License-Identifier: GPL-3.0-or-later
//! Ends this program together with the one that started it: a helper of `connect` must not outlive
//! it, otherwise the next `connect` would find two.

use rustix::io::Errno;
use rustix::process::{Pid, getppid, set_parent_process_death_signal};

use crate::signals::PARENT_DEATH;

/// Why a process cannot be tied to its parent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParentError {
    /// The system refused.
    #[error("cannot have the system end this process together with the process {parent}: {source}")]
    Refused {
        /// The parent's process number.
        parent: i32,
        /// What the system said.
        source: Errno,
    },
    /// The parent has ended already, or is another process.
    #[error("the process {parent} that started this one has ended")]
    Gone {
        /// The parent's process number.
        parent: i32,
    },
}

/// Asks the system to send us `SIGUSR1` when our parent dies, and checks that the parent is
/// still the process `parent`.
///
/// # Errors
/// If the system refuses, or the parent has died already.
pub fn end_with_parent(parent: i32) -> Result<(), ParentError> {
    set_parent_process_death_signal(Some(PARENT_DEATH))
        .map_err(|source| ParentError::Refused { parent, source })?;
    // We ask for the parent after the call, so a death before or after it is noticed.
    if getppid()
        .map(Pid::as_raw_nonzero)
        .is_some_and(|pid| pid.get() == parent)
    {
        Ok(())
    } else {
        Err(ParentError::Gone { parent })
    }
}
