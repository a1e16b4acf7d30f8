// SPDX-License-Identifier: GPL-3.0-or-later
//! What is known of setups for which nothing was decided yet: what the script helper keeps, and
//! what has happened to the peers since.
//!
//! A new core orders nothing before it knows both what earlier cores have ordered and which peers
//! the server has. A core that joins a server again orders nothing for a peer before it knows
//! whether that is the same one.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use connect_ipc::RunId;
use connect_ipc::setup::{ByPair, Made, Pair, Setup, SetupKey, SetupPage, SetupState};

use super::decision::{Now, Past};
use super::progress::{PeerSetups, Progress};
use super::remains::Remains;

/// For how many peers decisions are made in one turn.
pub(super) const DECIDED_IN_A_TURN: usize = 256;

/// What is known for a decision about one peer.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    /// The setups as core itself knew them.
    pub(super) past: ByPair<Past>,
    /// What is needed to undo what core itself knew. It is large, and a peer without scripts has
    /// none.
    pub(super) remains: Option<Box<Remains>>,
    /// How the server has the peer, if it has it.
    pub(super) now: Now,
    /// Who has seen that the peer was removed, if it was.
    pub(super) gone: Option<Gone>,
}

/// A peer that is gone, while the script helper may not have an order to undo one of its setups.
#[derive(Clone, Debug)]
pub(super) struct Undoing {
    pub(super) remains: Remains,
    /// No run for it has this number or a later one, but those that undo its setups. An `on-down`
    /// may have been ordered long before the peer had gone.
    pub(super) by: RunId,
}

/// Who has seen that a peer was removed, or that another one of its name was added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Gone {
    /// This core: everything that the script helper keeps was ordered before.
    Here,
    /// An earlier core, which may have ordered what follows from it: runs with this number or a
    /// later one.
    Earlier { by: RunId },
}

impl Cause {
    /// Whether the peer is another one than the one for which this setup was made, or whether none
    /// is known to have been made.
    pub(super) fn is_another(&self, told: Option<Told<'_>>) -> bool {
        let was_ordered_since =
            |by: RunId| told.is_some_and(|told| told.number.is_none_or(|number| number >= by));
        let is_later = match self.gone {
            Some(Gone::Earlier { by }) => was_ordered_since(by),
            Some(Gone::Here) | None => false,
        };
        self.now == Now::Another && !is_later
    }

    /// Whether the peer was listed, and was not removed since.
    fn is_present(&self) -> bool {
        self.now == Now::Same && self.gone.is_none()
    }

    /// If the server has another peer than the one that was set up: who has seen that.
    fn another_since(&self) -> Option<Gone> {
        (self.now == Now::Another).then(|| self.gone.unwrap_or(Gone::Here))
    }
}

/// A setup that the script helper has sent, and that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) made: &'a Made,
    /// The number of its last change.
    number: Option<RunId>,
}

/// The peers and setups for which nothing was decided yet.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct Recovery {
    /// Whether the script helper has sent everything.
    known: bool,
    /// What the script helper has sent, until there is a decision about it.
    told: BTreeMap<SetupKey, (SetupState, Option<RunId>)>,
    causes: BTreeMap<String, Cause>,
    /// The peers whose `connect` command is to be run again, if they stay, and if no run with this
    /// number or a later one does that.
    pub(in crate::machine) awaited: BTreeMap<String, RunId>,
    /// The peers that have moved and of which the script helper must be told that.
    pub(super) followed: HashSet<String>,
    /// What is left of peers whose undoing was ordered.
    pub(super) undoing: BTreeMap<String, Undoing>,
    /// The peers whose `ifup` or `ifdown` had not ended when the script helper connected: it may
    /// have renamed the interface while core was not connected.
    active: HashSet<String>,
    /// What peers had, and have now, if that has changed before the script helper has sent
    /// everything.
    moves: BTreeMap<String, BTreeMap<Part, (String, String)>>,
    /// The last peer with a decision, while core goes through all peers.
    sweep: Option<String>,
    sweeping: bool,
}

/// What a peer is recognized by, and may change while it stays.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::machine) enum Part {
    Interface,
    Address,
}

impl Part {
    /// Where a setup has `old`, it has `new` now.
    fn follow(self, made: &mut Arc<Made>, old: &str, new: &str) {
        let made = Arc::make_mut(made);
        let value = match self {
            Part::Interface => &mut made.interface,
            Part::Address => &mut made.address,
        };
        if value == old {
            new.clone_into(value);
        }
    }
}

impl Recovery {
    /// Whether it is known what earlier cores have ordered.
    pub(in crate::machine) const fn is_known(&self) -> bool {
        self.known
    }

    /// Whether nothing may be ordered for this peer yet.
    pub(in crate::machine) fn is_pending(&self, name: &str) -> bool {
        self.may_keep(name) || self.causes.contains_key(name)
    }

    /// Whether the script helper keeps, or may keep, something of this peer that was not decided
    /// about.
    pub(super) fn may_keep(&self, name: &str) -> bool {
        let is_told = |pair| self.told.contains_key(&key(name, pair));
        !self.known || (!self.told.is_empty() && Pair::ALL.into_iter().any(is_told))
    }

    /// For how many peers and setups nothing was decided yet.
    pub(in crate::machine) fn undecided(&self) -> usize {
        self.causes.len() + self.told.len()
    }

    /// The peers that have come or gone, if the script helper has not sent everything, so that
    /// nothing was requested for them.
    pub(in crate::machine) fn unrequested(&self) -> impl Iterator<Item = &str> {
        let changed = |cause: &Cause| cause.now != Now::Same || cause.gone.is_some();
        let causes = self.causes.iter().filter(|_| !self.known);
        causes
            .filter(move |(_, cause)| changed(cause))
            .map(|(name, _)| &**name)
    }

    /// Another script helper begins to send what it keeps: forgets what an earlier one has sent.
    pub(super) fn begin(&mut self) {
        self.told.clear();
    }

    /// The script helper has sent a page. Returns the setup after which the next one must begin.
    pub(super) fn take(&mut self, page: SetupPage) -> Option<SetupKey> {
        let last = page.setups.last().map(|setup| setup.key.clone());
        for mut setup in page.setups {
            self.apply_moves(&mut setup);
            let told = (setup.state, setup.number);
            self.told.insert(setup.key, told);
        }
        if page.more && last.is_some() {
            return last;
        }
        self.known = true;
        self.moves.clear();
        None
    }

    /// A setup that is sent has what its peer had when it was made.
    fn apply_moves(&self, setup: &mut Setup) {
        if let SetupState::Made(made) = &mut setup.state {
            for (part, (old, new)) in self.moves.get(&setup.key.peer).into_iter().flatten() {
                part.follow(made, old, new);
            }
        }
    }

    /// An interface script of this peer had not ended when a script helper connected.
    pub(in crate::machine) fn note_active(&mut self, name: &str) {
        if !self.known {
            self.active.insert(name.to_owned());
        }
    }

    /// Whether the interface may have been renamed while core was not connected.
    pub(super) fn was_active(&self, name: &str) -> bool {
        self.active.contains(name)
    }

    /// Goes through all peers, from now on.
    pub(in crate::machine) fn sweep(&mut self) {
        self.sweep = None;
        self.sweeping = true;
    }

    /// The server is lost, so nothing can be decided. Interface scripts of these peers have not
    /// ended, and may rename an interface while core is not connected.
    pub(in crate::machine) fn server_lost<'a>(&mut self, active: impl Iterator<Item = &'a str>) {
        self.sweeping = false;
        self.active.extend(active.map(str::to_owned));
    }

    /// Whether [`Recovery::next`] has something to give.
    pub(in crate::machine) fn has_more(&self) -> bool {
        self.sweeping && self.is_known()
    }

    /// The next peer to be decided for.
    pub(super) fn next(&mut self) -> Option<String> {
        let after = self.sweep.as_deref();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let cause = self
            .causes
            .range::<str, _>((from, Bound::Unbounded))
            .next()
            .map(|(name, _)| name.clone());
        // The last pair of the peer before, and so the last of its keys.
        let last = after.map(|name| key(name, Pair::Hooks));
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let told = self.told.range((from, Bound::Unbounded)).next();
        let told = told.map(|(key, _)| key.peer.clone());
        let next = cause.into_iter().chain(told).min();
        self.sweeping = next.is_some();
        if next.is_none() && self.told.is_empty() && self.causes.is_empty() {
            self.active = HashSet::new();
            self.followed = HashSet::new();
        }
        self.sweep.clone_from(&next);
        next
    }

    /// The peers that are gone and for which nothing was decided yet.
    pub(super) fn gone(&self) -> impl Iterator<Item = (&String, &Remains, Gone)> {
        let gone = |cause: &Cause| cause.gone.or_else(|| cause.another_since());
        self.causes
            .iter()
            .filter_map(move |(name, cause)| Some((name, cause.remains.as_deref()?, gone(cause)?)))
    }

    /// If the server has another peer of this name than the one that was set up: who has seen that.
    pub(super) fn another_since(&self, name: &str) -> Option<Gone> {
        self.causes.get(name)?.another_since()
    }

    /// The number of the last change of a setup that the script helper has told.
    pub(super) fn last_change(&self, name: &str, pair: Pair) -> Option<RunId> {
        self.told.get(&key(name, pair))?.1
    }

    /// A peer that stays has another interface or address now.
    pub(in crate::machine) fn moved(&mut self, name: &str, part: Part, old: &str, new: &str) {
        if self.may_keep(name) {
            self.followed.insert(name.to_owned());
        }
        for pair in Pair::ALL {
            if let Some((SetupState::Made(made), _)) = self.told.get_mut(&key(name, pair)) {
                part.follow(made, old, new);
            }
        }
        if !self.known {
            let moves = self.moves.entry(name.to_owned()).or_default();
            let (_, now) = moves
                .entry(part)
                .or_insert_with(|| (old.to_owned(), String::new()));
            new.clone_into(now);
        }
    }

    /// If a peer is gone for which a setup was due: it has this progress after all.
    pub(super) fn set_due(&mut self, name: &str, pair: Pair, progress: Progress) {
        if let Some(cause) = self.causes.get_mut(name)
            && cause.gone.is_some()
            && let Some(remains) = &mut cause.remains
            && remains.setups.get(pair) == Progress::Due
        {
            remains.setups.set(pair, progress);
            *cause.past.get_mut(pair) = progress.past();
        }
    }

    /// An earlier core has seen this peer come, and no run before `by` is for it.
    pub(in crate::machine) fn expected(&mut self, name: &str, by: RunId) {
        self.causes.entry(name.to_owned()).or_insert(Cause {
            past: ByPair::of(|pair| match pair {
                Pair::Hooks => Past::Nothing,
                Pair::Interface | Pair::Connection => Past::Due,
            }),
            remains: None,
            now: Now::Another,
            gone: Some(Gone::Earlier { by }),
        });
    }

    /// What is known for the decision about a peer, if that is not made yet.
    pub(super) fn cause(&self, name: &str) -> Option<&Cause> {
        self.causes.get(name)
    }

    /// What the script helper has sent of a setup.
    pub(super) fn told(&self, name: &str, pair: Pair) -> Option<&SetupState> {
        self.told.get(&key(name, pair)).map(|(state, _)| state)
    }

    /// The values with which a setup was made, as the script helper has sent them. `None` if it has
    /// sent none, or if the setup is undone.
    pub(super) fn told_made(&self, name: &str, pair: Pair) -> Option<Told<'_>> {
        match self.told.get(&key(name, pair)) {
            Some((SetupState::Made(made), number)) => Some(Told {
                made,
                number: *number,
            }),
            _ => None,
        }
    }

    /// The run that should have made a setup shows this progress. The script helper may have sent
    /// the setup before, and forgets the run now.
    pub(super) fn follow_told(&mut self, name: &str, pair: Pair, run: RunId, progress: Progress) {
        if let Some((SetupState::Made(made), _)) = self.told.get_mut(&key(name, pair))
            && made.runs.contains(&run)
        {
            let made = Arc::make_mut(made);
            match progress {
                Progress::NeverStarted => made.run_never_started(run),
                _ => made.run_started(),
            }
        }
    }

    /// The progress of a setup when its peer was listed or removed, with what is known since of the
    /// runs that were ordered before.
    pub(super) fn progress(&self, name: &str, pair: Pair) -> Option<Progress> {
        let remains = self.causes.get(name)?.remains.as_ref()?;
        Some(remains.setups.get(pair))
    }

    /// Sets this progress.
    pub(super) fn set_progress(&mut self, name: &str, pair: Pair, progress: Progress) {
        if let Some(cause) = self.causes.get_mut(name)
            && let Some(remains) = &mut cause.remains
        {
            remains.setups.set(pair, progress);
            *cause.past.get_mut(pair) = progress.past();
        }
    }

    /// A peer that was listed has these setups now: more may have been ordered since.
    pub(super) fn refresh(&mut self, name: &str, setups: PeerSetups) {
        if let Some(cause) = self.causes.get_mut(name)
            && cause.is_present()
            && let Some(remains) = &mut cause.remains
        {
            remains.setups = setups;
            cause.past = setups.pasts();
        }
    }

    /// The server has a peer, perhaps as it was; this is what core itself knew of it.
    pub(super) fn listed(
        &mut self,
        name: &str,
        past: ByPair<Past>,
        remains: Option<Remains>,
        now: Now,
    ) {
        if now == Now::Another {
            self.moves.remove(name);
        }
        match self.causes.get_mut(name) {
            Some(cause) if now == Now::Another => {
                cause.now = now;
                cause.gone = Some(Gone::Here);
            }
            // `past` and `remains` stay as they were noted first; only `Another` replaces `now`.
            Some(_) => {}
            None => {
                let cause = Cause {
                    past,
                    remains: remains.map(Box::new),
                    now,
                    gone: None,
                };
                self.causes.insert(name.to_owned(), cause);
            }
        }
    }

    /// A peer was removed that core knew.
    pub(super) fn removed(&mut self, name: &str, past: ByPair<Past>, remains: Remains) {
        self.moves.remove(name);
        self.refresh(name, remains.setups);
        let cause = self.causes.entry(name.to_owned()).or_insert(Cause {
            past,
            remains: None,
            now: Now::Absent,
            gone: None,
        });
        cause.gone = Some(Gone::Here);
        // Any later peer of this name is another one.
        let before = std::mem::replace(&mut cause.now, Now::Another);
        // What was due for an earlier peer of this name was never ordered, and remains as it is
        // noted: what this one had belongs to another record.
        let is_first = cause.remains.is_none();
        for pair in Pair::ALL {
            let known = cause.past.get_mut(pair);
            if *known == Past::Nothing || (*known == Past::Due && is_first) {
                *known = *past.get(pair);
                if let Some(before) = &mut cause.remains {
                    before.setups.set(pair, remains.setups.get(pair));
                }
            }
        }
        match &mut cause.remains {
            None => cause.remains = Some(Box::new(remains)),
            Some(known) if before == Now::Same => known.complete(remains),
            // If several were added and removed, the first is the one that was set up.
            Some(_) => {}
        }
    }

    /// An earlier core has known that a peer was removed, and may have ordered runs with the number
    /// `by` or a later one since. What this core has seen itself (`Here`) is later.
    pub(super) fn inherited(
        &mut self,
        name: &str,
        past: ByPair<Past>,
        remains: Remains,
        by: RunId,
    ) {
        let before = self.causes.get(name).map(|cause| cause.gone);
        self.removed(name, past, remains);
        let by = match before {
            None => by,
            // Of a peer that came and went more than once.
            Some(Some(Gone::Earlier { by: before })) => before.max(by),
            Some(Some(Gone::Here) | None) => return,
        };
        if let Some(cause) = self.causes.get_mut(name) {
            cause.gone = Some(Gone::Earlier { by });
        }
    }

    /// A decision is made: returns what was known.
    pub(super) fn decided(&mut self, name: &str) -> (Option<Cause>, ByPair<Option<SetupState>>) {
        self.active.remove(name);
        let told = ByPair::of(|pair| Some(self.told.remove(&key(name, pair))?.0));
        (self.causes.remove(name), told)
    }
}

fn key(name: &str, pair: Pair) -> SetupKey {
    SetupKey {
        peer: name.to_owned(),
        pair,
    }
}
