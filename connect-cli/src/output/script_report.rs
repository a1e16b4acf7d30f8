// SPDX-License-Identifier: GPL-3.0-or-later
//! What `--json` says about scripts: those that have ended, have failed, or were asked for.

use std::collections::BTreeMap;

use connect_ipc::control::{FailedScript, RecentScript, ScriptPlan};
use connect_ipc::scripts::{Command, Ended, ScriptFailure, ScriptKind, Stream};
use serde::Serialize;

use super::SCHEMA;

/// A script that has ended.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RecentReport<'a> {
    /// `ifup`, `ifdown`, `connect`, `disconnect`, `on-up` or `on-down`.
    pub(crate) kind: ScriptKind,
    /// `exited`, `signal`, `unknown`, `not-started`, `timed-out`, `stopped` or `lost`.
    pub(crate) end: &'static str,
    /// The exit status or the signal, if it ended by one.
    pub(crate) code: Option<i64>,
    /// Why it could not be started.
    pub(crate) reason: Option<&'a str>,
    /// Seconds since then.
    pub(crate) ago: u64,
    /// Its last lines of output.
    pub(crate) output: &'a [String],
}

impl<'a> From<&'a RecentScript> for RecentReport<'a> {
    fn from(script: &'a RecentScript) -> Self {
        let (end, code, reason) = end(&script.end);
        RecentReport {
            kind: script.kind,
            end,
            code,
            reason,
            ago: script.ago,
            output: &script.output,
        }
    }
}

/// How a script ended: a word, the exit status or the signal, and why it could not be started.
fn end(end: &Ended) -> (&'static str, Option<i64>, Option<&str>) {
    let (word, code) = match end.failure() {
        Some(failure) => failed(failure),
        None if *end == Ended::Stopped => ("stopped", None),
        None => ("exited", Some(0)),
    };
    let reason = match end {
        Ended::NotStarted(why) => Some(why.as_str()),
        _ => None,
    };
    (word, code, reason)
}

/// What went wrong: a word, and the exit status or the signal.
fn failed(failure: ScriptFailure) -> (&'static str, Option<i64>) {
    match failure {
        ScriptFailure::Exited(status) => ("exited", Some(status.into())),
        ScriptFailure::Signal(signal) => ("signal", Some(signal.into())),
        ScriptFailure::Unknown(status) => ("unknown", Some(status.into())),
        ScriptFailure::NotStarted => ("not-started", None),
        ScriptFailure::TimedOut => ("timed-out", None),
        ScriptFailure::Lost => ("lost", None),
    }
}

/// A script whose latest run did not end well.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) struct FailedScriptReport {
    /// Which script.
    pub(crate) kind: ScriptKind,
    /// `exited`, `signal`, `unknown`, `not-started`, `timed-out` or `lost`.
    pub(crate) end: &'static str,
    /// The exit status or the signal, if it ended by one.
    pub(crate) code: Option<i64>,
    /// Seconds since then.
    pub(crate) ago: u64,
}

impl From<&FailedScript> for FailedScriptReport {
    fn from(script: &FailedScript) -> Self {
        let (end, code) = failed(script.failure);
        FailedScriptReport {
            kind: script.kind,
            end,
            code,
            ago: script.ago,
        }
    }
}

/// A script that was run for an operator, or was to be.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ScriptRunReport<'a> {
    /// The version of this output, 1.
    pub(crate) schema: u32,
    /// The peer's name.
    pub(crate) peer: &'a str,
    /// Which script.
    pub(crate) script: ScriptKind,
    /// Whether it exited with status 0.
    pub(crate) ok: bool,
    /// Its process number, if it was started.
    pub(crate) pid: Option<i32>,
    /// What it wrote, in this order.
    pub(crate) output: &'a [OutputLine],
    /// How it ended, as in [`RecentReport::end`]; `null` if the service refused.
    pub(crate) end: Option<&'static str>,
    /// The exit status or the signal, if it ended by one.
    pub(crate) code: Option<i64>,
    /// Why it could not be started.
    pub(crate) reason: Option<&'a str>,
    /// Code and arguments, if the service refused.
    pub(crate) failure: Option<&'a [String]>,
}

/// A line that a script wrote.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct OutputLine {
    /// Where it wrote it.
    pub(crate) stream: Stream,
    /// The line.
    pub(crate) line: String,
}

impl<'a> ScriptRunReport<'a> {
    /// The service has refused to run it.
    pub(crate) fn refused(peer: &'a str, script: ScriptKind, failure: &'a [String]) -> Self {
        ScriptRunReport {
            schema: SCHEMA,
            peer,
            script,
            ok: false,
            pid: None,
            output: &[],
            end: None,
            code: None,
            reason: None,
            failure: Some(failure),
        }
    }

    /// It has ended.
    pub(crate) fn ended(
        peer: &'a str,
        script: ScriptKind,
        pid: Option<i32>,
        output: &'a [OutputLine],
        ended: &'a Ended,
    ) -> Self {
        let (word, code, reason) = end(ended);
        ScriptRunReport {
            schema: SCHEMA,
            peer,
            script,
            ok: ended.failure().is_none(),
            pid,
            output,
            end: Some(word),
            code,
            reason,
            failure: None,
        }
    }
}

/// What a script would execute.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ScriptPlanReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// The peer's name.
    peer: &'a str,
    /// Which script.
    script: ScriptKind,
    /// `{"exec":[WORDS]}`.
    command: &'a Command,
    /// The variables beside those of the script helper.
    environment: BTreeMap<&'a str, &'a str>,
    /// Seconds that it may take; `null` for no limit.
    limit: Option<u32>,
}

impl<'a> ScriptPlanReport<'a> {
    pub(crate) fn new(peer: &'a str, script: ScriptKind, plan: &'a ScriptPlan) -> Self {
        let variables = plan.environment.iter();
        ScriptPlanReport {
            schema: SCHEMA,
            peer,
            script,
            command: &plan.command,
            environment: variables.map(|(name, value)| (&**name, &**value)).collect(),
            limit: plan.limit,
        }
    }
}
