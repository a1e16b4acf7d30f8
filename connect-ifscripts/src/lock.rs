// SPDX-License-Identifier: GPL-3.0-or-later
//! The lock by which one script helper takes the journal over from another.
//!
//! ```text
//!   first helper:   holds `lock` as long as it lives -- ending --> sees `next` held, ends
//!   second helper:  waits, holding `next`                          --> gets `lock`, drops `next`
//! ```
//!
//! The descriptors close when a program is executed, and not before: a child that the first helper
//! has just made holds the lock until it runs its script. So the second helper, once it has the
//! lock, sees each child by its mark.

use std::fs::File;
use std::io;
use std::pin::pin;
use std::time::Duration;

use connect_runtime::notifier::Notifier;
use connect_runtime::signals::EndSignals;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::time::sleep;
use tracing::info;

use crate::journal::Directory;

/// The file that a helper locks as long as it lives.
const LOCK: &str = "lock";

/// The file that a helper locks while it waits for another to end.
const NEXT: &str = "next";

/// The first pause before the lock is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest: short enough for a first helper that was killed.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What the service manager reads meanwhile.
const WAITING: &str = "waiting for another script helper to end";

/// The lock, while this process lives.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Held by being open. It is left to the end of the process to close it.
    _file: File,
    next: File,
}

impl Lock {
    /// Takes the lock, as soon as no other helper has it. `None` if a signal asks us to end first.
    ///
    /// # Errors
    /// If the files cannot be opened or locked.
    pub(crate) async fn take(
        directory: &Directory,
        signals: &mut EndSignals,
        notifier: &mut Notifier,
    ) -> io::Result<Option<Self>> {
        let file = directory.lock_file(LOCK)?;
        let next = directory.lock_file(NEXT)?;
        if !try_lock(&file, FlockOperation::NonBlockingLockExclusive)? {
            let path = directory.path().display();
            info!(%path, "another script helper uses this directory; waiting for it to end");
            notifier.status(WAITING);
            let waited = wait(&file, &next, notifier);
            tokio::select! {
                _ = signals.next() => return Ok(None),
                waited = pin!(waited) => waited?,
            }
            flock(&next, FlockOperation::Unlock)?;
            info!(%path, "the other script helper has ended; going on where it was");
        }
        Ok(Some(Lock { _file: file, next }))
    }

    /// Whether another helper waits for us to end.
    pub(crate) fn successor_waits(&self) -> bool {
        match try_lock(&self.next, FlockOperation::NonBlockingLockShared) {
            Ok(true) => {
                // Nobody waits, so nobody may be kept from saying that he does.
                let _ = flock(&self.next, FlockOperation::Unlock);
                false
            }
            Ok(false) => true,
            Err(_) => false,
        }
    }
}

async fn wait(file: &File, next: &File, notifier: &mut Notifier) -> io::Result<()> {
    let mut pause = FIRST_PAUSE;
    loop {
        // A third helper waits without it, and gets it when it is free.
        try_lock(next, FlockOperation::NonBlockingLockExclusive)?;
        notifier.feed();
        sleep(pause).await;
        if try_lock(file, FlockOperation::NonBlockingLockExclusive)? {
            return Ok(());
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn try_lock(file: &File, operation: FlockOperation) -> io::Result<bool> {
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
