// SPDX-License-Identifier: GPL-3.0-or-later
//! The peers that do not answer and whose host names could not be looked up the last time (key
//! `re-resolve`).

use connect_ipc::control::PeerStatus;
use connect_ipc::lookup::LookupResult;

use super::finding::Section;
use crate::output::lookup_text::Hindrance;
use crate::output::text;

/// How many peers are named.
const NAMED: usize = 10;

/// A lookup that has failed.
#[derive(Debug)]
struct FailedLookup {
    peer: String,
    host: String,
    /// Seconds since its end.
    ago: u64,
    error: String,
}

/// The lookups that have failed: the first ones, and how many there are.
#[derive(Debug, Default)]
pub(crate) struct FailedLookups {
    first: Vec<FailedLookup>,
    all: usize,
}

impl FailedLookups {
    /// Notices the last lookup of a peer's host name.
    pub(crate) fn notice(&mut self, peer: &PeerStatus) {
        let lookup = peer.connection.lookup.as_ref();
        let lookup = lookup.filter(|_| Hindrance::of(peer) == Some(Hindrance::Failed));
        if let Some(lookup) = lookup
            && let Some(last) = &lookup.last
            && let LookupResult::Failed(error) = &last.result
        {
            self.all += 1;
            if self.first.len() < NAMED {
                self.first.push(FailedLookup {
                    peer: peer.name.clone(),
                    host: lookup.host.clone(),
                    ago: last.ago,
                    error: error.clone(),
                });
            }
        }
    }

    /// Reports them.
    pub(crate) fn report(&self, section: &mut Section<'_>) {
        for failed in &self.first {
            let FailedLookup {
                peer,
                host,
                ago,
                error,
            } = failed;
            let ago = text::span(*ago);
            section.warning(
                format!(
                    "peer {peer} does not answer, and the lookup of {host} failed {ago} ago: \
                     {error}"
                ),
                &format!(
                    "run `getent ahosts {host}' on the host of the service; if it fails too, \
                     correct the name in the record or the resolver of that host; the service \
                     looks the name up again by itself"
                ),
            );
        }
        let more = self.all.saturating_sub(self.first.len());
        if more > 0 {
            let (peers, verb) = (text::count(more as u64, "more peer"), plural(more));
            section.warning(
                format!("{peers} {verb} not answer, and the lookups of their names failed"),
                "`connect-cli status' shows `lookup failed' beside each",
            );
        }
    }
}

const fn plural(peers: usize) -> &'static str {
    if peers == 1 { "does" } else { "do" }
}
