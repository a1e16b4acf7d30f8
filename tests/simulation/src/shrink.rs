// SPDX-License-Identifier: GPL-3.0-or-later
//! Makes the plan of a failure smaller, as long as it breaks the same promise.
//!
//! ```text
//!   plan --end at the failure--> faults --halves, complements, single ones--> peers, hosts
//!                                  ^-----------------------------------------------+
//!                                  +--> simpler faults
//! ```
//!
//! All draws of a run are keyed by what they are about, so a fault that is left out shifts nothing
//! else.

use std::time::Duration;

use crate::instant::Instant;
use crate::plan::{
    DatabaseChange, Fault, HostId, Knock, OperatorAct, OthersAct, Partner, Plan, Timed, When,
};
use crate::promise::Broken;

/// How many runs are spent on a failure by default.
const RUNS: u32 = 400;

/// How much may be spent on a failure. To limit the time as well, have the runs find nothing once
/// it is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budget {
    /// How many runs.
    pub runs: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { runs: RUNS }
    }
}

/// What happened to a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk {
    /// The smallest plan that was found.
    pub plan: Plan,
    /// How it fails.
    pub broken: Broken,
    /// How many runs it took.
    pub runs: u32,
}

/// Makes a plan smaller that fails like this. `run` plays a plan and says how it fails.
pub fn shrink(
    plan: Plan,
    broken: &Broken,
    run: &mut dyn FnMut(&Plan) -> Option<Broken>,
    budget: Budget,
) -> Shrunk {
    let mut search = Search {
        best: Shrunk {
            plan,
            broken: broken.clone(),
            runs: 0,
        },
        run,
        budget,
    };
    search.end_at_failure();
    search.fewer_faults();
    search.fewer_peers();
    search.fewer_hosts();
    search.fewer_faults();
    search.simpler_faults();
    search.best
}

/// The search for a smaller plan.
struct Search<'a> {
    best: Shrunk,
    run: &'a mut dyn FnMut(&Plan) -> Option<Broken>,
    budget: Budget,
}

impl Search<'_> {
    /// Takes a plan if it fails in the same way.
    fn takes(&mut self, plan: Plan) -> bool {
        if self.best.runs >= self.budget.runs {
            return false;
        }
        self.best.runs += 1;
        let found = (self.run)(&plan).filter(|it| it.promise == self.best.broken.promise);
        let Some(broken) = found else {
            return false;
        };
        (self.best.plan, self.best.broken) = (plan, broken);
        true
    }

    /// Whether the failure is one of the end, which must stay where it is.
    fn is_of_the_end(&self) -> bool {
        self.best.broken.promise.name().starts_with('E')
    }

    /// Leaves out what comes after the failure.
    fn end_at_failure(&mut self) {
        let at = self.best.broken.at;
        let mut plan = self.best.plan.clone();
        if !self.is_of_the_end() {
            plan.until = at + Duration::from_nanos(1);
        }
        plan.faults.retain(|timed| timed.at <= at);
        if plan != self.best.plan {
            self.takes(plan);
        }
    }

    /// Leaves out faults: halves, then quarters and so on, or all but one of these.
    fn fewer_faults(&mut self) {
        let mut parts = 2;
        loop {
            let all = self.best.plan.faults.clone();
            if all.is_empty() {
                return;
            }
            let size = all.len().div_ceil(parts);
            let chunks: Vec<&[Timed]> = all.chunks(size).collect();
            let keeps = |faults: Vec<Timed>| Plan {
                faults,
                ..self.best.plan.clone()
            };
            let alone = chunks.iter().map(|chunk| keeps(chunk.to_vec()));
            let without = (0..chunks.len()).map(|left_out| {
                let others = chunks.iter().enumerate();
                let others = others.filter(|(index, _)| *index != left_out);
                keeps(others.flat_map(|(_, chunk)| chunk.to_vec()).collect())
            });
            // With two parts, each is what the other leaves.
            let alone: Vec<Plan> = alone.filter(|_| parts > 2 || size < all.len()).collect();
            let without: Vec<Plan> = without.filter(|_| parts > 2 || size >= all.len()).collect();
            if alone.into_iter().any(|plan| self.takes(plan)) {
                parts = 2;
            } else if without.into_iter().any(|plan| self.takes(plan)) {
                parts = (parts - 1).max(2);
            } else if size > 1 {
                parts = (parts * 2).min(all.len());
            } else {
                return;
            }
            if self.best.runs >= self.budget.runs {
                return;
            }
        }
    }

    /// Leaves out peers, with the faults that are about them.
    fn fewer_peers(&mut self) {
        let hosts = self.best.plan.site.hosts.clone();
        for (host, site) in (0..).map(HostId).zip(hosts) {
            for record in site.records {
                let plan = without_peer(&self.best.plan, host, &record.peer);
                self.takes(plan);
            }
        }
    }

    /// Leaves out the last hosts. The others keep their numbers, from which their addresses and
    /// their draws follow; what they have is left out with their peers and faults.
    fn fewer_hosts(&mut self) {
        while let Some(plan) = without_last_host(&self.best.plan)
            && self.takes(plan)
        {}
    }

    /// Makes what is left as simple as possible.
    fn simpler_faults(&mut self) {
        for index in 0..self.best.plan.faults.len() {
            for simpler in simpler(&self.best.plan.faults[index]) {
                let mut plan = self.best.plan.clone();
                plan.faults[index] = simpler;
                if self.takes(plan) {
                    break;
                }
            }
        }
    }
}

/// Whether a fault is about this peer.
fn is_about(fault: &Fault, peer: &str) -> bool {
    match fault {
        Fault::Database { change } => match change {
            DatabaseChange::Record { peer: of, .. }
            | DatabaseChange::Unwatched(of, _)
            | DatabaseChange::Removed(of)
            | DatabaseChange::New(of) => of == peer,
            _ => false,
        },
        Fault::Command { words } => words.iter().any(|word| word == peer),
        Fault::Knock {
            knock: Knock::Known(of) | Knock::WrongKey(of),
        }
        | Fault::Operator {
            act: OperatorAct::RunScript { peer: of, .. },
        } => of == peer,
        other => other.peer() == Some(peer),
    }
}

fn without_peer(plan: &Plan, host: HostId, peer: &str) -> Plan {
    let mut plan = plan.clone();
    if let Some(site) = plan.site.hosts.get_mut(usize::from(host.0)) {
        site.records.retain(|record| record.peer != peer);
        site.users.retain(|(_, of)| of != peer);
        site.auto.retain(|name| name != peer);
    }
    plan.faults
        .retain(|timed| timed.host != host || !is_about(&timed.fault, peer));
    plan
}

/// The plan without its last host, if there are more and none has a peer there.
fn without_last_host(plan: &Plan) -> Option<Plan> {
    let mut plan = plan.clone();
    plan.site.hosts.pop()?;
    let gone = HostId(u8::try_from(plan.site.hosts.len()).ok()?);
    let mut records = plan.site.hosts.iter().flat_map(|it| &it.records);
    if gone == HostId(0) || records.any(|it| it.partner == Partner::Host(gone)) {
        return None;
    }
    plan.faults.retain(|timed| {
        let is_path = matches!(&timed.fault, Fault::Path { to, .. } if *to == gone);
        timed.host != gone && !is_path
    });
    Some(plan)
}

/// Simpler faults in place of this one, the simplest first.
fn simpler(timed: &Timed) -> Vec<Timed> {
    let mut found = Vec::new();
    let mut add = |at: Instant, when: When, fault: Fault| {
        let simpler = Timed {
            at,
            when,
            fault,
            ..timed.clone()
        };
        if simpler != *timed {
            found.push(simpler);
        }
    };
    let (at, when) = (timed.at, timed.when);
    for seconds in [1, 60] {
        let mut fault = timed.fault.clone();
        if let Some(time) = time_of(&mut fault)
            && *time > Duration::from_secs(seconds)
        {
            *time = Duration::from_secs(seconds);
            add(at, when, fault);
        }
    }
    let mut fault = timed.fault.clone();
    if let Some(after) = after_of(&mut fault) {
        *after = 0;
        add(at, when, fault);
    }
    if let Fault::Others { act, .. } = &timed.fault
        && let Some(act) = half_of(*act)
    {
        let mut fault = timed.fault.clone();
        if let Fault::Others { act: of, .. } = &mut fault {
            *of = act;
        }
        add(at, when, fault);
    }
    add(at, When::Now, timed.fault.clone());
    found
}

/// How long a fault lasts.
fn time_of(fault: &mut Fault) -> Option<&mut Duration> {
    match fault {
        Fault::Stand { time, .. }
        | Fault::ServerChunks { time, .. }
        | Fault::Displace { time, .. }
        | Fault::LateAnswers { time }
        | Fault::Suspend { time }
        | Fault::Partner { time, .. }
        | Fault::Name { time, .. }
        | Fault::SecondHelper { time, .. }
        | Fault::NextProtocol { time, .. }
        | Fault::Quit { again: time, .. }
        | Fault::ServerRestart { after: time, .. } => Some(time),
        _ => None,
    }
}

/// After how much more a fault comes.
fn after_of(fault: &mut Fault) -> Option<&mut u32> {
    match fault {
        Fault::Kill { after, .. } | Fault::CutAdmin { after, .. } | Fault::CancelJob { after } => {
            Some(after)
        }
        _ => None,
    }
}

/// One act in place of two.
const fn half_of(act: OthersAct) -> Option<OthersAct> {
    match act {
        OthersAct::KillAndAdd => Some(OthersAct::Kill),
        OthersAct::AddAndKill => Some(OthersAct::Add),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{HostSite, Part, RecordSite, ScriptHabits, Site, Switching};
    use crate::promise::Promise;

    fn host(peers: &[&str], partner: Partner) -> HostSite {
        let record = |peer: &&str| RecordSite {
            peer: (*peer).to_owned(),
            pairs: Vec::new(),
            partner,
            scripts: ScriptHabits::default(),
        };
        HostSite {
            records: peers.iter().map(record).collect(),
            users: Vec::new(),
            auto: Vec::new(),
            startup: false,
            keeps_state: false,
            journal: false,
            switches: Switching::Default,
            nat: None,
        }
    }

    /// A plan of 200 faults at two hosts.
    fn plan() -> Plan {
        let second = |seconds: u32| Instant(u64::from(seconds) * 1_000_000_000);
        let faults = (0..200).map(|number| Timed {
            at: second(number),
            when: When::JobOpen,
            host: HostId(u8::from(number % 3 == 2)),
            fault: match number {
                37 => Fault::Stand {
                    part: Part::Core,
                    time: Duration::from_secs(1_000),
                },
                _ => Fault::CancelJob { after: number },
            },
        });
        Plan {
            seed: 1,
            site: Site {
                hosts: vec![
                    host(&["c", "d"], Partner::Reflected(1)),
                    host(&["a", "b"], Partner::Reflected(1)),
                ],
            },
            faults: faults.collect(),
            quiet_from: second(300),
            until: second(400),
        }
    }

    /// Fails at the cancellation of 120 s if core stands at 37 s, and the peer is there.
    fn run(plan: &Plan) -> Option<Broken> {
        let stands = |timed: &&Timed| matches!(timed.fault, Fault::Stand { .. });
        let stand = plan.faults.iter().find(stands)?;
        let last = plan.faults.iter().find(|it| it.at.0 == 120_000_000_000)?;
        let mut records = plan.site.hosts.iter().flat_map(|host| &host.records);
        records.find(|record| record.peer == "c")?;
        (stand.at < last.at && last.at < plan.until).then(|| Broken {
            promise: Promise::AnsweredOnce,
            at: last.at,
            host: last.host,
            text: "made up".to_owned(),
        })
    }

    #[test]
    fn a_failure_of_two_faults_among_200_is_shrunk_to_these_two() {
        let broken = run(&plan()).unwrap();
        let shrunk = shrink(plan(), &broken, &mut run, Budget::default());
        let faults: Vec<&Fault> = shrunk.plan.faults.iter().map(|it| &it.fault).collect();
        let expected = [
            &Fault::Stand {
                part: Part::Core,
                time: Duration::from_secs(1),
            },
            &Fault::CancelJob { after: 0 },
        ];
        assert_eq!(faults, expected);
        let hosts = &shrunk.plan.site.hosts;
        assert_eq!(hosts.len(), 1);
        assert_eq!(hosts[0].records.len(), 1);
        assert!(shrunk.runs < 100, "{} runs", shrunk.runs);
        assert_eq!(shrunk.plan.until, broken.at + Duration::from_nanos(1));
    }

    #[test]
    fn another_failure_is_not_taken_for_the_same() {
        let broken = run(&plan()).unwrap();
        let mut other = |plan: &Plan| {
            let mut broken = run(plan)?;
            if plan.faults.len() < 100 {
                broken.promise = Promise::NoPanic;
            }
            Some(broken)
        };
        let shrunk = shrink(plan(), &broken, &mut other, Budget::default());
        assert_eq!(shrunk.broken.promise, Promise::AnsweredOnce);
        assert!(shrunk.plan.faults.len() >= 100);
    }

    #[test]
    fn no_more_is_spent_than_may_be() {
        let broken = run(&plan()).unwrap();
        let mut runs = 0;
        let mut counted = |plan: &Plan| {
            runs += 1;
            run(plan)
        };
        let shrunk = shrink(plan(), &broken, &mut counted, Budget { runs: 7 });
        assert_eq!((runs, shrunk.runs), (7, 7));
    }
}
