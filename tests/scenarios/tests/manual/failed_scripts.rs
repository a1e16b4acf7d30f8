// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts have failed is known after a restart of the service without a state directory, and
//! what an ended service has left under way is told by `doctor`.

use std::time::Instant;

use anyhow::Context as _;
use rustix::process::Signal;
use scenarios::manager::Parts;
use scenarios::{Expect as _, Outcome, PATIENCE, Service, Site};
use serde_json::{Value, json};

use crate::support::{ANSWERING, ANSWERING_TOO, peer_status};

/// A site on which the `ifup` of `p` fails, and that of `q` cannot be started.
fn site() -> anyhow::Result<Site> {
    Site::new()?
        .with_answering_peers()
        .script("up", "echo no such device >&2; exit 2")?
        .peer("p", &[("peer", ANSWERING), ("ifup", "./up")])
        .peer("q", &[("peer", ANSWERING_TOO), ("ifup", "./missing")])
        .build()
}

/// Has both fail.
fn fail(site: &Site, service: &mut Service) -> Outcome {
    let mut events = site.lab.follow();
    site.submit("active p")?;
    service.explain(events.exactly("WARN USER connect ifup p exit-nonzero 2"))?;
    let mut events = site.lab.follow();
    site.submit("active q")?;
    service.explain(events.broadcast("WARN USER connect ifup q not-started "))?;
    shows_both(service)
}

/// What `status` shows of the failed scripts of a peer: which, and how they ended.
fn failed(service: &Service, peer: &str) -> anyhow::Result<Value> {
    let mut status = peer_status(service, peer)?;
    let failed = status["scripts"]["failed"].take();
    let runs = failed.as_array().into_iter().flatten();
    Ok(runs
        .map(|run| json!([run["kind"], run["failure"]]))
        .collect())
}

/// Waits until the service shows both.
fn shows_both(service: &mut Service) -> Outcome {
    for (peer, failure) in [("p", json!({ "exited": 2 })), ("q", json!("not-started"))] {
        let control = service.control().to_owned();
        let wanted = json!([["ifup", failure]]);
        service.wait_for("the failed scripts", || {
            let replies = scenarios::request(&control, &json!({ "status": {} })).ok()?;
            let rows = replies.iter().find_map(|reply| reply.get("peers"))?;
            let rows = rows["list"].as_array()?;
            let row = rows.iter().find(|row| row["name"] == peer)?;
            (!row["scripts"]["failed"].as_array()?.is_empty()).then_some(())
        })?;
        assert_eq!(failed(service, peer)?, wanted);
    }
    Ok(())
}

#[test]
fn a_service_that_is_started_again_without_a_state_shows_which_scripts_had_failed() -> Outcome {
    for signal in [Signal::TERM, Signal::KILL] {
        let site = site()?;
        let mut old = site.connect(&["--stop-wait", "0"])?;
        fail(&site, &mut old)?;
        old.signal(signal)?;
        old.wait()?;
        let mut new = site.connect(&[])?;
        shows_both(&mut new)?;
        // A script that ends well then has no mark any more, in the next service neither.
        site.script("up", "true")?;
        let run = cli(&site, &["ifup", "p"])?;
        assert!(run.status.success(), "{run:?}");
        new.signal(signal)?;
        new.wait()?;
        let mut last = site.connect(&[])?;
        let control = last.control().to_owned();
        last.wait_for("the failed script of q", || {
            let replies = scenarios::request(&control, &json!({ "status": {} })).ok()?;
            replies
                .iter()
                .any(|reply| reply.to_string().contains("not-started"))
                .then_some(())
        })?;
        assert_eq!(failed(&last, "p")?, json!([]));
    }
    Ok(())
}

#[test]
fn a_core_that_is_started_again_without_a_state_shows_which_scripts_had_failed() -> Outcome {
    for signal in [Signal::TERM, Signal::KILL] {
        let site = site()?;
        let mut parts = Parts::start(&site, &[])?;
        fail(&site, &mut parts.core)?;
        parts.restart_core(&site, signal, &[])?;
        shows_both(&mut parts.core)?;
    }
    Ok(())
}

/// `connect-cli` with these words.
fn cli(site: &Site, words: &[&str]) -> anyhow::Result<std::process::Output> {
    let mut command = Service::bare_command_of("connect-cli")?;
    command.arg("-a").arg(site.lab.socket_path()).args(words);
    Ok(command.output()?)
}

#[test]
fn scripts_that_an_ended_service_has_left_are_told_by_doctor() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .script("up", "echo $$ > pid; echo begun; exec sleep 1000")?
        .script("down", "true")?
        .peer(
            "p",
            &[("peer", ANSWERING), ("ifup", "./up"), ("ifdown", "./down")],
        )
        .build()?;
    let mut service = site.connect(&["--stop-wait", "0"])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    service.explain(events.stdout("ifup p"))?;
    site.admin_ok("KILL p")?;
    let control = service.control().to_owned();
    service.wait_for("an ifdown that waits", || {
        let replies = scenarios::request(&control, &json!({ "status": {} })).ok()?;
        let service = replies.iter().find_map(|reply| reply.get("service"))?;
        let lane = &service["scripts"]["lanes"]["interface"];
        (lane["running"] == 1 && lane["waiting"] == 1).then_some(())
    })?;
    service.signal(Signal::TERM)?;
    service.wait()?;
    let pid: i32 = std::fs::read_to_string(site.path("pid"))?.trim().parse()?;
    let doctor = || -> anyhow::Result<String> {
        let output = cli(&site, &["doctor"])?;
        assert_eq!(output.status.code(), Some(1), "there is no service");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let before = doctor()?;
    let script = rustix::process::Pid::from_raw(pid).context("no process")?;
    rustix::process::kill_process_group(script, Signal::KILL)?;
    for words in [
        format!("1 script is under way: ifup of p (process {pid})"),
        format!("`kill -TERM -- -{pid}'"),
        "1 script waits: ifdown of p".to_owned(),
    ] {
        assert!(before.contains(&words), "{before}");
    }
    let started = Instant::now();
    loop {
        let after = doctor()?;
        if after.contains("1 script has ended, but nobody knows how: ifup of p") {
            return Ok(());
        }
        // Whoever reaps the process sends us no event.
        anyhow::ensure!(started.elapsed() < PATIENCE, "{after}");
    }
}
