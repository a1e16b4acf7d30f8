// SPDX-License-Identifier: GPL-3.0-or-later
//! A process that is suspended is reported and started again, and no peer is affected; sockets that
//! were lost are made again.

use std::path::Path;
use std::{fs, io};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use scenarios::{Outcome, Service, Site};
use serde_json::Value;
use tripe_lab::What;
use tripe_lab::server::Target;

use crate::support::{ANSWERING, commands, pings};

/// A site with a static peer that is killed as soon as one ping counts as lost.
fn site() -> anyhow::Result<Site> {
    let settings = [
        ("peer", ANSWERING),
        ("watch", "t"),
        ("every", "1s"),
        ("timeout", "1s"),
        ("retries", "1"),
    ];
    Site::new()?
        .with_answering_peers()
        .peer("p", &settings)
        .build()
}

/// The state of the service as a whole.
fn state(service: &Service) -> Option<Value> {
    let replies = service.status().ok()?;
    replies
        .iter()
        .find_map(|reply| reply.get("service"))
        .cloned()
}

/// Waits until the service's state is as wanted.
fn until(service: &mut Service, what: &str, wanted: impl Fn(&Value) -> bool) -> Outcome {
    let control = service.control().to_owned();
    service.wait_for(what, || {
        let replies = scenarios::request(&control, &serde_json::json!({ "status": {} })).ok()?;
        let state = replies.iter().find_map(|reply| reply.get("service"))?;
        wanted(state).then_some(())
    })
}

#[test]
fn a_pinger_that_is_suspended_is_reported_and_no_peer_is_affected() -> Outcome {
    let site = site()?;
    let mut service = site.connect(&[])?;
    site.submit("active p")?;
    let mut events = site.lab.follow();
    pings(&mut events, "p", 1)?;
    let pinger = Pid::from_raw(service.helper_pid("pinger")?).context("no process")?;
    kill_process(pinger, Signal::STOP)?;
    until(&mut service, "silent pinger", |state| {
        state["pinger"]["silent"].is_u64()
            && state["checks"]["cause"] == "pinger-silent"
            && state["checks"]["overdue"].is_u64()
    })?;
    service.wait_for_log("the pinger does not order")?;
    kill_process(pinger, Signal::CONT)?;
    let mut events = site.lab.follow();
    pings(&mut events, "p", 2)?;
    until(&mut service, "end of the trouble", |state| {
        state["checks"]["overdue"].is_null() && state["pinger"]["silent"].is_null()
    })?;
    assert_eq!(site.submit("adopted")?, ["p"]);
    assert_eq!(commands(&site, "KILL p"), [""; 0]);
    Ok(())
}

#[test]
fn a_pinger_that_is_suspended_for_long_is_killed_and_started_again() -> Outcome {
    let site = site()?;
    let mut service = site.connect(&[])?;
    site.submit("active p")?;
    let old = service.helper_pid("pinger")?;
    kill_process(Pid::from_raw(old).context("no process")?, Signal::STOP)?;
    until(&mut service, "another pinger", |state| {
        let pid = state["pinger"]["pid"].as_i64();
        pid.is_some_and(|pid| pid != i64::from(old))
    })?;
    let mut events = site.lab.follow();
    pings(&mut events, "p", 2)?;
    assert_eq!(site.submit("adopted")?, ["p"]);
    Ok(())
}

#[test]
fn a_server_that_is_suspended_is_reported_and_core_keeps_the_connection_and_its_peers() -> Outcome {
    let site = site()?;
    let mut service = site.connect(&[])?;
    site.submit("active p")?;
    let mut events = site.lab.follow();
    pings(&mut events, "p", 1)?;
    site.lab.stall(Target::All, true)?;
    until(&mut service, "silent server", |state| {
        state["checks"]["cause"] == "server-silent" && state["checks"]["server-silent"].is_u64()
    })?;
    service.wait_for_log("the server does not answer")?;
    site.lab.stall(Target::All, false)?;
    let mut events = site.lab.follow();
    pings(&mut events, "p", 2)?;
    until(&mut service, "end of the trouble", |state| {
        state["checks"]["cause"].is_null()
    })?;
    assert_eq!(site.submit("adopted")?, ["p"]);
    assert_eq!(commands(&site, "KILL p"), [""; 0]);
    assert_eq!(commands(&site, "SVCCLAIM connect").len(), 1);
    assert!(state(&service).is_some());
    Ok(())
}

#[test]
fn a_core_that_was_suspended_blames_nobody() -> Outcome {
    let site = site()?;
    let mut service = site.connect(&[])?;
    site.submit("active p")?;
    let mut events = site.lab.follow();
    pings(&mut events, "p", 1)?;
    let pinger = service.helper_pid("pinger")?;
    service.signal(Signal::STOP)?;
    // The pings of another service are the clock: longer than a check and its answer may take.
    let other = self::site()?;
    let _clock = other.connect(&[])?;
    other.submit("active p")?;
    pings(&mut other.lab.follow(), "p", 14)?;
    let mut events = site.lab.follow();
    service.signal(Signal::CONT)?;
    pings(&mut events, "p", 2)?;
    until(&mut service, "state", |state| {
        state["checks"]["cause"].is_null()
    })?;
    assert_eq!(service.helper_pid("pinger")?, pinger);
    assert_eq!(site.submit("adopted")?, ["p"]);
    assert_eq!(commands(&site, "KILL p"), [""; 0]);
    service.wait_for_log("core did not run for a time")?;
    Ok(())
}

#[test]
fn a_start_against_a_silent_server_ends_with_a_sentence_and_a_code_of_its_own() -> Outcome {
    let site = site()?;
    site.lab.stall(Target::All, true)?;
    for options in [
        &["--server-wait", "1s"][..],
        &["--daemon", "--server-wait", "1s"],
    ] {
        let mut service = Service::start(&site, options)?;
        let code = service.wait()?.code();
        let log = service.log();
        assert_eq!(code, Some(74), "{log}");
        assert!(
            log.contains("accepts connections but has not answered"),
            "{log}"
        );
    }
    Ok(())
}

#[test]
fn a_helper_that_never_connects_is_counted_as_often_as_it_is_started_again() -> Outcome {
    let site = site()?;
    site.script("connect-pinger", "exit 1")?;
    let script_helper = scenarios::program("connect-ifscripts")?;
    std::os::unix::fs::symlink(script_helper, site.path("connect-ifscripts"))?;
    let directory = site.directory().to_str().context("a path")?.to_owned();
    let mut service = Service::start(&site, &["--helper-dir", &directory])?;
    until(&mut service, "restarts", |state| {
        state["pinger"]["restarts"].as_u64() >= Some(3) && state["pinger"]["connections"] == 0
    })
}

#[test]
fn a_runtime_directory_that_was_removed_is_made_again() -> Outcome {
    let site = site()?;
    let mut service = site.connect(&[])?;
    let control = service.control().to_owned();
    let directory = control.parent().context("no directory")?.to_owned();
    for _ in 0..2 {
        fs::remove_dir_all(&directory)?;
        until(&mut service, "status by a new socket", |_| true)?;
    }
    fs::remove_file(&control)?;
    until(&mut service, "status by a new socket", |_| true)?;
    // A new helper finds its socket.
    service.kill_helper("pinger")?;
    service.wait_until_settled(&site)?;
    service.wait_for_log("made them again")?;
    Ok(())
}

#[test]
fn what_stands_in_the_way_of_the_sockets_is_told_once_and_they_come_back_when_it_is_gone() -> Outcome
{
    let site = site()?;
    let mut service = site.connect(&[])?;
    let control = service.control().to_owned();
    let directory = control.parent().context("no directory")?.to_owned();
    fs::remove_dir_all(&directory)?;
    fs::write(&directory, "in the place of the directory")?;
    service.wait_for_log("is not a directory: move it away")?;
    fs::remove_file(&directory)?;
    until(&mut service, "status by a new socket", |_| true)?;
    fs::remove_file(&control)?;
    fs::write(&control, "in the place of the socket")?;
    service.wait_for_log("is not a socket: move it away")?;
    assert_eq!(fs::read(&control)?, b"in the place of the socket");
    fs::remove_file(&control)?;
    until(&mut service, "status by a new socket", |_| true)?;
    // As if a file system were mounted over it.
    fs::rename(&directory, directory.with_extension("below"))?;
    fs::create_dir(&directory)?;
    until(&mut service, "status by a new socket", |_| true)?;
    let log = service.log();
    assert_eq!(log.matches("cannot make the sockets").count(), 2, "{log}");
    Ok(())
}

#[test]
fn core_without_its_sockets_ends_with_a_code_of_its_own() -> Outcome {
    core_ends_by(|_, directory| fs::remove_dir_all(directory))?;
    core_ends_by(|control, _| fs::remove_file(control).and_then(|()| fs::write(control, "")))?;
    core_ends_by(|_, directory| {
        fs::rename(directory, directory.with_extension("below"))?;
        fs::write(directory, "in the place of the directory")
    })
}

fn core_ends_by(harm: impl Fn(&Path, &Path) -> io::Result<()>) -> Outcome {
    let site = site()?;
    let mut service = Service::run(&site, Service::command_of(&site, "connect-core")?)?;
    site.lab.follow_from_start().next(
        "a claim",
        |what| matches!(what, What::Command(_, line) if line.starts_with("LIST")),
    )?;
    let control = service.control();
    harm(control, control.parent().context("no directory")?)?;
    let code = service.wait()?.code();
    let log = service.log();
    assert_eq!(code, Some(72), "{log}");
    assert!(log.contains("nobody can reach this service"), "{log}");
    Ok(())
}
