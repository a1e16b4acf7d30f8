// SPDX-License-Identifier: GPL-3.0-or-later
//! The children that exist: starting them, adopting them, and the channels to their tasks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::{Child, Run};
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
    /// the machine.
    pub(crate) fn adopt(&mut self, run: RunId, child: Child) -> Input {
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
                Input::Found { run, age }
            }
            Ok(None) => Input::Gone { run },
            Err(error) => {
                error!(
                    run = run.0,
                    pid,
                    %error,
                    "cannot watch a script of an earlier helper; it counts as ended"
                );
                Input::Gone { run }
            }
        }
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
    pub(crate) fn act(&self, run: RunId, action: Action) {
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
