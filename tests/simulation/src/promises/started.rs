// SPDX-License-Identifier: GPL-3.0-or-later
//! P18: under `--startup`, each run of the server gets the start-up peers that it does not have.
//!
//! The rule does not judge a run of the server in which something else may be the reason that a
//! peer is not added: another provider, another database, or a fault of the way to the server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tripe_admin::Note;

use super::tap::{End, Fact};
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::{DatabaseChange, Fault, Part};
use crate::promise::Promise;
use crate::seen::Seen;

/// How long core may take for it. It does it in the turn in which it has read the list.
const PATIENCE: Duration = Duration::from_secs(120);

/// How soon core uses the database that is in place again.
const RELOADED: Duration = Duration::from_secs(60);

/// What is to be added.
#[derive(Debug, Default)]
pub(super) struct Started {
    /// How many servers there were.
    servers: u32,
    /// For which of them peers were last listed, if this is certain.
    listed: Option<u32>,
    /// Whether core cannot tell which server it has met.
    is_uncertain: bool,
    /// The peers that the server has, as core was told on this connection.
    known: BTreeSet<String>,
    /// The peers to be added, and since when.
    owed: BTreeMap<String, Instant>,
    /// From when on the database is that of the site, unless it is another one now.
    database: Database,
}

/// Which database core uses.
#[derive(Clone, Copy, Debug)]
enum Database {
    /// That of the site, from this instant on.
    Own(Instant),
    /// Perhaps another one.
    Other,
}

impl Default for Database {
    fn default() -> Self {
        Database::Own(Instant(0))
    }
}

impl Rule for Started {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Lives(Part::Server, _) => self.servers += 1,
            Seen::Uncertain => self.is_uncertain = true,
            Seen::Displaced { .. } => {
                self.owed.clear();
                self.listed = None;
            }
            Seen::Fault(fault) => self.disturbed(now.at, fault),
            Seen::Died(Part::Core | Part::Server) | Seen::Stands(..) | Seen::Slept(_) => {
                self.owed.clear();
            }
            Seen::Minute(_) => self.look(now.at)?,
            _ => {}
        }
        match now.fact {
            Some(Fact::Connected | Fact::Lost) => {
                self.known.clear();
                self.owed.clear();
            }
            Some(Fact::Info(command, words)) if command.verb == "LIST" => {
                self.known.extend(words.first().cloned());
            }
            Some(Fact::Ended(command, End::Ok)) if command.verb == "LIST" => self.listed(now),
            Some(Fact::Sent(command)) if command.verb == "ADD" => {
                self.owed.remove(command.word(0));
            }
            Some(Fact::Note(Note::Add { peer, .. })) => {
                self.known.insert(peer.clone());
                self.owed.remove(peer);
            }
            Some(Fact::Note(Note::Kill { peer })) => {
                self.known.remove(peer);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Started {
    /// A fault was carried out.
    fn disturbed(&mut self, at: Instant, fault: &Fault) {
        self.owed.clear();
        match fault {
            Fault::Reboot {} => self.listed = None,
            Fault::Database { change } => match change {
                DatabaseChange::Back => self.database = Database::Own(at + RELOADED),
                DatabaseChange::Unwatched(..) => {}
                _ => self.database = Database::Other,
            },
            _ => {}
        }
    }

    /// The server has listed its peers.
    fn listed(&mut self, now: &Moment<'_>) {
        let is_certain = !std::mem::take(&mut self.is_uncertain);
        let last = std::mem::replace(&mut self.listed, is_certain.then_some(self.servers));
        let is_another = is_certain && last.is_some_and(|last| last != self.servers);
        let is_own = matches!(self.database, Database::Own(since) if since <= now.at);
        if is_another && is_own && now.records.startup {
            let missing = now
                .records
                .auto
                .iter()
                .filter(|it| !self.known.contains(*it));
            self.owed = missing.map(|name| (name.clone(), now.at)).collect();
        }
    }

    fn look(&self, at: Instant) -> Verdict {
        let late = self.owed.iter().find(|(_, since)| **since + PATIENCE < at);
        late.map_or(Ok(()), |(name, since)| {
            let text = format!("{name} was not added to the server that was met at {since}");
            Err((Promise::StartedUp, text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CORE, Sight, plan, view};
    use super::*;
    use crate::seen::Who;

    #[test]
    fn another_server_gets_the_peers_that_it_does_not_have() {
        const AUTO: &str = "> ADD -background c0.0 p INET 198.18.0.1 4070";
        for (lines, disturbed, expected) in [
            (&[][..], false, Some(Promise::StartedUp)),
            (&[AUTO][..], false, None),
            (
                &["< NOTE ADD p tripe0 INET 198.18.0.1 4070"][..],
                false,
                None,
            ),
            (&[][..], true, None),
        ] {
            let mut plan = plan(&[], Vec::new());
            let site = &mut plan.site.hosts[0];
            (site.startup, site.auto) = (true, vec!["p".to_owned(), "q".to_owned()]);
            let mut sight = Sight::of::<Started>(&plan);
            sight.see(Seen::Lives(Part::Server, 1)).unwrap();
            assert_eq!(sight.lines(&["> LIST", "< INFO q", "< OK"]), None);
            sight.see(Seen::Died(Part::Core)).unwrap();
            sight.see(Seen::Ended(CORE)).unwrap();
            if disturbed {
                let change = DatabaseChange::Missing;
                sight.see(Seen::Fault(&Fault::Database { change })).unwrap();
            }
            sight.see(Seen::Lives(Part::Server, 2)).unwrap();
            sight.see(Seen::Lives(Part::Core, 2)).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(2))).unwrap();
            assert_eq!(sight.lines(&["> LIST", "< INFO q", "< OK"]), None);
            sight.lines(lines);
            sight.later(180);
            let seen = view(|view| sight.see(Seen::Minute(view)));
            assert_eq!(
                seen.err().map(|(promise, _)| promise),
                expected,
                "{lines:?}"
            );
        }
    }
}
