// SPDX-License-Identifier: GPL-3.0-or-later
//! P3 for jobs of the server: any number of `SVCINFO`, then one `SVCOK` or `SVCFAIL`, in time;
//! nothing after that, nor after core has heard that the job is cancelled.
//!
//! Time counts from the job or from what has disturbed the host last.

use std::collections::BTreeMap;
use std::time::Duration;

use tripe_admin::Interval;

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

/// How long a command may take, by its words.
pub(super) fn limit(words: &[String]) -> Duration {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [name, rest @ ..] if name.eq_ignore_ascii_case("passive") => {
            let mut pairs = rest.iter().zip(rest.iter().skip(1));
            let own = pairs.find(|(option, _)| option.eq_ignore_ascii_case("-timeout"));
            let own = own.and_then(|(_, time)| time.parse::<Interval>().ok());
            // When the greeting has come, the peer is added.
            own.map_or(PATIENCE, Interval::duration) + LIMIT + MARGIN
        }
        _ => LIMIT,
    }
}

/// How far a job has come.
#[derive(Clone, Copy, Debug)]
enum Job {
    /// Since then, for so long.
    Open(Instant, Duration),
    Answered,
    /// Core heard of it then.
    Cancelled(Instant),
}

/// The jobs of one connection.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    jobs: BTreeMap<String, Job>,
}

impl Rule for Jobs {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.fact {
            Some(Fact::Job(id, words)) => {
                let open = Job::Open(now.at, limit(words));
                self.jobs.insert(id.clone(), open);
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
            Some(Fact::Connected | Fact::Lost) => self.jobs.clear(),
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
            Some(job) => {
                if command.verb != "SVCINFO" {
                    *job = Job::Answered;
                }
                Ok(())
            }
        }
    }

    fn look(&mut self, now: &Moment<'_>) -> Verdict {
        // Old ones are not needed to notice a second answer, which would come soon.
        if self.jobs.len() > 1_000 {
            self.jobs.retain(|_, job| matches!(job, Job::Open(..)));
        }
        if !now.calm.is_whole() {
            return Ok(());
        }
        let late = self.jobs.iter().find(|(_, job)| match job {
            Job::Open(since, time) => (*since).max(now.calm.since) + *time < now.at,
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
