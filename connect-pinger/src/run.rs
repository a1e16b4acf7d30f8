// SPDX-License-Identifier: GPL-3.0-or-later
//! The process around the state machine: its connection to core, its clock and its signals.
//!
//! ```text
//!   core --LinkEvent--> [this loop] --Input--> Machine
//!   core <-FromPinger-- [this loop] <-Output-- Machine
//! ```

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use connect_ipc::pinger::{FromPinger, ToPinger};
use connect_runtime::clock;
use connect_runtime::deadline::Deadline;
use connect_runtime::helper::{self, HelperOptions};
use connect_runtime::helper_link::{HelperLink, LinkEvent};
use connect_runtime::line_queue::log_lines_lost;
use connect_runtime::notifier::Notifier;
use connect_runtime::signals::EndSignals;

use crate::machine::{Input, Machine, Output};

/// Liveness helper of the connect service: decides when peers are pinged.
#[derive(Debug, Parser)]
#[command(name = "connect-pinger", version, max_term_width = 80)]
struct Options {
    #[command(flatten)]
    helper: HelperOptions,
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse().helper;
    helper::run("connect-pinger", &options, work(options.clone()))
}

/// Serves one core after the other until a signal ends the process.
async fn work(options: HelperOptions) -> anyhow::Result<()> {
    let core = options.core()?;
    let mut signals = EndSignals::catch().context("cannot catch signals")?;
    let mut notifier = Notifier::from_environment();
    let timer = || Deadline::new().context("cannot create a timer");
    let (mut pings, mut watchdog) = (timer()?, timer()?);
    let mut link: HelperLink<ToPinger> = HelperLink::new(core);
    let mut machine = Machine::default();
    let mut out = Vec::new();
    // How many lost lines of the log were reported to this core.
    let mut lost_told = 0;
    // Ready from the beginning: to wait for core is a normal state.
    notifier.ready();
    loop {
        notifier.status(link.status());
        pings.set(machine.next_deadline());
        watchdog.set(notifier.feeding_time());
        let mut next = tokio::select! {
            event = link.next() => Some(event),
            () = pings.passed() => None,
            () = watchdog.passed() => None,
            _ = signals.next() => break,
        };
        notifier.feed();
        let now = clock::now();
        // Everything that has arrived is handled in one turn, so that the answers go out in one
        // write as well.
        while let Some(event) = next {
            let input = match event {
                LinkEvent::Connected => {
                    lost_told = 0;
                    Input::CoreConnected {}
                }
                LinkEvent::Message(message) => Input::Core(message),
                LinkEvent::Malformed(fault) => Input::Malformed(fault),
                LinkEvent::Lost => Input::CoreLost {},
            };
            machine.handle(input, now, &mut out);
            next = link.ready();
        }
        machine.handle(Input::Time {}, now, &mut out);
        for Output::ToCore(message) in out.drain(..) {
            link.put(&message);
        }
        let lost = log_lines_lost();
        if lost != lost_told && link.put(&FromPinger::LogLost(lost)) {
            lost_told = lost;
        }
        link.flush();
    }
    notifier.stopping();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_manual_page_names_every_option_and_no_other() {
        let page = include_str!("../../man/connect-pinger.8");
        let found = house::manual::disagreements(Options::command(), page, &[]);
        assert_eq!(found, [""; 0]);
    }
}
