// SPDX-License-Identifier: GPL-3.0-or-later
//! Fields of log entries that are for the journal alone.
//!
//! In the journal one searches by field, `journalctl PEER=berlin`, also for a sentence that names
//! the peer already. On standard error the sentence alone is enough.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{MakeVisitor as _, RecordFields, VisitOutput as _};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

/// What the name of such a field begins with. It is not part of the name in the journal.
pub(crate) const MARK: char = '_';

/// Formats the fields of an entry as usual, without those for the journal.
#[derive(Debug, Default)]
pub(crate) struct WithoutJournalFields(DefaultFields);

impl<'w> FormatFields<'w> for WithoutJournalFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut shown = Shown(self.0.make_visitor(writer));
        fields.record(&mut shown);
        shown.0.finish()
    }
}

/// Passes on the fields that are shown. The text of a field is all that the usual form needs.
struct Shown<V>(V);

impl<V: Visit> Visit for Shown<V> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if !field.name().starts_with(MARK) {
            self.0.record_str(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !field.name().starts_with(MARK) {
            self.0.record_debug(field, value);
        }
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

    #[test]
    fn fields_for_the_journal_are_not_shown() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(WithoutJournalFields::default())
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(_peer = "berlin", run = 3, "ifup failed");
        });
        let text = sink.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(String::from_utf8_lossy(&text), " WARN ifup failed run=3\n");
    }
}
