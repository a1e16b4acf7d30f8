// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual, "Adoption", and the first paragraph of "Operation".

use scenarios::{Expect as _, Outcome, Site};

use crate::support::{ANSWERING, ANSWERING_TOO, NOBODY, barrier, commands, pings, said};

#[test]
fn a_peer_is_eligible_if_watch_is_one_of_the_true_values() -> Outcome {
    let values = [
        "t", "true", "y", "yes", "on", "1", "T", "TRUE", "Yes", "tr", "no", "off", "nil", "f", "",
    ];
    let mut site = Site::new()?.with_answering_peers();
    for (number, value) in (0..).zip(values) {
        site = site.peer(&format!("p{number:02}"), &[("watch", value)]);
    }
    let site = site.peer("silent", &[]).build()?;
    for number in 0..values.len() {
        site.admin_ok(&format!("ADD p{number:02} INET 198.18.1.{number}"))?;
    }
    site.admin_ok("ADD silent INET 198.18.2.1")?;
    site.admin_ok("ADD unrecorded INET 198.18.2.2")?;
    let _service = site.connect(&[])?;
    assert_eq!(site.submit("adopted")?, ["p00", "p01", "p02", "p03", "p04"]);
    Ok(())
}

#[test]
fn a_peer_that_anybody_adds_later_is_adopted() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("watch", "t")])
        .peer("q", &[])
        .build()?;
    let _service = site.connect(&[])?;
    site.admin_ok(&format!("ADD p {ANSWERING}"))?;
    site.admin_ok(&format!("ADD q {ANSWERING_TOO}"))?;
    assert_eq!(site.submit("adopted")?, ["p"]);
    Ok(())
}

#[test]
fn a_peer_that_is_removed_is_disowned() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("watch", "t")])
        .build()?;
    site.admin_ok(&format!("ADD p {ANSWERING}"))?;
    let _service = site.connect(&[])?;
    assert_eq!(site.submit("adopted")?, ["p"]);
    site.admin_ok("KILL p")?;
    assert_eq!(site.submit("adopted")?, [""; 0]);
    Ok(())
}

#[test]
fn on_startup_it_lists_the_peers_and_adopts_the_eligible() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("watch", "t"), ("every", "1s")])
        .build()?;
    site.admin_ok(&format!("ADD p {ANSWERING}"))?;
    let mut events = site.lab.follow();
    let _service = site.connect(&[])?;
    events.command("LIST")?;
    pings(&mut events, "p", 2)?;
    Ok(())
}

/// A site with a watched peer that has an interface script and a `connect` command, and is there
/// before the service.
fn occupied() -> anyhow::Result<Site> {
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "p",
            &[
                ("watch", "t"),
                ("ifup", "/bin/echo up"),
                ("connect", "echo QUJD"),
            ],
        )
        .peer("q", &[("ifup", "/bin/echo up")])
        .build()?;
    site.admin_ok(&format!("ADD p {ANSWERING}"))?;
    Ok(site)
}

#[test]
fn without_startup_adopted_peers_are_left_as_they_are() -> Outcome {
    let site = occupied()?;
    let _service = site.connect(&[])?;
    assert_eq!(site.submit("adopted")?, ["p"]);
    let mut events = site.lab.follow();
    site.admin_ok(&format!("ADD q {ANSWERING_TOO}"))?;
    events.stdout("ifup q")?;
    assert!(said(&site, "NOTE USER connect ifup p").is_empty());
    assert!(commands(&site, "GREET").is_empty());
    Ok(())
}

#[test]
fn with_startup_adopted_peers_are_configured_and_connected() -> Outcome {
    let site = occupied()?;
    let mut events = site.lab.follow();
    let _service = site.connect(&["--startup"])?;
    assert_eq!(events.stdout("ifup p")?, "up p tripe0 INET 198.18.0.1 4070");
    events.command("GREET p QUJD")?;
    assert_eq!(site.submit("adopted")?, ["p"]);
    Ok(())
}

#[test]
fn with_startup_the_peers_marked_for_it_are_added() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "one",
            &[
                ("peer", ANSWERING),
                ("watch", "t"),
                ("ifup", "/bin/echo up"),
            ],
        )
        .peer("two", &[("peer", ANSWERING_TOO)])
        .peer("three", &[("peer", NOBODY)])
        .auto("one")
        .auto("two")
        .build()?;
    let mut events = site.lab.follow();
    let _service = site.connect(&["--startup"])?;
    let mut added = [events.line("NOTE ADD ")?, events.line("NOTE ADD ")?]
        .map(|line| tripe_admin::split(&line)[2].clone());
    added.sort_unstable();
    assert_eq!(added, ["one", "two"]);
    // Nothing promises that it comes after the second peer.
    site.lab.follow_from_start().stdout("ifup one")?;
    assert_eq!(site.submit("adopted")?, ["one"]);
    assert_eq!(site.admin_ok("LIST")?.len(), 2);
    Ok(())
}

#[test]
fn without_startup_the_peers_marked_for_it_are_not_added() -> Outcome {
    let site = Site::new()?
        .peer("one", &[("peer", NOBODY)])
        .auto("one")
        .build()?;
    let _service = site.connect(&[])?;
    barrier(&site)?;
    assert!(commands(&site, "ADD").is_empty());
    Ok(())
}

#[test]
fn a_peer_marked_for_startup_that_is_there_already_is_not_disturbed() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("one", &[("peer", ANSWERING)])
        .peer("two", &[("peer", ANSWERING_TOO)])
        .auto("one")
        .auto("two")
        .build()?;
    site.admin_ok(&format!("ADD one {ANSWERING}"))?;
    let mut events = site.lab.follow();
    let _service = site.connect(&["--startup"])?;
    events.broadcast("NOTE ADD two ")?;
    assert!(commands(&site, "KILL").is_empty());
    Ok(())
}

#[test]
fn one_that_cannot_be_added_at_startup_is_warned_of_and_the_rest_go_on() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("a-bad", &[("peer", "INET no-such-host.example 4070")])
        .peer("b-passive", &[("peer", "PASSIVE")])
        .peer("c-empty", &[])
        .peer("e-good", &[("peer", ANSWERING)])
        .auto("a-bad")
        .auto("b-passive")
        .auto("c-empty")
        .auto("d-unknown")
        .auto("e-good")
        .build()?;
    let mut events = site.lab.follow();
    let _service = site.connect(&["--startup"])?;
    events.broadcast("NOTE ADD e-good ")?;
    for error in [
        "a-bad resolve-error no-such-host.example",
        "b-passive passive-peer b-passive",
        "c-empty malformed-peer c-empty missing-key peer",
        "d-unknown unknown-peer d-unknown",
    ] {
        let warning = format!("WARN USER connect auto-add-failed {error}");
        site.lab.follow_from_start().exactly(&warning)?;
    }
    assert_eq!(said(&site, "WARN USER connect").len(), 4);
    Ok(())
}
