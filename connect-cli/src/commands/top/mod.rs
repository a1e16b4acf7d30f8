// SPDX-License-Identifier: GPL-3.0-or-later
//! `top`: the service, its peers and what happens, live on the whole screen.
//!
//! ```text
//!   keys, events, states --> Model --> view::draw --> terminal
//!                              |
//!                              +--> Action: info, kick, quit
//! ```

pub(crate) mod columns;
pub(crate) mod model;
pub(crate) mod view;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{PeerStatus, Reply, Request, ServiceStatus};
use connect_ipc::event_filter::{EventFilter, EventKinds};
use connect_runtime::clock;
use connect_runtime::exit::Exit;
use connect_runtime::signals::EndSignals;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input, KeyEventKind};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::model::{Action, Model};
use crate::client::connection::ControlError;
use crate::client::requests;
use crate::client::state::pause_after;
use crate::client::subscription::{StreamItem, Subscription};
use crate::common::{Common, Pace};
use crate::error::{Error, succeeded};
use crate::output::paint::Paint;
use crate::output::text;

/// How often the state is requested, if it does not take long: it contains more than the events
/// tell.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long at least one drawing stays, unless a key is pressed: many peers have many events, and
/// nobody sees more drawings.
const FRAME: Duration = Duration::from_millis(50);

/// Show the peers and what happens, live on the whole screen
#[derive(Args, Debug)]
#[command(after_help = "\
    Each peer has a bar for its lost pings and a line for its recent round trips, in which × is \
    a lost ping. A narrow screen shows fewer columns. Below are the latest events, also those \
    from before the start of this program. Keys: arrows, page up and down, home and end choose a \
    peer, s sorts by the next column, k kicks the peer after asking, i shows everything about \
    it, q quits.\n\n\
    Examples:\n\
    \x20 connect-cli top")]
pub(crate) struct Top {}

/// What makes the screen change.
enum Wakeup {
    Input(Input),
    StreamItem(StreamItem),
    Said(String, Paint),
    Tick,
    End,
}

impl Top {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(Error::System {
                action: "show a screen".into(),
                source: io::Error::other(
                    "input or output is no terminal; use `connect-cli status --watch', which \
                     needs none",
                ),
            });
        }
        // Before the terminal is changed: an uncaught signal would leave it in raw mode.
        let mut signals = Signals::catch()?;
        let begun = tokio::select! {
            begun = Begun::subscribe(common) => begun?,
            _ = signals.next() => return Ok(Exit::Success),
        };
        let terminal = ratatui::try_init().inspect_err(|_| {
            // It may have changed half of it; the error that is told is the first.
            let _ = ratatui::try_restore();
        })?;
        let screen = Screen::new(terminal, begun, common);
        let ended = screen.run(&mut signals).await;
        // An error is printed after the terminal is restored.
        let restored = ratatui::try_restore();
        ended?;
        restored?;
        Ok(Exit::Success)
    }
}

/// What `top` begins with.
struct Begun {
    subscription: Subscription,
    service: ServiceStatus,
    peers: Vec<PeerStatus>,
    /// The last event so far; those that came while the state was made are told with the recent
    /// ones.
    since: u64,
}

impl Begun {
    /// Subscribes to all events, and gets the state.
    async fn subscribe(common: &Common) -> Result<Self, ControlError> {
        let filter = EventFilter {
            kinds: EventKinds::ALL,
            ..EventFilter::default()
        };
        let control = common.observe().await?;
        let mut subscription = Subscription::begin(control, filter)?;
        let (mut service, mut peers) = (None, Vec::new());
        let since = loop {
            match subscription.next().await? {
                StreamItem::Service(status) => service = Some(*status),
                StreamItem::Rows(rows) => peers.extend(rows.list),
                StreamItem::Live(seq) => break seq,
                _ => {}
            }
        };
        Ok(Begun {
            subscription,
            service: service.ok_or(ControlError::Unexpected)?,
            peers,
            since,
        })
    }
}

/// A request for the state, and what has come of it so far.
struct Reading {
    request: u64,
    began: Monotonic,
    service: Option<ServiceStatus>,
    peers: Vec<PeerStatus>,
}

/// The signals that end the command after the terminal is restored.
struct Signals {
    end: EndSignals,
    hangup: Signal,
    quit: Signal,
}

impl Signals {
    /// Catches them from now on.
    fn catch() -> io::Result<Self> {
        Ok(Signals {
            end: EndSignals::catch()?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for one of them.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.end.next() => {}
            _ = self.hangup.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

/// The screen and everything that it shows.
struct Screen {
    terminal: DefaultTerminal,
    subscription: Subscription,
    model: Model,
    colour: bool,
    common: Arc<Common>,
    state: Option<Reading>,
    /// The state is not requested again before this.
    next_reading: Monotonic,
    info: Option<u64>,
    /// The request for what happened last.
    recent: Option<u64>,
    /// The last event that the first state includes.
    since: u64,
    say: mpsc::UnboundedSender<(String, Paint)>,
    said: mpsc::UnboundedReceiver<(String, Paint)>,
}

/// Reads keys on a thread of its own, which ends with the process.
fn inputs() -> mpsc::UnboundedReceiver<io::Result<Input>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        loop {
            let input = event::read();
            let broken = input.is_err();
            if sender.send(input).is_err() || broken {
                return;
            }
        }
    });
    receiver
}

impl Screen {
    fn new(terminal: DefaultTerminal, begun: Begun, common: &Common) -> Self {
        let (say, said) = mpsc::unbounded_channel();
        Screen {
            terminal,
            subscription: begun.subscription,
            recent: None,
            since: begun.since,
            model: Model::new(begun.service, begun.peers),
            colour: common.out.is_coloured(),
            common: Arc::new(common.duplicate()),
            state: None,
            next_reading: clock::now(),
            info: None,
            say,
            said,
        }
    }

    async fn run(mut self, signals: &mut Signals) -> Result<(), Error> {
        let mut inputs = inputs();
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.recent = Some(self.subscription.ask(Request::Recent {})?);
        loop {
            self.draw()?;
            let frame = sleep(FRAME);
            tokio::pin!(frame);
            let mut changed = false;
            while !(changed && frame.is_elapsed()) {
                let wakeup = tokio::select! {
                    input = inputs.recv() => match input {
                        Some(input) => Wakeup::Input(input?),
                        None => Wakeup::End,
                    },
                    item = self.subscription.next() => Wakeup::StreamItem(item?),
                    Some((text, paint)) = self.said.recv() => Wakeup::Said(text, paint),
                    _ = ticks.tick() => Wakeup::Tick,
                    _ = signals.next() => Wakeup::End,
                    () = &mut frame, if !frame.is_elapsed() => continue,
                };
                let at_once = matches!(wakeup, Wakeup::Input(_));
                if !self.handle(wakeup)? {
                    return Ok(());
                }
                changed = true;
                if at_once {
                    break;
                }
            }
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        let Screen {
            terminal,
            model,
            colour,
            ..
        } = self;
        terminal.draw(|frame| view::draw(model, *colour, frame))?;
        Ok(())
    }

    /// Handles one wakeup. Returns `false` at the end.
    fn handle(&mut self, wakeup: Wakeup) -> Result<bool, ControlError> {
        match wakeup {
            Wakeup::End => return Ok(false),
            Wakeup::Input(Input::Key(key)) if key.kind != KeyEventKind::Release => {
                if let Some(action) = self.model.key(key) {
                    return self.perform(action);
                }
            }
            // The next drawing finds the new size.
            Wakeup::Input(_) => {}
            Wakeup::Said(text, paint) => self.model.say(&text, paint),
            Wakeup::Tick => {
                let now = clock::now();
                // Only one request at a time.
                if self.state.is_none() && now >= self.next_reading {
                    self.state = Some(Reading {
                        request: self.subscription.ask(Request::Status {})?,
                        began: now,
                        service: None,
                        peers: Vec::new(),
                    });
                }
                if let Some(action) = self.model.stale() {
                    return self.perform(action);
                }
            }
            Wakeup::StreamItem(StreamItem::Event(event)) => self.model.event(&event),
            Wakeup::StreamItem(StreamItem::Dropped(events)) => {
                let events = text::count(events, "event");
                self.model
                    .say(&format!("{events} left out here"), Paint::Bad);
            }
            Wakeup::StreamItem(StreamItem::Reply(id, reply)) => self.reply(id, reply)?,
            Wakeup::StreamItem(_) => return Err(ControlError::Unexpected),
        }
        Ok(true)
    }

    fn reply(&mut self, id: u64, reply: Reply) -> Result<(), ControlError> {
        if let Some(reading) = &mut self.state
            && reading.request == id
        {
            match reply {
                Reply::Service(service) => reading.service = Some(*service),
                Reply::Peers(rows) => reading.peers.extend(rows.list),
                Reply::Done {} => self.refresh()?,
                _ => return Err(ControlError::Unexpected),
            }
        } else if self.info == Some(id)
            && let Reply::Peer(detail) = reply
        {
            self.model.detail(*detail);
        } else if self.recent == Some(id)
            && let Reply::Recent(events) = reply
        {
            self.model.recent(&events, self.since);
        }
        Ok(())
    }

    /// Shows the state that was read.
    fn refresh(&mut self) -> Result<(), ControlError> {
        if let Some(reading) = self.state.take() {
            let service = reading.service.ok_or(ControlError::Unexpected)?;
            self.model.refresh(service, reading.peers);
            let now = clock::now();
            self.next_reading = now + pause_after(now.since(reading.began));
        }
        Ok(())
    }

    fn perform(&mut self, action: Action) -> Result<bool, ControlError> {
        match action {
            Action::Quit => return Ok(false),
            Action::Info(peer) => self.info = Some(self.subscription.ask(Request::Info { peer })?),
            Action::Kick(peer) => {
                // Observers may not command, so this takes a connection of its own.
                let (common, say) = (Arc::clone(&self.common), self.say.clone());
                tokio::spawn(async move {
                    let said = match kick(&common, &peer).await {
                        Ok(()) => (format!("{peer} is kicked"), Paint::Plain),
                        Err(error) => (format!("{peer} is not kicked: {error}"), Paint::Bad),
                    };
                    // After the end nobody receives it.
                    let _ = say.send(said);
                });
            }
        }
        Ok(true)
    }
}

async fn kick(common: &Common, peer: &str) -> Result<(), Error> {
    let mut control = common.control(Pace::Quick).await?;
    let words = vec!["kick".to_owned(), peer.to_owned()];
    let failure =
        requests::command::<Error>(&mut control, Request::Submit { words }, |_| Ok(())).await?;
    succeeded(failure).map(|_| ())
}
