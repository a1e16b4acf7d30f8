// SPDX-License-Identifier: GPL-3.0-or-later
//! `admin`.

use insta::assert_snapshot;

use crate::support::{Place, Result};

#[test]
fn the_answer_is_printed_as_the_server_gave_it() -> Result {
    let place = Place::new()?;
    let tripe = place.tripe(&[(
        "ALGS",
        "INFO kx-group=ec\nNOTE KILL bob\nINFO \"odd value\" x\nOK\n",
    )])?;
    assert_snapshot!(place.run("admin ALGS")?);
    tripe.finish()
}

#[test]
fn a_failure_is_explained() -> Result {
    let place = Place::new()?;
    let tripe = place.tripe(&[("ADDR bob", "FAIL unknown-peer bob\n")])?;
    assert_snapshot!(place.run("admin ADDR bob")?);
    tripe.finish()
}

#[test]
fn one_argument_is_a_line_and_several_are_words() -> Result {
    for (arguments, line) in [
        (&["PING -timeout 5  alice"][..], "PING -timeout 5 alice"),
        (&["PING", "-timeout", "5", "alice"], "PING -timeout 5 alice"),
        (&["KILL 'a b'"], "KILL \"a b\""),
        (&["KILL", "a b"], "KILL \"a b\""),
    ] {
        let place = Place::new()?;
        let tripe = place.tripe(&[(line, "INFO x\nOK\n")])?;
        let outcome = place.finish(place.command().arg("admin").args(arguments))?;
        tripe.finish()?;
        assert_eq!(outcome.stdout, "x\n", "{arguments:?}: {outcome}");
    }
    Ok(())
}

#[test]
fn lines_that_make_no_sense_are_not_sent() -> Result {
    let place = Place::new()?;
    let long = "x".repeat(300);
    let mut all = String::new();
    for arguments in [&[" "][..], &["PING", "-background", "t", "alice"]] {
        let outcome = place.finish(place.command().arg("admin").args(arguments))?;
        assert_eq!(outcome.code, Some(2), "{outcome}");
        all += &outcome.to_string();
    }
    for arguments in [["ADD", &long], ["ADD", "a\nQUIT"]] {
        // These are found out only once the connection is made.
        std::fs::remove_file(place.path("tripesock")).ok();
        let tripe = place.tripe(&[("", "")])?;
        let outcome = place.finish(place.command().arg("admin").args(arguments))?;
        tripe.finish()?;
        assert_eq!(outcome.code, Some(2), "{outcome}");
        all += &outcome.to_string();
    }
    assert_snapshot!(all);
    Ok(())
}

#[test]
fn broadcasts_are_printed_as_they_come() -> Result {
    let watched = "OK\nNOTE ADD alice tripe0 INET 192.0.2.1 4070\n\
                   WARN USER connect ping-timeout alice attempt 1 of 5\nNOTE FUTURE 'a b'\nHUH\n";
    let place = Place::new()?;
    let tripe = place.tripe(&[("WATCH -A+nw", watched)])?;
    let human = place.run("admin --watch")?;
    tripe.finish()?;
    std::fs::remove_file(place.path("tripesock"))?;
    let tripe = place.tripe(&[
        ("WATCH -A+nw", "OK\n"),
        ("KILL alice", "NOTE KILL alice\nOK\n"),
    ])?;
    let json = place.run("admin --watch --json KILL alice")?;
    tripe.finish()?;
    assert_snapshot!(format!("{human}{json}"));
    Ok(())
}

#[test]
fn a_server_that_is_not_there_or_does_not_answer_is_told() -> Result {
    let place = Place::new()?;
    let mut all = place.run("admin LIST")?.to_string();
    let listener = std::os::unix::net::UnixListener::bind(place.path("tripesock"))?;
    // The system takes the connection, but nobody ever reads from it.
    all += &place.run("admin --timeout 1s LIST")?.to_string();
    drop(listener);
    std::fs::remove_file(place.path("tripesock"))?;
    let tripe = place.tripe(&[("LIST", "INFO x\n")])?;
    all += &place.run("admin LIST")?.to_string();
    tripe.finish()?;
    assert_snapshot!(all);
    Ok(())
}
