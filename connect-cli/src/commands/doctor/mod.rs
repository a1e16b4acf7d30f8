// SPDX-License-Identifier: GPL-3.0-or-later
//! `doctor`: checks everything that the service needs, and says what to correct.

mod database;
mod files;
mod finding;
mod runs;
mod scripts;
mod server;
mod service;

use std::io;
use std::path::PathBuf;

use clap::Args;
use connect_runtime::exit::Exit;
use connect_runtime::paths;
use serde::Serialize;

use self::finding::{Area, Findings, Verdict};
use crate::common::Common;
use crate::error::Error;
use crate::output::paint::Paint;
use crate::output::text;
use crate::output::{Output, SCHEMA};

/// Look at everything that the service needs, and say what to put right
#[derive(Args, Debug)]
#[command(after_help = "\
    Looks at the tripe server and its version, the service and its helpers, the sockets and who \
    may use them, the peer database, the scripts that it names, and how the last run of each \
    peer's scripts ended. Changes nothing. Run it as \
    the user that the service runs as, or as root; others may not see everything. The exit code \
    is 1 if something is at fault.\n\n\
    Examples:\n\
    \x20 connect-cli doctor\n\
    \x20 connect-cli doctor --json | jq '.findings[] | select(.verdict == \"fault\")'")]
pub(crate) struct Doctor {
    /// The peer database [default: the one in use, else $TRIPEPEERDB, else peers.cdb].
    #[arg(short, long, value_name = "FILE")]
    peerdb: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct DoctorReport<'a> {
    schema: u32,
    ok: bool,
    findings: &'a Findings,
}

impl Doctor {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let mut findings = Findings::default();
        let directory = common.directory();
        files::check(common, &mut findings.section(Area::Files));
        let provider = server::check(common, &mut findings.section(Area::Server)).await;
        let section = &mut findings.section(Area::Service);
        let checked = service::check(common, provider.as_deref(), section).await;
        let (status, runs) = checked.unzip();
        let in_use = status.map(|status| PathBuf::from(status.database.path));
        let path = match (self.peerdb, in_use) {
            (None, Some(path)) => path,
            (option, _) => paths::database(option.as_deref(), &directory),
        };
        if let Some(database) = database::check(&path, &mut findings.section(Area::Database)) {
            scripts::check(&database, &directory, &mut findings.section(Area::Scripts));
        }
        if let Some(runs) = runs {
            runs.report(&mut findings.section(Area::Scripts));
        }
        let ok = !findings.any(Verdict::Fault);
        if self.json {
            common.out.json(&DoctorReport {
                schema: SCHEMA,
                ok,
                findings: &findings,
            })?;
        } else {
            show(&findings, &mut common.out)?;
        }
        Ok(if ok { Exit::Success } else { Exit::Failure })
    }
}

fn show(findings: &Findings, out: &mut Output) -> io::Result<()> {
    for finding in findings.iter() {
        let (word, paint) = match finding.verdict {
            Verdict::Ok => ("ok", Paint::Good),
            Verdict::Warning => ("warning", Paint::Doubtful),
            Verdict::Fault => ("FAULT", Paint::Bad),
        };
        out.painted(paint, &format!("{word:<8} {}", text::clean(&finding.text)))?;
        if let Some(remedy) = &finding.remedy {
            out.line(&format!("         => {}", text::clean(remedy)))?;
        }
    }
    out.line("")?;
    out.line(&findings.summary())
}
