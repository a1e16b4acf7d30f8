// SPDX-License-Identifier: GPL-3.0-or-later
//! The recorder: every input of the machine, its time, and its outputs, as JSON lines in a file.
//!
//! ```text
//!   event loop --input, outputs--> [Recorder] --bounded queue--> [a thread] --> file
//! ```
//!
//! The first line names the form and holds the machine's [`Config`]; each further line is an
//! [`Entry`]. Challenges are replaced by other words of the same length. A disk that is too slow
//! ends the recording, not the service, and the last line says so.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use connect_ipc::clock::Monotonic;
use connect_runtime::threads;
use serde::{Deserialize, Serialize};

use crate::machine::{Config, Input, Output};
use crate::secrets::Secrets;

/// The number of the form. It is raised when an old reader would misunderstand a new writer.
pub const SCHEMA: u32 = 1;

/// How long the end of core waits for the disk.
const END_LIMIT: Duration = Duration::from_secs(3);

/// How many recordings of one name there may be.
const MOST: u32 = 1_000;

/// How many lines may wait for the disk.
const QUEUE: usize = 16_384;

/// The first line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of the program.
    pub version: String,
    /// What does not change while core runs.
    pub config: Config,
}

/// One input and its outputs.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry<'a> {
    /// When, on the monotonic clock.
    pub at: Monotonic,
    /// What happened.
    #[serde(borrow)]
    pub input: Input<'a>,
    /// What was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
}

/// An entry as it is written: both parts are text already.
#[derive(Serialize)]
struct Written<'a> {
    at: Monotonic,
    input: &'a serde_json::value::RawValue,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    outputs: &'a [Output],
}

/// The last line of a recording that ended early.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Truncated {
    /// Why.
    pub truncated: String,
}

/// A recording under way.
#[derive(Debug)]
pub struct Recorder {
    lines: Option<SyncSender<String>>,
    /// Whether lines were lost because the disk was too slow.
    overrun: Arc<AtomicBool>,
    /// Closed when everything was written.
    written: Receiver<()>,
}

impl Recorder {
    /// Begins a recording in a new file that only the owner may read. If there is a file of that
    /// name, a number is added: a service that is started again must not fail because of its last
    /// recording.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path, config: &Config) -> anyhow::Result<Self> {
        let (path, file) = new_file(path)?;
        let header = Header {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: config.clone(),
        };
        let mut file = BufWriter::new(file);
        serde_json::to_writer(&mut file, &header)
            .map_err(std::io::Error::from)
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.flush())
            .with_context(|| format!("cannot write to {}", path.display()))?;
        tracing::info!(path = %path.display(), "recording every input of core");
        let (lines, queue) = sync_channel(QUEUE);
        let shown = path.display().to_string();
        let overrun = Arc::new(AtomicBool::new(false));
        let has_overrun = Arc::clone(&overrun);
        let (writing, written) = sync_channel(0);
        threads::start("recorder", move || {
            let _writing: SyncSender<()> = writing;
            if let Err(error) = write(file, &queue, &has_overrun) {
                tracing::error!(%error, path = shown, "cannot write the recording; not recording \
                                                       any more");
            }
        })
        .context("cannot start the thread that writes the recording")?;
        Ok(Recorder {
            lines: Some(lines),
            overrun,
            written,
        })
    }

    /// The text of an input, which the machine is about to consume.
    #[must_use]
    pub fn input(&self, input: &Input<'_>) -> Option<Box<serde_json::value::RawValue>> {
        self.lines.as_ref()?;
        serde_json::value::to_raw_value(input).ok()
    }

    /// Records an input and its outputs.
    pub fn record(
        &mut self,
        at: Monotonic,
        input: &serde_json::value::RawValue,
        outputs: &[Output],
        secrets: &Secrets,
    ) {
        let Some(lines) = &self.lines else { return };
        let Some(line) = line(at, input, outputs, secrets) else {
            return;
        };
        match lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                tracing::error!("the disk is too slow for the recording; not recording any more");
                self.overrun.store(true, Ordering::Release);
                self.lines = None;
            }
            // The thread has logged why.
            Err(TrySendError::Disconnected(_)) => self.lines = None,
        }
    }
}

/// An input and its outputs as one line of a recording; `None` if it has no form in JSON.
#[must_use]
pub fn line(
    at: Monotonic,
    input: &serde_json::value::RawValue,
    outputs: &[Output],
    secrets: &Secrets,
) -> Option<String> {
    let line = serde_json::to_string(&Written { at, input, outputs }).ok()?;
    Some(secrets.mask(&line).into_owned())
}

impl Drop for Recorder {
    /// Waits until everything is written, but not for a disk that hangs.
    fn drop(&mut self) {
        self.lines = None;
        // The thread sends nothing: it ends, or the time is over.
        let _ = self.written.recv_timeout(END_LIMIT);
    }
}

/// Makes a file of this name, or of this name with a number if there is a file already.
fn new_file(wanted: &Path) -> anyhow::Result<(PathBuf, File)> {
    let mut path = wanted.to_owned();
    for number in 1..=MOST {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match made {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_file() => {
                path = PathBuf::from(format!("{}.{number}", wanted.display()));
            }
            made => {
                let file = made.with_context(|| {
                    format!(
                        "cannot create the recording {}; --record needs the name of a file",
                        path.display()
                    )
                })?;
                return Ok((path, file));
            }
        }
    }
    anyhow::bail!(
        "there are {MOST} recordings of the name {}",
        wanted.display()
    )
}

/// Writes lines until there will be no more.
fn write(
    mut file: BufWriter<File>,
    queue: &Receiver<String>,
    overrun: &AtomicBool,
) -> std::io::Result<()> {
    loop {
        // Whenever there is nothing more to write, everything recorded is in the file.
        let line = match queue.try_recv() {
            Ok(line) => line,
            Err(_) => {
                file.flush()?;
                match queue.recv() {
                    Ok(line) => line,
                    Err(_) => break,
                }
            }
        };
        writeln!(file, "{line}")?;
    }
    if overrun.load(Ordering::Acquire) {
        let last = Truncated {
            truncated: "the disk was too slow".to_owned(),
        };
        writeln!(file, "{}", serde_json::to_string(&last)?)?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::replay;
    use connect_policy::hooks::DefaultHooks;
    use connect_policy::pinging::PingKind;

    fn config() -> Config {
        Config {
            version: "9".to_owned(),
            boot: None,
            pid: 1,
            socket: "tripesock".into(),
            database: "peers.cdb".into(),
            startup: false,
            ping: PingKind::Transport,
            script_limit: None,
            hooks: DefaultHooks::default(),
            exit_on_disconnect: false,
            server_wait: None,
            started: Monotonic(1_000_000_000),
        }
    }

    /// Records these inputs, a second apart, in `path`.
    fn record(path: &Path, inputs: Vec<Input<'static>>) {
        let mut machine = crate::machine::Machine::new(config());
        let mut recorder = Recorder::create(path, &config()).unwrap();
        let mut secrets = Secrets::default();
        let mut now = config().started;
        for input in inputs {
            now = now + Duration::from_secs(1);
            let written = recorder.input(&input).unwrap();
            let mut outputs = Vec::new();
            machine.handle(input, now, &mut outputs);
            for output in &outputs {
                if let Output::Secret(secret) = output {
                    secrets.learn(secret);
                }
            }
            recorder.record(now, &written, &outputs, &secrets);
        }
    }

    fn a_passive_command() -> Vec<Input<'static>> {
        let line = |text: &'static str| Input::ServerLine(text.into());
        let database = peerdb::Database::from_parts(
            [peerdb::Record::new("p", [("peer", "PASSIVE")])],
            [("u".to_owned(), "p".to_owned())],
            [],
        );
        vec![
            Input::Database(Ok(database).into()),
            Input::ServerConnected { run: None },
            line("OK"),
            line("OK"),
            line("OK"),
            line("SVCJOB J1 connect passive u"),
            line("INFO QUFBQUFBQUFBQUFBQUFB"),
            line("OK"),
            Input::EndOfTurn,
            line("NOTE GREET QUFBQUFBQUFBQUFBQUFB INET 192.0.2.1 1"),
            Input::EndOfTurn,
        ]
    }

    fn replayed(path: &Path) -> (String, Option<String>) {
        let mut out = Vec::new();
        let report = replay(path, None, true, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), report.difference)
    }

    #[test]
    fn a_recording_replays_to_the_same_outputs_and_shows_no_challenge() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording");
        record(&path, a_passive_command());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("QUFBQUFB"), "{text}");
        let (printed, difference) = replayed(&path);
        assert_eq!(difference, None);
        for line in [
            "6.000000 server < SVCJOB J1 connect passive u",
            "9.000000 server > SVCINFO J1 challenge00000000001",
            "11.000000 server > ADD -background c0.0 p INET 192.0.2.1 1",
        ] {
            assert!(printed.contains(line), "{printed}");
        }
    }

    #[test]
    fn another_outcome_is_shown_and_half_a_line_ends_the_replay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording");
        record(&path, a_passive_command());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("GETCHAL", "GETCHAOS")).unwrap();
        let (_, difference) = replayed(&path);
        assert!(difference.unwrap().contains("has another outcome"));
        std::fs::write(&path, &text[..text.len() - 20]).unwrap();
        let report = replay(&path, None, false, &mut Vec::new()).unwrap();
        assert_eq!(report.difference, None);
        let last = format!("line {} is incomplete", a_passive_command().len() + 1);
        assert_eq!(report.truncated, Some(last));
    }

    #[test]
    fn what_cannot_be_read_or_written_is_told_apart_from_what_is_no_recording() {
        use connect_runtime::exit::Exit;
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording");
        let exit = |path: &Path, out: &mut dyn Write| {
            let mut out = out;
            replay(path, None, true, &mut out).unwrap_err().exit
        };
        assert_eq!(exit(&path, &mut Vec::new()), Exit::System);
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(exit(&path, &mut Vec::new()), Exit::Data);
        std::fs::remove_file(&path).unwrap();
        record(&path, a_passive_command());
        let mut no_room: &mut [u8] = &mut [];
        assert_eq!(exit(&path, &mut no_room), Exit::System);
    }

    #[test]
    fn a_file_that_is_there_already_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording");
        std::fs::write(&path, "mine").unwrap();
        record(&path, a_passive_command());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        let (_, difference) = replayed(&dir.path().join("recording.1"));
        assert_eq!(difference, None);
        let error = Recorder::create(dir.path(), &config()).unwrap_err();
        assert!(format!("{error:#}").contains("needs the name of a file"));
    }
}
