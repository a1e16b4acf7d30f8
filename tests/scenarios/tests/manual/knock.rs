// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual, "Dynamic connection": the new kind, by `knock`.

use std::net::SocketAddr;

use scenarios::{Expect as _, Outcome, Site};
use tripe_lab::faults::Refusal;
use tripe_lab::server::Target;

use crate::support::{ANSWERING, barrier, commands, said, service_client};

/// Where knocks come from in these tests.
fn knocker() -> SocketAddr {
    SocketAddr::from(([198, 18, 0, 7], 4071))
}

#[test]
fn a_knock_peer_establishes_the_other_end_by_itself() -> Outcome {
    let far = Site::new()?
        .peer(
            "branch.gate",
            &[
                ("peer", "PASSIVE"),
                ("key", "gate"),
                ("watch", "t"),
                ("ifup", "/bin/echo up"),
            ],
        )
        .build()?;
    let near = Site::new()?
        .peer("hub", &[("peer", &far.address()), ("knock", "branch.gate")])
        .build()?;
    let _far_service = far.connect(&[])?;
    let _near_service = near.connect(&[])?;
    near.submit("active hub")?;
    let add = near.lab.follow_from_start().command_line("ADD ")?;
    assert!(add.contains(" -knock branch.gate hub "), "{add}");

    // The value is sent during key exchange, and the other server reports it.
    let mut there = far.lab.follow_from_start();
    let heard = there.line("NOTE KNOCK ")?;
    let address = near.address();
    assert_eq!(heard, format!("NOTE KNOCK branch.gate {address}"));
    // connect notices, and establishes the passive peer at the address given.
    let add = there.command_line("ADD ")?;
    assert!(
        add.ends_with(&format!(" -key gate branch.gate {address}")),
        "{add}"
    );
    there.stdout("ifup branch.gate")?;
    near.lab.wait_for_broadcast("NOTE KXDONE hub")?;
    far.lab.wait_for_broadcast("NOTE KXDONE branch.gate")?;
    assert_eq!(far.submit("adopted")?, ["branch.gate"]);
    assert!(said(&far, "WARN USER").is_empty() && said(&near, "WARN USER").is_empty());
    Ok(())
}

#[test]
fn a_peer_that_went_away_is_found_again_by_the_next_knock() -> Outcome {
    let far = Site::new()?
        .peer("gate", &[("peer", "PASSIVE"), ("watch", "t")])
        .build()?;
    let near = Site::new()?
        .peer(
            "hub",
            &[
                ("peer", &far.address()),
                ("knock", "gate"),
                ("watch", "t"),
                ("every", "1s"),
                ("timeout", "1s"),
                ("retries", "1"),
            ],
        )
        .build()?;
    let _far_service = far.connect(&[])?;
    let _near_service = near.connect(&[])?;
    near.submit("active hub")?;
    far.lab.wait_for_broadcast("NOTE KXDONE gate")?;
    // The far server restarts and has forgotten everything.
    let mut there = far.lab.follow();
    far.lab.restart()?;
    there.broadcast("NOTE SVCCLAIM connect")?;
    near.lab.pause_network()?;
    near.lab
        .wait_for_broadcast("WARN USER connect reconnecting hub")?;
    near.lab.resume_network()?;
    there.broadcast("NOTE ADD gate ")?;
    there.broadcast("NOTE KXDONE gate")?;
    Ok(())
}

/// A site that is knocked at, with a passive peer for each name that begins with `passive` and an
/// active one.
fn knocked_at() -> anyhow::Result<Site> {
    Site::new()?
        .with_answering_peers()
        .peer(
            "passive",
            &[("peer", "PASSIVE"), ("mobile", "t"), ("keepalive", "5s")],
        )
        .peer("passive.tag", &[("peer", "PASSIVE"), ("key", "tag")])
        .peer("passive.a.tag", &[("peer", "PASSIVE"), ("key", "tag")])
        .peer("passive.b.tag", &[("peer", "PASSIVE"), ("key", "b.tag")])
        .peer("passive.plain", &[("peer", "PASSIVE")])
        .peer("passive.other", &[("peer", "PASSIVE"), ("key", "wrong")])
        .peer("active", &[("peer", ANSWERING)])
        .build()
}

#[test]
fn the_passive_peer_is_added_with_its_options_at_the_address_of_the_knock() -> Outcome {
    let site = knocked_at()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.lab.fake_knock("passive", knocker())?;
    let add = events.command_line("ADD ")?;
    let wanted = " -keepalive 5s -mobile passive INET 198.18.0.7 4071";
    assert!(add.ends_with(wanted), "{add}");
    events.broadcast("NOTE ADD passive ")?;
    Ok(())
}

#[test]
fn knock_unknown_peer_reports_a_name_that_no_record_has() -> Outcome {
    let site = knocked_at()?;
    let service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.lab.fake_knock("stranger.tag", knocker())?;
    events.exactly("WARN USER connect knock-unknown-peer stranger.tag")?;
    // The tag alone is no name.
    site.lab.fake_knock("tag", knocker())?;
    events.exactly("WARN USER connect knock-unknown-peer tag")?;
    service.wait_for_log("knock-unknown-peer tag address=INET 198.18.0.7 4071")?;
    assert!(commands(&site, "ADD").is_empty());
    Ok(())
}

#[test]
fn knock_active_peer_reports_a_peer_that_is_not_passive() -> Outcome {
    let site = knocked_at()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.lab.fake_knock("active", knocker())?;
    events.exactly("WARN USER connect knock-active-peer active")?;
    assert!(commands(&site, "ADD").is_empty());
    Ok(())
}

#[test]
fn knock_tag_mismatch_reports_a_name_that_does_not_match_the_recorded_tag() -> Outcome {
    let site = knocked_at()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.lab.fake_knock("passive.other", knocker())?;
    events
        .exactly("WARN USER connect knock-tag-mismatch peer passive.other public-key-tag wrong")?;
    // Without the key `key` the recorded tag is the peer's name, prefix and all.
    site.lab.fake_knock("passive.plain", knocker())?;
    events.exactly(
        "WARN USER connect knock-tag-mismatch peer passive.plain public-key-tag passive.plain",
    )?;
    assert!(commands(&site, "ADD").is_empty());
    // Of several dots, the tag may begin after the last or after the first.
    for name in ["passive.tag", "passive.a.tag", "passive.b.tag"] {
        site.lab.fake_knock(name, knocker())?;
        events.broadcast(&format!("NOTE ADD {name} "))?;
        site.admin_ok(&format!("KILL {name}"))?;
    }
    Ok(())
}

#[test]
fn a_repeated_knock_while_the_first_is_being_handled_adds_one_peer_once() -> Outcome {
    let site = knocked_at()?;
    let _service = site.connect(&[])?;
    let client = service_client(&site)?;
    // While the connection is suspended the server keeps all knocks, and then sends them at once.
    site.lab.stall(Target::One(client), true)?;
    for _ in 0..3 {
        site.lab.fake_knock("passive", knocker())?;
    }
    site.lab.stall(Target::One(client), false)?;
    site.lab.wait_for_broadcast("NOTE ADD passive ")?;
    barrier(&site)?;
    assert_eq!(said(&site, "NOTE KNOCK").len(), 3);
    assert_eq!(commands(&site, "ADD").len(), 1);
    assert!(commands(&site, "KILL").is_empty());
    assert!(said(&site, "WARN USER").is_empty());
    Ok(())
}

#[test]
fn a_knock_that_cannot_be_answered_is_told_and_the_next_one_tried() -> Outcome {
    let site = knocked_at()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    let mut refusal = Refusal::of("ADD", "not-today");
    refusal.times = Some(1);
    site.lab.refuse(refusal)?;
    site.lab.fake_knock("passive", knocker())?;
    events.exactly("WARN USER connect knock-add-failed passive not-today")?;
    site.lab.fake_knock("passive", knocker())?;
    events.broadcast("NOTE ADD passive ")?;
    Ok(())
}
