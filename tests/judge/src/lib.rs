// SPDX-License-Identifier: GPL-3.0-or-later
//! What is wrong with the history of a peer. That depends only on what came before what, and not on
//! how long something took, with one exception ([`rest`]). And whether a value that was measured
//! again and again grows ([`slope`]).

mod ends;
pub mod history;
pub mod noted;
mod operators;
mod order;
mod pair;
pub mod rest;
pub mod slope;
pub mod starts;
#[cfg(test)]
mod tests;

use connect_ipc::clock::Monotonic;
use connect_ipc::setup::{Lane, Pair};
use serde::{Deserialize, Serialize};

use history::PeerHistory;
use rest::Health;

/// The kinds of faults, in the order of the table in docs/development/chaos.md.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// Something was run twice for one cause.
    Doubled,
    /// Something that had to run was not run.
    Lost,
    /// Two scripts of a lane ran at the same time.
    Overlapping,
    /// Scripts ran in another order than that of their causes.
    OutOfOrder,
    /// A script was ended before its own end, and not by a rule of the service.
    CutShort,
    /// A process, socket or file was left that nothing watches or needs.
    Orphaned,
    /// At the end a peer with a record that says so was not watched.
    Unwatched,
    /// At the end the service did not come to rest.
    Unsettled,
    /// The service was not seen to work again after a death.
    Unrecovered,
    /// The metrics were never told, or tell something else than the state.
    Scrapes,
    /// A process needs more and more memory, or has more descriptors at rest than before.
    Leaks,
    /// An observer got an event twice, or did not get one that nobody said was left out.
    Events,
    /// At the end the server, the state and the events tell different things of a peer.
    Figures,
}

impl Row {
    /// All of them.
    pub const ALL: [Row; 13] = [
        Row::Doubled,
        Row::Lost,
        Row::Overlapping,
        Row::OutOfOrder,
        Row::CutShort,
        Row::Orphaned,
        Row::Unwatched,
        Row::Unsettled,
        Row::Unrecovered,
        Row::Scrapes,
        Row::Leaks,
        Row::Events,
        Row::Figures,
    ];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Row::Doubled => "doubled",
            Row::Lost => "lost",
            Row::Overlapping => "overlapping",
            Row::OutOfOrder => "out of order",
            Row::CutShort => "cut short",
            Row::Orphaned => "orphaned",
            Row::Unwatched => "unwatched",
            Row::Unsettled => "unsettled",
            Row::Unrecovered => "unrecovered",
            Row::Scrapes => "scrapes",
            Row::Leaks => "leaks",
            Row::Events => "events",
            Row::Figures => "figures",
        }
    }
}

/// One fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Which kind of fault.
    pub row: Row,
    /// The start of the script that should not have been, or the cause that nothing followed.
    pub at: Monotonic,
    /// What is wrong.
    pub text: String,
}

/// All that is wrong with the scripts of a peer.
pub fn judge(history: &PeerHistory, health: &Health) -> Vec<Finding> {
    let lanes = Lane::ALL
        .into_iter()
        .filter(|lane| *lane == Lane::Interface || history.has_connection);
    lanes
        .flat_map(|lane| judge_lane(history, lane, health))
        .collect()
}

fn judge_lane(history: &PeerHistory, lane: Lane, health: &Health) -> Vec<Finding> {
    let mut findings = Vec::new();
    let runs = order::runs_of(history, lane, &mut findings);
    ends::cut_short(history, &runs, &mut findings);
    let pairs = Pair::ALL.into_iter().filter(|pair| {
        let is_there = *pair != Pair::Hooks || history.has_hooks;
        pair.lane() == lane && is_there
    });
    for pair in pairs {
        let of_pair = runs.iter().filter(|run| run.kind.pair() == pair);
        let mut runs: Vec<_> = of_pair.copied().collect();
        let asked = operators::take_out(history, &mut runs);
        rest::lost(history, pair, (&runs, &asked), health, &mut findings);
        pair::walk(history, pair, (&runs, asked), &mut findings);
    }
    findings
}
