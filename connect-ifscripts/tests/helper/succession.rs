// SPDX-License-Identifier: GPL-3.0-or-later
//! Two helpers at once: the second one waits for the first, and continues where it ended.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;
use connect_ipc::scripts::{Ended, ToScripts};
use rustix::process::Signal;

use crate::support::{Core, alive, shell, under_way};

const WAITS: &str = "waiting for it to end";

#[tokio::test]
async fn a_second_helper_waits_until_the_first_has_ended() -> Result<()> {
    let core = Core::new().await?;
    let mut first = core.journalling(&[])?;
    let (mut connection, _) = core.accept().await?;
    connection.tell(&ToScripts::Ready {})?;
    let gate = core.gate("gate")?;
    let run = shell(1, "a", gate.wait());
    connection.run(run.clone())?;
    let child = connection.started(1).await?;
    let mut second = core.journalling(&[])?;
    let text = second.logged(WAITS).await?;
    let pid = first.pid()?.as_raw_nonzero();
    assert!(text.contains(&format!("pid={pid}")), "{text}");
    // A third one waits as well, and a signal ends that.
    let mut third = core.journalling(&[])?;
    third.logs(WAITS).await?;
    third.signal(Signal::TERM)?;
    assert!(third.ended().await?.success());
    // The first is not disturbed.
    connection.run(shell(2, "b", ":"))?;
    assert_eq!(connection.end(2).await?, Ended::Exited(0));
    first.signal(Signal::KILL)?;
    first.ended().await?;
    let (mut connection, resumed) = core.accept().await?;
    assert_eq!(resumed[0], under_way(&run, Some(child)));
    connection.tell(&ToScripts::Ready {})?;
    gate.open().await?;
    assert_eq!(connection.end(1).await?, Ended::Lost);
    Ok(())
}

#[tokio::test]
async fn a_helper_that_is_ending_leaves_its_scripts_to_one_that_waits() -> Result<()> {
    let core = Core::new().await?;
    let mut first = core.journalling(&["--stop-wait", "1h"])?;
    let (mut connection, _) = core.accept().await?;
    connection.tell(&ToScripts::Ready {})?;
    let gate = core.gate("gate")?;
    let run = shell(1, "a", gate.wait());
    let second = shell(2, "a", "exit 7");
    connection.tell(&ToScripts::Run(vec![run.clone(), second.clone()]))?;
    let child = connection.started(1).await?;
    first.signal(Signal::TERM)?;
    let _successor = core.journalling(&[])?;
    first.logs("that one goes on with the scripts").await?;
    assert!(first.ended().await?.success());
    assert!(alive(child));
    assert!(connection.at_end().await?);
    let (mut connection, resumed) = core.accept().await?;
    assert_eq!(
        resumed,
        [under_way(&run, Some(child)), under_way(&second, None)]
    );
    connection.tell(&ToScripts::Ready {})?;
    gate.open().await?;
    assert_eq!(connection.end(1).await?, Ended::Lost);
    assert_eq!(connection.end(2).await?, Ended::Exited(7));
    Ok(())
}

#[tokio::test]
async fn who_waits_long_for_a_stopped_helper_warns_and_names_it() -> Result<()> {
    let core = Core::new().await?;
    let mut first = core.journalling(&[])?;
    let (mut connection, _) = core.accept().await?;
    connection.tell(&ToScripts::Ready {})?;
    connection.run(shell(1, "a", ":"))?;
    assert_eq!(connection.end(1).await?, Ended::Exited(0));
    first.signal(Signal::STOP)?;
    let mut second = core.journalling(&[])?;
    let text = second.logged("still waiting").await?;
    let pid = first.pid()?.as_raw_nonzero();
    assert!(text.contains("WARN"), "{text}");
    assert!(text.contains(&format!("pid={pid}")), "{text}");
    assert!(text.contains("kill it"), "{text}");
    first.signal(Signal::KILL)?;
    first.ended().await?;
    let (_connection, resumed) = core.accept().await?;
    assert_eq!(resumed.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_helper_whose_lock_another_has_starts_nothing_more_and_leaves_its_runs_to_that_one()
-> Result<()> {
    let core = Core::new().await?;
    let mut first = core.journalling(&[])?;
    let (mut connection, _) = core.accept().await?;
    connection.tell(&ToScripts::Ready {})?;
    let gate = core.gate("gate")?;
    let log = core.path("log");
    let noting = |run| shell(run, "a", format!("echo {run} >>'{}'", log.display()));
    let run = shell(1, "a", gate.wait());
    connection.tell(&ToScripts::Run(vec![run.clone(), noting(2), noting(3)]))?;
    let child = connection.started(1).await?;
    fs::remove_file(core.path("journal").join("lock"))?;
    let mut second = core.journalling(&[])?;
    second.logs("going on where the journal").await?;
    gate.open().await?;
    first.logs("that one goes on with the scripts").await?;
    assert!(first.ended().await?.success());
    let (mut connection, resumed) = core.accept().await?;
    assert_eq!(resumed[0], under_way(&run, Some(child)));
    assert_eq!(resumed.len(), 3);
    connection.tell(&ToScripts::Ready {})?;
    assert_eq!(connection.end(1).await?, Ended::Lost);
    assert_eq!(connection.end(3).await?, Ended::Exited(0));
    assert_eq!(fs::read_to_string(log)?, "2\n3\n");
    Ok(())
}

#[tokio::test]
async fn a_helper_that_cannot_lock_the_directory_waits_for_the_one_that_uses_it() -> Result<()> {
    let core = Core::new().await?;
    let mut first = core.journalling(&[])?;
    let (connection, _) = core.accept().await?;
    connection.tell(&ToScripts::Ready {})?;
    // As when others may write into what is mounted over it.
    fs::set_permissions(core.path("journal"), Permissions::from_mode(0o777))?;
    let mut second = core.journalling(&[])?;
    let text = second
        .logged("another script helper locks the directory")
        .await?;
    let pid = first.pid()?.as_raw_nonzero();
    assert!(text.contains(&format!("pid={pid}")), "{text}");
    first.signal(Signal::KILL)?;
    first.ended().await?;
    let (mut connection, _) = core.accept().await?;
    let fault = connection.journal_fault().await?.unwrap_or_default();
    assert!(fault.contains("chmod go-w"), "{fault}");
    let pid = second.pid()?.as_raw_nonzero();
    assert!(fault.contains(&format!("`kill {pid}'")), "{fault}");
    Ok(())
}

#[tokio::test]
async fn a_directory_in_the_place_of_next_prevents_only_the_quick_handover() -> Result<()> {
    let core = Core::new().await?;
    fs::create_dir_all(core.path("journal").join("next"))?;
    fs::set_permissions(core.path("journal"), Permissions::from_mode(0o700))?;
    let mut first = core.journalling(&[])?;
    first.logs("cannot open the file `next'").await?;
    let (mut connection, _) = core.accept().await?;
    let fault = connection.journal_fault().await?.unwrap_or_default();
    assert!(fault.contains("`next'"), "{fault}");
    connection.tell(&ToScripts::Ready {})?;
    connection.run(shell(1, "a", "exit 3"))?;
    assert_eq!(connection.end(1).await?, Ended::Exited(3));
    let mut second = core.journalling(&[])?;
    second.logs(WAITS).await?;
    first.signal(Signal::KILL)?;
    first.ended().await?;
    let (_connection, resumed) = core.accept().await?;
    assert_eq!(resumed.len(), 1);
    Ok(())
}

#[tokio::test]
async fn who_waits_for_a_child_of_a_dead_helper_says_so() -> Result<()> {
    let core = Core::new().await?;
    fs::create_dir(core.path("journal"))?;
    fs::set_permissions(core.path("journal"), Permissions::from_mode(0o700))?;
    // Like a child that is started and does not execute its program yet.
    let lock = fs::File::create(core.path("journal").join("lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    let mut helper = core.journalling(&[])?;
    helper
        .logs("the child hangs while the system executes its program")
        .await?;
    drop(lock);
    core.accept().await?;
    Ok(())
}
