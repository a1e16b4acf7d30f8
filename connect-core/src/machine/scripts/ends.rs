// SPDX-License-Identifier: GPL-3.0-or-later
//! What follows from the end of a run: the warning, the counts, what is remembered, and the answer
//! to an operator who requested it.

use connect_ipc::RunId;
use connect_ipc::control::{Reply, RunProgress, ServerLink};
use connect_ipc::event::EventKind;
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::scripts::{Ended, EndedRun, ScriptFailure, ScriptKind, ToScripts};

use crate::machine::Machine;
use crate::machine::requester::OperatorRequest;

/// How many ended scripts are remembered for operators, over all peers.
const RECENT: usize = 256;

impl Machine {
    /// A run has ended (the manual, "Warnings"), or could not be ordered.
    pub(super) fn conclude(
        &mut self,
        id: Option<RunId>,
        run: EndedRun,
        asked_by: Option<OperatorRequest>,
    ) {
        let (kind, peer, end) = (run.kind.name(), run.peer.as_str(), &run.end);
        if let Some((code, word)) = warning(end) {
            self.warn_of(id, [kind, peer, code], word.as_slice());
        }
        let counters = &mut self.events.counters.scripts;
        let counter = match end.failure() {
            None => &mut counters.ok,
            Some(
                ScriptFailure::Exited(_) | ScriptFailure::Signal(_) | ScriptFailure::Unknown(_),
            ) => &mut counters.failed,
            Some(ScriptFailure::TimedOut) => &mut counters.timed_out,
            Some(ScriptFailure::NotStarted) => &mut counters.not_started,
            Some(ScriptFailure::Lost) => &mut counters.lost,
        };
        *counter += 1;
        self.emit(Some(peer), || EventKind::Ended {
            script: run.kind,
            end: end.clone(),
        });
        if let Some(by) = asked_by {
            let ended = Reply::Run(RunProgress::Ended(end.clone()));
            self.answer(by.connection, by.request, ended);
        }
        if run.kind == ScriptKind::Ifup {
            let failure = warning(end).map(|(code, word)| {
                let words = [code.to_owned()].into_iter().chain(word);
                words.collect()
            });
            self.ifup_ended(id, &run.peer, failure);
        }
        self.scripts.settle_undoing(&run.peer);
        self.scripts.failures.ended(&run);
        // Before the server has listed its peers, none is known. Then this is decided by
        // `forget_outdated_failures`.
        let are_known = self.server.link() == ServerLink::Up;
        if are_known && self.peers.find(&run.peer).is_none() {
            // It ended after its peer.
            self.scripts.failures.peer_removed(&run.peer);
        }
        if self.scripts.recent.len() == RECENT {
            self.scripts.recent.pop_front();
        }
        self.scripts.recent.push_back(run);
    }

    /// Orders what was decided for peers, and tells the helper to forget the runs that are done.
    pub(in crate::machine) fn tend_scripts(&mut self) {
        self.reconcile_more();
        if self.scripts.failures.has_untold() && self.scripts.helper.ready().is_some() {
            self.scripts.settling.wake(self.now);
        }
        if self
            .scripts
            .settling
            .due()
            .is_some_and(|due| due <= self.now)
        {
            self.settle_runs();
        }
    }

    /// Tells the script helper which scripts have failed, and then which runs are done: if it is
    /// lost in between, the next one reports their end again.
    pub(super) fn settle_runs(&mut self) {
        self.tell_new_failures();
        let runs = self.scripts.settling.take();
        // A helper that connects later says which it keeps.
        for some in runs.chunks(ITEMS_PER_FRAME) {
            self.tell_scripts(ToScripts::Settled(some.to_vec()));
        }
    }
}

/// The code of the warning about an end, and the word after it; `None` if there is no warning.
fn warning(end: &Ended) -> Option<(&'static str, Option<String>)> {
    Some(match end {
        Ended::Exited(0) | Ended::Stopped => return None,
        Ended::Exited(status) => ("exit-nonzero", Some(status.to_string())),
        Ended::Signal(signal) => ("exit-signal", Some(format!("S{signal}"))),
        Ended::Unknown(status) => ("exit-unknown", Some(format!("{status:#x}"))),
        Ended::NotStarted(why) => ("not-started", Some(why.clone())),
        Ended::TimedOut => ("timed-out", None),
        Ended::Lost => ("exit-lost", None),
    })
}
