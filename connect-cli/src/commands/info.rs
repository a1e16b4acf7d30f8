// SPDX-License-Identifier: GPL-3.0-or-later
//! `info`: everything about one peer.

use std::collections::BTreeMap;

use clap::Args;
use connect_ipc::control::{Reply, Request, ScriptStatus};
use connect_ipc::pinger::PingPlan;
use connect_runtime::exit::Exit;
use serde::Serialize;

use crate::client::connection::ControlError;
use crate::common::Common;
use crate::completing;
use crate::error::Error;
use crate::output::SCHEMA;
use crate::output::peer_text;
use crate::output::report::{CommandReport, PeerReport};
use crate::output::script_report::RecentReport;

/// Show everything about one peer (also: show)
#[derive(Args, Debug)]
#[command(after_help = "\
    Examples:\n\
    \x20 connect-cli info alice\n\
    \x20 connect-cli info alice --json | jq -r .record.ifup")]
pub(crate) struct Info {
    /// The peer's name.
    #[arg(add = completing::peers())]
    peer: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct InfoReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// The peer's name.
    name: &'a str,
    /// `null` if the server does not know the peer.
    peer: Option<PeerReport<'a>>,
    /// `null` if the database has none, or if it is too large.
    record: Option<BTreeMap<&'a str, &'a str>>,
    /// The size in bytes of a record that is too large to be shown.
    oversize: Option<usize>,
    /// How it is pinged; `null` if it is not.
    plan: Option<&'a PingPlan>,
    /// The server's algorithms for it.
    algorithms: BTreeMap<&'a str, &'a str>,
    /// Scripts queued and under way.
    scripts: &'a [ScriptStatus],
    /// The last scripts that ended, oldest first.
    recent: Vec<RecentReport<'a>>,
}

impl Info {
    /// Everything about this peer.
    pub(crate) fn of(peer: String, json: bool) -> Self {
        Info { peer, json }
    }

    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let mut control = common.observe().await?;
        control.ask(Request::Info {
            peer: self.peer.clone(),
        })?;
        let detail = match control.reply().await? {
            Reply::Peer(detail) => detail,
            Reply::Failed(words) => return self.refused(words, common),
            _ => return Err(ControlError::Unexpected.into()),
        };
        if self.json {
            common.out.json(&InfoReport {
                schema: SCHEMA,
                name: &self.peer,
                peer: detail.status.as_ref().map(PeerReport::from),
                record: detail.record.as_deref().map(object),
                oversize: detail.oversize,
                plan: detail.plan.as_ref(),
                algorithms: object(&detail.algorithms),
                scripts: &detail.scripts,
                recent: detail.recent.iter().map(RecentReport::from).collect(),
            })?;
        } else {
            for (text, paint) in peer_text::lines(&self.peer, &detail) {
                common.out.sentence(paint, &text, peer_text::VALUES)?;
            }
        }
        Ok(Exit::Success)
    }
}

impl Info {
    /// Tells why nothing can be shown.
    fn refused(self, failure: Vec<String>, common: &mut Common) -> Result<Exit, Error> {
        if self.json {
            let command = ["info".to_owned(), self.peer];
            let report = CommandReport::new(&command, &[], Some(&failure));
            common.out.json(&report)?;
        }
        Err(Error::Failed(failure))
    }
}

/// Keys and values as an object.
fn object(pairs: &[(String, String)]) -> BTreeMap<&str, &str> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}
