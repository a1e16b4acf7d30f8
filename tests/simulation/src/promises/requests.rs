// SPDX-License-Identifier: GPL-3.0-or-later
//! P3 for requests of operators and observers: replies, the last of them final, in time, and none
//! after it. A request for events has no last reply.
//!
//! Time counts only for those who read, and from what has disturbed the host last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connect_core::machine::ConnectionId;
use connect_ipc::control::{Reply, Request};

use super::jobs;
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::Part;
use crate::promise::Promise;
use crate::seen::Seen;

/// How long a request takes at most that depends on nobody else.
const AT_ONCE: Duration = Duration::from_secs(60);

/// A request that is not answered.
#[derive(Clone, Debug)]
struct Open {
    since: Instant,
    /// How long the answer may take; `None` if somebody else decides that.
    limit: Option<Duration>,
    /// Whether there is no last reply.
    endless: bool,
}

/// The requests of all connections.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: BTreeMap<(ConnectionId, u64), Open>,
    /// Who does not read.
    deaf: BTreeSet<ConnectionId>,
}

impl Rule for Requests {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Asked(connection, envelope) => {
                let limit = match &envelope.request {
                    Request::Submit { words } => Some(jobs::limit(words)),
                    // These wait for scripts.
                    Request::ApplyChanges {} | Request::RunScript { .. } => None,
                    Request::Events(_) => None,
                    _ => Some(AT_ONCE),
                };
                let open = Open {
                    since: now.at,
                    limit,
                    endless: matches!(envelope.request, Request::Events(_)),
                };
                self.open.insert((*connection, envelope.id), open);
            }
            Seen::Replied(connection, answer) => {
                return self.replied(*connection, answer.id, &answer.reply);
            }
            Seen::Rows(to, _) => {
                for (connection, request) in *to {
                    self.must_be_open(*connection, *request)?;
                }
            }
            Seen::Reading(connection, true) => {
                self.deaf.remove(connection);
                for ((of, _), open) in &mut self.open {
                    if of == connection {
                        open.since = now.at;
                    }
                }
            }
            Seen::Reading(connection, false) => {
                self.deaf.insert(*connection);
            }
            Seen::Gone(connection) => {
                self.deaf.remove(connection);
                self.open.retain(|(of, _), _| of != connection);
            }
            Seen::Died(Part::Core) => {
                self.open.clear();
                self.deaf.clear();
            }
            Seen::Minute(_) | Seen::End(_) => return self.look(now),
            _ => {}
        }
        Ok(())
    }
}

impl Requests {
    fn must_be_open(&self, connection: ConnectionId, request: u64) -> Verdict {
        if self.open.contains_key(&(connection, request)) {
            return Ok(());
        }
        let connection = connection.0;
        let text = format!("request {request} of connection {connection} has a reply too many");
        Err((Promise::AnsweredOnce, text))
    }

    fn replied(&mut self, connection: ConnectionId, request: u64, reply: &Reply) -> Verdict {
        if let Reply::Busy { .. } = reply {
            return Ok(());
        }
        self.must_be_open(connection, request)?;
        let key = (connection, request);
        let endless = self.open.get(&key).is_some_and(|open| open.endless);
        if reply.is_final() && !(endless && matches!(reply, Reply::Done {})) {
            self.open.remove(&key);
        }
        Ok(())
    }

    fn look(&self, now: &Moment<'_>) -> Verdict {
        if !now.calm.is_whole() {
            return Ok(());
        }
        let late = self.open.iter().find(|((connection, _), open)| {
            let since = open.since.max(now.calm.since);
            let is_late = open.limit.is_some_and(|limit| since + limit < now.at);
            is_late && !self.deaf.contains(connection)
        });
        match late {
            None => Ok(()),
            Some(((connection, request), open)) => {
                let (connection, since) = (connection.0, open.since);
                let text = format!(
                    "request {request} of connection {connection} of {since} is not answered"
                );
                Err((Promise::AnsweredOnce, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use connect_ipc::control::{Answer, Envelope, Reply};

    use super::super::testing::{Sight, view};
    use super::*;

    const OPERATOR: ConnectionId = ConnectionId(7);

    fn asked(sight: &mut Sight, id: u64) {
        let words = vec!["adopted".to_owned()];
        let request = Request::Submit { words };
        let envelope = Envelope { id, request };
        sight.see(Seen::Asked(OPERATOR, &envelope)).unwrap();
    }

    fn answer(sight: &mut Sight, id: u64, reply: Reply) -> Verdict {
        sight.see(Seen::Replied(OPERATOR, &Answer { id, reply }))
    }

    #[test]
    fn one_final_reply_keeps_it() {
        let mut sight = Sight::new::<Requests>(&[]);
        asked(&mut sight, 1);
        let line = Reply::Line(vec!["p".to_owned()]);
        assert_eq!(answer(&mut sight, 1, line), Ok(()));
        assert_eq!(answer(&mut sight, 1, Reply::Done {}), Ok(()));
        asked(&mut sight, 2);
        sight.see(Seen::Reading(OPERATOR, false)).unwrap();
        sight.later(100);
        view(|view| assert_eq!(sight.see(Seen::Minute(view)), Ok(())));
    }

    #[test]
    fn a_second_one_or_none_breaks_it() {
        let mut sight = Sight::new::<Requests>(&[]);
        asked(&mut sight, 1);
        answer(&mut sight, 1, Reply::Done {}).unwrap();
        let broken = answer(&mut sight, 1, Reply::Done {});
        assert!(matches!(broken, Err((Promise::AnsweredOnce, _))));
        let mut sight = Sight::new::<Requests>(&[]);
        asked(&mut sight, 1);
        sight.later(36);
        let broken = view(|view| sight.see(Seen::Minute(view)));
        assert!(matches!(broken, Err((Promise::AnsweredOnce, _))));
    }
}
