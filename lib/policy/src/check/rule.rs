// SPDX-License-Identifier: GPL-3.0-or-later
//! What the check can find, with the severity and the words of each finding.

use peerdb::alike::NameDoubt;
use peerdb::characters::Suspect;
use peerdb::finding::Fault;
use peerdb::{Name, RecordFault, Severity, Value};
use tripe_admin::session::MAX_SENT;

use super::address::HostFault;
use super::networks::NetworkFault;
use super::quotes::QuoteFault;
use crate::keys::{self, Reader};
use crate::resolving;
use crate::size;
use crate::value::Expected;

/// The longest sensible interval, in days. No manual gives one: a week is longer than any pause
/// between pings or any script that somebody waits for.
const LONGEST_DAYS: u32 = 7;

/// The longest sensible interval, in seconds.
pub(super) const LONGEST: u32 = LONGEST_DAYS * 86_400;

/// What an interval of zero does.
fn zero(key: &str) -> &'static str {
    // The time limits of scripts, which are none without the key.
    if key.ends_with("-timeout") {
        "so the script is ended at once: give it some seconds, or remove the key for no limit"
    } else if keys::find(key).is_some_and(|key| key.reader == Reader::Service) {
        "but the service waits for a second at least: give it some seconds"
    } else {
        "which leaves no time for anything: give it some seconds"
    }
}

/// One kind of mistake.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub(crate) enum Rule {
    /// A record is damaged in the file.
    #[error("{0}")]
    Damaged(RecordFault),
    /// A value is not of its key's type.
    #[error("{key} is {value}, where {expected} is expected: correct it")]
    Value {
        key: Name,
        value: Value,
        expected: Expected,
    },
    /// A value that means "false", but does not look like it.
    #[error(
        "{key} = {value} is not true here, so it counts as false: write t (or true, y, yes, on), \
         or f if false is meant"
    )]
    Flag { key: Name, value: Value },
    /// The host in an address is malformed.
    #[error("peer has the host {host}, which {fault}")]
    Host { host: Value, fault: HostFault },
    /// A word of `nets` is not a network.
    #[error("{key} has {word}, which {fault}")]
    Network {
        key: Name,
        word: Value,
        fault: NetworkFault,
    },
    /// A character that cannot be seen, or that looks like another one.
    #[error("{part} has the character {suspect}: {}", suspect.remedy())]
    Character {
        key: Option<Name>,
        part: Name,
        suspect: Suspect,
    },
    /// The peer's name looks like another one.
    #[error("{0}")]
    Alike(NameDoubt),
    /// The quotes of a command are probably not as they were meant.
    #[error("{key} {fault}")]
    Quotes { key: Name, fault: QuoteFault },
    /// An interval of zero where that makes no sense.
    #[error("{key} is zero, {}", zero(.key))]
    Zero { key: Name },
    /// An interval that is probably a mistake.
    #[error(
        "{key} is {seconds} s, which is longer than {LONGEST} s ({LONGEST_DAYS} days) and \
         probably a mistake: shorten it, or correct its unit (d, h, m or s)"
    )]
    Long { key: Name, seconds: u32 },
    /// Pings that need too long to show that the peer does not answer.
    #[error(
        "a peer that does not answer is down only after {} s (timeout × retries = {timeout} s × \
         {retries}), which is longer than {LONGEST} s ({LONGEST_DAYS} days) and probably a \
         mistake: shorten timeout, or lower retries",
        u64::from(*.timeout) * u64::from(*.retries)
    )]
    LateVerdict { timeout: u32, retries: u32 },
    /// An empty command.
    #[error("{key} is empty, so nothing can be run: remove the key, or name a command")]
    EmptyCommand { key: Name },
    /// A program's arguments look as if they were meant for a shell.
    #[error(
        "{key} is run without a shell, but {word} seems to be meant for a shell: name a \
             script"
    )]
    NeedsShell { key: Name, word: Value },
    /// A program without its directory.
    #[error(
        "{key} names the program {program} without its directory, so it depends on the service's \
         environment which one is run: write its full name"
    )]
    RelativeProgram { key: Name, program: Value },
    /// `PASSIVE` in other letters.
    #[error(
        "peer is {value}, which counts as the name of a host: for a passive peer write \
             PASSIVE"
    )]
    NotQuitePassive { value: Value },
    /// A NUL character, which can neither be sent nor given to a script.
    #[error("{key} has a NUL character in it: remove it")]
    Nul { key: Name },
    /// A key that nobody reads, but that is like one that somebody does.
    #[error(
        "no program reads {key}; was {meant} meant? If one of your scripts reads it, ignore this"
    )]
    Unknown { key: Name, meant: &'static str },
    /// Two keys that scripts get under the same name.
    #[error("scripts get both {key} and {other} as {variable}, so one is lost: rename one of them")]
    SameVariable {
        key: Name,
        other: Name,
        variable: Name,
    },
    /// A peer's name cannot be sent to the server.
    #[error("the peer's name has a line break or a NUL character in it: rename the section")]
    UnsendableName,
    /// A peer's name looks like an option.
    #[error(
        "the peer's name starts with -, so some servers take it for an option: rename the section"
    )]
    NameLikeOption,
    /// No address and not passive either.
    #[error(
        "there is no key peer, so the peer cannot be added by the service, but only watched once \
         somebody else has added it: assign its address, or PASSIVE"
    )]
    NoAddress,
    /// An active peer's key at a passive peer.
    #[error(
        "{key} is for a peer that this host contacts, but peer is PASSIVE: assign the peer's \
         address, or remove {key}"
    )]
    PassiveWith { key: &'static str },
    /// Both ways of making a dynamic connection.
    #[error(
        "both connect and knock are assigned, but each of them makes the connection alone: \
         remove one"
    )]
    ConnectAndKnock,
    /// A single attempt for a dynamic peer, after which it is reconnected whatever was lost.
    #[error(
        "retries is {retries}, so there is no time for a changed address to be noticed before a \
         dynamic peer counts as down: raise retries"
    )]
    NoAttemptsLeft { retries: u32 },
    /// Pings too far apart for a dynamic peer.
    #[error(
        "every is {every} s but should be at most {} s for a dynamic peer (timeout × (retries − 1) \
         = {timeout} s × ({retries} − 1)); otherwise a changed address may go unnoticed: shorten it, \
         or raise retries",
        timeout.saturating_mul(retries.saturating_sub(1))
    )]
    Slow {
        every: u32,
        timeout: u32,
        retries: u32,
    },
    /// A dynamic peer that nobody watches.
    #[error(
        "the peer is not watched, so its dynamic connection is not made again when it fails: \
         assign watch = t"
    )]
    DynamicUnwatched,
    /// Settings for pings that are never sent.
    #[error(
        "{key} has no effect, since the peer is not watched: assign watch = t, or remove {key}"
    )]
    Unwatched { key: &'static str },
    /// The longest pause is shorter than the first.
    #[error(
        "backoff-max is {longest} s, shorter than backoff with {first} s, so it has no effect: make \
         it longer, or remove it"
    )]
    BackoffMax { first: u32, longest: u32 },
    /// A lookup that is never made.
    #[error(
        "re-resolve has no effect: it is for a watched peer whose address is given by a host name; \
         remove it, or assign watch = t and a host name in peer"
    )]
    NothingToResolve,
    /// A passive peer whose knocks are all refused.
    #[error(
        "knocks of this peer are refused, since without a key its tag would have to be {name}, \
         and the tag is only what follows the dot: assign key"
    )]
    KnockTag { name: Name },
    /// The command that adds the peer is too long.
    #[error(
        "the command that adds the peer is {length} bytes long, but the server takes at most \
         {MAX_SENT}: shorten the name, the address or the options"
    )]
    LongCommand { length: usize },
    /// The record does not fit into a message between the processes.
    #[error("{}", size::too_large(*.size))]
    TooLarge { size: usize },
    /// Two peers want the same interface name.
    #[error("the interface name {ifname} is also that of peer {first}: give each peer its own")]
    SameInterface { ifname: Value, first: Name },
    /// Two peers at one address.
    #[error(
        "the address {address} is also that of peer {first}, and the server accepts an address \
         only once: correct one of them, or make sure that both peers are never added at the \
         same time"
    )]
    SameAddress { address: Value, first: Name },
    /// A user that stands for a peer without a record.
    #[error(
        "the user {user} belongs to the peer {peer}, which has no record: define it, or remove \
         the user"
    )]
    UserWithoutPeer { user: Name, peer: Name },
    /// A user that stands for an active peer.
    #[error(
        "the user {user} is for passive connections, but the peer is not PASSIVE: remove user, \
         or correct peer"
    )]
    UserOfActive { user: Name },
    /// A peer to be added at start-up that has no record.
    #[error(
        "the peer {peer} is to be added at start-up, but has no record: define it, or take it \
         off the list"
    )]
    AutoMissing { peer: Name },
    /// A passive peer to be added at start-up.
    #[error("the peer is to be added at start-up, but is PASSIVE and has no address: remove auto")]
    AutoPassive,
    /// `when-dead = retry` for a peer that is not removed when it does not answer, or not on the
    /// list.
    #[error(
        "when-dead = retry has no effect: it is for a watched peer with an address that is on the \
         start-up list, and with connect only if it has ephemeral or mobile too: assign watch = t \
         and auto = t, or remove when-dead"
    )]
    NoRetry,
    /// `when-dead = retry` for a passive peer.
    #[error(
        "when-dead = retry has no effect for a passive peer, which has no address: remove when-dead"
    )]
    RetryPassive,
    /// A peer twice on the list.
    #[error("the peer {peer} is on the start-up list more than once: compile again")]
    AutoTwice { peer: Name },
    /// `auto` is true, but the peer is not on the list.
    #[error("auto is true, but the peer is not on the start-up list: compile again")]
    AutoUnlisted,
}

impl Fault for Rule {
    fn severity(&self) -> Severity {
        match self {
            Rule::Host { fault, .. } => fault.severity(),
            // A script may know better what it can do with its own keys.
            Rule::Value { key, .. }
                if keys::find(key).is_some_and(|key| key.reader == Reader::Ifup) =>
            {
                Severity::Warning
            }
            Rule::Flag { .. }
            | Rule::Network { .. }
            | Rule::Quotes { .. }
            | Rule::Character { .. }
            | Rule::Zero { .. }
            | Rule::Long { .. }
            | Rule::LateVerdict { .. }
            | Rule::NoAddress
            | Rule::NameLikeOption
            | Rule::NothingToResolve
            | Rule::KnockTag { .. }
            | Rule::EmptyCommand { .. }
            | Rule::NeedsShell { .. }
            | Rule::Unknown { .. }
            | Rule::SameVariable { .. }
            | Rule::PassiveWith { .. }
            | Rule::NoAttemptsLeft { .. }
            | Rule::Slow { .. }
            | Rule::BackoffMax { .. }
            | Rule::SameInterface { .. }
            | Rule::SameAddress { .. }
            | Rule::UserOfActive { .. }
            | Rule::AutoTwice { .. }
            | Rule::NoRetry
            | Rule::RetryPassive
            | Rule::AutoUnlisted => Severity::Warning,
            Rule::RelativeProgram { .. }
            | Rule::Alike(_)
            | Rule::ConnectAndKnock
            | Rule::DynamicUnwatched
            | Rule::Unwatched { .. } => Severity::Hint,
            _ => Severity::Error,
        }
    }

    fn key(&self) -> Option<&str> {
        match self {
            Rule::Damaged(fault) => fault.key(),
            Rule::Value { key, .. }
            | Rule::Flag { key, .. }
            | Rule::Network { key, .. }
            | Rule::Quotes { key, .. }
            | Rule::Zero { key }
            | Rule::Long { key, .. }
            | Rule::EmptyCommand { key }
            | Rule::NeedsShell { key, .. }
            | Rule::RelativeProgram { key, .. }
            | Rule::Nul { key }
            | Rule::Unknown { key, .. }
            | Rule::SameVariable { key, .. } => Some(key),
            Rule::Character { key, .. } => key.as_deref(),
            Rule::PassiveWith { key } | Rule::Unwatched { key } => Some(key),
            Rule::NotQuitePassive { .. } | Rule::Host { .. } | Rule::SameAddress { .. } => {
                Some("peer")
            }
            Rule::ConnectAndKnock => Some("connect"),
            Rule::NoAttemptsLeft { .. } => Some("retries"),
            Rule::Slow { .. } => Some("every"),
            Rule::LateVerdict { .. } => Some("timeout"),
            Rule::BackoffMax { .. } => Some("backoff-max"),
            Rule::SameInterface { .. } => Some("ifname"),
            Rule::UserOfActive { .. } => Some("user"),
            Rule::NoRetry | Rule::RetryPassive => Some("when-dead"),
            Rule::NothingToResolve => Some(resolving::KEY),
            Rule::AutoPassive | Rule::AutoUnlisted => Some("auto"),
            _ => None,
        }
    }
}
