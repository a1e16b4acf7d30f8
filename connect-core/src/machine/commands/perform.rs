// SPDX-License-Identifier: GPL-3.0-or-later
//! Performs the service's commands, from the server and from operators.

use std::borrow::Cow;
use std::sync::Arc;

use connect_ipc::control::ServerLink;
use connect_ipc::event::EventKind;
use connect_policy::pinging::is_dynamic;
use tripe_admin::challenge;

use super::{COMMANDS, Command, Held};
use crate::machine::requester::Requester;
use crate::machine::{Machine, SERVICE};

impl Machine {
    /// The server hands over a job.
    pub(in crate::machine) fn job(&mut self, id: String, service: &str, words: &[String]) {
        self.commands.jobs.insert(id.clone());
        let requester = Requester::Job(id);
        if service == SERVICE {
            self.submit(&requester, "server", words);
        } else {
            // Only one service is claimed, so this is a fault of the server; it gets an answer all
            // the same.
            self.reply_failed(&requester, "", ["unknown-service", service]);
        }
    }

    /// A job is no longer wanted.
    pub(in crate::machine) fn job_cancelled(&mut self, id: &str) {
        self.commands.end_job(id);
        self.forget(&|requester| matches!(requester, Requester::Job(job) if job == id));
    }

    /// Forgets the commands of requesters that are gone.
    pub(in crate::machine) fn forget(&mut self, is_gone: &dyn Fn(&Requester) -> bool) {
        self.forget_greetings(is_gone);
        self.additions.forget(is_gone);
        self.commands.held.retain(|held| !is_gone(&held.requester));
    }

    /// The server has listed its peers.
    pub(in crate::machine) fn perform_held(&mut self) {
        for held in std::mem::take(&mut self.commands.held) {
            self.perform(held.command, &held.requester, &held.arguments);
        }
    }

    /// The server was lost before it had listed its peers.
    pub(in crate::machine) fn fail_held(&mut self, words: &[String]) {
        for held in std::mem::take(&mut self.commands.held) {
            let about = held.arguments.last().map_or("", String::as_str);
            self.reply_failed(&held.requester, about, words);
        }
    }

    /// The words of a command as everybody may see them: a word that may be a challenge is masked.
    /// The name of a peer is not masked, whatever it looks like.
    pub(in crate::machine) fn words_told(&self, words: &[String]) -> Vec<String> {
        let is_name = |word: &str| {
            self.peers.find(word).is_some() || self.database.current.peer(word).is_some()
        };
        let told = |word: &String| match challenge::mask(word) {
            Cow::Owned(masked) if !is_name(word) => masked,
            _ => word.clone(),
        };
        words.iter().map(told).collect()
    }

    /// Runs a command of the service.
    pub(in crate::machine) fn submit(&mut self, requester: &Requester, by: &str, words: &[String]) {
        self.events.counters.commands += 1;
        let told = self.words_told(words);
        self.emit(None, || EventKind::Command {
            words: told,
            by: by.to_owned(),
        });
        let Some((name, arguments)) = words.split_first() else {
            return self.reply_failed(requester, "", ["unknown-svc-command", ""]);
        };
        let found = COMMANDS
            .iter()
            .find(|(_, known, ..)| known.eq_ignore_ascii_case(name));
        let Some((command, name, _, counts)) = found else {
            return self.reply_failed(requester, "", ["unknown-svc-command", name]);
        };
        if !counts.contains(&arguments.len()) {
            return self.bad_syntax(requester, name);
        }
        // A command about peers waits for the first list. Later core knows the peers of the list
        // before, and without a server nobody knows how long the command would have to wait.
        if command.is_about_peers()
            && self.server.link() == ServerLink::Joining
            && !self.server.joined_before()
        {
            self.commands.held.push(Held {
                requester: requester.clone(),
                command: *command,
                arguments: arguments.to_vec(),
            });
            return;
        }
        self.perform(*command, requester, arguments);
    }

    fn perform(&mut self, command: Command, requester: &Requester, arguments: &[String]) {
        // The argument of commands that have exactly one.
        let argument = arguments.first().map_or("", String::as_str);
        match command {
            Command::Active => self.add_active(argument, requester.clone()),
            Command::Adopted => self.list_adopted(requester),
            Command::Help => self.help(requester),
            Command::Info => self.info(requester, argument),
            Command::Kick => self.kick(requester, argument),
            Command::ListActive => self.list_active(requester),
            Command::Passive => self.passive(requester, arguments),
            Command::Quit => self.quit(requester),
            Command::Sabotage => {
                if self.sabotage(argument) {
                    self.reply_done(requester);
                } else {
                    self.reply_failed(requester, argument, ["peer-not-adopted", argument]);
                }
            }
            Command::Userpeer => {
                let database = Arc::clone(&self.database.current);
                match database.user(argument) {
                    Some(peer) => {
                        self.reply_line(requester, vec![peer.to_owned()]);
                        self.reply_done(requester);
                    }
                    None => self.reply_failed(requester, "", ["unknown-user", argument]),
                }
            }
        }
    }

    /// Answers that a command was used wrongly.
    pub(in crate::machine) fn bad_syntax(&mut self, requester: &Requester, name: &str) {
        let usage = COMMANDS
            .iter()
            .find(|(_, known, ..)| *known == name)
            .map_or("", |(_, _, usage, _)| usage);
        self.reply_failed(requester, "", ["bad-svc-syntax", name, usage]);
    }

    fn help(&mut self, requester: &Requester) {
        for (_, name, usage, _) in COMMANDS {
            let words = [*name].into_iter().chain(usage.split_whitespace());
            self.reply_line(requester, words.map(str::to_owned).collect());
        }
        self.reply_done(requester);
    }

    fn list_adopted(&mut self, requester: &Requester) {
        let adopted = self.peers.adopted().into_iter();
        let names: Vec<String> = adopted.map(|(_, peer)| peer.name().to_owned()).collect();
        for name in names {
            self.reply_line(requester, vec![name]);
        }
        self.reply_done(requester);
    }

    /// Peers that can be given to `active`.
    fn list_active(&mut self, requester: &Requester) {
        let database = Arc::clone(&self.database.current);
        for record in database.peers().filter(|record| !record.is_passive()) {
            self.reply_line(requester, vec![record.name().to_owned()]);
        }
        self.reply_done(requester);
    }

    fn kick(&mut self, requester: &Requester, name: &str) {
        let database = Arc::clone(&self.database.current);
        let Some(record) = database.peer(name) else {
            return self.reply_failed(requester, name, ["unknown-peer", name]);
        };
        let Some(id) = self.peers.find(name) else {
            return self.reply_failed(requester, name, ["peer-not-added", name]);
        };
        if !is_dynamic(record) {
            return self.reply_failed(requester, name, ["peer-not-dynamic", name]);
        }
        if !self.server.is_connected() {
            return self.reply_failed(requester, name, ["server-unavailable"]);
        }
        self.reconnect(id);
        self.reply_done(requester);
    }

    /// Releases the service and ends.
    fn quit(&mut self, requester: &Requester) {
        tracing::info!("told to quit");
        self.reply_done(requester);
        self.retire();
    }
}
