// SPDX-License-Identifier: GPL-3.0-or-later
//! The database that core uses for certain. While that is not known, since the database has just
//! changed, everything counts that a record may say at some time in the run.

use std::sync::Arc;
use std::time::Duration;

use peerdb::Database;

use super::Moment;
use super::calm::Calm;
use super::records::Records;
use crate::instant::Instant;
use crate::seen::Seen;

/// A database that core has read.
#[derive(Clone, Debug)]
struct Known {
    database: Arc<Database>,
    /// What it says, and nothing else.
    records: Records,
    /// Since when that is certain.
    since: Instant,
}

/// What is known of the database that core uses.
#[derive(Clone, Debug, Default)]
pub(super) struct InUse {
    known: Option<Known>,
}

impl InUse {
    /// Looks at the file once a minute.
    pub(super) fn see(&mut self, at: Instant, seen: &Seen<'_>, calm: &Calm) {
        let Seen::Minute(view) = seen else { return };
        if self.get(calm).is_some() || at <= disturbed(calm) {
            return;
        }
        self.known = view.truth.file.as_ref().map(|database| Known {
            database: Arc::clone(database),
            records: Records::of_database(database),
            since: at,
        });
    }

    fn get(&self, calm: &Calm) -> Option<&Known> {
        let known = self.known.as_ref();
        known.filter(|known| disturbed(calm) < known.since)
    }

    /// Whether it has been known for longer than this, and nothing has disturbed the host since.
    pub(super) fn has_lasted(&self, now: &Moment<'_>, time: Duration) -> bool {
        let known = self.get(now.calm);
        known.is_some_and(|known| known.since.max(now.calm.since) + time < now.at)
    }

    /// It, if it is known.
    pub(super) fn database(&self, calm: &Calm) -> Option<&Database> {
        Some(&*self.get(calm)?.database)
    }

    /// What its records say, if it is known.
    pub(super) fn records(&self, calm: &Calm) -> Option<&Records> {
        Some(&self.get(calm)?.records)
    }
}

/// When core has last had another database, or the server may have read lines late.
fn disturbed(calm: &Calm) -> Instant {
    calm.database.max(calm.server)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{database, view};
    use super::*;
    use crate::plan::{DatabaseChange, Fault};
    use crate::seen::View;
    use crate::world::Truth;

    fn minute(in_use: &mut InUse, calm: &Calm, at: Instant, file: &Arc<Database>) {
        let truth = Truth {
            file: Some(Arc::clone(file)),
            ..Truth::default()
        };
        view(|view| {
            let truth = &truth;
            in_use.see(at, &Seen::Minute(View { truth, ..view }), calm);
        });
    }

    #[test]
    fn a_database_is_known_when_it_has_been_there_for_a_while() {
        let retries = |number| Arc::new(database(&[("p", &[("retries", number)])]));
        let (old, new) = (retries("3"), retries("4"));
        let (mut in_use, mut calm) = (InUse::default(), Calm::default());
        let at = |seconds| Instant::default() + Duration::from_secs(seconds);
        let said = |in_use: &InUse, calm: &Calm| -> Vec<u32> {
            let records = in_use.records(calm);
            let said = records.map(|it| it.retries("p"));
            said.into_iter().flatten().copied().collect()
        };
        minute(&mut in_use, &calm, at(60), &old);
        assert_eq!(said(&in_use, &calm), [3]);
        let change = DatabaseChange::Back;
        let fault = Fault::Database { change };
        calm.see(at(119), &Seen::Fault(&fault), None, at(10_000));
        assert!(said(&in_use, &calm).is_empty());
        minute(&mut in_use, &calm, at(120), &new);
        assert!(said(&in_use, &calm).is_empty());
        minute(&mut in_use, &calm, at(180), &new);
        assert_eq!(said(&in_use, &calm), [4]);
    }
}
