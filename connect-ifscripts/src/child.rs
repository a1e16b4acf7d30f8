// SPDX-License-Identifier: GPL-3.0-or-later
//! The task for one child: it reads what the child writes, sends it signals and reaps it. It does
//! the same for a child of an earlier helper, except that another process reaps that one.
//!
//! ```text
//!             Action: terminate, kill, close the output
//!   service ---------------------------------> [attend] <--- stdout, stderr, exit of the child
//!           <---------------------------------
//!             Input: said, reaped, closed
//! ```
//!
//! Only this task signals and reaps its child, so no signal is ever sent to a process number that
//! the child no longer has. A child of an earlier helper may have ended just before a signal is
//! sent. But the system does not use a number again before it has used all others.
//!
//! When the service drops its end of the channel to the task, the task stops: it passes on what it
//! has read, and leaves the rest in the pipes for the next helper.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::Pin;
use std::process::{self, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::scripts::{Ended, FromScripts, Stream};
use connect_runtime::pidfd::Watched;
use rustix::io::{Errno, ioctl_fionread};
use rustix::process::Signal;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::warn;

use crate::lines::Cutter;
use crate::machine::{Action, Input};
use crate::pipes::{self, Held};

/// How much is read at once: the size of a pipe, so that one read takes all that is there, and then
/// it is the turn of other children.
const READ_SIZE: usize = 64 * 1024;

/// How long to wait before trying again to reap a child that has ended but cannot be reaped yet.
const REAP_AGAIN: Duration = Duration::from_millis(10);

thread_local! {
    /// One buffer for all reads, since no two happen at the same time: a child that writes nothing
    /// costs no memory.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into());
}

/// How much output of a script may stay in its pipe, for the next helper, when nobody receives any
/// more what this helper reads. The rest of the pipe is room for the script, so that it need not
/// wait.
const LEFT: u64 = READ_SIZE as u64 / 2;

/// How long a helper that leaves output in a pipe waits before it checks again how much there is.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A child with all that its task needs.
pub(crate) struct Attended {
    pub(crate) process: Process,
    pub(crate) watched: Watched,
    pub(crate) pipes: pipes::Found,
    pub(crate) held: Held,
}

/// Whose child it is.
pub(crate) enum Process {
    /// Ours.
    Own(process::Child),
    /// An earlier helper's: nobody can say how it ends.
    Adopted,
}

impl Process {
    /// How it has ended, if it has ended and the status is known.
    fn status_if_ended(&mut self) -> Option<Ended> {
        match self {
            Process::Own(child) => child.try_wait().ok().flatten().map(describe),
            Process::Adopted => None,
        }
    }
}

/// Serves a child until its last pipe is closed, or until the service drops the channel.
pub(crate) async fn attend(attended: Attended, mut actions: Actions, report: Report) {
    let Attended {
        mut process,
        watched,
        pipes,
        held,
    } = attended;
    let mut streams = Streams {
        stdout: ChildStream::new(Stream::Stdout, pipes.stdout),
        stderr: ChildStream::new(Stream::Stderr, pipes.stderr),
    };
    let unread = streams.closed();
    let ended = until_ended(
        &mut process,
        (&watched, &held),
        &mut actions,
        &mut streams,
        &report,
    );
    let Some(end) = ended.await else {
        return streams.leave(&report).await;
    };
    drop(watched);
    // Everything that the child itself has written is in the pipes by now.
    streams.stdout.drain(&report).await;
    streams.stderr.drain(&report).await;
    let (run, open) = (report.run, streams.is_open());
    report.send(Input::Reaped { run, end, open }).await;
    // Only now: a pipe that cannot be read does not show what the script has written.
    let eof = |stream| FromScripts::Eof { run, stream };
    report.said(unread.into_iter().map(eof).collect()).await;
    if !open {
        return;
    }
    while streams.is_open() {
        let Streams { stdout, stderr } = &mut streams;
        tokio::select! {
            action = actions.next() => match action {
                Some(Action::CloseOutput) => break,
                Some(Action::Terminate | Action::Kill) => {}
                None => return streams.leave(&report).await,
            },
            read = stdout.read(&report) => stdout.pass_on(read, &report).await,
            read = stderr.read(&report) => stderr.pass_on(read, &report).await,
        }
    }
    streams.stdout.close(&report).await;
    streams.stderr.close(&report).await;
    report.send(Input::Closed { run }).await;
}

/// Reads, and sends signals, until the child has ended, and reaps it. `None` if the service drops
/// the channel before that.
async fn until_ended(
    process: &mut Process,
    (watched, held): (&Watched, &Held),
    actions: &mut Actions,
    streams: &mut Streams,
    report: &Report,
) -> Option<Ended> {
    let (mut exited, mut terminated, mut killed) = (false, false, false);
    loop {
        let Streams { stdout, stderr } = streams;
        tokio::select! {
            () = watched.ended(), if !exited => {
                exited = true;
                // From here on an open pipe means that another process has it.
                held.release();
            }
            action = actions.next() => match action {
                Some(Action::Terminate) => {
                    report.signal(watched, Signal::TERM);
                    terminated = true;
                }
                Some(Action::Kill) => {
                    report.signal(watched, Signal::KILL);
                    killed = true;
                }
                Some(Action::CloseOutput) => {}
                None => return process.status_if_ended(),
            },
            read = stdout.read(report) => stdout.pass_on(read, report).await,
            read = stderr.read(report) => stderr.pass_on(read, report).await,
        }
        if !exited {
            continue;
        }
        let Process::Own(child) = process else {
            return Some(Ended::Lost);
        };
        // The child ended at TERM, but another process of its group may still run: a process that
        // has a pipe open may belong to the group. Until the child is reaped, its number names this
        // group only, so the KILL that follows after the grace time goes to the right group.
        let wait_for_group = terminated && !killed && streams.is_open();
        if !wait_for_group {
            match child.try_wait() {
                Ok(Some(status)) => return Some(describe(status)),
                // A debugger has to release it first.
                Ok(None) => {
                    sleep(REAP_AGAIN).await;
                    exited = false;
                }
                Err(error) => {
                    let run = report.run.0;
                    warn!(run, %error, "cannot get the status of a script");
                    return Some(Ended::Lost);
                }
            }
        }
    }
}

fn describe(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, Some(signal)) => Ended::Signal(signal),
        (None, None) => Ended::Unknown(status.into_raw().cast_unsigned()),
    }
}

/// The receiving end of what is to be done to a child: the last [`Action`] counts.
pub(crate) struct Actions(pub(crate) watch::Receiver<Option<Action>>);

impl Actions {
    /// The next action; `None` once the service has dropped its end. Cancel safe.
    async fn next(&mut self) -> Option<Action> {
        while self.0.changed().await.is_ok() {
            if let Some(action) = *self.0.borrow_and_update() {
                return Some(action);
            }
        }
        None
    }
}

/// The sending end of the channel to the service.
pub(crate) struct Report {
    pub(crate) run: RunId,
    pub(crate) inputs: mpsc::Sender<Input>,
    /// Whether nobody receives what is read, now or later: see [`LEFT`].
    pub(crate) unheard: Arc<AtomicBool>,
}

impl Report {
    /// Sends the child and its group a signal, or logs that we may not.
    fn signal(&self, watched: &Watched, signal: Signal) {
        if let Err(error) = watched.signal(signal) {
            warn!(
                run = self.run.0,
                pid = watched.pid(),
                ?signal,
                %error,
                "cannot end a script that runs as another user: end it as that user or as root; \
                 to let connect-ifscripts do that, give it the capability CAP_KILL"
            );
        }
    }

    /// Whether the contents of a pipe are to stay in it.
    fn leaves(&self, pipe: &Receiver) -> bool {
        // An empty pipe that can be read is at its end.
        self.unheard.load(Ordering::Relaxed) && matches!(ioctl_fionread(pipe), Ok(1..=LEFT))
    }

    async fn said(&self, messages: Vec<FromScripts>) {
        if !messages.is_empty() {
            self.send(Input::Said(messages)).await;
        }
    }

    async fn send(&self, input: Input) {
        // The service ends only with the whole process.
        let _ = self.inputs.send(input).await;
    }
}

/// What one read returned.
#[derive(Debug, Default)]
struct Read {
    lines: Vec<String>,
    eof: bool,
    /// The buffer is full, so there is probably more to read.
    full: bool,
}

/// Both streams of the child.
struct Streams {
    stdout: ChildStream,
    stderr: ChildStream,
}

impl Streams {
    const fn is_open(&self) -> bool {
        self.stdout.is_open() || self.stderr.is_open()
    }

    /// Those that are not read, or have ended.
    fn closed(&self) -> Vec<Stream> {
        let streams = [&self.stdout, &self.stderr].into_iter();
        let closed = streams.filter(|stream| !stream.is_open());
        closed.map(|stream| stream.stream).collect()
    }

    /// Stops reading, and passes on incomplete lines.
    async fn leave(&mut self, report: &Report) {
        self.stdout.leave(report).await;
        self.stderr.leave(report).await;
    }
}

/// One stream of the child.
struct ChildStream {
    stream: Stream,
    /// `None` after its end, or if it cannot be read.
    pipe: Option<Receiver>,
    cutter: Cutter,
}

impl ChildStream {
    const fn new(stream: Stream, pipe: Option<Receiver>) -> Self {
        ChildStream {
            stream,
            pipe,
            cutter: Cutter::new(),
        }
    }

    const fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Waits until there is something to read and reads it. Waits forever once the stream has
    /// ended. Cancel safe: there is no await after the read.
    async fn read(&mut self, report: &Report) -> Read {
        let Some(pipe) = &mut self.pipe else {
            return pending().await;
        };
        let mut read = Read::default();
        loop {
            let length = poll_fn(|cx| {
                ready!(pipe.poll_read_ready(cx))?;
                if report.leaves(pipe) {
                    return Poll::Ready(io::Result::Ok(None));
                }
                BUFFER.with_borrow_mut(|buffer| {
                    let mut buffer = ReadBuf::new(buffer);
                    ready!(Pin::new(&mut *pipe).poll_read(cx, &mut buffer))?;
                    self.cutter.feed(buffer.filled(), &mut read.lines);
                    Poll::Ready(Ok(Some(buffer.filled().len())))
                })
            });
            match length.await {
                Ok(Some(length)) => {
                    read.eof = length == 0;
                    read.full = length == READ_SIZE;
                }
                Ok(None) => {
                    sleep(LOOK_AGAIN).await;
                    continue;
                }
                Err(error) => {
                    warn!(run = report.run.0, %error, "cannot read the output of a script");
                    read.eof = true;
                }
            }
            return read;
        }
    }

    /// Passes on to the service what was read.
    async fn pass_on(&mut self, read: Read, report: &Report) {
        self.send_lines(read.lines, report).await;
        if read.eof {
            self.close(report).await;
        } else if read.full {
            // A child that writes without end must not delay the others.
            tokio::task::yield_now().await;
        }
    }

    /// Reads what is in the pipe at this moment, without waiting for more.
    async fn drain(&mut self, report: &Report) {
        let Some(pipe) = &self.pipe else {
            return;
        };
        let mut lines = Vec::new();
        // A process that still writes must not keep us in this loop, so only what is there now is
        // read. Usually the first read finds the end, and the amount need not be asked for.
        let mut there = None;
        let eof = loop {
            match read_now(pipe, &mut self.cutter, &mut lines) {
                Ok(0) => break true,
                Ok(length) => {
                    let left = match there {
                        None => Some(ioctl_fionread(pipe).unwrap_or(0)),
                        Some(there) => u64::checked_sub(there, length as u64),
                    };
                    if left.is_none() {
                        break false;
                    }
                    there = left;
                }
                Err(Errno::INTR) => {}
                Err(_) => break false,
            }
        };
        if !eof {
            // The child that wrote the last line has ended, so that line will not grow.
            self.cutter.finish(&mut lines);
        }
        self.send_lines(lines, report).await;
        if eof {
            self.close(report).await;
        } else {
            self.send_dropped(report).await;
        }
    }

    /// Stops reading, and passes on what was read.
    async fn leave(&mut self, report: &Report) {
        self.pipe = None;
        let mut lines = Vec::new();
        self.cutter.finish(&mut lines);
        self.send_lines(lines, report).await;
        self.send_dropped(report).await;
    }

    /// Ends the stream, and tells the service.
    async fn close(&mut self, report: &Report) {
        if self.pipe.is_none() {
            return;
        }
        self.leave(report).await;
        let (run, stream) = (report.run, self.stream);
        report.said(vec![FromScripts::Eof { run, stream }]).await;
    }

    async fn send_lines(&self, lines: Vec<String>, report: &Report) {
        let (run, stream) = (report.run, self.stream);
        let output = |line| FromScripts::Output { run, stream, line };
        report.said(lines.into_iter().map(output).collect()).await;
    }

    async fn send_dropped(&mut self, report: &Report) {
        let (run, stream) = (report.run, self.stream);
        let lines = self.cutter.take_dropped();
        if lines > 0 {
            let dropped = FromScripts::Dropped { run, stream, lines };
            report.said(vec![dropped]).await;
        }
    }
}

/// Reads what is there without waiting, and cuts it into lines.
fn read_now(pipe: &Receiver, cutter: &mut Cutter, lines: &mut Vec<String>) -> Result<usize, Errno> {
    BUFFER.with_borrow_mut(|buffer| {
        let length = rustix::io::read(pipe, &mut buffer[..])?;
        cutter.feed(&buffer[..length], lines);
        Ok(length)
    })
}
