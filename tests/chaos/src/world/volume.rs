// SPDX-License-Identifier: GPL-3.0-or-later
//! The file system of state, journal and sockets: a small one of the run's own, so that it can be
//! full, if this program may mount one.
//!
//! The mount is in a namespace of the run's own: the program starts itself again in it by
//! `unshare`. Nobody else sees it, and it ends with the last process in it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;

/// Its name in the run's directory.
pub(crate) const VOLUME: &str = "volume";

/// Where its contents are in the end if the directory is kept: the mount itself ends.
const KEPT: &str = "volume.kept";

/// This variable says that the program has a namespace of its own.
const OWN_NAMESPACE: &str = "CHAOS_NAMESPACE";

/// Far more than state and journal of some hundred peers need, and soon full. This program keeps
/// segments of the journal open for a while that were removed, up to 1.5 MiB each.
const OPTIONS: &str = "size=64m,mode=755";

/// The file that fills it.
const FILLER: &str = "filler";

/// How much is written at a time, at first and in the end: the last page is found too.
const CHUNKS: [usize; 2] = [65_536, 512];

/// Starts this program again in a namespace of its own, in the same process, if that is permitted.
pub(crate) fn enter_namespace() {
    if is_in_namespace() {
        return;
    }
    let Ok(own) = std::env::current_exe() else {
        return;
    };
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        command
    };
    let mut attempt = unshare();
    attempt
        .arg("true")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if attempt.status().is_ok_and(|status| status.success()) {
        let mut again = unshare();
        again.arg(own).args(std::env::args_os().skip(1));
        // If it fails, the run goes on where it is, and leaves out what needs the namespace.
        let _ = again.env(OWN_NAMESPACE, "1").exec();
    }
}

fn is_in_namespace() -> bool {
    std::env::var_os(OWN_NAMESPACE).is_some_and(|it| it == OsStr::new("1"))
}

/// Takes the mount away at the end of a run, and leaves a copy if so said.
pub(crate) fn unmount(directory: &Path, keep: bool) {
    let volume = directory.join(VOLUME);
    if !is_in_namespace() {
        return;
    }
    if keep {
        let kept = directory.join(KEPT);
        quietly(Command::new("cp").arg("-a").arg(&volume).arg(kept));
    }
    quietly(Command::new("umount").arg("-l").arg(volume));
}

fn quietly(command: &mut Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The file system.
#[derive(Debug)]
pub(crate) struct Volume {
    directory: PathBuf,
    is_own: bool,
    /// The file that fills it, and until when.
    filler: Option<(File, Monotonic)>,
}

impl Volume {
    /// Mounts it, or makes a directory in its place.
    pub(crate) fn new(directory: &Path) -> anyhow::Result<Self> {
        let directory = directory.join(VOLUME);
        fs::create_dir(&directory)?;
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", OPTIONS, "chaos"])
            .arg(&directory);
        let is_own = is_in_namespace() && quietly(&mut mount);
        Ok(Volume {
            directory,
            is_own,
            filler: None,
        })
    }

    /// Whether it can be full without harm to anybody else.
    pub(crate) const fn can_be_full(&self) -> bool {
        self.is_own
    }

    /// Whether it is full at present.
    pub(crate) const fn is_full(&self) -> bool {
        self.filler.is_some()
    }

    /// Fills it for so long.
    pub(crate) fn fill(&mut self, time: Duration) -> anyhow::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true);
        let file = file.open(self.directory.join(FILLER))?;
        self.filler = Some((file, clock::now() + time));
        self.step(clock::now())
    }

    /// Fills what others have freed, until the time is over.
    pub(crate) fn step(&mut self, now: Monotonic) -> anyhow::Result<()> {
        match &mut self.filler {
            Some((file, until)) if now < *until => {
                for size in CHUNKS {
                    let chunk = vec![b'x'; size];
                    while file.write(&chunk).is_ok() {}
                }
                Ok(())
            }
            Some(_) => self.empty(),
            None => Ok(()),
        }
    }

    /// Frees it.
    pub(crate) fn empty(&mut self) -> anyhow::Result<()> {
        if self.filler.take().is_some() {
            fs::remove_file(self.directory.join(FILLER))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_namespace_it_is_a_directory_that_is_never_full() {
        let directory = tempfile::tempdir().unwrap();
        let volume = Volume::new(directory.path()).unwrap();
        assert!(directory.path().join(VOLUME).is_dir());
        assert!(!volume.can_be_full() && !volume.is_full());
        unmount(directory.path(), true);
        assert!(!directory.path().join(KEPT).exists());
    }
}
