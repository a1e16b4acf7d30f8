// SPDX-License-Identifier: GPL-3.0-or-later
//! Where the log goes: standard error, or the journal with its fields. Logging never waits for the
//! reader of the log; see `line_queue`.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::journal::{self, Journal};
use crate::log_fields::EscapedFields;
use crate::rate_limit::RateLimit;
use crate::streams::LogWriter;

/// The sinks a log can go to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Sink {
    /// The journal if standard error is connected to it, else standard error.
    #[default]
    Auto,
    /// Standard error, one line an event.
    Stderr,
    /// The journal, with structured fields.
    Journald,
}

impl Sink {
    /// The value of `--log`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Sink::Auto => "auto",
            Sink::Stderr => "stderr",
            Sink::Journald => "journald",
        }
    }
}

/// Options on logging, the same for every daemon.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Logging")]
pub struct LogOptions {
    /// Where the log goes.
    #[arg(
        long = "log",
        value_name = "SINK",
        value_enum,
        default_value_t,
        env = "TRIPE_CONNECT_LOG"
    )]
    pub sink: Sink,
    /// What is logged: off, error, warn, info, debug or trace, which parts of a program may have
    /// on their own, as in `info,connect_core=debug`.
    #[arg(
        long = "log-level",
        value_name = "LEVEL",
        default_value = "info",
        env = "TRIPE_CONNECT_LOG_LEVEL"
    )]
    pub level: String,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is not a filter.
    #[error("bad log level `{level}': {why}; try off, error, warn, info, debug or trace")]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no journal.
    #[error("cannot log to the journal: {0}; try --log=stderr")]
    Journal(#[from] std::io::Error),
    /// Logging was set up before.
    #[error("logging is set up already")]
    Twice,
}

/// Whether standard error is connected to the journal, as systemd says in `JOURNAL_STREAM`.
fn stderr_is_journal() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(metadata) = std::fs::metadata("/proc/self/fd/2") else {
        return false;
    };
    *stream == *format!("{}:{}", metadata.dev(), metadata.ino())
}

/// Sets up logging for the whole process of a service, which never waits for the reader of its log.
///
/// # Errors
/// [`LogError`] for a bad level or a missing journal.
pub fn init(options: &LogOptions) -> Result<(), LogError> {
    set_up(options, BoxMakeWriter::new(|| LogWriter))?;
    // The default hook prints to standard error, and might wait for its reader for ever.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("fault of the program: {panic}");
    }));
    Ok(())
}

/// Sets up logging for a command, which waits for the reader of its log rather than lose a line.
///
/// # Errors
/// [`LogError`] for a bad level or a missing journal.
pub fn init_for_command(options: &LogOptions) -> Result<(), LogError> {
    set_up(options, BoxMakeWriter::new(std::io::stderr))
}

/// The filter that a level stands for. A word that is not a level would be taken for the name of a
/// part of the program, and nothing else would be logged. So such a word is refused, and parts that
/// are not named are logged at `info`.
fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let bad = |why: String| LogError::Level {
        level: level.to_owned(),
        why,
    };
    let mut for_all = false;
    for word in level.split(',').filter(|word| !word.contains('=')) {
        if word.is_empty() || word.parse::<LevelFilter>().is_err() {
            return Err(bad(format!("`{word}' is not a level")));
        }
        for_all = true;
    }
    let base = if for_all { "" } else { "info," };
    EnvFilter::builder()
        .parse(format!("{base}{level}"))
        .map_err(|why| bad(why.to_string()))
}

/// Whether somebody listens where systemd's journal does.
#[must_use]
pub fn journal_listens() -> bool {
    journal::find().is_ok()
}

fn set_up(options: &LogOptions, stderr: BoxMakeWriter) -> Result<(), LogError> {
    let filter = filter(&options.level)?;
    let journal = match options.sink {
        Sink::Stderr => false,
        Sink::Journald => true,
        Sink::Auto => stderr_is_journal(),
    };
    let layer = if journal {
        Journal::start()?.boxed()
    } else {
        // NO_COLOR counts when it is set and not empty (no-color.org).
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        fmt::layer()
            .with_writer(stderr)
            .with_ansi(std::io::stderr().is_terminal() && !plain)
            .with_target(false)
            .fmt_fields(EscapedFields::default())
            .boxed()
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter.and(RateLimit::default())))
        .try_init()
        .map_err(|_| LogError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused_by_name() {
        for (level, word) in [
            ("verbose", "verbose"),
            ("info,connect_core", "connect_core"),
            ("", ""),
            ("warn,", ""),
        ] {
            let told = filter(level).unwrap_err().to_string();
            assert!(told.contains(&format!("`{word}' is not a level")), "{told}");
        }
        assert!(filter("info,connect_core=loud").is_err());
    }

    #[test]
    fn each_sink_has_the_name_by_which_it_is_chosen() {
        for sink in Sink::value_variants() {
            let named = Sink::from_str(sink.name(), false);
            assert_eq!(named.as_ref(), Ok(sink));
        }
    }

    #[test]
    fn what_is_not_named_is_logged_at_info() {
        assert_eq!(
            filter("connect_core=debug").unwrap().to_string(),
            "connect_core=debug,info"
        );
        assert_eq!(filter("off").unwrap().to_string(), "off");
        assert_eq!(filter("Warn").unwrap().to_string(), "warn");
    }
}
