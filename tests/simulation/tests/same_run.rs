// SPDX-License-Identifier: GPL-3.0-or-later
//! The same plan is the same run, to the byte.

use std::time::Duration;

use simulation::plan::{Plan, Profile, Scale};
use simulation::promise::Broken;
use simulation::world::{Digesting, How, Summary, World};

fn play(seed: u64, hosts: u8) -> Result<Summary, Broken> {
    let scale = Scale {
        hosts,
        peers: 4,
        time: Duration::from_secs(4 * 3_600),
        profile: Profile::Storm,
    };
    let plan = Plan::generate(seed, scale);
    let how = How {
        digest: Digesting::Everything,
        ..How::default()
    };
    World::new(&plan, how, ()).run().1
}

#[test]
fn the_same_plan_is_the_same_run() {
    for (seed, hosts) in [(1, 1), (2, 1), (3, 2), (4, 3)] {
        let first = play(seed, hosts).unwrap();
        assert_eq!(first, play(seed, hosts).unwrap(), "seed {seed}");
        assert!(first.steps > 1_000, "{first:?}");
    }
    assert_ne!(play(1, 1).unwrap().digest, play(2, 1).unwrap().digest);
}

#[test]
fn a_plan_is_read_as_it_was_written() {
    let scale = Scale {
        hosts: 3,
        peers: 5,
        time: Duration::from_secs(20 * 86_400),
        profile: Profile::Storm,
    };
    let plan = Plan::generate(7, scale);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}
