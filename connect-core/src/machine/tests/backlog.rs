// SPDX-License-Identifier: GPL-3.0-or-later
//! What core has begun and not ended is counted, and comes to nothing.

use super::super::Backlog;
use super::rig::{Rig, record};

#[test]
fn what_is_begun_counts_until_it_has_ended() {
    let mut rig = Rig::joined(&[record("p", &[("peer", "INET 192.0.2.1 4070")])], &[]);
    assert_eq!(rig.machine.backlog(), Backlog::default());
    rig.hear("SVCJOB J1 connect active p");
    let begun = Backlog {
        jobs: 1,
        additions: 1,
        at_server: 1,
        ..Backlog::default()
    };
    assert_eq!(rig.machine.backlog(), begun);
    for line in ["BGDETACH c0.0", "BGOK c0.0", "OK"] {
        rig.hear(line);
    }
    assert_eq!(rig.machine.backlog(), Backlog::default());
}
