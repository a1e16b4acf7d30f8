// SPDX-License-Identifier: GPL-3.0-or-later
//! The service runs end to end: adoption, pings, loss and return of a peer, helpers that die,
//! a server that restarts, and everything that can be missing or broken at start.

use scenarios::{Outcome, Service, Site};

/// A watched peer at `address`, checked every second.
fn watched(address: &str) -> [(&str, &str); 5] {
    [
        ("peer", address),
        ("watch", "t"),
        ("every", "1s"),
        ("timeout", "1s"),
        ("retries", "3"),
    ]
}

#[test]
fn three_peers_are_adopted_shown_missed_and_found_again() -> Outcome {
    let far: Vec<Site> = (0..3)
        .map(|_| Site::new()?.build())
        .collect::<anyhow::Result<_>>()?;
    let mut site = Site::new()?;
    for (name, far) in ["anna", "bert", "cora"].iter().zip(&far) {
        let address = far.address();
        let mut pairs = watched(&address).to_vec();
        // Reconnection keeps the peer, so that its return can be seen.
        pairs.push(("knock", "here"));
        site = site.peer(name, &pairs);
    }
    let site = site.build()?;
    let _service = site.connect(&[])?;
    for (name, far) in ["anna", "bert", "cora"].iter().zip(&far) {
        site.submit(&format!("active {name}"))?;
        far.admin_ok(&format!("ADD here-{name} {}", site.address()))
            .or_else(|_| far.admin_ok("LIST"))?;
    }
    assert_eq!(site.submit("adopted")?, ["anna", "bert", "cora"]);

    let mut events = site.lab.follow();
    far[1].lab.pause_network()?;
    for attempt in 1..=3 {
        events.broadcast(&format!(
            "WARN USER connect ping-timeout bert attempt {attempt} of 3"
        ))?;
    }
    events.broadcast("WARN USER connect reconnecting bert")?;
    events.command("FORCEKX bert")?;
    far[1].lab.resume_network()?;
    events.broadcast("WARN USER connect ping-ok bert")?;
    let others = site.lab.broadcasts();
    let others = others.iter().filter(|line| line.contains("ping-timeout"));
    assert!(
        others.clone().all(|line| line.contains("bert")),
        "{:?}",
        others.collect::<Vec<_>>()
    );
    Ok(())
}

#[test]
fn two_active_peers_make_a_static_connection() -> Outcome {
    let far = Site::new()?.build()?;
    let near = Site::new()?.peer("far", &watched(&far.address())).build()?;
    let address = near.address();
    far.write_database(&[peerdb::Record::new("near", watched(&address))])?;
    let _services = (near.connect(&[])?, far.connect(&[])?);
    near.submit("active far")?;
    far.submit("active near")?;
    near.lab.wait_for_broadcast("NOTE KXDONE far")?;
    far.lab.wait_for_broadcast("NOTE KXDONE near")?;
    assert_eq!(near.submit("adopted")?, ["far"]);
    assert_eq!(far.submit("adopted")?, ["near"]);
    for site in [&near, &far] {
        let contact = |it: &&String| it.contains("NOTE GREET") || it.contains("NOTE KNOCK");
        assert_eq!(site.lab.broadcasts().iter().filter(contact).count(), 0);
    }
    Ok(())
}

/// A site with one peer that answers, and the site that answers.
fn pair() -> anyhow::Result<(Site, Site, Service)> {
    let far = Site::new()?.build()?;
    let address = far.address();
    let site = Site::new()?.peer("far", &watched(&address)).build()?;
    let service = site.connect(&[])?;
    far.admin_ok(&format!("ADD near {}", site.address()))?;
    site.submit("active far")?;
    site.lab.wait_for_command("PING")?;
    Ok((site, far, service))
}

fn replies(site: &Site) -> anyhow::Result<u64> {
    Ok(site.info("far", "n-ping")?.parse()?)
}

#[test]
fn a_killed_pinger_is_replaced_and_the_statistics_are_kept() -> Outcome {
    let (site, _far, mut service) = pair()?;
    service.wait_for("two replies", || (replies(&site).ok()? >= 2).then_some(()))?;
    let before = replies(&site)?;
    service.kill_helper("pinger")?;
    let mut events = site.lab.follow();
    assert!(replies(&site)? >= before);
    events.command("PING")?;
    service.wait_for("another reply", || {
        (replies(&site).ok()? > before).then_some(())
    })?;
    assert_eq!(site.info("far", "n-lost")?, "0");
    Ok(())
}

#[test]
fn a_killed_script_helper_is_replaced_and_scripts_run_on() -> Outcome {
    let site = Site::new()?
        .script("down", "echo \"down $*\"")?
        .peer(
            "p",
            &[("peer", "INET 127.0.0.1 9"), ("ifdown", "./down now")],
        )
        .build()?;
    let mut service = site.connect(&[])?;
    service.kill_helper("scripts")?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    site.admin_ok("KILL p")?;
    events.broadcast("NOTE USER connect ifdown p stdout \"down now p\"")?;
    Ok(())
}

#[test]
fn a_restarted_server_is_found_claimed_and_served_again() -> Outcome {
    let (site, _far, _service) = pair()?;
    let mut events = site.lab.follow();
    site.lab.restart()?;
    events.broadcast("NOTE SVCCLAIM connect")?;
    let fresh = site.admin_ok("LIST")?;
    assert!(fresh.is_empty(), "{fresh:?}");
    site.submit("active far")?;
    events.command("PING")?;
    Ok(())
}

#[test]
fn with_startup_a_restarted_server_gets_its_peers_back() -> Outcome {
    let site = Site::new()?
        .peer("p", &[("peer", "INET 127.0.0.1 9")])
        .auto("p")
        .build()?;
    let mut events = site.lab.follow();
    let _service = site.connect(&["--startup"])?;
    events.broadcast("NOTE ADD p ")?;
    site.lab.restart()?;
    events.broadcast("NOTE ADD p ")?;
    Ok(())
}

/// What a start that fails prints, and its exit code.
fn failing_start(site: &Site, options: &[&str]) -> anyhow::Result<(String, Option<i32>)> {
    let mut service = Service::start(site, options)?;
    let code = service.wait()?.code();
    Ok((service.log(), code))
}

#[test]
fn a_missing_socket_is_named_in_one_sentence() -> Outcome {
    let site = Site::new()?.build()?;
    let (log, code) = failing_start(&site, &["-a", "/nonexistent/tripesock"])?;
    assert!(
        log.starts_with("connect: cannot reach the tripe server at /nonexistent/"),
        "{log}"
    );
    assert_eq!((log.lines().count(), code), (1, Some(69)), "{log}");
    Ok(())
}

#[test]
fn a_bad_option_is_refused_with_the_usage_and_status_2() -> Outcome {
    let site = Site::new()?.build()?;
    for options in [&["--nonsense"][..], &["positional"], &["--ping", "loud"]] {
        let (log, code) = failing_start(&site, options)?;
        assert!(
            log.contains(options.last().copied().unwrap_or_default()),
            "{log}"
        );
        assert_eq!(code, Some(2), "{log}");
    }
    Ok(())
}

#[test]
fn a_service_that_is_claimed_already_is_left_alone() -> Outcome {
    let site = Site::new()?.build()?;
    let mut other = site.admin()?;
    other.ask("SVCCLAIM connect 99.0")?.lines()?;
    let (log, code) = failing_start(&site, &[])?;
    assert!(log.contains("service-exists connect 99.0"), "{log}");
    assert_eq!(code, Some(78));
    Ok(())
}

#[test]
fn a_service_killed_with_a_ping_under_way_can_be_started_again_at_once() -> Outcome {
    let (site, far, mut service) = pair()?;
    far.lab.pause_network()?;
    site.lab.follow().command("PING")?;
    service.signal(rustix::process::Signal::KILL)?;
    service.wait()?;
    let _again = site.connect(&[])?;
    Ok(())
}

#[test]
fn a_service_that_is_refused_touches_no_peer() -> Outcome {
    let site = Site::new()?
        .peer("p", &[("peer", "INET 127.0.0.1 9")])
        .auto("p")
        .build()?;
    let _service = site.connect(&[])?;
    let options = ["--startup", "--runtime-dir", "./elsewhere"];
    std::fs::rename(site.path("connect.log"), site.path("first.log"))?;
    let (log, code) = failing_start(&site, &options)?;
    assert!(log.contains("service-exists connect"), "{log}");
    assert_eq!(code, Some(78));
    assert_eq!(site.admin_ok("LIST")?, [""; 0]);
    Ok(())
}

#[test]
fn a_second_service_on_the_same_server_says_so() -> Outcome {
    let site = Site::new()?.build()?;
    let service = site.connect(&[])?;
    std::fs::rename(site.path("connect.log"), site.path("first.log"))?;
    let (log, code) = failing_start(&site, &[])?;
    let running = format!(
        "a connect service runs already: process {} serves",
        service.pid()
    );
    assert!(log.contains(&running), "{log}");
    assert_eq!(code, Some(71));
    let first = std::fs::read_to_string(site.path("first.log"))?;
    assert!(!first.contains("WARN"), "{first}");
    Ok(())
}

#[test]
fn without_a_database_the_service_runs_and_loads_it_when_it_comes() -> Outcome {
    let site = Site::new()?.without_database().build()?;
    let service = site.connect(&[])?;
    service.wait_for_log("no usable database yet: there is no peer database ")?;
    service.wait_for_log("make one with `connect-cli db compile -o ")?;
    assert!(!service.log().contains("peerdb-error"), "said once");
    assert_eq!(site.submit_failing("active far")?, "unknown-peer far");
    for command in ["active", "ping"] {
        let mut cli = Service::bare_command_of("connect-cli")?;
        cli.arg("-a").arg(site.lab.socket_path());
        let output = cli.args([command, "far"]).output()?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let cause = "connect-cli: unknown-peer far: no database is in use: there is no peer ";
        assert!(errors.starts_with(cause), "{errors}");
    }
    site.write_database(&[peerdb::Record::new("far", [("peer", "INET 127.0.0.1 9")])])?;
    site.lab
        .wait_for_broadcast("NOTE USER connect peerdb-update")?;
    assert_eq!(site.submit("list-active")?, ["far"]);
    Ok(())
}

#[test]
fn a_database_that_is_damaged_at_the_start_is_named_with_its_remedy() -> Outcome {
    let site = Site::new()?.without_database().build()?;
    std::fs::write(site.path("peers.cdb"), [0x1b; 300])?;
    let service = site.connect(&[])?;
    service.wait_for_log("no usable database yet: the peer database ")?;
    let log = service.log();
    let line = log.lines().find(|line| line.contains("no usable database"));
    let line = line.unwrap_or_default();
    assert!(line.contains("is damaged or not in cdb format"), "{line}");
    assert!(
        line.contains("compile it again from its sources with"),
        "{line}"
    );
    assert!(!log.contains("exists"), "{log}");
    site.write_database(&[peerdb::Record::new("far", [("peer", "INET 127.0.0.1 9")])])?;
    site.lab
        .wait_for_broadcast("NOTE USER connect peerdb-update")?;
    Ok(())
}

#[test]
fn a_broken_database_is_named_and_the_last_good_one_stays_in_use() -> Outcome {
    let site = Site::new()?
        .peer("far", &[("peer", "INET 127.0.0.1 9")])
        .build()?;
    let _service = site.connect(&[])?;
    std::fs::write(site.path("broken"), "this is no cdb file")?;
    std::fs::rename(site.path("broken"), site.path("peers.cdb"))?;
    site.lab
        .wait_for_broadcast("WARN USER connect peerdb-error")?;
    assert_eq!(site.submit("list-active")?, ["far"]);
    Ok(())
}
