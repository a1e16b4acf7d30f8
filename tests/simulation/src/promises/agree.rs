// SPDX-License-Identifier: GPL-3.0-or-later
//! E3: in the end the last scripts of each peer agree with the server: one that it has is set up
//! and connected, one that it does not have is taken down, and its `connect` has ended. The last
//! hook agrees with how core sees the peer.
//!
//! The rule excuses, by operators.md, "What is promised of scripts": "After damage, or without a
//! journal of scripts, a service that is started later may set up a peer again that is set up [...]
//! or take down one again that was taken down"; "Without `--keep-state` and without `--startup`, a
//! peer that is added while the service does not run, or in the moment in which it is killed, is
//! not set up"; "A peer [...] whose `ifup` has failed or could not be started counts as set up"; "A
//! peer that is removed and added again while the service does not run, and gets the same interface
//! and the same address, counts as one that has stayed". A core that cannot tell which server it
//! has met knows nothing of what came before, as without `--keep-state`. It judges only peers whose
//! records have always had both scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::control::PeerState;
use connect_ipc::scripts::{Run, ScriptKind};
use connect_ipc::setup::{ByPair, Lane, Pair};
use tripe_admin::Note;

use super::tap::Fact;
use super::{Moment, Rule, Verdict, ask};
use crate::instant::Instant;
use crate::plan::{DatabaseChange, Fault, Part};
use crate::promise::Promise;
use crate::seen::{Seen, View};

/// How long before or after the death of core what is broadcast came in the moment of its death,
/// or before it has joined.
const MOMENT: Duration = Duration::from_secs(5);

/// The scripts of a peer.
#[derive(Clone, Debug, Default)]
struct Peer {
    /// The last script of each pair that was started.
    started: ByPair<Option<ScriptKind>>,
    /// The last that was ordered, and not started.
    ordered: ByPair<Option<RunId>>,
    /// When the server has added it last.
    added: Option<Instant>,
    /// When core heard of that.
    heard: Option<Instant>,
}

/// The scripts of all peers since the boot of the host.
#[derive(Debug)]
pub(super) struct Agree {
    peers: BTreeMap<String, Peer>,
    /// The `connect` scripts that live.
    connects: BTreeMap<RunId, String>,
    /// Whether what earlier helpers have done may have been forgotten.
    forgotten: bool,
    /// Whether a core has begun without knowing what the one before knew.
    unaware: bool,
    cores: u32,
    /// How many servers there were, and which of them core has met last.
    servers: u32,
    met: u32,
    /// Whether there is a database that can be read, and whether a core has begun without one.
    has_database: bool,
    blind: bool,
    deaths: BTreeSet<Instant>,
}

impl Default for Agree {
    fn default() -> Self {
        Agree {
            peers: BTreeMap::new(),
            connects: BTreeMap::new(),
            forgotten: false,
            unaware: false,
            cores: 0,
            servers: 0,
            met: 0,
            has_database: true,
            blind: false,
            deaths: BTreeSet::new(),
        }
    }
}

impl Rule for Agree {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Broadcast(line) if line.starts_with("NOTE ADD ") => {
                let note = Note::from_words(tripe_admin::Words::new(&line[5..]));
                if let Note::Add { peer, .. } = note {
                    let known = self.of(&peer);
                    (known.added, known.heard) = (Some(now.at), None);
                }
            }
            Seen::Ordered(run) if run.setup.is_some() => {
                *self.of(&run.peer).ordered.get_mut(run.kind.pair()) = Some(run.run);
            }
            Seen::Started(id, run) => self.started(*id, run),
            Seen::ChildEnded(id, _) => {
                self.connects.remove(id);
            }
            Seen::Fault(Fault::Reboot {}) => {
                *self = Agree {
                    has_database: self.has_database,
                    ..Agree::default()
                };
            }
            Seen::Fault(Fault::Database { change }) => {
                let is_lost = [DatabaseChange::Broken, DatabaseChange::Missing].contains(change);
                self.has_database = !is_lost;
            }
            Seen::Lives(Part::Server, _) => self.servers += 1,
            // What an earlier one has kept may be about another server.
            Seen::Uncertain => self.unaware = true,
            // What it has kept is about another provider's time.
            Seen::Displaced { .. } => self.unaware = true,
            // Peers that come meanwhile have no record.
            Seen::Lives(Part::Core, _) => self.blind |= !self.has_database,
            Seen::Fault(Fault::Journal { .. }) => self.forgotten = true,
            Seen::Fault(Fault::Kill {
                part: Part::Core,
                state,
                ..
            }) => self.unaware |= *state != crate::plan::Kept::Last,
            Seen::Died(Part::Core) => {
                self.cores += 1;
                self.unaware |= !now.records.keeps_state;
                self.deaths.insert(now.at);
                while self.deaths.len() > 100 {
                    self.deaths.pop_first();
                }
            }
            Seen::Died(Part::Scripts) => self.forgotten |= !now.records.journal,
            Seen::End(view) => return self.look(now, view),
            _ => {}
        }
        match now.fact {
            Some(Fact::Note(Note::Add { peer, .. })) => self.of(peer).heard = Some(now.at),
            Some(Fact::Connected) => {
                // A core that has begun since then knows nothing that is of use here.
                self.unaware |= self.cores > 0 && self.met != self.servers;
                self.met = self.servers;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Agree {
    fn of(&mut self, peer: &str) -> &mut Peer {
        self.peers.entry(peer.to_owned()).or_default()
    }

    fn started(&mut self, id: RunId, run: &Run) {
        if run.kind == ScriptKind::Connect {
            self.connects.insert(id, run.peer.clone());
        }
        // A run that repeats another changes nothing.
        if run.setup.is_some() {
            let (peer, pair) = (self.of(&run.peer), run.kind.pair());
            *peer.started.get_mut(pair) = Some(run.kind);
            let ordered = peer.ordered.get_mut(pair);
            *ordered = ordered.filter(|ordered| *ordered != id);
        }
    }

    fn look(&self, now: &Moment<'_>, view: &View<'_>) -> Verdict {
        let Some(server) = view.server else {
            return Ok(());
        };
        let present = server.peers();
        let is_there = |name: &str| present.iter().any(|peer| peer.name == name);
        if let Some((run, peer)) = self.connects.iter().find(|(_, peer)| !is_there(peer)) {
            let text = format!("connect {peer} (run {}) lives on without its peer", run.0);
            return Err((Promise::ScriptsAgree, text));
        }
        if self.forgotten || self.blind {
            return Ok(());
        }
        for (name, peer) in &self.peers {
            for pair in Pair::ALL {
                let keys = pair.scripts().map(ScriptKind::name);
                if !now.records.always_has(name, keys)
                    || is_held_up(view, name, pair.lane())
                    || now.calm.is_untold(name)
                {
                    continue;
                }
                if pair == Pair::Hooks {
                    hooks_agree(now, view, (name, peer), is_there(name))?;
                } else {
                    self.agrees(now, (name, peer), pair, is_there(name))?;
                }
            }
        }
        Ok(())
    }

    fn agrees(
        &self,
        now: &Moment<'_>,
        (name, peer): (&str, &Peer),
        pair: Pair,
        is_there: bool,
    ) -> Verdict {
        let [make, undo] = pair.scripts();
        let last = *peer.started.get(pair);
        // A script that cannot be started counts as run, and an `ifdown` is not run after an `ifup`
        // that was not.
        let not_started = peer.ordered.get(pair).is_some() && now.records.may_not_start(name);
        if (last == Some(make)) == is_there || not_started {
            return Ok(());
        }
        // Not set up: it was there before core, and nobody has told core of it.
        let in_a_moment = |added: Instant| {
            let around = added - MOMENT..=added + MOMENT;
            self.deaths.range(around).next().is_some()
        };
        let unseen = [peer.added, peer.heard]
            .into_iter()
            .any(|at| at.is_none_or(in_a_moment));
        if is_there && unseen && !now.records.startup && (self.unaware || self.cores == 0) {
            return Ok(());
        }
        let has = if is_there { "has" } else { "does not have" };
        let last = last.map_or("none", ScriptKind::name);
        let (make, undo) = (make.name(), undo.name());
        let text = format!(
            "the server {has} {name}, and the last of {make} and {undo} that ran is {last}"
        );
        Err((Promise::ScriptsAgree, text))
    }
}

/// Whether the last hook of a peer agrees with how core sees it.
fn hooks_agree(
    now: &Moment<'_>,
    view: &View<'_>,
    (name, peer): (&str, &Peer),
    is_there: bool,
) -> Verdict {
    let status = view.core.and_then(|core| ask::peer(core, view.now, name));
    let state = status.and_then(|it| it.status).map(|it| it.state);
    let is_up = match state {
        Some(PeerState::Up) if is_there => true,
        Some(PeerState::Down) => false,
        _ if !is_there => false,
        _ => return Ok(()),
    };
    let last = peer.started.hooks;
    let not_started = peer.ordered.hooks.is_some() && now.records.may_not_start(name);
    if (last == Some(ScriptKind::OnUp)) == is_up || not_started {
        return Ok(());
    }
    let (is, last) = (
        if is_up { "is" } else { "is not" },
        last.map_or("none", ScriptKind::name),
    );
    let text = format!("{name} {is} connected, and the last of on-up and on-down is {last}");
    Err((Promise::ScriptsAgree, text))
}

/// Whether a script of the lane lives, which others wait for.
fn is_held_up(view: &View<'_>, peer: &str, lane: Lane) -> bool {
    let mut living = view.ledger.runs();
    living.any(|run| {
        run.under_way.peer == peer
            && run.under_way.kind.lane() == lane
            && run.under_way.kind != ScriptKind::Connect
            && view.truth.children.contains(&run.under_way.run)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Sight, view};
    use super::*;
    use connect_ipc::setup::SetupState;

    const RECORDS: &[(&str, &[(&str, &str)])] = &[(
        "p",
        &[
            ("ifup", "up"),
            ("ifdown", "down"),
            ("on-up", "hook"),
            ("on-down", "hook"),
        ],
    )];

    fn start(sight: &mut Sight, number: u64, kind: ScriptKind) {
        let run = testing::run(number, kind, Some(SetupState::Undone {}));
        sight.see(Seen::Started(RunId(number), &run)).unwrap();
    }

    /// Whether all is right at the end, with a server that has these peers.
    fn look(sight: &mut Sight, peers: &[&str]) -> Verdict {
        let server = testing::server(peers);
        view(|view| {
            let server = Some(&server);
            sight.see(Seen::End(View { server, ..view }))
        })
    }

    #[test]
    fn what_is_taken_down_keeps_it() {
        let mut sight = Sight::new::<Agree>(RECORDS);
        start(&mut sight, 1, ScriptKind::Ifup);
        start(&mut sight, 2, ScriptKind::Ifdown);
        assert_eq!(look(&mut sight, &[]), Ok(()));
    }

    #[test]
    fn what_is_not_set_up_though_its_peer_is_there_breaks_it() {
        let mut sight = Sight::new::<Agree>(RECORDS);
        sight.later(3_600);
        let added = "NOTE ADD p tripe0 INET 198.18.0.1 4070";
        sight.see(Seen::Broadcast(added)).unwrap();
        sight.lines(&[&format!("< {added}")]);
        sight.later(3_600);
        let mut broken = || matches!(look(&mut sight, &["p"]), Err((Promise::ScriptsAgree, _)));
        assert!(broken());
    }

    #[test]
    fn what_stays_without_its_peer_breaks_it() {
        for kind in [ScriptKind::Ifup, ScriptKind::Connect, ScriptKind::OnUp] {
            let mut sight = Sight::new::<Agree>(RECORDS);
            start(&mut sight, 1, kind);
            let broken = look(&mut sight, &[]);
            assert!(matches!(broken, Err((Promise::ScriptsAgree, _))));
        }
    }
}
