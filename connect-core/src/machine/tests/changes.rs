// SPDX-License-Identifier: GPL-3.0-or-later
//! What a loaded database leaves undone, and doing it.

use connect_ipc::changes::{AppliedChange, ChangeCounts, Changes, Remedy};
use connect_ipc::control::{PeerState, PeerStatus, Reply, Request};
use connect_ipc::event::EventKind;
use connect_ipc::scripts::{Ended, FromScripts};
use peerdb::Record;

use super::super::{ConnectionId, Input};
use super::rig::{Rig, record};

const HERE: &str = "INET 192.0.2.1 4070";
const THERE: &str = "INET 192.0.2.2 4070";

fn alice(pairs: &[(&str, &str)]) -> Record {
    let base = [("ifup", "/up"), ("ifdown", "/down"), ("watch", "t")];
    let is_set = |key: &str| pairs.iter().any(|(set, _)| *set == key);
    let all: Vec<(&str, &str)> = base
        .into_iter()
        .filter(|(key, _)| !is_set(key))
        .chain(pairs.iter().copied())
        .collect();
    record("alice", &all)
}

/// A machine joined with a server that has these peers and has answered every question.
fn joined(records: &[Record], peers: &[&str]) -> Rig {
    let mut rig = Rig::new(records);
    rig.meet(peers);
    rig.answer_all();
    rig
}

/// Asks for the changes.
fn changes(rig: &mut Rig) -> Changes {
    rig.answers.clear();
    rig.request(7, 1, Request::Changes {});
    match rig.answers.pop() {
        Some((_, answer)) => match answer.reply {
            Reply::Changes(changes) => *changes,
            other => panic!("{other:?}"),
        },
        None => panic!("no answer"),
    }
}

/// Peers with their keys and what is to be done.
fn list(rig: &mut Rig) -> Vec<(String, String, Remedy)> {
    let all = changes(rig).list.into_iter();
    all.map(|it| (it.peer, it.keys.join(" "), it.remedy))
        .collect()
}

fn one(peer: &str, keys: &str, remedy: Remedy) -> Vec<(String, String, Remedy)> {
    vec![(peer.to_owned(), keys.to_owned(), remedy)]
}

fn row(rig: &mut Rig, name: &str) -> PeerStatus {
    rig.machine.peer_row(name).expect("a row")
}

/// The results of changes applied so far, and how the request ended if it has.
fn applied(rig: &mut Rig) -> (Vec<AppliedChange>, Option<Reply>) {
    let (mut results, mut end) = (Vec::new(), None);
    for (_, answer) in rig.answers.drain(..) {
        match answer.reply {
            Reply::Applied(one) => results.push(one),
            last => end = Some(last),
        }
    }
    (results, end)
}

fn done(peer: &str, remedy: Remedy) -> AppliedChange {
    AppliedChange {
        peer: peer.to_owned(),
        remedy,
        failure: None,
    }
}

#[test]
fn a_changed_record_waits_until_it_is_as_it_was_or_the_peer_is_added_again() {
    let mut rig = joined(&[alice(&[("peer", HERE)])], &["alice"]);
    assert_eq!(changes(&mut rig).counts, ChangeCounts::default());

    rig.database(&[alice(&[("peer", THERE), ("every", "1m")])]);
    assert_eq!(list(&mut rig), one("alice", "peer", Remedy::Active));
    rig.database(&[alice(&[("peer", THERE), ("key", "k")])]);
    assert_eq!(list(&mut rig), one("alice", "key peer", Remedy::Active));
    rig.database(&[alice(&[("peer", HERE)])]);
    assert_eq!(list(&mut rig), [], "it is as it was");
    rig.database(&[alice(&[("peer", HERE), ("every", "1m")])]);
    assert_eq!(list(&mut rig), [], "pings follow at once");

    rig.database(&[alice(&[("peer", THERE)])]);
    rig.hear("NOTE KILL alice");
    assert_eq!(list(&mut rig), [], "it is not there");
    rig.hear("NOTE ADD alice tun0 INET 192.0.2.2 4070");
    assert_eq!(list(&mut rig), [], "it was added with the new record");
}

#[test]
fn status_and_the_event_tell_what_waits() {
    use connect_ipc::changes::RecordStanding::{Changed, New, Removed};
    let records = [
        alice(&[("peer", HERE)]),
        record("bob", &[("peer", HERE), ("watch", "t")]),
    ];
    let mut rig = joined(&records, &["alice", "bob", "foreign"]);
    rig.observe();
    let carol = record("carol", &[("peer", HERE)]);
    rig.database_with_auto(
        &[alice(&[("peer", THERE)]), carol],
        &["carol", "carol", "no"],
    );
    let waiting = ChangeCounts {
        changed: 1,
        removed: 1,
        new: 1,
    };
    let told = rig.events.iter().find_map(|event| match event.kind {
        EventKind::Database { peers, waiting } => Some((peers, waiting)),
        _ => None,
    });
    assert_eq!(told, Some((2, waiting)));
    let standing = |rig: &mut Rig, name| row(rig, name).connection.record;
    assert_eq!(standing(&mut rig, "alice"), Some(Changed));
    assert_eq!(standing(&mut rig, "bob"), Some(Removed));
    assert_eq!(standing(&mut rig, "carol"), Some(New));
    assert_eq!(standing(&mut rig, "foreign"), None);
    assert_eq!(changes(&mut rig).counts, waiting);
    let told = list(&mut rig);
    let remedies = [Remedy::Kill, Remedy::Active, Remedy::Active];
    assert!(told.iter().map(|it| it.2).eq(remedies), "{told:?}");
}

#[test]
fn only_so_many_changes_are_listed() {
    let mut rig = removed(150);
    let changes = changes(&mut rig);
    assert_eq!(changes.counts.removed, 150);
    assert_eq!(changes.list.len(), 100);
    assert_eq!(changes.list[99].peer, "p099");
}

#[test]
fn info_does_not_know_a_peer_that_was_removed() {
    let bob = record("bob", &[("peer", HERE), ("watch", "t")]);
    let mut rig = joined(std::slice::from_ref(&bob), &["bob"]);
    rig.database(&[]);
    rig.hear("SVCJOB J1 connect info bob");
    assert!(
        rig.sent()
            .contains(&"SVCFAIL J1 unknown-peer bob".to_owned())
    );
    rig.database(&[bob]);
    rig.hear("SVCJOB J2 connect info bob");
    assert!(rig.sent().contains(&"SVCINFO J2 watch=t".to_owned()));
}

#[test]
fn a_removed_peer_that_is_back_in_the_database_is_adopted_again() {
    let bob = record("bob", &[("peer", HERE), ("watch", "t")]);
    let mut rig = joined(std::slice::from_ref(&bob), &["bob"]);
    rig.database(&[]);
    assert_eq!(list(&mut rig), one("bob", "", Remedy::Kill));
    assert!(!row(&mut rig, "bob").state.is_adopted());
    rig.database(&[bob]);
    assert_eq!(list(&mut rig), []);
    assert!(row(&mut rig, "bob").state.is_adopted());
}

#[test]
fn a_killed_peer_and_one_of_an_unjoined_server_are_not_new() {
    let bob = [record("bob", &[("peer", HERE)])];
    let mut rig = Rig::new(&[]);
    rig.database_with_auto(&bob, &["bob"]);
    assert_eq!(list(&mut rig), [], "nobody knows which peers there are");
    rig.join(&["bob"]);
    rig.hear("NOTE KILL bob");
    assert_eq!(list(&mut rig), [], "somebody wants it away");
}

#[test]
fn ifdown_gets_the_values_that_ifup_had() {
    let mut rig = joined(
        &[alice(&[("peer", HERE), ("laddr", "10.0.0.1")])],
        &["alice"],
    );
    rig.database(&[alice(&[
        ("peer", HERE),
        ("laddr", "10.0.0.2"),
        ("ifdown", "/new"),
    ])]);
    rig.hear("NOTE KILL alice");
    let run = rig.ordered().pop().expect("an ifdown");
    let variables = &run.environment;
    let laddr = variables.iter().find(|(name, _)| name == "P_LADDR");
    assert_eq!(laddr.map(|(_, value)| value.as_str()), Some("10.0.0.1"));
    assert!(format!("{:?}", run.command).contains("/new"), "{run:?}");
}

#[test]
fn each_change_is_applied_and_told() {
    let records = [
        alice(&[("peer", HERE)]),
        record("bob", &[("peer", HERE)]),
        record("dave", &[("peer", HERE)]),
    ];
    let mut rig = joined(&records, &["alice", "bob", "dave"]);
    let new = [
        alice(&[("peer", HERE), ("laddr", "10.0.0.2")]),
        record("carol", &[("peer", HERE)]),
        record("dave", &[("peer", THERE), ("key", "k")]),
    ];
    rig.database_with_auto(&new, &["carol"]);
    rig.answer_all();
    rig.request(7, 9, Request::ApplyChanges {});
    let sent = rig.sent();
    let about = |word: &str| sent.iter().filter(|line| line.contains(word)).count();
    assert_eq!(about("ALGS alice"), 1, "{sent:?}");
    assert_eq!(about("KILL bob"), 1, "{sent:?}");
    assert_eq!(about("ADD"), 1, "{sent:?}");
    assert_eq!(about("KILL dave"), 1, "{sent:?}");
    assert_eq!(applied(&mut rig), (vec![], None));

    // A second one waits for nobody.
    rig.request(8, 1, Request::ApplyChanges {});
    let refused = Reply::Failed(vec!["apply-in-progress".to_owned()]);
    assert_eq!(applied(&mut rig), (vec![], Some(refused)));

    rig.hear("NOTE KILL bob");
    rig.hear("OK");
    assert_eq!(applied(&mut rig).0, [done("bob", Remedy::Kill)]);
    rig.hear("INFO cipher=rijndael");
    rig.hear("OK");
    let run = rig.ordered().pop().expect("an ifup");
    assert_eq!(run.kind.name(), "ifup");
    assert_eq!(applied(&mut rig).0, []);
    rig.scripts_say(FromScripts::Ended {
        run: run.run,
        end: Ended::Exited(0),
    });
    assert_eq!(applied(&mut rig).0, [done("alice", Remedy::Ifup)]);
    let tag = |line: &str| line.split(' ').nth(2).expect("a tag").to_owned();
    let carol = sent
        .iter()
        .find(|line| line.starts_with("ADD"))
        .expect("an ADD");
    let carol = tag(carol);
    rig.hear(&format!("BGDETACH {carol}"));
    rig.hear("NOTE KILL dave");
    rig.hear("OK");
    let sent = rig.sent();
    let dave = sent
        .iter()
        .find(|line| line.starts_with("ADD"))
        .expect("an ADD");
    assert!(dave.contains("-key k dave INET 192.0.2.2"), "{dave}");
    let dave = tag(dave);
    rig.hear(&format!("BGDETACH {dave}"));
    rig.hear(&format!("BGFAIL {dave} bad-key k"));
    let (results, end) = applied(&mut rig);
    assert_eq!(end, None);
    assert_eq!(
        results[0].failure.as_deref(),
        Some(&["bad-key".to_owned(), "k".to_owned()][..])
    );
    rig.hear("NOTE ADD carol tun2 INET 192.0.2.1 4070");
    rig.hear(&format!("BGOK {carol}"));
    let ended = (vec![done("carol", Remedy::Active)], Some(Reply::Done {}));
    assert_eq!(applied(&mut rig), ended);
    assert_eq!(row(&mut rig, "dave").state, PeerState::Gone);
    assert_eq!(
        list(&mut rig),
        one("dave", "", Remedy::Active),
        "nobody else adds it again"
    );
}

/// A machine with so many peers, all of them removed.
fn removed(number: usize) -> Rig {
    let names: Vec<String> = (0..number).map(|number| format!("p{number:03}")).collect();
    let records: Vec<Record> = names
        .iter()
        .map(|name| record(name, &[("peer", HERE)]))
        .collect();
    let peers: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut rig = joined(&records, &peers);
    rig.database(&[]);
    rig
}

/// A machine with 40 removed peers, whose changes are asked to be applied.
fn forty_removed() -> Rig {
    let mut rig = removed(40);
    rig.answer_all();
    rig.request(7, 9, Request::ApplyChanges {});
    rig
}

#[test]
fn few_changes_are_under_way_at_a_time() {
    let mut rig = forty_removed();
    assert_eq!(rig.machine.backlog().applying, 40);
    let mut killed = 0;
    loop {
        let sent = rig.sent();
        if sent.is_empty() {
            break;
        }
        for line in sent {
            let name = line.strip_prefix("KILL ").expect("a KILL");
            killed += 1;
            rig.hear(&format!("NOTE KILL {name}"));
            rig.hear("OK");
            assert!(applied(&mut rig).0.len() == 1 && killed <= 40);
        }
    }
    assert_eq!(killed, 40);
    let mut rig = forty_removed();
    assert_eq!(rig.sent().len(), 16);
    rig.hear("OK");
    assert_eq!(rig.sent().len(), 1);
}

#[test]
fn an_operator_who_leaves_has_no_more_begun() {
    let mut rig = forty_removed();
    assert_eq!(rig.sent().len(), 16);
    rig.feed(Input::Gone(ConnectionId(7)));
    rig.hear("OK");
    assert_eq!(rig.sent(), [""; 0]);
    rig.request(8, 1, Request::ApplyChanges {});
    let refused = Reply::Failed(vec!["apply-in-progress".to_owned()]);
    let (_, end) = applied(&mut rig);
    assert_eq!(end, Some(refused), "15 are under way");
}

#[test]
fn an_operator_who_has_left_a_hanging_script_keeps_nobody_from_applying() {
    let mut rig = joined(&[alice(&[("peer", HERE)])], &["alice"]);
    rig.database(&[alice(&[("peer", HERE), ("laddr", "10.0.0.2")])]);
    rig.answer_all();
    rig.request(7, 9, Request::ApplyChanges {});
    rig.feed(Input::Gone(ConnectionId(7)));
    let refused = Reply::Failed(vec!["apply-in-progress".to_owned()]);
    rig.request(8, 1, Request::ApplyChanges {});
    assert_eq!(applied(&mut rig).1, Some(refused), "the server is asked");
    rig.hear("INFO cipher=rijndael");
    rig.hear("OK");
    let hanging = rig.ordered().pop().expect("an ifup").run;
    rig.request(8, 2, Request::ApplyChanges {});
    assert_eq!(applied(&mut rig), (vec![], Some(Reply::Done {})));

    // Its end is not that of a later change of the same peer.
    rig.database(&[alice(&[("peer", HERE), ("laddr", "10.0.0.3")])]);
    rig.request(8, 3, Request::ApplyChanges {});
    rig.hear("INFO cipher=rijndael");
    rig.hear("OK");
    rig.scripts_say(FromScripts::Ended {
        run: hanging,
        end: Ended::Exited(1),
    });
    assert_eq!(applied(&mut rig), (vec![], None));
}

#[test]
fn a_peer_whose_address_was_taken_waits_for_no_script_of_an_operator_who_has_left() {
    let records = |a, laddr| {
        let a = record("a", &[("peer", a)]);
        let b = record("b", &[("peer", THERE)]);
        [
            a,
            b,
            alice(&[("peer", "INET 192.0.2.3 1"), ("laddr", laddr)]),
        ]
    };
    let mut rig = joined(&records(HERE, "10.0.0.1"), &["a", "b", "alice"]);
    rig.database(&records(THERE, "10.0.0.2"));
    rig.answer_all();
    rig.request(7, 9, Request::ApplyChanges {});
    assert_eq!(rig.sent(), ["KILL a", "ALGS alice"]);
    for line in ["NOTE KILL a", "OK", "INFO cipher=rijndael", "OK"] {
        rig.hear(line);
    }
    assert!(rig.ordered().pop().is_some(), "an ifup, which hangs");
    rig.feed(Input::Gone(ConnectionId(7)));
    for attempt in [1, 2] {
        let sent = rig.sent();
        let add = sent.iter().find(|line| line.starts_with("ADD"));
        let tag = add.and_then(|line| line.split(' ').nth(2));
        let tag = tag.unwrap_or_else(|| panic!("attempt {attempt}: {sent:?}"));
        rig.hear(&format!("BGDETACH {tag}"));
        rig.hear(&format!("BGFAIL {tag} peer-addr-exists {THERE}"));
    }
    rig.request(8, 1, Request::ApplyChanges {});
    let refused = Reply::Failed(vec!["apply-in-progress".to_owned()]);
    assert_ne!(applied(&mut rig).1, Some(refused));
}

#[test]
fn a_peer_whose_address_was_taken_is_added_though_the_operator_has_left() {
    let records = |[a, b]: [&str; 2]| [record("a", &[("peer", a)]), record("b", &[("peer", b)])];
    let mut rig = joined(&records([HERE, THERE]), &["a", "b"]);
    rig.database(&records([THERE, HERE]));
    rig.answer_all();
    rig.request(7, 9, Request::ApplyChanges {});
    assert_eq!(rig.sent(), ["KILL a", "KILL b"]);
    for name in ["a", "b"] {
        rig.hear(&format!("NOTE KILL {name}"));
        rig.hear("OK");
    }
    let sent = rig.sent();
    let adds: Vec<&String> = sent.iter().filter(|line| line.starts_with("ADD")).collect();
    let tags: Vec<&str> = adds
        .iter()
        .filter_map(|line| line.split(' ').nth(2))
        .collect();
    let [a, b] = tags[..] else {
        panic!("{sent:?}");
    };
    rig.hear(&format!("BGDETACH {a}"));
    rig.hear(&format!("BGDETACH {b}"));
    rig.hear(&format!("BGFAIL {a} peer-addr-exists {THERE}"));
    rig.feed(Input::Gone(ConnectionId(7)));
    rig.hear(&format!("NOTE ADD b tun1 {HERE}"));
    rig.hear(&format!("BGOK {b}"));
    let sent = rig.sent();
    let again = sent
        .iter()
        .any(|line| line.starts_with("ADD") && line.contains(" a INET"));
    assert!(again, "it was removed for that: {sent:?}");
}

#[test]
fn a_server_that_goes_fails_the_request() {
    let mut rig = forty_removed();
    rig.lose_server();
    let lost = Reply::Failed(vec!["server-lost".to_owned()]);
    assert_eq!(applied(&mut rig).1, Some(lost));
    rig.request(7, 10, Request::ApplyChanges {});
    let unavailable = Reply::Failed(vec!["server-unavailable".to_owned()]);
    assert_eq!(applied(&mut rig).1, Some(unavailable));
}

#[test]
fn records_are_told_a_page_at_a_time() {
    let sizes = [("a", 30_000), ("b", 30_000), ("c", 300_000), ("d", 30_000)];
    let records: Vec<Record> = sizes
        .map(|(name, size)| record(name, &[("site", "x".repeat(size).as_str())]))
        .to_vec();
    let mut rig = joined(&records, &[]);
    let mut names = Vec::new();
    let mut pages = 0;
    let mut after = String::new();
    loop {
        let request = Request::Records {
            after: after.clone(),
        };
        rig.request(7, 1, request);
        let Some((_, answer)) = rig.answers.pop() else {
            panic!("no answer")
        };
        let size = connect_ipc::frame::length(&answer);
        let Reply::Records(page) = answer.reply else {
            panic!("{answer:?}")
        };
        assert!(size < 66_000 || page.records.len() == 1, "{size}");
        pages += 1;
        names.extend(page.records.iter().map(|it| it.peer.clone()));
        after = names.last().cloned().unwrap_or_default();
        if !page.more {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(pages, 3);
}
