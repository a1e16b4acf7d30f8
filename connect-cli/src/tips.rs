// SPDX-License-Identifier: GPL-3.0-or-later
//! Errors of the command line. If somebody types a word of another tool, the error has a tip. If a
//! command has several names, the error shows the name that was typed.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

/// What to do instead of a command that there is none of.
fn tips(word: &str) -> &'static [&'static str] {
    match word {
        "start" => &[
            "'systemctl start tripe-connect.target' starts the service",
            "'connect-cli up PEER' adds a peer",
        ],
        "stop" => &[
            "'connect-cli quit' ends the service",
            "'systemctl stop tripe-connect.target' ends it with its helpers",
            "'connect-cli down PEER' removes a peer",
        ],
        "restart" => &[
            "'systemctl restart tripe-connect.target' starts the service again",
            "'connect-cli kick PEER' connects a peer again",
        ],
        "add" | "connect" => &["'connect-cli up PEER' adds a peer"],
        "remove" | "rm" | "delete" | "del" | "disconnect" => {
            &["'connect-cli down PEER' removes a peer; its record stays"]
        }
        "reconnect" => &["'connect-cli kick PEER' connects a peer again"],
        "peers" | "peer" => &[
            "'connect-cli status' lists the peers",
            "'connect-cli info PEER' shows everything about one",
        ],
        "config" | "conf" | "get" | "record" => &[
            "'connect-cli info PEER' shows the record in use",
            "'connect-cli db dump' shows the whole database",
        ],
        "logs" => &["'connect-cli events' shows what happens"],
        _ => &[],
    }
}

/// The error with what is to be said beside it. `words` are those after the program's name.
pub(crate) fn advised(mut error: Error, cli: &Command, words: &[String]) -> Error {
    let named = words.iter().find_map(|word| {
        let command = cli.find_subcommand(word)?;
        Some((word.as_str(), command.get_name()))
    });
    match (error.kind(), named) {
        (ErrorKind::InvalidSubcommand, None) => {
            let word = text(&error, ContextKind::InvalidSubcommand);
            let tips = tips(&word.unwrap_or_default());
            if !tips.is_empty() {
                // Words that only look alike are no help then.
                error.remove(ContextKind::SuggestedSubcommand);
                suggest(
                    &mut error,
                    tips.iter().copied().map(StyledStr::from).collect(),
                );
            }
        }
        (ErrorKind::UnknownArgument, Some((_, "events"))) => {
            let peer = text(&error, ContextKind::InvalidArg).filter(|arg| !arg.starts_with('-'));
            if let Some(peer) = peer {
                let tip = format!("for the events of one peer use '--peer {peer}'");
                suggest(&mut error, vec![tip.into()]);
            }
        }
        _ => {}
    }
    if let Some((typed, name)) = named.filter(|(typed, name)| typed != name)
        && let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage)
    {
        let (ours, theirs) = (
            format!("connect-cli {name}"),
            format!("connect-cli {typed}"),
        );
        let usage = usage.ansi().to_string().replacen(&ours, &theirs, 1);
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage.into()));
    }
    error
}

/// A word of the command line that the error is about.
fn text(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// Adds tips in place of those that there are.
fn suggest(error: &mut Error, tips: Vec<StyledStr>) {
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    /// What is said of a wrong command line.
    fn said(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let all = std::iter::once("connect-cli").chain(line.split(' '));
        let error = Cli::command().try_get_matches_from(all).unwrap_err();
        advised(error, &Cli::command(), &words).to_string()
    }

    #[test]
    fn words_of_other_tools_lead_to_the_right_command() {
        for (line, wanted) in [
            ("stop", "connect-cli quit"),
            ("restart", "systemctl restart"),
            ("add hub", "connect-cli up PEER"),
            ("delete hub", "connect-cli down PEER"),
            ("remove hub", "connect-cli down PEER"),
            ("disconnect hub", "connect-cli down PEER"),
            ("reconnect hub", "connect-cli kick PEER"),
            ("peers", "connect-cli status"),
            ("config get hub", "connect-cli info PEER"),
            ("log hub", "--peer hub"),
        ] {
            let said = said(line);
            assert!(said.contains("  tip: ") && said.contains(wanted), "{said}");
            assert!(said.lines().all(|line| line.len() <= 80), "{said}");
        }
        // Misspelt words have the tips of clap.
        assert!(said("statsu").contains("'status'"));
        assert!(!said("events --jsno").contains("--peer"));
    }

    #[test]
    fn the_usage_has_the_word_that_was_typed() {
        assert!(
            said("up").contains("connect-cli up <PEER>"),
            "{}",
            said("up")
        );
        assert!(said("active").contains("connect-cli active <PEER>"));
    }

    #[test]
    fn no_tip_is_for_a_command_that_there_is() {
        for command in Cli::command().get_subcommands() {
            for name in std::iter::once(command.get_name()).chain(command.get_all_aliases()) {
                assert!(tips(name).is_empty(), "{name}");
            }
        }
    }
}
