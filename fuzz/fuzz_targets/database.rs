// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes as a peer database.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(database) = peerdb::Database::read(bytes) {
        for record in database.peers() {
            let _ = (
                record.interval("every"),
                record.words("ifup"),
                record.integer("retries", 1..=9),
            );
        }
        let _ = peerdb::check::database(&database);
    }
});
