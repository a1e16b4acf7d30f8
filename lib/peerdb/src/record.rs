// SPDX-License-Identifier: GPL-3.0-or-later
//! One peer's keys and values, compact and cheap to share.

use std::fmt;
use std::sync::Arc;

/// Whether a value means "true": exactly `t`, `true`, `y`, `yes` and `on` do (the manual,
/// "Adoption").
#[must_use]
pub fn is_true(value: &str) -> bool {
    matches!(value, "t" | "true" | "y" | "yes" | "on")
}

/// The keys and values of one peer, as peers.cdb(5) has them, with the peer's name.
///
/// A clone shares the text, so a record can be handed to many readers and outlive the database it
/// came from. Two records are equal when name, keys and values are.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Record {
    /// The name, the number of keys, then every key and its value in the order of the keys. Each of
    /// these texts comes after its length. So a record is one allocation, however many keys it has.
    text: Arc<str>,
}

impl Record {
    /// A record of the peer `name`. Pairs may come in any order; of a key that comes more than
    /// once, the last value counts.
    ///
    /// ```
    /// let hub = peerdb::Record::new("hub", [("watch", "t"), ("peer", "INET hub.example.com
    /// 4070")]); assert_eq!(hub.get("watch"), Some("t"));
    /// ```
    pub fn new<I, K, V>(name: &str, pairs: I) -> Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let mut pairs: Vec<(K, V)> = pairs.into_iter().collect();
        pairs.sort_by(|(a, _), (b, _)| a.as_ref().cmp(b.as_ref()));
        // Of equal keys, which stand in the order in which they came, the last one counts.
        pairs.reverse();
        pairs.dedup_by(|earlier, later| earlier.0.as_ref() == later.0.as_ref());
        let mut text = String::new();
        push_field(&mut text, name);
        push_number(&mut text, pairs.len());
        for (key, value) in pairs.iter().rev() {
            push_field(&mut text, key.as_ref());
            push_field(&mut text, value.as_ref());
        }
        Record { text: text.into() }
    }

    /// The peer's name.
    #[must_use]
    pub fn name(&self) -> &str {
        take_field(&self.text).0
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Whether the record has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `key`, as it stands.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        // This compares most keys by their length alone. To stop early at a greater key would
        // compare their bytes. At a start each record is asked for 17 keys.
        self.iter()
            .find_map(|(found, value)| (found == key).then_some(value))
    }

    /// Whether the value of `key` means "true", see [`is_true`]; a missing key does not.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(is_true)
    }

    /// Whether this peer waits to be contacted: its `peer` is exactly `PASSIVE`.
    #[must_use]
    pub fn is_passive(&self) -> bool {
        self.get("peer") == Some("PASSIVE")
    }

    /// All keys and values, sorted by key (as bytes).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let (_, rest) = take_field(&self.text);
        let (left, rest) = take_number(rest);
        Pairs { rest, left }
    }

    /// The data of this record in `peers.cdb`.
    #[must_use]
    pub fn encode(&self) -> String {
        crate::encoding::encode(self.iter())
    }
}

/// The pairs of a record that are left.
#[derive(Clone)]
struct Pairs<'a> {
    rest: &'a str,
    left: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (key, rest) = take_field(self.rest);
        let (value, rest) = take_field(rest);
        self.rest = rest;
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Pairs<'_> {}

/// How many bits of a number a character carries.
const BITS: u32 = 6;

/// What a character has besides, if others of the same number follow.
const MORE: u8 = 1 << BITS;

/// Writes a number, its greatest digits first, in characters of one byte each.
fn push_number(text: &mut String, number: usize) {
    let digits = usize::BITS
        .saturating_sub(number.leading_zeros())
        .div_ceil(BITS);
    for place in (0..digits.max(1)).rev() {
        let digit = u8::try_from(number >> (place * BITS) & usize::from(MORE - 1)).unwrap_or(0);
        text.push(char::from(if place > 0 { digit | MORE } else { digit }));
    }
}

/// Writes a text after its length.
fn push_field(text: &mut String, field: &str) {
    push_number(text, field.len());
    text.push_str(field);
}

/// The number that a text begins with, and what follows.
#[inline]
fn take_number(text: &str) -> (usize, &str) {
    // Nearly all have one character.
    if let Some(byte @ ..MORE) = text.bytes().next() {
        return (usize::from(byte), &text[1..]);
    }
    let mut number = 0;
    for (at, byte) in text.bytes().enumerate() {
        number = number << BITS | usize::from(byte & (MORE - 1));
        if byte & MORE == 0 {
            return (number, &text[at + 1..]);
        }
    }
    (0, "")
}

/// The field that a text begins with, and what follows.
#[inline]
fn take_field(text: &str) -> (&str, &str) {
    let (length, rest) = take_number(text);
    rest.split_at(length)
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", self.name())?;
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(value: &str) -> Record {
        Record::new("hub", [("k", value)])
    }
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn pairs_are_found_and_sorted() {
        let record = Record::new("hub", [("watch", "t"), ("auto", ""), ("peer", "PASSIVE")]);
        assert_eq!(record.name(), "hub");
        assert_eq!(record.len(), 3);
        assert_eq!(record.get("auto"), Some(""));
        assert_eq!(record.get("peer"), Some("PASSIVE"));
        assert_eq!(record.get("pee"), None);
        assert_eq!(record.get(""), None);
        let pairs: Vec<_> = record.iter().collect();
        assert_eq!(pairs, [("auto", ""), ("peer", "PASSIVE"), ("watch", "t")]);
        assert_eq!(record.encode(), "auto=;peer=PASSIVE;watch=t");
        assert_eq!(
            format!("{record:?}"),
            r#""hub" {"auto": "", "peer": "PASSIVE", "watch": "t"}"#
        );
    }

    #[test]
    fn an_empty_record_has_nothing_but_its_name() {
        let record = Record::new("", [("", ""); 0]);
        assert!(record.is_empty());
        assert_eq!(record.name(), "");
        assert_eq!(record.get("x"), None);
        assert_eq!(record.iter().count(), 0);
    }

    #[test]
    fn of_a_repeated_key_the_last_value_counts() {
        let record = Record::new("p", [("a", "1"), ("b", "2"), ("a", "3")]);
        assert_eq!(record.iter().collect::<Vec<_>>(), [("a", "3"), ("b", "2")]);
    }

    #[test]
    fn equality_is_of_name_keys_and_values() {
        let record = Record::new("p", [("ab", "c")]);
        assert_eq!(record, Record::new("p", [("ab", "c")]));
        // The same text, cut differently.
        assert_ne!(record, Record::new("p", [("a", "bc")]));
        assert_ne!(record, Record::new("pa", [("b", "c")]));
    }

    #[test]
    fn lengths_of_all_sizes_are_kept() {
        for length in [0, 1, 63, 64, 65, 4_095, 4_096, 300_000] {
            let value = "é".repeat(length);
            let record = Record::new("hub", [("a", value.as_str()), ("b", "c")]);
            assert_eq!(record.get("a"), Some(&*value), "{length}");
            assert_eq!(record.get("b"), Some("c"), "{length}");
        }
        let keys = (0..5_000).map(|number| (format!("k{number:04}"), "v"));
        let record = Record::new("hub", keys);
        assert_eq!(record.len(), 5_000);
        assert_eq!(record.get("k4999"), Some("v"));
    }

    proptest! {
        #[test]
        fn a_record_is_a_map(
            name in ".{0,8}",
            pairs in proptest::collection::vec(("[a-c]{0,2}", ".{0,5}"), 0..12)
        ) {
            let map: BTreeMap<String, String> = pairs.iter().cloned().collect();
            let record = Record::new(&name, &map);
            prop_assert_eq!(&Record::new(&name, pairs.iter().map(|(k, v)| (k, v))), &record);
            prop_assert_eq!(record.name(), name);
            prop_assert!(record.iter().eq(map.iter().map(|(k, v)| (k.as_str(), v.as_str()))));
            for (key, value) in &map {
                prop_assert_eq!(record.get(key), Some(value.as_str()));
            }
        }
    }

    #[test]
    fn exactly_five_words_are_true() {
        for value in ["t", "true", "y", "yes", "on"] {
            assert!(hub(value).flag("k"), "{value}");
        }
        for value in [
            "", "1", "T", "True", "YES", "On", " t", "tt", "f", "no", "off",
        ] {
            assert!(!hub(value).flag("k"), "{value}");
        }
        assert!(!hub("t").flag("other"));
    }

    #[test]
    fn only_the_exact_word_makes_a_peer_passive() {
        let peer = |value| Record::new("p", [("peer", value)]).is_passive();
        assert!(peer("PASSIVE"));
        assert!(!peer("passive"));
        assert!(!peer("INET hub 4070"));
        assert!(!hub("PASSIVE").is_passive());
    }
}
