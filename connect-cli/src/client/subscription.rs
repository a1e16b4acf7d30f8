// SPDX-License-Identifier: GPL-3.0-or-later
//! The stream of events: the state first, then everything that happens, in one request.
//!
//! ```text
//!   us --events--> core
//!   core --service, peers..., live--> Snapshot    complete as of event `seq`
//!   core --event, dropped...-->       StreamItem    from then on
//! ```

use connect_ipc::control::{PeerStatus, Reply, Request, ServiceStatus};
use connect_ipc::event::Event;
use connect_ipc::event_filter::EventFilter;

use super::connection::{Control, ControlError};
use super::state::Collected;

/// The state that a subscription begins with.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) service: ServiceStatus,
    /// Its peers, sorted by name.
    pub(crate) peers: Vec<PeerStatus>,
    /// The number of the last event that the state includes.
    pub(crate) seq: u64,
}

/// One item of the stream.
#[derive(Clone, Debug)]
pub(crate) enum StreamItem {
    /// Something happened.
    Event(Event),
    /// This number of events was left out because they were not read fast enough.
    Dropped(u64),
    /// A reply to another request on the same connection.
    Reply(u64, Reply),
}

/// A subscription to events, and the connection that it is on.
#[derive(Debug)]
pub(crate) struct Subscription {
    control: Control,
    request: u64,
}

impl Subscription {
    /// Subscribes. From then on there is no time limit for the next event.
    pub(crate) async fn begin(
        mut control: Control,
        filter: EventFilter,
    ) -> Result<(Self, Snapshot), ControlError> {
        let request = control.ask(Request::Events(filter))?;
        let mut state = Collected::default();
        let seq = loop {
            match control.reply().await? {
                Reply::Live { seq } => break seq,
                reply => {
                    if state.take(reply)? {
                        return Err(ControlError::Unexpected);
                    }
                }
            }
        };
        control.remove_time_limit();
        let (service, peers) = state.finish()?;
        let snapshot = Snapshot {
            service,
            peers,
            seq,
        };
        Ok((Subscription { control, request }, snapshot))
    }

    /// Asks for something else on the same connection; the replies come among the events.
    pub(crate) fn ask(&mut self, request: Request) -> Result<u64, ControlError> {
        self.control.ask(request)
    }

    /// The next reply to a request, whatever events come before it.
    pub(crate) async fn reply_to(&mut self, request: u64) -> Result<Reply, ControlError> {
        loop {
            if let StreamItem::Reply(id, reply) = self.next().await?
                && id == request
            {
                return Ok(reply);
            }
        }
    }

    /// The next item. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<StreamItem, ControlError> {
        let (id, reply) = self.control.answer().await.map_err(|error| match error {
            ControlError::Lost => ControlError::Ended,
            other => other,
        })?;
        match reply {
            Reply::Event(event) if id == self.request => Ok(StreamItem::Event(event)),
            Reply::Dropped { events } if id == self.request => Ok(StreamItem::Dropped(events)),
            _ if id == self.request => Err(ControlError::Unexpected),
            reply => Ok(StreamItem::Reply(id, reply)),
        }
    }
}
