// SPDX-License-Identifier: GPL-3.0-or-later
//! What the world tells those who judge it. They see lines between the server and its clients,
//! what is true in the world, and what the machines show to everybody; never a machine's fields.

use std::net::SocketAddr;
use std::time::Duration;

use connect_core::machine::ConnectionId;
use connect_ifscripts::ledger::Ledger;
use connect_ifscripts::outbox::Outbox;
use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{Answer, Envelope, PeerRows};
use connect_ipc::event::Event;
use connect_ipc::lookup::Found;
use connect_ipc::scripts::{Ended, Run};
use tripe_lab::server::{ClientId, Server};

use crate::instant::Instant;
use crate::plan::{Fault, HostId, Part};
use crate::promise::Broken;
use crate::world::Truth;

/// Who is at the other end of an admin connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Who {
    /// Core, in this of its lives.
    Core(u32),
    /// The service of the manual.
    Manual,
    /// Somebody who submits commands to the service.
    Submitter,
    /// Somebody who adds and removes peers.
    Administrator,
    /// Somebody who claims the service.
    Rival,
    /// The script of a partner's host.
    Script(HostId),
}

/// Something that happened at a host.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// The server read this line of a client.
    Wrote(ClientId, &'a str),
    /// A client read this line of the server.
    Heard(ClientId, &'a str),
    /// The server broadcast this line, to whoever listens.
    Broadcast(&'a str),
    /// A client connected to the server.
    Opened(ClientId, Who),
    /// A connection to the server ended, for its client.
    Ended(ClientId),
    /// The partner of this peer, which is reached by a host name, is there from now on.
    Place(&'a str, SocketAddr),
    /// Core gets the result of a lookup of a peer's host name.
    LookedUp(&'a str, &'a Found),
    /// Core cannot tell which run of the server it has met.
    Uncertain,
    /// Another program provides the service from now on. If it is an older one than core, core can
    /// claim the service again, and keeps its state.
    Displaced {
        /// Whether it is newer than core.
        by_newer: bool,
    },
    /// A fault was carried out.
    Fault(&'a Fault),
    /// A process was started. The number says how often until now.
    Lives(Part, u32),
    /// A process has ended.
    Died(Part),
    /// A process is suspended until then.
    Stands(Part, Instant),
    /// The host has slept for this time.
    Slept(Duration),
    /// Core has this helper started again.
    RestartedHelper(Part),
    /// Core sent this order of a run to the script helper.
    Ordered(&'a Run),
    /// The script helper made the child of a run.
    Started(RunId, &'a Run),
    /// The child of a run could not be made.
    NotStarted(&'a Run),
    /// The child of a run has ended, whether or not somebody knows.
    ChildEnded(RunId, &'a Ended),
    /// Core read this request.
    Asked(ConnectionId, &'a Envelope),
    /// An operator or observer read this answer.
    Replied(ConnectionId, &'a Answer),
    /// Operators or observers read these rows, as answers to these requests.
    Rows(&'a [(ConnectionId, u64)], &'a PeerRows),
    /// An observer read this event.
    Event(ConnectionId, &'a Event),
    /// An operator or observer reads from now on, or does not.
    Reading(ConnectionId, bool),
    /// The connection of an operator or observer has ended.
    Gone(ConnectionId),
    /// A process has had a turn.
    Turn {
        /// Which.
        part: Part,
        /// How many outputs it had.
        outputs: usize,
    },
    /// A minute has passed.
    Minute(View<'a>),
    /// An hour has passed.
    Hour(View<'a>),
    /// The run is over.
    End(View<'a>),
}

/// How a host is at an instant. A process that does not live is not there.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What the host's clock shows.
    pub now: Monotonic,
    /// The server.
    pub server: Option<&'a Server>,
    /// Core.
    pub core: Option<&'a connect_core::machine::Machine>,
    /// The pinger.
    pub pinger: Option<&'a connect_pinger::machine::Machine>,
    /// The script helper, and what it has for core.
    pub scripts: Option<(&'a connect_ifscripts::machine::Machine, &'a Outbox)>,
    /// What the journal of scripts says.
    pub ledger: &'a Ledger,
    /// What is true.
    pub truth: &'a Truth,
}

/// Somebody who judges a run.
pub trait Watcher {
    /// Sees something.
    ///
    /// # Errors
    /// The promise that it breaks; the run ends with it.
    fn see(&mut self, at: Instant, host: HostId, seen: Seen<'_>) -> Result<(), Broken>;
}

/// Nobody judges.
impl Watcher for () {
    fn see(&mut self, _: Instant, _: HostId, _: Seen<'_>) -> Result<(), Broken> {
        Ok(())
    }
}

/// Both judge; what the first finds counts.
impl<A: Watcher, B: Watcher> Watcher for (A, B) {
    fn see(&mut self, at: Instant, host: HostId, seen: Seen<'_>) -> Result<(), Broken> {
        let found = self.0.see(at, host, seen);
        let other = self.1.see(at, host, seen);
        found.and(other)
    }
}
