// SPDX-License-Identifier: GPL-3.0-or-later
//! One event to a hundred observers.

use std::collections::HashMap;

use connect_core::endpoints::access::Owner;
use connect_core::endpoints::observers::Observers;
use connect_core::machine::{ConnectionId, Told};
use connect_ipc::clock::Monotonic;
use connect_ipc::event::{Event, EventKind};
use connect_ipc::event_filter::EventFilter;
use connect_runtime::transport::{self, CLIENT_BACKLOG};

use super::Listed;

/// Few enough that all events, unread, stay below the bound from which on they are dropped.
pub(super) const PATHS: &[Listed] = &[("one event to 100 observers", 100, publish)];

/// The clock is not read where instructions are counted.
const NOW: Monotonic = Monotonic(1_000_000_000);

/// How many observers there are.
const OBSERVERS: u64 = 100;

fn publish(times: u32) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("s");
        let listener = transport::listen(&path, 0o600).await?;
        let mut observers = Observers::default();
        let mut connections = Vec::new();
        for number in 0..OBSERVERS {
            let there = transport::connect(&path).await?;
            let (here, _) = transport::accept(&listener).await?;
            let (receiver, sender) =
                transport::split_within(here, transport::Limits::of_backlog(CLIENT_BACKLOG));
            let id = ConnectionId(number);
            let everything = EventFilter::default();
            observers.subscribe(id, Owner::Trusted, number, everything, Told::All);
            connections.push((id, sender, receiver, there));
        }
        let senders: HashMap<_, _> = connections
            .iter()
            .map(|(id, sender, ..)| (*id, sender))
            .collect();
        // Nothing is awaited from here on, so the writing is not counted.
        for seq in 1..=times {
            let event = Event {
                seq: seq.into(),
                at_ms: 0,
                peer: Some("peer-00001".to_owned()),
                kind: EventKind::Moved {
                    address: "INET 192.0.2.1 4070".to_owned(),
                },
            };
            let dropped = observers.publish(&[event], NOW, |of| senders.get(&of).copied());
            anyhow::ensure!(dropped == 0, "events were dropped");
        }
        Ok(())
    })
}
