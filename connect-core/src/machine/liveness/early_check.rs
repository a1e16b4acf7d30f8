// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks that come before they are due, since something has happened or somebody has asked.

use connect_ipc::PeerId;
use connect_ipc::pinger::ToPinger;
use connect_liveness::EarlyCheck;

use crate::machine::Machine;

impl Machine {
    /// Checks a peer at once; `false` if it is not adopted.
    pub(super) fn check_early(&mut self, id: PeerId, check: EarlyCheck) -> bool {
        let has_pinger = self.pinger.helper.ready().is_some();
        let Some(adoption) = self.peers.adoption_mut(id) else {
            return false;
        };
        let before = adoption.liveness.phase().due;
        let begins = check.begin(&mut adoption.liveness, self.now);
        let is_earlier = adoption.liveness.phase().due < before;
        if !has_pinger {
            // The figures that the next pinger remembers may replace those of core.
            adoption.untold = adoption.untold.max(Some(check));
        }
        if !begins {
            return true;
        }
        let at = self.now;
        self.tell_pinger(match check {
            EarlyCheck::IfDown | EarlyCheck::Usual => ToPinger::CheckNow {
                at,
                peers: vec![id],
            },
            EarlyCheck::Sabotaged => ToPinger::Sabotage { at, peer: id },
        });
        if is_earlier {
            self.check_moved(id);
        }
        true
    }
}
