// SPDX-License-Identifier: GPL-3.0-or-later
//! How the state is told: in steps, as fast as it is read, to all who are at the same place, and
//! so that rows and events together leave nothing out and tell nothing twice.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::{Answer, Envelope, PeerRows, Reply, Request};
use connect_ipc::event::{Event, EventKind, EventName};
use connect_ipc::event_filter::{EventFilter, EventKinds, PeerNames};
use connect_ipc::scripts::InterfaceScript;
use peerdb::{Database, Record};
use proptest::prelude::*;

use super::super::{ConnectionId, Input, Loaded, Machine, Output, Told, Until};
use super::rig::{Rig, record};

const MILLISECOND: Duration = Duration::from_millis(1);

/// A peer of the database, which nobody has seen yet.
fn name(number: usize) -> String {
    format!("p{number:05}")
}

fn records(count: usize) -> Vec<Record> {
    let watched = |number| record(&name(number), &[("peer", "INET h 1"), ("watch", "t")]);
    (0..count).map(watched).collect()
}

/// One message of rows: to whom, the rows, and how far they go.
type Chunk = (Vec<(ConnectionId, u64)>, PeerRows, Until);

/// The machine of a rig, and observers whose reading is in the hands of the test.
struct Hall {
    machine: Machine,
    now: Monotonic,
    chunks: Vec<Chunk>,
    answers: Vec<(ConnectionId, Answer)>,
    events: Vec<Event>,
}

impl Hall {
    /// Observers of a core with a database of so many peers. It has told nothing for long.
    fn new(peers: usize) -> Self {
        Hall::of(Rig::new(&records(peers)))
    }

    fn of(rig: Rig) -> Self {
        Hall {
            now: rig.now + Duration::from_secs(1),
            machine: rig.machine,
            chunks: Vec::new(),
            answers: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Hands in an input without the end of the turn.
    fn hand(&mut self, input: Input<'_>) {
        let mut outputs = Vec::new();
        self.machine.handle(input, self.now, &mut outputs);
        for output in outputs {
            match output {
                Output::Rows { to, rows, until } => self.chunks.push((to, rows, until)),
                Output::Answer(connection, answer) => self.answers.push((connection, answer)),
                Output::Event(event) => self.events.push(event),
                _ => {}
            }
        }
    }

    fn ask(&mut self, connection: u64, user: u32, id: u64, request: Request) {
        self.hand(Input::Request {
            connection: ConnectionId(connection),
            by: "test".into(),
            user: Some(user),
            envelope: Envelope { id, request },
        });
    }

    fn status(&mut self, connection: u64, user: u32) {
        self.ask(connection, user, 1, Request::Status {});
    }

    /// These have read everything.
    fn drain(&mut self, connections: &[u64]) {
        for connection in connections {
            self.hand(Input::Drained(ConnectionId(*connection)));
        }
    }

    /// The turn ends. Gives the connections that the rows of this turn are for.
    fn turn(&mut self) -> Vec<u64> {
        let before = self.chunks.len();
        self.hand(Input::EndOfTurn);
        let new = self.chunks.get(before..).unwrap_or_default();
        let to = new.iter().flat_map(|(to, _, _)| to);
        let mut to: Vec<u64> = to.map(|(connection, _)| connection.0).collect();
        to.sort_unstable();
        to
    }

    /// The next millisecond's turn.
    fn next(&mut self) -> Vec<u64> {
        // A step costs a little more, for the names that were looked at.
        self.now = self.now + MILLISECOND + MILLISECOND / 100;
        self.turn()
    }

    /// What a connection was answered, rows apart.
    fn replies(&self, connection: u64) -> Vec<Reply> {
        let of = self.answers.iter();
        let of = of.filter(|(to, _)| *to == ConnectionId(connection));
        of.map(|(_, answer)| answer.reply.clone()).collect()
    }

    /// The names of all rows that a connection was sent.
    fn names(&self, connection: u64) -> Vec<String> {
        let to_it = |(to, _, _): &&Chunk| to.iter().any(|(of, _)| of.0 == connection);
        let chunks = self.chunks.iter().filter(to_it);
        chunks
            .flat_map(|(_, rows, _)| rows.list.iter().map(|row| row.name.clone()))
            .collect()
    }

    fn all_names(count: usize) -> Vec<String> {
        (0..count).map(name).collect()
    }
}

#[test]
fn rows_come_by_name_a_hundred_a_step_the_first_at_once_and_in_the_end_one_a_millisecond() {
    let mut hall = Hall::new(1_050);
    hall.status(1, 7);
    let mut steps = Vec::new();
    // After a rest some steps come at once.
    for _ in 0..5 {
        steps.push(hall.turn().len());
        hall.drain(&[1]);
    }
    assert_eq!(steps, [1, 1, 1, 0, 0]);
    let mut millis = 0;
    while hall.replies(1).last() != Some(&Reply::Done {}) {
        millis += 1;
        assert_eq!(hall.next(), [1]);
        hall.drain(&[1]);
    }
    assert_eq!(millis, 8);
    assert!(
        hall.chunks
            .iter()
            .all(|(_, rows, _)| rows.list.len() <= 100)
    );
    assert_eq!(hall.names(1), Hall::all_names(1_050));
    assert!(matches!(
        hall.replies(1)[..],
        [Reply::Service(_), Reply::Done {}]
    ));
    let before = hall.machine.next_deadline();
    assert!(before.is_none_or(|due| due > hall.now + MILLISECOND));
}

#[test]
fn those_at_the_same_place_share_each_step_whether_they_asked_together_or_met_again() {
    let mut hall = Hall::new(1_000);
    hall.status(1, 7);
    hall.status(2, 8);
    assert_eq!(hall.turn(), [1, 2]);
    hall.drain(&[1, 2]);
    assert_eq!(hall.turn(), [1, 2]);
    // The second does not read; the third comes later.
    hall.drain(&[1]);
    hall.status(3, 9);
    let mut shared = Vec::new();
    for _ in 0..4 {
        let to = hall.next();
        shared.extend(to.iter().copied());
        hall.drain(&[1, 3]);
        assert!(!to.contains(&2), "it was sent more than it reads");
    }
    assert!(shared.contains(&3), "user 9 has spent least");
    // From now on all read alike: whoever is behind is served first, or pays with its user.
    let mut met = false;
    for _ in 0..40 {
        hall.drain(&[1, 2, 3]);
        met |= hall.next().len() > 1;
    }
    assert!(met, "two who stand at the same name share");
    for connection in [1, 2, 3] {
        assert_eq!(hall.replies(connection).last(), Some(&Reply::Done {}));
        assert_eq!(hall.names(connection), Hall::all_names(1_000));
    }
}

#[test]
fn nothing_is_made_for_who_is_gone() {
    let mut hall = Hall::new(1_000);
    let idle = hall.machine.next_deadline();
    hall.status(1, 7);
    hall.ask(1, 7, 2, Request::Changes {});
    hall.ask(1, 7, 3, Request::Events(EventFilter::default()));
    hall.turn();
    hall.drain(&[1]);
    assert_ne!(hall.machine.next_deadline(), idle);
    hall.hand(Input::Gone(ConnectionId(1)));
    assert_eq!(hall.machine.next_deadline(), idle);
    let made = hall.chunks.len();
    hall.drain(&[1]);
    hall.hand(Input::ServerLost { reason: "x".into() });
    for _ in 0..20 {
        assert_eq!(hall.next(), [0; 0]);
    }
    assert_eq!((hall.chunks.len(), hall.events.len()), (made, 0));
}

#[test]
fn a_user_with_one_reader_is_done_before_one_with_thirty() {
    let mut hall = Hall::new(1_000);
    let many: Vec<u64> = (1..=30).collect();
    // Each asks in a turn of its own, so that they share little.
    for connection in &many {
        hall.status(*connection, 7);
        hall.next();
    }
    hall.status(100, 8);
    let mut all = many.clone();
    all.push(100);
    let mut steps = 0;
    while hall.replies(100).last() != Some(&Reply::Done {}) {
        hall.drain(&all);
        hall.next();
        steps += 1;
    }
    assert!(steps <= 12, "{steps} steps for 10 messages of rows");
    let done = |hall: &Hall, of: &u64| hall.replies(*of).last() == Some(&Reply::Done {});
    assert!(many.iter().filter(|of| done(&hall, of)).count() < 30);
}

#[test]
fn a_connection_has_one_answer_under_way_and_a_few_that_wait() {
    let mut hall = Hall::new(150);
    for id in 1..=10 {
        hall.ask(1, 7, id, Request::Status {});
    }
    let error = hall.replies(1).pop();
    assert!(
        matches!(&error, Some(Reply::Error(why)) if why.contains("8 requests for the state already wait")),
        "{error:?}"
    );
    for _ in 0..30 {
        hall.next();
        hall.drain(&[1]);
    }
    let ids: Vec<u64> = hall
        .answers
        .iter()
        .filter(|(_, answer)| answer.reply == (Reply::Done {}))
        .map(|(_, answer)| answer.id)
        .collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    // The service is told when its turn has come, not when it was asked for.
    let services = hall.replies(1).into_iter();
    let services = services.filter(|reply| matches!(reply, Reply::Service(_)));
    assert_eq!(services.count(), 9);
}

#[test]
fn an_event_that_follows_the_request_in_the_same_turn_is_told() {
    let mut hall = Hall::new(1);
    let events = Request::Events(EventFilter {
        state: false,
        ..EventFilter::default()
    });
    hall.ask(1, 7, 1, events);
    let words = vec!["help".to_owned()];
    hall.ask(2, 7, 1, Request::Submit { words });
    assert!(matches!(hall.replies(1)[..], [Reply::Live { .. }]));
    let kinds: Vec<EventName> = hall.events.iter().map(|it| it.kind.name()).collect();
    assert_eq!(kinds, [EventName::Command]);
}

#[test]
fn the_fifth_request_for_events_of_a_connection_is_refused() {
    let mut hall = Hall::new(1);
    for id in 1..=5 {
        hall.ask(1, 7, id, Request::Events(EventFilter::default()));
        hall.turn();
        hall.drain(&[1]);
    }
    let errors = hall.replies(1).into_iter();
    let errors: Vec<_> = errors
        .filter(|reply| matches!(reply, Reply::Error(_)))
        .collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn who_names_peers_gets_their_rows_in_one_message() {
    let mut hall = Hall::new(1_000);
    let names = [name(900), name(3), "nobody".to_owned()];
    let filter = EventFilter {
        peers: PeerNames::from_iter(names),
        ..EventFilter::default()
    };
    hall.ask(1, 7, 1, Request::Events(filter));
    hall.status(2, 7);
    assert_eq!(hall.turn(), [1], "it shares nothing");
    assert_eq!(hall.names(1), [name(3), name(900)]);
    assert!(matches!(
        hall.replies(1)[..],
        [Reply::Service(_), Reply::Live { .. }]
    ));
}

#[test]
fn changes_are_looked_for_in_steps_and_told_once() {
    let mut rig = Rig::joined(&records(1_200), &[]);
    // 1,200 peers are to be added, and a server with none of them is joined again.
    let auto: Vec<String> = Hall::all_names(1_200);
    let database = Database::from_parts(records(1_200), [], auto);
    rig.feed(Input::Database(Loaded::from(Ok(database))));
    let mut hall = Hall::of(rig);
    hall.ask(1, 7, 1, Request::Changes {});
    for turn in 0..3 {
        assert_eq!(hall.replies(1), [], "in turn {turn}");
        hall.next();
    }
    let [Reply::Changes(changes)] = &hall.replies(1)[..] else {
        panic!("{:?}", hall.replies(1))
    };
    assert_eq!((changes.peers, changes.counts.new), (1_200, 1_200));
    let first: Vec<&str> = changes.list.iter().map(|it| it.peer.as_str()).collect();
    assert_eq!(first, Hall::all_names(100));
}

#[test]
fn a_table_of_which_nobody_expects_a_peer_is_looked_through_in_steps() {
    let unexpected = |number| record(&name(number), &[("peer", "INET h 1")]);
    let records: Vec<Record> = (0..1_100).map(unexpected).collect();
    let mut hall = Hall::of(Rig::new(&records));
    hall.status(1, 7);
    let mut reached = Vec::new();
    for _ in 0..3 {
        assert_eq!(hall.next(), [1]);
        hall.drain(&[1]);
        reached.extend(hall.chunks.last().map(|(_, rows, until)| {
            assert_eq!(rows.list, []);
            until.clone()
        }));
    }
    let until = |number| Until::Name(name(number).into());
    assert_eq!(reached, [until(499), until(999), Until::End]);
    assert_eq!(hall.replies(1).last(), Some(&Reply::Done {}));
}

/// What happens to the table of peers, or among those who read it.
#[derive(Clone, Debug)]
enum Step {
    /// The server has this peer, or has it no more.
    Comes(usize),
    Goes(usize),
    /// It moves, or exchanges keys.
    Moves(usize),
    Keys(usize),
    /// A database with other peers is loaded.
    Database(usize),
    /// This observer asks for events, ends, or has read everything.
    Asks(u64),
    Ends(u64),
    Reads(u64),
    /// A turn ends, and time passes.
    Turn(u8),
}

/// How many names there are: some steps' worth.
const NAMES: usize = 350;

/// How many observers there are.
const OBSERVERS: u64 = 3;

fn step() -> impl Strategy<Value = Step> {
    let peer = || 0..NAMES;
    let observer = || 0..OBSERVERS;
    prop_oneof![
        4 => peer().prop_map(Step::Comes),
        3 => peer().prop_map(Step::Goes),
        4 => peer().prop_map(Step::Moves),
        2 => peer().prop_map(Step::Keys),
        1 => (0..NAMES).prop_map(Step::Database),
        2 => observer().prop_map(Step::Asks),
        1 => observer().prop_map(Step::Ends),
        4 => observer().prop_map(Step::Reads),
        5 => (0u8..3).prop_map(Step::Turn),
    ]
}

/// How far the rows go that an observer has.
#[derive(Clone, Debug, PartialEq)]
enum Reached {
    Nobody,
    Until(String),
    All,
}

/// An observer of all kinds of events, with the socket's side of its subscription.
#[derive(Debug, Default)]
struct Follower {
    subscribed: Option<Reached>,
    service: Option<u64>,
    live: Option<u64>,
    /// For each name, the number that the message has which reached it; and how the row was.
    rows: Vec<(Reached, u64)>,
    /// The addresses of the peers that it believes to be there.
    table: BTreeMap<String, Option<String>>,
    /// Numbers of the events that it was sent, and of which peer.
    heard: Vec<(u64, Option<String>)>,
    /// The last peer whose row it has.
    last_row: Option<String>,
}

impl Follower {
    fn event(&mut self, event: &Event) {
        let wanted = match (&self.subscribed, &event.peer) {
            (None, _) => false,
            (Some(_), None) | (Some(Reached::All), _) => true,
            (Some(Reached::Nobody), Some(_)) => false,
            (Some(Reached::Until(last)), Some(peer)) => peer <= last,
        };
        if !wanted {
            return;
        }
        self.heard.push((event.seq, event.peer.clone()));
        let Some(peer) = event.peer.clone() else {
            return;
        };
        match &event.kind {
            EventKind::Added { address, .. } => {
                self.table.insert(peer, Some(address.clone()));
            }
            EventKind::Removed(_) => {
                self.table.remove(&peer);
            }
            EventKind::Moved { address } => {
                if let Some(known) = self.table.get_mut(&peer) {
                    *known = Some(address.clone());
                }
            }
            _ => {}
        }
    }
}

/// The machine with followers, and all that was ever emitted.
struct Town {
    machine: Machine,
    now: Monotonic,
    followers: BTreeMap<ConnectionId, Follower>,
    emitted: Vec<(u64, Option<String>)>,
    /// The number of the last event before these.
    before: u64,
    /// Those who have not read their rows.
    unread: BTreeSet<ConnectionId>,
}

/// Somebody who wants every event and no state, so that every event is made.
const WITNESS: ConnectionId = ConnectionId(500);

impl Town {
    fn new() -> Self {
        let mut rig = Rig::joined(&records(NAMES / 2), &["p00007", "p00300", "q"]);
        rig.answer_all();
        let mut town = Town {
            now: rig.now + Duration::from_secs(1),
            machine: rig.machine,
            followers: BTreeMap::new(),
            emitted: Vec::new(),
            before: 0,
            unread: BTreeSet::new(),
        };
        let filter = EventFilter {
            kinds: EventKinds::ALL,
            state: false,
            ..EventFilter::default()
        };
        town.ask(WITNESS, Request::Events(filter));
        town
    }

    fn ask(&mut self, connection: ConnectionId, request: Request) {
        let _ = self.hand(Input::Request {
            connection,
            by: "test".into(),
            user: Some(u32::try_from(connection.0 % 2).unwrap()),
            envelope: Envelope { id: 1, request },
        });
    }

    fn hear(&mut self, line: &str) -> Result<(), TestCaseError> {
        self.hand(Input::ServerLine(line.to_owned().into()))
    }

    /// The names in the table, in order, with the addresses of those that the server has.
    fn truth(&self) -> BTreeMap<String, Option<String>> {
        let peers = self.machine.peers.iter();
        peers
            .map(|(_, peer)| {
                let address = peer.address.as_deref().map(str::to_owned);
                (peer.name().to_owned(), address)
            })
            .collect()
    }

    fn hand(&mut self, input: Input<'_>) -> Result<(), TestCaseError> {
        let mut outputs = Vec::new();
        self.machine.handle(input, self.now, &mut outputs);
        for output in outputs {
            match output {
                Output::Event(event) => {
                    self.emitted.push((event.seq, event.peer.clone()));
                    for follower in self.followers.values_mut() {
                        follower.event(&event);
                    }
                }
                Output::Subscribe {
                    connection,
                    told: Told::Nothing,
                    ..
                } => {
                    if let Some(follower) = self.followers.get_mut(&connection) {
                        follower.subscribed = Some(Reached::Nobody);
                    }
                }
                Output::Answer(connection, answer) => {
                    if let (WITNESS, Reply::Live { seq }) = (connection, &answer.reply) {
                        self.before = *seq;
                    }
                    if let Some(follower) = self.followers.get_mut(&connection) {
                        match answer.reply {
                            Reply::Service(service) => follower.service = Some(service.seq),
                            Reply::Live { seq } => follower.live = Some(seq),
                            _ => {}
                        }
                    }
                }
                Output::Rows { to, rows, until } => self.rows(to, &rows, &until)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn rows(
        &mut self,
        to: Vec<(ConnectionId, u64)>,
        rows: &PeerRows,
        until: &Until,
    ) -> Result<(), TestCaseError> {
        // The truth at this very instant, for all names.
        let mut names: BTreeSet<String> = (0..NAMES).map(name).collect();
        names.insert("q".to_owned());
        let expected: Vec<_> = names
            .iter()
            .filter_map(|name| self.machine.peer_row(name))
            .collect();
        let addresses = self.truth();
        for (connection, _) in to {
            prop_assert!(
                self.unread.insert(connection),
                "{connection:?} has not read"
            );
            let Some(follower) = self.followers.get_mut(&connection) else {
                continue;
            };
            let start = match &follower.last_row {
                None => Bound::Unbounded,
                Some(last) => Bound::Excluded(last.as_str()),
            };
            let reached = match until {
                Until::Name(last) => Reached::Until(last.to_string()),
                Until::End => Reached::All,
            };
            let end = match &reached {
                Reached::Until(last) => Bound::Included(last.as_str()),
                _ => Bound::Unbounded,
            };
            let within = names.range::<str, _>((start, end));
            let within: BTreeSet<&str> = within.map(String::as_str).collect();
            let due = expected.iter();
            let due: Vec<_> = due
                .filter(|row| within.contains(row.name.as_str()))
                .collect();
            prop_assert_eq!(due, rows.list.iter().collect::<Vec<_>>());
            prop_assert_eq!(
                rows.seq,
                self.emitted.last().map_or(self.before, |(seq, _)| *seq)
            );
            for name in within {
                if let Some(address) = addresses.get(name) {
                    follower.table.insert(name.to_owned(), address.clone());
                }
            }
            follower.last_row = match until {
                Until::Name(last) => Some(last.to_string()),
                Until::End => None,
            };
            follower.rows.push((reached.clone(), rows.seq));
            follower.subscribed = Some(reached);
        }
        Ok(())
    }

    fn apply(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Comes(peer) => {
                self.hear(&format!("NOTE ADD {} tun0 INET 192.0.2.1 1", name(*peer)))
            }
            Step::Goes(peer) => self.hear(&format!("NOTE KILL {}", name(*peer))),
            Step::Moves(peer) => self.hear(&format!(
                "NOTE NEWADDR {} INET 192.0.2.{} 1",
                name(*peer),
                peer % 256
            )),
            Step::Keys(peer) => self.hear(&format!("NOTE KXDONE {}", name(*peer))),
            Step::Database(count) => {
                let database = Database::from_parts(records(*count), [], []);
                self.hand(Input::Database(Loaded::from(Ok(database))))
            }
            Step::Asks(number) => {
                let connection = ConnectionId(*number);
                if let Entry::Vacant(place) = self.followers.entry(connection) {
                    place.insert(Follower::default());
                    let filter = EventFilter {
                        kinds: EventKinds::ALL,
                        ..EventFilter::default()
                    };
                    self.ask(connection, Request::Events(filter));
                }
                Ok(())
            }
            Step::Ends(number) => {
                let connection = ConnectionId(*number);
                self.unread.remove(&connection);
                self.followers.remove(&connection);
                self.hand(Input::Gone(connection))
            }
            Step::Reads(number) => {
                let connection = ConnectionId(*number);
                if self.unread.remove(&connection) {
                    self.hand(Input::Drained(connection))?;
                }
                Ok(())
            }
            Step::Turn(millis) => {
                self.now = self.now + MILLISECOND * u32::from(*millis);
                self.hand(Input::EndOfTurn)
            }
        }
    }

    /// What the rules of the manual promise to a follower that is live.
    fn judge(&self, follower: &Follower) -> Result<(), TestCaseError> {
        let reached_at = |peer: &str| {
            let includes = |reached: &Reached| match reached {
                Reached::Nobody => false,
                Reached::Until(last) => peer <= last.as_str(),
                Reached::All => true,
            };
            let mut rows = follower.rows.iter();
            rows.find(|(reached, _)| includes(reached))
                .map(|(_, seq)| *seq)
        };
        let after = |(seq, peer): &&(u64, Option<String>)| {
            let since = match peer {
                Some(peer) => reached_at(peer),
                None => follower.service,
            };
            since.is_some_and(|since| *seq > since)
        };
        let due: Vec<_> = self.emitted.iter().filter(after).cloned().collect();
        prop_assert_eq!(&due, &follower.heard);
        prop_assert_eq!(&follower.table, &self.truth());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(house::cases(96)))]
    #[test]
    fn rows_and_events_leave_nothing_out_and_tell_nothing_twice(
        steps in proptest::collection::vec(step(), 1..200)
    ) {
        let mut town = Town::new();
        for step in &steps {
            town.apply(step)?;
        }
        // In the end everybody reads.
        for number in 0..OBSERVERS {
            town.apply(&Step::Asks(number))?;
        }
        for round in 0..40_usize {
            for number in 0..OBSERVERS {
                town.apply(&Step::Reads(number))?;
            }
            town.apply(&Step::Moves(round * 8))?;
            town.apply(&Step::Turn(2))?;
        }
        for follower in town.followers.values() {
            prop_assert!(follower.live.is_some(), "{:?}", follower);
            town.judge(follower)?;
        }
    }
}

#[test]
fn a_challenge_given_as_a_word_of_a_command_is_told_to_nobody() {
    let plain = "averyverylongnamewithoutahyphen";
    let challenge = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo";
    let mut rig = Rig::joined(&[record(plain, &[("peer", "INET h 1")])], &[]);
    rig.observe();
    rig.events.clear();
    for (job, word) in [plain, challenge].iter().enumerate() {
        rig.hear(&format!("SVCJOB J{job} connect kick {word}"));
    }
    let (peer, script) = (challenge.to_owned(), InterfaceScript::Ifup);
    rig.request(1, 1, Request::RunScript { peer, script });
    let told = rig.events.iter().filter_map(|event| match &event.kind {
        EventKind::Command { words, .. } => Some(words.join(" ")),
        _ => None,
    });
    let told: Vec<String> = told.collect();
    assert_eq!(
        told,
        [
            format!("kick {plain}"),
            "kick <challenge>".to_owned(),
            "ifup <challenge>".to_owned()
        ]
    );
    let peers = rig.events.iter().filter_map(|event| event.peer.as_deref());
    assert_eq!(peers.filter(|peer| *peer == challenge).count(), 0);
}
