// SPDX-License-Identifier: GPL-3.0-or-later
//! Recordings of core, one file for each of its lives, in the form that `connect-core replay`
//! reads. Nothing is masked: challenges of the lab are no secrets.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use connect_core::machine::{Config, Input, Machine, Output};
use connect_core::recording::{Header, SCHEMA, line};
use connect_core::secrets::Secrets;
use connect_ipc::clock::Monotonic;

use crate::plan::HostId;

/// The file of a life of core.
#[must_use]
pub fn path(directory: &Path, host: HostId, life: u32) -> PathBuf {
    directory.join(format!("core-{}-{life}.jsonl", host.0))
}

/// A recording of one life of core. What cannot be written ends it, and is told once.
#[derive(Debug)]
pub struct Recording {
    file: Option<BufWriter<File>>,
}

impl Recording {
    /// Begins the recording of a life.
    #[must_use]
    pub fn begin(directory: &Path, host: HostId, life: u32, config: &Config) -> Self {
        let begin = || {
            std::fs::create_dir_all(directory)?;
            let mut file = BufWriter::new(File::create(path(directory, host, life))?);
            let header = Header {
                schema: SCHEMA,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                config: config.clone(),
            };
            serde_json::to_writer(&mut file, &header)?;
            file.write_all(b"\n")?;
            Ok(file)
        };
        let file = begin().map_err(|error| tell(&error)).ok();
        Recording { file }
    }

    /// Has a machine take an input, and writes down what came of it.
    pub fn handle(
        &mut self,
        machine: &mut Machine,
        input: Input<'_>,
        now: Monotonic,
        out: &mut Vec<Output>,
    ) {
        // The machine consumes it.
        let written = serde_json::value::to_raw_value(&input);
        let before = out.len();
        machine.handle(input, now, out);
        let outputs = out.get(before..).unwrap_or_default();
        let entry = written.map(|input| line(now, &input, outputs, &Secrets::default()));
        if let Some(file) = &mut self.file {
            let added = match entry {
                Ok(Some(entry)) => writeln!(file, "{entry}"),
                Ok(None) => Err(std::io::Error::other("an output has no form in JSON")),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = added {
                tell(&error);
                self.file = None;
            }
        }
    }
}

fn tell(error: &std::io::Error) {
    eprintln!("cannot write the recording of core: {error}; recording no further");
}

#[cfg(test)]
mod tests {
    use connect_core::replay::replay;

    use super::*;
    use crate::plan::{Plan, Profile, Scale};
    use crate::promises::testing::config;
    use crate::world::{How, World};
    use std::time::Duration;

    #[test]
    fn a_recording_replays_to_the_same_outputs() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(Monotonic(1));
        let mut recording = Recording::begin(directory.path(), HostId(0), 3, &config);
        let mut core = Machine::new(config);
        let line = |text: &'static str| Input::ServerLine(text.into());
        let ok = || line("OK");
        let joined = [Input::ServerConnected { run: None }, ok(), ok(), ok()];
        let asked = [line("SVCJOB J1 connect adopted"), Input::EndOfTurn];
        let mut outputs = Vec::new();
        for input in joined.into_iter().chain(asked) {
            recording.handle(&mut core, input, Monotonic(2), &mut outputs);
        }
        assert!(!outputs.is_empty());
        drop(recording);
        let path = path(directory.path(), HostId(0), 3);
        let report = replay(&path, None, false, &mut Vec::new()).unwrap();
        assert_eq!((report.difference, report.truncated), (None, None));
    }

    #[test]
    fn every_life_of_core_in_a_storm_replays_to_the_same_outputs() {
        let directory = tempfile::tempdir().unwrap();
        let scale = Scale {
            hosts: 1,
            peers: 3,
            time: Duration::from_secs(2 * 3_600),
            profile: Profile::Storm,
        };
        let how = How {
            recording: Some(directory.path().to_owned()),
            ..How::default()
        };
        for seed in 1..=3 {
            let plan = Plan::generate(seed, scale);
            World::new(&plan, how.clone(), ()).run().1.unwrap();
            let mut lives = 0;
            for life in 1.. {
                let path = path(directory.path(), HostId(0), life);
                if !path.exists() {
                    break;
                }
                let report = replay(&path, None, false, &mut Vec::new()).unwrap();
                let found = (report.difference, report.truncated);
                assert_eq!(found, (None, None), "seed {seed}, life {life}");
                std::fs::remove_file(path).unwrap();
                lives += 1;
            }
            assert!(lives > 0);
        }
    }
}
