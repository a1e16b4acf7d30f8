// SPDX-License-Identifier: GPL-3.0-or-later
//! The directory of a run, and how its programs are started.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::guard::MARK;
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
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) directory: PathBuf,
    pub(crate) layout: Layout,
    pub(crate) beginning: Beginning,
    programs: PathBuf,
    /// Whether connect-ifscripts knows the option for the directory of its journal.
    has_journal: bool,
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
        for name in [script::LOCKS, "journal"] {
            fs::create_dir(directory.join(name))?;
        }
        fs::set_permissions(directory.join("journal"), fs::Permissions::from_mode(0o700))?;
        File::create(directory.join(script::LOG))?;
        let mut site = Site {
            directory,
            layout,
            beginning,
            programs,
            has_journal: false,
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
        self.path("tripesock")
    }

    /// The directory of the service's sockets.
    pub(crate) fn runtime(&self) -> PathBuf {
        self.path("tripesock.connect")
    }

    /// The directory of the script helper's journal.
    pub(crate) fn journal(&self) -> PathBuf {
        match self.layout {
            Layout::DropIn => self.runtime().join("scripts"),
            Layout::Units => self.path("journal"),
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

    /// A program with its output appended to a file of the site.
    fn program(&self, name: &str, log: &str) -> anyhow::Result<Command> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(log))?;
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
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal ends this program, and its guard ends the others.
            .process_group(0);
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
            Layout::Units => "connect-core",
        };
        let mut command = self.program(name, "core.log")?;
        command
            .arg("-a")
            .arg(self.server_socket())
            .arg("-d")
            .arg(&self.directory)
            .args(["-p", "peers.cdb", "--keep-state", "state"])
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
        let mut command = self.program("connect-pinger", "pinger.log")?;
        command
            .arg("--socket")
            .arg(self.runtime().join("helpers.sock"));
        Ok(command)
    }

    /// The script helper.
    pub(crate) fn scripts(&self) -> anyhow::Result<Command> {
        let mut command = self.program("connect-ifscripts", "ifscripts.log")?;
        command
            .arg("--socket")
            .arg(self.runtime().join("helpers.sock"))
            .args(["--allow-unsafe-scripts", "--stop-wait", "10s"]);
        if self.has_journal {
            command.arg("--journal-dir").arg(self.path("journal"));
        }
        Ok(command)
    }
}
