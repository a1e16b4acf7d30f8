// SPDX-License-Identifier: GPL-3.0-or-later
//! How a peer is pinged, from its record and the defaults.

use connect_ipc::pinger::PingPlan;
use peerdb::Record;
use serde::{Deserialize, Serialize};
use tripe_admin::Interval;

use crate::value::{self, Expected, ValueError};

/// Which of the server's two kinds of ping is used.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PingKind {
    /// `PING`: the transport alone.
    #[default]
    Transport,
    /// `EPING`: through the session keys.
    Encrypted,
}

impl PingKind {
    /// Both kinds.
    const ALL: [PingKind; 2] = [PingKind::Transport, PingKind::Encrypted];

    /// What both are called in a record.
    pub(crate) const NAMES: [&str; 2] = [Self::ALL[0].name(), Self::ALL[1].name()];

    const fn name(self) -> &'static str {
        match self {
            PingKind::Transport => "transport",
            PingKind::Encrypted => "encrypted",
        }
    }

    /// The administration command.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            PingKind::Transport => "PING",
            PingKind::Encrypted => "EPING",
        }
    }
}

/// `every` for peers with a dynamic connection of ours, in seconds (the manual, `every`).
const EVERY_DYNAMIC: u32 = 30;

/// `every` for passive peers, in seconds (the manual, `every`).
const EVERY_PASSIVE: u32 = 5 * 60;

/// `every` for static peers, in seconds. The manual is silent; the original falls back on this.
const EVERY_STATIC: u32 = 2 * 60;

/// `timeout`, in seconds (the manual, `timeout`).
const TIMEOUT: u32 = 10;

/// `retries` (the manual, `retries`).
const RETRIES: u32 = 5;

/// The most attempts accepted. A batch longer than this is surely a mistake: with the default
/// timeout it takes over two hours.
pub(crate) const MAX_RETRIES: u32 = 1_000;

/// `backoff-max` is this many times the longer of `every` and `backoff`: a peer that was away for
/// hours is still checked every two minutes with the default of 30 seconds.
const BACKOFF_MAX_FACTOR: u32 = 4;

/// The shortest of all times of a plan. Zero would ask for pings, or runs of `connect`, without
/// pause: one such record takes all of a processor.
pub(crate) const SHORTEST: Interval = Interval::from_secs(1);

/// Whether a peer is adopted (the manual, "Adoption").
#[must_use]
pub fn is_watched(record: &Record) -> bool {
    record.flag("watch")
}

/// Whether an unreachable peer is reconnected; others are killed (the manual, "Operation"; a
/// `knock` peer connects dynamically too).
#[must_use]
pub fn is_dynamic(record: &Record) -> bool {
    record.get("connect").is_some() || record.get("knock").is_some()
}

/// Whether a server may remove a peer with this record when the other host ends the connection
/// (tripe-admin(5), `ADD`: `-ephemeral`, which `-mobile` implies, and with servers of version 1.5.0
/// `-knock` too).
fn other_host_may_end(record: &Record) -> bool {
    is_ephemeral(record) || record.get("knock").is_some()
}

/// Whether every server removes a peer with this record when the other host ends the connection.
fn is_ephemeral(record: &Record) -> bool {
    record.flag("ephemeral") || record.flag("mobile")
}

/// Whether a peer with this record that was removed, and not by the service, may have left. With
/// most servers a peer that has `knock` alone can only have been removed by a command, which is
/// final; so it counts as one that may have left only if its record asks that it is added again.
#[must_use]
pub fn may_have_left(record: &Record) -> bool {
    let is_to_return = || WhenDead::of(record) == WhenDead::Retry;
    is_ephemeral(record) || other_host_may_end(record) && is_to_return()
}

/// What happens to a peer that was removed because it did not answer, or because the other host has
/// ended the connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WhenDead {
    /// It stays away (the manual, "Operation").
    #[default]
    Kill,
    /// It is added again after a growing pause, if it is on the start-up list.
    Retry,
}

impl WhenDead {
    /// What both are called in a record.
    pub(crate) const NAMES: [&str; 2] = ["kill", "retry"];

    /// What a record asks for (key `when-dead`); any other value counts as none. Only a peer with
    /// an address can be added again. One that is reconnected is not removed for its silence.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let asked = record.get("when-dead") == Some(Self::NAMES[1]);
        let has_address = !record.is_passive() && record.get("peer").is_some();
        let may_be_removed = !is_dynamic(record) || other_host_may_end(record);
        if asked && has_address && may_be_removed {
            WhenDead::Retry
        } else {
            WhenDead::Kill
        }
    }
}

/// The plan for a peer, and everything in the record that could not be used. In place of a time
/// that is too short stands the shortest, and in place of any other the default, so that one bad
/// value does not leave a peer unwatched.
#[must_use]
pub fn ping_plan(record: &Record, fallback: PingKind) -> (PingPlan, PingKind, Vec<ValueError>) {
    let mut faults = Vec::new();
    let mut interval = |key: &str| {
        let interval = value::interval(record, key).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        })?;
        if interval < SHORTEST {
            let value = record.get(key).unwrap_or_default();
            let expected = Expected::LongerInterval(SHORTEST);
            faults.push(value::unexpected(record, key, value, expected));
        }
        Some(interval.max(SHORTEST).seconds())
    };
    let default = if is_dynamic(record) {
        EVERY_DYNAMIC
    } else if record.is_passive() {
        EVERY_PASSIVE
    } else {
        EVERY_STATIC
    };
    let every = interval("every").unwrap_or(default);
    let timeout = interval("timeout").unwrap_or(TIMEOUT);
    let backoff = interval("backoff").unwrap_or(every);
    let longest = every.max(backoff).saturating_mul(BACKOFF_MAX_FACTOR);
    let backoff_max = interval("backoff-max").unwrap_or(longest).max(backoff);
    let retries = value::integer(record, "retries", 1..=MAX_RETRIES).unwrap_or_else(|fault| {
        faults.push(fault);
        None
    });
    let named = |kind: &PingKind| record.get("ping") == Some(kind.name());
    let kind = PingKind::ALL.into_iter().find(named).unwrap_or(fallback);
    let plan = PingPlan {
        every,
        timeout,
        retries: retries.unwrap_or(RETRIES),
        backoff,
        backoff_max,
    };
    (plan, kind, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(pairs: &[(&str, &str)]) -> PingPlan {
        ping_plan(
            &Record::new("p", pairs.iter().copied()),
            PingKind::Transport,
        )
        .0
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let dynamic = plan(&[("connect", "ssh hub"), ("peer", "INET hub 4070")]);
        assert_eq!(
            (dynamic.every, dynamic.timeout, dynamic.retries),
            (30, 10, 5)
        );
        assert_eq!(plan(&[("knock", "me")]).every, 30);
        assert_eq!(plan(&[("peer", "PASSIVE")]).every, 300);
        assert_eq!(plan(&[("peer", "INET hub 4070")]).every, 120);
        assert_eq!((dynamic.backoff, dynamic.backoff_max), (30, 120));
    }

    #[test]
    fn keys_override_them() {
        let chosen = plan(&[
            ("every", "2m"),
            ("timeout", "3"),
            ("retries", "7"),
            ("backoff", "10s"),
            ("backoff-max", "1h"),
        ]);
        assert_eq!(
            chosen,
            PingPlan {
                every: 120,
                timeout: 3,
                retries: 7,
                backoff: 10,
                backoff_max: 3_600
            }
        );
        assert_eq!(
            plan(&[("backoff", "60"), ("backoff-max", "10")]).backoff_max,
            60
        );
    }

    #[test]
    fn times_of_zero_are_named_and_a_second_is_taken() {
        let keys = ["every", "timeout", "backoff", "backoff-max"];
        let record = Record::new("p", keys.map(|key| (key, "0m")));
        let (plan, _, faults) = ping_plan(&record, PingKind::Transport);
        assert_eq!((plan.every, plan.timeout), (1, 1));
        assert_eq!((plan.backoff, plan.backoff_max), (1, 1));
        for (key, fault) in keys.iter().zip(&faults) {
            let text = fault.to_string();
            let start = format!("peer p has {key} = \"0m\", where a time interval of at least 1 s");
            assert!(text.starts_with(&start), "{text}");
        }
        assert_eq!(faults.len(), keys.len());
        let pairs = [("backoff", "5"), ("backoff-max", "0")];
        let (plan, ..) = ping_plan(&Record::new("p", pairs), PingKind::Transport);
        let longest = plan.backoff_max;
        assert_eq!(longest, 5, "never below the first pause");
    }

    #[test]
    fn a_bad_value_is_named_and_the_default_taken() {
        let record = Record::new(
            "p",
            [("every", "soon"), ("retries", "0"), ("peer", "PASSIVE")],
        );
        let (plan, _, faults) = ping_plan(&record, PingKind::Transport);
        assert_eq!((plan.every, plan.retries), (300, 5));
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(
            texts[0].contains("peer p has every = \"soon\""),
            "{texts:?}"
        );
        assert!(texts[1].contains("peer p has retries = \"0\""), "{texts:?}");
    }

    #[test]
    fn encrypted_pings_are_chosen_by_key_or_for_all() {
        let kind = |pairs: &[(&str, &str)], fallback| {
            ping_plan(&Record::new("p", pairs.iter().copied()), fallback).1
        };
        assert_eq!(kind(&[], PingKind::Transport), PingKind::Transport);
        assert_eq!(kind(&[], PingKind::Encrypted), PingKind::Encrypted);
        assert_eq!(
            kind(&[("ping", "encrypted")], PingKind::Transport),
            PingKind::Encrypted
        );
        assert_eq!(
            kind(&[("ping", "transport")], PingKind::Encrypted),
            PingKind::Transport
        );
    }
}
