// SPDX-License-Identifier: GPL-3.0-or-later
//! Directories and sockets: do they exist, and can anybody use them who should not?

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use connect_runtime::ownership::{Distrust, Ownership, Strictness};

use super::finding::Section;
use crate::common::Common;

/// Writable by everybody.
pub(crate) const OTHERS_WRITE: u32 = 0o002;

/// Writable by the group.
pub(crate) const GROUP_WRITE: u32 = 0o020;

/// Only a file's owner may rename or remove it in this directory.
pub(crate) const STICKY: u32 = 0o1000;

/// Checks the directories and sockets. A socket that does not exist is reported by the check that
/// uses it.
pub(crate) fn check(common: &Common, configuration: &Path, section: &mut Section<'_>) {
    let subject = format!("the configuration directory {}", configuration.display());
    match fs::metadata(configuration) {
        Ok(metadata) => directory(configuration, &subject, &metadata, section),
        Err(error) => unreadable(
            &subject,
            &error,
            "name the right one with -d or TRIPEDIR",
            section,
        ),
    }
    let runtime = common.runtime();
    let path = runtime.path();
    if let Ok(metadata) = fs::metadata(path) {
        let subject = format!("the runtime directory {}", path.display());
        directory(path, &subject, &metadata, section);
    }
    socket(&common.admin_socket(), "the tripe server's socket", section);
    socket(&common.control_socket(), "the control socket", section);
    // Its group may have access: core checks the user of each connection.
    socket(&runtime.helpers_socket(), "the helpers' socket", section);
}

/// Something could not be read.
pub(crate) fn unreadable(
    subject: &str,
    error: &io::Error,
    missing: &str,
    section: &mut Section<'_>,
) {
    match error.kind() {
        io::ErrorKind::NotFound => {
            section.fault(format!("{subject} does not exist"), missing);
        }
        io::ErrorKind::PermissionDenied => section.warning(
            format!("{subject} cannot be looked at as this user"),
            "run this as the service's user, or as root",
        ),
        _ => section.fault(
            format!("{subject} cannot be looked at: {error}"),
            "correct its name, or check its file system",
        ),
    }
}

fn directory(path: &Path, subject: &str, metadata: &Metadata, section: &mut Section<'_>) {
    if !metadata.is_dir() {
        let remedy = "name the right one with -d or --runtime-dir";
        section.fault(format!("{subject} is no directory"), remedy);
        return;
    }
    // Whose it should be is not known here; others than root and its owner should have no part.
    let owner = Ownership::of(metadata.uid(), metadata.gid());
    match owner.check(path, Strictness::Directory) {
        Ok(()) | Err(Distrust::Missing { .. } | Distrust::Unreadable { .. }) => {
            section.ok(format!("{subject} is in order"));
        }
        Err(distrust) => {
            section.fault(
                format!("{subject} is not safe: {distrust}"),
                &distrust.remedy(),
            );
        }
    }
}

fn socket(path: &Path, what: &str, section: &mut Section<'_>) {
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    let shown = path.display();
    let mode = metadata.mode() & 0o777;
    let subject = format!("{what} {shown}");
    if !metadata.file_type().is_socket() {
        let remedy = "move it away, or name the right one";
        section.fault(format!("{subject} is no socket"), remedy);
    } else if mode & OTHERS_WRITE != 0 {
        section.fault(
            format!("{subject} can be used by everybody (mode {mode:04o})"),
            &format!("chmod o-w {shown}, and correct what makes it so"),
        );
    } else {
        section.ok(format!("{subject} has safe permissions (mode {mode:04o})"));
    }
}
