// SPDX-License-Identifier: GPL-3.0-or-later
//! The command line: every command with its options, and which code runs it.

use clap::{ArgMatches, CommandFactory as _, Parser, Subcommand};
use connect_runtime::exit::Exit;

use crate::client::connection::ControlError;
use crate::commands::{
    admin, check, completions, db, doctor, events, info, metrics, ping, reload, remote, script,
    shortcuts, status, submit, top, words,
};
use crate::common::{Common, CommonOptions};
use crate::error::Error;
use crate::output::to_stderr;

/// The exit codes, as every help text lists them.
const EXIT_CODES: &str = "\
    Exit codes:\n\
    \x20  0 success\n\
    \x20  1  the request failed, or a check found faults\n\
    \x20  2  the command line is wrong\n\
    \x20 65  the input, such as a peer database or its sources, is faulty\n\
    \x20 69  the service or the server does not run, or does not answer\n\
    \x20 71  the system refused something, such as a file\n\
    \x20 76  the program at the other end is of another version\n\
    \x20 77  permission is denied\n\
    \x20 124  what was waited for has not happened in time\n\n\
    connect-cli ifup and ifdown end with the status of the script, check with 0 to 3\n\
    as monitoring plugins do, and all commands with -H with the other host's code;\n\
    of several hosts, 0 if all succeeded, else the code that all that failed share,\n\
    or 1 if they differ.\n\n\
    Examples:\n\
    \x20 connect-cli status\n\
    \x20 connect-cli info alice --json\n\
    \x20 connect-cli kick alice\n\
    \x20 connect-cli -H gateway1,gateway2 status";

/// Show and command the connect service, and manage its peer database
#[derive(Debug, Parser)]
#[command(
    name = "connect-cli",
    version,
    after_help = EXIT_CODES,
    infer_long_args = true,
    args_override_self = true,
    max_term_width = 80
)]
pub(crate) struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// What to do; without it, the state is shown.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The command line as it was given.
#[derive(Debug)]
pub(crate) struct CommandLine {
    /// What it was understood as.
    pub(crate) matches: ArgMatches,
    /// The words after the program's name.
    pub(crate) words: Vec<String>,
}

/// Whether a command line, which may be wrong, is one of `check`, whose exit codes are its own.
pub(crate) fn is_check() -> bool {
    let matches = Cli::command().ignore_errors(true).try_get_matches();
    matches.is_ok_and(|matches| matches.subcommand_name() == Some("check"))
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(alias = "list")]
    Status(status::Status),
    Info(info::Info),
    Top(top::Top),
    #[command(alias = "log")]
    Events(events::Events),
    Ping(ping::Ping),
    Check(check::Check),
    #[command(flatten)]
    Shortcut(shortcuts::Shortcut),
    Reload(reload::Reload),
    Ifup(script::Ifup),
    Ifdown(script::Ifdown),
    Submit(submit::Submit),
    Admin(admin::Admin),
    Metrics(metrics::Metrics),
    Db(db::Db),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    #[command(hide = true)]
    Show(words::Show),
    #[command(hide = true)]
    Version(words::Version),
}

impl Cli {
    /// Runs what was asked for. Without a command that is `status`. With `-H` other hosts do it.
    pub(crate) async fn run(self, line: &CommandLine, common: &mut Common) -> Result<Exit, Error> {
        if !self.common.hosts.is_empty() {
            let CommandLine { matches, words } = line;
            let hosts = &self.common.hosts;
            return remote::run(hosts, Cli::command(), matches, words, common).await;
        }
        if let Some(command) = self.command {
            return command.run(common).await;
        }
        match status::Status::default().run(common).await {
            error @ Err(Error::Control(ControlError::NoService { .. })) => {
                to_stderr(
                    "without a command, this is status; `connect-cli --help' lists all others",
                );
                error
            }
            other => other,
        }
    }
}

impl Command {
    /// Runs the command. An error has a text for the operator and an exit code.
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        match self {
            Command::Status(status) => status.run(common).await,
            Command::Info(info) => info.run(common).await,
            Command::Top(top) => top.run(common).await,
            Command::Events(events) => events.run(common).await,
            Command::Check(check) => check.run(common).await,
            Command::Ping(ping) => ping.run(common).await,
            Command::Shortcut(shortcut) => shortcut.run(common).await,
            Command::Reload(reload) => reload.run(common).await,
            Command::Ifup(ifup) => ifup.run(common).await,
            Command::Ifdown(ifdown) => ifdown.run(common).await,
            Command::Submit(submit) => submit.run(common).await,
            Command::Admin(admin) => admin.run(common).await,
            Command::Metrics(metrics) => metrics.run(common).await,
            Command::Db(db) => db.run(common).await,
            Command::Doctor(doctor) => doctor.run(common).await,
            Command::Completions(completions) => completions.run(common),
            Command::Show(show) => show.run(common).await,
            Command::Version(version) => version.run(common),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn words_that_people_try_are_taken_and_shown_beside_the_command() {
        let command = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap().command;
        let is = |line, wanted: fn(&Command) -> bool| {
            assert!(command(line).as_ref().is_some_and(wanted), "{line}");
        };
        is("c up x", |it| {
            matches!(it, Command::Shortcut(shortcuts::Shortcut::Active { .. }))
        });
        is("c down x", |it| {
            matches!(it, Command::Shortcut(shortcuts::Shortcut::Kill { .. }))
        });
        is("c list", |it| matches!(it, Command::Status(_)));
        is("c log", |it| matches!(it, Command::Events(_)));
        is("c show x", |it| matches!(it, Command::Show(_)));
        is("c version", |it| matches!(it, Command::Version(_)));
        assert!(command("c").is_none());
        let help = Cli::command().render_long_help().to_string();
        let commands = help.split("Options:").next().unwrap();
        for word in ["up", "down", "list", "log", "show"] {
            assert!(!commands.contains(&format!("\n  {word} ")), "{word}");
            let shown = format!("(also: {word})");
            assert_eq!(commands.matches(&shown).count(), 1, "{commands}");
        }
    }

    #[test]
    fn common_options_are_taken_before_and_after_the_command() {
        for line in [
            "connect-cli -a s -d d --runtime-dir r --control c --timeout 5m status",
            "connect-cli status -as -dd --runtime-dir=r --control=c --timeout=5m",
            "connect-cli --admin-socket s status --dir d --runtime r --cont c --time 300",
        ] {
            let common = Cli::try_parse_from(line.split(' ')).unwrap().common;
            assert_eq!(common.admin_socket.unwrap(), PathBuf::from("s"), "{line}");
            assert_eq!(common.directory.unwrap(), PathBuf::from("d"), "{line}");
            assert_eq!(common.runtime_dir.unwrap(), PathBuf::from("r"), "{line}");
            assert_eq!(common.control.unwrap(), PathBuf::from("c"), "{line}");
            assert_eq!(common.timeout.unwrap().seconds(), 300, "{line}");
        }
    }
}
