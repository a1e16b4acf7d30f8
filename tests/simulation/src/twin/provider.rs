// SPDX-License-Identifier: GPL-3.0-or-later
//! What provides the service in a twin: the product, or the service of the manual.

use std::sync::Arc;

use connect_ipc::scripts::{Ended, ScriptKind, Stream};
use peerdb::Database;

/// Something that provides the service at a server.
pub(crate) trait Provider {
    /// It is started, and connected to the server at once.
    fn start(&mut self, database: Arc<Database>, now: u64);

    /// It is asked to end. Its children live on, and nobody hears of them any more.
    fn leave(&mut self, now: u64);

    /// The connection to the server is lost.
    fn lost(&mut self, now: u64);

    /// The host was suspended for so many seconds, in which the clock of the service stood.
    fn slept(&mut self, seconds: u64, now: u64);

    /// The server sent these lines.
    fn lines(&mut self, lines: &[String], now: u64);

    /// The database file was read, or cannot be read for this reason.
    fn database(&mut self, read: Result<Arc<Database>, String>, now: u64);

    /// A child did something.
    fn child(&mut self, id: u64, news: News, now: u64);

    /// Its deadline has passed.
    fn time(&mut self, now: u64);

    /// When it has something to do even if nothing happens.
    fn next_deadline(&mut self) -> Option<u64>;

    /// What it has done since it was asked last.
    fn acts(&mut self) -> Vec<Act>;
}

/// Something that a provider does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// It sends the server a line.
    Line(String),
    /// It starts a child.
    Start(Start),
    /// It ends a child.
    Stop(u64),
}

/// A child that is started.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// Its number.
    pub(crate) id: u64,
    /// Which script.
    pub(crate) kind: ScriptKind,
    /// For which peer.
    pub(crate) peer: String,
    /// The program with its arguments.
    pub(crate) argv: Vec<String>,
    /// The variables that are set for it.
    pub(crate) environment: Vec<(String, String)>,
}

/// Something that a child does.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// It writes a line.
    Wrote(Stream, String),
    /// It ends.
    Ended(Ended),
}
