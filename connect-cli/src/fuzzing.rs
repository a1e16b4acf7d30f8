// SPDX-License-Identifier: GPL-3.0-or-later
//! Decoders that are private otherwise, and what is shown of what they read, for the fuzz targets.

use std::io;

use connect_ipc::control::{Answer, PeerStatus, Reply, RunProgress, ServiceStatus};
use connect_ipc::frame::decode;
use connect_ipc::scripts::ScriptKind;
use connect_runtime::ownership::Ownership;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tripe_admin::line::{Line, LineBuffer};
use tripe_admin::token;

use crate::client::connection::ControlError;
use crate::commands::db::{kind, networks::Networks};
use crate::commands::doctor::{refusals, scripts, systemd};
use crate::commands::top::{model::Model, view};
use crate::commands::{check, events, metrics, remote, script};
use crate::output::change_text::{self, ChangesReport};
use crate::output::report::{PeerReport, ServiceReport};
use crate::output::script_report::ScriptPlanReport;
use crate::output::summary::Summary;
use crate::output::{Output, json, message, peer_text, status_text, text};

/// What one of several hosts has answered: its name, how ssh ended, and what was written to
/// standard output and to standard error.
pub type HostAnswer<'a> = (&'a str, Option<i32>, &'a [u8], &'a [u8]);

/// What a terminal gets of the answers of several hosts, in each form, and the exit code.
///
/// # Errors
/// Never: memory can be written.
pub fn hosts(answers: &[HostAnswer<'_>]) -> io::Result<(Vec<u8>, u8)> {
    let mut out = Output::of_terminal();
    let exit = remote::write_all(answers, &mut out).map_err(io::Error::other)?;
    Ok((out.into_bytes(), exit))
}

/// What a terminal gets of what core has sent on one connection, in each form; then the metrics,
/// which do not go to a terminal. Lines of more than `limit` bytes are too long.
///
/// # Errors
/// If something is on the screen of `top` that acts on the terminal.
pub fn answers(bytes: &[u8], limit: usize) -> io::Result<(Vec<u8>, Option<[String; 2]>)> {
    let mut out = Output::of_terminal();
    let mut lines = LineBuffer::new(limit);
    let mut seen = Seen::default();
    lines.push(bytes);
    while let Some(line) = lines.next_line() {
        match line {
            Line::Text(line) => match decode::<Answer>(&line) {
                Ok(answer) => seen.reply(answer.reply, &mut out)?,
                Err(error) => out.line(&message(&error.to_string(), None, None))?,
            },
            Line::TooLong { start, .. } => out.line(&start)?,
        }
    }
    let metrics = seen.end(&mut out)?;
    Ok((out.into_bytes(), metrics))
}

/// What was sent so far.
#[derive(Default)]
struct Seen {
    service: Option<Box<ServiceStatus>>,
    peers: Vec<PeerStatus>,
    model: Option<Model>,
}

impl Seen {
    fn reply(&mut self, reply: Reply, out: &mut Output<Vec<u8>>) -> io::Result<()> {
        match reply {
            Reply::Service(service) => {
                out.json_line(&ServiceReport::from(&*service))?;
                self.model = Some(Model::new((*service).clone(), Vec::new()));
                self.service = Some(service);
            }
            Reply::Peers(rows) => {
                for peer in &rows.list {
                    out.json_line(&PeerReport::from(peer))?;
                }
                self.peers.extend(rows.list);
            }
            Reply::Peer(detail) => {
                for (line, paint) in peer_text::lines("p", &detail) {
                    out.sentence(paint, &line, peer_text::VALUES)?;
                }
                if let Some(model) = &mut self.model {
                    model.detail(*detail);
                }
            }
            Reply::Line(words) => out.line(&token::join(words))?,
            Reply::Event(event) => {
                events::write_all(&event, out)?;
                if let Some(model) = &mut self.model {
                    model.event(&event);
                }
            }
            Reply::Recent(recent) => {
                for event in &recent {
                    events::write_all(event, out)?;
                }
            }
            other => answer(other, out)?,
        }
        Ok(())
    }

    /// Shows all of the state.
    fn end(self, out: &mut Output<Vec<u8>>) -> io::Result<Option<[String; 2]>> {
        let Some(service) = self.service else {
            return Ok(None);
        };
        let summary = Summary::of(&self.peers);
        status_text::show(&service, &summary, &self.peers, false, out)?;
        status_text::show_more(&self.peers, out)?;
        out.line(&check::of_state(&service, &self.peers))?;
        if let Some(mut model) = self.model {
            model.refresh((*service).clone(), self.peers.clone());
            let mut terminal = Terminal::new(TestBackend::new(60, 12)).map_err(io::Error::other)?;
            let drawn = terminal.draw(|frame| view::draw(&mut model, false, frame));
            drawn.map_err(io::Error::other)?;
            let mut cells = terminal.backend().buffer().content.iter();
            if let Some(cell) = cells.find(|cell| text::clean(cell.symbol()) != cell.symbol()) {
                return Err(io::Error::other(format!("{cell:?} is on the screen")));
            }
        }
        Ok(Some(metrics::of_state(&Ok((*service, self.peers)))))
    }
}

/// Shows an answer that does not tell of the state.
fn answer(reply: Reply, out: &mut Output<Vec<u8>>) -> io::Result<()> {
    let program = ["connect-cli".to_owned()];
    match reply {
        Reply::Changes(changes) => {
            for (paint, line) in change_text::lines(&program, &changes) {
                out.painted(paint, &line)?;
            }
            out.line(&change_text::waiting(&program, &changes, &[]))?;
            out.json(&ChangesReport::new(&program, &changes))
        }
        Reply::Applied(applied) => out.line(&match &applied.failure {
            None => change_text::done(&applied),
            Some(words) => change_text::not_done(&applied, words),
        }),
        Reply::Run(RunProgress::Waiting(waits)) => out.line(&script::waiting(&waits)),
        Reply::Run(RunProgress::Output { line, .. }) => out.line(&text::clean(&line)),
        Reply::Script(plan) => {
            for (line, paint) in script::plan_lines(ScriptKind::Ifup, &plan) {
                out.painted(paint, &line)?;
            }
            out.json(&ScriptPlanReport::new("p", ScriptKind::Ifup, &plan))
        }
        Reply::Failed(words) => {
            out.line(&text::failure(&words))?;
            out.line(&text::script_end(&words).unwrap_or_default())
        }
        Reply::Error(why) => out.line(&ControlError::Refused(why).to_string()),
        Reply::Busy { why } => out.line(&ControlError::NoPlace(why).to_string()),
        other => out.json_line(&other),
    }
}

/// A text as a terminal gets it.
#[must_use]
pub fn clean(line: &str) -> String {
    text::clean(line).into_owned()
}

/// A text as a string of JSON.
///
/// # Errors
/// Never: a text can be JSON.
pub fn json_of(line: &str) -> io::Result<String> {
    json::text(&line, false)
}

/// A message as standard error gets it.
#[must_use]
pub fn message_of(line: &str) -> String {
    message(line, Some(40), None)
}

/// Words as a shell reads them.
#[must_use]
pub fn shell_words(words: &[String]) -> String {
    text::shell_words(words)
}

/// What `systemctl show` tells of units: the name, the runtime directory, and why it failed.
#[must_use]
pub fn units(text: &str) -> Vec<String> {
    let units = systemd::parse(text).into_iter();
    units.map(|unit| format!("{unit:?}")).collect()
}

/// The last line that `journalctl` has printed.
#[must_use]
pub fn last_line(text: &str) -> Option<String> {
    systemd::last_line_of(text)
}

/// The user of a process that has rights, by its `/proc/PID/status`.
#[must_use]
pub fn privileged(status: &str) -> Option<Ownership> {
    refusals::privileged(status)
}

/// The program that the first line of a script names.
#[must_use]
pub fn interpreter(start: &[u8]) -> Option<String> {
    scripts::interpreter(start)
}

/// Whether a file as `/etc/networks` names this network.
#[must_use]
pub fn has_network(file: &str, name: &str) -> bool {
    Networks::parse(file).has(name)
}

/// Whether a file begins like a database, and whether like a text.
#[must_use]
pub fn kind_of(start: &[u8]) -> (bool, bool) {
    (kind::is_header(start), kind::is_text(start))
}
