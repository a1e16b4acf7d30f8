// SPDX-License-Identifier: GPL-3.0-or-later
//! Scripts that write while no helper reads continue with their work, and the next helper reads it.

use anyhow::Result;
use connect_ipc::scripts::{Child, Ended, FromScripts, Run, Stream, ToScripts};
use rustix::process::Signal;

use crate::support::{Connection, Core, Gate, Helper, shell, under_way};

/// A core and the gates of a script that waits at the first one.
struct Scene {
    core: Core,
    gates: [Gate; 3],
    run: Run,
    child: Child,
}

impl Scene {
    /// A script with its gates, which has said `begun`.
    async fn begin(
        options: &[&str],
        script: impl FnOnce([String; 3]) -> String,
    ) -> Result<(Self, Helper, Connection)> {
        let core = Core::new().await?;
        let helper = core.journalling(options)?;
        let (mut connection, _) = core.accept().await?;
        connection.tell(&ToScripts::Ready {})?;
        let gates = [
            core.gate("gate1")?,
            core.gate("gate2")?,
            core.gate("gate3")?,
        ];
        let run = shell(
            1,
            "a",
            format!("echo begun; {}", script(gates.each_ref().map(Gate::wait))),
        );
        connection.run(run.clone())?;
        let child = connection.started(1).await?;
        connection.line(1, "begun").await?;
        let scene = Scene {
            core,
            gates,
            run,
            child,
        };
        Ok((scene, helper, connection))
    }

    /// The next helper, which goes on with the script.
    async fn succeed(&self) -> Result<(Helper, Connection)> {
        let helper = self.core.journalling(&[])?;
        let (connection, resumed) = self.core.accept().await?;
        assert_eq!(resumed, [under_way(&self.run, Some(self.child))]);
        connection.tell(&ToScripts::Ready {})?;
        Ok((helper, connection))
    }
}

async fn kill(mut helper: Helper, connection: Connection) -> Result<()> {
    helper.signal(Signal::KILL)?;
    helper.ended().await?;
    drop(connection);
    Ok(())
}

#[tokio::test]
async fn what_a_script_writes_after_the_death_of_its_helper_is_told_by_the_next() -> Result<()> {
    let script = |[first, second, third]: [String; 3]| {
        format!(
            "{first}; echo one; echo two; echo bad >&2; {second}; echo three; {third}; \
             echo four; printf five"
        )
    };
    let (scene, helper, connection) = Scene::begin(&[], script).await?;
    kill(helper, connection).await?;
    scene.gates[0].open().await?;
    // It has written three lines without a reader once it waits here.
    scene.gates[1].open().await?;
    let (_helper, mut connection) = scene.succeed().await?;
    scene.gates[2].open().await?;
    let story = connection.story(1).await?;
    assert_eq!(story.stdout, ["one", "two", "three", "four", "five"]);
    assert_eq!(story.stderr, ["bad"]);
    assert_eq!((story.eofs, story.end), (2, Some(Ended::Lost)));
    Ok(())
}

#[tokio::test]
async fn a_script_outlives_two_helpers_and_is_read_once_where_it_has_joined_its_streams()
-> Result<()> {
    let script = |[first, second, third]: [String; 3]| {
        format!("exec 2>&1; {first}; echo a; echo b >&2; {second}; echo c; {third}; echo d >&2")
    };
    let (scene, helper, connection) = Scene::begin(&[], script).await?;
    kill(helper, connection).await?;
    let (helper, mut connection) = scene.succeed().await?;
    scene.gates[0].open().await?;
    connection.line(1, "a").await?;
    connection.line(1, "b").await?;
    kill(helper, connection).await?;
    scene.gates[1].open().await?;
    let (_helper, mut connection) = scene.succeed().await?;
    scene.gates[2].open().await?;
    let story = connection.story(1).await?;
    assert_eq!(story.stdout, ["c", "d"]);
    assert_eq!((story.eofs, story.end), (1, Some(Ended::Lost)));
    assert_eq!(connection.eof_after_end(1).await?, Stream::Stderr);
    Ok(())
}

#[tokio::test]
async fn what_an_adopted_script_leaves_behind_is_read_to_its_end() -> Result<()> {
    let script =
        |[first, second, _]: [String; 3]| format!("({second}; echo late) & {first}; echo over");
    let (scene, helper, connection) = Scene::begin(&[], script).await?;
    kill(helper, connection).await?;
    let (_helper, mut connection) = scene.succeed().await?;
    scene.gates[0].open().await?;
    let story = connection.story(1).await?;
    assert_eq!(story.stdout, ["over"]);
    assert_eq!((story.eofs, story.end), (0, Some(Ended::Lost)));
    scene.gates[1].open().await?;
    assert_eq!(connection.eof(1, Stream::Stdout).await?, ["late"]);
    Ok(())
}

#[tokio::test]
async fn a_helper_that_is_ending_tells_what_it_has_read_and_leaves_the_rest() -> Result<()> {
    let script = |[first, second, third]: [String; 3]| {
        format!("{first}; printf 'one\\ntw'; {second}; echo o; {third}; echo three")
    };
    let (scene, mut helper, mut connection) = Scene::begin(&["--stop-wait", "1h"], script).await?;
    scene.gates[0].open().await?;
    connection.line(1, "one").await?;
    helper.signal(Signal::TERM)?;
    let successor = scene.core.journalling(&[])?;
    // The first half of a line that was read is told, since nobody can read it again.
    connection.line(1, "tw").await?;
    assert!(helper.ended().await?.success());
    drop(connection);
    scene.gates[1].open().await?;
    let (mut connection, _) = scene.core.accept().await?;
    connection.tell(&ToScripts::Ready {})?;
    scene.gates[2].open().await?;
    assert_eq!(connection.story(1).await?.stdout, ["o", "three"]);
    drop(successor);
    Ok(())
}

#[tokio::test]
async fn a_helper_without_any_further_core_leaves_output_to_the_next_helper() -> Result<()> {
    let script = |[first, second, third]: [String; 3]| {
        format!("{first}; echo one; echo two; {second}; {third}; echo three")
    };
    let (scene, mut helper, connection) = Scene::begin(&["--stop-wait", "1h"], script).await?;
    helper.signal(Signal::TERM)?;
    drop(connection);
    helper
        .logs("the next script helper reads what scripts write")
        .await?;
    scene.gates[0].open().await?;
    scene.gates[1].open().await?;
    let (_successor, mut connection) = scene.succeed().await?;
    assert!(helper.ended().await?.success());
    scene.gates[2].open().await?;
    assert_eq!(connection.story(1).await?.stdout, ["one", "two", "three"]);
    Ok(())
}

#[tokio::test]
async fn a_script_that_writes_much_does_not_wait_for_a_helper_that_no_core_will_hear() -> Result<()>
{
    let script = |[first, second, third]: [String; 3]| {
        format!("{first}; yes | head -c 1000000; {second}; {third}; echo last")
    };
    let (scene, mut helper, connection) = Scene::begin(&["--stop-wait", "1h"], script).await?;
    helper.signal(Signal::TERM)?;
    drop(connection);
    scene.gates[0].open().await?;
    // It gets here only if somebody reads most of that.
    scene.gates[1].open().await?;
    let (_successor, mut connection) = scene.succeed().await?;
    assert!(helper.ended().await?.success());
    scene.gates[2].open().await?;
    let ended = loop {
        match connection.next().await? {
            FromScripts::Ended { end, .. } => break end,
            FromScripts::Output { .. } | FromScripts::Dropped { .. } | FromScripts::Eof { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ended, Ended::Lost);
    Ok(())
}

#[tokio::test]
async fn a_process_whose_output_was_closed_at_the_limit_is_not_ended_by_writing() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let (first, second, others) = (
        core.gate("gate1")?,
        core.gate("gate2")?,
        core.gate("gate3")?,
    );
    let script = format!(
        "({}; echo a; echo b; {}) & exit 0",
        first.wait(),
        second.wait()
    );
    connection.run(shell(1, "a", script))?;
    assert_eq!(connection.end(1).await?, Ended::Exited(0));
    for run in 2..=257 {
        connection.run(shell(run, "a", format!("({}) & exit 0", others.wait())))?;
    }
    assert_eq!(connection.eof(1, Stream::Stdout).await?, [""; 0]);
    first.open().await?;
    // It gets here only if it has not been killed by its own output.
    second.open().await?;
    others.open().await?;
    Ok(())
}
