// SPDX-License-Identifier: GPL-3.0-or-later
//! Which run starts when, and how it ends: every decision of this program, without any I/O.
//!
//! ```text
//!            .-- Stop --> Ended(Stopped)
//!   Run --Taken--> waiting --Turn--> under way --Reaped--> Ended(status)
//!                        |        |  ^
//!                  NotStarted     |  | limit or Stop: Terminate, 2 s, Kill
//!                        v        '--'
//!          Ended(NotStarted)
//!
//!   Adopt --> under way --Gone--> Ended(Lost)
//! ```
//!
//! What happens goes in as [`Input`], what is to be done comes out as [`Output`]; both can be
//! written down.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::{
    Child, Ended, FromScripts, KILL_AFTER, LINGERING, Run, ToScripts, UnderWay,
};
use connect_ipc::setup::SetupPage;
use serde::{Deserialize, Serialize};

use crate::queue::{Full, MAX_WAITING, Queues};

/// How long a script may take to clean up between `TERM` and `KILL`.
pub(crate) const GRACE: Duration = KILL_AFTER;

/// How many results of runs that are over are remembered, for a core that asks for such a run again
/// because it never saw the result. Core asks at once when it is back, and what it can have missed
/// is at most what ended in the moment of its end; this is many times that.
const REMEMBERED: usize = 4_096;

/// The longest name of a peer. No line of the admin protocol is longer, so no peer can be named so;
/// refusing it keeps the list of a resume within a message.
const MAX_PEER_NAME: usize = 255;

/// What can happen.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Input {
    /// Core has sent a message.
    Core(ToScripts),
    /// Core has sent something that is not a message; this is what is wrong with it.
    Malformed(String),
    /// There is time to start a run. One is started at a time, so that many new runs do not delay
    /// what the children say that are there already.
    Turn {},
    /// A run that [`Output::Start`] asked for has a child now.
    Started { run: RunId, child: Child },
    /// It could not be started; the text says why and what to do.
    NotStarted { run: RunId, why: String },
    /// What a child has written, and which of its streams have ended, to be passed on to core.
    Said(Vec<FromScripts>),
    /// A child has ended and was reaped; `open` if another process still holds one of its pipes.
    Reaped { run: RunId, end: Ended, open: bool },
    /// The last pipe of a reaped child was closed.
    Closed { run: RunId },
    /// The child that was to be adopted exists, and is this old.
    Found { run: RunId, age: Duration },
    /// The adopted child has ended, or ended before it was found.
    Gone { run: RunId },
    /// Time has passed.
    Time {},
}

/// What is to be done, in this order.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Output {
    /// This run was accepted: name it to core after a loss of the connection.
    Accepted(UnderWay),
    /// Send core this message.
    ToCore(FromScripts),
    /// Start this run. The answer is [`Input::Started`] or [`Input::NotStarted`].
    Start(Run),
    /// Look for this child and watch it. The answer is [`Input::Found`] or [`Input::Gone`].
    Adopt { run: RunId, child: Child },
    /// Do this to the child of a run.
    Act(RunId, Action),
}

/// What can be done to a child.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Send `TERM` to its process group.
    Terminate,
    /// Send `KILL` to its process group.
    Kill,
    /// Close the pipes that are still open although it was reaped.
    CloseOutput,
}

/// A run that is not over.
#[derive(Debug)]
struct Entry {
    peer: String,
    waiting: bool,
    limit: Option<u32>,
    /// When to do the next thing about it, which is in `Machine::deadlines` too.
    deadline: Option<Monotonic>,
    /// How it will have ended, when it is being ended from here.
    ending: Option<Ended>,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Machine {
    queues: Queues,
    runs: HashMap<RunId, Entry>,
    deadlines: BTreeSet<(Monotonic, RunId)>,
    results: Results,
    /// Runs that are over but have an open pipe, the oldest first.
    lingering: VecDeque<RunId>,
    /// Whether core has named everything that an earlier helper had started. Until then nothing is
    /// started, since it could run beside a script of the same peer.
    ready: bool,
}

impl Machine {
    /// A machine that lets at most `bound` scripts run at once.
    pub(crate) fn new(bound: usize) -> Self {
        Machine {
            queues: Queues::new(bound),
            runs: HashMap::new(),
            deadlines: BTreeSet::new(),
            results: Results::default(),
            lingering: VecDeque::new(),
            ready: false,
        }
    }

    /// Takes what has happened at `now` and appends what is to be done.
    pub(crate) fn handle(&mut self, input: Input, now: Monotonic, out: &mut Vec<Output>) {
        match input {
            Input::Core(message) => self.message(message, now, out),
            Input::Malformed(fault) => out.push(Output::ToCore(FromScripts::Error(fault))),
            Input::Turn {} => self.start_next(out),
            Input::Started { run, child } => {
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
            Input::Gone { run } => self.finish(run, Ended::Lost, out),
            Input::Time {} => self.time(now, out),
        }
    }

    /// Whether no run is under way or waiting.
    pub(crate) fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many runs are under way.
    pub(crate) const fn under_way(&self) -> usize {
        self.queues.busy()
    }

    /// Whether runs are waiting because as many as may be are under way.
    pub(crate) fn is_full(&self) -> bool {
        self.queues.is_full()
    }

    /// When [`Input::Time`] leads to something next.
    pub(crate) fn next_deadline(&self) -> Option<Monotonic> {
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
            ToScripts::Recall(_) => {
                out.push(Output::ToCore(FromScripts::Setups(SetupPage::default())))
            }
            ToScripts::Setup(change) => out.push(Output::ToCore(FromScripts::Taken(change.number))),
            ToScripts::Settled(_) => {}
            // Core says so of something that was sent; the link has logged it.
            ToScripts::Error(_) => {}
        }
    }

    /// Starts the run whose turn it is, if one may be started now.
    fn start_next(&mut self, out: &mut Vec<Output>) {
        if !self.ready {
            return;
        }
        if let Some(run) = self.queues.take() {
            if let Some(entry) = self.runs.get_mut(&run.run) {
                entry.waiting = false;
            }
            out.push(Output::Start(run));
        }
    }

    /// Keeps a run in mind whose pipes are open although its child was reaped, and has those of the
    /// oldest such run closed if there are too many.
    fn linger(&mut self, run: RunId, out: &mut Vec<Output>) {
        self.lingering.push_back(run);
        if self.lingering.len() > LINGERING
            && let Some(run) = self.lingering.pop_front()
        {
            out.push(Output::Act(run, Action::CloseOutput));
        }
    }

    fn enqueue(&mut self, run: Run, out: &mut Vec<Output>) {
        if self.is_known(run.run, out) {
            return;
        }
        if run.peer.len() > MAX_PEER_NAME {
            let why = format!("the peer's name is longer than {MAX_PEER_NAME} bytes: shorten it");
            self.conclude(run.run, Ended::NotStarted(why), out);
            return;
        }
        out.push(Output::Accepted(UnderWay {
            run: run.run,
            peer: run.peer.clone(),
            kind: run.kind,
            child: None,
            limit: run.limit,
        }));
        let (id, entry) = (run.run, Entry::new(run.peer.clone(), true, run.limit));
        match self.queues.push(run) {
            Ok(()) => {
                out.push(Output::ToCore(FromScripts::Taken(id)));
                self.runs.insert(id, entry);
            }
            Err(Full) => {
                let why = format!(
                    "{MAX_WAITING} scripts of peer {} wait already: one of them hangs; end it or \
                     give it a time limit",
                    entry.peer
                );
                self.conclude(id, Ended::NotStarted(why), out);
            }
        }
    }

    fn adopt(&mut self, under_way: UnderWay, out: &mut Vec<Output>) {
        let run = under_way.run;
        if self.is_known(run, out) {
            return;
        }
        let fault = match under_way.child {
            Some(child) if under_way.peer.len() <= MAX_PEER_NAME => {
                self.queues.hold(&under_way.peer);
                let entry = Entry::new(under_way.peer.clone(), false, under_way.limit);
                self.runs.insert(run, entry);
                out.push(Output::Accepted(under_way));
                out.push(Output::Adopt { run, child });
                return;
            }
            Some(_) => format!("run {} is of a peer with too long a name", run.0),
            None => format!("run {} has no child to adopt: send it to be run", run.0),
        };
        out.push(Output::ToCore(FromScripts::Error(fault)));
    }

    /// Whether core gives a run again because it does not know that it arrived. If the run is over,
    /// core is told the result again.
    fn is_known(&self, run: RunId, out: &mut Vec<Output>) -> bool {
        if let Some(end) = self.results.get(run) {
            out.push(Output::ToCore(ended(run, end.clone())));
            return true;
        }
        self.runs.contains_key(&run)
    }

    fn stop(&mut self, run: RunId, now: Monotonic, out: &mut Vec<Output>) {
        let Some(entry) = self.runs.get(&run) else {
            // A run that has just ended may cross core's wish on the way.
            if self.results.get(run).is_none() {
                let text = format!("run {} is not known here, so it cannot be stopped", run.0);
                out.push(Output::ToCore(FromScripts::Error(text)));
            }
            return;
        };
        if entry.waiting {
            self.queues.remove(&entry.peer, run);
            self.runs.remove(&run);
            self.conclude(run, Ended::Stopped, out);
        } else if entry.ending.is_none() {
            self.end(run, Ended::Stopped, now, out);
        }
    }

    /// Limits the time of a run, if it has a limit, to what is left of it at this age.
    fn limit(&mut self, run: RunId, age: Duration, now: Monotonic) {
        if let Some(limit) = self.runs.get(&run).and_then(|entry| entry.limit) {
            let left = Duration::from_secs(limit.into()).saturating_sub(age);
            self.set_deadline(run, Some(now + left));
        }
    }

    fn time(&mut self, now: Monotonic, out: &mut Vec<Output>) {
        while let Some((at, run)) = self.deadlines.first().copied()
            && at <= now
        {
            let ending = self.runs.get(&run).is_some_and(|e| e.ending.is_some());
            if ending {
                self.set_deadline(run, None);
                out.push(Output::Act(run, Action::Kill));
            } else {
                self.end(run, Ended::TimedOut, now, out);
            }
        }
    }

    /// Begins to end a run that is under way.
    fn end(&mut self, run: RunId, how: Ended, now: Monotonic, out: &mut Vec<Output>) {
        if let Some(entry) = self.runs.get_mut(&run) {
            entry.ending = Some(how);
        }
        self.set_deadline(run, Some(now + GRACE));
        out.push(Output::Act(run, Action::Terminate));
    }

    /// A run that was under way is over; `end` is how, unless it was ended from here.
    fn finish(&mut self, run: RunId, end: Ended, out: &mut Vec<Output>) {
        self.set_deadline(run, None);
        let Some(entry) = self.runs.remove(&run) else {
            return;
        };
        self.queues.release(&entry.peer);
        self.conclude(run, entry.ending.unwrap_or(end), out);
    }

    /// Tells core of a run that is over, and remembers it.
    fn conclude(&mut self, run: RunId, end: Ended, out: &mut Vec<Output>) {
        self.results.insert(run, end.clone());
        out.push(Output::ToCore(ended(run, end)));
    }

    fn set_deadline(&mut self, run: RunId, deadline: Option<Monotonic>) {
        let Some(entry) = self.runs.get_mut(&run) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut entry.deadline, deadline) {
            self.deadlines.remove(&(before, run));
        }
        if let Some(after) = deadline {
            self.deadlines.insert((after, run));
        }
    }
}

impl Entry {
    const fn new(peer: String, waiting: bool, limit: Option<u32>) -> Self {
        Entry {
            peer,
            waiting,
            limit,
            deadline: None,
            ending: None,
        }
    }
}

fn ended(run: RunId, end: Ended) -> FromScripts {
    FromScripts::Ended { run, end }
}

/// The last [`REMEMBERED`] results.
#[derive(Debug, Default)]
struct Results {
    ends: HashMap<RunId, Ended>,
    order: VecDeque<RunId>,
}

impl Results {
    fn get(&self, run: RunId) -> Option<&Ended> {
        self.ends.get(&run)
    }

    fn insert(&mut self, run: RunId, end: Ended) {
        if self.ends.insert(run, end).is_none() {
            self.order.push_back(run);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ends.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
