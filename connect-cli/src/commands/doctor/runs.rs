// SPDX-License-Identifier: GPL-3.0-or-later
//! The scripts that the service runs: how did the last ones of each peer end, and which take
//! unusually long?

use connect_ipc::control::{LongScript, PeerDetail, PeerStatus, RecentScript, Reply, Request};
use connect_ipc::scripts::{Ended, ScriptKind};
use connect_ipc::setup::Lane;

use super::finding::Section;
use crate::client::connection::{Control, ControlError};
use crate::output::{event_text, text};

/// How many peers are asked about, and named: more than anybody reads through, few enough for a
/// quick answer.
const MAX_PEERS: usize = 20;

/// The last runs of peers.
#[derive(Debug, Default)]
pub(crate) struct LastRuns {
    /// The first peers with a failed script, and how many there are.
    failed: Vec<PeerStatus>,
    all_failed: usize,
    /// The first of the others.
    well: Vec<PeerStatus>,
    runs: Vec<(String, RecentScript)>,
    /// The first scripts that take unusually long, and how many there are.
    long: Vec<(String, LongScript)>,
    all_long: usize,
}

impl LastRuns {
    /// Notices what there is to report of a peer.
    pub(crate) fn notice(&mut self, peer: PeerStatus) {
        self.all_long += peer.scripts.long.len();
        let room = MAX_PEERS.saturating_sub(self.long.len());
        let long = peer.scripts.long.iter().take(room);
        let long = long.map(|script| (peer.name.clone(), *script));
        self.long.extend(long);
        let has_failed = !peer.scripts.failed.is_empty();
        self.all_failed += usize::from(has_failed);
        let first = if has_failed {
            &mut self.failed
        } else {
            &mut self.well
        };
        if first.len() < MAX_PEERS {
            first.push(peer);
        }
    }

    /// Asks the service about peers: first about those with a failed script.
    pub(crate) async fn ask(&mut self, control: &mut Control) -> Result<(), ControlError> {
        for peer in self.failed.iter().chain(&self.well).take(MAX_PEERS) {
            control.ask(Request::Info {
                peer: peer.name.clone(),
            })?;
            match control.reply().await? {
                Reply::Peer(detail) => {
                    let last = last_runs(peer, *detail).into_iter();
                    self.runs.extend(last.map(|run| (peer.name.clone(), run)));
                }
                // It has gone meanwhile.
                Reply::Failed(_) => {}
                _ => return Err(ControlError::Unexpected),
            }
        }
        Ok(())
    }

    /// Reports them.
    pub(crate) fn report(&self, section: &mut Section<'_>) {
        for (peer, run) in &self.runs {
            report(peer, run, section);
        }
        for (peer, script) in &self.long {
            report_long(peer, script, section);
        }
        if self.all_long > MAX_PEERS {
            let scripts = text::count((self.all_long - MAX_PEERS) as u64, "more script");
            section.fault(
                format!("{scripts} have run or waited for over a minute"),
                "`connect-cli status' says which",
            );
        }
        if self.all_failed > MAX_PEERS {
            let peers = text::count((self.all_failed - MAX_PEERS) as u64, "more peer");
            section.fault(
                format!("scripts of {peers} failed when they were last run"),
                "`connect-cli status' says which; `connect-cli info PEER' shows the last lines \
                 of their output",
            );
        }
    }
}

/// The last run of each script of a peer that failed; if none did, the peer's last run.
fn last_runs(peer: &PeerStatus, detail: PeerDetail) -> Vec<RecentScript> {
    if peer.scripts.failed.is_empty() {
        return last_success(detail.recent).into_iter().collect();
    }
    let failed = peer.scripts.failed.iter().filter_map(|failed| {
        let mut runs = detail.recent.iter().rev();
        runs.find(|run| run.kind == failed.kind).cloned()
    });
    failed.collect()
}

/// The last run, if it succeeded. A failure that does not count any more, since the peer was added
/// again or its record names no such script, is nothing to correct.
fn last_success(recent: Vec<RecentScript>) -> Option<RecentScript> {
    let last = recent.into_iter().next_back();
    last.filter(|run| run.end.failure().is_none())
}

fn report(peer: &str, run: &RecentScript, section: &mut Section<'_>) {
    let kind = run.kind.name();
    let (end, _) = event_text::script_end(&run.end);
    let line = run.output.last().map_or_else(String::new, |line| {
        format!("; the last line of its output: {line}")
    });
    let ago = text::span(run.ago);
    let text = format!("peer {peer}: {kind}, {ago} ago: {end}{line}");
    if run.end.failure().is_none() {
        return section.ok(text);
    }
    let remedy = match run.kind {
        kind if run.end == Ended::Lost => how_to_go_on(peer, kind),
        ScriptKind::Ifup => format!("correct it, and run it again: connect-cli ifup {peer}"),
        ScriptKind::Ifdown => format!(
            "correct it, and remove by hand what it has left; while the peer is up, connect-cli \
             ifdown {peer} runs it again"
        ),
        ScriptKind::Connect => {
            format!("correct it, and make a new attempt: connect-cli kick {peer}")
        }
        ScriptKind::Disconnect => "correct it; it runs when the peer is removed again".to_owned(),
        ScriptKind::OnUp | ScriptKind::OnDown => {
            format!(
                "correct it; it runs when the peer's connection changes again, and if it succeeds \
                 then, this is no longer reported; to have the connection change now: connect-cli \
                 sabotage {peer}, which acts as if the peer did not answer; a peer without \
                 connect or knock is removed by that"
            )
        }
    };
    section.fault(text, &remedy);
}

/// What to do after a script whose status nobody knows: it may have done all its work.
fn how_to_go_on(peer: &str, kind: ScriptKind) -> String {
    let look = "it has ended, and may have succeeded: check whether the peer is as it should be";
    match kind {
        ScriptKind::Ifup => {
            format!("{look}; if ifup may be run twice, connect-cli ifup {peer} runs it again")
        }
        ScriptKind::Ifdown => format!("{look}, and remove by hand what is left"),
        ScriptKind::Connect => {
            format!("{look}; connect-cli kick {peer} makes a new attempt")
        }
        ScriptKind::Disconnect | ScriptKind::OnUp | ScriptKind::OnDown => look.to_owned(),
    }
}

/// When a script that takes unusually long is ended by itself.
fn in_future(kind: &str, limit: Option<u32>) -> String {
    match limit {
        Some(limit) => {
            let limit = text::span(limit.into());
            format!("the service ends it at its time limit of {limit}")
        }
        None => format!(
            "to have the service end it in future, add {kind}-timeout to the peer's \
                         record"
        ),
    }
}

/// Reports a script that takes unusually long, or that cannot be ended.
fn report_long(peer: &str, script: &LongScript, section: &mut Section<'_>) {
    let option = match script.kind.lane() {
        Lane::Interface => "--children",
        Lane::Connection => "--connect-children",
    };
    let (kind, time) = (script.kind.name(), text::span(script.seconds));
    match script.pid {
        Some(pid) if script.survives.is_some() => {
            let since = text::span(script.survives.unwrap_or_default());
            section.fault(
                format!(
                    "peer {peer}: {kind} had to end and was sent KILL {since} ago, but still \
                     runs as process {pid}; the next scripts of this peer wait"
                ),
                &format!(
                    "run ps -o pid,user,stat,wchan:20,args -p {pid}; in state D it waits for a \
                     device or a file server: make that answer, or detach it; if it belongs to \
                     another user, end it as root with kill -KILL {pid}, and give \
                     connect-ifscripts the capability CAP_KILL"
                ),
            );
        }
        Some(pid) => section.fault(
            format!("peer {peer}: {kind} has been running for {time}, as process {pid}"),
            &format!(
                "see what it waits for (pgrep -a -g {pid}), or end it with its children: kill -- \
                 -{pid}; {}",
                in_future(kind, script.limit)
            ),
        ),
        None => section.fault(
            format!("peer {peer}: {kind} has waited for {time} to be started"),
            &format!(
                "it waits for another script of the peer (connect-cli info {peer}), or for those \
                 of other peers: connect-ifscripts runs at most {option} at a time"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_does_not_count_any_more_is_not_reported() {
        let run = |end| RecentScript {
            kind: ScriptKind::Ifup,
            end,
            ago: 7,
            output: Vec::new(),
        };
        let (good, bad) = (run(Ended::Exited(0)), run(Ended::Exited(1)));
        assert!(last_success(vec![bad.clone(), good.clone()]).is_some());
        assert!(last_success(vec![good, bad]).is_none());
        assert!(last_success(Vec::new()).is_none());
    }
}
