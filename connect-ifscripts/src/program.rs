// SPDX-License-Identifier: GPL-3.0-or-later
//! The program from its start to its end.

use std::io;

use connect_runtime::exit::Exit;
use connect_runtime::logging::{self, LogError};
use connect_runtime::parent::{ParentError, end_with_parent};

use crate::options::Options;
use crate::service::Service;

/// Why the program could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log could not be set up.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It cannot be tied to the program that started it.
    #[error(transparent)]
    Parent(#[from] ParentError),
    /// The system refused what the event loop needs.
    #[error("cannot start the event loop: {0}")]
    Runtime(#[source] io::Error),
    /// The system refused to deliver signals.
    #[error("cannot catch signals: {0}")]
    Signals(#[source] io::Error),
}

impl StartError {
    /// The exit code that goes with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            StartError::Log(LogError::Level { .. }) => Exit::Usage,
            StartError::Parent(_) => Exit::Unavailable,
            StartError::Log(_) | StartError::Runtime(_) | StartError::Signals(_) => Exit::System,
        }
    }
}

/// Runs scripts until a signal ends the program.
///
/// # Errors
/// [`StartError`]; once it has started, nothing but a signal ends it.
pub fn run(options: &Options) -> Result<(), StartError> {
    logging::init(&options.log)?;
    if let Some(parent) = options.parent {
        end_with_parent(parent)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    runtime.block_on(async {
        let service = Service::new(options);
        service.run().await.map_err(StartError::Signals)
    })
}
