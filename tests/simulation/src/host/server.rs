// SPDX-License-Identifier: GPL-3.0-or-later
//! The lab server of a host, and the connections to its administration socket. What is imitated
//! here is the lab's own shell (tests/tripe-lab/src/shell).

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use tripe_admin::version;
use tripe_lab::LabConfig;
use tripe_lab::Switches;
use tripe_lab::config::{Host as Name, Reflect};
use tripe_lab::faults::Faults;
use tripe_lab::lines::Next;
use tripe_lab::server::{ClientId, Control, Input, Output, Server, Watch};
use tripe_lab::switches::Vanished;
use tripe_lab::text;

use super::Host;
use super::process::Process;
use crate::chance::What;
use crate::instant::Instant;
use crate::network;
use crate::plan::{HostId, HostSite, Part, Switching, Way};
use crate::queue::Step;
use crate::seen::{Seen, Watcher, Who};
use crate::wire::Wire;
use crate::world::shared::Shared;

/// How long a reflected partner takes to answer.
const REFLECTED: Duration = Duration::from_millis(20);

/// When a server that has ended is started again.
pub(super) const RESTART: Duration = Duration::from_secs(1);

/// "Broken pipe".
const EPIPE: i32 = 32;

/// The server.
#[derive(Debug)]
pub(crate) struct ServerSide {
    pub(crate) process: Process,
    pub(crate) machine: Option<Server>,
    /// What the next start begins with.
    config: LabConfig,
    /// When the present run began.
    epoch: Instant,
    /// How often it was started.
    pub(crate) runs: u64,
    /// How often since the host was booted.
    pub(crate) runs_of_boot: u64,
    /// What it was last answered when it was interfered with.
    pub(crate) done: bool,
    /// Whether it handles a packet now.
    reads_packet: bool,
    out: Vec<Output>,
    later: VecDeque<Input<'static>>,
    line: Vec<u8>,
}

/// All connections to the administration socket.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    pub(crate) open: BTreeMap<ClientId, Wire>,
    count: u32,
    /// Those to which something is to be sent.
    dirty: Vec<ClientId>,
}

fn switches(switching: Switching) -> Switches {
    let reading = match switching {
        Switching::Default => 0,
        Switching::Flipped => 1,
        Switching::FlippedAgain => 2,
    };
    let mut switches = Switches::default();
    for (name, values) in Switches::table() {
        if let Some(value) = values.get(reading).or(values.last())
            && reading > 0
        {
            // The names come from the table, so they are known.
            let _ = switches.set(name, value);
        }
    }
    switches
}

impl ServerSide {
    pub(crate) fn new<W>(id: HostId, site: &HostSite, shared: &Shared<W>) -> Self {
        let seed = shared.chances.of(What::Server, id, 0, 0).next();
        let config = LabConfig {
            udp: vec![network::inner(id)],
            allow_remote: true,
            seed,
            switches: switches(site.switches),
            reflect: Some(Reflect {
                network: IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)),
                bits: 15,
                delay: REFLECTED,
            }),
            ..LabConfig::new("/run/tripesock")
        };
        ServerSide {
            process: Process::default(),
            machine: None,
            config,
            epoch: Instant(0),
            runs: 0,
            runs_of_boot: 0,
            done: false,
            reads_packet: false,
            out: Vec::new(),
            later: VecDeque::new(),
            line: Vec::new(),
        }
    }
}

impl ServerSide {
    /// What the server's resolver says of a name when it is started the next time.
    pub(crate) fn set_name(&mut self, host: String, address: IpAddr) {
        self.config.hosts.insert(host, Name::Is(vec![address]));
    }
}

impl Host {
    /// Starts the server.
    pub(crate) fn start_server<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let server = &mut self.server;
        if server.process.lives {
            return;
        }
        server.process.start(shared.now);
        server.runs += 1;
        server.runs_of_boot += 1;
        server.epoch = shared.now;
        let (config, udp) = (server.config.clone(), server.config.udp.clone());
        server.machine = Some(Server::new(
            config,
            udp,
            server.runs,
            SystemTime::UNIX_EPOCH,
        ));
        self.truth.server_runs = server.runs;
        let life = server.process.life;
        shared.see(self.id, Seen::Lives(Part::Server, life));
    }

    /// The server ends with all its connections.
    pub(crate) fn end_server<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let Some(machine) = self.server.machine.take() else {
            return;
        };
        // What was set about it stays, as with the lab's own restart.
        self.server.config.faults = machine.config().faults.clone();
        self.server.config.hosts = machine.config().hosts.clone();
        self.server.process.end(shared.now);
        self.truth.present.clear();
        shared.see(self.id, Seen::Died(Part::Server));
        let clients: Vec<ClientId> = self.wires.open.keys().copied().collect();
        for client in clients {
            self.close_wire(client, shared);
        }
    }

    /// Has the server do something outside of the protocol. Whether it could.
    pub(crate) fn control<W: Watcher>(&mut self, control: Control, shared: &mut Shared<W>) -> bool {
        self.server.done = false;
        self.feed_server(Input::Control(control), shared);
        self.server.done
    }

    /// The same with a command of the lab.
    pub(crate) fn lab<W: Watcher>(&mut self, words: &[&str], shared: &mut Shared<W>) -> bool {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        self.control(Control::Command(words), shared)
    }

    /// From now on the server refuses nothing and writes whole lines, also if it does not run at
    /// this moment.
    pub(crate) fn heal_server<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        self.server.config.faults = Faults::default();
        self.lab(&["ALLOW"], shared);
        self.write_whole_lines(shared);
    }

    /// From now on the server does not write in pieces, also if it does not run at this moment; so
    /// what is on its way to clients does not come so.
    pub(crate) fn write_whole_lines<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        self.server.config.faults.write.chunk = 0;
        self.lab(&["WRITE", "chunk=0"], shared);
        self.hurry_wires(shared);
    }

    /// Hands the server an input, and does what it says.
    pub(crate) fn feed_server<W: Watcher>(&mut self, input: Input<'_>, shared: &mut Shared<W>) {
        let server = &mut self.server;
        let Some(machine) = &mut server.machine else {
            return;
        };
        let now = shared.now.since(server.epoch);
        shared.sum_all(self.id, &input);
        let mut out = std::mem::take(&mut server.out);
        server.reads_packet = matches!(input, Input::Datagram(..));
        machine.handle(input, now, &mut out);
        self.server_acts(&mut out, shared);
        self.server.reads_packet = false;
        while let Some(input) = self.server.later.pop_front() {
            let Some(machine) = &mut self.server.machine else {
                break;
            };
            machine.handle(input, now, &mut out);
            self.server_acts(&mut out, shared);
        }
        self.server.out = out;
        self.flush_wires(shared);
        let deadline = self
            .server
            .machine
            .as_ref()
            .and_then(Server::next_deadline)
            .map(|at| self.server.epoch + at);
        self.set_wake(Part::Server, deadline, shared);
    }

    fn server_acts<W: Watcher>(&mut self, out: &mut Vec<Output>, shared: &mut Shared<W>) {
        for output in out.drain(..) {
            if self.server.process.dies_here() {
                shared.after(RESTART, Step::Start(self.id, Part::Server));
                return self.end_server(shared);
            }
            shared.sum_all(self.id, &output);
            match output {
                Output::Line(client, line) => self.server_writes(client, &line),
                Output::Broadcast(line) => {
                    shared.see(self.id, Seen::Broadcast(&line));
                    self.broadcast(&line, shared);
                }
                Output::Close(client) => {
                    self.wires.dirty.push(client);
                    if let Some(wire) = self.wires.open.get_mut(&client) {
                        wire.server_open = false;
                    }
                }
                Output::Resume(client) => {
                    // Read on once everything else has been done.
                    let step = Step::Bytes(self.id, client, Way::ToServer);
                    shared.queue.push(shared.now, step);
                }
                Output::Datagram(to, bytes) => self.send_datagram(to, bytes, shared),
                Output::Controlled(_) => self.server.done = true,
                Output::Stop | Output::Restart | Output::Crash => {
                    shared.after(RESTART, Step::Start(self.id, Part::Server));
                    self.end_server(shared);
                }
                // Nothing here harms a connection in the lab's own way, or has a device.
                Output::ControlFailed(_)
                | Output::Harm(..)
                | Output::OpenDevice(..)
                | Output::CloseDevice(_)
                | Output::ToDevice(..)
                | Output::Packet(..) => {}
            }
        }
    }

    fn server_writes(&mut self, client: ClientId, line: &str) {
        let Some(wire) = self.wires.open.get_mut(&client) else {
            return;
        };
        if !wire.client_open {
            self.server.later.push_back(Input::Gone(client, EPIPE));
            return;
        }
        if wire.to_client.pending.is_empty() {
            self.wires.dirty.push(client);
        }
        text::encode(line, &mut wire.to_client.pending);
        wire.to_client.pending.push(b'\n');
    }

    /// A broadcast was made. A partner that is dead is so whenever its peer is added.
    fn broadcast<W: Watcher>(&mut self, line: &str, shared: &mut Shared<W>) {
        let mut words = line.split(' ');
        let (Some("NOTE"), verb, Some(peer)) = (words.next(), words.next(), words.next()) else {
            return;
        };
        if let (Some("SVCCLAIM"), "connect", Some(claimed)) = (verb, peer, words.next()) {
            // One of the same version is core itself.
            let order = version::compare(claimed, env!("CARGO_PKG_VERSION"));
            if order.is_ne() {
                let by_newer = order.is_gt();
                shared.see(self.id, Seen::Displaced { by_newer });
            }
        }
        if verb == Some("KILL") {
            self.truth.present.remove(peer);
            // A packet by which a peer goes is its goodbye.
            if self.server.reads_packet {
                self.truth.left.insert(peer.to_owned());
            }
        } else if verb == Some("ADD") {
            self.truth.present.insert(peer.to_owned());
            self.truth.left.remove(peer);
            self.note_added(peer, shared);
            let address = self.address_at_server(peer);
            if let Some(control) = address.and_then(|at| self.quietness(peer, at)) {
                self.server.later.push_back(Input::Control(control));
            }
        }
    }

    fn send_datagram<W: Watcher>(
        &mut self,
        to: SocketAddr,
        bytes: Vec<u8>,
        shared: &mut Shared<W>,
    ) {
        let (now, chances) = (shared.now, shared.chances);
        let sent = shared.network.send(self.id, to, now, chances);
        for change in std::mem::take(&mut shared.network.felt) {
            let coverage = &mut shared.summary.coverage;
            coverage.took_effect("path", Some(change.name()), 1);
        }
        let Some((host, from, [first, second])) = sent else {
            return;
        };
        if let Some(at) = second {
            let step = Step::Datagram(host, from, bytes.clone());
            shared.queue.push(at, step);
        }
        if let Some(at) = first {
            shared.queue.push(at, Step::Datagram(host, from, bytes));
        }
    }

    /// A client connects, if there is a server.
    pub(crate) fn open_wire<W: Watcher>(
        &mut self,
        who: Who,
        shared: &mut Shared<W>,
    ) -> Option<ClientId> {
        let config = self.server.machine.as_ref()?.config();
        let wire = Wire::new(who, config.line_limit, config.switches.over_long);
        self.wires.count += 1;
        let client = ClientId(self.wires.count);
        self.wires.open.insert(client, wire);
        shared.see(self.id, Seen::Opened(client, who));
        self.feed_server(Input::Connect(client, Watch::default()), shared);
        Some(client)
    }

    /// A client writes a line.
    pub(crate) fn client_writes<W: Watcher>(
        &mut self,
        client: ClientId,
        line: &str,
        shared: &mut Shared<W>,
    ) {
        if let Some(wire) = self.wires.open.get_mut(&client) {
            wire.to_server.pending.extend_from_slice(line.as_bytes());
            wire.to_server.pending.push(b'\n');
            self.wires.dirty.push(client);
        }
        self.flush_wires(shared);
    }

    /// Core writes lines, each with its newline.
    pub(crate) fn core_writes<W: Watcher>(
        &mut self,
        client: ClientId,
        lines: &[u8],
        shared: &mut Shared<W>,
    ) {
        if let Some(wire) = self.wires.open.get_mut(&client) {
            wire.to_server.pending.extend_from_slice(lines);
            self.wires.dirty.push(client);
        }
        self.flush_wires(shared);
    }

    /// Sends what was written.
    pub(crate) fn flush_wires<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let id = self.id;
        let pieces = self.server.machine.as_ref().and_then(|machine| {
            let write = machine.config().faults.write;
            (write.chunk > 0).then_some((write.chunk, write.pause))
        });
        while let Some(client) = self.wires.dirty.pop() {
            let Some(wire) = self.wires.open.get_mut(&client) else {
                continue;
            };
            wire.sent += 1;
            let (a, now) = (u64::from(client.0), shared.now);
            let mut draw = shared.chances.of(What::Wire, id, a, wire.sent);
            let delay = Duration::from_nanos(10_000 + draw.below(90_000));
            let queue = &mut shared.queue;
            wire.to_server.flush(now, delay, None, |at| {
                queue.push(at, Step::Bytes(id, client, Way::ToServer));
            });
            wire.to_client.flush(now, delay, pieces, |at| {
                queue.push(at, Step::Bytes(id, client, Way::ToClient));
            });
            if !wire.server_open {
                let at = wire.to_client.close(now, delay);
                queue.push(at, Step::Bytes(id, client, Way::ToClient));
            }
            if !wire.client_open {
                let at = wire.to_server.close(now, delay);
                queue.push(at, Step::Bytes(id, client, Way::ToServer));
            }
        }
    }

    fn hurry_wires<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        for (client, wire) in &mut self.wires.open {
            if let Some(at) = wire.to_client.hurry(shared.now) {
                let step = Step::Bytes(self.id, *client, Way::ToClient);
                shared.queue.push(at, step);
            }
        }
    }

    /// The server's end of a connection is closed at once.
    pub(crate) fn close_wire<W: Watcher>(&mut self, client: ClientId, shared: &mut Shared<W>) {
        if let Some(wire) = self.wires.open.get_mut(&client) {
            wire.server_open = false;
            self.wires.dirty.push(client);
        }
        self.flush_wires(shared);
    }

    /// The client's end of a connection is closed at once.
    pub(crate) fn hang_up<W: Watcher>(&mut self, client: ClientId, shared: &mut Shared<W>) {
        if let Some(wire) = self.wires.open.get_mut(&client) {
            wire.client_open = false;
            self.wires.dirty.push(client);
            shared.see(self.id, Seen::Ended(client));
        }
        self.flush_wires(shared);
        self.drop_wire(client);
    }

    /// Forgets a connection of which both ends are closed.
    fn drop_wire(&mut self, client: ClientId) {
        let wire = self.wires.open.get(&client);
        if wire.is_some_and(|wire| !wire.server_open && !wire.client_open) {
            self.wires.open.remove(&client);
        }
    }

    /// Bytes may have arrived at the server.
    pub(crate) fn server_reads<W: Watcher>(&mut self, client: ClientId, shared: &mut Shared<W>) {
        let Some(wire) = self.wires.open.get_mut(&client) else {
            return;
        };
        let arrived = wire.to_server.take(shared.now);
        if !wire.server_open {
            return self.drop_wire(client);
        }
        if !arrived.bytes.is_empty() {
            wire.server_lines.push(&arrived.bytes);
        }
        self.take_lines(client, shared);
        if arrived.cut {
            self.cut_wire(client, shared);
        } else if arrived.ended {
            let is_at_once = self
                .server
                .machine
                .as_ref()
                .is_some_and(|machine| machine.config().switches.vanished == Vanished::AtOnce);
            self.feed_server(Input::Eof(client), shared);
            if is_at_once {
                self.feed_server(Input::HangUp(client), shared);
            }
        }
    }

    /// A connection is cut in the middle: either side finds it closed.
    pub(crate) fn cut_wire<W: Watcher>(&mut self, client: ClientId, shared: &mut Shared<W>) {
        if let Some(wire) = self.wires.open.get_mut(&client) {
            wire.server_open = false;
            self.wires.dirty.push(client);
        }
        self.feed_server(Input::Closed(client), shared);
        self.flush_wires(shared);
    }

    fn take_lines<W: Watcher>(&mut self, client: ClientId, shared: &mut Shared<W>) {
        loop {
            let Some(machine) = &self.server.machine else {
                return;
            };
            if machine.is_blocked(client) {
                return;
            }
            let Some(wire) = self.wires.open.get_mut(&client) else {
                return;
            };
            match wire.server_lines.take_line() {
                Next::Line(found) => {
                    self.server.line.clear();
                    self.server.line.extend_from_slice(found);
                }
                Next::More => return,
                Next::Disconnect => return self.cut_wire(client, shared),
            }
            let line = std::mem::take(&mut self.server.line);
            let told = text::decode(&line);
            shared.sum(self.id, u64::from(client.0) << 1, &line);
            shared.see(self.id, Seen::Wrote(client, &told));
            self.feed_server(Input::Line(client, Cow::Borrowed(&line)), shared);
            drop(told);
            self.server.line = line;
        }
    }

    /// The server's deadline may have passed.
    pub(crate) fn server_wakes<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        self.server.process.wake = None;
        self.feed_server(Input::Tick, shared);
    }

    /// A datagram has arrived.
    pub(crate) fn datagram<W: Watcher>(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        shared: &mut Shared<W>,
    ) {
        self.feed_server(Input::Datagram(from, Cow::Borrowed(bytes)), shared);
    }
}
