// SPDX-License-Identifier: GPL-3.0-or-later
//! Lookups of host names, each in a child of its own that is killed when its time is over.
//!
//! ```text
//!   [Lookups::begin] --> task --starts--> connect-ifscripts resolve FAMILY HOST
//!   service <--Input::Said-- task <--one line of JSON--'
//! ```

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use connect_ipc::lookup::{Found, LOOKUP_LIMIT, LOOKUPS, LookedUp, Lookup};
use connect_ipc::scripts::FromScripts;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::machine::Input;
use crate::resolve;

/// The most that is read of a child's answer: more than any of ours is long.
const MAX_ANSWER: u64 = 8 * 1024;

/// This program, also after an upgrade has put another one in its place.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The lookups under way.
pub(crate) struct Lookups {
    program: PathBuf,
    /// Nobody is told any more once this is gone.
    told: Option<mpsc::Sender<Input>>,
    places: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

impl Lookups {
    /// No lookup yet. What comes of each is told to `told`.
    pub(crate) fn new(told: mpsc::Sender<Input>) -> Self {
        Self::by(OWN_PROGRAM.into(), told)
    }

    /// The same with this program for the children.
    fn by(program: PathBuf, told: mpsc::Sender<Input>) -> Self {
        Lookups {
            program,
            told: Some(told),
            places: Arc::new(Semaphore::new(LOOKUPS)),
            tasks: JoinSet::new(),
        }
    }

    /// Begins a lookup. It fails at once if as many as may be are under way.
    pub(crate) fn begin(&mut self, lookup: Lookup) {
        while self.tasks.try_join_next().is_some() {}
        let Some(told) = self.told.clone() else {
            return;
        };
        // Core keeps to the same number. A new core may find the lookups of the last one under way.
        if self.tasks.len() >= 2 * LOOKUPS {
            return;
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        let program = self.program.clone();
        self.tasks.spawn(async move {
            let found = match &place {
                Ok(_) => timeout(LOOKUP_LIMIT, ask(program, &lookup))
                    .await
                    .unwrap_or_else(|_| resolve::unanswered()),
                Err(_) => Found::Failed(format!("{LOOKUPS} lookups are already under way")),
            };
            drop(place);
            let number = lookup.number;
            let answer = FromScripts::LookedUp(LookedUp { number, found });
            // Nobody wants to know it if the service has ended.
            let _ = told.send(Input::Said(vec![answer])).await;
        });
    }

    /// Ends all lookups and their children: they are made again when a peer does not answer.
    pub(crate) fn leave(&mut self) {
        self.told = None;
        self.tasks.abort_all();
    }
}

/// Has a child look the name up. The child is killed when this is dropped.
async fn ask(program: PathBuf, lookup: &Lookup) -> Found {
    match answer_of(program, lookup).await {
        Ok(found) => found,
        Err(error) => Found::Failed(format!("cannot run the lookup: {error}")),
    }
}

async fn answer_of(program: PathBuf, lookup: &Lookup) -> std::io::Result<Found> {
    let mut child = Command::new(program)
        .args(resolve::arguments(&lookup.host, lookup.family))
        // Ours is the mark of scripts.
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut text = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(MAX_ANSWER).read_to_end(&mut text).await?;
    }
    child.wait().await?;
    found_in(&text)
}

/// What a child has written.
pub(crate) fn found_in(text: &[u8]) -> std::io::Result<Found> {
    serde_json::from_slice(text).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use connect_ipc::lookup::Family;

    use super::*;

    fn script(directory: &Path, text: &str) -> PathBuf {
        let file = directory.join("resolve");
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        file
    }

    fn lookup(number: u64) -> Lookup {
        Lookup {
            number,
            host: "hub.example.com".to_owned(),
            family: Family::Inet,
        }
    }

    fn found(input: Input) -> Found {
        match input {
            Input::Said(said) => match said.into_iter().next() {
                Some(FromScripts::LookedUp(answer)) => answer.found,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_child_is_given_the_name_and_its_answer_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let text =
            r#"[ "$*" = "resolve INET hub.example.com" ] && echo '{"addresses":["192.0.2.7"]}'"#;
        let (told, mut answers) = mpsc::channel(8);
        let mut lookups = Lookups::by(script(directory.path(), text), told);
        lookups.begin(lookup(1));
        let expected = Found::Addresses(vec!["192.0.2.7".parse().unwrap()]);
        assert_eq!(found(answers.recv().await.unwrap()), expected);
    }

    #[tokio::test]
    async fn a_child_that_says_something_else_or_too_much_has_failed() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["echo no", "exit 3", "yes"] {
            let (told, mut answers) = mpsc::channel(8);
            let mut lookups = Lookups::by(script(directory.path(), text), told);
            lookups.begin(lookup(1));
            let answer = found(answers.recv().await.unwrap());
            assert!(matches!(answer, Found::Failed(_)), "{text}: {answer:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_does_not_answer_is_given_up_and_no_more_than_so_many_run_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let (told, mut answers) = mpsc::channel(8);
        let mut lookups = Lookups::by(script(directory.path(), "exec sleep 60"), told);
        for number in 0..=LOOKUPS as u64 {
            lookups.begin(lookup(number));
        }
        let busy = found(answers.recv().await.unwrap());
        let Found::Failed(why) = busy else {
            panic!("{busy:?}")
        };
        assert!(why.contains("already under way"), "{why}");
        for _ in 0..LOOKUPS {
            assert_eq!(found(answers.recv().await.unwrap()), resolve::unanswered());
        }
        lookups.leave();
        drop(lookups);
        assert!(answers.recv().await.is_none());
    }
}
