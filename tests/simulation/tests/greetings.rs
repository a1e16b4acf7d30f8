// SPDX-License-Identifier: GPL-3.0-or-later
//! A greeting counts as what it turns out to be: awaited, too late, or nothing at all.

use std::time::Duration;

use simulation::coverage::Coverage;
use simulation::instant::Instant;
use simulation::plan::{
    Fault, GREETED_FROM, Greeting, HostId, NEWER_FROM, Plan, Profile, Scale, Timed, When,
};
use simulation::promise::Broken;
use simulation::world::{How, World};

/// What was counted in a calm run in which only these faults come, each so many milliseconds after
/// the service has started.
fn counted(faults: &[(u64, Fault)]) -> Result<Coverage, Broken> {
    let scale = Scale {
        hosts: 1,
        peers: 4,
        time: Duration::from_secs(3_600),
        profile: Profile::Calm,
    };
    let mut plan = Plan::generate(1, scale);
    let begin = Instant(0) + Duration::from_secs(300);
    let timed = faults.iter().map(|(millis, fault)| Timed {
        at: begin + Duration::from_millis(*millis),
        when: When::Now,
        host: HostId(0),
        fault: fault.clone(),
    });
    plan.faults = timed.collect();
    let (_, played) = World::new(&plan, How::default(), ()).run();
    played.map(|summary| summary.coverage)
}

fn command(words: &str) -> Fault {
    let words = words.split(' ').map(str::to_owned).collect();
    Fault::Command { words }
}

const fn greets(greeting: Greeting) -> Fault {
    Fault::Greeting { greeting }
}

/// How many greetings were in time, and how many too late.
fn came(faults: &[(u64, Fault)]) -> [u64; 2] {
    let mut coverage = counted(faults).unwrap_or_default();
    [Greeting::Live.name(), Greeting::Late.name()].map(|name| coverage.of(name).effective)
}

#[test]
fn a_greeting_is_awaited_only_while_its_command_is_open() {
    let waits = || command("passive user-p0");
    let live = || greets(Greeting::Live);
    assert_eq!(came(&[(0, waits()), (29_000, live())]), [1, 0]);
    assert_eq!(came(&[(0, waits()), (31_000, live())]), [0, 1]);
    let shorter = command("passive -timeout 3 user-p0");
    assert_eq!(came(&[(0, shorter), (4_000, live())]), [0, 1]);
    // The job is cancelled when core writes its next line, which is a ping.
    let longer = || command("passive -timeout 5m user-p0");
    let cancels = Fault::CancelJob { after: 0 };
    assert_eq!(came(&[(0, longer()), (200_000, live())]), [1, 0]);
    let cancelled = [(0, longer()), (1_000, cancels), (200_000, live())];
    assert_eq!(came(&cancelled), [0, 1]);
    // What is planned as late is in time if it is.
    let late = greets(Greeting::Late);
    assert_eq!(came(&[(0, waits()), (1_000, late)]), [1, 0]);
}

#[test]
fn a_greeting_that_no_server_knows_has_no_effect() {
    let waits = || command("passive user-p0");
    let live = || greets(Greeting::Live);
    assert_eq!(came(&[(0, live())]), [0, 0]);
    let twice = [(0, waits()), (1_000, live()), (2_000, live())];
    assert_eq!(came(&twice), [1, 0], "a challenge is good once");
    let restart = Fault::ServerRestart {
        with_peers: false,
        after: Duration::from_millis(10),
    };
    let restarted = [(0, waits()), (1_000, restart), (5_000, live())];
    assert_eq!(came(&restarted), [0, 0]);
}

#[test]
fn plans_of_smaller_seeds_stay_what_they_were() {
    let scale = Scale {
        hosts: 1,
        peers: 4,
        time: Duration::from_secs(60 * 86_400),
        profile: Profile::Storm,
    };
    let late = |seed| {
        let plan = Plan::generate(seed, scale);
        let is_late = |it: &Timed| it.fault == greets(Greeting::Late);
        plan.faults.iter().any(is_late)
    };
    assert!(late(GREETED_FROM));
    assert!(!late(GREETED_FROM - 1) && !late(NEWER_FROM));
}
