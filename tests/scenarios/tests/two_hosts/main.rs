// SPDX-License-Identifier: GPL-3.0-or-later
//! Two hosts in network namespaces, joined by a real link, with real tunnel devices: `ifup` really
//! configures an interface, packets really cross, addresses and links really change.
//!
//! Where namespaces or tunnel devices are not permitted the tests say so and pass.

mod hosts;
mod moving_peers;
mod names;
mod packaged_scripts;
mod samples;
mod script_steps;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use hosts::{Host, inner, not_permitted, outer, pair};
use peerdb::Record;
use scenarios::{Admin, Outcome};

/// What a real `ifup` does: address and link.
const IFUP: &str = "set -e
ip addr add \"$P_LADDR\" peer \"$P_RADDR\" dev \"$2\"
ip link set \"$2\" up";

/// Gate knocks at hub; both have the tunnel's interface configured by script and are pinged through
/// the session every second.
fn connected() -> anyhow::Result<(Host, Host)> {
    let addresses = [inner(1).to_string(), inner(2).to_string()];
    let interface = |near: usize, far: usize| {
        [
            ("ifup", "./ifup"),
            ("laddr", addresses[near].as_str()),
            ("raddr", addresses[far].as_str()),
        ]
    };
    let script = |host: &Host| host.script("ifup", IFUP);
    let (gate, hub, _) = connected_with(&interface(0, 1), &interface(1, 0), script)?;
    Ok((gate, hub))
}

/// The same, with what the two records have for the interface, and something to be done at each
/// host before it starts. Also what gate's server says from then on.
fn connected_with(
    of_hub: &[(&str, &str)],
    of_gate: &[(&str, &str)],
    prepare: impl Fn(&Host) -> anyhow::Result<()>,
) -> anyhow::Result<(Host, Host, Admin)> {
    let (mut gate, mut hub) = pair()?;
    let far = format!("INET {} 4070", outer(2));
    let common = [
        ("watch", "t"),
        ("every", "1s"),
        ("timeout", "1s"),
        ("ping", "encrypted"),
        ("mobile", "t"),
    ];
    let to_hub = [("peer", far.as_str()), ("knock", "gate"), ("retries", "2")];
    // It is gate's part to come back, so hub is patient.
    let to_gate = [("peer", "PASSIVE"), ("retries", "500")];
    let record = |name: &str, own: &[(&str, &str)], interface: &[(&str, &str)]| {
        Record::new(name, [own, &common, interface].concat())
    };
    gate.database(&[record("hub", &to_hub, of_hub)], &["hub"])?;
    hub.database(&[record("gate", &to_gate, of_gate)], &[])?;
    for host in [&mut hub, &mut gate] {
        prepare(host)?;
        host.start_server()?;
    }
    let at_gate = start_services(&mut gate, &mut hub)?;
    Ok((gate, hub, at_gate))
}

/// Starts the service on both hosts, and waits until gate has agreed on keys with hub. Gives who
/// watches gate's server.
fn start_services(gate: &mut Host, hub: &mut Host) -> anyhow::Result<Admin> {
    let mut at_gate = gate.watcher()?;
    hub.start_service()?;
    gate.start_service()?;
    at_gate
        .receive_until("NOTE KXDONE hub")
        .with_context(|| gate.logs())?;
    Ok(at_gate)
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
    cross_with(gate, hub, &format!("{}:7007", inner(2)), "across")
}

/// Sends a packet with this text through the tunnel from gate to an address of hub, and back.
fn cross_with(gate: &Host, hub: &mut Host, address: &str, text: &str) -> anyhow::Result<()> {
    let mut server = hub
        .command("lab-echo")?
        .args(["serve", "[::]:7007"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut ready = String::new();
    let stdout = server.stdout.take().context("no standard output")?;
    BufReader::new(stdout).read_line(&mut ready)?;
    let asked = gate
        .command("lab-echo")?
        .args(["ask", address, text])
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
