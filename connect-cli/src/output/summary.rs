// SPDX-License-Identifier: GPL-3.0-or-later
//! What is wrong with a peer, and what there is to say of all peers together. That is counted while
//! they are read, so that they need not be kept.

use connect_ipc::changes::RecordStanding;
use connect_ipc::control::{PeerState, PeerStatus};

use super::change_text;
use super::text;

/// How many peers that are not up are named in one line.
const NAMED: u64 = 5;

/// Counts of peers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    /// Those that should be up, and those of them that are.
    pub(crate) wanted: u64,
    pub(crate) up: u64,
    /// Those that should be up and are not; the names of the first of them, with their states.
    missing: u64,
    named: Vec<(String, String)>,
    /// Those of the missing that are pinged but whose last ping could not be sent; the first of
    /// them.
    unsent: u64,
    unsent_named: Vec<String>,
    /// Those of the missing that are down and were sent pings.
    unanswered: u64,
    /// Whether nobody knows of one of these whether it is up.
    unknown: bool,
    /// Those with another record than the database has.
    stale: u64,
    /// Those with scripts that did not end well when they were last run, take unusually long, or
    /// cannot be ended.
    failed: u64,
    long: u64,
    surviving: u64,
}

impl Summary {
    /// Counts these peers.
    pub(crate) fn of(peers: &[PeerStatus]) -> Self {
        let mut summary = Summary::default();
        for peer in peers {
            summary.add(peer);
        }
        summary
    }

    /// Counts one more peer.
    pub(crate) fn add(&mut self, peer: &PeerStatus) {
        self.wanted += u64::from(peer.wanted);
        self.up += u64::from(peer.wanted && peer.state == PeerState::Up);
        self.stale += u64::from(stale_record(peer).is_some());
        self.failed += u64::from(!peer.scripts.failed.is_empty());
        let long = &peer.scripts.long;
        self.long += u64::from(long.iter().any(|script| script.survives.is_none()));
        self.surviving += u64::from(long.iter().any(|script| script.survives.is_some()));
        if is_missing(peer) {
            self.missing += 1;
            self.unknown |= peer.state == PeerState::Unknown;
            if peer.connection.unsent {
                self.unsent += 1;
                if self.unsent <= NAMED {
                    self.unsent_named.push(peer.name.clone());
                }
            } else {
                self.unanswered += u64::from(peer.state == PeerState::Down);
            }
            if self.missing <= NAMED {
                let since = state_since(peer).map_or_else(String::new, |seconds| {
                    format!(" for {}", text::span(seconds))
                });
                let state = peer.state.as_str();
                self.named
                    .push((peer.name.clone(), format!("{state}{since}")));
            }
        }
    }

    /// The peers that should be up and are not, in a sentence, if there are any.
    pub(crate) fn missing(&self) -> Option<String> {
        let missing = self.missing;
        let verb = if missing == 1 { "is" } else { "are" };
        // What nobody knows of may be up.
        let not = if self.unknown {
            "not known to be up"
        } else {
            "not"
        };
        if let (1, [(name, state)]) = (self.wanted, &*self.named) {
            return Some(if self.unknown {
                format!("{name} should be up and is not known to be up: {state}")
            } else {
                format!("{name} should be up and is {state}")
            });
        }
        let wanted = text::count(self.wanted, "peer");
        let named = self.named.iter();
        let named: Vec<String> = named
            .map(|(name, state)| format!("{name} {state}"))
            .collect();
        let named = named.join(", ");
        let more = more(missing);
        (missing > 0).then(|| {
            format!("{missing} of the {wanted} that should be up {verb} {not}: {named}{more}")
        })
    }

    /// The missing peers to which no ping can be sent, if there are any.
    pub(crate) fn unsent(&self) -> Option<String> {
        let more = more(self.unsent);
        (self.unsent > 0).then(|| format!("{}{more}", self.unsent_named.join(", ")))
    }

    /// Whether a missing peer is down although it was sent pings.
    pub(crate) const fn has_unanswered(&self) -> bool {
        self.unanswered > 0
    }

    /// How the scripts of peers fare, if something is wrong with some.
    pub(crate) fn script_troubles(&self) -> Option<String> {
        let troubles = [
            ("failed", self.failed),
            ("under way for over 1m", self.long),
            ("surviving KILL", self.surviving),
        ];
        let troubles = troubles.into_iter().filter(|(_, peers)| *peers > 0);
        let told: Vec<String> = troubles
            .map(|(trouble, peers)| format!("{trouble} at {}", text::count(peers, "peer")))
            .collect();
        (!told.is_empty()).then(|| format!("scripts {}", told.join(", ")))
    }

    /// The peers that are there with another record than the database has, in a sentence, if there
    /// are any.
    pub(crate) fn stale_records(&self) -> Option<String> {
        (self.stale > 0).then(|| {
            let total = change_text::total(self.stale);
            format!("{total}: `connect-cli reload' lists them, with the command for each")
        })
    }
}

/// How many of these peers are not named.
fn more(peers: u64) -> String {
    match peers.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    }
}

/// Whether something is wrong with a peer: it should be up, and is not.
pub(crate) fn is_missing(peer: &PeerStatus) -> bool {
    peer.wanted
        && match peer.state {
            PeerState::Unknown | PeerState::Down | PeerState::Gone | PeerState::Absent => true,
            // They have their time, and no more.
            PeerState::Checking | PeerState::Adding => peer.connection.pending.is_some(),
            PeerState::Up | PeerState::Killed | PeerState::Waiting | PeerState::Unwatched => false,
        }
}

/// For how many seconds a peer that should be up has been in its state, where that is known.
pub(crate) fn state_since(peer: &PeerStatus) -> Option<u64> {
    match peer.state {
        PeerState::Up | PeerState::Down => peer.connection.changed,
        PeerState::Unknown => peer.connection.overdue,
        PeerState::Gone | PeerState::Killed => Some(peer.age),
        PeerState::Checking | PeerState::Adding => peer.connection.pending,
        PeerState::Absent => Some(peer.age).filter(|age| *age > 0),
        PeerState::Waiting | PeerState::Unwatched => None,
    }
}

/// The words for a record that is another one than the connection was made with. That a new peer is
/// not there is said by its state.
pub(crate) fn stale_record(peer: &PeerStatus) -> Option<&'static str> {
    match peer.connection.record? {
        RecordStanding::Changed => Some("record changed"),
        RecordStanding::Removed => Some("record removed"),
        RecordStanding::New => None,
    }
}
