// SPDX-License-Identifier: GPL-3.0-or-later
//! The directory of a run, and how its programs are started.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::guard::MARK;
use super::logs::Logs;
use super::service::Part;
use super::volume::{VOLUME, Volume};
use crate::neighbour::STRANGER;
use crate::options::Layout;
use crate::script;

/// Variables by which our own environment would lead the programs elsewhere.
const OTHERS: [&str; 5] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "STATE_DIRECTORY",
    "RUNTIME_DIRECTORY",
];

/// The logs of the service. In the layout `drop-in` all processes write to the first.
pub(crate) const CORE_LOG: &str = "core.log";
const PINGER_LOG: &str = "pinger.log";
const SCRIPTS_LOG: &str = "ifscripts.log";

/// How the service meets the peers that the server has when it is first started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Beginning {
    /// It is started together with the server (`--startup`), and sets them up.
    Together,
    /// They count as set up. Then the server is never killed: a service that is away when the next
    /// server starts would find its peers, too, and nobody could say which.
    Later,
}

/// Of so many seeds one begins later.
const LATER_EVERY: u64 = 3;

impl Beginning {
    /// As the seed has it.
    pub(crate) const fn of(seed: u64) -> Self {
        if seed.is_multiple_of(LATER_EVERY) {
            Beginning::Later
        } else {
            Beginning::Together
        }
    }
}

/// The site.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) directory: PathBuf,
    pub(crate) layout: Layout,
    pub(crate) beginning: Beginning,
    /// Where state, journal and sockets are.
    pub(crate) volume: Volume,
    /// The logs of the service.
    pub(crate) logs: Logs,
    programs: PathBuf,
    /// Whether connect-ifscripts knows the option for the directory of its journal.
    has_journal: bool,
    /// Whether programs can be started as another user.
    pub(crate) has_stranger: bool,
}

impl Site {
    /// Makes a new directory. The guard removes it.
    pub(crate) fn new(
        layout: Layout,
        beginning: Beginning,
        programs: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let programs = match programs {
            Some(directory) => directory.to_owned(),
            None => {
                let own = std::env::current_exe().context("cannot find this program's own file")?;
                own.parent()
                    .context("this program has no directory")?
                    .to_owned()
            }
        };
        let programs = programs
            .canonicalize()
            .with_context(|| format!("cannot find the directory {}", programs.display()))?;
        let directory = tempfile::Builder::new().prefix("chaos").tempdir()?.keep();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
        fs::create_dir(directory.join(script::LOCKS))?;
        let volume = Volume::new(&directory)?;
        let journal = directory.join(VOLUME).join("journal");
        fs::create_dir(&journal)?;
        fs::set_permissions(&journal, fs::Permissions::from_mode(0o700))?;
        File::create(directory.join(script::LOG))?;
        let mut site = Site {
            logs: Logs::start(&directory, &[CORE_LOG, PINGER_LOG, SCRIPTS_LOG])?,
            volume,
            directory,
            layout,
            beginning,
            programs,
            has_journal: false,
            has_stranger: can_start_as_stranger(),
        };
        site.has_journal = site.knows("connect-ifscripts", "--journal-dir")?;
        Ok(site)
    }

    /// A file of the site.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The server's socket.
    pub(crate) fn server_socket(&self) -> PathBuf {
        self.path(VOLUME).join("tripesock")
    }

    /// The directory of the service's sockets.
    pub(crate) fn runtime(&self) -> PathBuf {
        self.path(VOLUME).join("tripesock.connect")
    }

    /// The directory of what core leaves for the next core.
    pub(crate) fn state(&self) -> PathBuf {
        self.path(VOLUME).join("state")
    }

    /// The directory of the script helper's journal.
    pub(crate) fn journal(&self) -> PathBuf {
        match self.layout {
            Layout::DropIn => self.runtime().join("scripts"),
            Layout::Units | Layout::Systemd => self.path(VOLUME).join("journal"),
        }
    }

    /// Nobody reads the log of a part for so long. Whether somebody did until now.
    pub(crate) fn pause_log(&self, part: Part, time: Duration) -> bool {
        self.can_pause_logs() && self.logs.pause(self.log(part), time)
    }

    /// Whether logs go through this program: systemd itself writes what its services say into a
    /// file.
    pub(crate) fn can_pause_logs(&self) -> bool {
        self.layout != Layout::Systemd
    }

    /// The log of a part.
    pub(crate) const fn log(&self, part: Part) -> &'static str {
        match (self.layout, part) {
            (Layout::DropIn, _) | (_, Part::Core) => CORE_LOG,
            (_, Part::Pinger) => PINGER_LOG,
            (_, Part::Scripts) => SCRIPTS_LOG,
        }
    }

    fn knows(&self, program: &str, option: &str) -> anyhow::Result<bool> {
        let path = self.programs.join(program);
        let help = Command::new(&path).arg("--help").output().with_context(|| {
            format!(
                "cannot run {}; build the programs with `cargo build --release --bins', or name \
                 their directory with --bin",
                path.display()
            )
        })?;
        Ok(String::from_utf8_lossy(&help.stdout).contains(option))
    }

    /// A program whose output goes into a log of the service, or is appended to a file of the site.
    fn program(&self, name: &str, log: &str) -> anyhow::Result<Command> {
        let output = || match self.logs.writer(log) {
            Some(writer) => writer.map(Stdio::from),
            None => {
                let mut options = OpenOptions::new();
                let file = options.create(true).append(true).open(self.path(log));
                file.map(Stdio::from)
            }
        };
        let mut command = Command::new(self.programs.join(name));
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("TRIPE") || OTHERS.contains(&name.as_ref()) {
                command.env_remove(&variable);
            }
        }
        command
            .env(MARK, &self.directory)
            .stdin(Stdio::null())
            .stdout(output()?)
            .stderr(output()?)
            // Ctrl-C in a terminal ends this program, and its guard ends the others.
            .process_group(0);
        Ok(command)
    }

    /// One scrape of the metrics. Nobody reads them.
    pub(crate) fn scrape(&self) -> anyhow::Result<Command> {
        let mut command = self.program("connect-cli", "scrapes.log")?;
        command
            .arg("-a")
            .arg(self.server_socket())
            .arg("metrics")
            .stdout(Stdio::null());
        Ok(command)
    }

    /// A hostile neighbour: another user, if we may start programs as one.
    pub(crate) fn neighbour(&self) -> anyhow::Result<Command> {
        let own = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(own);
        command
            .arg("neighbour")
            .arg(self.runtime().join("observe.sock"))
            .env(MARK, &self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        if self.has_stranger {
            command.uid(STRANGER).gid(STRANGER);
        }
        Ok(command)
    }

    /// The lab server.
    pub(crate) fn server(&self, seed: u64) -> anyhow::Result<Command> {
        let mut command = self.program("tripe-lab", "lab.log")?;
        command
            .arg("-a")
            .arg(self.server_socket())
            .args(["-u", "127.0.0.1:0", "--reflect", "198.18.0.0/15"])
            .args(["--reflect-delay", "5", "--seed", &seed.to_string()]);
        Ok(command)
    }

    /// Core, which is the whole service in the layout `drop-in`.
    pub(crate) fn core(&self) -> anyhow::Result<Command> {
        let name = match self.layout {
            Layout::DropIn => "connect",
            Layout::Units | Layout::Systemd => "connect-core",
        };
        let mut command = self.program(name, CORE_LOG)?;
        command
            .arg("-a")
            .arg(self.server_socket())
            .arg("-d")
            .arg(&self.directory)
            .args(["-p", "peers.cdb", "--keep-state"])
            .arg(self.state())
            .args(["--server-wait", "60s"]);
        if self.beginning == Beginning::Together {
            command.arg("--startup");
        }
        if self.layout == Layout::DropIn {
            command.arg("--allow-unsafe-scripts");
        }
        Ok(command)
    }

    /// The pinger.
    pub(crate) fn pinger(&self) -> anyhow::Result<Command> {
        let mut command = self.program("connect-pinger", PINGER_LOG)?;
        command
            .arg("--socket")
            .arg(self.runtime().join("helpers.sock"));
        Ok(command)
    }

    /// The script helper.
    pub(crate) fn scripts(&self) -> anyhow::Result<Command> {
        let mut command = self.program("connect-ifscripts", SCRIPTS_LOG)?;
        command
            .arg("--socket")
            .arg(self.runtime().join("helpers.sock"))
            .args(["--allow-unsafe-scripts", "--stop-wait", "10s"]);
        if self.has_journal {
            command.arg("--journal-dir").arg(self.journal());
        }
        Ok(command)
    }
}

/// Whether this program can be started as another user. That is tried before the first process is
/// started: a start that fails must not be noticed by whoever reaps the others.
fn can_start_as_stranger() -> bool {
    let Ok(own) = std::env::current_exe() else {
        return false;
    };
    let mut command = Command::new(own);
    command.arg("--version").uid(STRANGER).gid(STRANGER);
    let output = command.stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}
