// SPDX-License-Identifier: GPL-3.0-or-later
//! This program on another host, by ssh(1).

use std::io::{self, IsTerminal as _};
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::error::Error;
use crate::output::text;

/// The variable that names another program than `ssh`.
const PROGRAM: &str = "CONNECT_CLI_SSH";

/// The status with which ssh says that it could not connect.
const NOT_CONNECTED: i32 = 255;

/// The status with which a shell says that there is no such program.
const NO_PROGRAM: i32 = 127;

/// How much one host may send: about the size of the state of 100,000 peers.
const MOST: u64 = 128 << 20;

/// ssh waits for a host that does not answer for this many seconds, and for one that stops
/// answering for three times half of that.
const OPTIONS: [&str; 6] = [
    "-o",
    "ConnectTimeout=10",
    "-o",
    "ServerAliveInterval=5",
    "-o",
    "ServerAliveCountMax=3",
];

/// What a host has answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The exit code; `None` if nobody knows it.
    pub(super) exit: Option<u8>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// Why there is no answer.
    pub(super) failure: Option<String>,
}

/// ssh with its options; the words of our program follow the host.
fn ssh(host: &str, words: &[String], options: &[&str]) -> Command {
    let program = std::env::var_os(PROGRAM).filter(|program| !program.is_empty());
    let mut command = Command::new(program.unwrap_or_else(|| "ssh".into()));
    let ours = ["connect-cli"]
        .into_iter()
        .chain(words.iter().map(String::as_str));
    command
        .args(OPTIONS)
        .args(options)
        // So a host's name is never read as an option.
        .args(["--", host])
        .arg(text::shell_words(ours))
        .kill_on_drop(true);
    command
}

/// Runs the command on a host as if it ran on our own host: with our input and output, and a
/// terminal if we have one. Gives its exit code.
pub(super) async fn instead(host: &str, words: &[String]) -> Result<u8, Error> {
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let option = if terminal { "-t" } else { "-T" };
    let status = ssh(host, words, &[option]).status().await;
    let status = status.map_err(|source| Error::System {
        action: "run ssh".to_owned(),
        source,
    })?;
    match status.code() {
        Some(code @ (NOT_CONNECTED | NO_PROGRAM)) => Err(Error::Host {
            host: host.to_owned(),
            why: why(code, ""),
        }),
        // If a signal has ended ssh, it will also end us.
        code => Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
    }
}

/// Runs the command on a host and returns its output. Nobody can type a password.
pub(super) async fn ask(host: &str, words: &[String]) -> Answer {
    match run(host, words).await {
        Ok(answer) => answer,
        Err(error) => Answer {
            failure: Some(format!("cannot run ssh: {error}")),
            ..Answer::default()
        },
    }
}

async fn run(host: &str, words: &[String]) -> io::Result<Answer> {
    let mut child = ssh(host, words, &["-T", "-o", "BatchMode=yes"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = tokio::join!(read(stdout), read(stderr));
    let (stdout, stderr) = (stdout?, stderr?);
    if stdout.len() as u64 > MOST || stderr.len() as u64 > MOST {
        return Err(io::Error::other("the host sends too much output"));
    }
    let status = child.wait().await?;
    Ok(answer(status.code(), &stdout, &stderr))
}

/// The answer of a host for which ssh has ended with this code, or by a signal.
pub(super) fn answer(code: Option<i32>, stdout: &[u8], stderr: &[u8]) -> Answer {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let stderr = text(stderr);
    let failure = match code {
        Some(code @ (NOT_CONNECTED | NO_PROGRAM)) => Some(why(code, &stderr)),
        None => Some("ssh was ended by a signal".to_owned()),
        Some(_) => None,
    };
    Answer {
        exit: code.and_then(|code| u8::try_from(code).ok()),
        stdout: text(stdout),
        stderr,
        failure,
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(MOST + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Why there is no answer: the last line that ssh has written, if there is one.
fn why(code: i32, stderr: &str) -> String {
    if code == NO_PROGRAM {
        return "its PATH has no connect-cli; install it there".to_owned();
    }
    let said = stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
    match said {
        Some(said) => format!("ssh cannot reach it: {said}"),
        None => "ssh cannot reach it; its message is above".to_owned(),
    }
}
