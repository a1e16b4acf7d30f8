// SPDX-License-Identifier: GPL-3.0-or-later
//! The standard input of this process and of every script: an empty file, with a name by which a
//! later helper recognizes the processes of its scripts.
//!
//! It is created once and inherited, so that it costs nothing for each script. To open a file for
//! each one would take as long as to note its start in the journal.

use std::fs::{self, File};
use std::io;

use connect_runtime::exhaustion::{is_exhaustion, unless_exhausted};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::stdio::dup2_stdin;
use tracing::warn;

use crate::journal::Directory;

/// What stands before and after the name of an anonymous file where `/proc` shows its descriptor.
const ANONYMOUS: (&str, &str) = ("/memfd:", " (deleted)");

/// Gives this process, and so each script, nothing to read.
///
/// # Errors
/// If the system refuses.
pub(crate) fn close() -> io::Result<()> {
    let null = File::open("/dev/null")?;
    Ok(dup2_stdin(&null)?)
}

/// The name of the standard input of all helpers that use one journal, and of their scripts.
#[derive(Debug)]
pub(crate) struct InputMark {
    name: String,
}

/// What a process has as its standard input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StandardInput {
    /// The one of our scripts.
    Ours,
    /// Another one, or none.
    Other,
    /// The process is another user's.
    Unreadable,
}

impl InputMark {
    /// The mark of the helpers that keep their journal in this directory.
    pub(crate) fn of(directory: &Directory) -> Self {
        let (device, inode) = directory.identity();
        let name = format!("tripe-connect-script:{device:x}:{inode}");
        InputMark { name }
    }

    /// Gives this process, and so each script, the mark. If the system refuses, they keep the
    /// standard input that they have.
    ///
    /// # Errors
    /// If the system has refused it since descriptors or memory are missing.
    pub(crate) fn put(&self) -> io::Result<()> {
        let put = self.file().and_then(|file| Ok(dup2_stdin(&file)?));
        let Err(error) = put else { return Ok(()) };
        if is_exhaustion(&error) {
            return Err(error);
        }
        warn!(
            %error,
            "cannot mark the standard input of scripts; a script that is just being started when \
             connect-ifscripts is killed is not found if it executes another program without \
             TRIPE_CONNECT_RUN; allow memfd_create"
        );
        Ok(())
    }

    /// Says what this process has as its standard input.
    ///
    /// # Errors
    /// If we cannot look since descriptors or memory are missing.
    pub(crate) fn look_at(&self, pid: i32) -> io::Result<StandardInput> {
        Ok(match fs::read_link(format!("/proc/{pid}/fd/0")) {
            Ok(file) => {
                let name = file.to_str().and_then(|file| {
                    let (before, after) = ANONYMOUS;
                    file.strip_prefix(before)?.strip_suffix(after)
                });
                if name == Some(&self.name) {
                    StandardInput::Ours
                } else {
                    StandardInput::Other
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                StandardInput::Unreadable
            }
            Err(error) => unless_exhausted(error).map(|()| StandardInput::Other)?,
        })
    }

    /// An empty file of this name.
    ///
    /// # Errors
    /// What the system says if it refuses.
    pub(crate) fn file(&self) -> io::Result<File> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Kernels before 6.3 do not know the flag; later ones may insist on it.
        let file = memfd_create(&self.name, flags | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| memfd_create(&self.name, flags))?;
        // A script that writes to it gets an error, and so cannot fill the memory.
        let seals = SealFlags::GROW | SealFlags::SHRINK | SealFlags::WRITE | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        Ok(file.into())
    }
}
