// SPDX-License-Identifier: GPL-3.0-or-later
//! P3 as far as effects are concerned: a `kick` that succeeds has the peer reconnected, by its
//! `connect` command too if its record has one, and an `active` that the server refuses fails with
//! the words of the server, and does not succeed.
//!
//! Core may answer before it knows whether the peer is still the same one, and reconnect it then.
//! So the rule does not judge what disturbs the host just before, and it forgets what core may
//! forget with the connection.

use std::collections::BTreeMap;
use std::time::Duration;

use connect_ipc::scripts::ScriptKind;
use tripe_admin::Note;

use super::calm::REST;
use super::tap::{Command, End, Fact};
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::Part;
use crate::promise::Promise;
use crate::seen::Seen;

/// How long after its answer a command has its effect at the latest, if nothing was suspended.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Words with which core refuses `active` without asking the server.
const OWN: [&str; 4] = [
    "malformed-peer",
    "passive-peer",
    "peer-exists",
    "unknown-peer",
];

/// Whether this is core's own refusal, where the server said something else.
fn is_our_own(told: &[String], said: &[String]) -> bool {
    told.first() != said.first()
        && told
            .first()
            .is_some_and(|word| OWN.contains(&word.as_str()))
}

/// The commands that are to have an effect.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// The peer of each `kick` that is not answered, and when it was given.
    kicks: BTreeMap<String, (String, Instant)>,
    /// The peers that are to be reconnected, since then.
    owed: BTreeMap<String, Instant>,
    /// The peers that were told to agree on new keys and are to be connected, since then.
    unconnected: BTreeMap<String, Instant>,
    /// When the `connect` command of each peer was ordered last. The server reads `FORCEKX` after
    /// that, although core has written it before.
    connected: BTreeMap<String, Instant>,
    /// When each peer was reconnected last.
    reconnected: BTreeMap<String, Instant>,
    /// The peer of each `active` that is not answered.
    actives: BTreeMap<String, String>,
    /// What the server has said last against the addition of each peer.
    refused: BTreeMap<String, Vec<String>>,
}

impl Rule for Effects {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Died(Part::Core) => *self = Effects::default(),
            Seen::Minute(_) | Seen::End(_) => return self.look(now),
            Seen::Ordered(run) if run.kind == ScriptKind::Connect => {
                self.unconnected.remove(&run.peer);
                self.connected.insert(run.peer.clone(), now.at);
            }
            _ => {}
        }
        match now.fact {
            Some(Fact::Job(id, words)) => {
                let [name, .., peer] = &words[..] else {
                    return Ok(());
                };
                match name.to_lowercase().as_str() {
                    "kick" if words.len() == 2 => {
                        self.kicks.insert(id.clone(), (peer.clone(), now.at));
                    }
                    "active" => {
                        self.actives.insert(id.clone(), peer.clone());
                        // What was said to another one before does not count.
                        self.refused.remove(peer);
                    }
                    _ => {}
                }
            }
            Some(Fact::Cancelled(id)) => {
                self.kicks.remove(id);
                self.actives.remove(id);
            }
            Some(Fact::Ended(command, end)) if command.verb == "ADD" => match end {
                End::Failed(words) => {
                    let peer = command.word(0).to_owned();
                    self.refused.insert(peer, words.clone());
                }
                _ => {
                    self.refused.remove(command.word(0));
                }
            },
            // The peer was removed meanwhile.
            Some(Fact::Ended(command, End::Failed(_))) if command.verb == "FORCEKX" => {
                self.unconnected.remove(command.word(0));
            }
            Some(Fact::Sent(command)) => match command.verb.as_str() {
                "FORCEKX" => {
                    let peer = command.word(0);
                    self.owed.remove(peer);
                    self.reconnected.insert(peer.to_owned(), now.at);
                    let database = now.in_use.database(now.calm);
                    let record = database.and_then(|it| it.peer(peer));
                    let has_command = record.is_some_and(|it| it.get("connect").is_some());
                    let last = self.connected.get(peer);
                    if has_command && last.is_none_or(|last| *last + AT_ONCE < now.at) {
                        self.unconnected.entry(peer.to_owned()).or_insert(now.at);
                    }
                }
                "SVCOK" => return self.succeeded(now.at, command.word(0)),
                "SVCFAIL" => return self.failed(command),
                _ => {}
            },
            Some(Fact::Note(Note::Add { peer, .. } | Note::Kill { peer })) => {
                self.owed.remove(peer);
                self.unconnected.remove(peer);
            }
            Some(Fact::Connected | Fact::Lost) => *self = Effects::default(),
            _ => {}
        }
        Ok(())
    }
}

impl Effects {
    fn failed(&mut self, answer: &Command) -> Verdict {
        let Some((job, told)) = answer.words.split_first() else {
            return Ok(());
        };
        self.kicks.remove(job);
        let peer = self.actives.remove(job);
        let said = peer.as_ref().and_then(|peer| self.refused.get(peer));
        match (peer, said) {
            // Another addition of the peer may be under way when the command fails by itself.
            (Some(peer), Some(said)) if told != said && !is_our_own(told, said) => {
                let text =
                    format!("`active {peer}' failed with {told:?}: the server said {said:?}");
                Err((Promise::AnsweredOnce, text))
            }
            _ => Ok(()),
        }
    }

    fn succeeded(&mut self, at: Instant, job: &str) -> Verdict {
        let active = self.actives.remove(job);
        if let Some(peer) = active
            && let Some(said) = self.refused.get(&peer)
        {
            let text = format!("`active {peer}' succeeded: the server said {said:?}");
            return Err((Promise::AnsweredOnce, text));
        }
        let Some((peer, since)) = self.kicks.remove(job) else {
            return Ok(());
        };
        let last = self.reconnected.get(&peer);
        if last.is_none_or(|last| *last < since) {
            self.owed.insert(peer, at);
        }
        Ok(())
    }

    fn look(&self, now: &Moment<'_>) -> Verdict {
        let is_late = |(_, since): &(&String, &Instant)| {
            now.calm.since + REST < **since && **since + AT_ONCE < now.at
        };
        if let Some((peer, since)) = self.owed.iter().find(is_late) {
            let text = format!("`kick {peer}' succeeded at {since}, and {peer} is not reconnected");
            return Err((Promise::AnsweredOnce, text));
        }
        // What the server does not tell of a peer leaves it undecided which scripts it has.
        let mut unconnected = self.unconnected.iter();
        let late = unconnected.find(|it| is_late(it) && !now.calm.is_untold(it.0));
        late.map_or(Ok(()), |(peer, since)| {
            let text = format!("{peer} was reconnected at {since} without its `connect' command");
            Err((Promise::AnsweredOnce, text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sight, database, run, view};
    use super::*;

    fn after(lines: &[&str]) -> bool {
        let mut sight = Sight::new::<Effects>(&[]);
        sight.later(100);
        assert_eq!(sight.lines(lines), None);
        sight.later(2);
        view(|view| sight.see(Seen::Minute(view))).is_err()
    }

    #[test]
    fn a_refusal_that_is_cut_short_or_not_told_breaks_it() {
        for (told, expected) in [
            ("peer-addr-exists INET 198.18.0.1 4070", None),
            ("no-connection", Some(Promise::AnsweredOnce)),
            ("peer-addr-exists", Some(Promise::AnsweredOnce)),
            ("", Some(Promise::AnsweredOnce)),
        ] {
            let mut sight = Sight::new::<Effects>(&[]);
            let answer = match told {
                "" => "> SVCOK J1".to_owned(),
                told => format!("> SVCFAIL J1 {told}"),
            };
            let broken = sight.lines(&[
                "< SVCJOB J1 connect active p",
                "> ADD -background c0.0 p INET 198.18.0.1 4070",
                "< BGDETACH c0.0",
                "< BGFAIL c0.0 peer-addr-exists INET 198.18.0.1 4070",
                &answer,
            ]);
            assert_eq!(broken, expected, "{told}");
        }
    }

    #[test]
    fn a_peer_that_is_reconnected_without_its_command_breaks_it() {
        for (key, ordered, is_kept) in [
            ("connect", [true, false], true),
            ("connect", [false, true], true),
            ("connect", [false, false], false),
            ("knock", [false, false], true),
        ] {
            let mut sight = Sight::new::<Effects>(&[]);
            sight.later(100);
            let file = || database(&[("p", &[(key, "x")])]);
            sight.minute(file()).unwrap();
            let connect = run(1, ScriptKind::Connect, None);
            let [before, after] = ordered;
            if before {
                sight.see(Seen::Ordered(&connect)).unwrap();
            }
            assert_eq!(sight.lines(&["> FORCEKX p"]), None);
            if after {
                sight.see(Seen::Ordered(&connect)).unwrap();
            }
            sight.later(2);
            assert_eq!(sight.minute(file()).is_ok(), is_kept, "{key}");
        }
    }

    #[test]
    fn a_kick_that_succeeds_and_does_nothing_breaks_it() {
        let kick = "< SVCJOB J1 connect kick p";
        assert!(after(&[kick, "> SVCOK J1"]));
        assert!(after(&["> FORCEKX p", kick, "> SVCOK J1"]));
        for lines in [
            &[kick, "> FORCEKX p", "> SVCOK J1"][..],
            &[kick, "> SVCOK J1", "> FORCEKX p"],
            &[kick, "> SVCOK J1", "< NOTE KILL p"],
            &[kick, "> SVCFAIL J1 peer-not-added p"],
        ] {
            assert!(!after(lines), "{lines:?}");
        }
    }
}
