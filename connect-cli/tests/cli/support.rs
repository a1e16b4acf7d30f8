// SPDX-License-Identifier: GPL-3.0-or-later
//! A place to run the program in, a core and a tripe server that do as they are told, and outcomes
//! to compare.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::JoinHandle;

use connect_ipc::control::{
    Answer, Envelope, PeerRows, PeerStatus, Reply, Request, SCHEMA, ServiceStatus,
};
use connect_ipc::event::{Event, EventKind};
use connect_ipc::hello::{Hello, Role};
use connect_ipc::statistics::PingStatistics;
use connect_runtime::transport::{self, CLIENT_BACKLOG, Limits};
use serde_json::json;
use tempfile::TempDir;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_connect-cli");

/// A directory with everything in it.
pub(crate) struct Place {
    dir: TempDir,
}

/// A user who owns nothing.
const NOBODY: u32 = 65_534;

impl Place {
    pub(crate) fn new() -> Result<Self> {
        Ok(Place {
            dir: tempfile::tempdir()?,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// The program with an environment that says nothing but where everything is.
    pub(crate) fn command(&self) -> Command {
        self.with_environment(Command::new(PROGRAM))
    }

    fn with_environment(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .env("TZ", "UTC")
            .env("TRIPEDIR", self.dir.path())
            .env("TRIPESOCK", self.path("tripesock"))
            .env("TRIPE_CONNECT_DIR", self.dir.path())
            .current_dir(self.dir.path());
        command
    }

    /// Runs the program with the arguments, which are separated by blanks.
    pub(crate) fn run(&self, arguments: &str) -> Result<Outcome> {
        self.finish(self.command().args(arguments.split_whitespace()))
    }

    /// Runs the program as somebody to whom things can be forbidden.
    pub(crate) fn run_as_nobody(&self, arguments: &str) -> Result<Outcome> {
        let mut command = self.command();
        if rustix::process::geteuid().is_root() {
            // The program may be where nobody else can reach it, so nobody runs a copy.
            fs::set_permissions(self.path(""), PermissionsExt::from_mode(0o755))?;
            let program = self.path("connect-cli");
            // Another process makes the copy. Otherwise a child of another test could hold it open
            // for writing while it is executed.
            let copied = Command::new("cp").arg(PROGRAM).arg(&program).status()?;
            assert!(copied.success());
            command = self.with_environment(Command::new(program));
            command.uid(NOBODY).gid(NOBODY);
        }
        self.finish(command.args(arguments.split_whitespace()))
    }

    /// Runs a command that was made ready.
    pub(crate) fn finish(&self, command: &mut Command) -> Result<Outcome> {
        Ok(Outcome::new(&command.output()?, self.dir.path()))
    }

    /// Starts a core that serves one operator, on whichever of its sockets.
    pub(crate) fn core(&self, script: Script) -> Result<Core> {
        self.name_for_observers()?;
        self.core_on("control.sock", 0o600, script)
    }

    /// Makes the control socket the observers' socket as well.
    pub(crate) fn name_for_observers(&self) -> Result {
        let observe = self.path("observe.sock");
        if !observe.is_symlink() {
            std::os::unix::fs::symlink("control.sock", observe)?;
        }
        Ok(())
    }

    /// Starts a core that serves one caller on this socket.
    pub(crate) fn core_on(&self, name: &str, mode: u32, script: Script) -> Result<Core> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let path = self.path(name);
        let listener = runtime.block_on(transport::listen(&path, mode))?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let (stream, _) = transport::accept(&listener).await?;
                let limits = Limits::of_backlog(CLIENT_BACKLOG);
                let (mut receiver, sender) = transport::split_within(stream, limits);
                sender.send(&script.hello)?;
                let Some(hello) = receiver.next::<Hello>().await? else {
                    return Ok(None);
                };
                hello.check(&[Role::Operator])?;
                let Some(envelope) = receiver.next::<Envelope>().await? else {
                    return Ok(None);
                };
                let first = envelope.request;
                let mut id = envelope.id;
                let mut sender = Some(sender);
                for step in script.steps {
                    let Some(sending) = &sender else { break };
                    match step {
                        Step::Reply(reply) => sending.send(&Answer { id, reply })?,
                        Step::To(id, reply) => sending.send(&Answer { id, reply })?,
                        Step::Next(expected) => match receiver.next::<Envelope>().await? {
                            Some(next) if next.request == expected => id = next.id,
                            other => return Err(format!("asked for {other:?}").into()),
                        },
                        Step::Anonymous(reply) => sending.send(&Answer { id: 0, reply })?,
                        Step::Tell(test) => test.send(())?,
                        Step::When(gate) => gate.await?,
                        // What was said is written before it closes.
                        Step::Close => sender = None,
                    }
                }
                // Until the operator leaves.
                while receiver.next::<Envelope>().await?.is_some() {}
                Ok(Some(first))
            })
        });
        Ok(Core { thread })
    }

    /// Starts a tripe server that serves one client: for each line expected, what it says. An empty
    /// line is expected when the client leaves.
    pub(crate) fn tripe(&self, script: &[(&str, &str)]) -> Result<Tripe> {
        let listener = UnixListener::bind(self.path("tripesock"))?;
        let script: Vec<(String, String)> = script
            .iter()
            .map(|(expected, said)| ((*expected).to_owned(), (*said).to_owned()))
            .collect();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let mut lines = BufReader::new(stream.try_clone()?).lines();
            for (expected, said) in script {
                let line = lines.next().transpose()?.unwrap_or_default();
                if line != expected {
                    return Err(format!("got {line:?}, expected {expected:?}").into());
                }
                stream.write_all(said.as_bytes())?;
            }
            Ok(())
        });
        Ok(Tripe { thread })
    }
}

/// What the played core does.
pub(crate) struct Script {
    pub(crate) hello: Hello,
    pub(crate) steps: Vec<Step>,
}

pub(crate) enum Step {
    /// Replies to the request.
    Reply(Reply),
    /// Replies to the request of this number.
    To(u64, Reply),
    /// Waits for a further request, which must be this one.
    Next(Request),
    /// Replies without the request's number.
    Anonymous(Reply),
    /// Tells the test that it has come so far.
    Tell(std::sync::mpsc::Sender<()>),
    /// Goes on when told to.
    When(tokio::sync::oneshot::Receiver<()>),
    /// Says no more and closes the connection.
    Close,
}

impl Script {
    /// A core that gives these replies.
    pub(crate) fn replies(replies: impl IntoIterator<Item = Reply>) -> Self {
        Script::steps(replies.into_iter().map(Step::Reply))
    }

    pub(crate) fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        let version = "2.0.0".to_owned();
        Script {
            hello: Hello {
                version,
                ..Hello::new(Role::Core)
            },
            steps: steps.into_iter().collect(),
        }
    }
}

/// A core that runs.
pub(crate) struct Core {
    thread: JoinHandle<Result<Option<Request>>>,
}

impl Core {
    /// Waits for its end; gives what it was asked.
    pub(crate) fn asked(self) -> Result<Option<Request>> {
        self.thread.join().map_err(|_| "the core panicked")?
    }

    /// The words of the service command that it was asked for.
    pub(crate) fn submitted(self) -> Result<Vec<String>> {
        match self.asked()? {
            Some(Request::Submit { words }) => Ok(words),
            other => Err(format!("asked for {other:?}").into()),
        }
    }
}

/// A tripe server that runs.
pub(crate) struct Tripe {
    thread: JoinHandle<Result>,
}

impl Tripe {
    /// Waits for its end, which comes when its script is over.
    pub(crate) fn finish(self) -> Result {
        self.thread.join().map_err(|_| "the server panicked")?
    }
}

/// How the program ended.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    fn new(output: &Output, dir: &Path) -> Self {
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).replace(&dir.display().to_string(), "DIR")
        };
        Outcome {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => writeln!(f, "exit code {code}")?,
            None => writeln!(f, "killed by a signal")?,
        }
        if !self.stdout.is_empty() {
            write!(f, "--- standard output\n{}", self.stdout)?;
        }
        if !self.stderr.is_empty() {
            write!(f, "--- standard error\n{}", self.stderr)?;
        }
        Ok(())
    }
}

/// Whether a program is here; says so if not. CI installs each of them.
pub(crate) fn present(program: &str, package: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: {program} (Debian package {package}) is not installed");
    }
    found
}

/// Some rows of the table of peers, sorted as core sends them.
pub(crate) fn rows(mut list: Vec<PeerStatus>) -> Reply {
    list.sort_by(|left, right| left.name.cmp(&right.name));
    Reply::Peers(PeerRows { seq: 8, list })
}

/// A service in good health.
pub(crate) fn service() -> Result<ServiceStatus> {
    let helper = |pid| json!({"connected": true, "connections": 1, "pid": pid, "version": "2.0.0"});
    // Told as core would tell it: a core may well have more to tell than the tests care for.
    Ok(serde_json::from_value(json!({
        "schema": SCHEMA,
        "version": "2.0.0",
        "pid": 100,
        "uptime": 12_345,
        "socket": "/run/tripesock",
        "server": "up",
        "database": {"path": "/etc/tripe/peers.cdb", "peers": 3, "fault": null, "origin": "file"},
        "pinger": helper(101),
        "scripts": helper(102),
    }))?)
}

/// A peer that is up and has answered these pings.
pub(crate) fn peer(name: &str, pings: &[f64]) -> Result<PeerStatus> {
    let mut statistics = PingStatistics::default();
    for ping in pings {
        statistics.record_reply(*ping);
    }
    Ok(serde_json::from_value(json!({
        "name": name,
        "state": "up",
        "wanted": true,
        "address": "INET 192.0.2.1 4070",
        "interface": "tripe0",
        "failures": 0,
        "failed-checks": 0,
        "next-ping-ms": 12_001,
        "age": 3_600,
        "statistics": statistics,
    }))?)
}

/// An event, a second after the one before it.
pub(crate) fn event(seq: u64, peer: Option<&str>, kind: EventKind) -> Reply {
    Reply::Event(Event {
        seq,
        at_ms: 1_700_000_000_123 + seq * 1000,
        peer: peer.map(str::to_owned),
        kind,
    })
}

/// A program that was started and told to stop, and how it ended.
pub(crate) fn interrupt(child: &std::process::Child) -> Result {
    let pid = rustix::process::Pid::from_child(child);
    Ok(rustix::process::kill_process(
        pid,
        rustix::process::Signal::INT,
    )?)
}
