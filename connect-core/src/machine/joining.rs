// SPDX-License-Identifier: GPL-3.0-or-later
//! Meeting the server: watching, claiming the service, learning which peers it has; and losing it.

use std::collections::HashSet;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink;
use connect_ipc::event::EventKind;
use connect_ipc::pinger::ToPinger;
use tripe_admin::session::Refused;
use tripe_admin::{Failure, Words};

use super::context::{Asker, Context, ListPurpose};
use super::{Ending, Machine, SERVICE};

/// How many questions for interfaces and addresses are under way at a time after joining a server
/// with many peers: enough to keep it busy, few enough that a `WARN` is not long behind them.
const QUESTIONS: usize = 64;

/// How long the provider that holds our name may take to answer: a live one answers at once.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// Whether the provider that holds our name lives, on this connection to the server.
#[derive(Debug)]
pub(super) enum Probe {
    /// Nobody has held it yet.
    NotNeeded,
    /// It was given a job.
    UnderWay {
        /// When it counts as alive but not talking.
        deadline: Monotonic,
        /// Why our claim was refused.
        refusal: Failure,
    },
    /// It was found dead; if the name is still taken now, that is that.
    Done,
}

impl Probe {
    /// When waiting for an answer ends.
    pub(super) const fn deadline(&self) -> Option<Monotonic> {
        match self {
            Probe::UnderWay { deadline, .. } => Some(*deadline),
            Probe::NotNeeded | Probe::Done => None,
        }
    }
}

impl Machine {
    /// A connection to the server was made.
    pub fn server_connected(&mut self, now: Monotonic) {
        self.now = now;
        self.link = ServerLink::Joining;
        self.claimed = false;
        self.probe = Probe::NotNeeded;
        // Watching comes before listing, so that no peer slips through between the two.
        let sent = self
            .command(Context::Routine("WATCH"), "WATCH", ["-A+n"])
            .and_then(|()| self.ask_for_predecessor())
            .and_then(|()| self.claim());
        if let Err(error) = sent {
            tracing::error!("cannot join the server: {error}");
        }
    }

    /// A server whose service somebody else provides is not just being started, whatever `--startup`
    /// says, as when this program is installed in the place of the original.
    fn ask_for_predecessor(&mut self) -> Result<(), Refused> {
        if self.joined_before || !self.config.startup {
            return Ok(());
        }
        let version = None;
        self.command(Context::Predecessor { version }, "SVCQUERY", [SERVICE])
    }

    /// The server has named the present provider's version, or there is none. One of our own version
    /// is an earlier self that was killed, which says nothing about the server.
    pub(super) fn predecessor_answered(&mut self, version: Option<&str>) {
        self.succeeds = version.is_some_and(|version| version != self.config.version);
    }

    /// The server that is about to be connected is another run than the one before. It may have told of
    /// the end of every peer before it went, so that the peers do not show it.
    pub fn server_is_another(&mut self) {
        self.another_server = true;
    }

    fn claim(&mut self) -> Result<(), Refused> {
        let version = self.config.version.clone();
        self.command(Context::Claim, "SVCCLAIM", [SERVICE, &version])
    }

    /// The connection to the server is gone.
    pub fn server_lost(&mut self, now: Monotonic) {
        self.now = now;
        let was_up = self.link != ServerLink::Down;
        self.link = ServerLink::Down;
        // It was about that server; the next one may be another.
        self.inherited = None;
        self.jobs.clear();
        self.unasked.clear();
        self.asking = 0;
        self.ping_queue.clear();
        let lost = Failure::new(["server-lost"]);
        for context in self.session.reset() {
            match context {
                Context::Ping { peer, .. } => {
                    if let Some(adoption) = self.peers.adoption_mut(peer) {
                        adoption.ping = None;
                    }
                }
                Context::GetChallenge { asker, peer, .. } => {
                    self.reply_failed(&asker, &peer, lost.words());
                }
                _ => {}
            }
        }
        for (name, adding) in std::mem::take(&mut self.adding) {
            for asker in adding.askers {
                self.reply_failed(&asker, &name, lost.words());
            }
        }
        self.fail_held(lost.words());
        for (_, greeting) in std::mem::take(&mut self.greetings) {
            self.reply_failed(&greeting.asker, &greeting.peer, lost.words());
        }
        if was_up {
            self.counters.server_losses += 1;
            self.emit(None, || EventKind::Lost {});
            self.out.to_pinger.push(ToPinger::Suspend {});
        }
    }

    /// The server has answered the claim. Only the one provider may touch peers, so nothing else is
    /// asked before.
    pub(super) fn claim_answered(&mut self, result: Result<(), Failure>) {
        let sent = match result {
            Ok(()) => {
                tracing::info!(version = %self.config.version, "claimed the service");
                self.claimed = true;
                let purpose = if self.joined_before {
                    ListPurpose::Rejoin
                } else {
                    ListPurpose::FirstJoin
                };
                let names = Vec::new();
                self.command(Context::List { purpose, names }, "LIST", [])
            }
            // A provider that was killed while its pings were under way holds the name until the
            // server tries to write to it. A job makes the server try.
            Err(failure)
                if failure.code() == "service-exists" && matches!(self.probe, Probe::NotNeeded) =>
            {
                let deadline = self.now + PROBE_LIMIT;
                self.probe = Probe::UnderWay {
                    deadline,
                    refusal: failure,
                };
                self.session
                    .background(Context::Probe, "SVCSUBMIT", [SERVICE, "help"])
                    .map(drop)
            }
            Err(failure) => return self.refused(&failure),
        };
        if let Err(error) = sent {
            tracing::error!("cannot join the server: {error}");
        }
    }

    /// The provider that holds our name has answered a job, or has not.
    pub(super) fn probe_answered(&mut self, result: &Result<(), Failure>) {
        let Probe::UnderWay { refusal, .. } = std::mem::replace(&mut self.probe, Probe::Done)
        else {
            return;
        };
        match result {
            // Dead, or gone meanwhile.
            Err(failure) if ["provider-failed", "unknown-service"].contains(&failure.code()) => {
                tracing::info!("the present provider is dead; claiming again");
                if let Err(error) = self.claim() {
                    tracing::error!("cannot join the server: {error}");
                }
            }
            // Alive, whatever it thinks of the command.
            Ok(()) | Err(_) => self.refused(&refusal),
        }
    }

    /// Gives up waiting for a provider that is alive but says nothing.
    pub(super) fn expire_probe(&mut self) {
        if let Probe::UnderWay { deadline, refusal } = &self.probe
            && *deadline <= self.now
        {
            let refusal = refusal.clone();
            self.refused(&refusal);
        }
    }

    fn refused(&mut self, failure: &Failure) {
        let failure = failure.to_string();
        self.out.ending = Some(Ending::Refused { failure });
    }

    /// The server has named its peers.
    pub(super) fn listed(&mut self, purpose: ListPurpose, names: Vec<String>) {
        self.link = ServerLink::Up;
        self.joined_before = true;
        // With what an earlier core has left this is no first meeting with the server.
        let inheritance = self.inherit();
        let purpose = match inheritance {
            Some(_) => ListPurpose::Rejoin,
            None => purpose,
        };
        let present: HashSet<&str> = names.iter().map(String::as_str).collect();
        let gone: Vec<String> = self
            .peers
            .names()
            .into_iter()
            .filter(|name| !present.contains(name.as_str()))
            .collect();
        // A server that has lost every peer we knew is a new one, as is one that is known to be, and
        // is started up like one; but not if it is known to be the old one.
        let another = std::mem::take(&mut self.another_server);
        let fresh = match inheritance {
            Some(_) => !self.started_up,
            None => {
                purpose == ListPurpose::FirstJoin
                    || another
                    || (!self.peers.is_empty() && gone.len() == self.peers.len())
            }
        };
        for name in &gone {
            self.peer_removed(name);
        }
        // Before the new ones are named: what is overdue is spread, and that is for peers that were
        // watched before the outage, not for those whose first pings are spread already.
        self.proceed_with_pings();

        // The peers of a living predecessor are configured, and what else --startup stands for was
        // done in its time.
        let succeeds = std::mem::take(&mut self.succeeds) && purpose == ListPurpose::FirstJoin;
        self.started_up |= succeeds;
        let fresh = fresh && !succeeds;
        let full_treatment = purpose == ListPurpose::Rejoin || (self.config.startup && !succeeds);
        let mut adopted = Vec::new();
        for name in names {
            if let Some(known) = self.peers.find(&name) {
                let inherited = inheritance.is_some();
                if inherited {
                    adopted.push(known);
                }
                let Some(peer) = self.peers.get_mut(known) else {
                    continue;
                };
                if inherited && self.config.startup && !peer.configured {
                    self.configure(known);
                    continue;
                }
                // It was there all the time; an address may have changed unseen.
                peer.particulars = super::peers::Particulars::Unknown;
                self.unasked.push(known);
                continue;
            }
            let record = self.database.current.peer(&name).cloned();
            let id = self.peers.insert(&name, record, self.now);
            if full_treatment {
                self.configure(id);
            } else {
                if let Some(peer) = self.peers.get_mut(id) {
                    peer.configured = succeeds;
                }
                self.unasked.push(id);
            }
            adopted.push(id);
        }
        self.adopt_many(&adopted);
        if let Some(inheritance) = inheritance {
            self.restore(inheritance);
        }
        // The first asked is the last in the list.
        self.unasked.reverse();
        self.ask_particulars();
        let (peers, watched) = self.counts();
        tracing::info!(peers, adopted = watched, "took over the server's peers");
        self.emit(None, || EventKind::Joined {});
        self.perform_held();
        if fresh && self.config.startup {
            self.started_up = true;
            let database = std::sync::Arc::clone(&self.database.current);
            for name in database.auto() {
                if self.peers.find(name).is_none() {
                    self.add_active(name, Asker::Startup);
                }
            }
        }
    }

    /// Asks for the interfaces and addresses of peers that were there before us, a few at a time.
    pub(super) fn ask_particulars(&mut self) {
        while self.asking < QUESTIONS
            && let Some(id) = self.unasked.pop()
        {
            self.ask_address(id);
            self.ask_algorithms(id);
        }
    }

    /// Asks for the algorithms of a peer that will need them for its `ifdown`, when it is too late
    /// to ask.
    fn ask_algorithms(&mut self, id: connect_ipc::PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let wanted = peer.record.as_ref().and_then(|record| record.get("ifdown"));
        if wanted.is_none() || peer.algorithms.is_some() {
            return;
        }
        let name = peer.name().to_owned();
        let context = Context::Algs {
            peer: id,
            configure: false,
            pairs: Vec::new(),
        };
        self.command_on_peer(context, "ALGS", &name);
    }

    /// Asks for a peer's interface and address.
    pub(super) fn ask_address(&mut self, id: connect_ipc::PeerId) {
        use super::peers::Particulars;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        if peer.particulars == Particulars::Asked {
            return;
        }
        peer.particulars = Particulars::Asked;
        let name = peer.name().to_owned();
        let ifname = Context::Ifname {
            peer: id,
            ifname: None,
        };
        let address = Context::Addr {
            peer: id,
            words: Vec::new(),
        };
        self.asking += usize::from(self.command_on_peer(ifname, "IFNAME", &name));
        self.asking += usize::from(self.command_on_peer(address, "ADDR", &name));
    }
}

impl Context {
    /// Takes one line of information; `false` if it makes no sense.
    pub(super) fn take_info(&mut self, mut words: Words<'_>) -> bool {
        use super::context::PingEnd;
        use connect_ipc::pinger::PingOutcome;
        match self {
            Context::Predecessor { version } => {
                for word in words {
                    if let Some(told) = word.strip_prefix("version=") {
                        *version = Some(told.to_owned());
                    }
                }
            }
            Context::List { names, .. } => match words.next() {
                Some(name) => names.push(name.into_owned()),
                None => return false,
            },
            Context::Ifname { ifname, .. } => *ifname = words.next().map(Into::into),
            Context::Addr { words: address, .. } => *address = words.owned(),
            Context::Algs { pairs, .. } => pairs.extend(words.filter_map(|word| {
                let (key, value) = word.split_once('=')?;
                Some((key.to_owned(), value.to_owned()))
            })),
            Context::GetChallenge { challenge, .. } => *challenge = words.next().map(Into::into),
            // What the other provider says does not matter, only that it speaks.
            Context::Probe => {}
            Context::Ping { outcome, .. } => {
                let end = match words.next().as_deref() {
                    Some("ping-ok") => {
                        // Any decimal is taken; a server that says something else has at least
                        // had a reply.
                        let millis = words.next().and_then(|word| word.parse().ok());
                        let millis = millis.filter(|m: &f64| m.is_finite() && *m >= 0.0);
                        PingEnd::Outcome(PingOutcome::Reply(millis.unwrap_or(0.0)))
                    }
                    Some("ping-timeout") => PingEnd::Outcome(PingOutcome::Timeout),
                    Some("ping-peer-died") => PingEnd::PeerDied,
                    _ => return false,
                };
                *outcome = Some(end);
            }
            Context::Routine(_)
            | Context::Claim
            | Context::Release
            | Context::KillBeforeAdd(_)
            | Context::Add(_)
            | Context::Kill(_)
            | Context::ForceKx(_)
            | Context::Greet(_) => return false,
        }
        true
    }
}
