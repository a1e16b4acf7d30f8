// SPDX-License-Identifier: GPL-3.0-or-later
//! Our own sockets: makes them and their directory, and makes them again when they are removed.
//!
//! ```text
//!   files <--looks-- [watch] --Arrival::Lost--> core's loop --> restore: make them again, or end
//! ```
//!
//! A socket that a service manager has handed over is used as it is, with its permissions; the
//! others are made here.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use connect_ipc::hello::Hello;
use connect_runtime::activation::HandedOver;
use connect_runtime::deadline::Deadline;
use connect_runtime::exit::{Exit, Fatal};
use connect_runtime::fault_log::FaultLog;
use connect_runtime::paths::RuntimeDir;
use connect_runtime::transport::{self, SocketError};
use connect_runtime::{clock, closing, passing};
use interprocess::local_socket::tokio::Listener;
use interprocess::local_socket::traits::tokio::Listener as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::endpoints::access::Access;
use crate::endpoints::arrivals::{Arrival, Listening};
use crate::endpoints::clients;
use crate::endpoints::directory;
use crate::endpoints::door::Door;
use crate::endpoints::gate::Gate;
use crate::endpoints::limits::SLOTS;
use crate::endpoints::listeners::{self, Guard};
use crate::endpoints::socket_file::SocketFile;

/// How many arrivals of helpers wait for core's loop before connections are no longer read.
const ARRIVALS: usize = 1024;

/// How often to check whether clients can still find the sockets. Unlike notification by the
/// system, this also notices that a file system was mounted over the directory.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait until a program that removes the directory has finished.
const SETTLE: Duration = Duration::from_millis(200);

/// How long to wait at the start for an earlier core that is about to close its sockets, because it
/// was killed or has just released the service.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long to wait before trying again to listen.
const LISTEN_AGAIN: Duration = Duration::from_millis(20);

/// The sockets, and the tasks that accept connections on them.
#[derive(Debug)]
pub struct Doors {
    runtime: RuntimeDir,
    access: Arc<Access>,
    gate: Arc<Gate>,
    numbers: Arc<AtomicU64>,
    /// From helpers, and of what the service itself watches.
    arrivals: mpsc::Sender<Arrival>,
    /// From operators and observers.
    requests: mpsc::Sender<Arrival>,
    served: Vec<Served>,
    /// The files of the sockets, for the task that watches them.
    files: Arc<Mutex<Vec<SocketFile>>>,
    /// Why sockets cannot be made again.
    faults: FaultLog,
}

/// What arrives through the sockets, for core's loop.
#[derive(Debug)]
pub struct Queues {
    /// From helpers, and of what the service itself watches.
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    /// From operators and observers. It is small, so that what they can do in one turn is bounded.
    pub(crate) requests: mpsc::Receiver<Arrival>,
}

/// A socket that is served.
#[derive(Debug)]
struct Served {
    door: Door,
    file: SocketFile,
    /// Whether core has made the file, and so removes it.
    ours: bool,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
        if self.ours {
            self.file.remove();
        }
    }
}

impl Doors {
    /// The way to core's loop for what the service itself watches.
    pub(super) fn arrivals(&self) -> mpsc::Sender<Arrival> {
        self.arrivals.clone()
    }

    /// The way to core's loop for operators and observers.
    pub(super) fn requests(&self) -> mpsc::Sender<Arrival> {
        self.requests.clone()
    }

    /// What operators and observers share.
    pub(super) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    /// Makes the runtime directory and those sockets that were not handed over, and starts serving
    /// all. The files of sockets made here are removed at the end. `hello` is the first message to
    /// operators and observers.
    ///
    /// # Errors
    /// If the directory or a socket cannot be made, or a socket with an unknown name was handed
    /// over.
    pub async fn open(
        runtime: &RuntimeDir,
        access: Access,
        hello: Hello,
        mut handed_over: HandedOver,
    ) -> anyhow::Result<(Self, Queues)> {
        if let Some(strange) = handed_over.strange(&Door::ALL.map(Door::name)) {
            anyhow::bail!(
                "the service manager handed over a socket with an unknown name, {strange}; set \
                 FileDescriptorName= to control, observe or helpers"
            );
        }
        closing::start().context("cannot prepare to close descriptors that clients send")?;
        let (arrivals, arrived) = mpsc::channel(ARRIVALS);
        let (requests, requested) = mpsc::channel(SLOTS);
        let access = Arc::new(access);
        let mut doors = Doors {
            runtime: runtime.clone(),
            gate: Arc::new(Gate::new(Arc::clone(&access), hello)),
            access,
            numbers: Arc::default(),
            arrivals,
            requests,
            served: Vec::new(),
            files: Arc::default(),
            faults: FaultLog::default(),
        };
        for door in Door::ALL {
            let handed_over = handed_over.named(door.name());
            // The file may have been removed while the service manager held the socket.
            let file = SocketFile::at(door.path(runtime));
            match handed_over.zip(file.ok()) {
                Some((listener, file)) => {
                    let listener = take_over(listener).with_context(|| {
                        format!("cannot serve the {} socket handed over", door.name())
                    })?;
                    doors.serve(door, listener, file, false);
                }
                None => doors.make(door, LAST_WORDS).await?,
            }
        }
        doors.watch_files()?;
        let queues = Queues {
            arrivals: arrived,
            requests: requested,
        };
        Ok((doors, queues))
    }

    /// Makes a socket and serves it, in place of one whose file was removed; waits up to `patience`
    /// while another process serves it.
    async fn make(&mut self, door: Door, patience: Duration) -> anyhow::Result<()> {
        directory::make(self.runtime.path())?;
        let path = door.path(&self.runtime);
        let mode = match door {
            Door::Helpers => self.access.helpers_mode,
            Door::Operators => self.access.control_mode,
            Door::Observers => self.access.observe_mode,
        };
        let listener = listen(&path, mode, patience).await;
        // The sentence contains the system's error, which would otherwise be printed twice.
        let mut listener = listener.map_err(|error| anyhow::anyhow!("{error}"))?;
        // Otherwise it would remove whatever is then at its path.
        listener.do_not_reclaim_name_on_drop();
        let group = match door {
            Door::Helpers => &self.access.helpers_group,
            Door::Operators => &self.access.control_group,
            Door::Observers => &None,
        };
        if let Some(group) = group {
            group.owns(&path)?;
        }
        let file = SocketFile::at(path)?;
        self.served.retain(|served| served.door != door);
        self.serve(door, listener, file, true);
        Ok(())
    }

    fn serve(&mut self, door: Door, listener: Listener, file: SocketFile, ours: bool) {
        let numbers = Arc::clone(&self.numbers);
        let listening = Listening::new(listener, door, ours);
        let task = match door {
            Door::Helpers => {
                let guard = Guard::new(Arc::clone(&self.access));
                let arrivals = self.arrivals.clone();
                tokio::spawn(listeners::accept_all(listening, guard, numbers, arrivals))
            }
            Door::Operators | Door::Observers => {
                let (gate, requests) = (self.gate(), self.requests.clone());
                tokio::spawn(clients::accept_all(listening, gate, numbers, requests))
            }
        };
        self.served.push(Served {
            door,
            file,
            ours,
            task,
        });
        let files = self.served.iter().map(|served| served.file.clone());
        *lock(&self.files) = files.collect();
    }

    /// Tells core's loop as long as the file of a socket is missing. Also logs the counts of
    /// complaints whose minute is over.
    fn watch_files(&self) -> io::Result<()> {
        let mut look = Deadline::new()?;
        let files = Arc::clone(&self.files);
        let (arrivals, gate) = (self.arrivals.clone(), self.gate());
        tokio::spawn(async move {
            let mut told = false;
            loop {
                look.set(Some(clock::now() + LOOK_EVERY));
                look.passed().await;
                gate.tell_complaints();
                let mut lost = is_any_lost(&files);
                if lost {
                    sleep(SETTLE).await;
                    lost = is_any_lost(&files);
                }
                // Once more when all exist again, even if core has not made them. A closed channel
                // means that core is ending.
                if (lost || told) && arrivals.send(Arrival::Lost).await.is_err() {
                    return;
                }
                told = lost;
            }
        });
        Ok(())
    }

    /// The file of a socket is missing. Makes it again, or ends core if a service manager starts
    /// it, since the directory does not belong to core then.
    ///
    /// # Errors
    /// If core is to end.
    pub(crate) async fn restore(&mut self, make_again: bool) -> Result<(), Fatal> {
        let lost = self.served.iter().filter_map(|served| {
            let why = served.file.lost()?;
            Some((served.door, why))
        });
        let (doors, reasons): (Vec<Door>, Vec<String>) = lost.unzip();
        let reasons = reasons.join(", ");
        if !make_again && !doors.is_empty() {
            let directory = self.runtime.path().display();
            let error = anyhow::anyhow!(
                "nobody can reach this service through its sockets in {directory}: {reasons}; \
                 ending, so that the next start makes them again"
            );
            return Err(Fatal::new(Exit::DirectoryRemoved, error));
        }
        match self.make_all(&doors).await {
            Ok(()) if doors.is_empty() => {
                if self.faults.over() {
                    tracing::info!("the sockets of the service can be reached again");
                }
            }
            Ok(()) => {
                tracing::warn!(
                    lost = reasons,
                    "sockets of the service were removed or replaced; made them again"
                );
                self.faults.over();
            }
            Err(error) => {
                let error = format!("{error:#}");
                if self.faults.is_new(&error) {
                    tracing::error!(
                        error,
                        lost = reasons,
                        "cannot make the sockets of the service again; retrying; remove the \
                         files that have their names"
                    );
                }
            }
        }
        Ok(())
    }

    /// Accepts no more connections, since core is ending. Present connections stay. If a service
    /// manager holds the sockets, later clients wait for the next core.
    pub(crate) fn close(&mut self) {
        self.served.clear();
        lock(&self.files).clear();
    }

    /// Makes those sockets again that can be made. Present connections stay.
    async fn make_all(&mut self, doors: &[Door]) -> anyhow::Result<()> {
        let mut made = Ok(());
        for door in doors {
            made = made.and(self.make(*door, Duration::ZERO).await);
        }
        made
    }
}

/// Listens as soon as nobody else does.
///
/// # Errors
/// As [`transport::listen`], after `patience` if somebody else listens all that time.
async fn listen(path: &Path, mode: u32, patience: Duration) -> Result<Listener, SocketError> {
    let end = Instant::now() + patience;
    loop {
        let listener = transport::listen(path, mode).await;
        let is_taken = matches!(listener, Err(SocketError::InUse { .. }));
        if !is_taken || Instant::now() >= end {
            return listener;
        }
        sleep(LISTEN_AGAIN).await;
    }
}

fn lock(files: &Mutex<Vec<SocketFile>>) -> MutexGuard<'_, Vec<SocketFile>> {
    // Nothing that holds the lock can panic.
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_any_lost(files: &Mutex<Vec<SocketFile>>) -> bool {
    lock(files).iter().any(|file| file.lost().is_some())
}

/// Takes a socket that another process has opened, and will keep open when we have ended.
fn take_over(listener: UnixListener) -> io::Result<Listener> {
    use interprocess::os::unix::uds_local_socket::tokio::Listener as UdsListener;
    passing::refuse(&listener)?;
    UdsListener::try_from(std::os::fd::OwnedFd::from(listener)).map(Listener::from)
}
