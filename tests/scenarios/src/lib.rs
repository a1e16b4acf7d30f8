// SPDX-License-Identifier: GPL-3.0-or-later
//! What scenario tests are made of: the real programs, a lab server, a peer database, and eyes.
//!
//! A [`Site`] is one host: a directory with a lab server, a database and scripts. A [`Service`] is
//! the program `connect` running on it. Tests wait on what they see, never on the clock: every
//! wait ends with an event or, after [`PATIENCE`], with an error that shows what was seen.

mod admin;
pub mod conformance;
mod expect;
pub mod manager;
mod place;
mod programs;
mod service;
mod site;

use std::time::Duration;

pub use admin::{Admin, Reply};
pub use expect::Expect;
pub use place::directory;
pub use programs::{build_aloud, program, programs};
pub use service::{Service, request};
pub use site::{Site, SiteBuilder, address_words};

/// How long anything is waited for before a test gives up. It is long because machines are shared
/// and noisy; no test that passes waits anywhere near as long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a test returns, so that it can use `?`.
pub type Outcome = anyhow::Result<()>;
