// SPDX-License-Identifier: GPL-3.0-or-later
//! Hostile neighbours: four users do their worst on both sockets, beside four that only compute as
//! much; how late pings are, how long another user waits for the state, and how much memory core
//! takes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use connect_ipc::control::{Reply, Request};
use scenarios::Service;

use super::{Effort, Found, progress};
use crate::baselines::player::Player;
use crate::measure::arrivals::Arrivals;
use crate::measure::figures::{Samples, columns};
use crate::measure::process;
use crate::neighbours::{Attack, burner};
use crate::operator::Operator;
use crate::report::Line;
use crate::rig::{Rig, Setup, commands};

const PERIOD: Duration = Duration::from_secs(1);

/// The users: numbers that nobody has. The last one only asks for the state.
const USERS: [u32; 4] = [61_001, 61_002, 61_003, 61_004];
const READER: u32 = 61_005;

/// How long the neighbours are at it before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// How much later pings may be than beside those that only compute, in milliseconds.
const ABOVE: f64 = 2.0;

/// How long another user may wait for the state of all peers, in milliseconds. Core gives all
/// observers together 100 rows a millisecond.
const STATE: f64 = 200.0;

/// How much memory core may take, in MiB: 3 for the peers, 16 for the answers to each user, 8 for
/// what comes in, and what the allocator keeps of it.
const MEMORY: f64 = 160.0;

/// What was seen: lateness of pings (p50, p99, most), p99 of a state in milliseconds, memory of
/// core in MiB, and pings that were not sent or not answered.
type Seen = [f64; 6];

const NAMES: [(&str, &str); 6] = [
    ("lateness of pings p50", "ms"),
    ("lateness of pings p99", "ms"),
    ("lateness of pings, most", "ms"),
    ("state for another user p99", "ms"),
    ("memory of core, most", "MiB"),
    ("pings missing", ""),
];

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        progress("neighbours: only root can start processes of other users, so not measured");
        return Ok(());
    }
    let peers = effort.pick(10_000, 200);
    let seconds = effort.pick(20, 2);
    let (mut hostile, mut quiet): (Vec<Seen>, Vec<Seen>) = (Vec::new(), Vec::new());
    while effort.goes_on(columns(&hostile).into_iter().chain(columns(&quiet))) {
        let run = hostile.len() + 1;
        let rig = rig(peers, seconds)?;
        let sockets = sockets(&rig)?.map(|path| path.to_string_lossy().into_owned());
        let attackers = Attack::ALL.map(|attack| {
            let mut words = vec!["neighbour".to_owned(), attack.name()];
            words.extend(sockets.clone());
            words
        });
        let (seen, plans) = spend(&rig, &attackers, seconds)?;
        hostile.push(seen);
        let burners = plans.map(|plan| vec!["burner".to_owned(), plan]);
        let (seen, _) = spend(&rig, &burners, seconds)?;
        quiet.push(seen);
        progress(&format!(
            "neighbours: run {run}: lateness p50, p99, most ms; state p99 ms; MiB; missing: \
             hostile {:.2?}, quiet {:.2?}",
            hostile.last().unwrap_or(&[0.0; 6]),
            quiet.last().unwrap_or(&[0.0; 6]),
        ));
    }
    let baseline = "four that only compute";
    let runs = columns(&hostile).into_iter().zip(columns(&quiet));
    for (at, ((what, unit), (hostile, quiet))) in NAMES.into_iter().zip(runs).enumerate() {
        let condition = format!("{what}, {peers} peers");
        let line = Line::new("Four hostile users", condition, unit, hostile)
            .map(|line| line.baseline(baseline, Ok(quiet)));
        found.lines.extend(line.map(|line| match at {
            1 => line.at_most_above(ABOVE, baseline),
            3 => line.at_most(STATE),
            4 => line.at_most(MEMORY),
            5 => line.at_most(0.0),
            _ => line,
        }));
    }
    Ok(())
}

/// The service, which every user can reach, with every peer pinged twice.
fn rig(peers: usize, seconds: u32) -> anyhow::Result<Rig> {
    let mut setup = Setup::new(peers, &[("every", "1")]);
    // Twice as long as is measured: starting and ending take their time.
    setup.log = commands(peers * 4 * (seconds as usize + 10));
    let mut rig = Rig::without_service(&setup)?;
    let open = fs::Permissions::from_mode(0o711);
    fs::set_permissions(rig.site.directory(), open)?;
    let options = ["--control-mode", "666"];
    rig.service = Some(Service::start(&rig.site, &options)?);
    rig.wait_for_pings(2 * peers as u64)?;
    Ok(rig)
}

/// The sockets of the service, that of observers first.
fn sockets(rig: &Rig) -> anyhow::Result<[PathBuf; 2]> {
    let control = rig.service.as_ref().context("no service")?.control();
    Ok([control.with_file_name("observe.sock"), control.to_owned()])
}

/// Watches the service beside four users in these roles; gives what was seen, and how much each of
/// them has computed, as plans.
fn spend(rig: &Rig, roles: &[Vec<String>; 4], seconds: u32) -> anyhow::Result<(Seen, [String; 4])> {
    let lost_before = lost(rig)?;
    let mut players = Vec::new();
    for (user, role) in USERS.into_iter().zip(roles) {
        let words: Vec<&str> = role.iter().map(String::as_str).collect();
        players.push(Player::start_as(Some(user), &words)?);
    }
    std::thread::sleep(WARM_UP);
    let [observe, _] = sockets(rig)?;
    let words = [&*observe.to_string_lossy(), &seconds.to_string()].map(str::to_owned);
    let mut reader = Player::start_as(Some(READER), &["reader", &words[0], &words[1]])?;
    let from = Instant::now();
    let until = from + PERIOD * seconds;
    let (slices, memory) = watch(rig, &players, until)?;
    let took = reader.line()?;
    drop(players);
    // Pings that are late come, too.
    std::thread::sleep(PERIOD);
    let took = took.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let arrivals = Arrivals::of(&rig.site.lab, rig.peers, PERIOD).context("no pings")?;
    let late = Samples::new(arrivals.lateness_between(from, until));
    let lost = lost(rig)?.saturating_sub(lost_before);
    let missing = arrivals.missing_between(from, until) as u64 + lost;
    let seen = [
        late.percentile(0.5),
        late.percentile(0.99),
        late.max(),
        Samples::new(took).percentile(0.99),
        memory as f64 / 1024.0 / 1024.0,
        missing as f64,
    ];
    Ok((seen, slices.map(|slices| burner::plan(&slices))))
}

/// What each player computes, slice by slice, and the most memory that core takes.
fn watch(
    rig: &Rig,
    players: &[Player],
    until: Instant,
) -> anyhow::Result<([Vec<Duration>; 4], u64)> {
    let computed = |player: &Player| process::cpu_time(player.pid()?);
    let mut before: Vec<Duration> = players.iter().map(computed).collect::<Result<_, _>>()?;
    let mut slices: [Vec<Duration>; 4] = Default::default();
    let mut memory = 0;
    let mut next = Instant::now();
    while next < until {
        next += burner::SLICE;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        for ((player, before), slices) in players.iter().zip(&mut before).zip(&mut slices) {
            let now = computed(player)?;
            slices.push(now.saturating_sub(std::mem::replace(before, now)));
        }
        memory = memory.max(process::resident(rig.core()?)?);
    }
    Ok((slices, memory))
}

/// How many pings were not answered so far, by core's own count.
fn lost(rig: &Rig) -> anyhow::Result<u64> {
    let service = rig.service.as_ref().context("no service")?;
    let replies = Operator::connect(service.control())?.ask(Request::Status {})?;
    let mut lost = 0;
    for reply in replies {
        if let Reply::Peers(peers) = reply {
            lost += peers
                .list
                .iter()
                .map(|peer| peer.statistics.lost)
                .sum::<u64>();
        }
    }
    Ok(lost)
}
