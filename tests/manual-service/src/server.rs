// SPDX-License-Identifier: GPL-3.0-or-later
//! The conversation with the server: commands under way, and what each line of the server means.

use crate::Service;
use crate::io::Output;
use crate::words::{join, split};

/// How a command has ended: if it failed, with this error.
pub(crate) type End<'a> = Result<(), &'a [&'a str]>;

/// A command that the server has not finished.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// The tag of a command that runs in the background.
    pub(crate) tag: Option<String>,
    /// Whether the server has said that it runs in the background now.
    pub(crate) detached: bool,
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// The lines of information that came so far.
    pub(crate) info: Vec<Vec<String>>,
}

/// What a command is for.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// Nothing follows from its end.
    Nothing,
    /// To learn which peers there are.
    List,
    /// To learn something about a peer, which had this number.
    Fact(String, u64),
    /// To see whether a peer is alive.
    Ping(String),
    /// To add a peer, for this job unless nobody asked for it.
    Add(String, Option<String>),
    /// To have a challenge for a peer, for this job and this long.
    Challenge(String, String, u64),
}

impl Service {
    /// Sends a command that the server answers before the next one.
    pub(crate) fn command(&mut self, words: &[&str], purpose: Purpose) {
        self.send(words, None, purpose);
    }

    /// Sends a command that runs in the background, and gives its tag.
    pub(crate) fn background(&mut self, words: &[&str], purpose: Purpose) -> String {
        let tag = format!("m{}", self.next_number());
        let words = [&[words[0], "-background", &tag], &words[1..]].concat();
        self.send(&words, Some(tag.clone()), purpose);
        tag
    }

    fn send(&mut self, words: &[&str], tag: Option<String>, purpose: Purpose) {
        self.out.push(Output::Line(join(words)));
        self.commands.push(Command {
            tag,
            detached: false,
            purpose,
            info: Vec::new(),
        });
    }

    /// tripe-admin(5), "Responses": what a line of the server is, by its first word.
    pub(crate) fn line(&mut self, line: &str) {
        let words = split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["INFO", rest @ ..] => self.info(None, rest),
            ["OK"] => self.ended(None, Ok(())),
            ["FAIL", error @ ..] => self.ended(None, Err(error)),
            ["BGDETACH", ..] => self.detached(),
            ["BGINFO", tag, rest @ ..] => self.info(Some(tag), rest),
            ["BGOK", tag] => self.ended(Some(tag), Ok(())),
            ["BGFAIL", tag, error @ ..] => self.ended(Some(tag), Err(error)),
            ["NOTE", "ADD", peer, ..] => self.peer_added(peer),
            ["NOTE", "KILL", peer] => self.peer_removed(peer),
            ["NOTE", "GREET", challenge, address @ ..] => self.greeted(challenge, address),
            ["NOTE", "KNOCK", name, address @ ..] => self.knocked(name, address),
            ["SVCJOB", job, "connect", command @ ..] => self.job(job, command),
            ["SVCCANCEL", job] => self.cancelled(job),
            _ => {}
        }
    }

    /// tripe-admin(5), "Responses": lines without a tag belong to the oldest command that has not
    /// been answered and is not in the background; the others to the command of their tag.
    fn place(&self, tag: Option<&str>) -> Option<usize> {
        let mut commands = self.commands.iter();
        commands.position(|command| match tag {
            Some(tag) => command.detached && command.tag.as_deref() == Some(tag),
            None => !command.detached,
        })
    }

    fn info(&mut self, tag: Option<&str>, words: &[&str]) {
        if let Some(place) = self.place(tag) {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            self.commands[place].info.push(words);
        }
    }

    /// tripe-admin(5), "Background commands": the oldest command that has not been answered is
    /// accepted and runs in the background.
    fn detached(&mut self) {
        if let Some(place) = self.place(None) {
            self.commands[place].detached = true;
        }
    }

    /// tripe-admin(5), "Responses": a command has succeeded, or failed with this error.
    fn ended(&mut self, tag: Option<&str>, end: End<'_>) {
        let Some(place) = self.place(tag) else {
            return;
        };
        let command = self.commands.remove(place);
        let (tag, info) = (command.tag, command.info);
        match command.purpose {
            Purpose::Nothing => {}
            Purpose::List => self.listed(&info),
            Purpose::Fact(peer, number) => self.learned(&peer, number, info.concat()),
            Purpose::Ping(peer) => self.ping_ended(&peer, tag.as_deref(), &info.concat(), end),
            Purpose::Add(peer, job) => self.add_ended(&peer, job.as_deref(), end),
            Purpose::Challenge(job, peer, time) => self.challenge(&job, &peer, time, &info),
        }
    }
}
