// SPDX-License-Identifier: GPL-3.0-or-later
//! How runs end: by themselves, by a signal, by their time limit, because core says so.

use anyhow::{Context as _, Result};
use connect_ipc::RunId;
use connect_ipc::scripts::{Ended, FromScripts, Stream, ToScripts};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::support::{Core, alive, shell};

/// A script that ignores TERM and waits for a gate, so that only KILL ends it. The shell's own
/// child is in its group and inherits that TERM is ignored.
fn stubborn(wait: &str) -> String {
    format!("trap '' TERM; echo here; {wait}")
}

#[tokio::test]
async fn statuses_are_told_as_they_are() -> Result<()> {
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let cases = [
        ("exit 0", Ended::Exited(0)),
        ("exit 1", Ended::Exited(1)),
        ("exit 255", Ended::Exited(255)),
        ("kill -KILL $$", Ended::Signal(9)),
        // Not HUP: the shell that runs the tests may ignore it, as nohup does, and then its
        // children do, too.
        ("kill -USR1 $$", Ended::Signal(10)),
    ];
    for (run, (script, end)) in (1..).zip(cases) {
        connection.run(shell(run, "a", script))?;
        assert_eq!(connection.end(run).await?, end, "{script}");
    }
    Ok(())
}

#[tokio::test]
async fn a_time_limit_ends_what_heeds_term_and_what_does_not() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let gate = core.gate("gate")?;
    let mut heeding = shell(
        1,
        "a",
        format!("trap 'echo bye; exit 0' TERM; {}", gate.wait()),
    );
    let mut ignoring = shell(2, "b", stubborn(&gate.wait()));
    // The first has to have set its trap by then, however slow the machine is.
    (heeding.limit, ignoring.limit) = (Some(3), Some(1));
    connection.tell(&ToScripts::Run(vec![heeding, ignoring, shell(3, "b", ":")]))?;
    let story = connection.story(1).await?;
    assert_eq!(story.end, Some(Ended::TimedOut));
    assert_eq!(story.stdout, ["bye"]);
    assert_eq!(connection.end(2).await?, Ended::TimedOut);
    assert_eq!(connection.end(3).await?, Ended::Exited(0));
    Ok(())
}

#[tokio::test]
async fn a_stop_ends_a_running_script_and_forgets_a_waiting_one() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let gate = core.gate("gate")?;
    let mark = core.path("mark");
    connection.tell(&ToScripts::Run(vec![
        shell(1, "a", format!("echo here; {}", gate.wait())),
        shell(2, "a", format!(">'{}'", mark.display())),
        shell(3, "a", "echo third"),
    ]))?;
    connection.line(1, "here").await?;
    connection.tell(&ToScripts::Stop(RunId(2)))?;
    assert_eq!(connection.end(2).await?, Ended::Stopped);
    connection.tell(&ToScripts::Stop(RunId(1)))?;
    assert_eq!(connection.end(1).await?, Ended::Stopped);
    assert_eq!(connection.story(3).await?.stdout, ["third"]);
    assert!(!mark.exists());
    connection.tell(&ToScripts::Stop(RunId(77)))?;
    assert!(matches!(connection.next().await?, FromScripts::Error(_)));
    Ok(())
}

#[tokio::test]
async fn a_stop_ends_the_whole_group() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let gate = core.gate("gate")?;
    // The leader ends at TERM at once. What it has started does not, and keeps standard output
    // open.
    let script = format!("({}) & wait", stubborn(&gate.wait()));
    connection.run(shell(1, "a", script))?;
    let leader = connection.started(1).await?;
    connection.line(1, "here").await?;
    connection.tell(&ToScripts::Stop(RunId(1)))?;
    // This comes only when the last process with the pipe has ended, and only KILL ends it.
    let mut ended = None;
    let mut open = 2;
    while ended.is_none() || open > 0 {
        match connection.next().await? {
            FromScripts::Eof { .. } => open -= 1,
            FromScripts::Ended { end, .. } => ended = Some(end),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ended, Some(Ended::Stopped));
    assert!(!alive(leader));
    Ok(())
}

#[tokio::test]
async fn a_script_that_cannot_be_ended_is_reported_by_the_next_helper_too_and_others_run()
-> Result<()> {
    if !geteuid().is_root() {
        // Nobody else can make a process of another user.
        return Ok(());
    }
    let core = Core::new().await?;
    let weak = "exec setpriv --bounding-set=-kill --inh-caps=-kill \"$0\" \"$@\"";
    let mut helper = core.journalling_after(weak)?;
    let (mut connection, _) = core.accept().await?;
    connection.tell(&ToScripts::Ready {})?;
    let script = "exec setpriv --reuid=65533 --clear-groups sleep 600";
    let mut run = shell(1, "a", script);
    run.limit = Some(1);
    connection.run(run)?;
    let child = connection.started(1).await?;
    let since = connection.survives(1).await?;
    connection.tell(&ToScripts::Run(vec![
        shell(2, "a", "echo 2"),
        shell(3, "b", ":"),
    ]))?;
    assert_eq!(connection.end(3).await?, Ended::Exited(0));
    helper.signal(Signal::KILL)?;
    helper.ended().await?;
    let _helper = core.journalling_after(weak)?;
    let (mut connection, _) = core.accept().await?;
    connection.tell(&ToScripts::Ready {})?;
    let again = connection.survives(1).await?;
    assert_eq!(again, since, "it is known since when");
    let child = Pid::from_raw(child.pid).context("no process")?;
    kill_process(child, Signal::KILL)?;
    assert_eq!(connection.end(1).await?, Ended::TimedOut);
    assert_eq!(connection.story(2).await?.stdout, ["2"]);
    Ok(())
}

/// A script that moves to the process group of its parent and then waits.
const LEAVES_ITS_GROUP: &str =
    "exec perl -e 'setpgrp(0, getpgrp(getppid)) or die; $| = 1; print \"here\\n\"; sleep'";

#[tokio::test]
async fn a_script_that_has_left_its_process_group_is_ended_and_nobody_else() -> Result<()> {
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    connection.run(shell(1, "a", LEAVES_ITS_GROUP))?;
    connection.line(1, "here").await?;
    connection.tell(&ToScripts::Stop(RunId(1)))?;
    assert_eq!(connection.end(1).await?, Ended::Stopped);
    let script = LEAVES_ITS_GROUP.replace("setpgrp", "$SIG{TERM} = \"IGNORE\"; setpgrp");
    connection.run(shell(2, "a", script))?;
    connection.line(2, "here").await?;
    connection.tell(&ToScripts::Stop(RunId(2)))?;
    assert_eq!(connection.end(2).await?, Ended::Stopped);
    // The helper, whose group they had joined, lives.
    connection.run(shell(3, "a", ":"))?;
    assert_eq!(connection.end(3).await?, Ended::Exited(0));
    Ok(())
}

#[tokio::test]
async fn a_grandchild_that_has_the_pipe_open_delays_nothing() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let gate = core.gate("gate")?;
    let script = format!(
        "({}; echo late; printf last) & echo first; exit 4",
        gate.wait()
    );
    connection.tell(&ToScripts::Run(vec![
        shell(1, "a", script),
        shell(2, "a", ":"),
    ]))?;
    let story = connection.story(1).await?;
    assert_eq!(story.end, Some(Ended::Exited(4)));
    assert_eq!(story.stdout, ["first"], "sent before the end");
    assert_eq!(connection.end(2).await?, Ended::Exited(0));
    gate.open().await?;
    assert_eq!(connection.eof(1, Stream::Stdout).await?, ["late", "last"]);
    Ok(())
}

#[tokio::test]
async fn of_very_many_pipes_left_open_the_oldest_is_closed() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let gate = core.gate("gate")?;
    let last = 257;
    for run in 1..=last {
        connection.run(shell(run, "a", format!("({}) & exit 0", gate.wait())))?;
    }
    let mut closed = Vec::new();
    let mut over = 0;
    while over < last || closed.len() < 2 {
        match connection.next().await? {
            FromScripts::Eof { run, stream } => closed.push((run, stream)),
            FromScripts::Ended { .. } => over += 1,
            _ => {}
        }
    }
    let first = RunId(1);
    assert_eq!(closed, [(first, Stream::Stdout), (first, Stream::Stderr)]);
    // The ones that are still there may end.
    gate.open().await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_unreaped() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let (mut gates, mut children) = (Vec::new(), Vec::new());
    for run in 1..=20 {
        let peer = run.to_string();
        let gate = core.gate(&peer)?;
        connection.run(shell(run, &peer, format!("{}; exit 1", gate.wait())))?;
        children.push(connection.started(run).await?);
        gates.push(gate);
    }
    // They end almost at the same time, so that we would see if one notice among many were lost.
    for gate in gates {
        gate.open().await?;
    }
    let mut ended = 0;
    while ended < 20 {
        if let FromScripts::Ended { .. } = connection.next().await? {
            ended += 1;
        }
    }
    for child in children {
        let stat = std::path::Path::new("/proc").join(child.pid.to_string());
        assert!(!stat.exists(), "{child:?} is still there");
    }
    Ok(())
}
