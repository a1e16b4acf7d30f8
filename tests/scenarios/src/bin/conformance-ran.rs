// SPDX-License-Identifier: GPL-3.0-or-later
//! `conformance-ran < OUTPUT`: reads what `cargo test` printed (or `cargo test -- --list`) and
//! fails if docs/reference/conformance.md or docs/development/security.md names a test that did not
//! run and pass.

use std::collections::HashSet;
use std::io::stdin;
use std::process::ExitCode;

use scenarios::conformance::{DOCUMENTS, root, rows};

fn main() -> anyhow::Result<ExitCode> {
    let mut ran = HashSet::new();
    for line in stdin().lines() {
        let line = line?;
        let passed = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... ok"));
        if let Some(name) = passed.or_else(|| line.strip_suffix(": test")) {
            ran.insert(name.to_owned());
        }
    }
    let mut missing = 0;
    for document in DOCUMENTS {
        for row in rows(&root(), document)? {
            for test in row.tests.iter().filter(|test| !ran.contains(test.shown())) {
                missing += 1;
                let line = row.line;
                eprintln!(
                    "{document}, line {line}: {} did not run and pass",
                    test.path
                );
            }
        }
    }
    if missing > 0 {
        eprintln!("{missing} tests are missing among {} that ran", ran.len());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
