// SPDX-License-Identifier: GPL-3.0-or-later
//! Statements of the manual, each shown with a server that answers as it is told to.

mod scripted;

use manual_service::{Child, Input, Kind, Stream};
use scripted::{Scripted, database};

const SECOND: u64 = 1_000_000_000;

/// A service that knows these peers, whose server has none.
fn service(records: &[(&str, &[(&str, &str)])]) -> Scripted {
    let mut scripted = Scripted::new(records);
    scripted.start(false, &[]);
    scripted
}

#[test]
fn it_claims_its_name_and_asks_for_the_peers() {
    let scripted = service(&[]);
    let expected = ["WATCH -A+n", "SVCCLAIM connect 1", "LIST"];
    assert_eq!(scripted.all_lines, expected);
}

#[test]
fn a_peer_is_adopted_if_its_record_says_watch() {
    for (watch, adopted) in [
        ("t", true),
        ("true", true),
        ("y", true),
        ("yes", true),
        ("on", true),
        ("1", false),
        ("nil", false),
        ("TRUE", false),
    ] {
        let mut scripted = Scripted::new(&[("oslo", &[("watch", watch)])]);
        scripted.start(false, &["oslo", "unknown"]);
        let answer = scripted.job("adopted");
        let expected: &[&str] = if adopted {
            &["SVCINFO J oslo", "SVCOK J"]
        } else {
            &["SVCOK J"]
        };
        assert_eq!(answer, expected, "watch is {watch}");
    }
}

#[test]
fn a_peer_that_is_added_is_configured_and_pinged() {
    let mut scripted = service(&[("oslo", &[("watch", "t"), ("ifup", "'my script' up")])]);
    scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
    let order = scripted.only_order();
    assert_eq!((order.kind, order.peer.as_str()), (Kind::Ifup, "oslo"));
    let argv = [
        "my script",
        "up",
        "oslo",
        "tun-oslo",
        "INET",
        "192.0.2.1",
        "4070",
    ];
    assert_eq!(order.argv, argv);
    assert_eq!(scripted.pings(), ["PING -timeout 10 oslo"]);
}

#[test]
fn scripts_have_the_record_and_the_algorithms_as_variables() {
    let record: &[_] = &[("ifup", "up"), ("ifname", "vpn0"), ("a - b", "c")];
    let mut scripted = service(&[("oslo", record)]);
    scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
    let environment = scripted.only_order().environment;
    let expected = [
        ("A_CIPHER_BLKSZ", "16"),
        ("A_HASH", "sha256"),
        ("P_A_B", "c"),
        ("P_IFNAME", "vpn0"),
        ("P_IFUP", "up"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(environment, expected.into());
}

#[test]
fn a_peer_that_is_removed_has_its_interface_brought_down() {
    let record: &[_] = &[("ifdown", "down 'this one'"), ("disconnect", "bye")];
    let mut scripted = Scripted::new(&[("oslo", record)]);
    scripted.start(false, &["oslo"]);
    scripted.say("NOTE KILL oslo");
    let orders = std::mem::take(&mut scripted.orders);
    assert_eq!(orders[0].argv, ["down", "this one", "oslo"]);
    assert_eq!(orders[0].environment["A_HASH"], "sha256");
    assert_eq!(orders[1].argv, ["/bin/sh", "-c", "bye"]);
}

#[test]
fn without_a_key_no_action_is_taken() {
    let mut scripted = service(&[("oslo", &[])]);
    scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
    scripted.say("NOTE KILL oslo");
    assert_eq!(scripted.orders, []);
}

#[test]
fn at_startup_adopted_peers_are_configured_and_connected() {
    let records: &[(&str, &[_])] = &[
        (
            "oslo",
            &[("watch", "t"), ("ifup", "up"), ("connect", "call")],
        ),
        ("rome", &[("ifup", "up")]),
    ];
    let mut scripted = Scripted::new(records);
    scripted.start(true, &["oslo", "rome"]);
    let kinds: Vec<_> = scripted.orders.iter().map(|order| order.kind).collect();
    assert_eq!(kinds, [Kind::Ifup, Kind::Connect]);
    let mut scripted = Scripted::new(records);
    scripted.start(false, &["oslo", "rome"]);
    assert_eq!(scripted.orders, []);
}

#[test]
fn at_startup_automatic_peers_are_added() {
    let mut scripted = Scripted::new(&[("oslo", &[("peer", "INET 192.0.2.1 4070")])]);
    scripted.auto = vec!["oslo".to_owned()];
    scripted.refuse = Some("peer-exists oslo".to_owned());
    scripted.start(true, &[]);
    assert_eq!(scripted.adds(), ["ADD oslo INET 192.0.2.1 4070"]);
    assert_eq!(
        scripted.told(),
        ["WARN connect auto-add-failed oslo peer-exists oslo"]
    );
}

#[test]
fn a_reply_means_that_the_next_check_is_after_every() {
    let mut scripted = service(&[("oslo", &[("watch", "t"), ("every", "7")])]);
    scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
    assert_eq!(scripted.service.next_deadline(), None);
    scripted.pass(SECOND);
    scripted.end_ping("ping-ok 12.3");
    assert_eq!(scripted.service.next_deadline(), Some(8 * SECOND));
    scripted.pass(7 * SECOND);
    assert_eq!(scripted.pings().len(), 2);
    assert!(scripted.told().is_empty());
}

#[test]
fn a_peer_that_does_not_reply_is_tried_again_and_killed() {
    let record: &[_] = &[("watch", "t"), ("timeout", "2s"), ("retries", "2")];
    let mut scripted = service(&[("oslo", record)]);
    scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
    scripted.end_ping("ping-timeout");
    scripted.end_ping("ping-timeout");
    let ping = "PING -timeout 2s oslo";
    assert_eq!(scripted.pings(), [ping, ping]);
    let told = [
        "WARN connect ping-timeout oslo attempt 1 of 2",
        "WARN connect ping-timeout oslo attempt 2 of 2",
    ];
    assert_eq!(scripted.told(), told);
    assert_eq!(
        scripted.all_lines.last().map(String::as_str),
        Some("KILL oslo")
    );
}

#[test]
fn a_dynamic_peer_that_does_not_reply_is_reconnected() {
    let record: &[_] = &[("watch", "t"), ("retries", "1"), ("connect", "call")];
    let mut scripted = service(&[("oslo", record)]);
    scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
    assert_eq!(scripted.only_order().argv, ["/bin/sh", "-c", "call"]);
    scripted.end_ping("ping-timeout");
    assert_eq!(scripted.told()[1], "WARN connect reconnecting oslo");
    assert_eq!(scripted.only_order().kind, Kind::Connect);
    assert!(!scripted.all_lines.contains(&"KILL oslo".to_owned()));
}

#[test]
fn a_reply_after_a_timeout_is_told() {
    let mut scripted = service(&[("oslo", &[("watch", "t")])]);
    scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
    scripted.end_ping("ping-timeout");
    scripted.end_ping("ping-ok 1.0");
    assert_eq!(scripted.told()[1], "WARN connect ping-ok oslo");
}

#[test]
fn a_ping_that_fails_is_told() {
    let mut scripted = service(&[("oslo", &[("watch", "t")])]);
    scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
    let tag = scripted.tag.clone();
    scripted.say(&format!("BGFAIL {tag} ping-send-failed"));
    assert_eq!(
        scripted.told(),
        ["NOTIFY connect ping-failed oslo ping-send-failed"]
    );
    assert_eq!(scripted.service.next_deadline(), Some(300 * SECOND));
    scripted.pass(300 * SECOND);
    scripted.end_ping("ping-ok 1.0");
    assert_eq!(scripted.told()[1], "WARN connect ping-ok oslo");
}

#[test]
fn active_adds_the_peer_with_the_options_of_its_record() {
    let record: &[_] = &[
        ("cork", "t"),
        ("keepalive", "30s"),
        ("key", "k"),
        ("knock", "a.b"),
        ("mobile", "on"),
        ("peer", "INET 192.0.2.1 4070"),
        ("priv", "p"),
        ("tunnel", "slip"),
    ];
    let mut scripted = service(&[("oslo", record)]);
    assert_eq!(scripted.job("active oslo"), ["SVCOK J"]);
    let expected = "ADD -cork -mobile -keepalive 30s -key k -priv p -tunnel slip -knock a.b oslo \
                    INET 192.0.2.1 4070";
    assert_eq!(scripted.adds(), [expected]);
}

#[test]
fn active_fails_as_the_server_says() {
    let mut scripted = service(&[("oslo", &[("peer", "INET 192.0.2.1 4070")])]);
    scripted.refuse = Some("peer-exists oslo".to_owned());
    assert_eq!(scripted.job("active oslo"), ["SVCFAIL J peer-exists oslo"]);
    assert_eq!(
        scripted.job("active unknown"),
        ["SVCFAIL J unknown-peer unknown"]
    );
}

#[test]
fn a_job_that_is_cancelled_is_not_answered() {
    let mut scripted = service(&[("oslo", &[("peer", "INET 192.0.2.1 4070")])]);
    scripted.holds_adds = true;
    assert!(scripted.job("active oslo").is_empty());
    scripted.say("SVCCANCEL J");
    let tag = scripted.tag.clone();
    scripted.say(&format!("BGOK {tag}"));
    assert!(
        !scripted
            .all_lines
            .iter()
            .any(|line| line.starts_with("SVCOK"))
    );
}

#[test]
fn info_gives_the_record_and_the_figures() {
    let mut scripted = service(&[("oslo", &[("watch", "t"), ("note", "two\nlines")])]);
    scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
    let none = [
        "\"note=two lines\"",
        "watch=t",
        "failures=0",
        "last-ping=-",
        "max-ping=-",
        "mean-ping=-",
        "min-ping=-",
        "n-lost=0",
        "n-ping=0",
        "sd-ping=-",
        "state=check",
    ];
    assert_eq!(scripted.info("oslo"), none);
    scripted.end_ping("ping-timeout");
    assert_eq!(
        scripted.info("oslo")[2..4],
        ["failures=1", "last-ping=timeout"]
    );
    scripted.end_ping("ping-ok 2.0");
    scripted.pass(300 * SECOND);
    scripted.end_ping("ping-ok 4.0");
    let some = [
        "failures=0",
        "last-ping=4.0ms",
        "max-ping=4.0ms",
        "mean-ping=3.0ms",
        "min-ping=2.0ms",
        "n-lost=1",
        "n-ping=2",
        "sd-ping=1.0ms",
        "state=idle",
    ];
    assert_eq!(scripted.info("oslo")[2..], some);
}

#[test]
fn info_gives_the_record_of_a_peer_that_is_not_adopted() {
    let mut scripted = service(&[("oslo", &[("ifup", "up")])]);
    assert_eq!(scripted.info("oslo"), ["ifup=up"]);
    assert_eq!(
        scripted.job("info unknown"),
        ["SVCFAIL J unknown-peer unknown"]
    );
}

#[test]
fn kick_forces_a_reconnection_of_a_dynamic_peer() {
    let records: &[(&str, &[_])] = &[("oslo", &[("connect", "call")]), ("rome", &[])];
    let mut scripted = Scripted::new(records);
    scripted.start(false, &["oslo", "rome"]);
    assert_eq!(scripted.job("kick oslo"), ["SVCOK J"]);
    assert_eq!(scripted.only_order().kind, Kind::Connect);
    for peer in ["rome", "unknown"] {
        let refused = format!("SVCFAIL J unknown-peer {peer}");
        assert_eq!(scripted.job(&format!("kick {peer}")), [refused]);
    }
}

#[test]
fn list_active_gives_the_peers_of_the_database() {
    let mut scripted = service(&[("oslo", &[]), ("rome", &[("peer", "PASSIVE")])]);
    let expected = ["SVCINFO J oslo", "SVCINFO J rome", "SVCOK J"];
    assert_eq!(scripted.job("list-active"), expected);
}

#[test]
fn a_greeting_with_the_challenge_adds_the_passive_peer() {
    let mut scripted = service(&[("oslo", &[("peer", "PASSIVE"), ("user", "bob")])]);
    assert_eq!(scripted.job("passive bob"), ["SVCINFO J chal1"]);
    scripted.say("NOTE GREET other INET 192.0.2.9 5");
    scripted.pass(29 * SECOND);
    scripted.say("NOTE GREET chal1 INET 192.0.2.9 5");
    assert_eq!(scripted.adds(), ["ADD oslo INET 192.0.2.9 5"]);
    assert_eq!(
        scripted.all_lines.last().map(String::as_str),
        Some("SVCOK J")
    );
}

#[test]
fn a_greeting_is_waited_for_as_long_as_the_option_says() {
    for (command, seconds) in [("passive bob", 30), ("passive -timeout 1m bob", 60)] {
        let mut scripted = service(&[("oslo", &[("peer", "PASSIVE"), ("user", "bob")])]);
        scripted.job(command);
        assert_eq!(scripted.service.next_deadline(), Some(seconds * SECOND));
        scripted.pass(seconds * SECOND);
        scripted.say("NOTE GREET chal1 INET 192.0.2.9 5");
        assert!(scripted.adds().is_empty());
    }
}

#[test]
fn a_user_is_looked_up() {
    let mut scripted = service(&[("oslo", &[("user", "bob")])]);
    let expected = ["SVCINFO J oslo", "SVCOK J"];
    assert_eq!(scripted.job("userpeer bob"), expected);
    let refused = ["SVCFAIL J unknown-user eve"];
    assert_eq!(scripted.job("userpeer eve"), refused);
    assert_eq!(scripted.job("passive eve"), refused);
}

#[test]
fn a_sabotaged_peer_seems_not_to_reply() {
    let record: &[_] = &[("watch", "t"), ("retries", "1"), ("connect", "call")];
    let mut scripted = service(&[("oslo", record)]);
    scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
    assert_eq!(scripted.job("sabotage oslo"), ["SVCOK J"]);
    scripted.end_ping("ping-ok 1.0");
    assert_eq!(scripted.told()[1], "WARN connect reconnecting oslo");
    scripted.pass(30 * SECOND);
    scripted.end_ping("ping-ok 1.0");
    assert_eq!(scripted.told()[2], "WARN connect ping-ok oslo");
}

#[test]
fn a_knock_adds_a_passive_peer() {
    let record: &[_] = &[("peer", "PASSIVE"), ("key", "tag")];
    let mut scripted = service(&[("site.tag", record)]);
    scripted.say("NOTE KNOCK site.tag INET 192.0.2.9 5");
    assert_eq!(scripted.adds(), ["ADD -key tag site.tag INET 192.0.2.9 5"]);
}

#[test]
fn a_knock_that_is_not_right_is_told() {
    let mut scripted = service(&[
        ("oslo", &[("peer", "INET 192.0.2.1 4070")]),
        ("site.tag", &[("peer", "PASSIVE"), ("key", "other")]),
    ]);
    for name in ["nobody", "oslo", "site.tag"] {
        scripted.say(&format!("NOTE KNOCK {name} INET 192.0.2.9 5"));
    }
    let expected = [
        "WARN connect knock-unknown-peer nobody",
        "WARN connect knock-active-peer oslo",
        "WARN connect knock-tag-mismatch peer site.tag public-key-tag other",
    ];
    assert_eq!(scripted.told(), expected);
    assert!(scripted.adds().is_empty());
}

#[test]
fn what_connect_writes_first_is_a_challenge() {
    let mut scripted = Scripted::new(&[("oslo", &[("connect", "call")])]);
    scripted.start(false, &["oslo"]);
    scripted.job("kick oslo");
    let id = scripted.only_order().id;
    for line in ["chal", "more words"] {
        scripted.child(id, Child::Wrote(Stream::Stdout, line.to_owned()));
    }
    assert!(scripted.all_lines.contains(&"GREET oslo chal".to_owned()));
    assert_eq!(
        scripted.told(),
        ["NOTIFY connect connect oslo stdout \"more words\""]
    );
}

#[test]
fn how_a_child_ends_is_told() {
    for (end, expected) in [
        (Child::Exited(0), None),
        (Child::Exited(3), Some("exit-nonzero 3")),
        (Child::Signalled(15), Some("exit-signal S15")),
        (Child::Unknown(0xffff), Some("exit-unknown 0xffff")),
    ] {
        let mut scripted = service(&[("oslo", &[("ifup", "up")])]);
        scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
        let id = scripted.only_order().id;
        scripted.child(id, Child::Wrote(Stream::Stderr, "oh".to_owned()));
        scripted.child(id, end);
        let mut told = vec!["WARN connect ifup oslo stderr oh".to_owned()];
        told.extend(expected.map(|words| format!("WARN connect ifup oslo {words}")));
        assert_eq!(scripted.told(), told);
    }
}

#[test]
fn a_database_that_has_changed_is_announced_and_used() {
    let mut scripted = Scripted::new(&[("oslo", &[("watch", "t")]), ("rome", &[])]);
    scripted.start(false, &["oslo", "rome"]);
    let changed = database(&[("oslo", &[]), ("rome", &[("watch", "t")])], &[]);
    scripted.handle(Input::Database(changed));
    assert_eq!(scripted.told(), ["NOTIFY connect peerdb-update"]);
    assert_eq!(scripted.job("adopted"), ["SVCINFO J rome", "SVCOK J"]);
}

#[test]
fn intervals_have_suffixes() {
    for (every, seconds) in [
        ("3", 3),
        ("3s", 3),
        ("3m", 180),
        ("3h", 10_800),
        ("3d", 259_200),
        ("three", 300),
        ("-3", 300),
        ("", 300),
    ] {
        let mut scripted = service(&[("oslo", &[("watch", "t"), ("every", every)])]);
        scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
        scripted.end_ping("ping-ok 1.0");
        let deadline = scripted.service.next_deadline();
        assert_eq!(deadline, Some(seconds * SECOND), "every is {every}");
    }
}

#[test]
fn the_period_of_a_dynamic_peer_is_shorter() {
    for key in ["connect", "knock"] {
        let mut scripted = service(&[("oslo", &[("watch", "t"), (key, "x")])]);
        scripted.say("NOTE ADD oslo tun-oslo INET 192.0.2.1 4070");
        scripted.end_ping("ping-ok 1.0");
        assert_eq!(scripted.service.next_deadline(), Some(30 * SECOND));
    }
}

#[test]
fn words_that_mean_nothing_are_refused() {
    let mut scripted = service(&[]);
    for command in [
        "",
        "dance",
        "active",
        "active a b",
        "passive -x y",
        "sabotage no",
    ] {
        let answer = scripted.job(command);
        assert!(
            answer.len() == 1 && answer[0].starts_with("SVCFAIL J "),
            "{command}"
        );
    }
}

#[test]
fn words_are_quoted_where_they_must_be() {
    let mut scripted = service(&[]);
    scripted.say(r#"NOTE KNOCK 'a b'"c\"d\\e"'' INET 192.0.2.9 5"#);
    let expected = r#"WARN connect knock-unknown-peer "a bc\"d\\e""#;
    assert_eq!(scripted.told(), [expected]);
}
