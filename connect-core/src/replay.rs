// SPDX-License-Identifier: GPL-3.0-or-later
//! Replays a recording: gives the same inputs to a new machine, and compares the outputs.
//!
//! ```text
//!   recording --Header--> new Machine
//!   recording --Entry---> [replay] --Input--> Machine --Output--> printed, compared
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{Envelope, Reply, Request};
use connect_runtime::exit::{Exit, Fatal};

use crate::machine::{ConnectionId, Input, Machine, Output};
use crate::recording::{Entry, Header, SCHEMA, Truncated};

/// For how long the machine is left alone between two steps of a status.
const MILLISECOND: Duration = Duration::from_millis(1);

/// The connection that requests the status at the end of a replay. No real one has this number.
const NOBODY: ConnectionId = ConnectionId(u64::MAX);

/// The command line of `connect-core replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayOptions {
    /// The recording.
    pub file: PathBuf,
    /// Stop this many seconds after the start of the recording, and print the status at that time.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub until: Option<Duration>,
    /// Print only the result, and the status if `--until` is given.
    #[arg(short, long)]
    pub quiet: bool,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds, such as 12.5".to_owned())
}

/// Runs `connect-core replay`.
///
/// # Errors
/// If the recording cannot be read, or the machine does not do what was recorded.
pub fn run(options: &ReplayOptions) -> Result<Exit, Fatal> {
    let mut out = std::io::stdout().lock();
    let ended = replay(&options.file, options.until, !options.quiet, &mut out).and_then(|report| {
        let written = write(&mut out, &report.to_string());
        let written = written.and_then(|()| Ok(out.flush().map_err(Unwritable)?));
        written.map_err(|error| Fatal::new(Exit::System, error))?;
        Ok(match report.difference {
            Some(_) => Exit::Failure,
            None => Exit::Success,
        })
    });
    ended.or_else(|fatal| match fatal.error.downcast_ref() {
        // The reader of the output has closed it.
        Some(Unwritable(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(Exit::Success),
        _ => Err(fatal),
    })
}

/// What the replay prints cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the output: {0}")]
struct Unwritable(std::io::Error);

/// The result of a replay.
#[derive(Debug)]
pub struct Report {
    /// How many inputs were replayed.
    pub inputs: u64,
    /// The time that they cover.
    pub recorded: Duration,
    /// The first difference from what was recorded.
    pub difference: Option<String>,
    /// Why the recording ends early, if it does.
    pub truncated: Option<String>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Report {
            inputs, recorded, ..
        } = self;
        write!(f, "{inputs} inputs of {recorded:.3?} replayed: ")?;
        match &self.difference {
            None => write!(f, "every output is as recorded")?,
            Some(difference) => write!(f, "{difference}")?,
        }
        match &self.truncated {
            None => Ok(()),
            Some(reason) => write!(f, "\nthe recording ends early: {reason}"),
        }
    }
}

/// Replays a recording up to the first difference, or up to `until` after its start, and prints
/// what happens to `out`.
///
/// # Errors
/// If the recording cannot be read or `out` cannot be written.
pub fn replay(
    path: &Path,
    until: Option<Duration>,
    verbose: bool,
    out: &mut impl Write,
) -> Result<Report, Fatal> {
    let file = File::open(path)
        .with_context(|| format!("cannot read the recording {}", path.display()))
        .map_err(|error| Fatal::new(Exit::System, error))?;
    replay_from(BufReader::new(file), until, verbose, out).map_err(|error| {
        if error.is::<Unwritable>() {
            return Fatal::new(Exit::System, error);
        }
        let error = error.context(format!("in the recording {}", path.display()));
        Fatal::new(Exit::Data, error)
    })
}

/// As [`replay`], with a recording that is read from anywhere.
///
/// # Errors
/// If it cannot be read or is malformed, or `out` cannot be written.
pub fn replay_from(
    recording: impl BufRead,
    until: Option<Duration>,
    verbose: bool,
    out: &mut impl Write,
) -> anyhow::Result<Report> {
    let mut replay = Replay {
        out,
        verbose,
        start: Monotonic(0),
        report: Report {
            inputs: 0,
            recorded: Duration::ZERO,
            difference: None,
            truncated: None,
        },
    };
    replay.lines(recording, until)?;
    Ok(replay.report)
}

/// What is printed of a text on one line. Recordings come from elsewhere: nothing in them may
/// control the terminal, nor look like another line.
fn clean(line: &str) -> String {
    let hidden = |c: char| c.is_control() || peerdb::is_invisible(c);
    line.replace(hidden, "\u{fffd}")
}

/// Writes a text on one line. All that is printed goes through this.
fn write_line(out: &mut impl Write, line: &str) -> anyhow::Result<()> {
    writeln!(out, "{}", clean(line)).map_err(Unwritable)?;
    Ok(())
}

/// Writes lines.
pub(crate) fn write(out: &mut impl Write, lines: &str) -> anyhow::Result<()> {
    lines.split('\n').try_for_each(|line| write_line(out, line))
}

struct Replay<'a, W> {
    out: &'a mut W,
    verbose: bool,
    start: Monotonic,
    report: Report,
}

impl<W: Write> Replay<'_, W> {
    fn lines(&mut self, recording: impl BufRead, until: Option<Duration>) -> anyhow::Result<()> {
        let mut lines = (1_u64..).zip(recording.split(b'\n')).peekable();
        let (_, first) = lines.next().context("it is empty")?;
        let header: Header =
            serde_json::from_slice(&first?).context("line 1 is not the header of a recording")?;
        anyhow::ensure!(
            header.schema == SCHEMA,
            "it has form {}, but this program reads form {SCHEMA}",
            header.schema
        );
        if header.version != env!("CARGO_PKG_VERSION") {
            let (then, now) = (&header.version, env!("CARGO_PKG_VERSION"));
            let line = format!(
                "recorded by version {then}, replayed by version {now}: outputs may differ"
            );
            write_line(self.out, &line)?;
        }
        self.start = header.config.started;
        let mut machine = Machine::new(header.config);
        while let Some((number, line)) = lines.next() {
            let line = line.with_context(|| format!("cannot read line {number}"))?;
            if line.starts_with(b"{\"truncated\"")
                && let Ok(Truncated { truncated }) = serde_json::from_slice(&line)
            {
                self.report.truncated = Some(clean(&truncated));
                break;
            }
            let entry: Entry<'_> = match serde_json::from_slice(&line) {
                Ok(entry) => entry,
                // A process that was killed leaves half a line at the end.
                Err(_) if lines.peek().is_none() => {
                    self.report.truncated = Some(format!("line {number} is incomplete"));
                    break;
                }
                Err(error) => return Err(error).with_context(|| format!("line {number}")),
            };
            let since = entry.at.since(self.start);
            if until.is_some_and(|until| since > until) {
                break;
            }
            self.entry(&mut machine, entry, since)?;
            if self.report.difference.is_some() {
                break;
            }
        }
        if let Some(until) = until {
            self.status(&mut machine, self.start + until)?;
        }
        Ok(())
    }

    /// Replays one input, prints it and its outputs, and compares.
    fn entry(
        &mut self,
        machine: &mut Machine,
        entry: Entry<'_>,
        since: Duration,
    ) -> anyhow::Result<()> {
        self.report.inputs += 1;
        self.report.recorded = since;
        if self.verbose && !matches!(entry.input, Input::EndOfTurn) {
            let input = match &entry.input {
                Input::ServerLine(line) => format!("server < {line}"),
                other => format!("input    {}", serde_json::to_string(other)?),
            };
            self.print(&format!("{:>12.6} {input}", since.as_secs_f64()))?;
        }
        let mut outputs = Vec::new();
        machine.handle(entry.input, entry.at, &mut outputs);
        for output in &outputs {
            self.print_output(output, since)?;
        }
        // Compared as text, since text was recorded and people compare text.
        let (recorded, now) = (
            serde_json::to_string(&entry.outputs)?,
            serde_json::to_string(&outputs)?,
        );
        if recorded != now {
            self.report.difference = Some(format!(
                "input {} at {:.6} s has another outcome\nrecorded: {recorded}\nreplayed: {now}",
                self.report.inputs,
                since.as_secs_f64()
            ));
        }
        Ok(())
    }

    fn print_output(&mut self, output: &Output, since: Duration) -> anyhow::Result<()> {
        let seconds = since.as_secs_f64();
        if let Output::ServerLines(lines) = output {
            for line in tripe_admin::bytes::decode(lines).lines() {
                self.print(&format!("{seconds:>12.6} server > {line}"))?;
            }
            return Ok(());
        }
        let text = serde_json::to_string(output)?;
        self.print(&format!("{seconds:>12.6} output   {text}"))
    }

    /// Prints the status as an operator would get it.
    fn status(&mut self, machine: &mut Machine, now: Monotonic) -> anyhow::Result<()> {
        let request = Input::Request {
            connection: NOBODY,
            by: "replay".into(),
            user: None,
            envelope: Envelope {
                id: 0,
                request: Request::Status {},
            },
        };
        let mut outputs = Vec::new();
        machine.handle(request, now, &mut outputs);
        // The rows are made in steps, each after the reader has read what came before.
        let mut now = now;
        loop {
            for output in outputs.drain(..) {
                let reply = match output {
                    Output::Answer(NOBODY, answer) => answer.reply,
                    Output::Rows { to, rows, .. } if to.iter().any(|(of, _)| *of == NOBODY) => {
                        Reply::Peers(rows)
                    }
                    _ => continue,
                };
                if reply.is_final() {
                    return Ok(());
                }
                let text = serde_json::to_string_pretty(&reply)?;
                write(self.out, &text)?;
            }
            machine.handle(Input::Drained(NOBODY), now, &mut Vec::new());
            machine.handle(Input::EndOfTurn, now, &mut outputs);
            now = now + MILLISECOND;
        }
    }

    fn print(&mut self, line: &str) -> anyhow::Result<()> {
        if self.verbose {
            write_line(self.out, line)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_recording_controls_the_terminal_or_looks_like_another_line() {
        let odd = "a\\u001b[2J\\nb\u{9b}\u{202e}\u{7f}";
        let config = r#"{"version":"2","boot":null,"pid":1,"socket":"s","database":"d","startup":false,"ping":"transport","script-limit":null,"hooks":{},"exit-on-disconnect":false,"server-wait":null,"started":0}"#;
        let recording = format!(
            "{{\"schema\":1,\"version\":\"{odd}\",\"config\":{config}}}\n\
             {{\"at\":1,\"input\":{{\"server-line\":\"{odd}\"}}}}\n\
             {{\"at\":2,\"input\":{{\"server-lost\":{{\"reason\":\"{odd}\"}}}}}}\n\
             {{\"truncated\":\"{odd}\"}}\n"
        );
        let mut out = Vec::new();
        let until = Some(Duration::from_secs(1));
        let report = replay_from(recording.as_bytes(), until, true, &mut out).unwrap();
        write(&mut out, &report.to_string()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let hidden = |c: char| c != '\n' && (c.is_control() || peerdb::is_invisible(c));
        assert!(!text.contains(hidden), "{text:?}");
        let shown = "a\u{fffd}[2J\u{fffd}b\u{fffd}\u{fffd}\u{fffd}";
        for line in [
            format!("recorded by version {shown}, "),
            format!("server < {shown}\n"),
            format!("the recording ends early: {shown}\n"),
        ] {
            assert!(text.contains(&line), "{line:?} in {text:?}");
        }
    }
}
