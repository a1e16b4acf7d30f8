// SPDX-License-Identifier: GPL-3.0-or-later
//! What to order for a peer in a lane: one rule for a peer that is added or removed, for a server
//! that is joined again, and for a new core that asks what earlier ones have ordered.

/// What was made for the peer until now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::machine) enum Past {
    /// Nothing: the server did not have the peer.
    Nothing,
    /// The server had the peer before the service, which has made nothing for it. It counts as set
    /// up by somebody else.
    Found,
    /// It was due, but not ordered yet.
    Due,
    /// Its making was ordered.
    Made,
    /// Its making was ordered, but the script was never started.
    NeverStarted,
    /// Its undoing was ordered.
    Undone,
}

/// How the server has the peer now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::machine) enum Now {
    /// Not at all.
    Absent,
    /// As it was.
    Same,
    /// As a peer that was added since: with another interface or address, or after a restart of the
    /// server, or its removal or addition was seen.
    Another,
}

/// What to order: first the undoing of the old setup, then the making of a new one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Decision {
    pub(super) undo: bool,
    pub(super) make: bool,
}

/// Decides.
pub(super) const fn decide(past: Past, now: Now) -> Decision {
    let is_set_up = matches!(past, Past::Found | Past::Made);
    let stands = matches!(past, Past::Found | Past::Made | Past::NeverStarted);
    Decision {
        undo: is_set_up && !matches!(now, Now::Same),
        make: match now {
            Now::Absent => false,
            Now::Same => !stands,
            Now::Another => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_past_meets_every_present() {
        let none = (false, false);
        let (make, undo, both) = ((false, true), (true, false), (true, true));
        for (past, absent, same, another) in [
            (Past::Nothing, none, make, make),
            (Past::Found, undo, none, both),
            (Past::Due, none, make, make),
            (Past::Made, undo, none, both),
            (Past::NeverStarted, none, none, make),
            (Past::Undone, none, make, make),
        ] {
            for (now, expected) in [
                (Now::Absent, absent),
                (Now::Same, same),
                (Now::Another, another),
            ] {
                let found = decide(past, now);
                assert_eq!((found.undo, found.make), expected, "{past:?} {now:?}");
            }
        }
    }

    #[test]
    fn what_was_ordered_is_not_ordered_again() {
        // A core that ends right after its orders leaves this to the next, which finds the peer as
        // it was.
        for past in [Past::Made, Past::NeverStarted] {
            let found = decide(past, Now::Same);
            assert!(!found.undo && !found.make, "{past:?}");
        }
        for past in [Past::Undone, Past::Nothing] {
            let found = decide(past, Now::Absent);
            assert!(!found.undo && !found.make, "{past:?}");
        }
    }
}
