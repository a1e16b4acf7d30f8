// SPDX-License-Identifier: GPL-3.0-or-later
//! When whoever has started the service is told that it is ready: as soon as the service is
//! claimed, the script helper has said what it knows, and it is decided which scripts are to run.
//!
//! Before that, nothing is requested for a peer that comes, and a `quit` that follows at once would
//! leave that peer without its `ifup`: the next service takes a peer that it finds for one that is
//! set up.

use std::time::Duration;

use connect_ipc::clock::Monotonic;

/// How long that waits for the script helper, which needs milliseconds unless it hangs or waits for
/// an earlier one that hangs.
const HELPER_LIMIT: Duration = Duration::from_secs(2);

/// What is to be told, until it was told.
#[derive(Debug)]
pub(crate) struct Readiness<F> {
    tell: Option<F>,
    /// When it is told in any case; `None` until the service is claimed.
    until: Option<Monotonic>,
}

impl<F: FnOnce()> Readiness<F> {
    pub(crate) const fn new(tell: F) -> Self {
        Readiness {
            tell: Some(tell),
            until: None,
        }
    }

    /// The service is claimed.
    pub(crate) fn claimed(&mut self, now: Monotonic) {
        self.until.get_or_insert(now + HELPER_LIMIT);
    }

    /// Tells it, if it is time to: `settled` if it is decided which scripts are to run, or if the
    /// service ends already.
    pub(crate) fn turn(&mut self, settled: bool, now: Monotonic) {
        if self.until.is_some_and(|until| settled || until <= now)
            && let Some(tell) = self.tell.take()
        {
            tell();
        }
    }

    /// When [`Readiness::turn`] has something to do next.
    pub(crate) fn next_wake(&self) -> Option<Monotonic> {
        self.until.filter(|_| self.tell.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn it_is_told_once_when_the_service_is_claimed_and_the_helper_is_there_or_late() {
        let start = Monotonic::default();
        let late = start + HELPER_LIMIT;
        for (settled, told_at) in [(true, start), (false, late)] {
            let told = Cell::new(0);
            let mut readiness = Readiness::new(|| told.set(told.get() + 1));
            readiness.turn(true, start);
            assert_eq!(
                (told.get(), readiness.next_wake()),
                (0, None),
                "not claimed"
            );
            readiness.claimed(start);
            readiness.turn(settled, start);
            assert_eq!(told.get(), u32::from(told_at == start));
            assert_eq!(readiness.next_wake(), (!settled).then_some(late));
            readiness.claimed(late);
            for _ in 0..2 {
                readiness.turn(settled, late);
                assert_eq!((told.get(), readiness.next_wake()), (1, None));
            }
        }
    }
}
