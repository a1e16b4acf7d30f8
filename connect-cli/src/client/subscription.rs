// SPDX-License-Identifier: GPL-3.0-or-later
//! The stream of events: everything that happens, after the state if that is wanted, in one
//! request.
//!
//! ```text
//!   us --events--> core
//!   core --service, peers..., event..., live--> the state, and what happens while it is made
//!   core --event, dropped...-->                 from then on
//! ```

use std::time::Duration;

use connect_ipc::control::{PeerRows, Reply, Request, ServiceStatus};
use connect_ipc::event::Event;
use connect_ipc::event_filter::EventFilter;

use super::connection::{Control, ControlError};

/// One item of the stream.
#[derive(Clone, Debug)]
pub(crate) enum StreamItem {
    /// The service as it is.
    Service(Box<ServiceStatus>),
    /// Some of its peers.
    Rows(PeerRows),
    /// The state is complete; this is the number of the last event so far.
    Live(u64),
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
    live: bool,
    /// For how long there may be no event once the state is complete; `None` is without limit.
    silence: Option<Duration>,
}

impl Subscription {
    /// Subscribes. Once the state is complete there is no time limit for the next event, unless
    /// [`Subscription::end_after`] sets one.
    pub(crate) fn begin(mut control: Control, filter: EventFilter) -> Result<Self, ControlError> {
        let request = control.ask(Request::Events(filter))?;
        Ok(Subscription {
            control,
            request,
            live: false,
            silence: None,
        })
    }

    /// Ends with [`ControlError::Silent`] when there is no event for so long, once the state is
    /// complete.
    pub(crate) fn end_after(&mut self, silence: Option<Duration>) {
        self.silence = silence;
    }

    /// Subscribes to what happens from now on. Gives the number of the last event before.
    pub(crate) async fn without_state(
        control: Control,
        filter: EventFilter,
    ) -> Result<(Self, u64), ControlError> {
        let state = false;
        let mut subscription = Subscription::begin(control, EventFilter { state, ..filter })?;
        match subscription.next().await? {
            StreamItem::Live(seq) => Ok((subscription, seq)),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Asks for something else on the same connection; the replies come among the events.
    pub(crate) fn ask(&mut self, request: Request) -> Result<u64, ControlError> {
        self.control.ask(request)
    }

    /// The connection, for a request during which events are skipped.
    pub(crate) fn control(&mut self) -> &mut Control {
        &mut self.control
    }

    /// The next item. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<StreamItem, ControlError> {
        let (id, reply) = self.control.answer().await.map_err(|error| match error {
            ControlError::Lost if self.live => ControlError::Ended,
            ControlError::Timeout(limit) if self.live => ControlError::Silent(limit),
            other => other,
        })?;
        if id != self.request {
            return Ok(StreamItem::Reply(id, reply));
        }
        Ok(match reply {
            Reply::Service(service) => StreamItem::Service(service),
            Reply::Peers(rows) => StreamItem::Rows(rows),
            Reply::Live { seq } => {
                self.live = true;
                self.control.set_time_limit(self.silence);
                StreamItem::Live(seq)
            }
            Reply::Event(event) => StreamItem::Event(event),
            Reply::Dropped { events } => StreamItem::Dropped(events),
            _ => return Err(ControlError::Unexpected),
        })
    }
}
