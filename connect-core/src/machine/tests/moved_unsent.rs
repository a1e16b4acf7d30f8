// SPDX-License-Identifier: GPL-3.0-or-later
//! A peer comes, gets another address, and goes, all without a script helper: the helper that comes
//! is told of nothing that was not made.

use std::time::Duration;

use super::helperless::{COMMANDS, KILL, comes};
use super::rig::{Rig, record};
use super::undecided::started_at;
use super::unfinished::{PAIRS, scripts};

/// What the next core runs. `again` if the server has another `p` by then, which this core sees or
/// not.
fn next(pairs: &[(&str, &str)], note: Option<&str>, again: bool, stale: bool) -> Vec<String> {
    let mut rig = Rig::alone(&[record("p", pairs)], false);
    rig.scripts_come();
    rig.meet(&["q"]);
    rig.answer_all();
    let before = rig.saved();
    rig.scripts_go();
    comes(&mut rig);
    if let Some(note) = note {
        rig.hear(note);
    }
    rig.hear(KILL);
    rig.scripts_come();
    rig.answer_all();
    // An orderly end, or a kill before the state was written again.
    let state = if stale { before } else { rig.saved() };
    rig.take_orders();
    let kept = rig.setups();
    assert!(kept.iter().all(|it| it.number.is_some()));
    let mut next = started_at(rig.now + Duration::from_secs(1));
    next.database(&[record("p", pairs)]);
    next.inherit(state);
    next.kept = kept;
    next.scripts_come();
    next.meet(if again { &["p", "q"] } else { &["q"] });
    next.answer_all();
    scripts(&mut next)
}

#[test]
fn a_setup_that_was_never_ordered_is_not_told_of() {
    let moved = Some("NOTE NEWADDR p INET 192.0.2.1 2");
    let renamed = Some("NOTE NEWIFNAME p tun0 tun7");
    let mut bad = Vec::new();
    for (pairs, make) in [(PAIRS, "ifup p"), (COMMANDS, "connect p")] {
        for note in [None, moved, renamed] {
            for stale in [false, true] {
                let found = next(pairs, note, false, stale);
                if !found.is_empty() {
                    bad.push((note, "gone", stale, found));
                }
                let found = next(pairs, note, true, stale);
                if found != [make] {
                    bad.push((note, "came again", stale, found));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}
