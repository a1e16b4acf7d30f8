// SPDX-License-Identifier: GPL-3.0-or-later
//! `--daemon`: the caller gets its prompt back when the service is claimed, or the reason why not.
//!
//! ```text
//!   connect --daemon [waits] --starts--> connect in a session of its own
//!        ^                                  |
//!        +---- one line on a pipe: ready ---+
//! ```
//!
//! The child is a new process, not a fork, since a process must not fork once its event
//! loop runs.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use connect_runtime::descriptor::close_inherited;
use connect_runtime::exit::{Exit, Fatal};
use connect_runtime::streams::{self, Stream};

/// The variable that tells the child what it is.
pub(crate) const CHILD_VARIABLE: &str = "TRIPE_CONNECT_DAEMON_CHILD";

/// What the child says on its standard output when the service is claimed. No line of a trace is
/// like it.
const READY: &str = "ready";

/// Whether this process is the child.
#[must_use]
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD_VARIABLE).is_some()
}

/// The caller's side: starts the child and waits for its word. Its errors appear on our standard
/// error by themselves, and its exit status becomes ours.
///
/// # Errors
/// If the child cannot be started, or ended without a word.
pub(crate) fn launch() -> Result<std::process::ExitCode, Fatal> {
    let system = |error| Fatal::new(Exit::System, error);
    // Before anything is opened: what the caller had open is no business of a daemon, which would
    // keep the lock of a file or the other end of a pipe for ever.
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
    if let Some(stdout) = child.stdout.take() {
        // An error here means that nothing was said, which is looked into below.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if line == READY {
                streams::flush();
                return Ok(Exit::Success.into());
            }
            // The beginning of a trace (--debug), which is for our own standard output. If nobody
            // reads that, the word of the child must still be read.
            Stream::Out.line(line);
        }
    }
    let status = child
        .wait()
        .context("cannot wait for the background process")
        .map_err(system)?;
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

/// The child's side, at its start: leaves the caller's terminal and process group.
///
/// # Errors
/// If the system refuses.
pub(crate) fn detach() -> Result<(), Fatal> {
    rustix::process::setsid()
        .context("cannot leave the terminal")
        .map_err(|error| Fatal::new(Exit::System, error))?;
    Ok(())
}

/// The child's side, once the service is claimed: says so, and lets go of the caller's standard
/// output and error.
///
/// # Errors
/// If the system refuses.
pub(crate) fn ready() -> anyhow::Result<()> {
    // A caller that has gone away, or does not read, does not stop the service.
    Stream::Out.last_line(READY.to_owned());
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .context("cannot open /dev/null")?;
    rustix::stdio::dup2_stdout(&null).context("cannot let go of standard output")?;
    rustix::stdio::dup2_stderr(&null).context("cannot let go of standard error")?;
    Ok(())
}
