// SPDX-License-Identifier: GPL-3.0-or-later
//! The stages of joining the server.

use connect_ipc::clock::Monotonic;
use tripe_admin::Failure;

use super::replaced::Replaced;

/// How far joining has come.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// No connection. What was seen on the last one, if it was lost before the claim.
    Down(Replaced),
    /// Connected; the service is not claimed, or the peers are not listed.
    Joining(Joining),
    /// The service is claimed and the peers are known.
    Up,
}

/// How far a connection has come that is not up yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Joining {
    pub(super) claim: Claim,
    /// Whether another program provided the service until we claimed it.
    pub(super) succeeds_another: bool,
    /// The peers that were added or removed before the claim.
    pub(super) replaced: Replaced,
}

/// Whether the service is ours on this connection.
#[derive(Clone, Debug, Default)]
pub(super) enum Claim {
    /// The claim was sent.
    #[default]
    Sent,
    /// Another provider has the name; it was given a job, to see whether it runs.
    Probing {
        /// When it counts as one that runs but does not answer.
        deadline: Monotonic,
        /// Why the claim was refused.
        refusal: Failure,
    },
    /// That provider has ended, and the claim was sent again.
    SentAgain,
    /// The name is ours.
    Granted,
}

impl Joining {
    pub(super) const fn is_claimed(&self) -> bool {
        matches!(self.claim, Claim::Granted)
    }

    /// Waits for the provider that holds our name until `deadline` at least.
    pub(super) fn postpone(&mut self, until: Monotonic) {
        if let Claim::Probing { deadline, .. } = &mut self.claim {
            *deadline = until.max(*deadline);
        }
    }

    /// When waiting for the provider that holds our name ends.
    pub(super) const fn deadline(&self) -> Option<Monotonic> {
        match self.claim {
            Claim::Probing { deadline, .. } => Some(deadline),
            Claim::Sent | Claim::SentAgain | Claim::Granted => None,
        }
    }
}
