// SPDX-License-Identifier: GPL-3.0-or-later
//! A script of the service: it writes its start and its end to a file, each with one write, and
//! takes some time in between.
//!
//! Each script has a lock on a file of its peer and lane as long as it runs. So a script knows if
//! another one of the lane runs at the same time, whatever the clocks say, and however the other
//! one ends.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use connect_runtime::clock;
use rustix::fs::{FlockOperation, flock};
use tripe_lab::rng::Rng;

use judge::history::script_kind;

/// The first argument in this role. After it come the run's directory, the seed, the kind of
/// script, the peer, and what the service adds.
pub(crate) const TASK: &str = "script";

/// The file in which scripts write, in the run's directory.
pub(crate) const LOG: &str = "scripts.log";

/// The directory of the locks, in the run's directory.
pub(crate) const LOCKS: &str = "locks";

/// The variable by which the service tells a script the number of its run.
const RUN_VARIABLE: &str = "TRIPE_CONNECT_RUN";

/// Most scripts take less than this many milliseconds.
const USUAL: u64 = 300;

/// A few take two to three seconds, longer than most pauses between two deaths.
const LONG: u64 = 2_000;

/// Plays the script.
pub(crate) fn play(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<String> = arguments
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("chaos script: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let [directory, seed, kind, peer, ..] = arguments else {
        anyhow::bail!("arguments are missing");
    };
    let kind = script_kind(kind).ok_or_else(|| anyhow::anyhow!("no kind of script: {kind}"))?;
    let start = clock::now();
    let directory = Path::new(directory);
    let lock = directory
        .join(LOCKS)
        .join(format!("{peer}.{}", kind.lane()));
    let lock = File::create(lock)?;
    let alone = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
    let number = std::env::var(RUN_VARIABLE).unwrap_or_else(|_| "-".to_owned());
    let pid = std::process::id();
    let mut log = OpenOptions::new().append(true).open(directory.join(LOG))?;
    let beside = if alone { "alone" } else { "beside" };
    let who = format!("{} {peer} {number} {pid}", kind.name());
    log.write_all(format!("start {} {who} {beside}\n", start.0).as_bytes())?;
    let mut rng = Rng::new(seed.parse::<u64>()?).fork(u64::from(pid) ^ start.0);
    let chance = rng.below(100);
    let time = if chance < 2 {
        LONG + rng.below(1_000)
    } else {
        rng.below(USUAL)
    };
    let lines = if rng.below(100) < 15 {
        1 + rng.below(5)
    } else {
        0
    };
    for line in 0..lines {
        // Whoever has read this may be dead.
        let _ = writeln!(std::io::stdout(), "line {line} of {who}");
    }
    std::thread::sleep(Duration::from_millis(time));
    let fails = rng.below(100) < 8;
    log.write_all(format!("end {} {who}\n", clock::now().0).as_bytes())?;
    drop(lock);
    Ok(ExitCode::from(u8::from(fails)))
}
