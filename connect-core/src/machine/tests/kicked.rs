// SPDX-License-Identifier: GPL-3.0-or-later
//! A `connect` command that is to be run again while nothing is decided about its peer yet.

use std::sync::Arc;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::scripts::{Child, Ended, FromScripts, Run, ScriptKind, ToScripts, UnderWay};
use connect_ipc::setup::SetupState;

use super::helperless::{COMMANDS, KICK, KILL, comes, connected_by_command};
use super::rig::{Rig, record};
use super::undecided::started_at;
use super::unfinished::{ADD, scripts};

fn started(rig: &mut Rig, run: RunId) {
    let child = Child {
        pid: 7,
        start_time: 0,
    };
    rig.scripts_say(FromScripts::Started { run, child });
}

fn ended(rig: &mut Rig, run: RunId, end: Ended) {
    rig.scripts_say(FromScripts::Ended { run, end });
}

pub(super) fn under_way(run: &Run) -> UnderWay {
    UnderWay {
        run: run.run,
        peer: "p".to_owned(),
        kind: ScriptKind::Connect,
        child: None,
        limit: None,
    }
}

/// Its command has been started. The connection was lost, and the server lists the peer.
fn listed_again() -> Rig {
    let mut rig = connected_by_command();
    comes(&mut rig);
    let first = rig.ordered().remove(0).run;
    started(&mut rig, first);
    ended(&mut rig, first, Ended::Exited(0));
    rig.lose_server();
    rig.meet(&["p"]);
    rig.hear(KICK);
    assert_eq!(
        scripts(&mut rig),
        [""; 0],
        "it is not known which peer it is"
    );
    rig
}

#[test]
fn it_is_run_again_as_soon_as_the_peer_is_known_to_be_the_same() {
    let mut rig = listed_again();
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["connect p"]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), [""; 0], "once");
}

#[test]
fn a_peer_that_is_another_one_has_its_command_run_once() {
    let mut rig = listed_again();
    rig.lose_server();
    rig.run += 1;
    rig.meet(&["p"]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["disconnect p", "connect p"]);
}

#[test]
fn a_peer_that_goes_meanwhile_is_only_undone() {
    let mut rig = listed_again();
    rig.hear(KILL);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["disconnect p"]);
    comes(&mut rig);
    assert_eq!(scripts(&mut rig), ["connect p"], "for the next one");
}

#[test]
fn a_peer_that_comes_while_the_server_is_joined_has_its_command_run_once() {
    let mut rig = connected_by_command();
    rig.lose_server();
    rig.connect_server();
    for line in ["OK", "OK", ADD, KICK] {
        rig.hear(line);
    }
    assert_eq!(scripts(&mut rig), [""; 0]);
    rig.hear("INFO p");
    rig.sent();
    // Of the list, and of the two lines of the kick.
    for _ in 0..3 {
        rig.hear("OK");
    }
    rig.answer_all();
    let command = rig.ordered().remove(0);
    started(&mut rig, command.run);
    rig.hear(KILL);
    assert_eq!(scripts(&mut rig), ["disconnect p"]);
}

/// What an earlier core has left of a peer that came just before it ended, for the next core.
fn left(never_started: bool) -> (Run, Rig) {
    let mut old = connected_by_command();
    comes(&mut old);
    let mut runs = old.to_scripts.iter().filter_map(|message| match message {
        ToScripts::Run(runs) => runs.first().cloned(),
        _ => None,
    });
    let first = runs.next().expect("its command");
    if never_started {
        ended(&mut old, first.run, Ended::Stopped);
    }
    let state = old.saved();
    let mut kept = old.setups();
    for setup in &mut kept {
        if let SetupState::Made(made) = &mut setup.state {
            Arc::make_mut(made).never_started = never_started;
        }
    }
    let mut next = started_at(old.now + Duration::from_secs(1));
    next.database(&[record("p", COMMANDS)]);
    next.inherit(state);
    next.kept = kept;
    let runs = if never_started {
        Vec::new()
    } else {
        vec![under_way(&first)]
    };
    next.scripts_come_with(runs);
    (first, next)
}

#[test]
fn the_next_core_runs_it_when_it_knows_the_peer_and_undoes_it() {
    for never_started in [false, true] {
        let (first, mut rig) = left(never_started);
        rig.meet(&["p"]);
        rig.hear(KICK);
        assert_eq!(scripts(&mut rig), [""; 0]);
        rig.answer_all();
        let again = rig.ordered().remove(0);
        if !never_started {
            ended(&mut rig, first.run, Ended::Stopped);
        }
        started(&mut rig, again.run);
        ended(&mut rig, again.run, Ended::Exited(0));
        rig.hear(KILL);
        assert_eq!(scripts(&mut rig), ["disconnect p"], "{never_started}");
    }
}

/// The helper tells what it keeps, and then that the command was started.
#[test]
fn a_command_that_starts_before_the_decision_is_not_forgotten() {
    for is_decided in [false, true] {
        let (first, mut rig) = left(false);
        if is_decided {
            rig.meet(&["p"]);
            rig.answer_all();
        }
        started(&mut rig, first.run);
        ended(&mut rig, first.run, Ended::Exited(0));
        if !is_decided {
            rig.meet(&["p"]);
            rig.answer_all();
        }
        assert_eq!(scripts(&mut rig), [""; 0]);
        rig.hear(KICK);
        rig.answer_all();
        let again = rig.ordered().remove(0).run;
        ended(&mut rig, again, Ended::NotStarted("it is busy".to_owned()));
        rig.hear(KILL);
        assert_eq!(scripts(&mut rig), ["disconnect p"], "{is_decided}");
    }
}

/// If core is killed between two orders, the later one must not have been the one that counts.
#[test]
fn what_follows_is_ordered_before_the_earlier_command_is_ended() {
    for event in [KICK, KILL] {
        let mut rig = connected_by_command();
        comes(&mut rig);
        rig.to_scripts.clear();
        rig.hear(event);
        let told = rig.to_scripts.iter().filter_map(|message| match message {
            ToScripts::Run(_) => Some("run"),
            ToScripts::Stop(_) => Some("stop"),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), ["run", "stop"], "{event}");
    }
}

/// Two commands of an earlier peer that were never started are not confused with that of a later
/// one.
#[test]
fn the_command_of_a_later_peer_does_not_count_for_an_earlier_one() {
    let mut rig = connected_by_command();
    comes(&mut rig);
    rig.hear(KICK);
    rig.answer_all();
    let runs: Vec<RunId> = rig.ordered().iter().map(|run| run.run).collect();
    assert_eq!(runs.len(), 2);
    rig.lose_server();
    rig.connect_server();
    for line in ["OK", "OK", KILL, ADD, KICK] {
        rig.hear(line);
    }
    for run in runs {
        ended(&mut rig, run, Ended::Stopped);
    }
    rig.hear("INFO p");
    rig.sent();
    // Of the list, and of the two lines of the kick.
    for _ in 0..3 {
        rig.hear("OK");
    }
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["connect p"]);
}

/// The record loses `ifup` while the server is asked what that needs.
#[test]
fn it_waits_for_no_ifup_that_the_record_has_lost() {
    let with_ifup = [COMMANDS, &[("ifup", "up")]].concat();
    let mut rig = Rig::joined(&[record("p", &with_ifup)], &[]);
    rig.hear(ADD);
    rig.database(&[record("p", COMMANDS)]);
    rig.answer_all();
    let first = rig.runs();
    let kinds: Vec<_> = first.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(kinds, ["connect"]);
    rig.scripts_end(first.iter().map(|(run, _)| *run));
    rig.hear(KICK);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["connect p"]);
}

/// The last core had the setup noted as undone, and was killed before it said that the command is
/// to end. The next peer of this name has no command that would follow.
#[test]
fn the_command_of_an_earlier_peer_is_ended_also_where_none_follows() {
    let mut old = connected_by_command();
    comes(&mut old);
    let orders = old.ordered();
    let command = UnderWay {
        child: Some(Child {
            pid: 7,
            start_time: 0,
        }),
        ..under_way(&orders[0])
    };
    old.hear(KILL);
    let kept = old.setups();
    let mut next = started_at(old.now + Duration::from_secs(1));
    next.database(&[record("p", &[("peer", "INET 192.0.2.1 1"), ("watch", "t")])]);
    next.kept = kept;
    next.scripts_come_with(vec![command.clone()]);
    next.meet(&["p"]);
    next.answer_all();
    let stop = ToScripts::Stop(command.run);
    assert!(next.to_scripts.contains(&stop), "{:?}", next.to_scripts);
}
