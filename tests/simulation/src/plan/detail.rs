// SPDX-License-Identifier: GPL-3.0-or-later
//! In which way a fault comes, for the coverage: faults of one kind that do different things have a
//! row each.

use super::fault::{
    DatabaseChange, Fault, Greeting, JournalLoss, Kept, OperatorAct, OthersAct, PathChange,
};
use super::host::Part;
use super::site::Habit;

impl Fault {
    /// The name under which it is counted besides [`Fault::name`], if there are several ways.
    #[must_use]
    pub const fn detail(&self) -> Option<&'static str> {
        Some(match self {
            Fault::Kill {
                part: Part::Core,
                state,
                ..
            } => state.name(),
            Fault::ServerRestart { with_peers, .. } => {
                if *with_peers {
                    "restart server: with its peers"
                } else {
                    "restart server: without peers"
                }
            }
            Fault::Database { change } => change.name(),
            Fault::Journal { loss } => loss.name(),
            Fault::Path { change, .. } => change.name(),
            Fault::Others { act, .. } => act.name(),
            Fault::Greeting { greeting } => greeting.name(),
            Fault::Operator { act } => act.name(),
            _ => return None,
        })
    }
}

impl Kept {
    const fn name(self) -> &'static str {
        match self {
            Kept::Last => "kill core: last state",
            Kept::Older(_) => "kill core: older state",
            Kept::None => "kill core: no state",
            Kept::OfOtherServer => "kill core: state of another server",
        }
    }
}

impl DatabaseChange {
    const fn name(&self) -> &'static str {
        match self {
            DatabaseChange::Record { .. } => "database: another value",
            DatabaseChange::Unwatched(..) => "database: not watched for a moment",
            DatabaseChange::Removed(_) => "database: record removed",
            DatabaseChange::New(_) => "database: new record",
            DatabaseChange::Broken => "database: broken",
            DatabaseChange::Missing => "database: missing",
            DatabaseChange::Back => "database: as before",
            DatabaseChange::OfOtherSite => "database: of another site",
        }
    }
}

impl JournalLoss {
    const fn name(self) -> &'static str {
        match self {
            JournalLoss::Removed => "journal lost: removed",
            JournalLoss::Damaged(_) => "journal lost: damaged",
        }
    }
}

impl PathChange {
    /// The name under which it is counted.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PathChange::Loss(_) => "path: loses",
            PathChange::Duplicate(_) => "path: duplicates",
            PathChange::Delay(_) => "path: delays",
            PathChange::Reorder(_) => "path: reorders",
            PathChange::Down { both: false, .. } => "path: down one way",
            PathChange::Down { both: true, .. } => "path: down both ways",
            PathChange::Heal => "path: healed",
        }
    }
}

impl OthersAct {
    const fn name(self) -> &'static str {
        match self {
            OthersAct::Add => "others change peers: add",
            OthersAct::Kill => "others change peers: kill",
            OthersAct::KillAndAdd => "others change peers: kill and add",
            OthersAct::AddAndKill => "others change peers: add and kill",
            OthersAct::Bye => "others change peers: goodbye",
        }
    }
}

impl Greeting {
    /// The name under which it is counted.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Greeting::Live => "greeting: awaited",
            Greeting::Late => "greeting: too late",
            Greeting::Stale => "greeting: made up",
        }
    }
}

impl OperatorAct {
    const fn name(&self) -> &'static str {
        match self {
            OperatorAct::Status => "operator: asks for the state",
            OperatorAct::Events(_) => "operator: reads events",
            OperatorAct::EventsUnread(_) => "operator: does not read events",
            OperatorAct::Flood(_) => "operator: floods",
            OperatorAct::Changes => "operator: asks for changes",
            OperatorAct::Apply => "operator: applies changes",
            OperatorAct::RunScript { .. } => "operator: runs a script",
            OperatorAct::Records => "operator: reads records",
            OperatorAct::Reload => "operator: reloads",
            OperatorAct::Leaves => "operator: leaves in an answer",
        }
    }
}

impl Habit {
    /// The name under which a script is counted that does this.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Habit::Quick(0) => "script: succeeds",
            Habit::Quick(_) => "script: fails",
            Habit::Slow(..) => "script: slow",
            Habit::Signal(_) => "script: ended by a signal",
            Habit::Hangs => "script: hangs",
            Habit::Deaf => "script: deaf to TERM",
            Habit::Stays => "script: stays without a challenge",
            Habit::Floods(_) => "script: floods",
            Habit::ClosesOutput => "script: closes its output",
            Habit::LeavesGrandchild(_) => "script: leaves a process behind",
            Habit::NotStarted(_) => "script: cannot be started",
            Habit::Greets(_) => "script: greets",
            Habit::Babbles => "script: writes no challenge",
        }
    }
}
