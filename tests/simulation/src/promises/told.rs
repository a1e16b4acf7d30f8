// SPDX-License-Identifier: GPL-3.0-or-later
//! P12: what core has told everybody or heard from the server, it has told observers of all events
//! as well, as often, and nothing else of that kind. Two things are told as
//! events only: a check that failed since no ping could be sent, and a reconnection that a `kick`
//! asked for.
//!
//! The rule compares at each full minute, if nothing has disturbed the host for a while and nothing
//! of this kind was said within the last seconds, and counts from the minute before that was so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connect_core::machine::ConnectionId;
use connect_ipc::control::{Reply, Request};
use connect_ipc::event::{Event, EventKind};
use tripe_admin::Note;

use super::calm::REST;
use super::events::is_of_all;
use super::tap::Fact;
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::Part;
use crate::promise::Promise;
use crate::seen::Seen;

/// How long nothing of this kind was said: longer than a line and an event are on their way.
const STILL: Duration = Duration::from_secs(2);

/// What is told both ways.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Added,
    Removed,
    Missed,
    Recovered,
    Reconnecting,
    Unreachable,
}

/// How many more times things were said otherwise than as events.
type Differences = BTreeMap<(Kind, String), i64>;

/// An observer of all events.
#[derive(Debug, Default)]
struct Observer {
    /// Whether it has the whole state, so that it is told everything from then on.
    live: bool,
    /// Whether it has read everything since it was last looked at.
    counts: bool,
    /// The number of the event after the last `kick`, and the peer that was kicked: the
    /// reconnection that was asked for.
    kicked: Option<(u64, String)>,
    differences: Differences,
}

/// All observers.
#[derive(Debug, Default)]
pub(super) struct Told {
    observers: BTreeMap<ConnectionId, Observer>,
    /// Who does not read.
    idle: BTreeSet<ConnectionId>,
    /// When something of this kind was last said.
    last: Instant,
    /// When the observers were last looked at.
    looked: Instant,
}

impl Rule for Told {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        if let Some((kinds, peer)) = now.fact.and_then(said) {
            self.last = now.at;
            for observer in self.observers.values_mut() {
                for kind in kinds {
                    let of = (*kind, peer.clone());
                    *observer.differences.entry(of).or_default() += 1;
                }
            }
        }
        match now.seen {
            Seen::Asked(connection, envelope) => {
                if let Request::Events(filter) = &envelope.request
                    && is_of_all(filter)
                {
                    self.observers.insert(*connection, Observer::default());
                }
            }
            Seen::Replied(connection, answer) => match &answer.reply {
                Reply::Event(event) => self.read(now.at, *connection, event),
                Reply::Dropped { .. } => self.start_anew(*connection),
                Reply::Live { .. } => {
                    if let Some(observer) = self.observers.get_mut(connection) {
                        observer.live = true;
                    }
                }
                _ => {}
            },
            Seen::Event(connection, event) => self.read(now.at, *connection, event),
            Seen::Reading(connection, true) => {
                self.idle.remove(connection);
                self.start_anew(*connection);
            }
            Seen::Reading(connection, false) => {
                self.idle.insert(*connection);
            }
            Seen::Gone(connection) => {
                self.observers.remove(connection);
                self.idle.remove(connection);
            }
            Seen::Died(Part::Core) => self.observers.clear(),
            Seen::Minute(_) => return self.look(now),
            _ => {}
        }
        Ok(())
    }
}

/// What was told everybody, or what the server has told, of which peer.
fn said(fact: &Fact) -> Option<(&'static [Kind], &String)> {
    match fact {
        Fact::Note(Note::Add { peer, .. }) => Some((&[Kind::Added], peer)),
        Fact::Note(Note::Kill { peer }) => Some((&[Kind::Removed], peer)),
        Fact::Sent(command) => {
            let [word, peer, more @ ..] = command.told()? else {
                return None;
            };
            let kinds: &[Kind] = match (word.as_str(), more) {
                ("ping-timeout", [_, attempt, _, of]) if attempt == of => {
                    &[Kind::Missed, Kind::Unreachable]
                }
                ("ping-timeout", _) => &[Kind::Missed],
                ("ping-ok", _) => &[Kind::Recovered],
                ("reconnecting", _) => &[Kind::Reconnecting],
                _ => return None,
            };
            Some((kinds, peer))
        }
        _ => None,
    }
}

impl Told {
    fn read(&mut self, at: Instant, connection: ConnectionId, event: &Event) {
        let peer = event.peer.clone().unwrap_or_default();
        if let Some(observer) = self.observers.get_mut(&connection) {
            if let EventKind::Command { words, .. } = &event.kind
                && let [command, of] = words.as_slice()
                && command == "kick"
            {
                observer.kicked = Some((event.seq + 1, of.clone()));
            }
            if matches!(event.kind, EventKind::Reconnecting {})
                && observer.kicked == Some((event.seq, peer.clone()))
            {
                return;
            }
        }
        let kind = match event.kind {
            EventKind::Added { .. } => Kind::Added,
            EventKind::Removed(_) => Kind::Removed,
            EventKind::Missed { .. } => Kind::Missed,
            EventKind::Recovered { .. } => Kind::Recovered,
            EventKind::Reconnecting {} => Kind::Reconnecting,
            EventKind::Unreachable { .. } => Kind::Unreachable,
            _ => return,
        };
        self.last = at;
        if let Some(observer) = self.observers.get_mut(&connection) {
            *observer.differences.entry((kind, peer)).or_default() -= 1;
        }
    }

    /// An observer has not read everything.
    fn start_anew(&mut self, connection: ConnectionId) {
        if let Some(observer) = self.observers.get_mut(&connection) {
            observer.counts = false;
        }
    }

    fn look(&mut self, now: &Moment<'_>) -> Verdict {
        if now.at <= self.last + STILL || now.at <= now.calm.since + REST {
            return Ok(());
        }
        let undisturbed = now.calm.since + REST <= self.looked;
        self.looked = now.at;
        for (connection, observer) in &mut self.observers {
            let differences = std::mem::take(&mut observer.differences);
            let reads = observer.live && !self.idle.contains(connection);
            let counts = std::mem::replace(&mut observer.counts, reads);
            if !(counts && reads && undisturbed) {
                continue;
            }
            let is_wrong = |(kind, _): &(Kind, String), more: i64| match kind {
                Kind::Unreachable => more > 0,
                _ => more != 0,
            };
            let mut wrong = differences.iter().filter(|(of, more)| is_wrong(of, **more));
            if let Some(((kind, peer), more)) = wrong.next() {
                let text = format!(
                    "connection {} has read of {peer}, {kind:?}: {more} events too few",
                    connection.0
                );
                return Err((Promise::Events, text));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use connect_ipc::control::{Answer, Envelope};
    use connect_ipc::event_filter::{EventFilter, EventKinds};

    use super::super::testing::{Sight, view};
    use super::*;

    const OBSERVER: ConnectionId = ConnectionId(7);

    /// Core says this, and an observer of all events reads these about `p`.
    fn look_after(lines: &[&str], kinds: &[EventKind]) -> Option<Promise> {
        let mut sight = Sight::new::<Told>(&[]);
        let filter = EventFilter {
            kinds: EventKinds::ALL,
            ..EventFilter::default()
        };
        let request = Request::Events(filter);
        let asked = Envelope { id: 1, request };
        sight.see(Seen::Asked(OBSERVER, &asked)).unwrap();
        let reply = Reply::Live { seq: 0 };
        let live = Answer { id: 1, reply };
        sight.see(Seen::Replied(OBSERVER, &live)).unwrap();
        let minute = |sight: &mut Sight| {
            sight.later(60);
            view(|view| sight.see(Seen::Minute(view)))
        };
        minute(&mut sight).unwrap();
        minute(&mut sight).unwrap();
        sight.lines(lines);
        for (kind, seq) in kinds.iter().zip(0..) {
            let event = Event {
                seq,
                at_ms: 0,
                peer: Some("p".to_owned()),
                kind: kind.clone(),
            };
            sight.see(Seen::Event(OBSERVER, &event)).unwrap();
        }
        minute(&mut sight).err().map(|(promise, _)| promise)
    }

    /// Core says twice that a peer has answered again, and an observer reads so many events of it.
    fn look_after_recoveries(events: usize) -> Option<Promise> {
        let lines = ["> WARN connect ping-ok p", "> WARN connect ping-ok p"];
        look_after(&lines, &vec![EventKind::Recovered { failures: 1 }; events])
    }

    #[test]
    fn as_many_events_as_warnings_keep_it() {
        assert_eq!(look_after_recoveries(2), None);
    }

    #[test]
    fn an_event_too_few_or_too_many_breaks_it() {
        assert_eq!(look_after_recoveries(1), Some(Promise::Events));
        assert_eq!(look_after_recoveries(3), Some(Promise::Events));
    }

    #[test]
    fn everybody_is_told_of_a_reconnection_unless_somebody_kicked() {
        let kick = |peer: &str| EventKind::Command {
            words: vec!["kick".to_owned(), peer.to_owned()],
            by: "server".to_owned(),
        };
        let again = || EventKind::Reconnecting {};
        assert_eq!(look_after(&[], &[kick("p"), again()]), None);
        let twice = [kick("p"), again(), again()];
        assert_eq!(look_after(&[], &twice), Some(Promise::Events));
        assert_eq!(
            look_after(&[], &[kick("q"), again()]),
            Some(Promise::Events)
        );
        let told = ["> WARN connect reconnecting p"];
        assert_eq!(look_after(&told, &twice), None);
        assert_eq!(
            look_after(&told, &[kick("p"), again()]),
            Some(Promise::Events)
        );
    }
}
