// SPDX-License-Identifier: GPL-3.0-or-later
//! Colour, closed and full outputs, usage, and completions.

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use connect_ipc::control::{PeerState, Reply};
use insta::assert_snapshot;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Place, Result, Script, peer, rows, service};

fn script() -> Result<Script> {
    let mut down = peer("bob", &[])?;
    (down.state, down.failed_checks) = (PeerState::Down, 1);
    Ok(Script::replies([
        Reply::Service(Box::new(service()?)),
        rows(vec![peer("alice", &[1.0])?, down]),
        Reply::Done {},
    ]))
}

/// What `status` writes to a terminal with this value of `NO_COLOR`.
fn on_terminal(no_color: Option<&str>) -> Result<String> {
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let terminal = File::options()
        .read(true)
        .write(true)
        .open(name.to_str()?)?;
    let mut command = place.command();
    command.arg("status").env("TERM", "xterm").stdout(terminal);
    if let Some(value) = no_color {
        command.env("NO_COLOR", value);
    }
    let status = command.status()?;
    assert!(status.success(), "{status}");
    core.asked()?;
    // The command holds the last open end of the terminal's other side; only when it is gone does
    // reading end.
    drop(command);
    let mut bytes = Vec::new();
    // Linux says EIO at the end instead of giving nothing.
    let _ = File::from(master).read_to_end(&mut bytes);
    Ok(String::from_utf8(bytes)?.replace("\r\n", "\n"))
}

#[test]
fn colour_is_for_terminals_alone_and_no_color_is_honoured() -> Result {
    let coloured = on_terminal(None)?;
    assert!(coloured.contains("\x1b[31mdown\x1b[0m"), "{coloured:?}");
    assert_eq!(on_terminal(Some(""))?, coloured);
    let plain = on_terminal(Some("1"))?;
    assert!(!plain.contains('\x1b'), "{plain:?}");

    let place = Place::new()?;
    let core = place.core(script()?)?;
    let piped = place.finish(place.command().arg("status").env("TERM", "xterm"))?;
    core.asked()?;
    assert_eq!(piped.stdout, plain);
    Ok(())
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() -> Result {
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let outcome = place.finish(place.command().arg("status").stdout(writer))?;
    core.asked()?;
    assert_eq!(outcome.to_string(), "exit code 0\n");
    for quiet in ["--help", "completions bash"] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let mut command = place.command();
        command.args(quiet.split(' ')).stdout(writer);
        assert_eq!(
            place.finish(&mut command)?.to_string(),
            "exit code 0\n",
            "{quiet}"
        );
    }
    Ok(())
}

#[test]
fn errors_that_nobody_can_read_still_give_their_code() -> Result {
    let place = Place::new()?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let mut command = place.command();
    let status = command
        .arg("status")
        .stdout(Stdio::null())
        .stderr(writer)
        .status()?;
    assert_eq!(status.code(), Some(69));
    Ok(())
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() -> Result {
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let full = File::options().write(true).open("/dev/full")?;
    let outcome = place.finish(place.command().arg("status").stdout(full))?;
    core.asked()?;
    assert_snapshot!(outcome);
    Ok(())
}

#[test]
fn a_wrong_command_line_is_told_with_code_2() -> Result {
    let place = Place::new()?;
    for line in [
        "nonsense",
        "info",
        "status --nonsense",
        "status --timeout x",
        "admin",
    ] {
        let outcome = place.run(line)?;
        assert_eq!(outcome.code, Some(2), "{line}: {outcome}");
        assert!(
            outcome.stdout.is_empty() && !outcome.stderr.is_empty(),
            "{line}"
        );
    }
    Ok(())
}

#[test]
fn version_and_help_go_to_standard_output() -> Result {
    let place = Place::new()?;
    let version = place.run("--version")?;
    assert_eq!(
        version.stdout,
        concat!("connect-cli ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert_snapshot!(place.finish(place.command().arg("--help").env("COLUMNS", "80"))?);
    Ok(())
}

#[test]
fn every_shell_gets_a_script_that_asks_this_program() -> Result {
    let place = Place::new()?;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = place.run(&format!("completions {shell}"))?;
        assert_eq!(outcome.code, Some(0), "{shell}");
        for word in ["CONNECT_CLI_COMPLETE", "connect-cli", shell] {
            assert!(outcome.stdout.contains(word), "{shell} lacks {word}");
        }
    }
    Ok(())
}
