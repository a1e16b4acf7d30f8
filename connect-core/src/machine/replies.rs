// SPDX-License-Identifier: GPL-3.0-or-later
//! Answers requesters, and sends events to observers.

use connect_ipc::control::{Answer, Reply};
use connect_ipc::event::{Event, EventKind, EventName};

use super::requester::Requester;
use super::{ConnectionId, Machine, Output};

impl Machine {
    /// Sends one line of the answer.
    pub(super) fn reply_line(&mut self, requester: &Requester, words: Vec<String>) {
        match requester {
            Requester::Job(id) => self.job_info(id, &words),
            Requester::Operator {
                connection,
                request,
            } => self.answer(*connection, *request, Reply::Line(words)),
            Requester::Startup
            | Requester::Revival
            | Requester::Knock
            | Requester::Lookup(_)
            | Requester::Change(_) => {}
        }
    }

    /// Answers that it has succeeded.
    pub(super) fn reply_done(&mut self, requester: &Requester) {
        match requester {
            Requester::Job(id) => self.job_done(id),
            Requester::Operator {
                connection,
                request,
            } => self.answer(*connection, *request, Reply::Done {}),
            Requester::Change(name) => self.change_applied(name, None),
            Requester::Startup | Requester::Revival | Requester::Knock | Requester::Lookup(_) => {}
        }
    }

    /// Answers that it failed. `name` is the peer, for warnings about failures that nobody waits
    /// for.
    pub(super) fn reply_failed<S: Into<String>>(
        &mut self,
        requester: &Requester,
        name: &str,
        words: impl IntoIterator<Item = S>,
    ) {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        match requester {
            Requester::Job(id) => self.job_failed(id, &words),
            Requester::Operator {
                connection,
                request,
            } => self.answer(*connection, *request, Reply::Failed(words)),
            Requester::Change(name) => self.change_applied(name, Some(words)),
            Requester::Revival => {
                self.warn(["auto-add-failed", name], &words);
                self.revival_failed(name);
                self.additions.revivals.note_failure(name, words);
            }
            Requester::Startup => {
                self.warn(["auto-add-failed", name], &words);
                self.revive_by_name(name);
                self.additions.revivals.note_failure(name, words);
            }
            Requester::Knock => self.warn(["knock-add-failed", name], &words),
            Requester::Lookup(id) => {
                self.warn(["re-resolve-failed", name], &words);
                self.revive_moved(*id, name);
                self.additions.revivals.note_failure(name, words);
            }
        }
    }

    /// Answers an operator or observer.
    pub(super) fn answer(&mut self, connection: ConnectionId, id: u64, reply: Reply) {
        let answer = Answer { id, reply };
        self.out.push(Output::Answer(connection, answer));
    }

    /// Numbers an event, remembers it, and sends it to the observers, if there are any.
    pub(super) fn emit(&mut self, peer: Option<&str>, kind: impl FnOnce() -> EventKind) {
        let (seq, at) = self.events.next(self.now);
        let event = Event {
            seq,
            at_ms: at,
            peer: peer.map(str::to_owned),
            kind: kind(),
        };
        if self.events.observing.wants(event.kind.name()) {
            self.out.push(Output::Event(event.clone()));
        }
        self.events.remember(self.now, event);
    }

    /// The same for an event that is not remembered, since there are very many of its kind. It is
    /// numbered in any case.
    pub(super) fn emit_passing(
        &mut self,
        peer: &str,
        name: EventName,
        kind: impl FnOnce() -> EventKind,
    ) {
        let (seq, at) = self.events.next(self.now);
        if self.events.observing.wants(name) {
            let event = Event {
                seq,
                at_ms: at,
                peer: Some(peer.to_owned()),
                kind: kind(),
            };
            self.out.push(Output::Event(event));
        }
    }
}
