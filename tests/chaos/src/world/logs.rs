// SPDX-License-Identifier: GPL-3.0-or-later
//! The logs of the service: each goes through a pipe into a file, and the reader of the pipe can
//! pause, like a journal that hangs or a terminal that was stopped.
//!
//! ```text
//!   core, pinger, script helper --a pipe for each--> a thread, which may pause --> NAME.log
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::fcntl_setpipe_size;

/// The smallest pipe that the system has, so that a pause of some seconds fills it.
const PIPE: usize = 4096;

/// How often it is looked whether a pause is over, or everything.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One log.
#[derive(Debug)]
struct Log {
    writer: PipeWriter,
    paused_until: Arc<Mutex<Monotonic>>,
    thread: JoinHandle<()>,
}

/// All logs.
#[derive(Debug)]
pub(crate) struct Logs {
    logs: BTreeMap<&'static str, Log>,
    over: Arc<AtomicBool>,
    waited: Arc<AtomicU64>,
}

impl Logs {
    /// Begins to read logs of these names into files of the same names.
    pub(crate) fn start(directory: &Path, names: &[&'static str]) -> anyhow::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let waited = Arc::new(AtomicU64::new(0));
        let mut logs = BTreeMap::new();
        for name in names {
            let (reader, writer) = io::pipe()?;
            fcntl_setpipe_size(&writer, PIPE)?;
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true);
            let file = file.open(directory.join(name))?;
            let paused_until = Arc::new(Mutex::new(Monotonic::default()));
            let (pause, is_over) = (Arc::clone(&paused_until), Arc::clone(&over));
            let waits = Arc::clone(&waited);
            let thread = std::thread::spawn(move || copy(reader, file, &pause, &is_over, &waits));
            let log = Log {
                writer,
                paused_until,
                thread,
            };
            logs.insert(*name, log);
        }
        Ok(Logs { logs, over, waited })
    }

    /// Where a program writes, if there is such a log.
    pub(crate) fn writer(&self, name: &str) -> Option<io::Result<PipeWriter>> {
        self.logs.get(name).map(|log| log.writer.try_clone())
    }

    /// Nobody reads a log for so long. Whether somebody did until now.
    pub(crate) fn pause(&self, name: &str, time: Duration) -> bool {
        let Some(log) = self.logs.get(name) else {
            return false;
        };
        let now = clock::now();
        let mut until = lock(&log.paused_until);
        let was_read = *until <= now;
        if was_read {
            *until = now + time;
        }
        was_read
    }

    /// Whether a log is not read at present.
    pub(crate) fn is_any_paused(&self) -> bool {
        let now = clock::now();
        self.logs.values().any(|log| *lock(&log.paused_until) > now)
    }

    /// In how many of the pauses that are over something was written.
    pub(crate) fn waited(&self) -> u64 {
        self.waited.load(Ordering::Relaxed)
    }

    /// Ends all pauses.
    pub(crate) fn resume(&self) {
        for log in self.logs.values() {
            *lock(&log.paused_until) = Monotonic::default();
        }
    }

    /// Reads what the programs, which have all ended, have left in the pipes.
    pub(crate) fn finish(&mut self) {
        self.resume();
        self.over.store(true, Ordering::Relaxed);
        for (_, log) in std::mem::take(&mut self.logs) {
            // It has nothing to tell but what is in the file.
            let _ = log.thread.join();
        }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.finish();
    }
}

fn lock(until: &Mutex<Monotonic>) -> std::sync::MutexGuard<'_, Monotonic> {
    until.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Copies from the pipe to the file, but not in a pause. When all is over and nothing is left, it
/// ends.
fn copy(
    mut reader: PipeReader,
    mut file: File,
    until: &Mutex<Monotonic>,
    over: &AtomicBool,
    waited: &AtomicU64,
) {
    let (mut chunk, mut was_paused) = ([0; PIPE], false);
    loop {
        if *lock(until) > clock::now() {
            was_paused = true;
            std::thread::sleep(LOOK_EVERY);
            continue;
        }
        // Asked before it is looked for text: what was written before the end is found.
        let is_over = over.load(Ordering::Relaxed);
        let is_readable = is_readable(&reader);
        if std::mem::take(&mut was_paused) && matches!(is_readable, Ok(true)) {
            waited.fetch_add(1, Ordering::Relaxed);
        }
        match is_readable {
            Ok(true) => {}
            Ok(false) if is_over => return,
            Ok(false) => continue,
            Err(_) => return,
        }
        let Ok(count @ 1..) = reader.read(&mut chunk) else {
            return;
        };
        if file
            .write_all(chunk.get(..count).unwrap_or_default())
            .is_err()
        {
            return;
        }
    }
}

fn is_readable(reader: &PipeReader) -> io::Result<bool> {
    let mut descriptors = [PollFd::new(reader, PollFlags::IN)];
    let wait = Timespec::try_from(LOOK_EVERY).map_err(io::Error::other)?;
    match poll(&mut descriptors, Some(&wait)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_a_pause_is_in_the_file_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let mut logs = Logs::start(directory.path(), &["a.log"]).unwrap();
        assert!(logs.writer("b.log").is_none());
        let mut writer = logs.writer("a.log").unwrap().unwrap();
        writer.write_all(b"one\n").unwrap();
        assert!(logs.pause("a.log", Duration::from_secs(600)));
        assert!(!logs.pause("a.log", Duration::ZERO), "nobody reads it");
        assert!(logs.is_any_paused());
        writer.write_all(b"two\n").unwrap();
        drop(writer);
        logs.finish();
        let text = std::fs::read_to_string(directory.path().join("a.log"));
        assert_eq!(text.unwrap(), "one\ntwo\n");
    }
}
