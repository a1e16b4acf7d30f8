// SPDX-License-Identifier: GPL-3.0-or-later
//! E1, E2, E4, E5 and E6: in the end, when the last fault is long over, every watched peer that
//! lives is connected and checked, every dead one is reported, nothing is late or faulty, queues
//! and tables are empty, and the database in use is that of the site.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connect_core::machine::{Backlog, Machine};
use connect_ipc::RunId;
use connect_ipc::control::{PeerState, Reply, Request, ServerLink, ServiceStatus};
use connect_ipc::scripts::UnderWay;
use connect_ipc::setup::Lane;
use peerdb::Record;
use tripe_admin::Note;
use tripe_lab::server::Server;

use super::tap::{End, Fact};
use super::{Moment, Rule, Verdict, ask};
use crate::host::scripts::BOUNDS;
use crate::instant::Instant;
use crate::plan::Fault;
use crate::promise::Promise;
use crate::seen::{Seen, View};

/// How much later than `every` and `timeout` say a reply may be.
const MARGIN: Duration = Duration::from_secs(8);

/// How long after the end of its child a run is settled at the latest.
const SETTLING: Duration = Duration::from_secs(1);

/// After how many minutes in which core waits for more than the server owes, it waits for ever.
const LEAK: u32 = 10;

/// What is needed to judge the end.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// When each peer has answered last.
    replies: BTreeMap<String, Instant>,
    /// When each peer was added last.
    added: BTreeMap<String, Instant>,
    /// For how many minutes core has waited for more than the server owes.
    leaking: u32,
    /// The runs whose child has just ended, and when.
    ended: Vec<(RunId, Instant)>,
    /// Whether the journal of scripts was damaged, which is told until somebody has seen to it.
    damaged: bool,
}

impl Rule for Settled {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.fact {
            Some(Fact::Ended(command, End::Reply(_))) if command.is_ping() => {
                self.replies.insert(command.word(0).to_owned(), now.at);
            }
            Some(Fact::Note(Note::Add { peer, .. } | Note::Kill { peer })) => {
                self.replies.remove(peer);
                self.added.insert(peer.clone(), now.at);
            }
            _ => {}
        }
        match now.seen {
            Seen::Fault(Fault::Journal { .. }) => self.damaged = true,
            Seen::ChildEnded(run, _) => {
                self.ended.retain(|(_, at)| *at + SETTLING >= now.at);
                self.ended.push((*run, now.at));
            }
            Seen::Minute(view) => {
                let owed = view.core.map_or(0, |core| core.backlog().at_server);
                let is_more = owed > now.tap.unanswered();
                self.leaking = if is_more { self.leaking + 1 } else { 0 };
            }
            Seen::End(view) => {
                let Some(core) = view.core else {
                    return broken(Promise::AllWell, "core does not live".to_owned());
                };
                self.all_well(view, core)?;
                self.peers(now, view, core)?;
                self.empty(now, view, core)?;
                current(view, core)?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Settled {
    fn all_well(&self, view: &View<'_>, core: &Machine) -> Verdict {
        let Some((status, _)) = ask::state(core, view.now) else {
            return broken(Promise::AllWell, "core does not tell its state".to_owned());
        };
        let ServiceStatus {
            server,
            database,
            pinger,
            scripts,
            checks,
            state_fault,
            ..
        } = status;
        let scripts_helper = scripts.helper;
        let wrong = if server != ServerLink::Up {
            format!("the server is {server:?}")
        } else if let Some(seconds) = checks.overdue {
            format!("a check is overdue for {seconds} s: {:?}", checks.cause)
        } else if let Some(seconds) = checks.server_silent {
            format!("the server is silent for {seconds} s")
        } else if let Some(fault) = database.fault {
            format!("the database is at fault: {fault}")
        } else if let Some(fault) = state_fault {
            format!("the state file is at fault: {fault:?}")
        } else if let Some(fault) = scripts.journal_fault.filter(|_| !self.damaged) {
            format!("the journal is at fault: {fault:?}")
        } else if !pinger.connected || pinger.silent.is_some() {
            format!("the pinger: {pinger:?}")
        } else if !scripts_helper.connected || scripts_helper.silent.is_some() {
            format!("the script helper: {scripts_helper:?}")
        } else {
            return Ok(());
        };
        broken(Promise::AllWell, wrong)
    }

    fn peers(&self, now: &Moment<'_>, view: &View<'_>, core: &Machine) -> Verdict {
        let present = view.server.map(Server::peers).unwrap_or_default();
        for record in view.truth.site.peers().filter(|it| it.flag("watch")) {
            let name = record.name();
            let is_host = now.records.is_host(name);
            if !is_host && !now.records.is_lab(name) {
                continue;
            }
            let is_there = present.iter().any(|peer| peer.name == name);
            let Some(status) = ask::peer(core, view.now, name).and_then(|peer| peer.status) else {
                // A passive peer that never came is no peer of ours.
                if record.is_passive() && !is_host {
                    continue;
                }
                return broken(Promise::Connected, format!("core does not know {name}"));
            };
            // The lab answers no encrypted pings.
            let is_mute = !is_host && record.get("ping") == Some("encrypted");
            if view.truth.dead.contains(name) || is_mute {
                let told = [PeerState::Down, PeerState::Gone, PeerState::Killed];
                let is_told = told.contains(&status.state) || status.failures > 0;
                if is_there && !is_told && self.is_late(now, record) && !self.is_new(now, record) {
                    let text = format!("{name} is dead, and {:?}", status.state);
                    return broken(Promise::DeadTold, text);
                }
                continue;
            }
            if !is_there {
                if record.is_passive() && !is_host {
                    continue;
                }
                let text = format!("{name} lives, and the server does not have it");
                return broken(Promise::Connected, text);
            }
            if status.state != PeerState::Up || status.failed_checks > 0 {
                let text = format!("{name} lives, and is {:?}", status.state);
                return broken(Promise::Connected, text);
            }
            if self.is_late(now, record) {
                let last = self.replies.get(name);
                let text = format!("{name} lives, and has answered last at {last:?}");
                return broken(Promise::Connected, text);
            }
        }
        Ok(())
    }

    /// Whether a peer has not answered for longer than it is checked.
    fn is_late(&self, now: &Moment<'_>, record: &Record) -> bool {
        let times = now.checking().longest(record.name());
        let last = self.replies.get(record.name());
        last.is_none_or(|last| *last + times.every + times.timeout + MARGIN < now.at)
    }

    /// Whether a peer was added too short a time ago to have been checked.
    fn is_new(&self, now: &Moment<'_>, record: &Record) -> bool {
        let times = now.checking().longest(record.name());
        let added = self.added.get(record.name());
        added.is_some_and(|added| *added + times.every + times.timeout + MARGIN >= now.at)
    }

    fn empty(&self, now: &Moment<'_>, view: &View<'_>, core: &Machine) -> Verdict {
        let watched = view.truth.site.peers().len();
        let left = core.backlog();
        // Checks go on for ever, and scripts may: what is in progress is no backlog.
        let may_go_on = Backlog {
            // A ping may be on its way.
            at_server: if self.leaking < LEAK {
                left.at_server
            } else {
                0
            },
            // tripe-admin.md, 3.0: `ADDR' is refused for an unknown peer only, so a peer that is
            // there and whose address is refused stays undecided until the server is met again.
            undecided: left.undecided.min(3 * now.calm.untold()),
            pings_queued: left.pings_queued.min(watched),
            for_pinger: left.for_pinger.min(watched),
            runs: left.runs.min(view.ledger.runs().count()),
            // An operator's change may wait for an `ifup` that does not end.
            applying: left.applying.min(view.ledger.runs().count()),
            // A helper was lost before it told that it has the order; the next one has it, too.
            orders_untaken: left.orders_untaken.min(view.ledger.runs().count()),
            ..Backlog::default()
        };
        if left != may_go_on {
            return broken(Promise::Empty, format!("core has left {left:?}"));
        }
        // What waits may wait for a script of the same peer that does not end, or for one that
        // waits for a place, all of which such scripts have.
        let runs = || view.ledger.runs().map(|run| &run.under_way);
        let lives = |run: &UnderWay| view.truth.children.contains(&run.run);
        let is_full = |lane| {
            let taken = runs().filter(|run| lives(run) && run.kind.lane() == lane);
            taken.count() >= *BOUNDS.get(lane)
        };
        let full = Lane::ALL.map(|lane| is_full(lane).then_some(lane));
        let blocked: BTreeSet<&str> = runs()
            .filter(|run| lives(run) || full.contains(&Some(run.kind.lane())))
            .map(|run| run.peer.as_str())
            .collect();
        let just_ended = |run: &RunId| {
            let mut ended = self.ended.iter();
            ended.any(|(id, at)| id == run && *at + SETTLING >= now.at)
        };
        let forgotten = view.ledger.runs().find(|run| {
            let run = &run.under_way;
            !blocked.contains(run.peer.as_str()) && !just_ended(&run.run)
        });
        if let Some(run) = forgotten {
            return broken(Promise::Empty, format!("the journal has {run:?}"));
        }
        if let Some((_, outbox)) = view.scripts
            && let Some(message) = outbox.front()
        {
            let text = format!("the script helper has not told {message:?}");
            return broken(Promise::Empty, text);
        }
        Ok(())
    }
}

/// The records in use are those of the site.
fn current(view: &View<'_>, core: &Machine) -> Verdict {
    let mut used = BTreeMap::new();
    let mut after = String::new();
    loop {
        let request = Request::Records { after };
        let Some(Reply::Records(page)) = ask::ask(core, view.now, request).pop() else {
            return broken(
                Promise::Current,
                "core does not tell its records".to_owned(),
            );
        };
        let last = page.records.last().map(|record| record.peer.clone());
        let records = page.records.into_iter();
        used.extend(records.map(|record| (record.peer, record.record.unwrap_or_default())));
        match last {
            Some(last) if page.more => after = last,
            _ => break,
        }
    }
    let pairs = |record: &Record| {
        let pairs = record.iter();
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut pairs: Vec<(String, String)> = pairs.collect();
        pairs.sort_unstable();
        pairs
    };
    let records = view.truth.site.peers();
    let site: BTreeMap<String, Vec<(String, String)>> = records
        .map(|record| (record.name().to_owned(), pairs(record)))
        .collect();
    let different = |name: &&String| used.get(*name) != site.get(*name);
    if let Some(name) = site.keys().chain(used.keys()).find(different) {
        let (used, site) = (used.get(name), site.get(name));
        let text = format!("core uses {used:?} for {name}, and the site has {site:?}");
        return broken(Promise::Current, text);
    }
    Ok(())
}

fn broken(promise: Promise, text: String) -> Verdict {
    Err((promise, text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connect_core::machine::{ConnectionId, Input, Loaded, WriteNews};
    use connect_ifscripts::ledger::{Entry, Ledger};
    use connect_ipc::clock::Monotonic;
    use connect_ipc::scripts::{FromScripts, ScriptKind};

    use super::super::testing::{self, Sight, database, joined, view};
    use super::*;
    use crate::plan::{DatabaseChange, HostId, Timed, When};
    use crate::world::Truth;

    type Records<'a> = &'a [(&'a str, &'a [(&'a str, &'a str)])];

    const RECORDS: Records<'_> = &[("p", &[("peer", "INET 198.18.0.1 4070")])];

    /// What is wrong with a core that uses these records, if the site has those.
    fn look(core: Option<&Machine>, site: Records<'_>) -> Option<Promise> {
        let mut sight = Sight::new::<Settled>(site);
        let truth = Truth {
            site: Arc::new(database(site)),
            ..Truth::default()
        };
        let truth = &truth;
        let seen = view(|view| {
            sight.see(Seen::End(View {
                core,
                truth,
                ..view
            }))
        });
        seen.err().map(|(promise, _)| promise)
    }

    #[test]
    fn a_core_with_nothing_left_keeps_them() {
        let core = joined(RECORDS, &[]);
        assert_eq!(look(Some(&core), RECORDS), None);
    }

    #[test]
    fn a_core_that_has_not_come_to_rest_breaks_them() {
        assert_eq!(look(None, RECORDS), Some(Promise::AllWell));
        let other: Records<'_> = &[("p", &[("peer", "INET 198.18.0.2 4070")])];
        assert_eq!(
            look(Some(&joined(other, &[])), RECORDS),
            Some(Promise::Current)
        );
        let watched: Records<'_> = &[("p", &[("peer", "INET 198.18.0.1 4070"), ("watch", "t")])];
        let gone = joined(watched, &[]);
        assert_eq!(look(Some(&gone), watched), Some(Promise::Connected));
        let mut busy = joined(RECORDS, &[]);
        let job = Input::ServerLine("SVCJOB J1 connect active p".into());
        busy.handle(job, Monotonic(2_000_000_000_000), &mut Vec::new());
        assert_eq!(look(Some(&busy), RECORDS), Some(Promise::Empty));
    }

    const WATCHED: Records<'_> = &[("p", &[("peer", "INET 198.18.0.1 4070"), ("watch", "t")])];

    /// A dead or mute peer of which nothing is told is at the server: what is wrong with that.
    fn look_at_dead(sight: &mut Sight, site: Records<'_>, dead: &[&str]) -> Option<Promise> {
        let peers: Vec<&str> = site.iter().map(|(peer, _)| *peer).collect();
        let core = joined(site, &peers);
        let server = testing::server(&peers);
        let truth = Truth {
            site: Arc::new(database(site)),
            dead: dead.iter().map(|peer| (*peer).to_owned()).collect(),
            ..Truth::default()
        };
        let (core, server, truth) = (Some(&core), Some(&server), &truth);
        let seen = view(|view| {
            sight.see(Seen::End(View {
                core,
                server,
                truth,
                ..view
            }))
        });
        seen.err().map(|(promise, _)| promise)
    }

    #[test]
    fn a_dead_peer_of_which_nothing_is_told_breaks_it() {
        let mut sight = Sight::new::<Settled>(WATCHED);
        let dead = &["p"];
        let told = Some(Promise::DeadTold);
        assert_eq!(look_at_dead(&mut sight, WATCHED, dead), told);
        let mut sight = Sight::new::<Settled>(WATCHED);
        let reply = [
            "> PING -background c0.0 -timeout 10 p",
            "< BGDETACH c0.0",
            "< BGINFO c0.0 ping-ok 1.0",
            "< BGOK c0.0",
        ];
        assert_eq!(sight.lines(&reply), None);
        assert_ne!(
            look_at_dead(&mut sight, WATCHED, dead),
            told,
            "a moment ago"
        );
    }

    /// The lab answers no encrypted pings. What another site says of the peer does not matter then.
    #[test]
    fn a_mute_peer_counts_as_dead_also_if_the_database_was_that_of_another_site() {
        let pairs: &[(&str, &str)] = &[
            ("peer", "INET 198.18.0.1 4070"),
            ("watch", "t"),
            ("ping", "encrypted"),
        ];
        let site: Records<'_> = &[("p0", pairs)];
        let change = DatabaseChange::OfOtherSite;
        for faults in [Vec::new(), vec![Fault::Database { change }]] {
            let faults = faults.into_iter().map(|fault| Timed {
                at: Instant(0),
                when: When::Now,
                host: HostId(0),
                fault,
            });
            let mut sight = Sight::of::<Settled>(&testing::plan(site, faults.collect()));
            let broken = look_at_dead(&mut sight, site, &[]);
            assert_eq!(broken, Some(Promise::DeadTold));
        }
    }

    #[test]
    fn a_fault_that_is_not_over_breaks_it() {
        let fault = || "its hash table is damaged".to_owned();
        let (pinger, scripts) = (ConnectionId(1), ConnectionId(2));
        let faults = [
            Input::Database(Loaded::Faulty { fault: fault() }),
            Input::Written(WriteNews::StateFault { fault: fault() }),
            Input::Scripts(scripts, FromScripts::JournalFault(Some(fault()))),
            Input::Gone(pinger),
            Input::Gone(scripts),
            Input::ServerLost { reason: fault() },
        ];
        for input in faults {
            let mut core = joined(RECORDS, &[]);
            let (now, text) = (Monotonic(2_000_000_000_000), format!("{input:?}"));
            core.handle(input, now, &mut Vec::new());
            assert_eq!(look(Some(&core), RECORDS), Some(Promise::AllWell), "{text}");
        }
    }

    /// What is broken if the run ends with these scripts left.
    fn left(sight: &mut Sight, ledger: &Ledger, truth: &Truth) -> Option<Promise> {
        let core = joined(RECORDS, &[]);
        let seen = view(|view| {
            sight.see(Seen::End(View {
                core: Some(&core),
                ledger,
                truth,
                ..view
            }))
        });
        seen.err().map(|(promise, _)| promise)
    }

    #[test]
    fn a_run_that_waits_for_a_place_breaks_it_unless_scripts_that_live_have_all_of_them() {
        let places = u64::try_from(BOUNDS.interface).unwrap();
        for (living, expected) in [(places - 1, Some(Promise::Empty)), (places, None)] {
            let mut ledger = Ledger::default();
            for number in 1..=places + 1 {
                let mut run = testing::run(number, ScriptKind::OnUp, None);
                run.peer = format!("p{number}");
                ledger.apply(&Entry::Ordered(Arc::new(run)));
            }
            let truth = Truth {
                site: Arc::new(database(RECORDS)),
                children: (1..=living).map(RunId).collect(),
                ..Truth::default()
            };
            let mut sight = Sight::new::<Settled>(RECORDS);
            let broken = left(&mut sight, &ledger, &truth);
            assert_eq!(broken, expected, "{living}");
        }
    }

    #[test]
    fn a_run_that_nobody_has_settled_breaks_it_unless_it_has_just_ended() {
        let mut ledger = Ledger::default();
        let run = testing::run(1, ScriptKind::Ifup, None);
        let id = run.run;
        ledger.apply(&Entry::Ordered(Arc::new(run)));
        let truth = Truth {
            site: Arc::new(database(RECORDS)),
            ..Truth::default()
        };
        for (before, expected) in [
            (None, Some(Promise::Empty)),
            (Some(2), Some(Promise::Empty)),
            (Some(0), None),
        ] {
            let mut sight = Sight::new::<Settled>(RECORDS);
            if let Some(seconds) = before {
                sight
                    .see(Seen::ChildEnded(
                        id,
                        &connect_ipc::scripts::Ended::Exited(0),
                    ))
                    .unwrap();
                sight.later(seconds);
            }
            let broken = left(&mut sight, &ledger, &truth);
            assert_eq!(broken, expected, "{before:?}");
        }
    }
}
