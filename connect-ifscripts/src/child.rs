// SPDX-License-Identifier: GPL-3.0-or-later
//! The task that attends to one child: reads what it writes, signals it, reaps it.
//!
//! ```text
//!             Order: terminate, kill, let go
//!   service ---------------------------------> [attend] <--- stdout, stderr, exit of the child
//!           <---------------------------------
//!             Event: lines, dropped, eof, reaped, closed
//! ```
//!
//! Only this task signals and reaps its child, so that no signal ever goes to a process number
//! which the child has given back.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::Pin;
use std::process::{self, ExitStatus};
use std::task::{Poll, ready};
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::scripts::{Ended, Stream};
use rustix::io::{Errno, ioctl_fionread};
use rustix::process::Signal;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::warn;

use crate::lines::Cutter;
use crate::pidfd::Watched;
use crate::spawn::Spawned;

/// How much is read at once: the size of a pipe, so that one turn takes what is there, and other
/// children come next.
const READ_SIZE: usize = 64 * 1024;

/// When to try again to reap a child that has ended and cannot be reaped yet.
const REAP_AGAIN: Duration = Duration::from_millis(10);

thread_local! {
    /// One buffer for all reads, as no two happen at the same time: a child that says nothing costs
    /// no memory.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into());
}

/// What the service tells the task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// Nothing special.
    Attend,
    /// Send `TERM` to the group.
    Terminate,
    /// Send `KILL` to the group.
    Kill,
    /// Close what is still open of a child that was reaped.
    LetGo,
}

/// What the task tells the service.
#[derive(Debug)]
pub(crate) enum Event {
    /// Lines were read.
    Lines {
        run: RunId,
        stream: Stream,
        lines: Vec<String>,
    },
    /// So many lines were thrown away.
    Dropped {
        run: RunId,
        stream: Stream,
        lines: u64,
    },
    /// A stream has ended.
    Eof { run: RunId, stream: Stream },
    /// The child was reaped; `open` if somebody still holds one of its pipes.
    Reaped { run: RunId, end: Ended, open: bool },
    /// The last pipe of a reaped child was closed.
    Closed { run: RunId },
    /// An adopted child has ended.
    Gone { run: RunId },
}

/// Attends to a child until its last pipe is closed.
pub(crate) async fn attend(
    run: RunId,
    spawned: Spawned,
    orders: watch::Receiver<Order>,
    events: mpsc::Sender<Event>,
) {
    let Spawned {
        mut child,
        watched,
        stdout,
        stderr,
        ..
    } = spawned;
    let report = Report { run, events };
    let mut orders = Orders(orders);
    let mut stdout = Output::new(Stream::Stdout, stdout);
    let mut stderr = Output::new(Stream::Stderr, stderr);
    let end = until_reaped(
        &mut child,
        &watched,
        &mut orders,
        &mut stdout,
        &mut stderr,
        &report,
    )
    .await;
    drop(watched);
    // What the child itself has written is in the pipes by now.
    stdout.drain(&report).await;
    stderr.drain(&report).await;
    let open = stdout.is_open() || stderr.is_open();
    report.send(Event::Reaped { run, end, open }).await;
    if !open {
        return;
    }
    while stdout.is_open() || stderr.is_open() {
        tokio::select! {
            order = orders.next() => if order == Order::LetGo { break },
            read = stdout.read() => stdout.pass_on(read, &report).await,
            read = stderr.read() => stderr.pass_on(read, &report).await,
        }
    }
    stdout.close(&report).await;
    stderr.close(&report).await;
    report.send(Event::Closed { run }).await;
}

/// Reads and signals until the child has ended, and reaps it.
async fn until_reaped(
    child: &mut process::Child,
    watched: &Watched,
    orders: &mut Orders,
    stdout: &mut Output,
    stderr: &mut Output,
    report: &Report,
) -> Ended {
    let (mut exited, mut terminated, mut killed) = (false, false, false);
    loop {
        tokio::select! {
            () = watched.ended(), if !exited => exited = true,
            order = orders.next() => match order {
                Order::Terminate => {
                    watched.signal_group(Signal::TERM);
                    terminated = true;
                }
                Order::Kill => {
                    watched.signal_group(Signal::KILL);
                    killed = true;
                }
                Order::Attend | Order::LetGo => {}
            },
            read = stdout.read() => stdout.pass_on(read, report).await,
            read = stderr.read() => stderr.pass_on(read, report).await,
        }
        // The child heeded TERM, but somebody in its group may not have: whoever holds a pipe may
        // be of the group. As long as the child is not reaped its number stands for the group
        // alone, so the KILL that comes after the grace time will find the right one.
        let wait_for_group = terminated && !killed && (stdout.is_open() || stderr.is_open());
        if exited && !wait_for_group {
            match child.try_wait() {
                Ok(Some(status)) => return describe(status),
                // Somebody traces it and has to let go of it first.
                Ok(None) => {
                    sleep(REAP_AGAIN).await;
                    exited = false;
                }
                Err(error) => {
                    warn!(
                        run = report.run.0,
                        "the status of a script is lost: {error}"
                    );
                    return Ended::Lost;
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

/// The receiving end of the service's orders.
pub(crate) struct Orders(pub(crate) watch::Receiver<Order>);

impl Orders {
    /// The next order. Cancel safe.
    pub(crate) async fn next(&mut self) -> Order {
        if self.0.changed().await.is_err() {
            // The service has let go of its end, so no further order will come.
            return pending().await;
        }
        *self.0.borrow_and_update()
    }
}

/// The way to the service.
struct Report {
    run: RunId,
    events: mpsc::Sender<Event>,
}

impl Report {
    async fn send(&self, event: Event) {
        // The service ends only with the whole process.
        let _ = self.events.send(event).await;
    }
}

/// What one turn of reading brought.
#[derive(Debug, Default)]
struct Read {
    lines: Vec<String>,
    eof: bool,
    /// The buffer was filled, so more is likely to be there.
    full: bool,
}

/// One stream of the child.
struct Output {
    stream: Stream,
    /// `None` after its end.
    pipe: Option<Receiver>,
    cutter: Cutter,
}

impl Output {
    const fn new(stream: Stream, pipe: Receiver) -> Self {
        Output {
            stream,
            pipe: Some(pipe),
            cutter: Cutter::new(),
        }
    }

    const fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Waits until there is something to read and reads it; for ever, once the stream has ended.
    /// Cancel safe: nothing waits after the read.
    async fn read(&mut self) -> Read {
        let Some(pipe) = &mut self.pipe else {
            return pending().await;
        };
        let mut read = Read::default();
        let length = poll_fn(|cx| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut *pipe).poll_read(cx, &mut buffer))?;
                self.cutter.feed(buffer.filled(), &mut read.lines);
                Poll::Ready(io::Result::Ok(buffer.filled().len()))
            })
        });
        match length.await {
            Ok(length) => {
                read.eof = length == 0;
                read.full = length == READ_SIZE;
            }
            Err(error) => {
                warn!("cannot read what a script writes: {error}");
                read.eof = true;
            }
        }
        read
    }

    /// Tells the service what was read.
    async fn pass_on(&mut self, read: Read, report: &Report) {
        self.send_lines(read.lines, report).await;
        if read.eof {
            self.close(report).await;
        } else if read.full {
            // A child that writes without end takes its turn with the others.
            tokio::task::yield_now().await;
        }
    }

    /// Reads what is in the pipe at this moment, without waiting for more.
    async fn drain(&mut self, report: &Report) {
        let Some(pipe) = &self.pipe else {
            return;
        };
        let mut lines = Vec::new();
        // Somebody who still writes must not keep us here, so no more than is there now is read.
        let mut there = ioctl_fionread(pipe).unwrap_or(0);
        let eof = loop {
            match read_now(pipe, &mut self.cutter, &mut lines) {
                Ok(0) => break true,
                Ok(length) if length as u64 <= there => there -= length as u64,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => break false,
            }
        };
        if !eof {
            // The one who wrote the last line has ended, so that line is all there will be of it.
            self.cutter.finish(&mut lines);
        }
        self.send_lines(lines, report).await;
        if eof {
            self.close(report).await;
        } else {
            self.send_dropped(report).await;
        }
    }

    /// Ends the stream, and tells the service.
    async fn close(&mut self, report: &Report) {
        if self.pipe.take().is_none() {
            return;
        }
        let mut lines = Vec::new();
        self.cutter.finish(&mut lines);
        self.send_lines(lines, report).await;
        self.send_dropped(report).await;
        let (run, stream) = (report.run, self.stream);
        report.send(Event::Eof { run, stream }).await;
    }

    async fn send_lines(&self, lines: Vec<String>, report: &Report) {
        if !lines.is_empty() {
            let event = Event::Lines {
                run: report.run,
                stream: self.stream,
                lines,
            };
            report.send(event).await;
        }
    }

    async fn send_dropped(&mut self, report: &Report) {
        let lines = self.cutter.take_dropped();
        if lines > 0 {
            let event = Event::Dropped {
                run: report.run,
                stream: self.stream,
                lines,
            };
            report.send(event).await;
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
