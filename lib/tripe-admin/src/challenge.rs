// SPDX-License-Identifier: GPL-3.0-or-later
//! What a challenge looks like (tripe-admin(5), `GETCHAL` and `GREET`).

/// Words shorter than this are no challenges, though they may be made of the same letters: real
/// challenges have about 40 letters, and a short word may stand anywhere with another meaning.
pub const MIN_LENGTH: usize = 20;

/// Whether challenges are made of this letter (base64).
#[must_use]
pub const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}
