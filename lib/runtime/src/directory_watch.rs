// SPDX-License-Identifier: GPL-3.0-or-later
//! Noticing that a directory, or a file in it, was removed or renamed (`inotify(7)`).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::descriptor::watch;

/// Bytes that are read at once; several notices fit, and what is in them does not matter.
const NOTICES: usize = 4_096;

/// The watch over one directory.
#[derive(Debug)]
pub struct DirectoryWatch {
    notices: AsyncFd<OwnedFd>,
}

impl DirectoryWatch {
    /// Watches a directory from now on.
    ///
    /// # Errors
    /// If there is none, or the system refuses.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let notices = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let what = WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&notices, directory, what)?;
        let notices = watch(notices, Interest::READABLE)?;
        Ok(DirectoryWatch { notices })
    }

    /// Waits until something was removed or renamed. Cancel safe.
    ///
    /// # Errors
    /// If the system cannot tell any more.
    pub async fn removed(&self) -> io::Result<()> {
        loop {
            let mut ready = self.notices.readable().await?;
            let mut buffer = [MaybeUninit::<u8>::uninit(); NOTICES];
            match rustix::io::read(&self.notices, &mut buffer) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::WOULDBLOCK) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_removed_file_and_a_removed_directory_are_noticed() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("directory");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("file"), "").unwrap();
        let watch = DirectoryWatch::new(&directory).unwrap();
        std::fs::write(directory.join("other"), "").unwrap();
        tokio::select! {
            biased;
            _ = watch.removed() => panic!("nothing was removed"),
            () = tokio::task::yield_now() => {}
        }
        std::fs::remove_file(directory.join("file")).unwrap();
        watch.removed().await.unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        watch.removed().await.unwrap();
        assert!(DirectoryWatch::new(&directory).is_err());
    }
}
