// SPDX-License-Identifier: GPL-3.0-or-later
//! Two lab servers on two loopback addresses, with real datagrams between them: pings, key
//! exchange, greetings, knocks, goodbyes, and peers that move (tripe-admin.md, 6.5 to 6.9).

#[cfg(test)]
mod common;

use common::{Bench, Client};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tripe_lab::What;
use tripe_lab::datagram::{Datagram, Echo};

/// Two servers that have each other as a peer, keys exchanged.
#[cfg(test)]
fn pair(left_options: &str, right_options: &str) -> (Bench, Bench) {
    let left = Bench::at("127.0.0.2:0");
    let right = Bench::at("127.0.0.3:0");
    let ok = ["OK"];
    left.client()
        .ask(&format!("ADD {left_options} right {}", right.words()), &ok);
    right
        .client()
        .ask(&format!("ADD {right_options} left {}", left.words()), &ok);
    left.lab.wait_for_broadcast("NOTE KXDONE right").unwrap();
    right.lab.wait_for_broadcast("NOTE KXDONE left").unwrap();
    (left, right)
}

/// The first line of an answer.
#[cfg(test)]
fn first(client: &mut Client, command: &str) -> String {
    let answer = client.answer(command);
    answer.first().cloned().unwrap_or_default()
}

/// A socket of nobody's, to send odd datagrams from.
#[cfg(test)]
fn stranger() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.77:0").unwrap();
    let patience = Some(Duration::from_secs(20));
    socket.set_read_timeout(patience).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, format!("INET {} {}", addr.ip(), addr.port()))
}

/// The next datagram that comes to a socket.
#[cfg(test)]
fn receive(socket: &UdpSocket) -> Datagram {
    let mut buffer = [0; 1_000];
    let (length, _) = socket.recv_from(&mut buffer).unwrap();
    Datagram::decode(&buffer[..length]).unwrap()
}

#[test]
fn keys_are_exchanged_and_both_pings_are_answered() {
    let (left, right) = pair("", "");
    let mut client = left.client();
    assert!(first(&mut client, "PING right").starts_with("INFO ping-ok "));
    assert!(first(&mut client, "EPING right").starts_with("INFO ping-ok "));
    let mut client = right.client();
    assert!(first(&mut client, "EPING left").starts_with("INFO ping-ok "));
}

#[test]
fn no_key_exchange_is_done_without_datagrams_both_ways() {
    let left = Bench::at("127.0.0.2:0");
    let right = Bench::at("127.0.0.3:0");
    // What the right one sends is lost, what it receives is not.
    right.client().ask("LAB NET loss=100", &["OK"]);
    left.client()
        .ask(&format!("ADD right {}", right.words()), &["OK"]);
    right
        .client()
        .ask(&format!("ADD left {}", left.words()), &["OK"]);
    // The second attempt begins when the first has failed.
    let mut follower = left.lab.follow_from_start();
    follower.broadcast("NOTE KXSTART right").unwrap();
    follower.broadcast("NOTE KXSTART right").unwrap();
    for bench in [&left, &right] {
        let done = |line: &String| line.starts_with("NOTE KXDONE");
        assert!(!bench.lab.broadcasts().iter().any(done));
    }
    left.client().ask("EPING right", &["FAIL ping-send-failed"]);
    right.client().ask("LAB NET loss=0", &["OK"]);
    follower.broadcast("NOTE KXDONE right").unwrap();
    right.lab.wait_for_broadcast("NOTE KXDONE left").unwrap();
}

#[test]
fn a_dead_server_does_not_answer_and_one_that_comes_back_does() {
    let (left, right) = pair("", "");
    let mut client = left.client();
    right.lab.crash();
    client.ask("PING -timeout 1 right", &["INFO ping-timeout", "OK"]);
    right.lab.start().unwrap();
    // It has forgotten its peers, so it hears but does not answer.
    client.ask("PING -timeout 1 right", &["INFO ping-timeout", "OK"]);
    right
        .lab
        .wait_for_broadcast(&format!("WARN PEER - unexpected-source {}", left.words()))
        .unwrap();
    let mut follower = left.lab.follow();
    right
        .client()
        .ask(&format!("ADD left {}", left.words()), &["OK"]);
    assert!(first(&mut client, "PING right").starts_with("INFO ping-ok "));
    // The left one has keys still, but not the new ones; the new exchange gives them to both.
    follower.broadcast("NOTE KXSTART right").unwrap();
    follower.broadcast("NOTE KXDONE right").unwrap();
    assert!(first(&mut client, "EPING right").starts_with("INFO ping-ok "));
}

#[test]
fn old_keys_mean_nothing_to_a_server_that_came_back() {
    let (left, right) = pair("", "");
    right.lab.restart().unwrap();
    right
        .client()
        .ask(&format!("ADD -cork left {}", left.words()), &["OK"]);
    left.client()
        .ask("EPING -timeout 1 right", &["INFO ping-timeout", "OK"]);
    right
        .lab
        .wait_for_broadcast("WARN PEER left decrypt-failed")
        .unwrap();
}

#[test]
fn a_corked_peer_waits_for_the_other_to_begin() {
    let left = Bench::at("127.0.0.2:0");
    let right = Bench::at("127.0.0.3:0");
    let mut client = left.watcher();
    client.ask(
        &format!("ADD -cork right {}", right.words()),
        &[&format!("NOTE ADD right tripe0 {}", right.words()), "OK"],
    );
    client.nothing_more();
    right
        .client()
        .ask(&format!("ADD left {}", left.words()), &["OK"]);
    client.expect(&["NOTE KXSTART right", "NOTE KXDONE right"]);
    right.lab.wait_for_broadcast("NOTE KXDONE left").unwrap();
}

#[test]
fn a_forced_exchange_is_seen_at_both_ends_and_pings_go_on() {
    let (left, right) = pair("", "");
    let mut follower = right.lab.follow();
    let mut client = left.watcher();
    client.ask(
        "FORCEKX right",
        &["NOTE KXSTART right", "OK", "NOTE KXDONE right"],
    );
    follower.broadcast("NOTE KXSTART left").unwrap();
    follower.broadcast("NOTE KXDONE left").unwrap();
    assert!(first(&mut client, "EPING right").starts_with("INFO ping-ok "));
    assert!(first(&mut right.client(), "EPING left").starts_with("INFO ping-ok "));
}

#[test]
fn an_impostor_gets_no_keys_where_identity_is_checked() {
    let left = Bench::with(|config| {
        config.udp = vec!["127.0.0.2:0".parse().unwrap()];
        config.check_identity = true;
    });
    let right = Bench::with(|config| {
        config.udp = vec!["127.0.0.3:0".parse().unwrap()];
        config.own_key = "mallory".to_owned();
    });
    left.client()
        .ask(&format!("ADD right {}", right.words()), &["OK"]);
    right
        .client()
        .ask(&format!("ADD left {}", left.words()), &["OK"]);
    left.lab
        .wait_for_broadcast("WARN KX right invalid challenge")
        .unwrap();
    assert!(!right.lab.peers().unwrap()[0].has_keys);
    // With the right private key it works.
    let mut client = right.client();
    client.ask("KILL left", &["OK"]);
    client.ask(&format!("ADD -priv right left {}", left.words()), &["OK"]);
    right.lab.wait_for_broadcast("NOTE KXDONE left").unwrap();
}

#[test]
fn a_greeting_comes_from_a_real_address() {
    let (left, right) = pair("", "");
    let mut passive = right.watcher();
    let challenge = first(&mut passive, "GETCHAL").replace("INFO ", "");
    let mut active = left.client();
    active.ask(&format!("GREET right {challenge}"), &["OK"]);
    passive.expect(&[&format!("NOTE GREET {challenge} {}", left.words())]);
    // A script of anybody's can send one too: it is the byte 0x25 and the raw challenge.
    let challenge = first(&mut passive, "GETCHAL").replace("INFO ", "");
    let mut packet = vec![0x25];
    packet.extend(
        data_encoding::BASE64_NOPAD
            .decode(challenge.as_bytes())
            .unwrap(),
    );
    let (socket, words) = stranger();
    socket.send_to(&packet, right.lab.udp_addr()).unwrap();
    passive.expect(&[&format!("NOTE GREET {challenge} {words}")]);
}

#[test]
fn knocks_repeat_until_answered_and_tokens_are_rationed() {
    let bench = Bench::at("127.0.0.2:0");
    let mut client = bench.client();
    client.ask("WATCH nw", &["OK"]);
    let (socket, words) = stranger();
    let to = bench.lab.udp_addr();
    let send = |datagram: Datagram| socket.send_to(&datagram.encode(), to).unwrap();
    send(Datagram::TokenRequest("gw.home".into()));
    let Datagram::Token(token) = receive(&socket) else {
        panic!("no token");
    };
    for _ in 0..3 {
        send(Datagram::Knock(token, 1, "gw.home".into()));
        client.expect(&[&format!("NOTE KNOCK gw.home {words}")]);
    }
    // A token is good for its name and its address alone.
    send(Datagram::Knock(token, 1, "gw.other".into()));
    client.expect(&["WARN KX - invalid knock"]);
    send(Datagram::Knock(token ^ 1, 1, "gw.home".into()));
    client.expect(&["WARN KX - invalid knock"]);
    // Of a flood of requests only some are answered. What is answered is answered in order, so
    // the first ping's answer comes after all tokens there will be.
    client.ask(
        &format!("ADD -cork stranger {words}"),
        &[&format!("NOTE ADD stranger tripe0 {words}"), "OK"],
    );
    for _ in 0..200 {
        send(Datagram::TokenRequest("gw.home".into()));
    }
    send(Datagram::Ping(Echo { id: 1, cookie: 2 }));
    let mut tokens = 0;
    loop {
        match receive(&socket) {
            Datagram::Token(_) => tokens += 1,
            Datagram::Pong(_) => break,
            _ => {}
        }
    }
    assert!((1..100).contains(&tokens), "{tokens}");
}

#[test]
fn a_knock_of_a_known_peer_moves_it_and_goes_on_with_key_exchange() {
    let gateway = Bench::at("127.0.0.2:0");
    let home = Bench::at("127.0.0.3:0");
    let mut client = gateway.watcher();
    let elsewhere = "INET 127.0.0.99 9";
    client.ask(
        &format!("ADD -cork -key home gw {elsewhere}"),
        &[&format!("NOTE ADD gw tripe0 {elsewhere}"), "OK"],
    );
    home.client().ask(
        &format!("ADD -knock x.home hub {}", gateway.words()),
        &["OK"],
    );
    client.expect(&[
        &format!("NOTE NEWADDR gw {}", home.words()),
        "NOTE KXSTART gw",
        "NOTE KXDONE gw",
    ]);
    home.lab.wait_for_broadcast("NOTE KXDONE hub").unwrap();
}

#[test]
fn a_knock_under_a_key_nobody_has_is_a_warning() {
    let gateway = Bench::with(|config| {
        config.udp = vec!["127.0.0.2:0".parse().unwrap()];
        config.public_keys = tripe_lab::config::KeySet::Only(["other".to_owned()].into());
    });
    let home = Bench::at("127.0.0.3:0");
    home.client().ask(
        &format!("ADD -knock x.home hub {}", gateway.words()),
        &["OK"],
    );
    gateway
        .lab
        .wait_for_broadcast("WARN KEYMGMT public-key home not-found")
        .unwrap();
}

#[test]
fn goodbye_ends_an_ephemeral_peer_and_no_other() {
    let (left, right) = pair("-ephemeral", "-ephemeral");
    left.client().ask("KILL right", &["OK"]);
    right.lab.wait_for_broadcast("NOTE KILL left").unwrap();
    assert!(right.lab.peers().unwrap().is_empty());
    // Nothing came back for the goodbye: the left one would have warned of it.
    let unexpected = |line: &String| line.contains("unexpected-source");
    assert!(!left.lab.broadcasts().iter().any(unexpected));

    let (left, right) = pair("-ephemeral", "");
    let mut follower = right.lab.follow();
    left.client().ask("KILL right", &["OK"]);
    follower
        .next("goodbye", |what| matches!(what, What::Received(_, "bye")))
        .unwrap();
    assert_eq!(right.lab.peers().unwrap().len(), 1);
}

#[test]
fn goodbye_is_said_on_shutdown_and_not_on_a_crash() {
    let (left, right) = pair("-ephemeral", "-ephemeral");
    left.lab.shutdown();
    right.lab.wait_for_broadcast("NOTE KILL left").unwrap();

    let (left, right) = pair("-ephemeral", "-ephemeral");
    left.lab.crash();
    right
        .client()
        .ask("PING -timeout 1 left", &["INFO ping-timeout", "OK"]);
    assert_eq!(right.lab.peers().unwrap().len(), 1);
}

#[test]
fn packets_cross_the_tunnel() {
    let (left, right) = pair("", "");
    assert!(left.lab.send_packet("right", b"hello").unwrap());
    right
        .lab
        .wait_for("a packet", |what| {
            *what == What::Packet("left".into(), b"hello".to_vec())
        })
        .unwrap();
    let answer = right.client().answer("STATS left");
    assert!(answer.contains(&"INFO ip-packets-in=1 ip-bytes-in=5".to_owned()));
    left.client().ask("ADD -cork bob INET 127.0.0.9 9", &["OK"]);
    assert!(!left.lab.send_packet("bob", b"hello").unwrap());
}

#[test]
fn a_mobile_peer_is_followed_and_another_is_not() {
    for (options, followed) in [("-mobile", true), ("", false)] {
        let (left, right) = pair("", options);
        let mut watcher = right.client();
        watcher.ask("WATCH nw", &["OK"]);
        // The left one's next packet, as from another address.
        let roamed: SocketAddr = "127.0.0.2:9".parse().unwrap();
        let packet = left
            .lab
            .with_server(|server| server.next_packet("right", b"roaming"))
            .unwrap()
            .unwrap();
        right.lab.fake_datagram(roamed, &packet).unwrap();
        if followed {
            watcher.expect(&["NOTE NEWADDR left INET 127.0.0.2 9"]);
            right
                .lab
                .wait_for("the packet", |what| {
                    *what == What::Packet("left".into(), b"roaming".to_vec())
                })
                .unwrap();
            // From the same address again: nothing to tell.
            right.lab.fake_datagram(roamed, &packet).unwrap();
            watcher.nothing_more();
        } else {
            watcher.expect(&["WARN PEER - unexpected-source INET 127.0.0.2 9"]);
        }
    }
}

#[test]
fn two_mobile_peers_swap_addresses() {
    let (left, right) = pair("", "-mobile");
    let mut watcher = right.watcher();
    watcher.ask(
        "ADD -cork -mobile other INET 127.0.0.2 9",
        &["NOTE ADD other tripe1 INET 127.0.0.2 9", "OK"],
    );
    let packet = left
        .lab
        .with_server(|server| server.next_packet("right", b"roaming"))
        .unwrap()
        .unwrap();
    right
        .lab
        .fake_datagram("127.0.0.2:9".parse().unwrap(), &packet)
        .unwrap();
    watcher.expect(&[
        "NOTE NEWADDR left INET 127.0.0.2 9",
        &format!("NOTE NEWADDR other {}", left.words()),
    ]);
}

#[test]
fn odd_packets_are_warned_of_in_the_servers_words() {
    let bench = Bench::at("127.0.0.2:0");
    let mut client = bench.client();
    client.ask("WATCH w", &["OK"]);
    let (socket, words) = stranger();
    let to = bench.lab.udp_addr();
    socket.send_to(b"\x99", to).unwrap();
    client.expect(&[&format!("WARN PEER - unexpected-source {words}")]);
    client.ask(&format!("ADD -cork odd {words}"), &["OK"]);
    let echo = Echo {
        id: 0xab,
        cookie: 1,
    };
    for (bytes, warning) in [
        (Vec::new(), "bad-packet no-type"),
        (vec![0x99], "bad-packet unknown-category 0x99"),
        (b"\xf7TL\xee".to_vec(), "bad-packet unknown-type 0xee"),
        (b"\xf7TL\x01".to_vec(), "malformed-transport-ping"),
        (
            Datagram::Pong(echo).encode(),
            "unexpected-transport-ping 0x000000ab",
        ),
        (Datagram::Data(5, vec![1]).encode(), "decrypt-failed"),
        (Datagram::EncryptedPong(5, echo).encode(), "decrypt-failed"),
    ] {
        socket.send_to(&bytes, to).unwrap();
        client.expect(&[&format!("WARN PEER odd {warning}")]);
    }
    // A reply with the right number and the wrong contents.
    client.send("PING -background p -timeout 1h odd");
    client.expect(&["BGDETACH p"]);
    let echo = loop {
        if let Datagram::Ping(echo) = receive(&socket) {
            break echo;
        }
    };
    let corrupt = Echo {
        cookie: echo.cookie ^ 1,
        ..echo
    };
    socket
        .send_to(&Datagram::Pong(corrupt).encode(), to)
        .unwrap();
    client.expect(&["WARN PEER odd corrupt-transport-ping"]);
    socket.send_to(&Datagram::Pong(echo).encode(), to).unwrap();
    assert!(client.line().starts_with("BGINFO p ping-ok "));
    client.expect(&["BGOK p"]);
    let answer = client.answer("STATS odd");
    assert!(
        answer.contains(&"INFO rejected-packets=6".to_owned()),
        "{answer:?}"
    );
}

#[test]
fn a_quiet_peer_is_sent_a_packet_now_and_then() {
    let bench = Bench::at("127.0.0.2:0");
    let (socket, words) = stranger();
    bench
        .client()
        .ask(&format!("ADD -cork -keepalive 1 far {words}"), &["OK"]);
    for _ in 0..3 {
        assert_eq!(receive(&socket), Datagram::Nop);
    }
}

#[test]
fn nothing_leaves_the_loopback_interface_unasked() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.ask("ADD far INET 198.51.100.1", &["OK"]);
    client.ask("PING -timeout 1 far", &["INFO ping-timeout", "OK"]);
    let sent = |event: &tripe_lab::Event| matches!(event.what, What::Transmitted(..));
    assert!(!bench.lab.events().iter().any(sent));
}
