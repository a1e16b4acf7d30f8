// SPDX-License-Identifier: GPL-3.0-or-later
//! The record of what each path cost, and what it was counted with.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// By how much a path may become dearer without anybody asking why, in percent. The same program
/// counts the same but for hash tables, whose seeds are random, and for what the allocator does
/// once in a while: together less than one percent. The rest is room for changes that are not worth
/// a word.
const TOLERANCE: u64 = 5;

/// What was counted, with what.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Baseline {
    /// The compiler, in its own words: each makes other code.
    rustc: String,
    /// The C library, whose allocator and copying are counted as well.
    libc: String,
    /// Instructions of each path.
    pub paths: BTreeMap<String, u64>,
}

impl Baseline {
    fn file() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("baseline.json")
    }

    /// The record; empty if there is none yet.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let path = Self::file();
        let Ok(text) = std::fs::read_to_string(&path) else {
            return Ok(Baseline {
                rustc: "nothing".to_owned(),
                libc: String::new(),
                paths: BTreeMap::new(),
            });
        };
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes the record.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(Self::file(), text).context("cannot write the record")
    }

    /// What is counted with here and now; nothing counted yet.
    pub(crate) fn here() -> anyhow::Result<Self> {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let first_line = |program: &str, argument: &str| -> anyhow::Result<String> {
            let output = Command::new(program)
                .arg(argument)
                .output()
                .with_context(|| format!("cannot run {program}"))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok(text.lines().next().unwrap_or_default().to_owned())
        };
        Ok(Baseline {
            rustc: first_line(&rustc, "--version")?,
            libc: first_line("getconf", "GNU_LIBC_VERSION")?,
            paths: BTreeMap::new(),
        })
    }

    /// Why counts made here cannot be compared with these, if they cannot.
    pub(crate) fn differs_from(&self, here: &Baseline) -> Option<String> {
        for (recorded, now) in [(&self.rustc, &here.rustc), (&self.libc, &here.libc)] {
            if recorded != now {
                return Some(format!(
                    "recorded with {recorded}, and this is {now}; record again with \
                     `cargo run --profile counted -p instructions -- --record'"
                ));
            }
        }
        None
    }
}

/// What a count means beside the record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Not recorded yet.
    New,
    /// As recorded, within the tolerance.
    Same,
    /// Dearer.
    Dearer,
    /// Cheaper by more than the tolerance, which should be recorded.
    Cheaper,
}

impl Verdict {
    /// Compares a count.
    pub(crate) fn of(recorded: Option<u64>, now: u64) -> Self {
        let Some(recorded) = recorded else {
            return Verdict::New;
        };
        // A path of a few dozen instructions may gain one or two.
        let slack = (recorded * TOLERANCE / 100).max(5);
        if now > recorded + slack {
            Verdict::Dearer
        } else if now + slack < recorded {
            Verdict::Cheaper
        } else {
            Verdict::Same
        }
    }

    /// Whether nobody has to do anything.
    pub(crate) const fn is_good(self) -> bool {
        !matches!(self, Verdict::Dearer)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::New => "new: record it",
            Verdict::Same => "as recorded",
            Verdict::Dearer => "DEARER",
            Verdict::Cheaper => "cheaper: record it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_percent_are_no_news() {
        assert_eq!(Verdict::of(None, 1), Verdict::New);
        assert_eq!(Verdict::of(Some(1000), 1050), Verdict::Same);
        assert_eq!(Verdict::of(Some(1000), 1051), Verdict::Dearer);
        assert_eq!(Verdict::of(Some(1000), 949), Verdict::Cheaper);
        assert_eq!(Verdict::of(Some(20), 25), Verdict::Same);
    }

    #[test]
    fn counts_of_another_compiler_are_not_compared() {
        let one = Baseline {
            rustc: "rustc 1".to_owned(),
            libc: "glibc 2".to_owned(),
            paths: BTreeMap::new(),
        };
        assert_eq!(one.differs_from(&one), None);
        let other = Baseline {
            rustc: "rustc 2".to_owned(),
            ..one.clone()
        };
        assert!(
            one.differs_from(&other)
                .is_some_and(|why| why.contains("rustc 2"))
        );
    }

    #[test]
    fn the_record_names_every_path() {
        let recorded = Baseline::read().unwrap();
        for path in crate::paths::all() {
            assert!(recorded.paths.contains_key(path.name), "{}", path.name);
        }
    }
}
