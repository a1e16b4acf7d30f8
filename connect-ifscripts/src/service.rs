// SPDX-License-Identifier: GPL-3.0-or-later
//! The running program: the tasks, and who tells whom what.
//!
//! ```text
//!   core <====> [link] --FromLink--> [Service::run] --Order--> [child::attend] <--- pipes, exit
//!     ^                                | machine    <--Event--
//!     '------------- Sender -----------' outbox     --Order--> [adopted::watch] <--- exit
//!                                                   <--Event--
//! ```
//!
//! The service's own task is the only one that decides anything, and it never waits for one of the
//! others: orders are a value that the task finds when it looks, messages to core are kept.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use connect_ipc::RunId;
use connect_ipc::scripts::{Child, FromScripts, Run, ToScripts};
use connect_runtime::clock;
use connect_runtime::notifier::Notifier;
use connect_runtime::transport::{SendError, Sender};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::yield_now;
use tokio::time::sleep_until;
use tracing::{debug, error, info, warn};

use crate::child::{Event, Order};
use crate::link::FromLink;
use crate::machine::{Input, Machine, Output};
use crate::options::Options;
use crate::outbox::Outbox;
use crate::terms::Terms;
use crate::{adopted, child, link, spawn};

/// How many events may wait for the service. A child whose event does not fit waits, and so writes
/// no faster than the service passes on.
const EVENTS: usize = 64;

/// How many messages of core may wait for the service; beyond it the socket fills.
const MESSAGES: usize = 64;

/// How many runs that are over may have pipes which somebody still holds, such as a server that a
/// script has started. Each costs two descriptors; with those of 64 children this stays below the
/// 1,024 which a process commonly gets.
const LINGERING: usize = 256;

/// How many turns of the event loop a last message may take to be written on the way out: one for
/// the writer, some to spare.
const LAST_TURNS: usize = 4;

/// The service.
pub(crate) struct Service {
    machine: Machine,
    outbox: Outbox,
    /// The way to core, while there is one.
    core: Option<Sender>,
    /// The ways to the tasks of the runs that are under way.
    tasks: HashMap<RunId, watch::Sender<Order>>,
    /// Those of runs that are over but have an open pipe, the oldest first.
    lingering: VecDeque<(RunId, watch::Sender<Order>)>,
    /// On which terms scripts are run.
    terms: Terms,
    /// How long scripts may take to end when we are to.
    stop_wait: Duration,
    notifier: Notifier,
    /// Whether runs were waiting for a free place when last looked at.
    full: bool,
    events: mpsc::Sender<Event>,
    from_tasks: mpsc::Receiver<Event>,
    from_link: mpsc::Receiver<FromLink>,
    link: Option<(PathBuf, mpsc::Sender<FromLink>)>,
}

impl Service {
    /// A service as the options want it.
    pub(crate) fn new(options: &Options) -> Self {
        let (events, from_tasks) = mpsc::channel(EVENTS);
        let (to_us, from_link) = mpsc::channel(MESSAGES);
        Service {
            machine: Machine::new(options.children.get()),
            outbox: Outbox::default(),
            core: None,
            tasks: HashMap::new(),
            lingering: VecDeque::new(),
            terms: Terms::new(options),
            stop_wait: options
                .stop_wait
                .map_or(Duration::ZERO, tripe_admin::Interval::duration),
            notifier: Notifier::from_environment(),
            full: false,
            events,
            from_tasks,
            from_link,
            link: Some((options.helpers_socket(), to_us)),
        }
    }

    /// Runs until a signal ends the program. What is under way or waiting is given its time to end
    /// then, and children that need longer are left alone.
    ///
    /// # Errors
    /// What the system says if it does not deliver signals.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        if let Some((socket, to_us)) = self.link.take() {
            tokio::spawn(link::keep(socket, to_us));
        }
        // Ready from the beginning: to wait for core is as good a state as any.
        self.notifier.ready();
        self.notifier.status("waiting for core");
        let mut events = Vec::with_capacity(EVENTS);
        let mut end_at = None;
        loop {
            // One start a turn, so that a crowd of new runs does not hold up what the children that
            // are there already say.
            let started = self.start_next();
            self.note_fullness();
            self.deliver();
            self.notifier.feed();
            if let Some(at) = end_at
                && (self.machine.is_idle() || at <= Instant::now())
            {
                break;
            }
            let deadline = self.machine.next_deadline();
            let feeding = self.notifier.feeding_time();
            let feeding = feeding.map(|at| Instant::now() + at.since(clock::now()));
            let timers = [feeding, end_at];
            let wake = timers.into_iter().flatten().min();
            tokio::select! {
                _ = terminate.recv() => if self.told_to_end(&mut end_at) { break },
                _ = interrupt.recv() => if self.told_to_end(&mut end_at) { break },
                () = until(wake) => {}
                Some(event) = self.from_link.recv() => self.on_link(event),
                1.. = self.from_tasks.recv_many(&mut events, EVENTS) => {
                    for event in events.drain(..) {
                        self.on_event(event);
                    }
                }
                () = until(deadline) => self.decide(Input::Tick),
                () = yield_now(), if started => {}
            }
        }
        if self.tasks.is_empty() {
            info!("ended by a signal");
        } else {
            info!(
                scripts = self.tasks.len(),
                "ended by a signal; scripts under way are left alone"
            );
        }
        self.deliver();
        // Closing our end lets the writer finish; what the socket has no room for is lost.
        self.core = None;
        for _ in 0..LAST_TURNS {
            yield_now().await;
        }
        Ok(())
    }

    /// A signal wants us to end: sets the time by which. Says whether that is now, because nobody
    /// is to be waited for or because it is the second signal.
    fn told_to_end(&mut self, end_at: &mut Option<Instant>) -> bool {
        self.notifier.stopping();
        let again = end_at.replace(Instant::now() + self.stop_wait).is_some();
        again || self.stop_wait.is_zero()
    }

    fn on_link(&mut self, event: FromLink) {
        match event {
            FromLink::Up(sender) => {
                let resume = self.outbox.resume();
                if resume.iter().all(|message| sender.send(message).is_ok()) {
                    self.core = Some(sender);
                    self.notifier.status("connected to core");
                }
            }
            FromLink::Down => {
                self.core = None;
                self.notifier.status("waiting for core");
            }
            FromLink::Garbled(text) => {
                warn!("core sent {text}");
                self.outbox.push(FromScripts::Error(text));
            }
            FromLink::Message(message) => {
                if let ToScripts::Error(text) = &message {
                    warn!("core says: {text}");
                }
                self.decide(Input::Core(message));
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Lines { run, stream, lines } => {
                for line in lines {
                    self.outbox.push(FromScripts::Output { run, stream, line });
                }
            }
            Event::Dropped { run, stream, lines } => {
                self.outbox
                    .push(FromScripts::Dropped { run, stream, lines });
            }
            Event::Eof { run, stream } => self.outbox.push(FromScripts::Eof { run, stream }),
            Event::Reaped { run, end, open } => {
                debug!(run = run.0, ?end, "a script has ended");
                if let Some(task) = self.tasks.remove(&run)
                    && open
                {
                    self.linger(run, task);
                }
                self.decide(Input::Reaped { run, end });
            }
            Event::Closed { run } => self.lingering.retain(|(lingering, _)| *lingering != run),
            Event::Gone { run } => {
                debug!(run = run.0, "an adopted script has ended");
                self.tasks.remove(&run);
                self.decide(Input::Gone { run });
            }
        }
    }

    /// Keeps the way to a task that still reads although its child was reaped.
    fn linger(&mut self, run: RunId, task: watch::Sender<Order>) {
        self.lingering.push_back((run, task));
        if self.lingering.len() > LINGERING
            && let Some((oldest, task)) = self.lingering.pop_front()
        {
            warn!(
                run = oldest.0,
                "more than {LINGERING} scripts left somebody behind who holds their output open; \
                 closing that of the oldest: redirect the output of what a script starts"
            );
            task.send_replace(Order::LetGo);
        }
    }

    /// Tells the machine and does what it wants done.
    fn decide(&mut self, input: Input) {
        for output in self.machine.handle(input, Instant::now()) {
            match output {
                Output::Accepted(under_way) => self.outbox.accept(under_way),
                Output::Send(message) => self.outbox.push(message),
                Output::Adopt { run, child } => self.adopt(run, child),
                Output::Terminate(run) => self.order(run, Order::Terminate),
                Output::Kill(run) => self.order(run, Order::Kill),
            }
        }
    }

    fn order(&self, run: RunId, order: Order) {
        debug!(run = run.0, ?order, "ending a script");
        if let Some(task) = self.tasks.get(&run) {
            task.send_replace(order);
        }
    }

    /// Starts the run whose turn it is, if there is one.
    fn start_next(&mut self) -> bool {
        let Some(run) = self.machine.next_start() else {
            return false;
        };
        self.start(&run);
        true
    }

    /// Says once that scripts wait for others to end, so that hanging ones are found.
    fn note_fullness(&mut self) {
        let full = self.machine.is_full();
        if full && !self.full {
            info!(
                scripts = self.tasks.len(),
                "as many scripts run as --children allows, others wait; if this lasts, give those \
                 that hang a time limit or raise --children"
            );
        }
        self.full = full;
    }

    fn start(&mut self, run: &Run) {
        let id = run.run;
        match spawn::spawn(run, &self.terms) {
            Ok(spawned) => {
                let child = spawned.name;
                debug!(
                    run = id.0,
                    peer = run.peer,
                    script = run.kind.name(),
                    pid = child.pid,
                    "started"
                );
                let (order, orders) = watch::channel(Order::Attend);
                self.tasks.insert(id, order);
                tokio::spawn(child::attend(id, spawned, orders, self.events.clone()));
                self.decide(Input::Started { run: id, child });
            }
            Err(error) => {
                let why = error.to_string();
                warn!(
                    run = id.0,
                    peer = run.peer,
                    script = run.kind.name(),
                    "{why}"
                );
                self.decide(Input::NotStarted { run: id, why });
            }
        }
    }

    fn adopt(&mut self, run: RunId, child: Child) {
        match adopted::find(child) {
            Ok(Some((watched, age))) => {
                info!(
                    run = run.0,
                    pid = child.pid,
                    "watching a script from before"
                );
                let (order, orders) = watch::channel(Order::Attend);
                self.tasks.insert(run, order);
                tokio::spawn(adopted::watch(run, watched, orders, self.events.clone()));
                self.decide(Input::Found { run, age });
            }
            Ok(None) => self.decide(Input::Gone { run }),
            Err(error) => {
                error!(
                    run = run.0,
                    pid = child.pid,
                    "cannot watch a script from before, so it counts as ended: {error}"
                );
                self.decide(Input::Gone { run });
            }
        }
    }

    /// Sends what waits for core, if core is there.
    fn deliver(&mut self) {
        let Some(core) = &self.core else {
            return;
        };
        while let Some(message) = self.outbox.front() {
            match core.put(message) {
                Ok(()) => self.outbox.sent(),
                Err(SendError::Frame(error)) => {
                    error!("a message to core was not sent: {error}");
                    self.outbox.sent();
                }
                Err(SendError::Gone | SendError::Stuck(_)) => {
                    // The link notices too, and connects again.
                    self.core = None;
                    return;
                }
            }
        }
        core.flush();
    }
}

/// Waits for a deadline; for ever if there is none.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}
