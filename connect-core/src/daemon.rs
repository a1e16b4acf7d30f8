// SPDX-License-Identifier: GPL-3.0-or-later
//! Core's loop: everything that happens goes into the [`Machine`], and what comes out is sent.
//!
//! ```text
//!   tripe server <--ServerLink--+
//!   helpers, operators <--------+-- [this loop] <--> Machine
//!   database watcher -----------+
//!   signals, time --------------+
//!   service manager <-----------+
//!   state file <----------------+
//! ```
//!
//! One turn takes everything that has arrived and then sends everything that came of it, so a
//! burst of any size costs one write to each side.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink as LinkState;
use connect_ipc::hello::Role;
use connect_runtime::activation::HandedOver;
use connect_runtime::alarm::Alarm;
use connect_runtime::clock;
use connect_runtime::exit::{Exit, Fatal, finish};
use connect_runtime::logging;
use connect_runtime::transport::{SendError, Sender};
use peerdb::{Database, LoadError};
use serde::Serialize;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tripe_admin::line::Line;

use crate::access::Access;
use crate::database_watch;
use crate::machine::{Config, ConnectionId, Ending, Machine, Outputs};
use crate::notices::Notices;
use crate::operators::Operators;
use crate::options::{CoreOnlyOptions, CoreOptions, Places, VERSION};
use crate::server::{ServerEvent, ServerLink};
use crate::server_instance::ServerInstance;
use crate::signals::{self, Hangup, Wish};
use crate::sockets::{self, Arrival};
use crate::startup::{enter, handed_over, out_of_reach, reach, runtime};
use crate::state_file::{self, Keeper, Left};
use crate::trace::Trace;

/// How many arrivals are taken in one turn before their results are sent: enough to batch well,
/// few enough that a flood on one side does not hold up the others.
const ARRIVALS_PER_TURN: usize = 256;

/// How long the server may take over our leave: a live one answers at once, and nothing is lost if
/// it does not, since it sees the connection close.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);

/// The program `connect-core`.
#[must_use]
pub fn main() -> ExitCode {
    let options = CoreOnlyOptions::parse().core;
    finish("connect-core", start(&options))
}

fn start(options: &CoreOptions) -> Result<Exit, Fatal> {
    logging::init(&options.log).map_err(|error| Fatal::new(Exit::Usage, error))?;
    let handed_over = handed_over()?;
    let places = enter(options)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let core = Core::join(options, &places, handed_over, Hangup::Reload).await?;
        core.run_as_task(async {}).await
    })
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
    operators: Operators,
    look_at_database: Arc<Notify>,
    trace: Trace,
    exit_on_disconnect: bool,
    /// The server's socket, for people.
    socket: PathBuf,
    /// When a server that has not been there yet is no longer waited for.
    wait_until: Option<Instant>,
    /// What an earlier core has left, until it is known whether it is about this server.
    left: Option<Left>,
    /// The run of the server that was met last.
    met: Option<ServerInstance>,
    keeper: Keeper,
    notices: Notices,
    /// When core ends although the server has not answered its leave.
    leave_by: Option<Instant>,
    /// Why the server is away, so that each reason is logged once.
    outage: Option<String>,
    wishes: mpsc::Receiver<Wish>,
}

impl Core {
    /// Reads the database, reaches the server and opens the sockets, but for those handed over.
    ///
    /// # Errors
    /// With the exit code for what is missing. A missing or broken database is not an error: the
    /// service runs without, says so, and takes the file up when it is there.
    pub async fn join(
        options: &CoreOptions,
        places: &Places,
        handed_over: HandedOver,
        hangup: Hangup,
    ) -> Result<Self, Fatal> {
        let system = |error| Fatal::new(Exit::System, error);
        let wishes = signals::listen(hangup).map_err(system)?;
        let (server, wait_until) = reach(options, places).await?;
        let access = Access::new(options).map_err(system)?;
        let arrivals = sockets::serve(&places.runtime, access, handed_over)
            .await
            .map_err(system)?;
        let left = places.state.as_deref().and_then(|directory| {
            state_file::load(directory).unwrap_or_else(|error| {
                tracing::warn!("{error}; going on without what it has kept");
                None
            })
        });
        let mut machine = Machine::new(Config {
            version: VERSION.to_owned(),
            socket: places.socket.clone(),
            database: places.database.clone(),
            startup: options.startup,
            ping: options.ping.into(),
            script_limit: options.script_timeout,
            started: clock::now(),
        });
        let loaded = database_watch::load(&places.database);
        let seen = loaded.as_ref().map_or_else(
            |_| peerdb::FileIdentity::of(&places.database).ok(),
            Database::identity,
        );
        machine.database(loaded, clock::now());
        let (sender, databases) = mpsc::channel(1);
        let look_at_database = Arc::new(Notify::new());
        tokio::spawn(database_watch::watch(
            places.database.clone(),
            seen,
            sender,
            Arc::clone(&look_at_database),
            alarm().map_err(system)?,
        ));
        Ok(Core {
            machine,
            server,
            arrivals,
            databases,
            pinger: None,
            scripts: None,
            operators: Operators::default(),
            look_at_database,
            trace: Trace::new(options.debug),
            exit_on_disconnect: options.exit_on_disconnect,
            socket: places.socket.clone(),
            wait_until,
            left,
            met: None,
            keeper: Keeper::new(places.state.clone()),
            notices: Notices::from_environment(),
            leave_by: None,
            outage: None,
            wishes,
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
        let ended = self.work(joined).await;
        self.notices.stopping();
        let displaced = matches!(&ended, Err(fatal) if fatal.exit == Exit::Displaced);
        if displaced && self.machine.has_joined() {
            self.keeper.renounce().await;
        } else if !displaced {
            let server = self.server.instance();
            self.keeper.finish(&self.machine, server).await;
        }
        ended
    }

    async fn work(&mut self, joined: impl Future<Output = ()> + Send) -> Result<Exit, Fatal> {
        let mut joined = Some(Box::pin(joined));
        let system = |error| Fatal::new(Exit::System, error);
        let pings = alarm().map_err(system)?;
        let mut set = None;
        // What is seldom due has one of its own, so that it need not be set as often.
        let seldom = alarm().map_err(system)?;
        let mut seldom_set = None;
        if self.server.is_connected() {
            self.connected();
        }
        loop {
            if let Some(exit) = self.send_all()? {
                return Ok(exit);
            }
            if self.machine.link() == LinkState::Up
                && let Some(joined) = joined.take()
            {
                joined.await;
                self.notices.ready();
            }
            self.notices.turn(&self.machine, &self.socket);
            self.keeper
                .turn(&self.machine, self.server.instance())
                .await;
            let deadline = self.machine.next_deadline();
            if let Some(deadline) = deadline
                && set != Some(deadline)
            {
                ring_at(&pings, deadline).map_err(system)?;
            }
            set = deadline;
            let wake = self.next_wake();
            if let Some(wake) = wake
                && seldom_set != Some(wake)
            {
                let left = wake.saturating_duration_since(Instant::now());
                ring_at(&seldom, clock::now() + left).map_err(system)?;
            }
            seldom_set = wake;
            tokio::select! {
                event = self.server.event() => self.server_event(event)?,
                Some(arrival) = self.arrivals.recv() => self.arrived(arrival),
                Some(loaded) = self.databases.recv() => {
                    self.machine.database(loaded, clock::now());
                    self.notices.loaded();
                }
                rung = pings.rings(), if set.is_some() => {
                    rung.context("cannot wait for a timer").map_err(system)?;
                    // It rings once for each setting.
                    set = None;
                }
                rung = seldom.rings(), if seldom_set.is_some() => {
                    rung.context("cannot wait for a timer").map_err(system)?;
                    seldom_set = None;
                }
                Some(wish) = self.wishes.recv() => match wish {
                    Wish::Leave => self.leave(),
                    Wish::Reload => {
                        tracing::info!("looking at the database, by SIGHUP");
                        self.notices.reloading();
                        self.look_at_database.notify_one();
                    }
                },
            }
            self.machine.tick(clock::now());
            let is_over = |until: Option<Instant>| until.is_some_and(|by| by <= Instant::now());
            if is_over(self.leave_by) {
                tracing::warn!("the server does not answer; leaving without its word");
                return Ok(Exit::Success);
            }
            if is_over(self.wait_until) {
                return Err(out_of_reach(&self.socket, self.outage.as_deref()));
            }
        }
    }

    /// When something is due next beside what the machine has to do.
    fn next_wake(&self) -> Option<Instant> {
        let wakes = [
            self.notices.next_wake(),
            self.keeper.next_wake(),
            self.leave_by,
            self.wait_until,
        ];
        wakes.into_iter().flatten().min()
    }

    /// Gives the service up.
    fn leave(&mut self) {
        self.notices.stopping();
        self.machine.retire();
        self.leave_by = Some(Instant::now() + LEAVE_LIMIT);
    }

    /// The server is there, for the first time or again.
    fn connected(&mut self) {
        let now = clock::now();
        self.outage = None;
        self.wait_until = None;
        if self.machine.has_joined() {
            self.left = None;
        }
        // Until a server has been joined, each one that is met might be the one that it is about.
        if let Some(left) = &self.left {
            match left.about(self.server.instance(), now) {
                Some(state) => {
                    let peers = state.len();
                    tracing::info!(peers, "going on where the last core has stopped");
                    self.machine.inherits(state);
                }
                None => tracing::info!("the state of the last core is about another server"),
            }
        }
        let instance = self.server.instance();
        if self.met.is_some() && self.met != instance {
            self.machine.server_is_another();
        }
        self.met = instance;
        self.machine.server_connected(now);
    }

    fn server_event(&mut self, event: ServerEvent) -> Result<(), Fatal> {
        let now = clock::now();
        match event {
            ServerEvent::Connected => {
                tracing::info!("the server is there");
                self.connected();
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
                if self.exit_on_disconnect && self.wait_until.is_none() {
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
        let now = clock::now();
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
            } => self.operators.insert(connection, sender, caller),
            Arrival::Request(connection, envelope) => {
                if let Some(by) = self.operators.asks(connection, &envelope) {
                    self.machine.request(connection, by, envelope, now);
                }
            }
            Arrival::AskedAll(connection) => self.operators.asked_all(connection),
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
                self.forget_operator(connection);
            }
        }
    }

    fn forget_operator(&mut self, connection: ConnectionId) {
        if self.operators.forget(connection) {
            self.machine.operator_gone(connection);
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
        // The server first: pings are due, and what is for the others may take long to encode.
        let output = self.server.output();
        let before = output.len();
        self.machine.drain_lines(output);
        self.trace.sent(output.get(before..).unwrap_or_default());
        let event = self.server.flush();
        deliver(&mut self.scripts, &to_scripts, "script helper");
        deliver(&mut self.pinger, &to_pinger, "pinger");
        self.operators.answer(answers);
        for connection in self.operators.satisfied() {
            self.forget_operator(connection);
        }
        for (connection, request, filter, since) in subscriptions {
            let observers = &mut self.operators.observers;
            observers.subscribe(connection, request, filter, since);
        }
        let dropped = self.operators.publish(events);
        self.machine.events_dropped(dropped);
        self.machine
            .set_observed(!self.operators.observers.is_empty());
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

fn alarm() -> anyhow::Result<Alarm> {
    Alarm::new().context("cannot have a timer")
}

fn ring_at(alarm: &Alarm, at: Monotonic) -> anyhow::Result<()> {
    alarm.set(at).context("cannot set a timer")
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
        match sender.put(message) {
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
    sender.flush();
}
