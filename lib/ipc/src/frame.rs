// SPDX-License-Identifier: GPL-3.0-or-later
//! One message a line: the JSON text of a message and its newline.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::control::PeerRows;
use crate::event::Event;
use crate::foreign::Foreign;

/// The longest message, without the newline: 1 MiB. Long lists are sent in several messages. A
/// longer message is a fault of the sender, and is refused before it is completely read.
pub const MAX_FRAME: usize = 1024 * 1024;

/// How many list items go into one message, so that even items with long names stay far below
/// [`MAX_FRAME`].
pub const ITEMS_PER_FRAME: usize = 500;

/// The most bytes of a list in a message; the rest is for the other parts of the message.
pub const MAX_LIST: usize = MAX_FRAME - 256;

/// This many bytes have more characters than are shown of a message.
const START: usize = 400;

/// How much of the JSON reader's error is shown: it quotes a word and says what it expected.
const REASON: usize = 160;

/// Why a text is not a message.
#[derive(Debug)]
pub enum FrameError {
    /// It is not JSON, or JSON of another form.
    Malformed {
        /// How the text begins.
        start: Foreign,
        /// What the JSON reader said, which quotes the text.
        why: Foreign,
    },
    /// It is longer than [`MAX_FRAME`].
    TooLong {
        /// How the text begins.
        start: Foreign,
        /// Its length.
        length: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Malformed { start, why } => {
                write!(f, "`{start}' is malformed: {why}")
            }
            FrameError::TooLong { start, length } => write!(
                f,
                "a message of {length} bytes beginning with `{start}' is too long: the limit is \
                 {MAX_FRAME}"
            ),
        }
    }
}

impl std::error::Error for FrameError {}

impl FrameError {
    fn malformed(text: &str, why: &serde_json::Error) -> Self {
        FrameError::Malformed {
            start: Foreign::new(text),
            why: Foreign::up_to(REASON, &why.to_string()),
        }
    }

    fn too_long(bytes: &[u8]) -> Self {
        let start = bytes.get(..START).unwrap_or(bytes);
        FrameError::TooLong {
            start: Foreign::new(&String::from_utf8_lossy(start)),
            length: bytes.len(),
        }
    }
}

/// Reads one message.
///
/// # Errors
/// [`FrameError::Malformed`] if the text is not an `M`.
pub fn decode<M: DeserializeOwned>(text: &str) -> Result<M, FrameError> {
    serde_json::from_str(text).map_err(|why| FrameError::malformed(text, &why))
}

/// Appends one message and its newline to `bytes`, or leaves `bytes` as they were.
///
/// # Errors
/// [`FrameError::TooLong`] if the message is too long to be read by the other side.
pub fn encode<M: Serialize>(message: &M, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
    let before = bytes.len();
    let written = serde_json::to_writer(&mut *bytes, message);
    let length = bytes.len() - before;
    if written.is_ok() && length <= MAX_FRAME {
        bytes.push(b'\n');
        return Ok(());
    }
    let error = match written {
        Err(why) => FrameError::malformed(&String::from_utf8_lossy(&bytes[before..]), &why),
        Ok(()) => FrameError::too_long(&bytes[before..]),
    };
    bytes.truncate(before);
    Err(error)
}

/// The length of a message, without the newline: if it is longer than [`MAX_FRAME`], it cannot be
/// sent. A message that cannot be written as JSON, which none of ours is, has the greatest length.
#[must_use]
pub fn length<M: Serialize>(message: &M) -> usize {
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, message) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}

/// Cuts a list into parts that each fit into a message.
#[must_use]
pub fn parts<T: Serialize>(items: impl IntoIterator<Item = T>) -> Vec<Vec<T>> {
    let mut parts = Vec::new();
    let (mut part, mut size) = (Vec::new(), 0);
    for item in items {
        // One byte more for the comma between two.
        let length = length(&item) + 1;
        if part.len() == ITEMS_PER_FRAME || (size + length > MAX_LIST && !part.is_empty()) {
            parts.push(std::mem::take(&mut part));
            size = 0;
        }
        size += length;
        part.push(item);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// Counts what is written.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is told as a [`Reply`](crate::control::Reply), encoded once however many operators and
/// observers it goes to.
#[derive(Clone, Debug)]
pub struct EncodedReply {
    /// The reply's name.
    name: &'static str,
    json: Vec<u8>,
}

impl EncodedReply {
    /// Encodes an event.
    ///
    /// # Errors
    /// [`FrameError::Malformed`] if it cannot be JSON.
    pub fn event(event: &Event) -> Result<Self, FrameError> {
        Self::new("event", event)
    }

    /// Encodes rows of the table of peers.
    ///
    /// # Errors
    /// As [`EncodedReply::event`].
    pub fn peers(rows: &PeerRows) -> Result<Self, FrameError> {
        Self::new("peers", rows)
    }

    fn new<T: Serialize>(name: &'static str, told: &T) -> Result<Self, FrameError> {
        let json = serde_json::to_vec(told).map_err(|why| FrameError::malformed(name, &why))?;
        Ok(EncodedReply { name, json })
    }

    /// Appends the same line as [`encode`] does for an [`Answer`](crate::control::Answer) of number
    /// `id` with this reply.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] if the message is too long to be read by the other side.
    pub fn append(&self, id: u64, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
        use std::io::Write as _;
        // By hand, since `serde_json::value::RawValue` takes half again as many instructions for an
        // event that goes to a hundred observers.
        let before = bytes.len();
        // Writing to a vector cannot fail.
        let _ = write!(bytes, "{{\"id\":{id},\"reply\":{{\"{}\":", self.name);
        bytes.extend_from_slice(&self.json);
        bytes.extend_from_slice(b"}}");
        let length = bytes.len() - before;
        if length > MAX_FRAME {
            let error = FrameError::too_long(&bytes[before..]);
            bytes.truncate(before);
            return Err(error);
        }
        bytes.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Monotonic;
    use crate::pinger::{EndedPing, FromPinger, PingResult, ToPinger};
    use crate::scripts::{Ended, FromScripts, ToScripts};
    use crate::{PeerId, RunId};
    use proptest::prelude::*;

    fn text<M: Serialize>(message: &M) -> String {
        let mut bytes = Vec::new();
        encode(message, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_part_fits_into_a_message() {
        assert_eq!(parts::<u8>([]), [[0; 0]; 0]);
        let lengths =
            |items: Vec<String>| -> Vec<usize> { parts(items).iter().map(Vec::len).collect() };
        let many = vec!["x".to_owned(); 2 * ITEMS_PER_FRAME + 1];
        assert_eq!(lengths(many), [ITEMS_PER_FRAME, ITEMS_PER_FRAME, 1]);
        let large = vec!["x".repeat(MAX_FRAME / 3); 4];
        for part in parts(large.clone()) {
            assert!(length(&part) <= MAX_LIST + 1);
        }
        assert_eq!(lengths(large), [2, 2]);
    }

    #[test]
    fn messages_are_kebab_case_json_objects_on_one_line() {
        let results = ToPinger::Results {
            at: Monotonic(5),
            ended: vec![
                EndedPing {
                    peer: PeerId(1),
                    seq: 2,
                    result: PingResult::Reply(1.5),
                },
                EndedPing {
                    peer: PeerId(2),
                    seq: 9,
                    result: PingResult::Timeout,
                },
            ],
        };
        assert_eq!(
            text(&results),
            "{\"results\":{\"at\":5,\"ended\":[[1,2,1.5],[2,9,\"timeout\"]]}}\n"
        );
        let spelt_out = r#"{"results":{"ended":[{"peer":1,"seq":2,"result":{"reply":1.5}},
                                       {"result":"timeout","peer":2,"seq":9}],"at":5}}"#;
        assert_eq!(decode::<ToPinger>(spelt_out).unwrap(), results);
        assert_eq!(text(&ToPinger::Ready {}), "{\"ready\":{}}\n");
        let ended = FromScripts::Ended {
            run: RunId(3),
            end: Ended::NotStarted("a\nb".into()),
        };
        assert_eq!(
            text(&ended),
            "{\"ended\":{\"run\":3,\"end\":{\"not-started\":\"a\\nb\"}}}\n"
        );
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_messages_refused() {
        assert!(decode::<ToScripts>(r#"{"ready":{"future":1}}"#).is_ok());
        for bad in [
            "",
            "{",
            "{}",
            "[]",
            "null",
            r#"{"future":{}}"#,
            r#"{"stop":"x"}"#,
        ] {
            let error = decode::<ToScripts>(bad).unwrap_err();
            assert!(matches!(error, FrameError::Malformed { .. }), "{bad}");
        }
    }

    #[test]
    fn an_error_shows_little_of_a_strangers_text_and_on_one_line() {
        let forged = "x\n2026-11-26 ERROR \u{202e}\x1b[2J".to_owned() + &"A".repeat(MAX_FRAME / 2);
        // The reader of JSON quotes what it does not know.
        let unknown = serde_json::json!({ forged.as_str(): {} }).to_string();
        for text in [forged.as_str(), unknown.as_str()] {
            let error = decode::<ToScripts>(text).unwrap_err().to_string();
            assert!(error.len() < 300, "{}", error.len());
            assert!(error.chars().all(crate::foreign::is_plain), "{error:?}");
        }
    }

    #[test]
    fn a_reply_encoded_once_is_the_answer_that_it_would_have_been() {
        use crate::control::{Answer, Reply};
        use crate::event::EventKind;
        let event = Event {
            seq: 3,
            at_ms: 4,
            peer: Some("al \"ice\"".into()),
            kind: EventKind::Reply { millis: 1.25 },
        };
        let mut bytes = b"before".to_vec();
        let encoded = EncodedReply::event(&event).unwrap();
        encoded.append(7, &mut bytes).unwrap();
        let reply = Reply::Event(event.clone());
        let expected = format!("before{}", text(&Answer { id: 7, reply }));
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);

        let rows = PeerRows::default();
        let mut bytes = Vec::new();
        let encoded = EncodedReply::peers(&rows).unwrap();
        encoded.append(7, &mut bytes).unwrap();
        let reply = Reply::Peers(rows);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            text(&Answer { id: 7, reply })
        );

        let line = "x".repeat(MAX_FRAME);
        let kind = EventKind::StateFault { fault: line };
        let long = EncodedReply::event(&Event { kind, ..event }).unwrap();
        let mut bytes = b"before".to_vec();
        assert!(matches!(
            long.append(7, &mut bytes),
            Err(FrameError::TooLong { .. })
        ));
        assert_eq!(bytes, b"before");
    }

    #[test]
    fn a_message_too_long_is_not_sent_in_part() {
        let mut bytes = b"before".to_vec();
        let error = encode(&FromPinger::Error("x".repeat(MAX_FRAME)), &mut bytes).unwrap_err();
        assert!(matches!(error, FrameError::TooLong { .. }));
        assert_eq!(bytes, b"before");
    }

    #[test]
    fn the_length_is_that_of_what_is_sent() {
        let message = |text: usize| FromPinger::Error("x\n".repeat(text));
        for size in [0, 10, MAX_FRAME / 3, MAX_FRAME] {
            let (length, sent) = (
                length(&message(size)),
                encode(&message(size), &mut Vec::new()),
            );
            match sent {
                Ok(()) => assert_eq!(length, text(&message(size)).len() - 1),
                Err(FrameError::TooLong { length: told, .. }) => assert_eq!(length, told),
                Err(error) => panic!("{error}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_decoding_panic(text in "\\PC{0,100}") {
            let _ = decode::<ToPinger>(&text);
            let _ = decode::<FromPinger>(&text);
            let _ = decode::<ToScripts>(&text);
            let _ = decode::<FromScripts>(&text);
        }

        #[test]
        fn what_is_written_is_read_back(line in ".{0,100}", run in any::<u64>()) {
            let message = FromScripts::Output {
                run: RunId(run), stream: crate::scripts::Stream::Stderr, line,
            };
            let written = text(&message);
            prop_assert_eq!(decode::<FromScripts>(written.trim_end_matches('\n')).unwrap(), message);
        }
    }
}
