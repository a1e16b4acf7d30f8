// SPDX-License-Identifier: GPL-3.0-or-later
//! The families of metrics that there are.

use super::exposition::{Family, Kind};

pub(crate) const UP: Family = Family {
    name: "tripe_connect_up",
    kind: Kind::Gauge,
    unit: None,
    help: "Whether the service answers.",
};

pub(crate) const BUILD: Family = Family {
    name: "tripe_connect_build",
    kind: Kind::Info,
    unit: None,
    help: "The service's version.",
};

pub(crate) const UPTIME: Family = Family {
    name: "tripe_connect_uptime_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "Time since the service started.",
};

pub(crate) const SERVER_UP: Family = Family {
    name: "tripe_connect_server_up",
    kind: Kind::Gauge,
    unit: None,
    help: "Whether the service is connected to the tripe server and has claimed its name.",
};

pub(crate) const SERVER_LOSSES: Family = Family {
    name: "tripe_connect_server_losses",
    kind: Kind::Counter,
    unit: None,
    help: "Times the tripe server was lost.",
};

pub(crate) const HELPER_UP: Family = Family {
    name: "tripe_connect_helper_up",
    kind: Kind::Gauge,
    unit: None,
    help: "Whether the helper is connected.",
};

pub(crate) const HELPER_RESTARTS: Family = Family {
    name: "tripe_connect_helper_restarts",
    kind: Kind::Counter,
    unit: None,
    help: "Times the helper connected anew.",
};

pub(crate) const HELPER: Family = Family {
    name: "tripe_connect_helper",
    kind: Kind::Info,
    unit: None,
    help: "The helper's version.",
};

pub(crate) const DATABASE_PEERS: Family = Family {
    name: "tripe_connect_database_peers",
    kind: Kind::Gauge,
    unit: None,
    help: "Peers in the database in use.",
};

pub(crate) const DATABASE_FAULTY: Family = Family {
    name: "tripe_connect_database_faulty",
    kind: Kind::Gauge,
    unit: None,
    help: "Whether the database file as it is now cannot be used.",
};

pub(crate) const RELOADS: Family = Family {
    name: "tripe_connect_database_reloads",
    kind: Kind::Counter,
    unit: None,
    help: "Databases taken up.",
};

pub(crate) const RELOAD_FAULTS: Family = Family {
    name: "tripe_connect_database_faults",
    kind: Kind::Counter,
    unit: None,
    help: "Database files that could not be used.",
};

pub(crate) const UNREACHABLE: Family = Family {
    name: "tripe_connect_unreachable",
    kind: Kind::Counter,
    unit: None,
    help: "Checks of peers that failed.",
};

pub(crate) const RECONNECTS: Family = Family {
    name: "tripe_connect_reconnects",
    kind: Kind::Counter,
    unit: None,
    help: "Reconnections begun, by themselves or by command.",
};

pub(crate) const SCRIPTS: Family = Family {
    name: "tripe_connect_script_runs",
    kind: Kind::Counter,
    unit: None,
    help: "Scripts that ended, by how they did.",
};

pub(crate) const SCRIPTS_PENDING: Family = Family {
    name: "tripe_connect_scripts_pending",
    kind: Kind::Gauge,
    unit: None,
    help: "Scripts queued and under way.",
};

pub(crate) const COMMANDS: Family = Family {
    name: "tripe_connect_commands",
    kind: Kind::Counter,
    unit: None,
    help: "Service commands.",
};

pub(crate) const EVENTS_DROPPED: Family = Family {
    name: "tripe_connect_events_dropped",
    kind: Kind::Counter,
    unit: None,
    help: "Events left out for observers that read too slowly.",
};

pub(crate) const PEERS: Family = Family {
    name: "tripe_connect_peers",
    kind: Kind::Gauge,
    unit: None,
    help: "Peers that the server has, by state.",
};

pub(crate) const PEER: Family = Family {
    name: "tripe_connect_peer",
    kind: Kind::Info,
    unit: None,
    help: "The peer's interface and address.",
};

pub(crate) const PEER_STATE: Family = Family {
    name: "tripe_connect_peer_state",
    kind: Kind::Gauge,
    unit: None,
    help: "1 for the state that the peer is in, 0 for the others.",
};

pub(crate) const PEER_UP: Family = Family {
    name: "tripe_connect_peer_up",
    kind: Kind::Gauge,
    unit: None,
    help: "Whether the most recent check of the peer did not fail; only for peers that are pinged.",
};

pub(crate) const PEER_RTT: Family = Family {
    name: "tripe_connect_peer_rtt_seconds",
    kind: Kind::Summary,
    unit: Some("seconds"),
    help: "Round trips since the peer was adopted.",
};

pub(crate) const PEER_RTT_LAST: Family = Family {
    name: "tripe_connect_peer_rtt_last_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "The most recent round trip, if the most recent ping was answered.",
};

pub(crate) const PEER_RTT_MIN: Family = Family {
    name: "tripe_connect_peer_rtt_min_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "The shortest round trip since adoption.",
};

pub(crate) const PEER_RTT_MAX: Family = Family {
    name: "tripe_connect_peer_rtt_max_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "The longest round trip since adoption.",
};

pub(crate) const PEER_RTT_SD: Family = Family {
    name: "tripe_connect_peer_rtt_sd_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "The standard deviation of the round trips since adoption.",
};

pub(crate) const PEER_LOST: Family = Family {
    name: "tripe_connect_peer_pings_lost",
    kind: Kind::Counter,
    unit: None,
    help: "Pings lost since adoption.",
};

pub(crate) const PEER_LOSS: Family = Family {
    name: "tripe_connect_peer_loss_ratio",
    kind: Kind::Gauge,
    unit: Some("ratio"),
    help: "The share of pings lost since adoption, 0 to 1.",
};

pub(crate) const PEER_FAILURES: Family = Family {
    name: "tripe_connect_peer_failures",
    kind: Kind::Gauge,
    unit: None,
    help: "Failed attempts in the current or most recent check.",
};

pub(crate) const PEER_ROUNDS: Family = Family {
    name: "tripe_connect_peer_failed_checks",
    kind: Kind::Gauge,
    unit: None,
    help: "Checks that failed in a row.",
};

pub(crate) const PEER_RECONNECTS: Family = Family {
    name: "tripe_connect_peer_reconnects",
    kind: Kind::Counter,
    unit: None,
    help: "Reconnections of the peer begun since adoption.",
};

pub(crate) const PEER_AGE: Family = Family {
    name: "tripe_connect_peer_age_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "Time since the peer was adopted, or first seen.",
};
