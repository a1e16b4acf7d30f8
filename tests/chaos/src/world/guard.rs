// SPDX-License-Identifier: GPL-3.0-or-later
//! The process that ends everything when the run is over, however that came: it waits for the end
//! of a pipe that the run holds open, and then ends all processes with the run's mark in their
//! environment, and removes the run's directory.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;

use super::leftovers::marked;
use super::processes::{Processes, signal};
use super::volume;
use crate::report::Verdict;

/// The variable that marks processes: its value is the run's directory.
pub(crate) const MARK: &str = "CHAOS_DIRECTORY";

/// If this file is there, the directory is kept.
const KEEP: &str = "keep";

/// How often and how many times it is looked whether all have ended: a process that is being
/// started while the others are ended is found the next time.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS: u32 = 500;

/// The guard's task.
pub(crate) fn play(directory: &Path) -> anyhow::Result<Verdict> {
    let mut pipe = Vec::new();
    // Nothing is ever sent.
    let _ = std::io::stdin().read_to_end(&mut pipe);
    for _ in 0..LOOKS {
        let left = marked(directory);
        if left.is_empty() {
            break;
        }
        for (pid, _) in left {
            signal(pid, Signal::KILL);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let keep = directory.join(KEEP).exists();
    volume::unmount(directory, keep);
    if !keep {
        fs::remove_dir_all(directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    Ok(Verdict::Clean)
}

/// The run's end of the guard.
#[derive(Debug)]
pub(crate) struct Guard {
    processes: Processes,
    pid: i32,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts the guard of a directory.
    pub(crate) fn start(processes: &Processes, directory: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("guard")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C in a terminal is not for it.
            .process_group(0);
        let (pid, pipe) = processes.start_with_pipe(&mut command)?;
        Ok(Guard {
            processes: processes.clone(),
            pid,
            pipe,
        })
    }

    /// Keeps the directory.
    pub(crate) fn keep(directory: &Path) -> anyhow::Result<()> {
        Ok(fs::write(directory.join(KEEP), "")?)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        while self.processes.ended(self.pid).is_none() {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
