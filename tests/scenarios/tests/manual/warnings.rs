// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual, "Warnings": each one token for token, all in one life of a service.

use scenarios::{Expect as _, Outcome, Site};

use crate::support::{ANSWERING, ANSWERING_TOO, commands, said};

#[test]
fn every_warning_is_as_in_the_manual_and_begins_with_user_connect() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "p",
            &[
                ("peer", ANSWERING),
                ("watch", "t"),
                ("every", "1s"),
                ("timeout", "1s"),
                ("retries", "2"),
                ("connect", "echo QUJD; echo went wrong >&2; exit 7"),
                ("disconnect", "kill -TERM $$"),
            ],
        )
        .peer("host", &[("peer", "INET no-such-host.example 4070")])
        .peer("active", &[("peer", ANSWERING_TOO)])
        .peer("passive.x", &[("peer", "PASSIVE"), ("key", "other")])
        .auto("host")
        .build()?;
    let mut events = site.lab.follow();
    let _service = site.connect(&["--startup"])?;
    events.exactly("WARN USER connect auto-add-failed host resolve-error no-such-host.example")?;
    let knocker = "198.18.0.9:5000".parse()?;
    for (name, warning) in [
        ("active", "knock-active-peer active"),
        ("nobody", "knock-unknown-peer nobody"),
        (
            "passive.x",
            "knock-tag-mismatch peer passive.x public-key-tag other",
        ),
    ] {
        site.lab.fake_knock(name, knocker)?;
        events.exactly(&format!("WARN USER connect {warning}"))?;
    }
    site.submit("active p")?;
    events.exactly("WARN USER connect connect p stderr \"went wrong\"")?;
    events.exactly("WARN USER connect connect p exit-nonzero 7")?;
    site.lab.silence_peer("p", true)?;
    events.exactly("WARN USER connect ping-timeout p attempt 1 of 2")?;
    events.exactly("WARN USER connect ping-timeout p attempt 2 of 2")?;
    events.exactly("WARN USER connect reconnecting p")?;
    site.lab.silence_peer("p", false)?;
    events.exactly("WARN USER connect ping-ok p")?;
    site.admin_ok("KILL p")?;
    events.exactly("WARN USER connect disconnect p exit-signal S15")?;

    let all = said(&site, "WARN USER ");
    assert!(
        all.iter()
            .all(|line| line.starts_with("WARN USER connect ")),
        "{all:?}"
    );
    assert_eq!(all.len(), commands(&site, "WARN ").len(), "each once");
    Ok(())
}
