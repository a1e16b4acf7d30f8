// SPDX-License-Identifier: GPL-3.0-or-later
//! The choice, case by case, and for every small history of scripts and the processes they leave.

use super::*;
use proptest::prelude::*;

const SLACK: u64 = 200;
const SESSION: i32 = 50;
const NOTED: u64 = 1_000;
const RUN: RunId = RunId(7);
/// The first process that is started after the first note.
const FIRST: i32 = 100;

const ORIGIN: Origin = Origin {
    at: NOTED,
    session: SESSION,
};

const NUMBERED: Evidence = Evidence {
    variable: Variable::Run(RUN),
    input: StandardInput::Other,
};
const MARKED: Evidence = Evidence {
    variable: Variable::Absent,
    input: StandardInput::Ours,
};
const HIDDEN: Evidence = Evidence {
    variable: Variable::Unreadable,
    input: StandardInput::Unreadable,
};
const FOREIGN: Evidence = Evidence {
    variable: Variable::Absent,
    input: StandardInput::Other,
};

/// The processes of a machine.
#[derive(Clone, Debug)]
struct World {
    stats: BTreeMap<i32, Stat>,
    evidence: BTreeMap<i32, Evidence>,
}

impl World {
    fn new() -> Self {
        let mut world = World {
            stats: BTreeMap::new(),
            evidence: BTreeMap::new(),
        };
        let init = Stat {
            parent: 0,
            group: 1,
            session: 1,
            start_time: 0,
        };
        world.add(1, init, FOREIGN);
        world
    }

    fn add(&mut self, pid: i32, stat: Stat, evidence: Evidence) {
        self.stats.insert(pid, stat);
        self.evidence.insert(pid, evidence);
    }

    fn choose(&self, known: &[Child]) -> Option<Child> {
        let processes = Processes {
            stats: &self.stats,
            known: known.to_vec(),
            slack: SLACK,
        };
        let chosen = processes.choose(RUN, ORIGIN, |pid| Ok(self.evidence[&pid]));
        chosen.unwrap()
    }

    /// The process that is chosen.
    fn chosen(&self) -> Option<i32> {
        self.choose(&[]).map(|child| child.pid)
    }
}

/// A script that has lost its helper.
fn script(pid: i32, start_time: u64) -> Stat {
    Stat {
        parent: 1,
        group: pid,
        session: SESSION,
        start_time,
    }
}

fn alone(stat: Stat, evidence: Evidence) -> Option<i32> {
    let mut world = World::new();
    world.add(FIRST, stat, evidence);
    world.chosen()
}

#[test]
fn a_script_is_known_by_its_number_or_its_input_or_by_showing_nothing() {
    for evidence in [NUMBERED, MARKED, HIDDEN] {
        assert_eq!(alone(script(FIRST, NOTED), evidence), Some(FIRST));
        // The system may hide the processes of other users, here that of the parent.
        let mut world = World::new();
        world.stats.clear();
        world.add(FIRST, script(FIRST, NOTED), evidence);
        assert_eq!(world.chosen(), Some(FIRST));
    }
    let other = Evidence {
        variable: Variable::Run(RunId(8)),
        input: StandardInput::Ours,
    };
    for evidence in [FOREIGN, other] {
        assert_eq!(alone(script(FIRST, NOTED), evidence), None);
    }
}

#[test]
fn a_script_leads_its_group_in_the_session_of_its_helper() {
    let right = script(FIRST, NOTED);
    for stat in [
        Stat { group: 99, ..right },
        Stat {
            session: 99,
            ..right
        },
        Stat {
            session: FIRST,
            ..right
        },
    ] {
        assert_eq!(alone(stat, NUMBERED), None, "{stat:?}");
    }
}

#[test]
fn a_script_was_started_after_the_note_and_if_it_shows_nothing_within_the_slack() {
    for (start_time, shown, hidden) in [
        (NOTED - 2, false, false),
        (NOTED - 1, true, true),
        (NOTED, true, true),
        (NOTED + SLACK, true, true),
        (NOTED + SLACK + 1, true, false),
        (u64::MAX, true, false),
    ] {
        for (evidence, found) in [(NUMBERED, shown), (MARKED, shown), (HIDDEN, hidden)] {
            let chosen = alone(script(FIRST, start_time), evidence);
            assert_eq!(chosen.is_some(), found, "{start_time} {evidence:?}");
        }
    }
}

#[test]
fn what_a_script_has_started_is_not_taken_for_it() {
    let mut world = World::new();
    // The numbers of processes have begun again from the lowest one.
    world.add(FIRST, script(FIRST, NOTED), MARKED);
    let started = Stat {
        parent: FIRST,
        ..script(2, NOTED)
    };
    world.add(2, started, MARKED);
    assert_eq!(world.chosen(), Some(FIRST));
    // Nothing shows to which run the script belongs, but what it starts has it as its parent.
    world.add(FIRST, script(FIRST, NOTED + 1), FOREIGN);
    world.add(
        2,
        Stat {
            start_time: NOTED + 1,
            ..started
        },
        MARKED,
    );
    assert_eq!(world.chosen(), None);
}

#[test]
fn a_child_of_another_run_is_not_taken() {
    let mut world = World::new();
    world.add(FIRST, script(FIRST, NOTED), MARKED);
    world.add(FIRST + 1, script(FIRST + 1, NOTED + 3), MARKED);
    let known = [Child {
        pid: FIRST,
        start_time: NOTED,
    }];
    let found = world.choose(&known);
    assert_eq!(found.map(|child| child.pid), Some(FIRST + 1));
}

#[test]
fn what_a_script_that_has_ended_left_behind_with_its_marks_is_taken_for_it() {
    // This is wrong, but nothing shows it.
    for start_time in [NOTED + 20, NOTED + 20 * SLACK] {
        assert_eq!(alone(script(FIRST, start_time), NUMBERED), Some(FIRST));
    }
}

/// A process that a script has started.
#[derive(Clone, Copy, Debug)]
struct Started {
    after: u64,
    own_group: bool,
    /// It shows what the script was started with, and not what the script shows now.
    as_before: bool,
}

/// What happened to the run.
#[derive(Clone, Debug)]
struct History {
    /// From the note to the start.
    delay: u64,
    lives: bool,
    shows: Evidence,
    started: Vec<Started>,
}

fn history() -> impl Strategy<Value = History> {
    let started = (0..3 * SLACK, any::<bool>(), any::<bool>());
    let started = started.prop_map(|(after, own_group, as_before)| Started {
        after,
        own_group,
        as_before,
    });
    let shows = prop::sample::select(vec![NUMBERED, MARKED, HIDDEN]);
    let started = prop::collection::vec(started, 0..4);
    let parts = (0..=1_000 * SLACK, any::<bool>(), shows, started);
    parts.prop_map(|(delay, lives, shows, started)| History {
        // For a process that shows nothing, the slack is the limit.
        delay: if shows == HIDDEN {
            delay % (SLACK + 1)
        } else {
            delay
        },
        lives,
        shows,
        started,
    })
}

impl World {
    /// Lets a script run; also gives the first process of it.
    fn run(&mut self, history: &History) -> Child {
        let start_time = NOTED + history.delay;
        let child = Child {
            pid: FIRST,
            start_time,
        };
        if history.lives {
            self.add(FIRST, script(FIRST, start_time), history.shows);
        }
        let parent = if history.lives { FIRST } else { 1 };
        for (pid, started) in (FIRST + 1..).zip(&history.started) {
            let stat = Stat {
                parent,
                group: if started.own_group { pid } else { FIRST },
                ..script(pid, start_time + started.after)
            };
            let evidence = if started.as_before {
                NUMBERED
            } else {
                history.shows
            };
            self.add(pid, stat, evidence);
        }
        child
    }

    /// Adds processes of other runs and of nobody, of which some resemble a script.
    fn others(&mut self, others: &[(u64, u64, i32)]) {
        for (pid, (start_time, run, session)) in (FIRST + 50..).zip(others) {
            let stat = Stat {
                session: SESSION + session,
                ..script(pid, NOTED + start_time - SLACK)
            };
            let evidence = if *run == 0 {
                FOREIGN
            } else {
                Evidence {
                    variable: Variable::Run(RunId(RUN.0 + run)),
                    input: StandardInput::Ours,
                }
            };
            self.add(pid, stat, evidence);
        }
    }
}

proptest! {
    #[test]
    fn a_script_that_lives_is_found_however_late_it_was_started_and_one_that_left_nothing_is_not(
        history in history(),
        others in prop::collection::vec((0..3 * SLACK, 0..3u64, 0..2i32), 0..6),
    ) {
        let mut world = World::new();
        let child = world.run(&history);
        world.others(&others);
        let resembles = |started: &Started| started.own_group;
        if history.lives {
            prop_assert_eq!(world.choose(&[]), Some(child));
        } else if !history.started.iter().any(resembles) {
            prop_assert_eq!(world.choose(&[]), None);
        }
        if let Some(chosen) = world.choose(&[]) {
            prop_assert!(world.choose(&[chosen]).is_none_or(|other| other != chosen));
        }
    }

    #[test]
    fn what_is_chosen_was_started_then_and_there_and_is_of_no_other_run(
        facts in prop::collection::vec(
            (0..6i32, any::<bool>(), 0..2i32, 0..2 * SLACK, 0..4u64, 0..3usize),
            0..12,
        ),
    ) {
        let mut world = World::new();
        for (pid, (parent, leads, session, start_time, variable, input)) in (FIRST..).zip(facts) {
            let stat = Stat {
                parent: if parent == 0 { 1 } else { FIRST + parent },
                group: if leads { pid } else { FIRST - 1 },
                session: SESSION + session,
                start_time: NOTED - SLACK / 2 + start_time,
            };
            let variable = match variable {
                0 => Variable::Absent,
                1 => Variable::Unreadable,
                number => Variable::Run(RunId(RUN.0 + number - 2)),
            };
            let inputs = [
                StandardInput::Ours,
                StandardInput::Other,
                StandardInput::Unreadable,
            ];
            let input = inputs[input];
            world.add(pid, stat, Evidence { variable, input });
        }
        if let Some(child) = world.choose(&[]) {
            let stat = world.stats[&child.pid];
            prop_assert_eq!((stat.group, stat.session), (child.pid, SESSION));
            prop_assert!(NOTED - 1 <= stat.start_time);
            let evidence = world.evidence[&child.pid];
            prop_assert!(evidence != HIDDEN || stat.start_time <= NOTED + SLACK);
            prop_assert!(!matches!(evidence.variable, Variable::Run(run) if run != RUN));
        }
    }
}
