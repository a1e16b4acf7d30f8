// SPDX-License-Identifier: GPL-3.0-or-later
//! In which times the service is known to have been able to run scripts: an observer was told all
//! the while that core is at the server and has a script helper, core told it something again and
//! again, and nothing was done to the service.
//!
//! A time that this program itself did not see is no such time: it is looked in each turn.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use judge::history::Span;
use judge::rest::GRACE;

use super::stream::View;

/// If it was not looked for so long, nobody knows what was in between: several turns.
const UNSEEN: Duration = Duration::from_millis(200);

/// If core tells nothing for so long, it may not run: each peer is pinged once a second.
const SILENT: Duration = Duration::from_millis(500);

/// A time that goes on.
#[derive(Clone, Copy, Debug)]
struct Current {
    view: View,
    from: Monotonic,
    looked: Monotonic,
    /// How many events there were, and when it was last found that there were more.
    events: u64,
    told: Monotonic,
}

impl Current {
    const fn new(view: View, events: u64, now: Monotonic) -> Self {
        Current {
            view,
            from: now,
            looked: now,
            events,
            told: now,
        }
    }
}

/// The times.
#[derive(Debug, Default)]
pub(crate) struct Health {
    spans: Vec<Span>,
    current: Option<Current>,
}

impl Health {
    /// Looks: which processes work together and how many events there were until now, or `None` if
    /// something is known to be wrong.
    pub(crate) fn look(&mut self, seen: Option<(View, u64)>, now: Monotonic) {
        let works = |view: View| view.joined && view.core.is_some() && view.scripts.is_some();
        let seen = seen.filter(|(view, _)| works(*view));
        // Pings are not needed for scripts.
        let seen = seen.map(|(view, events)| {
            let view = View {
                pinger: None,
                ..view
            };
            (view, events)
        });
        let goes_on = |current: &Current| {
            seen.is_some_and(|(view, events)| {
                let is_told = events > current.events || now.since(current.told) <= SILENT;
                view == current.view && now.since(current.looked) <= UNSEEN && is_told
            })
        };
        match (&mut self.current, seen) {
            (Some(current), Some((_, events))) if goes_on(current) => {
                current.looked = now;
                if events > current.events {
                    (current.events, current.told) = (events, now);
                }
            }
            (_, seen) => {
                self.end();
                self.current = seen.map(|(view, events)| Current::new(view, events, now));
            }
        }
    }

    /// The present time ends when core was last heard.
    fn end(&mut self) {
        let ended = self.current.take().map(|current| Span {
            from: current.from,
            to: current.told,
        });
        let is_long = |span: &Span| span.to.since(span.from) >= GRACE;
        self.spans.extend(ended.filter(is_long));
    }

    /// All times.
    pub(crate) fn times(&mut self) -> Vec<Span> {
        self.end();
        self.spans.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: View = View {
        core: Some(1),
        pinger: Some(2),
        scripts: Some(3),
        joined: true,
        joins: 1,
    };

    fn at(millis: u64) -> Monotonic {
        Monotonic(millis * 1_000_000)
    }

    fn span(from: u64, to: u64) -> Span {
        Span {
            from: at(from),
            to: at(to),
        }
    }

    /// Looks every 100 ms; core tells something at each of these looks but those that are silent.
    fn looks(
        until: u64,
        of: impl Fn(u64) -> Option<View>,
        is_silent: impl Fn(u64) -> bool,
    ) -> Vec<Span> {
        let mut health = Health::default();
        let mut events = 0;
        for now in (0..=until).step_by(100) {
            events += u64::from(!is_silent(now));
            health.look(of(now).map(|view| (view, events)), at(now));
        }
        health.times()
    }

    #[test]
    fn a_time_ends_when_something_is_wrong_or_core_is_silent() {
        let never = |_| false;
        assert_eq!(looks(9_000, |_| Some(VIEW), never), [span(0, 9_000)]);
        let lost = |now| {
            Some(View {
                joined: now != 4_000,
                ..VIEW
            })
        };
        let wanted = [span(0, 3_900), span(4_100, 9_000)];
        assert_eq!(looks(9_000, lost, never), wanted);
        let other = |now| {
            Some(View {
                scripts: Some(i32::from(now > 4_000)),
                ..VIEW
            })
        };
        assert_eq!(
            looks(9_000, other, never),
            [span(0, 4_000), span(4_100, 9_000)]
        );
        let silent = |now| (3_000..3_600).contains(&now);
        assert_eq!(
            looks(9_000, |_| Some(VIEW), silent),
            [span(0, 2_900), span(3_500, 9_000)]
        );
        let other = |now: u64| {
            Some(View {
                pinger: i32::try_from(now).ok(),
                ..VIEW
            })
        };
        assert_eq!(
            looks(9_000, other, never),
            [span(0, 9_000)],
            "pings do not matter"
        );
        let mut unseen = Health::default();
        unseen.look(Some((VIEW, 1)), at(0));
        unseen.look(Some((VIEW, 2)), at(5_000));
        assert!(unseen.times().is_empty());
    }
}
