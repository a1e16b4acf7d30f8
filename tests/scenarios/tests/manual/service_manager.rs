// SPDX-License-Identifier: GPL-3.0-or-later
//! connect-core(8), "Under a service manager": what it is told, and what it hands over.

use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::Context as _;
use rustix::process::Signal;
use scenarios::manager::{Manager, core_command, helper_command};
use scenarios::{Expect as _, Outcome, Service, Site, program, request};
use serde_json::json;
use tripe_lab::server::Target;

use crate::support::{ANSWERING, NOBODY, caller, said};

#[test]
fn core_is_ready_when_the_service_is_claimed_and_says_how_it_stands() -> Outcome {
    let site = Site::new()?
        .peer("p", &[("peer", NOBODY), ("watch", "t")])
        .peer("q", &[("peer", NOBODY)])
        .build()?;
    site.admin_ok("ADD p INET 127.0.0.1 9")?;
    site.admin_ok("ADD q INET 127.0.0.2 9")?;
    let mut manager = Manager::new(&site, "notify")?;
    // The server takes the connection but says nothing yet.
    site.lab.stall(Target::All, true)?;
    let mut command = core_command(&site)?;
    manager.listens_to(&mut command);
    let mut core = Service::run(&site, command)?;
    let before = manager.until("STATUS=connected to tripe; claiming the service")?;
    assert!(!before.contains(&"READY=1".to_owned()), "{before:?}");
    assert_eq!(said(&site, "NOTE SVCCLAIM"), [""; 0]);
    site.lab.stall(Target::All, false)?;
    manager.until("READY=1")?;
    manager.until("STATUS=connected to tripe; 2 peers, 1 adopted, 0 down, 0 gone")?;
    assert_eq!(said(&site, "NOTE SVCCLAIM").len(), 1);
    core.signal(Signal::TERM)?;
    manager.until("STOPPING=1")?;
    assert_eq!(core.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn peers_that_do_not_answer_are_counted_in_the_status() -> Outcome {
    let dead = [
        ("peer", ANSWERING),
        ("watch", "t"),
        ("every", "1s"),
        ("timeout", "1s"),
        ("retries", "1"),
        ("knock", "here"),
    ];
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &dead)
        .build()?;
    let mut manager = Manager::new(&site, "notify")?;
    let mut command = Service::command(&site)?;
    manager.listens_to(&mut command);
    let service = Service::run(&site, command)?;
    manager.until("READY=1")?;
    site.submit("active p")?;
    site.lab.silence_peer("p", true)?;
    service
        .explain(manager.until("STATUS=connected to tripe; 1 peer, 1 adopted, 1 down, 0 gone"))?;
    Ok(())
}

#[test]
fn hangup_has_the_database_read_and_is_over_when_it_was() -> Outcome {
    let site = Site::new()?.peer("old", &[("peer", NOBODY)]).build()?;
    let mut manager = Manager::new(&site, "notify")?;
    let mut command = core_command(&site)?;
    manager.listens_to(&mut command);
    let core = Service::run(&site, command)?;
    manager.until("READY=1")?;
    for _ in 0..3 {
        core.signal(Signal::HUP)?;
        manager.until("RELOADING=1")?;
        manager.until("MONOTONIC_USEC=")?;
        manager.until("READY=1")?;
    }
    assert_eq!(site.submit("list-active")?, ["old"]);
    Ok(())
}

#[test]
fn every_process_feeds_its_watchdog_and_reports_its_end() -> Outcome {
    let site = Site::new()?.build()?;
    let mut metrics = Service::bare_command_of("connect-cli")?;
    metrics
        .args(["metrics", "--listen", "127.0.0.1:0", "--runtime-dir"])
        .arg(site.path("tripesock.connect"));
    let commands = [
        ("core", core_command(&site)?),
        ("pinger", helper_command(&site, "connect-pinger")?),
        ("scripts", helper_command(&site, "connect-ifscripts")?),
        ("metrics", metrics),
    ];
    let mut running = Vec::new();
    for (name, mut command) in commands {
        let manager = Manager::new(&site, name)?;
        manager.listens_to(&mut command);
        command.env("WATCHDOG_USEC", "200000");
        running.push((name, manager, Service::run(&site, command)?));
    }
    for (name, manager, service) in &mut running {
        manager.until("READY=1").context(*name)?;
        manager.until("STATUS=").context(*name)?;
        for _ in 0..3 {
            manager.until("WATCHDOG=1").context(*name)?;
        }
        service.signal(Signal::TERM)?;
        manager.until("STOPPING=1").context(*name)?;
        assert_eq!(service.wait()?.code(), Some(0), "{name}");
    }
    Ok(())
}

#[test]
fn helpers_say_whether_they_have_found_core() -> Outcome {
    let site = Site::new()?.build()?;
    let mut running = Vec::new();
    for (program, found) in [
        ("connect-pinger", "serving core "),
        ("connect-ifscripts", "serving core "),
    ] {
        let mut manager = Manager::new(&site, program)?;
        let mut command = helper_command(&site, program)?;
        manager.listens_to(&mut command);
        let helper = Service::run(&site, command)?;
        manager.until("STATUS=waiting for core")?;
        running.push((found, manager, helper));
    }
    let mut core = Service::run(&site, core_command(&site)?)?;
    for (found, manager, _) in &mut running {
        manager.until(&format!("STATUS={found}"))?;
    }
    core.signal(Signal::TERM)?;
    core.wait()?;
    for (_, manager, _) in &mut running {
        manager.until("STATUS=waiting for core")?;
    }
    Ok(())
}

#[test]
fn children_do_not_speak_to_the_service_manager_in_our_name() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .script("save", "env")?
        .peer("p", &[("peer", ANSWERING), ("ifup", "./save")])
        .build()?;
    let mut manager = Manager::new(&site, "notify")?;
    let mut command = Service::command(&site)?;
    manager.listens_to(&mut command);
    command.env("WATCHDOG_USEC", "60000000");
    let mut service = Service::run(&site, command)?;
    // Helpers that spoke as well would be ready before the service is claimed.
    let before = manager.until("READY=1")?;
    assert!(
        before
            .iter()
            .any(|line| line.contains("connected to tripe")),
        "{before:?}"
    );
    service.wait_until_settled(&site)?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    events.exactly("NOTE USER connect ifup p stdout P_IFUP=./save")?;
    let told = said(&site, "NOTE USER connect ifup p stdout ");
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_"] {
        assert!(
            !told.iter().any(|line| line.contains(variable)),
            "{variable} in {told:?}"
        );
    }
    Ok(())
}

/// Core at a server that does not exist yet, but will be under this name.
fn early_core(site: &Site, manager: &Manager, wait: &str) -> anyhow::Result<Service> {
    let mut command = Service::bare_command_of("connect-core")?;
    command
        .arg("-a")
        .arg(site.path("later"))
        .arg("-d")
        .arg(site.directory())
        .arg("--runtime-dir")
        .arg(site.path("tripesock.connect"))
        .args(["--server-wait", wait]);
    manager.listens_to(&mut command);
    Service::run(site, command)
}

#[test]
fn a_server_that_is_away_at_the_start_is_waited_for_while_operators_are_served() -> Outcome {
    let site = Site::new()?.build()?;
    let mut manager = Manager::new(&site, "notify")?;
    let core = early_core(&site, &manager, "1h")?;
    let before = manager.until("STATUS=waiting for tripe at ")?;
    assert!(!before.contains(&"READY=1".to_owned()), "{before:?}");
    let status = core.status()?;
    assert_eq!(status[0]["service"]["server"], "down", "{status:?}");
    std::os::unix::fs::symlink(site.lab.socket_path(), site.path("later"))?;
    manager.until("READY=1")?;
    assert_eq!(said(&site, "NOTE SVCCLAIM").len(), 1);
    Ok(())
}

#[test]
fn a_server_that_does_not_come_is_given_up_with_status_69() -> Outcome {
    let site = Site::new()?.build()?;
    let mut manager = Manager::new(&site, "notify")?;
    let mut core = early_core(&site, &manager, "1s")?;
    let before = manager.until("STOPPING=1")?;
    assert!(!before.contains(&"READY=1".to_owned()), "{before:?}");
    assert_eq!(core.wait()?.code(), Some(69));
    let log = core.log();
    assert!(log.contains("cannot reach the tripe server at "), "{log}");
    Ok(())
}

#[test]
fn a_server_that_does_not_answer_our_leave_does_not_hold_us() -> Outcome {
    let site = Site::new()?.build()?;
    let mut core = Service::run(&site, core_command(&site)?)?;
    site.lab.wait_for_broadcast("NOTE SVCCLAIM connect")?;
    site.lab.stall(Target::All, true)?;
    core.signal(Signal::TERM)?;
    assert_eq!(core.wait()?.code(), Some(0));
    Ok(())
}

/// Sockets for operators and observers that somebody else holds open.
struct Held {
    control: UnixListener,
    observe: UnixListener,
}

impl Held {
    fn new(site: &Site) -> anyhow::Result<Self> {
        std::fs::create_dir(site.path("tripesock.connect"))?;
        let listen = |name: &str| UnixListener::bind(site.path("tripesock.connect").join(name));
        Ok(Held {
            control: listen("control.sock")?,
            observe: listen("observe.sock")?,
        })
    }

    /// Core, with both handed over under these names.
    fn core(&self, site: &Site, names: &str) -> anyhow::Result<Service> {
        let core = core_command(site)?;
        // The shell moves them to where sd_listen_fds(3) has them, without a word to other
        // children.
        let text = "exec 3<&0 4<&1 0</dev/null 1>&2; LISTEN_PID=$$ exec \"$0\" \"$@\"";
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", text])
            .arg(core.get_program())
            .args(core.get_args())
            .env("LISTEN_FDS", "2")
            .env("LISTEN_FDNAMES", names)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(
                self.control.try_clone()?,
            )))
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(
                self.observe.try_clone()?,
            )));
        Service::run_as_it_is(site, command)
    }
}

#[test]
fn commands_given_while_core_is_restarted_wait_for_it() -> Outcome {
    let site = Site::new()?.peer("p", &[("peer", NOBODY)]).build()?;
    let held = Held::new(&site)?;
    let submit = json!({ "submit": { "words": ["list-active"] } });
    let control = site.path("tripesock.connect/control.sock");
    let observe = site.path("tripesock.connect/observe.sock");
    for _ in 0..2 {
        // Given while nobody is there to take them.
        let asks = |path: &std::path::Path, wish: &serde_json::Value| {
            let (path, wish) = (path.to_owned(), wish.clone());
            thread::spawn(move || request(&path, &wish))
        };
        let commanding = asks(&control, &submit);
        let looking = asks(&observe, &json!({ "status": {} }));
        let forbidden = asks(&observe, &submit);
        let mut core = held.core(&site, "control:observe")?;
        let join = |asking: thread::JoinHandle<anyhow::Result<_>>| asking.join().expect("no panic");
        let answer = core.explain(join(commanding))?;
        assert_eq!(answer[0], json!({ "line": ["p"] }));
        let answer = join(looking)?;
        assert_eq!(answer[0]["service"]["version"], env!("CARGO_PKG_VERSION"));
        let answer = join(forbidden)?;
        assert!(answer[0]["error"].is_string(), "{answer:?}");
        core.signal(Signal::TERM)?;
        assert_eq!(core.wait()?.code(), Some(0));
        // They are not core's to remove.
        assert!(control.exists() && observe.exists());
        assert!(!site.path("tripesock.connect/helpers.sock").exists());
    }
    Ok(())
}

#[test]
fn signals_are_caught_before_anything_is_said_on_a_socket_handed_over() -> Outcome {
    let site = Site::new()?.build()?;
    let held = Held::new(&site)?;
    for socket in ["control.sock", "observe.sock"].iter().cycle().take(20) {
        let mut core = held.core(&site, "control:observe")?;
        // Core has said hello when this returns.
        let _caller = caller(&core, socket)?;
        core.signal(Signal::HUP)?;
        core.status()?;
        core.signal(Signal::TERM)?;
        assert_eq!(core.wait()?.code(), Some(0), "{}", core.log());
    }
    Ok(())
}

#[test]
fn a_socket_handed_over_under_an_unknown_name_is_reported() -> Outcome {
    let site = Site::new()?.build()?;
    let mut core = Held::new(&site)?.core(&site, "control:other")?;
    assert_eq!(core.wait()?.code(), Some(71));
    let log = core.log();
    assert!(log.contains("unknown name, other"), "{log}");
    Ok(())
}

/// Whether this test may become other users; without that there is nothing it could show.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("only root can show this: nothing was tested");
    }
    root
}

/// A user that nobody is.
const STRANGER: u32 = 54_321;

#[test]
fn only_processes_of_the_users_named_may_be_helpers() -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    if !is_root() {
        return Ok(());
    }
    let site = Site::new()?.build()?;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(site.directory(), open)?;
    // The program where a stranger can reach it. Another process copies it, so that no child of
    // another test has it open for writing when it is executed.
    let pinger = site.path("connect-pinger");
    let copied = Command::new("cp")
        .arg(program("connect-pinger")?)
        .arg(&pinger)
        .status()?;
    assert!(copied.success());
    let core = |options: &[&str]| {
        let mut command = core_command(&site)?;
        command.args(["--helpers-mode", "666"]).args(options);
        Service::run(&site, command)
    };
    let mut first = core(&[])?;
    site.lab.wait_for_broadcast("NOTE SVCCLAIM connect")?;
    let mut manager = Manager::new(&site, "notify")?;
    std::fs::set_permissions(site.path("notify"), std::fs::Permissions::from_mode(0o666))?;
    let mut command = Command::new(&pinger);
    command
        .arg("--socket")
        .arg(site.path("tripesock.connect/helpers.sock"))
        .env("NO_COLOR", "1")
        .uid(STRANGER)
        .gid(STRANGER);
    manager.listens_to(&mut command);
    let mut stranger = Service::run(&site, command)?;
    let refusal = format!("the user {STRANGER} may not be this helper");
    // Both sides say so, once, however often it is tried.
    stranger.wait_for("the refusals", || {
        let log = first.log();
        (log.matches(&refusal).count() >= 2).then_some(())
    })?;
    let status = first.status()?;
    assert_eq!(status[0]["service"]["pinger"]["connected"], false);
    first.signal(Signal::TERM)?;
    first.wait()?;
    assert_eq!(first.log().matches(&refusal).count(), 2, "{}", first.log());
    let second = core(&["--pinger-user", &STRANGER.to_string()])?;
    manager.until("STATUS=serving core ")?;
    let status = second.status()?;
    assert_eq!(status[0]["service"]["pinger"]["connected"], true);
    Ok(())
}

#[test]
fn a_user_that_is_not_there_is_named_at_the_start() -> Outcome {
    let site = Site::new()?.build()?;
    let mut command = core_command(&site)?;
    command.args(["--pinger-user", "nobody-of-this-name"]);
    let mut core = Service::run(&site, command)?;
    assert_eq!(core.wait()?.code(), Some(71));
    let log = core.log();
    let sentence = "there is no user nobody-of-this-name; see --pinger-user";
    assert!(log.contains(sentence), "{log}");
    Ok(())
}
