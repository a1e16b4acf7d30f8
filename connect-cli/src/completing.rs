// SPDX-License-Identifier: GPL-3.0-or-later
//! Completion: a shell asks this program, by an environment variable, what can stand next on a
//! command line. Names of peers and users come from the service that the line is about.
//!
//! ```text
//!   shell --VARIABLE=bash connect-cli -- WORDS--> [answer] --engine of clap_complete--> candidates
//!                                                    names of peers and users <-- service
//! ```

use std::ffi::OsString;
use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use clap::{Command, FromArgMatches as _};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use connect_ipc::control::{Reply, Request};
use tokio::time::timeout;

use crate::client::connection::{Control, ControlError};
use crate::client::state::StateReader;
use crate::common::{Common, CommonOptions};
use crate::output::text;

/// The variable by which a shell asks for completions.
pub(crate) const VARIABLE: &str = "CONNECT_CLI_COMPLETE";

/// How long the service may take: somebody has pressed a key and waits.
const LIMIT: Duration = Duration::from_secs(1);

/// How many names are offered. Nobody reads more of them, and shells become slow.
const MOST: usize = 10_000;

/// Where the service is that the command line names.
static OPTIONS: OnceLock<CommonOptions> = OnceLock::new();

/// Answers a shell that asks for completions, and ends; returns if none has asked.
pub(crate) fn answer(factory: fn() -> Command) {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let words: Vec<OsString> = words.collect();
    let options_wanted = current(&words).is_some_and(|word| word.starts_with("-"));
    let matches = factory().ignore_errors(true).try_get_matches_from(words);
    let named = matches.map(|matches| CommonOptions::from_arg_matches(&matches));
    if let Ok(Ok(options)) = named {
        // Nobody has set it before.
        let _ = OPTIONS.set(options);
    }
    CompleteEnv::with_factory(|| prepared(factory(), options_wanted))
        .var(VARIABLE)
        .complete();
}

/// The word that is to be completed: the shells tell which, or it is the last.
fn current(words: &[OsString]) -> Option<String> {
    let index = std::env::var("_CLAP_COMPLETE_INDEX").ok();
    let index = index.and_then(|index| index.parse::<usize>().ok());
    let word = index.map_or_else(|| words.last(), |index| words.get(index))?;
    Some(word.to_string_lossy().into_owned())
}

/// The command line as it is completed. Second names of commands are not offered, and options only
/// where one was begun, or where nothing else can stand.
fn prepared(mut command: Command, options_wanted: bool) -> Command {
    command.build();
    with_one_name(command, options_wanted)
}

fn with_one_name(command: Command, options_wanted: bool) -> Command {
    let command = command
        .mut_args(|arg| {
            let hidden = arg.is_hide_set() || !(options_wanted || arg.is_positional());
            arg.hide(hidden)
        })
        .mut_subcommands(|command| with_one_name(command, options_wanted))
        .alias(None);
    // A command cannot be taken away, but nothing that was begun begins with this name.
    if command.is_hide_set() {
        command.name("")
    } else {
        command
    }
}

/// The peers that are there or expected.
pub(crate) fn peers() -> ArgValueCandidates {
    from_service(async |control| {
        let (mut reader, _) = StateReader::begin(control).await?;
        let mut names = Vec::new();
        while let Some(peers) = reader.next().await? {
            names.extend(peers.into_iter().filter_map(|peer| {
                let state = peer.state.as_str();
                Some(candidate(&peer.name)?.help(Some(state.into())))
            }));
        }
        Ok(names)
    })
}

/// The peers of the database that the service has loaded.
pub(crate) fn recorded() -> ArgValueCandidates {
    from_service(async |control| {
        let mut names = Vec::new();
        records(control, |peer, _| {
            names.extend(candidate(peer));
        })
        .await?;
        Ok(names)
    })
}

/// The users of that database, each with the peer that it stands for.
pub(crate) fn users() -> ArgValueCandidates {
    from_service(async |control| {
        let mut names = Vec::new();
        records(control, |peer, record| {
            if let Some((_, user)) = record.iter().find(|(key, _)| key == "user") {
                let help = text::clean(peer).into_owned();
                names.extend(candidate(user).map(|user| user.help(Some(help.into()))));
            }
        })
        .await?;
        Ok(names)
    })
}

/// A name as it is offered. A shell puts it into the line as it is, so a name is left out that
/// would be an option there, or that the shell or the terminal would take for something else: peers
/// may be named by others.
fn candidate(name: &str) -> Option<CompletionCandidate> {
    let plain = !name.starts_with('-') && name.chars().all(text::is_plain);
    plain.then(|| CompletionCandidate::new(name))
}

/// Reads the records that the service has loaded.
async fn records(
    control: &mut Control,
    mut each: impl FnMut(&str, &[(String, String)]),
) -> Result<(), ControlError> {
    let mut after = String::new();
    loop {
        control.ask(Request::Records { after })?;
        let Reply::Records(page) = control.reply().await? else {
            return Err(ControlError::Unexpected);
        };
        let last = page.records.last().map(|record| record.peer.clone());
        for record in page.records {
            each(&record.peer, record.record.as_deref().unwrap_or_default());
        }
        match last {
            Some(last) if page.more => after = last,
            _ => return Ok(()),
        }
    }
}

/// Names that the service is asked for. Without a service there are none.
fn from_service<F>(names: F) -> ArgValueCandidates
where
    F: AsyncFn(&mut Control) -> Result<Vec<CompletionCandidate>, ControlError>
        + Send
        + Sync
        + 'static,
{
    ArgValueCandidates::new(move || {
        let names = within_limit(async {
            let common = Common::new(OPTIONS.get().cloned().unwrap_or_default());
            let mut control = common.observe().await?;
            names(&mut control).await
        });
        let mut names = names.unwrap_or_default();
        names.truncate(MOST);
        names
    })
}

/// What came of asking, if it came in time.
fn within_limit<T>(asking: impl Future<Output = Result<T, ControlError>>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let asked = runtime.block_on(async { timeout(LIMIT, asking).await });
    asked.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_be_something_else_on_the_line_is_not_offered() {
        let is_offered = |name: &str| candidate(name).is_some();
        for name in ["north", "k\u{f6}ln-2", "a.b@c:1"] {
            assert!(is_offered(name), "{name}");
        }
        for name in [
            "-f",
            "--all",
            "a b",
            "$(id)",
            "a;b",
            "a\u{202e}b",
            "a\u{3164}b",
            "a\x1bb",
        ] {
            assert!(!is_offered(name), "{name}");
        }
    }
}
