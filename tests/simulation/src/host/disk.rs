// SPDX-License-Identifier: GPL-3.0-or-later
//! What outlives the processes of a host: the database's file, core's state, the journal.

use std::collections::VecDeque;
use std::sync::Arc;

use connect_core::machine::{DatabaseCopy, Inherited, Loaded, State};
use connect_ifscripts::ledger::{Entry, Ledger};
use connect_ipc::setup::ServerRun;
use peerdb::{Database, Record};

use crate::plan::{HostSite, JournalLoss, Kept};

/// How many states that were written before are kept, to be put back.
const OLDER: usize = 8;

/// How many entries of the journal may be lost at its end.
const TAIL: usize = 20;

/// A state, and the run of the server that it is about.
type Saved = (Option<ServerRun>, State);

/// The disk.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The database of the site.
    pub(crate) site: Arc<Database>,
    /// What the file has, or what is wrong with it.
    pub(crate) file: Result<Arc<Database>, String>,
    /// The states that were written, the latest last.
    states: VecDeque<Saved>,
    /// The database that was written with them.
    database: Option<DatabaseCopy>,
    /// What is being written.
    under_way: Option<(Saved, Option<DatabaseCopy>)>,
    /// What the next core finds.
    pub(crate) kept: Kept,
    /// Whether core's files are to be deleted.
    pub(crate) forgotten: bool,
    pub(crate) journal: Ledger,
    /// The last entries of the journal, and what it was before them.
    tail: (Ledger, VecDeque<Entry>),
    /// What is wrong with the journal.
    pub(crate) journal_fault: Option<String>,
}

impl Disk {
    pub(crate) fn new(site: &HostSite) -> Self {
        let records = site.records.iter();
        let records = records.map(|it| Record::new(&it.peer, it.pairs.iter().cloned()));
        let users = site.users.iter().cloned();
        let database = Database::from_parts(records, users, site.auto.iter().cloned());
        let database = Arc::new(database);
        Disk {
            file: Ok(Arc::clone(&database)),
            site: database,
            states: VecDeque::new(),
            database: None,
            under_way: None,
            kept: Kept::Last,
            forgotten: false,
            journal: Ledger::default(),
            tail: (Ledger::default(), VecDeque::new()),
            journal_fault: None,
        }
    }

    /// What comes of reading the database's file.
    pub(crate) fn load(&self) -> Loaded {
        match &self.file {
            Ok(database) => Loaded::Usable {
                database: Arc::clone(database),
                faults: Vec::new(),
                more_faults: 0,
                file: None,
            },
            Err(fault) => Loaded::Faulty {
                fault: fault.clone(),
            },
        }
    }

    /// What an earlier core has left.
    pub(crate) fn inherited(&mut self, database_is_usable: bool) -> Option<Inherited> {
        let kept = std::mem::take(&mut self.kept);
        let last = self.states.len().checked_sub(1)?;
        let index = match kept {
            Kept::Last | Kept::OfOtherServer => last,
            Kept::Older(steps) => last.saturating_sub(steps as usize),
            Kept::None => return None,
        };
        let (mut run, state) = self.states.get(index)?.clone();
        if kept == Kept::OfOtherServer {
            run.iter_mut().for_each(|run| run.inode += 1_000);
        }
        Some(Inherited {
            run,
            state,
            database: self.database.clone().filter(|_| !database_is_usable),
        })
    }

    /// Whether the next core will find this.
    pub(crate) fn finds(&self, kept: Kept) -> bool {
        match kept {
            Kept::Last => true,
            Kept::Older(_) => self.states.len() > 1,
            Kept::None | Kept::OfOtherServer => !self.states.is_empty(),
        }
    }

    /// An entry is written to the journal.
    pub(crate) fn note(&mut self, entry: Entry) {
        self.journal.apply(&entry);
        let (before, tail) = &mut self.tail;
        tail.push_back(entry);
        if tail.len() > TAIL
            && let Some(oldest) = tail.pop_front()
        {
            before.apply(&oldest);
        }
    }

    /// The journal, or its end, is lost. Whether something was in that part.
    pub(crate) fn lose_journal(&mut self, loss: JournalLoss) -> bool {
        let (mut left, mut tail) = std::mem::take(&mut self.tail);
        let was_written = !tail.is_empty();
        match loss {
            JournalLoss::Removed => left = Ledger::default(),
            JournalLoss::Damaged(entries) => {
                tail.truncate(tail.len().saturating_sub(entries as usize));
                tail.iter().for_each(|entry| left.apply(entry));
            }
        }
        self.tail = (left.clone(), VecDeque::new());
        self.journal = left;
        was_written
    }

    /// Core begins to write its state.
    pub(crate) fn begin(&mut self, state: Saved, database: Option<DatabaseCopy>) {
        self.under_way = Some((state, database));
    }

    /// It is written.
    pub(crate) fn written(&mut self) {
        if let Some((state, database)) = self.under_way.take() {
            self.states.push_back(state);
            if self.states.len() > OLDER {
                self.states.pop_front();
            }
            if database.is_some() {
                self.database = database;
            }
        }
    }

    /// Core's files are deleted.
    pub(crate) fn forget(&mut self) {
        self.forgotten = false;
        self.states.clear();
        self.database = None;
    }
}
