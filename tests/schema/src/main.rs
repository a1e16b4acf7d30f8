// SPDX-License-Identifier: GPL-3.0-or-later
//! Writes the schemas: `cargo run -p schema`, in the repository.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let folder = Path::new(schema::FOLDER);
    if folder.exists() {
        fs::remove_dir_all(folder).context("cannot remove the schemas of before")?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, schema) in schema::all() {
        let file = folder.join(name).with_extension("json");
        fs::write(&file, schema::text(&schema)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
