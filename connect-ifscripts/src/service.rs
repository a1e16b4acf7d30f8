// SPDX-License-Identifier: GPL-3.0-or-later
//! The running program: the tasks, and the messages between them.
//!
//! ```text
//!   core --LinkEvent--> [Service::run] --Input--> machine
//!     ^                   ^     | ^                  |
//!     '----- outbox ------'     | '----- Output -----'---> journal
//!                        Action | Input
//!                               v |
//!              [child::attend] <--- pipes, exit of a child, also of an earlier helper's
//! ```
//!
//! The service never waits for one of the tasks: an action is a value that the task reads later,
//! and messages to core are kept.

use std::time::Duration;

use anyhow::Context as _;
use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::{FromScripts, ToScripts};
use connect_ipc::setup::{ByLane, Lane};
use connect_runtime::clock;
use connect_runtime::deadline::Deadline;
use connect_runtime::helper_link::{CoreAddress, HelperLink, LinkEvent};
use connect_runtime::line_queue::log_lines_lost;
use connect_runtime::notifier::Notifier;
use connect_runtime::signals::{EndSignal, EndSignals};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::admission::Admission;
use crate::children::Children;
use crate::journal::{Journal, Locked, Pace};
use crate::ledger::Ledger;
use crate::lookups::Lookups;
use crate::machine::{Input, Machine, Output};
use crate::options::Options;
use crate::outbox::Outbox;
use crate::stdin::{self, InputMark};
use crate::succession::Beginning;

/// How many inputs from children may wait for the service. The task of a child waits if there is no
/// room, so a child cannot write faster than the service passes on.
const INPUTS: usize = 64;

/// How many turns of the event loop the last message may take to be written before the program
/// ends: one for the writer, and a few as a reserve.
const LAST_TURNS: usize = 4;

/// How many starts in a row are noted with one write and reported with another. Core waits for
/// this, but starting the scripts takes far longer.
const STARTS_TOLD_TOGETHER: usize = 4;

/// How long core may take to complete a message while the program ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often a helper that is ending checks whether another one waits for its end.
const LOOK_FOR_SUCCESSOR: Duration = Duration::from_millis(50);

/// The service.
struct Service {
    machine: Machine,
    outbox: Outbox,
    link: HelperLink<ToScripts>,
    children: Children,
    lookups: Lookups,
    from_children: mpsc::Receiver<Input>,
    journal: Journal,
    notifier: Notifier,
    /// How long scripts may take to end when this program is to end.
    stop_wait: Duration,
    /// Set once a signal has asked us to end.
    ending: Option<Ending>,
    /// For which lanes we have logged that runs wait for others to end.
    logged_full: ByLane<bool>,
    told: Told,
}

/// The state of a helper that was asked to end and waits for its scripts.
struct Ending {
    /// When it ends although scripts are under way.
    at: Monotonic,
    /// When to check next whether another helper waits.
    look_at: Monotonic,
    /// Whether a user has asked for it. The death of the parent may come before that or after it.
    asked: bool,
}

/// What this core has been told about our state.
#[derive(Default)]
struct Told {
    /// How many lines of the log were lost.
    lost: u64,
    /// In which lanes runs wait for others to end.
    full: ByLane<bool>,
    /// What is wrong with the journal.
    fault: Option<String>,
}

/// Runs scripts until a signal ends the program. Then scripts that are under way or waiting have as
/// long to end as the options say. Children that need longer continue without us.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut signals = EndSignals::catch().context("cannot catch signals")?;
    let mut wake = Deadline::new().context("cannot create a timer")?;
    stdin::close().context("cannot use /dev/null as standard input")?;
    let core = options.helper.core()?;
    let mut notifier = Notifier::from_environment();
    // Ready from the beginning: to wait for core, or for another helper, is a normal state.
    notifier.ready();
    let directory = options.journal_dir.as_deref();
    let Some(beginning) = Beginning::take(directory, &mut signals, &mut notifier).await else {
        return Ok(());
    };
    let mut service = Service::begin(&options, core, beginning, notifier);
    let mut inputs = Vec::with_capacity(INPUTS);
    let mut untold = 0;
    loop {
        // One start for each turn, so that many new runs do not delay the output of children that
        // already run.
        let started = service.start_next();
        untold = if started {
            (untold + 1) % STARTS_TOLD_TOGETHER
        } else {
            0
        };
        service.note_fullness();
        if untold == 0 {
            service.deliver();
        }
        service.notifier.feed();
        service.notifier.status(service.link.status());
        if service.is_over() {
            break;
        }
        wake.set_late(service.next_wake());
        tokio::select! {
            // First, since a core that ends asks us to end and then closes the connection. This
            // loss of the connection must not be reported as a fault.
            biased;
            signal = signals.next() => if service.asked_to_end(signal) { break },
            () = service.next_event(&mut wake, &mut inputs) => {}
            () = yield_now(), if started => {}
        }
    }
    service.end().await;
    Ok(())
}

impl Service {
    fn begin(
        options: &Options,
        core: CoreAddress,
        beginning: Beginning,
        notifier: Notifier,
    ) -> Self {
        let (inputs, from_children) = mpsc::channel(INPUTS);
        let bounds = ByLane {
            interface: options.children.get(),
            connection: options.connect_children.get(),
        };
        let mut out = Vec::new();
        let machine = match beginning.ledger {
            Some(ledger) => Machine::recovered(bounds, ledger, &beginning.found, &mut out),
            None => Machine::new(bounds),
        };
        let mut service = Service {
            machine,
            outbox: Outbox::default(),
            link: HelperLink::new(core),
            lookups: Lookups::new(inputs.clone()),
            children: Children::new(Admission::new(options), inputs),
            from_children,
            journal: beginning.journal,
            notifier,
            stop_wait: options
                .stop_wait
                .map_or(Duration::ZERO, tripe_admin::Interval::duration),
            ending: None,
            logged_full: ByLane::default(),
            told: Told::default(),
        };
        service.perform(out);
        service
    }

    /// Waits for the next event, and handles it. Cancel safe.
    async fn next_event(&mut self, wake: &mut Deadline, inputs: &mut Vec<Input>) {
        tokio::select! {
            event = self.link.next() => self.on_links(event),
            1.. = self.from_children.recv_many(inputs, INPUTS) => {
                for input in inputs.drain(..) {
                    self.children.note(&input);
                    self.decide(input);
                }
            }
            () = wake.passed() => {
                self.children.release(clock::now());
                for input in self.children.look_again(clock::now()) {
                    self.decide(input);
                }
                self.decide(Input::Time {});
                let pace = self.pace();
                self.with_journal(|journal, ledger, now| journal.tend(ledger, pace, now));
            }
        }
    }

    fn pace(&self) -> Pace {
        if self.machine.is_idle() {
            Pace::Idle
        } else {
            Pace::Busy
        }
    }

    /// When something is due next.
    fn next_wake(&mut self) -> Option<Monotonic> {
        let wakes = [
            self.machine.next_deadline(),
            self.children.next_release(),
            self.children.next_look(),
            self.notifier.feeding_time(),
            self.journal.next_wake(self.pace()),
            self.ending
                .as_ref()
                .map(|ending| ending.at.min(ending.look_at)),
        ];
        wakes.into_iter().flatten().min()
    }

    /// A signal asks us to end: sets the deadline. Returns whether it is now, because there is
    /// nothing to wait for or because this is the second time.
    fn asked_to_end(&mut self, signal: EndSignal) -> bool {
        self.notifier.stopping();
        self.with_journal(Journal::secure);
        // A core that comes now is served by the next helper.
        self.link.make_no_other();
        self.note_hearing();
        let now = clock::now();
        let ending = self.ending.get_or_insert(Ending {
            at: now + self.stop_wait,
            look_at: now,
            asked: false,
        });
        let asked = signal == EndSignal::Asked;
        let again = asked && ending.asked;
        ending.asked |= asked;
        again || self.stop_wait.is_zero()
    }

    /// Whether it is time to end: there is no script to wait for, or their time is over, or another
    /// helper waits to continue with them.
    fn is_over(&mut self) -> bool {
        if self.journal.is_taken() {
            warn!(
                "another script helper has the journal of scripts; ending, and that one goes \
                   on with the scripts"
            );
            return true;
        }
        let Some(ending) = &mut self.ending else {
            return false;
        };
        let now = clock::now();
        // What core has sent and we have not read may be orders.
        if ending.at <= now || (self.machine.is_idle() && !self.link.has_unread()) {
            return true;
        }
        if now < ending.look_at {
            return false;
        }
        ending.look_at = now + LOOK_FOR_SUCCESSOR;
        let succeeded = self.journal.locked().is_some_and(Locked::successor_waits);
        if succeeded {
            let (scripts, waiting) = (self.machine.under_way(), self.machine.waiting());
            info!(
                scripts,
                waiting,
                "another script helper waits; ending, and that one goes on with the \
                          scripts"
            );
        }
        succeeded
    }

    /// Handles this event and all that have come with it, so that one write notes all of them.
    fn on_links(&mut self, event: LinkEvent<ToScripts>) {
        self.on_link(event);
        while let Some(event) = self.link.ready() {
            self.on_link(event);
        }
    }

    fn on_link(&mut self, event: LinkEvent<ToScripts>) {
        match event {
            LinkEvent::Connected => {
                self.told = Told::default();
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
            LinkEvent::Lost => {
                self.note_hearing();
                // Another core may bring another helper.
                self.with_journal(Journal::secure);
            }
        }
    }

    /// If no core will receive our messages any more, the output of scripts is left to the next
    /// helper.
    fn note_hearing(&self) {
        if self.link.is_over() {
            self.children.note_unheard();
        }
    }

    /// Gives the machine an input, and carries out its outputs. Returns whether a run was to be
    /// started.
    fn decide(&mut self, input: Input) -> bool {
        let mut out = Vec::new();
        self.machine.handle(input, clock::now(), &mut out);
        self.perform(out)
    }

    fn perform(&mut self, outputs: Vec<Output>) -> bool {
        let mut started = false;
        for output in outputs {
            match output {
                Output::Journal(entry) => self.journal.append(&entry),
                Output::Accepted(under_way) => self.outbox.accept(under_way),
                Output::Forget(runs) => self.outbox.forget(&runs),
                Output::ToCore(message) => self.outbox.push(message),
                Output::Start(run) => {
                    started = true;
                    self.write_journal();
                    let input = self.children.start(&run);
                    self.decide(input);
                }
                Output::Adopt { run, child } => {
                    if let Some(input) = self.children.adopt(run, child) {
                        self.decide(input);
                    }
                }
                Output::LookUp(lookup) => self.lookups.begin(lookup),
                Output::Act(run, action) => self.children.act(run, action),
            }
        }
        started
    }

    /// Writes the machine's entries to the journal.
    fn write_journal(&mut self) {
        self.journal.flush(self.machine.ledger(), clock::now());
    }

    /// Does something with the journal. If it is in another directory after that, the scripts that
    /// follow have the mark of that one.
    fn with_journal(&mut self, act: impl FnOnce(&mut Journal, &Ledger, Monotonic)) {
        let directory = |journal: &Journal| journal.locked().map(|it| it.directory().identity());
        let before = directory(&self.journal);
        act(&mut self.journal, self.machine.ledger(), clock::now());
        if let Some(locked) = self.journal.locked()
            && directory(&self.journal) != before
            && let Err(error) = InputMark::of(locked.directory()).put()
        {
            // The earlier mark stays, and the number of each run is in its environment too.
            warn!(%error, "cannot mark the standard input of scripts again");
        }
    }

    /// Starts the run whose turn it is, if there is one and no other helper has the lock: another
    /// helper would have read the same orders.
    fn start_next(&mut self) -> bool {
        if !self.machine.has_turn() || !self.journal.lets_start(clock::now()) {
            return false;
        }
        let origin = self.children.origin();
        self.decide(Input::Turn(origin))
    }

    /// Logs once that runs wait for others to end, so that operators find scripts that hang.
    fn note_fullness(&mut self) {
        for lane in Lane::ALL {
            let full = self.machine.is_full(lane);
            let logged = std::mem::replace(self.logged_full.get_mut(lane), full);
            if full && !logged {
                let option = match lane {
                    Lane::Interface => "--children",
                    Lane::Connection => "--connect-children",
                };
                info!(
                    scripts = lane.scripts(),
                    option,
                    "as many scripts of this kind run as the option allows, and others wait; if \
                     this lasts, set a time limit for those that hang, or raise the option"
                );
            }
        }
    }

    /// Writes what is to be written, and then sends what waits for core, if core is there.
    fn deliver(&mut self) {
        self.write_journal();
        while let Some(message) = self.outbox.front() {
            if !self.link.put(message) {
                return;
            }
            self.outbox.sent();
        }
        self.tell_state();
        self.link.flush();
    }

    /// Tells core what it does not know yet about our state.
    fn tell_state(&mut self) {
        let lost = log_lines_lost();
        if lost != self.told.lost && self.link.put(&FromScripts::LogLost(lost)) {
            self.told.lost = lost;
        }
        for lane in Lane::ALL {
            let full = self.machine.is_full(lane);
            let told = self.told.full.get_mut(lane);
            if full != *told && self.link.put(&FromScripts::Full { lane, full }) {
                *told = full;
            }
        }
        let fault = self.children.fault().or_else(|| self.journal.fault());
        if fault != self.told.fault.as_deref() {
            let fault = fault.map(str::to_owned);
            if self.link.put(&FromScripts::JournalFault(fault.clone())) {
                self.told.fault = fault;
            }
        }
    }

    /// Reads what core has sent: a core that has ended cannot order it again.
    async fn hear_out(&mut self) {
        self.link.make_no_other();
        let rest = async {
            while self.link.has_unread() {
                let event = self.link.next().await;
                self.on_links(event);
            }
        };
        // Only a core that is suspended in the middle of a message takes longer.
        let _ = timeout(LAST_WORDS, rest).await;
    }

    /// Stops reading, so that the next helper can read the rest, and writes the last messages.
    async fn end(mut self) {
        self.hear_out().await;
        self.children.leave();
        self.lookups.leave();
        // What was read is passed on. None of the tasks waits for anything but this.
        while let Some(input) = self.from_children.recv().await {
            self.decide(input);
        }
        let (scripts, waiting) = (self.machine.under_way(), self.machine.waiting());
        if scripts + waiting == 0 {
            info!("ending; no script is under way or waits");
        } else {
            info!(
                scripts,
                waiting,
                "ending; scripts that are under way go on, and the next script helper watches them \
                 and starts those that wait"
            );
        }
        self.deliver();
        // Closing our end lets the writer finish; what the socket has no room for is lost.
        drop(self.link);
        for _ in 0..LAST_TURNS {
            yield_now().await;
        }
        // The end of the process releases the lock, together with everything that serves a child.
        std::mem::forget(self.journal);
    }
}
