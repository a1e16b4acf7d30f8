// SPDX-License-Identifier: GPL-3.0-or-later
//! Everything core can do: the one way out of the [`Machine`](super::Machine).

use connect_ipc::RunId;
use connect_ipc::control::{Answer, PeerRows};
use connect_ipc::event::Event;
use connect_ipc::event_filter::EventFilter;
use connect_ipc::hello::Role;
use connect_ipc::pinger::ToPinger;
use connect_ipc::scripts::{Child, ToScripts};
use serde::{Deserialize, Serialize};

use super::input::ConnectionId;

/// Something to be done. Within a turn, outputs of one kind keep their order, and those for
/// operators and observers ([`Output::Answer`], [`Output::Rows`], [`Output::Subscribe`],
/// [`Output::Event`]) keep it among all these kinds. Lines for the server are sent first, since
/// pings are due and other outputs may take long to encode; then messages for helpers, those for
/// operators and observers, and the rest.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Send these lines to the server, each with its newline.
    ServerLines(#[serde(with = "text")] Vec<u8>),
    /// Send a message to the pinger.
    ToPinger(ConnectionId, ToPinger),
    /// Send a message to the script helper.
    ToScripts(ConnectionId, ToScripts),
    /// Tell a helper that another one of its kind is connected, and send it nothing more.
    Refuse(ConnectionId),
    /// End this helper and start another one, if it is ours: it does not do what is due, or has not
    /// connected.
    RestartHelper(Role),
    /// Send an answer to an operator or observer.
    Answer(ConnectionId, Answer),
    /// Send rows of the table of peers to all connections in `to`, each as a reply to its request.
    /// The machine sends such a connection no more rows before its
    /// [`Input::Drained`](super::Input::Drained).
    Rows {
        /// Connections, and their requests.
        to: Vec<(ConnectionId, u64)>,
        /// The rows; there may be none.
        rows: PeerRows,
        /// How far the table was looked at, for those of them who subscribed.
        until: Until,
    },
    /// Send the events that this filter admits from now on, as far as `told` allows.
    Subscribe {
        /// To this connection.
        connection: ConnectionId,
        /// As replies to this request.
        request: u64,
        /// Which events.
        filter: EventFilter,
        /// Of which peers it has the rows.
        told: Told,
    },
    /// Report when this child of a run ends, by [`Input::ChildEnded`](super::Input::ChildEnded): a
    /// script helper that hangs does not.
    WatchChild(RunId, Child),
    /// Tell the observers that this happened.
    Event(Event),
    /// Read the database file now.
    ReadDatabase,
    /// Tell the service manager the state of the service.
    ServiceManager(Milestone),
    /// From now on no trace and no recording may show this challenge.
    Secret(String),
    /// Delete the state file: another program provides the service now.
    ForgetState,
    /// End, after everything else was sent.
    End(Ending),
}

/// How far the table of peers was read, in the order of names.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// Up to this name, which is included; there may be no row of it.
    Name(Box<str>),
    /// To the end.
    End,
}

/// The peers whose events a subscriber gets. It always gets events that are about no peer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// The events of all peers.
    All,
    /// The events of no peer, until [`Output::Rows`] says of which peers it has the rows.
    Nothing,
}

/// What a service manager is told (`sd_notify(3)`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Milestone {
    /// The service is claimed and the peers are known.
    Ready,
    /// A reload that a signal asked for has begun.
    Reloading,
    /// That reload has ended.
    Reloaded,
    /// Core is about to end.
    Stopping,
}

/// Why core ends.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It was told to, and has released the service, or there was no server.
    Quit,
    /// It was told to, and the server does not answer.
    QuitUnanswered,
    /// Another provider took the service over.
    Displaced {
        /// Its version.
        version: String,
    },
    /// The server refused the claim.
    Refused {
        /// What the server said.
        failure: String,
    },
    /// The server was lost, and `--exit-on-disconnect` was given.
    Disconnected {
        /// What the system said.
        reason: String,
    },
    /// The server could not be reached within `--server-wait`.
    Unreachable {
        /// What the system said, if it said anything.
        reason: Option<String>,
    },
    /// The server was connected but did not answer in time.
    Silent {
        /// Seconds since core started.
        seconds: u64,
    },
}

/// Bytes that are text, written as text.
mod text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&tripe_admin::bytes::decode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(reader).map(|text| tripe_admin::bytes::encode(&text).into_owned())
    }
}
