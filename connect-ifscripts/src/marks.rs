// SPDX-License-Identifier: GPL-3.0-or-later
//! The mark of each child, its run in its environment, and how children are found by it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;

use connect_ipc::RunId;
use connect_ipc::scripts::Child;

use crate::start_time::Stat;

/// The variable in which a script finds the number of its run.
pub(crate) const VARIABLE: &str = "TRIPE_CONNECT_RUN";

/// The most that is read of an environment: more than the system gives a program.
const MOST: u64 = 8 * 1024 * 1024;

/// Finds the children that were made for these runs. What a script starts has its mark too, but no
/// process group of its own, or a session of its own, or is younger.
pub(crate) fn find(runs: &[RunId]) -> BTreeMap<RunId, Child> {
    let mut found: BTreeMap<RunId, Child> = BTreeMap::new();
    if runs.is_empty() {
        return found;
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        let Some((run, child)) = marked(pid).filter(|(run, _)| runs.contains(run)) else {
            continue;
        };
        let age = |child: &Child| (child.start_time, child.pid);
        let oldest = found.entry(run).or_insert(child);
        if age(&child) < age(oldest) {
            *oldest = child;
        }
    }
    found
}

/// The run of a process, if it is the first one of a script.
fn marked(pid: i32) -> Option<(RunId, Child)> {
    let stat = Stat::of(pid)?;
    if stat.group != pid || stat.session == pid {
        return None;
    }
    let mut environment = Vec::new();
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(MOST).read_to_end(&mut environment).ok()?;
    let run = run_in(&environment)?;
    let child = Child {
        pid,
        start_time: stat.start_time,
    };
    Some((run, child))
}

fn run_in(environment: &[u8]) -> Option<RunId> {
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|variable| {
        variable
            .strip_prefix(VARIABLE.as_bytes())?
            .strip_prefix(b"=")
    })?;
    str::from_utf8(value).ok()?.parse().ok().map(RunId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    #[test]
    fn the_mark_is_a_whole_variable() {
        let run = |text: &str| run_in(text.as_bytes()).map(|run| run.0);
        assert_eq!(run("A=1\0TRIPE_CONNECT_RUN=7\0B=2\0"), Some(7));
        assert_eq!(run("XTRIPE_CONNECT_RUN=7\0TRIPE_CONNECT_RUNS=8\0"), None);
        assert_eq!(run("TRIPE_CONNECT_RUN=x\0"), None);
        assert_eq!(run(""), None);
    }

    #[test]
    fn a_child_is_found_by_its_mark_and_what_it_starts_is_not() {
        // No other process has this number.
        let run = RunId(u64::from(std::process::id()) << 32 | 1);
        let script = "sleep 1000 & echo $!; wait";
        let mut child = Command::new("/bin/sh")
            .args(["-c", script])
            .env(VARIABLE, run.0.to_string())
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let found = find(&[run, RunId(run.0 + 1)]);
        let pid = i32::try_from(child.id()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[&run].pid, pid);
        assert_eq!(Stat::of(pid).unwrap().start_time, found[&run].start_time);
        let group = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(find(&[run]).is_empty());
        assert!(find(&[]).is_empty());
    }
}
