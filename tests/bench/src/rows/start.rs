// SPDX-License-Identifier: GPL-3.0-or-later
//! Start: from the start of `connect` until it has claimed the service, and until it has adopted
//! all peers that were there before it; beside `LIST` and reading the database alone.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use peerdb::Database;
use scenarios::{Admin, Service};

use super::{Effort, Found, progress};
use crate::report::Line;
use crate::rig::{Rig, Setup, commands};

/// How long it may take at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many times as long as its two parts starting may take.
const TIMES: f64 = 2.0;

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let peers = effort.pick(10_000, 200);
    let (mut claimed, mut adopted, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    let mut setup = Setup::new(peers, &[("every", "30")]);
    setup.log = commands(peers * 20);
    let mut rig = Rig::without_service(&setup)?;
    while effort.goes_on([&claimed, &adopted, &alone].map(Vec::clone)) {
        let run = claimed.len() + 1;
        let started = Instant::now();
        let names = Admin::connect(rig.site.lab.socket_path())?
            .ask("LIST")?
            .lines()?;
        let database = Database::load(rig.site.path("peers.cdb"))?;
        alone.push(started.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(names.len() == peers && database.peers().len() == peers);

        let [claim, all] = start(&mut rig)?;
        claimed.push(claim);
        adopted.push(all);
        progress(&format!(
            "start: run {run}: claimed after {:.1} ms, all adopted after {:.1} ms; alone {:.1} ms",
            claimed.last().unwrap_or(&0.0),
            adopted.last().unwrap_or(&0.0),
            alone.last().unwrap_or(&0.0)
        ));
    }
    let baseline = "LIST and reading the cdb alone";
    let quantity = "Start of connect";
    let claimed = Line::new(
        quantity,
        format!("until claimed, {peers} peers"),
        "ms",
        claimed,
    );
    let adopted = Line::new(
        quantity,
        format!("until all adopted, {peers} peers"),
        "ms",
        adopted,
    );
    found.lines.extend(claimed);
    found.lines.extend(adopted.map(|line| {
        line.baseline(baseline, Ok(alone))
            .at_most_times(TIMES, baseline)
    }));
    Ok(())
}

/// Starts the service and ends it again; gives the milliseconds until it has claimed its name, and
/// until it has adopted all peers.
pub(super) fn start(rig: &mut Rig) -> anyhow::Result<[f64; 2]> {
    let mut follow = rig.site.lab.follow();
    let started = Instant::now();
    rig.service = Some(Service::start(&rig.site, &[])?);
    let claim = follow.next_within(PATIENCE, "the claim", |what| {
        what.is_command("SVCCLAIM connect ")
    })?;
    // It asks for particulars in the same turn in which it has adopted all peers of the list.
    let all = follow.next_within(PATIENCE, "all adopted", |what| {
        what.is_command("IFNAME ") || what.is_command("ADDR ")
    })?;
    let service = rig.service.take().context("the service has gone")?;
    service.wait_for_log(&format!("adopted={}", rig.peers))?;
    Ok([claim.at, all.at].map(|at| (at - started).as_secs_f64() * 1e3))
}
