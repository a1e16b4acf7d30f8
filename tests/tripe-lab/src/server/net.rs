// SPDX-License-Identifier: GPL-3.0-or-later
//! Datagrams on their way out, with the faults of the network, and addresses that are answered in
//! process.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::peer::PeerKey;
use super::{Output, Server};
use crate::config::Reflect;
use crate::datagram::Datagram;
use crate::quote::Line;

/// Adds the two words of a system error.
pub(super) fn system_error(line: Line, errno: i32) -> Line {
    let text = io::Error::from_raw_os_error(errno).to_string();
    // The standard library adds the number in brackets, which is not the server's way.
    let message = text.split(" (os error").next().unwrap_or_default();
    line.word(&format!("E{errno}")).word(message)
}

impl Server {
    /// How `addr` is answered in process, if it is.
    pub(super) fn reflects(&self, addr: SocketAddr) -> Option<Reflect> {
        self.config
            .reflect
            .filter(|reflect| reflect.covers(addr.ip()))
    }

    /// When a reflecting peer's answer comes, if the network lets it. There and back are one
    /// draw of delay and two of loss.
    pub(super) fn reflection(&mut self, addr: SocketAddr, delay: Duration) -> Option<Duration> {
        if self.silent.contains(&addr) {
            return None;
        }
        let [there, _] = self.config.faults.net.fate(&mut self.fault_rng);
        let lost_back = self.config.faults.net.loss.happens(&mut self.fault_rng);
        there.filter(|_| !lost_back).map(|there| there + delay)
    }

    /// Sends a packet to a peer.
    pub(super) fn transmit(&mut self, key: PeerKey, datagram: &Datagram) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        let addr = peer.addr;
        let bytes = datagram.encode();
        self.count_sent(key, datagram, bytes.len());
        self.transmit_to(addr, bytes);
    }

    /// Sends a packet to an address.
    pub(super) fn transmit_to(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        let reachable = self.config.allow_remote || to.ip().is_loopback();
        if !reachable || self.silent.contains(&to) || self.reflects(to).is_some() {
            return;
        }
        let [first, second] = self.config.faults.net.fate(&mut self.fault_rng);
        if let Some(delay) = second {
            self.transmit_after(delay, to, bytes.clone());
        }
        if let Some(delay) = first {
            self.transmit_after(delay, to, bytes);
        }
    }

    fn transmit_after(&mut self, delay: Duration, to: SocketAddr, bytes: Vec<u8>) {
        if delay.is_zero() {
            self.out.push(Output::Datagram(to, bytes));
        } else {
            self.transmit_later(delay, to, bytes);
        }
    }

    /// The system refused to send a datagram.
    pub(super) fn send_failed(&mut self, to: SocketAddr, errno: i32) {
        let name = self
            .peer_addrs
            .get(&to)
            .and_then(|key| self.peers.get(key))
            .map_or("-", |peer| peer.name.as_str());
        let line = self.warn_line("PEER").word(name).word("socket-write-error");
        self.warn(system_error(line, errno));
    }

    /// The datagram that would carry a packet to a peer, for a test to send it by another way.
    /// `None` if there is no such peer or it has no keys.
    #[must_use]
    pub fn next_packet(&self, name: &str, packet: &[u8]) -> Option<Vec<u8>> {
        let key = self.find_peer(name).ok()?;
        let session = self.peers.get(&key)?.keys.first()?;
        Some(Datagram::Data(*session, packet.to_vec()).encode())
    }
}
