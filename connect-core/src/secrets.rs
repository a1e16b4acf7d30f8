// SPDX-License-Identifier: GPL-3.0-or-later
//! Challenges that no trace and no recording may show, and what stands in their place.

use std::borrow::Cow;
use std::collections::VecDeque;

/// How many challenges are remembered. Each is used within a minute as a rule.
const REMEMBERED: usize = 256;

/// What people read in place of a challenge.
const MARK: &str = "<challenge>";

/// The challenges of this run.
#[derive(Debug, Default)]
pub struct Secrets {
    known: VecDeque<(String, String)>,
    /// How many there were.
    count: u64,
}

impl Secrets {
    /// Remembers a challenge. It is replaced by a word of the same length, if that is possible, so
    /// that lines keep their lengths, and made of the same letters, so that it still looks like a
    /// challenge.
    pub fn learn(&mut self, challenge: &str) {
        if challenge.is_empty() || self.known.iter().any(|(known, _)| known == challenge) {
            return;
        }
        self.count += 1;
        let stand_in = format!(
            "challenge{:0>1$}",
            self.count,
            challenge.len().saturating_sub(9)
        );
        if self.known.len() == REMEMBERED {
            self.known.pop_front();
        }
        self.known.push_back((challenge.to_owned(), stand_in));
    }

    /// Learns the challenge that a line of the administration protocol gives away by its place,
    /// even if it is not ours.
    pub fn learn_from_line(&mut self, line: &str) {
        let mut words = line.split(' ');
        let challenge = match (words.next(), words.next(), words.next()) {
            (Some("NOTE"), Some("GREET"), Some(word)) => word,
            (Some("GREET"), Some(_), Some(word)) => word,
            (Some("CHECKCHAL"), Some(word), _) => word,
            _ => return,
        };
        self.learn(challenge);
    }

    /// The text with each challenge replaced by its stand-in, for a recording.
    #[must_use]
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.replace(text, |stand_in| stand_in)
    }

    /// The text with each challenge replaced by a mark, for people.
    #[must_use]
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.replace(text, |_| MARK)
    }

    fn replace<'a>(&self, text: &'a str, by: impl Fn(&str) -> &str) -> Cow<'a, str> {
        let mut replaced = Cow::Borrowed(text);
        for (challenge, stand_in) in &self.known {
            if replaced.contains(challenge.as_str()) {
                replaced = Cow::Owned(replaced.replace(challenge.as_str(), by(stand_in)));
            }
        }
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_replaced_wherever_they_stand_by_words_of_their_length() {
        let mut secrets = Secrets::default();
        secrets.learn("AAAAAG9vAAAA");
        for line in [
            "NOTE GREET BBBBBBBBBBBB INET 192.0.2.1 1",
            "GREET hub CCCCCCCCCCCC",
            "CHECKCHAL DDDDDDDDDDDD",
        ] {
            secrets.learn_from_line(line);
        }
        let table = [
            ("INFO AAAAAG9vAAAA", "INFO challenge001"),
            ("SVCINFO J1 AAAAAG9vAAAA", "SVCINFO J1 challenge001"),
            (
                "NOTE GREET BBBBBBBBBBBB INET 192.0.2.1 1",
                "NOTE GREET challenge002 INET 192.0.2.1 1",
            ),
            ("GREET hub CCCCCCCCCCCC", "GREET hub challenge003"),
            ("CHECKCHAL DDDDDDDDDDDD", "CHECKCHAL challenge004"),
            ("INFO hub", "INFO hub"),
        ];
        for (line, masked) in table {
            assert_eq!(secrets.mask(line), masked);
        }
        assert_eq!(
            secrets.hide("GREET hub CCCCCCCCCCCC"),
            "GREET hub <challenge>"
        );
    }

    #[test]
    fn memory_for_challenges_is_bounded() {
        let mut secrets = Secrets::default();
        for number in 0..1000 {
            secrets.learn(&format!("secret-secret{number}"));
        }
        assert_eq!(secrets.known.len(), REMEMBERED);
        assert_eq!(secrets.mask("secret-secret999"), "challenge0001000");
        secrets.learn("secret-secret999");
        assert_eq!(secrets.count, 1000);
    }
}
