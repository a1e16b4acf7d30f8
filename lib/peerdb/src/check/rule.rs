// SPDX-License-Identifier: GPL-3.0-or-later
//! What the check can find, with the level and the words of each finding.

use tripe_admin::session::MAX_SENT;

use crate::keys::{self, Reader};
use crate::level::Level;
use crate::problem::Problem;
use crate::value::{Expected, one_line, shown};

/// One kind of mistake.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rule {
    /// A record is damaged in the file.
    #[error("{0}")]
    Damaged(Problem),
    /// A value is not of its key's type.
    #[error(
        "{key} is {}, where {expected} is expected: correct it",
        shown(value),
        key = one_line(key)
    )]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What it should have been.
        expected: Expected,
    },
    /// A value that means "false", but does not look so.
    #[error(
        "{key} is {}, which counts as false: for true write t, true, y, yes or on",
        shown(value),
        key = one_line(key)
    )]
    Flag {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// An interval of zero where that makes no sense.
    #[error(
        "{key} is zero, which leaves no time for anything: give it some seconds",
        key = one_line(key)
    )]
    Zero {
        /// The key.
        key: String,
    },
    /// An empty command.
    #[error(
        "{key} is empty, so an empty command is run: remove the key, or name a command",
        key = one_line(key)
    )]
    EmptyCommand {
        /// The key.
        key: String,
    },
    /// A program's arguments look as if they were meant for a shell.
    #[error(
        "{key} is run without a shell, which {} seems to be meant for: name a script",
        shown(word),
        key = one_line(key)
    )]
    NeedsShell {
        /// The key.
        key: String,
        /// The word that looks so.
        word: String,
    },
    /// A program without its directory.
    #[error(
        "{key} names the program {} without its directory, so it depends on the service's \
         environment which one is run: write its full name",
        shown(program),
        key = one_line(key)
    )]
    RelativeProgram {
        /// The key.
        key: String,
        /// The program.
        program: String,
    },
    /// `PASSIVE` in other letters.
    #[error(
        "peer is {}, which is taken for a host: for a passive peer write PASSIVE",
        shown(value)
    )]
    NotQuitePassive {
        /// The value.
        value: String,
    },
    /// A NUL character, which can neither be sent nor given to a script.
    #[error("{key} has a NUL character in it: remove it", key = one_line(key))]
    Nul {
        /// The key.
        key: String,
    },
    /// A key that nobody reads, but that is like one that somebody does.
    #[error(
        "nobody reads {key}; was {meant} meant? If a script of yours reads it, all is well",
        key = one_line(key)
    )]
    Unknown {
        /// The key.
        key: String,
        /// The known key that it is like.
        meant: &'static str,
    },
    /// Two keys that scripts get under the same name.
    #[error(
        "scripts get both {key} and {other} as {variable}, so one is lost: rename one of them",
        key = one_line(key),
        other = one_line(other),
        variable = one_line(variable)
    )]
    SameVariable {
        /// The key that comes first.
        key: String,
        /// The other.
        other: String,
        /// The environment variable.
        variable: String,
    },
    /// A peer's name cannot be sent to the server.
    #[error("the peer's name has a line break or a NUL character in it: rename the section")]
    UnsendableName,
    /// A peer's name looks like an option.
    #[error(
        "the peer's name starts with -, so the server takes it for an option: rename the section"
    )]
    NameLikeOption,
    /// No address and not passive either.
    #[error("there is no key peer, so the peer cannot be added: assign its address, or PASSIVE")]
    NoAddress,
    /// An active peer's key at a passive peer.
    #[error(
        "{key} is for a peer that this host contacts, but peer is PASSIVE: assign the peer's \
         address, or remove {key}"
    )]
    PassiveWith {
        /// The key.
        key: &'static str,
    },
    /// Both ways of making a dynamic connection.
    #[error("there are both connect and knock, either of which makes the connection: remove one")]
    ConnectAndKnock,
    /// Pings too far apart for a dynamic peer.
    #[error(
        "every is {every} s, but should be at most {longest} s at a dynamic peer (timeout times \
         retries less one), lest a changed address go unnoticed: shorten it, or raise retries"
    )]
    Slow {
        /// The interval, in seconds.
        every: u32,
        /// The longest that is advised, in seconds.
        longest: u32,
    },
    /// A dynamic peer that nobody watches.
    #[error(
        "the peer is not watched, so its dynamic connection is not made anew when it fails: \
         assign watch = t"
    )]
    DynamicUnwatched,
    /// Settings for pings that are never sent.
    #[error(
        "{key} has no effect, since the peer is not watched: assign watch = t, or remove {key}"
    )]
    Unwatched {
        /// The key.
        key: &'static str,
    },
    /// The longest pause is shorter than the first.
    #[error(
        "backoff-max is shorter than backoff, so it has no effect: make it longer, or remove it"
    )]
    BackoffMax,
    /// A passive peer whose knocks are all refused.
    #[error(
        "knocks of this peer are refused, since without a key its tag would have to be {name}, \
         and the tag is only what follows the dot: assign key",
        name = one_line(name)
    )]
    KnockTag {
        /// The peer's name.
        name: String,
    },
    /// The command that adds the peer is too long.
    #[error(
        "the command that adds the peer is {length} bytes long, but the server takes at most \
         {MAX_SENT}: shorten the name, the address or the options"
    )]
    LongCommand {
        /// Its length in bytes.
        length: usize,
    },
    /// Two peers want the same interface name.
    #[error(
        "the interface name {} is the one of peer {first} too: give each its own",
        shown(ifname),
        first = one_line(first)
    )]
    SameInterface {
        /// The name of the interface.
        ifname: String,
        /// The other peer.
        first: String,
    },
    /// Two peers at one address.
    #[error(
        "the address {} is the one of peer {first} too, and the server takes an address only \
         once: correct one of them, or make sure that they are never there together",
        shown(address),
        first = one_line(first)
    )]
    SameAddress {
        /// The address.
        address: String,
        /// The other peer.
        first: String,
    },
    /// A user that stands for a peer without a record.
    #[error(
        "the user {user} stands for the peer {peer}, which has no record: define it, or remove \
         the user",
        user = one_line(user),
        peer = one_line(peer)
    )]
    UserWithoutPeer {
        /// The user.
        user: String,
        /// The peer.
        peer: String,
    },
    /// A user that stands for an active peer.
    #[error(
        "the user {user} is for passive connections, but the peer is not PASSIVE: remove user, \
         or correct peer",
        user = one_line(user)
    )]
    UserOfActive {
        /// The user.
        user: String,
    },
    /// A peer to be added at start-up that has no record.
    #[error(
        "the peer {peer} is to be added at start-up, but has no record: define it, or take it \
         off the list",
        peer = one_line(peer)
    )]
    AutoMissing {
        /// The peer.
        peer: String,
    },
    /// A passive peer to be added at start-up.
    #[error("the peer is to be added at start-up, but is PASSIVE and has no address: remove auto")]
    AutoPassive,
    /// A peer twice on the list.
    #[error(
        "the peer {peer} is on the start-up list more than once: compile again",
        peer = one_line(peer)
    )]
    AutoTwice {
        /// The peer.
        peer: String,
    },
    /// `auto` is true, but the peer is not on the list.
    #[error("auto is true, but the peer is not on the start-up list: compile again")]
    AutoUnlisted,
}

impl Rule {
    /// How bad it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            // A script may know better what it can do with its own keys.
            Rule::Value { key, .. } => match keys::find(key).map(|key| key.reader) {
                Some(Reader::Ifup) => Level::Warning,
                _ => Level::Error,
            },
            Rule::Damaged(_)
            | Rule::NotQuitePassive { .. }
            | Rule::Nul { .. }
            | Rule::UnsendableName
            | Rule::NameLikeOption
            | Rule::NoAddress
            | Rule::LongCommand { .. }
            | Rule::KnockTag { .. }
            | Rule::UserWithoutPeer { .. }
            | Rule::AutoMissing { .. }
            | Rule::AutoPassive => Level::Error,
            Rule::Flag { .. }
            | Rule::Zero { .. }
            | Rule::EmptyCommand { .. }
            | Rule::NeedsShell { .. }
            | Rule::Unknown { .. }
            | Rule::SameVariable { .. }
            | Rule::PassiveWith { .. }
            | Rule::Slow { .. }
            | Rule::BackoffMax
            | Rule::SameInterface { .. }
            | Rule::SameAddress { .. }
            | Rule::UserOfActive { .. }
            | Rule::AutoTwice { .. }
            | Rule::AutoUnlisted => Level::Warning,
            Rule::RelativeProgram { .. }
            | Rule::ConnectAndKnock
            | Rule::DynamicUnwatched
            | Rule::Unwatched { .. } => Level::Hint,
        }
    }

    /// The key at fault, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Rule::Damaged(problem) => problem.key(),
            Rule::Value { key, .. }
            | Rule::Flag { key, .. }
            | Rule::Zero { key }
            | Rule::EmptyCommand { key }
            | Rule::NeedsShell { key, .. }
            | Rule::RelativeProgram { key, .. }
            | Rule::Nul { key }
            | Rule::Unknown { key, .. }
            | Rule::SameVariable { key, .. } => Some(key),
            Rule::PassiveWith { key } | Rule::Unwatched { key } => Some(key),
            Rule::NotQuitePassive { .. } | Rule::SameAddress { .. } => Some("peer"),
            Rule::ConnectAndKnock => Some("connect"),
            Rule::Slow { .. } => Some("every"),
            Rule::BackoffMax => Some("backoff-max"),
            Rule::SameInterface { .. } => Some("ifname"),
            Rule::UserOfActive { .. } => Some("user"),
            Rule::AutoPassive | Rule::AutoUnlisted => Some("auto"),
            Rule::UnsendableName
            | Rule::NameLikeOption
            | Rule::NoAddress
            | Rule::DynamicUnwatched
            | Rule::KnockTag { .. }
            | Rule::LongCommand { .. }
            | Rule::UserWithoutPeer { .. }
            | Rule::AutoMissing { .. }
            | Rule::AutoTwice { .. } => None,
        }
    }
}
