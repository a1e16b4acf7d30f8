// SPDX-License-Identifier: GPL-3.0-or-later
//! What is shown of lookups of host names (key `re-resolve`).

use connect_ipc::control::{PeerDetail, PeerState, PeerStatus, Reply};
use connect_ipc::lookup::{LastLookup, LookupCounters, LookupResult, LookupStatus};
use insta::assert_snapshot;
use serde_json::json;

use crate::support::{Place, Result, Script, peer, rows, service};

/// A peer that does not answer, with this last lookup.
fn silent(name: &str, result: Option<LookupResult>) -> Result<PeerStatus> {
    let mut peer = peer(name, &[])?;
    (peer.state, peer.failures, peer.failed_checks) = (PeerState::Down, 2, 1);
    peer.connection.lookup = Some(Box::new(LookupStatus {
        host: format!("{name}.example.com"),
        pending: result.is_none(),
        pause: if result.is_none() { 60 } else { 48 },
        last: result.map(|result| LastLookup { ago: 12, result }),
    }));
    Ok(peer)
}

/// A peer for each thing that can come of a lookup, one whose name is being looked up for the first
/// time, one that answers since, and one whose name is not looked up.
fn peers() -> Result<Vec<PeerStatus>> {
    let address = || "INET 192.0.2.9 4070".to_owned();
    let mut answers = silent("judy", Some(LookupResult::Failed("no such host".into())))?;
    (answers.state, answers.failures, answers.failed_checks) = (PeerState::Up, 0, 0);
    Ok(vec![
        silent(
            "alice",
            Some(LookupResult::Failed("no answer within 10 s".into())),
        )?,
        silent("bob", Some(LookupResult::Same))?,
        silent("carol", Some(LookupResult::Moved(address())))?,
        silent("dave", Some(LookupResult::Waits(address())))?,
        silent("erin", Some(LookupResult::Taken(address())))?,
        silent("frank", Some(LookupResult::NotNeeded))?,
        silent("grace", None)?,
        answers,
        peer("mallory", &[1.5])?,
    ])
}

fn script() -> Result<Script> {
    let mut service = service()?;
    service.counters.lookups = LookupCounters {
        kept: 7,
        moved: 2,
        failed: 3,
    };
    Ok(Script::replies([
        Reply::Service(Box::new(service)),
        rows(peers()?),
        Reply::Done {},
    ]))
}

#[test]
fn status_of_peers_that_are_named_shows_the_last_lookup_and_when_the_next_one_may_come() -> Result {
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let names = "alice bob carol dave erin frank grace judy mallory";
    let shown = place.run(&format!("status --wide {names}"))?;
    core.asked()?;
    assert_snapshot!(shown);
    let core = place.core(script()?)?;
    let json: serde_json::Value = serde_json::from_str(&place.run("status --json alice")?.stdout)?;
    core.asked()?;
    assert_eq!(
        json["peers"][0]["lookup"],
        json!({
            "host": "alice.example.com",
            "last": { "ago": 12, "result": { "failed": "no answer within 10 s" } },
            "pending": false,
            "pause": 48,
        })
    );
    Ok(())
}

#[test]
fn the_table_of_all_says_only_what_keeps_a_peer_from_being_followed() -> Result {
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let shown = place.run("status --wide")?;
    core.asked()?;
    assert_snapshot!(shown);
    Ok(())
}

#[test]
fn info_shows_the_lookups_of_the_peer() -> Result {
    let place = Place::new()?;
    let detail = PeerDetail {
        schema: 1,
        status: Some(silent(
            "alice",
            Some(LookupResult::Failed("no answer within 10 s".into())),
        )?),
        record: None,
        scripts: Vec::new(),
        recent: Vec::new(),
        algorithms: Vec::new(),
        plan: None,
        oversize: None,
    };
    let core = place.core(Script::replies([Reply::Peer(Box::new(detail))]))?;
    let shown = place.run("info alice")?.stdout;
    core.asked()?;
    let line = shown.lines().find(|line| line.starts_with("  lookup"));
    assert_snapshot!(line.unwrap_or(&shown));
    Ok(())
}

#[test]
fn metrics_count_lookups_and_name_peers_whose_lookup_has_failed() -> Result {
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let shown = place.run("metrics")?.stdout;
    core.asked()?;
    let samples = shown.lines().filter(|line| line.contains("lookup"));
    assert_snapshot!(samples.collect::<Vec<_>>().join("\n"));
    Ok(())
}
