// SPDX-License-Identifier: GPL-3.0-or-later
//! A provider of a service that answers every job at once, with the same lines.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The service that it provides.
pub(crate) const SERVICE: &str = "bare";

/// Serves for ever; every job is answered with the lines of the file.
pub(crate) fn play(socket: &Path, lines: &Path) -> anyhow::Result<()> {
    let lines = std::fs::read_to_string(lines)?;
    let mut write = UnixStream::connect(socket)?;
    let mut read = BufReader::with_capacity(64 * 1024, write.try_clone()?);
    writeln!(write, "SVCCLAIM {SERVICE} 1")?;
    let mut line = String::new();
    read.read_line(&mut line)?;
    anyhow::ensure!(line == "OK\n", "{line}");
    println!("ready");
    let mut answers = String::new();
    loop {
        line.clear();
        if read.read_line(&mut line)? == 0 {
            return Ok(());
        }
        // SVCJOB ID SERVICE COMMAND...; the rest are answers to what was said here.
        if let Some(job) = line.strip_prefix("SVCJOB ") {
            let id = job.split(' ').next().unwrap_or_default();
            for info in lines.lines() {
                writeln!(answers, "SVCINFO {id} {info}")?;
            }
            writeln!(answers, "SVCOK {id}")?;
        }
        // Everything that has come is answered in one go.
        if read.buffer().is_empty() && !answers.is_empty() {
            write.write_all(answers.as_bytes())?;
            answers.clear();
        }
    }
}
