// SPDX-License-Identifier: GPL-3.0-or-later
//! The states that scrapes are answered with, few at a time: that of many peers is large, and so
//! would be what the service has to do if each scrape read one for itself.

use std::sync::{Arc, Weak};
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;
use tokio::sync::Mutex;

use super::collect::{self, State};
use crate::client::connection::ControlError;
use crate::client::limit::within;
use crate::common::Common;

/// How many states are in use when the newest is used once more: usually there is the one that is
/// read now, and at most the one that the scrape before is still answered with.
const USUAL: usize = 2;

/// How old a state is at most that is used once more. So those who read their answers slowly hold a
/// few states only, and no scrape waits for them.
pub(crate) const OLDEST: Duration = Duration::from_secs(10);

/// The states in use.
#[derive(Debug)]
pub(crate) struct States {
    oldest: Duration,
    /// Each with the time at which it was complete. Who holds the lock reads the next one.
    used: Mutex<Vec<(Monotonic, Weak<State>)>>,
}

impl States {
    /// None yet. One that is older is not used once more.
    pub(crate) fn new(oldest: Duration) -> Self {
        let used = Mutex::default();
        States { oldest, used }
    }

    /// A state that was complete only after this was called. If many are in use, one that is not
    /// old.
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
    use connect_runtime::transport::{self, Limits, OPERATOR_BACKLOG};
    use interprocess::local_socket::tokio::Listener;
    use serde_json::json;

    fn service() -> ServiceStatus {
        let helper = json!({"connected": true, "connections": 1, "pid": 1, "version": "2.0.0"});
        serde_json::from_value(json!({
            "schema": 1, "version": "2.0.0", "pid": 1, "uptime": 60, "socket": "tripesock",
            "server": "up", "database": {"path": "peers.cdb", "peers": 0, "fault": null},
            "pinger": helper, "scripts": helper,
        }))
        .unwrap()
    }

    /// A core that tells its state to three clients.
    async fn core(listener: &Listener) {
        for _ in 0..3 {
            let (stream, _) = transport::accept(listener).await.unwrap();
            let limits = Limits::of_backlog(OPERATOR_BACKLOG);
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
        // However slow this test is.
        let states = States::new(Duration::MAX);
        let get = || states.get(&common, None);
        let checking = async {
            let (one, other) = tokio::join!(get(), get());
            assert!(one.is_ok() && Arc::ptr_eq(&one, &other));
            // Who asks later gets another one, as long as there are not many.
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
