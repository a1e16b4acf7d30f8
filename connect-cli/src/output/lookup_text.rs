// SPDX-License-Identifier: GPL-3.0-or-later
//! Lookups of a peer's host name (key `re-resolve`) as people read them.

use connect_ipc::control::{PeerState, PeerStatus};
use connect_ipc::lookup::{LookupResult, LookupStatus};

use super::paint::Paint;
use super::text;

/// The name, the last lookup with what came of it, and when the next one may come for a peer in
/// this state.
pub(crate) fn sentence(lookup: &LookupStatus, state: PeerState) -> (String, Paint) {
    let host = &lookup.host;
    let Some(last) = &lookup.last else {
        let words = if lookup.pending {
            "the first one is under way"
        } else {
            "none yet; the name is looked up when the peer does not answer"
        };
        return (format!("{host}: {words}"), Paint::Plain);
    };
    let next = match (lookup.pending, lookup.pause) {
        (true, _) => "one is under way".to_owned(),
        (false, _) if !state.is_present() => {
            "the next when the peer was added again and does not answer".to_owned()
        }
        (false, 0) => "the next when the peer does not answer".to_owned(),
        (false, pause) => format!("the next in {} at the earliest", text::span(pause)),
    };
    let (what, paint) = result(&last.result);
    let ago = text::span(last.ago);
    (format!("{host}, {ago} ago: {what}; {next}"), paint)
}

fn result(result: &LookupResult) -> (String, Paint) {
    match result {
        LookupResult::Same => (
            "the name still has the address in use".to_owned(),
            Paint::Plain,
        ),
        LookupResult::NotNeeded => ("not used, the peer had answered".to_owned(), Paint::Plain),
        LookupResult::Moved(to) => {
            let to = text::address(to);
            (format!("added again at the new address {to}"), Paint::Plain)
        }
        LookupResult::Waits(to) => {
            let to = text::address(to);
            let what = format!("new address {to}, but it was moved a short time ago");
            (what, Paint::Doubtful)
        }
        LookupResult::Taken(to) => {
            let to = text::address(to);
            let what = format!("new address {to}, but another peer has that");
            (what, Paint::Bad)
        }
        LookupResult::Failed(error) => (format!("failed: {error}"), Paint::Bad),
    }
}

/// What keeps a peer that does not answer from being followed to another address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hindrance {
    /// Its name could not be looked up the last time.
    Failed,
    /// Another peer has the new address.
    Taken,
    /// It was moved a short time ago.
    Waits,
}

impl Hindrance {
    /// What prevents that a peer is moved, if something does.
    pub(crate) fn of(peer: &PeerStatus) -> Option<Self> {
        let last = peer.connection.lookup.as_ref()?.last.as_ref()?;
        let answers = peer.state == PeerState::Up && peer.failures == 0;
        match &last.result {
            _ if answers => None,
            LookupResult::Failed(_) => Some(Hindrance::Failed),
            LookupResult::Taken(_) => Some(Hindrance::Taken),
            LookupResult::Waits(_) => Some(Hindrance::Waits),
            LookupResult::Same | LookupResult::Moved(_) | LookupResult::NotNeeded => None,
        }
    }

    /// What prevents it, in words for a table.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Hindrance::Failed => "lookup failed",
            Hindrance::Taken => "new address taken",
            Hindrance::Waits => "new address waits",
        }
    }
}
