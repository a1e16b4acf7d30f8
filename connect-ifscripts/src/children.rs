// SPDX-License-Identifier: GPL-3.0-or-later
//! The children that exist: starting them, adopting them, and the ways to the tasks that attend to
//! them.

use std::collections::HashMap;

use connect_ipc::RunId;
use connect_ipc::scripts::{Child, Run};
use connect_runtime::start_time;
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, info, warn};

use crate::admission::Admission;
use crate::child::Actions;
use crate::ledger::Origin;
use crate::machine::{Action, Input};
use crate::{adopted, child, spawn};

/// The children.
pub(crate) struct Children {
    admission: Admission,
    /// Our session.
    session: i32,
    /// The ways to the tasks, by run.
    tasks: HashMap<RunId, watch::Sender<Option<Action>>>,
    /// What the tasks tell the service.
    inputs: mpsc::Sender<Input>,
}

impl Children {
    /// None yet. Their tasks will send `inputs`.
    pub(crate) fn new(admission: Admission, inputs: mpsc::Sender<Input>) -> Self {
        Children {
            admission,
            session: start_time::own_session(),
            tasks: HashMap::new(),
            inputs,
        }
    }

    /// When and where a child would be made now.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            at: start_time::now(),
            session: self.session,
        }
    }

    /// Starts a run; what became of it is to be told to the machine.
    pub(crate) fn start(&mut self, started: &Run) -> Input {
        let run = started.run;
        let (peer, script) = (&started.peer, started.kind.name());
        match spawn::spawn(started, &self.admission) {
            Ok(spawned) => {
                let child = spawned.name;
                debug!(run = run.0, peer, script, pid = child.pid, "script started");
                let actions = self.actions(run);
                tokio::spawn(child::attend(run, spawned, actions, self.inputs.clone()));
                Input::Started { run, child }
            }
            Err(error) => {
                // Core tells of it with the warning of the manual, in the same words.
                debug!(run = run.0, peer, script, %error, "script not started");
                let why = error.to_string();
                Input::NotStarted { run, why }
            }
        }
    }

    /// Looks for a child that an earlier helper has started, and watches it; what became of that is
    /// to be told to the machine.
    pub(crate) fn adopt(&mut self, run: RunId, child: Child) -> Input {
        let pid = child.pid;
        match adopted::find(child) {
            Ok(Some((watched, age))) => {
                info!(
                    run = run.0,
                    pid, "watching a script of an earlier helper; the rest of its output is lost"
                );
                let actions = self.actions(run);
                tokio::spawn(adopted::watch(run, watched, actions, self.inputs.clone()));
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

    /// Does something to the child of a run.
    pub(crate) fn act(&self, run: RunId, action: Action) {
        if action == Action::CloseOutput {
            warn!(
                run = run.0,
                "too many scripts left processes behind that hold their output open; closing the \
                 output of the oldest: redirect the output of what a script starts"
            );
        } else {
            debug!(run = run.0, ?action, "ending a script");
        }
        if let Some(task) = self.tasks.get(&run) {
            task.send_replace(Some(action));
        }
    }

    /// Drops the way to a task if it has told its last.
    pub(crate) fn note(&mut self, input: &Input) {
        match input {
            Input::Reaped { run, end, open } => {
                debug!(run = run.0, ?end, "script ended");
                if !open {
                    self.tasks.remove(run);
                }
            }
            Input::Closed { run } | Input::Gone { run } => {
                self.tasks.remove(run);
            }
            _ => {}
        }
    }

    fn actions(&mut self, run: RunId) -> Actions {
        let (task, actions) = watch::channel(None);
        self.tasks.insert(run, task);
        Actions(actions)
    }
}
