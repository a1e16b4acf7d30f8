// SPDX-License-Identifier: GPL-3.0-or-later
//! Single situations, each a few lines of a server or a helper.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::{Answer, Reply, Request};
use connect_ipc::event::EventKind;
use connect_ipc::event_filter::EventFilter;
use connect_ipc::pinger::{EndedPing, FromPinger, PingOrder, PingPhase, PingResult, ToPinger};
use connect_ipc::scripts::{Ended, FromScripts, Stream};
use connect_ipc::{PeerId, RunId};
use connect_liveness::Liveness;

use super::super::{ConnectionId, Ending, Input};
use super::rig::{Rig, record};

const WATCHED: &[(&str, &str)] = &[("watch", "t"), ("peer", "PASSIVE")];

/// The results that the pinger was told, those that may rest for a while included.
fn results(rig: &mut Rig) -> Vec<PingResult> {
    rig.wait(Duration::from_millis(200));
    let told = rig.to_pinger.drain(..).filter_map(|message| match message {
        ToPinger::Results { ended, .. } => Some(ended),
        _ => None,
    });
    told.flatten().map(|result| result.result).collect()
}

#[test]
fn an_unknown_exit_status_is_given_raw_in_hexadecimal() {
    let mut rig = Rig::joined(&[record("p", &[("ifdown", "down")])], &["p"]);
    rig.sent();
    rig.hear("NOTE KILL p");
    let runs = rig.runs();
    assert_eq!(runs[0].1, "ifdown");
    rig.scripts_say(FromScripts::Ended {
        run: runs[0].0,
        end: Ended::Unknown(0xffff),
    });
    assert_eq!(
        rig.sent().last().unwrap(),
        "WARN connect ifdown p exit-unknown 0xffff"
    );
}

#[test]
fn output_that_comes_after_the_end_of_a_run_is_still_told_and_strange_runs_are_passed_over() {
    let mut rig = Rig::joined(&[record("p", &[("ifdown", "down")])], &["p"]);
    rig.hear("NOTE KILL p");
    let run = rig.runs()[0].0;
    rig.scripts_say(FromScripts::Ended {
        run,
        end: Ended::Exited(0),
    });
    rig.sent();
    for run in [run, RunId(7)] {
        rig.scripts_say(FromScripts::Output {
            run,
            stream: Stream::Stdout,
            line: "late".to_owned(),
        });
        rig.scripts_say(FromScripts::Ended {
            run,
            end: Ended::Exited(1),
        });
    }
    assert_eq!(rig.sent(), ["NOTIFY connect ifdown p stdout late"]);
}

#[test]
fn a_greeting_is_waited_for_30_seconds() {
    let mut rig = Rig::joined(&[record("passive", &[("peer", "PASSIVE")])], &[]);
    rig.hear("SVCJOB J1 connect passive u");
    rig.hear("INFO AAAA");
    rig.hear("OK");
    assert_eq!(rig.sent(), ["GETCHAL", "SVCINFO J1 AAAA"]);
    rig.wait(Duration::from_millis(29_999));
    assert!(rig.sent().is_empty());
    assert_eq!(
        rig.machine.next_deadline(),
        Some(rig.now + Duration::from_millis(1))
    );
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.sent(), ["SVCFAIL J1 connect-timeout"]);
    rig.hear("NOTE GREET AAAA INET 192.0.2.1 1");
    assert!(rig.sent().is_empty(), "the challenge is forgotten");
}

#[test]
fn a_server_that_accepts_the_request_for_a_challenge_and_gives_none_fails_the_command() {
    let mut rig = Rig::joined(&[record("passive", &[("peer", "PASSIVE")])], &[]);
    rig.hear("SVCJOB J1 connect passive u");
    let words = vec!["passive".to_owned(), "u".to_owned()];
    rig.request(1, 1, Request::Submit { words });
    assert_eq!(rig.sent(), ["GETCHAL", "GETCHAL"]);
    rig.hear("OK");
    assert_eq!(rig.sent(), ["SVCFAIL J1 no-challenge"]);
    rig.hear("OK");
    let failed = Reply::Failed(vec!["no-challenge".to_owned()]);
    assert_eq!(rig.answers.last().map(|(_, it)| &it.reply), Some(&failed));
    rig.wait(Duration::from_secs(60));
    assert_eq!(rig.sent(), [""; 0], "no greeting is expected");
}

/// A line to the server has a limit, which the address in a record may exceed.
#[test]
fn an_addition_that_does_not_fit_into_a_command_fails_and_can_be_tried_again() {
    let long = format!("INET {} 4070", "x".repeat(250));
    let mut rig = Rig::joined(&[record("p", &[("peer", &long)])], &[]);
    rig.hear("SVCJOB J1 connect active p");
    let sent = rig.sent();
    let [failed] = &sent[..] else {
        panic!("{sent:?}");
    };
    let reason = failed.strip_prefix("SVCFAIL J1 command-not-sent ");
    let reason = reason.unwrap_or_else(|| panic!("{failed}"));
    assert!(reason.contains("the server takes 255 at most"), "{reason}");
    rig.database(&[record("p", &[("peer", "INET 192.0.2.1 4070")])]);
    rig.sent();
    rig.hear("SVCJOB J2 connect active p");
    assert_eq!(
        rig.sent(),
        ["ADD -background c0.0 p INET 192.0.2.1 4070"],
        "the failed addition is not under way any more"
    );
}

#[test]
fn a_job_cancelled_while_its_challenge_is_made_leaves_nothing_behind() {
    let mut rig = Rig::joined(&[record("passive", &[("peer", "PASSIVE")])], &[]);
    rig.hear("SVCJOB J1 connect passive u");
    rig.hear("SVCCANCEL J1");
    rig.hear("INFO AAAA");
    rig.hear("OK");
    rig.hear("NOTE GREET AAAA INET 192.0.2.1 1");
    rig.wait(Duration::from_secs(60));
    assert_eq!(rig.sent(), ["GETCHAL"]);
    assert_eq!(rig.machine.next_deadline(), None);
}

#[test]
fn a_reply_for_a_peer_that_was_removed_and_added_again_is_not_credited() {
    let mut rig = Rig::joined(&[record("p", WATCHED)], &["p"]);
    let old = rig.id("p");
    rig.sent();
    rig.order(old, 1);
    assert_eq!(rig.sent(), ["PING -background c0.0 -timeout 10 p"]);
    rig.hear("BGDETACH c0.0");
    rig.hear("NOTE KILL p");
    rig.hear("NOTE ADD p tripe1 INET 192.0.2.1 1");
    rig.to_pinger.clear();
    rig.hear("BGINFO c0.0 ping-ok 12.3");
    rig.hear("BGOK c0.0");
    assert_eq!(results(&mut rig), []);
    // The pinger's order for the old one comes too late as well.
    rig.sent();
    rig.order(old, 2);
    assert!(rig.sent().is_empty());
}

#[test]
fn a_reply_for_a_peer_that_was_disowned_and_adopted_again_is_not_credited() {
    let mut rig = Rig::joined(&[record("p", WATCHED)], &["p"]);
    let old = rig.id("p");
    rig.sent();
    rig.order(old, 1);
    rig.hear("BGDETACH c0.0");
    rig.database(&[record("p", &[("peer", "PASSIVE")])]);
    rig.database(&[record("p", WATCHED)]);
    assert_ne!(rig.id("p"), old);
    // Its ping is given up with the server too, so that the next one is alone.
    let sent = rig.sent();
    assert!(sent.contains(&"BGCANCEL c0.0".to_owned()), "{sent:?}");
    rig.to_pinger.clear();
    rig.hear("BGINFO c0.0 ping-ok 12.3");
    rig.hear("BGOK c0.0");
    assert_eq!(results(&mut rig), []);
}

#[test]
fn an_order_from_before_an_outage_is_void_however_late_it_comes() {
    let mut rig = Rig::joined(&[record("p", WATCHED)], &["p"]);
    rig.slow_pinger = true;
    let id = rig.id("p");
    // The server was away and back twice before the pinger's orders arrived.
    for _ in 0..2 {
        rig.lose_server();
        rig.order(id, 1);
        rig.join(&["p"]);
    }
    rig.sent();
    rig.order(id, 2);
    rig.pinger_says(FromPinger::Proceeding {});
    rig.order(id, 3);
    assert_eq!(rig.sent(), [""; 0]);
    // It has voided those and orders another.
    rig.pinger_says(FromPinger::Proceeding {});
    rig.order(id, 4);
    assert_eq!(rig.sent(), ["PING -background c0.0 -timeout 10 p"]);
}

#[test]
fn a_ping_beside_another_or_of_a_used_number_is_not_sent_and_the_pinger_is_put_right() {
    let mut rig = Rig::joined(&[record("p", WATCHED)], &["p"]);
    let id = rig.id("p");
    rig.sent();
    rig.order(id, 1);
    assert_eq!(rig.sent(), ["PING -background c0.0 -timeout 10 p"]);
    let in_flight = |rig: &mut Rig| {
        let told = rig.watched();
        told.iter()
            .map(|p| p.phase.unwrap().in_flight)
            .collect::<Vec<_>>()
    };
    in_flight(&mut rig);
    rig.order(id, 2);
    assert_eq!(rig.sent(), [""; 0]);
    assert_eq!(in_flight(&mut rig), [Some(1)]);
    for line in ["BGDETACH c0.0", "BGINFO c0.0 ping-ok 1.0", "BGOK c0.0"] {
        rig.hear(line);
    }
    rig.order(id, 1);
    assert_eq!(rig.sent(), [""; 0]);
    assert_eq!(in_flight(&mut rig), [None]);
}

/// When the next check of the peer `p` is due.
fn due(rig: &mut Rig) -> Monotonic {
    let id = rig.id("p");
    let adoption = rig.machine.peers.get(id).unwrap().adoption().unwrap();
    adoption.liveness.phase().due
}

/// A peer that has replied once, and so long before its next check is due that ping is ordered.
fn ordered_ahead(ahead: Duration) -> (Rig, Monotonic) {
    let mut rig = Rig::joined(&[record("p", WATCHED)], &["p"]);
    let id = rig.id("p");
    rig.order(id, 1);
    rig.hear("BGDETACH c0.0");
    rig.hear("BGINFO c0.0 ping-ok 1.0");
    rig.hear("BGOK c0.0");
    let due = due(&mut rig);
    rig.wait(due.before(ahead).since(rig.now));
    rig.sent();
    rig.order_ahead(id, 2, due);
    (rig, due)
}

/// A peer that has just replied for the second time.
fn answered() -> (Rig, PeerId) {
    let (mut rig, _) = ordered_ahead(Duration::from_secs(9));
    rig.wait(Duration::from_secs(9));
    rig.hear("BGDETACH c0.1");
    rig.hear("BGINFO c0.1 ping-ok 1.0");
    rig.hear("BGOK c0.1");
    let id = rig.id("p");
    (rig, id)
}

const AHEAD: Duration = Duration::from_millis(50);

#[test]
fn a_ping_ordered_ahead_goes_out_when_it_is_due() {
    let (mut rig, due) = ordered_ahead(AHEAD);
    rig.wait(Duration::from_millis(49));
    assert_eq!(rig.sent(), [""; 0]);
    assert_eq!(rig.machine.next_deadline(), Some(due));
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.sent(), ["PING -background c0.1 -timeout 10 p"]);
    let next = rig.machine.next_deadline().unwrap();
    assert!(next >= due + Duration::from_secs(1), "only a look is due");
}

#[test]
fn a_ping_that_is_ordered_ahead_is_no_check_before_it_is_sent() {
    let (mut rig, _) = ordered_ahead(AHEAD);
    for (job, state) in [("J1", "idle"), ("J2", "check")] {
        rig.hear(&format!("SVCJOB {job} connect info p"));
        let told = format!("SVCINFO {job} state={state}");
        assert!(rig.sent().contains(&told), "{state}");
        rig.wait(Duration::from_millis(50));
    }
}

#[test]
fn what_was_ordered_ahead_is_void_when_its_cause_is_gone() {
    let causes: [fn(&mut Rig); 2] = [
        |rig| {
            rig.lose_server();
            rig.join(&["p"]);
        },
        |rig| rig.hear("NOTE KILL p"),
    ];
    for cause in causes {
        let (mut rig, _) = ordered_ahead(AHEAD);
        cause(&mut rig);
        rig.sent();
        rig.wait(Duration::from_secs(1));
        let sent = rig.sent();
        assert!(
            !sent.iter().any(|line| line.starts_with("PING")),
            "{sent:?}"
        );
    }
}

#[test]
fn what_was_ordered_ahead_is_sent_once_though_the_pinger_dies() {
    let (mut rig, _) = ordered_ahead(AHEAD);
    rig.pinger_goes();
    rig.to_pinger.clear();
    rig.pinger_comes();
    let phase = rig.watched()[0].phase.unwrap();
    assert_eq!(phase.in_flight, Some(2), "so it is not ordered again");
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.sent(), ["PING -background c0.1 -timeout 10 p"]);
}

#[test]
fn a_ping_that_was_ordered_ahead_is_sent_at_once_if_its_check_is_to_come_early() {
    let changes: [fn(&mut Rig); 3] = [
        |rig| {
            rig.pinger_goes();
            rig.hear("SVCJOB J1 connect sabotage p");
        },
        |rig| {
            rig.pinger_goes();
            let changed = [&[("every", "20s")], WATCHED].concat();
            rig.database(&[record("p", &changed)]);
        },
        |rig| rig.hear("SVCJOB J1 connect sabotage p"),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (mut rig, _) = ordered_ahead(Duration::from_secs(9));
        change(&mut rig);
        let sent = rig.sent();
        let pings = sent.iter().filter(|line| line.starts_with("PING")).count();
        assert_eq!(pings, 1, "{number}: {sent:?}");
        // The order for the time before is void.
        rig.wait(Duration::from_secs(9));
        let sent = rig.sent();
        let again = sent.iter().any(|line| line.starts_with("PING"));
        assert!(!again, "{number}: {sent:?}");
    }
}

#[test]
fn an_order_that_crosses_a_request_is_sent_at_once_however_late_it_is_read() {
    for seconds in [0, 5] {
        let (mut rig, id) = answered();
        let due = due(&mut rig);
        rig.hear("SVCJOB J1 connect sabotage p");
        rig.stand_still(Duration::from_secs(seconds));
        rig.sent();
        rig.order_ahead(id, 3, due);
        let sent = rig.sent();
        let is_sent = sent.iter().any(|line| line.starts_with("PING"));
        assert!(is_sent, "{seconds}: {sent:?}");
        // Without a request the order says when.
        rig.hear("BGDETACH c0.2");
        rig.hear("BGINFO c0.2 ping-timeout");
        rig.hear("BGOK c0.2");
        let later = rig.now + Duration::from_secs(7);
        rig.order_ahead(id, 4, later);
        assert_eq!(self::due(&mut rig), later);
    }
}

#[test]
fn a_late_check_is_due_when_the_pinger_says_also_if_it_was_requested() {
    let (mut rig, id) = answered();
    rig.hear("SVCJOB J1 connect sabotage p");
    // The pinger has been suspended, and orders what is late a millisecond apart.
    rig.stand_still(Duration::from_secs(60));
    let later = rig.now + Duration::from_millis(7);
    let (peer, seq, due) = (id, 3, later);
    rig.pinger_says(FromPinger::Late(vec![PingOrder { peer, seq, due }]));
    assert_eq!(self::due(&mut rig), later);
}

#[test]
fn a_pinger_that_was_told_everything_knows_of_a_check_that_was_requested_before() {
    let (mut rig, id) = answered();
    rig.pinger_goes();
    rig.hear("SVCJOB J1 connect sabotage p");
    rig.pinger_comes();
    let later = rig.now + Duration::from_secs(5);
    rig.order_ahead(id, 3, later);
    assert_eq!(due(&mut rig), later, "whatever it says");
}

#[test]
fn a_reply_after_which_the_next_check_moves_is_told_at_once_with_its_time() {
    let record = |name| record(name, &[("watch", "t"), ("every", "5s"), ("timeout", "10s")]);
    let mut rig = Rig::joined(&[record("p"), record("q")], &["p", "q"]);
    let ids = ["p", "q"].map(|name| rig.id(name));
    let now = rig.now;
    rig.order(ids[0], 1);
    rig.hear("BGDETACH c0.0");
    rig.wait(Duration::from_secs(6));
    rig.to_pinger.clear();
    rig.hear("BGINFO c0.0 ping-ok 6000.0");
    rig.hear("BGOK c0.0");
    let came = rig.now;
    assert_eq!(came, now + Duration::from_secs(6));
    let ended = EndedPing {
        peer: ids[0],
        seq: 1,
        result: PingResult::Reply(6000.0),
    };
    let told = ToPinger::Results {
        at: came,
        ended: vec![ended],
    };
    assert_eq!(rig.to_pinger, [told]);
    assert_eq!(due(&mut rig), came + Duration::from_secs(5));
}

#[test]
fn orders_that_are_void_do_not_pile_up() {
    let (mut rig, _) = ordered_ahead(Duration::from_secs(9));
    for round in 0..3_000 {
        // Each time a little earlier.
        let id = rig.id("p");
        let due = due(&mut rig).before(Duration::from_micros(1));
        let adoption = rig.machine.peers.adoption_mut(id).unwrap();
        let (plan, statistics) = (*adoption.liveness.plan(), *adoption.liveness.statistics());
        let phase = PingPhase {
            due,
            ..*adoption.liveness.phase()
        };
        adoption.liveness = Liveness::standing(plan, phase, statistics);
        rig.machine.check_moved(id);
        let queued = rig.machine.backlog().pings_queued;
        assert!(queued <= 1_030, "{round}: {queued}");
    }
    rig.wait(Duration::from_secs(9));
    let sent = rig.sent();
    let pings = sent.iter().filter(|line| line.starts_with("PING")).count();
    assert_eq!(pings, 1, "{sent:?}");
}

#[test]
fn a_result_is_judged_though_no_pinger_is_there() {
    let mut rig = Rig::joined(&[record("p", &[("watch", "t"), ("retries", "2")])], &["p"]);
    let id = rig.id("p");
    rig.order(id, 1);
    rig.pinger_goes();
    rig.sent();
    for line in ["BGDETACH c0.0", "BGINFO c0.0 ping-timeout", "BGOK c0.0"] {
        rig.hear(line);
    }
    assert_eq!(rig.sent(), ["WARN connect ping-timeout p attempt 1 of 2"]);
    rig.to_pinger.clear();
    rig.pinger_comes();
    let phase = rig.watched()[0].phase.unwrap();
    assert_eq!((phase.failures, phase.due), (1, rig.now));
}

#[test]
fn a_shrunken_interval_is_remembered_for_the_pinger_that_comes_next() {
    let every = |every| record("p", &[("watch", "t"), ("every", every)]);
    let mut rig = Rig::joined(&[every("1h")], &[]);
    rig.hear("NOTE ADD p tripe0 INET 192.0.2.1 1");
    let added = rig.now;
    rig.wait(Duration::from_secs(100));
    for (interval, due) in [
        ("10m", added + Duration::from_secs(600)),
        // It is over already, so the check is due at once.
        ("50s", added + Duration::from_secs(100)),
    ] {
        rig.database(&[every(interval)]);
        rig.pinger_goes();
        rig.to_pinger.clear();
        rig.pinger_comes();
        let told = rig.watched();
        let phase = told[0].phase.unwrap();
        assert_eq!(phase.due, due, "{interval}");
    }
}

#[test]
fn a_failure_of_many_words_still_answers_the_job() {
    let mut rig = Rig::joined(&[record("p", &[("peer", "INET 192.0.2.1 1")])], &[]);
    rig.hear("SVCJOB J1 connect active p");
    rig.hear("BGDETACH c0.0");
    rig.hear(&format!("BGFAIL c0.0 strange{}", " word".repeat(200)));
    let sent = rig.sent();
    let last = sent.last().unwrap();
    assert!(last.starts_with("SVCFAIL J1 strange word"), "{last}");
    assert!(last.ends_with(" ...") && last.len() <= 255, "{last}");
}

#[test]
fn a_refused_list_does_not_keep_the_service_from_working() {
    let mut rig = Rig::new(&[]);
    rig.connect_server();
    for line in ["OK", "OK", "FAIL not-today"] {
        rig.hear(line);
    }
    rig.sent();
    assert_eq!(rig.machine.link(), connect_ipc::control::ServerLink::Up);
    rig.hear("SVCJOB J1 connect adopted");
    assert_eq!(rig.sent(), ["SVCOK J1"]);
}

#[test]
fn a_peer_in_trouble_is_checked_at_once_only_by_a_pinger_that_knows_it() {
    let mut rig = Rig::joined(&[record("p", WATCHED)], &["p"]);
    let id = rig.id("p");
    rig.machine.peers.judge(id, |liveness| {
        let phase = PingPhase {
            failed_checks: 1,
            ..PingPhase::default()
        };
        *liveness = Liveness::standing(*liveness.plan(), phase, *liveness.statistics());
    });
    let told = |rig: &mut Rig| {
        rig.to_pinger.clear();
        rig.hear("NOTE KXDONE p");
        rig.to_pinger
            .iter()
            .any(|message| matches!(message, ToPinger::CheckNow { .. }))
    };
    assert!(told(&mut rig));
    rig.pinger_goes();
    rig.pinger_connects();
    assert!(!told(&mut rig));
}

#[test]
fn a_challenge_is_a_secret_from_its_first_line_on() {
    let mut rig = Rig::joined(&[record("passive", &[("peer", "PASSIVE")])], &[]);
    rig.hear("SVCJOB J1 connect passive u");
    rig.hear("INFO AAAA");
    assert_eq!(rig.secrets, ["AAAA"]);
}

/// A core that knows a passive peer and one with an address.
fn with_both() -> Rig {
    let records = [
        record("passive", &[("peer", "PASSIVE")]),
        record("p", &[("peer", "INET 192.0.2.1 1")]),
    ];
    Rig::joined(&records, &[])
}

#[test]
fn what_operators_who_have_left_have_asked_a_server_that_does_not_answer_is_bounded() {
    let mut rig = with_both();
    let at_start = rig.machine.additions.requesters();
    for connection in 2000..5000 {
        rig.request(connection, 1, submit(&["active", "p"]));
        rig.request(connection, 2, submit(&["passive", "u"]));
        rig.feed(Input::Gone(ConnectionId(connection)));
    }
    let sent = rig.sent();
    let questions = sent.iter().filter(|line| *line == "GETCHAL").count();
    assert_eq!(questions, 1024);
    let refused = ["too-many-commands", "1024"].map(str::to_owned).to_vec();
    let last = rig.answers.last().map(|(_, answer)| answer.reply.clone());
    assert_eq!(last, Some(Reply::Failed(refused)));
    assert_eq!(rig.machine.additions.requesters(), at_start);
    // With an answer there is room for another one. The first is the one to the `ADD`.
    rig.hear("FAIL peer-create-fail p");
    rig.hear("INFO challenge");
    rig.hear("OK");
    rig.request(1, 1, submit(&["passive", "u"]));
    assert_eq!(
        rig.sent().iter().filter(|line| *line == "GETCHAL").count(),
        1
    );
}

#[test]
fn operators_whose_wish_waits_for_the_server_are_told_when_it_is_lost() {
    let mut rig = with_both();
    rig.request(1, 1, submit(&["active", "p"]));
    rig.request(1, 2, submit(&["passive", "u"]));
    rig.lose_server();
    let mut told: Vec<u64> = rig
        .answers
        .iter()
        .filter(|(_, answer)| matches!(&answer.reply, Reply::Failed(words) if words[0] == "server-lost"))
        .map(|(_, answer)| answer.id)
        .collect();
    told.sort_unstable();
    assert_eq!(told, [1, 2]);
    rig.answers.clear();
    rig.request(1, 3, submit(&["active", "p"]));
    assert!(
        matches!(&rig.answers[0].1.reply, Reply::Failed(words) if words == &["server-unavailable"])
    );
}

#[test]
fn a_deadline_never_lies_before_now() {
    let mut rig = Rig::joined(&[record("p", &[("watch", "t"), ("every", "1s")])], &["p"]);
    rig.wait(Duration::from_secs(100));
    rig.database(&[record("p", &[("watch", "t"), ("every", "2s")])]);
    rig.pinger_goes();
    rig.to_pinger.clear();
    rig.pinger_comes();
    let due = rig.watched()[0].phase.unwrap().due;
    assert!(due >= Monotonic(rig.now.0), "{due:?}");
}

#[test]
fn algorithms_are_asked_for_for_each_peer_that_may_need_them_for_ifdown() {
    let with = |key| record("p", &[(key, "script")]);
    // The peer is there before us, and so is its script.
    let mut rig = Rig::new(&[with("ifdown")]);
    rig.join(&["p"]);
    assert!(
        rig.sent().is_empty(),
        "the rig forgets what was sent on joining"
    );
    rig.hear("INFO tripe0");
    rig.hear("OK");
    rig.hear("INFO INET 192.0.2.1 1");
    rig.hear("OK");
    rig.hear("INFO a=b");
    rig.hear("OK");
    rig.hear("NOTE KILL p");
    let environment = |rig: &mut Rig| {
        rig.to_scripts.drain(..).find_map(|message| match message {
            connect_ipc::scripts::ToScripts::Run(runs) => Some(runs[0].environment.clone()),
            _ => None,
        })
    };
    let variable = ("A_A".to_owned(), "b".to_owned());
    assert!(environment(&mut rig).unwrap().contains(&variable));

    // The script comes later.
    let mut rig = Rig::joined(&[with("other")], &["p"]);
    rig.database(&[with("ifdown")]);
    rig.wait(Duration::from_millis(1));
    let sent = rig.sent();
    assert_eq!(sent.last().map(String::as_str), Some("ALGS p"), "{sent:?}");
}

/// A command's answers, by request.
fn answers(rig: &mut Rig) -> Vec<(u64, Reply)> {
    let told = rig.answers.drain(..);
    told.map(|(_, answer)| (answer.id, answer.reply)).collect()
}

pub(super) fn submit(words: &[&str]) -> Request {
    Request::Submit {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
    }
}

#[test]
fn a_command_about_peers_waits_until_a_fresh_core_knows_them() {
    let mut rig = Rig::new(&[record("p", WATCHED)]);
    rig.connect_server();
    rig.request(1, 1, submit(&["adopted"]));
    rig.request(1, 2, submit(&["userpeer", "u"]));
    rig.request(1, 3, submit(&["adopted", "too", "many"]));
    rig.request(2, 4, submit(&["sabotage", "p"]));
    rig.feed(Input::Gone(ConnectionId(2)));
    let told = answers(&mut rig);
    let told: Vec<u64> = told.into_iter().map(|(id, _)| id).collect();
    assert_eq!(told, [2, 2, 3], "what is not about peers is answered");

    for line in ["OK", "OK", "INFO p", "OK"] {
        assert_eq!(answers(&mut rig), []);
        rig.hear(line);
    }
    let peer = vec!["p".to_owned()];
    assert_eq!(
        answers(&mut rig),
        [(1, Reply::Line(peer)), (1, Reply::Done {})]
    );
}

#[test]
fn a_command_that_waits_for_a_server_which_goes_is_told_so() {
    let mut rig = Rig::new(&[record("p", WATCHED)]);
    rig.connect_server();
    rig.request(1, 1, submit(&["adopted"]));
    rig.lose_server();
    let lost = vec!["server-lost".to_owned()];
    assert_eq!(answers(&mut rig), [(1, Reply::Failed(lost))]);
    rig.join(&["p"]);
    assert_eq!(answers(&mut rig), [], "and is not done later");
}

#[test]
fn a_challenge_after_a_banner_is_a_secret_too() {
    let records = [record("p", &[("peer", "PASSIVE"), ("connect", "ssh")])];
    let mut rig = Rig::joined(&records, &[]);
    rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
    let run = rig.runs()[0].0;
    let challenge = "QUFBQUFBQUFBQUFBQUFBQUFB";
    for (stream, line) in [
        (Stream::Stdout, "banner".to_owned()),
        (Stream::Stderr, format!("error: {challenge}")),
    ] {
        rig.scripts_say(FromScripts::Output { run, stream, line });
    }
    assert_eq!(rig.secrets, ["banner", challenge]);
}

#[test]
fn nothing_that_looks_like_a_challenge_is_told() {
    let pairs = &[
        ("peer", "PASSIVE"),
        ("connect", "ssh"),
        ("disconnect", "ssh"),
    ];
    let mut rig = Rig::joined(&[record("p", pairs)], &[]);
    rig.request(1, 1, Request::Events(EventFilter::default()));
    rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
    let challenge = "QUFBQUFBQUFBQUFBQUFBQUFB";
    let connect = rig.runs()[0].0;
    let says = |rig: &mut Rig, run, stream, line: String| {
        rig.scripts_say(FromScripts::Output { run, stream, line });
    };
    says(
        &mut rig,
        connect,
        Stream::Stdout,
        format!("yours: {challenge}!"),
    );
    says(&mut rig, connect, Stream::Stdout, challenge.to_owned());
    says(&mut rig, connect, Stream::Stderr, format!("<{challenge}>"));
    let end = Ended::Exited(1);
    rig.scripts_say(FromScripts::Ended { run: connect, end });
    rig.hear("NOTE KILL p");
    let disconnect = rig.runs()[0].0;
    says(&mut rig, disconnect, Stream::Stdout, challenge.to_owned());
    let end = Ended::Exited(1);
    rig.scripts_say(FromScripts::Ended {
        run: disconnect,
        end,
    });
    let peer = "p".to_owned();
    rig.request(2, 2, Request::Info { peer });
    let told = format!("{:?} {:?} {:?}", rig.sent(), rig.events, rig.answers);
    assert!(!told.contains(challenge), "{told}");
    for line in [
        "WARN connect connect p bad-challenge \"yours: <challenge>!\"",
        "NOTIFY connect connect p stdout <challenge>",
        "WARN connect connect p stderr <<challenge>>",
        "NOTIFY connect disconnect p stdout <challenge>",
    ] {
        assert!(told.contains(&format!("{line:?}")), "{line}: {told}");
    }
    assert!(told.contains("tail"), "{told}");
    assert!(rig.secrets.iter().all(|secret| secret == challenge));
}

#[test]
fn what_happened_last_is_told_to_those_who_come_later() {
    let mut rig = Rig::joined(&[record("p", &[("peer", "INET 192.0.2.1 1")])], &["p"]);
    rig.feed(Input::WallClock { millis: 1_000_000 });
    // Nobody wants events, and still they are remembered, the latest of them.
    for _ in 0..100 {
        rig.hear("NOTE KXDONE p");
    }
    let long = vec!["nonsense".to_owned(), "x-".repeat(50_000)];
    rig.request(1, 1, Request::Submit { words: long });
    rig.hear("NOTE KXDONE p");
    rig.wait(Duration::from_secs(2));
    // Times are those of the clock as it is now.
    rig.feed(Input::WallClock { millis: 9_000_000 });
    rig.answers.clear();
    rig.request(1, 2, Request::Recent {});
    let Some((
        _,
        Answer {
            id: 2,
            reply: Reply::Recent(events),
        },
    )) = rig.answers.pop()
    else {
        panic!("no answer");
    };
    assert_eq!(events.len(), 100);
    for event in &events {
        assert_eq!(event.kind, EventKind::Keys {});
        assert_eq!((event.at_ms, event.peer.as_deref()), (8_998_000, Some("p")));
    }
    let last = events.last().map(|event| event.seq);
    rig.answers.clear();
    rig.request(1, 3, Request::Events(EventFilter::default()));
    let live = rig.answers.last().map(|(_, answer)| answer.reply.clone());
    assert_eq!(live, last.map(|seq| Reply::Live { seq }));
}

/// With the connection the service is released, too: nothing is left to wait for.
#[test]
fn a_core_that_leaves_ends_when_the_server_does() {
    let mut rig = Rig::joined(&[], &[]);
    rig.feed(Input::Leave);
    assert_eq!(rig.sent(), ["SVCRELEASE connect"]);
    assert_eq!(rig.ended, None);
    rig.lose_server();
    assert_eq!(rig.ended, Some(Ending::Quit));
}
