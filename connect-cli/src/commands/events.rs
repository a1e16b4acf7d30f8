// SPDX-License-Identifier: GPL-3.0-or-later
//! `events`: the state of everything, and then what happens, as it happens; or what happened last.

use std::collections::BTreeSet;
use std::io::{self, Write};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use connect_ipc::control::{PeerStatus, Reply, Request, ServiceStatus};
use connect_ipc::event::{Event, EventName};
use connect_ipc::event_filter::EventFilter;
use connect_runtime::exit::Exit;
use serde::Serialize;

use crate::client::connection::{Control, ControlError};
use crate::client::subscription::{StreamItem, Subscription};
use crate::common::Common;
use crate::completing;
use crate::error::Error;
use crate::interrupt::until_unread;
use crate::output::event_text;
use crate::output::paint::Paint;
use crate::output::report::{PeerReport, ServiceReport};
use crate::output::status_text;
use crate::output::summary::Summary;
use crate::output::text;
use crate::output::{Output, SCHEMA, to_stderr};

/// The time of an event as people read it.
const TIME: &str = "%F %T%.3f";

/// The kinds of which there are so many that the service does not keep them.
const NOT_KEPT: [EventName; 2] = [EventName::Reply, EventName::Output];

/// How many events wait until the table is complete. It takes a second with 100,000 peers, in which
/// no more than these are worth reading.
const WAITING: usize = 10_000;

/// Show what happens, as it happens (also: log)
#[derive(Args, Debug)]
#[command(after_help = "\
    Prints the state of the service and its peers, and then each later event, so that nothing is \
    missed or printed twice. Times are local. The command runs until it is interrupted, or until \
    no event has come for the time of --timeout (exit code 124). Answered pings are left out \
    unless you give --kind reply. With --recent it prints the latest events, and ends.\n\n\
    Examples:\n\
    \x20 connect-cli events\n\
    \x20 connect-cli events --recent --peer alice --kind up --kind down\n\
    \x20 connect-cli events --peer alice --kind reply --kind missed\n\
    \x20 connect-cli events --json --no-snapshot | jq -c 'select(.kind == \"unreachable\")'")]
pub(crate) struct Events {
    /// Only events of this peer, and those of no peer; may be given several times.
    #[arg(long = "peer", value_name = "PEER", add = completing::peers())]
    peers: Vec<String>,
    /// Only events of this kind; may be given several times.
    #[arg(
        long = "kind",
        value_name = "KIND",
        value_parser = PossibleValuesParser::new(EventName::ALL.iter().map(|kind| kind.as_str()))
            .try_map(|name| serde_json::from_value::<EventName>(name.into()))
    )]
    kinds: Vec<EventName>,
    /// Print JSON, an object a line.
    #[arg(long)]
    json: bool,
    /// Leave out the state at the beginning.
    #[arg(long)]
    no_snapshot: bool,
    /// Print the events that the service has kept, at most the last 100 since it was started, and
    /// end. It does not keep answered pings and lines of scripts.
    #[arg(long)]
    recent: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct LineReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// The event's number, or that of the last one before.
    seq: u64,
    #[serde(flatten)]
    what: LineContent<'a>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "what", rename_all = "kebab-case")]
enum LineContent<'a> {
    /// The state of the service, before the peers.
    Service {
        /// The service as a whole.
        service: ServiceReport<'a>,
    },
    /// The state of a peer.
    Peer {
        /// The peer.
        peer: Box<PeerReport<'a>>,
    },
    /// The state is complete; events follow.
    Live,
    /// Something happened.
    #[serde(rename_all = "kebab-case")]
    Event {
        /// When, in milliseconds since 1970.
        at_ms: u64,
        /// The peer concerned, if one is.
        peer: Option<&'a str>,
        /// What happened.
        kind: EventName,
        /// More on it, as the service's sockets have it under the name of the kind.
        data: serde_json::Value,
    },
    /// Events were left out: they were not read fast enough, or too many came in a second.
    Dropped {
        /// How many.
        events: u64,
    },
}

impl Events {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        if self.recent {
            return self.show_recent(common).await;
        }
        until_unread(self.follow(common)).await
    }

    /// Which events are wanted.
    fn filter(&self) -> EventFilter {
        EventFilter {
            peers: self.peers.iter().map(String::as_str).collect(),
            kinds: self.kinds.iter().copied().collect(),
            // Without the state nothing would tell that a peer is not known.
            state: !(self.no_snapshot && self.peers.is_empty()),
        }
    }

    /// Prints the events that the service has kept.
    async fn show_recent(self, common: &mut Common) -> Result<Exit, Error> {
        let mut control = common.observe().await?;
        control.ask(Request::Recent {})?;
        let Reply::Recent(mut events) = control.reply().await? else {
            return Err(ControlError::Unexpected.into());
        };
        let filter = self.filter();
        events.retain(|event| filter.wants(event));
        for event in &events {
            self.event(event, &mut common.out)?;
        }
        if events.is_empty() {
            to_stderr("the service has kept no such event; it keeps the last 100 of all events");
        }
        for kind in self.kinds.iter().filter(|kind| NOT_KEPT.contains(kind)) {
            to_stderr(&format!(
                "events of the kind {} are not kept",
                kind.as_str()
            ));
        }
        for peer in &self.peers {
            let is_seen = events.iter().any(|event| event.peer.as_ref() == Some(peer));
            if !is_seen && !is_known(&mut control, peer).await? {
                missing(peer);
            }
        }
        Ok(Exit::Success)
    }

    async fn follow(self, common: &mut Common) -> Result<Exit, Error> {
        let filter = self.filter();
        let mut unseen: BTreeSet<&str> = self.peers.iter().map(String::as_str).collect();
        let control = common.observe().await?;
        let mut subscription = Subscription::begin(control, filter)?;
        subscription.end_after(common.given_limit().flatten());
        let out = &mut common.out;
        // What is shown as a table must be complete first.
        let mut table = (!self.json && !self.no_snapshot).then(Beginning::default);
        let mut seq = 0;
        loop {
            let item = subscription.next().await?;
            match &item {
                StreamItem::Event(event) => seq = event.seq,
                StreamItem::Rows(rows) => {
                    rows.list.iter().for_each(|peer| {
                        unseen.remove(peer.name.as_str());
                    });
                }
                StreamItem::Live(_) => std::mem::take(&mut unseen).into_iter().for_each(missing),
                _ => {}
            }
            match (item, &mut table) {
                (StreamItem::Live(_), Some(_)) => {
                    let beginning = table.take().unwrap_or_default();
                    self.show(beginning, seq, out)?;
                }
                (item, Some(beginning)) => beginning.take(item)?,
                (StreamItem::Event(event), None) => self.event(&event, out)?,
                (StreamItem::Dropped(events), None) => self.dropped(seq, events, out)?,
                (StreamItem::Live(_) | StreamItem::Service(_) | StreamItem::Rows(_), None)
                    if self.no_snapshot => {}
                (item, None) => seq = state_line(item, out)?,
            }
        }
    }

    /// Shows the table, and what has happened since it was begun.
    fn show(&self, beginning: Beginning, seq: u64, out: &mut Output) -> Result<(), Error> {
        let service = beginning.service.ok_or(ControlError::Unexpected)?;
        let summary = Summary::of(&beginning.peers);
        if beginning.peers.is_empty() && !self.peers.is_empty() {
            // The server may well have others.
            status_text::show_service(&service, &summary, out)?;
        } else {
            status_text::show(&service, &summary, &beginning.peers, false, out)?;
        }
        out.line_flushed("")?;
        for event in &beginning.events {
            self.event(event, out)?;
        }
        if beginning.left_out > 0 {
            self.dropped(seq, beginning.left_out, out)?;
        }
        Ok(())
    }

    fn event(&self, event: &Event, out: &mut Output<impl Write>) -> io::Result<()> {
        if !self.json {
            return out.painted_flushed(&human(event));
        }
        let mut data = serde_json::to_value(&event.kind)?;
        // The kind's name has a place of its own.
        let data = data
            .get_mut(event.kind.name().as_str())
            .map(serde_json::Value::take)
            .unwrap_or_default();
        let what = LineContent::Event {
            at_ms: event.at_ms,
            peer: event.peer.as_deref(),
            kind: event.kind.name(),
            data,
        };
        json_line(event.seq, what, out)
    }

    fn dropped(&self, seq: u64, events: u64, out: &mut Output) -> io::Result<()> {
        if self.json {
            return json_line(seq, LineContent::Dropped { events }, out);
        }
        let events = text::count(events, "event");
        let line = format!("! {events} left out here: read too slowly, or too many in a second");
        out.painted_flushed(&(line, Paint::Bad))
    }
}

/// Whether the server has a peer, or should have it.
async fn is_known(control: &mut Control, peer: &str) -> Result<bool, ControlError> {
    let peer = peer.to_owned();
    control.ask(Request::Info { peer })?;
    match control.reply().await? {
        Reply::Peer(detail) => Ok(detail.status.is_some()),
        Reply::Failed(_) => Ok(false),
        _ => Err(ControlError::Unexpected),
    }
}

/// Says that a peer whose events are wanted is not known, and may never be.
fn missing(peer: &str) {
    to_stderr(&format!(
        "the server neither has nor should have a peer {peer} (`connect-cli status' lists those); \
         events of it are shown if there are any"
    ));
}

/// The state until it is complete, for a table.
#[derive(Default)]
struct Beginning {
    service: Option<Box<ServiceStatus>>,
    peers: Vec<PeerStatus>,
    /// What has happened meanwhile, to be told after it.
    events: Vec<Event>,
    left_out: u64,
}

impl Beginning {
    fn take(&mut self, item: StreamItem) -> Result<(), ControlError> {
        match item {
            StreamItem::Service(service) => self.service = Some(service),
            StreamItem::Rows(rows) => self.peers.extend(rows.list),
            StreamItem::Event(event) if self.events.len() < WAITING => self.events.push(event),
            StreamItem::Event(_) => self.left_out = self.left_out.saturating_add(1),
            StreamItem::Dropped(events) => {
                self.left_out = self.left_out.saturating_add(events);
            }
            StreamItem::Live(_) | StreamItem::Reply(..) => return Err(ControlError::Unexpected),
        }
        Ok(())
    }
}

/// Prints a part of the state as JSON. Gives the number of the last event that it includes.
fn state_line(item: StreamItem, out: &mut Output) -> Result<u64, Error> {
    match item {
        StreamItem::Service(service) => {
            let seq = service.seq;
            let service = (&*service).into();
            json_line(seq, LineContent::Service { service }, out)?;
            Ok(seq)
        }
        StreamItem::Rows(rows) => {
            for peer in &rows.list {
                let peer = Box::new(peer.into());
                json_line(rows.seq, LineContent::Peer { peer }, out)?;
            }
            Ok(rows.seq)
        }
        StreamItem::Live(seq) => {
            json_line(seq, LineContent::Live, out)?;
            Ok(seq)
        }
        _ => Err(ControlError::Unexpected.into()),
    }
}

fn json_line(seq: u64, what: LineContent<'_>, out: &mut Output<impl Write>) -> io::Result<()> {
    let schema = SCHEMA;
    out.json_line(&LineReport { schema, seq, what })
}

/// Writes an event in each form, for the fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn write_all(event: &Event, out: &mut Output<impl Write>) -> io::Result<()> {
    for json in [false, true] {
        let events = Events {
            peers: Vec::new(),
            kinds: Vec::new(),
            json,
            no_snapshot: false,
            recent: false,
        };
        events.event(event, out)?;
    }
    Ok(())
}

/// An event as people read it: when, who, what.
fn human(event: &Event) -> (String, Paint) {
    let (what, paint) = event_text::describe(&event.kind);
    let peer = event.peer.as_deref().unwrap_or(text::NOTHING);
    let time = event_text::local_time(event.at_ms, TIME);
    let line = format!("{time}  {:<12}  {}", text::clean(peer), text::clean(&what));
    (line, paint)
}
