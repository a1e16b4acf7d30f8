// SPDX-License-Identifier: GPL-3.0-or-later
//! The lines of the server, the loss of the connection, and the release of the service.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::event::EventKind;
use tripe_admin::Failure;
use tripe_admin::session::Event;

use super::stage::Stage;
use super::{AfterAlgs, Pending};
use crate::machine::{Ending, Machine, Milestone, Output, SERVICE};

/// How long the server may take to answer when core releases the service: one that runs answers at
/// once, and if it does not, nothing is lost, since the connection is closed.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);

impl Machine {
    /// Takes in one line of the server.
    pub(in crate::machine) fn server_line(&mut self, line: &str) {
        if self.server.awaited.heard(self.now) {
            self.server_stood_still();
        }
        // The event borrows the session, so what it holds is taken out before core acts on it.
        let step = match self.server.session.receive(line) {
            Event::Info { context, words } => {
                if !context.take_info(words) {
                    tracing::warn!(line, "ignoring an INFO line that its command does not have");
                }
                // It is a secret from this line on, so that no trace shows it even once.
                let secret = context.secret().map(str::to_owned);
                self.out.extend(secret.map(Output::Secret));
                self.server.awaited.informed(self.now);
                return;
            }
            Event::Done { context, result } => Step::Done(context, result),
            Event::Note(note) => Step::Note(note),
            Event::Job { id, service, words } => Step::Job {
                id,
                service,
                words: words.owned(),
            },
            Event::JobCancelled { id } => Step::JobCancelled(id),
            Event::Displaced { service, version } => Step::Displaced { service, version },
            Event::Warn(_) | Event::Trace(_) | Event::Nothing => return,
            Event::Strange { why } => {
                tracing::warn!(line, reason = why, "ignoring a line of the server");
                return;
            }
        };
        match step {
            Step::Done(pending, result) => self.answered(pending, result),
            Step::Note(note) => self.notified(note),
            Step::Job { id, service, words } => self.job(id, &service, &words),
            Step::JobCancelled(id) => self.job_cancelled(&id),
            Step::Displaced { service, version } if service == SERVICE => {
                tracing::warn!(%version, "another provider took over the service");
                self.end_for_another_provider(Ending::Displaced { version });
            }
            Step::Displaced { .. } => {}
        }
    }

    /// The connection to the server has ended, or could not be made.
    pub(in crate::machine) fn server_lost(&mut self, reason: &str) {
        if self.server.is_connected() {
            self.fail_everything_asked();
        }
        if self.server.release_by.take().is_some() {
            // With the connection the service is released, too.
            return self.end(Ending::Quit);
        }
        if self.config.exit_on_disconnect && self.server.awaited.met {
            self.end(Ending::Disconnected {
                reason: reason.to_owned(),
            });
        }
        if self.server.outage.note(reason) {
            tracing::warn!(error = reason, "cannot reach the server; retrying");
        }
    }

    /// No command to the server will be answered any more.
    fn fail_everything_asked(&mut self) {
        let replaced = self.server.take_replaced();
        self.server.stage = Stage::Down(replaced);
        self.server.awaited.lost(self.now);
        self.server.questions.clear();
        self.inheritance.server_lost();
        self.scripts.server_lost();
        self.peers.departures.server_lost(self.now);
        let lost = Failure::new(["server-lost"]);
        for pending in self.server.session.reset() {
            match pending {
                Pending::Ping { peer, .. } => self.void_ping(peer),
                Pending::GetChallenge {
                    requester, peer, ..
                } => self.reply_failed(&requester, &peer, lost.words()),
                Pending::Algs {
                    then: AfterAlgs::Script(request),
                    ..
                } => self.refuse_script(&request, lost.words()),
                _ => {}
            }
        }
        self.fail_additions(lost.words());
        self.fail_applying(lost.words());
        self.fail_held(lost.words());
        self.fail_all_asked("server-lost");
        self.commands.server_lost();
        self.events.counters.server_losses += 1;
        self.emit(None, || EventKind::Lost {});
        self.suspend_pings();
    }

    /// Ends waits that have taken too long.
    pub(in crate::machine) fn expire_server_waits(&mut self) {
        let passed = |until: Option<Monotonic>| until.is_some_and(|until| until <= self.now);
        let released = passed(self.server.release_by);
        let start = match self.server.stage {
            Stage::Down(_) => self.server.wait_until,
            Stage::Joining(_) => self.server.awaited.answer_by,
            Stage::Up => None,
        };
        let waited = passed(start);
        self.expire_probe();
        if released {
            self.server.release_by = None;
            tracing::warn!(
                "the server has not answered the release of the service; ending \
                            without the answer"
            );
            self.end(Ending::QuitUnanswered);
        } else if waited && self.server.is_connected() {
            self.expire_answer();
        } else if waited {
            self.server.wait_until = None;
            let reason = self.server.outage.reason().map(str::to_owned);
            self.end(Ending::Unreachable { reason });
        }
    }

    /// Stops waiting for a server that is connected and does not answer.
    fn expire_answer(&mut self) {
        if !self.server.awaited.extend(self.now) {
            let seconds = self.now.since(self.config.started).as_secs();
            self.end(Ending::Silent { seconds });
        }
    }

    /// Releases the service; core ends when the server has answered.
    pub(in crate::machine) fn retire(&mut self) {
        self.server.leaving = true;
        self.out.push(Output::ServiceManager(Milestone::Stopping));
        self.hurry_results();
        let released = self.server.is_connected()
            && self
                .command(Pending::Release, "SVCRELEASE", [SERVICE])
                .is_ok();
        if released {
            self.server.release_by = Some(self.now + RELEASE_LIMIT);
        } else {
            self.end(Ending::Quit);
        }
    }

    /// Core ends.
    pub(in crate::machine) fn end(&mut self, ending: Ending) {
        self.out.push(Output::End(ending));
    }

    /// Another program provides the service, so what core knows of the peers will soon be wrong.
    pub(super) fn end_for_another_provider(&mut self, ending: Ending) {
        if self.server.joined_before {
            self.out.push(Output::ForgetState);
        }
        self.end(ending);
    }

    /// Gives out the lines that were collected in this turn.
    pub(in crate::machine) fn send_lines(&mut self) {
        if self.server.session.has_output() {
            let lines = self.server.session.take_output();
            self.out.push(Output::ServerLines(lines));
        }
    }
}

/// One line of the server, independent of the session.
enum Step {
    Done(Pending, Result<(), Failure>),
    Note(tripe_admin::Note),
    Job {
        id: String,
        service: String,
        words: Vec<String>,
    },
    JobCancelled(String),
    Displaced {
        service: String,
        version: String,
    },
}
