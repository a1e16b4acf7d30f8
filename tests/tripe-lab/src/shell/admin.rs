// SPDX-License-Identifier: GPL-3.0-or-later
//! The admin socket: two tasks for each client, one that reads and one that writes.
//!
//! ```text
//!   client --bytes--> reader task --Input::Line--> Shell
//!                        ^ waits while the client is held up by a foreground job, or stalled
//!   client <--bytes-- writer task <--Conn::push--- Shell
//!                        all that came in one turn goes out in one write
//! ```

use std::cell::{Cell, RefCell};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::Shell;
use crate::error::LabError;
use crate::lines::{LineBuffer, Next};
use crate::log::What;
use crate::server::{ClientId, Input, Watch};
use crate::switches::Vanished;

/// A client's connection.
#[derive(Debug, Default)]
pub(crate) struct Conn {
    out: RefCell<Vec<u8>>,
    /// How many bytes the writer has taken and not yet written.
    in_hand: Cell<usize>,
    /// There is something to write, or to close.
    dirty: Notify,
    /// The reader may go on.
    readable: Notify,
    /// The connection ends when all is written.
    closing: Cell<bool>,
    /// Neither read nor write.
    stalled: Cell<bool>,
    /// Write half of the next line and cut the connection.
    cut_next: Cell<bool>,
    reader: RefCell<Option<AbortHandle>>,
    writer: RefCell<Option<AbortHandle>>,
}

/// What happened to a line handed to [`Conn::push`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pushed {
    /// It will be written.
    Fine,
    /// Half of it will be written, and then the connection is to be cut.
    CutHere,
    /// The client does not read; it is to be given up.
    TooMuch,
}

impl Conn {
    /// Adds a line to what is to be written.
    pub(super) fn push(&self, limit: usize, line: impl FnOnce(&mut Vec<u8>)) -> Pushed {
        if self.closing.get() {
            return Pushed::Fine;
        }
        let mut out = self.out.borrow_mut();
        let start = out.len();
        line(&mut out);
        if self.cut_next.get() {
            let half = start + (out.len() - start) / 2;
            out.truncate(half);
            drop(out);
            self.close();
            return Pushed::CutHere;
        }
        out.push(b'\n');
        if out.len() + self.in_hand.get() > limit {
            out.clear();
            drop(out);
            self.close();
            return Pushed::TooMuch;
        }
        self.dirty.notify_one();
        Pushed::Fine
    }

    /// Adds bytes that are no line of the server's own; they are lost if much too much is waiting.
    pub(crate) fn push_raw(&self, bytes: &[u8]) {
        /// Several times the most that can be made up in one go.
        const MUCH_TOO_MUCH: usize = 64 << 20;
        let waiting = self.out.borrow().len() + self.in_hand.get();
        if !self.closing.get() && waiting < MUCH_TOO_MUCH {
            self.out.borrow_mut().extend_from_slice(bytes);
            self.dirty.notify_one();
        }
    }

    /// Closes when all is written.
    pub(super) fn close(&self) {
        self.closing.set(true);
        if let Some(reader) = &*self.reader.borrow() {
            reader.abort();
        }
        self.dirty.notify_one();
    }

    pub(super) fn wake_reader(&self) {
        self.readable.notify_one();
    }

    /// Stops or resumes reading and writing.
    pub(crate) fn stall(&self, stalled: bool) {
        self.stalled.set(stalled);
        self.readable.notify_one();
        self.dirty.notify_one();
    }

    /// Has the connection cut in the middle of the next line.
    pub(crate) fn cut_in_next_line(&self) {
        self.cut_next.set(true);
    }
}

/// Makes the admin socket.
pub(super) fn listen(path: &Path, mode: u32) -> Result<UnixListener, LabError> {
    let fail = |error| LabError::Socket {
        path: path.into(),
        error,
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(LabError::InUse(path.into()));
    }
    // What a crashed server left behind; if it is no socket or cannot go, binding will say so.
    if std::fs::symlink_metadata(path).is_ok_and(|meta| is_socket(&meta)) {
        let _ = std::fs::remove_file(path);
    }
    let listener = UnixListener::bind(path).map_err(fail)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(fail)?;
    Ok(listener)
}

fn is_socket(meta: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    meta.file_type().is_socket()
}

/// Accepts clients, for ever.
pub(super) async fn accept(shell: Rc<Shell>, listener: Rc<UnixListener>) {
    /// Wait after an error, most likely too many open files, so as not to spin.
    const AFTER_ERROR: Duration = Duration::from_millis(20);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let most = shell.server.borrow().config().max_clients;
                if shell.conns.borrow().len() < most {
                    shell.adopt(stream);
                }
            }
            Err(_) => tokio::time::sleep(AFTER_ERROR).await,
        }
    }
}

impl Shell {
    /// Takes on a new connection.
    fn adopt(self: &Rc<Self>, stream: UnixStream) {
        let id = self.log.new_client();
        let conn = Rc::new(Conn::default());
        conn.stalled.set(self.stalled.get());
        self.conns.borrow_mut().insert(id, Rc::clone(&conn));
        self.record(What::Connected(id));
        self.feed(Input::Connect(id, Watch::default()));
        let (read, write) = stream.into_split();
        let reader = tokio::task::spawn_local(reader(Rc::clone(self), Rc::clone(&conn), id, read));
        let writer = tokio::task::spawn_local(writer(Rc::clone(self), Rc::clone(&conn), id, write));
        *conn.reader.borrow_mut() = Some(reader.abort_handle());
        *conn.writer.borrow_mut() = Some(writer.abort_handle());
    }

    /// Numbers of the connected clients.
    pub(crate) fn clients(&self) -> Vec<ClientId> {
        self.conns.borrow().keys().copied().collect()
    }

    /// Drops a connection with all that is still to be written to it.
    pub(crate) fn cut(&self, client: ClientId) {
        if self.drop_conn(client) {
            self.feed(Input::Closed(client));
        }
    }

    /// The same without a word to the server. False if the connection is gone already.
    pub(super) fn drop_conn(&self, client: ClientId) -> bool {
        let conn = self.conns.borrow_mut().remove(&client);
        let Some(conn) = conn else {
            return false;
        };
        for task in [&conn.reader, &conn.writer] {
            if let Some(task) = &*task.borrow() {
                task.abort();
            }
        }
        self.record(What::Disconnected(client));
        self.changed.notify_one();
        true
    }

    fn may_not_read(&self, id: ClientId, conn: &Conn) -> bool {
        conn.stalled.get() || self.server.borrow().is_blocked(id)
    }
}

/// How much is read at a time.
const READ: usize = 16 * 1024;

async fn reader(shell: Rc<Shell>, conn: Rc<Conn>, id: ClientId, mut read: OwnedReadHalf) {
    let (mut lines, log_commands, vanished) = {
        let server = shell.server.borrow();
        let config = server.config();
        (
            LineBuffer::new(config.line_limit, config.switches.over_long),
            config.log.commands,
            config.switches.vanished,
        )
    };
    let mut buffer = vec![0; READ];
    loop {
        loop {
            while shell.may_not_read(id, &conn) {
                tokio::select! {
                    () = conn.readable.notified() => {}
                    () = hung_up(&read), if vanished == Vanished::AtOnce => {
                        return shell.feed(Input::HangUp(id));
                    }
                }
            }
            match lines.take_line() {
                Next::Line(line) => {
                    if log_commands {
                        let text = crate::text::decode(line).into_owned();
                        shell.record(What::Command(id, text));
                    }
                    shell.feed(Input::Line(id, line.into()));
                }
                Next::More => break,
                Next::Disconnect => return shell.cut(id),
            }
        }
        match read.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => lines.push(buffer.get(..length).unwrap_or_default()),
        }
    }
    shell.feed(Input::Eof(id));
    if vanished == Vanished::AtOnce {
        hung_up(&read).await;
        shell.feed(Input::HangUp(id));
    }
}

/// Waits until both directions are closed. The system has no event for it that could be told from
/// the half-closed state, so this looks now and then.
async fn hung_up(read: &OwnedReadHalf) {
    /// How often it looks.
    const LOOK: Duration = Duration::from_millis(5);
    loop {
        match read.ready(Interest::READABLE | Interest::WRITABLE).await {
            Ok(ready) if !ready.is_write_closed() => tokio::time::sleep(LOOK).await,
            _ => return,
        }
    }
}

async fn writer(shell: Rc<Shell>, conn: Rc<Conn>, id: ClientId, mut write: OwnedWriteHalf) {
    loop {
        while conn.stalled.get() && !conn.closing.get() {
            conn.dirty.notified().await;
        }
        let batch = std::mem::take(&mut *conn.out.borrow_mut());
        if batch.is_empty() {
            if conn.closing.get() {
                break;
            }
            conn.dirty.notified().await;
            continue;
        }
        conn.in_hand.set(batch.len());
        let written = write_batch(&shell, &conn, &mut write, &batch).await;
        conn.in_hand.set(0);
        if let Err(error) = written {
            shell.feed(Input::Gone(id, error.raw_os_error().unwrap_or_default()));
            break;
        }
    }
    shell.conns.borrow_mut().remove(&id);
    if let Some(reader) = &*conn.reader.borrow() {
        reader.abort();
    }
    drop(write);
    shell.record(What::Disconnected(id));
    shell.flush_events();
    shell.changed.notify_one();
}

/// Writes as fast, or as slowly, as the faults say.
async fn write_batch(
    shell: &Shell,
    conn: &Conn,
    write: &mut OwnedWriteHalf,
    mut batch: &[u8],
) -> std::io::Result<()> {
    while !batch.is_empty() {
        while conn.stalled.get() && !conn.closing.get() {
            conn.dirty.notified().await;
        }
        let faults = shell.server.borrow().config().faults.write;
        if faults.chunk == 0 {
            return write.write_all(batch).await;
        }
        let (chunk, rest) = batch.split_at(faults.chunk.min(batch.len()));
        write.write_all(chunk).await?;
        batch = rest;
        if faults.pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(faults.pause).await;
        }
    }
    Ok(())
}
