// SPDX-License-Identifier: GPL-3.0-or-later
//! The shell round the server: sockets and timers of one run, on one thread.
//!
//! ```text
//!   accept task --Connect-->  \                      / --lines-->     writer task of each client
//!   reader task --Line, Eof--> Shell::feed -> Server  --datagrams-->  UDP sockets
//!   UDP tasks   --Datagram--> /      ^               \ --events-->    event log
//!   timer task  --Tick-------'       |
//!   LabHandle --Task (a closure)-----'
//! ```

mod admin;
mod devices;
mod network;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, mpsc};

use crate::config::LabConfig;
use crate::datagram::Datagram;
use crate::error::LabError;
use crate::log::{EventLog, What};
use crate::server::{ClientId, Control, DeviceId, Harm, Input, Now, Output, Server, Target};
use crate::text;
use admin::Conn;
use devices::TunDevices;
use network::Sockets;

/// Something to be done on the server's thread.
pub(crate) type Task = Box<dyn FnOnce(&Rc<Shell>) + Send>;

/// How a run ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// All has been said and written.
    Clean,
    /// Everything is dropped as it stands.
    Crash,
    /// The same, and another run begins.
    Restart,
}

/// One run of a server.
pub(crate) struct Shell {
    start: Instant,
    server: RefCell<Server>,
    conns: RefCell<BTreeMap<ClientId, Rc<Conn>>>,
    sockets: Sockets,
    devices: TunDevices,
    /// When the timer task wakes next; it is told if that has to be sooner.
    deadline: Cell<Option<Now>>,
    sooner: Notify,
    ending: Cell<Option<Ending>>,
    /// Told when there is an ending, and when a connection is gone.
    changed: Notify,
    /// New connections are stalled from the start.
    stalled: Cell<bool>,
    log: Arc<EventLog>,
    events: RefCell<Vec<(Instant, What)>>,
    /// What cannot be handed to the server while its outputs are being carried out.
    later: RefCell<VecDeque<Input<'static>>>,
    /// The answer to the latest [`Input::Control`].
    answer: Cell<Option<Result<Vec<String>, String>>>,
}

/// How long a clean ending waits for clients to read what they were sent. One that does not read
/// loses the rest.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs a server until it ends. Leaves in `next` what the next run is to begin with, and says when
/// the sockets are there.
pub(crate) async fn run(
    next: &Mutex<LabConfig>,
    log: Arc<EventLog>,
    tasks: &mut mpsc::UnboundedReceiver<Task>,
    ready: impl FnOnce(),
) -> Result<Ending, LabError> {
    // The configuration is whole between any two operations.
    let lock = || next.lock().unwrap_or_else(PoisonError::into_inner);
    let config = lock().clone();
    let path = config.socket.clone();
    let listener = Rc::new(admin::listen(&path, config.socket_mode)?);
    let (sockets, udp) = Sockets::bind(&config.udp).await?;
    // The next run has the same ports, whichever the system chose.
    lock().udp.clone_from(&udp);
    let server = Server::new(config, udp, log.new_run(), SystemTime::now());
    let shell = Rc::new_cyclic(|shell| Shell {
        start: Instant::now(),
        server: RefCell::new(server),
        devices: TunDevices::new(Weak::clone(shell)),
        conns: RefCell::default(),
        sockets,
        deadline: Cell::new(None),
        sooner: Notify::new(),
        ending: Cell::new(None),
        changed: Notify::new(),
        stalled: Cell::new(false),
        log,
        events: RefCell::default(),
        later: RefCell::default(),
        answer: Cell::default(),
    });
    let acceptor = tokio::task::spawn_local(admin::accept(Rc::clone(&shell), Rc::clone(&listener)));
    tokio::task::spawn_local(timers(Rc::clone(&shell)));
    for index in 0..shell.sockets.len() {
        tokio::task::spawn_local(network::receive(Rc::clone(&shell), index));
    }
    shell.record(What::Started);
    shell.flush_events();
    ready();

    let ending = loop {
        if let Some(ending) = shell.ending.get() {
            break ending;
        }
        tokio::select! {
            task = tasks.recv() => match task {
                Some(task) => task(&shell),
                // The handle is gone, and with it the reason to run.
                None => shell.end(Ending::Crash),
            },
            () = shell.changed.notified() => {}
        }
    };
    {
        let server = shell.server.borrow();
        let mut next = lock();
        next.faults.clone_from(&server.config().faults);
        next.switches = server.config().switches;
    }
    // Closing is not enough: a process that was forked at this moment and has not yet executed its
    // program holds the socket too, and whoever connects would still find somebody listening.
    let _ = rustix::net::shutdown(&*listener, rustix::net::Shutdown::Both);
    acceptor.abort();
    if ending == Ending::Clean {
        // It may be gone already, with the directory it was in.
        let _ = std::fs::remove_file(&path);
        let _ = tokio::time::timeout(LAST_WORDS, shell.all_closed()).await;
    }
    shell.record(match ending {
        Ending::Restart => What::Restarting,
        Ending::Clean | Ending::Crash => What::Stopped,
    });
    shell.flush_events();
    Ok(ending)
}

/// Wakes the server when a deadline has come.
async fn timers(shell: Rc<Shell>) {
    loop {
        let deadline = shell.server.borrow().next_deadline();
        shell.deadline.set(deadline);
        match deadline {
            None => shell.sooner.notified().await,
            Some(at) => {
                tokio::select! {
                    () = tokio::time::sleep_until((shell.start + at).into()) => {
                        shell.feed(Input::Tick);
                    }
                    () = shell.sooner.notified() => {}
                }
            }
        }
    }
}

impl Shell {
    fn now(&self) -> Now {
        self.start.elapsed()
    }

    /// Asks for an end.
    pub(crate) fn end(&self, ending: Ending) {
        if self.ending.get().is_none() {
            self.ending.set(Some(ending));
        }
        self.changed.notify_one();
    }

    /// Hands the server an input and does what it says, and then all that came of it.
    pub(crate) fn feed(&self, input: Input<'_>) {
        self.turn(input);
        loop {
            let Some(later) = self.later.borrow_mut().pop_front() else {
                break;
            };
            self.turn(later);
        }
        let next = self.server.borrow().next_deadline();
        if let Some(next) = next
            && self.deadline.get().is_none_or(|deadline| next < deadline)
        {
            self.deadline.set(Some(next));
            self.sooner.notify_one();
        }
        self.flush_events();
    }

    /// Has the server do something outside of the protocol, and gives its answer.
    ///
    /// # Errors
    ///
    /// If it cannot be done; the text says why.
    pub(crate) fn control(&self, control: Control) -> Result<Vec<String>, String> {
        self.feed(Input::Control(control));
        let answer = self.answer.take();
        answer.unwrap_or_else(|| Err(String::from("the server did not answer")))
    }

    /// Lets `look` see the server.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Server) -> R) -> R {
        look(&self.server.borrow())
    }

    fn turn(&self, input: Input<'_>) {
        let mut outputs = Vec::new();
        let now = self.now();
        self.server.borrow_mut().handle(input, now, &mut outputs);
        self.apply(outputs);
    }

    fn later(&self, input: Input<'static>) {
        self.later.borrow_mut().push_back(input);
    }

    fn apply(&self, outputs: Vec<Output>) {
        let log = self.server.borrow().config().log;
        for output in outputs {
            match output {
                Output::Line(client, line) => {
                    self.write_line(client, &line);
                    if log.lines {
                        self.record(What::Sent(client, line));
                    }
                }
                Output::Broadcast(line) => self.record(What::Broadcast(line)),
                Output::Close(client) => {
                    if let Some(conn) = self.conns.borrow().get(&client) {
                        conn.close();
                    }
                }
                Output::Resume(client) => {
                    if let Some(conn) = self.conns.borrow().get(&client) {
                        conn.wake_reader();
                    }
                }
                Output::Datagram(to, bytes) => {
                    if let Err(errno) = self.sockets.send(to, &bytes) {
                        self.later(Input::SendFailed(to, errno));
                    }
                    if log.datagrams {
                        self.record(What::Transmitted(to, kind(&bytes)));
                    }
                }
                Output::OpenDevice(device, prefix) => self.open_device(device, &prefix),
                Output::CloseDevice(device) => self.devices.close(device),
                Output::ToDevice(device, packet) => self.devices.send(device, &packet),
                Output::Packet(peer, packet) => self.record(What::Packet(peer, packet)),
                Output::Controlled(lines) => self.answer.set(Some(Ok(lines))),
                Output::ControlFailed(reason) => self.answer.set(Some(Err(reason))),
                Output::Stop => {
                    for conn in self.conns.borrow().values() {
                        conn.close();
                    }
                    self.end(Ending::Clean);
                }
                Output::Restart => self.end(Ending::Restart),
                Output::Crash => self.end(Ending::Crash),
                Output::Harm(target, harm) => self.harm(target, &harm),
            }
        }
    }

    fn harm(&self, target: Target, harm: &Harm) {
        let clients = match target {
            Target::One(client) => vec![client],
            Target::All => self.clients(),
        };
        for client in clients {
            let conn = self.conns.borrow().get(&client).cloned();
            let Some(conn) = conn else {
                continue;
            };
            match harm {
                Harm::Stall(stalled) => conn.stall(*stalled),
                Harm::Cut => {
                    self.drop_conn(client);
                    self.later(Input::Closed(client));
                }
                Harm::CutInNextLine => conn.cut_in_next_line(),
                Harm::Send(bytes) => conn.push_raw(bytes),
            }
        }
        if let (Target::All, Harm::Stall(stalled)) = (target, harm) {
            self.stalled.set(*stalled);
        }
    }

    fn write_line(&self, client: ClientId, line: &str) {
        let conn = self.conns.borrow().get(&client).cloned();
        let Some(conn) = conn else {
            return;
        };
        let limit = self.server.borrow().config().max_output;
        match conn.push(limit, |out| text::encode(line, out)) {
            admin::Pushed::Fine => {}
            // Half a line is still to be written; then the connection closes by itself.
            admin::Pushed::CutHere => self.later(Input::Closed(client)),
            admin::Pushed::TooMuch => {
                /// "No buffer space available".
                const ENOBUFS: i32 = 105;
                self.drop_conn(client);
                self.later(Input::Gone(client, ENOBUFS));
            }
        }
    }

    fn open_device(&self, device: DeviceId, prefix: &str) {
        /// "Function not implemented", where the error has no number.
        const ENOSYS: i32 = 38;
        self.later(match self.devices.open(device, prefix) {
            Ok(name) => Input::DeviceOpened(device, name),
            Err(error) => Input::DeviceFailed(device, error.raw_os_error().unwrap_or(ENOSYS)),
        });
    }

    fn record(&self, what: What) {
        self.events.borrow_mut().push((Instant::now(), what));
    }

    fn flush_events(&self) {
        let mut events = self.events.borrow_mut();
        if !events.is_empty() {
            self.log.push(events.drain(..));
        }
    }

    /// Waits until every connection is closed.
    async fn all_closed(&self) {
        while !self.conns.borrow().is_empty() {
            self.changed.notified().await;
        }
    }
}

/// Name of the datagram that `bytes` are, for the log.
fn kind(bytes: &[u8]) -> &'static str {
    Datagram::decode(bytes).map_or("odd datagram", |datagram| datagram.name())
}
