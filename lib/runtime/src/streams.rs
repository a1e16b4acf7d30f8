// SPDX-License-Identifier: GPL-3.0-or-later
//! Standard output and standard error of a service, which are written to without waiting for their
//! readers.

use std::io::{self, IoSlice, IsTerminal as _};
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ReadWriteFlags, pwritev2, write};
use rustix::stdio;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use crate::line_queue::{LineQueue, Sink, flush_all};
use crate::log_text;

/// How long the last lines of a program may take. A reader needs some milliseconds; one that has
/// not read for a second does not read at all.
const EXIT_LIMIT: Duration = Duration::from_secs(1);

/// The streams.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    /// Standard output, for the trace of `--debug`.
    Out,
    /// Standard error, for the log.
    Err,
}

impl Stream {
    /// Writes a line, to which it adds the newline. It is lost, and counted, if nobody reads what
    /// was written before. On a terminal the trace is escaped: what it shows comes from others.
    pub fn line(self, mut line: String) {
        if self == Stream::Out && self.descriptor().is_terminal() {
            line = log_text::one_line(&line);
        }
        line.push('\n');
        self.bytes(line.into_bytes());
    }

    fn bytes(self, line: Vec<u8>) {
        match self.queue() {
            Some(queue) => queue.put(line),
            None => self.write_waiting(&line),
        }
    }

    /// Writes the last line of a program, for which there is always room, and waits at most a
    /// second until all that was written before has left as well.
    pub fn last_line(self, mut line: String) {
        line.push('\n');
        match self.queue() {
            Some(queue) => queue.put_last(line.into_bytes()),
            None => self.write_waiting(line.as_bytes()),
        }
        flush();
    }

    /// The stream's queue; `None` if there was no thread for it.
    fn queue(self) -> Option<&'static LineQueue> {
        static OUT: OnceLock<Option<LineQueue>> = OnceLock::new();
        static ERR: OnceLock<Option<LineQueue>> = OnceLock::new();
        let (queue, name) = match self {
            Stream::Out => (&OUT, "trace"),
            Stream::Err => (&ERR, "log"),
        };
        queue
            .get_or_init(|| LineQueue::start(name, self).ok())
            .as_ref()
    }

    fn descriptor(self) -> BorrowedFd<'static> {
        match self {
            Stream::Out => stdio::stdout(),
            Stream::Err => stdio::stderr(),
        }
    }

    /// Writes on this thread, and waits for the reader, since no other thread could be started.
    fn write_waiting(mut self, line: &[u8]) {
        // If the stream is closed the line is lost, which must not be a second fault.
        let _ = self.write(line);
    }
}

impl Sink for Stream {
    fn write(&mut self, mut line: &[u8]) -> io::Result<()> {
        // Not through the standard library's streams: their lock would be held while this waits,
        // and whoever else prints would wait for it.
        let descriptor = self.descriptor();
        while !line.is_empty() {
            match write(descriptor, line) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => line = line.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                // Another process that has the stream may have made it non-blocking.
                Err(Errno::AGAIN) => {
                    poll(&mut [PollFd::new(&descriptor, PollFlags::OUT)], None)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn write_at_once(&mut self, line: &[u8]) -> io::Result<usize> {
        // At the descriptor's own position, if it has one.
        const HERE: u64 = u64::MAX;
        let flags = ReadWriteFlags::NOWAIT;
        match pwritev2(self.descriptor(), &[IoSlice::new(line)], HERE, flags) {
            Ok(written) => Ok(written),
            // Full.
            Err(Errno::AGAIN | Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
            // Files and terminals, and pipes before Linux 6.4, do not support this. Any other error
            // is met by the thread again.
            Err(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn loss(&self, lines: u64) -> Vec<u8> {
        let text = match self {
            Stream::Out => format!("! {lines} lines lost: standard output was not read\n"),
            Stream::Err => {
                let mut time = String::new();
                // The line is useful without its time too.
                let _ = SystemTime.format_time(&mut Writer::new(&mut time));
                format!("{time}  WARN {}\n", loss(lines, "standard error"))
            }
        };
        text.into_bytes()
    }

    fn is_log(&self) -> bool {
        *self == Stream::Err
    }
}

/// The sentence that says that lines of a log were lost.
pub(crate) fn loss(lines: u64, reader: &str) -> String {
    format!("{lines} lines of the log lost here: {reader} was not read, or could not be written to")
}

/// Waits at most a second until all that was written has left. To be called at the end of a
/// program, since the threads that write end with it.
pub fn flush() {
    flush_all(EXIT_LIMIT);
}

/// Standard error as `tracing_subscriber` writes to it: a whole line at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        Stream::Err.bytes(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
