// SPDX-License-Identifier: GPL-3.0-or-later
//! A hostile neighbour: another user of the host, who may only look, and who does it in a way that
//! costs the service as much as it lets a stranger cost it.
//!
//! ```text
//!   opens, a thread   -> as many connections as there are descriptors, which say nothing
//!   asks, a thread    -> requests for the state, whose answers are never read
//!   gabbles, a thread -> malformed lines, and a line that does not end
//!   listens, a thread -> subscriptions to every event, of which none is read
//! ```

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use connect_ipc::control::{Envelope, Request};
use connect_ipc::event_filter::{EventFilter, EventKinds};
use connect_ipc::hello::{Hello, Role};
use connect_runtime::clock;

use crate::report::Verdict;

/// The user who looks, if this program may choose one: `nobody` on every system.
pub(crate) const STRANGER: u32 = 65_534;

/// When it ends by itself, if nobody has ended it: a fault takes at most three seconds.
const LIFE: Duration = Duration::from_secs(10);

/// The pause after a connection that was refused: the service must not be all that this machine
/// does.
const PAUSE: Duration = Duration::from_millis(5);

/// How many connections of each kind are kept: more than one user gets.
const KEPT: usize = 64;

/// Is hostile until it is ended.
pub(crate) fn play(socket: &Path) -> anyhow::Result<Verdict> {
    let hello = serde_json::to_string(&Hello::new(Role::Operator))?;
    let request = |request| serde_json::to_string(&Envelope { id: 1, request });
    let status = format!("{}\n", request(Request::Status {})?).repeat(50);
    let events = request(Request::Events(EventFilter {
        kinds: EventKinds::ALL,
        ..EventFilter::default()
    }))?;
    let texts = [
        String::new(),
        format!("{hello}\n{status}"),
        format!("{hello}\n{{\"id\":\n\n[]\nnonsense\n{}", "x".repeat(65_536)),
        format!("{hello}\n{events}\n"),
    ];
    std::thread::scope(|scope| {
        for text in &texts {
            scope.spawn(|| bother(socket, text.as_bytes()));
        }
    });
    Ok(Verdict::Clean)
}

/// Makes connection after connection, sends the text on each again and again, and reads nothing.
fn bother(socket: &Path, text: &[u8]) {
    let until = clock::now() + LIFE;
    let mut kept: Vec<UnixStream> = Vec::new();
    while clock::now() < until {
        if kept.len() < KEPT
            && let Ok(stream) = connect(socket)
        {
            kept.push(stream);
        }
        let before = kept.len();
        // One that is full stays open; one that was closed makes room for another.
        kept.retain_mut(|stream| match stream.write(text) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        });
        if kept.len() < before || kept.len() == KEPT || text.is_empty() {
            std::thread::sleep(PAUSE);
        }
    }
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_connection_that_is_full_or_closed_does_not_end_it() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("observe.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let path = socket.clone();
        // It ends by itself, and the test does not wait for it.
        std::thread::spawn(move || bother(&path, &[b'x'; 70_000]));
        let (full, _) = listener.accept().unwrap();
        drop(listener.accept().unwrap());
        let (mut third, _) = listener.accept().unwrap();
        let mut byte = [0];
        third.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [b'x']);
        drop(full);
    }
}
