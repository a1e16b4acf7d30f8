// SPDX-License-Identifier: GPL-3.0-or-later
//! A core that joins the server without a database, and gets one later.

use connect_ipc::pinger::PingResult;
use peerdb::Record;

use super::super::State;
use super::rig::{Rig, record};

const PAIRS: &[(&str, &str)] = &[
    ("watch", "t"),
    ("peer", "INET 192.0.2.1 1"),
    ("every", "60s"),
    ("retries", "1"),
    ("when-dead", "retry"),
    ("ifup", "up"),
];

fn records() -> Vec<Record> {
    ["p", "q"].map(|name| record(name, PAIRS)).to_vec()
}

fn database_comes(rig: &mut Rig) {
    rig.database_with_auto(&records(), &["p", "q"]);
    rig.answer_all();
}

/// The state of a core at whose server `q` answers, and which is to add `p` again.
fn left() -> State {
    let mut old = Rig::alone(&[], false);
    old.database_with_auto(&records(), &["p", "q"]);
    old.pinger_comes();
    old.scripts_come();
    old.join(&["p", "q"]);
    let q = old.id("q");
    old.order(q, 1);
    old.machine.ping_result(q, 1, PingResult::Reply(7.0));
    old.ping(PingResult::Timeout);
    old.hear("OK");
    old.answer_all();
    old.hear("NOTE KILL p");
    old.saved()
}

/// A core that has inherited this, and has no database.
fn heir(state: State) -> Rig {
    let mut rig = Rig::with_damaged_database(false);
    rig.inherit(state);
    rig.scripts_come();
    rig.pinger_comes();
    rig.meet(&["q"]);
    rig.answer_all();
    rig
}

fn replies(rig: &mut Rig, name: &str) -> u64 {
    let rows = rig.rows();
    let row = rows.iter().find(|row| row.name == name);
    row.map_or(0, |row| row.statistics.replies)
}

#[test]
fn figures_and_peers_to_be_added_again_outlast_a_time_without_a_database() {
    let mut rig = heir(left());
    database_comes(&mut rig);
    assert_eq!(replies(&mut rig, "q"), 1);
    assert!(rig.adds("p"));
}

#[test]
fn they_are_in_the_state_for_the_next_core_too() {
    let mut first = heir(left());
    let mut rig = heir(first.saved());
    database_comes(&mut rig);
    assert_eq!(replies(&mut rig, "q"), 1);
    assert!(rig.adds("p"));
}

#[test]
fn a_peer_that_somebody_has_added_meanwhile_is_not_added_again() {
    let mut rig = heir(left());
    rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
    rig.answer_all();
    database_comes(&mut rig);
    assert!(!rig.adds("p"));
}

#[test]
fn a_peer_that_was_removed_and_added_meanwhile_has_no_figures_of_the_earlier_one() {
    let notes = ["NOTE KILL q", "NOTE ADD q tun0 INET 192.0.2.1 1"];
    for before_the_claim in [false, true] {
        let mut rig = heir(left());
        if before_the_claim {
            rig.lose_server();
            rig.connect_server();
            rig.hear("OK");
        }
        for note in notes {
            rig.hear(note);
        }
        if before_the_claim {
            for line in ["OK", "INFO q", "OK"] {
                rig.hear(line);
            }
        }
        rig.answer_all();
        database_comes(&mut rig);
        assert_eq!(replies(&mut rig, "q"), 0, "{before_the_claim}");
    }
}

/// A core that was started together with the server, and has its first database now, which comes
/// while the server is away or not.
fn started_up(server_is_away: bool) -> Rig {
    let mut rig = Rig::with_damaged_database(true);
    rig.scripts_come();
    rig.pinger_comes();
    rig.meet(&["q"]);
    rig.answer_all();
    if server_is_away {
        rig.lose_server();
        rig.sent();
    }
    rig.database_with_auto(&records(), &["p", "q"]);
    if server_is_away {
        rig.meet(&["q"]);
    }
    rig
}

#[test]
fn what_start_up_has_to_do_is_done_with_the_first_database() {
    for server_is_away in [false, true] {
        let sent = started_up(server_is_away).sent();
        let adds: Vec<&String> = sent.iter().filter(|it| it.starts_with("ADD ")).collect();
        assert_eq!(adds.len(), 1, "{sent:?}");
        let mut rig = started_up(server_is_away);
        rig.answer_all();
        rig.take_orders();
        let runs = rig.ordered();
        let kinds = runs.iter().map(|run| (run.kind.name(), &*run.peer));
        assert_eq!(kinds.collect::<Vec<_>>(), [("ifup", "q")]);
        // The next core knows that it was done, and this one does it once.
        rig.lose_server();
        rig.sent();
        rig.meet(&["q"]);
        assert!(!rig.sent().iter().any(|it| it.starts_with("ADD ")));
        let state = serde_json::to_value(rig.saved()).unwrap();
        assert_eq!(state["started-up"], true);
    }
}

#[test]
fn the_fault_of_the_file_is_told_when_there_is_a_server() {
    let mut rig = Rig::with_damaged_database(false);
    rig.connect_server();
    rig.sent();
    for line in ["OK", "OK", "OK"] {
        rig.hear(line);
    }
    let sent = rig.sent();
    let told = |line: &&String| line.starts_with("SVCWARN") || line.starts_with("WARN");
    let warnings: Vec<&String> = sent.iter().filter(told).collect();
    assert_eq!(
        warnings,
        ["WARN connect peerdb-error \"it is damaged\""],
        "{sent:?}"
    );
}
