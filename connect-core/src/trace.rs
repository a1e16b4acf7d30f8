// SPDX-License-Identifier: GPL-3.0-or-later
//! The protocol trace of `--debug`: every line both ways on standard output, challenges masked.

use std::collections::VecDeque;
use std::io::Write as _;

/// How many challenges are remembered to be masked. Each is used within a minute as a rule.
const REMEMBERED: usize = 256;

/// What stands for a challenge.
const MASK: &str = "<challenge>";

/// The trace, on or off.
#[derive(Debug)]
pub struct Trace {
    on: bool,
    secrets: VecDeque<String>,
}

impl Trace {
    /// A trace that is on or off for good.
    #[must_use]
    pub const fn new(on: bool) -> Self {
        Trace {
            on,
            secrets: VecDeque::new(),
        }
    }

    /// Remembers challenges that no line may show.
    pub fn hide(&mut self, secrets: Vec<String>) {
        if self.on {
            self.secrets.extend(secrets);
            let excess = self.secrets.len().saturating_sub(REMEMBERED);
            self.secrets.drain(..excess);
        }
    }

    fn masked(&self, line: &str) -> String {
        let mut words: Vec<&str> = line.split(' ').collect();
        // A greeting's challenge is given away by its place, even if it is not ours.
        let place = match words.as_slice() {
            ["NOTE", "GREET", ..] | ["GREET", _, ..] => Some(2),
            ["CHECKCHAL", ..] => Some(1),
            _ => None,
        };
        if let Some(word) = place.and_then(|place| words.get_mut(place)) {
            *word = MASK;
        }
        let mut line = words.join(" ");
        for secret in &self.secrets {
            if line.contains(secret.as_str()) {
                line = line.replace(secret.as_str(), MASK);
            }
        }
        line
    }

    fn print(&self, mark: &str, line: &str) {
        // Nobody reading the trace any more is no reason to stop working.
        let _ = writeln!(std::io::stdout(), "{mark} {}", self.masked(line));
    }

    /// A line from the server, after what it taught was hidden.
    pub fn received(&self, line: &str) {
        if self.on {
            self.print("<", line);
        }
    }

    /// Lines for the server.
    pub fn sent(&self, bytes: &[u8]) {
        if self.on {
            for line in String::from_utf8_lossy(bytes).lines() {
                self.print(">", line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_masked_wherever_they_stand() {
        let mut trace = Trace::new(true);
        trace.hide(vec!["AAAAAG9v".into()]);
        let table = [
            ("INFO AAAAAG9v", "INFO <challenge>"),
            ("SVCINFO J1 AAAAAG9v", "SVCINFO J1 <challenge>"),
            (
                "NOTE GREET BBBB INET 192.0.2.1 1",
                "NOTE GREET <challenge> INET 192.0.2.1 1",
            ),
            ("GREET hub CCCC", "GREET hub <challenge>"),
            ("CHECKCHAL CCCC", "CHECKCHAL <challenge>"),
            ("INFO hub", "INFO hub"),
        ];
        for (line, masked) in table {
            assert_eq!(trace.masked(line), masked);
        }
    }

    #[test]
    fn memory_for_challenges_is_bounded() {
        let mut trace = Trace::new(true);
        trace.hide((0..1000).map(|n| format!("secret{n}")).collect());
        assert_eq!(trace.secrets.len(), REMEMBERED);
        assert_eq!(trace.masked("secret999"), MASK);
    }
}
