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
//!     println!("watched: {}, every {:?}", hub.flag("watch"), hub.get("every"));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The formats are those of peers.cdb(5) and peers.in(5). Which keys there are, and what they mean
//! to the connect service, is the subject of another crate, `connect-policy`.

pub mod alike;
pub mod characters;
pub mod diff;
pub mod encoding;
pub mod finding;
pub mod misspelling;
pub mod plain_file;
pub mod source;
pub mod writer;

mod contents;
mod database;
mod decode;
mod identity;
mod load;
mod record;
mod record_fault;
mod severity;
mod side_by_side;
mod snapshot;
mod structure;
mod text;

pub use characters::is_invisible;
pub use contents::Special;
pub use database::{Database, ReadError};
pub use diff::{Change, diff};
pub use finding::{Finding, Location};
pub use identity::FileIdentity;
pub use load::LoadError;
pub use record::{Record, is_true};
pub use record_fault::RecordFault;
pub use severity::Severity;
pub use structure::{Damage, MAX_FILE_SIZE};
pub use text::{Name, Value, count};
pub use writer::{WriteError, Writer};
