// SPDX-License-Identifier: GPL-3.0-or-later
//! Restarts and upgrades: one process after the other of its kind, and all of them at once. What
//! was known is known still, what was done is not done again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::Context as _;
use rustix::process::Signal;
use scenarios::manager::{Parts, core_command, helper_command};
use scenarios::{Expect as _, Outcome, Service, Site};
use serde_json::json;

use crate::support::{
    ANSWERING, ANSWERING_TOO, assert_one_ping_at_a_time, barrier, commands, peer_status, pings,
    said,
};

/// A site with two peers that are checked every second and have all scripts that could be run once
/// too often; `p` is on the start-up list.
fn site() -> anyhow::Result<Site> {
    let checked = |address| {
        [
            ("peer", address),
            ("watch", "t"),
            ("every", "1s"),
            ("ifup", "/bin/echo up"),
            ("ifdown", "/bin/echo down"),
            ("disconnect", "echo disconnected"),
        ]
    };
    Site::new()?
        .with_answering_peers()
        .peer("p", &checked(ANSWERING))
        .peer("q", &checked(ANSWERING_TOO))
        .auto("p")
        .build()
}

/// The options of core that its unit has, with the state in the site's directory.
const UNIT: [&str; 3] = ["--startup", "--keep-state", "state"];

/// Where that state is.
fn state_file(site: &Site) -> std::path::PathBuf {
    site.path("state/core.json")
}

/// What scripts have said, in order.
fn scripts(site: &Site) -> Vec<String> {
    said(site, "NOTE USER connect ")
        .iter()
        .filter(|line| line.contains(" stdout "))
        .filter_map(|line| tripe_admin::split(line).pop())
        .collect()
}

/// Starts the service, and waits until the start-up peer is configured and has answered.
fn begin(site: &Site) -> anyhow::Result<Parts> {
    let mut events = site.lab.follow();
    let parts = Parts::start(site, &UNIT)?;
    parts.core.explain(events.stdout("ifup p"))?;
    // The second is sent when the first has been answered.
    parts.core.explain(pings(&mut events, "p", 2))?;
    assert_eq!(scripts(site), ["up p tripe0 INET 198.18.0.1 4070"]);
    Ok(parts)
}

fn answered(service: &Service, peer: &str) -> anyhow::Result<u64> {
    let status = peer_status(service, peer)?;
    status["statistics"]["replies"]
        .as_u64()
        .context("no figure")
}

/// Shows that the service goes on with the peer, and that nothing was run for it since it began.
fn assert_undisturbed(site: &Site, core: &Service, before: u64) -> Outcome {
    assert!(answered(core, "p")? >= before);
    let mut events = site.lab.follow();
    core.explain(pings(&mut events, "p", 2))?;
    assert!(answered(core, "p")? > before);
    barrier(site)?;
    assert_eq!(scripts(site).len(), 1, "{:?}", scripts(site));
    assert_eq!(said(site, "NOTE KILL"), [""; 0]);
    assert_eq!(commands(site, "ADD ").len(), 1);
    assert_one_ping_at_a_time(site);
    Ok(())
}

#[test]
fn a_restarted_core_goes_on_with_its_helpers_and_runs_nothing_even_under_startup() -> Outcome {
    let site = site()?;
    let mut parts = begin(&site)?;
    for signal in [Signal::TERM, Signal::TERM] {
        let before = answered(&parts.core, "p")?;
        parts.restart_core(&site, signal, &UNIT)?;
        assert_undisturbed(&site, &parts.core, before)?;
    }
    parts.stop()
}

#[test]
fn a_restart_while_the_database_is_broken_leaves_no_peer_unwatched() -> Outcome {
    let site = site()?;
    let mut parts = begin(&site)?;
    let file = site.path("peers.cdb");
    let copy = site.path("state/database.json");
    parts
        .core
        .wait_for("the copy", || copy.exists().then_some(()))?;
    let database = |core: &Service| -> anyhow::Result<serde_json::Value> {
        let replies = core.status()?;
        let service = replies.iter().find_map(|reply| reply.get("service"));
        Ok(service.context("no service")?["database"].clone())
    };
    let good = std::fs::read(&file)?;
    std::fs::write(&file, "half of a data")?;
    // A core that is killed has not written down the last of its figures.
    let before = answered(&parts.core, "p")?;
    for signal in [Signal::TERM, Signal::KILL] {
        parts.restart_core(&site, signal, &UNIT)?;
        parts
            .core
            .wait_for_log("using the database that the last core used")?;
        assert_eq!(site.submit("adopted")?, ["p"]);
        assert_undisturbed(&site, &parts.core, before)?;
        let told = database(&parts.core)?;
        assert_eq!(told["origin"], "kept", "{told}");
        assert_eq!(told["peers"], 2, "{told}");
        assert!(told["fault"].is_string(), "{told}");
        std::fs::write(site.path("connect.log"), "")?;
    }
    let before = answered(&parts.core, "p")?;
    std::fs::write(&file, good)?;
    parts.core.wait_for_log("the database can be read again")?;
    assert_undisturbed(&site, &parts.core, before)?;
    let told = database(&parts.core)?;
    assert_eq!(told["origin"], "file", "{told}");
    assert!(told["fault"].is_null(), "{told}");
    parts.stop()
}

#[test]
fn a_full_stop_and_start_keeps_the_figures_and_runs_nothing() -> Outcome {
    let site = site()?;
    for _ in 0..2 {
        let parts = match scripts(&site).len() {
            0 => begin(&site)?,
            _ => Parts::start(&site, &UNIT)?,
        };
        let before = answered(&parts.core, "p")?;
        parts.stop()?;
        let parts = Parts::start(&site, &UNIT)?;
        assert_undisturbed(&site, &parts.core, before)?;
        parts
            .core
            .wait_for_log("resuming from the state of the last core")?;
        parts.stop()?;
    }
    Ok(())
}

#[test]
fn the_drop_in_program_keeps_its_state_where_it_is_told_to() -> Outcome {
    let site = site()?;
    let mut events = site.lab.follow();
    let mut service = site.connect(&UNIT)?;
    service.explain(events.stdout("ifup p"))?;
    service.explain(pings(&mut events, "p", 2))?;
    let before = answered(&service, "p")?;
    service.signal(Signal::TERM)?;
    service.wait()?;
    let next = site.connect(&UNIT)?;
    assert_undisturbed(&site, &next, before)
}

#[test]
fn who_is_told_that_the_service_quits_finds_its_state_written() -> Outcome {
    let site = site()?;
    let parts = begin(&site)?;
    let mut events = site.lab.follow();
    site.admin_ok(&format!("ADD q {ANSWERING_TOO}"))?;
    parts.core.explain(events.stdout("ifup q"))?;
    site.admin()?.ask("SVCSUBMIT connect quit")?.lines()?;
    let text = std::fs::read_to_string(state_file(&site))?;
    assert!(text.contains("\"q\""), "{text}");
    parts.stop()
}

#[test]
fn who_is_told_that_the_service_quits_finds_its_sockets_free() -> Outcome {
    let site = site()?;
    let mut service = site.connect(&[])?;
    let sockets = ["control.sock", "observe.sock", "helpers.sock"];
    site.admin()?.ask("SVCSUBMIT connect quit")?.lines()?;
    for socket in sockets {
        assert!(
            !service.control().with_file_name(socket).exists(),
            "{socket}"
        );
    }
    service.wait()?;
    Ok(())
}

#[test]
fn without_a_state_directory_the_journal_alone_keeps_startup_from_setting_up_a_peer_again()
-> Outcome {
    let site = site()?;
    for start in 1..=2 {
        let mut events = site.lab.follow();
        let mut service = site.connect(&["--startup"])?;
        if start == 1 {
            service.explain(events.stdout("ifup p"))?;
        }
        barrier(&site)?;
        service.signal(Signal::TERM)?;
        // Until its scripts have ended.
        service.wait()?;
        assert_eq!(scripts(&site).len(), 1, "start {start}");
    }
    Ok(())
}

#[test]
fn a_killed_core_has_written_down_soon_who_was_configured() -> Outcome {
    let site = site()?;
    let mut parts = begin(&site)?;
    let file = state_file(&site);
    parts.core.wait_for("the state", || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.contains("\"p\"").then_some(())
    })?;
    // A reply that core has not yet passed to the pinger is lost when core dies.
    let before = answered(&parts.core, "p")?.saturating_sub(1);
    parts.restart_core(&site, Signal::KILL, &UNIT)?;
    assert_undisturbed(&site, &parts.core, before)
}

#[test]
fn a_core_that_is_killed_after_taking_over_from_an_original_has_written_down_that_it_did() -> Outcome
{
    let site = site()?;
    let mut original = site.admin()?;
    original.ask("SVCCLAIM connect 1.5.3")?.lines()?;
    site.admin_ok(&format!("ADD p {ANSWERING}"))?;
    let mut parts = Parts::start(&site, &UNIT)?;
    let file = state_file(&site);
    parts.core.wait_for("the state", || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.contains("\"p\"").then_some(())
    })?;
    let mut events = site.lab.follow();
    parts.restart_core(&site, Signal::KILL, &UNIT)?;
    parts.core.explain(pings(&mut events, "p", 2))?;
    barrier(&site)?;
    // Neither the first nor the second has configured what the original had.
    assert_eq!(scripts(&site), [""; 0]);
    Ok(())
}

#[test]
fn another_run_of_the_server_is_started_up_like_a_new_one() -> Outcome {
    let site = site()?;
    begin(&site)?.stop()?;
    site.lab.restart()?;
    let mut events = site.lab.follow();
    let parts = Parts::start(&site, &UNIT)?;
    parts.core.explain(events.stdout("ifup p"))?;
    parts.core.wait_for_log("about another server")?;
    assert_eq!(commands(&site, "ADD ").len(), 2);
    Ok(())
}

#[test]
fn who_went_meanwhile_is_brought_down_and_who_came_is_configured() -> Outcome {
    let site = site()?;
    begin(&site)?.stop()?;
    site.admin_ok("KILL p")?;
    site.admin_ok(&format!("ADD q {ANSWERING_TOO}"))?;
    let mut events = site.lab.follow();
    let parts = Parts::start(&site, &UNIT)?;
    parts.core.explain(events.stdout("ifdown p"))?;
    let mut events = site.lab.follow_from_start();
    parts.core.explain(events.stdout("ifup q"))?;
    let mut events = site.lab.follow_from_start();
    parts.core.explain(events.stdout("disconnect p"))?;
    // Who was taken away is not brought back by --startup.
    barrier(&site)?;
    assert_eq!(commands(&site, "ADD ").len(), 2);
    assert_eq!(scripts(&site).len(), 4, "{:?}", scripts(&site));
    Ok(())
}

#[test]
fn a_state_that_makes_no_sense_is_passed_over_with_a_warning() -> Outcome {
    let site = site()?;
    std::fs::create_dir(site.path("state"))?;
    for (text, said) in [
        ("not the state", "is malformed"),
        (
            "{\"schema\":99,\"peers\":\"in another form\"}",
            "has form 99",
        ),
    ] {
        std::fs::write(state_file(&site), text)?;
        let mut core = Service::run(&site, {
            let mut command = core_command(&site)?;
            command.args(UNIT);
            command
        })?;
        core.wait_for("the server", || {
            let log = core_log(&site);
            (log.contains("took over the server's peers") && log.contains(said)).then_some(())
        })?;
        core.signal(Signal::TERM)?;
        assert_eq!(core.wait()?.code(), Some(0));
        let now = std::fs::read_to_string(state_file(&site))?;
        assert!(
            now.contains("\"schema\":1"),
            "replaced by one that does: {now}"
        );
        std::fs::write(site.path("connect.log"), "")?;
    }
    Ok(())
}

fn core_log(site: &Site) -> String {
    std::fs::read_to_string(site.path("connect.log")).unwrap_or_default()
}

#[test]
fn a_state_that_cannot_be_written_is_told_and_stops_nothing() -> Outcome {
    let site = site()?;
    std::fs::write(site.path("state"), "in the way")?;
    let parts = begin(&site)?;
    // At the start, and not when it is written for the first time.
    parts.core.wait_for_log("cannot save the state")?;
    let fault = || -> anyhow::Result<serde_json::Value> {
        let replies = parts.core.status()?;
        let service = replies.iter().find_map(|reply| reply.get("service"));
        Ok(service.context("no service")?["state-fault"].clone())
    };
    let told = fault()?["fault"].to_string();
    assert!(told.contains("state/core.json: "), "{told}");
    std::fs::remove_file(site.path("state"))?;
    parts.core.wait_for_log("the state is saved again")?;
    assert!(fault()?.is_null());
    parts.stop()?;
    let log = core_log(&site);
    assert_eq!(log.matches("cannot save the state").count(), 1, "{log}");
    Ok(())
}

#[test]
fn who_takes_the_service_over_makes_the_state_void() -> Outcome {
    let site = site()?;
    let mut parts = begin(&site)?;
    let file = state_file(&site);
    parts
        .core
        .wait_for("the state", || file.exists().then_some(()))?;
    let mut other = site.admin()?;
    other.ask("SVCCLAIM connect 99.0")?.lines()?;
    assert_eq!(parts.core.wait()?.code(), Some(78));
    assert!(!file.exists());
    assert!(!site.path("state/database.json").exists());
    Ok(())
}

/// A core of another version: it takes a connection, says hello, and hangs up.
fn foreign_core(listener: &UnixListener, times: usize) -> Outcome {
    for _ in 0..times {
        let (mut stream, _) = listener.accept()?;
        let hello = json!({ "role": "core", "protocol": 99, "version": "99.0" });
        writeln!(stream, "{hello}")?;
        // Until it hangs up as well, so that what it says is not lost.
        let mut rest = Vec::new();
        BufReader::new(stream).read_until(0, &mut rest)?;
    }
    Ok(())
}

fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let directory = path.parent().context("no directory")?;
    std::fs::create_dir_all(directory)?;
    Ok(UnixListener::bind(path)?)
}

#[test]
fn helpers_and_core_of_versions_that_do_not_get_along_say_so_once_and_wait() -> Outcome {
    for program in ["connect-pinger", "connect-ifscripts"] {
        let site = site()?;
        let socket = site.path("tripesock.connect/helpers.sock");
        let listener = listen(&socket)?;
        let mut helper = Service::run(&site, helper_command(&site, program)?)?;
        foreign_core(&listener, 4)?;
        let log = core_log(&site);
        let said = log.matches("speaks protocol 99").count();
        assert_eq!(said, 1, "{program}: {log}");
        assert!(!helper.has_ended()?);
        drop(listener);
        std::fs::remove_file(&socket)?;
        // When core is of its own version again it serves it at once.
        let core = Service::run(&site, core_command(&site)?)?;
        let which = if program == "connect-pinger" {
            "pinger"
        } else {
            "scripts"
        };
        helper.wait_for("core", || {
            let status = core.status().ok()?;
            (status[0]["service"][which]["connected"] == true).then_some(())
        })?;
    }
    Ok(())
}
