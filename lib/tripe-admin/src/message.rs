// SPDX-License-Identifier: GPL-3.0-or-later
//! What one line from the server says, told by its first word (tripe-admin.md, 2).

use std::fmt;

use crate::token::{self, Words};

/// The `code tokens...` of a `FAIL` or `BGFAIL`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    words: Vec<String>,
}

impl Failure {
    /// Takes the words after `FAIL`; the first is the code.
    #[must_use]
    pub fn new<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        Failure {
            words: words.into_iter().map(Into::into).collect(),
        }
    }

    /// The machine-readable code, such as `unknown-peer`; empty if the server gave none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Code and arguments.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&token::join(&self.words))
    }
}

impl std::error::Error for Failure {}

/// One line from the server, split as far as its first words.
#[derive(Clone, Debug)]
pub enum ServerLine<'a> {
    /// `OK`: the oldest unanswered foreground command succeeded.
    Ok,
    /// `FAIL ...`: the oldest unanswered foreground command failed.
    Fail(Words<'a>),
    /// `INFO ...`: a line of the oldest unanswered foreground command's answer.
    Info(Words<'a>),
    /// `BGDETACH TAG`: the oldest unanswered command goes on as job TAG.
    BgDetach(std::borrow::Cow<'a, str>),
    /// `BGINFO TAG ...`.
    BgInfo(std::borrow::Cow<'a, str>, Words<'a>),
    /// `BGOK TAG`.
    BgOk(std::borrow::Cow<'a, str>),
    /// `BGFAIL TAG ...`.
    BgFail(std::borrow::Cow<'a, str>, Words<'a>),
    /// `WARN ...` broadcast.
    Warn(Words<'a>),
    /// `NOTE ...` broadcast.
    Note(Words<'a>),
    /// `TRACE text`: free text, not words.
    Trace(&'a str),
    /// `SVCJOB JOBID SERVICE COMMAND ARGS...`, to a service provider only.
    SvcJob {
        /// The job's opaque identifier.
        id: std::borrow::Cow<'a, str>,
        /// Which of the client's services is asked.
        service: std::borrow::Cow<'a, str>,
        /// Command and arguments.
        words: Words<'a>,
    },
    /// `SVCCANCEL JOBID`.
    SvcCancel(std::borrow::Cow<'a, str>),
    /// `SVCCLAIM SERVICE VERSION`: somebody with a later version took the service over.
    SvcClaim {
        /// The service that was lost.
        service: std::borrow::Cow<'a, str>,
        /// The version of the new provider.
        version: std::borrow::Cow<'a, str>,
    },
    /// A line whose first word is unknown, or which lacks words it needs.
    Unknown,
}

impl<'a> ServerLine<'a> {
    /// Reads one line, without its newline. Never fails: what makes no sense is
    /// [`ServerLine::Unknown`].
    #[must_use]
    pub fn parse(line: &'a str) -> Self {
        Self::try_parse(line).unwrap_or(ServerLine::Unknown)
    }

    fn try_parse(line: &'a str) -> Option<Self> {
        let mut words = Words::new(line);
        let first = words.next()?;
        Some(match first.as_ref() {
            "OK" => ServerLine::Ok,
            "FAIL" => ServerLine::Fail(words),
            "INFO" => ServerLine::Info(words),
            "BGDETACH" => ServerLine::BgDetach(words.next()?),
            "BGINFO" => ServerLine::BgInfo(words.next()?, words),
            "BGOK" => ServerLine::BgOk(words.next()?),
            "BGFAIL" => ServerLine::BgFail(words.next()?, words),
            "WARN" => ServerLine::Warn(words),
            "NOTE" => ServerLine::Note(words),
            "TRACE" => ServerLine::Trace(words.rest()),
            "SVCJOB" => ServerLine::SvcJob {
                id: words.next()?,
                service: words.next()?,
                words,
            },
            "SVCCANCEL" => ServerLine::SvcCancel(words.next()?),
            "SVCCLAIM" => ServerLine::SvcClaim {
                service: words.next()?,
                version: words.next()?,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn incomplete_and_unknown_lines_are_unknown() {
        for line in [
            "",
            "HELLO",
            "BGOK",
            "SVCJOB J1",
            "SVCCLAIM connect",
            "ok",
            "BGDETACH",
        ] {
            assert!(
                matches!(ServerLine::parse(line), ServerLine::Unknown),
                "{line}"
            );
        }
    }

    #[test]
    fn a_job_keeps_its_words() {
        let ServerLine::SvcJob { id, service, words } =
            ServerLine::parse(r#"SVCJOB J5f connect active "al ice""#)
        else {
            panic!("not a job");
        };
        assert_eq!((id.as_ref(), service.as_ref()), ("J5f", "connect"));
        assert_eq!(words.owned(), ["active", "al ice"]);
    }

    #[test]
    fn trace_text_is_raw() {
        assert!(matches!(
            ServerLine::parse("TRACE it's raw"),
            ServerLine::Trace("it's raw")
        ));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "\\PC{0,80}") {
            let _ = ServerLine::parse(&line);
        }
    }
}
