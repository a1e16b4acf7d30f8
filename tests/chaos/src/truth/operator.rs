// SPDX-License-Identifier: GPL-3.0-or-later
//! The operator, who has scripts of peers run once more, as `connect-cli ifup` does. A thread waits
//! for each of them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use connect_ipc::control::{Answer, Envelope, Reply, Request, RunProgress};
use connect_ipc::hello::{Hello, Role};
use connect_ipc::scripts::{Ended, InterfaceScript};
use connect_runtime::clock;

use judge::history::Asked;

/// How many requests may be under way: fewer than the service admits.
const MOST: usize = 32;

/// What was asked for and may have been run, by peer.
pub(crate) type AskedOf = BTreeMap<String, Vec<Asked>>;

/// The operator.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    asked: Arc<Mutex<AskedOf>>,
    under_way: Arc<AtomicUsize>,
}

impl Operator {
    /// Asks for a script of a peer, unless too many are under way.
    pub(crate) fn ask(&self, runtime: &Path, peer: &str, script: InterfaceScript) -> bool {
        if self.under_way.load(Ordering::Relaxed) >= MOST {
            return false;
        }
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let (asked, under_way) = (Arc::clone(&self.asked), Arc::clone(&self.under_way));
        let (socket, peer) = (runtime.join("control.sock"), peer.to_owned());
        std::thread::spawn(move || {
            let mut one = Asked {
                kind: script.into(),
                at: clock::now(),
                started: None,
            };
            if may_have_run(&socket, &peer, script, &mut one) {
                let mut all = asked.lock().unwrap_or_else(PoisonError::into_inner);
                all.entry(peer).or_default().push(one);
            }
            under_way.fetch_sub(1, Ordering::Relaxed);
        });
        true
    }

    /// Whether no request is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    /// What was asked for and may have been run.
    pub(crate) fn asked(&self) -> AskedOf {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

/// Asks, and reads what follows from it. Whether the script may have been run: if the service ends
/// before it has answered, nobody knows.
fn may_have_run(socket: &Path, peer: &str, script: InterfaceScript, asked: &mut Asked) -> bool {
    let Ok(stream) = send(socket, peer, script) else {
        // The order may have been read before the service died.
        return true;
    };
    let Some(stream) = stream else { return false };
    for line in BufReader::new(stream).lines().skip(1) {
        let answer = line
            .ok()
            .and_then(|it| serde_json::from_str::<Answer>(&it).ok());
        match answer.map(|answer| answer.reply) {
            Some(Reply::Run(RunProgress::Started { pid })) => {
                asked.started = Some((pid, clock::now()));
            }
            Some(Reply::Run(RunProgress::Ended(Ended::Stopped | Ended::NotStarted(_)))) => {
                return asked.started.is_some();
            }
            Some(Reply::Run(RunProgress::Ended(_))) => return true,
            // It was refused.
            Some(Reply::Failed(_)) => return false,
            Some(_) => {}
            None => return true,
        }
    }
    true
}

/// Sends the request; `None` if there is no service.
fn send(socket: &Path, peer: &str, script: InterfaceScript) -> anyhow::Result<Option<UnixStream>> {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return Ok(None);
    };
    let request = Request::RunScript {
        peer: peer.to_owned(),
        script,
    };
    let hello = serde_json::to_string(&Hello::new(Role::Operator))?;
    let request = serde_json::to_string(&Envelope { id: 1, request })?;
    stream.write_all(format!("{hello}\n{request}\n").as_bytes())?;
    Ok(Some(stream))
}
