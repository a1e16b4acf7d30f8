// SPDX-License-Identifier: GPL-3.0-or-later
//! What the service reported about runs whose outcome nobody knows: in warnings that the server
//! passes on, and in its log, which also has those from times without a server.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;

use judge::history::{Span, Told, script_kind};

/// The warnings that tell that a script may not have run to its end.
const CODES: [&str; 2] = ["exit-lost", "not-started"];

/// What was reported about each peer, in the order of time.
pub(crate) type ToldOf = BTreeMap<String, Vec<Told>>;

/// What a warning `KIND PEER CODE ...` tells, and of which peer.
pub(crate) fn from_words(words: &[&str], when: Span) -> Option<(String, Told)> {
    let [kind, peer, code, ..] = words else {
        return None;
    };
    let told = Told {
        kind: script_kind(kind)?,
        when,
        code: (*code).to_owned(),
    };
    CODES.contains(code).then(|| ((*peer).to_owned(), told))
}

/// What a log tells.
pub(crate) fn from_log(text: &str) -> ToldOf {
    let offset = wall_offset();
    let mut told = ToldOf::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(time), Some("WARN")) = (words.next(), words.next()) else {
            continue;
        };
        let Ok(time) = time.parse::<jiff::Timestamp>() else {
            continue;
        };
        let nanos = u64::try_from(time.as_nanosecond()).unwrap_or(0);
        let at = Monotonic(nanos.saturating_sub(offset));
        let words: Vec<&str> = words.collect();
        if let Some((peer, one)) = from_words(&words, Span { from: at, to: at }) {
            told.entry(peer).or_default().push(one);
        }
    }
    told
}

/// For each peer and kind of script the fuller of two accounts: core may die between one and the
/// other.
pub(crate) fn merge(one: ToldOf, mut other: ToldOf) -> ToldOf {
    let mut merged = one;
    for (peer, told) in &mut merged {
        let theirs = other.remove(peer).unwrap_or_default();
        let count = |all: &[Told], which: &Told| {
            let same = all.iter().filter(|told| told.kind == which.kind);
            same.count()
        };
        let more: Vec<Told> = theirs
            .iter()
            .filter(|which| count(&theirs, which) > count(told, which))
            .cloned()
            .collect();
        told.retain(|which| more.iter().all(|their| their.kind != which.kind));
        told.extend(more);
        told.sort_by_key(|told| told.when.to);
    }
    merged.extend(other);
    merged
}

/// What lies between the clock of the log and the monotonic one, in nanoseconds.
fn wall_offset() -> u64 {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    wall.saturating_sub(clock::now().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::scripts::ScriptKind;

    #[test]
    fn the_log_reports_lost_runs_and_nothing_else() {
        let log = "2026-11-26T11:33:49.485449Z  WARN ifup p1 exit-lost\n\
                   2026-11-26T11:33:49.485449Z  WARN ifup p1 exit-nonzero 1\n\
                   2026-11-26T11:33:49.485449Z  INFO ifup p1 exit-lost\n\
                   nonsense\n\
                   2026-11-26T11:33:50.492307Z  WARN connect p1 greet-failed bad-base64\n";
        let told = from_log(log);
        assert_eq!(told.len(), 1);
        assert_eq!(told["p1"].len(), 1);
        assert_eq!(told["p1"][0].kind, ScriptKind::Ifup);
    }

    #[test]
    fn the_fuller_account_counts() {
        let at = |at| Span {
            from: Monotonic(at),
            to: Monotonic(at),
        };
        let told = |words: &[(&str, u64)]| {
            let mut all = ToldOf::new();
            for (kind, when) in words {
                let (peer, one) = from_words(&[kind, "p", "exit-lost"], at(*when)).unwrap();
                all.entry(peer).or_default().push(one);
            }
            all
        };
        let merged = merge(
            told(&[("ifup", 1), ("ifdown", 2)]),
            told(&[("ifup", 1), ("ifup", 3)]),
        );
        let times: Vec<u64> = merged["p"].iter().map(|told| told.when.to.0).collect();
        assert_eq!(times, [1, 2, 3]);
        assert_eq!(merge(ToldOf::new(), told(&[("ifup", 1)]))["p"].len(), 1);
    }
}
