// SPDX-License-Identifier: GPL-3.0-or-later
//! Refusals: commands that a fault answers instead of the server.

use std::borrow::Cow;

use super::command::{Done, Outcome};
use super::fail::Fail;
use super::{ClientId, Server};

impl Server {
    /// What a refusal makes of a command, if one applies to it.
    pub(super) fn refuse(
        &mut self,
        client: ClientId,
        command: &str,
        args: &[Cow<'_, str>],
    ) -> Option<Outcome> {
        let refusals = &mut self.config.faults.refusals;
        let place = refusals.iter().position(|refusal| {
            refusal.command.eq_ignore_ascii_case(command)
                && refusal.times != Some(0)
                && refusal
                    .words
                    .iter()
                    .all(|word| args.iter().any(|arg| arg == word))
        })?;
        let refusal = refusals.get_mut(place)?;
        let failure = Fail::Other(refusal.failure.clone());
        let detach = refusal.detach;
        if let Some(times) = &mut refusal.times {
            *times -= 1;
            if *times == 0 {
                refusals.remove(place);
            }
        }
        let tag = args
            .iter()
            .position(|arg| arg.eq_ignore_ascii_case("-background"))
            .and_then(|at| args.get(at + 1))
            .filter(|_| detach);
        let Some(tag) = tag else {
            return Some(Err(failure));
        };
        Some(match self.begin(client, Some(tag.to_string())) {
            Ok(reply) => {
                self.answer(&reply, Err(failure));
                Ok(Done::Answered)
            }
            Err(fail) => Err(fail),
        })
    }
}
