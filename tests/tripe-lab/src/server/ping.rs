// SPDX-License-Identifier: GPL-3.0-or-later
//! `PING` and `EPING`: sending, answers, timeouts, and what the peer's end does to them
//! (tripe-admin.md, 3.2 and 6.5).

use std::time::Duration;

use super::args::Args;
use super::command::{Done, Outcome};
use super::fail::Fail;
use super::jobs::{JobKey, Reply, Work};
use super::peer::PeerKey;
use super::timers::Timer;
use super::{ClientId, Now, Server};
use crate::datagram::{Datagram, Echo};
use crate::switches::PingFormat;
use tripe_admin::Interval;

/// Which kind of ping.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PingKind {
    /// `PING`: neither end needs keys.
    Transport,
    /// `EPING`: through the session.
    Encrypted,
}

/// A ping under way.
#[derive(Debug)]
pub(super) struct Ping {
    pub(super) peer: PeerKey,
    pub(super) id: u32,
    cookie: u64,
    sent: Now,
    /// When it is given up.
    deadline: Now,
    kind: PingKind,
}

/// How long a ping waits if it is not told (`T_PING` of the server).
const DEFAULT_TIMEOUT: Interval = Interval::from_secs(5);

impl PingKind {
    /// The name in warnings.
    const fn name(self) -> &'static str {
        match self {
            PingKind::Transport => "transport-ping",
            PingKind::Encrypted => "encrypted-ping",
        }
    }
}

impl Server {
    /// How many pings this server has been asked for so far, of either kind.
    #[must_use]
    pub fn pings(&self) -> u64 {
        self.next_ping.into()
    }

    pub(super) fn ping(&mut self, client: ClientId, mut args: Args<'_>, kind: PingKind) -> Outcome {
        let (mut tag, mut timeout) = (None, DEFAULT_TIMEOUT);
        while let Some(option) = args.option() {
            match option.as_str() {
                "-background" => tag = Some(args.value()?.to_owned()),
                "-timeout" => timeout = args.time()?,
                _ => return Err(args.bad_syntax()),
            }
        }
        let args = args.counted()?;
        let peer = self.find_peer(args.word(0))?;
        let reply = self.begin(client, tag)?;
        self.send_ping(reply, peer, kind, self.seconds(timeout.seconds()));
        Ok(Done::Answered)
    }

    fn send_ping(&mut self, reply: Reply, key: PeerKey, kind: PingKind, timeout: Duration) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        let (addr, session) = (peer.addr, peer.keys.first().copied());
        if kind == PingKind::Encrypted && session.is_none() {
            return self.answer(&reply, Err(Fail::PingSendFailed));
        }
        let deadline = self.now + timeout;
        let cookie = self.rng.next();
        // A number that may come again only when the one before is long forgotten.
        let id = self.next_ping;
        self.next_ping = self.next_ping.wrapping_add(1);
        let ping = Ping {
            peer: key,
            id,
            cookie,
            sent: self.now,
            deadline,
            kind,
        };
        let echo = Echo { id, cookie };
        let datagram = match (kind, session) {
            (PingKind::Encrypted, Some(session)) => Datagram::EncryptedPing(session, echo),
            _ => Datagram::Ping(echo),
        };
        if let Some(reflect) = self.reflects(addr) {
            self.count_sent(key, &datagram, datagram.size());
            let answer = self.reflection(addr, reflect.delay);
            match answer {
                Some(Duration::ZERO) => {
                    self.count_received(key, &datagram, datagram.size());
                    self.ping_ok(&reply, Duration::ZERO);
                    self.answer(&reply, Ok(()));
                }
                Some(delay) if self.now + delay < deadline => {
                    let at = self.now + delay;
                    self.park(reply, Work::Ping(ping), Some((at, Timer::ReflectedPong)));
                }
                _ => {
                    self.park(
                        reply,
                        Work::Ping(ping),
                        Some((deadline, Timer::PingTimeout)),
                    );
                }
            }
            return;
        }
        self.park(
            reply,
            Work::Ping(ping),
            Some((deadline, Timer::PingTimeout)),
        );
        self.transmit(key, &datagram);
    }

    fn ping_ok(&mut self, reply: &Reply, took: Duration) {
        let millis = took.as_secs_f64() * 1_000.0;
        let text = match self.config.switches.ping_format {
            PingFormat::Tenths => format!("{millis:.1}"),
            PingFormat::Whole => format!("{millis:.0}"),
            PingFormat::Thousandths => format!("{millis:.3}"),
        };
        self.inform(reply, |line| line.word("ping-ok").word(&text));
    }

    fn end_ping(&mut self, job: JobKey, result: &str) {
        if let Some(job) = self.end_job(job) {
            self.inform(&job.reply, |line| line.word(result));
            self.conclude(&job.reply, Ok(()));
        }
    }

    pub(super) fn ping_timeout(&mut self, job: JobKey) {
        self.end_ping(job, "ping-timeout");
    }

    /// The pings of a peer that is no more.
    pub(super) fn pings_died(&mut self, mut jobs: Vec<JobKey>) {
        // In the order of their begin: a map's order would differ from run to run.
        jobs.sort_unstable();
        for job in jobs {
            self.end_ping(job, "ping-peer-died");
        }
    }

    fn pong_came(&mut self, job: JobKey) {
        if let Some(job) = self.end_job(job)
            && let Work::Ping(ping) = &job.work
        {
            self.ping_ok(&job.reply, self.now.saturating_sub(ping.sent));
            self.conclude(&job.reply, Ok(()));
        }
    }

    pub(super) fn reflected_pong(&mut self, key: JobKey) {
        if let Some(Work::Ping(ping)) = self.jobs.get(&key).map(|job| &job.work) {
            let (peer, deadline) = (ping.peer, ping.deadline);
            let addr = self.peers.get(&peer).map(|peer| peer.addr);
            if addr.is_some_and(|addr| self.silent.contains(&addr)) {
                // It fell silent with the answer on its way.
                let timer = self.timers.set(deadline, Timer::PingTimeout(key));
                if let Some(job) = self.jobs.get_mut(&key) {
                    job.timer = Some(timer);
                }
                return;
            }
            let datagram = Datagram::Pong(Echo { id: 0, cookie: 0 });
            self.count_received(peer, &datagram, datagram.size());
            self.pong_came(key);
        }
    }

    /// An answer to a ping came from a peer.
    pub(super) fn pong(&mut self, key: PeerKey, kind: PingKind, echo: Echo) {
        let job = self
            .peers
            .get(&key)
            .and_then(|peer| peer.pings.get(&echo.id))
            .copied();
        let found = job.and_then(|job| match self.jobs.get(&job).map(|job| &job.work) {
            Some(Work::Ping(ping)) if ping.kind == kind => Some((job, ping.cookie)),
            _ => None,
        });
        match found {
            Some((job, cookie)) if cookie == echo.cookie => self.pong_came(job),
            Some(_) => self.peer_warning(key, &[&format!("corrupt-{}", kind.name())]),
            None => {
                let id = format!("0x{:08x}", echo.id);
                self.peer_warning(key, &[&format!("unexpected-{}", kind.name()), &id]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::SystemTime;

    use super::*;
    use crate::LabConfig;
    use crate::config::Reflect;
    use crate::server::{Control, Input, Output, Watch};

    #[test]
    fn the_answer_of_a_peer_that_falls_silent_meanwhile_is_lost() {
        let config = LabConfig {
            reflect: Some(Reflect {
                network: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0)),
                bits: 24,
                delay: Duration::from_millis(20),
            }),
            ..LabConfig::new("/nonexistent")
        };
        let udp = vec![([127, 0, 0, 1], 1).into()];
        let mut server = Server::new(config, udp, 0, SystemTime::UNIX_EPOCH);
        let mut at = |millis: u64, input: Input<'_>| {
            let mut outputs = Vec::new();
            server.handle(input, Duration::from_millis(millis), &mut outputs);
            let lines = outputs.into_iter().filter_map(|output| match output {
                Output::Line(_, line) => Some(line),
                _ => None,
            });
            lines.collect::<Vec<String>>()
        };
        let client = ClientId(1);
        let line = |text: &'static str| Input::Line(client, text.as_bytes().into());
        at(0, Input::Connect(client, Watch::default()));
        at(0, line("ADD -cork a INET 192.0.2.1 4070"));
        for (begun, silent) in [(10, false), (100, true)] {
            at(begun, line("PING -timeout 2 a"));
            let peer = "a".to_owned();
            at(begun + 5, Input::Control(Control::Silence { peer, silent }));
            let answered = at(begun + 30, Input::Tick);
            assert_eq!(answered.is_empty(), silent, "{answered:?}");
        }
        assert_eq!(at(2_100, Input::Tick), ["INFO ping-timeout", "OK"]);
    }
}
