// SPDX-License-Identifier: GPL-3.0-or-later
//! What is told in the log, how often, and what a log does that nobody reads.

use std::io::{PipeReader, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getrlimit, kill_process, kill_process_group, prlimit,
};
use scenarios::{Expect as _, Outcome, Service, Site};

use crate::support::{ANSWERING, NOBODY, barrier, pings, said};

/// The smallest size of a pipe, so that it is full soon.
const SMALL: usize = 4096;

/// A `connect` with both streams a pipe that is never read. Dropping it ends it.
struct Unread {
    child: Child,
    reader: PipeReader,
}

impl Drop for Unread {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unread(site: &Site) -> anyhow::Result<Unread> {
    let (reader, writer) = std::io::pipe()?;
    rustix::pipe::fcntl_setpipe_size(&writer, SMALL)?;
    let child = Service::command(site)?
        .args(["--debug", "--log-level", "debug"])
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    Ok(Unread { child, reader })
}

#[test]
fn a_log_and_a_trace_that_are_not_read_stop_nothing() -> Outcome {
    let site = Site::new()?
        .peer("p", &[("peer", NOBODY)])
        .with_answering_peers()
        .build()?;
    let mut events = site.lab.follow();
    let mut service = unread(&site)?;
    events.broadcast("NOTE SVCCLAIM connect")?;
    // Each is some hundred bytes of trace, and a line of the log.
    for _ in 0..200 {
        assert_eq!(site.submit("list-active")?, ["p"]);
    }
    // There is no room for another line.
    let held = rustix::io::ioctl_fionread(&service.reader)?;
    assert!(held > SMALL as u64 - 200, "{held}");
    let pid = Pid::from_raw(i32::try_from(service.child.id())?).context("no process")?;
    kill_process(pid, Signal::TERM)?;
    assert_eq!(service.child.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn lines_that_a_log_has_no_room_for_are_counted_in_the_status() -> Outcome {
    let settings = [("peer", ANSWERING), ("watch", "t"), ("every", "1s")];
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &settings)
        .build()?;
    let mut events = site.lab.follow();
    let child = Service::command(&site)?
        .stdin(Stdio::null())
        .stderr(std::fs::File::options().write(true).open("/dev/full")?)
        .spawn()?;
    let (reader, _) = std::io::pipe()?;
    let _service = Unread { child, reader };
    events.broadcast("NOTE SVCCLAIM connect")?;
    site.submit("active p")?;
    let control = site.path("tripesock.connect/control.sock");
    loop {
        // Each ping is a turn of the pinger, in which it may tell what it has lost.
        pings(&mut events, "p", 1)?;
        let replies = scenarios::request(&control, &serde_json::json!({ "status": {} }))?;
        let service = replies.iter().find_map(|reply| reply.get("service"));
        let service = service.context("no service")?;
        let lost = |of: &serde_json::Value| of["log-lines-lost"].as_u64() > Some(0);
        if lost(&service["counters"]) && lost(&service["pinger"]) {
            return Ok(());
        }
    }
}

#[test]
fn ctrl_c_ends_the_helpers_without_a_word_of_restarting_them() -> Outcome {
    let site = Site::new()?.build()?;
    let mut command = Service::command(&site)?;
    command.process_group(0);
    let mut service = Service::run(&site, command)?;
    service.wait_until_settled(&site)?;
    let group = Pid::from_raw(i32::try_from(service.pid())?).context("no process")?;
    kill_process_group(group, Signal::INT)?;
    assert_eq!(service.wait()?.code(), Some(0), "{}", service.log());
    let log = service.log();
    for word in ["restarting", "retrying", "is gone"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
    Ok(())
}

#[test]
fn a_daemon_closes_what_its_caller_had_open() -> Outcome {
    let site = Site::new()?.build()?;
    let ours = Service::command(&site)?;
    // A shell that leaves another end of the pipe open, under a number that nobody expects.
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exec 9>&1; exec \"$0\" \"$@\""])
        .arg(ours.get_program())
        .args(ours.get_args())
        .args(["--daemon", "--exit-on-disconnect"])
        .stdin(Stdio::null());
    for (name, value) in ours.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    // Returns at the end of the pipe, which comes when nobody has it open any more.
    let output = command.output()?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    site.submit("quit")?;
    Ok(())
}

#[test]
fn a_database_that_there_was_no_descriptor_for_is_read_when_there_is_one() -> Outcome {
    let site = Site::new()?.peer("p", &[("peer", NOBODY)]).build()?;
    let service = site.connect(&[])?;
    let pid = Pid::from_raw(i32::try_from(service.pid())?);
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = |current| prlimit(pid, Resource::Nofile, Rlimit { current, maximum });
    let mut events = site.lab.follow();
    let before = limit(Some(3))?;
    site.write_database(&[peerdb::Record::new("q", [("peer", NOBODY)])])?;
    events.line("WARN USER connect peerdb-error ")?;
    service.wait_for_log("raise the limit on open files")?;
    limit(before.current)?;
    events.exactly("NOTE USER connect peerdb-update")?;
    service.wait_for_log("the database can be read again")?;
    assert_eq!(site.submit("list-active")?, ["q"]);
    // However often it was tried.
    assert_eq!(said(&site, "WARN USER connect peerdb-error").len(), 1);
    Ok(())
}

#[test]
fn a_client_that_disappears_is_logged_in_one_line() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("peer", ANSWERING)])
        .build()?;
    let mut service = site.connect(&[])?;
    let mut client = UnixStream::connect(service.control())?;
    let hello = serde_json::json!({ "role": "operator", "protocol": 1, "version": "test" });
    writeln!(client, "{hello}")?;
    let mut requests = String::new();
    for id in 0..200 {
        let request = serde_json::json!({ "id": id, "request": { "status": {} } });
        requests.push_str(&format!("{request}\n"));
    }
    client.write_all(requests.as_bytes())?;
    drop(client);
    barrier(&site)?;
    site.submit("quit")?;
    service.wait()?;
    let log = service.log();
    let lines = log.lines().filter(|line| line.contains("operator"));
    assert!(lines.count() <= 1, "{log}");
    Ok(())
}

#[test]
fn a_strangers_words_are_cut_and_escaped_in_the_log() -> Outcome {
    let forged = "2026-11-26T09:00:00Z ERROR forged \u{1b}[2J\u{202e}";
    let words = format!("x\n{forged}{}", "A".repeat(700));
    let hello = |protocol, version: &str| serde_json::json!({ "role": "operator", "protocol": protocol, "version": version });
    let ours = hello(1, "test");
    let request = serde_json::json!({ "id": 1, "request": { words.as_str(): {} } });
    for (sent, told) in [
        (hello(99, &words).to_string(), "speaks protocol 99"),
        (format!("{ours}\n{forged}{words}"), "is malformed"),
        (format!("{ours}\n{request}"), "is malformed"),
    ] {
        // A service for each, since what one user does wrong may be told once a minute.
        let site = Site::new()?.build()?;
        let service = site.connect(&[])?;
        let mut client = UnixStream::connect(service.control())?;
        writeln!(client, "{sent}")?;
        service.wait_for_log(told)?;
        let log = service.log();
        let odd = |c: char| c != '\n' && !connect_ipc::foreign::is_plain(c);
        assert!(!log.contains(odd), "{log:?}");
        for line in log.lines() {
            assert!(
                !line.starts_with("2026-11-26T09") && line.len() < 600,
                "{line}"
            );
        }
        assert!(!log.contains(&"A".repeat(200)), "{log}");
    }
    Ok(())
}
