// SPDX-License-Identifier: GPL-3.0-or-later
//! `submit`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use connect_ipc::control::Reply;
use insta::assert_snapshot;

use crate::support::{Place, Result, Script, Step};

fn line(line: &str) -> Reply {
    Reply::Line(tripe_admin::split(line))
}

fn failed(line: &str) -> Reply {
    Reply::Failed(tripe_admin::split(line))
}

#[test]
fn lines_are_printed_as_they_would_be_by_the_server() -> Result {
    let place = Place::new()?;
    let core = place.core(Script::replies([
        line("every=30s"),
        line("'ifup=/bin/up -v'"),
        Reply::Done {},
    ]))?;
    assert_snapshot!(place.run("submit info alice")?);
    assert_eq!(core.submitted()?, ["info", "alice"]);
    Ok(())
}

#[test]
fn json_comes_at_the_end_and_reports_failure() -> Result {
    let place = Place::new()?;
    let core = place.core(Script::replies([
        line("alice"),
        line("'b c'"),
        Reply::Done {},
    ]))?;
    let good = place.run("submit --json adopted")?;
    core.asked()?;
    let core = place.core(Script::replies([failed("unknown-user bob")]))?;
    let bad = place.run("submit --json userpeer bob")?;
    core.asked()?;
    assert_snapshot!(format!("{good}{bad}"));
    Ok(())
}

#[test]
fn a_failure_is_explained_and_strange_ones_are_shown() -> Result {
    let place = Place::new()?;
    let mut all = String::new();
    for failure in [
        "peer-not-dynamic alice",
        "unknown-svc-command x",
        "odd 'a b'",
        "",
    ] {
        let core = place.core(Script::replies([line("before"), failed(failure)]))?;
        all += &place.run("submit x")?.to_string();
        core.asked()?;
    }
    assert_snapshot!(all);
    Ok(())
}

#[test]
fn everything_after_the_command_is_the_services() -> Result {
    let place = Place::new()?;
    for (arguments, words) in [
        (
            "submit passive -timeout 5 -- --json",
            &["passive", "-timeout", "5", "--", "--json"][..],
        ),
        ("submit x --json -a y", &["x", "--json", "-a", "y"]),
        ("submit help --help", &["help", "--help"]),
        ("submit x a a a", &["x", "a", "a", "a"]),
    ] {
        let core = place.core(Script::replies([Reply::Done {}]))?;
        let outcome = place.run(arguments)?;
        assert_eq!(core.submitted()?, words, "{arguments}");
        assert_eq!(outcome.to_string(), "exit code 0\n", "{arguments}");
    }
    Ok(())
}

#[test]
fn a_line_is_there_to_be_read_before_the_command_has_ended() -> Result {
    let place = Place::new()?;
    let (open, gate) = tokio::sync::oneshot::channel();
    let core = place.core(Script::steps([
        Step::Reply(line("CHALLENGE")),
        Step::When(gate),
        Step::Reply(Reply::Done {}),
    ]))?;
    let mut child = place
        .command()
        .args(["submit", "passive", "alice"])
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let first = BufReader::new(stdout).lines().next().ok_or("no line")??;
    assert_eq!(first, "CHALLENGE");
    open.send(()).map_err(|()| "the core is gone")?;
    assert!(child.wait()?.success());
    core.asked()?;
    Ok(())
}

#[test]
fn a_service_that_quits_may_do_so_without_a_word() -> Result {
    let place = Place::new()?;
    let core = place.core(Script::steps([Step::Close]))?;
    let outcome = place.run("quit")?;
    assert_eq!(outcome.to_string(), "exit code 0\n");
    assert_eq!(core.submitted()?, ["quit"]);
    let core = place.core(Script::steps([Step::Close]))?;
    assert_eq!(place.run("submit help")?.code, Some(69));
    core.asked()?;
    Ok(())
}
