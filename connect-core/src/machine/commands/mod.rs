// SPDX-License-Identifier: GPL-3.0-or-later
//! Which commands the service has (connect(8), "Service command reference"), and those under way.

mod info;
mod perform;

use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::requester::Requester;

/// A command of the service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Command {
    Active,
    Adopted,
    Help,
    Info,
    Kick,
    ListActive,
    Passive,
    Quit,
    Sabotage,
    Userpeer,
}

impl Command {
    /// Whether the answer depends on which peers the server has.
    const fn is_about_peers(self) -> bool {
        match self {
            Command::Active
            | Command::Adopted
            | Command::Info
            | Command::Kick
            | Command::Passive
            | Command::Sabotage => true,
            Command::Help | Command::ListActive | Command::Quit | Command::Userpeer => false,
        }
    }
}

/// A command that waits until the server has listed its peers: before that, peers that are there
/// would be said to be missing.
#[derive(Debug)]
pub(super) struct Held {
    requester: Requester,
    command: Command,
    arguments: Vec<String>,
}

/// The jobs and commands under way.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// Jobs of our service that are neither answered nor cancelled. Only membership counts.
    jobs: HashSet<String>,
    /// Commands that came before the server had listed its peers.
    held: Vec<Held>,
}

impl Commands {
    /// Whether a job is neither answered nor cancelled.
    pub(super) fn has_job(&self, id: &str) -> bool {
        self.jobs.contains(id)
    }

    /// A job is answered or cancelled; `false` if it was before.
    pub(super) fn end_job(&mut self, id: &str) -> bool {
        self.jobs.remove(id)
    }

    /// The server is gone, and its jobs with it.
    pub(super) fn forget_jobs(&mut self) {
        self.jobs.clear();
    }
}

/// What is known of a command beforehand.
struct Syntax {
    name: &'static str,
    command: Command,
    usage: &'static str,
    arguments: RangeInclusive<usize>,
}

const fn syntax(
    name: &'static str,
    command: Command,
    usage: &'static str,
    arguments: RangeInclusive<usize>,
) -> Syntax {
    Syntax {
        name,
        command,
        usage,
        arguments,
    }
}

/// Every command, in the order in which `help` lists them.
const COMMANDS: [Syntax; 10] = [
    syntax("active", Command::Active, "PEER", 1..=1),
    syntax("adopted", Command::Adopted, "", 0..=0),
    syntax("help", Command::Help, "", 0..=0),
    syntax("info", Command::Info, "PEER", 1..=1),
    syntax("kick", Command::Kick, "PEER", 1..=1),
    syntax("list-active", Command::ListActive, "", 0..=0),
    syntax(
        "passive",
        Command::Passive,
        "[OPTIONS] USER",
        1..=usize::MAX,
    ),
    syntax("quit", Command::Quit, "", 0..=0),
    syntax("sabotage", Command::Sabotage, "PEER", 1..=1),
    syntax("userpeer", Command::Userpeer, "USER", 1..=1),
];
