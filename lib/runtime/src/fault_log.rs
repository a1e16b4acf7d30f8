// SPDX-License-Identifier: GPL-3.0-or-later
//! Logging a fault once, however often it occurs.

use std::time::Duration;

use connect_ipc::clock::Monotonic;

use crate::clock;

/// Remembers which fault was logged last, so that the same one is not logged again until it is
/// over or a different one occurs.
#[derive(Debug, Default)]
pub struct FaultLog {
    logged: Option<(String, Monotonic)>,
    again_after: Option<Duration>,
}

impl FaultLog {
    /// A log that repeats a fault that persists, at intervals of `every`.
    #[must_use]
    pub const fn repeating(every: Duration) -> Self {
        FaultLog {
            logged: None,
            again_after: Some(every),
        }
    }

    /// Whether this fault is to be logged now. It counts as logged from then on.
    #[must_use]
    pub fn is_new(&mut self, fault: &str) -> bool {
        let now = clock::now();
        let known = self.logged.as_ref().is_some_and(|(text, at)| {
            text == fault && self.again_after.is_none_or(|after| now < *at + after)
        });
        if !known {
            self.logged = Some((fault.to_owned(), now));
        }
        !known
    }

    /// The fault is over: if it occurs again, it is new. Says whether there was one.
    pub fn over(&mut self) -> bool {
        self.logged.take().is_some()
    }

    /// The fault that was logged last, unless it is over.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.logged.as_ref().map(|(text, _)| text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_new_until_it_was_logged_and_after_it_was_over() {
        let mut log = FaultLog::default();
        assert!(!log.over());
        assert!(log.is_new("a"));
        assert!(!log.is_new("a"));
        assert!(log.is_new("b"));
        assert!(log.is_new("a"));
        assert_eq!(log.last(), Some("a"));
        assert!(log.over());
        assert_eq!(log.last(), None);
        assert!(log.is_new("a"));
    }

    #[test]
    fn a_fault_that_lasts_is_repeated_where_that_is_wanted() {
        let mut log = FaultLog::repeating(Duration::ZERO);
        assert!(log.is_new("a"));
        assert!(log.is_new("a"));
        let mut log = FaultLog::repeating(Duration::from_secs(3600));
        assert!(log.is_new("a"));
        assert!(!log.is_new("a"));
    }
}
