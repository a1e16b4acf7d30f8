// SPDX-License-Identifier: GPL-3.0-or-later
//! Compares a manual page with a command line: both must name the same options. The help must fit
//! on the usual terminal. The tests of each program use it.

use std::collections::BTreeSet;

use clap::Command;

/// The width of the usual terminal.
const TERMINAL: usize = 80;

/// The lines of the help that are wider than a terminal.
fn wide_lines(command: &mut Command) -> Vec<String> {
    let help = command.render_long_help().to_string();
    let wide = help.lines().filter(|line| line.chars().count() > TERMINAL);
    wide.map(|line| format!("the help is too wide: {line}"))
        .collect()
}

/// What a manual page and a command line do not have in common, and what is too wide in the help,
/// as sentences; empty if there is nothing.
/// `others` are long options that the page names though the program does not have them.
#[must_use]
pub fn disagreements(mut command: Command, page: &str, others: &[&str]) -> Vec<String> {
    command.build();
    let options = || {
        command
            .get_arguments()
            .filter(|option| !option.is_hide_set())
    };
    let known: BTreeSet<&str> = options().filter_map(clap::Arg::get_long).collect();
    let named: BTreeSet<&str> = page
        .split("Fl Fl ")
        .skip(1)
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '-')
                .next()
        })
        .collect();
    let missing = known
        .difference(&named)
        .map(|name| format!("the page lacks --{name}"));
    let strange = named
        .difference(&known)
        .filter(|name| !others.contains(name))
        .map(|name| format!("the program has no --{name}"));
    let is_named = |short: char| {
        let flag = format!("Fl {short}");
        let mut uses = page.split(&flag).skip(1);
        uses.any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
    };
    let short = options()
        .filter_map(clap::Arg::get_short)
        // What clap adds by itself may be named by the long form alone.
        .filter(|short| !['h', 'V'].contains(short) && !is_named(*short))
        .map(|short| format!("the page lacks -{short}"));
    let found: Vec<String> = missing.chain(strange).chain(short).collect();
    found.into_iter().chain(wide_lines(&mut command)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn a_help_that_is_wider_than_a_terminal_is_found() {
        let about = "word ".repeat(40);
        let command = |width| Command::new("x").about(about.clone()).term_width(width);
        assert_eq!(disagreements(command(80), "Fl Fl help", &[]), [""; 0]);
        let found = disagreements(command(100), "Fl Fl help", &[]);
        assert!(
            found
                .iter()
                .all(|line| line.starts_with("the help is too wide")),
            "{found:?}"
        );
        assert!(!found.is_empty());
    }

    #[test]
    fn every_kind_of_disagreement_is_found() {
        let command = || {
            Command::new("x")
                .disable_help_flag(true)
                .arg(Arg::new("a").short('a').long("alpha"))
                .arg(Arg::new("b").long("beta"))
        };
        assert_eq!(
            disagreements(command(), ".Fl a , Fl Fl alpha\n.Fl Fl beta", &[]),
            [""; 0]
        );
        assert_eq!(
            disagreements(
                command(),
                ".Fl Fl alpha .Fl Fl gamma .Fl Fl delta",
                &["delta"]
            ),
            [
                "the page lacks --beta",
                "the program has no --gamma",
                "the page lacks -a"
            ]
        );
    }
}
