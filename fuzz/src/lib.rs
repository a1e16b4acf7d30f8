// SPDX-License-Identifier: GPL-3.0-or-later
//! What several fuzz targets need.

use connect_core::machine::Config;
use connect_ipc::clock::{BootId, Monotonic};
use connect_ipc::setup::ServerRun;
use connect_policy::hooks::DefaultHooks;
use connect_policy::pinging::PingKind;

/// The boot in which everything happens.
pub const BOOT: &str = "this";

/// What does not change while a core runs that was started at this instant.
#[must_use]
pub fn config(started: Monotonic) -> Config {
    Config {
        version: "2".to_owned(),
        boot: Some(BootId(BOOT.to_owned())),
        pid: 1,
        socket: "tripesock".into(),
        database: "peers.cdb".into(),
        startup: true,
        ping: PingKind::Transport,
        script_limit: None,
        hooks: DefaultHooks::default(),
        exit_on_disconnect: false,
        server_wait: None,
        started,
    }
}

/// A run of the server.
#[must_use]
pub fn server_run() -> Option<ServerRun> {
    serde_json::from_str(r#"{"device":1,"inode":2,"made":[3,4]}"#).ok()
}

/// Checks that what was written for a terminal is text, and has nothing in it that acts on the
/// terminal or is not seen.
///
/// # Panics
/// If not.
pub fn assert_shown(written: &[u8]) {
    let hidden = |c: char| c != '\n' && (c.is_control() || peerdb::is_invisible(c));
    match str::from_utf8(written) {
        Ok(text) => assert!(!text.contains(hidden), "{text:?}"),
        Err(error) => panic!("{error}: {written:?}"),
    }
}
