// SPDX-License-Identifier: GPL-3.0-or-later
//! The table of every key that some program reads from a peer's record, and the search for the one
//! that is most similar to an unknown key.

use std::ops::RangeInclusive;

use peerdb::misspelling;

use crate::pinging::{MAX_RETRIES, PingKind, WhenDead};

/// What a key's value must look like.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// True for exactly `t`, `true`, `y`, `yes` and `on`, else false.
    Flag,
    /// A time interval: a whole number, with `d`, `h`, `m` or `s` after it if not in seconds. Zero
    /// makes no sense for any key.
    Interval,
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
    /// Networks, separated by white space, each a name or a prefix: `10.1.0.0/16`.
    Networks,
    /// Any words.
    Words,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// Who reads a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reader {
    /// The connect service, connect(8).
    Service,
    /// The server, as the option of the same name of its `ADD` command, tripe-admin(5). A key of
    /// the kind [`Kind::Flag`] is an option without a value.
    Server,
    /// The interface script tripe-ifup(8).
    Ifup,
    /// The compiler of peers.in(5).
    Compiler,
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
}

macro_rules! keys {
    ($($name:literal: $kind:ident $(($argument:expr))?, $reader:ident;)*) => {
        &[$(Key { name: $name, kind: Kind::$kind $(($argument))?, reader: Reader::$reader }),*]
    };
}

/// Every key that is known: those of connect(8), tripe-ifup(8) and peers.in(5), and the additions
/// of this project's service (`ping`, `backoff`, `backoff-max` and the time limits of scripts).
///
/// A line here is all that a new option of `ADD` needs: the command, the checks and `db explain`
/// follow from it.
pub static KEYS: &[Key] = keys! {
    // The connect service, connect(8).
    "backoff": Interval, Service; // the pause after a failed reconnection; it doubles each time
    "backoff-max": Interval, Service; // the longest pause between failed reconnections
    "connect": Shell, Service; // run to set up a dynamic connection; prints a challenge
    "connect-timeout": Interval, Service; // how long the connect command may run
    "disconnect": Shell, Service; // run when the peer is removed, to tell the far end
    "disconnect-timeout": Interval, Service; // how long the disconnect command may run
    "every": Interval, Service; // how often to ping the peer
    "ifdown": Program, Service; // run to take the network interface down
    "ifdown-timeout": Interval, Service; // how long the ifdown script may run
    "ifup": Program, Service; // run to configure the network interface
    "ifup-timeout": Interval, Service; // how long the ifup script may run
    "on-down": Program, Service; // run when the peer, which was connected, is so no more
    "on-down-timeout": Interval, Service; // how long the on-down hook may run
    "on-up": Program, Service; // run when the peer has come to be connected
    "on-up-timeout": Interval, Service; // how long the on-up hook may run
    "peer": Peer, Service; // the peer's address, or PASSIVE if it makes contact itself
    "ping": Choice(&PingKind::NAMES), Service; // what kind of ping checks the peer
    "re-resolve": Flag, Service; // look the name in `peer` up again when the peer does not answer
    "retries": Integer(1..=MAX_RETRIES), Service; // how many pings must fail before action is taken
    "timeout": Interval, Service; // how long to wait for the reply to a ping
    "when-dead": Choice(&WhenDead::NAMES), Service; // what follows when a peer was removed for silence
    "watch": Flag, Service; // adopt the peer: ping it and act when it fails

    // Options of `ADD`, tripe-admin(5), in the order in which they are sent.
    "tunnel": Word, Server; // the tunnel driver to use
    "keepalive": Interval, Server; // send an empty packet after so long without one
    "key": Word, Server; // the tag of the peer's public key
    "priv": Word, Server; // the tag of this host's private key
    "knock": Word, Server; // [PREFIX.]TAG: our name at the passive peer, and our key's tag there
    "cork": Flag, Server; // wait for the peer to start the key exchange
    "mobile": Flag, Server; // the peer's address may change without warning
    "ephemeral": Flag, Server; // the association is not meant to last; say goodbye when it ends

    // The interface script, tripe-ifup(8).
    "ifname": Interface, Ifup; // the name the network interface gets
    "ifupextra": Words, Ifup; // run at the end of tripe-ifup
    "laddr": Addresses, Ifup; // this host's addresses on the interface
    "mtu": Integer(68..=65535), Ifup; // the interface's MTU in bytes
    "nets": Networks, Ifup; // networks to be routed through the peer
    "raddr": Addresses, Ifup; // the peer's addresses on the interface

    // The compiler of sources, peers.in(5).
    "auto": Flag, Compiler; // add the peer when the server starts
    "name": Words, Compiler; // the peer's name in substitutions
    "user": Words, Compiler; // the name under which the peer asks for its passive connection
};

/// The keys whose values the server takes as options of `ADD`, in the order of the command.
pub fn add_options() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| key.reader == Reader::Server)
}

/// The known key of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether some program reads the key.
#[must_use]
pub fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// The known key that `name` is most likely a misspelling of; `None` if it is a known key or like
/// none of them.
///
/// ```
/// assert_eq!(connect_policy::keys::nearest("retires"), Some("retries"));
/// assert!(connect_policy::keys::nearest("domain").is_none());
/// ```
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    misspelling::nearest(name, KEYS.iter().map(|key| key.name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_key_is_there_once_and_in_the_style_of_its_readers() {
        let mut names = HashSet::new();
        for key in KEYS {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            assert!(key.name.bytes().all(plain), "{}", key.name);
            assert!(names.insert(key.name), "{}", key.name);
            assert_eq!(find(key.name).unwrap().name, key.name);
        }
        assert!(!is_known("domain"));
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
            assert_eq!(nearest(word), Some(meant), "{word}");
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
}
