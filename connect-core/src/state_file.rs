// SPDX-License-Identifier: GPL-3.0-or-later
//! The file in which one core leaves its state for the next.
//!
//! ```text
//!   core's loop --State--> [a thread for each write] --> core.json
//! ```
//!
//! It is a cache, not a record: if it is missing, unreadable or of another server the service does
//! what it does without one, and says so. So it is replaced as a whole but not synced: what a crash
//! of the machine loses counts for nothing after it anyway.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink;
use connect_runtime::clock;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::machine::{Machine, State};
use crate::server_instance::ServerInstance;

/// The file's name in the state directory.
const NAME: &str = "core.json";

/// The version of its form. It is raised when an old reader would misunderstand a new writer.
const SCHEMA: u32 = 1;

/// How often figures are written: a crash loses as much of them.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// How soon it is written that a peer has come or gone: a crash in between has the peer configured
/// once more, or its removal noticed late. Many that come at once are written once.
const SAVE_SOON: Duration = Duration::from_secs(2);

/// The whole file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    schema: u32,
    /// The program version, for people.
    written_by: String,
    /// The server that the state is about.
    server: ServerInstance,
    state: State,
}

/// Only what is looked at first.
#[derive(Deserialize)]
struct Header {
    schema: u32,
}

/// Why a state file is not used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path} makes no sense: {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// It is of another version.
    #[error("{path} has the form {schema}, and this program knows {SCHEMA}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its form.
        schema: u32,
    },
}

/// What an earlier core has left, and for which server.
#[derive(Debug)]
pub struct Left {
    server: ServerInstance,
    state: State,
}

impl Left {
    /// The state, if it is about this server.
    #[must_use]
    pub fn about(&self, server: Option<ServerInstance>, now: Monotonic) -> Option<State> {
        (Some(self.server) == server && self.state.is_of_this_boot(now)).then(|| self.state.clone())
    }
}

/// Reads what an earlier core has left in `directory`; `None` if there is nothing.
///
/// # Errors
/// [`StateError`] if there is something that is of no use.
pub fn load(directory: &Path) -> Result<Option<Left>, StateError> {
    let path = directory.join(NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Read { path, source }),
    };
    let malformed = |source| StateError::Malformed {
        path: path.clone(),
        source,
    };
    let header: Header = serde_json::from_slice(&bytes).map_err(malformed)?;
    if header.schema != SCHEMA {
        let schema = header.schema;
        return Err(StateError::Schema { path, schema });
    }
    let document: Document = serde_json::from_slice(&bytes).map_err(malformed)?;
    Ok(Some(Left {
        server: document.server,
        state: document.state,
    }))
}

fn save(directory: &Path, server: ServerInstance, state: State) -> io::Result<()> {
    let document = Document {
        schema: SCHEMA,
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        server,
        state,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&serde_json::to_vec(&document)?)?;
    file.persist(directory.join(NAME))
        .map_err(|error| error.error)?;
    Ok(())
}

/// Keeps the file up to date.
#[derive(Debug)]
pub struct Keeper {
    directory: Option<PathBuf>,
    /// The run of the server whose peers are known, if one is joined.
    about: Option<ServerInstance>,
    /// [`Machine::changes`] as last looked at.
    changes: u64,
    /// When the file is to be written next.
    due: Instant,
    /// The write under way.
    writing: Option<JoinHandle<io::Result<()>>>,
    /// What the last write failed with, so that it is said once.
    complaint: Option<String>,
}

impl Keeper {
    /// A keeper of the file in `directory`; without one it does nothing.
    #[must_use]
    pub fn new(directory: Option<PathBuf>) -> Self {
        Keeper {
            directory,
            about: None,
            changes: 0,
            due: Instant::now() + SAVE_EVERY,
            writing: None,
            complaint: None,
        }
    }

    /// When [`Keeper::turn`] has something to do next.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.directory.is_some().then_some(self.due)
    }

    /// Writes the file, if it is time, on a thread of its own. To be called once a turn.
    pub async fn turn(&mut self, machine: &Machine, server: Option<ServerInstance>) {
        let Some(directory) = self.directory.clone() else {
            return;
        };
        let now = Instant::now();
        // What is known of the peers of one run is not to be told of the next.
        let server = server.filter(|_| machine.link() == ServerLink::Up);
        if server != self.about {
            self.about = server;
            if server.is_some() {
                // At once: a core that is killed right after it has started the server up, or has taken
                // over what was, must not have that done again.
                self.due = now;
            }
        }
        if machine.changes() != self.changes {
            self.changes = machine.changes();
            self.due = self.due.min(now + SAVE_SOON);
        }
        if now < self.due {
            return;
        }
        if let Some(writing) = self.writing.take_if(|writing| writing.is_finished()) {
            // It has ended, so this waits for nothing.
            let result = writing.await.unwrap_or_else(|error| Err(error.into()));
            self.note(&result);
        }
        if self.writing.is_some() {
            // The disk is slow: not two at a time.
            self.due = now + SAVE_SOON;
            return;
        }
        self.due = now + SAVE_EVERY;
        if let (Some(server), Some(state)) = (server, machine.state(clock::now())) {
            let write = move || save(&directory, server, state);
            self.writing = Some(tokio::task::spawn_blocking(write));
        }
    }

    /// Writes the file for the last time.
    pub async fn finish(mut self, machine: &Machine, server: Option<ServerInstance>) {
        if let Some(writing) = self.writing.take() {
            // Whatever became of it, what is written now is newer.
            let _ = writing.await;
        }
        if let (Some(directory), Some(server), Some(state)) =
            (self.directory.clone(), server, machine.state(clock::now()))
        {
            let result = save(&directory, server, state);
            self.note(&result);
        }
    }

    /// Removes the file: what it says is somebody else's business now.
    pub async fn renounce(mut self) {
        if let Some(writing) = self.writing.take() {
            let _ = writing.await;
        }
        if let Some(directory) = self.directory {
            // It may never have been written.
            let _ = fs::remove_file(directory.join(NAME));
        }
    }

    fn note(&mut self, result: &io::Result<()>) {
        let complaint = result.as_ref().err().map(ToString::to_string);
        if let (Some(why), Some(directory)) = (&complaint, &self.directory)
            && complaint != self.complaint
        {
            tracing::warn!(
                "cannot keep the state in {}: {why}; a restart will lose the figures",
                directory.display()
            );
        }
        self.complaint = complaint;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_an_error_and_nothing_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_none());
        for (text, said) in [
            ("", "makes no sense"),
            ("{\"schema\":1}", "makes no sense"),
            ("[1,2]", "makes no sense"),
            ("\u{0}\u{1}", "makes no sense"),
            (
                "{\"schema\":2,\"state\":\"of the future\"}",
                "has the form 2",
            ),
        ] {
            fs::write(dir.path().join(NAME), text).unwrap();
            let error = load(dir.path()).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        fs::remove_file(dir.path().join(NAME)).unwrap();
        fs::create_dir(dir.path().join(NAME)).unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        assert!(error.starts_with("cannot read"), "{error}");
    }

    #[test]
    fn state_counts_for_the_server_and_the_boot_that_it_was_written_in_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        for file in [&one, &other] {
            fs::write(file, "").unwrap();
        }
        let server = ServerInstance::at(&one);
        let state = dir.path().join("state");
        save(&state, server.unwrap(), State::default()).unwrap();
        let left = || load(&state).unwrap().unwrap();
        let now = clock::now();
        assert_eq!(left().about(server, now), Some(State::default()));
        assert_eq!(left().about(ServerInstance::at(&other), now), None);
        assert_eq!(left().about(None, now), None);
        let mut later = left();
        later.state = serde_json::from_str(
            "{\"saved\":18446744073709551615,\"started-up\":true,\"algorithms\":[],\"peers\":[]}",
        )
        .unwrap();
        assert_eq!(later.about(server, now), None);
    }
}
