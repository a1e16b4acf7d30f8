// SPDX-License-Identifier: GPL-3.0-or-later
//! `doctor`: checks everything that the service needs, and says what to correct.

mod database;
mod files;
mod finding;
mod holder;
mod left_scripts;
mod lookups;
mod missing;
mod next_step;
pub(crate) mod refusals;
mod runs;
pub(crate) mod scripts;
mod server;
mod service;
mod sources;
pub(crate) mod systemd;
mod units;

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use connect_runtime::exit::Exit;
use connect_runtime::paths;
use serde::Serialize;

use self::finding::{Area, Findings, LOOK_IN_LOG, Severity};
use self::refusals::Refusals;
use self::server::Server;
use self::service::Found;
use crate::common::Common;
use crate::error::Error;
use crate::output::overdue_text;
use crate::output::paint::Paint;
use crate::output::text;
use crate::output::{Output, SCHEMA};

/// Look at everything that the service needs, and say what is wrong and what to do
#[derive(Args, Debug)]
#[command(after_help = "\
    Checks the tripe server and its version, the service and its helpers, the units of systemd, \
    the sockets and who may use them, the peer database and the sources beside it, the scripts \
    that it names, how the last run of each peer's scripts ended, and whether the host names of \
    peers that do not answer could be looked up. Changes nothing. Run it as root or as the user of \
    the service; other users may not see everything. The exit code is 1 if there is a fault.\n\n\
    Examples:\n\
    \x20 connect-cli doctor\n\
    \x20 connect-cli doctor --json | jq '.findings[] | select(.severity == \"fault\")'")]
pub(crate) struct Doctor {
    /// The peer database [default: the one in use, else $TRIPEPEERDB, else peers.cdb].
    #[arg(short, long, value_name = "FILE")]
    peerdb: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct DoctorReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// Whether there is no fault.
    ok: bool,
    /// Everything that was looked at, in that order.
    findings: &'a Findings,
    /// What to do next, where the service has no peers yet; else it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<String>,
}

impl Doctor {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let mut findings = Findings::default();
        // Before anything connects to the service: that would start core once more.
        units::check(common, &mut findings.section(Area::Units)).await;
        let found = service::find(common).await;
        if let Some(program) = found.relay() {
            let mut findings = Findings::default();
            let section = &mut findings.section(Area::Service);
            service::check_elsewhere(common, &found, program, section);
            return self.report(&findings, None, common);
        }
        let directory = directory(common, &found);
        files::check(common, &directory, &mut findings.section(Area::Files));
        let section = &mut findings.section(Area::Server);
        let server = match found.server_silent() {
            // It would not answer us either, and we would wait.
            Some(seconds) => {
                let socket = common.admin_socket();
                let silent = overdue_text::server_silent(&socket.display().to_string(), seconds);
                section.fault_with_remedy(silent, LOOK_IN_LOG);
                Server::default()
            }
            None => server::check(common, section).await,
        };
        let told = findings.is_at_fault(Area::Server);
        let section = &mut findings.section(Area::Service);
        let seen = service::check(common, &found, server.provider.as_deref(), told, section);
        let in_use = seen.map(|seen| PathBuf::from(&seen.service.database.path));
        let fault = seen.and_then(|seen| seen.service.database.fault.as_deref());
        let path = match (self.peerdb.clone(), in_use) {
            (None, Some(path)) => Some((path, fault)),
            // Which database it has is not known either.
            (None, None) if found.is_other() && common.names_only_server() => None,
            (option, in_use) => {
                let path = paths::database(option.as_deref(), &directory);
                let is_in_use = in_use.as_ref() == Some(&path);
                Some((path, fault.filter(|_| is_in_use)))
            }
        };
        let mut next_step = None;
        if let Some((path, told)) = path {
            let section = &mut findings.section(Area::Database);
            let database = database::check(&path, told, common, section);
            if let Some(database) = &database {
                let refusals = Refusals::of(holder::find(common));
                let section = &mut findings.section(Area::Scripts);
                scripts::check(database, &directory, refusals, section);
            }
            let running = seen.map(|seen| seen.service.database.peers);
            next_step = next_step::of(
                server.answers,
                &path,
                database.as_ref(),
                running,
                &directory,
            );
        }
        if let Some(seen) = seen {
            seen.runs.report(&mut findings.section(Area::Scripts));
        }
        self.report(&findings, next_step, common)
    }

    /// Tells what was found.
    fn report(
        &self,
        findings: &Findings,
        next_step: Option<String>,
        common: &mut Common,
    ) -> Result<Exit, Error> {
        let ok = !findings.any(Severity::Fault);
        if self.json {
            common.out.json(&DoctorReport {
                schema: SCHEMA,
                ok,
                findings,
                next_step,
            })?;
        } else {
            show(findings, next_step.as_deref(), &mut common.out)?;
        }
        Ok(if ok { Exit::Success } else { Exit::Failure })
    }
}

/// The configuration directory. If only the server was named, its service is the one that knows:
/// the default may be missing, or be another service's.
fn directory(common: &Common, found: &Found) -> PathBuf {
    if common.names_only_server()
        && let Found::Ours(seen) = found
        && let Some(parent) = Path::new(&seen.service.database.path).parent()
        && parent.is_absolute()
    {
        return parent.to_owned();
    }
    common.directory()
}

/// What stands before a remedy.
const REMEDY: &str = "         ";

fn show(findings: &Findings, next_step: Option<&str>, out: &mut Output) -> io::Result<()> {
    for finding in findings.iter() {
        let (word, paint) = match finding.severity {
            Severity::Ok => ("ok", Paint::Good),
            Severity::Warning => ("warning", Paint::Doubtful),
            Severity::Fault => ("FAULT", Paint::Bad),
        };
        let text = format!("{word:<8} {}", text::clean(&finding.text));
        out.sentence(paint, &text, REMEDY.len())?;
        if let Some(remedy) = &finding.remedy {
            let text = format!("{REMEDY}=> {}", text::clean(remedy));
            out.sentence(Paint::Plain, &text, REMEDY.len() + 3)?;
        }
    }
    out.line("")?;
    out.line(&findings.summary())?;
    if let Some(step) = next_step {
        let text = format!("Next step: {}", text::clean(step));
        out.sentence(Paint::Plain, &text, 0)?;
    }
    Ok(())
}
