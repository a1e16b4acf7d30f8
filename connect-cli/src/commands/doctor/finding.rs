// SPDX-License-Identifier: GPL-3.0-or-later
//! What the doctor has found.

use serde::Serialize;

use crate::output::text;

/// What to do about a fault of the service that does not say it itself.
pub(crate) const LOOK_IN_LOG: &str = "look at the log of the service";

/// The result of one check.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Severity {
    /// All right.
    Ok,
    /// It works, but should be looked at.
    Warning,
    /// It does not work, or is not safe.
    Fault,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Area {
    /// Directories and sockets, and who may use them.
    Files,
    /// The tripe server.
    Server,
    /// The connect service and its helpers.
    Service,
    /// The units of systemd.
    Units,
    /// The peer database.
    Database,
    /// The scripts that the database names, and how they ended.
    Scripts,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) area: Area,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The result of one check.
    pub(crate) text: String,
    /// What to do about it.
    pub(crate) remedy: Option<String>,
}

/// Everything that was looked at, in that order.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub(crate) struct Findings(Vec<Finding>);

/// The findings on one area, as they are made.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    area: Area,
    findings: &'a mut Findings,
}

impl Section<'_> {
    /// Something is all right.
    pub(crate) fn ok(&mut self, text: impl AsRef<str>) {
        self.push(Severity::Ok, text.as_ref(), None);
    }

    /// Something should be looked at.
    pub(crate) fn warning(&mut self, text: impl AsRef<str>, remedy: &str) {
        self.push(Severity::Warning, text.as_ref(), Some(remedy));
    }

    /// Something is at fault.
    pub(crate) fn fault(&mut self, text: impl AsRef<str>, remedy: &str) {
        self.push(Severity::Fault, text.as_ref(), Some(remedy));
    }

    /// Something is at fault, and the sentence that says so has what to do after its last
    /// semicolon; if it has none, `otherwise` is what to do.
    pub(crate) fn fault_with_remedy(&mut self, text: impl AsRef<str>, otherwise: &str) {
        let text = text.as_ref();
        let (text, remedy) = text.split_once("; ").unwrap_or((text, otherwise));
        self.push(Severity::Fault, text, Some(remedy));
    }

    fn push(&mut self, severity: Severity, text: &str, remedy: Option<&str>) {
        self.findings.0.push(Finding {
            area: self.area,
            severity,
            text: text::without_numbers(text).into_owned(),
            remedy: remedy.map(|remedy| text::without_numbers(remedy).into_owned()),
        });
    }
}

impl Findings {
    /// Where the findings on an area go.
    pub(crate) fn section(&mut self, area: Area) -> Section<'_> {
        Section {
            area,
            findings: self,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// Whether anything has this severity.
    pub(crate) fn any(&self, severity: Severity) -> bool {
        self.0.iter().any(|finding| finding.severity == severity)
    }

    /// Whether a fault was found in an area.
    pub(crate) fn is_at_fault(&self, area: Area) -> bool {
        let mut findings = self.0.iter().filter(|finding| finding.area == area);
        findings.any(|finding| finding.severity == Severity::Fault)
    }

    /// One sentence on all of it.
    pub(crate) fn summary(&self) -> String {
        let count = |severity| self.0.iter().filter(|f| f.severity == severity).count();
        let faults = (count(Severity::Fault), "fault");
        let warnings = (count(Severity::Warning), "warning");
        text::counts([faults, warnings], "All is well.")
    }
}
