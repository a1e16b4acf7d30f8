// SPDX-License-Identifier: GPL-3.0-or-later
//! Everything about one peer, in lines as people read them.

use connect_ipc::control::{PeerDetail, PeerState, PeerStatus};
use connect_ipc::event::Removal;
use connect_ipc::pinger::PingPlan;
use connect_ipc::statistics::LastPing;

use super::paint::Paint;
use super::report::ReconnectOutcome;
use super::text;
use super::{event_text, lookup_text, status_text, summary};

/// How far the values of the figures stand to the right; longer ones go on there.
pub(crate) const VALUES: usize = 14;

/// Everything about a peer, with nothing in it that commands the terminal.
pub(crate) fn lines(name: &str, detail: &PeerDetail) -> Vec<(String, Paint)> {
    let mut lines = vec![(format!("peer {}", text::clean(name)), Paint::Heading)];
    match &detail.status {
        None => lines.push((
            "  the server does not have it, and no record asks for it".to_owned(),
            Paint::Doubtful,
        )),
        Some(status) => {
            let figures = figures(status, detail.plan.as_ref()).into_iter();
            lines.extend(figures.map(|(label, value, paint)| {
                (format!("  {label:<12}{}", text::clean(&value)), paint)
            }));
            lines.extend(status.connection.lookup.as_deref().map(|lookup| {
                let (words, paint) = lookup_text::sentence(lookup, status.state);
                (format!("  {:<12}{}", "lookup", text::clean(&words)), paint)
            }));
        }
    }
    let pair = |(key, value): &(String, String)| {
        plain(format!("  {} = {}", text::clean(key), text::clean(value)))
    };
    heading("record", &mut lines);
    match (&detail.record, detail.oversize) {
        (None, Some(size)) => {
            let why = connect_policy::size::too_large(size);
            lines.push((format!("  {why}"), Paint::Bad));
        }
        (None, None) => lines.push(plain("  there is none in the database")),
        (Some(pairs), _) => lines.extend(pairs.iter().map(pair)),
    }
    if !detail.algorithms.is_empty() {
        heading("algorithms", &mut lines);
        lines.extend(detail.algorithms.iter().map(pair));
    }
    if !detail.recent.is_empty() || !detail.scripts.is_empty() {
        heading("scripts", &mut lines);
    }
    for script in &detail.recent {
        let (end, paint) = event_text::script_end(&script.end);
        let line = format!(
            "  {:<12}{}, {} ago",
            script.kind.name(),
            text::clean(&end),
            text::span(script.ago)
        );
        lines.push((line, paint));
        let output = script.output.iter();
        lines.extend(output.map(|line| plain(format!("    | {}", text::clean(line)))));
    }
    for script in &detail.scripts {
        let time = text::span(script.seconds);
        let state = script.pid.map_or_else(
            || format!("waiting for {time}"),
            |pid| format!("running for {time}, pid {pid}"),
        );
        lines.push(plain(format!("  {:<12}{state}", script.kind.name())));
    }
    lines
}

fn plain(text: impl Into<String>) -> (String, Paint) {
    (text.into(), Paint::Plain)
}

fn heading(text: &str, lines: &mut Vec<(String, Paint)>) {
    lines.push(plain(""));
    lines.push((text.to_owned(), Paint::Heading));
}

/// What follows the word for the peer's state; `age` is since when the service knows it so.
fn explanation(peer: &PeerStatus, age: &str) -> Option<String> {
    let connection = &peer.connection;
    let since = summary::state_since(peer).map(text::span);
    let why = connection.removal.map(event_text::removal);
    Some(match peer.state {
        PeerState::Up if peer.statistics.last == LastPing::Timeout && peer.failures > 0 => {
            let pings = text::count(u64::from(peer.failures), "ping");
            format!(", but no answer to the last {pings}")
        }
        // It has answered all pings since the first one, which was sent when it was adopted.
        PeerState::Up => format!(", answering for {}", since.as_deref().unwrap_or(age)),
        PeerState::Down | PeerState::Unknown => format!(" for {}", since?),
        PeerState::Checking => match connection.pending {
            Some(time) => format!(" for {}: no check has ended yet", text::span(time)),
            None => ": no check has ended yet".to_owned(),
        },
        PeerState::Gone if connection.removal == Some(Removal::Replaced) => {
            format!(" for {age}: it was removed and could not be added again")
        }
        PeerState::Gone | PeerState::Killed => format!(" for {age}: {}", why?),
        PeerState::Waiting => ": it has not connected since the service was started".to_owned(),
        PeerState::Absent if peer.wanted && peer.age > 0 => {
            format!(" for {age}: the server could not add it; the log says why")
        }
        PeerState::Absent if peer.wanted => {
            ": it is to be added at start-up, but is not at the server".to_owned()
        }
        PeerState::Absent => ": nobody has added it since the service was started".to_owned(),
        PeerState::Adding if connection.pending.is_some() => format!(
            " for {age}: the server has not added it yet, perhaps because the name of its host \
             cannot be resolved"
        ),
        PeerState::Adding => format!(" for {age}"),
        PeerState::Unwatched => return None,
    })
}

/// The lines on the peer's state.
fn figures(peer: &PeerStatus, plan: Option<&PingPlan>) -> Vec<(&'static str, String, Paint)> {
    let (state, paint) = status_text::state(peer);
    let known = text::span(peer.age);
    let state = format!("{state}{}", explanation(peer, &known).unwrap_or_default());
    let words: Vec<String> = [state]
        .into_iter()
        .chain(status_text::marks(peer))
        .collect();
    let paint = status_text::with_marks(peer, paint);
    let mut lines = vec![("state", words.join("; "), paint)];
    let mut plain = vec![
        (
            "address",
            text::or_nothing(peer.address.as_deref().map(text::address)),
        ),
        ("interface", text::or_nothing(peer.interface.clone())),
    ];
    if peer.state.is_adopted() {
        plain.push(("adopted", format!("{known} ago")));
        plain.extend(pinging(peer, plan));
    } else if peer.state.is_present() {
        plain.push(("known for", known));
    }
    if let Some(words) = &peer.connection.add_failure {
        plain.push(("addition", format!("failed: {}", text::failure(words))));
    }
    lines.extend(
        plain
            .into_iter()
            .map(|(label, value)| (label, value, Paint::Plain)),
    );
    lines
}

/// The lines on how the peer is pinged.
fn pinging(peer: &PeerStatus, plan: Option<&PingPlan>) -> Vec<(&'static str, String)> {
    let statistics = &peer.statistics;
    let mut lines = Vec::new();
    if let Some(plan) = plan {
        let [every, timeout] = [plan.every, plan.timeout].map(|time| text::span(time.into()));
        let retries = plan.retries;
        lines.push((
            "pinged",
            format!("every {every}, timeout {timeout}, {retries} attempts"),
        ));
    }
    let next = peer
        .next_ping_ms
        .map(|next| format!("in {}", text::wait(next)));
    let checks = text::count(peer.failed_checks, "check");
    lines.push(("next ping", text::or_nothing(next)));
    lines.push((
        "failures",
        format!("{} in this check, {checks} failed in a row", peer.failures),
    ));
    if peer.connection.reconnects > 0 {
        lines.push(("reconnects", reconnects(peer)));
    }
    let last = if peer.connection.unsent {
        format!("not sent: {}", text::NO_KEYS)
    } else {
        status_text::last(statistics.last)
    };
    lines.push(("last ping", last));
    let loss = text::percent(statistics.loss());
    lines.push((
        "pings",
        format!(
            "{} answered, {} lost ({loss})",
            statistics.replies, statistics.lost
        ),
    ));
    if statistics.replies > 0 {
        let [min, mean, max, deviation] = [
            statistics.min(),
            statistics.mean(),
            statistics.max(),
            statistics.deviation(),
        ]
        .map(text::millis);
        lines.push((
            "round trip",
            format!("min {min}, mean {mean}, max {max}, sd {deviation}"),
        ));
    }
    lines
}

/// How often the peer was reconnected, and with what success.
fn reconnects(peer: &PeerStatus) -> String {
    let connection = &peer.connection;
    let last = connection.last_reconnect.map_or_else(String::new, |last| {
        format!(", the last {} ago", text::span(last))
    });
    let outcome = match ReconnectOutcome::of(peer) {
        Some(ReconnectOutcome::Answers) => "; the peer answers now",
        Some(ReconnectOutcome::Silent) => "; no answer since",
        None => "",
    };
    format!("{}{last}{outcome}", connection.reconnects)
}
