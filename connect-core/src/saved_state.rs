// SPDX-License-Identifier: GPL-3.0-or-later
//! The state file, in which core saves its state for the next core, and the keeper of the state
//! directory.
//!
//! ```text
//!   core's loop --State, Database--> [a thread for each write] --> core.json, database.json
//! ```
//!
//! It is only a cache: if it is missing, cannot be read or is about another server, the service
//! goes on without it, and says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;
use connect_runtime::fault_log::FaultLog;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::kept_database;
use crate::machine::{DatabaseCopy, Machine, State, WriteNews};
use crate::save_times::SaveTimes;
use crate::state_file;
use connect_ipc::setup::ServerRun;

/// The file's name in the state directory.
const NAME: &str = "core.json";

/// The version of its form. It is raised when an old reader would misunderstand a new writer.
const SCHEMA: u32 = 1;

/// How long the last write may delay the answer to `quit`.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// How soon to check whether a write has ended.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// The whole file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    schema: u32,
    /// The program version, for people.
    written_by: String,
    /// The server that the state is about, if that is certain.
    server: Option<ServerRun>,
    state: State,
}

/// Reads the file of an earlier core in `directory`; `None` if there is none.
///
/// # Errors
/// As [`state_file::load`].
pub(crate) fn load(directory: &Path) -> anyhow::Result<Option<(Option<ServerRun>, State)>> {
    let document: Option<Document> = state_file::load(&directory.join(NAME), SCHEMA)?;
    Ok(document.map(|document| (document.server, document.state)))
}

/// As [`load`], from the bytes of the file; and the bytes that [`save`] writes of it.
#[cfg(fuzzing)]
pub(crate) fn of_bytes(bytes: &[u8]) -> anyhow::Result<(Option<ServerRun>, State, Vec<u8>)> {
    let document: Document = state_file::decode(bytes, Path::new(NAME), SCHEMA)?;
    let written = serde_json::to_vec(&document)?;
    Ok((document.server, document.state, written))
}

fn save(directory: &Path, (server, state): (Option<ServerRun>, State)) -> io::Result<()> {
    let document = Document {
        schema: SCHEMA,
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        server,
        state,
    };
    state_file::replace(directory, NAME, |file| {
        Ok(serde_json::to_writer(file, &document)?)
    })
}

/// The result of writing: which file could not be written, and why.
type Outcome = Result<(), (&'static str, io::Error)>;

/// Writes both files, the database only if it has changed. It is written first, since the state is
/// of little use without it.
fn save_all(
    directory: &Path,
    state: (Option<ServerRun>, State),
    database: Option<DatabaseCopy>,
) -> Outcome {
    if let Some(database) = database {
        kept_database::save(directory, database).map_err(|error| (kept_database::NAME, error))?;
    }
    save(directory, state).map_err(|error| (NAME, error))
}

fn try_to_write(directory: &Path) -> Outcome {
    for name in [NAME, kept_database::NAME] {
        state_file::try_to_write(directory, name).map_err(|error| (name, error))?;
    }
    Ok(())
}

/// Keeps the files up to date.
#[derive(Debug)]
pub(crate) struct Keeper {
    directory: Option<PathBuf>,
    times: SaveTimes,
    /// Whether the files are to be deleted at the end.
    forgotten: bool,
    /// The write under way.
    writing: Option<JoinHandle<Outcome>>,
    /// When to look whether it has ended.
    look: Monotonic,
    faults: FaultLog,
    /// What the machine has not been told yet.
    news: Option<WriteNews>,
}

impl Keeper {
    /// A keeper of the file in `directory`; without one it does nothing. If the file cannot be
    /// written, it logs that.
    #[must_use]
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        let tried = directory.as_deref().map_or(Ok(()), try_to_write);
        let mut keeper = Keeper::untried(directory);
        keeper.note(&tried);
        keeper
    }

    fn untried(directory: Option<PathBuf>) -> Self {
        Keeper {
            directory,
            times: SaveTimes::new(clock::now()),
            forgotten: false,
            writing: None,
            look: Monotonic::default(),
            faults: FaultLog::default(),
            news: None,
        }
    }

    /// When [`Keeper::turn`] has something to do next.
    #[must_use]
    pub(crate) fn next_wake(&self) -> Option<Monotonic> {
        let look = self.writing.as_ref().map(|_| self.look);
        let wake = look.into_iter().chain([self.times.due()]).min();
        wake.filter(|_| self.directory.is_some())
    }

    /// Writes the file in a separate thread, if it is time. To be called once in each turn. Returns
    /// what the machine must be told.
    pub(crate) async fn turn(&mut self, machine: &Machine) -> Option<WriteNews> {
        let directory = self.directory.clone()?;
        let now = clock::now();
        self.times.note(machine, now);
        if let Some(writing) = self.writing.take_if(|writing| writing.is_finished()) {
            // It has ended, so this waits for nothing.
            let result = writing
                .await
                .unwrap_or_else(|error| Err((NAME, error.into())));
            self.note(&result);
        } else if self.look <= now {
            self.look = now + LOOK_AFTER;
        }
        if self.times.are_due(now) {
            self.write(directory, machine, now);
        }
        self.news.take()
    }

    /// Begins to write the files.
    fn write(&mut self, directory: PathBuf, machine: &Machine, now: Monotonic) {
        if self.writing.is_some() {
            // The disk is slow: not two at a time.
            self.times.put_off(now);
            return;
        }
        self.times.begin(now);
        self.look = now + LOOK_AFTER;
        self.writing = match machine.state().filter(|_| self.times.is_joined()) {
            Some(state) => {
                let database = self.times.take_database();
                Some(spawn_blocking(move || {
                    save_all(&directory, state, database)
                }))
            }
            None if self.faults.last().is_some() => {
                Some(spawn_blocking(move || try_to_write(&directory)))
            }
            None => None,
        };
    }

    /// The files are to be deleted at the end: another program provides the service now.
    pub(crate) fn forget(&mut self) {
        self.forgotten = true;
    }

    /// Writes the files for the last time, or deletes them. After that nothing is written, since
    /// the next core may run already.
    pub(crate) async fn finish(&mut self, machine: &Machine) {
        let Some(directory) = self.directory.clone() else {
            return;
        };
        if timeout(LAST_WRITE, self.write_last(directory.clone(), machine))
            .await
            .is_err()
        {
            let path = directory.display();
            tracing::warn!(%path, "the disk is too slow to save the state; ending without saving \
                                   it");
        }
        self.directory = None;
    }

    async fn write_last(&mut self, directory: PathBuf, machine: &Machine) {
        self.times.note_database(machine);
        if let Some(writing) = self.writing.take()
            && !matches!(writing.await, Ok(Ok(())))
        {
            // What is written now is newer than any earlier write.
            self.times.failed(clock::now());
        }
        if self.forgotten {
            for name in [NAME, kept_database::NAME] {
                // It may never have been written.
                let _ = fs::remove_file(directory.join(name));
            }
        } else if let Some(state) = machine.state() {
            let database = self.times.take_database();
            let written = spawn_blocking(move || save_all(&directory, state, database)).await;
            self.note(&written.unwrap_or_else(|error| Err((NAME, error.into()))));
        }
    }

    fn note(&mut self, result: &Outcome) {
        let Err((name, error)) = result else {
            if self.faults.over() {
                tracing::info!("the state is saved again");
                self.news = Some(WriteNews::StateSaved {});
            }
            return;
        };
        self.times.failed(clock::now());
        let reason = reason(error);
        if let Some(directory) = &self.directory
            && self.faults.is_new(&reason)
        {
            let path = directory.join(name).display().to_string();
            tracing::warn!(
                %error,
                path,
                "cannot save the state, so a restart may lose what has changed; free some space, or \
                 make the directory writable for this user"
            );
            let fault = format!(
                "cannot write {path}: {reason}; free some space, or make its directory writable \
                 for the user of the service"
            );
            self.news = Some(WriteNews::StateFault { fault });
        }
    }
}

/// What is wrong, without the name of the temporary file, which differs each time.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number).to_string(),
        // Our own sentence.
        None if error.kind() == io::ErrorKind::Other => error.to_string(),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_cannot_be_written_is_found_at_once_and_found_only_once() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Keeper::new(None).faults.last(), None);
        let fine = Keeper::new(Some(dir.path().join("new/state")));
        assert_eq!(fine.faults.last(), None);
        let taken = dir.path().join("taken");
        fs::write(&taken, "a file").unwrap();
        let mut keeper = Keeper::new(Some(taken.join("state")));
        let told = keeper.faults.last().unwrap().to_owned();
        let later = state_file::make(&taken.join("state"));
        keeper.note(&later.map_err(|error| (NAME, error)));
        assert_eq!(keeper.faults.last(), Some(told.as_str()));
        fs::create_dir_all(dir.path().join("odd").join(NAME)).unwrap();
        assert!(
            Keeper::new(Some(dir.path().join("odd")))
                .faults
                .last()
                .is_some()
        );
        assert!(matches!(
            keeper.news.take(),
            Some(WriteNews::StateFault { .. })
        ));
        keeper.note(&Ok(()));
        assert_eq!(keeper.faults.last(), None);
        assert!(matches!(keeper.news, Some(WriteNews::StateSaved {})));
    }

    /// The next version must be able to go on with what this one has saved. If this fails, an old
    /// file would be misunderstood or rejected, and [`SCHEMA`] has to be raised.
    #[test]
    fn the_form_of_the_file_is_as_released() {
        let released = include_str!("../fixtures/core.json").trim_end();
        let document: Document = serde_json::from_str(released).unwrap();
        assert_eq!(document.schema, SCHEMA);
        assert_eq!(serde_json::to_string(&document).unwrap(), released);
    }

    #[test]
    fn what_makes_no_sense_is_an_error_and_nothing_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_none());
        for (text, said) in [
            ("", "is malformed"),
            ("{\"schema\":1}", "is malformed"),
            ("[1,2]", "is malformed"),
            ("\u{0}\u{1}", "is malformed"),
            ("{\"schema\":2,\"state\":\"of the future\"}", "has form 2"),
        ] {
            fs::write(dir.path().join(NAME), text).unwrap();
            let error = load(dir.path()).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        fs::remove_file(dir.path().join(NAME)).unwrap();
        fs::create_dir(dir.path().join(NAME)).unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is not a plain file"), "{error}");
    }

    #[test]
    fn what_never_ends_or_is_far_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let error = || load(dir.path()).unwrap_err().to_string();
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(error().contains("is not a plain file"));
        // A core that goes on without it replaces it.
        save(
            dir.path(),
            (crate::server_run::at(dir.path()), State::default()),
        )
        .unwrap();
        assert!(load(dir.path()).unwrap().is_some());
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(error().contains("is not a plain file"));
        fs::remove_file(&path).unwrap();
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(error().contains("is larger than 256 MiB"));
    }

    #[test]
    fn what_was_saved_is_loaded_with_the_run_of_the_server_that_it_is_about() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tripesock");
        fs::write(&file, "").unwrap();
        let run = Some(crate::server_run::at(&file).unwrap());
        let directory = dir.path().join("state");
        save(&directory, (run, State::default())).unwrap();
        assert_eq!(load(&directory).unwrap(), Some((run, State::default())));
    }
}
