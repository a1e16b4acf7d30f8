// SPDX-License-Identifier: GPL-3.0-or-later
//! `--daemon`: the command returns when the service is ready, or with the reason why it is not.
//!
//! ```text
//!   connect --daemon [waits] --starts--> connect in a session of its own
//!        ^                                  |
//!        +---- one line on a pipe: ready ---+
//! ```
//!
//! The first process waits for as long as the start may take, and ends the child if it takes
//! longer.
//!
//! The child is a new process, not a fork, since a process must not fork once its event
//! loop runs.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use connect_runtime::descriptor::close_inherited;
use connect_runtime::exit::{Exit, Fatal};
use connect_runtime::streams::{self, Stream};

use crate::machine::ANSWER_LIMIT;

/// The variable that tells the child what it is.
pub(crate) const CHILD_VARIABLE: &str = "TRIPE_CONNECT_DAEMON_CHILD";

/// What the child writes to its standard output when the service is ready. No line of a trace
/// looks like it.
const READY: &str = "ready";

/// Whether this process is the child.
#[must_use]
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD_VARIABLE).is_some()
}

/// How long a start may take in addition to the time that it may wait for the server: reading a
/// large database from a slow disk takes seconds.
const MARGIN: Duration = Duration::from_secs(30);

/// How long a child that has closed its output may take to end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// How many lines of a trace wait to be passed on.
const LINES: usize = 64;

/// How often to check whether a child that is about to end has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The first process: starts the child and waits until it is ready, for as long as the child may
/// wait for the server and [`MARGIN`]. The child's errors appear on our standard error by
/// themselves, and its exit status becomes ours.
///
/// # Errors
/// If the child cannot be started, or ended before it was ready.
pub(crate) fn launch(server_wait: Option<Duration>) -> Result<ExitCode, Fatal> {
    let system = |error| Fatal::new(Exit::System, error);
    // Before anything is opened: otherwise the daemon would keep files of its caller open, such as
    // a locked file or the end of a pipe, for ever.
    close_inherited();
    let program = std::env::current_exe()
        .context("cannot find my own program")
        .map_err(system)?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(CHILD_VARIABLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the background process")
        .map_err(system)?;
    let limit = server_wait.unwrap_or(ANSWER_LIMIT) + MARGIN;
    let until = Instant::now() + limit;
    let lines = lines_of(&mut child);
    loop {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) if line == READY => {
                streams::flush();
                return Ok(Exit::Success.into());
            }
            // The beginning of a trace (--debug), which goes to our own standard output. If nobody
            // reads that, we must still notice that the child is ready.
            Ok(line) => Stream::Out.line(line),
            Err(RecvTimeoutError::Timeout) => return Err(give_up(&mut child, limit)),
            // The child writes nothing more; what that means is found out below.
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let Some(status) = end_of(&mut child).map_err(system)? else {
        return Err(give_up(&mut child, limit));
    };
    streams::flush();
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) if code != 0 => Ok(code.into()),
        _ => {
            let signal = status
                .signal()
                .map_or(String::new(), |s| format!(" by signal {s}"));
            let error = anyhow::anyhow!("the background process ended{signal} before it was ready");
            Err(Fatal::new(Exit::Software, error))
        }
    }
}

/// What the child writes, line by line.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = mpsc::sync_channel(LINES);
    if let Some(stdout) = child.stdout.take() {
        // Ends with the child's output, or with this process.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    lines
}

/// The exit status of a child that has closed its output; `None` if it does not end.
fn end_of(child: &mut Child) -> anyhow::Result<Option<ExitStatus>> {
    let until = Instant::now() + END_LIMIT;
    loop {
        let ended = child.try_wait();
        if let Some(status) = ended.context("cannot wait for the background process")? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Ends a child that has not become ready.
fn give_up(child: &mut Child, limit: Duration) -> Fatal {
    // It may have ended at this very moment.
    let _ = child.kill();
    let _ = child.wait();
    let error = anyhow::anyhow!(
        "the background process was not ready after {} s, so it was ended; start it without \
         --daemon to see what it waits for",
        limit.as_secs()
    );
    Fatal::new(Exit::Unanswered, error)
}

/// The child, at its start: leaves the terminal and the process group of its caller.
///
/// # Errors
/// If the system refuses.
pub(crate) fn detach() -> Result<(), Fatal> {
    rustix::process::setsid()
        .context("cannot leave the terminal")
        .map_err(|error| Fatal::new(Exit::System, error))?;
    Ok(())
}

/// The child, once the service is ready: says so, and closes standard output and error.
///
/// # Errors
/// If the system refuses.
pub(crate) fn ready() -> anyhow::Result<()> {
    // A caller that has ended, or does not read, does not stop the service.
    Stream::Out.last_line(READY.to_owned());
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .context("cannot open /dev/null")?;
    rustix::stdio::dup2_stdout(&null).context("cannot close standard output")?;
    rustix::stdio::dup2_stderr(&null).context("cannot close standard error")?;
    Ok(())
}
