// SPDX-License-Identifier: GPL-3.0-or-later
//! The journal: the file from which the next process reads the ledger.
//!
//! ```text
//!   machine --Entry--> [lines] --one write for a turn--> journal-7   (before the act)
//!                                                            |
//!   renewal: journal-8 is begun; each further write goes there, with copies of a few runs and
//!            setups that live; when all are copied, journal-7 is removed
//! ```
//!
//! It must survive the death of this process, but not a reboot: a reboot also ends the server, its
//! interfaces and all scripts, so a journal from before it is not used. A completed write is
//! enough, and nothing is synced.

mod damage;
mod directory;
mod lock;
mod locked;
mod reading;
mod segment;
mod store;
mod waiting;

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::frame::MAX_FRAME;
pub(crate) use connect_runtime::scripts_journal::Header;
use tracing::{info, warn};

use crate::ledger::{Entry, Ledger};
use damage::Notice;
pub(crate) use damage::restart;
pub(crate) use directory::Directory;
use locked::JournalError;
pub(crate) use locked::Locked;
#[cfg(fuzzing)]
pub(crate) use reading::of_bytes;
pub(crate) use reading::{Reading, read};
use segment::put;
#[cfg(fuzzing)]
pub(crate) use store::whole;
use store::{Aside, LOOK, Room, Store};
pub(crate) use waiting::take;

/// How much memory is kept from one write to the next: enough for the orders in one message.
const KEPT: usize = MAX_FRAME;

/// How long to wait before a journal that cannot be written is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// How often to check whether somebody has removed something while nothing is written. This wakes
/// an idle helper, so it is rare.
const IDLE_LOOK: Duration = Duration::from_secs(60);

/// What a fault leads to.
pub(crate) const UNTIL_THEN: &str =
    "until then, scripts may run twice or never if connect-ifscripts is killed";

/// Whether scripts are under way or waiting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    Busy,
    Idle,
}

impl Pace {
    /// How often to check whether somebody has removed something.
    const fn look_every(self) -> Duration {
        match self {
            Pace::Busy => LOOK,
            Pace::Idle => IDLE_LOOK,
        }
    }
}

/// The journal.
#[derive(Debug)]
pub(crate) struct Journal {
    /// `None` if there is no directory for it.
    store: Option<Store>,
    /// Lines that are not written yet.
    lines: Vec<u8>,
    /// How many they are.
    entries: usize,
    /// Why it cannot be written.
    fault: Option<String>,
    /// That the file system is full, while only what was set aside is left.
    no_room: Option<String>,
    /// When to try again to write it, while there is a fault.
    retry_at: Option<Monotonic>,
    /// What could not be read in the directory.
    notices: Vec<Notice>,
    /// When we last checked whether somebody has dealt with that. Writing does not delay this
    /// check.
    noticed: Monotonic,
    /// Whether another helper has the lock. Then our helper never writes again: the other helper
    /// has read what ours wrote, and what the other has written since must not be overwritten.
    taken: bool,
}

impl Journal {
    /// No journal, because of this fault.
    pub(crate) fn none(fault: String) -> Self {
        warn!(fault, "cannot write the journal of scripts");
        Journal {
            store: None,
            lines: Vec::new(),
            entries: 0,
            fault: Some(fault),
            no_room: None,
            retry_at: None,
            notices: Vec::new(),
            noticed: Monotonic(0),
            taken: false,
        }
    }

    /// Goes on with a journal that was read: begins a new segment with what is still valid.
    ///
    /// # Errors
    /// If that cannot be done since descriptors or memory are missing. Nothing is changed then.
    pub(crate) fn begin(
        locked: Locked,
        header: Header,
        reading: Reading,
        now: Monotonic,
    ) -> anyhow::Result<(Self, Option<Ledger>)> {
        let strangers = Notice::of_strangers(locked.directory());
        let mut journal = Journal {
            store: Some(Store::new(locked, header, reading.damaged, now)),
            lines: Vec::new(),
            entries: 0,
            fault: None,
            no_room: None,
            retry_at: None,
            notices: strangers.into_iter().collect(),
            noticed: now,
            taken: false,
        };
        let empty = Ledger::default();
        match journal.try_to_rewrite(reading.ledger.as_ref().unwrap_or(&empty)) {
            Ok(()) => {}
            // To fail would remove what was read, and this is only for now.
            Err(error) if error.is_exhaustion() => return Err(error.into()),
            Err(error) => journal.fail(&error, now),
        }
        Ok((journal, reading.ledger))
    }

    /// What is wrong with it, and what to do.
    pub(crate) fn fault(&self) -> Option<&str> {
        let fault = self.fault.as_deref().or(self.no_room.as_deref());
        let notice = || self.notices.last().map(Notice::text);
        fault.or_else(notice).or_else(|| self.locked()?.fault())
    }

    /// Whether another helper has the lock, and with it the runs.
    pub(crate) const fn is_taken(&self) -> bool {
        self.taken
    }

    /// The directory and its lock, if there is one.
    pub(crate) fn locked(&self) -> Option<&Locked> {
        self.store.as_ref().map(|store| &store.locked)
    }

    /// When [`Journal::tend`] next has something to do.
    pub(crate) fn next_wake(&self, pace: Pace) -> Option<Monotonic> {
        if self.taken {
            return None;
        }
        self.retry_at.or_else(|| self.next_look(pace))
    }

    /// When the next check is due.
    fn next_look(&self, pace: Pace) -> Option<Monotonic> {
        let looked = self.store.as_ref()?.looked();
        let looked = match self.notices[..] {
            [] => looked,
            [..] => looked.min(self.noticed),
        };
        Some(looked + pace.look_every())
    }

    /// Adds an entry, to be written by the next [`Journal::flush`].
    pub(crate) fn append(&mut self, entry: &Entry) {
        if self.store.as_ref().is_some_and(Store::is_open) {
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
        self.note_room();
        self.lines.clear();
        // The memory of one large write must not be kept.
        self.lines.shrink_to(KEPT);
        self.entries = 0;
    }

    /// Does what is due: writes the whole ledger again after a fault, or checks whether somebody
    /// has removed something.
    pub(crate) fn tend(&mut self, ledger: &Ledger, pace: Pace, now: Monotonic) {
        if let Some(at) = self.retry_at {
            if at <= now {
                self.rewrite(ledger, now);
            }
            return;
        }
        if self.next_look(pace).is_none_or(|at| now < at) {
            return;
        }
        let Some(store) = &mut self.store else {
            return;
        };
        self.noticed = now;
        if let Err(error) = store.look(now) {
            return self.fail(&error, now);
        }
        self.notices.retain(|notice| !notice.is_seen(&store.locked));
        self.note_room();
    }

    /// Checks whether somebody has removed something. Returns whether a script may be started now:
    /// only the holder of the lock may do that, and [`Journal::tend`] must first create again what
    /// was removed.
    pub(crate) fn lets_start(&mut self, now: Monotonic) -> bool {
        if let Some(store) = &mut self.store
            && store.is_open()
            && let Err(error) = store.look(now)
        {
            self.fail(&error, now);
        }
        !self.taken && self.retry_at.is_none_or(|at| at > now)
    }

    /// Checks whether somebody has removed something, and tries at once to write the whole ledger
    /// again if it is not written. To be called when another helper may start soon.
    pub(crate) fn secure(&mut self, ledger: &Ledger, now: Monotonic) {
        self.lets_start(now);
        if self.retry_at.is_some() {
            self.rewrite(ledger, now);
        }
    }

    fn rewrite(&mut self, ledger: &Ledger, now: Monotonic) {
        if let Err(error) = self.try_to_rewrite(ledger) {
            self.fail(&error, now);
        }
    }

    fn try_to_rewrite(&mut self, ledger: &Ledger) -> Result<(), JournalError> {
        let Some(store) = self.store.as_mut().filter(|_| !self.taken) else {
            return Ok(());
        };
        // The whole ledger was written, with these lines.
        self.lines.clear();
        self.entries = 0;
        let aside = store.rewrite(ledger, self.fault.is_some())?;
        self.retry_at = None;
        if self.fault.take().is_some() {
            info!("the journal of scripts is written again");
        }
        self.note_damage(aside);
        self.note_room();
        Ok(())
    }

    /// Notes that it cannot be written.
    fn fail(&mut self, error: &JournalError, now: Monotonic) {
        let Some(store) = &mut self.store else {
            return;
        };
        let aside = store.give_up();
        let path = store.locked.directory().path().display();
        let fault = format!("cannot write the journal of scripts in {path}: {error}; {UNTIL_THEN}");
        if self.fault.as_ref() != Some(&fault) {
            warn!(fault, "cannot write the journal of scripts");
            self.fault = Some(fault);
        }
        // What was removed is created again at once, and if that fails, later.
        let at_once = matches!(error, JournalError::Removed(_) | JournalError::Lost(_));
        self.retry_at = Some(if at_once { now } else { now + RETRY });
        self.taken = matches!(error, JournalError::Taken { .. });
        self.note_damage(aside);
    }

    /// Tells that the file system is full, and that it is not any more.
    fn note_room(&mut self) {
        let Some(store) = &self.store else {
            return;
        };
        match store.room() {
            Room::Short if self.no_room.is_none() => {
                let path = store.locked.directory().path().display();
                let text = format!(
                    "the file system of the journal of scripts in {path} is full; free some space \
                     there: what was set aside for the journal is enough for some hundred scripts"
                );
                warn!(fault = text, "the journal of scripts needs space");
                self.no_room = Some(text);
            }
            Room::Kept if self.no_room.take().is_some() => {
                info!("the journal of scripts has space again");
            }
            Room::Short | Room::Kept => {}
        }
    }

    fn note_damage(&mut self, aside: Vec<Aside>) {
        if let Some(store) = &self.store
            && !aside.is_empty()
        {
            let notice = Notice::of_damage(store.locked.directory(), aside);
            self.notices.push(notice);
        }
    }
}

#[cfg(test)]
mod full_tests;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod released_tests;
#[cfg(test)]
mod tests;
