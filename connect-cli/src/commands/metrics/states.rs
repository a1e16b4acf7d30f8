// SPDX-License-Identifier: GPL-3.0-or-later
//! The states from which scrapes are answered, few at a time. A state with many peers is large, and
//! if each scrape read one of its own, the service would have much to do.

use std::sync::{Arc, Weak};
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;
use tokio::sync::Mutex;

use super::collect::{self, State};
use crate::client::connection::ControlError;
use crate::client::limit::within;
use crate::common::Common;

/// If more states than this are in use, the newest is used again. Usually there are only the one
/// that is being read, and perhaps the one from which the previous scrape is still being answered.
const USUAL: usize = 2;

/// The greatest age of a state that is used again. So clients that read their answers slowly keep
/// only a few states in memory, and no scrape waits for them.
pub(crate) const OLDEST: Duration = Duration::from_secs(10);

/// The states in use.
#[derive(Debug)]
pub(crate) struct States {
    oldest: Duration,
    /// Each with the time at which it was complete. The task that holds the lock reads the next
    /// one.
    used: Mutex<Vec<(Monotonic, Weak<State>)>>,
}

impl States {
    /// None yet. A state that is older than this is not used again.
    pub(crate) fn new(oldest: Duration) -> Self {
        let used = Mutex::default();
        States { oldest, used }
    }

    /// A state that was completed after this call; if many are in use, one that is not too old.
    pub(crate) async fn get(&self, common: &Common, limit: Option<Duration>) -> Arc<State> {
        let asked = clock::now();
        let state = async {
            let mut used = self.used.lock().await;
            used.retain(|(_, state)| state.strong_count() > 0);
            let newest = used.last().and_then(|(at, state)| {
                let is_enough =
                    *at >= asked || used.len() >= USUAL && clock::now().since(*at) < self.oldest;
                state.upgrade().filter(|_| is_enough)
            });
            if let Some(state) = newest {
                return state;
            }
            let state = Arc::new(collect::state(common, None).await);
            if state.is_ok() {
                used.push((clock::now(), Arc::downgrade(&state)));
            }
            state
        };
        within(limit, state, ControlError::Timeout)
            .await
            .unwrap_or_else(|error| Arc::new(Err(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::CommonOptions;
    use connect_ipc::control::{Answer, Envelope, Reply, ServiceStatus};
    use connect_ipc::hello::{Hello, Role};
    use connect_runtime::transport::{self, CLIENT_BACKLOG, Limits};
    use interprocess::local_socket::tokio::Listener;
    use serde_json::json;

    fn service() -> ServiceStatus {
        let helper = json!({"connected": true, "connections": 1, "pid": 1, "version": "2.0.0"});
        serde_json::from_value(json!({
            "schema": 1, "version": "2.0.0", "pid": 1, "uptime": 60, "socket": "tripesock",
            "server": "up", "database": {"path": "peers.cdb", "peers": 0, "fault": null, "origin": "file"},
            "pinger": helper, "scripts": helper,
        }))
        .unwrap()
    }

    /// A core that sends its state to three clients.
    async fn core(listener: &Listener) {
        for _ in 0..3 {
            let (stream, _) = transport::accept(listener).await.unwrap();
            let limits = Limits::of_backlog(CLIENT_BACKLOG);
            let (mut receiver, sender) = transport::split_within(stream, limits);
            sender.send(&Hello::new(Role::Core)).unwrap();
            receiver.next::<Hello>().await.unwrap();
            let id = receiver.next::<Envelope>().await.unwrap().unwrap().id;
            for reply in [Reply::Service(Box::new(service())), Reply::Done {}] {
                sender.send(&Answer { id, reply }).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn scrapes_at_the_same_time_share_a_state_and_slow_readers_hold_few() {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("control.sock");
        let common = Common::new(CommonOptions {
            control: Some(socket.clone()),
            ..CommonOptions::default()
        });
        let listener = transport::listen(&socket, 0o600).await.unwrap();
        // There is no limit, so that a slow test does not fail.
        let states = States::new(Duration::MAX);
        let get = || states.get(&common, None);
        let checking = async {
            let (one, other) = tokio::join!(get(), get());
            assert!(one.is_ok() && Arc::ptr_eq(&one, &other));
            // A later call gets another one, as long as there are not many.
            let later = get().await;
            assert!(later.is_ok() && !Arc::ptr_eq(&one, &later));
            for _ in 0..9 {
                assert!(Arc::ptr_eq(&later, &get().await));
            }
            drop((one, other));
            let last = get().await;
            assert!(last.is_ok() && !Arc::ptr_eq(&last, &later));
        };
        tokio::select! {
            () = checking => {}
            () = async { core(&listener).await; std::future::pending().await } => {}
        }
    }
}
