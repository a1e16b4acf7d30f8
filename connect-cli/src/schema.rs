// SPDX-License-Identifier: GPL-3.0-or-later
//! The JSON Schemas of what `--json` prints, made from the types that it is printed from.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::commands::admin::BroadcastReport;
use crate::commands::db::check::CheckReport;
use crate::commands::db::compile::CompileReport;
use crate::commands::db::diff::DiffReport;
use crate::commands::db::dump::DumpReport;
use crate::commands::db::explain::ExplainReport;
use crate::commands::doctor::DoctorReport;
use crate::commands::events::LineReport;
use crate::commands::info::InfoReport;
use crate::commands::ping::{EchoReport, TotalReport};
use crate::commands::reload::ReloadReport;
use crate::commands::remote::HostsReport;
use crate::commands::status::Head;
use crate::output::report::CommandReport;
use crate::output::script_report::{ScriptPlanReport, ScriptRunReport};

/// What one or several commands print with `--json`.
#[derive(Clone, Copy, Debug)]
pub struct Printed {
    /// The schema's name, and its file's without `.json`.
    pub name: &'static str,
    /// What prints it, for its title.
    pub title: &'static str,
    /// The names of the types, and their schemas.
    pub make: fn(&mut SchemaGenerator) -> Vec<Schema>,
}

fn one<T: JsonSchema>(generator: &mut SchemaGenerator) -> Vec<Schema> {
    vec![generator.subschema_for::<T>()]
}

fn either<T: JsonSchema, U: JsonSchema>(generator: &mut SchemaGenerator) -> Vec<Schema> {
    vec![
        generator.subschema_for::<T>(),
        generator.subschema_for::<U>(),
    ]
}

fn any_of_three<T: JsonSchema, U: JsonSchema, V: JsonSchema>(
    generator: &mut SchemaGenerator,
) -> Vec<Schema> {
    let mut all = either::<T, U>(generator);
    all.extend(one::<V>(generator));
    all
}

/// Everything that `--json` prints.
pub const PRINTED: &[Printed] = &[
    Printed {
        name: "status",
        title: "connect-cli status --json, and list --json",
        make: one::<Head<'_>>,
    },
    Printed {
        name: "info",
        title: "connect-cli info --json; the second form if the service refuses",
        make: either::<InfoReport<'_>, CommandReport<'_>>,
    },
    Printed {
        name: "events",
        title: "connect-cli events --json: each line",
        make: one::<LineReport<'_>>,
    },
    Printed {
        name: "ping",
        title: "connect-cli ping --json: each line; after several pings the last line has their \
                figures, and the last form is printed if the service refuses",
        make: any_of_three::<EchoReport<'_>, TotalReport<'_>, CommandReport<'_>>,
    },
    Printed {
        name: "command",
        title: "connect-cli submit, active, kill, kick and others that give a command, with --json",
        make: one::<CommandReport<'_>>,
    },
    Printed {
        name: "script",
        title: "connect-cli ifup --json and ifdown --json, also with --dry-run",
        make: either::<ScriptRunReport<'_>, ScriptPlanReport<'_>>,
    },
    Printed {
        name: "reload",
        title: "connect-cli reload --json",
        make: one::<ReloadReport<'_>>,
    },
    Printed {
        name: "admin",
        title: "connect-cli admin --json; with --watch each line",
        make: either::<CommandReport<'_>, BroadcastReport<'_>>,
    },
    Printed {
        name: "doctor",
        title: "connect-cli doctor --json",
        make: one::<DoctorReport<'_>>,
    },
    Printed {
        name: "db-check",
        title: "connect-cli db check --json",
        make: one::<CheckReport<'_>>,
    },
    Printed {
        name: "db-compile",
        title: "connect-cli db compile --json",
        make: one::<CompileReport<'_>>,
    },
    Printed {
        name: "db-diff",
        title: "connect-cli db diff --json",
        make: one::<DiffReport<'_>>,
    },
    Printed {
        name: "db-dump",
        title: "connect-cli db dump --json",
        make: one::<DumpReport<'_>>,
    },
    Printed {
        name: "db-explain",
        title: "connect-cli db explain --json",
        make: one::<ExplainReport<'_>>,
    },
    Printed {
        name: "hosts",
        title: "connect-cli -H HOST --json: `output' is what each host has printed",
        make: one::<HostsReport<'_>>,
    },
];
