// SPDX-License-Identifier: GPL-3.0-or-later
//! The drop-in program `connect`: core in this process, and both helpers as children that are
//! started again when they die.
//!
//! ```text
//!   connect --starts, restarts--> connect-pinger, connect-ifscripts
//!      |                               |
//!    core <------- helpers.sock -------+
//! ```

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use connect_runtime::exit::{Exit, Fatal, finish};
use connect_runtime::logging::{self, LogOptions, Sink};
use connect_runtime::notifier::PRIVATE_VARIABLES;
use connect_runtime::program;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tripe_admin::Interval;

use crate::daemonize;
use crate::options::{ConnectOptions, Paths};
use crate::restarts::{Restarts, Supervision};
use crate::signals::Hangup;
use crate::startup;

/// The helpers, by program name: the pinger first.
const HELPERS: [&str; 2] = ["connect-pinger", SCRIPT_HELPER];

/// The one that runs scripts.
const SCRIPT_HELPER: &str = "connect-ifscripts";

/// Where packages put the helpers.
const PACKAGED: &str = "/usr/lib/tripe-connect";

/// A helper that lived this long was in order; its next death is not held against it.
const STEADY: Duration = Duration::from_secs(10);

/// The pause before the second of several restarts in a row; the first is immediate.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between restarts.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let options = ConnectOptions::parse();
    if options.daemon && !daemonize::is_child() {
        return match daemonize::launch(options.core.server_wait.map(Interval::duration)) {
            Ok(code) => code,
            Err(fatal) => finish("connect", Err(fatal)),
        };
    }
    finish("connect", start(options))
}

fn start(mut options: ConnectOptions) -> Result<Exit, Fatal> {
    if options.daemon {
        daemonize::detach()?;
        if options.core.log.sink == Sink::Auto && Path::new("/run/systemd/journal/socket").exists()
        {
            // Standard error goes nowhere once the service is claimed.
            options.core.log.sink = Sink::Journald;
        }
    }
    logging::init(&options.core.log).map_err(|error| Fatal::new(Exit::Usage, error))?;
    let handed_over = startup::handed_over()?;
    let helpers = find_helpers(options.helper_dir.as_deref())?;
    let paths = startup::enter(&options.core)?;
    program::run(async move {
        // In the foreground it may be in somebody's terminal.
        let hangup = if options.daemon {
            Hangup::Reload
        } else {
            Hangup::End
        };
        let (restarts, supervisions) = Restarts::ours();
        let mut event_loop =
            startup::prepare(&options.core, &paths, handed_over, hangup, restarts).await?;
        let supervisors: Vec<JoinHandle<()>> = helpers
            .into_iter()
            .zip(supervisions)
            .map(|(program, core)| {
                let further = further_options(&program, &options);
                let log = options.core.log.clone();
                tokio::spawn(supervise(program, further, paths.clone(), log, core))
            })
            .collect();
        let background = options.daemon;
        let ended = event_loop
            .run(move || {
                if background && let Err(error) = daemonize::ready() {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "cannot tell the caller that the service is ready"
                    );
                }
            })
            .await;
        // Dropping a supervisor's child ends the helper; scripts under way are left to finish.
        // Before core's sockets are closed: a helper would log that it cannot reach core.
        for supervisor in supervisors {
            supervisor.abort();
            // It was aborted, so this waits for nothing else.
            let _ = supervisor.await;
        }
        ended
    })
}

/// Finds the helper programs, in the order of [`HELPERS`].
fn find_helpers(option: Option<&Path>) -> Result<Vec<PathBuf>, Fatal> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|me| me.parent().map(Path::to_path_buf));
    let candidates: Vec<PathBuf> = match option {
        Some(directory) => vec![directory.to_path_buf()],
        None => beside
            .into_iter()
            .chain([PathBuf::from(PACKAGED)])
            .collect(),
    };
    HELPERS
        .iter()
        .map(|name| {
            let found = candidates
                .iter()
                .map(|dir| dir.join(name))
                .find(|path| path.is_file());
            // The working directory is about to change, so a relative name would not last.
            found.and_then(|path| path.canonicalize().ok()).ok_or_else(|| {
                let places: Vec<String> =
                    candidates.iter().map(|dir| dir.display().to_string()).collect();
                let error = anyhow::anyhow!(
                    "cannot find the program {name} in {}; name its directory with --helper-dir",
                    places.join(" or ")
                );
                Fatal::new(Exit::Unavailable, error)
            })
        })
        .collect()
}

/// What is meant for one of the helpers among our own options.
fn further_options(program: &Path, options: &ConnectOptions) -> Vec<&'static str> {
    let of_scripts = [
        (options.clean_environment, "--clean-environment"),
        (options.allow_unsafe_scripts, "--allow-unsafe-scripts"),
    ];
    if !program.ends_with(SCRIPT_HELPER) {
        return Vec::new();
    }
    of_scripts
        .into_iter()
        .filter_map(|(wanted, option)| wanted.then_some(option))
        .collect()
}

fn spawn(
    program: &Path,
    further: &[&str],
    paths: &Paths,
    log: &LogOptions,
) -> anyhow::Result<Child> {
    let mut command = Command::new(program);
    command
        .args(further)
        .arg("--socket")
        .arg(paths.runtime.helpers_socket())
        .arg("--parent")
        .arg(std::process::id().to_string())
        .arg("--log-level")
        .arg(&log.level)
        // Scripts talk to the same server as we do.
        .env("TRIPESOCK", &paths.socket)
        .env("TRIPEDIR", &paths.directory)
        // A script that starts a service of its own is not this one's child.
        .env_remove(daemonize::CHILD_VARIABLE)
        .env_remove("STATE_DIRECTORY")
        .stdin(Stdio::null())
        // The trace of --debug has standard output for itself.
        .stdout(Stdio::null())
        // Ctrl-C is for us: a helper that ended by it as well would be restarted while we end.
        .process_group(0)
        .kill_on_drop(true);
    for variable in PRIVATE_VARIABLES {
        command.env_remove(variable);
    }
    if log.sink == Sink::Journald {
        command.arg("--log=journald");
    }
    if daemonize::is_child() {
        // The caller's is let go of by us, and must not be held open by a helper: whoever collects
        // what --daemon says waits for its end.
        command.stderr(Stdio::null());
    }
    command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Keeps one helper running for ever. One that is silent is killed, since it may be stopped and so
/// deaf to other signals.
async fn supervise(
    program: PathBuf,
    further: Vec<&'static str>,
    paths: Paths,
    log: LogOptions,
    core: Supervision,
) {
    let name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut pause = Duration::ZERO;
    loop {
        let started = Instant::now();
        match spawn(&program, &further, &paths, &log) {
            Ok(mut child) => {
                let ended = tokio::select! {
                    ended = child.wait() => ended,
                    () = core.silent() => {
                        tracing::warn!(helper = name, "a helper does not answer; killing it");
                        // It may end by itself at this very moment.
                        let _ = child.start_kill();
                        child.wait().await
                    }
                };
                match ended {
                    Ok(status) => {
                        tracing::warn!(helper = name, %status, "a helper has ended; restarting it");
                    }
                    Err(error) => tracing::warn!(helper = name, %error, "cannot wait for a helper"),
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
        sleep(pause).await;
        core.restarted();
        pause = (pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
    }
}
