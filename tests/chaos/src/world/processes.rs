// SPDX-License-Identifier: GPL-3.0-or-later
//! Starting processes and noticing their end. This process adopts all that lose their parent and
//! reaps them, as init does: some init programs, in containers, do not.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{ChildStdin, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, set_child_subreaper};

/// The pause of the reaper while there are no children at all.
const NO_CHILDREN: Duration = Duration::from_millis(20);

/// How often and how many times it is looked whether a process is suspended: one that waits for a
/// disk takes a moment.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const LOOKS: u32 = 200;

/// The processes that were started, and how those ended that have: `None` while they run.
type Ends = HashMap<i32, Option<String>>;

/// All processes.
#[derive(Clone, Debug)]
pub(crate) struct Processes(Arc<Mutex<Ends>>);

impl Processes {
    /// Begins to reap. Nobody else in this process may wait for children.
    pub(crate) fn new() -> anyhow::Result<Self> {
        set_child_subreaper(Pid::from_raw(1)).context("cannot adopt orphans")?;
        let processes = Processes(Arc::default());
        let reaper = processes.clone();
        std::thread::spawn(move || reaper.reap());
        Ok(processes)
    }

    /// Starts a process.
    pub(crate) fn start(&self, command: &mut Command) -> anyhow::Result<i32> {
        Ok(self.start_with_pipe(command)?.0)
    }

    /// Starts a process; if its standard input is to be a pipe, our end of it comes with it.
    pub(crate) fn start_with_pipe(
        &self,
        command: &mut Command,
    ) -> anyhow::Result<(i32, Option<ChildStdin>)> {
        // Held until it is noted, so that the reaper cannot find it unknown.
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let pid = i32::try_from(child.id())?;
        ends.insert(pid, None);
        Ok((pid, child.stdin.take()))
    }

    /// How a process ended, or that it is gone if others have started it; `None` while it runs.
    pub(crate) fn ended(&self, pid: i32) -> Option<String> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match ends.get(&pid) {
            Some(end) => end.clone(),
            None => {
                let is_gone = !Path::new(&format!("/proc/{pid}")).exists();
                is_gone.then(|| "it is gone".to_owned())
            }
        }
    }

    fn reap(&self) {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(end) = ends.get_mut(&pid.as_raw_nonzero().get()) {
                        *end = Some(in_words(status));
                    }
                }
                Ok(None) => {}
                Err(_) => std::thread::sleep(NO_CHILDREN),
            }
        }
    }
}

/// How a process ended.
fn in_words(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => format!("{status:?}"),
    }
}

/// Sends a signal to a process. One that has ended does not mind.
pub(crate) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Waits until a process that was sent `STOP` does nothing any more. Whether it came to that: it
/// may have ended.
pub(crate) fn wait_until_suspended(pid: i32) -> bool {
    for _ in 0..LOOKS {
        // After the name, which is in brackets, comes the state.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        match state {
            Some('T') => return true,
            None | Some('Z' | 'X') => return false,
            Some(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
    false
}
