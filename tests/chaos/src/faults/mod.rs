// SPDX-License-Identifier: GPL-3.0-or-later
//! Which faults come when: all of it follows from the seed, but for what happens to be there when a
//! fault comes.

pub(crate) mod database_fault;

use std::time::Duration;

use connect_ipc::scripts::InterfaceScript;
use tripe_lab::rng::Rng;

use crate::options::Layout;
use crate::world::database::Broken;
use crate::world::service::Part;

/// One thing to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// So many peers are added with one write.
    Add(usize),
    /// So many are removed with one write.
    Remove(usize),
    /// So many are added and removed again with one write.
    AddAndRemove(usize),
    /// So many are removed and added again with one write.
    RemoveAndAdd(usize),
    /// An operator has a script of so many peers run once more.
    Ask(usize, InterfaceScript),
    /// A process is killed.
    Kill(Part),
    /// A process is suspended for so long.
    Stop(Part, Duration),
    /// A process is asked to end, by signal.
    End(Part),
    /// The service is asked to end by its command `quit`, and another is started when it has
    /// answered.
    Upgrade,
    /// A second script helper is started by mistake, and killed after so long.
    Second(Duration),
    /// The server is killed, and started again after so long.
    KillServer(Duration),
    /// The server is suspended for so long.
    StopServer(Duration),
    /// The server closes the connections of everybody but us.
    CutConnections,
    /// A process may open only so many descriptors more than it has, for so long.
    Descriptors(Part, u64, Duration),
    /// Nobody reads the log of a part for so long.
    UnreadLog(Part, Duration),
    /// Somebody uses the socket of observers as badly as possible for so long.
    Neighbours(Duration),
    /// The file system of state, journal and sockets is full for so long.
    FillDisk(Duration),
    /// The directory of the sockets is removed, with all that is in it.
    RemoveRuntime,
    /// A peer is removed from the database for so long.
    RemoveRecord(Duration),
    /// The database is a broken file for so long.
    Break(Broken, Duration),
}

impl Fault {
    /// The word under which it is counted.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Fault::Add(_) => "add",
            Fault::Remove(_) => "remove",
            Fault::AddAndRemove(_) => "add and remove",
            Fault::RemoveAndAdd(_) => "remove and add",
            Fault::Ask(..) => "operator's runs",
            Fault::Kill(Part::Core) => "kill core",
            Fault::Kill(Part::Pinger) => "kill pinger",
            Fault::Kill(Part::Scripts) => "kill script helper",
            Fault::Stop(Part::Core, _) => "stop core",
            Fault::Stop(Part::Pinger, _) => "stop pinger",
            Fault::Stop(Part::Scripts, _) => "stop script helper",
            Fault::End(Part::Core) => "end core",
            Fault::End(Part::Pinger) => "end pinger",
            Fault::End(Part::Scripts) => "end script helper",
            Fault::Upgrade => "upgrade",
            Fault::Second(_) => "second script helper",
            Fault::KillServer(_) => "kill server",
            Fault::StopServer(_) => "stop server",
            Fault::CutConnections => "cut connection",
            Fault::Descriptors(..) => "no descriptors",
            Fault::UnreadLog(..) => UNREAD_LOG,
            Fault::Neighbours(_) => "hostile neighbours",
            Fault::FillDisk(_) => FULL_DISK,
            Fault::RemoveRuntime => "remove runtime directory",
            Fault::RemoveRecord(_) => "remove record",
            Fault::Break(..) => "break database",
        }
    }

    /// Whether it is tried again for a while if it cannot be made at once.
    pub(crate) const fn can_wait(self) -> bool {
        matches!(
            self,
            Fault::Descriptors(..) | Fault::RemoveRuntime | Fault::FillDisk(_)
        )
    }

    /// Whether it is not known at once that it happens, so that it is counted later.
    pub(crate) const fn happens_later(self) -> bool {
        matches!(
            self,
            Fault::RemoveRecord(_) | Fault::Break(..) | Fault::UnreadLog(..)
        )
    }

    /// Whether it is what the service is for, and no fault.
    const fn is_ordinary(self) -> bool {
        matches!(
            self,
            Fault::Add(_)
                | Fault::Remove(_)
                | Fault::AddAndRemove(_)
                | Fault::RemoveAndAdd(_)
                | Fault::Ask(..)
        )
    }
}

/// The fault that is left out where no file system may be mounted.
pub(crate) const FULL_DISK: &str = "full disk";

/// The fault that happens if a log would have been read and is not, and is left out under systemd.
pub(crate) const UNREAD_LOG: &str = "unread log";

/// The faults, by name.
pub(crate) const NAMES: [&str; 21] = [
    "kill core",
    "kill pinger",
    "kill script helper",
    "stop core",
    "stop pinger",
    "stop script helper",
    "end core",
    "end pinger",
    "end script helper",
    "upgrade",
    "second script helper",
    "kill server",
    "stop server",
    "cut connection",
    "remove record",
    "break database",
    "no descriptors",
    UNREAD_LOG,
    "hostile neighbours",
    FULL_DISK,
    "remove runtime directory",
];

/// How often each thing comes is stated in parts of this.
const CHANCES: u64 = 1_000 + SHORTAGES;

/// Of these, the parts of faults of what the service needs from the system: they take some seconds
/// each, so one comes about every four seconds.
const SHORTAGES: u64 = 64;

/// The most peers of one burst.
const BURST: u64 = 20;

/// The plan of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    rng: Rng,
    layout: Layout,
    pace: u64,
    /// The faults that there are; empty for all.
    only: Vec<String>,
}

impl Plan {
    /// A plan with so many faults a second on average, or fewer if there are only some.
    pub(crate) fn new(seed: u64, layout: Layout, pace: u64, only: &[String]) -> Self {
        Plan {
            rng: Rng::new(seed).fork(1),
            layout,
            pace,
            only: only.to_vec(),
        }
    }

    /// The next fault, and the pause before it.
    pub(crate) fn next(&mut self) -> (Duration, Fault) {
        let mut pause = Duration::ZERO;
        loop {
            // Even over twice the mean: some come right after one another, and none is waited for
            // long.
            pause += Duration::from_micros(self.rng.below(2_000_000 / self.pace.max(1)));
            let fault = self.fault();
            let name = fault.name();
            let listed = self.only.is_empty() || self.only.iter().any(|only| only == name);
            if fault.is_ordinary() || listed {
                return (pause, fault);
            }
        }
    }

    fn fault(&mut self) -> Fault {
        match self.rng.below(CHANCES) {
            0..190 => Fault::Add(self.burst(BURST)),
            190..220 => Fault::Ask(self.burst(10), self.asked()),
            220..360 => Fault::Remove(self.burst(BURST)),
            360..430 => Fault::AddAndRemove(self.burst(5)),
            430..500 => Fault::RemoveAndAdd(self.burst(5)),
            500..595 => Fault::Kill(Part::Core),
            595..640 => Fault::Kill(Part::Pinger),
            640..740 => Fault::Kill(Part::Scripts),
            740..780 => Fault::Stop(Part::Core, self.between(100, 3_000)),
            780..800 => Fault::Stop(Part::Pinger, self.between(100, 3_000)),
            800..850 => Fault::Stop(Part::Scripts, self.between(100, 3_000)),
            850..890 => Fault::End(self.ended_by_operators()),
            890..910 => match self.layout {
                Layout::DropIn => Fault::Upgrade,
                // Under systemd nobody upgrades like this.
                Layout::Units | Layout::Systemd => Fault::End(Part::Core),
            },
            910..920 => match self.layout {
                // Where `connect` starts the helpers nobody else does.
                Layout::DropIn => Fault::Kill(Part::Pinger),
                Layout::Units | Layout::Systemd => Fault::Second(self.between(500, 3_000)),
            },
            920..925 => Fault::End(Part::Pinger),
            925..950 => Fault::KillServer(self.between(20, 500)),
            950..973 => Fault::CutConnections,
            973..985 => Fault::StopServer(self.between(100, 3_000)),
            // Rare, since no peer is added while one of these is prepared and goes on.
            985..993 => Fault::RemoveRecord(self.between(500, 3_000)),
            993..1_000 => {
                let how = [
                    Broken::Empty,
                    Broken::Cut,
                    Broken::Noise,
                    Broken::Truncated,
                    Broken::Other,
                ];
                let index = usize::try_from(self.rng.below(5)).unwrap_or(0);
                let how = how.get(index).copied().unwrap_or(Broken::Empty);
                Fault::Break(how, self.between(500, 3_000))
            }
            _ => self.shortage(),
        }
    }

    /// A fault of what the service needs from the system.
    fn shortage(&mut self) -> Fault {
        match self.rng.below(SHORTAGES) {
            0..20 => {
                Fault::Descriptors(self.any_part(), self.rng.below(4), self.between(200, 3_000))
            }
            20..36 => Fault::UnreadLog(self.any_part(), self.between(500, 3_000)),
            36..48 => Fault::Neighbours(self.between(500, 3_000)),
            48..56 => Fault::FillDisk(self.between(500, 3_000)),
            _ => Fault::RemoveRuntime,
        }
    }

    fn any_part(&mut self) -> Part {
        match self.rng.below(3) {
            0 => Part::Core,
            1 => Part::Pinger,
            _ => Part::Scripts,
        }
    }

    fn asked(&mut self) -> InterfaceScript {
        match self.rng.below(2) {
            0 => InterfaceScript::Ifup,
            _ => InterfaceScript::Ifdown,
        }
    }

    fn ended_by_operators(&self) -> Part {
        match self.layout {
            Layout::DropIn => Part::Core,
            Layout::Units | Layout::Systemd => Part::Scripts,
        }
    }

    fn burst(&mut self, most: u64) -> usize {
        usize::try_from(1 + self.rng.below(most)).unwrap_or(1)
    }

    fn between(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.rng.below(most - least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_plan_follows_from_the_seed_and_has_every_fault() {
        let plan = |seed, layout| {
            let mut plan = Plan::new(seed, layout, 5, &[]);
            (0..2_000).map(|_| plan.next()).collect::<Vec<_>>()
        };
        assert_eq!(plan(1, Layout::DropIn), plan(1, Layout::DropIn));
        assert_ne!(plan(1, Layout::DropIn), plan(2, Layout::DropIn));
        let names = |layout| {
            let faults = plan(1, layout);
            let names = faults.iter().map(|(_, fault)| fault.name());
            names.collect::<BTreeSet<_>>()
        };
        assert_eq!(names(Layout::DropIn).len(), 24);
        assert_eq!(names(Layout::Units).len(), 25);
        assert!(names(Layout::Units).contains("end script helper"));
        assert!(names(Layout::DropIn).contains("upgrade"));
        let all = names(Layout::DropIn);
        let ordinary = [
            "add",
            "remove",
            "add and remove",
            "remove and add",
            "operator's runs",
        ];
        let known = |name: &str| NAMES.contains(&name) || ordinary.contains(&name);
        assert!(all.union(&names(Layout::Units)).all(|name| known(name)));
    }

    #[test]
    fn only_the_faults_that_are_asked_for_come() {
        let only = ["kill core".to_owned()];
        let mut plan = Plan::new(1, Layout::DropIn, 5, &only);
        let faults = (0..1_000).map(|_| plan.next().1);
        let mut faults = faults.filter(|fault| !fault.is_ordinary()).peekable();
        assert!(faults.peek().is_some());
        assert!(faults.all(|fault| fault == Fault::Kill(Part::Core)));
    }
}
