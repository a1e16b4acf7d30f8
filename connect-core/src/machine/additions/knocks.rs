// SPDX-License-Identifier: GPL-3.0-or-later
//! Knocks: the peer of a passive record that fits is added, any other knock is refused. The last
//! refusal is kept for a while, since the host that knocks cannot tell it from silence.

use std::sync::Arc;
use std::time::Duration;

use connect_ipc::event::EventKind;
use connect_ipc::knock::{KnockRefusal, RefusedKnock};
use peerdb::Record;
use tripe_admin::Address;

use super::Refusal;
use crate::machine::Machine;
use crate::machine::requester::Requester;

/// For how long a refusal is told. A host that is refused knocks again every few seconds.
const TOLD_FOR: Duration = Duration::from_secs(600);

impl Machine {
    /// A peer that the server does not have knocks (the manual, "Dynamic connection").
    pub(in crate::machine) fn knocked(&mut self, name: &str, address: &Address) {
        let database = Arc::clone(&self.database.current);
        let record = database.peer(name);
        let refused = refusal(record, name);
        self.emit(Some(name), || EventKind::Knock {
            address: address.to_string(),
            refused,
        });
        let Some(reason) = refused else {
            return self.accept_knock(name, address);
        };
        let mut tag = None;
        match reason {
            KnockRefusal::UnknownPeer => {
                self.warn_of_knock(address, ["knock-unknown-peer"], &[name]);
            }
            KnockRefusal::ActivePeer => {
                self.warn_of_knock(address, ["knock-active-peer"], &[name]);
            }
            KnockRefusal::TagMismatch => {
                let recorded = record.map_or(name, |record| recorded_tag(record, name));
                self.warn_of_knock(
                    address,
                    ["knock-tag-mismatch", "peer", name, "public-key-tag"],
                    &[recorded],
                );
                tag = Some(recorded.into());
            }
        }
        self.events.counters.refused_knocks += 1;
        self.additions.refusal = Some(Refusal {
            at: self.now,
            name: name.into(),
            address: address.to_string(),
            reason,
            recorded_tag: tag,
        });
    }

    fn accept_knock(&mut self, name: &str, address: &Address) {
        // A host is told apart by the name with which it knocks, or, if it was given another one
        // meanwhile, by its address; its port may change.
        let host = |address: &str| address.rsplit_once(' ').map(|(host, _)| host.to_owned());
        let from = host(&address.to_string());
        let refusal = &mut self.additions.refusal;
        refusal.take_if(|it| *it.name == *name || from.is_some() && host(&it.address) == from);
        // The peer repeats its knock until it is answered; the first knock is being handled.
        if !self.additions.is_under_way(name) {
            self.add(name, address.words().to_vec(), Requester::Knock);
        }
    }

    /// The last knock that was refused, as long as it is told.
    pub(in crate::machine) fn refused_knock(&self) -> Option<RefusedKnock> {
        let refusal = self.additions.refusal.as_ref()?;
        let time = self.now.since(refusal.at);
        (time <= TOLD_FOR).then(|| RefusedKnock {
            peer: refusal.name.to_string(),
            address: refusal.address.clone(),
            reason: refusal.reason,
            recorded_tag: refusal.recorded_tag.as_deref().map(str::to_owned),
            seconds: time.as_secs(),
        })
    }
}

/// Why a knock with this name is refused, if it is.
fn refusal(record: Option<&Record>, name: &str) -> Option<KnockRefusal> {
    let Some(record) = record else {
        return Some(KnockRefusal::UnknownPeer);
    };
    if !record.is_passive() {
        return Some(KnockRefusal::ActivePeer);
    }
    // The protocol does not say which dot separates the prefix; a recorded tag that matches under
    // either reading is accepted.
    let recorded = recorded_tag(record, name);
    let after_first = name.split_once('.').map_or(name, |(_, tag)| tag);
    let after_last = name.rsplit_once('.').map_or(name, |(_, tag)| tag);
    (recorded != after_first && recorded != after_last).then_some(KnockRefusal::TagMismatch)
}

fn recorded_tag<'a>(record: &'a Record, name: &'a str) -> &'a str {
    record.get("key").unwrap_or(name)
}
