// SPDX-License-Identifier: GPL-3.0-or-later
//! Which peers count as other ones than those that were set up, and which have stayed: by a core
//! that ended before it could decide, by a predecessor that lived, after a rename.

use std::sync::Arc;
use std::time::Duration;

use connect_ipc::scripts::{Ended, FromScripts};
use connect_ipc::setup::{Setup, SetupState};

use super::super::{Input, Loaded, State};
use super::rig::{Rig, record};
use super::undecided::{made_with, started_with};
use super::unfinished::{ADD, records, scripts};

/// `p` was added and its `ifup` run: the state, and what the helper keeps.
fn made() -> (State, Vec<Setup>) {
    let (_, state, kept) = made_with(&records());
    (state, kept)
}

fn answer(rig: &mut Rig, interface: &str, address: &str) {
    loop {
        let lines = rig.sent();
        if lines.is_empty() {
            return;
        }
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let own = words.get(1) == Some(&"p");
            match words[..] {
                ["IFNAME", ..] if own => rig.hear(&format!("INFO {interface}")),
                ["ADDR", ..] if own => rig.hear(&format!("INFO {address}")),
                ["IFNAME", ..] => rig.hear("INFO tun9"),
                ["ADDR", ..] => rig.hear("INFO INET 192.0.2.9 1"),
                ["ALGS", ..] => rig.hear("INFO cipher=rijndael"),
                _ => {}
            }
            rig.hear("OK");
        }
    }
}

/// A core without a database whose numbers of runs begin later.
fn bare(after: u64, startup: bool) -> Rig {
    let first = Rig::without_database(startup, None).now;
    started_with(first + Duration::from_secs(after), startup)
}

fn start(after: u64, startup: bool) -> Rig {
    let mut rig = bare(after, startup);
    rig.database(&records());
    rig
}

/// The state of the earlier core is missing or of another form, so this core meets the server as
/// without one, with `--startup`; it ends before a script helper is there.
#[test]
fn a_peer_that_was_set_up_stays_though_a_core_without_state_ended_before_it_could_decide() {
    let (_, kept) = made();
    let mut rig = start(1, true);
    rig.meet(&["p", "q"]);
    rig.answer_all();
    let state = rig.saved();
    let mut next = start(2, true);
    next.inherit(state);
    next.kept = kept;
    next.scripts_come();
    next.meet(&["p", "q"]);
    next.answer_all();
    assert_eq!(scripts(&mut next), ["ifup q"]);
}

/// The same, and the database is missing instead of the helper.
#[test]
fn so_it_does_where_that_core_had_a_helper_and_no_database() {
    let (_, kept) = made();
    let mut rig = bare(1, true);
    let fault = "it is damaged".to_owned();
    rig.feed(Input::Database(Loaded::Faulty { fault }));
    rig.kept = kept.clone();
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    let state = rig.saved();
    let mut next = start(2, true);
    next.inherit(state);
    next.kept = kept;
    next.scripts_come();
    next.meet(&["p", "q"]);
    next.answer_all();
    assert_eq!(scripts(&mut next), ["ifup q"]);
}

/// A state of the version before has no `next-run`.
#[test]
fn so_it_does_where_the_state_is_older_than_the_peer_and_has_no_next_run() {
    let (_, kept) = made();
    let mut old = Rig::alone(&records(), false);
    old.scripts_come();
    old.meet(&["q"]);
    old.answer_all();
    let mut before = old.saved();
    before.next_run = None;
    let mut rig = start(1, false);
    rig.inherit(before);
    rig.meet(&["p", "q"]);
    rig.answer_all();
    let state = rig.saved();
    let mut next = start(2, false);
    next.inherit(state);
    next.kept = kept;
    next.scripts_come();
    next.meet(&["p", "q"]);
    next.answer_all();
    assert_eq!(scripts(&mut next), [""; 0]);
}

fn renamed_and_replaced(interface: &str) -> Vec<String> {
    let (state, kept) = made();
    let mut rig = start(1, false);
    rig.inherit(state);
    rig.meet(&["p", "q"]);
    answer(&mut rig, "tun0", "INET 192.0.2.1 1");
    rig.hear("NOTE NEWIFNAME p tun0 tun1");
    rig.lose_server();
    rig.sent();
    rig.meet(&["p", "q"]);
    answer(&mut rig, interface, "INET 192.0.2.1 1");
    rig.kept = kept;
    rig.scripts_come();
    answer(&mut rig, interface, "INET 192.0.2.1 1");
    scripts(&mut rig)
}

#[test]
fn a_peer_that_was_renamed_and_has_stayed_is_left_alone() {
    assert_eq!(renamed_and_replaced("tun1"), [""; 0]);
}

#[test]
fn a_peer_that_was_renamed_and_then_replaced_unseen_is_another_one() {
    assert_eq!(renamed_and_replaced("tun2"), ["ifdown p", "ifup p"]);
}

#[test]
fn a_peer_that_has_moved_and_was_then_replaced_unseen_is_another_one() {
    let (state, kept) = made();
    let mut rig = start(1, false);
    rig.inherit(state);
    rig.meet(&["p", "q"]);
    answer(&mut rig, "tun0", "INET 192.0.2.1 1");
    rig.hear("NOTE NEWADDR p INET 192.0.2.2 1");
    rig.lose_server();
    rig.sent();
    rig.meet(&["p", "q"]);
    answer(&mut rig, "tun0", "INET 192.0.2.3 1");
    rig.kept = kept;
    rig.scripts_come();
    answer(&mut rig, "tun0", "INET 192.0.2.3 1");
    assert_eq!(scripts(&mut rig), ["ifdown p", "ifup p"]);
}

/// The other program provides the service until the claim, so it runs the script.
#[test]
fn what_a_living_predecessor_has_set_up_before_the_claim_is_not_set_up_again() {
    let mut rig = Rig::alone(&records(), true);
    rig.scripts_come();
    rig.connect_server();
    rig.hear("OK");
    rig.hear("INFO name=connect version=1.5.3");
    rig.hear("OK");
    rig.hear(ADD);
    rig.hear("OK");
    rig.hear("INFO p");
    rig.sent();
    rig.hear("OK");
    rig.answer_all();
    assert_eq!(scripts(&mut rig), [""; 0]);
}

/// `ifup` could not be started, so there is nothing to undo. Then the helper is lost.
#[test]
fn ifup_of_the_next_peer_is_not_lost_where_that_of_the_one_before_was_never_started() {
    let mut rig = Rig::alone(&records(), false);
    rig.scripts_come();
    rig.meet(&["q"]);
    rig.answer_all();
    rig.hear(ADD);
    rig.answer_all();
    rig.take_orders();
    let mut kept = rig.setups();
    let run = kept[0].number.unwrap();
    let end = Ended::NotStarted("why".into());
    rig.scripts_say(FromScripts::Ended { run, end });
    for setup in &mut kept {
        if let SetupState::Made(made) = &mut setup.state {
            Arc::make_mut(made).never_started = true;
        }
    }
    rig.scripts_go();
    rig.hear("NOTE KILL p");
    rig.hear(ADD);
    rig.answer_all();
    let (_, state) = rig.machine.state().unwrap();
    let state: State = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
    let mut next = start(2, false);
    next.inherit(state);
    next.kept = kept;
    next.scripts_come();
    next.meet(&["p", "q"]);
    next.answer_all();
    assert_eq!(scripts(&mut next), ["ifup p"]);
}

#[test]
fn a_peer_whose_other_host_has_left_is_added_by_the_next_core_that_has_a_database() {
    let pairs = [
        ("watch", "t"),
        ("peer", "INET 192.0.2.1 1"),
        ("ephemeral", "t"),
        ("when-dead", "retry"),
    ];
    let records = [record("p", &pairs)];
    let added = |dies: bool| {
        let mut old = Rig::alone(&[], false);
        old.database_with_auto(&records, &["p"]);
        old.pinger_comes();
        old.scripts_come();
        old.meet(&["p"]);
        old.answer_all();
        let mut rig = bare(1, false);
        let fault = "it is damaged".to_owned();
        rig.feed(Input::Database(Loaded::Faulty { fault }));
        rig.inherit(old.saved());
        rig.pinger_comes();
        rig.scripts_come();
        rig.meet(&["p"]);
        rig.answer_all();
        rig.hear("NOTE KILL p");
        rig.answer_all();
        rig.sent();
        if !dies {
            rig.database_with_auto(&records, &["p"]);
            return rig.adds("p");
        }
        let mut next = bare(2, false);
        next.database_with_auto(&records, &["p"]);
        next.inherit(rig.saved());
        next.pinger_comes();
        next.scripts_come();
        next.meet(&[]);
        next.answer_all();
        next.adds("p")
    };
    assert!(added(false), "the same core");
    assert!(added(true), "the next core");
}

/// A core with a database took this removal for a command, since the peer was not to be added then.
#[test]
fn a_peer_that_was_removed_by_a_command_stays_away_though_a_core_had_no_database_meanwhile() {
    let pairs = [
        ("watch", "t"),
        ("peer", "INET 192.0.2.1 1"),
        ("ephemeral", "t"),
        ("when-dead", "retry"),
        ("every", "60s"),
    ];
    let records = [record("p", &pairs)];
    let mut old = Rig::alone(&[], false);
    old.database_with_auto(&records, &[]);
    old.pinger_comes();
    old.scripts_come();
    old.meet(&["p"]);
    old.answer_all();
    old.hear("NOTE KILL p");
    old.answer_all();
    let added = |with_database: bool| {
        let mut rig = bare(1, false);
        let fault = "it is damaged".to_owned();
        if with_database {
            rig.database_with_auto(&records, &["p"]);
        } else {
            rig.feed(Input::Database(Loaded::Faulty { fault }));
        }
        let (_, state) = old.machine.state().unwrap();
        rig.inherit(serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap());
        rig.pinger_comes();
        rig.scripts_come();
        rig.meet(&[]);
        rig.answer_all();
        if !with_database {
            rig.database_with_auto(&records, &["p"]);
        }
        rig.adds("p")
    };
    assert!(!added(true), "with a database");
    assert!(!added(false), "without a database");
}
