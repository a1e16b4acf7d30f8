// SPDX-License-Identifier: GPL-3.0-or-later
//! The running program: the tasks, and who tells whom what.
//!
//! ```text
//!   core --LinkEvent--> [Service::run] --Input--> machine
//!     ^                   ^     | ^                  |
//!     '----- outbox ------'     | '----- Output -----'
//!                        Action | Input
//!                               v |
//!              [child::attend] <--- pipes, exit of a child
//!              [adopted::watch] <--- exit of a child of an earlier helper
//! ```
//!
//! The service never waits for one of the tasks: an action is a value that the task finds when it
//! looks, and messages to core are kept.

use std::time::Duration;

use anyhow::Context as _;
use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::{FromScripts, ToScripts};
use connect_runtime::clock;
use connect_runtime::deadline::Deadline;
use connect_runtime::helper_link::{HelperLink, LinkEvent};
use connect_runtime::line_queue::log_lines_lost;
use connect_runtime::notifier::Notifier;
use connect_runtime::signals::EndSignals;
use connect_runtime::trouble::TroubleLog;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tracing::info;

use crate::admission::Admission;
use crate::children::Children;
use crate::machine::{Input, Machine, Output};
use crate::options::Options;
use crate::outbox::Outbox;

/// How many inputs of children may wait for the service. A child whose input does not fit waits,
/// and so writes no faster than the service passes on.
const INPUTS: usize = 64;

/// How many turns of the event loop a last message may take to be written before the program ends:
/// one for the writer, some to spare.
const LAST_TURNS: usize = 4;

/// The service.
struct Service {
    machine: Machine,
    outbox: Outbox,
    link: HelperLink<ToScripts>,
    children: Children,
    from_children: mpsc::Receiver<Input>,
    notifier: Notifier,
    /// How long scripts may take to end when we are to.
    stop_wait: Duration,
    /// When we end although scripts are under way, once a signal has asked us to end.
    end_at: Option<Monotonic>,
    /// Whether it was logged that runs wait for others to end.
    fullness: TroubleLog,
    /// How many lost lines of the log this core was told of.
    lost_told: u64,
}

/// Runs scripts until a signal ends the program. Then what is under way or waiting may take as long
/// to end as the options say, and children that need longer are left alone.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut signals = EndSignals::catch().context("cannot catch signals")?;
    let mut wake = Deadline::new().context("cannot create a timer")?;
    let mut service = Service::new(&options);
    // Ready from the beginning: to wait for core is a normal state.
    service.notifier.ready();
    let mut inputs = Vec::with_capacity(INPUTS);
    loop {
        // One start a turn, so that many new runs do not delay what the children say that are there
        // already.
        let started = service.start_next();
        service.note_fullness();
        service.deliver();
        service.notifier.feed();
        service.notifier.status(service.link.status());
        if service.is_over() {
            break;
        }
        wake.set(service.next_wake());
        tokio::select! {
            () = signals.next() => if service.asked_to_end() { break },
            event = service.link.next() => service.on_link(event),
            1.. = service.from_children.recv_many(&mut inputs, INPUTS) => {
                for input in inputs.drain(..) {
                    service.children.note(&input);
                    service.decide(input);
                }
            }
            () = wake.passed() => {
                service.decide(Input::Time {});
            }
            () = yield_now(), if started => {}
        }
    }
    service.end().await;
    Ok(())
}

impl Service {
    fn new(options: &Options) -> Self {
        let (inputs, from_children) = mpsc::channel(INPUTS);
        Service {
            machine: Machine::new(options.children.get()),
            outbox: Outbox::default(),
            link: HelperLink::new(options.helper.socket()),
            children: Children::new(Admission::new(options), inputs),
            from_children,
            notifier: Notifier::from_environment(),
            stop_wait: options
                .stop_wait
                .map_or(Duration::ZERO, tripe_admin::Interval::duration),
            end_at: None,
            fullness: TroubleLog::default(),
            lost_told: 0,
        }
    }

    /// When something is due next.
    fn next_wake(&self) -> Option<Monotonic> {
        let wakes = [
            self.machine.next_deadline(),
            self.notifier.feeding_time(),
            self.end_at,
        ];
        wakes.into_iter().flatten().min()
    }

    /// A signal asks us to end: sets the time by which. Whether that is now, because nothing is
    /// waited for or because it is the second signal.
    fn asked_to_end(&mut self) -> bool {
        self.notifier.stopping();
        // A core that comes now is served by the next helper.
        self.link.make_no_other();
        let again = self.end_at.replace(clock::now() + self.stop_wait).is_some();
        again || self.stop_wait.is_zero()
    }

    fn is_over(&self) -> bool {
        self.end_at
            .is_some_and(|at| self.machine.is_idle() || at <= clock::now())
    }

    fn on_link(&mut self, event: LinkEvent<ToScripts>) {
        match event {
            LinkEvent::Connected => {
                self.lost_told = 0;
                for message in self.outbox.resume() {
                    self.link.put(&message);
                }
            }
            LinkEvent::Message(message) => {
                self.decide(Input::Core(message));
            }
            LinkEvent::Malformed(fault) => {
                self.decide(Input::Malformed(fault));
            }
            // What happens meanwhile waits in the outbox for the next core.
            LinkEvent::Lost => {}
        }
    }

    /// Tells the machine, and does what it wants done. Whether a run was to be started.
    fn decide(&mut self, input: Input) -> bool {
        let mut started = false;
        let mut out = Vec::new();
        self.machine.handle(input, clock::now(), &mut out);
        for output in out {
            match output {
                Output::Accepted(under_way) => self.outbox.accept(under_way),
                Output::ToCore(message) => self.outbox.push(message),
                Output::Start(run) => {
                    started = true;
                    let input = self.children.start(&run);
                    self.decide(input);
                }
                Output::Adopt { run, child } => {
                    let input = self.children.adopt(run, child);
                    self.decide(input);
                }
                Output::Act(run, action) => self.children.act(run, action),
            }
        }
        started
    }

    /// Starts the run whose turn it is, if there is one.
    fn start_next(&mut self) -> bool {
        self.decide(Input::Turn {})
    }

    /// Logs once that runs wait for others to end, so that scripts that hang are found.
    fn note_fullness(&mut self) {
        if !self.machine.is_full() {
            self.fullness.over();
        } else if self.fullness.is_new("as many run as may") {
            info!(
                scripts = self.machine.under_way(),
                "as many scripts run as --children allows, others wait; if this lasts, set a time \
                 limit for those that hang or raise --children"
            );
        }
    }

    /// Sends what waits for core, if core is there.
    fn deliver(&mut self) {
        while let Some(message) = self.outbox.front() {
            if !self.link.put(message) {
                return;
            }
            self.outbox.sent();
        }
        let lost = log_lines_lost();
        if lost != self.lost_told && self.link.put(&FromScripts::LogLost(lost)) {
            self.lost_told = lost;
        }
        self.link.flush();
    }

    /// Writes the last messages.
    async fn end(mut self) {
        let scripts = self.machine.under_way();
        info!(scripts, "ended by a signal; scripts under way go on");
        self.deliver();
        // Closing our end lets the writer finish; what the socket has no room for is lost.
        drop(self.link);
        for _ in 0..LAST_TURNS {
            yield_now().await;
        }
    }
}
