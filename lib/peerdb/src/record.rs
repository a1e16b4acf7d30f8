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
    /// The name, then every key and its value in the order of the keys, nothing between them: one
    /// allocation instead of two for each pair.
    text: Arc<str>,
    /// Where the name ends, then where each key and each value ends.
    ends: Arc<[u32]>,
}

impl Record {
    /// A record of the peer `name`. Pairs may come in any order; of a key that comes more than
    /// once, the last value counts.
    ///
    /// Pairs beyond 4 GiB of text are left out; no database comes near that, see
    /// [`MAX_FILE_SIZE`](crate::MAX_FILE_SIZE).
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
        let mut text = String::with_capacity(
            name.len()
                + pairs
                    .iter()
                    .map(|(key, value)| key.as_ref().len() + value.as_ref().len())
                    .sum::<usize>(),
        );
        let mut ends = Vec::with_capacity(1 + 2 * pairs.len());
        text.push_str(name);
        ends.push(u32::try_from(text.len()).unwrap_or_default());
        for (index, (key, value)) in pairs.iter().enumerate() {
            let (key, value) = (key.as_ref(), value.as_ref());
            if pairs
                .get(index + 1)
                .is_some_and(|(next, _)| next.as_ref() == key)
            {
                continue;
            }
            let key_end = text.len() + key.len();
            let (Ok(key_end), Ok(value_end)) =
                (u32::try_from(key_end), u32::try_from(key_end + value.len()))
            else {
                break;
            };
            text.push_str(key);
            text.push_str(value);
            ends.push(key_end);
            ends.push(value_end);
        }
        Record {
            text: text.into(),
            ends: ends.into(),
        }
    }

    /// The peer's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[..self.ends[0] as usize]
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether the record has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `key`, as it stands.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let (found, value) = self.pair(middle);
            match found.cmp(key) {
                std::cmp::Ordering::Equal => return Some(value),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
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
        (0..self.len()).map(|index| self.pair(index))
    }

    /// Pair number `index`, which must be below [`Record::len`].
    fn pair(&self, index: usize) -> (&str, &str) {
        let [start, middle, end] = [0, 1, 2].map(|offset| self.ends[2 * index + offset] as usize);
        (&self.text[start..middle], &self.text[middle..end])
    }

    /// The data of this record in `peers.cdb`.
    #[must_use]
    pub fn encode(&self) -> String {
        crate::encoding::encode(self.iter())
    }
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
