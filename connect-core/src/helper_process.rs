// SPDX-License-Identifier: GPL-3.0-or-later
//! A helper as a child of `connect`: how it is started, and started again when it ends.

use std::ffi::OsString;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use connect_runtime::notifier::PRIVATE_VARIABLES;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::daemonize;
use crate::lock_watch::LockWatch;
use crate::options::{ConnectOptions, Paths};
use crate::restarts::Supervision;

/// The helpers, by program name: the pinger first.
pub(crate) const HELPERS: [&str; 2] = ["connect-pinger", SCRIPT_HELPER];

/// The one that runs scripts.
const SCRIPT_HELPER: &str = "connect-ifscripts";

/// A helper that ran for this long worked; when it ends, the next restart is immediate again.
const STEADY: Duration = Duration::from_secs(10);

/// The pause before the second of several restarts in a row; the first is immediate.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between restarts.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// A helper program, with its arguments and environment.
#[derive(Debug)]
pub(crate) struct HelperProgram {
    program: PathBuf,
    arguments: Vec<OsString>,
    paths: Paths,
    /// For the script helper alone.
    lock: Option<LockWatch>,
}

impl HelperProgram {
    /// This program, with those of our options that are for it.
    pub(crate) fn new(program: PathBuf, options: &ConnectOptions, paths: &Paths) -> Self {
        let log = &options.core.log;
        let mut arguments: Vec<OsString> = vec![
            "--socket".into(),
            paths.runtime.helpers_socket().into(),
            "--parent".into(),
            std::process::id().to_string().into(),
            // Both, since a helper has the same variables, which stand in for options.
            "--log".into(),
            log.sink.name().into(),
            "--log-level".into(),
            log.level.clone().into(),
        ];
        let mut lock = None;
        if runs_scripts(&program) {
            arguments.extend(of_scripts(options, paths));
            lock = Some(LockWatch::new(
                paths.runtime.journal(),
                options.stop_wait.duration(),
            ));
        }
        HelperProgram {
            program,
            arguments,
            paths: paths.clone(),
            lock,
        }
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            // Scripts talk to the same server as we do.
            .env("TRIPESOCK", &self.paths.socket)
            .env("TRIPEDIR", &self.paths.directory)
            // A `connect` that a script starts is not the child of this `--daemon`.
            .env_remove(daemonize::CHILD_VARIABLE)
            .env_remove("STATE_DIRECTORY")
            .stdin(Stdio::null())
            // Standard output is for the trace of --debug only.
            .stdout(Stdio::null())
            // Ctrl-C must reach only us: otherwise helpers would end too, and be restarted while we
            // end.
            .process_group(0)
            // The pinger has nothing to finish. The script helper is told to end, see `stopping`;
            // if we are killed, the system tells it.
            .kill_on_drop(!runs_scripts(&self.program));
        for variable in PRIVATE_VARIABLES {
            command.env_remove(variable);
        }
        if daemonize::is_child() {
            // We close the standard error of our caller, and a helper must not keep it open: a
            // program that collects the output of --daemon waits for its end.
            command.stderr(Stdio::null());
        }
        command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }

    /// Keeps the helper running until `stop`, and then returns its process, if there is one at that
    /// moment. A silent helper is killed, since one that is stopped does not react to other
    /// signals.
    pub(crate) async fn supervise(
        mut self,
        core: Supervision,
        mut stop: oneshot::Receiver<()>,
    ) -> Option<Child> {
        let name = self.program.file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let mut pause = Duration::ZERO;
        loop {
            let started = Instant::now();
            match self.spawn() {
                Ok(mut child) => {
                    let id = child.id();
                    let ended = tokio::select! {
                        ended = child.wait() => ended,
                        () = core.silent() => {
                            tracing::warn!(helper = %name, "a helper does not answer; killing it");
                            // It may end by itself at this very moment.
                            let _ = child.start_kill();
                            child.wait().await
                        }
                        () = attend(&mut self.lock, id, &core) => child.wait().await,
                        _ = &mut stop => return Some(child),
                    };
                    match ended {
                        Ok(status) => {
                            tracing::warn!(helper = %name, %status, "a helper has ended; restarting it");
                        }
                        Err(error) => {
                            tracing::warn!(helper = %name, %error, "cannot wait for a helper");
                        }
                    }
                }
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "cannot start a helper; retrying"
                ),
            }
            if started.elapsed() > STEADY {
                pause = Duration::ZERO;
            }
            tokio::select! {
                () = sleep(pause) => {}
                _ = &mut stop => return None,
            }
            core.restarted();
            pause = (pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
        }
    }
}

/// Makes sure that the helper can begin. Never ends.
async fn attend(lock: &mut Option<LockWatch>, helper: Option<u32>, core: &Supervision) {
    match lock {
        Some(lock) => lock.attend(helper, core).await,
        None => pending().await,
    }
}

fn runs_scripts(program: &Path) -> bool {
    program.ends_with(SCRIPT_HELPER)
}

/// The options that only the script helper has.
fn of_scripts(options: &ConnectOptions, paths: &Paths) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "--stop-wait".into(),
        options.stop_wait.to_string().into(),
        "--journal-dir".into(),
        paths.runtime.journal().into(),
    ];
    let switches = [
        (options.clean_environment, "--clean-environment"),
        (options.allow_unsafe_scripts, "--allow-unsafe-scripts"),
    ];
    let wanted = switches.into_iter().filter(|(wanted, _)| *wanted);
    arguments.extend(wanted.map(|(_, option)| option.into()));
    arguments
}
