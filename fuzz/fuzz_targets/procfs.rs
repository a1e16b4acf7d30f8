// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes as what the system says of processes, files and units, and as what the child of a
//! lookup says.
#![no_main]

use std::path::Path;

use connect_cli::fuzzing as cli;
use connect_ifscripts::fuzzing as ifscripts;
use connect_runtime::fuzzing as runtime;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    processes(bytes);
    command_lines(bytes);
    let text = String::from_utf8_lossy(bytes);
    texts(&text);
    if let Some(writers) = runtime::writers(bytes) {
        assert!(writers <= bytes.len() / 8, "{writers}");
    }
    if let Some(found) = ifscripts::found_in(bytes) {
        let written = serde_json::to_vec(&found).unwrap_or_default();
        assert_eq!(ifscripts::found_in(&written), Some(found));
    }
    if let Some(program) = cli::interpreter(bytes) {
        assert!(program.starts_with('/') && !program.contains([' ', '\t', '\n']));
    }
    let (is_header, is_text) = cli::kind_of(bytes);
    assert!(!bytes.is_empty() || (!is_header && is_text));
});

/// `/proc/PID/stat`, and the lock of a journal.
fn processes(bytes: &[u8]) {
    if let Some(stat) = runtime::stat(bytes) {
        let (parent, group, session) = (stat.parent, stat.group, stat.session);
        let zeros = " 0".repeat(22 - 7);
        let line = format!(
            "1 (x) S {parent} {group} {session}{zeros} {} 0",
            stat.start_time
        );
        assert_eq!(runtime::stat(line.as_bytes()), Some(stat));
    }
    if let Some(holder) = runtime::holder(bytes) {
        assert!(holder.pid > 0, "{holder:?}");
        let line = format!("{} {}\n", holder.pid, holder.start_time);
        assert_eq!(runtime::holder(line.as_bytes()), Some(holder));
    }
}

/// `/proc/PID/cmdline` and `/proc/PID/environ`.
fn command_lines(bytes: &[u8]) {
    if let Some(parent) = runtime::parent_in(bytes) {
        let line = format!("x\0--parent\0{parent}\0");
        assert_eq!(runtime::parent_in(line.as_bytes()), Some(parent));
    }
    if let Some(run) = ifscripts::run_in(bytes) {
        let line = format!("A=1\0TRIPE_CONNECT_RUN={}\0", run.0);
        assert_eq!(ifscripts::run_in(line.as_bytes()), Some(run));
    }
    let directory = Path::new("/run/x");
    if ifscripts::names(bytes, directory) {
        assert!(bytes.windows(6).any(|part| part == b"/run/x"));
    }
}

/// `/proc/PID/fd`, `/proc/PID/fdinfo`, `/proc/PID/status`, `/etc/networks`, and what systemctl and
/// journalctl print.
fn texts(text: &str) {
    if let Some(inode) = ifscripts::pipe_inode(text) {
        assert_eq!(
            ifscripts::pipe_inode(&format!("pipe:[{inode}]")),
            Some(inode)
        );
    }
    let _ = ifscripts::is_open_both_ways(text);
    let _ = cli::privileged(text);
    let units = cli::units(text);
    assert!(units.len() <= text.split("\n\n").count());
    if let Some(line) = cli::last_line(text) {
        assert!(line.chars().count() <= 300 && !line.trim().is_empty());
    }
    let word = text.split_whitespace().next().unwrap_or_default();
    let _ = cli::has_network(text, word);
}
