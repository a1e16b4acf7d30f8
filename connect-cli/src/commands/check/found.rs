// SPDX-License-Identifier: GPL-3.0-or-later
//! What `check` has found, and how bad it is.

use connect_ipc::control::{DatabaseOrigin, PeerState, PeerStatus, ServerLink, ServiceStatus};
use connect_ipc::statistics::LastPing;
use connect_runtime::exit::Exit;

use crate::error::Error;
use crate::output::knock_text;
use crate::output::status_text;
use crate::output::summary::is_missing;
use crate::output::text;

/// How bad it is; the worst comes last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Status {
    Ok,
    Warning,
    Unknown,
    Critical,
}

impl Status {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Warning => "WARNING",
            Status::Unknown => "UNKNOWN",
            Status::Critical => "CRITICAL",
        }
    }

    /// The exit code of a plugin.
    pub(super) fn end(self) -> Result<Exit, Error> {
        Err(Error::Status(match self {
            Status::Ok => return Ok(Exit::Success),
            Status::Warning => 1,
            Status::Critical => 2,
            Status::Unknown => 3,
        }))
    }
}

/// What was found, and the figures.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) problems: Vec<(Status, String)>,
    /// How many peers should be up.
    pub(super) wanted: usize,
    /// How many of them are.
    pub(super) up: usize,
    /// Those of them that are not, each with its state. A peer that is just being added or checked
    /// does not count as up, nor is it here.
    pub(super) missing: Vec<String>,
    pub(super) rtt: Option<f64>,
    pub(super) loss: Option<f64>,
}

impl Found {
    pub(super) fn add(&mut self, status: Status, problem: String) {
        self.problems.push((status, problem));
    }

    /// What is wrong with the service.
    pub(super) fn service(&mut self, service: &ServiceStatus) {
        let works = service.server == ServerLink::Up
            && service.checks.overdue.is_none()
            && service.checks.server_silent.is_none()
            && service.database.origin != DatabaseOrigin::None
            && [&service.pinger, &service.scripts.helper]
                .into_iter()
                .all(|helper| helper.connected && helper.silent.is_none());
        let status = if works {
            Status::Warning
        } else {
            Status::Critical
        };
        for fault in status_text::faults(service) {
            self.add(status, fault);
        }
        if let Some(refused) = knock_text::counted(service) {
            self.add(Status::Warning, refused);
        }
    }

    pub(super) fn peer(&mut self, peer: &PeerStatus, named: bool) {
        let missing = match peer.state {
            PeerState::Unwatched if named => {
                let problem = format!("the service does not ping {}", peer.name);
                return self.add(Status::Unknown, problem);
            }
            PeerState::Up => false,
            PeerState::Checking | PeerState::Adding => is_missing(peer),
            _ => named || is_missing(peer),
        };
        self.wanted += 1;
        self.up += usize::from(peer.state == PeerState::Up);
        if missing {
            let state = peer.state.as_str();
            self.missing.push(format!("{} {state}", peer.name));
        }
        let larger = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        self.rtt = larger(self.rtt, rtt(peer));
        self.loss = larger(self.loss, loss(peer));
        for script in &peer.scripts.long {
            let (kind, time) = (script.kind.name(), text::span(script.seconds));
            let what = if script.pid.is_some() {
                "running"
            } else {
                "waiting"
            };
            let problem = format!("{kind} of {} has been {what} for {time}", peer.name);
            self.add(Status::Warning, problem);
        }
        for script in &peer.scripts.failed {
            let problem = format!("{} of {} failed", script.kind.name(), peer.name);
            self.add(Status::Warning, problem);
        }
    }
}

/// The latest round trip, if the last ping was answered.
pub(super) fn rtt(peer: &PeerStatus) -> Option<f64> {
    match peer.statistics.last {
        LastPing::Reply(millis) => Some(millis),
        LastPing::None | LastPing::Timeout => None,
    }
}

/// The share of lost pings, in percent.
pub(super) fn loss(peer: &PeerStatus) -> Option<f64> {
    peer.statistics.loss().map(|share| share * 100.0)
}
