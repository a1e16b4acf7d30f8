// SPDX-License-Identifier: GPL-3.0-or-later
//! The event log: everything a lab server hears and says, in order and with its moment, for tests
//! to look at and to wait on.
//!
//! ```text
//!   server's thread --push--> log <--look, wait-- any number of test threads
//! ```

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::server::ClientId;

/// Something that happened at a lab server.
#[derive(Clone, Debug)]
pub struct Event {
    /// Events are numbered without gaps from 0.
    pub number: u64,
    /// When, on the monotonic clock.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// The server runs and its sockets are there.
    Started,
    /// The server has ended, one way or the other.
    Stopped,
    /// The server has ended and begins again.
    Restarting,
    /// A client connected.
    Connected(ClientId),
    /// A client's connection was closed.
    Disconnected(ClientId),
    /// A client sent this line.
    Command(ClientId, String),
    /// A client was sent this line.
    Sent(ClientId, String),
    /// This broadcast was made, whether anybody watched or not.
    Broadcast(String),
    /// A datagram came from there.
    Received(SocketAddr, &'static str),
    /// A datagram was sent there.
    Transmitted(SocketAddr, &'static str),
    /// A packet came out of this peer's tunnel.
    Packet(String, Vec<u8>),
}

impl What {
    /// Whether this is a command that begins with `prefix`.
    #[must_use]
    pub fn is_command(&self, prefix: &str) -> bool {
        matches!(self, What::Command(_, line) if line.starts_with(prefix))
    }

    /// Whether this is a broadcast that begins with `prefix`.
    #[must_use]
    pub fn is_broadcast(&self, prefix: &str) -> bool {
        matches!(self, What::Broadcast(line) if line.starts_with(prefix))
    }

    /// Whether this is a line to a client that begins with `prefix`.
    #[must_use]
    pub fn is_sent(&self, prefix: &str) -> bool {
        matches!(self, What::Sent(_, line) if line.starts_with(prefix))
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Started => f.write_str("started"),
            What::Stopped => f.write_str("stopped"),
            What::Restarting => f.write_str("restarting"),
            What::Connected(client) => write!(f, "client {client} connected"),
            What::Disconnected(client) => write!(f, "client {client} disconnected"),
            What::Command(client, line) => write!(f, "client {client} > {line}"),
            What::Sent(client, line) => write!(f, "client {client} < {line}"),
            What::Broadcast(line) => write!(f, "broadcast {line}"),
            What::Received(from, kind) => write!(f, "{kind} from {from}"),
            What::Transmitted(to, kind) => write!(f, "{kind} to {to}"),
            What::Packet(peer, packet) => write!(f, "packet of {} from {peer}", packet.len()),
        }
    }
}

/// The log, shared between a server's thread and its watchers.
#[derive(Debug)]
pub(crate) struct EventLog {
    inner: Mutex<Inner>,
    changed: Condvar,
    capacity: usize,
    /// How many clients there have been. Kept here so that a number in the log means one client,
    /// over all runs of the server.
    clients: AtomicU32,
    /// How many runs there have been.
    runs: AtomicU32,
}

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<Event>,
    /// Number of the next event.
    next: u64,
    /// How many threads wait for one.
    waiting: usize,
}

impl Inner {
    /// Events from number `from` on.
    fn since(&self, from: u64) -> impl Iterator<Item = &Event> {
        let first = self.next - self.events.len() as u64;
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        self.events.range(skip.min(self.events.len())..)
    }
}

/// How many events an error message shows.
const TAIL: usize = 30;

impl EventLog {
    pub(crate) fn new(capacity: usize) -> Self {
        EventLog {
            inner: Mutex::default(),
            changed: Condvar::new(),
            capacity: capacity.max(1),
            clients: AtomicU32::new(0),
            runs: AtomicU32::new(0),
        }
    }

    /// The number of a new client.
    pub(crate) fn new_client(&self) -> ClientId {
        ClientId(self.clients.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The number of a new run of the server.
    pub(crate) fn new_run(&self) -> u64 {
        self.runs.fetch_add(1, Ordering::Relaxed).into()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The log is whole after every operation, so a thread that panicked did no harm.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, batch: impl IntoIterator<Item = (Instant, What)>) {
        let mut inner = self.lock();
        for (at, what) in batch {
            if inner.events.len() >= self.capacity {
                inner.events.pop_front();
            }
            let number = inner.next;
            inner.next += 1;
            inner.events.push_back(Event { number, at, what });
        }
        if inner.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Number of the next event.
    pub(crate) fn next(&self) -> u64 {
        self.lock().next
    }

    /// What `pick` makes of all events.
    pub(crate) fn collect<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
        self.lock().events.iter().filter_map(pick).collect()
    }

    /// The events from number `from` on.
    pub(crate) fn since(&self, from: u64) -> Vec<Event> {
        self.lock().since(from).cloned().collect()
    }

    /// The first event from number `from` on that is wanted; waits for it if need be.
    pub(crate) fn wait(
        &self,
        mut from: u64,
        patience: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Option<Event> {
        let deadline = Instant::now() + patience;
        let mut inner = self.lock();
        loop {
            if let Some(event) = inner.since(from).find(|event| wanted(event)) {
                return Some(event.clone());
            }
            from = inner.next;
            let left = deadline.checked_duration_since(Instant::now())?;
            inner.waiting += 1;
            inner = self
                .changed
                .wait_timeout(inner, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(inner, _)| inner);
            inner.waiting -= 1;
        }
    }

    /// The last events as text.
    pub(crate) fn tail(&self) -> String {
        let inner = self.lock();
        let skip = inner.events.len().saturating_sub(TAIL);
        let mut text = String::new();
        for event in inner.events.range(skip..) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {:6} {}", event.number, event.what);
        }
        text
    }
}

/// Reads the log from one point on, event by event: what one call has found, the next begins after.
/// So "first this, then that" is two calls.
#[derive(Clone, Debug)]
pub struct Follower {
    log: Arc<EventLog>,
    next: u64,
    seed: u64,
}

impl Follower {
    pub(crate) const fn new(log: Arc<EventLog>, next: u64, seed: u64) -> Self {
        Follower { log, next, seed }
    }

    /// The next event that is wanted; those before it are passed over. Waits up to `patience`.
    ///
    /// # Errors
    ///
    /// If it does not happen in time; the error shows the end of the log.
    pub fn next_within(
        &mut self,
        patience: Duration,
        what: &str,
        wanted: impl Fn(&What) -> bool,
    ) -> Result<Event, crate::LabError> {
        let found = self
            .log
            .wait(self.next, patience, |event| wanted(&event.what));
        match found {
            Some(event) => {
                self.next = event.number + 1;
                Ok(event)
            }
            None => Err(crate::LabError::Timeout {
                what: what.into(),
                waited: patience,
                seed: self.seed,
                tail: self.log.tail(),
            }),
        }
    }

    /// The next event that is wanted, within [`LabHandle::PATIENCE`](crate::LabHandle::PATIENCE).
    ///
    /// # Errors
    ///
    /// If it does not happen in time.
    pub fn next(
        &mut self,
        what: &str,
        wanted: impl Fn(&What) -> bool,
    ) -> Result<Event, crate::LabError> {
        self.next_within(crate::LabHandle::PATIENCE, what, wanted)
    }

    /// The next command that begins with `prefix`.
    ///
    /// # Errors
    ///
    /// If it does not come in time.
    pub fn command(&mut self, prefix: &str) -> Result<Event, crate::LabError> {
        self.next(&format!("command {prefix}"), |what| what.is_command(prefix))
    }

    /// The next broadcast that begins with `prefix`, such as `NOTE KXDONE alice`.
    ///
    /// # Errors
    ///
    /// If it does not come in time.
    pub fn broadcast(&mut self, prefix: &str) -> Result<Event, crate::LabError> {
        self.next(&format!("broadcast {prefix}"), |what| {
            what.is_broadcast(prefix)
        })
    }

    /// The next line to any client that begins with `prefix`.
    ///
    /// # Errors
    ///
    /// If it does not come in time.
    pub fn sent(&mut self, prefix: &str) -> Result<Event, crate::LabError> {
        self.next(&format!("line {prefix}"), |what| what.is_sent(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> (Instant, What) {
        (Instant::now(), What::Command(ClientId(1), text.into()))
    }

    #[test]
    fn old_events_are_forgotten_but_numbers_go_on() {
        let log = EventLog::new(3);
        log.push((0..5).map(|i| command(&format!("C{i}"))));
        assert_eq!(log.collect(|event| Some(event.number)), [2, 3, 4]);
        let found = log.wait(0, Duration::ZERO, |event| event.what.is_command("C"));
        assert_eq!(found.map(|event| event.number), Some(2));
        assert!(log.wait(5, Duration::ZERO, |_| true).is_none());
    }

    #[test]
    fn the_events_since_a_number_are_those_that_are_left_from_there_on_in_order() {
        let log = EventLog::new(3);
        let since = |from: u64| -> Vec<(u64, String)> {
            let events = log.since(from).into_iter();
            events.map(|it| (it.number, it.what.to_string())).collect()
        };
        let expected = |numbers: &[u64]| -> Vec<(u64, String)> {
            let event = |number: &u64| (*number, format!("client 1 > C{number}"));
            numbers.iter().map(event).collect()
        };
        assert_eq!(since(0), [], "nothing has happened");
        log.push((0..2).map(|number| command(&format!("C{number}"))));
        assert_eq!(since(0), expected(&[0, 1]));
        assert_eq!(since(1), expected(&[1]));
        assert_eq!(since(2), [], "nothing is new");
        log.push((2..5).map(|number| command(&format!("C{number}"))));
        for dropped in [0, 1, 2] {
            assert_eq!(since(dropped), expected(&[2, 3, 4]), "from {dropped}");
        }
        assert_eq!(since(3), expected(&[3, 4]));
        assert_eq!(since(4), expected(&[4]));
        for future in [5, 6, u64::MAX] {
            assert_eq!(since(future), [], "from {future}");
        }
        assert_eq!(log.next(), 5, "looking takes nothing away");
        assert_eq!(since(0), expected(&[2, 3, 4]));
    }

    #[test]
    fn a_waiter_is_woken() {
        let log = Arc::new(EventLog::new(10));
        let mut follower = Follower::new(Arc::clone(&log), 0, 1);
        let thread = std::thread::spawn(move || {
            let one = follower.command("ONE").unwrap().number;
            let two = follower.command("TWO").unwrap().number;
            (one, two)
        });
        log.push([command("TWO"), command("ONE")]);
        log.push([command("TWO")]);
        assert_eq!(thread.join().unwrap(), (1, 2));
    }

    #[test]
    fn in_vain_is_told_with_the_seed() {
        let log = Arc::new(EventLog::new(10));
        log.push([command("LIST")]);
        let mut follower = Follower::new(log, 0, 77);
        let error = follower
            .next_within(Duration::ZERO, "nothing", |_| false)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("seed 77") && error.contains("client 1 > LIST"),
            "{error}"
        );
    }
}
