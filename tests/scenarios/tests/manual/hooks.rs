// SPDX-License-Identifier: GPL-3.0-or-later
//! Hooks: run when a peer has come to be connected and when it is so no more, each once, over every
//! restart of the script helper and of core.

use rustix::process::Signal;
use scenarios::manager::{Parts, core_command, helper_command};
use scenarios::{Expect as _, Outcome, Service, Site, SiteBuilder};

use crate::support::{ANSWERING, barrier, pings, said};

/// Says what it is told.
const TELL: &str = "echo \"$1: $H_EVENT, $H_REASON, $H_ROUNDS, $H_VERSION, $P_SITE\"";

/// A peer that is checked every second and reconnected when it does not answer.
const WATCHED: [(&str, &str); 8] = [
    ("peer", ANSWERING),
    ("watch", "t"),
    ("every", "1s"),
    ("timeout", "1s"),
    ("retries", "2"),
    ("knock", "here"),
    ("ifup", "/bin/echo set up"),
    ("ifdown", "/bin/echo taken down"),
];

/// A site with such a peer that has these further keys.
fn site(more: &[(&str, &str)]) -> anyhow::Result<SiteBuilder> {
    let pairs = [&WATCHED[..], &[("site", "north")], more].concat();
    Ok(Site::new()?
        .with_answering_peers()
        .script("tell", TELL)?
        .peer("p", &pairs))
}

const HOOKS: [(&str, &str); 2] = [("on-up", "./tell"), ("on-down", "./tell")];

/// What scripts have said, in order, without what `ifup` was given.
fn scripts(site: &Site) -> Vec<String> {
    said(site, "NOTE USER connect ")
        .iter()
        .filter(|line| line.contains(" stdout "))
        .filter_map(|line| tripe_admin::split(line).pop())
        .map(|line| line.split(" p ").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn hooks_are_run_when_a_peer_comes_and_goes_each_once() -> Outcome {
    let site = site(&HOOKS)?.build()?;
    let service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    let up = service.explain(events.stdout("on-up p"))?;
    assert_eq!(up, "p: up, first-reply, 0, 1, north");
    site.lab.silence_peer("p", true)?;
    let down = service.explain(events.stdout("on-down p"))?;
    assert_eq!(down, "p: down, unreachable, 1, 1, north");
    site.lab.silence_peer("p", false)?;
    let up = service.explain(events.stdout("on-up p"))?;
    assert!(up.starts_with("p: up, recovered, "), "{up}");
    service.explain(pings(&mut events, "p", 2))?;
    site.admin_ok("KILL p")?;
    service.explain(events.stdout("ifdown p"))?;
    let expected = [
        "set up",
        "p: up, first-reply, 0, 1, north",
        "p: down, unreachable, 1, 1, north",
        &up,
        "p: down, command, 0, 1, north",
        "taken down p",
    ];
    assert_eq!(scripts(&site), expected);
    Ok(())
}

#[test]
fn a_hook_that_fails_is_told_under_its_own_name() -> Outcome {
    let site = site(&[("on-up", "./fails"), ("on-down", "./none")])?
        .script("fails", "echo why >&2; exit 3")?
        .build()?;
    let service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    assert_eq!(service.explain(events.stderr("on-up p"))?, "why");
    service.explain(events.exactly("WARN USER connect on-up p exit-nonzero 3"))?;
    site.admin_ok("KILL p")?;
    service.explain(events.line("WARN USER connect on-down p not-started "))?;
    Ok(())
}

#[test]
fn without_a_hook_of_its_own_a_watched_peer_has_that_for_all() -> Outcome {
    let site = site(&[])?
        .peer(
            "q",
            &[
                ("peer", "INET 198.18.0.2 4070"),
                ("ifdown", "/bin/echo gone"),
            ],
        )
        .build()?;
    let service = site.connect(&["--on-up", "./tell", "--on-down=./tell"])?;
    let mut events = site.lab.follow();
    site.submit("active q")?;
    site.submit("active p")?;
    service.explain(events.stdout("on-up p"))?;
    // One that is not watched is never known to be connected.
    site.admin_ok("KILL q")?;
    service.explain(events.stdout("ifdown q"))?;
    site.admin_ok("KILL p")?;
    service.explain(events.stdout("on-down p"))?;
    assert_eq!(said(&site, "NOTE USER connect on-up q"), [""; 0]);
    assert_eq!(said(&site, "NOTE USER connect on-down q"), [""; 0]);
    Ok(())
}

/// The options of core that its unit has, with the state in the site's directory.
const UNIT: [&str; 2] = ["--keep-state", "state"];

/// Ends the script helper by this signal and starts another, with a journal.
fn restart_scripts(parts: &mut Parts, site: &Site, signal: Signal) -> Outcome {
    parts.scripts.signal(signal)?;
    parts.scripts.wait()?;
    let mut command = helper_command(site, "connect-ifscripts")?;
    command.arg("--journal-dir").arg(site.path("journal"));
    parts.scripts = Service::run(site, command)?;
    parts.core.wait_until_settled(site)
}

#[test]
fn over_restarts_of_core_and_of_the_script_helper_each_hook_is_run_once() -> Outcome {
    let site = site(&HOOKS)?.build()?;
    let mut parts = Parts::start(&site, &UNIT)?;
    restart_scripts(&mut parts, &site, Signal::TERM)?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    parts.core.explain(events.stdout("on-up p"))?;
    for signal in [Signal::TERM, Signal::KILL] {
        parts.restart_core(&site, signal, &UNIT)?;
        let mut events = site.lab.follow();
        parts.core.explain(pings(&mut events, "p", 2))?;
        restart_scripts(&mut parts, &site, signal)?;
        parts.core.explain(pings(&mut events, "p", 2))?;
        barrier(&site)?;
    }
    let before = ["set up", "p: up, first-reply, 0, 1, north"];
    assert_eq!(scripts(&site), before);
    // It goes while no core is there.
    let mut events = site.lab.follow();
    parts.core.signal(Signal::KILL)?;
    parts.core.wait()?;
    site.admin_ok("KILL p")?;
    let mut command = core_command(&site)?;
    command.args(UNIT);
    parts.core = Service::run(&site, command)?;
    parts.core.wait_until_settled(&site)?;
    parts.core.explain(events.stdout("ifdown p"))?;
    let after = ["p: down, unseen, 0, 1, north", "taken down p"];
    assert_eq!(scripts(&site), [&before[..], &after[..]].concat());
    parts.stop()
}

#[test]
fn the_drop_in_program_runs_each_hook_once_over_its_own_restart() -> Outcome {
    let site = site(&HOOKS)?.build()?;
    let mut service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    service.explain(events.stdout("on-up p"))?;
    service.kill_helper("scripts")?;
    service.explain(pings(&mut events, "p", 2))?;
    for signal in [Signal::TERM, Signal::KILL] {
        service.signal(signal)?;
        service.wait()?;
        service = site.connect(&[])?;
        let mut events = site.lab.follow();
        service.explain(pings(&mut events, "p", 3))?;
    }
    assert_eq!(said(&site, "NOTE USER connect on-up p").len(), 1);
    assert_eq!(said(&site, "NOTE USER connect on-down p"), [""; 0]);
    let mut events = site.lab.follow();
    site.lab.silence_peer("p", true)?;
    service.explain(events.stdout("on-down p"))?;
    site.lab.silence_peer("p", false)?;
    service.explain(events.stdout("on-up p"))?;
    Ok(())
}
