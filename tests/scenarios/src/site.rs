// SPDX-License-Identifier: GPL-3.0-or-later
//! One host: a directory with a lab server, a peer database and scripts.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use peerdb::{Record, Writer};
use tempfile::TempDir;
use tripe_lab::config::Reflect;
use tripe_lab::{Lab, LabConfig, LabHandle, Switches};

use crate::{Admin, Service};

/// The variable that chooses how the lab reads the doubtful points: `flipped` for every second
/// reading at once, `flipped-again` for every third, or `name=value,...`.
const SWITCHES_VARIABLE: &str = "TRIPE_LAB_SWITCHES";

/// How many protocol seconds pass in a second, unless a test says otherwise: fast enough that a
/// ping's timeout of one second takes a tenth, slow enough for a loaded machine to answer in.
const TIME_SCALE: u32 = 4;

/// The same where the server answers for its peers.
const FAST_SCALE: u32 = 20;

fn switches() -> anyhow::Result<Switches> {
    let mut switches = Switches::default();
    let Some(chosen) = std::env::var_os(SWITCHES_VARIABLE) else {
        return Ok(switches);
    };
    let chosen = chosen.to_string_lossy().into_owned();
    let reading = match chosen.as_str() {
        "" | "default" => return Ok(switches),
        "flipped" => 1,
        "flipped-again" => 2,
        list => {
            for setting in list.split(',') {
                switches.apply(setting)?;
            }
            return Ok(switches);
        }
    };
    for (name, values) in Switches::table() {
        let value = values
            .get(reading)
            .or(values.last())
            .context("a switch without values")?;
        switches.set(name, value)?;
    }
    Ok(switches)
}

/// What a site is to have.
#[derive(Debug)]
pub struct SiteBuilder {
    config: LabConfig,
    directory: TempDir,
    writer: Vec<Record>,
    users: Vec<(String, String)>,
    auto: Vec<String>,
    database: bool,
}

impl SiteBuilder {
    /// Adds a peer to the database.
    #[must_use]
    pub fn peer(mut self, name: &str, pairs: &[(&str, &str)]) -> Self {
        self.writer.push(Record::new(name, pairs.iter().copied()));
        self
    }

    /// Adds a user to the database.
    #[must_use]
    pub fn user(mut self, user: &str, peer: &str) -> Self {
        self.users.push((user.to_owned(), peer.to_owned()));
        self
    }

    /// Adds a name to the start-up list.
    #[must_use]
    pub fn auto(mut self, name: &str) -> Self {
        self.auto.push(name.to_owned());
        self
    }

    /// Writes no database at all.
    #[must_use]
    pub fn without_database(mut self) -> Self {
        self.database = false;
        self
    }

    /// Changes the lab server's configuration.
    #[must_use]
    pub fn lab(mut self, change: impl FnOnce(&mut LabConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Has every address in 198.18.0.0/15 answer keys and pings without a socket, and time pass
    /// fast: such an answer comes in time however loaded the machine is, since the server knows
    /// beforehand when it will come.
    #[must_use]
    pub fn with_answering_peers(self) -> Self {
        self.lab(|config| {
            config.time_scale = FAST_SCALE;
            config.reflect = Some(Reflect {
                network: IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)),
                bits: 15,
                delay: Duration::from_millis(1),
            });
        })
    }

    /// Writes an executable script; records name it by its path, see [`SiteBuilder::path`].
    ///
    /// # Errors
    /// If the disk is full.
    pub fn script(self, name: &str, text: &str) -> anyhow::Result<Self> {
        write_script(&self.path(name), text)?;
        Ok(self)
    }

    /// The path of a file in the site's directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the database and starts the lab server.
    ///
    /// # Errors
    /// If either cannot be done.
    pub fn build(self) -> anyhow::Result<Site> {
        let lab = Lab::start(self.config)?;
        let site = Site {
            lab,
            directory: self.directory,
            users: self.users,
            auto: self.auto,
        };
        if self.database {
            site.write_database(&self.writer)?;
        }
        Ok(site)
    }
}

fn write_script(path: &Path, text: &str) -> anyhow::Result<()> {
    // Written beside and renamed, so that no child of another test can hold it open for writing
    // when it is executed.
    let fresh = path.with_extension("new");
    fs::write(&fresh, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    fs::rename(&fresh, path)?;
    Ok(())
}

/// One host.
#[derive(Debug)]
pub struct Site {
    /// Its server.
    pub lab: LabHandle,
    directory: TempDir,
    users: Vec<(String, String)>,
    auto: Vec<String>,
}

impl Site {
    /// Begins a site.
    ///
    /// # Errors
    /// If no directory can be made.
    #[expect(clippy::new_ret_no_self, reason = "a site is built step by step")]
    pub fn new() -> anyhow::Result<SiteBuilder> {
        let directory = crate::directory("site")?;
        let mut config = LabConfig::new(directory.path().join("tripesock"));
        config.switches = switches()?;
        config.time_scale = TIME_SCALE;
        Ok(SiteBuilder {
            config,
            directory,
            writer: Vec::new(),
            users: Vec::new(),
            auto: Vec::new(),
            database: true,
        })
    }

    /// The site's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The path of a file in the site's directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The address of its server, in the words of a `peer` key.
    #[must_use]
    pub fn address(&self) -> String {
        address_words(self.lab.udp_addr())
    }

    /// Replaces the database, as an operator would: a new file renamed over the old one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_database(&self, records: &[Record]) -> anyhow::Result<()> {
        let mut writer = Writer::new();
        for record in records {
            writer.put_record(record);
        }
        for (user, peer) in &self.users {
            writer.put_user(user, peer);
        }
        writer.put_auto(&self.auto);
        writer.write(self.path("peers.cdb"))?;
        Ok(())
    }

    /// Writes or replaces an executable script.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn script(&self, name: &str, text: &str) -> anyhow::Result<()> {
        write_script(&self.path(name), text)
    }

    /// A connection to the server's administration socket.
    ///
    /// # Errors
    /// If the server does not listen.
    pub fn admin(&self) -> anyhow::Result<Admin> {
        Admin::connect(self.lab.socket_path())
    }

    /// Runs one administration command that must succeed.
    ///
    /// # Errors
    /// If it fails.
    pub fn admin_ok(&self, line: &str) -> anyhow::Result<Vec<String>> {
        self.admin()?.ask(line)?.lines()
    }

    /// Runs one command of the service that must succeed.
    ///
    /// # Errors
    /// If it fails.
    pub fn submit(&self, command: &str) -> anyhow::Result<Vec<String>> {
        self.admin()?.submit(command)?.lines()
    }

    /// Runs one command of the service that must fail, and returns why it did.
    ///
    /// # Errors
    /// If it succeeds.
    pub fn submit_failing(&self, command: &str) -> anyhow::Result<String> {
        self.admin()?.submit(command)?.failed()
    }

    /// Starts `connect` with these options and waits until it has claimed its service.
    ///
    /// # Errors
    /// If it does not.
    pub fn connect(&self, options: &[&str]) -> anyhow::Result<Service> {
        let mut follower = self.lab.follow();
        let mut service = Service::start(self, options)?;
        let ready = follower.next_within(crate::PATIENCE, "the service is claimed", |what| {
            what.is_broadcast("NOTE SVCCLAIM connect")
        });
        service.explain(ready)?;
        service.wait_until_settled(self)?;
        Ok(service)
    }

    /// The value of a key in the answer to `info PEER`.
    ///
    /// # Errors
    /// If the command fails or has no such key.
    pub fn info(&self, peer: &str, key: &str) -> anyhow::Result<String> {
        let lines = self.submit(&format!("info {peer}"))?;
        lines
            .iter()
            .map(|line| tripe_admin::split(line).concat())
            .find_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned()))
            .with_context(|| format!("no key {key} in {lines:?}"))
    }
}

/// An address in the words of a `peer` key.
#[must_use]
pub fn address_words(address: SocketAddr) -> String {
    tripe_admin::Address::from(address).to_string()
}
