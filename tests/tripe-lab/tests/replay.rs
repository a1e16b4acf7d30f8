// SPDX-License-Identifier: GPL-3.0-or-later
//! The server's inputs and outputs as JSON: each form of them is read back as it was written, and a
//! server that draws lots all the time draws the same again.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tripe_lab::LabConfig;
use tripe_lab::faults::{Chance, Faults, Refusal};
use tripe_lab::server::{ClientId, Control, DeviceId, Harm, Input, Output, Server, Target, Watch};

fn addr() -> SocketAddr {
    ([127, 0, 0, 1], 1_000).into()
}

fn controls() -> Vec<Control> {
    let mut faults = Faults::default();
    faults.net.loss = Chance::percent(30);
    faults.net.jitter = Duration::from_millis(7);
    faults.add_refusal(Refusal::of("PING", "no"));
    let peer = || String::from("a");
    vec![
        Control::Command(vec!["NET".into(), "duplicate=10".into()]),
        Control::Faults(faults),
        Control::Harm(Target::One(ClientId(1)), Harm::Stall(true)),
        Control::Harm(Target::All, Harm::Send(vec![0, 255])),
        Control::Harm(Target::All, Harm::Cut),
        Control::Harm(Target::All, Harm::CutInNextLine),
        Control::Broadcast("NOTE x".into()),
        Control::Knock {
            name: peer(),
            from: addr(),
        },
        Control::Move {
            peer: peer(),
            to: addr(),
        },
        Control::Bye { peer: peer() },
        Control::Silence {
            peer: peer(),
            silent: true,
        },
        Control::Name {
            host: "hub.example.com".into(),
            address: addr().ip(),
        },
        Control::Packet {
            peer: peer(),
            packet: vec![1, 2],
        },
    ]
}

#[test]
fn every_input_and_output_is_read_back_from_json() {
    let client = ClientId(1);
    let device = DeviceId(0);
    let line = |bytes: &'static [u8]| Input::Line(client, Cow::Borrowed(bytes));
    let mut inputs = vec![
        Input::Connect(client, Watch::STDIO),
        line(b"LIST"),
        line(b"no UTF-8: \xff\xfe, and \xf4\x8f\xba\x80"),
        Input::Eof(client),
        Input::HangUp(client),
        Input::Gone(client, 32),
        Input::Closed(client),
        Input::Datagram(addr(), vec![0x25, 0xff].into()),
        Input::SendFailed(addr(), 101),
        Input::DeviceOpened(device, "tun0".into()),
        Input::DeviceFailed(device, 1),
        Input::FromDevice(device, vec![7].into()),
        Input::Tick,
        Input::Quit(vec!["signal".into(), "SIGTERM".into()]),
    ];
    inputs.extend(controls().into_iter().map(Input::Control));
    for input in inputs {
        let text = serde_json::to_string(&input).unwrap();
        assert_eq!(serde_json::from_str::<Input<'_>>(&text).unwrap(), input);
    }
    for output in [
        Output::Line(client, "OK".into()),
        Output::Broadcast("NOTE x".into()),
        Output::Close(client),
        Output::Resume(client),
        Output::Datagram(addr(), vec![1, 2, 3]),
        Output::OpenDevice(device, "tripe".into()),
        Output::CloseDevice(device),
        Output::ToDevice(device, vec![9]),
        Output::Packet("a".into(), Vec::new()),
        Output::Controlled(vec!["seed=1".into()]),
        Output::ControlFailed("unknown-peer a".into()),
        Output::Stop,
        Output::Restart,
        Output::Crash,
        Output::Harm(Target::All, Harm::CutInNextLine),
    ] {
        let text = serde_json::to_string(&output).unwrap();
        assert_eq!(serde_json::from_str::<Output>(&text).unwrap(), output);
    }
    let line = serde_json::to_string(&line(b"ADD a")).unwrap();
    assert_eq!(line, r#"{"line":[1,"ADD a"]}"#);
}

/// What a server of this seed says to many pings over a bad network, as JSON.
fn drawn(seed: u64) -> serde_json::Result<Vec<String>> {
    let config = LabConfig {
        seed,
        reflect: "192.0.2.0/24".parse().ok(),
        ..LabConfig::new("/nonexistent")
    };
    let mut server = Server::new(config, vec![addr()], 0, SystemTime::UNIX_EPOCH);
    let mut outputs = Vec::new();
    let mut now = Duration::ZERO;
    let watch = Watch {
        traces: true,
        notes: true,
        warnings: true,
    };
    server.handle(Input::Connect(ClientId(1), watch), now, &mut outputs);
    let mut lines: Vec<String> = [
        "LAB NET loss=30 duplicate=20 jitter=50 reorder=10",
        "GETCHAL",
    ]
    .map(String::from)
    .to_vec();
    for peer in 0..20 {
        lines.push(format!("ADD p{peer} 192.0.2.{peer}"));
        lines.push(format!("ADD q{peer} 127.0.0.1 {}", 2_000 + peer));
        for ping in 0..5 {
            lines.push(format!("PING -background {ping}-{peer} p{peer}"));
            lines.push(format!("EPING -background {ping}-q{peer} q{peer}"));
        }
    }
    // Many things at once end with a peer, with a client and with the server.
    lines.extend(["LAB BYE p3", "KILL q4", "QUIT"].map(String::from));
    for line in lines {
        server.handle(
            Input::Line(ClientId(1), line.as_bytes().into()),
            now,
            &mut outputs,
        );
        if let Some(next) = server.next_deadline() {
            now = now.max(next.min(now + Duration::from_millis(20)));
            server.handle(Input::Tick, now, &mut outputs);
        }
    }
    outputs.iter().map(serde_json::to_string).collect()
}

#[test]
fn lots_are_drawn_from_the_seed_alone() {
    let first = drawn(1).unwrap();
    assert_eq!(first.last().map(String::as_str), Some(r#""stop""#));
    for _ in 0..5 {
        assert_eq!(drawn(1).unwrap(), first);
    }
    assert_ne!(drawn(2).unwrap(), first);
}
