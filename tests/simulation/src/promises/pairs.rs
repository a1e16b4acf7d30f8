// SPDX-License-Identifier: GPL-3.0-or-later
//! P5, as scripts take turns: what is made is undone before it is made again, and nothing is undone
//! that was not made. A `connect` may follow another, since it makes a connection again.
//!
//! The rule judges only peers whose records have always had both scripts, and only runs that belong
//! to a setup, which runs of operators do not. It excuses a run if the watcher does not know what
//! happened to the run before it. It also excuses, by operators.md, "What is promised of scripts":
//! "After damage, or without a journal of scripts, a service that is started later may set up a
//! peer again that is set up [...] or take down one again that was taken down". A peer that the
//! service finds at the server counts as set up if the service has no `--startup`, or if another
//! program has provided the service.

use std::collections::BTreeMap;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::control::Request;
use connect_ipc::scripts::{Run, ScriptKind};
use connect_ipc::setup::{ByPair, Pair};

use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::{Fault, Part};
use crate::promise::Promise;
use crate::seen::Seen;

/// If a helper dies within this time after a script could not be started, its journal may not have
/// that.
const KEPT: Duration = Duration::from_secs(1);

/// What happened to a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// It was ordered; no more is known.
    Ordered,
    Started,
    /// It could not be started, then.
    NotStarted(Instant),
}

/// The runs of a peer and a pair since the last one that was compared with those before it.
#[derive(Clone, Debug, Default)]
struct Turns {
    runs: BTreeMap<RunId, (ScriptKind, Fate)>,
    /// How many runs operators may have requested since the last undoing that was ordered later.
    asked: u32,
    /// The last run that was ordered before the last of these requests, or for something that
    /// happened before.
    before_asked: Option<RunId>,
    /// When the last of these requests was made.
    asked_at: Instant,
}

/// The scripts of a host since its boot.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    peers: BTreeMap<String, ByPair<Turns>>,
    /// Whether what earlier helpers have done may have been forgotten.
    forgotten: bool,
    /// How many helpers there were.
    helpers: u32,
    /// Whether another program has provided the service.
    displaced: bool,
}

impl Rule for Pairs {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Ordered(run) if run.setup.is_some() => self.turns(run).ordered(run, now.at),
            Seen::Started(_, run) if run.setup.is_some() => return self.started(now, run),
            Seen::NotStarted(run) if run.setup.is_some() => {
                let fate = Fate::NotStarted(now.at);
                self.turns(run).runs.insert(run.run, (run.kind, fate));
            }
            Seen::Asked(_, envelope) => self.asked(&envelope.request, now.at),
            Seen::Fault(Fault::Reboot {}) => {
                *self = Pairs {
                    displaced: self.displaced,
                    ..Pairs::default()
                };
            }
            Seen::Fault(Fault::Journal { .. }) => self.forgotten = true,
            Seen::Displaced { .. } => self.displaced = true,
            Seen::Lives(Part::Scripts, _) => {
                self.helpers += 1;
                self.forgotten |= self.helpers > 1 && !now.records.journal;
            }
            Seen::Died(Part::Scripts) => self.helper_died(now.at),
            _ => {}
        }
        Ok(())
    }
}

impl Pairs {
    fn turns(&mut self, run: &Run) -> &mut Turns {
        let pairs = self.peers.entry(run.peer.clone()).or_default();
        pairs.get_mut(run.kind.pair())
    }

    /// An operator requests that scripts are run.
    fn asked(&mut self, request: &Request, at: Instant) {
        match request {
            Request::RunScript { peer, .. } => {
                let pairs = self.peers.entry(peer.clone()).or_default();
                pairs.get_mut(Pair::Interface).asked(at);
            }
            Request::ApplyChanges {} => {
                for pairs in self.peers.values_mut() {
                    pairs.get_mut(Pair::Interface).asked(at);
                }
            }
            _ => {}
        }
    }

    /// The next helper may not know what this one has just found out.
    fn helper_died(&mut self, at: Instant) {
        for pairs in self.peers.values_mut() {
            for pair in Pair::ALL {
                for (_, fate) in pairs.get_mut(pair).runs.values_mut() {
                    if matches!(fate, Fate::NotStarted(then) if *then + KEPT >= at) {
                        *fate = Fate::Ordered;
                    }
                }
            }
        }
    }

    fn started(&mut self, now: &Moment<'_>, run: &Run) -> Verdict {
        let pair = run.kind.pair();
        let [_, undo] = pair.scripts();
        // The setup of hooks is not made for a peer that the service finds.
        let found_made = (!now.records.startup || self.displaced) && pair != Pair::Hooks;
        let keys = pair.scripts().map(ScriptKind::name);
        let is_judged = !self.forgotten && now.records.always_has(&run.peer, keys);
        let turns = self.turns(run);
        let before = turns.before(run);
        turns.runs = turns.runs.split_off(&run.run);
        turns.runs.insert(run.run, (run.kind, Fate::Started));
        if run.kind == undo && turns.before_asked < Some(run.run) {
            turns.asked = 0;
        }
        let (kind, peer) = (run.kind.name(), &run.peer);
        let text = match before {
            Before::Unknown => return Ok(()),
            Before::Nothing if run.kind == undo => {
                format!("{kind} {peer} undoes what was never made")
            }
            Before::Last(last) if last == run.kind && last != ScriptKind::Connect => {
                format!("{kind} {peer} comes twice in a row")
            }
            Before::Nothing | Before::Last(_) => return Ok(()),
        };
        let is_undo = run.kind == undo;
        if !is_judged || (is_undo && found_made) {
            return Ok(());
        }
        if turns.asked > 0 {
            turns.asked -= 1;
            return Ok(());
        }
        Err((Promise::Scripts, text))
    }
}

/// What came before a run of its pair.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Before {
    /// A run of which it is not known what happened to it.
    Unknown,
    /// A run of this script.
    Last(ScriptKind),
    /// Nothing since the host was booted.
    Nothing,
}

impl Turns {
    /// An operator may have requested a run: of a setup that is made, since `ifup` is refused else.
    fn asked(&mut self, at: Instant) {
        self.asked += 1;
        self.before_asked = self.runs.keys().next_back().copied();
        self.asked_at = at;
    }

    /// A run is ordered. Core orders at the end of a turn, which has one instant: the run may be
    /// for something that it had heard before the request.
    fn ordered(&mut self, run: &Run, at: Instant) {
        let order = (run.kind, Fate::Ordered);
        self.runs.entry(run.run).or_insert(order);
        if self.asked > 0 && self.asked_at == at {
            self.before_asked = self.before_asked.max(Some(run.run));
        }
    }

    fn before(&self, run: &Run) -> Before {
        let [make, _] = run.kind.pair().scripts();
        for (kind, fate) in self.runs.range(..run.run).rev().map(|(_, it)| it) {
            match fate {
                Fate::Ordered if *kind != run.kind => return Before::Unknown,
                Fate::Ordered => {}
                // A script that could not be started has made nothing, so nothing is undone.
                Fate::NotStarted(_) if *kind == make => {}
                Fate::NotStarted(_) | Fate::Started => return Before::Last(*kind),
            }
        }
        Before::Nothing
    }
}

#[cfg(test)]
mod tests {
    use connect_core::machine::ConnectionId;
    use connect_ipc::control::Envelope;
    use connect_ipc::scripts::InterfaceScript;
    use connect_ipc::setup::SetupState;

    use super::super::testing::{self, Sight, plan};
    use super::*;

    const RECORDS: &[(&str, &[(&str, &str)])] = &[(
        "p",
        &[
            ("ifup", "up"),
            ("ifdown", "down"),
            ("connect", "on"),
            ("disconnect", "off"),
            ("on-up", "tell"),
            ("on-down", "tell"),
        ],
    )];

    fn run(number: u64, kind: ScriptKind) -> Run {
        testing::run(number, kind, Some(SetupState::Undone {}))
    }

    /// A run is ordered and starts.
    fn start(sight: &mut Sight, number: u64, kind: ScriptKind) -> Verdict {
        let run = run(number, kind);
        sight.see(Seen::Ordered(&run)).unwrap();
        sight.see(Seen::Started(run.run, &run))
    }

    /// A service that was started with its server.
    fn sight() -> Sight {
        let mut plan = plan(RECORDS, Vec::new());
        plan.site.hosts[0].startup = true;
        Sight::of::<Pairs>(&plan)
    }

    /// Whether the last of these starts breaks it, of which those before do not.
    fn breaks(sight: &mut Sight, kinds: &[ScriptKind]) -> bool {
        breaks_from(sight, 1, kinds)
    }

    /// The same, with numbers from this one on.
    fn breaks_from(sight: &mut Sight, first: u64, kinds: &[ScriptKind]) -> bool {
        let mut broken = false;
        for (kind, number) in kinds.iter().zip(first..) {
            assert!(!broken);
            let verdict = start(sight, number, *kind);
            broken = matches!(verdict, Err((Promise::Scripts, _)));
        }
        broken
    }

    #[test]
    fn a_request_counts_for_a_peer_that_was_replaced_just_before_it() {
        for is_before in [true, false] {
            let mut sight = sight();
            start(&mut sight, 1, ScriptKind::Ifup).unwrap();
            let (peer, script) = ("p".to_owned(), InterfaceScript::Ifup);
            let envelope = Envelope {
                id: 1,
                request: Request::RunScript { peer, script },
            };
            sight.see(Seen::Asked(ConnectionId(1), &envelope)).unwrap();
            if is_before {
                let undo = run(2, ScriptKind::Ifdown);
                sight.at_once(Seen::Ordered(&undo)).unwrap();
            }
            assert!(!breaks_from(
                &mut sight,
                2,
                &[ScriptKind::Ifdown, ScriptKind::Ifup]
            ));
            assert_eq!(breaks_from(&mut sight, 4, &[ScriptKind::Ifup]), !is_before);
            assert!(breaks_from(&mut sight, 5, &[ScriptKind::Ifup]));
        }
    }

    #[test]
    fn scripts_that_take_turns_keep_it() {
        use ScriptKind::{Connect, Disconnect, Ifdown, Ifup, OnDown, OnUp};
        let turns = [
            Ifup, OnUp, Connect, OnDown, Connect, OnUp, Disconnect, OnDown, Ifdown, Ifup, Ifdown,
        ];
        assert!(!breaks(&mut sight(), &turns));
        // What could not be started counts as undone.
        let mut sight = sight();
        assert!(!breaks(&mut sight, &[Ifup]));
        sight.see(Seen::NotStarted(&run(2, Ifdown))).unwrap();
        let again = run(3, Ifup);
        assert_eq!(sight.see(Seen::Started(again.run, &again)), Ok(()));
    }

    #[test]
    fn one_that_comes_twice_or_undoes_nothing_breaks_it() {
        use ScriptKind::{Disconnect, Ifdown, Ifup, OnDown, OnUp};
        for kinds in [
            &[OnUp, OnUp][..],
            &[OnUp, OnDown, OnDown],
            &[Ifup, OnDown],
            &[Ifup, Ifup],
            &[Ifup, Ifdown, Ifdown],
            &[Ifdown],
            &[Disconnect],
        ] {
            assert!(breaks(&mut sight(), kinds), "{kinds:?}");
        }
    }

    #[test]
    fn what_could_not_be_started_is_not_undone_unless_that_was_forgotten() {
        use ScriptKind::{Ifdown, Ifup};
        for dies in [false, true] {
            let mut sight = sight();
            let (up, down) = (run(1, Ifup), run(2, Ifdown));
            sight.see(Seen::Ordered(&up)).unwrap();
            sight.see(Seen::NotStarted(&up)).unwrap();
            if dies {
                sight.see(Seen::Died(Part::Scripts)).unwrap();
            }
            let verdict = sight.see(Seen::Started(down.run, &down));
            assert_eq!(verdict.is_err(), !dies);
        }
    }

    #[test]
    fn an_operator_may_have_a_script_run_again() {
        let mut sight = sight();
        assert!(!breaks(&mut sight, &[ScriptKind::Ifup]));
        let envelope = Envelope {
            id: 1,
            request: Request::ApplyChanges {},
        };
        let operator = ConnectionId(7);
        sight.see(Seen::Asked(operator, &envelope)).unwrap();
        assert_eq!(start(&mut sight, 2, ScriptKind::Ifup), Ok(()));
        assert_eq!(start(&mut sight, 3, ScriptKind::Ifdown), Ok(()));
        sight.see(Seen::Asked(operator, &envelope)).unwrap();
        // The one that is due comes first, and needs no excuse.
        assert_eq!(start(&mut sight, 4, ScriptKind::Ifup), Ok(()));
        assert_eq!(start(&mut sight, 5, ScriptKind::Ifup), Ok(()));
        let again = start(&mut sight, 6, ScriptKind::Ifup);
        assert!(again.is_err(), "once for each request");
    }
}
