// SPDX-License-Identifier: GPL-3.0-or-later
//! P5, as hooks have causes: `on-up` is ordered for a peer that has replied since its last
//! `on-down`, and `on-down` for one that was unreachable or gone since its last hook. A core that
//! connects may find that a peer is gone.
//!
//! The rule sees all that core hears in a turn before all that core orders in that turn. So what
//! happened at the instant of an order may have come after the order.
//!
//! A peer is unreachable when all attempts of a check have failed. Where it is not certain how many
//! have failed, since core has just connected or the peer was not answered as it seems, one is
//! taken for the last.

use std::collections::{BTreeMap, BTreeSet};

use connect_ipc::RunId;
use connect_ipc::control::Request;
use connect_ipc::scripts::{Run, ScriptKind};
use connect_ipc::setup::Pair;
use tripe_admin::Note;

use super::tap::{Command, End, Fact};
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::{Fault, Part};
use crate::promise::Promise;
use crate::seen::Seen;

/// What has happened to the peers of a host since their last hook.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// Those that have replied, and when they did last.
    replied: BTreeMap<String, Instant>,
    /// Those that were unreachable or gone since their last hook, and when they were last.
    ceased: BTreeMap<String, Instant>,
    /// Those that had replied since their last `on-down` when core connected, or whose `on-down`
    /// the next core may not know of. It may have found them gone.
    met: BTreeSet<String>,
    /// Those that have had `on-down`, and no hook since.
    down: BTreeMap<String, Down>,
    /// Those that an operator has sabotaged since their last `on-down`: they reply, and count as
    /// unreachable.
    sabotaged: BTreeSet<String>,
    /// The last hook that was ordered. Earlier ones are given again to each new helper.
    last: Option<RunId>,
    /// How the checks of peers stand.
    attempts: BTreeMap<String, Attempts>,
}

/// How many attempts of a peer have failed.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    /// Those since its last reply.
    failed: u32,
    /// Whether no other ones count.
    certain: bool,
    /// Whether the last ping was answered: that counts unless core says that an attempt has failed
    /// before it pings again. In its state the peer may be sabotaged.
    answered: bool,
}

/// The last `on-down` of a peer.
#[derive(Clone, Copy, Debug)]
struct Down {
    run: RunId,
    /// Whether a helper has started it, and its journal has lost nothing since; else the next core
    /// may order it once more.
    is_kept: bool,
}

impl Rule for Hooks {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.fact {
            Some(Fact::Ended(command, End::Reply(_))) if command.is_ping() => {
                self.replied.insert(command.word(0).to_owned(), now.at);
                let attempts = self.attempts.entry(command.word(0).to_owned()).or_default();
                (attempts.failed, attempts.answered) = (0, true);
            }
            Some(Fact::Ended(command, end)) if command.is_ping() => {
                self.missed(now, command.word(0), end);
            }
            Some(Fact::Sent(command)) => self.sent(command),
            Some(Fact::Job(_, words)) => self.command(words),
            Some(Fact::Note(Note::Kill { peer } | Note::Add { peer, .. })) => {
                self.ceased.insert(peer.clone(), now.at);
                self.attempts.remove(peer);
            }
            Some(Fact::Connected) => {
                self.attempts.clear();
                let down = self.down.iter().filter(|(_, down)| !down.is_kept);
                let peers = self.replied.keys().chain(down.map(|(peer, _)| peer));
                self.met = peers.cloned().collect();
            }
            _ => {}
        }
        match now.seen {
            Seen::Ordered(run) if run.setup.is_some() => self.ordered(now.at, run),
            Seen::Started(_, run) => {
                if let Some(down) = self.down.get_mut(&run.peer)
                    && down.run == run.run
                {
                    down.is_kept = true;
                }
                Ok(())
            }
            Seen::Fault(Fault::Journal { .. }) => {
                self.forget_runs();
                Ok(())
            }
            Seen::Lives(Part::Scripts, _) if !now.records.journal => {
                self.forget_runs();
                Ok(())
            }
            Seen::Asked(_, envelope) => {
                if let Request::Submit { words } = &envelope.request {
                    self.command(words);
                }
                Ok(())
            }
            Seen::Fault(Fault::Reboot {}) => {
                *self = Hooks::default();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Hooks {
    /// The next helper may not know what this one has run. A core that is connected already may ask
    /// that helper.
    fn forget_runs(&mut self) {
        for (peer, down) in &mut self.down {
            down.is_kept = false;
            self.met.insert(peer.clone());
        }
    }

    fn command(&mut self, words: &[String]) {
        if let [name, peer] = words
            && name.eq_ignore_ascii_case("sabotage")
        {
            self.sabotaged.insert(peer.clone());
        }
    }

    fn sent(&mut self, command: &Command) {
        if command.is_ping() {
            let attempts = self.attempts.entry(command.word(0).to_owned());
            let attempts = attempts.or_default();
            attempts.certain |= std::mem::take(&mut attempts.answered);
        } else if let Some([what, peer, ..]) = command.told()
            && what == "ping-timeout"
            && let Some(attempts) = self.attempts.get_mut(peer)
            && std::mem::take(&mut attempts.answered)
        {
            attempts.certain = false;
        }
    }

    /// A ping was not answered, or was not sent, which counts as an attempt too. A peer that the
    /// server does not have is gone.
    fn missed(&mut self, now: &Moment<'_>, peer: &str, end: &End) {
        let fewest = now.checking().retries(peer).first().copied();
        let attempts = self.attempts.entry(peer.to_owned()).or_default();
        attempts.failed += 1;
        attempts.answered = false;
        let is_gone = match end {
            End::Failed(words) => words.first().is_some_and(|it| it == "unknown-peer"),
            End::Died => true,
            _ => false,
        };
        let is_last = fewest.is_none_or(|fewest| attempts.failed >= fewest);
        if is_last || is_gone || !attempts.certain {
            self.ceased.insert(peer.to_owned(), now.at);
        }
    }

    fn ordered(&mut self, at: Instant, run: &Run) -> Verdict {
        let peer = &run.peer;
        if run.kind.pair() != Pair::Hooks || self.last >= Some(run.run) {
            return Ok(());
        }
        self.last = Some(run.run);
        let has_cause = match run.kind {
            ScriptKind::OnUp => {
                forget(&mut self.ceased, peer, at);
                self.met.remove(peer);
                self.down.remove(peer);
                self.replied.contains_key(peer)
            }
            ScriptKind::OnDown => {
                forget(&mut self.replied, peer, at);
                let met = self.met.remove(peer);
                let sabotaged = self.sabotaged.remove(peer);
                let ceased = self.ceased.contains_key(peer);
                forget(&mut self.ceased, peer, at);
                let down = Down {
                    run: run.run,
                    is_kept: false,
                };
                self.down.insert(peer.clone(), down);
                sabotaged || met || ceased
            }
            _ => return Ok(()),
        };
        if has_cause {
            return Ok(());
        }
        let text = format!("{} {peer} has no cause of its own", run.kind.name());
        Err((Promise::Scripts, text))
    }
}

/// What has happened to a peer before a hook is no cause of the next one.
fn forget(happened: &mut BTreeMap<String, Instant>, peer: &str, at: Instant) {
    if happened.get(peer).is_some_and(|last| *last < at) {
        happened.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use connect_ipc::setup::SetupState;

    use super::super::testing::{self, CORE, Sight};
    use super::*;
    use crate::plan::JournalLoss;
    use crate::seen::Who;

    fn order(sight: &mut Sight, number: u64, kind: ScriptKind) -> bool {
        let run = testing::run(number, kind, Some(SetupState::Undone {}));
        sight.see(Seen::Ordered(&run)).is_ok()
    }

    /// The peer is pinged, with this result.
    fn ping(sight: &mut Sight, result: &str) {
        let end = format!("< BGINFO c0.0 {result}");
        let lines = [
            "> PING -background c0.0 -timeout 10 p",
            "< BGDETACH c0.0",
            &end,
            "< BGOK c0.0",
        ];
        assert_eq!(sight.lines(&lines), None);
    }

    /// A host whose peer has answered, and is given up after this many attempts.
    fn up(retries: &str) -> Sight {
        let mut sight = Sight::new::<Hooks>(&[("p", &[("retries", retries)])]);
        ping(&mut sight, "ping-ok 1.0");
        assert!(order(&mut sight, 1, ScriptKind::OnUp));
        sight
    }

    #[test]
    fn hooks_with_causes_keep_it() {
        let mut sight = up("1");
        ping(&mut sight, "ping-timeout");
        assert!(order(&mut sight, 2, ScriptKind::OnDown));
        ping(&mut sight, "ping-ok 1.0");
        assert!(order(&mut sight, 3, ScriptKind::OnUp));
        sight.lines(&["< NOTE KILL p"]);
        assert!(order(&mut sight, 4, ScriptKind::OnDown));
    }

    #[test]
    fn a_peer_goes_down_with_the_last_attempt_and_not_before() {
        for (retries, expected) in [("3", false), ("2", true), ("1", true)] {
            let mut sight = up(retries);
            for _ in 0..2 {
                ping(&mut sight, "ping-timeout");
            }
            let kept = order(&mut sight, 2, ScriptKind::OnDown);
            assert_eq!(kept, expected, "{retries}");
        }
        let mut sight = up("2");
        ping(&mut sight, "ping-timeout");
        let refused = ["> PING -background c0.1 p", "< FAIL x"];
        assert_eq!(sight.lines(&refused), None);
        assert!(order(&mut sight, 2, ScriptKind::OnDown));
    }

    #[test]
    fn a_reply_begins_the_count_of_attempts_anew() {
        let mut sight = up("2");
        for result in ["ping-timeout", "ping-ok 1.0", "ping-timeout"] {
            ping(&mut sight, result);
        }
        assert!(!order(&mut sight, 2, ScriptKind::OnDown));
    }

    #[test]
    fn a_peer_that_the_server_does_not_have_is_down_at_once() {
        for failure in ["BGFAIL c0.1 unknown-peer p", "BGINFO c0.1 ping-peer-died"] {
            let mut sight = up("3");
            let failure = format!("< {failure}");
            sight.lines(&["> PING -background c0.1 p", "< BGDETACH c0.1", &failure]);
            sight.lines(&["< BGOK c0.1"]);
            assert!(order(&mut sight, 2, ScriptKind::OnDown), "{failure}");
        }
    }

    /// What failed on the connection before counts, and what is answered may not.
    #[test]
    fn where_it_is_not_certain_how_many_have_failed_one_may_be_the_last() {
        let mut sight = up("3");
        sight.see(Seen::Ended(CORE)).unwrap();
        sight.see(Seen::Opened(CORE, Who::Core(1))).unwrap();
        // It may be found gone.
        assert!(order(&mut sight, 2, ScriptKind::OnDown));
        ping(&mut sight, "ping-ok 1.0");
        assert!(order(&mut sight, 3, ScriptKind::OnUp));
        let told = "> WARN connect ping-timeout p attempt 1 of 3";
        assert_eq!(sight.lines(&[told, "< OK"]), None);
        ping(&mut sight, "ping-timeout");
        assert!(order(&mut sight, 4, ScriptKind::OnDown));
    }

    #[test]
    fn what_core_hears_in_the_turn_of_a_hook_is_a_cause_of_the_next_one() {
        let mut sight = Sight::new::<Hooks>(&[]);
        ping(&mut sight, "ping-ok 1.0");
        sight.lines(&["< NOTE KILL p"]);
        let mut order = |number, kind| {
            let run = testing::run(number, kind, Some(SetupState::Undone {}));
            sight.at_once(Seen::Ordered(&run)).is_ok()
        };
        assert!(order(1, ScriptKind::OnUp));
        assert!(order(2, ScriptKind::OnDown));
        assert!(!order(3, ScriptKind::OnUp), "the reply was before");
    }

    #[test]
    fn a_peer_that_came_up_without_a_hook_may_be_found_gone() {
        for has_replied in [true, false] {
            let mut sight = Sight::new::<Hooks>(&[]);
            if has_replied {
                ping(&mut sight, "ping-ok 1.0");
            }
            sight.see(Seen::Ended(CORE)).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(1))).unwrap();
            assert_eq!(order(&mut sight, 1, ScriptKind::OnDown), has_replied);
        }
    }

    #[test]
    fn a_peer_that_has_gone_down_already_is_not_found_gone() {
        for replies in [false, true] {
            let mut sight = up("1");
            ping(&mut sight, "ping-timeout");
            let run = testing::run(2, ScriptKind::OnDown, Some(SetupState::Undone {}));
            sight.see(Seen::Ordered(&run)).unwrap();
            sight.see(Seen::Started(run.run, &run)).unwrap();
            if replies {
                ping(&mut sight, "ping-ok 1.0");
            }
            sight.see(Seen::Ended(CORE)).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(1))).unwrap();
            assert_eq!(order(&mut sight, 3, ScriptKind::OnDown), replies);
            assert!(!order(&mut sight, 4, ScriptKind::OnDown), "once");
        }
    }

    #[test]
    fn what_was_not_started_or_was_forgotten_may_be_ordered_by_the_next_core() {
        for (starts, forgets) in [(false, false), (true, false), (true, true)] {
            let mut sight = Sight::new::<Hooks>(&[]);
            ping(&mut sight, "ping-timeout");
            let run = testing::run(1, ScriptKind::OnDown, Some(SetupState::Undone {}));
            sight.see(Seen::Ordered(&run)).unwrap();
            if starts {
                sight.see(Seen::Started(run.run, &run)).unwrap();
            }
            if forgets {
                let loss = JournalLoss::Removed;
                sight.see(Seen::Fault(&Fault::Journal { loss })).unwrap();
            }
            sight.see(Seen::Ended(CORE)).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(2))).unwrap();
            let expected = !starts || forgets;
            assert_eq!(order(&mut sight, 2, ScriptKind::OnDown), expected);
            let loss = JournalLoss::Removed;
            sight.see(Seen::Fault(&Fault::Journal { loss })).unwrap();
            assert!(order(&mut sight, 3, ScriptKind::OnDown), "forgotten later");
        }
    }

    #[test]
    fn a_hook_without_a_cause_breaks_it() {
        let mut sight = Sight::new::<Hooks>(&[]);
        assert!(!order(&mut sight, 1, ScriptKind::OnUp));
        let mut sight = Sight::new::<Hooks>(&[]);
        ping(&mut sight, "ping-ok 1.0");
        assert!(order(&mut sight, 1, ScriptKind::OnUp));
        assert!(!order(&mut sight, 2, ScriptKind::OnDown));
        assert!(!order(&mut sight, 3, ScriptKind::OnUp));
    }
}
