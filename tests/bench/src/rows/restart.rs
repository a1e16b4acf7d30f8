// SPDX-License-Identifier: GPL-3.0-or-later
//! Helper restart: either helper is killed under load; how long until the next one does its work,
//! and whether every ping is counted once.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use connect_ipc::control::{Reply, Request};
use connect_ipc::event::EventName;
use connect_ipc::event_filter::EventFilter;
use rustix::process::{Pid, Signal, kill_process};
use scenarios::program;
use tripe_lab::log::What;

use super::{Effort, Found, progress};
use crate::baselines::bfd::{Daemon, Sessions};
use crate::operator::Operator;
use crate::report::Line;
use crate::rig::{self, Helper, Rig, Setup, commands};

/// How much longer than a process takes to start a restart may take, in milliseconds.
const BEYOND: f64 = 100.0;

/// How many sessions the programs have that ours is measured beside: bfdd takes seconds to begin
/// with more.
const SESSIONS: usize = 100;

/// How long it may take at all.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let peers = effort.pick(10_000, 200);
    let (mut pinger, mut pinger_alone) = (Vec::new(), Vec::new());
    let (mut scripts, mut scripts_alone) = (Vec::new(), Vec::new());
    let mut wrong = Vec::new();
    while effort.goes_on([&pinger, &pinger_alone, &scripts, &scripts_alone].map(Vec::clone)) {
        let run = pinger.len() + 1;
        let mut setup = Setup::new(peers, &[("every", "1"), ("connect", "exec cat /dev/null")]);
        setup.log = commands(peers * 16 + 10_000);
        let rig = Rig::start(&setup)?;
        rig.wait_for_pings(2 * peers as u64)?;
        // At a moment of chance within the period.
        let chance = u64::from(std::process::id()) * 7 + run as u64 * 311;
        std::thread::sleep(Duration::from_millis(chance % 1000));
        pinger.push(kill_pinger(&rig)?);
        pinger_alone.push(start_alone("connect-pinger")?);
        let seen = rig.pings()?;
        rig.wait_for_pings(seen + peers as u64)?;
        scripts.push(kill_scripts(&rig)?);
        scripts_alone.push(start_alone("connect-ifscripts")?);
        let seen = rig.pings()?;
        rig.wait_for_pings(seen + peers as u64)?;
        wrong.push(miscounted(&rig)? as f64);
        progress(&format!(
            "restart: run {run}: pinger {:.1} ms, script helper {:.1} ms, {} peers miscounted",
            pinger.last().unwrap_or(&0.0),
            scripts.last().unwrap_or(&0.0),
            wrong.last().unwrap_or(&0.0)
        ));
    }
    let baseline = "process start alone";
    let others = Daemon::ALL.map(|daemon| (daemon, of_daemon(daemon, effort)));
    for (what, ours, alone) in [
        ("pinger, to the first ping", pinger, pinger_alone),
        ("script helper, to the first script", scripts, scripts_alone),
    ] {
        let is_pinger = what.starts_with("pinger");
        let condition = format!("{what}, {peers} peers");
        let line = Line::new("Restart of a killed helper", condition, "ms", ours);
        found.lines.extend(line.map(|line| {
            let mut line = line
                .baseline(baseline, Ok(alone))
                .at_most_above(BEYOND, baseline);
            // They do the work of the pinger.
            for (daemon, restarts) in others.iter().filter(|_| is_pinger) {
                let name = match daemon {
                    Daemon::Bfdd => "bfdd of FRR, 100 sessions",
                    Daemon::Keepalived => "keepalived, 100 sessions",
                };
                line = line.baseline(name, restarts.clone());
            }
            line
        }));
    }
    let line = Line::new(
        "Peers with a ping lost or counted twice",
        format!("{peers} peers"),
        "",
        wrong,
    );
    found.lines.extend(line.map(|line| line.at_most(0.0)));
    Ok(())
}

fn kill(pid: i32) -> anyhow::Result<Instant> {
    let pid = Pid::from_raw(pid).context("no process")?;
    let now = Instant::now();
    kill_process(pid, Signal::KILL)?;
    Ok(now)
}

/// Kills the pinger; gives the milliseconds until the first ping that the next one asks for.
fn kill_pinger(rig: &Rig) -> anyhow::Result<f64> {
    let old = rig.helper(Helper::Pinger)?;
    let killed = kill(old)?;
    // Pings that the old one had asked for may still arrive, so the new one's process is waited
    // for first: what arrives once it is there was asked for by it.
    loop {
        match rig.helper(Helper::Pinger) {
            Ok(pid) if pid != old => break,
            _ if killed.elapsed() > PATIENCE => anyhow::bail!("no new pinger"),
            _ => std::thread::yield_now(),
        }
    }
    let mut follow = rig.site.lab.follow();
    let ping = follow.next_within(PATIENCE, "the next ping", |what| what.is_command("PING "))?;
    Ok((ping.at - killed).as_secs_f64() * 1e3)
}

/// Kills the script helper; gives the milliseconds until the next one has started a script.
fn kill_scripts(rig: &Rig) -> anyhow::Result<f64> {
    let service = rig.service.as_ref().context("no service")?;
    let mut watcher = Operator::connect(service.control())?;
    watcher.ask(Request::Events(EventFilter {
        kinds: [EventName::Started].into_iter().collect(),
        ..EventFilter::default()
    }))?;
    let mut operator = Operator::connect(service.control())?;
    let killed = kill(rig.helper(Helper::Scripts)?)?;
    operator.ask(Request::Submit {
        words: vec!["kick".to_owned(), rig::name(0)],
    })?;
    loop {
        if let Reply::Event(_) = watcher.reply()? {
            return Ok(killed.elapsed().as_secs_f64() * 1e3);
        }
    }
}

/// How long another program takes from being killed to its first packet, with [`SESSIONS`]; or why
/// that cannot be told. It is started anew for each kill: keepalived does not always come again
/// when it is killed several times in a row.
fn of_daemon(daemon: Daemon, effort: &Effort) -> Result<Vec<f64>, String> {
    let restart = || Sessions::start(daemon, SESSIONS)?.restart();
    let mut restarts = Vec::new();
    while effort.goes_on([restarts.clone()]) {
        restarts.push(restart().map_err(|error| error.to_string())?);
    }
    Ok(restarts)
}

/// How long a process takes to start and say its version, in milliseconds.
fn start_alone(name: &str) -> anyhow::Result<f64> {
    let program = program(name)?;
    let started = Instant::now();
    let status = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status()?;
    anyhow::ensure!(status.success(), "{name}: {status}");
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

/// How many peers' replies, as core counts them, are not the pings that the lab has answered.
fn miscounted(rig: &Rig) -> anyhow::Result<usize> {
    let service = rig.service.as_ref().context("no service")?;
    let mut operator = Operator::connect(service.control())?;
    // Core answers from one moment; the lab's log is taken after it. A ping between the two, or one
    // under way, is not in core's count yet; more than that is lost, and less is counted twice.
    let replies = operator.ask(Request::Status {})?;
    let mut pings: HashMap<String, u64> = HashMap::new();
    for event in rig.site.lab.events() {
        if let What::Command(_, line) = &event.what
            && line.starts_with("PING ")
        {
            let name = line.rsplit(' ').next().unwrap_or_default();
            *pings.entry(name.to_owned()).or_default() += 1;
        }
    }
    let mut wrong = 0;
    for reply in replies {
        let Reply::Peers(peers) = reply else { continue };
        for peer in peers.list {
            let counted = peer.statistics.replies + peer.statistics.lost;
            let sent = pings.get(&peer.name).copied().unwrap_or_default();
            wrong += usize::from(!(counted..=counted + 1).contains(&sent));
        }
    }
    Ok(wrong)
}
