// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual, "Dynamic connection": the older kind, by shell commands.

use scenarios::{Expect as _, Outcome, Service, Site, program};

use crate::support::{ANSWERING, ANSWERING_TOO, NOBODY, assert_one_ping_at_a_time, commands, said};

/// A site with the peer `p`, which has this `connect` command, just added; and a second peer `q`
/// with an `ifup`, to show that others go on.
fn connecting(command: &str) -> anyhow::Result<(Site, Service)> {
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "p",
            &[
                ("peer", ANSWERING),
                ("connect", command),
                ("disconnect", "echo parting"),
                ("ifdown", "/bin/echo down"),
            ],
        )
        .peer("q", &[("peer", ANSWERING_TOO), ("ifup", "/bin/echo up")])
        .build()?;
    let service = site.connect(&[])?;
    site.submit("active p")?;
    Ok((site, service))
}

/// Shows that nothing is stuck: another peer is served, this one is brought down, and can be added
/// again.
fn assert_nothing_is_stuck(site: &Site) -> Outcome {
    let (mut events, mut interface) = (site.lab.follow(), site.lab.follow());
    site.submit("active q")?;
    events.stdout("ifup q")?;
    site.admin_ok("KILL p")?;
    assert_eq!(events.stdout("disconnect p")?, "parting");
    // This waits for no command.
    assert_eq!(interface.stdout("ifdown p")?, "down p");
    site.submit("active p")?;
    Ok(())
}

#[test]
fn the_value_of_connect_is_run_by_the_shell() -> Outcome {
    let (site, _service) = connecting("x=QUJD; echo $x && echo \"$0 $#\" | cat")?;
    let mut events = site.lab.follow_from_start();
    events.command("GREET p QUJD")?;
    events.exactly("NOTE USER connect connect p stdout \"/bin/sh 0\"")?;
    Ok(())
}

#[test]
fn the_first_line_is_the_challenge_of_a_greet() -> Outcome {
    let (site, _service) = connecting("echo QUJD; exec sleep 20")?;
    // It is used as soon as it is there, not only when the command has ended.
    site.lab.wait_for_command("GREET p QUJD")?;
    assert_nothing_is_stuck(&site)
}

#[test]
fn a_record_with_knock_and_connect_has_both() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "p",
            &[
                ("peer", ANSWERING),
                ("knock", "here"),
                ("connect", "echo QUJD"),
            ],
        )
        .build()?;
    let _service = site.connect(&[])?;
    site.submit("active p")?;
    site.lab.wait_for_command("GREET p QUJD")?;
    let added = commands(&site, "ADD");
    assert!(
        added.iter().all(|it| it.contains("-knock here")),
        "{added:?}"
    );
    assert_eq!(added.len(), 1);
    Ok(())
}

#[test]
fn later_lines_are_notifications() -> Outcome {
    let (site, _service) = connecting("echo QUJD; echo second line; echo; echo QUJD")?;
    let mut events = site.lab.follow_from_start();
    events.command("GREET p QUJD")?;
    events.exactly("NOTE USER connect connect p stdout \"second line\"")?;
    events.exactly("NOTE USER connect connect p stdout \"\"")?;
    events.exactly("NOTE USER connect connect p stdout QUJD")?;
    assert_eq!(commands(&site, "GREET").len(), 1);
    Ok(())
}

#[test]
fn a_challenge_without_newline_is_one_too() -> Outcome {
    let (site, _service) = connecting("printf QUJD")?;
    site.lab.wait_for_command("GREET p QUJD")?;
    Ok(())
}

#[test]
fn no_line_at_all_is_warned_of() -> Outcome {
    let (site, _service) = connecting("true")?;
    let mut events = site.lab.follow_from_start();
    events.exactly("WARN USER connect connect p unexpected-eof")?;
    assert!(commands(&site, "GREET").is_empty());
    assert_nothing_is_stuck(&site)
}

#[test]
fn standard_output_closed_early_is_warned_of_while_the_command_runs_on() -> Outcome {
    let (site, _service) = connecting("exec >/dev/null; exec sleep 20")?;
    let mut events = site.lab.follow_from_start();
    events.exactly("WARN USER connect connect p unexpected-eof")?;
    assert_nothing_is_stuck(&site)
}

#[test]
fn an_empty_line_is_warned_of() -> Outcome {
    let (site, _service) = connecting("echo; echo QUJD")?;
    let mut events = site.lab.follow_from_start();
    events.exactly("WARN USER connect connect p bad-challenge \"\"")?;
    events.exactly("NOTE USER connect connect p stdout QUJD")?;
    assert!(commands(&site, "GREET").is_empty());
    assert_nothing_is_stuck(&site)
}

#[test]
fn an_endless_line_is_warned_of() -> Outcome {
    let (site, _service) = connecting("yes | tr -d '\\n'")?;
    let mut events = site.lab.follow_from_start();
    // All of it is letters of challenges, so none of it is told.
    events.exactly("WARN USER connect connect p bad-challenge <challenge>...")?;
    assert!(commands(&site, "GREET").is_empty());
    assert_nothing_is_stuck(&site)
}

#[test]
fn a_line_that_never_ends_and_a_command_that_says_nothing_delay_nothing() -> Outcome {
    for command in ["printf QUJD; exec sleep 20", "exec sleep 20"] {
        let (site, _service) = connecting(command)?;
        assert_nothing_is_stuck(&site)?;
        assert!(commands(&site, "GREET").is_empty());
    }
    Ok(())
}

#[test]
fn a_line_that_is_no_challenge_is_warned_of() -> Outcome {
    let (site, _service) = connecting("echo 'Permission denied (publickey).'; exit 255")?;
    let mut events = site.lab.follow_from_start();
    events
        .exactly("WARN USER connect connect p bad-challenge \"Permission denied (publickey).\"")?;
    events.exactly("WARN USER connect connect p exit-nonzero 255")?;
    assert!(commands(&site, "GREET").is_empty());
    assert_nothing_is_stuck(&site)
}

#[test]
fn a_challenge_behind_a_banner_is_told_to_nobody() -> Outcome {
    // The record may be told, so it has the challenge in two halves.
    let (first, second) = ("c2VjcmV0LWNoYWxsZ", "W5nZS1hYmNkZWZnaGlq");
    let challenge = format!("{first}{second}");
    let (site, service) = connecting(&format!(
        "c={first}; c=${{c}}{second}; echo \"Welcome, take $c\"; echo $c; echo \"($c)\" >&2; exit 1"
    ))?;
    for told in [
        "WARN USER connect connect p bad-challenge \"Welcome, take <challenge>\"",
        "NOTE USER connect connect p stdout <challenge>",
        "WARN USER connect connect p stderr (<challenge>)",
        "WARN USER connect connect p exit-nonzero 1",
    ] {
        // Standard output and standard error have no order.
        site.lab.follow_from_start().exactly(told)?;
    }
    service.wait_for_log("take <challenge>")?;
    let request = serde_json::json!({ "recent": {} });
    let recent = scenarios::request(service.control(), &request)?;
    let info = scenarios::request(
        service.control(),
        &serde_json::json!({ "info": { "peer": "p" } }),
    )?;
    let told = format!("{recent:?} {info:?} {}", service.log());
    assert!(
        told.contains("take <challenge>") && told.contains("(<challenge>)"),
        "{told}"
    );
    assert!(!told.contains(&challenge), "{told}");
    Ok(())
}

#[test]
fn a_challenge_that_the_server_refuses_is_warned_of() -> Outcome {
    // Base64 by its letters, but not by its length.
    let (site, _service) = connecting("echo Q")?;
    let mut events = site.lab.follow_from_start();
    events.command("GREET p Q")?;
    events.line("WARN USER connect connect p greet-failed bad-base64 ")?;
    assert_nothing_is_stuck(&site)
}

#[test]
fn disconnect_is_run_by_the_shell_when_the_peer_is_removed() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "p",
            &[
                ("peer", ANSWERING),
                ("disconnect", "a=by; echo ${a}e | cat; exit 3"),
            ],
        )
        .build()?;
    let _service = site.connect(&[])?;
    site.submit("active p")?;
    let mut events = site.lab.follow();
    site.admin_ok("KILL p")?;
    events.exactly("NOTE USER connect disconnect p stdout bye")?;
    events.exactly("WARN USER connect disconnect p exit-nonzero 3")?;
    Ok(())
}

#[test]
fn a_connect_command_still_under_way_is_ended_when_the_peer_is_removed() -> Outcome {
    let (site, _service) =
        connecting("trap 'echo ended >&2; exit 1' TERM; echo QUJD; sleep 20 & wait")?;
    site.lab.wait_for_command("GREET p QUJD")?;
    let mut events = site.lab.follow();
    site.admin_ok("KILL p")?;
    assert_eq!(events.stderr("connect p")?, "ended");
    events.stdout("disconnect p")?;
    // It was told to end, so how it ended is no news.
    assert!(said(&site, "WARN USER connect connect p exit").is_empty());
    Ok(())
}

#[test]
fn a_kick_ends_a_connect_command_that_hangs_and_runs_it_again() -> Outcome {
    let (site, _service) = connecting(
        "if test -e second; then echo QUJE; else touch second; echo begun >&2; exec sleep 20; fi",
    )?;
    let mut events = site.lab.follow_from_start();
    assert_eq!(events.stderr("connect p")?, "begun");
    site.submit("kick p")?;
    events.command("GREET p QUJE")?;
    Ok(())
}

#[test]
fn an_address_and_a_connect_command_are_enough_whatever_adds_the_peer() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("connect", "echo QUJD")])
        .build()?;
    let _service = site.connect(&[])?;
    site.admin_ok(&format!("ADD -cork p {ANSWERING}"))?;
    site.lab.wait_for_command("GREET p QUJD")?;
    Ok(())
}

#[test]
fn with_startup_a_peer_without_watch_is_connected_too() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("connect", "echo QUJD")])
        .build()?;
    site.admin_ok(&format!("ADD -cork p {ANSWERING}"))?;
    let _service = site.connect(&["--startup"])?;
    site.lab.wait_for_command("GREET p QUJD")?;
    assert_eq!(site.submit("adopted")?, [""; 0]);
    Ok(())
}

#[test]
fn two_sites_connect_dynamically_from_end_to_end() -> Outcome {
    let submit = program("lab-submit")?.display().to_string();
    // The passive site knows the user `road` and the peer that it is.
    let gate = Site::new()?
        .peer(
            "laptop",
            &[
                ("peer", "PASSIVE"),
                ("mobile", "t"),
                ("watch", "t"),
                ("ifup", "/bin/echo up"),
            ],
        )
        .user("road", "laptop")
        .build()?;
    let gate_socket = gate.lab.socket_path().display().to_string();
    let call = |command: &str| format!("{submit} {gate_socket} '{command}'");
    let laptop = Site::new()?
        .peer(
            "gate",
            &[
                ("peer", &gate.address()),
                ("cork", "t"),
                ("watch", "t"),
                ("every", "1s"),
                ("timeout", "1s"),
                ("retries", "2"),
                ("connect", &call("SVCSUBMIT connect passive road")),
                ("disconnect", &call("KILL laptop")),
            ],
        )
        .build()?;
    let _gate_service = gate.connect(&[])?;
    let _laptop_service = laptop.connect(&[])?;
    let (mut there, mut here) = (gate.lab.follow(), laptop.lab.follow());
    laptop.submit("active gate")?;

    // 1. The active peer adds its partner, corked.
    let add = here.command_line("ADD ")?;
    assert!(add.contains(" -cork gate "), "{add}");
    // 2. and 3. It submits `passive` to the passive peer's server and gets a challenge.
    there.command("SVCSUBMIT connect passive road")?;
    there.command("GETCHAL")?;
    // 4. It greets its partner, whose server announces the greeting and its origin.
    here.command("GREET gate ")?;
    let greeting = there.line("NOTE GREET ")?;
    assert!(greeting.ends_with(&laptop.address()), "{greeting}");
    // 5. The passive service adds the peer at that address.
    let add = there.command_line("ADD ")?;
    assert!(
        add.ends_with(&format!(" laptop {}", laptop.address())),
        "{add}"
    );
    gate.lab.follow_from_start().stdout("ifup laptop")?;
    laptop.lab.wait_for_broadcast("NOTE KXDONE gate")?;
    gate.lab.wait_for_broadcast("NOTE KXDONE laptop")?;
    assert!(
        said(&laptop, "WARN USER").is_empty(),
        "{:?}",
        said(&laptop, "WARN")
    );

    // The passive server forgets everything: the active one finds out and connects again.
    gate.lab.restart()?;
    there.broadcast("NOTE SVCCLAIM connect")?;
    laptop.lab.pause_network()?;
    here.broadcast("WARN USER connect reconnecting gate")?;
    laptop.lab.resume_network()?;
    there.broadcast("NOTE ADD laptop ")?;

    // Parting is told to the other side.
    let mut there = gate.lab.follow();
    laptop.admin_ok("KILL gate")?;
    there.broadcast("NOTE KILL laptop")?;
    assert_one_ping_at_a_time(&laptop);
    Ok(())
}

#[test]
fn a_site_that_cannot_be_reached_is_tried_again() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "p",
            &[
                ("peer", NOBODY),
                ("watch", "t"),
                ("every", "1s"),
                ("timeout", "1s"),
                ("retries", "1"),
                ("connect", "echo no route to host >&2; exit 1"),
            ],
        )
        .build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    for _ in 0..2 {
        assert_eq!(events.stderr("connect p")?, "no route to host");
        events.exactly("WARN USER connect connect p exit-nonzero 1")?;
        events.exactly("WARN USER connect reconnecting p")?;
    }
    Ok(())
}
