// SPDX-License-Identifier: GPL-3.0-or-later
//! What the comparison leaves out, each with its name and its reason. The page of differences ends
//! with this list. What leaves something out asks here whether it may, or names the tolerance.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::promise::Promise;
use crate::world::Provider;

/// Something in which product and manual may differ without a name for it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Tolerance {
    /// When something happens.
    Instants,
    /// The order of what concerns different peers.
    OrderOfSubjects,
    /// What happens while other things are under way.
    NotAtRest,
    /// What is told to others than the server.
    OtherListeners,
    /// A database that cannot be read.
    UnreadableDatabase,
    /// What the product keeps for its next start.
    KeptState,
    /// A service that goes on without its server.
    LostServer,
    /// What concerns a peer that only one of the two has.
    OtherPeers,
    /// The answer of `adopted` about other peers.
    AdoptedPeers,
    /// How often the same comes again.
    Repetition,
    /// When children are ended.
    EndedChildren,
    /// How long a peer takes that comes back.
    Recovery,
    /// One check more or less.
    OneCheck,
    /// How often something happens to a peer that goes in between.
    CountsOfThoseWhoGo,
    /// A short delay.
    Delay,
    /// An interval that has changed.
    ChangedInterval,
    /// What the service asks the server.
    Questions,
    /// The tags of commands.
    Tags,
    /// The order of the options of `ADD`.
    OrderOfOptions,
    /// The order of the lines of an answer.
    OrderOfLines,
    /// The names of interfaces.
    Interfaces,
    /// A check that ended with its peer.
    CutChecks,
    /// After which stimulus a check began.
    BeginOfChecks,
    /// The figures themselves.
    Figures,
    /// Refusals that nobody met.
    Refusals,
    /// Promises that twins cannot be held against.
    Promises,
}

/// How a tolerance comes about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It is asked for where it changes an outcome, and can be switched off.
    Asked,
    /// It follows from how twins are played, and is named there.
    Built,
}

/// What there is to say of a tolerance.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which.
    pub tolerance: Tolerance,
    /// Its name.
    pub name: &'static str,
    /// How it comes about.
    pub kind: Kind,
    /// What is not compared: a sentence.
    pub what: &'static str,
    /// Why not: a sentence.
    pub why: &'static str,
}

const fn entry(
    tolerance: Tolerance,
    name: &'static str,
    kind: Kind,
    what: &'static str,
    why: &'static str,
) -> Entry {
    Entry {
        tolerance,
        name,
        kind,
        what,
        why,
    }
}

/// All tolerances, in the order of the page.
#[rustfmt::skip]
pub const ALL: &[Entry] = &[
    entry(Tolerance::Instants, "instants", Kind::Built,
        "What both do is put in order by the occurrence after which it comes, and not by its time.",
        "The first checks after a start are spread out, so the two make them at different instants."),
    entry(Tolerance::OrderOfSubjects, "order-of-subjects", Kind::Built,
        "For each peer there is one sequence of commands and checks, one of `ifup` and `ifdown`, and one of `connect` \
         and `disconnect`; the order of items of different sequences is not compared.",
        "The manual gives no order among peers, nor between a script and a ping."),
    entry(Tolerance::NotAtRest, "not-at-rest", Kind::Built,
        "An occurrence comes only when both have come to rest after the one before it; only a suspension of the host \
         may begin while a ping is under way.",
        "What is under way depends on the instants of the checks, so each of the two would meet the occurrence in \
         another state; the rest of the simulation has faults at all times."),
    entry(Tolerance::OtherListeners, "other-listeners", Kind::Built,
        "What the service tells its own sockets, the log and the service manager is not looked at.",
        "The manual does not have them."),
    entry(Tolerance::UnreadableDatabase, "unreadable-database", Kind::Built,
        "The executable manual is not told that the database cannot be read.",
        "The manual does not say what follows from it."),
    entry(Tolerance::KeptState, "kept-state", Kind::Built,
        "A service that is started again has neither a state file nor a journal of scripts.",
        "The manual has neither; other tests show what a restart remembers."),
    entry(Tolerance::LostServer, "lost-server", Kind::Built,
        "When the server ends, the service ends with it and is started again, with a database that can be read.",
        "The original does this; other tests show how the service survives its server."),
    entry(Tolerance::OtherPeers, "other-peers", Kind::Asked,
        "If only one of the two servers has a peer, or each has it at another address or with another key, what \
         happens to the peer is not compared until both have it or neither does.",
        "The difference is compared where it begins, and everything after it is different."),
    entry(Tolerance::AdoptedPeers, "adopted-peers", Kind::Asked,
        "While the two servers have different peers, the answers to `adopted` are not compared.",
        "The answer lists these peers."),
    entry(Tolerance::Repetition, "repetition", Kind::Asked,
        "If a group of up to six items is repeated directly, the repetitions are not counted.",
        "How often a check of a peer that does not answer fails between two occurrences depends on the instants of its \
         checks; how often a peer becomes unreachable is compared as a number."),
    entry(Tolerance::EndedChildren, "ended-children", Kind::Asked,
        "Where in its sequence a child is ended, and how often that happens, is not compared.",
        "Each new attempt to connect ends the child of the one before it, and how many attempts there are depends on \
         the instants of the checks."),
    entry(Tolerance::Recovery, "recovery", Kind::Asked,
        "How many attempts the first check needs that an unreachable peer answers is not compared.",
        "The peer comes back in the middle of a check, at an attempt that depends on the instants of its checks."),
    entry(Tolerance::OneCheck, "one-check", Kind::Asked,
        "The numbers of checks that are answered at once between two occurrences may differ by one.",
        "One check more or less depends on the instants of the checks."),
    entry(Tolerance::CountsOfThoseWhoGo, "counts-of-those-who-go", Kind::Asked,
        "How many checks were answered, and how often a peer was unreachable, is not compared if only one of the two \
         servers has the peer at the next occurrence.",
        "A peer that has gone is not checked any more."),
    entry(Tolerance::Delay, "delay", Kind::Asked,
        "A ping may be sent up to 2 milliseconds later than the manual says.",
        "The service hands the server the pings of 2 milliseconds together."),
    entry(Tolerance::ChangedInterval, "changed-interval", Kind::Asked,
        "After a change of `every`, `watch` or `connect`, a check may be as late as the longer of the two intervals allows.",
        "The manual does not say when a new interval counts for a peer that waits."),
    entry(Tolerance::Questions, "questions", Kind::Asked,
        "The commands `WATCH`, `SVCQUERY`, `SVCCLAIM`, `SVCRELEASE`, `LIST`, `IFNAME`, `ADDR`, `ALGS` and `GETCHAL` \
         are not compared.",
        "With them the service joins and leaves the server and asks it what it needs to know; the manual does not say how."),
    entry(Tolerance::Tags, "tags", Kind::Asked,
        "The tags of background commands are not compared.",
        "tripe-admin(5) lets the client choose them."),
    entry(Tolerance::OrderOfOptions, "order-of-options", Kind::Asked,
        "The order of the options of `ADD` is not compared.",
        "They mean the same in any order."),
    entry(Tolerance::OrderOfLines, "order-of-lines", Kind::Asked,
        "The order of the lines of an answer is not compared.",
        "The manual says that `info` has an arbitrary order, and names none for lists."),
    entry(Tolerance::Interfaces, "interfaces", Kind::Asked,
        "The name of its own interface in the arguments of a script is not compared.",
        "The server numbers interfaces by how many peers it has added before."),
    entry(Tolerance::CutChecks, "cut-checks", Kind::Asked,
        "A check whose only ping was refused, or ended with its peer, is not compared, unless the service sends \
         a warning or a notification about it. Nor is the `BGCANCEL` for the ping of a peer that is disowned.",
        "Whether a ping is under way when a peer goes depends on the instants of its checks."),
    entry(Tolerance::BeginOfChecks, "begin-of-checks", Kind::Asked,
        "If a check leads to a warning or a notification, it belongs to the last occurrence before the warning or \
         notification, not to the last occurrence before its first ping.",
        "Whether an occurrence comes while the first ping is under way depends on the instants of the checks."),
    entry(Tolerance::Figures, "figures", Kind::Asked,
        "The figures of `info` are compared with the pings that were sent and answered, for each of the two alone, and \
         not with each other.",
        "The two have sent different numbers of pings, which took different times."),
    entry(Tolerance::Refusals, "refusals", Kind::Asked,
        "The server stops refusing at the next occurrence.",
        "How many of the commands to be refused are sent before that depends on the instants of the checks."),
    entry(Tolerance::Promises, "promises", Kind::Asked,
        "Of the promises of the simulation, only those about the lines sent to the server are checked, for both \
         services. The promise that each command has a cause is not. The executable manual may add a peer that \
         the server has, and may send a line that the server does not understand if a name looks like an option.",
        "The test does not see scripts, so it does not know which script has caused a `GREET`. The manual says only \
         that `ADD` is submitted, and gives names as they are."),
];

impl Tolerance {
    /// What there is to say of it. The list has the order of the type.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        &ALL[self as usize]
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Tolerance> {
        let found = ALL.iter().find(|entry| entry.name == name)?;
        Some(found.tolerance)
    }
}

/// The tolerances that are in force, and which of them were met.
#[derive(Clone, Debug, Default)]
pub struct Tolerances {
    off: Option<Tolerance>,
    met: RefCell<BTreeSet<Tolerance>>,
}

impl Tolerances {
    /// All but this one.
    #[must_use]
    pub fn without(tolerance: Tolerance) -> Self {
        Tolerances {
            off: Some(tolerance),
            ..Tolerances::default()
        }
    }

    /// Whether a tolerance holds. It is asked only where it changes what comes out.
    pub(crate) fn leave_out(&self, tolerance: Tolerance) -> bool {
        self.met.borrow_mut().insert(tolerance);
        self.off != Some(tolerance)
    }

    /// Whether something is sent too late, which is so many nanoseconds late.
    pub(crate) fn is_late(&self, by: u64) -> bool {
        by > 0 && !(by <= LONGEST_DELAY && self.leave_out(Tolerance::Delay))
    }

    /// Whether one number of answered checks is another.
    pub(crate) fn differ(&self, left: u32, right: u32) -> bool {
        let by = left.abs_diff(right);
        by > 1 || by == 1 && !self.leave_out(Tolerance::OneCheck)
    }

    /// Whether a provider may break a promise.
    pub(crate) fn excuses(&self, promise: Promise, provider: Provider, has_options: bool) -> bool {
        let is_excused = match (promise, provider) {
            (Promise::Causes, _) | (Promise::NoKnownAdd, Provider::Manual) => true,
            (Promise::Lines, Provider::Manual) => has_options,
            _ => false,
        };
        is_excused && self.leave_out(Tolerance::Promises)
    }

    /// The names of those that were met.
    #[must_use]
    pub fn met(&self) -> BTreeSet<&'static str> {
        let met = self.met.borrow();
        met.iter().map(|tolerance| tolerance.entry().name).collect()
    }
}

/// [`Tolerance::Delay`]: how much later than its time a ping may be sent.
const LONGEST_DELAY: u64 = 2_000_000;

/// [`Tolerance::Repetition`]: the longest block of items whose repetition counts as one.
pub(crate) const LONGEST_BLOCK: usize = 6;
