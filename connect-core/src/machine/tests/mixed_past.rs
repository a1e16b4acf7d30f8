// SPDX-License-Identifier: GPL-3.0-or-later
//! Two peers of one name come and go while nothing is decided; the record goes in between.

use super::helperless::{COMMANDS, KILL, comes};
use super::rig::{Rig, record};
use super::unfinished::{ADD, PAIRS, scripts};

/// `p` comes and goes twice while there is no script helper; nothing was ever run for it.
fn twice(pairs: &[(&str, &str)], later: &[(&str, &str)]) -> Vec<String> {
    let q = record("q", &[("peer", "INET 192.0.2.9 1")]);
    let mut rig = Rig::alone(&[record("p", pairs), q.clone()], false);
    rig.meet(&["q"]);
    rig.answer_all();
    rig.hear(ADD);
    rig.hear(KILL);
    if later.is_empty() {
        rig.database(&[q]);
    } else {
        rig.database(&[record("p", later), q]);
    }
    comes(&mut rig);
    rig.hear(KILL);
    rig.scripts_come();
    rig.answer_all();
    scripts(&mut rig)
}

#[test]
fn what_was_never_made_is_not_undone_with_the_scripts_of_an_earlier_record() {
    let plain = &[("peer", "INET 192.0.2.1 1"), ("watch", "t")][..];
    let mut found = Vec::new();
    for (pairs, later) in [
        (PAIRS, &[][..]),
        (COMMANDS, &[]),
        (PAIRS, plain),
        (COMMANDS, plain),
    ] {
        found.push(twice(pairs, later));
    }
    assert_eq!(found, vec![Vec::<String>::new(); 4]);
}
