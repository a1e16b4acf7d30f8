// SPDX-License-Identifier: GPL-3.0-or-later
//! P14: tables and queues are bounded, whatever goes on: what core has begun and not ended each
//! hour, and all that each machine holds each day. At the end, when all is at rest, it is little.
//! Whether it grows in a long run is judged by `growth`.

use std::time::Duration;

use connect_core::machine::Machine;

use super::{Moment, Rule, Verdict};
use crate::growth::length;
use crate::promise::Promise;
use crate::seen::{Seen, View};

/// How much of each kind there may be: for each peer, and for clients.
const EACH: usize = 20;
const CLIENTS: usize = 300;

/// How many lines of one script are told (connect-ifscripts/src/lines.rs). All may wait for a
/// server that is suspended, from the scripts of both lanes.
const LINES: usize = 2 * 1_000;

/// How many scripts of a peer may wait for one that does not end, in both lanes
/// (connect-ifscripts/src/queue.rs), and those that run.
const RUNS: usize = 2 * (1_000 + 1);

/// How long what a machine holds may be in words, in bytes: for each peer, and for the rest.
#[derive(Clone, Copy, Debug)]
struct Room {
    each: usize,
    rest: usize,
}

/// While anything may go on.
const ANY_TIME: Room = Room {
    each: 16 * 1024,
    rest: 256 * 1024,
};

/// At the end, when nothing has happened for a long time. Core, which holds most, then has some 17
/// KiB with four peers and 45 KiB with twenty.
const AT_REST: Room = Room {
    each: 4 * 1024,
    rest: 32 * 1024,
};

/// And for each script that has not ended.
const RUN_BYTES: usize = 4 * 1024;

/// How long after a sleep, or whatever else has disturbed it, a host may have what others wanted of
/// it meanwhile, all at once.
const CATCH_UP: Duration = Duration::from_secs(60);

/// How many hours have passed.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    hours: u32,
}

impl Rule for Sizes {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Hour(view) => {
                self.hours += 1;
                if now.calm.has_lasted(now.at, CATCH_UP) {
                    counts(view)?;
                }
                if self.hours.is_multiple_of(24) {
                    lengths(view, ANY_TIME)?;
                }
            }
            Seen::End(view) => {
                counts(view)?;
                lengths(view, AT_REST)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// How many peers there are, in the database or at the server.
fn peers(view: &View<'_>) -> usize {
    let present = view.server.map_or(0, |server| server.peers().len());
    view.truth.site.peers().len().max(present)
}

fn counts(view: &View<'_>) -> Verdict {
    let Some(left) = view.core.map(Machine::backlog) else {
        return Ok(());
    };
    let most = EACH * peers(view) + CLIENTS;
    let counts = [
        left.at_server.saturating_sub(LINES * peers(view)),
        left.held,
        left.jobs,
        left.additions,
        left.greetings,
        left.applying,
        left.pings_queued,
        left.for_pinger,
        left.runs.saturating_sub(RUNS * peers(view)),
        left.orders_untaken,
        left.undecided,
        left.readers,
    ];
    if counts.into_iter().any(|count| count > most) {
        return Err((Promise::Sizes, format!("core has begun {left:?}")));
    }
    Ok(())
}

fn lengths(view: &View<'_>, room: Room) -> Verdict {
    let runs = view.ledger.runs().count();
    let most = room.each * peers(view) + RUN_BYTES * runs + room.rest;
    let lengths = [
        ("core", view.core.map(length)),
        ("the pinger", view.pinger.map(length)),
        (
            "the script helper",
            view.scripts.map(|(machine, _)| length(machine)),
        ),
        ("the journal", Some(length(view.ledger))),
    ];
    let too_long = |(_, length): &&(&str, Option<usize>)| length.is_some_and(|it| it > most);
    match lengths.iter().find(too_long) {
        None => Ok(()),
        Some((what, length)) => {
            let length = length.unwrap_or_default();
            Err((
                Promise::Sizes,
                format!("{what} holds {length} bytes in words"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use connect_core::machine::Input;
    use connect_ipc::clock::Monotonic;

    use super::super::testing::{Sight, joined, view};
    use super::*;

    /// What is seen of a core that was given so many jobs that it cannot do at once, just after it
    /// has slept, or not.
    fn look(jobs: u32, slept: bool) -> Verdict {
        let mut core = joined(&[("p", &[("peer", "INET 198.18.0.1 4070")])], &[]);
        for job in 0..jobs {
            let line = format!("SVCJOB J{job} connect active p");
            let line = Input::ServerLine(line.into());
            core.handle(line, Monotonic(2_000_000_000_000), &mut Vec::new());
        }
        let mut sight = Sight::new::<Sizes>(&[]);
        sight.later(3_600);
        if slept {
            sight.see(Seen::Slept(Duration::from_secs(9_000)))?;
        }
        view(|view| {
            let core = Some(&core);
            sight.see(Seen::Hour(View { core, ..view }))
        })
    }

    #[test]
    fn some_jobs_keep_it_and_very_many_break_it() {
        assert_eq!(look(10, false), Ok(()));
        assert!(matches!(look(1_000, false), Err((Promise::Sizes, _))));
        assert_eq!(look(1_000, true), Ok(()));
    }

    /// What is seen of a core with a record of this length, at the end or after a day.
    fn weigh(length: usize, is_end: bool) -> Verdict {
        let value = "x".repeat(length);
        let core = joined(&[("p", &[("note", &value)])], &[]);
        let mut sight = Sight::new::<Sizes>(&[]);
        view(|view| {
            let core = Some(&core);
            let view = View { core, ..view };
            if is_end {
                return sight.see(Seen::End(view));
            }
            (0..24).try_for_each(|_| sight.see(Seen::Hour(view)))
        })
    }

    #[test]
    fn a_little_keeps_it_and_what_is_too_long_breaks_it_sooner_at_rest() {
        let is_broken = |verdict| matches!(verdict, Err((Promise::Sizes, _)));
        for is_end in [false, true] {
            assert_eq!(weigh(1_000, is_end), Ok(()));
            assert!(is_broken(weigh(300_000, is_end)));
        }
        assert_eq!(weigh(60_000, false), Ok(()));
        assert!(is_broken(weigh(60_000, true)));
    }
}
