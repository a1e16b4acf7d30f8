// SPDX-License-Identifier: GPL-3.0-or-later
//! What a handle can do to its server that no client could: faults, and things that never happened.

use std::net::SocketAddr;

use data_encoding::BASE64_NOPAD;

use super::LabHandle;
use crate::datagram::Datagram;
use crate::error::LabError;
use crate::faults::{Faults, NetFaults, Refusal, WriteFaults};
use crate::server::{Control, Harm, Input, Target};

/// Faults.
impl LabHandle {
    /// Changes the faults. They outlast a restart.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn change_faults(
        &self,
        change: impl FnOnce(&mut Faults) + Send + 'static,
    ) -> Result<(), LabError> {
        self.ask(|shell| {
            let mut faults = shell.look(|server| server.config().faults.clone());
            change(&mut faults);
            shell.control(Control::Faults(faults))
        })
        .map(drop)
    }

    /// Sets all faults.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn set_faults(&self, faults: Faults) -> Result<(), LabError> {
        self.change_faults(move |old| *old = faults)
    }

    /// Sets the network's faults.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn set_net_faults(&self, net: NetFaults) -> Result<(), LabError> {
        self.change_faults(move |faults| faults.net = net)
    }

    /// Sets how the server writes to its clients.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn set_write_faults(&self, write: WriteFaults) -> Result<(), LabError> {
        self.change_faults(move |faults| faults.write = write)
    }

    /// Has commands refused.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn refuse(&self, refusal: Refusal) -> Result<(), LabError> {
        self.change_faults(move |faults| {
            faults.add_refusal(refusal);
        })
    }

    /// Cuts the server's network: no datagram goes out or comes in.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn pause_network(&self) -> Result<(), LabError> {
        self.change_faults(|faults| faults.net.paused = true)
    }

    /// Mends the server's network.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn resume_network(&self) -> Result<(), LabError> {
        self.change_faults(|faults| faults.net.paused = false)
    }

    /// Has a peer's address dead or alive, as seen from this server: also for reflecting peers.
    /// False if there is no such peer.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn silence_peer(&self, name: &str, silent: bool) -> Result<bool, LabError> {
        let peer = name.to_owned();
        self.is_done(Control::Silence { peer, silent })
    }

    /// Whether the server could do it.
    fn is_done(&self, control: Control) -> Result<bool, LabError> {
        Ok(self.interfere(control)?.is_ok())
    }

    fn harm(&self, target: Target, harm: Harm) -> Result<(), LabError> {
        self.interfere(Control::Harm(target, harm)).map(drop)
    }

    /// Stops or resumes reading from and writing to clients; of all, those to come as well.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn stall(&self, target: Target, stalled: bool) -> Result<(), LabError> {
        self.harm(target, Harm::Stall(stalled))
    }

    /// Closes connections at once, whatever was still to be written.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn cut(&self, target: Target) -> Result<(), LabError> {
        self.harm(target, Harm::Cut)
    }

    /// Closes connections in the middle of the next line that goes to each.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn cut_in_next_line(&self, target: Target) -> Result<(), LabError> {
        self.harm(target, Harm::CutInNextLine)
    }

    /// Carries out a `LAB` command, given without that word, and gives its answer's lines.
    ///
    /// # Errors
    ///
    /// If the server does not run, or cannot do it.
    pub fn control(&self, line: &str) -> Result<Vec<String>, LabError> {
        let done = self.interfere(Control::Command(tripe_admin::split(line)))?;
        done.map_err(|reason| LabError::Control {
            line: line.to_owned(),
            reason,
        })
    }
}

/// Things that never happened.
impl LabHandle {
    /// Sends bytes as they stand: garbage, lines without end, half lines.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn inject_bytes(&self, target: Target, bytes: &[u8]) -> Result<(), LabError> {
        self.harm(target, Harm::Send(bytes.to_vec()))
    }

    /// Sends a line.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn inject_line(&self, target: Target, line: &str) -> Result<(), LabError> {
        self.inject_bytes(target, format!("{line}\n").as_bytes())
    }

    /// Makes a broadcast, given as a whole line: it goes to those who watch its kind, told by its
    /// first word (`NOTE`, `WARN` or `TRACE`).
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn fake_broadcast(&self, line: &str) -> Result<(), LabError> {
        let control = Control::Broadcast(line.to_owned());
        self.interfere(control).map(drop)
    }

    /// Lets a datagram come in from an address.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn fake_datagram(&self, from: SocketAddr, bytes: &[u8]) -> Result<(), LabError> {
        let bytes = bytes.to_vec();
        self.ask(move |shell| shell.feed(Input::Datagram(from, bytes.into())))
    }

    /// Lets a greeting come in from an address: with a challenge from `GETCHAL` this gives `NOTE
    /// GREET`. False if the challenge is no base64.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn fake_greeting(&self, challenge: &str, from: SocketAddr) -> Result<bool, LabError> {
        match BASE64_NOPAD.decode(challenge.as_bytes()) {
            Ok(raw) => {
                self.fake_datagram(from, &Datagram::Greet(raw).encode())?;
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    /// Lets a knock come in from an address, its token in order: `NOTE KNOCK` if its key is no
    /// peer's.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn fake_knock(&self, name: &str, from: SocketAddr) -> Result<(), LabError> {
        let name = name.to_owned();
        self.interfere(Control::Knock { name, from }).map(drop)
    }

    /// Changes a peer's address as if it had moved: `NOTE NEWADDR`. False if there is no such
    /// peer.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn move_peer(&self, name: &str, addr: SocketAddr) -> Result<bool, LabError> {
        let peer = name.to_owned();
        self.is_done(Control::Move { peer, to: addr })
    }

    /// Ends a peer as if it had said goodbye: `NOTE KILL`. False if there is no such peer.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn peer_says_bye(&self, name: &str) -> Result<bool, LabError> {
        let peer = name.to_owned();
        self.is_done(Control::Bye { peer })
    }

    /// Sends a packet into a peer's tunnel; at the other end it is a
    /// [`What::Packet`](crate::What::Packet). False if there is no such peer or it has no keys.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn send_packet(&self, peer: &str, packet: &[u8]) -> Result<bool, LabError> {
        let (peer, packet) = (peer.to_owned(), packet.to_vec());
        self.is_done(Control::Packet { peer, packet })
    }
}
