// SPDX-License-Identifier: GPL-3.0-or-later
//! P9 as far as scripts are concerned: the state shows a script that has failed, and none that has
//! succeeded since.
//!
//! The rule looks a minute after a child has ended, or could not be started, if it began and ended
//! while nothing disturbed the host, and nothing else has happened to its pair and its peer
//! since: else the helper that started it may be gone, the record may have lost the script, or the
//! failure may not matter any more.

use std::collections::BTreeMap;

use connect_ipc::RunId;
use connect_ipc::control::ServerLink;
use connect_ipc::scripts::{Ended, Run, ScriptFailure, ScriptKind};

use super::calm::REST;
use super::{Moment, Rule, Verdict, ask};
use crate::instant::Instant;
use crate::promise::Promise;
use crate::seen::{Seen, View};

/// The signals with which the script helper stops a script: `KILL` and `TERM`.
const STOPPING: [i32; 2] = [9, 15];

/// The last child of a script that has ended.
#[derive(Clone, Copy, Debug)]
struct Last {
    began: Instant,
    ended: Instant,
    failure: Option<ScriptFailure>,
}

/// The children of scripts.
#[derive(Debug, Default)]
pub(super) struct Failures {
    running: BTreeMap<RunId, (String, ScriptKind, Instant)>,
    ended: BTreeMap<(String, ScriptKind), Last>,
}

impl Rule for Failures {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Started(id, run) => {
                self.forget_pair(run);
                let began = (run.peer.clone(), run.kind, now.at);
                self.running.insert(*id, began);
            }
            Seen::NotStarted(run) => {
                self.forget_pair(run);
                let last = Last {
                    began: now.at,
                    ended: now.at,
                    failure: Some(ScriptFailure::NotStarted),
                };
                self.ended.insert((run.peer.clone(), run.kind), last);
            }
            Seen::Broadcast(line) => {
                if let Some(line) = line.strip_prefix("NOTE ") {
                    let peer = line.split(' ').nth(1);
                    self.ended.retain(|(of, _), _| Some(of.as_str()) != peer);
                }
            }
            Seen::ChildEnded(id, end) => self.child_ended(now.at, *id, end),
            Seen::Minute(view) => return self.look(now, view),
            _ => {}
        }
        Ok(())
    }
}

impl Failures {
    /// What runs is not over, and it may be what undoes the other script of its pair.
    fn forget_pair(&mut self, run: &Run) {
        let pair = run.kind.pair();
        self.ended
            .retain(|(peer, kind), _| *peer != run.peer || kind.pair() != pair);
    }

    fn child_ended(&mut self, at: Instant, id: RunId, end: &Ended) {
        let Some((peer, kind, began)) = self.running.remove(&id) else {
            return;
        };
        // One that core may have stopped says nothing about the script.
        let may_be_stopped = |signal: &i32| STOPPING.contains(signal);
        let is_its_own = match end {
            Ended::Exited(_) => true,
            Ended::Signal(signal) => !may_be_stopped(signal),
            _ => false,
        };
        if is_its_own {
            let last = Last {
                began,
                ended: at,
                failure: end.failure(),
            };
            self.ended.insert((peer, kind), last);
        }
    }

    fn look(&mut self, now: &Moment<'_>, view: &View<'_>) -> Verdict {
        let disturbed = now.calm.since.max(now.calm.database);
        self.ended.retain(|_, last| disturbed + REST < last.began);
        let is_due = |last: &Last| last.ended + REST < now.at;
        let (due, early) = std::mem::take(&mut self.ended)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, last)| is_due(last));
        self.ended = early;
        let Some(core) = view.core else { return Ok(()) };
        if due.is_empty() || core.link() != ServerLink::Up {
            return Ok(());
        }
        for ((peer, kind), last) in due {
            let Some(status) = ask::peer(core, view.now, &peer).and_then(|it| it.status) else {
                continue;
            };
            let mut failed = status.scripts.failed.iter();
            let shown = failed.find(|it| it.kind == kind).map(|it| it.failure);
            // Nobody hears of a peer that is gone what made it.
            let is_known = status.state.is_present();
            if is_known && shown != last.failure {
                let (ended, failure) = (last.ended, last.failure);
                let text = format!(
                    "{kind:?} of {peer} ended at {ended} with {failure:?}, and the state says {shown:?}"
                );
                return Err((Promise::Rows, text));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use connect_ipc::scripts::ScriptKind;

    use super::super::testing::{Sight, joined, run, view};
    use super::*;

    const RECORDS: &[(&str, &[(&str, &str)])] = &[("p", &[("watch", "t"), ("ifup", "up")])];

    /// What comes of a child that ends so, of which core does not hear, and of this note.
    fn after(ended: &Ended, note: Option<&str>) -> Verdict {
        let core = joined(RECORDS, &["p"]);
        let mut sight = Sight::new::<Failures>(RECORDS);
        sight.later(100);
        let ifup = run(1, ScriptKind::Ifup, None);
        if let Ended::NotStarted(_) = ended {
            sight.see(Seen::NotStarted(&ifup)).unwrap();
        } else {
            sight.see(Seen::Started(RunId(1), &ifup)).unwrap();
            sight.see(Seen::ChildEnded(RunId(1), ended)).unwrap();
        }
        // What another pair does is of no importance.
        let connect = run(2, ScriptKind::Connect, None);
        sight.see(Seen::Started(RunId(2), &connect)).unwrap();
        if let Some(note) = note {
            sight.see(Seen::Broadcast(note)).unwrap();
        }
        sight.later(60);
        view(|view| {
            let core = Some(&core);
            sight.see(Seen::Minute(View { core, ..view }))
        })
    }

    #[test]
    fn a_failure_that_the_state_does_not_show_breaks_it() {
        for kept in [Ended::Exited(0), Ended::Signal(15), Ended::Stopped] {
            assert_eq!(after(&kept, None), Ok(()), "{kept:?}");
        }
        for shown in [
            Ended::Exited(1),
            Ended::Signal(11),
            Ended::NotStarted("no such file".to_owned()),
        ] {
            let broken = after(&shown, None);
            assert!(matches!(broken, Err((Promise::Rows, _))), "{broken:?}");
            assert_eq!(after(&shown, Some("NOTE KILL p")), Ok(()));
        }
    }
}
