// SPDX-License-Identifier: GPL-3.0-or-later
//! Core also watches the checks themselves: it reports what is overdue. A time in which the server,
//! core or the host did not run does not count against any peer.
//!
//! ```text
//!   orders, answers, acknowledgements that are due --> [look] --> told, status, metrics
//!                                                        +--30 s--> Output::RestartHelper
//! ```
//!
//! No process is asked whether it runs: each is judged by what is due from it. Core looks when the
//! oldest thing is overdue, and then once a second as long as one is.

use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{HelperStatus, ServerLink};
use connect_ipc::event::EventKind;
use connect_ipc::hello::Role;
use connect_ipc::overdue::{OverdueCause, OverdueChecks};

use super::limits::{GRACE, MAX_VOIDS, RESTART_AFTER, STANDSTILL};
use super::liveness::Debt;
use super::watch::Found;
use super::{HelperNews, Machine, Output};

impl Machine {
    /// Whether checks and answers come when they are due.
    #[must_use]
    pub fn overdue_checks(&self) -> OverdueChecks {
        let found = &self.pinger.watch.found;
        let seconds = |since: Monotonic| self.now.since(since).as_secs();
        OverdueChecks {
            overdue: found.oldest.map(seconds),
            cause: found.cause,
            server_silent: found.server.map(seconds),
        }
    }

    /// For how long the check of a peer, or the result of its ping, has been overdue: meanwhile its
    /// state is unknown. `None` for a peer that is not overdue, or not adopted.
    #[must_use]
    pub fn overdue(&self, peer: PeerId) -> Option<Duration> {
        // Right after core did not run for a time, what is overdue because of that is about to
        // come.
        if self.pinger.watch.held_until + GRACE > self.now {
            return None;
        }
        let adoption = self.peers.get(peer)?.adoption()?;
        adoption.overdue(self.now)
    }

    /// The helpers, the pinger first, for operators.
    pub(super) fn helpers(&self) -> [HelperStatus; 2] {
        let found = &self.pinger.watch.found;
        [
            self.pinger.helper.told(found.pinger, self.now),
            self.scripts.helper.told(found.scripts, self.now),
        ]
    }

    /// Time advances to now. If core should have done something long before, it did not run.
    #[inline]
    pub(super) fn notice_delay(&mut self) {
        if self.pinger.watch.has_paused(self.now) {
            self.judge_pause();
        }
    }

    /// Core did nothing for a time, perhaps because there was nothing to do.
    #[cold]
    fn judge_pause(&mut self) {
        let due = self.next_deadline();
        // Once, however many inputs come now.
        self.pinger.watch.end_turn(self.now);
        if let Some(due) = due
            && due + STANDSTILL < self.now
        {
            self.stood_still(self.now.since(due));
        }
    }

    /// The host was suspended, which the monotonic clock does not show.
    pub(super) fn slept(&mut self, seconds: u64) {
        tracing::info!(
            seconds,
            "the host was suspended; sending the pings that were under way again"
        );
        self.note_standstill();
    }

    /// Core did not run for this time.
    fn stood_still(&mut self, time: Duration) {
        if time >= GRACE {
            tracing::warn!(
                seconds = time.as_secs(),
                "core did not run for a time, because it was stopped or the host was overloaded; \
                 that time does not count against any peer"
            );
        }
        self.note_standstill();
        self.postpone_probe();
        self.server.awaited.postpone(self.now);
    }

    fn note_standstill(&mut self) {
        self.pinger.watch.held_until = self.now;
        self.pinger.watch.still_until = self.now;
    }

    /// The server has said something after a silence that shows that it did not run.
    pub(super) const fn server_stood_still(&mut self) {
        self.pinger.watch.still_until = self.now;
    }

    /// Whether a ping that timed out says nothing about its peer, because something that it needs
    /// did not run since it was sent.
    pub(super) fn is_void(&mut self, id: PeerId) -> bool {
        let Some(adoption) = self.peers.adoption_mut(id) else {
            return false;
        };
        let Some(ping) = &adoption.ping else {
            return false;
        };
        if ping.sent + adoption.timeout() + STANDSTILL < self.now {
            // The same is true of the other pings that were under way.
            self.pinger.watch.still_until = self.now;
        }
        let void = ping.sent < self.pinger.watch.still_until && adoption.voids < MAX_VOIDS;
        adoption.voids += u8::from(void);
        if void {
            tracing::debug!(
                peer = id.0,
                "a timeout does not count, because the server, core or the host did not run \
                 meanwhile"
            );
        }
        void
    }

    /// Looks at what is due, if it is time.
    #[inline]
    pub(super) fn look_if_due(&mut self) {
        if self.pinger.watch.may_look(self.now) {
            if self.look_at().is_some_and(|at| at <= self.now) {
                self.look();
            }
            self.pinger.watch.looked(self.now);
        }
    }

    /// When the next look is due.
    pub(super) fn look_at(&self) -> Option<Monotonic> {
        // As long as something is overdue, core looks again, also if nothing else is due.
        let found = self.pinger.watch.is_anything_told().then_some(self.now);
        let debts = [
            found,
            self.pinger.owed.deadline(),
            self.server.awaited.deadline(),
            self.scripts.owed_since().map(|since| since + GRACE),
            self.scripts.watch_at(),
            self.scripts.places_deadline(),
            self.pinger.helper.deadline(),
            self.scripts.helper.deadline(),
        ];
        let soonest = debts.into_iter().flatten().min()?;
        Some(self.pinger.watch.look_at(soonest))
    }

    fn look(&mut self) {
        let now = self.now;
        let unwatched = self.scripts.take_due_to_watch(now).into_iter();
        let watch = |(run, child)| Output::WatchChild(run, child);
        self.out.extend(unwatched.map(watch));
        let [order, answer] = self.pinger.owed.settle(&mut self.peers, now);
        let found = self.find_overdue(order, answer);
        let before = std::mem::replace(&mut self.pinger.watch.found, found);
        self.tell_of(before.cause_and_since(), found.cause_and_since());
        self.tell_of_scripts(found.scripts);
        self.tell_of_places();
        self.restart_silent(found);
    }

    /// Finds what is overdue, given the peers whose order and whose answer have been overdue for
    /// longest.
    fn find_overdue(&self, order: Option<PeerId>, answer: Option<PeerId>) -> Found {
        let now = self.now;
        let debt = |id: Option<PeerId>| Some(self.peers.get(id?)?.adoption()?.owed());
        let (order, answer) = (debt(order), debt(answer));
        let due = |debt: Option<(Debt, Monotonic)>| debt.map(|(_, due)| due);
        let up = self.link() == ServerLink::Up;
        // What core did not read while it did not run does not count as late.
        let late = |since: Option<Monotonic>| {
            since.filter(|since| (*since).max(self.pinger.watch.held_until) + GRACE <= now)
        };
        let server = late(self.server.awaited.since()).or(late(due(answer)).filter(|_| up));
        let pinger = &self.pinger.helper;
        let ordering = pinger.ready().is_some() && up;
        // A new pinger is not to blame for what was due before it came.
        let unordered = order
            .filter(|(debt, _)| ordering && *debt == Debt::Order)
            .map(|(_, due)| due.max(pinger.since()));
        let silent_pinger = late(pinger.unready_since().or(unordered));
        let scripts = self.scripts.helper.unready_since();
        let scripts = late(scripts.or_else(|| self.scripts.owed_since()));
        let oldest = due(order).into_iter().chain(due(answer)).min();
        let cause = match oldest {
            None => server.map(|_| OverdueCause::ServerSilent),
            Some(_) if server.is_some() => Some(OverdueCause::ServerSilent),
            Some(_) if !up => Some(OverdueCause::ServerDown),
            Some(_) if silent_pinger.is_some() => Some(OverdueCause::PingerSilent),
            Some(_) if pinger.ready().is_none() => Some(OverdueCause::PingerMissing),
            // A new pinger is about to make up for the time in which there was none.
            Some(due) if due.max(self.pinger.watch.held_until) < pinger.since() => {
                Some(OverdueCause::PingerMissing)
            }
            Some(_) => Some(OverdueCause::HeldUp),
        };
        Found {
            oldest,
            cause,
            server,
            pinger: silent_pinger,
            scripts,
        }
    }

    /// Logs and tells observers what has changed.
    fn tell_of(
        &mut self,
        before: Option<(OverdueCause, Monotonic)>,
        found: Option<(OverdueCause, Monotonic)>,
    ) {
        let seconds = |since: Monotonic| self.now.since(since).as_secs();
        match (before, found) {
            (Some((_, since)), None) => {
                let seconds = seconds(since);
                tracing::info!(seconds, "checks and answers are on time again");
                self.emit(None, || EventKind::ChecksResumed { seconds });
            }
            (before, Some((cause, since))) if before.is_none_or(|(old, _)| old != cause) => {
                let seconds = seconds(since);
                if let Some(words) = words(cause) {
                    tracing::warn!(seconds, "{words}");
                }
                self.emit(None, || EventKind::ChecksOverdue { cause, seconds });
            }
            _ => {}
        }
    }

    /// Logs and tells observers that the script helper has become silent, or answers again. One
    /// that was ended for its silence does not: the next one does.
    fn tell_of_scripts(&mut self, found: Option<Monotonic>) {
        let seconds = |since: Monotonic| self.now.since(since).as_secs();
        match (self.pinger.watch.silent_scripts, found) {
            (None, Some(since)) => {
                let seconds = seconds(since);
                tracing::warn!(
                    seconds,
                    "the script helper does not answer, so it may not run any script; restart it \
                     if connect or systemd does not"
                );
                self.pinger.watch.silent_scripts = found;
                self.emit(None, || EventKind::ScriptsOverdue { seconds });
            }
            (Some(since), None) if self.scripts.helper.ready().is_some() => {
                let seconds = seconds(since);
                tracing::info!(seconds, "the script helper answers again");
                self.pinger.watch.silent_scripts = None;
                self.emit(None, || EventKind::ScriptsResumed { seconds });
            }
            _ => {}
        }
    }

    /// A helper was started again, because core asked for it or because it had ended; or it cannot
    /// begin.
    pub(super) fn supervisor_said(&mut self, news: HelperNews) {
        match news {
            HelperNews::Restarted(Role::Pinger) => self.pinger.helper.restarted(self.now),
            HelperNews::Restarted(Role::Ifscripts) => self.scripts.helper.restarted(self.now),
            HelperNews::Restarted(Role::Core | Role::Operator) => {}
            HelperNews::HeldUp(why) => self.scripts_held_up(why),
        }
    }

    /// Asks for a restart of helpers that are silent for too long, or have not connected at all.
    fn restart_silent(&mut self, found: Found) {
        for (role, silent) in [
            (Role::Pinger, found.pinger),
            (Role::Ifscripts, found.scripts),
        ] {
            let (now, held_until) = (self.now, self.pinger.watch.held_until);
            let helper = match role {
                Role::Ifscripts => &mut self.scripts.helper,
                _ => &mut self.pinger.helper,
            };
            let silent = silent.map(|since| (since, RESTART_AFTER));
            let missing = || Some((helper.missing_since()?, helper.patience()));
            let late = silent.or_else(missing);
            if late.is_some_and(|(since, limit)| since.max(held_until) + limit <= now)
                && helper.give_up()
            {
                self.out.push(Output::RestartHelper(role));
            }
        }
    }
}

/// What is logged; `None` for what was logged when it happened.
const fn words(cause: OverdueCause) -> Option<&'static str> {
    match cause {
        OverdueCause::PingerSilent => Some(
            "the pinger does not order the checks that are due, so no peer is checked; restart \
             it if connect or systemd does not",
        ),
        OverdueCause::PingerMissing => Some(
            "no pinger is connected, so no peer is checked; start connect-pinger if connect or \
             systemd does not",
        ),
        OverdueCause::ServerSilent => Some(
            "the server does not answer, so the state of its peers is not known; keeping the \
             connection, and not counting this time against any peer",
        ),
        OverdueCause::ServerDown | OverdueCause::HeldUp => None,
    }
}
