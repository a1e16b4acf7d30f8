// SPDX-License-Identifier: GPL-3.0-or-later
//! A plan from a seed: which faults come when.

use std::time::Duration;

use tripe_lab::rng::Rng;

use super::build::{build, hang};
use super::fault::{
    DatabaseChange, Fault, Greeting, JournalLoss, Kept, Knock, Leaving, Naming, OperatorAct,
    OthersAct, PathChange, When,
};
use super::host::{HostId, Part, Way};
use super::profile::{
    CALM, CHANGED_FROM, GREETED, GREETED_FROM, Kind, NEWER, NEWER_FROM, Profile, RATES,
};
use super::site::{HostSite, Site};
use super::{Plan, Timed};
use crate::chance::{Chances, What};
use crate::instant::{Instant, nanos};

/// How long everything has to settle at the end: twice the longest pause of a passive peer by
/// default, five timeouts, and some to spare.
const SETTLE: Duration = Duration::from_secs(2 * 3_600);

/// Nothing is done in the first minutes, in which the service starts.
const QUIET_START: Duration = Duration::from_secs(120);

/// How large a run is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scale {
    /// How many hosts.
    pub hosts: u8,
    /// How many peers each has.
    pub peers: u32,
    /// How long it lasts.
    pub time: Duration,
    /// How much happens.
    pub profile: Profile,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn generate(seed: u64, scale: Scale) -> Self {
        let chances = Chances::new(seed);
        let calm = match scale.profile {
            Profile::Storm | Profile::Steady => false,
            Profile::Calm => true,
            Profile::Mixed => seed.is_multiple_of(4),
        };
        let is_newer = seed >= NEWER_FROM;
        let mut site = build(chances, scale.hosts, scale.peers, calm);
        if is_newer && !calm {
            hang(chances, &mut site);
        }
        let until = Instant(0) + scale.time;
        let settle = SETTLE.min(scale.time / 2);
        let quiet_from = until - settle;
        let mut faults = Vec::new();
        for id in 0..scale.hosts {
            let host = HostId(id);
            let maker = Maker {
                chances,
                host,
                site: &site,
                calm,
                is_steady: scale.profile == Profile::Steady,
                is_newer,
                is_greeted: seed >= GREETED_FROM,
                is_changed: seed >= CHANGED_FROM,
            };
            maker.add(quiet_from, &mut faults);
        }
        faults.sort_by_key(|timed| timed.at);
        Plan {
            seed,
            site,
            faults,
            quiet_from,
            until,
        }
    }
}

/// Makes the faults of a host.
struct Maker<'a> {
    chances: Chances,
    host: HostId,
    site: &'a Site,
    calm: bool,
    is_steady: bool,
    is_newer: bool,
    is_greeted: bool,
    is_changed: bool,
}

const DAY: u64 = 86_400_000_000_000;

impl Maker<'_> {
    fn add(&self, quiet_from: Instant, faults: &mut Vec<Timed>) {
        let begin = nanos(QUIET_START);
        let length = quiet_from.0.saturating_sub(begin);
        if length == 0 {
            return;
        }
        let newer = NEWER.iter().filter(|_| self.is_newer);
        let greeted = GREETED.iter().filter(|_| self.is_greeted);
        let rates = RATES.iter().chain(newer).chain(greeted);
        for ((kind, rate), number) in rates.zip(0u64..) {
            if self.is_steady && kind.ends_processes() {
                continue;
            }
            let mut draw = self.chances.of(What::Faults, self.host, number, 0);
            let divisor = 10 * if self.calm { CALM } else { 1 };
            // In millionths, so that a short run has its share of what is rare.
            let millionths = u128::from(*rate) * 1_000_000 * u128::from(length)
                / u128::from(DAY)
                / u128::from(divisor);
            let millionths = u64::try_from(millionths).unwrap_or(u64::MAX);
            let more = u64::from(draw.below(1_000_000) < millionths % 1_000_000);
            for count in 0..millionths / 1_000_000 + more {
                let mut draw = self.chances.of(What::Faults, self.host, number, count + 1);
                let at = Instant(begin + draw.below(length));
                let when = aim(&mut draw);
                if *kind == Kind::Unwatch {
                    faults.extend(self.unwatch(at, &mut draw).into_iter().flatten());
                } else if *kind == Kind::Name {
                    faults.extend(self.misname(at, &mut draw).into_iter().flatten());
                } else if *kind == Kind::Greeted {
                    faults.extend(self.greeted(at, &mut draw).into_iter().flatten());
                } else if let Some(fault) = self.fault(*kind, &mut draw) {
                    faults.push(Timed {
                        at,
                        when,
                        host: self.host,
                        fault,
                    });
                }
            }
        }
    }

    /// A partner dies, and its record has no `watch` for a moment in which a ping waits for it.
    fn unwatch(&self, at: Instant, draw: &mut Rng) -> Option<[Timed; 2]> {
        let peer = self.peer(draw)?;
        let dies = Fault::Partner {
            peer: peer.clone(),
            time: between(draw, 300_000, 1_200_000),
        };
        let change = DatabaseChange::Unwatched(peer, between(draw, 1_000, 4_000));
        let timed = |at, when, fault| Timed {
            at,
            when,
            host: self.host,
            fault,
        };
        let moment = Duration::from_secs(1);
        Some([
            timed(at, When::Now, dies),
            timed(at + moment, When::PingInFlight, Fault::Database { change }),
        ])
    }

    /// A partner moves, and its name is answered for in another way.
    fn misname(&self, at: Instant, draw: &mut Rng) -> Option<[Timed; 2]> {
        let peer = self.named_peer(draw)?;
        let answers = match draw.below(5) {
            0 => Naming::Nothing,
            1 => Naming::Error,
            2 => Naming::Late,
            3 => Naming::Flapping,
            _ => Naming::OfAnother(self.numbered_peer(draw)?),
        };
        let moves = Fault::PartnerMoves { peer: peer.clone() };
        let time = between(draw, 60_000, 3_600_000);
        let name = Fault::Name {
            peer,
            answers,
            time,
        };
        let host = self.host;
        let timed = |at, fault| Timed {
            at,
            when: When::Now,
            host,
            fault,
        };
        Some([timed(at, name), timed(at + Duration::from_secs(1), moves)])
    }

    /// Somebody waits for a greeting. It comes in time; or after the time of the command is over;
    /// or after the command was cancelled.
    fn greeted(&self, at: Instant, draw: &mut Rng) -> Option<Vec<Timed>> {
        let user = pick(draw, &self.here()?.users)?.0.as_str();
        // In milliseconds.
        let (words, limit) = match draw.below(4) {
            0 => (vec!["passive", "-timeout", "3", user], 3_000),
            _ => (vec!["passive", user], 30_000),
        };
        let words = words.into_iter().map(str::to_owned).collect();
        let mut faults = vec![(Duration::ZERO, Fault::Command { words })];
        let (greeting, after) = match draw.below(4) {
            0 => (Greeting::Late, between(draw, limit + 500, 1_200_000)),
            1 => {
                let cancelled = between(draw, 100, limit / 2);
                faults.push((cancelled, Fault::CancelJob { after: 0 }));
                (Greeting::Late, cancelled + between(draw, 100, 1_200_000))
            }
            _ => (Greeting::Live, between(draw, 10, limit - 500)),
        };
        faults.push((after, Fault::Greeting { greeting }));
        let timed = faults.into_iter().map(|(after, fault)| Timed {
            at: at + after,
            when: When::Now,
            host: self.host,
            fault,
        });
        Some(timed.collect())
    }

    /// A peer that is looked up by its host name.
    fn named_peer(&self, draw: &mut Rng) -> Option<String> {
        let records = self.here()?.records.iter();
        let named: Vec<_> = records.filter(|record| record.is_named()).collect();
        Some(pick(draw, &named)?.peer.clone())
    }

    /// A peer whose address is written as a number.
    fn numbered_peer(&self, draw: &mut Rng) -> Option<String> {
        let records = self.here()?.records.iter();
        let others = records.filter(|record| !record.is_named() && !record.is_passive());
        let others: Vec<_> = others.collect();
        Some(pick(draw, &others)?.peer.clone())
    }

    fn here(&self) -> Option<&HostSite> {
        self.site.hosts.get(usize::from(self.host.0))
    }

    fn peer(&self, draw: &mut Rng) -> Option<String> {
        let records = &self.here()?.records;
        Some(pick(draw, records)?.peer.clone())
    }

    fn fault(&self, kind: Kind, draw: &mut Rng) -> Option<Fault> {
        Some(match kind {
            Kind::KillCore => Fault::Kill {
                part: Part::Core,
                after: below(draw, 4),
                state: kept(draw),
            },
            Kind::KillPinger => kill(Part::Pinger, draw),
            Kind::KillScripts => kill(Part::Scripts, draw),
            Kind::Stand => Fault::Stand {
                part: *pick(draw, &Part::ALL)?,
                time: between(draw, 1_000, 10_800_000),
            },
            Kind::Quit => Fault::Quit {
                how: *pick(draw, &[Leaving::Command, Leaving::Signal])?,
                again: between(draw, 100, 600_000),
            },
            Kind::Upgrade => Fault::Upgrade {},
            Kind::CutAdmin => Fault::CutAdmin {
                after: below(draw, 200),
                way: *pick(draw, &[Way::ToServer, Way::ToClient])?,
            },
            Kind::CutHelper => Fault::CutHelper {
                part: *pick(draw, &[Part::Pinger, Part::Scripts])?,
            },
            Kind::ServerRestart => Fault::ServerRestart {
                with_peers: draw.below(2) == 0,
                after: between(draw, 1, 120_000),
            },
            Kind::ServerChunks => Fault::ServerChunks {
                bytes: 1 + below(draw, 30),
                pause: between(draw, 1, 300),
                time: between(draw, 1_000, 600_000),
            },
            Kind::Displace => Fault::Displace {
                version: (*pick(draw, &["0.1", "9.9.9"])?).to_owned(),
                time: between(draw, 1_000, 600_000),
            },
            Kind::Refuse => refuse(draw)?,
            Kind::LateAnswers => Fault::LateAnswers {
                time: between(draw, 200, 30_000),
            },
            Kind::CancelJob => Fault::CancelJob {
                after: below(draw, 4),
            },
            Kind::VanishClient => Fault::VanishClient {},
            Kind::Database => Fault::Database {
                change: self.database(draw)?,
            },
            Kind::Journal => Fault::Journal {
                loss: match draw.below(2) {
                    0 => JournalLoss::Removed,
                    _ => JournalLoss::Damaged(1 + below(draw, 20)),
                },
            },
            Kind::Suspend => Fault::Suspend {
                time: between(draw, 10_000, 43_200_000),
            },
            Kind::Reboot => Fault::Reboot {},
            Kind::Path => self.path(draw)?,
            Kind::Address => {
                self.here()?.nat?;
                Fault::Address {}
            }
            Kind::PartnerMoves => Fault::PartnerMoves {
                peer: self.named_peer(draw)?,
            },
            Kind::Partner => Fault::Partner {
                peer: self.peer(draw)?,
                time: between(draw, 30_000, 21_600_000),
            },
            Kind::Others => Fault::Others {
                peer: self.peer(draw)?,
                act: *pick(draw, &OTHERS)?,
            },
            Kind::Command => Fault::Command {
                words: self.command(draw)?,
            },
            Kind::Knock => Fault::Knock {
                knock: match draw.below(4) {
                    0 => Knock::Unknown,
                    1 => Knock::WrongKey(self.peer(draw)?),
                    _ => Knock::Known(self.peer(draw)?),
                },
            },
            Kind::Operator => Fault::Operator {
                act: self.operator(draw)?,
            },
            Kind::SecondHelper => Fault::SecondHelper {
                part: *pick(draw, &[Part::Pinger, Part::Scripts])?,
                time: between(draw, 1_000, 120_000),
            },
            Kind::NextProtocol => Fault::NextProtocol {
                part: *pick(draw, &[Part::Pinger, Part::Scripts])?,
                time: between(draw, 1_000, 120_000),
            },
            Kind::WallClock => Fault::WallClock {
                millis: i64::try_from(draw.below(7_200_000)).unwrap_or(0) - 3_600_000,
            },
            Kind::KillServer => kill(Part::Server, draw),
            Kind::OtherSite => Fault::Database {
                change: DatabaseChange::OfOtherSite,
            },
            Kind::Greeting => Fault::Greeting {
                greeting: match draw.below(4) {
                    0 => Greeting::Stale,
                    _ => Greeting::Live,
                },
            },
            // Several faults each, which are made elsewhere.
            Kind::Unwatch | Kind::Name | Kind::Greeted => return None,
        })
    }

    fn database(&self, draw: &mut Rng) -> Option<DatabaseChange> {
        Some(match draw.below(8) {
            0..=2 => {
                let changes = if self.is_changed {
                    &CHANGES[..]
                } else {
                    &CHANGES[..OLD_CHANGES]
                };
                let (key, value) = *pick(draw, changes)?;
                DatabaseChange::Record {
                    peer: self.peer(draw)?,
                    key: key.to_owned(),
                    value: value.map(str::to_owned),
                }
            }
            3 => DatabaseChange::Removed(self.peer(draw)?),
            4 => DatabaseChange::New(format!("new{}", draw.below(3))),
            5 => DatabaseChange::Broken,
            6 => DatabaseChange::Missing,
            _ => DatabaseChange::Back,
        })
    }

    fn path(&self, draw: &mut Rng) -> Option<Fault> {
        let hosts = u8::try_from(self.site.hosts.len()).ok()?;
        let others: Vec<HostId> = (0..hosts)
            .map(HostId)
            .filter(|it| *it != self.host)
            .collect();
        let to = *pick(draw, &others)?;
        let change = match draw.below(6) {
            0 => PathChange::Loss(below(draw, 60)),
            1 => PathChange::Duplicate(below(draw, 30)),
            2 => PathChange::Delay(between(draw, 1, 1_000)),
            3 => PathChange::Reorder(below(draw, 60)),
            4 => PathChange::Heal,
            _ => PathChange::Down {
                both: draw.below(2) == 0,
                time: between(draw, 1_000, 7_200_000),
            },
        };
        Some(Fault::Path { to, change })
    }

    fn command(&self, draw: &mut Rng) -> Option<Vec<String>> {
        let peer = self.peer(draw)?;
        let user = pick(draw, &self.here()?.users).map(|(user, _)| user.clone());
        let user = user.unwrap_or_else(|| "nobody".to_owned());
        let long = "nonsense-".repeat(25);
        let words: Vec<&str> = match draw.below(12) {
            0..=2 => vec!["active", &peer],
            3 => vec!["passive", &user],
            4 => vec!["kick", &peer],
            5 => vec!["sabotage", &peer],
            6 => vec!["info", &peer],
            7 => vec!["adopted"],
            8 => vec!["list-active"],
            9 => vec!["userpeer", &user],
            10 => vec!["nonsense"],
            // The answer would not fit into a line.
            11 if draw.below(2) == 0 => vec![&long],
            _ => vec!["active"],
        };
        Some(words.into_iter().map(str::to_owned).collect())
    }

    fn operator(&self, draw: &mut Rng) -> Option<OperatorAct> {
        Some(match draw.below(12) {
            0 | 1 => OperatorAct::Status,
            2 => OperatorAct::Events(between(draw, 1_000, 3_600_000)),
            3 => OperatorAct::EventsUnread(between(draw, 1_000, 3_600_000)),
            4 => OperatorAct::Flood(20),
            5 => OperatorAct::Changes,
            6 => OperatorAct::Apply,
            7 | 8 => OperatorAct::RunScript {
                peer: self.peer(draw)?,
                up: draw.below(2) == 0,
            },
            9 => OperatorAct::Records,
            10 => OperatorAct::Reload,
            _ => OperatorAct::Leaves,
        })
    }
}

/// What others do to peers.
const OTHERS: [OthersAct; 5] = [
    OthersAct::Add,
    OthersAct::Kill,
    OthersAct::KillAndAdd,
    OthersAct::AddAndKill,
    OthersAct::Bye,
];

/// How many of the changes the plans of all seeds have.
const OLD_CHANGES: usize = 6;

/// Changes of records.
const CHANGES: [(&str, Option<&str>); 10] = [
    ("every", Some("7s")),
    ("watch", None),
    ("ifup", Some("other-ifup")),
    ("ifdown", None),
    ("keepalive", Some("20s")),
    ("retries", Some("1")),
    ("timeout", Some("3s")),
    ("backoff", Some("9s")),
    ("backoff-max", Some("40s")),
    ("ping", Some("encrypted")),
];

/// The instants that faults wait for.
const AIMS: [When; 10] = [
    When::Joining,
    When::OrderOnItsWay,
    When::PingInFlight,
    When::RunOrdered,
    When::RunStarting,
    When::ScriptRuns,
    When::EndTold,
    When::AdditionUnderWay,
    When::JobOpen,
    When::Recovering,
];

/// Half of all faults are aimed.
fn aim(draw: &mut Rng) -> When {
    if draw.below(2) == 0 {
        When::Now
    } else {
        pick(draw, &AIMS).copied().unwrap_or_default()
    }
}

fn pick<'a, T>(draw: &mut Rng, from: &'a [T]) -> Option<&'a T> {
    let index = draw.below(from.len() as u64);
    from.get(usize::try_from(index).ok()?)
}

fn below(draw: &mut Rng, bound: u64) -> u32 {
    u32::try_from(draw.below(bound)).unwrap_or(0)
}

/// A time in milliseconds between two bounds: short ones as often as long ones.
fn between(draw: &mut Rng, least: u64, most: u64) -> Duration {
    let mut span = least;
    let mut steps = 0;
    while span < most {
        span *= 2;
        steps += 1;
    }
    let low = least << draw.below(steps.max(1));
    let time = low + draw.below(low.max(1));
    Duration::from_millis(time.min(most))
}

fn kept(draw: &mut Rng) -> Kept {
    match draw.below(12) {
        0 => Kept::Older(1 + below(draw, 6)),
        1 => Kept::None,
        2 => Kept::OfOtherServer,
        _ => Kept::Last,
    }
}

fn kill(part: Part, draw: &mut Rng) -> Fault {
    Fault::Kill {
        part,
        after: below(draw, 4),
        state: Kept::Last,
    }
}

fn refuse(draw: &mut Rng) -> Option<Fault> {
    let commands = [
        "ADD", "PING", "EPING", "KILL", "ALGS", "ADDR", "IFNAME", "GETCHAL", "GREET", "FORCEKX",
    ];
    // Nothing that would be a lie about the peers that there are.
    let codes = ["resolve-error", "peer-create-fail", "strange-failure"];
    Some(Fault::Refuse {
        command: (*pick(draw, &commands)?).to_owned(),
        code: (*pick(draw, &codes)?).to_owned(),
        times: 1 + below(draw, 3),
        detach: draw.below(2) == 0,
    })
}
