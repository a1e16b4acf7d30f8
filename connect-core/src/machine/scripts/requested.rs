// SPDX-License-Identifier: GPL-3.0-or-later
//! Scripts that operators request: run again for a peer, or only shown.
//!
//! ```text
//!   RunScript, ShowScript --> ALGS --> [serve_script_request] --> a run like any other
//!                                                        \--> Reply::Script
//! ```

use connect_ipc::PeerId;
use connect_ipc::control::{Reply, ScriptPlan, ServerLink};
use connect_ipc::event::EventKind;
use connect_ipc::frame::length;
use connect_ipc::scripts::{InterfaceScript, ScriptKind};

use crate::machine::Machine;
use crate::machine::commands::MAX_ASKED;
use crate::machine::peers::Particulars;
use crate::machine::requester::{ScriptPurpose, ScriptRequest};
use crate::machine::server::{AfterAlgs, Pending};

/// How many runs that operators requested may be pending at a time. Nobody starts more by hand, and
/// each needs memory for a whole environment until it is started.
const MAX_REQUESTED: usize = 64;

impl Machine {
    /// An operator asks for a script. `by` says who, for observers.
    pub(in crate::machine) fn script_requested(&mut self, by: &str, request: ScriptRequest) {
        let (name, kind) = (request.peer.clone(), ScriptKind::from(request.script));
        if request.purpose == ScriptPurpose::Run {
            let words = [kind.name().to_owned(), name.clone()];
            let words = self.words_told(&words);
            let told = words.last().cloned();
            self.emit(told.as_deref(), || EventKind::Command {
                words,
                by: by.to_owned(),
            });
        }
        let id = match self.admit_script(&request) {
            Ok(id) => id,
            Err(failure) => return self.refuse_script(&request, &failure),
        };
        // As before the first `ifup`: when the last question is answered, the others are too.
        if let Some(peer) = self.peers.get(id)
            && peer.particulars == Particulars::Unknown
        {
            self.ask_address(id);
        }
        if !self.commands.ask() {
            let failure = ["too-many-commands", &MAX_ASKED.to_string()];
            return self.refuse_script(&request, &failure);
        }
        let refused = request.clone();
        let pending = Pending::Algs {
            peer: id,
            then: AfterAlgs::Script(request),
            pairs: Vec::new(),
        };
        if !self.command_on_peer(pending, "ALGS", &name) {
            self.commands.answered();
            self.refuse_script(&refused, &["server-unavailable"]);
        }
    }

    /// The peer of a request that can be served, or the words that say why it cannot.
    fn admit_script(&self, request: &ScriptRequest) -> Result<PeerId, Vec<String>> {
        let name = request.peer.as_str();
        let kind = ScriptKind::from(request.script).name();
        let failure = |words: &[&str]| Err(words.iter().map(|word| (*word).to_owned()).collect());
        // Before the server's first list of peers, core cannot know whether it has the peer.
        let unheard = self.server.link() == ServerLink::Joining && !self.server.joined_before();
        if !self.server.is_connected() || unheard {
            return failure(&["server-unavailable"]);
        }
        let Some(id) = self.peers.find(name) else {
            let known = self.database.current.peer(name).is_some();
            return failure(&[
                if known {
                    "peer-not-added"
                } else {
                    "unknown-peer"
                },
                name,
            ]);
        };
        let record = self.peers.get(id).and_then(|peer| peer.record.as_ref());
        if record.and_then(|record| record.get(kind)).is_none() {
            return failure(&["no-script", name, kind]);
        }
        if request.purpose == ScriptPurpose::Show {
            return Ok(id);
        }
        if self.scripts.helper.ready().is_none() {
            return failure(&["no-script-helper"]);
        }
        if self.scripts.runs.requested() >= MAX_REQUESTED {
            return failure(&["too-many-scripts", &MAX_REQUESTED.to_string()]);
        }
        Ok(id)
    }

    /// Whether a script cannot be run yet: those that the service itself will run come first, and
    /// an operator's `ifup` must not count as one of them. This lasts only until the server has
    /// answered a question, or the script helper has said what it keeps.
    pub(in crate::machine) fn comes_too_early(&self, id: PeerId) -> bool {
        let peer = self.peers.get(id);
        self.is_ifup_due(id)
            || peer.is_some_and(|peer| self.scripts.recovery.is_pending(peer.name()))
    }

    /// Answers why a script is neither run nor shown.
    pub(in crate::machine) fn refuse_script(
        &mut self,
        request: &ScriptRequest,
        failure: &[impl AsRef<str>],
    ) {
        let words = failure.iter().map(|word| word.as_ref().to_owned());
        let reply = Reply::Failed(words.collect());
        self.answer(request.by.connection, request.by.request, reply);
    }

    /// What the script needs to know has been answered.
    pub(in crate::machine) fn serve_script_request(&mut self, id: PeerId, request: &ScriptRequest) {
        self.commands.answered();
        // Much may have happened meanwhile.
        if let Err(failure) = self.admit_script(request) {
            return self.refuse_script(request, &failure);
        }
        if request.purpose == ScriptPurpose::Run && self.comes_too_early(id) {
            return self.refuse_script(request, &["peer-not-ready", &request.peer]);
        }
        let prepared = match request.script {
            InterfaceScript::Ifup => self.prepare_ifup(id),
            InterfaceScript::Ifdown => self.prepare_ifdown(id),
        };
        let Some(prepared) = prepared else {
            return self.refuse_script(request, &["peer-not-added", &request.peer]);
        };
        match request.purpose {
            ScriptPurpose::Run => {
                self.order(prepared, Some(request.by));
            }
            ScriptPurpose::Show => {
                let limit = self.script_limit(&prepared);
                let reply = match prepared.script {
                    Ok(Some(script)) => Reply::Script(Box::new(ScriptPlan {
                        command: script.command,
                        environment: script.environment,
                        limit,
                    })),
                    Ok(None) => Reply::Failed(vec!["no-script".to_owned(), prepared.peer]),
                    Err(error) => Reply::Failed(vec![
                        "not-started".to_owned(),
                        prepared.peer,
                        error.to_string(),
                    ]),
                };
                let size = length(&reply);
                if size > connect_policy::size::MAX_CONTENTS {
                    let why = connect_policy::size::too_large(size);
                    return self.refuse_script(request, &["not-started", &request.peer, &why]);
                }
                self.answer(request.by.connection, request.by.request, reply);
            }
        }
    }
}
