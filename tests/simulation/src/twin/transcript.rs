// SPDX-License-Identifier: GPL-3.0-or-later
//! What was said and done in a twin, in a form in which product and manual can be compared: by peer
//! and by the stimulus after which it came, not by time ([`Tolerance::Instants`]).

use std::collections::BTreeMap;
use std::fmt;

use connect_ipc::scripts::ScriptKind;

#[cfg(doc)]
use super::tolerances::Tolerance;

/// How often something happened to a peer after a stimulus.
pub type Counts = BTreeMap<(String, usize), u32>;

/// The peers that a server has, and at which addresses they were added.
pub type Present = BTreeMap<String, String>;

/// Everything that was said and done.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// The sequences, each in its order.
    pub sequences: BTreeMap<Place, Vec<Item>>,
    /// How many checks were answered at once.
    pub answered: Counts,
    /// How often a peer was found to be unreachable.
    pub unreachable: Counts,
    /// Which peers the server had when a stimulus came, and where they were added.
    pub present: BTreeMap<usize, Present>,
    /// Which it had when everything that came after a stimulus was over.
    pub left: BTreeMap<usize, Present>,
    /// What was wrong with times or figures.
    pub faults: Vec<String>,
}

/// Where an item belongs.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// After which stimulus it came.
    pub stimulus: usize,
    /// Of which peer it is, if of one.
    pub peer: String,
    /// In which sequence.
    pub sequence: Sequence,
}

/// Items of one sequence have an order. Those of different ones have none among each other
/// ([`Tolerance::OrderOfSubjects`]).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Sequence {
    /// Answers to commands of the service.
    Jobs,
    /// Commands to the server, what is told, and checks.
    Main,
    /// `ifup` and `ifdown`, and what is told of them.
    Interface,
    /// `connect` and `disconnect`, what is told of them, and greetings.
    Connection,
}

/// Something that was said or done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Item {
    /// A command of the service was answered.
    Answer {
        /// The command.
        command: String,
        /// The lines of information.
        lines: Vec<String>,
        /// What it failed with, if it failed.
        failed: Option<String>,
    },
    /// The server was given this command, here without tag and with its options in order.
    Command(String),
    /// Everybody was told this.
    Told(String),
    /// A script was started.
    Script {
        /// Which.
        kind: ScriptKind,
        /// The program with its arguments.
        argv: Vec<String>,
        /// Its variables but for the number of its run.
        environment: Vec<(String, String)>,
    },
    /// A script was ended.
    Stopped(ScriptKind),
    /// A check that was not answered at once.
    Check {
        /// How many pings it took.
        attempts: u32,
        /// How it ended.
        ended: CheckEnd,
        /// What was told of it.
        told: Vec<String>,
    },
    /// A peer is at the server in the end, at this address.
    There(String),
    /// How often a peer was unreachable, where the two differ in that.
    Times(u32),
    /// How many checks were answered at once, where the two differ in that.
    Answered(u32),
}

/// How a check ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CheckEnd {
    /// With a reply.
    Reply,
    /// The peer is unreachable.
    Unreachable,
    /// The peer was removed.
    PeerGone,
    /// The ping was refused.
    Refused,
    /// With a timeout although more attempts were left.
    GivenUp,
}

impl Item {
    /// Whether the item tells something that begins with one of these words.
    #[must_use]
    pub fn tells(&self, beginnings: &[&str]) -> bool {
        match self {
            Item::Told(line) => beginnings
                .iter()
                .any(|beginning| line.starts_with(beginning)),
            _ => false,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Answer {
                command,
                lines,
                failed,
            } => write!(f, "`{command}' {lines:?} {failed:?}"),
            Item::Command(line) => write!(f, "command {line}"),
            Item::Told(line) => write!(f, "told {line}"),
            Item::Script {
                kind,
                argv,
                environment,
            } => write!(f, "{} {argv:?} with {environment:?}", kind.name()),
            Item::Stopped(kind) => write!(f, "{} is ended", kind.name()),
            Item::Check {
                attempts,
                ended,
                told,
            } => write!(f, "check of {attempts} ends with {ended:?}, told {told:?}"),
            Item::There(address) => write!(f, "is there at {address}"),
            Item::Times(times) => write!(f, "unreachable {times} times"),
            Item::Answered(times) => write!(f, "{times} checks are answered"),
        }
    }
}
