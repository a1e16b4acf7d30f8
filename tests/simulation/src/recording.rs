// SPDX-License-Identifier: GPL-3.0-or-later
//! Recordings of core, one file for each of its lives, in the form that `connect-core replay`
//! reads. Nothing is masked: challenges of the lab are no secrets.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use connect_core::machine::{Config, Input, Output};
use connect_core::recording::{Header, SCHEMA, line};
use connect_core::secrets::Secrets;
use connect_ipc::clock::Monotonic;
use serde_json::value::RawValue;

use crate::plan::HostId;

/// The file of a life of core.
#[must_use]
pub fn path(directory: &Path, host: HostId, life: u32) -> PathBuf {
    directory.join(format!("core-{}-{life}.jsonl", host.0))
}

/// A recording of one life of core.
#[derive(Debug)]
pub struct Recording {
    file: BufWriter<File>,
}

impl Recording {
    /// Begins the recording of a life.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn begin(
        directory: &Path,
        host: HostId,
        life: u32,
        config: &Config,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let mut file = BufWriter::new(File::create(path(directory, host, life))?);
        let header = Header {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: config.clone(),
        };
        serde_json::to_writer(&mut file, &header)?;
        file.write_all(b"\n")?;
        Ok(Recording { file })
    }

    /// An input as text, before core takes it.
    ///
    /// # Errors
    /// If it has no form in JSON.
    pub fn input(input: &Input<'_>) -> std::io::Result<Box<RawValue>> {
        Ok(serde_json::value::to_raw_value(input)?)
    }

    /// Adds an input and what came of it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(
        &mut self,
        at: Monotonic,
        input: &RawValue,
        outputs: &[Output],
    ) -> std::io::Result<()> {
        let entry = line(at, input, outputs, &Secrets::default());
        writeln!(self.file, "{}", entry.unwrap_or_default())
    }

    /// Writes everything to the file.
    ///
    /// # Errors
    /// If that cannot be done.
    pub fn finish(mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use connect_core::machine::Machine;
    use connect_core::replay::replay;
    use connect_policy::pinging::PingKind;

    use super::*;

    #[test]
    fn a_recording_replays_to_the_same_outputs() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config {
            version: "2".to_owned(),
            pid: 1,
            socket: "tripesock".into(),
            database: "peers.cdb".into(),
            startup: false,
            ping: PingKind::Transport,
            script_limit: None,
            exit_on_disconnect: false,
            server_wait: None,
            started: Monotonic(1),
        };
        let mut recording = Recording::begin(directory.path(), HostId(0), 3, &config).unwrap();
        let mut core = Machine::new(config);
        let line = |text: &'static str| Input::ServerLine(text.into());
        let ok = || line("OK");
        let joined = [Input::ServerConnected { run: None }, ok(), ok(), ok()];
        let asked = [line("SVCJOB J1 connect adopted"), Input::EndOfTurn];
        let mut outputs = Vec::new();
        for input in joined.into_iter().chain(asked) {
            let written = Recording::input(&input).unwrap();
            let mut now = Vec::new();
            core.handle(input, Monotonic(2), &mut now);
            recording.add(Monotonic(2), &written, &now).unwrap();
            outputs.extend(now);
        }
        assert!(!outputs.is_empty());
        recording.finish().unwrap();
        let path = path(directory.path(), HostId(0), 3);
        let report = replay(&path, None, false, &mut Vec::new()).unwrap();
        assert_eq!((report.difference, report.truncated), (None, None));
    }
}
