// SPDX-License-Identifier: GPL-3.0-or-later
//! The service commands (for those of the original see the manual, "Service command reference"),
//! but for `info` and `passive`, which have files of their own.

use scenarios::{Expect as _, Outcome, Site};
use tripe_lab::faults::Refusal;

use crate::support::{ANSWERING, ANSWERING_TOO, NOBODY, barrier, commands, pings, said};

/// The `ADD` that `active` makes of a record, without its tag.
fn added(pairs: &[(&str, &str)]) -> anyhow::Result<String> {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", pairs)
        .build()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    let line = events.command_line("ADD ")?;
    let words = tripe_admin::split(&line);
    assert_eq!(words[1], "-background");
    Ok(words[3..].join(" "))
}

#[test]
fn active_adds_the_peer_at_the_address_in_its_record() -> Outcome {
    assert_eq!(added(&[("peer", ANSWERING)])?, format!("p {ANSWERING}"));
    Ok(())
}

#[test]
fn active_gives_cork_and_mobile_and_ephemeral_for_true_values() -> Outcome {
    for value in ["t", "true", "y", "yes", "on"] {
        let line = added(&[
            ("peer", ANSWERING),
            ("cork", value),
            ("mobile", value),
            ("ephemeral", value),
        ])?;
        assert_eq!(line, format!("-cork -mobile -ephemeral p {ANSWERING}"));
    }
    Ok(())
}

#[test]
fn active_leaves_cork_and_mobile_and_ephemeral_out_for_other_values() -> Outcome {
    let line = added(&[
        ("peer", ANSWERING),
        ("cork", "1"),
        ("mobile", "nil"),
        ("ephemeral", "TRUE"),
    ])?;
    assert_eq!(line, format!("p {ANSWERING}"));
    Ok(())
}

#[test]
fn active_gives_keepalive_key_and_priv_with_their_values() -> Outcome {
    let line = added(&[
        ("peer", ANSWERING),
        ("keepalive", "30s"),
        ("key", "their-key"),
        ("priv", "our-key"),
    ])?;
    let options = "-keepalive 30s -key their-key -priv our-key";
    assert_eq!(line, format!("{options} p {ANSWERING}"));
    Ok(())
}

#[test]
fn active_gives_tunnel_and_knock_with_their_values() -> Outcome {
    let line = added(&[
        ("peer", ANSWERING),
        ("tunnel", "lab"),
        ("knock", "here.tag"),
    ])?;
    assert_eq!(line, format!("-tunnel lab -knock here.tag p {ANSWERING}"));
    Ok(())
}

#[test]
fn active_removes_a_peer_of_that_name_first() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("peer", ANSWERING), ("ifdown", "/bin/echo down")])
        .build()?;
    let _service = site.connect(&[])?;
    site.submit("active p")?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    for note in ["NOTE KILL p", "NOTE ADD p "] {
        events.broadcast(note)?;
    }
    site.lab.follow_from_start().stdout("ifdown p")?;
    Ok(())
}

#[test]
fn active_hands_on_what_the_server_says_against_it() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("host", &[("peer", "INET no-such-host.example 4070")])
        .peer("taken", &[("peer", ANSWERING)])
        .peer("tunnel", &[("peer", NOBODY), ("tunnel", "no-such-driver")])
        .peer("syntax", &[("peer", "INET one two three")])
        .peer("time", &[("peer", NOBODY), ("keepalive", "soon")])
        .build()?;
    site.admin_ok(&format!("ADD other {ANSWERING}"))?;
    let _service = site.connect(&[])?;
    for (peer, failure) in [
        ("host", "resolve-error no-such-host.example"),
        ("taken", "peer-addr-exists INET 198.18.0.1 4070"),
        ("tunnel", "unknown-tunnel no-such-driver"),
        ("syntax", "bad-addr-syntax \"[FAMILY] ADDRESS [PORT]\""),
        ("time", "bad-time-spec soon"),
    ] {
        assert_eq!(site.submit_failing(&format!("active {peer}"))?, failure);
    }
    Ok(())
}

#[test]
fn active_fails_for_what_is_not_in_the_database_or_has_no_address() -> Outcome {
    let site = Site::new()?
        .peer("passive", &[("peer", "PASSIVE")])
        .peer("nowhere", &[])
        .peer("blank", &[("peer", "  ")])
        .peer("empty", &[("peer", NOBODY), ("priv", "")])
        .build()?;
    let _service = site.connect(&[])?;
    for (peer, failure) in [
        ("nobody", "unknown-peer nobody"),
        ("passive", "passive-peer passive"),
        ("nowhere", "malformed-peer nowhere missing-key peer"),
        ("blank", "malformed-peer blank bad-value peer"),
        ("empty", "malformed-peer empty bad-value priv"),
    ] {
        assert_eq!(site.submit_failing(&format!("active {peer}"))?, failure);
    }
    assert!(commands(&site, "ADD").is_empty());
    Ok(())
}

#[test]
fn active_waits_for_a_slow_resolver_and_serves_others_meanwhile() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("slow", &[("peer", "INET never-answers.example 4070")])
        .build()?;
    let _service = site.connect(&[])?;
    let mut slow = site.admin()?;
    slow.send("SVCSUBMIT connect active slow")?;
    site.lab.wait_for_command("ADD ")?;
    barrier(&site)?;
    assert_eq!(
        slow.receive()?,
        "FAIL resolve-timeout never-answers.example"
    );
    Ok(())
}

#[test]
fn adopted_writes_a_line_for_each_peer_tracked() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("zoe", &[("peer", ANSWERING), ("watch", "t")])
        .peer("amy", &[("peer", ANSWERING_TOO), ("watch", "t")])
        .peer("bob", &[("peer", NOBODY)])
        .build()?;
    let _service = site.connect(&[])?;
    assert_eq!(site.submit("adopted")?, [""; 0]);
    for peer in ["zoe", "amy", "bob"] {
        site.submit(&format!("active {peer}"))?;
    }
    assert_eq!(site.submit("adopted")?, ["amy", "zoe"]);
    Ok(())
}

#[test]
fn kick_forces_a_reconnection_of_a_peer_with_connect() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("peer", ANSWERING), ("connect", "echo QUJD")])
        .build()?;
    let _service = site.connect(&[])?;
    site.submit("active p")?;
    let mut events = site.lab.follow_from_start();
    events.command("GREET p QUJD")?;
    assert_eq!(site.submit("kick p")?, [""; 0]);
    events.command("FORCEKX p")?;
    events.command("GREET p QUJD")?;
    Ok(())
}

#[test]
fn kick_makes_a_new_key_exchange_with_a_peer_with_knock() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("peer", ANSWERING), ("knock", "here")])
        .build()?;
    let _service = site.connect(&[])?;
    site.submit("active p")?;
    let mut events = site.lab.follow();
    site.submit("kick p")?;
    events.command("FORCEKX p")?;
    Ok(())
}

#[test]
fn kick_leaves_peers_alone_that_are_not_added_or_not_dynamic() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("static", &[("peer", ANSWERING)])
        .peer("away", &[("peer", NOBODY), ("connect", "echo QUJD")])
        .build()?;
    let _service = site.connect(&[])?;
    site.submit("active static")?;
    for (peer, failure) in [
        ("static", "peer-not-dynamic static"),
        ("away", "peer-not-added away"),
        ("nobody", "unknown-peer nobody"),
    ] {
        assert_eq!(site.submit_failing(&format!("kick {peer}"))?, failure);
    }
    assert!(commands(&site, "FORCEKX").is_empty() && commands(&site, "GREET").is_empty());
    Ok(())
}

#[test]
fn list_active_writes_a_line_for_each_peer_of_the_database_that_is_not_passive() -> Outcome {
    let site = Site::new()?
        .peer("hub", &[("peer", ANSWERING)])
        .peer("passive", &[("peer", "PASSIVE")])
        .peer("a peer", &[("peer", NOBODY)])
        .user("hub-user", "hub")
        .auto("hub")
        .build()?;
    let _service = site.connect(&[])?;
    let mut names: Vec<String> = site
        .submit("list-active")?
        .iter()
        .map(|line| tripe_admin::split(line).concat())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["a peer", "hub"]);
    Ok(())
}

#[test]
fn sabotage_makes_a_peer_seem_dead_until_it_is_reconnected() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "p",
            &[
                ("peer", ANSWERING),
                ("watch", "t"),
                // Only sabotage makes a check begin before the hour is over.
                ("every", "1h"),
                ("backoff", "1s"),
                ("timeout", "1s"),
                ("retries", "2"),
                ("knock", "here"),
            ],
        )
        .build()?;
    let _service = site.connect(&[])?;
    site.submit("active p")?;
    let mut events = site.lab.follow();
    assert_eq!(site.submit("sabotage p")?, [""; 0]);
    for attempt in 1..=2 {
        pings(&mut events, "p", 1)?;
        events.exactly(&format!(
            "WARN USER connect ping-timeout p attempt {attempt} of 2"
        ))?;
    }
    events.exactly("WARN USER connect reconnecting p")?;
    events.exactly("WARN USER connect ping-ok p")?;
    assert_eq!(site.info("p", "n-lost")?, "2");
    assert_eq!(site.info("p", "n-ping")?, "1");
    Ok(())
}

#[test]
fn sabotage_fails_for_a_peer_that_is_not_adopted() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("peer", ANSWERING)])
        .build()?;
    let _service = site.connect(&[])?;
    site.submit("active p")?;
    for peer in ["p", "nobody"] {
        let failure = site.submit_failing(&format!("sabotage {peer}"))?;
        assert_eq!(failure, format!("peer-not-adopted {peer}"));
    }
    Ok(())
}

#[test]
fn userpeer_writes_the_peer_of_a_user() -> Outcome {
    let site = Site::new()?
        .peer("laptop", &[("peer", "PASSIVE")])
        .user("alice", "laptop")
        .user("ghost", "no-such-peer")
        .build()?;
    let _service = site.connect(&[])?;
    assert_eq!(site.submit("userpeer alice")?, ["laptop"]);
    assert_eq!(site.submit("userpeer ghost")?, ["no-such-peer"]);
    assert_eq!(
        site.submit_failing("userpeer laptop")?,
        "unknown-user laptop"
    );
    Ok(())
}

#[test]
fn help_lists_every_command_with_its_usage() -> Outcome {
    let site = Site::new()?.build()?;
    let _service = site.connect(&[])?;
    let mut lines = site.submit("help")?;
    lines.sort_unstable();
    let commands = [
        "active PEER",
        "adopted",
        "help",
        "info PEER",
        "kick PEER",
        "list-active",
        "passive [OPTIONS] USER",
        "quit",
        "sabotage PEER",
        "userpeer USER",
    ];
    assert_eq!(lines, commands);
    Ok(())
}

#[test]
fn quit_answers_releases_the_service_and_ends_the_program() -> Outcome {
    let site = Site::new()?.build()?;
    let mut service = site.connect(&[])?;
    let mut events = site.lab.follow();
    assert_eq!(site.submit("quit")?, [""; 0]);
    events.broadcast("NOTE SVCRELEASE connect")?;
    assert_eq!(service.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn wrong_arguments_get_bad_svc_syntax_with_the_usage() -> Outcome {
    let site = Site::new()?.build()?;
    let _service = site.connect(&[])?;
    for (line, answer) in [
        ("active", "active PEER"),
        ("active a b", "active PEER"),
        ("adopted x", "adopted \"\""),
        ("help x", "help \"\""),
        ("info", "info PEER"),
        ("info a b", "info PEER"),
        ("kick", "kick PEER"),
        ("kick a b", "kick PEER"),
        ("list-active x", "list-active \"\""),
        ("passive", "passive \"[OPTIONS] USER\""),
        ("passive a b", "passive \"[OPTIONS] USER\""),
        ("passive -timeout 5", "passive \"[OPTIONS] USER\""),
        ("passive -timeout", "passive \"[OPTIONS] USER\""),
        ("passive -nonsense a", "passive \"[OPTIONS] USER\""),
        ("quit now", "quit \"\""),
        ("sabotage", "sabotage PEER"),
        ("userpeer", "userpeer USER"),
        ("userpeer a b", "userpeer USER"),
    ] {
        let failure = site.submit_failing(line)?;
        assert_eq!(failure, format!("bad-svc-syntax {answer}"), "{line}");
    }
    Ok(())
}

#[test]
fn an_unknown_command_gets_a_failure_that_names_it() -> Outcome {
    let site = Site::new()?.build()?;
    let _service = site.connect(&[])?;
    for (line, answer) in [
        ("frobnicate", "unknown-svc-command frobnicate"),
        ("frobnicate a b c", "unknown-svc-command frobnicate"),
        ("'two words'", "unknown-svc-command \"two words\""),
        ("''", "unknown-svc-command \"\""),
    ] {
        assert_eq!(site.submit_failing(line)?, answer);
    }
    Ok(())
}

#[test]
fn command_names_are_taken_in_any_case() -> Outcome {
    let site = Site::new()?.peer("p", &[("peer", NOBODY)]).build()?;
    let _service = site.connect(&[])?;
    assert_eq!(site.submit("LIST-ACTIVE")?, ["p"]);
    assert_eq!(site.submit("Adopted")?, [""; 0]);
    Ok(())
}

#[test]
fn peers_of_odd_names_are_served_like_others() -> Outcome {
    let names = [
        "two words",
        "it's",
        "say \"hi\"",
        "caf\u{e9}",
        "-dash",
        "a=b",
        "%41",
    ];
    let mut site = Site::new()?.with_answering_peers();
    for (number, name) in (1..).zip(names) {
        let address = format!("INET 198.18.0.{number} 4070");
        let pairs = [
            ("peer", address.as_str()),
            ("watch", "t"),
            ("every", "1s"),
            ("knock", "here"),
            ("ifup", "/usr/bin/printf %s"),
            ("ifdown", "/bin/echo"),
        ];
        site = site.peer(name, &pairs);
    }
    let site = site.build()?;
    let _service = site.connect(&[])?;
    for name in names {
        let word = format!("'{}'", name.replace('\'', "\\'"));
        for command in ["active", "kick", "info"] {
            site.submit(&format!("{command} {word}"))?;
        }
        // It is there, so it is killed first.
        site.submit(&format!("active {word}"))?;
    }
    for name in names {
        let told = ["NOTE", "USER", "connect", "ifup", name, "stdout"];
        site.lab.wait_for("its script", |what| {
            matches!(what, tripe_lab::What::Broadcast(line)
                if tripe_admin::split(line).starts_with(&told.map(str::to_owned)))
        })?;
        site.lab.wait_for("its ping", |what| {
            matches!(what, tripe_lab::What::Command(_, line) if line.starts_with("PING ")
                && tripe_admin::split(line).last().is_some_and(|last| last == name))
        })?;
    }
    let mut adopted: Vec<String> = site
        .submit("adopted")?
        .iter()
        .map(|line| tripe_admin::split(line).concat())
        .collect();
    adopted.sort_unstable();
    let mut all = names.to_vec();
    all.sort_unstable();
    assert_eq!(adopted, all);
    Ok(())
}

#[test]
fn commands_that_come_at_once_are_all_answered_each_to_its_own() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("peer", ANSWERING), ("watch", "t")])
        .user("u", "p")
        .build()?;
    let _service = site.connect(&[])?;
    let mut admin = site.admin()?;
    for number in 0..50 {
        admin.send(&format!("SVCSUBMIT -background a{number} connect active p"))?;
        admin.send(&format!(
            "SVCSUBMIT -background u{number} connect userpeer u"
        ))?;
    }
    let mut done = 0;
    while done < 100 {
        let line = admin.receive()?;
        assert!(!line.contains("FAIL"), "{line}");
        done += usize::from(line.starts_with("BGOK "));
    }
    assert_eq!(site.submit("adopted")?, ["p"]);
    Ok(())
}

#[test]
fn a_refused_kill_before_an_add_does_not_hang_the_command() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("peer", ANSWERING)])
        .build()?;
    let _service = site.connect(&[])?;
    site.submit("active p")?;
    site.lab.refuse(Refusal::of("KILL", "not-today"))?;
    assert_eq!(site.submit_failing("active p")?, "peer-exists p");
    assert!(said(&site, "NOTE KILL").is_empty());
    Ok(())
}
