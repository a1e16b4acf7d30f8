// SPDX-License-Identifier: GPL-3.0-or-later
//! Scripts: which failures are remembered, and what an operator gets who asks for one.

use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::control::{
    PeerDetail, PeerStatus, Reply, Request, RunProgress, ScriptCounters, ServiceStatus, WaitsFor,
};
use connect_ipc::event::EventKind;
use connect_ipc::frame::{MAX_FRAME, length};
use connect_ipc::scripts::{
    Child, Command, Ended, FromScripts, InterfaceScript, ScriptFailure, ScriptKind, Stream,
    ToScripts, UnderWay,
};

use connect_ipc::setup::Lane;

use super::rig::{Rig, record};
use connect_policy::size::MAX_RECORD;

const PAIRS: &[(&str, &str)] = &[
    ("peer", "INET 192.0.2.1 1"),
    ("ifup", "up one"),
    ("ifdown", "down"),
];

/// A core whose peer `p` is up and whose `ifup` was ordered, with that run.
fn with_peer(pairs: &[(&str, &str)]) -> (Rig, Option<RunId>) {
    let mut rig = Rig::joined(&[record("p", pairs), record("q", pairs)], &[]);
    rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
    rig.answer_all();
    let run = rig.runs().first().map(|(run, _)| *run);
    (rig, run)
}

fn ends(rig: &mut Rig, run: RunId, end: Ended) {
    rig.scripts_say(FromScripts::Ended { run, end });
}

fn status(rig: &mut Rig) -> (ServiceStatus, Vec<PeerStatus>) {
    rig.request(9, 9, Request::Status {});
    let (mut service, mut list) = (None, Vec::new());
    for (_, answer) in rig.answers.drain(..) {
        match answer.reply {
            Reply::Service(status) => service = Some(*status),
            Reply::Peers(some) => list.extend(some.list),
            _ => {}
        }
    }
    (service.unwrap(), list)
}

/// The failed scripts of `p`, as `status` has them.
fn failed(rig: &mut Rig) -> Vec<(ScriptKind, ScriptFailure, u64)> {
    let (_, peers) = status(rig);
    let peer = peers.iter().find(|peer| peer.name == "p").unwrap();
    let failed = peer.scripts.failed.iter();
    failed
        .map(|script| (script.kind, script.failure, script.ago))
        .collect()
}

fn detail(rig: &mut Rig) -> PeerDetail {
    rig.request(9, 9, Request::Info { peer: "p".into() });
    match rig.answers.pop().unwrap().1.reply {
        Reply::Peer(detail) => *detail,
        other => panic!("{other:?}"),
    }
}

fn ask(rig: &mut Rig, id: u64, script: InterfaceScript) {
    let peer = "p".to_owned();
    rig.request(1, id, Request::RunScript { peer, script });
    rig.answer_all();
}

pub(super) fn replies(rig: &mut Rig) -> Vec<Reply> {
    rig.answers
        .drain(..)
        .map(|(_, answer)| answer.reply)
        .collect()
}

fn words(reply: &Reply) -> String {
    match reply {
        Reply::Failed(words) => words.join(" "),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failed_script_is_in_the_status_until_it_ends_well() {
    let (mut rig, run) = with_peer(PAIRS);
    let run = run.unwrap();
    assert_eq!(failed(&mut rig), []);
    let line = "no such device".to_owned();
    let stream = Stream::Stderr;
    rig.scripts_say(FromScripts::Output { run, stream, line });
    ends(&mut rig, run, Ended::Exited(2));
    rig.wait(Duration::from_secs(7));
    let wanted = (ScriptKind::Ifup, ScriptFailure::Exited(2), 7);
    assert_eq!(failed(&mut rig), [wanted]);
    // However many other scripts end meanwhile, its last line is known.
    for _ in 0..300 {
        rig.hear("NOTE ADD q tun1 INET 192.0.2.2 1");
        rig.answer_all();
        let run = rig.runs()[0].0;
        ends(&mut rig, run, Ended::Exited(0));
    }
    let recent = detail(&mut rig).recent;
    assert_eq!(recent[0].end, Ended::Exited(2));
    assert_eq!(recent[0].output, ["no such device"]);

    ask(&mut rig, 1, InterfaceScript::Ifup);
    let again = rig.runs()[0].0;
    ends(&mut rig, again, Ended::Exited(0));
    assert_eq!(failed(&mut rig), []);
}

#[test]
fn an_ifup_that_fails_after_its_peer_is_gone_leaves_no_mark() {
    let (mut rig, run) = with_peer(PAIRS);
    rig.hear("NOTE KILL p");
    let ifdown = rig.runs()[0].0;
    ends(&mut rig, run.unwrap(), Ended::Exited(2));
    ends(&mut rig, ifdown, Ended::Exited(1));
    rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
    let wanted = (ScriptKind::Ifdown, ScriptFailure::Exited(1), 0);
    assert_eq!(failed(&mut rig), [wanted]);
}

#[test]
fn info_leaves_out_what_does_not_fit_into_a_message() {
    let note = "x".repeat(MAX_RECORD - 200);
    let pairs: Vec<_> = PAIRS
        .iter()
        .copied()
        .chain([("note", note.as_str())])
        .collect();
    let (mut rig, run) = with_peer(&pairs);
    let run = run.unwrap();
    for _ in 0..3 {
        let (stream, line) = (Stream::Stdout, "\u{1}".repeat(200));
        rig.scripts_say(FromScripts::Output { run, stream, line });
    }
    ends(&mut rig, run, Ended::Exited(1));
    assert_eq!(detail(&mut rig).recent.len(), 1);
    for _ in 0..20 {
        ask(&mut rig, 1, InterfaceScript::Ifdown);
        let run = rig.runs()[0].0;
        let (stream, line) = (Stream::Stdout, "\u{1}".repeat(200));
        rig.scripts_say(FromScripts::Output { run, stream, line });
        ends(&mut rig, run, Ended::Exited(0));
    }
    rig.answers.clear();
    let detail = detail(&mut rig);
    assert!(detail.record.is_some());
    assert!(
        (1..20).contains(&detail.recent.len()),
        "{}",
        detail.recent.len()
    );
    assert!(length(&detail) <= MAX_FRAME);
}

#[test]
fn a_failed_script_is_known_to_the_next_core_and_forgotten_without_its_record() {
    let (mut rig, run) = with_peer(PAIRS);
    ends(&mut rig, run.unwrap(), Ended::TimedOut);
    let (_, state) = rig.machine.state().unwrap();
    let state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
    let mut next = Rig::alone(&[record("p", PAIRS)], false);
    next.now = next.now + Duration::from_secs(10);
    next.inherit(state);
    next.scripts_come();
    next.meet(&["p"]);
    next.answer_all();
    let wanted = (ScriptKind::Ifup, ScriptFailure::TimedOut, 10);
    assert_eq!(failed(&mut next), [wanted]);
    next.database(&[record("p", &[("peer", "INET 192.0.2.1 1")])]);
    assert_eq!(failed(&mut next), []);
}

#[test]
fn a_script_that_cannot_be_started_is_counted_as_that_and_not_as_lost() {
    let (mut rig, run) = with_peer(PAIRS);
    ends(&mut rig, run.unwrap(), Ended::NotStarted("why".into()));
    // A value that cannot be executed never gets as far as the helper.
    rig.database(&[record(
        "p",
        &[("peer", "INET 192.0.2.1 1"), ("ifup", "a\0b")],
    )]);
    rig.answer_all();
    ask(&mut rig, 1, InterfaceScript::Ifup);
    assert_eq!(rig.runs(), []);
    let told = replies(&mut rig);
    let [Reply::Run(RunProgress::Ended(Ended::NotStarted(why)))] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(why.contains("ifup"), "{why}");
    let (service, _) = status(&mut rig);
    let wanted = ScriptCounters {
        not_started: 2,
        ..ScriptCounters::default()
    };
    assert_eq!(service.counters.scripts, wanted);
}

#[test]
fn a_record_too_large_for_a_message_is_told_and_nothing_stays_pending() {
    let note = "x".repeat(60_000);
    let names: Vec<String> = (0..20).map(|number| format!("note{number}")).collect();
    let notes = names.iter().map(|name| (name.as_str(), note.as_str()));
    let pairs: Vec<(&str, &str)> = PAIRS.iter().copied().chain(notes).collect();
    let mut rig = Rig::joined(&[record("p", &pairs)], &[]);
    rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
    rig.answer_all();
    assert_eq!(rig.runs(), []);
    let (service, _) = status(&mut rig);
    let counters = service.counters.scripts;
    assert_eq!((counters.not_started, counters.pending), (1, 0));
    assert_eq!(
        failed(&mut rig),
        [(ScriptKind::Ifup, ScriptFailure::NotStarted, 0)]
    );
    let detail = detail(&mut rig);
    assert_eq!(detail.record, None);
    assert!(detail.oversize.is_some_and(|size| size > 1_200_000));
    let Ended::NotStarted(why) = &detail.recent[0].end else {
        panic!("{detail:?}")
    };
    assert!(why.contains("too large"), "{why}");
    // Whoever asks is told so as well, and so is the server.
    let (peer, script) = ("p".to_owned(), InterfaceScript::Ifdown);
    rig.request(1, 1, Request::ShowScript { peer, script });
    rig.answer_all();
    let told = words(&replies(&mut rig)[0]);
    assert!(
        told.starts_with("not-started p the record is too large"),
        "{told}"
    );
    // What never started is not undone.
    rig.hear("NOTE KILL p");
    let sent = rig.sent();
    let warns = |line: &&String| line.starts_with("WARN connect ifdown p");
    assert_eq!(sent.iter().find(warns), None);
}

#[test]
fn an_operator_is_told_once_what_a_script_waits_for() {
    let (mut rig, first) = with_peer(PAIRS);
    let waits_for = |rig: &mut Rig, id| {
        ask(rig, id, InterfaceScript::Ifdown);
        replies(rig)
    };
    let waiting = |pid, seconds| {
        let script = ScriptKind::Ifup;
        let run = WaitsFor::Run {
            script,
            pid,
            seconds,
        };
        vec![Reply::Run(RunProgress::Waiting(run))]
    };
    assert_eq!(waits_for(&mut rig, 5), waiting(None, 0));
    let (run, pid) = (first.unwrap(), 77);
    let child = Child { pid, start_time: 1 };
    rig.scripts_say(FromScripts::Started { run, child });
    rig.wait(Duration::from_secs(40));
    rig.answers.clear();
    assert_eq!(waits_for(&mut rig, 6), waiting(Some(77), 40));
    for run in rig.ordered() {
        ends(&mut rig, run.run, Ended::Exited(0));
    }
    ends(&mut rig, run, Ended::Exited(0));
    rig.answers.clear();
    assert_eq!(waits_for(&mut rig, 7), []);
    for run in rig.ordered() {
        ends(&mut rig, run.run, Ended::Exited(0));
    }
    let (lane, full) = (Lane::Interface, true);
    rig.scripts_say(FromScripts::Full { lane, full });
    rig.answers.clear();
    let place = Reply::Run(RunProgress::Waiting(WaitsFor::Place {}));
    assert_eq!(waits_for(&mut rig, 8), [place]);
}

#[test]
fn an_operator_sees_the_script_from_its_start_to_its_end() {
    let (mut rig, first) = with_peer(PAIRS);
    ends(&mut rig, first.unwrap(), Ended::Exited(0));
    rig.sent();
    ask(&mut rig, 5, InterfaceScript::Ifup);
    let runs = rig.ordered();
    let words = ["up", "one", "p", "tun0", "INET", "192.0.2.1", "1"].map(str::to_owned);
    assert_eq!(runs[0].command, Command::Exec(words.to_vec()));
    let variable = ("A_CIPHER".to_owned(), "rijndael".to_owned());
    assert!(runs[0].environment.contains(&variable));
    let run = runs[0].run;
    let child = Child {
        pid: 77,
        start_time: 1,
    };
    rig.scripts_say(FromScripts::Started { run, child });
    for (stream, line) in [(Stream::Stdout, "well"), (Stream::Stderr, "ill")] {
        let line = line.to_owned();
        rig.scripts_say(FromScripts::Output { run, stream, line });
    }
    ends(&mut rig, run, Ended::Exited(3));
    // What comes after the end is not for the operator.
    let (stream, line) = (Stream::Stdout, "late".to_owned());
    rig.scripts_say(FromScripts::Output { run, stream, line });
    let output = |stream, line: &str| {
        let line = line.to_owned();
        Reply::Run(RunProgress::Output { stream, line })
    };
    let wanted = [
        Reply::Run(RunProgress::Started { pid: 77 }),
        output(Stream::Stdout, "well"),
        output(Stream::Stderr, "ill"),
        Reply::Run(RunProgress::Ended(Ended::Exited(3))),
    ];
    assert_eq!(replies(&mut rig), wanted);
    // The run is one like any other: the server is told, and the tunnel is left alone.
    let sent = rig.sent();
    assert!(
        sent.contains(&"WARN connect ifup p exit-nonzero 3".to_owned()),
        "{sent:?}"
    );
    let touched = |line: &&String| line.starts_with("KILL") || line.starts_with("ADD");
    assert_eq!(sent.iter().find(touched), None);
}

#[test]
fn a_dry_run_tells_what_would_be_executed_and_runs_nothing() {
    let (mut rig, _) = with_peer(PAIRS);
    rig.scripts_go();
    for (script, words) in [
        (
            InterfaceScript::Ifup,
            vec!["up", "one", "p", "tun0", "INET", "192.0.2.1", "1"],
        ),
        (InterfaceScript::Ifdown, vec!["down", "p"]),
    ] {
        let peer = "p".to_owned();
        rig.request(1, 1, Request::ShowScript { peer, script });
        rig.answer_all();
        let told = replies(&mut rig);
        let [Reply::Script(plan)] = told.as_slice() else {
            panic!("{told:?}")
        };
        let words = words.into_iter().map(str::to_owned).collect();
        assert_eq!(plan.command, Command::Exec(words));
        let variable = ("P_IFUP".to_owned(), "up one".to_owned());
        assert!(plan.environment.contains(&variable));
    }
    assert_eq!(rig.runs(), []);
}

#[test]
fn a_script_is_refused_with_the_reason() {
    let (mut rig, first) = with_peer(&[("peer", "INET 192.0.2.1 1"), ("ifup", "up")]);
    ends(&mut rig, first.unwrap(), Ended::Exited(0));
    let refused = |rig: &mut Rig, peer: &str, script| {
        let peer = peer.to_owned();
        rig.request(1, 1, Request::RunScript { peer, script });
        rig.answer_all();
        words(&replies(rig)[0])
    };
    let (up, down) = (InterfaceScript::Ifup, InterfaceScript::Ifdown);
    assert_eq!(refused(&mut rig, "nobody", up), "unknown-peer nobody");
    assert_eq!(refused(&mut rig, "q", up), "peer-not-added q");
    assert_eq!(refused(&mut rig, "p", down), "no-script p ifdown");
    rig.scripts_go();
    assert_eq!(refused(&mut rig, "p", up), "no-script-helper");
    rig.scripts_come();

    // Nobody can fill core's memory with runs.
    for id in 0..64 {
        ask(&mut rig, id, up);
    }
    let wait = |reply: &Reply| matches!(reply, Reply::Run(RunProgress::Waiting(_)));
    assert!(replies(&mut rig).iter().all(wait));
    assert_eq!(refused(&mut rig, "p", up), "too-many-scripts 64");
    let runs = rig.runs();
    ends(&mut rig, runs[0].0, Ended::Exited(0));
    replies(&mut rig);
    ask(&mut rig, 65, up);
    assert!(replies(&mut rig).iter().all(wait));
    ends(&mut rig, runs[1].0, Ended::Exited(0));
    replies(&mut rig);

    // A request whose question the server never answers is told so.
    let peer = "p".to_owned();
    rig.request(1, 99, Request::RunScript { peer, script: up });
    rig.lose_server();
    assert_eq!(words(&replies(&mut rig)[0]), "server-lost");
    let peer = "p".to_owned();
    rig.request(1, 99, Request::RunScript { peer, script: up });
    assert_eq!(words(&replies(&mut rig)[0]), "server-unavailable");
}

#[test]
fn a_run_whose_helper_dies_ends_for_the_operator_too() {
    let (mut rig, first) = with_peer(PAIRS);
    ends(&mut rig, first.unwrap(), Ended::Exited(0));
    ask(&mut rig, 1, InterfaceScript::Ifup);
    let run = rig.runs()[0].0;
    rig.scripts_go();
    rig.scripts_come();
    let again = rig
        .to_scripts
        .iter()
        .any(|message| matches!(message, ToScripts::Run(runs) if runs[0].run == run));
    assert!(again, "it was not started, so it is ordered again");
    ends(&mut rig, run, Ended::Lost);
    let lost = Reply::Run(RunProgress::Ended(Ended::Lost));
    assert_eq!(replies(&mut rig), [lost]);
}

/// The scripts of `p` that take unusually long, as `status` has them.
fn long(rig: &mut Rig) -> Vec<(ScriptKind, Option<i32>, u64)> {
    let (_, peers) = status(rig);
    let peer = peers.iter().find(|peer| peer.name == "p").unwrap();
    let long = peer.scripts.long.iter();
    long.map(|script| (script.kind, script.pid, script.seconds))
        .collect()
}

fn starts(rig: &mut Rig, run: RunId, pid: i32) {
    rig.scripts_say(FromScripts::Taken(run));
    let child = Child { pid, start_time: 0 };
    rig.scripts_say(FromScripts::Started { run, child });
}

#[test]
fn a_script_that_hangs_is_in_the_status_and_so_is_one_that_waits_for_it() {
    let (mut rig, run) = with_peer(PAIRS);
    let run = run.unwrap();
    starts(&mut rig, run, 7);
    rig.wait(Duration::from_secs(60));
    assert_eq!(long(&mut rig), []);
    rig.wait(Duration::from_secs(20));
    let ifup = (ScriptKind::Ifup, Some(7));
    assert_eq!(long(&mut rig), [(ifup.0, ifup.1, 80)]);
    // One that has to wait is told in time, and one of each kind is enough.
    for _ in 0..3 {
        rig.hear("NOTE KILL p");
        rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
        rig.answer_all();
    }
    let runs: Vec<RunId> = rig.runs().into_iter().map(|(run, _)| run).collect();
    for run in runs {
        rig.scripts_say(FromScripts::Taken(run));
    }
    assert_eq!(long(&mut rig).len(), 1);
    rig.wait(Duration::from_secs(70));
    let ifdown = (ScriptKind::Ifdown, None, 70);
    assert_eq!(long(&mut rig), [(ifup.0, ifup.1, 150), ifdown]);
    assert_eq!(detail(&mut rig).scripts[0].seconds, 150);
    ends(&mut rig, run, Ended::Exited(0));
    let ifup = (ScriptKind::Ifup, None, 70);
    assert_eq!(long(&mut rig), [ifdown, ifup]);
}

/// `PAIRS`, with a limit of ten seconds.
fn limited() -> Vec<(&'static str, &'static str)> {
    let mut pairs = PAIRS.to_vec();
    pairs.push(("ifup-timeout", "10s"));
    pairs
}

/// The processes of the scripts of `p` that cannot be ended, with their limits and since when, as
/// `status` has them.
fn surviving(rig: &mut Rig) -> Vec<(i32, u32, u64)> {
    let (_, peers) = status(rig);
    let peer = peers.into_iter().find(|peer| peer.name == "p").unwrap();
    let long = peer.scripts.long.into_iter();
    long.filter_map(|it| Some((it.pid?, it.limit?, it.survives?)))
        .collect()
}

#[test]
fn a_script_that_cannot_be_ended_is_told_at_once_and_its_helper_is_not_to_blame() {
    let (mut rig, run) = with_peer(&limited());
    let run = run.unwrap();
    starts(&mut rig, run, 7);
    rig.observe();
    rig.wait(Duration::from_secs(14));
    let since = rig.now.before(Duration::from_secs(2));
    let survives = FromScripts::Survives { run, since };
    rig.scripts_say(survives.clone());
    let ifup = |seconds| (7, 10, seconds);
    assert_eq!(surviving(&mut rig), [ifup(2)]);
    rig.wait(Duration::from_secs(60));
    let (service, _) = status(&mut rig);
    assert_eq!(service.scripts.helper.silent, None);
    assert_eq!(rig.restarts, []);
    // The next helper repeats it.
    let child = Some(Child {
        pid: 7,
        start_time: 0,
    });
    let known = UnderWay {
        run,
        peer: "p".to_owned(),
        kind: ScriptKind::Ifup,
        child,
        limit: Some(10),
    };
    rig.scripts_go();
    rig.scripts_come_with(vec![known.clone()]);
    rig.scripts_say(survives.clone());
    assert_eq!(surviving(&mut rig), [ifup(62)]);
    let event = EventKind::Survives {
        script: ScriptKind::Ifup,
        pid: Some(7),
    };
    let told = rig.events.iter().filter(|it| it.kind == event);
    assert_eq!(told.count(), 1);
    ends(&mut rig, run, Ended::TimedOut);
    assert_eq!(surviving(&mut rig), []);
    rig.scripts_say(survives.clone());
    assert_eq!(surviving(&mut rig), []);
    // So does it to the next core.
    let mut rig = Rig::joined(&[record("p", &limited())], &["p"]);
    rig.scripts_go();
    let run = RunId(1);
    rig.scripts_come_with(vec![UnderWay { run, ..known }]);
    let since = rig.now;
    rig.scripts_say(FromScripts::Survives { run, since });
    assert_eq!(surviving(&mut rig), [ifup(0)]);
}

#[test]
fn a_helper_that_does_not_say_what_became_of_a_script_after_its_limit_is_silent() {
    let (mut rig, run) = with_peer(&limited());
    starts(&mut rig, run.unwrap(), 7);
    rig.wait(Duration::from_secs(18));
    assert_eq!(rig.service().scripts.helper.silent, None);
    rig.wait(Duration::from_secs(2));
    assert!(rig.service().scripts.helper.silent.is_some());
}

#[test]
fn a_connect_command_may_stay_once_its_challenge_has_come() {
    let pairs = &[("peer", "INET 192.0.2.1 1"), ("connect", "ssh p")];
    let (mut rig, run) = with_peer(pairs);
    let run = run.unwrap();
    starts(&mut rig, run, 7);
    rig.wait(Duration::from_secs(61));
    assert_eq!(long(&mut rig), [(ScriptKind::Connect, Some(7), 61)]);
    let (stream, line) = (Stream::Stdout, "challenge00000000001".to_owned());
    rig.scripts_say(FromScripts::Output { run, stream, line });
    assert_eq!(long(&mut rig), []);
    // Core wants its end now.
    rig.request(
        1,
        1,
        Request::Submit {
            words: vec!["kick".into(), "p".into()],
        },
    );
    rig.answer_all();
    rig.wait(Duration::from_secs(1));
    let (kind, pid, _) = long(&mut rig)[0];
    assert_eq!((kind, pid), (ScriptKind::Connect, Some(7)));
}

#[test]
fn a_script_that_an_earlier_core_had_started_is_as_old_as_its_process() {
    let (mut rig, _) = with_peer(PAIRS);
    rig.wait(Duration::from_secs(500));
    let tick = rig.now.0 / 10_000_000;
    let child = Child {
        pid: 9,
        start_time: tick - 12_000,
    };
    let known = UnderWay {
        run: RunId(1),
        peer: "p".to_owned(),
        kind: ScriptKind::Ifdown,
        child: Some(child),
        limit: None,
    };
    rig.scripts_say(FromScripts::Resume(vec![known]));
    assert!(long(&mut rig).contains(&(ScriptKind::Ifdown, Some(9), 120)));
}
