// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts of which peers failed when they were last run.

use std::collections::{BTreeMap, BTreeSet};

use connect_ipc::clock::Monotonic;
use connect_ipc::control::FailedScript;
use connect_ipc::scripts::{Ended, EndedRun, FailureChange, FailureKey, ScriptKind};

/// How much is kept of the reason why a script was not started: it may quote the record.
const REASON: usize = 300;

/// The failed runs. Peers that neither the server nor the database has are forgotten when a
/// database is loaded.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct Failures {
    /// By peer: at most one of each kind of script, the latest last.
    runs: BTreeMap<String, Vec<EndedRun>>,
    /// What has changed since the script helper was told, which keeps the same for the next core.
    untold: BTreeSet<FailureKey>,
    /// Whether a script helper may keep any.
    kept: bool,
}

impl Failures {
    /// A run has ended. A failure is remembered until the script succeeds, or until the script that
    /// it undoes has succeeded again. A run that core has stopped says nothing about the script.
    pub(super) fn ended(&mut self, run: &EndedRun) {
        if run.end == Ended::Stopped {
            return;
        }
        if run.end.failure().is_none() {
            // The helper, which has reported this end, forgets it by itself.
            let is_over = |kind| kind == run.kind || Some(kind) == run.kind.undone_by();
            self.forget(&run.peer, &is_over);
            return;
        }
        let end = match &run.end {
            Ended::NotStarted(why) => Ended::NotStarted(why.chars().take(REASON).collect()),
            end => end.clone(),
        };
        // Only the last line is kept: it usually says why, and there may be very many peers.
        let last = run.output.last().cloned();
        self.untold.insert(run.key());
        self.remember(EndedRun {
            peer: run.peer.clone(),
            end,
            output: last.into_iter().collect(),
            ..*run
        });
    }

    /// A failed run, of this core or of an earlier one.
    pub(in crate::machine) fn remember(&mut self, run: EndedRun) {
        let runs = self.runs.entry(run.peer.clone()).or_default();
        let is_later = |known: &EndedRun| known.kind == run.kind && known.at > run.at;
        if !runs.iter().any(is_later) {
            runs.retain(|known| known.kind != run.kind);
            runs.insert(runs.partition_point(|known| known.at <= run.at), run);
        }
    }

    /// A peer is removed from the server, so failures of its `ifup`, `connect` and `on-up` no
    /// longer matter.
    pub(in crate::machine) fn peer_removed(&mut self, peer: &str) {
        let is_over = |kind: ScriptKind| kind.undone_by().is_some();
        let forgotten = self.forget(peer, &is_over);
        self.untold.extend(forgotten);
    }

    /// A peer was added again, so a failure of `disconnect` no longer matters.
    pub(in crate::machine) fn peer_added(&mut self, peer: &str) {
        let forgotten = self.forget(peer, &|kind| kind == ScriptKind::Disconnect);
        self.untold.extend(forgotten);
    }

    /// Forgets the scripts that no record names any more.
    pub(in crate::machine) fn retain(&mut self, is_named: impl Fn(&str, ScriptKind) -> bool) {
        let untold = &mut self.untold;
        self.runs.retain(|peer, runs| {
            let forgotten = runs.extract_if(.., |run| !is_named(peer, run.kind));
            untold.extend(forgotten.map(|run| run.key()));
            !runs.is_empty()
        });
    }

    /// Forgets these scripts of a peer, and returns them.
    fn forget(&mut self, peer: &str, which: &dyn Fn(ScriptKind) -> bool) -> Vec<FailureKey> {
        let Some(runs) = self.runs.get_mut(peer) else {
            return Vec::new();
        };
        let forgotten = runs.extract_if(.., |run| which(run.kind));
        let forgotten = forgotten.map(|run| run.key()).collect();
        if runs.is_empty() {
            self.runs.remove(peer);
        }
        forgotten
    }

    /// Whether there is something to tell the script helper.
    pub(super) fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// What to tell the script helper.
    pub(super) fn take_untold(&mut self) -> Vec<FailureChange> {
        let change = |key: FailureKey| {
            let mut runs = self.runs.get(&key.peer).into_iter().flatten();
            match runs.find(|run| run.kind == key.kind) {
                Some(run) => FailureChange::Failed(run.clone()),
                None => FailureChange::Forgotten(key),
            }
        };
        let untold = std::mem::take(&mut self.untold);
        let changes: Vec<_> = untold.into_iter().map(change).collect();
        self.kept |= !changes.is_empty();
        changes
    }

    /// Everything, for a script helper that may lack the last changes; `None` if there is nothing,
    /// and it keeps nothing.
    pub(super) fn take_all(&mut self) -> Option<Vec<FailureChange>> {
        self.untold.clear();
        self.kept |= !self.runs.is_empty();
        let all = || self.iter().cloned().map(FailureChange::Failed).collect();
        self.kept.then(all)
    }

    /// What the script helper keeps of earlier cores.
    pub(super) fn told(&mut self, failures: Vec<EndedRun>) {
        self.kept |= !failures.is_empty();
        for run in failures {
            self.remember(run);
        }
    }

    /// Forgets the failures of `ifup` and `connect` of peers that are gone.
    pub(super) fn keep_present(&mut self, is_present: impl Fn(&str) -> bool) {
        let absent = self.runs.keys().filter(|peer| !is_present(peer));
        for peer in absent.cloned().collect::<Vec<_>>() {
            self.peer_removed(&peer);
        }
    }

    /// The failed runs of a peer, the latest last.
    pub(super) fn runs(&self, peer: &str) -> &[EndedRun] {
        self.runs.get(peer).map_or(&[], Vec::as_slice)
    }

    /// The failed scripts of a peer, for operators.
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

    /// The failed runs of all peers.
    pub(in crate::machine) fn iter(&self) -> impl Iterator<Item = &EndedRun> {
        self.runs.values().flatten()
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
