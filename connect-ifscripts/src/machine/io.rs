// SPDX-License-Identifier: GPL-3.0-or-later
//! What goes into the machine and what comes out of it; both can be serialized.

use std::sync::Arc;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::lookup::Lookup;
use connect_ipc::scripts::{Child, Ended, FromScripts, Run, ToScripts, UnderWay};
use serde::{Deserialize, Serialize};

use crate::ledger::{Entry, Origin};

/// What can happen.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// Core has sent a message.
    Core(ToScripts),
    /// Core has sent something that is not a message; this is what is wrong with it.
    Malformed(String),
    /// A run may be started. One is started at a time, so that many new runs do not delay the
    /// output of children that already run. A child that is created now has this origin.
    Turn(Origin),
    /// A run that [`Output::Start`] asked for has a child now.
    Started {
        /// Which run.
        run: RunId,
        /// The child.
        child: Child,
    },
    /// It could not be started.
    NotStarted {
        /// Which run.
        run: RunId,
        /// Why, and what to do.
        why: String,
    },
    /// What a child has written, and which of its streams have ended. Core gets it.
    Said(Vec<FromScripts>),
    /// A child has ended and was reaped, or an adopted one has ended.
    Reaped {
        /// Of which run.
        run: RunId,
        /// How it ended.
        end: Ended,
        /// Whether another process still holds one of its pipes.
        open: bool,
    },
    /// The last pipe of a reaped child was closed.
    Closed {
        /// Of which run.
        run: RunId,
    },
    /// The child that was to be adopted exists.
    Found {
        /// Of which run.
        run: RunId,
        /// How old it is.
        age: Duration,
    },
    /// The child that was to be adopted has ended before it was found.
    Gone {
        /// Of which run.
        run: RunId,
    },
    /// Time has passed.
    Time {},
}

/// What is to be done, in this order.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Write this to the journal. It must be written before a child is created and before core gets
    /// another message; several entries may be written at once.
    Journal(Entry),
    /// This run was accepted: list it for core after the connection was lost.
    Accepted(UnderWay),
    /// Core has settled these runs: do not list them any more.
    Forget(Vec<RunId>),
    /// Send core this message.
    ToCore(FromScripts),
    /// Start this run. The answer is [`Input::Started`] or [`Input::NotStarted`].
    Start(Arc<Run>),
    /// Look for this child and watch it. The answer is [`Input::Found`] or [`Input::Gone`].
    Adopt {
        /// Of which run.
        run: RunId,
        /// The child.
        child: Child,
    },
    /// Look this host name up. The answer is [`Input::Said`].
    LookUp(Lookup),
    /// Do this to the child of a run.
    Act(RunId, Action),
}

/// What can be done to a child.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Send `TERM` to its process group.
    Terminate,
    /// Send `KILL` to its process group.
    Kill,
    /// Close the pipes that are still open although it was reaped.
    CloseOutput,
}
