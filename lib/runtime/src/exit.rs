// SPDX-License-Identifier: GPL-3.0-or-later
//! Exit codes, the same in every program. Each program's manual page lists those that it uses.

use std::process::ExitCode;

use crate::log_text;
use crate::streams::{self, Stream};

/// Why a program ended. The numbers from 65 to 78 are numbers of sysexits(3), with the meaning that
/// is given here, which differs from the one there for 72, 74 and 78.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// Success, or the service was asked to quit.
    Success = 0,
    /// A request failed.
    Failure = 1,
    /// The command line is wrong. The original's option parser uses 2 and not 64.
    Usage = 2,
    /// The input, such as the sources of the peer database, is faulty.
    Data = 65,
    /// A process that is needed cannot be reached.
    Unavailable = 69,
    /// With `--daemon`: the background process ended before it was ready, by a signal or with
    /// status 0.
    Software = 70,
    /// The system refused something, such as a socket or a directory.
    System = 71,
    /// The directory of the service's own sockets, or a socket, is lost; a supervisor is to make it
    /// again.
    DirectoryRemoved = 72,
    /// The tripe server was connected and did not answer in time; or, with `--daemon`, the
    /// background process was not ready in time.
    Unanswered = 74,
    /// The connection to the tripe server is lost and the service was told to end then.
    Disconnected = 75,
    /// The process at the other end speaks another protocol, as one of another version may.
    Protocol = 76,
    /// Something is not permitted.
    NoPermission = 77,
    /// The service was taken over by a later version, or is held by a version at least as late.
    Displaced = 78,
    /// What was waited for has not happened in time; the number is that of timeout(1).
    Late = 124,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error, and the exit code with which it ends the program.
#[derive(Debug)]
pub struct Fatal {
    /// The exit code.
    pub exit: Exit,
    /// What the operator reads.
    pub error: anyhow::Error,
}

impl Fatal {
    /// An error with an exit code.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Fatal {
            exit,
            error: error.into(),
        }
    }
}

/// What the operator reads: the error and its causes, each once. Errors of libraries often name
/// their cause themselves.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| {
        let text = cause.to_string();
        if said.is_empty() {
            text
        } else if said.contains(&text) {
            said
        } else {
            format!("{said}: {text}")
        }
    })
}

/// Ends a program: prints the error, if any, as one line on standard error and gives its code.
/// Before that it writes what was logged, unless nobody reads it.
#[must_use]
pub fn finish(program: &str, result: Result<Exit, Fatal>) -> ExitCode {
    match result {
        Ok(exit) => {
            streams::flush();
            exit.into()
        }
        Err(fatal) => {
            // It may quote what another process wrote.
            let text = log_text::entry(&sentence(&fatal.error));
            Stream::Err.last_line(format!("{program}: {text}"));
            fatal.exit.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    /// The page for operators has each number, and no other.
    #[test]
    fn each_code_is_on_the_page() {
        let page = include_str!("../../../docs/reference/exit-codes.md");
        let (_, rest) = page.split_once("|---|---|---|\n").unwrap();
        let rows = rest.lines().take_while(|line| line.starts_with("| "));
        let told: Vec<u8> = rows
            .map(|row| row.split('|').nth(1).unwrap().trim().parse().unwrap())
            .collect();
        let all = [
            Exit::Success,
            Exit::Failure,
            Exit::Usage,
            Exit::Data,
            Exit::Unavailable,
            Exit::Software,
            Exit::System,
            Exit::DirectoryRemoved,
            Exit::Unanswered,
            Exit::Disconnected,
            Exit::Protocol,
            Exit::NoPermission,
            Exit::Displaced,
            Exit::Late,
        ];
        // A new code does not compile until it is named here, and belongs above as well.
        let number = |exit: Exit| match exit {
            Exit::Success
            | Exit::Failure
            | Exit::Usage
            | Exit::Data
            | Exit::Unavailable
            | Exit::Software
            | Exit::System
            | Exit::DirectoryRemoved
            | Exit::Unanswered
            | Exit::Disconnected
            | Exit::Protocol
            | Exit::NoPermission
            | Exit::Displaced
            | Exit::Late => exit as u8,
        };
        assert_eq!(told, all.map(number));
    }

    #[test]
    fn a_cause_that_is_named_already_is_not_said_twice() {
        let cause = || std::io::Error::other("disk on fire");
        let error = Err::<(), _>(cause())
            .context("cannot write: disk on fire")
            .unwrap_err();
        assert_eq!(sentence(&error), "cannot write: disk on fire");
        let error = Err::<(), _>(cause()).context("cannot write").unwrap_err();
        assert_eq!(sentence(&error), "cannot write: disk on fire");
    }
}
