// SPDX-License-Identifier: GPL-3.0-or-later
//! Limits each kind of message in the log: in each window of time at most a fixed number of
//! messages and bytes of it is written. The others are counted, and reported in one line. A message
//! that a user has caused counts for that user alone, so that nobody hides what others have done.
//!
//! ```text
//!   event --> [RateLimit] --pass--> log
//!                   |
//!                   +--first left out--> [thread] --end of the window, how many--> log
//! ```

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

use crate::clock;
use crate::log_text::MAX_ENTRY;

/// The field that names the user who has caused a message.
const USER: &str = "_user";

/// How many windows are remembered before those that are over are forgotten.
const WINDOWS: usize = 1024;

/// How many messages of one kind, that is from one place in the program, are written in a
/// [`WINDOW`]. A thousand peers that come or go at once are logged one by one; a fault that repeats
/// in a loop is not.
const MOST: u32 = 1_000;

/// About how many bytes of one kind are written in a [`WINDOW`]: the last message may exceed it,
/// and each also has a time and the names of its fields. A thousand lines of the usual length have
/// as many bytes, so this limits only longer ones.
const MOST_BYTES: usize = 128 * 1024;

/// Short enough that a count comes soon, long enough that a flood of messages fills few lines.
const WINDOW: Duration = Duration::from_secs(10);

/// How much of a message is shown in the line that counts others like it.
const SHOWN: usize = 60;

/// A place in the program, and the user for whom its messages count, if any.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Kind {
    place: Identifier,
    user: Option<u64>,
}

impl Kind {
    fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut user = User::default();
        // Few messages have it, and looking at all values costs more than looking at the names.
        if metadata.fields().field(USER).is_some() {
            event.record(&mut user);
        }
        Kind {
            place: metadata.callsite(),
            user: user.0,
        }
    }
}

/// The messages of one kind in the current window.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Monotonic,
    written: u32,
    bytes: usize,
    left_out: u64,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Decision {
    Write,
    /// Leave it out, and report at the given instant how many were.
    Begin(Monotonic),
    LeaveOut,
}

impl Window {
    const fn new(now: Monotonic) -> Self {
        Window {
            since: now,
            written: 0,
            bytes: 0,
            left_out: 0,
        }
    }

    fn judge(&mut self, now: Monotonic) -> Decision {
        let end = self.since + WINDOW;
        // What was left out is reported before the next window begins.
        if self.is_over(now) {
            *self = Window::new(now);
        }
        if self.written < MOST && self.bytes < MOST_BYTES {
            self.written += 1;
            return Decision::Write;
        }
        self.left_out += 1;
        if self.left_out == 1 {
            Decision::Begin(end)
        } else {
            Decision::LeaveOut
        }
    }

    /// Notes how long a message is that is written.
    const fn wrote(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether it is over, and nothing is left to be reported.
    fn is_over(&self, now: Monotonic) -> bool {
        now >= self.since + WINDOW && self.left_out == 0
    }

    /// Ends the window and returns how many messages were left out.
    fn end(&mut self, now: Monotonic) -> u64 {
        std::mem::replace(self, Window::new(now)).left_out
    }
}

/// The filter, to be applied after the one for levels.
#[derive(Debug, Default)]
pub struct RateLimit {
    windows: Arc<Mutex<HashMap<Kind, Window>>>,
}

impl<S: Subscriber> Filter<S> for RateLimit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    // Not `always`: then `enabled` would be skipped, and the registry loses count of its filters
    // when a message is left out after all.
    fn callsite_enabled(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let kind = Kind::of(event);
        let now = clock::now();
        let decision = {
            let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            if windows.len() >= WINDOWS {
                windows.retain(|_, window| !window.is_over(now));
            }
            windows
                .entry(kind.clone())
                .or_insert_with(|| Window::new(now))
                .judge(now)
        };
        match decision {
            Decision::Write => {
                // Not while the windows are locked: this runs code that formats values.
                let mut length = Length::default();
                event.record(&mut length);
                let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(window) = windows.get_mut(&kind) {
                    window.wrote(length.0.min(MAX_ENTRY));
                }
                true
            }
            Decision::LeaveOut => false,
            Decision::Begin(end) => {
                let mut text = Text::default();
                event.record(&mut text);
                self.report_later(kind, end, text.0);
                false
            }
        }
    }
}

impl RateLimit {
    /// Logs at `end` how many messages were left out. A filter may not log, so a thread does; there
    /// is at most one for each kind of message.
    fn report_later(&self, kind: Kind, end: Monotonic, text: String) {
        let windows = Arc::clone(&self.windows);
        std::thread::spawn(move || {
            std::thread::sleep(end.since(clock::now()));
            let left_out = {
                let mut windows = windows.lock().unwrap_or_else(PoisonError::into_inner);
                windows
                    .get_mut(&kind)
                    .map_or(0, |window| window.end(clock::now()))
            };
            let seconds = WINDOW.as_secs();
            let whose = kind.user.map(|user| format!(" of user {user}"));
            let whose = whose.unwrap_or_default();
            tracing::warn!(
                "left out {left_out} more messages{whose} like `{text}' within {seconds} s"
            );
        });
    }
}

/// The user that a message names.
#[derive(Debug, Default)]
struct User(Option<u64>);

impl Visit for User {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == USER {
            self.0 = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// How long the values of a message are.
#[derive(Debug, Default)]
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

impl Visit for Length {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        // Counting cannot fail.
        let _ = write!(self, "{value:?}");
    }
}

/// The beginning of a message's text.
#[derive(Debug, Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}").chars().take(SHOWN).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::mpsc;
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn so_many_are_written_and_the_others_counted() {
        let start = clock::now();
        let mut window = Window::new(start);
        for _ in 0..MOST {
            assert_eq!(window.judge(start), Decision::Write);
            window.wrote(MOST_BYTES / MOST as usize);
        }
        assert_eq!(window.judge(start), Decision::Begin(start + WINDOW));
        // Even late, none is written before the others were reported.
        assert_eq!(window.judge(start + 2 * WINDOW), Decision::LeaveOut);
        assert_eq!(window.end(start + 2 * WINDOW), 2);
        assert_eq!(window.judge(start + 2 * WINDOW), Decision::Write);
    }

    #[test]
    fn bytes_are_limited_too() {
        let start = clock::now();
        let mut window = Window::new(start);
        let entries = MOST_BYTES / MAX_ENTRY;
        for _ in 0..entries {
            assert_eq!(window.judge(start), Decision::Write);
            window.wrote(MAX_ENTRY);
        }
        assert_eq!(window.judge(start), Decision::Begin(start + WINDOW));
        assert_eq!(window.end(start + WINDOW), 1);
        assert_eq!(window.judge(start + WINDOW), Decision::Write);
    }

    #[test]
    fn a_steady_trickle_is_never_cut() {
        let start = clock::now();
        let mut window = Window::new(start);
        for at in 0..10 * MOST {
            let now = start + WINDOW / MOST * at;
            assert_eq!(window.judge(now), Decision::Write, "{at}");
        }
    }

    /// A log whose lines can be looked at.
    struct Lines(mpsc::Sender<String>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let line = String::from_utf8_lossy(bytes).into_owned();
            let _ = self.0.send(line);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Log(Mutex<mpsc::Sender<String>>);

    impl MakeWriter<'_> for Log {
        type Writer = Lines;

        fn make_writer(&self) -> Lines {
            Lines(self.0.lock().unwrap().clone())
        }
    }

    /// What is written of what is logged.
    fn written(log: impl FnOnce()) -> Vec<String> {
        let (sender, lines) = mpsc::channel();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(Log(Mutex::new(sender)))
            .with_filter(RateLimit::default());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, log);
        lines.try_iter().collect()
    }

    #[test]
    fn a_flood_is_cut_and_other_kinds_are_not() {
        let written = written(|| {
            for number in 0..3 * MOST {
                tracing::info!("flood {number}");
            }
            tracing::info!("something else");
        });
        assert_eq!(written.len(), usize::try_from(MOST).unwrap() + 1);
        assert!(written.last().unwrap().contains("something else"));
    }

    #[test]
    fn nobody_hides_what_others_have_done() {
        let written = written(|| {
            for number in 0..3 * MOST {
                let user = if number == 2 * MOST { 2_u32 } else { 1 };
                tracing::info!(_user = user, "command: {number}");
            }
        });
        assert_eq!(written.len(), usize::try_from(MOST).unwrap() + 1);
        let last = written.last().unwrap();
        assert!(last.contains(&format!("command: {}", 2 * MOST)), "{last}");
    }

    #[test]
    fn a_flood_of_long_messages_is_cut_sooner() {
        let long = "x".repeat(10 * MAX_ENTRY);
        let written = written(|| {
            for number in 0..MOST {
                tracing::info!(number, error = %long, "flood");
            }
        });
        assert_eq!(written.len(), MOST_BYTES / MAX_ENTRY);
    }
}
