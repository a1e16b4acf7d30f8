// SPDX-License-Identifier: GPL-3.0-or-later
//! What goes wrong round the service, and that it goes on.

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use scenarios::{Expect as _, Outcome, Service, Site, request};
use serde_json::json;
use tripe_lab::What;
use tripe_lab::faults::WriteFaults;
use tripe_lab::server::Target;

use crate::support::{
    ANSWERING, assert_one_ping_at_a_time, barrier, caller, commands, pings, receive, said, send,
    service_client,
};

/// A site with a watched peer that is checked every second.
fn site() -> anyhow::Result<(Site, Service)> {
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "p",
            &[
                ("peer", ANSWERING),
                ("watch", "t"),
                ("every", "1s"),
                ("timeout", "1s"),
                ("knock", "here"),
                ("ifup", "/bin/echo up"),
            ],
        )
        .peer("passive", &[("peer", "PASSIVE")])
        .user("u", "passive")
        .build()?;
    let service = site.connect(&[])?;
    site.submit("active p")?;
    Ok((site, service))
}

/// Shows that the service works: it answers, and it pings.
fn assert_works(site: &Site) -> Outcome {
    let mut events = site.lab.follow();
    assert_eq!(site.submit("adopted")?, ["p"]);
    pings(&mut events, "p", 2)?;
    assert_one_ping_at_a_time(site);
    Ok(())
}

#[test]
fn a_connection_cut_in_the_middle_of_a_line_is_made_again() -> Outcome {
    let (site, _service) = site()?;
    let client = service_client(&site)?;
    site.lab.follow_from_start().stdout("ifup p")?;
    let mut events = site.lab.follow();
    site.lab.cut_in_next_line(Target::One(client))?;
    // The line that is cut.
    site.lab
        .fake_broadcast("NOTE USER somebody says something")?;
    events.broadcast("NOTE SVCCLAIM connect ")?;
    events.command("LIST")?;
    assert_works(&site)?;
    // The peer was there all the time and is not configured twice.
    assert_eq!(said(&site, "NOTE USER connect ifup p").len(), 1);
    Ok(())
}

#[test]
fn a_server_that_closes_every_connection_is_reported_once_until_it_serves() -> Outcome {
    let site = Site::new()?.build()?;
    // In the place of the lab: it says something before it closes, and so looks alive.
    let path = site.path("closing.sock");
    let listener = UnixListener::bind(&path)?;
    let mut command = Service::bare_command_of("connect-core")?;
    command.args(["--server-wait", "1h", "-p", "peers.cdb"]);
    command.arg("-a").arg(&path).arg("-d").arg(site.directory());
    let mut service = Service::run(&site, command)?;
    for _ in 0..4 {
        let (mut connection, _) = listener.accept()?;
        connection.write_all(b"NOTE USER nonsense\n")?;
    }
    // The server is well from now on.
    std::fs::remove_file(&path)?;
    drop(listener);
    std::os::unix::fs::symlink(site.lab.socket_path(), &path)?;
    service.wait_for_log("connected to the server again")?;
    let log = service.log();
    let times = |text: &str| log.matches(text).count();
    assert_eq!(times("connected to the server"), 2, "{log}");
    // Whether bytes of core were left unread decides which of the two is the reason.
    let reasons = ["it closed the connection", "reset by peer", "Broken pipe"].map(times);
    assert!(reasons.iter().all(|count| *count <= 1), "{log}");
    assert!(reasons.iter().sum::<usize>() >= 1, "{log}");
    service.signal(Signal::TERM)?;
    service.wait()?;
    Ok(())
}

#[test]
fn a_ping_under_way_when_the_connection_is_lost_is_void() -> Outcome {
    let (site, _service) = site()?;
    let client = service_client(&site)?;
    let mut events = site.lab.follow();
    site.lab.silence_peer("p", true)?;
    pings(&mut events, "p", 1)?;
    site.lab.cut(Target::One(client))?;
    site.lab.silence_peer("p", false)?;
    events.command("SVCCLAIM connect")?;
    assert_works(&site)
}

#[test]
fn a_command_that_waits_when_the_connection_is_lost_is_over_and_others_are_served() -> Outcome {
    let (site, _service) = site()?;
    let client = service_client(&site)?;
    let mut waiting = site.admin()?;
    waiting.send("SVCSUBMIT connect passive u")?;
    waiting.receive_until("INFO ")?;
    let mut events = site.lab.follow();
    site.lab.cut(Target::One(client))?;
    assert_eq!(waiting.receive()?, "FAIL provider-failed");
    events.command("SVCCLAIM connect")?;
    events.sent("OK")?;
    assert_works(&site)
}

#[test]
fn garbage_and_lines_that_are_too_long_are_passed_over() -> Outcome {
    let (site, service) = site()?;
    let client = service_client(&site)?;
    let target = Target::One(client);
    for line in [
        "",
        " ",
        "GARBAGE",
        "FAIL",
        "NOTE",
        "NOTE ADD",
        "NOTE ADD x",
        "NOTE KNOCK",
        "WARN",
        "NOTE GREET",
        "NOTE KILL",
        "SVCJOB",
        "SVCJOB J1",
        "SVCCANCEL",
        "SVCCANCEL nobody",
        "BGOK",
        "BGOK c999.999",
        "BGINFO c0.0 ping-ok 1.0",
        "BGFAIL nonsense x",
        "BGDETACH c7.7",
        "INFO out of nowhere",
        "OK",
        "SVCCLAIM",
        "SVCCLAIM other 9.9",
        "TRACE x \"unclosed",
        "NOTE USER \"unclosed",
    ] {
        site.lab.inject_line(target, line)?;
    }
    site.lab.inject_bytes(target, b"\xff\xfe\x00 \x80\n\r\n")?;
    let number = client.to_string();
    for what in ["GARBAGE", "LONG"] {
        site.lab.control(&format!("{what} {number} 300000"))?;
    }
    barrier(&site)?;
    service.wait_for_log("ignoring a line of")?;
    let log = service.log();
    assert!(
        !log.contains("cannot reach"),
        "the connection is the same still: {log}"
    );
    assert_works(&site)
}

#[test]
fn a_server_that_writes_slowly_and_in_pieces_is_understood() -> Outcome {
    let (site, _service) = site()?;
    let commands = site.submit("help")?;
    site.lab.set_write_faults(WriteFaults {
        chunk: 3,
        pause: Duration::from_micros(200),
    })?;
    assert_works(&site)?;
    assert_eq!(site.submit("help")?, commands);
    assert!(said(&site, "WARN USER").is_empty());
    Ok(())
}

#[test]
fn core_waits_for_a_server_that_is_suspended_for_a_while() -> Outcome {
    let (site, service) = site()?;
    let client = service_client(&site)?;
    site.lab.stall(Target::One(client), true)?;
    // Operators are answered meanwhile.
    for _ in 0..20 {
        service.status()?;
    }
    site.lab.stall(Target::One(client), false)?;
    assert_works(&site)?;
    assert_eq!(commands(&site, "SVCCLAIM connect").len(), 1);
    Ok(())
}

#[test]
fn datagrams_lost_doubled_and_disordered_upset_only_the_peer() -> Outcome {
    let far = Site::new()?.build()?;
    let site = Site::new()?
        .peer(
            "p",
            &[
                ("peer", &far.address()),
                ("watch", "t"),
                ("every", "1s"),
                ("timeout", "1s"),
                ("retries", "50"),
                ("knock", "here"),
            ],
        )
        .build()?;
    let _service = site.connect(&[])?;
    far.admin_ok(&format!("ADD here {}", site.address()))?;
    site.submit("active p")?;
    for lab in [&site.lab, &far.lab] {
        lab.control("NET loss=30 duplicate=30 reorder=30 jitter=5")?;
    }
    let mut events = site.lab.follow();
    events.line("WARN USER connect ping-timeout p attempt 1 of 50")?;
    events.exactly("WARN USER connect ping-ok p")?;
    assert_works(&site)
}

#[test]
fn a_reply_that_comes_after_its_timeout_is_not_credited() -> Outcome {
    let far = Site::new()?.build()?;
    let site = Site::new()?
        .peer(
            "p",
            &[
                ("peer", &far.address()),
                ("watch", "t"),
                ("every", "1s"),
                ("timeout", "1s"),
                ("retries", "100"),
            ],
        )
        .build()?;
    let _service = site.connect(&[])?;
    far.admin_ok(&format!("ADD here {}", site.address()))?;
    // A second of the server's time is a quarter of one here, so every answer is late.
    far.lab.control("NET delay=600")?;
    site.submit("active p")?;
    let mut events = site.lab.follow();
    events.exactly("WARN USER connect ping-timeout p attempt 1 of 100")?;
    events.line("WARN PEER p unexpected-transport-ping ")?;
    assert_eq!(site.info("p", "n-ping")?, "0");
    far.lab.control("NET delay=0")?;
    events.exactly("WARN USER connect ping-ok p")?;
    assert_one_ping_at_a_time(&site);
    Ok(())
}

/// What makes no sense on any of our sockets.
fn nonsense() -> Vec<String> {
    vec![
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "{\"future\":{}}".to_owned(),
        "\u{0}\u{7f}".to_owned(),
        "[".repeat(10_000),
    ]
}

/// A message that is too long for any of our sockets.
fn oversize() -> String {
    format!("{{\"x\":\"{}\"}}", "y".repeat(2 << 20))
}

#[test]
fn nonsense_and_oversize_frames_on_the_control_socket_are_answered_with_errors() -> Outcome {
    let (site, service) = site()?;
    let mut operator = caller(&service, "control.sock")?;
    let hello = json!({"role": "operator", "protocol": 1, "version": "test"});
    send(&mut operator, &hello.to_string())?;
    for line in nonsense() {
        send(&mut operator, &line)?;
        let answer = receive(&mut operator)?;
        assert!(answer.contains("error"), "{answer}");
    }
    // The same connection is served on.
    let wish = json!({"id": 5, "request": {"submit": {"words": ["adopted"]}}});
    send(&mut operator, &wish.to_string())?;
    let answer = receive(&mut operator)?;
    assert!(
        answer.contains("\"id\":5") && answer.contains("\"p\""),
        "{answer}"
    );
    assert!(receive(&mut operator)?.contains("done"));
    // Core does not wait for the end of what is too long, so the rest may find nobody.
    let _ = send(&mut operator, &oversize());
    let answer = receive(&mut operator)?;
    assert!(answer.contains("is longer than"), "{answer}");
    let rest = receive(&mut operator).unwrap_or_default();
    assert_eq!(rest, "", "the connection is closed");
    assert_works(&site)
}

#[test]
fn strangers_on_the_helpers_socket_are_refused_and_told_why() -> Outcome {
    let (site, service) = site()?;
    for hello in [
        json!({"role": "operator", "protocol": 1, "version": "test"}).to_string(),
        json!({"role": "pinger", "protocol": 999, "version": "test"}).to_string(),
        "nonsense".to_owned(),
    ] {
        let mut stranger = caller(&service, "helpers.sock")?;
        send(&mut stranger, &hello)?;
        let answer = receive(&mut stranger)?;
        assert!(answer.contains("error"), "{answer}");
        assert_eq!(
            receive(&mut stranger)?,
            "",
            "and then the connection is closed"
        );
    }
    assert_works(&site)
}

/// A process that is suspended until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(pid: i32) -> anyhow::Result<Self> {
        let pid = Pid::from_raw(pid).context("no process")?;
        kill_process(pid, Signal::STOP)?;
        Ok(Stopped(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may be gone.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

#[test]
fn nonsense_of_a_helper_is_answered_with_errors_and_a_second_helper_takes_its_place() -> Outcome {
    let (site, mut service) = site()?;
    // The true pinger would come back at once and take its place again.
    let stopped = Stopped::new(service.helper_pid("pinger")?)?;
    let mut helper = caller(&service, "helpers.sock")?;
    let hello = json!({"role": "pinger", "protocol": 1, "version": "test"});
    send(&mut helper, &hello.to_string())?;
    for line in nonsense().into_iter().chain([oversize()]) {
        send(&mut helper, &line)?;
        let answer = receive(&mut helper)?;
        assert!(answer.contains("error"), "{answer}");
    }
    drop(stopped);
    let pid = i64::from(std::process::id());
    let control = service.control().to_owned();
    service.wait_for("the true pinger", || {
        let status = request(&control, &json!({"status": {}})).ok()?;
        let now = status.first()?["service"]["pinger"]["pid"].as_i64()?;
        (now != pid).then_some(())
    })?;
    assert_works(&site)
}

#[test]
fn an_operator_that_stops_reading_is_read_no_further_and_others_are_served() -> Outcome {
    let (site, service) = site()?;
    let mut deaf = caller(&service, "control.sock")?;
    let hello = json!({"role": "operator", "protocol": 1, "version": "test"});
    send(&mut deaf, &hello.to_string())?;
    let wish = format!("{}\n", json!({"id": 1, "request": {"status": {}}}));
    let many = wish.repeat(1_000);
    // It writes and never reads, until nothing more is taken from it.
    let stream = deaf.get_mut();
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    let mut ended = false;
    for _ in 0..1_000 {
        if stream.write_all(many.as_bytes()).is_err() {
            ended = true;
            break;
        }
    }
    assert!(
        ended,
        "a million requests were taken from a client that does not read"
    );
    service.status()?;
    assert_works(&site)
}

#[test]
fn an_operator_that_leaves_in_the_middle_of_a_line_is_forgotten() -> Outcome {
    let (site, service) = site()?;
    for text in [
        "",
        "{\"role\":",
        "{\"role\":\"operator\",\"protocol\":1,\"version\":\"x\"}\n{\"id\"",
    ] {
        let mut operator = caller(&service, "control.sock")?;
        operator.get_mut().write_all(text.as_bytes())?;
        drop(operator);
    }
    let mut waiting = caller(&service, "control.sock")?;
    let hello = json!({"role": "operator", "protocol": 1, "version": "test"});
    send(&mut waiting, &hello.to_string())?;
    let wish = json!({"id": 1, "request": {"submit": {"words": ["passive", "u"]}}});
    send(&mut waiting, &wish.to_string())?;
    let line = receive(&mut waiting)?;
    assert!(line.contains("line"), "{line}");
    drop(waiting);
    assert_works(&site)
}

#[test]
fn a_hung_up_helper_is_replaced() -> Outcome {
    let (site, mut service) = site()?;
    for helper in ["pinger", "scripts"] {
        service.kill_helper(helper)?;
    }
    let mut events = site.lab.follow();
    site.submit("active p")?;
    events.stdout("ifup p")?;
    assert_works(&site)
}

#[test]
fn a_crash_of_core_leaves_nothing_done_twice() -> Outcome {
    let (site, mut service) = site()?;
    site.lab.follow_from_start().stdout("ifup p")?;
    service.signal(Signal::KILL)?;
    service.wait()?;
    let _next = site.connect(&[])?;
    assert_works(&site)?;
    assert_eq!(said(&site, "NOTE USER connect ifup p").len(), 1);
    Ok(())
}

#[test]
fn a_server_that_has_ended_in_good_order_is_started_up_again() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("peer", ANSWERING), ("watch", "t")])
        .auto("p")
        .build()?;
    let _service = site.connect(&["--startup"])?;
    site.lab.follow_from_start().broadcast("NOTE ADD p")?;
    // It announces the end of each peer before, so that no peer is missing afterwards.
    site.lab.shutdown();
    let mut events = site.lab.follow();
    site.lab.start()?;
    events.broadcast("NOTE ADD p")?;
    Ok(())
}

#[test]
fn a_command_given_while_the_server_is_away_disturbs_nothing_when_it_is_back() -> Outcome {
    let (site, service) = site()?;
    site.lab.crash();
    service.wait_for_log("cannot reach the server")?;
    for command in ["kick p", "active p", "passive u", "sabotage p", "info p"] {
        let words: Vec<&str> = command.split(' ').collect();
        // Refused or not, it has been looked at when it is answered.
        request(service.control(), &json!({"submit": {"words": words}}))?;
    }
    let mut events = site.lab.follow();
    site.lab.start()?;
    events.next("the claim", |what: &What| {
        what.is_broadcast("NOTE SVCCLAIM connect")
    })?;
    site.submit("active p")?;
    assert_works(&site)
}

#[test]
fn a_server_that_dies_in_the_middle_of_everything_is_served_again() -> Outcome {
    let (site, _service) = site()?;
    for _ in 0..3 {
        let mut waiting = site.admin()?;
        waiting.send("SVCSUBMIT connect passive u")?;
        waiting.receive_until("INFO ")?;
        let mut events = site.lab.follow();
        site.lab.restart()?;
        events.next("the claim", |what: &What| {
            what.is_broadcast("NOTE SVCCLAIM connect")
        })?;
        site.submit("active p")?;
    }
    assert_works(&site)
}
