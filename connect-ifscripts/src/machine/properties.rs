// SPDX-License-Identifier: GPL-3.0-or-later
//! What is always true of the machine: order, one run at a time, the limit, and one end for each
//! run.

use super::*;
use std::collections::HashSet;

use connect_ipc::scripts::{Child, Command, ScriptKind};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

const BOUND: usize = 3;

const ORIGIN: Origin = Origin { at: 7, session: 8 };

const BOUNDS: ByLane<usize> = ByLane {
    interface: BOUND,
    connection: BOUND,
};

/// What may happen next. Numbers choose among what exists at that moment.
#[derive(Clone, Copy, Debug)]
enum Step {
    Queue { peer: u8, limit: Option<u32> },
    Adopt { peer: u8, alive: bool },
    Stop { which: usize },
    Start { works: bool },
    Exit { which: usize },
    Wait { seconds: u64 },
    Repeat { which: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..5, proptest::option::of(1u32..10))
            .prop_map(|(peer, limit)| Step::Queue { peer, limit }),
        1 => (0u8..5, any::<bool>()).prop_map(|(peer, alive)| Step::Adopt { peer, alive }),
        1 => any::<usize>().prop_map(|which| Step::Stop { which }),
        4 => proptest::bool::weighted(0.9).prop_map(|works| Step::Start { works }),
        3 => any::<usize>().prop_map(|which| Step::Exit { which }),
        1 => (0u64..5).prop_map(|seconds| Step::Wait { seconds }),
        1 => any::<usize>().prop_map(|which| Step::Repeat { which }),
    ]
}

/// A value that is written down and read again must be the same.
fn assert_written<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
}

/// The machine, with a world that checks what must not happen.
struct World {
    machine: Machine,
    /// What a reader of the journal would have.
    read: Ledger,
    now: Monotonic,
    given: Vec<Run>,
    /// Runs that have a child, with whether it was adopted and the signals it got.
    children: Vec<(RunId, String, bool, u32)>,
    started: Vec<RunId>,
    ended: HashSet<RunId>,
}

impl World {
    fn new() -> Self {
        let mut machine = Machine::new(BOUNDS);
        let now = Monotonic(1_000_000_000);
        machine.handle(Input::Core(ToScripts::Ready {}), now, &mut Vec::new());
        World {
            machine,
            read: Ledger::default(),
            now,
            given: Vec::new(),
            children: Vec::new(),
            started: Vec::new(),
            ended: HashSet::new(),
        }
    }

    /// Gives the machine an input. Returns the run that is to be started, if one is.
    fn tell(&mut self, input: Input) -> Option<Arc<Run>> {
        let mut out = Vec::new();
        assert_written(&input);
        self.machine.handle(input, self.now, &mut out);
        let mut start = None;
        for output in out {
            assert_written(&output);
            match output {
                Output::ToCore(FromScripts::Ended { run, .. }) => {
                    assert!(self.ended.insert(run), "{run:?} ended twice");
                    let alive = self.children.iter().any(|(child, ..)| *child == run);
                    assert!(!alive, "{run:?} ended before its child");
                }
                Output::Act(run, _) => {
                    let child = self.children.iter_mut().find(|(child, ..)| *child == run);
                    let (.., signals) = child.unwrap();
                    *signals += 1;
                    assert!(*signals <= 2, "{run:?} is ended again and again");
                }
                Output::Start(run) => assert_eq!(start.replace(run), None, "one a turn"),
                Output::Journal(entry) => self.read.apply(&entry),
                Output::ToCore(_)
                | Output::Accepted(_)
                | Output::Forget(_)
                | Output::LookUp(_)
                | Output::Adopt { .. } => {}
            }
        }
        start
    }

    fn new_run(&mut self, peer: u8, limit: Option<u32>) -> Run {
        let run = Run {
            run: RunId(self.given.len() as u64),
            peer: peer.to_string(),
            kind: ScriptKind::Ifup,
            command: Command::Shell(":".to_owned()),
            environment: Vec::new(),
            limit,
            setup: None,
            undoes: Vec::new(),
        };
        self.given.push(run.clone());
        run
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Queue { peer, limit } => {
                let run = self.new_run(peer, limit);
                self.tell(Input::Core(ToScripts::Run(vec![run])));
            }
            Step::Adopt { peer, alive } => {
                let run = self.new_run(peer, None);
                let id = run.run;
                let under_way = UnderWay {
                    run: id,
                    peer: run.peer.clone(),
                    kind: run.kind,
                    child: Some(Child {
                        pid: 2,
                        start_time: 1,
                    }),
                    limit: run.limit,
                };
                self.tell(Input::Core(ToScripts::Adopt(vec![under_way])));
                if alive {
                    self.children.push((id, run.peer, true, 0));
                    let age = Duration::ZERO;
                    self.tell(Input::Found { run: id, age });
                } else {
                    self.tell(Input::Gone { run: id });
                }
            }
            Step::Stop { which } if !self.given.is_empty() => {
                let run = self.given[which % self.given.len()].run;
                self.tell(Input::Core(ToScripts::Stop(run)));
            }
            Step::Repeat { which } if !self.given.is_empty() => {
                let run = self.given[which % self.given.len()].clone();
                if !self.ended.contains(&run.run) {
                    self.tell(Input::Core(ToScripts::Run(vec![run])));
                }
            }
            Step::Start { works } => {
                self.start(works);
            }
            Step::Exit { which } if !self.children.is_empty() => {
                let which = which % self.children.len();
                let (run, _, adopted, _) = self.children.swap_remove(which);
                self.tell(if adopted {
                    Input::Gone { run }
                } else {
                    let end = Ended::Exited(0);
                    Input::Reaped {
                        run,
                        end,
                        open: false,
                    }
                });
            }
            Step::Wait { seconds } => {
                self.now = self.now + Duration::from_secs(seconds);
                self.tell(Input::Time {});
                let due = self.machine.next_deadline();
                assert!(due.is_none_or(|at| at > self.now), "a deadline was missed");
            }
            Step::Stop { .. } | Step::Repeat { .. } | Step::Exit { .. } => {}
        }
    }

    fn start(&mut self, works: bool) -> bool {
        let Some(run) = self.tell(Input::Turn(ORIGIN)) else {
            assert!(!self.could_start(), "something could start and does not");
            return false;
        };
        assert!(!self.ended.contains(&run.run));
        assert!(self.children.len() < BOUND, "too many at once");
        let busy = self.children.iter().any(|(_, peer, ..)| *peer == run.peer);
        assert!(!busy, "two at once for {}", run.peer);
        let earlier = self.started.iter().find(|earlier| {
            **earlier > run.run && self.given[usize::try_from(earlier.0).unwrap()].peer == run.peer
        });
        assert_eq!(earlier, None, "out of order");
        self.started.push(run.run);
        if works {
            self.children.push((run.run, run.peer.clone(), false, 0));
            let child = Child {
                pid: 2,
                start_time: 1,
            };
            self.tell(Input::Started {
                run: run.run,
                child,
            });
        } else {
            let why = "no".to_owned();
            self.tell(Input::NotStarted { run: run.run, why });
        }
        true
    }

    /// Whether a run waits whose peer has no child, although the limit would allow another child.
    fn could_start(&self) -> bool {
        self.children.len() < BOUND
            && self.given.iter().any(|run| {
                !self.ended.contains(&run.run)
                    && !self.children.iter().any(|(_, peer, ..)| *peer == run.peer)
            })
    }
}

proptest! {
    #[test]
    fn order_is_kept_and_nothing_is_lost(steps in proptest::collection::vec(step(), 0..200)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        // In the end everything ends.
        while world.start(true) || !world.children.is_empty() {
            world.take(Step::Exit { which: 0 });
        }
        prop_assert_eq!(world.ended.len(), world.given.len());
        prop_assert!(world.machine.is_idle() && world.machine.active.is_empty());
        prop_assert!(world.read.runs().eq(world.machine.ledger.runs()));
        prop_assert!(world.machine.deadlines.is_empty());
    }
}
