// SPDX-License-Identifier: GPL-3.0-or-later
//! The metrics of each peer.

use connect_ipc::changes::RecordStanding;
use connect_ipc::control::{PeerState, PeerStatus};
use connect_ipc::statistics::LastPing;

use super::exposition::{Exposition, Family, counter, gauge, info, number, summary, truth};
use crate::output::summary::is_missing;

const PEERS: Family = gauge(
    "peers",
    "Peers that the server has or that are expected, by state.",
);
const PEERS_STALE: Family = gauge(
    "peers_record_changed",
    "Peers that are not as the database has them: with values of an earlier record (changed), \
     without a record (struck), or to be added at start-up and not there (new).",
);
const PEER: Family = info("peer", "The peer's interface and address.");
const PEER_STATE: Family = gauge(
    "peer_state",
    "1 for the state that the peer is in, 0 for the others.",
);
const PEER_UP: Family = gauge(
    "peer_up",
    "1 for a peer that is up, 0 for one that should be and is not; not for others, nor before the \
     first check has ended.",
);
const PEER_WANTED: Family = gauge(
    "peer_wanted",
    "Whether the peer should be up: it is adopted, being added or gone, or is to be added at \
     start-up.",
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
    "Time since the peer was adopted or first seen, or since it was removed, or since its addition \
     was first tried.",
);

const PEER_SCRIPT_FAILED: Family = gauge(
    "peer_script_failed",
    "1 while the latest run of the script of the peer did not end well.",
);

const PEER_SCRIPT_RUNNING: Family = gauge(
    "peer_script_running_seconds",
    "Time for which the script of the peer has run, or waited for others, if that is over a \
     minute.",
);

/// What a figure of a peer is, if it has it.
type Figure = fn(&PeerStatus) -> Option<f64>;

fn watched(peer: &PeerStatus) -> bool {
    peer.state.is_adopted()
}

/// Whether a peer is up; `None` if that is not known, or if it need not be.
fn up(peer: &PeerStatus) -> Option<bool> {
    match peer.state {
        PeerState::Up => Some(true),
        PeerState::Unknown => None,
        _ => is_missing(peer).then_some(false),
    }
}

/// The age of a peer that is or was there, or that it was tried to add.
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

/// The figures of peers that are one sample each.
const FIGURES: [(&Family, Figure); 10] = [
    (&PEER_RTT_LAST, |peer| match peer.statistics.last {
        LastPing::Reply(millis) => Some(seconds(millis)),
        LastPing::None | LastPing::Timeout => None,
    }),
    (&PEER_RTT_MIN, |peer| peer.statistics.min().map(seconds)),
    (&PEER_RTT_MAX, |peer| peer.statistics.max().map(seconds)),
    (&PEER_RTT_SD, |peer| {
        peer.statistics.deviation().map(seconds)
    }),
    (&PEER_LOST, |peer| counted(peer, peer.statistics.lost)),
    (&PEER_LOSS, |peer| peer.statistics.loss()),
    (&PEER_FAILURES, |peer| counted(peer, peer.failures)),
    (&PEER_FAILED_CHECKS, |peer| {
        counted(peer, peer.failed_checks)
    }),
    (&PEER_RECONNECTS, |peer| {
        counted(peer, peer.connection.reconnects)
    }),
    (&PEER_AGE, age),
];

/// How many peers are not as the database has them.
fn collect_standings(peers: &[PeerStatus], out: &mut Exposition) {
    for standing in RecordStanding::ALL {
        let count = peers
            .iter()
            .filter(|peer| peer.connection.record == Some(standing));
        let count = u64::try_from(count.count()).unwrap_or(u64::MAX);
        let labels = [("change", standing.as_str())];
        out.sample(&PEERS_STALE, &labels, number(count));
    }
}

/// All metrics of peers.
pub(crate) fn collect(peers: &[PeerStatus], out: &mut Exposition) {
    for state in PeerState::ALL {
        let count = peers.iter().filter(|peer| peer.state == state);
        let count = u64::try_from(count.count()).unwrap_or(u64::MAX);
        out.sample(&PEERS, &[("state", state.as_str())], number(count));
    }
    collect_standings(peers, out);
    for peer in peers {
        let labels = [
            ("peer", &*peer.name),
            ("interface", peer.interface.as_deref().unwrap_or_default()),
            ("address", peer.address.as_deref().unwrap_or_default()),
        ];
        out.sample(&PEER, &labels, 1.0);
    }
    for peer in peers {
        for state in PeerState::ALL {
            let labels = [("peer", &*peer.name), ("state", state.as_str())];
            out.sample(&PEER_STATE, &labels, truth(peer.state == state));
        }
    }
    for peer in peers {
        if let Some(up) = up(peer) {
            out.sample(&PEER_UP, &[("peer", &peer.name)], truth(up));
        }
    }
    for peer in peers {
        let labels = [("peer", &*peer.name)];
        out.sample(&PEER_WANTED, &labels, truth(peer.wanted));
    }
    for peer in peers.iter().filter(|peer| watched(peer)) {
        let labels = [("peer", &*peer.name)];
        let count = number(peer.statistics.replies);
        let sum = count * seconds(peer.statistics.mean().unwrap_or_default());
        out.suffixed(&PEER_RTT, "_count", &labels, count);
        out.suffixed(&PEER_RTT, "_sum", &labels, sum);
    }
    for (family, figure) in FIGURES {
        for peer in peers {
            if let Some(value) = figure(peer) {
                out.sample(family, &[("peer", &peer.name)], value);
            }
        }
    }
    for peer in peers {
        for failed in &peer.scripts.failed {
            let labels = [("peer", &*peer.name), ("script", failed.kind.name())];
            out.sample(&PEER_SCRIPT_FAILED, &labels, 1.0);
        }
    }
    for peer in peers {
        for long in &peer.scripts.long {
            let labels = [("peer", &*peer.name), ("script", long.kind.name())];
            out.sample(&PEER_SCRIPT_RUNNING, &labels, number(long.seconds));
        }
    }
}
