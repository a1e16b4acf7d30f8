// SPDX-License-Identifier: GPL-3.0-or-later
//! Dynamic connection: knocks, `connect` and `disconnect`, challenges and greetings.

use std::collections::BTreeMap;

use peerdb::Record;

use crate::Service;
use crate::adoption::is_yes;
use crate::io::Kind;
use crate::server::{End, Purpose};
use crate::words::split;

/// A challenge that was given out.
#[derive(Clone, Debug)]
pub(crate) struct Greeting {
    challenge: String,
    /// Which peer is expected to quote it.
    peer: String,
    /// The job that asked for it.
    job: String,
    /// When nobody waits for it any more.
    pub(crate) until: u64,
}

impl Service {
    /// The manual, "Dynamic connection": if a peer's database record assigns a value to the
    /// `connect` key, then the value is invoked as a Bourne shell command.
    pub(crate) fn connect(&mut self, peer: &str) {
        self.shell(Kind::Connect, peer);
    }

    /// The manual, "Dynamic connection": if the database record has a `disconnect` entry, then
    /// connect will use this to give the peer explicit notification that its services are no longer
    /// needed. The manual does not say when that is: when the peer has been removed.
    pub(crate) fn disconnect(&mut self, peer: &str) {
        self.shell(Kind::Disconnect, peer);
    }

    fn shell(&mut self, kind: Kind, peer: &str) {
        let record = self.record(peer);
        if let Some(command) = record.as_ref().and_then(|record| record.get(kind.name())) {
            let argv = ["/bin/sh", "-c", command].map(str::to_owned).to_vec();
            self.spawn(kind, peer, argv, BTreeMap::new());
        }
    }

    /// The manual, "Dynamic connection": the passive server emits a `KNOCK` notification which
    /// connect notices, causing it to establish the passive peer.
    /// The manual, "Warnings": three reasons why it does not. "Dynamic connection" says what the
    /// tag of a name is, and tripe-admin(5), `ADD`, that a tag which is not recorded is the name.
    pub(crate) fn knocked(&mut self, name: &str, address: &[&str]) {
        let Some(record) = self.record(name) else {
            return self.warn(&["knock-unknown-peer", name]);
        };
        let tag = name.rsplit('.').next().unwrap_or(name);
        let recorded = record.get("key").unwrap_or(name);
        if !record.is_passive() {
            self.warn(&["knock-active-peer", name]);
        } else if tag != recorded {
            let mismatch = ["knock-tag-mismatch", "peer", name];
            self.warn(&[&mismatch[..], &["public-key-tag", recorded]].concat());
        } else {
            self.add(&record, Some(address), None);
        }
    }

    /// The manual, "Service command reference", `passive`: an `INFO` line is written containing a
    /// freshly chosen challenge string.
    pub(crate) fn challenge(&mut self, job: &str, peer: &str, time: u64, info: &[Vec<String>]) {
        let Some(challenge) = info.iter().flatten().next() else {
            return self.fail(job, &["no-challenge"]);
        };
        self.inform(job, challenge);
        self.greetings.push(Greeting {
            challenge: challenge.clone(),
            peer: peer.to_owned(),
            job: job.to_owned(),
            until: self.now.saturating_add(time),
        });
    }

    /// The manual, "Service command reference", `passive`: if the server receives a greeting that
    /// quotes this challenge, the connect service will issue an `ADD` request for the peer, as for
    /// the `active` command, except that the origin of the packet is used as the address.
    pub(crate) fn greeted(&mut self, challenge: &str, address: &[&str]) {
        let mut greetings = self.greetings.iter();
        let Some(place) = greetings.position(|greeting| greeting.challenge == challenge) else {
            return;
        };
        let Greeting { peer, job, .. } = self.greetings.remove(place);
        match self.record(&peer) {
            Some(record) => self.add(&record, Some(address), Some(job)),
            None => self.fail(&job, &["unknown-peer", &peer]),
        }
    }

    /// The manual, "Service command reference", `passive`: within 30 seconds, or the time given.
    pub(crate) fn give_up_greetings(&mut self) {
        for greeting in self.greetings.clone() {
            if greeting.until <= self.now {
                self.greetings.retain(|other| other.job != greeting.job);
                self.fail(&greeting.job, &["timeout"]);
            }
        }
    }

    /// The manual, "Service command reference": the submitter of a job has gone. The manual does
    /// not say what happens to what it asked for: nobody waits for a greeting any more, and an
    /// addition that is under way goes on.
    pub(crate) fn cancelled(&mut self, job: &str) {
        self.greetings.retain(|greeting| greeting.job != job);
        for command in &mut self.commands {
            if let Purpose::Add(_, Some(of)) | Purpose::Challenge(of, ..) = &command.purpose
                && of == job
            {
                command.purpose = Purpose::Nothing;
            }
        }
    }

    /// The manual, "Service command reference", `active`: the options of the `ADD` command. The
    /// address is the value assigned to the `peer` key in the record, unless another is given.
    /// The manual, "Dynamic connection", says that the value of `knock` is sent to the peer during
    /// key-exchange, for which tripe-admin(5) has the option `-knock`.
    pub(crate) fn add(&mut self, record: &Record, address: Option<&[&str]>, job: Option<String>) {
        let mut words = vec!["ADD"];
        for (key, option) in [("cork", "-cork"), ("mobile", "-mobile")] {
            words.extend(is_yes(record, key).then_some(option));
        }
        let keys = ["keepalive", "key", "priv", "tunnel", "knock"];
        let options = ["-keepalive", "-key", "-priv", "-tunnel", "-knock"];
        for (key, option) in keys.into_iter().zip(options) {
            words.extend(record.get(key).iter().flat_map(|value| [option, value]));
        }
        words.push(record.name());
        let recorded = split(record.get("peer").unwrap_or_default());
        match address {
            Some(address) => words.extend(address),
            None => words.extend(recorded.iter().map(String::as_str)),
        }
        let purpose = Purpose::Add(record.name().to_owned(), job);
        self.background(&words, purpose);
    }

    /// The manual, "Warnings", `auto-add-failed`: the attempt to add the peer automatically failed:
    /// the `ADD` command reported this error.
    pub(crate) fn add_ended(&mut self, peer: &str, job: Option<&str>, end: End<'_>) {
        match (job, end) {
            (Some(job), Ok(())) => self.answer(job, &[]),
            (Some(job), Err(error)) => self.fail(job, error),
            (None, Err(error)) => self.warn(&[&["auto-add-failed", peer], error].concat()),
            (None, Ok(())) => {}
        }
    }
}
