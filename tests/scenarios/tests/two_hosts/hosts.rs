// SPDX-License-Identifier: GPL-3.0-or-later
//! Hosts made of network namespaces, with a veth link between them.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use peerdb::{Record, Writer};
use scenarios::{Admin, PATIENCE, program, programs};
use tempfile::TempDir;

/// The link's network. It exists in the test's own namespaces only.
pub(crate) const fn outer(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, host)
}

/// The addresses within the tunnel.
pub(crate) const fn inner(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, 0, host)
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program} {arguments:?}"))
}

/// Runs `ip`, which must succeed.
fn ip(arguments: &[&str]) -> anyhow::Result<String> {
    let output = run("ip", arguments)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "ip {arguments:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Why namespaces, links or tunnel devices cannot be had here; `None` if they can.
pub(crate) fn not_permitted() -> Option<String> {
    let name = unique("probe");
    let made = ip(&["netns", "add", &name]);
    let device = made.as_ref().map_err(ToString::to_string).and_then(|_| {
        ip(&["-n", &name, "tuntap", "add", "mode", "tun", "probe0"])
            .map_err(|error| error.to_string())
    });
    // Nothing to delete if it was not made.
    let _ = run("ip", &["netns", "del", &name]);
    device.err()
}

/// A name that no other test, nor another run of this one, uses.
fn unique(part: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("tc{}-{number}-{part}", std::process::id())
}

/// Stands for the host's directory at the beginning of a value in a record.
pub(crate) const HERE: &str = "HERE/";

/// One host: a namespace, a directory, a lab server and a connect service.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) namespace: String,
    directory: TempDir,
    children: Vec<Child>,
}

impl Host {
    pub(crate) fn new(part: &str) -> anyhow::Result<Self> {
        let namespace = unique(part);
        ip(&["netns", "add", &namespace])?;
        let directory = scenarios::directory("host")?;
        let host = Host {
            namespace,
            directory,
            children: Vec::new(),
        };
        host.ip(&["link", "set", "lo", "up"])?;
        Ok(host)
    }

    /// Runs `ip` within the host.
    pub(crate) fn ip(&self, arguments: &[&str]) -> anyhow::Result<String> {
        ip(&[&["-n", &self.namespace], arguments].concat())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A program to be run within the host, in its directory.
    pub(crate) fn command(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(program(name)?);
        command.current_dir(self.directory.path());
        // Scripts find connect-cli as they do where it is installed.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", programs()?.display()));
        for variable in ["TRIPEDIR", "TRIPESOCK", "TRIPEPEERDB", "TRIPE_CONNECT_DIR"] {
            command.env_remove(variable);
        }
        Ok(command)
    }

    /// Starts a program that runs until the host goes.
    pub(crate) fn start(&mut self, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let log = File::create(self.path(&format!("{name}.log")))?;
        let mut command = self.command(name)?;
        command.args(arguments).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        self.children.push(command.spawn()?);
        Ok(())
    }

    /// The logs of everything that runs here.
    pub(crate) fn logs(&self) -> String {
        ["tripe-lab.log", "connect.log", "connect-cli.log"]
            .map(|name| fs::read_to_string(self.path(name)).unwrap_or_default())
            .join("\n")
    }

    /// Waits until a look at something succeeds.
    pub(crate) fn wait_for<T>(
        &self,
        what: &str,
        mut look: impl FnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "no {what} in time; logs:\n{}",
                self.logs()
            );
            // Another process's state sends no events; looking is all there is.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A connection to the server.
    pub(crate) fn admin(&self) -> anyhow::Result<Admin> {
        let socket = self.path("tripesock");
        self.wait_for("server", || Admin::connect(&socket).ok())
    }

    /// A connection that hears everything the server says from now on.
    pub(crate) fn watcher(&self) -> anyhow::Result<Admin> {
        let mut admin = self.admin()?;
        admin.ask("WATCH +A")?.lines()?;
        Ok(admin)
    }

    /// Writes the peer database.
    pub(crate) fn database(&self, records: &[Record], auto: &[&str]) -> anyhow::Result<()> {
        let mut writer = Writer::new();
        for record in records {
            let pairs = record.iter().map(|(key, value)| {
                let here = value.strip_prefix(HERE);
                let here = here.map(|rest| self.path(rest).display().to_string());
                (key, here.unwrap_or_else(|| value.to_owned()))
            });
            writer.put_record(&Record::new(record.name(), pairs));
        }
        writer.put_auto(auto);
        writer.write(self.path("peers.cdb"))?;
        Ok(())
    }

    /// Writes a script.
    pub(crate) fn script(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Starts the lab server with real tunnel devices.
    pub(crate) fn start_server(&mut self) -> anyhow::Result<()> {
        self.start_server_with(&["-u", "0.0.0.0:4070"])
    }

    /// The same with the addresses where it is to be, and other options.
    pub(crate) fn start_server_with(&mut self, more: &[&str]) -> anyhow::Result<()> {
        let options = ["-a", "tripesock", "--allow-remote", "--tunnel", "tun"];
        self.start("tripe-lab", &[&options[..], more].concat())?;
        self.admin().map(drop)
    }

    /// Starts the service and waits until it is claimed.
    pub(crate) fn start_service(&mut self) -> anyhow::Result<()> {
        let mut watcher = self.watcher()?;
        self.start("connect", &["-d", ".", "-a", "tripesock", "--startup"])?;
        watcher
            .receive_until("NOTE SVCCLAIM connect")
            .with_context(|| self.logs())?;
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = run("ip", &["netns", "del", &self.namespace]);
    }
}

/// Two hosts with a link between them, called `wire` on both.
pub(crate) fn pair() -> anyhow::Result<(Host, Host)> {
    let gate = Host::new("gate")?;
    let hub = Host::new("hub")?;
    // Not called `link`, which the tool would take for a keyword.
    ip(&[
        "link",
        "add",
        "wire",
        "netns",
        &gate.namespace,
        "type",
        "veth",
        "peer",
        "name",
        "wire",
        "netns",
        &hub.namespace,
    ])?;
    for (host, number) in [(&gate, 1), (&hub, 2)] {
        let address = format!("{}/24", outer(number));
        host.ip(&["addr", "add", &address, "dev", "wire"])?;
        host.ip(&["link", "set", "wire", "up"])?;
    }
    Ok((gate, hub))
}
