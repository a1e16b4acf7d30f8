// SPDX-License-Identifier: GPL-3.0-or-later
//! The fields of log entries as standard error shows them: without those for the journal alone, and
//! escaped.
//!
//! In the journal one searches by field, `journalctl PEER=berlin`, also for a sentence that names
//! the peer already. On standard error the sentence alone is enough.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{MakeVisitor as _, RecordFields, VisitOutput as _};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

use crate::log_text::{LogText, MAX_ENTRY};

/// What the name of a field for the journal alone begins with. In the journal the name does not
/// have it.
pub(crate) const MARK: char = '_';

/// Formats the fields of an entry as usual, without those for the journal, and escaped.
#[derive(Debug, Default)]
pub(crate) struct EscapedFields(DefaultFields);

impl<'w> FormatFields<'w> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut shown = Shown {
            usual: self.0.make_visitor(writer),
            room: MAX_ENTRY,
        };
        fields.record(&mut shown);
        shown.usual.finish()
    }
}

/// Passes on the fields that are shown.
struct Shown<V> {
    usual: V,
    /// How long the rest of the entry may be.
    room: usize,
}

impl<V: Visit> Visit for Shown<V> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name().starts_with(MARK) {
            return;
        }
        let mut text = LogText::new(self.room);
        // Writing to memory cannot fail.
        let _ = write!(text, "{value:?}");
        self.room = text.room();
        // The usual formatter writes this unchanged, also the message.
        self.usual
            .record_debug(field, &format_args!("{}", text.finish()));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            text.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of what is logged.
    fn written(log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(EscapedFields::default())
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = sink.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(text.clone()).unwrap()
    }

    #[test]
    fn fields_for_the_journal_are_not_shown() {
        let text = written(|| tracing::warn!(_peer = "berlin", run = 3, "ifup failed"));
        assert_eq!(text, " WARN ifup failed run=3\n");
    }

    #[test]
    fn an_entry_is_one_line_whatever_it_tells() {
        let odd = "x\n2026-11-26 ERROR \x1b[2J\u{202e}";
        let text = written(|| tracing::warn!(error = %odd, line = odd, "refused {odd}"));
        let shown = "x\\n2026-11-26 ERROR \\u{1b}[2J\\u{202e}";
        assert_eq!(
            text,
            format!(" WARN refused {shown} error={shown} line=\"{shown}\"\n")
        );
    }

    #[test]
    fn an_entry_is_cut() {
        let long = "x".repeat(1 << 20);
        let text = written(|| tracing::warn!(error = %long, line = long, "too long: {long}"));
        let note = format!(
            "... ({} more bytes)",
            "too long: ".len() + long.len() - MAX_ENTRY
        );
        assert!(text.contains(&note), "{}", text.len());
        assert!(text.len() < MAX_ENTRY + 200, "{}", text.len());
    }
}
