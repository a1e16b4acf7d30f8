// SPDX-License-Identifier: GPL-3.0-or-later
//! The table of every key that some program reads from a peer's record, and the nearest of them to
//! a key that none does.

use std::fmt;
use std::ops::RangeInclusive;

/// What a key's value must look like.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// True for exactly `t`, `true`, `y`, `yes` and `on`, else false.
    Flag,
    /// A time interval: a whole number, with `d`, `h`, `m` or `s` after it if not in seconds.
    Interval,
    /// As [`Kind::Interval`], but zero would make no sense.
    PositiveInterval,
    /// A whole number within these bounds.
    Integer(RangeInclusive<u32>),
    /// A program and its arguments, quoted as in tripe-admin(5); run without a shell.
    Program,
    /// A command for `/bin/sh -c`.
    Shell,
    /// `PASSIVE`, or the words of an address: `[FAMILY] HOST [PORT]`.
    Peer,
    /// One word without white space.
    Word,
    /// The name of a network interface.
    Interface,
    /// Network addresses, separated by white space, each with a mask if need be: `10.0.0.1/24`.
    Addresses,
    /// Any words.
    Words,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// Who reads a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reader {
    /// The connect service, connect(8).
    Connect,
    /// The server, as an option of its `ADD` command, tripe-admin(5).
    Server,
    /// The interface script tripe-ifup(8).
    Ifup,
    /// The compiler of peers.in(5).
    Compiler,
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reader::Connect => "the connect service",
            Reader::Server => "the server",
            Reader::Ifup => "tripe-ifup",
            Reader::Compiler => "the compiler",
        })
    }
}

/// One key.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key as it is written.
    pub name: &'static str,
    /// What its value must look like.
    pub kind: Kind,
    /// Who reads it.
    pub reader: Reader,
    /// What happens without the key, where there is a default worth naming.
    pub default: Option<&'static str>,
    /// What the key means, in one line.
    pub meaning: &'static str,
}

const fn key(name: &'static str, kind: Kind, reader: Reader, meaning: &'static str) -> Key {
    Key {
        name,
        kind,
        reader,
        default: None,
        meaning,
    }
}

impl Key {
    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }
}

/// Every key that is known, sorted by name: those of connect(8), tripe-ifup(8) and peers.in(5), and
/// the additions of this project's service (`ping`, `backoff`, `backoff-max` and the time limits of
/// scripts).
pub static KEYS: &[Key] = {
    use Kind::{
        Addresses, Choice, Flag, Integer, Interface, Interval, Peer, PositiveInterval, Program,
        Shell, Word, Words,
    };
    use Reader::{Compiler, Connect, Ifup, Server};
    &[
        key(
            "auto",
            Flag,
            Compiler,
            "add the peer when the server starts",
        ),
        key(
            "backoff",
            Interval,
            Connect,
            "the pause after a failed reconnection; it doubles from one to the next",
        )
        .or("the value of every"),
        key(
            "backoff-max",
            Interval,
            Connect,
            "the longest pause between failed reconnections",
        )
        .or("four times the longer of every and backoff"),
        key(
            "connect",
            Shell,
            Connect,
            "run to set up a dynamic connection; prints a challenge",
        ),
        key(
            "connect-timeout",
            Interval,
            Connect,
            "how long the connect command may run",
        )
        .or("no limit"),
        key(
            "cork",
            Flag,
            Server,
            "wait for the peer to start the key exchange",
        )
        .or("false"),
        key(
            "disconnect",
            Shell,
            Connect,
            "run when the peer is removed, to tell the far end",
        ),
        key(
            "disconnect-timeout",
            Interval,
            Connect,
            "how long the disconnect command may run",
        )
        .or("no limit"),
        key(
            "ephemeral",
            Flag,
            Server,
            "the association is not meant to last; say goodbye when it ends",
        ),
        key(
            "every",
            PositiveInterval,
            Connect,
            "how often to ping the peer",
        )
        .or("30s with connect or knock, 5m if passive, else 2m"),
        key(
            "ifdown",
            Program,
            Connect,
            "run to take the network interface down",
        ),
        key(
            "ifdown-timeout",
            Interval,
            Connect,
            "how long the ifdown script may run",
        )
        .or("no limit"),
        key(
            "ifname",
            Interface,
            Ifup,
            "the name the network interface gets",
        ),
        key(
            "ifup",
            Program,
            Connect,
            "run to configure the network interface",
        ),
        key(
            "ifup-timeout",
            Interval,
            Connect,
            "how long the ifup script may run",
        )
        .or("no limit"),
        key("ifupextra", Words, Ifup, "run at the end of tripe-ifup"),
        key(
            "keepalive",
            PositiveInterval,
            Server,
            "send an empty packet after so long without one",
        ),
        key("key", Word, Server, "the tag of the peer's public key").or("the peer's name"),
        key(
            "knock",
            Word,
            Server,
            "[PREFIX.]TAG: this host's name at the passive peer, and its public key's tag there",
        ),
        key(
            "laddr",
            Addresses,
            Ifup,
            "this host's addresses on the interface",
        ),
        key(
            "mobile",
            Flag,
            Server,
            "the peer's address may change without warning",
        )
        .or("false"),
        key(
            "mtu",
            Integer(68..=65535),
            Ifup,
            "the interface's MTU in bytes",
        )
        .or("computed from the path's"),
        key("name", Words, Compiler, "the peer's name in substitutions").or("the section's name"),
        key(
            "nets",
            Words,
            Ifup,
            "networks to be routed through the peer",
        ),
        key(
            "peer",
            Peer,
            Connect,
            "the peer's address, or PASSIVE if it makes contact itself",
        ),
        key(
            "ping",
            Choice(&["transport", "encrypted"]),
            Connect,
            "what kind of ping checks the peer",
        )
        .or("transport"),
        key("priv", Word, Server, "the tag of this host's private key")
            .or("the server's default key"),
        key(
            "raddr",
            Addresses,
            Ifup,
            "the peer's addresses on the interface",
        ),
        key(
            "retries",
            Integer(1..=1_000),
            Connect,
            "how many pings must fail before action is taken",
        )
        .or("5"),
        key(
            "timeout",
            PositiveInterval,
            Connect,
            "how long to wait for the reply to a ping",
        )
        .or("10s"),
        key("tunnel", Word, Server, "the tunnel driver to use").or("the server's default driver"),
        key(
            "user",
            Words,
            Compiler,
            "the name under which the peer asks for its passive connection",
        ),
        key(
            "watch",
            Flag,
            Connect,
            "adopt the peer: ping it and act when it fails",
        )
        .or("false"),
    ]
};

/// The known key of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    let index = KEYS.binary_search_by(|key| key.name.cmp(name)).ok()?;
    KEYS.get(index)
}

/// The known key that `name` is most likely a misspelling of; `None` if it is a known key or like
/// none of them.
///
/// ```
/// assert_eq!(peerdb::keys::nearest("retires").map(|key| key.name), Some("retries"));
/// assert!(peerdb::keys::nearest("domain").is_none());
/// ```
#[must_use]
pub fn nearest(name: &str) -> Option<&'static Key> {
    let found = nearest_of(name, KEYS.iter().map(|key| key.name))?;
    find(found)
}

/// The candidate that `name` is most likely a misspelling of: of those that few enough errors of
/// typing away, the first of the nearest. `None` if `name` is itself a candidate.
pub(crate) fn nearest_of<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // In a short word one changed letter already makes another word of it (`host`, `hosts`), two
    // nearly always do.
    let length = name.chars().count();
    let limit = match length {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    let folded = fold(name);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate == name {
            return None;
        }
        if candidate.chars().count().abs_diff(length) > limit {
            continue;
        }
        // The same word with other capitals or dashes is as near as can be.
        let distance = distance(&folded, &fold(candidate));
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The word as a hasty typist sees it.
fn fold(word: &str) -> Vec<char> {
    word.chars()
        .map(|c| match c {
            '_' => '-',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

/// The number of errors of typing between two words: a letter too many, one missing, one wrong, or
/// two neighbours exchanged.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row[j + 1] = least;
        }
        before = std::mem::replace(&mut last, row);
    }
    last[width - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_in_the_style_of_its_readers() {
        assert!(KEYS.is_sorted_by(|a, b| a.name < b.name));
        for key in KEYS {
            assert!(
                key.name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{}",
                key.name
            );
            assert!(!key.meaning.ends_with('.'), "{}", key.name);
            assert_eq!(find(key.name).unwrap().name, key.name);
        }
        assert!(find("domain").is_none());
    }

    #[test]
    fn misspellings_are_recognised() {
        for (word, meant) in [
            ("evry", "every"),
            ("evrey", "every"),
            ("wacth", "watch"),
            ("keepaliv", "keepalive"),
            ("keep-alive", "keepalive"),
            ("if-up", "ifup"),
            ("ifnmae", "ifname"),
            ("ifup_timeout", "ifup-timeout"),
            ("conect", "connect"),
            ("backof-max", "backoff-max"),
            ("time-out", "timeout"),
            ("net", "nets"),
        ] {
            assert_eq!(nearest(word).map(|key| key.name), Some(meant), "{word}");
        }
    }

    #[test]
    fn the_usual_helper_keys_are_no_misspellings() {
        for word in [
            "domain", "myhost", "host", "port", "every", "x", "", "site", "ssh-user", "comment",
            "location",
        ] {
            assert!(nearest(word).is_none(), "{word}");
        }
    }

    #[test]
    fn the_distance_counts_errors_of_typing() {
        for (a, b, errors) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "ab", 1),
            ("abc", "xbcd", 2),
            ("ca", "abc", 3),
        ] {
            assert_eq!(distance(&fold(a), &fold(b)), errors, "{a} {b}");
            assert_eq!(distance(&fold(b), &fold(a)), errors, "{b} {a}");
        }
    }
}
