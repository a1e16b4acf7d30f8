// SPDX-License-Identifier: GPL-3.0-or-later
//! `doctor`.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use connect_ipc::control::{FailedScript, Reply, Request, ServiceStatus};
use connect_ipc::scripts::{ScriptFailure, ScriptKind};
use insta::assert_snapshot;

use crate::support::{Core, Place, Result, Script, Step, Tripe, peer, service};

fn chmod(place: &Place, name: &str, mode: u32) -> Result {
    std::fs::set_permissions(place.path(name), PermissionsExt::from_mode(mode))?;
    Ok(())
}

/// A server that names this version of its own and this of the service.
fn server(place: &Place, tripe: &str, connect: &str) -> Result<Tripe> {
    let tripe = place.tripe(&[
        ("VERSION", &format!("INFO tripe {tripe}\nOK\n")),
        (
            "SVCQUERY connect",
            &format!("INFO name=connect\nINFO version={connect}\nOK\n"),
        ),
    ])?;
    chmod(place, "tripesock", 0o600)?;
    Ok(tripe)
}

/// The state of a service in good health, of this version.
fn healthy(place: &Place) -> Result<ServiceStatus> {
    let mut status = service()?;
    status.version = env!("CARGO_PKG_VERSION").into();
    status.socket = place.path("tripesock").display().to_string();
    status.database.path = place.path("peers.cdb").display().to_string();
    status.pinger.version = Some(status.version.clone());
    status.scripts.version = Some(status.version.clone());
    Ok(status)
}

fn core(place: &Place, change: impl FnOnce(&mut ServiceStatus)) -> Result<Core> {
    let mut status = healthy(place)?;
    change(&mut status);
    place.core(Script::replies([
        Reply::Service(Box::new(status)),
        Reply::Done {},
    ]))
}

/// A place with a script, a database that names it, and a socket for helpers.
fn place() -> Result<(Place, UnixListener)> {
    let place = Place::new()?;
    place.write("ifup", "#!/bin/sh\n")?;
    chmod(&place, "ifup", 0o755)?;
    let script = place.path("ifup");
    place.write(
        "peers.in",
        &format!(
            "[alice]\npeer = INET 192.0.2.1\nwatch = t\nifup = {} -v\n",
            script.display()
        ),
    )?;
    let compiled = place.run("db compile peers.in -o peers.cdb")?;
    assert_eq!(compiled.code, Some(0), "{compiled}");
    let helpers = UnixListener::bind(place.path("helpers.sock"))?;
    chmod(&place, "helpers.sock", 0o600)?;
    Ok((place, helpers))
}

#[test]
fn all_is_well() -> Result {
    let (place, _helpers) = place()?;
    let (tripe, served) = (
        server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?,
        core(&place, |_| {})?,
    );
    let text = place.run("doctor")?;
    tripe.finish()?;
    served.asked()?;
    assert_eq!(text.code, Some(0), "{text}");
    std::fs::remove_file(place.path("tripesock"))?;
    let (tripe, served) = (
        server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?,
        core(&place, |_| {})?,
    );
    let json = place.run("doctor --json")?;
    tripe.finish()?;
    served.asked()?;
    let text = format!("{text}{json}").replace(env!("CARGO_PKG_VERSION"), "VERSION");
    assert_snapshot!(text);
    Ok(())
}

#[test]
fn the_last_runs_of_each_peer_are_told_with_their_last_lines() -> Result {
    let (place, _helpers) = place()?;
    let tripe = server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?;
    let mut ill = peer("alice", &[])?;
    ill.failed_scripts = vec![FailedScript {
        kind: ScriptKind::Ifup,
        failure: ScriptFailure::Exited(2),
        ago: 60,
    }];
    let detail = |recent: serde_json::Value| -> Result<Step> {
        let detail = serde_json::json!({
            "schema": 1, "status": null, "record": null, "scripts": [], "recent": recent,
        });
        Ok(Step::Reply(Reply::Peer(serde_json::from_value(detail)?)))
    };
    let ask = |peer: &str| Step::Next(Request::Info { peer: peer.into() });
    let failed = serde_json::json!([
        {"kind": "ifup", "end": {"exited": 2}, "ago": 60, "output": ["first", "no such device"]},
        {"kind": "connect", "end": {"exited": 0}, "ago": 3, "output": []},
    ]);
    let well = serde_json::json!([
        {"kind": "ifup", "end": {"exited": 0}, "ago": 90, "output": ["address set"]},
    ]);
    let status = healthy(&place)?;
    let served = place.core(Script::steps([
        Step::Reply(Reply::Service(Box::new(status))),
        Step::Reply(Reply::Peers(vec![peer("aaron", &[])?, ill])),
        Step::Reply(Reply::Done {}),
        // Those in trouble come first.
        ask("alice"),
        detail(failed)?,
        ask("aaron"),
        detail(well)?,
    ]))?;
    let outcome = place.run("doctor")?;
    tripe.finish()?;
    served.asked()?;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    let text = outcome.to_string();
    let told: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.contains("peer alice"))
        .collect();
    assert_snapshot!(told.join("\n"));
    Ok(())
}

#[test]
fn nothing_is_there() -> Result {
    let place = Place::new()?;
    assert_snapshot!(place.run("doctor --runtime-dir run")?);
    Ok(())
}

#[test]
fn what_is_open_to_everybody_is_a_fault() -> Result {
    let (place, _helpers) = place()?;
    let tripe = server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?;
    let served = core(&place, |_| {})?;
    for (name, mode) in [
        ("", 0o777),
        ("tripesock", 0o666),
        ("control.sock", 0o666),
        ("helpers.sock", 0o666),
        ("peers.cdb", 0o666),
        ("ifup", 0o777),
    ] {
        chmod(&place, name, mode)?;
    }
    let outcome = place.run("doctor")?;
    tripe.finish()?;
    served.asked()?;
    chmod(&place, "", 0o700)?;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert_snapshot!(
        outcome
            .to_string()
            .replace(env!("CARGO_PKG_VERSION"), "VERSION")
    );
    Ok(())
}

#[test]
fn a_sick_service_and_its_scripts_are_told() -> Result {
    let (place, _helpers) = place()?;
    place.write("plain", "no script")?;
    chmod(&place, "plain", 0o644)?;
    place.write(
        "peers.in",
        "[a]\npeer = INET 192.0.2.1\nwatch = t\nifup = ./plain\nconnect = /nowhere/ssh a\n\
         [b]\npeer = INET 192.0.2.2\nifup = no-such-program\nretires = 7\nwatch = t\n",
    )?;
    let compiled = place.run("db compile peers.in -o peers.cdb")?;
    assert_eq!(compiled.code, Some(0), "{compiled}");
    let tripe = server(&place, "1.0.0pre19", "1.5.2")?;
    let served = core(&place, |status| {
        status.version = "1.9.9".into();
        status.socket = "/run/other".into();
        status.pinger.connections = 3;
        status.scripts.connected = false;
        status.database.fault = Some("it is damaged".into());
    })?;
    let outcome = place.run("doctor")?;
    tripe.finish()?;
    served.asked()?;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert_snapshot!(
        outcome
            .to_string()
            .replace(env!("CARGO_PKG_VERSION"), "VERSION")
    );
    Ok(())
}
