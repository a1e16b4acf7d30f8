// SPDX-License-Identifier: GPL-3.0-or-later
//! Asks core what it tells everybody, without a trace: a copy is asked.

use connect_core::machine::{ConnectionId, Input, Machine, Output};
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{Envelope, PeerDetail, PeerStatus, Reply, Request, ServiceStatus};

/// The connection that asks: core gives out numbers from 1 on.
const WE: ConnectionId = ConnectionId(u64::MAX);

/// How many steps an answer may take: a table of 100 rows takes one.
const STEPS: u32 = 10_000;

/// The replies of core to a request at `now`.
pub(super) fn ask(core: &Machine, now: Monotonic, request: Request) -> Vec<Reply> {
    let mut core = core.clone();
    let mut replies = Vec::new();
    let mut inputs = vec![Input::Request {
        connection: WE,
        by: "simulation".into(),
        user: None,
        envelope: Envelope { id: 1, request },
    }];
    let mut now = now;
    for _ in 0..STEPS {
        inputs.push(Input::EndOfTurn);
        let mut outputs = Vec::new();
        for input in inputs.drain(..) {
            core.handle(input, now, &mut outputs);
        }
        for output in outputs {
            match output {
                Output::Answer(WE, answer) => replies.push(answer.reply),
                Output::Rows { to, rows, .. } => {
                    // Others read as fast as we do.
                    inputs.extend(to.iter().map(|(connection, _)| Input::Drained(*connection)));
                    if to.iter().any(|(connection, _)| *connection == WE) {
                        replies.push(Reply::Peers(rows));
                    }
                }
                _ => {}
            }
        }
        if replies.last().is_some_and(Reply::is_final) {
            break;
        }
        now = core.next_deadline().map_or(now, |due| now.max(due));
    }
    replies
}

/// One peer in full.
pub(crate) fn peer(core: &Machine, now: Monotonic, name: &str) -> Option<PeerDetail> {
    let peer = name.to_owned();
    match ask(core, now, Request::Info { peer }).pop() {
        Some(Reply::Peer(detail)) => Some(*detail),
        _ => None,
    }
}

/// The state of the service and the rows of all peers.
pub(super) fn state(core: &Machine, now: Monotonic) -> Option<(ServiceStatus, Vec<PeerStatus>)> {
    let mut service = None;
    let mut rows = Vec::new();
    for reply in ask(core, now, Request::Status {}) {
        match reply {
            Reply::Service(status) => service = Some(*status),
            Reply::Peers(some) => rows.extend(some.list),
            _ => {}
        }
    }
    Some((service?, rows))
}
