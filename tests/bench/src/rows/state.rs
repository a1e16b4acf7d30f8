// SPDX-License-Identifier: GPL-3.0-or-later
//! State: how long the state of very many peers takes to arrive at the one who asked for it, beside
//! a bare server that sends the same bytes: on the socket, and in `connect-cli status --json`.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use connect_ipc::control::{Answer, Envelope, Reply, Request};
use scenarios::{Service, program};

use super::{Effort, Found, progress, server_restart};
use crate::baselines::player::Player;
use crate::measure::figures::{Samples, columns};
use crate::operator::Operator;
use crate::report::Line;
use crate::rig::{Rig, Setup};

/// How many times as long as with the bare server it may take.
const TIMES: f64 = 1.5;

/// How often both take turns in a run.
const TURNS: usize = 5;

/// What every peer's record has beside its address. No ping comes in between; and for the script,
/// which is never run, core asks the server everything about a peer, so that it is seen when it is
/// ready.
pub(super) const KEYS: [(&str, &str); 2] = [("every", "3600"), ("ifdown", "/bin/true")];

/// The number of the request, on a connection of its own.
const ID: u64 = 1;

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let peers = effort.pick(10_000, 200);
    let rig = rig(peers)?;
    let service = rig.service.as_ref().context("no service")?;
    let ours = service.control().to_owned();
    let file = rig.site.path("state");
    std::fs::write(&file, ask(&ours)?.1)?;
    // Where the program looks for it, in a directory of its own.
    let directory = rig.site.path("bare");
    std::fs::create_dir(&directory)?;
    let bare = directory.join("control.sock");
    let arguments = [&bare, &file].map(|path| path.to_string_lossy());
    let mut player = Player::start(&["canned", &arguments[0], &arguments[1]])?;
    player.line()?;
    let (mut of_ours, mut of_bare): (Vec<[f64; 2]>, Vec<[f64; 2]>) = (Vec::new(), Vec::new());
    while effort.goes_on(columns(&of_ours).into_iter().chain(columns(&of_bare))) {
        let mut turns: [[Vec<f64>; 2]; 2] = Default::default();
        for _ in 0..TURNS {
            for (socket, turns) in [&ours, &bare].into_iter().zip(&mut turns) {
                turns[0].push(ask(socket)?.0);
                turns[1].push(cli(socket)?);
            }
        }
        let [one, other] = turns.map(|all| all.map(|turns| Samples::new(turns).percentile(0.5)));
        of_ours.push(one);
        of_bare.push(other);
        progress(&format!(
            "state: run {}: on the socket and in connect-cli, ms: ours {one:.2?}, bare {other:.2?}",
            of_ours.len()
        ));
    }
    let baseline = "bare server, the same bytes";
    let (ours, bare) = (columns(&of_ours), columns(&of_bare));
    for ((what, ours), bare) in ["on the socket", "connect-cli status --json"]
        .into_iter()
        .zip(ours)
        .zip(bare)
    {
        let condition = format!("{what}, {peers} peers");
        let line = Line::new("State of all peers, at the reader", condition, "ms", ours);
        found.lines.extend(line.map(|line| {
            line.baseline(baseline, Ok(bare))
                .at_most_times(TIMES, baseline)
        }));
    }
    Ok(())
}

/// The service, which knows so many peers and has nothing to do.
pub(super) fn rig(peers: usize) -> anyhow::Result<Rig> {
    let mut rig = Rig::without_service(&Setup::new(peers, &KEYS))?;
    rig.service = Some(Service::start(&rig.site, &[])?);
    let service = rig.service.as_ref().context("no service")?;
    server_restart::wait_until_known(service, peers)?;
    Ok(rig)
}

/// Asks once; gives the milliseconds from the question to the last byte of the answer, and the
/// answer.
pub(super) fn ask(socket: &Path) -> anyhow::Result<(f64, Vec<u8>)> {
    let line = |message: String| (message + "\n").into_bytes();
    let request = Request::Status {};
    let request = line(serde_json::to_string(&Envelope { id: ID, request })?);
    let reply = Reply::Done {};
    let end = line(serde_json::to_string(&Answer { id: ID, reply })?);
    let mut stream: UnixStream = Operator::connect(socket)?.into_stream()?;
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let started = Instant::now();
    stream.write_all(&request)?;
    while !all.ends_with(&end) {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the answer ends after {} bytes", all.len());
        all.extend_from_slice(&buffer[..read]);
    }
    Ok((started.elapsed().as_secs_f64() * 1e3, all))
}

/// Has `connect-cli` ask once; gives the milliseconds that it takes from its start to its end.
fn cli(socket: &Path) -> anyhow::Result<f64> {
    let directory = socket.parent().context("a socket without a directory")?;
    let program = program("connect-cli")?;
    let started = Instant::now();
    let status = Command::new(program)
        .args(["status", "--json", "--runtime-dir"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "connect-cli status: {status}");
    Ok(started.elapsed().as_secs_f64() * 1e3)
}
