// SPDX-License-Identifier: GPL-3.0-or-later
//! Starts this very program again in one of its other roles, and ends it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// This very program, even if its file has been built again since it was started, as happens when
/// the programs that are measured are built.
const MYSELF: &str = "/proc/self/exe";

/// A comparator of our own in a process of its own. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Player {
    child: Child,
}

impl Player {
    /// Starts a role.
    pub(crate) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_as(None, arguments)
    }

    /// The same as another user, in a group of the same number and in no other.
    pub(crate) fn start_as(user: Option<u32>, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(MYSELF);
        if let Some(user) = user {
            command.uid(user).gid(user).current_dir("/");
        }
        let child = command
            .arg("play")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {arguments:?}"))?;
        Ok(Player { child })
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> anyhow::Result<i32> {
        Ok(i32::try_from(self.child.id())?)
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> anyhow::Result<String> {
        let output = self.child.stdout.as_mut().context("no output")?;
        let mut line = String::new();
        // It prints one line at a time and waits, so nothing is lost with the buffer.
        BufReader::new(output).read_line(&mut line)?;
        anyhow::ensure!(!line.is_empty(), "the comparator ended without a word");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
