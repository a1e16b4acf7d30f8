// SPDX-License-Identifier: GPL-3.0-or-later
//! Database change: one record of many is changed; how long until it is applied, and which other
//! peers it disturbs; compared with `connect-cli db diff` of the two files.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use connect_ipc::control::{PeerStatus, Reply, Request};
use connect_ipc::event::{EventKind, EventName};
use connect_ipc::event_filter::EventFilter;
use peerdb::Record;
use scenarios::program;

use super::{Effort, Found, progress};
use crate::operator::Operator;
use crate::report::Line;
use crate::rig::{self, Rig, Setup};

/// How long applying may take once the change is noticed, in milliseconds.
const MOST: f64 = 100.0;

const KEYS: [(&str, &str); 1] = [("every", "1")];

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let peers = effort.pick(10_000, 200);
    let rig = Rig::start(&Setup::new(peers, &KEYS))?;
    let [mut operator, mut watcher] = operators(&rig)?;
    let (mut noticed, mut whole, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    let mut disturbed = Vec::new();
    let millis = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
    while effort.goes_on([&noticed, &whole, &alone].map(Vec::clone)) {
        let run = noticed.len() + 1;
        let before = statuses(&mut operator)?;
        let old = rig.site.path("peers.cdb");
        std::fs::copy(&old, rig.site.path("old.cdb"))?;
        // The operator's way: a file renamed over the old one, found by looking.
        write(&rig, &KEYS, run * 2)?;
        let renamed = Instant::now();
        applied(&mut watcher)?;
        whole.push(millis(renamed));
        // Noticed at once, since an operator says so.
        write(&rig, &KEYS, run * 2 + 1)?;
        noticed.push(reload(&mut operator, &mut watcher)?);
        let after = statuses(&mut operator)?;
        disturbed.push(disturbances(&before, &after) as f64);

        let started = Instant::now();
        let _ = Command::new(program("connect-cli")?)
            .args(["db", "diff"])
            .arg(rig.site.path("old.cdb"))
            .arg(&old)
            .stdout(Stdio::null())
            .status()?;
        alone.push(millis(started));
        progress(&format!(
            "database: run {run}: applied {:.1} ms after it was noticed, {:.0} ms after the rename; \
             db diff {:.1} ms",
            noticed.last().unwrap_or(&0.0),
            whole.last().unwrap_or(&0.0),
            alone.last().unwrap_or(&0.0)
        ));
    }
    let quantity = "Change of one record until it is applied";
    found.lines.extend(
        Line::new(quantity, format!("noticed, {peers} peers"), "ms", noticed)
            .map(|line| line.baseline("db diff alone", Ok(alone)).at_most(MOST)),
    );
    found.lines.extend(Line::new(
        quantity,
        format!("renamed, {peers} peers"),
        "ms",
        whole,
    ));
    found.lines.extend(
        Line::new(
            "Peers disturbed by it",
            format!("{peers} peers"),
            "",
            disturbed,
        )
        .map(|line| line.at_most(0.0)),
    );
    Ok(())
}

/// Who asks for a reload, and who is told when a database was loaded.
fn operators(rig: &Rig) -> anyhow::Result<[Operator; 2]> {
    let service = rig.service.as_ref().context("no service")?;
    let mut watcher = Operator::connect(service.control())?;
    watcher.ask(Request::Events(EventFilter {
        kinds: [EventName::Database, EventName::Disowned]
            .into_iter()
            .collect(),
        ..EventFilter::default()
    }))?;
    Ok([Operator::connect(service.control())?, watcher])
}

/// Has the database read; gives the milliseconds until it is applied.
fn reload(operator: &mut Operator, watcher: &mut Operator) -> anyhow::Result<f64> {
    let told = Instant::now();
    operator.ask(Request::Reload {})?;
    applied(watcher)?;
    Ok(told.elapsed().as_secs_f64() * 1e3)
}

/// Changes the record of one peer, of peers that have these keys; gives the milliseconds from an
/// operator's `reload` until it is applied.
pub(super) fn change(rig: &Rig, keys: &[(&str, &str)]) -> anyhow::Result<f64> {
    let [mut operator, mut watcher] = operators(rig)?;
    write(rig, keys, 1)?;
    reload(&mut operator, &mut watcher)
}

/// Writes the database with another record for peer 0, whose pinging stays as it is.
fn write(rig: &Rig, keys: &[(&str, &str)], version: usize) -> anyhow::Result<()> {
    let version = version.to_string();
    let mut changed = keys.to_vec();
    changed.push(("comment", version.as_str()));
    let records: Vec<Record> = (0..rig.peers)
        .map(|n| rig::record(n, if n == 0 { &changed } else { keys }))
        .collect();
    rig.site.write_database(&records)
}

/// Waits for the news that a database was loaded.
fn applied(watcher: &mut Operator) -> anyhow::Result<()> {
    loop {
        if let Reply::Event(event) = watcher.reply()? {
            match event.kind {
                EventKind::Database { .. } => return Ok(()),
                EventKind::Disowned {} => anyhow::bail!("{:?} was disowned", event.peer),
                _ => {}
            }
        }
    }
}

fn statuses(operator: &mut Operator) -> anyhow::Result<HashMap<String, PeerStatus>> {
    let mut all = HashMap::new();
    for reply in operator.ask(Request::Status {})? {
        if let Reply::Peers(peers) = reply {
            all.extend(peers.list.into_iter().map(|peer| (peer.name.clone(), peer)));
        }
    }
    Ok(all)
}

/// How many peers were disturbed: removed, adopted again, or with figures that begin at zero again.
fn disturbances(
    before: &HashMap<String, PeerStatus>,
    after: &HashMap<String, PeerStatus>,
) -> usize {
    before
        .iter()
        .filter(|(name, before)| {
            !after.get(*name).is_some_and(|after| {
                (after.state.is_adopted() || !before.state.is_adopted())
                    && after.age >= before.age
                    && after.statistics.replies >= before.statistics.replies
                    && after.statistics.lost == before.statistics.lost
            })
        })
        .count()
}
