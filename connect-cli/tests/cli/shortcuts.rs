// SPDX-License-Identifier: GPL-3.0-or-later
//! The commands of the service that are commands of this program, too, and `kill`.

use connect_ipc::control::{PeerState, Reply, SCHEMA};
use insta::assert_snapshot;

use crate::support::{Place, Result, Script, peer};

#[test]
fn each_command_sends_the_service_the_command_of_its_name() -> Result {
    let place = Place::new()?;
    for (arguments, words) in [
        ("active alice", &["active", "alice"][..]),
        ("kick alice", &["kick", "alice"]),
        ("passive alice", &["passive", "--", "alice"]),
        (
            "passive --greeting-timeout 2m -- -odd",
            &["passive", "-timeout", "120", "--", "-odd"],
        ),
        ("sabotage alice", &["sabotage", "alice"]),
        ("userpeer alice", &["userpeer", "alice"]),
        ("adopted", &["adopted"]),
        ("list-active", &["list-active"]),
        ("quit", &["quit"]),
    ] {
        let core = place.core(Script::replies([
            Reply::Line(vec!["answer".into()]),
            Reply::Done {},
        ]))?;
        let outcome = place.run(arguments)?;
        assert_eq!(core.submitted()?, words, "{arguments}");
        assert_eq!(
            (outcome.code, &*outcome.stdout),
            (Some(0), "answer\n"),
            "{outcome}"
        );

        let failure = Reply::Failed(vec!["no".into(), "way".into()]);
        let core = place.core(Script::replies([failure]))?;
        let (name, rest) = arguments.split_once(' ').unwrap_or((arguments, ""));
        let outcome = place.run(&format!("{name} --json {rest}"))?;
        assert_eq!(core.submitted()?, words, "{arguments}");
        let json: serde_json::Value = serde_json::from_str(&outcome.stdout)?;
        assert_eq!(
            json["failure"],
            serde_json::json!(["no", "way"]),
            "{outcome}"
        );
        assert_eq!(outcome.code, Some(1), "{outcome}");
    }
    Ok(())
}

#[test]
fn kill_asks_the_server_itself() -> Result {
    let place = Place::new()?;
    let tripe = place.tripe(&[("KILL alice", "OK\n")])?;
    let good = place.run("kill alice")?;
    tripe.finish()?;
    std::fs::remove_file(place.path("tripesock"))?;
    let tripe = place.tripe(&[("KILL bob", "FAIL unknown-peer bob\n")])?;
    let bad = place.run("kill bob")?;
    tripe.finish()?;
    assert_snapshot!(format!("{good}{bad}"));
    Ok(())
}

#[test]
fn a_peer_named_like_an_option_is_killed_by_either_kind_of_server() -> Result {
    let with = [("KILL -- -quiet", "NOTE KILL -quiet\nOK\n")];
    let without = [
        ("KILL -- -quiet", "FAIL bad-syntax kill PEER\n"),
        ("KILL -quiet", "NOTE KILL -quiet\nOK\n"),
    ];
    for script in [&with[..], &without] {
        let place = Place::new()?;
        let tripe = place.tripe(script)?;
        let outcome = place.run("kill -- -quiet")?;
        tripe.finish()?;
        assert_eq!(outcome.code, Some(0), "{outcome}");
    }
    Ok(())
}

#[test]
fn a_peer_that_is_not_at_the_server_any_more_is_explained_when_it_is_to_be_removed() -> Result {
    for (state, next_add_ms, wanted) in [
        (
            PeerState::Gone,
            Some(4_000),
            "to stop that, remove when-dead or auto from its record",
        ),
        (
            PeerState::Gone,
            None,
            "it is gone, and the service does not add it again by itself",
        ),
        (
            PeerState::Killed,
            None,
            "it is killed, and the service does not add it again",
        ),
    ] {
        let mut status = peer("bob", &[])?;
        status.state = state;
        status.connection.next_add_ms = next_add_ms;
        let detail = serde_json::from_value(serde_json::json!({
            "schema": SCHEMA, "status": status, "record": null, "scripts": [], "recent": [],
        }))?;
        let place = Place::new()?;
        let tripe = place.tripe(&[("KILL bob", "FAIL unknown-peer bob\n")])?;
        let core = place.core(Script::replies([Reply::Peer(Box::new(detail))]))?;
        let outcome = place.run("down bob")?;
        tripe.finish()?;
        core.asked()?;
        assert_eq!(outcome.code, Some(1), "{outcome}");
        assert!(outcome.stderr.contains(wanted), "{outcome}");
        assert!(!outcome.stderr.contains("unknown-peer"), "{outcome}");
    }
    Ok(())
}
