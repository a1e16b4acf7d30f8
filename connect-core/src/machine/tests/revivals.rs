// SPDX-License-Identifier: GPL-3.0-or-later
//! Peers of the start-up list that did not answer and are added again (key `when-dead`).

use std::time::Duration;

use connect_ipc::control::{PeerState, PeerStatus};
use connect_ipc::event::Removal;
use connect_ipc::lookup::{Found, LookedUp};
use connect_ipc::scripts::{FromScripts, ToScripts};
use peerdb::Record;

use super::rig::{Rig, record};

/// It is found silent after one ping, and comes back after 10 s, then after up to 40 s.
const RETRY: &[(&str, &str)] = &[
    ("watch", "t"),
    ("peer", "INET 192.0.2.1 1"),
    ("retries", "1"),
    ("backoff", "10s"),
    ("backoff-max", "40s"),
    ("when-dead", "retry"),
];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A core that has joined a server with the peer, which is on the start-up list.
fn rig_with(pairs: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new(&[]);
    rig.database_with_auto(&[record("p", pairs)], &["p"]);
    rig.meet(&["p"]);
    rig.answer_all();
    rig
}

fn row(rig: &mut Rig) -> PeerStatus {
    rig.rows().into_iter().next().expect("a row")
}

/// The tag of the only background command of this name that was sent just now.
fn tag(rig: &mut Rig, command: &str) -> String {
    let start = format!("{command} -background ");
    let sent = rig.sent();
    let tag = sent
        .iter()
        .find_map(|line| line.strip_prefix(&start)?.split(' ').next());
    tag.unwrap_or_else(|| panic!("no {command} in {sent:?}"))
        .to_owned()
}

fn ping(rig: &mut Rig, seq: u32, end: &str) {
    rig.answer_all();
    let id = rig.id("p");
    rig.order(id, seq);
    let tag = tag(rig, "PING");
    rig.hear(&format!("BGDETACH {tag}"));
    rig.hear(&format!("BGINFO {tag} {end}"));
    rig.hear(&format!("BGOK {tag}"));
}

/// The peer does not answer, and the server removes it as it is told.
fn dies(rig: &mut Rig, seq: u32) {
    ping(rig, seq, "ping-timeout");
    let sent = rig.sent();
    let before = sent.iter().position(|line| line == "KILL p");
    for _ in 0..before.unwrap_or_else(|| panic!("no KILL in {sent:?}")) {
        rig.hear("OK");
    }
    rig.hear("NOTE KILL p");
    rig.hear("OK");
    rig.answer_all();
}

/// Core adds the peer, and the server has it.
fn is_added(rig: &mut Rig) {
    let tag = tag(rig, "ADD");
    rig.hear(&format!("BGDETACH {tag}"));
    rig.hear("NOTE ADD p tripe0 INET 192.0.2.1 1");
    rig.hear(&format!("BGOK {tag}"));
    rig.answer_all();
}

fn waits(rig: &mut Rig) -> Option<u64> {
    row(rig).connection.next_add_ms
}

#[test]
fn a_peer_that_is_added_again_and_again_is_gone_since_the_first_attempt() {
    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    let mut age = 0;
    for seq in 2..5 {
        rig.wait(seconds(60));
        is_added(&mut rig);
        dies(&mut rig, seq);
        let row = row(&mut rig);
        assert_eq!(row.state, PeerState::Gone);
        assert!(row.age >= age, "{} after {age}", row.age);
        age = row.age + 30;
    }
}

#[test]
fn a_peer_that_is_added_again_while_it_is_down_has_been_down_since_the_first_time() {
    let mut rig = rig_with(&[RETRY, &[("knock", "k")]].concat());
    ping(&mut rig, 1, "ping-timeout");
    rig.answer_all();
    rig.wait(seconds(100));
    rig.answer_all();
    rig.hear("SVCJOB J1 connect active p");
    assert_eq!(rig.sent(), ["KILL p"]);
    rig.hear("NOTE KILL p");
    rig.hear("OK");
    is_added(&mut rig);
    rig.wait(seconds(10));
    ping(&mut rig, 2, "ping-timeout");
    let down = row(&mut rig);
    assert_eq!(down.state, PeerState::Down);
    assert!(down.connection.changed >= Some(110), "{down:?}");
}

#[test]
fn a_peer_that_cannot_be_added_where_it_has_moved_is_added_again_after_a_pause() {
    let named = [
        ("peer", "INET hub.example.com 4070"),
        ("re-resolve", "t"),
        ("retries", "3"),
    ];
    let mut rig = rig_with(&[RETRY, &named].concat());
    for seq in 1..=2 {
        ping(&mut rig, seq, "ping-timeout");
    }
    let number = rig.to_scripts.drain(..).find_map(|message| match message {
        ToScripts::LookUp(lookup) => Some(lookup.number),
        _ => None,
    });
    let found = Found::Addresses(vec![[192, 0, 2, 9].into()]);
    let number = number.expect("a lookup");
    rig.answer_all();
    rig.scripts_say(FromScripts::LookedUp(LookedUp { number, found }));
    assert_eq!(rig.sent(), ["KILL p"]);
    rig.hear("NOTE KILL p");
    rig.hear("OK");
    let tag_of_add = tag(&mut rig, "ADD");
    rig.hear(&format!("BGFAIL {tag_of_add} peer-create-fail p"));
    rig.answer_all();
    assert_eq!(waits(&mut rig), Some(10_000));
    rig.wait(seconds(10));
    let sent = rig.sent();
    let by_name = |line: &String| line.ends_with(" p INET hub.example.com 4070");
    assert!(sent.iter().any(by_name), "{sent:?}");
}

#[test]
fn nothing_is_said_of_the_next_addition_while_the_server_is_down() {
    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    assert!(waits(&mut rig).is_some());
    rig.lose_server();
    assert_eq!(waits(&mut rig), None);
    assert_eq!(row(&mut rig).state, PeerState::Gone);
}

#[test]
fn a_dead_peer_is_added_again_after_pauses_that_grow_to_their_limit() {
    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    let gone = row(&mut rig);
    assert_eq!((gone.state, gone.wanted), (PeerState::Gone, true));
    assert_eq!(gone.connection.next_add_ms, Some(10_000));
    rig.wait(seconds(9));
    assert_eq!(rig.sent(), [""; 0]);
    rig.wait(seconds(1));
    is_added(&mut rig);
    assert_eq!(waits(&mut rig), None);
    for (seq, longest) in [(1, 20_000), (1, 40_000), (1, 40_000)] {
        dies(&mut rig, seq);
        let pause = waits(&mut rig).expect("a pause");
        assert!(
            (longest * 3 / 4..=longest).contains(&pause),
            "{pause} of {longest}"
        );
        rig.wait(seconds(40));
        is_added(&mut rig);
    }
    // Once it has answered, the pauses begin with the shortest.
    ping(&mut rig, 1, "ping-ok 1.5");
    dies(&mut rig, 2);
    assert_eq!(waits(&mut rig), Some(10_000));
}

#[test]
fn an_addition_that_fails_is_told_and_tried_again_after_a_longer_pause() {
    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    rig.wait(seconds(10));
    let tag = tag(&mut rig, "ADD");
    rig.hear(&format!("BGDETACH {tag}"));
    rig.hear(&format!("BGFAIL {tag} resolve-error hub"));
    let sent = rig.sent();
    let warned = "auto-add-failed p resolve-error hub";
    assert!(sent.iter().any(|line| line.ends_with(warned)), "{sent:?}");
    let pause = waits(&mut rig).expect("a pause");
    assert!((15_000..=20_000).contains(&pause), "{pause}");
}

#[test]
fn it_ends_when_the_peer_is_killed_by_hand_or_added_by_somebody_else() {
    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    rig.wait(seconds(10));
    is_added(&mut rig);
    rig.hear("NOTE KILL p");
    rig.sent();
    assert_eq!(row(&mut rig).state, PeerState::Killed);
    assert_eq!(waits(&mut rig), None);
    rig.wait(seconds(100));
    assert_eq!(rig.sent(), [""; 0]);

    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    rig.hear("NOTE ADD p tripe0 INET 192.0.2.1 1");
    rig.answer_all();
    rig.wait(seconds(100));
    assert!(rig.sent().iter().all(|line| !line.starts_with("ADD")));

    // If that one dies as well, the pauses begin with the shortest.
    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    rig.hear("NOTE ADD p tripe0 INET 192.0.2.1 1");
    dies(&mut rig, 1);
    assert_eq!(waits(&mut rig), Some(10_000));
}

#[test]
fn a_peer_that_somebody_else_adds_at_the_same_moment_is_left_alone() {
    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    rig.wait(seconds(10));
    let tag = tag(&mut rig, "ADD");
    rig.hear(&format!("BGDETACH {tag}"));
    rig.hear("NOTE ADD p tripe0 INET 192.0.2.1 1");
    rig.hear(&format!("BGFAIL {tag} peer-exists p"));
    let sent = rig.sent();
    assert!(
        sent.iter().all(|line| !line.starts_with("KILL")),
        "{sent:?}"
    );
    assert_eq!(row(&mut rig).state, PeerState::Checking);
}

#[test]
fn it_ends_when_the_record_goes_or_asks_for_it_no_more() {
    let changed = [RETRY, &[("every", "1m")]].concat();
    let other = record("p", &changed);
    let killed = [RETRY, &[("when-dead", "kill")]].concat();
    let killed = record("p", &killed);
    let same = record("p", RETRY);
    let cases: [(&[Record], &[&str], bool); 5] = [
        (std::slice::from_ref(&same), &["p"], true),
        (std::slice::from_ref(&same), &[], false),
        (&[other], &["p"], true),
        (&[killed], &["p"], false),
        (&[], &[], false),
    ];
    for (records, auto, goes_on) in cases {
        let mut rig = rig_with(RETRY);
        dies(&mut rig, 1);
        rig.sent();
        rig.database_with_auto(records, auto);
        rig.wait(seconds(10));
        let added = rig.sent().iter().any(|line| line.starts_with("ADD"));
        assert_eq!(added, goes_on, "{records:?} {auto:?}");
    }
}

#[test]
fn when_the_record_changes_the_next_attempt_is_made_at_once() {
    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    let changed = [RETRY, &[("key", "other")]].concat();
    rig.sent();
    rig.database_with_auto(&[record("p", &changed)], &["p"]);
    let sent = rig.sent();
    assert!(sent.iter().any(|it| it.starts_with("ADD")), "{sent:?}");
}

#[test]
fn one_that_cannot_be_added_at_start_up_is_added_later() {
    let mut rig = Rig::alone(&[], true);
    rig.database_with_auto(&[record("p", RETRY)], &["p"]);
    rig.pinger_comes();
    rig.scripts_come();
    rig.meet(&[]);
    let tag = tag(&mut rig, "ADD");
    rig.hear(&format!("BGDETACH {tag}"));
    rig.hear(&format!("BGFAIL {tag} resolve-error hub"));
    assert!(waits(&mut rig).is_some());
    rig.sent();
    rig.wait(seconds(10));
    let sent = rig.sent();
    assert!(sent.iter().any(|it| it.starts_with("ADD")), "{sent:?}");
}

#[test]
fn without_the_key_or_off_the_list_a_dead_peer_stays_away() {
    let kill = [RETRY, &[("when-dead", "kill")]].concat();
    let mut rig = rig_with(&kill);
    dies(&mut rig, 1);
    assert_eq!(waits(&mut rig), None);

    let mut rig = rig_with(RETRY);
    rig.database_with_auto(&[record("p", RETRY)], &[]);
    dies(&mut rig, 1);
    assert_eq!(waits(&mut rig), None);
    rig.wait(seconds(100));
    assert_eq!(rig.sent(), [""; 0]);
}

#[test]
fn nothing_is_added_while_the_server_is_away_and_a_new_core_goes_on() {
    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    rig.lose_server();
    rig.wait(seconds(30));
    assert_eq!(rig.machine.revival_deadline(), None);
    let state = rig.machine.state().expect("a state").1;

    let mut next = Rig::new(&[]);
    next.now = rig.now;
    next.database_with_auto(&[record("p", RETRY)], &["p"]);
    next.inherit(state);
    next.meet(&[]);
    let sent = next.sent();
    assert!(sent.iter().any(|line| line.starts_with("ADD")), "{sent:?}");
}

#[test]
fn an_operators_attempt_that_fails_does_not_end_the_attempts() {
    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    rig.wait(seconds(5));
    rig.hear("SVCJOB J1 connect active p");
    let tag = tag(&mut rig, "ADD");
    rig.hear(&format!("BGDETACH {tag}"));
    // The pause ends meanwhile.
    rig.wait(seconds(6));
    assert_eq!(rig.sent(), [""; 0], "it is being added");
    rig.hear(&format!("BGFAIL {tag} resolve-error p"));
    assert!(waits(&mut rig).is_some());
    let why = row(&mut rig).connection.add_failure;
    assert_eq!(
        why.as_deref(),
        Some(&["resolve-error".to_owned(), "p".to_owned()][..])
    );
}

#[test]
fn a_peer_that_is_not_watched_any_more_is_not_added_again() {
    let unwatched = RETRY.iter().filter(|(key, _)| *key != "watch").copied();
    let unwatched = unwatched.collect::<Vec<_>>();
    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    rig.database_with_auto(&[record("p", &unwatched)], &["p"]);
    rig.sent();
    rig.wait(seconds(100));
    assert_eq!(rig.sent(), [""; 0]);

    let mut first = rig_with(&unwatched);
    let mut next = Rig::new(&[]);
    next.database_with_auto(&[record("p", &unwatched)], &["p"]);
    next.inherit(first.saved());
    next.meet(&[]);
    next.sent();
    next.wait(seconds(100));
    assert_eq!(next.sent(), [""; 0]);
}

#[test]
fn a_peer_that_has_answered_before_it_was_removed_unseen_has_the_first_pause() {
    let mut rig = rig_with(RETRY);
    dies(&mut rig, 1);
    rig.wait(seconds(10));
    is_added(&mut rig);
    ping(&mut rig, 2, "ping-ok 1.5");
    let mut next = Rig::new(&[]);
    next.now = rig.now;
    next.database_with_auto(&[record("p", RETRY)], &["p"]);
    next.inherit(rig.saved());
    next.meet(&[]);
    assert_eq!(waits(&mut next), Some(10_000));
}

/// What is done for the peer after core is killed, and the peer removed, when the state that it has
/// left says that the server has the peer.
fn removed_unseen(with_database: bool, pairs: &[(&str, &str)]) -> (Removal, Option<u64>) {
    let mut first = rig_with(pairs);
    let mut next = if with_database {
        Rig::new(&[])
    } else {
        Rig::with_damaged_database(false)
    };
    next.now = first.now;
    if with_database {
        next.database_with_auto(&[record("p", pairs)], &["p"]);
    }
    next.inherit(first.saved());
    next.meet(&[]);
    if !with_database {
        next.database_with_auto(&[record("p", pairs)], &["p"]);
    }
    let row = row(&mut next);
    assert_eq!((row.state, row.wanted), (PeerState::Gone, true));
    let removal = row.connection.removal.expect("it was there");
    (removal, row.connection.next_add_ms)
}

#[test]
fn a_peer_whose_removal_nobody_has_seen_comes_back() {
    let kill = [RETRY, &[("when-dead", "kill")]].concat();
    for with_database in [true, false] {
        let removed = |pairs| removed_unseen(with_database, pairs);
        assert_eq!(removed(RETRY), (Removal::Unseen, Some(10_000)));
        assert_eq!(removed(&kill), (Removal::Unseen, None));
    }
}

#[test]
fn so_does_one_that_was_removed_while_the_server_could_not_be_heard() {
    let mut rig = rig_with(RETRY);
    rig.lose_server();
    // It is the same run of the server.
    rig.meet(&[]);
    assert_eq!(row(&mut rig).connection.removal, Some(Removal::Unseen));
    rig.sent();
    rig.wait(seconds(10));
    is_added(&mut rig);
    assert_eq!(row(&mut rig).state, PeerState::Checking);
}

#[test]
fn a_peer_whose_other_host_may_have_left_is_gone_and_comes_back() {
    let marks = [
        ("ephemeral", "x"),
        ("mobile", "x"),
        ("mobile", "connect"),
        ("x", "knock"),
    ];
    for (mark, key) in marks {
        let mut rig = rig_with(&[RETRY, &[(mark, "t"), (key, "k")]].concat());
        rig.hear("NOTE KILL p");
        let gone = row(&mut rig);
        assert_eq!((gone.state, gone.wanted), (PeerState::Gone, true), "{mark}");
        assert_eq!(gone.connection.removal, Some(Removal::Left));
        assert_eq!(waits(&mut rig), Some(10_000));
        rig.sent();
        rig.wait(seconds(10));
        is_added(&mut rig);
        assert_eq!(row(&mut rig).state, PeerState::Checking);
        // The next pause is longer, since it has not answered.
        rig.hear("NOTE KILL p");
        assert!(waits(&mut rig) > Some(15_000));
    }
}

#[test]
fn what_only_a_command_can_have_removed_stays_away_and_is_not_wanted() {
    let ephemeral = [RETRY, &[("ephemeral", "t")]].concat();
    let killed = |pairs: &[(&str, &str)], auto: &[&str]| {
        let mut rig = rig_with(pairs);
        rig.database_with_auto(&[record("p", pairs)], auto);
        rig.hear("NOTE KILL p");
        let row = row(&mut rig);
        assert_eq!(row.connection.next_add_ms, None);
        (row.state, row.wanted)
    };
    assert_eq!(killed(RETRY, &["p"]), (PeerState::Killed, false));
    assert_eq!(killed(&ephemeral, &[]), (PeerState::Killed, false));
    let knocks = [RETRY, &[("when-dead", "kill"), ("knock", "k")]].concat();
    assert_eq!(killed(&knocks, &["p"]), (PeerState::Killed, false));
}

#[test]
fn a_peer_whose_other_host_has_left_is_told_of_without_the_key_too() {
    let kill = [RETRY, &[("when-dead", "kill"), ("ephemeral", "t")]].concat();
    let mut rig = rig_with(&kill);
    rig.hear("NOTE KILL p");
    let gone = row(&mut rig);
    assert_eq!((gone.state, gone.wanted), (PeerState::Gone, true));
    assert_eq!(waits(&mut rig), None);
    // A server that ends says the same of every peer.
    rig.lose_server();
    assert_eq!(row(&mut rig).connection.removal, Some(Removal::Server));
}
