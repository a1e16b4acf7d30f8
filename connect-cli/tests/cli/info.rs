// SPDX-License-Identifier: GPL-3.0-or-later
//! `info`.

use connect_ipc::control::{PeerDetail, PeerState, PeerStatus, Reply, Request, SCHEMA};
use connect_ipc::event::Removal;
use connect_ipc::lookup::{LastLookup, LookupResult, LookupStatus};
use insta::assert_snapshot;
use serde_json::json;

use crate::support::{Place, Result, Script, peer};

fn detail() -> Result<PeerDetail> {
    let mut status = peer("alice", &[10.0, 12.0, 14.0])?;
    status.statistics.record_loss();
    (status.state, status.failures, status.failed_checks) = (PeerState::Down, 5, 1);
    let connection = &mut status.connection;
    (
        connection.changed,
        connection.reconnects,
        connection.last_reconnect,
    ) = (Some(100), 3, Some(7));
    Ok(serde_json::from_value(json!({
        "schema": SCHEMA,
        "status": status,
        "record": [
            ["every", "30s"],
            ["ifup", "/usr/sbin/tripe-ifup -v"],
            ["nets", "10.0.0.0/8\n10.1.0.0/16"],
        ],
        "scripts": [{"kind": "ifup", "pid": 4321}, {"kind": "connect", "pid": null}],
        "recent": [
            {"kind": "ifup", "end": {"exited": 0}, "ago": 900, "output": []},
            {"kind": "connect", "end": {"exited": 255}, "ago": 61, "output": ["no\u{1b}[1mroute"]},
            {"kind": "connect", "end": {"not-started": "no /bin/sh"}, "ago": 9, "output": []},
            {"kind": "connect", "end": "timed-out", "ago": 1, "output": []},
        ],
        "algorithms": [["cipher", "rijndael-counter"], ["hash", "sha256"]],
        "plan": {
            "every": 30, "timeout": 10, "retries": 5, "backoff": 30, "backoff-max": 120,
        },
    }))?)
}

fn script(detail: PeerDetail) -> Script {
    Script::replies([Reply::Peer(Box::new(detail))])
}

#[test]
fn a_peer_is_shown_in_full() -> Result {
    let place = Place::new()?;
    let core = place.core(script(detail()?))?;
    assert_snapshot!(place.run("info alice")?);
    let peer = "alice".to_owned();
    assert_eq!(core.asked()?, Some(Request::Info { peer }));
    Ok(())
}

#[test]
fn json_has_the_record_as_an_object() -> Result {
    let place = Place::new()?;
    let core = place.core(script(detail()?))?;
    assert_snapshot!(place.run("info alice --json")?);
    core.asked()?;
    Ok(())
}

#[test]
fn what_is_not_known_is_said_so() -> Result {
    let mut absent = detail()?;
    (absent.status, absent.plan) = (None, None);
    (absent.scripts, absent.recent) = (Vec::new(), Vec::new());
    absent.algorithms = Vec::new();
    let mut stranger = detail()?;
    (stranger.status, stranger.record) = (Some(peer("alice", &[])?), None);
    (stranger.scripts, stranger.recent) = (Vec::new(), Vec::new());
    stranger.algorithms = Vec::new();
    let place = Place::new()?;
    let core = place.core(script(absent))?;
    let absent = place.run("info alice")?;
    core.asked()?;
    let core = place.core(script(stranger))?;
    let unknown = place.run("info alice")?;
    core.asked()?;
    assert_snapshot!(format!("{absent}{unknown}"));
    Ok(())
}

#[test]
fn an_unknown_peer_is_a_failure() -> Result {
    let place = Place::new()?;
    let failure = vec!["unknown-peer".to_owned(), "bob".to_owned()];
    let core = place.core(Script::replies([Reply::Failed(failure)]))?;
    assert_snapshot!(place.run("info bob")?);
    core.asked()?;
    Ok(())
}

#[test]
fn an_unknown_peer_is_a_failure_in_json_too() -> Result {
    let place = Place::new()?;
    for command in ["info", "show", "ping"] {
        let failure = vec!["unknown-peer".to_owned(), "bob".to_owned()];
        let core = place.core(Script::replies([Reply::Failed(failure)]))?;
        let outcome = place.run(&format!("{command} bob --json"))?;
        core.asked()?;
        assert_eq!(outcome.code, Some(1), "{outcome}");
        assert!(outcome.stderr.contains("unknown-peer"), "{outcome}");
        let name = command.replace("show", "info");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&outcome.stdout)?,
            json!({
                "schema": 1,
                "command": [name, "bob"],
                "ok": false,
                "lines": [],
                "failure": ["unknown-peer", "bob"],
            })
        );
    }
    Ok(())
}

#[test]
fn a_peer_that_is_not_there_is_explained() -> Result {
    let place = Place::new()?;
    let mut shown = String::new();
    for (state, wanted, removal) in [
        (PeerState::Gone, true, Some(Removal::Silence { pings: 3 })),
        (PeerState::Gone, true, Some(Removal::Server)),
        (PeerState::Gone, true, Some(Removal::Replaced)),
        (PeerState::Killed, false, Some(Removal::Command)),
        (PeerState::Waiting, false, None),
        (PeerState::Absent, true, None),
        (PeerState::Absent, false, None),
        (PeerState::Adding, true, None),
    ] {
        let mut status = peer("paris", &[])?;
        (status.state, status.wanted, status.age) = (state, wanted, 300);
        status.connection.removal = removal;
        let detail = PeerDetail {
            status: Some(status),
            record: None,
            ..detail()?
        };
        let core = place.core(Script::replies([Reply::Peer(Box::new(detail))]))?;
        let outcome = place.run("info paris")?;
        core.asked()?;
        let lines = outcome.stdout.lines();
        for line in lines.take_while(|line| !line.is_empty()) {
            shown += line;
            shown.push('\n');
        }
    }
    assert_snapshot!(shown);
    Ok(())
}

/// What is shown of paris if this is its status.
fn shown(status: PeerStatus) -> Result<String> {
    let place = Place::new()?;
    let detail = PeerDetail {
        status: Some(status),
        ..detail()?
    };
    let core = place.core(script(detail))?;
    let shown = place.run("info paris")?.stdout;
    core.asked()?;
    Ok(shown)
}

#[test]
fn a_peer_whose_last_pings_were_lost_is_not_said_to_answer() -> Result {
    let mut status = peer("paris", &[1.0])?;
    status.state = PeerState::Up;
    status.failures = 2;
    status.statistics.record_loss();
    let wanted = "  state       up, but no answer to the last 2 pings";
    let shown = shown(status)?;
    let mut lines = shown.lines();
    let state = lines.find(|line| line.starts_with("  state"));
    assert_eq!(state, Some(wanted));
    Ok(())
}

#[test]
fn a_peer_that_has_always_answered_is_up_since_its_adoption() -> Result {
    let mut status = peer("paris", &[1.0])?;
    (status.state, status.age) = (PeerState::Up, 266_400);
    let shown = shown(status)?;
    assert!(
        shown.contains("  state       up, answering for 3d2h\n"),
        "{shown}"
    );
    Ok(())
}

#[test]
fn a_peer_without_keys_is_told_from_one_that_does_not_answer() -> Result {
    let mut status = peer("paris", &[])?;
    (status.state, status.failed_checks) = (PeerState::Down, 1);
    status.statistics.record_loss();
    status.connection.unsent = true;
    let shown = shown(status)?;
    let wanted = "  last ping   not sent: no keys are agreed with the other host; it does not know";
    assert!(shown.contains(wanted), "{shown}");
    Ok(())
}

#[test]
fn a_peer_that_waits_for_a_retry_has_its_state_in_words_that_follow_each_other() -> Result {
    let mut status = peer("paris", &[])?;
    (status.state, status.age) = (PeerState::Gone, 4);
    let connection = &mut status.connection;
    connection.removal = Some(Removal::Silence { pings: 2 });
    connection.next_add_ms = Some(900);
    connection.lookup = Some(Box::new(LookupStatus {
        host: "paris.example".into(),
        pending: false,
        last: Some(LastLookup {
            ago: 9,
            result: LookupResult::Failed("no answer within 10 s".into()),
        }),
        pause: 0,
    }));
    let shown = shown(status)?;
    let mut lines = shown.lines();
    let state = lines.find(|line| line.starts_with("  state"));
    assert_eq!(
        state,
        Some("  state       gone for 4s: no answer to 2 pings; retry in 1s; lookup failed")
    );
    let lookup = lines
        .find(|line| line.starts_with("  lookup"))
        .unwrap_or(&shown);
    let next = "; the next when the peer was added again and does not answer";
    assert!(lookup.ends_with(next), "{lookup}");
    Ok(())
}

#[test]
fn a_peer_that_cannot_be_added_says_why() -> Result {
    let mut status = peer("alice", &[])?;
    status.state = PeerState::Gone;
    status.connection.removal = Some(Removal::Server);
    let words = ["peer-create-fail", "alice"].map(str::to_owned);
    status.connection.add_failure = Some(words.to_vec());
    let shown = shown(status)?;
    let line = shown.lines().find(|line| line.contains("addition"));
    let line = line.unwrap_or(&shown);
    assert!(
        line.contains("failed: peer-create-fail alice: the server"),
        "{shown}"
    );
    Ok(())
}
