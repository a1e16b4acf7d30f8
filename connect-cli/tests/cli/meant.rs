// SPDX-License-Identifier: GPL-3.0-or-later
//! A service that answers, but is not the one that the user has named.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use connect_ipc::control::Reply;
use connect_ipc::hello::{Hello, Role};

use crate::support::{Outcome, PROGRAM, Place, Result, Script, service};

/// What the core that answers says of itself, as paths below the test's place.
struct Says {
    socket: &'static str,
    directory: &'static str,
}

/// A variable of the environment and its value.
type Variable = (&'static str, &'static str);

/// The core of the server in `gate`.
const GATE: Says = Says {
    socket: "gate/tripesock",
    directory: "gate",
};

impl Says {
    fn script(&self, place: &Place, replies: Vec<Reply>) -> Script {
        let path = |name: &str| {
            let path = place.path(name);
            Some(path.canonicalize().unwrap_or(path).display().to_string())
        };
        Script {
            hello: Hello {
                socket: path(self.socket),
                directory: path(self.directory),
                ..Hello::new(Role::Core)
            },
            ..Script::replies(replies)
        }
    }
}

/// A place with the directories of two servers: `gate` has a socket, `hub` has none.
fn two_servers() -> Result<Place> {
    let place = Place::new()?;
    for name in ["gate", "hub"] {
        std::fs::create_dir(place.path(name))?;
    }
    place.write("gate/tripesock", "")?;
    Ok(place)
}

/// The program in the place, with only these variables; `DIR` is the place.
fn command(place: &Place, variables: &[(&str, &str)], line: &str) -> Command {
    let here = place.path("").display().to_string();
    let here = here.trim_end_matches('/');
    let mut command = Command::new(PROGRAM);
    command.env_clear().current_dir(here);
    for (name, value) in variables {
        command.env(name, value.replace("DIR", here));
    }
    command.args(
        line.split(' ')
            .map(|word| word.replace("DIR", here))
            .collect::<Vec<_>>(),
    );
    command
}

/// Runs a command line; tells whether the core was asked anything.
fn run(
    place: &Place,
    says: &Says,
    variables: &[(&str, &str)],
    line: &str,
) -> Result<(Outcome, bool)> {
    let replies = if line.contains("status") {
        vec![Reply::Service(Box::new(service()?)), Reply::Done {}]
    } else {
        vec![Reply::Done {}]
    };
    let core = place.core(says.script(place, replies))?;
    let outcome = place.finish(&mut command(place, variables, line))?;
    // A core that is left before it was asked anything has nothing to tell.
    let asked = core.asked().is_ok_and(|request| request.is_some());
    Ok((outcome, asked))
}

/// Where the service is, for the tests: no option may name it, so that the server's name counts.
const RUNTIME: (&str, &str) = ("TRIPE_CONNECT_DIR", "DIR");

#[test]
fn a_service_of_another_server_than_the_named_one_is_neither_shown_nor_commanded() -> Result {
    let cases: &[(&[Variable], &str, &str)] = &[
        (&[], "-a DIR/gate/tripesokc status", "-a names"),
        (&[], "-a DIR/gate/tripesokc quit", "-a names"),
        (&[], "-a hub/tripesock kick p", "-a names"),
        (&[], "-d DIR/hub kick p", "-d names"),
        (&[], "-d DIR/huub kick p", "does not exist"),
        (&[], "-d DIR/huub -a tripesock kick p", "does not exist"),
        (&[("TRIPEDIR", "DIR/hub")], "status", "TRIPEDIR names"),
        (
            &[("TRIPESOCK", "DIR/hub/tripesock")],
            "quit",
            "TRIPESOCK names",
        ),
        (&[("TRIPEDIR", "DIR/gate")], "-d DIR/hub quit", "-d names"),
        (
            &[("TRIPESOCK", "DIR/gate/tripesock")],
            "-d DIR/hub quit",
            "-d names",
        ),
        (
            &[],
            "--runtime-dir DIR -a DIR/hub/tripesock kick p",
            "-a names",
        ),
        (&[], "-a DIR/hub/tripesock ifup p", "-a names"),
        (&[], "-a DIR/hub/tripesock reload", "-a names"),
        (&[], "-a DIR/hub/tripesock info p", "-a names"),
    ];
    for (variables, line, words) in cases {
        let place = two_servers()?;
        let variables = [&[RUNTIME], *variables].concat();
        let (outcome, asked) = run(&place, &GATE, &variables, line)?;
        assert!(!asked, "{variables:?} {line}: {outcome}");
        assert_eq!(outcome.code, Some(69), "{variables:?} {line}: {outcome}");
        assert!(outcome.stdout.is_empty(), "{line}: {outcome}");
        let said = &outcome.stderr;
        assert!(said.contains(words), "{variables:?} {line}: {outcome}");
        assert!(said.contains("DIR/gate/tripesock"), "{line}: {outcome}");
    }
    Ok(())
}

#[test]
fn the_service_of_the_named_server_is_used_however_that_is_spelt() -> Result {
    let cases: &[(&[Variable], &str)] = &[
        (&[], "status"),
        (&[], "-a DIR/gate/tripesock status"),
        (&[], "-a DIR/link/tripesock status"),
        (&[], "-a DIR/sock status"),
        (&[], "-d gate status"),
        (&[], "-d ./hub/../gate kick p"),
        (&[], "-d DIR/link -a tripesock kick p"),
        (&[("TRIPEDIR", "gate")], "kick p"),
        (
            &[("TRIPEDIR", "DIR/gate"), ("TRIPESOCK", "tripesock")],
            "kick p",
        ),
        // An option for the service counts more than variables for the server.
        (
            &[("TRIPEDIR", "DIR/hub")],
            "--control DIR/control.sock kick p",
        ),
        (&[("TRIPESOCK", "/run/x")], "--runtime-dir DIR kick p"),
        // An empty variable names nothing.
        (&[("TRIPEDIR", ""), ("TRIPESOCK", "")], "kick p"),
    ];
    for (variables, line) in cases {
        let place = two_servers()?;
        link(&place)?;
        let variables = [&[RUNTIME], *variables].concat();
        let (outcome, asked) = run(&place, &GATE, &variables, line)?;
        assert!(asked, "{variables:?} {line}: {outcome}");
        assert_eq!(outcome.code, Some(0), "{variables:?} {line}: {outcome}");
    }
    Ok(())
}

/// Other paths of the directory `gate`, and of the socket in it.
fn link(place: &Place) -> Result {
    symlink(place.path("gate"), place.path("link"))?;
    Ok(symlink("gate/tripesock", place.path("sock"))?)
}

#[test]
fn the_service_of_a_server_that_does_not_run_is_found_by_the_same_names() -> Result {
    for line in [
        "-a DIR/gate/tripesock kick p",
        "-a DIR/link/tripesock kick p",
        "-a DIR/sock kick p",
        "-d DIR/link -a tripesock kick p",
        "-d DIR/link kick p",
    ] {
        let place = two_servers()?;
        link(&place)?;
        let script = GATE.script(&place, vec![Reply::Done {}]);
        std::fs::remove_file(place.path("gate/tripesock"))?;
        let core = place.core(script)?;
        let outcome = place.finish(&mut command(&place, &[RUNTIME], line))?;
        assert_eq!(outcome.code, Some(0), "{line}: {outcome}");
        assert!(core.asked()?.is_some());
    }
    Ok(())
}

#[test]
fn a_server_that_has_removed_its_socket_does_not_hide_its_service() -> Result {
    let place = two_servers()?;
    std::fs::create_dir(place.path("hub/tripesock.connect"))?;
    let hub = Says {
        socket: "hub/tripesock",
        directory: "hub",
    };
    let script = hub.script(&place, vec![Reply::Done {}]);
    let core = place.core_on("hub/tripesock.connect/control.sock", 0o600, script)?;
    let outcome = place.finish(&mut command(&place, &[], "-d DIR/hub kick p"))?;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert!(core.asked()?.is_some());
    Ok(())
}

#[test]
fn a_directory_alone_names_the_service_that_works_in_it() -> Result {
    let elsewhere = Says {
        socket: "gate/tripesock",
        directory: "hub",
    };
    for line in ["-d DIR/hub kick p", "-d DIR/gate kick p"] {
        let (outcome, asked) = run(&two_servers()?, &elsewhere, &[RUNTIME], line)?;
        assert!(asked, "{line}: {outcome}");
    }
    // Of two services that share a directory, the one is meant whose server is in it.
    let shared = Says {
        socket: "hub/tripesock",
        directory: "gate",
    };
    let (outcome, asked) = run(&two_servers()?, &shared, &[RUNTIME], "-d DIR/gate kick p")?;
    assert!(!asked, "{outcome}");
    Ok(())
}

#[test]
fn a_command_for_the_server_does_not_go_to_the_server_of_another_service() -> Result {
    for line in ["admin KILL p", "kill p", "kill --wait p"] {
        // Only the service is named. The server would be the usual one.
        let place = two_servers()?;
        let (outcome, _) = run(&place, &GATE, &[], &format!("--runtime-dir DIR {line}"))?;
        assert_eq!(outcome.code, Some(69), "{line}: {outcome}");
        let told = "name the server, with `-a DIR/gate/tripesock'";
        assert!(outcome.stderr.contains(told), "{line}: {outcome}");
        // A directory is named that has no socket, and nobody knows whose it is.
        let place = two_servers()?;
        let mut command = command(&place, &[RUNTIME], &format!("-d DIR/hub {line}"));
        let outcome = place.finish(&mut command)?;
        assert_eq!(outcome.code, Some(69), "{line}: {outcome}");
        assert!(outcome.stderr.contains("DIR/hub"), "{line}: {outcome}");
        // The service of the directory has a server elsewhere.
        let place = two_servers()?;
        let elsewhere = Says {
            directory: "hub",
            ..GATE
        };
        let (outcome, _) = run(
            &place,
            &elsewhere,
            &[RUNTIME],
            &format!("-d DIR/hub {line}"),
        )?;
        assert_eq!(outcome.code, Some(69), "{line}: {outcome}");
        assert!(outcome.stderr.contains(told), "{line}: {outcome}");
    }
    Ok(())
}

#[test]
fn every_place_where_the_service_was_looked_for_is_named() -> Result {
    let place = Place::new()?;
    let missing = place.finish(&mut command(&place, &[], "-d DIR/none -a sock status"))?;
    assert_eq!(missing.code, Some(69), "{missing}");
    let said = &missing.stderr;
    assert!(said.contains("DIR/none/sock.connect"), "{missing}");
    assert!(said.contains("/run/tripe-connect"), "{missing}");
    assert!(
        said.contains("-d names DIR/none, which is no directory"),
        "{missing}"
    );
    if !Path::new("/run/tripe-connect").exists() {
        assert!(
            said.contains("nothing answers on DIR/none/sock.connect/control.sock"),
            "{missing}"
        );
        assert!(
            said.contains("there is no directory /run/tripe-connect"),
            "{missing}"
        );
    }
    Ok(())
}

#[test]
fn a_monitor_is_told_that_the_named_service_is_not_there() -> Result {
    let place = two_servers()?;
    let (outcome, _) = run(&place, &GATE, &[RUNTIME], "-a DIR/hub/tripesock check")?;
    assert_eq!(outcome.code, Some(2), "{outcome}");
    Ok(())
}
