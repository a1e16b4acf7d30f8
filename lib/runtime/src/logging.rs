// SPDX-License-Identifier: GPL-3.0-or-later
//! Where the log goes: standard error, or the journal with its fields. Logging never waits for
//! whoever reads it; see `line_queue`.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::journal::Journal;
use crate::log_fields::WithoutJournalFields;
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
    /// What is logged: error, warn, info, debug or trace, or a filter such as
    /// `info,connect_core=debug`.
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
    #[error("bad log level `{level}': {why}; try error, warn, info, debug or trace")]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no journal.
    #[error("cannot log to the journal: {0}; try --log=stderr")]
    Journal(#[from] std::io::Error),
    /// Somebody has set up logging already.
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
    // The usual one prints on standard error, and would wait for its reader for ever.
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

fn set_up(options: &LogOptions, stderr: BoxMakeWriter) -> Result<(), LogError> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(&options.level)
        .map_err(|why| LogError::Level {
            level: options.level.clone(),
            why: why.to_string(),
        })?;
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
            .fmt_fields(WithoutJournalFields::default())
            .boxed()
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter.and(RateLimit::default())))
        .try_init()
        .map_err(|_| LogError::Twice)
}
