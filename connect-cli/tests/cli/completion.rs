// SPDX-License-Identifier: GPL-3.0-or-later
//! Completion in the shells themselves, each on a terminal of its own: what stands on the command
//! line after the key was pressed.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command};

use connect_ipc::changes::{LoadedRecord, RecordPage};
use connect_ipc::control::Reply;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{PROGRAM, Place, Result, Script, peer, present, rows, service};

/// What the shells say when they wait for a command.
const PROMPT: &str = "READY>";

/// What stands before the command line when it is shown.
const MARK: &str = "LINE";

/// A shell on a terminal, to which somebody types.
struct Shell {
    child: Child,
    terminal: File,
}

impl Shell {
    fn start(place: &Place, command: &[&str]) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let slave = File::options()
            .read(true)
            .write(true)
            .open(name.to_str()?)?;
        let programs = Path::new(PROGRAM).parent().ok_or("no directory")?;
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .args(command)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .env("TERM", "dumb")
            .env("HOME", place.path(""))
            .env("PS1", format!("{PROMPT} "))
            .env("TRIPEDIR", place.path(""))
            .env("TRIPESOCK", place.path("tripesock"))
            .env("TRIPE_CONNECT_DIR", place.path(""))
            .current_dir(place.path(""))
            .stdin(slave.try_clone()?)
            .stdout(slave.try_clone()?)
            .stderr(slave)
            .spawn()?;
        let mut shell = Shell {
            child,
            terminal: File::from(master),
        };
        shell.until(PROMPT)?;
        Ok(shell)
    }

    /// Reads until the shell has written this, and gives what came before.
    fn until(&mut self, wanted: &str) -> Result<String> {
        let mut seen = Vec::new();
        let mut byte = [0];
        while self.terminal.read(&mut byte)? > 0 {
            seen.push(byte[0]);
            if seen.ends_with(wanted.as_bytes()) {
                let text = String::from_utf8_lossy(&seen).into_owned();
                return Ok(text.trim_end_matches(wanted).to_owned());
            }
        }
        Err("the shell has ended".into())
    }

    /// Gives the shell a command and waits until it has ended.
    fn command(&mut self, line: &str) -> Result {
        // The mark is not written as it is, so the echo of the command is not taken for it.
        write!(self.terminal, "{line}; printf '%s-%s\\n' {MARK} DONE\r")?;
        self.until(&format!("{MARK}-DONE"))?;
        self.until(PROMPT)?;
        Ok(())
    }

    /// What the command line is after it was typed and completed.
    fn complete(&mut self, line: &str) -> Result<String> {
        // To the beginning of the line, which then becomes the arguments of another command.
        write!(self.terminal, "{line}\t\x01printf '<%s>' {MARK} \x05 END\r")?;
        self.until(&format!("<{MARK}>"))?;
        let words = self.until("<END>")?;
        self.until(PROMPT)?;
        let words = words.trim_matches(['<', '>']).split("><");
        Ok(words.collect::<Vec<_>>().join(" "))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It ends when its terminal is closed; one that does not is ended.
        let _ = self.terminal.write_all(b"\x03\rexit\r");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bash(place: &Place) -> Result<Shell> {
    let mut shell = Shell::start(place, &["bash", "--norc", "--noprofile", "-i"])?;
    shell.command("source <(connect-cli completions bash)")?;
    Ok(shell)
}

/// As the package has it: the function is loaded from a file at the first completion.
fn zsh(place: &Place) -> Result<Shell> {
    let script = place.run("completions zsh")?;
    std::fs::create_dir_all(place.path("functions"))?;
    place.write("functions/_connect-cli", &script.stdout)?;
    let mut shell = Shell::start(place, &["zsh", "-f", "-i"])?;
    shell.command("unsetopt zle_bracketed_paste; fpath=($HOME/functions $fpath)")?;
    shell.command("autoload -U compinit && compinit -u -D")?;
    Ok(shell)
}

fn fish(place: &Place) -> Result<Shell> {
    let prompt = format!("function fish_prompt; echo '{PROMPT} '; end");
    let mut shell = Shell::start(place, &["fish", "--no-config", "-i", "-C", &prompt])?;
    shell.command("connect-cli completions fish | source")?;
    Ok(shell)
}

type Start = fn(&Place) -> Result<Shell>;

/// The shells that are here. Their Debian packages have their names.
fn shells() -> impl Iterator<Item = (&'static str, Start)> {
    let all: [(&str, Start); 3] = [("bash", bash), ("zsh", zsh), ("fish", fish)];
    all.into_iter().filter(|(name, _)| present(name, name))
}

#[test]
fn commands_options_and_kinds_are_completed_in_every_shell() -> Result {
    for (name, start) in shells() {
        let place = Place::new()?;
        let mut shell = start(&place)?;
        for (line, completed) in [
            ("connect-cli list-a", "connect-cli list-active"),
            ("connect-cli db expl", "connect-cli db explain"),
            ("connect-cli -d /tmp meth", "connect-cli -d /tmp meth"),
            ("connect-cli -d /tmp metr", "connect-cli -d /tmp metrics"),
            ("connect-cli status --wat", "connect-cli status --watch"),
            (
                "connect-cli events --kind unr",
                "connect-cli events --kind unreachable",
            ),
            (
                "connect-cli events --kind=unr",
                "connect-cli events --kind=unreachable",
            ),
            ("connect-cli db dump --js", "connect-cli db dump --json"),
            // A second name is taken and not offered.
            ("connect-cli versi", "connect-cli versi"),
        ] {
            assert_eq!(shell.complete(line)?, completed, "{name}: {line}");
        }
    }
    Ok(())
}

#[test]
fn names_of_peers_and_users_come_from_the_service_that_the_line_names() -> Result {
    let state = || -> Result<Script> {
        Ok(Script::replies([
            Reply::Service(Box::new(service()?)),
            rows(vec![peer("gateway-oslo", &[])?, peer("hub one", &[])?]),
            Reply::Done {},
        ]))
    };
    let records = || {
        let record = |peer: &str, pairs: &[(&str, &str)]| LoadedRecord {
            peer: peer.to_owned(),
            record: Some(
                pairs
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
            ),
            in_use: None,
        };
        Script::replies([Reply::Records(RecordPage {
            reloads: 1,
            records: vec![record("berlin", &[("user", "mobile")]), record("oslo", &[])],
            more: false,
        })])
    };
    for (name, start) in shells() {
        let place = Place::new()?;
        let mut shell = start(&place)?;
        for (line, completed, script) in [
            (
                "connect-cli info gat",
                "connect-cli info gateway-oslo",
                state()?,
            ),
            (
                "connect-cli status x gat",
                "connect-cli status x gateway-oslo",
                state()?,
            ),
            // Its name would be two words on the line.
            ("connect-cli kick hub", "connect-cli kick hub", state()?),
            (
                "connect-cli active ber",
                "connect-cli active berlin",
                records(),
            ),
            (
                "connect-cli userpeer mob",
                "connect-cli userpeer mobile",
                records(),
            ),
        ] {
            let core = place.core(script)?;
            assert_eq!(shell.complete(line)?, completed, "{name}: {line}");
            core.asked()?;
        }
        std::fs::create_dir(place.path("other"))?;
        let core = place.core_on("other/control.sock", 0o600, state()?)?;
        let line = "connect-cli --runtime-dir other events --peer gat";
        let completed = "connect-cli --runtime-dir other events --peer gateway-oslo";
        assert_eq!(shell.complete(line)?, completed, "{name}");
        core.asked()?;
        // Without a service there is nothing to offer, and no error on the terminal.
        let line = "connect-cli info gat";
        assert_eq!(shell.complete(line)?, line, "{name}");
    }
    Ok(())
}
