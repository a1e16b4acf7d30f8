// SPDX-License-Identifier: GPL-3.0-or-later
//! The end of a run: faults stop, the world comes to rest, and then the service is stopped in good
//! order.

use std::fs;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink;
use connect_runtime::clock;

use crate::figures::{self, Difference};
use crate::load::scrapes;
use crate::run::Run;
use crate::script;
use crate::world::leftovers;
use crate::world::service::Part;
use crate::world::status::Status;

/// Nothing may have changed for this long: longer than the longest script, and than the time
/// after which the service looks again at anything that it tries again.
const REST: Duration = Duration::from_secs(4);

/// Within this time it has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the service may take to stop: longer than it waits for scripts.
const STOP: Duration = Duration::from_secs(30);

/// How long descriptors are counted until they are as in the beginning: the connections that asked
/// for the state are closed by then.
const COUNTING: Duration = Duration::from_secs(5);

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How the world was found at rest.
#[derive(Debug)]
pub(crate) struct Rest {
    /// The last state that the service told.
    pub(crate) status: Option<Status>,
    /// One that it told when it had been at rest for half of the time: a core that was started last
    /// has got the figures of its peers from the pinger by then.
    pub(crate) earlier: Option<Status>,
    /// Why it is not at rest, if so.
    pub(crate) unrest: Option<String>,
}

/// What was looked up at rest.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    pub(crate) differences: Vec<Difference>,
    /// What is wrong with the metrics.
    pub(crate) scrape: Option<String>,
    /// The children that the service has left as zombies, in words.
    pub(crate) zombies: Vec<String>,
}

/// Looks at what processes need at rest, compares the figures, and scrapes once more.
pub(crate) fn examine(run: &mut Run, rest: &Rest) -> anyhow::Result<Examined> {
    let until = clock::now() + COUNTING;
    let mut zombies = zombies(run);
    while !(run.samples.end(&run.world.service) && zombies.is_empty()) && clock::now() < until {
        std::thread::sleep(LOOK_EVERY);
        zombies = self::zombies(run);
    }
    if rest.unrest.is_some() {
        // Then that is the fault.
        return Ok(Examined::default());
    }
    let Some(status) = &rest.status else {
        return Ok(Examined::default());
    };
    let world = &run.world;
    Ok(Examined {
        differences: figures::compare(run, rest.earlier.as_ref(), status),
        scrape: scrapes::at_rest(&world.site, &world.processes, status)?,
        zombies,
    })
}

/// The zombies among the children of the service's processes.
fn zombies(run: &Run) -> Vec<String> {
    let service = &run.world.service;
    let of_part = |part: Part| {
        let parent = service.pid(part).into_iter();
        let found = parent.flat_map(leftovers::zombies);
        found.map(move |pid| format!("process {pid} is a zombie of the {}", part.name()))
    };
    Part::ALL.into_iter().flat_map(of_part).collect()
}

/// What was left, each in words.
pub(crate) type Left = Vec<String>;

/// What was found in the end.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) rest: Rest,
    pub(crate) examined: Examined,
    pub(crate) left: Left,
}

/// Ends all faults and waits until nothing happens any more.
pub(crate) fn settle(run: &mut Run) -> anyhow::Result<Rest> {
    run.end_faults()?;
    let until = clock::now() + PATIENCE;
    let mut last = (0, Monotonic::default());
    let mut since = clock::now();
    let mut earlier = None;
    loop {
        run.turn()?;
        let status = run.status();
        let log = fs::metadata(run.world.site.path(script::LOG))?.len();
        let seen = (log, run.world.watcher.account().last_change);
        let why = unrest(run, status.as_ref());
        let now = clock::now();
        if why.is_some() || seen != last {
            since = now;
            earlier = None;
        }
        last = seen;
        if now.since(since) >= REST {
            return Ok(Rest {
                status,
                earlier,
                unrest: None,
            });
        }
        if now >= until {
            let unrest = why.unwrap_or_else(|| "scripts or peers come and go".to_owned());
            return Ok(Rest {
                status,
                earlier,
                unrest: Some(unrest),
            });
        }
        if now.since(since) >= REST / 2 {
            earlier = earlier.or(status);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Why the world is not at rest.
fn unrest(run: &Run, status: Option<&Status>) -> Option<String> {
    let Some(status) = status else {
        return Some("the service does not tell its state".to_owned());
    };
    let service = &status.service;
    let journal = run.journal_danger();
    let texts = [
        (
            service.server != ServerLink::Up,
            "the service is not connected to the server",
        ),
        (!service.pinger.connected, "the pinger is not connected"),
        (!run.load.is_live(), "an observer does not have the state"),
        (!run.load.scrapes.is_idle(), "a scrape is under way"),
        (
            !run.world.operator.is_idle(),
            "an operator waits for a script",
        ),
        (
            !service.scripts.helper.connected,
            "the script helper is not connected",
        ),
        (
            !run.has_database(),
            "the service has not loaded the good database",
        ),
        (journal.is_some(), journal.unwrap_or_default()),
        (
            service.scripts.journal_fault.is_some(),
            "the journal of scripts has a fault",
        ),
        (
            service.state_fault.is_some(),
            "the state file cannot be written",
        ),
        (
            !run.world.watcher.account().watching,
            "the server is not watched",
        ),
    ];
    if status.pending() > 0 {
        return Some(format!("{} scripts are pending", status.pending()));
    }
    let found = texts.iter().find(|(is_so, _)| *is_so);
    found.map(|(_, text)| (*text).to_owned())
}

/// Stops the service in good order, and gives what is left then and should not be: scripts that
/// nobody watched before, processes, sockets, and temporary files.
pub(crate) fn stop(run: &mut Run) -> Left {
    let world = &run.world;
    let directory = &world.site.directory;
    let is_script = |line: &str| line.split(' ').any(|word| word == script::TASK);
    let scripts = leftovers::marked(directory).into_iter();
    let unwatched = scripts
        .filter(|(_, line)| is_script(line))
        .map(|(pid, line)| format!("process {pid} still runs: {line}"));
    let mut left: Left = unwatched.collect();
    let pids = world.service.pids();
    if let Err(error) = world.service.end(&world.processes) {
        left.push(format!("the service cannot be ended: {error:#}"));
    }
    let until = clock::now() + STOP;
    let has_ended = |pid: &i32| world.processes.ended(*pid).is_some();
    while !pids.iter().all(has_ended) && clock::now() < until {
        std::thread::sleep(LOOK_EVERY);
    }
    let server = world.lab.pid();
    for (pid, line) in leftovers::marked(directory) {
        if Some(pid) != server {
            left.push(format!("process {pid} is left after the stop: {line}"));
        }
    }
    for file in leftovers::files(directory, &world.site.server_socket()) {
        left.push(format!("{} is left after the stop", file.display()));
    }
    run.world.site.logs.finish();
    left
}
