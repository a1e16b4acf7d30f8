// SPDX-License-Identifier: GPL-3.0-or-later
//! Decoders that are private otherwise, for the fuzz targets.

use std::time::Duration;

use connect_ipc::setup::ServerRun;

use crate::machine::{DatabaseCopy, State};
use crate::{kept_database, replay, saved_state};

/// The state in the bytes of a state file, and the bytes that are written of it.
///
/// # Errors
/// If it is malformed.
pub fn saved_state(bytes: &[u8]) -> anyhow::Result<(Option<ServerRun>, State, Vec<u8>)> {
    saved_state::of_bytes(bytes)
}

/// The database in the bytes of a kept database, the bytes that are written of it, and whether they
/// are recognized as being of it.
///
/// # Errors
/// If it is malformed.
pub fn kept_database(bytes: &[u8]) -> anyhow::Result<(DatabaseCopy, Vec<u8>, bool)> {
    kept_database::of_bytes(bytes)
}

/// What a terminal gets of the replay of a recording, and how many inputs were replayed; `None` if
/// it is malformed.
#[must_use]
pub fn replay(recording: &[u8], until: Option<Duration>) -> (Vec<u8>, Option<u64>) {
    let mut out = Vec::new();
    let report = replay::replay_from(recording, until, true, &mut out).ok();
    if let Some(report) = &report {
        // Memory can be written.
        let _ = replay::write(&mut out, &report.to_string());
    }
    (out, report.map(|report| report.inputs))
}
