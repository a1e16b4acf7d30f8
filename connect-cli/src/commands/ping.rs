// SPDX-License-Identifier: GPL-3.0-or-later
//! `ping`: has the service ping a peer now, once or several times.

use std::io;
use std::time::Duration;

use clap::Args;
use connect_ipc::control::{Reply, Request};
use connect_ipc::pinger::{PingOutcome, PingResult};
use connect_ipc::statistics::PingStatistics;
use connect_runtime::clock;
use connect_runtime::exit::Exit;
use serde::Serialize;
use tripe_admin::Interval;

use crate::client::connection::{Control, ControlError};
use crate::common::{Common, Pace};
use crate::completing;
use crate::error::Error;
use crate::interrupt::until_unread;
use crate::output::paint::Paint;
use crate::output::report::{CommandReport, PingReport};
use crate::output::text;
use crate::output::{Output, SCHEMA};

/// Ping a peer now, as checks do
#[derive(Args, Debug)]
#[command(after_help = "\
    The service makes the next check of the peer at once. So each ping counts in its statistics, \
    and one that is not answered is a failed attempt. If a ping of the peer is already under \
    way, the command waits for its result and sends no other. For a peer that the service does \
    not ping, use `connect-cli admin PING PEER'.\n\n\
    The exit code is 0 if a reply came, and 1 if none did or nothing could be sent.\n\n\
    Examples:\n\
    \x20 connect-cli ping alice\n\
    \x20 connect-cli ping -c 5 alice\n\
    \x20 connect-cli ping -c 0 -i 5 alice")]
pub(crate) struct Ping {
    /// How often; 0 goes on until interrupted.
    #[arg(short, long, value_name = "NUMBER", default_value = "1")]
    count: u32,
    /// The time from one ping to the next.
    #[arg(short, long, value_name = "TIME", default_value = "1s")]
    interval: Interval,
    /// Print JSON, an object a line.
    #[arg(long)]
    json: bool,
    /// The peer's name.
    #[arg(add = completing::peers())]
    peer: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct EchoReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// The peer's name.
    peer: &'a str,
    /// Which ping, from 1.
    number: u32,
    /// The round trip; `null` if no reply came in time.
    millis: Option<f64>,
    /// Seconds that a reply may take.
    timeout: u32,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct TotalReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// The peer's name.
    peer: &'a str,
    /// The figures of these pings.
    ping: PingReport,
}

impl Ping {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        // A peer may take its time, and decides itself how much of it.
        let mut control = common.control(Pace::Slow).await?;
        let mut figures = PingStatistics::default();
        let pinging = self.ping(&mut control, &mut figures, &mut common.out);
        let ended = if self.count == 1 {
            pinging.await
        } else {
            // An interruption is a usual end, after which the figures are shown.
            until_unread(pinging).await
        };
        ended?;
        if self.count != 1 {
            self.show_total(&figures, &mut common.out)?;
        }
        Ok(if figures.replies > 0 {
            Exit::Success
        } else {
            Exit::Failure
        })
    }

    async fn ping(
        &self,
        control: &mut Control,
        figures: &mut PingStatistics,
        out: &mut Output,
    ) -> Result<Exit, Error> {
        let interval = Duration::from_secs(self.interval.seconds().max(1).into());
        let mut number = 0;
        loop {
            let next = clock::now() + interval;
            number += 1;
            let outcome = match ask(control, &self.peer).await? {
                Ok(outcome) => outcome,
                Err(failure) => return self.refused(failure, out),
            };
            match outcome.result {
                PingResult::Reply(millis) => figures.record_reply(millis),
                _ => figures.record_loss(),
            }
            self.show(number, outcome, out)?;
            if number == self.count {
                return Ok(Exit::Success);
            }
            tokio::time::sleep(next.since(clock::now())).await;
        }
    }

    /// Tells why the peer is not pinged.
    fn refused(&self, failure: Vec<String>, out: &mut Output) -> Result<Exit, Error> {
        if self.json {
            let command = ["ping".to_owned(), self.peer.clone()];
            out.json_line(&CommandReport::new(&command, &[], Some(&failure)))?;
        }
        Err(Error::Failed(failure))
    }

    fn show(&self, number: u32, outcome: PingOutcome, out: &mut Output) -> io::Result<()> {
        let PingOutcome { result, timeout } = outcome;
        let millis = match result {
            PingResult::Reply(millis) => Some(millis),
            _ => None,
        };
        if self.json {
            return out.json_line(&EchoReport {
                schema: SCHEMA,
                peer: &self.peer,
                number,
                millis,
                timeout,
            });
        }
        let peer = text::clean(&self.peer);
        let line = match millis {
            Some(_) => (
                format!("{peer}: reply in {}", text::millis(millis)),
                Paint::Plain,
            ),
            None => {
                let limit = text::span(timeout.into());
                (format!("{peer}: no reply within {limit}"), Paint::Bad)
            }
        };
        out.painted_flushed(&line)
    }

    /// The figures of all pings.
    fn show_total(&self, figures: &PingStatistics, out: &mut Output) -> io::Result<()> {
        let pings = figures.replies + figures.lost;
        if self.json {
            return out.json_line(&TotalReport {
                schema: SCHEMA,
                peer: &self.peer,
                ping: figures.into(),
            });
        }
        let mut line = format!(
            "{}, {} answered, {} lost",
            text::count(pings, "ping"),
            figures.replies,
            text::percent(figures.loss())
        );
        if figures.replies > 0 {
            let times = [figures.min(), figures.mean(), figures.max()].map(text::millis);
            line = format!(
                "{line}; shortest {}, mean {}, longest {}",
                times[0], times[1], times[2]
            );
        }
        out.line(&line)
    }
}

/// Has the peer pinged; gives the words of the service if it refuses.
async fn ask(
    control: &mut Control,
    peer: &str,
) -> Result<Result<PingOutcome, Vec<String>>, ControlError> {
    let peer = peer.to_owned();
    control.ask(Request::Ping { peer })?;
    match control.reply().await? {
        Reply::Pinged(outcome) => Ok(Ok(outcome)),
        Reply::Failed(words) => Ok(Err(words)),
        _ => Err(ControlError::Unexpected),
    }
}
