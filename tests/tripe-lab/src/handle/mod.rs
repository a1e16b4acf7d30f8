// SPDX-License-Identifier: GPL-3.0-or-later
//! The handle on a running lab server: what tests hold in hand.
//!
//! ```text
//!   test thread --closure--> channel --> server's thread (runtime, sockets, server)
//!   test thread <--answer--- channel <--'
//!   test thread <--waits on-- event log <-- server's thread
//! ```

mod harm;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::config::LabConfig;
use crate::error::LabError;
use crate::log::{Event, EventLog, Follower, What};
use crate::server::{ClientId, Control, Input, PeerView, Server};
use crate::shell::{self, Ending, Shell, Task};

/// Starts lab servers.
#[derive(Clone, Copy, Debug)]
pub struct Lab;

impl Lab {
    /// Starts a server on a thread of its own. When this returns, its sockets are there.
    ///
    /// # Errors
    ///
    /// If a socket or the thread cannot be made.
    pub fn start(config: LabConfig) -> Result<LabHandle, LabError> {
        let log = Arc::new(EventLog::new(config.log.capacity));
        let handle = LabHandle {
            shared: Arc::new(Shared {
                socket: config.socket.clone(),
                seed: config.seed,
                log,
                config: Arc::new(Mutex::new(config)),
                running: Mutex::new(None),
            }),
        };
        handle.start()?;
        Ok(handle)
    }
}

/// A lab server, running or not. Clones are handles on the same server; when the last one is
/// dropped, the server ends as by [`LabHandle::crash`].
///
/// Every method blocks for the moment it takes the server's thread to answer, and may be called
/// from any thread. In asynchronous code, call those that wait (`wait_for` and its kin) on a
/// blocking thread.
#[derive(Clone, Debug)]
pub struct LabHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    socket: PathBuf,
    seed: u64,
    log: Arc<EventLog>,
    /// For the next run: with the UDP ports that the first one got, and the faults and switches as
    /// the last one left them.
    config: Arc<Mutex<LabConfig>>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    tasks: mpsc::UnboundedSender<Task>,
    thread: JoinHandle<()>,
}

/// A command line that a server received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommandSeen {
    /// From which client.
    pub client: ClientId,
    /// When, on the monotonic clock.
    pub at: Instant,
    /// The line.
    pub line: String,
}

/// Locks what is whole between any two operations, so that a thread that panicked did no harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Shared {
    fn drop(&mut self) {
        let running = lock(&self.running).take();
        if let Some(Running { tasks, thread }) = running {
            // Without a sender the server ends.
            drop(tasks);
            let _ = thread.join();
        }
    }
}

/// The server's thread: one run, and more if it is restarted.
fn serve(
    config: &Mutex<LabConfig>,
    log: &Arc<EventLog>,
    mut tasks: mpsc::UnboundedReceiver<Task>,
    started: &std_mpsc::SyncSender<Result<(), LabError>>,
) {
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = started.try_send(Err(LabError::Thread(error)));
                return;
            }
        };
        let local = tokio::task::LocalSet::new();
        let ending = local.block_on(
            &runtime,
            shell::run(config, Arc::clone(log), &mut tasks, || {
                let _ = started.try_send(Ok(()));
            }),
        );
        match ending {
            Ok(Ending::Restart) => {}
            Ok(Ending::Clean | Ending::Crash) => return,
            Err(error) => {
                let _ = started.try_send(Err(error));
                return;
            }
        }
    }
}

/// Life and death.
impl LabHandle {
    /// How long waiting goes on before it is given up. Nothing that works takes anywhere near as
    /// long; it only keeps a failing test from hanging.
    pub const PATIENCE: Duration = Duration::from_secs(20);

    /// Starts the server if it does not run: on the same admin socket and the same UDP ports, all
    /// peers, services and challenges forgotten.
    ///
    /// # Errors
    ///
    /// If a socket or the thread cannot be made.
    pub fn start(&self) -> Result<(), LabError> {
        let mut running = lock(&self.shared.running);
        if let Some(old) = running.take() {
            if !old.thread.is_finished() {
                *running = Some(old);
                return Ok(());
            }
            let _ = old.thread.join();
        }
        // Room for several, so that the server never waits for somebody who does not look.
        let (started, wait) = std_mpsc::sync_channel(4);
        let (tasks, receiver) = mpsc::unbounded_channel();
        let config = Arc::clone(&self.shared.config);
        let log = Arc::clone(&self.shared.log);
        let thread = std::thread::Builder::new()
            .name(String::from("tripe-lab"))
            .spawn(move || serve(&config, &log, receiver, &started))
            .map_err(LabError::Thread)?;
        wait.recv().unwrap_or(Err(LabError::NotRunning))?;
        *running = Some(Running { tasks, thread });
        Ok(())
    }

    fn end(&self, end: impl FnOnce(&Rc<Shell>) + Send + 'static) {
        let running = lock(&self.shared.running).take();
        if let Some(Running { tasks, thread }) = running {
            let _ = tasks.send(Box::new(end));
            let _ = thread.join();
        }
    }

    /// Ends the server in good order, as SIGTERM does: a warning, every peer killed with a note
    /// and its goodbye, all written, the admin socket gone. Does nothing if it does not run.
    pub fn shutdown(&self) {
        self.shutdown_by("SIGTERM");
    }

    /// The same for another signal.
    pub fn shutdown_by(&self, signal: &str) {
        let signal = signal.to_owned();
        self.end(move |shell| shell.feed(Input::Quit(vec!["signal".into(), signal])));
    }

    /// The same at the end of the standard input that was a client.
    pub fn shutdown_at_eof(&self) {
        self.end(|shell| shell.feed(Input::Quit(vec!["foreground-eof".into()])));
    }

    /// Ends the server as a crash does: every socket closed at once, nothing said; the admin
    /// socket's name stays behind. Does nothing if it does not run.
    pub fn crash(&self) {
        self.end(|shell| shell.end(Ending::Crash));
    }

    /// Crashes the server if it runs, and starts it again.
    ///
    /// # Errors
    ///
    /// If a socket or the thread cannot be made.
    pub fn restart(&self) -> Result<(), LabError> {
        self.crash();
        self.start()
    }

    /// Whether the server runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let running = lock(&self.shared.running);
        matches!(&*running, Some(running) if !running.thread.is_finished())
    }

    /// Runs `act` on the server's thread and gives what it returns.
    fn ask<R: Send + 'static>(
        &self,
        act: impl FnOnce(&Rc<Shell>) -> R + Send + 'static,
    ) -> Result<R, LabError> {
        let tasks = match &*lock(&self.shared.running) {
            Some(running) => running.tasks.clone(),
            None => return Err(LabError::NotRunning),
        };
        let (give, take) = std_mpsc::sync_channel(1);
        let sent = tasks.send(Box::new(move |shell| {
            // Nobody waits any more only if the asking thread is gone.
            let _ = give.send(act(shell));
        }));
        sent.map_err(|_| LabError::NotRunning)?;
        take.recv().map_err(|_| LabError::NotRunning)
    }

    /// Lets `look` see the server: for what no other method offers.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn with_server<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Server) -> R + Send + 'static,
    ) -> Result<R, LabError> {
        self.ask(move |shell| shell.look(look))
    }

    /// Has the server do something outside of the protocol. The inner error is its reason not to.
    fn interfere(&self, control: Control) -> Result<Result<Vec<String>, String>, LabError> {
        self.ask(move |shell| shell.control(control))
    }
}

/// Looking.
impl LabHandle {
    /// Where the admin socket is.
    #[must_use]
    pub fn socket_path(&self) -> &Path {
        &self.shared.socket
    }

    /// The seed, to be shown when a test fails.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// The UDP address; of several, the first. If there is none, an unspecified address.
    #[must_use]
    pub fn udp_addr(&self) -> SocketAddr {
        let none = SocketAddr::from(([0, 0, 0, 0], 0));
        self.udp_addrs().first().copied().unwrap_or(none)
    }

    /// All UDP addresses.
    #[must_use]
    pub fn udp_addrs(&self) -> Vec<SocketAddr> {
        lock(&self.shared.config).udp.clone()
    }

    /// The peers, in the order of their making.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn peers(&self) -> Result<Vec<PeerView>, LabError> {
        self.with_server(Server::peers)
    }

    /// The connected clients.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn clients(&self) -> Result<Vec<ClientId>, LabError> {
        self.ask(|shell| shell.clients())
    }

    /// Every event so far, of all runs of this server.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.shared.log.collect(|event| Some(event.clone()))
    }

    /// The events from this number on, as far as the log has them still.
    #[must_use]
    pub fn events_since(&self, number: u64) -> Vec<Event> {
        self.shared.log.since(number)
    }

    /// How many events there have been, which is the number of the next one.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.shared.log.next()
    }

    /// Every command received so far.
    #[must_use]
    pub fn commands(&self) -> Vec<CommandSeen> {
        self.shared.log.collect(|event| match &event.what {
            What::Command(client, line) => Some(CommandSeen {
                client: *client,
                at: event.at,
                line: line.clone(),
            }),
            _ => None,
        })
    }

    /// Every `NOTE`, `WARN` and `TRACE` made so far, whether anybody watched or not.
    #[must_use]
    pub fn broadcasts(&self) -> Vec<String> {
        self.shared.log.collect(|event| match &event.what {
            What::Broadcast(line) => Some(line.clone()),
            _ => None,
        })
    }
}

/// Waiting. None of these sleeps: they are woken by the event itself.
impl LabHandle {
    /// Follows events from now on.
    #[must_use]
    pub fn follow(&self) -> Follower {
        Follower::new(
            Arc::clone(&self.shared.log),
            self.shared.log.next(),
            self.seed(),
        )
    }

    /// Follows events from the server's beginning on.
    #[must_use]
    pub fn follow_from_start(&self) -> Follower {
        Follower::new(Arc::clone(&self.shared.log), 0, self.seed())
    }

    /// The first event ever that is wanted; waits for it if it has not happened yet. `wanted` must
    /// not call the handle.
    ///
    /// # Errors
    ///
    /// If it does not happen within [`LabHandle::PATIENCE`].
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&What) -> bool) -> Result<Event, LabError> {
        self.follow_from_start().next(what, wanted)
    }

    /// The first command ever that begins with `prefix`.
    ///
    /// # Errors
    ///
    /// If it does not come within [`LabHandle::PATIENCE`].
    pub fn wait_for_command(&self, prefix: &str) -> Result<Event, LabError> {
        self.follow_from_start().command(prefix)
    }

    /// The first broadcast ever that begins with `prefix`.
    ///
    /// # Errors
    ///
    /// If it does not come within [`LabHandle::PATIENCE`].
    pub fn wait_for_broadcast(&self, prefix: &str) -> Result<Event, LabError> {
        self.follow_from_start().broadcast(prefix)
    }
}
