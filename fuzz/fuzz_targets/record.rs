// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes as the data of one record.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let decoded = peerdb::encoding::decode("p", bytes);
    let text = peerdb::encoding::encode(decoded.pairs.iter().map(|(key, value)| (key, value)));
    let again = peerdb::encoding::decode("p", text.as_bytes());
    assert_eq!(again.pairs, decoded.pairs);
});
