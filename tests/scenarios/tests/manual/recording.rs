// SPDX-License-Identifier: GPL-3.0-or-later
//! Recordings: what happened to a real core happens again in a replay, to the same outputs.

use std::path::Path;
use std::process::Command;

use connect_core::replay::replay;
use scenarios::{Expect as _, Outcome, Site, program};

use crate::support::{ANSWERING, pings};

/// Makes the recording of a run in which much happens: both helpers die, the server is restarted,
/// the database changes, a challenge is given out.
fn record(site: &Site, path: &Path) -> Outcome {
    let option = format!("--record={}", path.display());
    let mut service = site.connect(&["--startup", &option])?;
    let mut events = site.lab.follow_from_start();
    pings(&mut events, "p", 1)?;
    service.kill_helper("pinger")?;
    pings(&mut events, "p", 1)?;
    service.kill_helper("scripts")?;
    let mut waiting = site.admin()?;
    waiting.send("SVCSUBMIT connect passive u")?;
    waiting.receive_until("INFO ")?;
    drop(waiting);
    let mut events = site.lab.follow();
    site.write_database(&[peerdb::Record::new(
        "p",
        [
            ("peer", ANSWERING),
            ("watch", "t"),
            ("every", "2s"),
            ("timeout", "1s"),
            ("ifup", "/bin/echo up"),
        ],
    )])?;
    events.exactly("NOTE USER connect peerdb-update")?;
    let mut events = site.lab.follow();
    site.lab.restart()?;
    events.broadcast("NOTE SVCCLAIM connect ")?;
    events.stdout("ifup p")?;
    // Waits as `barrier` does, but its answer stays the same when a command is added.
    site.submit("adopted")?;
    site.lab.silence_peer("p", true)?;
    events.line("WARN USER connect ping-timeout p ")?;
    site.submit("quit")?;
    assert_eq!(service.wait()?.code(), Some(0), "{}", service.log());
    Ok(())
}

fn site() -> anyhow::Result<Site> {
    Site::new()?
        .with_answering_peers()
        .peer(
            "p",
            &[
                ("peer", ANSWERING),
                ("watch", "t"),
                ("every", "1s"),
                ("timeout", "1s"),
                ("ifup", "/bin/echo up"),
                ("ifdown", "/bin/echo down"),
            ],
        )
        .peer("laptop", &[("peer", "PASSIVE")])
        .user("u", "laptop")
        .auto("p")
        .build()
}

#[test]
fn a_run_with_helper_deaths_a_server_restart_and_a_reload_is_repeated_to_the_same_outputs()
-> Outcome {
    let site = site()?;
    let path = site.path("recording");
    record(&site, &path)?;
    let output = Command::new(program("connect-core")?)
        .args(["replay", "--quiet"])
        .arg(&path)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("every output is as recorded"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // To renew the fixture of the next test, without the name of this directory.
    if let Some(copy) = std::env::var_os("KEEP_RECORDING") {
        let directory = site.directory().display().to_string();
        let text = std::fs::read_to_string(&path)?;
        std::fs::write(copy, text.replace(&directory, "/run/site"))?;
    }
    Ok(())
}

#[test]
fn the_recording_of_a_real_run_is_repeated_to_the_same_outputs() -> Outcome {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/recording.jsonl");
    let mut printed = Vec::new();
    let report = replay(&fixture, None, true, &mut printed).map_err(|fatal| fatal.error)?;
    let printed = String::from_utf8(printed)?;
    assert_eq!(
        report.difference,
        None,
        "{printed}\nif the change is meant, record the run again: KEEP_RECORDING={} cargo test \
         -p scenarios --test manual a_run_with, and play it: cargo test -p scenarios --test manual \
         recording::",
        fixture.display()
    );
    assert_eq!(report.truncated, None);
    for line in [
        "server < NOTE ADD p ",
        "server > SVCCLAIM connect",
        r#"input    {"gone":"#,
        r#"input    {"server-lost":"#,
        r#"input    {"database":"#,
    ] {
        assert!(printed.contains(line), "no {line} in\n{printed}");
    }
    Ok(())
}
