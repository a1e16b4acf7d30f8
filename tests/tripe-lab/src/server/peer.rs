// SPDX-License-Identifier: GPL-3.0-or-later
//! Peers: what the server knows of each, and how they come, move and go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::args::Args;
use super::command::{Done, Outcome};
use super::fail::Fail;
use super::jobs::JobKey;
use super::kx::Kx;
use super::stats::Stats;
use super::timers::{Timer, TimerId};
use super::{Now, Server};
use crate::config::Tunnel;
use crate::datagram::Datagram;
use crate::switches::{AddressSwap, Bye, QuietOption};
use tripe_admin::Interval;

/// Names a peer within the server; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct PeerKey(pub(super) u64);

/// What `ADD` says about a peer.
#[derive(Clone, Debug)]
pub(super) struct PeerOptions {
    pub(super) tunnel: Tunnel,
    pub(super) keepalive: Interval,
    /// Tag of its public key, if it is not its name.
    pub(super) key: Option<String>,
    pub(super) knock: Option<String>,
    /// Tag of the local private key, if it is not the default.
    pub(super) private: Option<String>,
    pub(super) mobile: bool,
    pub(super) ephemeral: bool,
    pub(super) corked: bool,
}

/// A peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) addr: SocketAddr,
    pub(super) ifname: String,
    /// Number of the interface as it was first named, to be given back; none if it is a device.
    interface: Option<u32>,
    pub(super) options: PeerOptions,
    pub(super) kx: Kx,
    /// Sessions, the newest first. The one before stays good, as packets under it may be under way.
    pub(super) keys: Vec<u64>,
    pub(super) stats: Stats,
    pub(super) pings: BTreeMap<u32, JobKey>,
    pub(super) last_sent: Now,
    keepalive_timer: Option<TimerId>,
}

impl Peer {
    /// Tag of its public key.
    pub(super) fn key_tag(&self) -> &str {
        self.options.key.as_deref().unwrap_or(&self.name)
    }
}

/// A peer as seen from outside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerView {
    /// Its name.
    pub name: String,
    /// Its address.
    pub addr: SocketAddr,
    /// Its interface.
    pub ifname: String,
    /// Tag of its public key.
    pub key: String,
    /// Whether a session was agreed on.
    pub has_keys: bool,
    /// Whether it is corked.
    pub corked: bool,
    /// Whether it is marked ephemeral.
    pub ephemeral: bool,
    /// Whether it is marked mobile.
    pub mobile: bool,
    /// How many pings to it are under way.
    pub pings: usize,
}

/// The interface of a peer to be.
#[derive(Debug)]
pub(super) struct Interface {
    name: String,
    /// Its number if it is only a name.
    number: Option<u32>,
}

impl Interface {
    /// That of a device.
    pub(super) const fn device(name: String) -> Self {
        Interface { name, number: None }
    }
}

/// Interface names: a prefix and the smallest number that is free.
#[derive(Debug)]
pub(super) struct Interfaces {
    prefix: String,
    next: u32,
    free: BTreeSet<u32>,
}

impl Interfaces {
    pub(super) fn new(prefix: &str) -> Self {
        Interfaces {
            prefix: prefix.into(),
            next: 0,
            free: BTreeSet::new(),
        }
    }

    pub(super) fn take(&mut self) -> Interface {
        let number = self.free.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        Interface {
            name: format!("{}{number}", self.prefix),
            number: Some(number),
        }
    }

    pub(super) fn give_back(&mut self, number: u32) {
        self.free.insert(number);
    }
}

impl Server {
    pub(super) fn find_peer(&self, name: &str) -> Result<PeerKey, Fail> {
        self.peer_names
            .get(name)
            .copied()
            .ok_or_else(|| Fail::UnknownPeer(name.into()))
    }

    /// A warning about a peer.
    pub(super) fn peer_warning(&mut self, key: PeerKey, words: &[&str]) {
        if let Some(peer) = self.peers.get(&key) {
            let line = self.warn_line("PEER").word(&peer.name).words(words);
            self.warn(line);
        }
    }

    /// A key for a peer to be.
    pub(super) const fn new_peer_key(&mut self) -> PeerKey {
        let key = PeerKey(self.next_peer);
        self.next_peer += 1;
        key
    }

    /// Makes a peer whose name and address are free, and tells of it.
    pub(super) fn create_peer(
        &mut self,
        key: PeerKey,
        name: String,
        addr: SocketAddr,
        interface: Interface,
        options: PeerOptions,
    ) {
        let Interface {
            name: ifname,
            number: interface,
        } = interface;
        let corked = options.corked;
        self.peer_names.insert(name.clone(), key);
        self.peer_addrs.insert(addr, key);
        let line = self.note_line("ADD").word(&name).word(&ifname).addr(addr);
        let peer = Peer {
            name,
            addr,
            ifname,
            interface,
            options,
            kx: Kx::new(),
            keys: Vec::new(),
            stats: Stats::new(self.now),
            pings: BTreeMap::new(),
            last_sent: self.now,
            keepalive_timer: None,
        };
        self.peers.insert(key, peer);
        self.note(line);
        self.trace('r', || String::from("peer: created"));
        if !corked {
            self.start_kx(key);
        }
        self.keepalive(key);
    }

    /// Sends a packet if nothing was sent for the peer's keepalive time, and looks again later.
    pub(super) fn keepalive(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        let every = self.seconds(peer.options.keepalive.seconds());
        if every.is_zero() {
            return;
        }
        if self.now.saturating_sub(peer.last_sent) >= every {
            self.transmit(key, &Datagram::Nop);
        }
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        // No shorter than this, whatever the time scale: a peer must not keep the server busy.
        const SHORTEST: Duration = Duration::from_millis(1);
        let wait = (peer.last_sent + every).saturating_sub(self.now);
        let timer = self.set_timer(wait.max(SHORTEST), Timer::Keepalive(key));
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.keepalive_timer = Some(timer);
        }
    }

    /// Ends a peer: tells of it, ends its pings, and with `bye` says goodbye to it.
    pub(super) fn kill_peer(&mut self, key: PeerKey, bye: bool) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        let polite = bye
            && match self.config.switches.bye {
                Bye::Ephemeral => peer.options.ephemeral,
                Bye::Everyone => true,
            };
        let line = self.note_line("KILL").word(&peer.name);
        self.note(line);
        if polite && let Some(session) = self.peers.get(&key).and_then(|p| p.keys.first()) {
            let session = *session;
            self.transmit(key, &Datagram::Bye(session));
        }
        let Some(peer) = self.peers.remove(&key) else {
            return;
        };
        self.peer_names.remove(&peer.name);
        self.peer_addrs.remove(&peer.addr);
        self.close_tunnel(key, peer.interface);
        self.timers.cancel(peer.kx.timer);
        self.timers.cancel(peer.keepalive_timer);
        self.pings_died(peer.pings.into_values().collect());
    }

    pub(super) fn kill(&mut self, mut args: Args<'_>) -> Outcome {
        let quiet = self.quiet_option(&mut args)?;
        let args = args.counted()?;
        let key = self.find_peer(args.word(0))?;
        self.kill_peer(key, !quiet);
        Ok(Done::Ok)
    }

    /// Takes the option that `KILL` and `FORCEKX` may have.
    pub(super) fn quiet_option(&self, args: &mut Args<'_>) -> Result<bool, Fail> {
        if self.config.switches.quiet_option == QuietOption::Refused {
            return Ok(false);
        }
        let mut quiet = false;
        while let Some(option) = args.option() {
            match option.as_str() {
                "-quiet" => quiet = true,
                _ => return Err(args.bad_syntax()),
            }
        }
        Ok(quiet)
    }

    pub(super) fn setifname(&mut self, args: &Args<'_>) -> Outcome {
        let (name, new) = (args.word(0), args.word(1));
        let key = self.find_peer(name)?;
        if let Some(peer) = self.peers.get_mut(&key) {
            let old = std::mem::replace(&mut peer.ifname, new.into());
            let line = self.note_line("NEWIFNAME").word(name).word(&old).word(new);
            self.note(line);
        }
        Ok(Done::Ok)
    }

    /// Gives a peer a new address; a peer that has it already gets the old one in exchange.
    pub(super) fn move_peer(&mut self, key: PeerKey, addr: SocketAddr) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let old = peer.addr;
        if old == addr {
            return;
        }
        peer.addr = addr;
        let mut lines = vec![self.newaddr_line(key)];
        self.peer_addrs.remove(&old);
        if let Some(other) = self.peer_addrs.insert(addr, key)
            && let Some(peer) = self.peers.get_mut(&other)
        {
            peer.addr = old;
            self.peer_addrs.insert(old, other);
            if self.config.switches.address_swap == AddressSwap::TwoNotes {
                lines.push(self.newaddr_line(other));
            }
        }
        for line in lines.into_iter().flatten() {
            self.note(line);
        }
    }

    fn newaddr_line(&self, key: PeerKey) -> Option<crate::quote::Line> {
        let peer = self.peers.get(&key)?;
        Some(self.note_line("NEWADDR").word(&peer.name).addr(peer.addr))
    }
}

/// What a test may look at without the protocol.
impl Server {
    /// All peers, in the order of their making.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerView> {
        let view = |peer: &Peer| PeerView {
            name: peer.name.clone(),
            addr: peer.addr,
            ifname: peer.ifname.clone(),
            key: peer.key_tag().into(),
            has_keys: !peer.keys.is_empty(),
            corked: peer.kx.is_corked(),
            ephemeral: peer.options.ephemeral,
            mobile: peer.options.mobile,
            pings: peer.pings.len(),
        };
        self.peers.values().map(view).collect()
    }
}
