// SPDX-License-Identifier: GPL-3.0-or-later
//! A peer of the state gets another address before it is decided which peer it is: that does not
//! replace what the helper keeps.

use std::time::Duration;

use connect_ipc::scripts::ToScripts;

use super::helperless::{COMMANDS, KILL, comes};
use super::rig::{Rig, record};
use super::undecided::started_at;
use super::unfinished::PAIRS;

#[test]
fn nothing_is_noted_of_a_peer_for_which_nothing_is_decided() {
    for pairs in [PAIRS, COMMANDS] {
        for note in [
            "NOTE NEWADDR p INET 192.0.2.1 2",
            "NOTE NEWIFNAME p tun0 tun7",
        ] {
            let mut old = Rig::alone(&[record("p", pairs)], false);
            old.scripts_come();
            old.meet(&["q"]);
            old.answer_all();
            comes(&mut old);
            let state = old.saved();
            // All of this is in the journal, and core is killed before it writes the state again.
            old.hear(KILL);
            let kept = old.setups();
            let mut next = started_at(old.now + Duration::from_secs(1));
            next.database(&[record("p", pairs)]);
            next.inherit(state);
            next.kept = kept;
            next.connect_server();
            for line in ["OK", "OK", note] {
                next.hear(line);
            }
            next.to_scripts.clear();
            next.scripts_come();
            let noted: Vec<_> = next
                .to_scripts
                .iter()
                .filter(|it| matches!(it, ToScripts::Setup(_)))
                .collect();
            assert!(noted.is_empty(), "{note}: it replaces `Undone': {noted:?}");
        }
    }
}
