// SPDX-License-Identifier: GPL-3.0-or-later
//! Hooks: what is run for a peer that has come to be connected (`on-up`), and for one that was and
//! is not any more (`on-down`), and the variables that say what has happened.

use connect_ipc::event::{DownReason, UpReason};
use connect_ipc::scripts::{Command, ScriptKind};
use peerdb::Record;
use serde::{Deserialize, Serialize};
use tripe_admin::Words;

use crate::environment::environment;
use crate::scripts::Script;
use crate::value::{self, ValueError};

/// The version of the table of variables. It changes when a variable goes or means something else,
/// and not when one is added.
pub const VERSION: u32 = 1;

/// The variables that a hook gets beside those from the record and from `ALGS`, and what each says.
/// All of them are always set; one that is not known is empty.
pub const VARIABLES: [(&str, &str); 9] = [
    ("H_VERSION", "the version of this table, 1"),
    ("H_EVENT", "`up` or `down`"),
    ("H_REASON", "why: one of the words below"),
    ("H_TIME", "when it happened, in seconds since 1970"),
    (
        "H_SINCE",
        "since when the peer did not answer, in seconds since 1970",
    ),
    (
        "H_ROUNDS",
        "how many checks in a row had failed, each of `retries` pings",
    ),
    (
        "H_ADDRESS",
        "the peer's address, as in `INET 192.0.2.2 4070`",
    ),
    ("H_INTERFACE", "the peer's network interface"),
    (
        "H_RTT",
        "the round-trip time in milliseconds: for `on-up` that of the reply because of which it is \
         run, for `on-down` the mean of all replies",
    ),
];

/// Why a hook is run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The peer is up.
    Up(UpReason),
    /// The peer is not up any more.
    Down(DownReason),
}

impl Reason {
    /// The word for it in `H_REASON`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Reason::Up(reason) => reason.as_str(),
            Reason::Down(reason) => reason.as_str(),
        }
    }

    /// The word for what has happened, in `H_EVENT`.
    const fn event(self) -> &'static str {
        match self {
            Reason::Up(_) => "up",
            Reason::Down(_) => "down",
        }
    }
}

/// What a hook is run for.
#[derive(Clone, Debug, PartialEq)]
pub struct Occasion {
    /// Why.
    pub reason: Reason,
    /// When it happened, in seconds since 1970.
    pub time: u64,
    /// Since when the peer did not answer, in seconds since 1970.
    pub since: Option<u64>,
    /// How many checks in a row had failed.
    pub rounds: u32,
    /// The peer's address in words, quoted as one line; empty if it is not known.
    pub address: String,
    /// Its interface; empty if it is not known.
    pub interface: String,
    /// A round-trip time in milliseconds.
    pub rtt: Option<f64>,
}

impl Occasion {
    /// The variables, in the order of [`VARIABLES`].
    fn variables(&self) -> impl Iterator<Item = (String, String)> {
        let values = [
            VERSION.to_string(),
            self.reason.event().to_owned(),
            self.reason.word().to_owned(),
            self.time.to_string(),
            self.since.map_or_else(String::new, |it| it.to_string()),
            self.rounds.to_string(),
            self.address.clone(),
            self.interface.clone(),
            self.rtt.map_or_else(String::new, |rtt| format!("{rtt:.1}")),
        ];
        let names = VARIABLES.iter().map(|(name, _)| (*name).to_owned());
        names.zip(values)
    }
}

/// The hooks of peers whose record names none (`--on-up` and `--on-down`).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct DefaultHooks {
    /// The program and its arguments for a peer that has come to be connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_up: Option<String>,
    /// The same for one that is not connected any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_down: Option<String>,
}

impl DefaultHooks {
    /// Whether there is none.
    #[must_use]
    pub const fn are_none(&self) -> bool {
        self.on_up.is_none() && self.on_down.is_none()
    }

    fn get(&self, kind: ScriptKind) -> Option<&str> {
        match kind {
            ScriptKind::OnUp => self.on_up.as_deref(),
            ScriptKind::OnDown => self.on_down.as_deref(),
            _ => None,
        }
    }

    /// Whether a peer with this record has a hook of this kind.
    #[must_use]
    pub fn has(&self, record: &Record, kind: ScriptKind) -> bool {
        self.get(kind).is_some() || record.get(kind.name()).is_some()
    }

    /// Whether a peer with this record has any hook.
    #[must_use]
    pub fn has_any(&self, record: &Record) -> bool {
        let mut kinds = [ScriptKind::OnUp, ScriptKind::OnDown].into_iter();
        kinds.any(|kind| self.has(record, kind))
    }
}

/// A hook of a peer: the words of its record, or those for all peers, and the peer's name after
/// them; `None` if there is none.
///
/// # Errors
/// [`ValueError`] if the value of the record cannot be executed.
pub fn script(
    record: &Record,
    defaults: &DefaultHooks,
    kind: ScriptKind,
    algorithms: &[(String, String)],
    occasion: &Occasion,
) -> Result<Option<Script>, ValueError> {
    let Some(mut words) = words(record, defaults, kind)? else {
        return Ok(None);
    };
    words.push(record.name().to_owned());
    let mut environment = environment(record, algorithms);
    environment.extend(occasion.variables());
    Ok(Some(Script {
        command: Command::Exec(words),
        environment,
    }))
}

fn words(
    record: &Record,
    defaults: &DefaultHooks,
    kind: ScriptKind,
) -> Result<Option<Vec<String>>, ValueError> {
    let own = value::words(record, kind.name())?;
    let default = || defaults.get(kind).map(|line| Words::new(line).owned());
    Ok(own.or_else(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occasion() -> Occasion {
        Occasion {
            reason: Reason::Up(UpReason::Recovered),
            time: 1_000,
            since: Some(940),
            rounds: 2,
            address: "INET 192.0.2.1 4070".to_owned(),
            interface: "tun0".to_owned(),
            rtt: Some(12.34),
        }
    }

    #[test]
    fn a_hook_gets_the_peer_and_what_happened() {
        let record = Record::new("p", [("on-up", "/bin/tell 'a b'"), ("site", "north")]);
        let algorithms = [("cipher".to_owned(), "aes".to_owned())];
        let none = DefaultHooks::default();
        let made = script(&record, &none, ScriptKind::OnUp, &algorithms, &occasion());
        let made = made.unwrap().unwrap();
        let words = ["/bin/tell", "a b", "p"].map(str::to_owned);
        assert_eq!(made.command, Command::Exec(words.to_vec()));
        let shown: Vec<String> = made
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let expected = [
            "P_ON_UP=/bin/tell 'a b'",
            "P_SITE=north",
            "A_CIPHER=aes",
            "H_VERSION=1",
            "H_EVENT=up",
            "H_REASON=recovered",
            "H_TIME=1000",
            "H_SINCE=940",
            "H_ROUNDS=2",
            "H_ADDRESS=INET 192.0.2.1 4070",
            "H_INTERFACE=tun0",
            "H_RTT=12.3",
        ];
        assert_eq!(shown, expected);
        let down = script(&record, &none, ScriptKind::OnDown, &algorithms, &occasion());
        assert_eq!(down.unwrap(), None);
    }

    #[test]
    fn what_is_not_known_is_empty() {
        let unknown = Occasion {
            reason: Reason::Down(DownReason::Unseen),
            since: None,
            rtt: None,
            address: String::new(),
            interface: String::new(),
            ..occasion()
        };
        let variables: Vec<_> = unknown.variables().collect();
        assert_eq!(variables.len(), VARIABLES.len());
        for (name, value) in variables {
            let is_unknown = ["H_SINCE", "H_ADDRESS", "H_INTERFACE", "H_RTT"];
            assert_eq!(
                value.is_empty(),
                is_unknown.contains(&name.as_str()),
                "{name}={value}"
            );
        }
    }

    #[test]
    fn a_record_without_a_hook_has_that_for_all_peers() {
        let defaults = DefaultHooks {
            on_up: Some("/bin/all x".to_owned()),
            on_down: None,
        };
        let command = |pairs: &[(&str, &str)], kind| {
            let record = Record::new("p", pairs.iter().copied());
            let made = script(&record, &defaults, kind, &[], &occasion());
            match made.unwrap()?.command {
                Command::Exec(words) => Some(words.join(" ")),
                Command::Shell(_) => None,
            }
        };
        let (up, down) = (ScriptKind::OnUp, ScriptKind::OnDown);
        assert_eq!(command(&[], up).as_deref(), Some("/bin/all x p"));
        let own = [("on-up", "/bin/own"), ("on-down", "/bin/bye")];
        assert_eq!(command(&own, up).as_deref(), Some("/bin/own p"));
        assert_eq!(command(&own, down).as_deref(), Some("/bin/bye p"));
        assert_eq!(command(&[], down), None);
        let empty = Record::new("p", [("on-up", " ")]);
        let refused = script(&empty, &defaults, up, &[], &occasion());
        assert!(refused.is_err(), "{refused:?}");
        assert!(defaults.has_any(&empty) && !defaults.has(&empty, down));
        assert!(DefaultHooks::default().has(&empty, up));
        assert!(DefaultHooks::default().are_none() && !defaults.are_none());
    }

    #[test]
    fn the_page_has_each_variable_and_each_reason() {
        let page = include_str!("../../../docs/reference/hooks.md");
        assert!(page.contains(&format!("version {VERSION}")));
        for (name, meaning) in VARIABLES {
            let row = format!("| `{name}` | {meaning} |");
            assert!(page.contains(&row), "no row {row}");
        }
        let ups = UpReason::ALL.map(Reason::Up);
        let downs = DownReason::ALL.map(Reason::Down);
        for reason in ups.into_iter().chain(downs) {
            let row = format!("| `{}` |", reason.word());
            assert!(page.contains(&row), "no row {row}");
        }
    }
}
