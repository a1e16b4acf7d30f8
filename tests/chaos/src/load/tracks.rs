// SPDX-License-Identifier: GPL-3.0-or-later
//! What an observer makes of the events about each peer: whether the server has it, and how many
//! pings were answered, at each number of an event. So it can be compared with a state that was
//! asked for, which says up to which event it goes.

use std::collections::BTreeMap;

use connect_ipc::control::PeerRows;
use connect_ipc::event::{Event, EventKind};

/// Pings of a peer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Pings {
    pub(crate) replies: u64,
    pub(crate) lost: u64,
}

/// What is known of a peer after some event.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Figures {
    pub(crate) present: bool,
    /// Since the peer was adopted; `None` if the events do not tell it.
    pub(crate) pings: Option<Pings>,
}

/// What one event changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    Added,
    Removed,
    Adopted,
    Reply,
    Missed,
}

/// One peer.
#[derive(Debug, Default)]
struct Track {
    /// The number up to which `base` goes.
    seq: u64,
    base: Figures,
    changes: Vec<(u64, Change)>,
}

/// All peers, since the state was sent.
#[derive(Debug, Default)]
pub(crate) struct Tracks {
    peers: BTreeMap<String, Track>,
    /// The number of the event with which the service came to the server last.
    joined: u64,
    /// Whether events were left out.
    spoiled: bool,
}

impl Tracks {
    /// Takes rows of the state.
    pub(crate) fn begin(&mut self, rows: &PeerRows) {
        for row in &rows.list {
            let base = Figures {
                present: row.state.is_present(),
                // A core that has just started may be about to get other figures from the pinger.
                pings: None,
            };
            let track = Track {
                seq: rows.seq,
                base,
                changes: Vec::new(),
            };
            self.peers.insert(row.name.clone(), track);
        }
    }

    /// Takes an event.
    pub(crate) fn event(&mut self, event: &Event) {
        if let EventKind::Joined {} = event.kind {
            self.joined = event.seq;
        }
        let change = match event.kind {
            EventKind::Added { .. } => Change::Added,
            EventKind::Removed(_) => Change::Removed,
            EventKind::Adopted {} => Change::Adopted,
            EventKind::Reply { .. } => Change::Reply,
            EventKind::Missed { .. } => Change::Missed,
            _ => return,
        };
        if let Some(peer) = &event.peer {
            let track = self.peers.entry(peer.clone()).or_default();
            track.changes.push((event.seq, change));
        }
    }

    /// Events were left out.
    pub(crate) const fn spoil(&mut self) {
        self.spoiled = true;
    }

    /// Whether every event is known.
    pub(crate) const fn is_complete(&self) -> bool {
        !self.spoiled
    }

    /// The figures of a peer after the event of this number; `None` if they are no longer known.
    pub(crate) fn at(&self, peer: &str, seq: u64) -> Option<Figures> {
        let Some(track) = self.peers.get(peer) else {
            return Some(Figures::default());
        };
        if seq < track.seq {
            return None;
        }
        let until = track.changes.iter().take_while(|(at, _)| *at <= seq);
        let mut is_new = false;
        let mut figures = track.base;
        for (_, change) in until {
            match change {
                Change::Added => (figures.present, is_new) = (true, true),
                Change::Removed => (figures.present, is_new) = (false, false),
                Change::Adopted => {
                    figures.present = true;
                    // A peer that an earlier core had adopted keeps what the pinger knows of it.
                    figures.pings = is_new.then(Pings::default);
                    is_new = false;
                }
                Change::Reply => count(&mut figures.pings, |pings| &mut pings.replies),
                Change::Missed => count(&mut figures.pings, |pings| &mut pings.lost),
            }
        }
        Some(figures)
    }

    /// The pings of a peer that ended after one event and not after another; `None` if it came or
    /// went between them, or is not known that far back.
    pub(crate) fn between(&self, peer: &str, after: u64, until: u64) -> Option<Pings> {
        let track = self.peers.get(peer).filter(|track| track.seq <= after)?;
        let mut changes = track.changes.iter();
        changes.try_fold(Pings::default(), |mut pings, (at, change)| {
            match change {
                _ if *at <= after || *at > until => {}
                Change::Reply => pings.replies += 1,
                Change::Missed => pings.lost += 1,
                Change::Added | Change::Removed | Change::Adopted => return None,
            }
            Some(pings)
        })
    }

    /// The additions and removals of a peer since the service came to the server last, `true` for
    /// an addition.
    pub(crate) fn comings(&self, peer: &str) -> Vec<bool> {
        let changes = self.peers.get(peer).into_iter();
        let changes = changes.flat_map(|track| &track.changes);
        let since = changes.filter(|(seq, _)| *seq > self.joined);
        since
            .filter_map(|(_, change)| match change {
                Change::Added => Some(true),
                Change::Removed => Some(false),
                _ => None,
            })
            .collect()
    }
}

/// Counts one more, if the number until now is known.
fn count(pings: &mut Option<Pings>, which: impl Fn(&mut Pings) -> &mut u64) {
    if let Some(pings) = pings {
        *which(pings) += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::event::Removal;

    fn tracks(kinds: Vec<EventKind>) -> Tracks {
        let mut tracks = Tracks::default();
        for (kind, seq) in kinds.into_iter().zip(1..) {
            tracks.event(&Event {
                seq,
                at_ms: 0,
                peer: Some("p".to_owned()),
                kind,
            });
        }
        tracks
    }

    fn added() -> EventKind {
        EventKind::Added {
            address: String::new(),
            interface: String::new(),
        }
    }

    #[test]
    fn figures_are_those_after_the_event_that_is_asked_for() {
        let reply = || EventKind::Reply { millis: 1.0 };
        let missed = EventKind::Missed { attempt: 1, of: 2 };
        let adopted = || EventKind::Adopted {};
        let tracks = tracks(vec![
            added(),
            adopted(),
            reply(),
            missed,
            adopted(),
            reply(),
        ]);
        let at = |seq| tracks.at("p", seq).unwrap();
        let pings = |replies, lost| Some(Pings { replies, lost });
        assert_eq!(at(0), Figures::default());
        assert_eq!((at(4).present, at(4).pings), (true, pings(1, 1)));
        assert_eq!(at(9).pings, None, "an earlier core had adopted it");
        assert_eq!(tracks.at("q", 9), Some(Figures::default()));
        assert_eq!(tracks.between("p", 2, 4), pings(1, 1));
        assert_eq!(tracks.between("p", 3, 4), pings(0, 1));
        assert_eq!(tracks.between("p", 3, 6), None);
    }

    #[test]
    fn comings_count_from_the_time_when_the_service_came_to_the_server() {
        let removed = || EventKind::Removed(Removal::Command);
        let kinds = vec![added(), removed(), EventKind::Joined {}, added(), removed()];
        assert_eq!(tracks(kinds).comings("p"), [true, false]);
    }
}
