// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts have failed: a core without the state of the last one shows the same as that one.

use std::collections::BTreeMap;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::control::{PeerDetail, PeerStatus, RecentScript, Reply, Request, ScriptCounters};
use connect_ipc::scripts::{
    Ended, EndedRun, FailureChange, FailureKey, FromScripts, InterfaceScript, ScriptFailure,
    ScriptKind, Stream, ToScripts, UnderWay,
};
use peerdb::Record;

use super::rig::{Rig, record};

const PAIRS: &[(&str, &str)] = &[
    ("peer", "INET 192.0.2.1 1"),
    ("ifup", "up"),
    ("ifdown", "down"),
];

const ADD: &str = "NOTE ADD p tun0 INET 192.0.2.1 1";
const KILL: &str = "NOTE KILL p";

fn records(pairs: &[(&str, &str)]) -> Vec<Record> {
    vec![record("p", pairs)]
}

/// A core, and what the script helper keeps of what it says.
struct World {
    rig: Rig,
    kept: BTreeMap<FailureKey, EndedRun>,
}

impl World {
    fn new(pairs: &[(&str, &str)]) -> Self {
        let rig = Rig::joined(&records(pairs), &[]);
        let kept = BTreeMap::new();
        World { rig, kept }
    }

    fn hear(&mut self, line: &str) {
        self.rig.hear(line);
        self.rig.answer_all();
    }

    /// The last run that was ordered ends so.
    fn ends(&mut self, end: Ended) {
        let ordered = self.rig.to_scripts.iter().rev();
        let run = ordered.into_iter().find_map(|message| match message {
            ToScripts::Run(runs) => Some(runs[0].run),
            _ => None,
        });
        let (run, stream, line) = (run.unwrap(), Stream::Stderr, "no such device".to_owned());
        self.rig
            .scripts_say(FromScripts::Output { run, stream, line });
        self.rig.scripts_say(FromScripts::Ended { run, end });
        self.rig.wait(Duration::from_secs(1));
    }

    /// What the script helper keeps, as `connect-ifscripts` does.
    fn keep(&mut self) {
        for message in &self.rig.to_scripts {
            let ToScripts::Failures(told) = message else {
                continue;
            };
            if told.all {
                self.kept.clear();
            }
            for change in told.changes.clone() {
                match change {
                    FailureChange::Failed(run) => {
                        self.kept.insert(run.key(), run);
                    }
                    FailureChange::Forgotten(key) => {
                        self.kept.remove(&key);
                    }
                }
            }
        }
    }

    /// Another core, without the state of this one, meets a server with these peers.
    fn restarted(mut self, pairs: &[(&str, &str)], peers: &[&str]) -> World {
        self.keep();
        let mut rig = Rig::alone(&records(pairs), false);
        (rig.now, rig.run) = (self.rig.now, self.rig.run);
        rig.kept = self.rig.setups();
        rig.kept_failures = self.kept.values().cloned().collect();
        rig.scripts_come();
        rig.meet(peers);
        rig.answer_all();
        rig.wait(Duration::from_secs(1));
        World {
            rig,
            kept: self.kept,
        }
    }
}

/// What is shown of `p`: what `status` has, how its scripts ended as `info` has it, and the counts.
fn shown(rig: &mut Rig) -> (PeerStatus, Vec<RecentScript>) {
    rig.answers.clear();
    rig.request(9, 9, Request::Status {});
    let rows = rig
        .answers
        .drain(..)
        .find_map(|(_, answer)| match answer.reply {
            Reply::Peers(rows) => rows.list.into_iter().find(|row| row.name == "p"),
            _ => None,
        });
    rig.request(9, 9, Request::Info { peer: "p".into() });
    let recent = match rig.answers.pop().unwrap().1.reply {
        Reply::Peer(detail) => {
            let PeerDetail { recent, .. } = *detail;
            recent
        }
        _ => Vec::new(),
    };
    (rows.unwrap(), recent)
}

/// The scripts of `p` that failed, as `status` has them.
fn failed(world: &mut World) -> Vec<(ScriptKind, ScriptFailure)> {
    let (row, _) = shown(&mut world.rig);
    let failed = row.scripts.failed.into_iter();
    failed.map(|it| (it.kind, it.failure)).collect()
}

#[test]
fn a_failed_script_is_shown_by_the_next_core_as_by_the_one_before() {
    let not_started = || Ended::NotStarted("no such file".to_owned());
    let unusable = [PAIRS[0], ("ifup", "a\0b"), PAIRS[2]];
    for (pairs, end) in [
        (PAIRS, Some(Ended::Exited(2))),
        (PAIRS, Some(Ended::TimedOut)),
        (PAIRS, Some(Ended::Lost)),
        (PAIRS, Some(not_started())),
        // It cannot even be handed to the script helper.
        (&unusable, None),
    ] {
        let mut old = World::new(pairs);
        old.hear(ADD);
        if let Some(end) = end {
            old.ends(end);
        }
        old.rig.wait(Duration::from_secs(9));
        let before = shown(&mut old.rig);
        assert_eq!(before.0.scripts.failed.len(), 1);
        let mut new = old.restarted(pairs, &["p"]);
        let (mut row, mut recent) = shown(&mut new.rig);
        assert_eq!(
            row.scripts.failed[0].ago,
            before.0.scripts.failed[0].ago + 1
        );
        (row.scripts.failed[0].ago, recent[0].ago) =
            (before.0.scripts.failed[0].ago, before.1[0].ago);
        assert_eq!((row.scripts, recent), (before.0.scripts, before.1));
        // It is shown, and neither told nor counted again, and nothing is run.
        let counters = new.rig.service().counters.scripts;
        assert_eq!(counters, ScriptCounters::default());
        assert!(new.rig.ordered().is_empty());
    }
}

#[test]
fn a_failure_that_does_not_count_any_more_does_not_come_back() {
    let ifup = (ScriptKind::Ifup, ScriptFailure::Exited(2));
    let ifdown = (ScriptKind::Ifdown, ScriptFailure::Exited(1));
    // The peer was removed and added again, and its new `ifup` waits.
    let mut old = World::new(PAIRS);
    old.hear(ADD);
    old.ends(Ended::Exited(2));
    old.hear(KILL);
    old.ends(Ended::Exited(1));
    old.hear(ADD);
    assert_eq!(failed(&mut old), [ifdown]);
    let mut new = old.restarted(PAIRS, &["p"]);
    assert_eq!(failed(&mut new), [ifdown]);

    // It went while no core was there, or its record did, or another one came in its place.
    for (pairs, peers, expected) in [
        (PAIRS, &["p"][..], vec![ifup]),
        (PAIRS, &[], vec![]),
        (&[PAIRS[0], PAIRS[2]], &["p"], vec![]),
    ] {
        let mut old = World::new(PAIRS);
        old.hear(ADD);
        old.ends(Ended::Exited(2));
        let mut new = old.restarted(pairs, peers);
        new.keep();
        assert_eq!(new.kept.len(), expected.len(), "the helper is told");
        if peers.is_empty() {
            new.hear(ADD);
        }
        assert_eq!(failed(&mut new), expected);
    }
    // The server was started again, and has another peer of this name.
    let mut old = World::new(PAIRS);
    old.hear(ADD);
    old.ends(Ended::Exited(2));
    old.rig.run += 1;
    let mut new = old.restarted(PAIRS, &["p"]);
    assert_eq!(failed(&mut new), []);
    new.ends(Ended::Exited(2));
    assert_eq!(failed(&mut new), [ifup]);
}

#[test]
fn a_helper_that_takes_over_is_told_all_that_has_failed() {
    let told = |rig: &mut Rig| -> Vec<(bool, usize)> {
        let told = rig
            .to_scripts
            .drain(..)
            .filter_map(|message| match message {
                ToScripts::Failures(told) => Some((told.all, told.changes.len())),
                _ => None,
            });
        told.collect()
    };
    let mut world = World::new(PAIRS);
    world.rig.scripts_come();
    assert_eq!(told(&mut world.rig), [], "there is nothing to tell");
    world.hear(ADD);
    world.ends(Ended::Exited(2));
    assert_eq!(told(&mut world.rig), [(false, 1)]);
    world.rig.scripts_come();
    assert_eq!(told(&mut world.rig), [(true, 1)]);
    // It may be lost before it hears that this does not count any more.
    world.hear(KILL);
    world.rig.scripts_come();
    let told = told(&mut world.rig);
    assert_eq!(told.last(), Some(&(true, 0)));
}

#[test]
fn the_script_helper_is_told_of_a_failure_before_the_run_is_settled() {
    let mut world = World::new(PAIRS);
    world.hear(ADD);
    world.ends(Ended::Exited(2));
    let told: Vec<_> = world.rig.to_scripts.iter().rev().take(2).collect();
    let [ToScripts::Settled(_), ToScripts::Failures(_)] = told[..] else {
        panic!("{told:?}");
    };
}

#[test]
fn of_two_failures_of_a_script_the_later_one_counts() {
    let mut old = World::new(PAIRS);
    old.hear(ADD);
    old.ends(Ended::Exited(2));
    old.rig.request(1, 1, again());
    old.rig.answer_all();
    old.ends(Ended::Exited(3));
    let later = (ScriptKind::Ifup, ScriptFailure::Exited(3));
    assert_eq!(failed(&mut old), [later]);
    let mut new = old.restarted(PAIRS, &["p"]);
    assert_eq!(failed(&mut new), [later]);
    new.rig.request(1, 1, again());
    new.rig.answer_all();
    new.ends(Ended::Exited(0));
    assert_eq!(failed(&mut new), []);
}

/// A script helper may be sooner than the server's list.
#[test]
fn a_run_whose_end_is_told_before_the_peers_are_known_counts_if_its_peer_is_there() {
    let run = RunId(7);
    let under_way = UnderWay {
        run,
        peer: "p".to_owned(),
        kind: ScriptKind::Ifup,
        child: None,
        limit: None,
    };
    for peers in [&["p"][..], &[]] {
        let mut rig = Rig::alone(&records(PAIRS), false);
        rig.scripts_come_with(vec![under_way.clone()]);
        let end = Ended::NotStarted("no such file".to_owned());
        rig.scripts_say(FromScripts::Ended { run, end });
        rig.meet(peers);
        rig.answer_all();
        rig.wait(Duration::from_secs(1));
        let kept = BTreeMap::new();
        let mut world = World { rig, kept };
        world.keep();
        let is_kept = world.kept.keys().any(|it| it.kind == ScriptKind::Ifup);
        assert_eq!(is_kept, !peers.is_empty());
        if is_kept {
            let expected = (ScriptKind::Ifup, ScriptFailure::NotStarted);
            assert_eq!(failed(&mut world), [expected]);
        }
    }
}

fn again() -> Request {
    let (peer, script) = ("p".to_owned(), InterfaceScript::Ifup);
    Request::RunScript { peer, script }
}
