// SPDX-License-Identifier: GPL-3.0-or-later
//! Which peers differ from the database in use, and how they are brought in line with it.
//!
//! ```text
//!   a database is loaded --> [standing] what waits, of which peers
//!   an operator asks for it --> [applying] KILL, ADD or ifup, a few at a time --> Reply::Applied
//! ```

mod applying;
pub(super) mod found;
mod page;
mod standing;

use std::collections::{BTreeMap, VecDeque};

use connect_ipc::RunId;
use connect_ipc::changes::Remedy;

use super::requester::OperatorRequest;

/// For how many peers changes are under way at a time, so that few tunnels are down at once, and
/// few scripts wait.
const AT_ONCE: usize = 16;

/// The changes that are being applied.
#[derive(Clone, Debug)]
pub(super) struct Applying {
    by: OperatorRequest,
    /// The peers whose turn has not come.
    waiting: VecDeque<String>,
    /// Those for which something was begun.
    under_way: BTreeMap<String, Begun>,
    /// Those whose new address another peer had, which may be about to get another one; with the
    /// failure.
    taken: Vec<(String, Vec<String>)>,
    /// Whether a change has succeeded since those were last tried.
    has_progressed: bool,
    /// Whether the operator is gone.
    is_abandoned: bool,
}

impl Applying {
    /// How many of those under way are waited for. Nobody waits for scripts once the operator is
    /// gone: they end without us, or never.
    fn awaited(&self) -> usize {
        let begun = self.under_way.values();
        let awaited = begun.filter(|begun| !self.is_abandoned || begun.run.is_none());
        awaited.count()
    }

    /// Whether as many changes as are allowed are under way.
    fn is_full(&self) -> bool {
        self.awaited() >= AT_ONCE
    }

    /// How many peers are not done.
    pub(super) fn left(&self) -> usize {
        self.waiting.len() + self.under_way.len() + self.taken.len()
    }

    /// Whether something is to be begun now.
    pub(super) fn has_more(&self) -> bool {
        !self.is_full() && !self.waiting.is_empty()
    }
}

/// What was begun for a peer.
#[derive(Clone, Copy, Debug)]
struct Begun {
    remedy: Remedy,
    /// The run of its `ifup`, once ordered.
    run: Option<RunId>,
}
