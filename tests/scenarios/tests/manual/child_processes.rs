// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual, "Child process identifiers", and what is reported about a child's output and end.

use scenarios::{Expect as _, Outcome, Service, Site};

use crate::support::{ANSWERING, ANSWERING_TOO, commands, said};

/// A site with the peer `p` of these scripts, just added.
fn children(pairs: &[(&str, &str)]) -> anyhow::Result<(Site, Service)> {
    let mut all = vec![("peer", ANSWERING)];
    all.extend(pairs);
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &all)
        .peer("q", &[("peer", ANSWERING_TOO), ("ifup", "/bin/echo up")])
        .build()?;
    let service = site.connect(&[])?;
    site.submit("active p")?;
    Ok((site, service))
}

/// A site whose peer's `disconnect` is this shell line, the peer having been added and removed.
fn parted(line: &str) -> anyhow::Result<(Site, Service)> {
    let (site, service) = children(&[("disconnect", line)])?;
    site.admin_ok("KILL p")?;
    Ok((site, service))
}

#[test]
fn the_identifiers_are_connect_disconnect_ifdown_and_ifup_with_the_peer() -> Outcome {
    let (site, _service) = children(&[
        ("ifup", "/bin/sh -c 'echo one; exit 1'"),
        ("connect", "echo QUJD; echo two; exit 2"),
        ("disconnect", "echo three; exit 3"),
        ("ifdown", "/bin/sh -c 'echo four; exit 4'"),
    ])?;
    site.lab
        .follow_from_start()
        .exactly("WARN USER connect connect p exit-nonzero 2")?;
    site.admin_ok("KILL p")?;
    for (child, word, code) in [
        ("ifup", "one", 1),
        ("connect", "two", 2),
        ("disconnect", "three", 3),
        ("ifdown", "four", 4),
    ] {
        let mut events = site.lab.follow_from_start();
        events.exactly(&format!("NOTE USER connect {child} p stdout {word}"))?;
        events.exactly(&format!("WARN USER connect {child} p exit-nonzero {code}"))?;
    }
    Ok(())
}

#[test]
fn a_line_on_standard_error_is_a_warning() -> Outcome {
    let (site, _service) = parted("echo one word >&2; echo two >&2")?;
    let mut events = site.lab.follow_from_start();
    events.exactly("WARN USER connect disconnect p stderr \"one word\"")?;
    events.exactly("WARN USER connect disconnect p stderr two")?;
    Ok(())
}

#[test]
fn a_line_on_standard_output_is_a_notification() -> Outcome {
    let (site, _service) = parted("echo one word; echo two")?;
    let mut events = site.lab.follow_from_start();
    events.exactly("NOTE USER connect disconnect p stdout \"one word\"")?;
    events.exactly("NOTE USER connect disconnect p stdout two")?;
    Ok(())
}

#[test]
fn an_exit_with_zero_is_not_told() -> Outcome {
    let (site, _service) = children(&[
        ("ifup", "/bin/sh -c 'echo begun; exit 0'"),
        ("ifdown", "/bin/echo down"),
    ])?;
    let mut events = site.lab.follow_from_start();
    // What has not begun is left out together with the peer.
    assert_eq!(events.stdout("ifup p")?, "begun");
    site.admin_ok("KILL p")?;
    events.stdout("ifdown p")?;
    assert!(said(&site, "WARN USER").is_empty());
    Ok(())
}

#[test]
fn exit_nonzero_gives_the_status() -> Outcome {
    for code in [1, 2, 127, 255] {
        let (site, _service) = parted(&format!("exit {code}"))?;
        let warning = format!("WARN USER connect disconnect p exit-nonzero {code}");
        site.lab.follow_from_start().exactly(&warning)?;
    }
    Ok(())
}

#[test]
fn exit_signal_gives_the_number_after_an_s() -> Outcome {
    for (name, number) in [("TERM", 15), ("KILL", 9), ("ABRT", 6)] {
        let (site, _service) = parted(&format!("ulimit -c 0; kill -{name} $$"))?;
        let warning = format!("WARN USER connect disconnect p exit-signal S{number}");
        site.lab.follow_from_start().exactly(&warning)?;
    }
    Ok(())
}

#[test]
fn a_last_line_without_newline_is_told_too() -> Outcome {
    let (site, _service) = parted("printf 'first\\nlast'; printf 'bad end' >&2")?;
    let mut events = site.lab.follow_from_start();
    events.exactly("NOTE USER connect disconnect p stdout first")?;
    events.exactly("NOTE USER connect disconnect p stdout last")?;
    let mut events = site.lab.follow_from_start();
    events.exactly("WARN USER connect disconnect p stderr \"bad end\"")?;
    Ok(())
}

#[test]
fn lines_of_any_length_are_told_cut_to_fit() -> Outcome {
    for length in [150, 255, 5_000, 1_000_000] {
        let (site, _service) = parted(&format!(
            // No letters of which a challenge could be made.
            "head -c {length} /dev/zero | tr '\\0' '#'; echo; echo after"
        ))?;
        let mut events = site.lab.follow_from_start();
        let line = events.stdout("disconnect p")?;
        if length == 150 {
            assert_eq!(line, "#".repeat(150));
        } else {
            assert!(line.len() > 200 && line.ends_with("#..."), "{line}");
        }
        assert_eq!(events.stdout("disconnect p")?, "after");
        let longest = commands(&site, "NOTIFY").iter().map(String::len).max();
        assert!(longest <= Some(255), "{longest:?}");
    }
    Ok(())
}

#[test]
fn lines_in_any_encoding_are_told_as_one_token() -> Outcome {
    let line = r#"printf 'caf\303\251 \377\376 nul\0 tab\t "quoted" it'"'"'s back\\slash\r\n'; echo after"#;
    let (site, _service) = parted(line)?;
    let mut events = site.lab.follow_from_start();
    let whole = events.line("NOTE USER connect disconnect p stdout ")?;
    let words = tripe_admin::split(&whole);
    assert_eq!(words.len(), 7, "{whole}");
    for part in ["caf\u{e9} \u{fffd}", "\"quoted\" it's back"] {
        assert!(words[6].contains(part), "{part} in {whole:?}");
    }
    assert_eq!(events.stdout("disconnect p")?, "after");
    Ok(())
}

#[test]
fn an_empty_line_is_an_empty_token() -> Outcome {
    let (site, _service) = parted("echo")?;
    let mut events = site.lab.follow_from_start();
    events.exactly("NOTE USER connect disconnect p stdout \"\"")?;
    Ok(())
}

#[test]
fn a_flood_of_lines_is_cut_off_and_the_rest_counted() -> Outcome {
    let (site, _service) = children(&[
        ("ifup", "/bin/sh -c 'seq 20000'"),
        ("ifdown", "/bin/echo down"),
    ])?;
    let mut events = site.lab.follow_from_start();
    assert_eq!(events.stdout("ifup p")?, "1");
    site.admin_ok("KILL p")?;
    assert_eq!(events.stdout("ifdown p")?, "down p");
    let told = said(&site, "NOTE USER connect ifup p stdout ");
    assert!((1_000..1_100).contains(&told.len()), "{}", told.len());
    assert!(
        told.last()
            .is_some_and(|line| line.contains("more lines left out")),
        "{told:?}"
    );
    Ok(())
}

#[test]
fn a_grandchild_that_keeps_the_pipe_open_delays_nothing() -> Outcome {
    let (site, _service) = children(&[
        ("ifup", "/bin/sh -c 'sleep 20 & echo parent; exit 3'"),
        ("ifdown", "/bin/echo down"),
    ])?;
    let mut events = site.lab.follow_from_start();
    events.exactly("NOTE USER connect ifup p stdout parent")?;
    site.admin_ok("KILL p")?;
    events.exactly("WARN USER connect ifup p exit-nonzero 3")?;
    assert_eq!(events.stdout("ifdown p")?, "down p");
    Ok(())
}

#[test]
fn output_after_the_exit_is_still_told() -> Outcome {
    let (site, _service) = children(&[(
        "disconnect",
        "mkfifo go; { read word < go; echo grandchild; } & echo parent; exit 3",
    )])?;
    site.admin_ok("KILL p")?;
    let mut events = site.lab.follow_from_start();
    events.exactly("WARN USER connect disconnect p exit-nonzero 3")?;
    std::fs::write(site.path("go"), "go\n")?;
    events.exactly("NOTE USER connect disconnect p stdout grandchild")?;
    Ok(())
}

#[test]
fn a_child_that_closes_its_output_early_is_watched_on() -> Outcome {
    let (site, _service) = parted("exec >&- 2>&-; exit 5")?;
    let mut events = site.lab.follow_from_start();
    events.exactly("WARN USER connect disconnect p exit-nonzero 5")?;
    Ok(())
}

#[test]
fn a_child_that_cannot_be_started_is_told_and_why() -> Outcome {
    for script in ["./missing", "/dev/null", "'./miss", "''"] {
        let (site, service) = children(&[("ifup", script)])?;
        let mut events = site.lab.follow_from_start();
        let warning = events.line("WARN USER connect ifup p not-started ")?;
        assert!(warning.len() > 50, "it says why: {warning}");
        let mut events = site.lab.follow();
        site.submit("active q")?;
        events.stdout("ifup q")?;
        // By one of the two processes that know it.
        service.wait_for_log("ifup p not-started")?;
        let log = service.log();
        let told = log
            .lines()
            .filter(|line| line.contains("not") && line.contains("started"));
        assert_eq!(told.count(), 1, "{log}");
    }
    Ok(())
}

#[test]
fn a_child_that_takes_longer_than_its_limit_is_ended() -> Outcome {
    let (site, _service) = children(&[
        ("ifup", "/bin/sh -c 'echo begun; exec sleep 20'"),
        ("ifup-timeout", "1s"),
        ("ifdown", "/bin/echo down"),
    ])?;
    let mut events = site.lab.follow_from_start();
    assert_eq!(events.stdout("ifup p")?, "begun");
    site.admin_ok("KILL p")?;
    events.exactly("WARN USER connect ifup p timed-out")?;
    assert_eq!(events.stdout("ifdown p")?, "down p");
    Ok(())
}

#[test]
fn a_child_outlives_the_helper_that_started_it_and_its_queue_waits() -> Outcome {
    let (site, mut service) = children(&[
        ("ifup", "/bin/sh -c 'mkfifo go; echo begun; read word < go'"),
        ("ifdown", "/bin/echo down"),
    ])?;
    let mut events = site.lab.follow_from_start();
    events.exactly("NOTE USER connect ifup p stdout begun")?;
    site.admin_ok("KILL p")?;
    service.kill_helper("scripts")?;
    std::fs::write(site.path("go"), "go\n")?;
    // How it ended nobody knows any more, but that it has is seen, and the next one runs.
    assert_eq!(events.stdout("ifdown p")?, "down p");
    let told = said(&site, "NOTE USER connect");
    assert_eq!(told.len(), 2, "each once: {told:?}");
    Ok(())
}
