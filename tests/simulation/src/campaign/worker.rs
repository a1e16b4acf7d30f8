// SPDX-License-Identifier: GPL-3.0-or-later
//! Runs in processes of their own, so that a panic ends one run and not the campaign.
//!
//! ```text
//!   campaign, a thread for each worker --order--> worker process
//!                                      <--answer--
//! ```

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use simulation::plan::{HostId, Plan};
use simulation::promise::{Broken, Promise};

use super::work::{Here, Outcome, Play, Runner, Work};

/// The argument that makes this program a worker.
pub(crate) const TASK: &str = "worker";

/// What a worker is to play, as a line.
#[derive(Debug, Deserialize, Serialize)]
struct Order {
    work: Work,
    play: Play,
}

/// What a worker answers, as a line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    /// It was played.
    Played {
        outcome: Outcome,
        /// The processor time of this.
        took: Duration,
    },
    /// It could not be played.
    Failed(String),
    /// Something panicked, and the worker has ended.
    Panicked(String),
}

/// Plays what is read, until there is no more.
///
/// # Errors
/// If an order cannot be read or an answer cannot be written.
pub(crate) fn serve() -> Result<()> {
    // Some profiles abort at a panic, so it is told from inside, and the process ends in either.
    std::panic::set_hook(Box::new(|panic| {
        let answer = Answer::Panicked(panic.to_string());
        if let Ok(text) = serde_json::to_string(&answer) {
            println!("{text}");
        }
        std::process::exit(101);
    }));
    for line in std::io::stdin().lock().lines() {
        let before = Here.processor_time();
        let order: Order = serde_json::from_str(&line?).context("cannot read an order")?;
        let answer = match Here.run(&order.work, &order.play) {
            Ok(outcome) => Answer::Played {
                outcome,
                took: Here.processor_time().saturating_sub(before),
            },
            Err(error) => Answer::Failed(format!("{error:#}")),
        };
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

/// What comes of asking a worker.
enum Asked {
    Answered(Answer),
    /// It has ended without a word.
    Ended,
    /// It took longer than it may.
    TooLong,
}

/// A worker that runs.
#[derive(Debug)]
struct Worker {
    child: Child,
    orders: ChildStdin,
    /// The lines that it writes.
    answers: Receiver<String>,
}

/// How long a run may take by the clock; a longer one has no end.
const LIMIT: Duration = Duration::from_secs(3_600);

/// How much longer for each peer and year of a long run, which takes about four seconds.
const PEER_YEAR: Duration = Duration::from_secs(120);

/// By how much the limit of a run is longer.
fn extra(plan: &Plan) -> Duration {
    let hosts = plan.site.hosts.iter();
    let peers: usize = hosts.map(|host| host.records.len()).sum();
    let years = plan.until.0 / (365 * 86_400 * 1_000_000_000);
    let peer_years = u32::try_from(years).unwrap_or(u32::MAX);
    PEER_YEAR
        * u32::try_from(peers)
            .unwrap_or(u32::MAX)
            .saturating_mul(peer_years)
}

/// Reads the lines of a worker.
#[expect(
    clippy::disallowed_methods,
    reason = "a pipe cannot be read with a time limit; the thread ends with the worker"
)]
fn lines(output: ChildStdout) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(output).lines();
        let mut lines = lines.map_while(Result::ok);
        lines.all(|line| send.send(line).is_ok());
    });
    receive
}

impl Worker {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a worker")?;
        let orders = child.stdin.take().context("a worker has no input")?;
        let answers = child.stdout.take().context("a worker has no output")?;
        Ok(Worker {
            child,
            orders,
            answers: lines(answers),
        })
    }

    /// What it answers within `limit`. If that is over, it is ended.
    fn ask(&mut self, order: &Order, limit: Duration) -> Result<Asked> {
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        if self.orders.write_all(line.as_bytes()).is_err() {
            return Ok(Asked::Ended);
        }
        match self.answers.recv_timeout(limit) {
            Ok(line) => Ok(Asked::Answered(
                serde_json::from_str(&line).context("cannot read what a worker answers")?,
            )),
            Err(RecvTimeoutError::Disconnected) => Ok(Asked::Ended),
            Err(RecvTimeoutError::Timeout) => {
                self.child.kill().context("cannot end a worker")?;
                Ok(Asked::TooLong)
            }
        }
    }

    /// Waits for its end, and says how that was.
    fn end(mut self) -> String {
        drop(self.orders);
        match self.child.wait() {
            Ok(status) => format!("the process of the run has ended: {status}"),
            Err(error) => format!("the process of the run cannot be waited for: {error}"),
        }
    }
}

/// Plays in a process of its own, which is started when it is needed.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    worker: Option<Worker>,
    processor_time: Duration,
    /// How long a run may take by the clock.
    limit: Duration,
    /// What a shell does in place of this program, in tests.
    script: Option<String>,
}

impl Default for Elsewhere {
    fn default() -> Self {
        Elsewhere {
            worker: None,
            processor_time: Duration::ZERO,
            limit: LIMIT,
            script: None,
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.end();
        }
    }
}

/// What came of an order.
enum Came {
    /// It was played, or something in it panicked.
    Out(Outcome),
    /// The process has ended without a word; how.
    Ended(String),
    /// It took longer than it may.
    TooLong,
}

impl Elsewhere {
    /// What a worker is started with.
    fn command(&self) -> Result<Command> {
        if let Some(script) = &self.script {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            return Ok(command);
        }
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        command.arg(TASK);
        Ok(command)
    }

    /// Has a process play this for at most so long.
    fn order(&mut self, work: &Work, play: &Play, limit: Duration) -> Result<Came> {
        let order = Order {
            work: work.clone(),
            play: play.clone(),
        };
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(self.command()?)?,
        };
        Ok(match worker.ask(&order, limit)? {
            Asked::Answered(Answer::Played { outcome, took }) => {
                self.processor_time += took;
                self.worker = Some(worker);
                Came::Out(outcome)
            }
            Asked::Answered(Answer::Failed(why)) => {
                self.worker = Some(worker);
                return Err(anyhow::Error::msg(why));
            }
            Asked::Answered(Answer::Panicked(text)) => {
                worker.end();
                Came::Out(panicked(work, text))
            }
            Asked::Ended => Came::Ended(worker.end()),
            Asked::TooLong => {
                worker.end();
                Came::TooLong
            }
        })
    }

    /// What came of a run; nothing, if it took longer than it may. A process that has ended without
    /// a word may have been ended by somebody, so its run is played once more: only one that ends
    /// so again has failed.
    fn play(&mut self, work: &Work, play: &Play, limit: Duration) -> Result<Option<Outcome>> {
        for is_again in [false, true] {
            match self.order(work, play, limit)? {
                Came::Out(outcome) => {
                    if is_again {
                        eprintln!("{}: this was not repeated", work.name());
                    }
                    return Ok(Some(outcome));
                }
                Came::TooLong => return Ok(None),
                Came::Ended(how) if is_again => return Ok(Some(panicked(work, how))),
                Came::Ended(how) => eprintln!("{}: {how}; it is played again", work.name()),
            }
        }
        Ok(None)
    }
}

/// Of a run in which something panicked. Nobody knows at which instant it was.
fn panicked(work: &Work, text: String) -> Outcome {
    let until = work.plan().until;
    let broken = Broken {
        promise: Promise::NoPanic,
        at: until,
        host: HostId(0),
        text,
    };
    Outcome {
        summary: None,
        broken: Some(broken),
        until,
    }
}

impl Runner for Elsewhere {
    fn run(&mut self, work: &Work, play: &Play) -> Result<Outcome> {
        let limit = self.limit + extra(&work.plan());
        let outcome = self.play(work, play, limit)?;
        Ok(outcome.unwrap_or_else(|| {
            let seconds = limit.as_secs();
            panicked(
                work,
                format!("the run has no end: it took more than {seconds} s"),
            )
        }))
    }

    fn run_within(&mut self, work: &Work, play: &Play, limit: Duration) -> Result<Option<Outcome>> {
        self.play(work, play, limit)
    }

    fn processor_time(&self) -> Duration {
        self.processor_time
    }
}

#[cfg(test)]
mod tests {
    use simulation::plan::Profile;

    use super::super::shape::Shape;
    use super::super::tests::alone;
    use super::*;

    /// What comes of a run whose worker reads the order and then does this.
    fn play(script: &str, limit: Duration) -> Result<Outcome> {
        let _alone = alone();
        let mut elsewhere = Elsewhere::default();
        elsewhere.limit = limit;
        elsewhere.script = Some(format!("read order; {script}"));
        let work = Work::Seed(Shape::mixed(1, Profile::Storm));
        elsewhere.run(&work, &Play::default())
    }

    fn says(answer: &Answer) -> String {
        format!("echo '{}'", serde_json::to_string(answer).unwrap())
    }

    /// What a worker answers that has played a run which broke nothing.
    fn played() -> (Answer, Outcome) {
        let outcome = Outcome {
            summary: None,
            broken: None,
            until: simulation::instant::Instant(3),
        };
        let answer = Answer::Played {
            outcome: outcome.clone(),
            took: Duration::ZERO,
        };
        (answer, outcome)
    }

    #[test]
    fn an_end_without_a_word_that_is_not_repeated_breaks_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("mark");
        let mark = mark.display();
        let (answer, outcome) = played();
        let script = format!(
            "[ -e '{mark}' ] || {{ : >'{mark}'; kill $$; }}; {}",
            says(&answer)
        );
        assert_eq!(play(&script, LIMIT).unwrap(), outcome);
    }

    #[test]
    fn a_panic_or_an_end_without_a_word_breaks_it() {
        let answer = serde_json::to_string(&Answer::Panicked("made up".to_owned())).unwrap();
        let broken = |script: &str| play(script, LIMIT).unwrap().broken.unwrap();
        let panicked = broken(&format!("echo '{answer}'; exit 101"));
        assert_eq!(panicked.promise, Promise::NoPanic);
        assert_eq!(panicked.text, "made up");
        let killed = broken("kill -9 $$");
        assert_eq!(killed.promise, Promise::NoPanic);
        assert!(killed.text.contains("signal: 9"), "{}", killed.text);
    }

    #[test]
    fn a_run_without_end_breaks_it_and_is_ended() {
        let outcome = play("exec sleep 3600", Duration::from_millis(50)).unwrap();
        let broken = outcome.broken.unwrap();
        assert_eq!(broken.promise, Promise::NoPanic);
        assert!(broken.text.contains("no end"), "{}", broken.text);
    }

    #[test]
    fn what_was_played_or_could_not_be_keeps_it() {
        let (answer, outcome) = played();
        assert_eq!(play(&says(&answer), LIMIT).unwrap(), outcome);
        let failed = Answer::Failed("no room".to_owned());
        let error = play(&says(&failed), LIMIT).unwrap_err();
        assert_eq!(error.to_string(), "no room");
    }
}
