// SPDX-License-Identifier: GPL-3.0-or-later
//! What core has been told, and what it has not been told yet. So nothing is lost while there is no
//! core, and a new core is told of everything that no core has settled.

use std::collections::{BTreeMap, HashMap, VecDeque};

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::scripts::{Ended, FromScripts, Stream, UnderWay};

/// How many bytes of output lines are kept while there is no core: all that eight streams may
/// write. Lines beyond it are dropped and counted. The messages about the start and the end of runs
/// are always kept; they are few, since no runs come in without core.
const MAX_KEPT: usize = 8 * 1024 * 1024;

/// About how much a line costs in addition to its text.
const LINE_COST: usize = 64;

/// Messages on their way to core.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// Messages to be sent, in order.
    waiting: VecDeque<FromScripts>,
    /// What the output lines among them cost.
    kept: usize,
    /// Lines that were dropped here and not reported yet.
    dropped: HashMap<(RunId, Stream), u64>,
    /// The runs that core has not settled, as far as a core has been told.
    told: BTreeMap<RunId, Told>,
}

/// What a core has been told of a run.
#[derive(Clone, Debug)]
struct Told {
    under_way: UnderWay,
    survives: Option<Monotonic>,
    end: Option<Ended>,
}

impl Outbox {
    /// Adds a run that core has given us.
    pub fn accept(&mut self, under_way: UnderWay) {
        let told = Told {
            under_way,
            survives: None,
            end: None,
        };
        self.told.insert(told.under_way.run, told);
    }

    /// Forgets runs that core has settled.
    pub fn forget(&mut self, runs: &[RunId]) {
        for run in runs {
            self.told.remove(run);
        }
    }

    /// Adds a message.
    pub fn push(&mut self, mut message: FromScripts) {
        match &mut message {
            FromScripts::Output { run, stream, line } => {
                let cost = line.len() + LINE_COST;
                if self.kept + cost > MAX_KEPT {
                    *self.dropped.entry((*run, *stream)).or_default() += 1;
                    return;
                }
                self.kept += cost;
            }
            FromScripts::Dropped { run, stream, lines } => {
                *lines += self.dropped.remove(&(*run, *stream)).unwrap_or(0);
            }
            FromScripts::Eof { run, stream } => self.report_dropped(*run, *stream),
            FromScripts::Ended { run, .. } => {
                self.report_dropped(*run, Stream::Stdout);
                self.report_dropped(*run, Stream::Stderr);
            }
            FromScripts::Resume(_)
            | FromScripts::Taken(_)
            | FromScripts::Started { .. }
            | FromScripts::Survives { .. }
            | FromScripts::Failures(_)
            | FromScripts::Setups(_)
            | FromScripts::JournalFault(_)
            | FromScripts::Full { .. }
            | FromScripts::LogLost(_)
            | FromScripts::LookedUp(_)
            | FromScripts::Error(_) => {}
        }
        self.waiting.push_back(message);
    }

    fn report_dropped(&mut self, run: RunId, stream: Stream) {
        if self.dropped.is_empty() {
            return;
        }
        if let Some(lines) = self.dropped.remove(&(run, stream)) {
            self.waiting
                .push_back(FromScripts::Dropped { run, stream, lines });
        }
    }

    /// The next message to be sent; [`Outbox::sent`] says that it was.
    #[must_use]
    pub fn front(&self) -> Option<&FromScripts> {
        self.waiting.front()
    }

    /// The message in front is on its way.
    pub fn sent(&mut self) {
        match self.waiting.pop_front() {
            Some(FromScripts::Output { line, .. }) => self.kept -= line.len() + LINE_COST,
            Some(FromScripts::Started { run, child }) => {
                if let Some(told) = self.told.get_mut(&run) {
                    told.under_way.child = Some(child);
                }
            }
            Some(FromScripts::Survives { run, since }) => {
                if let Some(told) = self.told.get_mut(&run) {
                    told.survives = Some(since);
                }
            }
            Some(FromScripts::Ended { run, end }) => {
                if let Some(told) = self.told.get_mut(&run) {
                    told.end = Some(end);
                }
            }
            Some(_) | None => {}
        }
    }

    /// The messages with which a new connection begins: the runs that core has not settled and of
    /// which a core may know; then which of them cannot be ended; then the ends that were sent to a
    /// core and that it has not settled. The waiting messages then say what has happened since.
    ///
    /// Answers to what an earlier core has asked are left out: much may have been ordered since, so
    /// they would be wrong for the core that asks now.
    #[must_use]
    pub fn resume(&mut self) -> Vec<FromScripts> {
        self.waiting
            .retain(|it| !matches!(it, FromScripts::Setups(_) | FromScripts::Failures(_)));
        let runs: Vec<UnderWay> = self.told.values().map(|t| t.under_way.clone()).collect();
        let mut messages: Vec<FromScripts> = runs
            .chunks(ITEMS_PER_FRAME)
            .map(|chunk| FromScripts::Resume(chunk.to_vec()))
            .collect();
        if runs.len().is_multiple_of(ITEMS_PER_FRAME) {
            // The last message is the one that is shorter than the others.
            messages.push(FromScripts::Resume(Vec::new()));
        }
        let again = |(run, told): (&RunId, &Told)| {
            let run = *run;
            if let Some(end) = told.end.clone() {
                return Some(FromScripts::Ended { run, end });
            }
            let since = told.survives?;
            Some(FromScripts::Survives { run, since })
        };
        messages.extend(self.told.iter().filter_map(again));
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::scripts::{Child, Ended, ScriptKind};
    use connect_ipc::setup::SetupPage;

    const RUN: RunId = RunId(7);

    fn under_way(run: RunId, child: Option<Child>) -> UnderWay {
        UnderWay {
            run,
            peer: "alice".to_owned(),
            kind: ScriptKind::Ifup,
            child,
            limit: None,
        }
    }

    fn line(text: &str) -> FromScripts {
        FromScripts::Output {
            run: RUN,
            stream: Stream::Stdout,
            line: text.to_owned(),
        }
    }

    fn all(outbox: &mut Outbox) -> Vec<FromScripts> {
        let mut found = Vec::new();
        while let Some(message) = outbox.front().cloned() {
            outbox.sent();
            found.push(message);
        }
        found
    }

    #[test]
    fn a_resume_says_what_core_was_told_and_the_messages_say_the_rest() {
        let child = Child {
            pid: 5,
            start_time: 6,
        };
        let mut outbox = Outbox::default();
        outbox.accept(under_way(RUN, None));
        let started = FromScripts::Started { run: RUN, child };
        let ended = FromScripts::Ended {
            run: RUN,
            end: Ended::Exited(0),
        };
        outbox.push(started.clone());
        outbox.push(ended.clone());
        assert_eq!(
            outbox.resume(),
            [FromScripts::Resume(vec![under_way(RUN, None)])]
        );
        assert_eq!(outbox.front(), Some(&started));
        outbox.sent();
        assert_eq!(
            outbox.resume(),
            [FromScripts::Resume(vec![under_way(RUN, Some(child))])]
        );
        assert_eq!(all(&mut outbox), std::slice::from_ref(&ended));
        let again = [
            FromScripts::Resume(vec![under_way(RUN, Some(child))]),
            ended,
        ];
        assert_eq!(outbox.resume(), again, "until a core has settled it");
        outbox.forget(&[RUN, RunId(99)]);
        assert_eq!(outbox.resume(), [FromScripts::Resume(vec![])]);
    }

    #[test]
    fn each_core_is_told_that_a_script_cannot_be_ended_until_it_has_ended() {
        let mut outbox = Outbox::default();
        outbox.accept(under_way(RUN, None));
        let since = Monotonic(7);
        let survives = FromScripts::Survives { run: RUN, since };
        outbox.push(survives.clone());
        assert_eq!(outbox.resume().len(), 1);
        assert_eq!(all(&mut outbox), std::slice::from_ref(&survives));
        assert_eq!(outbox.resume().last(), Some(&survives));
        let end = Ended::TimedOut;
        let ended = FromScripts::Ended { run: RUN, end };
        outbox.push(ended.clone());
        all(&mut outbox);
        assert_eq!(outbox.resume()[1..], [ended]);
    }

    #[test]
    fn no_core_is_told_what_an_earlier_one_has_asked() {
        let mut outbox = Outbox::default();
        let started = FromScripts::Started {
            run: RUN,
            child: Child {
                pid: 7,
                start_time: 9,
            },
        };
        outbox.push(FromScripts::Setups(SetupPage::default()));
        outbox.push(started.clone());
        assert_eq!(outbox.resume().len(), 1);
        assert_eq!(all(&mut outbox), [started]);
        outbox.push(FromScripts::Setups(SetupPage::default()));
        assert_eq!(all(&mut outbox).len(), 1, "but the one that has asked is");
    }

    #[test]
    fn the_last_message_of_a_resume_is_short() {
        let mut outbox = Outbox::default();
        let mut lengths = Vec::new();
        for run in 1..=ITEMS_PER_FRAME as u64 + 1 {
            outbox.accept(under_way(RunId(run), None));
            let of = |message: &FromScripts| match message {
                FromScripts::Resume(runs) => runs.len(),
                other => panic!("{other:?}"),
            };
            lengths.push(outbox.resume().iter().map(of).collect::<Vec<_>>());
        }
        assert_eq!(lengths[0], [1]);
        assert_eq!(lengths[498], [499]);
        assert_eq!(lengths[499], [500, 0]);
        assert_eq!(lengths[500], [500, 1]);
    }

    #[test]
    fn lines_beyond_the_bound_are_counted_and_results_kept() {
        let mut outbox = Outbox::default();
        outbox.accept(under_way(RUN, None));
        let long = "x".repeat(1024 * 1024);
        for _ in 0..20 {
            outbox.push(line(&long));
        }
        outbox.push(FromScripts::Dropped {
            run: RUN,
            stream: Stream::Stdout,
            lines: 5,
        });
        outbox.push(line(&long));
        let eof = FromScripts::Eof {
            run: RUN,
            stream: Stream::Stdout,
        };
        outbox.push(eof.clone());
        let dropped = |lines| FromScripts::Dropped {
            run: RUN,
            stream: Stream::Stdout,
            lines,
        };
        let mut expected = vec![line(&long); 7];
        expected.extend([dropped(18), dropped(1), eof]);
        assert_eq!(all(&mut outbox), expected);
        assert_eq!(outbox.kept, 0);
        outbox.push(line("room again"));
        assert_eq!(all(&mut outbox).len(), 1);
    }
}
