// SPDX-License-Identifier: GPL-3.0-or-later
//! The interface scripts of the package, run by the service for a real tunnel between two hosts.

use std::path::Path;

use anyhow::Context as _;
use scenarios::{Admin, Outcome};

use super::{connected_with, cross_with, permitted};
use crate::hosts::Host;

/// Where a script of the package is in the sources.
pub(crate) fn packaged(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("packaging/interfaces").join(name);
    // As the service looks at it: without `..`.
    let path = path.canonicalize().unwrap_or(path);
    path.display().to_string()
}

/// The scripts of the package as a record names them once [`install`] has put them into the host's
/// directory. The service runs none in the sources where others may write above these, as in
/// `/tmp`.
pub(crate) const IFUP: &str = "HERE/ifup";
const IFDOWN: &str = "HERE/ifdown";

/// Puts the scripts of the package into the host's directory.
pub(crate) fn install(host: &Host) -> anyhow::Result<()> {
    for name in ["ifup", "ifdown", "interface.sh"] {
        std::fs::copy(packaged(name), host.path(name))?;
    }
    Ok(())
}

/// What gate's record of hub has for its interface, unless a test changes it.
const AT_GATE: &[(&str, &str)] = &[
    ("ifname", "vpn-hub"),
    ("laddr", "10.78.0.1/24 2001:db8:78::1/64"),
    ("raddr", "10.78.0.2 2001:db8:78::2"),
    ("nets", "10.79.0.0/16 2001:db8:79::/48"),
];

/// The same for hub's record of gate.
const AT_HUB: &[(&str, &str)] = &[
    ("ifname", "vpn-gate"),
    ("laddr", "10.78.0.2/24 2001:db8:78::2/64"),
    ("raddr", "10.78.0.1 2001:db8:78::1"),
];

/// Gate and hub with the scripts of the package, when both interfaces are configured. At gate,
/// `changed` takes the place of what the record has otherwise.
fn configured(changed: &[(&str, &str)]) -> anyhow::Result<(Host, Host, Admin)> {
    let scripts = [
        ("ifup", IFUP),
        ("ifdown", IFDOWN),
        // The last step of all.
        ("ifupextra", "echo \"$2\" > configured"),
    ];
    let at_gate: Vec<_> = AT_GATE
        .iter()
        .filter(|(key, _)| !changed.iter().any(|(other, _)| key == other))
        .chain(changed)
        .chain(&scripts)
        .copied()
        .collect();
    let (gate, hub, watcher) = connected_with(&at_gate, &[AT_HUB, &scripts].concat(), install)?;
    for host in [&gate, &hub] {
        host.wait_for("end of ifup", || {
            let name = std::fs::read_to_string(host.path("configured")).ok()?;
            name.ends_with('\n').then_some(name)
        })?;
    }
    Ok((gate, hub, watcher))
}

/// Runs connect-cli on a host, and returns its exit code.
fn tool(host: &Host, arguments: &[&str]) -> anyhow::Result<Option<i32>> {
    let mut command = host.command("connect-cli")?;
    command.args(arguments);
    command.arg("-a").arg(host.path("tripesock"));
    Ok(command.status()?.code())
}

/// All that the server has said until now.
fn said(host: &Host, watcher: &mut Admin) -> anyhow::Result<String> {
    host.admin()?.ask("NOTIFY so far")?.lines()?;
    let mut lines = Vec::new();
    loop {
        let line = watcher.receive()?;
        if line == "NOTE USER so far" {
            return Ok(lines.join("\n"));
        }
        lines.push(line);
    }
}

/// Whether a line is a warning. That of ip itself is none which complains of a namespace of another
/// test that has just gone.
fn warns(line: &&str) -> bool {
    line.contains("WARN") && !line.contains("netns reference")
}

#[test]
fn addresses_and_routes_of_both_families_and_the_name_are_set() -> Outcome {
    if !permitted() {
        return Ok(());
    }
    let (gate, mut hub, mut watcher) = configured(&[])?;
    let addresses = gate.ip(&["-oneline", "address", "show", "dev", "vpn-hub"])?;
    for expected in [
        "inet 10.78.0.1 peer 10.78.0.2/24",
        "inet6 2001:db8:78::1 peer 2001:db8:78::2/64",
    ] {
        assert!(addresses.contains(expected), "{addresses}");
    }
    for (family, network) in [("-4", "10.79.0.0/16"), ("-6", "2001:db8:79::/48")] {
        let routes = gate.ip(&[family, "route", "show", "exact", network])?;
        assert!(routes.contains("dev vpn-hub"), "{routes}");
    }
    // The server knows the new name, and the script has nothing to complain of.
    assert_eq!(gate.admin()?.ask("IFNAME hub")?.lines()?, ["vpn-hub"]);
    let said = said(&gate, &mut watcher)?;
    assert_eq!(said.lines().find(warns), None, "{said}");
    for address in ["10.78.0.2:7007", "[2001:db8:78::2]:7007"] {
        cross_with(&gate, &mut hub, address, "across")?;
    }
    Ok(())
}

/// How many packets a host has sent in pieces.
fn fragments(host: &Host) -> anyhow::Result<String> {
    let output = std::process::Command::new("ip")
        .args(["netns", "exec", &host.namespace, "cat", "/proc/net/snmp"])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut lines = text.lines().filter(|line| line.starts_with("Ip:"));
    let names = lines.next().context("no names")?.split(' ');
    let values = lines.next().context("no values")?.split(' ');
    let mut pairs = names.zip(values);
    let found = pairs.find(|(name, _)| *name == "FragCreates");
    Ok(found.context("no FragCreates")?.1.to_owned())
}

#[test]
fn the_largest_packet_of_the_mtu_crosses_in_one_piece() -> Outcome {
    if !permitted() {
        return Ok(());
    }
    let (gate, mut hub, _) = configured(&[])?;
    // The link carries 1500 bytes: 20 for IP, 8 for UDP, 1 for the type, and the lab server's
    // bulk-overhead of 36 are the server's.
    let link = gate.ip(&["-oneline", "link", "show", "dev", "vpn-hub"])?;
    assert!(link.contains(" mtu 1435 "), "{link}");
    let largest = "x".repeat(1435 - 28);
    cross_with(&gate, &mut hub, "10.78.0.2:7007", &largest)?;
    assert_eq!(
        (fragments(&gate)?, fragments(&hub)?),
        ("0".into(), "0".into())
    );
    // That this would be seen: a larger packet is cut.
    let larger = "x".repeat(1435 - 27);
    cross_with(&gate, &mut hub, "10.78.0.2:7007", &larger)?;
    assert_ne!(fragments(&gate)?, "0");
    Ok(())
}

#[test]
fn a_step_that_fails_is_warned_of_and_does_not_stop_the_others() -> Outcome {
    if !permitted() {
        return Ok(());
    }
    let (gate, mut hub, mut watcher) = configured(&[("nets", "10.80.0.1/16 10.81.0.0/16")])?;
    let said = said(&gate, &mut watcher)?;
    let expected =
        "WARN USER tripe-ifup command-failed rc=2 ip -4 route add to 10.80.0.1/16 dev vpn-hub";
    assert!(said.contains(expected), "{said}");
    let routes = gate.ip(&["route", "show", "exact", "10.81.0.0/16"])?;
    assert!(routes.contains("dev vpn-hub"), "{routes}");
    cross_with(&gate, &mut hub, "10.78.0.2:7007", "across")?;
    // The script says by its status too that not all was done, and its output says what.
    assert_eq!(tool(&gate, &["ifup", "hub"])?, Some(1));
    let mut info = gate.command("connect-cli")?;
    info.args(["info", "hub", "-a"]).arg(gate.path("tripesock"));
    let shown = String::from_utf8(info.output()?.stdout)?;
    let expected = "command-failed rc=2 ip -4 route add to 10.80.0.1/16 dev vpn-hub";
    assert!(shown.contains(expected), "{shown}");
    Ok(())
}

#[test]
fn ifdown_takes_back_what_ifup_has_done_and_a_removed_peer_leaves_nothing() -> Outcome {
    if !permitted() {
        return Ok(());
    }
    let (gate, mut hub, mut watcher) = configured(&[])?;
    for _ in 0..2 {
        assert_eq!(tool(&gate, &["ifdown", "hub"])?, Some(0));
        let shown = gate.ip(&["-oneline", "address", "show", "dev", "vpn-hub"])?;
        assert!(
            !shown.contains("10.78") && !shown.contains("db8:78"),
            "{shown}"
        );
        assert_eq!(gate.ip(&["route", "show", "dev", "vpn-hub"])?, "");
    }
    for _ in 0..2 {
        assert_eq!(tool(&gate, &["ifup", "hub"])?, Some(0));
        cross_with(&gate, &mut hub, "10.78.0.2:7007", "across")?;
    }
    assert_eq!(tool(&gate, &["kill", "hub"])?, Some(0));
    gate.wait_for("end of the interface", || {
        gate.ip(&["link", "show", "dev", "vpn-hub"]).err()
    })?;
    // Its ifdown has run when the next peer of the name is configured.
    std::fs::remove_file(gate.path("configured"))?;
    assert_eq!(tool(&gate, &["active", "hub"])?, Some(0));
    gate.wait_for("end of ifup", || {
        gate.path("configured").exists().then_some(())
    })?;
    let said = said(&gate, &mut watcher)?;
    assert_eq!(said.lines().find(warns), None, "{said}");
    Ok(())
}
