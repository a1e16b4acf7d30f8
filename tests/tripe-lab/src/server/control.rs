// SPDX-License-Identifier: GPL-3.0-or-later
//! The `LAB` command: everything that the protocol does not have and a test wants, from any admin
//! connection, from the program's command line and from the handle.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use super::command::{Done, Outcome};
use super::fail::{Fail, read_base64};
use super::{ClientId, Control, Harm, Output, Server};
use crate::faults::{Chance, Refusal};

/// The commands, their arguments, and what they do.
pub(crate) const COMMANDS: &[(&str, &str, &str)] = &[
    ("HELP", "", "list these commands"),
    ("SEED", "", "show the seed"),
    ("SHOW", "", "show faults, refusals and switches"),
    (
        "NET",
        "[loss=PERCENT] [duplicate=PERCENT] [reorder=PERCENT] [delay=MS] [jitter=MS] [paused=t|nil]",
        "set what happens to datagrams on their way out",
    ),
    (
        "WRITE",
        "[chunk=BYTES] [pause=MS]",
        "write to clients in small pieces, slowly; chunk=0 is no limit",
    ),
    (
        "REFUSE",
        "[-with WORD] [-times N] [-detach] COMMAND CODE [TOKENS ...]",
        "answer a command with FAIL; with -detach after BGDETACH, if it has a tag",
    ),
    ("ALLOW", "", "forget all refusals"),
    (
        "SWITCH",
        "NAME=VALUE ...",
        "set doubtful points of the protocol",
    ),
    ("CLIENTS", "", "list the connected clients' numbers"),
    (
        "STALL",
        "CLIENT|all",
        "neither read from nor write to a client",
    ),
    ("UNSTALL", "CLIENT|all", "read and write again"),
    ("CUT", "CLIENT|all", "close a connection at once"),
    (
        "CUTLINE",
        "CLIENT|all",
        "close a connection in the middle of its next line",
    ),
    ("SAY", "CLIENT|all LINE", "send a line as it stands"),
    (
        "GARBAGE",
        "CLIENT|all BYTES",
        "send random bytes and a newline",
    ),
    ("LONG", "CLIENT|all BYTES", "send a warning of that length"),
    (
        "BROADCAST",
        "LINE",
        "broadcast a NOTE, WARN or TRACE to those who watch",
    ),
    (
        "GREETING",
        "CHALLENGE ADDR:PORT",
        "let a greeting come in from an address",
    ),
    (
        "KNOCK",
        "NAME ADDR:PORT",
        "let a knock come in from an address",
    ),
    (
        "DATAGRAM",
        "BASE64 ADDR:PORT",
        "let any datagram come in from an address",
    ),
    ("MOVE", "PEER ADDR:PORT", "change a peer's address"),
    ("BYE", "PEER", "end a peer as if it had said goodbye"),
    ("SILENCE", "PEER", "have a peer's address dead"),
    ("WAKE", "PEER", "have it alive again"),
    ("SEND", "PEER TEXT", "send a packet into a peer's tunnel"),
    (
        "RESTART",
        "",
        "crash, and start again with everything forgotten",
    ),
    ("CRASH", "", "end as a crash does"),
];

/// The longest thing that is made up on demand: more than any client has room for.
const MAX_MADE_UP: usize = 16 << 20;

/// Splits `KEY=VALUE`.
fn setting(word: &str) -> Result<(&str, &str), Fail> {
    word.split_once('=').ok_or_else(|| bad_value(word))
}

fn bad_value(word: &str) -> Fail {
    Fail::Other(vec!["bad-value".into(), word.into()])
}

fn number<T: std::str::FromStr>(word: &str, value: &str) -> Result<T, Fail> {
    value.parse().map_err(|_| bad_value(word))
}

fn percent(word: &str, value: &str) -> Result<Chance, Fail> {
    number::<f64>(word, value).map(Chance::from_percent)
}

fn millis(word: &str, value: &str) -> Result<Duration, Fail> {
    number(word, value).map(Duration::from_millis)
}

fn address(word: &str) -> Result<SocketAddr, Fail> {
    number(word, word)
}

impl Server {
    /// A word that is no command of the protocol: the lab's own, or unknown.
    pub(super) fn control(
        &mut self,
        client: ClientId,
        word: &str,
        args: &[Cow<'_, str>],
    ) -> Outcome {
        if !self.config.control || !word.eq_ignore_ascii_case("LAB") {
            return Err(Fail::UnknownCommand(word.into()));
        }
        for line in self.lab_command(args)? {
            self.info(client, |info| info.raw(line));
        }
        Ok(Done::Ok)
    }

    /// Carries out a `LAB` command, given in words without the word `LAB`, and gives the lines of
    /// its answer.
    pub(super) fn lab_command<W: AsRef<str>>(&mut self, words: &[W]) -> Result<Vec<String>, Fail> {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        let (verb, args) = words.split_first().unwrap_or((&"HELP", &[]));
        let (name, usage, _) = COMMANDS
            .iter()
            .find(|(name, _, _)| name.eq_ignore_ascii_case(verb))
            .ok_or_else(|| Fail::Other(vec!["unknown-lab-command".into(), (*verb).into()]))?;
        let syntax = Fail::Other(vec![
            "bad-syntax".into(),
            format!("lab {name}"),
            (*usage).into(),
        ]);
        match (*name, args) {
            ("HELP", []) => {
                let line = |(name, usage, help): &(&str, &str, &str)| {
                    let space = if usage.is_empty() { "" } else { " " };
                    format!("{name}{space}{usage}: {help}")
                };
                return Ok(COMMANDS.iter().map(line).collect());
            }
            ("SEED", []) => return Ok(vec![format!("seed={}", self.config.seed)]),
            ("SHOW", []) => return Ok(self.show_lab()),
            ("CLIENTS", []) => {
                return Ok(self.clients.keys().map(ToString::to_string).collect());
            }
            ("NET", args) => {
                for word in args {
                    self.set_net(word)?;
                }
            }
            ("WRITE", args) => {
                for word in args {
                    let write = &mut self.config.faults.write;
                    match setting(word)? {
                        ("chunk", value) => write.chunk = number(word, value)?,
                        ("pause", value) => write.pause = millis(word, value)?,
                        _ => return Err(bad_value(word)),
                    }
                }
            }
            ("REFUSE", args) => {
                let refusal = refusal(args)?.ok_or(syntax)?;
                if !self.config.faults.add_refusal(refusal) {
                    return Err(Fail::Other(vec!["too-many-refusals".into()]));
                }
            }
            ("ALLOW", []) => self.config.faults.refusals.clear(),
            ("SWITCH", args) => {
                let mut switches = self.config.switches;
                for word in args {
                    let applied = switches.apply(word);
                    applied.map_err(|error| {
                        Fail::Other(vec!["bad-switch".into(), error.to_string()])
                    })?;
                }
                self.config.switches = switches;
            }
            ("STALL" | "UNSTALL" | "CUT" | "CUTLINE", [client]) => {
                let target = self.target(client)?;
                let harm = match *name {
                    "STALL" => Harm::Stall(true),
                    "UNSTALL" => Harm::Stall(false),
                    "CUT" => Harm::Cut,
                    _ => Harm::CutInNextLine,
                };
                self.perform(Control::Harm(target, harm))?;
            }
            ("SAY", [client, line]) => {
                let target = self.target(client)?;
                let mut bytes = Vec::new();
                crate::text::encode(line, &mut bytes);
                bytes.push(b'\n');
                self.perform(Control::Harm(target, Harm::Send(bytes)))?;
            }
            ("GARBAGE" | "LONG", [client, length]) => {
                let target = self.target(client)?;
                let length = number::<usize>(length, length)?.min(MAX_MADE_UP);
                let bytes = if *name == "LONG" {
                    let mut line = b"WARN USER ".to_vec();
                    line.resize(length.max(line.len()), b'x');
                    line.push(b'\n');
                    line
                } else {
                    self.garbage(length)
                };
                self.perform(Control::Harm(target, Harm::Send(bytes)))?;
            }
            ("GREETING", [challenge, from]) => {
                let challenge = read_base64(challenge)?;
                self.greeting(address(from)?, &challenge);
            }
            ("DATAGRAM", [bytes, from]) => {
                let bytes = read_base64(bytes)?;
                self.datagram(address(from)?, &bytes);
            }
            ("BROADCAST" | "KNOCK" | "MOVE" | "BYE" | "SILENCE" | "WAKE" | "SEND", args) => {
                self.perform(pretence(name, args)?.ok_or(syntax)?)?;
            }
            ("RESTART", []) => self.out.push(Output::Restart),
            ("CRASH", []) => self.out.push(Output::Crash),
            _ => return Err(syntax),
        }
        Ok(Vec::new())
    }

    /// Random bytes without a newline, and one at the end.
    fn garbage(&mut self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length)
            .map(|_| match self.fault_rng.next().to_le_bytes()[0] {
                b'\n' => 0,
                byte => byte,
            })
            .collect();
        bytes.push(b'\n');
        bytes
    }

    fn set_net(&mut self, word: &str) -> Result<(), Fail> {
        let net = &mut self.config.faults.net;
        match setting(word)? {
            ("loss", value) => net.loss = percent(word, value)?,
            ("duplicate", value) => net.duplicate = percent(word, value)?,
            ("reorder", value) => net.reorder = percent(word, value)?,
            ("delay", value) => net.delay = millis(word, value)?,
            ("jitter", value) => net.jitter = millis(word, value)?,
            ("paused", "t") => net.paused = true,
            ("paused", "nil") => net.paused = false,
            _ => return Err(bad_value(word)),
        }
        Ok(())
    }

    fn show_lab(&self) -> Vec<String> {
        let faults = &self.config.faults;
        let net = &faults.net;
        let mut lines = vec![
            format!(
                "net loss={} duplicate={} reorder={} delay={} jitter={} paused={}",
                net.loss.as_percent(),
                net.duplicate.as_percent(),
                net.reorder.as_percent(),
                net.delay.as_millis(),
                net.jitter.as_millis(),
                super::info::boolean(net.paused),
            ),
            format!(
                "write chunk={} pause={}",
                faults.write.chunk,
                faults.write.pause.as_millis()
            ),
        ];
        for refusal in &faults.refusals {
            lines.push(format!(
                "refuse {} {} fail {}",
                refusal.command,
                refusal.words.join(" "),
                refusal.failure.join(" ")
            ));
        }
        for (name, value) in self.config.switches.settings() {
            lines.push(format!("switch {name}={value}"));
        }
        lines
    }
}

/// Reads a command that pretends something about a peer; `None` if its arguments are too many or
/// too few.
fn pretence(name: &str, args: &[&str]) -> Result<Option<Control>, Fail> {
    Ok(Some(match (name, args) {
        ("BROADCAST", [line]) => Control::Broadcast((*line).into()),
        ("KNOCK", [name, from]) => Control::Knock {
            name: (*name).into(),
            from: address(from)?,
        },
        ("MOVE", [peer, to]) => Control::Move {
            peer: (*peer).into(),
            to: address(to)?,
        },
        ("BYE", [peer]) => Control::Bye {
            peer: (*peer).into(),
        },
        ("SILENCE" | "WAKE", [peer]) => Control::Silence {
            peer: (*peer).into(),
            silent: name == "SILENCE",
        },
        ("SEND", [peer, text]) => Control::Packet {
            peer: (*peer).into(),
            packet: text.as_bytes().to_vec(),
        },
        _ => return Ok(None),
    }))
}

/// Reads the arguments of `REFUSE`; `None` if there are too few.
fn refusal(mut args: &[&str]) -> Result<Option<Refusal>, Fail> {
    let mut refusal = Refusal::of("", "");
    loop {
        args = match args {
            ["-with", word, rest @ ..] => {
                refusal.words.push((*word).into());
                rest
            }
            ["-times", times, rest @ ..] => {
                refusal.times = Some(number(times, times)?);
                rest
            }
            ["-detach", rest @ ..] => {
                refusal.detach = true;
                rest
            }
            [command, failure @ ..] if !failure.is_empty() => {
                refusal.command = (*command).into();
                refusal.failure = failure.iter().map(ToString::to_string).collect();
                return Ok(Some(refusal));
            }
            _ => return Ok(None),
        }
    }
}
