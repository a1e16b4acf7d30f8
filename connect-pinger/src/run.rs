// SPDX-License-Identifier: GPL-3.0-or-later
//! The process round the state machine: its connection to core, its clock and its signals.
//!
//! ```text
//!   core --ToPinger--> [this loop] --handle, tick--> Machine
//!   core <-FromPinger- [this loop] <----Outputs----- Machine
//! ```

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use connect_daemon::exit::{Exit, Fatal, finish};
use connect_daemon::logging::{self, LogOptions};
use connect_daemon::notifier::Notifier;
use connect_daemon::parent::end_with_parent;
use connect_daemon::places::{self, RuntimeDir};
use connect_ipc::clock::Monotonic;
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::hello::{Hello, Role};
use connect_ipc::pinger::{FromPinger, ToPinger};
use connect_ipc::transport::{self, HELPER_BACKLOG, ReceiveError, SendError, Sender};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use crate::machine::{Machine, Outputs};

/// The first pause before core is tried again, so short that a restarted core misses nothing.
const FIRST_RETRY: Duration = Duration::from_millis(50);

/// The longest pause before core is tried again: soon enough for people, and no load at all.
const LAST_RETRY: Duration = Duration::from_secs(2);

/// How long core may take over its hello: it answers within one turn of its loop, so it is stuck
/// when it takes longer.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// Liveness helper of the connect service: decides when peers are pinged and what results mean.
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
        let admin = places::admin_socket(None, &places::directory(None));
        RuntimeDir::find(options.runtime_dir.as_deref(), &admin).helpers_socket()
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")
        .map_err(|error| Fatal::new(Exit::System, error))?;
    runtime
        .block_on(work(socket))
        .map_err(|error| Fatal::new(Exit::System, error))?;
    Ok(Exit::Success)
}

/// Serves one core after the other until a signal ends the process.
async fn work(socket: PathBuf) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut machine = Machine::default();
    let notifier = RefCell::new(Notifier::from_environment());
    // Ready from the beginning: to wait for core is as good a state as any.
    notifier.borrow_mut().ready();
    let serve = async {
        let mut pause = FIRST_RETRY;
        let mut last_failure = String::new();
        loop {
            notifier.borrow_mut().status("waiting for core");
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
            machine.core_lost();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    };
    let mut serve = std::pin::pin!(serve);
    loop {
        let feeding = notifier.borrow().feeding_time().map(Instant::from_std);
        tokio::select! {
            () = &mut serve => break,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // On the same task as the work: a turn that does not end starves the watchdog.
            () = sleep_until(feeding.unwrap_or_else(Instant::now)), if feeding.is_some() => {
                notifier.borrow_mut().feed();
            }
        }
    }
    notifier.borrow_mut().stopping();
    Ok(())
}

/// Serves one connection to its end.
async fn serve_core(
    socket: &std::path::Path,
    machine: &mut Machine,
    notifier: &RefCell<Notifier>,
) -> anyhow::Result<()> {
    let stream = transport::connect(socket).await?;
    let (mut receiver, sender) = transport::split(stream, HELPER_BACKLOG);
    sender.send(&Hello::new(Role::Pinger))?;
    let hello: Hello = timeout(HELLO_LIMIT, receiver.next())
        .await
        .context("core did not say hello")??
        .context("core closed the connection without a hello")?;
    hello.check(&[Role::Core])?;
    for known in machine.hand_over().chunks(ITEMS_PER_FRAME) {
        sender.send(&FromPinger::Resume(known.to_vec()))?;
    }
    sender.send(&FromPinger::Resume(Vec::new()))?;

    let mut accepted = false;
    let mut out = Outputs::default();
    loop {
        let wake = machine
            .next_deadline()
            .map(|deadline| Instant::now() + deadline.since(Monotonic::now()));
        let received = tokio::select! {
            received = receiver.next() => Some(received),
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => None,
        };
        let now = Monotonic::now();
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
                        notifier.borrow_mut().status(&status);
                    }
                    machine.handle(message, now, &mut out);
                }
                Ok(None) => break,
                Err(ReceiveError::Frame(error)) => out.errors.push(error.to_string()),
                Err(error @ ReceiveError::Io(_)) => return Err(error.into()),
            }
            next = Some(receiver.ready());
        }
        machine.tick(now, &mut out);
        deliver(&sender, &mut out)?;
    }
}

/// Sends what the machine has put out, in frames of bounded size.
fn deliver(sender: &Sender, out: &mut Outputs) -> Result<(), SendError> {
    for verdicts in out.verdicts.chunks(ITEMS_PER_FRAME) {
        sender.send(&FromPinger::Verdicts(verdicts.to_vec()))?;
    }
    for orders in out.orders.chunks(ITEMS_PER_FRAME) {
        sender.send(&FromPinger::Ping(orders.to_vec()))?;
    }
    for error in out.errors.drain(..) {
        tracing::warn!("a message that makes no sense: {error}");
        sender.send(&FromPinger::Error(error))?;
    }
    out.verdicts.clear();
    out.orders.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_manual_page_names_every_option_and_no_other() {
        let page = include_str!("../../man/connect-pinger.8");
        let found = connect_daemon::manual::disagreements(Options::command(), page, &[]);
        assert_eq!(found, [""; 0]);
    }
}
