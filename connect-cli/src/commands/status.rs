// SPDX-License-Identifier: GPL-3.0-or-later
//! `status`: the service, and a table of its peers.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use connect_ipc::control::{PeerState, PeerStatus, ServiceStatus};
use connect_ipc::event_filter::EventFilter;
use connect_runtime::clock;
use connect_runtime::exit::Exit;
use serde::Serialize;

use crate::client::connection::{Control, ControlError};
use crate::client::state::{StateReader, pause_after};
use crate::client::subscription::Subscription;
use crate::common::Common;
use crate::completing;
use crate::error::Error;
use crate::interrupt::until_unread;
use crate::output::json;
use crate::output::report::{PeerReport, ServiceReport};
use crate::output::status_text;
use crate::output::summary::Summary;
use crate::output::{Output, SCHEMA};

/// Show the service and a table of its peers (also: list)
#[derive(Args, Debug, Default)]
#[command(after_help = after_help())]
pub(crate) struct Status {
    /// Only these peers.
    #[arg(value_name = "PEER", add = completing::peers())]
    peers: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Cut and break nothing, however wide the table becomes.
    #[arg(long, conflicts_with = "json")]
    wide: bool,
    /// Go on until interrupted: on a terminal the table is renewed in its place, elsewhere it is
    /// printed again when something has changed; with --json an object a line.
    #[arg(short, long)]
    watch: bool,
}

fn after_help() -> String {
    let states = PeerState::ALL.map(|state| {
        let (word, meaning) = (state.as_str(), status_text::meaning(state));
        format!("  {word:<10} {meaning}\n")
    });
    format!(
        "States of a peer:\n\
         {}\n\
         After the state come: that the record was changed or removed since the peer was added \
         (see reload), why a new address of the peer is not used (re-resolve), when it is added \
         again (when-dead), and scripts whose latest run failed. For peers that are named, the \
         lookups of their host names follow the table. FAIL is the number of failed attempts \
         in the current or most recent check, LOSS the share of all pings that were lost, NEXT \
         the time until the next ping.\n\n\
         Examples:\n\
         \x20 connect-cli status\n\
         \x20 connect-cli status alice bob\n\
         \x20 connect-cli status --watch\n\
         \x20 connect-cli status --json | jq -r '.peers[] | select(.wanted and .state != \
         \"up\").name'",
        states.concat()
    )
}

/// The state in JSON, of which each peer is written as it is read.
struct StatusReport<'a> {
    out: &'a mut Output,
    /// Whether it is indented; if not, it is one line.
    pretty: bool,
    peers: u64,
}

/// The part before the peers.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Head<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// The service as a whole.
    service: ServiceReport<'a>,
    /// The peers, sorted by name.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<PeerReport<'static>>"))]
    peers: [PeerReport<'a>; 0],
}

impl<'a> StatusReport<'a> {
    fn begin(service: &ServiceStatus, pretty: bool, out: &'a mut Output) -> io::Result<Self> {
        let head = Head {
            schema: SCHEMA,
            service: service.into(),
            peers: [],
        };
        let text = json::text(&head, pretty)?;
        let end = if pretty { "]\n}" } else { "]}" };
        // The end follows the peers.
        out.write_all(text.trim_end_matches(end).as_bytes())?;
        let peers = 0;
        Ok(StatusReport { out, pretty, peers })
    }

    fn peer(&mut self, peer: &PeerStatus) -> io::Result<()> {
        let comma = if self.peers == 0 { "" } else { "," };
        self.peers += 1;
        let report = PeerReport::from(peer);
        let text = json::text(&report, self.pretty)?;
        if !self.pretty {
            return write!(self.out, "{comma}{text}");
        }
        // No string in it has a line end that is not escaped.
        write!(self.out, "{comma}\n    {}", text.replace('\n', "\n    "))
    }

    fn end(self) -> io::Result<()> {
        let end = match (self.pretty, self.peers) {
            (false, _) => "]}",
            (true, 0) => "]\n}",
            (true, _) => "\n  ]\n}",
        };
        self.out.line_flushed(end)
    }
}

/// What was shown.
#[derive(Debug, Default)]
struct Shown {
    /// Whether it is on a screen that was cleared for it.
    renewed: bool,
    /// The peers that were asked for and are not known.
    unknown: BTreeSet<String>,
}

impl Status {
    /// The state of these peers, or of all.
    pub(crate) fn of(peers: Vec<String>, json: bool) -> Self {
        Status {
            peers,
            json,
            ..Status::default()
        }
    }

    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        if self.watch {
            return until_unread(self.follow(common)).await;
        }
        let mut control = common.observe().await?;
        let shown = self.show(&mut control, &mut common.out).await?;
        match shown.unknown.into_iter().next() {
            Some(peer) => Err(Error::Failed(vec!["unknown-peer".to_owned(), peer])),
            None => Ok(Exit::Success),
        }
    }

    /// Reads the state and shows it.
    async fn show(&self, control: &mut Control, out: &mut Output) -> Result<Shown, Error> {
        let (mut reader, service) = StateReader::begin(control).await?;
        let mut unknown: BTreeSet<String> = self.peers.iter().cloned().collect();
        let mut asked_for = |peer: &PeerStatus| {
            self.peers.is_empty() || unknown.remove(&peer.name) || self.peers.contains(&peer.name)
        };
        let mut renewed = false;
        if self.json {
            let mut report = StatusReport::begin(&service, !self.watch, out)?;
            while let Some(peers) = reader.next().await? {
                for peer in peers.iter().filter(|peer| asked_for(peer)) {
                    report.peer(peer)?;
                }
            }
            report.end()?;
        } else {
            let mut rows = Vec::new();
            let mut summary = Summary::default();
            while let Some(peers) = reader.next().await? {
                peers.iter().for_each(|peer| summary.add(peer));
                rows.extend(peers.into_iter().filter(|peer| asked_for(peer)));
            }
            renewed = self.watch && out.begin_screen()?;
            if self.peers.is_empty() || !rows.is_empty() {
                status_text::show(&service, &summary, &rows, self.wide, out)?;
            }
            if !self.peers.is_empty() {
                status_text::show_more(&rows, out)?;
            }
        }
        Ok(Shown { renewed, unknown })
    }

    /// Shows the state again and again.
    async fn follow(self, common: &mut Common) -> Result<Exit, Error> {
        let control = common.observe().await?;
        let filter = EventFilter::default();
        let (mut subscription, _) = Subscription::without_state(control, filter).await?;
        loop {
            let began = clock::now();
            let shown = self.show(subscription.control(), &mut common.out).await?;
            let terminal = shown.renewed;
            if !terminal && !self.json {
                common.out.line("")?;
            }
            common.out.finish()?;
            let pause = pause_after(clock::now().since(began));
            wait_for_change(&mut subscription, pause, terminal).await?;
        }
    }
}

/// Waits until there may be something new to show, and for at least this time. On a terminal the
/// passing time is something new.
async fn wait_for_change(
    subscription: &mut Subscription,
    pause: Duration,
    terminal: bool,
) -> Result<(), ControlError> {
    let moment = tokio::time::sleep(pause);
    tokio::pin!(moment);
    // Events that came while the state was read may not be part of it.
    let mut changed = subscription.control().has_passed_over() || terminal;
    while !(changed && moment.is_elapsed()) {
        tokio::select! {
            item = subscription.next() => {
                item?;
                changed = true;
            }
            () = &mut moment, if !moment.is_elapsed() => {}
        }
    }
    Ok(())
}
