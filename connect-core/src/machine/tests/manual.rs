// SPDX-License-Identifier: GPL-3.0-or-later
//! Our manual page connect(8) describes the commands that the machine has, and no others.

use std::collections::BTreeSet;

use connect_ipc::control::{Reply, Request};

use super::rig::Rig;

/// The page. It is read when the test runs, so that a change of it compiles nothing again.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/connect.8");

/// The names of the items of the first list in a section, without those of lists in its items.
fn items(section: &str) -> BTreeSet<String> {
    let mut depth = 0;
    let mut names = BTreeSet::new();
    for line in section.lines() {
        if line.starts_with(".Bl ") {
            depth += 1;
        } else if line == ".El" {
            depth -= 1;
            if depth == 0 {
                break;
            }
        } else if let Some(item) = line.strip_prefix(".It Cm ").filter(|_| depth == 1) {
            names.extend(item.split(' ').next().map(str::to_owned));
        }
    }
    names
}

#[test]
fn the_page_describes_every_command_and_no_other() {
    let mut rig = Rig::joined(&[], &[]);
    let words = vec!["help".to_owned()];
    rig.request(1, 1, Request::Submit { words });
    let listed = rig
        .answers
        .drain(..)
        .filter_map(|(_, answer)| match answer.reply {
            Reply::Line(words) => words.into_iter().next(),
            _ => None,
        });
    let commands: BTreeSet<String> = listed.collect();
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (_, section) = page.split_once(".Sh SERVICE COMMANDS\n").unwrap();
    let described = items(section);
    let missing: Vec<_> = commands.difference(&described).collect();
    let unknown: Vec<_> = described.difference(&commands).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "man/connect.8, \"SERVICE COMMANDS\", has no `.It Cm' for {missing:?}, and one for \
         {unknown:?}, which are no commands"
    );
}
