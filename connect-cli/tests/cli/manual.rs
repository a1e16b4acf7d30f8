// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual pages: they must tell of everything that there is, and of nothing that there is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::{Arg, Command};
use connect_cli::command_line;
use connect_ipc::event::EventName;

use crate::support::Result;

fn page(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../man")
        .join(name);
    Ok(std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// The text under each heading of this kind, `Sh` or `Ss`, by its title.
fn sections(text: &str, kind: &str) -> BTreeMap<String, String> {
    let mut sections = BTreeMap::new();
    let mut title = None;
    for line in text.lines() {
        let heading = line.strip_prefix('.').and_then(|line| line.split_once(' '));
        match heading {
            Some(("Sh", name)) if kind == "Sh" => title = Some(name),
            Some(("Sh", _)) => title = None,
            Some(("Ss", name)) if kind == "Ss" => title = Some(name),
            _ => {}
        }
        if let Some(title) = title {
            let section: &mut String = sections.entry(title.to_owned()).or_default();
            section.push_str(line);
            section.push('\n');
        }
    }
    sections
}

/// The options that a text describes, each as an item of a list: `-x` and `--long`.
fn described(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix(".It Fl "))
        .flat_map(|item| item.split(" , Fl "))
        .filter_map(|option| {
            let mut words = option.split(' ');
            match (words.next()?, words.next()) {
                ("Fl", long) => Some(format!("--{}", long?)),
                (short, _) => Some(format!("-{short}")),
            }
        })
        .collect()
}

/// The options that a command takes.
fn taken<'a>(arguments: impl Iterator<Item = &'a Arg>) -> BTreeSet<String> {
    arguments
        .flat_map(|argument| {
            let short = argument.get_short().map(|short| format!("-{short}"));
            let long = argument.get_long().map(|long| format!("--{long}"));
            [short, long]
        })
        .flatten()
        .collect()
}

/// Every command that does something, by its full name.
fn commands<'a>(command: &'a Command, name: &str, all: &mut BTreeMap<String, &'a Command>) {
    for command in command.get_subcommands() {
        if command.is_hide_set() {
            continue;
        }
        let name = format!("{name}{}", command.get_name());
        if command.has_subcommands() && command.get_name() != "help" {
            commands(command, &format!("{name} "), all);
        } else {
            all.insert(name, command);
        }
    }
}

/// The command line, with what clap adds of its own.
fn built() -> Command {
    let mut cli = command_line();
    cli.build();
    cli
}

#[test]
fn every_command_and_option_is_described_and_no_other() -> Result {
    let page = page("connect-cli.1")?;
    let cli = built();
    let mut all = BTreeMap::new();
    commands(&cli, "", &mut all);
    all.retain(|name, _| !name.ends_with(" help"));
    let sections = sections(&page, "Ss");
    if let Some(name) = all.keys().find(|name| !sections.contains_key(*name)) {
        return Err(format!("man/connect-cli.1 has no `.Ss {name}'").into());
    }
    if let Some(title) = sections.keys().find(|title| !all.contains_key(*title)) {
        return Err(format!("man/connect-cli.1 has `.Ss {title}', which is no command").into());
    }
    for (name, command) in all {
        let text = &sections[&name];
        // Common options have a place of their own, and each command has --help.
        let own = command
            .get_arguments()
            .filter(|argument| !argument.is_global_set() && argument.get_id() != "help");
        assert_eq!(described(text), taken(own), "{name}");
        for argument in command.get_positionals() {
            let mut words = text.split(|c: char| !c.is_alphanumeric());
            let id = argument.get_id().as_str();
            let value = argument
                .get_value_names()
                .and_then(|names| names.first())
                .map_or_else(String::new, |name| name.to_lowercase());
            assert!(
                words.any(|word| word == id || word == value),
                "{name} does not mention {id}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_common_options_are_described_and_no_other() -> Result {
    let page = page("connect-cli.1")?;
    let sections = sections(&page, "Sh");
    let options = sections.get("OPTIONS").ok_or("no OPTIONS")?;
    assert_eq!(described(options), taken(built().get_arguments()));
    Ok(())
}

#[test]
fn the_exit_codes_are_those_of_the_help_text() -> Result {
    let page = page("connect-cli.1")?;
    let sections = sections(&page, "Sh");
    let section = sections.get("EXIT STATUS").ok_or("no EXIT STATUS")?;
    let described: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix(".It "))
        .collect();
    let help = command_line().render_long_help().to_string();
    let listed: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Exit codes:")
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(described, listed);
    Ok(())
}

/// The first words of the rows of a Markdown table that begins with this heading.
fn rows<'a>(text: &'a str, heading: &str) -> BTreeSet<&'a str> {
    text.lines()
        .skip_while(|line| !line.starts_with(heading))
        .skip(2)
        .map_while(|line| line.strip_prefix("| `")?.split('`').next())
        .collect()
}

#[test]
fn the_page_lists_every_kind_of_event_and_no_other() -> Result {
    let page = page("connect-cli.1")?;
    let (_, list) = page.split_once("The kinds are\n").ok_or("no list")?;
    let (list, _) = list.split_once(".It ").ok_or("no end of the list")?;
    let described: BTreeSet<&str> = list
        .split_whitespace()
        .filter(|word| !matches!(*word, ".Cm" | "," | "." | "and"))
        .collect();
    let kinds = EventName::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(described, kinds);
    Ok(())
}

#[test]
fn the_page_of_the_sockets_lists_every_counter_and_no_other() -> Result {
    let text = page("../docs/reference/sockets.md")?;
    let mut counters = connect_ipc::control::Counters::default();
    // It is left out while it counts nothing.
    counters.lookups.kept = 1;
    let counters = serde_json::to_value(counters)?;
    let counters = counters.as_object().ok_or("no object")?;
    let counters: BTreeSet<&str> = counters.keys().map(String::as_str).collect();
    assert_eq!(rows(&text, "| Counter |"), counters);
    Ok(())
}

#[test]
fn every_key_that_somebody_reads_is_described_and_no_other() -> Result {
    let page = page("peers.cdb.5")?;
    let described: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix(".It Cm "))
        .collect();
    let known: BTreeSet<&str> = connect_policy::keys::KEYS
        .iter()
        .map(|key| key.name)
        .collect();
    assert_eq!(described, known);
    Ok(())
}

#[test]
fn the_page_of_keys_has_each_of_them_and_no_other() -> Result {
    let page = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/record-keys.md"),
    )?;
    let rows = page.split("\n| Key | Value |").skip(1).flat_map(|table| {
        let rows = table.lines().skip(2);
        rows.take_while(|row| row.starts_with('|'))
    });
    let told: BTreeSet<&str> = rows
        .filter_map(|row| row.split('|').nth(1))
        // A cell may have several keys, each in backticks.
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|key| *key != "@inherit")
        .collect();
    let known: BTreeSet<&str> = connect_policy::keys::KEYS
        .iter()
        .map(|key| key.name)
        .collect();
    assert_eq!(told, known);
    Ok(())
}

#[test]
fn the_example_of_the_sources_page_compiles() -> Result {
    let page = page("peers.in.5")?;
    let examples = sections(&page, "Sh");
    let examples = examples.get("EXAMPLES").ok_or("no EXAMPLES")?;
    let source: String = examples
        .split(".Bd -literal -offset indent\n")
        .skip(1)
        .filter_map(|block| block.split(".Ed").next())
        .collect::<Vec<_>>()
        .join("\n");
    let place = crate::support::Place::new()?;
    place.write("peers.in", &source)?;
    let outcome = place.run("db compile --strict peers.in -o peers.cdb")?;
    assert_eq!(
        outcome.to_string(),
        "exit code 0\n--- standard output\n\
         peers.cdb: 3 peers, 1 user, 2 to be added at start-up\n"
    );
    Ok(())
}
