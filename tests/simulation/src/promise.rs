// SPDX-License-Identifier: GPL-3.0-or-later
//! The promises, by name, and how one was broken.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::instant::Instant;
use crate::plan::HostId;

macro_rules! promises {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $sentence:literal;)+) => {
        /// What is promised.
        #[derive(
            Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
        )]
        pub enum Promise { $($(#[$doc])* $variant),+ }

        impl Promise {
            /// All of them.
            pub const ALL: &'static [Promise] = &[$(Promise::$variant),+];

            /// Its short name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Promise::$variant => $name),+ }
            }

            /// What it says.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Promise::$variant => $sentence),+ }
            }
        }
    };
}

promises! {
    /// Nothing follows from anything but the plan.
    SameRun = "P0", "the same plan is the same run";
    /// Pings at the server.
    OnePing = "P1", "never two pings of one peer in flight on one connection of core";
    /// `ADD` of peers that are there.
    NoKnownAdd = "P2", "no ADD for a name that core knows to be there";
    /// Jobs and requests.
    AnsweredOnce = "P3", "each job and request is answered, failed or cancelled once";
    /// Figures of `info`.
    Figures = "P4", "figures are what the server saw";
    /// Pairs and order of scripts.
    Scripts = "P5", "scripts run once and in order, one at a time, each for its own cause";
    /// What scripts are given.
    ScriptFacts = "P6", "arguments and environment are what record and server say";
    /// Attempts of a check.
    Checks = "P7", "attempts of a check follow each other without gap, and end as the manual says";
    /// Late checks.
    NothingLate = "P8", "a check that is late is told, and none comes too early";
    /// Rows of the state.
    Rows = "P9", "the state has the peers that the server has";
    /// Causes of commands.
    Causes = "P10", "each command to the server has a cause of its own";
    /// Lines.
    Lines = "P11", "each line fits and can be understood";
    /// Events.
    Events = "P12", "each event comes once and none is missing";
    /// Bounded turns.
    Turns = "P13", "turns, lines and children are bounded";
    /// Bounded tables.
    Sizes = "P14", "tables and queues are bounded";
    /// Living peers.
    Alive = "P15", "a peer that answers is not told to be dead";
    /// Helpers that work.
    Helpers = "P16", "no helper is restarted that does what is due";
    /// Panics.
    NoPanic = "P17", "nothing panics";
    /// Start-up peers.
    StartedUp = "P18", "under --startup each run of the server gets the start-up peers";
    /// Peers that are looked up by name.
    Followed = "P19", "a peer is followed only to an address of its name that no other has, or that its greeting came from";
    /// Peers that come back.
    Revived = "P20", "a peer that is to come back is added again after its pause";
    /// At the end.
    Connected = "E1", "in the end each watched peer that lives is connected and checked";
    /// At the end.
    DeadTold = "E2", "in the end each watched peer that is dead is told of";
    /// At the end.
    ScriptsAgree = "E3", "in the end the last scripts agree with the server";
    /// At the end.
    AllWell = "E4", "in the end nothing is late or faulty, and the helpers are there";
    /// At the end.
    Empty = "E5", "in the end queues and tables are empty";
    /// At the end.
    Current = "E6", "in the end the database in use is that of the site";
}

/// A promise that was broken.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// When.
    pub at: Instant,
    /// Where.
    pub host: HostId,
    /// How.
    pub text: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (promise, host) = (self.promise.name(), self.host.0);
        write!(f, "{promise} at {}, host {host}: {}", self.at, self.text)
    }
}
