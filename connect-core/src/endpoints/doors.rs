// SPDX-License-Identifier: GPL-3.0-or-later
//! Our own sockets: making them and their directory, and making them again when they were removed.
//!
//! ```text
//!   directory --removed--> [watch] --Arrival::Removed--> core's loop --> restore: make them again,
//!                                                                        or end
//! ```
//!
//! A socket that a service manager has handed over is served as it is, with the permissions that it
//! was given there; the others are made here.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use connect_runtime::activation::HandedOver;
use connect_runtime::directory_watch::DirectoryWatch;
use connect_runtime::exit::{Exit, Fatal};
use connect_runtime::paths::RuntimeDir;
use connect_runtime::transport;
use interprocess::local_socket::tokio::Listener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::endpoints::access::Access;
use crate::endpoints::door::Door;
use crate::endpoints::listeners::{Arrival, Guard, accept_all};

/// How many arrivals wait for core's loop before connections are no longer read.
const ARRIVALS: usize = 1024;

/// Everybody may reach the sockets' names; each socket says itself who may connect.
const RUNTIME_MODE: u32 = 0o755;

/// How long whoever removes the directory is given to finish.
const SETTLE: Duration = Duration::from_millis(200);

/// The pause before sockets that could not be made again are tried again.
const RETRY: Duration = Duration::from_secs(2);

/// The sockets, and the tasks that accept connections on them.
#[derive(Debug)]
pub struct Doors {
    runtime: RuntimeDir,
    access: Arc<Access>,
    numbers: Arc<AtomicU64>,
    arrivals: mpsc::Sender<Arrival>,
    tasks: Vec<(Door, JoinHandle<()>)>,
    watch: Option<JoinHandle<()>>,
}

impl Doors {
    /// The way to core's loop.
    pub(super) fn arrivals(&self) -> mpsc::Sender<Arrival> {
        self.arrivals.clone()
    }

    /// Makes the runtime directory and those sockets that were not handed over, and starts serving
    /// all. The files of sockets made here vanish with their tasks.
    ///
    /// # Errors
    /// If the directory or a socket cannot be made, or one was handed over that nobody knows.
    pub async fn open(
        runtime: &RuntimeDir,
        access: Access,
        mut handed_over: HandedOver,
    ) -> anyhow::Result<(Self, mpsc::Receiver<Arrival>)> {
        if let Some(strange) = handed_over.strange(&Door::ALL.map(Door::name)) {
            anyhow::bail!(
                "the service manager handed over a socket that is not known here, {strange}; \
                 FileDescriptorName= is to be control, observe or helpers"
            );
        }
        let (arrivals, queue) = mpsc::channel(ARRIVALS);
        let mut doors = Doors {
            runtime: runtime.clone(),
            access: Arc::new(access),
            numbers: Arc::default(),
            arrivals,
            tasks: Vec::new(),
            watch: None,
        };
        for door in Door::ALL {
            let handed_over = handed_over.named(door.name());
            // The file may have been removed while the service manager held the socket.
            let listener = match handed_over.filter(|_| door.path(runtime).exists()) {
                Some(listener) => take_over(listener).with_context(|| {
                    format!("cannot serve the {} socket handed over", door.name())
                })?,
                None => doors.make(door).await?,
            };
            doors.serve(door, listener);
        }
        doors.watch_directory();
        Ok((doors, queue))
    }

    /// Makes a socket.
    async fn make(&self, door: Door) -> anyhow::Result<Listener> {
        make_directory(self.runtime.path())?;
        let path = door.path(&self.runtime);
        let mode = match door {
            Door::Helpers => self.access.helpers_mode,
            Door::Operators => self.access.control_mode,
            Door::Observers => self.access.observe_mode,
        };
        let listener = transport::listen(&path, mode).await?;
        if let (Door::Operators, Some(group)) = (door, &self.access.control_group) {
            group.owns(&path)?;
        }
        Ok(listener)
    }

    fn serve(&mut self, door: Door, listener: Listener) {
        let guard = Guard::new(Arc::clone(&self.access));
        let (numbers, arrivals) = (Arc::clone(&self.numbers), self.arrivals.clone());
        let task = tokio::spawn(accept_all(listener, door, guard, numbers, arrivals));
        self.tasks.push((door, task));
    }

    /// Has core's loop told when the file of a socket is removed.
    fn watch_directory(&mut self) {
        let watch = match DirectoryWatch::new(self.runtime.path()) {
            Ok(watch) => watch,
            Err(error) => {
                let directory = self.runtime.path().display();
                tracing::warn!(%error, %directory, "cannot watch the runtime directory");
                return;
            }
        };
        let paths = Door::ALL.map(|door| door.path(&self.runtime));
        let arrivals = self.arrivals.clone();
        let told = tokio::spawn(async move {
            while watch.removed().await.is_ok() {
                sleep(SETTLE).await;
                if paths.iter().any(|path| is_missing(path)) {
                    // A closed channel means that core is ending.
                    let _ = arrivals.send(Arrival::Removed).await;
                    return;
                }
            }
        });
        if let Some(old) = self.watch.replace(told) {
            old.abort();
        }
    }

    /// The file of a socket was removed. Makes what is missing again, or ends core, if somebody
    /// else starts it: the directory is not core's own then.
    ///
    /// # Errors
    /// If core is to end.
    pub(crate) async fn restore(&mut self, make_again: bool) -> Result<(), Fatal> {
        let directory = self.runtime.path().display().to_string();
        if !make_again {
            let error = anyhow::anyhow!(
                "the runtime directory {directory} or a socket in it was removed, so nobody can \
                 reach this service; ending, so that both are made again at the next start"
            );
            return Err(Fatal::new(Exit::DirectoryRemoved, error));
        }
        match self.make_missing().await {
            Ok(()) => {
                tracing::warn!(
                    directory,
                    "the runtime directory or a socket in it was removed; made it again"
                );
                self.watch_directory();
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the runtime directory was removed; retrying");
                let arrivals = self.arrivals.clone();
                tokio::spawn(async move {
                    sleep(RETRY).await;
                    let _ = arrivals.send(Arrival::Removed).await;
                });
            }
        }
        Ok(())
    }

    /// Makes the sockets again whose files are missing. Connections that are there stay.
    async fn make_missing(&mut self) -> anyhow::Result<()> {
        for door in Door::ALL {
            if !is_missing(&door.path(&self.runtime)) {
                continue;
            }
            let old = self.tasks.iter().position(|(served, _)| *served == door);
            if let Some(old) = old {
                let (_, task) = self.tasks.swap_remove(old);
                task.abort();
                // Its listener removes its file as it goes, which must not be the new one.
                let _ = task.await;
            }
            let listener = self.make(door).await?;
            self.serve(door, listener);
        }
        Ok(())
    }
}

fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Takes a socket that somebody else has opened, and will go on holding when we are gone.
fn take_over(listener: UnixListener) -> io::Result<Listener> {
    use interprocess::os::unix::uds_local_socket::tokio::Listener as UdsListener;
    UdsListener::try_from(std::os::fd::OwnedFd::from(listener)).map(Listener::from)
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    match fs::DirBuilder::new().mode(RUNTIME_MODE).create(path) {
        // What the umask took away is given back: the sockets have permissions of their own.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(RUNTIME_MODE))
            .with_context(|| format!("cannot open {} to observers", path.display())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::metadata(path).with_context(|| {
                format!("cannot look at the runtime directory {}", path.display())
            })?;
            anyhow::ensure!(
                metadata.is_dir(),
                "{} is no directory; choose another with --runtime-dir",
                path.display()
            );
            // In a directory that anybody may write to, anybody could stand in for core.
            let mode = metadata.permissions().mode();
            anyhow::ensure!(
                mode & 0o002 == 0 || mode & 0o1000 != 0,
                "the runtime directory {} is writable by everybody; chmod o-w it",
                path.display()
            );
            Ok(())
        }
        Err(error) => Err(error).with_context(|| {
            format!(
                "cannot make the runtime directory {}; choose another with --runtime-dir",
                path.display()
            )
        }),
    }
}
