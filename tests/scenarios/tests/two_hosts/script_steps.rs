// SPDX-License-Identifier: GPL-3.0-or-later
//! The interface scripts of the package by themselves: run with the variables that the service
//! gives, for a tunnel device of a host without a service. What they say to the server goes into a
//! file. Here are the values that nobody means well with, and what may be missing on a host.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use scenarios::Outcome;

use super::permitted;
use crate::hosts::Host;
use crate::packaged_scripts::packaged;

/// A host with a tunnel device `tripe0` and a route to the peer's server, 192.0.2.2.
struct Stage {
    host: Host,
}

/// Variables of a script's environment, with their values.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// What came of a script.
struct Ran {
    code: Option<i32>,
    /// The commands that the server was given, a line each.
    told: String,
    /// What it wrote to standard error.
    wrote: String,
}

impl Stage {
    fn new() -> anyhow::Result<Self> {
        let host = Host::new("stage")?;
        let wire = ["link", "add", "wire", "mtu", "1400", "type", "veth"];
        host.ip(&[&wire[..], &["peer", "name", "eriw"]].concat())?;
        host.ip(&["address", "add", "192.0.2.1/24", "dev", "wire"])?;
        host.ip(&[
            "-6",
            "address",
            "add",
            "2001:db8::1/64",
            "dev",
            "wire",
            "nodad",
        ])?;
        for name in ["wire", "eriw"] {
            host.ip(&["link", "set", name, "up"])?;
        }
        host.ip(&["tuntap", "add", "mode", "tun", "tripe0"])?;
        let stage = Stage { host };
        fs::create_dir(stage.host.path("bin"))?;
        stage.server_tool("connect-cli", "shift 3")?;
        Ok(stage)
    }

    /// Puts a program in the way of the one that speaks to the server. It notes the command, and
    /// then does what `also` says; to `IFNAME` the answer is that there is no such peer.
    fn server_tool(&self, name: &str, shift: &str) -> anyhow::Result<()> {
        let told = self.host.path("told");
        let text = format!(
            "{shift}\necho \"$*\" >> '{}'\n[ \"$1\" != IFNAME ]",
            told.display()
        );
        self.host.script(&format!("bin/{name}"), &text)
    }

    fn run(
        &self,
        script: &str,
        arguments: &[&str],
        variables: Variables<'_>,
    ) -> anyhow::Result<Ran> {
        let told = self.host.path("told");
        fs::write(&told, "")?;
        let path = format!(
            "{}:/usr/sbin:/usr/bin:/sbin:/bin",
            self.host.path("bin").display()
        );
        let output = Command::new("ip")
            .args(["netns", "exec", &self.host.namespace, &packaged(script)])
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .env("A_BULK_OVERHEAD", "36")
            .envs(variables.iter().copied())
            .current_dir(self.host.path("."))
            .output()?;
        Ok(Ran {
            code: output.status.code(),
            told: fs::read_to_string(told)?,
            wrote: String::from_utf8(output.stderr)?,
        })
    }

    /// Runs `ifup` for the peer hub.
    fn up(&self, variables: Variables<'_>) -> anyhow::Result<Ran> {
        self.run(
            "ifup",
            &["hub", "tripe0", "INET", "192.0.2.2", "4070"],
            variables,
        )
    }

    fn addresses(&self, name: &str) -> anyhow::Result<String> {
        self.host.ip(&["-oneline", "address", "show", "dev", name])
    }
}

/// The stage, unless namespaces cannot be had here.
fn stage() -> anyhow::Result<Option<Stage>> {
    permitted().then(Stage::new).transpose()
}

#[test]
fn values_are_data_whatever_is_in_them() -> Outcome {
    let Some(stage) = stage()? else { return Ok(()) };
    let hostile = "* -f $(touch pwned) `touch pwned` ;touch pwned \n-batch\n/dev/null 'x";
    let ran = stage.up(&[
        ("P_IFNAME", hostile),
        ("P_LADDR", &format!("{hostile} 10.0.0.1")),
        ("P_RADDR", hostile),
        ("P_NETS", &format!("{hostile} 10.9.0.0/16")),
        ("P_MTU", hostile),
    ])?;
    assert_eq!(ran.code, Some(1));
    assert!(!stage.host.path("pwned").exists());
    let routes = stage.host.ip(&["route", "show", "dev", "tripe0"])?;
    assert!(routes.contains("10.9.0.0/16"), "{routes}");
    // One line each, and nothing in it that a terminal would heed.
    let printable = |line: &str| line.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    for line in ran.told.lines() {
        let warning = line.starts_with("WARN tripe-ifup command-failed rc=");
        assert!(warning && printable(line), "{line}");
    }
    Ok(())
}

#[test]
fn a_name_that_cannot_be_given_leaves_the_old_one_in_use() -> Outcome {
    let Some(stage) = stage()? else { return Ok(()) };
    for name in ["a-name-of-16-byte", "wire", "a b", "vpn%d", "a/b", "-"] {
        let ran = stage.up(&[("P_IFNAME", name), ("P_LADDR", "10.0.0.1")])?;
        // A name of one dash is strange, and the kernel takes it.
        if name == "-" {
            assert_eq!((ran.code, ran.told.trim()), (Some(0), "SETIFNAME hub -"));
            return Ok(());
        }
        assert_eq!(ran.code, Some(1), "{name}");
        assert_eq!(ran.told.lines().count(), 1, "{}", ran.told);
        assert!(!ran.told.contains("SETIFNAME"), "{}", ran.told);
        assert!(stage.addresses("tripe0")?.contains("10.0.0.1/32"));
    }
    Ok(())
}

#[test]
fn far_ends_belong_to_the_near_ones_in_their_order() -> Outcome {
    let Some(stage) = stage()? else { return Ok(()) };
    let cases = [
        // Without a far end the address stands alone, with its own mask.
        ("10.0.0.1", "", "inet 10.0.0.1/32"),
        ("10.0.0.1/24", "2001:db8:1::2", "inet 10.0.0.1/24"),
        // The far end's mask counts, else the near one's.
        ("10.0.0.1", "10.0.0.2/24", "inet 10.0.0.1 peer 10.0.0.2/24"),
        ("10.0.0.1/25", "10.0.0.2", "inet 10.0.0.1 peer 10.0.0.2/25"),
        (
            "10.0.0.1/25",
            "10.0.0.2/24",
            "inet 10.0.0.1 peer 10.0.0.2/24",
        ),
        (
            "10.0.0.1/255.255.255.0",
            "10.0.0.2",
            "inet 10.0.0.1 peer 10.0.0.2/24",
        ),
        // The last far end is that of all that are left.
        (
            "10.0.0.1 10.0.1.1",
            "10.0.0.2",
            "inet 10.0.1.1 peer 10.0.0.2/32",
        ),
        (
            "10.0.0.1 10.0.1.1",
            "10.0.0.2 10.0.1.2",
            "inet 10.0.1.1 peer 10.0.1.2/32",
        ),
    ];
    for (near, far, expected) in cases {
        let keys = [("P_LADDR", near), ("P_RADDR", far), ("P_IFNAME", "tripe0")];
        let ran = stage.up(&keys)?;
        let shown = stage.addresses("tripe0")?;
        ensure!(
            shown.contains(expected),
            "{near}, {far}: {shown}{}",
            ran.told
        );
        assert_eq!(ran.code, Some(0), "{}", ran.told);
        let down = stage.run("ifdown", &["hub"], &keys)?;
        assert_eq!(down.code, Some(0), "{}", down.told);
        let shown = stage.addresses("tripe0")?;
        ensure!(!shown.contains("inet "), "{near}: {shown}");
    }
    // Far ends without a near one are routed.
    let ran = stage.up(&[("P_RADDR", "10.5.0.2/24 2001:db8:5::2")])?;
    assert_eq!(ran.code, Some(0), "{}", ran.told);
    for (family, far) in [("-4", "10.5.0.2"), ("-6", "2001:db8:5::2")] {
        let routes = stage.host.ip(&[family, "route", "show", "dev", "tripe0"])?;
        assert!(routes.contains(far), "{routes}");
    }
    Ok(())
}

#[test]
fn the_mtu_is_that_of_the_path_less_what_the_server_adds() -> Outcome {
    let Some(stage) = stage()? else { return Ok(()) };
    let older = [
        ("A_CIPHER_BLKSZ", "8"),
        ("A_MAC_TAGSZ", "10"),
        ("A_BULK_OVERHEAD", ""),
    ];
    let cases: [(&[&str], Variables<'_>, u32); 5] = [
        (&["INET", "192.0.2.2", "4070"], &[], 1400 - 20 - 8 - 1 - 36),
        (
            &["INET6", "2001:db8::2", "4070"],
            &[],
            1400 - 40 - 8 - 1 - 36,
        ),
        (&["INET", "192.0.2.2", "4070"], &older, 1400 - 33 - 8 - 10),
        (&["INET", "192.0.2.2", "4070"], &[("P_MTU", "1234")], 1234),
        // What the route says counts before the link.
        (
            &["INET", "198.51.100.1", "4070"],
            &[],
            1300 - 20 - 8 - 1 - 36,
        ),
    ];
    let route = [
        "route",
        "add",
        "198.51.100.0/24",
        "via",
        "192.0.2.2",
        "mtu",
        "1300",
    ];
    stage.host.ip(&route)?;
    for (address, variables, expected) in cases {
        let arguments = [&["hub", "tripe0"], address].concat();
        let variables = [variables, &[("P_LADDR", "10.0.0.1")]].concat();
        let ran = stage.run("ifup", &arguments, &variables)?;
        assert_eq!((ran.code, ran.told.as_str()), (Some(0), ""));
        let link = stage
            .host
            .ip(&["-oneline", "link", "show", "dev", "tripe0"])?;
        ensure!(
            link.contains(&format!(" mtu {expected} ")),
            "{address:?}: {link}"
        );
    }
    // TrIPE's own program knows better, if it is there and finds something.
    for (says, expected) in [("echo 1200", 1135), ("echo 08", 1335), ("exit 1", 1335)] {
        stage.host.script("bin/pathmtu", says)?;
        stage.up(&[("P_LADDR", "10.0.0.1")])?;
        let link = stage
            .host
            .ip(&["-oneline", "link", "show", "dev", "tripe0"])?;
        ensure!(
            link.contains(&format!(" mtu {expected} ")),
            "{says}: {link}"
        );
    }
    Ok(())
}

#[test]
fn an_existing_route_stays_whatever_it_belongs_to() -> Outcome {
    let Some(stage) = stage()? else { return Ok(()) };
    stage
        .host
        .ip(&["route", "add", "10.8.0.0/16", "dev", "wire"])?;
    let keys = [("P_NETS", "10.8.0.0/16 10.9.0.0/16 2001:db8:9::/48")];
    for _ in 0..2 {
        let ran = stage.up(&keys)?;
        let expected = "WARN tripe-ifup command-failed rc=2 ip -4 route add to 10.8.0.0/16 dev \
                        tripe0\n";
        assert_eq!(ran.told, expected);
    }
    let routes = stage.host.ip(&["route", "show", "10.8.0.0/16"])?;
    assert!(routes.contains("dev wire"), "{routes}");
    Ok(())
}

#[test]
fn an_interface_that_vanishes_half_way_is_warned_of() -> Outcome {
    let Some(stage) = stage()? else { return Ok(()) };
    let text = "shift 3\nip link del vpn-hub 2>&-\nexit 0";
    stage.host.script("bin/connect-cli", text)?;
    let ran = stage.up(&[
        ("P_IFNAME", "vpn-hub"),
        ("P_LADDR", "10.0.0.1"),
        ("P_IFUPEXTRA", "touch end"),
    ])?;
    assert_eq!(ran.code, Some(1));
    assert!(stage.host.path("end").exists());
    // Nothing is left to take down, and that is no fault.
    let down = stage.run(
        "ifdown",
        &["hub"],
        &[("P_IFNAME", "vpn-hub"), ("P_LADDR", "10.0.0.1")],
    )?;
    assert_eq!(down.code, Some(0));
    Ok(())
}

#[test]
fn without_ipv6_the_rest_is_set_and_the_server_warns() -> Outcome {
    let Some(stage) = stage()? else { return Ok(()) };
    let file = "/proc/sys/net/ipv6/conf/tripe0/disable_ipv6";
    let off = Command::new("ip")
        .args(["netns", "exec", &stage.host.namespace, "sh", "-c"])
        .arg(format!("echo 1 > {file}"))
        .status()?;
    if !off.success() {
        eprintln!("skipped: {file} cannot be written here");
        return Ok(());
    }
    let ran = stage.up(&[("P_LADDR", "2001:db8:1::1/64 10.0.0.1/24")])?;
    assert_eq!(ran.code, Some(1));
    let only = ran.told.lines().next().context("no warning")?;
    assert!(
        only.contains("rc=2 ip -6 address replace local 2001:db8:1::1/64"),
        "{only}"
    );
    assert!(stage.addresses("tripe0")?.contains("10.0.0.1/24"));
    Ok(())
}

#[test]
fn ifdown_leaves_interfaces_alone_that_are_no_tunnels() -> Outcome {
    let Some(stage) = stage()? else { return Ok(()) };
    let keys = [("P_IFNAME", "wire"), ("P_LADDR", "192.0.2.1")];
    assert_eq!(stage.run("ifdown", &["hub"], &keys)?.code, Some(0));
    assert!(stage.addresses("wire")?.contains("192.0.2.1/24"));
    Ok(())
}

#[test]
fn the_server_is_told_by_tripectl_where_there_is_no_connect_cli() -> Outcome {
    let Some(stage) = stage()? else { return Ok(()) };
    fs::remove_file(stage.host.path("bin/connect-cli"))?;
    stage.server_tool("tripectl", ":")?;
    let keys = [("P_IFNAME", "vpn-hub"), ("P_NETS", "10.0.0.1/8")];
    let ran = stage.up(&keys)?;
    let expected = "SETIFNAME hub vpn-hub\nWARN tripe-ifup command-failed rc=2 ip -4 route add to \
                    10.0.0.1/8 dev vpn-hub\n";
    assert_eq!(ran.told, expected);
    // Without either, standard error has it, which the service makes a warning of.
    fs::remove_file(stage.host.path("bin/tripectl"))?;
    let ran = stage.up(&keys)?;
    assert_eq!(ran.code, Some(1));
    let expected = "command-failed rc=2 ip -4 route add to 10.0.0.1/8 dev vpn-hub";
    assert_eq!(ran.wrote.lines().last(), Some(expected));
    Ok(())
}

#[test]
fn standard_error_has_each_step_that_failed_after_what_it_wrote() -> Outcome {
    let Some(stage) = stage()? else { return Ok(()) };
    let route = ["route", "add", "10.8.0.0/16", "dev", "wire"];
    stage.host.ip(&route)?;
    let ran = stage.up(&[
        ("P_IFNAME", "vpn%d"),
        ("P_NETS", "10.8.0.0/16 10.9.0.0/16"),
        ("P_IFUPEXTRA", "echo broken >&2; exit 3"),
    ])?;
    // ip may complain of a namespace of another test that has just gone.
    let steps = ran
        .wrote
        .lines()
        .filter(|it| !it.contains("netns reference"));
    let expected = [
        "bad-ifname vpn%d",
        "RTNETLINK answers: File exists",
        "command-failed rc=2 ip -4 route add to 10.8.0.0/16 dev tripe0",
        "broken",
        "command-failed rc=3 /bin/sh -c echo broken >&2; exit 3 ifupextra hub tripe0 INET \
         192.0.2.2 4070",
    ];
    assert_eq!(steps.collect::<Vec<_>>(), expected);
    Ok(())
}
