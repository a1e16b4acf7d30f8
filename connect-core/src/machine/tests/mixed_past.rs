// SPDX-License-Identifier: GPL-3.0-or-later
//! Two peers of one name come and go while nothing is decided; the record goes in between.

use connect_ipc::setup::SetupState;

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

/// The script helper would otherwise tell the next core that the setup stands.
#[test]
fn a_setup_whose_scripts_have_gone_from_the_record_is_noted_as_undone_with_its_peer() {
    for pairs in [COMMANDS, PAIRS] {
        let plain = [("peer", "INET 192.0.2.1 1"), ("watch", "t")];
        let mut rig = Rig::joined(&[record("p", pairs)], &[]);
        rig.hear(ADD);
        rig.answer_all();
        let runs: Vec<_> = rig.ordered().iter().map(|run| run.run).collect();
        rig.scripts_end(runs);
        rig.database(&[record("p", &plain)]);
        rig.hear(KILL);
        let kept = rig.setups();
        let states: Vec<_> = kept.iter().map(|setup| &setup.state).collect();
        assert_eq!(states, [&SetupState::Undone {}], "{pairs:?}");
    }
}

/// Otherwise a peer that comes and goes again and again would leave them all for the next helper.
#[test]
fn what_no_helper_got_and_nothing_undoes_is_dropped_with_its_peer() {
    for pairs in [COMMANDS, PAIRS] {
        let make_only: Vec<_> = pairs
            .iter()
            .copied()
            .filter(|(key, _)| *key != "ifdown" && *key != "disconnect")
            .collect();
        let mut rig = Rig::joined(&[record("p", &make_only)], &[]);
        rig.scripts_go();
        for _ in 0..5 {
            rig.hear(ADD);
            rig.answer_all();
            assert_eq!(rig.machine.scripts.pending(), 1);
            rig.hear(KILL);
            assert_eq!(rig.machine.scripts.pending(), 0);
            // That nothing is left to undo.
            assert_eq!(rig.machine.scripts.untaken(), 1);
        }
    }
}
