// SPDX-License-Identifier: GPL-3.0-or-later
//! What can happen to the service, and what it can do.

use std::collections::BTreeMap;
use std::sync::Arc;

use peerdb::Database;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The connection to the server was made.
    Start {
        /// Whether the service is started together with the server.
        startup: bool,
    },
    /// The server sent this line, given without its newline.
    Line(&'a str),
    /// The connection to the server was lost.
    Lost,
    /// This database is there now.
    Database(Arc<Database>),
    /// A child did something. Its number is that of its order.
    Child(u64, Child),
    /// Time has passed.
    Time,
}

/// What a child did. Its end comes after all that it has written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Child {
    /// It wrote this line.
    Wrote(Stream, String),
    /// It ended with this status.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
    /// It ended in a way that the system does not explain.
    Unknown(u32),
}

/// One of the streams that a child writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Something to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send the server this line, given without its newline.
    Line(String),
    /// Start a child.
    Start(ChildOrder),
}

/// A child to be started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChildOrder {
    /// A number that no other order has.
    pub id: u64,
    /// Which script.
    pub kind: Kind,
    /// For which peer.
    pub peer: String,
    /// The program with its arguments.
    pub argv: Vec<String>,
    /// Variables in addition to those of the service itself.
    pub environment: BTreeMap<String, String>,
}

/// Which script of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `ifup`.
    Ifup,
    /// `ifdown`.
    Ifdown,
    /// `connect`.
    Connect,
    /// `disconnect`.
    Disconnect,
}
