// SPDX-License-Identifier: GPL-3.0-or-later
//! Control: requests one by one, beside a bare server of JSON lines with the same client and the
//! same answers; and events to one and to many observers, one of which has stopped reading.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use connect_ipc::control::Request;
use connect_ipc::event::EventName;
use connect_ipc::event_filter::EventFilter;
use tokio::io::AsyncReadExt as _;

use super::{Effort, Found, progress};
use crate::baselines::player::Player;
use crate::measure::figures::{Samples, columns};
use crate::measure::placement::Together;
use crate::operator::Operator;
use crate::report::Line;
use crate::rig::{self, Rig, Setup};

/// What share of the bare server's requests ours must answer.
const SHARE: f64 = 0.8;

/// What counts as nobody being slowed: this share of the rate without a stopped observer.
const UNDISTURBED: f64 = 0.9;

/// How often the two servers take turns in a run.
const TURNS: usize = 10;

/// How many observers are many.
const MANY: usize = 100;

/// What one client saw: requests a second, and p50 and p99 in microseconds.
type Asked = [f64; 3];

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let rig = Rig::start(&Setup::new(100, &[("every", "30")]))?;
    requests(&rig, effort, found)?;
    events(&rig, effort, found)
}

fn requests(rig: &Rig, effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let service = rig.service.as_ref().context("no service")?;
    let mut operator = Operator::connect(service.control())?;
    let answer = operator.ask(the_request())?;
    let (file, socket) = (rig.site.path("answer"), rig.site.path("echo"));
    let reply = answer.first().context("no answer")?;
    std::fs::write(&file, serde_json::to_vec(reply)?)?;
    let arguments = [&socket, &file].map(|path| path.to_string_lossy());
    let mut player = Player::start(&["echo", &arguments[0], &arguments[1]])?;
    player.line()?;
    let echo = Operator::connect(&socket)?;
    let processes = [i32::try_from(service.pid())?, player.pid()?];
    let mut clients = [operator, echo];
    let lines = by_turns(&mut clients, effort, "one by one")?;
    found.lines.extend(lines);
    let _together = Together::with(&processes)?;
    let lines = by_turns(&mut clients, effort, "on one processor")?;
    found.lines.extend(lines);
    Ok(())
}

/// Asks ours and the bare server, by turns, so that both meet the same moods of the machine.
fn by_turns(
    [operator, echo]: &mut [Operator; 2],
    effort: &Effort,
    condition: &str,
) -> anyhow::Result<Vec<Line>> {
    let count = effort.pick(1_000, 30);
    let (mut ours, mut bare): (Vec<Asked>, Vec<Asked>) = (Vec::new(), Vec::new());
    while effort.goes_on(columns(&ours).into_iter().chain(columns(&bare))) {
        let run = ours.len() + 1;
        let (mut of_ours, mut of_bare) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            ask(operator, count, &mut of_ours)?;
            ask(echo, count, &mut of_bare)?;
        }
        let asked = (summary(of_ours), summary(of_bare));
        progress(&format!(
            "control: {condition}, run {run}: per second, p50 and p99 us: ours {:.0?}, \
             bare server {:.0?}",
            asked.0, asked.1
        ));
        ours.push(asked.0);
        bare.push(asked.1);
    }
    let baseline = "bare tokio server";
    let mut lines = Vec::new();
    for (at, (what, unit)) in [("requests", "1/s"), ("p50", "us"), ("p99", "us")]
        .into_iter()
        .enumerate()
    {
        let of = |runs: &[Asked]| runs.iter().map(|asked| asked[at]).collect::<Vec<f64>>();
        let condition = format!("{what}, {condition}");
        let line = Line::new("Control requests", condition, unit, of(&ours))
            .map(|line| line.baseline(baseline, Ok(of(&bare))));
        lines.extend(if at == 0 {
            line.map(|line| line.at_least_times(SHARE, baseline))
        } else {
            line
        });
    }
    Ok(lines)
}

fn the_request() -> Request {
    Request::Info { peer: rig::name(0) }
}

/// Asks once; gives the microseconds that it took.
pub(super) fn ask_once(operator: &mut Operator) -> anyhow::Result<f64> {
    let started = Instant::now();
    operator.send(the_request())?;
    operator.read()?;
    Ok(started.elapsed().as_secs_f64() * 1e6)
}

fn ask(operator: &mut Operator, count: usize, delays: &mut Vec<f64>) -> anyhow::Result<()> {
    for _ in 0..count {
        delays.push(ask_once(operator)?);
    }
    Ok(())
}

fn summary(delays: Vec<f64>) -> Asked {
    let rate = delays.len() as f64 / (delays.iter().sum::<f64>() / 1e6);
    let delays = Samples::new(delays);
    [rate, delays.percentile(0.5), delays.percentile(0.99)]
}

/// Who watches.
#[derive(Clone, Copy, Debug)]
enum Watchers {
    /// So many, all reading.
    Reading(usize),
    /// So many, and one more that does not read.
    AndOneStopped(usize),
}

fn events(rig: &Rig, effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    // Few enough that even all of them unread are below the bound from which on events are dropped.
    let count = effort.pick(4_000, 200);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut all: [Vec<f64>; 3] = Default::default();
    while effort.goes_on(all.clone()) {
        let run = all[0].len() + 1;
        for (runs, watchers) in all.iter_mut().zip([
            Watchers::Reading(1),
            Watchers::Reading(MANY),
            Watchers::AndOneStopped(MANY),
        ]) {
            runs.push(runtime.block_on(fan_out(rig, watchers, count))?);
        }
        progress(&format!(
            "control: run {run}: events a second to 1, to {MANY}, to {MANY} and one stopped: {:.0?}",
            all.iter()
                .filter_map(|runs| runs.last())
                .collect::<Vec<_>>()
        ));
    }
    let [one, many, stopped] = all;
    let quantity = "Events a second, to each observer";
    found
        .lines
        .extend(Line::new(quantity, "1 observer", "1/s", one));
    let line = Line::new(
        quantity,
        format!("{MANY} observers, one more stopped"),
        "1/s",
        stopped,
    );
    found.lines.extend(line.map(|line| {
        line.baseline("none stopped", Ok(many))
            .at_least_times(UNDISTURBED, "none stopped")
    }));
    Ok(())
}

/// Makes events and waits until every watcher that reads has all; gives events a second.
async fn fan_out(rig: &Rig, watchers: Watchers, count: usize) -> anyhow::Result<f64> {
    let service = rig.service.as_ref().context("no service")?;
    let (reading, stopped) = match watchers {
        Watchers::Reading(reading) => (reading, false),
        Watchers::AndOneStopped(reading) => (reading, true),
    };
    let watch = || -> anyhow::Result<Operator> {
        let mut operator = Operator::connect(service.control())?;
        operator.ask(Request::Events(EventFilter {
            kinds: [EventName::Moved].into_iter().collect(),
            ..EventFilter::default()
        }))?;
        Ok(operator)
    };
    let idle = stopped.then(watch).transpose()?;
    let mut readers = Vec::new();
    for _ in 0..reading {
        readers.push(tokio::spawn(count_lines(watch()?.into_stream()?, count)));
    }
    let started = Instant::now();
    let socket = rig.site.lab.socket_path().to_owned();
    let notes = std::thread::spawn(move || make_notes(&socket, count));
    for reader in readers {
        reader.await??;
    }
    let seconds = started.elapsed().as_secs_f64();
    notes
        .join()
        .map_err(|_| anyhow::anyhow!("the thread that makes events has died"))??;
    drop(idle);
    Ok(count as f64 / seconds)
}

/// Reads so many lines.
async fn count_lines(stream: UnixStream, count: usize) -> anyhow::Result<()> {
    stream.set_nonblocking(true)?;
    let mut stream = tokio::net::UnixStream::from_std(stream)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut lines = 0;
    while lines < count {
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut buffer));
        let length = read.await.context("events are missing")??;
        anyhow::ensure!(length > 0, "core closed the connection");
        lines += buffer[..length].iter().filter(|b| **b == b'\n').count();
    }
    Ok(())
}

/// Has the lab tell of so many changed addresses, each of which is an event.
fn make_notes(socket: &Path, count: usize) -> anyhow::Result<()> {
    let mut lines = String::new();
    for n in 0..count {
        writeln!(
            lines,
            "LAB BROADCAST \"NOTE NEWADDR {} {}\"",
            rig::name(n % 100),
            rig::address(n % 100)
        )?;
    }
    let mut stream = UnixStream::connect(socket)?;
    let mut answers = std::io::BufReader::new(stream.try_clone()?);
    let writer = std::thread::spawn(move || stream.write_all(lines.as_bytes()));
    let mut line = String::new();
    for _ in 0..count {
        line.clear();
        std::io::BufRead::read_line(&mut answers, &mut line)?;
        anyhow::ensure!(line == "OK\n", "{line}");
    }
    writer
        .join()
        .map_err(|_| anyhow::anyhow!("the writing thread has died"))??;
    Ok(())
}
