// SPDX-License-Identifier: GPL-3.0-or-later
//! Lines that are written so that nobody waits for their reader.
//!
//! ```text
//!   any thread --line--> nothing waits, and the reader has room: written at once
//!        '-------------> [bounded queue] --> [a thread] --write(2), may wait--> reader
//! ```
//!
//! A reader can be a full pipe, a terminal that was stopped with Ctrl-S, or a journal that hangs.
//! What the queue has no room for is lost and counted, and the number is written in its place.
//! A line that is written at once wakes no thread, which would cost more than the line.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::threads;

/// How much waits to be written, at most: some ten thousand lines, which is a lot to read and
/// little memory.
const MAX_BYTES: usize = 1024 * 1024;

/// The queues of this process, for [`flush_all`].
static QUEUES: Mutex<Vec<LineQueue>> = Mutex::new(Vec::new());

/// How many lines of logs were lost in this process.
static LOG_LINES_LOST: AtomicU64 = AtomicU64::new(0);

/// How many lines of this process' log were lost since it started, because nobody read them or they
/// could not be written.
#[must_use]
pub fn log_lines_lost() -> u64 {
    LOG_LINES_LOST.load(Ordering::Relaxed)
}

/// A queue of lines, or of other entries of a log. Its clones are the same queue.
#[derive(Clone, Debug)]
pub struct LineQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Whether the lines are those of a log, so that it is counted how many were lost.
    is_log: bool,
    state: Mutex<State>,
    /// Locked by the thread while it writes, which may take long; by others for a moment, and only
    /// while `state` is locked and the thread writes nothing.
    sink: Mutex<Box<dyn Sink>>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// The size of `lines`.
    bytes: usize,
    /// How many lines came after `lines` and found no room.
    lost: u64,
    /// Whether the thread has taken lines that it has not written yet.
    writing: bool,
    /// How many lines were lost before those that it has taken, without a note in the output yet.
    untold: u64,
    /// Whether it has turned out that nothing can be written to the sink without waiting.
    never_at_once: bool,
}

/// Where the lines go, and how their loss is said there.
pub trait Sink: std::fmt::Debug + Send + 'static {
    /// Writes one line. This may wait for the reader.
    ///
    /// # Errors
    /// What the system says; the line counts as lost.
    fn write(&mut self, line: &[u8]) -> io::Result<()>;

    /// Writes as much of the line as can be written without waiting, and says how much that is.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if that is not known beforehand: it is not tried again.
    /// Anything else if there is no room now.
    fn write_at_once(&mut self, _line: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The line that says how many others were lost here.
    fn loss(&self, lines: u64) -> Vec<u8>;

    /// Whether the lines are those of a log.
    fn is_log(&self) -> bool {
        true
    }
}

impl LineQueue {
    /// A queue with a thread of its own that writes to `sink`.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start(name: &str, sink: impl Sink) -> io::Result<Self> {
        let queue = LineQueue(Arc::new(Shared {
            is_log: sink.is_log(),
            state: Mutex::default(),
            sink: Mutex::new(Box::new(sink)),
            changed: Condvar::new(),
        }));
        let of_thread = queue.clone();
        threads::start(name, move || of_thread.work())?;
        let mut queues = QUEUES.lock().unwrap_or_else(PoisonError::into_inner);
        queues.push(queue.clone());
        Ok(queue)
    }

    /// Hands over a line, with its newline. It is lost if there is no room. Never waits.
    pub fn put(&self, line: Vec<u8>) {
        let mut state = self.lock();
        let Some(line) = self.write_at_once(&mut state, line) else {
            return;
        };
        // Once a line is lost, so are those after it, until the thread has taken the lines before:
        // the number of lost lines stands in one place.
        let full = state.bytes + line.len() > MAX_BYTES && !state.lines.is_empty();
        if full || state.lost > 0 {
            state.lost += 1;
            self.0.count_lost();
        } else {
            state.push(line);
        }
        self.0.changed.notify_all();
    }

    /// Hands over one of the last lines of a program, for which there is always room.
    pub fn put_last(&self, line: Vec<u8>) {
        self.lock().push(line);
        self.0.changed.notify_all();
    }

    /// Waits until everything is written, at most until `deadline`.
    pub(crate) fn flush(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let unwritten = |state: &mut State| state.writing || !state.lines.is_empty();
        // Whether it was in time makes no difference to the caller.
        let _ = self
            .0
            .changed
            .wait_timeout_while(self.lock(), left, unwritten);
    }

    /// Writes a line if nothing waits. What cannot be written at once is returned.
    fn write_at_once(&self, state: &mut State, mut line: Vec<u8>) -> Option<Vec<u8>> {
        let waits = state.writing || !state.lines.is_empty() || state.lost + state.untold > 0;
        if waits || state.never_at_once {
            return Some(line);
        }
        let mut sink = self.0.sink.lock().unwrap_or_else(PoisonError::into_inner);
        match sink.write_at_once(&line) {
            Ok(written) if written >= line.len() => return None,
            Ok(written) => {
                line.drain(..written);
            }
            Err(error) => state.never_at_once = error.kind() == io::ErrorKind::Unsupported,
        }
        Some(line)
    }

    /// The thread: writes for ever, and so ends with the process.
    fn work(&self) {
        let mut untold = 0;
        loop {
            let (lines, lost) = self.take(untold);
            let mut sink = self.0.sink.lock().unwrap_or_else(PoisonError::into_inner);
            for line in lines {
                tell(&mut untold, sink.as_mut());
                if sink.write(&line).is_err() {
                    untold += 1;
                    self.0.count_lost();
                }
            }
            untold += lost;
            tell(&mut untold, sink.as_mut());
        }
    }

    /// Waits for lines, and takes them with the number of those lost after them. `untold` lines
    /// were lost before, without a note in the output yet.
    fn take(&self, untold: u64) -> (VecDeque<Vec<u8>>, u64) {
        let mut state = self.lock();
        state.writing = false;
        state.untold = untold;
        self.0.changed.notify_all();
        let idle = |state: &mut State| state.lines.is_empty();
        let waited = self.0.changed.wait_while(state, idle);
        state = waited.unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        state.bytes = 0;
        let lost = std::mem::take(&mut state.lost);
        (std::mem::take(&mut state.lines), lost)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half-way.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn count_lost(&self) {
        if self.is_log {
            LOG_LINES_LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl State {
    fn push(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }
}

/// Writes how many lines were lost, if there are some that were not told.
fn tell(untold: &mut u64, sink: &mut dyn Sink) {
    if *untold > 0 && sink.write(&sink.loss(*untold)).is_ok() {
        *untold = 0;
    }
}

/// Waits until all queues of this process are written, together at most for `limit`.
pub(crate) fn flush_all(limit: Duration) {
    let deadline = Instant::now() + limit;
    let queues = QUEUES.lock().unwrap_or_else(PoisonError::into_inner);
    for queue in queues.iter() {
        queue.flush(deadline);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, SyncSender};

    use super::*;

    /// Hands each line to a test, which decides when it counts as written.
    #[derive(Debug)]
    struct Slow {
        lines: SyncSender<String>,
        /// Whether this write fails.
        results: Receiver<bool>,
    }

    impl Sink for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<()> {
            let text = String::from_utf8_lossy(line).into_owned();
            self.lines.send(text).map_err(io::Error::other)?;
            match self.results.recv() {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(io::Error::other("disk full")),
            }
        }

        fn loss(&self, lines: u64) -> Vec<u8> {
            format!("{lines} lost").into_bytes()
        }
    }

    /// A queue, the lines as they are written, and the way to let them be written.
    fn slow() -> (LineQueue, Receiver<String>, mpsc::Sender<bool>) {
        let (lines, written) = mpsc::sync_channel(0);
        let (worked, results) = mpsc::channel();
        let queue = LineQueue::start("slow", Slow { lines, results }).unwrap();
        (queue, written, worked)
    }

    #[test]
    fn what_finds_no_room_is_lost_and_counted_where_it_would_have_stood() {
        let before = log_lines_lost();
        let (queue, written, worked) = slow();
        queue.put(b"first".to_vec());
        // The thread is writing now, and has taken nothing else.
        assert_eq!(written.recv().unwrap(), "first");
        queue.put(vec![b'x'; MAX_BYTES]);
        for _ in 0..1000 {
            queue.put(b"lost".to_vec());
        }
        // Other tests lose lines as well.
        assert!(log_lines_lost() >= before + 1000);
        queue.put_last(b"last".to_vec());
        for expected in ["xxx", "last", "1000 lost"] {
            worked.send(true).unwrap();
            assert!(written.recv().unwrap().starts_with(expected), "{expected}");
        }
        queue.put(b"next".to_vec());
        worked.send(true).unwrap();
        assert_eq!(written.recv().unwrap(), "next");
        worked.send(true).unwrap();
        queue.flush(Instant::now() + Duration::from_secs(60));
        let state = queue.lock();
        assert!(state.lines.is_empty() && !state.writing);
    }

    #[test]
    fn what_cannot_be_written_is_counted_too() {
        let (queue, written, worked) = slow();
        queue.put(b"one".to_vec());
        queue.put(b"two".to_vec());
        let mut story = Vec::new();
        for works in [false, false, true, true] {
            story.push(written.recv().unwrap());
            worked.send(works).unwrap();
        }
        // Whether both lines were taken at once or one after the other, the loss is told first.
        assert_eq!(story[0], "one");
        assert_eq!(story[1], "1 lost");
        assert!(story[2..].contains(&"1 lost".to_owned()), "{story:?}");
        assert!(story[2..].contains(&"two".to_owned()), "{story:?}");
    }

    /// Has room for this many bytes without waiting, and then for each line of the thread.
    #[derive(Clone, Debug)]
    struct Roomy(Arc<Mutex<(usize, Vec<String>)>>);

    impl Roomy {
        fn note(&mut self, by: &str, line: &[u8]) {
            let text = format!("{by}: {}", String::from_utf8_lossy(line));
            self.0.lock().unwrap().1.push(text);
        }
    }

    impl Sink for Roomy {
        fn write(&mut self, line: &[u8]) -> io::Result<()> {
            self.note("thread", line);
            Ok(())
        }

        fn write_at_once(&mut self, line: &[u8]) -> io::Result<usize> {
            let room = self.0.lock().unwrap().0.min(line.len());
            if room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0.lock().unwrap().0 -= room;
            self.note("at once", &line[..room]);
            Ok(room)
        }

        fn loss(&self, _lines: u64) -> Vec<u8> {
            Vec::new()
        }
    }

    #[test]
    fn what_has_room_is_written_at_once_and_the_rest_by_the_thread_in_order() {
        let sink = Roomy(Arc::new(Mutex::new((9, Vec::new()))));
        let queue = LineQueue::start("roomy", sink.clone()).unwrap();
        let all_is_written = || queue.flush(Instant::now() + Duration::from_secs(60));
        for line in ["one", "four", "seven", "ten"] {
            queue.put(line.as_bytes().to_vec());
            all_is_written();
        }
        let told = &sink.0.lock().unwrap().1;
        let expected = [
            "at once: one",
            "at once: four",
            "at once: se",
            "thread: ven",
            "thread: ten",
        ];
        assert_eq!(*told, expected);
    }

    #[test]
    fn a_line_that_nobody_reads_holds_up_no_end() {
        let (queue, written, _worked) = slow();
        queue.put(b"one".to_vec());
        assert_eq!(written.recv().unwrap(), "one");
        // Returns, although the line is never written.
        queue.flush(Instant::now());
        assert!(queue.lock().writing);
    }
}
