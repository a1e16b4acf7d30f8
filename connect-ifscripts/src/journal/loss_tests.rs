// SPDX-License-Identifier: GPL-3.0-or-later
//! The journal when its directory or its lock is removed or replaced while it is in use.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use connect_ipc::RunId;
use connect_runtime::lock_holder::Holder;

use super::lock::Files;
use super::store::LOOK;
use super::tests::{lock, lock_in_time, opened};
use super::*;

const NOW: Monotonic = Monotonic(1_000_000_000);

/// When an idle helper checks.
const THEN: Monotonic = Monotonic(NOW.0 + IDLE_LOOK.as_secs() * 1_000_000_000);

fn open(path: &Path) -> Journal {
    opened(path, NOW).0
}

struct Bench {
    _dir: tempfile::TempDir,
    path: PathBuf,
    journal: Journal,
    ledger: Ledger,
}

impl Bench {
    /// A journal with an entry.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scripts");
        let mut bench = Bench {
            journal: open(&path),
            path,
            ledger: Ledger::default(),
            _dir: dir,
        };
        bench.note();
        bench.journal.flush(&bench.ledger, NOW);
        bench
    }

    /// Something happens that goes into the journal.
    fn note(&mut self) {
        let entry = Entry::Settled(vec![RunId(1)]);
        self.ledger.apply(&entry);
        self.journal.append(&entry);
    }

    /// An idle helper checks.
    fn look(&mut self) {
        assert_eq!(self.journal.next_wake(Pace::Idle), Some(THEN));
        self.journal.tend(&self.ledger, Pace::Idle, THEN);
    }

    /// The fault, which is reported only once, and what follows it.
    fn fault(&self) -> String {
        self.journal.fault().unwrap_or_default().to_owned()
    }

    /// What was lost has been created again.
    fn is_made_again(&mut self) {
        assert_eq!(self.journal.next_wake(Pace::Idle), Some(THEN), "at once");
        self.journal.tend(&self.ledger, Pace::Idle, THEN);
        assert_eq!(self.journal.fault(), None);
        let directory = Directory::open(&self.path).unwrap();
        let reading = read(&directory, &Header::current().unwrap()).unwrap();
        assert!(reading.ledger.is_some());
        assert!(lock(&self.path).is_none(), "it is locked");
        assert_eq!(Holder::find(&self.path, None), Holder::own());
    }

    fn segments(&self) -> Vec<u64> {
        Directory::open(&self.path).unwrap().segments().unwrap()
    }
}

#[test]
fn a_directory_that_was_removed_is_made_again() {
    let mut bench = Bench::new();
    fs::remove_dir_all(&bench.path).unwrap();
    bench.look();
    let fault = bench.fault();
    assert!(fault.contains("the directory was removed"), "{fault}");
    assert!(!fault.contains("free some space"), "{fault}");
    bench.is_made_again();
}

#[test]
fn a_directory_in_the_place_of_the_first_is_used_and_the_first_is_void() {
    let mut bench = Bench::new();
    let elsewhere = bench.path.with_file_name("elsewhere");
    fs::rename(&bench.path, &elsewhere).unwrap();
    fs::create_dir(&bench.path).unwrap();
    // As if a file system were mounted over it that has an old journal.
    fs::copy(elsewhere.join("journal-1"), bench.path.join("journal-7")).unwrap();
    bench.look();
    assert!(
        bench.fault().contains("mounted over it"),
        "{}",
        bench.fault()
    );
    bench.is_made_again();
    assert_eq!(bench.segments(), [1]);
    let first = Directory::open(&elsewhere).unwrap();
    assert!(
        first.segments().unwrap().is_empty(),
        "it would be followed if it came back"
    );
}

#[test]
fn a_lock_file_that_was_removed_is_locked_again() {
    let mut bench = Bench::new();
    fs::remove_file(bench.path.join("lock")).unwrap();
    bench.look();
    assert!(bench.fault().contains("`lock'"), "{}", bench.fault());
    bench.is_made_again();
}

#[test]
fn it_is_found_within_a_second_while_entries_are_written() {
    let mut bench = Bench::new();
    fs::remove_file(bench.path.join("lock")).unwrap();
    bench.note();
    bench.journal.flush(&bench.ledger, NOW + LOOK);
    assert!(bench.fault().contains("`lock'"), "{}", bench.fault());
}

#[test]
fn a_helper_that_has_lost_the_lock_touches_no_file_of_the_one_that_has_it() {
    let mut bench = Bench::new();
    fs::remove_file(bench.path.join("lock")).unwrap();
    // The other helper has read what was there.
    let mut other = open(&bench.path);
    let segments = bench.segments();
    bench.look();
    for time in [THEN, THEN + RETRY, THEN + RETRY + RETRY] {
        bench.journal.tend(&bench.ledger, Pace::Idle, time);
        bench.note();
        bench.journal.flush(&bench.ledger, time);
        let fault = bench.fault();
        let own = std::process::id();
        assert!(
            fault.contains(&format!("(process {own}) has locked it since")),
            "{fault}"
        );
        assert!(fault.contains("the other one goes on"), "{fault}");
        assert!(bench.journal.is_taken());
        assert_eq!(bench.journal.next_wake(Pace::Idle), None);
        assert_eq!(bench.segments(), segments);
    }
    // It can no longer change anything, in any way.
    let locked = bench.journal.locked().unwrap();
    assert!(matches!(
        locked.remove_before(u64::MAX),
        Err(JournalError::Lost(_))
    ));
    assert!(matches!(
        locked.create_segment(),
        Err(JournalError::Lost(_))
    ));
    assert!(matches!(
        locked.set_aside(segments[0]),
        Err(JournalError::Lost(_))
    ));
    assert_eq!(bench.segments(), segments);
    // The other helper continues. When it has ended, this one does not write again: it knows less.
    other.append(&Entry::Settled(vec![RunId(1)]));
    other.flush(&Ledger::default(), NOW + LOOK);
    assert_eq!(other.fault(), None);
    drop(other);
    let segments = bench.segments();
    bench
        .journal
        .tend(&bench.ledger, Pace::Idle, THEN + IDLE_LOOK);
    assert!(!bench.journal.lets_start(THEN + IDLE_LOOK));
    assert!(bench.journal.is_taken());
    assert_eq!(bench.segments(), segments);
    drop(lock_in_time(&bench.path));
}

#[test]
fn before_a_script_is_started_what_was_removed_is_made_again() {
    let mut bench = Bench::new();
    fs::remove_file(bench.path.join("lock")).unwrap();
    bench.note();
    assert!(!bench.journal.lets_start(NOW));
    assert!(bench.fault().contains("`lock'"), "{}", bench.fault());
    bench.journal.tend(&bench.ledger, Pace::Idle, NOW);
    assert!(bench.journal.lets_start(NOW));
    assert!(lock(&bench.path).is_none(), "it is locked");
    assert!(bench.journal.lines.is_empty(), "they are in the ledger");
    // If another helper was faster, that is known before the script is started.
    fs::remove_file(bench.path.join("lock")).unwrap();
    let _other = open(&bench.path);
    assert!(!bench.journal.lets_start(NOW));
    bench.journal.tend(&bench.ledger, Pace::Idle, NOW);
    assert!(bench.journal.is_taken());
}

#[test]
fn a_directory_that_cannot_be_made_again_is_told_and_tried_again() {
    let mut bench = Bench::new();
    fs::remove_dir_all(&bench.path).unwrap();
    fs::write(&bench.path, "in its place").unwrap();
    bench.look();
    bench.journal.tend(&bench.ledger, Pace::Idle, THEN);
    let fault = bench.fault();
    assert!(fault.contains("it must be a directory"), "{fault}");
    assert_eq!(bench.journal.next_wake(Pace::Idle), Some(THEN + RETRY));
    fs::remove_file(&bench.path).unwrap();
    bench.journal.tend(&bench.ledger, Pace::Idle, THEN + RETRY);
    assert_eq!(bench.journal.fault(), None);
}

#[test]
fn a_successor_is_seen_after_its_file_was_removed() {
    let mut bench = Bench::new();
    fs::remove_file(bench.path.join("next")).unwrap();
    bench.look();
    assert_eq!(bench.journal.fault(), None);
    let next = OpenOptions::new()
        .write(true)
        .open(bench.path.join("next"))
        .unwrap();
    let locked = bench.journal.locked().unwrap();
    assert!(!locked.successor_waits());
    rustix::fs::flock(&next, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(locked.successor_waits());
}

#[test]
fn a_next_that_cannot_be_used_is_a_fault_until_it_can_be() {
    let mut bench = Bench::new();
    let next = bench.path.join("next");
    fs::remove_file(&next).unwrap();
    fs::create_dir(&next).unwrap();
    bench.look();
    let fault = bench.fault();
    assert!(fault.contains("the file `next'"), "{fault}");
    bench
        .journal
        .tend(&bench.ledger, Pace::Idle, THEN + IDLE_LOOK);
    assert_eq!(bench.fault(), fault);
    // The next helper can read it.
    drop(bench.journal);
    bench.journal = open(&bench.path);
    assert_eq!(bench.fault(), fault);
    fs::remove_dir(&next).unwrap();
    bench.look();
    assert_eq!(bench.journal.fault(), None);
    assert!(next.is_file());
}

#[test]
fn a_lock_file_without_its_name_cannot_be_taken() {
    let bench = Bench::new();
    let directory = Directory::open(&bench.path).unwrap();
    let files = Files::open(&directory).unwrap();
    fs::remove_file(bench.path.join("lock")).unwrap();
    drop(bench.journal);
    assert!(!files.take(&directory).unwrap());
    assert!(Files::open(&directory).unwrap().take(&directory).unwrap());
}

#[test]
fn while_scripts_are_under_way_it_looks_each_second() {
    let mut bench = Bench::new();
    fs::remove_file(bench.path.join("lock")).unwrap();
    assert_eq!(bench.journal.next_wake(Pace::Busy), Some(NOW + LOOK));
    bench.journal.tend(&bench.ledger, Pace::Busy, NOW + LOOK);
    assert!(bench.fault().contains("`lock'"), "{}", bench.fault());
}

#[test]
fn what_was_removed_is_made_again_before_a_helper_ends() {
    let mut bench = Bench::new();
    bench.journal.secure(&bench.ledger, NOW);
    assert_eq!(bench.segments(), [1], "all is there");
    fs::remove_file(bench.path.join("journal-1")).unwrap();
    bench.journal.secure(&bench.ledger, NOW);
    assert_eq!(bench.journal.fault(), None);
    assert_eq!(bench.segments(), [1]);
    // Its parent directory, too, which is created as core would create it.
    let runtime = bench.path.join("runtime");
    let path = runtime.join("scripts");
    fs::create_dir(&runtime).unwrap();
    bench.journal = open(&path);
    fs::remove_dir_all(&runtime).unwrap();
    bench.journal.secure(&bench.ledger, NOW);
    assert_eq!(bench.journal.fault(), None);
    assert!(lock(&path).is_none(), "it is locked");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&runtime), mode(&path)), (0o755, 0o700));
}
