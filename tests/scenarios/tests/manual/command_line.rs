// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual, "Command line", and the options that every service takes.

use std::process::{Command, Output};

use scenarios::{Expect as _, Outcome, Service, Site};
use tripe_lab::What;
use tripe_lab::server::Target;

use crate::support::{ANSWERING, NOBODY, service_client};

/// A site whose databases `peers.cdb`, `other.cdb` and `third.cdb` hold one peer each, named as
/// the file.
fn databases() -> anyhow::Result<Site> {
    let site = Site::new()?.without_database().build()?;
    for name in ["other", "third", "peers"] {
        site.write_database(&[peerdb::Record::new(name, [("peer", NOBODY)])])?;
        if name != "peers" {
            std::fs::rename(site.path("peers.cdb"), site.path(&format!("{name}.cdb")))?;
        }
    }
    Ok(site)
}

/// Runs a command line until it has claimed the service, and gives the peers of its database.
fn peers_of(site: &Site, command: Command) -> anyhow::Result<Vec<String>> {
    let mut events = site.lab.follow();
    let mut service = Service::run(site, command)?;
    service.explain(events.broadcast("NOTE SVCCLAIM connect"))?;
    let peers = site.submit("list-active");
    site.submit("quit")?;
    service.wait()?;
    peers
}

/// Runs the program to its end.
fn output(arguments: &[&str]) -> anyhow::Result<Output> {
    Ok(Service::bare_command()?.args(arguments).output()?)
}

#[test]
fn options_are_taken_in_short_and_long_forms() -> Outcome {
    let site = databases()?;
    let socket = site.lab.socket_path().display().to_string();
    let directory = site.directory().display().to_string();
    let glued = [
        format!("-a{socket}"),
        format!("-d{directory}"),
        "-pother.cdb".to_owned(),
    ];
    let equals = [
        format!("--admin-socket={socket}"),
        format!("--directory={directory}"),
        "--peerdb=other.cdb".to_owned(),
    ];
    let apart = [
        "--admin-socket",
        &socket,
        "--directory",
        &directory,
        "--peerdb",
        "other.cdb",
    ];
    let short = ["-a", &socket, "-d", &directory, "-p", "other.cdb"];
    let abbreviated = [
        "--admin",
        &socket,
        "--dir",
        &directory,
        "--peer",
        "other.cdb",
    ];
    let lines: [Vec<&str>; 5] = [
        glued.iter().map(String::as_str).collect(),
        equals.iter().map(String::as_str).collect(),
        apart.to_vec(),
        short.to_vec(),
        abbreviated.to_vec(),
    ];
    for line in lines {
        let mut command = Service::bare_command()?;
        command.args(&line);
        assert_eq!(peers_of(&site, command)?, ["other"], "{line:?}");
    }
    Ok(())
}

#[test]
fn without_p_the_database_is_tripepeerdb_else_peers_cdb_in_the_directory() -> Outcome {
    let site = databases()?;
    let command = || -> anyhow::Result<Command> {
        let mut command = Service::bare_command()?;
        command.arg("-d").arg(site.directory());
        Ok(command)
    };
    assert_eq!(peers_of(&site, command()?)?, ["peers"]);
    let mut named = command()?;
    named.env("TRIPEPEERDB", "other.cdb");
    assert_eq!(peers_of(&site, named)?, ["other"]);
    let mut named = command()?;
    named.env("TRIPEPEERDB", site.path("other.cdb"));
    assert_eq!(peers_of(&site, named)?, ["other"]);
    // An option outranks a variable.
    let mut both = command()?;
    both.env("TRIPEPEERDB", "other.cdb")
        .args(["-p", "third.cdb"]);
    assert_eq!(peers_of(&site, both)?, ["third"]);
    Ok(())
}

#[test]
fn without_a_and_d_the_variables_tripesock_and_tripedir_count() -> Outcome {
    let site = databases()?;
    let mut command = Service::bare_command()?;
    command
        .env("TRIPEDIR", site.directory())
        .env("TRIPESOCK", site.lab.socket_path())
        .current_dir("/");
    assert_eq!(peers_of(&site, command)?, ["peers"]);
    // Options outrank them.
    let mut command = Service::bare_command()?;
    command
        .env("TRIPEDIR", "/nonexistent")
        .env("TRIPESOCK", "/nonexistent/tripesock")
        .arg("-a")
        .arg(site.lab.socket_path())
        .arg("-d")
        .arg(site.directory());
    assert_eq!(peers_of(&site, command)?, ["peers"]);
    Ok(())
}

#[test]
fn relative_names_are_relative_to_the_directory() -> Outcome {
    let site = databases()?;
    let mut command = Service::bare_command()?;
    command
        .arg("-d")
        .arg(site.directory())
        .args(["-a", "tripesock", "-p", "./other.cdb"])
        .current_dir("/");
    assert_eq!(peers_of(&site, command)?, ["other"]);
    Ok(())
}

#[test]
fn version_prints_the_programs_name_and_its_version() -> Outcome {
    let output = output(&["--version"])?;
    let text = String::from_utf8(output.stdout)?;
    let (name, version) = text
        .trim_end_matches('\n')
        .split_once(' ')
        .unwrap_or_default();
    assert_eq!(
        (name, output.status.code()),
        ("connect", Some(0)),
        "{text:?}"
    );
    // It is also the version that the server is told.
    let site = Site::new()?.build()?;
    let _service = site.connect(&[])?;
    let query = site.admin_ok("SVCQUERY connect")?.concat();
    assert_eq!(query, format!("name=connect version={version}"));
    Ok(())
}

#[test]
fn help_names_every_option_on_standard_output() -> Outcome {
    for option in ["-h", "--help"] {
        let output = output(&[option])?;
        let text = String::from_utf8(output.stdout)?;
        assert_eq!(output.status.code(), Some(0));
        for part in [
            "-a,",
            "--admin-socket",
            "-d,",
            "--directory",
            "-p,",
            "--peerdb",
            "--daemon",
            "--debug",
            "--startup",
            "--version",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    Ok(())
}

/// A service in the background, told to quit when the test is over.
struct Background<'a>(&'a Site);

impl Drop for Background<'_> {
    fn drop(&mut self) {
        // It may have ended already. If the server has gone first, the option given at its start
        // ends it.
        let _ = self.0.submit("quit");
    }
}

/// Starts `connect --daemon` with further options.
fn daemon(site: &Site, options: &[&str]) -> anyhow::Result<Service> {
    let mut command = Service::command(site)?;
    command
        .args(["--daemon", "--exit-on-disconnect"])
        .args(options);
    Service::run(site, command)
}

#[test]
fn daemon_returns_when_the_service_is_claimed_and_not_before() -> Outcome {
    let site = Site::new()?.peer("p", &[("peer", NOBODY)]).build()?;
    // The server takes the connection but says nothing yet.
    site.lab.stall(Target::All, true)?;
    let mut events = site.lab.follow();
    let mut caller = daemon(&site, &[])?;
    let _background = Background(&site);
    events.next("a client", |what| matches!(what, What::Connected(_)))?;
    assert!(!caller.has_ended()?);
    site.lab.stall(Target::All, false)?;
    assert_eq!(caller.wait()?.code(), Some(0), "{}", caller.log());
    // No waiting from here on: what the caller does next finds the service in place.
    assert!(site.admin_ok("SVCLIST")?.concat().starts_with("connect "));
    assert_eq!(site.submit("list-active")?, ["p"]);
    Ok(())
}

#[test]
fn daemon_tells_its_caller_why_it_cannot_start() -> Outcome {
    let site = Site::new()?.build()?;
    let mut other = site.admin()?;
    other.ask("SVCCLAIM connect 99.0")?.lines()?;
    for (options, status, reason) in [
        (&[][..], 78, "service-exists connect 99.0"),
        (
            &["-a", "/nonexistent/sock"],
            69,
            "cannot reach the tripe server at /nonexistent/sock",
        ),
        (
            &["-d", "/nonexistent"],
            71,
            "cannot change to the directory /nonexistent",
        ),
        (&["--nonsense"], 2, "--nonsense"),
    ] {
        std::fs::write(site.path("connect.log"), "")?;
        let mut caller = daemon(&site, options)?;
        assert_eq!(caller.wait()?.code(), Some(status), "{options:?}");
        assert!(
            caller.log().contains(reason),
            "{options:?}: {}",
            caller.log()
        );
    }
    Ok(())
}

#[test]
fn a_daemon_works_on_in_a_session_of_its_own() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .script("up", "cut -d' ' -f6 /proc/$PPID/stat; env | grep -c DAEMON")?
        .peer("p", &[("peer", ANSWERING), ("ifup", "./up")])
        .build()?;
    let mut caller = daemon(&site, &["--startup"])?;
    let _background = Background(&site);
    assert_eq!(caller.wait()?.code(), Some(0));
    let mut events = site.lab.follow();
    site.submit("active p")?;
    let session = events.stdout("ifup p")?;
    // 0 is a session whose leader is beyond this process namespace, as ours may be in a container.
    let own = std::fs::read_to_string("/proc/self/stat")?;
    let own = own.split(' ').nth(5).expect("a session in /proc/self/stat");
    assert!(!["0", own].contains(&session.as_str()), "{session}");
    // How it became one is no business of scripts, which may start services of their own.
    assert_eq!(events.stdout("ifup p")?, "0");
    Ok(())
}

#[test]
fn a_daemon_with_debug_returns_as_well_and_shows_its_beginning() -> Outcome {
    let site = Site::new()?.build()?;
    let mut caller = daemon(&site, &["--debug"])?;
    let _background = Background(&site);
    assert_eq!(caller.wait()?.code(), Some(0), "{}", caller.log());
    assert!(
        caller.trace().contains("> SVCCLAIM connect"),
        "{}",
        caller.trace()
    );
    Ok(())
}

#[test]
fn debug_shows_every_line_both_ways_with_challenges_masked() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "p",
            &[
                ("peer", ANSWERING),
                ("connect", "echo QUJDREVG; echo later QUJDREVG"),
            ],
        )
        .peer("laptop", &[("peer", "PASSIVE")])
        .user("alice", "laptop")
        .build()?;
    let mut service = site.connect(&["--debug"])?;
    let client = service_client(&site)?;
    site.submit("active p")?;
    site.lab.follow_from_start().stdout("connect p")?;
    let mut admin = site.admin()?;
    admin.send("SVCSUBMIT connect passive alice")?;
    let challenge = admin.receive_until("INFO ")?.replacen("INFO ", "", 1);
    site.lab
        .fake_greeting(&challenge, "198.18.0.9:5000".parse()?)?;
    assert_eq!(admin.receive()?, "OK");
    let foreign = site.admin_ok("GETCHAL")?.concat();
    site.lab
        .fake_greeting(&foreign, "198.18.0.9:5000".parse()?)?;
    site.submit("quit")?;
    service.wait()?;

    let masked = |line: &str| {
        [&challenge, &foreign, "QUJDREVG"]
            .into_iter()
            .fold(line.to_owned(), |line, secret| {
                line.replace(secret, "<challenge>")
            })
    };
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for event in site.lab.events() {
        match event.what {
            What::Command(from, line) if from == client => sent.push(masked(&line)),
            What::Sent(to, line) if to == client => received.push(masked(&line)),
            _ => {}
        }
    }
    let trace = service.trace();
    let traced = |mark: &str| -> Vec<String> {
        let lines = trace.lines().filter_map(|line| line.strip_prefix(mark));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(traced("> "), sent);
    // The end may come before the last lines were read.
    let shown = traced("< ");
    assert_eq!(shown, received[..shown.len()]);
    assert!(received.len() - shown.len() <= 2, "{received:?}");
    assert_eq!(
        trace.lines().count(),
        sent.len() + shown.len(),
        "nothing else:\n{trace}"
    );
    for secret in [&challenge, &foreign, "QUJDREVG"] {
        assert!(!trace.contains(secret), "{trace}");
    }
    assert!(trace.contains("GREET p <challenge>"));
    Ok(())
}

#[test]
fn without_debug_nothing_is_printed() -> Outcome {
    let site = Site::new()?.build()?;
    let mut service = site.connect(&[])?;
    site.submit("quit")?;
    service.wait()?;
    assert_eq!(service.trace(), "");
    Ok(())
}

#[test]
fn a_termination_signal_releases_the_service() -> Outcome {
    use rustix::process::Signal;
    for signal in [Signal::TERM, Signal::INT] {
        let site = Site::new()?.build()?;
        let mut service = site.connect(&[])?;
        let mut events = site.lab.follow();
        service.signal(signal)?;
        events.command("SVCRELEASE connect")?;
        assert_eq!(service.wait()?.code(), Some(0));
    }
    Ok(())
}

#[test]
fn exit_on_disconnect_ends_the_program_with_the_server() -> Outcome {
    let site = Site::new()?.build()?;
    let mut service = site.connect(&["--exit-on-disconnect"])?;
    site.lab.crash();
    assert_eq!(service.wait()?.code(), Some(75));
    Ok(())
}
