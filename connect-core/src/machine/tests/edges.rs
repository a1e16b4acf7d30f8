// SPDX-License-Identifier: GPL-3.0-or-later
//! Decisions at the edge of a limit or in a moment that is rare, each of which no other test saw
//! when it was changed (`tests/mutants`).

use std::sync::Arc;
use std::time::Duration;

use connect_ipc::control::{PeerState, Reply, Request};
use connect_ipc::frame::{MAX_FRAME, length};
use connect_ipc::scripts::{InterfaceScript, ToScripts};
use connect_ipc::setup::{Pair, SetupState};
use connect_policy::size::MAX_RECORD;
use peerdb::{Database, Record};

use super::super::Loaded;
use super::hand_played::submit;
use super::recovery::{ADD, BOTH, PAIRS};
use super::rig::{Rig, record};
use super::scripts::replies;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn passive_takes_its_option_and_no_other() {
    let mut rig = Rig::joined(&[record("passive", &[("peer", "PASSIVE")])], &[]);
    for option in ["-timeout", "-TIMEOUT"] {
        rig.request(1, 1, submit(&["passive", option, "5s", "u"]));
        assert_eq!(rig.sent(), ["GETCHAL"], "{option}");
    }
    rig.request(1, 1, submit(&["passive", "-timeout", "soon", "u"]));
    let refused = Reply::Failed(words(&["bad-time-spec", "soon"]));
    assert_eq!(replies(&mut rig), [refused]);
    rig.request(1, 1, submit(&["passive", "-late", "5s", "u"]));
    let told = replies(&mut rig);
    assert!(
        matches!(&told[..], [Reply::Failed(words)] if words[0] == "bad-svc-syntax"),
        "{told:?}"
    );
    assert_eq!(rig.sent(), [""; 0]);
}

#[test]
fn without_its_server_an_adopted_peer_is_of_unknown_state() {
    let records = [record("p", &[("watch", "t"), ("peer", "PASSIVE")])];
    let mut rig = Rig::joined(&records, &["p"]);
    let state = |rig: &mut Rig| rig.rows()[0].state;
    assert_eq!(state(&mut rig), PeerState::Checking);
    // It is not overdue as well: that comes later.
    rig.lose_server();
    assert_eq!(state(&mut rig), PeerState::Unknown);
}

#[test]
fn an_addition_is_unusually_long_after_a_minute_and_not_at_it() {
    let records = [record("p", &[("peer", "INET 192.0.2.1 1")])];
    let mut rig = Rig::joined(&records, &[]);
    rig.database_with_auto(&records, &["p"]);
    rig.request(1, 1, submit(&["active", "p"]));
    let sent = rig.sent();
    let tag = sent[0].split(' ').nth(2).unwrap_or_default();
    rig.hear(&format!("BGDETACH {tag}"));
    let pending = |rig: &mut Rig| rig.rows()[0].connection.pending;
    rig.wait(Duration::from_secs(60));
    assert_eq!(pending(&mut rig), None);
    rig.wait(Duration::from_secs(1));
    assert_eq!(pending(&mut rig), Some(61));
}

#[test]
fn before_the_first_list_of_peers_no_script_is_run_for_an_operator() {
    let mut rig = Rig::new(&[record("p", BOTH)]);
    rig.connect_server();
    let (peer, script) = ("p".to_owned(), InterfaceScript::Ifup);
    rig.request(1, 1, Request::RunScript { peer, script });
    let unavailable = Reply::Failed(words(&["server-unavailable"]));
    assert_eq!(replies(&mut rig), [unavailable]);
}

/// The size of the largest message that orders runs of a peer whose record has a note of this
/// length, and whether its setup has the record.
fn order(note: usize) -> (usize, bool) {
    let note = "x".repeat(note);
    let pairs: Vec<_> = PAIRS.iter().copied().chain([("note", &*note)]).collect();
    let mut rig = Rig::joined(&[record("p", &pairs)], &[]);
    rig.hear(ADD);
    rig.answer_all();
    let mut orders = rig.to_scripts.iter().filter_map(|message| match message {
        ToScripts::Run(runs) => Some((message, &runs[0])),
        _ => None,
    });
    let (message, run) = orders.next_back().expect("a script is ordered");
    let Some(SetupState::Made(made)) = &run.setup else {
        panic!("{run:?}")
    };
    (length(message), !made.record.is_empty())
}

#[test]
fn an_order_that_fits_exactly_into_a_message_keeps_the_record() {
    // The note stands in the environment and in the record.
    let (small, has_record) = order(2);
    assert!(has_record);
    let largest = 2 + (MAX_FRAME - small) / 2;
    let (size, has_record) = order(largest);
    assert!(has_record, "{size} bytes of {MAX_FRAME}");
    assert!(MAX_FRAME - size < 2, "{size} bytes of {MAX_FRAME}");
    let (size, has_record) = order(largest + 1);
    assert!(!has_record && size < MAX_FRAME, "{size} bytes");
}

/// The record of a peer with a note of this length as `info` shows it, and its size if it is left
/// out.
fn shown(note: usize) -> (Option<usize>, Option<usize>) {
    let note = "x".repeat(note);
    let mut rig = Rig::joined(&[record("p", &[("peer", "PASSIVE"), ("note", &note)])], &[]);
    let peer = "p".to_owned();
    rig.request(1, 1, Request::Info { peer });
    match &replies(&mut rig)[..] {
        [Reply::Peer(detail)] => (detail.record.as_ref().map(length), detail.oversize),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_largest_record_that_fits_is_shown() {
    let (small, _) = shown(1);
    let largest = 1 + MAX_RECORD - small.expect("a small record is shown");
    assert_eq!(shown(largest), (Some(MAX_RECORD), None));
    assert_eq!(shown(largest + 1), (None, Some(MAX_RECORD + 1)));
}

#[test]
fn orders_to_ping_peers_that_have_gone_are_forgotten_long_before_they_are_due() {
    let records = [record("p", &[("watch", "t"), ("peer", "PASSIVE")])];
    let mut rig = Rig::joined(&records, &[]);
    for _ in 0..3_000 {
        rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
        let (id, due) = (rig.id("p"), rig.now + Duration::from_secs(3_600));
        rig.order_ahead(id, 1, due);
        rig.hear("NOTE KILL p");
    }
    let queued = rig.machine.backlog().pings_queued;
    assert!((1..=1_100).contains(&queued), "{queued} orders for no peer");
}

#[test]
fn faults_of_a_database_are_listed_or_counted_and_none_is_both() {
    let odd = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../lib/peerdb/tests/fixtures/odd.cdb"
    );
    let database = Database::read(&std::fs::read(odd).unwrap()).unwrap();
    let all = database.faults().len();
    assert!(all > 0);
    match Loaded::from(Ok(database)) {
        Loaded::Usable {
            faults,
            more_faults,
            ..
        } => assert_eq!(faults.len() + more_faults, all),
        other @ Loaded::Faulty { .. } => panic!("{other:?}"),
    }
}

#[test]
fn what_was_never_started_is_noted_as_undone_when_its_peer_has_gone() {
    let records: [Record; 1] = [record("p", BOTH)];
    let mut old = Rig::joined(&records, &[]);
    old.hear(ADD);
    old.answer_all();
    let mut kept = old.setups();
    for setup in &mut kept {
        if let SetupState::Made(made) = &mut setup.state {
            let made = Arc::make_mut(made);
            made.runs.clear();
            made.never_started = true;
        }
    }
    let mut rig = Rig::alone(&records, false);
    rig.kept = kept;
    rig.scripts_come();
    rig.meet(&[]);
    rig.answer_all();
    let runs = |message: &&ToScripts| matches!(message, ToScripts::Run(_));
    assert_eq!(rig.to_scripts.iter().find(runs), None, "nothing is undone");
    let noted = rig.setups();
    for pair in [Pair::Interface, Pair::Connection] {
        let setup = noted.iter().find(|setup| setup.key.pair == pair);
        assert_eq!(
            setup.map(|setup| &setup.state),
            Some(&SetupState::Undone {}),
            "{pair:?}"
        );
    }
}
