// SPDX-License-Identifier: GPL-3.0-or-later
//! `metrics`, and the alert rules and the dashboard that are made of them.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use connect_ipc::control::{FailedScript, LaneStatus, LongScript, PeerState, PeerStatus, Reply};
use connect_ipc::event::Removal;
use connect_ipc::scripts::{ScriptFailure, ScriptKind};
use connect_ipc::write_fault::WriteFault;
use insta::assert_snapshot;

use crate::support::{Place, Result, Script, Step, interrupt, peer, present, rows, service};

/// A peer that was removed because it did not answer.
fn gone() -> Result<PeerStatus> {
    let mut gone = peer("paris", &[])?;
    (gone.state, gone.interface, gone.next_ping_ms) = (PeerState::Gone, None, None);
    gone.connection.removal = Some(Removal::Silence { pings: 3 });
    Ok(gone)
}

fn script() -> Result<Script> {
    let mut status = service()?;
    status.database.checksum = Some("0123456789abcdef".repeat(4));
    status.database.modified = Some(1_700_000_000);
    (status.counters.scripts.ok, status.counters.reconnects) = (5, 2);
    (
        status.counters.scripts.not_started,
        status.counters.scripts.lost,
    ) = (3, 1);
    let helper = &mut status.scripts.helper;
    (helper.connections, helper.restarts) = (3, 2);
    helper.log_lines_lost = 6;
    let fault = "cannot write runs: no storage space".into();
    status.scripts.journal_fault = Some(WriteFault { fault, seconds: 80 });
    status.scripts.lanes.interface.running = 2;
    status.scripts.lanes.connection = LaneStatus {
        running: 64,
        waiting: 9,
        full: Some(125),
    };
    let fault = "cannot write core.json: no storage space".into();
    status.state_fault = Some(WriteFault { fault, seconds: 75 });
    let mut down = peer("a \"b\" \\c", &[10.0, 30.0])?;
    down.statistics.record_loss();
    (down.state, down.failures, down.failed_checks) = (PeerState::Down, 5, 2);
    down.connection.reconnects = 4;
    down.scripts.failed = vec![FailedScript {
        kind: ScriptKind::Ifup,
        failure: ScriptFailure::Exited(1),
        ago: 7,
    }];
    down.scripts.long = vec![LongScript {
        kind: ScriptKind::Ifdown,
        pid: Some(7),
        seconds: 240,
        limit: Some(120),
        survives: Some(118),
    }];
    let mut unwatched = peer("zoe", &[])?;
    (unwatched.state, unwatched.wanted) = (PeerState::Unwatched, false);
    Ok(Script::replies([
        Reply::Service(Box::new(status)),
        rows(vec![
            peer("alice", &[1.25, 1.75])?,
            gone()?,
            down,
            unwatched,
        ]),
        Reply::Done {},
    ]))
}

/// What the program prints with these arguments.
fn metrics(arguments: &str) -> Result<String> {
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let outcome = place.run(&format!("metrics {arguments}"))?;
    core.asked()?;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    Ok(outcome.stdout)
}

fn promtool() -> bool {
    present("promtool", "prometheus")
}

/// Has promtool judge this input.
fn judge(arguments: &[&str], input: &str) -> Result {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .ok_or("no input")?
        .write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{said}\n{input}"
    );
    Ok(())
}

#[test]
fn the_metrics_are_those_of_the_state() -> Result {
    assert_snapshot!(metrics("")?);
    assert_snapshot!(metrics("--format prometheus")?);
    Ok(())
}

#[test]
fn promtool_accepts_both_forms() -> Result {
    if !promtool() {
        return Ok(());
    }
    judge(&["check", "metrics"], &metrics("--format prometheus")?)?;
    // Its only command that reads OpenMetrics wants to import it, with a time at each sample.
    let place = Place::new()?;
    let stamped: String = metrics("")?
        .lines()
        .map(|line| match line.starts_with('#') {
            true => format!("{line}\n"),
            false => format!("{line} 1700000000\n"),
        })
        .collect();
    let file = place.write("metrics.txt", &stamped)?;
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&file, &place.path("blocks")])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{stamped}");
    Ok(())
}

#[test]
fn a_file_is_replaced_as_a_whole_even_if_there_is_no_service() -> Result {
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let outcome = place.run("metrics --output connect.prom")?;
    core.asked()?;
    assert_eq!(outcome.to_string(), "exit code 0\n");
    let path = place.path("connect.prom");
    let text = std::fs::read_to_string(&path)?;
    assert!(text.contains("\ntripe_connect_up 1\n"), "{text}");
    let mode = std::fs::metadata(&path)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o644);

    let outcome = place.run("metrics --output connect.prom")?;
    assert_eq!(outcome.code, Some(69), "{outcome}");
    assert_eq!(
        std::fs::read_to_string(&path)?,
        "# HELP tripe_connect_up Whether the service answers.\n\
         # TYPE tripe_connect_up gauge\ntripe_connect_up 0\n"
    );
    let outcome = place.run("metrics --output nowhere/connect.prom")?;
    assert_eq!(outcome.code, Some(71), "{outcome}");
    assert!(
        outcome.stderr.contains("cannot write nowhere/connect.prom"),
        "{outcome}"
    );
    assert!(!outcome.stderr.contains("tmp"), "{outcome}");
    Ok(())
}

/// The program with `--listen`.
struct Listening {
    child: Child,
    address: String,
}

impl Listening {
    fn start(place: &Place) -> Result<Self> {
        let mut command = place.command();
        command.args(["metrics", "--listen", "0"]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let line = lines.next().ok_or("nothing")??;
        let address = line
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.strip_suffix("/metrics"))
            .ok_or("no address")?
            .to_owned();
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        Ok(Listening { child, address })
    }

    fn connect(&self) -> Result<TcpStream> {
        Ok(TcpStream::connect(&self.address)?)
    }

    /// The whole answer to a request.
    fn ask(&self, request: &str) -> Result<String> {
        let mut stream = self.connect()?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn stop(mut self) -> Result {
        interrupt(&self.child)?;
        assert_eq!(self.child.wait()?.code(), Some(0));
        Ok(())
    }
}

#[test]
fn a_scrape_gets_the_form_that_it_asks_for() -> Result {
    let place = Place::new()?;
    let server = Listening::start(&place)?;
    let without = server.ask("GET /metrics HTTP/1.1\r\n\r\n")?;
    assert!(without.starts_with("HTTP/1.1 200 OK\r\n"), "{without}");
    assert!(without.ends_with("\ntripe_connect_up 0\n"), "{without}");
    let core = place.core(script()?)?;
    let open =
        server.ask("GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n")?;
    core.asked()?;
    assert!(
        open.contains("\r\ncontent-type: application/openmetrics-text;"),
        "{open}"
    );
    let (_, body) = open.split_once("\r\n\r\n").ok_or("no body")?;
    assert_eq!(body, metrics("")?);
    server.stop()
}

#[test]
fn what_is_no_scrape_has_its_status_and_an_end() -> Result {
    let place = Place::new()?;
    let server = Listening::start(&place)?;
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(9000));
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    for (request, status) in [
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 404 "),
        ("GET /../metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "),
        ("PUT /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 "),
        ("\x16\x03\x01 nonsense\r\n\r\n", "HTTP/1.1 400 "),
        (&long, "HTTP/1.1 431 "),
        (&many, "HTTP/1.1 431 "),
    ] {
        let answer = server.ask(request)?;
        assert!(answer.starts_with(status), "{request:.40}: {answer}");
        assert_eq!(
            answer.contains("\r\nallow: GET\r\n"),
            status.contains("405")
        );
    }
    server.stop()
}

#[test]
fn connections_on_which_nothing_is_asked_do_not_hold_up_a_scrape() -> Result {
    let place = Place::new()?;
    let server = Listening::start(&place)?;
    let scrape = "GET /metrics HTTP/1.1\r\n\r\n";
    // Some have begun a request, some have not.
    let mut idle = Vec::new();
    for at in 0..100 {
        let mut stream = server.connect()?;
        if at % 2 == 0 {
            stream.write_all(b"GET /met")?;
        }
        idle.push(stream);
    }
    assert!(server.ask(scrape)?.starts_with("HTTP/1.1 200 OK\r\n"));
    // There is a limit: the oldest was closed for a newer one.
    let mut rest = Vec::new();
    let closed = idle[1].read_to_end(&mut rest);
    assert!(matches!(closed, Ok(0)) || closed.is_err(), "{rest:?}");
    // The newest still has its place.
    idle[99].write_all(scrape.as_bytes())?;
    let mut answer = String::new();
    idle[99].read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    server.stop()
}

#[test]
fn a_scrape_that_is_being_answered_is_not_closed_by_a_flood_of_connections() -> Result {
    let place = Place::new()?;
    let server = Listening::start(&place)?;
    let (asked, is_asked) = std::sync::mpsc::channel();
    let (go_on, gate) = tokio::sync::oneshot::channel();
    let core = place.core(Script::steps(
        [Step::Tell(asked), Step::When(gate)]
            .into_iter()
            .chain(script()?.steps),
    ))?;
    let mut scrape = server.connect()?;
    scrape.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
    is_asked.recv()?;
    let flood = (0..200).map(|_| server.connect());
    let flood = flood.collect::<Result<Vec<_>>>()?;
    // The last one was accepted, so all others were, when it is answered.
    let other = server.ask("GET / HTTP/1.1\r\n\r\n")?;
    assert!(other.starts_with("HTTP/1.1 404 "), "{other}");
    go_on.send(()).map_err(|()| "the core is gone")?;
    let mut answer = String::new();
    scrape.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\ntripe_connect_up 1\n"), "{answer}");
    core.asked()?;
    drop(flood);
    server.stop()
}

#[test]
fn a_service_without_a_place_is_up() -> Result {
    let place = Place::new()?;
    let why = "as many connections are open as may be".to_owned();
    let core = place.core(Script::steps([Step::Anonymous(Reply::Busy { why })]))?;
    assert_snapshot!(place.run("metrics --format prometheus")?);
    core.asked()?;
    Ok(())
}

/// If core is stopped, systemd starts it when somebody connects to this socket.
#[test]
fn metrics_do_not_connect_to_the_control_socket() -> Result {
    let place = Place::new()?;
    let control = UnixListener::bind(place.control())?;
    control.set_nonblocking(true)?;
    let outcome = place.run("metrics --format prometheus")?;
    assert_eq!(outcome.code, Some(69), "{outcome}");
    assert!(
        outcome.stdout.contains("\ntripe_connect_up 0\n"),
        "{outcome}"
    );
    let connected = control.accept().map_err(|error| error.kind());
    assert_eq!(connected.err(), Some(ErrorKind::WouldBlock));
    Ok(())
}

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(name)
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("tripe_connect_"))
        .map(str::to_owned)
        .collect()
}

/// Metrics that alerts name and that the state here does not lead to.
const OTHERS: [&str; 6] = [
    "tripe_connect_helper_overdue_seconds",
    "tripe_connect_peer_lookup_failed",
    "tripe_connect_peer_script_failed",
    "tripe_connect_peer_wanted",
    "tripe_connect_checks_overdue_seconds",
    "tripe_connect_server_overdue_seconds",
];

#[test]
fn dashboard_and_alerts_name_only_metrics_that_there_are() -> Result {
    let text = metrics("")?;
    let samples: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n");
    let mut known = named(&samples);
    known.extend(OTHERS.map(str::to_owned));
    let dashboard = std::fs::read_to_string(packaged("grafana/connect.json"))?;
    let _: serde_json::Value = serde_json::from_str(&dashboard)?;
    let alerts = packaged("prometheus/alerts.yml");
    for text in [dashboard, std::fs::read_to_string(alerts)?] {
        let unknown: Vec<String> = named(&text).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
    Ok(())
}

#[test]
fn each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> Result {
    let rules = packaged("prometheus/alerts.yml");
    let cases = packaged("prometheus/alerts_test.yml");
    let text = std::fs::read_to_string(&cases)?;
    let checks: Vec<(&str, bool)> = text
        .split("alertname: ")
        .skip(1)
        .map(|check| {
            let name = check.lines().next().unwrap_or_default();
            (name, check.contains("exp_labels"))
        })
        .collect();
    let alerts = std::fs::read_to_string(&rules)?;
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap_or_default();
        for fires in [true, false] {
            assert!(checks.contains(&(name, fires)), "{name} fires: {fires}");
        }
    }
    if promtool() {
        for (what, file) in [("check", &rules), ("test", &cases)] {
            let output = Command::new("promtool")
                .args([what, "rules"])
                .arg(file)
                .output()?;
            assert!(output.status.success(), "{output:?}");
        }
    }
    Ok(())
}
