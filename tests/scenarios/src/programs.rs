// SPDX-License-Identifier: GPL-3.0-or-later
//! The programs under test: built once for each test process, from the same tree.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};

/// The directory of the programs, after making sure that they are up to date.
///
/// # Errors
/// If they cannot be built.
pub fn programs() -> anyhow::Result<&'static Path> {
    static DIRECTORY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    directory
        .as_deref()
        .map_err(|error| anyhow::anyhow!("cannot build the programs: {error}"))
}

/// The path of one program.
///
/// # Errors
/// If it cannot be built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    Ok(programs()?.join(name))
}

/// Cargo builds the programs of other packages only when asked, so ask. When nothing has changed
/// this takes a moment.
fn build() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("cannot find the test program")?;
    let profile = test
        .ancestors()
        .find(|dir| dir.join(".fingerprint").is_dir() || dir.join("build").is_dir())
        .context("the test program is not in a target directory")?;
    let name = profile.file_name().unwrap_or_default().to_string_lossy();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bins",
            "--manifest-path",
        ])
        .arg(manifest);
    command
        .arg("--target-dir")
        .arg(profile.parent().context("no target directory")?);
    if name == "release" {
        command.arg("--release");
    }
    let output = command.output().context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo build: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(profile.to_path_buf())
}
