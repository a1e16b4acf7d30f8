// SPDX-License-Identifier: GPL-3.0-or-later
//! The command `passive`: gives out a challenge, and adds the peer that greets with it.

use tripe_admin::{Address, Failure, Interval};

use super::Greeting;
use crate::machine::Machine;
use crate::machine::commands::MAX_ASKED;
use crate::machine::requester::Requester;
use crate::machine::server::Pending;

/// How long to wait for a greeting without `-timeout` (the manual, `passive`).
const PATIENCE: Interval = Interval::from_secs(30);

impl Machine {
    /// The command `passive [-timeout TIME] USER`.
    pub(in crate::machine) fn passive(&mut self, requester: &Requester, arguments: &[String]) {
        let mut patience = PATIENCE;
        let mut rest = arguments;
        loop {
            match rest {
                [option, time, after @ ..] if option.eq_ignore_ascii_case("-timeout") => {
                    match time.parse() {
                        Ok(time) => patience = time,
                        Err(_) => {
                            return self.reply_failed(requester, "", ["bad-time-spec", time]);
                        }
                    }
                    rest = after;
                }
                [option, after @ ..] if option == "--" => {
                    rest = after;
                    break;
                }
                [option, ..] if option.starts_with('-') => {
                    return self.bad_syntax(requester, "passive");
                }
                _ => break,
            }
        }
        let [user] = rest else {
            return self.bad_syntax(requester, "passive");
        };
        let Some(peer) = self.database.current.user(user).map(str::to_owned) else {
            return self.reply_failed(requester, "", ["unknown-user", user]);
        };
        if self.database.current.peer(&peer).is_none() {
            return self.reply_failed(requester, &peer, ["unknown-peer", &peer]);
        }
        let is_operator = matches!(requester, Requester::Operator { .. });
        if is_operator && !self.commands.ask() {
            let failure = ["too-many-commands", &MAX_ASKED.to_string()];
            return self.reply_failed(requester, "", failure);
        }
        let context = Pending::GetChallenge {
            requester: requester.clone(),
            peer,
            patience,
            challenge: None,
        };
        if !self.server.is_connected() || self.command(context, "GETCHAL", []).is_err() {
            if is_operator {
                self.commands.answered();
            }
            self.reply_failed(requester, "", ["server-unavailable"]);
        }
    }

    /// The server has made a challenge.
    pub(in crate::machine) fn challenge_answered(
        &mut self,
        requester: Requester,
        peer: String,
        patience: Interval,
        challenge: Option<String>,
        result: Result<(), Failure>,
    ) {
        if matches!(requester, Requester::Operator { .. }) {
            self.commands.answered();
        }
        let challenge = match (result, challenge) {
            (Ok(()), Some(challenge)) => challenge,
            (Ok(()), None) => return self.reply_failed(&requester, &peer, ["no-challenge"]),
            (Err(failure), _) => return self.reply_failed(&requester, &peer, failure.words()),
        };
        if let Requester::Job(id) = &requester
            && !self.commands.has_job(id)
        {
            // Cancelled meanwhile.
            return;
        }
        self.reply_line(&requester, vec![challenge.clone()]);
        let deadline = self.now + patience.duration();
        self.additions.greetings.push(Greeting {
            challenge,
            requester,
            peer,
            deadline,
        });
    }

    /// A greeting came in. If no command waits for it, it belongs to another program.
    pub(in crate::machine) fn greeted(&mut self, challenge: &str, address: &Address) {
        let greetings = &mut self.additions.greetings;
        let found = greetings
            .iter()
            .position(|greeting| greeting.challenge == challenge);
        if let Some(found) = found {
            let greeting = greetings.remove(found);
            let address = address.words().to_vec();
            self.add(&greeting.peer, address, greeting.requester);
        }
    }

    /// Ends the waits whose time is over.
    pub(in crate::machine) fn expire_greetings(&mut self) {
        let now = self.now;
        if self.additions.greetings.is_empty() {
            return;
        }
        let expired: Vec<Greeting> = self
            .additions
            .greetings
            .extract_if(.., |greeting| greeting.deadline <= now)
            .collect();
        for greeting in expired {
            self.reply_failed(&greeting.requester, &greeting.peer, ["connect-timeout"]);
        }
    }

    /// A requester is gone: the challenges given out for it are forgotten.
    pub(in crate::machine) fn forget_greetings(&mut self, is_gone: &dyn Fn(&Requester) -> bool) {
        self.additions
            .greetings
            .retain(|greeting| !is_gone(&greeting.requester));
    }
}
