// SPDX-License-Identifier: GPL-3.0-or-later
//! What core keeps for people alone.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// Kept for people alone: no decision may read it.
///
/// So two machines that differ only in it decide alike, and it is not part of the machine's `Debug`
/// text, by which `tests/model` tells whether it has seen a state.
#[derive(Clone, Copy, Default)]
pub(crate) struct ForPeople<T>(pub(crate) T);

impl<T> fmt::Debug for ForPeople<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_")
    }
}

impl<T> Deref for ForPeople<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for ForPeople<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
