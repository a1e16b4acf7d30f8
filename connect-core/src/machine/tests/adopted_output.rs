// SPDX-License-Identifier: GPL-3.0-or-later
//! What scripts write whose helper was killed, and whom the next helper reads.

use connect_ipc::RunId;
use connect_ipc::control::{PeerDetail, Reply, Request};
use connect_ipc::scripts::{Child, Ended, FromScripts, ScriptKind, Stream, UnderWay};

use super::rig::{Rig, record};

const CHILD: Child = Child {
    pid: 7,
    start_time: 1,
};

/// A core whose peer `p` has this script under way.
fn under_way(script: (&str, &str)) -> (Rig, RunId) {
    let pairs = [("peer", "INET 192.0.2.1 1"), script];
    let mut rig = Rig::joined(&[record("p", &pairs)], &[]);
    rig.hear("NOTE ADD p tun0 INET 192.0.2.1 1");
    rig.answer_all();
    let run = rig.runs()[0].0;
    let child = CHILD;
    rig.scripts_say(FromScripts::Taken(run));
    rig.scripts_say(FromScripts::Started { run, child });
    rig.sent();
    (rig, run)
}

fn known(run: RunId, kind: ScriptKind) -> Vec<UnderWay> {
    vec![UnderWay {
        run,
        peer: "p".to_owned(),
        kind,
        child: Some(CHILD),
        limit: None,
    }]
}

fn says(rig: &mut Rig, run: RunId, stream: Stream, line: &str) {
    let line = line.to_owned();
    rig.scripts_say(FromScripts::Output { run, stream, line });
}

fn detail(rig: &mut Rig) -> PeerDetail {
    rig.request(9, 9, Request::Info { peer: "p".into() });
    match rig.answers.pop().unwrap().1.reply {
        Reply::Peer(detail) => *detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_next_helper_reads_is_told_before_the_end_and_after_it() {
    let (mut rig, run) = under_way(("ifup", "up"));
    rig.scripts_go();
    rig.scripts_come_with(known(run, ScriptKind::Ifup));
    rig.sent();
    says(&mut rig, run, Stream::Stdout, "well");
    says(&mut rig, run, Stream::Stderr, "ill");
    let end = Ended::Lost;
    rig.scripts_say(FromScripts::Ended { run, end });
    says(&mut rig, run, Stream::Stdout, "late");
    let sent = rig.sent();
    let told: Vec<&str> = sent
        .iter()
        .filter_map(|line| line.split_once("connect ifup p ").map(|(_, said)| said))
        .collect();
    assert_eq!(
        told,
        ["stdout well", "stderr ill", "exit-lost", "stdout late"]
    );
    assert_eq!(detail(&mut rig).recent[0].output, ["well", "ill"]);
    for stream in [Stream::Stdout, Stream::Stderr] {
        rig.scripts_say(FromScripts::Eof { run, stream });
    }
    says(&mut rig, run, Stream::Stdout, "of nobody");
    assert_eq!(rig.sent(), [""; 0]);
}

#[test]
fn a_line_that_is_no_challenge_is_output_if_the_challenge_may_have_been_lost() {
    let challenge = "QUFBQUFBQUFBQUFBQUFBQUFB";
    for (line, told) in [
        ("done", "NOTIFY connect connect p stdout done"),
        (challenge, "GREET p QUFBQUFBQUFBQUFBQUFBQUFB"),
    ] {
        let (mut rig, run) = under_way(("connect", "ssh p"));
        rig.scripts_go();
        rig.scripts_come_with(known(run, ScriptKind::Connect));
        rig.sent();
        says(&mut rig, run, Stream::Stdout, line);
        let sent = rig.sent();
        assert!(sent.iter().any(|sent| sent.ends_with(told)), "{sent:?}");
        assert_eq!(
            rig.secrets.contains(&challenge.to_owned()),
            line == challenge
        );
    }
}

#[test]
fn a_challenge_that_has_come_is_not_waited_for_from_the_next_helper() {
    let challenge = "QUFBQUFBQUFBQUFBQUFBQUFB";
    let (mut rig, run) = under_way(("connect", "ssh p"));
    says(&mut rig, run, Stream::Stdout, challenge);
    rig.answer_all();
    rig.scripts_go();
    rig.scripts_come_with(known(run, ScriptKind::Connect));
    rig.sent();
    says(&mut rig, run, Stream::Stdout, challenge);
    let sent = rig.sent();
    assert!(sent.iter().all(|line| !line.contains("GREET")), "{sent:?}");
    // It had an output to be read, but what it wrote on it before nobody knows.
    let end = Ended::Lost;
    rig.scripts_say(FromScripts::Ended { run, end });
    let stream = Stream::Stdout;
    rig.scripts_say(FromScripts::Eof { run, stream });
    let sent = rig.sent();
    assert!(
        sent.iter().all(|line| !line.contains("unexpected-eof")),
        "{sent:?}"
    );
}
