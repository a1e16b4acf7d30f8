// SPDX-License-Identifier: GPL-3.0-or-later
//! Two hosts in network namespaces, joined by a real link, with real tunnel devices: `ifup` really
//! configures an interface, packets really cross, addresses and links really change.
//!
//! Where namespaces or tunnel devices are not permitted the tests say so and pass.

mod hosts;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use hosts::{Host, inner, not_permitted, outer, pair};
use peerdb::Record;
use scenarios::Outcome;

/// What a real `ifup` does: address and link.
const IFUP: &str = "set -e
ip addr add \"$P_LADDR\" peer \"$P_RADDR\" dev \"$2\"
ip link set \"$2\" up";

/// Gate knocks at hub; both have the tunnel's interface configured by script and are pinged through
/// the session every second.
fn connected() -> anyhow::Result<(Host, Host)> {
    let (mut gate, mut hub) = pair()?;
    let addresses = [inner(1).to_string(), inner(2).to_string()];
    let far = format!("INET {} 4070", outer(2));
    let checks = [
        ("watch", "t"),
        ("every", "1s"),
        ("timeout", "1s"),
        ("ping", "encrypted"),
    ];
    let common = [("ifup", "./ifup"), ("mobile", "t")];
    let to_hub = [
        ("peer", far.as_str()),
        ("knock", "gate"),
        ("laddr", &addresses[0]),
        ("raddr", &addresses[1]),
        ("retries", "2"),
    ];
    let to_gate = [
        ("peer", "PASSIVE"),
        ("laddr", &addresses[1]),
        ("raddr", &addresses[0]),
        // It is gate's part to come back, so hub is patient.
        ("retries", "500"),
    ];
    let record = |name: &str, own: &[(&'static str, &str)]| {
        let pairs: Vec<(&str, &str)> = [own, &checks, &common].concat();
        Record::new(name, pairs)
    };
    gate.database(&[record("hub", &to_hub)], &["hub"])?;
    hub.database(&[record("gate", &to_gate)], &[])?;
    for host in [&mut hub, &mut gate] {
        host.script("ifup", IFUP)?;
        host.start_server()?;
    }
    let mut at_gate = gate.watcher()?;
    hub.start_service()?;
    gate.start_service()?;
    at_gate
        .receive_until("NOTE KXDONE hub")
        .with_context(|| gate.logs())?;
    Ok((gate, hub))
}

/// Whether the tests can run; says why not.
fn permitted() -> bool {
    match not_permitted() {
        None => true,
        Some(reason) => {
            eprintln!("skipped: no network namespaces with tunnel devices here: {reason}");
            false
        }
    }
}

/// Sends a packet through the tunnel from gate to hub and back.
fn cross(gate: &Host, hub: &mut Host) -> anyhow::Result<()> {
    let address = format!("{}:7007", inner(2));
    let mut server = hub
        .command("lab-echo")?
        .args(["serve", "0.0.0.0:7007"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut ready = String::new();
    let stdout = server.stdout.take().context("no standard output")?;
    BufReader::new(stdout).read_line(&mut ready)?;
    let asked = gate
        .command("lab-echo")?
        .args(["ask", &address, "across"])
        .output();
    server.kill()?;
    server.wait()?;
    let asked = asked?;
    ensure!(
        asked.status.success(),
        "{}\n{}\n{}",
        String::from_utf8_lossy(&asked.stderr),
        gate.logs(),
        hub.logs()
    );
    Ok(())
}

#[test]
fn ifup_configures_a_real_interface_and_packets_cross_the_tunnel() -> Outcome {
    if !permitted() {
        return Ok(());
    }
    let (gate, mut hub) = connected()?;
    cross(&gate, &mut hub)?;
    let ifname = gate.admin()?.ask("IFNAME hub")?.lines()?.concat();
    let shown = gate.ip(&["addr", "show", "dev", &ifname])?;
    let expected = format!("inet {} peer {}", inner(1), inner(2));
    assert!(shown.contains(&expected), "{shown}");
    Ok(())
}

#[test]
fn a_mobile_peer_whose_address_changes_is_followed() -> Outcome {
    if !permitted() {
        return Ok(());
    }
    let (gate, mut hub) = connected()?;
    let mut at_hub = hub.watcher()?;
    let (old, new) = (format!("{}/24", outer(1)), format!("{}/24", outer(3)));
    gate.ip(&["addr", "del", &old, "dev", "wire"])?;
    gate.ip(&["addr", "add", &new, "dev", "wire"])?;
    let moved = format!("NOTE NEWADDR gate INET {} ", outer(3));
    at_hub.receive_until(&moved).with_context(|| hub.logs())?;
    let address = hub.admin()?.ask("ADDR gate")?.lines()?.concat();
    assert!(
        address.starts_with(&format!("INET {} ", outer(3))),
        "{address}"
    );
    cross(&gate, &mut hub)?;
    Ok(())
}

#[test]
fn a_link_that_goes_down_loses_packets_and_one_that_comes_up_brings_the_peer_back() -> Outcome {
    if !permitted() {
        return Ok(());
    }
    let (gate, mut hub) = connected()?;
    let mut at_gate = gate.watcher()?;
    hub.ip(&["link", "set", "wire", "down"])?;
    for expected in [
        "WARN USER connect ping-timeout hub attempt 1 of 2",
        "WARN USER connect ping-timeout hub attempt 2 of 2",
        "WARN USER connect reconnecting hub",
    ] {
        at_gate
            .receive_until(expected)
            .with_context(|| gate.logs())?;
    }
    hub.ip(&["link", "set", "wire", "up"])?;
    at_gate
        .receive_until("WARN USER connect ping-ok hub")
        .with_context(|| gate.logs())?;
    cross(&gate, &mut hub)?;
    Ok(())
}
