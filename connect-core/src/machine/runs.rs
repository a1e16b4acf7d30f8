// SPDX-License-Identifier: GPL-3.0-or-later
//! What becomes of the scripts that were ordered: the helper's messages, output, ends.

use std::collections::{HashSet, VecDeque};

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{HelperStatus, RecentScript, ScriptStatus};
use connect_ipc::event::EventKind;
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::scripts::{
    Child, Ended, FromScripts, Run, ScriptKind, Stream, ToScripts, UnderWay,
};

use super::Machine;
use super::context::Context;

/// The longest challenge accepted from a `connect` command. Real ones have about 40 characters; a
/// `GREET` with a longer one would not fit into a line.
const MAX_CHALLENGE: usize = 160;

/// How many ended scripts are remembered for operators, over all peers.
const RECENT: usize = 256;

/// How many lines of output are remembered with each.
const TAIL: usize = 3;

/// How many characters of each line are.
const TAIL_WIDTH: usize = 200;

/// How many runs may have ended while somebody still holds their output open. The helper lets go
/// of the oldest at the same number.
const LINGERING: usize = 256;

/// Whether the challenge of a `connect` command has come (connect(8), "Dynamic connection").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Challenge {
    /// The first line of output will be it.
    Expected,
    /// An earlier core ordered the run, so the line may have come already: what looks like a
    /// challenge is one, anything else is not.
    Perhaps,
    /// It has come, or will not any more, or was never to.
    Settled,
}

/// A run that has not ended, or whose output has not.
#[derive(Debug)]
pub(super) struct RunState {
    peer: String,
    kind: ScriptKind,
    /// The order, to be given again if the helper is lost before it started the child; `None` for
    /// a run that was started, or that an earlier core had ordered.
    order: Option<Box<Run>>,
    child: Option<Child>,
    /// Seconds it may take.
    limit: Option<u32>,
    challenge: Challenge,
    /// Whether core has asked for its end.
    stopping: bool,
    /// Whether it has ended, and only its output lingers.
    ended: bool,
    /// Which streams have ended.
    closed: HashSet<Stream>,
    /// Its last lines.
    tail: VecDeque<String>,
}

/// A script that has ended.
#[derive(Debug)]
pub(super) struct Recent {
    peer: String,
    at: Monotonic,
    kind: ScriptKind,
    end: Ended,
    output: Vec<String>,
}

impl RunState {
    fn new(peer: String, kind: ScriptKind, limit: Option<u32>, challenge: Challenge) -> Self {
        RunState {
            peer,
            kind,
            order: None,
            child: None,
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
        }
    }

    /// A run that was just ordered.
    pub(super) fn ordered(run: Run) -> Self {
        let order = Box::new(run);
        let fresh = Self::new(
            order.peer.clone(),
            order.kind,
            order.limit,
            Challenge::Expected,
        );
        RunState {
            order: Some(order),
            ..fresh
        }
    }

    /// A run that an earlier core had ordered.
    fn inherited(run: &UnderWay) -> Self {
        Self::new(run.peer.clone(), run.kind, run.limit, Challenge::Perhaps)
    }

    /// Whether this is a `connect` command of the peer.
    pub(super) fn is_connect_of(&self, peer: &str) -> bool {
        self.kind == ScriptKind::Connect && self.peer == peer
    }

    /// Marks it as to be ended; `false` if it has ended or was marked already.
    pub(super) fn stop(&mut self) -> bool {
        self.challenge = Challenge::Settled;
        !self.ended && !std::mem::replace(&mut self.stopping, true)
    }

    fn remember(&mut self, line: &str) {
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.chars().take(TAIL_WIDTH).collect());
    }
}

/// Whether a line can be a challenge.
fn is_challenge(line: &str) -> bool {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    (1..=MAX_CHALLENGE).contains(&line.len()) && line.bytes().all(base64)
}

impl Machine {
    /// A script helper has connected.
    pub fn scripts_connected(&mut self, status: HelperStatus) {
        self.scripts.status = HelperStatus {
            connections: self.scripts.status.connections + 1,
            ..status
        };
        self.scripts.ready = false;
        self.resumed_runs.clear();
        // No helper reads the output that another one held open.
        self.runs.retain(|_, run| !run.ended);
    }

    /// The script helper is gone. Its children live on.
    pub fn scripts_lost(&mut self) {
        let connections = self.scripts.status.connections;
        self.scripts.status = HelperStatus {
            connections,
            ..HelperStatus::default()
        };
        self.scripts.ready = false;
    }

    /// Takes a message of the script helper.
    pub fn from_scripts(&mut self, message: FromScripts, now: Monotonic) {
        self.now = now;
        match message {
            FromScripts::Resume(known) => {
                let last = known.len() < ITEMS_PER_FRAME;
                self.resumed_runs.extend(known);
                if last {
                    let known = std::mem::take(&mut self.resumed_runs);
                    self.scripts_resumed(known);
                }
            }
            FromScripts::Started { run, child } => {
                if let Some(state) = self.runs.get_mut(&run) {
                    state.child = Some(child);
                    // It will never be ordered again, so the order need not be kept.
                    state.order = None;
                    let (peer, script) = (state.peer.clone(), state.kind);
                    self.emit(Some(&peer), || EventKind::Started {
                        script,
                        pid: child.pid,
                    });
                }
            }
            FromScripts::Output { run, stream, line } => self.output(run, stream, line),
            FromScripts::Dropped { run, stream, lines } => {
                let text = format!("{lines} further lines dropped: the script writes too much");
                self.report_output(run, stream, text);
            }
            FromScripts::Eof { run, stream } => self.stream_ended(run, stream),
            FromScripts::Ended { run, end } => self.script_ended(run, &end),
            FromScripts::Error(text) => {
                tracing::warn!("the script helper did not understand a message: {text}");
            }
        }
    }

    /// The helper has told what is under way; now it is told what else there is.
    fn scripts_resumed(&mut self, known: Vec<UnderWay>) {
        let mut there = HashSet::new();
        for run in known {
            there.insert(run.run);
            let state = self
                .runs
                .entry(run.run)
                .or_insert_with(|| RunState::inherited(&run));
            state.child = run.child.or(state.child);
            if state.stopping {
                // The wish may have been lost together with the connection.
                self.out.to_scripts.push(ToScripts::Stop(run.run));
            }
        }
        let mut adopt = Vec::new();
        let mut again = Vec::new();
        let mut lost = Vec::new();
        for (id, state) in &self.runs {
            if there.contains(id) {
                continue;
            }
            match (&state.child, &state.order) {
                (Some(child), _) => adopt.push(UnderWay {
                    run: *id,
                    peer: state.peer.clone(),
                    kind: state.kind,
                    child: Some(*child),
                    limit: state.limit,
                }),
                (None, Some(_)) if state.stopping => lost.push(*id),
                (None, Some(order)) => again.push((**order).clone()),
                (None, None) => lost.push(*id),
            }
        }
        for id in lost {
            self.runs.remove(&id);
        }
        self.scripts.ready = true;
        let out = &mut self.out.to_scripts;
        out.push(ToScripts::Adopt(adopt));
        out.push(ToScripts::Ready {});
        // One message each: a run carries a whole environment and may be long.
        out.extend(again.into_iter().map(|run| ToScripts::Run(vec![run])));
    }

    /// A line of output.
    fn output(&mut self, id: RunId, stream: Stream, line: String) {
        if let Some(run) = self.runs.get_mut(&id)
            && stream == Stream::Stdout
        {
            let before = std::mem::replace(&mut run.challenge, Challenge::Settled);
            let challenge = line.trim();
            if before == Challenge::Expected
                || (before == Challenge::Perhaps && is_challenge(challenge))
            {
                let peer = run.peer.clone();
                return self.greet(&peer, &line);
            }
        }
        self.report_output(id, stream, line);
    }

    /// The first line of a `connect` command's output: submits the greeting.
    fn greet(&mut self, peer: &str, line: &str) {
        let challenge = line.trim();
        if !is_challenge(challenge) {
            return self.warn(["connect", peer, "bad-challenge"], &[line]);
        }
        self.out.secrets.push(challenge.to_owned());
        if let Err(error) =
            self.command(Context::Greet(peer.to_owned()), "GREET", [peer, challenge])
        {
            tracing::warn!(peer, "cannot greet: {error}");
        }
    }

    /// A stream of a run has ended: if its challenge has not come, it never will.
    fn stream_ended(&mut self, id: RunId, stream: Stream) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        run.closed.insert(stream);
        let over = run.ended && run.closed.len() == 2;
        let missing = stream == Stream::Stdout
            && std::mem::replace(&mut run.challenge, Challenge::Settled) == Challenge::Expected;
        if missing {
            let peer = run.peer.clone();
            self.warn(["connect", &peer, "unexpected-eof"], &[""; 0]);
        }
        if over {
            self.runs.remove(&id);
        }
    }

    fn report_output(&mut self, id: RunId, stream: Stream, line: String) {
        let Some(run) = self.runs.get_mut(&id) else {
            tracing::debug!(run = id.0, "output of a script long gone: {line}");
            return;
        };
        run.remember(&line);
        let (script, peer) = (run.kind, run.peer.clone());
        self.emit(Some(&peer), || EventKind::Output {
            script,
            stream,
            line: line.clone(),
        });
        match stream {
            Stream::Stdout => self.notify([script.name(), &peer, "stdout"], &[line]),
            Stream::Stderr => self.warn([script.name(), &peer, "stderr"], &[line]),
        }
    }

    /// A run is over (connect(8), "Warnings"). What its own children may still write belongs to it
    /// all the same.
    fn script_ended(&mut self, id: RunId, end: &Ended) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut run.ended, true) {
            // A helper that is back repeats itself.
            return;
        }
        let (script, peer) = (run.kind, run.peer.clone());
        let output = std::mem::take(&mut run.tail).into();
        let silent = matches!(end, Ended::NotStarted(_) | Ended::Stopped | Ended::Lost);
        if silent || run.closed.len() == 2 {
            self.runs.remove(&id);
        } else {
            self.bound_lingering();
        }
        let kind = script.name();
        match end {
            Ended::Exited(0) | Ended::Stopped => {}
            Ended::Exited(code) => self.warn([kind, &peer, "exit-nonzero"], &[code.to_string()]),
            Ended::Signal(signal) => {
                self.warn([kind, &peer, "exit-signal"], &[format!("S{signal}")]);
            }
            Ended::Unknown(status) => {
                self.warn([kind, &peer, "exit-unknown"], &[format!("{status:#x}")]);
            }
            Ended::NotStarted(why) => self.warn([kind, &peer, "not-started"], &[why]),
            Ended::TimedOut => self.warn([kind, &peer, "timed-out"], &[""; 0]),
            Ended::Lost => self.warn([kind, &peer, "exit-lost"], &[""; 0]),
        }
        let counter = match end {
            Ended::Exited(0) | Ended::Stopped => &mut self.counters.scripts_ok,
            Ended::Exited(_) | Ended::Signal(_) | Ended::Unknown(_) => {
                &mut self.counters.scripts_failed
            }
            Ended::TimedOut => &mut self.counters.scripts_timed_out,
            Ended::NotStarted(_) | Ended::Lost => &mut self.counters.scripts_lost,
        };
        *counter += 1;
        self.emit(Some(&peer), || EventKind::Ended {
            script,
            end: end.clone(),
        });
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        let recent = Recent {
            peer,
            at: self.now,
            kind: script,
            end: end.clone(),
            output,
        };
        self.recent.push_back(recent);
    }

    /// Forgets the oldest run whose output lingers, if there are too many.
    fn bound_lingering(&mut self) {
        let mut lingering = self
            .runs
            .iter()
            .filter(|(_, run)| run.ended)
            .map(|(id, _)| *id);
        let oldest = lingering.next();
        if lingering.count() >= LINGERING
            && let Some(oldest) = oldest
        {
            self.runs.remove(&oldest);
        }
    }

    /// How many scripts are queued or under way.
    pub(super) fn scripts_pending(&self) -> u64 {
        self.runs.values().filter(|run| !run.ended).count() as u64
    }

    /// A peer's scripts, for operators.
    pub(super) fn scripts_of(&self, peer: &str) -> (Vec<ScriptStatus>, Vec<RecentScript>) {
        let pending = self
            .runs
            .values()
            .filter(|run| run.peer == peer && !run.ended)
            .map(|run| ScriptStatus {
                kind: run.kind,
                pid: run.child.map(|child| child.pid),
            })
            .collect();
        let recent = self
            .recent
            .iter()
            .filter(|script| script.peer == peer)
            .map(|script| RecentScript {
                kind: script.kind,
                end: script.end.clone(),
                ago: self.now.since(script.at).as_secs(),
                output: script.output.clone(),
            })
            .collect();
        (pending, recent)
    }
}
