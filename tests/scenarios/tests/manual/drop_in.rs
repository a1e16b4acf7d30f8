// SPDX-License-Identifier: GPL-3.0-or-later
//! The service as the original's packaging and its neighbours use it.

use std::process::Stdio;

use scenarios::{Expect as _, Outcome, Service, Site, program};

use crate::support::{ANSWERING, NOBODY, said};

#[test]
fn without_any_option_it_runs_in_the_foreground_from_tripedir() -> Outcome {
    let site = Site::new()?
        .peer("p", &[("peer", NOBODY)])
        .auto("p")
        .build()?;
    let mut command = Service::bare_command()?;
    command.env("TRIPEDIR", site.directory()).current_dir("/");
    let mut events = site.lab.follow();
    let mut service = Service::run(&site, command)?;
    service.explain(events.broadcast("NOTE SVCCLAIM connect"))?;
    service.wait_until_settled(&site)?;
    assert_eq!(site.submit("list-active")?, ["p"]);
    assert!(!service.has_ended()?);
    // As the shipped unit starts it, nothing is added at start.
    assert_eq!(site.admin_ok("LIST")?, [""; 0]);
    Ok(())
}

#[test]
fn a_restart_for_an_upgrade_goes_as_the_package_does_it() -> Outcome {
    let site = Site::new()?.build()?;
    let mut old = site.connect(&[])?;
    let query = site.admin_ok("SVCQUERY connect")?.concat();
    assert!(query.starts_with("name=connect version="), "{query}");
    site.submit("quit")?;
    assert_eq!(old.wait()?.code(), Some(0));
    let mut new = Service::start(&site, &["--daemon", "--exit-on-disconnect"])?;
    assert_eq!(new.wait()?.code(), Some(0), "{}", new.log());
    assert_eq!(site.admin_ok("SVCQUERY connect")?.concat(), query);
    site.submit("quit")?;
    Ok(())
}

#[test]
fn a_later_version_takes_the_service_over_and_this_one_ends() -> Outcome {
    let site = Site::new()?.build()?;
    let mut service = site.connect(&[])?;
    let mut other = site.admin()?;
    other.ask("SVCCLAIM connect 99.0")?.lines()?;
    assert_eq!(service.wait()?.code(), Some(78));
    let log = service.log();
    assert!(log.contains("version 99.0 took over the service"), "{log}");
    assert_eq!(site.admin_ok("SVCLIST")?, ["connect 99.0"]);
    Ok(())
}

#[test]
fn it_takes_the_service_over_from_an_original() -> Outcome {
    let site = Site::new()?.build()?;
    let mut original = site.admin()?;
    original.ask("SVCCLAIM connect 1.5.3")?.lines()?;
    let _service = site.connect(&[])?;
    let line = original.receive_until("SVCCLAIM connect ")?;
    assert_ne!(line, "SVCCLAIM connect 1.5.3");
    Ok(())
}

#[test]
fn what_an_original_has_started_up_is_not_started_up_again() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .script("up", "echo up")?
        .script("down", "echo down")?
        .peer(
            "here",
            &[
                ("peer", ANSWERING),
                ("watch", "t"),
                ("ifup", "./up"),
                ("ifdown", "./down"),
            ],
        )
        .peer("killed", &[("peer", NOBODY), ("watch", "t")])
        .auto("here")
        .auto("killed")
        .build()?;
    let mut original = site.admin()?;
    original.ask("SVCCLAIM connect 1.5.3")?.lines()?;
    site.admin_ok(&format!("ADD here {ANSWERING}"))?;
    let mut events = site.lab.follow();
    let _service = site.connect(&["--startup"])?;
    assert_eq!(site.submit("adopted")?, ["here"]);
    assert_eq!(site.admin_ok("LIST")?, ["here"]);
    // It is known to be configured, so it is brought down when it goes.
    site.admin_ok("KILL here")?;
    events.broadcast("NOTE USER connect ifdown here stdout down")?;
    assert_eq!(said(&site, "NOTE USER connect ifup"), [""; 0]);
    Ok(())
}

#[test]
fn the_caller_of_daemon_hears_of_a_missing_log_and_does_not_wait_for_helpers() -> Outcome {
    let site = Site::new()?.build()?;
    // A pipe for both streams, as a shell has for what it collects: its end comes when the last
    // process that has it open lets go.
    let output = Service::command(&site)?
        .args(["--daemon", "--exit-on-disconnect"])
        .stdin(Stdio::null())
        .output()?;
    assert_eq!(output.status.code(), Some(0));
    // Nobody sees its log any more, unless there is a journal.
    let told = String::from_utf8_lossy(&output.stderr);
    let has_log = connect_runtime::logging::journal_listens();
    assert_ne!(
        told.contains("no log once the service is ready"),
        has_log,
        "{told}"
    );
    site.submit("quit")?;
    Ok(())
}

#[test]
fn a_switch_over_from_an_original_and_back_drops_no_peer() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "p",
            &[
                ("peer", ANSWERING),
                ("watch", "t"),
                ("ifdown", "/bin/echo down"),
            ],
        )
        .build()?;
    let mut original = site.admin()?;
    original.ask("SVCCLAIM connect 1.5.3")?.lines()?;
    site.admin_ok(&format!("ADD p {ANSWERING}"))?;
    // Ours has the higher version, so it takes the name without a gap.
    let mut service = site.connect(&[])?;
    assert_eq!(site.submit("adopted")?, ["p"]);
    drop(original);
    // The original has the lower one, so ours has to leave first.
    site.submit("quit")?;
    assert_eq!(service.wait()?.code(), Some(0));
    let mut original = site.admin()?;
    original.ask("SVCCLAIM connect 1.5.3")?.lines()?;
    assert_eq!(site.admin_ok("LIST")?, ["p"]);
    assert_eq!(said(&site, "NOTE KILL"), [""; 0]);
    assert_eq!(said(&site, "NOTE USER connect ifdown"), [""; 0]);
    Ok(())
}

#[test]
fn a_script_can_use_the_server_that_its_tripesock_names() -> Outcome {
    let submit = program("lab-submit")?.display().to_string();
    let up =
        format!("{submit} \"$TRIPESOCK\" \"SETIFNAME $1 vpn-$1\" 'SVCSUBMIT connect userpeer u'");
    let site = Site::new()?
        .with_answering_peers()
        .script("up", &up)?
        .peer("p", &[("peer", ANSWERING), ("ifup", "./up")])
        .user("u", "p")
        .build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    events.broadcast("NOTE NEWIFNAME p tripe0 vpn-p")?;
    events.exactly("NOTE USER connect ifup p stdout p")?;
    Ok(())
}

#[test]
fn the_neighbour_services_find_what_they_use() -> Outcome {
    // conntrack brings peers up by `active`, down by KILL, and kicks; the knock script asks
    // `userpeer`; the monitor shows `list-active`, `info` and `adopted`.
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "p",
            &[("peer", ANSWERING), ("watch", "t"), ("knock", "here")],
        )
        .user("u", "p")
        .build()?;
    let _service = site.connect(&[])?;
    for command in [
        "active p",
        "kick p",
        "userpeer u",
        "list-active",
        "info p",
        "adopted",
        "help",
    ] {
        site.submit(command)?;
    }
    site.admin_ok("KILL p")?;
    assert_eq!(site.submit("adopted")?, [""; 0]);
    Ok(())
}
