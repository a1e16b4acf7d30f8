// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts of which peers did not end well when they were last run.

use std::collections::BTreeMap;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::FailedScript;
use connect_ipc::scripts::{Ended, ScriptKind};

use super::ended_run::EndedRun;

/// The failed runs by peer: at most one of each kind of script, the latest last. Peers that neither
/// the server nor the database has are forgotten when a database is loaded.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct Failures(BTreeMap<String, Vec<EndedRun>>);

impl Failures {
    /// A run has ended: a failure is remembered until the script ends well, or the one that it was
    /// to undo has ended well again. A run that core has stopped says nothing about the script.
    pub(super) fn ended(&mut self, run: &EndedRun) {
        if run.end == Ended::Stopped {
            return;
        }
        let undone = match run.kind {
            ScriptKind::Ifup if run.end.failure().is_none() => Some(ScriptKind::Ifdown),
            ScriptKind::Connect if run.end.failure().is_none() => Some(ScriptKind::Disconnect),
            _ => None,
        };
        self.forget(&run.peer, &|kind| kind == run.kind || Some(kind) == undone);
        if run.end.failure().is_some() {
            // The last line says why, as a rule, and there may be very many peers.
            let last = run.output.last().cloned();
            let run = EndedRun {
                output: last.into_iter().collect(),
                ..run.clone()
            };
            self.remember(run);
        }
    }

    /// A failed run, of this core or of an earlier one.
    pub(in crate::machine) fn remember(&mut self, run: EndedRun) {
        self.0.entry(run.peer.clone()).or_default().push(run);
    }

    /// A peer is gone from the server, and with it what `ifup` and `connect` were to bring about.
    pub(in crate::machine) fn peer_removed(&mut self, peer: &str) {
        self.forget(peer, &|kind| {
            matches!(kind, ScriptKind::Ifup | ScriptKind::Connect)
        });
    }

    /// A peer was added again, so that no `disconnect` is wanted any more.
    pub(in crate::machine) fn peer_added(&mut self, peer: &str) {
        self.forget(peer, &|kind| kind == ScriptKind::Disconnect);
    }

    /// Forgets the scripts that no record names any more.
    pub(in crate::machine) fn retain(&mut self, is_named: impl Fn(&str, ScriptKind) -> bool) {
        self.0.retain(|peer, runs| {
            runs.retain(|run| is_named(peer, run.kind));
            !runs.is_empty()
        });
    }

    fn forget(&mut self, peer: &str, which: &dyn Fn(ScriptKind) -> bool) {
        if let Some(runs) = self.0.get_mut(peer) {
            runs.retain(|run| !which(run.kind));
            if runs.is_empty() {
                self.0.remove(peer);
            }
        }
    }

    /// Those of a peer, the latest last.
    pub(super) fn runs(&self, peer: &str) -> &[EndedRun] {
        self.0.get(peer).map_or(&[], Vec::as_slice)
    }

    /// Those of a peer, for operators.
    pub(in crate::machine) fn of(&self, peer: &str, now: Monotonic) -> Vec<FailedScript> {
        let failed = self.runs(peer).iter().filter_map(|run| {
            Some(FailedScript {
                kind: run.kind,
                failure: run.end.failure()?,
                ago: now.since(run.at).as_secs(),
            })
        });
        failed.collect()
    }

    /// All of them.
    pub(in crate::machine) fn iter(&self) -> impl Iterator<Item = &EndedRun> {
        self.0.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::scripts::ScriptFailure;

    fn run(peer: &str, kind: ScriptKind, end: Ended) -> EndedRun {
        EndedRun {
            peer: peer.to_owned(),
            at: Monotonic(1),
            kind,
            end,
            output: vec!["first".to_owned(), "last".to_owned()],
        }
    }

    fn failed(failures: &Failures, peer: &str) -> Vec<(ScriptKind, ScriptFailure)> {
        let list = failures.of(peer, Monotonic(1)).into_iter();
        list.map(|failed| (failed.kind, failed.failure)).collect()
    }

    #[test]
    fn a_failure_is_remembered_until_the_script_ends_well() {
        let (ifup, connect) = (ScriptKind::Ifup, ScriptKind::Connect);
        let mut failures = Failures::default();
        failures.ended(&run("p", connect, Ended::Lost));
        failures.ended(&run("p", ifup, Ended::Exited(1)));
        failures.ended(&run("q", ifup, Ended::TimedOut));
        let (lost, one) = (ScriptFailure::Lost, ScriptFailure::Exited(1));
        assert_eq!(failed(&failures, "p"), [(connect, lost), (ifup, one)]);
        assert_eq!(failures.runs("p")[1].output, ["last"]);

        failures.ended(&run("p", connect, Ended::Stopped));
        failures.ended(&run("p", connect, Ended::Signal(9)));
        let killed = ScriptFailure::Signal(9);
        assert_eq!(failed(&failures, "p"), [(ifup, one), (connect, killed)]);

        failures.ended(&run("p", ifup, Ended::Exited(0)));
        assert_eq!(failed(&failures, "p"), [(connect, killed)]);
        failures.ended(&run("p", connect, Ended::Exited(0)));
        assert_eq!(failed(&failures, "p"), []);
        assert_eq!(failures.iter().count(), 1, "that of q");
    }

    #[test]
    fn a_failure_to_undo_is_forgotten_when_the_same_was_done_again() {
        for (done, undo) in [
            (ScriptKind::Ifup, ScriptKind::Ifdown),
            (ScriptKind::Connect, ScriptKind::Disconnect),
        ] {
            let mut failures = Failures::default();
            failures.ended(&run("p", undo, Ended::Exited(1)));
            failures.ended(&run("p", done, Ended::Stopped));
            assert_eq!(failures.iter().count(), 1);
            failures.ended(&run("p", done, Ended::Exited(0)));
            assert_eq!(failures.iter().count(), 0);
        }
    }

    #[test]
    fn what_was_to_be_set_up_is_forgotten_with_the_peer_and_the_rest_with_its_record() {
        let mut failures = Failures::default();
        for kind in [ScriptKind::Ifup, ScriptKind::Ifdown, ScriptKind::Connect] {
            failures.ended(&run("p", kind, Ended::Exited(1)));
        }
        failures.peer_removed("p");
        failures.peer_removed("unknown");
        let ifdown = (ScriptKind::Ifdown, ScriptFailure::Exited(1));
        assert_eq!(failed(&failures, "p"), [ifdown]);
        failures.ended(&run("p", ScriptKind::Disconnect, Ended::Exited(1)));
        failures.peer_added("p");
        failures.retain(|_, kind| kind == ScriptKind::Ifdown);
        assert_eq!(failed(&failures, "p"), [ifdown]);
        failures.retain(|peer, _| peer != "p");
        assert_eq!(failures.iter().count(), 0);
    }
}
