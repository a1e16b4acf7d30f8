// SPDX-License-Identifier: GPL-3.0-or-later
//! One peer comes and goes while core and script helper die, the server is away, and the database
//! comes late: its scripts alternate, and the last one fits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::{Run, ToScripts};
use connect_ipc::setup::{Setup, SetupKey, SetupState};
use proptest::prelude::*;

use super::super::{Input, Loaded, State};
use super::rig::Rig;
use super::undecided::started_at;
use super::unfinished::{ADD, records};

/// How many rounds of answers settle everything.
const ROUNDS: usize = 6;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The peer is removed if it is there, and added if not; and the reverse, if so said.
    Toggle {
        back: bool,
    },
    /// Core dies and is started again, with the last state.
    CoreDies,
    ServerGoes,
    /// The peer may have come or gone meanwhile, or between the claim and the list.
    ServerComes {
        during_claim: bool,
        toggle: bool,
    },
    HelperComes,
    HelperGoes,
    DatabaseComes,
}

fn step() -> impl Strategy<Value = Step> {
    let bools = (any::<bool>(), any::<bool>());
    prop_oneof![
        2 => any::<bool>().prop_map(|back| Step::Toggle { back }),
        1 => Just(Step::CoreDies),
        1 => Just(Step::ServerGoes),
        1 => bools.prop_map(|(during_claim, toggle)| Step::ServerComes { during_claim, toggle }),
        1 => Just(Step::HelperComes),
        1 => Just(Step::HelperGoes),
        1 => Just(Step::DatabaseComes),
    ]
}

struct World {
    rig: Rig,
    now: Monotonic,
    is_present: bool,
    has_helper: bool,
    has_server: bool,
    has_database: bool,
    saved: State,
    /// What the script helper keeps.
    journal: BTreeMap<SetupKey, Setup>,
    /// The scripts that were run, in order.
    ran: Vec<(RunId, &'static str)>,
    /// How often the peer was added. Its algorithms say which of them a setup is for.
    generation: u32,
}

impl World {
    fn new() -> Self {
        let mut rig = Rig::alone(&records(), false);
        rig.scripts_come();
        rig.meet(&["q"]);
        rig.answer_all();
        let saved = rig.saved();
        rig.to_scripts.clear();
        World {
            now: rig.now,
            rig,
            is_present: false,
            has_helper: true,
            has_server: true,
            has_database: true,
            saved,
            journal: BTreeMap::new(),
            ran: Vec::new(),
            generation: 0,
        }
    }

    fn peers(&self) -> &'static [&'static str] {
        if self.is_present { &["p", "q"] } else { &["q"] }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Toggle { back } if self.has_server => {
                self.toggle();
                if back {
                    self.toggle();
                }
                self.settle();
                self.save();
            }
            Step::CoreDies => self.core_dies(),
            Step::ServerGoes if self.has_server => {
                self.rig.lose_server();
                self.rig.sent();
                self.has_server = false;
            }
            Step::ServerComes {
                during_claim,
                toggle,
            } if !self.has_server => {
                self.server_comes(during_claim, toggle);
                self.save();
            }
            Step::HelperComes if !self.has_helper => self.helper_comes(),
            Step::HelperGoes if self.has_helper => {
                self.rig.scripts_go();
                self.has_helper = false;
            }
            Step::DatabaseComes if !self.has_database => self.database_comes(),
            _ => {}
        }
    }

    fn toggle(&mut self) {
        self.change();
        self.rig
            .hear(if self.is_present { ADD } else { "NOTE KILL p" });
    }

    /// The peer comes or goes, and core does not hear it.
    fn change(&mut self) {
        self.is_present = !self.is_present;
        self.generation += u32::from(self.is_present);
    }

    fn save(&mut self) {
        if let Some((_, state)) = self.rig.machine.state() {
            self.saved = copy(&state);
        }
    }

    fn core_dies(&mut self) {
        self.now = self.now + Duration::from_secs(1);
        self.rig = started_at(self.now);
        let fault = "it is damaged".to_owned();
        self.rig.feed(Input::Database(Loaded::Faulty { fault }));
        self.rig.inherit(copy(&self.saved));
        (self.has_helper, self.has_server, self.has_database) = (false, false, false);
    }

    fn server_comes(&mut self, during_claim: bool, toggle: bool) {
        self.has_server = true;
        if during_claim {
            self.rig.connect_server();
            self.rig.hear("OK");
            self.rig.hear("OK");
            if toggle {
                self.toggle();
            }
            for peer in self.peers() {
                self.rig.hear(&format!("INFO {peer}"));
            }
            self.rig.sent();
            self.rig.hear("OK");
        } else {
            if toggle {
                self.change();
            }
            self.rig.meet(self.peers());
        }
        self.settle();
    }

    fn helper_comes(&mut self) {
        self.rig.to_scripts.clear();
        self.rig.kept = self.journal.values().cloned().collect();
        self.rig.scripts_come();
        self.has_helper = true;
        self.settle();
    }

    fn database_comes(&mut self) {
        self.rig.database(&records());
        self.has_database = true;
        self.settle();
    }

    /// Server and script helper do what they are told.
    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            if self.has_server {
                self.answer();
            }
            if self.has_helper {
                let messages = self.rig.to_scripts.clone();
                self.rig.take_orders();
                self.rig.to_scripts.drain(..messages.len());
                for message in messages {
                    self.obey(message);
                }
            }
            self.rig.stand_still(Duration::ZERO);
        }
    }

    fn answer(&mut self) {
        loop {
            let lines = self.rig.sent();
            if lines.is_empty() {
                return;
            }
            for line in lines {
                let words: Vec<&str> = line.split(' ').collect();
                match words[..] {
                    [_, "-background", tag, ..] => {
                        self.rig.hear(&format!("BGDETACH {tag}"));
                        continue;
                    }
                    ["IFNAME", ..] => self.rig.hear("INFO tun0"),
                    ["ADDR", ..] => self.rig.hear("INFO INET 192.0.2.1 1"),
                    ["ALGS", "p"] => self.rig.hear(&format!("INFO gen={}", self.generation)),
                    _ => {}
                }
                self.rig.hear("OK");
            }
        }
    }

    fn obey(&mut self, message: ToScripts) {
        match message {
            ToScripts::Run(runs) => {
                for run in runs {
                    self.run(run);
                }
            }
            ToScripts::Setup(change) => {
                let number = Some(change.number);
                let setup = Setup {
                    number,
                    ..change.setup
                };
                self.journal.insert(setup.key.clone(), setup);
            }
            _ => {}
        }
    }

    /// Runs a script, unless it was run already.
    fn run(&mut self, run: Run) {
        if self.ran.iter().any(|(id, _)| *id == run.run) {
            return;
        }
        if run.peer == "p" {
            self.ran.push((run.run, run.kind.name()));
        }
        let (id, key) = (run.run, run.setup_key());
        if let Some(mut state) = run.setup {
            if let SetupState::Made(made) = &mut state {
                Arc::make_mut(made).run_started();
            }
            let number = Some(id);
            let setup = Setup {
                key: key.clone(),
                state,
                number,
            };
            self.journal.insert(key, setup);
        }
        self.rig.scripts_end([id]);
    }

    /// Everything comes that is missing.
    fn end(&mut self) {
        if !self.has_database {
            self.database_comes();
        }
        if !self.has_server {
            self.server_comes(false, false);
        }
        if !self.has_helper {
            self.helper_comes();
        }
        self.settle();
    }

    /// Whether the peer, if it is there, is the one for which its setup was made.
    fn is_set_up(&self) -> bool {
        let generation = self.generation.to_string();
        let is_its = |setup: &Setup| match &setup.state {
            SetupState::Made(made) => made.algorithms.iter().any(|(_, it)| *it == generation),
            SetupState::Undone {} => false,
        };
        let mut of_peer = self.journal.values().filter(|setup| setup.key.peer == "p");
        !self.is_present || of_peer.any(is_its)
    }
}

fn copy(state: &State) -> State {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn its_scripts_alternate_and_the_last_one_fits(
        steps in prop::collection::vec(step(), 1..14)
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.end();
        let ran: Vec<&str> = world.ran.iter().map(|(_, kind)| *kind).collect();
        for (index, kind) in ran.iter().enumerate() {
            let expected = ["ifup", "ifdown"][index % 2];
            prop_assert_eq!(*kind, expected, "{:?}", ran);
        }
        prop_assert_eq!(ran.len() % 2 == 1, world.is_present, "{:?}", ran);
        prop_assert!(world.is_set_up());
    }
}
