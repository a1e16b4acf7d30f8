// SPDX-License-Identifier: GPL-3.0-or-later
//! `status`: the service, and a table of its peers.

use std::io;
use std::time::Duration;

use clap::Args;
use connect_ipc::control::{
    HelperStatus, PeerState, PeerStatus, Reply, Request, ServerLink, ServiceStatus,
};
use connect_ipc::event::EventFilter;
use connect_ipc::statistics::LastPing;
use connect_runtime::exit::Exit;
use serde::Serialize;

use super::report::{PeerReport, ServiceReport, is_down};
use crate::connection::{Control, ControlError};
use crate::context::Context;
use crate::error::Error;
use crate::interrupt::until_interrupted;
use crate::output::{Output, SCHEMA};
use crate::subscription::{Incident, Snapshot, Subscription};
use crate::table::{Cell, Column, Paint, Table};
use crate::text;

/// How often what is watched is shown at most.
const MOMENT: Duration = Duration::from_secs(1);

/// Show the service and a table of its peers
#[derive(Args, Debug)]
#[command(after_help = "\
    A peer is idle between two checks, in check while one is under way, down when its most \
    recent check failed, and unwatched when nobody pings it. FAIL counts the failed attempts \
    of the current or most recent check, LOSS all pings that were lost, NEXT the time until \
    the next ping.\n\n\
    Examples:\n\
    \x20 connect-cli status\n\
    \x20 connect-cli status --watch\n\
    \x20 connect-cli status --json | jq -r '.peers[] | select(.down).name'")]
pub struct Status {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Cut nothing, however wide the table becomes.
    #[arg(short, long, conflicts_with = "json")]
    wide: bool,
    /// Go on until interrupted: anew in the same place on a terminal, else whenever something has
    /// changed; with --json an object a line.
    #[arg(long)]
    watch: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    service: ServiceReport<'a>,
    peers: Vec<PeerReport<'a>>,
}

impl Status {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Error`] if the service cannot be asked.
    pub async fn run(self, context: &mut Context) -> Result<Exit, Error> {
        if self.watch {
            return until_interrupted(self.follow(context)).await;
        }
        let mut control = context.observe().await?;
        let (service, peers) = fetch(&mut control).await?;
        self.print(&service, &peers, &mut context.out)?;
        Ok(Exit::Success)
    }

    fn print(
        &self,
        service: &ServiceStatus,
        peers: &[PeerStatus],
        out: &mut Output,
    ) -> io::Result<()> {
        if !self.json {
            return show(service, peers, self.wide, out);
        }
        let report = Report {
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
    async fn follow(self, context: &mut Context) -> Result<Exit, Error> {
        let control = context.observe().await?;
        let filter = EventFilter::default();
        let (mut subscription, Snapshot { service, peers, .. }) =
            Subscription::begin(control, filter).await?;
        let (mut service, mut peers) = (service, peers);
        loop {
            let terminal = !self.json && context.out.begin_screen()?;
            self.print(&service, &peers, &mut context.out)?;
            if !terminal && !self.json {
                context.out.line("")?;
            }
            context.out.finish()?;
            wait_for_change(&mut subscription, terminal).await?;
            (service, peers) = refetch(&mut subscription).await?;
        }
    }
}

/// Waits until there may be something new to show, and then at least as long as people take to look
/// at it. On a terminal time itself is something new.
async fn wait_for_change(
    subscription: &mut Subscription,
    terminal: bool,
) -> Result<(), ControlError> {
    let moment = tokio::time::sleep(MOMENT);
    tokio::pin!(moment);
    let mut changed = terminal;
    while !(changed && moment.is_elapsed()) {
        tokio::select! {
            incident = subscription.next() => {
                incident?;
                changed = true;
            }
            () = &mut moment, if !moment.is_elapsed() => {}
        }
    }
    Ok(())
}

/// Asks for the state on a connection that events come on as well.
async fn refetch(
    subscription: &mut Subscription,
) -> Result<(ServiceStatus, Vec<PeerStatus>), ControlError> {
    let request = subscription.ask(Request::Status {})?;
    let mut state = Collected::default();
    loop {
        if let Incident::Reply(id, reply) = subscription.next().await?
            && id == request
            && state.take(reply)?
        {
            return state.finish();
        }
    }
}

/// The replies of a state so far.
#[derive(Debug, Default)]
pub struct Collected {
    service: Option<ServiceStatus>,
    peers: Vec<PeerStatus>,
}

impl Collected {
    /// Takes one reply; says whether it was the last.
    ///
    /// # Errors
    /// [`ControlError::Unexpected`] for a reply to something else.
    pub fn take(&mut self, reply: Reply) -> Result<bool, ControlError> {
        match reply {
            Reply::Service(status) => self.service = Some(*status),
            Reply::Peers(some) => self.peers.extend(some),
            Reply::Done {} => return Ok(true),
            _ => return Err(ControlError::Unexpected),
        }
        Ok(false)
    }

    /// The whole state.
    ///
    /// # Errors
    /// [`ControlError::Unexpected`] if the service itself was left out.
    pub fn finish(mut self) -> Result<(ServiceStatus, Vec<PeerStatus>), ControlError> {
        self.peers.sort_by(|left, right| left.name.cmp(&right.name));
        let service = self.service.ok_or(ControlError::Unexpected)?;
        Ok((service, self.peers))
    }
}

/// Asks the service for its state and its peers, sorted by name.
///
/// # Errors
/// [`ControlError`] if it does not answer, or with something else.
pub async fn fetch(
    control: &mut Control,
) -> Result<(ServiceStatus, Vec<PeerStatus>), ControlError> {
    control.ask(Request::Status {})?;
    let mut state = Collected::default();
    while !state.take(control.reply().await?)? {}
    state.finish()
}

/// The words for the link to the server.
#[must_use]
pub fn link(server: ServerLink) -> &'static str {
    match server {
        ServerLink::Down => "down",
        ServerLink::Joining => "joining",
        ServerLink::Up => "up",
    }
}

fn helper(name: &str, helper: &HelperStatus, service: &str) -> String {
    match &helper.version {
        _ if !helper.connected => format!("{name} missing"),
        Some(version) if version != service => format!("{name} {version}"),
        _ => format!("{name} ok"),
    }
}

/// What is wrong with the service, each in a sentence with its remedy.
#[must_use]
pub fn faults(service: &ServiceStatus) -> Vec<String> {
    let mut faults = Vec::new();
    match service.server {
        ServerLink::Down => faults.push(format!(
            "the tripe server on {} is out of reach; start it, and the service joins it",
            service.socket
        )),
        ServerLink::Joining => faults.push(format!(
            "the service is connected to the tripe server on {} but has not been able to claim its \
             name yet; its log says why",
            service.socket
        )),
        ServerLink::Up => {}
    }
    if let Some(fault) = &service.database.fault {
        faults.push(format!("the database as it was before is in use: {fault}"));
    }
    for (program, work, helper) in [
        ("connect-pinger", "no peer is pinged", &service.pinger),
        ("connect-ifscripts", "no script is run", &service.scripts),
    ] {
        if !helper.connected {
            faults.push(format!(
                "{program} is not connected, so {work}; start it if nothing else does"
            ));
        } else if let Some(version) = &helper.version
            && *version != service.version
        {
            faults.push(format!(
                "{program} is version {version} and the service {}; install the same version of \
                 both and restart the older",
                service.version
            ));
        }
    }
    faults
}

/// Shows the service and the table of its peers.
///
/// # Errors
/// What the system says.
pub fn show(
    service: &ServiceStatus,
    peers: &[PeerStatus],
    wide: bool,
    out: &mut Output,
) -> io::Result<()> {
    out.painted(Paint::Heading, &text::clean(&headline(service)))?;
    for fault in faults(service) {
        out.painted(Paint::Bad, &format!("! {}", text::clean(&fault)))?;
    }
    out.line("")?;
    if peers.is_empty() {
        return out.line("The server has no peers.");
    }
    out.table(&table(peers), wide)
}

/// The service in one line.
#[must_use]
pub fn headline(service: &ServiceStatus) -> String {
    let database = match &service.database.fault {
        Some(_) => "faulty".to_owned(),
        None => text::count(service.database.peers, "peer"),
    };
    format!(
        "connect {}, up {}; server {}; database {database}; {}; {}",
        service.version,
        text::span(service.uptime),
        link(service.server),
        helper("pinger", &service.pinger, &service.version),
        helper("scripts", &service.scripts, &service.version),
    )
}

/// One word for how the peer is.
#[must_use]
pub fn state(peer: &PeerStatus) -> (&'static str, Paint) {
    match peer.state {
        PeerState::Unwatched => ("unwatched", Paint::Plain),
        _ if is_down(peer) => ("down", Paint::Bad),
        PeerState::Idle if peer.failures > 0 => ("idle", Paint::Doubtful),
        PeerState::Idle => ("idle", Paint::Good),
        PeerState::Check if peer.failures > 0 => ("check", Paint::Doubtful),
        PeerState::Check => ("check", Paint::Good),
    }
}

/// How the most recent ping ended.
#[must_use]
pub fn last(ping: LastPing) -> String {
    match ping {
        LastPing::None => text::NOTHING.to_owned(),
        LastPing::Reply(time) => text::millis(Some(time)),
        LastPing::Timeout => "timeout".to_owned(),
    }
}

fn table(peers: &[PeerStatus]) -> Table {
    let column = |title, right, least| Column {
        title,
        right,
        least,
    };
    let mut table = Table::new([
        column("PEER", false, Some(12)),
        column("STATE", false, None),
        column("ADDRESS", false, Some(12)),
        column("LAST", true, None),
        column("MEAN", true, None),
        column("LOSS", true, None),
        column("FAIL", true, None),
        column("NEXT", true, None),
    ]);
    for peer in peers {
        let (state, paint) = state(peer);
        let watched = peer.state != PeerState::Unwatched;
        let failures = if watched {
            peer.failures.to_string()
        } else {
            text::NOTHING.to_owned()
        };
        table.row([
            Cell::from(text::clean(&peer.name).into_owned()),
            Cell::painted(paint, state),
            peer.address
                .as_deref()
                .map_or_else(|| text::NOTHING.to_owned(), text::address)
                .into(),
            last(peer.statistics.last).into(),
            text::millis(peer.statistics.mean()).into(),
            text::percent(peer.statistics.loss()).into(),
            failures.into(),
            peer.next_ping
                .map_or_else(
                    || text::NOTHING.to_owned(),
                    |wait| text::span(wait.div_ceil(1000)),
                )
                .into(),
        ]);
    }
    table
}
