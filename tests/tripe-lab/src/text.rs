// SPDX-License-Identifier: GPL-3.0-or-later
//! Bytes as text and back without loss: the protocol passes bytes through unchanged, our words are
//! `str`.
//!
//! Bytes that are no UTF-8 become characters of a small private range, and those characters become
//! the bytes again on the way out. Should a client really send a character of that range, its bytes
//! are carried one by one in the same way, so nothing is ambiguous.

use std::borrow::Cow;

/// Start of the private range: byte `b` (0x80 to 0xff) travels as the character `BASE + b`. It lies
/// in the last private-use plane, whose characters all begin with [`MARK`] in UTF-8.
const BASE: u32 = 0x10_fe00;

/// The first byte, in UTF-8, of every character of the private range (and of few others): text
/// without it needs no translation at all.
const MARK: u8 = 0xf4;

fn is_carrier(c: char) -> bool {
    (BASE + 0x80..=BASE + 0xff).contains(&u32::from(c))
}

fn push_raw(text: &mut String, byte: u8) {
    // Every value in the range is a valid character, so the replacement is never used.
    text.push(char::from_u32(BASE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER));
}

/// Text that stands for `bytes`; borrowed in all but the odd case.
#[must_use]
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&MARK) => return Cow::Borrowed(text),
        _ => {}
    }
    let mut text = String::with_capacity(bytes.len() * 2);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_carrier(c) {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    push_raw(&mut text, byte);
                }
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            push_raw(&mut text, *byte);
        }
    }
    Cow::Owned(text)
}

/// Appends to `out` the bytes that `text` stands for.
pub fn encode(text: &str, out: &mut Vec<u8>) {
    if !text.as_bytes().contains(&MARK) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for c in text.chars() {
        match u8::try_from(u32::from(c).wrapping_sub(BASE)) {
            Ok(byte) if byte >= 0x80 => out.push(byte),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&decode(bytes), &mut out);
        out
    }

    #[test]
    fn plain_text_is_borrowed() {
        assert!(matches!(decode("héllo".as_bytes()), Cow::Borrowed("héllo")));
    }

    #[test]
    fn carriers_sent_by_a_client_survive() {
        for text in ["\u{10fe80}", "a\u{10feff}b", "\u{10ffff}", "\u{100000}"] {
            assert_eq!(round(text.as_bytes()), text.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(round(&bytes), bytes);
        }

        #[test]
        fn any_text_survives(text in ".{0,40}") {
            prop_assert_eq!(round(text.as_bytes()), text.as_bytes());
        }
    }
}
