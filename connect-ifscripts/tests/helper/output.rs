// SPDX-License-Identifier: GPL-3.0-or-later
//! What scripts write: line by line, at once, whatever it is and however much.

use anyhow::Result;
use connect_ipc::RunId;
use connect_ipc::scripts::{Ended, FromScripts, Stream, ToScripts};

use crate::support::{Core, shell};

#[tokio::test]
async fn a_line_comes_while_the_script_goes_on() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let gate = core.gate("gate")?;
    connection.run(shell(
        1,
        "a",
        format!("echo challenge; {}; echo done", gate.wait()),
    ))?;
    connection.line(1, "challenge").await?;
    gate.open().await?;
    connection.line(1, "done").await?;
    assert_eq!(connection.end(1).await?, Ended::Exited(0));
    Ok(())
}

#[tokio::test]
async fn lines_are_as_they_were_written() -> Result<()> {
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let script = r"printf 'a\n\n\nb\r\n\377\376x\n\303\251\nlast'; printf 'no newline' >&2";
    connection.run(shell(1, "a", script))?;
    let story = connection.story(1).await?;
    let expected = ["a", "", "", "b\r", "\u{fffd}\u{fffd}x", "\u{e9}", "last"];
    assert_eq!(story.stdout, expected);
    assert_eq!(story.stderr, ["no newline"]);
    assert_eq!((story.eofs, story.dropped), (2, 0));
    Ok(())
}

#[tokio::test]
async fn the_messages_of_a_run_come_in_order() -> Result<()> {
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    connection.run(shell(1, "a", "echo out; echo err >&2"))?;
    let mut kinds = Vec::new();
    while kinds.last() != Some(&"ended") {
        kinds.push(match connection.next().await? {
            FromScripts::Started { .. } => "started",
            FromScripts::Output {
                stream: Stream::Stdout,
                ..
            } => "out",
            FromScripts::Output {
                stream: Stream::Stderr,
                ..
            } => "err",
            FromScripts::Eof {
                stream: Stream::Stdout,
                ..
            } => "out-eof",
            FromScripts::Eof {
                stream: Stream::Stderr,
                ..
            } => "err-eof",
            FromScripts::Ended { .. } => "ended",
            other => panic!("{other:?}"),
        });
    }
    assert_eq!((kinds[0], kinds.len()), ("started", 6), "{kinds:?}");
    let at = |kind| kinds.iter().position(|found| *found == kind);
    assert!(
        at("out") < at("out-eof") && at("err") < at("err-eof"),
        "{kinds:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_line_of_a_megabyte_is_cut() -> Result<()> {
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let script = r"head -c 1048576 /dev/zero | tr '\0' x; echo; echo next";
    connection.run(shell(1, "a", script))?;
    let story = connection.story(1).await?;
    let expected = format!("{}...", "x".repeat(64 * 1024));
    assert_eq!(story.stdout.len(), 2);
    assert!(
        story.stdout[0] == expected,
        "{} bytes",
        story.stdout[0].len()
    );
    assert_eq!(story.stdout[1], "next");
    assert_eq!(story.dropped, 0);
    Ok(())
}

#[tokio::test]
async fn a_script_may_close_its_output_early() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let gate = core.gate("gate")?;
    let script = format!("exec >&-; {}; echo still here >&2", gate.wait());
    connection.run(shell(1, "a", script))?;
    assert_eq!(connection.eof(1, Stream::Stdout).await?, [""; 0]);
    gate.open().await?;
    let story = connection.story(1).await?;
    assert_eq!(story.stderr, ["still here"]);
    assert_eq!(story.end, Some(Ended::Exited(0)));
    Ok(())
}

#[tokio::test]
async fn a_flood_is_counted() -> Result<()> {
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    // 100 MB in lines of 100 bytes.
    let script = r"line=$(printf '%099d' 7); yes $line | head -n 1000000";
    connection.run(shell(1, "a", script))?;
    let story = connection.story(1).await?;
    assert_eq!(story.stdout.len(), 1_000);
    assert!(story.stdout.iter().all(|line| line.len() == 99));
    assert_eq!(story.dropped, 999_000);
    assert_eq!(story.end, Some(Ended::Exited(0)));
    Ok(())
}

#[tokio::test]
async fn memory_stays_bounded_whatever_is_written() -> Result<()> {
    let (_core, helper, mut connection) = Core::with_helper(&[]).await?;
    // Short lines, long lines, and no line at all: 30 MB of each on both streams.
    let scripts = [
        r"yes | head -c 30000000",
        r"line=$(head -c 60000 /dev/zero | tr '\0' x); yes $line | head -c 30000000",
        r"head -c 30000000 /dev/zero",
    ];
    for (run, script) in (1..).zip(scripts) {
        let script = format!("{{ {script}; }}; {{ {script}; }} >&2");
        connection.run(shell(run, &run.to_string(), script))?;
    }
    let mut over = 0;
    while over < scripts.len() {
        if let FromScripts::Ended { end, .. } = connection.next().await? {
            assert_eq!(end, Ended::Exited(0));
            over += 1;
        }
    }
    // The program itself has less than 20 MB; the lines passed on are less than 1 MiB a stream.
    let peak = helper.peak_memory()?;
    assert!(peak < 64 * 1024 * 1024, "{peak} bytes");
    Ok(())
}

#[tokio::test]
async fn a_flood_without_end_does_not_keep_others_from_being_served() -> Result<()> {
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    connection.run(shell(1, "a", "exec yes"))?;
    connection.run(shell(2, "b", "exec yes >&2"))?;
    connection.line(1, "y").await?;
    for run in 10..20 {
        connection.run(shell(run, "c", "echo served"))?;
        let story = connection.story(run).await?;
        assert_eq!(story.stdout, ["served"]);
    }
    connection.tell(&ToScripts::Stop(RunId(1)))?;
    let story = connection.story(1).await?;
    assert_eq!(story.end, Some(Ended::Stopped));
    assert!(story.dropped > 0);
    connection.tell(&ToScripts::Stop(RunId(2)))?;
    assert_eq!(connection.end(2).await?, Ended::Stopped);
    Ok(())
}
