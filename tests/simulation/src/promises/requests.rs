// SPDX-License-Identifier: GPL-3.0-or-later
//! P3 for requests of operators and observers: replies, the last of them final, in time, and none
//! after it. A request for events has no last reply.
//!
//! Time counts only for those who read, and from what has disturbed the host last. What waits for
//! scripts has no limit as long as the script helper has such a script: scripts may go on for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connect_core::machine::ConnectionId;
use connect_ipc::control::{Reply, Request};
use connect_ipc::scripts::ScriptKind;

use super::jobs;
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::Part;
use crate::promise::Promise;
use crate::seen::{Seen, View};

/// How long a request takes at most that depends on nobody else.
const AT_ONCE: Duration = Duration::from_secs(60);

/// How long no change is reported at most while changes are applied and no `ifup` is there. Many
/// peers may be begun at one time, and those whose address is taken are tried again before that is
/// reported; each attempt may take as long as a command.
const APPLYING: Duration = Duration::from_secs(5 * jobs::LIMIT.as_secs());

/// A request that is not answered.
#[derive(Clone, Debug)]
struct Open {
    /// Since it was made, or since it has not waited for a script, or since the last change that
    /// was applied.
    since: Instant,
    /// How long the answer may take from then on; `None` if there is no last reply.
    limit: Option<Duration>,
    waits: Waits,
}

/// For which scripts a request waits.
#[derive(Clone, Debug)]
enum Waits {
    /// For none.
    No,
    /// For one of this peer.
    Peer(String, ScriptKind),
    /// For an `ifup` of any peer.
    Ifup,
}

impl Waits {
    /// For which a request waits.
    fn of(request: &Request) -> Waits {
        match request {
            Request::RunScript { peer, script } => Waits::Peer(peer.clone(), (*script).into()),
            Request::ApplyChanges {} => Waits::Ifup,
            _ => Waits::No,
        }
    }

    /// Whether the script helper has a script for which the request may wait. Its own script is
    /// there from its order to its end, also while it waits for others.
    fn goes_on(&self, view: &View<'_>) -> bool {
        let mut runs = view.ledger.runs().map(|run| &run.under_way);
        match self {
            Waits::No => false,
            Waits::Peer(peer, kind) => runs.any(|run| run.peer == *peer && run.kind == *kind),
            Waits::Ifup => runs.any(|run| run.kind == ScriptKind::Ifup),
        }
    }
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
                    Request::ApplyChanges {} => Some(APPLYING),
                    Request::Events(_) => None,
                    _ => Some(AT_ONCE),
                };
                let open = Open {
                    since: now.at,
                    limit,
                    waits: Waits::of(&envelope.request),
                };
                self.open.insert((*connection, envelope.id), open);
            }
            Seen::Replied(connection, answer) => {
                return self.replied(now.at, *connection, answer.id, &answer.reply);
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
            Seen::Minute(view) | Seen::End(view) => return self.look(now, view),
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

    fn replied(
        &mut self,
        at: Instant,
        connection: ConnectionId,
        request: u64,
        reply: &Reply,
    ) -> Verdict {
        if let Reply::Busy { .. } = reply {
            return Ok(());
        }
        self.must_be_open(connection, request)?;
        let key = (connection, request);
        let Some(open) = self.open.get_mut(&key) else {
            return Ok(());
        };
        if matches!(reply, Reply::Applied(_)) {
            open.since = at;
        }
        let is_endless = open.limit.is_none();
        if reply.is_final() && !(is_endless && matches!(reply, Reply::Done {})) {
            self.open.remove(&key);
        }
        Ok(())
    }

    fn look(&mut self, now: &Moment<'_>, view: &View<'_>) -> Verdict {
        for open in self.open.values_mut() {
            if open.waits.goes_on(view) {
                open.since = now.at;
            }
        }
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
    use connect_ifscripts::ledger::{Entry, Ledger};
    use connect_ipc::changes::{AppliedChange, Remedy};
    use connect_ipc::control::{Answer, Envelope, Reply};
    use connect_ipc::scripts::InterfaceScript;

    use super::super::testing::{Sight, run, view};
    use super::*;

    const OPERATOR: ConnectionId = ConnectionId(7);

    fn asked(sight: &mut Sight, id: u64) {
        let words = vec!["adopted".to_owned()];
        requested(sight, id, Request::Submit { words });
    }

    fn requested(sight: &mut Sight, id: u64, request: Request) {
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

    /// What is said after so many seconds, if the script helper has only a run of this kind.
    fn looked(sight: &mut Sight, seconds: u64, kind: Option<ScriptKind>) -> Verdict {
        sight.later(seconds);
        let mut ledger = Ledger::default();
        if let Some(kind) = kind {
            ledger.apply(&Entry::Ordered(run(1, kind, None).into()));
        }
        view(|view| {
            let ledger = &ledger;
            sight.see(Seen::Minute(View { ledger, ..view }))
        })
    }

    fn is_broken(verdict: &Verdict) -> bool {
        matches!(verdict, Err((Promise::AnsweredOnce, _)))
    }

    #[test]
    fn a_script_that_is_over_is_told_to_be() {
        let request = Request::RunScript {
            peer: "p".to_owned(),
            script: InterfaceScript::Ifup,
        };
        let mut sight = Sight::new::<Requests>(&[]);
        requested(&mut sight, 1, request.clone());
        let own = Some(ScriptKind::Ifup);
        assert_eq!(looked(&mut sight, 36_000, own), Ok(()));
        assert_eq!(looked(&mut sight, 30, None), Ok(()));
        assert!(is_broken(&looked(&mut sight, 60, None)));
        let mut sight = Sight::new::<Requests>(&[]);
        requested(&mut sight, 1, request);
        let another = Some(ScriptKind::Connect);
        assert!(is_broken(&looked(&mut sight, 90, another)), "of its own");
    }

    #[test]
    fn changes_are_applied_in_time_from_the_last_one_or_from_the_last_script() {
        let mut sight = Sight::new::<Requests>(&[]);
        requested(&mut sight, 1, Request::ApplyChanges {});
        assert_eq!(looked(&mut sight, 170, None), Ok(()));
        let applied = AppliedChange {
            peer: "p".to_owned(),
            remedy: Remedy::Active,
            failure: None,
        };
        assert_eq!(answer(&mut sight, 1, Reply::Applied(applied)), Ok(()));
        assert_eq!(looked(&mut sight, 170, None), Ok(()));
        let script = Some(ScriptKind::Ifup);
        assert_eq!(looked(&mut sight, 3_600, script), Ok(()));
        assert_eq!(looked(&mut sight, 170, None), Ok(()));
        assert!(is_broken(&looked(&mut sight, 10, None)));
    }
}
