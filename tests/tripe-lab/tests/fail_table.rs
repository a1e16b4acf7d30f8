// SPDX-License-Identifier: GPL-3.0-or-later
//! Every row of the table of FAIL codes of tripe-admin.md, 5, and the order of checks of 3.1, 3.2
//! and 3.10.

#[cfg(test)]
mod common;

use common::Bench;
use std::collections::{BTreeMap, BTreeSet};
use tripe_lab::config::{Host, KeySet, NAME_WITHOUT_ANSWER};
use tripe_lab::faults::Refusal;

#[cfg(test)]
fn bench() -> Bench {
    Bench::with(|config| {
        config.reflect = "192.0.2.0/24".parse().ok();
        config.max_provider_jobs = 2;
        config.public_keys = KeySet::AllBut(BTreeSet::from(["erin".to_owned()]));
        config.private_keys = KeySet::Only(BTreeSet::from(["good".to_owned()]));
        let ip = "192.0.2.50".parse().unwrap();
        let six = "2001:db8::1".parse().unwrap();
        config.hosts = BTreeMap::from([
            ("dave.example".to_owned(), Host::Is(vec![six, ip])),
            ("six.example".to_owned(), Host::Is(vec![six])),
            ("slow.example".to_owned(), Host::Slow(20, vec![ip])),
            ("snail.example".to_owned(), Host::Slow(31, vec![ip])),
        ]);
    })
}

/// What each line gives, one after the other, on one connection to a server with a peer `alice` at
/// 192.0.2.1, a peer `quiet` that is corked, and a provider of the service `svc` 1.5 that never
/// answers.
const ROWS: &[(&str, &[&str])] = &[
    ("DAEMON x", &[r#"FAIL bad-syntax daemon """#]),
    ("NOSUCH x y", &["FAIL unknown-command NOSUCH"]),
    ("'no such' x", &[r#"FAIL unknown-command "no such""#]),
    ("\"\"", &[r#"FAIL unknown-command """#]),
    // Peers.
    ("ADDR bob", &["FAIL unknown-peer bob"]),
    ("ALGS bob", &["FAIL unknown-peer bob"]),
    ("FORCEKX bob", &["FAIL unknown-peer bob"]),
    ("GREET bob AAAA", &["FAIL unknown-peer bob"]),
    ("IFNAME bob", &["FAIL unknown-peer bob"]),
    ("KILL bob", &["FAIL unknown-peer bob"]),
    ("PEERINFO bob", &["FAIL unknown-peer bob"]),
    ("SETIFNAME bob x", &["FAIL unknown-peer bob"]),
    ("STATS bob", &["FAIL unknown-peer bob"]),
    ("PING bob", &["FAIL unknown-peer bob"]),
    ("EPING -background t bob", &["FAIL unknown-peer bob"]),
    // Challenges.
    (
        "GREET alice !!",
        &[r#"FAIL bad-base64 "invalid character""#],
    ),
    ("CHECKCHAL A", &[r#"FAIL bad-base64 "truncated input""#]),
    ("CHECKCHAL AAAA", &["FAIL invalid-challenge"]),
    ("CHECKCHAL ''", &["FAIL invalid-challenge"]),
    // Pings.
    ("EPING quiet", &["FAIL ping-send-failed"]),
    (
        "EPING -background t quiet",
        &["BGDETACH t", "BGFAIL t ping-send-failed"],
    ),
    ("PING -timeout soon alice", &["FAIL bad-time-spec soon"]),
    ("PING -timeout 5x bob", &["FAIL bad-time-spec 5x"]),
    (
        "PING -timeout",
        &[r#"FAIL bad-syntax ping "[OPTIONS] PEER""#],
    ),
    (
        "PING -nosuch alice",
        &[r#"FAIL bad-syntax ping "[OPTIONS] PEER""#],
    ),
    // ADD: options before the name, the name before the address.
    (
        "ADD -keepalive x alice bad bad bad",
        &["FAIL bad-time-spec x"],
    ),
    (
        "ADD -tunnel warp alice bad bad bad",
        &["FAIL unknown-tunnel warp"],
    ),
    (
        "ADD -nosuch alice",
        &[r#"FAIL bad-syntax add "[OPTIONS] PEER ADDR ...""#],
    ),
    ("ADD alice INET", &["FAIL peer-exists alice"]),
    (
        "ADD new INET",
        &[r#"FAIL bad-addr-syntax "[FAMILY] ADDRESS [PORT]""#],
    ),
    (
        "ADD new INET 192.0.2.9 1 2",
        &[r#"FAIL bad-addr-syntax "[FAMILY] ADDRESS [PORT]""#],
    ),
    (
        "ADD new 192.0.2.9 1 2",
        &[r#"FAIL bad-addr-syntax "[FAMILY] ADDRESS [PORT]""#],
    ),
    ("ADD new 192.0.2.9 nosuch", &["FAIL unknown-port nosuch"]),
    ("ADD new 192.0.2.9 65536", &["FAIL invalid-port 65536"]),
    ("ADD new 192.0.2.9 0", &["FAIL invalid-port 0"]),
    ("ADD new INET6 ::1", &["FAIL disabled-address-family INET6"]),
    (
        "ADD -background t new INET6 ::1",
        &["FAIL disabled-address-family INET6"],
    ),
    ("PORT INET6", &["FAIL disabled-address-family INET6"]),
    ("PORT IPX", &["FAIL unknown-address-family IPX"]),
    // From here on it detaches first.
    (
        "ADD new nosuch.example",
        &["FAIL resolve-error nosuch.example"],
    ),
    ("ADD new six.example", &["FAIL resolve-error six.example"]),
    ("ADD new INET ::1", &["FAIL resolve-error ::1"]),
    ("ADD new ::1", &["FAIL resolve-error ::1"]),
    (
        "ADD -background t new nosuch.example",
        &["BGDETACH t", "BGFAIL t resolve-error nosuch.example"],
    ),
    (
        "ADD new snail.example",
        &["FAIL resolve-timeout snail.example"],
    ),
    (
        "ADD new 192.0.2.1",
        &["FAIL peer-addr-exists INET 192.0.2.1 4070"],
    ),
    (
        "ADD -background t new ANY 192.0.2.1 tripe",
        &[
            "BGDETACH t",
            "BGFAIL t peer-addr-exists INET 192.0.2.1 4070",
        ],
    ),
    ("ADD erin 192.0.2.9", &["FAIL peer-create-fail erin"]),
    (
        "ADD -key erin new 192.0.2.9",
        &["FAIL peer-create-fail new"],
    ),
    (
        "ADD -priv bad new 192.0.2.9",
        &["FAIL peer-create-fail new"],
    ),
    ("ADD -priv good -key fine erin 192.0.2.9", &["OK"]),
    ("ADD dave dave.example", &["OK"]),
    ("ADDR dave", &["INFO INET 192.0.2.50 4070", "OK"]),
    // Services.
    (
        "SVCSUBMIT -version",
        &[r#"FAIL bad-syntax svcsubmit "[OPTIONS] SERVICE TOKENS ...""#],
    ),
    ("SVCSUBMIT nosuch x", &["FAIL unknown-service nosuch"]),
    (
        "SVCSUBMIT -version 2.0 svc x",
        &["FAIL service-too-old svc 1.5"],
    ),
    (
        "SVCSUBMIT -background t -version 2.0 svc x",
        &["FAIL service-too-old svc 1.5"],
    ),
    (
        "SVCSUBMIT -background j1 -version 1.5 svc x",
        &["BGDETACH j1"],
    ),
    ("SVCSUBMIT -background j1 svc x", &["FAIL tag-exists j1"]),
    ("PING -background j1 alice", &["FAIL tag-exists j1"]),
    (
        "ADD -background j1 new2 nosuch.example",
        &["FAIL tag-exists j1"],
    ),
    ("SVCSUBMIT -background j2 svc x", &["BGDETACH j2"]),
    (
        "SVCSUBMIT -background j3 svc x",
        &["FAIL provider-overloaded"],
    ),
    // The provider's load comes before the tag.
    (
        "SVCSUBMIT -background j1 svc x",
        &["FAIL provider-overloaded"],
    ),
    ("SVCCLAIM svc 1.5", &["FAIL service-exists svc 1.5"]),
    ("SVCCLAIM svc 1.4", &["FAIL service-exists svc 1.5"]),
    ("SVCRELEASE svc", &["FAIL not-service-provider svc"]),
    ("SVCRELEASE nosuch", &["FAIL unknown-service nosuch"]),
    ("SVCQUERY nosuch", &["FAIL unknown-service nosuch"]),
    ("SVCENSURE svc 9", &["FAIL service-too-old svc 1.5"]),
    ("SVCOK J00000000", &["FAIL unknown-jobid J00000000"]),
    ("SVCINFO x y", &["FAIL unknown-jobid x"]),
    ("SVCFAIL '' y", &[r#"FAIL unknown-jobid """#]),
    // Jobs, letters, daemon.
    ("BGCANCEL nosuch", &["FAIL unknown-tag nosuch"]),
    ("BGCANCEL j1", &["OK"]),
    ("WATCH nz", &["FAIL bad-watch-option z"]),
    ("WATCH é", &["FAIL bad-watch-option é"]),
    ("TRACE z", &["FAIL bad-trace-option z"]),
    ("DAEMON", &["OK"]),
    ("DAEMON", &["FAIL already-daemon"]),
];

#[test]
fn every_code() {
    let bench = bench();
    let mut provider = bench.client();
    provider.ask("SVCCLAIM svc 1.5", &["OK"]);
    let mut client = bench.client();
    client.ask("ADD alice 192.0.2.1", &["OK"]);
    client.ask("ADD -cork quiet 192.0.2.2", &["OK"]);
    for (line, answer) in ROWS {
        client.ask(line, answer);
    }
    drop(provider);
    client.expect(&["BGFAIL j2 provider-failed"]);
    client.nothing_more();
}

#[test]
fn codes_the_server_has_no_occasion_for_come_by_refusal() {
    let bench = bench();
    let mut client = bench.client();
    for (command, code, words) in [
        (
            "DAEMON",
            "daemon-error",
            vec!["E12", "Cannot allocate memory"],
        ),
        ("ADD", "resolver-error", vec![]),
    ] {
        let mut refusal = Refusal::of(command, code);
        refusal.failure.extend(words.into_iter().map(Into::into));
        bench.lab.refuse(refusal).unwrap();
    }
    client.ask(
        "DAEMON",
        &[r#"FAIL daemon-error E12 "Cannot allocate memory""#],
    );
    client.ask("ADD alice 192.0.2.1", &["FAIL resolver-error"]);
}

#[test]
fn what_the_lab_bounds_by_itself() {
    let bench = Bench::with(|config| {
        config.reflect = "192.0.2.0/24".parse().ok();
        config.max_peers = 1;
        config.max_services = 1;
        config.max_client_jobs = 1;
    });
    let mut client = bench.client();
    client.ask("WATCH w", &["OK"]);
    client.ask("ADD alice 192.0.2.1", &["OK"]);
    client.ask(
        "ADD bob 192.0.2.2",
        &["WARN PEER bob too-many-peers", "FAIL peer-create-fail bob"],
    );
    client.ask("SVCCLAIM one 1", &["OK"]);
    client.ask("SVCCLAIM two 1", &["FAIL too-many-services"]);
    client.ask("SVCCLAIM one 2", &["SVCCLAIM one 2", "OK"]);
    bench.lab.silence_peer("alice", true).unwrap();
    client.ask("PING -background p -timeout 1h alice", &["BGDETACH p"]);
    client.ask(
        "PING -background q -timeout 1h alice",
        &["FAIL too-many-jobs"],
    );
    client.ask("BGCANCEL p", &["OK"]);
    client.ask("PING -background q -timeout 1h alice", &["BGDETACH q"]);
}

#[test]
fn why_a_peer_was_not_created_is_told_before() {
    let bench = bench();
    let mut client = bench.client();
    client.ask("WATCH w", &["OK"]);
    client.ask(
        "ADD -background a erin 192.0.2.9",
        &[
            "BGDETACH a",
            "WARN KEYMGMT public-key erin not-found",
            "BGFAIL a peer-create-fail erin",
        ],
    );
    client.ask(
        "ADD -priv bad new 192.0.2.9",
        &[
            "WARN KEYMGMT private-key bad not-found",
            "FAIL peer-create-fail new",
        ],
    );
}

#[test]
fn a_name_that_is_never_answered_times_out() {
    let bench = bench();
    let mut client = bench.client();
    client.ask(
        &format!("ADD -background a ghost {NAME_WITHOUT_ANSWER}"),
        &["BGDETACH a"],
    );
    client.ask("JOBS", &["INFO a", "OK"]);
    client.expect(&[&format!("BGFAIL a resolve-timeout {NAME_WITHOUT_ANSWER}")]);
}

#[test]
fn somebody_may_get_there_while_a_name_is_being_resolved() {
    let bench = bench();
    let mut client = bench.client();
    client.send_raw(b"ADD -background a late slow.example 4071\n");
    client.send_raw(b"ADD -background b later slow.example\n");
    client.expect(&["BGDETACH a", "BGDETACH b"]);
    let mut other = bench.client();
    other.ask("ADD late 192.0.2.7", &["OK"]);
    other.ask("ADD other 192.0.2.50", &["OK"]);
    client.expect(&[
        "BGFAIL a peer-exists late",
        "BGFAIL b peer-addr-exists INET 192.0.2.50 4070",
    ]);
    client.ask("ADD local localhost 4071", &["OK"]);
    client.ask("ADDR local", &["INFO INET 127.0.0.1 4071", "OK"]);
}

#[test]
fn resolving_can_be_cancelled() {
    let bench = bench();
    let mut client = bench.watcher();
    client.ask("ADD -background a late slow.example", &["BGDETACH a"]);
    client.ask("BGCANCEL a", &["OK"]);
    // A later one is resolved after the cancelled one would have been.
    client.ask(
        "ADD -cork -background b later slow.example",
        &["BGDETACH b"],
    );
    client.expect(&["NOTE ADD later tripe0 INET 192.0.2.50 4070", "BGOK b"]);
    client.ask("LIST", &["INFO later", "OK"]);
}
