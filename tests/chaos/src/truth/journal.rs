// SPDX-License-Identifier: GPL-3.0-or-later
//! The thread that reads the script helper's journal while it is written: it reports children that
//! were ended before they could write a line, and setups that no script makes.
//!
//! A segment is removed when the next one is complete. It is kept open here for a while after that,
//! so its last lines are still read: if somebody else has removed it, the helper goes on writing to
//! it until it notices.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use connect_ifscripts::ledger::Entry;
use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::ScriptKind;
use connect_ipc::setup::SetupState;
use connect_runtime::clock;

use judge::history::{Noted, NotedKind};

/// The pause between two readings: far shorter than the life of a segment.
const READ_EVERY: Duration = Duration::from_millis(10);

/// For how long a segment without a name is read: the helper looks for its name once a second while
/// it writes.
const REMOVED_FOR: Duration = Duration::from_secs(5);

/// What was noted of each peer, by number.
pub(crate) type NotedOf = BTreeMap<String, BTreeMap<u64, Noted>>;

/// The journal as far as it was read.
#[derive(Debug)]
pub(crate) struct Journal {
    noted: Arc<Mutex<Reading>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Starts to read the segments of this directory.
    pub(crate) fn start(directory: PathBuf) -> Self {
        let noted = Arc::new(Mutex::new(Reading::default()));
        let over = Arc::new(AtomicBool::new(false));
        let (reading, is_over) = (Arc::clone(&noted), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let mut files = BTreeMap::new();
            while !is_over.load(Ordering::Relaxed) {
                read_new(&directory, &mut files, &reading);
                close_old(&mut files, clock::now());
                std::thread::sleep(READ_EVERY);
            }
        });
        Journal {
            noted,
            over,
            thread: Some(thread),
        }
    }

    /// What was noted so far.
    pub(crate) fn noted(&self) -> NotedOf {
        let reading = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        reading.noted.clone()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends by itself, and has nothing more to tell.
            let _ = thread.join();
        }
    }
}

/// An open segment, with the beginning of a line that is not complete.
struct Segment {
    file: File,
    rest: Vec<u8>,
    /// When it last had a name, or a new line.
    last: Monotonic,
}

/// Reads what was added to each segment since the last time.
fn read_new(directory: &Path, files: &mut BTreeMap<u64, Segment>, noted: &Mutex<Reading>) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut there = Vec::new();
    for entry in entries.filter(|entry| is_segment(&entry.path())) {
        // A segment that is removed meanwhile was copied to the next one.
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        let Ok(inode) = file.metadata().map(|metadata| metadata.ino()) else {
            continue;
        };
        there.push(inode);
        files.entry(inode).or_insert(Segment {
            file,
            rest: Vec::new(),
            last: Monotonic::default(),
        });
    }
    let seen = clock::now();
    for (inode, segment) in files.iter_mut() {
        let mut text = std::mem::take(&mut segment.rest);
        let read = segment.file.read_to_end(&mut text);
        if there.contains(inode) || matches!(read, Ok(1..)) {
            segment.last = seen;
        }
        if read.is_err() {
            continue;
        }
        let complete = text.iter().rposition(|byte| *byte == b'\n');
        segment.rest = text.split_off(complete.map_or(0, |end| end + 1));
        let mut reading = noted.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.split(|byte| *byte == b'\n') {
            // The header is no entry.
            if let Ok(entry) = serde_json::from_slice(line) {
                reading.take(&entry, seen);
            }
        }
    }
}

/// Closes the segments to which nobody writes any more.
fn close_old(files: &mut BTreeMap<u64, Segment>, now: Monotonic) {
    files.retain(|_, segment| now.since(segment.last) < REMOVED_FOR);
}

fn is_segment(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.starts_with("journal-"))
}

/// What the lines tell.
#[derive(Debug, Default)]
struct Reading {
    /// The peer and the script of each run that was ordered.
    ordered: BTreeMap<u64, (String, ScriptKind)>,
    noted: NotedOf,
}

impl Reading {
    /// Takes an entry that was there at `seen`. One that was copied changes nothing.
    fn take(&mut self, entry: &Entry, seen: Monotonic) {
        match entry {
            Entry::Ordered(run) => self.order(run.run.0, &run.peer, run.kind),
            Entry::Started { run, child } => self.started(run.0, child.pid, seen),
            Entry::Kept(kept) => {
                let under_way = &kept.under_way;
                self.order(under_way.run.0, &under_way.peer, under_way.kind);
                if let Some(child) = under_way.child {
                    self.started(under_way.run.0, child.pid, seen);
                }
            }
            Entry::Setup(change) => {
                let key = &change.setup.key;
                let [kind, _] = key.pair.scripts();
                if let SetupState::Made(_) = change.setup.state {
                    let what = NotedKind::Made;
                    self.note(&key.peer, change.number.0, kind, what, seen);
                }
            }
            Entry::Adopted(_)
            | Entry::Starting { .. }
            | Entry::Ended { .. }
            | Entry::Failures(_)
            | Entry::Settled(_)
            | Entry::Survives { .. } => {}
        }
    }

    fn order(&mut self, number: u64, peer: &str, kind: ScriptKind) {
        self.ordered.insert(number, (peer.to_owned(), kind));
    }

    fn started(&mut self, number: u64, pid: i32, seen: Monotonic) {
        if let Some((peer, kind)) = self.ordered.get(&number).cloned() {
            self.note(&peer, number, kind, NotedKind::Started { pid }, seen);
        }
    }

    fn note(
        &mut self,
        peer: &str,
        number: u64,
        kind: ScriptKind,
        what: NotedKind,
        seen: Monotonic,
    ) {
        let noted = Noted { kind, what, seen };
        let of_peer = self.noted.entry(peer.to_owned()).or_default();
        let known = of_peer.entry(number).or_insert(noted);
        // A new segment begins with the setups, also with one whose script starts after that.
        if known.what == NotedKind::Made {
            *known = noted;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn lines(directory: &Path, number: u64, lines: &[&str]) {
        let path = directory.join(format!("journal-{number}"));
        let mut options = File::options();
        let mut file = options.create(true).append(true).open(path).unwrap();
        for line in lines {
            write!(file, "{line}").unwrap();
        }
    }

    #[test]
    fn a_setup_that_was_copied_before_its_script_started_hides_no_start() {
        let mut reading = Reading::default();
        let entry = |text: &str| serde_json::from_str::<Entry>(text).unwrap();
        let lines = [
            r#"{"ordered":{"run":7,"peer":"p","kind":"connect","command":{"shell":"x"},
                "environment":[],"limit":null}}"#,
            r#"{"setup":{"number":7,"setup":{"peer":"p","pair":"connection","state":{"made":{
                "server":null,"interface":"","address":"","algorithms":[],"record":[],"run":7}}}}}"#,
            r#"{"started":{"run":7,"child":{"pid":9,"start-time":3}}}"#,
        ];
        for (line, seen) in lines.into_iter().zip(1..) {
            reading.take(&entry(line), Monotonic(seen));
        }
        let found = reading.noted["p"][&7];
        assert_eq!(found.what, NotedKind::Started { pid: 9 });
        assert_eq!(found.seen, Monotonic(3));
    }

    #[test]
    fn starts_are_read_from_segments_that_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let (noted, mut files) = (Mutex::new(Reading::default()), BTreeMap::new());
        let order = "{\"ordered\":{\"run\":7,\"peer\":\"p\",\"kind\":\"connect\",\
                     \"command\":{\"shell\":\"x\"},\"environment\":[],\"limit\":null}}\n";
        lines(
            directory.path(),
            1,
            &["{\"schema\":1,\"boot\":\"b\"}\n", order],
        );
        read_new(directory.path(), &mut files, &noted);
        let started = "{\"started\":{\"run\":7,\"child\":{\"pid\":9,\"start-time\":3}}}\n";
        let (one, two) = started.split_at(20);
        lines(directory.path(), 1, &[one]);
        read_new(directory.path(), &mut files, &noted);
        assert!(noted.lock().unwrap().noted.is_empty(), "half a line");
        let mut held = File::options();
        let mut held = held.append(true).open(directory.path().join("journal-1"));
        fs::remove_file(directory.path().join("journal-1")).unwrap();
        read_new(directory.path(), &mut files, &noted);
        close_old(&mut files, clock::now());
        held.as_mut().unwrap().write_all(two.as_bytes()).unwrap();
        read_new(directory.path(), &mut files, &noted);
        let found = noted.lock().unwrap().noted["p"][&7];
        assert_eq!(found.kind, ScriptKind::Connect);
        assert_eq!(found.what, NotedKind::Started { pid: 9 });
        close_old(&mut files, clock::now() + REMOVED_FOR);
        assert!(files.is_empty());
    }
}
