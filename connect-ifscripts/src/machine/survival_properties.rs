// SPDX-License-Identifier: GPL-3.0-or-later
//! What is true even when helpers die: the machine, in a small world of processes with a core and a
//! journal, is killed at every entry of the journal and at every output, and again while it
//! recovers.

use std::sync::Arc;

use super::*;
use std::collections::{BTreeMap, HashSet};

use connect_ipc::scripts::{Child, Command, ScriptKind};
use connect_ipc::setup::{Made, Pair, SetupState};
use proptest::prelude::*;

use crate::outbox::Outbox;

const BOUNDS: ByLane<usize> = ByLane {
    interface: 2,
    connection: 1,
};

const ORIGIN: Origin = Origin { at: 7, session: 8 };

const NOW: Monotonic = Monotonic(1_000_000_000);

/// What happens next. Numbers choose among what exists at that moment.
#[derive(Clone, Copy, Debug)]
enum Step {
    Order { peer: u8, kind: ScriptKind },
    Stop { which: usize },
    Turn { works: bool },
    Exit { which: usize },
    Deliver,
    Settle,
    NewCore,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = proptest::sample::select(&ScriptKind::ALL[..]);
    prop_oneof![
        5 => (0u8..2, kind).prop_map(|(peer, kind)| Step::Order { peer, kind }),
        1 => any::<usize>().prop_map(|which| Step::Stop { which }),
        6 => proptest::bool::weighted(0.85).prop_map(|works| Step::Turn { works }),
        4 => any::<usize>().prop_map(|which| Step::Exit { which }),
        3 => Just(Step::Deliver),
        1 => Just(Step::Settle),
        1 => Just(Step::NewCore),
    ]
}

/// The helper is dead.
#[derive(Debug)]
struct Died;

/// A process of a script.
#[derive(Clone, Copy, Debug)]
struct Process {
    run: RunId,
    alive: bool,
    /// The number of the helper that created it.
    parent: usize,
}

/// What core knows.
#[derive(Debug, Default)]
struct Core {
    orders: Vec<Run>,
    taken: HashSet<RunId>,
    started: HashSet<RunId>,
    ended: BTreeMap<RunId, Ended>,
    stopped: HashSet<RunId>,
    settled: HashSet<RunId>,
}

/// What is lost when a helper dies.
#[derive(Debug)]
struct Helper {
    machine: Machine,
    outbox: Outbox,
    /// Entries that are not written yet.
    unwritten: Vec<Entry>,
}

struct World {
    helper: Option<Helper>,
    /// How many helpers there were.
    helpers: usize,
    journal: String,
    processes: Vec<Process>,
    core: Core,
    /// For each of the next deaths: how many points at which a helper can die come before it.
    deaths: Vec<usize>,
    /// How many of these points there were so far.
    points: usize,
    /// Whether scripts end while there is no helper.
    quick: bool,
}

impl World {
    fn new(mut deaths: Vec<usize>, quick: bool) -> Self {
        deaths.reverse();
        World {
            helper: None,
            helpers: 0,
            journal: String::new(),
            processes: Vec::new(),
            core: Core::default(),
            deaths,
            points: 0,
            quick,
        }
    }

    /// A point at which the helper may die.
    fn may_die(&mut self) -> Result<(), Died> {
        self.points += 1;
        match self.deaths.last_mut() {
            Some(0) => {
                self.deaths.pop();
                Err(Died)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn helper(&mut self) -> &mut Helper {
        self.helper.as_mut().unwrap()
    }

    /// Writes the entries; if it writes only some of them, the helper dies.
    fn write(&mut self) -> Result<(), Died> {
        for entry in std::mem::take(&mut self.helper().unwritten) {
            let line = serde_json::to_string(&entry).unwrap();
            if self.may_die().is_err() {
                // Only half of the last line.
                self.journal.push_str(&line[..line.len() / 2]);
                return Err(Died);
            }
            self.journal.push_str(&line);
            self.journal.push('\n');
        }
        self.may_die()
    }

    /// What is read from the journal, without an incomplete last line.
    fn read(&mut self) -> Ledger {
        let whole = self.journal.rfind('\n').map_or(0, |end| end + 1);
        self.journal.truncate(whole);
        let mut ledger = Ledger::default();
        for line in self.journal.lines() {
            ledger.apply(&serde_json::from_str(line).unwrap());
        }
        ledger
    }

    /// A new helper takes the journal over and connects.
    fn recover(&mut self) -> Result<(), Died> {
        if self.quick {
            for process in &mut self.processes {
                process.alive = false;
            }
        }
        self.helpers += 1;
        let ledger = self.read();
        let alive = |run: RunId| self.processes.iter().position(|p| p.run == run && p.alive);
        let found = ledger
            .being_started()
            .filter_map(|(run, _)| Some((run, child(alive(run)?))));
        let found = found.collect();
        let mut out = Vec::new();
        let machine = Machine::recovered(BOUNDS, ledger, &found, &mut out);
        self.helper = Some(Helper {
            machine,
            outbox: Outbox::default(),
            unwritten: Vec::new(),
        });
        self.perform(out, true)?;
        self.connect()
    }

    /// The helper connects, and core is told of everything that no core has settled.
    fn connect(&mut self) -> Result<(), Died> {
        self.write()?;
        for message in self.helper().outbox.resume() {
            self.may_die()?;
            self.core.hears(message);
        }
        self.deliver()?;
        self.core_says(ToScripts::Ready {})?;
        let again = self.core.not_taken();
        self.core_says(ToScripts::Run(again))
    }

    fn tell(&mut self, input: Input, works: bool) -> Result<(), Died> {
        let mut out = Vec::new();
        self.helper().machine.handle(input, NOW, &mut out);
        self.perform(out, works)
    }

    fn perform(&mut self, outputs: Vec<Output>, works: bool) -> Result<(), Died> {
        for output in outputs {
            match output {
                Output::Journal(entry) => self.helper().unwritten.push(entry),
                Output::Accepted(under_way) => self.helper().outbox.accept(under_way),
                Output::Forget(runs) => self.helper().outbox.forget(&runs),
                Output::ToCore(message) => self.helper().outbox.push(message),
                Output::Start(run) => {
                    self.write()?;
                    let input = self.start(&run, works)?;
                    self.tell(input, works)?;
                }
                Output::Adopt { run, child } => {
                    let process = self.processes[usize::try_from(child.pid).unwrap()];
                    assert_eq!(process.run, run);
                    let age = Duration::ZERO;
                    self.tell(
                        if process.alive {
                            Input::Found { run, age }
                        } else {
                            Input::Gone { run }
                        },
                        works,
                    )?;
                }
                // The result of a lookup need not survive.
                Output::LookUp(_) => {}
                Output::Act(run, _) => {
                    for process in self.processes.iter_mut().filter(|p| p.run == run) {
                        process.alive = false;
                    }
                }
            }
        }
        Ok(())
    }

    /// Creates a process, and checks that this is allowed.
    fn start(&mut self, run: &Run, works: bool) -> Result<Input, Died> {
        let id = run.run;
        assert!(self.spawned(id).is_none(), "{id:?} is started twice");
        let lane = run.kind.lane();
        for process in &self.processes {
            let other = self.core.order(process.run);
            if other.peer != run.peer {
                continue;
            }
            if other.kind.lane() == lane {
                assert!(!process.alive, "{id:?} beside {:?}", process.run);
                assert!(process.run < id, "{id:?} after {:?}", process.run);
            } else if other.kind.pair() == Pair::Interface && process.run < id {
                assert!(!process.alive, "{id:?} beside {:?}", process.run);
            }
        }
        if !works {
            let why = "no".to_owned();
            return Ok(Input::NotStarted { run: id, why });
        }
        self.processes.push(Process {
            run: id,
            alive: true,
            parent: self.helpers,
        });
        let child = child(self.processes.len() - 1);
        self.may_die()?;
        Ok(Input::Started { run: id, child })
    }

    fn spawned(&self, run: RunId) -> Option<&Process> {
        self.processes.iter().find(|process| process.run == run)
    }

    fn core_says(&mut self, message: ToScripts) -> Result<(), Died> {
        self.tell(Input::Core(message), true)?;
        self.deliver()
    }

    /// The end of a turn: everything is written, and then core gets the messages.
    fn deliver(&mut self) -> Result<(), Died> {
        self.write()?;
        while let Some(message) = self.helper().outbox.front().cloned() {
            self.may_die()?;
            self.helper().outbox.sent();
            self.core.hears(message);
        }
        Ok(())
    }

    /// A process ends.
    fn exit(&mut self, which: usize) -> Result<(), Died> {
        let alive: Vec<usize> = (0..self.processes.len())
            .filter(|at| self.processes[*at].alive)
            .collect();
        if alive.is_empty() {
            return Ok(());
        }
        let process = &mut self.processes[alive[which % alive.len()]];
        process.alive = false;
        let (run, own) = (process.run, process.parent == self.helpers);
        let (end, open) = (Ended::Exited(0), false);
        self.tell(
            if own {
                Input::Reaped { run, end, open }
            } else {
                Input::Gone { run }
            },
            true,
        )
    }

    fn step(&mut self, step: Step) -> Result<(), Died> {
        match step {
            Step::Order { peer, kind } => {
                let run = self.core.order_next(peer, kind);
                self.core_says(ToScripts::Run(vec![run]))
            }
            Step::Stop { which } if !self.core.orders.is_empty() => {
                let run = self.core.orders[which % self.core.orders.len()].run;
                if self.core.ended.contains_key(&run) {
                    return Ok(());
                }
                self.core.stopped.insert(run);
                self.tell(Input::Core(ToScripts::Stop(run)), true)?;
                // A process that a signal has ended is reaped.
                if let Some(process) = self.spawned(run).copied() {
                    let (end, open) = (Ended::Signal(15), false);
                    self.tell(
                        if process.parent == self.helpers {
                            Input::Reaped { run, end, open }
                        } else {
                            Input::Gone { run }
                        },
                        true,
                    )?;
                }
                Ok(())
            }
            Step::Stop { .. } => Ok(()),
            Step::Turn { works } => self.tell(Input::Turn(ORIGIN), works),
            Step::Exit { which } => self.exit(which),
            Step::Deliver => self.deliver(),
            Step::Settle => {
                let over = self.core.ended.keys().copied();
                let over: Vec<RunId> = over.filter(|r| !self.core.settled.contains(r)).collect();
                self.core.settled.extend(&over);
                self.core_says(ToScripts::Settled(over))
            }
            Step::NewCore => {
                self.core.die();
                self.connect()
            }
        }
    }

    /// Takes a step, with a new helper whenever one has died.
    fn take(&mut self, step: Option<Step>) {
        let mut result = match step {
            Some(step) => self.step(step),
            None => Ok(()),
        };
        while result.is_err() || self.helper.is_none() {
            self.helper = None;
            result = self.recover();
        }
    }

    /// Lets everything end.
    fn end(&mut self) {
        for _ in 0..1_000 {
            if self
                .core
                .orders
                .iter()
                .all(|run| self.core.ended.contains_key(&run.run))
            {
                return;
            }
            for step in [
                Step::Turn { works: true },
                Step::Exit { which: 0 },
                Step::Deliver,
            ] {
                self.take(Some(step));
            }
        }
        let open = self
            .core
            .orders
            .iter()
            .filter(|run| !self.core.ended.contains_key(&run.run));
        panic!("not over: {:?}", open.collect::<Vec<_>>());
    }

    /// What must be true when everything is over.
    fn check(&mut self) {
        for run in &self.core.orders {
            self.check_run(run);
        }
        let read = self.read();
        let machine = &self.helper.as_ref().unwrap().machine;
        assert!(machine.is_idle());
        assert!(read.runs().eq(machine.ledger.runs()));
        assert!(
            read.setups_after(None)
                .eq(machine.ledger.setups_after(None))
        );
        for run in self.core.orders.iter().rev() {
            let key = run.setup_key();
            let last = |other: &&Run| other.setup_key() == key;
            if self.core.orders.iter().rev().find(last).unwrap().run == run.run {
                self.check_setup(run, machine.ledger.setup(&key).unwrap());
            }
        }
    }

    fn check_run(&self, run: &Run) {
        let id = run.run;
        let end = &self.core.ended[&id];
        let spawned = self.spawned(id);
        let stopped = self.core.stopped.contains(&id);
        let none_spawned = |run: &Run| run.undoes.iter().all(|it| self.spawned(*it).is_none());
        match spawned {
            // Its own helper has reaped it, or another has seen it end.
            Some(process) => match end {
                Ended::Exited(0) => {}
                Ended::Stopped => assert!(stopped, "{id:?}"),
                Ended::Lost => assert!(self.helpers > process.parent, "{id:?}"),
                other => panic!("{id:?} {other:?}"),
            },
            None => match end {
                Ended::NotStarted(_) => {}
                // Its helper has died just before its start.
                Ended::Lost => assert!(self.helpers > 1, "{id:?}"),
                Ended::Stopped => {
                    let undoes = !run.undoes.is_empty() && none_spawned(run);
                    let undoes_it = |other: &Run| {
                        let is_undone = other.setup == Some(SetupState::Undone {});
                        is_undone && other.run > id && other.setup_key() == run.setup_key()
                    };
                    let undone = self.core.orders.iter().any(undoes_it);
                    assert!(stopped || undoes || undone, "{id:?}");
                }
                other => panic!("{id:?} {other:?}"),
            },
        }
        let is_lost = |undone: &RunId| self.core.ended[undone] == Ended::Lost;
        if !run.undoes.is_empty() && none_spawned(run) && !run.undoes.iter().any(is_lost) {
            assert!(spawned.is_none(), "{id:?} undoes nothing");
        }
    }

    fn check_setup(&self, run: &Run, state: &SetupState) {
        match (&run.setup, state) {
            (Some(SetupState::Undone {}), SetupState::Undone {}) => {}
            (Some(SetupState::Made(_)), SetupState::Made(made)) => {
                let makers = self.core.makers(&run.peer, run.kind, run.run.0 + 1);
                let is_lost = |maker: &RunId| self.core.ended[maker] == Ended::Lost;
                let lost = makers.iter().any(is_lost);
                let spawned = makers.iter().any(|maker| self.spawned(*maker).is_some());
                assert_eq!(made.never_started, !spawned && !lost, "{run:?}");
                assert!(made.runs.is_empty(), "{run:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

fn child(process: usize) -> Child {
    Child {
        pid: i32::try_from(process).unwrap(),
        start_time: 1,
    }
}

impl Core {
    fn order(&self, run: RunId) -> &Run {
        &self.orders[usize::try_from(run.0).unwrap()]
    }

    /// The runs before number `end` that make the setup of this kind, the last one first, up to one
    /// that undoes it.
    fn makers(&self, peer: &str, kind: ScriptKind, end: u64) -> Vec<RunId> {
        let orders = self.orders.iter().rev().filter(|run| run.run.0 < end);
        orders
            .filter(|run| run.peer == peer && run.kind.pair() == kind.pair())
            .take_while(|run| matches!(run.setup, Some(SetupState::Made(_))))
            .map(|run| run.run)
            .collect()
    }

    fn order_next(&mut self, peer: u8, kind: ScriptKind) -> Run {
        let run = RunId(self.orders.len() as u64);
        let makes = kind.undone_by().is_some();
        let made = Made {
            server: None,
            interface: String::new(),
            address: String::new(),
            algorithms: Vec::new(),
            record: Vec::new(),
            runs: vec![run],
            never_started: false,
        };
        let mut makers = self.makers(&peer.to_string(), kind, run.0);
        if makes {
            makers.clear();
        }
        let is_made = makers.iter().any(|run| self.started.contains(run));
        let run = Run {
            run,
            peer: peer.to_string(),
            kind,
            command: Command::Shell(":".to_owned()),
            environment: Vec::new(),
            limit: None,
            setup: Some(if makes {
                SetupState::Made(Arc::new(made))
            } else {
                SetupState::Undone {}
            }),
            // Core knows everything about a run that it has settled.
            undoes: makers
                .into_iter()
                .filter(|run| !is_made && !self.settled.contains(run))
                .collect(),
        };
        self.orders.push(run.clone());
        run
    }

    /// Another core knows the causes of the orders, and which runs an earlier one has settled.
    fn die(&mut self) {
        let settled = &self.settled;
        self.started.retain(|run| settled.contains(run));
        self.ended.retain(|run, _| settled.contains(run));
        self.taken.retain(|run| settled.contains(run));
    }

    fn hears(&mut self, message: FromScripts) {
        match message {
            FromScripts::Resume(runs) => {
                let there: HashSet<RunId> = runs.iter().map(|run| run.run).collect();
                for run in &self.taken {
                    let known = there.contains(run) || self.settled.contains(run);
                    assert!(known, "{run:?} was taken and is not there any more");
                }
                self.taken.extend(there);
            }
            FromScripts::Taken(run) => {
                self.taken.insert(run);
            }
            FromScripts::Started { run, .. } => {
                self.started.insert(run);
            }
            FromScripts::Ended { run, end } => {
                let before = self.ended.insert(run, end.clone());
                assert!(before.is_none_or(|before| before == end), "{run:?} {end:?}");
            }
            FromScripts::Eof { run, .. } => {
                assert!(
                    self.ended.contains_key(&run),
                    "{run:?} was not said to be over"
                );
            }
            other => panic!("{other:?}"),
        }
    }

    fn not_taken(&self) -> Vec<Run> {
        let waiting = self
            .orders
            .iter()
            .filter(|run| !self.taken.contains(&run.run));
        waiting.cloned().collect()
    }
}

/// How many points at which a helper can die there are in the history.
fn live(steps: &[Step], deaths: Vec<usize>, quick: bool) -> usize {
    let mut world = World::new(deaths, quick);
    world.take(None);
    for step in steps {
        world.take(Some(*step));
    }
    let points = world.points;
    world.end();
    world.take(Some(Step::Deliver));
    world.check();
    points
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(house::cases(if cfg!(debug_assertions) { 50 } else { 2_000 })))]

    /// Each run starts at most once, runs of a lane start in order, and no run is lost except those
    /// that end as lost, at whatever point the history is cut.
    #[test]
    fn whenever_a_helper_dies_each_run_starts_at_most_once_and_in_order(
        steps in proptest::collection::vec(step(), 0..40),
        second in 0usize..40,
        third in 0usize..40,
        quick in any::<bool>(),
    ) {
        let points = live(&steps, Vec::new(), quick);
        for cut in 0..points {
            live(&steps, vec![cut], quick);
            live(&steps, vec![cut, second, third], quick);
        }
    }
}
