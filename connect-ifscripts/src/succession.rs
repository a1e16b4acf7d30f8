// SPDX-License-Identifier: GPL-3.0-or-later
//! What a helper begins with: the lock, the journal, and the children that an earlier helper was
//! just starting.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use connect_ipc::RunId;
use connect_ipc::scripts::Child;
use connect_runtime::notifier::Notifier;
use connect_runtime::signals::EndSignals;
use connect_runtime::{clock, exhaustion};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::earlier;
use crate::journal::{self, Directory, Header, Journal, UNTIL_THEN};
use crate::ledger::Ledger;
use crate::marks;
use crate::stdin::InputMark;

/// The fault of a helper without a directory for its journal.
const NO_DIRECTORY: &str = "there is no journal of scripts, since --journal-dir is not given: if \
                            connect-ifscripts is killed, scripts may run twice or never; give it \
                            that option";

/// How long to wait for descriptors or memory before we look again.
const PAUSE: Duration = Duration::from_secs(1);

/// What a helper begins with.
pub(crate) struct Beginning {
    pub(crate) journal: Journal,
    /// What the journal says, if there is one of this boot.
    pub(crate) ledger: Option<Ledger>,
    /// The children of runs that were just being started.
    pub(crate) found: BTreeMap<RunId, Child>,
}

impl Beginning {
    /// Takes over the journal of an earlier helper in this directory, as soon as that helper has
    /// ended. `None` if a signal asks us to end first.
    pub(crate) async fn take(
        directory: Option<&Path>,
        signals: &mut EndSignals,
        notifier: &mut Notifier,
    ) -> Option<Self> {
        let Some(directory) = directory else {
            return Some(Self::without_journal(NO_DIRECTORY.to_owned()));
        };
        let mut told = false;
        loop {
            let error = match Self::take_from(directory, signals, notifier).await {
                Ok(beginning) => return beginning,
                Err(error) => error,
            };
            let exhausted = exhaustion::is_cause_of(&error);
            let error = format!("{error:#}");
            if exhausted {
                if !std::mem::replace(&mut told, true) {
                    notifier.status("waiting for file descriptors");
                    warn!(
                        error,
                        "cannot find out which scripts of an earlier script helper run; starting \
                         none until that is known; raise the limit of open files of \
                         connect-ifscripts"
                    );
                }
                notifier.feed();
                tokio::select! {
                    _ = signals.next() => return None,
                    () = sleep(PAUSE) => continue,
                }
            }
            let waited = tokio::select! {
                _ = signals.next() => return None,
                waited = earlier::ended(directory, &error, notifier) => waited,
            };
            // It may have been repaired meanwhile.
            if !waited {
                let restart = journal::restart();
                let fault = format!(
                    "cannot keep a journal of scripts: {error}; then {restart}; {UNTIL_THEN}"
                );
                return Some(Self::without_journal(fault));
            }
        }
    }

    async fn take_from(
        directory: &Path,
        signals: &mut EndSignals,
        notifier: &mut Notifier,
    ) -> anyhow::Result<Option<Self>> {
        let header = Header::current()?;
        let locked = journal::take(Directory::open(directory)?, signals, notifier).await;
        let locked = locked.with_context(|| {
            let path = directory.display();
            format!("cannot lock {path}: make it writable for the user of connect-ifscripts")
        })?;
        let Some(locked) = locked else {
            return Ok(None);
        };
        // Not before: a helper that waits for the lock must not look like a script.
        let mark = InputMark::of(locked.directory());
        mark.put()?;
        let reading = journal::read(locked.directory(), &header)?;
        let ledger = reading.ledger.as_ref();
        let found = ledger
            .map(|ledger| marks::find(ledger, &mark))
            .transpose()?;
        // Nothing was changed until now, so all of it can be done again.
        let (journal, ledger) = Journal::begin(locked, header, reading, clock::now())?;
        if let Some(ledger) = &ledger {
            let runs = ledger.runs().count();
            info!(runs, "going on where the journal of scripts ends");
        }
        Ok(Some(Beginning {
            journal,
            ledger,
            found: found.unwrap_or_default(),
        }))
    }

    fn without_journal(fault: String) -> Self {
        Beginning {
            journal: Journal::none(fault),
            ledger: None,
            found: BTreeMap::new(),
        }
    }
}
