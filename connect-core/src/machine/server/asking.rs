// SPDX-License-Identifier: GPL-3.0-or-later
//! Asks the server for the interfaces, addresses and algorithms of its peers, a few at a time.

use connect_ipc::PeerId;

use super::{AfterAlgs, Pending};
use crate::machine::Machine;
use crate::machine::peers::Particulars;

/// How many questions are unanswered at a time: enough to keep a server with many peers busy, few
/// enough that a `WARN` does not wait long behind them.
const LIMIT: usize = 64;

impl Machine {
    /// Asks as many questions as are allowed at a time.
    pub(in crate::machine) fn ask_questions(&mut self) {
        while self.server.questions.unanswered < LIMIT
            && let Some(id) = self.server.questions.peers.pop()
        {
            let id = self.peers.renumbered(id);
            self.ask_address(id);
            self.ask_algorithms(id);
        }
    }

    /// Asks for the algorithms of a peer that will need them for its `ifdown`: by then it is too
    /// late to ask.
    fn ask_algorithms(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let wanted = peer.record.as_ref().and_then(|record| record.get("ifdown"));
        if wanted.is_none() || peer.algorithms.is_some() {
            return;
        }
        let name = peer.name().to_owned();
        let pending = Pending::Algs {
            peer: id,
            then: AfterAlgs::Keep,
            pairs: Vec::new(),
        };
        self.command_on_peer(pending, "ALGS", &name);
    }

    /// Asks for a peer's interface and address.
    pub(in crate::machine) fn ask_address(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        if peer.particulars == Particulars::Asked {
            return;
        }
        peer.particulars = Particulars::Asked;
        let name = peer.name().to_owned();
        let ifname = Pending::Ifname {
            peer: id,
            ifname: None,
        };
        let address = Pending::Addr {
            peer: id,
            words: Vec::new(),
        };
        for (pending, keyword) in [(ifname, "IFNAME"), (address, "ADDR")] {
            let sent = self.command_on_peer(pending, keyword, &name);
            self.server.questions.unanswered += usize::from(sent);
        }
    }
}
