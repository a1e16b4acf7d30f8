// SPDX-License-Identifier: GPL-3.0-or-later
//! What a challenge looks like (tripe-admin(5), `GETCHAL` and `GREET`), and what people read in its
//! place.

use std::borrow::Cow;

/// What people read in place of a challenge.
pub const MARK: &str = "<challenge>";

/// Words shorter than this are no challenges, though they may be made of the same letters: real
/// challenges have about 40 letters, and a short word may stand anywhere with another meaning.
pub const MIN_LENGTH: usize = 20;

/// Whether challenges are made of this letter (base64).
#[must_use]
pub const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Whether no challenge has this character.
fn is_other(c: char) -> bool {
    !u8::try_from(c).is_ok_and(is_letter)
}

/// All that may be a challenge in a text, wherever it stands: each word of
/// [letters](is_letter) that is long enough.
pub fn find(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_other).filter(|word| word.len() >= MIN_LENGTH)
}

/// A text with a [`MARK`] in place of all that may be a challenge. A long path, or a long name of
/// letters alone, is hidden as well: it looks the same.
///
/// ```
/// use tripe_admin::challenge::mask;
///
/// assert_eq!(mask("yours: AAAAAG9vAAAAAG9vAAAA!"), "yours: <challenge>!");
/// assert_eq!(mask("Permission denied"), "Permission denied");
/// ```
#[must_use]
pub fn mask(text: &str) -> Cow<'_, str> {
    if find(text).next().is_none() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::new();
    for piece in text.split_inclusive(is_other) {
        let word = piece.trim_end_matches(is_other);
        let rest = piece.get(word.len()..).unwrap_or_default();
        let hidden = word.len() >= MIN_LENGTH;
        masked.push_str(if hidden { MARK } else { word });
        masked.push_str(rest);
    }
    Cow::Owned(masked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_may_be_a_challenge_is_masked_wherever_it_stands() {
        let challenge = "AAAAAG9vAAAAAG9vAA==";
        for (text, masked) in [
            ("", ""),
            ("Welcome to hub", "Welcome to hub"),
            ("AAAAAG9vAAAAAG9vAA=", "AAAAAG9vAAAAAG9vAA="),
            (challenge, MARK),
            (
                "\u{fc}AAAAAG9vAAAAAG9vAA==\u{fc}",
                "\u{fc}<challenge>\u{fc}",
            ),
            (
                "a: AAAAAG9vAAAAAG9vAA==, b: BBBBBG9vAAAAAG9vAA==\t",
                "a: <challenge>, b: <challenge>\t",
            ),
        ] {
            assert_eq!(mask(text), masked);
        }
        assert_eq!(
            find("x AAAAAG9vAAAAAG9vAA==.").collect::<Vec<_>>(),
            [challenge]
        );
    }

    proptest! {
        #[test]
        fn nothing_that_is_masked_has_a_challenge(text in "([a-zA-Z0-9+/=]{0,30}|.){0,10}") {
            let masked = mask(&text);
            prop_assert_eq!(find(&masked).next(), None);
            prop_assert_eq!(mask(&masked).into_owned(), masked.clone().into_owned());
            if find(&text).next().is_none() {
                prop_assert_eq!(masked, text.as_str());
            }
        }
    }
}
