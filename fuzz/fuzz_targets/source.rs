// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes as a file of the source of a peer database.
#![no_main]

use connect_policy::{check, keys};
use libfuzzer_sys::fuzz_target;
use peerdb::source::Source;

/// Knows no host, so that nothing leaves the process.
struct Nobody;

impl peerdb::source::Resolver for Nobody {
    fn resolve(
        &self,
        hosts: &[String],
    ) -> Vec<Result<Vec<std::net::IpAddr>, peerdb::source::ResolveError>> {
        hosts.iter().map(|_| Ok(Vec::new())).collect()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let compilation = Source::of_bytes("fuzz", bytes, keys::is_known).compile(&Nobody);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    for finding in compilation.findings() {
        let line = finding.location.as_ref().map_or(0, |it| it.line);
        assert!(line as usize <= lines, "{finding}");
    }
    for record in compilation.peers() {
        // What is written of a record is read as this record.
        let data = record.encode();
        let read = peerdb::encoding::decode(record.name(), data.as_bytes());
        let again = peerdb::Record::new(record.name(), read.pairs);
        assert_eq!(again, *record);
    }
    if !compilation.has_errors() {
        let database = compilation.database();
        let is_there = |record: &peerdb::Record| database.peer(record.name()).is_some();
        assert!(compilation.peers().all(is_there), "{database:?}");
        let _ = check::compilation(&compilation);
    }
});
