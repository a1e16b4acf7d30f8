// SPDX-License-Identifier: GPL-3.0-or-later
//! What the script helper reports: what it remembers, and what happens to each run.

use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::control::{HelperStatus, Reply, RunProgress};
use connect_ipc::event::{EventKind, EventName};
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::hello::Role;
use connect_ipc::scripts::{
    Child, Ended, EndedRun, FromScripts, KILL_AFTER, LINGERING, SURVIVES_AFTER, Stream,
};
use connect_ipc::setup::Lane;
use tripe_admin::challenge::{self, MIN_LENGTH, is_letter};

use super::runs::Challenge;
use crate::machine::server::Pending;
use crate::machine::setups::progress::Progress;
use crate::machine::{ConnectionId, Machine, Output};

/// The longest challenge accepted from a `connect` command. Real ones have about 40 characters; a
/// `GREET` with a longer one would not fit into a line.
const MAX_CHALLENGE: usize = 160;

/// Whether a line can be a challenge.
fn is_challenge(line: &str) -> bool {
    (1..=MAX_CHALLENGE).contains(&line.len()) && line.bytes().all(is_letter)
}

impl Machine {
    /// A script helper has connected.
    pub(in crate::machine) fn scripts_connected(
        &mut self,
        connection: ConnectionId,
        status: HelperStatus,
    ) {
        let helper = &mut self.scripts.helper;
        let pid = status.pid;
        if !helper.connected(Role::Ifscripts, connection, status, self.now) {
            return self.out.push(Output::Refuse(connection));
        }
        let helper = Role::Ifscripts;
        self.emit(None, || EventKind::HelperConnected { helper, pid });
        self.scripts.resumed.clear();
        self.scripts.forget_owed();
        self.forget_complaints();
        self.additions.lookups.forget_pending();
        // No helper reads output for which another one waited.
        self.scripts.runs.forget_ended();
        for run in self.scripts.runs.values_mut() {
            run.helper_lost();
        }
    }

    /// Takes a message of the script helper.
    pub(in crate::machine) fn scripts_said(
        &mut self,
        connection: ConnectionId,
        message: FromScripts,
    ) {
        if !self.scripts.helper.is_at(connection) {
            return;
        }
        match message {
            FromScripts::Resume(known) => {
                let last = known.len() < ITEMS_PER_FRAME;
                self.scripts.resumed.extend(known);
                if last {
                    let known = std::mem::take(&mut self.scripts.resumed);
                    self.scripts_resumed(known);
                }
            }
            FromScripts::Taken(run) => self.order_taken(run),
            FromScripts::Started { run, child } => self.script_started(run, child),
            FromScripts::Output { run, stream, line } => self.output(run, stream, line),
            FromScripts::Dropped { run, stream, lines } => {
                let text = format!("{lines} more lines left out: the script writes too much");
                self.report_output(run, stream, text);
            }
            FromScripts::Eof { run, stream } => self.stream_ended(run, stream),
            FromScripts::Survives { run, since } => self.script_survives(run, since),
            FromScripts::Ended { run, end } => self.script_ended(run, end),
            FromScripts::Failures(failures) => self.failures_told(failures),
            FromScripts::Setups(page) => self.setups_told(page),
            FromScripts::JournalFault(fault) => self.journal_fault(fault),
            FromScripts::Full { lane, full } => self.places_full(lane, full),
            FromScripts::LookedUp(answer) => self.looked_up(answer),
            FromScripts::LogLost(lines) => self.scripts.helper.status.log_lines_lost = lines,
            FromScripts::Error(text) => {
                tracing::warn!(error = text, "the script helper refused a message");
            }
        }
    }

    /// The helper has an order, or a change of a setup, in its journal.
    fn order_taken(&mut self, id: RunId) {
        self.scripts.owe(id, None);
        self.scripts.changes.taken(id);
        // Without a journal, core gives the order again to the next helper, unless the script was
        // started.
        if self.scripts.complaints.has_journal()
            && let Some(run) = self.scripts.runs.get_mut(id)
        {
            run.order = None;
            let peer = run.peer.clone();
            self.scripts.settle_undoing(&peer);
        }
    }

    fn script_started(&mut self, id: RunId, child: Child) {
        self.scripts.runs.start(id, child, self.now);
        let Some(state) = self.scripts.runs.get(id) else {
            return;
        };
        let limit = state.limit.map(|limit| Duration::from_secs(limit.into()));
        let (peer, script, asked_by) = (state.peer.clone(), state.kind, state.asked_by());
        self.setup_started(&peer, script, id);
        // By then it has ended, or the helper reports that it cannot be ended.
        let word = limit.map(|limit| self.now + limit + KILL_AFTER + SURVIVES_AFTER);
        self.scripts.owe(id, word);
        self.scripts.watch_later(id, child, self.now);
        if let Some(by) = asked_by {
            let started = RunProgress::Started { pid: child.pid };
            self.answer(by.connection, by.request, Reply::Run(started));
        }
        self.emit(Some(&peer), || EventKind::Started {
            script,
            pid: child.pid,
        });
    }

    /// A child has ended: the helper's report is due.
    pub(in crate::machine) fn child_ended(&mut self, id: RunId) {
        let owes = self.scripts.helper.ready().is_some();
        if owes && self.scripts.runs.is_pending(id) {
            self.scripts.owe(id, Some(self.now));
        }
    }

    /// A line of output.
    fn output(&mut self, id: RunId, stream: Stream, line: String) {
        // The output of an unknown run is ignored.
        let run = self.scripts.runs.get(id);
        let may_be_secret = run.is_none_or(|run| run.kind.lane() == Lane::Connection);
        if may_be_secret {
            // Anywhere in the output: also after a banner it is a secret.
            let secrets = challenge::find(&line);
            self.out
                .extend(secrets.map(|word| Output::Secret(word.to_owned())));
        }
        if let Some(run) = self.scripts.runs.get_mut(id)
            && stream == Stream::Stdout
        {
            let before = std::mem::replace(&mut run.challenge, Challenge::Settled);
            let challenge = line.trim();
            if before == Challenge::Expected
                || (before == Challenge::Perhaps
                    && challenge.len() >= MIN_LENGTH
                    && is_challenge(challenge))
            {
                let peer = run.peer.clone();
                return self.greet(&peer, &line);
            }
        }
        let told = if may_be_secret {
            challenge::mask(&line).into_owned()
        } else {
            line
        };
        self.report_output(id, stream, told);
    }

    /// The first line of a `connect` command's output: submits the greeting.
    fn greet(&mut self, peer: &str, line: &str) {
        let challenge = line.trim();
        if !is_challenge(challenge) {
            // A part of it may be a challenge.
            let line = challenge::mask(line);
            return self.warn(["connect", peer, "bad-challenge"], &[line]);
        }
        self.out.push(Output::Secret(challenge.to_owned()));
        if let Err(error) =
            self.command(Pending::Greet(peer.to_owned()), "GREET", [peer, challenge])
        {
            // It quotes the command.
            let error = challenge::mask(&error.to_string()).into_owned();
            tracing::warn!(peer, error, "cannot send the greeting");
        }
    }

    /// A stream of a run has ended: if its challenge has not come, it never will.
    fn stream_ended(&mut self, id: RunId, stream: Stream) {
        let Some(run) = self.scripts.runs.get_mut(id) else {
            return;
        };
        run.closed.insert(stream);
        let over = run.has_ended() && run.closed.len() == 2;
        let missing = stream == Stream::Stdout
            && std::mem::replace(&mut run.challenge, Challenge::Settled) == Challenge::Expected;
        if missing {
            let peer = run.peer.clone();
            self.warn_of(Some(id), ["connect", &peer, "unexpected-eof"], &[""; 0]);
        }
        if over {
            self.scripts.runs.remove(id);
        }
    }

    fn report_output(&mut self, id: RunId, stream: Stream, line: String) {
        let Some(run) = self.scripts.runs.get_mut(id) else {
            tracing::debug!(
                run = id.0,
                line,
                "ignoring output of a run that is not known"
            );
            return;
        };
        run.remember(stream, &line);
        let (script, peer, asked_by) = (run.kind, run.peer.clone(), run.asked_by());
        if let Some(by) = asked_by {
            let output = RunProgress::Output {
                stream,
                line: line.clone(),
            };
            self.answer(by.connection, by.request, Reply::Run(output));
        }
        self.emit_passing(&peer, EventName::Output, || EventKind::Output {
            script,
            stream,
            line: line.clone(),
        });
        match stream {
            Stream::Stdout => self.notify_of(Some(id), [script.name(), &peer, "stdout"], &[line]),
            Stream::Stderr => self.warn_of(Some(id), [script.name(), &peer, "stderr"], &[line]),
        }
    }

    /// A run has ended. What its own children still write belongs to it all the same.
    pub(in crate::machine) fn script_ended(&mut self, id: RunId, end: Ended) {
        self.scripts.owe(id, None);
        self.scripts.settling.settle(id, self.now);
        // A helper that connects again repeats its reports.
        let Some((run, asked_by)) = self.scripts.runs.end(id) else {
            return;
        };
        let (peer, kind) = (run.peer.clone(), run.kind);
        let progress = match (&end, run.child()) {
            (Ended::NotStarted(_) | Ended::Stopped, None) => Progress::NeverStarted,
            _ => Progress::Made,
        };
        if progress == Progress::NeverStarted {
            self.scripts.settling.never_started(id);
        }
        let ended = EndedRun {
            peer: run.peer.clone(),
            at: self.now,
            kind: run.kind,
            end,
            output: run.take_tail(),
        };
        if ended.end == Ended::Lost {
            // The script may have written it to a helper that was killed.
            run.challenge = Challenge::Settled;
        }
        let silent = matches!(ended.end, Ended::NotStarted(_) | Ended::Stopped);
        if silent || run.closed.len() == 2 {
            self.scripts.runs.remove(id);
        } else {
            self.scripts.runs.bound_ended(LINGERING);
        }
        self.follow_run(&peer, kind, id, progress);
        self.conclude(Some(id), ended, asked_by);
    }
}
