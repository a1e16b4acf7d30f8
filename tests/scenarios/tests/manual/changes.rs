// SPDX-License-Identifier: GPL-3.0-or-later
//! What a reload leaves undone is told, and done if asked (differences.md, "Database").

use std::process::Output;

use peerdb::Record;
use scenarios::{Expect as _, Outcome, Service, Site};

use crate::support::{ANSWERING, ANSWERING_TOO, commands, peer_status};

const IFDOWN: &str = "/bin/sh -c 'echo down $P_LADDR'";

const BOB: &str = "INET 198.18.0.3 4070";

/// A record of a peer at this address with an interface.
fn record(name: &str, address: &str, laddr: &str) -> Record {
    let pairs = [
        ("peer", address),
        ("watch", "t"),
        ("every", "1h"),
        ("ifup", "/bin/sh -c 'echo up $P_LADDR'"),
        ("ifdown", IFDOWN),
        ("laddr", laddr),
    ];
    Record::new(name, pairs)
}

/// A site with the peers `alice`, `bob` and `carol`, which are up and have interfaces.
fn site() -> anyhow::Result<(Site, Service)> {
    let site = Site::new()?
        .with_answering_peers()
        .without_database()
        .build()?;
    site.write_database(&[
        record("alice", ANSWERING, "10.0.0.1"),
        record("bob", BOB, "10.0.0.1"),
        record("carol", ANSWERING_TOO, "10.0.0.1"),
    ])?;
    let service = site.connect(&[])?;
    let mut events = site.lab.follow();
    for name in ["alice", "bob", "carol"] {
        site.submit(&format!("active {name}"))?;
        assert_eq!(events.stdout(&format!("ifup {name}"))?, "up 10.0.0.1");
    }
    Ok((site, service))
}

/// The database in which `alice` has the address of `carol`, `bob` another interface, and `carol`
/// is no more.
fn change(site: &Site) -> Outcome {
    let new = [
        record("alice", ANSWERING_TOO, "10.0.0.1"),
        record("bob", BOB, "10.0.0.2"),
    ];
    site.write_database(&new)?;
    Ok(())
}

fn cli(site: &Site, words: &[&str]) -> anyhow::Result<Output> {
    let mut command = Service::bare_command_of("connect-cli")?;
    command.arg("-a").arg(site.lab.socket_path()).args(words);
    Ok(command.output()?)
}

/// What it has printed, with a status of success.
fn told(site: &Site, words: &[&str]) -> anyhow::Result<String> {
    let output = cli(site, words)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{words:?}: {text}{errors}");
    Ok(text)
}

#[test]
fn a_reload_lists_what_waits_and_each_command_of_the_list_works_when_pasted() -> Outcome {
    let (site, service) = site()?;
    let mut events = site.lab.follow();
    change(&site)?;
    let list = told(&site, &["reload"])?;
    let beginning = "database loaded: 2 peers\n3 peers differ from the database;";
    assert!(list.starts_with(beginning), "{list}");
    let standings = [
        "carol: not in the database any more",
        "alice: record changed (peer)",
        "bob: record changed (laddr)",
    ];
    for (line, standing) in list.lines().skip(2).zip(standings) {
        let found = line.split_once(&format!("  {standing}: connect-cli "));
        let (_, command) = found.unwrap_or_else(|| panic!("{standing}: {list}"));
        let words: Vec<&str> = command.split(' ').collect();
        told(&site, words.get(2..).unwrap_or_default())?;
    }
    assert_eq!(events.stdout("ifdown alice")?, "down 10.0.0.1");
    let list = told(&site, &["reload"])?;
    assert_eq!(list, "database loaded: 2 peers\n");
    assert_eq!(site.admin_ok("ADDR alice")?, [ANSWERING_TOO]);
    assert!(peer_status(&service, "carol").is_err());
    Ok(())
}

#[test]
fn changes_are_applied_at_once_if_that_is_asked() -> Outcome {
    let (site, service) = site()?;
    let mut events = site.lab.follow();
    change(&site)?;
    let dry = told(&site, &["reload", "--apply", "--dry-run"])?;
    assert!(dry.contains("carol: not in the database any more"), "{dry}");
    assert_eq!(commands(&site, "KILL"), Vec::<String>::new());
    assert_eq!(
        peer_status(&service, "alice")?["connection"]["record"],
        "changed"
    );
    let status = told(&site, &["status"])?;
    assert!(
        status.contains("3 peers differ from the database"),
        "{status}"
    );
    assert!(status.contains(", record changed"), "{status}");

    let done = told(&site, &["reload", "--apply"])?;
    let mut lines: Vec<&str> = done.lines().skip(1).collect();
    lines.sort_unstable();
    let expected = [
        "alice: added with its present record",
        "bob: ifup has run",
        "carol: removed from the server",
    ];
    assert_eq!(lines, expected);
    assert_eq!(events.stdout("ifdown carol")?, "down 10.0.0.1");
    assert_eq!(site.admin_ok("ADDR alice")?, [ANSWERING_TOO]);
    assert_eq!(
        commands(&site, "KILL").len(),
        2,
        "bob's tunnel was left alone"
    );
    assert_eq!(told(&site, &["reload"])?, "database loaded: 2 peers\n");
    Ok(())
}

#[test]
fn a_database_is_compared_with_the_running_service_before_it_is_loaded() -> Outcome {
    let (site, _service) = site()?;
    let new = site.path("new.in");
    std::fs::write(
        &new,
        format!("[alice]\npeer = {ANSWERING_TOO}\n[dora]\nauto = t\npeer = {ANSWERING}\n"),
    )?;
    let new = new.to_string_lossy().into_owned();
    let output = cli(&site, &["db", "diff", "--running", &new])?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "they differ: {text}");
    for line in [
        "~ peer alice changed: ",
        "- peer bob removed",
        "+ peer dora added",
        "! alice: record changed (ifup, laddr, peer): connect-cli -a ",
        "! bob: not in the database any more: connect-cli -a ",
        "! dora: has auto, but is not at the server: connect-cli -a ",
    ] {
        assert!(
            text.lines().any(|it| it.starts_with(line)),
            "{line}: {text}"
        );
    }
    assert!(told(&site, &["status"])?.contains("database 3 peers"));
    Ok(())
}

#[test]
fn the_log_says_how_many_peers_wait() -> Outcome {
    let (site, service) = site()?;
    change(&site)?;
    service.wait_for_log("database loaded; 3 peers differ from it; connect-cli reload")?;
    Ok(())
}

#[test]
fn peers_that_exchange_their_addresses_are_all_there_again() -> Outcome {
    const PEERS: usize = 40;
    let site = Site::new()?.without_database().auto("aaa").build()?;
    let records = |shift: usize| -> Vec<Record> {
        let address = |peer: usize| format!("INET 198.18.7.{} 4070", (peer + shift) % PEERS + 1);
        let pairs = |peer| [("peer", address(peer)), ("watch", "t".to_owned())];
        let peers = 0..PEERS;
        peers
            .map(|peer| Record::new(&format!("p{peer:02}"), pairs(peer)))
            .collect()
    };
    site.write_database(&records(0))?;
    let _service = site.connect(&[])?;
    for peer in 0..PEERS {
        site.submit(&format!("active p{peer:02}"))?;
    }
    // Each gets the address of the next, a new one that of the first, and the last a free one.
    let mut new = records(1);
    let last = new.len() - 1;
    new[last] = Record::new("p39", [("peer", "INET 198.18.7.200 4070"), ("watch", "t")]);
    new.push(Record::new(
        "aaa",
        [("peer", "INET 198.18.7.1 4070"), ("watch", "t")],
    ));
    site.write_database(&new)?;
    told(&site, &["reload", "--apply"])?;
    let mut there: Vec<String> = Vec::new();
    for line in site.admin_ok("LIST")? {
        let name = line.trim().to_owned();
        let address = site.admin_ok(&format!("ADDR {name}"))?.concat();
        there.push(format!("{name} {address}"));
    }
    there.sort_unstable();
    let mut wanted: Vec<String> = new
        .iter()
        .map(|record| {
            format!(
                "{} {}",
                record.name(),
                record.get("peer").unwrap_or_default()
            )
        })
        .collect();
    wanted.sort_unstable();
    assert_eq!(there, wanted);
    let nothing = told(&site, &["reload"])?;
    assert_eq!(nothing, "database loaded: 41 peers\n");
    Ok(())
}
