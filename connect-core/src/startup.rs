// SPDX-License-Identifier: GPL-3.0-or-later
//! What core does before its loop runs: it takes the sockets handed over, changes to its directory,
//! reaches the server and opens everything that the loop needs.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use connect_ipc::clock::BootId;
use connect_ipc::hello::{Hello, Role};
use connect_runtime::activation::HandedOver;
use connect_runtime::clock;
use connect_runtime::deadline::Deadline;
use connect_runtime::exhaustion;
use connect_runtime::exit::{Exit, Fatal};
use peerdb::Database;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use crate::admin_link::{AdminLink, server_unreachable};
use crate::database_watch::{self, Seen};
use crate::driver::Driver;
use crate::endpoints::Endpoints;
use crate::endpoints::access::Access;
use crate::endpoints::doors::Doors;
use crate::event_loop::{Deadlines, EventLoop, WallClock};
use crate::kept_database;
use crate::machine::{Config, Inherited, Input, Loaded, Machine};
use crate::options::{CoreOptions, Paths, VERSION};
use crate::recording::Recorder;
use crate::restarts::Restarts;
use crate::saved_state::{self, Keeper};
use crate::service_manager::ServiceManager;
use crate::signals::{self, Hangup};
use crate::state_file;

/// The remedy if core cannot read what an earlier core has saved.
const NO_DESCRIPTORS: &str = "there are too few file descriptors, or too little memory, to start: \
                              raise the limit of open files of connect-core";

/// Takes the sockets that a service manager has opened for us.
///
/// # Errors
/// If there are some that are of no use.
pub(crate) fn handed_over() -> Result<HandedOver, Fatal> {
    HandedOver::take().map_err(|error| Fatal::new(Exit::System, error))
}

/// Changes to the configuration directory.
///
/// # Errors
/// If there is no such directory.
pub(crate) fn enter(options: &CoreOptions) -> Result<Paths, Fatal> {
    let paths = options
        .paths()
        .map_err(|error| Fatal::new(Exit::System, error))?;
    std::env::set_current_dir(&paths.directory)
        .with_context(|| format!("cannot change to {}", paths.directory.display()))
        .map_err(|error| Fatal::new(Exit::System, error))?;
    Ok(paths)
}

/// Connects to the server, or finds out that core has to wait for it.
///
/// # Errors
/// If it cannot be reached and is not to be waited for.
async fn reach(options: &CoreOptions, paths: &Paths) -> Result<AdminLink, Fatal> {
    let mut admin = AdminLink::new(&paths.socket);
    match (admin.connect().await, options.server_wait) {
        (Err(error), None) => Err(server_unreachable(&paths.socket, Some(&error.to_string()))),
        (Ok(()), _) | (Err(_), Some(_)) => Ok(admin),
    }
}

/// What core says first to operators and observers: also which service it is.
fn hello(paths: &Paths) -> Hello {
    Hello {
        socket: Some(paths.socket.display().to_string()),
        directory: Some(paths.directory.display().to_string()),
        ..Hello::new(Role::Core)
    }
}

/// Catches signals, reaches the server, opens the sockets and reads the database: everything that
/// the loop needs.
///
/// # Errors
/// With the exit code for what is missing. A missing or broken database is not an error: the
/// service runs without, says so, and loads the file when it is there.
pub(crate) async fn prepare(
    options: &CoreOptions,
    paths: &Paths,
    handed_over: HandedOver,
    hangup: Hangup,
    restarts: Restarts,
) -> Result<EventLoop, Fatal> {
    let system = |error| Fatal::new(Exit::System, error);
    // First: an earlier signal would end the process without saving the state.
    let signals = signals::listen(hangup).map_err(system)?;
    let admin = reach(options, paths).await?;
    if options.record.is_some() {
        // A limit on the size of files must end the recording, not the service.
        let too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        let caught = signal(too_large).context("cannot catch SIGXFSZ");
        caught.map(drop).map_err(system)?;
    }
    let mut driver = driver(options, paths).map_err(system)?;
    let access = Access::new(options).map_err(system)?;
    let (doors, queues) = Doors::open(&paths.runtime, access, hello(paths), handed_over)
        .await
        .map_err(system)?;
    if let Some(state) = &paths.state {
        state_file::check(state).map_err(system)?;
        state_file::remove_leftovers(state);
    }
    let looked_at = peerdb::FileIdentity::of(&paths.database).ok();
    let loaded = Database::load(&paths.database);
    if let Some((run, state)) = left(paths, saved_state::load).map_err(system)? {
        let database = match &loaded {
            Ok(database) if !state.has_peers_without_record(database) => None,
            _ => left(paths, kept_database::load).map_err(system)?,
        };
        driver.feed(Input::Inherited(Box::new(Inherited {
            run,
            state,
            database,
        })));
    }
    let seen = Seen::new(&loaded, looked_at);
    driver.feed(Input::Database(loaded.into()));
    let (databases, read_database) = watch_database(&paths.database, seen).map_err(system)?;
    Ok(EventLoop {
        driver,
        admin,
        endpoints: Endpoints::new(doors, queues),
        databases,
        read_database,
        signals,
        keeper: Keeper::new(paths.state.clone()),
        service_manager: ServiceManager::from_environment(),
        socket: paths.socket.clone(),
        clock: WallClock::default(),
        deadlines: Deadlines {
            machine: deadline().map_err(system)?,
            others: deadline().map_err(system)?,
        },
        restarts,
    })
}

/// The machine, with a recording of its inputs and outputs if one is wanted.
fn driver(options: &CoreOptions, paths: &Paths) -> anyhow::Result<Driver> {
    let config = Config {
        version: VERSION.to_owned(),
        boot: boot()?,
        pid: std::process::id(),
        socket: paths.socket.clone(),
        database: paths.database.clone(),
        startup: options.startup,
        ping: options.ping.into(),
        script_limit: options.script_timeout,
        hooks: options.hooks.defaults(),
        exit_on_disconnect: options.exit_on_disconnect,
        server_wait: options.server_wait,
        started: clock::now(),
    };
    let recorder = options
        .record
        .as_deref()
        .map(|path| Recorder::create(path, &config))
        .transpose()?;
    Ok(Driver::new(Machine::new(config), options.debug, recorder))
}

/// Which boot of the host this is.
///
/// # Errors
/// As [`excused`].
fn boot() -> anyhow::Result<Option<BootId>> {
    let boot = clock::boot().map(Some);
    excused(
        boot,
        "the saved state does not say which boot it is about; if the service runs in a sandbox, \
         let it read this file",
    )
}

/// What an earlier core has saved in one of the files.
///
/// # Errors
/// As [`excused`].
fn left<T>(
    paths: &Paths,
    load: impl FnOnce(&Path) -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let directory = paths.state.as_deref();
    let loaded = directory.map_or(Ok(None), load);
    excused(loaded, "continuing without the saved state")
}

/// What was read; nothing, and a line of the log, if it cannot be used.
///
/// # Errors
/// If we could not look since descriptors or memory are missing. To continue as if nothing had been
/// saved would run scripts again.
fn excused<T>(read: anyhow::Result<Option<T>>, consequence: &str) -> anyhow::Result<Option<T>> {
    read.or_else(|error| {
        if exhaustion::is_cause_of(&error) {
            return Err(error.context(NO_DESCRIPTORS));
        }
        tracing::warn!(error = format!("{error:#}"), "{consequence}");
        Ok(None)
    })
}

/// Starts to watch the database file.
fn watch_database(
    path: &Path,
    seen: Seen,
) -> anyhow::Result<(mpsc::Receiver<Loaded>, Arc<Notify>)> {
    let (sender, databases) = mpsc::channel(1);
    let read_database = Arc::new(Notify::new());
    tokio::spawn(database_watch::watch(
        path.to_owned(),
        seen,
        sender,
        Arc::clone(&read_database),
        deadline()?,
    ));
    Ok((databases, read_database))
}

fn deadline() -> anyhow::Result<Deadline> {
    Deadline::new().context("cannot create a timer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    fn read(error: Errno) -> anyhow::Result<Option<()>> {
        let read: anyhow::Result<Option<()>> = Err(error).context("cannot read the file");
        excused(read, "continuing without it")
    }

    #[test]
    fn core_does_not_start_as_if_nothing_had_been_saved_when_it_cannot_look() {
        assert!(matches!(read(Errno::ACCESS), Ok(None)));
        for error in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            let refused = format!("{:#}", read(error).unwrap_err());
            assert!(
                refused.contains("raise the limit of open files"),
                "{refused}"
            );
            assert!(refused.contains("cannot read the file"), "{refused}");
        }
    }
}
