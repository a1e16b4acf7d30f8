// SPDX-License-Identifier: GPL-3.0-or-later
//! The thread of one observer: it subscribes to every event, reads what comes, and connects to the
//! next core when the connection has ended.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use connect_ipc::control::{Answer, Envelope, Request};
use connect_ipc::event_filter::{EventFilter, EventKinds};
use connect_ipc::hello::{Hello, Role};
use connect_runtime::clock;

use super::accord::Accord;
use super::recovery::Recovery;
use super::stream::Stream;

/// How often it is looked whether all is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The pause between attempts to connect: how exactly the time of a recovery is known.
const RETRY_EVERY: Duration = Duration::from_millis(10);

/// What an observer has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) stream: Stream,
    pub(crate) recovery: Recovery,
}

/// An observer.
#[derive(Debug)]
pub(crate) struct Observer {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Observer {
    /// Starts the thread.
    pub(crate) fn start(socket: &Path, accord: Accord) -> Self {
        let seen = Arc::new(Mutex::new(Seen {
            stream: Stream::new(accord),
            recovery: Recovery::default(),
        }));
        let over = Arc::new(AtomicBool::new(false));
        let thread = Thread {
            socket: socket.to_owned(),
            seen: Arc::clone(&seen),
            over: Arc::clone(&over),
        };
        Observer {
            seen,
            over,
            thread: Some(std::thread::spawn(move || thread.run())),
        }
    }

    /// What it has seen so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends by itself, and has nothing more to tell.
            let _ = thread.join();
        }
    }
}

struct Thread {
    socket: PathBuf,
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
}

impl Thread {
    fn run(&self) {
        while !self.over.load(Ordering::Relaxed) {
            if let Ok(stream) = subscribe(&self.socket) {
                // However it ends, the next connection begins with the state.
                let _ = self.follow(stream);
            }
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.stream.closed();
            drop(seen);
            std::thread::sleep(RETRY_EVERY);
        }
    }

    /// Reads until the connection ends.
    fn follow(&self, stream: UnixStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let (mut line, mut is_hello) = (Vec::new(), true);
        while !self.over.load(Ordering::Relaxed) {
            match reader.read_until(b'\n', &mut line) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // What came until now stays in `line`.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            let text = std::mem::take(&mut line);
            if std::mem::take(&mut is_hello) {
                continue;
            }
            // The last line of a core that was killed may not be complete.
            let answer: Answer = serde_json::from_slice(&text)?;
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock::now();
            let Seen { stream, recovery } = &mut *seen;
            let replied = stream.take(answer.reply, now);
            recovery.look(stream.view(), replied, now);
        }
        Ok(())
    }
}

fn subscribe(socket: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LOOK_EVERY))?;
    let hello = serde_json::to_string(&Hello::new(Role::Operator))?;
    let request = Request::Events(EventFilter {
        kinds: EventKinds::ALL,
        ..EventFilter::default()
    });
    let request = serde_json::to_string(&Envelope { id: 1, request })?;
    stream.write_all(format!("{hello}\n{request}\n").as_bytes())?;
    Ok(stream)
}
