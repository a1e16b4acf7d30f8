// SPDX-License-Identifier: GPL-3.0-or-later
//! Peers whose names look like options of the commands that they are given to.

use connect_ipc::control::{Reply, Request};
use peerdb::Record;

use super::rig::{Rig, record};

const QUIET: &str = "-quiet";

/// A rig whose server has the peer, with these keys.
fn joined(further: &[(&str, &str)]) -> Rig {
    let mut pairs = vec![
        ("peer", "INET 192.0.2.1 1"),
        ("watch", "t"),
        ("retries", "1"),
    ];
    pairs.extend(further);
    let records: [Record; 1] = [record(QUIET, &pairs)];
    let mut rig = Rig::new(&records);
    rig.meet(&[QUIET]);
    rig.answer_all();
    rig
}

/// What is sent when the peer does not answer its ping.
fn silence(rig: &mut Rig) -> Vec<String> {
    let id = rig.id(QUIET);
    rig.order(id, 1);
    let sent = rig.sent();
    let tag = sent
        .iter()
        .find_map(|line| line.strip_prefix("PING -background ")?.split(' ').next())
        .unwrap_or_else(|| panic!("no ping in {sent:?}"))
        .to_owned();
    for line in ["BGDETACH TAG", "BGINFO TAG ping-timeout", "BGOK TAG"] {
        rig.hear(&line.replace("TAG", &tag));
    }
    answer_warnings(rig)
}

/// Answers the warnings among what was sent, and gives the rest.
fn answer_warnings(rig: &mut Rig) -> Vec<String> {
    let mut sent = rig.sent();
    sent.retain(|line| {
        let is_warning = line.starts_with("WARN ");
        if is_warning {
            rig.hear("OK");
        }
        !is_warning
    });
    sent
}

#[test]
fn an_unreachable_peer_is_killed_by_a_server_that_takes_options_and_by_one_that_does_not() {
    let mut rig = joined(&[]);
    assert_eq!(silence(&mut rig), ["KILL -- -quiet"]);
    rig.hear("NOTE KILL -quiet");
    rig.hear("OK");
    assert_eq!(rig.sent(), [""; 0], "the server takes options");

    let mut rig = joined(&[]);
    assert_eq!(silence(&mut rig), ["KILL -- -quiet"]);
    rig.hear("FAIL bad-syntax kill PEER");
    assert_eq!(rig.sent(), ["KILL -quiet"], "it takes none");
    rig.hear("NOTE KILL -quiet");
    rig.hear("OK");
    assert_eq!(rig.sent(), [""; 0]);
    assert_eq!(rig.machine.counts().present, 0);

    let mut rig = joined(&[]);
    assert_eq!(silence(&mut rig), ["KILL -- -quiet"]);
    rig.hear("FAIL unknown-peer -quiet");
    assert_eq!(rig.sent(), [""; 0], "an answer about the peer is believed");
}

#[test]
fn a_reconnection_forces_new_keys_either_way() {
    let mut rig = joined(&[("knock", "here")]);
    assert_eq!(silence(&mut rig), ["FORCEKX -- -quiet"]);
    rig.hear("FAIL bad-syntax forcekx PEER");
    assert_eq!(rig.sent(), ["FORCEKX -quiet"]);
    rig.hear("FAIL unknown-peer -quiet");
    assert_eq!(
        rig.machine.counts().present,
        0,
        "the server does not have it"
    );
}

#[test]
fn a_peer_that_is_there_is_killed_either_way_before_it_is_added() {
    let mut rig = joined(&[]);
    rig.sent();
    let words = ["active", QUIET].map(str::to_owned).to_vec();
    rig.request(1, 1, Request::Submit { words });
    assert_eq!(rig.sent(), ["KILL -- -quiet"]);
    rig.hear("FAIL bad-syntax kill PEER");
    assert_eq!(rig.sent(), ["KILL -quiet"]);
    rig.hear("NOTE KILL -quiet");
    rig.hear("OK");
    let sent = rig.sent();
    let add = sent.iter().find(|line| line.starts_with("ADD "));
    let tag = add.and_then(|line| line.split(' ').nth(2)).expect("an ADD");
    assert!(
        add.is_some_and(|line| line.ends_with(" -- -quiet INET 192.0.2.1 1")),
        "{sent:?}"
    );
    rig.hear(&format!("BGDETACH {tag}"));
    rig.hear(&format!("BGOK {tag}"));
    let last = rig.answers.pop().map(|(_, answer)| answer.reply);
    assert_eq!(last, Some(Reply::Done {}));
}
