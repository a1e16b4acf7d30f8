// SPDX-License-Identifier: GPL-3.0-or-later
//! The worst that a user without rights can do to the sockets, as far as we know it. None of these
//! returns, but by an error of its own.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connect_ipc::control::Request;
use connect_ipc::event_filter::{EventFilter, EventKinds};
use connect_ipc::hello::{Hello, Role};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{connect, line, request};
use crate::rig::name;

/// How many connections one attacker holds.
const CONNECTIONS: usize = 32;

/// How many requests go out in one write.
const BURST: usize = 200;

/// How often a slow reader reads, and how much.
const SLOW: Duration = Duration::from_millis(10);
const SIP: usize = 4 * 1024;

/// After how many reads it leaves.
const SIPS: usize = 64;

/// How many subscriptions a subscriber makes on each connection.
const SUBSCRIPTIONS: usize = 4;

/// How long an attacker rests who was refused, or who has nothing to do before core has acted.
const REST: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};

/// How long one waits for an answer that it would like to be made for nothing.
const TURN: Duration = Duration::from_millis(20);

/// Asks for the state without end on each connection, and reads nothing.
pub(super) fn flood(socket: &Path) -> anyhow::Result<()> {
    let burst = request(Request::Status {})?.repeat(BURST);
    let mut places: Vec<Option<(UnixStream, usize)>> = (0..CONNECTIONS).map(|_| None).collect();
    loop {
        for place in &mut places {
            if place.is_none() {
                *place = connect(socket, b"").ok().map(|stream| (stream, 0));
            }
            let Some((stream, at)) = place else { continue };
            match stream.write(&burst[*at..]) {
                Ok(written) => *at = (*at + written) % burst.len(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => *place = None,
            }
        }
        let streams = places.iter().flatten().map(|(stream, _)| stream);
        wait(streams, PollFlags::OUT)?;
    }
}

/// Asks for the state and reads little of it at a time, leaves in the middle and comes again.
pub(super) fn slow(socket: &Path) -> anyhow::Result<()> {
    let ask = request(Request::Status {})?;
    let mut places: Vec<Option<(UnixStream, usize)>> = (0..CONNECTIONS).map(|_| None).collect();
    let mut sip = [0; SIP];
    loop {
        for place in &mut places {
            if place.is_none() {
                *place = connect(socket, &ask).ok().map(|stream| (stream, 0));
            }
            let Some((stream, sips)) = place else {
                continue;
            };
            let is_over = match stream.read(&mut sip) {
                Ok(read) => read == 0,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
            *sips += 1;
            if is_over || *sips > SIPS {
                *place = None;
            }
        }
        std::thread::sleep(SLOW);
    }
}

/// Subscribes to all events, several times on each connection, and reads them.
pub(super) fn subscribe(socket: &Path) -> anyhow::Result<()> {
    let ask = request(Request::Events(EventFilter {
        kinds: EventKinds::ALL,
        ..EventFilter::default()
    }))?;
    let asks = ask.repeat(SUBSCRIPTIONS);
    let mut places: Vec<Option<UnixStream>> = (0..CONNECTIONS).map(|_| None).collect();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        for place in &mut places {
            if place.is_none() {
                *place = connect(socket, &asks).ok();
            }
            let Some(stream) = place else { continue };
            let is_over = match stream.read(&mut buffer) {
                Ok(read) => read == 0,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
            if is_over {
                *place = None;
            }
        }
        wait(places.iter().flatten(), PollFlags::IN)?;
    }
}

/// Comes and goes on each socket, and each time says something else.
pub(super) fn churn(sockets: &[PathBuf]) -> anyhow::Result<()> {
    let long = Hello {
        version: "x".repeat(1024 * 1024),
        ..Hello::new(Role::Operator)
    };
    let long = line(&long)?;
    let half = b"{\"id\":1,\"request\":{\"sta".to_vec();
    let nonsense = b"{\"id\":1,\"request\":{\"nonsense\":{}}}\n".repeat(BURST);
    let records = Request::Records {
        after: String::new(),
    };
    let info = Request::Info { peer: name(0) };
    let costly = [info, Request::Changes {}, records];
    let mut words = vec![Vec::new(), half, nonsense];
    for request in costly {
        words.push(super::request(request)?.repeat(BURST / 10));
    }
    loop {
        for socket in sockets {
            for words in &words {
                let Ok(stream) = connect(socket, words) else {
                    wait(std::iter::empty(), PollFlags::IN)?;
                    continue;
                };
                if words.len() > 1 {
                    sip(stream);
                }
            }
            // A hello of a mebibyte is no line after another hello, but in its place.
            if let Ok(mut stream) = UnixStream::connect(socket) {
                stream.set_write_timeout(Some(TURN))?;
                // Core may close the connection in the middle of it.
                let _ = stream.write_all(&long);
            }
        }
    }
}

/// Takes the beginning of an answer.
fn sip(mut stream: UnixStream) {
    let mut buffer = [0; SIP];
    if stream.set_nonblocking(false).is_ok() && stream.set_read_timeout(Some(TURN)).is_ok() {
        // Core has closed the connection, or says nothing in time: then the next one comes.
        let _ = stream.read(&mut buffer);
    }
}

/// Waits for a moment, or until one of these is ready.
fn wait<'a>(streams: impl Iterator<Item = &'a UnixStream>, flags: PollFlags) -> anyhow::Result<()> {
    let mut waited: Vec<PollFd<'_>> = streams.map(|stream| PollFd::new(stream, flags)).collect();
    poll(&mut waited, Some(&REST))?;
    Ok(())
}
