// SPDX-License-Identifier: GPL-3.0-or-later
//! Debian's programs that watch many neighbours by BFD, each in a network namespace of its own:
//! bfdd of FRR, and keepalived. Nobody answers, which neither memory nor a restart depends on.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::measure::process;

/// How many sessions either may be given: each has a socket of its own.
const MOST: usize = 1_000;

/// How long they may take to begin. bfdd looks for a free port for each session, from the same one
/// on.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked whether they have begun.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Which program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Daemon {
    /// bfdd, with the zebra that it needs.
    Bfdd,
    /// keepalived, with the VRRP instance without which it has no BFD process.
    Keepalived,
}

impl Daemon {
    /// Both.
    pub(crate) const ALL: [Daemon; 2] = [Daemon::Bfdd, Daemon::Keepalived];

    /// Its name in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Daemon::Bfdd => "bfdd of FRR",
            Daemon::Keepalived => "keepalived",
        }
    }
}

/// One of them, running with so many sessions. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Sessions {
    daemon: Daemon,
    directory: tempfile::TempDir,
    namespace: Namespace,
    children: Vec<Child>,
    count: usize,
}

impl Sessions {
    /// Starts it, and waits until it has sent something for the sessions.
    pub(crate) fn start(daemon: Daemon, count: usize) -> anyhow::Result<Self> {
        ensure!(count <= MOST, "not tried: a socket a session");
        let directory = tempfile::tempdir()?;
        // bfdd and zebra become another user.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777))?;
        let mut sessions = Sessions {
            daemon,
            namespace: Namespace::new()?,
            directory,
            children: Vec::new(),
            count,
        };
        sessions.write()?;
        sessions.run()?;
        sessions.wait(0)?;
        Ok(sessions)
    }

    /// Memory of the processes that watch, in bytes; zebra's is not counted.
    pub(crate) fn pss(&self) -> anyhow::Result<f64> {
        let files = match self.daemon {
            Daemon::Bfdd => &["watcher.pid"][..],
            Daemon::Keepalived => &["watcher.pid", "main.pid", "vrrp.pid"],
        };
        let mut all = 0;
        for file in files {
            all += process::pss(self.pid(file)?)?;
        }
        Ok(all as f64)
    }

    /// Kills the process that watches; gives the milliseconds until the next one has sent its first
    /// packet. keepalived starts it again itself, and bfdd is started here.
    pub(crate) fn restart(&mut self) -> anyhow::Result<f64> {
        let old = self.pid("watcher.pid")?;
        let before = self.sent()?;
        let killed = Instant::now();
        kill_process(Pid::from_raw(old).context("no process")?, Signal::KILL)?;
        if self.daemon == Daemon::Bfdd {
            let mut child = self.children.pop().context("no bfdd")?;
            child.wait()?;
            let child = self.bfdd()?;
            self.children.push(child);
        }
        while self.pid("watcher.pid").map_or(true, |pid| pid == old) {
            ensure!(killed.elapsed() < PATIENCE, "it does not come again");
            std::thread::sleep(LOOK_EVERY);
        }
        self.wait(before)?;
        Ok(killed.elapsed().as_secs_f64() * 1e3)
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn pid(&self, file: &str) -> anyhow::Result<i32> {
        let text = fs::read_to_string(self.path(file))?;
        Ok(text.trim().parse()?)
    }

    /// Waits until more packets were sent, and bfdd or keepalived has a socket for each session.
    fn wait(&self, before: u64) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let sockets = self.pid("watcher.pid").and_then(|pid| {
                let files = fs::read_dir(format!("/proc/{pid}/fd"))?;
                Ok(files.count())
            });
            let all = sockets.is_ok_and(|sockets| sockets >= self.count);
            if all && self.sent()? > before {
                return Ok(());
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "not ready within {PATIENCE:?}"
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// How many packets were sent in the namespace.
    fn sent(&self) -> anyhow::Result<u64> {
        let pid = self.children.first().context("nothing runs")?.id();
        process::sent_datagrams(i32::try_from(pid)?)
    }

    fn write(&self) -> anyhow::Result<()> {
        let address = |n: usize| format!("127.1.{}.{}", n / 250, n % 250 + 1);
        let mut text = String::new();
        for n in 0..self.count {
            match self.daemon {
                Daemon::Bfdd => writeln!(
                    text,
                    "{} peer {} multihop local-address 127.0.0.1\n exit",
                    if n == 0 { "bfd\n" } else { "" },
                    address(n)
                )?,
                Daemon::Keepalived => writeln!(
                    text,
                    "bfd_instance b{n} {{\n neighbor_ip {}\n source_ip 127.0.0.1\n min_tx 1000\n \
                     min_rx 1000\n multiplier 3\n}}",
                    address(n)
                )?,
            }
        }
        if self.daemon == Daemon::Keepalived {
            text += "vrrp_instance v {\n interface v0\n virtual_router_id 5\n priority 100\n \
                     virtual_ipaddress {\n  10.99.0.1/32\n }\n track_bfd {\n  b0\n }\n}\n";
        }
        fs::write(self.path("configuration"), text)?;
        Ok(())
    }

    fn run(&mut self) -> anyhow::Result<()> {
        if self.daemon == Daemon::Keepalived {
            let mut command = self.namespace.command("keepalived");
            command.args(["-n", "-l", "-f", &self.path("configuration")]);
            for (option, file) in [
                ("-p", "main.pid"),
                ("-r", "vrrp.pid"),
                ("-c", "check.pid"),
                ("-b", "watcher.pid"),
            ] {
                command.args([option, &self.path(file)]);
            }
            self.children.push(command.spawn()?);
            return Ok(());
        }
        let zebra = self.frr("zebra", "zebra.pid").spawn()?;
        self.children.push(zebra);
        let started = Instant::now();
        while !self.directory.path().join("zserv").exists() {
            ensure!(started.elapsed() < PATIENCE, "zebra does not start");
            std::thread::sleep(LOOK_EVERY);
        }
        let bfdd = self.bfdd()?;
        self.children.push(bfdd);
        Ok(())
    }

    fn bfdd(&self) -> anyhow::Result<Child> {
        let mut command = self.frr("bfdd", "watcher.pid");
        command
            .args(["-f", &self.path("configuration")])
            .args(["--bfdctl", &self.path("control")]);
        Ok(command.spawn()?)
    }

    fn frr(&self, name: &str, pid_file: &str) -> Command {
        let mut command = self.namespace.command(&format!("/usr/lib/frr/{name}"));
        command
            .args(["-i", &self.path(pid_file), "-z", &self.path("zserv")])
            .args(["--vty_socket", &self.path(""), "-P", "0"]);
        command
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        // keepalived's children outlive it if it is killed, so all in the namespace are.
        self.namespace.end();
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

/// A network namespace with loopback and a pair of interfaces. Dropping it removes it.
#[derive(Debug)]
struct Namespace {
    name: String,
}

impl Namespace {
    fn new() -> anyhow::Result<Self> {
        let is_root = rustix::process::geteuid().is_root();
        ensure!(is_root, "only root makes a namespace");
        let name = format!("bench-{}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Namespace { name };
        for words in [
            "link set lo up",
            "link add v0 type veth peer name v1",
            "link set v0 up",
            "link set v1 up",
            "address add 10.77.0.1/24 dev v0",
        ] {
            let all = ["-n", &namespace.name].into_iter().chain(words.split(' '));
            ip(&all.collect::<Vec<_>>())?;
        }
        Ok(namespace)
    }

    /// A program that is to run in it, silent.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name, program])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Kills what runs in it.
    fn end(&self) {
        let Ok(pids) = ip(&["netns", "pids", &self.name]) else {
            return;
        };
        for pid in pids.lines().filter_map(|line| line.trim().parse().ok()) {
            if let Some(pid) = Pid::from_raw(pid) {
                // It may have ended already.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // There is nothing to be done if it stays.
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

/// Runs `ip`, and gives what it prints.
fn ip(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("no iproute2")?;
    ensure!(output.status.success(), "ip {} fails", arguments.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
