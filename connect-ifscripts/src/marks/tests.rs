// SPDX-License-Identifier: GPL-3.0-or-later
//! The marks of real processes.

use super::*;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{self, ChildStdout, Command, Stdio};
use std::sync::Arc;

use connect_ipc::scripts::{Command as Words, Run, ScriptKind};
use connect_runtime::start_time;
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::journal::Directory;
use crate::ledger::{Entry, Origin};

#[test]
fn the_mark_is_a_whole_variable() {
    let run = |text: &str| run_in(text.as_bytes()).map(|run| run.0);
    assert_eq!(run("A=1\0TRIPE_CONNECT_RUN=7\0B=2\0"), Some(7));
    assert_eq!(run("XTRIPE_CONNECT_RUN=7\0TRIPE_CONNECT_RUNS=8\0"), None);
    assert_eq!(run("TRIPE_CONNECT_RUN=x\0"), None);
    assert_eq!(run(""), None);
}

/// A helper that was killed when its script was just being started.
struct Bench {
    run: RunId,
    mark: InputMark,
    _directory: tempfile::TempDir,
}

/// A script that has written its first line. It is killed with its group in the end.
struct Script {
    child: process::Child,
    output: BufReader<ChildStdout>,
    first: String,
}

impl Bench {
    /// No other process has this number.
    fn new(number: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mark = InputMark::of(&Directory::open(directory.path()).unwrap());
        Bench {
            run: RunId(u64::from(process::id()) << 32 | number),
            mark,
            _directory: directory,
        }
    }

    /// A script as the helper would start it.
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script])
            .env(VARIABLE, self.run.0.to_string())
            .process_group(0)
            .stdin(Stdio::from(self.mark.file().unwrap()))
            .stdout(Stdio::piped());
        command
    }

    fn script(&self, script: &str) -> Script {
        Script::start(&mut self.command(script))
    }

    /// What is found for a note with this origin.
    fn find(&self, origin: Origin) -> Option<i32> {
        let run = self.run;
        let mut ledger = Ledger::default();
        ledger.apply(&Entry::Ordered(Arc::new(Run {
            run,
            peer: "a".to_owned(),
            kind: ScriptKind::Ifup,
            command: Words::Shell(":".to_owned()),
            environment: Vec::new(),
            limit: None,
            setup: None,
            undoes: Vec::new(),
        })));
        assert_eq!(find(&ledger, &self.mark).unwrap(), BTreeMap::new());
        ledger.apply(&Entry::Starting { run, origin });
        let child = find(&ledger, &self.mark).unwrap().get(&run).copied()?;
        assert_eq!(start_time::of(child.pid), Some(child.start_time));
        Some(child.pid)
    }
}

/// As if a process had been started just when its start was noted, however busy this machine is.
fn origin_of(pid: i32) -> Origin {
    let stat = Stat::of(pid).unwrap();
    Origin {
        at: stat.start_time,
        session: stat.session,
    }
}

impl Script {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut script = Script {
            child,
            output,
            first: String::new(),
        };
        script.first = script.line();
        script
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // The pipe of its output ends with the last process that it has started.
        for pid in [self.pid(), self.first.parse().unwrap_or(0)] {
            if let Some(group) = Pid::from_raw(pid) {
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}

/// Prints a line once its environment is the new one, and waits.
const WAITS: &str = "sh -c 'echo here; exec sleep 1000'";

#[test]
fn a_child_is_found_by_its_mark_and_what_it_starts_is_not() {
    let bench = Bench::new(1);
    let script = bench.script("sleep 1000 & echo $!; wait");
    let origin = origin_of(script.pid());
    assert_eq!(bench.find(origin), Some(script.pid()));
    drop(script);
    assert_eq!(bench.find(origin), None);
}

#[test]
fn a_script_that_executes_a_program_without_its_variables_is_found() {
    let bench = Bench::new(2);
    let script = bench.script(&format!("exec env -i {WAITS}"));
    assert_eq!(variable_of(script.pid()).unwrap(), Variable::Absent);
    let origin = origin_of(script.pid());
    assert_eq!(bench.find(origin), Some(script.pid()));
    // A helper with another journal does not take it for its own.
    assert_eq!(Bench::new(3).find(origin), None);
}

#[test]
fn a_script_that_redirects_its_input_is_found() {
    let bench = Bench::new(4);
    let script = bench.script(&format!("exec </dev/null {WAITS}"));
    assert_eq!(bench.find(origin_of(script.pid())), Some(script.pid()));
}

#[test]
fn a_script_that_does_both_is_not_found() {
    let bench = Bench::new(5);
    let script = bench.script(&format!("exec </dev/null env -i {WAITS}"));
    assert_eq!(bench.find(origin_of(script.pid())), None);
}

#[test]
fn a_child_is_found_however_long_its_helper_was_suspended_before_it_started_it() {
    let bench = Bench::new(9);
    let (numbered, marked) = (WAITS.to_owned(), format!("exec env -i {WAITS}"));
    for script in [numbered, marked] {
        let script = bench.script(&script);
        let origin = origin_of(script.pid());
        // As if the note were older by an hour, or by as much as this machine has run.
        let at = origin.at.saturating_sub(ticks(Duration::from_secs(3_600)));
        assert_eq!(bench.find(Origin { at, ..origin }), Some(script.pid()));
    }
}

#[test]
fn what_a_script_has_left_behind_is_found_only_if_it_shows_the_run() {
    let bench = Bench::new(6);
    // It leaves a process behind, which makes itself a group of its own, and ends.
    let mut script = bench.script("timeout 1000 sh -c 'echo $PPID; exec sleep 1000' &");
    script.child.wait().unwrap();
    let left: i32 = script.first.parse().unwrap();
    let origin = origin_of(left);
    // This is wrong, but nothing distinguishes this process from a script.
    assert_eq!(bench.find(origin), Some(left));
    assert_eq!(Bench::new(10).find(origin), None);
}

#[test]
fn a_script_that_runs_as_another_user_is_found_by_its_session_and_start() {
    if !geteuid().is_root() {
        // Only root can create a process of another user.
        return;
    }
    let bench = Bench::new(7);
    // In a session of its own, since to a thread without rights all tests' processes look alike.
    let hidden = "setsid sh -c 'timeout 1000 sh -c \"echo \\$PPID; exec sleep 1000\" & wait'";
    let mut command = bench.command(hidden);
    let script = Script::start(command.uid(65_534).env_remove(VARIABLE));
    let pid: i32 = script.first.parse().unwrap();
    let found = std::thread::scope(|scope| {
        let finder = scope.spawn(|| {
            // Only the rights of this thread.
            let none = CapabilitySet::empty();
            let sets = CapabilitySets {
                effective: none,
                permitted: none,
                inheritable: none,
            };
            set_capabilities(None, sets).unwrap();
            assert_eq!(variable_of(pid).unwrap(), Variable::Unreadable);
            bench.find(origin_of(pid))
        });
        finder.join().unwrap()
    });
    assert_eq!(found, Some(pid));
}

#[test]
fn the_input_of_a_script_has_nothing_to_read_and_takes_nothing() {
    let bench = Bench::new(8);
    let mut script = bench.script("cat; cat /dev/stdin; echo x 2>/dev/null >&0 || echo refused");
    assert_eq!(script.first, "refused");
    script.child.wait().unwrap();
    let mut file = bench.mark.file().unwrap();
    assert!(file.write_all(b"x").is_err());
    assert!(file.set_len(1).is_err());
    let mut text = String::new();
    assert_eq!(file.read_to_string(&mut text).unwrap(), 0);
}
