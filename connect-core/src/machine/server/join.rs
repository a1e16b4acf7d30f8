// SPDX-License-Identifier: GPL-3.0-or-later
//! Joining the server: watching, claiming the service, and acting on the list of its peers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use connect_ipc::control::ServerLink;
use connect_ipc::event::{DownReason, EventKind, Removal};
use connect_ipc::{PeerId, RunId};
use tripe_admin::Failure;
use tripe_admin::session::{Refused, Session};

use super::stage::{Claim, Joining, Stage};
use super::{Pending, Replaced};
use crate::machine::inheritance::Restored;
use crate::machine::limits::{ANSWER_LEAST, ANSWER_LIMIT};
use crate::machine::peers::{Particulars, UpDown};
use crate::machine::requester::Requester;
use crate::machine::setups::progress::{PeerSetups, Progress};
use crate::machine::{Ending, Machine, Milestone, Output, SERVICE};
use connect_ipc::setup::{Pair, ServerRun};

/// How long the provider that has our name may take to answer: one that runs answers at once.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// How many of the peers that a restarted server no longer has are named in the log.
const LOST_LOGGED: usize = 10;

/// What the server's list of peers means.
#[derive(Clone, Copy, Debug)]
enum Listing {
    /// Core was never joined with a server, and has no saved state about the present server.
    FirstMeeting,
    /// As before, but another program has provided the service until now.
    Succession,
    /// An earlier core has saved its state about this run of the server.
    Resumption,
    /// Core was joined with a server before.
    Rejoin {
        /// Whether this is another run, which started without the peers of the one before.
        new_server: bool,
    },
}

impl Listing {
    /// The setups of peers that core did not know.
    const fn newcomers(self, startup: bool) -> Progress {
        match self {
            Listing::FirstMeeting if startup => Progress::Due,
            Listing::FirstMeeting => Progress::Found,
            Listing::Succession => Progress::Made,
            Listing::Resumption | Listing::Rejoin { .. } => Progress::Due,
        }
    }

    /// Why the server does not have a peer that core knew. The same run loses no peer by itself,
    /// but it is not known whether it was a command or because of missing replies.
    const fn removal(self) -> Removal {
        match self {
            Listing::Rejoin { new_server: true } => Removal::Server,
            _ => Removal::Unseen,
        }
    }

    /// Whether the server counts as just started, so that `--startup` has to be done for it.
    const fn is_fresh(self, started_up: bool) -> bool {
        match self {
            Listing::FirstMeeting => true,
            Listing::Succession => false,
            Listing::Resumption => !started_up,
            Listing::Rejoin { new_server } => new_server,
        }
    }
}

impl Machine {
    /// A connection to the server was made.
    pub(in crate::machine) fn server_connected(&mut self, run: Option<ServerRun>) {
        let server = &mut self.server;
        // If the server closes every connection, that is logged once until core has joined it.
        if !server.outage.is_noted() {
            tracing::info!("connected to the server");
        }
        server.session = Session::new();
        server.awaited.met = true;
        if !server.joined_before {
            let limit = server.wait_until.unwrap_or(self.now + ANSWER_LIMIT);
            server.awaited.expect(limit.max(self.now + ANSWER_LEAST));
        }
        // It may have announced the removal of every peer before it ended, so the peers alone do
        // not show that it is another run.
        server.is_another |= server.run.is_some() && server.run != run;
        server.run = run;
        let replaced = server.take_replaced();
        server.stage = Stage::Joining(Joining {
            replaced,
            ..Joining::default()
        });
        let joined_before = server.joined_before;
        self.inheritance
            .server_connected(run, joined_before, self.config.boot.as_ref());
        // WATCH comes before LIST, so that no peer is missed between the two.
        let sent = self
            .command(Pending::Routine("WATCH"), "WATCH", ["-A+n"])
            .and_then(|()| self.ask_for_predecessor())
            .and_then(|()| self.claim());
        log_unsent(sent);
    }

    /// If another program provides the service, the server is not just being started, even with
    /// `--startup`: for example, this program was installed in place of the original.
    fn ask_for_predecessor(&mut self) -> Result<(), Refused> {
        if self.server.joined_before || !self.config.startup {
            return Ok(());
        }
        let version = None;
        self.command(Pending::Predecessor { version }, "SVCQUERY", [SERVICE])
    }

    /// The server has named the present provider's version, or there is none. A provider of our own
    /// version is an earlier core that was killed, which says nothing about the server.
    pub(super) fn predecessor_answered(&mut self, version: Option<&str>) {
        let another = version.is_some_and(|version| version != self.config.version);
        if let Stage::Joining(joining) = &mut self.server.stage {
            joining.succeeds_another = another;
        }
    }

    fn claim(&mut self) -> Result<(), Refused> {
        let version = self.config.version.clone();
        self.command(Pending::Claim, "SVCCLAIM", [SERVICE, &version])
    }

    /// The server has answered the claim. Only the provider may change peers, so nothing else is
    /// asked before.
    pub(super) fn claim_answered(&mut self, result: Result<(), Failure>) {
        let Stage::Joining(joining) = &mut self.server.stage else {
            return;
        };
        let sent = match (result, &joining.claim) {
            (Ok(()), _) => {
                joining.claim = Claim::Granted;
                self.restore_table();
                tracing::info!(version = %self.config.version, "claimed the service");
                let names = Vec::new();
                self.command(Pending::List { names }, "LIST", [])
            }
            // If a provider was killed while its pings were under way, it keeps the name until the
            // server tries to write to it. A job makes the server try.
            (Err(refusal), Claim::Sent) if refusal.code() == "service-exists" => {
                let deadline = self.now + PROBE_LIMIT;
                joining.claim = Claim::Probing { deadline, refusal };
                self.server
                    .session
                    .background(Pending::Probe, "SVCSUBMIT", [SERVICE, "help"])
                    .map(drop)
            }
            (Err(failure), _) => return self.refused(&failure),
        };
        log_unsent(sent);
    }

    /// The provider that has our name has answered a job, or failed to.
    pub(super) fn probe_answered(&mut self, result: &Result<(), Failure>) {
        let Stage::Joining(joining) = &mut self.server.stage else {
            return;
        };
        let claim = std::mem::replace(&mut joining.claim, Claim::SentAgain);
        let Claim::Probing { refusal, .. } = claim else {
            joining.claim = claim;
            return;
        };
        match result {
            // It has ended.
            Err(failure) if ["provider-failed", "unknown-service"].contains(&failure.code()) => {
                tracing::info!(
                    "the present provider of the service has disconnected; claiming \
                                again"
                );
                let sent = self.claim();
                log_unsent(sent);
            }
            // It runs, whatever it answers.
            Ok(()) | Err(_) => self.refused(&refusal),
        }
    }

    /// Stops waiting for a provider that runs but does not answer.
    pub(super) fn expire_probe(&mut self) {
        if self.server.awaited.since().is_some() {
            // The server itself has not yet passed the job on.
            return self.postpone_probe();
        }
        if let Stage::Joining(joining) = &mut self.server.stage
            && joining.deadline().is_some_and(|until| until <= self.now)
            && let Claim::Probing { refusal, .. } =
                std::mem::replace(&mut joining.claim, Claim::SentAgain)
        {
            self.refused(&refusal);
        }
    }

    /// Waits for that provider for the same time again, because the server or core did not run
    /// meanwhile.
    pub(in crate::machine) fn postpone_probe(&mut self) {
        if let Stage::Joining(joining) = &mut self.server.stage {
            joining.postpone(self.now + PROBE_LIMIT);
        }
    }

    fn refused(&mut self, failure: &Failure) {
        let failure = failure.to_string();
        self.end_for_another_provider(Ending::Refused { failure });
    }

    /// The server has named its peers.
    pub(super) fn listed(&mut self, names: Vec<String>) {
        let first = !std::mem::replace(&mut self.server.joined_before, true);
        if self.server.outage.end() {
            tracing::info!("connected to the server again");
        }
        (self.server.wait_until, self.server.awaited.answer_by) = (None, None);
        let replaced = self.server.take_replaced();
        let stage = std::mem::replace(&mut self.server.stage, Stage::Up);
        let before = std::mem::replace(&mut self.server.listed_run, self.server.run);
        let is_same = before.is_some() && before == self.server.run;
        let mut restored = self.inheritance.take_restored();
        self.forget_replaced(&replaced, restored.as_mut());
        let listing = self.interpret_list(is_same, first, &stage, &names, restored.as_ref());
        let fresh = listing.is_fresh(self.inheritance.started_up());
        if matches!(listing, Listing::Rejoin { new_server: true }) {
            self.inheritance.new_server();
        }
        if matches!(listing, Listing::Succession) {
            // The other program has done the work of `--startup`.
            self.inheritance.set_started_up();
        }
        self.scripts.recovery.sweep();
        self.remove_unlisted(&names, listing.removal());
        // Before new peers are added: overdue checks are spread here, which is for peers that were
        // watched before the connection was lost; the first pings of new peers are spread already.
        self.proceed_with_pings();
        if let Some(restored) = &mut restored {
            self.remember_restored(restored);
        }
        let absent_until = restored.as_ref().and_then(|restored| restored.next_run);
        self.take_over(names, listing, &replaced, absent_until);
        if let Some(restored) = restored {
            self.restore_adoptions(restored);
        }
        // A peer that is gone is another one if it comes back.
        let peers = &self.peers;
        let remembered = &mut self.pinger.remembered;
        remembered.retain(|name, _| peers.find(name).is_some());
        self.forget_outdated_failures();
        let counts = self.counts();
        tracing::info!(
            peers = counts.present,
            adopted = counts.adopted,
            "took over the server's peers"
        );
        self.emit(None, || EventKind::Joined {});
        if first && let Some(fault) = self.database.fault.clone() {
            // When it was found, nobody could be told through the server.
            self.warn_unlogged(["peerdb-error"], &[&fault]);
        }
        if first {
            self.out.push(Output::ServiceManager(Milestone::Ready));
        }
        self.perform_held();
        if (fresh || self.inheritance.waiting.start_up) && self.config.startup {
            self.start_up();
        }
        self.continue_start_up();
    }

    /// `is_same` if the server is certainly the run whose peers were listed last.
    fn interpret_list(
        &mut self,
        is_same: bool,
        first: bool,
        stage: &Stage,
        names: &[String],
        restored: Option<&Restored>,
    ) -> Listing {
        let is_another = std::mem::take(&mut self.server.is_another);
        if let Some(restored) = restored {
            // The server that the state is about may have been lost before it had listed its peers.
            return if self.server.run == Some(restored.run) {
                Listing::Resumption
            } else {
                Listing::Rejoin { new_server: true }
            };
        }
        match stage {
            Stage::Joining(joining) if first && joining.succeeds_another => Listing::Succession,
            _ if first => Listing::FirstMeeting,
            // If it is not known whether it is the same run, a server that has none of the peers
            // that we knew is a new one, too.
            _ => Listing::Rejoin {
                new_server: is_another
                    || (!is_same
                        && !self.peers.is_empty()
                        && !names.iter().any(|name| self.peers.find(name).is_some())),
            },
        }
    }

    /// Takes down the peers that the server no longer has.
    fn remove_unlisted(&mut self, names: &[String], removal: Removal) {
        let present: HashSet<&str> = names.iter().map(String::as_str).collect();
        let mut lost = self.peers.names();
        lost.retain(|name| !present.contains(name.as_str()));
        if removal == Removal::Server && !lost.is_empty() {
            let (peers, first) = (lost.len(), lost.iter().take(LOST_LOGGED));
            let first: Vec<&str> = first.map(String::as_str).collect();
            tracing::warn!(
                peers,
                first = first.join(" "),
                "the server was started again without the peers that it had"
            );
        }
        for name in lost {
            self.peer_removed(&name, removal);
        }
    }

    /// Adopts and configures the peers that the server has. Those that an earlier core did not have
    /// have come after the run `absent_until`, if there is one.
    fn take_over(
        &mut self,
        names: Vec<String>,
        listing: Listing,
        replaced: &Replaced,
        absent_until: Option<RunId>,
    ) {
        let newcomers = listing.newcomers(self.config.startup);
        let resumed = matches!(listing, Listing::Resumption);
        let of_new_server = matches!(listing, Listing::Rejoin { new_server: true });
        let mut adopted = Vec::new();
        for name in names {
            if let Some(known) = self.peers.find(&name) {
                // A peer that was added while core joined is adopted already.
                if self.peers.adoption_mut(known).is_none() {
                    adopted.push(known);
                }
                let another = if of_new_server {
                    Some(DownReason::Server)
                } else {
                    replaced.has(&name).then_some(DownReason::Unseen)
                };
                self.meet_again(known, resumed, another);
                continue;
            }
            self.note_return(&name);
            let record = self.database.current.peer(&name).cloned();
            let id = self.peers.insert(&name, record, self.now);
            // One that has come before our eyes is not found. A predecessor that lived until we
            // claimed the service has seen it too, and has set it up.
            let has_come = replaced.has(&name) && !matches!(listing, Listing::Succession);
            if let Some(peer) = self.peers.get_mut(id) {
                let progress = if has_come { Progress::Due } else { newcomers };
                peer.setups = PeerSetups::of_presence(progress).into();
            }
            if let Some(by) = absent_until.filter(|_| !has_come) {
                self.scripts.recovery.expected(&name, by);
            }
            self.reconcile_listed(id, has_come);
            self.server.questions.add(id);
            adopted.push(id);
        }
        self.adopt_many(&adopted);
        self.note_replaced(&adopted, replaced);
        self.server.questions.first_added_first();
        self.ask_questions();
    }

    /// The server still has a peer that this core or an earlier one knew, or `another` one of its
    /// name, for this reason.
    fn meet_again(&mut self, id: PeerId, resumed: bool, another: Option<DownReason>) {
        let startup = self.config.startup;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        if resumed && startup && peer.setups.all().are_found() && !peer.record_removed {
            for pair in Pair::OF_PRESENCE {
                peer.setups.set(pair, Progress::Due);
            }
        }
        // If it was to be killed, the command was lost with the connection.
        peer.outcome.killed_for = None;
        if let Some(reason) = another
            && peer.outcome.told.is_up()
        {
            peer.outcome.told = UpDown::Nothing;
            let name = peer.name().to_owned();
            self.tell_down(&name, reason);
        }
        self.reconcile_listed(id, another.is_some());
        // Its address may have changed while core was not connected.
        if let Some(peer) = self.peers.get_mut(id) {
            peer.particulars = Particulars::Unknown;
        }
        self.server.questions.add(id);
    }

    /// Adds the peers that the database marks for it (the manual, `--startup`).
    pub(in crate::machine) fn start_up(&mut self) {
        if !self.database.is_there() {
            self.inheritance.waiting.start_up = true;
            return;
        }
        self.inheritance.waiting.start_up = false;
        self.inheritance.waiting.starting.clear();
        self.inheritance.set_started_up();
        let database = Arc::clone(&self.database.current);
        for name in database.auto() {
            if self.peers.find(name).is_none() {
                self.add_active(name, Requester::Startup);
            }
        }
    }
}

impl Machine {
    /// Adds the peers whose addition for `--startup` an earlier core has not finished, as soon as
    /// there is a database and the peers are listed.
    pub(in crate::machine) fn continue_start_up(&mut self) {
        if self.server.link() != ServerLink::Up || !self.database.is_there() {
            return;
        }
        for name in std::mem::take(&mut self.inheritance.waiting.starting) {
            if self.peers.find(&name).is_none() {
                self.add_active(&name, Requester::Startup);
            }
        }
    }

    /// These peers, if core ends now.
    pub(in crate::machine) fn starting_left(&self) -> Vec<Box<str>> {
        let waiting = self.inheritance.waiting.starting.iter().cloned();
        let added = self.additions.for_startup(&self.database.current);
        waiting.chain(added.map(Box::from)).collect()
    }
}

fn log_unsent(sent: Result<(), Refused>) {
    if let Err(error) = sent {
        tracing::error!(%error, "cannot join the server");
    }
}
