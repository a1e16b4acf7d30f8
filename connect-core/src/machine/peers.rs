// SPDX-License-Identifier: GPL-3.0-or-later
//! The peer table: every peer of the server, and what is known of it.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use connect_ipc::PeerId;
use connect_ipc::changes::RecordStanding;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::PeerState;
use connect_ipc::event::UpReason;
use connect_ipc::pinger::PingPhase;
use connect_ipc::statistics::PingStatistics;
use connect_liveness::{EarlyCheck, Liveness};
use connect_policy::pinging::PingKind;
use peerdb::{Database, Record};
use serde::{Deserialize, Serialize};
use tripe_admin::Address;
use tripe_admin::Tag;

use super::addresses::Addresses;
use super::departures::Departures;
use super::second::Second;
use super::setups::progress::{PeerSetups, TableSetups};

/// The server's answer to `ALGS`, as keys and values. Most peers share the same, so it is shared.
pub(super) type Algorithms = Arc<[(String, String)]>;

/// How an adopted peer is watched, and the results.
#[derive(Clone, Debug)]
pub(super) struct Adoption {
    /// How it is checked, the state of its check, and its figures since adoption. The pinger's copy
    /// follows this one.
    pub liveness: Liveness,
    /// With which command it is pinged.
    pub kind: PingKind,
    /// The ping in flight, as the server knows it; `None` for one that is not sent yet.
    pub ping: Option<SentPing>,
    /// The second under which it is in [`Owed`](super::liveness::Owed).
    pub noted: Option<Second>,
    /// Timeouts since the last reply that did not count.
    pub voids: u8,
    /// Whether the server could not send the last ping.
    pub unsent: bool,
    /// Whether the next check has become due earlier since the pinger was told everything, and has
    /// ordered the last one. An order for a later time may be on its way.
    pub moved: bool,
    /// A check that was to begin at once while there was no pinger.
    pub untold: Option<EarlyCheck>,
    pub history: History,
}

impl Adoption {
    /// Whether no attempt of its last check was answered.
    fn is_down(&self) -> bool {
        self.liveness.phase().failed_checks > 0
    }

    /// Whether it has answered since it was adopted.
    pub(super) fn has_answered(&self) -> bool {
        self.liveness.statistics().replies > 0
    }

    /// The state of the peer, by its checks.
    pub(super) fn state(&self) -> PeerState {
        if self.is_down() {
            PeerState::Down
        } else if self.has_answered() {
            PeerState::Up
        } else {
            PeerState::Checking
        }
    }
}

/// A ping that was sent to the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentPing {
    /// As the server knows it.
    pub tag: Tag,
    /// When it was sent.
    pub sent: Monotonic,
}

/// What happened to an adopted peer, for operators.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct History {
    /// When it was adopted.
    pub since: Monotonic,
    /// When it last changed between answering and not answering.
    pub changed: Option<Monotonic>,
    /// Reconnections begun.
    pub reconnects: u32,
    /// When the last of them was.
    pub last_reconnect: Option<Monotonic>,
}

/// What is known of a peer's interface and address.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Particulars {
    /// Not asked for yet.
    #[default]
    Unknown,
    /// Asked for.
    Asked,
    /// Known.
    Known,
}

/// One peer of the server.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    name: Arc<str>,
    /// Its record, as it was in the last database that had one: a peer whose record is removed
    /// while it is up must still be taken down properly.
    pub record: Option<Record>,
    /// The record with which its connection was made, if values of it are still in use and differ
    /// from those in `record`. It shares the text with the database that it came from.
    pub superseded: Option<Box<Record>>,
    /// Whether the database in use does not have the record any more.
    pub record_removed: bool,
    /// Its interface, once known.
    pub ifname: Option<Box<str>>,
    /// Its address in words, quoted as one line, once known. It is changed by
    /// [`PeerTable::set_address`].
    pub address: Option<Box<str>>,
    /// Its algorithms, kept from the time of `ifup` for `ifdown`.
    pub algorithms: Option<Algorithms>,
    /// Whether interface and address were asked for.
    pub particulars: Particulars,
    /// Present if the peer is adopted.
    adoption: Option<Box<Adoption>>,
    /// When core first saw it.
    pub seen: Monotonic,
    /// How far it was set up by its scripts, for this core or an earlier one.
    pub setups: TableSetups,
    /// What its checks have led to.
    pub outcome: Outcome,
}

/// What the events `up` and `down` have last told of a peer since it was added or found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum UpDown {
    /// Nothing, or that it went down with its server.
    #[default]
    Nothing,
    /// That it is up.
    Up(UpReason),
    /// That it does not answer.
    Unreachable,
}

impl UpDown {
    /// What an earlier core has reported of a peer with this phase and these figures. `changed` is
    /// the instant when the peer last began or stopped to answer; `None` if it has not since this
    /// core adopted it.
    pub(super) const fn by_figures(
        phase: &PingPhase,
        statistics: &PingStatistics,
        changed: Option<Monotonic>,
    ) -> Self {
        if statistics.replies == 0 {
            UpDown::Nothing
        } else if phase.failed_checks > 0 {
            UpDown::Unreachable
        } else if changed.is_some() {
            UpDown::Up(UpReason::Recovered)
        } else {
            UpDown::Up(UpReason::FirstReply)
        }
    }

    pub(super) const fn is_up(self) -> bool {
        matches!(self, UpDown::Up(_))
    }
}

/// What the checks of a peer have led to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// What was last told of it.
    pub told: UpDown,
    /// How many pings were not answered, if the server was told to remove it because of that.
    pub killed_for: Option<u32>,
    /// Whether core has seen that it was added, or has disowned it: what a pinger remembers of its
    /// name is not about its present checks.
    pub is_new: bool,
}

impl Peer {
    /// The peer's name.
    #[must_use]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How it is watched; `None` unless it is adopted.
    #[must_use]
    pub(super) fn adoption(&self) -> Option<&Adoption> {
        self.adoption.as_deref()
    }

    /// Whether it has answered since it was added or found, as far as this core or an earlier one
    /// knows.
    pub(super) fn has_answered(&self) -> bool {
        self.outcome.told.is_up() || self.adoption().is_some_and(Adoption::has_answered)
    }

    /// The record with which its connection was made.
    pub(super) fn record_in_use(&self) -> Option<&Record> {
        self.superseded.as_deref().or(self.record.as_ref())
    }

    /// How it differs from the database, if it does.
    pub(super) const fn standing(&self) -> Option<RecordStanding> {
        if self.record_removed {
            Some(RecordStanding::Removed)
        } else if self.superseded.is_some() {
            Some(RecordStanding::Changed)
        } else {
            None
        }
    }
}

/// Numbers of peers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PeerCounts {
    /// Those that the server has.
    pub present: usize,
    /// Those of them that are adopted.
    pub adopted: usize,
    /// Adopted peers that answered no attempt of their last check.
    pub down: usize,
    /// Those that were lost and are not back.
    pub gone: usize,
}

#[derive(Clone, Debug)]
struct Slot {
    generation: u32,
    /// The generation when the present peer was added: it may have been renumbered since.
    first: u32,
    peer: Option<Peer>,
}

/// All peers, by name and by number.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_name: BTreeMap<Arc<str>, u32>,
    addresses: Addresses,
    /// How many are adopted, and how many of these are down.
    adopted: usize,
    down: usize,
    /// How often a peer was added or removed.
    changes: u64,
    /// Those that the server had and does not have any more.
    pub(super) departures: Departures,
    /// Distinct answers to `ALGS`. The order has no meaning.
    algorithms: HashSet<Algorithms>,
}

impl PeerTable {
    /// A number that grows whenever a peer is added or removed.
    #[must_use]
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// How many there are.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// How many there are of each kind.
    #[must_use]
    pub(super) fn counts(&self) -> PeerCounts {
        PeerCounts {
            present: self.len(),
            adopted: self.adopted,
            down: self.down,
            gone: self.departures.losses(),
        }
    }

    /// Compares the counts with those found by going through all peers.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let adoptions = || self.iter().filter_map(|(_, peer)| peer.adoption());
        let recount = PeerCounts {
            present: self.iter().count(),
            adopted: adoptions().count(),
            down: adoptions().filter(|adoption| adoption.is_down()).count(),
            gone: self
                .departures
                .iter()
                .filter(|(_, it)| it.is_loss())
                .count(),
        };
        assert_eq!(self.counts(), recount);
    }

    /// Whether the server has none.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    const fn id(slot: u32, generation: u32) -> PeerId {
        PeerId(((generation as u64) << 32) | slot as u64)
    }

    const fn slot_of(id: PeerId) -> (u32, u32) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the two halves of the number"
        )]
        (id.0 as u32, (id.0 >> 32) as u32)
    }

    /// Something has changed that must not be lost even in a crash.
    pub(super) const fn note_change(&mut self) {
        self.changes += 1;
    }

    /// Adds a peer, replacing any of the same name, and gives its number.
    pub(super) fn insert(&mut self, name: &str, record: Option<Record>, now: Monotonic) -> PeerId {
        self.remove(name);
        self.note_change();
        let name = Arc::<str>::from(name);
        let peer = Peer {
            name: Arc::clone(&name),
            record,
            superseded: None,
            record_removed: false,
            ifname: None,
            address: None,
            algorithms: None,
            particulars: Particulars::Unknown,
            adoption: None,
            seen: now,
            setups: PeerSetups::default().into(),
            outcome: Outcome::default(),
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                first: 0,
                peer: None,
            });
            // More than 2^32 peers do not fit into memory.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.by_name.insert(name, slot);
        let entry = &mut self.slots[slot as usize];
        entry.peer = Some(peer);
        entry.first = entry.generation;
        Self::id(slot, entry.generation)
    }

    /// Removes a peer by name.
    pub(super) fn remove(&mut self, name: &str) -> Option<(PeerId, Peer)> {
        let slot = self.by_name.remove(name)?;
        self.note_change();
        let entry = &mut self.slots[slot as usize];
        let id = Self::id(slot, entry.generation);
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
        let peer = entry.peer.take()?;
        self.addresses.change(peer.address.as_deref(), None);
        self.discount(peer.adoption());
        Some((id, peer))
    }

    /// Stores an address as the server gave it.
    pub(super) fn set_address(&mut self, id: PeerId, address: &Address) {
        let new: Box<str> = address.to_string().into();
        if let Some(peer) = self.get_mut(id) {
            let old = peer.address.replace(new.clone());
            self.addresses.change(old.as_deref(), Some(&new));
        }
    }

    /// Whether a peer has this address, in the server's words.
    pub(super) fn has_address(&mut self, address: &str) -> bool {
        let peers = self.slots.iter().filter_map(|entry| entry.peer.as_ref());
        let all = peers.filter_map(|peer| peer.address.as_deref());
        self.addresses.contains(address, all)
    }

    /// Adopts a peer that is not adopted.
    pub(super) fn adopt(&mut self, id: PeerId, adoption: Adoption) {
        self.disown(id);
        let is_down = adoption.is_down();
        if let Some(peer) = self.get_mut(id) {
            peer.adoption = Some(Box::new(adoption));
            self.adopted += 1;
            self.down += usize::from(is_down);
        }
    }

    /// Ends the adoption of a peer, and gives it.
    pub(super) fn disown(&mut self, id: PeerId) -> Option<Box<Adoption>> {
        let adoption = self.get_mut(id)?.adoption.take();
        self.discount(adoption.as_deref());
        adoption
    }

    fn discount(&mut self, adoption: Option<&Adoption>) {
        self.adopted -= usize::from(adoption.is_some());
        self.down -= usize::from(adoption.is_some_and(Adoption::is_down));
    }

    /// Changes the state of a peer's checks, and returns the peer's adoption and the result of the
    /// change.
    #[inline]
    pub(super) fn judge<T>(
        &mut self,
        id: PeerId,
        judge: impl FnOnce(&mut Liveness) -> T,
    ) -> Option<(&mut Adoption, T)> {
        let (slot, generation) = Self::slot_of(id);
        let entry = self.slots.get_mut(slot as usize)?;
        let peer = entry
            .peer
            .as_mut()
            .filter(|_| entry.generation == generation);
        let adoption = peer?.adoption.as_deref_mut()?;
        self.down -= usize::from(adoption.is_down());
        let result = judge(&mut adoption.liveness);
        self.down += usize::from(adoption.is_down());
        Some((adoption, result))
    }

    /// Gives a peer a new number, so that no ping under way for the old one is credited to it. What
    /// the server was asked about the peer itself is still true: see [`PeerTable::renumbered`].
    pub(super) fn renumber(&mut self, id: PeerId) -> Option<PeerId> {
        let (slot, generation) = Self::slot_of(id);
        let entry = self.slots.get_mut(slot as usize)?;
        if entry.generation != generation || entry.peer.is_none() {
            return None;
        }
        entry.generation = generation.wrapping_add(1);
        Some(Self::id(slot, entry.generation))
    }

    /// The number that the peer of this number has now. If it was removed, the same number, which
    /// names no peer any more.
    #[must_use]
    pub(super) fn renumbered(&self, id: PeerId) -> PeerId {
        let (slot, generation) = Self::slot_of(id);
        let Some(entry) = self.slots.get(slot as usize) else {
            return id;
        };
        let age = entry.generation.wrapping_sub(generation);
        let is_it = age <= entry.generation.wrapping_sub(entry.first);
        if is_it && entry.peer.is_some() {
            Self::id(slot, entry.generation)
        } else {
            id
        }
    }

    /// The number of the peer called `name`.
    #[must_use]
    pub(super) fn find(&self, name: &str) -> Option<PeerId> {
        let slot = *self.by_name.get(name)?;
        Some(Self::id(slot, self.slots.get(slot as usize)?.generation))
    }

    /// The peer of that number, unless it was removed or renumbered meanwhile.
    #[must_use]
    pub(super) fn get(&self, id: PeerId) -> Option<&Peer> {
        let (slot, generation) = Self::slot_of(id);
        let entry = self.slots.get(slot as usize)?;
        if entry.generation == generation {
            entry.peer.as_ref()
        } else {
            None
        }
    }

    /// The record of the peer called `name`: as it is in `database` if it is there, else as it was
    /// when it was removed while the server had the peer.
    pub(super) fn record_of<'a>(
        &'a self,
        name: &str,
        database: &'a Database,
    ) -> Option<&'a Record> {
        let removed = || self.get(self.find(name)?)?.record.as_ref();
        database.peer(name).or_else(removed)
    }

    /// The peer of this name.
    pub(super) fn named_mut(&mut self, name: &str) -> Option<&mut Peer> {
        self.find(name).and_then(|id| self.get_mut(id))
    }

    /// As [`PeerTable::get`], to change it.
    pub(super) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        let (slot, generation) = Self::slot_of(id);
        let entry = self.slots.get_mut(slot as usize)?;
        if entry.generation == generation {
            entry.peer.as_mut()
        } else {
            None
        }
    }

    /// The adoption of the peer of that number, to change anything but whether the peer is down,
    /// of which the table keeps count: see [`PeerTable::judge`].
    pub(super) fn adoption_mut(&mut self, id: PeerId) -> Option<&mut Adoption> {
        self.get_mut(id)?.adoption.as_deref_mut()
    }

    /// All peers, in the order of their slots, which is the same in a replay.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        (0..).zip(&self.slots).filter_map(|(slot, entry)| {
            entry
                .peer
                .as_ref()
                .map(|peer| (Self::id(slot, entry.generation), peer))
        })
    }

    /// All adopted peers, sorted by name.
    #[must_use]
    pub(super) fn adopted(&self) -> Vec<(PeerId, &Peer)> {
        let sorted = self.by_name.values().filter_map(|slot| {
            let entry = self.slots.get(*slot as usize)?;
            Some((Self::id(*slot, entry.generation), entry.peer.as_ref()?))
        });
        sorted.filter(|(_, peer)| peer.adoption.is_some()).collect()
    }

    /// The names of all peers, sorted.
    #[must_use]
    pub(super) fn names(&self) -> Vec<String> {
        self.by_name.keys().map(ToString::to_string).collect()
    }

    /// The names beyond `start`, sorted.
    pub(super) fn names_from<'a>(&'a self, start: Bound<&'a str>) -> impl Iterator<Item = &'a str> {
        let names = self.by_name.range::<str, _>((start, Bound::Unbounded));
        names.map(|(name, _)| &**name)
    }

    /// Keeps one copy of equal answers to `ALGS`.
    pub(super) fn share_algorithms(&mut self, pairs: Vec<(String, String)>) -> Algorithms {
        let fresh: Algorithms = pairs.into();
        if let Some(known) = self.algorithms.get(&fresh) {
            return Arc::clone(known);
        }
        // Forget what no peer uses any more before adding another.
        self.algorithms.retain(|known| Arc::strong_count(known) > 1);
        self.algorithms.insert(Arc::clone(&fresh));
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_one_presence_of_one_peer() {
        let mut table = PeerTable::default();
        let now = Monotonic(1);
        let alice = table.insert("alice", None, now);
        let bob = table.insert("bob", None, now);
        assert_ne!(alice, bob);
        assert_eq!(table.find("alice"), Some(alice));
        assert_eq!(table.get(alice).map(Peer::name), Some("alice"));

        let again = table.insert("alice", None, now);
        assert_ne!(again, alice);
        assert!(table.get(alice).is_none());
        assert_eq!(table.names(), ["alice", "bob"]);

        let renumbered = table.renumber(again).unwrap();
        assert!(table.get(again).is_none());
        assert_eq!(table.get(renumbered).map(Peer::name), Some("alice"));
        assert_eq!(table.find("alice"), Some(renumbered));
        assert_eq!(table.renumber(again), None);
        for (number, now) in [(again, renumbered), (alice, alice), (bob, bob)] {
            assert_eq!(table.renumbered(number), now);
        }

        assert!(table.remove("alice").is_some());
        assert!(table.remove("alice").is_none());
        let carol = table.insert("carol", None, now);
        assert!(
            table.get(renumbered).is_none(),
            "the slot is used again, the number is not"
        );
        assert_eq!(table.get(carol).map(Peer::name), Some("carol"));
        assert_eq!(table.renumbered(renumbered), renumbered);
        assert_eq!(table.renumbered(again), again);
    }
}
