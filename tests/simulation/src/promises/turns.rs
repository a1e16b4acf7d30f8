// SPDX-License-Identifier: GPL-3.0-or-later
//! P13: turns, lines, rows and children are bounded: no process takes turns without end, and
//! requests of observers leave time for pings.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::scripts::ScriptKind;
use connect_ipc::setup::{ByLane, Lane};

use super::tap::{Command, Fact};
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::{Fault, Part};
use crate::promise::Promise;
use crate::seen::Seen;

/// How many turns a process may have at one instant. After an outage the script helper starts all
/// scripts of twenty peers at one instant, one each turn, and a peer has six kinds of them.
const AT_ONCE: u32 = 256;

/// How many turns a process may have in a second, and how many lines it may send besides what jobs
/// cost and what scripts have written.
const A_SECOND: u32 = 5_000;

/// How many lines each job may cost. Jobs wait while core is suspended, and are then done at once.
const OF_A_JOB: u32 = 64;

/// How many lines of each stream of a script core may pass on: what connect-ifscripts(8) says, and
/// how many were left out.
const OF_A_STREAM: u32 = 1_001;

/// The lines that a job costs.
const JOBS: [&str; 4] = ["GETCHAL", "SVCINFO", "SVCOK", "SVCFAIL"];

/// How each stream is passed on.
const STREAMS: [(&str, &str); 2] = [("NOTIFY", "stdout"), ("WARN", "stderr")];

/// In what time the cost of rows is looked at.
const WINDOW: Duration = Duration::from_millis(50);

/// How long core is busy with a row, and with a name (machine/observing/pace.rs).
const PER_ROW: Duration = Duration::from_micros(8);
const PER_NAME: Duration = Duration::from_micros(2);

/// How long it may be busy in that time: the time itself, what may be made at once after a rest,
/// and one step more.
const BUSY: Duration = Duration::from_millis(54);

/// How many scripts of a lane run at once (connect-ifscripts(8), `--max-interface`).
const CHILDREN: usize = 64;

/// A second of a process.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// When it began.
    from: Instant,
    turns: u32,
    lines: u32,
    /// The turns at the latest instant.
    latest: Instant,
    at_once: u32,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Turns {
    seconds: BTreeMap<Part, Second>,
    /// What rows have cost, and when.
    rows: VecDeque<(Instant, Duration)>,
    spent: Duration,
    living: BTreeMap<RunId, Script>,
    running: ByLane<usize>,
    /// How many lines of output core may still pass on.
    output: BTreeMap<(Script, &'static str), u32>,
    /// How many lines the jobs may still cost that were given on this connection.
    of_jobs: u32,
    forgotten: bool,
}

/// What a line of output names besides the stream: the kind of a script, and its peer.
type Script = (ScriptKind, String);

impl Rule for Turns {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.fact {
            Some(Fact::Connected) => self.of_jobs = 0,
            Some(Fact::Job(..)) => self.of_jobs = self.of_jobs.saturating_add(OF_A_JOB),
            _ => {}
        }
        match now.seen {
            Seen::Turn { part, .. } => return self.turned(now.at, *part),
            Seen::Wrote(client, _) if now.tap.is_of_service(*client) => {
                if let Some(Fact::Sent(command)) = now.fact
                    && let Some((script, stream)) = writer(command)
                {
                    return self.passed_on(script, stream);
                }
                if let Some(Fact::Sent(command)) = now.fact
                    && self.of_jobs > 0
                    && JOBS.contains(&command.verb.as_str())
                {
                    self.of_jobs -= 1;
                    return Ok(());
                }
                let second = self.second(now.at, Part::Core);
                second.lines += 1;
                if second.lines > A_SECOND {
                    return broken(format!("core has sent {} lines in a second", second.lines));
                }
            }
            Seen::Rows(_, rows) => return self.rows(now.at, rows.list.len()),
            Seen::Started(id, run) => return self.started(*id, (run.kind, run.peer.clone())),
            Seen::ChildEnded(id, _) => {
                if let Some((kind, _)) = self.living.remove(id) {
                    *self.running.get_mut(kind.lane()) -= 1;
                }
            }
            // It counts the lines of the scripts that it finds from zero.
            Seen::Lives(Part::Scripts, _) => {
                for script in self.living.values().cloned().collect::<Vec<_>>() {
                    self.may_write(&script);
                }
            }
            Seen::Fault(Fault::Reboot {}) => *self = Turns::default(),
            Seen::Fault(Fault::Journal { .. }) => self.forgotten = true,
            Seen::Died(Part::Scripts) => self.forgotten |= !now.records.journal,
            _ => {}
        }
        Ok(())
    }
}

impl Turns {
    fn second(&mut self, at: Instant, part: Part) -> &mut Second {
        let second = self.seconds.entry(part).or_default();
        if second.from + Duration::from_secs(1) <= at {
            *second = Second {
                from: at,
                ..Second::default()
            };
        }
        second
    }

    fn turned(&mut self, at: Instant, part: Part) -> Verdict {
        let second = self.second(at, part);
        second.turns += 1;
        if second.latest != at {
            (second.latest, second.at_once) = (at, 0);
        }
        second.at_once += 1;
        if second.at_once > AT_ONCE {
            return broken(format!("{part:?} has had {AT_ONCE} turns at one instant"));
        }
        if second.turns > A_SECOND {
            return broken(format!("{part:?} has had {A_SECOND} turns in a second"));
        }
        Ok(())
    }

    fn rows(&mut self, at: Instant, rows: usize) -> Verdict {
        let count = u32::try_from(rows).unwrap_or(u32::MAX);
        let cost = PER_NAME + (PER_NAME + PER_ROW) * count;
        self.rows.push_back((at, cost));
        self.spent += cost;
        while let Some((then, cost)) = self.rows.front()
            && *then + WINDOW <= at
        {
            self.spent -= *cost;
            self.rows.pop_front();
        }
        if self.spent > BUSY {
            let spent = self.spent.as_millis();
            return broken(format!("rows have cost {spent} ms in {WINDOW:?}"));
        }
        Ok(())
    }

    fn may_write(&mut self, script: &Script) {
        for (_, stream) in STREAMS {
            // While core stands still, the output of many scripts waits for it.
            *self.output.entry((script.clone(), stream)).or_default() += OF_A_STREAM;
        }
    }

    /// Core has passed on a line of a script.
    fn passed_on(&mut self, script: Script, stream: &'static str) -> Verdict {
        let (kind, peer) = (script.0.name(), script.1.clone());
        let left = self.output.get_mut(&(script, stream));
        match left.filter(|left| **left > 0) {
            Some(left) => *left -= 1,
            None => {
                return broken(format!(
                    "{stream} of {kind} of {peer} has more lines than it may have"
                ));
            }
        }
        Ok(())
    }

    fn started(&mut self, id: RunId, script: Script) -> Verdict {
        let kind = script.0;
        self.may_write(&script);
        if self.living.insert(id, script).is_none() {
            *self.running.get_mut(kind.lane()) += 1;
        }
        let running = *self.running.get(kind.lane());
        if running > CHILDREN && !self.forgotten {
            let lane = match kind.lane() {
                Lane::Interface => "interfaces",
                Lane::Connection => "connections",
            };
            return broken(format!("{running} scripts of {lane} run at once"));
        }
        Ok(())
    }
}

/// The script and the stream of which this passes on a line, if it does that.
fn writer(command: &Command) -> Option<(Script, &'static str)> {
    let [kind, peer, told, _] = command.told()? else {
        return None;
    };
    let (verb, told) = (command.verb.as_str(), told.as_str());
    let mut streams = STREAMS.into_iter();
    let (_, stream) = streams.find(|known| *known == (verb, told))?;
    let kind = ScriptKind::ALL.into_iter().find(|it| it.name() == kind)?;
    Some(((kind, peer.clone()), stream))
}

fn broken(text: String) -> Verdict {
    Err((Promise::Turns, text))
}

#[cfg(test)]
mod tests {
    use connect_core::machine::ConnectionId;
    use connect_ipc::control::{Envelope, PeerRows, Request};
    use connect_ipc::scripts::{Ended, Run};

    use super::super::testing::{self, CORE, Sight};
    use super::*;

    const TURN: Seen<'_> = Seen::Turn {
        part: Part::Pinger,
        outputs: 0,
    };

    #[test]
    fn some_turns_keep_it() {
        let mut sight = Sight::new::<Turns>(&[]);
        for _ in 0..3 {
            for _ in 0..1_000 {
                assert_eq!(sight.see(TURN), Ok(()));
            }
            sight.later(1);
        }
    }

    #[test]
    fn turning_in_circles_breaks_it() {
        let mut sight = Sight::new::<Turns>(&[]);
        let mut verdicts = (0..5_001).map(|_| sight.see(TURN));
        assert!(verdicts.any(|verdict| matches!(verdict, Err((Promise::Turns, _)))));
        let mut sight = Sight::new::<Turns>(&[]);
        let mut verdicts = (0..=AT_ONCE).map(|_| sight.at_once(TURN));
        assert!(verdicts.any(|verdict| verdict.is_err()));
    }

    #[test]
    fn jobs_that_have_waited_may_be_answered_at_once_and_no_more_than_that() {
        for (jobs, extra) in [(0, 0), (3, 3 * OF_A_JOB)] {
            let mut sight = Sight::new::<Turns>(&[]);
            for number in 0..jobs {
                let job = format!("SVCJOB J{number} connect passive user-p");
                sight.at_once(Seen::Heard(CORE, &job)).unwrap();
            }
            let answer = Seen::Wrote(CORE, "GETCHAL");
            let mut verdicts = (0..=A_SECOND + extra).map(|_| sight.at_once(answer));
            let kept = verdicts.by_ref().take_while(Result::is_ok).count();
            assert_eq!(kept, (A_SECOND + extra) as usize);
        }
    }

    /// How many lines of each stream of `ifup p` are passed on before the promise is broken.
    fn passed_on(sight: &mut Sight) -> u32 {
        let mut passed_on = STREAMS.map(|(verb, stream)| {
            let line = format!(r#"{verb} connect ifup p {stream} "a line""#);
            let mut lines = 0;
            while sight.at_once(Seen::Wrote(CORE, &line)).is_ok() {
                lines += 1;
                assert!(lines < 100_000);
            }
            lines
        });
        passed_on.sort_unstable();
        assert_eq!(passed_on[0], passed_on[1]);
        passed_on[0]
    }

    #[test]
    fn each_script_has_so_many_lines_and_no_more() {
        let script = |peer: &str| Run {
            peer: peer.to_owned(),
            ..testing::run(1, ScriptKind::Ifup, None)
        };
        let mut sight = Sight::new::<Turns>(&[]);
        sight.see(Seen::Started(RunId(1), &script("q"))).unwrap();
        assert_eq!(passed_on(&mut sight), 0);
        sight.see(Seen::Started(RunId(2), &script("p"))).unwrap();
        assert_eq!(passed_on(&mut sight), OF_A_STREAM);
        sight.see(Seen::Lives(Part::Scripts, 2)).unwrap();
        assert_eq!(passed_on(&mut sight), OF_A_STREAM);
        for number in 3..7 {
            let id = RunId(number);
            sight.see(Seen::Started(id, &script("p"))).unwrap();
            sight.see(Seen::ChildEnded(id, &Ended::Exited(0))).unwrap();
        }
        assert_eq!(passed_on(&mut sight), 4 * OF_A_STREAM);
    }

    #[test]
    fn other_lines_are_counted_by_the_second() {
        let mut sight = Sight::new::<Turns>(&[]);
        let mut verdicts =
            (0..=A_SECOND).map(|_| sight.at_once(Seen::Wrote(CORE, "WARN connect x")));
        assert!(verdicts.any(|verdict| matches!(verdict, Err((Promise::Turns, _)))));
    }

    #[test]
    fn rows_without_a_pause_break_it() {
        let mut sight = Sight::new::<Turns>(&[]);
        let request = Request::Status {};
        let to = [(ConnectionId(7), 1)];
        let asked = Envelope { id: 1, request };
        sight.see(Seen::Asked(to[0].0, &asked)).unwrap();
        let rows = PeerRows {
            seq: 1,
            list: Vec::new(),
        };
        let mut verdicts = (0..30_000).map(|_| sight.at_once(Seen::Rows(&to, &rows)));
        assert!(verdicts.any(|verdict| verdict.is_err()));
    }
}
