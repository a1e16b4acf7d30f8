// SPDX-License-Identifier: GPL-3.0-or-later
//! Broadcasts on request, who gets which, tracing, and going into the background (tripe-admin.md,
//! 3.8).

use super::args::Args;
use super::client::Watch;
use super::command::{Done, Outcome};
use super::fail::Fail;
use super::{ClientId, Server};

/// The letters of `WATCH` but the one for all.
const WATCH_LETTERS: [(char, &str); 3] = [
    ('t', "trace messages"),
    ('n', "asynchronous notifications"),
    ('w', "warnings"),
];

/// The letters of `TRACE` but the one for all.
const TRACE_LETTERS: [(char, &str); 9] = [
    ('t', "tunnel events"),
    ('r', "peer events"),
    ('a', "administration interface"),
    ('s', "handling of symmetric keysets"),
    ('x', "key exchange"),
    ('m', "key management"),
    ('l', "challenge handling"),
    ('p', "packet contents"),
    ('c', "crypto details"),
];

/// Which traces are made, as bits in the order of [`TRACE_LETTERS`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TraceFlags(u32);

/// Applies option letters to `flags`, whose bits stand in the order of `letters`. Gives the letter
/// that is unknown, if one is.
fn apply(options: &str, mut flags: u32, letters: &[(char, &str)]) -> Result<u32, char> {
    let all = (1_u32 << letters.len()) - 1;
    let mut on = true;
    for letter in options.chars() {
        let bits = match letter {
            '+' => {
                on = true;
                continue;
            }
            '-' => {
                on = false;
                continue;
            }
            'A' => all,
            _ => match letters.iter().position(|(known, _)| *known == letter) {
                Some(place) => 1 << place,
                None => return Err(letter),
            },
        };
        flags = if on { flags | bits } else { flags & !bits };
    }
    Ok(flags)
}

impl Watch {
    fn bits(self) -> u32 {
        u32::from(self.traces) | u32::from(self.notes) << 1 | u32::from(self.warnings) << 2
    }

    const fn from_bits(bits: u32) -> Self {
        Watch {
            traces: bits & 1 != 0,
            notes: bits & 2 != 0,
            warnings: bits & 4 != 0,
        }
    }
}

impl Server {
    /// Lists option letters with their state.
    fn show_letters(&mut self, client: ClientId, flags: u32, letters: &[(char, &str)]) {
        let all = (1_u32 << letters.len()) - 1;
        let rows = letters
            .iter()
            .enumerate()
            .map(|(place, (letter, help))| (*letter, flags & 1 << place != 0, *help))
            .chain([('A', flags == all, "all of the above")]);
        for (letter, on, help) in rows {
            let state = if on { '+' } else { ' ' };
            self.info(client, |line| {
                line.raw(format_args!("{letter}{state} {help}"))
            });
        }
    }

    pub(super) fn watch(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        let Some(state) = self.clients.get_mut(&client) else {
            return Ok(Done::Answered);
        };
        let flags = state.watch.bits();
        match args.get(0) {
            None | Some("?") => self.show_letters(client, flags, &WATCH_LETTERS),
            Some(options) => {
                let flags = apply(options, flags, &WATCH_LETTERS).map_err(Fail::BadWatchOption)?;
                state.watch = Watch::from_bits(flags);
            }
        }
        Ok(Done::Ok)
    }

    pub(super) fn trace_command(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        let flags = self.traces.0;
        match args.get(0) {
            None | Some("?") => self.show_letters(client, flags, &TRACE_LETTERS),
            Some(options) => {
                self.traces.0 =
                    apply(options, flags, &TRACE_LETTERS).map_err(Fail::BadTraceOption)?;
            }
        }
        Ok(Done::Ok)
    }

    /// Makes a trace if those of `letter` are on.
    pub(super) fn trace(&mut self, letter: char, text: impl FnOnce() -> String) {
        let place = TRACE_LETTERS.iter().position(|(known, _)| *known == letter);
        if place.is_some_and(|place| self.traces.0 & 1 << place != 0) {
            let line = self.line("TRACE").raw(text()).finish();
            self.broadcast(line, |watch| watch.traces);
        }
    }

    /// Traces a command.
    pub(super) fn trace_admin(&mut self, client: ClientId, line: &str) {
        self.trace('a', || format!("admin: client {client}: {line}"));
    }

    pub(super) fn user_note(&mut self, args: &Args<'_>) -> Outcome {
        let line = self.note_line("USER").words(args.rest());
        self.note(line);
        Ok(Done::Ok)
    }

    pub(super) fn user_warning(&mut self, args: &Args<'_>) -> Outcome {
        let line = self.warn_line("USER").words(args.rest());
        self.warn(line);
        Ok(Done::Ok)
    }

    /// `DAEMON`: the lab only says so; it stays where it was started.
    pub(super) fn become_daemon(&mut self) -> Outcome {
        if self.daemon {
            return Err(Fail::AlreadyDaemon);
        }
        self.daemon = true;
        let line = self.note_line("DAEMON");
        self.note(line);
        Ok(Done::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_applied_from_left_to_right() {
        for (options, before, after) in [
            ("n", 0, Ok(0b010)),
            ("+n", 0, Ok(0b010)),
            ("-A+nw", 0b001, Ok(0b110)),
            ("-A+w", 0b111, Ok(0b100)),
            ("A-t", 0, Ok(0b110)),
            ("", 0b101, Ok(0b101)),
            ("n+q", 0, Err('q')),
            ("N", 0, Err('N')),
        ] {
            assert_eq!(apply(options, before, &WATCH_LETTERS), after, "{options}");
        }
    }
}
