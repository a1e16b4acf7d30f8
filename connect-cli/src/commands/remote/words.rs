// SPDX-License-Identifier: GPL-3.0-or-later
//! A command line without some of its options, in whatever form they were given.

use clap::{Arg, Command};

/// The words after the program's name without the options of these identifiers and their values.
/// `command` must be built.
pub(super) fn without(command: &Command, words: &[String], left_out: &[&str]) -> Vec<String> {
    let mut command = command;
    let mut kept = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let is_left_out = |arg: &Arg| left_out.contains(&arg.get_id().as_str());
        if word == "--" {
            kept.push(word.clone());
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long
                .split_once('=')
                .map_or((long, None), |(name, value)| (name, Some(value)));
            let arg = option(command, name);
            let takes_next = value.is_none() && arg.is_some_and(takes_value);
            let next = if takes_next { words.next() } else { None };
            if !arg.is_some_and(is_left_out) {
                kept.push(word.clone());
                kept.extend(next.cloned());
            }
        } else if let Some(cluster) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            // Only the last of several flags in one word can take a value.
            let valued = cluster.char_indices().find_map(|(at, letter)| {
                let arg = flag(command, letter).filter(|arg| takes_value(arg))?;
                Some((at, at + letter.len_utf8() == cluster.len(), arg))
            });
            let (before, next, gone) = match valued {
                Some((at, is_last, arg)) => {
                    let next = if is_last { words.next() } else { None };
                    (&cluster[..at], next, is_left_out(arg))
                }
                None => (cluster, None, false),
            };
            if !gone {
                kept.push(word.clone());
                kept.extend(next.cloned());
            } else if !before.is_empty() {
                kept.push(format!("-{before}"));
            }
        } else {
            kept.push(word.clone());
            match command.find_subcommand(word) {
                Some(inner) => command = inner,
                // The words that follow are for another program.
                None if command.get_positionals().any(Arg::is_trailing_var_arg_set) => break,
                None => {}
            }
        }
    }
    kept.extend(words.cloned());
    kept
}

/// The option of this name, which may be shortened as long as it stays unambiguous.
fn option<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let named = |arg: &&Arg| arg.get_long() == Some(name);
    let begun = |arg: &&Arg| arg.get_long().is_some_and(|long| long.starts_with(name));
    let arguments = || command.get_arguments();
    arguments().find(named).or_else(|| arguments().find(begun))
}

fn flag(command: &Command, letter: char) -> Option<&Arg> {
    command
        .get_arguments()
        .find(|arg| arg.get_short() == Some(letter))
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command line like ours.
    fn command() -> Command {
        let valued = |name: &'static str, letter| Arg::new(name).long(name).short(letter);
        let watch = Arg::new("watch")
            .long("watch")
            .short('w')
            .action(clap::ArgAction::SetTrue);
        let words = Arg::new("words").num_args(1..).trailing_var_arg(true);
        let mut command = Command::new("c")
            .arg(valued("host", 'H').global(true))
            .arg(valued("directory", 'd').global(true))
            .subcommand(Command::new("status").alias("list").arg(watch))
            .subcommand(Command::new("submit").arg(words.allow_hyphen_values(true)));
        command.build();
        command
    }

    #[test]
    fn an_option_is_left_out_however_it_was_given() {
        for (line, kept) in [
            ("-H a status", "status"),
            ("-Ha status", "status"),
            ("--host a status", "status"),
            ("--host=a status", "status"),
            ("--ho a status", "status"),
            ("status -H a -w", "status -w"),
            ("list -wH a", "list -w"),
            ("status -wHa", "status -w"),
            ("-d -H status", "-d -H status"),
            ("-dx -H a status", "-dx status"),
            ("--directory -H status", "--directory -H status"),
            ("-H a submit kick -H b", "submit kick -H b"),
            ("status -- -H a", "status -- -H a"),
            ("-H a,b -H c", ""),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let left = without(&command(), &words, &["host"]);
            assert_eq!(left.join(" "), kept, "{line}");
        }
    }
}
