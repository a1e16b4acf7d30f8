// SPDX-License-Identifier: GPL-3.0-or-later
//! P6: arguments and environment of each script that is ordered are what the record, `IFNAME`,
//! `ADDR` and `ALGS` say, by the manual, "Configuring interfaces" and "Dynamic connection", and for
//! hooks by docs/reference/hooks.md.
//!
//! The rule judges only the keys that have the same value in all records that the peer has had.

use std::collections::{BTreeMap, BTreeSet};

use connect_ipc::scripts::{Command, Run, ScriptKind};
use connect_ipc::setup::Pair;
use connect_policy::hooks::VARIABLES;
use tripe_admin::{Note, split};

use super::records::Records;
use super::tap::Fact;
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::promise::Promise;
use crate::seen::Seen;

/// How many values of each kind are remembered: what has just changed may come too late for a
/// script that is being ordered.
const REMEMBERED: usize = 4;

/// What the server has said of a peer, the latest last.
#[derive(Clone, Debug, Default)]
struct Said {
    addresses: Vec<(Instant, Vec<String>)>,
    interfaces: Vec<(Instant, String)>,
    /// Its algorithms, and whether they are still being told.
    algorithms: BTreeMap<String, String>,
}

/// What the server has said of all peers.
#[derive(Debug, Default)]
pub(super) struct Facts {
    peers: BTreeMap<String, Said>,
}

impl Rule for Facts {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.fact {
            Some(Fact::Note(note)) => self.noted(now.at, note),
            Some(Fact::Info(command, words)) => {
                let said = self.of(command.word(0));
                match command.verb.as_str() {
                    "ADDR" => push(&mut said.addresses, now.at, words.clone()),
                    "IFNAME" => push(&mut said.interfaces, now.at, words.concat()),
                    "ALGS" => {
                        let pairs = words.iter().filter_map(|word| word.split_once('='));
                        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
                        said.algorithms.extend(pairs);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        match now.seen {
            Seen::Ordered(run) if !now.records.may_be_foreign => self.ordered(now.records, run),
            _ => Ok(()),
        }
    }
}

/// Notes a value, unless it is the last one still: a peer that is added again and again has the
/// same ones, and a script may be ordered again that was for a peer of before.
fn push<T: PartialEq>(values: &mut Vec<(Instant, T)>, at: Instant, value: T) {
    if values.last().is_some_and(|(_, last)| *last == value) {
        return;
    }
    values.push((at, value));
    if values.len() > REMEMBERED {
        values.remove(0);
    }
}

impl Facts {
    fn of(&mut self, peer: &str) -> &mut Said {
        self.peers.entry(peer.to_owned()).or_default()
    }

    fn noted(&mut self, at: Instant, note: &Note) {
        match note {
            Note::Add {
                peer,
                ifname,
                address,
            } => {
                let said = self.of(peer);
                push(&mut said.addresses, at, address.words().to_vec());
                push(&mut said.interfaces, at, ifname.clone());
            }
            Note::NewAddr { peer, address } => {
                push(&mut self.of(peer).addresses, at, address.words().to_vec());
            }
            Note::NewIfname { peer, new, .. } => {
                push(&mut self.of(peer).interfaces, at, new.clone());
            }
            _ => {}
        }
    }

    fn ordered(&self, records: &Records, run: &Run) -> Verdict {
        let (kind, peer) = (run.kind.name(), &run.peer);
        let broken = |text: String| Err((Promise::ScriptFacts, format!("{kind} {peer}: {text}")));
        let Some(value) = records.fixed(peer, kind) else {
            return Ok(());
        };
        let arguments = match (&run.command, run.kind) {
            (Command::Shell(line), ScriptKind::Connect | ScriptKind::Disconnect) => {
                if line != value {
                    return broken(format!("`{line}', but the record says `{value}'"));
                }
                return Ok(());
            }
            (
                Command::Exec(words),
                ScriptKind::Ifup | ScriptKind::Ifdown | ScriptKind::OnUp | ScriptKind::OnDown,
            ) => words,
            (command, _) => return broken(format!("{command:?}")),
        };
        let mut own = split(value);
        own.push(peer.clone());
        let Some(rest) = arguments.strip_prefix(own.as_slice()) else {
            return broken(format!("{arguments:?} do not begin with {own:?}"));
        };
        let said = self.peers.get(peer);
        let is_right = match (run.kind, rest) {
            (ScriptKind::Ifdown | ScriptKind::OnUp | ScriptKind::OnDown, rest) => rest.is_empty(),
            (_, [interface, address @ ..]) => said.is_some_and(|said| {
                said.interfaces.iter().any(|(_, name)| name == interface)
                    && said.addresses.iter().any(|(_, words)| words == address)
            }),
            (_, []) => false,
        };
        if !is_right {
            return broken(format!("{rest:?}, but the server says {said:?}"));
        }
        self.environment(records, run).or_else(broken)?;
        match run.kind.pair() {
            Pair::Hooks => self.occasion(run).or_else(broken),
            Pair::Interface | Pair::Connection => Ok(()),
        }
    }

    /// Holds what a hook is told against the page of the variables and what the server says.
    fn occasion(&self, run: &Run) -> Result<(), String> {
        let given = run
            .environment
            .iter()
            .filter(|(name, _)| name.starts_with("H_"));
        let names: Vec<&str> = given.clone().map(|(name, _)| name.as_str()).collect();
        let wanted: Vec<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
        if names != wanted {
            return Err(format!("{names:?}, and the page says {wanted:?}"));
        }
        let value = |wanted: &str| {
            let found = given.clone().find(|(name, _)| name == wanted);
            found.map_or("", |(_, value)| value.as_str())
        };
        let event = if run.kind == ScriptKind::OnUp {
            "up"
        } else {
            "down"
        };
        if value("H_EVENT") != event {
            return Err(format!("H_EVENT is {}", value("H_EVENT")));
        }
        let (address, interface) = (value("H_ADDRESS"), value("H_INTERFACE"));
        // What was not seen may be long ago.
        if value("H_REASON") == "unseen" {
            return Ok(());
        }
        let said = self.peers.get(&run.peer).cloned().unwrap_or_default();
        let has_address = said
            .addresses
            .iter()
            .any(|(_, words)| *words == split(address));
        let has_interface = said.interfaces.iter().any(|(_, name)| name == interface);
        if (address.is_empty() || has_address) && (interface.is_empty() || has_interface) {
            return Ok(());
        }
        Err(format!(
            "{interface}, {address}, but the server says {said:?}"
        ))
    }

    /// Holds the environment against the record and the algorithms.
    fn environment(&self, records: &Records, run: &Run) -> Result<(), String> {
        let is_ours = |name: &str| name.starts_with("P_") || name.starts_with("A_");
        let given = run.environment.iter();
        let given: BTreeMap<&str, &str> = given
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| is_ours(name))
            .collect();
        let mut allowed = BTreeSet::new();
        let mut wanted: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (key, value) in records.keys(&run.peer) {
            let name = variable('P', key);
            if let Some(value) = value {
                wanted.entry(name.clone()).or_default().insert(value);
            }
            allowed.insert(name);
        }
        let said = self.peers.get(&run.peer);
        for (key, value) in said.iter().flat_map(|said| &said.algorithms) {
            let name = variable('A', key);
            // Those of an earlier peer of the name may have been others.
            if given.contains_key(name.as_str()) {
                wanted.entry(name.clone()).or_default().insert(value);
            }
            allowed.insert(name);
        }
        if let Some(name) = given.keys().find(|name| !allowed.contains(**name)) {
            return Err(format!("{name} stands in no record"));
        }
        let wrong = wanted.iter().find(|(name, values)| {
            let given = given.get(name.as_str());
            // Two keys that make the same name have one value.
            given.is_none_or(|given| !values.contains(given))
        });
        match wrong {
            None => Ok(()),
            Some((name, values)) => {
                let given = given.get(name.as_str());
                Err(format!(
                    "{name} is {given:?}, and the record says {values:?}"
                ))
            }
        }
    }
}

/// The name of the variable of a key: letters in upper case, each sequence of other characters than
/// letters and digits an underscore.
fn variable(prefix: char, key: &str) -> String {
    let mut name = format!("{prefix}_");
    let mut in_word = true;
    for c in key.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_uppercase());
            in_word = true;
        } else if in_word {
            name.push('_');
            in_word = false;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use connect_ipc::RunId;

    use super::super::testing::Sight;
    use super::*;

    const RECORDS: &[(&str, &[(&str, &str)])] = &[("p", &[("ifup", "up 'a b'"), ("x - y", "1")])];

    fn order(words: &[&str], environment: &[(&str, &str)]) -> Verdict {
        let mut sight = Sight::new::<Facts>(RECORDS);
        sight.lines(&["< NOTE ADD p tripe0 INET 198.18.0.1 4070"]);
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let run = Run {
            run: RunId(1),
            peer: "p".to_owned(),
            kind: ScriptKind::Ifup,
            command: Command::Exec(words.iter().map(|word| (*word).to_owned()).collect()),
            environment: environment.iter().map(own).collect(),
            limit: None,
            setup: None,
            undoes: Vec::new(),
        };
        sight.see(Seen::Ordered(&run))
    }

    const WORDS: [&str; 7] = ["up", "a b", "p", "tripe0", "INET", "198.18.0.1", "4070"];
    const VARIABLES: [(&str, &str); 2] = [("P_IFUP", "up 'a b'"), ("P_X_Y", "1")];

    #[test]
    fn what_the_record_says_keeps_it() {
        assert_eq!(order(&WORDS, &VARIABLES), Ok(()));
    }

    #[test]
    fn anything_else_breaks_it() {
        let mut other = WORDS;
        other[3] = "tripe1";
        let wrong = [("P_IFUP", "up 'a b'"), ("P_X___Y", "1")];
        for broken in [order(&other, &VARIABLES), order(&WORDS, &wrong)] {
            assert!(matches!(broken, Err((Promise::ScriptFacts, _))));
        }
    }
}
