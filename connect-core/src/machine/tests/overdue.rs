// SPDX-License-Identifier: GPL-3.0-or-later
//! Whatever is suspended is noticed by what it owes, told, and no peer's failed attempt.

use std::time::Duration;

use connect_ipc::event::{EventKind, EventName};
use connect_ipc::hello::Role;
use connect_ipc::overdue::{OverdueCause, OverdueChecks};
use connect_ipc::pinger::{PingResult, ToPinger};
use connect_ipc::scripts::{Child, Ended, FromScripts};
use tripe_admin::Interval;

use super::super::{Ending, HelperNews, Input};
use super::rig::{Rig, record};

/// A peer with one attempt, so that one that counted wrongly would be the last.
const WATCHED: &[(&str, &str)] = &[
    ("watch", "t"),
    ("peer", "PASSIVE"),
    ("every", "1s"),
    ("timeout", "10s"),
    ("retries", "1"),
];

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn cause(rig: &Rig) -> Option<OverdueCause> {
    rig.machine.overdue_checks().cause
}

/// One watched peer, whose checks are due every second.
fn watched() -> Rig {
    let mut rig = Rig::new(&[record("p", WATCHED)]);
    rig.meet(&["p"]);
    rig.answer_all();
    rig.observe();
    rig
}

/// Orders a ping of the peer, which the server takes.
fn ping(rig: &mut Rig, seq: u32) {
    let id = rig.id("p");
    rig.sent();
    rig.order(id, seq);
    let sent = rig.sent();
    assert!(sent[0].starts_with("PING -background "), "{sent:?}");
    rig.hear(&format!("BGDETACH {}", tag(&sent[0])));
}

fn tag(line: &str) -> &str {
    line.split(' ').nth(2).unwrap()
}

/// The results that the pinger was told.
fn results(rig: &mut Rig) -> Vec<PingResult> {
    rig.wait(Duration::from_millis(200));
    let told = rig.to_pinger.drain(..).filter_map(|message| match message {
        ToPinger::Results { ended, .. } => Some(ended),
        _ => None,
    });
    told.flatten().map(|result| result.result).collect()
}

fn time_out(rig: &mut Rig, tag: &str) {
    rig.hear(&format!("BGINFO {tag} ping-timeout"));
    rig.hear(&format!("BGOK {tag}"));
}

#[test]
fn a_pinger_that_orders_nothing_is_told_and_started_again() {
    let mut rig = watched();
    rig.wait(seconds(4));
    assert_eq!(rig.machine.overdue_checks(), OverdueChecks::default());
    rig.wait(seconds(4));
    assert_eq!(cause(&rig), Some(OverdueCause::PingerSilent));
    let id = rig.id("p");
    assert!(rig.machine.overdue(id).unwrap() >= seconds(5));
    let [pinger, scripts] = rig.machine.helpers();
    assert!(pinger.silent >= Some(5), "{pinger:?}");
    assert_eq!(scripts.silent, None);
    rig.wait(seconds(20));
    assert_eq!(rig.restarts, []);
    rig.wait(seconds(20));
    assert_eq!(rig.restarts, [Role::Pinger], "once");
    // The next one is given its time, and makes up for it.
    rig.pinger_goes();
    rig.wait(seconds(2));
    assert_eq!(cause(&rig), Some(OverdueCause::PingerMissing));
    rig.pinger_comes();
    ping(&mut rig, 1);
    rig.hear("BGINFO c0.0 ping-ok 1.0");
    rig.hear("BGOK c0.0");
    rig.wait(seconds(1));
    assert_eq!(rig.machine.overdue_checks(), OverdueChecks::default());
    assert_eq!(rig.machine.overdue(id), None);
    let kinds: Vec<&EventKind> = rig.events.iter().map(|event| &event.kind).collect();
    let overdue = |kind: &&&EventKind| matches!(kind, EventKind::ChecksOverdue { .. });
    assert_eq!(kinds.iter().filter(overdue).count(), 2, "each cause once");
    assert!(matches!(
        kinds.last(),
        Some(EventKind::ChecksResumed { .. })
    ));
}

#[test]
fn a_helper_that_never_connects_is_started_again_and_again() {
    let mut rig = watched();
    rig.pinger_goes();
    rig.wait(seconds(29));
    assert_eq!(rig.restarts, []);
    rig.wait(seconds(60));
    assert_eq!(rig.restarts, [Role::Pinger], "another one is on its way");
    // Each has twice the time of the one before, up to eight minutes.
    for (number, time) in [(2, 60), (3, 120), (4, 240), (5, 480), (6, 480)] {
        rig.feed(Input::Supervisor(HelperNews::Restarted(Role::Pinger)));
        rig.wait(seconds(time - 1));
        assert_eq!(rig.restarts.len(), number - 1, "it has its time");
        rig.wait(seconds(2));
        assert_eq!(rig.restarts.len(), number);
    }
    rig.pinger_comes();
    rig.pinger_goes();
    rig.wait(seconds(31));
    assert_eq!(rig.restarts.len(), 7, "as at first");
}

#[test]
fn a_script_helper_that_waits_for_another_process_has_more_time() {
    let mut rig = watched();
    rig.scripts_go();
    rig.feed(Input::Supervisor(HelperNews::Restarted(Role::Ifscripts)));
    let why = "process 77 holds the journal; kill it".to_owned();
    rig.feed(Input::Supervisor(HelperNews::HeldUp(why)));
    rig.wait(seconds(470));
    assert!(!rig.restarts.contains(&Role::Ifscripts));
    // The other process may have ended meanwhile.
    rig.wait(seconds(20));
    assert!(rig.restarts.contains(&Role::Ifscripts));
}

#[test]
fn a_new_pinger_has_its_time_after_a_long_outage() {
    let mut rig = watched();
    rig.pinger_goes();
    rig.wait(seconds(60));
    assert_eq!(rig.restarts.len(), 1);
    rig.pinger_comes();
    rig.wait(seconds(4));
    assert_eq!(rig.machine.helpers()[0].silent, None);
    assert_eq!(cause(&rig), Some(OverdueCause::PingerMissing));
    rig.wait(seconds(25));
    assert_eq!(cause(&rig), Some(OverdueCause::PingerSilent));
    let silent = rig.machine.helpers()[0].silent;
    assert!(silent <= Some(29), "since it came: {silent:?}");
    assert_eq!(rig.restarts.len(), 1);
    rig.wait(seconds(2));
    assert_eq!(rig.restarts.len(), 2);
}

#[test]
fn a_server_that_answers_nothing_is_told_and_its_timeouts_do_not_count() {
    let mut rig = watched();
    let id = rig.id("p");
    rig.sent();
    rig.order(id, 1);
    rig.wait(seconds(6));
    assert_eq!(cause(&rig), Some(OverdueCause::ServerSilent));
    assert!(rig.machine.overdue_checks().server_silent >= Some(5));
    assert_eq!(
        rig.machine.overdue_checks().overdue,
        None,
        "its reply may come"
    );
    rig.wait(seconds(34));
    assert!(rig.machine.overdue_checks().overdue >= Some(28));
    assert_eq!(rig.restarts, [], "no helper is to blame");
    // It goes on, and has been waiting for the reply while nobody read it.
    rig.hear("BGDETACH c0.0");
    time_out(&mut rig, "c0.0");
    assert_eq!(results(&mut rig), [PingResult::Void]);
    assert_eq!(
        rig.sent(),
        ["PING -background c0.0 -timeout 10 p"],
        "nothing is killed"
    );
}

#[test]
fn a_ping_that_the_server_had_read_when_it_was_suspended_does_not_count() {
    let mut rig = watched();
    ping(&mut rig, 1);
    rig.wait(seconds(16));
    assert_eq!(cause(&rig), Some(OverdueCause::ServerSilent));
    time_out(&mut rig, "c0.0");
    assert_eq!(results(&mut rig), [PingResult::Void]);
    assert_eq!(rig.sent(), [""; 0]);
}

#[test]
fn a_timeout_in_its_time_counts() {
    let mut rig = watched();
    ping(&mut rig, 1);
    rig.wait(seconds(10));
    time_out(&mut rig, "c0.0");
    assert_eq!(results(&mut rig), [PingResult::Timeout]);
    assert_eq!(rig.sent().last().unwrap(), "KILL p");
}

#[test]
fn what_is_late_because_core_was_suspended_is_nobodys_fault() {
    let mut rig = watched();
    ping(&mut rig, 1);
    rig.stand_still(seconds(60));
    assert_eq!(rig.machine.overdue_checks().server_silent, None);
    assert_eq!(rig.machine.helpers()[0].silent, None);
    time_out(&mut rig, "c0.0");
    assert_eq!(results(&mut rig), [PingResult::Void]);
    assert_eq!(rig.sent(), [""; 0]);
    assert_eq!(rig.restarts, []);
}

#[test]
fn checks_that_core_itself_has_delayed_are_told_so() {
    let mut rig = watched();
    rig.stand_still(seconds(60));
    assert_eq!(cause(&rig), Some(OverdueCause::HeldUp));
    rig.wait(seconds(8));
    assert_eq!(
        cause(&rig),
        Some(OverdueCause::PingerSilent),
        "it had its time"
    );
}

#[test]
fn a_ping_under_way_while_the_host_slept_does_not_count() {
    let mut rig = watched();
    ping(&mut rig, 1);
    rig.wait(seconds(1));
    rig.feed(Input::Slept { seconds: 3_600 });
    time_out(&mut rig, "c0.0");
    assert_eq!(results(&mut rig), [PingResult::Void]);
    // Only that one.
    ping(&mut rig, 2);
    rig.wait(seconds(10));
    time_out(&mut rig, "c0.1");
    assert_eq!(results(&mut rig), [PingResult::Timeout]);
}

#[test]
fn while_the_server_is_away_checks_are_overdue_and_no_helper_is_to_blame() {
    let mut rig = watched();
    rig.lose_server();
    rig.wait(seconds(60));
    assert_eq!(cause(&rig), Some(OverdueCause::ServerDown));
    assert_eq!(rig.machine.helpers()[0].silent, None);
    assert_eq!(rig.restarts, []);
}

#[test]
fn a_script_helper_that_accepts_no_order_is_reported_and_started_again() {
    let mut rig = Rig::joined(&[record("p", &[("ifdown", "down")])], &["p"]);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    let run = rig.runs()[0].0;
    rig.observe();
    rig.wait(seconds(7));
    assert!(rig.machine.helpers()[1].silent >= Some(5));
    rig.scripts_say(FromScripts::Taken(run));
    rig.wait(seconds(2));
    assert_eq!(
        rig.machine.helpers()[1].silent,
        None,
        "though nothing is due"
    );
    assert_eq!(rig.restarts, []);
    let names = rig.events.iter().map(|event| event.kind.name());
    let scripts = [EventName::ScriptsOverdue, EventName::ScriptsResumed];
    let told: Vec<EventName> = names.filter(|name| scripts.contains(name)).collect();
    assert_eq!(told, scripts);

    rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
    rig.answer_all();
    rig.hear("NOTE KILL p");
    rig.wait(seconds(40));
    assert_eq!(rig.restarts, [Role::Ifscripts]);
}

#[test]
fn a_silent_script_helper_that_is_ended_does_not_answer_again_but_the_next_one_does() {
    let mut rig = Rig::joined(&[record("p", &[("ifdown", "down")])], &["p"]);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    rig.observe();
    rig.wait(seconds(7));
    let resumed = |rig: &Rig| {
        let mut names = rig.events.iter().map(|event| event.kind.name());
        names.any(|name| name == EventName::ScriptsResumed)
    };
    rig.scripts_go();
    rig.wait(seconds(3));
    assert!(!resumed(&rig));
    rig.scripts_come();
    rig.wait(seconds(3));
    assert!(resumed(&rig));
}

#[test]
fn a_script_helper_that_does_not_say_how_a_run_ended_is_told_and_started_again() {
    let child = Child {
        pid: 77,
        start_time: 1,
    };
    for limited in [false, true] {
        let keys: &[(&str, &str)] = &[("ifdown", "down"), ("ifdown-timeout", "10")];
        let keys = &keys[..1 + usize::from(limited)];
        let mut rig = Rig::joined(&[record("p", keys)], &["p"]);
        rig.answer_all();
        rig.hear("NOTE KILL p");
        let run = rig.runs()[0].0;
        rig.scripts_say(FromScripts::Taken(run));
        rig.scripts_say(FromScripts::Started { run, child });
        assert_eq!(rig.watched_children, [], "most end at once");
        rig.wait(seconds(10));
        assert_eq!(rig.watched_children, [run]);
        assert_eq!(
            rig.machine.helpers()[1].silent,
            None,
            "it may take its time"
        );
        if !limited {
            rig.wait(seconds(500));
            assert_eq!(rig.machine.helpers()[1].silent, None);
            rig.feed(Input::ChildEnded(run));
        }
        rig.wait(seconds(9));
        assert!(rig.machine.helpers()[1].silent >= Some(5));
        rig.wait(seconds(30));
        assert_eq!(rig.restarts, [Role::Ifscripts]);
    }
}

#[test]
fn a_child_whose_end_the_helper_tells_is_nobodys_debt() {
    let mut rig = Rig::joined(&[record("p", &[("ifdown", "down")])], &["p"]);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    let run = rig.runs()[0].0;
    let child = Child {
        pid: 77,
        start_time: 1,
    };
    rig.scripts_say(FromScripts::Started { run, child });
    let end = Ended::Exited(0);
    rig.scripts_say(FromScripts::Ended { run, end });
    rig.feed(Input::ChildEnded(run));
    rig.wait(seconds(60));
    assert_eq!(rig.watched_children, []);
    assert_eq!(rig.machine.helpers()[1].silent, None);
    assert_eq!(rig.restarts, []);
}

#[test]
fn a_helper_that_connects_and_says_nothing_is_started_again_and_so_is_one_that_never_comes() {
    let mut rig = Rig::alone(&[record("p", WATCHED)], false);
    rig.pinger_connects();
    rig.join(&["p"]);
    rig.wait(seconds(7));
    assert!(rig.machine.helpers()[0].silent >= Some(5));
    rig.wait(seconds(40));
    rig.restarts.sort_by_key(|role| *role == Role::Pinger);
    assert_eq!(rig.restarts, [Role::Ifscripts, Role::Pinger]);
}

#[test]
fn a_start_against_a_server_that_says_nothing_ends_in_its_time() {
    for (wait, limit) in [(Some(3), 3), (None, 30), (Some(60), 60)] {
        let mut rig = Rig::waiting(&[], false, wait.map(Interval::from_secs));
        rig.connect_server();
        rig.wait(seconds(limit - 1));
        assert_eq!(rig.ended, None);
        rig.wait(seconds(2));
        assert_eq!(rig.ended, Some(Ending::Silent { seconds: limit }));
    }
}

#[test]
fn a_start_does_not_wait_for_a_server_that_says_much_and_answers_nothing() {
    for line in ["NOTE FOO bar", "garbage", "TRACE x", "INFO a"] {
        let mut rig = Rig::waiting(&[], false, Some(Interval::from_secs(3)));
        rig.connect_server();
        for _ in 0..60 {
            rig.wait(seconds(1));
            rig.hear(line);
        }
        assert!(matches!(rig.ended, Some(Ending::Silent { .. })), "{line}");
    }
}

#[test]
fn a_server_that_broadcasts_and_answers_nothing_is_silent() {
    let mut rig = watched();
    let id = rig.id("p");
    rig.order(id, 1);
    for _ in 0..8 {
        rig.wait(seconds(1));
        rig.hear("NOTE FOO bar");
    }
    assert_eq!(cause(&rig), Some(OverdueCause::ServerSilent));
}

#[test]
fn a_server_that_is_always_late_hides_no_dead_peer() {
    let mut rig = watched();
    let id = rig.id("p");
    let mut told = Vec::new();
    for seq in 1..=4 {
        rig.sent();
        rig.order(id, seq);
        rig.wait(seconds(1));
        let sent = rig.sent();
        let tag = tag(&sent[0]).to_owned();
        rig.hear(&format!("BGDETACH {tag}"));
        // The timeout of ten seconds, and two in which something else was said.
        rig.wait(seconds(12));
        time_out(&mut rig, &tag);
        told.extend(results(&mut rig));
    }
    let void = [PingResult::Void; 3];
    assert_eq!((&told[..3], told[3]), (&void[..], PingResult::Timeout));
}

#[test]
fn a_start_waits_for_a_server_that_is_answering() {
    let mut rig = Rig::waiting(&[], false, Some(Interval::from_secs(3)));
    rig.connect_server();
    rig.hear("OK");
    rig.hear("OK");
    for peer in 0..20 {
        rig.hear(&format!("INFO p{peer}"));
        rig.wait(seconds(1));
    }
    rig.hear("OK");
    rig.answer_all();
    rig.wait(seconds(60));
    assert_eq!(rig.ended, None);
}

#[test]
fn thousands_of_peers_need_one_check_a_second() {
    let names: Vec<String> = (0..500).map(|peer| format!("p{peer}")).collect();
    let records: Vec<_> = names.iter().map(|name| record(name, WATCHED)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut rig = Rig::new(&records);
    rig.meet(&names);
    rig.answer_all();
    let mut turns = 0;
    let end = rig.now + seconds(20);
    while let Some(due) = rig.machine.next_deadline().filter(|due| *due < end) {
        assert!(due > rig.now, "the time of a deadline passes");
        rig.now = due;
        rig.feed(Input::EndOfTurn);
        turns += 1;
    }
    assert!(turns <= 22, "{turns}");
    assert_eq!(cause(&rig), Some(OverdueCause::PingerSilent));
}

#[test]
fn restarts_of_a_helper_are_counted_though_it_never_connects() {
    let mut rig = Rig::alone(&[], false);
    let restarts = |rig: &Rig| rig.machine.helpers().map(|helper| helper.restarts);
    for _ in 0..3 {
        rig.feed(Input::Supervisor(HelperNews::Restarted(Role::Ifscripts)));
    }
    assert_eq!(restarts(&rig), [0, 3]);
    // Its connection is no further restart; nor is the first one of a helper.
    rig.scripts_come();
    rig.pinger_comes();
    assert_eq!(restarts(&rig), [0, 3]);
    // Under a service manager nobody tells of a restart.
    rig.pinger_goes();
    rig.pinger_comes();
    rig.scripts_go();
    assert_eq!(restarts(&rig), [1, 3]);
}

#[test]
fn the_time_since_a_helper_was_started_again_is_told() {
    let mut rig = Rig::alone(&[], false);
    let restarted = |rig: &Rig| rig.machine.helpers().map(|helper| helper.restarted);
    rig.pinger_comes();
    rig.scripts_come();
    assert_eq!(restarted(&rig), [None, None]);
    rig.feed(Input::Supervisor(HelperNews::Restarted(Role::Ifscripts)));
    rig.wait(Duration::from_secs(50));
    assert_eq!(restarted(&rig), [None, Some(50)]);
    // The next connections of both: only that of the pinger was not announced.
    rig.scripts_go();
    rig.scripts_come();
    rig.pinger_goes();
    rig.pinger_comes();
    rig.wait(Duration::from_secs(7));
    assert_eq!(restarted(&rig), [Some(7), Some(57)]);
    rig.pinger_goes();
    assert_eq!(restarted(&rig), [Some(7), Some(57)]);
}

#[test]
fn right_after_core_was_suspended_nothing_is_shown_as_unknown() {
    let mut rig = Rig::joined(&[record("p", WATCHED)], &["p"]);
    rig.answer_all();
    let id = rig.id("p");
    rig.wait(seconds(1));
    assert_eq!(rig.machine.overdue(id), None);
    rig.stand_still(seconds(40));
    assert_eq!(rig.machine.overdue(id), None, "it is about to come");
    rig.wait(seconds(6));
    assert!(rig.machine.overdue(id).is_some(), "it has not come");
}
