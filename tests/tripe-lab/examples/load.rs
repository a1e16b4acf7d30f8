// SPDX-License-Identifier: GPL-3.0-or-later
//! How many pings a second one lab server answers, as a measurement and not as a test:
//! `cargo run --release -p tripe-lab --example load [PEERS [PINGS]]`.
//!
//! One client sends background pings in windows and reads their answers; the server's thread is
//! timed by the processor time it has used, so that the client's share is left out.

use anyhow::{Context, ensure};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tripe_lab::config::{LogConfig, Reflect};
use tripe_lab::{Lab, LabConfig, LabHandle};

/// How many pings are under way at a time.
const WINDOW: usize = 2_000;

struct Client {
    write: UnixStream,
    read: BufReader<UnixStream>,
    line: String,
}

impl Client {
    fn connect(lab: &LabHandle) -> anyhow::Result<Self> {
        let write = UnixStream::connect(lab.socket_path())?;
        let read = BufReader::with_capacity(1 << 16, write.try_clone()?);
        Ok(Client {
            write,
            read,
            line: String::new(),
        })
    }

    fn line(&mut self) -> anyhow::Result<&str> {
        self.line.clear();
        let length = self.read.read_line(&mut self.line)?;
        ensure!(length > 0, "the server closed the connection");
        Ok(self.line.trim_end())
    }

    fn add(&mut self, peers: usize) -> anyhow::Result<()> {
        for first in (0..peers).step_by(WINDOW) {
            let mut lines = String::new();
            let last = (first + WINDOW).min(peers);
            for n in first..last {
                let [_, high, middle, low] = u32::try_from(n)?.to_be_bytes();
                lines.push_str(&format!("ADD p{n} INET 198.{}.{middle}.{low}\n", 18 + high));
            }
            self.write.write_all(lines.as_bytes())?;
            for _ in first..last {
                let line = self.line()?;
                ensure!(line == "OK", "{line}");
            }
        }
        Ok(())
    }

    fn ping(&mut self, command: &str, peers: usize, pings: usize) -> anyhow::Result<usize> {
        let mut good = 0;
        for first in (0..pings).step_by(WINDOW) {
            let mut lines = String::new();
            let last = (first + WINDOW).min(pings);
            for n in first..last {
                lines.push_str(&format!("{command} -background t{n} p{}\n", n % peers));
            }
            self.write.write_all(lines.as_bytes())?;
            let mut left = last - first;
            while left > 0 {
                let line = self.line()?;
                if line.contains(" ping-ok ") {
                    good += 1;
                } else if line.starts_with("BGOK") || line.starts_with("BGFAIL") {
                    left -= 1;
                }
            }
        }
        Ok(good)
    }
}

/// Processor time that the server's thread has used.
fn used(lab: &LabHandle) -> anyhow::Result<Duration> {
    let text = lab
        .with_server(|_| std::fs::read_to_string("/proc/thread-self/schedstat"))?
        .context("no statistics of threads here")?;
    let nanos = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanos))
}

fn measure(
    name: &str,
    log: LogConfig,
    delay: u64,
    peers: usize,
    pings: usize,
) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let reflect: Reflect = "198.18.0.0/15".parse()?;
    let lab = Lab::start(LabConfig {
        reflect: Some(Reflect {
            delay: Duration::from_millis(delay),
            ..reflect
        }),
        log,
        ..LabConfig::new(dir.path().join("tripesock"))
    })?;
    let mut client = Client::connect(&lab)?;
    let start = Instant::now();
    client.add(peers)?;
    let added = start.elapsed();
    lab.wait_for_broadcast(&format!("NOTE KXDONE p{}", peers - 1))?;
    for command in ["PING", "EPING"] {
        let (start, before) = (Instant::now(), used(&lab)?);
        let good = client.ping(command, peers, pings)?;
        let (wall, server) = (start.elapsed(), used(&lab)? - before);
        let rate = |time: Duration| pings as f64 / time.as_secs_f64();
        println!(
            "{name}, {command}: {good} of {pings} answered, {:.0} a second by the clock, \
             {:.0} a second of the server's processor time",
            rate(wall),
            rate(server)
        );
    }
    println!(
        "{name}: {peers} peers added in {:.2} s",
        added.as_secs_f64()
    );
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |default| args.next().map_or(Ok(default), |text| text.parse());
    let (peers, pings) = (number(20_000)?, number(400_000)?);
    let full = LogConfig::default();
    let commands = LogConfig {
        lines: false,
        ..full
    };
    measure("all logged, answered at once", full, 0, peers, pings)?;
    measure(
        "commands logged, answered at once",
        commands,
        0,
        peers,
        pings,
    )?;
    measure(
        "commands logged, answered after 10 ms",
        commands,
        10,
        peers,
        pings,
    )
}
