// SPDX-License-Identifier: GPL-3.0-or-later
//! The connections between core and its helpers. Messages are passed on as values; now and then one
//! is written and read as the product does it, and has to come back equal.
//!
//! What is imitated here: connect-core/src/endpoints/listeners.rs, which admits a helper, and
//! lib/runtime/src/helper_link.rs, which reaches core again.

use std::collections::BTreeMap;
use std::time::Duration;

use connect_core::machine::ConnectionId;
use connect_ipc::frame;
use connect_ipc::pinger::{FromPinger, ToPinger};
use connect_ipc::scripts::{FromScripts, ToScripts};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::chance::What;
use crate::instant::Instant;
use crate::plan::{HostId, Part};
use crate::queue::Step;
use crate::seen::Watcher;
use crate::world::shared::Shared;

/// The first pause before a helper tries again to reach core.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest, where there is no core.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The longest, where core refuses the helper.
const LONGEST_REFUSED: Duration = Duration::from_secs(15);

/// One message in so many is written and read.
const FRAMED: u64 = 64;

/// Something on its way between core and a helper.
#[derive(Debug)]
pub(crate) enum Message {
    /// Core learns of the helper.
    Hello,
    /// The helper learns that it is connected.
    Connected,
    FromPinger(FromPinger),
    FromScripts(FromScripts),
    ToPinger(ToPinger),
    ToScripts(ToScripts),
    /// The helper learns that another one is connected.
    Refused,
    /// The helper's connection has ended.
    CoreEnded,
    /// Core's connection has ended.
    HelperEnded,
}

impl Message {
    /// Whether it is on its way to core.
    pub(crate) const fn is_to_core(&self) -> bool {
        match self {
            Message::Hello
            | Message::FromPinger(_)
            | Message::FromScripts(_)
            | Message::HelperEnded => true,
            Message::Connected
            | Message::ToPinger(_)
            | Message::ToScripts(_)
            | Message::Refused
            | Message::CoreEnded => false,
        }
    }

    /// Whether it comes back equal when it is written and read.
    fn survives(&self) -> bool {
        match self {
            Message::FromPinger(message) => comes_back(message),
            Message::FromScripts(message) => comes_back(message),
            Message::ToPinger(message) => comes_back(message),
            Message::ToScripts(message) => comes_back(message),
            _ => true,
        }
    }
}

fn comes_back<M: Serialize + DeserializeOwned + PartialEq>(message: &M) -> bool {
    let mut bytes = Vec::new();
    let written = frame::encode(message, &mut bytes).is_ok();
    let text = std::str::from_utf8(&bytes).map(str::trim_end);
    let read = text.ok().and_then(|text| frame::decode::<M>(text).ok());
    written && read.as_ref() == Some(message)
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) part: Part,
    /// Whether the helper is one that only stands in the way.
    pub(crate) is_other: bool,
    /// Until when each side may hear something, as far as it has been sent.
    last: [Instant; 2],
    pub(crate) core_open: bool,
    pub(crate) helper_open: bool,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) open: BTreeMap<ConnectionId, Link>,
    /// How many connections there were, of helpers, operators and observers.
    pub(crate) count: u64,
    sent: u64,
}

impl Links {
    /// A number for a new connection.
    pub(crate) const fn number(&mut self) -> ConnectionId {
        self.count += 1;
        ConnectionId(self.count)
    }

    /// Makes a connection.
    pub(crate) fn connect(&mut self, part: Part, is_other: bool) -> ConnectionId {
        let connection = self.number();
        let link = Link {
            part,
            is_other,
            last: [Instant(0); 2],
            core_open: true,
            helper_open: true,
        };
        self.open.insert(connection, link);
        connection
    }

    /// Sends something, behind what was sent before.
    pub(crate) fn send<W: Watcher>(
        &mut self,
        host: HostId,
        connection: ConnectionId,
        message: Message,
        shared: &mut Shared<W>,
    ) {
        let Some(link) = self.open.get_mut(&connection) else {
            return;
        };
        self.sent += 1;
        if (shared.how.frames || self.sent.is_multiple_of(FRAMED)) && !message.survives() {
            shared.fail_frame(host, &message);
        }
        let last = &mut link.last[usize::from(message.is_to_core())];
        let mut draw = shared.chances.of(What::Message, host, 0, self.sent);
        let delay = Duration::from_nanos(20_000 + draw.below(180_000));
        *last = (*last).max(shared.now + delay);
        let step = Step::Message(host, connection, Box::new(message));
        shared.queue.push(*last, step);
    }

    /// One side has closed its end: the other learns of it after it has received what was sent
    /// before.
    pub(crate) fn close<W: Watcher>(
        &mut self,
        host: HostId,
        connection: ConnectionId,
        by_core: bool,
        shared: &mut Shared<W>,
    ) {
        let Some(link) = self.open.get_mut(&connection) else {
            return;
        };
        let (mine, other) = if by_core {
            (&mut link.core_open, link.helper_open)
        } else {
            (&mut link.helper_open, link.core_open)
        };
        *mine = false;
        if !other {
            self.open.remove(&connection);
        } else if by_core {
            self.send(host, connection, Message::CoreEnded, shared);
        } else {
            self.send(host, connection, Message::HelperEnded, shared);
        }
    }
}

/// How a helper reaches core.
#[derive(Debug)]
pub(crate) struct Reach {
    /// The present connection.
    pub(crate) connection: Option<ConnectionId>,
    /// Whether core has sent something on it.
    accepted: bool,
    pause: Duration,
}

impl Default for Reach {
    fn default() -> Self {
        Reach {
            connection: None,
            accepted: false,
            pause: FIRST_PAUSE,
        }
    }
}

impl Reach {
    /// The helper has sent its hello on a new connection.
    pub(crate) const fn made(&mut self, connection: ConnectionId) {
        self.connection = Some(connection);
        self.accepted = false;
    }

    /// Core has sent something.
    pub(crate) const fn accepted(&mut self) {
        self.accepted = true;
    }

    /// The connection is lost, or could not be made: how long to wait.
    pub(crate) fn lost(&mut self, refused: bool) -> Duration {
        self.connection = None;
        if std::mem::take(&mut self.accepted) {
            self.pause = FIRST_PAUSE;
        }
        let pause = self.pause;
        let longest = if refused {
            LONGEST_REFUSED
        } else {
            LONGEST_PAUSE
        };
        self.pause = (self.pause * 2).min(longest);
        pause
    }
}
