// SPDX-License-Identifier: GPL-3.0-or-later
//! A peer's statistics and the way times are written in them (tripe-admin.md, 3.7).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::args::Args;
use super::command::{Done, Outcome};
use super::peer::PeerKey;
use super::{ClientId, Now, Server};
use crate::datagram::Datagram;

/// Packets and bytes of one kind in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    packets: u64,
    bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// What is counted of a peer.
#[derive(Clone, Debug)]
pub(super) struct Stats {
    start: Now,
    last_packet: Option<Now>,
    pub(super) last_key_exchange: Option<Now>,
    received: Count,
    sent: Count,
    key_exchange_received: Count,
    key_exchange_sent: Count,
    ip_received: Count,
    ip_sent: Count,
    pub(super) rejected: u64,
}

impl Stats {
    pub(super) fn new(start: Now) -> Self {
        Stats {
            start,
            last_packet: None,
            last_key_exchange: None,
            received: Count::default(),
            sent: Count::default(),
            key_exchange_received: Count::default(),
            key_exchange_sent: Count::default(),
            ip_received: Count::default(),
            ip_sent: Count::default(),
            rejected: 0,
        }
    }
}

/// A moment as `YYYY-MM-DDTHH:MM:SS`. The lab lives in universal time: the standard library knows
/// no local time.
fn moment(time: SystemTime) -> String {
    const DAY: u64 = 86_400;
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (mut days, second) = (seconds / DAY, seconds % DAY);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!(
        "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}",
        days + 1,
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

impl Server {
    fn when(&self, time: Option<Duration>) -> String {
        time.and_then(|time| self.epoch.checked_add(time))
            .map_or_else(|| String::from("NEVER"), moment)
    }

    /// Counts a packet sent to a peer.
    pub(super) fn count_sent(&mut self, key: PeerKey, datagram: &Datagram, bytes: usize) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.last_sent = now;
            peer.stats.sent.add(bytes);
            if datagram.is_key_exchange() {
                peer.stats.key_exchange_sent.add(bytes);
            } else if let Datagram::Data(_, data) = datagram {
                peer.stats.ip_sent.add(data.len());
            }
        }
    }

    /// Counts a packet received from a peer.
    pub(super) fn count_received(&mut self, key: PeerKey, datagram: &Datagram, bytes: usize) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.stats.last_packet = Some(now);
            peer.stats.received.add(bytes);
            if datagram.is_key_exchange() {
                peer.stats.key_exchange_received.add(bytes);
            } else if let Datagram::Data(_, data) = datagram {
                peer.stats.ip_received.add(data.len());
            }
        }
    }

    pub(super) fn stats(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        let key = self.find_peer(args.word(0))?;
        let Some(stats) = self.peers.get(&key).map(|peer| peer.stats.clone()) else {
            return Ok(Done::Ok);
        };
        for (key, time) in [
            ("start-time", Some(stats.start)),
            ("last-packet-time", stats.last_packet),
            ("last-keyexch-time", stats.last_key_exchange),
        ] {
            let line = self.line("INFO").pair(key, self.when(time)).finish();
            self.send(client, line);
        }
        for (kind, direction, count) in [
            ("", "in", stats.received),
            ("", "out", stats.sent),
            ("keyexch-", "in", stats.key_exchange_received),
            ("keyexch-", "out", stats.key_exchange_sent),
            ("ip-", "in", stats.ip_received),
            ("ip-", "out", stats.ip_sent),
        ] {
            let line = self
                .line("INFO")
                .pair(&format!("{kind}packets-{direction}"), count.packets)
                .pair(&format!("{kind}bytes-{direction}"), count.bytes)
                .finish();
            self.send(client, line);
        }
        let line = self
            .line("INFO")
            .pair("rejected-packets", stats.rejected)
            .finish();
        self.send(client, line);
        Ok(Done::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_704_164_645, "2024-01-02T03:04:05"),
            (1_735_689_599, "2024-12-31T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(moment(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
