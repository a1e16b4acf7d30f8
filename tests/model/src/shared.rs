// SPDX-License-Identifier: GPL-3.0-or-later
//! A part of the world that is copied only when it changes, and known by a number until then: most
//! steps change one part.

use std::cell::OnceCell;
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// A number that tells values from each other by their `Debug` texts.
pub(crate) fn number(value: &impl fmt::Debug) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(format!("{value:?}").as_bytes());
    hasher.finish()
}

/// A part of the world. Its `Debug` text is its number.
#[derive(Clone, Default)]
pub(crate) struct Shared<T> {
    part: Rc<T>,
    number: OnceCell<u64>,
}

impl<T> From<T> for Shared<T> {
    fn from(part: T) -> Self {
        Shared {
            part: Rc::new(part),
            number: OnceCell::new(),
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.part
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.number.take();
        Rc::make_mut(&mut self.part)
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number.get_or_init(|| number(&*self.part));
        write!(f, "{number:x}")
    }
}
