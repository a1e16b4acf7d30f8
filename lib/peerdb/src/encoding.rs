// SPDX-License-Identifier: GPL-3.0-or-later
//! The encoding of a peer's record: `key=value` pairs, form-urlencoded, with `;` between them.
//!
//! Written: letters, digits, `-`, `.` and `_` as they are, a space as `+`, every other byte as `%`
//! and two lower-case hexadecimal digits. Read: hexadecimal digits of both cases, `&` as well as
//! `;` between pairs, and any byte that did not need to be escaped.

use std::borrow::Cow;
use std::str;

use crate::record_fault::RecordFault;
use crate::text::Name;

/// A key and its value, borrowed where nothing was escaped.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// A decoded record: its pairs in the order they stand in, and what was wrong.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Decoded<'a> {
    /// The good pairs. The same key may be there more than once.
    pub pairs: Vec<Pair<'a>>,
    /// What was left out or repaired.
    pub faults: Vec<RecordFault>,
}

/// Decodes the data of the record of `peer`. Nothing is an error for the whole: see
/// [`RecordFault`].
///
/// ```
/// let decoded = peerdb::encoding::decode("hub", b"ifup=%2Fbin%2fup+-x&watch=t;");
/// assert_eq!(decoded.pairs, [("ifup".into(), "/bin/up -x".into()), ("watch".into(), "t".into())]);
/// assert!(decoded.faults.is_empty());
/// ```
#[must_use]
pub fn decode<'a>(peer: &str, data: &'a [u8]) -> Decoded<'a> {
    let mut decoded = Decoded::default();
    let pairs = data.split(|byte| matches!(byte, b';' | b'&'));
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let (fault, good) = decode_pair(peer.into(), pair);
        decoded.faults.extend(fault);
        decoded.pairs.extend(good);
    }
    decoded
}

/// What is wrong with a pair, and the pair if it can be used all the same.
fn decode_pair(peer: Name, pair: &[u8]) -> (Option<RecordFault>, Option<Pair<'_>>) {
    let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
        let text = lossy(&unescape(pair).0).into();
        return (Some(RecordFault::NoEquals { peer, text }), None);
    };
    let ((key, repaired_key), (value, repaired)) =
        (unescape(&pair[..at]), unescape(&pair[at + 1..]));
    if key.is_empty() {
        let text = lossy(&value).into();
        return (Some(RecordFault::NoKey { peer, text }), None);
    }
    let name = || lossy(&key).into();
    let (Some(text), Some(value)) = (text(key.clone()), text(value)) else {
        return (Some(RecordFault::NotUtf8 { peer, key: name() }), None);
    };
    let broken =
        (repaired_key || repaired).then(|| RecordFault::BrokenEscape { peer, key: name() });
    (broken, Some((text, value)))
}

/// Encodes pairs in the order given.
///
/// ```
/// assert_eq!(peerdb::encoding::encode([("ifup", "/bin/up -x")]), "ifup=%2fbin%2fup+-x");
/// ```
pub fn encode<I, K, V>(pairs: I) -> String
where
    I: IntoIterator<Item = (K, V)>,
    K: AsRef<str>,
    V: AsRef<str>,
{
    let mut out = String::new();
    for (key, value) in pairs {
        if !out.is_empty() {
            out.push(';');
        }
        escape(&mut out, key.as_ref());
        out.push('=');
        escape(&mut out, value.as_ref());
    }
    out
}

fn escape(out: &mut String, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => {
                let [high, low] = [byte >> 4, byte & 0xf].map(|digit| DIGITS[usize::from(digit)]);
                out.extend(['%', char::from(high), char::from(low)]);
            }
        }
    }
}

/// The bytes without escapes, borrowed if there were none, and whether a broken escape was taken
/// as it stands.
fn unescape(raw: &[u8]) -> (Cow<'_, [u8]>, bool) {
    if !raw.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return (Cow::Borrowed(raw), false);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut repaired = false;
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                if let [high, low, after @ ..] = tail
                    && let (Some(high), Some(low)) = (hex(*high), hex(*low))
                {
                    bytes.push(high << 4 | low);
                    rest = after;
                } else {
                    bytes.push(b'%');
                    repaired = true;
                }
            }
            _ => bytes.push(byte),
        }
    }
    (Cow::Owned(bytes), repaired)
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// The bytes as text, if they are UTF-8.
fn text(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// The bytes as text, with what is not UTF-8 replaced.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(data: &[u8]) -> Vec<(String, String)> {
        decode("p", data)
            .pairs
            .into_iter()
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect()
    }

    #[test]
    fn every_way_to_write_a_pair_is_read() {
        let table: &[(&str, &str, &str)] = &[
            ("a=b", "a", "b"),
            ("a=", "a", ""),
            ("a=b=c", "a", "b=c"),
            ("a=%3D%3d", "a", "=="),
            ("a=%2fX%2FY", "a", "/X/Y"),
            ("a=/raw:bytes,here", "a", "/raw:bytes,here"),
            ("a=x+y%20z%2b", "a", "x y z+"),
            ("a%20b=c", "a b", "c"),
            ("a=one%0atwo", "a", "one\ntwo"),
            ("a=%C3%A9é", "a", "éé"),
            ("a=%3b%26", "a", ";&"),
        ];
        for (data, key, value) in table {
            let decoded = decode("p", data.as_bytes());
            assert_eq!(decoded.faults, [], "{data}");
            assert_eq!(pairs(data.as_bytes()), [((*key).into(), (*value).into())]);
        }
    }

    #[test]
    fn both_separators_and_empty_pairs_are_accepted() {
        let expected = [("a".into(), "1".into()), ("b".into(), "2".into())];
        for data in ["a=1;b=2", "a=1&b=2", ";a=1;;&b=2;", "a=1;b=2;"] {
            assert_eq!(pairs(data.as_bytes()), expected, "{data}");
        }
        assert_eq!(decode("p", b""), Decoded::default());
        assert_eq!(decode("p", b";;&"), Decoded::default());
    }

    #[test]
    fn a_fault_affects_at_most_one_pair_and_is_reported() {
        type Row<'a> = (&'a [u8], RecordFault, &'a [(&'a str, &'a str)]);
        let table: &[Row] = &[
            (
                b"a=1;lone%20word;b=2",
                RecordFault::NoEquals {
                    peer: "p".into(),
                    text: "lone word".into(),
                },
                &[("a", "1"), ("b", "2")],
            ),
            (
                b"=v;b=2",
                RecordFault::NoKey {
                    peer: "p".into(),
                    text: "v".into(),
                },
                &[("b", "2")],
            ),
            (
                b"a=50%;b=2",
                RecordFault::BrokenEscape {
                    peer: "p".into(),
                    key: "a".into(),
                },
                &[("a", "50%"), ("b", "2")],
            ),
            (
                b"a=%zz%4",
                RecordFault::BrokenEscape {
                    peer: "p".into(),
                    key: "a".into(),
                },
                &[("a", "%zz%4")],
            ),
            (
                b"%g=x",
                RecordFault::BrokenEscape {
                    peer: "p".into(),
                    key: "%g".into(),
                },
                &[("%g", "x")],
            ),
            (
                b"a=%ff;b=2",
                RecordFault::NotUtf8 {
                    peer: "p".into(),
                    key: "a".into(),
                },
                &[("b", "2")],
            ),
            (
                b"\xfe=1;b=2",
                RecordFault::NotUtf8 {
                    peer: "p".into(),
                    key: "\u{fffd}".into(),
                },
                &[("b", "2")],
            ),
        ];
        for (data, fault, good) in table {
            let decoded = decode("p", data);
            assert_eq!(decoded.faults, std::slice::from_ref(fault));
            let good: Vec<(Cow<str>, Cow<str>)> = good
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect();
            assert_eq!(decoded.pairs, good);
        }
    }

    #[test]
    fn what_needs_no_escape_is_borrowed() {
        let decoded = decode("p", b"watch=t;ifup=a+b");
        assert!(matches!(
            decoded.pairs.as_slice(),
            [
                (Cow::Borrowed("watch"), Cow::Borrowed("t")),
                (_, Cow::Owned(_))
            ]
        ));
    }

    #[test]
    fn everything_but_the_safe_characters_is_escaped() {
        assert_eq!(
            encode([("k", "aZ09-._ ;&=%+#/*~\n\u{e9}")]),
            "k=aZ09-._+%3b%26%3d%25%2b%23%2f%2a%7e%0a%c3%a9"
        );
        assert_eq!(encode([("a", "1"), ("b", "2")]), "a=1;b=2");
        assert_eq!(encode::<[(&str, &str); 0], _, _>([]), "");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_again(
            written in proptest::collection::vec((".{1,12}", ".{0,20}"), 0..8)
        ) {
            let data = encode(written.iter().map(|(k, v)| (k, v)));
            prop_assert!(data.is_ascii());
            prop_assert_eq!(&decode("p", data.as_bytes()).faults, &[]);
            prop_assert_eq!(pairs(data.as_bytes()), written);
        }

        #[test]
        fn another_implementation_reads_the_same(
            written in proptest::collection::vec((".{1,12}", ".{0,20}"), 0..8)
        ) {
            let data = encode(written.iter().map(|(k, v)| (k, v))).replace(';', "&");
            let read: Vec<(String, String)> =
                form_urlencoded::parse(data.as_bytes()).into_owned().collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn what_another_implementation_writes_is_read(
            written in proptest::collection::vec((".{1,12}", ".{0,20}"), 0..8)
        ) {
            let data = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&written)
                .finish();
            prop_assert_eq!(pairs(data.as_bytes()), written);
        }

        #[test]
        fn no_bytes_make_it_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let decoded = decode("p", &data);
            let size: usize = decoded.pairs.iter().map(|(k, v)| k.len() + v.len()).sum();
            prop_assert!(size <= data.len());
        }

        #[test]
        fn no_mixture_of_the_special_characters_makes_it_panic(data in "[;&=%+a2fF\u{e9}]{0,60}") {
            let _ = decode("p", data.as_bytes());
        }
    }
}
