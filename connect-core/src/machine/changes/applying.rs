// SPDX-License-Identifier: GPL-3.0-or-later
//! Applies changes of the database: brings peers in line with it, a few at a time.

use std::collections::{BTreeMap, VecDeque};

use connect_ipc::changes::{AppliedChange, Remedy};
use connect_ipc::control::{Reply, ServerLink};
use connect_ipc::event::EventKind;
use connect_ipc::{PeerId, RunId};
use tripe_admin::Failure;

use super::{Applying, Begun};
use crate::machine::peers::Particulars;
use crate::machine::requester::{OperatorRequest, Requester};
use crate::machine::server::{AfterAlgs, Pending};
use crate::machine::{ConnectionId, Machine};

/// How many are begun in one turn: those that fail at once make room for others.
const BEGUN_IN_A_TURN: usize = 64;

/// What the server says if another peer has the address (tripe-admin(5), `ADD`).
const ADDRESS_TAKEN: &str = "peer-addr-exists";

impl Machine {
    /// An operator requests that all changes are applied. `by` says who, for observers.
    pub(in crate::machine) fn apply_changes(&mut self, by: &str, request: OperatorRequest) {
        self.emit(None, || EventKind::Command {
            words: vec!["reload".to_owned(), "--apply".to_owned()],
            by: by.to_owned(),
        });
        let failure = if self.server.link() != ServerLink::Up {
            Some("server-unavailable")
        } else if self.additions.applying.is_some() {
            Some("apply-in-progress")
        } else {
            None
        };
        if let Some(code) = failure {
            let failed = Reply::Failed(vec![code.to_owned()]);
            return self.answer(request.connection, request.request, failed);
        }
        let standings = self.standings_in_turn().into_iter();
        let names: VecDeque<String> = standings.map(|(name, _)| name.to_owned()).collect();
        tracing::info!(peers = names.len(), "applying the changes of the database");
        self.additions.applying = Some(Applying {
            by: request,
            waiting: names,
            under_way: BTreeMap::new(),
            taken: Vec::new(),
            // If peers exchange their addresses, the old ones are free after the first attempt.
            has_progressed: true,
            is_abandoned: false,
        });
    }

    /// Begins with the next peers, at the end of a turn.
    pub(in crate::machine) fn apply_more(&mut self) {
        for _ in 0..BEGUN_IN_A_TURN {
            let Some(applying) = &mut self.additions.applying else {
                return;
            };
            if applying.is_full() {
                return;
            }
            match applying.waiting.pop_front() {
                Some(name) => self.apply_change(&name),
                None if applying.awaited() > 0 => return,
                None if applying.has_progressed && !applying.taken.is_empty() => {
                    applying.has_progressed = false;
                    let again = std::mem::take(&mut applying.taken);
                    applying
                        .waiting
                        .extend(again.into_iter().map(|(name, _)| name));
                }
                None => return self.end_applying(),
            }
        }
    }

    /// All changes were tried.
    fn end_applying(&mut self) {
        let Some(applying) = self.additions.applying.take() else {
            return;
        };
        let by = applying.by;
        for (peer, failure) in applying.taken {
            self.tell_applied(by, peer, Remedy::Active, Some(failure));
        }
        self.answer(by.connection, by.request, Reply::Done {});
    }

    fn apply_change(&mut self, name: &str) {
        // Much may have happened since the operator asked.
        let Some(change) = self.change_of(name) else {
            return;
        };
        let Some(applying) = &mut self.additions.applying else {
            return;
        };
        let begun = Begun {
            remedy: change.remedy,
            run: None,
        };
        applying.under_way.insert(name.to_owned(), begun);
        match change.remedy {
            Remedy::Active => {
                let requester = Requester::Change(name.to_owned());
                self.add_active(name, requester);
            }
            Remedy::Kill => {
                if !self.command_with_options(Pending::KillToApply(name.to_owned()), "KILL", name) {
                    self.change_applied(name, Some(vec!["server-unavailable".to_owned()]));
                }
            }
            Remedy::Ifup => self.ask_before_ifup(name),
        }
    }

    /// The server has removed a peer, or refused. If it has no such peer, that is a success.
    pub(in crate::machine) fn killed_to_apply(&mut self, name: &str, result: Result<(), Failure>) {
        let failure = result.err().filter(|it| it.code() != "unknown-peer");
        self.change_applied(name, failure.map(|failure| failure.words().to_vec()));
    }

    /// Asks the server for what `ifup` needs, as before the first run.
    fn ask_before_ifup(&mut self, name: &str) {
        if self.scripts.helper.ready().is_none() {
            return self.change_applied(name, Some(vec!["no-script-helper".to_owned()]));
        }
        let Some(id) = self.peers.find(name) else {
            return self.change_applied(name, None);
        };
        if let Some(peer) = self.peers.get(id)
            && peer.particulars == Particulars::Unknown
        {
            self.ask_address(id);
        }
        let pending = Pending::Algs {
            peer: id,
            then: AfterAlgs::Change(name.to_owned()),
            pairs: Vec::new(),
        };
        if !self.command_on_peer(pending, "ALGS", name) {
            self.change_applied(name, Some(vec!["server-unavailable".to_owned()]));
        }
    }

    /// What `ifup` needs is known.
    pub(in crate::machine) fn apply_ifup(&mut self, id: PeerId, name: &str) {
        if self.comes_too_early(id) {
            let failure = vec!["peer-not-ready".to_owned(), name.to_owned()];
            return self.change_applied(name, Some(failure));
        }
        let next = self.scripts.next_run();
        if let Some(applying) = &mut self.additions.applying
            && let Some(begun) = applying.under_way.get_mut(name)
        {
            begun.run = Some(next);
        } else {
            // The operator is gone.
            return;
        }
        self.make_interface(id);
        // If the script could not be ordered, that was already reported.
        if self.scripts.next_run() == next {
            let failure = vec!["no-script".to_owned(), name.to_owned()];
            self.change_applied(name, Some(failure));
        }
    }

    /// An `ifup` has ended: perhaps one that belongs to a change.
    pub(in crate::machine) fn ifup_ended(
        &mut self,
        run: Option<RunId>,
        name: &str,
        failure: Option<Vec<String>>,
    ) {
        let Some(applying) = &self.additions.applying else {
            return;
        };
        // A script that could not be ordered has no number.
        let ours = applying
            .under_way
            .get(name)
            .is_some_and(|begun| begun.run.is_some() && (run.is_none() || begun.run == run));
        if ours {
            self.change_applied(name, failure);
        }
    }

    /// A peer was brought in line with the database, or that failed.
    pub(in crate::machine) fn change_applied(&mut self, name: &str, failure: Option<Vec<String>>) {
        let Some(applying) = &mut self.additions.applying else {
            return;
        };
        let Some(Begun { remedy, .. }) = applying.under_way.remove(name) else {
            return;
        };
        applying.has_progressed |= failure.is_none();
        if let Some(words) = &failure
            && words.first().is_some_and(|code| code == ADDRESS_TAKEN)
        {
            return applying.taken.push((name.to_owned(), words.clone()));
        }
        let by = applying.by;
        self.tell_applied(by, name.to_owned(), remedy, failure);
    }

    fn tell_applied(
        &mut self,
        by: OperatorRequest,
        peer: String,
        remedy: Remedy,
        failure: Option<Vec<String>>,
    ) {
        let applied = AppliedChange {
            peer,
            remedy,
            failure,
        };
        self.answer(by.connection, by.request, Reply::Applied(applied));
    }

    /// The operator is gone: completes what was begun, and begins nothing more. Scripts go on, but
    /// one that hangs does not keep the next operator from applying changes.
    pub(in crate::machine) fn stop_applying(&mut self, connection: ConnectionId) {
        if let Some(applying) = &mut self.additions.applying
            && applying.by.connection == connection
        {
            applying.waiting.clear();
            applying.is_abandoned = true;
        }
    }

    /// The server is lost.
    pub(in crate::machine) fn fail_applying(&mut self, words: &[String]) {
        if let Some(applying) = self.additions.applying.take() {
            let by = applying.by;
            self.answer(by.connection, by.request, Reply::Failed(words.to_vec()));
        }
    }
}
