// SPDX-License-Identifier: GPL-3.0-or-later
//! The command `info`: a peer's record and figures as keys and values.

use std::sync::Arc;

use connect_ipc::clock::Monotonic;
use connect_ipc::statistics::LastPing;

use crate::machine::Machine;
use crate::machine::peers::Adoption;
use crate::machine::requester::Requester;

/// A time as the manual writes it: one decimal and `ms`, without a blank.
fn millis(time: Option<f64>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1}ms"))
}

/// The keys that `info` adds for an adopted peer (the manual, `info`).
fn figures(adoption: &Adoption, now: Monotonic) -> [(&'static str, String); 9] {
    let statistics = adoption.liveness.statistics();
    let phase = adoption.liveness.phase();
    let last = match statistics.last {
        LastPing::None => "-".to_owned(),
        LastPing::Reply(time) => millis(Some(time)),
        LastPing::Timeout => "timeout".to_owned(),
    };
    let state = if adoption.liveness.is_checked(now) {
        "check"
    } else {
        "idle"
    };
    [
        ("failures", phase.failures.to_string()),
        ("last-ping", last),
        ("max-ping", millis(statistics.max())),
        ("mean-ping", millis(statistics.mean())),
        ("min-ping", millis(statistics.min())),
        ("n-lost", statistics.lost.to_string()),
        ("n-ping", statistics.replies.to_string()),
        ("sd-ping", millis(statistics.deviation())),
        ("state", state.to_owned()),
    ]
}

impl Machine {
    /// The command `info PEER`.
    pub(in crate::machine) fn info(&mut self, requester: &Requester, name: &str) {
        let database = Arc::clone(&self.database.current);
        let peer = self.peers.find(name).and_then(|id| self.peers.get(id));
        // Not the last record of a peer that the database no longer has: by the manual this command
        // lists the database.
        let Some(record) = database.peer(name) else {
            return self.reply_failed(requester, name, ["unknown-peer", name]);
        };
        let figures = peer
            .and_then(|peer| peer.adoption())
            .map(|adoption| figures(adoption, self.now));
        let figures = figures.as_ref().map_or(&[][..], |figures| &figures[..]);
        // A figure replaces a key of the same name, which would mislead.
        let own = record
            .iter()
            .filter(|(key, _)| !figures.iter().any(|(figure, _)| figure == key));
        let figures = figures.iter().map(|(key, value)| (*key, value.as_str()));
        let mut pairs: Vec<(&str, &str)> = own.chain(figures).collect();
        pairs.sort_unstable();
        let lines: Vec<String> = pairs
            .into_iter()
            .map(|(key, value)| [key, "=", value].concat())
            .collect();
        for line in lines {
            let line = if line.contains('\n') {
                line.replace('\n', " ")
            } else {
                line
            };
            self.reply_line(requester, vec![line]);
        }
        self.reply_done(requester);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_the_manual() {
        assert_eq!(millis(None), "-");
        assert_eq!(millis(Some(12.34)), "12.3ms");
        assert_eq!(millis(Some(0.0)), "0.0ms");
        assert_eq!(millis(Some(1234.56)), "1234.6ms");
    }
}
