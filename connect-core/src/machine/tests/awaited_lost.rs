// SPDX-License-Identifier: GPL-3.0-or-later
//! A kick that was answered with success while nothing was decided is known to the next core.

use std::time::Duration;

use super::helperless::{COMMANDS, KICK, comes, connected_by_command};
use super::rig::record;
use super::undecided::started_at;
use super::unfinished::scripts;

#[test]
fn a_kick_that_was_answered_is_not_lost_with_core() {
    let mut rig = connected_by_command();
    comes(&mut rig);
    let first = rig.ordered().remove(0).run;
    rig.scripts_end([first]);
    rig.take_orders();
    let mut kept = rig.setups();
    kept.clear();
    rig.lose_server();
    rig.meet(&["p"]);
    rig.hear(KICK);
    let sent = rig.sent();
    assert!(
        sent.iter().any(|line| line.starts_with("SVCOK")),
        "{sent:?}"
    );
    // An orderly end.
    let state = rig.saved();
    let mut next = started_at(rig.now + Duration::from_secs(1));
    next.database(&[record("p", COMMANDS)]);
    next.inherit(state);
    next.kept = kept;
    next.scripts_come();
    next.meet(&["p"]);
    next.answer_all();
    assert_eq!(scripts(&mut next), ["connect p"]);
}
