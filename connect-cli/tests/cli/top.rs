// SPDX-License-Identifier: GPL-3.0-or-later
//! `top` on a terminal: what it shows first, what keys and a new size do, and how it leaves.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};

use connect_ipc::control::{Reply, Request};
use connect_ipc::event::{Event, EventKind};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::support::{Core, Place, Result, Script, Step, peer, rows, service};

/// A core that tells its state, what happened last, and then nothing.
fn core(place: &Place) -> Result<Core> {
    let peers = (0..40).map(|at| peer(&format!("peer{at:02}"), &[1.5]));
    let happened = Event {
        seq: 7,
        at_ms: 1_700_000_000_123,
        peer: Some("peer03".into()),
        kind: EventKind::Keys {},
    };
    place.core(Script::steps([
        Step::Reply(Reply::Service(Box::new(service()?))),
        Step::Reply(rows(peers.collect::<Result<_>>()?)),
        Step::Reply(Reply::Live { seq: 8 }),
        Step::Next(Request::Recent {}),
        Step::Reply(Reply::Recent(vec![happened])),
    ]))
}

/// `top` on a terminal of its own.
struct Running {
    child: Child,
    /// Our side of the terminal: what is on the screen, and the keyboard.
    ours: File,
    theirs: File,
    /// How the terminal was before.
    before: Termios,
    seen: Vec<u8>,
    core: Core,
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

impl Running {
    fn start(place: &Place, columns: u16, rows: u16) -> Result<Self> {
        let core = core(place)?;
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = ptsname(&ours, Vec::new())?;
        let theirs = File::options()
            .read(true)
            .write(true)
            .open(name.to_str()?)?;
        tcsetwinsize(&theirs, size(columns, rows))?;
        let before = tcgetattr(&theirs)?;
        let child = place
            .command()
            .arg("top")
            .env("TERM", "xterm")
            .stdin(Stdio::from(theirs.try_clone()?))
            .stdout(Stdio::from(theirs.try_clone()?))
            .stderr(Stdio::from(theirs.try_clone()?))
            .spawn()?;
        Ok(Running {
            child,
            ours: File::from(ours),
            theirs,
            before,
            seen: Vec::new(),
            core,
        })
    }

    /// Reads until this has been written to the screen, and forgets it.
    fn see(&mut self, text: &str) -> Result {
        let mut some = [0; 4096];
        loop {
            let seen = self.seen.windows(text.len());
            if let Some(at) = seen.enumerate().find(|(_, some)| *some == text.as_bytes()) {
                self.seen.drain(..at.0 + text.len());
                return Ok(());
            }
            let count = self.ours.read(&mut some)?;
            self.seen.extend_from_slice(&some[..count]);
        }
    }

    fn press(&mut self, keys: &str) -> Result {
        Ok(self.ours.write_all(keys.as_bytes())?)
    }

    /// Gives the terminal another size, and says so as a terminal does.
    fn resize(&self, columns: u16, rows: u16) -> Result {
        tcsetwinsize(&self.theirs, size(columns, rows))?;
        Ok(kill_process(Pid::from_child(&self.child), Signal::WINCH)?)
    }

    /// Waits for the end, which must leave the terminal as it was: its modes, a cursor, and its
    /// first screen.
    fn leaves_as_it_was(mut self) -> Result {
        self.see("\x1b[?25h")?;
        self.see("\x1b[?1049l")?;
        assert_eq!(self.child.wait()?.code(), Some(0));
        let after = tcgetattr(&self.theirs)?;
        assert_eq!(
            (after.local_modes, after.input_modes, after.output_modes),
            (
                self.before.local_modes,
                self.before.input_modes,
                self.before.output_modes
            )
        );
        // It may not have told all yet.
        let _ = self.core.asked();
        Ok(())
    }
}

#[test]
fn it_begins_with_what_happened_last_and_scrolls_to_every_peer() -> Result {
    let place = Place::new()?;
    let mut top = Running::start(&place, 100, 24)?;
    top.see("> peer00")?;
    top.see("peer03       keys agreed")?;
    // The keys End and Home.
    top.press("\x1b[F")?;
    top.see("> peer39")?;
    top.press("\x1b[H")?;
    top.see("> peer00")?;
    top.press("q")?;
    top.leaves_as_it_was()
}

#[test]
fn it_follows_the_size_of_the_terminal_down_to_one_cell() -> Result {
    let place = Place::new()?;
    let mut top = Running::start(&place, 100, 24)?;
    top.see("keys agreed")?;
    top.resize(20, 5)?;
    top.see("i info k kick q quit")?;
    top.resize(1, 1)?;
    top.resize(160, 40)?;
    top.see("ADDRESS")?;
    top.press("\x03")?;
    top.leaves_as_it_was()
}

#[test]
fn every_way_out_leaves_the_terminal_as_it_was() -> Result {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let place = Place::new()?;
        let mut top = Running::start(&place, 20, 5)?;
        top.see("> peer00")?;
        kill_process(Pid::from_child(&top.child), signal)?;
        top.leaves_as_it_was()?;
    }
    let place = Place::new()?;
    let mut top = Running::start(&place, 1, 1)?;
    top.see("\x1b[?1049h")?;
    top.press("q")?;
    top.leaves_as_it_was()
}
