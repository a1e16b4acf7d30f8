// SPDX-License-Identifier: GPL-3.0-or-later
//! `db explain`: what the service would do with a peer, without doing it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use connect_ipc::pinger::PingPlan;
use connect_ipc::scripts::{Command, ScriptKind};
use connect_ipc::setup::Pair;
use connect_policy::adding::{self, NoAddress};
use connect_policy::pinging::{self, PingKind, WhenDead};
use connect_policy::resolving;
use connect_policy::scripts::{self, Script};
use connect_policy::{ValueError, environment};
use connect_runtime::exit::Exit;
use peerdb::{Database, Record};
use serde::Serialize;
use tripe_admin::{Interval, token};

use super::input;
use crate::common::Common;
use crate::completing;
use crate::error::{DbError, Error};
use crate::output::SCHEMA;
use crate::output::paint::Paint;
use crate::output::text;

/// Placeholders for an address that only a knock, a greeting or the server knows.
const ADDRESS: [&str; 3] = ["FAMILY", "ADDRESS", "PORT"];

/// The placeholder for the interface that the server will choose.
const IFNAME: &str = "IFNAME";

/// How wide labels are.
const LABEL: usize = 12;

/// Show what the service would do with a peer, without doing it
#[derive(Args, Debug)]
#[command(after_help = "\
    Shows the command that adds the peer, the scripts with their arguments and environment, how \
    the peer is pinged, and what happens when it does not answer, by the same rules that the \
    service uses. Words in capitals stand for what only the server knows.\n\n\
    Examples:\n\
    \x20 connect-cli db explain hub\n\
    \x20 connect-cli db explain hub /etc/tripe/peers.d --json | jq .pings")]
pub(crate) struct Explain {
    /// The peer's name.
    #[arg(add = completing::recorded())]
    peer: String,
    /// A database, or a file or directory of sources [default: the service's database].
    file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Everything that the service would do.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
struct Plan {
    /// The words of the `ADD` command; `null` if the record does not allow for one.
    add: Option<Vec<String>>,
    /// What makes the service give it.
    added_by: Vec<String>,
    /// The scripts that would be run, in the order of a peer's life.
    scripts: Vec<ScriptPlan>,
    /// The variables of `ifup`, `ifdown` and hooks that come from the record.
    environment: BTreeMap<String, String>,
    /// How it is pinged; `null` if it is not watched.
    pings: Option<PingsPlan>,
    /// The host name that is looked up again when the peer does not answer; `null` if none is.
    looked_up: Option<String>,
    /// Values that cannot be used as they are.
    faults: Vec<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
struct ScriptPlan {
    /// Which script.
    kind: ScriptKind,
    /// When it is run.
    when: &'static str,
    /// What is executed.
    command: Command,
    /// Its time limit in seconds; `null` for that of the service, which is none by default.
    limit: Option<u32>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
struct PingsPlan {
    /// `PING` or `EPING`.
    command: &'static str,
    #[serde(flatten)]
    plan: PingPlan,
    /// Seconds from the first ping without a reply until the peer counts as down.
    unreachable_after: u64,
    /// What happens to the peer then.
    then: UnreachableAction,
}

/// What happens to a peer that does not answer.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
enum UnreachableAction {
    /// A new key exchange, and the `connect` command.
    ReconnectByCommand,
    /// A new key exchange, which takes a knock along.
    ReconnectByKnock,
    /// It is removed.
    Kill,
    /// It is removed, and added again after a growing pause.
    KillAndRetry,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ExplainReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// The file of the database.
    file: String,
    /// The peer's name.
    peer: &'a str,
    #[serde(flatten)]
    plan: &'a Plan,
}

impl Explain {
    pub(crate) fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let file = input::or_default(self.file, common);
        let database = input::complete(&file, common)?;
        let Some(record) = database.peer(&self.peer) else {
            return Err(DbError::NoSuchPeer {
                path: file,
                peer: self.peer,
            }
            .into());
        };
        let plan = Plan::of(record, &database);
        if self.json {
            common.out.json(&ExplainReport {
                schema: SCHEMA,
                file: file.display().to_string(),
                peer: &self.peer,
                plan: &plan,
            })?;
        } else {
            for (line, paint) in plan.lines(&self.peer) {
                common.out.painted(paint, &line)?;
            }
        }
        Ok(Exit::Success)
    }
}

impl Plan {
    fn of(record: &Record, database: &Database) -> Self {
        let mut faults = Vec::new();
        let (add, added_by) = addition(record, database, &mut faults);
        let scripts = all_scripts(record, &mut faults);
        let pings = pinging::is_watched(record).then(|| {
            let (plan, kind, bad) = pinging::ping_plan(record, PingKind::default());
            faults.extend(bad.iter().map(ValueError::to_string));
            PingsPlan {
                command: kind.command(),
                plan,
                unreachable_after: u64::from(plan.timeout) * u64::from(plan.retries),
                then: UnreachableAction::of(record, database.is_auto(record.name())),
            }
        });
        Plan {
            add,
            added_by,
            scripts,
            environment: environment::environment(record, &[]).into_iter().collect(),
            pings,
            looked_up: resolving::looked_up(record)
                .filter(|_| pinging::is_watched(record))
                .map(|address| address.host),
            faults,
        }
    }

    fn lines(&self, name: &str) -> Vec<(String, Paint)> {
        let mut lines = vec![(format!("peer {}", text::clean(name)), Paint::Heading)];
        let mut say = |label: &str, text: &str| {
            lines.push((
                format!("  {label:<LABEL$}{}", text::clean(text)),
                Paint::Plain,
            ));
        };
        match &self.add {
            Some(words) => say("added", &token::join(words)),
            None => say("added", "not by this service"),
        }
        for cause in &self.added_by {
            say("", cause);
        }
        for script in &self.scripts {
            let shown = match &script.command {
                Command::Exec(words) => token::join(words),
                Command::Shell(line) => format!("/bin/sh -c {}", token::join([line])),
            };
            say(script.kind.name(), &shown);
            let limit = script.limit.filter(|limit| *limit > 0);
            let limit = limit.map_or_else(String::new, |limit| {
                format!(", for at most {}", text::span(limit.into()))
            });
            say("", &format!("{}{limit}", script.when));
        }
        match &self.pings {
            None => say("pinged", "no, since watch is not true"),
            Some(pings) => {
                for (at, line) in pings.lines(name).iter().enumerate() {
                    say(if at == 0 { "pinged" } else { "" }, line);
                }
            }
        }
        if let Some(host) = &self.looked_up {
            let text = format!("{host}, again when the peer does not answer");
            say("looked up", &text);
        }
        if let Some(heading) = self.environment_heading() {
            lines.push((String::new(), Paint::Plain));
            lines.push((heading.to_owned(), Paint::Heading));
            lines.extend(self.environment.iter().map(|(key, value)| {
                let line = format!("  {key}={}", text::clean(value));
                (line, Paint::Plain)
            }));
        }
        for fault in &self.faults {
            lines.push((format!("warning: {}", text::clean(fault)), Paint::Doubtful));
        }
        lines
    }

    /// What stands above the environment; `None` if no script has it.
    fn environment_heading(&self) -> Option<&'static str> {
        let has = |pair| self.scripts.iter().any(|script| script.kind.pair() == pair);
        Some(match (has(Pair::Interface), has(Pair::Hooks)) {
            (true, false) => "environment of ifup and ifdown, beside A_... from the server",
            (false, true) => "environment of hooks, beside A_... from the server and H_...",
            (true, true) => {
                "environment of ifup, ifdown and hooks, beside A_... from the server, and H_... of \
                 hooks"
            }
            (false, false) => return None,
        })
    }
}

/// A value. If it cannot be used, that is added to the faults, and the default is returned.
fn or_fault<T: Default>(value: Result<T, ValueError>, faults: &mut Vec<String>) -> T {
    value.unwrap_or_else(|error| {
        faults.push(error.to_string());
        T::default()
    })
}

/// The `ADD` command, and what makes the service give it.
fn addition(
    record: &Record,
    database: &Database,
    faults: &mut Vec<String>,
) -> (Option<Vec<String>>, Vec<String>) {
    let name = record.name();
    let options = or_fault(adding::options(record), faults);
    let mut causes = Vec::new();
    let address = match adding::address(record) {
        Ok(address) => {
            causes.push(format!("on the command `active {name}'"));
            if database.auto().iter().any(|auto| auto == name) {
                causes.push("with --startup".to_owned());
            }
            Some(address)
        }
        Err(NoAddress::Passive) => {
            let tag = record.get("key").unwrap_or(name);
            causes.push(format!(
                "when it knocks as `{name}' and proves the key `{tag}'"
            ));
            Some(ADDRESS.map(str::to_owned).to_vec())
        }
        Err(NoAddress::Missing | NoAddress::Blank) => {
            faults.push(format!(
                "peer {name} has no address: `peer' must be PASSIVE or an address"
            ));
            None
        }
    };
    let users = database.users().filter(|(_, peer)| *peer == name);
    causes.extend(users.map(|(user, _)| format!("when the greeting comes after `passive {user}'")));
    let add = address.map(|address| {
        let arguments = adding::arguments(&options, name, &address).map(str::to_owned);
        std::iter::once("ADD".to_owned()).chain(arguments).collect()
    });
    (add, causes)
}

/// A hook, which only a peer that is watched has run.
fn hook(record: &Record, kind: ScriptKind) -> Result<Option<Script>, ValueError> {
    if !pinging::is_watched(record) {
        return Ok(None);
    }
    scripts::interface_script(record, kind, vec![record.name().to_owned()], &[])
}

/// The scripts of a peer, in the order of its life.
fn all_scripts(record: &Record, faults: &mut Vec<String>) -> Vec<ScriptPlan> {
    let name = record.name();
    let up = scripts::ifup_arguments(name, IFNAME, ADDRESS.map(str::to_owned).to_vec());
    let down = vec![name.to_owned()];
    let kinds = [
        (
            ScriptKind::Ifup,
            "whenever it has been added",
            scripts::interface_script(record, ScriptKind::Ifup, up, &[]),
        ),
        (
            ScriptKind::Connect,
            "whenever it has been added, and when it does not answer",
            scripts::shell_script(record, ScriptKind::Connect),
        ),
        (
            ScriptKind::OnUp,
            "when it has come to be connected",
            hook(record, ScriptKind::OnUp),
        ),
        (
            ScriptKind::OnDown,
            "when it is connected no more",
            hook(record, ScriptKind::OnDown),
        ),
        (
            ScriptKind::Disconnect,
            "whenever it has been removed",
            scripts::shell_script(record, ScriptKind::Disconnect),
        ),
        (
            ScriptKind::Ifdown,
            "whenever it has been removed",
            scripts::interface_script(record, ScriptKind::Ifdown, down, &[]),
        ),
    ];
    let mut plans = Vec::new();
    for (kind, when, script) in kinds {
        let Some(Script { command, .. }) = or_fault(script, faults) else {
            continue;
        };
        let limit = or_fault(scripts::limit(record, kind), faults);
        plans.push(ScriptPlan {
            kind,
            when,
            command,
            limit: limit.map(Interval::seconds),
        });
    }
    plans
}

impl UnreachableAction {
    fn of(record: &Record, auto: bool) -> Self {
        if record.get("connect").is_some() {
            UnreachableAction::ReconnectByCommand
        } else if pinging::is_dynamic(record) {
            UnreachableAction::ReconnectByKnock
        } else if auto && WhenDead::of(record) == WhenDead::Retry {
            UnreachableAction::KillAndRetry
        } else {
            UnreachableAction::Kill
        }
    }
}

impl PingsPlan {
    fn lines(&self, name: &str) -> Vec<String> {
        let span = |seconds: u32| text::span(seconds.into());
        let plan = &self.plan;
        let timeout = plan.timeout.to_string();
        let end_of_options = name.starts_with('-').then_some("--");
        let words = [self.command, "-timeout", &timeout];
        let command = token::join(words.into_iter().chain(end_of_options).chain([name]));
        let mut lines = vec![
            format!("{command}, every {}", span(plan.every)),
            format!(
                "unreachable after {} pings without a reply in {} each",
                plan.retries,
                span(plan.timeout)
            ),
        ];
        let again = format!(
            "tried again after {}, at longest after {}",
            span(plan.backoff),
            span(plan.backoff_max)
        );
        match self.then {
            UnreachableAction::ReconnectByCommand => {
                lines.extend(["then: FORCEKX and the connect command".to_owned(), again]);
            }
            UnreachableAction::ReconnectByKnock => {
                lines.extend(["then: FORCEKX".to_owned(), again]);
            }
            UnreachableAction::Kill => lines.push("then: KILL".to_owned()),
            UnreachableAction::KillAndRetry => lines.push(format!(
                "then: KILL, and added again after {}; the pause doubles, up to {}",
                span(plan.backoff),
                span(plan.backoff_max)
            )),
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_policy::keys::{Kind, add_options};

    #[test]
    fn every_option_of_add_in_the_table_is_explained() {
        for key in add_options() {
            let option = format!("-{}", key.name);
            let value = if key.kind == Kind::Flag { "t" } else { "30s" };
            let record = Record::new("p", [("peer", "INET hub 4070"), (key.name, value)]);
            let database = Database::from_parts([record.clone()], [], []);
            let plan = Plan::of(&record, &database);
            let mut expected = vec!["ADD", &option];
            expected.extend((key.kind != Kind::Flag).then_some(value));
            expected.extend(["p", "INET", "hub", "4070"]);
            assert_eq!(plan.add.as_ref().unwrap(), &expected);
            let line = plan.lines("p")[1].0.clone();
            assert!(line.contains(&option), "{line}");
            let variable = format!("P_{}", key.name.to_uppercase());
            assert_eq!(plan.environment[&variable], value);
        }
    }
}
