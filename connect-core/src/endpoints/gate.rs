// SPDX-License-Identifier: GPL-3.0-or-later
//! What all connections of operators and observers share: places, rates, the count of unread bytes,
//! and the log of their faults.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connect_ipc::hello::Hello;
use connect_ipc::observers::ObserverCounts;
use connect_runtime::clock;
use connect_runtime::transport::{Account, Client, SendError, Share};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::endpoints::accepted::Accepted;
use crate::endpoints::access::{Access, Owner};
use crate::endpoints::arrivals::Guest;
use crate::endpoints::complaints::Complaints;
use crate::endpoints::door::Door;
use crate::endpoints::limits;
use crate::endpoints::pacer::Pacer;
use crate::endpoints::places::{NoPlace, Places, Verdict};
use crate::endpoints::unanswered::Unanswered;
use crate::machine::ConnectionId;

/// What the connections share.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) access: Arc<Access>,
    /// The first message to each of them.
    pub(super) hello: Hello,
    account: Arc<Account>,
    observers: Arc<Hall>,
    operators: Arc<Hall>,
    accepted: Mutex<Accepted>,
    pacer: Mutex<Pacer>,
    complaints: Mutex<Complaints>,
    pub(super) unanswered: Unanswered,
}

/// The places of one socket, and who has them.
#[derive(Debug)]
struct Hall {
    places: Mutex<Places>,
    displaced: Mutex<HashMap<ConnectionId, Arc<Notify>>>,
}

impl Hall {
    fn new(places: Places) -> Arc<Self> {
        Arc::new(Hall {
            places: Mutex::new(places),
            displaced: Mutex::default(),
        })
    }
}

/// The place of a connection, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    hall: Arc<Hall>,
    connection: ConnectionId,
    displaced: Arc<Notify>,
}

impl Place {
    /// Waits until the place is needed for another user.
    pub(super) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.hall.places).leave(self.connection);
        lock(&self.hall.displaced).remove(&self.connection);
    }
}

impl Gate {
    /// Nobody is connected yet.
    pub(super) fn new(access: Arc<Access>, hello: Hello) -> Self {
        Gate {
            access,
            hello,
            account: Arc::new(Account::new(limits::ACCOUNT)),
            observers: Hall::new(Places::new(limits::OBSERVERS)),
            operators: Hall::new(Places::new(limits::OPERATORS)),
            accepted: Mutex::default(),
            pacer: Mutex::default(),
            complaints: Mutex::default(),
            unanswered: Unanswered::new(limits::COMMANDS, limits::ALL_COMMANDS),
        }
    }

    /// Gives a connection a place, perhaps that of another connection.
    pub(super) fn place(
        &self,
        door: Door,
        connection: ConnectionId,
        owner: Owner,
    ) -> Result<Place, NoPlace> {
        let hall = match door {
            Door::Observers => &self.observers,
            Door::Operators | Door::Helpers => &self.operators,
        };
        if let Owner::Other(user) = owner
            && let Err(why) = lock(&self.accepted).note(user, clock::now())
        {
            lock(&hall.places).refuse();
            return Err(why);
        }
        match lock(&hall.places).ask(connection, owner) {
            Verdict::Admit => {}
            Verdict::Displace(other) => {
                if let Some(displaced) = lock(&hall.displaced).get(&other) {
                    displaced.notify_one();
                }
            }
            Verdict::Refuse(why) => return Err(why),
        }
        let displaced = Arc::new(Notify::new());
        lock(&hall.displaced).insert(connection, Arc::clone(&displaced));
        Ok(Place {
            hall: Arc::clone(hall),
            connection,
            displaced,
        })
    }

    /// The counter for the unread bytes of a connection.
    pub(super) fn share(&self, guest: &Guest) -> Option<Share> {
        (guest.owner != Owner::Trusted).then(|| Share {
            account: Arc::clone(&self.account),
            client: guest.client,
        })
    }

    /// A turn's messages were sent: closes connections while too much is unread.
    pub(super) fn relieve(&self) {
        for client in self.account.relieve() {
            self.complain(client, || {
                "operators and observers have left too much unread, and this user most of it; \
                 closing a connection of this user"
                    .to_owned()
            });
        }
    }

    /// Who is connected to the observers' socket.
    pub(super) fn observer_counts(&self) -> ObserverCounts {
        let places = lock(&self.observers.places);
        ObserverCounts {
            connected: places.taken() as u64,
            refused: places.refused(),
        }
    }

    /// Waits until the owner may send another message. If this is cancelled, others get the slot.
    pub(super) async fn slot(&self, owner: Owner) {
        let Owner::Other(user) = owner else { return };
        let now = clock::now();
        let ready = lock(&self.pacer).slot(user, now);
        if ready <= now {
            return;
        }
        let mut slot = Slot {
            pacer: &self.pacer,
            user,
            used: false,
        };
        sleep(ready.since(now)).await;
        slot.used = true;
    }

    /// For the owner, this many bytes were read or sent.
    pub(super) fn charge(&self, owner: Owner, bytes: usize) {
        if let Owner::Other(user) = owner
            && bytes >= limits::BYTES_A_MESSAGE
        {
            lock(&self.pacer).charge(user, bytes, clock::now());
        }
    }

    /// Logs what a client has done wrong, unless a fault of its user was logged within the last
    /// minute.
    pub(super) fn complain(&self, client: Client, what: impl FnOnce() -> String) {
        if let Some(others) = lock(&self.complaints).note(client.uid, clock::now()) {
            tracing::info!(
                %client,
                error = what(),
                others,
                "closed or refused a connection of an operator or observer"
            );
        }
    }

    /// Logs that something cannot be sent.
    pub(super) fn cannot_send(&self, client: Client, error: &SendError) {
        // If the client has disconnected, its reader reports that, once for all its answers.
        if !matches!(error, SendError::Gone) {
            self.complain(client, || format!("cannot send an answer: {error}"));
        }
    }

    /// Logs how many faults were not logged in the last minute.
    pub(super) fn tell_complaints(&self) {
        for (user, others) in lock(&self.complaints).over(clock::now()) {
            tracing::info!(
                user,
                others,
                "closed or refused more connections of this user in the last minute"
            );
        }
    }
}

/// A message that a user may send later.
struct Slot<'a> {
    pacer: &'a Mutex<Pacer>,
    user: Option<u32>,
    used: bool,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if !self.used {
            lock(self.pacer).give_back(self.user);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one of these locks can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
