// SPDX-License-Identifier: GPL-3.0-or-later
//! Service jobs: `SVCSUBMIT connect info PEER` a second through the lab, beside a provider that
//! answers at once with the same lines.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use anyhow::ensure;

use super::{Effort, Found, progress};
use crate::baselines::player::Player;
use crate::baselines::provider;
use crate::report::Line;
use crate::rig::{Rig, Setup};

/// How many jobs are under way at a time: enough to keep every process on the way busy.
const WINDOW: usize = 32;

/// What share of the bare provider's jobs ours must do.
const SHARE: f64 = 0.7;

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let jobs = effort.pick(20_000, 500);
    let rig = Rig::start(&Setup::new(100, &[("every", "30")]))?;
    let socket = rig.site.lab.socket_path();
    let lines = rig.site.submit("info peer-00000")?;
    let file = rig.site.path("lines");
    std::fs::write(&file, lines.join("\n"))?;
    let (socket_text, file) = (socket.to_string_lossy(), file.to_string_lossy());
    let mut player = Player::start(&["provider", &socket_text, &file])?;
    player.line()?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    while effort.goes_on([ours.clone(), bare.clone()]) {
        let run = ours.len() + 1;
        ours.push(submit(socket, "connect", jobs, lines.len())?);
        bare.push(submit(socket, provider::SERVICE, jobs, lines.len())?);
        progress(&format!(
            "jobs: run {run}: {:.0} a second, bare provider {:.0}",
            ours.last().unwrap_or(&0.0),
            bare.last().unwrap_or(&0.0)
        ));
    }
    let baseline = "bare provider";
    let condition = format!("info, {WINDOW} at a time");
    let line = Line::new("Service jobs through the lab", condition, "1/s", ours);
    found.lines.extend(line.map(|line| {
        line.baseline(baseline, Ok(bare))
            .at_least_times(SHARE, baseline)
    }));
    Ok(())
}

/// Submits jobs in a window, and gives how many were answered in a second.
fn submit(socket: &Path, service: &str, jobs: usize, lines: usize) -> anyhow::Result<f64> {
    let mut write = UnixStream::connect(socket)?;
    let mut read = BufReader::with_capacity(64 * 1024, write.try_clone()?);
    let started = Instant::now();
    let (mut sent, mut done, mut info) = (0, 0, 0);
    let mut under_way = HashSet::new();
    let mut commands = String::new();
    let mut line = String::new();
    while done < jobs {
        commands.clear();
        while under_way.len() < WINDOW && sent < jobs {
            writeln!(
                commands,
                "SVCSUBMIT -background t{sent} {service} info peer-00000"
            )?;
            under_way.insert(sent);
            sent += 1;
        }
        write.write_all(commands.as_bytes())?;
        // Everything that has come is taken before more is sent.
        loop {
            line.clear();
            ensure!(read.read_line(&mut line)? > 0, "the lab is gone");
            let mut words = line.trim_end().split(' ');
            match (words.next(), words.next()) {
                (Some("BGINFO"), _) => info += 1,
                (Some("BGOK"), Some(tag)) => {
                    let number = tag.strip_prefix('t').unwrap_or_default().parse()?;
                    ensure!(under_way.remove(&number), "job {tag} ended twice");
                    done += 1;
                }
                (Some("BGDETACH"), _) => {}
                _ => anyhow::bail!("unexpected: {line}"),
            }
            if read.buffer().is_empty() && under_way.len() < WINDOW {
                break;
            }
        }
    }
    ensure!(info == jobs * lines, "{info} lines for {jobs} jobs");
    Ok(jobs as f64 / started.elapsed().as_secs_f64())
}
