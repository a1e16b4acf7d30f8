// SPDX-License-Identifier: GPL-3.0-or-later
//! What systemd tells of units, by `systemctl show` and `journalctl`.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use connect_runtime::paths::RUNTIME_VARIABLE;
use tokio::process::Command;

/// As much of a last line as is shown.
const LINE: usize = 300;

/// How a unit is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// There is no such unit.
    Missing,
    /// It is not running, and was not meant to.
    Inactive,
    /// It is running.
    Active,
    /// It has failed and is not started again.
    Failed,
    /// It is being started or stopped.
    Changing,
}

/// One unit.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) name: String,
    pub(crate) state: State,
    /// Why it does not run, if it should, as what comes after its name in a sentence.
    pub(crate) failure: Option<String>,
    /// How often systemd has restarted it by itself.
    pub(crate) restarts: u32,
    pub(crate) enabled: bool,
    /// The file that defines it.
    pub(crate) file: String,
    /// The runtime directory that it sets.
    pub(crate) runtime: Option<PathBuf>,
}

/// The properties that a [`Unit`] is made of.
const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,\
                          NRestarts,UnitFileState,FragmentPath,Environment";

/// Asks for units by name.
pub(crate) async fn show(names: &[&str], limit: Option<Duration>) -> io::Result<Vec<Unit>> {
    let mut command = Command::new("systemctl");
    command
        .args(["show", "--property", PROPERTIES, "--"])
        .args(names);
    Ok(parse(&output(command, limit).await?))
}

/// What systemd says when it starts a unit no longer. `Result` tells only of the failure before.
const GIVEN_UP: &str = "Start request repeated too quickly";

/// What an error begins with that lines of explanation follow.
const ERROR: &str = "error:";

/// Whether systemd has given a unit up, because it was started too often.
pub(crate) async fn is_given_up(unit: &str, limit: Option<Duration>) -> bool {
    let of_systemd = [format!("UNIT={unit}"), "_PID=1".to_owned()];
    let text = journal(4, &of_systemd, limit).await;
    text.is_ok_and(|text| text.contains(GIVEN_UP))
}

/// The last line that the processes of a unit have logged, or the last error if explanations follow
/// it; `None` if there is none, or if this user may not see it.
pub(crate) async fn last_line(unit: &str, limit: Option<Duration>) -> Option<String> {
    let of_processes = [format!("_SYSTEMD_UNIT={unit}")];
    let text = journal(10, &of_processes, limit).await.ok()?;
    last_line_of(&text)
}

/// The same, from what journalctl has printed.
pub(crate) fn last_line_of(text: &str) -> Option<String> {
    let lines = || text.lines().rev().filter(|line| !line.trim().is_empty());
    let line = lines()
        .find(|line| line.starts_with(ERROR))
        .or(lines().next())?;
    Some(line.chars().take(LINE).collect())
}

/// The last lines of the journal that match.
async fn journal(lines: u8, matches: &[String], limit: Option<Duration>) -> io::Result<String> {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--output=cat"]);
    command.arg(format!("--lines={lines}")).args(matches);
    output(command, limit).await
}

async fn output(mut command: Command, limit: Option<Duration>) -> io::Result<String> {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = match limit {
        Some(limit) => tokio::time::timeout(limit, running).await??,
        None => running.await?,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(said.trim_end().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads one block of properties for each unit, with an empty line between two.
pub(crate) fn parse(text: &str) -> Vec<Unit> {
    text.split("\n\n").filter_map(unit).collect()
}

fn unit(block: &str) -> Option<Unit> {
    let properties: HashMap<&str, &str> = block
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let get = |name| properties.get(name).copied().unwrap_or_default();
    let state = match (get("LoadState"), get("ActiveState")) {
        ("not-found", _) => State::Missing,
        (_, "active" | "reloading") => State::Active,
        (_, "failed") => State::Failed,
        (_, "activating" | "deactivating") => State::Changing,
        _ => State::Inactive,
    };
    let load = get("LoadState");
    let failure = if !matches!(load, "loaded" | "not-found" | "masked") {
        Some(format!("cannot be loaded ({load})"))
    } else if state == State::Failed || get("SubState") == "auto-restart" {
        Some(failure(get("Result"), get("ExecMainStatus")))
    } else {
        None
    };
    let runtime = get("Environment")
        .split_whitespace()
        .filter_map(|setting| setting.split_once('='))
        .find(|(name, _)| *name == RUNTIME_VARIABLE);
    Some(Unit {
        name: properties.get("Id").copied()?.to_owned(),
        state,
        failure,
        restarts: get("NRestarts").parse().unwrap_or(0),
        enabled: get("UnitFileState").starts_with("enabled"),
        file: get("FragmentPath").to_owned(),
        runtime: runtime.map(|(_, path)| path.into()),
    })
}

/// The meaning of `Result` of systemd.service(5), and of the status of the main process.
fn failure(result: &str, status: &str) -> String {
    match result {
        "start-limit-hit" => "was started too often".to_owned(),
        "service-start-limit-hit" => {
            "no longer listens, because it started core too often".to_owned()
        }
        "exit-code" => format!("ended with code {status}"),
        "signal" => format!("was ended by signal {status}"),
        "core-dump" => format!("crashed by signal {status}"),
        "watchdog" => "did not respond, so its watchdog ended it".to_owned(),
        "timeout" => "did not start or stop in time".to_owned(),
        "oom-kill" => "was ended because the host has no memory left".to_owned(),
        other => format!("could not be run ({other})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_of_properties_is_a_unit() {
        let units = parse(
            "Id=a.service\nLoadState=loaded\nActiveState=active\nSubState=running\n\
             Result=success\nNRestarts=2\nUnitFileState=enabled\n\
             Environment=X=1 TRIPE_CONNECT_DIR=/run/x\nFragmentPath=/lib/a\n\n\
             Id=b.service\nLoadState=not-found\nActiveState=inactive\n\n\
             Id=c.service\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\n\
             Result=exit-code\nExecMainStatus=69\n",
        );
        let [a, b, c] = units.as_slice() else {
            panic!("{units:?}");
        };
        assert_eq!((a.state, a.restarts, a.enabled), (State::Active, 2, true));
        assert_eq!(a.runtime, Some("/run/x".into()));
        assert_eq!((a.file.as_str(), &a.failure), ("/lib/a", &None));
        assert_eq!((b.state, &b.failure), (State::Missing, &None));
        let why = Some("ended with code 69".to_owned());
        assert_eq!((c.state, &c.failure), (State::Changing, &why));
    }

    #[test]
    fn a_unit_that_cannot_be_loaded_has_failed() {
        let block = "Id=a\nLoadState=bad-setting\nActiveState=inactive\n";
        let why = Some("cannot be loaded (bad-setting)".to_owned());
        assert_eq!(unit(block).unwrap().failure, why);
    }
}
