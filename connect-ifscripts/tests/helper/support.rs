// SPDX-License-Identifier: GPL-3.0-or-later
//! What the tests share: a core to connect to, the program under test, and gates for scripts.
//!
//! ```text
//!   test (core) <---socket---> connect-ifscripts ---> /bin/sh script
//!        '------------------gate (fifo)-----------------------'
//! ```

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::hello::{Hello, Role};
use connect_ipc::scripts::{
    Child, Command, Ended, FromScripts, Run, ScriptKind, Stream, ToScripts, UnderWay,
};
use connect_ipc::setup::Lane;
use connect_runtime::ownership::{Ownership, Strictness};
use connect_runtime::transport::{self, HELPER_BACKLOG, Limits, Receiver, Sender};
use interprocess::local_socket::tokio::Listener;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStderr;

/// After how long a wait fails because something hangs. Nothing is measured by it.
const HUNG: Duration = Duration::from_secs(120);

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_connect-ifscripts");

/// A core that helpers can connect to.
pub(crate) struct Core {
    dir: tempfile::TempDir,
    listener: Option<Listener>,
}

impl Core {
    pub(crate) async fn new() -> Result<Self> {
        let mut core = Core {
            dir: tempfile::tempdir_in(place())?,
            listener: None,
        };
        core.listen().await?;
        Ok(core)
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("helpers.sock")
    }

    /// Removes the whole directory of the journal in one step: the helper checks each second, and
    /// creates again what is missing.
    pub(crate) fn remove_journal(&self) -> Result<()> {
        std::fs::rename(self.path("journal"), self.path("removed"))?;
        Ok(std::fs::remove_dir_all(self.path("removed"))?)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) async fn listen(&mut self) -> Result<()> {
        self.listener = Some(transport::listen(&self.socket(), 0o600).await?);
        Ok(())
    }

    /// Closes and removes the socket.
    pub(crate) fn stop_listening(&mut self) {
        self.listener = None;
    }

    /// Starts the program.
    pub(crate) fn helper(&self, options: &[&str]) -> Result<Helper> {
        let program = tokio::process::Command::new(PROGRAM);
        self.spawn(program, options)
    }

    /// Starts the program in this directory and with this `PATH`.
    pub(crate) fn helper_in(&self, directory: &Path, path: &str) -> Result<Helper> {
        let mut program = tokio::process::Command::new(PROGRAM);
        program.current_dir(directory).env("PATH", path);
        self.spawn(program, &[])
    }

    /// Starts the program, with its journal in this core's directory.
    pub(crate) fn journalling(&self, options: &[&str]) -> Result<Helper> {
        let mut program = tokio::process::Command::new(PROGRAM);
        program.arg("--journal-dir").arg(self.path("journal"));
        program.stderr(Stdio::piped());
        self.spawn(program, options)
    }

    /// Starts the program in a shell that runs this command first.
    pub(crate) fn journalling_after(&self, shell: &str) -> Result<Helper> {
        self.spawn(self.after(shell), &[])
    }

    fn after(&self, shell: &str) -> tokio::process::Command {
        let mut program = tokio::process::Command::new("/bin/sh");
        program.args(["-c", &format!("{shell}; exec \"$0\" \"$@\""), PROGRAM]);
        program.arg("--journal-dir").arg(self.path("journal"));
        program
    }

    /// Starts the program, which may have so many descriptors open at first.
    pub(crate) fn limited_to(&self, descriptors: u64) -> Result<Helper> {
        let mut program = self.after(&format!("ulimit -S -n {descriptors}"));
        program.stderr(Stdio::piped());
        self.spawn(program, &[])
    }

    fn spawn(&self, mut program: tokio::process::Command, options: &[&str]) -> Result<Helper> {
        let mut child = program
            .arg("--socket")
            .arg(self.socket())
            .args(options)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let log = child.stderr.take().map(|log| BufReader::new(log).lines());
        Ok(Helper { child, log })
    }

    /// Takes the next connection and shakes hands; also gives what the helper resumes.
    pub(crate) async fn accept(&self) -> Result<(Connection, Vec<UnderWay>)> {
        let mut connection = self.accept_with(&Hello::new(Role::Core)).await?;
        let resumed = match connection.next().await? {
            FromScripts::Resume(runs) => runs,
            other => bail!("no resume but {other:?}"),
        };
        Ok((connection, resumed))
    }

    /// Takes the next connection and closes it.
    pub(crate) async fn refuse(&self) -> Result<()> {
        let listener = self.listener.as_ref().context("not listening")?;
        within(transport::accept(listener)).await??;
        Ok(())
    }

    /// Takes the next connection, reads its hello and answers with this one.
    pub(crate) async fn accept_with(&self, hello: &Hello) -> Result<Connection> {
        let listener = self.listener.as_ref().context("not listening")?;
        let (stream, _) = within(transport::accept(listener)).await??;
        let limits = Limits::of_backlog(HELPER_BACKLOG);
        let (mut receiver, sender) = transport::split_within(stream, limits);
        let theirs: Option<Hello> = within(receiver.next()).await??;
        theirs.context("no hello")?.check(&[Role::Ifscripts])?;
        sender.send(hello)?;
        Ok(Connection {
            receiver,
            sender,
            kept: VecDeque::new(),
        })
    }

    /// A helper that has connected and begun, with nothing from before.
    pub(crate) async fn with_helper(options: &[&str]) -> Result<(Core, Helper, Connection)> {
        let core = Core::new().await?;
        let helper = core.helper(options)?;
        let (connection, resumed) = core.accept().await?;
        anyhow::ensure!(resumed.is_empty(), "a new helper resumes {resumed:?}");
        connection.tell(&ToScripts::Ready {})?;
        Ok((core, helper, connection))
    }

    /// A fifo with which the test decides when a script continues.
    pub(crate) fn gate(&self, name: &str) -> Result<Gate> {
        let path = self.path(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Ok(Gate { path })
    }
}

/// The place for directories with scripts that are run. For root that is not `/tmp`, where others
/// may write, and not in a directory of another user.
fn place() -> &'static Path {
    let usual = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let checked = Ownership::ourselves().check(usual, Strictness::Script);
    if checked.is_err() && rustix::process::geteuid().is_root() {
        return Path::new("/var/lib");
    }
    usual
}

/// Waits, but not forever.
pub(crate) async fn within<F: Future>(future: F) -> Result<F::Output> {
    tokio::time::timeout(HUNG, future).await.context("hung")
}

/// The program under test.
pub(crate) struct Helper {
    child: tokio::process::Child,
    log: Option<Lines<BufReader<ChildStderr>>>,
}

impl Helper {
    pub(crate) fn pid(&self) -> Result<Pid> {
        let id = self.child.id().context("it has ended")?;
        Pid::from_raw(i32::try_from(id)?).context("pid 0")
    }

    /// Waits until the log has a line with this text.
    pub(crate) async fn logs(&mut self, text: &str) -> Result<()> {
        self.logged(text).await.map(drop)
    }

    /// Waits for a line of the log, and gives it.
    pub(crate) async fn logged(&mut self, text: &str) -> Result<String> {
        let log = self.log.as_mut().context("its log is not read")?;
        loop {
            let line = within(log.next_line()).await??;
            let line = line.context("the log has ended")?;
            if line.contains(text) {
                return Ok(line);
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Suspends it, and waits until it is suspended.
    pub(crate) async fn stand_still(&self) -> Result<()> {
        let pid = self.pid()?;
        kill_process(pid, Signal::STOP)?;
        // Its status must remain for the code that waits for its end.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        within(tokio::task::spawn_blocking(move || {
            waitid(WaitId::Pid(pid), options)
        }))
        .await???;
        Ok(())
    }

    /// The most memory it has ever had in use, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let id = self.child.id().context("it has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_ascii_whitespace().next());
        Ok(kilobytes.context("no VmHWM")?.parse::<u64>()? * 1024)
    }

    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(within(self.child.wait()).await??)
    }
}

/// Where a script waits until the test lets it go on.
pub(crate) struct Gate {
    path: PathBuf,
}

impl Gate {
    /// The shell command that waits here.
    pub(crate) fn wait(&self) -> String {
        format!("read _ <'{}'", self.path.display())
    }

    /// Lets a script that waits here continue, as soon as there is one. A later one waits again.
    pub(crate) async fn open(&self) -> Result<()> {
        let path = self.path.clone();
        within(tokio::task::spawn_blocking(move || {
            std::fs::write(path, "\n")
        }))
        .await???;
        Ok(())
    }
}

/// A connection to a helper.
pub(crate) struct Connection {
    receiver: Receiver,
    sender: Sender,
    /// Messages about other runs that came while the test waited for one. Runs of different peers
    /// come in any order, so a test may ask for them in any order.
    kept: VecDeque<FromScripts>,
}

/// Which run a message is about.
const fn run_of(message: &FromScripts) -> Option<u64> {
    match message {
        FromScripts::Started { run, .. }
        | FromScripts::Output { run, .. }
        | FromScripts::Dropped { run, .. }
        | FromScripts::Eof { run, .. }
        | FromScripts::Survives { run, .. }
        | FromScripts::Ended { run, .. } => Some(run.0),
        FromScripts::Taken(run) => Some(run.0),
        FromScripts::Resume(_)
        | FromScripts::Failures(_)
        | FromScripts::Setups(_)
        | FromScripts::JournalFault(_)
        | FromScripts::Full { .. }
        | FromScripts::LogLost(_)
        | FromScripts::LookedUp(_)
        | FromScripts::Error(_) => None,
    }
}

impl Connection {
    pub(crate) fn tell(&self, message: &ToScripts) -> Result<()> {
        Ok(self.sender.send(message)?)
    }

    pub(crate) fn run(&self, run: Run) -> Result<()> {
        self.tell(&ToScripts::Run(vec![run]))
    }

    /// Sends this and closes the connection, at once.
    pub(crate) fn tell_last(self, message: &ToScripts) -> Result<()> {
        self.sender.put(message)?;
        self.sender.flush();
        self.receiver.close();
        Ok(())
    }

    /// Sends something that is not a message.
    pub(crate) fn tell_nonsense(&self) -> Result<()> {
        Ok(self.sender.send(&"nonsense")?)
    }

    /// The next message, except confirmations that an order has arrived and messages about the
    /// journal.
    pub(crate) async fn next(&mut self) -> Result<FromScripts> {
        loop {
            let message = self.next_of_all().await?;
            if !matches!(
                message,
                FromScripts::Taken(_) | FromScripts::JournalFault(_)
            ) {
                return Ok(message);
            }
        }
    }

    /// The next message that says more than that an output has ended.
    pub(crate) async fn next_but_eof(&mut self) -> Result<FromScripts> {
        loop {
            let message = self.next().await?;
            if !matches!(message, FromScripts::Eof { .. }) {
                return Ok(message);
            }
        }
    }

    /// Waits for a message about the journal; messages about runs are kept.
    pub(crate) async fn journal_fault(&mut self) -> Result<Option<String>> {
        loop {
            match self.next_of_all().await? {
                FromScripts::JournalFault(fault) => return Ok(fault),
                FromScripts::Taken(_) => {}
                other => self.kept.push_back(other),
            }
        }
    }

    /// Waits for a message about the places of a lane; messages about runs are kept.
    pub(crate) async fn full(&mut self) -> Result<(Lane, bool)> {
        loop {
            match self.next().await? {
                FromScripts::Full { lane, full } => return Ok((lane, full)),
                other => self.kept.push_back(other),
            }
        }
    }

    /// The next message.
    pub(crate) async fn next_of_all(&mut self) -> Result<FromScripts> {
        within(self.receiver.next())
            .await??
            .context("the helper closed the connection")
    }

    /// The next message about this run, or about none; those about others are kept.
    async fn next_of(&mut self, run: u64) -> Result<FromScripts> {
        let kept = self
            .kept
            .iter()
            .position(|message| run_of(message) == Some(run));
        if let Some(message) = kept.and_then(|at| self.kept.remove(at)) {
            return Ok(message);
        }
        loop {
            let message = self.next().await?;
            if run_of(&message).is_none_or(|about| about == run) {
                return Ok(message);
            }
            self.kept.push_back(message);
        }
    }

    /// Whether the other side has closed.
    pub(crate) async fn at_end(&mut self) -> Result<bool> {
        Ok(within(self.receiver.next::<FromScripts>())
            .await??
            .is_none())
    }

    pub(crate) async fn started(&mut self, run: u64) -> Result<Child> {
        loop {
            match self.next_of(run).await? {
                FromScripts::Started { run: found, child } if found.0 == run => return Ok(child),
                FromScripts::Ended { run: found, end } if found.0 == run => bail!("ended: {end:?}"),
                _ => {}
            }
        }
    }

    /// Waits until it is told that a run cannot be ended, and gives since when.
    pub(crate) async fn survives(&mut self, run: u64) -> Result<Monotonic> {
        loop {
            match self.next_of(run).await? {
                FromScripts::Survives { since, .. } => return Ok(since),
                FromScripts::Ended { end, .. } => bail!("ended: {end:?}"),
                _ => {}
            }
        }
    }

    /// Waits until a run has written this line; lines before it are skipped.
    pub(crate) async fn line(&mut self, run: u64, wanted: &str) -> Result<()> {
        loop {
            match self.next_of(run).await? {
                FromScripts::Output { run: id, line, .. } if id.0 == run && line == wanted => {
                    return Ok(());
                }
                FromScripts::Ended { run: id, end } if id.0 == run => bail!("ended: {end:?}"),
                _ => {}
            }
        }
    }

    /// Waits until a run is over.
    pub(crate) async fn story(&mut self, run: u64) -> Result<Story> {
        let mut story = Story::default();
        loop {
            match self.next_of(run).await? {
                FromScripts::Output {
                    run: id,
                    stream,
                    line,
                } if id.0 == run => match stream {
                    Stream::Stdout => story.stdout.push(line),
                    Stream::Stderr => story.stderr.push(line),
                },
                FromScripts::Dropped { run: id, lines, .. } if id.0 == run => {
                    story.dropped += lines;
                }
                FromScripts::Eof { run: id, .. } if id.0 == run => story.eofs += 1,
                FromScripts::Ended { run: id, end } if id.0 == run => {
                    story.end = Some(end);
                    return Ok(story);
                }
                FromScripts::Error(text) => bail!("the helper says: {text}"),
                _ => {}
            }
        }
    }

    /// How a run ends.
    pub(crate) async fn end(&mut self, run: u64) -> Result<Ended> {
        self.story(run).await?.end.context("no end")
    }

    /// Waits until a stream of a run that is over has ended; gives which.
    pub(crate) async fn eof_after_end(&mut self, run: u64) -> Result<Stream> {
        match self.next_of(run).await? {
            FromScripts::Eof { stream, .. } => Ok(stream),
            other => bail!("no eof but {other:?}"),
        }
    }

    /// Waits until a stream of a run has ended; gives what was written on it until then.
    pub(crate) async fn eof(&mut self, run: u64, wanted: Stream) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            match self.next_of(run).await? {
                FromScripts::Output {
                    run: id,
                    stream,
                    line,
                } if id.0 == run && stream == wanted => {
                    lines.push(line);
                }
                FromScripts::Eof { run: id, stream } if id.0 == run && stream == wanted => {
                    return Ok(lines);
                }
                FromScripts::Ended { run: id, .. } if id.0 == run => bail!("ended before its eof"),
                _ => {}
            }
        }
    }
}

/// What happened to a run.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
    pub(crate) dropped: u64,
    /// How many streams had ended when the run was over.
    pub(crate) eofs: u32,
    pub(crate) end: Option<Ended>,
}

/// A run of a shell script.
pub(crate) fn shell(run: u64, peer: &str, script: impl Into<String>) -> Run {
    Run {
        run: RunId(run),
        peer: peer.to_owned(),
        kind: ScriptKind::Ifup,
        command: Command::Shell(script.into()),
        environment: Vec::new(),
        limit: None,
        setup: None,
        undoes: Vec::new(),
    }
}

/// A run of a program.
pub(crate) fn exec(run: u64, peer: &str, words: &[&str]) -> Run {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Run {
        command: Command::Exec(words),
        ..shell(run, peer, "")
    }
}

/// A run as core would have it adopted or see it resumed.
pub(crate) fn under_way(run: &Run, child: Option<Child>) -> UnderWay {
    UnderWay {
        run: run.run,
        peer: run.peer.clone(),
        kind: run.kind,
        child,
        limit: run.limit,
    }
}

/// Whether a process exists and is not a zombie.
pub(crate) fn alive(child: Child) -> bool {
    std::fs::read_to_string(Path::new("/proc").join(child.pid.to_string()).join("stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
}
