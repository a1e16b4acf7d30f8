// SPDX-License-Identifier: GPL-3.0-or-later
//! How much happens: for each kind of fault, how often it comes on a host in a day.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much happens.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// As much as can be told apart.
    #[default]
    Storm,
    /// As on a host that is looked after: about a fortieth of it, at the default intervals.
    Calm,
    /// As much as in a storm, while each process lives as long as the run: what leaks adds up.
    Steady,
    /// A storm or a calm time, by the seed.
    Mixed,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Profile::Storm => "storm",
            Profile::Calm => "calm",
            Profile::Steady => "steady",
            Profile::Mixed => "mixed",
        })
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "storm" => Ok(Profile::Storm),
            "calm" => Ok(Profile::Calm),
            "steady" => Ok(Profile::Steady),
            "mixed" => Ok(Profile::Mixed),
            _ => Err(format!(
                "no profile: {word}; there are storm, calm, steady and mixed"
            )),
        }
    }
}

/// The kinds of faults that are planned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    KillCore,
    KillPinger,
    KillScripts,
    Stand,
    Quit,
    Upgrade,
    CutAdmin,
    CutHelper,
    ServerRestart,
    ServerChunks,
    Displace,
    Refuse,
    LateAnswers,
    CancelJob,
    VanishClient,
    Database,
    Journal,
    Suspend,
    Reboot,
    Path,
    Address,
    Partner,
    Others,
    Command,
    Knock,
    Operator,
    SecondHelper,
    NextProtocol,
    WallClock,
    Unwatch,
    PartnerMoves,
    Name,
    KillServer,
    OtherSite,
    Greeting,
    Greeted,
}

impl Kind {
    /// Whether a process may end of it, or be started again.
    pub(super) const fn ends_processes(self) -> bool {
        matches!(
            self,
            Kind::KillCore
                | Kind::KillPinger
                | Kind::KillScripts
                | Kind::KillServer
                | Kind::Stand
                | Kind::Quit
                | Kind::Upgrade
                | Kind::ServerRestart
                | Kind::Displace
                | Kind::Suspend
                | Kind::Reboot
                | Kind::SecondHelper
                | Kind::NextProtocol
                // The script helper begins again with what is left of its journal.
                | Kind::Journal
        )
    }
}

/// Each kind, and how often it comes on a host in ten days of a storm. The order is part of what a
/// seed means.
pub(super) const RATES: &[(Kind, u64)] = &[
    (Kind::KillCore, 100),
    (Kind::KillPinger, 60),
    (Kind::KillScripts, 80),
    (Kind::Stand, 100),
    (Kind::Quit, 20),
    (Kind::Upgrade, 10),
    (Kind::CutAdmin, 80),
    (Kind::CutHelper, 40),
    (Kind::ServerRestart, 30),
    (Kind::ServerChunks, 40),
    (Kind::Displace, 10),
    (Kind::Refuse, 120),
    (Kind::LateAnswers, 60),
    (Kind::CancelJob, 200),
    (Kind::VanishClient, 60),
    (Kind::Database, 100),
    (Kind::Journal, 10),
    (Kind::Suspend, 20),
    (Kind::Reboot, 5),
    (Kind::Path, 80),
    (Kind::Address, 40),
    (Kind::Partner, 80),
    (Kind::Others, 120),
    (Kind::Command, 300),
    (Kind::Knock, 60),
    (Kind::Operator, 200),
    (Kind::SecondHelper, 10),
    (Kind::NextProtocol, 10),
    (Kind::WallClock, 5),
    (Kind::Unwatch, 40),
    (Kind::PartnerMoves, 60),
    (Kind::Name, 60),
];

/// The same of kinds that only seeds from [`NEWER_FROM`] on have.
pub(super) const NEWER: &[(Kind, u64)] = &[
    (Kind::KillServer, 30),
    (Kind::OtherSite, 5),
    (Kind::Greeting, 40),
];

/// The first seed whose plans have what was added last. Those of smaller seeds stay what they were
/// when these seeds were played first, or failed.
pub const NEWER_FROM: u64 = 70_000_000;

/// The same of kinds that only seeds from [`GREETED_FROM`] on have.
pub(super) const GREETED: &[(Kind, u64)] = &[(Kind::Greeted, 40)];

/// The first seed whose plans have greetings for commands that wait for them, and with that all
/// kinds of faults. It is greater than all seeds that were played before there were these.
pub const GREETED_FROM: u64 = 90_000_000;

/// The first seed whose plans change every key that says how a peer is checked. It is greater than
/// all seeds that were played before they did.
pub const CHANGED_FROM: u64 = 95_000_000;

/// How many times less comes in a calm time.
pub(super) const CALM: u64 = 40;
