// SPDX-License-Identifier: GPL-3.0-or-later
//! What a helper that was killed leaves for the next one, and what is reported when it cannot.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use connect_ipc::RunId;
use connect_ipc::scripts::{Child, Ended, FromScripts, Run, ScriptKind, ToScripts, UnderWay};
use connect_ipc::setup::{Lane, Made, Pair, SetupKey, SetupState};
use connect_runtime::pidfd::Watched;
use rustix::process::{Resource, Rlimit, Signal, prlimit};

use crate::support::{Connection, Core, Gate, Helper, alive, shell, under_way, within};

/// A helper with a journal that has begun.
async fn begun() -> Result<(Core, Helper, Connection)> {
    let core = Core::new().await?;
    let helper = core.journalling(&[])?;
    let (connection, resumed) = core.accept().await?;
    assert_eq!(resumed, []);
    connection.tell(&ToScripts::Ready {})?;
    Ok((core, helper, connection))
}

/// Kills a helper.
async fn kill(mut helper: Helper, connection: Connection) -> Result<()> {
    helper.signal(Signal::KILL)?;
    helper.ended().await?;
    drop(connection);
    Ok(())
}

/// The next helper.
async fn succeed(core: &Core) -> Result<(Helper, Connection, Vec<UnderWay>)> {
    let helper = core.journalling(&[])?;
    let (connection, resumed) = core.accept().await?;
    Ok((helper, connection, resumed))
}

/// A setup that this run makes.
fn made(run: u64, interface: &str) -> SetupState {
    SetupState::Made(Arc::new(Made {
        server: None,
        interface: interface.to_owned(),
        address: String::new(),
        algorithms: Vec::new(),
        record: Vec::new(),
        runs: vec![RunId(run)],
        never_started: false,
    }))
}

/// The one segment of the journal.
fn segment(core: &Core) -> Result<PathBuf> {
    let mut found = None;
    for entry in fs::read_dir(core.path("journal"))? {
        let path = entry?.path();
        let is_segment = path.to_string_lossy().contains("/journal-");
        if is_segment && found.replace(path).is_some() {
            anyhow::bail!("there are two segments");
        }
    }
    found.context("there is no segment")
}

/// Waits for an answer, which says that what was sent before has arrived.
async fn recall(connection: &mut Connection) -> Result<()> {
    connection.tell(&ToScripts::Recall(None))?;
    while !matches!(connection.next().await?, FromScripts::Setups(_)) {}
    Ok(())
}

/// A run that writes its number into a file.
fn noting(core: &Core, run: u64, peer: &str) -> Run {
    let log = core.path("log");
    shell(
        run,
        peer,
        format!("echo {run} >>'{}'; exit 5", log.display()),
    )
}

#[tokio::test]
async fn after_a_kill_each_script_has_run_once_and_in_order() -> Result<()> {
    let (core, helper, mut connection) = begun().await?;
    let gate = core.gate("gate")?;
    let first = shell(1, "a", gate.wait());
    let (second, third) = (noting(&core, 2, "a"), noting(&core, 3, "a"));
    let other = noting(&core, 4, "b");
    let all = [&first, &second, &third, &other].map(Clone::clone);
    connection.tell(&ToScripts::Run(all.to_vec()))?;
    let child = connection.started(1).await?;
    assert_eq!(connection.end(4).await?, Ended::Exited(5));
    kill(helper, connection).await?;
    assert!(alive(child));

    let (helper, mut connection, resumed) = succeed(&core).await?;
    assert_eq!(resumed.len(), 4);
    assert_eq!(resumed[0], under_way(&first, Some(child)));
    assert_eq!(
        resumed[1..3],
        [under_way(&second, None), under_way(&third, None)]
    );
    assert_eq!(resumed[3].run, RunId(4));
    // Nobody has settled it.
    assert_eq!(connection.end(4).await?, Ended::Exited(5));
    connection.tell(&ToScripts::Ready {})?;
    connection.tell(&ToScripts::Run(all.to_vec()))?;
    assert_eq!(connection.end(4).await?, Ended::Exited(5), "as before");
    gate.open().await?;
    assert_eq!(connection.end(1).await?, Ended::Lost);
    assert_eq!(connection.end(2).await?, Ended::Exited(5));
    assert_eq!(connection.end(3).await?, Ended::Exited(5));
    assert_eq!(fs::read_to_string(core.path("log"))?, "4\n2\n3\n");

    let settled = [1, 2, 4].map(RunId);
    connection.tell(&ToScripts::Settled(settled.to_vec()))?;
    recall(&mut connection).await?;
    kill(helper, connection).await?;
    let (_helper, mut connection, resumed) = succeed(&core).await?;
    assert_eq!(resumed.len(), 1);
    assert_eq!(connection.end(3).await?, Ended::Exited(5));
    assert_eq!(fs::read_to_string(core.path("log"))?, "4\n2\n3\n");
    Ok(())
}

#[tokio::test]
async fn orders_that_a_signal_has_overtaken_are_noted_and_carried_out() -> Result<()> {
    for stop_wait in ["0", "2m"] {
        let core = Core::new().await?;
        let mut helper = core.journalling(&["--stop-wait", stop_wait])?;
        let (mut connection, _) = core.accept().await?;
        connection.tell(&ToScripts::Ready {})?;
        recall(&mut connection).await?;
        // When it continues, it finds the signal and the order together: it has read all that was
        // sent before, and it is suspended before the order is sent.
        helper.stand_still().await?;
        let script = format!("echo ran >>'{}'", core.path("log").display());
        let order = ToScripts::Run(vec![shell(1, "a", script)]);
        connection.tell_last(&order)?;
        helper.signal(Signal::TERM)?;
        helper.signal(Signal::CONT)?;
        helper.ended().await?;
        // If it had time to wait, it may have run the script itself. If it had none and was busy
        // when it was suspended, it may have read the order first: then it left the script running.
        let (_helper, mut connection, resumed) = succeed(&core).await?;
        assert_eq!(resumed.len(), 1, "{stop_wait}");
        connection.tell(&ToScripts::Ready {})?;
        let end = connection.end(1).await?;
        let left = stop_wait == "0" && end == Ended::Lost;
        assert!(left || end == Ended::Exited(0), "{stop_wait}: {end:?}");
        assert_eq!(fs::read_to_string(core.path("log"))?, "ran\n");
    }
    Ok(())
}

/// A number of a run that no other test uses, as no two cores use the same number.
fn unique(number: u64) -> u64 {
    u64::from(std::process::id()) << 32 | number
}

/// A script that waits at the gate.
const WAITS: &str = "eval \"$WAITS\"";

/// A helper was killed between the start of a child and the note of it.
async fn cut_in_the_window(number: u64, script: &str) -> Result<(Core, Gate, Run, Child)> {
    let (core, helper, mut connection) = begun().await?;
    let gate = core.gate("gate")?;
    let mut run = shell(number, "a", script);
    let waits = format!("echo here; {}", gate.wait());
    run.environment = vec![("WAITS".to_owned(), waits)];
    connection.run(run.clone())?;
    let child = connection.started(number).await?;
    connection.line(number, "here").await?;
    kill(helper, connection).await?;
    let segment = segment(&core)?;
    let text = fs::read_to_string(&segment)?;
    let lines = text.split_inclusive('\n');
    let before: String = lines
        .take_while(|line| !line.contains("\"started\""))
        .collect();
    assert!(before.contains("\"starting\""), "{text}");
    fs::write(segment, before)?;
    Ok((core, gate, run, child))
}

#[tokio::test]
async fn a_child_of_which_nothing_was_noted_is_found_by_its_number() -> Result<()> {
    found(unique(1), &format!("exec </dev/null; {WAITS}")).await
}

#[tokio::test]
async fn one_that_has_executed_a_program_without_the_number_is_found_by_its_input() -> Result<()> {
    found(unique(3), "exec env -i sh -c \"$WAITS\"").await
}

/// The child of such a script is found, and the next script waits for it.
async fn found(number: u64, script: &str) -> Result<()> {
    let (core, gate, run, child) = cut_in_the_window(number, script).await?;
    let (_helper, mut connection, resumed) = succeed(&core).await?;
    assert_eq!(resumed, [under_way(&run, None)]);
    assert_eq!(connection.started(number).await?, child);
    connection.tell(&ToScripts::Ready {})?;
    connection.run(shell(number + 1, "a", ":"))?;
    gate.open().await?;
    let (run, end) = (RunId(number), Ended::Lost);
    let next = connection.next_but_eof().await?;
    assert_eq!(next, FromScripts::Ended { run, end }, "the second waits");
    assert_eq!(connection.end(number + 1).await?, Ended::Exited(0));
    Ok(())
}

#[tokio::test]
async fn a_child_of_which_nothing_is_found_is_lost_and_not_run_again() -> Result<()> {
    let number = unique(2);
    let (core, gate, run, child) = cut_in_the_window(number, WAITS).await?;
    let watched = Watched::find(child.pid)?.context("it has ended already")?;
    gate.open().await?;
    within(watched.ended()).await?;
    let (_helper, mut connection, resumed) = succeed(&core).await?;
    assert_eq!(resumed, [under_way(&run, None)]);
    assert_eq!(connection.end(number).await?, Ended::Lost);
    connection.tell(&ToScripts::Ready {})?;
    connection.run(run)?;
    assert_eq!(connection.end(number).await?, Ended::Lost);
    Ok(())
}

#[tokio::test]
async fn setups_outlive_the_helper() -> Result<()> {
    let (core, helper, mut connection) = begun().await?;
    let mut run = shell(1, "a", ":");
    run.setup = Some(made(1, "tripe0"));
    connection.run(run)?;
    assert_eq!(connection.end(1).await?, Ended::Exited(0));
    kill(helper, connection).await?;
    let (_helper, mut connection, _) = succeed(&core).await?;
    assert_eq!(connection.end(1).await?, Ended::Exited(0));
    connection.tell(&ToScripts::Recall(None))?;
    let FromScripts::Setups(page) = connection.next_but_eof().await? else {
        panic!("no setups");
    };
    assert!(!page.more);
    let key = SetupKey {
        peer: "a".to_owned(),
        pair: Pair::Interface,
    };
    assert_eq!(page.setups.len(), 1);
    assert_eq!(page.setups[0].key, key);
    let SetupState::Made(found) = &page.setups[0].state else {
        panic!("{page:?}");
    };
    assert_eq!(found.interface, "tripe0");
    assert_eq!((&*found.runs, found.never_started), (&[][..], false));
    Ok(())
}

#[tokio::test]
async fn a_journal_of_another_boot_is_void() -> Result<()> {
    let (core, helper, mut connection) = begun().await?;
    connection.run(noting(&core, 1, "a"))?;
    assert_eq!(connection.end(1).await?, Ended::Exited(5));
    kill(helper, connection).await?;
    let segment = segment(&core)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let text = fs::read_to_string(&segment)?;
    assert!(text.contains(boot.trim()));
    fs::write(segment, text.replace(boot.trim(), "another"))?;
    let (_helper, connection, resumed) = succeed(&core).await?;
    assert_eq!(resumed, []);
    connection.tell(&ToScripts::Ready {})?;
    Ok(())
}

#[tokio::test]
async fn without_a_directory_that_can_be_written_scripts_run_and_core_is_told() -> Result<()> {
    let core = Core::new().await?;
    fs::write(core.path("file"), "")?;
    let nowhere = core.path("file").join("journal");
    for (options, text) in [
        (vec![], "--journal-dir"),
        (
            vec!["--journal-dir", &nowhere.to_string_lossy()],
            "cannot make the directory",
        ),
    ] {
        let _helper = core.helper(&options)?;
        let (mut connection, _) = core.accept().await?;
        let fault = connection.journal_fault().await?.context("no fault")?;
        assert!(fault.contains(text), "{fault}");
        assert!(fault.contains("if connect-ifscripts is killed"), "{fault}");
        connection.tell(&ToScripts::Ready {})?;
        connection.run(shell(1, "a", "exit 3"))?;
        assert_eq!(connection.end(1).await?, Ended::Exited(3));
    }
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_told_and_its_end_too() -> Result<()> {
    let core = Core::new().await?;
    // As with a full disk, a write beyond this size fails.
    let helper = core.journalling_after("trap '' XFSZ; ulimit -S -f 8")?;
    let (mut connection, _) = core.accept().await?;
    connection.tell(&ToScripts::Ready {})?;
    let mut large = shell(1, "a", "exit 3");
    large.setup = Some(made(1, &"x".repeat(100_000)));
    connection.tell(&ToScripts::Run(vec![large, shell(2, "a", "exit 4")]))?;
    let fault = connection.journal_fault().await?.context("no fault")?;
    assert!(fault.contains("cannot write the journal"), "{fault}");
    assert_eq!(connection.end(1).await?, Ended::Exited(3));
    assert_eq!(connection.end(2).await?, Ended::Exited(4));
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    prlimit(Some(helper.pid()?), Resource::Fsize, unlimited)?;
    assert_eq!(connection.journal_fault().await?, None);
    kill(helper, connection).await?;
    let (_helper, _connection, resumed) = succeed(&core).await?;
    assert_eq!(resumed.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_directory_that_is_removed_is_told_and_made_again_and_nothing_is_lost() -> Result<()> {
    let (core, helper, mut connection) = begun().await?;
    let gate = core.gate("gate")?;
    let first = shell(1, "a", gate.wait());
    let (second, third) = (noting(&core, 2, "a"), noting(&core, 3, "b"));
    connection.tell(&ToScripts::Run(vec![first.clone(), second.clone()]))?;
    let child = connection.started(1).await?;
    core.remove_journal()?;
    // It checks when it writes, at most once a second.
    let mut number = 100;
    connection.run(noting(&core, number, "c"))?;
    let fault = loop {
        match connection.next_of_all().await? {
            FromScripts::JournalFault(fault) => break fault.context("no fault")?,
            FromScripts::Ended { .. } => {
                connection.tell(&ToScripts::Settled(vec![RunId(number)]))?;
                number += 1;
                connection.run(noting(&core, number, "c"))?;
            }
            _ => {}
        }
    };
    assert!(fault.contains("the directory was removed"), "{fault}");
    assert_eq!(connection.journal_fault().await?, None);
    kill(helper, connection).await?;
    let (_helper, mut connection, resumed) = succeed(&core).await?;
    assert_eq!(resumed[0], under_way(&first, Some(child)));
    assert_eq!(resumed[1], under_way(&second, None));
    connection.tell(&ToScripts::Ready {})?;
    gate.open().await?;
    assert_eq!(connection.end(1).await?, Ended::Lost);
    assert_eq!(connection.end(2).await?, Ended::Exited(5));
    connection.run(third)?;
    assert_eq!(connection.end(3).await?, Ended::Exited(5));
    Ok(())
}

#[tokio::test]
async fn commands_that_hang_stop_no_ifup() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&["--connect-children", "2"]).await?;
    let mut gates = Vec::new();
    for run in 1..=3 {
        let gate = core.gate(&format!("gate{run}"))?;
        let mut connect = shell(run, &format!("p{run}"), gate.wait());
        connect.kind = ScriptKind::Connect;
        connection.run(connect)?;
        gates.push(gate);
    }
    assert_eq!(connection.full().await?, (Lane::Connection, true));
    for run in 4..=9 {
        connection.run(shell(run, &format!("p{run}"), ":"))?;
        assert_eq!(connection.end(run).await?, Ended::Exited(0));
    }
    gates[0].open().await?;
    assert_eq!(connection.full().await?, (Lane::Connection, false));
    for gate in &gates[1..] {
        gate.open().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_was_removed_while_nothing_happened_is_there_again_for_the_next_helper() -> Result<()>
{
    let (core, mut helper, mut connection) = begun().await?;
    let run = noting(&core, 1, "a");
    connection.run(run.clone())?;
    assert_eq!(connection.end(1).await?, Ended::Exited(5));
    core.remove_journal()?;
    helper.signal(Signal::TERM)?;
    assert!(helper.ended().await?.success());
    drop(connection);
    let (_helper, mut connection, resumed) = succeed(&core).await?;
    assert_eq!(resumed.len(), 1);
    assert_eq!(connection.end(1).await?, Ended::Exited(5));
    Ok(())
}
