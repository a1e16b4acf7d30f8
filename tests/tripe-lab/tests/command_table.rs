// SPDX-License-Identifier: GPL-3.0-or-later
//! Every row of the command table of tripe-admin.md, 3.0, and the answers of 3.3 to 3.11: argument
//! counts, information lines, and what is the same for all commands.

#[cfg(test)]
mod common;

use common::{Bench, Client};
use tripe_lab::config::Identity;

/// Keyword, usage, fewest arguments, most arguments: the specification's table, copied from it and
/// not from the server.
const TABLE: &[(&str, &str, usize, Option<usize>)] = &[
    ("ADD", "[OPTIONS] PEER ADDR ...", 2, None),
    ("ADDR", "PEER", 1, Some(1)),
    ("ALGS", "[PEER]", 0, Some(1)),
    ("BGCANCEL", "TAG", 1, Some(1)),
    ("CHECKCHAL", "CHAL", 1, Some(1)),
    ("DAEMON", "", 0, Some(0)),
    ("EPING", "[OPTIONS] PEER", 1, Some(1)),
    ("FORCEKX", "PEER", 1, Some(1)),
    ("GETCHAL", "", 0, Some(0)),
    ("GREET", "PEER CHAL", 2, Some(2)),
    ("HELP", "", 0, Some(0)),
    ("IFNAME", "PEER", 1, Some(1)),
    ("JOBS", "", 0, Some(0)),
    ("KILL", "PEER", 1, Some(1)),
    ("LIST", "", 0, Some(0)),
    ("NOTIFY", "MESSAGE ...", 1, None),
    ("PEERINFO", "PEER", 1, Some(1)),
    ("PING", "[OPTIONS] PEER", 1, Some(1)),
    ("PORT", "[FAMILY]", 0, Some(1)),
    ("QUIT", "", 0, Some(0)),
    ("RELOAD", "", 0, Some(0)),
    ("SERVINFO", "", 0, Some(0)),
    ("SETIFNAME", "PEER NEW-NAME", 2, Some(2)),
    ("STATS", "PEER", 1, Some(1)),
    ("SVCCLAIM", "SERVICE VERSION", 2, Some(2)),
    ("SVCENSURE", "SERVICE [VERSION]", 1, Some(2)),
    ("SVCFAIL", "JOBID TOKENS ...", 1, None),
    ("SVCINFO", "JOBID TOKENS ...", 1, None),
    ("SVCLIST", "", 0, Some(0)),
    ("SVCOK", "JOBID", 1, Some(1)),
    ("SVCQUERY", "SERVICE", 1, Some(1)),
    ("SVCRELEASE", "SERVICE", 1, Some(1)),
    ("SVCSUBMIT", "[OPTIONS] SERVICE TOKENS ...", 2, None),
    ("TRACE", "[OPTIONS]", 0, Some(1)),
    ("TUNNELS", "", 0, Some(0)),
    ("VERSION", "", 0, Some(0)),
    ("WARN", "MESSAGE ...", 1, None),
    ("WATCH", "[OPTIONS]", 0, Some(1)),
];

/// A server with a reflecting peer `alice` whose keys are there, and a client.
#[cfg(test)]
fn with_alice(options: &str) -> (Bench, Client) {
    let bench = Bench::with(|config| config.reflect = "192.0.2.0/24".parse().ok());
    let mut client = bench.client();
    client.ask(&format!("ADD {options} alice INET 192.0.2.1 4070"), &["OK"]);
    bench.lab.wait_for_broadcast("NOTE KXDONE alice").unwrap();
    (bench, client)
}

#[test]
fn wrong_numbers_of_arguments_are_bad_syntax() {
    let bench = Bench::new();
    let mut client = bench.client();
    for (keyword, usage, min, max) in TABLE {
        let name = keyword.to_lowercase();
        let usage = match *usage {
            usage if usage.contains(' ') => format!("\"{usage}\""),
            "" => String::from("\"\""),
            usage => usage.to_owned(),
        };
        let expected = format!("FAIL bad-syntax {name} {usage}");
        if *min > 0 {
            let line = format!("{keyword}{}", " x".repeat(min - 1));
            client.ask(&line, &[&expected]);
        }
        if let Some(max) = max {
            let line = format!("{keyword}{}", " x".repeat(max + 1));
            client.ask(&line, &[&expected]);
        }
    }
}

#[test]
fn help_lists_every_command() {
    let bench = Bench::new();
    let mut client = bench.client();
    let answer = client.answer("HELP");
    let expected: Vec<String> = TABLE
        .iter()
        .map(|(keyword, usage, _, _)| {
            let line = format!("INFO {} {usage}", keyword.to_lowercase());
            line.trim_end().to_owned()
        })
        .chain(["OK".to_owned()])
        .collect();
    assert_eq!(answer, expected);
}

#[test]
fn keywords_and_options_are_found_in_any_case_and_blank_lines_are_nothing() {
    let (_bench, mut client) = with_alice("");
    client.send("");
    client.send("  \t ");
    client.send("\r");
    client.ask("list", &["INFO alice", "OK"]);
    client.ask("  LiSt\t\r", &["INFO alice", "OK"]);
    client.ask("IFNAME ALICE", &["FAIL unknown-peer ALICE"]);
    client.ask(
        "ping -BackGround t -TIMEOUT 5 alice",
        &["BGDETACH t", "BGINFO t ping-ok 0.0", "BGOK t"],
    );
    client.ask("add bob inet 192.0.2.2", &["OK"]);
    client.ask("ADDR bob", &["INFO INET 192.0.2.2 4070", "OK"]);
    client.ask("port inet6", &["FAIL disabled-address-family INET6"]);
}

#[test]
fn words_are_split_by_the_quoting_rules() {
    let bench = Bench::new();
    let mut client = bench.watcher();
    for (sent, note) in [
        ("NOTIFY a  b\tc", "NOTE USER a b c"),
        (r#"NOTIFY "" '' x"#, r#"NOTE USER "" "" x"#),
        (r#"NOTIFY a"b c"d"#, r#"NOTE USER "ab cd""#),
        (r"NOTIFY 'it\'s'", r#"NOTE USER "it's""#),
        (r#"NOTIFY 'say "hi"'"#, r#"NOTE USER "say \"hi\"""#),
        (r"NOTIFY \n back\\slash", r"NOTE USER n back\slash"),
        (r#"NOTIFY "open end"#, r#"NOTE USER "open end""#),
        (r"NOTIFY trail\", "NOTE USER trail"),
        ("NOTIFY -- -x", "NOTE USER -- -x"),
        ("NOTIFY héé", "NOTE USER héé"),
    ] {
        client.ask(sent, &[note, "OK"]);
    }
}

#[test]
fn bytes_that_are_no_utf_8_pass_unchanged() {
    let bench = Bench::new();
    let mut client = bench.watcher();
    client.send_raw(b"NOTIFY \xff\xfe caf\xe9\n");
    assert_eq!(client.raw_line(), b"NOTE USER \xff\xfe caf\xe9");
    client.expect(&["OK"]);
}

#[test]
fn a_peer_named_with_a_dash_needs_the_two_dashes() {
    let (_bench, mut client) = with_alice("");
    client.ask(
        "ADD -odd INET 192.0.2.3",
        &[r#"FAIL bad-syntax add "[OPTIONS] PEER ADDR ...""#],
    );
    client.ask("ADD -- -odd INET 192.0.2.3", &["OK"]);
    client.ask("PING -- -odd", &["INFO ping-ok 0.0", "OK"]);
    client.ask("PING -odd", &[r#"FAIL bad-syntax ping "[OPTIONS] PEER""#]);
    // No options, no option position.
    client.ask("KILL -odd", &["OK"]);
}

#[test]
fn peer_information() {
    let (_bench, mut client) = with_alice("-keepalive 2m -knock gw.home -priv secret -key pub");
    client.ask(
        "PEERINFO alice",
        &[
            "INFO tunnel=lab",
            "INFO knock=gw.home",
            "INFO key=pub current-key=pub",
            "INFO private-key=secret current-private-key=secret",
            "INFO keepalive=120",
            "INFO corked=nil mobile=nil ephemeral=t",
            "OK",
        ],
    );
    client.ask("ADD -cork -mobile bob INET 192.0.2.2", &["OK"]);
    client.ask(
        "PEERINFO bob",
        &[
            "INFO tunnel=lab",
            "INFO key=bob current-key=bob",
            "INFO private-key=(default) current-private-key=tripe",
            "INFO keepalive=0",
            "INFO corked=t mobile=t ephemeral=t",
            "OK",
        ],
    );
    client.ask("ADD -key one -key two carol INET 192.0.2.3", &["OK"]);
    assert_eq!(
        client.answer("PEERINFO carol")[1],
        "INFO key=two current-key=two"
    );
}

#[test]
fn algorithms() {
    let (_bench, mut client) = with_alice("");
    let master = client.answer("ALGS");
    assert_eq!(client.answer("ALGS alice"), master);
    assert_eq!(master.last().map(String::as_str), Some("OK"));
    for key in [
        "kx-group=",
        "hash=",
        "bulk-transform=",
        "bulk-overhead=",
        "cipher=",
        "mac=",
    ] {
        assert!(
            master.iter().any(|line| line.contains(&format!(" {key}"))),
            "{key}: {master:?}"
        );
    }
    client.ask("ALGS nobody", &["FAIL unknown-peer nobody"]);
}

#[test]
fn statistics() {
    let (_bench, mut client) = with_alice("");
    client.ask("PING alice", &["INFO ping-ok 0.0", "OK"]);
    let answer = client.answer("STATS alice");
    let keys: Vec<String> = answer
        .iter()
        .map(|line| {
            let words = line.split(' ').skip(1);
            let keys = words.map(|word| word.split('=').next().unwrap_or_default());
            keys.collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(
        keys,
        [
            "start-time",
            "last-packet-time",
            "last-keyexch-time",
            "packets-in bytes-in",
            "packets-out bytes-out",
            "keyexch-packets-in keyexch-bytes-in",
            "keyexch-packets-out keyexch-bytes-out",
            "ip-packets-in ip-bytes-in",
            "ip-packets-out ip-bytes-out",
            "rejected-packets",
            "",
        ]
    );
    assert!(answer[3].starts_with("INFO packets-in=2 "), "{}", answer[3]);
    let start = answer[0].replace("INFO start-time=", "");
    assert_eq!(start.len(), "2024-01-02T03:04:05".len(), "{start}");
    client.ask("ADD -cork bob INET 192.0.2.2", &["OK"]);
    let answer = client.answer("STATS bob");
    assert_eq!(answer[1], "INFO last-packet-time=NEVER");
    assert_eq!(answer[2], "INFO last-keyexch-time=NEVER");
}

#[test]
fn the_server_tells_of_itself() {
    let bench = Bench::new();
    let mut client = bench.client();
    let version = env!("CARGO_PKG_VERSION");
    client.ask("VERSION", &[&format!("INFO tripe-lab {version}"), "OK"]);
    let servinfo =
        |daemon| format!("INFO implementation=tripe-lab version={version} daemon={daemon}");
    client.ask("SERVINFO", &[&servinfo("nil"), "OK"]);
    client.ask("WATCH n", &["OK"]);
    client.ask("DAEMON", &["NOTE DAEMON", "OK"]);
    client.ask("DAEMON", &["FAIL already-daemon"]);
    client.ask("SERVINFO", &[&servinfo("t"), "OK"]);
    client.ask("TUNNELS", &["INFO lab", "OK"]);
    client.ask("RELOAD", &["OK"]);
    let port = bench.lab.udp_addr().port();
    client.ask("PORT", &[&format!("INFO {port}"), "OK"]);
    client.ask("PORT ANY", &[&format!("INFO {port}"), "OK"]);
    client.ask("PORT INET", &[&format!("INFO {port}"), "OK"]);
}

#[test]
fn impersonation_is_possible() {
    let bench = Bench::with(|config| config.identity = Identity::impersonated());
    let mut client = bench.client();
    client.ask("VERSION", &["INFO tripe 1.5.0", "OK"]);
    client.ask(
        "SERVINFO",
        &[
            "INFO implementation=edgeware-tripe version=1.5.0 daemon=nil",
            "OK",
        ],
    );
}

#[test]
fn interfaces_are_named_and_renamed() {
    let (bench, mut client) = with_alice("");
    let mut watcher = bench.watcher();
    client.ask("IFNAME alice", &["INFO tripe0", "OK"]);
    client.ask("SETIFNAME alice vpn-alice", &["OK"]);
    watcher.expect(&["NOTE NEWIFNAME alice tripe0 vpn-alice"]);
    client.ask("IFNAME alice", &["INFO vpn-alice", "OK"]);
    // The number is free again once the peer is gone.
    client.ask("ADD bob INET 192.0.2.2", &["OK"]);
    client.ask("IFNAME bob", &["INFO tripe1", "OK"]);
    client.ask("KILL alice", &["OK"]);
    client.ask("ADD carol INET 192.0.2.3", &["OK"]);
    client.ask("IFNAME carol", &["INFO tripe0", "OK"]);
}

#[test]
fn users_broadcast() {
    let bench = Bench::new();
    let (mut n, mut w, mut none) = (bench.watcher(), bench.client(), bench.client());
    w.ask("WATCH w", &["OK"]);
    none.ask("NOTIFY svc 'two words' x", &["OK"]);
    none.ask("WARN svc bad", &["OK"]);
    n.expect(&[r#"NOTE USER svc "two words" x"#]);
    w.expect(&["WARN USER svc bad"]);
    n.nothing_more();
    w.nothing_more();
    none.nothing_more();
    w.ask("WARN mine", &["WARN USER mine", "OK"]);
}

#[test]
fn watch_options() {
    let bench = Bench::new();
    let mut client = bench.client();
    let list = |t, n, w, all| {
        [
            format!("INFO t{t} trace messages"),
            format!("INFO n{n} asynchronous notifications"),
            format!("INFO w{w} warnings"),
            format!("INFO A{all} all of the above"),
            "OK".to_owned(),
        ]
    };
    assert_eq!(client.answer("WATCH"), list(' ', ' ', ' ', ' '));
    client.ask("WATCH n", &["OK"]);
    assert_eq!(client.answer("WATCH ?"), list(' ', '+', ' ', ' '));
    client.ask("WATCH -A+w", &["OK"]);
    assert_eq!(client.answer("WATCH"), list(' ', ' ', '+', ' '));
    client.ask("WATCH +t-w+q", &["FAIL bad-watch-option q"]);
    assert_eq!(client.answer("WATCH"), list(' ', ' ', '+', ' '));
    client.ask("WATCH A", &["OK"]);
    assert_eq!(client.answer("WATCH"), list('+', '+', '+', '+'));
    // Each connection has its own.
    assert_eq!(bench.client().answer("WATCH"), list(' ', ' ', ' ', ' '));
}

#[test]
fn traces() {
    let bench = Bench::new();
    let (mut client, mut watcher) = (bench.client(), bench.client());
    watcher.ask("WATCH t", &["OK"]);
    client.ask("TRACE q", &["FAIL bad-trace-option q"]);
    client.ask("TRACE a", &["OK"]);
    assert_eq!(
        client.answer("TRACE")[2],
        "INFO a+ administration interface"
    );
    watcher.expect(&["TRACE admin: client 1: TRACE"]);
    // The setting is the server's, whoever makes it.
    watcher.ask("TRACE -A", &["TRACE admin: client 2: TRACE -A", "OK"]);
    client.ask("LIST", &["OK"]);
    watcher.nothing_more();
    let without = Bench::with(|config| config.tracing = false);
    without
        .client()
        .ask("TRACE", &["FAIL unknown-command TRACE"]);
}

#[test]
fn a_new_connection_receives_nothing() {
    let bench = Bench::new();
    let mut client = bench.client();
    bench.client().ask("NOTIFY hello", &["OK"]);
    client.nothing_more();
}

#[test]
fn jobs_are_listed_and_tags_are_the_connections_own() {
    let (bench, mut client) = with_alice("");
    bench.lab.silence_peer("alice", true).unwrap();
    for tag in ["b", "a", "two words"] {
        client.send(&format!("PING -background '{tag}' -timeout 1h alice"));
    }
    client.expect(&["BGDETACH b", "BGDETACH a", r#"BGDETACH "two words""#]);
    client.ask("JOBS", &["INFO b", "INFO a", r#"INFO "two words""#, "OK"]);
    client.ask("PING -background a alice", &["FAIL tag-exists a"]);
    bench
        .client()
        .ask("PING -background a -timeout 1h alice", &["BGDETACH a"]);
    client.ask("BGCANCEL a", &["OK"]);
    client.ask("JOBS", &["INFO b", r#"INFO "two words""#, "OK"]);
    client.ask("PING -background a -timeout 1h alice", &["BGDETACH a"]);
}

#[test]
fn services_are_listed_queried_and_ensured() {
    let bench = Bench::new();
    let (mut a, mut b) = (bench.client(), bench.client());
    a.ask("SVCLIST", &["OK"]);
    a.ask("SVCCLAIM watch 1.0", &["OK"]);
    a.ask("SVCCLAIM connect 1.5.0", &["OK"]);
    b.ask("SVCLIST", &["INFO connect 1.5.0", "INFO watch 1.0", "OK"]);
    b.ask(
        "SVCQUERY connect",
        &["INFO name=connect version=1.5.0", "OK"],
    );
    b.ask("SVCQUERY nosuch", &["FAIL unknown-service nosuch"]);
    b.ask("SVCENSURE connect", &["OK"]);
    b.ask("SVCENSURE connect 1.5.0~rc1", &["OK"]);
    b.ask(
        "SVCENSURE connect 1.5.1",
        &["FAIL service-too-old connect 1.5.0"],
    );
    b.ask("SVCENSURE nosuch 1", &["FAIL unknown-service nosuch"]);
    b.ask("SVCRELEASE connect", &["FAIL not-service-provider connect"]);
    let mut w = bench.watcher();
    a.ask("SVCRELEASE connect", &["OK"]);
    w.expect(&["NOTE SVCRELEASE connect"]);
    a.ask("SVCRELEASE connect", &["FAIL unknown-service connect"]);
    // Service names are told apart by case.
    b.ask("SVCENSURE WATCH", &["FAIL unknown-service WATCH"]);
}

#[test]
fn quitting_says_so_ends_every_peer_and_removes_the_socket() {
    let (bench, mut client) = with_alice("");
    let mut watcher = bench.client();
    watcher.ask("WATCH -A+nw", &["OK"]);
    bench.lab.silence_peer("alice", true).unwrap();
    client.ask("PING -background p -timeout 1h alice", &["BGDETACH p"]);
    client.ask(
        "QUIT",
        &["OK", "BGINFO p ping-peer-died", "BGOK p", "<end>"],
    );
    watcher.expect(&["WARN SERVER quit admin-request", "NOTE KILL alice", "<end>"]);
    bench
        .lab
        .wait_for("the end", |what| *what == tripe_lab::What::Stopped)
        .unwrap();
    assert!(!bench.lab.socket_path().exists());
}
