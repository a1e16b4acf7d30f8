// SPDX-License-Identifier: GPL-3.0-or-later
//! What is remembered of one run of a script until it, and its output, has ended.

use std::collections::{HashSet, VecDeque};

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{LongScript, ScriptStatus};
use connect_ipc::scripts::{Child, LONG, Run, ScriptKind, Stream, UnderWay};

use crate::machine::requester::OperatorRequest;

/// How many lines of output are remembered with each.
const TAIL: usize = 3;

/// How many characters of each line are remembered.
const TAIL_WIDTH: usize = 200;

/// Whether the challenge of a `connect` command has come (the manual, "Dynamic connection").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::machine::scripts) enum Challenge {
    /// The first line of output will be it.
    Expected,
    /// An earlier core ordered the run, or an earlier helper read its output, so the line may have
    /// come already: what looks like a challenge is one, anything else is not.
    Perhaps,
    /// It has come, or will not come any more, or was never expected.
    Settled,
}

/// The progress of a run.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// The child, once it was started.
    child: Option<Child>,
    /// When it was started; before, when it was ordered.
    since: Monotonic,
    /// When the child was first sent `KILL`, if it still runs.
    survives: Option<Monotonic>,
}

impl Progress {
    const fn new(child: Option<Child>, since: Monotonic) -> Self {
        let survives = None;
        Progress {
            child,
            since,
            survives,
        }
    }
}

/// An order of a run that the helper may not have.
#[derive(Clone, Debug)]
pub(in crate::machine::scripts) struct Order {
    pub(in crate::machine::scripts) run: Run,
    /// Whether a helper was sent it.
    pub(in crate::machine::scripts) sent: bool,
}

/// A run that has not ended, or whose output has not. Only the table changes what it counts.
#[derive(Clone, Debug)]
pub(in crate::machine::scripts) struct RunState {
    pub(in crate::machine::scripts) peer: String,
    pub(in crate::machine::scripts) kind: ScriptKind,
    /// The order, which is given again if the helper is lost before its journal has it; `None`
    /// after that, and for a run that an earlier core had ordered.
    pub(in crate::machine::scripts) order: Option<Box<Order>>,
    progress: Progress,
    /// Seconds it may take.
    pub(in crate::machine::scripts) limit: Option<u32>,
    pub(in crate::machine::scripts) challenge: Challenge,
    /// Whether core has asked for its end.
    pub(in crate::machine::scripts) stopping: bool,
    /// Whether it has ended, and only its output lingers.
    ended: bool,
    /// Which streams have ended.
    pub(in crate::machine::scripts) closed: HashSet<Stream>,
    /// Its last lines, and where each was written.
    pub(in crate::machine::scripts) tail: VecDeque<(Stream, String)>,
    /// When the helper's next report about it is due; as in [`Scripts`](super::Scripts).
    pub(in crate::machine::scripts) owed: Option<Monotonic>,
    /// The operator who has asked for it, until its end.
    asked_by: Option<OperatorRequest>,
}

impl RunState {
    fn new(
        peer: String,
        kind: ScriptKind,
        limit: Option<u32>,
        challenge: Challenge,
        since: Monotonic,
    ) -> Self {
        RunState {
            peer,
            kind,
            order: None,
            progress: Progress::new(None, since),
            limit,
            challenge: if kind == ScriptKind::Connect {
                challenge
            } else {
                Challenge::Settled
            },
            stopping: false,
            ended: false,
            closed: HashSet::new(),
            tail: VecDeque::new(),
            owed: None,
            asked_by: None,
        }
    }

    /// A run that was just ordered, perhaps by an operator.
    pub(in crate::machine::scripts) fn ordered(
        run: Run,
        sent: bool,
        asked_by: Option<OperatorRequest>,
        now: Monotonic,
    ) -> Self {
        let fresh = Self::new(
            run.peer.clone(),
            run.kind,
            run.limit,
            Challenge::Expected,
            now,
        );
        RunState {
            order: Some(Box::new(Order { run, sent })),
            asked_by,
            ..fresh
        }
    }

    /// A run that an earlier core had ordered.
    pub(in crate::machine::scripts) fn inherited(run: &UnderWay, now: Monotonic) -> Self {
        Self::new(
            run.peer.clone(),
            run.kind,
            run.limit,
            Challenge::Perhaps,
            now,
        )
    }

    /// Whether no helper can know of it.
    pub(in crate::machine::scripts) fn is_unsent(&self) -> bool {
        let order = self.order.as_ref().filter(|_| !self.ended);
        order.is_some_and(|order| !order.sent)
    }

    /// The helper was lost, perhaps with output that it had read and not reported.
    pub(in crate::machine::scripts) fn helper_lost(&mut self) {
        if self.challenge == Challenge::Expected && self.progress.child.is_some() {
            self.challenge = Challenge::Perhaps;
        }
    }

    /// Its child was started at `since`.
    pub(super) fn started(&mut self, child: Child, since: Monotonic) {
        self.progress = Progress::new(Some(child), since);
        // It will never be ordered again, so the order need not be kept.
        self.order = None;
    }

    /// The report for operators if, at `now`, it takes unusually long or cannot be ended. The work
    /// of a `connect` command is done when its challenge has come, and it may stay for as long as
    /// the connection.
    pub(in crate::machine::scripts) fn long(&self, now: Monotonic) -> Option<LongScript> {
        let time = now.since(self.progress.since);
        let has_greeted = self.kind == ScriptKind::Connect
            && self.progress.child.is_some()
            && self.challenge != Challenge::Expected
            && !self.stopping;
        let is_long = self.progress.survives.is_some() || time > LONG && !has_greeted;
        (is_long && !self.ended).then(|| LongScript {
            kind: self.kind,
            pid: self.pid(),
            seconds: time.as_secs(),
            limit: self.limit,
            survives: self
                .progress
                .survives
                .map(|since| now.since(since).as_secs()),
        })
    }

    /// Its child, once it was started.
    pub(in crate::machine::scripts) fn child(&self) -> Option<Child> {
        self.progress.child
    }

    /// The process number of its child, once it was started.
    pub(in crate::machine::scripts) fn pid(&self) -> Option<i32> {
        self.progress.child.map(|child| child.pid)
    }

    /// Whether it has ended, and only its output lingers.
    pub(in crate::machine::scripts) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// The operator who has asked for it, until its end.
    pub(in crate::machine::scripts) const fn asked_by(&self) -> Option<OperatorRequest> {
        self.asked_by
    }

    /// The run, for operators.
    pub(in crate::machine::scripts) fn status(&self, now: Monotonic) -> ScriptStatus {
        ScriptStatus {
            kind: self.kind,
            pid: self.pid(),
            seconds: now.since(self.progress.since).as_secs(),
        }
    }

    /// It was sent `KILL` at `since`, and still runs; `false` if that was known, or it has ended.
    pub(in crate::machine::scripts) fn survive(&mut self, since: Monotonic) -> bool {
        let is_news = !self.ended && self.progress.survives.is_none();
        self.progress.survives.get_or_insert(since);
        is_news
    }

    /// It has ended. Returns the operator who requested it; `None` if it had ended before.
    pub(super) fn end(&mut self) -> Option<Option<OperatorRequest>> {
        let is_first = !std::mem::replace(&mut self.ended, true);
        is_first.then(|| self.asked_by.take())
    }

    /// Marks it as to be ended; `false` if it has ended or was marked already.
    pub(in crate::machine::scripts) fn stop(&mut self) -> bool {
        self.challenge = Challenge::Settled;
        !self.ended && !std::mem::replace(&mut self.stopping, true)
    }

    /// The run, for a helper that does not know it.
    pub(in crate::machine::scripts) fn under_way(&self, run: RunId) -> UnderWay {
        UnderWay {
            run,
            peer: self.peer.clone(),
            kind: self.kind,
            child: self.progress.child,
            limit: self.limit,
        }
    }

    pub(in crate::machine::scripts) fn remember(&mut self, stream: Stream, line: &str) {
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail
            .push_back((stream, line.chars().take(TAIL_WIDTH).collect()));
    }

    /// Its last lines, those of standard error last: the order of the two streams is not known, and
    /// the last line should say what was wrong.
    pub(in crate::machine::scripts) fn take_tail(&mut self) -> Vec<String> {
        let tail = std::mem::take(&mut self.tail);
        let (errors, mut lines): (Vec<_>, Vec<_>) = tail
            .into_iter()
            .partition(|(stream, _)| *stream == Stream::Stderr);
        lines.extend(errors);
        lines.into_iter().map(|(_, line)| line).collect()
    }
}
