// SPDX-License-Identifier: GPL-3.0-or-later
//! `admin`: any command of the tripe server itself, and its broadcasts.

use std::io;

use clap::Args;
use connect_runtime::exit::Exit;
use serde::Serialize;
use tripe_admin::client::{Answer, Client, ClientError, Incoming};
use tripe_admin::token;

use crate::client::admin::{self, AdminError, ask};
use crate::client::limit::within;
use crate::common::{Common, Pace};
use crate::error::{Error, succeeded};
use crate::interrupt::until_unread;
use crate::output::report::CommandReport;
use crate::output::{Output, SCHEMA, note_words, to_stderr};

/// Give the tripe server a command of tripe-admin(5), or watch what it broadcasts
#[derive(Args, Debug)]
#[command(after_help = "\
    If there is one argument, it is the whole line, as you would type it to the server; if there \
    are several, each is one word. The lines of the answer are printed when the command has \
    ended, also for commands that take time (ADD, PING, EPING, SVCSUBMIT). Write options of this \
    program before LINE.\n\n\
    Examples:\n\
    \x20 connect-cli admin LIST\n\
    \x20 connect-cli admin PING alice\n\
    \x20 connect-cli admin 'PORT INET6'\n\
    \x20 connect-cli admin --watch")]
pub(crate) struct Admin {
    /// Print JSON: the answer once the command has ended, and one line for each broadcast.
    #[arg(long)]
    json: bool,
    /// Go on with the server's notifications and warnings as they come, until interrupted.
    #[arg(short, long)]
    watch: bool,
    /// The command and its arguments.
    #[arg(
        value_name = "LINE",
        required_unless_present = "watch",
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    line: Vec<String>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct BroadcastReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// `note` or `warn`.
    kind: &'a str,
    /// Its words.
    words: Vec<String>,
}

impl Admin {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        // With --watch an interruption is the usual end. Otherwise the signals keep their effect.
        if self.watch {
            until_unread(self.work(common)).await
        } else {
            self.work(common).await
        }
    }

    async fn work(mut self, common: &mut Common) -> Result<Exit, Error> {
        let words = words(std::mem::take(&mut self.line))?;
        let mut client = common.server().await?;
        if self.watch {
            let watch = ["WATCH", "-A+nw"].map(str::to_owned);
            ask(&mut client, &watch, common.limit(Pace::Quick)).await?;
        }
        if !words.is_empty() {
            let limit = common.limit(Pace::Slow);
            client.give(&words).map_err(AdminError::Client)?;
            let answer = within(
                limit,
                self.answer(&mut client, &mut common.out),
                AdminError::Timeout,
            )
            .await??;
            let form = Form::of(self.json, self.watch);
            print(&words, answer, form, &mut common.out)?;
            common.out.finish()?;
        }
        if self.watch {
            while let Ok(incoming) = client.next().await {
                show(incoming, self.json, &mut common.out)?;
            }
            return Err(AdminError::Ended.into());
        }
        Ok(Exit::Success)
    }

    /// Waits for the answer, and prints the broadcasts that come before it if they are wanted.
    async fn answer(
        &self,
        client: &mut Client,
        out: &mut Output,
    ) -> Result<Result<Answer, AdminError>, Error> {
        loop {
            match client.next().await.map_err(AdminError::Client)? {
                Incoming::Answer(answer) => {
                    return Ok(answer.map_err(|failure| ClientError::Failed(failure).into()));
                }
                incoming if self.watch => show(incoming, self.json, out)?,
                _ => {}
            }
        }
    }
}

/// The words of a command line, whether given one by one or as a whole.
fn words(line: Vec<String>) -> Result<Vec<String>, AdminError> {
    let given = !line.is_empty();
    let words = match line.as_slice() {
        [line] => tripe_admin::split(line),
        _ => line,
    };
    match words.as_slice() {
        // The server does not answer an empty line.
        [] if given => Err(AdminError::Empty),
        [_, option, ..] if option.eq_ignore_ascii_case("-background") => {
            Err(AdminError::Background)
        }
        _ => Ok(words),
    }
}

/// Makes the server remove a peer and prints the answer.
pub(crate) async fn kill(common: &mut Common, peer: String, json: bool) -> Result<Exit, Error> {
    let mut client = common.server().await?;
    let answer = admin::kill(&mut client, &peer, common.limit(Pace::Quick)).await;
    let words = ["KILL".to_owned(), peer];
    print(&words, answer, Form::of(json, false), &mut common.out)
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug)]
enum Form {
    Text,
    Json,
    /// One of many objects, so it must be on one line.
    JsonLine,
}

impl Form {
    fn of(json: bool, watch: bool) -> Self {
        match (json, watch) {
            (false, _) => Form::Text,
            (true, false) => Form::Json,
            (true, true) => Form::JsonLine,
        }
    }
}

/// Prints the answer to a command.
fn print(
    words: &[String],
    answer: Result<Answer, AdminError>,
    form: Form,
    out: &mut Output,
) -> Result<Exit, Error> {
    let (lines, failure) = match answer {
        Ok(lines) => (lines, None),
        Err(AdminError::Client(ClientError::Failed(failure))) => {
            (Vec::new(), Some(failure.words().to_vec()))
        }
        Err(error) => return Err(error.into()),
    };
    let report = CommandReport::new(words, &lines, failure.as_deref());
    match form {
        Form::Json => out.json(&report)?,
        Form::JsonLine => out.json_line(&report)?,
        Form::Text => {
            for line in lines {
                out.line(&token::join(line))?;
            }
        }
    }
    succeeded(failure)
}

/// Prints one broadcast.
fn show(incoming: Incoming, json: bool, out: &mut Output) -> io::Result<()> {
    let (kind, words) = match incoming {
        Incoming::Note(note) => ("note", note_words::words(note)),
        Incoming::Warn(words) => ("warn", words),
        // No command is under way.
        Incoming::Answer(_) => return Ok(()),
        Incoming::Strange { line, why } => {
            to_stderr(&format!("the server sent `{line}', {why}"));
            return Ok(());
        }
    };
    if json {
        return out.json_line(&BroadcastReport {
            schema: SCHEMA,
            kind,
            words,
        });
    }
    let kind = [kind.to_ascii_uppercase()];
    out.line_flushed(&token::join(kind.iter().chain(&words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_argument_is_a_line_and_several_are_words() {
        let split = |line: &[&str]| words(line.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(split(&["KILL 'a b'"]).unwrap(), ["KILL", "a b"]);
        assert_eq!(split(&["KILL", "a b"]).unwrap(), ["KILL", "a b"]);
        assert_eq!(split(&["LIST"]).unwrap(), ["LIST"]);
        assert!(split(&[]).unwrap().is_empty());
        assert!(matches!(split(&["  "]), Err(AdminError::Empty)));
        assert!(matches!(
            split(&["PING -background x alice"]),
            Err(AdminError::Background)
        ));
    }
}
