// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts are run for what, and with which arguments and environment.

use connect_ipc::frame::{MAX_FRAME, length};
use connect_ipc::scripts::{Ended, Run, ScriptKind, ToScripts};
use connect_ipc::{PeerId, RunId};
use connect_policy::changes::for_ifdown;
use connect_policy::scripts::{Script, ifup_arguments, interface_script, limit, shell_script};
use connect_policy::{ValueError, size};
use peerdb::Record;

use super::ended_run::EndedRun;
use super::runs::RunState;
use crate::machine::requester::OperatorRequest;
use crate::machine::{Machine, Output};

/// A script that may be run now.
pub(super) struct Prepared {
    pub(super) peer: String,
    kind: ScriptKind,
    record: Record,
    /// `None` if the record does not name one.
    pub(super) script: Result<Option<Script>, ValueError>,
}

impl Machine {
    /// Sends a message to the script helper, if one is ready.
    pub(super) fn tell_scripts(&mut self, message: ToScripts) {
        if let Some(connection) = self.scripts.helper.ready() {
            self.out.push(Output::ToScripts(connection, message));
        }
    }

    /// Runs the peer's `ifup`, if its record has one.
    pub(in crate::machine) fn run_ifup(&mut self, id: PeerId) {
        if let Some(prepared) = self.prepare_ifup(id) {
            self.order(prepared, None);
        }
    }

    /// The peer's `ifup`, as it would be run now; `None` if the peer is gone already, and its
    /// removal on the way.
    pub(super) fn prepare_ifup(&self, id: PeerId) -> Option<Prepared> {
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
        Some(Prepared {
            peer: peer.name().to_owned(),
            kind,
            script: interface_script(&record, kind, arguments, algorithms),
            record,
        })
    }

    /// The peer's `ifdown`, as it would be run now; `None` if the peer is gone already.
    pub(super) fn prepare_ifdown(&self, id: PeerId) -> Option<Prepared> {
        let peer = self.peers.get(id)?;
        let algorithms = peer.algorithms.as_deref().unwrap_or_default();
        let record = peer.record.as_ref()?;
        Some(match &peer.superseded {
            Some(in_use) => ifdown(peer.name(), &for_ifdown(in_use, record), algorithms),
            None => ifdown(peer.name(), record, algorithms),
        })
    }

    /// Runs the `ifdown` of a peer that is gone, if its record has one.
    pub(in crate::machine) fn run_ifdown(
        &mut self,
        name: &str,
        record: &Record,
        algorithms: &[(String, String)],
    ) {
        self.order(ifdown(name, record, algorithms), None);
    }

    /// Runs `connect` or `disconnect`, if the record has it, through the shell.
    pub(in crate::machine) fn run_shell(&mut self, name: &str, kind: ScriptKind, record: &Record) {
        let prepared = Prepared {
            peer: name.to_owned(),
            kind,
            script: shell_script(record, kind),
            record: record.clone(),
        };
        self.order(prepared, None);
    }

    /// Runs a peer's `connect` command, if it has one. An earlier one that is still under way has
    /// not managed it, and is ended first.
    pub(in crate::machine) fn run_connect(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let Some(record) = peer.record.clone() else {
            return;
        };
        if record.get("connect").is_none() {
            return;
        }
        let name = peer.name().to_owned();
        self.stop_connect(&name);
        self.run_shell(&name, ScriptKind::Connect, &record);
    }

    /// Ends a peer's `connect` commands: what they are to bring about is not wanted any more.
    pub(in crate::machine) fn stop_connect(&mut self, name: &str) {
        let stopped: Vec<RunId> = self
            .scripts
            .runs
            .iter_mut()
            .filter_map(|(id, run)| (run.is_connect_of(name) && run.stop()).then_some(*id))
            .collect();
        for run in stopped {
            self.tell_scripts(ToScripts::Stop(run));
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

    /// Hands a script, if there is one, to the helper. Who has asked for it is told what comes of
    /// it.
    pub(super) fn order(&mut self, prepared: Prepared, asked_by: Option<OperatorRequest>) {
        let limit = match &prepared.script {
            Ok(Some(_)) => self.script_limit(&prepared),
            _ => None,
        };
        let Prepared {
            peer, kind, script, ..
        } = prepared;
        let script = match script {
            Ok(Some(script)) => script,
            Ok(None) => return,
            Err(error) => return self.not_started(peer, kind, error.to_string(), asked_by),
        };
        let id = RunId(self.scripts.next_run);
        let run = Run {
            run: id,
            peer,
            kind,
            command: script.command,
            environment: script.environment,
            limit,
            setup: None,
            undoes: None,
        };
        let message = ToScripts::Run(vec![run.clone()]);
        let size = length(&message);
        if size > MAX_FRAME {
            return self.not_started(run.peer, kind, size::too_large(size), asked_by);
        }
        if kind == ScriptKind::Ifup {
            self.interface_uses_record(&run.peer);
        }
        self.scripts.next_run += 1;
        let state = RunState {
            asked_by,
            ..RunState::ordered(run, self.now)
        };
        self.scripts.runs.insert(id, state);
        if self.scripts.helper.ready().is_some() {
            self.scripts.owe(id, Some(self.now));
        }
        self.tell_scripts(message);
    }

    /// A script cannot even be handed to the helper.
    fn not_started(
        &mut self,
        peer: String,
        kind: ScriptKind,
        why: String,
        asked_by: Option<OperatorRequest>,
    ) {
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

/// A peer's `ifdown`.
fn ifdown(name: &str, record: &Record, algorithms: &[(String, String)]) -> Prepared {
    let kind = ScriptKind::Ifdown;
    let arguments = vec![name.to_owned()];
    Prepared {
        peer: name.to_owned(),
        kind,
        script: interface_script(record, kind, arguments, algorithms),
        record: record.clone(),
    }
}
