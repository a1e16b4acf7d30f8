// SPDX-License-Identifier: GPL-3.0-or-later
//! The program `connect`, running on a site.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::{PATIENCE, Site, program};

/// How often something that sends no event is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running `connect`. Dropping it ends it.
#[derive(Debug)]
pub struct Service {
    child: Child,
    log: PathBuf,
    trace: PathBuf,
    control: PathBuf,
}

impl Service {
    /// Starts the program without waiting for anything.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(site: &Site, options: &[&str]) -> anyhow::Result<Self> {
        let mut command = Self::command(site)?;
        command.args(options);
        Self::run(site, command)
    }

    /// Starts a command line that was made by hand, its output kept with the site.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn run(site: &Site, mut command: Command) -> anyhow::Result<Self> {
        let trace = File::options()
            .create(true)
            .append(true)
            .open(site.path("connect.trace"))?;
        command.stdin(Stdio::null()).stdout(trace);
        Self::run_as_it_is(site, command)
    }

    /// The same for a command line whose standard input and output are settled.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn run_as_it_is(site: &Site, mut command: Command) -> anyhow::Result<Self> {
        let (log, trace) = (site.path("connect.log"), site.path("connect.trace"));
        let child = command
            .stderr(File::options().create(true).append(true).open(&log)?)
            .spawn()
            .context("cannot start connect")?;
        let control = site.path("tripesock.connect/control.sock");
        Ok(Service {
            child,
            log,
            trace,
            control,
        })
    }

    /// The program with the site's places as options, and nothing of the test's own environment
    /// that would lead it elsewhere.
    ///
    /// # Errors
    /// If the program cannot be built.
    pub fn command(site: &Site) -> anyhow::Result<Command> {
        Self::command_of(site, "connect")
    }

    /// The same of another program that takes these options.
    ///
    /// # Errors
    /// If the program cannot be built.
    pub fn command_of(site: &Site, name: &str) -> anyhow::Result<Command> {
        let mut command = Self::bare_command_of(name)?;
        command
            .arg("-a")
            .arg(site.lab.socket_path())
            .arg("-d")
            .arg(site.directory())
            .args(["-p", "peers.cdb"]);
        Ok(command)
    }

    /// The program without any option, and without the variables that stand in for options.
    ///
    /// # Errors
    /// If the program cannot be built.
    pub fn bare_command() -> anyhow::Result<Command> {
        Self::bare_command_of("connect")
    }

    /// The same of another of the programs.
    ///
    /// # Errors
    /// If the program cannot be built.
    pub fn bare_command_of(name: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(program(name)?);
        for variable in [
            "TRIPEDIR",
            "TRIPESOCK",
            "TRIPEPEERDB",
            "TRIPE_CONNECT_DIR",
            "TRIPE_CONNECT_HELPERS",
            "TRIPE_CONNECT_LOG",
            "TRIPE_CONNECT_LOG_LEVEL",
            "JOURNAL_STREAM",
            "RUNTIME_DIRECTORY",
            "STATE_DIRECTORY",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "LISTEN_FDS",
        ] {
            command.env_remove(variable);
        }
        command.env("NO_COLOR", "1");
        Ok(command)
    }

    /// The state of the service and of every peer, as one reply each.
    ///
    /// # Errors
    /// If core does not answer.
    pub fn status(&self) -> anyhow::Result<Vec<serde_json::Value>> {
        request(&self.control, &serde_json::json!({ "status": {} }))
    }

    /// The process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged: all of it once it has ended. Before that a line may still be missing,
    /// see [`Self::wait_for_log`].
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has logged this: what it logs is written by a thread of its own, and so may
    /// come after what is seen elsewhere.
    ///
    /// # Errors
    /// If it does not.
    pub fn wait_for_log(&self, text: &str) -> anyhow::Result<()> {
        let started = Instant::now();
        while !self.log().contains(text) {
            anyhow::ensure!(
                started.elapsed() < PATIENCE,
                "no `{text}' in time; log:\n{}",
                self.log()
            );
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// What it has printed, which is its trace under `--debug`.
    #[must_use]
    pub fn trace(&self) -> String {
        fs::read_to_string(&self.trace).unwrap_or_default()
    }

    /// Its control socket.
    #[must_use]
    pub fn control(&self) -> &std::path::Path {
        &self.control
    }

    /// Adds the service's log to an error.
    ///
    /// # Errors
    /// The error given, if any.
    pub fn explain<T, E>(&self, result: Result<T, E>) -> anyhow::Result<T>
    where
        E: Into<anyhow::Error>,
    {
        result.map_err(|error| {
            error
                .into()
                .context(format!("the service's log:\n{}", self.log()))
        })
    }

    /// Waits until `look` finds what it looks for.
    ///
    /// # Errors
    /// If it does not in time, or the service ends meanwhile.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("{status} while waiting for {what}; log:\n{}", self.log());
            }
            anyhow::ensure!(
                started.elapsed() < PATIENCE,
                "no {what} in time; log:\n{}",
                self.log()
            );
            // There is nothing to wait on in another process's state but a look at it.
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until both helpers are connected and core has listed the server's peers.
    ///
    /// # Errors
    /// If that does not happen.
    pub fn wait_until_settled(&mut self, site: &Site) -> anyhow::Result<()> {
        let control = self.control.clone();
        self.wait_for("helpers", || {
            let service = status(&control).ok()?;
            let helper = |name: &str| service[name]["connected"].as_bool();
            (helper("pinger")? && helper("scripts")? && service["server"] == "up").then_some(())
        })
        .with_context(|| format!("site {}", site.directory().display()))
    }

    /// The process numbers of a helper's present process, from core's own status.
    ///
    /// # Errors
    /// If core does not answer or the helper is away.
    pub fn helper_pid(&self, helper: &str) -> anyhow::Result<i32> {
        let pid = status(&self.control)?[helper]["pid"]
            .as_i64()
            .context("helper is away")?;
        Ok(i32::try_from(pid)?)
    }

    /// Kills a helper with signal 9 and waits until another has taken its place.
    ///
    /// # Errors
    /// If that does not happen.
    pub fn kill_helper(&mut self, helper: &str) -> anyhow::Result<()> {
        let old = self.helper_pid(helper)?;
        kill_process(Pid::from_raw(old).context("no process")?, Signal::KILL)?;
        let control = self.control.clone();
        self.wait_for("the next helper", || {
            let pid = status(&control).ok()?[helper]["pid"].as_i64()?;
            (pid != i64::from(old)).then_some(())
        })
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("no process")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Whether it has ended by now.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            anyhow::ensure!(
                started.elapsed() < PATIENCE,
                "connect does not end:\n{}",
                self.log()
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The state of the service, asked for in plain JSON lines.
fn status(control: &std::path::Path) -> anyhow::Result<serde_json::Value> {
    let replies = request(control, &serde_json::json!({ "status": {} }))?;
    let service = replies
        .iter()
        .find_map(|reply| reply.get("service"))
        .context("no status")?;
    Ok(service.clone())
}

/// Sends one request to a control socket and returns all replies to it.
///
/// # Errors
/// If the socket does not answer.
pub fn request(
    control: &std::path::Path,
    request: &serde_json::Value,
) -> anyhow::Result<Vec<serde_json::Value>> {
    use std::io::{BufRead as _, BufReader, Write as _};
    let mut stream = std::os::unix::net::UnixStream::connect(control)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let hello = serde_json::json!({ "role": "operator", "protocol": 1, "version": "test" });
    writeln!(stream, "{hello}")?;
    writeln!(
        stream,
        "{}",
        serde_json::json!({ "id": 1, "request": request })
    )?;
    let mut replies = Vec::new();
    for line in BufReader::new(stream).lines().skip(1) {
        let answer: serde_json::Value = serde_json::from_str(&line?)?;
        let reply = answer["reply"].clone();
        let last = ["peer", "recent", "done", "failed", "error"]
            .iter()
            .any(|k| reply.get(k).is_some());
        replies.push(reply);
        if last {
            return Ok(replies);
        }
    }
    anyhow::bail!("the connection ended before the last reply: {replies:?}")
}
