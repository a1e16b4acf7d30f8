// SPDX-License-Identifier: GPL-3.0-or-later
//! Server restart: all peers are lost at once, and the `ifdown` of each is to be run; how long an
//! operator then waits for an answer, and whether that grows only with the number of peers.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use connect_ipc::control::{Reply, Request, ServerLink, ServiceStatus};
use scenarios::Service;

use super::{Effort, Found, progress};
use crate::measure::figures::columns;
use crate::operator::Operator;
use crate::report::Line;
use crate::rig::{self, Rig, Setup};

/// What every peer's record has beside its address. No ping comes in between.
const KEYS: [(&str, &str); 2] = [("every", "3600"), ("ifdown", "/bin/true")];

/// How much longer an answer may take with ten times as many peers.
const TIMES: f64 = 12.0;

/// How long it may take at all, in milliseconds.
const MOST: f64 = 3_000.0;

/// How long anything may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long an operator rests between two questions, so that these are no load.
const REST: Duration = Duration::from_millis(2);

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let [few, many] = effort.pick([10_000, 100_000], [200, 2_000]);
    let (mut of_few, mut of_many): (Vec<[f64; 2]>, Vec<[f64; 2]>) = (Vec::new(), Vec::new());
    while effort.goes_on(columns(&of_few).into_iter().chain(columns(&of_many))) {
        let run = of_few.len() + 1;
        for (peers, found) in [(few, &mut of_few), (many, &mut of_many)] {
            let [longest, whole] = restart(peers)?;
            progress(&format!(
                "server restart: {peers} peers, run {run}: longest answer {longest:.0} ms, all \
                 scripts ordered after {whole:.0} ms"
            ));
            found.push([longest, whole]);
        }
    }
    let baseline = "a tenth of the peers";
    for (at, what) in ["longest answer", "until all are ordered"]
        .into_iter()
        .enumerate()
    {
        let of = |runs: &[[f64; 2]]| runs.iter().map(|run| run[at]).collect::<Vec<f64>>();
        let condition = format!("{what}, {many} peers");
        let line = Line::new("Restart of the server", condition, "ms", of(&of_many));
        found.lines.extend(line.map(|line| {
            let line = line.baseline(baseline, Ok(of(&of_few)));
            match at {
                0 => line.at_most_times(TIMES, baseline).at_most(MOST),
                _ => line.at_most_times(TIMES, baseline),
            }
        }));
    }
    Ok(())
}

/// Restarts the server of so many peers; gives the milliseconds of the longest answer meanwhile,
/// and until the scripts of all peers were ordered.
pub(super) fn restart(peers: usize) -> anyhow::Result<[f64; 2]> {
    let mut rig = Rig::without_service(&Setup::new(peers, &KEYS))?;
    // What is left of the scripts would disturb the next run.
    rig.service = Some(Service::start(&rig.site, &["--stop-wait", "1"])?);
    let service = rig.service.as_ref().context("no service")?;
    wait_until_known(service, peers)?;
    let started = Instant::now();
    let mut server = UnixStream::connect(rig.site.lab.socket_path())?;
    writeln!(server, "LAB RESTART")?;
    let mut longest = Duration::ZERO;
    loop {
        let asked = Instant::now();
        let status = look(service.control())?;
        longest = longest.max(asked.elapsed());
        if status.server == ServerLink::Up && ordered(&status) >= peers as u64 {
            break;
        }
        anyhow::ensure!(
            started.elapsed() < PATIENCE,
            "{} of {peers} scripts were ordered in time",
            ordered(&status)
        );
        std::thread::sleep(REST);
    }
    Ok([longest, started.elapsed()].map(|time| time.as_secs_f64() * 1e3))
}

/// Waits until core has asked the server everything about the last peer.
pub(super) fn wait_until_known(service: &Service, peers: usize) -> anyhow::Result<()> {
    let started = Instant::now();
    let last = rig::name(peers - 1);
    loop {
        anyhow::ensure!(started.elapsed() < PATIENCE, "{last} is not known in time");
        std::thread::sleep(Duration::from_millis(50));
        let Ok(mut operator) = Operator::connect(service.control()) else {
            continue;
        };
        let peer = last.clone();
        if let Some(Reply::Peer(detail)) = operator.ask(Request::Info { peer })?.pop()
            && !detail.algorithms.is_empty()
        {
            return Ok(());
        }
    }
}

/// The state of the service. The rest of the answer is for nobody.
fn look(socket: &Path) -> anyhow::Result<ServiceStatus> {
    let mut operator = Operator::connect(socket)?;
    operator.send(Request::Status {})?;
    match operator.reply()? {
        Reply::Service(service) => Ok(*service),
        other => anyhow::bail!("the state does not begin with the service: {other:?}"),
    }
}

/// How many scripts were ordered so far.
const fn ordered(status: &ServiceStatus) -> u64 {
    let scripts = &status.counters.scripts;
    let ended = scripts.ok + scripts.failed + scripts.timed_out;
    ended + scripts.not_started + scripts.lost + scripts.pending
}
