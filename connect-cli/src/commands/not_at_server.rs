// SPDX-License-Identifier: GPL-3.0-or-later
//! Why a peer that is to be removed is not at the server: the server does not know, the service
//! does.

use connect_ipc::control::{PeerState, PeerStatus, Reply, Request};
use connect_runtime::exit::Exit;

use crate::common::Common;
use crate::error::Error;
use crate::output::text;

/// The server's answer for a peer that it does not have.
const UNKNOWN: &str = "unknown-peer";

/// What the server has answered, in the words of the service if it knows the peer.
pub(crate) async fn explained(error: Error, peer: String, common: &Common) -> Error {
    match &error {
        Error::Failed(words) if words.first().is_some_and(|word| word == UNKNOWN) => {}
        _ => return error,
    }
    match status(&peer, common).await {
        Some(status) => Error::OtherOutcome {
            subject: text::clean(&peer).into_owned(),
            what: sentence(&status),
            exit: Exit::Failure,
        },
        None => error,
    }
}

/// What the service knows of a peer; `None` also if it cannot be asked.
async fn status(peer: &str, common: &Common) -> Option<PeerStatus> {
    let mut control = common.observe().await.ok()?;
    let peer = peer.to_owned();
    control.ask(Request::Info { peer }).ok()?;
    match control.reply().await.ok()? {
        Reply::Peer(detail) => detail.status,
        _ => None,
    }
}

/// How a peer is that the server does not have, and how to keep it from being added.
fn sentence(peer: &PeerStatus) -> String {
    let state = peer.state.as_str();
    let returns = peer.connection.next_add_ms.is_some() || peer.state == PeerState::Adding;
    let more = if returns {
        "; the service adds it again by itself: to stop that, remove when-dead or auto from its \
         record, compile, and connect-cli reload"
    } else {
        ", and the service does not add it again by itself"
    };
    format!("not at the server, so there is nothing to remove: it is {state}{more}")
}
