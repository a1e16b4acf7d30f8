// SPDX-License-Identifier: GPL-3.0-or-later
//! The segments of the journal: writing one, and beginning another in its place.

use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::{FailureChange, FailureChanges, FailureKey};
use connect_ipc::setup::SetupKey;
use connect_runtime::scripts_journal::Header;
use tracing::warn;

use super::locked::{JournalError, Locked};
use super::reading::Damage;
pub(super) use super::segment::Room;
use super::segment::{Segment, put};
use crate::ledger::{Entry, Ledger};

/// A segment is renewed when it is larger than this number of bytes. They are read in a
/// millisecond, and fit into memory, where the directory of a journal is best.
pub(super) const RENEW_AT: u64 = 256 * 1024;

/// A segment is renewed when it is also larger than this many times `lived`: so a renewal costs
/// less than what was written since the last one.
const GROWTH: u64 = 4;

/// How many bytes are reserved beyond what a segment and the next one may need: enough for about a
/// hundred scripts after the file system has become full.
const HEADROOM: u64 = 128 * 1024;

/// How many runs, setups and failures are copied for each entry that is written while a segment is
/// renewed: with two, the renewal ends before the table has grown by half.
const COPIES: usize = 2;

/// How much is collected for one write when the whole ledger is written.
const CHUNK: usize = 64 * 1024;

/// How often to look, while entries are written, whether somebody has removed something.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// The files.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) locked: Locked,
    header: Header,
    /// `None` while it cannot be written.
    segment: Option<Segment>,
    /// How many bytes the segment had when it was complete: what was needed then.
    lived: u64,
    /// Whether the segment can grow, and another be begun.
    room: Room,
    /// What is copied next, while the segment before this one is still needed.
    cursor: Option<Cursor>,
    /// When it was last looked whether somebody has removed something.
    looked: Monotonic,
    /// The segments that are to be kept for people to look at.
    damaged: Vec<Damage>,
}

/// A damaged segment that was set aside.
#[derive(Debug)]
pub(super) struct Aside {
    /// Its name now; `None` if it could not be kept.
    pub(super) name: Option<String>,
    pub(super) damage: Damage,
}

/// How far the copying is. Runs are copied first, then setups, then failures. A reader of the new
/// segment ignores an entry about a run that is not copied yet. Such an entry can also change a
/// setup or a failure. If these were copied before the run, the reader would miss that change.
#[derive(Debug)]
enum Cursor {
    Runs(Option<RunId>),
    Setups(Option<SetupKey>),
    Failures(Option<FailureKey>),
}

impl Store {
    /// Nothing is written yet. The segments that are there are kept until something is.
    pub(super) const fn new(
        locked: Locked,
        header: Header,
        damaged: Vec<Damage>,
        now: Monotonic,
    ) -> Self {
        Store {
            locked,
            header,
            segment: None,
            lived: 0,
            room: Room::Kept,
            cursor: None,
            looked: now,
            damaged,
        }
    }

    /// Whether there is a segment to write into.
    pub(super) const fn is_open(&self) -> bool {
        self.segment.is_some()
    }

    /// Whether what comes next has room, as far as the file system says.
    pub(super) const fn room(&self) -> Room {
        self.room
    }

    /// When it was last looked whether somebody has removed something.
    pub(super) const fn looked(&self) -> Monotonic {
        self.looked
    }

    /// Begins a segment with the whole ledger, and removes those before it.
    pub(super) fn rewrite(
        &mut self,
        ledger: &Ledger,
        stale: bool,
    ) -> Result<Vec<Aside>, JournalError> {
        let mut aside = Vec::new();
        if stale {
            self.locked.regain()?;
            // They lack what has happened since the fault, and must not be read.
            aside = self.set_aside();
            self.locked.remove_before(u64::MAX)?;
        }
        let mut written = self.write_whole(ledger);
        if matches!(&written, Err(error) if error.is_no_room()) {
            // The room of the last segment is enough for this one.
            self.locked.give_back_room()?;
            written = self.write_whole(ledger);
        }
        let segment = written?;
        self.lived = segment.size;
        aside.extend(self.set_aside());
        self.remove_before(segment.number)?;
        self.room = segment.reserve(self.room_wanted());
        self.segment = Some(segment);
        self.cursor = None;
        Ok(aside)
    }

    /// Writes the whole ledger into a segment. None is left of one that cannot be completed.
    fn write_whole(&self, ledger: &Ledger) -> Result<Segment, JournalError> {
        let mut segment = self.create()?;
        let mut lines = Vec::new();
        let mut cursor = Cursor::Runs(None);
        let mut written = Ok(());
        while let Some(entry) = cursor.next(ledger)
            && written.is_ok()
        {
            put(&mut lines, &entry);
            if lines.len() > CHUNK {
                written = segment.write(&lines);
                lines.clear();
            }
        }
        if let Err(error) = written.and_then(|()| segment.write(&lines)) {
            self.locked.remove(segment.number)?;
            return Err(error.into());
        }
        Ok(segment)
    }

    /// Makes a segment. None is left of one without a header.
    fn create(&self) -> Result<Segment, JournalError> {
        let mut segment = Segment::create(&self.locked)?;
        if let Err(error) = segment.begin(&self.header) {
            self.locked.remove(segment.number)?;
            return Err(error.into());
        }
        Ok(segment)
    }

    /// Beyond which size a segment is renewed.
    fn limit(&self) -> u64 {
        RENEW_AT.max(self.lived * GROWTH)
    }

    /// How much room is reserved for a segment: its size when it is renewed (`limit`), and what the
    /// next segment needs at its beginning (`room_of_next`). If the file system has no other room,
    /// `give_back_room` frees the second part for the next segment.
    fn room_wanted(&self) -> u64 {
        self.limit() + self.room_of_next()
    }

    /// How much room the next segment needs at its beginning: also for what is written beyond the
    /// limit while the file system is full, since that may still be needed then.
    fn room_of_next(&self) -> u64 {
        RENEW_AT.max(self.lived * 2) + 2 * HEADROOM
    }

    /// Begins the next segment, if the file system has room for it. Otherwise the present segment
    /// is used further, in the room that is reserved for it.
    fn renew(&mut self) -> Result<(), JournalError> {
        let next = match self.create() {
            Ok(next) => next,
            Err(error) if error.is_no_room() => {
                self.room = Room::Short;
                return Ok(());
            }
            // The present segment is as good until there are descriptors.
            Err(error) if error.is_exhaustion() => return Ok(()),
            Err(error) => return Err(error),
        };
        self.room = next.reserve(self.room_wanted());
        if self.room == Room::Short {
            return self.locked.remove(next.number);
        }
        self.segment = Some(next);
        self.cursor = Some(Cursor::Runs(None));
        Ok(())
    }

    /// Removes the segments before this one, which has all that is valid of them. Without
    /// descriptors they stay until the next renewal, and do no harm.
    fn remove_before(&self, number: u64) -> Result<(), JournalError> {
        match self.locked.remove_before(number) {
            Err(error) if error.is_exhaustion() => Ok(()),
            removed => removed,
        }
    }

    /// Writes lines, and renews the segment a step further.
    pub(super) fn write(
        &mut self,
        lines: &mut Vec<u8>,
        entries: usize,
        ledger: &Ledger,
        now: Monotonic,
    ) -> Result<(), JournalError> {
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
        let (number, size) = (segment.number, segment.size);
        if now >= self.looked + LOOK {
            self.look(now)?;
        }
        if renewed {
            self.lived = size;
            self.cursor = None;
            self.remove_before(number)?;
        } else if self.cursor.is_none() && size > self.limit() && self.room == Room::Kept {
            self.renew()?;
        }
        Ok(())
    }

    /// Looks whether directory, lock and segment are still those that their names lead to.
    pub(super) fn look(&mut self, now: Monotonic) -> Result<(), JournalError> {
        self.looked = now;
        self.locked.look()?;
        let Some(segment) = &self.segment else {
            return Ok(());
        };
        if segment.is_removed(self.locked.directory()) {
            return Err(JournalError::Removed(segment.name()));
        }
        if self.room == Room::Short {
            let wanted = segment.size + self.room_of_next();
            self.room = segment.reserve(wanted.max(self.room_wanted()));
        }
        Ok(())
    }

    /// Writes no more, and removes what there is, since scripts that it calls waiting will have run
    /// by the time that somebody reads it.
    pub(super) fn give_up(&mut self) -> Vec<Aside> {
        self.segment = None;
        let aside = self.set_aside();
        // Where nothing can be written, this may fail as well; it is tried again before the next
        // segment.
        let _ = self.locked.remove_before(u64::MAX);
        aside
    }

    /// Keeps the damaged segments under other names.
    fn set_aside(&mut self) -> Vec<Aside> {
        let keep = |damage: Damage| {
            let segment = damage.segment;
            let kept = self.locked.set_aside(segment);
            if let Err(error) = &kept {
                warn!(segment, %error, "cannot keep a damaged segment of the journal of scripts");
            }
            let name = kept.ok();
            Aside { name, damage }
        };
        std::mem::take(&mut self.damaged)
            .into_iter()
            .map(keep)
            .collect()
    }
}

/// A segment with the whole ledger.
#[cfg(fuzzing)]
pub(crate) fn whole(header: &Header, ledger: &Ledger) -> Vec<u8> {
    let mut lines = Vec::new();
    put(&mut lines, header);
    let mut cursor = Cursor::Runs(None);
    while let Some(entry) = cursor.next(ledger) {
        put(&mut lines, &entry);
    }
    lines
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
        if let Cursor::Setups(after) = self {
            if let Some(change) = ledger.setups_after(after.as_ref()).next() {
                *after = Some(change.setup.key.clone());
                return Some(Entry::Setup(change));
            }
            *self = Cursor::Failures(None);
        }
        let Cursor::Failures(after) = self else {
            return None;
        };
        let failed = ledger.failures().after(after.as_ref()).next()?;
        *after = Some(failed.key());
        Some(Entry::Failures(FailureChanges {
            all: false,
            changes: vec![FailureChange::Failed(failed.clone())],
        }))
    }
}
