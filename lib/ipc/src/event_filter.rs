// SPDX-License-Identifier: GPL-3.0-or-later
//! Which events a request asks for, in a form of bounded size, however long the request was.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::{Event, EventName};

/// How many peers one filter may name: more than anybody watches one by one. For more, ask for all
/// events.
pub const MAX_PEERS_NAMED: usize = 64;

/// How long each of these names may be, in bytes: longer than the server allows.
pub const MAX_NAME: usize = 256;

/// Which events are wanted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct EventFilter {
    /// Only events of these peers, and those of no peer; all peers if empty.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub peers: PeerNames,
    /// Only events of these kinds; all but `reply` if empty, since there is one of that kind for
    /// each ping.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<EventName>"))]
    pub kinds: EventKinds,
    /// Whether the state comes first. If not, the events begin at once.
    pub state: bool,
}

impl Default for EventFilter {
    fn default() -> Self {
        EventFilter {
            peers: PeerNames::default(),
            kinds: EventKinds::EMPTY,
            state: true,
        }
    }
}

impl EventFilter {
    /// Whether an event is wanted.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let peer = match &event.peer {
            Some(peer) => self.peers.is_empty() || self.peers.contains(peer),
            None => true,
        };
        peer && self.kinds.or_default().contains(event.kind.name())
    }
}

/// A set of kinds of events.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EventKinds(u64);

const _: () = assert!(EventName::ALL.len() <= 64, "each kind needs a bit");

impl EventKinds {
    /// No kind. In a filter it means all except `reply`.
    pub const EMPTY: EventKinds = EventKinds(0);

    /// Every kind.
    pub const ALL: EventKinds = EventKinds(u64::MAX >> (64 - EventName::ALL.len()));

    const fn bit(name: EventName) -> u64 {
        1 << name as u64
    }

    /// Whether the set has this kind.
    #[must_use]
    pub const fn contains(self, name: EventName) -> bool {
        self.0 & Self::bit(name) != 0
    }

    /// Adds a kind.
    pub const fn insert(&mut self, name: EventName) {
        self.0 |= Self::bit(name);
    }

    /// The kinds of both sets.
    #[must_use]
    pub const fn union(self, other: EventKinds) -> EventKinds {
        EventKinds(self.0 | other.0)
    }

    /// The kinds that a filter with this set asks for: all except `reply` for an empty set.
    #[must_use]
    pub const fn or_default(self) -> EventKinds {
        if self.0 == 0 {
            EventKinds(Self::ALL.0 & !Self::bit(EventName::Reply))
        } else {
            self
        }
    }
}

impl FromIterator<EventName> for EventKinds {
    fn from_iter<I: IntoIterator<Item = EventName>>(names: I) -> Self {
        let mut kinds = EventKinds::EMPTY;
        for name in names {
            kinds.insert(name);
        }
        kinds
    }
}

impl From<&[EventName]> for EventKinds {
    fn from(names: &[EventName]) -> Self {
        names.iter().copied().collect()
    }
}

impl Serialize for EventKinds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = EventName::ALL.iter();
        serializer.collect_seq(names.filter(|name| self.contains(**name)))
    }
}

impl<'de> Deserialize<'de> for EventKinds {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Kinds;
        impl<'de> Visitor<'de> for Kinds {
            type Value = EventKinds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of kinds of events")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<EventKinds, A::Error> {
                let mut kinds = EventKinds::EMPTY;
                while let Some(name) = names.next_element()? {
                    kinds.insert(name);
                }
                Ok(kinds)
            }
        }
        reader.deserialize_seq(Kinds)
    }
}

/// The names of some peers. What is read has at most [`MAX_PEERS_NAMED`] of at most [`MAX_NAME`]
/// bytes each.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PeerNames(HashSet<Box<str>>);

impl PeerNames {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this peer is among them.
    #[must_use]
    pub fn contains(&self, peer: &str) -> bool {
        self.0.contains(peer)
    }

    /// All names, sorted.
    #[must_use]
    pub fn sorted(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.iter().map(|name| &**name).collect();
        names.sort_unstable();
        names
    }
}

impl<S: Into<Box<str>>> FromIterator<S> for PeerNames {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        PeerNames(names.into_iter().map(Into::into).collect())
    }
}

impl Serialize for PeerNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.sorted())
    }
}

impl<'de> Deserialize<'de> for PeerNames {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = PeerNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names of peers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PeerNames, A::Error> {
                let (mut names, mut count) = (HashSet::new(), 0);
                while let Some(name) = list.next_element::<Box<str>>()? {
                    count += 1;
                    if name.len() > MAX_NAME {
                        return Err(A::Error::custom(format_args!(
                            "a peer's name has at most {MAX_NAME} bytes"
                        )));
                    }
                    if count > MAX_PEERS_NAMED {
                        return Err(A::Error::custom(format_args!(
                            "a request for events names at most {MAX_PEERS_NAMED} peers; name \
                             none to get those of all"
                        )));
                    }
                    names.insert(name);
                }
                Ok(PeerNames(names))
            }
        }
        reader.deserialize_seq(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, Removal};

    fn event(peer: Option<&str>, kind: EventKind) -> Event {
        Event {
            seq: 1,
            at_ms: 0,
            peer: peer.map(str::to_owned),
            kind,
        }
    }

    #[test]
    fn filters_choose_by_peer_and_kind() {
        let all = EventFilter::default();
        assert!(all.wants(&event(Some("a"), EventKind::Removed(Removal::Command))));
        assert!(!all.wants(&event(Some("a"), EventKind::Reply { millis: 1.0 })));
        let some = EventFilter {
            peers: PeerNames::from_iter(["a"]),
            kinds: EventKinds::from_iter([EventName::Reply, EventName::Lost]),
            state: true,
        };
        assert!(some.wants(&event(Some("a"), EventKind::Reply { millis: 1.0 })));
        assert!(!some.wants(&event(Some("b"), EventKind::Reply { millis: 1.0 })));
        assert!(!some.wants(&event(Some("a"), EventKind::Removed(Removal::Command))));
        assert!(some.wants(&event(None, EventKind::Lost {})));
    }

    #[test]
    fn a_set_of_kinds_has_what_was_put_in() {
        for name in EventName::ALL {
            let one = EventKinds::from_iter([*name]);
            let others = EventName::ALL.iter().filter(|other| one.contains(**other));
            assert_eq!(others.collect::<Vec<_>>(), [name]);
            assert!(EventKinds::ALL.contains(*name));
        }
        assert_eq!(EventKinds::from(EventName::ALL), EventKinds::ALL);
    }

    #[test]
    fn kinds_that_are_unknown_are_refused() {
        let error = serde_json::from_str::<EventFilter>(r#"{"kinds":["lost","x"]}"#).unwrap_err();
        assert!(error.to_string().contains("unknown variant `x`"), "{error}");
    }

    #[test]
    fn names_are_read_up_to_the_limits() {
        let list = |names: usize, length: usize| {
            let names: Vec<String> = (0..names).map(|name| format!("{name:0length$}")).collect();
            let text = serde_json::json!({ "peers": names }).to_string();
            serde_json::from_str::<EventFilter>(&text).map_err(|error| error.to_string())
        };
        let read = list(MAX_PEERS_NAMED, MAX_NAME).unwrap();
        assert_eq!(read.peers.sorted().len(), MAX_PEERS_NAMED);
        let error = list(MAX_PEERS_NAMED + 1, 3).unwrap_err();
        assert!(error.contains("names at most 64 peers"), "{error}");
        let error = list(1, MAX_NAME + 1).unwrap_err();
        assert!(error.contains("at most 256 bytes"), "{error}");
    }
}
