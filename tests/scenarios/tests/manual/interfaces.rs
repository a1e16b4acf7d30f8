// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual, "Configuring interfaces".

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};

use scenarios::{Expect as _, Outcome, Site, SiteBuilder};

use crate::support::{ANSWERING, NOBODY, barrier, commands, said, shows_arguments};

/// A site with the scripts `up` and `down`, which show their arguments.
fn with_scripts() -> anyhow::Result<SiteBuilder> {
    Site::new()?
        .with_answering_peers()
        .script("up", &shows_arguments("up"))?
        .script("down", &shows_arguments("down"))
}

#[test]
fn ifup_is_invoked_as_script_args_peer_ifname_addr() -> Outcome {
    let site = with_scripts()?
        .peer("p", &[("peer", ANSWERING), ("ifup", "./up one two")])
        .build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    let ifname = site.admin_ok("IFNAME p")?.concat();
    let addr = site.admin_ok("ADDR p")?.concat();
    assert_eq!(addr, ANSWERING);
    assert_eq!(
        events.stdout("ifup p")?,
        format!("up<one><two><p><{ifname}><INET><198.18.0.1><4070>")
    );
    Ok(())
}

#[test]
fn the_script_is_split_into_words_and_quoting_is_allowed() -> Outcome {
    let site = with_scripts()?
        .peer(
            "p",
            &[
                ("peer", ANSWERING),
                ("ifup", r#"'./up'  "two words" 'a "b' c\ d '' e"f g"h"#),
                ("ifdown", r#"./down "two words""#),
            ],
        )
        .build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    let line = events.stdout("ifup p")?;
    let wanted = r#"up<two words><a "b><c d><><ef gh><p><"#;
    assert!(line.starts_with(wanted), "{line}");
    site.admin_ok("KILL p")?;
    assert_eq!(events.stdout("ifdown p")?, "down<two words><p>");
    Ok(())
}

#[test]
fn ifname_is_what_the_ifname_command_returns() -> Outcome {
    let site = with_scripts()?
        .lab(|config| config.interface_prefix = "vpn-".to_owned())
        .peer("p", &[("peer", ANSWERING), ("ifup", "./up")])
        .build()?;
    let mut events = site.lab.follow();
    site.admin_ok(&format!("ADD p {ANSWERING}"))?;
    site.admin_ok("SETIFNAME p renamed0")?;
    // The peer was there before the service, so there was no ADD note to take a name from.
    let _service = site.connect(&["--startup"])?;
    events.command("IFNAME p")?;
    // Not watched, so not adopted; its interface is still configured (conformance.md).
    assert_eq!(
        events.stdout("ifup p")?,
        "up<p><renamed0><INET><198.18.0.1><4070>"
    );
    Ok(())
}

#[test]
fn addr_is_in_the_form_of_the_addr_command_and_begins_with_a_family() -> Outcome {
    let site = with_scripts()?
        .lab(|config| {
            let loopback = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
            config.udp.push(loopback);
        })
        .peer("six", &[("peer", "INET6 ::1 4070"), ("ifup", "./up")])
        .peer("any", &[("peer", "localhost tripe"), ("ifup", "./up")])
        .build()?;
    let _service = site.connect(&[])?;
    for peer in ["six", "any"] {
        let mut events = site.lab.follow();
        site.submit(&format!("active {peer}"))?;
        let addr = site.admin_ok(&format!("ADDR {peer}"))?.concat();
        assert!(addr.starts_with("INET"), "{addr}");
        let words = addr.replace(' ', "><");
        let line = events.stdout(&format!("ifup {peer}"))?;
        assert!(line.ends_with(&format!("><{words}>")), "{line}, not {addr}");
    }
    Ok(())
}

#[test]
fn ifdown_is_invoked_as_script_args_peer() -> Outcome {
    let site = with_scripts()?
        .peer("p", &[("peer", ANSWERING), ("ifdown", "./down one two")])
        .build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    site.admin_ok("KILL p")?;
    assert_eq!(events.stdout("ifdown p")?, "down<one><two><p>");
    Ok(())
}

#[test]
fn a_peer_that_says_goodbye_is_brought_down_too() -> Outcome {
    let site = with_scripts()?
        .peer("p", &[("peer", ANSWERING), ("ifdown", "./down")])
        .build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    assert!(site.lab.peer_says_bye("p")?);
    assert_eq!(events.stdout("ifdown p")?, "down<p>");
    Ok(())
}

#[test]
fn without_the_key_no_action_is_taken() -> Outcome {
    let site = with_scripts()?
        .peer("only-up", &[("peer", ANSWERING), ("ifup", "./up")])
        .peer("only-down", &[("peer", NOBODY), ("ifdown", "./down")])
        .peer("neither", &[("peer", "INET 127.0.0.1 10")])
        .build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    for peer in ["neither", "only-down", "only-up"] {
        site.submit(&format!("active {peer}"))?;
    }
    events.stdout("ifup only-up")?;
    for peer in ["neither", "only-up", "only-down"] {
        site.admin_ok(&format!("KILL {peer}"))?;
    }
    events.stdout("ifdown only-down")?;
    barrier(&site)?;
    let scripts = said(&site, "NOTE USER connect");
    assert_eq!(scripts.len(), 2, "{scripts:?}");
    assert!(said(&site, "WARN USER connect").is_empty());
    Ok(())
}

#[test]
fn a_peer_without_a_record_is_left_alone() -> Outcome {
    let site = with_scripts()?.build()?;
    let _service = site.connect(&["--startup"])?;
    site.admin_ok(&format!("ADD stranger {ANSWERING}"))?;
    site.admin_ok("KILL stranger")?;
    barrier(&site)?;
    assert!(said(&site, "NOTE USER").is_empty() && said(&site, "WARN USER").is_empty());
    Ok(())
}

/// The environment that a script left in a file, its name after the peer.
fn environment(site: &Site, file: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(site.path(file))?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}

/// A site whose peer has all four scripts, each of which leaves its environment in a file.
fn with_environments(keys: &[(&str, &str)]) -> anyhow::Result<Site> {
    let mut pairs = vec![
        ("peer", ANSWERING),
        ("ifup", "./save ifup"),
        ("ifdown", "./save ifdown"),
        ("connect", "./save connect"),
        ("disconnect", "./save disconnect"),
    ];
    pairs.extend(keys);
    Site::new()?
        .with_answering_peers()
        .script("save", "env > env.$1; echo QUJD; echo saved")?
        .peer("p", &pairs)
        .build()
}

#[test]
fn record_and_algorithms_are_in_the_environment_of_ifup_and_ifdown() -> Outcome {
    let site = with_environments(&[
        ("ifname", "vpn-p"),
        ("Mixed-Case", "x"),
        ("a--b.c", "runs"),
        ("-edge-", "edges"),
        ("key9", "two words = three"),
    ])?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    events.exactly("NOTE USER connect ifup p stdout saved")?;
    let algorithms = site.admin_ok("ALGS p")?;
    site.admin_ok("KILL p")?;
    events.exactly("NOTE USER connect ifdown p stdout saved")?;
    for file in ["env.ifup", "env.ifdown"] {
        let variables = environment(&site, file)?;
        for (name, value) in [
            ("P_IFNAME", "vpn-p"),
            ("P_PEER", ANSWERING),
            ("P_MIXED_CASE", "x"),
            ("P_A_B_C", "runs"),
            ("P__EDGE_", "edges"),
            ("P_KEY9", "two words = three"),
        ] {
            let found = variables.get(name).map(String::as_str);
            assert_eq!(found, Some(value), "{file} {name}");
        }
        assert!(!algorithms.is_empty());
        for pair in algorithms.iter().flat_map(|line| tripe_admin::split(line)) {
            let (key, value) = pair.split_once('=').unwrap_or_default();
            let name = format!("A_{}", key.to_uppercase().replace('-', "_"));
            assert_eq!(
                variables.get(&name).map(String::as_str),
                Some(value),
                "{file}"
            );
        }
        assert!(
            variables.contains_key("A_CIPHER_BLKSZ"),
            "the manual's example"
        );
    }
    Ok(())
}

#[test]
fn ifdown_gets_the_algorithms_of_a_peer_that_was_there_before_us() -> Outcome {
    let site = with_environments(&[])?;
    site.admin_ok(&format!("ADD p {ANSWERING}"))?;
    let mut events = site.lab.follow();
    let _service = site.connect(&[])?;
    events.command("ALGS p")?;
    events.sent("OK")?;
    barrier(&site)?;
    site.admin_ok("KILL p")?;
    events.exactly("NOTE USER connect ifdown p stdout saved")?;
    assert!(environment(&site, "env.ifdown")?.contains_key("A_CIPHER_BLKSZ"));
    assert!(said(&site, "NOTE USER connect ifup").is_empty());
    Ok(())
}

#[test]
fn tripesock_names_the_servers_socket_to_every_child() -> Outcome {
    let site = with_environments(&[])?;
    let _service = site.connect(&[])?;
    let (mut events, mut interface) = (site.lab.follow(), site.lab.follow());
    site.submit("active p")?;
    events.exactly("NOTE USER connect connect p stdout saved")?;
    site.admin_ok("KILL p")?;
    // The two do not wait for each other.
    events.exactly("NOTE USER connect disconnect p stdout saved")?;
    interface.exactly("NOTE USER connect ifdown p stdout saved")?;
    for kind in ["ifup", "connect", "disconnect", "ifdown"] {
        let variables = environment(&site, &format!("env.{kind}"))?;
        let socket = variables.get("TRIPESOCK").map(String::as_str);
        assert_eq!(socket, site.lab.socket_path().to_str(), "{kind}");
    }
    Ok(())
}

#[test]
fn connect_and_disconnect_do_not_get_the_variables() -> Outcome {
    let site = with_environments(&[("ifname", "vpn-p")])?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    events.exactly("NOTE USER connect connect p stdout saved")?;
    site.admin_ok("KILL p")?;
    events.exactly("NOTE USER connect disconnect p stdout saved")?;
    for kind in ["connect", "disconnect"] {
        let variables = environment(&site, &format!("env.{kind}"))?;
        let ours = |name: &&String| name.starts_with("P_") || name.starts_with("A_");
        assert_eq!(variables.keys().find(ours), None, "{kind}");
    }
    Ok(())
}

#[test]
fn scripts_of_one_peer_run_one_after_the_other_and_in_order() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .script("up", "echo up-begins; read word < go; echo up-ends")?
        .script("down", "echo down")?
        .peer(
            "p",
            &[("peer", ANSWERING), ("ifup", "./up"), ("ifdown", "./down")],
        )
        .build()?;
    let made = std::process::Command::new("mkfifo")
        .arg(site.path("go"))
        .status()?;
    assert!(made.success());
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    events.exactly("NOTE USER connect ifup p stdout up-begins")?;
    // Removed and added again while ifup still runs: both scripts wait for it.
    site.admin_ok("KILL p")?;
    site.submit("active p")?;
    barrier(&site)?;
    std::fs::write(site.path("go"), "go\n")?;
    for line in [
        "ifup p stdout up-ends",
        "ifdown p stdout down",
        "ifup p stdout up-begins",
    ] {
        events.exactly(&format!("NOTE USER connect {line}"))?;
    }
    std::fs::write(site.path("go"), "go\n")?;
    events.exactly("NOTE USER connect ifup p stdout up-ends")?;
    let order: Vec<String> = said(&site, "NOTE USER connect if")
        .iter()
        .filter_map(|line| tripe_admin::split(line).pop())
        .collect();
    assert_eq!(
        order,
        ["up-begins", "up-ends", "down", "up-begins", "up-ends"]
    );
    Ok(())
}

#[test]
fn a_script_that_hangs_holds_up_no_other_peer() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .script("hang", "echo hanging; exec sleep 20")?
        .script("up", &shows_arguments("up"))?
        .peer("stuck", &[("peer", NOBODY), ("ifup", "./hang")])
        .peer("p", &[("peer", ANSWERING), ("ifup", "./up")])
        .build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active stuck")?;
    events.exactly("NOTE USER connect ifup stuck stdout hanging")?;
    site.submit("active p")?;
    assert!(events.stdout("ifup p")?.starts_with("up<p>"));
    assert_eq!(site.submit("adopted")?, [""; 0]);
    Ok(())
}

#[test]
fn a_peer_removed_from_the_database_is_still_brought_down() -> Outcome {
    let site = with_scripts()?
        .peer("p", &[("peer", ANSWERING), ("ifdown", "./down")])
        .build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    site.write_database(&[])?;
    events.exactly("NOTE USER connect peerdb-update")?;
    site.admin_ok("KILL p")?;
    assert_eq!(events.stdout("ifdown p")?, "down<p>");
    Ok(())
}

#[test]
fn algs_is_asked_for_the_peer_itself() -> Outcome {
    let site = with_scripts()?
        .peer(
            "p",
            &[("peer", ANSWERING), ("ifup", "./up"), ("priv", "other")],
        )
        .build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    events.stdout("ifup p")?;
    assert_eq!(commands(&site, "ALGS"), ["ALGS p"]);
    Ok(())
}
