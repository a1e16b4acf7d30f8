// SPDX-License-Identifier: GPL-3.0-or-later
//! The journal of scripts, for programs that only read it: which scripts have not ended, as noted
//! by a script helper that may have ended.
//!
//! It is read without the lock, while it may be written and renewed. If a segment is removed
//! meanwhile, a later one has all that still counts of it, so reading begins again. A last line
//! without a newline is just being written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use connect_ipc::RunId;
use connect_ipc::clock::BootId;
use connect_ipc::frame::{MAX_FRAME, decode};
use connect_ipc::scripts::{Child, ScriptKind, UnderWay};
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::{clock, start_time};

/// The version of the entries. It increases when a reader of the old form would misunderstand the
/// new one.
pub const SCHEMA: u32 = 1;

/// What the name of a segment begins with; its number follows.
pub const SEGMENT: &str = "journal-";

/// The longest line. An order has come in one message, and its entry has little more than that; the
/// rest is room for what is noted with it.
pub const MAX_LINE: usize = 4 * MAX_FRAME;

/// How often reading begins again. A renewal takes many writes, so twice is usually enough.
const ATTEMPTS: usize = 10;

/// The first line of a segment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    /// The form of the entries.
    pub schema: u32,
    /// The boot that they are about.
    pub boot: BootId,
}

impl Header {
    /// The header of a journal that is made in the present boot.
    ///
    /// # Errors
    /// If the system does not say which boot this is.
    pub fn current() -> anyhow::Result<Self> {
        Ok(Header {
            schema: SCHEMA,
            boot: clock::boot()?,
        })
    }
}

/// The state of a script.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// It waits for its turn.
    Waits,
    /// It was just being started, and whether it was is not noted.
    Starting,
    /// This child runs it.
    Runs(Child),
    /// Its child has ended, and no helper has noted how.
    HasEnded,
}

/// A script whose end is not noted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unfinished {
    /// Whose it is.
    pub peer: String,
    /// Which it is.
    pub kind: ScriptKind,
    /// Its state.
    pub stage: Stage,
}

/// What the journal says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Glance {
    /// The scripts whose end is not noted, in the order of their numbers.
    pub unfinished: Vec<Unfinished>,
    /// Whether something in it could not be read, so that there may be more.
    pub is_damaged: bool,
}

/// What is read of an entry.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Entry {
    Ordered(Noted),
    Adopted(UnderWay),
    Setup(IgnoredAny),
    Starting { run: RunId },
    Started { run: RunId, child: Child },
    Survives(IgnoredAny),
    Ended { run: RunId },
    Failures(IgnoredAny),
    Settled(Vec<RunId>),
    Kept(Kept),
}

/// A run.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Noted {
    run: RunId,
    peer: String,
    kind: ScriptKind,
}

/// A run as it stood when the journal was renewed.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kept {
    under_way: UnderWay,
    stage: KeptStage,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptStage {
    Waiting(IgnoredAny),
    Starting(IgnoredAny),
    Started {},
    Ended(IgnoredAny),
}

/// All runs, also finished ones, since a renewed journal repeats them.
type Runs = BTreeMap<RunId, (Unfinished, bool)>;

/// Looks at the journal in a directory.
///
/// # Errors
/// If the directory or a segment cannot be read.
pub fn look(directory: &Path) -> io::Result<Glance> {
    let current = Header::current().map_err(io::Error::other)?;
    let mut attempt = 1;
    loop {
        match read(directory, &current) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {
                // If the directory itself is missing, this fails.
                fs::metadata(directory)?;
                attempt += 1;
            }
            result => return result,
        }
    }
}

fn read(directory: &Path, current: &Header) -> io::Result<Glance> {
    let owner = fs::metadata(directory)?.uid();
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(SEGMENT));
        let number = number.and_then(|digits| {
            let number: u64 = digits.parse().ok()?;
            (number.to_string() == digits).then_some(number)
        });
        segments.extend(number.map(|number| (number, name)));
    }
    segments.sort();
    let mut runs = Runs::new();
    let mut is_damaged = false;
    for (_, name) in segments {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let path = directory.join(name);
        let file = File::from(openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())?);
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.uid() == owner {
            // What is written from now on is not read: that could go on for ever.
            let reader = BufReader::new(file.take(metadata.len()));
            is_damaged |= !read_segment(reader, current, &mut runs)?;
        }
    }
    let left = runs.into_values().filter(|(_, is_over)| !is_over);
    Ok(Glance {
        unfinished: left.map(|(run, _)| with_child(run)).collect(),
        is_damaged,
    })
}

/// What segments of these bytes say, in their order: the scripts whose end is not noted, by their
/// numbers, and whether something in it could not be read. Whether children live is not looked up.
#[cfg(fuzzing)]
pub fn of_bytes(segments: &[&[u8]], current: &Header) -> (Vec<(RunId, Unfinished)>, bool) {
    let mut runs = Runs::new();
    let mut is_damaged = false;
    for bytes in segments {
        // Memory can be read.
        is_damaged |= !read_segment(*bytes, current, &mut runs).unwrap_or_default();
    }
    let left = runs.into_iter().filter(|(_, (_, is_over))| !is_over);
    let left = left.map(|(run, (unfinished, _))| (run, unfinished));
    (left.collect(), is_damaged)
}

/// Reads a segment. Returns whether all of it could be understood.
fn read_segment(
    mut reader: impl io::BufRead,
    current: &Header,
    runs: &mut Runs,
) -> io::Result<bool> {
    let mut line = Vec::new();
    let mut has_header = false;
    loop {
        line.clear();
        let mut limited = reader.by_ref().take(MAX_LINE as u64);
        let length = limited.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Ok(length < MAX_LINE);
        }
        let text = String::from_utf8_lossy(&line);
        if !has_header {
            match decode::<Header>(&text) {
                Ok(header) if header.boot != current.boot => return Ok(true),
                Ok(header) if header == *current => has_header = true,
                _ => return Ok(false),
            }
            continue;
        }
        match decode(&text) {
            Ok(entry) => apply(entry, runs),
            Err(_) => return Ok(false),
        }
    }
}

/// Applies an entry, as the script helper itself does.
fn apply(entry: Entry, runs: &mut Runs) {
    match entry {
        Entry::Ordered(Noted { run, peer, kind }) => {
            let stage = Stage::Waits;
            let run = runs.entry(run);
            run.or_insert_with(|| (Unfinished { peer, kind, stage }, false));
        }
        Entry::Adopted(under_way) => {
            let (run, noted) = (under_way.run, kept(under_way, Stage::Waits));
            runs.entry(run).or_insert((noted, false));
        }
        Entry::Kept(Kept { under_way, stage }) => {
            let is_over = matches!(stage, KeptStage::Ended(_));
            let stage = match stage {
                KeptStage::Starting(_) => Stage::Starting,
                _ => Stage::Waits,
            };
            runs.insert(under_way.run, (kept(under_way, stage), is_over));
        }
        Entry::Starting { run } => set(runs, run, Stage::Starting),
        Entry::Started { run, child } => set(runs, run, Stage::Runs(child)),
        Entry::Ended { run } => {
            if let Some((_, is_over)) = runs.get_mut(&run) {
                *is_over = true;
            }
        }
        Entry::Settled(settled) => {
            for run in settled {
                runs.remove(&run);
            }
        }
        Entry::Survives(_) | Entry::Setup(_) | Entry::Failures(_) => {}
    }
}

/// A run that was noted with its child, if it has one.
fn kept(under_way: UnderWay, stage: Stage) -> Unfinished {
    Unfinished {
        peer: under_way.peer,
        kind: under_way.kind,
        stage: under_way.child.map_or(stage, Stage::Runs),
    }
}

fn set(runs: &mut Runs, run: RunId, stage: Stage) {
    if let Some((unfinished, _)) = runs.get_mut(&run) {
        unfinished.stage = stage;
    }
}

/// Checks whether the child of a script still runs.
fn with_child(run: Unfinished) -> Unfinished {
    let stage = match run.stage {
        Stage::Runs(child) if !lives(child) => Stage::HasEnded,
        stage => stage,
    };
    Unfinished { stage, ..run }
}

fn lives(child: Child) -> bool {
    let start_time = start_time::of(child.pid);
    start_time.is_some_and(|it| child.start_time == 0 || it == child.start_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    fn header() -> String {
        serde_line(&Header::current().unwrap())
    }

    fn serde_line<T: Serialize>(value: &T) -> String {
        let mut line = Vec::new();
        connect_ipc::frame::encode(value, &mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    const ORDERS: &str = r#"{"ordered":{"run":1,"peer":"a","kind":"ifup","command":{"shell":":"},"environment":[],"limit":null}}
{"ordered":{"run":2,"peer":"a","kind":"ifdown","command":{"shell":":"},"environment":[],"limit":null}}
{"ordered":{"run":3,"peer":"b","kind":"connect","command":{"shell":":"},"environment":[],"limit":null}}
{"starting":{"run":1,"origin":{"at":7,"session":8}}}
"#;

    fn stages(directory: &Path) -> (Vec<(String, Stage)>, bool) {
        let seen = look(directory).unwrap();
        let stages = seen.unfinished.into_iter();
        let stages = stages.map(|run| (format!("{} {}", run.kind.name(), run.peer), run.stage));
        (stages.collect(), seen.is_damaged)
    }

    fn of(found: &[(&str, Stage)]) -> Vec<(String, Stage)> {
        found
            .iter()
            .map(|(name, stage)| ((*name).to_owned(), *stage))
            .collect()
    }

    #[test]
    fn scripts_that_wait_and_run_are_seen_and_those_that_have_ended_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(stages(dir.path()), (of(&[]), false));
        let pid = i32::try_from(std::process::id()).unwrap();
        let start_time = start_time::of(pid).unwrap();
        let started = |start_time| {
            format!(
                "{{\"started\":{{\"run\":1,\"child\":{{\"pid\":{pid},\"start-time\":{start_time}}}}}}}\n"
            )
        };
        let (waits, child) = (Stage::Waits, Child { pid, start_time });
        let rest = [("ifdown a", waits), ("connect b", waits)];
        for (more, stage) in [
            (String::new(), Stage::Starting),
            (started(start_time), Stage::Runs(child)),
            (started(start_time + 1), Stage::HasEnded),
        ] {
            file("journal-4", &format!("{}{ORDERS}{more}", header()));
            let found = [&[("ifup a", stage)], &rest[..]].concat();
            assert_eq!(stages(dir.path()), (of(&found), false));
        }
        // A renewal is under way, and the last line is just being written.
        let more = r#"{"kept":{"under-way":{"run":2,"peer":"a","kind":"ifdown","child":null},"stage":{"ended":{"exited":0}}}}
{"ended":{"run":1,"end":"lost"}}
{"ended":{"run":3"#;
        file("journal-5", &format!("{}{more}", header()));
        assert_eq!(stages(dir.path()), (of(&[("connect b", waits)]), false));
    }

    #[test]
    fn what_is_no_journal_of_this_boot_says_nothing_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let other = Header {
            boot: BootId("another".to_owned()),
            ..Header::current().unwrap()
        };
        fs::write(path("journal-1"), serde_line(&other) + ORDERS).unwrap();
        fs::write(path("journal-x"), "nonsense\n").unwrap();
        fs::write(path("elsewhere"), header() + ORDERS).unwrap();
        fs::write(path("journal-02"), header() + ORDERS).unwrap();
        assert_eq!(stages(dir.path()), (of(&[]), false));
        symlink("elsewhere", path("journal-3")).unwrap();
        assert!(look(dir.path()).is_err(), "a link is not followed");
        fs::remove_file(path("journal-3")).unwrap();
        let other = Header {
            schema: SCHEMA + 1,
            ..Header::current().unwrap()
        };
        fs::write(path("journal-3"), serde_line(&other) + ORDERS).unwrap();
        assert_eq!(stages(dir.path()), (of(&[]), true));
        let mut file = File::create(path("journal-3")).unwrap();
        file.write_all((header() + ORDERS + "nonsense\n" + ORDERS).as_bytes())
            .unwrap();
        let (found, is_damaged) = stages(dir.path());
        assert_eq!((found.len(), is_damaged), (3, true), "those before count");
        let missing = look(&path("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
