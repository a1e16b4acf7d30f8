// SPDX-License-Identifier: GPL-3.0-or-later
//! `man/connect.8`, "SIGNALS", and `--stop-wait`: the service is released at once, and scripts
//! under way are read to their end.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use scenarios::{Expect as _, Outcome, PATIENCE, Service, Site};

use crate::support::ANSWERING;

/// What the service logs when it begins to wait.
const WAITING: &str = "the service has ended; waiting for its scripts to end";

/// A site on which the `ifup` of a peer waits at a gate, says one word more, and marks its end.
fn site() -> anyhow::Result<Site> {
    let site = Site::new()?
        .with_answering_peers()
        .script(
            "up",
            "echo begun; read word < gate; echo read; echo done > ended",
        )?
        .script("down", "echo down > down")?
        .peer(
            "p",
            &[("peer", ANSWERING), ("ifup", "./up"), ("ifdown", "./down")],
        )
        .build()?;
    make_gate(&site, "gate")?;
    Ok(site)
}

fn make_gate(site: &Site, name: &str) -> Outcome {
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(mknodat(CWD, site.path(name), FileType::Fifo, mode, 0)?)
}

/// Starts a service whose script waits at the gate.
fn begin(site: &Site, options: &[&str]) -> anyhow::Result<Service> {
    let service = site.connect(options)?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    service.explain(events.stdout("ifup p"))?;
    Ok(service)
}

/// Lets the script go on. The gate stays open as long as the file.
fn open_gate(site: &Site) -> anyhow::Result<File> {
    let mut gate = File::options()
        .read(true)
        .write(true)
        .open(site.path("gate"))?;
    gate.write_all(b"go\n")?;
    Ok(gate)
}

/// Waits for a file that a script makes.
fn made(path: &Path) -> Outcome {
    let started = Instant::now();
    while !path.exists() {
        anyhow::ensure!(started.elapsed() < PATIENCE, "no {}", path.display());
        // A file sends no event.
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test]
fn scripts_under_way_and_those_that_wait_are_run_to_their_end_and_read() -> Outcome {
    for ending in ["TERM", "INT", "quit"] {
        let site = site()?;
        let mut service = begin(&site, &["--stop-wait", "1h"])?;
        // Its ifdown waits for its ifup.
        site.admin_ok("KILL p")?;
        let mut events = site.lab.follow();
        match ending {
            "TERM" => service.signal(Signal::TERM)?,
            "INT" => service.signal(Signal::INT)?,
            _ => drop(site.submit("quit")?),
        }
        // All of it while the script holds the helper up.
        service.explain(events.broadcast("NOTE SVCRELEASE connect"))?;
        service.wait_for_log(WAITING)?;
        for socket in ["control.sock", "observe.sock", "helpers.sock"] {
            assert!(!service.control().with_file_name(socket).exists());
        }
        assert!(!service.has_ended()?);
        assert!(!site.path("ended").exists());
        let _gate = open_gate(&site)?;
        assert_eq!(service.wait()?.code(), Some(0), "{}", service.log());
        assert!(site.path("ended").exists(), "{ending}: {}", service.log());
        assert!(site.path("down").exists(), "{ending}: {}", service.log());
        let log = service.log();
        assert!(log.contains("the script helper has ended"), "{log}");
        assert!(!log.contains("no connection to core"), "{log}");
        assert!(!log.contains("restarting it"), "{log}");
    }
    Ok(())
}

/// The names of all threads of a process but the first, and whether each blocks `TERM`.
fn other_threads(process: u32) -> anyhow::Result<Vec<(String, bool)>> {
    let mut threads = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?;
        let status = std::fs::read_to_string(task.path().join("status"))?;
        let field = |name: &str| {
            let mut lines = status.lines();
            lines
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        let blocked = u64::from_str_radix(field("SigBlk:").context("no SigBlk")?, 16)?;
        let term = 1 << (Signal::TERM.as_raw() - 1);
        let blocks = blocked & term != 0;
        if task.file_name() == *process.to_string() {
            anyhow::ensure!(!blocks, "the event loop of {process} does not receive TERM");
        } else {
            threads.push((field("Name:").context("no name")?.to_owned(), blocks));
        }
    }
    Ok(threads)
}

#[test]
fn the_event_loop_alone_receives_signals_so_that_a_stop_comes_before_the_end_of_connections()
-> Outcome {
    let site = site()?;
    let record = site.path("record");
    let service = begin(&site, &["--record", &record.display().to_string()])?;
    for process in [
        service.pid(),
        service.helper_pid("pinger")?.try_into()?,
        service.helper_pid("scripts")?.try_into()?,
    ] {
        let threads = other_threads(process)?;
        assert!(!threads.is_empty());
        assert!(threads.iter().all(|(_, blocks)| *blocks), "{threads:?}");
    }
    let _gate = open_gate(&site)?;
    made(&site.path("ended"))
}

#[test]
fn a_second_signal_ends_the_wait_and_no_script() -> Outcome {
    let site = site()?;
    site.script("up", "echo begun; read word < gate; echo done > ended")?;
    let mut service = begin(&site, &["--stop-wait", "1h"])?;
    service.signal(Signal::TERM)?;
    service.wait_for_log(WAITING)?;
    // Two that come close together count as one, so more than one may be needed.
    while !service.has_ended()? {
        service.signal(Signal::INT)?;
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(service.wait()?.code(), Some(0));
    assert!(!site.path("ended").exists());
    let _gate = open_gate(&site)?;
    made(&site.path("ended"))
}

#[test]
fn what_takes_longer_than_stop_wait_is_left_alone() -> Outcome {
    let site = site()?;
    site.script("up", "echo begun; read word < gate; echo done > ended")?;
    let mut service = begin(&site, &["--stop-wait", "0"])?;
    service.signal(Signal::TERM)?;
    assert_eq!(service.wait()?.code(), Some(0));
    let _gate = open_gate(&site)?;
    made(&site.path("ended"))
}

#[test]
fn a_script_writes_on_between_two_services_and_all_of_it_is_told() -> Outcome {
    // The next service starts while the helper of the last one still runs, or after its end.
    for stop_wait in ["1h", "0"] {
        let site = site()?;
        make_gate(&site, "last")?;
        site.script(
            "up",
            "printf 'one\\ntwo\\nthree\\n'; read word < gate; echo four; echo five; \
             echo six >&2; touch written; read word < last; echo seven; touch ended",
        )?;
        let mut old = site.connect(&["--stop-wait", stop_wait])?;
        let mut events = site.lab.follow();
        site.submit("active p")?;
        for line in ["one", "two", "three"] {
            assert_eq!(events.stdout("ifup p")?, line);
        }
        site.submit("quit")?;
        match stop_wait {
            "0" => assert_eq!(old.wait()?.code(), Some(0)),
            _ => old.wait_for_log("the next script helper reads what scripts write")?,
        }
        let _gate = open_gate(&site)?;
        made(&site.path("written"))?;
        let (mut events, mut errors) = (site.lab.follow(), site.lab.follow());
        let new = site.connect(&[])?;
        for line in ["four", "five"] {
            new.explain(events.stdout("ifup p").map(|said| assert_eq!(said, line)))?;
        }
        new.explain(errors.stderr("ifup p").map(|said| assert_eq!(said, "six")))?;
        // This waits until the script has come so far.
        std::fs::write(site.path("last"), "go\n")?;
        let said = events.stdout("ifup p");
        new.explain(said.map(|said| assert_eq!(said, "seven")))?;
        events.exactly("WARN USER connect ifup p exit-lost")?;
        assert!(site.path("ended").exists());
    }
    Ok(())
}

#[test]
fn a_stopped_script_helper_delays_nothing_for_ever() -> Outcome {
    let site = site()?;
    let mut service = begin(&site, &["--stop-wait", "1"])?;
    let helper = service.helper_pid("scripts")?;
    let helper = rustix::process::Pid::from_raw(helper);
    let helper = anyhow::Context::context(helper, "no process")?;
    rustix::process::kill_process(helper, Signal::STOP)?;
    service.signal(Signal::TERM)?;
    assert_eq!(service.wait()?.code(), Some(0));
    let log = service.log();
    assert!(log.contains("killed the script helper"), "{log}");
    let _gate = open_gate(&site)?;
    made(&site.path("ended"))
}

#[test]
fn scripts_are_read_to_their_end_also_if_connect_is_killed() -> Outcome {
    let site = site()?;
    let mut service = begin(&site, &["--stop-wait", "1h"])?;
    service.signal(Signal::KILL)?;
    service.wait()?;
    let _gate = open_gate(&site)?;
    made(&site.path("ended"))
}

#[test]
fn the_next_service_starts_at_once_while_the_last_one_still_waits() -> Outcome {
    let site = site()?;
    site.script("up", "echo begun; read word < gate; echo done > ended")?;
    let mut old = begin(&site, &["--stop-wait", "1h"])?;
    site.submit("quit")?;
    old.wait_for_log(WAITING)?;
    let _new = site.connect(&[])?;
    assert_eq!(site.submit("list-active")?, ["p"]);
    assert!(!site.path("ended").exists());
    let _gate = open_gate(&site)?;
    assert_eq!(old.wait()?.code(), Some(0));
    made(&site.path("ended"))
}
