// SPDX-License-Identifier: GPL-3.0-or-later
//! No program can be reached before it catches its signals: each is sent one as soon as somebody is
//! connected to it, and ends or goes on as it would at any other time.

use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Context as _;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use scenarios::manager::{Manager, core_command, helper_command};
use scenarios::{Outcome, PATIENCE, Service, Site};
use tripe_lab::server::Target;

/// How often each race is run.
const RACES: usize = 10;

const SOCKETS: [&str; 3] = ["helpers.sock", "control.sock", "observe.sock"];

/// Tries to connect until it succeeds.
fn connected<T>(service: &mut Service, connect: impl Fn() -> Option<T>) -> anyhow::Result<T> {
    loop {
        if let Some(connection) = connect() {
            return Ok(connection);
        }
        if service.has_ended()? {
            // With --daemon it ends as soon as the service is there.
            let last = connect();
            return last.with_context(|| format!("ended before it was reached: {}", service.log()));
        }
        std::thread::yield_now();
    }
}

/// Starts a service, and waits until one of its sockets accepts.
fn reached(site: &Site, command: Command, socket: &str) -> anyhow::Result<(Service, UnixStream)> {
    let path = site.path("tripesock.connect").join(socket);
    let mut service = Service::run(site, command)?;
    let stream = connected(&mut service, || UnixStream::connect(&path).ok())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok((service, stream))
}

#[test]
fn core_and_connect_end_well_by_the_earliest_signal() -> Outcome {
    let site = Site::new()?.build()?;
    for round in 0..RACES {
        for program in ["connect-core", "connect"] {
            for signal in [Signal::TERM, Signal::INT] {
                let command = Service::command_of(&site, program)?;
                let (mut service, _stream) =
                    reached(&site, command, SOCKETS[round % SOCKETS.len()])?;
                service.signal(signal)?;
                let code = service.wait()?.code();
                assert_eq!(code, Some(0), "{program}, {signal:?}: {}", service.log());
            }
        }
    }
    Ok(())
}

#[test]
fn core_stays_at_the_earliest_hangup_and_is_not_ready_too_soon_by_it() -> Outcome {
    let site = Site::new()?.build()?;
    for (round, socket) in (0..RACES).zip(SOCKETS.iter().cycle()) {
        let mut manager = Manager::new(&site, &format!("notify-{round}"))?;
        site.lab.stall(Target::All, true)?;
        let mut command = core_command(&site)?;
        manager.listens_to(&mut command);
        let (mut core, _stream) = reached(&site, command, socket)?;
        core.signal(Signal::HUP)?;
        let log_before = "reading the database because of SIGHUP";
        let times = round + 1;
        let log = site.path("connect.log");
        core.wait_for("the look at the database", || {
            let log = std::fs::read_to_string(&log).ok()?;
            (log.matches(log_before).count() >= times).then_some(())
        })?;
        site.lab.stall(Target::All, false)?;
        let before = manager.until("READY=1")?;
        assert!(!before.contains(&"RELOADING=1".to_owned()), "{before:?}");
        core.signal(Signal::TERM)?;
        assert_eq!(core.wait()?.code(), Some(0), "{}", core.log());
    }
    Ok(())
}

/// The process that listens at the other end.
fn listener_of(stream: &UnixStream) -> anyhow::Result<Pid> {
    Ok(socket_peercred(stream)?.pid)
}

#[test]
fn the_background_process_of_daemon_catches_the_earliest_signal() -> Outcome {
    let site = Site::new()?.build()?;
    for socket in SOCKETS.iter().cycle().take(RACES) {
        let daemon = || {
            let mut command = Service::command(&site)?;
            command.arg("--daemon");
            reached(&site, command, socket)
        };
        // It goes on.
        let (mut caller, stream) = daemon()?;
        kill_process(listener_of(&stream)?, Signal::HUP)?;
        assert_eq!(caller.wait()?.code(), Some(0), "{}", caller.log());
        end(&stream)?;
        // It ends, and the caller says so if that was before it was ready.
        let (mut caller, stream) = daemon()?;
        end(&stream)?;
        let code = caller.wait()?.code();
        assert!(matches!(code, Some(0 | 70)), "{code:?}: {}", caller.log());
        assert!(!caller.log().contains("by signal"), "{}", caller.log());
    }
    Ok(())
}

/// Ends the process at the other end, and waits until it has gone.
fn end(stream: &UnixStream) -> Outcome {
    let process = listener_of(stream)?;
    let watched = rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty())?;
    kill_process(process, Signal::TERM)?;
    let mut ended = [rustix::event::PollFd::new(
        &watched,
        rustix::event::PollFlags::IN,
    )];
    let limit = rustix::event::Timespec::try_from(PATIENCE)?;
    let count = rustix::event::poll(&mut ended, Some(&limit))?;
    anyhow::ensure!(count == 1, "process {process:?} does not end");
    Ok(())
}

/// Waits until a program that connects to this socket has done so.
fn accepted(listener: &UnixListener) -> anyhow::Result<UnixStream> {
    let mut waiting = [rustix::event::PollFd::new(
        listener,
        rustix::event::PollFlags::IN,
    )];
    let limit = rustix::event::Timespec::try_from(PATIENCE)?;
    anyhow::ensure!(
        rustix::event::poll(&mut waiting, Some(&limit))? == 1,
        "nobody has connected"
    );
    Ok(listener.accept()?.0)
}

#[test]
fn helpers_end_well_by_a_signal_as_soon_as_they_have_reached_core() -> Outcome {
    let site = Site::new()?.build()?;
    std::fs::create_dir(site.path("tripesock.connect"))?;
    let core = UnixListener::bind(site.path("tripesock.connect/helpers.sock"))?;
    for _ in 0..RACES {
        for program in ["connect-pinger", "connect-ifscripts"] {
            for signal in [Signal::TERM, Signal::INT] {
                let mut helper = Service::run(&site, helper_command(&site, program)?)?;
                let _stream = accepted(&core)?;
                helper.signal(signal)?;
                let code = helper.wait()?.code();
                assert_eq!(code, Some(0), "{program}, {signal:?}: {}", helper.log());
            }
        }
    }
    Ok(())
}

/// `connect-cli` with these words, about the service in this directory.
fn tool(site: &Site, directory: &Path, words: &[&str]) -> anyhow::Result<Command> {
    let mut command = Service::bare_command_of("connect-cli")?;
    command
        .args(words)
        .env("TRIPE_CONNECT_DIR", directory)
        .env("TRIPESOCK", directory.join("tripesock"))
        .env("TRIPEDIR", site.directory());
    Ok(command)
}

#[test]
fn commands_that_go_on_end_well_by_a_signal_as_soon_as_they_have_connected() -> Outcome {
    let site = Site::new()?.build()?;
    let place = site.path("played");
    std::fs::create_dir(&place)?;
    let service = UnixListener::bind(place.join("control.sock"))?;
    let server = UnixListener::bind(place.join("tripesock"))?;
    for _ in 0..RACES {
        for (words, socket) in [
            (["events", "--json"], &service),
            (["status", "--watch"], &service),
            (["admin", "--watch"], &server),
        ] {
            for signal in [Signal::TERM, Signal::INT] {
                let mut tool = Service::run(&site, tool(&site, &place, &words)?)?;
                let _stream = accepted(socket)?;
                tool.signal(signal)?;
                let code = tool.wait()?.code();
                assert_eq!(code, Some(0), "{words:?}, {signal:?}: {}", tool.log());
            }
        }
    }
    Ok(())
}

/// An address that nobody else has: of this process alone, and with a port of its own. A port that
/// was free a moment ago could be somebody else's now, who would accept the connection.
fn own_address() -> SocketAddr {
    static PORT: AtomicU16 = AtomicU16::new(9_786);
    // The highest process number is below 2^22.
    let own = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + 0x40_0000 + std::process::id());
    SocketAddr::from((own, PORT.fetch_add(1, Relaxed)))
}

#[test]
fn metrics_end_well_by_a_signal_as_soon_as_the_port_accepts() -> Outcome {
    let site = Site::new()?.build()?;
    for _ in 0..RACES {
        for signal in [Signal::TERM, Signal::INT] {
            let address = own_address();
            let words = ["metrics", "--listen", &address.to_string()];
            let mut metrics = Service::run(&site, tool(&site, site.directory(), &words)?)?;
            let _stream = connected(&mut metrics, || TcpStream::connect(address).ok())?;
            metrics.signal(signal)?;
            let code = metrics.wait()?.code();
            assert_eq!(code, Some(0), "{signal:?}: {}", metrics.log());
        }
    }
    Ok(())
}

/// A terminal: our side of it, and the side of programs.
fn terminal() -> anyhow::Result<(OwnedFd, File)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let theirs = rustix::fs::open(
        name,
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&theirs, size)?;
    Ok((ours, File::from(theirs)))
}

/// `connect-cli top` of the service of this server, on this terminal.
fn top(site: &Site, directory: &Path, server: &Path, terminal: &File) -> anyhow::Result<Child> {
    tool(site, directory, &["top"])?
        .env("TRIPESOCK", server)
        .env("TERM", "xterm")
        .stdin(Stdio::from(terminal.try_clone()?))
        .stdout(Stdio::from(terminal.try_clone()?))
        .stderr(Stdio::from(terminal.try_clone()?))
        .spawn()
        .context("cannot start connect-cli")
}

/// Sends a signal to a program on a terminal, which must end well and leave the terminal as it was.
fn ends_clean(mut top: Child, signal: Signal, ours: OwnedFd, theirs: File) -> Outcome {
    kill_process(Pid::from_child(&top), signal)?;
    // Somebody must read what is written to a terminal.
    let reader = std::thread::spawn(move || {
        let mut screen = Vec::new();
        // The end of a terminal is an error.
        let _ = File::from(ours).read_to_end(&mut screen);
    });
    let status = top.wait()?;
    let modes = tcgetattr(&theirs)?.local_modes;
    drop(theirs);
    assert!(reader.join().is_ok());
    assert_eq!(status.code(), Some(0), "{signal:?}");
    assert!(
        modes.contains(rustix::termios::LocalModes::ICANON),
        "{signal:?}: the terminal was left raw"
    );
    Ok(())
}

#[test]
fn top_leaves_a_clean_terminal_at_the_earliest_signal() -> Outcome {
    let site = Site::new()?.build()?;
    let place = site.path("played");
    std::fs::create_dir(&place)?;
    let played = UnixListener::bind(place.join("control.sock"))?;
    let _service = site.connect(&[])?;
    for _ in 0..RACES {
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            // As soon as it has connected.
            let (ours, theirs) = terminal()?;
            let running = top(&site, &place, &place.join("tripesock"), &theirs)?;
            let _stream = accepted(&played)?;
            ends_clean(running, signal, ours, theirs)?;
            // As soon as it has begun to draw.
            let (ours, theirs) = terminal()?;
            let directory = site.path("tripesock.connect");
            let running = top(&site, &directory, &site.path("tripesock"), &theirs)?;
            rustix::io::read(&ours, &mut [0_u8; 1])?;
            ends_clean(running, signal, ours, theirs)?;
        }
    }
    Ok(())
}
