// SPDX-License-Identifier: GPL-3.0-or-later
//! Configuring interfaces: the words of the scripts, their arguments and their environment.

use std::collections::BTreeMap;

use peerdb::Record;

use crate::Service;
use crate::io::Kind;
use crate::words::split;

impl Service {
    /// The manual, "Configuring interfaces": an `ifup` script is invoked as script, args, the name
    /// of the peer, the name of its network interface, and its address, whose first word is a
    /// network address family.
    pub(crate) fn configure(&mut self, peer: &str) {
        if let Some((_, _, facts)) = self.present.get(peer).cloned() {
            let rest = [&[peer.to_owned()], facts[..2].concat().as_slice()].concat();
            self.run_script(Kind::Ifup, peer, &rest, &facts);
        }
    }

    /// The manual, "Configuring interfaces": an `ifdown` script is invoked in a similar manner, as
    /// script, args, and the name of the peer.
    pub(crate) fn deconfigure(&mut self, peer: &str, facts: &[Vec<String>]) {
        self.run_script(Kind::Ifdown, peer, &[peer.to_owned()], facts);
    }

    /// The manual, "Configuring interfaces": the peer's database record is retrieved; the value
    /// assigned to the key is split into words. If the key is absent, no action is taken.
    fn run_script(&mut self, kind: Kind, peer: &str, rest: &[String], facts: &[Vec<String>]) {
        let record = self.record(peer);
        let value = record.as_ref().and_then(|record| record.get(kind.name()));
        let argv = split(value.unwrap_or_default());
        // The manual does not say what a value without words means: no action is taken either.
        if let Some(record) = record.filter(|_| !argv.is_empty()) {
            let environment = environment(&record, facts);
            self.spawn(kind, peer, [&argv, rest].concat(), environment);
        }
    }
}

/// The manual, "Configuring interfaces": the key/value pairs in the record and the response to the
/// `ALGS` command are passed as environment variables, with the prefix `P_` or `A_`.
fn environment(record: &Record, facts: &[Vec<String>]) -> BTreeMap<String, String> {
    let algorithms = facts.get(2).into_iter().flatten();
    let algorithms = algorithms.filter_map(|word| word.split_once('='));
    let algorithms = algorithms.map(|(key, value)| (variable("A_", key), value.to_owned()));
    let record = record.iter();
    let record = record.map(|(key, value)| (variable("P_", key), value.to_owned()));
    record.chain(algorithms).collect()
}

/// The manual, "Configuring interfaces": convert all letters to upper-case; convert all sequences
/// of one or more non-alphanumeric characters to an underscore; prefix the resulting name.
fn variable(prefix: &str, key: &str) -> String {
    let mut name = prefix.to_owned();
    for c in key.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_uppercase());
        } else if name == prefix || !name.ends_with('_') {
            name.push('_');
        }
    }
    name
}
