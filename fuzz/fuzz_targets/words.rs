// SPDX-License-Identifier: GPL-3.0-or-later
//! Words of a line: whatever was split survives quoting and splitting again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tripe_admin::{Interval, split, token, version};

fuzz_target!(|bytes: &[u8]| {
    let text = tripe_admin::bytes::decode(bytes);
    let text = &*text;
    let words = split(text);
    let line = token::join(&words);
    if !line.contains('\n') {
        assert_eq!(split(&line), words);
    }
    let _ = text.parse::<Interval>();
    let (left, right) = text.split_once(' ').unwrap_or((text, ""));
    assert_eq!(
        version::compare(left, right),
        version::compare(right, left).reverse()
    );
});
