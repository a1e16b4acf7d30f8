// SPDX-License-Identifier: GPL-3.0-or-later
//! A helper that may open too few descriptors does not take a script that runs for one that has
//! ended.

use std::fs;

use anyhow::{Context as _, Result};
use connect_ipc::scripts::{Ended, ToScripts};
use rustix::process::{Resource, Signal, getrlimit, prlimit};

use crate::support::{Connection, Core, Gate, Helper, shell};

/// From one with which the helper cannot begin to one with which it has enough.
const LIMITS: std::ops::Range<u64> = 5..40;

/// What is told when descriptors are missing.
const TOLD: &str = "raise the limit of open files";

/// A helper was killed: one script runs, and one was just being started.
struct Bench {
    core: Core,
    gates: [Gate; 2],
    /// The runs of these scripts. A helper looks for a child by the number of its run, so no other
    /// process may have one of these.
    runs: [u64; 2],
}

impl Bench {
    async fn new(limit: u64) -> Result<Self> {
        let first = u64::from(std::process::id()) << 16 | limit << 4;
        let runs = [first, first + 1];
        let core = Core::new().await?;
        let mut helper = core.journalling(&[])?;
        let (mut connection, _) = core.accept().await?;
        connection.tell(&ToScripts::Ready {})?;
        let gates = [core.gate("gate-1")?, core.gate("gate-2")?];
        for ((number, peer), gate) in runs.into_iter().zip(["a", "b"]).zip(&gates) {
            let mark = core.path(&format!("ended-{number}"));
            let script = format!("{}; : >'{}'", gate.wait(), mark.display());
            connection.run(shell(number, peer, script))?;
            connection.started(number).await?;
        }
        helper.signal(Signal::KILL)?;
        helper.ended().await?;
        // As if it had been killed before it could note the second start.
        let journal = core.path("journal");
        for entry in fs::read_dir(journal)? {
            let path = entry?.path();
            if path.to_string_lossy().contains("journal-") {
                let text = fs::read_to_string(&path)?;
                let start = format!(r#"{{"started":{{"run":{}"#, runs[1]);
                let noted = text.find(&start).context("no start")?;
                fs::write(path, &text[..noted])?;
            }
        }
        Ok(Bench { core, gates, runs })
    }

    async fn open(&self) -> Result<()> {
        for gate in &self.gates {
            gate.open().await?;
        }
        Ok(())
    }

    /// Lets the scripts end. A script that follows one fails if that one has not ended.
    async fn check(&self, connection: &mut Connection) -> Result<()> {
        connection.tell(&ToScripts::Ready {})?;
        for (number, peer) in self.runs.into_iter().zip(["a", "b"]) {
            let mark = self.core.path(&format!("ended-{number}"));
            let script = format!("test -e '{}'", mark.display());
            connection.run(shell(number + 2, peer, script))?;
        }
        self.open().await?;
        for number in self.runs {
            assert_eq!(connection.end(number).await?, Ended::Lost, "{number}");
            assert_eq!(connection.end(number + 2).await?, Ended::Exited(0));
        }
        Ok(())
    }
}

/// Lets a helper open as many as we may.
fn raise(helper: &Helper) -> Result<()> {
    prlimit(
        Some(helper.pid()?),
        Resource::Nofile,
        getrlimit(Resource::Nofile),
    )?;
    Ok(())
}

#[tokio::test]
async fn a_script_that_cannot_be_looked_for_counts_as_running_until_it_can() -> Result<()> {
    let (mut refused, mut told, mut undisturbed) = (0, 0, 0);
    for limit in LIMITS {
        let bench = Bench::new(limit).await?;
        let mut helper = bench.core.limited_to(limit)?;
        let mut connection = tokio::select! {
            // So that it is seen even if the helper connects at once.
            biased;
            line = helper.logged(TOLD) => {
                if line.is_err() {
                    // It cannot even begin, and its supervisor tries again.
                    assert!(!helper.ended().await?.success());
                    bench.open().await?;
                    refused += 1;
                    continue;
                }
                told += 1;
                raise(&helper)?;
                bench.core.accept().await?.0
            }
            accepted = bench.core.accept() => {
                undisturbed += 1;
                raise(&helper)?;
                accepted?.0
            }
        };
        bench.check(&mut connection).await?;
    }
    assert!(
        refused > 0 && told > 0 && undisturbed > 0,
        "{refused} {told} {undisturbed}"
    );
    Ok(())
}
