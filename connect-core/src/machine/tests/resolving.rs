// SPDX-License-Identifier: GPL-3.0-or-later
//! The host name of a peer that does not answer is looked up again, and what follows from that.

use std::time::Duration;

use connect_ipc::control::{Reply, Request};
use connect_ipc::event::{EventKind, EventName};
use connect_ipc::lookup::{Family, Found, LastLookup, LookedUp, Lookup, LookupResult};
use connect_ipc::scripts::{FromScripts, ToScripts};

use super::rig::{Rig, record};

const DYNAMIC: &[(&str, &str)] = &[
    ("peer", "INET hub.example.com 4070"),
    ("watch", "t"),
    ("knock", "me"),
    ("re-resolve", "t"),
    ("ifup", "up"),
    ("ifdown", "down"),
];

/// A core whose server has the peer `p` with this record, at 192.0.2.1 1.
fn rig(pairs: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new(&[record("p", pairs)]);
    rig.meet(&["p"]);
    rig.answer_all();
    rig.observe();
    rig
}

/// A ping of the peer is not answered.
fn miss(rig: &mut Rig, seq: u32) {
    result(rig, seq, "ping-timeout");
}

fn result(rig: &mut Rig, seq: u32, words: &str) {
    rig.answer_all();
    let id = rig.id("p");
    rig.order(id, seq);
    let sent = rig.sent();
    let ping = sent.iter().find(|line| line.starts_with("PING"));
    let ping = ping.unwrap_or_else(|| panic!("no ping in {sent:?}"));
    let tag = ping.split(' ').nth(2).unwrap().to_owned();
    rig.hear(&format!("BGDETACH {tag}"));
    rig.hear(&format!("BGINFO {tag} {words}"));
    rig.hear(&format!("BGOK {tag}"));
}

/// The lookups that were ordered since this was last asked.
fn lookups(rig: &mut Rig) -> Vec<Lookup> {
    let orders = rig.to_scripts.drain(..);
    let lookup = |message| match message {
        ToScripts::LookUp(lookup) => Some(lookup),
        _ => None,
    };
    orders.filter_map(lookup).collect()
}

/// The one lookup that was ordered has found this.
fn answer(rig: &mut Rig, found: Found) {
    let ordered = lookups(rig);
    assert_eq!(ordered.len(), 1, "{ordered:?}");
    let number = ordered[0].number;
    rig.scripts_say(FromScripts::LookedUp(LookedUp { number, found }));
}

fn addresses(list: &[&str]) -> Found {
    Found::Addresses(list.iter().map(|it| it.parse().unwrap()).collect())
}

/// The events of lookups since this was last asked.
fn told(rig: &mut Rig) -> Vec<EventKind> {
    let kinds = [EventName::NewAddress, EventName::LookupFailed];
    let events = rig.events.drain(..).map(|event| event.kind);
    events.filter(|it| kinds.contains(&it.name())).collect()
}

fn shown(rig: &mut Rig) -> Option<LookupResult> {
    rig.answers.clear();
    let peer = "p".to_owned();
    rig.request(1, 1, Request::Info { peer });
    match &rig.answers[0].1.reply {
        Reply::Peer(detail) => {
            let lookup = detail.status.as_ref()?.connection.lookup.as_ref()?;
            lookup.last.as_ref().map(|it| it.result.clone())
        }
        other => panic!("{other:?}"),
    }
}

/// Whether the peer is removed, to be added again.
fn is_killed(rig: &mut Rig) -> bool {
    rig.sent().iter().any(|line| line.starts_with("KILL"))
}

#[test]
fn a_peer_whose_name_has_another_address_is_added_again_there() {
    let mut rig = rig(DYNAMIC);
    miss(&mut rig, 1);
    assert_eq!(lookups(&mut rig), [], "one packet may be lost");
    miss(&mut rig, 2);
    rig.answer_all();
    let ordered = lookups(&mut rig);
    let [lookup] = &ordered[..] else {
        panic!("{ordered:?}")
    };
    assert_eq!(
        (lookup.host.as_str(), lookup.family),
        ("hub.example.com", Family::Inet)
    );
    rig.scripts_say(FromScripts::LookedUp(LookedUp {
        number: lookup.number,
        found: addresses(&["192.0.2.9", "192.0.2.8"]),
    }));
    assert_eq!(
        told(&mut rig),
        [EventKind::NewAddress {
            from: "INET 192.0.2.1 1".to_owned(),
            to: "INET 192.0.2.9 4070".to_owned(),
        }]
    );
    assert_eq!(rig.sent(), ["KILL p"]);
    rig.hear("NOTE KILL p");
    rig.hear("OK");
    let sent = rig.sent();
    let add = sent.iter().find(|line| line.starts_with("ADD"));
    let add = add.unwrap_or_else(|| panic!("no ADD in {sent:?}"));
    assert!(add.ends_with("-knock me p INET 192.0.2.9 4070"), "{add}");
    assert_eq!(
        shown(&mut rig),
        Some(LookupResult::Moved("INET 192.0.2.9 4070".to_owned()))
    );
}

#[test]
fn a_new_address_that_the_server_refuses_is_warned_of() {
    let mut rig = rig(DYNAMIC);
    miss(&mut rig, 1);
    miss(&mut rig, 2);
    rig.answer_all();
    answer(&mut rig, addresses(&["192.0.2.9"]));
    assert_eq!(rig.sent(), ["KILL p"]);
    rig.hear("NOTE KILL p");
    rig.hear("OK");
    let sent = rig.sent();
    let add = sent.iter().find(|line| line.starts_with("ADD"));
    let tag = add.and_then(|line| line.split(' ').nth(2)).unwrap();
    rig.hear(&format!("BGDETACH {tag}"));
    rig.hear(&format!(
        "BGFAIL {tag} peer-addr-exists INET 192.0.2.9 4070"
    ));
    let sent = rig.sent();
    let warning = "WARN connect re-resolve-failed p peer-addr-exists INET 192.0.2.9 4070";
    assert!(sent.iter().any(|line| line == warning), "{sent:?}");
}

#[test]
fn a_peer_whose_address_the_server_has_not_told_is_followed_too() {
    let mut rig = Rig::new(&[record("p", DYNAMIC)]);
    rig.meet(&["p"]);
    let refused = |line: &str| line.starts_with("ADDR");
    let sent = rig.sent();
    assert!(sent.iter().any(|line| refused(line)), "{sent:?}");
    for line in sent {
        let answer = if refused(&line) {
            "FAIL strange-failure"
        } else {
            "OK"
        };
        rig.hear(answer);
    }
    rig.answer_all();
    rig.observe();
    miss(&mut rig, 1);
    miss(&mut rig, 2);
    rig.answer_all();
    answer(&mut rig, addresses(&["192.0.2.9"]));
    assert!(is_killed(&mut rig));
}

#[test]
fn nothing_is_disturbed_when_the_address_is_still_among_those_of_the_name() {
    let mut rig = rig(DYNAMIC);
    miss(&mut rig, 1);
    miss(&mut rig, 2);
    answer(&mut rig, addresses(&["192.0.2.9", "192.0.2.1"]));
    assert!(!is_killed(&mut rig));
    assert_eq!(told(&mut rig), []);
    assert_eq!(shown(&mut rig), Some(LookupResult::Same));
}

#[test]
fn nothing_is_disturbed_when_the_peer_has_answered_in_the_meantime() {
    let mut rig = rig(DYNAMIC);
    miss(&mut rig, 1);
    miss(&mut rig, 2);
    result(&mut rig, 3, "ping-ok 5.0");
    answer(&mut rig, addresses(&["192.0.2.9"]));
    assert!(!is_killed(&mut rig));
    assert_eq!(told(&mut rig), []);
    assert_eq!(shown(&mut rig), Some(LookupResult::NotNeeded));
}

#[test]
fn a_failure_is_told_once_and_another_lookup_follows_at_its_pace() {
    let mut rig = rig(DYNAMIC);
    miss(&mut rig, 1);
    miss(&mut rig, 2);
    let failed = || Found::Failed("no answer within 10 s".to_owned());
    answer(&mut rig, failed());
    assert_eq!(told(&mut rig).len(), 1);
    miss(&mut rig, 3);
    assert_eq!(lookups(&mut rig), [], "it was looked up just now");
    rig.stand_still(Duration::from_secs(61));
    miss(&mut rig, 4);
    answer(&mut rig, failed());
    assert_eq!(told(&mut rig), []);
    assert!(!is_killed(&mut rig));
}

#[test]
fn an_answer_that_never_comes_is_given_up_and_not_taken_later() {
    let mut rig = rig(DYNAMIC);
    miss(&mut rig, 1);
    miss(&mut rig, 2);
    let ordered = lookups(&mut rig);
    rig.wait(Duration::from_secs(16));
    assert!(matches!(shown(&mut rig), Some(LookupResult::Failed(_))));
    assert_eq!(told(&mut rig).len(), 1);
    let number = ordered[0].number;
    let found = addresses(&["192.0.2.9"]);
    rig.scripts_say(FromScripts::LookedUp(LookedUp { number, found }));
    assert!(!is_killed(&mut rig));
}

#[test]
fn an_address_that_another_peer_has_is_left_to_it() {
    let records = [record("p", DYNAMIC), record("q", &[])];
    let mut rig = Rig::new(&records);
    rig.meet(&["p"]);
    rig.answer_all();
    rig.hear("NOTE ADD q tun1 INET 192.0.2.9 4070");
    miss(&mut rig, 1);
    miss(&mut rig, 2);
    answer(&mut rig, addresses(&["192.0.2.9"]));
    assert!(!is_killed(&mut rig));
    let taken = LookupResult::Taken("INET 192.0.2.9 4070".to_owned());
    assert_eq!(shown(&mut rig), Some(taken));
    // Once the other one has moved away it is free.
    rig.hear("NOTE NEWADDR q INET 192.0.2.10 4070");
    rig.stand_still(Duration::from_secs(61));
    miss(&mut rig, 3);
    answer(&mut rig, addresses(&["192.0.2.9"]));
    assert!(is_killed(&mut rig));
}

#[test]
fn status_tells_the_last_lookup_and_when_the_next_one_may_come() {
    let mut rig = rig(DYNAMIC);
    let lookup = |rig: &mut Rig| {
        rig.answers.clear();
        let peer = "p".to_owned();
        rig.request(1, 1, Request::Info { peer });
        match &rig.answers[0].1.reply {
            Reply::Peer(detail) => detail.status.clone().unwrap().connection.lookup.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let none = lookup(&mut rig);
    assert_eq!((&*none.host, none.last), ("hub.example.com", None));
    assert_eq!((none.pending, none.pause), (false, 0));
    miss(&mut rig, 1);
    miss(&mut rig, 2);
    let pending = lookup(&mut rig);
    assert_eq!((pending.pending, pending.pause), (true, 60));
    answer(&mut rig, addresses(&["192.0.2.1"]));
    rig.stand_still(Duration::from_secs(13));
    let done = lookup(&mut rig);
    let same = LastLookup {
        ago: 13,
        result: LookupResult::Same,
    };
    assert_eq!(
        (done.last, done.pending, done.pause),
        (Some(same), false, 47)
    );
}

#[test]
fn a_static_peer_is_looked_up_before_it_is_removed_and_no_other_unless_asked_for() {
    let fixed = &[
        ("peer", "INET hub.example.com 4070"),
        ("watch", "t"),
        ("retries", "2"),
        ("re-resolve", "t"),
    ];
    let mut rig_of_fixed = rig(fixed);
    miss(&mut rig_of_fixed, 1);
    assert_eq!(lookups(&mut rig_of_fixed).len(), 1);
    let mut without = rig(&fixed[..3]);
    miss(&mut without, 1);
    miss(&mut without, 2);
    assert_eq!(lookups(&mut without), []);
    assert_eq!(shown(&mut without), None);
}

#[test]
fn a_peer_to_which_no_ping_can_be_sent_is_looked_up_when_its_check_has_failed() {
    let mut rig = rig(&[DYNAMIC, &[("retries", "2")]].concat());
    // Without keys an encrypted ping ends so at once.
    result(&mut rig, 1, "ping-send-failed");
    result(&mut rig, 2, "ping-send-failed");
    answer(&mut rig, addresses(&["192.0.2.9"]));
    assert!(is_killed(&mut rig));
}

#[test]
fn the_lookups_of_a_helper_that_has_ended_are_lost() {
    let mut rig = rig(DYNAMIC);
    miss(&mut rig, 1);
    miss(&mut rig, 2);
    let ordered = lookups(&mut rig);
    rig.scripts_come();
    rig.to_scripts.clear();
    let number = ordered[0].number;
    let found = addresses(&["192.0.2.9"]);
    rig.scripts_say(FromScripts::LookedUp(LookedUp { number, found }));
    assert!(!is_killed(&mut rig));
    miss(&mut rig, 3);
    assert_eq!(lookups(&mut rig).len(), 1, "it is made again");
}
