// SPDX-License-Identifier: GPL-3.0-or-later
//! `doctor`.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use connect_ipc::control::{
    FailedScript, LaneStatus, LongScript, PeerState, PeerStatus, Reply, Request, ServerLink,
    ServiceStatus,
};
use connect_ipc::frame::encode;
use connect_ipc::knock::{KnockRefusal, RefusedKnock};
use connect_ipc::lookup::{LastLookup, LookupResult, LookupStatus};
use connect_ipc::scripts::{ScriptFailure, ScriptKind};
use connect_ipc::write_fault::WriteFault;
use connect_runtime::lock_holder::Holder;
use connect_runtime::scripts_journal::Header;
use connect_runtime::start_time::Stat;
use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::{Core, Place, Result, Script, Step, Tripe, peer, rows, service};

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
    status.scripts.helper.version = Some(status.version.clone());
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
fn every_fault_has_its_remedy_on_a_line_of_its_own() -> Result {
    let place = Place::new()?;
    place.write("peers.cdb", "damaged")?;
    // As a server and a service that were killed leave them.
    for name in ["tripesock", "control.sock"] {
        drop(UnixListener::bind(place.path(name))?);
    }
    let nothing = place.run("doctor")?;
    for name in ["tripesock", "control.sock"] {
        std::fs::remove_file(place.path(name))?;
    }
    let tripe = place.tripe(&[("VERSION", "")])?;
    let served = core(&place, |status| {
        status.server = ServerLink::Down;
        status.pinger.connected = false;
        status.scripts.helper.silent = Some(11);
        status.database.fault = Some("it is damaged".into());
    })?;
    let sick = place.run("doctor")?;
    tripe.finish()?;
    served.asked()?;
    for outcome in [nothing, sick] {
        assert_eq!(outcome.code, Some(1), "{outcome}");
        let mut lines = outcome.stdout.lines().peekable();
        let mut faults = 0;
        while let Some(line) = lines.next() {
            if line.starts_with("FAULT") {
                faults += 1;
                let next = lines.peek().copied().unwrap_or_default();
                assert!(next.starts_with("         => "), "{line}: {outcome}");
            }
        }
        assert!(faults >= 3, "{outcome}");
        let socket = outcome
            .stdout
            .lines()
            .find(|line| line.contains("server's socket"));
        assert!(
            socket.is_none_or(|line| !line.contains("in order")),
            "{outcome}"
        );
    }
    Ok(())
}

#[test]
fn a_healthy_service_elsewhere_is_not_at_fault() -> Result {
    let (place, _helpers) = place()?;
    let tripe = server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?;
    let served = core(&place, |_| {})?;
    // Only its server is named, so its configuration is where its database is.
    let mut command = place.command();
    command.env_remove("TRIPEDIR").env_remove("TRIPESOCK");
    let outcome = place.finish(command.arg("doctor").arg("-a").arg(place.path("tripesock")))?;
    tripe.finish()?;
    served.asked()?;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let start = "ok       the configuration directory DIR is in order\n";
    assert!(outcome.stdout.starts_with(start), "{outcome}");
    Ok(())
}

#[test]
fn the_last_runs_of_each_peer_are_told_with_their_last_lines() -> Result {
    let (place, _helpers) = place()?;
    let tripe = server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?;
    let mut ill = peer("alice", &[])?;
    ill.scripts.failed = vec![FailedScript {
        kind: ScriptKind::Ifup,
        failure: ScriptFailure::Exited(2),
        ago: 60,
    }];
    let long = |kind, pid| LongScript {
        kind,
        pid,
        seconds: 240,
        limit: None,
        survives: None,
    };
    ill.scripts.long = vec![
        long(ScriptKind::Connect, Some(77)),
        long(ScriptKind::Ifdown, None),
        LongScript {
            limit: Some(600),
            ..long(ScriptKind::Disconnect, Some(78))
        },
        LongScript {
            survives: Some(20),
            ..long(ScriptKind::Ifup, Some(79))
        },
    ];
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
    let mut unknown = peer("bob", &[])?;
    let failed_script = |kind, failure| FailedScript {
        kind,
        failure,
        ago: 5,
    };
    unknown.scripts.failed = vec![
        failed_script(ScriptKind::Ifup, ScriptFailure::Lost),
        failed_script(ScriptKind::OnUp, ScriptFailure::Exited(3)),
    ];
    let lost = serde_json::json!([
        {"kind": "ifup", "end": "lost", "ago": 5, "output": ["address set"]},
        {"kind": "on-up", "end": {"exited": 3}, "ago": 4, "output": []},
    ]);
    let well = serde_json::json!([
        {"kind": "ifup", "end": {"exited": 0}, "ago": 90, "output": ["address set"]},
    ]);
    let status = healthy(&place)?;
    let served = place.core(Script::steps([
        Step::Reply(Reply::Service(Box::new(status))),
        Step::Reply(rows(vec![peer("aaron", &[])?, ill, unknown])),
        Step::Reply(Reply::Done {}),
        // Those in trouble come first.
        ask("alice"),
        detail(failed)?,
        ask("bob"),
        detail(lost)?,
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

/// A peer that does not answer, and the lookup of whose name has failed.
fn unknown(name: &str) -> Result<PeerStatus> {
    let mut peer = peer(name, &[])?;
    (peer.state, peer.failures, peer.failed_checks) = (PeerState::Down, 2, 1);
    peer.connection.lookup = Some(Box::new(LookupStatus {
        host: format!("{name}.example.com"),
        last: Some(LastLookup {
            ago: 12,
            result: LookupResult::Failed("no answer within 10 s".into()),
        }),
        pending: false,
        pause: 48,
    }));
    Ok(peer)
}

#[test]
fn peers_whose_names_cannot_be_looked_up_are_named_up_to_a_limit() -> Result {
    let (place, _helpers) = place()?;
    let mut answers = unknown("aaron")?;
    (answers.state, answers.failures, answers.failed_checks) = (PeerState::Up, 0, 0);
    for (count, more) in [(1, ""), (11, "1 more peer does"), (13, "3 more peers do")] {
        let tripe = server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?;
        let mut peers = vec![answers.clone()];
        for number in 10..10 + count {
            peers.push(unknown(&format!("p{number}"))?);
        }
        let names: Vec<String> = peers.iter().map(|peer| peer.name.clone()).collect();
        let mut steps = vec![
            Step::Reply(Reply::Service(Box::new(healthy(&place)?))),
            Step::Reply(rows(peers)),
            Step::Reply(Reply::Done {}),
        ];
        for peer in names {
            steps.push(Step::Next(Request::Info { peer }));
            steps.push(Step::Reply(Reply::Failed(vec!["unknown-peer".into()])));
        }
        let served = place.core(Script::steps(steps))?;
        let outcome = place.run("doctor")?;
        tripe.finish()?;
        served.asked()?;
        std::fs::remove_file(place.path("tripesock"))?;
        let text = outcome.to_string();
        assert!(!text.contains("peer aaron does not answer"), "{text}");
        let named = text.matches("does not answer, and the lookup of p").count();
        assert_eq!(named, count.min(10), "{text}");
        if count == 1 {
            let told = text
                .lines()
                .skip_while(|line| !line.contains("peer p10 does"));
            let told: Vec<&str> = told.take(2).collect();
            assert_snapshot!(told.join("\n"));
        } else {
            assert!(text.contains(more), "{text}");
        }
    }
    Ok(())
}

#[test]
fn a_peer_to_which_no_ping_can_be_sent_lacks_keys_and_not_packets() -> Result {
    let (place, _helpers) = place()?;
    for others in [0, 1] {
        let tripe = server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?;
        let mut hub = peer("hub", &[])?;
        (hub.state, hub.failed_checks) = (PeerState::Down, 1);
        let silent = PeerStatus {
            name: "oslo".into(),
            ..hub.clone()
        };
        hub.connection.unsent = true;
        let peers: Vec<PeerStatus> = [hub, silent].into_iter().take(1 + others).collect();
        let names: Vec<String> = peers.iter().map(|peer| peer.name.clone()).collect();
        let mut steps = vec![
            Step::Reply(Reply::Service(Box::new(healthy(&place)?))),
            Step::Reply(rows(peers)),
            Step::Reply(Reply::Done {}),
        ];
        for peer in names {
            steps.push(Step::Next(Request::Info { peer }));
            steps.push(Step::Reply(Reply::Failed(vec!["unknown-peer".into()])));
        }
        let served = place.core(Script::steps(steps))?;
        let text = place.run("doctor")?.to_string();
        tripe.finish()?;
        served.asked()?;
        std::fs::remove_file(place.path("tripesock"))?;
        let keys = "no ping can be sent to hub: no keys are agreed with the other host\n";
        assert!(text.contains(keys), "{text}");
        assert_eq!(text.contains("that UDP reaches it"), others > 0, "{text}");
    }
    Ok(())
}

#[test]
fn a_restart_of_a_helper_is_a_warning_for_an_hour() -> Result {
    let (place, _helpers) = place()?;
    for (restarts, restarted, told) in [
        (4, None, "warning  NAME 4 times in 3h25m\n"),
        (3, None, "ok       NAME 3 times in 3h25m\n"),
        (
            1,
            Some(60),
            "warning  NAME 1 time in 3h25m, the last time 1m ago\n",
        ),
        (
            1,
            Some(3_599),
            "warning  NAME 1 time in 3h25m, the last time 59m59s ago\n",
        ),
        (
            9,
            Some(3_600),
            "ok       NAME 9 times in 3h25m, the last time 1h ago\n",
        ),
    ] {
        let tripe = server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?;
        let served = core(&place, |status| {
            (status.pinger.restarts, status.pinger.restarted) = (restarts, restarted);
        })?;
        let outcome = place.run("doctor")?;
        tripe.finish()?;
        served.asked()?;
        std::fs::remove_file(place.path("tripesock"))?;
        let line = told.replace("NAME", "connect-pinger is connected, and was started again");
        assert!(outcome.stdout.contains(&line), "{outcome}");
        let log = "         => `journalctl -u tripe-connect-pinger', or without systemd the log of \
                   `connect', says why it has ended\n";
        let is_warning = told.starts_with("warning");
        assert_eq!(outcome.stdout.contains(log), is_warning, "{outcome}");
    }
    Ok(())
}

#[test]
fn nothing_is_there() -> Result {
    let place = Place::new()?;
    assert_snapshot!(place.run("doctor --runtime-dir run")?);
    Ok(())
}

#[test]
fn a_user_who_may_not_ask_the_server_gets_a_warning_for_that() -> Result {
    let (place, _helpers) = place()?;
    let _tripe = UnixListener::bind(place.path("tripesock"))?;
    chmod(&place, "tripesock", 0o000)?;
    let served = core(&place, |_| {})?;
    chmod(&place, "control.sock", 0o666)?;
    let outcome = place.run_as_nobody("doctor")?;
    served.asked()?;
    let warned =
        "warning  the tripe server was not asked: permission to use DIR/tripesock is denied";
    assert!(outcome.stdout.contains(warned), "{outcome}");
    assert!(!outcome.stdout.contains("Next step"), "{outcome}");
    Ok(())
}

/// The server answers, so the service is what is missing.
#[test]
fn where_only_the_service_is_missing_the_next_step_is_to_start_it() -> Result {
    let place = Place::new()?;
    let unknown = "FAIL unknown-service connect\n";
    let tripe = place.tripe(&[
        ("VERSION", "INFO tripe 1.5.2\nOK\n"),
        ("SVCQUERY connect", unknown),
    ])?;
    chmod(&place, "tripesock", 0o600)?;
    let outcome = place.run("doctor --runtime-dir run")?;
    tripe.finish()?;
    assert!(
        outcome.stdout.contains("\nNext step: start the service: "),
        "{outcome}"
    );
    Ok(())
}

#[test]
fn without_peers_the_next_step_is_told() -> Result {
    let (place, _helpers) = place()?;
    let tripe = server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?;
    let served = core(&place, |_| {})?;
    place.write("none.in", "# no peers yet\n")?;
    place.run("db compile --force none.in -o peers.cdb")?;
    std::fs::create_dir(place.path("peers.d"))?;
    place.write("peers.d/50-sample", "#[hub]\n")?;
    let outcome = place.run("doctor --json")?;
    tripe.finish()?;
    served.asked()?;
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout)?;
    let step = report["next_step"].as_str().unwrap_or_default();
    assert!(step.starts_with("describe a peer in "), "{outcome}");
    assert!(step.contains("peers.d/50-sample"), "{step}");
    Ok(())
}

#[test]
fn where_the_sources_have_peers_the_next_step_is_to_compile_them() -> Result {
    let (place, _helpers) = place()?;
    let tripe = server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?;
    let served = core(&place, |status| status.database.peers = 0)?;
    std::fs::remove_file(place.path("peers.cdb"))?;
    std::fs::create_dir(place.path("peers.d"))?;
    place.write("peers.d/50-sample", "#[hub]\n")?;
    // No name is looked up for this.
    place.write("peers.d/10hub", "[hub]\npeer = INET $[hub.invalid] 4070\n")?;
    let outcome = place.run("doctor")?;
    tripe.finish()?;
    served.asked()?;
    let step = "\nNext step: run `connect-cli db compile' and `connect-cli reload'\n";
    assert!(outcome.stdout.contains(step), "{outcome}");
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
fn a_database_that_cannot_be_used_is_one_fault() -> Result {
    let (place, _helpers) = place()?;
    let path = place.path("peers.cdb");
    for harm in [
        |path: &Path| std::fs::write(path, "no database"),
        |path: &Path| std::fs::remove_file(path),
    ] {
        harm(&path)?;
        let fault = peerdb::Database::load(&path).unwrap_err().to_string();
        let tripe = server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?;
        let served = core(&place, |status| status.database.fault = Some(fault))?;
        let outcome = place.run("doctor")?;
        tripe.finish()?;
        served.asked()?;
        std::fs::remove_file(place.path("tripesock"))?;
        assert!(outcome.stdout.ends_with("\n1 fault\n"), "{outcome}");
    }
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
        (status.pinger.connections, status.pinger.restarts) = (3, 2);
        status.scripts.helper.connected = false;
        status.database.fault = Some("it is damaged".into());
        let fault = "cannot write core.json: no storage space; make room".into();
        status.state_fault = Some(WriteFault { fault, seconds: 75 });
        let fault = "no storage space; make room; until then scripts may run twice or never".into();
        status.scripts.journal_fault = Some(WriteFault { fault, seconds: 80 });
        status.scripts.lanes.connection = LaneStatus {
            running: 64,
            waiting: 9,
            full: Some(125),
        };
        status.counters.log_lines_lost = 410;
        status.pinger.log_lines_lost = 1;
        status.refused_knock = Some(RefusedKnock {
            peer: "gate".into(),
            address: "INET 192.0.2.1 4070".into(),
            reason: KnockRefusal::UnknownPeer,
            recorded_tag: None,
            seconds: 12,
        });
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

#[test]
fn the_process_that_has_the_journal_of_scripts_is_named_while_no_helper_is_connected() -> Result {
    for connected in [true, false] {
        let (place, _helpers) = place()?;
        std::fs::create_dir(place.path("scripts"))?;
        let own = Holder::own().expect("the system says when we were started");
        own.write(&File::create(place.path("scripts/lock"))?)?;
        let tripe = server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?;
        let served = core(&place, |status| status.scripts.helper.connected = connected)?;
        let outcome = place.run("doctor")?;
        tripe.finish()?;
        served.asked()?;
        let text = outcome.to_string();
        let remedy = format!("`kill -KILL {}'", own.pid);
        assert_eq!(text.contains(&remedy), !connected, "{text}");
    }
    Ok(())
}

#[test]
fn a_script_helper_that_is_still_there_without_a_service_is_told_with_its_scripts() -> Result {
    let (place, _helpers) = place()?;
    std::fs::create_dir(place.path("scripts"))?;
    let mut helper = Command::new("/bin/sh")
        .args(["-c", "sleep 1000 & echo; wait"])
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()?;
    // Its script is under way.
    let mut output = helper.stdout.take().ok_or("no output")?;
    output.read_exact(&mut [0])?;
    let pid = i32::try_from(helper.id())?;
    let stat = Stat::of(pid).ok_or("the system says when it was started")?;
    let start_time = stat.start_time;
    let holder = Holder { pid, start_time };
    holder.write(&File::create(place.path("scripts/lock"))?)?;
    let outcome = place.run("doctor")?;
    kill_process_group(Pid::from_child(&helper), Signal::KILL)?;
    helper.wait()?;
    let text = outcome.to_string();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = format!("a script helper still runs (process {pid})");
    assert!(text.contains(&told), "{text}");
    assert!(
        text.contains("1 script that it started is under way"),
        "{text}"
    );
    assert!(text.contains(&format!("`kill -KILL {pid}'")), "{text}");
    Ok(())
}

/// The journal of scripts in this place, with these entries.
fn journal(place: &Place, entries: &str) -> Result {
    std::fs::create_dir_all(place.path("scripts"))?;
    let mut text = Vec::new();
    encode(&Header::current()?, &mut text)?;
    text.extend_from_slice(entries.as_bytes());
    std::fs::write(place.path("scripts/journal-1"), text)?;
    Ok(())
}

/// What `doctor` says, without the breaks of its lines.
fn said(place: &Place) -> Result<String> {
    let text = place.run("doctor")?.to_string();
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn scripts_that_an_ended_service_has_left_are_told() -> Result {
    let (place, _helpers) = place()?;
    let text = said(&place)?;
    assert!(!text.contains("journal of scripts"), "{text}");
    let order = |run: u32, kind: &str, peer: &str| {
        format!("{{\"ordered\":{{\"run\":{run},\"peer\":\"{peer}\",\"kind\":\"{kind}\"}}}}\n")
    };
    let started = |run: u32, pid: u32, start_time: u64| {
        let child = format!("{{\"pid\":{pid},\"start-time\":{start_time}}}");
        format!("{{\"started\":{{\"run\":{run},\"child\":{child}}}}}\n")
    };
    // Our own process stands for that of a script.
    let pid = std::process::id();
    let stat = Stat::of(i32::try_from(pid)?).ok_or("the system says when we were started")?;
    let entries = [
        order(1, "ifup", "a"),
        order(2, "ifdown", "a"),
        order(3, "ifup", "b"),
        order(4, "connect", "b"),
        started(1, pid, stat.start_time),
        started(3, pid, stat.start_time + 1),
        // It is just being written.
        "{\"settled\":[2".to_owned(),
    ];
    journal(&place, &entries.concat())?;
    let text = said(&place)?;
    let expected = format!(
        "warning 1 script is under way: ifup of a (process {pid}) => start the service (`connect \
         --daemon', with the options that it had): it waits until they have ended; to end a \
         script that hangs, use its process number: `kill -TERM -- -{pid}' warning 2 scripts \
         wait: ifdown of a, connect of b => start the service (`connect --daemon', with the \
         options that it had): until then nothing runs them warning 1 script has ended, but \
         nobody knows how: ifup of b =>"
    );
    assert!(text.contains(&expected), "{text}");
    journal(&place, "nonsense\n")?;
    let text = said(&place)?;
    assert!(text.contains("cannot be read completely"), "{text}");
    Ok(())
}

#[test]
fn scripts_are_told_from_the_journal_while_no_helper_is_connected() -> Result {
    for connected in [true, false] {
        let (place, _helpers) = place()?;
        let order = "{\"ordered\":{\"run\":1,\"peer\":\"a\",\"kind\":\"ifup\"}}\n";
        journal(&place, order)?;
        let tripe = server(&place, "1.5.2", env!("CARGO_PKG_VERSION"))?;
        let served = core(&place, |status| status.scripts.helper.connected = connected)?;
        let text = said(&place)?;
        tripe.finish()?;
        served.asked()?;
        let told =
            "1 script waits: ifup of a => start the script helper: until then nothing runs them";
        assert_eq!(text.contains(told), !connected, "{text}");
    }
    Ok(())
}

#[test]
fn a_journal_of_scripts_that_may_not_be_read_is_told() -> Result {
    let (place, _helpers) = place()?;
    // Root may read everything, but not what is no directory.
    std::fs::write(place.path("scripts"), "")?;
    let text = said(&place)?;
    for words in [
        "cannot read the journal of scripts in",
        "so it is not known which scripts run or wait",
        "run `connect-cli doctor' as root, or as the user of the script helper",
    ] {
        assert!(text.contains(words), "{text}");
    }
    Ok(())
}

/// Has `systemctl show` and `journalctl` answer as systemd would, for a service in this place.
fn systemd(place: &Place, blocks: &[&str]) -> Result {
    let blocks: Vec<String> = blocks
        .iter()
        .map(|lines| lines.replace(' ', "\n"))
        .collect();
    let runtime = place.path("");
    let runtime = runtime.display().to_string();
    let text = blocks
        .join("\n\n")
        .replace("HERE", runtime.trim_end_matches('/'));
    let journal = "case \"$*\" in\n\
        *metrics.service' '_PID=1) echo 'metrics: Start request repeated too quickly.' ;;\n\
        *' '_PID=1) echo 'Failed with result.' ;;\n\
        *) echo 'error: no such option: --starup'; echo; echo 'For more, try --help.' ;;\n\
        esac";
    std::fs::create_dir_all(place.path("bin"))?;
    for (name, script) in [
        ("systemctl", format!("/bin/cat << 'END'\n{text}\nEND")),
        ("journalctl", journal.to_owned()),
    ] {
        let file = place.path("bin").join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n"))?;
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755))?;
    }
    Ok(())
}

/// What the doctor says of units.
fn told_of_units(place: &Place) -> Result<String> {
    let outcome = place.finish(
        place
            .command()
            .env("PATH", place.path("bin"))
            .args(["doctor", "--json"]),
    )?;
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout)?;
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let told = findings.iter().filter(|finding| finding["area"] == "units");
    let lines = told.map(|finding| {
        let words = ["severity", "text", "remedy"].map(|key| finding[key].as_str());
        words.map(|word| word.unwrap_or("-")).join(" | ")
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// The units when all is well.
const HEALTHY: [&str; 6] = [
    "Id=tripe-connect.target LoadState=loaded ActiveState=active UnitFileState=enabled",
    "Id=tripe-connect-metrics.service LoadState=loaded ActiveState=inactive UnitFileState=disabled",
    "Id=tripe-connect.service LoadState=loaded ActiveState=active Environment=TRIPE_CONNECT_DIR=HERE",
    "Id=tripe-connect-pinger.service LoadState=loaded ActiveState=active",
    "Id=tripe-connect-ifscripts.service LoadState=loaded ActiveState=active",
    "Id=tripe-connect-control.socket LoadState=loaded ActiveState=active",
];

#[test]
fn units_that_are_well_are_told_in_two_lines() -> Result {
    let place = Place::new()?;
    systemd(&place, &HEALTHY)?;
    assert_snapshot!(told_of_units(&place)?);
    Ok(())
}

#[test]
fn units_that_failed_or_were_given_up_are_told_with_their_last_line() -> Result {
    let place = Place::new()?;
    let mut units = HEALTHY;
    units[1] = "Id=tripe-connect-metrics.service LoadState=loaded ActiveState=failed \
                Result=exit-code ExecMainStatus=71 UnitFileState=enabled";
    units[2] = "Id=tripe-connect.service LoadState=loaded ActiveState=failed Result=exit-code \
                ExecMainStatus=2 Environment=TRIPE_CONNECT_DIR=HERE";
    units[3] = "Id=tripe-connect-pinger.service LoadState=loaded ActiveState=activating \
                SubState=auto-restart Result=signal ExecMainStatus=11 NRestarts=4";
    units[4] = "Id=tripe-connect-ifscripts.service LoadState=loaded ActiveState=inactive";
    units[5] = "Id=tripe-connect-control.socket LoadState=loaded ActiveState=failed \
                Result=service-start-limit-hit";
    systemd(&place, &units)?;
    assert_snapshot!(told_of_units(&place)?);
    units[5] = "Id=tripe-connect-control.socket LoadState=not-found ActiveState=inactive";
    systemd(&place, &units)?;
    let told = told_of_units(&place)?;
    let missing =
        "fault | the unit tripe-connect-control.socket does not exist | install the package";
    assert!(told.contains(missing), "{told}");
    Ok(())
}

#[test]
fn targets_that_are_not_active_or_not_enabled_are_told() -> Result {
    let place = Place::new()?;
    let mut units = HEALTHY;
    units[0] = "Id=tripe-connect.target LoadState=loaded ActiveState=active UnitFileState=disabled";
    units[1] = "Id=tripe-connect-metrics.service LoadState=loaded ActiveState=inactive \
                UnitFileState=enabled";
    systemd(&place, &units)?;
    let disabled = told_of_units(&place)?;
    units[0] =
        "Id=tripe-connect.target LoadState=loaded ActiveState=inactive UnitFileState=enabled";
    units[2] = "Id=tripe-connect.service LoadState=loaded ActiveState=inactive \
                FragmentPath=/etc/systemd/system/tripe-connect.service";
    units[3] = "Id=tripe-connect-pinger.service LoadState=loaded ActiveState=inactive \
                Environment=TRIPE_CONNECT_DIR=HERE";
    systemd(&place, &units)?;
    assert_snapshot!(format!("{disabled}\n\n{}", told_of_units(&place)?));
    Ok(())
}

#[test]
fn units_of_another_service_are_not_reported() -> Result {
    let place = Place::new()?;
    let mut units = HEALTHY;
    units[2] = "Id=tripe-connect.service LoadState=loaded ActiveState=failed \
                Environment=TRIPE_CONNECT_DIR=/run/tripe-connect";
    systemd(&place, &units)?;
    assert_eq!(told_of_units(&place)?, "");
    Ok(())
}
