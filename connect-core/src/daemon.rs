// SPDX-License-Identifier: GPL-3.0-or-later
//! Core's loop: everything that happens goes into the [`Machine`], and what comes out is sent.
//!
//! ```text
//!   tripe server <--ServerLink--+
//!   helpers, operators <--------+-- [this loop] <--> Machine
//!   database watcher -----------+
//!   signals, time --------------+
//! ```
//!
//! One turn takes everything that has arrived and then sends everything that came of it, so a
//! burst of any size costs one write to each side.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser as _;
use connect_daemon::exit::{Exit, Fatal, finish};
use connect_daemon::logging;
use connect_ipc::alarm::Alarm;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{Request, ServerLink as LinkState};
use connect_ipc::hello::Role;
use connect_ipc::transport::{Caller, SendError, Sender};
use peerdb::{Database, LoadError};
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};
use tripe_admin::line::Line;

use crate::database_watch;
use crate::machine::{Config, ConnectionId, Ending, Machine, Outputs};
use crate::observers::Observers;
use crate::options::{CoreOnlyOptions, CoreOptions, Places, VERSION};
use crate::server::{ServerEvent, ServerLink};
use crate::sockets::{self, Access, Arrival};
use crate::trace::Trace;

/// How many arrivals are taken in one turn before their results are sent: enough to batch well,
/// few enough that a flood on one side does not hold up the others.
const ARRIVALS_PER_TURN: usize = 256;

/// The program `connect-core`.
#[must_use]
pub fn main() -> ExitCode {
    let options = CoreOnlyOptions::parse().core;
    finish("connect-core", start(&options))
}

fn start(options: &CoreOptions) -> Result<Exit, Fatal> {
    logging::init(&options.log).map_err(|error| Fatal::new(Exit::Usage, error))?;
    let places = enter(options)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let core = Core::join(options, &places).await?;
        core.run_as_task(async {}).await
    })
}

/// Changes to the configuration directory.
///
/// # Errors
/// If there is no such directory.
pub fn enter(options: &CoreOptions) -> Result<Places, Fatal> {
    let places = options
        .places()
        .map_err(|error| Fatal::new(Exit::System, error))?;
    std::env::set_current_dir(&places.directory)
        .with_context(|| format!("cannot change to {}", places.directory.display()))
        .map_err(|error| Fatal::new(Exit::System, error))?;
    Ok(places)
}

/// The event loop's runtime: one thread, measured to cost half of several.
///
/// # Errors
/// If the system refuses.
pub fn runtime() -> Result<tokio::runtime::Runtime, Fatal> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")
        .map_err(|error| Fatal::new(Exit::System, error))
}

/// Core with everything it is connected to.
#[derive(Debug)]
pub struct Core {
    machine: Machine,
    server: ServerLink,
    arrivals: mpsc::Receiver<Arrival>,
    databases: mpsc::Receiver<Result<Database, LoadError>>,
    pinger: Option<(ConnectionId, Sender)>,
    scripts: Option<(ConnectionId, Sender)>,
    operators: HashMap<ConnectionId, (Sender, Caller)>,
    observers: Observers,
    look_at_database: Arc<Notify>,
    trace: Trace,
    exit_on_disconnect: bool,
    /// Why the server is away, so that each reason is logged once.
    outage: Option<String>,
    terminate: Signal,
    interrupt: Signal,
}

impl Core {
    /// Reads the database, reaches the server and opens the sockets.
    ///
    /// # Errors
    /// With the exit code for what is missing. A missing or broken database is not an error: the
    /// service runs without, says so, and takes the file up when it is there.
    pub async fn join(options: &CoreOptions, places: &Places) -> Result<Self, Fatal> {
        let system = |error| Fatal::new(Exit::System, error);
        let terminate = signal(SignalKind::terminate())
            .context("cannot catch SIGTERM")
            .map_err(system)?;
        let interrupt = signal(SignalKind::interrupt())
            .context("cannot catch SIGINT")
            .map_err(system)?;
        let server = ServerLink::connect(&places.socket)
            .await
            .with_context(|| {
                format!(
                    "cannot reach the tripe server at {}; is tripe running? Name its socket with \
                     -a or TRIPESOCK",
                    places.socket.display()
                )
            })
            .map_err(|error| Fatal::new(Exit::Unavailable, error))?;
        let access = Access {
            control_mode: options.control_mode,
            control_group: options.control_group.clone(),
            observe_mode: options.observe_mode,
        };
        let arrivals = sockets::serve(&places.runtime, &access)
            .await
            .map_err(system)?;
        let mut machine = Machine::new(Config {
            version: VERSION.to_owned(),
            socket: places.socket.clone(),
            database: places.database.clone(),
            startup: options.startup,
            ping: options.ping.into(),
            script_limit: options.script_timeout,
            started: Monotonic::now(),
        });
        let loaded = database_watch::load(&places.database);
        let seen = loaded.as_ref().map_or_else(
            |_| peerdb::FileIdentity::of(&places.database).ok(),
            Database::identity,
        );
        machine.database(loaded, Monotonic::now());
        let (sender, databases) = mpsc::channel(1);
        let look_at_database = Arc::new(Notify::new());
        tokio::spawn(database_watch::watch(
            places.database.clone(),
            seen,
            sender,
            Arc::clone(&look_at_database),
        ));
        Ok(Core {
            machine,
            server,
            arrivals,
            databases,
            pinger: None,
            scripts: None,
            operators: HashMap::new(),
            observers: Observers::default(),
            look_at_database,
            trace: Trace::new(options.debug),
            exit_on_disconnect: options.exit_on_disconnect,
            outage: None,
            terminate,
            interrupt,
        })
    }

    /// Works until the service ends. `joined` is completed once the service is claimed.
    ///
    /// The loop is a task of the runtime and not the future that the runtime was started with: that
    /// one is woken through a file descriptor even from its own thread, which costs two system
    /// calls each time.
    ///
    /// # Errors
    /// With the exit code for what went wrong.
    pub async fn run_as_task(
        self,
        joined: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Exit, Fatal> {
        match tokio::spawn(self.run(joined)).await {
            Ok(ended) => ended,
            Err(error) => Err(Fatal::new(
                Exit::System,
                anyhow::Error::new(error).context("core's loop broke off"),
            )),
        }
    }

    async fn run(mut self, joined: impl Future<Output = ()> + Send) -> Result<Exit, Fatal> {
        let mut joined = Some(Box::pin(joined));
        let alarm = Alarm::new()
            .context("cannot have a timer")
            .map_err(|error| Fatal::new(Exit::System, error))?;
        let mut set = None;
        self.machine.server_connected(Monotonic::now());
        loop {
            if let Some(exit) = self.send_all()? {
                return Ok(exit);
            }
            if self.machine.link() == LinkState::Up
                && let Some(joined) = joined.take()
            {
                joined.await;
            }
            let deadline = self.machine.next_deadline();
            if let Some(deadline) = deadline
                && set != Some(deadline)
            {
                alarm
                    .set(deadline)
                    .context("cannot set a timer")
                    .map_err(|error| Fatal::new(Exit::System, error))?;
            }
            set = deadline;
            tokio::select! {
                event = self.server.event() => self.server_event(event)?,
                Some(arrival) = self.arrivals.recv() => self.arrived(arrival),
                Some(loaded) = self.databases.recv() => {
                    self.machine.database(loaded, Monotonic::now());
                }
                rung = alarm.rings(), if set.is_some() => {
                    rung.context("cannot wait for a timer")
                        .map_err(|error| Fatal::new(Exit::System, error))?;
                    // It rings once for each setting.
                    set = None;
                }
                _ = self.terminate.recv() => self.machine.retire(),
                _ = self.interrupt.recv() => self.machine.retire(),
            }
            self.machine.tick(Monotonic::now());
        }
    }

    fn server_event(&mut self, event: ServerEvent) -> Result<(), Fatal> {
        let now = Monotonic::now();
        match event {
            ServerEvent::Connected => {
                tracing::info!("the server is back");
                self.outage = None;
                self.machine.server_connected(now);
            }
            ServerEvent::Arrived => {
                while let Some(line) = self.server.lines.next_line() {
                    match line {
                        Line::Text(text) => {
                            self.machine.server_line(&text, now);
                            self.trace.hide(self.machine.take_secrets());
                            self.trace.received(&text);
                        }
                        Line::TooLong { start, length } => tracing::warn!(
                            "ignoring a line of {length} bytes from the server, beginning {start}"
                        ),
                    }
                }
            }
            ServerEvent::Wrote => {}
            ServerEvent::Lost(why) => {
                self.machine.server_lost(now);
                if self.outage.as_ref() != Some(&why) {
                    tracing::warn!("the server is out of reach: {why}; trying on");
                    self.outage = Some(why.clone());
                }
                if self.exit_on_disconnect {
                    let error = anyhow::anyhow!("the server is out of reach: {why}");
                    return Err(Fatal::new(Exit::Disconnected, error));
                }
            }
        }
        Ok(())
    }

    /// Takes one arrival and whatever else has arrived by now.
    fn arrived(&mut self, first: Arrival) {
        let mut next = Some(first);
        for _ in 0..ARRIVALS_PER_TURN {
            let Some(arrival) = next else { return };
            self.take(arrival);
            next = self.arrivals.try_recv().ok();
        }
        if let Some(arrival) = next {
            self.take(arrival);
        }
    }

    fn take(&mut self, arrival: Arrival) {
        let now = Monotonic::now();
        match arrival {
            Arrival::Helper {
                connection,
                role: Role::Pinger,
                sender,
                status,
            } => {
                replace(&mut self.pinger, connection, sender);
                self.machine.pinger_connected(status);
            }
            Arrival::Helper {
                connection,
                sender,
                status,
                ..
            } => {
                replace(&mut self.scripts, connection, sender);
                self.machine.scripts_connected(status);
            }
            // What a helper sent before it was replaced counts no longer.
            Arrival::Pinger(connection, message) => {
                if is_of(self.pinger.as_ref(), connection) {
                    self.machine.from_pinger(message, now);
                }
            }
            Arrival::Scripts(connection, message) => {
                if is_of(self.scripts.as_ref(), connection) {
                    self.machine.from_scripts(message, now);
                }
            }
            Arrival::Operator {
                connection,
                sender,
                caller,
            } => {
                tracing::debug!(?caller, "an operator has connected");
                self.operators.insert(connection, (sender, caller));
            }
            Arrival::Request(connection, envelope) => {
                let caller = self.operators.get(&connection).map(|(_, caller)| *caller);
                let by = describe(caller.unwrap_or_default());
                if let Request::Submit { words } = &envelope.request {
                    tracing::info!(by, "command: {}", tripe_admin::token::join(words));
                }
                self.machine.request(connection, &by, envelope, now);
            }
            Arrival::Gone(connection) => {
                if self
                    .pinger
                    .take_if(|(held, _)| *held == connection)
                    .is_some()
                {
                    tracing::warn!("the pinger is gone");
                    self.machine.pinger_lost();
                }
                if self
                    .scripts
                    .take_if(|(held, _)| *held == connection)
                    .is_some()
                {
                    tracing::warn!("the script helper is gone");
                    self.machine.scripts_lost();
                }
                if self.operators.remove(&connection).is_some() {
                    self.observers.forget(connection);
                    self.machine.operator_gone(connection);
                }
            }
        }
    }

    /// Sends everything that came of this turn; gives the exit code when core is to end.
    fn send_all(&mut self) -> Result<Option<Exit>, Fatal> {
        let Outputs {
            to_pinger,
            to_scripts,
            answers,
            events,
            subscriptions,
            look_at_database,
            ending,
            secrets,
        } = self.machine.take_outputs();
        self.trace.hide(secrets);
        if look_at_database {
            self.look_at_database.notify_one();
        }
        deliver(&mut self.pinger, &to_pinger, "pinger");
        deliver(&mut self.scripts, &to_scripts, "script helper");
        for (connection, answer) in answers {
            if let Some((sender, _)) = self.operators.get(&connection)
                && let Err(error) = sender.send(&answer)
            {
                tracing::warn!("cannot answer an operator: {error}");
            }
        }
        for (connection, request, filter, since) in subscriptions {
            self.observers.subscribe(connection, request, filter, since);
        }
        if !events.is_empty() {
            let senders = self.operators.iter().map(|(id, (sender, _))| (*id, sender));
            let dropped = self.observers.publish(events, &senders.collect());
            self.machine.events_dropped(dropped);
        }
        self.machine.set_observed(!self.observers.is_empty());
        let output = self.server.output();
        let before = output.len();
        self.machine.drain_lines(output);
        self.trace.sent(output.get(before..).unwrap_or_default());
        let event = self.server.flush();
        self.server_event(event)?;
        match ending {
            None => Ok(None),
            Some(Ending::Quit) => Ok(Some(Exit::Success)),
            Some(Ending::Displaced { version }) => Err(Fatal::new(
                Exit::Displaced,
                anyhow::anyhow!("the service was taken over by version {version}"),
            )),
            Some(Ending::Refused { failure }) => Err(Fatal::new(
                Exit::Displaced,
                anyhow::anyhow!(
                    "the server does not let us provide the service ({failure}); make the present \
                     provider quit first"
                ),
            )),
        }
    }
}

/// Who somebody is, for the log and for observers.
fn describe(caller: Caller) -> String {
    let number = |value: Option<i64>| value.map_or_else(|| "?".to_owned(), |v| v.to_string());
    let (uid, pid) = (caller.uid.map(i64::from), caller.pid.map(i64::from));
    format!("uid {} pid {}", number(uid), number(pid))
}

/// Puts a new helper in the place of an old one, which is cut off: there is one of each kind.
fn replace(slot: &mut Option<(ConnectionId, Sender)>, connection: ConnectionId, sender: Sender) {
    if let Some((_, old)) = slot.replace((connection, sender)) {
        tracing::warn!("a second helper of the kind has come; the first is cut off");
        old.cut();
    }
}

fn is_of(slot: Option<&(ConnectionId, Sender)>, connection: ConnectionId) -> bool {
    slot.is_some_and(|(held, _)| *held == connection)
}

fn deliver<M: Serialize>(slot: &mut Option<(ConnectionId, Sender)>, messages: &[M], name: &str) {
    let Some((_, sender)) = slot else { return };
    for message in messages {
        match sender.send(message) {
            Ok(()) => {}
            Err(error @ SendError::Frame(_)) => {
                tracing::error!("cannot tell the {name}: {error}");
            }
            Err(error @ (SendError::Gone | SendError::Stuck(_))) => {
                // Its reader ends as well, and that is when the machine hears of it.
                tracing::warn!("cannot tell the {name}: {error}");
                return;
            }
        }
    }
}
