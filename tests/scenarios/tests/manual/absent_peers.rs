// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual, "Operation": a peer that is removed because it does not answer is still shown, and
//! so is every other that should be there and is not. What the states mean is in
//! docs/reference/sockets.md.

use std::io::BufReader;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use scenarios::manager::Parts;
use scenarios::{Expect as _, Outcome, Service, Site, SiteBuilder};
use serde_json::{Value, json};
use tripe_lab::config::NAME_WITHOUT_ANSWER;
use tripe_lab::faults::Refusal;

use crate::support::{
    ANSWERING, ANSWERING_TOO, barrier, caller, peer_status, pings, receive, said, send,
};

/// A watched peer at this address, found silent after two pings.
fn watched<'a>(address: &'a str, further: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut pairs = vec![
        ("peer", address),
        ("watch", "t"),
        ("every", "1s"),
        ("timeout", "1s"),
        ("retries", "2"),
    ];
    pairs.extend(further);
    pairs
}

fn site() -> anyhow::Result<SiteBuilder> {
    Ok(Site::new()?
        .with_answering_peers()
        .peer("paris", &watched(ANSWERING, &[])))
}

/// The state of a peer, and whether it is wanted.
fn state(service: &Service, name: &str) -> anyhow::Result<(String, bool)> {
    let status = peer_status(service, name)?;
    let state = status["state"].as_str().unwrap_or_default().to_owned();
    Ok((state, status["wanted"] == true))
}

fn is(state: &str, wanted: bool) -> (String, bool) {
    (state.to_owned(), wanted)
}

/// An observer of what happens to one peer.
struct Observer(BufReader<UnixStream>);

impl Observer {
    fn of(service: &Service, peer: &str) -> anyhow::Result<Self> {
        let mut caller = caller(service, "observe.sock")?;
        let hello = json!({"role": "operator", "protocol": 1, "version": "test"});
        let filter = json!({"peers": [peer], "kinds": ["unreachable", "removed", "back"]});
        let events = json!({"id": 1, "request": {"events": filter}});
        send(&mut caller, &format!("{hello}\n{events}"))?;
        while !receive(&mut caller)?.contains("\"live\"") {}
        Ok(Observer(caller))
    }

    /// The next event, with what it says.
    fn next(&mut self) -> anyhow::Result<Value> {
        let event: Value = serde_json::from_str(&receive(&mut self.0)?)?;
        Ok(event["reply"]["event"]["kind"].clone())
    }
}

#[test]
fn a_static_peer_killed_because_it_does_not_answer_is_gone_until_it_is_back() -> Outcome {
    let site = site()?.build()?;
    let service = site.connect(&[])?;
    assert_eq!(state(&service, "paris")?, is("absent", false));
    let mut observer = Observer::of(&service, "paris")?;
    let mut events = site.lab.follow();
    site.submit("active paris")?;
    pings(&mut events, "paris", 2)?;
    assert_eq!(state(&service, "paris")?, is("up", true));

    site.lab.silence_peer("paris", true)?;
    events.broadcast("NOTE KILL paris")?;
    barrier(&site)?;
    let unreachable = json!({"unreachable": {"failed-checks": 1, "next-ms": null}});
    assert_eq!(observer.next()?, unreachable);
    let removal = json!({"reason": "silence", "pings": 2});
    assert_eq!(observer.next()?, json!({"removed": removal}));
    let gone = peer_status(&service, "paris")?;
    assert_eq!(gone["state"], "gone");
    assert_eq!(gone["wanted"], true);
    assert_eq!(gone["connection"]["removal"], removal);
    assert_eq!(gone["next-ping-ms"], Value::Null);
    service.wait_for_log("removed paris: no answer to 2 pings")?;
    // What the manual says of the service itself stays.
    assert_eq!(site.submit("adopted")?, [""; 0]);
    assert_eq!(site.submit("list-active")?, ["paris"]);

    // The lab silences addresses, so it comes back at another.
    let mut events = site.lab.follow();
    site.admin_ok(&format!("ADD paris {ANSWERING_TOO}"))?;
    let back = observer.next()?;
    assert!(back["back"]["away"].is_u64(), "{back}");
    pings(&mut events, "paris", 2)?;
    assert_eq!(state(&service, "paris")?, is("up", true));
    Ok(())
}

#[test]
fn a_dead_peer_that_is_to_come_back_is_added_again_until_it_is_killed_by_hand() -> Outcome {
    // The pause leaves time to ask for the state meanwhile.
    let retry = [
        ("when-dead", "retry"),
        ("backoff", "5s"),
        ("backoff-max", "5s"),
    ];
    let site = Site::new()?
        .with_answering_peers()
        .peer("paris", &watched(ANSWERING, &retry))
        .auto("paris")
        .build()?;
    let service = site.connect(&["--startup"])?;
    let mut observer = Observer::of(&service, "paris")?;
    let mut events = site.lab.follow();
    pings(&mut events, "paris", 2)?;
    site.lab.silence_peer("paris", true)?;
    // The lab silences addresses, so it does not answer after it was added again either.
    for has_answered in [true, false] {
        assert!(observer.next()?["unreachable"].is_object());
        assert!(observer.next()?["removed"].is_object());
        let waiting = peer_status(&service, "paris")?;
        assert_eq!(waiting["state"], "gone");
        assert_eq!(waiting["wanted"], true);
        assert!(waiting["connection"]["next-add-ms"].is_u64(), "{waiting}");
        events.broadcast("NOTE ADD paris ")?;
        if has_answered {
            assert!(observer.next()?["back"].is_object());
        }
    }
    site.admin_ok("KILL paris")?;
    let killed = observer.next()?;
    assert_eq!(killed, json!({"removed": {"reason": "command"}}));
    let killed = peer_status(&service, "paris")?;
    assert_eq!(killed["state"], "killed");
    assert_eq!(killed["connection"]["next-add-ms"], Value::Null);
    Ok(())
}

#[test]
fn a_passive_peer_that_falls_silent_is_gone_until_it_comes_back() -> Outcome {
    let site = site()?
        .peer("branch", &watched("PASSIVE", &[]))
        .user("u", "branch")
        .build()?;
    let service = site.connect(&[])?;
    assert_eq!(state(&service, "branch")?, is("waiting", false));
    let mut events = site.lab.follow();
    site.admin_ok(&format!("ADD branch {ANSWERING_TOO}"))?;
    pings(&mut events, "branch", 2)?;
    site.lab.silence_peer("branch", true)?;
    events.broadcast("NOTE KILL branch")?;
    barrier(&site)?;
    assert_eq!(state(&service, "branch")?, is("gone", true));
    assert_eq!(peer_status(&service, "branch")?["address"], ANSWERING_TOO);
    // As a branch does whose address has changed.
    let mut events = site.lab.follow();
    site.admin_ok(&format!("ADD branch {ANSWERING}"))?;
    pings(&mut events, "branch", 2)?;
    assert_eq!(state(&service, "branch")?, is("up", true));
    Ok(())
}

#[test]
fn a_dynamic_peer_that_does_not_answer_is_down_and_checked_again() -> Outcome {
    let site = site()?
        .peer("dynamic", &watched(ANSWERING_TOO, &[("knock", "me")]))
        .build()?;
    let service = site.connect(&[])?;
    let mut observer = Observer::of(&service, "dynamic")?;
    site.submit("active dynamic")?;
    site.lab.silence_peer("dynamic", true)?;
    let unreachable = observer.next()?;
    assert!(
        unreachable["unreachable"]["next-ms"].is_u64(),
        "{unreachable}"
    );
    assert_eq!(state(&service, "dynamic")?, is("down", true));
    assert_eq!(said(&site, "NOTE KILL"), [""; 0]);
    Ok(())
}

#[test]
fn a_peer_removed_by_a_command_is_killed_and_not_wanted() -> Outcome {
    let site = site()?.build()?;
    let service = site.connect(&[])?;
    site.submit("active paris")?;
    let mut observer = Observer::of(&service, "paris")?;
    site.admin_ok("KILL paris")?;
    assert_eq!(observer.next()?, json!({"removed": {"reason": "command"}}));
    assert_eq!(state(&service, "paris")?, is("killed", false));
    Ok(())
}

#[test]
fn peers_that_never_came_are_waiting_absent_or_being_added() -> Outcome {
    let slow = format!("INET {NAME_WITHOUT_ANSWER} 4070");
    let site = site()?
        .peer("unwatched", &[("peer", ANSWERING_TOO)])
        .peer("passive", &[("peer", "PASSIVE")])
        .peer("slow", &watched(&slow, &[]))
        .peer("start-up", &[("peer", ANSWERING_TOO)])
        .auto("start-up")
        .build()?;
    site.lab.refuse(Refusal {
        words: vec!["start-up".to_owned()],
        ..Refusal::of("ADD", "peer-create-fail")
    })?;
    let mut events = site.lab.follow();
    let service = site.connect(&["--startup"])?;
    events.line("WARN USER connect auto-add-failed start-up")?;
    assert_eq!(state(&service, "start-up")?, is("absent", true));
    assert_eq!(state(&service, "passive")?, is("waiting", false));
    assert_eq!(state(&service, "paris")?, is("absent", false));
    let known = service.status()?;
    assert!(!format!("{known:?}").contains("unwatched"), "{known:?}");

    site.submit("active unwatched")?;
    assert_eq!(state(&service, "unwatched")?, is("unwatched", false));
    events.broadcast("NOTE ADD unwatched")?;
    let mut admin = site.admin()?;
    admin.send("SVCSUBMIT connect active slow")?;
    events.command_line("ADD ")?;
    assert_eq!(state(&service, "slow")?, is("adding", true));
    Ok(())
}

/// The service has found `paris` silent, and is started again with these options.
fn restarted(options: &[&str]) -> anyhow::Result<(Site, Parts)> {
    let site = site()?.build()?;
    let mut events = site.lab.follow();
    let mut parts = Parts::start(&site, options)?;
    site.submit("active paris")?;
    site.lab.silence_peer("paris", true)?;
    events.broadcast("NOTE KILL paris")?;
    barrier(&site)?;
    assert_eq!(state(&parts.core, "paris")?, is("gone", true));
    parts.restart_core(&site, Signal::TERM, options)?;
    Ok((site, parts))
}

#[test]
fn a_restarted_core_with_the_state_file_knows_who_is_gone() -> Outcome {
    let (site, parts) = restarted(&["--keep-state", "state"])?;
    let gone = peer_status(&parts.core, "paris")?;
    assert_eq!(gone["state"], "gone");
    assert_eq!(
        gone["connection"]["removal"],
        json!({"reason": "silence", "pings": 2})
    );
    site.submit("active paris")?;
    barrier(&site)?;
    assert_ne!(state(&parts.core, "paris")?, is("gone", true));
    Ok(())
}

#[test]
fn without_a_state_file_a_restarted_core_has_forgotten_it() -> Outcome {
    let (_site, parts) = restarted(&[])?;
    assert_eq!(state(&parts.core, "paris")?, is("absent", false));
    Ok(())
}
