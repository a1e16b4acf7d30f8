// SPDX-License-Identifier: GPL-3.0-or-later
//! The journal on a real file system.

use super::*;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use connect_ipc::scripts::{Command, Ended, Run, ScriptKind};
use connect_ipc::setup::{Lane, Made, Setup, SetupChange, SetupState};

use crate::ledger::Origin;

const NOW: Monotonic = Monotonic(1_000_000_000);

fn starting(run: RunId) -> Entry {
    let origin = Origin { at: 7, session: 8 };
    Entry::Starting { run, origin }
}

/// A journal with the ledger that belongs to it.
struct Bench {
    dir: tempfile::TempDir,
    journal: Journal,
    ledger: Ledger,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (journal, read) = Journal::open(Directory::open(dir.path()).unwrap(), NOW);
        assert!(read.is_none() && journal.fault().is_none());
        Bench {
            dir,
            journal,
            ledger: Ledger::default(),
        }
    }

    fn note(&mut self, entry: &Entry) {
        self.ledger.apply(entry);
        self.journal.append(entry);
    }

    fn flush(&mut self) {
        self.journal.flush(&self.ledger, NOW);
    }

    fn directory(&self) -> Directory {
        Directory::open(self.dir.path()).unwrap()
    }

    /// What another process would read now.
    fn read(&self) -> Option<Ledger> {
        read(&self.directory(), &Header::current().unwrap()).unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        let numbers = self.directory().segments().unwrap();
        let path = |number| self.dir.path().join(format!("journal-{number}"));
        numbers.into_iter().map(path).collect()
    }

    /// Another helper comes.
    fn reopen(&mut self) -> Option<Ledger> {
        let (journal, read) = Journal::open(self.directory(), NOW);
        self.journal = journal;
        read
    }

    fn is_same(&self, read: &Ledger) -> bool {
        read.runs().eq(self.ledger.runs())
            && read.setups_after(None).eq(self.ledger.setups_after(None))
    }
}

fn ordered(number: u64, filling: usize) -> Entry {
    let made = Made {
        server: None,
        interface: String::new(),
        address: String::new(),
        algorithms: Vec::new(),
        record: Vec::new(),
        run: Some(RunId(number)),
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
        undoes: None,
    }))
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
                lane: Lane::Interface,
            },
            state: SetupState::Undone {},
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

#[test]
fn a_journal_of_another_boot_or_another_form_is_void() {
    let current = serde_json::to_string(&Header::current().unwrap()).unwrap();
    let header = Header::current().unwrap();
    let boot = Header {
        boot: "another".to_owned(),
        ..header.clone()
    };
    let schema = Header {
        schema: 0,
        ..header
    };
    let others = [&boot, &schema].map(|header| serde_json::to_string(header).unwrap());
    let [boot, schema] = others;
    for header in [boot, schema, String::new(), "{}".to_owned(), "x".to_owned()] {
        let mut bench = Bench::new();
        bench.note(&ordered(1, 10));
        bench.flush();
        let segment = &bench.segments()[0];
        let text = fs::read_to_string(segment).unwrap();
        assert!(text.starts_with(&current));
        fs::write(segment, text.replacen(&current, &header, 1)).unwrap();
        assert!(bench.reopen().is_none(), "{header}");
        assert_eq!(bench.read().unwrap().runs().count(), 0);
        assert_eq!(bench.segments().len(), 1);
        assert!(bench.journal.fault().is_none());
    }
}

#[test]
fn a_journal_with_a_line_that_is_no_entry_is_not_followed() {
    let mut bench = Bench::new();
    bench.note(&ordered(1, 10));
    bench.flush();
    let mut file = OpenOptions::new()
        .append(true)
        .open(&bench.segments()[0])
        .unwrap();
    file.write_all(b"nonsense\n").unwrap();
    bench.note(&starting(RunId(1)));
    bench.flush();
    assert!(bench.reopen().is_none());
    assert!(bench.read().is_some());
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
        bench.note(&Entry::Settled(vec![RunId(number)]));
        bench.flush();
        let now = bench.segments();
        assert!(now.len() <= 2);
        let size: u64 = now
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum();
        assert!(size < 3 * RENEW_AT, "{size}");
        if now != segments || now.len() == 2 && number % 10 == 0 {
            assert!(bench.is_same(&bench.read().unwrap()), "{number}");
        }
        renewals += usize::from(now.len() == 1 && segments.len() == 2);
        segments = now;
    }
    assert!(renewals >= 3, "{renewals}");
    assert!(bench.is_same(&bench.read().unwrap()));
}

#[test]
fn a_renewal_that_was_cut_short_is_done_by_the_next_helper() {
    let mut bench = Bench::new();
    for number in 0..400 {
        bench.note(&ordered(number, 4_000));
        bench.flush();
        if bench.segments().len() == 2 {
            break;
        }
    }
    bench.note(&ordered(1_000, 10));
    bench.flush();
    assert_eq!(bench.segments().len(), 2);
    // A segment whose header was not written either.
    let last = bench.directory().create_segment(100);
    drop(last);
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
    // Now, the next number is in use by something else, so that it cannot be written again either.
    let late = NOW + LOOK;
    bench.note(&ordered(2, 10));
    bench.journal.flush(&bench.ledger, late);
    let fault = bench.journal.fault().unwrap().to_owned();
    assert!(fault.contains("removed the file"), "{fault}");
    assert!(fault.contains("make it writable"), "{fault}");
    // What happens meanwhile costs nothing.
    bench.note(&ordered(3, 10));
    assert!(bench.journal.lines.is_empty());
    assert_eq!(bench.journal.retry_at(), Some(late + RETRY));
    bench.journal.retry(&bench.ledger, late);
    assert!(bench.journal.fault().is_some(), "it is too early");
    // A directory in its place makes it fail again.
    fs::create_dir(bench.dir.path().join("journal-1")).unwrap();
    bench.journal.retry(&bench.ledger, late + RETRY);
    assert!(bench.journal.fault().is_some_and(|now| now != fault));
    fs::remove_dir(bench.dir.path().join("journal-1")).unwrap();
    bench.journal.retry(&bench.ledger, late + RETRY + RETRY);
    assert_eq!(
        (bench.journal.fault(), bench.journal.retry_at()),
        (None, None)
    );
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
    journal.retry(&Ledger::default(), NOW);
    assert_eq!(journal.retry_at(), None);
}
