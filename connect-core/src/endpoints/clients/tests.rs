// SPDX-License-Identifier: GPL-3.0-or-later
//! What becomes of a connection of an operator or observer.

use super::*;
use crate::endpoints::access::{Access, Owner};
use crate::options::CoreOnlyOptions;
use clap::Parser as _;
use interprocess::local_socket::tokio::Stream;
use tokio::time::Instant;

/// A socket of observers with one client.
struct Rig {
    gate: Gate,
    place: Place,
    arrived: Arrived,
    _dir: tempfile::TempDir,
}

impl Rig {
    /// Gives the client's end, too.
    async fn new() -> (Self, Stream) {
        let options = CoreOnlyOptions::parse_from(["connect-core"]).core;
        let access = Arc::new(Access::new(&options).unwrap());
        let gate = Gate::new(access, Hello::new(Role::Core));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = transport::listen(&path, 0o600).await.unwrap();
        let there = transport::connect(&path).await.unwrap();
        let (socket, client) = transport::accept(&listener).await.unwrap();
        let guest = Guest {
            client,
            owner: Owner::Other(client.uid),
        };
        let connection = ConnectionId(1);
        let place = gate
            .place(Door::Observers, connection, guest.owner)
            .unwrap();
        let arrived = Arrived {
            socket,
            door: Door::Observers,
            connection,
            guest,
        };
        let rig = Rig {
            gate,
            place,
            arrived,
            _dir: dir,
        };
        (rig, there)
    }
}

// The runtime's time does not advance here unless a task waits for it.
#[tokio::test(start_paused = true)]
async fn who_hangs_up_while_it_waits_for_its_pace_leaves_at_once() {
    let (rig, there) = Rig::new().await;
    rig.gate.charge(rig.arrived.guest.owner, usize::MAX);
    drop(there);
    let (arrivals, _requests) = mpsc::channel(1);
    let before = Instant::now();
    serve(rig.arrived, &rig.gate, &rig.place, &arrivals).await;
    assert_eq!(Instant::now(), before, "it has waited");
    drop(rig.place);
    assert_eq!(rig.gate.observer_counts().connected, 0);
}

#[tokio::test]
async fn a_client_that_is_there_when_core_ends_is_told_of_no_fault() {
    let (rig, there) = Rig::new().await;
    let (mut receiver, sender) = transport::split(there, 1 << 16).unwrap();
    sender.send(&Hello::new(Role::Operator)).unwrap();
    let (arrivals, requests) = mpsc::channel(1);
    drop(requests);
    serve(rig.arrived, &rig.gate, &rig.place, &arrivals).await;
    assert!(receiver.next::<Hello>().await.unwrap().is_some());
    assert_eq!(receiver.next::<Answer>().await.unwrap(), None);
}
