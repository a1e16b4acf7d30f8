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

/// Why a unit does not run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// It was started too often within a short time.
    StartLimit,
    /// Anything else, as what comes after its name in a sentence.
    Other(String),
}

/// One unit.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) name: String,
    pub(crate) state: State,
    /// Why its most recent run ended badly, unless it runs again.
    pub(crate) failure: Option<Failure>,
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

/// The last line that the processes of a unit have logged; `None` if there is none, or if this user
/// may not see it.
pub(crate) async fn last_line(unit: &str, limit: Option<Duration>) -> Option<String> {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--output=cat", "--lines=1"]);
    // Not --unit, which also has what systemd itself says of the unit.
    command.arg(format!("_SYSTEMD_UNIT={unit}"));
    let text = output(command, limit).await.ok()?;
    let line = text.trim_end().lines().last()?;
    Some(line.chars().take(LINE).collect())
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
fn parse(text: &str) -> Vec<Unit> {
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
        Some(Failure::Other(format!("cannot be loaded ({load})")))
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
fn failure(result: &str, status: &str) -> Failure {
    Failure::Other(match result {
        "start-limit-hit" => return Failure::StartLimit,
        "exit-code" => format!("ended with code {status}"),
        "signal" => format!("was ended by signal {status}"),
        "core-dump" => format!("crashed by signal {status}"),
        "watchdog" => "stood still, and its watchdog ended it".to_owned(),
        "timeout" => "did not start or stop in time".to_owned(),
        "oom-kill" => "was ended because the machine is out of memory".to_owned(),
        other => format!("could not be run ({other})"),
    })
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
        let why = Failure::Other("ended with code 69".to_owned());
        assert_eq!((c.state, &c.failure), (State::Changing, &Some(why)));
    }

    #[test]
    fn a_start_limit_is_told_apart() {
        let block = "Id=a\nLoadState=loaded\nActiveState=failed\nResult=start-limit-hit\n";
        assert_eq!(unit(block).unwrap().failure, Some(Failure::StartLimit));
        let block = "Id=a\nLoadState=bad-setting\nActiveState=inactive\n";
        let why = Failure::Other("cannot be loaded (bad-setting)".to_owned());
        assert_eq!(unit(block).unwrap().failure, Some(why));
    }
}
