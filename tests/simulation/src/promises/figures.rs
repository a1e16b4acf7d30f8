// SPDX-License-Identifier: GPL-3.0-or-later
//! P4: the figures of a peer are what the server saw. They never count more pings than have ended
//! since this core heard that the peer was added; and they are equal to what was heard since then,
//! as long as nothing has disturbed the host.
//!
//! The rule looks once an hour. It excuses figures that an earlier core has counted, by
//! operators.md: "A peer that is removed and added again while the service does not run, and gets
//! the same interface and the same address, counts as one that has stayed".

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connect_core::machine::Machine;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::Request;
use connect_ipc::statistics::PingStatistics;
use tripe_admin::Note;

use super::tap::{End, Fact};
use super::{Moment, Rule, Verdict, ask};
use crate::instant::Instant;
use crate::plan::Part;
use crate::promise::Promise;
use crate::seen::Seen;

/// How much two times in milliseconds may differ: half of the last digit that the server writes.
const NEAR: f64 = 0.05;

/// How long a line of core may have been on its way when the server's notification reached core.
const CROSSING: Duration = Duration::from_millis(100);

/// The pings of a peer that have ended.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    /// Those since core heard that the peer was added, and which core that was.
    all: u64,
    added: Option<u32>,
    /// Those of all peers of that name.
    ever: u64,
    /// Since when the others are all that there are; nothing if they are not.
    since: Option<Instant>,
    figures: PingStatistics,
}

/// The pings of all peers.
#[derive(Debug, Default)]
pub(super) struct Figures {
    peers: BTreeMap<String, Ended>,
    /// The peers of which this core knows nothing from before: it has heard that they are removed.
    forgotten: BTreeSet<String>,
    /// The tags of pings in flight that were sent before core heard that their peer was added: they
    /// are of an earlier one, whichever the server has sent them to.
    earlier: BTreeSet<String>,
    /// The other tags of pings in flight, with their peers.
    flying: BTreeMap<String, String>,
    cores: u32,
}

impl Rule for Figures {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Died(Part::Core) => {
                self.cores += 1;
                self.forgotten.clear();
                self.disturbed();
            }
            Seen::Asked(_, envelope) => {
                if let Request::Submit { words } = &envelope.request {
                    self.command(words);
                }
            }
            Seen::Hour(view) => {
                if let Some(core) = view.core {
                    return self.look(now, core, view.now);
                }
            }
            _ => {}
        }
        match now.fact {
            Some(Fact::Sent(command)) if command.is_ping() => {
                if let Some(ended) = self.peers.get_mut(command.word(0))
                    && ended.since.is_some_and(|since| now.at <= since + CROSSING)
                {
                    // Core may have sent it before it heard that the peer was added, so it may be
                    // of an earlier one.
                    ended.since = None;
                }
                if let Some(tag) = &command.tag {
                    self.flying.insert(tag.clone(), command.word(0).to_owned());
                }
            }
            Some(Fact::Ended(command, end)) if command.is_ping() => {
                let tag = command.tag.as_deref().unwrap_or_default();
                self.flying.remove(tag);
                let is_of_earlier = self.earlier.remove(tag);
                let ended = self.peers.entry(command.word(0).to_owned()).or_default();
                match end {
                    End::Reply(_) | End::Timeout => ended.ever += 1,
                    _ => return Ok(()),
                }
                if !is_of_earlier {
                    ended.all += 1;
                    match end {
                        End::Reply(millis) => ended.figures.record_reply(*millis),
                        _ => ended.figures.record_loss(),
                    }
                }
            }
            Some(Fact::Note(Note::Add { peer, .. })) => {
                let of_peer = |(_, name): &(&String, &String)| *name == peer;
                let before = self.flying.iter().filter(of_peer);
                self.earlier.extend(before.map(|(tag, _)| tag.clone()));
                let is_fresh = self.cores == 0 || self.forgotten.contains(peer);
                let cores = self.cores;
                let ended = self.peers.entry(peer.clone()).or_default();
                ended.since = is_fresh.then_some(now.at);
                ended.figures = PingStatistics::default();
                (ended.all, ended.added) = (0, Some(cores));
            }
            Some(Fact::Note(Note::Kill { peer })) => {
                if let Some(ended) = self.peers.get_mut(peer) {
                    ended.since = None;
                }
                self.forgotten.insert(peer.clone());
            }
            Some(Fact::Job(_, words)) => self.command(words),
            Some(Fact::Connected | Fact::Lost) => {
                self.flying.clear();
                self.earlier.clear();
                self.disturbed();
            }
            _ => {}
        }
        Ok(())
    }
}

impl Figures {
    /// Nothing is certain any more.
    fn disturbed(&mut self) {
        for ended in self.peers.values_mut() {
            ended.since = None;
        }
    }

    /// A peer that is sabotaged has its replies counted as lost.
    fn command(&mut self, words: &[String]) {
        if let [name, peer] = words
            && name.eq_ignore_ascii_case("sabotage")
            && let Some(ended) = self.peers.get_mut(peer)
        {
            ended.since = None;
        }
    }

    fn look(&self, now: &Moment<'_>, core: &Machine, clock: Monotonic) -> Verdict {
        for (name, ended) in &self.peers {
            let status = ask::peer(core, clock, name).and_then(|peer| peer.status);
            // A peer that is not watched has no figures.
            let Some(status) = status.filter(|status| status.state.is_adopted()) else {
                continue;
            };
            let told = status.statistics;
            let is_ours = ended.added == Some(self.cores);
            let most = if is_ours { ended.all } else { ended.ever };
            if told.replies + told.lost > most {
                let text = format!(
                    "{name}: {} replies and {} lost, but only {most} pings have ended",
                    told.replies, told.lost
                );
                return Err((Promise::Figures, text));
            }
            // Adopted later than added, or adopted again, if the database was changed.
            let disturbed = now.calm.since.max(now.calm.database);
            let is_exact = ended.since.is_some_and(|since| disturbed < since);
            if is_exact && !are_alike(&told, &ended.figures) {
                let heard = ended.figures;
                let text = format!("{name}: {told:?}, but the server said {heard:?}");
                return Err((Promise::Figures, text));
            }
        }
        Ok(())
    }
}

fn are_alike(one: &PingStatistics, other: &PingStatistics) -> bool {
    let near = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= NEAR,
        (one, other) => one.is_none() && other.is_none(),
    };
    one.replies == other.replies
        && one.lost == other.lost
        && near(one.min(), other.min())
        && near(one.max(), other.max())
        && near(one.mean(), other.mean())
}

#[cfg(test)]
mod tests {
    use connect_core::machine::Input;

    use super::super::testing::{Sight, joined, view};
    use super::*;
    use crate::seen::View;

    const RECORDS: &[(&str, &[(&str, &str)])] = &[("p", &[("watch", "t"), ("every", "30")])];
    const LINES: [&str; 4] = [
        "NOTE ADD p tripe0 INET 198.18.0.1 4070",
        "BGDETACH c0.0",
        "BGINFO c0.0 ping-ok 1.5",
        "BGOK c0.0",
    ];

    /// The server may read a ping after it has replaced its peer.
    #[test]
    fn a_ping_that_was_sent_before_the_peer_was_added_is_of_an_earlier_one() {
        let mut sight = Sight::new::<Figures>(RECORDS);
        sight.lines(&["> PING -background c0.0 -timeout 10 p"]);
        for line in LINES {
            sight.lines(&[&format!("< {line}")]);
        }
        let mut core = joined(RECORDS, &[]);
        let at = Monotonic(2_000_000_000_000);
        core.handle(Input::ServerLine(LINES[0].into()), at, &mut Vec::new());
        let seen = view(|view| {
            let core = Some(&core);
            sight.see(Seen::Hour(View { core, ..view }))
        });
        assert_eq!(seen, Ok(()));
    }

    /// A core that has heard the first lines, and what is seen of all.
    fn look(core: &mut Machine, heard: usize, ended: usize) -> Verdict {
        let mut sight = Sight::new::<Figures>(RECORDS);
        let at = Monotonic(2_000_000_000_000);
        for line in &LINES[..heard] {
            core.handle(Input::ServerLine((*line).into()), at, &mut Vec::new());
        }
        for line in &LINES[..ended] {
            sight.lines(&[&format!("< {line}")]);
            if line.starts_with("NOTE") {
                // Not before the peer was added.
                sight.later(1);
                sight.lines(&["> PING -background c0.0 -timeout 10 p"]);
            }
        }
        view(|view| {
            let core = Some(&*core);
            sight.see(Seen::Hour(View { core, ..view }))
        })
    }

    #[test]
    fn figures_of_what_has_ended_keep_it() {
        assert_eq!(look(&mut joined(RECORDS, &[]), 1, 1), Ok(()));
    }

    #[test]
    fn other_figures_break_it() {
        let broken = look(&mut joined(RECORDS, &[]), 1, 4);
        assert!(matches!(broken, Err((Promise::Figures, _))));
    }
}
