// SPDX-License-Identifier: GPL-3.0-or-later
//! systemd's units: has one of them failed or been given up, and are those that should run enabled
//! and active?

use std::path::Path;
use std::time::Duration;

use super::finding::Section;
use super::systemd::{self, State, Unit};
use crate::common::{Common, Pace};
use crate::output::text;

pub(super) const TARGET: &str = "tripe-connect.target";
const CORE: &str = "tripe-connect.service";
const METRICS: &str = "tripe-connect-metrics.service";

/// The units that the target starts.
const WANTED: [&str; 4] = [
    CORE,
    "tripe-connect-pinger.service",
    "tripe-connect-ifscripts.service",
    "tripe-connect-control.socket",
];

/// Checks the units, if they are here and are about the service that is asked for.
pub(crate) async fn check(common: &Common, section: &mut Section<'_>) {
    let names: Vec<&str> = [TARGET, METRICS].into_iter().chain(WANTED).collect();
    let limit = common.limit(Pace::Quick);
    let units = match systemd::show(&names, limit).await {
        Ok(units) => units,
        // Without systemd there are no units.
        Err(_) if !Path::new("/run/systemd/system").exists() => return,
        Err(error) => {
            let remedy = "run this as root, and see `systemctl status tripe-connect.target'";
            return section.warning(
                format!("systemd does not give the state of its units: {error}"),
                remedy,
            );
        }
    };
    if !are_about(common.runtime().path(), &units) {
        return;
    }
    for unit in &units {
        if let Some(why) = &unit.failure {
            broken(unit, why, limit, section).await;
        }
    }
    let well = units.iter().all(|unit| unit.failure.is_none());
    let find = |name: &str| units.iter().find(|unit| unit.name == name);
    if let Some(core) = find(CORE) {
        hidden(core, section);
    }
    let Some(target) = find(TARGET).filter(|target| target.state != State::Missing) else {
        return;
    };
    the_target(target, well, section);
    if target.state == State::Active {
        for unit in WANTED.into_iter().filter_map(find) {
            stopped(unit, section);
        }
    }
    if let Some(unit) = find(METRICS) {
        metrics(unit, section);
    }
}

/// Whether the units serve in this runtime directory; a service may also run without them.
fn are_about(runtime: &Path, units: &[Unit]) -> bool {
    units
        .iter()
        .any(|unit| unit.runtime.as_deref() == Some(runtime))
}

/// A unit that has failed for this reason, or that is started again and again.
async fn broken(unit: &Unit, why: &str, limit: Option<Duration>, section: &mut Section<'_>) {
    let name = &unit.name;
    let last = match systemd::last_line(name, limit).await {
        Some(line) => format!("; the last line of its log: {line}"),
        None => String::new(),
    };
    let log = format!("`journalctl -u {name}' says more");
    let (then, remedy) = if unit.state == State::Changing {
        let then = match unit.restarts {
            0 => ", and systemd starts it again".to_owned(),
            restarts => format!(
                ", and systemd starts it again (so far {})",
                text::count(restarts, "time")
            ),
        };
        (then, format!("correct the cause; {log}"))
    } else if systemd::is_given_up(name, limit).await {
        let then = ", and systemd no longer starts it, because it was started too often";
        let remedy = format!(
            "correct the cause, then `systemctl reset-failed 'tripe-connect*'' and `systemctl \
             restart {TARGET}'; {log}"
        );
        (then.to_owned(), remedy)
    } else {
        let remedy = format!("correct the cause, then `systemctl restart {TARGET}'; {log}");
        (String::new(), remedy)
    };
    section.fault(format!("{name} {why}{then}{last}"), &remedy);
}

/// A unit file of the original, which has the same name, is in the place of core's.
fn hidden(core: &Unit, section: &mut Section<'_>) {
    if core.state != State::Missing && core.runtime.is_none() {
        section.fault(
            format!("{} replaces core's unit {CORE}", core.file),
            &format!(
                "move that file away, then `systemctl daemon-reload' and `systemctl restart \
                 {TARGET}'"
            ),
        );
    }
}

/// The target itself; `well` says that no unit has failed.
fn the_target(target: &Unit, well: bool, section: &mut Section<'_>) {
    match (target.state, target.enabled) {
        (State::Active, true) => section.ok(format!("{TARGET} is active and enabled")),
        (State::Active, false) => section.warning(
            format!("{TARGET} is active but not enabled, so a reboot does not start it"),
            &format!("systemctl enable {TARGET}"),
        ),
        // That a unit has failed says more.
        (_, true) if !well => {}
        (_, true) => section.fault(
            format!("{TARGET} is enabled but not active"),
            &format!("systemctl start {TARGET}"),
        ),
        // It runs without the units.
        (_, false) => {}
    }
}

fn stopped(unit: &Unit, section: &mut Section<'_>) {
    let name = &unit.name;
    match unit.state {
        State::Missing => section.fault(
            format!("the unit {name} does not exist"),
            "install the package again",
        ),
        State::Inactive => section.fault(
            format!("{name} is stopped"),
            &format!("systemctl start {name}"),
        ),
        // As it does while it waits for its server: no reason to worry.
        State::Active if unit.restarts > 0 => section.ok(format!(
            "{name} is active; systemd has restarted it {}",
            text::count(unit.restarts, "time")
        )),
        State::Active | State::Failed | State::Changing => {}
    }
}

fn metrics(unit: &Unit, section: &mut Section<'_>) {
    match (unit.state, unit.enabled) {
        (State::Active, _) => section.ok(format!("{METRICS} is active")),
        (State::Inactive, true) => section.fault(
            format!("{METRICS} is enabled but stopped, so Prometheus gets no metrics"),
            &format!("systemctl start {METRICS}"),
        ),
        (State::Inactive, false) => section.ok(format!(
            "{METRICS} is not enabled; it would give metrics to Prometheus"
        )),
        (State::Missing | State::Failed | State::Changing, _) => {}
    }
}
