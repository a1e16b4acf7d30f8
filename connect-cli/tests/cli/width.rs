// SPDX-License-Identifier: GPL-3.0-or-later
//! No text is wider than the usual terminal, or than `COLUMNS` says.

use clap::Command;
use connect_cli::command_line;
use connect_ipc::control::{FailedScript, PeerState, Reply};
use connect_ipc::scripts::{ScriptFailure, ScriptKind};

use crate::support::{Place, Result, Script, peer, rows, service};

/// The lines of the help of a command, and of the commands in it, that are wider than 80 columns.
fn too_wide(command: &mut Command, found: &mut Vec<String>) {
    let help = command.render_long_help().to_string();
    let wide = help.lines().filter(|line| line.chars().count() > 80);
    found.extend(wide.map(str::to_owned));
    for inner in command.get_subcommands_mut() {
        too_wide(inner, found);
    }
}

#[test]
fn every_help_fits_on_a_terminal() {
    let mut cli = command_line();
    cli.build();
    let mut found = Vec::new();
    too_wide(&mut cli, &mut found);
    assert_eq!(found, Vec::<String>::new());
}

/// The width of the widest line.
fn widest(text: &str) -> usize {
    let widths = text.lines().map(|line| line.chars().count());
    widths.max().unwrap_or_default()
}

#[test]
fn findings_and_errors_fit_where_columns_says_so() -> Result {
    let place = Place::new()?;
    let source = "[hub]\npeer = hub.example.org 4070\nwatch = t\nknock = x\nevery = 1d\nuser = a\n";
    place.write("peers.in", source)?;
    for (line, least) in [("db check peers.in", 100), ("status", 100)] {
        let run = |columns: Option<&str>| {
            let mut command = place.command();
            command.args(line.split(' '));
            if let Some(columns) = columns {
                command.env("COLUMNS", columns);
            }
            place.finish(&mut command)
        };
        // Elsewhere each is one line, which is easier to search.
        let whole = run(None)?;
        assert!(
            widest(&format!("{}{}", whole.stdout, whole.stderr)) > least,
            "{whole}"
        );
        for columns in [80, 60] {
            let broken = run(Some(&columns.to_string()))?;
            let text = format!("{}{}", broken.stdout, broken.stderr);
            assert!(widest(&text) <= columns, "{columns}: {broken}");
            assert_eq!(broken.code, whole.code);
        }
    }
    Ok(())
}

#[test]
fn a_table_fits_and_keeps_the_ports_of_addresses() -> Result {
    let mut troubled = peer("dynstatic", &[])?;
    troubled.address = Some("INET 198.18.0.3 4070".into());
    troubled.state = PeerState::Up;
    let failed = |kind, failure| FailedScript {
        kind,
        failure,
        ago: 5,
    };
    troubled.scripts.failed = vec![
        failed(ScriptKind::OnUp, ScriptFailure::Signal(15)),
        failed(ScriptKind::OnDown, ScriptFailure::NotStarted),
    ];
    let place = Place::new()?;
    let core = place.core(Script::replies([
        Reply::Service(Box::new(service()?)),
        rows(vec![troubled, peer("hub", &[1.5])?]),
        Reply::Done {},
    ]))?;
    let outcome = place.run("status")?;
    core.asked()?;
    let (_, table) = outcome.stdout.split_once("\n\n").ok_or("no table")?;
    assert!(widest(table) <= 80, "{outcome}");
    assert!(outcome.stdout.contains("198.18.0.3:4070"), "{outcome}");
    for columns in [30, 20] {
        let core = place.core(Script::replies([
            Reply::Service(Box::new(service()?)),
            rows(vec![peer("hub", &[1.5])?, peer("dynstatic", &[])?]),
            Reply::Done {},
        ]))?;
        let mut command = place.command();
        let narrow = place.finish(command.arg("status").env("COLUMNS", columns.to_string()))?;
        core.asked()?;
        assert!(widest(&narrow.stdout) <= columns, "{columns}: {narrow}");
        assert!(narrow.stdout.contains("\nPEER"), "{narrow}");
    }
    let words = "up, on-up killed (S15), on-down not started";
    let shown: Vec<&str> = outcome.stdout.split_whitespace().collect();
    for word in words.split(' ') {
        assert!(shown.contains(&word), "{word}: {outcome}");
    }
    Ok(())
}
