// SPDX-License-Identifier: GPL-3.0-or-later
//! What a core has not decided yet, since there is no database or no script helper, and what the
//! next core makes of it. With a database the same comes of it as without one, only earlier.

use std::sync::Arc;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::Request;
use connect_ipc::pinger::PingResult;
use connect_ipc::scripts::{FromScripts, ToScripts};
use connect_ipc::setup::{Pair, Setup, SetupKey, SetupPage, SetupState};
use peerdb::Record;

use super::super::{Config, Machine, State};
use super::rig::{Rig, record};
use super::unfinished::{ADD, PAIRS, found, records, scripts};

/// `p` was added, and its `ifup` was run: the state before that, the state after it, and what the
/// helper keeps.
pub(super) fn made_with(records: &[Record]) -> (State, State, Vec<Setup>) {
    let mut old = Rig::alone(records, false);
    old.scripts_come();
    old.meet(&["q"]);
    old.answer_all();
    let before = old.saved();
    old.hear(ADD);
    old.answer_all();
    old.take_orders();
    let mut kept = old.setups();
    for setup in &mut kept {
        if let SetupState::Made(made) = &mut setup.state {
            Arc::make_mut(made).run_started();
        }
    }
    for run in kept.iter().filter_map(|it| it.number) {
        old.scripts_end([run]);
    }
    (before, old.saved(), kept)
}

fn before_the_claim(rig: &mut Rig, notes: &[&str], peers: &[&str]) {
    rig.connect_server();
    rig.hear("OK");
    for note in notes {
        rig.hear(note);
    }
    rig.hear("OK");
    for peer in peers {
        rig.hear(&format!("INFO {peer}"));
    }
    rig.sent();
    rig.hear("OK");
    rig.answer_all();
}

fn later(rig: &mut Rig, old: &Rig) {
    rig.now = old.now + Duration::from_secs(1);
}

#[test]
fn a_peer_that_was_replaced_before_the_claim_is_another_one_for_a_core_without_a_state() {
    let (_, _, kept) = made_with(&records());
    let mut rig = Rig::alone(&records(), false);
    rig.now = rig.now + Duration::from_secs(1);
    rig.kept = kept;
    rig.scripts_come();
    before_the_claim(&mut rig, &["NOTE KILL p", ADD], &["p", "q"]);
    assert_eq!(scripts(&mut rig), ["ifdown p", "ifup p"]);
}

#[test]
fn so_it_is_where_the_state_is_older_than_the_peer() {
    let (before, _, kept) = made_with(&records());
    let mut rig = Rig::alone(&records(), false);
    rig.now = rig.now + Duration::from_secs(1);
    rig.inherit(before);
    rig.kept = kept;
    rig.scripts_come();
    before_the_claim(&mut rig, &["NOTE KILL p", ADD], &["p", "q"]);
    assert_eq!(scripts(&mut rig), ["ifdown p", "ifup p"]);
}

/// The helper has the orders that came after the state.
#[test]
fn so_it_is_where_the_state_says_that_it_was_gone() {
    let mut old = Rig::alone(&records(), false);
    old.inherit(found());
    old.meet(&["p", "q"]);
    old.answer_all();
    old.hear("NOTE KILL p");
    let gone = old.saved();
    old.hear(ADD);
    old.answer_all();
    old.scripts_come();
    old.answer_all();
    let kept = old.setups();
    let mut rig = Rig::alone(&records(), false);
    later(&mut rig, &old);
    rig.inherit(gone);
    rig.kept = kept;
    rig.scripts_come();
    before_the_claim(&mut rig, &["NOTE KILL p", ADD], &["p", "q"]);
    assert_eq!(scripts(&mut rig), ["ifdown p", "ifup p"]);
}

fn found_and_replaced(with_database: bool) -> Vec<String> {
    let mut rig = if with_database {
        Rig::alone(&records(), false)
    } else {
        Rig::with_damaged_database(false)
    };
    rig.inherit(found());
    rig.scripts_come();
    before_the_claim(&mut rig, &["NOTE KILL p", ADD], &["p", "q"]);
    if !with_database {
        rig.database(&records());
        rig.answer_all();
    }
    scripts(&mut rig)
}

#[test]
fn a_found_peer_that_was_replaced_before_the_claim_is_another_one() {
    assert_eq!(found_and_replaced(true), ["ifdown p", "ifup p"]);
}

#[test]
fn so_it_is_without_a_database() {
    assert_eq!(found_and_replaced(false), ["ifdown p", "ifup p"]);
}

fn found_and_new_server(with_database: bool) -> Vec<String> {
    let mut rig = if with_database {
        Rig::alone(&records(), false)
    } else {
        Rig::with_damaged_database(false)
    };
    rig.scripts_come();
    rig.meet(&["p"]);
    rig.answer_all();
    rig.lose_server();
    rig.sent();
    rig.run = 2;
    rig.meet(&["p"]);
    rig.answer_all();
    if !with_database {
        rig.database(&records());
        rig.answer_all();
    }
    scripts(&mut rig)
}

#[test]
fn a_found_peer_of_a_new_server_is_another_one() {
    assert_eq!(found_and_new_server(true), ["ifdown p", "ifup p"]);
}

#[test]
fn so_it_is_too_without_a_database() {
    assert_eq!(found_and_new_server(false), ["ifdown p", "ifup p"]);
}

fn only_ifdown(which: &str) -> Vec<String> {
    let records = [record(
        "p",
        &[("peer", "INET 192.0.2.1 1"), ("ifdown", "down")],
    )];
    let mut rig = if which == "no database" {
        Rig::with_damaged_database(false)
    } else {
        Rig::alone(&records, false)
    };
    if which != "no helper" {
        rig.scripts_come();
    }
    rig.meet(&["q"]);
    rig.answer_all();
    rig.hear(ADD);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    rig.answer_all();
    if which == "no helper" {
        rig.scripts_come();
    }
    if which == "no database" {
        rig.database(&records);
    }
    rig.answer_all();
    scripts(&mut rig)
}

#[test]
fn ifdown_without_ifup_is_run_for_a_peer_that_comes_and_goes() {
    assert_eq!(only_ifdown("all"), ["ifdown p"]);
}

#[test]
fn it_is_run_when_the_helper_comes() {
    assert_eq!(only_ifdown("no helper"), ["ifdown p"]);
}

#[test]
fn it_is_run_when_the_database_comes() {
    assert_eq!(only_ifdown("no database"), ["ifdown p"]);
}

/// There is no database while the server is started again, and the next core has one.
#[test]
fn what_start_up_has_to_do_for_a_new_server_is_done_by_the_next_core() {
    let mut old = Rig::alone(&[], true);
    old.database_with_auto(&records(), &["p"]);
    old.scripts_come();
    old.meet(&["p", "q"]);
    old.answer_all();
    let mut rig = Rig::with_damaged_database(true);
    rig.inherit(old.saved());
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.lose_server();
    rig.sent();
    rig.run = 2;
    rig.meet(&[]);
    rig.answer_all();
    let state = rig.saved();
    let mut next = Rig::alone(&[], true);
    next.run = 2;
    next.database_with_auto(&records(), &["p"]);
    next.inherit(state);
    next.scripts_come();
    next.meet(&[]);
    assert!(next.adds("p"));
}

#[test]
fn also_if_a_core_without_startup_has_met_that_server() {
    let mut old = Rig::alone(&[], true);
    old.database_with_auto(&records(), &["p"]);
    old.scripts_come();
    old.meet(&["p", "q"]);
    old.answer_all();
    let mut rig = Rig::alone(&[], false);
    rig.database_with_auto(&records(), &["p"]);
    rig.inherit(old.saved());
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.lose_server();
    rig.sent();
    rig.run = 2;
    rig.meet(&[]);
    rig.answer_all();
    let state = rig.saved();
    let mut next = Rig::alone(&[], true);
    next.run = 2;
    next.database_with_auto(&records(), &["p"]);
    next.inherit(state);
    next.scripts_come();
    next.meet(&[]);
    assert!(next.adds("p"));
}

/// A mobile peer with hooks has moved while there was no core.
fn mobile(with_database: bool) -> Vec<String> {
    let records = [record(
        "p",
        &[
            ("watch", "t"),
            ("peer", "INET 192.0.2.77 1"),
            ("mobile", "t"),
            ("on-up", "up"),
            ("on-down", "down"),
            ("every", "1h"),
        ],
    )];
    let mut old = Rig::alone(&records, false);
    old.pinger_comes();
    old.scripts_come();
    old.meet(&["q"]);
    old.answer_all();
    old.hear("NOTE ADD p tun0 INET 192.0.2.77 1");
    old.answer_all();
    old.ping(PingResult::Reply(7.0));
    old.take_orders();
    let mut kept = old.setups();
    for setup in &mut kept {
        if let SetupState::Made(made) = &mut setup.state {
            Arc::make_mut(made).run_started();
        }
    }
    assert_eq!(kept.len(), 1, "{kept:?}");
    let mut rig = if with_database {
        Rig::alone(&records, false)
    } else {
        Rig::with_damaged_database(false)
    };
    later(&mut rig, &old);
    rig.inherit(old.saved());
    rig.kept = kept;
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    scripts(&mut rig)
}

#[test]
fn the_hooks_of_a_mobile_peer_are_not_undone_when_it_moves() {
    assert_eq!(mobile(true), [""; 0]);
}

#[test]
fn nor_are_they_without_a_database() {
    assert_eq!(mobile(false), [""; 0]);
}

/// The record was too large for the message with the order, so the helper keeps none: `ifdown` uses
/// the record of the time when it is run.
fn large(with_database: bool) -> Vec<String> {
    let (_, _, mut kept) = made_with(&records());
    for setup in &mut kept {
        if let SetupState::Made(made) = &mut setup.state {
            Arc::make_mut(made).record.clear();
        }
    }
    let mut rig = if with_database {
        Rig::alone(&records(), false)
    } else {
        Rig::with_damaged_database(false)
    };
    rig.now = rig.now + Duration::from_secs(1);
    rig.kept = kept;
    rig.scripts_come();
    rig.meet(&["q"]);
    rig.answer_all();
    if !with_database {
        rig.database(&records());
        rig.answer_all();
    }
    scripts(&mut rig)
}

#[test]
fn ifdown_is_run_although_the_helper_has_no_record() {
    assert_eq!(large(true), ["ifdown p"]);
}

#[test]
fn it_waits_for_the_database_then() {
    assert_eq!(large(false), ["ifdown p"]);
}

/// The other host ends the connection of a peer that is to be added again.
fn left(with_database: bool) -> bool {
    let records = [record(
        "p",
        &[
            ("watch", "t"),
            ("peer", "INET 192.0.2.1 1"),
            ("ephemeral", "t"),
            ("every", "60s"),
            ("when-dead", "retry"),
        ],
    )];
    let mut old = Rig::alone(&[], false);
    old.database_with_auto(&records, &["p"]);
    old.pinger_comes();
    old.scripts_come();
    old.meet(&["p"]);
    old.answer_all();
    let mut rig = Rig::with_damaged_database(false);
    if with_database {
        rig.database_with_auto(&records, &["p"]);
    }
    rig.inherit(old.saved());
    rig.pinger_comes();
    rig.scripts_come();
    rig.meet(&["p"]);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    rig.answer_all();
    rig.sent();
    if !with_database {
        rig.database_with_auto(&records, &["p"]);
    }
    rig.adds("p")
}

#[test]
fn a_peer_whose_other_host_has_left_is_added_again() {
    assert!(left(true));
}

#[test]
fn also_if_there_was_no_database() {
    assert!(left(false));
}

/// The server renames the interface while the connection of the peer waits for the database.
fn renamed(with_database: bool) -> Vec<String> {
    let pairs = [PAIRS, &[("connect", "conn"), ("disconnect", "disc")]].concat();
    let records = [record("p", &pairs)];
    let mut old = Rig::alone(&records, false);
    old.scripts_come();
    old.meet(&["q"]);
    old.answer_all();
    old.hear(ADD);
    old.answer_all();
    let runs = old.ordered();
    assert_eq!(runs.len(), 2);
    // The helper has the first order only when both end.
    old.scripts_say(FromScripts::Taken(runs[0].run));
    let state = old.machine.state().unwrap().1;
    let state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
    let kept = Setup {
        key: runs[0].setup_key(),
        state: runs[0].setup.clone().unwrap(),
        number: Some(runs[0].run),
    };
    let mut rig = if with_database {
        Rig::alone(&records, false)
    } else {
        Rig::with_damaged_database(false)
    };
    later(&mut rig, &old);
    rig.inherit(state);
    rig.kept = vec![kept];
    if let SetupState::Made(made) = &mut rig.kept[0].state {
        Arc::make_mut(made).run_started();
    }
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.hear("NOTE NEWIFNAME p tun0 eth-p");
    rig.answer_all();
    if !with_database {
        rig.database(&records);
        rig.answer_all();
    }
    scripts(&mut rig)
}

#[test]
fn a_peer_whose_interface_is_renamed_stays() {
    assert_eq!(renamed(true), ["connect p"]);
}

#[test]
fn it_stays_while_something_waits_for_the_database() {
    assert_eq!(renamed(false), ["connect p"]);
}

/// What `ifdown` is told: the values that `ifup` had.
fn values(with_database: bool) -> Vec<String> {
    let old_pairs = [PAIRS, &[("site", "old")]].concat();
    let new_pairs = [PAIRS, &[("site", "new")]].concat();
    let records = [record("p", &old_pairs)];
    let new = [record("p", &new_pairs)];
    let (_, state, kept) = made_with(&records);
    let mut rig = if with_database {
        Rig::alone(&new, false)
    } else {
        Rig::with_damaged_database(false)
    };
    rig.now = rig.now + Duration::from_secs(1);
    rig.inherit(state);
    rig.kept = kept;
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    rig.answer_all();
    if !with_database {
        rig.database(&new);
        rig.answer_all();
    }
    rig.take_orders();
    let runs = rig.ordered();
    assert_eq!(runs.len(), 1);
    let mut told: Vec<String> = runs[0]
        .environment
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .filter(|it| it.contains("SITE"))
        .collect();
    told.sort();
    told
}

#[test]
fn ifdown_has_the_values_that_ifup_had() {
    assert_eq!(values(false), values(true));
}

/// A peer was replaced before the claim; core is killed before it could decide.
fn replaced_and_killed(what: &str) -> Vec<String> {
    let mut old = if what == "database" {
        Rig::with_damaged_database(false)
    } else {
        Rig::alone(&records(), false)
    };
    old.inherit(found());
    if what == "database" {
        old.scripts_come();
    }
    before_the_claim(&mut old, &["NOTE KILL p", ADD], &["p", "q"]);
    let state = old.saved();
    let mut rig = Rig::alone(&records(), false);
    later(&mut rig, &old);
    rig.inherit(state);
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    scripts(&mut rig)
}

#[test]
fn the_next_core_knows_that_a_peer_was_replaced_while_there_was_no_helper() {
    assert_eq!(replaced_and_killed("helper"), ["ifdown p", "ifup p"]);
}

#[test]
fn and_while_there_was_no_database() {
    assert_eq!(replaced_and_killed("database"), ["ifdown p", "ifup p"]);
}

/// While there is no database or no helper, the server is started again and has the same peers.
/// Then core dies.
fn restarted_and_killed(what: &str) -> Vec<String> {
    let mut old = if what == "database" {
        Rig::with_damaged_database(false)
    } else {
        Rig::alone(&records(), false)
    };
    if what == "database" {
        old.scripts_come();
    }
    old.meet(&["p"]);
    old.answer_all();
    old.lose_server();
    old.sent();
    old.run = 2;
    old.meet(&["p"]);
    old.answer_all();
    let state = old.saved();
    let mut rig = Rig::alone(&records(), false);
    later(&mut rig, &old);
    rig.run = 2;
    rig.inherit(state);
    rig.scripts_come();
    rig.meet(&["p"]);
    rig.answer_all();
    scripts(&mut rig)
}

#[test]
fn it_knows_the_same_of_the_peers_of_a_new_server() {
    assert_eq!(restarted_and_killed("helper"), ["ifdown p", "ifup p"]);
}

#[test]
fn it_does_so_also_without_a_database() {
    assert_eq!(restarted_and_killed("database"), ["ifdown p", "ifup p"]);
}

/// Two entries of one peer in the state.
#[test]
fn a_peer_that_came_and_went_twice_is_not_undone_again() {
    let pairs: &[(&str, &str)] = &[("peer", "INET 192.0.2.1 1"), ("ifdown", "down")];
    let records = [record("p", pairs), record("q", PAIRS)];
    let mut old = Rig::alone(&records, false);
    old.scripts_come();
    old.meet(&["p", "q"]);
    old.answer_all();
    old.take_orders();
    old.scripts_go();
    old.to_scripts.clear();
    // The order for `ifdown` is given to nobody.
    old.hear("NOTE KILL p");
    old.hear(ADD);
    old.answer_all();
    old.lose_server();
    old.sent();
    old.connect_server();
    for line in ["OK", "OK", "NOTE KILL p", ADD, "INFO p", "INFO q"] {
        old.hear(line);
    }
    old.sent();
    let (_, state) = old.machine.state().expect("it has joined");
    let state: State = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
    old.hear("OK");
    old.answer_all();
    // The helper comes and gets everything; core is killed before it saves again.
    old.scripts_come();
    old.answer_all();
    let mut before = Vec::new();
    for message in &old.to_scripts {
        if let ToScripts::Run(runs) = message {
            before.extend(runs.iter().map(|run| run.kind.name()));
        }
    }
    assert_eq!(before, ["ifdown", "ifdown"]);
    let kept = old.setups();
    let mut rig = Rig::alone(&records, false);
    later(&mut rig, &old);
    rig.inherit(state);
    rig.kept = kept;
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), [""; 0]);
}

/// An operator kills a peer; is it shown as killed afterwards, or is it a new one?
fn killed(with_database: bool) -> String {
    let mut old = Rig::alone(&[], false);
    old.database_with_auto(&records(), &["p"]);
    old.scripts_come();
    old.meet(&["p", "q"]);
    old.answer_all();
    let mut rig = Rig::with_damaged_database(false);
    if with_database {
        rig.database_with_auto(&records(), &["p"]);
    }
    rig.inherit(old.saved());
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    rig.answer_all();
    if !with_database {
        rig.database_with_auto(&records(), &["p"]);
    }
    let rows = rig.rows();
    let row = rows.iter().find(|row| row.name == "p");
    rig.request(5, 5, Request::ApplyChanges {});
    let added = rig.adds("p");
    format!("{:?} added {added}", row.map(|row| row.state))
}

#[test]
fn a_peer_that_was_killed_without_a_database_is_shown_as_killed() {
    assert_eq!(killed(false), killed(true));
}

/// The notes of the helper are enough to undo this; the state has the peer too.
#[test]
fn what_the_helper_has_noted_is_undone_without_a_database() {
    let (_, state, kept) = made_with(&records());
    for with_state in [false, true] {
        let mut rig = Rig::with_damaged_database(false);
        rig.now = rig.now + Duration::from_secs(1);
        if with_state {
            rig.inherit(serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap());
        }
        rig.kept = kept.clone();
        rig.scripts_come();
        rig.meet(&["q"]);
        rig.answer_all();
        assert_eq!(scripts(&mut rig), ["ifdown p"], "{with_state}");
    }
}

/// A peer that was found has another interface after an outage.
fn another_interface(with_database: bool) -> Vec<String> {
    let mut rig = if with_database {
        Rig::alone(&records(), false)
    } else {
        Rig::with_damaged_database(false)
    };
    rig.scripts_come();
    rig.meet(&["p"]);
    for line in rig.sent() {
        let info = match line.split(' ').next() {
            Some("IFNAME") => "INFO tun7",
            Some("ADDR") => "INFO INET 192.0.2.1 1",
            Some("ALGS") => "INFO cipher=rijndael",
            _ => "",
        };
        if !info.is_empty() {
            rig.hear(info);
        }
        rig.hear("OK");
    }
    rig.answer_all();
    rig.lose_server();
    rig.sent();
    rig.meet(&["p"]);
    rig.answer_all();
    if !with_database {
        rig.database(&records());
        rig.answer_all();
    }
    scripts(&mut rig)
}

#[test]
fn a_found_peer_with_another_interface_is_another_one() {
    assert_eq!(another_interface(true), ["ifdown p", "ifup p"]);
}

#[test]
fn and_also_without_a_database() {
    assert_eq!(another_interface(false), ["ifdown p", "ifup p"]);
}

/// There is a database; the server renames the interface before the helper comes.
#[test]
fn it_stays_while_there_is_no_helper() {
    let (_, state, kept) = made_with(&records());
    let mut rig = Rig::alone(&records(), false);
    rig.now = rig.now + Duration::from_secs(1);
    rig.inherit(state);
    rig.kept = kept;
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.hear("NOTE NEWIFNAME p tun0 eth-p");
    rig.answer_all();
    rig.scripts_come();
    rig.answer_all();
    assert_eq!(scripts(&mut rig), [""; 0]);
}

/// `reload --apply` while the helper has not told everything, and an `ifup` is owed.
#[test]
fn reload_apply_runs_no_ifup_that_is_owed() {
    let mut old = Rig::alone(&records(), false);
    old.scripts_come();
    old.meet(&["q"]);
    old.answer_all();
    old.scripts_go();
    old.hear(ADD);
    old.answer_all();
    let state = old.saved();
    let mut rig = Rig::alone(&records(), false);
    later(&mut rig, &old);
    rig.inherit(state);
    rig.by_page = true;
    rig.kept = vec![Setup {
        key: SetupKey {
            peer: "a".to_owned(),
            pair: Pair::Interface,
        },
        state: SetupState::Undone {},
        number: Some(RunId(5)),
    }];
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    let changed = [
        record("p", &[PAIRS, &[("site", "new")]].concat()),
        record("q", PAIRS),
    ];
    rig.database(&changed);
    rig.answer_all();
    rig.request(5, 5, Request::ApplyChanges {});
    rig.answer_all();
    rig.stand_still(Duration::ZERO);
    rig.answer_all();
    let page = SetupPage {
        setups: Vec::new(),
        more: false,
    };
    rig.scripts_say(FromScripts::Setups(page));
    rig.answer_all();
    assert_eq!(
        scripts(&mut rig)
            .iter()
            .filter(|it| *it == "ifup p")
            .count(),
        1
    );
}

/// 600 peers that wait: no deadline is always due, with or without server and helper.
#[test]
fn nothing_is_due_while_peers_wait() {
    let names: Vec<String> = (0..600).map(|n| format!("n{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let records: Vec<Record> = names.iter().map(|name| record(name, PAIRS)).collect();
    for helper in [true, false] {
        for server in [true, false] {
            let mut rig = Rig::with_damaged_database(true);
            let calm = |rig: &mut Rig, what: &str| {
                let mut turns = 0;
                while rig
                    .machine
                    .next_deadline()
                    .is_some_and(|due| due <= rig.now)
                {
                    rig.stand_still(Duration::ZERO);
                    turns += 1;
                    assert!(turns < 40, "{what} {helper} {server}");
                }
            };
            if helper {
                rig.scripts_come();
            }
            rig.meet(&names);
            rig.answer_all();
            calm(&mut rig, "no database");
            if !server {
                rig.lose_server();
                rig.sent();
            }
            calm(&mut rig, "server");
            rig.database(&records);
            rig.answer_all();
            calm(&mut rig, "database");
            if !helper {
                rig.scripts_come();
            }
            rig.answer_all();
            calm(&mut rig, "helper");
            rig.answer_all();
            if !server {
                rig.meet(&names);
                rig.answer_all();
                calm(&mut rig, "server again");
                rig.answer_all();
            }
            assert_eq!(scripts(&mut rig).len(), 600, "{helper} {server}");
        }
    }
}

/// A core whose numbers of runs begin later.
pub(super) fn started_at(now: Monotonic) -> Rig {
    started_with(now, false)
}

/// The same, with `--startup` or without.
pub(super) fn started_with(now: Monotonic, startup: bool) -> Rig {
    let mut rig = Rig::without_database(startup, None);
    let started = Config {
        started: now,
        ..rig.machine.config.clone()
    };
    rig.machine = Machine::new(started);
    rig.now = now;
    rig
}

#[test]
fn a_found_peer_that_goes_without_a_database_is_taken_down_by_the_next_core() {
    let mut rig = Rig::with_damaged_database(false);
    rig.inherit(found());
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    rig.answer_all();
    let mut next = Rig::alone(&records(), false);
    later(&mut next, &rig);
    next.inherit(rig.saved());
    next.scripts_come();
    next.meet(&["q"]);
    next.answer_all();
    assert_eq!(scripts(&mut next), ["ifdown p"]);
}

/// Hooks of a peer that was up, when the first database comes.
#[test]
fn hooks_outlast_a_time_without_a_database() {
    let records = [record(
        "p",
        &[PAIRS, &[("on-up", "u"), ("on-down", "d"), ("retries", "1")]].concat(),
    )];
    let mut old = Rig::alone(&records, false);
    old.pinger_comes();
    old.scripts_come();
    old.meet(&["q"]);
    old.answer_all();
    old.hear(ADD);
    old.answer_all();
    old.ping(PingResult::Reply(7.0));
    old.take_orders();
    let mut kept = old.setups();
    for setup in &mut kept {
        if let SetupState::Made(made) = &mut setup.state {
            Arc::make_mut(made).run_started();
        }
    }
    assert_eq!(kept.len(), 2, "{kept:?}");
    for end in ["kill", "timeout", "replaced"] {
        let mut rig = Rig::with_damaged_database(false);
        later(&mut rig, &old);
        rig.inherit(old.saved());
        rig.kept = kept.clone();
        rig.scripts_come();
        rig.pinger_comes();
        rig.meet(&["p", "q"]);
        rig.answer_all();
        if end == "replaced" {
            rig.hear("NOTE KILL p");
            rig.hear(ADD);
            rig.answer_all();
        }
        rig.database(&records);
        rig.answer_all();
        let expected: &[&str] = match end {
            "replaced" => &["on-down p", "ifdown p", "ifup p", "on-up p"],
            "kill" => &["on-down p", "ifdown p"],
            _ => &["on-down p", "on-up p"],
        };
        if end != "replaced" {
            rig.ping(PingResult::Reply(7.0));
        }
        match end {
            "kill" => rig.hear("NOTE KILL p"),
            "timeout" => {
                rig.ping(PingResult::Timeout);
                rig.answer_all();
                rig.ping(PingResult::Reply(7.0));
            }
            _ => rig.ping(PingResult::Reply(7.0)),
        }
        rig.answer_all();
        assert_eq!(scripts(&mut rig), expected, "{end}");
    }
}

/// An addition that was seen, of a peer that an old state does not have, is `Due` in the saved
/// state; the helper keeps the earlier peer of this name as made.
fn seen_addition(dies: bool, with_database: bool) -> Vec<String> {
    let (before, _, kept) = made_with(&records());
    let mut rig = started_at(Rig::alone(&[], false).now + Duration::from_secs(1));
    if with_database {
        rig.database(&records());
    }
    rig.inherit(before);
    rig.kept = kept.clone();
    if !with_database {
        rig.scripts_come();
    }
    rig.meet(&["q"]);
    rig.answer_all();
    rig.hear(ADD);
    rig.answer_all();
    if dies {
        let state = rig.saved();
        let old = rig;
        rig = started_at(old.now + Duration::from_secs(1));
        rig.database(&records());
        rig.inherit(state);
        rig.kept = kept;
        rig.scripts_come();
        rig.meet(&["p", "q"]);
    } else {
        rig.scripts_come();
    }
    rig.answer_all();
    scripts(&mut rig)
}

#[test]
fn an_addition_that_was_seen_is_of_another_peer_than_the_one_that_the_helper_knows() {
    assert_eq!(seen_addition(false, true), ["ifdown p", "ifup p"]);
}

#[test]
fn the_next_core_knows_that_too() {
    assert_eq!(seen_addition(true, true), ["ifdown p", "ifup p"]);
}

/// The same, where a core has seen that the server does not have `p`, or has heard of its removal
/// and its addition.
fn seen_absence(notes: &[&str], listed: &[&str]) -> Vec<String> {
    let (before, _, kept) = made_with(&records());
    let mut rig = started_at(Rig::alone(&[], false).now + Duration::from_secs(1));
    rig.database(&records());
    rig.inherit(before);
    rig.meet(listed);
    rig.answer_all();
    for note in notes {
        rig.hear(note);
    }
    rig.answer_all();
    let state = rig.saved();
    let mut next = started_at(rig.now + Duration::from_secs(1));
    next.database(&records());
    next.inherit(state);
    next.kept = kept;
    next.scripts_come();
    next.meet(&["p", "q"]);
    next.answer_all();
    scripts(&mut next)
}

#[test]
fn a_peer_that_was_absent_and_is_back_is_another_one_for_the_next_core() {
    assert_eq!(seen_absence(&[], &["q"]), ["ifdown p", "ifup p"]);
}

#[test]
fn so_is_one_that_was_removed_and_added() {
    let notes = ["NOTE KILL p", ADD];
    assert_eq!(seen_absence(&notes, &["p", "q"]), ["ifdown p", "ifup p"]);
}
