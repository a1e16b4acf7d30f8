// SPDX-License-Identifier: GPL-3.0-or-later
//! The machine, case by case.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use connect_ipc::scripts::{
    Child, Command, EndedRun, FailureChange, FailureChanges, ScriptKind, Stream,
};
use connect_ipc::setup::{Made, Pair, Setup, SetupKey, SetupState};

const CHILD: Child = Child {
    pid: 5,
    start_time: 6,
};

const ORIGIN: Origin = Origin { at: 7, session: 8 };

const BOUNDS: ByLane<usize> = ByLane {
    interface: 10,
    connection: 10,
};

fn run(number: u64, peer: &str, limit: Option<u32>) -> Run {
    Run {
        run: RunId(number),
        peer: peer.to_owned(),
        kind: ScriptKind::Ifup,
        command: Command::Shell(":".to_owned()),
        environment: Vec::new(),
        limit,
        setup: None,
        undoes: Vec::new(),
    }
}

fn under_way(number: u64, peer: &str, limit: Option<u32>) -> UnderWay {
    UnderWay {
        run: RunId(number),
        peer: peer.to_owned(),
        kind: ScriptKind::Ifup,
        child: Some(CHILD),
        limit,
    }
}

/// A machine and a clock, after core's first messages.
struct Bench {
    machine: Machine,
    now: Monotonic,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Bench {
            machine: Machine::new(BOUNDS),
            now: Monotonic(1_000_000_000),
        };
        assert_eq!(bench.core(ToScripts::Ready {}), []);
        bench
    }

    /// The outputs for an input, except those to the journal.
    fn tell(&mut self, input: Input) -> Vec<Output> {
        let mut out = self.tell_all(input);
        out.retain(|output| !matches!(output, Output::Journal(_)));
        out
    }

    fn tell_all(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.machine.handle(input, self.now, &mut out);
        out
    }

    fn next_start(&mut self) -> Option<Run> {
        match self.tell(Input::Turn(ORIGIN)).pop() {
            Some(Output::Start(run)) => Some(Run::clone(&run)),
            None => None,
            Some(other) => panic!("{other:?}"),
        }
    }

    fn core(&mut self, message: ToScripts) -> Vec<Output> {
        self.tell(Input::Core(message))
    }

    /// Queues a run and starts it.
    fn start(&mut self, run: Run) {
        let id = run.run;
        self.core(ToScripts::Run(vec![run]));
        assert_eq!(self.next_start().map(|run| run.run), Some(id));
        let input = Input::Started {
            run: id,
            child: CHILD,
        };
        let started = FromScripts::Started {
            run: id,
            child: CHILD,
        };
        assert_eq!(self.tell(input), [Output::ToCore(started)]);
    }

    fn after(&mut self, seconds: u64) -> Vec<Output> {
        self.now = self.now + Duration::from_secs(seconds);
        self.tell(Input::Time {})
    }

    fn reap(&mut self, number: u64) -> Vec<Output> {
        let run = RunId(number);
        let end = Ended::Exited(3);
        self.tell(Input::Reaped {
            run,
            end,
            open: false,
        })
    }
}

fn act(number: u64, action: Action) -> Output {
    Output::Act(RunId(number), action)
}

fn over(number: u64, end: Ended) -> [Output; 1] {
    [Output::ToCore(ended(RunId(number), end))]
}

/// The end of a run whose output nobody reads.
fn gone_with(number: u64, end: Ended) -> Vec<Output> {
    let mut out = over(number, end).to_vec();
    no_output(RunId(number), &mut out);
    out
}

#[test]
fn nothing_is_started_before_core_is_ready() {
    let mut bench = Bench::new();
    bench.machine = Machine::new(BOUNDS);
    bench.core(ToScripts::Run(vec![run(1, "a", None)]));
    assert_eq!(bench.next_start(), None);
    bench.core(ToScripts::Ready {});
    assert_eq!(bench.next_start(), Some(run(1, "a", None)));
}

#[test]
fn a_time_limit_ends_a_script_in_two_steps() {
    let mut bench = Bench::new();
    bench.start(run(1, "a", Some(10)));
    assert_eq!(
        bench.machine.next_deadline(),
        Some(bench.now + Duration::from_secs(10))
    );
    assert_eq!(bench.after(9), []);
    assert_eq!(bench.after(1), [act(1, Action::Terminate)]);
    assert_eq!(bench.machine.next_deadline(), Some(bench.now + GRACE));
    assert_eq!(bench.after(1), []);
    assert_eq!(bench.after(1), [act(1, Action::Kill)]);
    assert_eq!(bench.reap(1), over(1, Ended::TimedOut));
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn that_a_script_survives_kill_is_told_once_by_each_helper_and_holds_its_lane_alone() {
    let mut bench = Bench::new();
    bench.start(run(1, "a", Some(10)));
    bench.core(ToScripts::Run(vec![run(2, "a", None), run(3, "b", None)]));
    bench.after(10);
    assert_eq!(bench.after(2), [act(1, Action::Kill)]);
    let since = bench.now;
    assert_eq!(bench.after(1), []);
    let survives = FromScripts::Survives {
        run: RunId(1),
        since,
    };
    assert_eq!(bench.after(1), [Output::ToCore(survives.clone())]);
    assert_eq!(bench.machine.next_deadline(), None);
    assert_eq!(bench.core(ToScripts::Stop(RunId(1))), []);
    assert_eq!(bench.next_start(), Some(run(3, "b", None)));
    assert_eq!(bench.next_start(), None);
    // The next helper knows it, tries it again, and does not report it twice.
    let mut out = Vec::new();
    let ledger = bench.machine.ledger().clone();
    bench.machine = Machine::recovered(BOUNDS, ledger, &BTreeMap::new(), &mut out);
    assert!(out.contains(&Output::ToCore(survives)), "{out:?}");
    bench.core(ToScripts::Ready {});
    let (run, age) = (RunId(1), Duration::from_secs(100));
    assert_eq!(bench.tell(Input::Found { run, age }), []);
    assert_eq!(bench.after(0), [act(1, Action::Terminate)]);
    assert_eq!(bench.after(2), [act(1, Action::Kill)]);
    assert_eq!(bench.after(2), []);
    let gone = Input::Gone { run };
    assert_eq!(bench.tell(gone), gone_with(1, Ended::TimedOut));
    assert_eq!(bench.next_start().map(|run| run.run), Some(RunId(2)));
}

#[test]
fn a_script_that_ends_in_time_leaves_no_deadline() {
    let mut bench = Bench::new();
    bench.start(run(1, "a", Some(10)));
    assert_eq!(bench.reap(1), over(1, Ended::Exited(3)));
    assert_eq!(bench.machine.next_deadline(), None);
    assert_eq!(bench.after(100), []);
}

#[test]
fn a_stop_takes_a_waiting_run_off_and_ends_a_running_one() {
    let mut bench = Bench::new();
    bench.start(run(1, "a", Some(10)));
    bench.core(ToScripts::Run(vec![run(2, "a", None), run(3, "a", None)]));
    assert_eq!(
        bench.core(ToScripts::Stop(RunId(2))),
        over(2, Ended::Stopped)
    );
    let terminate = [act(1, Action::Terminate)];
    assert_eq!(bench.core(ToScripts::Stop(RunId(1))), terminate);
    assert_eq!(bench.core(ToScripts::Stop(RunId(1))), [], "once is enough");
    assert_eq!(bench.next_start(), None, "1 is not over yet");
    assert_eq!(bench.reap(1), over(1, Ended::Stopped));
    assert_eq!(bench.core(ToScripts::Stop(RunId(1))), [], "it crossed");
    assert_eq!(bench.next_start(), Some(run(3, "a", None)));
    let answer = bench.core(ToScripts::Stop(RunId(99)));
    assert!(matches!(
        answer.as_slice(),
        [Output::ToCore(FromScripts::Error(_))]
    ));
}

#[test]
fn an_adopted_child_holds_its_peer_until_it_is_gone() {
    let mut bench = Bench::new();
    bench.machine = Machine::new(BOUNDS);
    let list = vec![under_way(1, "a", Some(60)), under_way(2, "b", None)];
    let out = bench.core(ToScripts::Adopt(list));
    let adopt = |number| Output::Adopt {
        run: RunId(number),
        child: CHILD,
    };
    assert_eq!(
        out,
        [
            Output::Accepted(under_way(1, "a", Some(60))),
            adopt(1),
            Output::Accepted(under_way(2, "b", None)),
            adopt(2)
        ]
    );
    let age = Duration::from_secs(50);
    let found = Input::Found { run: RunId(1), age };
    assert_eq!(bench.tell(found), []);
    let gone = Input::Gone { run: RunId(2) };
    assert_eq!(bench.tell(gone), gone_with(2, Ended::Lost));
    bench.core(ToScripts::Ready {});
    bench.core(ToScripts::Run(vec![run(3, "a", None), run(4, "b", None)]));
    assert_eq!(bench.next_start(), Some(run(4, "b", None)));
    assert_eq!(bench.next_start(), None);
    assert_eq!(
        bench.after(10),
        [act(1, Action::Terminate)],
        "60 seconds from its start, not from its adoption"
    );
    let gone = Input::Gone { run: RunId(1) };
    assert_eq!(bench.tell(gone), gone_with(1, Ended::TimedOut));
    assert_eq!(bench.next_start(), Some(run(3, "a", None)));
}

#[test]
fn what_core_repeats_is_not_done_twice() {
    let mut bench = Bench::new();
    bench.start(run(1, "a", None));
    let taken = Output::ToCore(FromScripts::Taken(RunId(1)));
    let again = bench.core(ToScripts::Run(vec![run(1, "a", None)]));
    assert_eq!(again, [taken], "core does not know it");
    let adopt = ToScripts::Adopt(vec![under_way(1, "a", None)]);
    assert_eq!(bench.core(adopt.clone()), []);
    assert_eq!(bench.reap(1), over(1, Ended::Exited(3)));
    // Core did not get the result, so it is sent again.
    assert_eq!(bench.core(adopt), over(1, Ended::Exited(3)));
    let again = ToScripts::Run(vec![run(1, "a", None)]);
    assert_eq!(bench.core(again), over(1, Ended::Exited(3)));
    assert_eq!(bench.next_start(), None);
}

#[test]
fn what_makes_no_sense_is_answered() {
    let mut bench = Bench::new();
    let mut queued = under_way(1, "a", None);
    queued.child = None;
    let answer = bench.core(ToScripts::Adopt(vec![queued]));
    assert!(matches!(
        answer.as_slice(),
        [Output::ToCore(FromScripts::Error(_))]
    ));
    let answer = bench.core(ToScripts::Run(vec![run(2, &"x".repeat(256), None)]));
    assert!(matches!(
        answer.as_slice(),
        [Output::ToCore(FromScripts::Ended {
            end: Ended::NotStarted(_),
            ..
        })]
    ));
    assert_eq!(bench.core(ToScripts::Error("x".to_owned())), []);
}

#[test]
fn a_peer_whose_script_hangs_does_not_fill_the_memory() {
    let mut bench = Bench::new();
    bench.start(run(1, "a", None));
    let crowd = (2..MAX_WAITING as u64 + 3).map(|n| run(n, "a", None));
    let out = bench.core(ToScripts::Run(crowd.collect()));
    let Some(Output::ToCore(FromScripts::Ended { run, end })) = out.last() else {
        panic!("{:?}", out.last());
    };
    assert_eq!(*run, RunId(MAX_WAITING as u64 + 2));
    assert!(matches!(end, Ended::NotStarted(why) if why.contains("peer a")));
}

#[test]
fn what_children_say_is_passed_on_in_order() {
    let mut bench = Bench::new();
    bench.start(run(1, "a", None));
    let (run, stream) = (RunId(1), Stream::Stdout);
    let line = "a".to_owned();
    let said = [
        FromScripts::Output { run, stream, line },
        FromScripts::Eof { run, stream },
    ];
    let out = bench.tell(Input::Said(said.to_vec()));
    assert_eq!(out, said.map(Output::ToCore));
    let fault = "what is this".to_owned();
    let out = bench.tell(Input::Malformed(fault.clone()));
    assert_eq!(out, [Output::ToCore(FromScripts::Error(fault))]);
}

#[test]
fn only_so_many_runs_that_are_over_keep_their_output_open() {
    let mut bench = Bench::new();
    let count = LINGERING as u64 + 3;
    for number in 1..=count {
        bench.start(run(number, "a", None));
        let (run, end, open) = (RunId(number), Ended::Exited(0), true);
        let out = bench.tell(Input::Reaped { run, end, open });
        let mut expected = Vec::from(over(number, Ended::Exited(0)));
        if number == 2 {
            assert_eq!(bench.tell(Input::Closed { run }), []);
        }
        // The second was closed by itself.
        match number.saturating_sub(LINGERING as u64 + 1) {
            0 => {}
            1 => expected.insert(0, act(1, Action::CloseOutput)),
            excess => expected.insert(0, act(excess + 1, Action::CloseOutput)),
        }
        assert_eq!(out, expected, "{number}");
    }
}

#[test]
fn a_result_is_kept_until_core_has_settled_it() {
    let mut bench = Bench::new();
    for number in 1..=10_000 {
        bench.start(run(number, "a", None));
        bench.reap(number);
    }
    let adopt = |number| ToScripts::Adopt(vec![under_way(number, "a", None)]);
    assert_eq!(bench.core(adopt(1)), over(1, Ended::Exited(3)));
    bench.start(run(10_001, "a", None));
    let settled = vec![RunId(1), RunId(9), RunId(10_001), RunId(99_999)];
    let out = bench.core(ToScripts::Settled(settled));
    let forget = Output::Forget(vec![RunId(1), RunId(9)]);
    assert_eq!(out, [forget], "the others are not over, or not known");
    assert_eq!(bench.machine.ledger().runs().count(), 9_999);
    let stop = bench.core(ToScripts::Stop(RunId(9)));
    assert!(matches!(
        stop.as_slice(),
        [Output::ToCore(FromScripts::Error(_))]
    ));
}

#[test]
fn what_is_to_be_done_is_written_down_first() {
    let mut bench = Bench::new();
    let journal = |entry| Output::Journal(entry);
    let ordered = run(1, "a", None);
    let out = bench.tell_all(Input::Core(ToScripts::Run(vec![ordered.clone()])));
    let expected = [
        journal(Entry::Ordered(Arc::new(ordered))),
        Output::Accepted(UnderWay {
            child: None,
            ..under_way(1, "a", None)
        }),
        Output::ToCore(FromScripts::Taken(RunId(1))),
    ];
    assert_eq!(out, expected);
    let out = bench.tell_all(Input::Turn(ORIGIN));
    assert_eq!(
        out[0],
        journal(Entry::Starting {
            run: RunId(1),
            origin: ORIGIN
        })
    );
    assert!(matches!(&out[1..], [Output::Start(_)]));
    let (run, child) = (RunId(1), CHILD);
    let out = bench.tell_all(Input::Started { run, child });
    let told = Output::ToCore(FromScripts::Started { run, child });
    assert_eq!(out, [journal(Entry::Started { run, child }), told]);
    let (end, open) = (Ended::Exited(0), false);
    let out = bench.tell_all(Input::Reaped {
        run,
        end: end.clone(),
        open,
    });
    let [told] = over(1, end.clone());
    assert_eq!(out, [journal(Entry::Ended { run, end }), told]);
    let out = bench.tell_all(Input::Core(ToScripts::Settled(vec![run])));
    let settled = journal(Entry::Settled(vec![run]));
    assert_eq!(out, [Output::Forget(vec![run]), settled]);
}

/// A run that undoes another.
fn undoing(number: u64, peer: &str, undoes: u64) -> Run {
    Run {
        kind: ScriptKind::Ifdown,
        setup: Some(SetupState::Undone {}),
        undoes: vec![RunId(undoes)],
        ..run(number, peer, None)
    }
}

fn ends(out: &[Output]) -> Vec<(u64, Ended)> {
    let end = |output: &Output| match output {
        Output::ToCore(FromScripts::Ended { run, end }) => Some((run.0, end.clone())),
        _ => None,
    };
    out.iter().filter_map(end).collect()
}

#[test]
fn a_run_that_undoes_one_that_was_never_started_is_not_run() {
    let mut bench = Bench::new();
    bench.start(run(1, "a", None));
    bench.core(ToScripts::Run(vec![run(2, "a", None)]));
    // It still waits.
    let out = bench.core(ToScripts::Run(vec![undoing(3, "a", 2)]));
    assert_eq!(ends(&out), [(2, Ended::Stopped), (3, Ended::Stopped)]);
    let key = SetupKey {
        peer: "a".to_owned(),
        pair: Pair::Interface,
    };
    let state = bench.machine.ledger().setup(&key);
    assert_eq!(state, Some(&SetupState::Undone {}), "as core wants it");
    // It was stopped while it waited.
    bench.core(ToScripts::Run(vec![run(4, "a", None)]));
    bench.core(ToScripts::Stop(RunId(4)));
    let out = bench.core(ToScripts::Run(vec![undoing(5, "a", 4)]));
    assert_eq!(ends(&out), [(5, Ended::Stopped)]);
    assert!(bench.next_start().is_none() && bench.machine.waiting() == 0);
    // It is being started, and that fails.
    bench.core(ToScripts::Run(vec![run(6, "b", None)]));
    assert!(bench.next_start().is_some());
    let out = bench.core(ToScripts::Run(vec![undoing(7, "b", 6)]));
    assert_eq!(ends(&out), []);
    let (run, why) = (RunId(6), "no".to_owned());
    let out = bench.tell(Input::NotStarted { run, why });
    assert_eq!(ends(&out).last(), Some(&(7, Ended::Stopped)));
    assert_eq!(bench.next_start(), None);
}

#[test]
fn a_run_that_undoes_one_that_was_started_or_may_have_been_is_run() {
    let mut bench = Bench::new();
    bench.start(run(1, "a", None));
    let out = bench.core(ToScripts::Run(vec![undoing(2, "a", 1)]));
    assert_eq!(ends(&out), []);
    bench.reap(1);
    assert_eq!(bench.next_start(), Some(undoing(2, "a", 1)));
    bench.reap(2);
    // One that is not known may have run under another helper.
    bench.core(ToScripts::Run(vec![undoing(4, "a", 3)]));
    assert_eq!(bench.next_start(), Some(undoing(4, "a", 3)));
}

/// An order of an ifup by which a setup is made.
fn making(number: u64, peer: &str) -> Run {
    let made = Made {
        server: None,
        interface: "tripe0".to_owned(),
        address: String::new(),
        algorithms: Vec::new(),
        record: Vec::new(),
        runs: vec![RunId(number)],
        never_started: false,
    };
    Run {
        setup: Some(SetupState::Made(Arc::new(made))),
        ..run(number, peer, None)
    }
}

#[test]
fn a_setup_knows_whether_the_run_that_makes_it_was_started() {
    let mut bench = Bench::new();
    let orders = ["a", "b", "c"].map(|peer| making(u64::from(peer.as_bytes()[0]), peer));
    bench.core(ToScripts::Run(orders.to_vec()));
    let a = bench.next_start().unwrap().run;
    let (run, child) = (a, CHILD);
    bench.tell(Input::Started { run, child });
    let run = bench.next_start().unwrap().run;
    let why = "no".to_owned();
    bench.tell(Input::NotStarted { run, why });
    let out = bench.core(ToScripts::Recall(None));
    let [Output::ToCore(FromScripts::Setups(page))] = out.as_slice() else {
        panic!("{out:?}");
    };
    let made = |setup: &Setup| match &setup.state {
        SetupState::Made(made) => (made.runs.first().map(|run| run.0), made.never_started),
        SetupState::Undone {} => panic!("{setup:?}"),
    };
    let all: Vec<_> = page.setups.iter().map(made).collect();
    assert_eq!(all, [(None, false), (None, true), (Some(99), false)]);
    assert!(!page.more);
    let after = Some(page.setups[1].key.clone());
    let out = bench.core(ToScripts::Recall(after));
    let [Output::ToCore(FromScripts::Setups(page))] = out.as_slice() else {
        panic!("{out:?}");
    };
    assert_eq!(page.setups.len(), 1);
}

#[test]
fn connection_commands_that_hang_hold_up_no_interface_script() {
    let mut bench = Bench::new();
    for number in 1..=12 {
        let mut connect = run(number, &number.to_string(), None);
        connect.kind = ScriptKind::Connect;
        bench.core(ToScripts::Run(vec![connect]));
    }
    for _ in 1..=10 {
        assert!(bench.next_start().is_some());
    }
    assert_eq!(bench.next_start(), None);
    assert!(bench.machine.is_full(Lane::Connection));
    bench.core(ToScripts::Run(vec![run(13, "1", None)]));
    assert_eq!(bench.next_start(), Some(run(13, "1", None)));
    assert!(!bench.machine.is_full(Lane::Interface));
}

#[test]
fn a_new_core_is_told_which_scripts_had_failed_until_they_succeed() {
    let failed = |peer: &str, kind, at| EndedRun {
        peer: peer.to_owned(),
        at: Monotonic(at),
        kind,
        end: Ended::Exited(2),
        output: vec!["no such device".to_owned()],
    };
    let told = |bench: &mut Bench| -> Vec<Vec<EndedRun>> {
        let out = bench.core(ToScripts::Recall(None));
        let mut told: Vec<_> = out.into_iter().collect();
        assert!(matches!(
            told.pop(),
            Some(Output::ToCore(FromScripts::Setups(_)))
        ));
        let failures = told.into_iter().map(|output| match output {
            Output::ToCore(FromScripts::Failures(failures)) => failures,
            other => panic!("{other:?}"),
        });
        failures.collect()
    };
    let mut bench = Bench::new();
    assert_eq!(told(&mut bench).len(), 0);
    let ifups: Vec<_> = (0..700)
        .map(|n| failed(&format!("p{n:03}"), ScriptKind::Ifup, n))
        .collect();
    let down = failed("p000", ScriptKind::Ifdown, 9);
    let changes = ifups
        .iter()
        .chain([&down])
        .cloned()
        .map(FailureChange::Failed);
    let changes = FailureChanges {
        all: false,
        changes: changes.collect(),
    };
    bench.core(ToScripts::Failures(changes));
    let lengths: Vec<_> = told(&mut bench).iter().map(Vec::len).collect();
    assert_eq!(lengths, [500, 201]);

    // Core need not say so.
    bench.core(ToScripts::Run(vec![
        run(1, "p000", None),
        run(2, "p001", None),
    ]));
    for (number, end) in [(1, Ended::Exited(0)), (2, Ended::Exited(3))] {
        assert!(bench.next_start().is_some());
        let (run, child) = (RunId(number), CHILD);
        bench.tell(Input::Started { run, child });
        bench.tell(Input::Reaped {
            run,
            end,
            open: false,
        });
    }
    let left = told(&mut bench).concat();
    assert_eq!(
        left[..2],
        ifups[1..3],
        "neither the ifup of p000 nor its ifdown"
    );
    let key = ifups[1].key();
    let changes = vec![FailureChange::Forgotten(key)];
    bench.core(ToScripts::Failures(FailureChanges {
        all: false,
        changes,
    }));
    assert_eq!(told(&mut bench).concat().len(), 698);
    let changes = vec![FailureChange::Failed(down.clone())];
    bench.core(ToScripts::Failures(FailureChanges { all: true, changes }));
    assert_eq!(told(&mut bench).concat(), [down]);
}

/// The child that was to be adopted is found only after it was to be ended.
#[test]
fn a_child_that_is_found_late_gets_kill_in_time() {
    let mut bench = Bench::new();
    bench.core(ToScripts::Adopt(vec![UnderWay {
        kind: ScriptKind::Connect,
        ..under_way(7, "a", Some(100))
    }]));
    assert_eq!(
        bench.core(ToScripts::Stop(RunId(7))),
        [act(7, Action::Terminate)]
    );
    bench.after(1);
    bench.tell(Input::Found {
        run: RunId(7),
        age: Duration::ZERO,
    });
    assert_eq!(bench.after(1), [act(7, Action::Kill)]);
}

/// The journal has lost that a run was started and ended, which core knows.
#[test]
fn a_run_of_which_core_knows_the_end_is_not_started() {
    let mut bench = Bench::new();
    bench.core(ToScripts::Run(vec![run(1, "a", None)]));
    let told = bench.core(ToScripts::Over(vec![RunId(1)]));
    assert!(told.contains(&over(1, Ended::Lost)[0]), "{told:?}");
    assert_eq!(bench.next_start(), None);
}
