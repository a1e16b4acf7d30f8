// SPDX-License-Identifier: GPL-3.0-or-later
//! `check`: the line, and the exit codes of monitoring plugins.

use connect_ipc::control::{
    DatabaseOrigin, FailedScript, LongScript, PeerState, PeerStatus, Reply, ServiceStatus,
};
use connect_ipc::knock::{KnockRefusal, RefusedKnock};
use connect_ipc::scripts::{ScriptFailure, ScriptKind};

use crate::support::{Outcome, Place, Result, Script, peer, rows, service};

/// What `check` says of this state.
fn check(arguments: &str, service: ServiceStatus, peers: &[PeerStatus]) -> Result<Outcome> {
    let place = Place::new()?;
    let core = place.core(Script::replies([
        Reply::Service(Box::new(service)),
        rows(peers.to_vec()),
        Reply::Done {},
    ]))?;
    let outcome = place.run(&format!("check {arguments}"))?;
    core.asked()?;
    assert_eq!(outcome.stderr, "", "a monitor reads standard output");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
    Ok(outcome)
}

fn wanted(name: &str, pings: &[f64], state: PeerState) -> Result<PeerStatus> {
    let mut peer = peer(name, pings)?;
    (peer.wanted, peer.state) = (state != PeerState::Killed, state);
    Ok(peer)
}

/// Two peers that are up, one of which has lost a ping of two, one that is gone, and one that a
/// command has removed.
fn peers() -> Result<Vec<PeerStatus>> {
    let mut lossy = wanted("bob", &[30.5], PeerState::Up)?;
    lossy.statistics.record_loss();
    lossy.statistics.record_reply(20.0);
    lossy.statistics.record_loss();
    lossy.statistics.record_reply(20.0);
    Ok(vec![
        wanted("alice", &[10.0], PeerState::Up)?,
        lossy,
        wanted("it's=|x", &[], PeerState::Gone)?,
        wanted("zoe", &[], PeerState::Killed)?,
    ])
}

#[test]
fn the_line_and_the_code_say_how_it_is() -> Result {
    let up: Vec<PeerStatus> = peers()?.into_iter().take(2).collect();
    for (arguments, peers, code, line) in [
        (
            "",
            up.clone(),
            0,
            "CONNECT OK - 2 of 2 peers up | missing=0;;;0;2 up=2;;;0;2 rtt=20.000ms;;;0; \
             loss=40.000%;;;0;100\n",
        ),
        (
            "",
            peers()?,
            2,
            "CONNECT CRITICAL - 1 of 3 peers not up: it's=/x gone | missing=1;;;0;3 up=2;;;0;3 \
             rtt=20.000ms;;;0; loss=40.000%;;;0;100\n",
        ),
        (
            "-w 0 -c 1 --warning rtt=15 --critical loss=50",
            peers()?,
            1,
            "CONNECT WARNING - 1 of 3 peers not up: it's=/x gone; round trip 20.0ms | \
             missing=1;0;1;0;3 up=2;;;0;3 rtt=20.000ms;15;;0; loss=40.000%;;50;0;100\n",
        ),
        (
            "alice --critical rtt=~:5",
            peers()?,
            2,
            "CONNECT CRITICAL - round trip 10.0ms | missing=0;;;0;1 up=1;;;0;1 \
             'alice rtt'=10.000ms;;~:5;0; 'alice loss'=0.000%;;;0;100\n",
        ),
        (
            "alice zoe",
            peers()?,
            2,
            "CONNECT CRITICAL - 1 of 2 peers not up: zoe killed | missing=1;;;0;2 up=1;;;0;2 \
             'alice rtt'=10.000ms;;;0; 'alice loss'=0.000%;;;0;100\n",
        ),
        (
            "it's=|x -c @5:10",
            peers()?,
            0,
            "CONNECT OK - 0 of 1 peer up | missing=1;;@5:10;0;1 up=0;;;0;1\n",
        ),
        (
            "",
            vec![
                wanted("alice", &[10.0], PeerState::Up)?,
                wanted("new", &[], PeerState::Checking)?,
            ],
            0,
            "CONNECT OK - 1 of 2 peers up, 1 being added or checked | missing=0;;;0;2 up=1;;;0;2 \
             rtt=10.000ms;;;0; loss=0.000%;;;0;100\n",
        ),
        (
            "nemo",
            peers()?,
            3,
            "CONNECT UNKNOWN - there is no peer nemo | missing=0;;;0;0 up=0;;;0;0\n",
        ),
    ] {
        let outcome = check(arguments, service()?, &peers)?;
        assert_eq!(
            (outcome.code, &*outcome.stdout),
            (Some(code), line),
            "{arguments}"
        );
    }
    Ok(())
}

#[test]
fn faults_of_the_service_and_of_scripts_count() -> Result {
    let mut state = service()?;
    state.pinger.connected = false;
    let outcome = check("", state, &[])?;
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.stdout.contains("connect-pinger is not connected"));

    let mut state = service()?;
    state.database.fault = Some("peers.cdb is damaged".into());
    let outcome = check("", state.clone(), &[])?;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    state.database.origin = DatabaseOrigin::None;
    let outcome = check("", state, &[])?;
    assert_eq!(outcome.code, Some(2), "{outcome}");

    let mut ill = wanted("alice", &[1.0], PeerState::Up)?;
    ill.scripts.failed = vec![FailedScript {
        kind: ScriptKind::Ifup,
        failure: ScriptFailure::Exited(2),
        ago: 7,
    }];
    let outcome = check("", service()?, &[ill])?;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(outcome.stdout.contains("WARNING - ifup of alice failed |"));

    let mut slow = wanted("alice", &[1.0], PeerState::Up)?;
    slow.scripts.long = vec![LongScript {
        kind: ScriptKind::Ifup,
        pid: Some(7),
        seconds: 83,
        limit: None,
        survives: None,
    }];
    let outcome = check("", service()?, &[slow])?;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    let told = "WARNING - ifup of alice has been running for 1m23s |";
    assert!(outcome.stdout.contains(told), "{outcome}");
    Ok(())
}

#[test]
fn a_refused_knock_is_a_warning() -> Result {
    let mut status = service()?;
    status.counters.refused_knocks = 7;
    status.refused_knock = Some(RefusedKnock {
        peer: "gate".into(),
        address: "INET 192.0.2.1 4070".into(),
        reason: KnockRefusal::UnknownPeer,
        recorded_tag: None,
        seconds: 12,
    });
    let outcome = check("", status.clone(), &[])?;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    let line = "CONNECT WARNING - 7 knocks refused since core started; refused a knock of gate \
                from 192.0.2.1:4070, 12s ago: no record has this name | ";
    assert!(outcome.stdout.starts_with(line), "{outcome}");
    let knock = status.refused_knock.as_mut().ok_or("there is one")?;
    (knock.peer, knock.reason) = ("ops.mobile".into(), KnockRefusal::TagMismatch);
    knock.recorded_tag = Some("fleet".into());
    let outcome = check("", status.clone(), &[])?;
    let tags = "12s ago: it has the key tag `mobile', the record here `fleet' | ";
    assert!(outcome.stdout.contains(tags), "{outcome}");
    // Then no name is known, and the records are not to blame.
    status.database.origin = DatabaseOrigin::None;
    let outcome = check("", status, &[])?;
    let none = "12s ago: no database is in use | ";
    assert!(outcome.stdout.contains(none), "{outcome}");
    Ok(())
}

#[test]
fn a_service_that_does_not_answer_is_critical_and_a_wrong_command_line_unknown() -> Result {
    let place = Place::new()?;
    let none = place.run("check")?;
    assert_eq!(none.code, Some(2), "{none}");
    assert!(
        none.stdout
            .starts_with("CONNECT CRITICAL - no connect service"),
        "{none}"
    );
    for wrong in [
        "check --warning 20:10",
        "check --nonsense",
        "check -c speed=1",
    ] {
        assert_eq!(place.run(wrong)?.code, Some(3), "{wrong}");
    }
    // Elsewhere such a line has the usual code.
    assert_eq!(place.run("db check --nonsense")?.code, Some(2));
    Ok(())
}
