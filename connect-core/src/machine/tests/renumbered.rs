// SPDX-License-Identifier: GPL-3.0-or-later
//! A peer that is not watched for a moment gets a new number, so that none of its pings counts
//! afterwards. The answers to other questions about it do.

use connect_ipc::control::Request;
use connect_ipc::pinger::{FromPinger, PingPhase, Remembered};
use connect_ipc::scripts::InterfaceScript;
use connect_ipc::statistics::PingStatistics;
use peerdb::Record;

use super::rig::{Rig, record};
use super::unfinished::{ADD, PAIRS, records, scripts};

/// `p` is not watched for a moment.
fn unwatch(rig: &mut Rig) {
    let pairs = PAIRS.iter().filter(|(key, _)| *key != "watch");
    let pairs: Vec<(&str, &str)> = pairs.copied().collect();
    let unwatched: Vec<Record> = vec![record("p", &pairs), record("q", PAIRS)];
    let before = rig.id("p");
    rig.database(&unwatched);
    rig.database(&records());
    assert_ne!(rig.id("p"), before);
}

/// A core whose server has these peers, all of which are decided about.
pub(super) fn settled(peers: &[&str]) -> Rig {
    let mut rig = Rig::alone(&records(), false);
    rig.scripts_come();
    rig.meet(peers);
    rig.answer_all();
    rig
}

/// An operator orders the `ifup` of `p`.
fn order(rig: &mut Rig) {
    let (peer, script) = ("p".to_owned(), InterfaceScript::Ifup);
    rig.request(1, 1, Request::RunScript { peer, script });
}

#[test]
fn a_new_peer_is_set_up() {
    let mut rig = settled(&["q"]);
    rig.hear(ADD);
    unwatch(&mut rig);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifup p"]);
}

#[test]
fn a_peer_that_was_found_is_decided_about() {
    let mut old = settled(&["q"]);
    old.hear(ADD);
    old.answer_all();
    old.take_orders();
    let kept = old.setups();
    for asked in [true, false] {
        let mut rig = Rig::alone(&records(), false);
        rig.now = old.now;
        rig.kept.clone_from(&kept);
        rig.scripts_come();
        let crowd: Vec<String> = (0..200).map(|number| format!("z{number}")).collect();
        let crowd = crowd.iter().map(String::as_str);
        // It is among the last that are asked about, so there is no question yet.
        let crowd: Vec<&str> = crowd.take(if asked { 0 } else { 200 }).collect();
        rig.meet(&[&crowd[..], &["p", "q"]].concat());
        let sent = rig.sent();
        assert_eq!(sent.contains(&"ADDR p".to_owned()), asked, "{sent:?}");
        unwatch(&mut rig);
        for line in sent {
            if line.starts_with("IFNAME") {
                rig.hear("INFO tun0");
            } else if line.starts_with("ADDR") {
                rig.hear("INFO INET 192.0.2.1 1");
            } else if line.contains("-background") {
                continue;
            }
            rig.hear("OK");
        }
        rig.answer_all();
        assert_eq!(scripts(&mut rig), [""; 0]);
        // Until there is a decision, this is refused.
        order(&mut rig);
        rig.answer_all();
        assert_eq!(scripts(&mut rig), ["ifup p"], "{asked}");
    }
}

#[test]
fn the_script_that_an_operator_has_ordered_is_run() {
    let mut rig = settled(&["p", "q"]);
    order(&mut rig);
    unwatch(&mut rig);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifup p"]);
}

/// It was not told to forget the peer, since it was not connected.
#[test]
fn what_a_pinger_remembers_is_not_of_the_present_checks() {
    for replaced in [true, false] {
        let mut rig = settled(&["p", "q"]);
        rig.pinger_comes();
        rig.pinger_goes();
        if replaced {
            rig.hear("NOTE KILL p");
            rig.hear(ADD);
        }
        unwatch(&mut rig);
        rig.pinger_connects();
        let mut statistics = PingStatistics::default();
        statistics.record_loss();
        let remembered = |name: &str| Remembered {
            name: name.to_owned(),
            phase: PingPhase::default(),
            statistics,
        };
        let known = ["p", "q"].map(remembered).to_vec();
        rig.pinger_says(FromPinger::Resume(known));
        rig.pinger_says(FromPinger::Resume(Vec::new()));
        let rows = rig.rows();
        let lost: Vec<u64> = rows.iter().map(|row| row.statistics.lost).collect();
        assert_eq!(lost, [0, 1], "{replaced}");
    }
}
