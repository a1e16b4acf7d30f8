// SPDX-License-Identifier: GPL-3.0-or-later
//! Pings that operators request. Each is the peer's next check, made at once, or the ping that is
//! already under way: so the server never has two for one peer, and every ping counts.
//!
//! ```text
//!   Request::Ping --> [ping_requested] --CheckNow--> pinger --order--> server
//!   result --> [ping_result] --> Reply::Pinged to all who wait for the peer
//! ```

use connect_ipc::PeerId;
use connect_ipc::control::{Reply, ServerLink};
use connect_ipc::overdue::OverdueCause;
use connect_ipc::pinger::{PingOutcome, PingResult};
use connect_liveness::EarlyCheck;

use crate::machine::requester::OperatorRequest;
use crate::machine::{ConnectionId, Machine};

impl Machine {
    /// An operator requests a ping of a peer now.
    pub(in crate::machine) fn ping_requested(&mut self, request: OperatorRequest, name: &str) {
        let id = match self.admit_ping(name) {
            Ok(id) => id,
            Err(failure) => return self.refuse_ping(request, &failure),
        };
        self.pinger.asked.add(id, request);
        self.check_early(id, EarlyCheck::Usual);
    }

    /// The peer to be pinged, or the words that say why it cannot be.
    fn admit_ping<'a>(&self, name: &'a str) -> Result<PeerId, Vec<&'a str>> {
        if self.link() != ServerLink::Up {
            return Err(vec!["server-unavailable"]);
        }
        let Some(id) = self.peers.find(name) else {
            let known = self.database.current.peer(name).is_some();
            let code = if known {
                "peer-not-added"
            } else {
                "unknown-peer"
            };
            return Err(vec![code, name]);
        };
        if self
            .peers
            .get(id)
            .is_none_or(|peer| peer.adoption().is_none())
        {
            return Err(vec!["peer-not-adopted", name]);
        }
        if self.pinger.helper.ready().is_none() {
            return Err(vec!["no-pinger"]);
        }
        match self.overdue_checks().cause {
            Some(OverdueCause::PingerSilent) => Err(vec!["pinger-silent"]),
            Some(OverdueCause::ServerSilent) => Err(vec!["server-silent"]),
            _ => Ok(id),
        }
    }

    /// Answers those who wait for a ping with its result. A void ping is sent again.
    pub(super) fn tell_asked(&mut self, id: PeerId, result: PingResult) {
        if self.pinger.asked.is_empty() || result == PingResult::Void {
            return;
        }
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let timeout = peer.adoption().map_or(0, |it| it.liveness.plan().timeout);
        let reply = match result {
            PingResult::Failed => Reply::Failed(vec!["ping-failed".into(), peer.name().into()]),
            _ => Reply::Pinged(PingOutcome { result, timeout }),
        };
        self.answer_asked(id, &reply);
    }

    /// Tells those who wait for a ping of a peer why there is no result.
    pub(in crate::machine) fn fail_asked<S: AsRef<str>>(&mut self, id: PeerId, failure: &[S]) {
        if !self.pinger.asked.is_empty() {
            self.answer_asked(id, &failed(failure));
        }
    }

    fn answer_asked(&mut self, id: PeerId, reply: &Reply) {
        for request in self.pinger.asked.take(id) {
            self.answer(request.connection, request.request, reply.clone());
        }
    }

    /// Tells everybody who waits for a ping that none will come.
    pub(in crate::machine) fn fail_all_asked(&mut self, failure: &str) {
        for request in self.pinger.asked.take_all() {
            self.refuse_ping(request, &[failure]);
        }
    }

    /// An operator has disconnected.
    pub(in crate::machine) fn forget_asked(&mut self, connection: ConnectionId) {
        self.pinger.asked.forget(connection);
    }

    fn refuse_ping<S: AsRef<str>>(&mut self, request: OperatorRequest, failure: &[S]) {
        self.answer(request.connection, request.request, failed(failure));
    }
}

fn failed<S: AsRef<str>>(words: &[S]) -> Reply {
    Reply::Failed(words.iter().map(|word| word.as_ref().to_owned()).collect())
}
