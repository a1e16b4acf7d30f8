// SPDX-License-Identifier: GPL-3.0-or-later
//! Foreground and background, pipelining, half-closed and vanished clients, pings and services in
//! their finer points (tripe-admin.md, 2 and 6.1 to 6.5).

#[cfg(test)]
mod common;

use common::{Bench, Client};
use tripe_lab::switches::Switches;

/// A server with a reflecting peer `alice`, which answers, and `dead`, which does not.
#[cfg(test)]
fn bench(setting: &str) -> Bench {
    let mut switches = Switches::default();
    if !setting.is_empty() {
        switches.apply(setting).unwrap();
    }
    let bench = Bench::with(|config| {
        config.reflect = "192.0.2.0/24".parse().ok();
        config.switches = switches;
    });
    let mut client = bench.client();
    client.ask("ADD alice INET 192.0.2.1", &["OK"]);
    client.ask("ADD dead INET 192.0.2.2", &["OK"]);
    bench.lab.wait_for_broadcast("NOTE KXDONE dead").unwrap();
    bench.lab.silence_peer("dead", true).unwrap();
    bench
}

/// The job identifier of the `SVCJOB` line that comes next.
#[cfg(test)]
fn job(provider: &mut Client) -> String {
    let line = provider.line();
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("SVCJOB"), "{line}");
    words.next().unwrap().to_owned()
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    let bench = bench("");
    let mut client = bench.client();
    client.send_raw(b"VERSION\nPING dead\nNOSUCH\nPING alice\nLIST\n");
    let version = env!("CARGO_PKG_VERSION");
    client.expect(&[
        &format!("INFO tripe-lab {version}"),
        "OK",
        "INFO ping-timeout",
        "OK",
        "FAIL unknown-command NOSUCH",
        "INFO ping-ok 0.0",
        "OK",
        "INFO alice",
        "INFO dead",
        "OK",
    ]);
}

#[test]
fn a_foreground_job_holds_up_its_client_alone() {
    let bench = bench("");
    let (mut held, mut free) = (bench.watcher(), bench.client());
    held.send("PING -timeout 1h dead");
    held.send("NOTIFY never before the ping ends");
    bench.lab.wait_for_command("PING -timeout 1h").unwrap();
    free.ask("LIST", &["INFO alice", "INFO dead", "OK"]);
    free.ask("NOTIFY meanwhile", &["OK"]);
    free.ask("KILL dead", &["OK"]);
    held.expect(&[
        "NOTE USER meanwhile",
        "NOTE KILL dead",
        "INFO ping-peer-died",
        "OK",
        "NOTE USER never before the ping ends",
        "OK",
    ]);
}

#[test]
fn broadcasts_may_come_between_the_lines_of_an_answer() {
    let bench = bench("");
    let (mut provider, mut held) = (bench.client(), bench.watcher());
    provider.ask("SVCCLAIM svc 1", &["OK"]);
    held.expect(&["NOTE SVCCLAIM svc 1"]);
    held.send("SVCSUBMIT svc x");
    let id = job(&mut provider);
    provider.ask(&format!("SVCINFO {id} one"), &["OK"]);
    provider.ask("NOTIFY between", &["OK"]);
    provider.ask(&format!("SVCINFO {id}"), &["OK"]);
    provider.ask(&format!("SVCOK {id}"), &["OK"]);
    held.expect(&["INFO one", "NOTE USER between", "INFO", "OK"]);
}

#[test]
fn a_half_closed_client_gets_all_its_answers() {
    let bench = bench("");
    let mut client = bench.client();
    client.send("PING -background a -timeout 2 dead");
    client.send("EPING -background b -timeout 1 dead");
    client.send("VERSION");
    client.half_close();
    let version = env!("CARGO_PKG_VERSION");
    client.expect(&[
        "BGDETACH a",
        "BGDETACH b",
        &format!("INFO tripe-lab {version}"),
        "OK",
        "BGINFO b ping-timeout",
        "BGOK b",
        "BGINFO a ping-timeout",
        "BGOK a",
        "<end>",
    ]);
}

#[test]
fn a_client_that_is_half_closed_while_it_waits_is_served_too() {
    let bench = bench("");
    let mut client = bench.client();
    client.send("PING dead");
    client.send("PING alice");
    client.half_close();
    client.expect(&["INFO ping-timeout", "OK", "INFO ping-ok 0.0", "OK", "<end>"]);
}

#[test]
fn a_last_line_without_a_newline_is_no_command() {
    let bench = bench("");
    let mut client = bench.client();
    client.send_raw(b"VERSION");
    client.half_close();
    client.expect(&["<end>"]);
}

#[test]
fn cancelled_pings_are_silent_and_free_their_tag() {
    let bench = bench("");
    let mut client = bench.client();
    // In one piece, so that the ping cannot end before it is cancelled.
    client.send_raw(b"PING -background p -timeout 1 dead\nBGCANCEL p\n");
    client.expect(&["BGDETACH p", "OK"]);
    client.ask("PING -background p -timeout 2 dead", &["BGDETACH p"]);
    client.expect(&["BGINFO p ping-timeout", "BGOK p"]);
    client.nothing_more();
}

#[test]
fn several_pings_to_one_peer_end_each_for_itself() {
    let bench = bench("");
    let mut client = bench.client();
    // In one piece, so that nothing can come between and the deadlines' order is sure.
    let lines = [("c", 3), ("a", 1), ("b", 2)]
        .map(|(tag, timeout)| format!("PING -background {tag} -timeout {timeout} dead\n"));
    client.send_raw(lines.concat().as_bytes());
    client.expect(&["BGDETACH c", "BGDETACH a", "BGDETACH b"]);
    for tag in ["a", "b", "c"] {
        client.expect(&[
            &format!("BGINFO {tag} ping-timeout"),
            &format!("BGOK {tag}"),
        ]);
    }
}

#[test]
fn no_time_is_a_legal_timeout() {
    let bench = bench("");
    let mut client = bench.client();
    client.ask("PING -timeout 0 dead", &["INFO ping-timeout", "OK"]);
}

#[test]
fn a_killed_peers_pings_die_in_the_order_of_their_begin() {
    let bench = bench("");
    let mut client = bench.watcher();
    for tag in ["z", "m", "a"] {
        client.ask(
            &format!("EPING -background {tag} -timeout 1h dead"),
            &[&format!("BGDETACH {tag}")],
        );
    }
    client.ask(
        "KILL dead",
        &[
            "NOTE KILL dead",
            "BGINFO z ping-peer-died",
            "BGOK z",
            "BGINFO m ping-peer-died",
            "BGOK m",
            "BGINFO a ping-peer-died",
            "BGOK a",
            "OK",
        ],
    );
}

#[test]
fn a_submitter_that_goes_away_is_noticed_when_something_is_written_to_it() {
    let bench = bench("");
    let (mut provider, mut submitter) = (bench.client(), bench.client());
    provider.ask("WATCH w", &["OK"]);
    provider.ask("SVCCLAIM svc 1", &["OK"]);
    submitter.ask("SVCSUBMIT -background j svc x", &["BGDETACH j"]);
    let id = job(&mut provider);
    drop(submitter);
    provider.ask(&format!("SVCINFO {id} x"), &["OK"]);
    let mut lines = [provider.line(), provider.line()];
    lines.sort();
    assert_eq!(
        lines,
        [
            format!("SVCCANCEL {id}"),
            r#"WARN ADMIN client-write-error E32 "Broken pipe""#.to_owned(),
        ]
    );
    let unknown = format!("FAIL unknown-jobid {id}");
    provider.ask(&format!("SVCOK {id}"), &[&unknown]);
}

#[test]
fn or_at_once_under_the_other_reading() {
    let bench = bench("vanished=at-once");
    let (mut provider, mut submitter) = (bench.client(), bench.client());
    provider.ask("SVCCLAIM svc 1", &["OK"]);
    submitter.ask("SVCSUBMIT -background j svc x", &["BGDETACH j"]);
    let id = job(&mut provider);
    drop(submitter);
    provider.expect(&[&format!("SVCCANCEL {id}")]);
    // One that is held up, and one that is only half-closed at first.
    let mut submitter = bench.client();
    submitter.send("SVCSUBMIT svc y");
    let id = job(&mut provider);
    drop(submitter);
    provider.expect(&[&format!("SVCCANCEL {id}")]);
    let mut submitter = bench.client();
    submitter.send("SVCSUBMIT -background j svc z");
    submitter.half_close();
    let id = job(&mut provider);
    provider.ask(&format!("SVCINFO {id} still there"), &["OK"]);
    submitter.expect(&["BGDETACH j", "BGINFO j still there"]);
    drop(submitter);
    provider.expect(&[&format!("SVCCANCEL {id}")]);
}

#[test]
fn jobs_are_answered_in_any_order() {
    let bench = bench("");
    let (mut provider, mut submitter) = (bench.client(), bench.client());
    provider.ask("SVCCLAIM one 1", &["OK"]);
    provider.ask("SVCCLAIM two 1", &["OK"]);
    submitter.ask("SVCSUBMIT -background a one x", &["BGDETACH a"]);
    submitter.ask("SVCSUBMIT -background b two y", &["BGDETACH b"]);
    let (a, b) = (job(&mut provider), job(&mut provider));
    provider.ask(&format!("SVCINFO {b} 1"), &["OK"]);
    provider.ask(&format!("SVCINFO {a} 2"), &["OK"]);
    provider.ask(&format!("SVCFAIL {b} my-code 'some words'"), &["OK"]);
    provider.ask(&format!("SVCOK {a}"), &["OK"]);
    submitter.expect(&[
        "BGINFO b 1",
        "BGINFO a 2",
        r#"BGFAIL b my-code "some words""#,
        "BGOK a",
    ]);
    // Only the provider itself may answer.
    submitter.ask("SVCSUBMIT -background c one x", &["BGDETACH c"]);
    let c = job(&mut provider);
    let unknown = format!("FAIL unknown-jobid {c}");
    submitter.ask(&format!("SVCOK {c}"), &[&unknown]);
}

#[test]
fn a_released_services_jobs_stay_with_the_provider() {
    let bench = bench("");
    let (mut provider, mut submitter) = (bench.client(), bench.client());
    provider.ask("SVCCLAIM svc 1", &["OK"]);
    submitter.ask("SVCSUBMIT -background a svc x", &["BGDETACH a"]);
    let id = job(&mut provider);
    provider.ask("SVCRELEASE svc", &["OK"]);
    submitter.ask("SVCSUBMIT svc x", &["FAIL unknown-service svc"]);
    provider.ask(&format!("SVCOK {id}"), &["OK"]);
    submitter.expect(&["BGOK a"]);
}

#[test]
fn a_provider_may_ask_itself_in_the_background() {
    let bench = bench("");
    let mut client = bench.client();
    client.ask("SVCCLAIM svc 1", &["OK"]);
    client.ask("SVCSUBMIT -background me svc x", &["BGDETACH me"]);
    let id = job(&mut client);
    client.ask(&format!("SVCOK {id}"), &["BGOK me", "OK"]);
    // And it displaces itself with a later version.
    client.ask("SVCCLAIM svc 2", &["SVCCLAIM svc 2", "OK"]);
    client.ask("SVCCLAIM svc 2", &["FAIL service-exists svc 2"]);
}

#[test]
fn a_provider_that_dies_in_a_foreground_submission_lets_the_submitter_go() {
    let bench = bench("");
    let (mut provider, mut submitter) = (bench.client(), bench.client());
    provider.ask("SVCCLAIM svc 1", &["OK"]);
    submitter.send("SVCSUBMIT svc x");
    submitter.send("PING alice");
    job(&mut provider);
    drop(provider);
    submitter.expect(&["FAIL provider-failed", "INFO ping-ok 0.0", "OK"]);
}

#[test]
fn a_challenge_is_issued_once_and_consumed_once() {
    let bench = bench("");
    let mut client = bench.client();
    client.ask("WATCH w", &["OK"]);
    let one = client.answer("GETCHAL")[0].replace("INFO ", "");
    let two = client.answer("GETCHAL")[0].replace("INFO ", "");
    assert_ne!(one, two);
    client.ask(&format!("CHECKCHAL {one}"), &["OK"]);
    client.ask(
        &format!("CHECKCHAL {one}"),
        &[
            "WARN CHAL replay duplicated-sequence",
            "FAIL invalid-challenge",
        ],
    );
    bench.lab.restart().unwrap();
    let mut client = bench.client();
    client.ask(&format!("CHECKCHAL {two}"), &["FAIL invalid-challenge"]);
}
