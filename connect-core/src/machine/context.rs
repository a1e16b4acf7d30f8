// SPDX-License-Identifier: GPL-3.0-or-later
//! What core waits for from the server, and on whose behalf.

use connect_ipc::PeerId;
use connect_ipc::pinger::PingOutcome;
use tripe_admin::Interval;

/// One connection to one of our own sockets.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId(pub u64);

/// Who asked for something and is to be told how it ended.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Asker {
    /// A job of our service, by the server's identifier.
    Job(String),
    /// A request on the control socket.
    Operator {
        /// The connection.
        connection: ConnectionId,
        /// The request's number.
        request: u64,
    },
    /// The start-up list of peers.
    Startup,
    /// A knock.
    Knock,
}

/// Why the server was asked for its peers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ListPurpose {
    /// Core has just joined this server for the first time.
    FirstJoin,
    /// Core was away.
    Rejoin,
}

/// What an answer of the server belongs to.
#[derive(Debug)]
pub(super) enum Context {
    /// Nothing hangs on it; a failure is logged, with these words to say what failed.
    Routine(&'static str),
    /// `SVCQUERY` for the provider before us.
    Predecessor {
        /// Its version, once told.
        version: Option<String>,
    },
    /// `SVCCLAIM`.
    Claim,
    /// A job for the provider that holds our name, to see whether it lives.
    Probe,
    /// `SVCRELEASE` before the end.
    Release,
    /// `LIST` after joining.
    List {
        /// Why.
        purpose: ListPurpose,
        /// Names so far.
        names: Vec<String>,
    },
    /// `IFNAME`.
    Ifname {
        /// The peer.
        peer: PeerId,
        /// The interface.
        ifname: Option<String>,
    },
    /// `ADDR`.
    Addr {
        /// The peer.
        peer: PeerId,
        /// The words of the address.
        words: Vec<String>,
    },
    /// `ALGS`.
    Algs {
        /// The peer.
        peer: PeerId,
        /// Whether it is the last of the three questions before `ifup`; else it is asked for the
        /// `ifdown` of a peer that was there before us.
        configure: bool,
        /// Keys and values so far.
        pairs: Vec<(String, String)>,
    },
    /// `PING` or `EPING`.
    Ping {
        /// The peer.
        peer: PeerId,
        /// The ping's number.
        seq: u32,
        /// What the server said of it; `None` until it has.
        outcome: Option<PingEnd>,
    },
    /// `KILL` before an `ADD` of the same name.
    KillBeforeAdd(String),
    /// `ADD`.
    Add(String),
    /// `KILL` of a peer that is unreachable.
    Kill(String),
    /// `FORCEKX` for a reconnection.
    ForceKx(PeerId),
    /// `GETCHAL` for `passive`.
    GetChallenge {
        /// Who asked.
        asker: Asker,
        /// The peer to be added when the greeting comes.
        peer: String,
        /// How long to wait for it.
        patience: Interval,
        /// The challenge.
        challenge: Option<String>,
    },
    /// `GREET`.
    Greet(String),
}

impl Context {
    /// The challenge that it has brought, if any.
    pub(super) fn secret(&self) -> Option<&str> {
        match self {
            Context::GetChallenge { challenge, .. } => challenge.as_deref(),
            _ => None,
        }
    }
}

/// The word that ends a ping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PingEnd {
    /// A reply or a timeout.
    Outcome(PingOutcome),
    /// The peer was removed meanwhile.
    PeerDied,
}
