// SPDX-License-Identifier: GPL-3.0-or-later
//! The directory of the journal, for the helper that has its lock.
//!
//! Only this type creates, removes and renames segments. Before each of these it checks whether the
//! name of the lock file still leads to the file that it has locked. A helper whose lock file was
//! removed has lost the lock, since another helper locks the new file; it must not touch the
//! other's segments.

use std::io;

use connect_runtime::exhaustion;
use connect_runtime::lock_holder::{Holder, LOCK};
use rustix::fs::{AtFlags, FlockOperation, OFlags, flock, renameat, statat, unlinkat};
use rustix::io::Errno;
use thiserror::Error;
use tracing::warn;

use super::directory::{Directory, LAST, Opened, damaged_name, segment_name};
use super::lock::{Files, try_lock};

/// How many damaged segments are kept. One is enough to see what went wrong; more come if it
/// happens again.
const DAMAGED_KEPT: usize = 3;

/// How many names that are in use are skipped when a segment is created.
const PASSED_OVER: usize = 64;

/// The directory, with its lock.
#[derive(Debug)]
pub(crate) struct Locked {
    directory: Directory,
    files: Files,
}

/// Why the lock is no longer valid.
#[derive(Clone, Copy, Debug, Error, Eq, PartialEq)]
pub(super) enum Loss {
    /// The path of the directory leads to another one or to none.
    #[error("the directory was removed, or something else is in its place or mounted over it")]
    Directory,
    /// The name of the lock file leads to another file, or to none.
    #[error("the file `lock' in it was removed or replaced")]
    Lock,
}

/// Why the journal cannot be kept.
#[derive(Debug, Error)]
pub(super) enum JournalError {
    /// A file cannot be written.
    #[error("{0}; free some space there, or make it writable")]
    Io(#[from] io::Error),
    /// The segment that is written was removed.
    #[error("somebody has removed the file {0}; writing the journal again to another file")]
    Removed(String),
    /// The lock is no longer valid.
    #[error("{0}; locking the directory and writing the journal again, if that is possible")]
    Lost(#[from] Loss),
    /// The lock was lost, and another helper has it: `holder`, if it has written its process
    /// number.
    #[error("{loss}, and another script helper{} has locked it since; ending and starting no \
             more scripts; the other one goes on with them", name(*.holder))]
    Taken { loss: Loss, holder: Option<Holder> },
    /// The lock was lost, and cannot be taken again.
    #[error("{loss}, and it cannot be locked again: {error:#}")]
    Unusable { loss: Loss, error: anyhow::Error },
}

impl JournalError {
    /// Whether the file system is full.
    pub(super) fn is_no_room(&self) -> bool {
        let errno = match self {
            JournalError::Io(error) => Errno::from_io_error(error),
            _ => None,
        };
        matches!(errno, Some(Errno::NOSPC | Errno::DQUOT))
    }

    /// Whether descriptors or memory were missing.
    pub(super) fn is_exhaustion(&self) -> bool {
        matches!(self, JournalError::Io(error) if exhaustion::is_exhaustion(error))
    }
}

impl From<Errno> for JournalError {
    fn from(error: Errno) -> Self {
        JournalError::Io(error.into())
    }
}

fn name(holder: Option<Holder>) -> String {
    holder.map_or_else(String::new, |holder| format!(" ({holder})"))
}

impl Locked {
    /// The lock was taken.
    pub(super) fn new(directory: Directory, files: Files) -> Self {
        let written = Holder::own().map_or(Ok(()), |own| own.write(&files.lock.file));
        if let Err(error) = written {
            // Then a helper that waits cannot say for which process; nothing else depends on it.
            let path = directory.path().display();
            warn!(%path, %error, "cannot write our number into the lock file");
        }
        Locked { directory, files }
    }

    pub(crate) const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Why we could not see whether another helper waits for us to end.
    pub(super) fn fault(&self) -> Option<&str> {
        self.files.next.as_ref().err().map(String::as_str)
    }

    /// Whether another helper waits for us to end.
    pub(crate) fn successor_waits(&self) -> bool {
        let Ok(next) = &self.files.next else {
            return false;
        };
        match try_lock(&next.file, FlockOperation::NonBlockingLockShared) {
            Ok(true) => {
                // Nobody waits. We must not keep the lock on `next`, or a helper that comes could
                // not take it.
                let _ = flock(&next.file, FlockOperation::Unlock);
                false
            }
            Ok(false) => true,
            Err(_) => false,
        }
    }

    /// Whether the lock is still valid.
    pub(super) fn look(&mut self) -> Result<(), Loss> {
        if !self.directory.is_in_place() {
            return Err(Loss::Directory);
        }
        self.confirm()?;
        // A successor locks the file that has the name now, so this is the file that we must check.
        self.files.mend_next(&self.directory);
        Ok(())
    }

    /// Whether the lock is valid for the files in this directory, even if the directory was moved.
    fn confirm(&self) -> Result<(), Loss> {
        if self.directory.has(LOCK, &self.files.lock) {
            Ok(())
        } else {
            Err(Loss::Lock)
        }
    }

    /// Takes the lock again after it was lost, and creates the directory again if it is missing. If
    /// the old directory still exists elsewhere, this helper's journal there is removed: nobody
    /// must read it if that directory gets its old name back.
    pub(super) fn regain(&mut self) -> Result<(), JournalError> {
        let Err(loss) = self.look() else {
            return Ok(());
        };
        let _ = self.remove_before(u64::MAX);
        let unusable = |error: anyhow::Error| JournalError::Unusable { loss, error };
        let directory = Directory::open_again(self.directory.path()).map_err(unusable)?;
        let files = Files::open(&directory).map_err(|error| unusable(error.into()))?;
        if !files
            .take(&directory)
            .map_err(|error| unusable(error.into()))?
        {
            let holder = Holder::read(&files.lock.file);
            return Err(JournalError::Taken { loss, holder });
        }
        *self = Locked::new(directory, files);
        Ok(())
    }

    /// Creates the segment with the number after all existing ones. What has such a name and is no
    /// segment is not touched.
    pub(super) fn create_segment(&self) -> Result<(u64, Opened), JournalError> {
        let last = self.directory.segments()?.last().copied();
        let first = last.map_or(1, |last| last.saturating_add(1));
        self.confirm()?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::APPEND;
        for number in (first..=LAST).take(PASSED_OVER) {
            match self.directory.plain(&segment_name(number), flags) {
                Ok(file) => return Ok((number, file)),
                Err(error) if Errno::from_io_error(&error) == Some(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let text = format!(
            "{} and the files after it are not parts of the journal: remove them",
            segment_name(first.min(LAST))
        );
        Err(io::Error::other(text).into())
    }

    /// Removes the segments before the segment `number`.
    pub(super) fn remove_before(&self, number: u64) -> Result<(), JournalError> {
        for older in self
            .directory
            .segments()?
            .into_iter()
            .filter(|n| *n < number)
        {
            self.remove(older)?;
        }
        Ok(())
    }

    /// Removes a segment.
    pub(super) fn remove(&self, number: u64) -> Result<(), JournalError> {
        self.confirm()?;
        let name = segment_name(number);
        Ok(unlinkat(
            self.directory.descriptor(),
            name,
            AtFlags::empty(),
        )?)
    }

    /// Gives back the room that is set aside for segments which nobody writes any more.
    pub(super) fn give_back_room(&self) -> Result<(), JournalError> {
        for number in self.directory.segments()? {
            self.confirm()?;
            let segment = self
                .directory
                .plain(&segment_name(number), OFlags::WRONLY)?;
            let size = segment.file.metadata()?.len();
            segment.file.set_len(size)?;
        }
        Ok(())
    }

    /// Renames a damaged segment so that it is kept, and removes the oldest damaged ones above the
    /// limit. Returns the new name.
    pub(super) fn set_aside(&self, segment: u64) -> Result<String, JournalError> {
        self.confirm()?;
        let at = self.directory.descriptor();
        let kept = self.directory.damaged()?;
        let beyond = (kept.len() + 1).saturating_sub(DAMAGED_KEPT);
        for oldest in kept.iter().take(beyond) {
            unlinkat(at, damaged_name(*oldest), AtFlags::empty())?;
        }
        let number = kept.last().map_or(1, |last| last.saturating_add(1));
        let name = damaged_name(number);
        renameat(at, segment_name(segment), at, &name)?;
        Ok(name)
    }

    /// Whether a damaged segment is still kept under this name.
    pub(super) fn keeps(&self, name: &str) -> bool {
        let at = self.directory.descriptor();
        statat(at, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }
}
