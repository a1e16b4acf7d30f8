// SPDX-License-Identifier: GPL-3.0-or-later
//! The words of a command; their number is limited, however long the request was.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error as _, SeqAccess, Visitor};

/// How many words a command may have: the longest useful one, `passive -timeout TIME USER`, has
/// four. Each word needs far more memory than its letters.
pub const MAX_WORDS: usize = 64;

/// Reads the words of a command.
///
/// # Errors
/// If there are more than [`MAX_WORDS`].
pub(crate) fn few<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<String>, D::Error> {
    reader.deserialize_seq(Few)
}

struct Few;

impl<'de> Visitor<'de> for Few {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of words")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let mut words = Vec::new();
        while let Some(word) = list.next_element()? {
            if words.len() == MAX_WORDS {
                return Err(A::Error::custom(format_args!(
                    "a command has at most {MAX_WORDS} words"
                )));
            }
            words.push(word);
        }
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Envelope, Request};

    #[test]
    fn a_command_has_few_words() {
        let read = |count| {
            let words = vec!["x"; count];
            let text = serde_json::json!({"id": 1, "request": {"submit": {"words": words}}});
            serde_json::from_str::<Envelope>(&text.to_string())
        };
        let Request::Submit { words } = read(MAX_WORDS).unwrap().request else {
            panic!("not a command");
        };
        assert_eq!(words.len(), MAX_WORDS);
        let error = read(MAX_WORDS + 1).unwrap_err().to_string();
        assert!(error.contains("at most 64 words"), "{error}");
    }
}
