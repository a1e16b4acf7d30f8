// SPDX-License-Identifier: GPL-3.0-or-later
//! The records of the database in use, page by page, so that a file can be compared with them.

use connect_ipc::changes::{LoadedRecord, RecordPage};
use connect_ipc::frame::{ITEMS_PER_FRAME, length};
use connect_policy::size::MAX_RECORD;
use peerdb::Record;

use crate::machine::Machine;

/// How many bytes of records a page has, but at least one record. It is little for one turn, since
/// everybody may ask for it.
const PAGE: usize = 64 * 1024;

impl Machine {
    /// The records after the name `after`, as many as fit into a page.
    pub(in crate::machine) fn record_page(&self, after: &str) -> RecordPage {
        let records = self.database.current.sorted_peers();
        let start = records.partition_point(|record| record.name() <= after);
        let rest = records.get(start..).unwrap_or_default();
        let mut page = RecordPage {
            reloads: self.events.counters.reloads,
            ..RecordPage::default()
        };
        let mut size = 0;
        for record in rest.iter().take(ITEMS_PER_FRAME) {
            let loaded = self.loaded(record);
            size += length(&loaded);
            if size > PAGE && !page.records.is_empty() {
                break;
            }
            page.records.push(loaded);
        }
        page.more = page.records.len() < rest.len();
        page
    }

    fn loaded(&self, record: &Record) -> LoadedRecord {
        let name = record.name();
        let peer = self.peers.find(name).and_then(|id| self.peers.get(id));
        let superseded = peer.and_then(|peer| peer.superseded.as_deref());
        LoadedRecord {
            peer: name.to_owned(),
            record: pairs(record),
            in_use: superseded.and_then(pairs),
        }
    }
}

/// Keys and values, if half a message has room for them: a page has two records of a peer.
fn pairs(record: &Record) -> Option<Vec<(String, String)>> {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let pairs: Vec<(String, String)> = record.iter().map(owned).collect();
    (length(&pairs) <= MAX_RECORD / 2).then_some(pairs)
}
