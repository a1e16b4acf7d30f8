// SPDX-License-Identifier: GPL-3.0-or-later
//! Text with bytes that are no UTF-8, as the name of a peer may have: each becomes one character
//! and becomes the same byte again, so that two names stay two.
//!
//! The characters are the last of Unicode, U+10FF80 to U+10FFFF, to which nobody gives a meaning. A
//! name that really has them would be sent as single bytes.

use std::borrow::Cow;

/// The character of byte 0, if it had one.
const BASE: u32 = 0x10_ff00;

/// The first byte of every such character in UTF-8.
const FIRST: u8 = 0xf4;

/// Bytes as text.
#[must_use]
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    // Nearly everything is valid, and this says so sooner than a search for what is not.
    if let Ok(text) = str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let stray = chunk.invalid().iter();
        text.extend(stray.filter_map(|byte| char::from_u32(BASE + u32::from(*byte))));
    }
    Cow::Owned(text)
}

/// The bytes of a text, as they were before [`decode`].
#[must_use]
pub fn encode(text: &str) -> Cow<'_, [u8]> {
    if memchr::memchr(FIRST, text.as_bytes()).is_none() {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

/// The byte that a character stands for, if it stands for one.
#[must_use]
pub fn byte(c: char) -> Option<u8> {
    let number = u32::from(c).checked_sub(BASE)?;
    u8::try_from(number).ok().filter(|byte| *byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_names_that_are_no_text_stay_two() {
        let names = [
            &b"a\xff"[..],
            b"a\xfe",
            b"a\xe2\x82",
            "a\u{fffd}".as_bytes(),
        ];
        for name in names {
            assert_eq!(*encode(&decode(name)), *name);
        }
        assert_ne!(decode(names[0]), decode(names[1]));
        assert_eq!(byte('\u{10ffff}'), Some(0xff));
        assert_eq!(byte('\u{10ff7f}'), None);
    }

    proptest! {
        #[test]
        fn bytes_survive(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            // What has the characters itself is left out.
            prop_assume!(!bytes.windows(2).any(|pair| pair == [FIRST, 0x8f]));
            prop_assert_eq!(encode(&decode(&bytes)).into_owned(), bytes);
        }
    }
}
