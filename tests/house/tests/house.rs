// SPDX-License-Identifier: GPL-3.0-or-later
//! The sources as they are, against the list of what is known not to be as it should.

use std::path::Path;

#[test]
fn the_sources_are_as_they_should_be_except_for_what_is_known() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let known = include_str!("../known.txt");
    let differences = house::differences(&house::findings(&root)?, known);
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
    Ok(())
}
