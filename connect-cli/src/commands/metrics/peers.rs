// SPDX-License-Identifier: GPL-3.0-or-later
//! The metrics of each peer.

use connect_ipc::changes::RecordStanding;
use connect_ipc::control::{PeerState, PeerStatus};
use connect_ipc::statistics::LastPing;

use super::exposition::{Exposition, Family, counter, gauge, info, number, summary, truth};
use crate::output::lookup_text::Hindrance;
use crate::output::summary::is_missing;

const PEERS: Family = gauge(
    "peers",
    "Peers that the server has or that are expected, by state.",
);
const PEERS_STALE: Family = gauge(
    "peers_record_changed",
    "Peers that differ from the database: with values of an earlier record (changed), without a \
     record (removed), or to be added at start-up but not at the server (new).",
);
const PEER: Family = info("peer", "The peer's interface and address.");
const PEER_STATE: Family = gauge(
    "peer_state",
    "1 for the state that the peer is in, 0 for the others.",
);
const PEER_UP: Family = gauge(
    "peer_up",
    "1 for a peer that is up, 0 for one that should be up and is not; left out for one that is \
     unknown, that is being added or checked for the first time and still has its time, or that \
     need not be up.",
);
const PEER_WANTED: Family = gauge(
    "peer_wanted",
    "Whether the peer should be up: it is pinged, being added or gone, or is absent and to be \
     added at start-up.",
);
const PEER_RTT: Family = summary(
    "peer_rtt_seconds",
    "Round trips since the peer was adopted.",
);
const PEER_RTT_LAST: Family = gauge(
    "peer_rtt_last_seconds",
    "The most recent round trip, if the most recent ping was answered.",
);
const PEER_RTT_MIN: Family = gauge(
    "peer_rtt_min_seconds",
    "The shortest round trip since adoption.",
);
const PEER_RTT_MAX: Family = gauge(
    "peer_rtt_max_seconds",
    "The longest round trip since adoption.",
);
const PEER_RTT_SD: Family = gauge(
    "peer_rtt_sd_seconds",
    "The standard deviation of the round trips since adoption.",
);
const PEER_LOST: Family = counter("peer_pings_lost", "Pings lost since adoption.");
const PEER_LOSS: Family = gauge(
    "peer_loss_ratio",
    "The share of pings lost since adoption, 0 to 1.",
);
const PEER_FAILURES: Family = gauge(
    "peer_failures",
    "Failed attempts in the current or most recent check.",
);
const PEER_FAILED_CHECKS: Family = gauge("peer_failed_checks", "Checks that failed in a row.");
const PEER_RECONNECTS: Family = counter(
    "peer_reconnects",
    "Reconnections of the peer begun since adoption.",
);
const PEER_AGE: Family = gauge(
    "peer_age_seconds",
    "Time since the peer was adopted or first seen, or since it was removed, or since the first \
     attempt to add it.",
);

const PEER_LOOKUP_FAILED: Family = gauge(
    "peer_lookup_failed",
    "1 while the peer does not answer and its host name could not be looked up the last time.",
);

const PEER_SCRIPT_FAILED: Family = gauge(
    "peer_script_failed",
    "1 as long as the latest run of this script of the peer is one that failed.",
);

const PEER_SCRIPT_RUNNING: Family = gauge(
    "peer_script_running_seconds",
    "Time for which this script of the peer has run, or waited for others, if that is over a \
     minute or the script cannot be ended.",
);

const PEER_SCRIPT_SURVIVES: Family = gauge(
    "peer_script_survives_seconds",
    "Time since this script of the peer was sent KILL, if it still runs.",
);

fn watched(peer: &PeerStatus) -> bool {
    peer.state.is_adopted()
}

/// Whether a peer is up; `None` if that is not known, or if the peer need not be up.
fn up(peer: &PeerStatus) -> Option<bool> {
    match peer.state {
        PeerState::Up => Some(true),
        PeerState::Unknown => None,
        _ => is_missing(peer).then_some(false),
    }
}

/// The age of a peer that the server has or had, or that the service has tried to add.
fn age(peer: &PeerStatus) -> Option<f64> {
    let known = peer.state.is_present() || peer.connection.removal.is_some();
    let tried = peer.state == PeerState::Adding || peer.age > 0;
    (known || tried).then(|| number(peer.age))
}

/// A count that only peers which are pinged have.
fn counted(peer: &PeerStatus, count: impl Into<u64>) -> Option<f64> {
    watched(peer).then(|| number(count))
}

fn seconds(millis: f64) -> f64 {
    millis / 1000.0
}

/// The samples of a peer that belong to one family.
pub(crate) enum Samples {
    /// A figure, if the peer has it.
    Figure(&'static Family, fn(&PeerStatus) -> Option<f64>),
    /// Any number of samples.
    Others(fn(&PeerStatus, &mut Exposition)),
}

/// The families of each peer, in the order in which they are written.
pub(crate) const FAMILIES: [Samples; 19] = [
    Samples::Others(address),
    Samples::Others(states),
    Samples::Figure(&PEER_UP, |peer| up(peer).map(truth)),
    Samples::Figure(&PEER_WANTED, |peer| Some(truth(peer.wanted))),
    Samples::Others(round_trips),
    Samples::Figure(&PEER_RTT_LAST, |peer| match peer.statistics.last {
        LastPing::Reply(millis) => Some(seconds(millis)),
        LastPing::None | LastPing::Timeout => None,
    }),
    Samples::Figure(&PEER_RTT_MIN, |peer| peer.statistics.min().map(seconds)),
    Samples::Figure(&PEER_RTT_MAX, |peer| peer.statistics.max().map(seconds)),
    Samples::Figure(&PEER_RTT_SD, |peer| {
        peer.statistics.deviation().map(seconds)
    }),
    Samples::Figure(&PEER_LOST, |peer| counted(peer, peer.statistics.lost)),
    Samples::Figure(&PEER_LOSS, |peer| peer.statistics.loss()),
    Samples::Figure(&PEER_FAILURES, |peer| counted(peer, peer.failures)),
    Samples::Figure(&PEER_FAILED_CHECKS, |peer| {
        counted(peer, peer.failed_checks)
    }),
    Samples::Figure(&PEER_RECONNECTS, |peer| {
        counted(peer, peer.connection.reconnects)
    }),
    Samples::Figure(&PEER_AGE, age),
    Samples::Figure(&PEER_LOOKUP_FAILED, |peer| {
        (Hindrance::of(peer) == Some(Hindrance::Failed)).then_some(1.0)
    }),
    Samples::Others(failed_scripts),
    Samples::Others(long_scripts),
    Samples::Others(surviving_scripts),
];

impl Samples {
    /// Writes those of this peer.
    pub(crate) fn write(&self, peer: &PeerStatus, out: &mut Exposition) {
        match self {
            Samples::Figure(family, figure) => {
                if let Some(value) = figure(peer) {
                    out.sample(family, &[("peer", &peer.name)], value);
                }
            }
            Samples::Others(write) => write(peer, out),
        }
    }
}

fn address(peer: &PeerStatus, out: &mut Exposition) {
    let labels = [
        ("peer", &*peer.name),
        ("interface", peer.interface.as_deref().unwrap_or_default()),
        ("address", peer.address.as_deref().unwrap_or_default()),
    ];
    out.sample(&PEER, &labels, 1.0);
}

fn states(peer: &PeerStatus, out: &mut Exposition) {
    for state in PeerState::ALL {
        let labels = [("peer", &*peer.name), ("state", state.as_str())];
        out.sample(&PEER_STATE, &labels, truth(peer.state == state));
    }
}

fn round_trips(peer: &PeerStatus, out: &mut Exposition) {
    if watched(peer) {
        let labels = [("peer", &*peer.name)];
        let count = number(peer.statistics.replies);
        let sum = count * seconds(peer.statistics.mean().unwrap_or_default());
        out.suffixed(&PEER_RTT, "_count", &labels, count);
        out.suffixed(&PEER_RTT, "_sum", &labels, sum);
    }
}

fn failed_scripts(peer: &PeerStatus, out: &mut Exposition) {
    for failed in &peer.scripts.failed {
        let labels = [("peer", &*peer.name), ("script", failed.kind.name())];
        out.sample(&PEER_SCRIPT_FAILED, &labels, 1.0);
    }
}

fn long_scripts(peer: &PeerStatus, out: &mut Exposition) {
    for long in &peer.scripts.long {
        let labels = [("peer", &*peer.name), ("script", long.kind.name())];
        out.sample(&PEER_SCRIPT_RUNNING, &labels, number(long.seconds));
    }
}

fn surviving_scripts(peer: &PeerStatus, out: &mut Exposition) {
    for script in &peer.scripts.long {
        if let Some(since) = script.survives {
            let labels = [("peer", &*peer.name), ("script", script.kind.name())];
            out.sample(&PEER_SCRIPT_SURVIVES, &labels, number(since));
        }
    }
}

/// How many peers are in which state, and how many differ from the database.
pub(crate) fn count(peers: &[PeerStatus], out: &mut Exposition) {
    let count = |is_counted: &dyn Fn(&PeerStatus) -> bool| {
        let count = peers.iter().filter(|peer| is_counted(peer)).count();
        number(u64::try_from(count).unwrap_or(u64::MAX))
    };
    for state in PeerState::ALL {
        let labels = [("state", state.as_str())];
        out.sample(&PEERS, &labels, count(&|peer| peer.state == state));
    }
    for standing in RecordStanding::ALL {
        let labels = [("change", standing.as_str())];
        let is_so = |peer: &PeerStatus| peer.connection.record == Some(standing);
        out.sample(&PEERS_STALE, &labels, count(&is_so));
    }
}
