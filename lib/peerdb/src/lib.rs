// SPDX-License-Identifier: GPL-3.0-or-later
//! The TrIPE peer database: `peers.cdb` read, written and compared, and `peers.in` compiled.
//!
//! A [`Database`] is an owned, checked, immutable table of everything in one `peers.cdb`. It keeps
//! neither the file nor a mapping of it, so whatever happens to the file afterwards cannot touch
//! it; a newer file is noticed by its [`FileIdentity`] and loaded as a new `Database`.
//!
//! ```no_run
//! let database = peerdb::Database::load("peers.cdb")?;
//! if let Some(hub) = database.peer("hub") {
//!     println!("watched: {}, every {:?}", hub.flag("watch"), hub.interval("every")?);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The formats are those of peers.cdb(5) and peers.in(5). The crate knows nothing of the connect
//! service beyond the names of the keys it reads.

pub mod check;
pub mod diff;
pub mod encoding;
pub mod keys;
pub mod source;

mod database;
mod decode;
mod identity;
mod level;
mod load;
mod problem;
mod record;
mod snapshot;
mod structure;
mod value;
mod writer;

pub use database::{Database, ReadError, Special};
pub use diff::{Change, diff};
pub use identity::FileIdentity;
pub use level::Level;
pub use load::LoadError;
pub use problem::Problem;
pub use record::Record;
pub use structure::{Damage, MAX_FILE_SIZE};
pub use value::{Expected, ValueError, is_true};
pub use writer::{WriteError, Writer};
