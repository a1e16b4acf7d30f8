// SPDX-License-Identifier: GPL-3.0-or-later
//! Decides what to make and undo for peers, as soon as it is known what was ordered for each and
//! how the server has it.

use std::sync::Arc;

use connect_ipc::control::ServerLink;
use connect_ipc::event::Removal;
use connect_ipc::setup::{ByPair, Made, Pair, SetupState};
use connect_ipc::{PeerId, RunId};
use connect_policy::changes::of_present;
use peerdb::Record;

use super::decision::{Now, Past, decide};
use super::making::{at_first, has_maker};
use super::progress::{PeerSetups, Progress};
use super::recovery::{Cause, DECIDED_IN_A_TURN};
use super::remains::Remains;
use crate::machine::Machine;
use crate::machine::peers::{Particulars, Peer};

impl Machine {
    /// Orders what a peer that was added needs (the manual, "Configuring interfaces" and "Dynamic
    /// connection"), unless it is not known yet what must be undone first.
    pub(in crate::machine) fn configure(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        // The saved state for the next core says so, too.
        peer.setups = PeerSetups::of_presence(Progress::Due).into();
        let name = peer.name().to_owned();
        if self.is_undecided(&name) {
            let recovery = &mut self.scripts.recovery;
            recovery.listed(&name, ByPair::of(|_| Past::Nothing), None, Now::Another);
            self.reconcile(&name);
        } else {
            self.make(id, &Pair::OF_PRESENCE);
        }
    }

    /// Undoes what was made for a peer that is gone, unless it is not known yet what that is.
    pub(in crate::machine) fn deconfigure(&mut self, name: &str, peer: &Peer, removal: Removal) {
        self.scripts.recovery.awaited.remove(name);
        let mut remains = Remains::of(peer);
        remains.occasion = Some(self.departure_of(peer, removal));
        for pair in Pair::OF_PRESENCE {
            if peer.setups.get(pair) == Progress::Due && self.database.is_there() {
                // If there is no script, there is nothing to wait for.
                remains
                    .setups
                    .set(pair, at_first(peer.record.as_ref(), pair));
            }
        }
        if self.is_undecided(name) {
            let past = remains.setups.pasts();
            self.scripts.recovery.removed(name, past, remains);
            self.reconcile(name);
        } else {
            self.undo_all(name, &remains);
        }
    }

    /// Whether nothing may be ordered for a peer yet. A server that is being joined may be about to
    /// list a peer for which it has just sent a notification. Without a database nobody knows which
    /// scripts a peer has.
    pub(in crate::machine) fn is_undecided(&self, name: &str) -> bool {
        self.server.link() != ServerLink::Up
            || !self.database.is_there()
            || self.scripts.recovery.is_pending(name)
    }

    /// The server lists a peer, whose entry in the table has the progress of its setups; `another`
    /// if it cannot be the one that core knew.
    pub(in crate::machine) fn reconcile_listed(&mut self, id: PeerId, another: bool) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let name = peer.name().to_owned();
        let names = |pair| {
            let record = peer.record_in_use();
            record.is_some_and(|it| self.has_script(it, pair))
        };
        // Hooks may have been run whose keys have gone since.
        let hooks = decide(peer.setups.get(Pair::Hooks).past(), Now::Absent);
        let is_kept = Pair::ALL.into_iter().any(names) || hooks.undo;
        if !is_kept && self.scripts.recovery.is_known() && self.database.is_there() {
            self.note_no_script(id);
            self.scripts.recovery.awaited.remove(&name);
            return;
        }
        let now = if another { Now::Another } else { Now::Same };
        // Without a database it is not known which scripts there are.
        let may_be_kept = is_kept || !self.database.is_there();
        let remains = may_be_kept.then(|| Remains::of(peer));
        let past = peer.setups.all().pasts();
        self.scripts.recovery.listed(&name, past, remains, now);
        if let Some(peer) = self.peers.get_mut(id)
            && peer.particulars == Particulars::Known
        {
            // They are asked for again.
            peer.particulars = Particulars::Unknown;
        }
    }

    /// There is no script to make a setup of a peer.
    fn note_no_script(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        for pair in Pair::OF_PRESENCE {
            if peer.setups.get(pair) == Progress::Due {
                peer.setups.set(pair, Progress::NoScript);
            }
        }
    }

    /// Decides for as many peers as a turn allows.
    pub(in crate::machine) fn reconcile_more(&mut self) {
        for _ in 0..DECIDED_IN_A_TURN {
            if !self.scripts.recovery.has_more() || self.server.link() != ServerLink::Up {
                return;
            }
            if let Some(name) = self.scripts.recovery.next() {
                self.reconcile(&name);
            }
        }
    }

    /// The interface and the address of a peer are known.
    pub(in crate::machine) fn reconcile_known(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let name = peer.name().to_owned();
        if self.scripts.recovery.is_pending(&name) {
            self.reconcile(&name);
        }
    }

    /// Decides for one peer, if everything is known.
    fn reconcile(&mut self, name: &str) {
        if !self.scripts.recovery.is_known() || self.server.link() != ServerLink::Up {
            return;
        }
        let id = self.peers.find(name);
        self.refresh(name, id);
        let Some(nows) = self.nows(name, id) else {
            return;
        };
        if !self.database.is_there() && self.needs_record(name, nows) {
            return;
        }
        let is = |pair, now| *nows.get(pair) == now;
        let recovery = &self.scripts.recovery;
        let stays = |pair| is(pair, Now::Same) && recovery.told_made(name, pair).is_some();
        // Failures belong to the earlier peer of this name.
        if Pair::ALL.into_iter().any(|pair| is(pair, Now::Another))
            && !Pair::ALL.into_iter().any(stays)
        {
            self.scripts.failures.peer_removed(name);
        }
        self.note_only_undoing(name);
        let connected = self.scripts.recovery.last_change(name, Pair::Connection);
        let followed = self.scripts.recovery.followed.remove(name);
        let (cause, mut told) = self.scripts.recovery.decided(name);
        let (mut makes, mut keeps, mut has_moved) = (Vec::new(), Vec::new(), false);
        // As for a peer that is removed: `disconnect` before `ifdown`.
        for pair in Pair::ALL.into_iter().rev() {
            let (told, now) = (told.get_mut(pair).take(), *nows.get(pair));
            let past = past(told.as_ref(), cause.as_ref(), pair);
            let decision = decide(past, now);
            let made = match told {
                Some(SetupState::Made(made)) => Some(made),
                _ => None,
            };
            if now == Now::Same && !decision.make {
                has_moved |= followed || self.has_moved(id, made.as_deref());
                self.keep(id, pair, made.as_deref());
                keeps.push(pair);
            }
            if decision.undo
                && let Some(remains) = remains(name, pair, made, cause.as_ref())
            {
                self.undo(name, pair, &remains);
            }
            let is_over = past == Past::NeverStarted && now != Now::Same;
            if pair == Pair::Hooks && decision.make {
                // The peer's next reply makes it.
                self.hooks_undone(id);
            } else if decision.make {
                makes.push(pair);
            }
            if is_over && (pair == Pair::Hooks || now == Now::Absent) {
                self.note_setup(name, pair, SetupState::Undone {});
            }
        }
        if has_moved {
            self.peer_moved(name, &keeps);
        }
        self.make_decided(id, name, &makes, connected);
    }

    /// Makes what was decided for a peer, and its connection if that was to be made again and the
    /// last run that is known of it, `connected`, does not do that.
    fn make_decided(
        &mut self,
        id: Option<PeerId>,
        name: &str,
        makes: &[Pair],
        connected: Option<RunId>,
    ) {
        let Some(id) = id else {
            // An earlier core may have been killed after it had the setup noted as undone, and
            // before it said that the command is to end.
            let commands = self.mark_connects(name);
            return self.tell_stops(commands);
        };
        let record = self.peers.get(id).and_then(|peer| peer.record.as_ref());
        if makes.contains(&Pair::Connection) && !has_maker(record, Pair::Connection) {
            // No command follows the one of an earlier peer of this name.
            let commands = self.mark_connects(name);
            self.tell_stops(commands);
        }
        if !makes.is_empty() {
            self.make(id, makes);
        }
        let awaited = self.scripts.recovery.awaited.get(name);
        let again = awaited.is_some_and(|by| connected < Some(*by));
        let again = again && !makes.contains(&Pair::Connection);
        if again && self.is_ifup_due(id) {
            return;
        }
        self.scripts.recovery.awaited.remove(name);
        if again {
            self.make_connection(id);
        }
    }

    /// More may have been ordered for a peer since it was listed.
    fn refresh(&mut self, name: &str, id: Option<PeerId>) {
        if let Some(peer) = id.and_then(|id| self.peers.get(id)) {
            self.scripts.recovery.refresh(name, peer.setups.all());
        }
    }

    /// For a peer that has come and gone before its record was known: if the record has only the
    /// script that undoes, that is run.
    fn note_only_undoing(&mut self, name: &str) {
        let record = self.database.current.peer(name);
        let made = Pair::OF_PRESENCE.map(|pair| (pair, at_first(record, pair)));
        let made = made.into_iter();
        for (pair, progress) in made.filter(|(_, progress)| *progress == Progress::Made) {
            self.scripts.recovery.set_due(name, pair, progress);
        }
    }

    /// Whether what is to be decided for a peer depends on its record, which only the database has.
    /// To undo a setup, the record with which it was made is enough.
    fn needs_record(&self, name: &str, nows: ByPair<Now>) -> bool {
        let recovery = &self.scripts.recovery;
        let cause = recovery.cause(name);
        let remains = cause.and_then(|cause| cause.remains.as_deref());
        Pair::ALL.into_iter().any(|pair| {
            let (told, now) = (recovery.told(name, pair), *nows.get(pair));
            let past = past(told, cause, pair);
            let decision = decide(past, now);
            let is_kept = match told {
                Some(SetupState::Made(made)) => !made.record.is_empty(),
                _ => remains.is_some_and(|remains| remains.record.is_some()),
            };
            // Where there was no script, nothing was made.
            let had_none = told.is_none()
                && remains.is_some_and(|it| it.setups.get(pair) == Progress::NoScript);
            // The record may have only the script that undoes.
            let may_be_made = past == Past::Due && now == Now::Absent;
            (decision.make && pair != Pair::Hooks)
                || ((decision.undo || may_be_made) && !is_kept && !had_none)
        })
    }

    /// Whether a peer that counts as the same has another interface or address than the ones that
    /// are kept.
    fn has_moved(&self, id: Option<PeerId>, told: Option<&Made>) -> bool {
        let peer = id.and_then(|id| self.peers.get(id));
        let (Some(peer), Some(made)) = (peer, told) else {
            return false;
        };
        let differs =
            |now: &Option<Box<str>>, then: &str| now.as_deref().is_some_and(|now| now != then);
        differs(&peer.ifname, &made.interface) || differs(&peer.address, &made.address)
    }

    /// How the server has a peer, for each pair; `None` if that is not known yet.
    fn nows(&self, name: &str, id: Option<PeerId>) -> Option<ByPair<Now>> {
        let Some(peer) = id.and_then(|id| self.peers.get(id)) else {
            return Some(ByPair::of(|_| Now::Absent));
        };
        // The script helper keeps them with what is ordered: the next core recognizes the peer by
        // them.
        if peer.particulars != Particulars::Known {
            return None;
        }
        let cause = self.scripts.recovery.cause(name);
        let mut nows = ByPair::of(|_| Now::Same);
        for pair in Pair::ALL {
            let told = self.scripts.recovery.told_made(name, pair);
            if cause.is_some_and(|cause| cause.is_another(told)) {
                *nows.get_mut(pair) = Now::Another;
                continue;
            }
            let known = cause.and_then(|cause| cause.remains.as_ref());
            let is_same = match (told, known) {
                (Some(told), _) => {
                    let made = told.made;
                    let run = (made.server, self.server.listed_run());
                    let is_other_run = matches!(run, (Some(a), Some(b)) if a != b);
                    !is_other_run
                        && self.has_stayed(peer, &made.interface, &made.address, Some(made))
                }
                (None, Some(remains)) => {
                    let interface = remains.ifname.as_deref().unwrap_or_default();
                    let address = remains.address.as_deref().unwrap_or_default();
                    self.has_stayed(peer, interface, address, None)
                }
                (None, None) => true,
            };
            if !is_same {
                *nows.get_mut(pair) = Now::Another;
            }
        }
        Some(nows)
    }

    /// Whether a peer has the interface and the address that it had. A part that was not known then
    /// is ignored. Without a record, the one in `made` counts.
    fn has_stayed(&self, peer: &Peer, interface: &str, address: &str, made: Option<&Made>) -> bool {
        let has = |now: &Option<Box<str>>, then: &str| {
            then.is_empty() || now.as_deref().is_none_or(|now| now == then)
        };
        // Its own script may have renamed the interface.
        let interface_stayed = has(&peer.ifname, interface)
            || self.scripts.recovery.was_active(peer.name())
            || self.scripts.is_interface_active(peer.name());
        let noted = || made.map(|made| Record::new(peer.name(), made.record.iter().cloned()));
        let is_mobile = match &peer.record {
            Some(record) => record.flag("mobile"),
            None => noted().is_some_and(|record| record.flag("mobile")),
        };
        interface_stayed && (is_mobile || has(&peer.address, address))
    }

    /// The setup of a peer is kept; `told` is what the script helper keeps of it.
    fn keep(&mut self, id: Option<PeerId>, pair: Pair, told: Option<&Made>) {
        let Some(made) = told else { return };
        let algorithms = self.peers.share_algorithms(made.algorithms.clone());
        let Some(peer) = id.and_then(|id| self.peers.get_mut(id)) else {
            return;
        };
        peer.setups.set(pair, progress(made));
        if peer.algorithms.is_none() && !algorithms.is_empty() {
            peer.algorithms = Some(algorithms);
        }
        let in_use = Record::new(peer.name(), made.record.iter().cloned());
        match &peer.record {
            // Its record was removed meanwhile, and it must still be taken down.
            None => {
                peer.record = Some(in_use);
                peer.record_removed = true;
            }
            // A hook's record matters to no command.
            Some(_) if pair == Pair::Hooks => {}
            // The database may have changed since. The record of the interface counts, not that of
            // an earlier `connect`.
            Some(record) if pair == Pair::Interface || peer.superseded.is_none() => {
                let waits = of_present(Some(&in_use), Some(record)).is_some();
                peer.superseded = waits.then(|| Box::new(in_use));
            }
            Some(_) => {}
        }
    }
}

/// The progress of a setup that the script helper keeps.
fn progress(made: &Made) -> Progress {
    match (made.runs.first(), made.runs.last()) {
        _ if made.never_started => Progress::NeverStarted,
        (Some(&first), Some(&last)) => Progress::Ordered { first, last },
        _ => Progress::Made,
    }
}

/// What was made for a pair. What the script helper keeps counts, since it was written before
/// anything was done.
fn past(told: Option<&SetupState>, cause: Option<&Cause>, pair: Pair) -> Past {
    match told {
        Some(SetupState::Made(made)) => progress(made).past(),
        Some(SetupState::Undone {}) => Past::Undone,
        None => cause.map_or(Past::Nothing, |cause| *cause.past.get(pair)),
    }
}

/// What is needed to undo a setup.
fn remains(
    name: &str,
    pair: Pair,
    told: Option<Arc<Made>>,
    cause: Option<&Cause>,
) -> Option<Remains> {
    let known = cause.and_then(|cause| cause.remains.as_deref().cloned());
    let Some(made) = told else { return known };
    let record = Record::new(name, made.record.iter().cloned());
    let mut setups = PeerSetups::all(Progress::Made);
    setups.set(pair, progress(&made));
    let (latest, occasion) = known.map_or((None, None), |it| (it.record, it.occasion));
    Some(Remains {
        setups,
        record: latest.or_else(|| Some(record.clone())),
        in_use: Some(Box::new(record)),
        algorithms: Some(made.algorithms.clone().into()),
        ifname: Some(made.interface.as_str().into()),
        address: Some(made.address.as_str().into()),
        occasion,
    })
}
