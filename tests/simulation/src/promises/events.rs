// SPDX-License-Identifier: GPL-3.0-or-later
//! P12: events come without gap, and none comes twice. An observer of all events gets each number
//! after `live`; core may leave some out if it says how many. Any other observer gets numbers that
//! only rise.

use std::collections::BTreeMap;

use connect_core::machine::ConnectionId;
use connect_ipc::control::{Reply, Request};
use connect_ipc::event_filter::{EventFilter, EventKinds};

use super::{Moment, Rule, Verdict};
use crate::plan::Part;
use crate::promise::Promise;
use crate::seen::Seen;

/// What an observer has read.
#[derive(Clone, Copy, Debug, Default)]
struct Observer {
    /// Whether it wants everything.
    of_all: bool,
    /// Whether the state is complete.
    live: bool,
    last: u64,
    /// How many events were left out since the last one.
    dropped: u64,
}

/// All observers.
#[derive(Debug, Default)]
pub(super) struct Events {
    observers: BTreeMap<ConnectionId, Observer>,
}

/// Whether somebody who asks for these events is told every one.
pub(super) fn is_of_all(filter: &EventFilter) -> bool {
    filter.kinds == EventKinds::ALL && filter.peers.is_empty()
}

impl Rule for Events {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Asked(connection, envelope) => {
                if let Request::Events(filter) = &envelope.request {
                    let observer = Observer {
                        of_all: is_of_all(filter),
                        ..Observer::default()
                    };
                    self.observers.insert(*connection, observer);
                }
            }
            Seen::Replied(connection, answer) => {
                let Some(observer) = self.observers.get_mut(connection) else {
                    return Ok(());
                };
                match &answer.reply {
                    Reply::Live { seq } => {
                        observer.live = true;
                        observer.last = observer.last.max(*seq);
                    }
                    Reply::Dropped { events } => observer.dropped += *events,
                    Reply::Event(event) => return self.event(*connection, event.seq),
                    _ => {}
                }
            }
            Seen::Event(connection, event) => return self.event(*connection, event.seq),
            Seen::Gone(connection) => {
                self.observers.remove(connection);
            }
            Seen::Died(Part::Core) => self.observers.clear(),
            _ => {}
        }
        Ok(())
    }
}

impl Events {
    fn event(&mut self, connection: ConnectionId, seq: u64) -> Verdict {
        let Some(observer) = self.observers.get_mut(&connection) else {
            return Ok(());
        };
        let Observer { last, dropped, .. } = *observer;
        let connection = connection.0;
        if seq <= last {
            let text = format!("connection {connection} has read event {seq} after {last}");
            return Err((Promise::Events, text));
        }
        if observer.of_all && observer.live && seq - last - 1 != dropped {
            let text = format!(
                "connection {connection} has read event {seq} after {last}, and was told that \
                 {dropped} were left out"
            );
            return Err((Promise::Events, text));
        }
        (observer.last, observer.dropped) = (seq, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use connect_ipc::control::{Answer, Envelope};
    use connect_ipc::event::{Event, EventKind};

    use super::super::testing::Sight;
    use super::*;

    const OBSERVER: ConnectionId = ConnectionId(7);

    /// An observer of everything reads these numbers; 0 says that one was left out.
    fn read(numbers: &[u64]) -> Verdict {
        let mut sight = Sight::new::<Events>(&[]);
        let filter = EventFilter {
            kinds: EventKinds::ALL,
            ..EventFilter::default()
        };
        let request = Request::Events(filter);
        let asked = Envelope { id: 1, request };
        sight.see(Seen::Asked(OBSERVER, &asked)).unwrap();
        let mut answer = |reply| sight.see(Seen::Replied(OBSERVER, &Answer { id: 1, reply }));
        answer(Reply::Live { seq: 3 })?;
        for seq in numbers {
            answer(match seq {
                0 => Reply::Dropped { events: 1 },
                seq => Reply::Event(Event {
                    seq: *seq,
                    at_ms: 0,
                    peer: None,
                    kind: EventKind::Joined {},
                }),
            })?;
        }
        Ok(())
    }

    #[test]
    fn numbers_without_a_gap_keep_it() {
        assert_eq!(read(&[4, 5, 0, 7]), Ok(()));
    }

    #[test]
    fn a_gap_or_a_double_breaks_it() {
        for numbers in [[4, 6], [4, 4], [0, 4]] {
            assert!(matches!(read(&numbers), Err((Promise::Events, _))));
        }
    }
}
