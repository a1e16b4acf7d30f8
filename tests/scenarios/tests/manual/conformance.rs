// SPDX-License-Identifier: GPL-3.0-or-later
//! docs/conformance.md has no open row, and names only tests that exist.

use scenarios::Outcome;
use scenarios::conformance::{root, rows};

#[test]
fn every_row_names_a_test_and_every_test_named_exists() -> Outcome {
    let root = root();
    let mut faults = Vec::new();
    for row in rows(&root)? {
        if row.tests.is_empty() {
            faults.push(format!(
                "line {}: no test for {:?}",
                row.line, row.statement
            ));
        }
        for test in &row.tests {
            if !test.exists(&root)? {
                faults.push(format!("line {}: there is no test {}", row.line, test.path));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "docs/conformance.md:\n{}",
        faults.join("\n")
    );
    Ok(())
}
