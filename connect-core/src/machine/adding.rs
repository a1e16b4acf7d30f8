// SPDX-License-Identifier: GPL-3.0-or-later
//! Adding a peer to the server, for `active`, `passive`, knocks and the start-up list.
//!
//! ```text
//!   add() --present already--> KILL --answered--> ADD --ok, failed--> askers are told
//!     +-----not present--------------------------->+
//! ```

use connect_ipc::control::ServerLink;
use connect_plan::adding::{NoAddress, address, arguments, options};
use peerdb::ValueError;
use tripe_admin::Failure;

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

impl Machine {
    /// Adds a peer at the address in its record (connect(8), `active`).
    pub(super) fn add_active(&mut self, name: &str, asker: Asker) {
        let Some(record) = self.database.current.peer(name) else {
            return self.reply_failed(&asker, name, ["unknown-peer", name]);
        };
        match address(record) {
            Ok(address) => self.add(name, address, asker),
            Err(NoAddress::Passive) => self.reply_failed(&asker, name, ["passive-peer", name]),
            Err(NoAddress::Missing) => {
                let failure = ["malformed-peer", name, "missing-key", "peer"];
                self.reply_failed(&asker, name, failure);
            }
            Err(NoAddress::Blank) => {
                let failure = ["malformed-peer", name, "bad-value", "peer"];
                self.reply_failed(&asker, name, failure);
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
        let words = arguments(&adding.options, name, &adding.address);
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
