// SPDX-License-Identifier: GPL-3.0-or-later
//! The families of metrics that there are.

use super::exposition::{Family, Kind};

pub(super) const UP: Family = Family {
    name: "tripe_connect_up",
    kind: Kind::Gauge,
    unit: None,
    help: "Whether the service answers.",
};

pub(super) const BUILD: Family = Family {
    name: "tripe_connect_build",
    kind: Kind::Info,
    unit: None,
    help: "The service's version.",
};

pub(super) const UPTIME: Family = Family {
    name: "tripe_connect_uptime_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "Time since the service started.",
};

pub(super) const SERVER_UP: Family = Family {
    name: "tripe_connect_server_up",
    kind: Kind::Gauge,
    unit: None,
    help: "Whether the service is connected to the tripe server and has claimed its name.",
};

pub(super) const SERVER_LOSSES: Family = Family {
    name: "tripe_connect_server_losses",
    kind: Kind::Counter,
    unit: None,
    help: "Times the tripe server was lost.",
};

pub(super) const HELPER_UP: Family = Family {
    name: "tripe_connect_helper_up",
    kind: Kind::Gauge,
    unit: None,
    help: "Whether the helper is connected.",
};

pub(super) const HELPER_RESTARTS: Family = Family {
    name: "tripe_connect_helper_restarts",
    kind: Kind::Counter,
    unit: None,
    help: "Times the helper connected anew.",
};

pub(super) const HELPER: Family = Family {
    name: "tripe_connect_helper",
    kind: Kind::Info,
    unit: None,
    help: "The helper's version.",
};

pub(super) const DATABASE_PEERS: Family = Family {
    name: "tripe_connect_database_peers",
    kind: Kind::Gauge,
    unit: None,
    help: "Peers in the database in use.",
};

pub(super) const DATABASE_FAULTY: Family = Family {
    name: "tripe_connect_database_faulty",
    kind: Kind::Gauge,
    unit: None,
    help: "Whether the database file as it is now cannot be used.",
};

pub(super) const RELOADS: Family = Family {
    name: "tripe_connect_database_reloads",
    kind: Kind::Counter,
    unit: None,
    help: "Databases taken up.",
};

pub(super) const RELOAD_FAULTS: Family = Family {
    name: "tripe_connect_database_faults",
    kind: Kind::Counter,
    unit: None,
    help: "Database files that could not be used.",
};

pub(super) const UNREACHABLE: Family = Family {
    name: "tripe_connect_unreachable",
    kind: Kind::Counter,
    unit: None,
    help: "Checks of peers that failed.",
};

pub(super) const RECONNECTS: Family = Family {
    name: "tripe_connect_reconnects",
    kind: Kind::Counter,
    unit: None,
    help: "Reconnections begun, by themselves or by command.",
};

pub(super) const SCRIPTS: Family = Family {
    name: "tripe_connect_script_runs",
    kind: Kind::Counter,
    unit: None,
    help: "Scripts that ended, by how they did.",
};

pub(super) const SCRIPTS_PENDING: Family = Family {
    name: "tripe_connect_scripts_pending",
    kind: Kind::Gauge,
    unit: None,
    help: "Scripts queued and under way.",
};

pub(super) const COMMANDS: Family = Family {
    name: "tripe_connect_commands",
    kind: Kind::Counter,
    unit: None,
    help: "Service commands.",
};

pub(super) const EVENTS_DROPPED: Family = Family {
    name: "tripe_connect_events_dropped",
    kind: Kind::Counter,
    unit: None,
    help: "Events left out for observers that read too slowly.",
};

pub(super) const PEERS: Family = Family {
    name: "tripe_connect_peers",
    kind: Kind::Gauge,
    unit: None,
    help: "Peers that the server has, by state.",
};

pub(super) const PEER: Family = Family {
    name: "tripe_connect_peer",
    kind: Kind::Info,
    unit: None,
    help: "The peer's interface and address.",
};

pub(super) const PEER_STATE: Family = Family {
    name: "tripe_connect_peer_state",
    kind: Kind::Gauge,
    unit: None,
    help: "1 for the state that the peer is in, 0 for the others.",
};

pub(super) const PEER_UP: Family = Family {
    name: "tripe_connect_peer_up",
    kind: Kind::Gauge,
    unit: None,
    help: "Whether the most recent check of the peer did not fail; only for peers that are pinged.",
};

pub(super) const PEER_RTT: Family = Family {
    name: "tripe_connect_peer_rtt_seconds",
    kind: Kind::Summary,
    unit: Some("seconds"),
    help: "Round trips since the peer was adopted.",
};

pub(super) const PEER_RTT_LAST: Family = Family {
    name: "tripe_connect_peer_rtt_last_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "The most recent round trip, if the most recent ping was answered.",
};

pub(super) const PEER_RTT_MIN: Family = Family {
    name: "tripe_connect_peer_rtt_min_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "The shortest round trip since adoption.",
};

pub(super) const PEER_RTT_MAX: Family = Family {
    name: "tripe_connect_peer_rtt_max_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "The longest round trip since adoption.",
};

pub(super) const PEER_RTT_SD: Family = Family {
    name: "tripe_connect_peer_rtt_sd_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "The standard deviation of the round trips since adoption.",
};

pub(super) const PEER_LOST: Family = Family {
    name: "tripe_connect_peer_pings_lost",
    kind: Kind::Counter,
    unit: None,
    help: "Pings lost since adoption.",
};

pub(super) const PEER_LOSS: Family = Family {
    name: "tripe_connect_peer_loss_ratio",
    kind: Kind::Gauge,
    unit: Some("ratio"),
    help: "The share of pings lost since adoption, 0 to 1.",
};

pub(super) const PEER_FAILURES: Family = Family {
    name: "tripe_connect_peer_failures",
    kind: Kind::Gauge,
    unit: None,
    help: "Failed attempts in the current or most recent check.",
};

pub(super) const PEER_ROUNDS: Family = Family {
    name: "tripe_connect_peer_failed_checks",
    kind: Kind::Gauge,
    unit: None,
    help: "Checks that failed in a row.",
};

pub(super) const PEER_RECONNECTS: Family = Family {
    name: "tripe_connect_peer_reconnects",
    kind: Kind::Counter,
    unit: None,
    help: "Reconnections of the peer begun since adoption.",
};

pub(super) const PEER_AGE: Family = Family {
    name: "tripe_connect_peer_age_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "Time since the peer was adopted, or first seen.",
};
