// SPDX-License-Identifier: GPL-3.0-or-later
//! Who uses the service while faults come: observers that read every event, and a monitor that
//! scrapes the metrics.
//!
//! ```text
//!   observe.sock --state, every event--> [observer], three threads --> [stream]: gaps, doubles,
//!                                            |                          figures of each peer
//!                                            |--> [accord]: are all told the same?
//!                                            '--kills--> [recovery]: when does it work again?
//!   [scrapes] --connect-cli metrics--> control.sock
//!   observers, deeds --> [health]: when could the service run scripts?
//! ```

pub(crate) mod accord;
pub(crate) mod health;
pub(crate) mod observer;
pub(crate) mod recovery;
pub(crate) mod scrapes;
pub(crate) mod stream;
pub(crate) mod tracks;

use std::path::Path;

use accord::Accord;
use health::Health;
use observer::Observer;
use scrapes::Scrapes;

/// How many observers there are.
pub(crate) const OBSERVERS: usize = 3;

/// Those who use the service.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) observers: Vec<Observer>,
    pub(crate) scrapes: Scrapes,
    pub(crate) health: Health,
}

impl Load {
    /// Starts the observers.
    pub(crate) fn start(runtime: &Path) -> Self {
        let accord = Accord::default();
        let observer = |_| Observer::start(&runtime.join("observe.sock"), accord.clone());
        Load {
            observers: (0..OBSERVERS).map(observer).collect(),
            scrapes: Scrapes::default(),
            health: Health::default(),
        }
    }

    /// Whether all observers have the state and get the events that follow.
    pub(crate) fn is_live(&self) -> bool {
        self.observers.iter().all(|it| it.seen().stream.is_live())
    }
}
