// SPDX-License-Identifier: GPL-3.0-or-later
//! Adding a peer to the server, for `active`, `passive`, knocks and the start-up list.
//!
//! ```text
//!   add() --present already--> KILL --answered--> ADD --ok, failed--> askers are told
//!     +-----not present--------------------------->+
//! ```

use connect_ipc::control::ServerLink;
use peerdb::{Record, ValueError};
use tripe_admin::{Failure, Words};

use super::Machine;
use super::context::{Asker, Context};

/// An addition under way.
#[derive(Debug)]
pub(super) struct Adding {
    /// Everybody who asked for just this.
    pub(super) askers: Vec<Asker>,
    address: Vec<String>,
    options: Vec<String>,
    /// Whether the name was found taken once already; a second time is somebody else's doing.
    retried: bool,
}

/// The options of `ADD` for a record (connect(8), `active`).
fn options(record: &Record) -> Result<Vec<String>, ValueError> {
    let mut options = Vec::new();
    for key in ["tunnel", "keepalive", "key", "priv", "knock"] {
        if let Some(value) = record.text(key)? {
            options.extend([format!("-{key}"), value.to_owned()]);
        }
    }
    let flags = ["cork", "mobile", "ephemeral"]
        .into_iter()
        .filter(|key| record.flag(key));
    options.extend(flags.map(|key| format!("-{key}")));
    Ok(options)
}

impl Machine {
    /// Adds a peer at the address in its record (connect(8), `active`).
    pub(super) fn add_active(&mut self, name: &str, asker: Asker) {
        let Some(record) = self.database.current.peer(name) else {
            return self.reply_failed(&asker, name, ["unknown-peer", name]);
        };
        if record.is_passive() {
            return self.reply_failed(&asker, name, ["passive-peer", name]);
        }
        match record.get("peer") {
            None => self.reply_failed(
                &asker,
                name,
                ["malformed-peer", name, "missing-key", "peer"],
            ),
            Some(value) => {
                let address: Vec<String> = Words::new(value).owned();
                if address.is_empty() {
                    return self.reply_failed(
                        &asker,
                        name,
                        ["malformed-peer", name, "bad-value", "peer"],
                    );
                }
                self.add(name, address, asker);
            }
        }
    }

    /// Adds a peer at `address`. A peer of that name which the server has already is removed
    /// first, so that a connection can always be made anew.
    pub(super) fn add(&mut self, name: &str, address: Vec<String>, asker: Asker) {
        if self.link == ServerLink::Down {
            return self.reply_failed(&asker, name, ["server-unavailable"]);
        }
        let Some(record) = self.database.current.peer(name) else {
            return self.reply_failed(&asker, name, ["unknown-peer", name]);
        };
        let options = match options(record) {
            Ok(options) => options,
            Err(error) => {
                tracing::warn!("{error}");
                let key = match error {
                    ValueError::Missing { key, .. } | ValueError::Unexpected { key, .. } => key,
                };
                let failure = ["malformed-peer", name, "bad-value", &key];
                return self.reply_failed(&asker, name, failure);
            }
        };
        if let Some(adding) = self.adding.get_mut(name) {
            if adding.address == address {
                // Asked twice for the same thing: done once, and both are told.
                adding.askers.push(asker);
            } else {
                self.reply_failed(&asker, name, ["peer-exists", name]);
            }
            return;
        }
        let adding = Adding {
            askers: vec![asker],
            address,
            options,
            retried: false,
        };
        self.adding.insert(name.to_owned(), adding);
        if self.peers.find(name).is_some() {
            self.kill_before_add(name);
        } else {
            self.submit_add(name);
        }
    }

    fn kill_before_add(&mut self, name: &str) {
        let context = Context::KillBeforeAdd(name.to_owned());
        if !self.command_on_peer(context, "KILL", name) {
            self.submit_add(name);
        }
    }

    /// Sends the `ADD`.
    pub(super) fn submit_add(&mut self, name: &str) {
        let Some(adding) = self.adding.get(name) else {
            return;
        };
        // A name that looks like an option must be told apart from one.
        let end_of_options = name.starts_with('-').then_some("--");
        let words = adding
            .options
            .iter()
            .map(String::as_str)
            .chain(end_of_options)
            .chain([name])
            .chain(adding.address.iter().map(String::as_str));
        if let Err(error) = self
            .session
            .background(Context::Add(name.to_owned()), "ADD", words)
        {
            tracing::warn!(peer = name, "cannot add the peer: {error}");
            self.end_add(
                name,
                &Err(Failure::new(["command-not-sent", &error.to_string()])),
            );
        }
    }

    /// The server has answered the `ADD`.
    pub(super) fn added(&mut self, name: &str, result: &Result<(), Failure>) {
        if let Err(failure) = result
            && failure.code() == "peer-exists"
            && let Some(adding) = self.adding.get_mut(name)
            && !std::mem::replace(&mut adding.retried, true)
        {
            // Somebody else added it at the same moment.
            return self.kill_before_add(name);
        }
        self.end_add(name, result);
    }

    fn end_add(&mut self, name: &str, result: &Result<(), Failure>) {
        let Some(adding) = self.adding.remove(name) else {
            return;
        };
        for asker in adding.askers {
            match result {
                Ok(()) => self.reply_done(&asker),
                Err(failure) => self.reply_failed(&asker, name, failure.words()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_the_manual_is_made_from_its_key() {
        let record = Record::new(
            "p",
            [
                ("cork", "yes"),
                ("keepalive", "30s"),
                ("key", "k"),
                ("priv", "v"),
                ("mobile", "on"),
                ("tunnel", "slip"),
                ("knock", "me.k"),
                ("ephemeral", "t"),
            ],
        );
        assert_eq!(
            options(&record).unwrap(),
            [
                "-tunnel",
                "slip",
                "-keepalive",
                "30s",
                "-key",
                "k",
                "-priv",
                "v",
                "-knock",
                "me.k",
                "-cork",
                "-mobile",
                "-ephemeral"
            ]
        );
        let record = Record::new("p", [("cork", "no"), ("mobile", "1"), ("ephemeral", "")]);
        assert_eq!(options(&record).unwrap(), [""; 0]);
        assert!(options(&Record::new("p", [("key", "a\nb")])).is_err());
    }
}
