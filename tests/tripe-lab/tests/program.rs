// SPDX-License-Identifier: GPL-3.0-or-later
//! The program: options, signals, standard input as a client, and what it says of itself.

#[cfg(test)]
mod common;

use common::Client;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

#[cfg(test)]
fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripe-lab"));
    command
        .args(args)
        .env_remove("TRIPEDIR")
        .env_remove("TRIPESOCK");
    command
}

#[cfg(test)]
fn output(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// A running program, and what it said up to the line that tells of its socket.
#[cfg(test)]
fn start(dir: &Path, args: &[&str]) -> (Child, String) {
    let mut child = command(args)
        .args(["-a", "sock", "-u", "127.0.0.1:0", "-d"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    // Byte by byte, so that nothing of what comes later is taken away.
    let stderr = child.stderr.as_mut().unwrap();
    let mut byte = [0];
    while !(text.contains("admin socket:") && text.ends_with('\n')) {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "{text}");
        text.push(char::from(byte[0]));
    }
    (child, text)
}

#[cfg(test)]
fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn the_help_is_a_playground() {
    let help = String::from_utf8(output(&["--help"]).stdout).unwrap();
    for part in [
        "ENCRYPTS NOTHING",
        "--reflect",
        "--switch",
        "EPING right",
        "LAB HELP",
    ] {
        assert!(help.contains(part), "{part}");
    }
    let switches = String::from_utf8(output(&["--list-switches"]).stdout).unwrap();
    assert!(switches.contains("over-long=split|truncate|disconnect\n"));
}

#[test]
fn mistakes_end_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    for (args, part) in [
        (
            vec!["-d", "/nonexistent"],
            "cannot go to the directory /nonexistent",
        ),
        (vec!["-d", at, "--switch", "x=y"], "there is no switch `x`"),
        (
            vec!["-d", at, "--lab", "NOSUCH"],
            "LAB NOSUCH: unknown-lab-command NOSUCH",
        ),
        (
            vec!["-d", at, "-u", "127.0.0.1:0", "-u", "127.0.0.2:0"],
            "once for each address family",
        ),
        (
            vec!["-d", at, "-u", "192.0.2.1:4070"],
            "cannot bind the UDP address 192.0.2.1:4070",
        ),
        (
            vec!["-d", at, "-a", "no/such/dir"],
            "cannot listen on the admin socket no/such/dir",
        ),
        (vec!["--host", "x=y"], "NAME=SECONDS@ADDR"),
        (vec!["--tunnel", "warp"], "the drivers are `lab` and `tun`"),
        (vec!["--nosuch"], "--nosuch"),
    ] {
        let output = output(&args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && text.contains(part),
            "{args:?}: {text}"
        );
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[test]
fn it_warns_on_start_and_ends_politely_on_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, said) = start(
        dir.path(),
        &[
            "--lab",
            "NET loss=100",
            "--host",
            "far.example=127.0.0.9",
            "--impersonate",
        ],
    );
    assert!(said.contains("ENCRYPTS NOTHING"), "{said}");
    let mut client = Client::connect(&dir.path().join("sock"));
    client.ask("WATCH w", &["OK"]);
    client.ask("VERSION", &["INFO tripe 1.5.0", "OK"]);
    client.ask("TUNNELS", &["INFO lab", "INFO tun", "OK"]);
    client.ask("ADD -ephemeral far far.example", &["OK"]);
    client.ask("ADDR far", &["INFO INET 127.0.0.9 4070", "OK"]);
    let show = client.answer("LAB SHOW");
    assert!(show[0].contains("loss=100 "), "{show:?}");
    signal(&child, Signal::HUP);
    client.expect(&["WARN SERVER ignore signal SIGHUP"]);
    signal(&child, Signal::TERM);
    client.expect(&["WARN SERVER quit signal SIGTERM", "<end>"]);
    assert!(child.wait().unwrap().success());
    assert!(!dir.path().join("sock").exists());
}

/// How often a signal races a start. A signal that came too early ended three of four starts.
#[cfg(test)]
const RACES: usize = 40;

/// Starts the program, and sends it a signal as soon as its socket accepts.
#[cfg(test)]
fn start_and_signal(dir: &Path, sent: Signal) -> (Child, Client) {
    let mut child = command(&["-a", "sock", "-u", "127.0.0.1:0", "-d"])
        .arg(dir)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let client = loop {
        if let Some(client) = Client::try_connect(&dir.join("sock")) {
            break client;
        }
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "ended before it had a socket"
        );
        std::thread::yield_now();
    };
    signal(&child, sent);
    (child, client)
}

#[test]
fn signals_are_caught_before_the_socket_accepts() {
    for _ in 0..RACES {
        let dir = tempfile::tempdir().unwrap();
        let (mut child, mut client) = start_and_signal(dir.path(), Signal::HUP);
        client.ask("SVCLIST", &["OK"]);
        signal(&child, Signal::TERM);
        assert!(child.wait().unwrap().success());
        for sent in [Signal::TERM, Signal::INT] {
            let dir = tempfile::tempdir().unwrap();
            let (mut child, mut client) = start_and_signal(dir.path(), sent);
            // Reset, if it was not accepted yet.
            let line = client.try_line();
            assert!(matches!(line, Ok(None) | Err(_)), "{line:?}");
            assert!(child.wait().unwrap().success(), "{sent:?}");
            assert!(!dir.path().join("sock").exists(), "{sent:?}");
        }
    }
}

#[test]
fn quit_ends_the_program_and_a_restart_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _) = start(dir.path(), &["--verbose"]);
    let mut client = Client::connect(&dir.path().join("sock"));
    client.send("LAB RESTART");
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut lines = stderr.lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "restarting"));
    assert!(lines.any(|line| line == "started"));
    let mut client = Client::connect(&dir.path().join("sock"));
    client.ask("QUIT", &["OK", "<end>"]);
    assert!(lines.any(|line| line == "stopped"));
    assert!(child.wait().unwrap().success());
}

#[test]
fn standard_input_is_a_client_and_its_end_the_servers() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _) = start(dir.path(), &["--stdio"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || stdout.next().map_or_else(|| "<end>".into(), Result::unwrap);
    stdin
        .write_all(b"WARN hello\nNOTIFY unheard\nLIST\n")
        .unwrap();
    for expected in ["WARN USER hello", "OK", "OK", "OK"] {
        assert_eq!(line(), expected);
    }
    drop(stdin);
    assert_eq!(line(), "WARN SERVER quit foreground-eof");
    assert_eq!(line(), "<end>");
    assert!(child.wait().unwrap().success());
}
