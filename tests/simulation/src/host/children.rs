// SPDX-License-Identifier: GPL-3.0-or-later
//! The scripts that run on a host. They continue whatever happens to the helper that started them.
//!
//! What is imitated here: connect-ifscripts/src/child.rs, children.rs and pipes.rs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connect_ifscripts::machine::{Action, Input};
use connect_ipc::RunId;
use connect_ipc::scripts::{Child, Ended, FromScripts, Run, ScriptKind, Stream};

use super::Host;
use super::core::Arrival;
use crate::chance::What;
use crate::instant::Instant;
use crate::plan::{Habit, RecordSite, Weighted, When};
use crate::queue::Step;
use crate::seen::{Seen, Watcher};
use crate::world::shared::Shared;

/// How many lines of a stream are passed on (connect-ifscripts/src/lines.rs).
const MAX_LINES: u32 = 1_000;

/// How long a script takes that ends at once.
const QUICK: Duration = Duration::from_millis(3);

/// How long a script takes to end that is told to.
const OBEYS: Duration = Duration::from_millis(5);

/// The number of `TERM`, and that of `KILL`.
const TERM: i32 = 15;
const KILL: i32 = 9;

/// Something that happens to a child.
#[derive(Debug)]
pub(crate) enum ChildStep {
    /// It writes lines.
    Says(Vec<String>),
    /// It closes its output.
    Closes,
    /// It ends.
    Ends(Ended),
    /// What it has left behind ends.
    LastEnds,
}

/// One child.
#[derive(Debug)]
struct ChildProcess {
    child: Child,
    peer: String,
    kind: ScriptKind,
    habit: Habit,
    started: Instant,
    /// The life of the helper that started it.
    starter: u32,
    /// The life of the helper that watches it.
    watcher: Option<u32>,
    /// The life of the core that wants to know its end.
    core: Option<u32>,
    lives: bool,
    /// Whether its streams are open, be it by a process that it left behind.
    open: bool,
}

/// All children.
#[derive(Debug, Default)]
pub(crate) struct Children {
    all: BTreeMap<RunId, ChildProcess>,
    pids: i32,
    /// How often each script of a peer was started, for the draws.
    starts: BTreeMap<(String, ScriptName), u64>,
    /// The peers whose last `connect` did not greet, though it may, while everything settles.
    ungreeted: BTreeSet<String>,
}

/// A script's kind in an order.
type ScriptName = &'static str;

impl Children {
    /// The child of a run, if it lives.
    pub(crate) fn find(&self, run: RunId) -> Option<Child> {
        let found = self.all.get(&run).filter(|it| it.lives)?;
        Some(found.child)
    }

    /// The peer of a run.
    pub(crate) fn peer(&self, run: RunId) -> Option<&str> {
        self.all.get(&run).map(|it| it.peer.as_str())
    }

    /// All of them end, with their host.
    pub(crate) fn clear(&mut self) {
        self.all.clear();
    }

    /// While everything settles, a `connect` that greets now and then does so at least every second
    /// time: it might fail by chance each time that it is run.
    fn greet_in_the_end(&mut self, record: &RecordSite, habit: &mut Habit) {
        let mut connects = record.scripts.connect.iter().map(|it| &it.habit);
        let Some(greets) = connects.find(|it| matches!(it, Habit::Greets(_))) else {
            return;
        };
        if matches!(habit, Habit::Greets(_)) {
            self.ungreeted.remove(&record.peer);
        } else if !self.ungreeted.insert(record.peer.clone()) {
            self.ungreeted.remove(&record.peer);
            habit.clone_from(greets);
        }
    }
}

/// One of the habits, by their weights.
fn choose(habits: &[Weighted], number: u64) -> Habit {
    let sum: u64 = habits.iter().map(|it| u64::from(it.weight)).sum();
    let mut left = if sum == 0 { 0 } else { number % sum };
    for Weighted { weight, habit } in habits {
        match left.checked_sub(u64::from(*weight)) {
            Some(rest) => left = rest,
            None => return habit.clone(),
        }
    }
    Habit::Quick(0)
}

fn habits(record: &RecordSite, kind: ScriptKind) -> &[Weighted] {
    match kind {
        ScriptKind::Ifup => &record.scripts.ifup,
        ScriptKind::Ifdown => &record.scripts.ifdown,
        ScriptKind::Connect => &record.scripts.connect,
        ScriptKind::Disconnect => &record.scripts.disconnect,
        ScriptKind::OnUp => &record.scripts.on_up,
        ScriptKind::OnDown => &record.scripts.on_down,
    }
}

impl Host {
    /// Makes the child of a run, or says why not.
    pub(crate) fn start_child<W: Watcher>(&mut self, run: &Run, shared: &mut Shared<W>) -> Input {
        let children = &mut self.helpers.children;
        let key = (run.peer.clone(), run.kind.name());
        let count = children.starts.entry(key).or_default();
        *count += 1;
        let mut records = self.site.records.iter().zip(0u64..);
        let record = records.find(|(record, _)| record.peer == run.peer);
        let number = record.map_or(u64::MAX, |(_, number)| number << 2 | run.kind as u64);
        let mut draw = shared.chances.of(What::Habit, self.id, number, *count);
        let mut habit = record.map_or(Habit::Quick(0), |(record, _)| {
            choose(habits(record, run.kind), draw.next())
        });
        if let Some((record, _)) = record
            && run.kind == ScriptKind::Connect
            && shared.now >= shared.quiet_from
        {
            children.greet_in_the_end(record, &mut habit);
        }
        let row = shared.summary.coverage.of(habit.name());
        row.planned += 1;
        row.done += 1;
        // The others have an effect at their end. A script that hangs may have none.
        row.effective += u64::from(habit == Habit::Hangs);
        if let Habit::NotStarted(why) = habit {
            row.effective += 1;
            shared.see(self.id, Seen::NotStarted(run));
            let run = run.run;
            return Input::NotStarted { run, why };
        }
        children.pids += 1;
        let child = Child {
            pid: 1_000 + children.pids,
            start_time: self.power.clock.at(shared.now).0 / 10_000_000,
        };
        let life = self.helpers.scripts.process.life;
        let known = ChildProcess {
            child,
            peer: run.peer.clone(),
            kind: run.kind,
            habit,
            started: shared.now,
            starter: life,
            watcher: Some(life),
            core: None,
            lives: true,
            open: true,
        };
        self.helpers.children.all.insert(run.run, known);
        self.truth.children.insert(run.run);
        shared.summary.scripts += 1;
        let name = run.kind.name();
        shared.sum(self.id, 1 << 40 | run.run.0 & 0xff_ffff, name.as_bytes());
        shared.see(self.id, Seen::Started(run.run, run));
        self.meet(When::ScriptRuns, Some(&run.peer), shared);
        self.live(run.run, shared);
        Input::Started {
            run: run.run,
            child,
        }
    }

    /// Puts what a child will do into the queue.
    fn live<W: Watcher>(&mut self, run: RunId, shared: &mut Shared<W>) {
        let Some(child) = self.helpers.children.all.get(&run) else {
            return;
        };
        let id = self.id;
        let mut after = |time, step| shared.after(time, Step::Child(id, run, step));
        let lines = |count: u32| (0..count).map(|number| format!("line {number}")).collect();
        match &child.habit {
            Habit::Quick(status) => after(QUICK, ChildStep::Ends(Ended::Exited(*status))),
            Habit::Slow(time, status) => after(*time, ChildStep::Ends(Ended::Exited(*status))),
            Habit::Signal(signal) => after(QUICK, ChildStep::Ends(Ended::Signal(*signal))),
            Habit::Hangs | Habit::Deaf | Habit::Stays | Habit::NotStarted(_) => {}
            Habit::Floods(count) => {
                after(QUICK, ChildStep::Says(lines(*count)));
                after(2 * QUICK, ChildStep::Ends(Ended::Exited(0)));
            }
            Habit::ClosesOutput => {
                after(QUICK, ChildStep::Closes);
                after(Duration::from_secs(1), ChildStep::Ends(Ended::Exited(0)));
            }
            Habit::LeavesGrandchild(time) => {
                after(QUICK, ChildStep::Ends(Ended::Exited(0)));
                after(*time, ChildStep::Says(lines(1)));
                after(*time + QUICK, ChildStep::LastEnds);
            }
            Habit::Babbles => after(QUICK, ChildStep::Says(vec!["hello there".to_owned()])),
            Habit::Greets(time) => {
                let (peer, time) = (child.peer.clone(), *time);
                if child.kind == ScriptKind::Connect {
                    self.ask_partner(run, &peer, time, shared);
                }
            }
        }
    }

    /// Something happens to a child.
    pub(crate) fn child_step<W: Watcher>(
        &mut self,
        run: RunId,
        step: ChildStep,
        shared: &mut Shared<W>,
    ) {
        let Some(child) = self.helpers.children.all.get_mut(&run) else {
            return;
        };
        match step {
            ChildStep::Says(lines) => {
                if child.open {
                    self.say(run, lines, shared);
                }
            }
            ChildStep::Closes => {
                if child.open {
                    child.open = false;
                    let eof = |stream| FromScripts::Eof { run, stream };
                    let messages = vec![eof(Stream::Stdout), eof(Stream::Stderr)];
                    self.tell_watcher(run, Input::Said(messages), shared);
                }
            }
            ChildStep::Ends(end) => self.end_child(run, &end, shared),
            ChildStep::LastEnds => self.close_output(run, shared),
        }
    }

    fn say<W: Watcher>(&mut self, run: RunId, lines: Vec<String>, shared: &mut Shared<W>) {
        let stream = Stream::Stdout;
        let passed = lines.len().min(MAX_LINES as usize);
        let dropped = (lines.len() - passed) as u64;
        let passed = lines.into_iter().take(passed);
        let mut messages: Vec<FromScripts> = passed
            .map(|line| FromScripts::Output { run, stream, line })
            .collect();
        if dropped > 0 {
            let lines = dropped;
            messages.push(FromScripts::Dropped { run, stream, lines });
        }
        self.tell_watcher(run, Input::Said(messages), shared);
    }

    /// Tells the helper that watches a child, if it lives still.
    fn tell_watcher<W: Watcher>(&mut self, run: RunId, input: Input, shared: &mut Shared<W>) {
        let watcher = self
            .helpers
            .children
            .all
            .get(&run)
            .and_then(|it| it.watcher);
        let process = &self.helpers.scripts.process;
        if process.lives && watcher == Some(process.life) {
            self.tell_scripts(input, shared);
        }
    }

    fn end_child<W: Watcher>(&mut self, run: RunId, end: &Ended, shared: &mut Shared<W>) {
        let Some(child) = self.helpers.children.all.get_mut(&run) else {
            return;
        };
        if !std::mem::take(&mut child.lives) {
            return;
        }
        let leaves = matches!(child.habit, Habit::LeavesGrandchild(_)) && child.open;
        let is_own = child.watcher == Some(child.starter);
        let core = child.core;
        if child.habit != Habit::Hangs {
            shared.summary.coverage.of(child.habit.name()).effective += 1;
        }
        self.truth.children.remove(&run);
        shared.sum(self.id, 2 << 40 | run.0 & 0xff_ffff, b"end");
        shared.see(self.id, Seen::ChildEnded(run, end));
        if core == Some(self.core.process.life) {
            self.tell_core(Arrival::ChildEnded(run), shared);
        }
        if !leaves {
            let child = self.helpers.children.all.get_mut(&run);
            let was_open = child.is_some_and(|child| std::mem::take(&mut child.open));
            if was_open {
                let eof = |stream| FromScripts::Eof { run, stream };
                let messages = vec![eof(Stream::Stdout), eof(Stream::Stderr)];
                self.tell_watcher(run, Input::Said(messages), shared);
            }
        }
        // How a child ended that it has not started no helper can know.
        let end = if is_own { end.clone() } else { Ended::Lost };
        let open = leaves;
        self.tell_watcher(run, Input::Reaped { run, end, open }, shared);
        if !leaves {
            self.helpers.children.all.remove(&run);
        }
    }

    fn close_output<W: Watcher>(&mut self, run: RunId, shared: &mut Shared<W>) {
        let child = self.helpers.children.all.get_mut(&run);
        if child.is_some_and(|child| std::mem::take(&mut child.open)) {
            let eof = |stream| FromScripts::Eof { run, stream };
            let messages = vec![eof(Stream::Stdout), eof(Stream::Stderr)];
            self.tell_watcher(run, Input::Said(messages), shared);
            self.tell_watcher(run, Input::Closed { run }, shared);
        }
        let ended = self
            .helpers
            .children
            .all
            .get(&run)
            .is_some_and(|it| !it.lives);
        if ended {
            self.helpers.children.all.remove(&run);
        }
    }

    /// A helper looks for a child that another one has started.
    pub(crate) fn adopt_child<W: Watcher>(
        &mut self,
        run: RunId,
        wanted: Child,
        shared: &Shared<W>,
    ) -> Input {
        let life = self.helpers.scripts.process.life;
        match self.helpers.children.all.get_mut(&run) {
            Some(child) if child.lives && child.child == wanted => {
                child.watcher = Some(life);
                let age = shared.now.since(child.started);
                Input::Found { run, age }
            }
            _ => Input::Gone { run },
        }
    }

    /// The helper does something to a child.
    pub(crate) fn act_on_child<W: Watcher>(
        &mut self,
        run: RunId,
        action: Action,
        shared: &mut Shared<W>,
    ) {
        let Some(child) = self.helpers.children.all.get(&run) else {
            return;
        };
        let signal = match action {
            Action::Terminate if child.habit == Habit::Deaf => return,
            Action::Terminate => TERM,
            Action::Kill => KILL,
            Action::CloseOutput => {
                let step = Step::Child(self.id, run, ChildStep::LastEnds);
                return shared.after(Duration::ZERO, step);
            }
        };
        let step = ChildStep::Ends(Ended::Signal(signal));
        shared.after(OBEYS, Step::Child(self.id, run, step));
        // What it has left behind is of its group.
        shared.after(OBEYS, Step::Child(self.id, run, ChildStep::LastEnds));
    }

    /// Core wants to know the end of a child.
    pub(crate) fn watch_child<W: Watcher>(&mut self, run: RunId, shared: &mut Shared<W>) {
        let life = self.core.process.life;
        match self.helpers.children.all.get_mut(&run) {
            Some(child) if child.lives => child.core = Some(life),
            _ => {
                let step = crate::host::clients::ClientStep::ChildEnded(run, life);
                shared.after(Duration::from_micros(50), Step::Client(self.id, step));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Partner, ScriptHabits};

    fn record(habits: &[Habit]) -> RecordSite {
        let weighted = |habit: &Habit| Weighted {
            weight: 1,
            habit: habit.clone(),
        };
        RecordSite {
            peer: "p".to_owned(),
            pairs: Vec::new(),
            partner: Partner::Reflected(1),
            scripts: ScriptHabits {
                connect: habits.iter().map(weighted).collect(),
                ..ScriptHabits::default()
            },
        }
    }

    #[test]
    fn in_the_end_a_connect_that_may_greet_does_not_fail_twice_in_a_row() {
        let greets = Habit::Greets(QUICK);
        let mut children = Children::default();
        let mut plays = |record: &RecordSite, drawn: &Habit| {
            let mut habit = drawn.clone();
            children.greet_in_the_end(record, &mut habit);
            habit
        };
        let both = record(&[Habit::Stays, greets.clone()]);
        for expected in [Habit::Stays, greets.clone(), Habit::Stays, greets.clone()] {
            assert_eq!(plays(&both, &Habit::Stays), expected);
        }
        assert_eq!(plays(&both, &Habit::Stays), Habit::Stays);
        assert_eq!(plays(&both, &greets), greets);
        assert_eq!(plays(&both, &Habit::Stays), Habit::Stays, "one in between");
        let never = record(&[Habit::Stays]);
        for _ in 0..3 {
            assert_eq!(plays(&never, &Habit::Stays), Habit::Stays);
        }
    }
}
