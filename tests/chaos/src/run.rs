// SPDX-License-Identifier: GPL-3.0-or-later
//! One run: the world is set up, faults come, the world comes to rest, and what happened is judged.

mod applying;
mod danger;
mod later;
mod outages;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use connect_ipc::clock::{Monotonic, millis};
use connect_runtime::{clock, parent};
use tripe_lab::rng::Rng;

use crate::faults::database_fault::DatabaseFault;
use crate::faults::{Fault, Plan};
use crate::leaks::Samples;
use crate::load::Load;
use crate::options::Single;
use crate::report::progress::Progress;
use crate::report::{Verdict, collect, output};
use crate::settling::{self, Found};
use crate::truth::account::Account;
use crate::truth::commander::{Command, Commander};
use crate::truth::journal::Journal;
use crate::truth::operator::Operator;
use crate::truth::watcher::Watcher;
use crate::world::database::Peers;
use crate::world::guard::Guard;
use crate::world::lab::Lab;
use crate::world::processes::Processes;
use crate::world::service::Service;
use crate::world::site::{Beginning, CORE_LOG, Site};
use crate::world::status::{self, Poller, Status};
use crate::world::volume;
use applying::Presence;
use danger::Danger;
use judge::history::Deed;
use later::Later;

/// The length of a turn.
const TURN: Duration = Duration::from_millis(10);

/// How long the world may take to be there at the beginning.
const BEGINNING: Duration = Duration::from_secs(30);

/// The file of what was done to the world, if the directory is kept.
const DEEDS: &str = "deeds.log";

/// How long a fault is tried that needs a script helper with its journal: some die within a second.
const DELAY: Duration = Duration::from_secs(5);

/// How often descriptors are counted in the beginning: some are open only for a moment.
const LOOKS: u32 = 50;

/// How many peers the server has before the service is started.
const BEFORE: usize = 20;

/// The file in which core leaves its state, in the directory of that.
const STATE: &str = "core.json";

/// Everything that a run is made of.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) processes: Processes,
    pub(crate) peers: Peers,
    pub(crate) watcher: Watcher,
    pub(crate) lab: Lab,
    pub(crate) service: Service,
    pub(crate) journal: Journal,
    pub(crate) operator: Operator,
    commander: Option<Commander>,
    poller: Poller,
    /// Last, so that it ends everything when nothing above is used any more.
    _guard: Guard,
}

/// A run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) load: Load,
    pub(crate) samples: Samples,
    rng: Rng,
    database: DatabaseFault,
    /// What ends faults that take a while.
    later: Later,
    danger: Danger,
    /// A fault that could not be made at once, and until when it is tried again.
    delayed: Option<(Fault, Monotonic)>,
    /// Whether the service is to run.
    serves: bool,
    /// The peers that the server had before the service was started.
    pub(crate) found: BTreeSet<String>,
    pub(crate) began: Monotonic,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) deeds: Vec<Deed>,
}

/// Runs once and prints what was found.
pub(crate) fn main(single: &Single) -> anyhow::Result<Verdict> {
    volume::enter_namespace();
    if let Some(parent) = single.parent {
        parent::end_with_parent(parent)?;
    }
    let seed = single.seed.unwrap_or_else(fresh_seed);
    let setting = &single.setting;
    if !setting.json {
        println!("seed {seed}, layout {}", single.layout.name());
    }
    let mut run = Run::new(single, seed)?;
    if setting.keep {
        Guard::keep(&run.world.site.directory)?;
    }
    run.begin()?;
    let plan = Plan::new(seed, single.layout, setting.pace, &setting.only);
    run.faults(plan, single)?;
    let rest = settling::settle(&mut run)?;
    let examined = settling::examine(&mut run, &rest)?;
    let left = settling::stop(&mut run);
    let found = Found {
        rest,
        examined,
        left,
    };
    if setting.keep {
        run.write_deeds()?;
    }
    let report = collect::report(&mut run, single, seed, found)?;
    output::print(&report, setting)?;
    Ok(report.verdict())
}

/// Another seed each time.
fn fresh_seed() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    // Short enough to be typed.
    time.map_or(1, |time| u64::from(time.subsec_nanos()) % 1_000_000)
}

impl Run {
    fn new(single: &Single, seed: u64) -> anyhow::Result<Self> {
        let site = Site::new(
            single.layout,
            Beginning::of(seed),
            single.setting.bin.as_deref(),
        )?;
        let processes = Processes::new()?;
        let guard = Guard::start(&processes, &site.directory)?;
        let peers = Peers::new(&site.directory, single.setting.peers, seed)?;
        peers.write(None)?;
        // Without `--startup` the service adds none.
        let automatic = peers.automatic();
        let account = Account::new(automatic.filter(|_| site.beginning == Beginning::Together));
        let watcher = Watcher::start(&site.server_socket(), account);
        let began = clock::now();
        Ok(Run {
            load: Load::start(&site.runtime()),
            samples: Samples::default(),
            world: World {
                service: Service::new(site.layout),
                journal: Journal::start(site.journal()),
                operator: Operator::default(),
                lab: Lab::new(seed),
                poller: Poller::start(&site.runtime()),
                site,
                processes,
                peers,
                watcher,
                commander: None,
                _guard: guard,
            },
            rng: Rng::new(seed).fork(2),
            database: DatabaseFault::default(),
            later: Later::default(),
            danger: Danger::default(),
            delayed: None,
            serves: false,
            found: BTreeSet::new(),
            began,
            counts: BTreeMap::new(),
            deeds: Vec::new(),
        })
    }

    /// Starts the server with some peers, and then the service.
    fn begin(&mut self) -> anyhow::Result<()> {
        self.wait_for("the server is not watched", |run| {
            run.world.commander.is_some() && run.world.watcher.account().watching
        })?;
        let peers = self.choose(BEFORE, Presence::Absent);
        self.found = peers.iter().cloned().collect();
        self.give(&peers.into_iter().map(Command::Add).collect::<Vec<_>>());
        self.wait_for("the server does not have the first peers", |run| {
            run.found.is_subset(&run.world.watcher.account().present)
        })?;
        self.serves = true;
        self.wait_for("the service does not work", |run| {
            // What was found at the start is in no journal.
            let is_kept = run.world.site.state().join(STATE).exists();
            let works = run.status().is_some_and(|status| {
                let helpers = [&status.service.pinger, &status.service.scripts.helper];
                helpers.iter().all(|helper| helper.connected) && status.pending() == 0
            });
            works && is_kept && run.load.is_live()
        })?;
        for _ in 0..LOOKS {
            self.turn()?;
            self.samples.begin(&self.world.service);
            std::thread::sleep(TURN);
        }
        self.began = clock::now();
        Ok(())
    }

    /// Waits until something is so.
    fn wait_for(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let until = clock::now() + BEGINNING;
        loop {
            self.turn()?;
            if is_so(self) {
                return Ok(());
            }
            anyhow::ensure!(
                clock::now() < until,
                "{what} in time; the service's log:\n{}",
                std::fs::read_to_string(self.world.site.path(CORE_LOG)).unwrap_or_default()
            );
            std::thread::sleep(TURN);
        }
    }

    /// Has faults come until the time is over.
    fn faults(&mut self, mut plan: Plan, single: &Single) -> anyhow::Result<()> {
        let until = self.began + Duration::from_secs(single.setting.seconds);
        let mut progress = Progress::new(&single.setting);
        let (mut due, mut fault) = (self.began, plan.next().1);
        while clock::now() < until {
            self.turn()?;
            self.try_delayed()?;
            let World {
                site, processes, ..
            } = &self.world;
            self.load.scrapes.tend(site, processes, true)?;
            if due <= clock::now() {
                if !self.apply(fault)? && fault.can_wait() {
                    self.delayed = Some((fault, clock::now() + DELAY));
                }
                let (pause, next) = plan.next();
                // From now on: on a busy machine fewer come, and not many at once.
                (due, fault) = (clock::now() + pause, next);
            }
            progress.show(self);
            std::thread::sleep(TURN);
        }
        progress.clear();
        Ok(())
    }

    /// Makes the fault that could not be made before, if it can be made now.
    fn try_delayed(&mut self) -> anyhow::Result<()> {
        if let Some((fault, until)) = self.delayed
            && (self.apply(fault)? || until <= clock::now())
        {
            self.delayed = None;
        }
        Ok(())
    }

    /// Looks after everything that is not to stay as it is.
    pub(crate) fn turn(&mut self) -> anyhow::Result<()> {
        let now = clock::now();
        self.look_at_health(now);
        self.later.step(Some(now));
        let World {
            site,
            processes,
            watcher,
            lab,
            service,
            ..
        } = &mut self.world;
        site.volume.step(now)?;
        lab.tend(site, processes, watcher)?;
        if self.serves {
            service.tend(site, processes)?;
        }
        self.samples.tend(service, now);
        self.load.scrapes.tend(site, processes, false)?;
        for (at, text) in std::mem::take(&mut service.ends) {
            self.deeds.push(Deed { at, text });
        }
        let watching = watcher.account().watching;
        if !watching {
            self.world.commander = None;
        } else if self.world.commander.is_none() {
            // The server may be killed between the two; then the next turn tries again.
            self.world.commander = Commander::connect(&self.world.site.server_socket()).ok();
        }
        self.step_danger();
        self.step_database(now)
    }

    fn step_database(&mut self, now: Monotonic) -> anyhow::Result<()> {
        let since = self.database.needs_status_since();
        let status = since.and_then(|since| self.world.poller.status(since));
        let planned = self.database.planned();
        let World { peers, watcher, .. } = &self.world;
        let done = self
            .database
            .step(now, status.as_ref(), (peers, watcher), &mut self.rng)?;
        if let Some(text) = done {
            self.note(text);
        }
        if let Some(fault) = planned.filter(|_| self.database.is_faulty()) {
            self.count(fault);
        }
        Ok(())
    }

    /// Ends all faults that go on.
    pub(crate) fn end_faults(&mut self) -> anyhow::Result<()> {
        self.later.step(None);
        self.world.site.logs.resume();
        self.world.site.volume.empty()?;
        self.database.end(&self.world.peers)?;
        self.note("faults end".to_owned());
        Ok(())
    }

    /// Whether the database is good and the service has it.
    pub(crate) const fn has_database(&self) -> bool {
        self.database.permits_additions()
    }

    /// The state of the service, if it tells it.
    pub(crate) fn status(&self) -> Option<Status> {
        status::ask(&self.world.site.runtime()).ok()
    }

    /// Leaves all that was done to the world in a file beside the logs.
    fn write_deeds(&self) -> anyhow::Result<()> {
        let line = |deed: &Deed| {
            let millis = millis(deed.at.since(self.began));
            format!(
                "{:>4}.{:03} {}\n",
                millis / 1_000,
                millis % 1_000,
                deed.text
            )
        };
        let text: String = self.deeds.iter().map(line).collect();
        Ok(std::fs::write(self.world.site.path(DEEDS), text)?)
    }

    fn note(&mut self, text: String) {
        let at = clock::now();
        self.deeds.push(Deed { at, text });
    }
}
