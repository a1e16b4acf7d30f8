// SPDX-License-Identifier: GPL-3.0-or-later
//! What is wrong with scripts as a whole is told in `status`: a journal that cannot be written, and
//! places that are taken.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use scenarios::manager::{core_command, helper_command};
use scenarios::{Expect as _, Outcome, Service, Site};
use serde_json::{Value, json};

use crate::support::{ANSWERING, ANSWERING_TOO, shows_arguments};

/// Waits until the script helper's state is as wanted.
fn until(service: &mut Service, what: &str, wanted: impl Fn(&Value) -> bool) -> Outcome {
    let control = service.control().to_owned();
    service.wait_for(what, || {
        let replies = scenarios::request(&control, &json!({ "status": {} })).ok()?;
        let state = replies.iter().find_map(|reply| reply.get("service"))?;
        wanted(state.get("scripts")?).then_some(())
    })
}

#[test]
fn a_journal_that_cannot_be_written_is_reported_and_scripts_still_run() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .script("up", &shows_arguments("up"))?
        .peer("p", &[("peer", ANSWERING), ("ifup", "./up")])
        .build()?;
    let runtime = site.path("tripesock.connect");
    fs::create_dir(&runtime)?;
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700))?;
    fs::write(runtime.join("scripts"), "a file in its place")?;
    let mut service = site.connect(&[])?;
    until(&mut service, "a fault of the journal", |scripts| {
        let fault = scripts["journal-fault"]["fault"].as_str();
        fault.is_some_and(|fault| fault.contains("must be a directory"))
    })?;
    service.wait_for_log("the journal of scripts has a fault")?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    service.explain(events.stdout("ifup p"))?;
    Ok(())
}

#[test]
fn connect_commands_that_take_all_places_are_told_until_one_ends() -> Outcome {
    let keys = |peer| [("peer", peer), ("connect", "exec sleep 600")];
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &keys(ANSWERING))
        .peer("q", &keys(ANSWERING_TOO))
        .build()?;
    let mut core = Service::run(&site, core_command(&site)?)?;
    let mut scripts = helper_command(&site, "connect-ifscripts")?;
    scripts.args(["--connect-children", "1"]);
    let _scripts = Service::run(&site, scripts)?;
    until(&mut core, "the script helper", |scripts| {
        scripts["connected"] == true
    })?;
    site.admin_ok(&format!("ADD p {ANSWERING}"))?;
    let lane = |running, waiting| {
        move |scripts: &Value| {
            let lane = &scripts["lanes"]["connection"];
            let full = !lane["full"].is_null();
            lane["running"] == running && lane["waiting"] == waiting && full == (waiting > 0)
        }
    };
    until(&mut core, "one command that runs", lane(1, 0))?;
    site.admin_ok(&format!("ADD q {ANSWERING_TOO}"))?;
    until(&mut core, "one command that waits", lane(1, 1))?;
    // Core ends the command of a peer that is removed.
    site.admin_ok("KILL p")?;
    until(&mut core, "a place for the other", lane(1, 0))?;
    site.admin_ok("KILL q")?;
    until(&mut core, "no command", lane(0, 0))
}
