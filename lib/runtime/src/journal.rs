// SPDX-License-Identifier: GPL-3.0-or-later
//! The log in the journal: an entry is a datagram of fields, in the form of systemd's "Native
//! Journal Protocol".
//!
//! A thread sends the entries for which the journal has no room, since sending waits then.

use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;

use rustix::net::{SendFlags, SocketAddrUnix, sendto};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::line_queue::{LineQueue, Sink};
use crate::log_fields::MARK;
use crate::log_text;
use crate::streams::loss;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Checks whether the journal listens. Each entry is sent to the socket by its name, so it also
/// reaches a journal that has made its socket again.
///
/// # Errors
/// If nobody listens.
pub(crate) fn find() -> io::Result<()> {
    UnixDatagram::unbound()?.connect(SOCKET)
}

/// Sends what is logged to the journal.
#[derive(Debug)]
pub(crate) struct Journal {
    queue: LineQueue,
    identifier: String,
}

impl Journal {
    /// Begins to log to the journal.
    ///
    /// # Errors
    /// If there is none, or the system has no thread left.
    pub(crate) fn start() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        find()?;
        let program = std::env::current_exe().ok();
        let name = program.as_deref().and_then(|path| path.file_name());
        let identifier = name.unwrap_or_default().to_string_lossy().into_owned();
        let sink = Datagrams {
            socket,
            identifier: identifier.clone(),
        };
        Ok(Journal {
            queue: LineQueue::start("journal", sink)?,
            identifier,
        })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut entry = Entry::new(priority(*event.metadata().level()), &self.identifier);
        entry.add_origin(event.metadata());
        self.queue.put(entry.finish(&fields));
    }
}

/// The syslog priority of a level. `INFO` is `notice`, since many journals are set up to leave
/// `info` out.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 5,
        Level::DEBUG => 6,
        Level::TRACE => 7,
    }
}

/// The sending side.
#[derive(Debug)]
struct Datagrams {
    socket: UnixDatagram,
    identifier: String,
}

impl Sink for Datagrams {
    fn write(&mut self, entry: &[u8]) -> io::Result<()> {
        self.socket.send_to(entry, SOCKET).map(drop)
    }

    fn write_at_once(&mut self, entry: &[u8]) -> io::Result<usize> {
        let journal = SocketAddrUnix::new(SOCKET)?;
        Ok(sendto(&self.socket, entry, SendFlags::DONTWAIT, &journal)?)
    }

    fn loss(&self, lines: u64) -> Vec<u8> {
        let mut entry = Entry::new(priority(Level::WARN), &self.identifier);
        entry.add("MESSAGE", &loss(lines, "the journal"));
        entry.0
    }
}

/// What an event says.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    /// The fields after the message, as a reader of standard error sees them.
    shown: String,
    named: Vec<(String, String)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: String, shown: fmt::Arguments<'_>) {
        if field.name() == "message" {
            self.message = value;
            return;
        }
        if !field.name().starts_with(MARK) {
            // Writing to a string cannot fail.
            let _ = write!(self.shown, " {}={shown}", field.name());
        }
        let name = field.name().trim_start_matches(MARK);
        let allowed = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        };
        self.named
            .push((name.chars().map(allowed).collect(), value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned(), format_args!("{value:?}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"), format_args!("{value:?}"));
    }
}

/// An entry as it is sent.
#[derive(Debug, Default)]
struct Entry(Vec<u8>);

impl Entry {
    fn new(priority: u8, identifier: &str) -> Self {
        let mut entry = Entry::default();
        entry.add("PRIORITY", &priority.to_string());
        entry.add("SYSLOG_IDENTIFIER", identifier);
        entry
    }

    fn add_origin(&mut self, metadata: &Metadata<'_>) {
        self.add("TARGET", metadata.target());
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            self.add("CODE_FILE", file);
            self.add("CODE_LINE", &line.to_string());
        }
    }

    /// The whole entry. Its text has the fields as well: `journalctl` shows nothing else.
    fn finish(mut self, fields: &Fields) -> Vec<u8> {
        self.add(
            "MESSAGE",
            format!("{}{}", fields.message, fields.shown).trim_start(),
        );
        for (name, value) in &fields.named {
            self.add(name, value);
        }
        self.0
    }

    /// Adds a field. Its value is escaped, so it is one line. A search needs the escaped form, as
    /// it is shown.
    fn add(&mut self, name: &str, value: &str) {
        for part in [name, "=", &log_text::entry(value), "\n"] {
            self.0.extend_from_slice(part.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Sink for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().push(line.to_vec());
            Ok(())
        }

        fn loss(&self, _: u64) -> Vec<u8> {
            Vec::new()
        }
    }

    #[test]
    fn an_entry_has_its_fields_and_shows_them_in_its_text() {
        let kept = Kept::default();
        let journal = Journal {
            queue: LineQueue::start("test", kept.clone()).unwrap(),
            identifier: "connect".to_owned(),
        };
        let queue = journal.queue.clone();
        let subscriber = tracing_subscriber::registry().with(journal);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(
                _peer = "berlin",
                run = 3,
                error = "two\nlines",
                line = %"\u{202e}\x1b[2J\nMESSAGE=forged",
                "ifup failed"
            );
        });
        queue.flush(Instant::now() + Duration::from_secs(60));
        let entries = kept.0.lock().unwrap();
        let text = String::from_utf8_lossy(&entries[0]);
        assert!(
            text.starts_with("PRIORITY=4\nSYSLOG_IDENTIFIER=connect\n"),
            "{text}"
        );
        let odd = "\\u{202e}\\u{1b}[2J\\nMESSAGE=forged";
        let message = "MESSAGE=ifup failed run=3 error=\"two\\nlines\"";
        let named = "PEER=berlin\nRUN=3\nERROR=two\\nlines";
        assert!(
            text.ends_with(&format!("{message} line={odd}\n{named}\nLINE={odd}\n")),
            "{text:?}"
        );
    }

    #[test]
    fn a_value_is_cut() {
        let mut entry = Entry::default();
        entry.add("A", &"x".repeat(1 << 20));
        assert!(entry.0.len() < log_text::MAX_ENTRY + 100);
    }
}
