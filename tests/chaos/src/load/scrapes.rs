// SPDX-License-Identifier: GPL-3.0-or-later
//! A monitor that scrapes the metrics of the service every few seconds, by `connect-cli metrics`.

use std::fs::{self, File};
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::PeerState;
use connect_runtime::clock;

use crate::world::processes::Processes;
use crate::world::site::Site;
use crate::world::status::Status;

/// As often as a monitor that is in a hurry: Prometheus does it every 15 s or more.
const EVERY: Duration = Duration::from_secs(3);

/// So many scrapes cannot all have met a core that was dead or suspended.
const MANY: u64 = 5;

/// How long a scrape at rest may take, and how often it is looked whether it has ended.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The file of the last metrics, in the run's directory.
const LAST: &str = "metrics.txt";

/// The family that says how many peers there are in each state.
const PEERS: &str = "tripe_connect_peers{state=\"";

/// What a program says that has succeeded.
const SUCCESS: &str = "exit status 0";

/// The monitor.
#[derive(Debug, Default)]
pub(crate) struct Scrapes {
    /// The one that is under way.
    pid: Option<i32>,
    next: Monotonic,
    pub(crate) made: u64,
    /// Those that got the metrics: the service may be dead or suspended when it is asked.
    pub(crate) answered: u64,
}

impl Scrapes {
    /// Looks after the last scrape, and starts the next one if it is time and so wanted.
    pub(crate) fn tend(
        &mut self,
        site: &Site,
        processes: &Processes,
        wanted: bool,
    ) -> anyhow::Result<()> {
        if let Some(end) = self.pid.and_then(|pid| processes.ended(pid)) {
            self.answered += u64::from(end == SUCCESS);
            self.pid = None;
        }
        let now = clock::now();
        if wanted && self.pid.is_none() && self.next <= now {
            self.pid = Some(processes.start(&mut site.scrape()?)?);
            self.next = now + EVERY;
            self.made += 1;
        }
        Ok(())
    }

    /// Whether there were many, and none was answered.
    pub(crate) const fn is_never_answered(&self) -> bool {
        self.answered == 0 && self.made >= MANY
    }

    /// Whether none is under way.
    pub(crate) const fn is_idle(&self) -> bool {
        self.pid.is_none()
    }
}

/// Scrapes once more, at rest, and says what is wrong with that.
pub(crate) fn at_rest(
    site: &Site,
    processes: &Processes,
    status: &Status,
) -> anyhow::Result<Option<String>> {
    let file = site.path(LAST);
    let mut command = site.scrape()?;
    command.stdout(File::create(&file)?);
    let pid = processes.start(&mut command)?;
    let until = clock::now() + PATIENCE;
    let end = loop {
        match processes.ended(pid) {
            Some(end) => break end,
            None if until <= clock::now() => break "it goes on".to_owned(),
            None => std::thread::sleep(LOOK_EVERY),
        }
    };
    if end != SUCCESS {
        return Ok(Some(format!("a scrape at rest was not answered: {end}")));
    }
    let states = status.peers.values().map(|row| row.state);
    let adopted = states.filter(|state| state.is_adopted()).count() as u64;
    let told = adopted_in(&fs::read_to_string(file)?);
    let text = format!("the state has {adopted} adopted peers, and the metrics have {told:?}");
    Ok((told != Some(adopted)).then_some(text))
}

/// How many adopted peers the metrics tell of; `None` if they tell of none in any state.
fn adopted_in(metrics: &str) -> Option<u64> {
    let samples = metrics.lines().filter_map(|line| {
        let (state, value) = line.strip_prefix(PEERS)?.split_once("\"} ")?;
        let mut states = PeerState::ALL.into_iter();
        let state = states.find(|known| known.as_str() == state)?;
        state.is_adopted().then(|| value.parse::<u64>().ok())?
    });
    samples.fold(None, |sum, value| Some(sum.unwrap_or(0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_adopted_peers_of_all_states_are_counted() {
        let text = "# TYPE tripe_connect_peers gauge\n\
                    tripe_connect_peers{state=\"up\"} 7\n\
                    tripe_connect_peers{state=\"checking\"} 2\n\
                    tripe_connect_peers{state=\"gone\"} 30\n\
                    tripe_connect_peers_record_changed{change=\"changed\"} 5\n";
        assert_eq!(adopted_in(text), Some(9));
        assert_eq!(adopted_in(""), None);
    }
}
