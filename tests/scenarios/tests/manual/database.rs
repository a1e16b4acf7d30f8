// SPDX-License-Identifier: GPL-3.0-or-later
//! A peer database that changes while the service runs.

use peerdb::Record;
use scenarios::{Expect as _, Outcome, Service, Site};

use crate::support::{ANSWERING, ANSWERING_TOO, NOBODY, barrier, commands, pings, said};

/// A watched peer's record with these further keys.
fn record(name: &str, further: &[(&str, &str)]) -> Record {
    let mut pairs = vec![("peer", ANSWERING), ("watch", "t"), ("every", "1h")];
    for (key, value) in further {
        pairs.retain(|(known, _)| known != key);
        pairs.push((key, value));
    }
    Record::new(name, pairs)
}

/// A site with the peer `p` of such a record, added.
fn site_with(further: &[(&str, &str)]) -> anyhow::Result<(Site, Service)> {
    let site = Site::new()?
        .with_answering_peers()
        .without_database()
        .build()?;
    site.write_database(&[record("p", further)])?;
    let service = site.connect(&[])?;
    site.submit("active p")?;
    Ok((site, service))
}

/// Replaces the database and waits until it is loaded.
fn replace(site: &Site, records: &[Record]) -> Outcome {
    let mut events = site.lab.follow();
    site.write_database(records)?;
    events.exactly("NOTE USER connect peerdb-update")
}

#[test]
fn peerdb_update_tells_that_the_database_has_changed() -> Outcome {
    let (site, _service) = site_with(&[])?;
    assert!(
        said(&site, "NOTE USER connect peerdb-update").is_empty(),
        "not at the start"
    );
    replace(&site, &[record("p", &[])])?;
    replace(&site, &[])?;
    assert_eq!(said(&site, "NOTE USER connect peerdb-update").len(), 2);
    Ok(())
}

#[test]
fn commands_see_the_new_database_once_the_update_is_told() -> Outcome {
    let (site, _service) = site_with(&[])?;
    let user = "u";
    assert_eq!(
        site.submit_failing("userpeer u")?,
        format!("unknown-user {user}")
    );
    replace(&site, &[record("q", &[("peer", ANSWERING_TOO)])])?;
    assert_eq!(site.submit("list-active")?, ["q"]);
    assert_eq!(site.submit_failing("active p")?, "unknown-peer p");
    site.submit("active q")?;
    assert_eq!(site.admin_ok("ADDR q")?, [ANSWERING_TOO]);
    Ok(())
}

#[test]
fn a_waiting_peer_whose_every_shrinks_is_pinged_in_time() -> Outcome {
    let (site, _service) = site_with(&[])?;
    let mut events = site.lab.follow();
    replace(&site, &[record("p", &[("every", "1s")])])?;
    pings(&mut events, "p", 2)?;
    Ok(())
}

#[test]
fn a_shrunken_every_holds_even_if_the_pinger_is_lost_next() -> Outcome {
    let (site, mut service) = site_with(&[])?;
    let mut events = site.lab.follow();
    replace(&site, &[record("p", &[("every", "2s")])])?;
    service.kill_helper("pinger")?;
    pings(&mut events, "p", 2)?;
    Ok(())
}

#[test]
fn timeout_and_retries_take_effect_with_the_next_ping() -> Outcome {
    let (site, _service) = site_with(&[("every", "1s"), ("timeout", "2s")])?;
    let mut events = site.lab.follow();
    pings(&mut events, "p", 1)?;
    replace(
        &site,
        &[record(
            "p",
            &[("every", "1s"), ("timeout", "3s"), ("retries", "7")],
        )],
    )?;
    let ping = site.lab.follow().command_line("PING")?;
    assert!(ping.ends_with(" -timeout 3 p"), "{ping}");
    site.lab.silence_peer("p", true)?;
    events.exactly("WARN USER connect ping-timeout p attempt 1 of 7")?;
    Ok(())
}

#[test]
fn a_peer_that_is_no_longer_watched_is_dropped_and_else_left_alone() -> Outcome {
    let further = [("ifdown", "/bin/echo down"), ("disconnect", "echo bye")];
    let (site, _service) = site_with(&further)?;
    assert_eq!(site.submit("adopted")?, ["p"]);
    let mut unwatched = further.to_vec();
    unwatched.push(("watch", "nil"));
    replace(&site, &[record("p", &unwatched)])?;
    assert_eq!(site.submit("adopted")?, [""; 0]);
    assert_eq!(site.admin_ok("LIST")?, ["p"]);
    assert!(commands(&site, "KILL").is_empty());
    assert!(said(&site, "NOTE USER connect disconnect").is_empty());
    // It is still brought down when it goes. The two scripts do not wait for each other.
    let (mut connection, mut interface) = (site.lab.follow(), site.lab.follow());
    site.admin_ok("KILL p")?;
    connection.stdout("disconnect p")?;
    interface.stdout("ifdown p")?;
    Ok(())
}

#[test]
fn a_peer_that_is_removed_is_dropped_and_stays_with_the_server() -> Outcome {
    let (site, _service) = site_with(&[])?;
    replace(&site, &[])?;
    assert_eq!(site.submit("adopted")?, [""; 0]);
    assert_eq!(site.admin_ok("LIST")?, ["p"]);
    Ok(())
}

#[test]
fn a_newly_watched_peer_is_adopted_and_pinged_but_not_configured() -> Outcome {
    let further = [("watch", "nil"), ("every", "1s"), ("ifup", "/bin/echo up")];
    let (site, _service) = site_with(&further)?;
    site.lab.follow_from_start().stdout("ifup p")?;
    let mut events = site.lab.follow();
    replace(
        &site,
        &[record("p", &[("every", "1s"), ("ifup", "/bin/echo up")])],
    )?;
    assert_eq!(site.submit("adopted")?, ["p"]);
    pings(&mut events, "p", 2)?;
    assert_eq!(said(&site, "NOTE USER connect ifup").len(), 1);
    Ok(())
}

#[test]
fn unchanged_peers_are_not_disturbed() -> Outcome {
    let (site, mut service) = site_with(&[("every", "1s")])?;
    service.wait_for("two replies", || {
        let replies: u32 = site.info("p", "n-ping").ok()?.parse().ok()?;
        (replies >= 2).then_some(())
    })?;
    let before: u32 = site.info("p", "n-ping")?.parse()?;
    replace(&site, &[record("p", &[("every", "1s")]), record("q", &[])])?;
    let after: u32 = site.info("p", "n-ping")?.parse()?;
    assert!(after >= before, "{before} {after}");
    pings(&mut site.lab.follow(), "p", 1)?;
    let scripts_and_kills = commands(&site, "KILL").len() + commands(&site, "FORCEKX").len();
    assert_eq!(scripts_and_kills, 0);
    Ok(())
}

#[test]
fn what_happens_to_an_unreachable_peer_is_decided_by_its_present_record() -> Outcome {
    let keys = [("every", "1s"), ("timeout", "1s"), ("retries", "1")];
    let (site, _service) = site_with(&keys)?;
    let mut now = keys.to_vec();
    now.push(("knock", "here"));
    replace(&site, &[record("p", &now)])?;
    let mut events = site.lab.follow();
    site.lab.silence_peer("p", true)?;
    events.exactly("WARN USER connect reconnecting p")?;
    assert!(commands(&site, "KILL").is_empty());
    Ok(())
}

#[test]
fn a_file_that_is_lost_broken_or_cut_short_leaves_the_last_good_state_in_use() -> Outcome {
    let (site, service) = site_with(&[("every", "1s")])?;
    let good = std::fs::read(site.path("peers.cdb"))?;
    let put = |bytes: &[u8]| -> Outcome {
        std::fs::write(site.path("fresh"), bytes)?;
        std::fs::rename(site.path("fresh"), site.path("peers.cdb"))?;
        Ok(())
    };
    let mut events = site.lab.follow();
    std::fs::remove_file(site.path("peers.cdb"))?;
    events.line("WARN USER connect peerdb-error ")?;
    put(&[0xff; 4_096])?;
    events.line("WARN USER connect peerdb-error ")?;
    put(&good[..good.len() / 2])?;
    events.line("WARN USER connect peerdb-error ")?;
    assert_eq!(site.submit("adopted")?, ["p"]);
    assert_eq!(site.submit("list-active")?, ["p"]);
    pings(&mut site.lab.follow(), "p", 1)?;
    put(&good)?;
    events.exactly("NOTE USER connect peerdb-update")?;
    service.wait_for_log("keeping the database that was read before")?;
    service.wait_for_log("the database can be read again")
}

#[test]
fn a_database_that_comes_while_the_server_is_away_is_applied_when_it_is_back() -> Outcome {
    let (site, mut service) = site_with(&[])?;
    site.lab.crash();
    site.write_database(&[record("q", &[("peer", NOBODY)])])?;
    let control = service.control().to_owned();
    service.wait_for("the new database", || {
        let info = serde_json::json!({ "info": { "peer": "q" } });
        let replies = scenarios::request(&control, &info).ok()?;
        replies.last()?.get("peer").map(drop)
    })?;
    let mut events = site.lab.follow();
    site.lab.start()?;
    events.broadcast("NOTE SVCCLAIM connect")?;
    barrier(&site)?;
    assert_eq!(site.submit("list-active")?, ["q"]);
    Ok(())
}
