// SPDX-License-Identifier: GPL-3.0-or-later
//! Has what the benchmark measures beside: Debian's packages, installed if that is ours to do.

use std::process::{Command, Stdio};

use crate::rows::progress;

/// Programs, each with its package.
const PROGRAMS: [(&str, &str); 3] = [
    ("fping", "fping"),
    ("/usr/lib/frr/bfdd", "frr"),
    ("keepalived", "keepalived"),
];

/// Installs what is missing. That it cannot be had is no error: its column says so.
pub(crate) fn prepare() {
    for (program, package) in PROGRAMS {
        if is_there(program) {
            continue;
        }
        if !rustix::process::geteuid().is_root() {
            progress(&format!("{program} is missing: apt-get install {package}"));
            continue;
        }
        progress(&format!("installing {package}"));
        let apt = |arguments: &[&str]| {
            let status = Command::new("apt-get")
                .args(arguments)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status();
            status.is_ok_and(|status| status.success())
        };
        let install = ["install", "-qy", "--no-install-recommends", package];
        // The lists of packages may be old or missing, so they are fetched if need be.
        let installed = apt(&install) || (apt(&["update", "-q"]) && apt(&install));
        if !installed {
            progress(&format!("{package} cannot be installed"));
        }
    }
}

fn is_there(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}
