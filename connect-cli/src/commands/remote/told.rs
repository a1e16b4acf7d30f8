// SPDX-License-Identifier: GPL-3.0-or-later
//! The answer of one of several hosts.

use super::ssh::Answer;

/// The answer of one host.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) host: String,
    pub(super) answer: Answer,
}

impl Told {
    /// Why there is no usable answer of the host.
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
