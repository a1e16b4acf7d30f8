// SPDX-License-Identifier: GPL-3.0-or-later
//! The families of metrics that there are. Each name begins with `tripe_connect_`.

use super::exposition::{Family, Kind};

/// A value that goes up and down.
const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family::new(Kind::Gauge, name, help)
}

/// A number that only grows.
const fn counter(name: &'static str, help: &'static str) -> Family {
    Family::new(Kind::Counter, name, help)
}

/// A count and a sum.
const fn summary(name: &'static str, help: &'static str) -> Family {
    Family::new(Kind::Summary, name, help)
}

/// Labels with the constant value 1.
const fn info(name: &'static str, help: &'static str) -> Family {
    Family::new(Kind::Info, name, help)
}

pub(crate) const UP: Family = gauge("up", "Whether the service answers.");

pub(crate) const BUILD: Family = info("build", "The service's version.");

pub(crate) const UPTIME: Family = gauge("uptime_seconds", "Time since the service started.");

pub(crate) const SERVER_UP: Family = gauge(
    "server_up",
    "Whether the service is connected to the tripe server and has claimed its name.",
);

pub(crate) const SERVER_LOSSES: Family =
    counter("server_losses", "Times the tripe server was lost.");

pub(crate) const HELPER_UP: Family = gauge("helper_up", "Whether the helper is connected.");

pub(crate) const HELPER_RESTARTS: Family =
    counter("helper_restarts", "Times the helper connected anew.");

pub(crate) const HELPER: Family = info("helper", "The helper's version.");

pub(crate) const DATABASE_PEERS: Family = gauge("database_peers", "Peers in the database in use.");

pub(crate) const DATABASE_FAULTY: Family = gauge(
    "database_faulty",
    "Whether the database file as it is now cannot be used.",
);

pub(crate) const RELOADS: Family = counter("database_reloads", "Databases taken up.");

pub(crate) const RELOAD_FAULTS: Family =
    counter("database_faults", "Database files that could not be used.");

pub(crate) const UNREACHABLE: Family = counter("unreachable", "Checks of peers that failed.");

pub(crate) const RECONNECTS: Family = counter(
    "reconnects",
    "Reconnections begun, by themselves or by command.",
);

pub(crate) const SCRIPTS: Family = counter("script_runs", "Scripts that ended, by how they did.");

pub(crate) const SCRIPTS_PENDING: Family =
    gauge("scripts_pending", "Scripts queued and under way.");

pub(crate) const COMMANDS: Family = counter("commands", "Service commands.");

pub(crate) const EVENTS_DROPPED: Family = counter(
    "events_dropped",
    "Events left out for observers that read too slowly.",
);

pub(crate) const PEERS: Family = gauge("peers", "Peers that the server has, by state.");

pub(crate) const PEER: Family = info("peer", "The peer's interface and address.");

pub(crate) const PEER_STATE: Family = gauge(
    "peer_state",
    "1 for the state that the peer is in, 0 for the others.",
);

pub(crate) const PEER_UP: Family = gauge(
    "peer_up",
    "Whether the most recent check of the peer did not fail; only for peers that are pinged.",
);

pub(crate) const PEER_RTT: Family = summary(
    "peer_rtt_seconds",
    "Round trips since the peer was adopted.",
);

pub(crate) const PEER_RTT_LAST: Family = gauge(
    "peer_rtt_last_seconds",
    "The most recent round trip, if the most recent ping was answered.",
);

pub(crate) const PEER_RTT_MIN: Family = gauge(
    "peer_rtt_min_seconds",
    "The shortest round trip since adoption.",
);

pub(crate) const PEER_RTT_MAX: Family = gauge(
    "peer_rtt_max_seconds",
    "The longest round trip since adoption.",
);

pub(crate) const PEER_RTT_SD: Family = gauge(
    "peer_rtt_sd_seconds",
    "The standard deviation of the round trips since adoption.",
);

pub(crate) const PEER_LOST: Family = counter("peer_pings_lost", "Pings lost since adoption.");

pub(crate) const PEER_LOSS: Family = gauge(
    "peer_loss_ratio",
    "The share of pings lost since adoption, 0 to 1.",
);

pub(crate) const PEER_FAILURES: Family = gauge(
    "peer_failures",
    "Failed attempts in the current or most recent check.",
);

pub(crate) const PEER_ROUNDS: Family = gauge("peer_failed_checks", "Checks that failed in a row.");

pub(crate) const PEER_RECONNECTS: Family = counter(
    "peer_reconnects",
    "Reconnections of the peer begun since adoption.",
);

pub(crate) const PEER_AGE: Family = gauge(
    "peer_age_seconds",
    "Time since the peer was adopted, or first seen.",
);
