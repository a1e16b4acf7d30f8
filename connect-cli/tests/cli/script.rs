// SPDX-License-Identifier: GPL-3.0-or-later
//! `ifup` and `ifdown`.

use connect_ipc::control::{Reply, Request, RunProgress, ScriptPlan, WaitsFor};
use connect_ipc::scripts::{Command, Ended, InterfaceScript, ScriptKind, Stream};
use insta::assert_snapshot;
use tokio::sync::oneshot;

use crate::support::{Outcome, Place, Result, Script, Step};

/// Runs the program against a core that says this, and gives what that was asked too.
fn run(arguments: &str, replies: Vec<Reply>) -> Result<(Outcome, Option<Request>)> {
    let place = Place::new()?;
    let core = place.core(Script::replies(replies))?;
    let outcome = place.run(arguments)?;
    Ok((outcome, core.asked()?))
}

fn run_of(end: Ended) -> Vec<Reply> {
    let output = |stream, line: &str| {
        let line = line.to_owned();
        Reply::Run(RunProgress::Output { stream, line })
    };
    vec![
        Reply::Run(RunProgress::Started { pid: 200 }),
        output(Stream::Stdout, "address set"),
        output(Stream::Stderr, "no\u{1b}[1mroute"),
        Reply::Run(RunProgress::Ended(end)),
    ]
}

#[test]
fn the_output_is_shown_and_the_status_is_that_of_the_script() -> Result {
    let mut shown = String::new();
    for (arguments, end, code) in [
        ("ifup alice", Ended::Exited(0), 0),
        ("ifup alice", Ended::Exited(2), 2),
        ("ifdown alice", Ended::Signal(9), 137),
        ("ifdown alice", Ended::TimedOut, 124),
        (
            "ifup --json alice",
            Ended::NotStarted("no such file".into()),
            126,
        ),
    ] {
        let (outcome, asked) = run(arguments, run_of(end))?;
        let script = if arguments.starts_with("ifup") {
            InterfaceScript::Ifup
        } else {
            InterfaceScript::Ifdown
        };
        let peer = "alice".to_owned();
        assert_eq!(asked, Some(Request::RunScript { peer, script }));
        assert_eq!(outcome.code, Some(code), "{outcome}");
        shown.push_str(&format!("$ {arguments}\n{outcome}\n"));
    }
    assert_snapshot!(shown);
    Ok(())
}

fn waiting(waits_for: WaitsFor) -> Reply {
    Reply::Run(RunProgress::Waiting(waits_for))
}

fn for_the_ifdown(pid: Option<i32>) -> Reply {
    let (script, seconds) = (ScriptKind::Ifdown, 95);
    waiting(WaitsFor::Run {
        script,
        pid,
        seconds,
    })
}

#[test]
fn what_a_script_waits_for_is_told_on_standard_error() -> Result {
    let mut shown = String::new();
    for first in [
        for_the_ifdown(Some(190)),
        for_the_ifdown(None),
        waiting(WaitsFor::Place {}),
    ] {
        let mut replies = vec![first];
        replies.extend(run_of(Ended::Exited(0)));
        let (outcome, _) = run("ifup alice", replies)?;
        shown.push_str(&format!("{outcome}\n"));
    }
    assert_snapshot!(shown);
    Ok(())
}

/// Once core has said what a script waits for, or that it runs, it is not core that is late.
#[test]
fn a_time_limit_that_passes_names_what_takes_long() -> Result {
    let mut shown = String::new();
    let started = Reply::Run(RunProgress::Started { pid: 200 });
    for replies in [
        vec![],
        vec![for_the_ifdown(Some(190))],
        vec![for_the_ifdown(Some(190)), started],
    ] {
        let place = Place::new()?;
        let (_go_on, never) = oneshot::channel();
        let steps = replies.into_iter().map(Step::Reply);
        let core = place.core(Script::steps(steps.chain([Step::When(never)])))?;
        let outcome = place.run("ifup --timeout 1s alice")?;
        assert_eq!(outcome.code, Some(69), "{outcome}");
        shown.push_str(&format!("{outcome}\n"));
        drop(core);
    }
    assert_snapshot!(shown);
    Ok(())
}

#[test]
fn a_refusal_is_explained() -> Result {
    let mut shown = String::new();
    for failure in [
        "no-script alice ifup",
        "no-script-helper",
        "too-many-scripts 64",
    ] {
        let failure = Reply::Failed(failure.split(' ').map(str::to_owned).collect());
        let (outcome, _) = run("ifup alice", vec![failure])?;
        assert_eq!(outcome.code, Some(1), "{outcome}");
        shown.push_str(&outcome.stderr);
    }
    assert_snapshot!(shown);
    Ok(())
}

#[test]
fn a_dry_run_shows_command_and_environment() -> Result {
    let plan = || {
        let pairs = [
            ("P_IFUP", "/etc/tripe/ifup 'a b'"),
            ("P_NETS", "10.0.0.0/8"),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let words = [
            "/etc/tripe/ifup",
            "a b",
            "alice",
            "tripe0",
            "INET",
            "192.0.2.1",
            "4070",
        ];
        vec![Reply::Script(Box::new(ScriptPlan {
            command: Command::Exec(words.map(str::to_owned).to_vec()),
            environment: pairs.to_vec(),
            limit: Some(60),
        }))]
    };
    let (text, asked) = run("ifup --dry-run alice", plan())?;
    let (peer, script) = ("alice".to_owned(), InterfaceScript::Ifup);
    assert_eq!(asked, Some(Request::ShowScript { peer, script }));
    let (json, _) = run("ifup -n alice --json", plan())?;
    assert_snapshot!(format!("{text}{json}"));
    Ok(())
}
