// SPDX-License-Identifier: GPL-3.0-or-later
//! Commands that wait for what comes of them.

use connect_ipc::control::{Reply, Request};
use connect_ipc::event::{EventKind, Removal};
use insta::assert_snapshot;

use crate::support::{Place, Result, Script, Step, event};

fn command(name: &str) -> EventKind {
    EventKind::Command {
        words: vec![name.into(), "alice".into()],
        by: "uid 0".into(),
    }
}

fn added() -> EventKind {
    EventKind::Added {
        address: "INET 192.0.2.1 4070".into(),
        interface: "tripe0".into(),
    }
}

/// A core that begins a subscription, is then asked this, and after these events says no more.
fn script(request: Option<Request>, events: Vec<(Option<&str>, EventKind)>) -> Result<Script> {
    let begin = [Step::Reply(Reply::Live { seq: 1 })];
    let asked = request.into_iter().flat_map(|request| {
        // The answer may come before the events or after some.
        [Step::Next(request), Step::Reply(Reply::Done {})]
    });
    let events = events
        .into_iter()
        .zip(2..)
        .map(|((peer, kind), seq)| Step::To(1, event(seq, peer, kind)));
    Ok(Script::steps(begin.into_iter().chain(asked).chain(events)))
}

fn submit(name: &str) -> Option<Request> {
    Some(Request::Submit {
        words: vec![name.into(), "alice".into()],
    })
}

/// How a command ends when this happens.
fn ends(
    arguments: &str,
    request: Option<Request>,
    events: Vec<(Option<&str>, EventKind)>,
) -> Result<String> {
    let place = Place::new()?;
    let core = place.core(script(request, events)?)?;
    let outcome = place.run(arguments)?;
    core.asked()?;
    Ok(format!("$ connect-cli {arguments}\n{outcome}\n"))
}

#[test]
fn each_goal_is_reached_or_missed_with_a_code_of_its_own() -> Result {
    let alice = Some("alice");
    let mut all = String::new();
    all += &ends(
        "active alice --wait",
        submit("active"),
        vec![
            (None, command("active")),
            (alice, EventKind::Removed(Removal::Command)),
            (alice, added()),
            (alice, EventKind::Adopted {}),
            (alice, EventKind::Reply { millis: 3.0 }),
        ],
    )?;
    all += &ends(
        "active alice --wait --json",
        submit("active"),
        vec![
            (alice, added()),
            (alice, EventKind::Removed(Removal::Command)),
        ],
    )?;
    all += &ends(
        "kick alice --wait",
        submit("kick"),
        vec![
            (alice, EventKind::Keys {}),
            (None, command("kick")),
            (
                alice,
                EventKind::Unreachable {
                    failed_checks: 4,
                    next_ms: Some(9),
                },
            ),
        ],
    )?;
    all += &ends(
        "kick alice --wait --json",
        submit("kick"),
        vec![(None, command("kick")), (alice, EventKind::Keys {})],
    )?;
    all += &ends(
        "kick alice --wait --timeout 1",
        submit("kick"),
        vec![(None, command("kick"))],
    )?;
    all += &ends(
        "active alice --wait",
        submit("active"),
        vec![(alice, added()), (None, EventKind::Lost {})],
    )?;
    assert_snapshot!(all);
    Ok(())
}

#[test]
fn kill_waits_until_the_service_has_noticed() -> Result {
    let place = Place::new()?;
    let events = vec![(Some("alice"), EventKind::Removed(Removal::Command))];
    let core = place.core(script(None, events)?)?;
    let tripe = place.tripe(&[("KILL alice", "OK\n"), ("", "")])?;
    let outcome = place.run("kill alice --wait")?;
    assert_eq!(
        outcome.to_string(),
        "exit code 0\n--- standard output\nalice: removed by a command, by the other host, or because the server ended\n"
    );
    core.asked()?;
    tripe.finish()
}

#[test]
fn a_command_that_fails_is_not_waited_for() -> Result {
    let place = Place::new()?;
    let core = place.core(Script::steps([
        Step::Reply(Reply::Live { seq: 1 }),
        Step::Next(Request::Submit {
            words: vec!["active".into(), "alice".into()],
        }),
        Step::Reply(Reply::Failed(vec!["unknown-peer".into(), "alice".into()])),
    ]))?;
    let outcome = place.run("active alice --wait")?;
    core.asked()?;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(outcome.stderr.contains("unknown-peer alice"), "{outcome}");
    Ok(())
}
