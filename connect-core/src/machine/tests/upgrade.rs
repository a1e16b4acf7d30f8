// SPDX-License-Identifier: GPL-3.0-or-later
//! One core after the other at the same server: what the first leaves, and what the next makes of
//! it.

use std::sync::Arc;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::{DatabaseOrigin, Request};
use connect_ipc::event::{DownReason, EventKind, Removal};
use connect_ipc::pinger::{FromPinger, PingPhase, PingResult, Remembered, Watched};
use connect_ipc::scripts::FromScripts;
use connect_ipc::setup::{Pair, Setup, SetupKey, SetupState};
use connect_ipc::statistics::PingStatistics;
use connect_ipc::write_fault::WriteFault;
use peerdb::{Database, Record};

use super::super::{DatabaseCopy, Input, Loaded, State, WriteNews};
use super::rig::{Rig, record};

/// The period of the checks of both peers.
const HOUR: Duration = Duration::from_secs(3_600);

const PAIRS: &[(&str, &str)] = &[
    ("watch", "t"),
    ("peer", "INET 192.0.2.1 1"),
    ("ifup", "up"),
    ("ifdown", "down"),
    ("every", "1h"),
];

fn records() -> Vec<Record> {
    ["p", "q"].map(|name| record(name, PAIRS)).to_vec()
}

/// A core that has seen both peers come, has configured them, and has had one answer of each.
fn first() -> Rig {
    let mut rig = Rig::joined(&records(), &[]);
    for name in ["p", "q"] {
        rig.hear(&format!("NOTE ADD {name} tun0 INET 192.0.2.1 1"));
        rig.answer_all();
        let id = rig.id(name);
        rig.order(id, 1);
        rig.machine.ping_result(id, 1, PingResult::Reply(7.0));
    }
    rig
}

/// The state as it travels: through text.
fn left_by(rig: &mut Rig) -> State {
    rig.take_orders();
    let (_, state) = rig.machine.state().expect("it has joined");
    let text = serde_json::to_string(&state).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A core that inherits this after a while and meets the server with these peers, while a script
/// helper is there and no pinger yet.
fn next(state: State, startup: bool, after: Duration, peers: &[&str]) -> Rig {
    let mut rig = Rig::alone(&records(), startup);
    rig.now = rig.now + after;
    rig.inherit(state);
    rig.scripts_come();
    rig.meet(peers);
    rig.answer_all();
    rig
}

/// The scripts that were ordered, in few words.
fn scripts(rig: &mut Rig) -> Vec<String> {
    rig.take_orders();
    let runs = rig.ordered();
    runs.iter()
        .map(|run| format!("{} {}", run.kind.name(), run.peer))
        .collect()
}

#[test]
fn figures_and_deadlines_go_on_and_no_script_is_run_even_under_startup() {
    let mut old = first();
    assert_eq!(scripts(&mut old), ["ifup p", "ifup q"]);
    for startup in [false, true] {
        let minute = Duration::from_secs(60);
        let mut rig = next(left_by(&mut old), startup, minute, &["p", "q"]);
        assert_eq!(scripts(&mut rig), [""; 0], "startup {startup}");
        rig.pinger_comes();
        let list = rig.watched();
        assert_eq!(list.len(), 2);
        for watched in &list {
            let phase = watched.phase.unwrap();
            assert_eq!(watched.statistics.replies, 1);
            assert_eq!(phase.last_seq, 1);
            // One period after the last check was due, whoever is core by then: none is left out.
            assert_eq!(phase.due, old.now + HOUR);
        }
        // What this one leaves is what it was left.
        let peers = |rig: &mut Rig| serde_json::to_value(left_by(rig)).unwrap()["peers"].clone();
        assert_eq!(peers(&mut rig), peers(&mut old));
    }
}

/// A core whose database file is broken, which inherits this from one that had a database.
fn next_without_database(state: State, run: u64) -> Rig {
    let mut rig = Rig::without_database(false, None);
    let fault = "it is broken".to_owned();
    rig.feed(Input::Database(Loaded::Faulty { fault }));
    let database = Database::from_parts(records(), [], []);
    rig.inherit_all(state, Some(DatabaseCopy(Arc::new(database))));
    rig.scripts_come();
    rig.run = run;
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.pinger_comes();
    rig
}

#[test]
fn while_the_file_is_broken_the_database_of_the_last_core_is_used() {
    let mut rig = next_without_database(left_by(&mut first()), 1);
    let replies = |rig: &mut Rig| -> Vec<u64> {
        let watched = rig.watched();
        watched.iter().map(|peer| peer.statistics.replies).collect()
    };
    assert_eq!(replies(&mut rig), [1, 1]);
    let told = rig.service().database;
    assert_eq!((told.peers, told.origin), (2, DatabaseOrigin::Kept));
    assert_eq!(told.fault.as_deref(), Some("it is broken"));
    // It is not this core's to leave: the file of the last one stays.
    assert!(rig.machine.database().is_none());
    // A peer that goes is brought down as its record says.
    rig.hear("NOTE KILL q");
    assert_eq!(scripts(&mut rig), ["ifdown q"]);
    // The file is repaired, and is as it was.
    rig.database(&records());
    let told = rig.service().database;
    assert_eq!(
        (told.peers, told.origin, told.fault),
        (2, DatabaseOrigin::File, None)
    );
    assert!(rig.machine.database().is_some());
    assert_eq!(scripts(&mut rig), [""; 0]);
    rig.pinger_goes();
    rig.pinger_comes();
    assert_eq!(replies(&mut rig), [1]);
}

#[test]
fn the_database_of_the_last_core_is_not_used_for_another_server_or_beside_one_that_was_read() {
    let mut rig = next_without_database(left_by(&mut first()), 2);
    assert_eq!(rig.watched().len(), 0);
    let told = rig.service().database;
    assert_eq!((told.peers, told.origin), (0, DatabaseOrigin::None));
    let mut rig = Rig::alone(&[record("p", PAIRS)], false);
    let fault = "it is broken now".to_owned();
    rig.feed(Input::Database(Loaded::Faulty { fault }));
    let database = Database::from_parts(records(), [], []);
    rig.inherit_all(
        left_by(&mut first()),
        Some(DatabaseCopy(Arc::new(database))),
    );
    rig.join(&["p", "q"]);
    let told = rig.service().database;
    assert_eq!((told.peers, told.origin), (1, DatabaseOrigin::File));
}

#[test]
fn what_was_left_about_a_server_that_goes_before_it_is_joined_is_not_told_to_the_next() {
    let mut rig = Rig::alone(&records(), true);
    rig.inherit(left_by(&mut first()));
    rig.scripts_come();
    rig.connect_server();
    rig.lose_server();
    // Another server, which has what this one has.
    rig.run += 1;
    rig.sent();
    rig.meet(&["p"]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifup p"]);
}

#[test]
fn the_peers_of_a_living_predecessor_of_another_version_are_not_started_up_again() {
    for (predecessor, expected) in [
        (None, vec!["ifup p"]),
        // An earlier self that was killed.
        (Some("9.9"), vec!["ifup p"]),
        (Some("1.5.3"), vec![]),
    ] {
        let mut rig = Rig::alone(&records(), true);
        rig.scripts_come();
        rig.meet_after(predecessor, &["p"]);
        rig.answer_all();
        assert_eq!(scripts(&mut rig), expected, "after {predecessor:?}");
        // The next one knows that it was done.
        let mut next = next(left_by(&mut rig), true, Duration::ZERO, &["p"]);
        assert_eq!(scripts(&mut next), [""; 0], "after {predecessor:?}");
    }
}

#[test]
fn pings_that_fell_due_meanwhile_are_made_up_for_one_after_the_other() {
    let mut rig = next(left_by(&mut first()), true, HOUR * 2, &["p", "q"]);
    rig.pinger_comes();
    let mut due: Vec<_> = rig
        .watched()
        .iter()
        .map(|watched| watched.phase.unwrap().due)
        .collect();
    due.sort_unstable();
    assert_eq!(due, [rig.now, rig.now + Duration::from_millis(1)]);
}

/// A pinger comes that remembers nine answers of `p`.
fn knowing_pinger_comes(rig: &mut Rig) {
    knowing_pinger_begins(rig);
    rig.pinger_says(FromPinger::Resume(Vec::new()));
}

/// The same, and it has not said yet that this is all.
fn knowing_pinger_begins(rig: &mut Rig) {
    let known = Remembered {
        name: "p".to_owned(),
        phase: PingPhase {
            last_seq: 9,
            ..PingPhase::default()
        },
        statistics: PingStatistics {
            replies: 9,
            ..PingStatistics::default()
        },
    };
    rig.pinger_connects();
    rig.pinger_says(FromPinger::Resume(vec![known]));
}

#[test]
fn a_pinger_that_has_outlived_the_core_knows_better_whenever_it_comes() {
    let mut late = next(left_by(&mut first()), true, Duration::ZERO, &["p", "q"]);
    knowing_pinger_comes(&mut late);
    let mut early = Rig::alone(&records(), true);
    knowing_pinger_comes(&mut early);
    early.inherit(left_by(&mut first()));
    early.join(&["p", "q"]);
    for rig in [&mut late, &mut early] {
        let list = rig.watched();
        let replies = |name: &str| {
            let found = list.iter().rev().find(|watched| watched.name == name);
            found.map(|watched| watched.statistics.replies)
        };
        assert_eq!((replies("p"), replies("q")), (Some(9), Some(1)));
    }
    // Once a pinger has been there, core has seen all that happened since, and knows best.
    let id = late.id("p");
    late.order(id, 10);
    late.machine.ping_result(id, 10, PingResult::Reply(7.0));
    knowing_pinger_comes(&mut late);
    let again = late.watched();
    let p = again.iter().find(|watched| watched.name == "p").unwrap();
    assert_eq!(p.statistics.replies, 10);
}

#[test]
fn what_was_asked_before_the_pinger_came_outlasts_what_the_pinger_remembers() {
    let begin: [fn(&mut Rig); 2] = [
        |_| (),
        // What the state says is older than what the pinger remembers.
        |rig| rig.inherit(left_by(&mut first())),
    ];
    for begin in begin {
        let mut rig = Rig::alone(&records(), true);
        begin(&mut rig);
        rig.join(&["p", "q"]);
        let words = ["sabotage", "p"].map(str::to_owned).to_vec();
        rig.request(2, 4, Request::Submit { words });
        knowing_pinger_comes(&mut rig);
        let list = rig.watched();
        let p = list.iter().find(|watched| watched.name == "p").unwrap();
        assert_eq!(p.statistics.replies, 9);
        let phase = p.phase.unwrap();
        assert!(phase.sabotaged && phase.due <= rig.now, "{phase:?}");
    }
}

#[test]
fn what_a_pinger_knew_of_a_peer_that_is_gone_is_not_given_to_one_that_is_added() {
    const ADD: &str = "NOTE ADD p tun0 INET 192.0.2.1 1";
    let meet = |rig: &mut Rig| {
        rig.join(&[]);
        rig.hear(ADD);
        rig.answer_all();
    };
    let mut early = Rig::alone(&records(), false);
    knowing_pinger_comes(&mut early);
    meet(&mut early);
    let mut late = Rig::alone(&records(), false);
    meet(&mut late);
    knowing_pinger_comes(&mut late);
    for rig in [&mut early, &mut late] {
        let list = rig.watched();
        let p = list.iter().rev().find(|watched| watched.name == "p");
        assert_eq!(p.unwrap().statistics.replies, 0);
    }
}

#[test]
fn who_went_meanwhile_is_brought_down_and_who_came_is_configured() {
    let mut old = first();
    let mut all = records();
    all.push(record("new", &[("ifup", "up"), ("peer", "PASSIVE")]));
    old.database(&all);
    let mut rig = Rig::alone(&all, false);
    rig.inherit(left_by(&mut old));
    rig.scripts_come();
    rig.meet(&["q", "new"]);
    rig.answer_all();
    let runs = rig.ordered();
    let kinds: Vec<_> = runs
        .iter()
        .map(|run| (run.kind.name(), run.peer.as_str()))
        .collect();
    assert_eq!(kinds, [("ifdown", "p"), ("ifup", "new")]);
    // What the server can no longer be asked was kept.
    let cipher = ("A_CIPHER".to_owned(), "rijndael".to_owned());
    assert!(runs[0].environment.contains(&cipher), "{runs:?}");
    // The figures of who is gone are not given to a later peer of the name.
    rig.pinger_comes();
    rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
    let list = rig.watched();
    let p = list.iter().find(|watched| watched.name == "p").unwrap();
    assert_eq!(p.statistics, PingStatistics::default());
}

/// A core that inherits this has claimed the service, and has asked for the list of peers.
fn claimed(state: State, kept: Vec<Setup>) -> Rig {
    let mut rig = Rig::alone(&records(), false);
    rig.inherit(state);
    rig.kept = kept;
    rig.scripts_come();
    rig.connect_server();
    rig.hear("OK");
    rig.hear("OK");
    assert_eq!(rig.sent().last().map(String::as_str), Some("LIST"));
    rig
}

/// The server lists both peers.
fn list_both(rig: &mut Rig) {
    for line in ["INFO p", "INFO q", "OK"] {
        rig.hear(line);
    }
    rig.answer_all();
}

/// The replies and the deadline of a peer, as the pinger was told last.
fn watch_of(list: &[Watched], name: &str) -> (u64, Monotonic) {
    let mut found = list.iter().rev();
    let found = found.find(|watched| watched.name == name).unwrap();
    (found.statistics.replies, found.phase.unwrap().due)
}

#[test]
fn a_peer_added_between_claim_and_list_is_not_the_one_of_the_state() {
    for (with_journal, pinger_first) in [(true, true), (true, false), (false, true), (false, false)]
    {
        let mut old = first();
        let state = left_by(&mut old);
        let kept = if with_journal {
            old.setups()
        } else {
            Vec::new()
        };
        let mut rig = claimed(state, kept);
        rig.observe();
        if pinger_first {
            rig.pinger_comes();
        }
        rig.wait(Duration::from_secs(1));
        rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
        list_both(&mut rig);
        if !pinger_first {
            rig.pinger_comes();
        }
        let case = format!("journal {with_journal}, pinger first {pinger_first}");
        let list = rig.watched();
        assert_eq!(watch_of(&list, "p"), (0, rig.now + HOUR), "{case}");
        assert_eq!(watch_of(&list, "q"), (1, old.now + HOUR), "{case}");
        assert_eq!(scripts(&mut rig), ["ifdown p", "ifup p"], "{case}");
        let told = rig.events.drain(..);
        let told = told.filter(|event| event.peer.as_deref() == Some("p"));
        let told: Vec<&str> = told
            .filter_map(|event| match event.kind {
                EventKind::Removed(Removal::Unseen) => Some("removed"),
                EventKind::Added { .. } => Some("added"),
                EventKind::Adopted {} => Some("adopted"),
                _ => None,
            })
            .collect();
        assert_eq!(told, ["removed", "added", "adopted"], "{case}");
    }
}

/// The state of a core that has found both peers at the server, so that no helper keeps anything of
/// them.
fn found() -> State {
    let mut rig = Rig::alone(&records(), false);
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    left_by(&mut rig)
}

#[test]
fn a_peer_that_was_found_and_goes_while_no_helper_is_there_is_taken_down_by_a_later_core() {
    let without_helper = |state: State, peers: &[&str]| {
        let mut rig = Rig::alone(&records(), false);
        rig.inherit(state);
        rig.meet(peers);
        rig.answer_all();
        rig
    };
    // It went while there was no core, or before the eyes of this one.
    let mut unseen = without_helper(found(), &["q"]);
    let mut seen = without_helper(found(), &["p", "q"]);
    seen.hear("NOTE KILL p");
    for rig in [&mut unseen, &mut seen] {
        let state = left_by(rig);
        let mut last = next(state.clone(), false, Duration::ZERO, &["q"]);
        assert_eq!(scripts(&mut last), ["ifdown p"]);
        // It is there again, and is another one.
        let mut last = next(state, false, Duration::ZERO, &["p", "q"]);
        assert_eq!(scripts(&mut last), ["ifdown p", "ifup p"]);
        // Once the helper has the orders, nothing is left.
        last.take_orders();
        let state = serde_json::to_value(left_by(&mut last)).unwrap();
        assert_eq!(state.get("unfinished"), None);
    }
}

#[test]
fn an_ifdown_that_no_helper_has_is_ordered_by_the_next_core_unless_the_helper_says_otherwise() {
    let mut rig = Rig::alone(&records(), false);
    rig.scripts_come();
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.scripts_go();
    rig.hear("NOTE KILL p");
    rig.answer_all();
    let (_, state) = rig.machine.state().unwrap();
    let text = serde_json::to_string(&state).unwrap();
    for has_it in [false, true] {
        let mut last = Rig::alone(&records(), false);
        last.inherit(serde_json::from_str(&text).unwrap());
        if has_it {
            last.kept = vec![Setup {
                key: SetupKey {
                    peer: "p".to_owned(),
                    pair: Pair::Interface,
                },
                state: SetupState::Undone {},
                number: None,
            }];
        }
        last.scripts_come();
        last.meet(&["q"]);
        last.answer_all();
        last.take_orders();
        let runs = last.ordered();
        assert_eq!(runs.len(), usize::from(!has_it), "{runs:?}");
        if let [run] = &runs[..] {
            let cipher = ("A_CIPHER".to_owned(), "rijndael".to_owned());
            assert!(run.environment.contains(&cipher), "{run:?}");
        }
    }
}

#[test]
fn a_peer_that_came_and_went_while_no_helper_had_its_orders_is_not_taken_down() {
    let mut rig = Rig::alone(&records(), false);
    rig.scripts_come();
    rig.meet(&["q"]);
    rig.answer_all();
    rig.scripts_go();
    rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
    rig.answer_all();
    rig.hear("NOTE KILL p");
    rig.answer_all();
    let (_, state) = rig.machine.state().unwrap();
    let text = serde_json::to_string(&state).unwrap();
    let state = serde_json::from_str(&text).unwrap();
    let mut last = next(state, false, Duration::ZERO, &["q"]);
    assert_eq!(scripts(&mut last), [""; 0]);
}

#[test]
fn a_state_that_is_older_than_what_the_helper_keeps_undoes_nothing_again() {
    let mut rig = Rig::alone(&records(), false);
    rig.inherit(found());
    rig.meet(&["p", "q"]);
    rig.answer_all();
    for note in NOTES {
        rig.hear(note);
    }
    let state = left_by(&mut rig);
    rig.scripts_come();
    rig.answer_all();
    // The helper has both orders, and core was killed before it has saved its state again.
    let kept = rig.setups();
    let is_made = |setup: &Setup| matches!(setup.state, SetupState::Made(_));
    assert!(kept.iter().any(is_made), "{kept:?}");
    let mut last = Rig::alone(&records(), false);
    last.inherit(state);
    last.kept = kept;
    last.scripts_come();
    last.meet(&["p", "q"]);
    last.answer_all();
    assert_eq!(scripts(&mut last), [""; 0]);
}

/// A peer is removed, and another one of its name added.
const NOTES: [&str; 2] = ["NOTE KILL p", "NOTE ADD p tun0 INET 192.0.2.1 1"];

/// Core connects, and hears these notes before its claim is answered.
fn hear_before_the_claim(rig: &mut Rig) {
    rig.connect_server();
    rig.hear("OK");
    for note in NOTES {
        rig.hear(note);
    }
}

#[test]
fn a_peer_added_before_the_claim_is_taken_for_another_one_in_everything() {
    let mut old = first();
    let state = left_by(&mut old);
    let mut heir = Rig::alone(&records(), false);
    heir.inherit(state);
    heir.kept = old.setups();
    heir.scripts_come();
    let mut same = first();
    scripts(&mut same);
    same.lose_server();
    for mut rig in [heir, same] {
        rig.observe();
        hear_before_the_claim(&mut rig);
        rig.hear("OK");
        rig.sent();
        list_both(&mut rig);
        assert_eq!(scripts(&mut rig), ["ifdown p", "ifup p"]);
        let down = EventKind::Down {
            reason: DownReason::Unseen,
        };
        assert!(rig.events.iter().any(|event| event.kind == down));
        rig.pinger_comes();
        rig.ping(PingResult::Reply(1.0));
        let is_up = |kind: &EventKind| matches!(kind, EventKind::Up { .. });
        assert!(rig.events.iter().any(|event| is_up(&event.kind)));
    }
}

#[test]
fn what_was_seen_before_a_claim_outlasts_the_loss_of_that_connection() {
    let mut rig = first();
    rig.lose_server();
    hear_before_the_claim(&mut rig);
    rig.lose_server();
    rig.sent();
    rig.join(&["p", "q"]);
    let rows = rig.rows();
    let replies: Vec<u64> = rows.iter().map(|row| row.statistics.replies).collect();
    assert_eq!(replies, [0, 1]);
}

#[test]
fn keys_agreed_before_the_pinger_came_bring_a_check_forward_if_it_says_the_peer_is_down() {
    for failed_checks in [0, 3] {
        let mut rig = Rig::alone(&records(), false);
        rig.scripts_come();
        rig.join(&["p", "q"]);
        rig.pinger_connects();
        rig.hear("NOTE KXDONE p");
        let mut statistics = PingStatistics::default();
        statistics.record_loss();
        let phase = PingPhase {
            due: rig.now + HOUR,
            last_seq: 9,
            failed_checks,
            ..PingPhase::default()
        };
        rig.pinger_says(FromPinger::Resume(vec![Remembered {
            name: "p".to_owned(),
            phase,
            statistics,
        }]));
        rig.pinger_says(FromPinger::Resume(Vec::new()));
        let (_, due) = watch_of(&rig.watched(), "p");
        let expected = if failed_checks > 0 {
            rig.now
        } else {
            rig.now + HOUR
        };
        assert_eq!(due, expected);
    }
}

#[test]
fn a_peer_added_before_the_claim_has_no_figures_of_an_earlier_one() {
    let figures = |rig: &mut Rig| {
        let list = rig.watched();
        (watch_of(&list, "p").0, watch_of(&list, "q").0)
    };
    for pinger_first in [true, false] {
        // A state, and a pinger that has outlived the core that wrote it.
        let mut rig = Rig::alone(&records(), false);
        rig.inherit(left_by(&mut first()));
        rig.scripts_come();
        if pinger_first {
            knowing_pinger_comes(&mut rig);
        }
        hear_before_the_claim(&mut rig);
        rig.hear("OK");
        list_both(&mut rig);
        if !pinger_first {
            knowing_pinger_comes(&mut rig);
        }
        assert_eq!(figures(&mut rig), (0, 1), "{pinger_first}");
    }
    // This core itself has known the earlier one.
    let mut rig = first();
    rig.lose_server();
    hear_before_the_claim(&mut rig);
    rig.hear("OK");
    rig.watched();
    list_both(&mut rig);
    let told: Vec<(String, u64)> = rig
        .watched()
        .into_iter()
        .map(|watched| (watched.name, watched.statistics.replies))
        .collect();
    assert_eq!(told, [("p".to_owned(), 0)]);
}

#[test]
fn a_peer_that_goes_between_claim_and_list_is_brought_down() {
    let mut rig = claimed(left_by(&mut first()), Vec::new());
    rig.hear("NOTE KILL p");
    for line in ["INFO q", "OK"] {
        rig.hear(line);
    }
    rig.answer_all();
    rig.pinger_comes();
    assert_eq!(watch_of(&rig.watched(), "q").0, 1);
    assert_eq!(scripts(&mut rig), ["ifdown p"]);
}

#[test]
fn a_server_that_goes_between_claim_and_list_is_still_the_one_of_the_state() {
    let mut old = first();
    let mut rig = claimed(left_by(&mut old), Vec::new());
    rig.lose_server();
    // The checks of both fall due before the server is back.
    rig.wait(HOUR * 2);
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.pinger_comes();
    let list = rig.watched();
    let millisecond = Duration::from_millis(1);
    assert_eq!(watch_of(&list, "p"), (1, rig.now));
    assert_eq!(watch_of(&list, "q"), (1, rig.now + millisecond));
    assert_eq!(scripts(&mut rig), [""; 0]);
    // The next core is left what this one was.
    let mut last = next(left_by(&mut rig), false, HOUR * 2, &["p", "q"]);
    last.pinger_comes();
    assert_eq!(watch_of(&last.watched(), "p").0, 1);
}

#[test]
fn another_server_after_the_claim_has_other_peers_than_the_state() {
    let mut rig = claimed(left_by(&mut first()), Vec::new());
    rig.lose_server();
    rig.run += 1;
    rig.meet(&["p"]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifdown q", "ifdown p", "ifup p"]);
}

#[test]
fn figures_go_on_though_the_database_changes_between_claim_and_list() {
    let mut rig = claimed(left_by(&mut first()), Vec::new());
    let mut changed = records();
    let pairs = [PAIRS, &[("retries", "1")]].concat();
    changed[0] = record("p", &pairs);
    rig.database(&changed);
    list_both(&mut rig);
    rig.pinger_comes();
    let list = rig.watched();
    assert_eq!((watch_of(&list, "p").0, watch_of(&list, "q").0), (1, 1));
    // One that is removed meanwhile is not checked.
    let mut rig = claimed(left_by(&mut first()), Vec::new());
    rig.database(&records()[1..]);
    list_both(&mut rig);
    rig.pinger_comes();
    let list = rig.watched();
    assert!(list.iter().all(|watched| watched.name == "q"), "{list:?}");
}

#[test]
fn what_startup_stands_for_is_done_once_though_it_may_be_asked_for_late() {
    // Without it the peers that were there are left as they are.
    let mut plain = Rig::joined(&records(), &["p", "q"]);
    plain.answer_all();
    assert_eq!(scripts(&mut plain), [""; 0]);
    // With it they are configured by the next core, but not by the one after that.
    let mut rig = next(left_by(&mut plain), true, Duration::ZERO, &["p", "q"]);
    assert_eq!(scripts(&mut rig), ["ifup p", "ifup q"]);
    let mut last = next(left_by(&mut rig), true, Duration::ZERO, &["p", "q"]);
    assert_eq!(scripts(&mut last), [""; 0]);
}

#[test]
fn a_check_under_way_goes_on_with_the_next_core() {
    let mut old = first();
    let peer = old.id("p");
    old.order(peer, 2);
    old.machine.ping_result(peer, 2, PingResult::Timeout);
    old.order(peer, 3);
    let mut rig = next(left_by(&mut old), false, Duration::ZERO, &["p", "q"]);
    rig.pinger_comes();
    let list = rig.watched();
    let p = list.iter().find(|watched| watched.name == "p").unwrap();
    let phase = p.phase.unwrap();
    assert!(phase.checking);
    assert_eq!((phase.failures, phase.last_seq), (1, 3));
    assert_eq!((phase.due, phase.in_flight), (old.now, None));
}

#[test]
fn a_plan_that_was_changed_meanwhile_holds_for_who_comes_back() {
    let state = left_by(&mut first());
    let pairs: Vec<_> = PAIRS
        .iter()
        .map(|pair| {
            if pair.0 == "every" {
                ("every", "10s")
            } else {
                *pair
            }
        })
        .collect();
    let mut rig = Rig::alone(&[record("p", &pairs)], false);
    rig.inherit(state);
    rig.join(&["p"]);
    rig.pinger_comes();
    let phase = rig.watched()[0].phase.unwrap();
    assert_eq!(phase.due, rig.now + Duration::from_secs(10));
}

#[test]
fn a_state_that_cannot_be_written_and_lost_lines_of_logs_are_told() {
    let mut rig = first();
    rig.observe();
    let (old, new) = ("no storage space", "read-only filesystem");
    for fault in [old, new] {
        let fault = fault.to_owned();
        rig.feed(Input::Written(WriteNews::StateFault { fault }));
        rig.wait(Duration::from_secs(35));
    }
    rig.feed(Input::Written(WriteNews::LogLost { lines: 7 }));
    rig.pinger_comes();
    rig.pinger_says(FromPinger::LogLost(3));
    rig.scripts_come();
    rig.scripts_say(FromScripts::LogLost(4));
    let fault = WriteFault {
        fault: new.to_owned(),
        seconds: 70,
    };
    let told = rig.service();
    assert_eq!(told.state_fault, Some(fault));
    let lost = told.counters.log_lines_lost;
    let helpers = (
        told.pinger.log_lines_lost,
        told.scripts.helper.log_lines_lost,
    );
    assert_eq!((lost, helpers), (7, (3, 4)));
    // Twice, since it may come at the end as well.
    rig.feed(Input::Written(WriteNews::StateSaved {}));
    rig.feed(Input::Written(WriteNews::StateSaved {}));
    assert_eq!(rig.service().state_fault, None);
    let kinds = rig.events.drain(..).map(|event| event.kind);
    let of_state = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::StateFault { .. } | EventKind::StateSaved { .. }
        )
    };
    let kinds: Vec<EventKind> = kinds.filter(of_state).collect();
    let fault = |fault: &str| EventKind::StateFault {
        fault: fault.to_owned(),
    };
    let expected = [
        fault(old),
        fault(new),
        EventKind::StateSaved { seconds: 70 },
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn what_a_pinger_was_about_to_say_when_it_died_is_not_given_to_a_peer_that_is_adopted_later() {
    let mut rig = Rig::alone(&records(), false);
    rig.join(&[]);
    rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
    rig.answer_all();
    knowing_pinger_begins(&mut rig);
    rig.pinger_goes();
    rig.database(&[]);
    rig.database(&records());
    rig.pinger_comes();
    let list = rig.watched();
    let p = list.iter().find(|watched| watched.name == "p").unwrap();
    assert_eq!(p.statistics.replies, 0);
}
