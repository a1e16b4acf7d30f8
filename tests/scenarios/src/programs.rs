// SPDX-License-Identifier: GPL-3.0-or-later
//! The programs under test: built once for each test process, from the same tree.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};

/// The packages of the programs that the benchmark, the demo and tests in a release start.
const PACKAGES: [&str; 6] = [
    "connect-cli",
    "connect-core",
    "connect-ifscripts",
    "connect-pinger",
    "scenarios",
    "tripe-lab",
];

/// The directory of the programs, after making sure that they are up to date.
///
/// # Errors
/// If they cannot be built.
pub fn programs() -> anyhow::Result<&'static Path> {
    static DIRECTORY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let directory =
        DIRECTORY.get_or_init(|| build(Cargo::Silent).map_err(|error| format!("{error:#}")));
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

/// Makes sure that the programs are up to date, and lets Cargo show its progress.
///
/// # Errors
/// If they cannot be built.
pub fn build_aloud() -> anyhow::Result<()> {
    build(Cargo::Aloud).map(drop)
}

/// Whether Cargo shows its progress.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cargo {
    Aloud,
    /// What it said is part of the error if it fails.
    Silent,
}

/// The directory in which Cargo has built this program and all others.
pub(crate) fn profile() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("cannot find the test program")?;
    let profile = test
        .ancestors()
        .find(|dir| dir.join(".fingerprint").is_dir() || dir.join("build").is_dir());
    let profile = profile.context("the test program is not in a target directory")?;
    Ok(profile.to_owned())
}

/// Cargo builds the programs of other packages only when asked, so ask. When nothing has changed
/// this takes a moment.
fn build(progress: Cargo) -> anyhow::Result<PathBuf> {
    let profile = profile()?;
    let name = profile.file_name().unwrap_or_default().to_string_lossy();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--bins", "--manifest-path"])
        .arg(manifest);
    // In a release each program takes a minute to link, and these are built with the features that
    // they are shipped with. Otherwise `cargo test` has built all of them already, with the
    // features that the workspace has together.
    if name == "release" {
        command.args(
            PACKAGES
                .into_iter()
                .flat_map(|package| ["--package", package]),
        );
    } else {
        command.arg("--workspace");
    }
    command
        .arg("--target-dir")
        .arg(profile.parent().context("no target directory")?);
    if name == "release" {
        command.arg("--release");
    }
    match progress {
        Cargo::Silent => command.arg("--quiet"),
        Cargo::Aloud => command.stderr(Stdio::inherit()),
    };
    let output = command.output().context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo build: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(profile)
}
