// SPDX-License-Identifier: GPL-3.0-or-later
//! What one observer is told: the state, and every event that follows, with its number.

use std::collections::BTreeMap;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::{Reply, ServerLink};
use connect_ipc::event::{Event, EventKind};
use connect_ipc::hello::Role;
use connect_ipc::scripts::ScriptKind;
use connect_ipc::setup::Lane;
use connect_runtime::start_time;

use super::accord::{Accord, Core};
use super::tracks::Tracks;
use judge::noted::Heard;

/// Which processes work together at present, as the service told it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct View {
    pub(crate) core: Option<i32>,
    pub(crate) pinger: Option<i32>,
    pub(crate) scripts: Option<i32>,
    /// Whether the service is at the server.
    pub(crate) joined: bool,
    /// How often the service has been found at a server: the number tells one time from another.
    pub(crate) joins: u64,
}

/// A gap or a double.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Oddity {
    pub(crate) at: Monotonic,
    pub(crate) text: String,
}

/// The stream of one observer, over all its connections.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    view: View,
    pub(crate) tracks: Tracks,
    /// The number of the last event, once there was one on this connection.
    last: Option<u64>,
    /// Whether the state is complete, so that no event may be missing from now on.
    live: bool,
    pub(crate) oddities: Vec<Oddity>,
    /// What all observers were told.
    accord: Accord,
    /// Which core tells it.
    core: Option<Core>,
    /// The scripts that were told as started on this connection and not as ended.
    under_way: BTreeMap<(String, Lane), ScriptKind>,
    /// The scripts that have started, by peer.
    pub(crate) started: BTreeMap<String, Vec<Heard>>,
    pub(crate) events: u64,
    /// Events that the service left out, and said so.
    pub(crate) dropped: u64,
    pub(crate) connections: u64,
}

impl Stream {
    /// A stream of one of several observers.
    pub(crate) fn new(accord: Accord) -> Self {
        Stream {
            accord,
            ..Stream::default()
        }
    }

    /// Takes one reply; says whether it tells that a peer has answered a ping.
    pub(crate) fn take(&mut self, reply: Reply, now: Monotonic) -> bool {
        match reply {
            Reply::Service(service) => {
                self.connections += 1;
                let pid = |connected: bool, pid: Option<i32>| pid.filter(|_| connected);
                let helper = &service.scripts.helper;
                self.view = View {
                    core: i32::try_from(service.pid).ok(),
                    pinger: pid(service.pinger.connected, service.pinger.pid),
                    scripts: pid(helper.connected, helper.pid),
                    joined: service.server == ServerLink::Up,
                    joins: self.view.joins + 1,
                };
                self.tracks = Tracks::default();
                // A core that has ended meanwhile tells nothing more.
                let start = self.view.core.and_then(start_time::of);
                self.core = self.view.core.zip(start);
            }
            Reply::Peers(rows) => self.tracks.begin(&rows),
            Reply::Live { seq } => {
                if let Some(last) = self.last.filter(|last| seq < *last) {
                    let text = format!("the state goes up to event {seq}, after event {last}");
                    self.oddities.push(Oddity { at: now, text });
                }
                self.live = true;
                self.last = Some(seq);
            }
            Reply::Dropped { events } => {
                self.dropped += events;
                self.last = self.last.map(|last| last + events);
                // What was left out is missing from the figures.
                self.tracks.spoil();
                self.under_way.clear();
            }
            Reply::Event(event) => return self.event(&event, now),
            _ => {}
        }
        false
    }

    fn event(&mut self, event: &Event, now: Monotonic) -> bool {
        self.events += 1;
        let wrong = self.last.is_some_and(|last| {
            // Before the state is complete, events of peers that are still to come are left out.
            event.seq <= last || (self.live && event.seq != last + 1)
        });
        if wrong {
            let last = self.last.unwrap_or_default();
            let text = format!("event {} comes after event {last}", event.seq);
            self.oddities.push(Oddity { at: now, text });
        }
        self.last = Some(event.seq);
        if self.core.is_some_and(|core| !self.accord.take(core, event)) {
            let text = format!("event {} is another one for another observer", event.seq);
            self.oddities.push(Oddity { at: now, text });
        }
        self.tracks.event(event);
        match &event.kind {
            EventKind::HelperConnected { helper, pid } => self.helper(*helper, *pid),
            EventKind::HelperDisconnected { helper } => self.helper(*helper, None),
            EventKind::Joined {} => {
                self.view.joined = true;
                self.view.joins += 1;
            }
            EventKind::Lost {} => self.view.joined = false,
            EventKind::Started { script, pid } => {
                let peer = event.peer.clone().unwrap_or_default();
                self.begin_script(&peer, *script, now);
                let heard = Heard {
                    kind: *script,
                    pid: *pid,
                    at: now,
                };
                self.started.entry(peer).or_default().push(heard);
            }
            EventKind::Ended { script, .. } => self.end_script(event.peer.as_deref(), *script),
            EventKind::Reply { .. } => return true,
            _ => {}
        }
        false
    }

    /// A script was told as started: then the one of its lane before it was told as ended.
    fn begin_script(&mut self, peer: &str, script: ScriptKind, at: Monotonic) {
        let lane = (peer.to_owned(), script.lane());
        if let Some(before) = self.under_way.insert(lane, script) {
            let (script, before) = (script.name(), before.name());
            let text = format!("{script} of {peer} has started, and {before} has not ended");
            self.oddities.push(Oddity { at, text });
        }
    }

    /// A script was told as ended, perhaps one that had started before this connection, or never.
    fn end_script(&mut self, peer: Option<&str>, script: ScriptKind) {
        let lane = (peer.unwrap_or_default().to_owned(), script.lane());
        if self.under_way.get(&lane) == Some(&script) {
            self.under_way.remove(&lane);
        }
    }

    fn helper(&mut self, helper: Role, pid: Option<i32>) {
        match helper {
            Role::Pinger => self.view.pinger = pid,
            Role::Ifscripts => self.view.scripts = pid,
            Role::Core | Role::Operator => {}
        }
    }

    /// The connection has ended.
    pub(crate) fn closed(&mut self) {
        let joins = self.view.joins;
        self.view = View {
            joins,
            ..View::default()
        };
        self.last = None;
        self.live = false;
        self.core = None;
        self.under_way.clear();
    }

    /// Whether it has the state and gets the events that follow.
    pub(crate) const fn is_live(&self) -> bool {
        self.live
    }

    /// The number of the last event.
    pub(crate) const fn last(&self) -> Option<u64> {
        self.last
    }

    /// Which processes work together.
    pub(crate) const fn view(&self) -> View {
        self.view
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::scripts::Ended;

    fn event(seq: u64, kind: EventKind) -> Reply {
        Reply::Event(Event {
            seq,
            at_ms: 0,
            peer: None,
            kind,
        })
    }

    fn texts(stream: &Stream) -> Vec<&str> {
        let oddities = stream.oddities.iter();
        oddities.map(|oddity| oddity.text.as_str()).collect()
    }

    #[test]
    fn a_gap_and_a_double_are_found_and_a_gap_that_was_told_is_none() {
        let mut stream = Stream::default();
        let at = Monotonic(1);
        for seq in [3, 5] {
            stream.take(event(seq, EventKind::Lost {}), at);
        }
        stream.take(Reply::Live { seq: 7 }, at);
        stream.take(event(8, EventKind::Lost {}), at);
        stream.take(Reply::Dropped { events: 2 }, at);
        stream.take(event(11, EventKind::Lost {}), at);
        assert!(texts(&stream).is_empty());
        stream.take(event(13, EventKind::Lost {}), at);
        stream.take(event(13, EventKind::Lost {}), at);
        let wanted = [
            "event 13 comes after event 11",
            "event 13 comes after event 13",
        ];
        assert_eq!(texts(&stream), wanted);
        stream.closed();
        stream.take(event(1, EventKind::Lost {}), at);
        assert_eq!(texts(&stream).len(), 2, "another core counts from 1");
    }

    #[test]
    fn a_state_that_is_older_than_an_event_before_it_is_found() {
        let mut stream = Stream::default();
        stream.take(event(5, EventKind::Lost {}), Monotonic(1));
        stream.take(Reply::Live { seq: 5 }, Monotonic(1));
        assert!(texts(&stream).is_empty());
        stream.take(Reply::Live { seq: 4 }, Monotonic(1));
        assert_eq!(
            texts(&stream),
            ["the state goes up to event 4, after event 5"]
        );
    }

    #[test]
    fn a_script_that_is_told_as_started_beside_another_one_of_its_lane_is_found() {
        let mut stream = Stream::default();
        let mut seq = 0;
        let mut tell = |kind| {
            seq += 1;
            let event = Event {
                seq,
                at_ms: 0,
                peer: Some("p".to_owned()),
                kind,
            };
            stream.take(Reply::Event(event), Monotonic(1));
            stream.oddities.len()
        };
        let started = |script| EventKind::Started { script, pid: 7 };
        let ended = |script| EventKind::Ended {
            script,
            end: Ended::Exited(0),
        };
        assert_eq!(tell(ended(ScriptKind::Ifup)), 0, "it had started before");
        assert_eq!(tell(started(ScriptKind::Ifup)), 0);
        assert_eq!(tell(started(ScriptKind::Connect)), 0, "another lane");
        assert_eq!(tell(ended(ScriptKind::Ifdown)), 0, "it was never started");
        assert_eq!(tell(ended(ScriptKind::Ifup)), 0);
        assert_eq!(tell(started(ScriptKind::Ifdown)), 0);
        assert_eq!(tell(started(ScriptKind::Ifup)), 1);
    }

    #[test]
    fn the_view_follows_the_events() {
        let mut stream = Stream::default();
        let connected = EventKind::HelperConnected {
            helper: Role::Pinger,
            pid: Some(7),
        };
        stream.take(event(1, connected), Monotonic(1));
        stream.take(event(2, EventKind::Joined {}), Monotonic(1));
        let view = stream.view();
        assert_eq!((view.pinger, view.joined), (Some(7), true));
        let helper = Role::Pinger;
        stream.take(
            event(3, EventKind::HelperDisconnected { helper }),
            Monotonic(1),
        );
        assert_eq!(stream.view().pinger, None);
        assert!(stream.take(event(4, EventKind::Reply { millis: 1.0 }), Monotonic(1)));
        stream.closed();
        assert!(!stream.view().joined);
    }
}
