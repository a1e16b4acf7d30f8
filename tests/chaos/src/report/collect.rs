// SPDX-License-Identifier: GPL-3.0-or-later
//! Puts together what the server, the scripts and the service said, has it judged, and makes a
//! report of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use connect_ipc::clock::{Monotonic, millis};
use connect_ipc::control::PeerState;

use super::{FoundFault, LoadReport, Narrative, Report, narrative};
use crate::faults::{FULL_DISK, UNREAD_LOG};
use crate::figures::{self, Difference};
use crate::leaks::PartReport;
use crate::options::Single;
use crate::run::Run;
use crate::settling::Found;
use crate::world::database::Peers;
use crate::world::site::{Beginning, CORE_LOG};
use crate::{script, scripts_log, told, untold};
use judge::history::{Histories, PeerHistory};
use judge::rest::Health;
use judge::{Row, judge};

/// The report of a run.
pub(crate) fn report(
    run: &mut Run,
    single: &Single,
    seed: u64,
    found: Found,
) -> anyhow::Result<Report> {
    let times = run.load.health.times();
    let run = &*run;
    let histories = histories(run)?;
    let mut oddities = figures::oddities(run);
    oddities.extend(untold::oddities(run, &histories, &times));
    let healthy = times.iter().map(|time| time.to.since(time.from));
    let healthy = healthy.sum::<Duration>().as_secs();
    let health = Health::new(times, &histories);
    let end = connect_runtime::clock::now();
    let mut faults = judge_all(&histories, &health, run.began);
    faults.extend(oddities.into_iter().map(|oddity| FoundFault {
        row: Row::Events,
        peer: None,
        at: millis(oddity.at.since(run.began)),
        text: oddity.text,
    }));
    faults.extend(of_the_whole(run, found, millis(end.since(run.began))));
    let rows = rows(&faults, &run.samples.reports());
    let count = |of: fn(&PeerHistory) -> usize| histories.values().map(|it| of(it) as u64).sum();
    let kept = single.setting.keep;
    Ok(Report {
        seed,
        layout: single.layout,
        seconds: single.setting.seconds,
        peers: single.setting.peers,
        made: made(run),
        left_out: left_out(run),
        recovery: recovery(run),
        load: LoadReport {
            healthy,
            ..load(run)
        },
        parts: run.samples.reports(),
        scripts: count(PeerHistory::scripts),
        requests: count(|history| history.asked.len()),
        additions: run.world.watcher.account().additions,
        told: count(|history| history.told.len()),
        rows,
        histories: narratives(&faults, &histories, run, single.setting.histories),
        faults,
        directory: kept.then(|| run.world.site.directory.display().to_string()),
    })
}

/// The faults that cannot be made here.
fn left_out(run: &Run) -> Vec<String> {
    let site = &run.world.site;
    let mut names = Vec::new();
    if !site.volume.can_be_full() {
        names.push(FULL_DISK.to_owned());
    }
    if !site.can_pause_logs() {
        names.push(UNREAD_LOG.to_owned());
    }
    names
}

/// How often each fault has happened.
fn made(run: &Run) -> BTreeMap<String, u64> {
    let mut made = run.counts.clone();
    let waited = run.world.site.logs.waited();
    if waited > 0 {
        made.insert(UNREAD_LOG.to_owned(), waited);
    }
    made
}

/// How many faults of each kind there are. Whether memory leaks is not known if no life of a part
/// was long enough.
fn rows(faults: &[FoundFault], parts: &[PartReport]) -> BTreeMap<Row, Option<u64>> {
    let count = |row: Row| faults.iter().filter(|fault| fault.row == row).count() as u64;
    let is_judged = |row: Row| row != Row::Leaks || parts.iter().all(PartReport::is_judged);
    let figure = |row: Row| Some(count(row)).filter(|count| *count > 0 || is_judged(row));
    Row::ALL.map(|row| (row, figure(row))).into()
}

/// How long it took after each death until the service worked again.
fn recovery(run: &Run) -> BTreeMap<String, Vec<u64>> {
    let first = run.load.observers.first();
    first.map_or_else(BTreeMap::new, |it| it.seen().recovery.times.clone())
}

/// What observers and monitor got.
fn load(run: &Run) -> LoadReport {
    let mut load = LoadReport {
        scrapes: run.load.scrapes.made,
        scrapes_answered: run.load.scrapes.answered,
        ..LoadReport::default()
    };
    for observer in &run.load.observers {
        let seen = observer.seen();
        load.connections += seen.stream.connections;
        load.events += seen.stream.events;
        load.dropped += seen.stream.dropped;
    }
    load
}

/// All that is known of each peer.
fn histories(run: &Run) -> anyhow::Result<Histories> {
    let site = &run.world.site;
    let mut runs = scripts_log::read(&fs::read_to_string(site.path(script::LOG))?)?;
    let log = fs::read(site.path(CORE_LOG)).unwrap_or_default();
    let account = run.world.watcher.account();
    let logged = told::from_log(&String::from_utf8_lossy(&log));
    let mut told = told::merge(account.told.clone(), logged);
    let (noted, mut asked) = (run.world.journal.noted(), run.world.operator.asked());
    let first = run.load.observers.first();
    let heard = first.map(|it| it.seen().stream.started.clone());
    let heard = heard.unwrap_or_default();
    let found = &run.found;
    let is_later = run.world.site.beginning == Beginning::Later;
    let connected: BTreeSet<String> = run.world.peers.connected().collect();
    let histories = run.world.peers.names().map(|peer| {
        let mut of_peer = runs.remove(&peer).unwrap_or_default();
        if let Some(noted) = noted.get(&peer) {
            judge::noted::complete(&mut of_peer, noted);
        }
        if let Some(heard) = heard.get(&peer) {
            judge::noted::complete_heard(&mut of_peer, heard);
        }
        let history = PeerHistory {
            causes: account.causes.get(&peer).cloned().unwrap_or_default(),
            runs: of_peer,
            told: told.remove(&peer).unwrap_or_default(),
            has_connection: connected.contains(&peer),
            has_hooks: false,
            only_undone: Peers::only_undone(&peer),
            asked: asked.remove(&peer).unwrap_or_default(),
            before_service: is_later && found.contains(&peer),
        };
        (peer, history)
    });
    Ok(histories.collect())
}

fn judge_all(histories: &Histories, health: &Health, began: Monotonic) -> Vec<FoundFault> {
    let all = histories.iter();
    let found =
        all.flat_map(|(peer, history)| judge(history, health).into_iter().map(move |f| (peer, f)));
    found
        .map(|(peer, finding)| FoundFault {
            row: finding.row,
            peer: Some(peer.clone()),
            at: millis(finding.at.since(began)),
            text: finding.text,
        })
        .collect()
}

/// Faults that no script shows.
fn of_the_whole(run: &Run, found: Found, at: u64) -> Vec<FoundFault> {
    let Found {
        rest,
        examined,
        left,
    } = found;
    let fault = |row, peer, text| FoundFault {
        row,
        peer,
        at,
        text,
    };
    let mut faults = Vec::new();
    if let Some(unrest) = rest.unrest {
        faults.push(fault(Row::Unsettled, None, unrest));
    }
    let left = left.into_iter().chain(examined.zombies);
    faults.extend(left.map(|it| fault(Row::Orphaned, None, it)));
    for part in run.samples.reports() {
        let leaks = part.leaks.into_iter();
        faults.extend(leaks.map(|text| fault(Row::Leaks, None, text)));
    }
    let first = run.load.observers.first();
    for death in first.map_or_else(Vec::new, |it| it.seen().recovery.unrecovered()) {
        let text = format!("the service was not seen to work again after the death of {death}");
        faults.push(fault(Row::Unrecovered, None, text));
    }
    faults.extend(examined.scrape.map(|text| fault(Row::Scrapes, None, text)));
    if run.load.scrapes.is_never_answered() {
        let text = format!("none of {} scrapes was answered", run.load.scrapes.made);
        faults.push(fault(Row::Scrapes, None, text));
    }
    for Difference { peer, text } in examined.differences {
        let text = format!("{peer}: {text}");
        faults.push(fault(Row::Figures, Some(peer), text));
    }
    let account = run.world.watcher.account();
    for peer in &account.present {
        let row = rest.status.as_ref().and_then(|it| it.peers.get(peer));
        let state = row.map(|row| row.state);
        if !state.is_some_and(PeerState::is_adopted) {
            let state = state.map_or("unknown to it", PeerState::as_str);
            let text = format!("{peer} is at the server, and to the service it is {state}");
            faults.push(fault(Row::Unwatched, Some(peer.clone()), text));
        }
    }
    faults
}

/// The histories of the first peers that have faults, of each kind as many.
fn narratives(
    faults: &[FoundFault],
    histories: &Histories,
    run: &Run,
    most: usize,
) -> Vec<Narrative> {
    let mut chosen: Vec<&str> = Vec::new();
    let of_row = |row| faults.iter().filter(move |fault| fault.row == row);
    for index in 0..faults.len() {
        for row in Row::ALL {
            let peer = of_row(row).nth(index).and_then(|it| it.peer.as_deref());
            let new = peer.filter(|peer| !chosen.contains(peer));
            chosen.extend(new.filter(|_| chosen.len() < most));
        }
        if chosen.len() >= most {
            break;
        }
    }
    let narrate = |peer: &str| {
        let of_peer = faults.iter().filter(|it| it.peer.as_deref() == Some(peer));
        let history = histories.get(peer)?;
        Some(Narrative {
            peer: peer.to_owned(),
            lines: narrative::lines(history, &of_peer.collect::<Vec<_>>(), &run.deeds, run.began),
        })
    };
    chosen.into_iter().filter_map(narrate).collect()
}
