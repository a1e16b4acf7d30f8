// SPDX-License-Identifier: GPL-3.0-or-later
//! A part of the service as a service of this machine's systemd: what the package's unit says of
//! its life, how it is started, and which process it has.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use connect_runtime::start_time::Stat;

use super::service::Part;

/// What is taken from the units. The rest is about users, directories and rights, which are others
/// here.
const LIFE: [&str; 11] = [
    "Type",
    "NotifyAccess",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "KillMode",
    "WatchdogSec",
    "RestartPreventExitStatus",
    "MemoryMax",
    "OOMPolicy",
    "LimitNOFILE",
    "TasksMax",
];

/// What is other than in the units: there a core that was asked to end stays away, a pause is
/// longer, and core fails for good after some deaths.
const INSTEAD: [&str; 3] = [
    "Restart=always",
    "RestartSec=100ms",
    "StartLimitIntervalSec=0",
];

/// The number of systemd.
const SYSTEMD: i32 = 1;

/// A unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit(pub(crate) Part);

impl Unit {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self.0 {
            Part::Core => "chaos-core.service",
            Part::Pinger => "chaos-pinger.service",
            Part::Scripts => "chaos-ifscripts.service",
        }
    }

    /// The package's unit.
    const fn text(self) -> &'static str {
        match self.0 {
            Part::Core => include_str!("../../../../packaging/systemd/tripe-connect.service"),
            Part::Pinger => {
                include_str!("../../../../packaging/systemd/tripe-connect-pinger.service")
            }
            Part::Scripts => {
                include_str!("../../../../packaging/systemd/tripe-connect-ifscripts.service")
            }
        }
    }

    fn properties(self) -> impl Iterator<Item = &'static str> {
        let is_taken = |line: &&str| {
            let key = line.split_once('=').map(|(key, _)| key);
            key.is_some_and(|key| LIFE.contains(&key))
        };
        self.text().lines().filter(is_taken).chain(INSTEAD)
    }

    /// The command with which systemd is told to run a program from now on, with the variable that
    /// marks it.
    pub(crate) fn start(self, program: &Command, mark: (&str, &Path), log: &Path) -> Command {
        let mut command = Command::new("systemd-run");
        command.args(["--quiet", "--no-block", "--unit", self.name()]);
        for property in self.properties() {
            command.args(["--property", property]);
        }
        let log = format!("append:{}", log.display());
        command
            .args(["--property", &format!("StandardOutput={log}")])
            .args(["--property", &format!("StandardError={log}")])
            .args(["--setenv", &format!("{}={}", mark.0, mark.1.display())])
            .arg("--")
            .arg(program.get_program())
            .args(program.get_args());
        quiet(command)
    }

    /// The command with which systemd is told to end all of them.
    pub(crate) fn stop_all() -> Command {
        let mut command = Command::new("systemctl");
        command.arg("stop");
        command.args(Part::ALL.map(|part| Unit(part).name()));
        quiet(command)
    }

    /// Its main process, if it has one; `last` is the one that it had. On a machine of its own, no
    /// other process has the name and systemd for a parent: scripts have the helper.
    pub(crate) fn pid(self, last: Option<i32>) -> Option<i32> {
        let is_it = |pid: &i32| {
            let found = fs::read_to_string(format!("/proc/{pid}/comm"));
            found.is_ok_and(|found| found.trim_end() == self.0.comm())
                && Stat::of(*pid).is_some_and(|stat| stat.parent == SYSTEMD)
        };
        last.filter(is_it).or_else(|| {
            let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
            let mut numbers = entries.filter_map(|it| it.file_name().to_str()?.parse().ok());
            numbers.find(is_it)
        })
    }
}

fn quiet(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_units_say_of_a_life_is_taken_from_them() {
        for (part, expected) in [
            (
                Part::Core,
                ["Type=notify", "WatchdogSec=30", "LimitNOFILE=4096"],
            ),
            (
                Part::Pinger,
                ["Type=notify", "WatchdogSec=30", "LimitNOFILE=256"],
            ),
            (
                Part::Scripts,
                ["Type=notify", "KillMode=process", "TasksMax=4096"],
            ),
        ] {
            let properties: Vec<&str> = Unit(part).properties().collect();
            for property in expected.iter().chain(&INSTEAD) {
                assert!(properties.contains(property), "{part:?} {property}");
            }
            assert!(!properties.iter().any(|it| it.starts_with("User=")));
        }
    }
}
