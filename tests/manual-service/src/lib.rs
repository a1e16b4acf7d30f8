// SPDX-License-Identifier: GPL-3.0-or-later
//! The service as the manual describes it, in one slow process without cleverness, written from the
//! manual alone. It runs in the same simulated world as the product, and what both say is compared.
//!
//! ```text
//!   lines of the server --> [server] --> [adoption] [commands] [dynamic] --> lines to the server
//!   children, time      --> [pinging] [interfaces] [dynamic] [messages]  --> children to start
//! ```
//!
//! Each function names the section of the manual that it carries out. Where the manual is silent,
//! a comment says so, and the plainest thing is done.

mod adoption;
mod commands;
mod dynamic;
mod interfaces;
mod io;
mod messages;
mod pinging;
mod server;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use peerdb::{Database, Record};

pub use io::{Child, ChildOrder, Input, Kind, Output, Stream};

/// The service.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// The version under which the service is claimed.
    version: String,
    /// Whether the server has just been started (`--startup`).
    startup: bool,
    /// The peer database.
    database: Option<Arc<Database>>,
    /// The time, in nanoseconds.
    now: u64,
    /// The last number that was given to a command, a child or a peer.
    number: u64,
    /// Commands that the server has not finished, in the order in which they were sent.
    commands: Vec<server::Command>,
    /// The peers that the server has.
    present: BTreeMap<String, adoption::Present>,
    /// The list of peers that the service has adopted.
    adopted: BTreeMap<String, pinging::Pinging>,
    /// Challenges that were given out for peers that are to greet.
    greetings: Vec<dynamic::Greeting>,
    /// The children that live, and whether each has written a challenge.
    children: Vec<(ChildOrder, bool)>,
    /// What is to be done.
    out: Vec<Output>,
}

impl Service {
    /// The service before it is connected to a server.
    #[must_use]
    pub fn new(version: &str) -> Self {
        Service {
            version: version.to_owned(),
            ..Service::default()
        }
    }

    /// Does what follows from `input`, which comes at `now_ns`.
    pub fn handle(&mut self, input: Input<'_>, now_ns: u64, out: &mut Vec<Output>) {
        self.now = now_ns;
        match input {
            Input::Start { startup } => self.start(startup),
            Input::Line(line) => self.line(line),
            Input::Lost => self.lost(),
            Input::Database(database) => self.database(database),
            Input::Child(id, what) => self.child(id, &what),
            Input::Time => {}
        }
        self.begin_checks();
        self.give_up_greetings();
        out.append(&mut self.out);
    }

    /// When the service has something to do even if nothing happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let checks = self.adopted.values().filter_map(pinging::Pinging::deadline);
        let greetings = self.greetings.iter().map(|greeting| greeting.until);
        checks.chain(greetings).min()
    }

    /// A number that nothing else has.
    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// The database record of a peer.
    fn record(&self, peer: &str) -> Option<Record> {
        self.database.as_ref()?.peer(peer).cloned()
    }

    /// The manual does not say what happens to peers, jobs and children when the connection to the
    /// server is lost: all that is known of the server is forgotten, and children are left alone.
    fn lost(&mut self) {
        self.commands.clear();
        self.present.clear();
        self.adopted.clear();
        self.greetings.clear();
    }
}
