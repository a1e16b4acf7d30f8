// SPDX-License-Identifier: GPL-3.0-or-later
//! `--wait`: gives a command and waits for what comes of it, as the stream of events tells.
//!
//! ```text
//!   subscribe --> give the command --> events --> Watch::step --> reached, or something else
//! ```

use std::time::Duration;

use connect_ipc::control::{Reply, Request};
use connect_ipc::event::{Event, EventFilter, EventKind};
use connect_ipc::scripts::{Ended, ScriptKind};
use connect_runtime::exit::Exit;
use serde::Serialize;
use tokio::time::timeout;
use tripe_admin::client::ClientError;

use super::{admin, submit};
use crate::context::{Context, Pace};
use crate::error::{AdminError, Error, WaitError};
use crate::happening;
use crate::output::{Output, SCHEMA};
use crate::subscription::{Incident, Subscription};
use crate::table::Paint;
use crate::text;

/// The kinds of events that decide anything.
const KINDS: [&str; 12] = [
    "added",
    "removed",
    "keys",
    "reply",
    "recovered",
    "unreachable",
    "reconnecting",
    "ended",
    "database",
    "database-fault",
    "lost",
    "command",
];

/// What is waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Goal {
    /// The peer was added, and shows that it is there.
    Active,
    /// The peer shows that it is there, after it was kicked.
    Kick,
    /// The peer is gone.
    Kill,
    /// The database was read.
    Reload,
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    result: Verdict,
    /// The kind of the event that decided.
    kind: Option<&'static str>,
    /// Its number.
    seq: Option<u64>,
    /// What happened, in words.
    text: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Reached,
    Failed,
    Late,
}

/// What was seen so far.
#[derive(Debug)]
struct Watch<'a> {
    goal: Goal,
    command: &'a [String],
    /// Whether the events are those after our command and no longer of something before.
    begun: bool,
}

impl<'a> Watch<'a> {
    fn new(goal: Goal, command: &'a [String]) -> Self {
        Watch {
            goal,
            command,
            // These two are given on other ways, and what they bring about is clear in any case.
            begun: matches!(goal, Goal::Kill | Goal::Reload),
        }
    }

    fn peer(&self) -> Option<&str> {
        match self.goal {
            Goal::Reload => None,
            Goal::Active | Goal::Kick | Goal::Kill => self.command.get(1).map(String::as_str),
        }
    }

    /// What the error is about.
    fn subject(&self) -> String {
        text::clean(self.peer().unwrap_or("the database")).into_owned()
    }

    fn filter(&self) -> EventFilter {
        EventFilter {
            peers: self.peer().map(str::to_owned).into_iter().collect(),
            kinds: KINDS.map(str::to_owned).to_vec(),
        }
    }

    /// Takes the next event; gives the outcome if it decides.
    fn step(&mut self, event: &Event) -> Option<Outcome> {
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
            // The database is read with the server or without.
            (EventKind::Lost {}, Goal::Active | Goal::Kick | Goal::Kill) => Verdict::Failed,
            (EventKind::Database { .. }, Goal::Reload)
            | (EventKind::Removed {}, Goal::Kill)
            | (
                EventKind::Keys {} | EventKind::Reply { .. } | EventKind::Recovered { .. },
                Goal::Active,
            )
            | (EventKind::Keys {} | EventKind::Recovered { .. }, Goal::Kick) => Verdict::Reached,
            (EventKind::DatabaseFault { .. }, Goal::Reload)
            | (EventKind::Removed {} | EventKind::Unreachable { .. }, Goal::Active | Goal::Kick) => {
                Verdict::Failed
            }
            (
                EventKind::Ended {
                    script: ScriptKind::Connect,
                    end,
                },
                Goal::Active | Goal::Kick,
            ) if !matches!(end, Ended::Exited(0) | Ended::Stopped) => Verdict::Failed,
            _ => return None,
        };
        Some(Outcome {
            result,
            kind: Some(event.kind.name()),
            seq: Some(event.seq),
            text: Some(happening::words(&event.kind).0),
        })
    }
}

/// What the service or the server has answered.
#[derive(Debug, Default)]
struct Answered {
    lines: Vec<Vec<String>>,
    failure: Option<Vec<String>>,
}

/// Reads until the command has failed or its outcome is known. `None` is a failure.
async fn follow(
    subscription: &mut Subscription,
    request: Option<u64>,
    watch: &mut Watch<'_>,
    answered: &mut Answered,
) -> Result<Option<Outcome>, Error> {
    let mut waiting = request.is_some();
    let mut outcome = None;
    loop {
        if !waiting && outcome.is_some() {
            return Ok(outcome);
        }
        match subscription.next().await? {
            Incident::Event(event) => outcome = outcome.or_else(|| watch.step(&event)),
            Incident::Reply(id, reply) if Some(id) == request => match reply {
                Reply::Line(line) => answered.lines.push(line),
                Reply::Done {} => waiting = false,
                Reply::Failed(words) => {
                    answered.failure = Some(words);
                    return Ok(None);
                }
                _ => return Err(crate::connection::ControlError::Unexpected.into()),
            },
            // Our command is among what was left out, or was before it.
            Incident::Dropped(_) => watch.begun = true,
            Incident::Reply(..) => {}
        }
    }
}

/// Gives the service a command and waits for what comes of it.
///
/// # Errors
/// [`Error`] if the service cannot be asked, the command fails, or something else comes of it.
pub async fn command(
    context: &mut Context,
    words: Vec<String>,
    json: bool,
    goal: Goal,
) -> Result<Exit, Error> {
    let request = Request::Submit {
        words: words.clone(),
    };
    service(context, &words, request, json, goal).await
}

/// Has the service read its database and waits for what comes of it.
///
/// # Errors
/// [`Error`] if the service cannot be asked, or the database is faulty.
pub async fn reload(context: &mut Context, json: bool) -> Result<Exit, Error> {
    let words = ["reload".to_owned()];
    service(context, &words, Request::Reload {}, json, Goal::Reload).await
}

async fn service(
    context: &mut Context,
    words: &[String],
    request: Request,
    json: bool,
    goal: Goal,
) -> Result<Exit, Error> {
    let mut watch = Watch::new(goal, words);
    let control = context.control(Pace::Prompt).await?;
    let (mut subscription, _) = Subscription::begin(control, watch.filter()).await?;
    let request = subscription.ask(request)?;
    let mut answered = Answered::default();
    let limit = context.limit(Pace::Patient);
    let following = follow(&mut subscription, Some(request), &mut watch, &mut answered);
    let outcome = within(limit, following).await?;
    end(&watch, &answered, outcome, limit, json, &mut context.out)
}

/// Has the server remove a peer and waits until the service has noticed.
///
/// # Errors
/// [`Error`] if the server or the service cannot be asked, or the command fails.
pub async fn kill(context: &mut Context, words: Vec<String>, json: bool) -> Result<Exit, Error> {
    let mut watch = Watch::new(Goal::Kill, &words);
    let control = context.observe().await?;
    let (mut subscription, _) = Subscription::begin(control, watch.filter()).await?;
    let mut answered = Answered::default();
    let limit = context.limit(Pace::Patient);
    let (client, _inbox) = admin::connect(context).await?;
    let outcome = match admin::ask(&client, words.clone(), context.limit(Pace::Prompt)).await {
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
    end(&watch, &answered, outcome, limit, json, &mut context.out)
}

async fn within(
    limit: Option<Duration>,
    following: impl Future<Output = Result<Option<Outcome>, Error>>,
) -> Result<Option<Outcome>, Error> {
    let Some(limit) = limit else {
        return following.await;
    };
    timeout(limit, following).await.unwrap_or(Ok(Some(Outcome {
        result: Verdict::Late,
        kind: None,
        seq: None,
        text: None,
    })))
}

/// Prints what came of it, and turns it into an exit code.
fn end(
    watch: &Watch<'_>,
    answered: &Answered,
    outcome: Option<Outcome>,
    limit: Option<Duration>,
    json: bool,
    out: &mut Output,
) -> Result<Exit, Error> {
    let result = outcome.as_ref().map(|outcome| outcome.result);
    let what = outcome.as_ref().and_then(|outcome| outcome.text.clone());
    let what = text::clean(what.as_deref().unwrap_or_default()).into_owned();
    let subject = watch.subject();
    if json {
        out.json(&submit::Report {
            schema: SCHEMA,
            command: watch.command,
            ok: result == Some(Verdict::Reached),
            lines: &answered.lines,
            failure: answered.failure.as_deref(),
            outcome,
        })?;
    } else if result == Some(Verdict::Reached) {
        out.painted(Paint::Good, &format!("{subject}: {what}"))?;
    }
    let exit = match watch.goal {
        Goal::Reload => Exit::Data,
        Goal::Active | Goal::Kick | Goal::Kill => Exit::Failure,
    };
    match result {
        Some(Verdict::Reached) => Ok(Exit::Success),
        Some(Verdict::Failed) => Err(WaitError::Otherwise {
            subject,
            what,
            exit,
        }
        .into()),
        Some(Verdict::Late) => Err(WaitError::Late {
            subject,
            limit: limit.unwrap_or_default(),
        }
        .into()),
        None => Err(Error::Failed(answered.failure.clone().unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(peer: Option<&str>, kind: EventKind) -> Event {
        Event {
            seq: 7,
            at: 0,
            peer: peer.map(str::to_owned),
            kind,
        }
    }

    fn ends(goal: Goal, kinds: impl IntoIterator<Item = EventKind>) -> Option<Verdict> {
        let noun = if goal == Goal::Kick { "kick" } else { "active" };
        let command = [noun.to_owned(), "alice".to_owned()];
        let mut watch = Watch::new(goal, &command);
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
            Some(Verdict::Reached)
        );
        let added = EventKind::Added {
            address: String::new(),
            interface: String::new(),
        };
        assert_eq!(
            ends(
                Goal::Active,
                [EventKind::Removed {}, added.clone(), EventKind::Adopted {}]
            ),
            None
        );
        assert_eq!(
            ends(Goal::Active, [added.clone(), EventKind::Removed {}]),
            Some(Verdict::Failed)
        );
        assert_eq!(
            ends(Goal::Active, [added, EventKind::Reply { millis: 1.0 }]),
            Some(Verdict::Reached)
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
        assert_eq!(after(Ended::Exited(1)), Some(Verdict::Failed));
        let unreachable = EventKind::Unreachable { rounds: 1, next: 1 };
        assert_eq!(
            ends(Goal::Kick, [kicked("alice"), unreachable]),
            Some(Verdict::Failed)
        );
    }
}
