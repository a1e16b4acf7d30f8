// SPDX-License-Identifier: GPL-3.0-or-later
//! `events`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use connect_ipc::changes::ChangeCounts;
use connect_ipc::control::{PeerRows, Reply, Request};
use connect_ipc::event::{DownReason, EventKind, EventName, Removal, UpReason};
use connect_ipc::event_filter::{EventFilter, EventKinds};
use connect_ipc::hello::Role;
use connect_ipc::knock::KnockRefusal;
use connect_ipc::overdue::OverdueCause;
use connect_ipc::scripts::{Ended, ScriptKind, Stream};
use connect_ipc::setup::Lane;
use insta::assert_snapshot;

use crate::support::{Place, Result, Script, Step, event, interrupt, peer, rows, service};

fn snapshot() -> Result<Vec<Reply>> {
    let (mut service, mut list) = (service()?, vec![peer("alice", &[1.5])?]);
    let seq = 40;
    service.seq = seq;
    list.push(peer("bob", &[])?);
    Ok(vec![
        Reply::Service(Box::new(service)),
        Reply::Peers(PeerRows { seq, list }),
        Reply::Live { seq },
    ])
}

/// Every kind of event, and a gap.
fn events() -> Vec<Reply> {
    let alice = |seq, kind| event(seq, Some("alice"), kind);
    let address = || "INET 192.0.2.9 4070".to_owned();
    vec![
        alice(
            41,
            EventKind::Added {
                address: address(),
                interface: "tripe0".into(),
            },
        ),
        alice(42, EventKind::Adopted {}),
        alice(43, EventKind::Keys {}),
        alice(44, EventKind::Moved { address: address() }),
        alice(
            44,
            EventKind::NewAddress {
                from: address(),
                to: "INET 192.0.2.10 4070".into(),
            },
        ),
        alice(
            44,
            EventKind::LookupFailed {
                host: "alice.example".into(),
                error: "no such host".into(),
            },
        ),
        alice(45, EventKind::Reply { millis: 1.26 }),
        alice(46, EventKind::Missed { attempt: 1, of: 5 }),
        alice(
            47,
            EventKind::Failed {
                error: vec!["ping-send-failed".into(), "no route".into()],
            },
        ),
        alice(48, EventKind::Recovered { failures: 2 }),
        alice(
            49,
            EventKind::Unreachable {
                failed_checks: 2,
                next_ms: Some(60_000),
            },
        ),
        alice(50, EventKind::Reconnecting {}),
        event(
            51,
            Some("gw"),
            EventKind::Knock {
                address: address(),
                refused: None,
            },
        ),
        event(
            51,
            Some("gx"),
            EventKind::Knock {
                address: address(),
                refused: Some(KnockRefusal::UnknownPeer),
            },
        ),
        alice(
            52,
            EventKind::Started {
                script: ScriptKind::Connect,
                pid: 4711,
            },
        ),
        alice(
            53,
            EventKind::Output {
                script: ScriptKind::Connect,
                stream: Stream::Stderr,
                line: "odd \x1b[2J".into(),
            },
        ),
        alice(
            54,
            EventKind::Ended {
                script: ScriptKind::Connect,
                end: Ended::Exited(3),
            },
        ),
        Reply::Dropped { events: 7 },
        event(
            62,
            None,
            EventKind::Database {
                peers: 1,
                waiting: ChangeCounts::default(),
            },
        ),
        event(
            63,
            None,
            EventKind::DatabaseFault {
                fault: "it is damaged".into(),
            },
        ),
        event(64, None, EventKind::Lost {}),
        event(65, None, EventKind::Joined {}),
        event(
            65,
            None,
            EventKind::HelperDisconnected {
                helper: Role::Ifscripts,
            },
        ),
        event(
            65,
            None,
            EventKind::HelperConnected {
                helper: Role::Ifscripts,
                pid: Some(4711),
            },
        ),
        event(
            65,
            None,
            EventKind::ChecksOverdue {
                cause: OverdueCause::ServerSilent,
                seconds: 5,
            },
        ),
        event(65, None, EventKind::ChecksResumed { seconds: 75 }),
        event(65, None, EventKind::ScriptsOverdue { seconds: 6 }),
        event(65, None, EventKind::ScriptsResumed { seconds: 75 }),
        event(
            65,
            None,
            EventKind::StateFault {
                fault: "cannot write core.json: no storage space".into(),
            },
        ),
        event(65, None, EventKind::StateSaved { seconds: 70 }),
        event(
            65,
            None,
            EventKind::JournalFault {
                fault: "cannot write runs: no storage space".into(),
            },
        ),
        event(65, None, EventKind::JournalKept { seconds: 70 }),
        event(
            65,
            None,
            EventKind::PlacesFull {
                lane: Lane::Connection,
                seconds: 60,
            },
        ),
        event(
            65,
            None,
            EventKind::PlacesFree {
                lane: Lane::Interface,
                seconds: 75,
            },
        ),
        event(
            65,
            Some("alice"),
            EventKind::Survives {
                script: ScriptKind::Ifup,
                pid: Some(200),
            },
        ),
        event(
            67,
            None,
            EventKind::Command {
                words: vec!["kick".into(), "alice".into()],
                by: "uid 1000".into(),
            },
        ),
        alice(68, EventKind::Disowned {}),
        alice(69, EventKind::Removed(Removal::Command)),
        alice(70, EventKind::Removed(Removal::Silence { pings: 3 })),
        alice(71, EventKind::Back { away: 300 }),
        alice(
            72,
            EventKind::Up {
                reason: UpReason::FirstReply,
            },
        ),
        alice(
            73,
            EventKind::Down {
                reason: DownReason::Unreachable,
            },
        ),
    ]
}

/// The state, every kind of event, and the end of the service.
fn script() -> Result<Script> {
    let replies = snapshot()?.into_iter().chain(events());
    Ok(Script::steps(replies.map(Step::Reply).chain([Step::Close])))
}

#[test]
fn the_state_comes_first_and_then_every_event() -> Result {
    let place = Place::new()?;
    let core = place.core(script()?)?;
    assert_snapshot!(place.run("events")?);
    assert_eq!(core.asked()?, Some(Request::Events(EventFilter::default())));
    Ok(())
}

#[test]
fn json_is_an_object_a_line_each_with_schema_and_number() -> Result {
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let outcome = place.run("events --json")?;
    core.asked()?;
    let mut last = 0;
    for line in outcome.stdout.lines() {
        let json: serde_json::Value = serde_json::from_str(line)?;
        assert_eq!(json["schema"], 1, "{line}");
        let seq = json["seq"].as_u64().ok_or("no number")?;
        assert!(seq >= last, "{line}");
        last = seq;
    }
    assert_snapshot!(outcome);
    Ok(())
}

#[test]
fn events_between_rows_wait_and_come_after_the_table() -> Result {
    let script = || -> Result<Script> {
        let mut replies = snapshot()?;
        replies.insert(2, event(41, Some("alice"), EventKind::Keys {}));
        replies.insert(3, Reply::Dropped { events: 2 });
        replies.insert(4, rows(vec![peer("carol", &[])?]));
        replies.push(event(44, Some("carol"), EventKind::Keys {}));
        let steps = replies.into_iter().map(Step::Reply);
        Ok(Script::steps(steps.chain([Step::Close])))
    };
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let told = place.run("events")?.stdout;
    core.asked()?;
    let at = |text: &str| {
        told.find(text)
            .ok_or_else(|| format!("no {text} in {told}"))
    };
    let places = [
        at("\ncarol ")?,
        at("alice         keys agreed")?,
        at("! 2 events left out here")?,
        at("carol         keys agreed")?,
    ];
    assert!(places.is_sorted(), "{told}");
    // An object a line may stand where it came.
    let core = place.core(script()?)?;
    let told = place.run("events --json")?.stdout;
    core.asked()?;
    let kinds = told.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line)?;
        Ok(line["what"].as_str().unwrap_or_default().to_owned())
    });
    let kinds = kinds.collect::<Result<Vec<_>>>()?.join(" ");
    assert_eq!(kinds, "service peer peer event dropped peer live event");
    Ok(())
}

#[test]
fn filters_are_passed_on() -> Result {
    let place = Place::new()?;
    let core = place.core_on("observe.sock", 0o600, script()?)?;
    place.run(
        "events --control observe.sock --json --peer alice --peer carol --kind reply --kind lost",
    )?;
    let Some(Request::Events(filter)) = core.asked()? else {
        return Err("asked for something else".into());
    };
    assert_eq!(filter.peers.sorted(), ["alice", "carol"]);
    let kinds = EventKinds::from_iter([EventName::Reply, EventName::Lost]);
    assert_eq!(filter.kinds, kinds);
    let wrong = place.run("events --kind replies")?;
    assert_eq!(wrong.code, Some(2), "{wrong}");
    Ok(())
}

#[test]
fn a_peer_that_is_not_known_is_told_at_once() -> Result {
    let place = Place::new()?;
    for line in [
        "events --peer alice --peer nemo",
        "log --peer alice --peer nemo --no-snapshot",
    ] {
        let mut replies = snapshot()?;
        replies.push(event(41, Some("alice"), EventKind::Keys {}));
        let steps = replies.into_iter().map(Step::Reply);
        let core = place.core(Script::steps(steps.chain([Step::Close])))?;
        let outcome = place.run(line)?;
        let Some(Request::Events(filter)) = core.asked()? else {
            return Err("asked for something else".into());
        };
        assert!(filter.state);
        assert!(
            outcome.stderr.contains("should have a peer nemo"),
            "{outcome}"
        );
        assert!(!outcome.stderr.contains("a peer alice"), "{outcome}");
        assert!(
            outcome.stdout.contains("alice         keys agreed"),
            "{outcome}"
        );
        assert_eq!(
            outcome.stdout.contains("PEER"),
            !line.contains("--no-snapshot")
        );
    }
    Ok(())
}

#[test]
fn a_peer_that_is_not_known_does_not_mean_that_there_are_no_peers() -> Result {
    let place = Place::new()?;
    // As core answers, which has peers of other names.
    let mut replies = snapshot()?;
    replies.remove(1);
    let steps = replies.into_iter().map(Step::Reply);
    let core = place.core(Script::steps(steps.chain([Step::Close])))?;
    let outcome = place.run("events --peer nemo")?;
    core.asked()?;
    assert!(outcome.stdout.starts_with("connect 2.0.0, up"), "{outcome}");
    assert!(!outcome.stdout.contains("no peers"), "{outcome}");
    Ok(())
}

/// A core that has kept events, and is asked for a peer that it does not know.
fn kept(unknown: Option<&str>) -> Result<Script> {
    let events = events().into_iter().filter_map(|reply| match reply {
        Reply::Event(event) => Some(event),
        _ => None,
    });
    let kept =
        events.filter(|event| !matches!(event.kind.name(), EventName::Reply | EventName::Output));
    let recent = Step::Reply(Reply::Recent(kept.collect()));
    let asked = unknown.map(|peer| {
        let peer = peer.to_owned();
        let words = vec!["unknown-peer".to_owned(), peer.clone()];
        [
            Step::Next(Request::Info { peer }),
            Step::Reply(Reply::Failed(words)),
        ]
    });
    Ok(Script::steps(
        std::iter::once(recent).chain(asked.into_iter().flatten()),
    ))
}

#[test]
fn the_recent_events_are_printed_and_that_is_all() -> Result {
    let place = Place::new()?;
    for (line, count) in [
        ("events --recent", 39),
        ("events --recent --json", 39),
        ("log --recent --kind up --kind down --peer alice", 2),
        ("events --recent --no-snapshot --kind keys --json", 1),
    ] {
        let core = place.core(kept(None)?)?;
        let outcome = place.run(line)?;
        assert_eq!(core.asked()?, Some(Request::Recent {}));
        assert_eq!(outcome.code, Some(0), "{line}: {outcome}");
        assert_eq!(outcome.stdout.lines().count(), count, "{line}: {outcome}");
        assert_eq!(outcome.stderr, "", "{line}");
        let is_event = |line: &str| {
            serde_json::from_str::<serde_json::Value>(line)
                .is_ok_and(|line| line["what"] == "event" && line["schema"] == 1)
        };
        if line.contains("--json") {
            assert!(outcome.stdout.lines().all(is_event), "{outcome}");
        }
    }
    Ok(())
}

#[test]
fn what_is_not_among_the_recent_events_is_told() -> Result {
    let place = Place::new()?;
    let core = place.core(kept(Some("nemo"))?)?;
    let outcome = place.run("events --recent --peer alice --peer nemo --kind reply --kind up")?;
    core.asked()?;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
    let said = &outcome.stderr;
    assert!(said.contains("of the kind reply are not kept"), "{outcome}");
    assert!(said.contains("should have a peer nemo"), "{outcome}");
    assert!(!said.contains("a peer alice"), "{outcome}");
    let core = place.core(kept(None)?)?;
    let none = place.run("events --recent --kind output")?;
    core.asked()?;
    assert!(none.stderr.contains("no such event"), "{none}");
    Ok(())
}

#[test]
fn a_time_that_is_given_ends_it_when_nothing_happens() -> Result {
    let place = Place::new()?;
    let core = place.core(Script::replies(snapshot()?))?;
    let outcome = place.run("events --timeout 1")?;
    core.asked()?;
    assert_eq!(outcome.code, Some(124), "{outcome}");
    assert!(outcome.stdout.contains("alice"), "{outcome}");
    assert!(
        outcome.stderr.contains("no event has come for 1 s"),
        "{outcome}"
    );
    Ok(())
}

#[test]
fn every_kind_can_be_asked_for() {
    let mut shown = Vec::new();
    for reply in events() {
        if let Reply::Event(event) = reply {
            shown.push(event.kind.name());
        }
    }
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown, EventName::ALL);
}

#[test]
fn an_interrupt_ends_it_quietly() -> Result {
    let place = Place::new()?;
    let replies = [Reply::Live { seq: 40 }, event(41, None, EventKind::Lost {})];
    let core = place.core(Script::replies(replies))?;
    let mut command = place.command();
    command.args(["events", "--no-snapshot"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    // Once the event is told, the command is waiting for the next.
    assert_eq!(
        lines.next().ok_or("nothing")??,
        "2023-11-14 22:14:01.123  -             the server cannot be reached"
    );
    interrupt(&child)?;
    assert_eq!(child.wait()?.code(), Some(0));
    let mut said = String::new();
    child
        .stderr
        .take()
        .ok_or("no errors")?
        .read_to_string(&mut said)?;
    assert_eq!(said, "");
    core.asked()?;
    Ok(())
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() -> Result {
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let outcome = place.finish(place.command().arg("events").stdout(writer))?;
    assert_eq!(outcome.to_string(), "exit code 0\n");
    // It may have had more to say than anybody heard.
    let _ = core.asked();
    Ok(())
}

#[test]
fn a_reader_that_leaves_ends_it_though_nothing_happens() -> Result {
    let place = Place::new()?;
    // Nothing is printed, so nothing fails to be printed.
    let _core = place.core(Script::replies([Reply::Live { seq: 40 }]))?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let mut command = place.command();
    let outcome = place.finish(command.args(["events", "--no-snapshot"]).stdout(writer))?;
    assert_eq!(outcome.to_string(), "exit code 0\n");

    let place = Place::new()?;
    let _core = place.core(Script::replies(snapshot()?))?;
    let mut command = place.command();
    let mut child = command.arg("events").stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    lines.next().ok_or("nothing")??;
    drop(lines);
    assert_eq!(child.wait()?.code(), Some(0));
    Ok(())
}
