// SPDX-License-Identifier: GPL-3.0-or-later
//! Lookups of the host names of peers that do not answer (key `re-resolve`): which are wanted and
//! under way, and what an answer means for a peer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use connect_ipc::clock::{Monotonic, millis};
use connect_ipc::lookup::{LOOKUP_LIMIT, LOOKUPS, LastLookup, LookupResult, LookupStatus};
use connect_policy::resolving::numeric_address;
use peerdb::Database;

/// How long after a lookup of a peer's name the next one may come. Names with an address that moves
/// live for 60 s or longer in the caches of name servers.
pub(super) const LOOKUP_PAUSE: Duration = Duration::from_secs(60);

/// A lookup that takes longer than this is taken for one that nobody answers.
const PROMPT: Duration = Duration::from_secs(5);

/// The pause doubles at most this many times while nobody answers for the name, from one minute to
/// 16 minutes.
const DOUBLINGS: u32 = 4;

/// How many lookups may be under way of names for which nobody has answered promptly before, so
/// that one place is left for the others.
const DOUBTFUL: usize = LOOKUPS - 1;

/// How long after a peer was moved to another address it may be moved again. Otherwise a name that
/// gives one address and then another would interrupt the peer's key exchange again and again.
pub(super) const MOVE_PAUSE: Duration = Duration::from_secs(300);

/// If this many lookups in a row have found the present address, and the peer has not replied in
/// between, one of the other addresses is tried.
pub(super) const SAME_LOOKUPS: u32 = 5;

/// How long core waits for an answer of the script helper.
const ANSWER_LIMIT: Duration = LOOKUP_LIMIT.saturating_add(Duration::from_secs(5));

/// What an answer means for the peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Meaning {
    /// Its address is still right.
    Stay,
    /// It is to be added again at this address.
    Move(IpAddr),
    /// It is to be added again at this address, but it is too early.
    Wait(IpAddr),
}

/// What is known of the lookups of one peer.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Whether it is in the queue or under way.
    pending: bool,
    /// When the last one was asked for.
    asked: Option<Monotonic>,
    /// When the last one ended, and how.
    last: Option<(Monotonic, LookupResult)>,
    /// When the peer was last added again at another address.
    moved: Option<Monotonic>,
    /// Lookups in a row that had the present address among others.
    same: u32,
    /// Lookups in a row that took too long; `None` before the first one.
    slow: Option<u32>,
}

impl Known {
    /// How long after a lookup was asked for the next one may come.
    fn pause(&self) -> Duration {
        LOOKUP_PAUSE * 2_u32.pow(self.slow.unwrap_or(0).min(DOUBLINGS))
    }

    /// Whether the name was answered for promptly the last time.
    fn is_prompt(&self) -> bool {
        self.slow == Some(0)
    }
}

/// The lookups of all peers.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct Lookups {
    /// By the peer's name, at most one entry for each record of the database.
    peers: BTreeMap<String, Known>,
    /// The peers whose name is to be looked up and was answered for promptly the last time. A peer
    /// is once in this queue or in the next one.
    waiting: VecDeque<String>,
    /// The other peers whose name is to be looked up.
    doubtful: VecDeque<String>,
    /// The peers whose name is being looked up, by the number of the lookup, and since when.
    under_way: BTreeMap<u64, (String, Monotonic)>,
    last_number: u64,
    /// The addresses that records of the database have as numbers, once that was asked.
    recorded: Option<BTreeSet<SocketAddr>>,
}

impl Lookups {
    /// A peer does not answer, so its name is to be looked up, unless it just was.
    pub(super) fn want(&mut self, name: &str, now: Monotonic) {
        let known = self.peers.entry(name.to_owned()).or_default();
        let pause = known.pause();
        if known.pending || known.asked.is_some_and(|asked| now < asked + pause) {
            return;
        }
        (known.pending, known.asked) = (true, Some(now));
        let queue = if known.is_prompt() {
            &mut self.waiting
        } else {
            &mut self.doubtful
        };
        queue.push_back(name.to_owned());
    }

    /// The peer whose lookup is to begin now, if one may.
    pub(super) fn next(&mut self) -> Option<String> {
        if self.under_way.len() >= LOOKUPS {
            return None;
        }
        if let Some(name) = self.waiting.pop_front() {
            return Some(name);
        }
        let is_prompt = |name| self.peers.get(name).is_some_and(Known::is_prompt);
        let doubtful = self.under_way.values().filter(|(name, _)| !is_prompt(name));
        (doubtful.count() < DOUBTFUL).then(|| self.doubtful.pop_front())?
    }

    /// The lookup of a peer's name begins. Gives its number, which is later than those of an
    /// earlier core.
    pub(super) fn begin(&mut self, name: String, now: Monotonic) -> u64 {
        self.last_number = now.0.max(self.last_number + 1);
        self.under_way.insert(self.last_number, (name, now));
        self.last_number
    }

    /// A lookup has ended: of which peer. `None` if it is not waited for.
    pub(super) fn end(&mut self, number: u64, now: Monotonic) -> Option<String> {
        let (name, begun) = self.under_way.remove(&number)?;
        if let Some(known) = self.peers.get_mut(&name) {
            known.pending = false;
            let before = known.slow.unwrap_or(0);
            let is_prompt = now <= begun + PROMPT;
            known.slow = Some(if is_prompt {
                0
            } else {
                before.saturating_add(1)
            });
        }
        Some(name)
    }

    /// The lookup of a peer's name is not made.
    pub(super) fn set_aside(&mut self, name: &str) {
        if let Some(known) = self.peers.get_mut(name) {
            known.pending = false;
        }
    }

    /// The numbers of those whose answer is not waited for any more.
    pub(super) fn overdue(&self, now: Monotonic) -> Vec<u64> {
        let overdue = self.under_way.iter();
        let overdue = overdue.filter(|(_, (_, begun))| *begun + ANSWER_LIMIT <= now);
        overdue.map(|(number, _)| *number).collect()
    }

    /// Another script helper is there, or none: it does not know of these lookups. They are wanted
    /// again when the peer does not answer the next time.
    pub(in crate::machine) fn forget_pending(&mut self) {
        (self.waiting, self.doubtful, self.under_way) = Default::default();
        for known in self.peers.values_mut() {
            (known.pending, known.asked) = (false, None);
        }
    }

    /// When the next answer is given up.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let begun = self.under_way.values().map(|(_, begun)| *begun);
        begun.min().map(|begun| begun + ANSWER_LIMIT)
    }

    /// Whether a record of the database has this address as a number. Its peer may be away for now,
    /// and could not come back if another one had the address.
    pub(super) fn is_recorded(&mut self, address: SocketAddr, database: &Database) -> bool {
        let all = || database.peers().filter_map(numeric_address).collect();
        self.recorded.get_or_insert_with(all).contains(&address)
    }

    /// Decides what to do with a peer that is at the address `present` and does not answer, when
    /// the lookup of its name has found these addresses. The order of the addresses matters only
    /// when one of several is chosen.
    pub(super) fn judge(
        &mut self,
        name: &str,
        present: IpAddr,
        addresses: &[IpAddr],
        now: Monotonic,
    ) -> Meaning {
        let known = self.peers.entry(name.to_owned()).or_default();
        let chosen = if addresses.contains(&present) {
            known.same += 1;
            if known.same < SAME_LOOKUPS {
                return Meaning::Stay;
            }
            after(present, addresses)
        } else {
            known.same = 0;
            addresses.first().copied()
        };
        match chosen {
            None => Meaning::Stay,
            Some(address) if known.moved.is_some_and(|moved| now < moved + MOVE_PAUSE) => {
                Meaning::Wait(address)
            }
            Some(address) => Meaning::Move(address),
        }
    }

    /// A peer is added again at another address.
    pub(super) fn moved(&mut self, name: &str, now: Monotonic) {
        let known = self.peers.entry(name.to_owned()).or_default();
        (known.moved, known.same) = (Some(now), 0);
    }

    /// A peer answers.
    pub(in crate::machine) fn answers(&mut self, name: &str) {
        if let Some(known) = self.peers.get_mut(name) {
            known.same = 0;
        }
    }

    /// Notes the result of a lookup. Returns whether it has failed and the one before had not.
    pub(super) fn note(&mut self, name: &str, result: LookupResult, now: Monotonic) -> bool {
        let failed = |result: &LookupResult| matches!(result, LookupResult::Failed(_));
        let known = self.peers.entry(name.to_owned()).or_default();
        let fails = failed(&result);
        let before = known.last.replace((now, result));
        fails && !before.is_some_and(|(_, result)| failed(&result))
    }

    /// The state of the lookups of this peer's host name.
    pub(super) fn status(&self, name: &str, host: String, now: Monotonic) -> LookupStatus {
        let known = self.peers.get(name);
        let last = known.and_then(|known| known.last.as_ref());
        let asked = known.and_then(|known| known.asked);
        LookupStatus {
            host,
            last: last.map(|(at, result)| LastLookup {
                ago: now.since(*at).as_secs(),
                result: result.clone(),
            }),
            pending: known.is_some_and(|known| known.pending),
            pause: asked.map_or(0, |asked| {
                let pause = known.map_or(LOOKUP_PAUSE, Known::pause);
                let rest = (asked + pause).since(now);
                millis(rest).div_ceil(1_000)
            }),
        }
    }

    /// Forgets the peers that have no record any more.
    pub(in crate::machine) fn keep_recorded(&mut self, database: &Database) {
        self.peers.retain(|name, _| database.peer(name).is_some());
        for queue in [&mut self.waiting, &mut self.doubtful] {
            queue.retain(|name| database.peer(name).is_some());
        }
        self.recorded = None;
    }
}

/// The address that follows `present` in the order of numbers, the first after the last; `None` if
/// there is no other.
fn after(present: IpAddr, addresses: &[IpAddr]) -> Option<IpAddr> {
    let others = || addresses.iter().copied().filter(|it| *it != present);
    others().filter(|it| *it > present).min().or(others().min())
}

#[cfg(test)]
mod tests {
    use peerdb::Record;

    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(0) + Duration::from_secs(seconds)
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_peer_stays_while_the_name_has_its_address_in_whatever_order() {
        let mut lookups = Lookups::default();
        for round in 0..20 {
            let mut addresses = [ip(1), ip(2), ip(3)];
            addresses.rotate_left(round % 3);
            let meaning = lookups.judge("p", ip(1), &addresses, at(0));
            assert_eq!(meaning, Meaning::Stay);
            if round % 4 == 3 {
                lookups.answers("p");
            }
        }
    }

    #[test]
    fn a_peer_moves_when_the_name_does_not_have_its_address_and_not_again_at_once() {
        let mut lookups = Lookups::default();
        let judge = |lookups: &mut Lookups, present, addresses: &[IpAddr], seconds| {
            let meaning = lookups.judge("p", ip(present), addresses, at(seconds));
            if let Meaning::Move(_) = meaning {
                lookups.moved("p", at(seconds));
            }
            meaning
        };
        let moved = judge(&mut lookups, 1, &[ip(3), ip(2)], 10);
        assert_eq!(moved, Meaning::Move(ip(3)));
        let flapping = judge(&mut lookups, 3, &[ip(2)], 70);
        assert_eq!(flapping, Meaning::Wait(ip(2)));
        let early = judge(&mut lookups, 3, &[ip(2)], 309);
        assert_eq!(early, Meaning::Wait(ip(2)));
        let later = judge(&mut lookups, 3, &[ip(2)], 310);
        assert_eq!(later, Meaning::Move(ip(2)));
    }

    #[test]
    fn each_address_has_its_turn_when_a_peer_stays_dead_and_a_lone_one_stays() {
        let mut lookups = Lookups::default();
        let all = [ip(2), ip(1), ip(3)];
        for (present, next) in [(1, 2), (2, 3), (3, 1)] {
            for _ in 1..SAME_LOOKUPS {
                let meaning = lookups.judge("p", ip(present), &all, at(0));
                assert_eq!(meaning, Meaning::Stay);
            }
            let meaning = lookups.judge("p", ip(present), &all, at(0));
            assert_eq!(meaning, Meaning::Move(ip(next)));
            lookups.answers("p");
        }
        for _ in 0..2 * SAME_LOOKUPS {
            let meaning = lookups.judge("q", ip(1), &[ip(1)], at(0));
            assert_eq!(meaning, Meaning::Stay);
        }
    }

    #[test]
    fn lookups_keep_their_pace_and_their_number_at_once() {
        let mut lookups = Lookups::default();
        for seconds in 0..60 {
            lookups.want("p", at(seconds));
        }
        assert_eq!(lookups.next().as_deref(), Some("p"));
        assert_eq!(lookups.next(), None);
        let number = lookups.begin("p".to_owned(), at(0));
        lookups.want("p", at(90));
        assert_eq!(lookups.next(), None, "one is under way");
        assert_eq!(lookups.end(number, at(1)).as_deref(), Some("p"));
        assert_eq!(lookups.end(number, at(1)), None);
        lookups.want("p", at(90));
        assert_eq!(lookups.next().as_deref(), Some("p"));

        for peer in 0..=LOOKUPS {
            lookups.want(&format!("q{peer}"), at(90));
        }
        let mut begun = Vec::new();
        while let Some(name) = lookups.next() {
            begun.push(lookups.begin(name, at(90)));
        }
        assert_eq!(begun.len(), DOUBTFUL);
        assert_eq!(lookups.overdue(at(104)), [0; 0]);
        assert_eq!(lookups.overdue(at(105)), begun);
        lookups.forget_pending();
        assert_eq!(lookups.deadline(), None);
        lookups.keep_recorded(&Database::default());
        assert!(lookups.peers.is_empty());
    }

    #[test]
    fn names_that_nobody_answers_for_do_not_keep_others_from_their_lookups() {
        let mut lookups = Lookups::default();
        let prompt = |lookups: &mut Lookups, name: &str, seconds| {
            lookups.want(name, at(seconds));
            let next = lookups.next().unwrap();
            assert_eq!(next, name);
            let number = lookups.begin(next, at(seconds));
            lookups.end(number, at(seconds + 1));
        };
        prompt(&mut lookups, "good", 0);
        let mut silent = Vec::new();
        for peer in 0..60 {
            lookups.want(&format!("silent{peer}"), at(100));
        }
        while let Some(name) = lookups.next() {
            silent.push(lookups.begin(name, at(100)));
        }
        assert_eq!(silent.len(), DOUBTFUL);
        prompt(&mut lookups, "good", 100);
        // The pause grows with each slow lookup, up to 16 minutes.
        assert_eq!(lookups.end(silent[0], at(110)).as_deref(), Some("silent0"));
        let pause = |lookups: &Lookups, now| lookups.status("silent0", String::new(), now).pause;
        assert_eq!(pause(&lookups, at(110)), 110);
        lookups.want("silent0", at(219));
        assert_eq!(pause(&lookups, at(219)), 1);
        for _ in 0..10 {
            let known = lookups.peers.get_mut("silent0").unwrap();
            known.slow = known.slow.map(|slow| slow + 1);
        }
        assert_eq!(pause(&lookups, at(100)), 960);
    }

    #[test]
    fn an_address_that_a_record_has_is_not_free_though_its_peer_is_away() {
        let mut lookups = Lookups::default();
        let of = |address: &str| {
            let record = Record::new("away", [("peer", address)]);
            Database::from_parts(vec![record], [], [])
        };
        let address = "192.0.2.1:4070".parse().unwrap();
        assert!(lookups.is_recorded(address, &of("INET 192.0.2.1 4070")));
        // Another database.
        let other = of("INET 192.0.2.1 4071");
        lookups.keep_recorded(&other);
        assert!(!lookups.is_recorded(address, &other));
    }

    #[test]
    fn only_the_first_failure_in_a_row_counts() {
        let mut lookups = Lookups::default();
        let failed = || LookupResult::Failed("x".to_owned());
        assert!(lookups.note("p", failed(), at(1)));
        assert!(!lookups.note("p", failed(), at(2)));
        assert!(!lookups.note("p", LookupResult::Same, at(3)));
        assert!(lookups.note("p", failed(), at(4)));
        let status = lookups.status("p", "hub".to_owned(), at(9));
        let (ago, result) = (5, failed());
        assert_eq!(status.last, Some(LastLookup { ago, result }));
        assert_eq!((status.pending, status.pause), (false, 0));
        lookups.want("p", at(10));
        let status = lookups.status("p", "hub".to_owned(), at(14));
        assert_eq!((status.pending, status.pause), (true, 56));
    }
}
