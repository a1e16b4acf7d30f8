// SPDX-License-Identifier: GPL-3.0-or-later
//! More than one helper of a kind: one that an earlier `connect` has left and that is suspended,
//! and one that was started by mistake.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use connect_runtime::lock_holder::Holder;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use scenarios::manager::{core_command, helper_command};
use scenarios::{Expect as _, Outcome, Service, Site};
use serde_json::{Value, json};

use crate::support::{ANSWERING, ANSWERING_TOO, shows_arguments};

/// A part of core's status, once it is as wanted.
fn until(service: &mut Service, what: &str, wanted: impl Fn(&Value) -> bool) -> Outcome {
    let control = service.control().to_owned();
    service.wait_for(what, || {
        let replies = scenarios::request(&control, &json!({ "status": {} })).ok()?;
        let state = replies.iter().find_map(|reply| reply.get("service"))?;
        wanted(state).then_some(())
    })
}

fn process(pid: i32) -> anyhow::Result<Pid> {
    anyhow::Context::context(Pid::from_raw(pid), "no process")
}

fn site() -> anyhow::Result<Site> {
    Site::new()?
        .with_answering_peers()
        .script("up", &shows_arguments("up"))?
        .script("down", &shows_arguments("down"))?
        .peer(
            "p",
            &[("peer", ANSWERING), ("ifup", "./up"), ("ifdown", "./down")],
        )
        .peer("q", &[("peer", ANSWERING_TOO), ("ifup", "./up")])
        .build()
}

fn journal(site: &Site) -> std::path::PathBuf {
    site.path("tripesock.connect/scripts")
}

/// A site whose `connect` was killed while a script was under way, and whose script helper was
/// stopped then. Not before: the system lets a stopped process go on when its parent dies.
fn left_behind() -> anyhow::Result<(Site, i32)> {
    let site = site()?;
    site.script("up", "echo begun; read word < gate; echo done > ended")?;
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, site.path("gate"), FileType::Fifo, mode, 0)?;
    let mut first = site.connect(&["--stop-wait", "1h"])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    first.explain(events.stdout("ifup p"))?;
    let stopped = first.helper_pid("scripts")?;
    first.signal(Signal::KILL)?;
    first.wait()?;
    kill_process(process(stopped)?, Signal::STOP)?;
    assert_eq!(holder(&journal(&site)), Some(stopped));
    Ok((site, stopped))
}

fn holder(journal: &Path) -> Option<i32> {
    Holder::find(journal, None).map(|holder| holder.pid)
}

#[test]
fn a_stopped_helper_of_a_dead_connect_is_told_and_ended_and_scripts_go_on() -> Outcome {
    let (site, stopped) = left_behind()?;
    let mut second = Service::start(&site, &["--stop-wait", "4"])?;
    until(&mut second, "the fault", |service| {
        let fault = service["scripts"]["journal-fault"]["fault"].as_str();
        let words = format!("process {stopped} locks the journal of scripts");
        fault.is_some_and(|fault| fault.contains(&words) && fault.contains("killed soon"))
    })?;
    second.wait_for_log("killed a script helper of an earlier connect")?;
    second.wait_until_settled(&site)?;
    until(&mut second, "no fault", |service| {
        service["scripts"]["journal-fault"].is_null()
    })?;
    let pid = second.helper_pid("scripts")?;
    assert_eq!(holder(&journal(&site)), Some(pid));
    assert!(!site.path("ended").exists(), "its script is left alone");
    site.script("up", &shows_arguments("up"))?;
    let mut events = site.lab.follow();
    site.submit("active q")?;
    second.explain(events.stdout("ifup q"))?;
    // Its ifup is known and under way, so its ifdown waits for it.
    site.admin_ok("KILL p")?;
    let mut gate = File::options()
        .read(true)
        .write(true)
        .open(site.path("gate"))?;
    gate.write_all(b"go\n")?;
    second.explain(events.stdout("ifdown p"))?;
    assert!(site.path("ended").exists());
    Ok(())
}

#[test]
fn a_stopped_helper_of_a_living_connect_is_left_to_that_one() -> Outcome {
    let site = site()?;
    let first = site.connect(&[])?;
    let stopped = first.helper_pid("scripts")?;
    kill_process(process(stopped)?, Signal::STOP)?;
    // A helper that somebody starts by hand says who holds it up, and ends nothing.
    let mut command = helper_command(&site, "connect-ifscripts")?;
    command.arg("--journal-dir").arg(journal(&site));
    let mut helper = Service::run(&site, command)?;
    helper.wait_for_log("still waiting for another script helper to end")?;
    let log = helper.log();
    let line = log.lines().find(|line| line.contains("still waiting"));
    let line = anyhow::Context::context(line, "it has just been there")?;
    assert!(line.contains(&format!("pid={stopped}")), "{line}");
    assert!(line.contains("WARN"), "{line}");
    assert!(!log.contains("killed a script helper"), "{log}");
    kill_process(process(stopped)?, Signal::CONT)?;
    helper.signal(Signal::TERM)?;
    assert_eq!(helper.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn a_second_helper_is_refused_before_it_is_called_connected_and_that_is_logged_once() -> Outcome {
    let site = site()?;
    let mut core = Service::run(&site, core_command(&site)?)?;
    let mut first = Service::run(&site, helper_command(&site, "connect-pinger")?)?;
    until(&mut core, "the pinger", |service| {
        service["pinger"]["connected"] == true
    })?;
    let second = Service::run(&site, helper_command(&site, "connect-pinger")?)?;
    second.wait_for_log("core refuses this helper")?;
    core.wait_for_log("refusing a second helper of this kind")?;
    // All of them write into one log. A third one is refused at least once more.
    let count = |text: &str| core.log().matches(text).count();
    let refused = count("core refuses this helper");
    let mut third = Service::run(&site, helper_command(&site, "connect-pinger")?)?;
    third.wait_for("another refusal", || {
        (count("core refuses this helper") > refused).then_some(())
    })?;
    assert_eq!(count("refusing a second helper of this kind"), 1);
    assert_eq!(count("a helper has connected"), 1, "{}", core.log());
    // Where the first has ended, another one takes over.
    first.signal(Signal::TERM)?;
    first.wait()?;
    until(&mut core, "another pinger", |service| {
        service["pinger"]["connections"] == 2
    })
}
