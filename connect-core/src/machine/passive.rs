// SPDX-License-Identifier: GPL-3.0-or-later
//! The command `passive`: a challenge is given out, and whoever greets with it is added.

use connect_ipc::clock::Monotonic;
use tripe_admin::{Address, Failure, Interval};

use super::Machine;
use super::context::{Asker, Context};

/// How long to wait for a greeting where no `-timeout` is given (connect(8), `passive`).
const PATIENCE: Interval = Interval::from_secs(30);

/// A `passive` command that waits for its greeting.
#[derive(Debug)]
pub(super) struct Greeting {
    /// Who asked.
    pub(super) asker: Asker,
    /// The peer to be added.
    pub(super) peer: String,
    /// When waiting ends.
    pub(super) deadline: Monotonic,
}

impl Machine {
    /// The command `passive [-timeout TIME] USER`.
    pub(super) fn passive(&mut self, asker: &Asker, arguments: &[String]) {
        let mut patience = PATIENCE;
        let mut rest = arguments;
        loop {
            match rest {
                [option, time, after @ ..] if option.eq_ignore_ascii_case("-timeout") => {
                    match time.parse() {
                        Ok(time) => patience = time,
                        Err(_) => {
                            return self.reply_failed(asker, "", ["bad-time-spec", time]);
                        }
                    }
                    rest = after;
                }
                [option, after @ ..] if option == "--" => {
                    rest = after;
                    break;
                }
                [option, ..] if option.starts_with('-') => {
                    return self.bad_syntax(asker, "passive");
                }
                _ => break,
            }
        }
        let [user] = rest else {
            return self.bad_syntax(asker, "passive");
        };
        let Some(peer) = self.database.current.user(user).map(str::to_owned) else {
            return self.reply_failed(asker, "", ["unknown-user", user]);
        };
        if self.database.current.peer(&peer).is_none() {
            return self.reply_failed(asker, &peer, ["unknown-peer", &peer]);
        }
        let context = Context::GetChallenge {
            asker: asker.clone(),
            peer,
            patience,
            challenge: None,
        };
        if self.link == connect_ipc::control::ServerLink::Down
            || self.command(context, "GETCHAL", []).is_err()
        {
            self.reply_failed(asker, "", ["server-unavailable"]);
        }
    }

    /// The server has made a challenge.
    pub(super) fn challenge_made(
        &mut self,
        asker: Asker,
        peer: String,
        patience: Interval,
        challenge: Option<String>,
        result: Result<(), Failure>,
    ) {
        let challenge = match (result, challenge) {
            (Ok(()), Some(challenge)) => challenge,
            (Ok(()), None) => return self.reply_failed(&asker, &peer, ["no-challenge"]),
            (Err(failure), _) => return self.reply_failed(&asker, &peer, failure.words()),
        };
        if let Asker::Job(id) = &asker
            && !self.jobs.contains(id)
        {
            // Cancelled meanwhile.
            return;
        }
        self.reply_line(&asker, vec![challenge.clone()]);
        let deadline = self.now + patience.duration();
        self.greetings.insert(
            challenge,
            Greeting {
                asker,
                peer,
                deadline,
            },
        );
    }

    /// A greeting came in. One that nobody waits for is somebody else's.
    pub(super) fn greeted(&mut self, challenge: &str, address: &Address) {
        if let Some(greeting) = self.greetings.remove(challenge) {
            self.add(&greeting.peer, address.words().to_vec(), greeting.asker);
        }
    }

    /// Ends the waits whose time is over.
    pub(super) fn expire_greetings(&mut self) {
        let now = self.now;
        let expired: Vec<Greeting> = self
            .greetings
            .extract_if(|_, greeting| greeting.deadline <= now)
            .map(|(_, g)| g)
            .collect();
        for greeting in expired {
            self.reply_failed(&greeting.asker, &greeting.peer, ["connect-timeout"]);
        }
    }

    /// Whoever asked is gone: the challenges given out for it are forgotten.
    pub(super) fn forget_greetings(&mut self, is_gone: &dyn Fn(&Asker) -> bool) {
        self.greetings
            .retain(|_, greeting| !is_gone(&greeting.asker));
    }
}
