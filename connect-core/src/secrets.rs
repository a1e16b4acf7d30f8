// SPDX-License-Identifier: GPL-3.0-or-later
//! Challenges that no trace and no recording may show, and the words that replace them.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use tripe_admin::challenge::{MARK, MIN_LENGTH, is_letter};

/// How many challenges are remembered: more than commands can wait for a greeting at once.
const REMEMBERED: usize = 65_536;

/// The challenges of this run.
#[derive(Debug, Default)]
pub struct Secrets {
    /// Each challenge with its stand-in.
    known: HashMap<String, String>,
    /// The oldest first.
    order: VecDeque<String>,
    /// How many there were.
    count: u64,
}

impl Secrets {
    /// Remembers a challenge. Its stand-in has the same length, if that is possible, so that lines
    /// keep their lengths, and is made of the same letters, so that it still looks like a
    /// challenge.
    pub fn learn(&mut self, challenge: &str) {
        if challenge.is_empty() || self.known.contains_key(challenge) {
            return;
        }
        self.count += 1;
        let digits = challenge.len().saturating_sub(9);
        let stand_in = format!("challenge{:0>digits$}", self.count);
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(challenge.to_owned());
        self.known.insert(challenge.to_owned(), stand_in);
    }

    /// Learns a challenge by its place in a line of the administration protocol, even if it is not
    /// ours.
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
        self.replace(text, MIN_LENGTH, |stand_in| stand_in)
    }

    /// The text with each challenge replaced by a mark, for people.
    #[must_use]
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.replace(text, 1, |_| MARK)
    }

    /// The challenge that this word of letters is, with where it begins. A recording is JSON: the
    /// letters of an escape may stand directly before a challenge, after a backslash.
    fn find(&self, text: &str, word: Range<usize>) -> Option<(usize, &str)> {
        let before = text.get(..word.start)?;
        let escapes: &[usize] = if before.ends_with('\\') {
            // None, one such as `\t`, one such as `\u0001`.
            &[0, 1, 5]
        } else {
            &[0]
        };
        escapes.iter().find_map(|letters| {
            let start = word.start + letters;
            let stand_in = self.known.get(text.get(start..word.end)?)?;
            Some((start, stand_in.as_str()))
        })
    }

    /// Replaces whole words only, so that the cost does not grow with the number of challenges.
    fn replace<'a>(&self, text: &'a str, min: usize, by: impl Fn(&str) -> &str) -> Cow<'a, str> {
        let bytes = text.as_bytes();
        let mut replaced = String::new();
        let mut copied = 0;
        // A word begins here. All letters are ASCII, so words begin and end between characters.
        let mut from = 0;
        while let Some(word) = bytes.get(from..from + min) {
            // From the end, since that skips a word that is too short without looking at all of it.
            if let Some(at) = word.iter().rposition(|byte| !is_letter(*byte)) {
                from += at + 1;
                continue;
            }
            let end = bytes
                .iter()
                .skip(from + min)
                .position(|byte| !is_letter(*byte));
            let end = end.map_or(bytes.len(), |more| from + min + more);
            if let Some((start, stand_in)) = self.find(text, from..end) {
                replaced.push_str(text.get(copied..start).unwrap_or_default());
                replaced.push_str(by(stand_in));
                copied = end;
            }
            from = end;
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        replaced.push_str(text.get(copied..).unwrap_or_default());
        Cow::Owned(replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_replaced_wherever_they_stand_by_words_of_their_length() {
        let mut secrets = Secrets::default();
        secrets.learn("AAAAAG9vAAAAAG9vAAAA");
        for line in [
            "NOTE GREET BBBBBBBBBBBBBBBBBBBB INET 192.0.2.1 1",
            "GREET hub CCCCCCCCCCCCCCCCCCCC",
            "CHECKCHAL DDDDDDDDDDDDDDDDDDDD",
        ] {
            secrets.learn_from_line(line);
        }
        let table = [
            ("INFO AAAAAG9vAAAAAG9vAAAA", "INFO challenge00000000001"),
            (
                "SVCINFO J1 AAAAAG9vAAAAAG9vAAAA",
                "SVCINFO J1 challenge00000000001",
            ),
            (
                "NOTE GREET BBBBBBBBBBBBBBBBBBBB INET 192.0.2.1 1",
                "NOTE GREET challenge00000000002 INET 192.0.2.1 1",
            ),
            (
                "GREET hub CCCCCCCCCCCCCCCCCCCC",
                "GREET hub challenge00000000003",
            ),
            (
                "CHECKCHAL DDDDDDDDDDDDDDDDDDDD",
                "CHECKCHAL challenge00000000004",
            ),
            ("INFO hub", "INFO hub"),
            (
                "\u{fc}AAAAAG9vAAAAAG9vAAAA\u{fc} AAAAAG9vAAAAAG9vAAAA",
                "\u{fc}challenge00000000001\u{fc} challenge00000000001",
            ),
        ];
        for (line, masked) in table {
            assert_eq!(secrets.mask(line), masked);
        }
        assert_eq!(
            secrets.hide("GREET hub CCCCCCCCCCCCCCCCCCCC"),
            "GREET hub <challenge>"
        );
    }

    #[test]
    fn no_escape_of_json_hides_a_challenge() {
        let mut secrets = Secrets::default();
        secrets.learn("AAAAAG9vAAAAAG9vAAAA");
        for before in ["", "\t", "\n", "\u{1}", "\\", "\"", "\u{7f}", "\\\t"] {
            let text = |word: &str| serde_json::to_string(&format!("x{before}{word}\t")).unwrap();
            let masked = if before.is_empty() {
                // It is a part of a word.
                text("AAAAAG9vAAAAAG9vAAAA")
            } else {
                text("challenge00000000001")
            };
            assert_eq!(secrets.mask(&text("AAAAAG9vAAAAAG9vAAAA")), masked);
        }
    }

    #[test]
    fn memory_for_challenges_is_bounded() {
        let mut secrets = Secrets::default();
        for number in 0..REMEMBERED + 10 {
            secrets.learn(&format!("secretsecretsecret{number}"));
        }
        assert_eq!(secrets.known.len(), REMEMBERED);
        assert_eq!(secrets.order.len(), REMEMBERED);
        let last = format!("secretsecretsecret{}", REMEMBERED + 9);
        assert_ne!(secrets.mask(&last), last);
        secrets.learn(&last);
        assert_eq!(secrets.count, REMEMBERED as u64 + 10);
    }

    #[test]
    fn a_short_word_stays_in_a_recording_and_parts_of_words_stay_everywhere() {
        let mut secrets = Secrets::default();
        secrets.learn("at");
        secrets.learn("disconnect");
        let line = r#"{"at":1,"input":{"kind":"disconnect"}}"#;
        assert_eq!(secrets.mask(line), line);
        assert_eq!(
            secrets.hide("GREET p at; attach"),
            "GREET p <challenge>; attach"
        );
    }
}
