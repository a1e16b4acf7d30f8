// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts are run and when, and with which arguments and environment.

use connect_ipc::control::{Reply, RunProgress};
use connect_ipc::scripts::{Ended, EndedRun, MAX_WAITING, ScriptKind, ToScripts};
use connect_ipc::setup::SetupState;
use connect_ipc::{PeerId, RunId};
use connect_policy::changes::for_ifdown;
use connect_policy::scripts::{ifup_arguments, interface_script, limit};

use super::prepared::Prepared;
use super::runs::RunState;
use crate::machine::requester::OperatorRequest;
use crate::machine::{Machine, Output};

impl Machine {
    /// Sends a message to the script helper, if one is ready.
    pub(in crate::machine) fn tell_scripts(&mut self, message: ToScripts) {
        if let Some(connection) = self.scripts.helper.ready() {
            self.out.push(Output::ToScripts(connection, message));
        }
    }

    /// The peer's `ifup`, as it would be run now; `None` if the server does not have the peer any
    /// more.
    pub(in crate::machine) fn prepare_ifup(&self, id: PeerId) -> Option<Prepared> {
        let peer = self.peers.get(id)?;
        let record = peer.record.clone()?;
        let ifname = peer.ifname.as_deref().filter(|name| !name.is_empty())?;
        let address = tripe_admin::split(peer.address.as_deref()?);
        if address.is_empty() {
            return None;
        }
        let arguments = ifup_arguments(peer.name(), ifname, address);
        let algorithms = peer.algorithms.as_deref().unwrap_or_default();
        let kind = ScriptKind::Ifup;
        let script = interface_script(&record, kind, arguments, algorithms);
        Some(Prepared {
            setup: self.made(id, kind.pair()),
            ..Prepared::new(peer.name(), kind, record, script)
        })
    }

    /// The peer's `ifdown`, as it would be run now; `None` if the peer is gone already.
    pub(super) fn prepare_ifdown(&self, id: PeerId) -> Option<Prepared> {
        let peer = self.peers.get(id)?;
        let algorithms = peer.algorithms.as_deref().unwrap_or_default();
        let record = peer.record.as_ref()?;
        Some(match &peer.superseded {
            Some(in_use) => Prepared::ifdown(peer.name(), &for_ifdown(in_use, record), algorithms),
            None => Prepared::ifdown(peer.name(), record, algorithms),
        })
    }

    /// Marks a peer's `connect` commands as to be ended, since nobody wants their result any more.
    /// Returns those of which the script helper is not told yet.
    pub(in crate::machine) fn mark_connects(&mut self, name: &str) -> Vec<RunId> {
        self.scripts.runs.stop_connect(name)
    }

    /// Tells the script helper to end these runs.
    pub(in crate::machine) fn tell_stops(&mut self, runs: Vec<RunId>) {
        for run in runs {
            self.tell_scripts(ToScripts::Stop(run));
        }
    }

    /// Forgets a peer's `connect` command that is to end, if no helper was ever sent it.
    pub(in crate::machine) fn drop_unsent_connect(&mut self, name: &str) {
        let pending = self.scripts.runs.pending_of(name);
        let unsent = pending.filter(|(_, run)| run.stopping && run.is_unsent());
        for run in unsent.map(|(id, _)| id).collect::<Vec<_>>() {
            self.script_ended(run, Ended::Stopped);
        }
    }

    /// How many seconds the script may take.
    pub(super) fn script_limit(&self, prepared: &Prepared) -> Option<u32> {
        let peer = &prepared.peer;
        let limit = limit(&prepared.record, prepared.kind).unwrap_or_else(|error| {
            tracing::warn!(peer, %error, "using the default time limit");
            None
        });
        limit
            .or(self.config.script_limit)
            .map(tripe_admin::Interval::seconds)
    }

    /// Orders a script, if there is one. An operator who requested it gets the result.
    pub(in crate::machine) fn order(
        &mut self,
        prepared: Prepared,
        asked_by: Option<OperatorRequest>,
    ) {
        let limit = match &prepared.script {
            Ok(Some(_)) => self.script_limit(&prepared),
            _ => None,
        };
        let (peer, kind) = (prepared.peer.clone(), prepared.kind);
        let mut run = match prepared.run(self.scripts.next_run(), limit) {
            Ok(Some(run)) => run,
            Ok(None) => return,
            Err(why) => return self.not_started(peer, kind, why, asked_by),
        };
        if self.scripts.untaken_of(&peer).count() >= MAX_WAITING {
            let why = format!(
                "{MAX_WAITING} scripts of the peer wait already for a script helper: start it"
            );
            return self.not_started(peer, kind, why, asked_by);
        }
        if kind == ScriptKind::Ifup {
            self.interface_uses_record(&peer);
        }
        let unsent = match run.setup {
            Some(SetupState::Undone {}) => self.scripts.unsent_makers(&peer, kind.pair()),
            _ => Vec::new(),
        };
        let undoes_some = !run.undoes.is_empty();
        run.undoes.retain(|undone| !unsent.contains(undone));
        let is_spared = undoes_some && run.undoes.is_empty();
        let id = self.scripts.number();
        if let Some(SetupState::Made(_)) = run.setup {
            self.setup_ordered(&peer, kind.pair(), id);
        }
        if let Some(by) = asked_by {
            self.tell_waiting(by, &peer, kind);
        }
        let message = ToScripts::Run(vec![run.clone()]);
        let sent = self.scripts.helper.ready().is_some();
        let state = RunState::ordered(run, sent, asked_by, self.now);
        self.scripts.runs.insert(id, state);
        // As the helper would do: what was never started is not undone.
        for undone in unsent {
            self.script_ended(undone, Ended::Stopped);
        }
        if is_spared {
            return self.script_ended(id, Ended::Stopped);
        }
        if sent {
            self.scripts.owe(id, Some(self.now));
        }
        // Both messages are then read together.
        self.settle_runs();
        self.tell_scripts(message);
    }

    /// Tells an operator what the requested script waits for, if it waits.
    fn tell_waiting(&mut self, by: OperatorRequest, peer: &str, kind: ScriptKind) {
        if let Some(waits_for) = self.scripts.waits_for(peer, kind.lane(), self.now) {
            let waiting = Reply::Run(RunProgress::Waiting(waits_for));
            self.answer(by.connection, by.request, waiting);
        }
    }

    /// A script cannot be ordered.
    fn not_started(
        &mut self,
        peer: String,
        kind: ScriptKind,
        why: String,
        asked_by: Option<OperatorRequest>,
    ) {
        self.setup_not_ordered(&peer, kind.pair());
        let run = EndedRun {
            peer,
            at: self.now,
            kind,
            end: Ended::NotStarted(why),
            output: Vec::new(),
        };
        self.conclude(None, run, asked_by);
    }
}
