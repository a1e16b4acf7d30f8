// SPDX-License-Identifier: GPL-3.0-or-later
//! The progress of the setups of a peer.

use connect_ipc::RunId;
use connect_ipc::setup::{ByLane, Lane};
use serde::{Deserialize, Serialize};

use super::decision::Past;

/// The progress of the setup of a peer in one lane.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::machine) enum Progress {
    /// The peer was there before the service, which has made nothing for it.
    #[default]
    Found,
    /// It is due, and nothing was ordered yet.
    Due,
    /// Runs that make it were ordered, but it is not known whether one was started.
    Ordered {
        /// The first of them.
        first: RunId,
        /// The last: earlier ones were told to end when it was ordered.
        last: RunId,
    },
    /// It was made, or the record has only the script that undoes it.
    Made,
    /// There was no script for it, so nothing was made. If the record has got one since, that has
    /// made nothing either.
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
    /// The same progress in both lanes.
    pub(in crate::machine) const fn both(progress: Progress) -> Self {
        PeerSetups(ByLane {
            interface: progress,
            connection: progress,
        })
    }

    /// The progress in a lane.
    pub(in crate::machine) const fn get(&self, lane: Lane) -> Progress {
        *self.0.get(lane)
    }

    /// Sets the progress in a lane.
    pub(in crate::machine) const fn set(&mut self, lane: Lane, progress: Progress) {
        *self.0.get_mut(lane) = progress;
    }

    /// Whether everything was made, as for most peers.
    pub(in crate::machine) fn are_made(&self) -> bool {
        *self == Self::both(Progress::Made)
    }
}
