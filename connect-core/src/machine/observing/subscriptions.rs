// SPDX-License-Identifier: GPL-3.0-or-later
//! Which kinds of events observers want: an event that nobody wants is not made.

use std::collections::BTreeMap;

use connect_ipc::event_filter::EventKinds;

use crate::machine::input::ConnectionId;

/// How many requests for events one connection may have: each gets a copy of the same events, so
/// more are of no use.
const MAX_SUBSCRIPTIONS: usize = 4;

/// All requests for events.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriptions {
    by_request: BTreeMap<(ConnectionId, u64), EventKinds>,
    /// What any of them wants.
    wanted: EventKinds,
}

impl Subscriptions {
    /// The kinds that somebody wants.
    pub(super) const fn wanted(&self) -> EventKinds {
        self.wanted
    }

    /// Adds a request for events.
    ///
    /// # Errors
    /// What is wrong, for the one who asks.
    pub(super) fn add(
        &mut self,
        connection: ConnectionId,
        request: u64,
        kinds: EventKinds,
    ) -> Result<(), String> {
        let mut of_connection = self
            .by_request
            .range((connection, 0)..=(connection, u64::MAX));
        if of_connection.any(|((_, other), _)| *other == request) {
            return Err(format!(
                "this connection already has a request for events with the number {request}; \
                 give each request its own number"
            ));
        }
        let of_connection = self
            .by_request
            .range((connection, 0)..=(connection, u64::MAX));
        if of_connection.count() >= MAX_SUBSCRIPTIONS {
            return Err(format!(
                "a connection may have at most {MAX_SUBSCRIPTIONS} requests for events; name all \
                 kinds in one of them, or open another connection"
            ));
        }
        self.by_request.insert((connection, request), kinds);
        self.wanted = self.wanted.union(kinds);
        Ok(())
    }

    /// A connection has ended.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        let before = self.by_request.len();
        self.by_request.retain(|(of, _), _| *of != connection);
        if self.by_request.len() != before {
            let kinds = self.by_request.values();
            self.wanted = kinds.fold(EventKinds::EMPTY, |all, kinds| all.union(*kinds));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::event::EventName;

    #[test]
    fn what_is_wanted_is_what_the_connections_that_are_left_want() {
        let mut all = Subscriptions::default();
        let kinds = |name| EventKinds::from_iter([name]);
        let (one, two) = (ConnectionId(1), ConnectionId(2));
        all.add(one, 1, kinds(EventName::Reply)).unwrap();
        all.add(two, 1, kinds(EventName::Lost)).unwrap();
        assert!(all.wanted().contains(EventName::Reply));
        all.forget(one);
        assert_eq!(all.wanted(), kinds(EventName::Lost));
        all.forget(two);
        assert_eq!(all.wanted(), EventKinds::EMPTY);
    }

    #[test]
    fn a_connection_has_a_few_at_most_each_with_a_number_of_its_own() {
        let mut all = Subscriptions::default();
        let one = ConnectionId(1);
        all.add(one, 0, EventKinds::ALL).unwrap();
        let error = all.add(one, 0, EventKinds::ALL).unwrap_err();
        assert!(
            error.contains("request for events with the number 0"),
            "{error}"
        );
        for request in 1..4 {
            all.add(one, request, EventKinds::ALL).unwrap();
        }
        let error = all.add(one, 4, EventKinds::ALL).unwrap_err();
        assert!(error.contains("at most 4 requests for events"), "{error}");
        all.add(ConnectionId(2), 0, EventKinds::ALL).unwrap();
    }
}
