// SPDX-License-Identifier: GPL-3.0-or-later
//! Which run starts when, and how it ends: every decision of this program, without any I/O.
//!
//! ```text
//!            .-- Stop --> Ended(Stopped)
//!   Run --Taken--> waiting --Turn--> under way --Reaped--> Ended(status) --Settled--> forgotten
//!                        |        |  ^
//!                  NotStarted     |  | limit or Stop: Terminate, 2 s, Kill, 2 s, Survives
//!                        v        '--'
//!          Ended(NotStarted)
//!
//!   Adopt --> under way --Gone, Reaped--> Ended(Lost)
//! ```
//!
//! What happens goes in as [`Input`], what is to be done comes out as [`Output`]. What the next
//! helper must know is in the [`Ledger`]: each change of it comes out as [`Output::Journal`],
//! before the output that it is about.

mod io;
mod recovery;
mod sparing;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::frame::parts;
use connect_ipc::scripts::{
    Ended, FromScripts, KILL_AFTER, LINGERING, MAX_WAITING, Run, SURVIVES_AFTER, Stream, ToScripts,
    UnderWay,
};
use connect_ipc::setup::{ByLane, Lane};

use crate::ledger::{Entry, Ledger, Origin, Stage};
use crate::queue::{Full, Queues};
pub use io::{Action, Input, Output};

/// How long a script may take to clean up between `TERM` and `KILL`.
const GRACE: Duration = KILL_AFTER;

/// The longest name of a peer. No line of the admin protocol is longer, so no peer can have a
/// longer name. Because longer ones are refused, the list of a resume fits into a message.
const MAX_PEER_NAME: usize = 255;

/// A run that is under way.
#[derive(Clone, Debug, Default)]
struct Active {
    /// When something is due next for this run; it is also in `Machine::deadlines`.
    deadline: Option<Monotonic>,
    /// What its end will be, if this helper is ending it.
    ending: Option<Ended>,
    /// When it was sent `KILL`.
    killed: Option<Monotonic>,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    queues: Queues,
    ledger: Ledger,
    active: HashMap<RunId, Active>,
    deadlines: BTreeSet<(Monotonic, RunId)>,
    /// Runs that are over but have an open pipe, the oldest first.
    lingering: VecDeque<RunId>,
    /// Whether core has named everything that an earlier helper started. Until then nothing is
    /// started, since it could run at the same time as a script of the same peer.
    ready: bool,
}

impl Machine {
    /// A new machine, which lets at most `bounds` scripts of each lane run at once.
    #[must_use]
    pub fn new(bounds: ByLane<usize>) -> Self {
        Machine {
            queues: Queues::new(bounds),
            ledger: Ledger::default(),
            active: HashMap::new(),
            deadlines: BTreeSet::new(),
            lingering: VecDeque::new(),
            ready: false,
        }
    }

    /// Takes what has happened at `now` and appends what is to be done.
    pub fn handle(&mut self, input: Input, now: Monotonic, out: &mut Vec<Output>) {
        match input {
            Input::Core(message) => self.message(message, now, out),
            Input::Malformed(fault) => out.push(Output::ToCore(FromScripts::Error(fault))),
            Input::Turn(origin) => self.start_next(origin, out),
            Input::Started { run, child } => {
                self.note(Entry::Started { run, child }, out);
                out.push(Output::ToCore(FromScripts::Started { run, child }));
                self.limit(run, Duration::ZERO, now);
            }
            Input::NotStarted { run, why } => self.finish(run, Ended::NotStarted(why), out),
            Input::Said(messages) => out.extend(messages.into_iter().map(Output::ToCore)),
            Input::Reaped { run, end, open } => {
                if open {
                    self.linger(run, out);
                }
                self.finish(run, end, out);
            }
            Input::Closed { run } => self.lingering.retain(|lingering| *lingering != run),
            Input::Found { run, age } => self.limit(run, age, now),
            Input::Gone { run } => {
                self.finish(run, Ended::Lost, out);
                no_output(run, out);
            }
            Input::Time {} => self.time(now, out),
        }
    }

    /// What the next helper must know.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether no run is under way or waiting.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.under_way() == 0 && self.waiting() == 0
    }

    /// Whether [`Input::Turn`] starts a run.
    #[must_use]
    pub fn has_turn(&self) -> bool {
        self.ready && self.queues.has_turn()
    }

    /// How many runs are under way.
    #[must_use]
    pub const fn under_way(&self) -> usize {
        self.queues.busy()
    }

    /// How many runs wait for their turn.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.queues.waiting()
    }

    /// Whether runs of this lane wait only because as many as may be are under way.
    #[must_use]
    pub const fn is_full(&self, lane: Lane) -> bool {
        self.queues.is_full(lane)
    }

    /// When [`Input::Time`] leads to something next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn message(&mut self, message: ToScripts, now: Monotonic, out: &mut Vec<Output>) {
        match message {
            ToScripts::Adopt(list) => {
                for under_way in list {
                    self.adopt(under_way, out);
                }
            }
            ToScripts::Ready {} => self.ready = true,
            ToScripts::Run(list) => {
                for run in list {
                    self.enqueue(run, out);
                }
            }
            ToScripts::Stop(run) => self.stop(run, now, out),
            ToScripts::Recall(after) => {
                if after.is_none() {
                    let failures = parts(self.ledger.failures().after(None).cloned());
                    let failures = failures.into_iter().map(FromScripts::Failures);
                    out.extend(failures.map(Output::ToCore));
                }
                let page = self.ledger.page(after.as_ref());
                out.push(Output::ToCore(FromScripts::Setups(page)));
            }
            ToScripts::Setup(change) => {
                let (number, key) = (change.number, change.setup.key.clone());
                self.note(Entry::Setup(change), out);
                out.push(Output::ToCore(FromScripts::Taken(number)));
                self.drop_makers(&key, out);
            }
            ToScripts::Failures(changes) => self.note(Entry::Failures(changes), out),
            ToScripts::Over(runs) => self.lose_waiting(&runs, out),
            ToScripts::Settled(runs) => self.settle(runs, out),
            ToScripts::LookUp(lookup) => out.push(Output::LookUp(lookup)),
            // Core refuses something that we sent; the link has logged it.
            ToScripts::Error(_) => {}
        }
    }

    /// Writes an entry to the journal, and applies it.
    fn note(&mut self, entry: Entry, out: &mut Vec<Output>) {
        self.ledger.apply(&entry);
        out.push(Output::Journal(entry));
    }

    /// Starts the run whose turn it is, if one may be started now.
    fn start_next(&mut self, origin: Origin, out: &mut Vec<Output>) {
        if !self.ready {
            return;
        }
        if let Some(run) = self.queues.take()
            // The ledger has the order of each run in a queue.
            && let Some(order) = self.ledger.order(run).cloned()
        {
            self.note(Entry::Starting { run, origin }, out);
            self.active.insert(run, Active::default());
            out.push(Output::Start(order));
        }
    }

    /// Remembers a run whose pipes are open although its child was reaped. If there are too many of
    /// these, the pipes of the oldest are closed.
    fn linger(&mut self, run: RunId, out: &mut Vec<Output>) {
        self.lingering.push_back(run);
        if self.lingering.len() > LINGERING
            && let Some(run) = self.lingering.pop_front()
        {
            out.push(Output::Act(run, Action::CloseOutput));
        }
    }

    fn enqueue(&mut self, run: Run, out: &mut Vec<Output>) {
        let id = run.run;
        if let Some(known) = self.ledger.run(id) {
            // Core sends it again because it does not know that it arrived.
            out.push(Output::ToCore(match known.end() {
                Some(end) => ended(id, end.clone()),
                None => FromScripts::Taken(id),
            }));
            return;
        }
        if run.peer.len() > MAX_PEER_NAME {
            let why = format!("the peer's name is longer than {MAX_PEER_NAME} bytes: shorten it");
            // It is not in the journal; if it came again, it would be refused again.
            out.push(Output::ToCore(ended(id, Ended::NotStarted(why))));
            return;
        }
        let run = Arc::new(run);
        self.note(Entry::Ordered(Arc::clone(&run)), out);
        out.push(Output::Accepted(UnderWay::from(&*run)));
        out.push(Output::ToCore(FromScripts::Taken(id)));
        if self.queue(&run, out) {
            self.spare(&run, out);
        }
        self.drop_makers(&run.setup_key(), out);
    }

    /// Puts an ordered run into its queue. Returns whether there was room; if not, the run is over.
    fn queue(&mut self, run: &Run, out: &mut Vec<Output>) -> bool {
        let pushed = self.queues.push(&run.peer, run.kind, run.run);
        if pushed == Err(Full) {
            let why = format!(
                "{MAX_WAITING} scripts of peer {} already wait: one of them hangs; end it or \
                 give it a time limit",
                run.peer
            );
            self.conclude(run.run, Ended::NotStarted(why), out);
        }
        pushed.is_ok()
    }

    fn adopt(&mut self, under_way: UnderWay, out: &mut Vec<Output>) {
        let run = under_way.run;
        if let Some(known) = self.ledger.run(run) {
            match (&known.stage, under_way.child) {
                (Stage::Ended(end), _) => out.push(Output::ToCore(ended(run, end.clone()))),
                // The journal has lost that it was started.
                (Stage::Waiting(_), Some(child)) => {
                    self.take_off(run);
                    self.note(Entry::Started { run, child }, out);
                    self.hold(&under_way);
                    out.push(Output::Accepted(under_way));
                    out.push(Output::Adopt { run, child });
                }
                _ => {}
            }
            return;
        }
        let fault = match under_way.child {
            Some(child) if under_way.peer.len() <= MAX_PEER_NAME => {
                self.note(Entry::Adopted(under_way.clone()), out);
                self.hold(&under_way);
                out.push(Output::Accepted(under_way));
                out.push(Output::Adopt { run, child });
                return;
            }
            Some(_) => format!("run {} is of a peer with too long a name", run.0),
            None => format!("run {} has no child to adopt: send it to be run", run.0),
        };
        out.push(Output::ToCore(FromScripts::Error(fault)));
    }

    /// Counts a run as under way that has a child already.
    fn hold(&mut self, under_way: &UnderWay) {
        self.queues
            .hold(&under_way.peer, under_way.kind, under_way.run);
        self.active.insert(under_way.run, Active::default());
    }

    /// Core knows the end of these runs. The journal may have only the order of one.
    fn lose_waiting(&mut self, runs: &[RunId], out: &mut Vec<Output>) {
        for run in runs {
            if self.ledger.order(*run).is_some() {
                self.take_off(*run);
                self.conclude(*run, Ended::Lost, out);
            }
        }
    }

    fn settle(&mut self, mut runs: Vec<RunId>, out: &mut Vec<Output>) {
        let is_over = |run: &RunId| self.ledger.run(*run).is_some_and(|run| run.end().is_some());
        runs.retain(is_over);
        if !runs.is_empty() {
            out.push(Output::Forget(runs.clone()));
            self.note(Entry::Settled(runs), out);
        }
    }

    fn stop(&mut self, run: RunId, now: Monotonic, out: &mut Vec<Output>) {
        match self.ledger.run(run).map(|known| &known.stage) {
            Some(Stage::Waiting(_)) => {
                self.take_off(run);
                self.conclude(run, Ended::Stopped, out);
            }
            Some(Stage::Starting(_) | Stage::Started {}) => {
                let active = self.active.get(&run);
                if active.is_some_and(|active| active.ending.is_none()) {
                    self.end(run, Ended::Stopped, now, out);
                }
            }
            // The message that a run has ended may cross core's request to end it.
            Some(Stage::Ended(_)) => {}
            None => {
                let text = format!("run {} is not known here, so it cannot be stopped", run.0);
                out.push(Output::ToCore(FromScripts::Error(text)));
            }
        }
    }

    /// Limits the time of a run, if it has a limit, to what is left of it at this age.
    fn limit(&mut self, run: RunId, age: Duration, now: Monotonic) {
        let is_ending = self.active.get(&run).is_some_and(|it| it.ending.is_some());
        if let Some(limit) = self.ledger.run(run).and_then(|known| known.under_way.limit)
            && !is_ending
        {
            let left = Duration::from_secs(limit.into()).saturating_sub(age);
            self.set_deadline(run, Some(now + left));
        }
    }

    fn time(&mut self, now: Monotonic, out: &mut Vec<Output>) {
        while let Some((at, run)) = self.deadlines.first().copied()
            && at <= now
        {
            let active = self.active.get(&run);
            match active.map(|active| (&active.ending, active.killed)) {
                Some((_, Some(since))) => {
                    self.set_deadline(run, None);
                    self.survives(run, since, out);
                }
                Some((Some(_), None)) => self.kill(run, now, out),
                Some((None, None)) | None => self.end(run, Ended::TimedOut, now, out),
            }
        }
    }

    /// The time that a run had to clean up is over.
    fn kill(&mut self, run: RunId, now: Monotonic, out: &mut Vec<Output>) {
        if let Some(active) = self.active.get_mut(&run) {
            active.killed = Some(now);
        }
        self.set_deadline(run, Some(now + SURVIVES_AFTER));
        out.push(Output::Act(run, Action::Kill));
    }

    /// A run has not ended although it was sent `KILL` at `since`. Its lane waits for it.
    fn survives(&mut self, run: RunId, since: Monotonic, out: &mut Vec<Output>) {
        let known = self.ledger.run(run);
        // An earlier helper may have sent `KILL` and reported this, so core knows it.
        if known.is_some_and(|known| known.survives.is_none()) {
            self.note(Entry::Survives { run, since }, out);
            out.push(Output::ToCore(FromScripts::Survives { run, since }));
        }
    }

    /// Begins to end a run that is under way.
    fn end(&mut self, run: RunId, how: Ended, now: Monotonic, out: &mut Vec<Output>) {
        if let Some(active) = self.active.get_mut(&run) {
            active.ending = Some(how);
        }
        self.set_deadline(run, Some(now + GRACE));
        out.push(Output::Act(run, Action::Terminate));
    }

    /// A run that was under way is over. `end` says how, unless this helper was ending it.
    fn finish(&mut self, run: RunId, end: Ended, out: &mut Vec<Output>) {
        self.set_deadline(run, None);
        let Some(active) = self.active.remove(&run) else {
            return;
        };
        if let Some(known) = self.ledger.run(run) {
            let UnderWay { peer, kind, .. } = &known.under_way;
            self.queues.release(peer, kind.lane(), run);
        }
        self.conclude(run, active.ending.unwrap_or(end), out);
    }

    /// Removes a run that waits from its queue.
    fn take_off(&mut self, run: RunId) {
        if let Some(known) = self.ledger.run(run) {
            let UnderWay { peer, kind, .. } = &known.under_way;
            self.queues.remove(peer, kind.lane(), run);
        }
    }

    /// Tells core that a run is over. If it was never started, the run that waits to undo it, and
    /// nothing else, is over, too, and so on.
    fn conclude(&mut self, run: RunId, end: Ended, out: &mut Vec<Output>) {
        let mut next = Some((run, end));
        while let Some((run, end)) = next {
            let entry = Entry::Ended {
                run,
                end: end.clone(),
            };
            self.note(entry, out);
            out.push(Output::ToCore(ended(run, end)));
            next = self.undoing(run).map(|undoing| {
                self.take_off(undoing);
                (undoing, Ended::Stopped)
            });
        }
    }

    fn set_deadline(&mut self, run: RunId, deadline: Option<Monotonic>) {
        let Some(active) = self.active.get_mut(&run) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut active.deadline, deadline) {
            self.deadlines.remove(&(before, run));
        }
        if let Some(after) = deadline {
            self.deadlines.insert((after, run));
        }
    }
}

const fn ended(run: RunId, end: Ended) -> FromScripts {
    FromScripts::Ended { run, end }
}

/// Tells core that no output will come of a run that is over. This must follow the end: before it,
/// it would mean that the script has closed its output.
fn no_output(run: RunId, out: &mut Vec<Output>) {
    for stream in [Stream::Stdout, Stream::Stderr] {
        out.push(Output::ToCore(FromScripts::Eof { run, stream }));
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod survival_properties;
#[cfg(test)]
mod tests;
