// SPDX-License-Identifier: GPL-3.0-or-later
//! What a core leaves for the next one, if that one is killed in its turn, has no database, or sees
//! peers come and go before it has decided anything.

use std::sync::Arc;
use std::time::Duration;

use connect_ipc::changes::RecordStanding;
use connect_ipc::pinger::PingResult;
use connect_ipc::setup::{Setup, SetupState};
use peerdb::{Database, Record};

use super::super::{DatabaseCopy, State};
use super::rig::{Rig, record};

pub(super) const PAIRS: &[(&str, &str)] = &[
    ("watch", "t"),
    ("peer", "INET 192.0.2.1 1"),
    ("ifup", "up"),
    ("ifdown", "down"),
    ("every", "1h"),
];

pub(super) fn records() -> Vec<Record> {
    ["p", "q"].map(|name| record(name, PAIRS)).to_vec()
}

pub(super) fn scripts(rig: &mut Rig) -> Vec<String> {
    rig.take_orders();
    let runs = rig.ordered();
    runs.iter()
        .map(|run| format!("{} {}", run.kind.name(), run.peer))
        .collect()
}

pub(super) fn found() -> State {
    let mut rig = Rig::alone(&records(), false);
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.take_orders();
    rig.saved()
}

pub(super) const ADD: &str = "NOTE ADD p tun0 INET 192.0.2.1 1";

/// `p` was found, is killed while no helper is there (first state), and added again (second
/// state). Then the helper comes, has all orders, and core is killed before it saves again.
fn stale() -> (State, State, Vec<Setup>) {
    let mut old = Rig::alone(&records(), false);
    old.inherit(found());
    old.meet(&["p", "q"]);
    old.answer_all();
    old.hear("NOTE KILL p");
    let gone = old.saved();
    old.hear(ADD);
    old.answer_all();
    let back = old.saved();
    old.scripts_come();
    old.answer_all();
    (gone, back, old.setups())
}

fn heir(state: State, kept: &[Setup]) -> Rig {
    let mut rig = Rig::alone(&records(), false);
    rig.now = rig.now + Duration::from_secs(1);
    rig.inherit(state);
    rig.kept = kept.to_vec();
    rig
}

/// The server does not list `p`, which is added before the script helper has said what it keeps.
#[test]
fn an_addition_that_is_seen_counts_though_an_old_state_says_that_the_peer_was_gone() {
    let (gone, _, kept) = stale();
    let mut rig = heir(gone, &kept);
    rig.meet(&["q"]);
    rig.answer_all();
    rig.hear(ADD);
    rig.answer_all();
    rig.scripts_come();
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifdown p", "ifup p"]);
}

#[test]
fn so_does_one_between_claim_and_list() {
    let (gone, _, kept) = stale();
    let mut rig = heir(gone, &kept);
    rig.scripts_come();
    rig.connect_server();
    for line in ["OK", "OK", ADD, "INFO p", "INFO q"] {
        rig.hear(line);
    }
    rig.sent();
    rig.hear("OK");
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifdown p", "ifup p"]);
}

/// Here the state has `p` both as a peer and as gone.
#[test]
fn so_does_one_before_the_claim() {
    let (_, back, kept) = stale();
    let mut rig = heir(back, &kept);
    rig.scripts_come();
    rig.connect_server();
    for line in ["OK", "NOTE KILL p", ADD, "OK", "INFO p", "INFO q"] {
        rig.hear(line);
    }
    // They are answered already.
    rig.sent();
    rig.hear("OK");
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifdown p", "ifup p"]);
}

#[test]
fn what_start_up_has_to_do_is_done_by_the_next_core_if_that_one_has_the_first_database() {
    let mut rig = Rig::with_damaged_database(true);
    rig.scripts_come();
    rig.meet(&["q"]);
    rig.answer_all();
    let mut next = Rig::alone(&records(), true);
    next.inherit(rig.saved());
    next.scripts_come();
    next.meet(&["q"]);
    next.answer_all();
    assert_eq!(scripts(&mut next), ["ifup q"]);
}

/// `p` is gone, and its undoing is in the state, with or without its record.
fn undoes_without_database(has_record: bool) -> (Vec<String>, Vec<String>) {
    let mut old = Rig::alone(&records(), false);
    old.inherit(found());
    old.meet(&["q"]);
    old.answer_all();
    let mut state = serde_json::to_value(old.saved()).unwrap();
    if !has_record {
        let gone = state["unfinished"][0].as_object_mut().unwrap();
        assert!(gone.remove("record").is_some());
    }
    let mut rig = Rig::with_damaged_database(false);
    rig.inherit(serde_json::from_value(state).unwrap());
    rig.scripts_come();
    rig.meet(&["q"]);
    rig.answer_all();
    let before = scripts(&mut rig);
    let left = serde_json::to_value(rig.saved()).unwrap();
    assert_eq!(left.get("unfinished").is_some(), !has_record);
    rig.database(&records());
    rig.answer_all();
    (before, scripts(&mut rig))
}

#[test]
fn what_is_to_be_undone_waits_for_the_first_database_unless_its_record_is_known() {
    let ifdown = || vec!["ifdown p".to_owned()];
    assert_eq!(undoes_without_database(true), (ifdown(), vec![]));
    assert_eq!(undoes_without_database(false), (vec![], ifdown()));
}

#[test]
fn a_found_peer_that_goes_without_a_database_is_taken_down_with_the_first() {
    let mut rig = Rig::with_damaged_database(false);
    rig.inherit(found());
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    rig.answer_all();
    rig.database(&records());
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifdown p"]);
}

/// The record is removed before the next core starts.
#[test]
fn what_is_to_be_undone_outlasts_its_record() {
    let mut old = Rig::alone(&records(), false);
    old.inherit(found());
    old.meet(&["p", "q"]);
    old.answer_all();
    old.hear("NOTE KILL p");
    let mut rig = Rig::alone(&records()[1..], false);
    rig.inherit(old.saved());
    rig.scripts_come();
    rig.meet(&["q"]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifdown p"]);
}

/// The script helper keeps nothing of a peer that was there before the service. Its record is
/// removed while no core runs, and a third core knows it only from the second.
#[test]
fn a_found_peer_that_was_removed_meanwhile_is_taken_down_when_it_goes() {
    let kept = || DatabaseCopy(Arc::new(Database::from_parts(records(), [], [])));
    let next = |state, kept| {
        let mut rig = Rig::alone(&records()[1..], false);
        rig.inherit_all(state, kept);
        rig.scripts_come();
        rig.meet(&["p", "q"]);
        rig.answer_all();
        let told = rig.rows().into_iter().map(|row| row.connection.record);
        assert_eq!(
            told.collect::<Vec<_>>(),
            [Some(RecordStanding::Removed), None]
        );
        rig
    };
    let mut second = next(found(), Some(kept()));
    let state = second.saved();
    let mut third = next(state, None);
    for rig in [&mut second, &mut third] {
        rig.hear("NOTE KILL p");
        rig.answer_all();
        assert_eq!(scripts(rig), ["ifdown p"]);
    }
}

#[test]
fn a_found_peer_that_was_removed_while_core_ran_is_taken_down_by_the_next() {
    let mut old = Rig::alone(&records(), false);
    old.inherit(found());
    old.scripts_come();
    old.meet(&["p", "q"]);
    old.answer_all();
    old.database(&records()[1..]);
    let mut rig = Rig::alone(&records()[1..], false);
    rig.inherit(old.saved());
    rig.scripts_come();
    rig.meet(&["q"]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifdown p"]);
}

#[test]
fn an_ifup_that_an_earlier_core_owes_outlasts_a_time_without_a_database() {
    let mut old = Rig::alone(&records(), false);
    old.scripts_come();
    old.meet(&["q"]);
    old.answer_all();
    old.scripts_go();
    old.hear(ADD);
    old.answer_all();
    let mut rig = Rig::with_damaged_database(false);
    rig.inherit(old.saved());
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.database(&records());
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifup p"]);
}

#[test]
fn so_does_that_of_a_peer_that_came_while_there_was_no_core() {
    let mut old = Rig::alone(&records(), false);
    old.scripts_come();
    old.meet(&["q"]);
    old.answer_all();
    let mut rig = Rig::with_damaged_database(false);
    rig.inherit(old.saved());
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.database(&records());
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifup p"]);
}

#[test]
fn a_peer_that_is_added_without_a_database_is_set_up_with_the_first_whenever_the_helper_comes() {
    let ordered = |helper_first: bool| {
        let mut rig = Rig::with_damaged_database(false);
        if helper_first {
            rig.scripts_come();
        }
        rig.meet(&["q"]);
        rig.answer_all();
        rig.hear(ADD);
        rig.answer_all();
        rig.database(&records());
        rig.answer_all();
        if !helper_first {
            rig.scripts_come();
            rig.answer_all();
        }
        scripts(&mut rig)
    };
    for helper_first in [true, false] {
        assert_eq!(ordered(helper_first), ["ifup p"], "{helper_first}");
    }
}

const RETRY: &[(&str, &str)] = &[
    ("watch", "t"),
    ("peer", "INET hub.example.com 4070"),
    ("retries", "3"),
    ("backoff", "10s"),
    ("backoff-max", "40s"),
    ("when-dead", "retry"),
];

fn successor(old: &mut Rig, records: &[Record], startup: bool) -> Rig {
    let state = old.saved();
    let mut next = Rig::alone(&[], startup);
    next.now = old.now;
    next.database_with_auto(records, &["p"]);
    next.inherit(state);
    next.pinger_comes();
    next.scripts_come();
    next.meet(&[]);
    next
}

/// The server is still looking up the host name. If that failed, the peer would not be added again.
#[test]
fn a_start_up_addition_under_way_goes_on_with_the_next_core() {
    for pairs in [RETRY, &RETRY[..RETRY.len() - 1]] {
        let records = [record("p", pairs)];
        let mut rig = Rig::alone(&[], true);
        rig.database_with_auto(&records, &["p"]);
        rig.pinger_comes();
        rig.scripts_come();
        rig.meet(&[]);
        assert!(rig.sent().iter().any(|it| it.starts_with("ADD ")));
        let mut next = successor(&mut rig, &records, true);
        assert!(next.adds("p"));
        if pairs != RETRY {
            next.hear("NOTE ADD p tun0 INET 192.0.2.1 4070");
            next.hear("OK");
            next.answer_all();
            let mut after = successor(&mut next, &records, true);
            assert!(!after.adds("p"), "it was removed since");
        }
    }
}

/// The server is lost while it looks up the name of `p`, or core ends. An operator has killed `q`.
#[test]
fn only_the_start_up_additions_that_were_under_way_go_on() {
    let once = &RETRY[..RETRY.len() - 1];
    let records = [record("p", once), record("q", once)];
    for core_ends in [true, false] {
        let mut rig = Rig::alone(&[], true);
        rig.database_with_auto(&records, &["p", "q"]);
        rig.pinger_comes();
        rig.scripts_come();
        rig.meet(&[]);
        let sent = rig.sent();
        let [p, q] = ["p", "q"].map(|name| {
            let name = format!(" {name} ");
            let line = sent
                .iter()
                .find(|line| line.contains(&name))
                .expect("an addition");
            line.split(' ').nth(2).expect("a tag").to_owned()
        });
        rig.hear(&format!("BGDETACH {p}"));
        rig.hear(&format!("BGDETACH {q}"));
        rig.hear("NOTE ADD q tun0 INET 192.0.2.1 4070");
        rig.hear(&format!("BGOK {q}"));
        rig.answer_all();
        rig.hear("NOTE KILL q");
        let mut rig = if core_ends {
            let state = rig.saved();
            let mut next = Rig::alone(&[], true);
            next.now = rig.now;
            next.database_with_auto(&records, &["p", "q"]);
            next.inherit(state);
            next
        } else {
            rig.lose_server();
            rig
        };
        rig.meet(&[]);
        let sent = rig.sent();
        let adds: Vec<_> = sent
            .iter()
            .filter(|line| line.starts_with("ADD "))
            .collect();
        assert_eq!(adds.len(), 1, "{sent:?}");
        assert!(adds[0].contains(" p "), "{sent:?}");
    }
}

/// A removed record only undoes what was made with it.
#[test]
fn nothing_is_made_with_a_record_that_was_removed() {
    let kept = || DatabaseCopy(Arc::new(Database::from_parts(records(), [], [])));
    // Another peer of that name is there, and the journal has what was made for the first.
    let mut first = Rig::alone(&records(), false);
    first.scripts_come();
    first.meet(&["q"]);
    first.answer_all();
    first.hear(ADD);
    first.answer_all();
    let state = first.saved();
    let mut setups = first.setups();
    for setup in &mut setups {
        if let SetupState::Made(made) = &mut setup.state {
            Arc::make_mut(made).interface = "tun7".to_owned();
        }
    }
    let mut next = Rig::alone(&records()[1..], false);
    next.inherit_all(state, Some(kept()));
    next.kept = setups;
    next.scripts_come();
    next.meet(&["p", "q"]);
    next.answer_all();
    assert_eq!(scripts(&mut next), ["ifdown p"]);
    // It was found by a core without `--startup`.
    let mut next = Rig::alone(&records()[1..], true);
    next.inherit_all(found(), Some(kept()));
    next.scripts_come();
    next.meet(&["p", "q"]);
    next.answer_all();
    assert!(!scripts(&mut next).contains(&"ifup p".to_owned()));
    next.hear("NOTE KILL p");
    next.answer_all();
    assert_eq!(scripts(&mut next), ["ifdown p"]);
}

/// Core ends between the `KILL` and the end of the `ADD`.
#[test]
fn so_does_that_of_a_peer_that_has_moved() {
    use connect_ipc::lookup::{Found, LookedUp};
    use connect_ipc::scripts::{FromScripts, ToScripts};
    let records = [record("p", &[RETRY, &[("re-resolve", "t")]].concat())];
    let mut rig = Rig::new(&[]);
    rig.database_with_auto(&records, &["p"]);
    rig.meet(&["p"]);
    rig.answer_all();
    for _ in 0..2 {
        rig.ping(PingResult::Timeout);
        rig.answer_all();
    }
    let number = rig.to_scripts.drain(..).find_map(|message| match message {
        ToScripts::LookUp(lookup) => Some(lookup.number),
        _ => None,
    });
    let number = number.expect("a lookup");
    let found = Found::Addresses(vec![[192, 0, 2, 9].into()]);
    rig.scripts_say(FromScripts::LookedUp(LookedUp { number, found }));
    rig.hear("NOTE KILL p");
    rig.hear("OK");
    assert!(rig.sent().iter().any(|it| it.starts_with("ADD ")));
    let mut next = successor(&mut rig, &records, false);
    assert!(next.adds("p"));
}

/// `ifup` of `p` has failed: the journal says so, and the state is older.
#[test]
fn which_scripts_have_failed_is_not_forgotten_for_a_peer_that_has_stayed() {
    let (_, back, mut kept) = stale();
    for setup in &mut kept {
        if let SetupState::Made(made) = &mut setup.state {
            Arc::make_mut(made).run_started();
        }
    }
    let mut rig = heir(back, &kept);
    let failed = serde_json::json!([
        {"at": 1_000_000_000_000_u64, "end": {"exited": 1}, "kind": "ifup", "output": [], "peer": "p"}
    ]);
    rig.kept_failures = serde_json::from_value(failed.clone()).unwrap();
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), [""; 0], "it is the same peer");
    let left = serde_json::to_value(rig.saved()).unwrap();
    assert_eq!(left["failed-scripts"], failed);
}

/// Somebody adds a peer that is to be added again, and kills it, while there is no database.
#[test]
fn a_peer_that_was_killed_by_hand_without_a_database_stays_away() {
    let records = [record("p", &[RETRY, &[("retries", "1")]].concat())];
    let mut old = Rig::alone(&[], false);
    old.database_with_auto(&records, &["p"]);
    old.pinger_comes();
    old.scripts_come();
    old.join(&["p"]);
    old.ping(PingResult::Timeout);
    old.hear("OK");
    old.answer_all();
    old.hear("NOTE KILL p");
    let mut rig = Rig::with_damaged_database(false);
    rig.inherit(old.saved());
    rig.scripts_come();
    rig.pinger_comes();
    rig.meet(&[]);
    rig.answer_all();
    rig.hear(ADD);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    rig.answer_all();
    rig.database_with_auto(&records, &["p"]);
    assert!(!rig.adds("p"));
}
