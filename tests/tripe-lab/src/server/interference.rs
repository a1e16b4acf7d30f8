// SPDX-License-Identifier: GPL-3.0-or-later
//! What a test does to the server that no client of the protocol could.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::fail::Fail;
use super::output::{Harm, Output, Target};
use super::{ClientId, Server};
use crate::as_text::base64;
use crate::config::Host;
use crate::faults::Faults;

/// Something that a test has the server do.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Carry out a `LAB` command, given in words without the word `LAB`.
    Command(Vec<String>),
    /// Have these faults from now on.
    Faults(Faults),
    /// Harm connections.
    Harm(Target, Harm),
    /// Make a broadcast, given as a whole line: it goes to those who watch its kind, which its
    /// first word says.
    Broadcast(String),
    /// Act as if a knock had come, its token in order.
    Knock {
        /// The name that knocks.
        name: String,
        /// From where.
        from: SocketAddr,
    },
    /// Change a peer's address as if it had been heard from there.
    Move {
        /// Its name.
        peer: String,
        /// Its new address.
        to: SocketAddr,
    },
    /// End a peer as if it had said goodbye.
    Bye {
        /// Its name.
        peer: String,
    },
    /// Have a peer's address dead or alive: what is sent to a dead one is lost, and what comes
    /// from it is not heard.
    Silence {
        /// Its name.
        peer: String,
        /// Dead.
        silent: bool,
    },
    /// Have an address alive again, whether or not a peer is there.
    Wake(SocketAddr),
    /// Have the resolver say that a host name has this address.
    Name {
        /// The name.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// Send a packet into a peer's tunnel.
    Packet {
        /// Its name.
        peer: String,
        /// The packet.
        #[serde(with = "base64")]
        packet: Vec<u8>,
    },
}

impl Server {
    /// Does what a test wants, and answers.
    pub(super) fn interfere(&mut self, control: Control) {
        let done = self.perform(control);
        self.out.push(match done {
            Ok(lines) => Output::Controlled(lines),
            Err(fail) => Output::ControlFailed(fail.to_string()),
        });
    }

    /// Does what a test wants, and gives the lines of the answer.
    pub(super) fn perform(&mut self, control: Control) -> Result<Vec<String>, Fail> {
        match control {
            Control::Command(words) => return self.lab_command(&words),
            Control::Faults(faults) => self.config.faults = faults,
            Control::Harm(target, harm) => self.out.push(Output::Harm(target, harm)),
            Control::Broadcast(line) => self.fake_broadcast(line),
            Control::Knock { name, from } => self.fake_knock(&name, from),
            Control::Move { peer, to } => {
                let key = self.find_peer(&peer)?;
                self.move_peer(key, to);
            }
            Control::Bye { peer } => {
                let key = self.find_peer(&peer)?;
                self.kill_peer(key, false);
            }
            Control::Silence { peer, silent } => self.silence_peer(&peer, silent)?,
            Control::Wake(address) => {
                self.silent.remove(&address);
            }
            Control::Name { host, address } => {
                self.config.hosts.insert(host, Host::Is(vec![address]));
            }
            Control::Packet { peer, packet } => {
                let key = self.find_peer(&peer)?;
                if !self.tunnel_packet(key, &packet) {
                    return Err(Fail::UnknownPeer(peer));
                }
            }
        }
        Ok(Vec::new())
    }

    fn fake_broadcast(&mut self, line: String) {
        match line.split(' ').next() {
            Some("NOTE") => self.broadcast(line, |watch| watch.notes),
            Some("WARN") => self.broadcast(line, |watch| watch.warnings),
            _ => self.broadcast(line, |watch| watch.traces),
        }
    }

    /// There may be as many dead addresses as there may be peers.
    fn silence_peer(&mut self, peer: &str, silent: bool) -> Result<(), Fail> {
        let key = self.find_peer(peer)?;
        let Some(addr) = self.peers.get(&key).map(|peer| peer.addr) else {
            return Ok(());
        };
        if !silent {
            self.silent.remove(&addr);
        } else if self.silent.len() < self.config.max_peers {
            self.silent.insert(addr);
        }
        Ok(())
    }

    /// The client of that number, or all of them.
    pub(super) fn target(&self, word: &str) -> Result<Target, Fail> {
        if word.eq_ignore_ascii_case("all") {
            return Ok(Target::All);
        }
        let client = word.parse().ok().map(ClientId);
        client
            .filter(|client| self.clients.contains_key(client))
            .map(Target::One)
            .ok_or_else(|| Fail::Other(vec!["unknown-client".into(), word.into()]))
    }
}
