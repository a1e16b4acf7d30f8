// SPDX-License-Identifier: GPL-3.0-or-later
//! `status`.

use connect_ipc::control::{
    DatabaseOrigin, FailedScript, LaneStatus, LongScript, PeerState, PeerStatus, Reply, Request,
    ServerLink,
};
use connect_ipc::event::Removal;
use connect_ipc::knock::{KnockRefusal, RefusedKnock};
use connect_ipc::overdue::OverdueCause;
use connect_ipc::scripts::{ScriptFailure, ScriptKind};
use connect_ipc::write_fault::WriteFault;
use insta::assert_snapshot;
use serde_json::json;

use crate::support::{Place, Result, Script, peer, rows, service};

/// Peers in every state, in two messages.
fn peers() -> Result<Vec<Vec<PeerStatus>>> {
    let mut down = peer("hub", &[10.0, 30.0])?;
    down.statistics.record_loss();
    down.statistics.record_loss();
    (
        down.state,
        down.failures,
        down.failed_checks,
        down.next_ping_ms,
    ) = (PeerState::Down, 2, 1, None);
    let mut shaky = peer("carol", &[1500.0; 99])?;
    shaky.statistics.record_loss();
    (shaky.failures, shaky.address) = (1, Some("INET6 2001:db8::4:5 4070".into()));
    let mut unwatched = peer("zoe", &[])?;
    (unwatched.state, unwatched.wanted, unwatched.next_ping_ms) =
        (PeerState::Unwatched, false, None);
    let mut fresh = peer("dave", &[])?;
    (fresh.state, fresh.address, fresh.next_ping_ms) = (PeerState::Checking, None, None);
    Ok(vec![
        vec![peer("alice", &[1.25, 1.75])?, shaky],
        vec![fresh, down, unwatched],
    ])
}

fn healthy() -> Result<Script> {
    let replies = [Reply::Service(Box::new(service()?))]
        .into_iter()
        .chain(peers()?.into_iter().map(rows))
        .chain([Reply::Done {}]);
    Ok(Script::replies(replies))
}

#[test]
fn the_table_shows_every_peer_sorted() -> Result {
    let place = Place::new()?;
    let core = place.core(healthy()?)?;
    assert_snapshot!(place.run("status")?);
    assert_eq!(core.asked()?, Some(Request::Status {}));
    Ok(())
}

#[test]
fn without_a_command_the_state_is_shown_if_there_is_a_service() -> Result {
    let place = Place::new()?;
    let core = place.core(healthy()?)?;
    let status = place.run("status")?.to_string();
    core.asked()?;
    for words in ["", "list", "show"] {
        let core = place.core(healthy()?)?;
        assert_eq!(place.run(words)?.to_string(), status, "{words}");
        core.asked()?;
    }
    let none = place.run("")?;
    assert_eq!(none.code, Some(69));
    assert!(
        none.stderr.contains("no connect service is running here"),
        "{none}"
    );
    assert!(none.stderr.contains("`connect-cli --help' lists"), "{none}");
    assert!(!none.stderr.contains("\\n"), "{none}");
    Ok(())
}

#[test]
fn of_the_peers_that_are_named_those_that_are_known_are_shown() -> Result {
    let place = Place::new()?;
    let mut all = String::new();
    for arguments in ["status carol alice", "status nemo hub", "status nemo"] {
        let core = place.core(healthy()?)?;
        all += &place.run(arguments)?.to_string();
        core.asked()?;
    }
    assert_snapshot!(all);
    let core = place.core(healthy()?)?;
    let json: serde_json::Value = serde_json::from_str(&place.run("status --json hub")?.stdout)?;
    core.asked()?;
    assert_eq!(json["peers"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["peers"][0]["name"], "hub");
    Ok(())
}

#[test]
fn failed_scripts_stand_beside_the_state_and_are_counted_in_the_head() -> Result {
    let script = || -> Result<Script> {
        let failed = |kind, failure| FailedScript {
            kind,
            failure,
            ago: 7,
        };
        let (ifup, connect) = (ScriptKind::Ifup, ScriptKind::Connect);
        let mut ill = peer("alice", &[1.25])?;
        ill.scripts.failed = vec![failed(ifup, ScriptFailure::Exited(2))];
        let mut worse = peer("bob", &[])?;
        worse.scripts.failed = vec![
            failed(connect, ScriptFailure::TimedOut),
            failed(ifup, ScriptFailure::NotStarted),
        ];
        Ok(Script::replies([
            Reply::Service(Box::new(service()?)),
            rows(vec![ill, worse, peer("carol", &[1.5])?]),
            Reply::Done {},
        ]))
    };
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let text = place.run("status --wide")?;
    core.asked()?;
    assert_snapshot!(text);
    let core = place.core(script()?)?;
    let json = place.run("status --json")?;
    core.asked()?;
    let json: serde_json::Value = serde_json::from_str(&json.stdout)?;
    let wanted = serde_json::json!([{"kind": "ifup", "end": "exited", "code": 2, "ago": 7}]);
    assert_eq!(json["peers"][0]["failed-scripts"], wanted);
    assert_eq!(json["peers"][2]["failed-scripts"], serde_json::json!([]));
    Ok(())
}

#[test]
fn a_peer_that_is_added_or_checked_for_too_long_is_named_among_those_that_are_not_up() -> Result {
    let place = Place::new()?;
    let with = |name: &str, state, pending| -> Result<PeerStatus> {
        let mut peer = peer(name, &[])?;
        (peer.state, peer.age) = (state, 400);
        peer.connection.pending = pending;
        Ok(peer)
    };
    let core = place.core(Script::replies([
        Reply::Service(Box::new(service()?)),
        rows(vec![
            with("adding", PeerState::Adding, None)?,
            with("checking", PeerState::Checking, None)?,
            with("oslo", PeerState::Adding, Some(400))?,
            with("paris", PeerState::Checking, Some(500))?,
        ]),
        Reply::Done {},
    ]))?;
    let text = place.run("status")?;
    core.asked()?;
    let expected = "2 of the 4 peers that should be up are not: oslo adding for 6m40s, \
                    paris checking for 8m20s";
    assert!(text.stdout.contains(expected), "{text}");
    for (state, expected) in [
        (
            PeerState::Adding,
            "adding for 6m40s: the server has not added it yet",
        ),
        (
            PeerState::Checking,
            "checking for 6m40s: no check has ended yet",
        ),
    ] {
        let detail = serde_json::json!({
            "schema": 1, "status": with("oslo", state, Some(400))?, "record": null, "scripts": [],
        });
        let detail = serde_json::from_value(detail)?;
        let core = place.core(Script::replies([Reply::Peer(detail)]))?;
        let text = place.run("info oslo")?;
        core.asked()?;
        assert!(text.stdout.contains(expected), "{text}");
    }
    Ok(())
}

#[test]
fn scripts_that_take_long_stand_beside_the_state_and_are_counted_in_the_head() -> Result {
    let script = || -> Result<Script> {
        let long = |kind, pid, seconds| LongScript {
            kind,
            pid,
            seconds,
            limit: None,
            survives: None,
        };
        let (ifup, ifdown) = (ScriptKind::Ifup, ScriptKind::Ifdown);
        let mut stuck = peer("alice", &[1.25])?;
        let survives = LongScript {
            limit: Some(5),
            survives: Some(12),
            ..long(ScriptKind::Connect, Some(78), 20)
        };
        stuck.scripts.long = vec![long(ifup, Some(77), 240), long(ifdown, None, 100), survives];
        let mut failed = peer("bob", &[1.5])?;
        failed.scripts.failed = vec![FailedScript {
            kind: ifup,
            failure: ScriptFailure::Exited(2),
            ago: 7,
        }];
        Ok(Script::replies([
            Reply::Service(Box::new(service()?)),
            rows(vec![stuck, failed]),
            Reply::Done {},
        ]))
    };
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let text = place.run("status --wide")?;
    core.asked()?;
    assert_snapshot!(text);
    let core = place.core(script()?)?;
    let json = place.run("status --json")?;
    core.asked()?;
    let json: serde_json::Value = serde_json::from_str(&json.stdout)?;
    let wanted = serde_json::json!([
        {"kind": "ifup", "pid": 77, "seconds": 240, "limit": null, "survives": null},
        {"kind": "ifdown", "pid": null, "seconds": 100, "limit": null, "survives": null},
        {"kind": "connect", "pid": 78, "seconds": 20, "limit": 5, "survives": 12},
    ]);
    assert_eq!(json["peers"][0]["long-scripts"], wanted);
    Ok(())
}

#[test]
fn json_has_the_same_and_more() -> Result {
    let place = Place::new()?;
    let core = place.core(healthy()?)?;
    let outcome = place.run("status --json")?;
    core.asked()?;
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout)?;
    assert_eq!(json["schema"], 1);
    assert_eq!(json["peers"][3]["name"], "hub");
    assert_eq!(json["peers"][3]["down"], true);
    assert_snapshot!(outcome);
    Ok(())
}

#[test]
fn json_is_whole_for_any_number_of_peers_and_messages() -> Result {
    let place = Place::new()?;
    for names in [vec![], vec!["a"], vec!["a", "b"]] {
        let mut replies = vec![Reply::Service(Box::new(service()?)), rows(vec![])];
        for name in &names {
            replies.extend([rows(vec![peer(name, &[])?]), rows(vec![])]);
        }
        replies.push(Reply::Done {});
        let core = place.core(Script::replies(replies))?;
        let text = place.run("status --json")?.stdout;
        core.asked()?;
        let json: serde_json::Value = serde_json::from_str(&text)?;
        let told = json["peers"].as_array().ok_or("no list")?;
        assert!(told.iter().map(|peer| &peer["name"]).eq(&names), "{text}");
        let empty = text.contains("\n  \"peers\": []\n}\n");
        assert_eq!(empty, names.is_empty(), "{text}");
    }
    Ok(())
}

/// A peer that is not there.
fn away(name: &str, state: PeerState, wanted: bool) -> Result<PeerStatus> {
    let mut status = peer(name, &[])?;
    (status.state, status.wanted, status.next_ping_ms) = (state, wanted, None);
    (status.address, status.interface, status.age) = (None, None, 0);
    Ok(status)
}

#[test]
fn the_only_peer_that_should_be_up_is_named_if_it_is_not() -> Result {
    let place = Place::new()?;
    for (state, told) in [
        (PeerState::Down, "! hub should be up and is down\n"),
        (
            PeerState::Unknown,
            "! hub should be up and is not known to be up: unknown\n",
        ),
    ] {
        let hub = away("hub", state, true)?;
        let core = place.core(Script::replies([
            Reply::Service(Box::new(service()?)),
            rows(vec![hub]),
            Reply::Done {},
        ]))?;
        let shown = place.run("status")?.stdout;
        core.asked()?;
        assert!(shown.contains(told), "{shown}");
    }
    Ok(())
}

#[test]
fn a_peer_that_waits_for_a_retry_says_when_the_next_attempt_is() -> Result {
    let place = Place::new()?;
    let mut gone = away("paris", PeerState::Gone, true)?;
    gone.age = 300;
    gone.connection.removal = Some(Removal::Silence { pings: 3 });
    gone.connection.next_add_ms = Some(119_500);
    let script = || -> Result<Script> {
        Ok(Script::replies([
            Reply::Service(Box::new(service()?)),
            rows(vec![gone.clone()]),
            Reply::Done {},
        ]))
    };
    let core = place.core(script()?)?;
    let shown = place.run("status")?.stdout;
    core.asked()?;
    assert!(shown.contains("gone, retry in 2m"), "{shown}");
    let core = place.core(script()?)?;
    let json: serde_json::Value = serde_json::from_str(&place.run("status --json")?.stdout)?;
    core.asked()?;
    assert_eq!(json["peers"][0]["next-add-ms"], 119_500);
    Ok(())
}

#[test]
fn peers_that_are_not_there_are_shown_and_those_that_should_be_are_named() -> Result {
    let place = Place::new()?;
    let mut gone = away("paris", PeerState::Gone, true)?;
    (gone.address, gone.age) = (Some("INET 192.0.2.7 4070".into()), 300);
    gone.connection.removal = Some(Removal::Silence { pings: 3 });
    let mut killed = away("lyon", PeerState::Killed, false)?;
    killed.connection.removal = Some(Removal::Command);
    let mut peers = vec![
        gone,
        killed,
        away("nice", PeerState::Waiting, false)?,
        away("lille", PeerState::Absent, true)?,
        away("brest", PeerState::Absent, false)?,
        away("metz", PeerState::Adding, true)?,
    ];
    for number in 0..5 {
        peers.push(away(&format!("zz{number}"), PeerState::Gone, true)?);
    }
    let script = || -> Result<Script> {
        let replies = [
            Reply::Service(Box::new(service()?)),
            rows(peers.clone()),
            Reply::Done {},
        ];
        Ok(Script::replies(replies))
    };
    let core = place.core(script()?)?;
    assert_snapshot!(place.run("status")?);
    core.asked()?;
    let core = place.core(script()?)?;
    let json: serde_json::Value = serde_json::from_str(&place.run("status --json")?.stdout)?;
    core.asked()?;
    let paris = json["peers"]
        .as_array()
        .and_then(|peers| peers.iter().find(|peer| peer["name"] == "paris"))
        .ok_or("no paris")?;
    assert_eq!(paris["state"], "gone");
    assert_eq!(paris["wanted"], true);
    assert_eq!(paris["down"], false, "it is not at the server");
    assert_eq!(paris["age"], 300);
    assert_eq!(
        paris["removal"],
        serde_json::json!({"reason": "silence", "pings": 3})
    );
    Ok(())
}

#[test]
fn every_fault_of_the_service_is_told_with_its_remedy() -> Result {
    let place = Place::new()?;
    let mut status = service()?;
    status.server = ServerLink::Down;
    status.database.fault = Some("there is no peer database /etc/tripe/peers.cdb".into());
    status.database.origin = DatabaseOrigin::None;
    status.pinger.connected = false;
    status.scripts.helper.version = Some("1.9.0".into());
    let core = place.core(Script::replies([
        Reply::Service(Box::new(status)),
        Reply::Done {},
    ]))?;
    assert_snapshot!(place.run("status")?);
    core.asked()?;
    Ok(())
}

#[test]
fn what_is_suspended_is_shown_in_the_header() -> Result {
    let place = Place::new()?;
    let mut shown = String::new();
    for checks in [
        json!({"overdue": 45, "cause": "pinger-silent"}),
        json!({"overdue": 45, "cause": "server-silent", "server-silent": 50}),
        json!({"overdue": 45, "cause": "server-down"}),
        json!({"overdue": 45, "cause": "held-up"}),
        json!({}),
    ] {
        let mut status = service()?;
        status.checks = serde_json::from_value(checks)?;
        match status.checks.cause {
            Some(OverdueCause::PingerSilent) => status.pinger.silent = Some(44),
            Some(OverdueCause::ServerSilent) => status.scripts.helper.silent = Some(7),
            Some(OverdueCause::ServerDown) => status.server = ServerLink::Down,
            Some(_) => {}
            None => {
                let fault = "cannot write core.json: no storage space; make room".into();
                status.state_fault = Some(WriteFault { fault, seconds: 75 });
                status.counters.log_lines_lost = 410;
                status.refused_knock = Some(RefusedKnock {
                    peer: "gate".into(),
                    address: "INET 192.0.2.1 4070".into(),
                    reason: KnockRefusal::ActivePeer,
                    recorded_tag: None,
                    seconds: 12,
                });
                status.pinger.log_lines_lost = 2;
            }
        }
        let core = place.core(Script::replies([
            Reply::Service(Box::new(status)),
            Reply::Done {},
        ]))?;
        let outcome = place.run("status")?;
        let head = outcome.stdout.lines().take_while(|line| !line.is_empty());
        shown.extend(head.flat_map(|line| [line, "\n"]));
        core.asked()?;
    }
    assert_snapshot!(shown);
    Ok(())
}

#[test]
fn a_journal_that_is_not_written_and_scripts_that_wait_for_places_are_told() -> Result {
    let place = Place::new()?;
    let mut status = service()?;
    let fault = "no storage space; make room; until then scripts may run twice or never".into();
    status.scripts.journal_fault = Some(WriteFault { fault, seconds: 80 });
    let full = |full| LaneStatus {
        running: 64,
        waiting: 9,
        full: Some(full),
    };
    // A moment without a place is usual.
    status.scripts.lanes.interface = full(59);
    status.scripts.lanes.connection = full(125);
    let mut lost = peer("oslo", &[1.0])?;
    lost.scripts.failed = vec![FailedScript {
        kind: ScriptKind::Ifup,
        failure: ScriptFailure::Lost,
        ago: 7,
    }];
    status.counters.scripts.lost = 1;
    let replies = || {
        [
            Reply::Service(Box::new(status.clone())),
            rows(vec![lost.clone()]),
            Reply::Done {},
        ]
    };
    let core = place.core(Script::replies(replies()))?;
    assert_snapshot!(place.run("status")?);
    core.asked()?;
    let core = place.core(Script::replies(replies()))?;
    let json: serde_json::Value = serde_json::from_str(&place.run("status --json")?.stdout)?;
    core.asked()?;
    let service = &json["service"];
    let scripts = &service["scripts"];
    assert_eq!(scripts["journal-fault"]["seconds"], 80);
    assert_eq!(
        scripts["lanes"]["connection"],
        json!({"running": 64, "waiting": 9, "full": 125})
    );
    assert_eq!(service["counters"]["scripts"]["lost"], 1);
    Ok(())
}

#[test]
fn a_narrow_screen_cuts_and_wide_does_not() -> Result {
    let long = || -> Result<Script> {
        let mut long = peer("gateway-of-the-northern-branch-office", &[1.0])?;
        long.address = Some("INET6 2001:db8:1234:5678:9abc:def0:1234:5678 4070".into());
        let replies = [
            Reply::Service(Box::new(service()?)),
            rows(vec![long]),
            Reply::Done {},
        ];
        Ok(Script::replies(replies))
    };
    let place = Place::new()?;
    let core = place.core(long()?)?;
    let table = place.run("status")?.stdout;
    core.asked()?;
    let widest = table.lines().skip(1).map(|line| line.chars().count()).max();
    assert_eq!(widest, Some(80), "{table}");

    let core = place.core(long()?)?;
    let wide = place.run("status --wide")?.stdout;
    core.asked()?;
    assert_snapshot!(format!("{table}{wide}"));

    let core = place.core(long()?)?;
    let narrow = place.finish(place.command().arg("status").env("COLUMNS", "72"))?;
    core.asked()?;
    let mut lines = narrow.stdout.lines().skip(1);
    assert!(lines.all(|line| line.chars().count() <= 72), "{narrow}");
    Ok(())
}
