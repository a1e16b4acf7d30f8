// SPDX-License-Identifier: GPL-3.0-or-later
//! Services that are not there, not for us, or not what they should be.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use connect_ipc::control::{Answer, Reply, Request, ServiceStatus};
use connect_ipc::hello::{Hello, PROTOCOL, Role};
use insta::assert_snapshot;

use crate::support::{Place, Result, Script, Step, service};

#[test]
fn no_service_has_its_own_sentence_and_code() -> Result {
    let place = Place::new()?;
    let missing = place.run("status")?;
    assert_eq!(missing.code, Some(69));
    // As a service that was killed leaves it.
    drop(UnixListener::bind(place.control())?);
    let dead = place.run("status")?;
    assert_eq!(dead.code, Some(69));
    let elsewhere = place.run("adopted --control nowhere/control.sock")?;
    assert_snapshot!(format!("{missing}{dead}{elsewhere}"));
    Ok(())
}

/// A place with sockets that may not be used.
fn forbidden() -> Result<(Place, [UnixListener; 2])> {
    let place = Place::new()?;
    let names = ["control.sock", "tripesock"];
    let [control, server] = names.map(|name| UnixListener::bind(place.path(name)));
    for name in names {
        std::fs::set_permissions(place.path(name), PermissionsExt::from_mode(0o000))?;
    }
    Ok((place, [control?, server?]))
}

#[test]
fn a_missing_permission_has_its_own_sentence_and_code() -> Result {
    let (place, _listeners) = forbidden()?;
    let service = place.run_as_nobody("status")?;
    assert_eq!(service.code, Some(77), "{service}");
    let said = "permission to use DIR/control.sock is denied: only its owner";
    assert!(service.stderr.contains(said), "{service}");
    let server = place.run_as_nobody("admin LIST")?;
    assert_eq!(server.code, Some(77), "{server}");
    assert_snapshot!(server);
    Ok(())
}

#[test]
fn who_may_only_look_looks_through_the_observers_socket() -> Result {
    let (place, _listeners) = forbidden()?;
    let replies = [Reply::Service(Box::new(service()?)), Reply::Done {}];
    let core = place.core_on("observe.sock", 0o666, Script::replies(replies))?;
    let status = place.run_as_nobody("status")?;
    assert_eq!(status.code, Some(0), "{status}");
    assert_eq!(core.asked()?, Some(Request::Status {}));
    // Commands do not even try.
    assert_eq!(place.run_as_nobody("adopted")?.code, Some(77));
    Ok(())
}

/// What a user is told who may use a socket of this name only as a member of its group, `group`.
fn told_of_a_group(socket: &str, group: u32, words: &str) -> Result<Option<String>> {
    let (place, _listeners) = forbidden()?;
    // Whoever else runs the tests may use it.
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let path = place.path(socket);
    let _socket = match socket {
        "observe.sock" => Some(UnixListener::bind(&path)?),
        _ => None,
    };
    std::os::unix::fs::chown(&path, None, Some(group))?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o660))?;
    let outcome = place.run_as_nobody(words)?;
    assert_eq!(outcome.code, Some(77), "{outcome}");
    let (_, told) = outcome
        .stderr
        .split_once("is denied: ")
        .ok_or("no reason")?;
    Ok(Some(told.trim_end().to_owned()))
}

/// The group `daemon`, of which `nobody` is no member.
const GROUP_OF_OTHERS: u32 = 1;

#[test]
fn the_group_of_a_socket_is_named_with_the_command_that_adds_a_user_to_it() -> Result {
    let told = told_of_a_group("observe.sock", GROUP_OF_OTHERS, "status")?;
    let expected = "its owner root and the group daemon may use it; `usermod -aG daemon nobody', as \
                    root, adds the user nobody to the group, from the next login on";
    assert!(told.is_none_or(|told| told == expected));
    Ok(())
}

#[test]
fn nobody_is_told_to_join_the_group_of_root() -> Result {
    let told = told_of_a_group("control.sock", 0, "kick p")?;
    let expected = "its owner root and the group root may use it, which is not for operators; run \
                    this as root, or start the service with --control-group GROUP and add those to \
                    the group who may command";
    assert!(told.is_none_or(|told| told == expected));
    let told = told_of_a_group("observe.sock", 0, "status")?;
    let expected = "its owner root and the group root may use it, which is not for operators; run \
                    this as root, or as a user who may use control.sock, or start the service with \
                    --observe-mode 666, so that everybody may look";
    assert!(told.is_none_or(|told| told == expected));
    Ok(())
}

#[test]
fn a_refused_client_is_told_why() -> Result {
    let place = Place::new()?;
    let listener = UnixListener::bind(place.control())?;
    // As core does without a place: it says so and closes, whatever it is sent.
    let core = std::thread::spawn(move || -> Result {
        let (mut stream, _) = listener.accept()?;
        let hello = serde_json::to_string(&Hello::new(Role::Core))?;
        let why = "32 connections of this user are open; close some".to_owned();
        let reply = Reply::Busy { why };
        let busy = serde_json::to_string(&Answer { id: 0, reply })?;
        Ok(write!(stream, "{hello}\n{busy}\n")?)
    });
    let outcome = place.run("status")?;
    core.join().map_err(|_| "the core panicked")??;
    assert_eq!(
        outcome.to_string(),
        "exit code 69\n--- standard error\nconnect-cli: the service refused this connection: \
         32 connections of this user are open; close some\n"
    );
    Ok(())
}

/// How `status` ends with a core that does this.
fn with(script: Script) -> Result<String> {
    with_limit(script, "0")
}

/// How `status` ends with a core that does this and with so much patience.
fn with_limit(script: Script, limit: &str) -> Result<String> {
    let place = Place::new()?;
    let core = place.core(script)?;
    let outcome = place.run(&format!("status --timeout {limit}"))?;
    // A core that is left before it was asked anything has nothing to tell.
    let _ = core.asked();
    Ok(outcome.to_string())
}

#[test]
fn another_version_has_its_own_sentence_and_code() -> Result {
    let mut all = String::new();
    all += &with(Script {
        hello: Hello {
            protocol: PROTOCOL + 1,
            version: "3.0.0".into(),
            ..Hello::new(Role::Core)
        },
        steps: Vec::new(),
    })?;
    all += &with(Script {
        hello: Hello {
            version: "2.0.0".into(),
            ..Hello::new(Role::Pinger)
        },
        steps: Vec::new(),
    })?;
    let newer = ServiceStatus {
        schema: 2,
        ..service()?
    };
    all += &with(Script::replies([Reply::Service(Box::new(newer))]))?;
    let refusal = Reply::Error("`x' is malformed".into());
    all += &with(Script::steps([Step::Anonymous(refusal)]))?;
    all += &with(Script::replies([Reply::Line(vec!["x".into()])]))?;
    assert_eq!(all.matches("exit code 76").count(), 5, "{all}");
    assert_snapshot!(all);
    Ok(())
}

#[test]
fn services_that_stop_answering_or_disconnect_are_given_up() -> Result {
    let mut all = String::new();
    all += &with_limit(Script::steps([]), "1s")?;
    all += &with(Script::steps([Step::Close]))?;
    let half = Reply::Service(Box::new(service()?));
    all += &with(Script::steps([Step::Reply(half), Step::Close]))?;
    assert_eq!(all.matches("exit code 69").count(), 3, "{all}");
    assert_snapshot!(all);
    Ok(())
}

/// How the program ends when the one who answers says only this, and hangs up.
fn stranger(says: &'static [u8]) -> Result<String> {
    let place = Place::new()?;
    let listener = UnixListener::bind(place.control())?;
    let thread = std::thread::spawn(move || -> Result {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(says)?;
        Ok(())
    });
    let outcome = place.run("status")?;
    thread.join().map_err(|_| "the stranger panicked")??;
    Ok(outcome.to_string())
}

#[test]
fn strangers_are_recognised() -> Result {
    let mut all = String::new();
    all += &stranger(b"220 mail.example.com ESMTP\r\n")?;
    all += &stranger(b"{\"role\":\"future\",\"protocol\":1,\"version\":\"9\"}\n")?;
    all += &stranger(b"")?;
    assert_snapshot!(all);
    Ok(())
}

#[test]
fn a_socket_path_that_is_too_long_is_told_with_its_remedy() -> Result {
    let place = Place::new()?;
    let long = format!("/tmp/{}", "x".repeat(120));
    let service = place.run(&format!("status --control {long}"))?;
    let server = place.run(&format!("admin -a {long} VERSION"))?;
    for (outcome, remedy) in [(service, "--runtime-dir"), (server, "with -a")] {
        assert_eq!(outcome.code, Some(71), "{outcome}");
        assert!(
            outcome
                .stderr
                .contains("has 125 bytes, but 107 are the most"),
            "{outcome}"
        );
        assert!(outcome.stderr.contains(remedy), "{outcome}");
    }
    Ok(())
}
