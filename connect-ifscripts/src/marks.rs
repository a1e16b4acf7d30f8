// SPDX-License-Identifier: GPL-3.0-or-later
//! The marks of each child, and how a later helper finds by them the child of a run that was just
//! being started: the number of the run in its environment, its standard input, which no other
//! service has, and when it was started.

mod choice;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::scripts::Child;
use connect_runtime::exhaustion::unless_exhausted;
use connect_runtime::start_time::{Stat, ticks};

use crate::ledger::Ledger;
use crate::stdin::InputMark;
use choice::{Evidence, Processes, Variable};

/// The variable in which a script finds the number of its run.
pub(crate) const VARIABLE: &str = "TRIPE_CONNECT_RUN";

/// The most that is read of an environment: more than the system gives a program.
const MOST: u64 = 8 * 1024 * 1024;

/// For a child of which we can read neither number nor input, since it runs as another user: how
/// long after the note in the journal it may have been started. The helper may have been suspended
/// for this time in between. For a child that shows one of the two, there is no such limit. If a
/// child is not found, the next script runs at the same time as it, and nobody notices. But every
/// other process of another user in the session of a helper that was started in a terminal looks
/// the same, and must not be taken for a script hours later.
const SLACK: Duration = Duration::from_secs(2);

/// Finds the children of the runs that were just being started when the journal ended. There is at
/// most one such run, since the result of a start is noted before the next start.
///
/// # Errors
/// If we cannot look since descriptors or memory are missing. Then any of them may run.
pub(crate) fn find(ledger: &Ledger, mark: &InputMark) -> io::Result<BTreeMap<RunId, Child>> {
    let mut found = BTreeMap::new();
    if ledger.being_started().next().is_none() {
        return Ok(found);
    }
    let stats = other_processes()?;
    let mut processes = Processes {
        stats: &stats,
        known: ledger.children().collect(),
        slack: ticks(SLACK),
    };
    for (run, origin) in ledger.being_started() {
        let child = processes.choose(run, origin, |pid| {
            Ok(Evidence {
                variable: variable_of(pid)?,
                input: mark.look_at(pid)?,
            })
        })?;
        processes.known.extend(child);
        found.extend(child.map(|child| (run, child)));
    }
    Ok(found)
}

/// All processes but our own, which has the mark as well.
fn other_processes() -> io::Result<BTreeMap<i32, Stat>> {
    let own = i32::try_from(std::process::id()).ok();
    let mut others = BTreeMap::new();
    let entries = match fs::read_dir("/proc") {
        Ok(entries) => entries,
        Err(error) => return unless_exhausted(error).map(|()| others),
    };
    for entry in entries {
        let number = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(pid) = number.filter(|pid| Some(*pid) != own) {
            others.extend(Stat::look_at(pid)?.map(|stat| (pid, stat)));
        }
    }
    Ok(others)
}

fn variable_of(pid: i32) -> io::Result<Variable> {
    let mut environment = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(MOST).read_to_end(&mut environment));
    match read {
        Ok(_) => Ok(run_in(&environment).map_or(Variable::Absent, Variable::Run)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Variable::Unreadable),
        Err(error) => unless_exhausted(error).map(|()| Variable::Absent),
    }
}

pub(crate) fn run_in(environment: &[u8]) -> Option<RunId> {
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|variable| {
        variable
            .strip_prefix(VARIABLE.as_bytes())?
            .strip_prefix(b"=")
    })?;
    str::from_utf8(value).ok()?.parse().ok().map(RunId)
}

#[cfg(test)]
mod tests;
