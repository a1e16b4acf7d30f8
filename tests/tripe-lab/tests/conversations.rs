// SPDX-License-Identifier: GPL-3.0-or-later
//! Every worked conversation of tripe-admin.md, section 7, word for word but for job identifiers,
//! challenges and times, which are the server's to choose.

#[cfg(test)]
mod common;

use common::Bench;
use std::collections::BTreeSet;
use tripe_lab::config::KeySet;

/// The job identifier of an `SVCJOB` line.
#[cfg(test)]
fn job_id(line: &str) -> String {
    line.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_service_claims_connect_and_answers_a_job() {
    let bench = Bench::new();
    let (mut a, mut b) = (bench.client(), bench.client());
    a.ask("WATCH -A+n", &["OK"]);
    a.ask(
        "SVCCLAIM connect 1.5.0",
        &["NOTE SVCCLAIM connect 1.5.0", "OK"],
    );
    b.ask(
        "SVCSUBMIT -background j1 connect active alice",
        &["BGDETACH j1"],
    );
    let line = a.line();
    let id = job_id(&line);
    assert_eq!(line, format!("SVCJOB {id} connect active alice"));
    assert!(id.len() == 9 && id.starts_with('J'), "{id}");
    a.ask(&format!(r#"SVCINFO {id} "hello world" x=1"#), &["OK"]);
    b.expect(&[r#"BGINFO j1 "hello world" x=1"#]);
    a.ask(&format!("SVCOK {id}"), &["OK"]);
    b.expect(&["BGOK j1"]);
    a.ask(
        &format!("SVCOK {id}"),
        &[&format!("FAIL unknown-jobid {id}")],
    );
}

#[test]
fn a_provider_fails_a_job() {
    let bench = Bench::new();
    let (mut a, mut b) = (bench.client(), bench.client());
    a.ask("SVCCLAIM connect 1.5.0", &["OK"]);
    b.ask(
        "SVCSUBMIT -background j1 connect active alice",
        &["BGDETACH j1"],
    );
    let id = job_id(&a.line());
    a.ask(&format!("SVCFAIL {id} unknown-peer alice"), &["OK"]);
    b.expect(&["BGFAIL j1 unknown-peer alice"]);
}

#[test]
fn a_submission_in_the_foreground() {
    let bench = Bench::new();
    let (mut a, mut b) = (bench.client(), bench.client());
    a.ask("SVCCLAIM connect 1.5.0", &["OK"]);
    b.send("SVCSUBMIT connect list-active");
    let id = job_id(&a.line());
    a.ask(&format!("SVCINFO {id} alice"), &["OK"]);
    a.ask(&format!("SVCINFO {id} bob"), &["OK"]);
    a.ask(&format!("SVCOK {id}"), &["OK"]);
    b.expect(&["INFO alice", "INFO bob", "OK"]);
}

#[test]
fn a_job_is_cancelled() {
    let bench = Bench::new();
    let (mut a, mut b) = (bench.client(), bench.client());
    a.ask("SVCCLAIM connect 1.5.0", &["OK"]);
    b.ask(
        "SVCSUBMIT -background j1 connect active alice",
        &["BGDETACH j1"],
    );
    let id = job_id(&a.line());
    b.ask("BGCANCEL j1", &["OK"]);
    a.expect(&[&format!("SVCCANCEL {id}")]);
    a.ask(
        &format!("SVCINFO {id} x"),
        &[&format!("FAIL unknown-jobid {id}")],
    );
    b.nothing_more();
    b.ask("BGCANCEL j1", &["FAIL unknown-tag j1"]);
}

#[test]
fn a_provider_dies() {
    let bench = Bench::new();
    let (mut a, mut b, mut w) = (bench.client(), bench.client(), bench.watcher());
    a.ask("SVCCLAIM connect 1.5.0", &["OK"]);
    b.ask(
        "SVCSUBMIT -background j1 connect active alice",
        &["BGDETACH j1"],
    );
    drop(a);
    b.expect(&["BGFAIL j1 provider-failed"]);
    w.expect(&["NOTE SVCCLAIM connect 1.5.0", "NOTE SVCRELEASE connect"]);
}

#[test]
fn a_provider_is_displaced() {
    let bench = Bench::new();
    let (mut a, mut x, mut w) = (bench.client(), bench.client(), bench.watcher());
    let mut b = bench.client();
    a.ask("SVCCLAIM connect 1.5.0", &["OK"]);
    b.ask("SVCSUBMIT -background j1 connect old", &["BGDETACH j1"]);
    let old = job_id(&a.line());
    x.ask(
        "SVCCLAIM connect 1.4.9",
        &["FAIL service-exists connect 1.5.0"],
    );
    x.ask(
        "SVCCLAIM connect 1.5.0",
        &["FAIL service-exists connect 1.5.0"],
    );
    x.ask("SVCCLAIM connect 1.6.0", &["OK"]);
    a.expect(&["SVCCLAIM connect 1.6.0"]);
    w.expect(&["NOTE SVCCLAIM connect 1.5.0", "NOTE SVCCLAIM connect 1.6.0"]);
    w.nothing_more();
    // New jobs go to the new provider; the old one may still answer what it was given.
    b.ask("SVCSUBMIT -background j2 connect new", &["BGDETACH j2"]);
    let line = x.line();
    assert!(line.ends_with(" connect new"), "{line}");
    x.ask(
        &format!("SVCOK {old}"),
        &[&format!("FAIL unknown-jobid {old}")],
    );
    a.ask(&format!("SVCOK {old}"), &["OK"]);
    b.expect(&["BGOK j1"]);
}

/// A server with a peer `alice` that answers, and one `bob` that nobody answers for.
#[cfg(test)]
fn with_alice_and_bob() -> Bench {
    let bench = Bench::with(|config| config.reflect = "127.1.0.0/16".parse().ok());
    let mut client = bench.client();
    client.ask("ADD alice INET 127.1.0.1", &["OK"]);
    bench.lab.wait_for_broadcast("NOTE KXDONE alice").unwrap();
    client.ask("ADD bob INET 127.2.0.1", &["OK"]);
    bench
}

#[test]
fn background_pings() {
    let bench = with_alice_and_bob();
    let mut c = bench.client();
    c.ask("EPING -background p1 -timeout 10s alice", &["BGDETACH p1"]);
    let line = c.line();
    let millis = line.strip_prefix("BGINFO p1 ping-ok ").unwrap();
    assert!(
        millis.parse::<f64>().is_ok() && millis.contains('.'),
        "{line}"
    );
    c.expect(&["BGOK p1"]);

    bench.lab.silence_peer("alice", true).unwrap();
    c.ask(
        "EPING -background p2 alice",
        &["BGDETACH p2", "BGINFO p2 ping-timeout", "BGOK p2"],
    );

    c.ask("WATCH +n", &["OK"]);
    c.ask("EPING -background p3 -timeout 60 alice", &["BGDETACH p3"]);
    let mut other = bench.client();
    other.ask("KILL alice", &["OK"]);
    c.expect(&["NOTE KILL alice", "BGINFO p3 ping-peer-died", "BGOK p3"]);

    c.ask(
        "EPING -background p4 bob",
        &["BGDETACH p4", "BGFAIL p4 ping-send-failed"],
    );
    c.ask("PING -background p5 nobody", &["FAIL unknown-peer nobody"]);
}

#[test]
fn adding_a_peer() {
    let bench = Bench::with(|config| {
        config.reflect = "192.0.2.0/24".parse().ok();
        config.public_keys = KeySet::AllBut(BTreeSet::from(["erin".to_owned()]));
    });
    let mut c = bench.client();
    let mut w = bench.client();
    w.ask("WATCH -A+w", &["OK"]);
    c.ask("WATCH -A+n", &["OK"]);
    c.ask(
        "ADD -background a1 -keepalive 30s -key alice-key -knock gw.home alice INET 192.0.2.7 4070",
        &[
            "BGDETACH a1",
            "NOTE ADD alice tripe0 INET 192.0.2.7 4070",
            "NOTE KXSTART alice",
            "BGOK a1",
            "NOTE KXDONE alice",
        ],
    );
    c.ask("ADD alice INET 192.0.2.8", &["FAIL peer-exists alice"]);
    c.ask(
        "ADD carol INET 192.0.2.7 4070",
        &["FAIL peer-addr-exists INET 192.0.2.7 4070"],
    );
    c.ask(
        "ADD -background a2 dave nosuch.example",
        &["BGDETACH a2", "BGFAIL a2 resolve-error nosuch.example"],
    );
    c.ask(
        "ADD -background a3 erin INET 192.0.2.9",
        &["BGDETACH a3", "BGFAIL a3 peer-create-fail erin"],
    );
    w.expect(&["WARN KEYMGMT public-key erin not-found"]);
}

#[test]
fn passive_greeting() {
    let active = Bench::at("127.0.0.2:0");
    let passive = Bench::at("127.0.0.3:0");
    let mut p = passive.client();
    let mut a = active.client();
    p.ask("WATCH -A+nw", &["OK"]);
    let answer = p.answer("GETCHAL");
    let challenge = answer[0].strip_prefix("INFO ").unwrap();
    assert!(!challenge.contains('='), "{challenge}");
    a.ask(&format!("ADD -cork hub {}", passive.words()), &["OK"]);
    a.ask(&format!("GREET hub {challenge}"), &["OK"]);
    let from = active.words();
    p.expect(&[&format!("NOTE GREET {challenge} {from}")]);
    p.ask(
        &format!("ADD -cork laptop {from}"),
        &[&format!("NOTE ADD laptop tripe0 {from}"), "OK"],
    );
    // The same packet again is a replay.
    a.ask(&format!("GREET hub {challenge}"), &["OK"]);
    p.expect(&["WARN CHAL replay duplicated-sequence"]);
}

#[test]
fn a_knock() {
    let gateway = Bench::at("127.0.0.2:0");
    let home = Bench::at("127.0.0.3:0");
    let mut g = gateway.watcher();
    let mut h = home.watcher();
    let (at_gateway, at_home) = (gateway.words(), home.words());
    h.ask(
        &format!("ADD -knock gw.home gateway {at_gateway}"),
        &[
            &format!("NOTE ADD gateway tripe0 {at_gateway}"),
            "NOTE KXSTART gateway",
            "OK",
        ],
    );
    // The note comes once for each knock, and the knocker goes on.
    let knock = format!("NOTE KNOCK gw.home {at_home}");
    g.expect(&[&knock, &knock]);
    g.send(&format!(
        "ADD -background k1 -key home -ephemeral gw.home {at_home}"
    ));
    let added = [
        String::from("BGDETACH k1"),
        format!("NOTE ADD gw.home tripe0 {at_home}"),
        String::from("NOTE KXSTART gw.home"),
        String::from("BGOK k1"),
        String::from("NOTE KXDONE gw.home"),
    ];
    for expected in added {
        let mut line = g.line();
        while line == knock {
            line = g.line();
        }
        assert_eq!(line, expected);
    }
    h.expect(&["NOTE KXDONE gateway"]);
    // The peer goes away politely.
    h.ask("KILL gateway", &["NOTE KILL gateway", "OK"]);
    g.expect(&["NOTE KILL gw.home"]);
}
