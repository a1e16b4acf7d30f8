// SPDX-License-Identifier: GPL-3.0-or-later
//! The server as a state machine: [`Server::handle`] is told what happened and when, and says what
//! to do. It reads no clock and touches no socket, and every random choice follows from the seed,
//! so the same inputs at the same times give the same outputs.
//!
//! ```text
//!   shell (sockets, clock)                      Server
//!     line from a client        --Input-->   commands, jobs, services
//!     datagram from the network --Input-->   peers, key exchange, pings
//!     a deadline has passed     --Input-->   timers
//!     a test interferes         --Input-->   control
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
mod input;
mod interference;
mod jobs;
mod kx;
mod messages;
mod net;
mod output;
mod packets;
mod peer;
mod ping;
mod refuse;
mod services;
mod stats;
mod timers;
mod tunnel;

use std::collections::{BTreeMap, BTreeSet};
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
pub use input::{ClientId, DeviceId, Input, Now};
pub use interference::Control;
pub use output::{Harm, Output, Target};
pub use peer::PeerView;

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
    peer_names: BTreeMap<String, PeerKey>,
    peer_addrs: BTreeMap<SocketAddr, PeerKey>,
    next_peer: u64,
    interfaces: peer::Interfaces,
    services: BTreeMap<String, Service>,
    jobs: BTreeMap<JobKey, Job>,
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
    /// Peers whose devices are being made, and the jobs that wait for them.
    devices: BTreeMap<DeviceId, JobKey>,
    /// Addresses that are dead: what is sent to them is lost, what comes from them unheard.
    silent: BTreeSet<SocketAddr>,
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
            config,
            udp,
            epoch,
            now: Now::ZERO,
            rng,
            clients: BTreeMap::new(),
            peers: BTreeMap::new(),
            peer_names: BTreeMap::new(),
            peer_addrs: BTreeMap::new(),
            next_peer: 0,
            services: BTreeMap::new(),
            jobs: BTreeMap::new(),
            next_job: 0,
            next_ping: 0,
            timers: Timers::default(),
            delayed: 0,
            traces: TraceFlags::default(),
            daemon: false,
            stopping: false,
            quit_requested: false,
            devices: BTreeMap::new(),
            silent: BTreeSet::new(),
            out: Vec::new(),
            deferred: None,
        }
    }

    /// Takes in what happened at `now`, and appends what is to be done to `out`. Time does not go
    /// back: an earlier `now` counts as the latest one.
    pub fn handle(&mut self, input: Input<'_>, now: Now, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        std::mem::swap(&mut self.out, out);
        if !self.stopping {
            self.route(input);
        } else if matches!(input, Input::Control(_)) {
            // Whoever interferes waits for an answer.
            let reason = String::from("the server is about to end");
            self.out.push(Output::ControlFailed(reason));
        }
        std::mem::swap(&mut self.out, out);
    }

    fn route(&mut self, input: Input<'_>) {
        match input {
            Input::Connect(client, watch) => {
                self.clients.insert(client, Client::new(watch));
            }
            Input::Line(client, line) => self.command(client, &line),
            Input::Eof(client) => self.client_eof(client),
            Input::HangUp(client) => self.client_hang_up(client),
            Input::Gone(client, errno) => self.client_gone(client, errno),
            Input::Closed(client) => self.remove_client(client),
            Input::Datagram(from, bytes) => self.datagram(from, &bytes),
            Input::SendFailed(to, errno) => self.send_failed(to, errno),
            Input::DeviceOpened(device, name) => self.device_opened(device, Ok(name)),
            Input::DeviceFailed(device, errno) => self.device_opened(device, Err(errno)),
            Input::FromDevice(device, packet) => self.packet_from_device(device, &packet),
            Input::Tick => self.run_timers(),
            Input::Control(control) => self.interfere(control),
            Input::Quit(why) => self.quit(&why),
        }
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
    fn quit(&mut self, why: &[String]) {
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
