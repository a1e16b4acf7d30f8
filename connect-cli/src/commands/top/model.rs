// SPDX-License-Identifier: GPL-3.0-or-later
//! What `top` shows, and what keys and events do to it. No terminal, no service.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use connect_ipc::control::{PeerDetail, PeerState, PeerStatus, ServiceStatus};
use connect_ipc::event::{Event, EventKind};
use connect_ipc::statistics::LastPing;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_width::UnicodeWidthStr as _;

use crate::output::event_text;
use crate::output::paint::Paint;
use crate::output::status_text;
use crate::output::summary::Summary;
use crate::output::text;

/// How many round trips of a peer are kept: more than the widest line shows.
const HISTORY: usize = 256;

/// How many peers before those in view, and after them, round trips are kept of: that is more than
/// somebody pages through before the next state comes, and bounds the memory.
const NEAR: usize = 1_000;

/// How many lines of the log are kept.
const LOG: usize = 500;

/// What peers are sorted by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Order {
    #[default]
    Name,
    /// The ones in trouble first.
    State,
    /// The slowest first.
    Last,
    /// The slowest on the whole first.
    Mean,
    /// The lossiest first.
    Loss,
}

impl Order {
    const fn next(self) -> Self {
        match self {
            Order::Name => Order::State,
            Order::State => Order::Last,
            Order::Last => Order::Mean,
            Order::Mean => Order::Loss,
            Order::Loss => Order::Name,
        }
    }
}

/// What the model asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// To end.
    Quit,
    /// To kick this peer.
    Kick(String),
    /// Everything about this peer.
    Info(String),
}

/// What is on the screen below the list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Pane {
    /// What happens.
    #[default]
    Log,
    /// Everything about a peer; `None` until it is known.
    Info(String, Option<Box<PeerDetail>>),
}

/// The part of the list that is in view.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// The first peer in it.
    first: usize,
    /// How many peers it has room for.
    rows: usize,
}

/// How wide the widest texts of the peers are, in columns.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Widths {
    pub(crate) name: usize,
    pub(crate) state: usize,
    pub(crate) address: usize,
}

impl Widths {
    /// The widths that the rows of these peers need.
    fn of(peers: &[PeerStatus]) -> Self {
        let widest = |width: fn(&PeerStatus) -> usize| peers.iter().map(width).max();
        let address = |peer: &PeerStatus| {
            let address = peer.address.as_deref().map(text::address);
            address.map_or(0, |address| address.width())
        };
        Widths {
            name: widest(|peer| text::clean(&peer.name).width()).unwrap_or_default(),
            state: widest(|peer| status_text::state_and_scripts(peer).0.width())
                .unwrap_or_default(),
            address: widest(address).unwrap_or_default(),
        }
    }
}

/// Everything that is shown.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) service: ServiceStatus,
    /// The peers, in the order that they are shown in.
    pub(crate) peers: Vec<PeerStatus>,
    /// What there is to say of all of them.
    pub(crate) summary: Summary,
    /// What they are sorted by.
    pub(crate) order: Order,
    /// The peer that is chosen; a name, since peers come and go.
    chosen: Option<String>,
    /// What is below the list.
    pub(crate) pane: Pane,
    /// The peer that is to be kicked, while we ask.
    pub(crate) asking: Option<String>,
    /// What happened, oldest first.
    pub(crate) log: VecDeque<(String, Paint)>,
    history: HashMap<String, VecDeque<Option<f64>>>,
    window: Window,
    pub(crate) widths: Widths,
}

impl Model {
    /// What is shown at first.
    pub(crate) fn new(service: ServiceStatus, peers: Vec<PeerStatus>) -> Self {
        let mut model = Model {
            service: service.clone(),
            peers: Vec::new(),
            summary: Summary::default(),
            order: Order::default(),
            chosen: None,
            pane: Pane::default(),
            asking: None,
            log: VecDeque::new(),
            history: HashMap::new(),
            window: Window::default(),
            widths: Widths::default(),
        };
        model.refresh(service, peers);
        model
    }

    /// Replaces the state.
    pub(crate) fn refresh(&mut self, service: ServiceStatus, peers: Vec<PeerStatus>) {
        self.service = service;
        self.peers = peers;
        self.widths = Widths::of(&self.peers);
        self.summary = Summary::of(&self.peers);
        self.sort();
        if self.position().is_none() {
            self.choose(0);
        }
        self.keep_history();
    }

    /// Keeps the round trips of the peers near those in view. Of one that comes to be near, only
    /// the last is known.
    fn keep_history(&mut self) {
        let first = self.window.first.saturating_sub(NEAR);
        let near = self.peers.iter().skip(first);
        let near = near.take(2 * NEAR + self.window.rows);
        let names: HashSet<&str> = near.clone().map(|peer| &*peer.name).collect();
        self.history.retain(|name, _| names.contains(&**name));
        for peer in near {
            if !self.history.contains_key(&peer.name) {
                let last = match peer.statistics.last {
                    LastPing::Reply(millis) => Some(Some(millis)),
                    LastPing::None | LastPing::Timeout => None,
                };
                let history = last.into_iter().collect();
                self.history.insert(peer.name.clone(), history);
            }
        }
    }

    /// Sorts the peers: the greatest figure first, then by name.
    fn sort(&mut self) {
        let figure: fn(&PeerStatus) -> f64 = match self.order {
            Order::Name => |_| 0.0,
            Order::State => |peer| match status_text::state_and_scripts(peer).1 {
                Paint::Bad => 3.0,
                Paint::Doubtful => 2.0,
                _ if peer.state.is_adopted() || peer.state == PeerState::Adding => 1.0,
                _ => 0.0,
            },
            Order::Last => |peer| match peer.statistics.last {
                LastPing::Timeout => f64::INFINITY,
                LastPing::Reply(millis) => millis,
                LastPing::None => -1.0,
            },
            Order::Mean => |peer| peer.statistics.mean().unwrap_or(-1.0),
            Order::Loss => |peer| peer.statistics.loss().unwrap_or(-1.0),
        };
        self.peers.sort_by(|left, right| {
            let figures = figure(right).total_cmp(&figure(left));
            figures.then_with(|| left.name.cmp(&right.name))
        });
    }

    /// Where the chosen peer is in the list.
    pub(crate) fn position(&self) -> Option<usize> {
        let chosen = self.chosen.as_ref()?;
        self.peers.iter().position(|peer| peer.name == *chosen)
    }

    fn choose(&mut self, at: usize) {
        let last = self.peers.len().saturating_sub(1);
        self.chosen = self.peers.get(at.min(last)).map(|peer| peer.name.clone());
    }

    /// The first peer to be shown where there is room for `rows` peers. The view moves no further
    /// than is needed to show the chosen peer.
    pub(crate) fn scroll(&mut self, rows: usize) -> usize {
        let rows = rows.max(1);
        let at = self.position().unwrap_or_default();
        // No row stays empty while there are peers for it.
        let most = at.min(self.peers.len().saturating_sub(rows));
        let least = (at + 1).saturating_sub(rows).min(most);
        let first = self.window.first.clamp(least, most);
        self.window = Window { first, rows };
        first
    }

    /// The recent pings of a peer, oldest first; `None` was lost.
    pub(crate) fn history(&self, peer: &str) -> impl DoubleEndedIterator<Item = Option<f64>> {
        self.history.get(peer).into_iter().flatten().copied()
    }

    fn ping(&mut self, peer: &str, millis: Option<f64>) {
        let Some(history) = self.history.get_mut(peer) else {
            return;
        };
        history.push_back(millis);
        if history.len() > HISTORY {
            history.pop_front();
        }
    }

    /// Adds a line to the log.
    pub(crate) fn say(&mut self, text: &str, paint: Paint) {
        self.log.push_back((text::clean(text).into_owned(), paint));
        if self.log.len() > LOG {
            self.log.pop_front();
        }
    }

    /// Takes what happened last before event `since`; what comes after it is told one by one.
    pub(crate) fn recent(&mut self, events: &[Event], since: u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        let date = |at: u64| event_text::local_time(at, "%F");
        let today = date(now);
        for event in events.iter().rev().filter(|event| event.seq <= since) {
            let form = if date(event.at_ms) == today {
                "%T"
            } else {
                "%F %T"
            };
            if self.log.len() < LOG {
                let (line, paint) = line(event, form);
                self.log
                    .push_front((text::clean(&line).into_owned(), paint));
            }
        }
    }

    /// Takes an event.
    pub(crate) fn event(&mut self, event: &Event) {
        match (&event.kind, &event.peer) {
            // There are too many of these for the log.
            (EventKind::Reply { millis }, Some(peer)) => return self.ping(peer, Some(*millis)),
            (EventKind::Missed { .. }, Some(peer)) => self.ping(peer, None),
            _ => {}
        }
        let (line, paint) = line(event, "%T");
        self.say(&line, paint);
    }

    /// Takes everything about a peer.
    pub(crate) fn detail(&mut self, detail: PeerDetail) {
        if let Pane::Info(_, known) = &mut self.pane {
            *known = Some(Box::new(detail));
        }
    }

    /// Takes a key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Some(Action::Quit);
        }
        if let Some(peer) = self.asking.take() {
            // Every other key means no.
            return (key.code == KeyCode::Char('y')).then_some(Action::Kick(peer));
        }
        let at = self.position().unwrap_or_default();
        match key.code {
            KeyCode::Up => self.choose(at.saturating_sub(1)),
            KeyCode::Down => self.choose(at + 1),
            KeyCode::PageUp => self.choose(at.saturating_sub(self.window.rows.max(1))),
            KeyCode::PageDown => self.choose(at + self.window.rows.max(1)),
            KeyCode::Home => self.choose(0),
            KeyCode::End => self.choose(usize::MAX),
            KeyCode::Char('s') => {
                self.order = self.order.next();
                self.sort();
                return None;
            }
            KeyCode::Char('k') => {
                self.asking.clone_from(&self.chosen);
                return None;
            }
            KeyCode::Char('i') if self.pane == Pane::Log => return self.open(),
            KeyCode::Char('i') => self.pane = Pane::Log,
            KeyCode::Char('q') | KeyCode::Esc if self.pane == Pane::Log => {
                return Some(Action::Quit);
            }
            KeyCode::Char('q') | KeyCode::Esc => self.pane = Pane::Log,
            _ => return None,
        }
        match self.pane {
            // The pane follows the choice.
            Pane::Info(..) => self.open(),
            Pane::Log => None,
        }
    }

    fn open(&mut self) -> Option<Action> {
        let peer = self.chosen.clone()?;
        self.pane = match std::mem::take(&mut self.pane) {
            Pane::Info(name, detail) if name == peer => Pane::Info(name, detail),
            _ => Pane::Info(peer.clone(), None),
        };
        Some(Action::Info(peer))
    }

    /// What must be requested again regularly.
    pub(crate) fn stale(&self) -> Option<Action> {
        match &self.pane {
            Pane::Info(peer, _) => Some(Action::Info(peer.clone())),
            Pane::Log => None,
        }
    }
}

/// An event in a line, with its time in this form.
fn line(event: &Event, form: &str) -> (String, Paint) {
    let (what, paint) = event_text::describe(&event.kind);
    let time = event_text::local_time(event.at_ms, form);
    let peer = event.peer.as_deref().unwrap_or(text::NOTHING);
    (format!("{time} {peer:<12} {what}"), paint)
}
