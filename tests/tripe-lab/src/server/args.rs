// SPDX-License-Identifier: GPL-3.0-or-later
//! A command's words: options first, then arguments.

use std::borrow::Cow;

use super::command::Keyword;
use super::fail::Fail;
use tripe_admin::Interval;

/// The words after a command's name.
#[derive(Clone, Debug)]
pub(super) struct Args<'a> {
    keyword: Keyword,
    words: &'a [Cow<'a, str>],
    at: usize,
}

impl<'a> Args<'a> {
    pub(super) const fn new(keyword: Keyword, words: &'a [Cow<'a, str>]) -> Self {
        Args {
            keyword,
            words,
            at: 0,
        }
    }

    /// The failure that quotes the usage.
    pub(super) const fn bad_syntax(&self) -> Fail {
        self.keyword.bad_syntax()
    }

    /// The next option, in lower case; `None` where the arguments begin.
    pub(super) fn option(&mut self) -> Option<String> {
        let word = self.words.get(self.at)?;
        if !word.starts_with('-') {
            return None;
        }
        self.at += 1;
        (word != "--").then(|| word.to_ascii_lowercase())
    }

    /// The value of the option just taken.
    pub(super) fn value(&mut self) -> Result<&'a str, Fail> {
        let value = self.words.get(self.at).ok_or_else(|| self.bad_syntax())?;
        self.at += 1;
        Ok(value)
    }

    /// The same, as a time.
    pub(super) fn time(&mut self) -> Result<Interval, Fail> {
        let text = self.value()?;
        text.parse().map_err(|_| Fail::BadTimeSpec(text.into()))
    }

    /// Checks the number of arguments after the options.
    pub(super) fn counted(self) -> Result<Self, Fail> {
        let (min, max) = self.keyword.arguments();
        if (min..=max).contains(&self.rest().len()) {
            Ok(self)
        } else {
            Err(self.bad_syntax())
        }
    }

    /// The arguments.
    pub(super) fn rest(&self) -> &'a [Cow<'a, str>] {
        self.words.get(self.at..).unwrap_or_default()
    }

    /// Argument `index`, if there.
    pub(super) fn get(&self, index: usize) -> Option<&'a str> {
        self.rest().get(index).map(AsRef::as_ref)
    }

    /// Argument `index`; empty if not there, which the count has ruled out.
    pub(super) fn word(&self, index: usize) -> &'a str {
        self.get(index).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_end_at_the_first_argument_or_at_two_dashes() {
        let words: Vec<Cow<'_, str>> = ["-Timeout", "5", "--", "-peer"].map(Into::into).into();
        let mut args = Args::new(Keyword::Ping, &words);
        assert_eq!(args.option().as_deref(), Some("-timeout"));
        assert_eq!(args.time(), Ok(Interval::from_secs(5)));
        assert_eq!(args.option(), None);
        assert_eq!(args.counted().map(|args| args.word(0)), Ok("-peer"));
    }
}
