// SPDX-License-Identifier: GPL-3.0-or-later
//! Looking up the host name of a peer that does not answer, and adding the peer again where the
//! name has another address (key `re-resolve`).
//!
//! ```text
//!   an attempt without reply, or a failed check --> want_lookup --LookUp--> script helper
//!   LookedUp --> looked_up --the address has changed--> add, as for any peer that is there
//! ```

use std::net::{IpAddr, SocketAddr};

use connect_ipc::PeerId;
use connect_ipc::event::EventKind;
use connect_ipc::lookup::{Found, LookedUp, Lookup, LookupResult, LookupStatus};
use connect_ipc::scripts::ToScripts;
use connect_policy::resolving::{NamedAddress, looked_up};
use peerdb::Record;
use tripe_admin::Address;

use super::lookups::Meaning;
use crate::machine::Machine;
use crate::machine::peers::Peer;
use crate::machine::requester::Requester;

/// From which attempt without reply on the name is looked up, so that one lost packet disturbs
/// nothing.
const ATTEMPT: u32 = 2;

/// Where the server has a peer.
struct Present {
    words: String,
    ip: IpAddr,
    port: u16,
}

impl Present {
    fn of(peer: &Peer) -> Option<Self> {
        let words = peer.address.as_deref()?;
        match &tripe_admin::split(words)[..] {
            [_, ip, port] => Some(Present {
                words: words.to_owned(),
                ip: ip.parse().ok()?,
                port: port.parse().ok()?,
            }),
            _ => None,
        }
    }
}

impl Machine {
    /// The attempt `attempt` of the `of` attempts of a check was not answered. If a check has one
    /// or two attempts, its first one already makes a lookup wanted, since a static peer is removed
    /// after the last.
    pub(in crate::machine) fn attempt_missed(&mut self, name: &str, attempt: u32, of: u32) {
        let enough = if of > ATTEMPT { ATTEMPT } else { 1 };
        if attempt >= enough {
            self.want_lookup(name);
        }
    }

    /// The peer's name is to be looked up, if its record asks for that.
    pub(in crate::machine) fn want_lookup(&mut self, name: &str) {
        if self.named_address(name).is_some() && self.scripts.helper.ready().is_some() {
            self.additions.lookups.want(name, self.now);
        }
    }

    /// The host name that is looked up for this peer, if one is.
    fn named_address(&self, name: &str) -> Option<NamedAddress> {
        looked_up(self.database.current.peer(name)?)
    }

    /// How the lookups of this peer's host name stand; `None` if it is not to be looked up.
    pub(in crate::machine) fn lookup_status(
        &self,
        name: &str,
        record: Option<&Record>,
    ) -> Option<Box<LookupStatus>> {
        let host = looked_up(record?)?.host;
        let status = self.additions.lookups.status(name, host, self.now);
        Some(Box::new(status))
    }

    /// Gives up lookups that were not answered, and begins others.
    pub(super) fn tend_lookups(&mut self) {
        for number in self.additions.lookups.overdue(self.now) {
            let found = Found::Failed("the script helper has not answered".to_owned());
            self.looked_up(LookedUp { number, found });
        }
        while let Some(name) = self.additions.lookups.next() {
            // A peer that answers again needs none.
            let silent = self
                .silent(&name)
                .map(|(id, peer)| (id, peer.address.is_none()));
            let Some(((id, is_untold), address)) = silent.zip(self.named_address(&name)) else {
                self.additions.lookups.set_aside(&name);
                continue;
            };
            if is_untold {
                // What is found is compared with it. The server has refused to tell it once.
                self.ask_address(id);
            }
            let number = self.additions.lookups.begin(name, self.now);
            self.tell_scripts(ToScripts::LookUp(Lookup {
                number,
                host: address.host,
                family: address.family,
            }));
        }
    }

    /// A lookup has ended.
    pub(in crate::machine) fn looked_up(&mut self, answer: LookedUp) {
        // An answer to an earlier core, or one that comes too late.
        let Some(name) = self.additions.lookups.end(answer.number, self.now) else {
            return;
        };
        let Some(address) = self.named_address(&name) else {
            return;
        };
        let result = match answer.found {
            Found::Failed(error) => LookupResult::Failed(error),
            Found::Addresses(found) => self.found(&name, &address, &found),
        };
        self.events.counters.lookups.count(&result);
        if self.additions.lookups.note(&name, result.clone(), self.now)
            && let LookupResult::Failed(error) = result
        {
            let host = address.host;
            tracing::warn!(
                peer = name,
                host,
                error,
                "cannot look up the host name of a peer that does not answer"
            );
            self.emit(Some(&name), || EventKind::LookupFailed { host, error });
        }
    }

    /// A peer that the server has and that does not answer.
    fn silent(&self, name: &str) -> Option<(PeerId, &Peer)> {
        let id = self.peers.find(name)?;
        let peer = self.peers.get(id)?;
        (peer.outcome.killed_for.is_none() && is_silent(peer)).then_some((id, peer))
    }

    /// Adds the peer again if it does not answer and its name has other addresses.
    fn found(&mut self, name: &str, address: &NamedAddress, found: &[IpAddr]) -> LookupResult {
        let silent = self.silent(name);
        let Some((id, present)) = silent.and_then(|(id, peer)| Some((id, Present::of(peer)?)))
        else {
            return LookupResult::NotNeeded;
        };
        if self.additions.is_under_way(name) {
            return LookupResult::NotNeeded;
        }
        let port = address.port.unwrap_or(present.port);
        let at = |ip| Address::from(SocketAddr::new(ip, port));
        let lookups = &mut self.additions.lookups;
        match lookups.judge(name, present.ip, found, self.now) {
            Meaning::Stay => LookupResult::Same,
            Meaning::Wait(ip) => LookupResult::Waits(at(ip).to_string()),
            Meaning::Move(ip) => {
                let (to, from) = (at(ip), present.words);
                // The server would refuse it after the peer is removed.
                let recorded = &self.database.current;
                let address = SocketAddr::new(ip, port);
                if self.peers.has_address(&to.to_string())
                    || self.additions.lookups.is_recorded(address, recorded)
                {
                    return LookupResult::Taken(to.to_string());
                }
                self.move_peer(id, name, from, &to);
                LookupResult::Moved(to.to_string())
            }
        }
    }

    fn move_peer(&mut self, id: PeerId, name: &str, from: String, to: &Address) {
        self.additions.lookups.moved(name, self.now);
        let new = to.to_string();
        tracing::info!(
            peer = name,
            from,
            to = new,
            "the host name of a peer that does not answer has a new address; adding the peer again"
        );
        self.emit(Some(name), || EventKind::NewAddress { from, to: new });
        self.add(name, to.words().to_vec(), Requester::Lookup(id));
    }
}

/// Whether the last ping of a peer was not answered.
fn is_silent(peer: &Peer) -> bool {
    peer.adoption().is_some_and(|adoption| {
        let phase = adoption.liveness.phase();
        phase.failed_checks > 0 || (phase.checking && phase.failures > 0)
    })
}
