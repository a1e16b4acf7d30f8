// SPDX-License-Identifier: GPL-3.0-or-later
//! The journal: the file in which the ledger outlives this process.
//!
//! ```text
//!   machine --Entry--> [lines] --one write for a turn--> journal-7   (before the act)
//!                                                            |
//!   renewal: journal-8 is begun; each further write goes there, with copies of a few runs and
//!            setups that live; when all are copied, journal-7 is removed
//! ```
//!
//! It has to survive the death of this process, not that of the machine: a reboot ends the server,
//! its interfaces and all scripts too, and voids the journal. So a completed write is enough, and
//! nothing is synced.

mod directory;
mod segment;

use std::io;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::frame::MAX_FRAME;
use connect_ipc::setup::SetupKey;
use tracing::{error, info, warn};

use crate::ledger::{Entry, Ledger};
pub(crate) use directory::Directory;
use segment::{Header, Segment, put};

/// A segment is renewed when it is larger than this: so much is read in a few milliseconds.
const RENEW_AT: u64 = 1024 * 1024;

/// And larger than so many times what lived when it was begun: so a renewal costs less than what
/// was written since the last one.
const GROWTH: u64 = 4;

/// How many runs and setups are copied for each entry that is written while a segment is renewed:
/// with two, the renewal ends before the table has grown by half.
const COPIES: usize = 2;

/// How much is collected for one write when the whole ledger is written.
const CHUNK: usize = 64 * 1024;

/// How much memory is kept from one write to the next: that of the orders in a message.
const KEPT: usize = MAX_FRAME;

/// How long to wait before a journal that cannot be written is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// How often to look whether somebody has removed the file.
const LOOK: Duration = Duration::from_secs(1);

/// What a fault leads to.
pub(crate) const UNTIL_THEN: &str =
    "until then, scripts may be lost or run twice if connect-ifscripts is killed";

/// The journal.
#[derive(Debug)]
pub(crate) struct Journal {
    /// `None` if there is no directory for it.
    store: Option<Store>,
    /// Lines that are not written yet.
    lines: Vec<u8>,
    /// How many they are.
    entries: usize,
    fault: Option<String>,
    /// When to try again to write it, while there is a fault.
    retry_at: Option<Monotonic>,
}

/// The files.
#[derive(Debug)]
struct Store {
    directory: Directory,
    header: Header,
    /// `None` while it cannot be written.
    segment: Option<Segment>,
    /// How many bytes lived when the segment was complete.
    lived: u64,
    /// What is copied next, while the segment before this one is still needed.
    cursor: Option<Cursor>,
    look_at: Monotonic,
}

/// How far the copying is. Runs come first: what is said of a run that is not copied yet is passed
/// over by a reader, and must not be missed in a setup that is.
#[derive(Debug)]
enum Cursor {
    Runs(Option<RunId>),
    Setups(Option<SetupKey>),
}

impl Journal {
    /// No journal, because of this fault.
    pub(crate) fn none(fault: String) -> Self {
        warn!(fault, "the journal of scripts is not written");
        Journal {
            store: None,
            lines: Vec::new(),
            entries: 0,
            fault: Some(fault),
            retry_at: None,
        }
    }

    /// Reads the journal in a directory, and begins a new segment with what lives of it. Also gives
    /// what it says, if there is one of this boot.
    pub(crate) fn open(directory: Directory, now: Monotonic) -> (Self, Option<Ledger>) {
        let header = match Header::current() {
            Ok(header) => header,
            Err(error) => return (Self::none(format!("{error:#}; {UNTIL_THEN}")), None),
        };
        let read = read(&directory, &header).unwrap_or_else(|error| {
            let path = directory.path().display();
            error!(%path, error = format!("{error:#}"), "cannot read the journal; starting anew");
            None
        });
        let mut journal = Journal {
            store: Some(Store {
                directory,
                header,
                segment: None,
                lived: 0,
                cursor: None,
                look_at: now + LOOK,
            }),
            lines: Vec::new(),
            entries: 0,
            fault: None,
            retry_at: None,
        };
        let empty = Ledger::default();
        journal.rewrite(read.as_ref().unwrap_or(&empty), now);
        (journal, read)
    }

    /// What is wrong with it, and what to do.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// When [`Journal::retry`] leads to something next.
    pub(crate) const fn retry_at(&self) -> Option<Monotonic> {
        self.retry_at
    }

    /// Adds an entry, to be written by the next [`Journal::flush`].
    pub(crate) fn append(&mut self, entry: &Entry) {
        if self
            .store
            .as_ref()
            .is_some_and(|store| store.segment.is_some())
        {
            put(&mut self.lines, entry);
            self.entries += 1;
        }
    }

    /// Writes what was added. `ledger` has all of it.
    pub(crate) fn flush(&mut self, ledger: &Ledger, now: Monotonic) {
        if self.lines.is_empty() {
            return;
        }
        if let Some(store) = &mut self.store
            && let Err(error) = store.write(&mut self.lines, self.entries, ledger, now)
        {
            self.fail(&error, now);
        }
        self.lines.clear();
        // One large turn must not keep its memory.
        self.lines.shrink_to(KEPT);
        self.entries = 0;
    }

    /// Tries again to write it, if it is time: all of the ledger.
    pub(crate) fn retry(&mut self, ledger: &Ledger, now: Monotonic) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.rewrite(ledger, now);
        }
    }

    fn rewrite(&mut self, ledger: &Ledger, now: Monotonic) {
        let Some(store) = &mut self.store else {
            return;
        };
        match store.rewrite(ledger, self.fault.is_some()) {
            Ok(()) => {
                self.retry_at = None;
                if self.fault.take().is_some() {
                    info!("the journal of scripts is written again");
                }
            }
            Err(error) => self.fail(&error, now),
        }
    }

    /// Notes that it cannot be written. What there is of it is removed, since scripts that it calls
    /// waiting will have run by the time that somebody reads it.
    fn fail(&mut self, error: &io::Error, now: Monotonic) {
        let Some(store) = &mut self.store else {
            return;
        };
        store.segment = None;
        // Where nothing can be written, this may fail as well; it is tried again before the next
        // segment.
        let _ = store.directory.remove_before(u64::MAX);
        self.retry_at = Some(now + RETRY);
        let path = store.directory.path().display();
        let fault = format!(
            "cannot write the journal of scripts in {path}: {error}; free some space there, or make \
             it writable; {UNTIL_THEN}"
        );
        if self.fault.as_ref() != Some(&fault) {
            warn!(fault, "the journal of scripts is not written");
            self.fault = Some(fault);
        }
    }
}

impl Store {
    /// Begins a segment with the whole ledger, and removes those before it.
    fn rewrite(&mut self, ledger: &Ledger, stale: bool) -> io::Result<()> {
        if stale {
            // They lack what has happened since the fault, and must not be read.
            self.directory.remove_before(u64::MAX)?;
        }
        let mut segment = self.next_segment()?;
        let mut lines = Vec::new();
        let mut cursor = Cursor::Runs(None);
        while let Some(entry) = cursor.next(ledger) {
            put(&mut lines, &entry);
            if lines.len() > CHUNK {
                segment.write(&lines)?;
                lines.clear();
            }
        }
        segment.write(&lines)?;
        self.lived = segment.size;
        self.directory.remove_before(segment.number)?;
        self.segment = Some(segment);
        self.cursor = None;
        Ok(())
    }

    /// Writes lines, and renews the segment a step further.
    fn write(
        &mut self,
        lines: &mut Vec<u8>,
        entries: usize,
        ledger: &Ledger,
        now: Monotonic,
    ) -> io::Result<()> {
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        let mut renewed = false;
        if let Some(cursor) = &mut self.cursor {
            for _ in 0..entries * COPIES {
                let Some(entry) = cursor.next(ledger) else {
                    renewed = true;
                    break;
                };
                put(lines, &entry);
            }
        }
        segment.write(lines)?;
        if now >= self.look_at {
            self.look_at = now + LOOK;
            if segment.is_removed()? {
                return Err(io::Error::other("somebody has removed the file"));
            }
        }
        let (number, size) = (segment.number, segment.size);
        if renewed {
            self.lived = size;
            self.cursor = None;
            self.directory.remove_before(number)?;
        } else if self.cursor.is_none() && size > RENEW_AT.max(self.lived * GROWTH) {
            self.segment = Some(self.next_segment()?);
            self.cursor = Some(Cursor::Runs(None));
        }
        Ok(())
    }

    fn next_segment(&self) -> io::Result<Segment> {
        let last = self.directory.segments()?.last().copied();
        let number = last.map_or(1, |last| last.saturating_add(1));
        Segment::create(&self.directory, number, &self.header)
    }
}

impl Cursor {
    /// What is copied next.
    fn next(&mut self, ledger: &Ledger) -> Option<Entry> {
        if let Cursor::Runs(after) = self {
            if let Some(run) = ledger.run_after(*after) {
                *after = Some(run.under_way.run);
                return Some(Entry::Kept(run.clone()));
            }
            *self = Cursor::Setups(None);
        }
        let Cursor::Setups(after) = self else {
            return None;
        };
        let change = ledger.setups_after(after.as_ref()).next()?;
        *after = Some(change.setup.key.clone());
        Some(Entry::Setup(change))
    }
}

/// What the journal in a directory says, if there is one of this boot.
fn read(directory: &Directory, header: &Header) -> anyhow::Result<Option<Ledger>> {
    let mut ledger = Ledger::default();
    let mut found = false;
    for number in directory.segments()? {
        found |= segment::read(directory, number, header, &mut ledger)?;
    }
    Ok(found.then_some(ledger))
}

#[cfg(test)]
mod tests;
