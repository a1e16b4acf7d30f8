// SPDX-License-Identifier: GPL-3.0-or-later
//! The sending half of a connection, and what is unread of it.
//!
//! ```text
//!   Sender::send --bytes--> [writer task] --> socket
//!   Sender::put, Sender::flush -----------------^
//! ```
//!
//! Sending never waits. To send several messages in one turn, call `put` for each and `flush` once:
//! `flush` writes immediately, and the writer task writes only what the socket has no room for.
//! Unread bytes are kept up to a limit; beyond it the connection is closed, so that a reader that
//! has stopped costs a known amount of memory and nobody's time.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::net::Shutdown;
use serde::Serialize;
use tokio::sync::Notify;

use crate::client::Client;
use crate::socket::Socket;
use connect_ipc::frame::{self, EncodedReply, FrameError};

/// Unread bytes up to which a connection counts as read: what a socket holds, so that whoever reads
/// always finds the next bytes there.
pub const LOW: usize = 64 * 1024;

/// How much memory for queued bytes is kept between two turns: enough for a turn of a busy service.
const KEPT: usize = 64 * 1024;

/// The unread bytes of many connections together, and how many they may be. Only what a socket had
/// no room for counts, so whoever reads fast enough costs the account nothing.
#[derive(Debug)]
pub struct Account {
    unread: AtomicUsize,
    limit: usize,
    members: Mutex<Vec<Member>>,
}

/// A connection whose unread bytes count.
#[derive(Debug)]
struct Member {
    client: Client,
    shared: Weak<Shared>,
}

/// Where the unread bytes of a connection count, and whose they are.
#[derive(Clone, Debug)]
pub struct Share {
    /// Where its unread bytes count.
    pub account: Arc<Account>,
    /// The client that should read them.
    pub client: Client,
}

impl Account {
    /// An account of at most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Account {
            unread: AtomicUsize::new(0),
            limit,
            members: Mutex::new(Vec::new()),
        }
    }

    /// How many bytes are unread.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.unread.load(Ordering::Relaxed)
    }

    /// How many bytes may be unread.
    #[cfg(test)]
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// To be called after a turn's messages were flushed. While too much is unread, this closes the
    /// largest connection of the user with most unread bytes. Returns the clients whose connections
    /// were closed.
    pub fn relieve(&self) -> Vec<Client> {
        let mut closed = Vec::new();
        while self.unread() > self.limit
            && let Some((client, shared)) = self.greediest()
        {
            shared.kill(&mut shared.lock());
            closed.push(client);
        }
        closed
    }

    /// The connection with most unread bytes, of the user with most unread bytes.
    fn greediest(&self) -> Option<(Client, Arc<Shared>)> {
        let mut users: HashMap<Option<u32>, usize> = HashMap::new();
        let mut open = Vec::new();
        for Member { client, shared } in &*self.members() {
            if let Some(shared) = shared.upgrade() {
                let unread = shared.lock().counted;
                *users.entry(client.uid).or_default() += unread;
                open.push((unread, *client, shared));
            }
        }
        let (user, _) = users.into_iter().max_by_key(|(_, unread)| *unread)?;
        let of_user = open.into_iter().filter(|(_, it, _)| it.uid == user);
        let (_, client, shared) = of_user.max_by_key(|(unread, ..)| *unread)?;
        Some((client, shared))
    }

    fn join(&self, client: Client, shared: &Arc<Shared>) {
        let mut members = self.members();
        members.retain(|member| member.shared.strong_count() > 0);
        let shared = Arc::downgrade(shared);
        members.push(Member { client, shared });
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        // No code panics while it holds the lock.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It is too long.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection is closed.
    #[error("the other side has closed the connection")]
    Gone,
    /// The other side has not read for too long; this closes the connection.
    #[error("the other side has not read {0} bytes; closing the connection")]
    Stuck(usize),
}

/// The sending half; clones share the connection, and it closes with the last of them, after
/// everything was written.
#[derive(Clone, Debug)]
pub struct Sender {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    socket: Arc<Socket>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// For the writer task.
    wake: Notify,
    /// For those who wait until little is unread.
    drained: Notify,
    backlog: usize,
    account: Option<Arc<Account>>,
}

#[derive(Debug)]
struct Queue {
    bytes: Vec<u8>,
    /// How many bytes the writer task has taken and not yet written.
    taken: usize,
    /// How many unread bytes the account knows of.
    counted: usize,
    state: QueueState,
}

impl Queue {
    const fn unread(&self) -> usize {
        self.bytes.len() + self.taken
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum QueueState {
    Open,
    /// Nothing more will be queued; write what is there, then close.
    Finishing,
    /// Broken or closed.
    Dead,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code panics while it holds the lock, so even a poisoned queue is consistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes in the account that `unread` bytes of this connection are unread.
    fn count(&self, queue: &mut Queue, unread: usize) {
        let before = std::mem::replace(&mut queue.counted, unread);
        if let Some(account) = &self.account {
            account.unread.fetch_add(unread, Ordering::Relaxed);
            account.unread.fetch_sub(before, Ordering::Relaxed);
        }
    }

    /// The connection is over: nothing more is written.
    fn kill(&self, queue: &mut Queue) {
        queue.state = QueueState::Dead;
        queue.bytes = Vec::new();
        // What the writer task has taken is given up as soon as it runs.
        self.count(queue, 0);
        self.wake.notify_one();
        self.drained.notify_waiters();
    }

    /// The writer task has written, or given up, `count` of the bytes that it had taken.
    fn wrote(&self, count: usize) {
        let mut queue = self.lock();
        queue.taken -= count;
        let known = queue.counted.min(queue.unread());
        self.count(&mut queue, known);
        if queue.unread() <= LOW {
            self.drained.notify_waiters();
        }
    }
}

impl Sender {
    /// The sending half of a connection that has these limits.
    pub(crate) fn new(socket: Arc<Socket>, backlog: usize, share: Option<Share>) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                bytes: Vec::new(),
                taken: 0,
                counted: 0,
                state: QueueState::Open,
            }),
            wake: Notify::new(),
            drained: Notify::new(),
            backlog,
            account: share.as_ref().map(|share| Arc::clone(&share.account)),
        });
        if let Some(Share { account, client }) = share {
            account.join(client, &shared);
        }
        tokio::spawn(write_out(Arc::clone(&socket), Arc::clone(&shared)));
        let handle = Arc::new(Handle { shared, socket });
        Sender { handle }
    }

    /// Sends one message. Never waits.
    ///
    /// # Errors
    /// [`SendError`]; after [`SendError::Gone`] and [`SendError::Stuck`] the connection is over.
    pub fn send<M: Serialize>(&self, message: &M) -> Result<(), SendError> {
        self.put(message)?;
        self.handle.shared.wake.notify_one();
        Ok(())
    }

    /// Queues one message, to be sent with the next [`Sender::flush`] at the latest. Never waits.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn put<M: Serialize>(&self, message: &M) -> Result<(), SendError> {
        self.queue(|bytes| frame::encode(message, bytes))
    }

    /// Queues a reply that was encoded once, for the request with number `id`, to be sent with the
    /// next [`Sender::flush`] at the latest. Never waits.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn put_reply(&self, id: u64, reply: &EncodedReply) -> Result<(), SendError> {
        self.queue(|bytes| reply.append(id, bytes))
    }

    /// Waits until little is unread ([`LOW`]). Says whether it is; if not, the connection is over.
    /// Cancel safe.
    pub async fn drained(&self) -> bool {
        let shared = &self.handle.shared;
        loop {
            let mut told = std::pin::pin!(shared.drained.notified());
            // From here on no notice is missed.
            told.as_mut().enable();
            if self.is_drained() {
                return true;
            }
            if shared.lock().state == QueueState::Dead {
                return false;
            }
            told.await;
        }
    }

    /// Whether little is unread ([`LOW`]), and the connection is not over.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let queue = self.handle.shared.lock();
        queue.unread() <= LOW && queue.state != QueueState::Dead
    }

    /// Writes what is queued as far as the socket has room; the writer task writes the rest. Never
    /// waits.
    pub fn flush(&self) {
        let Handle { shared, socket } = &*self.handle;
        let mut queue = shared.lock();
        if queue.bytes.is_empty() {
            return;
        }
        write_at_once(socket, &mut queue);
        let unread = queue.unread();
        shared.count(&mut queue, unread);
        if !queue.bytes.is_empty() {
            shared.wake.notify_one();
        }
    }

    fn queue(
        &self,
        append: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
    ) -> Result<(), SendError> {
        let Handle { shared, socket } = &*self.handle;
        let mut queue = shared.lock();
        if queue.state == QueueState::Dead {
            return Err(SendError::Gone);
        }
        append(&mut queue.bytes)?;
        if queue.unread() > shared.backlog {
            // Only what the socket has no room for is unread.
            write_at_once(socket, &mut queue);
        }
        let unread = queue.unread();
        if unread > shared.backlog {
            shared.kill(&mut queue);
            return Err(SendError::Stuck(unread));
        }
        Ok(())
    }

    /// How many bytes wait to be written.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.handle.shared.lock().unread()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        if queue.state == QueueState::Open {
            queue.state = QueueState::Finishing;
        }
        drop(queue);
        self.shared.wake.notify_one();
    }
}

/// Writes what is queued as far as the socket has room.
fn write_at_once(socket: &Socket, queue: &mut Queue) {
    // What the writer task has taken must be written first.
    if queue.state != QueueState::Open || queue.taken > 0 {
        return;
    }
    // If there is no room, or the connection is over, the writer task handles it.
    if let Ok(count) = socket.try_write(&queue.bytes) {
        if count == queue.bytes.len() {
            queue.bytes.clear();
            // The memory that one busy turn needed is not kept forever.
            queue.bytes.shrink_to(KEPT);
        } else {
            drop(queue.bytes.drain(..count));
            // What is unread may stay for long, and takes no more memory than is counted.
            queue.bytes.shrink_to_fit();
        }
    }
}

async fn write_out(socket: Arc<Socket>, shared: Arc<Shared>) {
    let ending = write_all(&socket, &shared).await;
    shared.kill(&mut shared.lock());
    // Closing both directions ends our own reader as well.
    socket.shutdown(ending);
}

/// Writes what is queued until the connection is over; returns which directions to close.
async fn write_all(socket: &Socket, shared: &Shared) -> Shutdown {
    loop {
        let (bytes, state) = {
            let mut queue = shared.lock();
            queue.taken = queue.bytes.len();
            (std::mem::take(&mut queue.bytes), queue.state)
        };
        match state {
            QueueState::Dead => return Shutdown::Both,
            QueueState::Finishing if bytes.is_empty() => return Shutdown::Write,
            QueueState::Open if bytes.is_empty() => shared.wake.notified().await,
            QueueState::Open | QueueState::Finishing => {
                if !write_taken(socket, shared, &bytes).await {
                    return Shutdown::Both;
                }
            }
        }
    }
}

/// Writes what the writer task has taken; says whether all of it.
async fn write_taken(socket: &Socket, shared: &Shared, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        match socket.try_write(rest) {
            Ok(count @ 1..) => {
                shared.wrote(count);
                rest = &rest[count..];
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let room = tokio::select! {
                    room = socket.writable() => room.is_ok(),
                    () = cut_off(shared) => false,
                };
                if !room {
                    break;
                }
            }
            Ok(0) | Err(_) => break,
        }
    }
    shared.wrote(rest.len());
    rest.is_empty()
}

/// Waits until the connection is closed while a write is stuck.
async fn cut_off(shared: &Shared) {
    while shared.lock().state != QueueState::Dead {
        shared.wake.notified().await;
    }
}
