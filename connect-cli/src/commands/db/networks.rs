// SPDX-License-Identifier: GPL-3.0-or-later
//! The names of networks that this host knows: those in networks(5).

use std::collections::HashSet;
use std::fs;

/// Where they are.
pub(super) const FILE: &str = "/etc/networks";

/// Words that ip-route(8) accepts in place of a prefix.
const OF_ROUTES: [&str; 3] = ["default", "all", "any"];

/// The names that are known.
pub(crate) struct Networks(HashSet<String>);

impl Networks {
    /// Reads the file; without it, no name is known.
    pub(super) fn read() -> Self {
        Self::parse(&String::from_utf8_lossy(
            &fs::read(FILE).unwrap_or_default(),
        ))
    }

    /// Each line is a name, its number, and further names.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or(line));
        let names = lines.flat_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next();
            name.into_iter().chain(words.skip(1)).map(str::to_owned)
        });
        Networks(names.collect())
    }

    /// Whether the name stands for a network.
    pub(crate) fn has(&self, name: &str) -> bool {
        OF_ROUTES.contains(&name) || self.0.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_all_words_but_the_number() {
        let networks =
            Networks::parse("# all\nloopback 127.0.0.0\nlan\t10.1.0.0 office # x\n\nodd\n");
        for (name, known) in [
            ("loopback", true),
            ("lan", true),
            ("office", true),
            ("odd", true),
            ("default", true),
            ("10.1.0.0", false),
            ("x", false),
            ("foo", false),
        ] {
            assert_eq!(networks.has(name), known, "{name}");
        }
    }
}
