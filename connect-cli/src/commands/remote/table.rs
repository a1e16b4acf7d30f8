// SPDX-License-Identifier: GPL-3.0-or-later
//! The state of several hosts as one: a table of the services, and one of all their peers.

use std::io::{self, Write};

use serde::Deserialize;

use super::told::Told;
use crate::output::paint::Paint;
use crate::output::status_text::peer_columns;
use crate::output::table::{Cell, Column, Table};
use crate::output::{Output, SCHEMA, text};

/// How much of a checksum is shown: enough to distinguish a few databases. JSON has all of it.
const CHECKSUM: usize = 12;

/// What is read of `status --json`. Only words and figures are shown, so a host may have a newer
/// version.
#[derive(Debug, Deserialize)]
struct State {
    schema: u32,
    service: Service,
    peers: Vec<Peer>,
}

#[derive(Debug, Deserialize)]
struct Service {
    version: String,
    server: String,
    database: Database,
}

#[derive(Debug, Deserialize)]
struct Database {
    fault: Option<String>,
    #[serde(default)]
    checksum: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Peer {
    name: String,
    state: String,
    wanted: bool,
    address: Option<String>,
    failures: u32,
    next_ping_ms: Option<u64>,
    ping: Figures,
    failed_scripts: Vec<Script>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Figures {
    loss: Option<f64>,
    last: String,
    last_ms: Option<f64>,
    mean_ms: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Script {
    kind: String,
}

/// The state that a host has sent, or why there is none.
fn state(told: &Told) -> Result<State, String> {
    if let Some(why) = told.trouble() {
        return Err(why);
    }
    let state: State = serde_json::from_str(&told.answer.stdout)
        .map_err(|error| format!("its answer is malformed: {error}"))?;
    if state.schema != SCHEMA {
        return Err(format!(
            "it answers with schema {}, but this program reads {SCHEMA}: install the same \
             version on both hosts",
            state.schema
        ));
    }
    Ok(state)
}

/// Shows the state of all hosts that have sent it, and why the others have not.
pub(super) fn show(told: &[Told], wide: bool, out: &mut Output<impl Write>) -> io::Result<()> {
    let states: Vec<(&str, Result<State, String>)> = told
        .iter()
        .map(|told| (told.host.as_str(), state(told)))
        .collect();
    let services = states
        .iter()
        .map(|(host, state)| service(host, state.as_ref().ok()));
    out.table(&Table::new(service_columns(), services), wide)?;
    for (host, state) in &states {
        let fault = match state {
            Ok(state) => state.service.database.fault.clone(),
            Err(why) => Some(why.clone()),
        };
        if let Some(fault) = fault {
            let line = format!("! {host}: {}", text::clean(&fault));
            out.sentence(Paint::Bad, &line, 2)?;
        }
    }
    out.line("")?;
    let peers = states.iter().flat_map(|(host, state)| {
        let peers = state.iter().flat_map(|state| &state.peers);
        peers.map(|peer| row(host, peer))
    });
    let mut columns = vec![Column::new("HOST", false, Some(8))];
    columns.extend(peer_columns());
    out.table(&Table::new(columns, peers), wide)
}

const fn service_columns() -> [Column; 5] {
    [
        Column::new("HOST", false, Some(12)),
        Column::new("VERSION", false, None),
        Column::new("SERVER", false, None),
        Column::new("UP", true, None),
        Column::new("DATABASE", false, None),
    ]
}

fn service(host: &str, state: Option<&State>) -> Vec<Cell> {
    let Some(State { service, peers, .. }) = state else {
        let mut cells = vec![Cell::from(host), Cell::painted(Paint::Bad, "no answer")];
        cells.resize(5, Cell::default());
        return cells;
    };
    let wanted = peers.iter().filter(|peer| peer.wanted);
    let up = wanted.clone().filter(|peer| peer.state == "up").count();
    let wanted = wanted.count();
    let paint = |good| if good { Paint::Good } else { Paint::Bad };
    let checksum = service.database.checksum.as_deref();
    let checksum = checksum.map(|text| text.chars().take(CHECKSUM).collect::<String>());
    vec![
        Cell::from(host),
        service.version.as_str().into(),
        Cell::painted(paint(service.server == "up"), service.server.as_str()),
        Cell::painted(paint(up == wanted), format!("{up}/{wanted}")),
        text::or_nothing(checksum).into(),
    ]
}

fn row(host: &str, peer: &Peer) -> Vec<Cell> {
    let scripts = peer.failed_scripts.iter();
    let state = scripts.fold(peer.state.clone(), |state, script| {
        format!("{state}, {} failed", script.kind)
    });
    let paint = match peer.state.as_str() {
        _ if !peer.failed_scripts.is_empty() => Paint::Bad,
        "down" | "gone" | "unknown" => Paint::Bad,
        "up" if peer.failures == 0 => Paint::Good,
        _ if peer.wanted => Paint::Doubtful,
        _ => Paint::Plain,
    };
    let last = match peer.ping.last.as_str() {
        "timeout" => "timeout".to_owned(),
        _ => text::millis(peer.ping.last_ms),
    };
    vec![
        Cell::from(host),
        peer.name.as_str().into(),
        Cell::painted(paint, state),
        text::or_nothing(peer.address.as_deref().map(text::address)).into(),
        last.into(),
        text::millis(peer.ping.mean_ms).into(),
        text::percent(peer.ping.loss).into(),
        peer.failures.to_string().into(),
        text::or_nothing(peer.next_ping_ms.map(text::wait)).into(),
    ]
}
