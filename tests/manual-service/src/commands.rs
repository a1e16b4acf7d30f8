// SPDX-License-Identifier: GPL-3.0-or-later
//! The service command reference, in its order.

use crate::Service;
use crate::server::Purpose;
use crate::words::interval;

impl Service {
    /// The manual, "Service command reference": the commands provided by the service.
    pub(crate) fn job(&mut self, job: &str, words: &[&str]) {
        match words {
            ["active", peer] => self.active(job, peer),
            ["adopted"] => self.adopted(job),
            ["info", peer] => self.info_of(job, peer),
            ["kick", peer] => self.kick(job, peer),
            ["list-active"] => self.list_active(job),
            ["passive", "-timeout", time, user] => self.passive(job, time, user),
            ["passive", user] if !user.starts_with('-') => self.passive(job, "30", user),
            ["sabotage", peer] if self.sabotage(peer) => self.answer(job, &[]),
            ["userpeer", user] => self.userpeer(job, user),
            // The manual does not say: words that mean nothing are refused.
            _ => self.fail(job, &["bad-svc-syntax"]),
        }
    }

    /// The manual, "Service command reference", `active`: make an active connection to the named
    /// peer.
    fn active(&mut self, job: &str, peer: &str) {
        match self.record(peer).filter(|record| !record.is_passive()) {
            Some(record) => self.add(&record, None, Some(job.to_owned())),
            // A passive peer has no address to connect to.
            None => self.fail(job, &["unknown-peer", peer]),
        }
    }

    /// The manual, "Service command reference", `adopted`: for each peer being tracked, write a
    /// line with its name.
    fn adopted(&mut self, job: &str) {
        let peers: Vec<String> = self.adopted.keys().cloned().collect();
        self.answer(job, &peers);
    }

    /// The manual, "Service command reference", `info`: lists the database record and additional
    /// information about the named peer. There is none about a peer that is not adopted.
    fn info_of(&mut self, job: &str, peer: &str) {
        let Some(record) = self.record(peer) else {
            return self.fail(job, &["unknown-peer", peer]);
        };
        let figures = self.figures(peer).into_iter().flatten();
        let record = record.iter();
        let record = record.map(|(key, value)| format!("{key}={value}"));
        let figures = figures.map(|(key, value)| format!("{key}={value}"));
        let lines: Vec<String> = record.chain(figures).collect();
        self.answer(job, &lines);
    }

    /// The manual, "Service command reference", `kick`: if the peer is currently added, and its
    /// record contains a `connect` key then force a reconnection attempt.
    fn kick(&mut self, job: &str, peer: &str) {
        let record = self.record(peer);
        let is_dynamic = record.is_some_and(|record| record.get("connect").is_some());
        if self.present.contains_key(peer) && is_dynamic {
            self.connect(peer);
            self.answer(job, &[]);
        } else {
            self.fail(job, &["unknown-peer", peer]);
        }
    }

    /// The manual, "Service command reference", `list-active`: output a list of peers in the
    /// database.
    fn list_active(&mut self, job: &str) {
        let peers = self.database.iter().flat_map(|database| database.peers());
        let peers: Vec<String> = peers.map(|record| record.name().to_owned()).collect();
        self.answer(job, &peers);
    }

    /// The manual, "Service command reference", `passive`: if the database contains a user record
    /// mapping the user to some peer then a challenge is chosen. The time is an interval.
    fn passive(&mut self, job: &str, time: &str, user: &str) {
        match (self.peer_of(user), interval(time)) {
            (_, None) => self.fail(job, &["bad-time-spec", time]),
            (None, _) => self.fail(job, &["unknown-user", user]),
            (Some(peer), Some(time)) => {
                let purpose = Purpose::Challenge(job.to_owned(), peer, time);
                self.command(&["GETCHAL"], purpose);
            }
        }
    }

    /// The manual, "Service command reference", `userpeer`: output a single `INFO` line identifying
    /// the peer corresponding to the user name.
    fn userpeer(&mut self, job: &str, user: &str) {
        match self.peer_of(user) {
            Some(peer) => self.answer(job, &[peer]),
            None => self.fail(job, &["unknown-user", user]),
        }
    }

    fn peer_of(&self, user: &str) -> Option<String> {
        self.database.as_ref()?.user(user).map(str::to_owned)
    }

    /// tripe-admin(5), "Service commands": a line of information for the submitter.
    pub(crate) fn inform(&mut self, job: &str, word: &str) {
        self.command(&["SVCINFO", job, word], Purpose::Nothing);
    }

    /// tripe-admin(5), "Service commands": each of these is a line of information, and the job is
    /// done.
    pub(crate) fn answer(&mut self, job: &str, lines: &[String]) {
        for line in lines {
            self.inform(job, line);
        }
        self.command(&["SVCOK", job], Purpose::Nothing);
    }

    /// tripe-admin(5), "Service commands": the job has failed.
    pub(crate) fn fail(&mut self, job: &str, error: &[&str]) {
        self.command(&[&["SVCFAIL", job], error].concat(), Purpose::Nothing);
    }
}
