// SPDX-License-Identifier: GPL-3.0-or-later
//! How `top` looks on screens of every size, and how it scrolls.

use connect_ipc::control::{PeerState, PeerStatus, ServiceStatus};
use connect_ipc::event::{Event, EventKind};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};
use serde_json::json;

use super::model::Model;
use super::view;

fn service() -> ServiceStatus {
    let helper = json!({"connected": true, "connections": 1, "pid": 1, "version": "2.0.0"});
    serde_json::from_value(json!({
        "schema": 1, "version": "2.0.0", "pid": 1, "uptime": 60, "socket": "/run/tripesock",
        "server": "up", "database": {"path": "peers.cdb", "peers": 30, "fault": null, "origin": "file"},
        "pinger": helper, "scripts": helper,
    }))
    .unwrap()
}

fn peers(count: usize) -> Vec<PeerStatus> {
    let peer = |at: usize| {
        let state = if at == 1 { "down" } else { "up" };
        serde_json::from_value(json!({
            "name": format!("peer{at:02}"), "state": state, "wanted": true,
            "address": "INET 192.0.2.1 4070", "interface": "tripe0", "failures": 0, "failed-checks": 0,
            "next-ping-ms": 5000, "age": 60,
            "statistics": {"replies": 9, "lost": 1, "last": {"reply": 1.5}, "min": 1.0, "max": 2.0,
                "mean": 1.5, "spread": 0.5},
        }))
        .unwrap()
    };
    (0..count).map(peer).collect()
}

fn model(count: usize) -> Model {
    Model::new(service(), peers(count))
}

/// What a screen of this size shows.
fn drawn(model: &mut Model, width: u16, height: u16, colour: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| view::draw(model, colour, frame))
        .unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let line = |y| {
        let cells = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..buffer.area.height).map(line).collect()
}

fn press(model: &mut Model, code: KeyCode) {
    model.key(KeyEvent::new(code, KeyModifiers::NONE));
}

/// The rows of the list, in the order of the screen.
fn listed(model: &mut Model, height: u16) -> Vec<String> {
    let lines = lines(&drawn(model, 20, height, false));
    let rows = lines.iter().filter(|line| line.contains("peer"));
    let name = |row: &String| row.chars().take("> peer00".len()).collect();
    rows.map(name).collect()
}

#[test]
fn every_size_is_drawn_whatever_is_shown() {
    for count in [0, 1, 30] {
        let mut model = model(count);
        for step in 0..3 {
            match step {
                1 => press(&mut model, KeyCode::Char('k')),
                2 => press(&mut model, KeyCode::Char('i')),
                _ => {}
            }
            for width in [1, 2, 3, 10, 20, 60, 80, 200] {
                for height in [1, 2, 3, 4, 5, 9, 10, 24, 60] {
                    drawn(&mut model, width, height, true);
                }
            }
        }
    }
}

#[test]
fn a_very_small_screen_shows_the_most_important() {
    let small = lines(&drawn(&mut model(3), 20, 5, false));
    let expected = [
        "2/3 up; server up",
        "  PEER▾    STATE",
        "> peer00   up",
        "  peer01   down",
        "i info k kick q quit",
    ];
    assert_eq!(small, expected);
}

#[test]
fn a_wide_screen_has_more_columns_and_uses_its_last() {
    let mut model = model(3);
    for _ in 0..300 {
        let kind = EventKind::Reply { millis: 1.5 };
        model.event(&event(9, kind));
    }
    let narrow = lines(&drawn(&mut model, 80, 24, false)).join("\n");
    assert!(!narrow.contains("ADDRESS"), "{narrow}");
    let wide = lines(&drawn(&mut model, 160, 24, false));
    let row = wide.iter().find(|line| line.contains("peer00")).unwrap();
    assert!(row.contains("192.0.2.1:4070"), "{row}");
    assert_eq!(row.chars().count(), 160, "{row}");
}

#[test]
fn faults_of_all_scripts_together_are_at_the_top() {
    let mut model = model(3);
    model.service.scripts = serde_json::from_value(json!({
        "connected": true, "connections": 1, "pid": 1, "version": "2.0.0",
        "journal-fault": {"fault": "cannot write runs: no storage space; make room", "seconds": 80},
        "lanes": {"interface": {"running": 64, "waiting": 9, "full": 125}},
    }))
    .unwrap();
    let lines = lines(&drawn(&mut model, 240, 24, false));
    assert!(lines[0].contains("journal of scripts at fault for 1m20s"));
    let journal = "! the journal of scripts has had a fault for 1m20s";
    assert!(lines[1].starts_with(journal), "{lines:?}");
    let places = "! 64 ifup and ifdown scripts are under way, which is the limit";
    assert!(lines[2].starts_with(places), "{lines:?}");
}

fn event(seq: u64, kind: EventKind) -> Event {
    Event {
        seq,
        at_ms: 1_700_000_000_123,
        peer: Some("peer00".into()),
        kind,
    }
}

#[test]
fn the_choice_is_marked_reversed_and_without_colours() {
    for colour in [true, false] {
        let mut model = model(3);
        let of = |buffer: &Buffer, y: u16| {
            let cells = (0..80).map(|x| buffer[(x, y)].clone());
            cells.collect::<Vec<_>>()
        };
        press(&mut model, KeyCode::Down);
        let buffer = drawn(&mut model, 80, 24, colour);
        let at = lines(&buffer)
            .iter()
            .position(|line| line.starts_with("> peer01"))
            .unwrap();
        let at = u16::try_from(at).unwrap();
        for cell in of(&buffer, at) {
            assert!(cell.modifier.contains(Modifier::REVERSED));
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
        }
        let others = of(&buffer, at + 1);
        let plain = |cell: &ratatui::buffer::Cell| !cell.modifier.contains(Modifier::REVERSED);
        assert!(others.iter().all(plain));
        let coloured = others.iter().any(|cell| cell.fg != Color::Reset);
        assert_eq!(coloured, colour);
    }
}

#[test]
fn the_view_moves_no_further_than_the_choice() {
    let mut model = model(9);
    let shown = |model: &mut Model| listed(model, 5);
    assert_eq!(shown(&mut model), ["> peer00", "  peer01"]);
    press(&mut model, KeyCode::Down);
    assert_eq!(shown(&mut model), ["  peer00", "> peer01"]);
    press(&mut model, KeyCode::Down);
    assert_eq!(shown(&mut model), ["  peer01", "> peer02"]);
    press(&mut model, KeyCode::Up);
    assert_eq!(shown(&mut model), ["> peer01", "  peer02"]);
    // A page is what is in view.
    press(&mut model, KeyCode::PageDown);
    assert_eq!(shown(&mut model), ["  peer02", "> peer03"]);
    press(&mut model, KeyCode::End);
    assert_eq!(shown(&mut model), ["  peer07", "> peer08"]);
    press(&mut model, KeyCode::PageUp);
    assert_eq!(shown(&mut model), ["> peer06", "  peer07"]);
    press(&mut model, KeyCode::Home);
    assert_eq!(shown(&mut model), ["> peer00", "  peer01"]);
    // A taller screen shows more, and peers that go leave no empty rows.
    press(&mut model, KeyCode::End);
    assert_eq!(listed(&mut model, 8).len(), 5);
    model.refresh(service(), peers(3));
    assert_eq!(shown(&mut model).len(), 2);
}

#[test]
fn what_happened_before_the_start_is_shown_once_and_first() {
    let mut model = model(3);
    model.event(&event(3, EventKind::Adopted {}));
    let recent = [
        EventKind::Keys {},
        EventKind::Disowned {},
        EventKind::Adopted {},
    ];
    let recent: Vec<Event> = (1..)
        .zip(recent)
        .map(|(seq, kind)| event(seq, kind))
        .collect();
    model.recent(&recent, 2);
    let said: Vec<String> = model.log.iter().map(|(line, _)| line.clone()).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    for (line, what) in said.iter().zip(["keys agreed", "disowned", "adopted"]) {
        assert!(line.contains(what), "{line}");
    }
    // It was not today.
    assert!(said[0].starts_with("2023-11-1"), "{said:?}");
    assert_eq!(model.peers[1].state, PeerState::Down);
}

#[test]
fn round_trips_are_kept_of_peers_near_those_in_view() {
    let reply = |peer: &str| Event {
        peer: Some(peer.into()),
        ..event(9, EventKind::Reply { millis: 2.5 })
    };
    let mut model = model(5_000);
    let kept = |model: &Model, peer| model.history(peer).count();
    // By name, the first one and the last.
    for peer in ["peer00", "peer999"] {
        model.event(&reply(peer));
    }
    assert_eq!((kept(&model, "peer00"), kept(&model, "peer999")), (2, 0));
    press(&mut model, KeyCode::End);
    drawn(&mut model, 80, 24, false);
    model.refresh(service(), peers(5_000));
    // The last round trip is in the state.
    assert_eq!((kept(&model, "peer00"), kept(&model, "peer999")), (0, 1));
    model.event(&reply("peer999"));
    assert_eq!(kept(&model, "peer999"), 2);
    let all = model.peers.iter();
    let all = all.map(|peer| kept(&model, &peer.name));
    assert!(all.sum::<usize>() < 2_100);
}
