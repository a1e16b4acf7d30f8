// SPDX-License-Identifier: GPL-3.0-or-later
//! The `connect` commands of a peer that was there when the server was lost, and whose ends are
//! heard before it is known whether it is the same peer.

use connect_ipc::RunId;
use connect_ipc::scripts::{Child, Ended, FromScripts};

use super::helperless::{KICK, KILL, comes, connected_by_command};
use super::rig::Rig;
use super::unfinished::scripts;

/// How a command ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// It was never started.
    Stopped,
    /// Nobody knows whether it was started.
    Lost,
    /// It was started, and ended well.
    Done,
}

const FATES: [Fate; 3] = [Fate::Stopped, Fate::Lost, Fate::Done];

fn end(rig: &mut Rig, run: RunId, fate: Fate) {
    if fate == Fate::Done {
        let child = Child {
            pid: 7,
            start_time: 0,
        };
        rig.scripts_say(FromScripts::Started { run, child });
    }
    let end = match fate {
        Fate::Stopped => Ended::Stopped,
        Fate::Lost => Ended::Lost,
        Fate::Done => Ended::Exited(0),
    };
    rig.scripts_say(FromScripts::Ended { run, end });
}

/// When the peer is seen to be removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Removed {
    /// While the server is being joined, before the commands end.
    Early,
    /// After they have ended, before it is known whether it is the same peer.
    Late,
    /// After that is known.
    Decided,
}

/// The peer has two commands, which end so.
fn undone(fates: [Fate; 2], in_order: bool, removed: Removed) -> Vec<String> {
    let mut rig = connected_by_command();
    comes(&mut rig);
    rig.hear(KICK);
    rig.answer_all();
    rig.lose_server();
    if removed == Removed::Early {
        rig.connect_server();
        rig.hear("OK");
        rig.hear(KILL);
        rig.sent();
    } else {
        rig.meet(&["p"]);
    }
    let runs = rig.ordered();
    assert_eq!(runs.len(), 2);
    let mut ends: Vec<_> = runs.iter().map(|run| run.run).zip(fates).collect();
    if !in_order {
        ends.reverse();
    }
    for (run, fate) in ends {
        end(&mut rig, run, fate);
    }
    match removed {
        Removed::Early => {
            rig.hear("OK");
            rig.answer_all();
        }
        Removed::Late => {}
        Removed::Decided => rig.answer_all(),
    }
    if removed != Removed::Early {
        rig.hear(KILL);
    }
    rig.answer_all();
    scripts(&mut rig)
}

#[test]
fn they_are_undone_unless_none_was_started() {
    for first in FATES {
        for last in FATES {
            for in_order in [true, false] {
                for removed in [Removed::Early, Removed::Late, Removed::Decided] {
                    let fates = [first, last];
                    let is_made = fates != [Fate::Stopped; 2];
                    let expected: &[&str] = if is_made { &["disconnect p"] } else { &[] };
                    let found = undone(fates, in_order, removed);
                    assert_eq!(found, expected, "{fates:?} {in_order} {removed:?}");
                }
            }
        }
    }
}
