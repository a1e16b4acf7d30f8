// SPDX-License-Identifier: GPL-3.0-or-later
//! The process round the state machine: its connection to core, its clock and its signals.
//!
//! ```text
//!   core --ToPinger--> [this loop] --Input--> Machine
//!   core <-FromPinger- [this loop] <-Output-- Machine
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use connect_ipc::hello::{Hello, Role};
use connect_ipc::pinger::{FromPinger, ToPinger};
use connect_runtime::alarm::Alarm;
use connect_runtime::clock;
use connect_runtime::exit::{Exit, Fatal, finish};
use connect_runtime::logging::{self, LogOptions};
use connect_runtime::notifier::Notifier;
use connect_runtime::parent::end_with_parent;
use connect_runtime::paths::{self, RuntimeDir};
use connect_runtime::transport::{self, HELPER_BACKLOG, ReceiveError, SendError, Sender};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::machine::{Input, Machine, Output};

/// The first pause before core is tried again, so short that a restarted core misses nothing.
const FIRST_RETRY: Duration = Duration::from_millis(50);

/// The longest pause before core is tried again: soon enough for people, and no load at all.
const LAST_RETRY: Duration = Duration::from_secs(2);

/// How long core may take over its hello: it answers within one turn of its loop, so it is stuck
/// when it takes longer.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// Liveness helper of the connect service: decides when peers are pinged.
#[derive(Debug, Parser)]
#[command(name = "connect-pinger", version)]
struct Options {
    /// Core's socket for helpers; by default helpers.sock in the runtime directory.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The directory of the service's own sockets.
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// End together with the process of this number, which must be the one that starts this.
    #[arg(long, value_name = "PID", hide = true)]
    parent: Option<i32>,
    #[command(flatten)]
    log: LogOptions,
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    finish("connect-pinger", start(&Options::parse()))
}

fn start(options: &Options) -> Result<Exit, Fatal> {
    logging::init(&options.log).map_err(|error| Fatal::new(Exit::Usage, error))?;
    if let Some(parent) = options.parent {
        end_with_parent(parent).map_err(|error| Fatal::new(Exit::Unavailable, error))?;
    }
    let socket = options.socket.clone().unwrap_or_else(|| {
        let admin = paths::admin_socket(None, &paths::directory(None));
        RuntimeDir::find(options.runtime_dir.as_deref(), &admin).helpers_socket()
    });
    // The work is a task of the runtime and not the future that the runtime is started with: that one
    // is woken through a file descriptor even from its own thread, which costs two system calls.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")
        .map_err(|error| Fatal::new(Exit::System, error))?;
    runtime
        .block_on(async { tokio::spawn(work(socket)).await })
        .context("the loop broke off")
        .and_then(std::convert::identity)
        .map_err(|error| Fatal::new(Exit::System, error))?;
    Ok(Exit::Success)
}

/// Serves one core after the other until a signal ends the process.
async fn work(socket: PathBuf) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut machine = Machine::default();
    let notifier = Mutex::new(Notifier::from_environment());
    // Ready from the beginning: to wait for core is as good a state as any.
    locked(&notifier).ready();
    let serve = async {
        let mut pause = FIRST_RETRY;
        let mut last_failure = String::new();
        loop {
            locked(&notifier).status("waiting for core");
            match serve_core(&socket, &mut machine, &notifier).await {
                Ok(()) => {
                    tracing::warn!("core closed the connection; waiting for it to come back");
                    (pause, last_failure) = (FIRST_RETRY, String::new());
                }
                Err(error) => {
                    // Said once for each kind of failure, however often it repeats.
                    let failure = format!("{error:#}");
                    if failure != last_failure {
                        tracing::warn!(socket = %socket.display(), "cannot serve core: {failure}; trying on");
                        last_failure = failure;
                    }
                }
            }
            machine.handle(Input::CoreLost {}, clock::now(), &mut Vec::new());
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    };
    let mut serve = std::pin::pin!(serve);
    let feed = Alarm::new().context("cannot have a timer")?;
    let mut set = None;
    loop {
        let feeding = locked(&notifier).feeding_time();
        if let Some(feeding) = feeding
            && set != Some(feeding)
        {
            feed.set(feeding).context("cannot set a timer")?;
        }
        set = feeding;
        tokio::select! {
            () = &mut serve => break,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // On the same task as the work: a turn that does not end starves the watchdog.
            rung = feed.rings(), if set.is_some() => {
                rung.context("cannot wait for a timer")?;
                set = None;
                locked(&notifier).feed();
            }
        }
    }
    locked(&notifier).stopping();
    Ok(())
}

/// The notifier. It is one task's alone, which may run on any thread as far as the compiler knows.
fn locked(notifier: &Mutex<Notifier>) -> MutexGuard<'_, Notifier> {
    // Nothing that holds the lock can panic half-way.
    notifier.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves one connection to its end.
async fn serve_core(
    socket: &std::path::Path,
    machine: &mut Machine,
    notifier: &Mutex<Notifier>,
) -> anyhow::Result<()> {
    let stream = transport::connect(socket).await?;
    let (mut receiver, sender) = transport::split(stream, HELPER_BACKLOG)?;
    sender.send(&Hello::new(Role::Pinger))?;
    let hello: Hello = timeout(HELLO_LIMIT, receiver.next())
        .await
        .context("core did not say hello")??
        .context("core closed the connection without a hello")?;
    hello.check(&[Role::Core])?;
    let mut out = Vec::new();
    machine.handle(Input::CoreConnected {}, clock::now(), &mut out);
    deliver(&sender, &mut out)?;

    let mut accepted = false;
    let alarm = Alarm::new().context("cannot have a timer")?;
    let mut set = None;
    loop {
        let due = machine.next_deadline();
        if let Some(due) = due
            && set != Some(due)
        {
            alarm.set(due).context("cannot set a timer")?;
        }
        set = due;
        let received = tokio::select! {
            received = receiver.next() => Some(received),
            rung = alarm.rings(), if set.is_some() => {
                rung.context("cannot wait for a timer")?;
                // It rings once for each setting.
                set = None;
                None
            }
        };
        let now = clock::now();
        let mut next = match received {
            None => None,
            Some(Ok(None)) if accepted => return Ok(()),
            Some(Ok(None)) => anyhow::bail!("core closed the connection after the hello"),
            Some(received) => Some(received),
        };
        // Everything that has arrived is taken in one turn, so that the answers go out in one
        // write as well.
        while let Some(received) = next {
            match received {
                // Said before anything else, it is why core does not want us.
                Ok(Some(ToPinger::Error(refusal))) if !accepted => {
                    anyhow::bail!("core says: {refusal}");
                }
                Ok(Some(message)) => {
                    if !std::mem::replace(&mut accepted, true) {
                        tracing::info!(version = %hello.version, "serving core");
                        let status = format!("serving core {}", hello.version);
                        locked(notifier).status(&status);
                    }
                    machine.handle(Input::Core(message), now, &mut out);
                }
                Ok(None) => break,
                Err(ReceiveError::Frame(error)) => {
                    machine.handle(Input::Malformed(error.to_string()), now, &mut out);
                }
                Err(error @ ReceiveError::Io(_)) => return Err(error.into()),
            }
            next = Some(receiver.ready());
        }
        machine.handle(Input::Time {}, now, &mut out);
        deliver(&sender, &mut out)?;
    }
}

/// Sends what the machine has put out, in one write.
fn deliver(sender: &Sender, out: &mut Vec<Output>) -> Result<(), SendError> {
    for Output::ToCore(message) in out.drain(..) {
        if let FromPinger::Error(error) = &message {
            tracing::warn!(error, "core sent a message that makes no sense");
        }
        sender.put(&message)?;
    }
    sender.flush();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_manual_page_names_every_option_and_no_other() {
        let page = include_str!("../../man/connect-pinger.8");
        let found = connect_runtime::manual::disagreements(Options::command(), page, &[]);
        assert_eq!(found, [""; 0]);
    }
}
