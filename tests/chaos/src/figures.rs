// SPDX-License-Identifier: GPL-3.0-or-later
//! At rest, three accounts of each peer are compared: what the server said, what the service tells
//! when it is asked, and what an observer makes of the events.

use std::time::Duration;

use connect_runtime::clock;

use crate::load::stream::Oddity;
use crate::load::tracks::{Pings, Tracks};
use crate::run::Run;
use crate::truth::account::Account;
use crate::world::database::address;
use crate::world::status::{Row, Status};
use judge::history::CauseKind;

/// How long the events may take that the state already includes.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What does not agree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Difference {
    pub(crate) peer: String,
    pub(crate) text: String,
}

/// Compares everything with the state at rest, and with an earlier one.
pub(crate) fn compare(run: &Run, earlier: Option<&Status>, status: &Status) -> Vec<Difference> {
    let Some(observer) = run.load.observers.first() else {
        return Vec::new();
    };
    let wanted = status.peers.values().map(|row| row.seq).max().unwrap_or(0);
    let until = clock::now() + PATIENCE;
    while observer.seen().stream.last().is_none_or(|it| it < wanted) && clock::now() < until {
        std::thread::sleep(LOOK_EVERY);
    }
    let seen = observer.seen();
    let account = run.world.watcher.account();
    let names = run.world.peers.names();
    let of_peer = |peer: String| {
        let row = status.peers.get(&peer);
        let before = earlier.and_then(|earlier| earlier.peers.get(&peer));
        let mut texts = with_server(&peer, row, &account);
        if seen.stream.tracks.is_complete() {
            texts.extend(with_events(&peer, before, row, &seen.stream.tracks));
            texts.extend(comings(&peer, &account, &seen.stream.tracks));
        }
        let difference = move |text| Difference {
            peer: peer.clone(),
            text,
        };
        texts.into_iter().map(difference)
    };
    names.flat_map(of_peer).collect()
}

/// What does not agree between the state and the server.
fn with_server(peer: &str, row: Option<&Row>, account: &Account) -> Vec<String> {
    let mut texts = Vec::new();
    let at_server = account.present.contains(peer);
    let row = row.filter(|row| row.state.is_present());
    if at_server != row.is_some() {
        let told = row.is_some();
        texts.push(format!(
            "at the server: {at_server}; told by the service: {told}"
        ));
    }
    if let Some(row) = row
        && row.address.as_deref() != Some(address(peer).as_str())
    {
        texts.push(format!("the service tells the address {:?}", row.address));
    }
    texts
}

/// What does not agree between the state and the events.
fn with_events(
    peer: &str,
    before: Option<&Row>,
    row: Option<&Row>,
    tracks: &Tracks,
) -> Vec<String> {
    let Some(row) = row else { return Vec::new() };
    let mut texts = Vec::new();
    let told = row.state.is_present();
    if let Some(events) = tracks.at(peer, row.seq) {
        if events.present != told {
            texts.push(format!(
                "told by the service: {told}; by the events: {}",
                events.present
            ));
        }
        // The figures of a peer that is not there are those of its last adoption.
        if told && events.pings.is_some_and(|pings| pings != row.pings) {
            let (told, events) = (row.pings, events.pings);
            texts.push(format!(
                "the service tells {told:?}, and the events make {events:?}"
            ));
        }
    }
    if let Some(before) = before
        && let Some(between) = tracks.between(peer, before.seq, row.seq)
    {
        let grown = Pings {
            replies: row.pings.replies.saturating_sub(before.pings.replies),
            lost: row.pings.lost.saturating_sub(before.pings.lost),
        };
        if grown != between {
            texts.push(format!(
                "at rest {grown:?} were told, and events of {between:?} came"
            ));
        }
    }
    texts
}

/// Whether the server said the same additions and removals as the events.
fn comings(peer: &str, account: &Account, tracks: &Tracks) -> Option<String> {
    let events = tracks.comings(peer);
    let said = comings_at_server(account, peer, events.len());
    let text = format!("the server said {said:?}, and the events {events:?}");
    (events != said).then(|| format!("of its last additions (true) and removals, {text}"))
}

/// The last additions and removals of a peer that the server said, `true` for an addition.
fn comings_at_server(account: &Account, peer: &str, count: usize) -> Vec<bool> {
    let causes = account.causes.get(peer).into_iter().flatten();
    let all: Vec<bool> = causes
        .filter_map(|cause| match cause.kind {
            CauseKind::Added => Some(true),
            CauseKind::Removed => Some(false),
            CauseKind::Reconnecting | CauseKind::Answered | CauseKind::Unreachable => None,
        })
        .collect();
    let from = all.len().saturating_sub(count);
    all.get(from..).unwrap_or_default().to_vec()
}

/// What is odd in the streams of all observers, each with its number.
pub(crate) fn oddities(run: &Run) -> Vec<Oddity> {
    let observers = run.load.observers.iter().enumerate();
    observers
        .flat_map(|(number, observer)| {
            let found = observer.seen().stream.oddities.clone();
            found.into_iter().map(move |oddity| Oddity {
                text: format!("observer {number}: {}", oddity.text),
                ..oddity
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::clock::Monotonic;
    use connect_ipc::control::PeerState;
    use connect_ipc::event::{Event, EventKind};
    use judge::history::Span;

    #[test]
    fn as_many_additions_and_removals_are_compared_as_the_events_have() {
        let mut account = Account::default();
        let at = |at| Span {
            from: Monotonic(at),
            to: Monotonic(at),
        };
        account.added("p", at(1));
        account.removed("p", at(2));
        account.added("p", at(3));
        assert_eq!(comings_at_server(&account, "p", 2), [false, true]);
        assert_eq!(comings_at_server(&account, "p", 9), [true, false, true]);
        assert!(comings_at_server(&account, "q", 1).is_empty());
    }

    #[test]
    fn pings_at_rest_must_be_those_of_the_events() {
        let row = |seq, replies| Row {
            seq,
            state: PeerState::Up,
            address: Some(address("p00001")),
            pings: Pings { replies, lost: 0 },
        };
        let mut tracks = Tracks::default();
        let name = || Some("p00001".to_owned());
        for seq in [1, 2] {
            tracks.event(&Event {
                seq,
                at_ms: 0,
                peer: name(),
                kind: match seq {
                    1 => EventKind::Adopted {},
                    _ => EventKind::Reply { millis: 1.0 },
                },
            });
        }
        let texts =
            |replies| with_events("p00001", Some(&row(1, 7)), Some(&row(2, replies)), &tracks);
        assert_eq!(texts(8), Vec::<String>::new());
        assert_eq!(texts(9).len(), 1);
        let mut account = Account::default();
        assert_eq!(with_server("p00001", Some(&row(2, 8)), &account).len(), 1);
        account.present.insert("p00001".to_owned());
        assert!(with_server("p00001", Some(&row(2, 8)), &account).is_empty());
    }
}
