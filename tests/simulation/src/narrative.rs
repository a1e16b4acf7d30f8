// SPDX-License-Identifier: GPL-3.0-or-later
//! Writes down what is seen, for people: a line for each thing, with its time and host.

use std::collections::BTreeMap;
use std::io::Write;

use connect_ipc::control::Reply;
use connect_ipc::scripts::Run;
use tripe_lab::server::ClientId;

use crate::instant::Instant;
use crate::plan::{Fault, HostId, Timed};
use crate::promise::Broken;
use crate::seen::{Seen, Watcher, Who};

/// Writes what it sees.
#[derive(Debug)]
pub struct Narrative<W> {
    out: W,
    names: BTreeMap<(HostId, ClientId), String>,
    /// Why no more could be written.
    error: Option<std::io::Error>,
}

impl<W: Write> Narrative<W> {
    /// Writes to this.
    pub const fn new(out: W) -> Self {
        Narrative {
            out,
            names: BTreeMap::new(),
            error: None,
        }
    }

    /// Gives back where it was written.
    ///
    /// # Errors
    /// If not all could be written.
    pub fn finish(mut self) -> std::io::Result<W> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.out.flush().map(|()| self.out),
        }
    }

    fn name(&self, host: HostId, client: ClientId) -> String {
        let known = self.names.get(&(host, client));
        known.cloned().unwrap_or_else(|| format!("client {client}"))
    }

    /// What was seen, in words; `None` for what happens too often to be told.
    fn words(&mut self, host: HostId, seen: &Seen<'_>) -> Option<String> {
        Some(match seen {
            Seen::Wrote(client, line) => format!("{} > {line}", self.name(host, *client)),
            Seen::Heard(client, line) => format!("{} < {line}", self.name(host, *client)),
            Seen::Broadcast(_) => return None,
            Seen::Opened(client, who) => {
                let name = named(*client, *who);
                let words = format!("{name} connects to the server");
                self.names.insert((host, *client), name);
                words
            }
            Seen::Ended(client) => {
                let name = self.name(host, *client);
                self.names.remove(&(host, *client));
                format!("{name} is not connected to the server any more")
            }
            Seen::Place(peer, at) => format!("the partner of {peer} is at {at}"),
            Seen::LookedUp(peer, found) => format!("core learns of the name of {peer}: {found:?}"),
            Seen::Displaced { .. } => "another program provides the service".to_owned(),
            Seen::Fault(it) => format!("FAULT {}", fault(it)),
            Seen::Lives(part, life) => format!("{part:?} starts, for the {life}. time"),
            Seen::Died(part) => format!("{part:?} ends"),
            Seen::Stands(part, until) => format!("{part:?} is suspended until {until}"),
            Seen::Slept(time) => format!("the host has slept for {} s", time.as_secs()),
            Seen::RestartedHelper(part) => format!("core has {part:?} started again"),
            Seen::Ordered(it) => format!("core orders {}", run(it)),
            Seen::Started(_, it) => format!("{} starts", run(it)),
            Seen::Uncertain => "core cannot tell which server this is".to_owned(),
            Seen::NotStarted(it) => format!("{} cannot be started", run(it)),
            Seen::ChildEnded(id, end) => format!("run {} has ended: {end:?}", id.0),
            Seen::Asked(connection, envelope) => {
                let (id, request) = (envelope.id, &envelope.request);
                format!("operator {} asks {id}: {request:?}", connection.0)
            }
            Seen::Replied(connection, answer) => {
                let (connection, id) = (connection.0, answer.id);
                format!("operator {connection} reads {id}: {}", reply(&answer.reply))
            }
            Seen::Rows(to, rows) => {
                format!("{} operators read {} rows", to.len(), rows.list.len())
            }
            Seen::Event(connection, event) => {
                let (seq, kind) = (event.seq, &event.kind);
                format!("observer {} reads event {seq}: {kind:?}", connection.0)
            }
            Seen::Reading(connection, true) => format!("operator {} reads", connection.0),
            Seen::Reading(connection, false) => {
                format!("operator {} does not read", connection.0)
            }
            Seen::Gone(connection) => format!("operator {} is gone", connection.0),
            Seen::Turn { .. } | Seen::Minute(_) | Seen::Hour(_) => return None,
            Seen::End(_) => "the run ends".to_owned(),
        })
    }
}

impl<W: Write> Watcher for Narrative<W> {
    fn see(&mut self, at: Instant, host: HostId, seen: Seen<'_>) -> Result<(), Broken> {
        if let Some(words) = self.words(host, &seen)
            && self.error.is_none()
        {
            let written = writeln!(self.out, "{at} host {}  {words}", host.0);
            self.error = written.err();
        }
        Ok(())
    }
}

/// Who a client is.
fn named(client: ClientId, who: Who) -> String {
    match who {
        Who::Core(life) => format!("core {life}"),
        Who::Manual => "manual".to_owned(),
        Who::Submitter => format!("submitter {client}"),
        Who::Administrator => format!("administrator {client}"),
        Who::Rival => format!("rival {client}"),
        Who::Script(host) => format!("script {client} of host {}", host.0),
    }
}

/// A fault in words: its name and what it is made of.
#[must_use]
pub fn fault(fault: &Fault) -> String {
    let details = match fault {
        Fault::Command { words } => format!("`{}'", words.join(" ")),
        other => {
            let text = format!("{other:?}");
            text.split_once(' ')
                .map_or(String::new(), |(_, it)| it.to_owned())
        }
    };
    format!("{} {details}", fault.name()).trim_end().to_owned()
}

/// A fault of a plan in words, with its time and host.
#[must_use]
pub fn timed(timed: &Timed) -> String {
    let (at, host, what) = (timed.at, timed.host.0, fault(&timed.fault));
    format!("{at} host {host}  {what}, {:?}", timed.when)
}

fn run(run: &Run) -> String {
    format!("{} {} (run {})", run.kind.name(), run.peer, run.run.0)
}

/// A reply in words, cut if it is long.
fn reply(reply: &Reply) -> String {
    let text = format!("{reply:?}");
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Part;

    #[test]
    fn what_is_seen_is_written_with_time_and_host() {
        let mut narrative = Narrative::new(Vec::new());
        let core = ClientId(3);
        let command = Fault::Command {
            words: vec!["active".to_owned(), "p".to_owned()],
        };
        let seen = [
            Seen::Opened(core, Who::Core(1)),
            Seen::Wrote(core, "LIST"),
            Seen::Fault(&command),
            Seen::Turn {
                part: Part::Core,
                outputs: 1,
            },
        ];
        for seen in seen {
            narrative
                .see(Instant(61_500_000_000), HostId(2), seen)
                .unwrap();
        }
        let text = String::from_utf8(narrative.finish().unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let expected = [
            "0:01:01.500 host 2  core 1 connects to the server",
            "0:01:01.500 host 2  core 1 > LIST",
            "0:01:01.500 host 2  FAULT command `active p'",
        ];
        assert_eq!(lines, expected);
    }
}
