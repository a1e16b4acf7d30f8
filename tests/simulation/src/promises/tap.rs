// SPDX-License-Identifier: GPL-3.0-or-later
//! The lines between a server and its service, understood: which command was sent, which answer is
//! to which command, and what else the service has heard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use tripe_admin::message::ServerLine;
use tripe_admin::{Note, Words};
use tripe_lab::server::ClientId;

use crate::instant::Instant;
use crate::seen::{Seen, Who};

/// Options of commands that have a value after them.
const WITH_VALUE: [&str; 8] = [
    "-background",
    "-timeout",
    "-keepalive",
    "-key",
    "-priv",
    "-tunnel",
    "-knock",
    "-version",
];

/// A command that the service has sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Command {
    /// Its first word.
    pub(super) verb: String,
    /// Its tag, if it is to run in the background.
    pub(super) tag: Option<String>,
    /// How long a ping waits, as it is said.
    pub(super) timeout: Option<String>,
    /// The words after its options.
    pub(super) words: Vec<String>,
    /// When the server read it.
    pub(super) at: Instant,
}

impl Command {
    /// Reads a line.
    pub(super) fn parse(line: &str, at: Instant) -> Self {
        let mut words = Words::new(line).peekable();
        let verb = words.next().unwrap_or_default().into_owned();
        let (mut tag, mut timeout) = (None, None);
        // What a service tells everybody, and what it answers, has no options.
        let has_options = !matches!(
            verb.as_str(),
            "WARN" | "NOTIFY" | "SVCINFO" | "SVCOK" | "SVCFAIL"
        );
        while has_options && let Some(option) = words.next_if(|word| word.starts_with('-')) {
            if option == "--" {
                break;
            }
            if WITH_VALUE.contains(&option.as_ref()) {
                let value = words.next().map(std::borrow::Cow::into_owned);
                match option.as_ref() {
                    "-background" => tag = value,
                    "-timeout" => timeout = value,
                    _ => {}
                }
            }
        }
        Command {
            verb,
            tag,
            timeout,
            words: words.map(std::borrow::Cow::into_owned).collect(),
            at,
        }
    }

    /// The word at this place after the options; empty if there are fewer.
    pub(super) fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// Whether it is a ping.
    pub(super) fn is_ping(&self) -> bool {
        matches!(self.verb.as_str(), "PING" | "EPING")
    }

    /// What the service broadcasts: the words after `WARN connect` or `NOTIFY connect`.
    pub(super) fn told(&self) -> Option<&[String]> {
        let is_told = matches!(self.verb.as_str(), "WARN" | "NOTIFY");
        let (service, told) = self.words.split_first().filter(|_| is_told)?;
        (service == "connect").then_some(told)
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// Well.
    Ok,
    /// The server refused it, in these words.
    Failed(Vec<String>),
    /// A ping was answered after so many milliseconds.
    Reply(f64),
    /// A ping was not answered.
    Timeout,
    /// The peer of a ping was removed.
    Died,
}

/// What a line means.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fact {
    /// The service is connected.
    Connected,
    /// Its connection has ended.
    Lost,
    /// It has sent this.
    Sent(Rc<Command>),
    /// It has heard a line about this command.
    Info(Rc<Command>, Vec<String>),
    /// It has heard how this command ended.
    Ended(Rc<Command>, End),
    /// It has heard this notification.
    Note(Note),
    /// It was given this job.
    Job(String, Vec<String>),
    /// A job is not wanted any more.
    Cancelled(String),
}

/// A command that runs in the background.
#[derive(Clone, Debug)]
struct Running {
    command: Rc<Command>,
    end: Option<End>,
    /// Whether the service has cancelled it.
    cancelled: bool,
}

/// What is known of the connection of the service.
#[derive(Clone, Debug, Default)]
pub(super) struct Tap {
    /// The connection of the service.
    current: Option<ClientId>,
    /// All connections that it has had.
    known: BTreeSet<ClientId>,
    /// The commands that the server has not answered, oldest first, and what was heard of each.
    waiting: VecDeque<Running>,
    /// The commands that run in the background, by tag.
    running: BTreeMap<String, Running>,
}

impl Tap {
    /// Whether this is a connection of the service, or was one.
    pub(super) fn is_of_service(&self, client: ClientId) -> bool {
        self.known.contains(&client)
    }

    /// Whether the service is connected.
    pub(super) const fn is_connected(&self) -> bool {
        self.current.is_some()
    }

    /// How many commands and jobs of the service are not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// Takes in what was seen, and says what it means.
    pub(super) fn see(&mut self, at: Instant, seen: &Seen<'_>) -> Option<Fact> {
        match seen {
            Seen::Opened(client, Who::Core(_) | Who::Manual) => {
                *self = Tap {
                    current: Some(*client),
                    known: std::mem::take(&mut self.known),
                    ..Tap::default()
                };
                self.known.insert(*client);
                Some(Fact::Connected)
            }
            Seen::Ended(client) if self.current == Some(*client) => {
                self.current = None;
                self.waiting.clear();
                self.running.clear();
                Some(Fact::Lost)
            }
            Seen::Wrote(client, line) if self.current == Some(*client) => Some(self.sent(line, at)),
            Seen::Heard(client, line) if self.current == Some(*client) => self.heard(line),
            _ => None,
        }
    }

    fn sent(&mut self, line: &str, at: Instant) -> Fact {
        let command = Rc::new(Command::parse(line, at));
        if command.verb == "BGCANCEL" {
            self.running.remove(command.word(0));
            let tag = Some(command.word(0));
            for waiting in &mut self.waiting {
                waiting.cancelled |= waiting.command.tag.as_deref() == tag;
            }
        }
        self.waiting.push_back(Running {
            command: Rc::clone(&command),
            end: None,
            cancelled: false,
        });
        Fact::Sent(command)
    }

    fn heard(&mut self, line: &str) -> Option<Fact> {
        match ServerLine::parse(line) {
            ServerLine::Ok => {
                let Running { command, end, .. } = self.waiting.pop_front()?;
                Some(Fact::Ended(command, end.unwrap_or(End::Ok)))
            }
            ServerLine::Fail(words) => {
                let Running { command, .. } = self.waiting.pop_front()?;
                Some(Fact::Ended(command, End::Failed(words.owned())))
            }
            ServerLine::Info(words) => Some(informed(self.waiting.front_mut()?, words)),
            ServerLine::BgDetach(tag) => {
                let running = self.waiting.pop_front()?;
                if !running.cancelled {
                    self.running.insert(tag.into_owned(), running);
                }
                None
            }
            ServerLine::BgInfo(tag, words) => {
                Some(informed(self.running.get_mut(tag.as_ref())?, words))
            }
            ServerLine::BgOk(tag) => {
                let Running { command, end, .. } = self.running.remove(tag.as_ref())?;
                Some(Fact::Ended(command, end.unwrap_or(End::Ok)))
            }
            ServerLine::BgFail(tag, words) => {
                let Running { command, .. } = self.running.remove(tag.as_ref())?;
                Some(Fact::Ended(command, End::Failed(words.owned())))
            }
            ServerLine::Note(words) => Some(Fact::Note(Note::from_words(words))),
            ServerLine::SvcJob { id, words, .. } => Some(Fact::Job(id.into_owned(), words.owned())),
            ServerLine::SvcCancel(id) => Some(Fact::Cancelled(id.into_owned())),
            ServerLine::Warn(_)
            | ServerLine::Trace(_)
            | ServerLine::SvcClaim { .. }
            | ServerLine::Unknown => None,
        }
    }
}

/// Takes in a line about a command.
fn informed(running: &mut Running, words: Words<'_>) -> Fact {
    let words = words.owned();
    if running.command.is_ping() {
        running.end = match words.first().map(String::as_str) {
            Some("ping-ok") => {
                let millis = words.get(1).and_then(|word| word.parse().ok());
                Some(End::Reply(millis.unwrap_or(0.0)))
            }
            Some("ping-timeout") => Some(End::Timeout),
            Some("ping-peer-died") => Some(End::Died),
            _ => None,
        };
    }
    Fact::Info(Rc::clone(&running.command), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_to_its_command() {
        let me = ClientId(1);
        let mut tap = Tap::default();
        let mut see = |seen: Seen<'_>| tap.see(Instant(5), &seen);
        assert_eq!(see(Seen::Opened(me, Who::Core(1))), Some(Fact::Connected));
        let ping = Seen::Wrote(me, "PING -background c0.0 -timeout 10 -- -p");
        let Some(Fact::Sent(sent)) = see(ping) else {
            panic!("nothing was sent");
        };
        assert_eq!((sent.word(0), sent.tag.as_deref()), ("-p", Some("c0.0")));
        see(Seen::Wrote(me, "KILL q"));
        assert_eq!(see(Seen::Heard(me, "BGDETACH c0.0")), None);
        let Some(Fact::Ended(command, End::Failed(_))) =
            see(Seen::Heard(me, "FAIL unknown-peer q"))
        else {
            panic!("the command has not failed");
        };
        assert_eq!(command.verb, "KILL");
        see(Seen::Heard(me, "BGINFO c0.0 ping-ok 1.5"));
        let ended = see(Seen::Heard(me, "BGOK c0.0"));
        assert_eq!(ended, Some(Fact::Ended(sent, End::Reply(1.5))));
        assert_eq!(see(Seen::Ended(me)), Some(Fact::Lost));
        assert_eq!(see(Seen::Wrote(me, "KILL late")), None);
    }
}
