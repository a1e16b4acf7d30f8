// SPDX-License-Identifier: GPL-3.0-or-later
//! The drop-in program `connect`: core in this process, and both helpers as children that are
//! started again when they end.
//!
//! ```text
//!   connect --starts, restarts--> connect-pinger, connect-ifscripts
//!      |                               |
//!    core <------- helpers.sock -------+
//! ```

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use connect_runtime::exit::{Exit, Fatal, finish};
use connect_runtime::logging::{self, Sink};
use connect_runtime::program;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tripe_admin::Interval;

use crate::daemonize;
use crate::event_loop::EventLoop;
use crate::helper_process::{HELPERS, HelperProgram};
use crate::options::ConnectOptions;
use crate::restarts::Restarts;
use crate::signals::Hangup;
use crate::startup;
use crate::stopping::LastHelper;

/// Where packages put the helpers.
const PACKAGED: &str = "/usr/lib/tripe-connect";

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
        if options.core.log.sink == Sink::Auto && logging::journal_listens() {
            // Standard error goes nowhere once the service is ready.
            options.core.log.sink = Sink::Journald;
        }
    }
    logging::init(&options.core.log).map_err(|error| Fatal::new(Exit::Usage, error))?;
    if options.daemon && options.core.log.sink == Sink::Auto {
        tracing::warn!(
            "there is no journal of systemd here, so there is no log once the service is ready; to \
             have one, start it without --daemon under a supervisor that keeps its standard error"
        );
    }
    let handed_over = startup::handed_over()?;
    let helpers = find_helpers(options.helper_dir.as_deref())?;
    let paths = startup::enter(&options.core)?;
    program::run(async move {
        // In the foreground it may run in a terminal.
        let hangup = if options.daemon {
            Hangup::Reload
        } else {
            Hangup::End
        };
        let (restarts, supervisions) = Restarts::ours();
        let mut event_loop =
            startup::prepare(&options.core, &paths, handed_over, hangup, restarts).await?;
        let supervisors = helpers
            .into_iter()
            .zip(supervisions)
            .map(|(program, core)| {
                let helper = HelperProgram::new(program, &options, &paths);
                let (stop, stopped) = oneshot::channel();
                (stop, tokio::spawn(helper.supervise(core, stopped)))
            });
        let supervisors: Vec<Supervisor> = supervisors.collect();
        let background = options.daemon;
        let ended = event_loop
            .run(move || {
                if background && let Err(error) = daemonize::ready() {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "cannot tell the process that started this one that the service is ready"
                    );
                }
            })
            .await;
        let stop_wait = options.stop_wait.duration();
        end_helpers(supervisors, event_loop, stop_wait, paths.state.is_some()).await;
        ended
    })
}

/// A helper's supervisor, and how to stop it.
type Supervisor = (oneshot::Sender<()>, JoinHandle<Option<Child>>);

/// Called when the service has ended: ends the pinger at once, and waits until the script helper
/// has ended.
async fn end_helpers(
    supervisors: Vec<Supervisor>,
    event_loop: EventLoop,
    stop_wait: Duration,
    keeps_state: bool,
) {
    let mut script_helper = None;
    for (stop, supervisor) in supervisors {
        // If it is dropped, that means the same.
        drop(stop);
        // The last one is that of the script helper; any other process ends with its handle. A
        // supervisor that has failed has no process to wait for.
        script_helper = supervisor.await.ok().flatten();
    }
    let scripts = event_loop.driver.machine.scripts_left();
    let peers = event_loop.driver.machine.scripts_unrequested();
    if peers > 0 && !keeps_state {
        tracing::warn!(
            peers,
            "peers with scripts have come or gone while the script helper was not there; without \
             --keep-state the next service may not run these scripts"
        );
    }
    let last = script_helper.map(|child| LastHelper::ask(child, stop_wait, scripts));
    // This closes all connections, so that nobody waits for an answer while we wait.
    let mut signals = event_loop.into_signals();
    if let Some(last) = last {
        last.ended(&mut signals).await;
    }
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
            // The working directory is about to change, so a relative name would be wrong then.
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
