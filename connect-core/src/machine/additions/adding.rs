// SPDX-License-Identifier: GPL-3.0-or-later
//! Adding a peer to the server, for `active`, `passive`, knocks and the start-up list.
//!
//! ```text
//!   add() --present already--> KILL --answered--> ADD --ok, failed--> requesters are told
//!     +-----not present--------------------------->+
//! ```

use connect_policy::adding::{NoAddress, address, arguments, options};
use tripe_admin::Failure;

use super::Adding;
use crate::machine::Machine;
use crate::machine::requester::Requester;
use crate::machine::server::Pending;

impl Machine {
    /// The server is lost: nothing is added, and no greeting will come.
    pub(in crate::machine) fn fail_additions(&mut self, words: &[String]) {
        // If the same server is joined again, nobody else adds these.
        self.inheritance.waiting.starting = self.starting_left();
        for (name, adding) in std::mem::take(&mut self.additions.under_way) {
            for requester in adding.requesters {
                self.reply_failed(&requester, &name, words);
            }
        }
        for greeting in std::mem::take(&mut self.additions.greetings) {
            self.reply_failed(&greeting.requester, &greeting.peer, words);
        }
    }

    /// Ends waits for greetings that have not come, adds peers again that did not answer, and
    /// applies more changes of the database.
    pub(in crate::machine) fn tend_additions(&mut self) {
        self.expire_greetings();
        self.tend_revivals();
        self.tend_lookups();
        self.apply_more();
    }

    /// Adds a peer at the address in its record (the manual, `active`).
    pub(in crate::machine) fn add_active(&mut self, name: &str, requester: Requester) {
        let Some(record) = self.database.current.peer(name) else {
            return self.reply_failed(&requester, name, ["unknown-peer", name]);
        };
        match address(record) {
            Ok(address) => self.add(name, address, requester),
            Err(NoAddress::Passive) => self.reply_failed(&requester, name, ["passive-peer", name]),
            Err(NoAddress::Missing) => {
                let failure = ["malformed-peer", name, "missing-key", "peer"];
                self.reply_failed(&requester, name, failure);
            }
            Err(NoAddress::Blank) => {
                let failure = ["malformed-peer", name, "bad-value", "peer"];
                self.reply_failed(&requester, name, failure);
            }
        }
    }

    /// Adds a peer at `address`. If the server already has a peer of that name, it is removed
    /// first, so that a connection can always be made again.
    pub(in crate::machine) fn add(
        &mut self,
        name: &str,
        address: Vec<String>,
        requester: Requester,
    ) {
        if !self.server.is_connected() {
            return self.reply_failed(&requester, name, ["server-unavailable"]);
        }
        let Some(record) = self.database.current.peer(name) else {
            return self.reply_failed(&requester, name, ["unknown-peer", name]);
        };
        let options = match options(record) {
            Ok(options) => options,
            Err(error) => {
                tracing::warn!(peer = name, %error, "cannot add the peer");
                let failure = ["malformed-peer", name, "bad-value", &error.key];
                return self.reply_failed(&requester, name, failure);
            }
        };
        if let Some(adding) = self.additions.under_way.get_mut(name) {
            if adding.address == address {
                // The same addition was requested twice: it is made once, and both requesters are
                // told.
                adding.requesters.push(requester);
            } else {
                self.reply_failed(&requester, name, ["peer-exists", name]);
            }
            return;
        }
        let not_up = self.not_up_since(name);
        if not_up.is_none() && self.peers.find(name).is_some() {
            // It was up until now.
            self.additions.attempts.end(name);
        }
        self.additions.attempts.begin(name, not_up, self.now);
        let adding = Adding {
            // If somebody else has added the peer meanwhile, it stays as it is.
            retried: requester == Requester::Revival,
            requesters: vec![requester],
            address,
            options,
        };
        self.additions.under_way.insert(name.to_owned(), adding);
        if self.peers.find(name).is_some() {
            self.kill_before_add(name);
        } else {
            self.submit_add(name);
        }
    }

    fn kill_before_add(&mut self, name: &str) {
        let context = Pending::KillBeforeAdd(name.to_owned());
        if !self.command_with_options(context, "KILL", name) {
            self.submit_add(name);
        }
    }

    /// Sends the `ADD`.
    pub(in crate::machine) fn submit_add(&mut self, name: &str) {
        let Some(adding) = self.additions.under_way.get(name) else {
            return;
        };
        let words = arguments(&adding.options, name, &adding.address);
        if let Err(error) =
            self.server
                .session
                .background(Pending::Add(name.to_owned()), "ADD", words)
        {
            tracing::warn!(peer = name, %error, "cannot add the peer");
            self.end_add(
                name,
                &Err(Failure::new(["command-not-sent", &error.to_string()])),
            );
        }
    }

    /// The server has answered the `ADD`.
    pub(in crate::machine) fn add_answered(&mut self, name: &str, result: &Result<(), Failure>) {
        if let Err(failure) = result
            && failure.code() == "peer-exists"
            && let Some(adding) = self.additions.under_way.get_mut(name)
            && !std::mem::replace(&mut adding.retried, true)
        {
            // Somebody else added it at the same moment.
            return self.kill_before_add(name);
        }
        self.end_add(name, result);
    }

    fn end_add(&mut self, name: &str, result: &Result<(), Failure>) {
        let Some(adding) = self.additions.under_way.remove(name) else {
            return;
        };
        for requester in adding.requesters {
            match result {
                Ok(()) => self.reply_done(&requester),
                Err(failure) => self.reply_failed(&requester, name, failure.words()),
            }
        }
    }
}
