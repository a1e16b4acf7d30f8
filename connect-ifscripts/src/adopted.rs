// SPDX-License-Identifier: GPL-3.0-or-later
//! Children that an earlier helper had started: finding them, and the task that watches one.
//!
//! ```text
//!   service --Order--> [watch] <--- exit of the process
//!           <--Event::Gone--
//! ```
//!
//! Their pipes went with that helper, and their status goes to another process: all there is to
//! know is when they end.

use std::io;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::scripts::Child;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use tokio::sync::{mpsc, watch};

use crate::birth;
use crate::child::{Event, Order, Orders};
use crate::pidfd::Watched;

/// Looks for a child and begins to watch it; also says how old it is. `None` if it has ended.
///
/// # Errors
/// What the system says if it refuses to let the child be watched.
pub(crate) fn find(child: Child) -> io::Result<Option<(Watched, Duration)>> {
    let Some(pid) = Pid::from_raw(child.pid).filter(|_| child.pid > 1) else {
        return Ok(None);
    };
    let watched = match Watched::new(pid) {
        Ok(watched) => watched,
        Err(error) => {
            return match Errno::from_io_error(&error) {
                // There is none, or the number is that of a thread, which no child of a helper is.
                Some(Errno::SRCH | Errno::INVAL | Errno::NOENT) => Ok(None),
                _ => Err(error),
            };
        }
    };
    // The birth is looked at after the process is held fast by its descriptor: if it is the right
    // one now, the descriptor is the right one's too.
    if child.birth == 0 || birth::of(child.pid) != Some(child.birth) {
        return Ok(None);
    }
    Ok(Some((watched, birth::age(child.birth))))
}

/// Watches a child until it ends.
pub(crate) async fn watch(
    run: RunId,
    watched: Watched,
    orders: watch::Receiver<Order>,
    events: mpsc::Sender<Event>,
) {
    let mut orders = Orders(orders);
    loop {
        tokio::select! {
            biased;
            () = watched.ended() => break,
            order = orders.next() => match order {
                // The process was there a moment ago, and even a number that was given back is not
                // given out again before all others were.
                Order::Terminate => watched.signal_group(Signal::TERM),
                Order::Kill => watched.signal_group(Signal::KILL),
                Order::Attend | Order::LetGo => {}
            },
        }
    }
    // The service ends only with the whole process.
    let _ = events.send(Event::Gone { run }).await;
}
