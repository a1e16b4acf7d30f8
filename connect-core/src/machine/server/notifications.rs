// SPDX-License-Identifier: GPL-3.0-or-later
//! Acting on the server's notifications.

use std::sync::Arc;

use connect_ipc::event::EventKind;
use tripe_admin::{Address, Note};

use crate::machine::Machine;
use crate::machine::requester::Requester;

impl Machine {
    /// Acts on a notification.
    pub(super) fn notified(&mut self, note: Note) {
        if !self.server.is_claimed() {
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
                self.emit(Some(&peer), || EventKind::Moved {
                    address: address.to_string(),
                });
                if let Some(id) = self.peers.find(&peer) {
                    self.peers.set_address(id, &address);
                }
                self.peer_moved(&peer);
            }
            Note::NewIfname { peer, new, .. } => {
                if let Some(peer) = self.peers.named_mut(&peer) {
                    peer.ifname = Some(new.into());
                }
                self.peer_moved(&peer);
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

    /// A peer that the server does not have knocks (the manual, "Dynamic connection").
    fn knocked(&mut self, name: &str, address: &Address) {
        self.emit(Some(name), || EventKind::Knock {
            address: address.to_string(),
        });
        let database = Arc::clone(&self.database.current);
        let Some(record) = database.peer(name) else {
            self.warn(["knock-unknown-peer"], &[name]);
            return;
        };
        if !record.is_passive() {
            self.warn(["knock-active-peer"], &[name]);
            return;
        }
        // The protocol does not say which dot separates the prefix; a recorded tag that matches
        // under either reading is accepted.
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
        // The peer repeats its knock until it is answered; the first knock is being handled.
        if self.additions.is_under_way(name) {
            return;
        }
        self.add(name, address.words().to_vec(), Requester::Knock);
    }
}
