// SPDX-License-Identifier: GPL-3.0-or-later
//! Base64 as the server writes challenges: one line, no padding.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Why a text is no base64; the message goes into `FAIL bad-base64`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Base64Error {
    /// A character that is neither of the alphabet nor padding.
    #[error("invalid character")]
    Character,
    /// Padding in the wrong place or of the wrong length.
    #[error("invalid padding")]
    Padding,
    /// A length that no bytes give.
    #[error("truncated input")]
    Length,
}

/// Writes `bytes` in base64 without padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0_u8; 3];
        for (slot, byte) in group.iter_mut().zip(chunk) {
            *slot = *byte;
        }
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * place)) & 0x3f;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

fn value(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Reads base64 with or without padding.
///
/// # Errors
///
/// Says what is wrong with the text.
pub fn decode(text: &str) -> Result<Vec<u8>, Base64Error> {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    if padding > 2 || (padding > 0 && !text.len().is_multiple_of(4)) {
        return Err(Base64Error::Padding);
    }
    let mut bytes = Vec::with_capacity(body.len() / 4 * 3 + 2);
    for chunk in body.as_bytes().chunks(4) {
        let mut bits = 0;
        for place in 0..4 {
            let six = match chunk.get(place) {
                Some(byte) => value(*byte).ok_or(match byte {
                    b'=' => Base64Error::Padding,
                    _ => Base64Error::Character,
                })?,
                None => 0,
            };
            bits = bits << 6 | six;
        }
        if chunk.len() == 1 {
            return Err(Base64Error::Length);
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_texts() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"\0\0\0\0oobarbazquuxxyzzy", "AAAAAG9vYmFyYmF6cXV1eHh5enp5"),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).as_deref(), Ok(bytes));
        }
        assert_eq!(decode("Zg==").as_deref(), Ok(&b"f"[..]));
    }

    #[test]
    fn what_is_no_base64_is_told_so() {
        for (text, error) in [
            ("!", Base64Error::Character),
            ("Zm 9v", Base64Error::Character),
            ("Z", Base64Error::Length),
            ("Zm9vZ", Base64Error::Length),
            ("Zg=", Base64Error::Padding),
            ("Zg===", Base64Error::Padding),
            ("Z=g=", Base64Error::Padding),
            ("é", Base64Error::Character),
        ] {
            assert_eq!(decode(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = encode(&bytes);
            prop_assert_eq!(decode(&text), Ok(bytes));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[A-Za-z0-9+/=é ]{0,20}") {
            let _ = decode(&text);
        }
    }
}
