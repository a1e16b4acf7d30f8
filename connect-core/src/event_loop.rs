// SPDX-License-Identifier: GPL-3.0-or-later
//! Core's loop: receives, gives inputs to the machine, sends its outputs.
//!
//! ```text
//!   tripe server <--AdminLink--+
//!   helpers, operators <-------+-- [this loop] <--Input, Output--> Machine
//!   database watcher ----------+
//!   signals, time -------------+
//!   service manager <----------+
//!   state file, recording <----+
//! ```
//!
//! One turn takes everything that has arrived and then sends all outputs, so a burst of any size
//! costs one write to each connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use connect_ipc::clock::{Monotonic, millis};
use connect_runtime::clock;
use connect_runtime::deadline::Deadline;
use connect_runtime::exit::{Exit, Fatal};
use connect_runtime::line_queue::log_lines_lost;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{Notify, mpsc};
use tripe_admin::line::Line;

use crate::admin_link::{AdminLink, LinkEvent, server_unreachable};
use crate::driver::Driver;
use crate::endpoints::arrivals::Arrival;
use crate::endpoints::{Batch, CLIENTS_PER_TURN, CLIENTS_TIME, Endpoints};
use crate::machine::{Ending, Input, Loaded, Milestone, Output, WriteNews};
use crate::readiness::Readiness;
use crate::restarts::Restarts;
use crate::saved_state::Keeper;
use crate::service_manager::ServiceManager;
use crate::signals::{self, Signals};

/// How far the wall clock may be from what the machine expects before the machine is told.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(5);

/// The shortest suspension of the host that the machine is told: a shorter one cannot be
/// distinguished from load.
const SLEEP: Duration = Duration::from_secs(1);

/// Core with everything it is connected to.
#[derive(Debug)]
pub(crate) struct EventLoop {
    pub(crate) driver: Driver,
    pub(crate) admin: AdminLink,
    pub(crate) endpoints: Endpoints,
    pub(crate) databases: mpsc::Receiver<Loaded>,
    pub(crate) read_database: Arc<Notify>,
    pub(crate) signals: Signals,
    pub(crate) keeper: Keeper,
    pub(crate) service_manager: ServiceManager,
    /// The server's socket, for messages.
    pub(crate) socket: PathBuf,
    pub(crate) clock: WallClock,
    pub(crate) deadlines: Deadlines,
    /// How helpers are started again, if core's program starts them.
    pub(crate) restarts: Restarts,
}

/// When the loop has something to do although nothing has arrived.
#[derive(Debug)]
pub(crate) struct Deadlines {
    /// When the machine has something to do.
    pub(crate) machine: Deadline,
    /// When anything else is due. That is rare, so this timer need not be set as often.
    pub(crate) others: Deadline,
}

impl EventLoop {
    /// Closes all connections and sockets; only the signals to this process remain.
    pub(crate) fn into_signals(self) -> Signals {
        self.signals
    }

    /// Works until the service ends. `ready` is called once the service is ready: see
    /// [`Readiness`].
    ///
    /// # Errors
    /// With the exit code for what went wrong.
    pub(crate) async fn run(&mut self, ready: impl FnOnce() + Send) -> Result<Exit, Fatal> {
        let ended = self.work(ready).await;
        self.endpoints.doors.close();
        self.service_manager.tell(Milestone::Stopping);
        self.keeper.finish(&self.driver.machine).await;
        ended
    }

    async fn work(&mut self, ready: impl FnOnce() + Send) -> Result<Exit, Fatal> {
        let mut readiness = Readiness::new(ready);
        self.clock.check(&mut self.driver, true);
        if self.admin.is_connected() {
            let run = self.admin.run();
            self.driver.feed(Input::ServerConnected { run });
        }
        loop {
            self.driver.feed(Input::EndOfTurn);
            if self.driver.machine.is_leaving() {
                // Before the answer: the next core may be started as soon as somebody reads it, and
                // must find the sockets free and the state written.
                self.endpoints.doors.close();
                self.keeper.finish(&self.driver.machine).await;
            }
            for output in self.send() {
                match output {
                    Output::ServiceManager(milestone) => {
                        if milestone == Milestone::Ready {
                            readiness.claimed(clock::now());
                        }
                        self.service_manager.tell(milestone);
                    }
                    Output::ReadDatabase => self.read_database.notify_one(),
                    Output::ForgetState => self.keeper.forget(),
                    Output::RestartHelper(role) => self.restarts.restart(role),
                    Output::End(ending) => return self.exit(ending),
                    _ => {}
                }
            }
            if self.driver.is_in_turn() {
                continue;
            }
            if readiness.next_wake().is_some() {
                let machine = &self.driver.machine;
                let is_settled = machine.has_decided_scripts() || machine.is_leaving();
                readiness.turn(is_settled, clock::now());
            }
            self.service_manager
                .turn(&self.driver.machine, &self.socket);
            if let Some(news) = self.keeper.turn(&self.driver.machine).await {
                self.driver.feed(Input::Written(news));
                continue;
            }
            self.receive(readiness.next_wake()).await;
            if self.endpoints.take_lost() {
                self.endpoints
                    .doors
                    .restore(self.restarts.are_ours())
                    .await?;
            }
        }
    }

    /// Waits for something to happen, at most until `wake`, and gives it to the machine with
    /// everything else that has happened by then.
    async fn receive(&mut self, wake: Option<Monotonic>) {
        let wake = [
            self.service_manager.next_wake(),
            self.keeper.next_wake(),
            wake,
        ];
        let wake = wake.into_iter().flatten().min();
        self.deadlines
            .machine
            .set(self.driver.machine.next_deadline());
        self.deadlines.others.set(wake);
        let mut first = None;
        tokio::select! {
            // Rare things first, and operators and observers last. What else has arrived from the
            // frequent ones is taken in any case, so none of them delays another.
            biased;
            request = self.signals.next() => self.signal(request),
            news = self.restarts.news() => self.driver.feed(Input::Supervisor(news)),
            Some(loaded) = self.databases.recv() => self.driver.feed(Input::Database(loaded)),
            event = self.admin.event() => {
                // Before the server's lines: a ping that timed out during a suspension says nothing
                // about its peer.
                self.clock.notice_sleep(&mut self.driver);
                self.link_event(event);
            }
            Some(arrival) = self.endpoints.queues.arrivals.recv() => first = Some(arrival),
            () = self.deadlines.machine.passed() => {}
            () = self.deadlines.others.passed() => {}
            Some(arrival) = self.endpoints.queues.requests.recv() => first = Some(arrival),
        }
        self.arrived(first);
        if self.endpoints.is_observed() {
            self.clock.check(&mut self.driver, false);
        }
    }

    fn signal(&mut self, request: signals::Request) {
        match request {
            signals::Request::Leave => {
                // A client that connects while the service is released would get no answer.
                self.endpoints.doors.close();
                self.driver.feed(Input::Leave);
            }
            signals::Request::Reload => self.driver.feed(Input::Reload),
            // The release is under way and has its own time limit; the wait for scripts comes
            // later.
            signals::Request::Hurry => {}
        }
    }

    /// Tells the machine if more lines of the log were lost.
    fn notice_lost_lines(&mut self) {
        let lines = log_lines_lost();
        if lines != self.driver.machine.log_lines_lost() {
            let news = WriteNews::LogLost { lines };
            self.driver.feed(Input::Written(news));
        }
    }

    fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Connected => {
                let run = self.admin.run();
                self.driver.feed(Input::ServerConnected { run });
            }
            LinkEvent::Arrived => {
                while let Some(line) = self.admin.lines.next_line() {
                    match line {
                        Line::Text(text) => self.driver.feed(Input::ServerLine(text)),
                        Line::TooLong { start, length } => {
                            tracing::warn!(
                                start,
                                length,
                                "ignoring a line of the server that is too long"
                            );
                        }
                    }
                }
            }
            LinkEvent::Wrote => {}
            LinkEvent::Lost(reason) => self.driver.feed(Input::ServerLost { reason }),
        }
    }

    /// Takes what has arrived by now, from each side up to a limit.
    fn arrived(&mut self, first: Option<Arrival>) {
        let more = self.endpoints.more_arrivals();
        let mut client = self.endpoints.next_of_clients();
        if first.is_none() && more.is_empty() && client.is_none() {
            return;
        }
        // What has arrived may be a request for the state, or for the latest events.
        self.notice_lost_lines();
        self.clock.check(&mut self.driver, false);
        if let Some(counts) = self.endpoints.new_counts() {
            self.driver.feed(Input::Observers(counts));
        }
        let until = clock::now() + CLIENTS_TIME;
        for arrival in first.into_iter().chain(more) {
            self.admit(arrival);
        }
        // Operators and observers last.
        for taken in 1..=CLIENTS_PER_TURN {
            let Some(arrival) = client.take() else { return };
            self.admit(arrival);
            if taken < CLIENTS_PER_TURN && clock::now() < until {
                client = self.endpoints.next_of_clients();
            }
        }
    }

    fn admit(&mut self, arrival: Arrival) {
        let asks = match &arrival {
            Arrival::Request(connection, ..) if self.endpoints.is_limited(*connection) => {
                Some((*connection, work_done()))
            }
            _ => None,
        };
        if let Some(input) = self.endpoints.admit(arrival) {
            self.driver.feed(input);
        }
        if let Some((connection, before)) = asks {
            let work = work_done().saturating_sub(before);
            self.endpoints.worked(connection, work);
        }
    }

    /// Sends all outputs of this turn; returns those that are not for a connection.
    fn send(&mut self) -> Vec<Output> {
        let outputs = self.driver.take_outputs();
        // The server first: pings are due, and what is for others may take long to encode.
        for output in &outputs {
            if let Output::ServerLines(lines) = output {
                self.admin.output().extend_from_slice(lines);
            }
        }
        let event = self.admin.flush();
        self.link_event(event);
        let mut batch = Batch::default();
        let mut rest = Vec::new();
        for output in outputs {
            rest.extend(self.endpoints.send(output, &mut batch));
        }
        let sent = self.endpoints.finish(batch);
        if sent.dropped > 0 {
            self.driver.feed(Input::EventsDropped(sent.dropped));
        }
        for connection in sent.drained {
            self.driver.feed(Input::Drained(connection));
        }
        for connection in self.endpoints.close_satisfied() {
            self.driver.feed(Input::Gone(connection));
        }
        rest
    }

    /// The exit code, or the message, for the way in which core ends.
    fn exit(&self, ending: Ending) -> Result<Exit, Fatal> {
        let displaced = |error| Err(Fatal::new(Exit::Displaced, error));
        match ending {
            Ending::Quit | Ending::QuitUnanswered => Ok(Exit::Success),
            Ending::Displaced { version } => {
                displaced(anyhow::anyhow!("version {version} took over the service"))
            }
            Ending::Refused { failure } => displaced(anyhow::anyhow!(
                "the server does not let this program provide the service ({failure}); make the \
                 present provider quit first"
            )),
            Ending::Disconnected { reason } => Err(Fatal::new(
                Exit::Disconnected,
                anyhow::anyhow!("cannot reach the server: {reason}"),
            )),
            Ending::Silent { seconds } => Err(Fatal::new(
                Exit::Unanswered,
                anyhow::anyhow!(
                    "the tripe server at {} accepts connections but has not answered for \
                     {seconds} s; it hangs or is stopped: look at its process, or wait longer with \
                     --server-wait",
                    self.socket.display()
                ),
            )),
            Ending::Unreachable { reason } => {
                Err(server_unreachable(&self.socket, reason.as_deref()))
            }
        }
    }
}

/// What the machine was told of the wall clock, and of suspensions of the host.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    /// The last time that the machine was told.
    told: Option<(Monotonic, Duration)>,
    /// For how long the host had been suspended in all, when this was last read.
    asleep: Option<Duration>,
}

impl WallClock {
    /// Tells the machine if the host was suspended.
    fn notice_sleep(&mut self, driver: &mut Driver) {
        let asleep = clock::asleep();
        let before = self.asleep.replace(asleep).unwrap_or(asleep);
        let slept = asleep.saturating_sub(before);
        if slept >= SLEEP {
            let seconds = slept.as_secs();
            driver.feed(Input::Slept { seconds });
        }
    }

    /// Tells the machine the wall clock if it was set, or `always`.
    fn check(&mut self, driver: &mut Driver, always: bool) {
        let now = clock::now();
        let shows = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let as_told = self.told.is_some_and(|(then, shown)| {
            (shown + now.since(then)).abs_diff(shows) < CLOCK_TOLERANCE
        });
        if always || !as_told {
            self.told = Some((now, shows));
            let millis = millis(shows);
            driver.feed(Input::WallClock { millis });
        }
    }
}

/// How long this thread has computed.
fn work_done() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
