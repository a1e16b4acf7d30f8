// SPDX-License-Identifier: GPL-3.0-or-later
//! The events `up` and `down`: when each is sent, with which reason, and that they take turns.

use std::time::Duration;

use connect_ipc::event::EventKind;
use connect_ipc::pinger::PingResult;

use super::rig::{Rig, record};

/// A peer without hooks that is reconnected when it does not answer.
const DYNAMIC: &[(&str, &str)] = &[
    ("watch", "t"),
    ("peer", "INET 192.0.2.1 1"),
    ("knock", "k"),
    ("retries", "2"),
    ("every", "1h"),
];

const ADD: &str = "NOTE ADD p tun0 INET 192.0.2.1 1";

const REPLY: PingResult = PingResult::Reply(7.0);

/// A core that has seen the peer come, and is observed.
fn added() -> Rig {
    let mut rig = Rig::joined(&[record("p", DYNAMIC)], &[]);
    rig.observe();
    rig.hear(ADD);
    rig.answer_all();
    rig
}

/// The events `up`, `down` and `back` since this was last asked.
fn told(rig: &mut Rig) -> Vec<String> {
    let kinds = rig.events.drain(..).map(|event| event.kind);
    kinds
        .filter_map(|kind| match kind {
            EventKind::Up { reason } => Some(format!("up {}", reason.as_str())),
            EventKind::Down { reason } => Some(format!("down {}", reason.as_str())),
            EventKind::Back { .. } => Some("back".to_owned()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_peer_is_up_with_its_first_reply_and_down_when_a_whole_check_has_failed() {
    let mut rig = added();
    assert_eq!(told(&mut rig), [""; 0]);
    rig.ping(REPLY);
    assert_eq!(told(&mut rig), ["up first-reply"]);
    rig.ping(PingResult::Timeout);
    rig.ping(REPLY);
    assert_eq!(told(&mut rig), [""; 0], "it was up all the time");
    for _ in 0..4 {
        rig.ping(PingResult::Timeout);
    }
    assert_eq!(told(&mut rig), ["down unreachable"]);
    rig.ping(REPLY);
    assert_eq!(told(&mut rig), ["up recovered"]);
    rig.hear("NOTE KILL p");
    assert_eq!(told(&mut rig), ["down command"]);
}

#[test]
fn a_peer_that_never_answered_is_neither_down_nor_back() {
    let mut rig = added();
    for _ in 0..2 {
        rig.ping(PingResult::Timeout);
    }
    rig.lose_server();
    rig.run += 1;
    rig.meet(&[]);
    rig.hear(ADD);
    assert_eq!(told(&mut rig), [""; 0]);
    rig.ping(REPLY);
    assert_eq!(told(&mut rig), ["up first-reply"]);
}

#[test]
fn a_server_that_is_started_again_takes_its_peers_down() {
    for listed in [&[] as &[&str], &["p"]] {
        let mut rig = added();
        rig.ping(REPLY);
        told(&mut rig);
        rig.lose_server();
        rig.run += 1;
        rig.meet(listed);
        rig.answer_all();
        assert_eq!(told(&mut rig), ["down server"], "{listed:?}");
        if listed.is_empty() {
            rig.hear(ADD);
            rig.answer_all();
            assert_eq!(told(&mut rig), ["back"]);
        }
        rig.ping(REPLY);
        assert_eq!(told(&mut rig), ["up first-reply"], "{listed:?}");
    }
}

#[test]
fn the_next_core_does_not_tell_again_what_was_told_and_tells_what_happened_meanwhile() {
    let mut first = added();
    first.ping(REPLY);
    let (_, up) = first.machine.state().unwrap();
    for _ in 0..2 {
        first.ping(PingResult::Timeout);
    }
    let (_, down) = first.machine.state().unwrap();
    for (state, listed, before, after) in [
        (&up, &["p"] as &[&str], &[] as &[&str], &[] as &[&str]),
        (&up, &[], &["down unseen"], &[]),
        (&down, &["p"], &[], &["up recovered"]),
        (&down, &[], &[], &[]),
    ] {
        let mut rig = Rig::new(&[record("p", DYNAMIC)]);
        rig.now = first.now + Duration::from_secs(60);
        rig.observe();
        rig.inherit(state.clone());
        rig.meet(listed);
        rig.answer_all();
        assert_eq!(told(&mut rig), before, "{listed:?}");
        if !listed.is_empty() {
            rig.ping(REPLY);
        }
        assert_eq!(told(&mut rig), after, "{listed:?}");
    }
}

#[test]
fn a_peer_that_is_watched_again_later_is_up_all_the_time() {
    let mut rig = added();
    rig.ping(REPLY);
    told(&mut rig);
    rig.database(&[record("p", &DYNAMIC[1..])]);
    rig.database(&[record("p", DYNAMIC)]);
    rig.ping(REPLY);
    assert_eq!(told(&mut rig), [""; 0]);
    rig.database(&[record("p", &DYNAMIC[1..])]);
    rig.hear("NOTE KILL p");
    assert_eq!(told(&mut rig), ["down command"]);
}
