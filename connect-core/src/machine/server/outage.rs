// SPDX-License-Identifier: GPL-3.0-or-later
//! Why the server could not be reached since it was last joined, so that each reason is logged
//! once, however often core connects again.

/// How many reasons are remembered. They are what the system says, which are few.
const REASONS: usize = 8;

/// The reasons, the latest one last.
#[derive(Clone, Debug, Default)]
pub(super) struct Outage(Vec<String>);

impl Outage {
    /// Notes why it cannot be reached now. Says whether this is new.
    pub(super) fn note(&mut self, reason: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|known| known != reason);
        let is_new = self.0.len() == before;
        if self.0.len() == REASONS {
            self.0.remove(0);
        }
        self.0.push(reason.to_owned());
        is_new
    }

    /// The server is joined. Says whether there was an outage.
    pub(super) fn end(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }

    /// Whether the server could not be reached, and is not joined yet.
    pub(super) const fn is_noted(&self) -> bool {
        !self.0.is_empty()
    }

    /// The latest reason.
    pub(super) fn reason(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_new_once_until_the_outage_is_over() {
        let mut outage = Outage::default();
        assert!(!outage.is_noted() && !outage.end());
        assert!(outage.note("closed"));
        assert!(outage.note("reset"));
        assert!(!outage.note("closed"));
        assert_eq!(outage.reason(), Some("closed"));
        assert!(outage.is_noted() && outage.end());
        assert!(outage.note("closed"));
        for number in 0..100 {
            assert!(outage.note(&number.to_string()));
        }
        assert_eq!(outage.0.len(), REASONS);
    }
}
