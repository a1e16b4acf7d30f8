// SPDX-License-Identifier: GPL-3.0-or-later
//! Where tests make their directories.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use connect_runtime::ownership::{Ownership, Strictness};
use tempfile::TempDir;

use crate::programs;

/// A new directory whose scripts are run. For root that is none below `/tmp`: others may write
/// there, so no script in it is run with root's rights.
///
/// # Errors
/// If none can be made.
pub fn directory(prefix: &str) -> anyhow::Result<TempDir> {
    let base = base();
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(&base)
        .with_context(|| format!("cannot make a directory in {}", base.display()))
}

fn base() -> PathBuf {
    let usual = std::env::temp_dir();
    if !rustix::process::geteuid().is_root() {
        return usual;
    }
    let candidates = [Some(usual.clone()), in_target(), Some("/var/lib".into())];
    let fit = candidates.into_iter().flatten().find(|base| is_fit(base));
    fit.unwrap_or(usual)
}

/// The directory that Cargo has for what tests make.
fn in_target() -> Option<PathBuf> {
    let directory = programs::profile().ok()?.parent()?.join("tmp");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory)
}

/// Whether scripts are run from there, and whether other users, whom some tests play, can reach it.
fn is_fit(base: &Path) -> bool {
    let is_open = |directory: &Path| {
        std::fs::metadata(directory).is_ok_and(|found| found.permissions().mode() & 0o001 != 0)
    };
    base.ancestors().all(is_open)
        && Ownership::ourselves()
            .check(base, Strictness::Script)
            .is_ok()
}
