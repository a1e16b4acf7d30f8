// SPDX-License-Identifier: GPL-3.0-or-later
//! Acting on the server's notifications.

use connect_ipc::event::EventKind;
use tripe_admin::Note;

use crate::machine::Machine;
use crate::machine::setups::recovery::Part;

impl Machine {
    /// Acts on a notification.
    pub(super) fn notified(&mut self, note: Note) {
        let is_claimed = self.server.is_claimed();
        if let Note::Add { peer, .. } | Note::Kill { peer } = &note
            && let Some(replaced) = self.server.replaced()
        {
            if is_claimed {
                replaced.forget(peer);
            } else {
                replaced.note(peer);
            }
        }
        if !is_claimed {
            // The present provider acts on it. We learn about the peer from the list that we
            // request once the service is ours.
            return;
        }
        match note {
            Note::Add {
                peer,
                ifname,
                address,
            } => self.peer_added(&peer, ifname, &address),
            Note::Kill { peer } => self.peer_taken(&peer),
            Note::Greet { challenge, address } => self.greeted(&challenge, &address),
            Note::Knock { name, address } => self.knocked(&name, &address),
            Note::NewAddr { peer, address } => {
                // Again and again, it shows that two hosts use one name.
                tracing::info!(peer, %address, "the peer has moved");
                self.emit(Some(&peer), || EventKind::Moved {
                    address: address.to_string(),
                });
                if let Some(id) = self.peers.find(&peer) {
                    let old = self.peers.get(id).and_then(|it| it.address.clone());
                    if let Some(old) = old {
                        let recovery = &mut self.scripts.recovery;
                        recovery.moved(&peer, Part::Address, &old, &address.to_string());
                    }
                    self.peers.set_address(id, &address);
                }
                self.follow_move(&peer);
            }
            Note::NewIfname { peer, old, new } => {
                let recovery = &mut self.scripts.recovery;
                recovery.moved(&peer, Part::Interface, &old, &new);
                if let Some(peer) = self.peers.named_mut(&peer) {
                    peer.ifname = Some(new.into());
                }
                self.follow_move(&peer);
            }
            Note::KxDone { peer } => {
                self.emit(Some(&peer), || EventKind::Keys {});
                self.check_now_if_down(&peer);
            }
            Note::KxStart { .. }
            | Note::SvcClaim { .. }
            | Note::SvcRelease { .. }
            | Note::Daemon
            | Note::User(_)
            | Note::Other(_) => {}
        }
    }
}
