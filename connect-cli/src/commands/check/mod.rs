// SPDX-License-Identifier: GPL-3.0-or-later
//! `check`: one line and an exit code for a monitor, by the conventions of monitoring plugins.

mod found;
mod performance;
mod range;

use std::collections::BTreeSet;

use clap::Args;
use connect_ipc::control::{PeerStatus, ServiceStatus};
use connect_runtime::exit::Exit;

use self::found::{Found, Status};
use self::range::{Limits, Metric, Threshold};
use crate::client::connection::ControlError;
use crate::client::state::StateReader;
use crate::common::Common;
use crate::completing;
use crate::error::Error;
use crate::output::text;

/// How many peers are named in the line.
const NAMED: usize = 5;

/// Check the service and its peers for a monitor such as Icinga or Nagios
#[derive(Args, Debug)]
#[command(after_help = "\
    Prints one line with performance data, and ends with 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 \
    (UNKNOWN), as monitoring plugins do. You can give ranges for three figures: `missing' is the \
    number of peers that should be up and are not; `rtt' is the longest of the latest round \
    trips, in milliseconds; `loss' is the largest share of lost pings since a peer was adopted, \
    in percent. The range 10 accepts 0 to 10, 10: accepts 10 and more, ~:10 accepts 10 and less, \
    5:10 accepts 5 to 10, and @5:10 accepts all but 5 to 10. Without a range, `missing' is \
    critical from 1 on. A peer that you name counts as one that should be up, whatever the \
    database says; if it is unwatched, the result is UNKNOWN.\n\n\
    It is also critical if the service does not answer, has no connection to its server or to a \
    helper, or if checks are overdue. Other faults of the service, a knock that it refused in the \
    last ten minutes, and scripts that failed, are warnings.\n\n\
    Examples:\n\
    \x20 connect-cli check\n\
    \x20 connect-cli check alice bob --warning rtt=100 --critical rtt=500\n\
    \x20 connect-cli check --warning 0 --critical 3 --warning loss=5")]
pub(crate) struct Check {
    /// Only these peers.
    #[arg(value_name = "PEER", add = completing::peers())]
    peers: Vec<String>,
    /// Warn if a figure is outside this range; without FIGURE= the figure is `missing'. May be
    /// given several times.
    #[arg(short, long, value_name = "[FIGURE=]RANGE")]
    warning: Vec<Threshold>,
    /// The same for what is critical.
    #[arg(short, long, value_name = "[FIGURE=]RANGE")]
    critical: Vec<Threshold>,
}

/// What is found in a state, for the fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn of_state(service: &ServiceStatus, peers: &[PeerStatus]) -> String {
    let check = Check {
        peers: Vec::new(),
        warning: Vec::new(),
        critical: Vec::new(),
    };
    check.judge(service, peers).1
}

impl Check {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let (status, line) = match self.read(common).await {
            Ok((service, peers)) => self.judge(&service, &peers),
            Err(error) => {
                let status = match error {
                    ControlError::NoService { .. }
                    | ControlError::Other(_)
                    | ControlError::ClosedAtOnce { .. }
                    | ControlError::Timeout(_)
                    | ControlError::Lost => Status::Critical,
                    _ => Status::Unknown,
                };
                (status, error.to_string())
            }
        };
        common
            .out
            .line(&format!("CONNECT {} - {line}", status.word()))?;
        status.end()
    }

    /// The service, and the peers that are looked at.
    async fn read(
        &self,
        common: &Common,
    ) -> Result<(ServiceStatus, Vec<PeerStatus>), ControlError> {
        let mut control = common.observe().await?;
        let (mut reader, service) = StateReader::begin(&mut control).await?;
        let mut kept = Vec::new();
        while let Some(peers) = reader.next().await? {
            let is_kept = |peer: &PeerStatus| {
                if self.peers.is_empty() {
                    peer.wanted
                } else {
                    self.peers.contains(&peer.name)
                }
            };
            kept.extend(peers.into_iter().filter(is_kept));
        }
        Ok((service, kept))
    }

    fn judge(&self, service: &ServiceStatus, peers: &[PeerStatus]) -> (Status, String) {
        let mut found = Found::default();
        found.service(service);
        let names: BTreeSet<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
        for name in &self.peers {
            if !names.contains(name.as_str()) {
                found.add(Status::Unknown, format!("there is no peer {name}"));
            }
        }
        for peer in peers {
            found.peer(peer, !self.peers.is_empty());
        }
        self.judge_figures(&mut found);
        found
            .problems
            .sort_by_key(|(status, _)| std::cmp::Reverse(*status));
        let status = found
            .problems
            .first()
            .map_or(Status::Ok, |(status, _)| *status);
        let mut line = if found.problems.is_empty() {
            let peers = text::count(found.wanted as u64, "peer");
            let begun = found.wanted - found.up - found.missing.len();
            let begun = (begun > 0).then(|| format!(", {begun} being added or checked"));
            format!("{} of {peers} up{}", found.up, begun.unwrap_or_default())
        } else {
            let problems: Vec<&str> = found.problems.iter().map(|(_, text)| &**text).collect();
            problems.join("; ")
        };
        // What follows a bar is performance data.
        line = text::clean(&line).replace('|', "/");
        let named = !self.peers.is_empty();
        let data = performance::data(&self.limits(), named, &found, peers);
        (status, format!("{line} | {data}"))
    }

    /// Compares the figures with the ranges.
    fn judge_figures(&self, found: &mut Found) {
        let missing = found.missing.len();
        let of = |metric| {
            let figure = match metric {
                Metric::Missing => Some(performance::number(missing as u64)),
                Metric::Rtt => found.rtt,
                Metric::Loss => found.loss,
            };
            let figure = figure?;
            let passed = |thresholds: &[Threshold]| {
                thresholds
                    .iter()
                    .any(|it| it.metric == metric && it.is_passed(figure))
            };
            let given = !self.limits().of(metric).iter().all(Option::is_none);
            if passed(&self.critical) || (metric == Metric::Missing && !given && missing > 0) {
                Some((Status::Critical, figure))
            } else {
                passed(&self.warning).then_some((Status::Warning, figure))
            }
        };
        let mut problems = Vec::new();
        if let Some((status, _)) = of(Metric::Missing) {
            let named = found.missing.iter().take(NAMED).cloned();
            let mut named = named.collect::<Vec<_>>().join(", ");
            if missing > NAMED {
                named = format!("{named} and {} more", missing - NAMED);
            }
            let wanted = text::count(found.wanted as u64, "peer");
            let colon = if missing > 0 { ": " } else { "" };
            problems.push((
                status,
                format!("{missing} of {wanted} not up{colon}{named}"),
            ));
        }
        if let Some((status, figure)) = of(Metric::Rtt) {
            problems.push((status, format!("round trip {}", text::millis(Some(figure)))));
        }
        if let Some((status, figure)) = of(Metric::Loss) {
            let loss = text::percent(Some(figure / 100.0));
            problems.push((status, format!("{loss} of pings lost")));
        }
        found.problems.extend(problems);
    }

    fn limits(&self) -> Limits<'_> {
        let (warning, critical) = (&self.warning, &self.critical);
        Limits { warning, critical }
    }
}
