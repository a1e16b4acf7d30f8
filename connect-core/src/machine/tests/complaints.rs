// SPDX-License-Identifier: GPL-3.0-or-later
//! Faults that the script helper reports reach operators and observers. They end when the helper
//! disconnects.

use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::control::{HelperStatus, LaneStatus, ScriptHelperStatus};
use connect_ipc::event::{Event, EventKind, EventName};
use connect_ipc::hello::Role;
use connect_ipc::scripts::{Child, Ended, FromScripts, ScriptKind, UnderWay};
use connect_ipc::setup::Lane;
use connect_ipc::write_fault::WriteFault;

use super::super::{ConnectionId, HelperNews, Input};
use super::rig::{Rig, record};

const OLD: &str = "cannot write /run/x/runs: no storage space; make room";
const NEW: &str = "cannot write /run/x/runs: read-only filesystem; mount it for writing";

/// A core that is joined and observed.
fn observed() -> Rig {
    let mut rig = Rig::joined(&[record("p", &[("ifdown", "down")])], &[]);
    rig.observe();
    rig
}

/// The script helper as `status` shows it.
fn status(rig: &mut Rig) -> ScriptHelperStatus {
    rig.service().scripts
}

/// The events of the script helper's complaints since this was last asked.
fn told(rig: &mut Rig) -> Vec<EventKind> {
    let names = [
        EventName::JournalFault,
        EventName::JournalKept,
        EventName::PlacesFull,
        EventName::PlacesFree,
    ];
    let kinds = rig.events.drain(..).map(|event| event.kind);
    kinds.filter(|kind| names.contains(&kind.name())).collect()
}

fn fault(fault: &str) -> EventKind {
    EventKind::JournalFault {
        fault: fault.to_owned(),
    }
}

fn say_fault(rig: &mut Rig, fault: Option<&str>) {
    rig.scripts_say(FromScripts::JournalFault(fault.map(str::to_owned)));
}

#[test]
fn observers_are_told_when_a_helper_connects_and_when_its_connection_ends() {
    let mut rig = observed();
    rig.events.clear();
    rig.scripts_go();
    rig.scripts_come();
    rig.pinger_comes();
    let about_helpers = |event: Event| match event.kind {
        EventKind::HelperConnected { helper, .. } => Some((helper, true)),
        EventKind::HelperDisconnected { helper } => Some((helper, false)),
        _ => None,
    };
    let told: Vec<_> = rig.events.drain(..).filter_map(about_helpers).collect();
    let expected = [
        (Role::Ifscripts, false),
        (Role::Ifscripts, true),
        (Role::Pinger, false),
        (Role::Pinger, true),
    ];
    assert_eq!(told, expected);
    // One that is refused has not come.
    let (connection, status) = (ConnectionId(777), HelperStatus::default());
    rig.feed(Input::ScriptsConnected { connection, status });
    rig.feed(Input::Gone(connection));
    assert_eq!(rig.events.drain(..).filter_map(about_helpers).count(), 0);
}

#[test]
fn a_helper_that_cannot_begin_is_told_until_it_has_connected() {
    const WHY: &str = "process 77 holds the journal; kill it";
    let mut rig = observed();
    rig.feed(Input::Supervisor(HelperNews::HeldUp(WHY.to_owned())));
    assert_eq!(told(&mut rig), [], "it has begun");
    rig.scripts_go();
    rig.feed(Input::Supervisor(HelperNews::HeldUp(WHY.to_owned())));
    rig.feed(Input::Supervisor(HelperNews::HeldUp(WHY.to_owned())));
    assert_eq!(told(&mut rig), [fault(WHY)]);
    let shown = status(&mut rig).journal_fault.unwrap();
    assert_eq!(shown.fault, WHY);
    rig.scripts_come();
    assert_eq!(told(&mut rig), [EventKind::JournalKept { seconds: 0 }]);
    assert_eq!(status(&mut rig).journal_fault, None);
}

#[test]
fn a_journal_that_cannot_be_written_is_told_and_so_is_its_end() {
    let mut rig = observed();
    say_fault(&mut rig, None);
    assert_eq!(told(&mut rig), [], "it was in order");
    for (text, wait) in [(OLD, 30), (OLD, 5), (NEW, 35)] {
        say_fault(&mut rig, Some(text));
        rig.wait(Duration::from_secs(wait));
    }
    let now = WriteFault {
        fault: NEW.to_owned(),
        seconds: 70,
    };
    assert_eq!(status(&mut rig).journal_fault, Some(now));
    say_fault(&mut rig, None);
    assert_eq!(status(&mut rig).journal_fault, None);
    let kept = EventKind::JournalKept { seconds: 70 };
    assert_eq!(told(&mut rig), [fault(OLD), fault(NEW), kept]);
}

#[test]
fn each_helper_reports_its_own_journal_and_places() {
    let mut rig = observed();
    say_fault(&mut rig, Some(OLD));
    let lane = Lane::Interface;
    rig.scripts_say(FromScripts::Full { lane, full: true });
    rig.wait(Duration::from_secs(61));
    rig.scripts_go();
    assert!(
        status(&mut rig).journal_fault.is_some(),
        "nobody has mended it"
    );
    rig.scripts_come();
    let status = status(&mut rig);
    assert_eq!(status.journal_fault, None);
    assert_eq!(status.lanes.interface.full, None);
    let seconds = 61;
    let expected = [
        fault(OLD),
        EventKind::PlacesFull { lane, seconds: 60 },
        EventKind::JournalKept { seconds },
        EventKind::PlacesFree { lane, seconds },
    ];
    assert_eq!(told(&mut rig), expected);
}

#[test]
fn scripts_that_wait_for_places_are_shown_at_once_and_told_when_they_have_waited_for_a_minute() {
    let mut rig = observed();
    let lane = Lane::Connection;
    let full = |full| FromScripts::Full { lane, full };
    rig.scripts_say(full(true));
    rig.wait(Duration::from_secs(59));
    rig.scripts_say(full(false));
    assert_eq!(told(&mut rig), [], "a burst of scripts is usual");

    rig.scripts_say(full(true));
    rig.wait(Duration::from_secs(30));
    assert_eq!(status(&mut rig).lanes.connection.full, Some(30));
    assert_eq!(status(&mut rig).lanes.interface.full, None);
    rig.scripts_say(full(true));
    rig.wait(Duration::from_secs(45));
    assert_eq!(
        told(&mut rig),
        [EventKind::PlacesFull { lane, seconds: 60 }]
    );
    rig.scripts_say(full(false));
    assert_eq!(status(&mut rig).lanes.connection.full, None);
    assert_eq!(
        told(&mut rig),
        [EventKind::PlacesFree { lane, seconds: 75 }]
    );
}

#[test]
fn each_lane_is_told_when_it_has_waited_for_a_minute_itself() {
    let mut rig = observed();
    let full = |lane| FromScripts::Full { lane, full: true };
    rig.scripts_say(full(Lane::Connection));
    rig.wait(Duration::from_secs(30));
    rig.scripts_say(full(Lane::Interface));
    let first = EventKind::PlacesFull {
        lane: Lane::Connection,
        seconds: 60,
    };
    rig.wait(Duration::from_secs(45));
    assert_eq!(told(&mut rig), [first]);
    let second = EventKind::PlacesFull {
        lane: Lane::Interface,
        seconds: 60,
    };
    rig.wait(Duration::from_secs(45));
    assert_eq!(told(&mut rig), [second]);
}

#[test]
fn the_runs_of_each_lane_are_counted_while_they_run_and_wait() {
    let mut rig = observed();
    let child = Child {
        pid: 77,
        start_time: 1,
    };
    let run = |run, kind, child| UnderWay {
        run: RunId(run),
        peer: "p".to_owned(),
        kind,
        child,
        limit: None,
    };
    rig.scripts_come_with(vec![
        run(1, ScriptKind::Ifup, Some(child)),
        run(2, ScriptKind::Ifdown, None),
        run(3, ScriptKind::Connect, None),
    ]);
    let lane = |running, waiting| LaneStatus {
        running,
        waiting,
        full: None,
    };
    let lanes = status(&mut rig).lanes;
    assert_eq!(
        (lanes.interface, lanes.connection),
        (lane(1, 1), lane(0, 1))
    );
    rig.scripts_say(FromScripts::Ended {
        run: RunId(1),
        end: Ended::Lost,
    });
    assert_eq!(status(&mut rig).lanes.interface, lane(0, 1));
    let counted = rig.service().counters.scripts;
    assert_eq!((counted.lost, counted.pending), (1, 2));
}
