// SPDX-License-Identifier: GPL-3.0-or-later
//! Until when something at a host was suspended, was not there or was late, so that what is due may
//! come later by that time.

use std::collections::BTreeSet;
use std::time::Duration;

use tripe_admin::Note;

use super::tap::{Command, End, Fact};
use crate::instant::Instant;
use crate::plan::{Fault, Part};
use crate::seen::Seen;

/// How long a line takes at most to reach a server that is not suspended.
pub(super) const ON_ITS_WAY: Duration = Duration::from_millis(1);

/// How long a host has been undisturbed when what it shows is compared with what is true.
pub(super) const REST: Duration = Duration::from_secs(30);

/// Until when what disturbs a host went on.
#[derive(Clone, Debug, Default)]
pub(super) struct Calm {
    /// Anything: a process, the host, or the lines of the server.
    pub(super) since: Instant,
    /// The server or its host, so that the server reads lines late, or never.
    pub(super) server: Instant,
    /// What reads the database, and when a changed one is in use.
    pub(super) database: Instant,
    /// The processes that do not live.
    away: BTreeSet<Part>,
    /// What the server has refused to tell: of which peer, and the command.
    untold: BTreeSet<(String, String)>,
    /// When the last fault was over.
    quiet: Option<Instant>,
}

/// How long after its change a database is read at the latest: at the next full second, or when
/// core has started.
const READ: Duration = Duration::from_secs(3);

impl Calm {
    /// Takes in what was seen.
    pub(super) fn see(
        &mut self,
        at: Instant,
        seen: &Seen<'_>,
        fact: Option<&Fact>,
        quiet_from: Instant,
    ) {
        if self.quiet.is_none() && at >= quiet_from {
            self.quiet = Some(at);
            self.database = at.max(self.since) + READ;
        }
        self.hear(fact);
        let until = match seen {
            Seen::Stands(part, until) => {
                if *part == Part::Server {
                    self.server = self.server.max(*until);
                }
                *until
            }
            Seen::Lives(part, _) => {
                self.away.remove(part);
                at
            }
            Seen::Died(part) => {
                self.away.insert(*part);
                if *part == Part::Server {
                    self.server = self.server.max(at);
                }
                at
            }
            Seen::Slept(_) => {
                self.server = self.server.max(at);
                at
            }
            Seen::RestartedHelper(_) => at,
            Seen::Fault(fault) => {
                if matches!(fault, Fault::Database { .. } | Fault::Reboot {}) {
                    self.database = at.max(self.since) + READ;
                }
                match disturbs(fault) {
                    Some(time) => at + time,
                    None => return,
                }
            }
            _ if matches!(fact, Some(Fact::Connected | Fact::Lost)) => at,
            _ => return,
        };
        self.since = self.since.max(until);
        if self.database > at {
            // It is read once core goes on.
            self.database = self.database.max(until + READ);
        }
    }

    /// Notes what the server refuses to tell.
    fn hear(&mut self, fact: Option<&Fact>) {
        match fact {
            Some(Fact::Ended(command, end)) if is_question(command) => {
                let question = (command.word(0).to_owned(), command.verb.clone());
                if matches!(end, End::Failed(_)) {
                    self.untold.insert(question);
                } else {
                    self.untold.remove(&question);
                }
            }
            Some(Fact::Note(Note::Add { peer, .. } | Note::Kill { peer })) => {
                self.untold.retain(|(of, _)| of != peer);
            }
            Some(Fact::Connected) => self.untold.clear(),
            _ => {}
        }
    }

    /// Whether the server has refused to tell something of a peer since it was added or listed.
    pub(super) fn is_untold(&self, peer: &str) -> bool {
        self.untold.iter().any(|(of, _)| of == peer)
    }

    /// How much the server has refused to tell.
    pub(super) fn untold(&self) -> usize {
        self.untold.len()
    }

    /// Whether nothing has disturbed the host for so long, and nothing was put right in it.
    pub(super) fn has_lasted(&self, now: Instant, time: Duration) -> bool {
        let quiet = self.quiet.filter(|at| now < *at + time);
        now >= self.since + time && quiet.is_none()
    }

    /// Whether all processes live.
    pub(super) fn is_whole(&self) -> bool {
        self.away.is_empty()
    }

    /// Whether the service may have sent what the server read at `read` before it acted on what it
    /// had heard at `heard`.
    pub(super) fn may_cross(&self, heard: Instant, read: Instant) -> bool {
        read <= heard + ON_ITS_WAY || self.server >= heard
    }
}

fn is_question(command: &Command) -> bool {
    matches!(command.verb.as_str(), "ADDR" | "IFNAME" | "ALGS")
}

/// For how long after its beginning a fault disturbs a host; `None` for one that does not, or that
/// shows in other ways.
const fn disturbs(fault: &Fault) -> Option<Duration> {
    match fault {
        Fault::Stand { time, .. }
        | Fault::ServerChunks { time, .. }
        | Fault::LateAnswers { time }
        | Fault::Displace { time, .. }
        | Fault::Suspend { time }
        | Fault::SecondHelper { time, .. }
        | Fault::NextProtocol { time, .. } => Some(*time),
        Fault::Kill { .. }
        | Fault::Quit { .. }
        | Fault::Upgrade {}
        | Fault::CutAdmin { .. }
        | Fault::CutHelper { .. }
        | Fault::ServerRestart { .. }
        | Fault::Journal { .. }
        | Fault::Reboot {} => Some(Duration::ZERO),
        _ => None,
    }
}
