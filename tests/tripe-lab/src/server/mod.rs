// SPDX-License-Identifier: GPL-3.0-or-later
//! The server as a state machine: it is handed what happened and the time, and says what to do. It
//! reads no clock and touches no socket, so a seed and a list of inputs replay exactly.
//!
//! ```text
//!   shell (sockets, clock)                      Server
//!     line from a client        --Input-->   commands, jobs, services
//!     datagram from the network --Input-->   peers, key exchange, pings
//!     a deadline has passed     --Input-->   timers
//!     lines, datagrams, closing <-Output--   (in the order in which they must happen)
//! ```

mod add;
mod args;
mod challenge;
mod client;
mod command;
mod control;
mod fail;
mod info;
mod jobs;
mod kx;
mod messages;
mod net;
mod packets;
mod peer;
mod ping;
mod refuse;
mod services;
mod stats;
mod timers;
mod tunnel;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::config::LabConfig;
use crate::quote::Line;
use crate::rng::Rng;
use crate::switches::BroadcastOrder;
use challenge::Challenges;
use client::Client;
use jobs::{Job, JobKey};
use kx::Tokens;
use messages::TraceFlags;
use peer::{Peer, PeerKey};
use services::Service;
use timers::Timers;

pub use client::Watch;
pub use command::Keyword;
pub use fail::Fail;
pub use peer::PeerView;
pub use tunnel::{DeviceId, Devices, NoDevices};

/// Time since the server was started.
pub type Now = Duration;

/// Number of an admin connection, counted from 1 over all runs of a lab.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientId(pub u32);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A client connected; it starts with these broadcasts.
    Connect(ClientId, Watch),
    /// A client sent a line, given without its newline. Not to be handed in while
    /// [`Server::is_blocked`].
    Line(ClientId, &'a [u8]),
    /// A client will send no more.
    Eof(ClientId),
    /// Both directions to a client are closed.
    HangUp(ClientId),
    /// Nothing can be written to a client, because of this system error.
    Gone(ClientId, i32),
    /// A datagram arrived.
    Datagram(SocketAddr, &'a [u8]),
    /// A packet came out of a device.
    FromDevice(DeviceId, &'a [u8]),
    /// A datagram could not be sent, because of this system error.
    SendFailed(SocketAddr, i32),
    /// A deadline may have passed.
    Tick,
    /// The process was asked to end; the words tell how in the warning.
    Quit(&'a [&'a str]),
}

/// Something to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send a line, given without its newline.
    Line(ClientId, String),
    /// A broadcast was made: its line, once, whoever watches. For the record.
    Broadcast(String),
    /// Close the connection when everything before has been written.
    Close(ClientId),
    /// Read from this client again.
    Resume(ClientId),
    /// Send a datagram.
    Datagram(SocketAddr, Vec<u8>),
    /// A packet came out of a peer's tunnel: the peer's name and the packet. For the record.
    Packet(String, Vec<u8>),
    /// Put a packet into a device.
    ToDevice(DeviceId, Vec<u8>),
    /// Write all, close all, end.
    Stop,
    /// Drop all as it stands, and start anew.
    Restart,
    /// Drop all as it stands, and end.
    Crash,
    /// Harm connections.
    Harm(Target, Harm),
}

/// Which connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// This one.
    One(ClientId),
    /// All there are.
    All,
}

/// What is done to a connection that the server itself would never do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Harm {
    /// Neither read nor write, or do so again.
    Stall(bool),
    /// Close at once.
    Cut,
    /// Close in the middle of the next line.
    CutInNextLine,
    /// Send these bytes as they stand.
    Send(Vec<u8>),
}

/// The server.
#[derive(Debug)]
pub struct Server {
    config: LabConfig,
    /// The addresses its sockets are bound to.
    udp: Vec<SocketAddr>,
    /// The wall clock when the server was started, for the statistics.
    epoch: SystemTime,
    now: Now,
    rng: Rng,
    /// Draws for the network's faults, so that they do not shift other choices.
    fault_rng: Rng,
    clients: BTreeMap<ClientId, Client>,
    peers: BTreeMap<PeerKey, Peer>,
    peer_names: HashMap<String, PeerKey>,
    peer_addrs: HashMap<SocketAddr, PeerKey>,
    next_peer: u64,
    interfaces: peer::Interfaces,
    devices: Box<dyn Devices>,
    services: BTreeMap<String, Service>,
    jobs: HashMap<JobKey, Job>,
    next_job: u64,
    next_ping: u32,
    wire: jobs::WireIds,
    timers: Timers,
    delayed: usize,
    challenges: Challenges,
    tokens: Tokens,
    traces: TraceFlags,
    daemon: bool,
    stopping: bool,
    /// `QUIT` was given and is being answered.
    quit_requested: bool,
    /// Addresses that are dead: what is sent to them is lost, what comes from them unheard.
    silent: HashSet<SocketAddr>,
    out: Vec<Output>,
    /// With broadcasts after answers: the issuer of the command under way, and its broadcasts.
    deferred: Option<(ClientId, Vec<String>)>,
}

impl Server {
    /// A server that holds sockets on `udp`. `run` counts the starts of one lab: challenges and
    /// keys of an earlier start are worthless in a later one.
    #[must_use]
    pub fn new(config: LabConfig, udp: Vec<SocketAddr>, run: u64, epoch: SystemTime) -> Self {
        let mut rng = Rng::new(config.seed).fork(run);
        Server {
            fault_rng: rng.fork(1),
            challenges: Challenges::new(rng.next()),
            tokens: Tokens::new(rng.next()),
            wire: jobs::WireIds::new(&mut rng, config.switches.job_ids),
            interfaces: peer::Interfaces::new(&config.interface_prefix),
            devices: Box::new(NoDevices),
            config,
            udp,
            epoch,
            now: Now::ZERO,
            rng,
            clients: BTreeMap::new(),
            peers: BTreeMap::new(),
            peer_names: HashMap::new(),
            peer_addrs: HashMap::new(),
            next_peer: 0,
            services: BTreeMap::new(),
            jobs: HashMap::new(),
            next_job: 0,
            next_ping: 0,
            timers: Timers::default(),
            delayed: 0,
            traces: TraceFlags::default(),
            daemon: false,
            stopping: false,
            quit_requested: false,
            silent: HashSet::new(),
            out: Vec::new(),
            deferred: None,
        }
    }

    /// Takes in what happened at `now` and appends to `outputs` what is to be done. `now` must not
    /// go back.
    pub fn handle(&mut self, now: Now, input: Input<'_>, outputs: &mut Vec<Output>) {
        self.now = self.now.max(now);
        if !self.stopping {
            match input {
                Input::Connect(client, watch) => {
                    self.clients.insert(client, Client::new(watch));
                }
                Input::Line(client, line) => self.command(client, line),
                Input::Eof(client) => self.client_eof(client),
                Input::HangUp(client) => self.client_hang_up(client),
                Input::Gone(client, errno) => self.client_gone(client, errno),
                Input::Datagram(from, bytes) => self.datagram(from, bytes),
                Input::FromDevice(device, packet) => self.packet_from_device(device, packet),
                Input::SendFailed(to, errno) => self.send_failed(to, errno),
                Input::Tick => self.run_timers(),
                Input::Quit(why) => self.quit(why),
            }
        }
        outputs.append(&mut self.out);
    }

    /// When the next [`Input::Tick`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Now> {
        self.timers.next()
    }

    /// Whether a long foreground command holds this client up, so that nothing may be read from it.
    #[must_use]
    pub fn is_blocked(&self, client: ClientId) -> bool {
        self.clients
            .get(&client)
            .is_some_and(|client| client.blocked.is_some())
    }

    /// The configuration, as it stands by now.
    #[must_use]
    pub const fn config(&self) -> &LabConfig {
        &self.config
    }

    /// The configuration, to be changed under way: faults above all.
    pub const fn config_mut(&mut self) -> &mut LabConfig {
        &mut self.config
    }

    /// Protocol seconds in real time.
    fn seconds(&self, seconds: u32) -> Duration {
        Duration::from_secs(u64::from(seconds)) / self.config.time_scale.max(1)
    }

    /// A line that starts with `head`.
    fn line(&self, head: &str) -> Line {
        Line::new(head, self.config.switches.backslash)
    }

    /// Sends a line to one client.
    fn send(&mut self, client: ClientId, line: String) {
        if self.clients.contains_key(&client) {
            self.out.push(Output::Line(client, line));
        }
    }

    /// Sends a broadcast to all who watch its kind.
    fn broadcast(&mut self, line: String, wanted: fn(Watch) -> bool) {
        for (id, client) in &self.clients {
            if !wanted(client.watch) {
                continue;
            }
            match &mut self.deferred {
                Some((issuer, lines)) if issuer == id => lines.push(line.clone()),
                _ => self.out.push(Output::Line(*id, line.clone())),
            }
        }
        self.out.push(Output::Broadcast(line));
    }

    /// Broadcasts a notification.
    fn note(&mut self, line: Line) {
        self.broadcast(line.finish(), |watch| watch.notes);
    }

    /// Broadcasts a warning.
    fn warn(&mut self, line: Line) {
        self.broadcast(line.finish(), |watch| watch.warnings);
    }

    /// A notification that begins with `event`.
    fn note_line(&self, event: &str) -> Line {
        self.line("NOTE").word(event)
    }

    /// A warning that begins with `category`.
    fn warn_line(&self, category: &str) -> Line {
        self.line("WARN").word(category)
    }

    /// Runs `act` so that broadcasts to `client` come after its answer, if the switch says so.
    fn in_order(&mut self, client: ClientId, act: impl FnOnce(&mut Self)) {
        if self.config.switches.broadcasts == BroadcastOrder::First {
            return act(self);
        }
        self.deferred = Some((client, Vec::new()));
        act(self);
        if let Some((client, lines)) = self.deferred.take() {
            for line in lines {
                self.send(client, line);
            }
        }
    }

    /// `QUIT` and its like: tells everybody, ends every peer, and stops.
    fn quit(&mut self, why: &[&str]) {
        let line = self.warn_line("SERVER").word("quit").words(why);
        self.warn(line);
        self.stop();
    }

    /// The end, after the requester has been answered.
    fn stop(&mut self) {
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            self.kill_peer(key, true);
        }
        self.out.push(Output::Stop);
        self.stopping = true;
    }
}
