// SPDX-License-Identifier: GPL-3.0-or-later
//! Pings that operators ask for: the next check brought forward, or the one under way.

use connect_ipc::control::{Reply, Request};
use connect_ipc::pinger::{PingOutcome, PingResult, ToPinger};

use super::rig::{Rig, record};

const WATCHED: &[(&str, &str)] = &[("watch", "t"), ("peer", "PASSIVE"), ("timeout", "7s")];

/// A watched peer `p`, and `q`, which is not.
fn watched() -> Rig {
    let other = record("q", &[("peer", "PASSIVE")]);
    let mut rig = Rig::new(&[record("p", WATCHED), other, record("r", WATCHED)]);
    rig.meet(&["p", "q"]);
    rig.answer_all();
    rig.to_pinger.clear();
    rig.answers.clear();
    rig
}

fn ask(rig: &mut Rig, connection: u64, peer: &str) {
    let peer = peer.to_owned();
    rig.request(connection, 5, Request::Ping { peer });
}

/// The answers, each with the connection that it went to.
fn answers(rig: &mut Rig) -> Vec<(u64, Reply)> {
    let answers = rig.answers.drain(..);
    answers
        .map(|(connection, answer)| (connection.0, answer.reply))
        .collect()
}

fn pinged(result: PingResult) -> Reply {
    Reply::Pinged(PingOutcome { result, timeout: 7 })
}

fn failed(words: &[&str]) -> Reply {
    Reply::Failed(words.iter().map(|word| (*word).to_owned()).collect())
}

/// Whether the pinger was told to check a peer at once.
fn is_brought_forward(rig: &mut Rig) -> bool {
    let id = rig.id("p");
    rig.to_pinger
        .drain(..)
        .any(|message| matches!(message, ToPinger::CheckNow { peers, .. } if peers == [id]))
}

/// Whether the row of `p` says that the last ping could not be sent.
fn is_unsent(rig: &mut Rig) -> bool {
    let mut rows = rig.rows().into_iter();
    rows.any(|row| row.name == "p" && row.connection.unsent)
}

/// The pinger orders the ping `seq`, and the server takes it; gives its tag.
fn order(rig: &mut Rig, seq: u32) -> String {
    let id = rig.id("p");
    rig.sent();
    rig.order(id, seq);
    let sent = rig.sent();
    let tag = sent[0].split(' ').nth(2).unwrap().to_owned();
    rig.hear(&format!("BGDETACH {tag}"));
    tag
}

fn replies(rig: &mut Rig, tag: &str, words: &str) {
    rig.hear(&format!("BGINFO {tag} {words}"));
    rig.hear(&format!("BGOK {tag}"));
}

#[test]
fn a_ping_that_is_asked_for_is_the_next_check_brought_forward() {
    let mut rig = watched();
    ask(&mut rig, 1, "p");
    assert!(is_brought_forward(&mut rig));
    assert!(rig.sent().is_empty(), "the pinger orders it, as any other");
    assert_eq!(answers(&mut rig), []);
    let tag = order(&mut rig, 1);
    replies(&mut rig, &tag, "ping-ok 12.5");
    assert_eq!(answers(&mut rig), [(1, pinged(PingResult::Reply(12.5)))]);
    // Who has been answered is not answered again.
    let tag = order(&mut rig, 2);
    replies(&mut rig, &tag, "ping-ok 13.5");
    assert_eq!(answers(&mut rig), []);
}

#[test]
fn all_who_ask_while_a_ping_is_under_way_get_its_result_and_no_other_is_sent() {
    let mut rig = watched();
    let tag = order(&mut rig, 1);
    for connection in [1, 2, 2] {
        ask(&mut rig, connection, "p");
    }
    assert!(rig.sent().is_empty());
    assert_eq!(rig.machine.backlog().pings_queued, 3);
    rig.feed(super::super::Input::Gone(super::super::ConnectionId(1)));
    replies(&mut rig, &tag, "ping-timeout");
    let timeout = pinged(PingResult::Timeout);
    assert_eq!(answers(&mut rig), [(2, timeout.clone()), (2, timeout)]);
    assert_eq!(rig.machine.backlog().pings_queued, 0);
}

#[test]
fn why_there_is_no_ping_is_told() {
    let mut rig = watched();
    for (peer, why) in [
        ("q", &["peer-not-adopted", "q"][..]),
        ("r", &["peer-not-added", "r"]),
        ("x", &["unknown-peer", "x"]),
    ] {
        ask(&mut rig, 1, peer);
        assert_eq!(answers(&mut rig), [(1, failed(why))]);
    }
    let tag = order(&mut rig, 1);
    ask(&mut rig, 1, "p");
    rig.hear(&format!("BGFAIL {tag} ping-send-failed"));
    assert_eq!(answers(&mut rig), [(1, failed(&["ping-send-failed"]))]);
    assert!(is_unsent(&mut rig));
    let tag = order(&mut rig, 2);
    replies(&mut rig, &tag, "ping-timeout");
    assert!(!is_unsent(&mut rig));
    answers(&mut rig);

    ask(&mut rig, 1, "p");
    rig.hear("NOTE KILL p");
    assert_eq!(answers(&mut rig), [(1, failed(&["peer-not-added", "p"]))]);

    let mut rig = watched();
    ask(&mut rig, 1, "p");
    rig.pinger_goes();
    ask(&mut rig, 1, "p");
    let none = (1, failed(&["no-pinger"]));
    assert_eq!(answers(&mut rig), [none.clone(), none]);

    let mut rig = watched();
    ask(&mut rig, 1, "p");
    rig.database(&[record("p", &[("peer", "PASSIVE")])]);
    let disowned = failed(&["peer-not-adopted", "p"]);
    assert_eq!(answers(&mut rig), [(1, disowned)]);

    let mut rig = watched();
    ask(&mut rig, 1, "p");
    rig.lose_server();
    ask(&mut rig, 1, "p");
    assert_eq!(
        answers(&mut rig),
        [
            (1, failed(&["server-lost"])),
            (1, failed(&["server-unavailable"]))
        ]
    );
    assert_eq!(rig.machine.backlog().pings_queued, 0);
}
