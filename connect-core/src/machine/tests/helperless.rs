// SPDX-License-Identifier: GPL-3.0-or-later
//! What core keeps for a script helper that is not there, while a peer comes and goes.

use connect_ipc::RunId;
use connect_ipc::scripts::{Ended, FromScripts, ToScripts};

use super::renumbered::settled;
use super::rig::{Rig, record};
use super::unfinished::{ADD, PAIRS, scripts};

/// More often than scripts of one peer may wait.
const OFTEN: usize = 1_500;

pub(super) const KILL: &str = "NOTE KILL p";

pub(super) fn comes(rig: &mut Rig) {
    rig.hear(ADD);
    rig.answer_all();
}

fn kept(rig: &Rig) -> usize {
    rig.machine.backlog().orders_untaken
}

#[test]
fn a_peer_that_comes_and_goes_leaves_nothing() {
    let mut rig = settled(&["q"]);
    rig.scripts_go();
    for _ in 0..OFTEN {
        comes(&mut rig);
        rig.hear(KILL);
        assert_eq!(kept(&rig), 0);
    }
    comes(&mut rig);
    rig.scripts_come();
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifup p"]);
}

#[test]
fn a_peer_that_was_set_up_is_taken_down_once_and_set_up_once() {
    let mut rig = settled(&["p", "q"]);
    rig.scripts_go();
    for _ in 0..OFTEN {
        rig.hear(KILL);
        comes(&mut rig);
    }
    rig.scripts_come();
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifdown p", "ifup p"]);
}

/// The helper that had the order was lost, and may have started it.
#[test]
fn what_a_helper_may_have_is_undone_by_the_next_one() {
    let mut rig = settled(&["q"]);
    comes(&mut rig);
    rig.scripts_go();
    rig.hear(KILL);
    assert_eq!(kept(&rig), 2);
}

/// A peer that is connected by a command, and `kick`, which runs the command again.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    ("watch", "t"),
    ("peer", "INET 192.0.2.1 1"),
    ("connect", "on"),
    ("disconnect", "off"),
    ("every", "1h"),
];
pub(super) const KICK: &str = "SVCJOB J1 connect kick p";

pub(super) fn connected_by_command() -> Rig {
    let mut rig = Rig::alone(&[record("p", COMMANDS)], false);
    rig.scripts_come();
    rig.meet(&[]);
    rig.answer_all();
    rig
}

/// The helper may have started the first one: nothing that is known of the second one matters.
#[test]
fn a_command_that_a_helper_may_have_is_undone_though_another_one_came_after_it() {
    for kicks in 0..3 {
        let mut rig = connected_by_command();
        comes(&mut rig);
        rig.scripts_go();
        let first = rig.ordered().remove(0).run;
        for _ in 0..kicks {
            rig.hear(KICK);
            rig.answer_all();
        }
        rig.hear(KILL);
        rig.scripts_come();
        let ordered = rig.ordered();
        let last = ordered.last().map(|run| (run.kind.name(), &*run.undoes));
        assert_eq!(last, Some(("disconnect", &[first][..])), "{kicks}");
    }
}

/// The next helper says of each whether it was started.
#[test]
fn commands_that_were_not_started_are_not_undone_once_all_have_ended() {
    for (ends, undone) in [
        (["stopped", "stopped"], false),
        (["lost", "stopped"], true),
        (["stopped", "lost"], true),
    ] {
        for in_order in [true, false] {
            let mut rig = connected_by_command();
            comes(&mut rig);
            rig.hear(KICK);
            rig.answer_all();
            let runs: Vec<RunId> = rig.ordered().iter().map(|run| run.run).collect();
            let mut ends: Vec<_> = runs.into_iter().zip(ends).collect();
            if !in_order {
                ends.reverse();
            }
            for (run, end) in ends {
                let end = match end {
                    "lost" => Ended::Lost,
                    _ => Ended::Stopped,
                };
                rig.scripts_say(FromScripts::Ended { run, end });
            }
            rig.hear(KILL);
            let expected: &[&str] = if undone { &["disconnect p"] } else { &[] };
            assert_eq!(scripts(&mut rig), expected, "{in_order}");
        }
    }
}

#[test]
fn commands_that_no_helper_has_are_not_undone() {
    let mut rig = connected_by_command();
    rig.scripts_go();
    comes(&mut rig);
    for _ in 0..3 {
        rig.hear(KICK);
        rig.answer_all();
        assert_eq!(kept(&rig), 1);
    }
    rig.hear(KILL);
    assert_eq!(kept(&rig), 0);
}

#[test]
fn scripts_that_cannot_be_left_out_have_a_limit() {
    let pairs = PAIRS.iter().filter(|(key, _)| *key != "ifup");
    let pairs: Vec<(&str, &str)> = pairs.copied().collect();
    let mut rig = Rig::alone(&[record("p", &pairs)], false);
    rig.scripts_come();
    rig.meet(&[]);
    rig.answer_all();
    rig.scripts_go();
    rig.sent();
    let mut refused = 0;
    for _ in 0..OFTEN {
        rig.hear(ADD);
        rig.hear(KILL);
        let told = |line: &String| line.starts_with("WARN connect ifdown p not-started");
        refused += rig.sent().iter().filter(|line| told(line)).count();
    }
    assert!(kept(&rig) <= 2_100, "{}", kept(&rig));
    assert_eq!(refused, OFTEN - 1_000);
}

#[test]
fn without_a_journal_what_was_never_started_is_not_undone_by_the_next_helper() {
    let mut rig = settled(&["q"]);
    rig.scripts_say(FromScripts::JournalFault(Some("no space".to_owned())));
    comes(&mut rig);
    let run = rig.ordered().remove(0).run;
    rig.scripts_say(FromScripts::Taken(run));
    rig.hear(KILL);
    assert_eq!(rig.ordered().remove(0).undoes, [run]);
    let end = Ended::NotStarted("no such file".to_owned());
    rig.scripts_say(FromScripts::Ended { run, end });
    rig.scripts_go();
    rig.to_scripts.clear();
    rig.scripts_come();
    let told = rig.to_scripts.clone();
    let again = rig.ordered().remove(0).run;
    let stop = told.iter().position(|it| *it == ToScripts::Stop(again));
    let ready = told.iter().position(|it| *it == ToScripts::Ready {});
    assert!(stop.is_some() && stop < ready, "{told:?}");
}
