// SPDX-License-Identifier: GPL-3.0-or-later
//! Refusals: commands that a fault answers instead of the server.

use std::borrow::Cow;

use super::command::{Done, Outcome};
use super::fail::Fail;
use super::{ClientId, Harm, Now, Output, Server, Target};

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

/// What a test may do without the protocol.
impl Server {
    /// Lets `act` change the server, and appends to `outputs` what is to be done then.
    pub fn act<R>(
        &mut self,
        now: Now,
        outputs: &mut Vec<Output>,
        act: impl FnOnce(&mut Self) -> R,
    ) -> R {
        self.now = self.now.max(now);
        let result = act(self);
        outputs.append(&mut self.out);
        result
    }

    /// Forgets a client whose connection was cut by ourselves.
    pub(crate) fn disconnect(&mut self, now: Now, client: ClientId, outputs: &mut Vec<Output>) {
        self.act(now, outputs, |server| server.remove_client(client));
    }

    /// Harms connections.
    pub fn harm(&mut self, target: Target, harm: Harm) {
        self.out.push(Output::Harm(target, harm));
    }

    /// Makes a broadcast of a whole line: to those who watch its kind, told by its first word.
    pub fn fake_broadcast(&mut self, line: String) {
        match line.split(' ').next() {
            Some("NOTE") => self.broadcast(line, |watch| watch.notes),
            Some("WARN") => self.broadcast(line, |watch| watch.warnings),
            _ => self.broadcast(line, |watch| watch.traces),
        }
    }
}
