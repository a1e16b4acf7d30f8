// SPDX-License-Identifier: GPL-3.0-or-later
//! What happened to a peer's scripts is shown, and a script can be run again for a peer that is up
//! (differences.md, "Scripts").

use std::process::Output;

use peerdb::Record;
use scenarios::{Expect as _, Outcome, Site, SiteBuilder, request};
use serde_json::{Value, json};

use crate::support::{ANSWERING, NOBODY, cli, commands, peer_status, receive, send};

/// An `ifup` that fails as long as there is no file `mended`, and writes to both streams.
const FAILS: &str = "echo to stdout; echo to stderr >&2; test -e mended || exit 3";

fn with_ifup(script: &str) -> anyhow::Result<SiteBuilder> {
    let pairs = [("peer", ANSWERING), ("ifup", "./up"), ("ifdown", "./down")];
    Ok(Site::new()?
        .with_answering_peers()
        .script("up", script)?
        .script("down", "echo down; exit 4")?
        .peer("p", &pairs))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it has printed, and its exit code.
fn told(output: &Output) -> (String, String, Option<i32>) {
    let code = output.status.code();
    (text(&output.stdout), text(&output.stderr), code)
}

#[test]
fn a_failed_ifup_is_marked_and_counted_until_it_has_ended_well_and_runs_again_on_request() -> Outcome
{
    let site = with_ifup(FAILS)?.build()?;
    let service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    events.exactly("WARN USER connect ifup p exit-nonzero 3")?;
    let failed = &peer_status(&service, "p")?["scripts"]["failed"];
    assert_eq!(failed[0]["kind"], "ifup");
    assert_eq!(failed[0]["failure"], json!({ "exited": 3 }));
    let status = text(&cli(&site, &["status"])?.output()?.stdout);
    assert!(status.contains("scripts failed at 1 peer"), "{status}");
    assert!(status.contains(", ifup failed (3)"), "{status}");
    let metrics = text(&cli(&site, &["metrics"])?.output()?.stdout);
    let series = "tripe_connect_peer_script_failed{peer=\"p\",script=\"ifup\"} 1";
    assert!(metrics.contains(series), "{metrics}");
    let doctor = text(&cli(&site, &["doctor", "-d", "."])?.output()?.stdout);
    assert!(doctor.contains("peer p: ifup, "), "{doctor}");
    assert!(
        doctor.contains("exit status 3; the last line of its output: to std"),
        "{doctor}"
    );

    let again = cli(&site, &["ifup", "p"])?.output()?;
    let (out, err, code) = told(&again);
    assert_eq!((out.as_str(), code), ("to stdout\n", Some(3)), "{err}");
    assert_eq!(err, "to stderr\nconnect-cli: p: ifup: exit status 3\n");
    std::fs::write(site.path("mended"), "")?;
    let again = cli(&site, &["ifup", "p"])?.output()?;
    assert_eq!(told(&again).2, Some(0), "{again:?}");
    assert!(
        peer_status(&service, "p")?["scripts"].is_null(),
        "nothing to tell"
    );
    let status = text(&cli(&site, &["status"])?.output()?.stdout);
    assert!(status.contains("scripts ok"), "{status}");

    let down = cli(&site, &["ifdown", "p"])?.output()?;
    assert_eq!(told(&down).2, Some(4), "{down:?}");
    // The tunnel was not touched.
    let touched = [commands(&site, "KILL "), commands(&site, "FORCEKX ")].concat();
    assert_eq!(touched, [""; 0]);
    assert_eq!(commands(&site, "ADD ").len(), 1);
    Ok(())
}

#[test]
fn the_output_of_a_requested_script_comes_while_it_runs() -> Outcome {
    let script = "echo first; while ! test -e go; do sleep 0.01; done; echo second";
    let site = with_ifup(script)?.build()?;
    let service = site.connect(&[])?;
    let mut events = site.lab.follow();
    std::fs::write(site.path("go"), "")?;
    site.submit("active p")?;
    events.exactly("NOTE USER connect ifup p stdout second")?;
    std::fs::remove_file(site.path("go"))?;
    let mut caller = crate::support::caller(&service, "control.sock")?;
    send(
        &mut caller,
        r#"{"role":"operator","protocol":1,"version":"test"}"#,
    )?;
    send(
        &mut caller,
        r#"{"id":1,"request":{"run-script":{"peer":"p","script":"ifup"}}}"#,
    )?;
    let reply = |line: String| -> anyhow::Result<Value> {
        Ok(serde_json::from_str::<Value>(&line)?["reply"]["run"].clone())
    };
    let mut began = reply(receive(&mut caller)?)?;
    if began.get("waiting").is_some() {
        // The one before it had written its last line, and had not ended.
        began = reply(receive(&mut caller)?)?;
    }
    assert!(began["started"]["pid"].is_i64(), "{began}");
    let first = reply(receive(&mut caller)?)?;
    assert_eq!(
        first["output"],
        json!({ "stream": "stdout", "line": "first" })
    );
    // It has not ended: it waits for this.
    std::fs::write(site.path("go"), "")?;
    let second = reply(receive(&mut caller)?)?;
    assert_eq!(second["output"]["line"], "second");
    assert_eq!(
        reply(receive(&mut caller)?)?["ended"],
        json!({ "exited": 0 })
    );
    Ok(())
}

#[test]
fn a_dry_run_shows_command_and_environment_and_runs_nothing() -> Outcome {
    let site = with_ifup("echo up")?.build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    assert_eq!(events.stdout("ifup p")?, "up");
    let shown = cli(&site, &["ifup", "--dry-run", "p", "--json"])?.output()?;
    let shown: Value = serde_json::from_slice(&shown.stdout)?;
    let ifname = site.admin_ok("IFNAME p")?.concat();
    let words = ["./up", "p", &ifname, "INET", "198.18.0.1", "4070"];
    assert_eq!(shown["command"]["exec"], json!(words));
    assert_eq!(shown["environment"]["P_IFUP"], "./up");
    assert!(shown["environment"]["A_CIPHER"].is_string(), "{shown}");
    // All that was said since is what this submission says.
    let again = cli(&site, &["ifup", "p"])?.output()?;
    assert!(again.status.success(), "{again:?}");
    assert_eq!(events.stdout("ifup p")?, "up");
    assert_eq!(
        crate::support::said(&site, "NOTE USER connect ifup p stdout up").len(),
        2
    );
    Ok(())
}

#[test]
fn observers_may_neither_run_nor_show_a_script_and_refusals_say_why() -> Outcome {
    let site = with_ifup("echo up")?
        .peer("q", &[("peer", NOBODY)])
        .build()?;
    let service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    events.stdout("ifup p")?;
    let observe = service.control().with_file_name("observe.sock");
    for name in ["run-script", "show-script"] {
        let asked = json!({ name: { "peer": "p", "script": "ifup" } });
        let refused = request(&observe, &asked)?;
        let text = refused[0]["error"].as_str().unwrap_or_default();
        assert!(
            text.starts_with("observers may not give commands"),
            "{refused:?}"
        );
    }
    let failure = |peer: &str| -> anyhow::Result<Value> {
        let asked = json!({ "run-script": { "peer": peer, "script": "ifup" } });
        Ok(request(service.control(), &asked)?[0]["failed"].clone())
    };
    assert_eq!(failure("nobody")?, json!(["unknown-peer", "nobody"]));
    assert_eq!(failure("q")?, json!(["peer-not-added", "q"]));
    site.submit("active q")?;
    assert_eq!(failure("q")?, json!(["no-script", "q", "ifup"]));
    // Only the two scripts of interfaces can be asked for.
    let odd = json!({ "run-script": { "peer": "p", "script": "connect" } });
    assert!(request(service.control(), &odd)?[0]["error"].is_string());
    Ok(())
}

#[test]
fn a_record_too_large_for_a_message_is_told_and_nothing_stays_pending() -> Outcome {
    let site = with_ifup("echo up")?.build()?;
    let service = site.connect(&[])?;
    let mut events = site.lab.follow();
    let address = [("peer", ANSWERING), ("ifup", "./up")];
    let address = address.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let notes = (0..20).map(|number| (format!("note{number}"), "x".repeat(60_000)));
    site.write_database(&[Record::new("huge", address.into_iter().chain(notes))])?;
    events.exactly("NOTE USER connect peerdb-update")?;
    site.submit("active huge")?;
    let line = events.line("WARN USER connect ifup huge not-started ")?;
    assert!(line.contains("too large"), "{line}");
    let status = service.status()?;
    let scripts = &status[0]["service"]["counters"]["scripts"];
    assert_eq!(
        (&scripts["not-started"], &scripts["pending"]),
        (&json!(1), &json!(0))
    );
    let info = cli(&site, &["info", "huge"])?.output()?;
    let shown = text(&info.stdout);
    assert!(info.status.success(), "{info:?}");
    assert!(shown.contains("the record is too large"), "{shown}");
    // The service's own info has a line for each key, as ever.
    assert!(site.submit("info huge")?.len() > 20);
    let again = cli(&site, &["ifup", "huge"])?.output()?;
    assert_eq!(told(&again).2, Some(126), "{again:?}");
    Ok(())
}
