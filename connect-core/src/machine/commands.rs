// SPDX-License-Identifier: GPL-3.0-or-later
//! The service's commands (connect(8), "Service command reference"), whoever submits them.

use std::ops::RangeInclusive;
use std::sync::Arc;

use connect_ipc::control::ServerLink;
use connect_ipc::event::EventKind;
use connect_plan::pinging::is_dynamic;

use super::context::{Asker, Context};
use super::{Ending, Machine, SERVICE};

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
    asker: Asker,
    command: Command,
    arguments: Vec<String>,
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

impl Machine {
    /// The server hands over a job.
    pub(super) fn job(&mut self, id: String, service: &str, words: &[String]) {
        self.jobs.insert(id.clone());
        let asker = Asker::Job(id);
        if service == SERVICE {
            self.submit(&asker, "server", words);
        } else {
            // Only one service is claimed, so this is the server's mistake; yet it is answered.
            self.reply_failed(&asker, "", ["unknown-service", service]);
        }
    }

    /// A job is no longer wanted.
    pub(super) fn job_cancelled(&mut self, id: &str) {
        self.jobs.remove(id);
        self.forget(&|asker| matches!(asker, Asker::Job(job) if job == id));
    }

    /// Whoever asked is gone: what waits for it is forgotten.
    pub(super) fn forget(&mut self, is_gone: &dyn Fn(&Asker) -> bool) {
        self.forget_greetings(is_gone);
        self.held.retain(|held| !is_gone(&held.asker));
    }

    /// The server has listed its peers.
    pub(super) fn perform_held(&mut self) {
        for held in std::mem::take(&mut self.held) {
            self.perform(held.command, &held.asker, &held.arguments);
        }
    }

    /// The server is gone before it has listed its peers.
    pub(super) fn fail_held(&mut self, words: &[String]) {
        for held in std::mem::take(&mut self.held) {
            let about = held.arguments.last().map_or("", String::as_str);
            self.reply_failed(&held.asker, about, words);
        }
    }

    /// Runs a command of the service.
    pub(super) fn submit(&mut self, asker: &Asker, by: &str, words: &[String]) {
        self.counters.commands += 1;
        self.emit(None, || EventKind::Command {
            words: words.to_vec(),
            by: by.to_owned(),
        });
        let Some((name, arguments)) = words.split_first() else {
            return self.reply_failed(asker, "", ["unknown-svc-command", ""]);
        };
        let found = COMMANDS
            .iter()
            .find(|known| known.name.eq_ignore_ascii_case(name));
        let Some(found) = found else {
            return self.reply_failed(asker, "", ["unknown-svc-command", name]);
        };
        if !found.arguments.contains(&arguments.len()) {
            return self.bad_syntax(asker, found.name);
        }
        // A core that has listed once knows the peers of before, and is soon told of any difference.
        if found.command.is_about_peers() && self.link == ServerLink::Joining && !self.joined_before
        {
            self.held.push(Held {
                asker: asker.clone(),
                command: found.command,
                arguments: arguments.to_vec(),
            });
            return;
        }
        self.perform(found.command, asker, arguments);
    }

    fn perform(&mut self, command: Command, asker: &Asker, arguments: &[String]) {
        // Commands with exactly one argument find it here.
        let argument = arguments.first().map_or("", String::as_str);
        match command {
            Command::Active => self.add_active(argument, asker.clone()),
            Command::Adopted => self.list_adopted(asker),
            Command::Help => self.help(asker),
            Command::Info => self.info(asker, argument),
            Command::Kick => self.kick(asker, argument),
            Command::ListActive => self.list_active(asker),
            Command::Passive => self.passive(asker, arguments),
            Command::Quit => self.quit(asker),
            Command::Sabotage => {
                if self.sabotage(argument) {
                    self.reply_done(asker);
                } else {
                    self.reply_failed(asker, argument, ["peer-not-adopted", argument]);
                }
            }
            Command::Userpeer => {
                let database = Arc::clone(&self.database.current);
                match database.user(argument) {
                    Some(peer) => {
                        self.reply_line(asker, vec![peer.to_owned()]);
                        self.reply_done(asker);
                    }
                    None => self.reply_failed(asker, "", ["unknown-user", argument]),
                }
            }
        }
    }

    /// Answers that a command was used wrongly.
    pub(super) fn bad_syntax(&mut self, asker: &Asker, name: &str) {
        let usage = COMMANDS
            .iter()
            .find(|known| known.name == name)
            .map_or("", |s| s.usage);
        self.reply_failed(asker, "", ["bad-svc-syntax", name, usage]);
    }

    fn help(&mut self, asker: &Asker) {
        for known in &COMMANDS {
            let usage = known.usage.split_whitespace();
            let words = [known.name]
                .into_iter()
                .chain(usage)
                .map(str::to_owned)
                .collect();
            self.reply_line(asker, words);
        }
        self.reply_done(asker);
    }

    fn list_adopted(&mut self, asker: &Asker) {
        let names: Vec<String> = self
            .peers
            .adopted()
            .into_iter()
            .map(|(_, peer)| peer.name().to_owned())
            .collect();
        for name in names {
            self.reply_line(asker, vec![name]);
        }
        self.reply_done(asker);
    }

    /// Peers that could be named to `active`.
    fn list_active(&mut self, asker: &Asker) {
        let database = Arc::clone(&self.database.current);
        for record in database.peers().filter(|record| !record.is_passive()) {
            self.reply_line(asker, vec![record.name().to_owned()]);
        }
        self.reply_done(asker);
    }

    fn kick(&mut self, asker: &Asker, name: &str) {
        let database = Arc::clone(&self.database.current);
        let Some(record) = database.peer(name) else {
            return self.reply_failed(asker, name, ["unknown-peer", name]);
        };
        let Some(id) = self.peers.find(name) else {
            return self.reply_failed(asker, name, ["peer-not-added", name]);
        };
        if !is_dynamic(record) {
            return self.reply_failed(asker, name, ["peer-not-dynamic", name]);
        }
        self.reconnect(id);
        self.reply_done(asker);
    }

    /// Gives the service up and ends.
    fn quit(&mut self, asker: &Asker) {
        tracing::info!("told to quit");
        self.reply_done(asker);
        self.retire();
    }

    /// Gives the service up; core ends when the server has taken note of it.
    pub fn retire(&mut self) {
        self.result_batch.leave();
        let released = self.link != ServerLink::Down
            && self
                .command(Context::Release, "SVCRELEASE", [SERVICE])
                .is_ok();
        if !released {
            self.out.ending = Some(Ending::Quit);
        }
    }
}
