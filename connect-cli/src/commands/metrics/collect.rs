// SPDX-License-Identifier: GPL-3.0-or-later
//! From the state of the service to metrics.

use connect_ipc::control::{HelperStatus, PeerState, PeerStatus, ServerLink, ServiceStatus};
use connect_ipc::statistics::LastPing;

use super::exposition::{Exposition, Family, Form};
use super::families::{
    BUILD, COMMANDS, DATABASE_FAULTY, DATABASE_PEERS, EVENTS_DROPPED, HELPER, HELPER_RESTARTS,
    HELPER_UP, PEER, PEER_AGE, PEER_FAILURES, PEER_LOSS, PEER_LOST, PEER_RECONNECTS, PEER_ROUNDS,
    PEER_RTT, PEER_RTT_LAST, PEER_RTT_MAX, PEER_RTT_MIN, PEER_RTT_SD, PEER_STATE, PEER_UP, PEERS,
    RECONNECTS, RELOAD_FAULTS, RELOADS, SCRIPTS, SCRIPTS_PENDING, SERVER_LOSSES, SERVER_UP,
    UNREACHABLE, UP, UPTIME,
};
use crate::client::connection::ControlError;
use crate::client::requests;
use crate::common::Common;
use crate::output::status_text;

/// The states of a peer, as `status` has them.
const STATES: [&str; 4] = ["idle", "check", "down", "unwatched"];

/// Counts as what the formats know, floating point.
#[expect(
    clippy::cast_precision_loss,
    reason = "nothing is counted beyond 2^53 in the life of a process"
)]
fn number(count: u64) -> f64 {
    count as f64
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// The metrics as they are now, and why they are so few if the service does not answer.
pub(crate) async fn text(common: &Common, form: Form) -> (String, Option<ControlError>) {
    let state = match common.observe().await {
        Ok(mut control) => requests::status(&mut control).await,
        Err(error) => Err(error),
    };
    let mut exposition = Exposition::new(form);
    collect(state.as_ref().ok(), &mut exposition);
    (exposition.finish(), state.err())
}

/// All metrics, or the one that says that the service does not answer.
fn collect(state: Option<&(ServiceStatus, Vec<PeerStatus>)>, out: &mut Exposition) {
    out.sample(&UP, &[], truth(state.is_some()));
    if let Some((service, peers)) = state {
        collect_service(service, out);
        collect_peers(peers, out);
    }
}

fn collect_service(service: &ServiceStatus, out: &mut Exposition) {
    let counters = &service.counters;
    let schema = service.schema.to_string();
    let build = [("version", &*service.version), ("schema", &schema)];
    out.sample(&BUILD, &build, 1.0);
    out.sample(&UPTIME, &[], number(service.uptime));
    let up = service.server == ServerLink::Up;
    out.sample(&SERVER_UP, &[], truth(up));
    out.sample(&SERVER_LOSSES, &[], number(counters.server_losses));
    let helpers = [("pinger", &service.pinger), ("scripts", &service.scripts)];
    let each = |family, value: fn(&HelperStatus) -> f64, out: &mut Exposition| {
        for (name, helper) in helpers {
            out.sample(family, &[("helper", name)], value(helper));
        }
    };
    each(&HELPER_UP, |helper| truth(helper.connected), out);
    let restarts = |helper: &HelperStatus| number(helper.connections.saturating_sub(1));
    each(&HELPER_RESTARTS, restarts, out);
    for (name, helper) in helpers {
        if let Some(version) = &helper.version {
            out.sample(&HELPER, &[("helper", name), ("version", version)], 1.0);
        }
    }
    out.sample(&DATABASE_PEERS, &[], number(service.database.peers));
    let faulty = service.database.fault.is_some();
    out.sample(&DATABASE_FAULTY, &[], truth(faulty));
    for (family, count) in [
        (&RELOADS, counters.reloads),
        (&RELOAD_FAULTS, counters.reload_faults),
        (&UNREACHABLE, counters.unreachable),
        (&RECONNECTS, counters.reconnects),
    ] {
        out.sample(family, &[], number(count));
    }
    for (result, count) in [
        ("ok", counters.scripts_ok),
        ("failed", counters.scripts_failed),
        ("timed-out", counters.scripts_timed_out),
        ("lost", counters.scripts_lost),
    ] {
        out.sample(&SCRIPTS, &[("result", result)], number(count));
    }
    for (family, count) in [
        (&SCRIPTS_PENDING, counters.scripts_pending),
        (&COMMANDS, counters.commands),
        (&EVENTS_DROPPED, counters.events_dropped),
    ] {
        out.sample(family, &[], number(count));
    }
}

/// What a figure of a peer is, if it has it.
type Figure = fn(&PeerStatus) -> Option<f64>;

fn watched(peer: &PeerStatus) -> bool {
    peer.state != PeerState::Unwatched
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
    (&PEER_LOST, |peer| {
        watched(peer).then(|| number(peer.statistics.lost))
    }),
    (&PEER_LOSS, |peer| peer.statistics.loss()),
    (&PEER_FAILURES, |peer| {
        watched(peer).then(|| peer.failures.into())
    }),
    (&PEER_ROUNDS, |peer| {
        watched(peer).then(|| peer.rounds.into())
    }),
    (&PEER_RECONNECTS, |peer| {
        watched(peer).then(|| peer.reconnects.into())
    }),
    (&PEER_AGE, |peer| Some(number(peer.age))),
];

fn collect_peers(peers: &[PeerStatus], out: &mut Exposition) {
    for state in STATES {
        let count = peers
            .iter()
            .filter(|peer| status_text::state(peer).0 == state);
        let count = u64::try_from(count.count()).unwrap_or(u64::MAX);
        out.sample(&PEERS, &[("state", state)], number(count));
    }
    for peer in peers {
        let labels = [
            ("peer", &*peer.name),
            ("interface", peer.interface.as_deref().unwrap_or_default()),
            ("address", peer.address.as_deref().unwrap_or_default()),
        ];
        out.sample(&PEER, &labels, 1.0);
    }
    for peer in peers {
        for state in STATES {
            let is = status_text::state(peer).0 == state;
            let labels = [("peer", &*peer.name), ("state", state)];
            out.sample(&PEER_STATE, &labels, truth(is));
        }
    }
    for peer in peers.iter().filter(|peer| watched(peer)) {
        let up = peer.rounds == 0;
        out.sample(&PEER_UP, &[("peer", &peer.name)], truth(up));
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
}
