// SPDX-License-Identifier: GPL-3.0-or-later
//! P11: each line of the service fits and can be understood: at most 255 bytes, without NUL and CR,
//! and the server never says that it makes no sense.

use super::records::is_malformed;
use super::tap::{End, Fact};
use super::{Moment, Rule, Verdict};
use crate::promise::Promise;
use crate::seen::Seen;

/// The longest line that the server takes (tripe-admin.md, 1.2).
const LONGEST: usize = 255;

/// How the lines are.
#[derive(Debug, Default)]
pub(super) struct Lines;

impl Rule for Lines {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        let broken = |text| Err((Promise::Lines, text));
        if let Seen::Wrote(client, line) = now.seen
            && now.tap.is_of_service(*client)
        {
            if line.len() > LONGEST {
                return broken(format!("a line is {} bytes long: {line}", line.len()));
            }
            if line.bytes().any(|byte| byte == 0 || byte == b'\r') {
                return broken(format!("a line has NUL or CR: {line:?}"));
            }
        }
        if let Some(Fact::Ended(command, End::Failed(words))) = now.fact
            && words.first().is_some_and(|code| is_malformed(code))
        {
            // Whether `KILL` and `FORCEKX` take options, and so `--`, is an open question of
            // tripe-admin(5): a name that begins with `-` is tried both ways.
            let is_tried = command.word(0).starts_with('-');
            if !is_tried && !now.records.refused.contains(&command.verb) {
                let (verb, words) = (&command.verb, command.words.join(" "));
                return broken(format!("the server does not understand `{verb} {words}'"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Sight;
    use super::*;

    #[test]
    fn lines_that_fit_keep_it() {
        let mut sight = Sight::new::<Lines>(&[]);
        let longest = format!("> WARN connect {}", "x".repeat(LONGEST - 13));
        let broken = sight.lines(&[
            &longest,
            "< OK",
            "> KILL -- -p",
            "< FAIL bad-syntax kill PEER",
        ]);
        assert_eq!(broken, None);
    }

    #[test]
    fn a_line_that_is_too_long_or_makes_no_sense_breaks_it() {
        let mut sight = Sight::new::<Lines>(&[]);
        let long = format!("> WARN connect {}", "x".repeat(LONGEST - 12));
        assert_eq!(sight.lines(&[&long]), Some(Promise::Lines));
        assert_eq!(sight.lines(&["> WARN a\rb"]), Some(Promise::Lines));
        let mut sight = Sight::new::<Lines>(&[]);
        let broken = sight.lines(&["> KILL p q", "< FAIL bad-syntax kill PEER"]);
        assert_eq!(broken, Some(Promise::Lines));
    }
}
