// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts are run for what, and with which arguments and environment.

use connect_ipc::scripts::{Run, ScriptKind, ToScripts};
use connect_ipc::{PeerId, RunId};
use connect_policy::ValueError;
use connect_policy::scripts::{Script, ifup_arguments, interface_script, limit, shell_script};
use peerdb::Record;

use super::runs::RunState;
use crate::machine::{Machine, Output};

impl Machine {
    /// Sends a message to the script helper, if one is ready.
    pub(super) fn tell_scripts(&mut self, message: ToScripts) {
        if let Some(connection) = self.scripts.helper.ready() {
            self.out.push(Output::ToScripts(connection, message));
        }
    }

    /// Runs the peer's `ifup`, if its record has one.
    pub(in crate::machine) fn run_ifup(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let Some(record) = peer.record.clone() else {
            return;
        };
        let name = peer.name().to_owned();
        let algorithms = peer.algorithms.clone().unwrap_or_default();
        let ifname = peer.ifname.as_deref().unwrap_or_default().to_owned();
        let address = peer
            .address
            .as_deref()
            .map(tripe_admin::split)
            .unwrap_or_default();
        if ifname.is_empty() || address.is_empty() {
            // Gone already; its removal is on the way.
            return;
        }
        let arguments = ifup_arguments(&name, &ifname, address);
        self.run_words(&name, ScriptKind::Ifup, &record, arguments, &algorithms);
    }

    /// Runs the peer's `ifdown`, if its record has one.
    pub(in crate::machine) fn run_ifdown(
        &mut self,
        name: &str,
        record: &Record,
        algorithms: &[(String, String)],
    ) {
        self.run_words(
            name,
            ScriptKind::Ifdown,
            record,
            vec![name.to_owned()],
            algorithms,
        );
    }

    /// Runs a script given as words, with further arguments and the full environment.
    fn run_words(
        &mut self,
        name: &str,
        kind: ScriptKind,
        record: &Record,
        arguments: Vec<String>,
        algorithms: &[(String, String)],
    ) {
        let script = interface_script(record, kind, arguments, algorithms);
        self.order(name, kind, record, script);
    }

    /// Runs `connect` or `disconnect`, if the record has it, through the shell.
    pub(in crate::machine) fn run_shell(&mut self, name: &str, kind: ScriptKind, record: &Record) {
        self.order(name, kind, record, shell_script(record, kind));
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

    /// Hands a script, if there is one, to the helper.
    fn order(
        &mut self,
        name: &str,
        kind: ScriptKind,
        record: &Record,
        script: Result<Option<Script>, ValueError>,
    ) {
        let Script {
            command,
            environment,
        } = match script {
            Ok(Some(script)) => script,
            Ok(None) => return,
            Err(error) => {
                return self.warn([kind.name(), name, "not-started"], &[error.to_string()]);
            }
        };
        let limit = limit(record, kind).unwrap_or_else(|error| {
            tracing::warn!(peer = name, %error, "using the default time limit");
            None
        });
        let limit = limit
            .or(self.config.script_limit)
            .map(tripe_admin::Interval::seconds);
        let id = RunId(self.scripts.next_run);
        self.scripts.next_run += 1;
        let run = Run {
            run: id,
            peer: name.to_owned(),
            kind,
            command,
            environment,
            limit,
        };
        self.tell_scripts(ToScripts::Run(vec![run.clone()]));
        self.scripts.runs.insert(id, RunState::ordered(run));
    }
}
