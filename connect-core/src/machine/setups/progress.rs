// SPDX-License-Identifier: GPL-3.0-or-later
//! The progress of the setups of a peer.

use connect_ipc::RunId;
use connect_ipc::setup::{ByLane, ByPair, Pair};
use serde::{Deserialize, Serialize};

use super::decision::Past;

/// The progress of one setup of a peer.
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
    /// made nothing either; but `on-down` is run.
    NoScript,
    /// The run that was to make it never started, so that there is nothing to undo.
    NeverStarted,
    /// Of the hooks alone: the peer has not answered since it came, or since it was unreachable.
    Idle,
}

impl Progress {
    /// What it is for a decision.
    pub(super) const fn past(self) -> Past {
        match self {
            Progress::Found => Past::Found,
            Progress::Due => Past::Due,
            Progress::Ordered { .. } | Progress::Made | Progress::NoScript => Past::Made,
            Progress::NeverStarted => Past::NeverStarted,
            Progress::Idle => Past::Nothing,
        }
    }
}

/// The setups of one peer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(in crate::machine) struct PeerSetups {
    #[serde(flatten)]
    of_presence: ByLane<Progress>,
    /// Most peers that answer have no hooks.
    #[serde(
        default = "PeerSetups::no_hooks",
        skip_serializing_if = "PeerSetups::are_no_hooks"
    )]
    hooks: Progress,
}

impl Default for PeerSetups {
    fn default() -> Self {
        PeerSetups::of_presence(Progress::default())
    }
}

impl PeerSetups {
    const fn no_hooks() -> Progress {
        Progress::NoScript
    }

    fn are_no_hooks(hooks: &Progress) -> bool {
        *hooks == Self::no_hooks()
    }

    /// The setups of a peer that has not replied yet: `progress` for interface and connection,
    /// `Idle` for the hooks.
    pub(in crate::machine) const fn of_presence(progress: Progress) -> Self {
        PeerSetups {
            of_presence: ByLane {
                interface: progress,
                connection: progress,
            },
            hooks: Progress::Idle,
        }
    }

    /// All three setups have this progress.
    pub(in crate::machine) const fn all(progress: Progress) -> Self {
        PeerSetups {
            hooks: progress,
            ..Self::of_presence(progress)
        }
    }

    /// The progress of most peers: the setups of interface and connection are made, the peer
    /// answers, and there are no hooks.
    pub(in crate::machine) const fn usual() -> Self {
        PeerSetups {
            hooks: Self::no_hooks(),
            ..Self::of_presence(Progress::Made)
        }
    }

    /// The progress of the setup of a pair.
    pub(in crate::machine) const fn get(&self, pair: Pair) -> Progress {
        match pair {
            Pair::Interface => self.of_presence.interface,
            Pair::Connection => self.of_presence.connection,
            Pair::Hooks => self.hooks,
        }
    }

    /// Sets the progress of the setup of a pair.
    pub(in crate::machine) const fn set(&mut self, pair: Pair, progress: Progress) {
        match pair {
            Pair::Interface => self.of_presence.interface = progress,
            Pair::Connection => self.of_presence.connection = progress,
            Pair::Hooks => self.hooks = progress,
        }
    }

    /// Whether the peer was there before the service, which has made nothing for it.
    pub(in crate::machine) fn are_found(&self) -> bool {
        let found = |pair| self.get(pair) == Progress::Found;
        Pair::OF_PRESENCE.into_iter().all(found)
    }

    /// Whether it is as with most peers.
    pub(in crate::machine) fn are_usual(&self) -> bool {
        *self == Self::usual()
    }

    /// What they are for decisions.
    pub(super) fn pasts(&self) -> ByPair<Past> {
        ByPair::of(|pair| self.get(pair).past())
    }
}

/// Every progress that names no run.
const SETTLED: [Progress; 6] = [
    Progress::Found,
    Progress::Due,
    Progress::Made,
    Progress::NoScript,
    Progress::NeverStarted,
    Progress::Idle,
];

/// The setups of a peer in the table, in a quarter of the room, since there may be very many peers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::machine) enum TableSetups {
    /// None is ordered; these are places in `SETTLED`.
    Settled(ByPair<u8>),
    /// At least one is ordered, and its run has not started yet.
    Ordered(Box<PeerSetups>),
}

impl From<PeerSetups> for TableSetups {
    fn from(setups: PeerSetups) -> Self {
        let place = |pair| (0..).zip(SETTLED).find(|(_, it)| *it == setups.get(pair));
        if Pair::ALL.into_iter().any(|pair| place(pair).is_none()) {
            return TableSetups::Ordered(Box::new(setups));
        }
        TableSetups::Settled(ByPair::of(|pair| place(pair).map_or(0, |(place, _)| place)))
    }
}

impl TableSetups {
    /// All of them.
    pub(in crate::machine) fn all(&self) -> PeerSetups {
        let mut setups = PeerSetups::default();
        for pair in Pair::ALL {
            setups.set(pair, self.get(pair));
        }
        setups
    }

    /// The progress of the setup of a pair.
    pub(in crate::machine) fn get(&self, pair: Pair) -> Progress {
        match self {
            TableSetups::Settled(places) => {
                let place = usize::from(*places.get(pair));
                SETTLED.get(place).copied().unwrap_or_default()
            }
            TableSetups::Ordered(setups) => setups.get(pair),
        }
    }

    /// Sets the progress of the setup of a pair.
    pub(in crate::machine) fn set(&mut self, pair: Pair, progress: Progress) {
        let mut setups = self.all();
        setups.set(pair, progress);
        *self = setups.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_keeps_every_progress() {
        let ordered = Progress::Ordered {
            first: RunId(3),
            last: RunId(u64::MAX),
        };
        let mut kept = TableSetups::from(PeerSetups::default());
        for progress in SETTLED.into_iter().chain([ordered, Progress::Made]) {
            for pair in Pair::ALL {
                let mut expected = kept.all();
                expected.set(pair, progress);
                kept.set(pair, progress);
                assert_eq!((kept.get(pair), kept.all()), (progress, expected));
                let is_ordered = Pair::ALL.into_iter().any(|it| kept.get(it) == ordered);
                assert_eq!(matches!(kept, TableSetups::Ordered(_)), is_ordered);
            }
        }
        assert!(size_of::<TableSetups>() * 4 < size_of::<PeerSetups>());
    }
}
