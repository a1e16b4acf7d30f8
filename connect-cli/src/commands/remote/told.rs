// SPDX-License-Identifier: GPL-3.0-or-later
//! What one of several hosts has told.

use super::ssh::Answer;

/// What one host has told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) host: String,
    pub(super) answer: Answer,
}

impl Told {
    /// Why the host has not told what was asked for.
    pub(super) fn trouble(&self) -> Option<String> {
        if let Some(failure) = &self.answer.failure {
            return Some(failure.clone());
        }
        let said = self.answer.stderr.trim();
        let said = said.strip_prefix("connect-cli: ").unwrap_or(said);
        (self.answer.stdout.trim().is_empty() && self.answer.exit != Some(0))
            .then(|| said.to_owned())
    }
}
