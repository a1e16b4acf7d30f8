// SPDX-License-Identifier: GPL-3.0-or-later
//! Which commands the service has (for those of the original see the manual, "Service command
//! reference"), and those under way.

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
        !matches!(
            self,
            Command::Help | Command::ListActive | Command::Quit | Command::Userpeer
        )
    }
}

/// A command that waits until the server has listed its peers. Before that, core would answer as if
/// the server had no peers.
#[derive(Clone, Debug)]
pub(super) struct Held {
    requester: Requester,
    command: Command,
    arguments: Vec<String>,
}

/// The jobs and commands under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Commands {
    /// Jobs of our service that are neither answered nor cancelled.
    jobs: HashSet<String>,
    /// Commands that came before the server had listed its peers.
    held: Vec<Held>,
    /// How many requests of operators wait for an answer of the server: at most [`MAX_ASKED`],
    /// since they go on when the connections of their operators end.
    asked: usize,
}

/// How many requests of operators may wait for an answer of the server: more than all operators can
/// type while a server is stuck.
pub(super) const MAX_ASKED: usize = 1024;

impl Commands {
    /// Whether a job is neither answered nor cancelled.
    pub(super) fn has_job(&self, id: &str) -> bool {
        self.jobs.contains(id)
    }

    /// A job is answered or cancelled; `false` if it was before.
    pub(super) fn end_job(&mut self, id: &str) -> bool {
        self.jobs.remove(id)
    }

    /// How many jobs are neither answered nor cancelled, and how many commands wait.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.jobs.len(), self.held.len())
    }

    /// The server is lost, and so are its jobs and answers.
    pub(super) fn server_lost(&mut self) {
        self.jobs.clear();
        self.asked = 0;
    }

    /// The server is to be asked something for an operator. Returns whether the limit allows it.
    pub(super) const fn ask(&mut self) -> bool {
        let may = self.asked < MAX_ASKED;
        self.asked += may as usize;
        may
    }

    /// The server has answered what it was asked for an operator, or was not asked after all.
    pub(super) const fn answered(&mut self) {
        self.asked = self.asked.saturating_sub(1);
    }
}

/// A command, its name, its usage, and how many arguments it takes.
type Syntax = (Command, &'static str, &'static str, RangeInclusive<usize>);

/// Every command, in the order in which `help` lists them.
const COMMANDS: &[Syntax] = &[
    (Command::Active, "active", "PEER", 1..=1),
    (Command::Adopted, "adopted", "", 0..=0),
    (Command::Help, "help", "", 0..=0),
    (Command::Info, "info", "PEER", 1..=1),
    (Command::Kick, "kick", "PEER", 1..=1),
    (Command::ListActive, "list-active", "", 0..=0),
    (
        Command::Passive,
        "passive",
        "[OPTIONS] USER",
        1..=usize::MAX,
    ),
    (Command::Quit, "quit", "", 0..=0),
    (Command::Sabotage, "sabotage", "PEER", 1..=1),
    (Command::Userpeer, "userpeer", "USER", 1..=1),
];
