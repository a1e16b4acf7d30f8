// SPDX-License-Identifier: GPL-3.0-or-later
//! The state of the service as it tells it itself.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use anyhow::Context as _;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{
    Answer, Envelope, PeerState, PeerStatus, Reply, Request, ServiceStatus,
};
use connect_ipc::hello::{Hello, Role};
use connect_runtime::clock;

use crate::load::tracks::Pings;

/// How long core may take to answer. It may be stopped, and then it is asked again.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// The state.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) service: Box<ServiceStatus>,
    /// Each peer.
    pub(crate) peers: BTreeMap<String, Row>,
}

/// What is told of a peer.
#[derive(Debug)]
pub(crate) struct Row {
    /// The number of the last event that is included.
    pub(crate) seq: u64,
    pub(crate) state: PeerState,
    pub(crate) address: Option<String>,
    pub(crate) pings: Pings,
}

impl Status {
    /// How many scripts are queued and under way.
    pub(crate) fn pending(&self) -> u64 {
        self.service.counters.scripts.pending
    }
}

/// A thread that asks for the state when it is wanted, so that nobody else has to wait for a core
/// that is suspended.
#[derive(Debug)]
pub(crate) struct Poller {
    wanted: SyncSender<()>,
    /// Each state with the moment at which it was asked for.
    found: Receiver<(Monotonic, Status)>,
}

impl Poller {
    /// Starts the thread. It ends when this is dropped.
    pub(crate) fn start(runtime: &Path) -> Self {
        let (wanted, asked) = mpsc::sync_channel(1);
        let (finding, found) = mpsc::sync_channel(1);
        let runtime = runtime.to_owned();
        std::thread::spawn(move || {
            while let Ok(()) = asked.recv() {
                let at = clock::now();
                if let Ok(status) = ask(&runtime)
                    && finding.send((at, status)).is_err()
                {
                    return;
                }
                std::thread::sleep(PAUSE);
            }
        });
        Poller { wanted, found }
    }

    /// A state that was asked for after this moment, if there is one yet.
    pub(crate) fn status(&self, since: Monotonic) -> Option<Status> {
        // It may be busy with the last question.
        let _ = self.wanted.try_send(());
        let (at, status) = self.found.try_recv().ok()?;
        (at > since).then_some(status)
    }
}

/// Asks for the state.
///
/// # Errors
/// If core does not answer.
pub(crate) fn ask(runtime: &Path) -> anyhow::Result<Status> {
    let mut stream = UnixStream::connect(runtime.join("control.sock"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let hello = serde_json::to_string(&Hello::new(Role::Operator))?;
    let request = Envelope {
        id: 1,
        request: Request::Status {},
    };
    let request = serde_json::to_string(&request)?;
    stream.write_all(format!("{hello}\n{request}\n").as_bytes())?;
    let mut service = None;
    let mut peers = BTreeMap::new();
    for line in BufReader::new(stream).lines().skip(1) {
        let answer: Answer = serde_json::from_str(&line?)?;
        match answer.reply {
            Reply::Service(found) => service = Some(found),
            Reply::Peers(found) => {
                let seq = found.seq;
                let row = |peer: PeerStatus| Row {
                    seq,
                    state: peer.state,
                    address: peer.address,
                    pings: Pings {
                        replies: peer.statistics.replies,
                        lost: peer.statistics.lost,
                    },
                };
                let named = |peer: PeerStatus| (peer.name.clone(), row(peer));
                peers.extend(found.list.into_iter().map(named));
            }
            Reply::Done {} => break,
            other => anyhow::bail!("core answers a request for its state with {other:?}"),
        }
    }
    let service = service.context("core closed the connection")?;
    Ok(Status { service, peers })
}
