// SPDX-License-Identifier: GPL-3.0-or-later
//! `reload`: has the database read, says what that has left undone, and has it done if asked.
//!
//! ```text
//!   subscribe --> reload --> event database --> changes --> list --> apply-changes --> a line each
//! ```

use std::pin::pin;
use std::time::Duration;

use clap::Args;
use connect_ipc::changes::{AppliedChange, Changes};
use connect_ipc::control::{Reply, Request};
use connect_ipc::event::{EventKind, EventName};
use connect_ipc::event_filter::EventFilter;
use connect_runtime::exit::Exit;
use serde::Serialize;
use tokio::time::timeout;

use crate::client::connection::ControlError;
use crate::client::requests;
use crate::client::subscription::{StreamItem, Subscription};
use crate::common::{Common, Pace};
use crate::error::Error;
use crate::output::change_text::{self, ChangesReport};
use crate::output::paint::Paint;
use crate::output::report::{CommandReport, OutcomeReport, OutcomeResult};
use crate::output::{text, to_stderr};

/// Make the service read its peer database now, and say what that leaves undone
#[derive(Args, Debug)]
#[command(after_help = "\
    The service itself looks for a new database every second. It uses new values for pings and \
    watching at once; a peer of which only these have changed is not listed. It changes no \
    connection: a new address, key or tunnel option is used when the peer is next added, and a \
    new ifup when it next runs; a new peer is not added, and a peer whose record was removed \
    stays. The command lists these peers, at most 100, each with the command that brings it in \
    line with the database. With --apply the service runs all these commands, for at most 16 \
    peers at a time; if the program is interrupted, it begins no more.\n\n\
    The exit code is 0 if the database was loaded, and with --apply if all commands succeeded; 1 \
    if one of them failed; 65 if the database is faulty; 124 if the result has not come within \
    10 s, or the time of --timeout. With --wait or --apply, only --timeout sets a limit.\n\n\
    Examples:\n\
    \x20 connect-cli reload\n\
    \x20 connect-cli reload --apply --dry-run\n\
    \x20 connect-cli reload --apply")]
pub(crate) struct Reload {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
    /// Wait for the outcome, no longer than --timeout if that is given.
    #[arg(long)]
    wait: bool,
    /// Bring the peers in line with the database: add new peers, remove those whose records were
    /// removed, and where a record has changed, connect the peer again or run its ifup.
    #[arg(long)]
    apply: bool,
    /// With --apply: only list what would be done.
    #[arg(long, requires = "apply")]
    dry_run: bool,
}

/// What JSON says.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ReloadReport<'a> {
    #[serde(flatten)]
    command: CommandReport<'a>,
    /// What the database has left undone, before any of it was applied.
    changes: Option<ChangesReport<'a>>,
    /// What was applied.
    applied: Vec<AppliedReport<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct AppliedReport<'a> {
    /// The peer's name.
    peer: &'a str,
    /// What was done.
    remedy: connect_ipc::changes::Remedy,
    /// Whether it succeeded.
    ok: bool,
    /// Code and arguments, if it failed.
    failure: Option<&'a [String]>,
}

/// What the service has told so far.
#[derive(Default)]
struct Told {
    outcome: Option<OutcomeReport>,
    changes: Option<Changes>,
    applied: Vec<AppliedChange>,
    failure: Option<Vec<String>>,
}

/// How long nothing may come of the commands before it is said what they wait for.
const QUIET: Duration = Duration::from_secs(5);

/// What the error is about.
const SUBJECT: &str = "the database";

impl Reload {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let applies = self.apply && !self.dry_run;
        let pace = if self.wait || applies {
            Pace::Slow
        } else {
            Pace::Quick
        };
        let limit = common.limit(pace);
        let mut told = Told::default();
        let following = self.follow(&mut told, applies, common);
        let ended = match limit {
            None => following.await,
            Some(limit) => timeout(limit, following).await.unwrap_or_else(|_| {
                let subject = SUBJECT.to_owned();
                Err(Error::Late { subject, limit })
            }),
        };
        if let (true, Err(Error::Late { .. })) = (told.outcome.is_none(), &ended) {
            told.outcome = Some(OutcomeReport::new(OutcomeResult::Late, None));
        }
        if self.json && matches!(ended, Ok(_) | Err(Error::Late { .. })) {
            self.report(&told, common)?;
        }
        ended?;
        end(&told)
    }

    /// Gives the commands, and shows what comes of them unless JSON is wanted.
    async fn follow(
        &self,
        told: &mut Told,
        applies: bool,
        common: &mut Common,
    ) -> Result<(), Error> {
        let program = common.program();
        let filter = EventFilter {
            kinds: [EventName::Database, EventName::DatabaseFault]
                .into_iter()
                .collect(),
            ..EventFilter::default()
        };
        let control = common.control(Pace::Quick).await?;
        let (mut stream, _) = Subscription::without_state(control, filter).await?;
        load(&mut stream, told).await?;
        let loaded = told.outcome.as_ref().map(|outcome| outcome.result);
        if loaded != Some(OutcomeResult::Reached) {
            return Ok(());
        }
        let changes = told
            .changes
            .insert(requests::changes(stream.control()).await?);
        if !self.json {
            let line = change_text::loaded(changes.peers, 0);
            common.out.painted(Paint::Good, &line)?;
        }
        if !self.json && !applies {
            for (paint, line) in change_text::lines(&program, changes) {
                common.out.painted(paint, &line)?;
            }
        }
        if applies && changes.counts.total() > 0 {
            self.apply(&mut stream, told, common).await?;
        }
        Ok(())
    }

    /// Has the changes applied.
    async fn apply(
        &self,
        stream: &mut Subscription,
        told: &mut Told,
        common: &mut Common,
    ) -> Result<(), Error> {
        let program = common.program();
        let control = stream.control();
        control.ask(Request::ApplyChanges {})?;
        loop {
            let waiting = || {
                let changes = told.changes.as_ref();
                changes.map(|changes| change_text::waiting(&program, changes, &told.applied))
            };
            let tell = || waiting().iter().for_each(|line| to_stderr(line));
            match patiently(control.reply(), QUIET, tell).await? {
                Reply::Applied(applied) => {
                    match &applied.failure {
                        _ if self.json => {}
                        None => {
                            let line = change_text::done(&applied);
                            common.out.line_flushed(&line)?;
                        }
                        Some(words) => to_stderr(&change_text::not_done(&applied, words)),
                    }
                    told.applied.push(applied);
                }
                Reply::Done {} => return Ok(()),
                Reply::Failed(words) => {
                    told.failure = Some(words);
                    return Ok(());
                }
                _ => return Err(ControlError::Unexpected.into()),
            }
        }
    }

    fn report(&self, told: &Told, common: &mut Common) -> Result<(), Error> {
        let program = common.program();
        let mut words = vec!["reload".to_owned()];
        words.extend(self.apply.then(|| "--apply".to_owned()));
        words.extend(self.dry_run.then(|| "--dry-run".to_owned()));
        let loaded = told.outcome.as_ref();
        let applied = told.applied.iter();
        common.out.json(&ReloadReport {
            command: CommandReport {
                ok: loaded.is_some_and(|it| it.result == OutcomeResult::Reached)
                    && told.failure.is_none()
                    && applied.clone().all(|applied| applied.failure.is_none()),
                outcome: told.outcome.clone(),
                ..CommandReport::new(&words, &[], told.failure.as_deref())
            },
            changes: told
                .changes
                .as_ref()
                .map(|changes| ChangesReport::new(&program, changes)),
            applied: applied
                .map(|applied| AppliedReport {
                    peer: &applied.peer,
                    remedy: applied.remedy,
                    ok: applied.failure.is_none(),
                    failure: applied.failure.as_deref(),
                })
                .collect(),
        })?;
        Ok(())
    }
}

/// Waits for an answer, and calls `tell` if none has come after `quiet`.
async fn patiently<T>(answer: impl Future<Output = T>, quiet: Duration, tell: impl FnOnce()) -> T {
    let mut answer = pin!(answer);
    if let Ok(answer) = timeout(quiet, &mut answer).await {
        return answer;
    }
    tell();
    answer.await
}

/// Has the database read, and waits for what follows from it.
async fn load(stream: &mut Subscription, told: &mut Told) -> Result<(), Error> {
    let request = stream.ask(Request::Reload {})?;
    let mut answered = false;
    while !answered || told.outcome.is_none() {
        match stream.next().await? {
            StreamItem::Event(event) => {
                let result = match event.kind {
                    EventKind::Database { .. } => OutcomeResult::Reached,
                    EventKind::DatabaseFault { .. } => OutcomeResult::Failed,
                    _ => continue,
                };
                told.outcome
                    .get_or_insert(OutcomeReport::new(result, Some(&event)));
            }
            StreamItem::Reply(id, Reply::Done {}) if id == request => answered = true,
            StreamItem::Reply(id, Reply::Failed(words)) if id == request => {
                told.failure = Some(words);
                return Ok(());
            }
            StreamItem::Reply(id, _) if id == request => {
                return Err(ControlError::Unexpected.into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Turns what was told into an exit code.
fn end(told: &Told) -> Result<Exit, Error> {
    if let Some(words) = &told.failure {
        return Err(Error::Failed(words.clone()));
    }
    let subject = SUBJECT.to_owned();
    if let Some(fault) = &told.outcome
        && fault.result != OutcomeResult::Reached
    {
        let what = text::clean(fault.text.as_deref().unwrap_or_default()).into_owned();
        let exit = Exit::Data;
        return Err(Error::OtherOutcome {
            subject,
            what,
            exit,
        });
    }
    let failed = told
        .applied
        .iter()
        .filter(|it| it.failure.is_some())
        .count();
    if failed > 0 {
        let all = text::count(told.applied.len() as u64, "peer");
        let what = format!(
            "{failed} of {all} could not be brought in line with it; `connect-cli info PEER' says why"
        );
        let exit = Exit::Failure;
        return Err(Error::OtherOutcome {
            subject,
            what,
            exit,
        });
    }
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_said_once_that_an_answer_is_late() {
        let (sender, told) = tokio::sync::oneshot::channel();
        let tell = || sender.send(7).unwrap();
        assert_eq!(patiently(told, Duration::from_millis(1), tell).await, Ok(7));
        let never = || panic!("it is not late");
        let answer = std::future::ready(8);
        assert_eq!(patiently(answer, Duration::MAX, never).await, 8);
    }

    #[test]
    fn the_exit_code_tells_a_fault_of_the_database_from_a_change_that_failed() {
        let loaded = |result| Told {
            outcome: Some(OutcomeReport::new(result, None)),
            ..Told::default()
        };
        let exit = |told: &Told| end(told).unwrap_or_else(|error| error.exit());
        assert_eq!(exit(&loaded(OutcomeResult::Reached)), Exit::Success);
        assert_eq!(exit(&loaded(OutcomeResult::Failed)), Exit::Data);
        let mut told = loaded(OutcomeResult::Reached);
        told.applied.push(AppliedChange {
            peer: "p".to_owned(),
            remedy: connect_ipc::changes::Remedy::Kill,
            failure: Some(vec!["no".to_owned()]),
        });
        assert_eq!(exit(&told), Exit::Failure);
    }
}
