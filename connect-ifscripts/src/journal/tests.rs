// SPDX-License-Identifier: GPL-3.0-or-later
//! The journal on a real file system.

use super::*;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connect_ipc::RunId;
use connect_ipc::clock::BootId;
use connect_ipc::scripts::{
    Command, Ended, EndedRun, FailureChange, FailureChanges, Run, ScriptKind,
};
use connect_ipc::setup::{Made, Pair, Setup, SetupChange, SetupKey, SetupState};

use connect_runtime::scripts_journal::{self, SCHEMA, Stage};

use super::lock::Files;
use super::store::{LOOK, RENEW_AT};
use crate::ledger::Origin;

const NOW: Monotonic = Monotonic(1_000_000_000);

fn starting(run: RunId) -> Entry {
    let origin = Origin { at: 7, session: 8 };
    Entry::Starting { run, origin }
}

/// Takes the lock of a directory, if nobody has it.
pub(super) fn lock(path: &Path) -> Option<Locked> {
    let directory = Directory::open(path).unwrap();
    let files = Files::open(&directory).unwrap();
    let taken = files.take(&directory).unwrap();
    taken.then(|| Locked::new(directory, files))
}

/// The same, when nobody has it any more. A child that another test has just created has the
/// descriptors of all tests until it executes its program, which nothing tells.
pub(super) fn lock_in_time(path: &Path) -> Locked {
    loop {
        if let Some(locked) = lock(path) {
            return locked;
        }
        std::thread::yield_now();
    }
}

/// A journal with the ledger that belongs to it.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) journal: Journal,
    ledger: Ledger,
}

/// What a helper begins with in this directory.
pub(super) fn opened(path: &Path, now: Monotonic) -> (Journal, Option<Ledger>) {
    let locked = lock_in_time(path);
    let header = Header::current().unwrap();
    let reading = read(locked.directory(), &header).unwrap();
    Journal::begin(locked, header, reading, now).unwrap()
}

impl Bench {
    fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    pub(super) fn within(dir: tempfile::TempDir) -> Self {
        let (journal, read) = opened(dir.path(), NOW);
        assert!(read.is_none() && journal.fault().is_none());
        Bench {
            dir,
            journal,
            ledger: Ledger::default(),
        }
    }

    pub(super) fn note(&mut self, entry: &Entry) {
        self.ledger.apply(entry);
        self.journal.append(entry);
    }

    pub(super) fn flush(&mut self) {
        self.journal.flush(&self.ledger, NOW);
    }

    /// Writes until a renewal is under way, and one entry more.
    fn begin_renewal(&mut self) {
        for number in 0..400 {
            self.note(&ordered(number, 4_000));
            self.flush();
            if self.segments().len() == 2 {
                break;
            }
        }
        self.note(&ordered(1_000, 10));
        self.flush();
    }

    fn directory(&self) -> Directory {
        Directory::open(self.dir.path()).unwrap()
    }

    /// What another process would read now.
    fn read(&self) -> Option<Ledger> {
        let reading = read(&self.directory(), &Header::current().unwrap()).unwrap();
        assert!(reading.damaged.is_empty());
        reading.ledger
    }

    pub(super) fn segments(&self) -> Vec<PathBuf> {
        let numbers = self.directory().segments().unwrap();
        let path = |number| self.dir.path().join(format!("journal-{number}"));
        numbers.into_iter().map(path).collect()
    }

    /// Another helper comes.
    pub(super) fn reopen(&mut self) -> Option<Ledger> {
        // It gives the lock up.
        self.journal = Journal::none("closed".to_owned());
        let (journal, read) = opened(self.dir.path(), NOW);
        self.journal = journal;
        read
    }

    /// The files that are there.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// Whether who only looks at the journal sees the same runs.
    fn looks_same(&self) -> bool {
        let seen = scripts_journal::look(self.dir.path()).unwrap();
        let left = self.ledger.runs().filter(|run| run.end().is_none());
        let left = left.map(|run| {
            let stage = match run.stage {
                crate::ledger::Stage::Waiting(_) => Stage::Waits,
                crate::ledger::Stage::Starting(_) => Stage::Starting,
                ref other => panic!("{other:?}"),
            };
            (run.under_way.peer.as_str(), run.under_way.kind, stage)
        });
        let seen_runs = seen.unfinished.iter();
        let seen_runs = seen_runs.map(|run| (run.peer.as_str(), run.kind, run.stage));
        !seen.is_damaged && seen_runs.eq(left)
    }

    pub(super) fn is_same(&self, read: &Ledger) -> bool {
        read.runs().eq(self.ledger.runs())
            && read.setups_after(None).eq(self.ledger.setups_after(None))
            && read
                .failures()
                .after(None)
                .eq(self.ledger.failures().after(None))
    }
}

pub(super) fn ordered(number: u64, filling: usize) -> Entry {
    let made = Made {
        server: None,
        interface: String::new(),
        address: String::new(),
        algorithms: Vec::new(),
        record: Vec::new(),
        runs: vec![RunId(number)],
        never_started: false,
    };
    Entry::Ordered(Arc::new(Run {
        run: RunId(number),
        peer: format!("p{}", number % 50),
        kind: ScriptKind::Ifup,
        command: Command::Shell(":".to_owned()),
        environment: vec![("P_X".to_owned(), "x".repeat(filling))],
        limit: None,
        setup: Some(SetupState::Made(Arc::new(made))),
        undoes: Vec::new(),
    }))
}

fn failed(number: u64) -> Entry {
    let failed = EndedRun {
        peer: format!("p{}", number % 50),
        at: Monotonic(number),
        kind: ScriptKind::Ifup,
        end: Ended::Exited(2),
        output: vec!["no such device".to_owned()],
    };
    Entry::Failures(FailureChanges {
        all: number.is_multiple_of(100),
        changes: vec![FailureChange::Failed(failed)],
    })
}

fn ended(number: u64, end: Ended) -> Entry {
    let run = RunId(number);
    Entry::Ended { run, end }
}

#[test]
fn what_was_written_is_read_and_a_torn_line_is_not() {
    let mut bench = Bench::new();
    for number in 0..10 {
        bench.note(&ordered(number, 10));
    }
    bench.note(&starting(RunId(3)));
    bench.note(&ended(4, Ended::Stopped));
    bench.note(&Entry::Setup(SetupChange {
        number: RunId(99),
        setup: Setup {
            key: SetupKey {
                peer: "p9".to_owned(),
                pair: Pair::Interface,
            },
            state: SetupState::Undone {},
            number: None,
        },
    }));
    assert_eq!(
        bench.read().unwrap().runs().count(),
        0,
        "nothing is written yet"
    );
    bench.flush();
    assert!(bench.is_same(&bench.read().unwrap()));
    let [segment] = &bench.segments()[..] else {
        panic!("{:?}", bench.segments());
    };
    let mut file = OpenOptions::new().append(true).open(segment).unwrap();
    let line = serde_json::to_string(&starting(RunId(5))).unwrap();
    file.write_all(&line.as_bytes()[..line.len() - 2]).unwrap();
    assert!(bench.looks_same(), "it may just be being written");
    for _ in 0..2 {
        let read = bench.reopen().unwrap();
        assert!(bench.is_same(&read));
        // The next helper goes on in its place.
        bench.note(&starting(RunId(6)));
        bench.flush();
        assert!(bench.is_same(&bench.read().unwrap()));
        assert_eq!(bench.segments().len(), 1);
    }
}

/// A bench whose segment has this header, and is taken up by another helper.
fn reopened_with(header: &str) -> (Bench, Option<Ledger>) {
    let current = serde_json::to_string(&Header::current().unwrap()).unwrap();
    let mut bench = Bench::new();
    bench.note(&ordered(1, 10));
    bench.flush();
    let segment = &bench.segments()[0];
    let text = fs::read_to_string(segment).unwrap();
    assert!(text.starts_with(&current));
    fs::write(segment, text.replacen(&current, header, 1)).unwrap();
    let read = bench.reopen();
    assert_eq!(bench.segments().len(), 1);
    assert_eq!(bench.read().unwrap().runs().count(), 0);
    (bench, read)
}

#[test]
fn a_journal_of_another_boot_is_void_and_that_is_no_fault() {
    for schema in [SCHEMA, SCHEMA + 1] {
        let boot = BootId("another".to_owned());
        let header = serde_json::to_string(&Header { schema, boot }).unwrap();
        let (bench, read) = reopened_with(&header);
        assert!(read.is_none());
        assert_eq!(bench.journal.fault(), None);
        assert_eq!(bench.files(), ["journal-2", "lock", "next"]);
    }
}

#[test]
fn a_journal_of_another_schema_is_kept_and_told() {
    let header = Header {
        schema: 77,
        ..Header::current().unwrap()
    };
    let (bench, read) = reopened_with(&serde_json::to_string(&header).unwrap());
    assert!(read.is_none());
    let fault = bench.journal.fault().unwrap();
    assert!(fault.contains("its schema is 77"), "{fault}");
    assert!(fault.contains(&format!("schema {SCHEMA}")), "{fault}");
    assert!(
        fault.contains("journal-1, which is kept as damaged-1"),
        "{fault}"
    );
    assert_eq!(bench.files(), ["damaged-1", "journal-2", "lock", "next"]);
}

#[test]
fn a_journal_with_a_first_line_that_is_no_header_is_kept_and_told() {
    for header in ["", "{}", "x"] {
        let (bench, read) = reopened_with(header);
        assert!(read.unwrap().runs().next().is_none());
        let fault = bench.journal.fault().unwrap();
        assert!(fault.contains("line 1 is not an entry"), "{fault}");
        assert_eq!(bench.files(), ["damaged-1", "journal-2", "lock", "next"]);
    }
}

#[test]
fn a_segment_that_was_cut_off_is_told_unless_its_writer_may_have_died_in_its_last_write() {
    for length in [0, 20] {
        let mut bench = Bench::new();
        bench.note(&ordered(1, 10));
        bench.flush();
        let file = OpenOptions::new().write(true).open(&bench.segments()[0]);
        file.unwrap().set_len(length).unwrap();
        assert!(bench.reopen().is_none());
        let fault = bench.journal.fault().unwrap();
        assert!(
            fault.contains("line 1 has no end, or is missing"),
            "{fault}"
        );
    }
    // One that another was begun after.
    let mut bench = Bench::new();
    bench.note(&ordered(1, 10));
    bench.note(&ordered(2, 10));
    bench.flush();
    let path = bench.segments()[0].clone();
    let size = fs::metadata(&path).unwrap().len();
    fs::copy(&path, path.with_file_name("journal-2")).unwrap();
    let file = OpenOptions::new().write(true).open(&path);
    file.unwrap().set_len(size - 5).unwrap();
    let read = bench.reopen().unwrap();
    assert!(bench.is_same(&read));
    let fault = bench.journal.fault().unwrap();
    assert!(fault.contains("line 3 has no end"), "{fault}");
}

/// Adds a line that is no entry to the last segment.
fn add_nonsense(bench: &Bench) {
    let segment = bench.segments().pop().unwrap();
    let mut file = OpenOptions::new().append(true).open(segment).unwrap();
    file.write_all(b"nonsense\n").unwrap();
}

#[test]
fn what_stands_before_a_line_that_is_no_entry_counts_and_the_line_is_told() {
    let mut bench = Bench::new();
    bench.note(&ordered(1, 10));
    bench.note(&starting(RunId(1)));
    bench.flush();
    add_nonsense(&bench);
    let before = bench.ledger.clone();
    bench.note(&ordered(2, 10));
    bench.flush();
    let read = bench.reopen().unwrap();
    assert!(read.runs().eq(before.runs()));
    let fault = bench.journal.fault().unwrap();
    for words in [
        "in journal-1, which is kept as damaged-1",
        "line 4 is not an entry of the journal (expected value)",
        "run twice or never",
        &bench.dir.path().display().to_string(),
    ] {
        assert!(fault.contains(words), "{words}: {fault}");
    }
    bench.ledger = read;
    assert!(bench.is_same(&bench.read().unwrap()));
    // It is told until somebody has dealt with it; meanwhile the journal is written.
    let later = NOW + IDLE_LOOK;
    assert_eq!(bench.journal.next_wake(Pace::Idle), Some(later));
    bench.journal.tend(&bench.ledger, Pace::Idle, later);
    assert!(bench.journal.fault().is_some());
    bench.note(&ordered(3, 10));
    bench.flush();
    assert!(bench.is_same(&bench.read().unwrap()));
    fs::remove_file(bench.dir.path().join("damaged-1")).unwrap();
    bench
        .journal
        .tend(&bench.ledger, Pace::Idle, later + IDLE_LOOK);
    assert_eq!(bench.journal.fault(), None);
}

#[test]
fn damage_is_told_no_longer_soon_after_somebody_has_removed_the_file_while_scripts_run() {
    let mut bench = Bench::new();
    add_nonsense(&bench);
    bench.reopen().unwrap();
    fs::remove_file(bench.dir.path().join("damaged-1")).unwrap();
    let mut now = NOW;
    for number in 0..IDLE_LOOK.as_secs() {
        assert!(bench.journal.fault().is_some(), "{number}");
        now = now + LOOK;
        // A script is started.
        assert!(bench.journal.lets_start(now));
        bench.note(&ordered(number, 10));
        bench.journal.flush(&bench.ledger, now);
        if bench.journal.next_wake(Pace::Idle) <= Some(now) {
            bench.journal.tend(&bench.ledger, Pace::Idle, now);
        }
    }
    assert_eq!(bench.journal.fault(), None);
}

#[test]
fn the_next_helper_tells_no_damage_of_before_and_three_damaged_segments_are_kept() {
    let mut bench = Bench::new();
    for number in 1..=5 {
        add_nonsense(&bench);
        bench.reopen().unwrap();
        assert!(bench.journal.fault().is_some(), "{number}");
    }
    let mut damaged = bench.files();
    damaged.retain(|name| name.starts_with("damaged"));
    assert_eq!(damaged, ["damaged-3", "damaged-4", "damaged-5"]);
    bench.reopen().unwrap();
    assert_eq!(bench.journal.fault(), None);
}

#[test]
fn a_segment_after_a_damaged_one_counts() {
    let mut bench = Bench::new();
    bench.begin_renewal();
    let text = fs::read_to_string(&bench.segments()[0]).unwrap();
    let first = text.lines().next().unwrap();
    fs::write(&bench.segments()[0], format!("{first}\nnonsense\n")).unwrap();
    let read = bench.reopen().unwrap();
    // That one and the two that were copied with it.
    assert_eq!(read.runs().count(), 3);
    assert!(bench.journal.fault().is_some());
}

#[test]
fn what_is_only_named_like_a_segment_is_left_alone() {
    let mut bench = Bench::new();
    bench.note(&ordered(1, 10));
    bench.flush();
    let path = |name: &str| bench.dir.path().join(name);
    let files = ["journal-007", "journal-+5", "journal-18446744073709551615"];
    for name in files {
        fs::write(path(name), "not ours\n").unwrap();
    }
    fs::create_dir(path("journal-2")).unwrap();
    fs::create_dir(path("journal-99")).unwrap();
    let read = bench.reopen().unwrap();
    assert!(bench.is_same(&read));
    let fault = bench.journal.fault().unwrap().to_owned();
    let strange = ["journal-2,", "journal-99", "journal-007"];
    assert!(strange.iter().all(|name| fault.contains(name)), "{fault}");
    let segments = bench.segments();
    assert!(
        segments[0].ends_with("journal-3"),
        "2 is in use: {segments:?}"
    );
    for name in files {
        let path = bench.dir.path().join(name);
        assert_eq!(fs::read_to_string(&path).unwrap(), "not ours\n");
        fs::remove_file(path).unwrap();
    }
    for name in ["journal-2", "journal-99"] {
        assert!(bench.journal.fault().is_some());
        fs::remove_dir(bench.dir.path().join(name)).unwrap();
    }
    let later = NOW + IDLE_LOOK;
    bench.journal.tend(&bench.ledger, Pace::Idle, later);
    assert_eq!(bench.journal.fault(), None);
}

#[test]
fn the_last_number_that_counts_is_followed_by_the_first() {
    let mut bench = Bench::new();
    bench.note(&ordered(1, 10));
    bench.flush();
    let last = bench.dir.path().join(format!("journal-{}", u64::MAX / 2));
    fs::copy(&bench.segments()[0], &last).unwrap();
    let read = bench.reopen().unwrap();
    assert!(bench.is_same(&read));
    bench.journal.tend(&bench.ledger, Pace::Idle, NOW + RETRY);
    assert_eq!(bench.journal.fault(), None);
    assert!(bench.is_same(&bench.read().unwrap()));
    assert!(bench.segments()[0].ends_with("journal-1"));
}

#[test]
fn at_each_step_of_a_renewal_all_is_there_and_the_files_stay_small() {
    let mut bench = Bench::new();
    // Some wait for long, and are to be copied each time.
    for number in 0..100 {
        bench.note(&ordered(number, 1_000));
        bench.flush();
    }
    let mut renewals = 0;
    let mut segments = bench.segments();
    for number in 100..1_500 {
        bench.note(&ordered(number, 4_000));
        bench.flush();
        bench.note(&starting(RunId(number)));
        bench.note(&ended(number, Ended::Stopped));
        // Of those that wait, some go on while the segment is renewed.
        if number % 50 == 0 {
            bench.note(&starting(RunId(number / 50)));
        }
        bench.flush();
        bench.note(&failed(number));
        bench.note(&Entry::Settled(vec![RunId(number)]));
        bench.flush();
        // Of another one the script ends well.
        let again = number + 10_007;
        bench.note(&ordered(again, 10));
        bench.note(&starting(RunId(again)));
        bench.note(&ended(again, Ended::Exited(0)));
        bench.note(&Entry::Settled(vec![RunId(again)]));
        bench.flush();
        let now = bench.segments();
        assert!(now.len() <= 2);
        let size: u64 = now
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum();
        // What waits is over 100 KB, and a segment may have four times as much.
        assert!(size < 4 * RENEW_AT, "{size}");
        if now != segments || now.len() == 2 && number % 10 == 0 {
            assert!(bench.is_same(&bench.read().unwrap()), "{number}");
            assert!(bench.looks_same(), "{number}");
        }
        renewals += usize::from(now.len() == 1 && segments.len() == 2);
        segments = now;
    }
    assert!(renewals >= 3, "{renewals}");
    assert!(bench.ledger.failures().after(None).count() > 10);
    assert!(bench.is_same(&bench.read().unwrap()));
}

#[test]
fn a_renewal_that_was_cut_short_is_done_by_the_next_helper() {
    let mut bench = Bench::new();
    bench.begin_renewal();
    assert_eq!(bench.segments().len(), 2);
    // A segment whose header was not written either.
    fs::write(bench.dir.path().join("journal-100"), "").unwrap();
    let read = bench.reopen().unwrap();
    assert!(bench.is_same(&read));
    assert_eq!(bench.segments().len(), 1);
    assert!(bench.is_same(&bench.read().unwrap()));
}

#[test]
fn a_journal_that_cannot_be_written_is_told_and_written_again_when_it_can() {
    let mut bench = Bench::new();
    bench.note(&ordered(1, 10));
    bench.flush();
    fs::remove_file(&bench.segments()[0]).unwrap();
    let late = NOW + LOOK;
    bench.note(&ordered(2, 10));
    bench.journal.flush(&bench.ledger, late);
    let fault = bench.journal.fault().unwrap().to_owned();
    assert!(fault.contains("removed the file journal-1"), "{fault}");
    assert!(!fault.contains("free some space"), "{fault}");
    // What happens meanwhile costs nothing.
    bench.note(&ordered(3, 10));
    assert!(bench.journal.lines.is_empty());
    assert_eq!(bench.journal.next_wake(Pace::Idle), Some(late), "at once");
    // Directories in the places of the next segments make it fail again.
    let path = |number: u64| bench.dir.path().join(format!("journal-{number}"));
    for number in 1..=100 {
        fs::create_dir(path(number)).unwrap();
    }
    bench.journal.tend(&bench.ledger, Pace::Idle, late);
    let fault = bench.journal.fault().unwrap().to_owned();
    assert!(
        fault.contains("not parts of the journal: remove them"),
        "{fault}"
    );
    assert_eq!(bench.journal.next_wake(Pace::Idle), Some(late + RETRY));
    fs::remove_dir(path(1)).unwrap();
    bench.journal.tend(&bench.ledger, Pace::Idle, late);
    assert!(bench.journal.fault().is_some(), "it is too early");
    bench.journal.tend(&bench.ledger, Pace::Idle, late + RETRY);
    assert_eq!(bench.journal.fault(), None);
    assert!(bench.is_same(&bench.read().unwrap()));
    bench.note(&starting(RunId(3)));
    bench.flush();
    assert!(bench.is_same(&bench.read().unwrap()));
}

#[test]
fn without_a_journal_everything_goes_on() {
    let mut journal = Journal::none("why".to_owned());
    assert_eq!(journal.fault(), Some("why"));
    journal.append(&ordered(1, 10));
    assert!(journal.lines.is_empty());
    journal.flush(&Ledger::default(), NOW);
    journal.tend(&Ledger::default(), Pace::Idle, NOW);
    assert_eq!(journal.next_wake(Pace::Idle), None);
}
