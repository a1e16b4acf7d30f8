// SPDX-License-Identifier: GPL-3.0-or-later
//! Everything that is measured: a lab server that also plays its peers, a peer database, and the
//! real service as processes of its own.
//!
//! ```text
//!   [lab server, a thread of ours] <--admin socket--> connect, connect-pinger, connect-ifscripts
//!                                  <--admin socket--> comparators, one after the other
//! ```

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use peerdb::Record;
use scenarios::{Service, Site};
use tripe_lab::config::{LogConfig, Reflect};

use crate::measure::process;

/// How many `ADD` commands are under way at a time, so that neither side's buffers fill up.
const ADD_WINDOW: usize = 2_000;

/// How long anything may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a counter is looked at that sends no event.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is to be set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    /// How many peers.
    pub peers: usize,
    /// Keys of every peer's record beside its address.
    pub keys: &'a [(&'a str, &'a str)],
    /// What the lab keeps of what it sees.
    pub log: LogConfig,
}

/// Nothing is kept: recording would cost the lab more than answering.
pub(crate) const NO_LOG: LogConfig = LogConfig {
    commands: false,
    lines: false,
    datagrams: false,
    capacity: 1,
};

impl<'a> Setup<'a> {
    /// So many peers with these keys, nothing logged.
    pub(crate) const fn new(peers: usize, keys: &'a [(&'a str, &'a str)]) -> Self {
        Setup {
            peers,
            keys,
            log: NO_LOG,
        }
    }
}

/// The arrangement, with or without the service running.
#[derive(Debug)]
pub(crate) struct Rig {
    /// The service; before the site, so that it ends first.
    pub service: Option<Service>,
    /// The lab server and its directory.
    pub site: Site,
    /// How many peers there are.
    pub peers: usize,
}

/// The name of peer number `n`.
pub(crate) fn name(n: usize) -> String {
    format!("peer-{n:05}")
}

/// The log for so many pings and what belongs to them: commands only.
pub(crate) const fn commands(capacity: usize) -> LogConfig {
    LogConfig {
        commands: true,
        capacity,
        ..NO_LOG
    }
}

/// The number of a peer, from its name.
pub(crate) fn number(name: &str) -> Option<usize> {
    name.strip_prefix("peer-")?.parse().ok()
}

/// The address of peer number `n`, in the network that the lab answers for.
pub(crate) fn address(n: usize) -> String {
    // 198.18.0.0/15 has room for more peers than the lab takes.
    format!(
        "INET 198.{}.{}.{} 4070",
        18 + n / 65_536,
        n / 256 % 256,
        n % 256
    )
}

/// The record of peer number `n`.
pub(crate) fn record(n: usize, keys: &[(&str, &str)]) -> Record {
    let address = address(n);
    let own = [("peer", address.as_str()), ("watch", "t")];
    Record::new(&name(n), own.iter().chain(keys).copied())
}

impl Rig {
    /// Starts the lab server, gives it its peers and writes the database.
    pub(crate) fn without_service(setup: &Setup<'_>) -> anyhow::Result<Self> {
        let log = setup.log;
        let site = Site::new()?
            .lab(|config| {
                config.time_scale = 1;
                config.log = log;
                config.reflect = Some(Reflect {
                    network: IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)),
                    bits: 15,
                    delay: Duration::ZERO,
                });
            })
            .build()?;
        let records: Vec<Record> = (0..setup.peers).map(|n| record(n, setup.keys)).collect();
        site.write_database(&records)?;
        let rig = Rig {
            service: None,
            site,
            peers: setup.peers,
        };
        rig.add_peers()?;
        Ok(rig)
    }

    /// The same with the service, which has pinged every peer once when this returns.
    pub(crate) fn start(setup: &Setup<'_>) -> anyhow::Result<Self> {
        let mut rig = Self::without_service(setup)?;
        rig.service = Some(Service::start(&rig.site, &[])?);
        rig.wait_for_pings(setup.peers as u64)?;
        Ok(rig)
    }

    fn add_peers(&self) -> anyhow::Result<()> {
        let mut write = UnixStream::connect(self.site.lab.socket_path())?;
        let mut read = BufReader::new(write.try_clone()?);
        let mut line = String::new();
        for first in (0..self.peers).step_by(ADD_WINDOW) {
            let last = (first + ADD_WINDOW).min(self.peers);
            let mut lines = String::new();
            for n in first..last {
                writeln!(lines, "ADD {} {}", name(n), address(n))?;
            }
            write.write_all(lines.as_bytes())?;
            for _ in first..last {
                line.clear();
                read.read_line(&mut line)?;
                ensure!(line == "OK\n", "the lab does not add a peer: {line}");
            }
        }
        Ok(())
    }

    /// Waits until the lab has been asked for so many pings since it started.
    pub(crate) fn wait_for_pings(&self, count: u64) -> anyhow::Result<()> {
        let started = Instant::now();
        while self.pings()? < count {
            if started.elapsed() > PATIENCE {
                let log = self.service.as_ref().map(Service::log).unwrap_or_default();
                anyhow::bail!("{} of {count} pings in time; log:\n{log}", self.pings()?);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// How many pings the lab has been asked for.
    pub(crate) fn pings(&self) -> anyhow::Result<u64> {
        Ok(self
            .site
            .lab
            .with_server(tripe_lab::server::Server::pings)?)
    }

    /// The process of `connect` itself, which is core.
    pub(crate) fn core(&self) -> anyhow::Result<i32> {
        let service = self.service.as_ref().context("no service runs")?;
        Ok(i32::try_from(service.pid())?)
    }

    /// A helper's process.
    pub(crate) fn helper(&self, helper: Helper) -> anyhow::Result<i32> {
        // The kernel keeps the first 15 bytes of a name.
        let prefix = match helper {
            Helper::Pinger => "connect-pinger",
            Helper::Scripts => "connect-ifscrip",
        };
        process::children(self.core()?)?
            .into_iter()
            .find(|(_, name)| name == prefix)
            .map(|(pid, _)| pid)
            .with_context(|| format!("{prefix} does not run"))
    }

    /// All our processes.
    pub(crate) fn processes(&self) -> anyhow::Result<[i32; 3]> {
        Ok([
            self.core()?,
            self.helper(Helper::Pinger)?,
            self.helper(Helper::Scripts)?,
        ])
    }
}

/// Which helper.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Helper {
    /// connect-pinger.
    Pinger,
    /// connect-ifscripts.
    Scripts,
}
