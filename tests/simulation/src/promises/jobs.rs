// SPDX-License-Identifier: GPL-3.0-or-later
//! P3 for jobs of the server: any number of `SVCINFO`, then one `SVCOK` or `SVCFAIL`, in time;
//! nothing after that, nor after core has heard that the job is cancelled. A `passive` that was not
//! greeted fails when its time is over, not before.
//!
//! Time counts from the job or from what has disturbed the host last.

use std::collections::BTreeMap;
use std::time::Duration;

use tripe_admin::{Interval, Note};

use super::tap::{Command, Fact};
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::promise::Promise;
use crate::seen::Seen;

/// How long a command may take: the server resolves a name within 30 s (tripe-admin.md, 3.1).
pub(super) const LIMIT: Duration = Duration::from_secs(35);

/// What comes on top of a time that a command names itself.
const MARGIN: Duration = Duration::from_secs(5);

/// How long `passive` waits where it does not say (the manual, `passive`).
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a command waits for a greeting, if it is `passive`.
pub(super) fn patience(words: &[String]) -> Option<Duration> {
    let (_, rest) = words
        .split_first()
        .filter(|(name, _)| name.eq_ignore_ascii_case("passive"))?;
    let mut pairs = rest.iter().zip(rest.iter().skip(1));
    let own = pairs.find(|(option, _)| option.eq_ignore_ascii_case("-timeout"));
    let own = own.and_then(|(_, time)| time.parse::<Interval>().ok());
    Some(own.map_or(PATIENCE, Interval::duration))
}

/// How long a command may take, by its words.
pub(super) fn limit(words: &[String]) -> Duration {
    // When the greeting has come, the peer is added.
    patience(words).map_or(LIMIT, |patience| patience + LIMIT + MARGIN)
}

/// What a job waits for.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// A greeting, for so long.
    Greeting(Duration),
    /// What a command does.
    Work,
}

impl Wait {
    /// How long that takes at most.
    fn limit(self) -> Duration {
        match self {
            Wait::Greeting(patience) => patience + MARGIN,
            Wait::Work => LIMIT,
        }
    }
}

/// How far a job has come.
#[derive(Clone, Copy, Debug)]
enum Job {
    /// Since then.
    Open(Instant, Wait),
    Answered,
    /// Core heard of it then.
    Cancelled(Instant),
}

/// The jobs of one connection.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    jobs: BTreeMap<String, Job>,
    /// The jobs that were told each challenge.
    challenges: BTreeMap<String, String>,
}

impl Rule for Jobs {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.fact {
            Some(Fact::Job(id, words)) => {
                let wait = patience(words).map_or(Wait::Work, Wait::Greeting);
                self.jobs.insert(id.clone(), Job::Open(now.at, wait));
            }
            Some(Fact::Cancelled(id)) => {
                if let Some(job) = self.jobs.get_mut(id) {
                    *job = Job::Cancelled(now.at);
                }
            }
            Some(Fact::Sent(command))
                if matches!(command.verb.as_str(), "SVCINFO" | "SVCOK" | "SVCFAIL") =>
            {
                return self.answered(now, command);
            }
            Some(Fact::Note(Note::Greet { challenge, .. })) => {
                let id = self.challenges.remove(challenge);
                if let Some(Job::Open(since, wait)) = id.and_then(|id| self.jobs.get_mut(&id)) {
                    // Its peer is added from now on.
                    (*since, *wait) = (now.at, Wait::Work);
                }
            }
            Some(Fact::Connected | Fact::Lost) => *self = Jobs::default(),
            _ => {}
        }
        match now.seen {
            Seen::Minute(_) | Seen::End(_) => self.look(now),
            _ => Ok(()),
        }
    }
}

impl Jobs {
    fn answered(&mut self, now: &Moment<'_>, command: &Command) -> Verdict {
        let id = command.word(0);
        let broken = |what: &str| Err((Promise::AnsweredOnce, format!("job {id} {what}")));
        match self.jobs.get_mut(id) {
            None => broken("was answered and never given"),
            Some(Job::Answered) => broken("was answered after its end"),
            Some(Job::Cancelled(heard)) if !now.calm.may_cross(*heard, now.at) => {
                broken("was answered after it was cancelled")
            }
            Some(Job::Cancelled(_)) => Ok(()),
            Some(Job::Open(_, wait)) if command.verb == "SVCINFO" => {
                if let Wait::Greeting(_) = wait {
                    let challenge = command.word(1).to_owned();
                    self.challenges.insert(challenge, id.to_owned());
                }
                Ok(())
            }
            Some(job) => {
                let was = std::mem::replace(job, Job::Answered);
                let Job::Open(since, wait) = was else {
                    return Ok(());
                };
                let is_timeout = command.word(1) == "connect-timeout";
                self.challenges.retain(|_, of| of != id);
                match wait {
                    Wait::Greeting(patience) if is_timeout && now.at < since + patience => {
                        broken("has not waited for its greeting")
                    }
                    _ if is_late(now, since, wait) => broken("was answered too late"),
                    _ => Ok(()),
                }
            }
        }
    }

    fn look(&mut self, now: &Moment<'_>) -> Verdict {
        // Old ones are not needed to notice a second answer, which would come soon.
        if self.jobs.len() > 1_000 {
            self.jobs.retain(|_, job| matches!(job, Job::Open(..)));
        }
        let late = self.jobs.iter().find(|(_, job)| match job {
            Job::Open(since, wait) => is_late(now, *since, *wait),
            _ => false,
        });
        match late {
            Some((id, Job::Open(since, _))) => {
                let text = format!("job {id} of {since} is not answered");
                Err((Promise::AnsweredOnce, text))
            }
            _ => Ok(()),
        }
    }
}

/// Whether what a job has waited for since then should be over.
fn is_late(now: &Moment<'_>, since: Instant, wait: Wait) -> bool {
    now.calm.is_whole() && since.max(now.calm.since) + wait.limit() < now.at
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sight, view};
    use super::*;

    #[test]
    fn one_answer_in_time_keeps_it() {
        let mut sight = Sight::new::<Jobs>(&[]);
        let broken = sight.lines(&[
            "< SVCJOB J1 connect adopted",
            "> SVCINFO J1 p",
            "> SVCOK J1",
            "< SVCJOB J2 connect passive -timeout 60 u",
            "> SVCINFO J2 abc",
        ]);
        assert_eq!(broken, None);
        sight.later(61);
        view(|view| assert_eq!(sight.see(Seen::Minute(view)), Ok(())));
        assert_eq!(sight.lines(&["> SVCFAIL J2 connect-timeout"]), None);
        let crossing = [
            "< SVCJOB J3 connect adopted",
            "< SVCCANCEL J3",
            "> SVCOK J3",
        ];
        assert_eq!(sight.lines(&crossing), None);
    }

    #[test]
    fn a_second_answer_or_one_after_a_cancellation_breaks_it() {
        let broken = Some(Promise::AnsweredOnce);
        let mut sight = Sight::new::<Jobs>(&[]);
        sight.lines(&["< SVCJOB J1 connect adopted", "> SVCOK J1"]);
        assert_eq!(sight.lines(&["> SVCINFO J1 p"]), broken);
        let mut sight = Sight::new::<Jobs>(&[]);
        sight.lines(&["< SVCJOB J1 connect active p", "< SVCCANCEL J1"]);
        sight.later(1);
        assert_eq!(sight.lines(&["> SVCOK J1"]), broken);
        assert_eq!(Sight::new::<Jobs>(&[]).lines(&["> SVCOK J9"]), broken);
    }

    /// What is broken if a `passive` fails so many seconds after its challenge, and is greeted for
    /// after so many, if at all.
    fn passive(greeted: Option<u64>, seconds: u64) -> Option<Promise> {
        let mut sight = Sight::new::<Jobs>(&[]);
        sight.lines(&["< SVCJOB J1 connect passive u", "> SVCINFO J1 abc"]);
        let before = greeted.unwrap_or_default();
        sight.later(before);
        if greeted.is_some() {
            sight.lines(&["< NOTE GREET abc INET 198.18.0.9 4070"]);
        }
        sight.later(seconds - before);
        sight.lines(&["> SVCFAIL J1 connect-timeout"])
    }

    #[test]
    fn passive_waits_as_long_as_it_says() {
        let broken = Some(Promise::AnsweredOnce);
        assert_eq!(passive(None, 30), None);
        assert_eq!(passive(None, 40), broken);
        assert_eq!(passive(None, 20), broken);
        assert_eq!(passive(Some(29), 60), None);
        assert_eq!(passive(Some(1), 60), broken);
    }

    #[test]
    fn an_answer_that_waits_while_the_host_sleeps_keeps_it() {
        let mut sight = Sight::new::<Jobs>(&[]);
        sight.lines(&["< SVCJOB J1 connect userpeer u", "< SVCCANCEL J1"]);
        sight.later(80);
        let slept = Duration::from_secs(80);
        sight.see(Seen::Slept(slept)).unwrap();
        assert_eq!(sight.lines(&["> SVCINFO J1 p", "> SVCOK J1"]), None);
    }

    #[test]
    fn a_job_without_an_answer_breaks_it() {
        let mut sight = Sight::new::<Jobs>(&[]);
        sight.lines(&["< SVCJOB J1 connect adopted"]);
        sight.later(36);
        let broken = view(|view| sight.see(Seen::Minute(view)));
        assert!(matches!(broken, Err((Promise::AnsweredOnce, _))));
    }
}
