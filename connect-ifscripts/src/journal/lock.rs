// SPDX-License-Identifier: GPL-3.0-or-later
//! The lock by which one script helper takes the journal over from another.
//!
//! ```text
//!   first helper:   holds `lock` as long as it lives -- ending --> sees `next` held, ends
//!   second helper:  waits, holding `next`                          --> gets `lock`, drops `next`
//! ```
//!
//! The descriptors close when a program is executed, and not before: a child that the first helper
//! has just created holds the lock until it executes its script. So once the second helper has the
//! lock, it can recognize each child by its mark.
//!
//! The holder writes its process number into `lock`, so that a helper that waits can say for which
//! process it waits.

use std::fs::File;
use std::io;

use connect_runtime::exhaustion::is_exhaustion;
use connect_runtime::lock_holder::LOCK;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tracing::{info, warn};

use super::directory::{Directory, Opened};

/// The file that a helper locks while it waits for another to end.
pub(super) const NEXT: &str = "next";

/// The two files.
#[derive(Debug)]
pub(super) struct Files {
    /// It is locked as long as it is open. It stays open until the process ends.
    pub(super) lock: Opened,
    /// Or why it cannot be used: then a helper that ends does not see that another one waits, and
    /// waits for its scripts as long as they are allowed to run.
    pub(super) next: Result<Opened, String>,
}

impl Files {
    pub(super) fn open(directory: &Directory) -> io::Result<Self> {
        let lock = directory.lock_file(LOCK)?;
        let next = match directory.lock_file(NEXT) {
            Ok(next) => Ok(next),
            Err(error) if is_exhaustion(&error) => return Err(error),
            Err(error) => Err(unusable(directory, &error)),
        };
        Ok(Files { lock, next })
    }

    /// Opens `next` again if the name leads to another file now.
    pub(super) fn mend_next(&mut self, directory: &Directory) {
        let next = self.next.as_ref();
        if next.is_ok_and(|next| directory.has(NEXT, next)) {
            return;
        }
        let path = directory.path().display();
        match directory.lock_file(NEXT) {
            Ok(next) => {
                info!(%path, "the file `next' was not a plain file of this user; made it again");
                self.next = Ok(next);
            }
            // It is logged once, and each check tries again.
            Err(_) if self.next.is_err() => {}
            Err(error) => self.next = Err(unusable(directory, &error)),
        }
    }

    /// Whether `next` is as good as it can be.
    pub(super) fn has_next(&self, directory: &Directory) -> bool {
        let next = self.next.as_ref();
        next.is_err() || next.is_ok_and(|next| directory.has(NEXT, next))
    }

    /// Takes the lock, if nobody has it. The lock is valid only if the file still has its name:
    /// another helper would lock the file that has the name now.
    pub(super) fn take(&self, directory: &Directory) -> io::Result<bool> {
        Ok(
            try_lock(&self.lock.file, FlockOperation::NonBlockingLockExclusive)?
                && directory.has(LOCK, &self.lock),
        )
    }
}

/// Says that `next` cannot be used.
fn unusable(directory: &Directory, error: &io::Error) -> String {
    let path = directory.path().display();
    let fault = format!(
        "cannot open the file `next' in {path}: {error}; until it can be opened, a script helper \
         that ends does not release the journal at once to the next one; remove what has that \
         name"
    );
    warn!(fault, "still writing the journal of scripts");
    fault
}

pub(super) fn try_lock(file: &File, operation: FlockOperation) -> io::Result<bool> {
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn next_is_missed_when_its_name_leads_elsewhere_and_it_could_be_better() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::open(place.path()).unwrap();
        let files = Files::open(&directory).unwrap();
        assert!(files.has_next(&directory));
        fs::remove_file(place.path().join(NEXT)).unwrap();
        assert!(!files.has_next(&directory));
        fs::create_dir(place.path().join(NEXT)).unwrap();
        let files = Files::open(&directory).unwrap();
        assert!(files.has_next(&directory), "nothing better can be had");
    }
}
