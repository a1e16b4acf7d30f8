// SPDX-License-Identifier: GPL-3.0-or-later
//! The samples for a host's network: each is loaded into a host of its own, and does what it says.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use scenarios::Outcome;

use super::{connected_with, cross_with, permitted};
use crate::hosts::Host;
use crate::packaged_scripts::{IFUP, install, packaged};

/// The text of a sample.
fn sample(name: &str) -> anyhow::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/samples");
    let path = root.join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Runs a shell script on a host, in its directory and with mounts of its own.
fn shell(host: &Host, text: &str) -> anyhow::Result<String> {
    let output = Command::new("ip")
        .args(["netns", "exec", &host.namespace])
        .args(["unshare", "--mount", "sh", "-e", "-c", text])
        .current_dir(host.path("."))
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}: {said}{errors}");
    Ok(said)
}

/// Whether a program is there; says so if not.
fn present(program: &str) -> bool {
    let found = Path::new(program).exists();
    if !found {
        eprintln!("skipped: there is no {program} here");
    }
    found
}

#[test]
fn the_packet_filter_lets_the_server_through_and_knows_the_tunnels() -> Outcome {
    if !permitted() || !present("/usr/sbin/nft") {
        return Ok(());
    }
    let load = |host: &Host| {
        install(host)?;
        fs::write(host.path("filter.nft"), sample("nftables.nft")?)?;
        // It can be loaded again.
        shell(host, "nft -f filter.nft; nft -f filter.nft").map(drop)
    };
    let extra = "nft add element inet tripe tunnels { \"$2\" } && touch configured";
    let keys = |near, far, name| {
        [
            ("ifup", IFUP),
            ("ifupextra", extra),
            ("laddr", near),
            ("raddr", far),
            ("ifname", name),
        ]
    };
    let at_gate = keys("10.78.0.1", "10.78.0.2", "vpn-hub");
    let at_hub = keys("10.78.0.2", "10.78.0.1", "vpn-gate");
    // Keys are agreed, so the port is open.
    let (gate, mut hub, _) = connected_with(&at_gate, &at_hub, load)?;
    for host in [&gate, &hub] {
        host.wait_for("end of ifup", || {
            host.path("configured").exists().then_some(())
        })?;
    }
    let set = shell(&hub, "nft list set inet tripe tunnels")?;
    assert!(set.contains("\"vpn-gate\""), "{set}");
    // A tunnel reaches what its chain lets through, and nothing else.
    let allowed = "nft insert rule inet tripe from_tunnels udp dport 7007 counter accept";
    shell(&hub, allowed)?;
    cross_with(&gate, &mut hub, "10.78.0.2:7007", "across")?;
    let chain = shell(&hub, "nft list chain inet tripe from_tunnels")?;
    assert!(!chain.contains("packets 0 "), "{chain}");
    Ok(())
}

/// Runs networkd on a host, until a condition holds; then prints addresses and routes.
///
/// It has a `/run` of its own, and a `/sys` that cannot be written, so that it does not wait for
/// udev, which knows nothing of the host's devices.
fn networkd(
    host: &Host,
    files: &[(&str, String)],
    act: &str,
    until: &str,
) -> anyhow::Result<String> {
    for (name, text) in files {
        fs::write(host.path(name), text)?;
    }
    let text = format!(
        "mount --make-rprivate /
         mount -o remount,ro /sys
         mount -t tmpfs tmpfs /run
         mkdir -p /run/systemd/netif/links /run/systemd/network
         cp *.network /run/systemd/network/
         chown -R systemd-network:systemd-network /run/systemd/netif
         /usr/lib/systemd/systemd-networkd 2> networkd.log & networkd=$!
         ended() {{ kill $networkd; wait $networkd || :; }}
         trap ended EXIT
         {act}
         waited=0
         until {until}; do
             waited=$((waited + 1))
             [ $waited -lt 300 ] || {{ cat networkd.log; ip address; exit 1; }}
             sleep 0.1
         done
         ip -oneline address; ip route; ip -6 route"
    );
    shell(host, &text)
}

/// The state of an interface as networkd has it.
fn admin_state(interface: &str, state: &str) -> String {
    format!(
        "grep -qx ADMIN_STATE={state} \
         /run/systemd/netif/links/$(cat /sys/class/net/{interface}/ifindex)"
    )
}

const NETWORKD: &str = "/usr/lib/systemd/systemd-networkd";

#[test]
fn networkd_leaves_tunnels_alone_that_it_is_not_to_manage() -> Outcome {
    if !permitted() || !present(NETWORKD) {
        return Ok(());
    }
    let host = Host::new("networkd")?;
    let ifup = packaged("ifup");
    let act = format!(
        "ip tuntap add mode tun tripe0
         A_BULK_OVERHEAD=36 P_MTU=1400 P_LADDR=10.99.0.1 {ifup} hub tripe0 INET 192.0.2.2 4070"
    );
    // A file for many interfaces, such as hosts have. By itself it takes the tunnel.
    let all = "[Match]\nName=t*\n[Network]\nConfigureWithoutCarrier=yes\nAddress=10.66.0.1/24\n";
    let all = ("50-all.network", all.to_owned());
    let ours = (
        "10-tripe.network",
        sample("networkd/10-tripe-unmanaged.network")?,
    );
    let until = admin_state("tripe0", "unmanaged");
    let shown = networkd(&host, &[all.clone(), ours], &act, &until)?;
    assert!(
        shown.contains("10.99.0.1/32") && !shown.contains("10.66.0.1"),
        "{shown}"
    );
    let other = Host::new("networkd")?;
    let shown = networkd(&other, &[all], &act, &admin_state("tripe0", "configured"))?;
    assert!(shown.contains("10.66.0.1"), "{shown}");
    Ok(())
}

#[test]
fn networkd_sets_the_addresses_of_a_tunnel_that_the_script_leaves_to_it() -> Outcome {
    if !permitted() || !present(NETWORKD) {
        return Ok(());
    }
    let host = Host::new("networkd")?;
    let ifup = packaged("ifup");
    let act = format!(
        "ip tuntap add mode tun tripe0
         A_BULK_OVERHEAD=36 P_MTU=1400 {ifup} hub tripe0 INET 192.0.2.2 4070"
    );
    let files = [(
        "10-tripe.network",
        sample("networkd/10-tripe-addresses.network")?,
    )];
    let shown = networkd(&host, &files, &act, &admin_state("tripe0", "configured"))?;
    for expected in [
        "10.99.0.1 peer 10.99.0.2/32",
        "2001:db8:99::1/64",
        "10.2.0.0/16 dev tripe0",
    ] {
        assert!(shown.contains(expected), "{shown}");
    }
    let link = host.ip(&["-oneline", "link", "show", "dev", "tripe0"])?;
    assert!(link.contains(" mtu 1400 "), "{link}");
    Ok(())
}
