// SPDX-License-Identifier: GPL-3.0-or-later
//! Faults on demand, by handle and by control command: each does what it says, and what it does not
//! touch goes on.

#[cfg(test)]
mod common;

use common::{Bench, Client};
use std::time::Duration;
use tripe_lab::What;
use tripe_lab::faults::{Chance, NetFaults, Refusal, WriteFaults};
use tripe_lab::server::Target;

/// A server with a reflecting peer `alice` that has keys.
#[cfg(test)]
fn bench() -> Bench {
    let bench = Bench::with(|config| config.reflect = "192.0.2.0/24".parse().ok());
    bench.client().ask("ADD alice INET 192.0.2.1", &["OK"]);
    bench.lab.wait_for_broadcast("NOTE KXDONE alice").unwrap();
    bench
}

/// The number of the client that connects next.
#[cfg(test)]
fn numbered(bench: &Bench) -> (Client, Target) {
    let mut follower = bench.lab.follow();
    let client = bench.client();
    let event = follower
        .next("a client", |what| matches!(what, What::Connected(_)))
        .unwrap();
    match event.what {
        What::Connected(id) => (client, Target::One(id)),
        _ => (client, Target::All),
    }
}

#[test]
fn answers_written_byte_by_byte_are_the_same_answers() {
    let bench = bench();
    let mut client = bench.client();
    let plain = client.answer("PEERINFO alice");
    bench
        .lab
        .set_write_faults(WriteFaults {
            chunk: 1,
            pause: Duration::ZERO,
        })
        .unwrap();
    assert_eq!(client.answer("PEERINFO alice"), plain);
    client.ask("LAB WRITE chunk=3 pause=1", &["OK"]);
    client.ask("LIST", &["INFO alice", "OK"]);
    client.ask("LAB WRITE chunk=0", &["OK"]);
}

#[test]
fn a_connection_is_cut_in_the_middle_of_a_line() {
    let bench = bench();
    let (mut client, target) = numbered(&bench);
    client.ask("SVCCLAIM svc 1", &["OK"]);
    bench.lab.cut_in_next_line(target).unwrap();
    client.ask("LIST", &["INFO <no newline>"]);
    client.expect(&["<end>"]);
    // The server has forgotten it.
    bench.lab.wait_for_broadcast("NOTE SVCRELEASE svc").unwrap();
}

#[test]
fn a_connection_is_cut_at_once() {
    let bench = bench();
    let (mut client, target) = numbered(&bench);
    let mut other = bench.client();
    client.ask("SVCCLAIM svc 1", &["OK"]);
    bench.lab.cut(target).unwrap();
    client.expect(&["<end>"]);
    other.ask("SVCLIST", &["OK"]);
}

#[test]
fn a_stalled_client_neither_is_read_from_nor_hears() {
    let bench = bench();
    let (mut client, target) = numbered(&bench);
    client.ask("WATCH n", &["OK"]);
    bench.lab.stall(target, true).unwrap();
    let mut follower = bench.lab.follow();
    client.send("NOTIFY from the stalled one");
    bench.client().ask("NOTIFY from the other", &["OK"]);
    follower.broadcast("NOTE USER from the other").unwrap();
    bench.lab.stall(target, false).unwrap();
    follower
        .broadcast("NOTE USER from the stalled one")
        .unwrap();
    client.expect(&[
        "NOTE USER from the other",
        "NOTE USER from the stalled one",
        "OK",
    ]);
    // All, and those that come later as well.
    bench.lab.stall(Target::All, true).unwrap();
    let mut late = bench.client();
    late.send("NOTIFY late");
    bench.lab.stall(Target::All, false).unwrap();
    client.expect(&["NOTE USER late"]);
    late.expect(&["OK"]);
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let bench = Bench::with(|config| config.max_output = 100_000);
    let mut deaf = bench.client();
    deaf.ask("WATCH n", &["OK"]);
    let mut loud = bench.client();
    loud.ask("WATCH w", &["OK"]);
    let note = format!("NOTIFY {}", "x".repeat(200));
    // What the system buffers is beyond our knowledge, so this goes on until it is full.
    loop {
        loud.send(&note);
        match loud.line().as_str() {
            "OK" => {}
            line => {
                assert_eq!(
                    line,
                    r#"WARN ADMIN client-write-error E105 "No buffer space available""#
                );
                break;
            }
        }
    }
    loud.expect(&["OK"]);
    assert_eq!(bench.lab.clients().unwrap().len(), 1);
}

#[test]
fn garbage_and_over_long_lines_come_as_asked() {
    let bench = bench();
    let (mut client, target) = numbered(&bench);
    bench.lab.inject_bytes(target, b"\xff\0half ").unwrap();
    bench.lab.inject_line(target, "a line").unwrap();
    assert_eq!(client.raw_line(), b"\xff\0half a line");
    client.ask(
        "LAB LONG all 70000",
        &[&format!("WARN USER {}", "x".repeat(69_990)), "OK"],
    );
    client.send("LAB GARBAGE all 1000");
    assert_eq!(client.raw_line().len(), 1_000);
    client.expect(&["OK"]);
    client.ask("LAB SAY all 'NOTE ADD'", &["NOTE ADD", "OK"]);
    client.ask("LAB SAY 99 x", &["FAIL unknown-client 99"]);
}

#[test]
fn commands_are_refused_as_told() {
    let bench = bench();
    let mut client = bench.client();
    bench
        .lab
        .refuse(Refusal {
            words: vec!["alice".into()],
            failure: vec!["my-code".into(), "two words".into()],
            detach: true,
            times: Some(2),
            ..Refusal::of("eping", "")
        })
        .unwrap();
    client.ask("PING alice", &["INFO ping-ok 0.0", "OK"]);
    client.ask("EPING bob", &["FAIL unknown-peer bob"]);
    client.ask(
        "EPING -background t alice",
        &["BGDETACH t", r#"BGFAIL t my-code "two words""#],
    );
    client.ask("EPING alice", &[r#"FAIL my-code "two words""#]);
    client.ask("EPING alice", &["INFO ping-ok 0.0", "OK"]);
    client.ask("LAB REFUSE -times 1 -with alice addr gone away", &["OK"]);
    client.ask("LAB REFUSE list never", &["OK"]);
    client.ask("ADDR alice", &["FAIL gone away"]);
    client.ask("ADDR alice", &["INFO INET 192.0.2.1 4070", "OK"]);
    client.ask("LIST", &["FAIL never"]);
    client.ask("LAB ALLOW", &["OK"]);
    client.ask("LIST", &["INFO alice", "OK"]);
    // A service can be refused before it is even there.
    client.ask(
        "LAB REFUSE -with connect SVCCLAIM service-exists connect 9.9",
        &["OK"],
    );
    client.ask(
        "SVCCLAIM connect 2.0.0",
        &["FAIL service-exists connect 9.9"],
    );
}

#[test]
fn a_lossy_network_loses_and_a_paused_one_loses_all() {
    let bench = bench();
    let mut client = bench.client();
    client.ask("LAB NET loss=100", &["OK"]);
    client.ask("PING -timeout 1 alice", &["INFO ping-timeout", "OK"]);
    client.ask("LAB NET loss=0", &["OK"]);
    client.ask("PING -timeout 1 alice", &["INFO ping-ok 0.0", "OK"]);
    bench.lab.pause_network().unwrap();
    client.ask("PING -timeout 1 alice", &["INFO ping-timeout", "OK"]);
    bench.lab.resume_network().unwrap();
    client.ask("PING -timeout 1 alice", &["INFO ping-ok 0.0", "OK"]);
    client.ask("LAB NET loss=x", &["FAIL bad-value loss=x"]);
    client.ask("LAB NET loss", &["FAIL bad-value loss"]);
}

#[test]
fn half_of_the_pings_are_lost_and_the_seed_says_which() {
    let run = |seed| {
        let bench = Bench::with(|config| {
            config.seed = seed;
            config.reflect = "192.0.2.0/24".parse().ok();
            config.faults.net.loss = Chance::percent(30);
        });
        let mut client = bench.client();
        client.ask("ADD -cork alice INET 192.0.2.1", &["OK"]);
        let mut answers = Vec::new();
        for _ in 0..20 {
            let answer = client.answer("PING -timeout 0 alice");
            answers.push(answer[0].clone());
        }
        answers
    };
    let first = run(7);
    assert_eq!(first, run(7));
    assert_ne!(first, run(8));
    assert!(first.contains(&"INFO ping-timeout".to_owned()));
    assert!(first.contains(&"INFO ping-ok 0.0".to_owned()));
}

#[test]
fn delayed_doubled_and_disordered_datagrams_still_make_a_session() {
    let hard = NetFaults {
        loss: Chance::percent(20),
        duplicate: Chance::percent(30),
        reorder: Chance::percent(30),
        delay: Duration::from_millis(2),
        jitter: Duration::from_millis(5),
        paused: false,
    };
    for seed in 1..4 {
        let start = |addr: &str| {
            Bench::with(|config| {
                config.seed = seed;
                config.udp = vec![addr.parse().unwrap()];
                config.faults.net = hard;
            })
        };
        let (left, right) = (start("127.0.0.2:0"), start("127.0.0.3:0"));
        left.client()
            .ask(&format!("ADD right {}", right.words()), &["OK"]);
        right
            .client()
            .ask(&format!("ADD left {}", left.words()), &["OK"]);
        left.lab.wait_for_broadcast("NOTE KXDONE right").unwrap();
        right.lab.wait_for_broadcast("NOTE KXDONE left").unwrap();
        // Of many pings some come through, and each has an end.
        let mut client = left.client();
        let mut good = 0;
        for _ in 0..30 {
            let answer = client.answer("EPING -timeout 2 right");
            assert_eq!(answer.len(), 2, "seed {seed}: {answer:?}");
            good += usize::from(answer[0].starts_with("INFO ping-ok"));
        }
        assert!(good > 5, "seed {seed}: {good} of 30");
    }
}

#[test]
fn a_delay_shows_in_the_ping_time() {
    let bench = bench();
    let mut client = bench.client();
    client.ask("LAB NET delay=20", &["OK"]);
    let answer = client.answer("PING alice");
    let millis: f64 = answer[0].replace("INFO ping-ok ", "").parse().unwrap();
    assert!(millis >= 20.0, "{millis}");
}

#[test]
fn a_restart_forgets_everything_and_keeps_its_addresses() {
    let bench = bench();
    let mut client = bench.client();
    let (path, addr) = (bench.lab.socket_path().to_owned(), bench.lab.udp_addr());
    client.ask("SVCCLAIM svc 1", &["OK"]);
    bench.lab.restart().unwrap();
    assert!(matches!(client.try_line(), Ok(None) | Err(_)));
    let mut client = Client::connect(&path);
    client.ask("LIST", &["OK"]);
    client.ask("SVCLIST", &["OK"]);
    assert_eq!(bench.lab.udp_addr(), addr);
    let mut follower = bench.lab.follow();
    client.send("LAB RESTART");
    follower
        .next("restart", |what| *what == What::Restarting)
        .unwrap();
    follower
        .next("start", |what| *what == What::Started)
        .unwrap();
    let mut client = bench.client();
    client.ask("LIST", &["OK"]);
    assert_eq!(bench.lab.udp_addr(), addr);
    // Faults and switches stay: they are the lab's and not the server's.
    client.ask("LAB REFUSE LIST no", &["OK"]);
    client.ask("LAB SWITCH broadcasts=last", &["OK"]);
    bench.lab.restart().unwrap();
    let mut client = bench.watcher();
    client.ask("LIST", &["FAIL no"]);
    client.ask("NOTIFY x", &["OK", "NOTE USER x"]);
}

#[test]
fn a_crash_says_nothing_and_a_shutdown_says_all() {
    let bench = bench();
    let mut client = bench.client();
    client.ask("WATCH A", &["OK"]);
    bench.lab.shutdown_by("SIGTERM");
    client.expect(&[
        "WARN SERVER quit signal SIGTERM",
        "NOTE KILL alice",
        "<end>",
    ]);
    assert!(!bench.lab.is_running());
    bench.lab.start().unwrap();
    let mut client = bench.client();
    client.ask("WATCH A", &["OK"]);
    client.ask(
        "ADD alice INET 192.0.2.1",
        &[
            "NOTE ADD alice tripe0 INET 192.0.2.1 4070",
            "NOTE KXSTART alice",
            "OK",
            "NOTE KXDONE alice",
        ],
    );
    client.send("LAB CRASH");
    assert!(matches!(
        client.try_line().unwrap().as_deref(),
        None | Some("OK")
    ));
    bench
        .lab
        .wait_for("the end", |what| *what == What::Stopped)
        .unwrap();
}

#[test]
fn two_servers_cannot_share_a_socket() {
    let bench = bench();
    let config = tripe_lab::LabConfig::new(bench.lab.socket_path());
    let error = tripe_lab::Lab::start(config).unwrap_err().to_string();
    assert!(error.contains("another server listens"), "{error}");
}

#[test]
fn the_control_command_is_hidden_and_can_be_forbidden() {
    let bench = bench();
    let mut client = bench.client();
    assert!(
        !client
            .answer("HELP")
            .iter()
            .any(|line| line.contains("lab"))
    );
    assert!(client.answer("LAB").len() > 20);
    client.ask("lab seed", &["INFO seed=1", "OK"]);
    client.ask("LAB NOSUCH", &["FAIL unknown-lab-command NOSUCH"]);
    client.ask(
        "LAB MOVE alice",
        &[r#"FAIL bad-syntax "lab MOVE" "PEER ADDR:PORT""#],
    );
    let strict = Bench::with(|config| config.control = false);
    strict
        .client()
        .ask("LAB SEED", &["FAIL unknown-command LAB"]);
}

#[test]
fn things_that_never_happened() {
    let bench = bench();
    let mut client = bench.client();
    client.ask("WATCH nw", &["OK"]);
    client.ask(
        "LAB KNOCK a.b 127.0.0.9:5",
        &["NOTE KNOCK a.b INET 127.0.0.9 5", "OK"],
    );
    client.ask("LAB BROADCAST 'NOTE FUTURE x'", &["NOTE FUTURE x", "OK"]);
    client.ask(
        "LAB MOVE alice 192.0.2.77:9",
        &["NOTE NEWADDR alice INET 192.0.2.77 9", "OK"],
    );
    let challenge = client.answer("GETCHAL")[0].replace("INFO ", "");
    let note = format!("NOTE GREET {challenge} INET 127.0.0.9 5");
    client.ask(
        &format!("LAB GREETING {challenge} 127.0.0.9:5"),
        &[&note, "OK"],
    );
    client.ask("LAB BYE alice", &["NOTE KILL alice", "OK"]);
    client.ask("LAB BYE alice", &["FAIL unknown-peer alice"]);
    bench
        .lab
        .fake_broadcast("WARN KX alice decrypt-failed")
        .unwrap();
    client.expect(&["WARN KX alice decrypt-failed"]);
    assert_eq!(bench.lab.control("SEED").unwrap(), ["seed=1"]);
    assert!(bench.lab.control("BYE alice").is_err());
}
