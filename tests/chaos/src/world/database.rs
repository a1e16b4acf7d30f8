// SPDX-License-Identifier: GPL-3.0-or-later
//! The peers and their database, in its good form and in bad ones.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use connect_ipc::setup::ByLane;
use peerdb::{Record, Writer};
use tripe_lab::rng::Rng;

use crate::script;

/// Of so many peers one has `connect` and `disconnect`.
const CONNECTION_EVERY: u16 = 4;

/// Which of so many peers have less than that: of a lane only the script that undoes a setup.
const KINDS: u16 = 8;
const ONLY_IFDOWN: u16 = 3;
const ONLY_DISCONNECT: u16 = 7;

/// Of so many peers one is added by the service at its start.
const AUTOMATIC_EVERY: u16 = 3;

/// A file that is not the database: no database at all, or another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Broken {
    Empty,
    Cut,
    Noise,
    /// The file itself is cut; no other one takes its place.
    Truncated,
    /// The database of another site, which has none of the peers.
    Other,
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

/// The number in the name of a peer.
fn number(peer: &str) -> u16 {
    peer.trim_start_matches('p').parse().unwrap_or(0)
}

/// The address of the peer with this name, in the network that the lab answers for.
pub(crate) fn address(peer: &str) -> String {
    let number = number(peer);
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

    /// Those that have `disconnect`, most of them with `connect`.
    pub(crate) fn connected(&self) -> impl Iterator<Item = String> {
        let has_any =
            |number: &u16| number % CONNECTION_EVERY == 1 || number % KINDS == ONLY_DISCONNECT;
        (0..self.count).filter(has_any).map(name)
    }

    /// In which lanes a peer only has the script that undoes a setup.
    pub(crate) fn only_undone(peer: &str) -> ByLane<bool> {
        let kind = number(peer) % KINDS;
        ByLane {
            interface: kind == ONLY_IFDOWN,
            connection: kind == ONLY_DISCONNECT,
        }
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

    /// Puts a database in place that has none of the peers. It has another number of them: by that
    /// the service shows which one it has.
    fn write_other(&self) -> anyhow::Result<()> {
        let mut writer = Writer::new();
        for number in 0..=self.count {
            let pairs = vec![("peer", address(&name(number))), ("watch", "t".to_owned())];
            writer.put_record(&Record::new(&format!("q{number:05}"), pairs));
        }
        Ok(writer.write(&self.file)?)
    }

    /// Puts a file in place that is not the database.
    pub(crate) fn break_it(&self, how: Broken, rng: &mut Rng) -> anyhow::Result<()> {
        let good = fs::read(&self.file)?;
        let bytes = match how {
            Broken::Empty => Vec::new(),
            Broken::Cut => good[..good.len() / 2].to_vec(),
            Broken::Truncated => {
                let file = fs::File::options().write(true).open(&self.file)?;
                return Ok(file.set_len(good.len() as u64 / 2)?);
            }
            Broken::Other => return self.write_other(),
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
            ("ifdown", script("ifdown")),
        ];
        if number % KINDS != ONLY_IFDOWN {
            pairs.push(("ifup", script("ifup")));
        }
        if number % CONNECTION_EVERY == 1 {
            pairs.push(("connect", shell("connect")));
        }
        if number % CONNECTION_EVERY == 1 || number % KINDS == ONLY_DISCONNECT {
            pairs.push(("disconnect", shell("disconnect")));
        }
        Record::new(&peer, pairs)
    }
}
