// SPDX-License-Identifier: GPL-3.0-or-later
//! How far the setups of a peer have come.

use connect_ipc::RunId;
use connect_ipc::setup::{ByLane, Lane};
use serde::{Deserialize, Serialize};

use super::decision::Past;

/// How far the setup of a peer in one lane has come.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::machine) enum Progress {
    /// The peer was there before the service, which has made nothing for it.
    #[default]
    Found,
    /// It is to be made, and nothing was ordered yet.
    Due,
    /// Runs that make it were ordered, and whether one was started is not known.
    Ordered {
        /// The first of them.
        first: RunId,
        /// The last: those before were to end when it was ordered.
        last: RunId,
    },
    /// It was made, or the record has only the script that undoes it.
    Made,
    /// There was no script for it, so nothing was made. One that the record has got since has made
    /// nothing either.
    NoScript,
    /// The run that was to make it never started, so that there is nothing to undo.
    NeverStarted,
}

impl Progress {
    /// What it is for a decision.
    pub(super) const fn past(self) -> Past {
        match self {
            Progress::Found => Past::Found,
            Progress::Due => Past::Due,
            Progress::Ordered { .. } | Progress::Made | Progress::NoScript => Past::Made,
            Progress::NeverStarted => Past::NeverStarted,
        }
    }
}

/// The setups of one peer.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(in crate::machine) struct PeerSetups(ByLane<Progress>);

impl PeerSetups {
    /// Both lanes have come as far.
    pub(in crate::machine) const fn both(progress: Progress) -> Self {
        PeerSetups(ByLane {
            interface: progress,
            connection: progress,
        })
    }

    /// How far it has come in a lane.
    pub(in crate::machine) const fn get(&self, lane: Lane) -> Progress {
        *self.0.get(lane)
    }

    /// It has come so far.
    pub(in crate::machine) const fn set(&mut self, lane: Lane, progress: Progress) {
        *self.0.get_mut(lane) = progress;
    }

    /// Whether everything was made: most peers are so.
    pub(in crate::machine) fn are_made(&self) -> bool {
        *self == Self::both(Progress::Made)
    }
}
