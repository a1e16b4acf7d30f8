// SPDX-License-Identifier: GPL-3.0-or-later
//! Plays several runs at once, and gives what came of each to one place.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use super::work::{Outcome, Play, Runner, Work};

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) work: Work,
    pub(crate) outcome: Outcome,
    /// How long it took, in processor time.
    pub(crate) took: Duration,
}

/// What is made of each run that is over, in the order in which they end.
pub(crate) trait Sink {
    /// A run is over.
    ///
    /// # Errors
    /// If nothing can be made of it; then no more are begun.
    fn take(&mut self, done: Done) -> Result<ControlFlow<()>>;

    /// A second has passed in which no run has ended.
    fn wait(&mut self) {}
}

impl<F: FnMut(Done) -> Result<ControlFlow<()>>> Sink for F {
    fn take(&mut self, done: Done) -> Result<ControlFlow<()>> {
        self(done)
    }
}

/// How long the end of a run is waited for at a time.
const WAIT: Duration = Duration::from_secs(1);

/// Plays all of the work, so many runs at once, until the sink breaks off or fails.
///
/// # Errors
/// Of the sink, or if a run could not be played.
pub(crate) fn play<R: Runner>(
    work: &mut (dyn Iterator<Item = Work> + Send),
    jobs: usize,
    play: &Play,
    runner: &(dyn Fn() -> R + Sync),
    sink: &mut dyn Sink,
) -> Result<()> {
    let work = Mutex::new(work);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(jobs);
        for _ in 0..jobs {
            let send = send.clone();
            let (work, is_over) = (&work, &is_over);
            scope.spawn(move || {
                let mut runner = runner();
                while !is_over.load(Ordering::Relaxed)
                    && let Some(work) = next(work)
                    && send.send(timed(&mut runner, work, play)).is_ok()
                {}
            });
        }
        drop(send);
        let mut taken = Ok(());
        // What is being played when it is enough is judged still.
        loop {
            let done = match receive.recv_timeout(WAIT) {
                Ok(done) => done,
                Err(RecvTimeoutError::Timeout) => {
                    sink.wait();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            match done.and_then(|done| sink.take(done)) {
                Ok(ControlFlow::Continue(())) => continue,
                Ok(ControlFlow::Break(())) => {}
                Err(error) => taken = taken.and(Err(error)),
            }
            is_over.store(true, Ordering::Relaxed);
        }
        taken
    })
}

fn next(work: &Mutex<&mut (dyn Iterator<Item = Work> + Send)>) -> Option<Work> {
    // A list is good whoever has panicked meanwhile.
    let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
    work.next()
}

fn timed(runner: &mut impl Runner, work: Work, play: &Play) -> Result<Done> {
    let before = runner.processor_time();
    let outcome = runner.run(&work, play)?;
    Ok(Done {
        work,
        outcome,
        took: runner.processor_time().saturating_sub(before),
    })
}
