// SPDX-License-Identifier: GPL-3.0-or-later
//! The performance data of `check`: `'label'=value[unit];[warning];[critical];[least];[most]`.

use connect_ipc::control::PeerStatus;

use super::found::{Found, loss, rtt};
use super::range::{Limits, Metric, Threshold};
use crate::output::text;

/// The figures: of all peers together, or those of each that is named.
pub(super) fn data(
    limits: &Limits<'_>,
    named: bool,
    found: &Found,
    peers: &[PeerStatus],
) -> String {
    let wanted = found.wanted as u64;
    let missing = found.missing.len() as u64;
    let [warning, critical] = shown(limits.of(Metric::Missing));
    let mut data = vec![
        format!("missing={missing};{warning};{critical};0;{wanted}"),
        format!("up={};;;0;{wanted}", found.up),
    ];
    let mut add = |peer: Option<&str>, metric, figure: Option<f64>| {
        let (name, unit, most) = match metric {
            Metric::Rtt => ("rtt", "ms", ""),
            Metric::Loss => ("loss", "%", "100"),
            Metric::Missing => return,
        };
        if let Some(figure) = figure {
            let label = peer.map_or(name.to_owned(), |peer| label(peer, name));
            let [warning, critical] = shown(limits.of(metric));
            data.push(format!(
                "{label}={figure:.3}{unit};{warning};{critical};0;{most}"
            ));
        }
    };
    if !named {
        add(None, Metric::Rtt, found.rtt);
        add(None, Metric::Loss, found.loss);
    } else {
        for peer in peers {
            add(Some(&peer.name), Metric::Rtt, rtt(peer));
            add(Some(&peer.name), Metric::Loss, loss(peer));
        }
    }
    data.join(" ")
}

fn shown(thresholds: [Option<&Threshold>; 2]) -> [String; 2] {
    thresholds.map(|threshold| threshold.map(ToString::to_string).unwrap_or_default())
}

/// The label of a figure of a peer, in quotes; an equals sign cannot stand in it.
fn label(peer: &str, figure: &str) -> String {
    let peer = text::clean(peer).replace('\'', "''");
    format!("'{} {figure}'", peer.replace(['=', '|'], "_"))
}

/// A count as a figure.
pub(super) fn number(count: u64) -> f64 {
    // There are never so many peers.
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
