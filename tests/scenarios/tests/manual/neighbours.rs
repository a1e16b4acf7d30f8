// SPDX-License-Identifier: GPL-3.0-or-later
//! connect-core(8), "Limits": what one user of control.sock and observe.sock leaves to others.

use std::io::{BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use rustix::process::Uid;
use scenarios::{Outcome, Service, Site, request};
use serde_json::{Value, json};

use crate::support::{caller, receive, send};

type Caller = BufReader<UnixStream>;

/// The first of the users that nobody is.
const STRANGER: u32 = 54_321;

/// How many places one user may have.
const EACH: usize = 32;

/// Does something as another user, on a thread of its own; only root can.
fn as_user<T: Send>(
    user: u32,
    act: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let user = Uid::from_raw(user);
    let as_user = || {
        rustix::thread::set_thread_res_uid(user, user, user)?;
        act()
    };
    let ended = std::thread::scope(|scope| scope.spawn(as_user).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("only root can show this: nothing was tested");
    }
    root
}

/// A service whose sockets everybody can reach.
fn open_service() -> anyhow::Result<(Site, Service)> {
    let site = Site::new()?.build()?;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(site.directory(), mode)?;
    let service = site.connect(&["--control-mode", "666"])?;
    Ok((site, service))
}

fn hello(caller: &mut Caller) -> Outcome {
    let hello = json!({"role": "operator", "protocol": 1, "version": "test"});
    send(caller, &hello.to_string())
}

/// So many connections that have places, since something is answered on each.
fn connected(service: &Service, socket: &str, count: usize) -> anyhow::Result<Vec<Caller>> {
    let connected = (0..count).map(|_| {
        let mut caller = caller(service, socket)?;
        hello(&mut caller)?;
        send(
            &mut caller,
            &json!({"id": 1, "request": {"recent": {}}}).to_string(),
        )?;
        let answer = receive(&mut caller)?;
        anyhow::ensure!(answer.contains("recent"), "{answer}");
        Ok(caller)
    });
    connected.collect()
}

/// What comes of one more connection: why there is no place for it.
fn refused(service: &Service, socket: &str) -> anyhow::Result<String> {
    let mut caller = caller(service, socket)?;
    let answer: Value = serde_json::from_str(&receive(&mut caller)?)?;
    anyhow::ensure!(receive(&mut caller)?.is_empty(), "it is not closed");
    let why = answer["reply"]["busy"]["why"].as_str();
    Ok(why.unwrap_or_default().to_owned())
}

#[test]
fn who_has_many_connections_is_told_that_there_is_no_place_for_more() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    let (_site, service) = open_service()?;
    for socket in ["control.sock", "observe.sock"] {
        let held = as_user(STRANGER, || {
            let held = connected(&service, socket, EACH)?;
            let why = refused(&service, socket)?;
            assert!(why.contains("has 32 connections"), "{why}");
            Ok(held)
        })?;
        as_user(STRANGER + 1, || connected(&service, socket, 1))?;
        let status = request(
            &service.control().with_file_name(socket),
            &json!({"status": {}}),
        )?;
        let counts = &status[0]["service"]["observers"];
        let expected = match socket {
            "observe.sock" => 1,
            _ => 0,
        };
        assert_eq!(counts["refused"], expected, "{counts}");
        drop(held);
    }
    service.wait_for_log("refused: this user has 32 connections")
}

#[test]
fn when_all_places_are_taken_users_with_few_connections_and_root_still_find_one() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    let (_site, service) = open_service()?;
    let mut held = Vec::new();
    for user in STRANGER..STRANGER + 6 {
        held.push(as_user(user, || connected(&service, "observe.sock", EACH))?);
    }
    // One of the others has its newest connection closed for it, and is told why.
    let mut late = as_user(STRANGER + 6, || connected(&service, "observe.sock", 1))?;
    let newest = held.iter_mut().filter_map(|of_one| of_one.last_mut());
    let mut told = 0;
    for caller in newest {
        caller.get_mut().set_nonblocking(true)?;
        told += usize::from(receive(caller).is_ok_and(|it| it.contains("another user")));
        caller.get_mut().set_nonblocking(false)?;
    }
    assert_eq!(told, 1);
    let root = connected(&service, "observe.sock", 10)?;
    let status = service.status()?;
    assert_eq!(status[0]["service"]["observers"]["connected"], 192 + 10);
    // And none of that has cost the late one its place.
    let late = &mut late[0];
    send(
        late,
        &json!({"id": 2, "request": {"recent": {}}}).to_string(),
    )?;
    assert!(receive(late)?.contains("recent"));
    drop(root);
    Ok(())
}

#[test]
fn who_leaves_without_the_answers_leaves_its_place() -> Outcome {
    let site = Site::new()?.build()?;
    let mut service = site.connect(&[])?;
    let asking = format!("{}\n", json!({"id": 1, "request": {"status": {}}}));
    for _ in 0..10 {
        let mut observer = caller(&service, "observe.sock")?;
        hello(&mut observer)?;
        // Core may end the connection while this writes.
        let _ = observer.get_mut().write_all(asking.repeat(50).as_bytes());
    }
    let control = service.control().to_owned();
    service.wait_for("the places to be free", || {
        let status = request(&control, &json!({"status": {}})).ok()?;
        (status[0]["service"]["observers"]["connected"] == 0).then_some(())
    })?;
    Ok(())
}

#[test]
fn a_connection_ends_with_its_sixteenth_malformed_message_and_the_log_has_one_line() -> Outcome {
    let site = Site::new()?.build()?;
    let mut service = site.connect(&[])?;
    let mut operator = caller(&service, "observe.sock")?;
    hello(&mut operator)?;
    let malformed = "{\u{1b}[2J\u{202e} 2026-01-01T00:00:00Z  INFO forged\n".repeat(16);
    operator.get_mut().write_all(malformed.as_bytes())?;
    for _ in 0..15 {
        let answer = receive(&mut operator)?;
        assert!(answer.contains("is malformed"), "{answer}");
    }
    let last = receive(&mut operator)?;
    assert!(last.contains("16 messages are malformed"), "{last}");
    assert_eq!(receive(&mut operator).unwrap_or_default(), "");
    // All of the log is written when it has ended, and not before.
    service.signal(rustix::process::Signal::TERM)?;
    service.wait()?;
    let log = service.log();
    let lines: Vec<&str> = log.lines().filter(|it| it.contains("malformed")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(!lines[0].contains(['\u{1b}', '\u{202e}']), "{log}");
    Ok(())
}

#[test]
fn a_message_that_does_not_end_is_refused_before_its_end() -> Outcome {
    let site = Site::new()?.build()?;
    let service = site.connect(&[])?;
    for socket in ["observe.sock", "control.sock"] {
        for (greets, length, limit) in [(false, 2_000, "1024 bytes"), (true, 70_000, "65536 bytes")]
        {
            let mut caller = caller(&service, socket)?;
            if greets {
                hello(&mut caller)?;
            }
            let endless = "x".repeat(length);
            caller.get_mut().write_all(endless.as_bytes())?;
            let answer = receive(&mut caller)?;
            assert!(answer.contains(limit), "{answer}");
            assert_eq!(receive(&mut caller).unwrap_or_default(), "");
        }
    }
    Ok(())
}

#[test]
fn a_user_with_very_many_unanswered_commands_may_give_no_more_and_others_may() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    let site = Site::new()?
        .peer("laptop", &[("peer", "PASSIVE")])
        .user("alice", "laptop")
        .build()?;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(site.directory(), mode)?;
    let service = site.connect(&["--control-mode", "666"])?;
    let waiting = json!({"submit": {"words": ["passive", "-timeout", "1h", "alice"]}});
    // The first reply to a command that waits is its challenge.
    let give = |caller: &mut Caller, id: u32| -> anyhow::Result<Value> {
        send(caller, &json!({"id": id, "request": waiting}).to_string())?;
        Ok(serde_json::from_str(&receive(caller)?)?)
    };
    let mut held = as_user(STRANGER, || {
        let mut held = connected(&service, "control.sock", 5)?;
        for caller in &mut held[..4] {
            for id in 0..64 {
                let challenge = give(caller, id)?;
                anyhow::ensure!(challenge["reply"]["line"].is_array(), "{challenge}");
            }
        }
        Ok(held)
    })?;
    let refused = give(&mut held[4], 7)?;
    assert_eq!(refused["id"], 7);
    let why = refused["reply"]["error"].as_str().unwrap_or_default();
    assert!(
        why.starts_with("this user has too many unanswered commands (256,"),
        "{refused}"
    );
    let mut other = as_user(STRANGER + 1, || connected(&service, "control.sock", 1))?;
    let challenge = give(&mut other[0], 1)?;
    assert!(challenge["reply"]["line"].is_array(), "{challenge}");
    // A client that closes its connection cancels what it waits for.
    held.remove(0);
    let mut last = held.remove(3);
    service_takes_again(&mut last, &give)
}

/// Asks until a command is taken again.
fn service_takes_again(
    caller: &mut Caller,
    give: &impl Fn(&mut Caller, u32) -> anyhow::Result<Value>,
) -> Outcome {
    loop {
        if give(caller, 8)?["reply"]["line"].is_array() {
            return Ok(());
        }
    }
}

#[test]
fn requests_for_the_state_are_answered_one_after_the_other() -> Outcome {
    let site = Site::new()?.build()?;
    let service = site.connect(&[])?;
    let mut observer = caller(&service, "observe.sock")?;
    hello(&mut observer)?;
    let count = 1_000;
    let mut writing = observer.get_ref().try_clone()?;
    let writer = std::thread::spawn(move || {
        (1..=count).try_for_each(|id| {
            let request = json!({"id": id, "request": {"status": {}}});
            writeln!(writing, "{request}")
        })
    });
    for id in 1..=count {
        for part in ["service", "peers", "done"] {
            let answer: Value = serde_json::from_str(&receive(&mut observer)?)?;
            assert_eq!(answer["id"], id, "{answer}");
            assert!(answer["reply"][part].is_object(), "{answer}");
        }
    }
    writer.join().unwrap()?;
    Ok(())
}

#[test]
fn the_helpers_socket_is_given_to_the_group_named() -> Outcome {
    use std::os::unix::fs::MetadataExt as _;
    let site = Site::new()?.build()?;
    // The group that this process may give it to in any case: its own.
    let own = rustix::process::getegid().as_raw();
    let service = site.connect(&["--helpers-group", &own.to_string()])?;
    let helpers = service.control().with_file_name("helpers.sock");
    assert_eq!(std::fs::metadata(helpers)?.gid(), own);
    for (option, what) in [("--helpers-group", "group"), ("--observer-user", "user")] {
        let mut other = Service::start(&site, &[option, "nobody-of-this-name"])?;
        assert_eq!(other.wait()?.code(), Some(71));
        let expected = format!("there is no {what} nobody-of-this-name; see {option}");
        let log = other.log();
        assert!(log.contains(&expected), "{log}");
    }
    Ok(())
}

#[test]
fn a_user_who_is_named_has_places_without_a_limit_of_its_own() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    let site = Site::new()?.build()?;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(site.directory(), mode)?;
    let user = STRANGER.to_string();
    let service = site.connect(&["--observer-user", &user])?;
    as_user(STRANGER, || connected(&service, "observe.sock", EACH + 8))?;
    Ok(())
}
