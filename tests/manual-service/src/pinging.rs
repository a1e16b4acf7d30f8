// SPDX-License-Identifier: GPL-3.0-or-later
//! Pinging of adopted peers, and the figures that come of it.

use peerdb::Record;

use crate::Service;
use crate::server::{End, Purpose};
use crate::words::interval;

/// How the pinging of an adopted peer goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pinging {
    /// The tag of the ping that is under way.
    pub(crate) ping: Option<String>,
    /// When the next check begins, unless one is in progress.
    due: u64,
    /// The number of failed pings in the current or most recent batch.
    failures: u64,
    /// Whether the attempt before the one that is under way has failed.
    missed: bool,
    /// Whether it was sabotaged.
    sabotaged: bool,
    /// What happened to the most recent ping.
    last: Option<Result<f64, ()>>,
    /// The times of successful pings in milliseconds.
    times: Vec<f64>,
    /// The number of pings that have timed out.
    lost: u64,
}

/// The manual, "Operation": the parameters `every`, `timeout` and `retries`, keys of the record.
/// The default of `every` is 30 seconds for active dynamic peers, and 5 minutes for passive peers;
/// the default of `timeout` is 10 seconds, that of `retries` 5 attempts.
/// The manual does not give a period for static peers: they are pinged as passive ones, since a
/// failure does not provoke a reconnection either. It does not say what an interval or a number
/// means that cannot be understood: the default holds. No attempt at all makes no sense.
fn parameters(record: Option<&Record>) -> (u64, String, u64) {
    let get = |key| record.and_then(|record| record.get(key));
    let is_dynamic = get("connect").is_some() || get("knock").is_some();
    let default = if is_dynamic { "30" } else { "300" };
    let every = get("every").filter(|text| interval(text).is_some());
    let timeout = get("timeout").filter(|text| interval(text).is_some());
    let retries = get("retries").and_then(|text| text.parse().ok());
    let every = interval(every.unwrap_or(default)).unwrap_or_default();
    let retries = retries.unwrap_or(5).max(1);
    (every, timeout.unwrap_or("10").to_owned(), retries)
}

impl Pinging {
    /// The pinging of a peer that is adopted now. The manual does not say when the first check
    /// begins: at once.
    pub(crate) fn from(now: u64) -> Self {
        Pinging {
            due: now,
            ..Pinging::default()
        }
    }

    /// When the next check begins.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.ping.is_none().then_some(self.due)
    }
}

impl Service {
    /// The manual, "Operation": adopted peers are pinged at regular intervals.
    pub(crate) fn begin_checks(&mut self) {
        for (peer, pinging) in self.adopted.clone() {
            if pinging.deadline().is_some_and(|due| due <= self.now) {
                self.ping(&peer, 0);
            }
        }
    }

    /// The manual, "Operation": this uses the `PING` administrative command. It waits for a reply
    /// as long as `timeout` says.
    fn ping(&mut self, peer: &str, failures: u64) {
        let (_, timeout, _) = parameters(self.record(peer).as_ref());
        let words = ["PING", "-timeout", &timeout, peer];
        let tag = self.background(&words, Purpose::Ping(peer.to_owned()));
        if let Some(pinging) = self.adopted.get_mut(peer) {
            pinging.ping = Some(tag);
            pinging.failures = failures;
        }
    }

    /// The manual, "Operation", "The algorithm": if a reply is received before the `timeout` then
    /// the peer is alive; wait `every` and check again. If no reply is received within the
    /// `timeout`, then try again up to `retries` times. If no attempt succeeds, the peer is
    /// declared unreachable.
    /// The manual, "Warnings", `ping-ok`: a reply was received though earlier attempts had failed;
    /// `ping-timeout`: so far, i pings have been sent, of a total of n.
    /// The manual, "Notifications", `ping-failed`: an attempt to `PING` the peer failed. The manual
    /// does not say what follows: the next check is after `every`.
    pub(crate) fn ping_ended(
        &mut self,
        peer: &str,
        tag: Option<&str>,
        info: &[String],
        end: End<'_>,
    ) {
        let (every, _, retries) = parameters(self.record(peer).as_ref());
        let pinging = self.adopted.get_mut(peer);
        let Some(pinging) = pinging.filter(|pinging| pinging.ping.as_deref() == tag) else {
            return;
        };
        pinging.ping = None;
        pinging.due = self.now.saturating_add(every);
        let reply = info.get(1).filter(|_| !pinging.sabotaged);
        if let Err(error) = end {
            pinging.missed = true;
            self.notify(&[&["ping-failed", peer], error].concat());
        } else if let Some(time) = reply.and_then(|time| time.parse().ok()) {
            pinging.times.push(time);
            pinging.last = Some(Ok(time));
            if std::mem::take(&mut pinging.missed) {
                self.warn(&["ping-ok", peer]);
            }
        } else if info.iter().any(|word| word == "ping-peer-died") {
            // The server says so in a notification of its own.
        } else {
            pinging.failures += 1;
            pinging.lost += 1;
            pinging.missed = true;
            pinging.last = Some(Err(()));
            let failures = pinging.failures;
            let (attempt, of) = (failures.to_string(), retries.to_string());
            self.warn(&["ping-timeout", peer, "attempt", &attempt, "of", &of]);
            if failures < retries {
                self.ping(peer, failures);
            } else {
                self.unreachable(peer);
            }
        }
    }

    /// The manual, "Operation", "The algorithm": if the peer has a `connect` command then another
    /// connection attempt is made. Otherwise the peer is killed. The manual does not say when a
    /// peer that is reconnected is checked again: after `every`. It does not say when sabotage
    /// ends either: with what it provokes.
    /// The manual, "Warnings", `reconnecting`: the peer seems to be unresponsive.
    fn unreachable(&mut self, peer: &str) {
        if let Some(pinging) = self.adopted.get_mut(peer) {
            pinging.sabotaged = false;
        }
        let record = self.record(peer);
        if record.is_some_and(|record| record.get("connect").is_some()) {
            self.warn(&["reconnecting", peer]);
            self.connect(peer);
        } else {
            self.command(&["KILL", peer], Purpose::Nothing);
        }
    }

    /// The manual, "Service command reference", `sabotage`: connect thinks that the peer can't
    /// respond to pings.
    pub(crate) fn sabotage(&mut self, peer: &str) -> bool {
        let pinging = self.adopted.get_mut(peer);
        pinging.map(|pinging| pinging.sabotaged = true).is_some()
    }

    /// The manual, "Service command reference", `info`: the additional keys.
    pub(crate) fn figures(&self, peer: &str) -> Option<[(&'static str, String); 9]> {
        let pinging = self.adopted.get(peer)?;
        let times = &pinging.times;
        // No peer is pinged so often that this is inexact.
        let count = f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX));
        let mean = times.iter().sum::<f64>() / count;
        let squares = times.iter().map(|time| (time - mean).powi(2));
        let deviation = (squares.sum::<f64>() / count).sqrt();
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = times.iter().copied().fold(0.0, f64::max);
        let milliseconds = |time: f64| format!("{time:.1}ms");
        let if_any = |time: f64| match times.as_slice() {
            [] => "-".to_owned(),
            _ => milliseconds(time),
        };
        let last = match pinging.last {
            None => "-".to_owned(),
            Some(Ok(time)) => milliseconds(time),
            Some(Err(())) => "timeout".to_owned(),
        };
        let state = pinging.ping.as_ref().map_or("idle", |_| "check");
        Some([
            ("failures", pinging.failures.to_string()),
            ("last-ping", last),
            ("max-ping", if_any(greatest)),
            ("mean-ping", if_any(mean)),
            ("min-ping", if_any(least)),
            ("n-lost", pinging.lost.to_string()),
            ("n-ping", times.len().to_string()),
            ("sd-ping", if_any(deviation)),
            ("state", state.to_owned()),
        ])
    }
}
