// SPDX-License-Identifier: GPL-3.0-or-later
//! `status`: the service, and a table of its peers.

use std::io;
use std::time::Duration;

use clap::Args;
use connect_ipc::control::{PeerState, PeerStatus, ServiceStatus};
use connect_ipc::event_filter::EventFilter;
use connect_runtime::exit::Exit;
use serde::Serialize;

use crate::client::connection::ControlError;
use crate::client::requests;
use crate::client::subscription::Subscription;
use crate::common::Common;
use crate::error::Error;
use crate::interrupt::until_unread;
use crate::output::report::{PeerReport, ServiceReport};
use crate::output::status_text;
use crate::output::{Output, SCHEMA};

/// The shortest time between two updates.
const INTERVAL: Duration = Duration::from_secs(1);

/// Show the service and a table of its peers
#[derive(Args, Debug)]
#[command(after_help = after_help())]
pub(crate) struct Status {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Cut nothing, however wide the table becomes.
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
        "States of a peer:\n{}\n\
         Beside the state stand a record that was changed or struck since the peer was added (see \
         reload), and its scripts whose latest run did not end well. FAIL counts the failed attempts \
         of the current or most recent check, LOSS all pings that were lost, NEXT the time until the \
         next ping.\n\n\
         Examples:\n\
         \x20 connect-cli status\n\
         \x20 connect-cli status --watch\n\
         \x20 connect-cli status --json | jq -r '.peers[] | select(.wanted and .state != \"up\").name'",
        states.concat()
    )
}

#[derive(Serialize)]
struct StatusReport<'a> {
    schema: u32,
    service: ServiceReport<'a>,
    peers: Vec<PeerReport<'a>>,
}

impl Status {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        if self.watch {
            return until_unread(self.follow(common)).await;
        }
        let mut control = common.observe().await?;
        let (service, peers) = requests::status(&mut control).await?;
        self.print(&service, &peers, &mut common.out)?;
        Ok(Exit::Success)
    }

    fn print(
        &self,
        service: &ServiceStatus,
        peers: &[PeerStatus],
        out: &mut Output,
    ) -> io::Result<()> {
        if !self.json {
            return status_text::show(service, peers, self.wide, out);
        }
        let report = StatusReport {
            schema: SCHEMA,
            service: service.into(),
            peers: peers.iter().map(PeerReport::from).collect(),
        };
        if self.watch {
            out.json_line(&report)
        } else {
            out.json(&report)
        }
    }

    /// Shows the state again and again.
    async fn follow(self, common: &mut Common) -> Result<Exit, Error> {
        let control = common.observe().await?;
        let filter = EventFilter::default();
        let (mut subscription, snapshot) = Subscription::begin(control, filter).await?;
        let (mut service, mut peers) = (snapshot.service, snapshot.peers);
        loop {
            let terminal = !self.json && common.out.begin_screen()?;
            self.print(&service, &peers, &mut common.out)?;
            if !terminal && !self.json {
                common.out.line("")?;
            }
            common.out.finish()?;
            wait_for_change(&mut subscription, terminal).await?;
            (service, peers) = requests::status_again(&mut subscription).await?;
        }
    }
}

/// Waits until there may be something new to show, and for at least [`INTERVAL`]. On a terminal the
/// passing time is something new.
async fn wait_for_change(
    subscription: &mut Subscription,
    terminal: bool,
) -> Result<(), ControlError> {
    let moment = tokio::time::sleep(INTERVAL);
    tokio::pin!(moment);
    let mut changed = terminal;
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
