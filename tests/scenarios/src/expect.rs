// SPDX-License-Identifier: GPL-3.0-or-later
//! What tests wait for in a lab server's event log, in the words of the manual.

use anyhow::Context as _;
use tripe_lab::{Follower, What};

/// Waits for things said on a server.
pub trait Expect {
    /// Waits for the broadcast that is just this line.
    ///
    /// # Errors
    /// If it does not come.
    fn exactly(&mut self, line: &str) -> anyhow::Result<()>;

    /// Waits for a broadcast that begins so, and gives the whole line.
    ///
    /// # Errors
    /// If it does not come.
    fn line(&mut self, prefix: &str) -> anyhow::Result<String>;

    /// Waits for a command that begins so, and gives the whole line.
    ///
    /// # Errors
    /// If it does not come.
    fn command_line(&mut self, prefix: &str) -> anyhow::Result<String>;

    /// Waits for a line that a child wrote to its standard output, and gives it. The child is
    /// named by its identifier, such as `ifup alice`.
    ///
    /// # Errors
    /// If it does not come.
    fn stdout(&mut self, child: &str) -> anyhow::Result<String>;

    /// The same for standard error.
    ///
    /// # Errors
    /// If it does not come.
    fn stderr(&mut self, child: &str) -> anyhow::Result<String>;
}

impl Expect for Follower {
    fn exactly(&mut self, line: &str) -> anyhow::Result<()> {
        self.next_within(
            crate::PATIENCE,
            line,
            |what| matches!(what, What::Broadcast(text) if text == line),
        )?;
        Ok(())
    }

    fn line(&mut self, prefix: &str) -> anyhow::Result<String> {
        let event = self.next_within(crate::PATIENCE, prefix, |what| what.is_broadcast(prefix))?;
        match event.what {
            What::Broadcast(line) => Ok(line),
            _ => anyhow::bail!("not a broadcast"),
        }
    }

    fn command_line(&mut self, prefix: &str) -> anyhow::Result<String> {
        let event = self.next_within(crate::PATIENCE, prefix, |what| what.is_command(prefix))?;
        match event.what {
            What::Command(_, line) => Ok(line),
            _ => anyhow::bail!("not a command"),
        }
    }

    fn stdout(&mut self, child: &str) -> anyhow::Result<String> {
        last_word(&self.line(&format!("NOTE USER connect {child} stdout "))?)
    }

    fn stderr(&mut self, child: &str) -> anyhow::Result<String> {
        last_word(&self.line(&format!("WARN USER connect {child} stderr "))?)
    }
}

fn last_word(line: &str) -> anyhow::Result<String> {
    tripe_admin::split(line).pop().context("an empty line")
}
