// SPDX-License-Identifier: GPL-3.0-or-later
//! Acting on the server's answers to core's own commands.

use connect_ipc::PeerId;
use connect_ipc::event::EventKind;
use connect_ipc::pinger::PingResult;
use tripe_admin::{Address, Failure};

use super::pending::AfterDashes;
use super::{AfterAlgs, Pending, PingWord};
use crate::machine::broadcast::was_sent;
use crate::machine::peers::Particulars;
use crate::machine::{Ending, Machine};

impl Machine {
    /// A command of ours was answered.
    pub(super) fn answered(&mut self, pending: Pending, result: Result<(), Failure>) {
        match pending {
            Pending::Routine(command) => {
                if let Err(failure) = result
                    // The job was cancelled while our answer was on its way.
                    && failure.code() != "unknown-jobid"
                {
                    tracing::warn!(command, error = %failure, "the server refused a command");
                }
            }
            Pending::Predecessor { version } => self.predecessor_answered(version.as_deref()),
            Pending::Claim => self.claim_answered(result),
            Pending::Probe => self.probe_answered(&result),
            Pending::Release => self.end(Ending::Quit),
            Pending::List { names } => self.list_answered(names, result),
            Pending::Ifname { peer, ifname } => self.ifname_answered(peer, ifname),
            Pending::Addr { peer, words } => self.address_answered(peer, words),
            Pending::Algs { peer, then, pairs } => {
                self.algorithms_answered(peer, then, pairs, &result);
            }
            Pending::Ping { peer, seq, end } => self.ping_ended(peer, seq, end, result),
            // It was removed, or there was none: the name is free in both cases.
            Pending::KillBeforeAdd(name) => self.submit_add(&name),
            Pending::Add(name) => self.add_answered(&name, &result),
            Pending::KillToApply(name) => self.killed_to_apply(&name, result),
            Pending::Kill(name) => {
                if let Err(failure) = result {
                    tracing::warn!(peer = name, error = %failure, "cannot kill the unreachable peer");
                    self.kill_refused(&name, &failure);
                }
            }
            Pending::ForceKx(id) => {
                if let Err(failure) = result {
                    tracing::warn!(error = %failure, "cannot force a new key exchange");
                    self.forget_if_unknown(self.peers.renumbered(id), &failure);
                }
            }
            Pending::GetChallenge {
                requester,
                peer,
                patience,
                challenge,
            } => self.challenge_answered(requester, peer, patience, challenge, result),
            Pending::Greet(peer) => {
                if let Err(failure) = result {
                    self.warn(["connect", &peer, "greet-failed"], failure.words());
                }
            }
            Pending::AfterDashes(command) => self.dashes_answered(*command, result),
        }
    }

    /// Gives the server a command about one of its peers, which may take options. Returns whether
    /// it was sent.
    ///
    /// tripe-admin(5) does not say clearly whether `KILL` and `FORCEKX` take options. So a name
    /// that begins with `-` is first given after `--`; a server that takes no options refuses that
    /// because of the number of arguments, and then gets the name alone.
    pub(in crate::machine) fn command_with_options(
        &mut self,
        pending: Pending,
        keyword: &'static str,
        peer: &str,
    ) -> bool {
        if !peer.starts_with('-') {
            return self.command_on_peer(pending, keyword, peer);
        }
        let command = AfterDashes {
            pending,
            keyword,
            peer: peer.to_owned(),
        };
        let pending = Pending::AfterDashes(Box::new(command));
        let sent = self.command(pending, keyword, ["--", peer]);
        was_sent(peer, &sent)
    }

    fn dashes_answered(&mut self, command: AfterDashes, result: Result<(), Failure>) {
        let AfterDashes {
            pending,
            keyword,
            peer,
        } = command;
        match result {
            Err(failure) if failure.code() == "bad-syntax" => {
                // It is shorter than the line that was answered, so it can be sent.
                self.command_on_peer(pending, keyword, &peer);
            }
            result => self.answered(pending, result),
        }
    }

    fn ifname_answered(&mut self, id: PeerId, ifname: Option<String>) {
        self.server.questions.answered();
        let id = self.peers.renumbered(id);
        if let (Some(peer), Some(ifname)) = (self.peers.get_mut(id), ifname) {
            peer.ifname = Some(ifname.into());
        }
    }

    fn address_answered(&mut self, id: PeerId, words: Vec<String>) {
        self.server.questions.answered();
        let id = self.peers.renumbered(id);
        let address = Address::from_words(words);
        if let Some(address) = address {
            self.peers.set_address(id, &address);
        }
        if let Some(peer) = self.peers.get_mut(id) {
            // If the server does not tell the address, decisions do not wait for it.
            peer.particulars = Particulars::Known;
        }
        self.reconcile_known(id);
    }

    fn list_answered(&mut self, names: Vec<String>, result: Result<(), Failure>) {
        let names = match result {
            Ok(()) => names,
            Err(failure) => {
                tracing::error!(error = %failure, "the server does not list its peers");
                // It is better to go on with the peers of notifications than not at all.
                self.peers.names()
            }
        };
        self.listed(names);
    }

    /// The server has answered the question for a peer's algorithms.
    fn algorithms_answered(
        &mut self,
        id: PeerId,
        then: AfterAlgs,
        pairs: Vec<(String, String)>,
        result: &Result<(), Failure>,
    ) {
        if let Err(failure) = result {
            // The peer is removed again, which a KILL note says as well; or the server does not
            // answer this, and a script without A_ variables is better than none.
            tracing::debug!(error = %failure, "the server does not tell a peer's algorithms");
        }
        let id = self.peers.renumbered(id);
        let shared = self.peers.share_algorithms(pairs);
        if let Some(peer) = self.peers.get_mut(id)
            // An earlier answer is better than none.
            && (result.is_ok() || peer.algorithms.is_none())
        {
            peer.algorithms = Some(shared);
        }
        match then {
            AfterAlgs::Keep => {}
            AfterAlgs::Configure { connection } => self.make_known(id, connection),
            AfterAlgs::Script(request) => self.serve_script_request(id, &request),
            AfterAlgs::Change(name) => self.apply_ifup(id, &name),
        }
    }

    /// A ping has ended.
    fn ping_ended(
        &mut self,
        id: PeerId,
        seq: u32,
        end: Option<PingWord>,
        result: Result<(), Failure>,
    ) {
        let result = match (result, end) {
            (Ok(()), Some(PingWord::Result(PingResult::Timeout))) if self.is_void(id) => {
                PingResult::Void
            }
            (Ok(()), Some(PingWord::Result(result))) => result,
            // Usually the KILL note comes first, and then there is nothing left to do.
            (Ok(()), Some(PingWord::PeerDied)) => return self.forget_peer(id),
            (Ok(()), None) => {
                tracing::warn!("the server ended a ping without a result");
                PingResult::Failed
            }
            (Err(failure), _) => {
                let Some(peer) = self.peers.get(id) else {
                    return;
                };
                let name = peer.name().to_owned();
                self.emit(Some(&name), || EventKind::Failed {
                    error: failure.words().to_vec(),
                });
                self.notify_fault(["ping-failed", &name], failure.words());
                self.fail_asked(id, failure.words());
                self.forget_if_unknown(id, &failure);
                PingResult::Failed
            }
        };
        self.ping_result(id, seq, result);
    }
}
