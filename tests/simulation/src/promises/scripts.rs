// SPDX-License-Identifier: GPL-3.0-or-later
//! P5, as scripts start: no run twice, none beside another that it has to wait for, none before an
//! earlier one.
//!
//! The rule excuses (operators.md, "What is promised of scripts"): "The journal of scripts is
//! damaged: [...] Others may be run again", and without one, once the helper has ended, "they run
//! on unwatched, and the next script of the peer may run beside them".

use std::collections::BTreeMap;

use connect_ipc::RunId;
use connect_ipc::scripts::{Run, ScriptKind};
use judge::starts::{Start, Started, beside};

use super::{Moment, Rule, Verdict};
use crate::plan::{Fault, Part};
use crate::promise::Promise;
use crate::seen::Seen;

/// The scripts of a host since its boot.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    peers: BTreeMap<String, Started>,
    /// The children that live.
    living: BTreeMap<RunId, (String, ScriptKind)>,
    /// Whether what earlier helpers have done may have been forgotten.
    forgotten: bool,
    /// How many helpers there were.
    helpers: u32,
}

impl Rule for Scripts {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Started(id, run) => return self.started(*id, run),
            Seen::ChildEnded(id, _) => {
                self.living.remove(id);
            }
            // Everything ends with the host, and numbers begin again.
            Seen::Fault(Fault::Reboot {}) => *self = Scripts::default(),
            Seen::Fault(Fault::Journal { .. }) => self.forgotten = true,
            Seen::Lives(Part::Scripts, _) => {
                self.helpers += 1;
                self.forgotten |= self.helpers > 1 && !now.records.journal;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Scripts {
    fn started(&mut self, id: RunId, run: &Run) -> Verdict {
        let others = self.living.iter();
        let others = others.filter(|(_, (peer, _))| *peer == run.peer);
        let beside = beside(others.map(|(id, (_, kind))| (*id, *kind)), id, run.kind);
        let start = Start {
            run: id,
            kind: run.kind,
            beside,
        };
        self.living.insert(id, (run.peer.clone(), run.kind));
        if self.forgotten {
            return Ok(());
        }
        let started = self.peers.entry(run.peer.clone()).or_default();
        let (kind, peer) = (run.kind.name(), &run.peer);
        started
            .take(&start)
            .map_err(|text| (Promise::Scripts, format!("{kind} {peer}: {text}")))
    }
}

#[cfg(test)]
mod tests {
    use connect_ipc::scripts::Ended;

    use super::super::testing::{self, Sight};
    use super::*;

    fn run(number: u64, kind: ScriptKind) -> Run {
        testing::run(number, kind, None)
    }

    fn start(sight: &mut Sight, number: u64, kind: ScriptKind) -> Verdict {
        sight.see(Seen::Started(RunId(number), &run(number, kind)))
    }

    fn end(sight: &mut Sight, number: u64) {
        let seen = Seen::ChildEnded(RunId(number), &Ended::Exited(0));
        sight.see(seen).unwrap();
    }

    #[test]
    fn scripts_one_after_the_other_keep_it() {
        let mut sight = Sight::new::<Scripts>(&[]);
        assert_eq!(start(&mut sight, 1, ScriptKind::Ifup), Ok(()));
        end(&mut sight, 1);
        assert_eq!(start(&mut sight, 2, ScriptKind::Connect), Ok(()));
        assert_eq!(start(&mut sight, 3, ScriptKind::Ifdown), Ok(()));
    }

    #[test]
    fn a_script_beside_another_or_twice_breaks_it() {
        let broken = |verdict| matches!(verdict, Err((Promise::Scripts, _)));
        let mut sight = Sight::new::<Scripts>(&[]);
        start(&mut sight, 1, ScriptKind::Ifup).unwrap();
        assert!(broken(start(&mut sight, 2, ScriptKind::Ifdown)));
        let mut sight = Sight::new::<Scripts>(&[]);
        start(&mut sight, 1, ScriptKind::Ifup).unwrap();
        end(&mut sight, 1);
        assert!(broken(start(&mut sight, 1, ScriptKind::Ifup)));
    }
}
