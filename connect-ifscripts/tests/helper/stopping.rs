// SPDX-License-Identifier: GPL-3.0-or-later
//! `--stop-wait`: what happens to scripts when a signal ends the program.

use anyhow::Result;
use connect_ipc::scripts::Ended;
use rustix::process::Signal;

use crate::support::{Core, alive, shell};

/// Longer than any test may take.
const LONG: &[&str] = &["--stop-wait", "1h"];

#[tokio::test]
async fn what_is_under_way_and_what_waits_ends_first_and_is_heard() -> Result<()> {
    let (core, mut helper, mut connection) = Core::with_helper(LONG).await?;
    let gate = core.gate("gate")?;
    let under_way = format!("echo here; {}; echo done", gate.wait());
    connection.run(shell(1, "a", under_way))?;
    connection.run(shell(2, "a", "echo second"))?;
    connection.line(1, "here").await?;
    helper.signal(Signal::TERM)?;
    gate.open().await?;
    let story = connection.story(1).await?;
    assert_eq!(story.stdout, ["done"]);
    assert_eq!(story.end, Some(Ended::Exited(0)));
    let story = connection.story(2).await?;
    assert_eq!(story.stdout, ["second"]);
    assert!(helper.ended().await?.success());
    assert!(connection.at_end().await?);
    Ok(())
}

#[tokio::test]
async fn a_core_that_has_gone_first_changes_nothing() -> Result<()> {
    let (mut core, mut helper, mut connection) = Core::with_helper(LONG).await?;
    let gate = core.gate("gate")?;
    let mark = core.path("mark");
    let script = format!("echo here; {}; echo x > '{}'", gate.wait(), mark.display());
    connection.run(shell(1, "a", script))?;
    connection.line(1, "here").await?;
    core.stop_listening();
    drop(connection);
    helper.signal(Signal::TERM)?;
    gate.open().await?;
    assert!(helper.ended().await?.success());
    assert!(mark.exists());
    Ok(())
}

#[tokio::test]
async fn what_takes_longer_is_left_alone() -> Result<()> {
    let (core, mut helper, mut connection) = Core::with_helper(&["--stop-wait", "1s"]).await?;
    let gate = core.gate("gate")?;
    connection.run(shell(1, "a", format!("echo here; {}", gate.wait())))?;
    let child = connection.started(1).await?;
    connection.line(1, "here").await?;
    helper.signal(Signal::TERM)?;
    assert!(helper.ended().await?.success());
    assert!(alive(child));
    gate.open().await
}

#[tokio::test]
async fn a_second_signal_ends_the_wait() -> Result<()> {
    let (core, mut helper, mut connection) = Core::with_helper(LONG).await?;
    let gate = core.gate("gate")?;
    connection.run(shell(1, "a", format!("echo here; {}", gate.wait())))?;
    let child = connection.started(1).await?;
    connection.line(1, "here").await?;
    helper.signal(Signal::TERM)?;
    // A different one, since two of a kind may come as one.
    helper.signal(Signal::INT)?;
    assert!(helper.ended().await?.success());
    assert!(alive(child));
    gate.open().await
}

#[tokio::test]
async fn the_death_of_the_parent_is_no_second_signal() -> Result<()> {
    let (core, mut helper, mut connection) = Core::with_helper(LONG).await?;
    let gate = core.gate("gate")?;
    connection.run(shell(
        1,
        "a",
        format!("echo here; {}; echo done", gate.wait()),
    ))?;
    connection.line(1, "here").await?;
    helper.signal(Signal::TERM)?;
    // It may come once for each thread of the parent.
    helper.signal(Signal::USR1)?;
    connection.run(shell(2, "b", "echo second"))?;
    assert_eq!(connection.story(2).await?.stdout, ["second"]);
    helper.signal(Signal::USR1)?;
    gate.open().await?;
    assert_eq!(connection.story(1).await?.stdout, ["done"]);
    assert!(helper.ended().await?.success());
    Ok(())
}

#[tokio::test]
async fn without_anything_to_wait_for_it_ends_at_once() -> Result<()> {
    let (_core, mut helper, _connection) = Core::with_helper(LONG).await?;
    helper.signal(Signal::TERM)?;
    assert!(helper.ended().await?.success());
    Ok(())
}
