// SPDX-License-Identifier: GPL-3.0-or-later
//! The peers and their database, in its good form and in bad ones.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use peerdb::{Record, Writer};
use tripe_lab::rng::Rng;

use crate::script;

/// Of so many peers one has `connect` and `disconnect`.
const CONNECTION_EVERY: u16 = 4;

/// Of so many peers one is added by the service at its start.
const AUTOMATIC_EVERY: u16 = 3;

/// A file that is no database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Broken {
    Empty,
    Cut,
    Noise,
}

/// The peers and where their database is.
#[derive(Debug)]
pub(crate) struct Peers {
    file: PathBuf,
    program: PathBuf,
    seed: u64,
    count: u16,
}

/// The name of a peer.
fn name(number: u16) -> String {
    format!("p{number:05}")
}

/// The address of the peer with this name, in the network that the lab answers for.
pub(crate) fn address(peer: &str) -> String {
    let number: u32 = peer.trim_start_matches('p').parse().unwrap_or(0);
    format!("INET 198.18.{}.{} 4070", number / 250, number % 250 + 1)
}

impl Peers {
    /// So many peers, whose scripts are this program.
    pub(crate) fn new(directory: &Path, count: u16, seed: u64) -> anyhow::Result<Self> {
        Ok(Peers {
            file: directory.join("peers.cdb"),
            program: std::env::current_exe().context("cannot find this program's own file")?,
            seed,
            count,
        })
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        (0..self.count).map(name)
    }

    /// Those that the service adds by itself.
    pub(crate) fn automatic(&self) -> impl Iterator<Item = String> {
        (0..self.count)
            .filter(|number| number % AUTOMATIC_EVERY == 1)
            .map(name)
    }

    /// Those that have `connect` and `disconnect`.
    pub(crate) fn connected(&self) -> impl Iterator<Item = String> {
        (0..self.count)
            .filter(|number| number % CONNECTION_EVERY == 1)
            .map(name)
    }

    /// How many the database has when it is good.
    pub(crate) fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Puts the good database in place, without one of the peers if so said.
    pub(crate) fn write(&self, without: Option<&str>) -> anyhow::Result<()> {
        let mut writer = Writer::new();
        let present = |peer: &String| Some(peer.as_str()) != without;
        for number in (0..self.count).filter(|number| present(&name(*number))) {
            writer.put_record(&self.record(number));
        }
        writer.put_auto(self.automatic().filter(present));
        Ok(writer.write(&self.file)?)
    }

    /// Puts a file in place that is no database.
    pub(crate) fn break_it(&self, how: Broken, rng: &mut Rng) -> anyhow::Result<()> {
        let good = fs::read(&self.file)?;
        let bytes = match how {
            Broken::Empty => Vec::new(),
            Broken::Cut => good[..good.len() / 2].to_vec(),
            Broken::Noise => good.iter().map(|_| rng.next().to_le_bytes()[0]).collect(),
        };
        let directory = self
            .file
            .parent()
            .context("the database has no directory")?;
        let mut file = tempfile::NamedTempFile::with_prefix_in("broken", directory)?;
        file.write_all(&bytes)?;
        file.persist(&self.file)?;
        Ok(())
    }

    fn record(&self, number: u16) -> Record {
        let peer = name(number);
        let directory = self.file.parent().unwrap_or(Path::new(""));
        let script = |kind: &str| {
            format!(
                "{} {} {} {} {kind}",
                self.program.display(),
                script::TASK,
                directory.display(),
                self.seed
            )
        };
        let shell = |kind: &str| format!("exec {} {peer}", script(kind));
        let mut pairs = vec![
            ("peer", address(&peer)),
            ("watch", "t".to_owned()),
            ("every", "1s".to_owned()),
            // No peer is to seem unreachable because the machine is busy.
            ("timeout", "10s".to_owned()),
            ("retries", "5".to_owned()),
            ("ifup", script("ifup")),
            ("ifdown", script("ifdown")),
        ];
        if number % CONNECTION_EVERY == 1 {
            pairs.push(("connect", shell("connect")));
            pairs.push(("disconnect", shell("disconnect")));
        }
        Record::new(&peer, pairs)
    }
}
