// SPDX-License-Identifier: GPL-3.0-or-later
//! How peers are shown that are there, that are not, and that come back.

use std::time::Duration;

use connect_ipc::control::{PeerState, PeerStatus, Reply, Request};
use connect_ipc::event::{EventKind, Removal};
use peerdb::Record;

use super::super::State;
use super::rig::{Rig, record};

const STATIC: &[(&str, &str)] = &[
    ("watch", "t"),
    ("peer", "INET 192.0.2.1 1"),
    ("retries", "2"),
];
const DYNAMIC: &[(&str, &str)] = &[
    ("watch", "t"),
    ("peer", "INET 192.0.2.1 1"),
    ("retries", "1"),
    ("knock", "me"),
];
const PASSIVE: &[(&str, &str)] = &[
    ("watch", "t"),
    ("peer", "PASSIVE"),
    ("user", "u"),
    ("retries", "1"),
];

const SILENCE: Removal = Removal::Silence { pings: 2 };

/// A record of each kind.
fn records() -> Vec<Record> {
    vec![
        record("dynamic", DYNAMIC),
        record("passive", PASSIVE),
        record("paris", STATIC),
        record("plain", &[("peer", "INET 192.0.2.1 1")]),
    ]
}

/// A core that has joined a server with these peers, which has answered all that it was asked.
fn joined(records: &[Record], peers: &[&str]) -> Rig {
    let mut rig = Rig::new(records);
    meet(&mut rig, peers);
    rig
}

fn meet(rig: &mut Rig, peers: &[&str]) {
    rig.meet(peers);
    rig.answer_all();
}

/// The server answers with success what it was asked before this command, which it still owes an
/// answer.
fn answer_before(rig: &mut Rig, command: &str) {
    let sent = rig.sent();
    let before = sent.iter().position(|line| line == command);
    for _ in 0..before.unwrap_or_else(|| panic!("no {command} in {sent:?}")) {
        rig.hear("OK");
    }
}

fn row(rig: &mut Rig, name: &str) -> PeerStatus {
    let row = rig.rows().into_iter().find(|peer| peer.name == name);
    row.expect("a row")
}

/// The state of each peer, and whether it is wanted.
fn states(rig: &mut Rig) -> Vec<(String, PeerState, bool)> {
    let rows = rig.rows().into_iter();
    rows.map(|peer| (peer.name, peer.state, peer.wanted))
        .collect()
}

fn state(rig: &mut Rig, name: &str) -> (PeerState, bool) {
    let row = row(rig, name);
    (row.state, row.wanted)
}

/// A ping of the peer ends so.
fn ping(rig: &mut Rig, name: &str, seq: u32, end: &str) {
    rig.answer_all();
    let id = rig.id(name);
    rig.order(id, seq);
    let sent = rig.sent();
    let tag = sent
        .iter()
        .find_map(|line| line.strip_prefix("PING -background ")?.split(' ').next())
        .unwrap_or_else(|| panic!("no ping in {sent:?}"))
        .to_owned();
    rig.hear(&format!("BGDETACH {tag}"));
    rig.hear(&format!("BGINFO {tag} {end}"));
    rig.hear(&format!("BGOK {tag}"));
}

/// The static peer does not answer, and the server is told to remove it.
fn paris_falls_silent(rig: &mut Rig) {
    for seq in 1..=2 {
        ping(rig, "paris", seq, "ping-timeout");
    }
    answer_before(rig, "KILL paris");
}

/// The same, and the server does it.
fn paris_is_removed(rig: &mut Rig) {
    paris_falls_silent(rig);
    rig.hear("NOTE KILL paris");
    rig.hear("OK");
}

/// The events about the peer since this was last asked.
fn events(rig: &mut Rig, name: &str) -> Vec<EventKind> {
    let events = rig.events.drain(..);
    let about = events.filter(|event| event.peer.as_deref() == Some(name));
    about.map(|event| event.kind).collect()
}

#[test]
fn every_peer_that_is_there_or_expected_has_a_row() {
    let mut rig = joined(&records(), &["plain", "stranger"]);
    assert_eq!(
        states(&mut rig),
        [
            ("dynamic".to_owned(), PeerState::Absent, false),
            ("paris".to_owned(), PeerState::Absent, false),
            ("passive".to_owned(), PeerState::Waiting, false),
            ("plain".to_owned(), PeerState::Unwatched, false),
            ("stranger".to_owned(), PeerState::Unwatched, false),
        ]
    );
    rig.hear("NOTE KILL plain");
    rig.hear("NOTE KILL stranger");
    let left: Vec<String> = rig.rows().into_iter().map(|peer| peer.name).collect();
    assert_eq!(left, ["dynamic", "paris", "passive", "plain"]);
    assert_eq!(state(&mut rig, "plain"), (PeerState::Killed, false));
}

#[test]
fn a_peer_to_be_added_at_start_up_is_wanted_though_it_is_absent() {
    let mut rig = joined(&records(), &[]);
    rig.database_with_auto(&records(), &["paris", "plain", "passive", "nobody"]);
    assert_eq!(state(&mut rig, "paris"), (PeerState::Absent, true));
    assert_eq!(state(&mut rig, "plain"), (PeerState::Absent, true));
    assert_eq!(state(&mut rig, "dynamic"), (PeerState::Absent, false));
    // It cannot be added, so it can only be waited for.
    assert_eq!(state(&mut rig, "passive"), (PeerState::Waiting, false));
}

#[test]
fn an_adopted_peer_is_checking_until_a_check_has_ended_and_then_up_or_down() {
    let mut rig = joined(&records(), &["dynamic"]);
    assert_eq!(state(&mut rig, "dynamic"), (PeerState::Checking, true));
    ping(&mut rig, "dynamic", 1, "ping-ok 1.5");
    assert_eq!(state(&mut rig, "dynamic"), (PeerState::Up, true));
    // A check under way does not change that.
    rig.sent();
    let id = rig.id("dynamic");
    rig.order(id, 2);
    assert_eq!(row(&mut rig, "dynamic").next_ping_ms, None);
    assert_eq!(state(&mut rig, "dynamic"), (PeerState::Up, true));
    let tag = rig.sent()[0].split(' ').nth(2).expect("a tag").to_owned();
    rig.hear(&format!("BGDETACH {tag}"));
    rig.hear(&format!("BGINFO {tag} ping-timeout"));
    rig.hear(&format!("BGOK {tag}"));
    let down = row(&mut rig, "dynamic");
    assert_eq!((down.state, down.wanted), (PeerState::Down, true));
    assert!(down.next_ping_ms.is_some(), "it is reconnected and checked");
    rig.sent();
    ping(&mut rig, "dynamic", 3, "ping-ok 1.5");
    assert_eq!(state(&mut rig, "dynamic"), (PeerState::Up, true));
}

#[test]
fn a_static_peer_that_does_not_answer_is_gone_until_it_is_back() {
    let mut rig = joined(&records(), &["paris"]);
    ping(&mut rig, "paris", 1, "ping-ok 1.5");
    rig.observe();
    for seq in 2..=3 {
        ping(&mut rig, "paris", seq, "ping-timeout");
    }
    answer_before(&mut rig, "KILL paris");
    let doomed = row(&mut rig, "paris");
    assert_eq!((doomed.state, doomed.next_ping_ms), (PeerState::Down, None));
    let told = events(&mut rig, "paris");
    let unreachable = EventKind::Unreachable {
        failed_checks: 1,
        next_ms: None,
    };
    assert!(told.contains(&unreachable), "{told:?}");

    rig.hear("NOTE KILL paris");
    rig.hear("OK");
    assert_eq!(events(&mut rig, "paris"), [EventKind::Removed(SILENCE)]);
    rig.wait(Duration::from_secs(300));
    let gone = row(&mut rig, "paris");
    assert_eq!((gone.state, gone.wanted), (PeerState::Gone, true));
    assert_eq!((gone.age, gone.next_ping_ms), (300, None));
    assert_eq!(gone.connection.removal, Some(SILENCE));
    assert_eq!(rig.machine.counts().gone, 1);

    rig.hear("NOTE ADD paris tripe0 INET 192.0.2.1 1");
    let told = events(&mut rig, "paris");
    assert!(told.contains(&EventKind::Back { away: 300 }), "{told:?}");
    assert_eq!(state(&mut rig, "paris"), (PeerState::Checking, true));
    assert_eq!(rig.machine.counts().gone, 0);
}

#[test]
fn a_passive_peer_that_does_not_answer_is_gone_with_its_last_address() {
    let mut rig = joined(&records(), &[]);
    rig.hear("NOTE ADD passive tripe0 INET 192.0.2.9 7");
    ping(&mut rig, "passive", 1, "ping-timeout");
    rig.hear("NOTE KILL passive");
    rig.hear("OK");
    let gone = row(&mut rig, "passive");
    assert_eq!((gone.state, gone.wanted), (PeerState::Gone, true));
    assert_eq!(gone.address.as_deref(), Some("INET 192.0.2.9 7"));
    rig.hear("NOTE ADD passive tripe0 INET 192.0.2.9 8");
    assert_eq!(state(&mut rig, "passive"), (PeerState::Checking, true));
}

#[test]
fn a_peer_that_a_command_removed_is_killed_and_not_wanted() {
    let mut rig = joined(&records(), &["paris"]);
    rig.observe();
    rig.hear("NOTE KILL paris");
    assert_eq!(
        events(&mut rig, "paris"),
        [EventKind::Removed(Removal::Command)]
    );
    assert_eq!(state(&mut rig, "paris"), (PeerState::Killed, false));
    rig.hear("NOTE ADD paris tripe0 INET 192.0.2.1 1");
    let told = events(&mut rig, "paris");
    let back = |kind: &EventKind| matches!(kind, EventKind::Back { .. });
    assert!(!told.iter().any(back), "it was not gone: {told:?}");
    assert_eq!(state(&mut rig, "paris"), (PeerState::Checking, true));
}

#[test]
fn a_peer_whose_removal_the_server_refuses_stays_and_is_checked_again() {
    let mut rig = joined(&records(), &["paris"]);
    paris_falls_silent(&mut rig);
    rig.hear("FAIL not-now");
    let stays = row(&mut rig, "paris");
    assert_eq!(stays.state, PeerState::Down);
    assert!(stays.next_ping_ms.is_some());
    rig.hear("NOTE KILL paris");
    assert_eq!(state(&mut rig, "paris"), (PeerState::Killed, false));
}

#[test]
fn a_peer_that_is_added_again_is_adding_and_gone_if_that_fails() {
    let mut rig = joined(&records(), &["paris"]);
    let words = ["active", "paris"].map(str::to_owned).to_vec();
    rig.request(1, 1, Request::Submit { words });
    answer_before(&mut rig, "KILL paris");
    assert_eq!(state(&mut rig, "paris"), (PeerState::Adding, true));
    rig.hear("NOTE KILL paris");
    rig.hear("OK");
    assert_eq!(state(&mut rig, "paris"), (PeerState::Adding, true));
    let sent = rig.sent();
    let add = sent.iter().find(|line| line.starts_with("ADD "));
    let tag = add.and_then(|line| line.split(' ').nth(2));
    let tag = tag.expect("an ADD with a tag").to_owned();
    rig.hear(&format!("BGDETACH {tag}"));
    rig.hear(&format!("BGFAIL {tag} peer-create-fail paris"));
    let gone = row(&mut rig, "paris");
    assert_eq!((gone.state, gone.wanted), (PeerState::Gone, true));
    assert_eq!(gone.connection.removal, Some(Removal::Replaced));
}

#[test]
fn a_peer_that_is_added_for_the_first_time_is_adding() {
    let mut rig = joined(&records(), &[]);
    let words = ["active", "paris"].map(str::to_owned).to_vec();
    rig.request(1, 1, Request::Submit { words });
    assert_eq!(state(&mut rig, "paris"), (PeerState::Adding, true));
}

#[test]
fn what_is_removed_from_the_database_or_no_longer_watched_is_forgotten() {
    let mut rig = joined(&records(), &["paris", "dynamic", "passive"]);
    paris_is_removed(&mut rig);
    ping(&mut rig, "passive", 1, "ping-timeout");
    rig.hear("NOTE KILL passive");
    rig.hear("OK");
    rig.hear("NOTE KILL dynamic");
    assert_eq!(state(&mut rig, "passive"), (PeerState::Gone, true));
    let mut left = records();
    left.retain(|record| record.name() != "dynamic");
    for record in &mut left {
        if record.name() == "passive" {
            *record = super::rig::record("passive", &[("peer", "PASSIVE")]);
        }
    }
    rig.database(&left);
    assert_eq!(
        states(&mut rig),
        [
            ("paris".to_owned(), PeerState::Gone, true),
            ("passive".to_owned(), PeerState::Waiting, false),
        ]
    );
    rig.database(&records());
    assert_eq!(state(&mut rig, "dynamic"), (PeerState::Absent, false));
}

#[test]
fn what_a_new_server_does_not_have_is_gone() {
    let mut rig = joined(&records(), &["paris", "passive", "dynamic"]);
    rig.lose_server();
    rig.wait(Duration::from_secs(30));
    rig.run += 1;
    meet(&mut rig, &["dynamic"]);
    let gone = row(&mut rig, "passive");
    assert_eq!((gone.state, gone.wanted), (PeerState::Gone, true));
    assert!(gone.age >= 30, "since the server went: {}", gone.age);
    assert_eq!(gone.connection.removal, Some(Removal::Server));
    assert_eq!(state(&mut rig, "paris"), (PeerState::Gone, true));
    assert_eq!(state(&mut rig, "dynamic"), (PeerState::Checking, true));
}

#[test]
fn what_a_server_says_just_before_it_ends_is_not_taken_for_commands() {
    let mut rig = joined(&records(), &["paris", "passive"]);
    rig.hear("NOTE KILL passive");
    rig.wait(Duration::from_secs(60));
    rig.hear("NOTE KILL paris");
    rig.lose_server();
    assert_eq!(state(&mut rig, "paris"), (PeerState::Gone, true));
    assert_eq!(state(&mut rig, "passive"), (PeerState::Killed, false));
}

#[test]
fn what_the_same_server_lost_meanwhile_is_missed() {
    let mut rig = joined(&records(), &["paris", "passive"]);
    rig.lose_server();
    meet(&mut rig, &["passive"]);
    let gone = row(&mut rig, "paris");
    assert_eq!((gone.state, gone.wanted), (PeerState::Gone, true));
    assert_eq!(
        gone.connection.removal,
        Some(Removal::Unseen),
        "nobody knows"
    );
}

#[test]
fn a_removal_that_was_ordered_before_an_outage_is_still_known_as_such() {
    let mut rig = joined(&records(), &["paris", "passive"]);
    paris_falls_silent(&mut rig);
    rig.lose_server();
    meet(&mut rig, &["passive"]);
    assert_eq!(state(&mut rig, "paris"), (PeerState::Gone, true));
}

fn left_by(rig: &Rig) -> State {
    let (_, state) = rig.machine.state().expect("a server was joined");
    let text = serde_json::to_string(&state).expect("it can be written");
    serde_json::from_str(&text).expect("and read")
}

#[test]
fn the_next_core_knows_which_peers_are_gone_or_killed_if_it_has_the_state() {
    let mut first = joined(&records(), &["paris", "dynamic", "passive"]);
    paris_is_removed(&mut first);
    first.hear("NOTE KILL dynamic");
    let before = left_by(&first);

    let mut next = Rig::new(&records());
    next.now = first.now + Duration::from_secs(60);
    next.inherit(before.clone());
    meet(&mut next, &["passive"]);
    let gone = row(&mut next, "paris");
    assert_eq!((gone.state, gone.age), (PeerState::Gone, 60));
    assert_eq!(gone.connection.removal, Some(SILENCE));
    assert_eq!(state(&mut next, "dynamic"), (PeerState::Killed, false));
    assert_eq!(left_by(&next).len(), 1);

    // Who came back meanwhile is not gone, and the record may have gone meanwhile, too.
    let mut next = Rig::new(&records()[1..]);
    next.now = first.now + Duration::from_secs(60);
    next.observe();
    next.inherit(before);
    meet(&mut next, &["passive", "paris"]);
    assert_eq!(state(&mut next, "paris"), (PeerState::Checking, true));
    assert_eq!(next.machine.counts().gone, 0);
    let known: Vec<String> = next.rows().into_iter().map(|it| it.name).collect();
    assert_eq!(known, ["paris", "passive"]);

    let mut without = Rig::new(&records());
    meet(&mut without, &["passive"]);
    assert_eq!(state(&mut without, "paris"), (PeerState::Absent, false));
}

#[test]
fn info_has_the_same_row_and_none_for_a_peer_that_nothing_asks_for() {
    let mut rig = joined(&records(), &["paris"]);
    paris_is_removed(&mut rig);
    let mut status = |name: &str| {
        rig.answers.clear();
        let peer = name.to_owned();
        rig.request(1, 1, Request::Info { peer });
        match rig.answers.pop().map(|(_, answer)| answer.reply) {
            Some(Reply::Peer(detail)) => detail.status.map(|status| status.state),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(status("paris"), Some(PeerState::Gone));
    assert_eq!(status("passive"), Some(PeerState::Waiting));
    assert_eq!(status("plain"), None);
}

fn active(rig: &mut Rig, name: &str) {
    let words = vec!["active".to_owned(), name.to_owned()];
    rig.request(1, 1, Request::Submit { words });
}

/// The tag of the latest addition.
fn addition(rig: &mut Rig) -> String {
    let sent = rig.sent();
    let add = sent.iter().rev().find(|line| line.starts_with("ADD "));
    let add = add.unwrap_or_else(|| panic!("no addition in {sent:?}"));
    add.split(' ').nth(2).expect("a tag").to_owned()
}

#[test]
fn a_peer_whose_addition_does_not_end_counts_as_one_that_is_not_up_however_often_it_is_tried() {
    let mut rig = joined(&records(), &[]);
    rig.database_with_auto(&records(), &["paris"]);
    let about = |rig: &mut Rig| {
        let row = row(rig, "paris");
        (row.state, row.wanted, row.age, row.connection.pending)
    };
    for attempt in 0..3 {
        active(&mut rig, "paris");
        let tag = addition(&mut rig);
        rig.hear(&format!("BGDETACH {tag}"));
        rig.wait(Duration::from_secs(50));
        let age = 50 + attempt * 60;
        let pending = (attempt > 0).then_some(age);
        let adding = (PeerState::Adding, true, age, pending);
        assert_eq!(about(&mut rig), adding);
        // Asked once more for the same.
        active(&mut rig, "paris");
        assert_eq!(about(&mut rig), adding);
        rig.hear(&format!("BGFAIL {tag} resolve-error paris"));
        rig.wait(Duration::from_secs(10));
        let absent = (PeerState::Absent, true, age + 10, None);
        assert_eq!(about(&mut rig), absent);
    }
    // An attempt of long ago has nothing to do with it.
    rig.wait(Duration::from_secs(3600));
    active(&mut rig, "paris");
    assert_eq!(about(&mut rig), (PeerState::Adding, true, 0, None));
}

#[test]
fn a_peer_that_is_added_again_before_its_first_check_ends_counts_as_not_up_after_its_time() {
    let mut rig = joined(&records(), &[]);
    let mut seconds = 0;
    let mut first_told = None;
    while seconds < 600 {
        active(&mut rig, "paris");
        if rig.machine.counts().present > 0 {
            answer_before(&mut rig, "KILL paris");
            rig.hear("NOTE KILL paris");
            rig.hear("OK");
        }
        let tag = addition(&mut rig);
        rig.hear(&format!("BGDETACH {tag}"));
        rig.hear("NOTE ADD paris tun0 INET 192.0.2.1 1");
        rig.hear(&format!("BGOK {tag}"));
        rig.answer_all();
        rig.wait(Duration::from_secs(30));
        seconds += 30;
        let row = row(&mut rig, "paris");
        if let (PeerState::Checking, Some(pending)) = (row.state, row.connection.pending) {
            assert_eq!(pending, seconds);
            first_told.get_or_insert(seconds);
        }
    }
    assert!(first_told.is_some());
}

#[test]
fn a_peer_that_was_up_meanwhile_is_checked_for_the_first_time_since_it_was_lost() {
    let mut rig = joined(&records(), &[]);
    let add = |rig: &mut Rig| {
        active(rig, "paris");
        let tag = addition(rig);
        rig.hear(&format!("BGDETACH {tag}"));
        rig.hear("NOTE ADD paris tun0 INET 192.0.2.1 1");
        rig.hear(&format!("BGOK {tag}"));
        rig.answer_all();
    };
    add(&mut rig);
    rig.wait(Duration::from_secs(200));
    ping(&mut rig, "paris", 1, "ping-ok 1.5");
    rig.wait(Duration::from_secs(100));
    for seq in 2..=3 {
        ping(&mut rig, "paris", seq, "ping-timeout");
    }
    answer_before(&mut rig, "KILL paris");
    rig.hear("NOTE KILL paris");
    rig.hear("OK");
    rig.wait(Duration::from_secs(300));
    add(&mut rig);
    let added = row(&mut rig, "paris");
    assert_eq!(added.state, PeerState::Checking);
    assert_eq!(added.connection.pending, Some(300));
}

#[test]
fn a_peer_that_was_removed_while_no_core_ran_is_gone() {
    let mut first = joined(&records(), &["paris", "plain"]);
    ping(&mut first, "paris", 1, "ping-ok 1.5");
    let left = left_by(&first);
    let mut next = Rig::new(&records());
    next.now = first.now + Duration::from_secs(60);
    next.inherit(left);
    meet(&mut next, &["passive"]);
    let gone = row(&mut next, "paris");
    assert_eq!((gone.state, gone.wanted), (PeerState::Gone, true));
    assert_eq!(gone.connection.removal, Some(Removal::Unseen));
    let known: Vec<String> = next.rows().into_iter().map(|it| it.name).collect();
    assert_eq!(
        known,
        ["dynamic", "paris", "passive"],
        "nobody watches plain"
    );
}
