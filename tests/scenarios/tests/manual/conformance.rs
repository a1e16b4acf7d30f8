// SPDX-License-Identifier: GPL-3.0-or-later
//! docs/reference/conformance.md and docs/development/security.md have no open row, and name only
//! tests that exist.

use scenarios::Outcome;
use scenarios::conformance::{DOCUMENTS, root, rows};

#[test]
fn every_row_names_a_test_and_every_test_named_exists() -> Outcome {
    let root = root();
    let mut faults = Vec::new();
    for document in DOCUMENTS {
        for row in rows(&root, document)? {
            let place = format!("{document}, line {}", row.line);
            if row.tests.is_empty() {
                faults.push(format!("{place}: no test for {:?}", row.statement));
            }
            for test in &row.tests {
                if !test.exists(&root)? {
                    faults.push(format!("{place}: there is no test {}", test.path));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}
