// SPDX-License-Identifier: GPL-3.0-or-later
//! Key exchange: two numbers go back and forth, and when a server has its own back it is done.
//! Knocks are its beginning with a peer that may not know us (tripe-admin.md, 6.8).
//!
//! ```text
//!   A                                   B
//!   kx-request(a)      ------------->        (B starts too, unless it has, and answers)
//!                      <-------------   kx-request(b)
//!                      <-------------   kx-reply(a, b)      A is done: session a xor b
//!   kx-reply(b, a)     ------------->                       B is done
//!
//!   with a knock string, until B has been heard of:
//!   token-rq(name)     ------------->
//!                      <-------------   token               (rate-limited)
//!   knock(token, a, name) ---------->                       NOTE KNOCK, or as kx-request
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use super::args::Args;
use super::command::{Done, Outcome};
use super::peer::PeerKey;
use super::timers::{Timer, TimerId};
use super::{Now, Server};
use crate::datagram::Datagram;
use crate::rng::checksum;
use crate::switches::{ForcekxCorked, KnockTag};

/// How key exchange with a peer stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// It waits for the peer to send something first.
    Corked,
    /// It is under way.
    Running,
    /// It is finished.
    Done,
}

/// Key exchange with one peer.
#[derive(Debug)]
pub(super) struct Kx {
    state: State,
    /// Our number.
    mine: u64,
    /// The peer's, once heard.
    theirs: Option<u64>,
    /// The peer has been heard of, so a knock has done its work.
    heard: bool,
    /// How many times we have sent in this attempt.
    sent: u32,
    /// When this attempt is given up for a new one.
    expires: Now,
    pub(super) timer: Option<TimerId>,
}

/// How long one attempt lasts, in protocol seconds; then it begins again, with its own note. The
/// lab's own choice, like the real server's validity of a challenge.
const ATTEMPT_SECONDS: u32 = 20;

/// The longest wait between two packets of an attempt, in protocol seconds. The first wait is one
/// second, and each is twice the one before.
const LONGEST_RETRY_SECONDS: u32 = 8;

/// How many sessions a peer keeps.
const SESSIONS: usize = 2;

impl Kx {
    pub(super) const fn new() -> Self {
        Kx {
            state: State::Corked,
            mine: 0,
            theirs: None,
            heard: false,
            sent: 0,
            expires: Now::ZERO,
            timer: None,
        }
    }

    pub(super) fn is_corked(&self) -> bool {
        self.state == State::Corked
    }
}

/// Tokens: a knock is heard only from where its token was sent to, and only so many are given.
#[derive(Debug)]
pub(super) struct Tokens {
    key: u64,
    /// How many may be given at once, in tenths.
    tenths: u64,
    filled: Now,
}

/// How many tokens may be given in one go; ten more come each second of real time.
const TOKEN_BURST: u64 = 20;

impl Tokens {
    pub(super) const fn new(key: u64) -> Self {
        Tokens {
            key,
            tenths: TOKEN_BURST * 10,
            filled: Now::ZERO,
        }
    }

    fn token(&self, from: SocketAddr, name: &str) -> u64 {
        checksum(self.key, format!("{from} {name}").as_bytes())
    }

    /// Takes one from the bucket, if there is one.
    fn take(&mut self, now: Now) -> bool {
        // A hundred tenths a second: one each hundredth.
        const TENTH: Duration = Duration::from_millis(10);
        let passed = now.saturating_sub(self.filled);
        let gained = u64::try_from(passed.as_millis() / TENTH.as_millis()).unwrap_or(u64::MAX);
        if gained > 0 {
            self.tenths = self.tenths.saturating_add(gained).min(TOKEN_BURST * 10);
            self.filled = now;
        }
        let enough = self.tenths >= 10;
        if enough {
            self.tenths -= 10;
        }
        enough
    }
}

impl Server {
    /// Begins key exchange again and says so.
    pub(super) fn start_kx(&mut self, key: PeerKey) {
        let expires = self.now + self.seconds(ATTEMPT_SECONDS);
        let mine = self.rng.next();
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.kx = Kx {
            state: State::Running,
            mine,
            theirs: None,
            // The peer may have forgotten us since the last exchange, so a knock is sent in every
            // new one, keys or no keys.
            heard: false,
            sent: 0,
            expires,
            timer: peer.kx.timer,
        };
        let line = self.line("NOTE").word("KXSTART");
        let line = match self.peers.get(&key) {
            Some(peer) => line.word(&peer.name),
            None => line,
        };
        self.note(line);
        self.send_kx(key);
    }

    /// Sends what opens key exchange, and sees to it that it is sent again.
    fn send_kx(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let wait = LONGEST_RETRY_SECONDS.min(1_u32.checked_shl(peer.kx.sent).unwrap_or(u32::MAX));
        peer.kx.sent += 1;
        let (addr, old_timer) = (peer.addr, peer.kx.timer.take());
        let datagram = match &peer.options.knock {
            Some(name) if !peer.kx.heard => Datagram::TokenRequest(name.clone()),
            _ => {
                let tag = peer
                    .options
                    .private
                    .as_ref()
                    .unwrap_or(&self.config.own_key);
                Datagram::KxRequest(peer.kx.mine, tag.clone())
            }
        };
        self.timers.cancel(old_timer);
        let timer = match self.reflects(addr) {
            Some(reflect) => {
                self.count_sent(key, &datagram, datagram.size());
                self.reflection(addr, reflect.delay)
                    .map(|delay| self.set_timer(delay, Timer::ReflectedKx(key)))
            }
            None => {
                self.transmit(key, &datagram);
                None
            }
        };
        let timer =
            timer.unwrap_or_else(|| self.set_timer(self.seconds(wait), Timer::KxRetry(key)));
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.kx.timer = Some(timer);
        }
    }

    pub(super) fn kx_retry(&mut self, key: PeerKey) {
        let expired = match self.peers.get(&key) {
            Some(peer) if peer.kx.state == State::Running => self.now >= peer.kx.expires,
            _ => return,
        };
        if expired {
            self.start_kx(key);
        } else {
            self.send_kx(key);
        }
    }

    pub(super) fn reflected_kx(&mut self, key: PeerKey) {
        let theirs = self.rng.next();
        let datagram = Datagram::KxReply(0, theirs);
        self.count_received(key, &datagram, datagram.size());
        self.finish_kx(key, theirs);
    }

    /// Both numbers are known and ours has come back: there is a session.
    fn finish_kx(&mut self, key: PeerKey, theirs: u64) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if peer.kx.state != State::Running {
            return;
        }
        peer.kx.state = State::Done;
        peer.kx.theirs = Some(theirs);
        peer.kx.heard = true;
        peer.keys.insert(0, peer.kx.mine ^ theirs);
        peer.keys.truncate(SESSIONS);
        peer.stats.last_key_exchange = Some(now);
        let line = peer.name.clone();
        let timer = peer.kx.timer.take();
        self.timers.cancel(timer);
        let line = self.note_line("KXDONE").word(&line);
        self.note(line);
    }

    /// A peer that sent something is not waited for any more.
    pub(super) fn uncork(&mut self, key: PeerKey) {
        if self.peers.get(&key).is_some_and(|peer| peer.kx.is_corked()) {
            self.start_kx(key);
        }
    }

    pub(super) fn forcekx(&mut self, mut args: Args<'_>) -> Outcome {
        self.quiet_option(&mut args)?;
        let args = args.counted()?;
        let key = self.find_peer(args.word(0))?;
        let corked = self.peers.get(&key).is_some_and(|peer| peer.kx.is_corked());
        if !corked || self.config.switches.forcekx_corked == ForcekxCorked::Uncorks {
            self.start_kx(key);
        }
        Ok(Done::Ok)
    }

    /// A peer opens key exchange, by request or by knock.
    pub(super) fn kx_request(&mut self, key: PeerKey, number: u64) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        let known = peer.kx.theirs == Some(number);
        match peer.kx.state {
            State::Done if known => {}
            State::Corked | State::Done => self.start_kx(key),
            State::Running if known => {}
            State::Running => {
                // The peer may not have had our own request, or had it before it knew us: send it
                // again at once instead of at the next retry.
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.kx.heard = true;
                }
                self.send_kx(key);
            }
        }
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.kx.heard = true;
        peer.kx.theirs = Some(number);
        let reply = Datagram::KxReply(number, peer.kx.mine);
        self.transmit(key, &reply);
    }

    /// A peer answers our request.
    pub(super) fn kx_reply(&mut self, key: PeerKey, mine: u64, theirs: u64) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        if peer.kx.mine != mine || peer.kx.is_corked() {
            let line = self.line("WARN").word("KX").word(&peer.name);
            return self.warn(line.word("unknown-challenge"));
        }
        self.finish_kx(key, theirs);
    }

    /// Whether a packet under `session` is the peer's. If it is under a session that lacked only
    /// this proof that the peer has our number, key exchange is done.
    pub(super) fn accepts(&mut self, key: PeerKey, session: u64) -> bool {
        let Some(peer) = self.peers.get(&key) else {
            return false;
        };
        if peer.keys.contains(&session) {
            return true;
        }
        match peer.kx.theirs {
            Some(theirs) if peer.kx.state == State::Running && peer.kx.mine ^ theirs == session => {
                self.finish_kx(key, theirs);
                true
            }
            _ => false,
        }
    }

    /// Somebody who wants to knock asks for a token.
    pub(super) fn token_request(&mut self, from: SocketAddr, name: &str) {
        if self.tokens.take(self.now) {
            let token = Datagram::Token(self.tokens.token(from, name));
            self.transmit_to(from, token.encode());
        } else {
            self.trace('x', || format!("kx: no token for {from}: too many"));
        }
    }

    /// A token has come for our knock.
    pub(super) fn token(&mut self, key: PeerKey, token: u64) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        if peer.kx.state == State::Running
            && let Some(name) = &peer.options.knock
        {
            let knock = Datagram::Knock(token, peer.kx.mine, name.clone());
            self.transmit(key, &knock);
        }
    }

    /// Somebody knocks.
    pub(super) fn knock(&mut self, from: SocketAddr, token: u64, number: u64, name: &str) {
        if token != self.tokens.token(from, name) {
            let line = self.warn_line("KX").word("-").words(["invalid", "knock"]);
            return self.warn(line);
        }
        self.knocked(from, name, Some(number));
    }

    /// A knock in good order: a known peer goes on with key exchange, of an unknown one is told.
    fn knocked(&mut self, from: SocketAddr, name: &str, number: Option<u64>) {
        let split = match self.config.switches.knock_tag {
            KnockTag::LastDot => name.rsplit_once('.'),
            KnockTag::FirstDot => name.split_once('.'),
        };
        let tag = split.map_or(name, |(_, tag)| tag);
        if !self.config.public_keys.contains(tag) {
            return self.warn_no_key("public-key", tag);
        }
        let known = self
            .peers
            .iter()
            .find(|(_, peer)| peer.key_tag() == tag)
            .map(|(key, _)| *key);
        match known {
            Some(key) => {
                self.move_peer(key, from);
                match number {
                    Some(number) => self.kx_request(key, number),
                    None => self.start_kx(key),
                }
            }
            None => {
                let line = self.note_line("KNOCK").word(name).addr(from);
                self.note(line);
            }
        }
    }

    /// Acts as if a knock had come, its token in order.
    pub(super) fn fake_knock(&mut self, name: &str, from: SocketAddr) {
        self.knocked(from, name, None);
    }
}
