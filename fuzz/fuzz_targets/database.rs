// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes as a peer database.
#![no_main]

use connect_ipc::scripts::ScriptKind;
use connect_policy::adding;
use connect_policy::pinging::{PingKind, ping_plan};
use connect_policy::scripts::{interface_script, limit, shell_script};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(database) = peerdb::Database::read(bytes) {
        for record in database.peers() {
            let _ = (
                adding::options(record),
                adding::address(record),
                ping_plan(record, PingKind::default()),
                interface_script(record, ScriptKind::Ifup, Vec::new(), &[]),
                shell_script(record, ScriptKind::Connect),
                limit(record, ScriptKind::Ifup),
            );
        }
        let _ = connect_policy::check::database(&database);
        // What is written of it again are records of the same peers.
        let names = database.peers().map(|record| record.name());
        let writer = peerdb::Writer::of(&database);
        let entries = writer.entries().filter(|(key, _)| key.starts_with(b"P"));
        let keys = entries.map(|(key, _)| String::from_utf8_lossy(&key[1..]).into_owned());
        assert!(keys.eq(names), "{database:?}");
    }
});
