// SPDX-License-Identifier: GPL-3.0-or-later
//! What the journal says: the runs that core has not settled, the setups, and which scripts have
//! failed.
//!
//! ```text
//!   ordered --> Waiting --starting--> Starting --started--> Started --ended--> Ended --settled-->
//!                  |                      |    adopted ------^                   ^
//!                  '----------------------'----------------- ended --------------'
//! ```
//!
//! Only [`Ledger::apply`] changes the ledger, for entries that are read and for those that are
//! about to be written. So a helper that reads a journal gets the same ledger as the helper that
//! wrote it.

pub(crate) mod failures;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::frame::{ITEMS_PER_FRAME, MAX_LIST, length};
use connect_ipc::scripts::{Child, Ended, FailureChanges, Run, UnderWay};
use connect_ipc::setup::{Made, Setup, SetupChange, SetupKey, SetupPage, SetupState};
use serde::{Deserialize, Serialize};

use failures::Failures;

/// How many undone setups are remembered. Fewer peers than that come and go while one server runs,
/// so core has got an undone setup long before it is forgotten.
pub const MAX_UNDONE: usize = 100_000;

/// One line of the journal. It is written before the act that it is about.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// Core has ordered this run.
    Ordered(Arc<Run>),
    /// Core has named this child of an earlier helper, of which the journal knew nothing.
    Adopted(UnderWay),
    /// A setup has changed without a script.
    Setup(SetupChange),
    /// A child is about to be made for this run.
    Starting {
        /// Which run.
        run: RunId,
        /// When and where.
        origin: Origin,
    },
    /// It was made.
    Started {
        /// For which run.
        run: RunId,
        /// The child.
        child: Child,
    },
    /// A run that is to end was sent `KILL`, and lives on.
    Survives {
        /// Which run.
        run: RunId,
        /// When it was sent `KILL` first.
        since: Monotonic,
    },
    /// A run is over.
    Ended {
        /// Which run.
        run: RunId,
        /// How.
        end: Ended,
    },
    /// Core has told which scripts have failed.
    Failures(FailureChanges),
    /// Core has dealt with the end of these runs.
    Settled(Vec<RunId>),
    /// A run as it stood when the journal was renewed.
    Kept(Unsettled),
}

/// A run that core has not settled.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Unsettled {
    /// What it is, with its child if it was started.
    pub under_way: UnderWay,
    /// How far it has come.
    pub stage: Stage,
    /// When it was sent `KILL` first, if it was and lives on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survives: Option<Monotonic>,
}

/// How far a run has come.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It waits for its turn; this is the whole order.
    Waiting(Arc<Run>),
    /// It has a child, or is just getting one.
    Starting(Origin),
    /// It has a child.
    Started {},
    /// It is over.
    Ended(Ended),
}

/// When and where a child is about to be made: what a later helper knows of the child if the
/// present helper ends before it has noted it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Origin {
    /// The present, in clock ticks since boot, as the system gives the start time of a process.
    pub at: u64,
    /// The session of the helper. Its child leads a process group, and the leader of a process
    /// group cannot begin another session. So the child stays in this session unless it moves to
    /// another process group first.
    pub session: i32,
}

impl Unsettled {
    /// Whether it is over and certainly was never started. A run that is lost may have been.
    #[must_use]
    pub fn never_started(&self) -> bool {
        let over = matches!(&self.stage, Stage::Ended(end) if *end != Ended::Lost);
        over && self.under_way.child.is_none()
    }

    /// How it ended, if it has.
    #[must_use]
    pub const fn end(&self) -> Option<&Ended> {
        match &self.stage {
            Stage::Ended(end) => Some(end),
            Stage::Waiting(_) | Stage::Starting(_) | Stage::Started {} => None,
        }
    }

    fn setup_key(&self) -> SetupKey {
        SetupKey {
            peer: self.under_way.peer.clone(),
            pair: self.under_way.kind.pair(),
        }
    }
}

/// A setup. `undone` is its place in the order in which setups were undone; `None` if it is not
/// undone.
#[derive(Clone, Debug)]
struct Remembered {
    /// The number of its last change.
    number: RunId,
    state: SetupState,
    undone: Option<u64>,
}

/// What the journal says.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    runs: BTreeMap<RunId, Unsettled>,
    setups: BTreeMap<SetupKey, Remembered>,
    /// The setups that are undone, the oldest first.
    undone: BTreeMap<u64, SetupKey>,
    failures: Failures,
}

impl Ledger {
    /// Takes an entry. One about a run that is not known, or is further already, changes nothing: a
    /// journal that is being renewed tells of runs that it does not have yet.
    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Ordered(run) => self.ordered(run),
            Entry::Adopted(under_way) => {
                let stage = Stage::Started {};
                let under_way = under_way.clone();
                let adopted = Unsettled {
                    under_way,
                    stage,
                    survives: None,
                };
                self.runs.entry(adopted.under_way.run).or_insert(adopted);
            }
            Entry::Setup(change) => self.set(change.clone()),
            Entry::Starting { run, origin } => {
                if let Some(unsettled) = self.open(*run) {
                    unsettled.stage = Stage::Starting(*origin);
                }
            }
            Entry::Started { run, child } => self.started(*run, *child),
            Entry::Survives { run, since } => {
                if let Some(unsettled) = self.open(*run) {
                    unsettled.survives.get_or_insert(*since);
                }
            }
            Entry::Ended { run, end } => self.ended(*run, end),
            Entry::Failures(changes) => self.failures.change(changes),
            Entry::Settled(runs) => {
                for run in runs {
                    self.runs.remove(run);
                }
            }
            Entry::Kept(unsettled) => {
                self.runs.insert(unsettled.under_way.run, unsettled.clone());
            }
        }
    }

    /// A run that core has not settled.
    #[must_use]
    pub fn run(&self, run: RunId) -> Option<&Unsettled> {
        self.runs.get(&run)
    }

    /// The order of a run that waits.
    #[must_use]
    pub fn order(&self, run: RunId) -> Option<&Arc<Run>> {
        match &self.runs.get(&run)?.stage {
            Stage::Waiting(order) => Some(order),
            Stage::Starting(_) | Stage::Started {} | Stage::Ended(_) => None,
        }
    }

    /// The runs that core has not settled, in the order of their numbers.
    pub fn runs(&self) -> impl Iterator<Item = &Unsettled> {
        self.runs.values()
    }

    /// The runs that were about to get a child when the journal ended: it does not say whether they
    /// did.
    pub fn being_started(&self) -> impl Iterator<Item = (RunId, Origin)> {
        self.runs.iter().filter_map(|(run, known)| {
            let Stage::Starting(origin) = known.stage else {
                return None;
            };
            Some((*run, origin))
        })
    }

    /// The children that were noted.
    pub(crate) fn children(&self) -> impl Iterator<Item = Child> {
        self.runs.values().filter_map(|run| run.under_way.child)
    }

    /// How a setup stands.
    #[must_use]
    pub fn setup(&self, key: &SetupKey) -> Option<&SetupState> {
        self.setups.get(key).map(|setup| &setup.state)
    }

    /// The number of the change with which a setup was undone; `None` if it is not undone.
    #[must_use]
    pub fn undone_by(&self, key: &SetupKey) -> Option<RunId> {
        let setup = self.setups.get(key)?;
        setup.undone.map(|_| setup.number)
    }

    /// Which scripts have failed, as core has told.
    pub(crate) const fn failures(&self) -> &Failures {
        &self.failures
    }

    /// The first run after `run`, or the first of all if it is `None`.
    pub(crate) fn run_after(&self, run: Option<RunId>) -> Option<&Unsettled> {
        let after = run.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.runs.range((after, Bound::Unbounded));
        rest.next().map(|(_, unsettled)| unsettled)
    }

    /// The setups after `key`, or all if it is `None`, each as its last change.
    pub(crate) fn setups_after<'a>(
        &'a self,
        key: Option<&SetupKey>,
    ) -> impl Iterator<Item = SetupChange> + use<'a> {
        let after = key.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.setups.range((after, Bound::Unbounded));
        rest.map(|(key, setup)| SetupChange {
            number: setup.number,
            setup: Setup {
                key: key.clone(),
                state: setup.state.clone(),
                number: None,
            },
        })
    }

    /// The setups after `after`, or the first if it is `None`: as many as fit into a message.
    pub(crate) fn page(&self, after: Option<&SetupKey>) -> SetupPage {
        let mut page = SetupPage::default();
        let mut size = 0;
        for SetupChange { number, setup } in self.setups_after(after) {
            let setup = Setup {
                number: Some(number),
                ..setup
            };
            // One byte more is the comma between two.
            size += length(&setup) + 1;
            let full = page.setups.len() == ITEMS_PER_FRAME || size > MAX_LIST;
            if full && !page.setups.is_empty() {
                page.more = true;
                break;
            }
            page.setups.push(setup);
        }
        page
    }

    fn ordered(&mut self, run: &Arc<Run>) {
        if self.runs.contains_key(&run.run) {
            return;
        }
        if let Some(state) = &run.setup {
            self.set(SetupChange {
                number: run.run,
                setup: Setup {
                    key: run.setup_key(),
                    state: state.clone(),
                    number: None,
                },
            });
        }
        let under_way = UnderWay::from(&**run);
        let stage = Stage::Waiting(Arc::clone(run));
        let unsettled = Unsettled {
            under_way,
            stage,
            survives: None,
        };
        self.runs.insert(run.run, unsettled);
    }

    fn started(&mut self, run: RunId, child: Child) {
        let Some(unsettled) = self.open(run) else {
            return;
        };
        unsettled.stage = Stage::Started {};
        unsettled.under_way.child = Some(child);
        let key = unsettled.setup_key();
        if let Some(SetupState::Made(made)) = self.state(&key)
            && made.runs.contains(&run)
        {
            Arc::make_mut(made).run_started();
        }
    }

    fn ended(&mut self, run: RunId, end: &Ended) {
        let known = self.runs.get_mut(&run);
        let Some(unsettled) = known.filter(|known| known.end().is_none()) else {
            return;
        };
        unsettled.stage = Stage::Ended(end.clone());
        self.failures.ended(&unsettled.under_way, end);
        let (never_started, key) = (unsettled.never_started(), unsettled.setup_key());
        if let Some(SetupState::Made(made)) = self.state(&key)
            && made.runs.contains(&run)
        {
            let made = Arc::make_mut(made);
            if never_started {
                made.run_never_started(run);
            } else {
                // If it is lost, it may have been.
                made.run_started();
            }
        }
    }

    /// A run that is not over.
    fn open(&mut self, run: RunId) -> Option<&mut Unsettled> {
        let unsettled = self.runs.get_mut(&run)?;
        unsettled.end().is_none().then_some(unsettled)
    }

    fn state(&mut self, key: &SetupKey) -> Option<&mut SetupState> {
        self.setups.get_mut(key).map(|setup| &mut setup.state)
    }

    /// What is known of the runs that make a setup, where the state `before` was made, too. `order`
    /// is the number of the change: of the run, if it is an order.
    fn follow(&self, made: &mut Made, before: Option<&Made>, order: RunId) {
        // Core may not have known yet that a run was not started. One that is settled had its part
        // in the state before.
        let was_not_made = before.is_some_and(|before| before.never_started);
        for run in made.runs.clone() {
            let never_started = match self.run(run) {
                Some(known) => known.never_started(),
                None => was_not_made && run != order,
            };
            if never_started {
                made.run_never_started(run);
            }
        }
        let Some(before) = before.filter(|before| !before.never_started) else {
            return;
        };
        if before.runs.is_empty() {
            made.run_started();
        } else if !made.runs.is_empty() || made.never_started {
            // An earlier run that makes it may be started, whatever happens to this one.
            made.runs.extend(&before.runs);
            made.runs.sort_unstable();
            made.runs.dedup();
            made.never_started = false;
        }
    }

    /// Sets a setup, and forgets the oldest that is undone if there are too many of these.
    ///
    /// A change that comes again after a later one, since core does not know whether it arrived,
    /// says nothing.
    fn set(&mut self, change: SetupChange) {
        let SetupChange { number, setup } = change;
        let Setup { key, mut state, .. } = setup;
        let before = self.setups.get(&key);
        if before.is_some_and(|last| number < last.number) {
            return;
        }
        if let SetupState::Made(made) = &mut state {
            let before = before.and_then(|last| match &last.state {
                SetupState::Made(before) => Some(&**before),
                SetupState::Undone {} => None,
            });
            self.follow(Arc::make_mut(made), before, number);
        }
        let undone = match state {
            SetupState::Made(_) => None,
            SetupState::Undone {} => {
                let last = self.undone.last_key_value();
                let count = last.map_or(0, |(count, _)| count + 1);
                self.undone.insert(count, key.clone());
                Some(count)
            }
        };
        let before = self.setups.insert(
            key,
            Remembered {
                number,
                state,
                undone,
            },
        );
        if let Some(before) = before.and_then(|setup| setup.undone) {
            self.undone.remove(&before);
        }
        if self.undone.len() > MAX_UNDONE
            && let Some((_, oldest)) = self.undone.pop_first()
        {
            self.setups.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
