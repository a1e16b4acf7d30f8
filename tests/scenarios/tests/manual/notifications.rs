// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual, "Notifications": each one token for token, and that there is no other.

use peerdb::Record;
use scenarios::{Expect as _, Outcome, Site};
use tripe_lab::faults::Refusal;

use crate::support::{ANSWERING, commands, said};

/// A watched peer with scripts.
fn record() -> Record {
    let pairs = [
        ("peer", ANSWERING),
        ("watch", "t"),
        ("every", "1s"),
        ("ifup", "/bin/echo two words"),
    ];
    Record::new("p", pairs)
}

#[test]
fn every_notification_is_as_in_the_manual_and_begins_with_user_connect() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .without_database()
        .build()?;
    site.write_database(&[record()])?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    let ifname = site.admin_ok("IFNAME p")?.concat();
    events.exactly(&format!(
        "NOTE USER connect ifup p stdout \"two words p {ifname} {ANSWERING}\""
    ))?;
    let mut refusal = Refusal::of("PING", "some-error");
    refusal.failure.push("with tokens".to_owned());
    site.lab.refuse(refusal)?;
    events.exactly("NOTE USER connect ping-failed p some-error \"with tokens\"")?;
    site.write_database(&[])?;
    events.exactly("NOTE USER connect peerdb-update")?;

    let all = said(&site, "NOTE USER ");
    assert_eq!(all.len(), commands(&site, "NOTIFY ").len());
    for line in all {
        let known = ["ifup p stdout ", "ping-failed p ", "peerdb-update"];
        let rest = line.strip_prefix("NOTE USER connect ").unwrap_or_default();
        assert!(known.iter().any(|word| rest.starts_with(word)), "{line}");
    }
    Ok(())
}
