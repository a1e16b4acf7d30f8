// SPDX-License-Identifier: GPL-3.0-or-later
//! The pages of single commands, `man/commands/connect-cli-*.1`: they are made from the command
//! line's own description and must not be older than it.
//!
//! After a change, `UPDATE_PAGES=1 cargo test -p connect-cli --test cli -- pages::` makes them
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man;
use connect_cli::command_line;

use crate::support::Result;

fn manual() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../man")
}

/// Text as roff takes it.
fn escaped(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('×', "\\(mu");
    text.lines()
        .map(|line| {
            let guard = if line.starts_with(['.', '\'']) {
                "\\&"
            } else {
                ""
            };
            format!("{guard}{line}\n")
        })
        .collect()
}

/// The page of one command: what clap's help says of it, in the sections of a manual page.
fn page(name: &str, command: &Command, date: &str) -> Result<String> {
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let (more, examples) = help.split_once("Examples:\n").unwrap_or((&help, ""));
    let command = command.clone().display_name(name.to_owned()).after_help("");
    let man = Man::new(command.clone());
    let title = name.to_uppercase();
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(".TH {title} 1 \"{date}\" \"tripe\\-connect {version}\"\n").into_bytes();
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if !more.trim().is_empty() {
        text.extend(format!(".PP\n{}", escaped(more.trim())).bytes());
    }
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    if !examples.is_empty() {
        let examples: Vec<&str> = examples.lines().map(str::trim).collect();
        let examples = escaped(&examples.join("\n"));
        text.extend(format!(".SH EXAMPLES\n.nf\n{examples}.fi\n").bytes());
    }
    text.extend(b".SH \"SEE ALSO\"\n.BR connect\\-cli (1),\n.BR connect (8)\n");
    // Each part defines the apostrophe again; once is enough.
    let apostrophe = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";
    let text = String::from_utf8(text)?
        .replace(apostrophe, "")
        // A blank line is a break already.
        .replace(".br\n\n.br\n", "\n");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Ok(format!(
        ".\\\" SPDX-License-Identifier: GPL-3.0-or-later\n{apostrophe}{}\n",
        lines.join("\n")
    ))
}

/// The pages of a command's commands, and of theirs, by file name.
fn pages(command: &Command, name: &str, date: &str, all: &mut BTreeMap<String, String>) -> Result {
    for command in command.get_subcommands() {
        if command.get_name() == "help" || command.is_hide_set() {
            continue;
        }
        let name = format!("{name}-{}", command.get_name());
        all.insert(format!("{name}.1"), page(&name, command, date)?);
        pages(command, &name, date, all)?;
    }
    Ok(())
}

#[test]
fn the_pages_of_single_commands_are_up_to_date() -> Result {
    let mut cli = command_line();
    cli.build();
    let mut made = BTreeMap::new();
    // They change together with the page that they belong to, and have its date.
    let main = fs::read_to_string(manual().join("connect-cli.1"))?;
    let date = main.lines().find_map(|line| line.strip_prefix(".Dd "));
    pages(&cli, "connect-cli", date.ok_or("no date")?, &mut made)?;
    let directory = manual().join("commands");
    if std::env::var_os("UPDATE_PAGES").is_some() {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        for (name, text) in &made {
            fs::write(directory.join(name), text)?;
        }
    }
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        found.insert(name, fs::read_to_string(entry.path())?);
    }
    let names: BTreeSet<&String> = found.keys().chain(made.keys()).collect();
    for name in names {
        let fault = match (found.get(name), made.get(name)) {
            (found, made) if found == made => continue,
            (None, _) => "is missing",
            (_, None) => "is of a command that there is not",
            _ => "is stale",
        };
        return Err(format!(
            "man/commands/{name} {fault}: run UPDATE_PAGES=1 cargo test -p connect-cli --test cli \
             -- pages::"
        )
        .into());
    }
    Ok(())
}
