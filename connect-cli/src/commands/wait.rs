// SPDX-License-Identifier: GPL-3.0-or-later
//! `--wait`: gives a command and waits for its outcome, which the stream of events tells.
//!
//! ```text
//!   subscribe --> give the command --> events --> step --> reached, or something else
//! ```

use std::time::Duration;

use connect_ipc::control::{Reply, Request};
use connect_ipc::event::{Event, EventKind, EventName};
use connect_ipc::event_filter::EventFilter;
use connect_ipc::scripts::{Ended, ScriptKind};
use connect_runtime::exit::Exit;
use tokio::time::timeout;
use tripe_admin::client::ClientError;

use crate::client::admin::{self, AdminError};
use crate::client::connection::ControlError;
use crate::client::subscription::{StreamItem, Subscription};
use crate::common::{Common, Pace};
use crate::error::Error;
use crate::output::Output;
use crate::output::paint::Paint;
use crate::output::report::{CommandReport, OutcomeReport, OutcomeResult};
use crate::output::text;

/// The kinds of events that can decide the outcome.
const KINDS: [EventName; 10] = [
    EventName::Added,
    EventName::Removed,
    EventName::Keys,
    EventName::Reply,
    EventName::Recovered,
    EventName::Unreachable,
    EventName::Reconnecting,
    EventName::Ended,
    EventName::Lost,
    EventName::Command,
];

/// What is waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Goal {
    /// The peer was added and then answered.
    Active,
    /// The peer answered after it was kicked.
    Kick,
    /// The peer is gone.
    Kill,
}

/// What the events have told so far.
#[derive(Debug)]
struct OutcomeWatch<'a> {
    goal: Goal,
    command: &'a [String],
    /// Whether the events are later than our command.
    begun: bool,
}

impl<'a> OutcomeWatch<'a> {
    fn new(goal: Goal, command: &'a [String]) -> Self {
        OutcomeWatch {
            goal,
            command,
            // This is no service command, so no event tells that it was given. Its outcome is clear
            // without that.
            begun: goal == Goal::Kill,
        }
    }

    fn peer(&self) -> Option<&str> {
        self.command.get(1).map(String::as_str)
    }

    /// What the error is about.
    fn subject(&self) -> String {
        text::clean(self.peer().unwrap_or_default()).into_owned()
    }

    fn filter(&self) -> EventFilter {
        EventFilter {
            peers: self.peer().map(str::to_owned).into_iter().collect(),
            kinds: KINDS.as_slice().into(),
            state: false,
        }
    }

    /// Takes the next event; gives the outcome if it decides.
    fn step(&mut self, event: &Event) -> Option<OutcomeReport> {
        if !self.begun {
            self.begun = match (&event.kind, self.goal) {
                (EventKind::Command { words, .. }, Goal::Kick) => words == self.command,
                // A peer that was there before is removed first, which is no failure.
                (EventKind::Added { .. }, Goal::Active) => event.peer.as_deref() == self.peer(),
                _ => false,
            };
            return None;
        }
        let result = match (&event.kind, self.goal) {
            (EventKind::Lost {}, _) => OutcomeResult::Failed,
            (EventKind::Removed(_), Goal::Kill)
            | (
                EventKind::Keys {} | EventKind::Reply { .. } | EventKind::Recovered { .. },
                Goal::Active,
            )
            | (EventKind::Keys {} | EventKind::Recovered { .. }, Goal::Kick) => {
                OutcomeResult::Reached
            }
            (EventKind::Removed(_) | EventKind::Unreachable { .. }, Goal::Active | Goal::Kick) => {
                OutcomeResult::Failed
            }
            (
                EventKind::Ended {
                    script: ScriptKind::Connect,
                    end,
                },
                Goal::Active | Goal::Kick,
            ) if !matches!(end, Ended::Exited(0) | Ended::Stopped) => OutcomeResult::Failed,
            _ => return None,
        };
        Some(OutcomeReport::new(result, Some(event)))
    }
}

/// What the service or the server has answered.
#[derive(Debug, Default)]
struct CommandAnswer {
    lines: Vec<Vec<String>>,
    failure: Option<Vec<String>>,
}

/// Reads until the command has failed or its outcome is known. `None` is a failure.
async fn follow(
    subscription: &mut Subscription,
    request: Option<u64>,
    watch: &mut OutcomeWatch<'_>,
    answered: &mut CommandAnswer,
) -> Result<Option<OutcomeReport>, Error> {
    let mut waiting = request.is_some();
    let mut outcome = None;
    loop {
        if !waiting && outcome.is_some() {
            return Ok(outcome);
        }
        match subscription.next().await? {
            StreamItem::Event(event) => outcome = outcome.or_else(|| watch.step(&event)),
            StreamItem::Reply(id, reply) if Some(id) == request => match reply {
                Reply::Line(line) => answered.lines.push(line),
                Reply::Done {} => waiting = false,
                Reply::Failed(words) => {
                    answered.failure = Some(words);
                    return Ok(None);
                }
                _ => return Err(ControlError::Unexpected.into()),
            },
            // Our command was before the events that were left out, or among them.
            StreamItem::Dropped(_) => watch.begun = true,
            _ => {}
        }
    }
}

/// Sends the request that a command stands for, and waits for the outcome.
pub(crate) async fn request(
    common: &mut Common,
    words: &[String],
    request: Request,
    json: bool,
    goal: Goal,
) -> Result<Exit, Error> {
    let mut watch = OutcomeWatch::new(goal, words);
    let control = common.control(Pace::Quick).await?;
    let (mut subscription, _) = Subscription::without_state(control, watch.filter()).await?;
    let request = subscription.ask(request)?;
    let mut answered = CommandAnswer::default();
    let limit = common.limit(Pace::Slow);
    let following = follow(&mut subscription, Some(request), &mut watch, &mut answered);
    let outcome = within(limit, following).await?;
    end(&watch, &answered, outcome, limit, json, &mut common.out)
}

/// Makes the server remove a peer and waits until the service has noticed.
pub(crate) async fn kill(common: &mut Common, peer: String, json: bool) -> Result<Exit, Error> {
    let words = ["KILL".to_owned(), peer];
    let mut watch = OutcomeWatch::new(Goal::Kill, &words);
    let mut client = common.server().await?;
    let control = common.observe().await?;
    let (mut subscription, _) = Subscription::without_state(control, watch.filter()).await?;
    let mut answered = CommandAnswer::default();
    let limit = common.limit(Pace::Slow);
    let outcome = match admin::kill(&mut client, &words[1], common.limit(Pace::Quick)).await {
        Ok(lines) => {
            answered.lines = lines;
            let following = follow(&mut subscription, None, &mut watch, &mut answered);
            within(limit, following).await?
        }
        Err(AdminError::Client(ClientError::Failed(failure))) => {
            answered.failure = Some(failure.words().to_vec());
            None
        }
        Err(error) => return Err(error.into()),
    };
    end(&watch, &answered, outcome, limit, json, &mut common.out)
}

async fn within(
    limit: Option<Duration>,
    following: impl Future<Output = Result<Option<OutcomeReport>, Error>>,
) -> Result<Option<OutcomeReport>, Error> {
    let Some(limit) = limit else {
        return following.await;
    };
    timeout(limit, following)
        .await
        .unwrap_or(Ok(Some(OutcomeReport::new(OutcomeResult::Late, None))))
}

/// Prints the outcome and turns it into an exit code.
fn end(
    watch: &OutcomeWatch<'_>,
    answered: &CommandAnswer,
    outcome: Option<OutcomeReport>,
    limit: Option<Duration>,
    json: bool,
    out: &mut Output,
) -> Result<Exit, Error> {
    let result = outcome.as_ref().map(|outcome| outcome.result);
    let what = outcome.as_ref().and_then(|outcome| outcome.text.clone());
    let what = text::clean(what.as_deref().unwrap_or_default()).into_owned();
    let subject = watch.subject();
    if json {
        out.json(&CommandReport {
            ok: result == Some(OutcomeResult::Reached),
            outcome,
            ..CommandReport::new(watch.command, &answered.lines, answered.failure.as_deref())
        })?;
    } else if result == Some(OutcomeResult::Reached) {
        out.painted(Paint::Good, &format!("{subject}: {what}"))?;
    }
    let exit = Exit::Failure;
    match result {
        Some(OutcomeResult::Reached) => Ok(Exit::Success),
        Some(OutcomeResult::Failed) => Err(Error::OtherOutcome {
            subject,
            what,
            exit,
        }),
        Some(OutcomeResult::Late) => {
            let limit = limit.unwrap_or_default();
            Err(Error::Late { subject, limit })
        }
        None => Err(Error::Failed(answered.failure.clone().unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::event::Removal;

    fn event(peer: Option<&str>, kind: EventKind) -> Event {
        Event {
            seq: 7,
            at_ms: 0,
            peer: peer.map(str::to_owned),
            kind,
        }
    }

    fn ends(goal: Goal, kinds: impl IntoIterator<Item = EventKind>) -> Option<OutcomeResult> {
        let name = if goal == Goal::Kick { "kick" } else { "active" };
        let command = [name.to_owned(), "alice".to_owned()];
        let mut watch = OutcomeWatch::new(goal, &command);
        let outcome = kinds.into_iter().find_map(|kind| {
            let peer = (!matches!(kind, EventKind::Command { .. })).then_some("alice");
            watch.step(&event(peer, kind))
        });
        outcome.map(|outcome| outcome.result)
    }

    fn kicked(by: &str) -> EventKind {
        EventKind::Command {
            words: vec!["kick".into(), by.into()],
            by: "uid 0".into(),
        }
    }

    #[test]
    fn what_was_before_the_command_decides_nothing() {
        assert_eq!(ends(Goal::Kick, [EventKind::Keys {}]), None);
        assert_eq!(ends(Goal::Kick, [kicked("bob"), EventKind::Keys {}]), None);
        assert_eq!(
            ends(Goal::Kick, [kicked("alice"), EventKind::Keys {}]),
            Some(OutcomeResult::Reached)
        );
        let added = EventKind::Added {
            address: String::new(),
            interface: String::new(),
        };
        assert_eq!(
            ends(
                Goal::Active,
                [
                    EventKind::Removed(Removal::Command),
                    added.clone(),
                    EventKind::Adopted {}
                ]
            ),
            None
        );
        assert_eq!(
            ends(
                Goal::Active,
                [added.clone(), EventKind::Removed(Removal::Command)]
            ),
            Some(OutcomeResult::Failed)
        );
        assert_eq!(
            ends(Goal::Active, [added, EventKind::Reply { millis: 1.0 }]),
            Some(OutcomeResult::Reached)
        );
    }

    #[test]
    fn a_connect_command_that_fails_decides_and_one_that_was_replaced_does_not() {
        let ended = |end| EventKind::Ended {
            script: ScriptKind::Connect,
            end,
        };
        let after = |end| ends(Goal::Kick, [kicked("alice"), ended(end)]);
        assert_eq!(after(Ended::Stopped), None);
        assert_eq!(after(Ended::Exited(0)), None);
        assert_eq!(after(Ended::Exited(1)), Some(OutcomeResult::Failed));
        let unreachable = EventKind::Unreachable {
            failed_checks: 1,
            next_ms: Some(1),
        };
        assert_eq!(
            ends(Goal::Kick, [kicked("alice"), unreachable]),
            Some(OutcomeResult::Failed)
        );
    }
}
