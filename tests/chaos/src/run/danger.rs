// SPDX-License-Identifier: GPL-3.0-or-later
//! When the script helper must not die: some faults take its journal away for a while. Meanwhile
//! only the helper itself knows which scripts have run, so if it died then, scripts would be lost
//! or run twice, and nobody could blame the service.
//!
//! A journal is kept if the helper writes to a segment that is complete and still has its name.
//! That is looked up while the helper is suspended, so nothing changes before the signal that ends
//! it.

use rustix::process::Signal;

use super::Run;
use crate::world::descriptors::have_segment;
use crate::world::processes::{self, signal};
use crate::world::service::Part;

/// What is known of the journal.
#[derive(Debug, Default)]
pub(super) struct Danger {
    /// Whether a fault may have taken the journal away, and nobody has seen that it is kept again.
    lost: bool,
    /// The processes that were asked to end: they end when their scripts have ended, and start
    /// nothing more.
    asked_to_end: Vec<i32>,
}

impl Danger {
    /// The processes that were asked to end and have not ended.
    pub(super) fn ending(&self) -> impl Iterator<Item = i32> {
        self.asked_to_end.iter().copied()
    }
}

impl Run {
    /// A fault that can take the journal away is about to begin. Whether it may: somebody must know
    /// what is in the journal, and live until it is kept again.
    pub(super) fn endanger_journal(&mut self) -> bool {
        let service = &self.world.service;
        let is_ending = |part| {
            let pid = service.pid(part);
            pid.is_none_or(|pid| self.danger.asked_to_end.contains(&pid))
        };
        let safe = !is_ending(Part::Scripts)
            && (!self.world.site.layout.is_drop_in() || !is_ending(Part::Core))
            && self.keeps_journal();
        self.danger.lost |= safe;
        safe
    }

    /// Looks whether the danger is over.
    pub(super) fn step_danger(&mut self) {
        let processes = &self.world.processes;
        let asked = &mut self.danger.asked_to_end;
        asked.retain(|pid| processes.ended(*pid).is_none());
        if self.danger.lost && !self.fault_lasts() && self.keeps_journal() {
            self.danger.lost = false;
            self.note("the journal is kept".to_owned());
        }
    }

    /// Whether the journal is kept, or nothing has endangered it.
    pub(crate) const fn is_journal_safe(&self) -> bool {
        !self.danger.lost
    }

    /// Whether what can take the journal away is still there.
    fn fault_lasts(&self) -> bool {
        self.later.will_raise_any() || self.world.site.volume.is_full()
    }

    /// Why the journal is not known to be kept; `None` if it is kept.
    pub(crate) fn journal_danger(&self) -> Option<&'static str> {
        if self.is_journal_safe() {
            None
        } else if self.fault_lasts() {
            Some("the journal of scripts is not kept: a fault that can remove it lasts")
        } else if self.world.service.pid(Part::Scripts).is_none() {
            Some("the journal of scripts is not kept: there is no script helper")
        } else {
            Some("the journal of scripts is not kept: the helper has no complete segment of it")
        }
    }

    /// Sends a signal that ends a process, unless the script helper would end with it while only
    /// the helper knows what has run. Whether it was sent.
    pub(super) fn end(&mut self, part: Part, pid: i32, what: Signal) -> bool {
        let helper_ends =
            part == Part::Scripts || (part == Part::Core && self.world.site.layout.is_drop_in());
        let sent = if !helper_ends || !self.danger.lost {
            signal(pid, what);
            true
        } else if what == Signal::KILL {
            self.kill_if_kept(pid)
        } else {
            // It would end some time later.
            false
        };
        if sent && what == Signal::TERM {
            self.danger.asked_to_end.push(pid);
        }
        sent
    }

    /// Kills a process with which the script helper ends, if the journal is kept.
    fn kill_if_kept(&self, pid: i32) -> bool {
        let Some(helper) = self.world.service.pid(Part::Scripts) else {
            return false;
        };
        // One that is suspended already goes on by itself.
        let was_suspended = self.later.will_signal(helper);
        signal(helper, Signal::STOP);
        let kept = processes::wait_until_suspended(helper) && self.keeps_journal();
        if kept {
            signal(pid, Signal::KILL);
        }
        if !was_suspended {
            signal(helper, Signal::CONT);
        }
        kept
    }

    fn keeps_journal(&self) -> bool {
        let helper = self.world.service.pid(Part::Scripts);
        helper.is_some_and(|pid| have_segment(pid, &self.world.site.journal()))
    }
}
