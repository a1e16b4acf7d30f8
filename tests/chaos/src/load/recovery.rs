// SPDX-License-Identifier: GPL-3.0-or-later
//! How long it takes after the death of a process until the service works again: core is at the
//! server, both helpers are connected, and after that a peer has answered a ping.

use std::collections::BTreeMap;
use std::time::Duration;

use connect_ipc::clock::{Monotonic, millis};

use super::stream::View;
use crate::world::service::Part;

/// What has died.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Death {
    /// A process of the service, with its number.
    Part(Part, i32),
    Server,
}

impl Death {
    /// In words.
    const fn name(self) -> &'static str {
        match self {
            Death::Part(part, _) => part.name(),
            Death::Server => "server",
        }
    }
}

/// A death from which the service has not recovered.
#[derive(Debug)]
struct Waiting {
    death: Death,
    at: Monotonic,
    /// How often the service had been at a server before.
    joins: u64,
}

/// The times.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    waiting: Vec<Waiting>,
    /// In milliseconds, by what had died.
    pub(crate) times: BTreeMap<String, Vec<u64>>,
}

impl Recovery {
    /// Something is killed.
    pub(crate) fn died(&mut self, death: Death, view: View, at: Monotonic) {
        let joins = view.joins;
        self.waiting.push(Waiting { death, at, joins });
    }

    /// Looks who has recovered, now that something was told: whether that a peer has answered.
    pub(crate) fn look(&mut self, view: View, replied: bool, now: Monotonic) {
        let works = view.joined && view.pinger.is_some() && view.scripts.is_some();
        if !replied || !works {
            return;
        }
        let times = &mut self.times;
        self.waiting.retain(|waiting| {
            let is_back = match waiting.death {
                Death::Part(Part::Core, pid) => view.core != Some(pid),
                Death::Part(Part::Pinger, pid) => view.pinger != Some(pid),
                Death::Part(Part::Scripts, pid) => view.scripts != Some(pid),
                Death::Server => view.joins > waiting.joins,
            };
            if is_back {
                let of_kind = times.entry(waiting.death.name().to_owned()).or_default();
                of_kind.push(millis(now.since(waiting.at)));
            }
            !is_back
        });
    }

    /// The deaths from which the service has not recovered, in words.
    pub(crate) fn unrecovered(&self) -> Vec<String> {
        let waiting = self.waiting.iter();
        waiting
            .map(|waiting| match waiting.death {
                Death::Part(part, pid) => format!("the {} (process {pid})", part.name()),
                Death::Server => "the server".to_owned(),
            })
            .collect()
    }
}

/// Count, median and worst of some times.
pub(crate) fn summary(times: &[u64]) -> (usize, Duration, Duration) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |index: usize| Duration::from_millis(sorted.get(index).copied().unwrap_or(0));
    (
        sorted.len(),
        at(sorted.len() / 2),
        at(sorted.len().saturating_sub(1)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(core: i32, pinger: Option<i32>, joins: u64) -> View {
        View {
            core: Some(core),
            pinger,
            scripts: Some(3),
            joined: true,
            joins,
        }
    }

    #[test]
    fn the_service_works_again_when_another_process_is_there_and_a_peer_has_answered() {
        let at = |millis: u64| Monotonic(millis * 1_000_000);
        let mut recovery = Recovery::default();
        recovery.died(Death::Part(Part::Pinger, 2), view(1, Some(2), 1), at(10));
        recovery.look(view(1, Some(2), 1), true, at(11));
        recovery.look(view(1, None, 1), true, at(20));
        recovery.look(view(1, Some(4), 1), false, at(30));
        assert!(recovery.times.is_empty());
        recovery.look(view(1, Some(4), 1), true, at(41));
        assert_eq!(recovery.times["pinger"], [31]);
        recovery.died(Death::Server, view(1, Some(4), 1), at(50));
        recovery.look(view(1, Some(4), 1), true, at(51));
        assert_eq!(recovery.unrecovered(), ["the server"]);
        recovery.look(view(1, Some(4), 2), true, at(60));
        assert_eq!(
            (recovery.unrecovered(), &recovery.times["server"]),
            (Vec::new(), &vec![10])
        );
    }

    #[test]
    fn a_summary_has_count_median_and_worst() {
        let millis = Duration::from_millis;
        assert_eq!(summary(&[5, 1, 9]), (3, millis(5), millis(9)));
        assert_eq!(summary(&[]), (0, millis(0), millis(0)));
    }
}
