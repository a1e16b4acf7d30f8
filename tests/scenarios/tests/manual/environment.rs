// SPDX-License-Identifier: GPL-3.0-or-later
//! The variables that stand in for options of the service: connect(8), "ENVIRONMENT". Those that
//! the manual has, too, are in `command_line`.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use scenarios::{Outcome, Service, Site, program, request};
use serde_json::{Value, json};

use crate::support::ANSWERING;

/// The programs that `connect` starts.
const HELPERS: [&str; 2] = ["connect-pinger", "connect-ifscripts"];

/// A site with a peer that has a script, and in `helpers` programs that note that they were
/// started, and become the real ones.
fn site() -> anyhow::Result<Site> {
    let settings = [("peer", ANSWERING), ("watch", "t"), ("ifup", "/bin/true")];
    let builder = Site::new()?
        .with_answering_peers()
        .peer("p", &settings)
        .auto("p");
    fs::create_dir(builder.path("helpers"))?;
    HELPERS
        .iter()
        .try_fold(builder, |builder, name| {
            let real = program(name)?.display().to_string();
            let text = format!(": >\"$0.was-started\"; exec '{real}' \"$@\"");
            builder.script(&format!("helpers/{name}"), &text)
        })?
        .build()
}

/// The service with all variables that have an option of their own.
fn command(site: &Site) -> anyhow::Result<Command> {
    // Standard error is said to be the journal, so without TRIPE_CONNECT_LOG the log goes there.
    let log = File::options()
        .create(true)
        .append(true)
        .open(site.path("connect.log"))?;
    let log = log.metadata()?;
    let mut command = Service::command(site)?;
    command
        .arg("--startup")
        .env("JOURNAL_STREAM", format!("{}:{}", log.dev(), log.ino()))
        .env("TRIPE_CONNECT_LOG", "stderr")
        .env("TRIPE_CONNECT_LOG_LEVEL", "debug")
        .env("RUNTIME_DIRECTORY", site.path("runtime"))
        .env("STATE_DIRECTORY", site.path("state"))
        .env("TRIPE_CONNECT_HELPERS", site.path("helpers"));
    Ok(command)
}

/// What core says of itself and of its helpers on this socket.
fn status(control: &Path) -> Option<Value> {
    let replies = request(control, &json!({ "status": {} })).ok()?;
    let service = replies.iter().find_map(|reply| reply.get("service"))?;
    let is_settled = service["server"] == "up"
        && service["pinger"]["connected"] == true
        && service["scripts"]["connected"] == true;
    is_settled.then(|| service.clone())
}

#[test]
fn each_variable_of_the_service_takes_effect() -> Outcome {
    let site = site()?;
    let mut service = Service::run(&site, command(&site)?)?;
    let control = site.path("runtime/control.sock");
    service.wait_for("service at RUNTIME_DIRECTORY", || status(&control))?;
    assert!(!service.control().exists(), "beside the server's socket");
    for name in HELPERS {
        let mark = site.path(&format!("helpers/{name}.was-started"));
        assert!(mark.exists(), "{name} is not that of TRIPE_CONNECT_HELPERS");
    }
    // Each line is logged at this level only, the first by core, the second by a helper.
    service.wait_for_log("DEBUG adopted peer=\"p\"")?;
    service.wait_for_log("DEBUG script started")?;
    site.submit("quit")?;
    assert_eq!(service.wait()?.code(), Some(0), "{}", service.log());
    let state: Value = serde_json::from_slice(&fs::read(site.path("state/core.json"))?)?;
    assert_eq!(state["state"]["peers"][0]["name"], "p");
    let mut next = Service::run(&site, command(&site)?)?;
    next.wait_for("the next service", || status(&control))?;
    next.wait_for_log("resuming from the state of the last core")?;
    Ok(())
}

#[test]
fn an_option_counts_for_the_helpers_whatever_its_variable_says() -> Outcome {
    let site = site()?;
    let mut command = Service::command(&site)?;
    command
        .args(["--startup", "--log", "stderr", "--log-level", "debug"])
        .env("TRIPE_CONNECT_LOG", "journald")
        .env("TRIPE_CONNECT_LOG_LEVEL", "error");
    let service = Service::run(&site, command)?;
    service.wait_for_log("DEBUG script started")?;
    Ok(())
}
