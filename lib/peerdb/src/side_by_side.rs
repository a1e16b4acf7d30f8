// SPDX-License-Identifier: GPL-3.0-or-later
//! Going through two sorted lists at the same time.

use std::cmp::Ordering;

/// Goes through two lists that are sorted by `compare`: what is in both comes as a pair.
pub(crate) fn side_by_side<T>(
    left: impl IntoIterator<Item = T>,
    right: impl IntoIterator<Item = T>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> impl Iterator<Item = (Option<T>, Option<T>)> {
    let mut left = left.into_iter().peekable();
    let mut right = right.into_iter().peekable();
    std::iter::from_fn(move || {
        let order = match (left.peek(), right.peek()) {
            (Some(left), Some(right)) => compare(left, right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        Some(match order {
            Ordering::Less => (left.next(), None),
            Ordering::Equal => (left.next(), right.next()),
            Ordering::Greater => (None, right.next()),
        })
    })
}
