// SPDX-License-Identifier: GPL-3.0-or-later
//! The children that exist: starting them, adopting them, and the channels to their tasks.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::{Child, Run};
use connect_runtime::exhaustion::is_exhaustion;
use connect_runtime::{clock, start_time};
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, info, warn};

use crate::admission::Admission;
use crate::adopted::{self, Adopted};
use crate::child::{self, Actions, Attended, Process, Report};
use crate::ledger::Origin;
use crate::machine::{Action, Input};
use crate::pipes::{self, Held, Pipes};
use crate::spawn;

/// How long to wait for descriptors or memory before we look again for a child.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long we keep our write ends of the pipes of a new script open, so that a script that ends in
/// this time wakes us only once. If it closes its output and continues, core learns of that with
/// this delay.
const HOLD: Duration = Duration::from_millis(100);

/// For how many scripts at most they are kept open, since there may be few descriptors.
const HELD: usize = 64;

/// The children.
pub(crate) struct Children {
    admission: Admission,
    /// Our session.
    session: i32,
    /// The channels to the tasks, by run.
    tasks: HashMap<RunId, watch::Sender<Option<Action>>>,
    /// What the tasks send to the service.
    inputs: mpsc::Sender<Input>,
    pipes: Pipes,
    /// The ends that are kept open, and until when. The one that is due first is at the front.
    held: VecDeque<(Monotonic, Held)>,
    /// Whether nobody receives any more what is read.
    unheard: Arc<AtomicBool>,
    unseen: Unseen,
}

/// The children of an earlier helper for which we could not look since descriptors or memory
/// are missing. They may run, so nothing follows them yet. With each is what is to be done to it.
#[derive(Default)]
struct Unseen {
    children: BTreeMap<RunId, (Child, Option<Action>)>,
    /// When to look again.
    look_at: Option<Monotonic>,
    /// What is told of them meanwhile.
    fault: Option<String>,
}

impl Children {
    /// None yet. Their tasks will send `inputs`.
    pub(crate) fn new(admission: Admission, inputs: mpsc::Sender<Input>) -> Self {
        Children {
            admission,
            session: start_time::own_session(),
            tasks: HashMap::new(),
            inputs,
            pipes: Pipes::new(),
            held: VecDeque::new(),
            unheard: Arc::default(),
            unseen: Unseen::default(),
        }
    }

    /// The time and place at which a child would be created now.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            at: start_time::now(),
            session: self.session,
        }
    }

    /// Starts a run. The result is an input for the machine.
    pub(crate) fn start(&mut self, started: &Run) -> Input {
        let run = started.run;
        let (peer, script) = (&started.peer, started.kind.name());
        match spawn::spawn(started, &self.admission, &self.pipes) {
            Ok(spawned) => {
                let child = spawned.name;
                debug!(run = run.0, peer, script, pid = child.pid, "script started");
                let (stdout, stderr) = (Some(spawned.stdout), Some(spawned.stderr));
                let attended = Attended {
                    process: Process::Own(spawned.child),
                    watched: spawned.watched,
                    pipes: pipes::Found { stdout, stderr },
                    held: spawned.held.clone(),
                };
                self.hold(spawned.held);
                self.attend(run, attended);
                Input::Started { run, child }
            }
            Err(error) => {
                // Core reports it with the warning of the manual, in the same words.
                debug!(run = run.0, peer, script, %error, "script not started");
                let why = error.to_string();
                Input::NotStarted { run, why }
            }
        }
    }

    /// Looks for a child that an earlier helper started, and watches it. The result is an input for
    /// the machine; there is none yet if we could not look.
    pub(crate) fn adopt(&mut self, run: RunId, child: Child) -> Option<Input> {
        let pid = child.pid;
        match adopted::find(child) {
            Ok(Some(Adopted {
                watched,
                age,
                pipes,
            })) => {
                let (stdout, stderr) = (pipes.stdout.is_some(), pipes.stderr.is_some());
                info!(
                    run = run.0,
                    pid,
                    reading_stdout = stdout,
                    reading_stderr = stderr,
                    "watching a script of an earlier helper"
                );
                let process = Process::Adopted;
                let attended = Attended {
                    process,
                    watched,
                    pipes,
                    held: Held::default(),
                };
                self.attend(run, attended);
                Some(Input::Found { run, age })
            }
            Ok(None) => Some(Input::Gone { run }),
            Err(error) if is_exhaustion(&error) => {
                self.unseen.add(run, child, &error);
                None
            }
            Err(error) => {
                error!(
                    run = run.0,
                    pid,
                    %error,
                    "cannot watch a script of an earlier helper; it counts as ended"
                );
                Some(Input::Gone { run })
            }
        }
    }

    /// Why we cannot look for some children of an earlier helper, and what to do.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.unseen.fault.as_deref()
    }

    /// When [`Children::look_again`] is due next.
    pub(crate) const fn next_look(&self) -> Option<Monotonic> {
        self.unseen.look_at
    }

    /// Looks again for the children for which we could not look, if it is time. The results are
    /// inputs for the machine.
    pub(crate) fn look_again(&mut self, now: Monotonic) -> Vec<Input> {
        let mut inputs = Vec::new();
        for (run, (child, action)) in self.unseen.take_due(now) {
            inputs.extend(self.adopt(run, child));
            if let Some(action) = action {
                self.act(run, action);
            }
        }
        self.unseen.settle();
        inputs
    }

    fn hold(&mut self, held: Held) {
        self.held.push_back((clock::now() + HOLD, held));
        if self.held.len() > HELD
            && let Some((_, oldest)) = self.held.pop_front()
        {
            oldest.release();
        }
    }

    /// When [`Children::release`] is due next.
    pub(crate) fn next_release(&mut self) -> Option<Monotonic> {
        while self.held.front().is_some_and(|(_, held)| held.is_empty()) {
            self.held.pop_front();
        }
        self.held.front().map(|(at, _)| *at)
    }

    /// Closes the ends that were kept open long enough.
    pub(crate) fn release(&mut self, now: Monotonic) {
        while let Some((_, held)) = self.held.pop_front_if(|(at, _)| *at <= now) {
            held.release();
        }
    }

    /// Does something to the child of a run.
    pub(crate) fn act(&mut self, run: RunId, action: Action) {
        if action == Action::CloseOutput {
            warn!(
                run = run.0,
                "too many scripts have ended but left processes that keep their output open; \
                 closing the oldest output: let scripts redirect the output of what they start"
            );
        } else {
            debug!(run = run.0, ?action, "ending a script");
        }
        if let Some(task) = self.tasks.get(&run) {
            task.send_replace(Some(action));
        } else if let Some((_, wanted)) = self.unseen.children.get_mut(&run) {
            *wanted = Some(action);
        }
    }

    /// Drops the channel to a task if this was the last input of the task.
    pub(crate) fn note(&mut self, input: &Input) {
        match input {
            Input::Reaped { run, end, open } => {
                debug!(run = run.0, ?end, "script ended");
                if !open {
                    self.tasks.remove(run);
                }
            }
            Input::Closed { run } => {
                self.tasks.remove(run);
            }
            _ => {}
        }
    }

    /// Nobody will receive what is read from now on, so most of it is to stay in the pipes for the
    /// next helper.
    pub(crate) fn note_unheard(&self) {
        let before = self.unheard.swap(true, Ordering::Relaxed);
        if !before && !self.tasks.is_empty() {
            info!("core has ended; the next script helper reads what scripts write from now on");
        }
    }

    /// Stops all tasks: nothing is read any more. The channel to the service is closed once all
    /// tasks have sent what they have read.
    pub(crate) fn leave(&mut self) {
        self.tasks.clear();
        // Our own sender would keep the channel open.
        self.inputs = mpsc::channel(1).0;
    }

    fn attend(&mut self, run: RunId, attended: Attended) {
        let (task, actions) = watch::channel(None);
        self.tasks.insert(run, task);
        let report = Report {
            run,
            inputs: self.inputs.clone(),
            unheard: Arc::clone(&self.unheard),
        };
        tokio::spawn(child::attend(attended, Actions(actions), report));
    }
}

impl Unseen {
    fn add(&mut self, run: RunId, child: Child, error: &io::Error) {
        self.children.insert(run, (child, None));
        self.look_at
            .get_or_insert_with(|| clock::now() + LOOK_AGAIN);
        if self.fault.is_none() {
            let fault = format!(
                "connect-ifscripts cannot look for the scripts that an earlier one has noted: \
                 {error}; no other script of their peers is started meanwhile; raise the limit of \
                 open files of connect-ifscripts"
            );
            warn!(fault, "cannot watch scripts of an earlier helper");
            self.fault = Some(fault);
        }
    }

    /// Those for which it is time to look again.
    fn take_due(&mut self, now: Monotonic) -> BTreeMap<RunId, (Child, Option<Action>)> {
        match self.look_at.take_if(|at| *at <= now) {
            Some(_) => std::mem::take(&mut self.children),
            None => BTreeMap::new(),
        }
    }

    /// The fault is over when all were looked for. Until then it is told once.
    fn settle(&mut self) {
        if self.children.is_empty() {
            self.fault = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_looked_for_is_told_once_and_looked_for_until_it_can() {
        let child = Child {
            pid: 7,
            start_time: 8,
        };
        let mut unseen = Unseen::default();
        let errors = ["too many open files", "another one"].map(io::Error::other);
        unseen.add(RunId(1), child, &errors[0]);
        let at = unseen.look_at.unwrap();
        assert!(unseen.take_due(Monotonic(at.0 - 1)).is_empty());
        assert_eq!(unseen.take_due(at).len(), 1);
        unseen.add(RunId(1), child, &errors[1]);
        unseen.settle();
        let fault = unseen.fault.clone().unwrap();
        assert!(fault.contains("too many open files"), "{fault}");
        let at = unseen.look_at.unwrap();
        assert_eq!(unseen.take_due(at).len(), 1);
        unseen.settle();
        assert!(unseen.fault.is_none() && unseen.look_at.is_none());
    }
}
