// SPDX-License-Identifier: GPL-3.0-or-later
//! Service version numbers and their order: `[EPOCH:]UPSTREAM[-REVISION]`, compared as Debian does.

use std::cmp::Ordering;

/// Compares two version numbers. A larger one displaces a smaller one in `SVCCLAIM`
/// (tripe-admin.md, 3.11).
///
/// ```
/// use std::cmp::Ordering;
/// assert_eq!(tripe_admin::version::compare("1.5.0~rc1", "1.5.0"), Ordering::Less);
/// assert_eq!(tripe_admin::version::compare("1.10", "1.9"), Ordering::Greater);
/// ```
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    let (left_epoch, left) = left.split_once(':').unwrap_or(("0", left));
    let (right_epoch, right) = right.split_once(':').unwrap_or(("0", right));
    let (left_upstream, left_revision) = left.rsplit_once('-').unwrap_or((left, ""));
    let (right_upstream, right_revision) = right.rsplit_once('-').unwrap_or((right, ""));
    compare_part(left_epoch, right_epoch)
        .then_with(|| compare_part(left_upstream, right_upstream))
        .then_with(|| compare_part(left_revision, right_revision))
}

/// Where a character sorts outside runs of digits: `~` before the end, then letters, then the rest.
const fn rank(byte: Option<u8>) -> u16 {
    match byte {
        Some(b'~') => 0,
        // A digit ends the run, so it counts as the run's end.
        None | Some(b'0'..=b'9') => 1,
        Some(b) if b.is_ascii_alphabetic() => 2 + b as u16,
        Some(b) => 300 + b as u16,
    }
}

fn compare_part(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    loop {
        // A run of non-digits, character by character ...
        loop {
            let (l, r) = (left.first().copied(), right.first().copied());
            let order = rank(l).cmp(&rank(r));
            if order != Ordering::Equal {
                return order;
            }
            if rank(l) == 1 {
                break;
            }
            left = &left[1..];
            right = &right[1..];
        }
        // ... then a run of digits by value, of any length.
        let l = take_number(&mut left);
        let r = take_number(&mut right);
        let order = l.len().cmp(&r.len()).then_with(|| l.cmp(r));
        if order != Ordering::Equal {
            return order;
        }
        if left.is_empty() && right.is_empty() {
            return Ordering::Equal;
        }
    }
}

/// Takes a run of digits off the front and returns it without leading zeros.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    let zeros = number.iter().take_while(|b| **b == b'0').count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_are_ordered_as_debian_orders_them() {
        let ascending = [
            "1.0.0~pre1",
            "1.0.0",
            "1.0.0-1",
            "1.0.0-1.1",
            "1.0.0a",
            "1.0.0+x",
            "1.0.1",
            "1.5.3",
            "1.5.10",
            "2.0.0~rc1",
            "2.0.0",
            "2.0.0.1",
            "1:0.1",
        ];
        for (i, left) in ascending.iter().enumerate() {
            for (j, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), i.cmp(&j), "{left} and {right}");
            }
        }
        assert_eq!(compare("1.05", "1.5"), Ordering::Equal);
        assert_eq!(compare("", ""), Ordering::Equal);
        assert_eq!(compare("1.0", "1."), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn the_order_is_antisymmetric(l in "[0-9a-c.~:+-]{0,10}", r in "[0-9a-c.~:+-]{0,10}") {
            prop_assert_eq!(compare(&l, &r), compare(&r, &l).reverse());
        }
    }
}
