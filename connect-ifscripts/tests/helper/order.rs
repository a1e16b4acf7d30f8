// SPDX-License-Identifier: GPL-3.0-or-later
//! One at a time for a peer, several peers at once, and no more than asked for.

use anyhow::{Context as _, Result};
use connect_ipc::scripts::{Ended, FromScripts, ToScripts};

use crate::support::{Core, shell};

#[tokio::test]
async fn one_peer_in_order_while_another_goes_on() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let gate = core.gate("gate")?;
    let log = core.path("log");
    let note = |text: &str| format!("echo {text} >>'{}'", log.display());
    connection.tell(&ToScripts::Run(vec![
        shell(
            1,
            "a",
            format!("{}; {}; {}", note("in1"), gate.wait(), note("out1")),
        ),
        shell(2, "a", note("2")),
        shell(3, "b", ":"),
        shell(4, "a", note("4")),
    ]))?;
    assert_eq!(connection.end(3).await?, Ended::Exited(0));
    gate.open().await?;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        match connection.next().await? {
            FromScripts::Started { run, .. } => seen.push(format!("start {}", run.0)),
            FromScripts::Ended { run, .. } => seen.push(format!("end {}", run.0)),
            _ => {}
        }
    }
    assert_eq!(seen, ["end 1", "start 2", "end 2", "start 4", "end 4"]);
    assert_eq!(std::fs::read_to_string(log)?, "in1\nout1\n2\n4\n");
    Ok(())
}

#[tokio::test]
async fn no_more_at_once_than_asked_for() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&["--children", "2"]).await?;
    let mut gates = Vec::new();
    for (run, peer) in [(1, "a"), (2, "b"), (3, "c")] {
        let gate = core.gate(peer)?;
        connection.run(shell(run, peer, gate.wait()))?;
        gates.push(gate);
    }
    let mut gates = gates.iter();
    let mut seen = Vec::new();
    while seen.len() < 6 {
        match connection.next().await? {
            FromScripts::Started { .. } => seen.push("start"),
            FromScripts::Ended { .. } => seen.push("end"),
            _ => continue,
        }
        if matches!(seen.len(), 2 | 4 | 5) {
            gates.next().context("no gate")?.open().await?;
        }
    }
    assert_eq!(seen, ["start", "start", "end", "start", "end", "end"]);
    Ok(())
}

#[tokio::test]
async fn a_crowd_is_served_to_the_last() -> Result<()> {
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let count = 300;
    let crowd =
        (0..count).map(|run| shell(run, &format!("p{}", run % 100), format!("exit {}", run % 7)));
    connection.tell(&ToScripts::Run(crowd.collect()))?;
    let mut ends = vec![None; usize::try_from(count)?];
    while ends.iter().any(Option::is_none) {
        if let FromScripts::Ended { run, end } = connection.next().await? {
            let slot = &mut ends[usize::try_from(run.0)?];
            assert_eq!(*slot, None, "{run:?} ended twice");
            *slot = Some(end);
        }
    }
    for (end, code) in ends.iter().zip((0..7).cycle()) {
        assert_eq!(*end, Some(Ended::Exited(code)));
    }
    Ok(())
}
