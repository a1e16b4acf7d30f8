// SPDX-License-Identifier: GPL-3.0-or-later
//! A service manager, as far as the programs see one: it listens to what they have to say, and
//! starts each process of the service on its own.

use std::collections::VecDeque;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use rustix::process::Signal;

use crate::{Outcome, PATIENCE, Service, Site};

/// The socket that `NOTIFY_SOCKET` names, and what has come through it.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    unread: VecDeque<String>,
}

impl Manager {
    /// A manager that listens on a socket of this name in the site's directory.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn new(site: &Site, name: &str) -> anyhow::Result<Self> {
        let path = site.path(name);
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Manager {
            socket,
            path,
            unread: VecDeque::new(),
        })
    }

    /// Has a program that is about to be started talk to this manager.
    pub fn listens_to(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", &self.path);
    }

    /// The next line that was said.
    fn next_line(&mut self) -> anyhow::Result<String> {
        while self.unread.is_empty() {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).context("nothing was said")?;
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            self.unread.extend(text.lines().map(str::to_owned));
        }
        self.unread.pop_front().context("nothing was said")
    }

    /// Waits for a line that begins so, and gives all lines up to and with it.
    ///
    /// # Errors
    /// If it does not come.
    pub fn until(&mut self, beginning: &str) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self
                .next_line()
                .with_context(|| format!("no {beginning} after {lines:?}"))?;
            let found = line.starts_with(beginning);
            lines.push(line);
            if found {
                return Ok(lines);
            }
        }
    }
}

/// `connect-core` with the site's places as options.
///
/// # Errors
/// If the program cannot be built.
pub fn core_command(site: &Site) -> anyhow::Result<Command> {
    Service::command_of(site, "connect-core")
}

/// A helper that finds the site's core.
///
/// # Errors
/// If the program cannot be built.
pub fn helper_command(site: &Site, name: &str) -> anyhow::Result<Command> {
    let mut command = Service::bare_command_of(name)?;
    command
        .arg("--socket")
        .arg(site.path("tripesock.connect/helpers.sock"))
        .env("TRIPESOCK", site.lab.socket_path())
        .env("TRIPEDIR", site.directory())
        .current_dir(site.directory());
    Ok(command)
}

/// The three processes of a service, each started on its own.
#[derive(Debug)]
pub struct Parts {
    /// `connect-core`.
    pub core: Service,
    /// `connect-pinger`.
    pub pinger: Service,
    /// `connect-ifscripts`.
    pub scripts: Service,
}

impl Parts {
    /// Starts all three, core with these options, and waits until they have found each other.
    ///
    /// # Errors
    /// If they do not.
    pub fn start(site: &Site, options: &[&str]) -> anyhow::Result<Self> {
        let helper = |name| Service::run(site, helper_command(site, name)?);
        let (pinger, scripts) = (helper("connect-pinger")?, helper("connect-ifscripts")?);
        let core = Self::start_core(site, options)?;
        let mut parts = Parts {
            core,
            pinger,
            scripts,
        };
        parts.core.wait_until_settled(site)?;
        Ok(parts)
    }

    fn start_core(site: &Site, options: &[&str]) -> anyhow::Result<Service> {
        let mut command = core_command(site)?;
        command.args(options);
        Service::run(site, command)
    }

    /// Ends core by this signal and starts another with these options, while the helpers continue.
    ///
    /// # Errors
    /// If it does not come back.
    pub fn restart_core(&mut self, site: &Site, signal: Signal, options: &[&str]) -> Outcome {
        self.core.signal(signal)?;
        self.core.wait()?;
        self.core = Self::start_core(site, options)?;
        self.core.wait_until_settled(site)
    }

    /// Ends all three, as a service manager does: core first.
    ///
    /// # Errors
    /// If one does not end, or not well.
    pub fn stop(mut self) -> Outcome {
        for part in [&mut self.core, &mut self.pinger, &mut self.scripts] {
            part.signal(Signal::TERM)?;
            let status = part.wait()?;
            anyhow::ensure!(status.success(), "{status}: {}", part.log());
        }
        Ok(())
    }
}
