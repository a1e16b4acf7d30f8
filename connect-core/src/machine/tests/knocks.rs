// SPDX-License-Identifier: GPL-3.0-or-later
//! Knocks that are refused: the event, and what the state of the service says of the last one.

use std::time::Duration;

use connect_ipc::event::EventKind;
use connect_ipc::knock::KnockRefusal;

use super::rig::{Rig, record};

/// A core with a passive peer, one whose key has another tag, and an active one.
fn joined() -> Rig {
    let passive = ("peer", "PASSIVE");
    let records = [
        record("gate", &[passive]),
        record("ops.mobile", &[passive, ("key", "fleet")]),
        record("hub", &[("peer", "INET 192.0.2.1 1")]),
    ];
    let mut rig = Rig::joined(&records, &[]);
    rig.observe();
    rig
}

/// What the events say of refusals.
fn refusals(rig: &mut Rig) -> Vec<Option<KnockRefusal>> {
    let kinds = rig.events.drain(..).map(|event| event.kind);
    kinds
        .filter_map(|kind| match kind {
            EventKind::Knock { refused, .. } => Some(refused),
            _ => None,
        })
        .collect()
}

#[test]
fn a_refused_knock_is_told_with_its_reason() {
    let cases = [
        ("stranger", KnockRefusal::UnknownPeer),
        ("hub", KnockRefusal::ActivePeer),
        ("ops.mobile", KnockRefusal::TagMismatch),
    ];
    let mut rig = joined();
    assert_eq!(rig.service().refused_knock, None);
    for (number, (name, reason)) in (1..).zip(cases) {
        rig.hear(&format!("NOTE KNOCK {name} INET 198.51.100.7 4070"));
        rig.wait(Duration::from_secs(5));
        assert_eq!(refusals(&mut rig), [Some(reason)]);
        let service = rig.service();
        assert_eq!(service.counters.refused_knocks, number);
        let knock = service.refused_knock.expect("it was refused just now");
        assert_eq!((&*knock.peer, knock.reason), (name, reason));
        assert_eq!(knock.address, "INET 198.51.100.7 4070");
        assert_eq!(knock.seconds, 5);
        let tag = (reason == KnockRefusal::TagMismatch).then_some("fleet");
        assert_eq!(knock.recorded_tag.as_deref(), tag);
    }
    rig.wait(Duration::from_secs(600));
    assert_eq!(rig.service().refused_knock, None, "it is long ago");
}

#[test]
fn a_knock_that_is_accepted_ends_the_refusal_of_the_same_name_or_host_only() {
    let mut rig = joined();
    let knock = "NOTE KNOCK gate INET 198.51.100.7 4070";
    rig.database(&[]);
    rig.hear(knock);
    rig.database(&[record("gate", &[("peer", "PASSIVE")])]);
    rig.hear(knock);
    assert_eq!(rig.service().refused_knock, None);
    rig.hear("NOTE KNOCK stranger INET 198.51.100.8 4070");
    rig.hear(knock);
    let refused = rig.service().refused_knock.expect("it is still refused");
    assert_eq!(refused.peer, "stranger");
    // Its name was corrected, and its port is another one.
    rig.database(&[record("right", &[("peer", "PASSIVE")])]);
    rig.hear("NOTE KNOCK wrong INET 198.51.100.7 4070");
    rig.hear("NOTE KNOCK right INET 198.51.100.7 4071");
    assert_eq!(rig.service().refused_knock, None);
    let told = refusals(&mut rig);
    let unknown = Some(KnockRefusal::UnknownPeer);
    assert_eq!(told, [unknown, None, unknown, None, unknown, None]);
}
