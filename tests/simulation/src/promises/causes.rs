// SPDX-License-Identifier: GPL-3.0-or-later
//! P2: no `ADD` for a name that core knows to be there. P10: each `ADD`, `KILL`, `FORCEKX` and
//! `GREET` has a cause of its own.
//!
//! Core knows what it has heard on this connection: the answer to `LIST`, and notifications. Each
//! cause allows one command. All causes except running scripts come over the connection or from
//! operators, so each connection begins without causes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::control::Request;
use connect_ipc::lookup::Found;
use connect_ipc::scripts::ScriptKind;
use tripe_admin::Note;

use super::applying::Applying;
use super::greetings::Greetings;
use super::missed::Missed;
use super::tap::{Command, End, Fact};
use super::unwritten::Unwritten;
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::{Fault, Kept, Part};
use crate::promise::Promise;
use crate::seen::Seen;

/// What there is to do about one peer.
#[derive(Clone, Debug, Default)]
struct Open {
    /// How many commands, knocks and the like want it added.
    add: u32,
    /// How many of these may have it killed before.
    kill: u32,
    /// Whether its check has failed, so that it is killed or reconnected.
    unreachable: bool,
    /// How many attempts of its check the service has said to have failed.
    failed: u32,
    /// Whether that is all of them. Some may have failed on an earlier connection, or were those of
    /// a peer that had the name before.
    counted: bool,
    /// Whether it was added on this connection, and was not pinged since: what the service says of
    /// its check may be about the peer before.
    is_new: bool,
    /// Whether one has failed of which the service has said nothing yet.
    untold: bool,
    /// Whether an operator has sabotaged it: what it replies counts as no answer.
    sabotaged: bool,
    /// How many commands want it reconnected.
    kick: u32,
    /// Whether its host name was looked up, so that it may be removed, and added elsewhere.
    moves: bool,
    /// The commands `active` that are among those who want it added, and are not answered.
    jobs: BTreeSet<String>,
}

impl Open {
    /// It is removed or reconnected, if its check has failed: the next one has all its attempts.
    fn ends_its_check(&mut self) -> bool {
        let has_failed = std::mem::take(&mut self.unreachable);
        if has_failed {
            self.failed = 0;
        }
        has_failed
    }
}

/// What a command about a peer is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Want {
    /// Something about this peer.
    Own,
    /// A greeting.
    Greeting,
    /// Nothing.
    None,
}

/// What core knows and what there is to do.
#[derive(Debug, Default)]
pub(super) struct Causes {
    /// The names that core knows to be there, and since when.
    known: BTreeMap<String, Instant>,
    /// The `KILL`s that are not answered.
    killing: BTreeMap<String, u32>,
    open: BTreeMap<String, Open>,
    greetings: Greetings,
    /// The `connect` scripts that live: of which peer, and whether one was greeted for.
    connects: BTreeMap<RunId, (String, bool)>,
    applying: Applying,
    start_up: StartUp,
    /// The peers that were removed for their silence and are to be added again.
    revivals: BTreeSet<String>,
    /// Those that somebody else has added, and when core heard of it: its own `ADD` may cross that.
    overtaken: BTreeMap<String, Instant>,
    /// Those that are being added, also where they have moved: if that fails they come back too.
    reviving: BTreeSet<String>,
    missed: Missed,
}

/// For which server start-up peers were added.
#[derive(Debug, Default)]
struct StartUp {
    /// How many servers there were.
    servers: u32,
    /// For which of them it was done, as the state says.
    done: Option<u32>,
    /// When core has joined.
    joined: Instant,
    /// Whether the next core finds no state, or another one.
    is_lost: bool,
    /// Whether core cannot tell which server it is joining, and so takes it for a new one. Nothing
    /// is left for the next core about such a server.
    is_uncertain: bool,
    /// Whether core may have had no database, so that it is done with the first one.
    waits: bool,
    /// The peers that it is to add. Those that come back are added later if that fails.
    adding: BTreeSet<String>,
    /// Those whose addition was under way when the connection was lost: it goes on.
    left: BTreeSet<String>,
    /// Those whose addition has ended.
    ended: Unwritten,
}

/// How long after it has joined a core has its state written.
const WRITTEN: Duration = Duration::from_secs(60);

impl StartUp {
    fn see(&mut self, now: &Moment<'_>) {
        self.ended.see(now);
        match now.seen {
            Seen::Lives(Part::Server, _) => {
                self.servers += 1;
                self.left.clear();
                self.ended.clear();
            }
            Seen::Fault(Fault::Reboot {}) => self.done = None,
            Seen::Uncertain => self.is_uncertain = true,
            // A core that a newer provider displaces forgets its state.
            Seen::Displaced { by_newer: true } => self.lose(),
            // It may not live.
            Seen::Fault(Fault::Kill { state, .. }) if *state != Kept::Last => self.lose(),
            // Nothing is written meanwhile.
            Seen::Stands(Part::Core, until) => self.joined = self.joined.max(*until),
            Seen::Slept(_) => self.joined = now.at,
            Seen::Died(Part::Core) => {
                self.left.extend(self.ended.take(now.at));
                let is_written = now.records.keeps_state && self.joined + WRITTEN <= now.at;
                if self.is_lost || !is_written || self.waits {
                    self.done = None;
                }
                self.is_lost = false;
            }
            _ => {}
        }
    }

    fn lose(&mut self) {
        self.is_lost = true;
        self.done = None;
    }

    /// The server has listed its peers. Whether it counts as just started.
    fn listed(&mut self, at: Instant) -> bool {
        self.joined = at;
        if std::mem::take(&mut self.is_uncertain) {
            self.done = None;
            return true;
        }
        self.done.replace(self.servers) != Some(self.servers)
    }
}

impl Rule for Causes {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        self.start_up.see(now);
        self.missed.see(now);
        self.applying.see(now);
        self.revivals.append(&mut self.missed.coming);
        match now.seen {
            Seen::Asked(_, envelope) => {
                if let Request::Submit { words } = &envelope.request {
                    self.command(words);
                }
            }
            Seen::Started(id, run) if run.kind == ScriptKind::Connect => {
                self.connects.insert(*id, (run.peer.clone(), false));
            }
            Seen::LookedUp(peer, Found::Addresses(_)) => {
                let open = self.open(peer);
                open.moves = true;
            }
            Seen::Died(Part::Core | Part::Scripts) => {
                // Whether the challenge was read before is not known: what looks like one counts.
                for (_, greeted) in self.connects.values_mut() {
                    *greeted = false;
                }
            }
            _ => {}
        }
        match now.fact {
            Some(Fact::Sent(command)) => self.sent(now, command),
            Some(Fact::Info(command, words)) => {
                self.informed(now.at, command, words);
                Ok(())
            }
            Some(Fact::Ended(command, end)) if command.is_ping() => {
                let open = self.open(command.word(0));
                let has_failed = open.sabotaged || !matches!(end, End::Reply(_));
                open.untold = has_failed;
                if !has_failed {
                    (open.failed, open.counted) = (0, true);
                }
                Ok(())
            }
            Some(Fact::Ended(command, end)) => {
                self.ended(now, command, end);
                if command.verb == "LIST" {
                    self.listed(now);
                }
                Ok(())
            }
            Some(Fact::Note(note)) => {
                self.heard(now, note);
                Ok(())
            }
            Some(Fact::Cancelled(id)) => {
                self.greetings.cancelled(id);
                Ok(())
            }
            Some(Fact::Job(id, words)) => {
                self.greetings.given(now, id, words);
                self.command(words);
                if let [name, .., peer] = &words[..]
                    && name.eq_ignore_ascii_case("active")
                {
                    self.open(peer).jobs.insert(id.clone());
                }
                Ok(())
            }
            Some(Fact::Connected | Fact::Lost) => {
                self.note_unread(now);
                self.revivals.append(&mut self.reviving);
                let adding = std::mem::take(&mut self.start_up.adding);
                let comes_back = adding.iter().filter(|it| now.records.may_come_back(it));
                self.revivals.extend(comes_back.cloned());
                self.start_up.left.extend(adding);
                self.missed.lost(self.known.keys());
                *self = Causes {
                    connects: std::mem::take(&mut self.connects),
                    start_up: std::mem::take(&mut self.start_up),
                    revivals: std::mem::take(&mut self.revivals),
                    missed: std::mem::take(&mut self.missed),
                    applying: std::mem::take(&mut self.applying),
                    ..Causes::default()
                };
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Causes {
    fn open(&mut self, peer: &str) -> &mut Open {
        self.open.entry(peer.to_owned()).or_default()
    }

    /// The connection is lost, perhaps with the last lines of core: it may have removed a peer
    /// whose check has failed.
    fn note_unread(&mut self, now: &Moment<'_>) {
        for (peer, open) in &self.open {
            let fewest = now.checking().retries(peer).first().copied();
            let was_last = open.untold && fewest.is_some_and(|fewest| open.failed + 1 >= fewest);
            if (open.unreachable || was_last) && now.records.may_come_back(peer) {
                self.revivals.insert(peer.clone());
            }
        }
    }

    /// The server has listed its peers. One that has none of those that core knew counts as just
    /// started, too.
    fn listed(&mut self, now: &Moment<'_>) {
        let is_new = self.start_up.listed(now.at) || self.known.is_empty();
        if (is_new || self.start_up.waits) && now.records.startup {
            self.start_up.waits = now.records.may_be_missing;
            self.adds_start_up_peers(now);
        }
        for name in std::mem::take(&mut self.start_up.left) {
            if !is_new && !self.known.contains_key(&name) {
                self.open(&name).add += 1;
            }
        }
        let missed = self.missed.listed(now.records.auto.iter());
        for name in missed {
            if !self.known.contains_key(name) && now.records.may_come_back(name) {
                self.revivals.insert(name.clone());
            }
        }
    }

    fn adds_start_up_peers(&mut self, now: &Moment<'_>) {
        for name in &now.records.auto {
            self.open(name).add += 1;
            self.start_up.adding.insert(name.clone());
        }
    }

    fn wants_addition(&mut self, peer: &str) {
        let open = self.open(peer);
        open.add += 1;
        open.kill += 1;
    }

    fn command(&mut self, words: &[String]) {
        let [name, .., argument] = words else { return };
        match name.to_lowercase().as_str() {
            "active" => self.wants_addition(argument),
            "kick" => self.open(argument).kick += 1,
            "sabotage" => self.open(argument).sabotaged = true,
            _ => {}
        }
    }

    fn heard(&mut self, now: &Moment<'_>, note: &Note) {
        let at = now.at;
        match note {
            Note::Add { peer, .. } => {
                self.known.insert(peer.clone(), at);
                self.missed.added(peer);
                let open = self.open(peer);
                (open.failed, open.counted, open.is_new) = (0, false, true);
                let is_overtaken = self.revivals.remove(peer);
                if is_overtaken {
                    self.overtaken.insert(peer.clone(), at);
                }
                if self.reviving.remove(peer) || is_overtaken {
                    self.missed.returned(peer, at);
                }
            }
            Note::Kill { peer } => {
                self.known.remove(peer);
                self.missed.removed(peer, at);
                let open = self.open(peer);
                (open.unreachable, open.failed) = (false, 0);
                (open.counted, open.is_new) = (false, false);
                (open.untold, open.sabotaged) = (false, false);
                // The other host may have ended the connection.
                let is_ours = self.killing.get(peer).is_some_and(|count| *count > 0);
                if !is_ours && now.records.may_come_back(peer) && now.records.may_leave(peer) {
                    self.revivals.insert(peer.clone());
                }
            }
            Note::Knock { name, .. } => self.wants_addition(name),
            Note::Greet { challenge, .. } => self.greetings.greeted(now, challenge),
            _ => {}
        }
    }

    fn informed(&mut self, at: Instant, command: &Command, words: &[String]) {
        if command.verb == "LIST"
            && let Some(peer) = words.first()
        {
            self.known.insert(peer.clone(), at);
        }
    }

    fn ended(&mut self, now: &Moment<'_>, command: &Command, end: &End) {
        let peer = command.word(0);
        match command.verb.as_str() {
            "KILL" => {
                if let Some(count) = self.killing.get_mut(peer) {
                    *count = count.saturating_sub(1);
                }
                // It is killed, or was gone, or the server does not kill it: core has tried.
                if self.known.remove(peer).is_some() {
                    self.missed.killed(peer);
                }
            }
            "ADD" => {
                let starts = self.start_up.adding.remove(peer);
                if starts {
                    self.start_up.ended.changed(peer, now.at);
                }
                let comes_back =
                    self.reviving.remove(peer) || starts && now.records.may_come_back(peer);
                if comes_back && matches!(end, End::Failed(_)) {
                    self.revivals.insert(peer.to_owned());
                }
                let exists = matches!(end, End::Failed(words) if words.first().is_some_and(|it| it == "peer-exists"));
                let open = self.open(peer);
                (open.add, open.kill) = (0, 0);
                // Their answers say nothing about the causes that come from now on.
                open.jobs.clear();
                if exists {
                    // Somebody else was faster: once more, after a `KILL`.
                    (open.add, open.kill) = (1, 1);
                }
            }
            _ => {}
        }
    }

    fn sent(&mut self, now: &Moment<'_>, command: &Command) -> Verdict {
        if let Some(told) = command.told() {
            self.told(now, told);
            return Ok(());
        }
        let peer = command.word(0);
        let broken = |text: String| Err((Promise::Causes, text));
        match command.verb.as_str() {
            "PING" | "EPING" => {
                let open = self.open(peer);
                open.counted |= std::mem::take(&mut open.is_new);
            }
            "SVCINFO" => self.greetings.told(now.at, peer, command.word(1)),
            "SVCOK" => self.answered(peer, false),
            "SVCFAIL" => self.answered(peer, true),
            "ADD" => {
                self.must_be_unknown(now, peer)?;
                let applies = self.applying.adds(now, peer);
                let is_wanted = self.takes(peer, applies, |open| &mut open.add);
                // A greeting may come while the peer is added for another cause, so it is the last
                // one that is taken.
                if is_wanted == Want::Own || self.comes_elsewhere(peer) {
                    return Ok(());
                }
                let overtaken = self.overtaken.remove(peer);
                if overtaken.is_some_and(|since| now.calm.may_cross(since, now.at)) {
                    return Ok(());
                }
                if is_wanted == Want::None {
                    return broken(format!("nobody wants that {peer} is added"));
                }
                self.greetings.take(peer);
            }
            "KILL" => {
                *self.killing.entry(peer.to_owned()).or_default() += 1;
                if self.open(peer).ends_its_check() {
                    if now.records.may_come_back(peer) {
                        self.revivals.insert(peer.to_owned());
                    }
                    return Ok(());
                }
                // An operator who has changes applied is a cause for each peer that has changed,
                // so one of its own comes first: it says what is to follow.
                let open = self.open(peer);
                let has_moved = open.kill == 0 && open.moves;
                let applies = self.applying.removes(now, peer);
                let is_wanted = self.takes(peer, applies, |open| &mut open.kill);
                if is_wanted == Want::Own && !has_moved {
                    return Ok(());
                }
                if self.moves(peer) {
                    if now.records.may_come_back(peer) {
                        self.reviving.insert(peer.to_owned());
                    }
                } else if is_wanted == Want::None {
                    return broken(format!("there is no cause to kill {peer}"));
                }
            }
            "FORCEKX" => {
                let open = self.open(peer);
                if open.ends_its_check() {
                    return Ok(());
                }
                if open.kick == 0 {
                    return broken(format!("there is no cause to reconnect {peer}"));
                }
                open.kick -= 1;
            }
            "GREET" => {
                let mut connects = self.connects.values_mut();
                match connects.find(|(of, greeted)| of == peer && !*greeted) {
                    Some((_, greeted)) => *greeted = true,
                    None => {
                        return broken(format!("no `connect' has given a challenge for {peer}"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a peer may be removed since it may have moved. If so, it may be added as well.
    fn moves(&mut self, peer: &str) -> bool {
        let open = self.open(peer);
        let moves = std::mem::take(&mut open.moves);
        open.add += u32::from(moves);
        moves
    }

    /// A command of a client is answered. One that fails, perhaps before it does anything, is the
    /// cause of nothing more.
    fn answered(&mut self, job: &str, fails: bool) {
        self.greetings.answered(job);
        for open in self.open.values_mut() {
            if open.jobs.remove(job) && fails {
                open.add = open.add.saturating_sub(1);
                open.kill = open.kill.saturating_sub(1);
            }
        }
    }

    /// Whether a peer may be added that may have moved, or that is to come back.
    fn comes_elsewhere(&mut self, peer: &str) -> bool {
        if std::mem::take(&mut self.open(peer).moves) {
            return true;
        }
        let comes_back = self.revivals.remove(peer);
        if comes_back {
            self.reviving.insert(peer.to_owned());
        }
        comes_back
    }

    /// Takes in what the service has told everybody.
    fn told(&mut self, now: &Moment<'_>, told: &[String]) {
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        match told.as_slice() {
            // The record may have come to allow fewer than have failed already.
            ["ping-timeout", peer, "attempt", attempt, "of", of] => {
                let open = self.open(peer);
                (open.failed, open.untold, open.counted) = (number(attempt), false, true);
                open.unreachable |= number(attempt) >= number(of);
            }
            // A ping that was not sent counts as an attempt, and is not told to be one. A peer that
            // the server does not have is forgotten.
            ["ping-failed", peer, code, ..] => {
                let fewest = now.checking().retries(peer).first().copied();
                let open = self.open(peer);
                (open.failed, open.untold) = (open.failed + 1, false);
                let is_last = fewest.is_none_or(|fewest| open.failed >= fewest);
                open.unreachable |= is_last || !open.counted || *code == "unknown-peer";
            }
            ["reconnecting", peer] => {
                let open = self.open(peer);
                (open.unreachable, open.untold) = (true, false);
            }
            ["peerdb-update"] if std::mem::take(&mut self.start_up.waits) => {
                // That it is done is written later.
                self.start_up.joined = now.at;
                self.adds_start_up_peers(now);
            }
            ["ping-ok", peer] => {
                let open = self.open(peer);
                (open.unreachable, open.moves) = (false, false);
                (open.failed, open.counted) = (0, true);
            }
            _ => {}
        }
    }

    /// Takes one of the causes of a peer. A greeting stays one until the peer is added, and changes
    /// that are being applied may concern a peer more than once.
    fn takes(&mut self, peer: &str, applies: bool, count: impl Fn(&mut Open) -> &mut u32) -> Want {
        let count = count(self.open(peer));
        if *count > 0 {
            *count -= 1;
            return Want::Own;
        }
        if self.greetings.has(peer) {
            return Want::Greeting;
        }
        if applies { Want::Own } else { Want::None }
    }

    fn must_be_unknown(&self, now: &Moment<'_>, peer: &str) -> Verdict {
        let Some(since) = self.known.get(peer) else {
            return Ok(());
        };
        let is_killing = self.killing.get(peer).is_some_and(|count| *count > 0);
        if is_killing || now.calm.may_cross(*since, now.at) {
            return Ok(());
        }
        let text = format!("ADD of {peer}, which core knows to be there since {since}");
        Err((Promise::NoKnownAdd, text))
    }
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CORE, Sight, plan};
    use super::*;
    use crate::plan::{DatabaseChange, HostId, Timed, When};
    use crate::seen::Who;
    use connect_core::machine::ConnectionId;
    use connect_ipc::control::{Answer, Envelope, Reply};

    const OPERATOR: ConnectionId = ConnectionId(1);

    const ADD: &str = "> ADD -background c0.0 -keepalive 10 p INET 198.18.0.1 4070";

    /// Core ends, and the next one connects.
    fn next_core(sight: &mut Sight) {
        sight.see(Seen::Died(Part::Core)).unwrap();
        sight.see(Seen::Ended(CORE)).unwrap();
        sight.see(Seen::Lives(Part::Core, 2)).unwrap();
        sight.see(Seen::Opened(CORE, Who::Core(2))).unwrap();
    }

    #[test]
    fn an_add_of_what_is_not_there_keeps_it() {
        let mut sight = Sight::new::<Causes>(&[]);
        let broken = sight.lines(&["> LIST", "< INFO q", "< OK", "< SVCJOB J1 connect active p"]);
        assert_eq!(broken, None);
        assert_eq!(sight.lines(&[ADD, "< BGDETACH c0.0"]), None);
        sight.lines(&["< NOTE ADD p tripe0 INET 198.18.0.1 4070", "< BGOK c0.0"]);
        sight.later(5);
        let again = [
            "< SVCJOB J2 connect active p",
            "> KILL p",
            "< NOTE KILL p",
            "< OK",
            ADD,
        ];
        assert_eq!(sight.lines(&again), None);
    }

    #[test]
    fn a_peer_is_killed_after_its_last_attempt_or_one_beyond_it() {
        for (attempt, expected) in [
            ("2 of 3", Some(Promise::Causes)),
            ("3 of 3", None),
            ("3 of 1", None),
        ] {
            let mut sight = Sight::new::<Causes>(&[]);
            sight.lines(&["> LIST", "< INFO p", "< OK"]);
            let told = format!("> WARN connect ping-timeout p attempt {attempt}");
            assert_eq!(sight.lines(&[&told, "< OK"]), None);
            assert_eq!(sight.lines(&["> KILL p"]), expected, "{attempt}");
        }
    }

    /// The commands that may follow so many pings that the server has refused.
    #[test]
    fn a_peer_is_killed_after_the_last_refused_ping_and_not_before() {
        const REFUSED: [&str; 4] = [
            "> PING -background c0.1 -timeout 10 p",
            "< FAIL peer-create-fail",
            "> NOTIFY connect ping-failed p peer-create-fail",
            "< OK",
        ];
        let answered = [
            "> PING -background c0.0 -timeout 10 p",
            "< BGDETACH c0.0",
            "< BGINFO c0.0 ping-ok 1.0",
            "< BGOK c0.0",
        ];
        let added = ["< NOTE ADD p tripe0 INET 198.18.0.1 4070"];
        let missed = ["> WARN connect ping-timeout p attempt 1 of 3", "< OK"];
        let causes = Some(Promise::Causes);
        for (before, refused, expected) in [
            (&answered[..], 2, causes),
            (&answered, 3, None),
            (&added, 2, causes),
            (&added, 3, None),
            (&missed, 1, causes),
            (&missed, 2, None),
            // Others may have failed before this connection.
            (&[], 1, None),
        ] {
            let mut sight = Sight::new::<Causes>(&[("p", &[("retries", "3")])]);
            sight.lines(&["> LIST", "< INFO p", "< OK"]);
            assert_eq!(sight.lines(before), None);
            for _ in 0..refused {
                assert_eq!(sight.lines(&REFUSED), None);
            }
            let killed = sight.lines(&["> KILL p"]);
            assert_eq!(killed, expected, "{before:?}, {refused}");
        }
    }

    #[test]
    fn a_peer_whose_kill_is_refused_has_all_attempts_of_the_next_check() {
        let mut sight = Sight::new::<Causes>(&[("p", &[("retries", "2")])]);
        let refused = ["> NOTIFY connect ping-failed p peer-create-fail", "< OK"];
        let missed = ["> WARN connect ping-timeout p attempt 2 of 2", "< OK"];
        let kill = ["> KILL p", "< FAIL bad-luck"];
        assert_eq!(sight.lines(&missed), None);
        assert_eq!(sight.lines(&kill), None);
        assert_eq!(sight.lines(&refused), None);
        assert_eq!(sight.lines(&kill[..1]), Some(Promise::Causes));
    }

    /// The server reads what core says of the peer before after it has told of the next one.
    #[test]
    fn a_refused_ping_of_the_peer_before_may_have_been_the_last() {
        let mut sight = Sight::new::<Causes>(&[("p", &[("retries", "3")])]);
        let replaced = [
            "> WARN connect ping-timeout p attempt 2 of 3",
            "< NOTE KILL p",
            "< NOTE ADD p tripe0 INET 198.18.0.1 4070",
            "> NOTIFY connect ping-failed p peer-create-fail",
            "> KILL p",
        ];
        assert_eq!(sight.lines(&replaced), None);
    }

    #[test]
    fn a_peer_whose_last_attempt_failed_as_the_server_was_lost_comes_back() {
        let record: &[(&str, &[(&str, &str)])] =
            &[("p", &[("when-dead", "retry"), ("retries", "2")])];
        let mut plan = plan(record, Vec::new());
        plan.site.hosts[0].auto = vec!["p".to_owned()];
        for (attempts, expected) in [(0, Some(Promise::Causes)), (1, None)] {
            let mut sight = Sight::of::<Causes>(&plan);
            sight.lines(&["> LIST", "< INFO p", "< OK"]);
            if attempts > 0 {
                let told = "> WARN connect ping-timeout p attempt 1 of 2";
                assert_eq!(sight.lines(&[told, "< OK"]), None);
            }
            let ping = [
                "> PING -background c1.0 -timeout 2 p",
                "< BGDETACH c1.0",
                "< BGINFO c1.0 ping-timeout",
                "< BGOK c1.0",
            ];
            assert_eq!(sight.lines(&ping), None);
            sight.see(Seen::Ended(CORE)).unwrap();
            sight.see(Seen::Lives(Part::Server, 2)).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(1))).unwrap();
            sight.lines(&["> LIST", "< OK"]);
            assert_eq!(sight.lines(&[ADD]), expected, "{attempts}");
        }
    }

    #[test]
    fn start_up_that_was_under_way_when_the_connection_was_lost_goes_on() {
        for (before, expected) in [
            (&[][..], None),
            (
                &[ADD, "< BGDETACH c0.0", "< BGOK c0.0"],
                Some(Promise::Causes),
            ),
        ] {
            let mut plan = plan(&[("p", &[])], Vec::new());
            plan.site.hosts[0].auto = vec!["p".to_owned()];
            plan.site.hosts[0].startup = true;
            let mut sight = Sight::of::<Causes>(&plan);
            sight.see(Seen::Lives(Part::Server, 1)).unwrap();
            sight.lines(&["> LIST", "< INFO q", "< OK"]);
            sight.lines(before);
            sight.see(Seen::Ended(CORE)).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(1))).unwrap();
            sight.lines(&["> LIST", "< INFO q", "< OK"]);
            assert_eq!(sight.lines(&[ADD]), expected, "{before:?}");
        }
    }

    #[test]
    fn start_up_goes_on_in_a_core_whose_state_does_not_have_its_end() {
        for (seconds, expected) in [(0, None), (20, Some(Promise::Causes))] {
            let mut plan = plan(&[("p", &[])], Vec::new());
            plan.site.hosts[0].auto = vec!["p".to_owned()];
            plan.site.hosts[0].startup = true;
            let mut sight = Sight::of::<Causes>(&plan);
            sight.see(Seen::Lives(Part::Server, 1)).unwrap();
            let begun = ["> LIST", "< INFO q", "< OK", ADD];
            assert_eq!(sight.lines(&begun), None);
            sight.later(100);
            assert_eq!(sight.lines(&["< FAIL resolve-error"]), None);
            sight.later(seconds);
            next_core(&mut sight);
            let listed = ["> LIST", "< INFO q", "< OK", ADD];
            assert_eq!(sight.lines(&listed), expected, "{seconds}");
        }
    }

    #[test]
    fn a_command_that_failed_at_once_is_the_cause_of_nothing_later() {
        for (answer, expected) in [
            ("> SVCFAIL J1 unknown-peer p", Some(Promise::Causes)),
            ("> SVCFAIL J2 unknown-peer q", None),
        ] {
            let mut sight = Sight::new::<Causes>(&[]);
            let asked = [
                "< SVCJOB J1 connect active p",
                "< SVCJOB J2 connect active q",
            ];
            assert_eq!(sight.lines(&[&asked[..], &[answer]].concat()), None);
            assert_eq!(sight.lines(&[ADD]), expected, "{answer}");
        }
    }

    #[test]
    fn a_command_given_after_an_add_has_failed_keeps_its_cause() {
        let mut sight = Sight::new::<Causes>(&[]);
        let first = ["< SVCJOB J1 connect active p", ADD, "< FAIL x"];
        assert_eq!(sight.lines(&first), None);
        let crossed = ["< SVCJOB J2 connect active p", "> SVCFAIL J1 x"];
        assert_eq!(sight.lines(&crossed), None);
        assert_eq!(sight.lines(&[ADD]), None);
        let again = ["< FAIL x", "> SVCFAIL J2 x", ADD];
        assert_eq!(sight.lines(&again), Some(Promise::Causes));
    }

    #[test]
    fn a_command_that_fails_since_its_peer_moves_takes_no_cause_of_that() {
        let mut sight = Sight::new::<Causes>(&[]);
        sight.lines(&["> LIST", "< INFO p", "< OK"]);
        let found = Found::Addresses(vec![[198, 18, 0, 9].into()]);
        sight.see(Seen::LookedUp("p", &found)).unwrap();
        let moves = ["> KILL p", "< FAIL x", ADD, "< SVCJOB J1 connect active p"];
        assert_eq!(sight.lines(&moves), None);
        let there = ["< FAIL peer-exists p", "> SVCFAIL J1 peer-exists p"];
        assert_eq!(sight.lines(&there), None);
        let again = ["> KILL p", "< NOTE KILL p", "< OK", ADD];
        assert_eq!(sight.lines(&again), None);
        assert_eq!(sight.lines(&["< FAIL x", ADD]), Some(Promise::Causes));
    }

    #[test]
    fn an_add_of_what_is_there_breaks_it() {
        let mut sight = Sight::new::<Causes>(&[]);
        sight.lines(&["> LIST", "< INFO p", "< OK"]);
        sight.later(5);
        sight.lines(&["< SVCJOB J1 connect active p"]);
        assert_eq!(sight.lines(&[ADD]), Some(Promise::NoKnownAdd));
    }

    #[test]
    fn an_add_that_crosses_the_notification_keeps_it() {
        let mut sight = Sight::new::<Causes>(&[]);
        let note = "< NOTE ADD p tripe0 INET 198.18.0.1 4070";
        assert_eq!(
            sight.lines(&["< SVCJOB J1 connect active p", note, ADD]),
            None
        );
    }

    #[test]
    fn commands_without_a_cause_break_it() {
        let causes = Some(Promise::Causes);
        for line in [ADD, "> KILL p", "> FORCEKX p", "> GREET p abc"] {
            assert_eq!(Sight::new::<Causes>(&[]).lines(&[line]), causes, "{line}");
        }
        let mut sight = Sight::new::<Causes>(&[]);
        let first = [
            "< SVCJOB J1 connect active p",
            ADD,
            "< BGDETACH c0.0",
            "< BGOK c0.0",
        ];
        assert_eq!(sight.lines(&first), None);
        assert_eq!(sight.lines(&[ADD]), causes, "one command, one ADD");
        let mut sight = Sight::new::<Causes>(&[]);
        assert_eq!(
            sight.lines(&["< SVCJOB J1 connect kick p", "> FORCEKX p"]),
            None
        );
        assert_eq!(sight.lines(&["> FORCEKX p"]), causes);
    }

    /// What is broken by an `ADD` of the peer in the end, or by the one before, which has failed:
    /// the peer was killed after a lookup of its name or for its silence.
    fn added_again(pairs: &[(&str, &str)], looked_up: bool) -> Option<Promise> {
        let record: &[(&str, &[(&str, &str)])] = &[("p", pairs)];
        let mut plan = plan(record, Vec::new());
        plan.site.hosts[0].auto = vec!["p".to_owned()];
        let mut sight = Sight::of::<Causes>(&plan);
        if looked_up {
            let found = Found::Addresses(vec![[198, 18, 0, 9].into()]);
            sight.see(Seen::LookedUp("p", &found)).unwrap();
        } else {
            sight.lines(&["> WARN connect ping-timeout p attempt 1 of 1", "< OK"]);
        }
        let killed = sight.lines(&["> KILL p", "< NOTE KILL p", "< OK"]);
        assert_eq!(killed, None);
        let failed = ["< BGDETACH c0.0", "< BGFAIL c0.0 x"];
        let mut lines = [&[ADD][..], &failed, &[ADD]].into_iter();
        lines.find_map(|lines| sight.lines(lines))
    }

    #[test]
    fn an_add_at_a_new_address_or_of_a_peer_that_comes_back_keeps_it() {
        let retry: &[(&str, &str)] = &[("when-dead", "retry")];
        assert_eq!(added_again(retry, true), None);
        assert_eq!(added_again(retry, false), None);
        let causes = Some(Promise::Causes);
        assert_eq!(added_again(&[], true), causes, "once for each lookup");
        assert_eq!(added_again(&[], false), causes, "it stays dead");
    }

    #[test]
    fn a_peer_that_was_removed_to_be_added_elsewhere_comes_back_though_the_connection_is_lost() {
        let record: &[(&str, &[(&str, &str)])] = &[("p", &[("when-dead", "retry")])];
        let mut plan = plan(record, Vec::new());
        plan.site.hosts[0].auto = vec!["p".to_owned()];
        for applied in [false, true] {
            let mut sight = Sight::of::<Causes>(&plan);
            if applied {
                record_changes(&mut sight, "p");
                has_changes_applied(&mut sight);
            }
            let found = Found::Addresses(vec![[198, 18, 0, 9].into()]);
            sight.see(Seen::LookedUp("p", &found)).unwrap();
            let killed = sight.lines(&["> KILL p", "< NOTE KILL p", "< OK"]);
            assert_eq!(killed, None);
            sight.see(Seen::Ended(CORE)).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(1))).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(1))).unwrap();
            assert_eq!(sight.lines(&["> LIST", "< OK", ADD]), None, "{applied}");
        }
    }

    /// An operator has changes applied.
    fn has_changes_applied(sight: &mut Sight) {
        let envelope = Envelope {
            id: 1,
            request: Request::ApplyChanges {},
        };
        sight.see(Seen::Asked(OPERATOR, &envelope)).unwrap();
    }

    /// The record of a peer is another one.
    fn record_changes(sight: &mut Sight, peer: &str) {
        let change = DatabaseChange::Record {
            peer: peer.to_owned(),
            key: "keepalive".to_owned(),
            value: Some("20".to_owned()),
        };
        sight.see(Seen::Fault(&Fault::Database { change })).unwrap();
    }

    const REPLACED: [&str; 4] = ["> KILL p", "< NOTE KILL p", "< OK", ADD];

    #[test]
    fn changes_that_are_applied_are_a_cause_for_a_peer_whose_record_has_changed() {
        for (peer, expected) in [("p", None), ("q", Some(Promise::Causes))] {
            let mut sight = Sight::new::<Causes>(&[("p", &[]), ("q", &[])]);
            sight.lines(&["> LIST", "< INFO p", "< INFO q", "< OK"]);
            record_changes(&mut sight, peer);
            sight.later(200);
            has_changes_applied(&mut sight);
            let removed = sight.lines(&REPLACED[..1]);
            assert_eq!(removed, expected, "{peer}");
        }
    }

    #[test]
    fn changes_that_were_applied_are_a_cause_no_more() {
        let causes = Some(Promise::Causes);
        for (ends, seconds, expected) in [
            (None, 0, None),
            (None, 200, None),
            (Some(true), 1, causes),
            (Some(false), 20, None),
            (Some(false), 40, causes),
        ] {
            let mut sight = Sight::new::<Causes>(&[("p", &[])]);
            sight.lines(&["> LIST", "< INFO p", "< OK"]);
            record_changes(&mut sight, "p");
            sight.later(10);
            has_changes_applied(&mut sight);
            let answer = Answer {
                id: 1,
                reply: Reply::Done {},
            };
            match ends {
                Some(true) => sight.see(Seen::Replied(OPERATOR, &answer)).unwrap(),
                Some(false) => sight.see(Seen::Gone(OPERATOR)).unwrap(),
                None => {}
            }
            sight.later(seconds);
            let removed = sight.lines(&REPLACED[..1]);
            assert_eq!(removed, expected, "{ends:?} {seconds}");
        }
    }

    #[test]
    fn a_peer_that_was_added_with_its_present_record_has_not_changed() {
        for (seconds, expected) in [(60, None), (300, Some(Promise::Causes))] {
            let mut sight = Sight::new::<Causes>(&[("p", &[])]);
            sight.lines(&["> LIST", "< INFO p", "< OK"]);
            record_changes(&mut sight, "p");
            sight.later(seconds);
            has_changes_applied(&mut sight);
            assert_eq!(sight.lines(&REPLACED), None);
            let added = ["< NOTE ADD p tripe0 INET 198.18.0.1 4070", "< OK"];
            assert_eq!(sight.lines(&added), None);
            let again = sight.lines(&REPLACED[..1]);
            assert_eq!(again, expected, "{seconds}");
        }
    }

    /// The server has ended, perhaps before it had read that the peer is to be removed.
    #[test]
    fn a_sabotaged_peer_whose_last_ping_was_answered_may_have_been_removed() {
        let pairs: &[(&str, &str)] = &[("when-dead", "retry"), ("retries", "1")];
        let record: &[(&str, &[(&str, &str)])] = &[("p", pairs)];
        let mut plan = plan(record, Vec::new());
        plan.site.hosts[0].auto = vec!["p".to_owned()];
        for sabotaged in [true, false] {
            let mut sight = Sight::of::<Causes>(&plan);
            let given = ["< SVCJOB J1 connect sabotage p"];
            sight.lines(&given[usize::from(!sabotaged)..]);
            sight.lines(&["> PING -background c0.0 p", "< BGDETACH c0.0"]);
            sight.lines(&["< BGINFO c0.0 ping-ok 20", "< BGOK c0.0"]);
            sight.see(Seen::Ended(CORE)).unwrap();
            for _ in 0..2 {
                sight.see(Seen::Opened(CORE, Who::Core(1))).unwrap();
            }
            let added = sight.lines(&["> LIST", "< OK", ADD]);
            assert_eq!(added.is_none(), sabotaged);
        }
    }

    /// Whether core may add `p` after the connection was lost, if the server does not list it.
    fn may_be_missed(before: &[&str], ends: bool) -> bool {
        may_be_missed_after(before, 0, ends.then_some(Kept::Last))
    }

    /// The same so many seconds later, if core is killed with this state left.
    fn may_be_missed_after(before: &[&str], seconds: u64, ends: Option<Kept>) -> bool {
        let pairs: &[(&str, &str)] = &[("when-dead", "retry"), ("peer", "INET 198.18.0.1 4070")];
        let mut plan = plan(&[("p", pairs)], Vec::new());
        plan.site.hosts[0].auto = vec!["p".to_owned()];
        plan.site.hosts[0].keeps_state = true;
        let mut sight = Sight::of::<Causes>(&plan);
        assert_eq!(sight.lines(&["> LIST", "< INFO p", "< OK"]), None);
        assert_eq!(sight.lines(before), None);
        sight.later(seconds);
        if let Some(state) = ends {
            let part = Part::Core;
            let fault = Fault::Kill {
                part,
                after: 0,
                state,
            };
            sight.see(Seen::Fault(&fault)).unwrap();
            next_core(&mut sight);
        } else {
            sight.see(Seen::Ended(CORE)).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(1))).unwrap();
        }
        sight.lines(&["> LIST", "< INFO q", "< OK", ADD]).is_none()
    }

    #[test]
    fn a_core_whose_state_is_older_than_the_return_of_a_peer_may_add_it_again() {
        let pairs: &[(&str, &str)] = &[("when-dead", "retry"), ("retries", "1")];
        let mut plan = plan(&[("p", pairs)], Vec::new());
        plan.site.hosts[0].auto = vec!["p".to_owned()];
        plan.site.hosts[0].keeps_state = true;
        for (seconds, expected) in [(0, None), (20, Some(Promise::Causes))] {
            let mut sight = Sight::of::<Causes>(&plan);
            assert_eq!(sight.lines(&["> LIST", "< INFO p", "< OK"]), None);
            let dead = ["> WARN connect ping-timeout p attempt 1 of 1", "< OK"];
            let gone = ["> KILL p", "< NOTE KILL p", "< OK"];
            assert_eq!(sight.lines(&[&dead[..], &gone].concat()), None);
            sight.later(60);
            let note = "< NOTE ADD p tripe0 INET 198.18.0.1 4070";
            let back = [ADD, "< BGDETACH c0.0", note, "< BGOK c0.0"];
            assert_eq!(sight.lines(&back), None);
            sight.later(seconds);
            next_core(&mut sight);
            let listed = ["< NOTE KILL p", "> LIST", "< INFO q", "< OK", ADD];
            assert_eq!(sight.lines(&listed), expected, "{seconds}");
        }
    }

    #[test]
    fn an_add_of_a_peer_whose_removal_nobody_has_seen_keeps_it() {
        let killed = ["< NOTE KILL p"];
        assert!(may_be_missed(&[], false));
        assert!(may_be_missed(&[], true));
        assert!(!may_be_missed(&killed, false));
        // Core has asked for it, and has not heard that it was done.
        let unheard = ["< SVCJOB J1 connect active p", "> KILL p", "< OK"];
        assert!(may_be_missed(&unheard, false));
        // The state may be older.
        assert!(may_be_missed(&killed, true));
        assert!(!may_be_missed_after(&killed, 20, Some(Kept::Last)));
        assert!(!may_be_missed_after(&[], 20, Some(Kept::None)));
    }

    #[test]
    fn a_removal_is_not_written_while_core_is_suspended_also_if_the_host_sleeps_meanwhile() {
        let pairs: &[(&str, &str)] = &[("when-dead", "retry"), ("peer", "INET 198.18.0.1 4070")];
        let mut plan = plan(&[("p", pairs)], Vec::new());
        plan.site.hosts[0].auto = vec!["p".to_owned()];
        plan.site.hosts[0].keeps_state = true;
        let mut sight = Sight::of::<Causes>(&plan);
        let gone = ["> LIST", "< INFO p", "< OK", "< NOTE KILL p"];
        assert_eq!(sight.lines(&gone), None);
        let until = Instant(1_000_000_000_000);
        sight.see(Seen::Stands(Part::Core, until)).unwrap();
        let time = Duration::from_secs(40);
        sight.see(Seen::Fault(&Fault::Suspend { time })).unwrap();
        sight.later(900);
        next_core(&mut sight);
        assert_eq!(sight.lines(&["> LIST", "< INFO q", "< OK", ADD]), None);
    }

    #[test]
    fn an_add_of_a_peer_that_comes_back_may_cross_that_of_somebody_else() {
        let record: &[(&str, &[(&str, &str)])] = &[("p", &[("when-dead", "retry")])];
        let mut plan = plan(record, Vec::new());
        plan.site.hosts[0].auto = vec!["p".to_owned()];
        for seconds in [0, 60] {
            let mut sight = Sight::of::<Causes>(&plan);
            sight.lines(&["> WARN connect ping-timeout p attempt 1 of 1", "< OK"]);
            let note = "< NOTE ADD p tripe0 INET 198.18.0.1 4070";
            let killed = ["> KILL p", "< NOTE KILL p", "< OK", note];
            assert_eq!(sight.lines(&killed), None);
            sight.later(seconds);
            assert_eq!(sight.lines(&[ADD]).is_none(), seconds == 0);
        }
    }

    #[test]
    fn a_greeting_is_no_cause_of_what_has_one_of_its_own() {
        let mut plan = plan(&[("p", &[])], Vec::new());
        plan.site.hosts[0].users = vec![("u".to_owned(), "p".to_owned())];
        let mut sight = Sight::of::<Causes>(&plan);
        assert_eq!(sight.lines(&PASSIVE), None);
        assert_eq!(sight.lines(&[GREETED]), None);
        let found = Found::Addresses(vec![[198, 18, 0, 9].into()]);
        sight.see(Seen::LookedUp("p", &found)).unwrap();
        let moved = ["> KILL p", "< NOTE KILL p", "< OK"];
        assert_eq!(sight.lines(&moved), None);
        let failed = [ADD, "< BGDETACH c0.0", "< BGFAIL c0.0 resolve-error"];
        assert_eq!(sight.lines(&failed), None);
        // The greeting is still there, once.
        assert_eq!(sight.lines(&failed), None);
        assert_eq!(sight.lines(&[ADD]), Some(Promise::Causes));
    }

    const PASSIVE: [&str; 5] = [
        "< SVCJOB J1 connect passive u",
        "> GETCHAL",
        "< INFO abc",
        "< OK",
        "> SVCINFO J1 abc",
    ];
    const GREETED: &str = "< NOTE GREET abc INET 198.18.0.3 4070";

    /// What is broken if `p` is added after a greeting that comes so many seconds after its
    /// challenge and after these lines.
    fn greeted(seconds: u64, lines: &[&str]) -> Option<Promise> {
        let mut plan = plan(&[("p", &[]), ("q", &[])], Vec::new());
        let user = |user: &str, peer: &str| (user.to_owned(), peer.to_owned());
        plan.site.hosts[0].users = vec![user("u", "p"), user("v", "q")];
        let mut sight = Sight::of::<Causes>(&plan);
        assert_eq!(sight.lines(&PASSIVE), None);
        sight.later(seconds);
        assert_eq!(sight.lines(lines), None);
        assert_eq!(sight.lines(&[GREETED]), None);
        sight.lines(&[ADD])
    }

    #[test]
    fn a_greeting_is_a_cause_for_its_own_peer_in_its_time() {
        assert_eq!(greeted(29, &[]), None);
        let causes = Some(Promise::Causes);
        assert_eq!(greeted(32, &[]), causes, "too late");
        for ended in ["< SVCCANCEL J1", "> SVCFAIL J1 connect-timeout"] {
            assert_eq!(greeted(5, &[ended]), causes, "{ended}");
        }
        let other = ["< SVCJOB J2 connect passive v", "> SVCINFO J2 abc"];
        assert_eq!(greeted(5, &other), causes, "of another");
    }

    #[test]
    fn an_add_of_a_peer_that_start_up_could_not_add_keeps_it_if_it_comes_back() {
        let retry: &[(&str, &str)] = &[("when-dead", "retry")];
        for (pairs, expected) in [(retry, None), (&[], Some(Promise::Causes))] {
            let record: &[(&str, &[(&str, &str)])] = &[("p", pairs)];
            let mut plan = plan(record, Vec::new());
            let site = &mut plan.site.hosts[0];
            (site.startup, site.auto) = (true, vec!["p".to_owned()]);
            let mut sight = Sight::of::<Causes>(&plan);
            sight.see(Seen::Lives(Part::Server, 1)).unwrap();
            let failed = [ADD, "< BGDETACH c0.0", "< BGFAIL c0.0 resolve-error"];
            let first = [&["> LIST", "< INFO q", "< OK"][..], &failed].concat();
            assert_eq!(sight.lines(&first), None);
            assert_eq!(sight.lines(&[ADD]), expected);
        }
    }

    #[test]
    fn start_up_peers_may_be_added_with_the_first_database() {
        let missing = Timed {
            at: Instant::default(),
            when: When::Now,
            host: HostId(0),
            fault: Fault::Database {
                change: DatabaseChange::Missing,
            },
        };
        for (faults, expected) in [(vec![missing], None), (Vec::new(), Some(Promise::Causes))] {
            let mut plan = plan(&[("p", &[])], faults);
            let site = &mut plan.site.hosts[0];
            (site.startup, site.auto) = (true, vec!["p".to_owned()]);
            let mut sight = Sight::of::<Causes>(&plan);
            sight.see(Seen::Lives(Part::Server, 1)).unwrap();
            let list = ["> LIST", "< INFO q", "< OK"];
            assert_eq!(sight.lines(&[&list[..], &[ADD, "< OK"]].concat()), None);
            assert_eq!(
                sight.lines(&["> NOTIFY connect peerdb-update", "< OK", ADD]),
                expected
            );
        }
    }

    #[test]
    fn start_up_peers_are_added_once_for_each_server_unless_the_state_is_lost() {
        const AUTO: &str = "> ADD -background c0.0 p INET 198.18.0.1 4070";
        let list = ["> LIST", "< INFO q", "< OK", AUTO];
        let added = ["< BGDETACH c0.0", "< BGOK c0.0"];
        let killed = |state| Fault::Kill {
            part: Part::Core,
            after: 0,
            state,
        };
        let causes = Some(Promise::Causes);
        for (minutes, kept, new_server, expected) in [
            (5, Kept::Last, false, causes),
            (0, Kept::Last, false, None),
            (5, Kept::None, false, None),
            (5, Kept::Last, true, None),
        ] {
            let mut plan = plan(&[], Vec::new());
            let site = &mut plan.site.hosts[0];
            (site.startup, site.auto) = (true, vec!["p".to_owned()]);
            let mut sight = Sight::of::<Causes>(&plan);
            sight.see(Seen::Lives(Part::Server, 1)).unwrap();
            assert_eq!(sight.lines(&[&list[..], &added].concat()), None);
            sight.later(60 * minutes);
            sight.see(Seen::Fault(&killed(kept))).unwrap();
            sight.see(Seen::Died(Part::Core)).unwrap();
            sight.see(Seen::Ended(CORE)).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(1))).unwrap();
            if new_server {
                sight.see(Seen::Lives(Part::Server, 2)).unwrap();
            }
            sight.see(Seen::Lives(Part::Core, 2)).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(2))).unwrap();
            assert_eq!(sight.lines(&list), expected, "{minutes} {kept:?}");
        }
    }
}
