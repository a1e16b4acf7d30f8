// SPDX-License-Identifier: GPL-3.0-or-later
//! A `connect` command is told to end only after what follows it was ordered: core may be killed in
//! between.

use std::sync::Arc;
use std::time::Duration;

use connect_ipc::scripts::{Child, FromScripts, Run, ToScripts, UnderWay};
use connect_ipc::setup::{Setup, SetupState};

use super::helperless::{COMMANDS, KICK, KILL, comes, connected_by_command};
use super::kicked::under_way;
use super::rig::{Rig, record};
use super::undecided::started_at;
use super::unfinished::{ADD, scripts};

fn runs(rig: &Rig) -> Vec<Run> {
    let runs = rig.to_scripts.iter().filter_map(|message| match message {
        ToScripts::Run(runs) => runs.first().cloned(),
        _ => None,
    });
    runs.collect()
}

/// What the next core runs for `p`, which the server has, if core is killed now and `first` waits
/// in the helper.
fn next_core(
    old: &Rig,
    state: super::super::State,
    mut kept: Vec<Setup>,
    first: &Run,
) -> Vec<String> {
    assert_eq!(kept.len(), 1);
    let arrived = &old.to_scripts;
    let is_stopped = arrived.contains(&ToScripts::Stop(first.run));
    let follows = arrived
        .iter()
        .any(|it| matches!(it, ToScripts::Run(runs) if runs[0].run > first.run));
    assert!(!follows, "the test is about what comes before that");
    for setup in &mut kept {
        if let SetupState::Made(made) = &mut setup.state {
            Arc::make_mut(made).never_started = is_stopped;
        }
    }
    let mut next = started_at(old.now + Duration::from_secs(1));
    next.database(&[record("p", COMMANDS)]);
    next.inherit(state);
    next.kept = kept;
    next.scripts_come_with(if is_stopped {
        Vec::new()
    } else {
        vec![under_way(first)]
    });
    next.meet(&["p"]);
    next.answer_all();
    let mut commands = scripts(&mut next);
    if !is_stopped {
        commands.push("connect p".to_owned());
    }
    commands
}

/// The peer came again while core joined the server; nothing is decided about it yet.
#[test]
fn a_command_runs_on_while_nothing_is_decided_about_its_peer() {
    for lines in [&["OK", "OK", ADD][..], &["OK", "OK", KILL, ADD]] {
        let mut old = connected_by_command();
        comes(&mut old);
        let first = runs(&old).remove(0);
        let (state, kept) = (old.saved(), old.setups());
        old.lose_server();
        old.connect_server();
        for line in lines {
            old.hear(line);
        }
        // The state is written later; core is killed before that. The server has the new `p`.
        assert_eq!(
            next_core(&old, state, kept, &first),
            ["connect p"],
            "{lines:?}"
        );
    }
}

/// The peer went while there was no helper, and the helper connects.
#[test]
fn a_helper_that_connects_again_gets_the_orders_first() {
    let mut old = connected_by_command();
    comes(&mut old);
    let first = runs(&old).remove(0);
    let run = first.run;
    old.take_orders();
    old.to_scripts.clear();
    old.scripts_go();
    old.hear(KILL);
    old.scripts_come_with(vec![under_way(&first)]);
    let follows = |it: &ToScripts| matches!(it, ToScripts::Run(runs) if runs[0].undoes == [run]);
    let ends = |it: &ToScripts| *it == ToScripts::Stop(run);
    let [follows, ends] = [
        old.to_scripts.iter().position(follows),
        old.to_scripts.iter().position(ends),
    ];
    assert!(follows.is_some() && follows < ends, "{:?}", old.to_scripts);
}

/// A helper without a journal was lost with the message that ended the command. The next one knows
/// the child from core only, and a command that never ended would keep all later ones waiting.
#[test]
fn a_helper_without_a_journal_is_told_again_to_end_a_command() {
    for news in [KICK, KILL] {
        let mut old = connected_by_command();
        comes(&mut old);
        let first = runs(&old).remove(0).run;
        let child = Child {
            pid: 5,
            start_time: 6,
        };
        old.scripts_say(FromScripts::Started { run: first, child });
        old.hear(news);
        old.answer_all();
        old.scripts_go();
        old.to_scripts.clear();
        old.scripts_come();
        let adopts = |it: &ToScripts| matches!(it, ToScripts::Adopt(runs) if runs[0].run == first);
        let told = &old.to_scripts;
        let adopted = told.iter().position(adopts);
        let ended = told.iter().position(|it| *it == ToScripts::Stop(first));
        let begins = told.iter().position(|it| *it == ToScripts::Ready {});
        assert!(
            adopted.is_some() && adopted < ended && ended < begins,
            "{news}: {told:?}"
        );
    }
}

/// The core that ordered the later command was killed before it told the helper to end the first.
#[test]
fn the_next_core_ends_a_command_that_another_one_follows() {
    let mut old = connected_by_command();
    comes(&mut old);
    let first = runs(&old).remove(0);
    let child = Child {
        pid: 5,
        start_time: 6,
    };
    old.scripts_say(FromScripts::Taken(first.run));
    old.scripts_say(FromScripts::Started {
        run: first.run,
        child,
    });
    let state = old.saved();
    old.hear(KICK);
    old.answer_all();
    let second = runs(&old)
        .into_iter()
        .find(|run| run.run > first.run)
        .expect("a run");
    let kept = old.setups();
    let mut next = started_at(old.now + Duration::from_secs(1));
    next.database(&[record("p", COMMANDS)]);
    next.inherit(state);
    next.kept = kept;
    let mut one = under_way(&first);
    one.child = Some(child);
    next.scripts_come_with(vec![one, under_way(&second)]);
    next.meet(&["p"]);
    next.answer_all();
    assert!(
        next.to_scripts.contains(&ToScripts::Stop(first.run)),
        "{:?}",
        next.to_scripts
    );
}

/// A core that took a `connect` command for lost, since a helper without the journal did not know
/// it; and the command, as the next helper reports it.
fn given_up(mut rig: Rig) -> (Rig, UnderWay) {
    comes(&mut rig);
    let first = runs(&rig).remove(0);
    rig.scripts_say(FromScripts::Taken(first.run));
    rig.scripts_go();
    rig.scripts_come();
    let mut run = under_way(&first);
    run.child = Some(Child {
        pid: 5,
        start_time: 6,
    });
    (rig, run)
}

/// The next helper has the journal again, and finds the child.
#[test]
fn a_run_that_was_given_up_and_whose_child_lives_runs_on() {
    let (mut rig, run) = given_up(connected_by_command());
    rig.scripts_go();
    rig.to_scripts.clear();
    rig.scripts_come_with(vec![run.clone()]);
    let told = &rig.to_scripts;
    assert!(!told.contains(&ToScripts::Stop(run.run)), "{told:?}");
}

/// It holds the place of the peer in the helper, so what follows would wait for it.
#[test]
fn a_run_that_was_given_up_is_ended_when_another_follows() {
    for news in [KICK, KILL] {
        let (mut rig, run) = given_up(connected_by_command());
        rig.scripts_go();
        rig.scripts_come_with(vec![run.clone()]);
        rig.hear(news);
        rig.answer_all();
        let told = &rig.to_scripts;
        assert!(told.contains(&ToScripts::Stop(run.run)), "{news}: {told:?}");
    }
}

#[test]
fn a_run_that_was_given_up_is_told_again_to_end_when_its_peer_is_gone() {
    let mut pairs = COMMANDS.to_vec();
    pairs.retain(|(key, _)| *key != "disconnect");
    let mut rig = Rig::alone(&[record("p", &pairs)], false);
    rig.scripts_come();
    rig.meet(&[]);
    rig.answer_all();
    let (mut rig, run) = given_up(rig);
    rig.scripts_go();
    rig.scripts_come_with(vec![run.clone()]);
    rig.hear(KILL);
    rig.answer_all();
    // That message was lost with the connection.
    rig.scripts_go();
    rig.to_scripts.clear();
    rig.scripts_come_with(vec![run.clone()]);
    let told = &rig.to_scripts;
    assert!(told.contains(&ToScripts::Stop(run.run)), "{told:?}");
}

#[test]
fn a_run_that_was_given_up_does_not_outlive_a_peer_that_went_before_it_was_found() {
    let (mut rig, run) = given_up(connected_by_command());
    rig.to_scripts.clear();
    rig.hear(KILL);
    rig.answer_all();
    let off = runs(&rig).remove(0).run;
    rig.scripts_say(FromScripts::Taken(off));
    rig.scripts_end([off]);
    rig.scripts_go();
    rig.to_scripts.clear();
    rig.scripts_come_with(vec![run.clone()]);
    let told = &rig.to_scripts;
    assert!(told.contains(&ToScripts::Stop(run.run)), "{told:?}");
}
