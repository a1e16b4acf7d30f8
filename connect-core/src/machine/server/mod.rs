// SPDX-License-Identifier: GPL-3.0-or-later
//! The connection to tripe(8): the state of joining it, unanswered commands, and the lines it
//! sends.
//!
//! ```text
//!   Down --connected--> Joining: WATCH, SVCCLAIM, LIST --listed--> Up
//!     ^------------------------lost------------------------------+
//! ```

mod answers;
mod asking;
mod awaited;
mod connection;
mod join;
mod notifications;
mod outage;
mod pending;
mod questions;
mod replaced;
mod stage;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink;
use tripe_admin::session::Session;

use super::input::Config;
use awaited::Awaited;
use connect_ipc::setup::ServerRun;
use outage::Outage;
use questions::Questions;
use stage::Stage;

pub(super) use replaced::Replaced;

pub(super) use pending::{AfterAlgs, Pending, PingWord};

/// The connection and what is known of the server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) session: Session<Pending>,
    stage: Stage,
    /// The run of the server that was connected last, if it is certain.
    run: Option<ServerRun>,
    /// The run whose peers are known.
    listed_run: Option<ServerRun>,
    /// Whether it is another run than the one that was connected before.
    is_another: bool,
    /// Whether its peers were listed at least once since core started.
    joined_before: bool,
    pub(super) questions: Questions,
    /// Its answers that are due.
    pub(super) awaited: Awaited,
    /// Why it could not be reached since it was last joined.
    outage: Outage,
    /// When core stops waiting for a server that was never joined.
    wait_until: Option<Monotonic>,
    /// When core ends although the server has not answered the release.
    release_by: Option<Monotonic>,
    /// Whether core is to end.
    pub(super) leaving: bool,
}

impl Server {
    /// The turn at `now` ends: notes which answers are due.
    pub(super) fn end_turn(&mut self, now: Monotonic) {
        self.awaited.end_turn(self.session.oldest_waiting(), now);
    }

    /// A server that was not connected yet.
    pub(super) fn new(config: &Config) -> Self {
        Server {
            session: Session::default(),
            stage: Stage::Down(Replaced::default()),
            run: None,
            listed_run: None,
            is_another: false,
            joined_before: false,
            questions: Questions::default(),
            awaited: Awaited::default(),
            outage: Outage::default(),
            wait_until: config
                .server_wait
                .map(|wait| config.started + wait.duration()),
            release_by: None,
            leaving: false,
        }
    }

    /// The peers that were added or removed before the service was ours, until core has joined.
    const fn replaced(&mut self) -> Option<&mut Replaced> {
        match &mut self.stage {
            Stage::Joining(joining) => Some(&mut joining.replaced),
            Stage::Down(replaced) => Some(replaced),
            Stage::Up => None,
        }
    }

    fn take_replaced(&mut self) -> Replaced {
        self.replaced().map(std::mem::take).unwrap_or_default()
    }

    /// The state of the connection.
    pub(super) const fn link(&self) -> ServerLink {
        match self.stage {
            Stage::Down(_) => ServerLink::Down,
            Stage::Joining(_) => ServerLink::Joining,
            Stage::Up => ServerLink::Up,
        }
    }

    /// Whether lines can be sent to it.
    pub(super) const fn is_connected(&self) -> bool {
        !matches!(self.stage, Stage::Down(_))
    }

    /// Whether the service is ours, so that notifications are ours to act on.
    fn is_claimed(&self) -> bool {
        match &self.stage {
            Stage::Down(_) => false,
            Stage::Joining(joining) => joining.is_claimed(),
            Stage::Up => true,
        }
    }

    /// Whether its peers were listed at least once since core started.
    pub(super) const fn joined_before(&self) -> bool {
        self.joined_before
    }

    /// The run whose peers are known, whether it is connected or not.
    pub(super) const fn listed_run(&self) -> Option<ServerRun> {
        self.listed_run
    }

    /// When a wait ends.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let (claim, start) = match &self.stage {
            Stage::Down(_) => (None, self.wait_until),
            Stage::Joining(joining) => (joining.deadline(), self.awaited.answer_by),
            Stage::Up => (None, None),
        };
        [claim, start, self.release_by].into_iter().flatten().min()
    }
}
