// SPDX-License-Identifier: GPL-3.0-or-later
//! A script helper has connected and said which runs it has: what core tells it then.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink;
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::scripts::{Child, Ended, ScriptKind, ToScripts, UnderWay};
use connect_ipc::setup::{Pair, SetupChange};

use super::runs::RunState;
use crate::machine::Machine;

/// Nanoseconds of a tick, in which the system tells when a process was started (`USER_HZ`).
const TICK: u64 = 10_000_000;

/// What follows from the runs that the helper has.
#[derive(Default)]
struct Resumed {
    /// Those runs.
    there: HashSet<RunId>,
    /// Those of which core knows the child, and the helper does not.
    adopt: Vec<UnderWay>,
    /// Those that are over and may have been started.
    over: Vec<RunId>,
    /// Those that are to be ended.
    stop: Vec<RunId>,
    /// The peers with a `connect` command that another command may follow, unknown to core before.
    commanded: BTreeSet<String>,
}

/// When a child was started that is reported only now. If the host was suspended, which the clock
/// does not count, the result is too late, but never later than now.
fn start_of(child: Child, now: Monotonic) -> Monotonic {
    match child.start_time {
        0 => now,
        ticks => now.min(Monotonic(ticks.saturating_mul(TICK))),
    }
}

impl Machine {
    /// The helper has reported what is under way; now it is told the rest.
    pub(super) fn scripts_resumed(&mut self, known: Vec<UnderWay>) {
        self.scripts.helper.set_ready(self.now);
        self.tell_all_failures();
        self.scripts.runs.forget_left();
        let mut resumed = Resumed::default();
        for run in known {
            self.run_resumed(run, &mut resumed);
        }
        for peer in std::mem::take(&mut resumed.commanded) {
            // The core that ordered what follows may have ended before it said so.
            let followed = self.scripts.runs.stop_followed_connects(&peer);
            resumed.stop.extend(followed);
        }
        self.tell_the_rest(resumed);
    }

    /// The helper has this run.
    fn run_resumed(&mut self, run: UnderWay, resumed: &mut Resumed) {
        let id = run.run;
        resumed.there.insert(id);
        if run.kind.pair() == Pair::Interface {
            self.scripts.recovery.note_active(&run.peer);
        }
        let Some(state) = self.scripts.runs.get(id) else {
            return match self.scripts.settling.is_settled(id) {
                true => self.over_resumed(run, resumed),
                false => self.inherited_resumed(run, resumed),
            };
        };
        if state.stopping {
            // The message to stop it may have been lost with the connection.
            resumed.stop.push(id);
        }
        match (state.child(), run.child) {
            (None, Some(child)) => self.started_resumed(&run, child),
            // The journal may have lost that it was started.
            (Some(_), None) => resumed.adopt.push(state.under_way(id)),
            _ => {}
        }
    }

    /// Core has processed the end of this run. It was not told to the helper, or the journal has
    /// lost it.
    fn over_resumed(&mut self, run: UnderWay, resumed: &mut Resumed) {
        if run.child.is_none() && self.scripts.settling.was_never_started(run.run) {
            return resumed.stop.push(run.run);
        }
        resumed.over.push(run.run);
        if run.kind == ScriptKind::Connect {
            // It may have been given up while it lived, and its peer may have gone since. What
            // follows must not wait for it.
            if self.server.link() == ServerLink::Up && self.peers.find(&run.peer).is_none() {
                resumed.stop.push(run.run);
            }
            self.scripts.runs.leave(run.peer.clone(), run.run);
            resumed.commanded.insert(run.peer);
        }
    }

    /// An earlier core has ordered this run.
    fn inherited_resumed(&mut self, run: UnderWay, resumed: &mut Resumed) {
        let state = RunState::inherited(&run, self.now);
        self.scripts.runs.insert(run.run, state);
        if let Some(child) = run.child {
            self.started_resumed(&run, child);
        }
        resumed.commanded.insert(run.peer);
    }

    /// This run was started, which core has not heard.
    fn started_resumed(&mut self, run: &UnderWay, child: Child) {
        let since = start_of(child, self.now);
        self.scripts.runs.start(run.run, child, since);
        self.scripts.watch_later(run.run, child, self.now);
        self.setup_started(&run.peer, run.kind, run.run);
    }

    /// Tells the helper the runs that it does not know, and which of all runs are to `stop`, and
    /// lets it begin.
    fn tell_the_rest(&mut self, resumed: Resumed) {
        let Resumed {
            there,
            over,
            mut adopt,
            mut stop,
            ..
        } = resumed;
        // Before what undoes one of them, which would take it for one that was never started. That
        // they are settled is told after it, so that the helper still knows which never were.
        for some in over.chunks(ITEMS_PER_FRAME) {
            self.tell_scripts(ToScripts::Over(some.to_vec()));
        }
        let mut lost = Vec::new();
        let mut again = BTreeMap::new();
        for (id, state) in self.scripts.runs.iter() {
            if there.contains(&id) {
                continue;
            }
            match (state.child(), state.order.as_deref()) {
                (Some(_), _) => {
                    adopt.push(state.under_way(id));
                    stop.extend(state.stopping.then_some(id));
                }
                (None, Some(order)) => {
                    let (run, undoes_nothing) = self.scripts.settling.certain(order.run.clone());
                    let stopping = state.stopping || undoes_nothing;
                    again.insert(id, (ToScripts::Run(vec![run]), stopping));
                }
                // Nobody knows what happened to it.
                (None, None) => lost.push(id),
            }
        }
        let changes = self.scripts.changes.iter();
        let setup = |it: &SetupChange| (it.number, (ToScripts::Setup(it.clone()), false));
        again.extend(changes.map(setup));
        for some in adopt.chunks(ITEMS_PER_FRAME) {
            self.tell_scripts(ToScripts::Adopt(some.to_vec()));
        }
        // In the order in which they were given: this helper may have begun before the connection
        // was lost, and starts what it can. One message each: a run carries a whole environment and
        // may be long.
        for (id, (message, stopping)) in again {
            let state = self.scripts.runs.get_mut(id);
            if let Some(state) = state
                && let Some(order) = state.order.as_mut()
            {
                order.sent = true;
                // It is told to the next helper, too, if the connection is lost before that.
                state.stopping |= stopping;
                if !stopping {
                    self.scripts.owe(id, Some(self.now));
                }
            }
            self.tell_scripts(message);
            // Sent all the same, since another run may undo it, and must not be started either.
            stop.extend(stopping.then_some(id));
        }
        // After what follows them: if core is killed in between, nothing is lost.
        self.tell_stops(stop);
        // A new helper starts nothing before this, so nothing that is stopped already.
        self.tell_scripts(ToScripts::Ready {});
        for id in lost {
            self.script_ended(id, Ended::Lost);
            // Nobody reads what it writes.
            self.scripts.runs.remove(id);
        }
        self.recall_setups();
    }
}
