// SPDX-License-Identifier: GPL-3.0-or-later
//! Both readings of every doubtful point of tripe-admin.md, 8.

#[cfg(test)]
mod common;

use common::{Bench, Client};
use tripe_lab::Switches;

/// A server with these switches, with a reflecting peer `alice` that has keys.
#[cfg(test)]
fn bench(settings: &[&str]) -> Bench {
    let mut switches = Switches::default();
    for setting in settings {
        switches.apply(setting).unwrap();
    }
    let bench = Bench::with(|config| {
        config.reflect = "192.0.2.0/24".parse().ok();
        config.switches = switches;
    });
    bench.client().ask("ADD alice INET 192.0.2.1", &["OK"]);
    bench.lab.wait_for_broadcast("NOTE KXDONE alice").unwrap();
    bench
}

/// The same, and a client that watches notes.
#[cfg(test)]
fn watched(setting: &str) -> (Bench, Client) {
    let bench = bench(&[setting]);
    let client = bench.watcher();
    (bench, client)
}

#[cfg(test)]
fn job(provider: &mut Client) -> String {
    let line = provider.line();
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("SVCJOB"), "{line}");
    words.next().unwrap().to_owned()
}

#[test]
fn point_1_backslashes() {
    for (setting, note) in [
        ("backslash=bare", r"NOTE USER a\b"),
        ("backslash=quoted", r#"NOTE USER "a\\b""#),
    ] {
        let (_bench, mut client) = watched(setting);
        client.ask(r"NOTIFY a\\b", &[note, "OK"]);
    }
}

#[test]
fn point_2_over_long_lines() {
    let exact = format!("NOTIFY {}", "x".repeat(248));
    assert_eq!(exact.len(), 255);
    let note = format!("NOTE USER {}", "x".repeat(248));
    for (setting, after) in [
        (
            "over-long=split",
            &[note.as_str(), "OK", "FAIL unknown-command y", "OK"][..],
        ),
        ("over-long=truncate", &[note.as_str(), "OK", "OK"]),
        ("over-long=disconnect", &["<end>"]),
    ] {
        let (_bench, mut client) = watched(setting);
        client.ask(&exact, &[&note, "OK"]);
        client.send_raw(format!("{exact}y\nRELOAD\n").as_bytes());
        client.expect(after);
    }
}

#[test]
fn point_3_many_words() {
    for (setting, words) in [("word-limit=unlimited", 20), ("word-limit=sixteen", 15)] {
        let (_bench, mut client) = watched(setting);
        client.ask(
            &format!("NOTIFY{}", " x".repeat(20)),
            &[&format!("NOTE USER{}", " x".repeat(words)), "OK"],
        );
    }
}

#[test]
fn point_4_disabled_families() {
    for (setting, port, add) in [
        (
            "disabled-family=named",
            "FAIL disabled-address-family INET6",
            "FAIL disabled-address-family INET6",
        ),
        (
            "disabled-family=unknown",
            "FAIL unknown-address-family INET6",
            "FAIL resolve-error ::1",
        ),
    ] {
        let bench = bench(&[setting]);
        let mut client = bench.client();
        client.ask("PORT INET6", &[port]);
        client.ask("ADD x INET6 ::1", &[add]);
    }
}

#[test]
fn point_5_a_providers_death() {
    for (setting, order) in [
        (
            "provider-death=release-first",
            ["NOTE SVCRELEASE svc", "BGFAIL j provider-failed"],
        ),
        (
            "provider-death=failure-first",
            ["BGFAIL j provider-failed", "NOTE SVCRELEASE svc"],
        ),
    ] {
        let bench = bench(&[setting]);
        let mut provider = bench.client();
        provider.ask("SVCCLAIM svc 1", &["OK"]);
        let mut client = bench.watcher();
        client.ask("SVCSUBMIT -background j svc x", &["BGDETACH j"]);
        job(&mut provider);
        drop(provider);
        client.expect(&order);
    }
}

#[test]
fn point_6_services_of_a_half_closed_client() {
    for (setting, still) in [("half-close=final-close", true), ("half-close=eof", false)] {
        let bench = bench(&[setting]);
        let (mut provider, mut client) = (bench.client(), bench.client());
        let mut watcher = bench.watcher();
        provider.ask("SVCCLAIM svc 1", &["OK"]);
        watcher.expect(&["NOTE SVCCLAIM svc 1"]);
        client.ask("SVCSUBMIT -background j svc x", &["BGDETACH j"]);
        job(&mut provider);
        bench.lab.silence_peer("alice", true).unwrap();
        provider.ask("PING -background p -timeout 1h alice", &["BGDETACH p"]);
        provider.half_close();
        if still {
            watcher.ask("SVCENSURE svc", &["OK"]);
            client.nothing_more();
            // Its last job ends, it is closed, and then the service goes.
            watcher.ask(
                "KILL alice",
                &["NOTE KILL alice", "NOTE SVCRELEASE svc", "OK"],
            );
            client.expect(&["BGFAIL j provider-failed"]);
        } else {
            watcher.expect(&["NOTE SVCRELEASE svc"]);
            client.expect(&["BGFAIL j provider-failed"]);
            watcher.ask("KILL alice", &["NOTE KILL alice", "OK"]);
        }
        provider.expect(&["BGINFO p ping-peer-died", "BGOK p", "<end>"]);
    }
}

#[test]
fn point_7_cancelled_tags() {
    for (setting, answer) in [
        ("bgcancel=silent", &["OK"][..]),
        ("bgcancel=reported", &["BGFAIL p cancelled", "OK"]),
    ] {
        let bench = bench(&[setting]);
        let mut client = bench.client();
        bench.lab.silence_peer("alice", true).unwrap();
        client.ask("PING -background p -timeout 1h alice", &["BGDETACH p"]);
        client.ask("BGCANCEL p", answer);
        client.ask("BGCANCEL p", &["FAIL unknown-tag p"]);
    }
}

#[test]
fn point_8_ping_times() {
    for (setting, line) in [
        ("ping-format=tenths", "INFO ping-ok 0.0"),
        ("ping-format=whole", "INFO ping-ok 0"),
        ("ping-format=thousandths", "INFO ping-ok 0.000"),
    ] {
        bench(&[setting]).client().ask("PING alice", &[line, "OK"]);
    }
}

#[test]
fn point_9_broadcasts_and_answers() {
    let (_bench, mut client) = watched("broadcasts=last");
    client.ask("NOTIFY x", &["OK", "NOTE USER x"]);
    client.ask(
        "ADD -background a -cork bob 192.0.2.2",
        &[
            "BGDETACH a",
            "BGOK a",
            "NOTE ADD bob tripe1 INET 192.0.2.2 4070",
        ],
    );
    client.ask(
        "FORCEKX bob",
        &["OK", "NOTE KXSTART bob", "NOTE KXDONE bob"],
    );
    client.ask("KILL bob", &["OK", "NOTE KILL bob"]);
    client.ask("SVCCLAIM s 1", &["OK", "NOTE SVCCLAIM s 1"]);
    let (bench, mut client) = watched("broadcasts=first");
    client.ask("NOTIFY x", &["NOTE USER x", "OK"]);
    // Others see no difference.
    let mut other = bench.watcher();
    client.ask("NOTIFY y", &["NOTE USER y", "OK"]);
    other.expect(&["NOTE USER y"]);
}

#[test]
fn point_10_the_tag_of_a_knock() {
    let from = "127.0.0.9:5".parse().unwrap();
    for (setting, peer) in [("knock-tag=last-dot", "c"), ("knock-tag=first-dot", "b.c")] {
        let (bench, mut client) = watched(setting);
        bench.lab.fake_knock("a.b.c", from).unwrap();
        client.expect(&["NOTE KNOCK a.b.c INET 127.0.0.9 5"]);
        client.ask(
            &format!("ADD -cork -key {peer} known 192.0.2.9"),
            &["NOTE ADD known tripe1 INET 192.0.2.9 4070", "OK"],
        );
        bench.lab.fake_knock("a.b.c", from).unwrap();
        client.expect(&["NOTE NEWADDR known INET 127.0.0.9 5", "NOTE KXSTART known"]);
    }
}

#[test]
fn point_11_swapped_addresses() {
    for (setting, notes) in [
        (
            "address-swap=two-notes",
            &[
                "NOTE NEWADDR bob INET 192.0.2.1 4070",
                "NOTE NEWADDR alice INET 192.0.2.2 4070",
            ][..],
        ),
        (
            "address-swap=one-note",
            &["NOTE NEWADDR bob INET 192.0.2.1 4070"],
        ),
    ] {
        let (bench, mut client) = watched(setting);
        bench.client().ask("ADD -cork bob 192.0.2.2", &["OK"]);
        client.expect(&["NOTE ADD bob tripe1 INET 192.0.2.2 4070"]);
        assert!(
            bench
                .lab
                .move_peer("bob", "192.0.2.1:4070".parse().unwrap())
                .unwrap()
        );
        client.expect(notes);
        client.ask("ADDR alice", &["INFO INET 192.0.2.2 4070", "OK"]);
        client.ask("ADDR bob", &["INFO INET 192.0.2.1 4070", "OK"]);
        // To where it is already is no move.
        assert!(
            bench
                .lab
                .move_peer("bob", "192.0.2.1:4070".parse().unwrap())
                .unwrap()
        );
        client.nothing_more();
    }
}

#[test]
fn point_12_job_identifiers_are_opaque() {
    for setting in ["job-ids=plain", "job-ids=odd"] {
        let bench = bench(&[setting]);
        let (mut provider, mut client) = (bench.client(), bench.client());
        provider.ask("SVCCLAIM svc 1", &["OK"]);
        client.ask("SVCSUBMIT -background j svc x", &["BGDETACH j"]);
        let id = job(&mut provider);
        assert_eq!(id.starts_with('J'), setting == "job-ids=plain", "{id}");
        provider.ask(&format!("SVCINFO {id} x"), &["OK"]);
        provider.ask(&format!("SVCOK {id}"), &["OK"]);
        client.expect(&["BGINFO j x", "BGOK j"]);
    }
}

#[test]
fn point_13_quiet() {
    let strict = bench(&[]);
    let mut client = strict.client();
    client.ask("KILL -quiet alice", &["FAIL bad-syntax kill PEER"]);
    client.ask("FORCEKX -quiet alice", &["FAIL bad-syntax forcekx PEER"]);
    let lenient = bench(&["quiet-option=accepted"]);
    let mut client = lenient.client();
    client.ask("FORCEKX -quiet alice", &["OK"]);
    client.ask("KILL -quiet alice", &["OK"]);
    client.ask("KILL -nosuch alice", &["FAIL bad-syntax kill PEER"]);
}

#[test]
fn point_14_information_without_tokens() {
    for (setting, info, fail) in [
        ("empty-info=accepted", "OK", "OK"),
        (
            "empty-info=refused",
            r#"FAIL bad-syntax svcinfo "JOBID TOKENS ...""#,
            r#"FAIL bad-syntax svcfail "JOBID TOKENS ...""#,
        ),
    ] {
        let bench = bench(&[setting]);
        let (mut provider, mut client) = (bench.client(), bench.client());
        provider.ask("SVCCLAIM svc 1", &["OK"]);
        client.ask("SVCSUBMIT -background j svc x", &["BGDETACH j"]);
        let id = job(&mut provider);
        provider.ask(&format!("SVCINFO {id}"), &[info]);
        provider.ask(&format!("SVCFAIL {id}"), &[fail]);
        if info == "OK" {
            client.expect(&["BGINFO j", "BGFAIL j"]);
        }
    }
}

#[test]
fn point_15_knock_strings_in_peerinfo() {
    for (setting, second) in [
        (
            "peerinfo-knock=when-set",
            "INFO key=alice current-key=alice",
        ),
        ("peerinfo-knock=always", "INFO knock="),
    ] {
        let bench = bench(&[setting]);
        let mut client = bench.client();
        assert_eq!(client.answer("PEERINFO alice")[1], second);
    }
}

#[test]
fn point_16_corked_peers_and_forced_key_exchange() {
    for (setting, notes) in [
        ("forcekx-corked=uncorks", &["NOTE KXSTART bob", "OK"][..]),
        ("forcekx-corked=stays-corked", &["OK"]),
    ] {
        let (_bench, mut client) = watched(setting);
        client.ask(
            "ADD -cork bob 127.0.0.9",
            &["NOTE ADD bob tripe1 INET 127.0.0.9 4070", "OK"],
        );
        client.ask("FORCEKX bob", notes);
        let corked = if notes.len() == 1 { "t" } else { "nil" };
        let answer = client.answer("PEERINFO bob");
        let last = format!("INFO corked={corked} mobile=nil ephemeral=nil");
        assert_eq!(answer[answer.len() - 2], last);
    }
}

#[test]
fn goodbyes_to_ephemeral_peers_or_to_all() {
    for (setting, said) in [("bye=ephemeral", false), ("bye=everyone", true)] {
        let left = Bench::with(|config| {
            config.udp = vec!["127.0.0.2:0".parse().unwrap()];
            config.switches.apply(setting).unwrap();
        });
        let right = Bench::at("127.0.0.3:0");
        left.client()
            .ask(&format!("ADD right {}", right.words()), &["OK"]);
        right
            .client()
            .ask(&format!("ADD -ephemeral left {}", left.words()), &["OK"]);
        left.lab.wait_for_broadcast("NOTE KXDONE right").unwrap();
        right.lab.wait_for_broadcast("NOTE KXDONE left").unwrap();
        let mut follower = right.lab.follow();
        left.client().ask("KILL right", &["OK"]);
        if said {
            follower.broadcast("NOTE KILL left").unwrap();
        } else {
            // What comes after a goodbye would have come after it.
            left.client()
                .ask(&format!("ADD right {}", right.words()), &["OK"]);
            follower.broadcast("NOTE KXDONE left").unwrap();
            assert!(
                !right
                    .lab
                    .broadcasts()
                    .contains(&"NOTE KILL left".to_owned())
            );
        }
    }
}

#[test]
fn switches_can_be_set_by_control_command() {
    let bench = bench(&[]);
    let mut client = bench.watcher();
    client.ask("LAB SWITCH broadcasts=last ping-format=whole", &["OK"]);
    client.ask("NOTIFY x", &["OK", "NOTE USER x"]);
    client.ask("PING alice", &["INFO ping-ok 0", "OK"]);
    let answer = client.answer("LAB SWITCH broadcasts=first bye=nobody");
    assert!(answer[0].starts_with("FAIL bad-switch "), "{answer:?}");
    assert!(
        client
            .answer("LAB SHOW")
            .contains(&"INFO switch broadcasts=last".to_owned())
    );
}
