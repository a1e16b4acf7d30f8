// SPDX-License-Identifier: GPL-3.0-or-later
//! What core does when the server speaks: notifications, and answers to its own commands.

use tripe_admin::{Failure, Note};

use connect_ipc::PeerId;
use connect_ipc::event::EventKind;
use connect_ipc::pinger::{PingOutcome, ToPinger};
use connect_ipc::scripts::ScriptKind;

use super::context::{Asker, Context, PingEnd};
use super::peers::Particulars;
use super::{Ending, Machine};

impl Machine {
    pub(super) fn note(&mut self, note: Note) {
        if !self.claimed {
            // Somebody else's to act on. What it was about is in the list that is asked for once
            // the service is ours.
            return;
        }
        match note {
            Note::Add {
                peer,
                ifname,
                address,
            } => {
                // A peer whose removal went unseen is watched under a number that is void now.
                if let Some(old) = self.peers.find(&peer) {
                    self.disown(old);
                }
                self.emit(Some(&peer), || EventKind::Added {
                    address: address.to_string(),
                    interface: ifname.clone(),
                });
                let record = self.database.current.peer(&peer).cloned();
                let id = self.peers.insert(&peer, record, self.now);
                if let Some(peer) = self.peers.get_mut(id) {
                    peer.ifname = Some(ifname.into());
                    peer.set_address(&address);
                    peer.particulars = Particulars::Known;
                }
                self.configure(id);
                self.adopt_added(id);
            }
            Note::Kill { peer } => self.peer_removed(&peer),
            Note::Greet { challenge, address } => self.greeted(&challenge, &address),
            Note::Knock { name, address } => self.knocked(&name, &address),
            Note::NewAddr { peer, address } => {
                self.emit(Some(&peer), || EventKind::Moved {
                    address: address.to_string(),
                });
                if let Some(peer) = self.peers.find(&peer).and_then(|id| self.peers.get_mut(id)) {
                    peer.set_address(&address);
                }
            }
            Note::NewIfname { peer, new, .. } => {
                if let Some(peer) = self.peers.find(&peer).and_then(|id| self.peers.get_mut(id)) {
                    peer.ifname = Some(new.into());
                }
            }
            Note::KxDone { peer } => self.keys_agreed(&peer),
            Note::KxStart { .. }
            | Note::SvcClaim { .. }
            | Note::SvcRelease { .. }
            | Note::Daemon
            | Note::User(_)
            | Note::Other(_) => {}
        }
    }

    /// A peer in trouble may be back when its keys are: look at once instead of waiting out the
    /// pause.
    fn keys_agreed(&mut self, name: &str) {
        self.emit(Some(name), || EventKind::Keys {});
        if let Some(id) = self.peers.find(name)
            && let Some(adoption) = self.peers.adoption_mut(id)
            && adoption.liveness.phase().rounds > 0
        {
            adoption.liveness.check_now(self.now);
            if self.pinger.ready {
                self.out.to_pinger.push(ToPinger::CheckNow(vec![id]));
            }
        }
    }

    /// Starts what a peer needs that was added: its interface, and the command that connects it
    /// (connect(8), "Configuring interfaces" and "Dynamic connection").
    pub(super) fn configure(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.configured = true;
        let Some(record) = &peer.record else {
            self.unasked.push(id);
            return;
        };
        if record.get("ifup").is_some() || record.get("ifdown").is_some() {
            let name = peer.name().to_owned();
            self.ask_address(id);
            self.command_on_peer(
                Context::Algs {
                    peer: id,
                    configure: true,
                    pairs: Vec::new(),
                },
                "ALGS",
                &name,
            );
        } else {
            if peer.particulars == Particulars::Unknown {
                self.ask_address(id);
            }
            self.run_connect(id);
        }
    }

    /// A peer is gone from the server.
    pub(super) fn peer_removed(&mut self, name: &str) {
        let Some((id, peer)) = self.peers.remove(name) else {
            return;
        };
        if peer.adoption.is_some() {
            self.out.to_pinger.push(ToPinger::Forget(vec![id]));
        }
        self.emit(Some(name), || EventKind::Removed {});
        self.stop_connect(name);
        // The record as it is now if there is one; else as it was, so that a peer that was struck
        // from the database is still brought down.
        let record = self.database.current.peer(name).cloned().or(peer.record);
        if let Some(record) = record {
            self.run_shell(name, ScriptKind::Disconnect, &record);
            self.run_ifdown(
                name,
                &record,
                peer.algorithms.as_deref().unwrap_or_default(),
            );
        }
    }

    /// A command of ours has been answered.
    pub(super) fn answered(&mut self, context: Context, result: Result<(), Failure>) {
        match context {
            Context::Routine(what) => {
                if let Err(failure) = result
                    // The job was cancelled while our answer was on its way.
                    && failure.code() != "unknown-jobid"
                {
                    tracing::warn!("the server refused our {what}: {failure}");
                }
            }
            Context::Predecessor { version } => self.predecessor_answered(version.as_deref()),
            Context::Claim => self.claim_answered(result),
            Context::Probe => self.probe_answered(&result),
            Context::Release => self.out.ending = Some(Ending::Quit),
            Context::List { purpose, names } => match result {
                Ok(()) => self.listed(purpose, names),
                Err(failure) => {
                    tracing::error!("the server does not list its peers: {failure}");
                    // Better to serve with what notifications tell than not at all.
                    self.listed(purpose, self.peers.names());
                }
            },
            Context::Ifname { peer, ifname } => {
                self.asking = self.asking.saturating_sub(1);
                if let (Some(peer), Some(ifname)) = (self.peers.get_mut(peer), ifname) {
                    peer.ifname = Some(ifname.into());
                }
                self.ask_particulars();
            }
            Context::Addr { peer, words } => {
                self.asking = self.asking.saturating_sub(1);
                if let (Some(peer), Some(address)) = (
                    self.peers.get_mut(peer),
                    tripe_admin::Address::from_words(words),
                ) {
                    peer.set_address(&address);
                    peer.particulars = Particulars::Known;
                }
                self.ask_particulars();
            }
            Context::Algs {
                peer,
                configure,
                pairs,
            } => {
                self.algorithms_known(peer, pairs, &result);
                if configure {
                    self.run_ifup(peer);
                    self.run_connect(peer);
                }
            }
            Context::Ping { peer, seq, outcome } => self.ping_ended(peer, seq, outcome, result),
            // Killed, or gone already: the name is free either way.
            Context::KillBeforeAdd(name) => self.submit_add(&name),
            Context::Add(name) => self.added(&name, &result),
            Context::Kill(name) => {
                if let Err(failure) = result {
                    tracing::warn!(peer = name, "cannot kill the unreachable peer: {failure}");
                }
            }
            Context::ForceKx(id) => {
                if let Err(failure) = result {
                    tracing::warn!("cannot force a new key exchange: {failure}");
                    self.forget_if_unknown(id, &failure);
                }
            }
            Context::GetChallenge {
                asker,
                peer,
                patience,
                challenge,
            } => {
                self.challenge_made(asker, peer, patience, challenge, result);
            }
            Context::Greet(peer) => {
                if let Err(failure) = result {
                    self.warn(["connect", &peer, "greet-failed"], failure.words());
                }
            }
        }
    }

    /// A peer's algorithms are known, as well as the server tells.
    fn algorithms_known(
        &mut self,
        id: PeerId,
        pairs: Vec<(String, String)>,
        result: &Result<(), Failure>,
    ) {
        if let Err(failure) = result {
            // The peer is gone again, which its KILL note says as well; or the server is odd, and
            // a script without A_ variables is better than none.
            tracing::debug!("no algorithms: {failure}");
        }
        let shared = self.share_algorithms(pairs);
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.algorithms = Some(shared);
    }

    /// Keeps one copy of equal answers to `ALGS`.
    pub(super) fn share_algorithms(
        &mut self,
        pairs: Vec<(String, String)>,
    ) -> super::peers::Algorithms {
        let fresh: super::peers::Algorithms = pairs.into();
        if let Some(known) = self.algorithms.get(&fresh) {
            return std::sync::Arc::clone(known);
        }
        // Forget what no peer uses any more before adding another.
        self.algorithms
            .retain(|known| std::sync::Arc::strong_count(known) > 1);
        self.algorithms.insert(std::sync::Arc::clone(&fresh));
        fresh
    }

    /// The server does not know a peer that we thought it had.
    pub(super) fn forget_if_unknown(&mut self, id: PeerId, failure: &Failure) {
        if failure.code() == "unknown-peer"
            && let Some(peer) = self.peers.get(id)
        {
            let name = peer.name().to_owned();
            self.peer_removed(&name);
        }
    }

    /// A ping has ended.
    fn ping_ended(
        &mut self,
        id: PeerId,
        seq: u32,
        end: Option<PingEnd>,
        result: Result<(), Failure>,
    ) {
        let outcome = match (result, end) {
            (Ok(()), Some(PingEnd::Outcome(outcome))) => outcome,
            (Ok(()), Some(PingEnd::PeerDied)) => {
                // The KILL note comes first as a rule, and then there is nothing left to do.
                if let Some(peer) = self.peers.get(id) {
                    let name = peer.name().to_owned();
                    self.peer_removed(&name);
                }
                return;
            }
            (Ok(()), None) => {
                tracing::warn!("the server ended a ping without a word on it");
                PingOutcome::Failed
            }
            (Err(failure), _) => {
                let Some(peer) = self.peers.get(id) else {
                    return;
                };
                let name = peer.name().to_owned();
                self.emit(Some(&name), || EventKind::Failed {
                    error: failure.words().to_vec(),
                });
                self.notify(["ping-failed", &name], failure.words());
                self.forget_if_unknown(id, &failure);
                PingOutcome::Failed
            }
        };
        self.ping_result(id, seq, outcome);
    }

    /// A peer that the server does not have knocks (connect(8), "Dynamic connection").
    fn knocked(&mut self, name: &str, address: &tripe_admin::Address) {
        self.emit(Some(name), || EventKind::Knock {
            address: address.to_string(),
        });
        let database = std::sync::Arc::clone(&self.database.current);
        let Some(record) = database.peer(name) else {
            self.warn(["knock-unknown-peer"], &[name]);
            return;
        };
        if !record.is_passive() {
            self.warn(["knock-active-peer"], &[name]);
            return;
        }
        // Which dot separates the prefix is an open question of the protocol; a recorded tag that
        // matches under either reading is the right one.
        let recorded = record.get("key").unwrap_or(name);
        let after_first = name.split_once('.').map_or(name, |(_, tag)| tag);
        let after_last = name.rsplit_once('.').map_or(name, |(_, tag)| tag);
        if recorded != after_first && recorded != after_last {
            self.warn(
                ["knock-tag-mismatch", "peer", name, "public-key-tag"],
                &[recorded],
            );
            return;
        }
        // The peer keeps knocking until it is answered; the first knock is being handled.
        if self.adding.contains_key(name) {
            return;
        }
        self.add(name, address.words().to_vec(), Asker::Knock);
    }
}
