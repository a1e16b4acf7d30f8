// SPDX-License-Identifier: GPL-3.0-or-later
//! Core ends and starts again, sends something malformed, or does not run yet; a signal ends the
//! program.

use anyhow::{Context as _, Result};
use connect_ipc::RunId;
use connect_ipc::hello::{Hello, Role};
use connect_ipc::scripts::{Ended, FromScripts, ToScripts};
use rustix::process::Signal;

use crate::support::{Core, alive, shell, under_way};

#[tokio::test]
async fn scripts_continue_without_the_connection_and_core_is_told_all_when_it_is_back() -> Result<()>
{
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let (gate, done, other) = (core.gate("gate")?, core.gate("done")?, core.gate("other")?);
    let first = shell(
        1,
        "a",
        format!("echo before; {}; echo after; exit 5", gate.wait()),
    );
    let second = shell(2, "a", format!("echo second; {}; echo third", done.wait()));
    let far = shell(3, "b", other.wait());
    connection.tell(&ToScripts::Run(vec![
        far.clone(),
        first.clone(),
        second.clone(),
    ]))?;
    connection.line(1, "before").await?;
    drop(connection);
    // The attempt to come back shows that the helper has seen the end of the connection.
    core.refuse().await?;
    gate.open().await?;
    // The second has started without core when these return.
    done.open().await?;
    other.open().await?;
    let (mut connection, resumed) = core.accept().await?;
    assert_eq!(resumed.len(), 3, "{resumed:?}");
    let child = resumed[0].child.context("the first was under way")?;
    assert_eq!(resumed[0], under_way(&first, Some(child)));
    assert_eq!(resumed[1], under_way(&second, None), "as core knew it");
    assert_eq!(resumed[2].run, far.run);
    connection.tell(&ToScripts::Ready {})?;
    // The messages follow each other in this order, among those of the third run.
    let mut seen = Vec::new();
    let mut over = 0;
    while over < 3 {
        let text = match connection.next().await? {
            FromScripts::Started { run, .. } => format!("{} started", run.0),
            FromScripts::Output { run, line, .. } => format!("{} {line}", run.0),
            FromScripts::Ended { run, end } => {
                over += 1;
                format!("{} {end:?}", run.0)
            }
            _ => continue,
        };
        seen.push(text);
    }
    seen.retain(|text| !text.starts_with('3'));
    let expected = [
        "1 after",
        "1 Exited(5)",
        "2 started",
        "2 second",
        "2 third",
        "2 Exited(0)",
    ];
    assert_eq!(seen, expected);
    assert!(!alive(child));
    Ok(())
}

#[tokio::test]
async fn a_core_that_missed_a_result_gets_it_again_and_nothing_runs_twice() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let log = core.path("log");
    let run = shell(1, "a", format!("echo x >>'{}'; exit 6", log.display()));
    connection.run(run.clone())?;
    let child = connection.started(1).await?;
    assert_eq!(connection.end(1).await?, Ended::Exited(6));
    drop(connection);
    let (mut connection, resumed) = core.accept().await?;
    assert_eq!(
        resumed,
        [under_way(&run, Some(child))],
        "core has not settled it"
    );
    assert_eq!(connection.end(1).await?, Ended::Exited(6));
    connection.tell(&ToScripts::Adopt(vec![under_way(&run, Some(child))]))?;
    assert_eq!(connection.end(1).await?, Ended::Exited(6));
    connection.tell(&ToScripts::Ready {})?;
    connection.run(run)?;
    assert_eq!(connection.end(1).await?, Ended::Exited(6));
    connection.tell(&ToScripts::Settled(vec![RunId(1)]))?;
    // This is answered, so the message before it has arrived.
    connection.run(shell(2, "a", ":"))?;
    assert_eq!(connection.end(2).await?, Ended::Exited(0));
    drop(connection);
    let (_, resumed) = core.accept().await?;
    let numbers: Vec<u64> = resumed.iter().map(|run| run.run.0).collect();
    assert_eq!(numbers, [2]);
    assert_eq!(std::fs::read_to_string(log)?, "x\n");
    Ok(())
}

#[tokio::test]
async fn a_helper_waits_for_a_core_that_is_not_there_or_not_right() -> Result<()> {
    let mut core = Core::new().await?;
    core.stop_listening();
    let _helper = core.helper(&[])?;
    core.listen().await?;
    // Something that is not core, then a core of another version, then one that closes the
    // connection.
    let mut wrong = core.accept_with(&Hello::new(Role::Operator)).await?;
    assert!(wrong.at_end().await?);
    let mut old = Hello::new(Role::Core);
    old.protocol += 1;
    let mut wrong = core.accept_with(&old).await?;
    assert!(wrong.at_end().await?);
    drop(core.accept_with(&Hello::new(Role::Core)).await?);
    let (mut connection, resumed) = core.accept().await?;
    assert_eq!(resumed, []);
    connection.tell(&ToScripts::Ready {})?;
    connection.run(shell(1, "a", ":"))?;
    assert_eq!(connection.end(1).await?, Ended::Exited(0));
    Ok(())
}

#[tokio::test]
async fn nonsense_is_answered_and_the_work_goes_on() -> Result<()> {
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    connection.tell_nonsense()?;
    let FromScripts::Error(text) = connection.next().await? else {
        panic!("no error");
    };
    assert!(text.contains("nonsense"), "{text}");
    connection.tell(&ToScripts::Error("what?".to_owned()))?;
    connection.tell(&ToScripts::Stop(RunId(9)))?;
    assert!(matches!(connection.next().await?, FromScripts::Error(_)));
    connection.run(shell(1, "a", "exit 3"))?;
    assert_eq!(connection.end(1).await?, Ended::Exited(3));
    Ok(())
}

#[tokio::test]
async fn a_signal_ends_the_program_and_leaves_the_scripts() -> Result<()> {
    for signal in [Signal::TERM, Signal::INT] {
        let (core, mut helper, mut connection) = Core::with_helper(&[]).await?;
        let (first, second) = (core.gate("first")?, core.gate("second")?);
        let mark = core.path("mark");
        let script = format!("{}; >'{}'; {}", first.wait(), mark.display(), second.wait());
        connection.tell(&ToScripts::Run(vec![
            shell(1, "a", script),
            shell(2, "a", ":"),
        ]))?;
        let child = connection.started(1).await?;
        helper.signal(signal)?;
        let status = helper.ended().await?;
        assert_eq!(status.code(), Some(0));
        assert!(connection.at_end().await?, "nothing more was started");
        assert!(alive(child));
        first.open().await?;
        // Once it is at the second gate, it has made the mark.
        second.open().await?;
        assert!(mark.exists());
    }
    Ok(())
}
