// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual, "Operation": how adopted peers are pinged, and what follows.

use scenarios::{Expect as _, Outcome, Service, Site, SiteBuilder};
use tripe_lab::faults::{Chance, Refusal};
use tripe_lab::switches::QuietOption;

use crate::support::{
    ANSWERING, ANSWERING_TOO, assert_one_ping_at_a_time, barrier, commands, peer_status, pings,
    said,
};

/// A watched peer that answers, checked every second, with these further keys.
fn watched<'a>(further: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut pairs = vec![
        ("peer", ANSWERING),
        ("watch", "t"),
        ("every", "1s"),
        ("timeout", "1s"),
        ("retries", "3"),
    ];
    pairs.extend(further);
    pairs
}

fn site() -> anyhow::Result<SiteBuilder> {
    Ok(Site::new()?.with_answering_peers())
}

/// A site with one such peer, `p`, added.
fn one(further: &[(&str, &str)]) -> anyhow::Result<(Site, Service)> {
    let site = site()?.peer("p", &watched(further)).build()?;
    let service = site.connect(&[])?;
    site.submit("active p")?;
    Ok((site, service))
}

#[test]
fn adopted_peers_are_pinged_at_regular_intervals_with_ping() -> Outcome {
    let (site, _service) = one(&[])?;
    let mut events = site.lab.follow_from_start();
    pings(&mut events, "p", 3)?;
    assert!(commands(&site, "EPING").is_empty());
    assert!(
        said(&site, "WARN USER").is_empty(),
        "nothing is said of a live peer"
    );
    assert_one_ping_at_a_time(&site);
    Ok(())
}

#[test]
fn a_peer_that_is_not_adopted_is_not_pinged() -> Outcome {
    let site = site()?
        .peer("p", &watched(&[]))
        .peer("q", &[("peer", ANSWERING_TOO), ("every", "1s")])
        .build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active q")?;
    site.submit("active p")?;
    pings(&mut events, "p", 2)?;
    let all = commands(&site, "PING");
    assert!(all.iter().all(|line| line.ends_with(" p")), "{all:?}");
    Ok(())
}

#[test]
fn time_intervals_are_integers_with_d_h_m_s_or_nothing_for_seconds() -> Outcome {
    let table = [
        ("d", "2d", "172800"),
        ("h", "3h", "10800"),
        ("m", "4m", "240"),
        ("s", "5s", "5"),
        ("plain", "6", "6"),
    ];
    let mut site = site()?;
    for (name, time, _) in table {
        let pairs = [("watch", "t"), ("every", "1"), ("timeout", time)];
        site = site.peer(name, &pairs);
    }
    let site = site.build()?;
    for (number, (name, ..)) in (1..).zip(table) {
        site.admin_ok(&format!("ADD {name} INET 198.18.0.{number}"))?;
    }
    let _service = site.connect(&[])?;
    for (name, _, seconds) in table {
        let wanted = format!(" -timeout {seconds} {name}");
        let found = site.lab.wait_for("ping", |what| {
            matches!(what, tripe_lab::What::Command(_, line)
                if line.starts_with("PING") && line.ends_with(&format!(" {name}")))
        })?;
        assert!(
            found.what.to_string().ends_with(&wanted),
            "{} {wanted}",
            found.what
        );
    }
    Ok(())
}

#[test]
fn every_is_30_seconds_for_dynamic_peers_and_5_minutes_for_passive_ones() -> Outcome {
    let site = site()?
        .peer("connects", &[("watch", "t"), ("connect", "echo QUJD")])
        .peer("knocks", &[("watch", "t"), ("knock", "here")])
        .peer("passive", &[("watch", "t"), ("peer", "PASSIVE")])
        .peer("static", &[("watch", "t"), ("peer", ANSWERING)])
        .build()?;
    let service = site.connect(&[])?;
    for (number, (name, seconds)) in (1..).zip([
        ("connects", 30),
        ("knocks", 30),
        ("passive", 300),
        ("static", 120),
    ]) {
        site.admin_ok(&format!("ADD {name} INET 198.18.0.{number}"))?;
        barrier(&site)?;
        // A peer that was just added is first pinged after one interval. What is left of it tells
        // which interval it is, however long the answer took.
        let left = peer_status(&service, name)?["next-ping-ms"]
            .as_u64()
            .unwrap_or_default();
        let most = seconds * 1_000;
        assert!(
            (most / 2..=most).contains(&left),
            "{name}: {left} of {most}"
        );
    }
    Ok(())
}

#[test]
fn timeout_is_10_seconds_and_retries_is_5_by_default() -> Outcome {
    let site = site()?
        .peer("p", &[("peer", ANSWERING), ("watch", "t"), ("every", "1s")])
        .build()?;
    let _service = site.connect(&[])?;
    site.submit("active p")?;
    site.lab.silence_peer("p", true)?;
    let mut events = site.lab.follow_from_start();
    let ping = events.command_line("PING")?;
    assert!(ping.ends_with(" -timeout 10 p"), "{ping}");
    events.exactly("WARN USER connect ping-timeout p attempt 1 of 5")?;
    Ok(())
}

#[test]
fn a_value_that_cannot_be_used_is_logged_and_the_default_stands() -> Outcome {
    let site = site()?
        .peer("p", &watched(&[("timeout", "soon"), ("retries", "0")]))
        .build()?;
    let service = site.connect(&[])?;
    site.submit("active p")?;
    site.lab.silence_peer("p", true)?;
    let mut events = site.lab.follow_from_start();
    assert!(events.command_line("PING")?.ends_with(" -timeout 10 p"));
    events.exactly("WARN USER connect ping-timeout p attempt 1 of 5")?;
    service.wait_for_log("peer p has timeout")
}

#[test]
fn times_of_zero_are_a_second_each_and_logged() -> Outcome {
    let keys = ["every", "timeout", "backoff", "backoff-max"];
    let mut pairs = vec![("peer", ANSWERING), ("watch", "t"), ("retries", "1")];
    pairs.extend(keys.map(|key| (key, "0")));
    pairs.push(("knock", "here"));
    let site = site()?.peer("p", &pairs).build()?;
    let service = site.connect(&[])?;
    site.submit("active p")?;
    site.lab.silence_peer("p", true)?;
    let mut events = site.lab.follow_from_start();
    for _ in 0..2 {
        assert!(events.command_line("PING")?.ends_with(" -timeout 1 p"));
        events.exactly("WARN USER connect reconnecting p")?;
    }
    for key in keys {
        service.wait_for_log(&format!("peer p has {key}"))?;
    }
    service.wait_for_log("using the shortest time in place of the record's value")
}

#[test]
fn a_dead_peer_is_removed_even_if_its_name_looks_like_an_option() -> Outcome {
    for reading in [QuietOption::Refused, QuietOption::Accepted] {
        let site = site()?
            .lab(|config| config.switches.quiet_option = reading)
            .peer("-quiet", &watched(&[("retries", "1")]))
            .build()?;
        let _service = site.connect(&[])?;
        site.submit("active -quiet")?;
        site.lab.silence_peer("-quiet", true)?;
        let mut events = site.lab.follow_from_start();
        events.exactly("WARN USER connect ping-timeout -quiet attempt 1 of 1")?;
        events.broadcast("NOTE KILL -quiet")?;
    }
    Ok(())
}

#[test]
fn up_to_retries_pings_are_sent_and_then_a_peer_with_connect_is_reconnected() -> Outcome {
    let (site, _service) = one(&[("connect", "echo QUJD")])?;
    site.lab.wait_for_command("GREET p QUJD")?;
    let mut events = site.lab.follow();
    site.lab.silence_peer("p", true)?;
    for attempt in 1..=3 {
        pings(&mut events, "p", 1)?;
        let warning = format!("WARN USER connect ping-timeout p attempt {attempt} of 3");
        events.exactly(&warning)?;
    }
    events.exactly("WARN USER connect reconnecting p")?;
    events.command("FORCEKX p")?;
    events.command("GREET p QUJD")?;
    assert!(commands(&site, "KILL").is_empty());
    assert_one_ping_at_a_time(&site);
    Ok(())
}

#[test]
fn a_peer_with_knock_is_reconnected_by_a_key_exchange() -> Outcome {
    let (site, _service) = one(&[("knock", "here")])?;
    let mut events = site.lab.follow();
    site.lab.silence_peer("p", true)?;
    events.exactly("WARN USER connect reconnecting p")?;
    events.command("FORCEKX p")?;
    events.broadcast("NOTE KXSTART p")?;
    assert!(commands(&site, "KILL").is_empty());
    Ok(())
}

#[test]
fn any_other_peer_is_killed() -> Outcome {
    let site = site()?
        .peer("static", &watched(&[("ifdown", "/bin/echo down")]))
        .peer("passive", &watched(&[("peer", "PASSIVE")]))
        .build()?;
    let _service = site.connect(&[])?;
    site.submit("active static")?;
    site.admin_ok(&format!("ADD passive {ANSWERING_TOO}"))?;
    for peer in ["static", "passive"] {
        site.lab.silence_peer(peer, true)?;
    }
    for peer in ["static", "passive"] {
        let mut events = site.lab.follow_from_start();
        events.exactly(&format!(
            "WARN USER connect ping-timeout {peer} attempt 3 of 3"
        ))?;
        events.command(&format!("KILL {peer}"))?;
        events.broadcast(&format!("NOTE KILL {peer}"))?;
    }
    site.lab.follow_from_start().stdout("ifdown static")?;
    assert_eq!(site.submit("adopted")?, [""; 0]);
    assert!(said(&site, "WARN USER connect reconnecting").is_empty());
    Ok(())
}

#[test]
fn a_reply_after_failed_attempts_is_told_and_the_peer_is_alive() -> Outcome {
    let (site, _service) = one(&[("retries", "100")])?;
    let mut events = site.lab.follow();
    site.lab.silence_peer("p", true)?;
    events.exactly("WARN USER connect ping-timeout p attempt 2 of 100")?;
    site.lab.silence_peer("p", false)?;
    events.exactly("WARN USER connect ping-ok p")?;
    // The batch is over: the next trouble begins with the first attempt again.
    pings(&mut events, "p", 1)?;
    site.lab.silence_peer("p", true)?;
    events.exactly("WARN USER connect ping-timeout p attempt 1 of 100")?;
    assert_one_ping_at_a_time(&site);
    Ok(())
}

#[test]
fn a_dead_peer_is_reconnected_again_and_again() -> Outcome {
    let (site, _service) = one(&[("knock", "here"), ("retries", "1")])?;
    let mut events = site.lab.follow();
    site.lab.silence_peer("p", true)?;
    for _ in 0..3 {
        events.exactly("WARN USER connect ping-timeout p attempt 1 of 1")?;
        events.exactly("WARN USER connect reconnecting p")?;
    }
    site.lab.silence_peer("p", false)?;
    events.exactly("WARN USER connect ping-ok p")?;
    Ok(())
}

#[test]
fn a_peer_whose_keys_are_agreed_again_is_looked_at_at_once() -> Outcome {
    // The pause after a failed check is an hour, so that only the key exchange can end it.
    let (site, _service) = one(&[("knock", "here"), ("retries", "1"), ("backoff", "1h")])?;
    let mut events = site.lab.follow();
    site.lab.silence_peer("p", true)?;
    events.exactly("WARN USER connect reconnecting p")?;
    site.lab.silence_peer("p", false)?;
    site.admin_ok("FORCEKX p")?;
    events.exactly("WARN USER connect ping-ok p")?;
    Ok(())
}

#[test]
fn a_ping_that_the_server_refuses_is_told_and_counts_as_an_attempt() -> Outcome {
    let (site, _service) = one(&[("knock", "here"), ("retries", "2")])?;
    let mut events = site.lab.follow();
    let mut refusal = Refusal::of("PING", "not-today");
    refusal.failure.push("because of this".to_owned());
    refusal.times = Some(2);
    site.lab.refuse(refusal)?;
    for _ in 0..2 {
        events.exactly("NOTE USER connect ping-failed p not-today \"because of this\"")?;
    }
    events.exactly("WARN USER connect reconnecting p")?;
    pings(&mut events, "p", 1)?;
    events.exactly("WARN USER connect ping-ok p")?;
    assert!(said(&site, "WARN USER connect ping-timeout").is_empty());
    Ok(())
}

#[test]
fn a_peer_that_the_server_does_not_know_is_disowned() -> Outcome {
    let (site, _service) = one(&[])?;
    let mut events = site.lab.follow();
    let mut refusal = Refusal::of("PING", "unknown-peer");
    refusal.failure.push("p".to_owned());
    site.lab.refuse(refusal)?;
    events.exactly("NOTE USER connect ping-failed p unknown-peer p")?;
    assert_eq!(site.submit("adopted")?, [""; 0]);
    Ok(())
}

#[test]
fn encrypted_pings_are_sent_where_the_record_says_so() -> Outcome {
    let (site, _service) = one(&[("ping", "encrypted")])?;
    let mut events = site.lab.follow_from_start();
    events.command("EPING -background")?;
    assert!(commands(&site, "PING").is_empty());
    Ok(())
}

#[test]
fn encrypted_pings_without_keys_fail_and_are_told() -> Outcome {
    let site = site()?
        .peer(
            "p",
            &watched(&[
                ("cork", "t"),
                ("ping", "encrypted"),
                ("peer", "INET 127.0.0.1 9"),
            ]),
        )
        .build()?;
    let service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    events.exactly("NOTE USER connect ping-failed p ping-send-failed")?;
    service.wait_for_log("WARN ping-failed p ping-send-failed")?;
    Ok(())
}

#[test]
fn a_ping_under_way_when_its_peer_is_removed_is_not_credited_to_the_next_one() -> Outcome {
    let (site, _service) = one(&[("timeout", "60s")])?;
    let mut events = site.lab.follow();
    site.lab.silence_peer("p", true)?;
    pings(&mut events, "p", 1)?;
    // Whoever is added under that name is another peer.
    site.admin_ok("KILL p")?;
    site.admin_ok(&format!("ADD p {ANSWERING_TOO}"))?;
    barrier(&site)?;
    assert_eq!(site.info("p", "n-ping")?, "0");
    assert_eq!(site.info("p", "state")?, "idle");
    pings(&mut events, "p", 2)?;
    assert!(said(&site, "WARN USER connect ping").is_empty());
    assert_one_ping_at_a_time(&site);
    Ok(())
}

#[test]
fn there_are_never_two_pings_of_one_peer_under_way() -> Outcome {
    let site = site()?
        .lab(|config| {
            // Half of the pings are lost on the way out, over real sockets.
            config.faults.net.loss = Chance::percent(50);
        })
        .peer(
            "real",
            &watched(&[("knock", "here"), ("peer", "INET 127.0.0.1 9")]),
        )
        .peer("p", &watched(&[("knock", "here")]))
        .build()?;
    let mut service = site.connect(&[])?;
    site.submit("active real")?;
    site.submit("active p")?;
    let mut events = site.lab.follow();
    events.exactly("WARN USER connect reconnecting real")?;
    for command in ["sabotage p", "kick p", "sabotage real", "kick real"] {
        site.submit(command)?;
    }
    service.kill_helper("pinger")?;
    site.submit("sabotage p")?;
    events.exactly("WARN USER connect reconnecting p")?;
    events.exactly("WARN USER connect reconnecting real")?;
    assert_one_ping_at_a_time(&site);
    Ok(())
}
