// SPDX-License-Identifier: GPL-3.0-or-later
//! `top`: the service, its peers and what happens, live on the whole screen.
//!
//! ```text
//!   keys, events, states --> Model --> view::draw --> terminal
//!                              |
//!                              +--> Wish: info, kick, quit
//! ```

pub mod model;
pub mod view;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use connect_ipc::control::{Reply, Request};
use connect_ipc::event::EventFilter;
use connect_runtime::exit::Exit;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input, KeyEventKind};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use self::model::{Model, Wish};
use super::status::Collected;
use crate::connection::ControlError;
use crate::context::{Context, Pace};
use crate::error::Error;
use crate::happening::KINDS;
use crate::subscription::{Incident, Snapshot, Subscription};
use crate::table::Paint;
use crate::text;

/// How often the state is asked for, which events alone do not tell.
const MOMENT: Duration = Duration::from_secs(1);

/// Show the peers and what happens, live on the whole screen
#[derive(Args, Debug)]
#[command(after_help = "\
    Each peer has a bar of its lost pings and a line of its recent round trips, where × is a \
    lost ping. Keys: arrows choose a peer, s sorts by the next column, k kicks the peer after \
    asking, i shows everything about it, q quits.\n\n\
    Examples:\n\
    \x20 connect-cli top")]
pub struct Top {}

/// What makes the screen change.
enum Turn {
    Input(Input),
    Incident(Incident),
    Said(String, Paint),
    Tick,
    End,
}

impl Top {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Error`] if the service cannot be asked, or ends, or there is no terminal.
    pub async fn run(self, context: &mut Context) -> Result<Exit, Error> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(Error::Place {
                action: "show a screen, for which `connect-cli status --watch' has no need".into(),
                source: io::Error::other("this is no terminal"),
            });
        }
        let filter = EventFilter {
            kinds: KINDS.map(str::to_owned).to_vec(),
            ..EventFilter::default()
        };
        let control = context.observe().await?;
        let (subscription, snapshot) = Subscription::begin(control, filter).await?;
        let terminal = ratatui::try_init()?;
        let ended = Screen::new(terminal, subscription, snapshot, context)
            .run()
            .await;
        // Whatever happened is told on a clean terminal.
        let restored = ratatui::try_restore();
        ended?;
        restored?;
        Ok(Exit::Success)
    }
}

/// The screen and everything that it shows.
struct Screen {
    terminal: DefaultTerminal,
    subscription: Subscription,
    model: Model,
    colour: bool,
    context: Arc<Context>,
    /// The state under way, and the request that it answers.
    state: Option<(u64, Collected)>,
    info: Option<u64>,
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
    fn new(
        terminal: DefaultTerminal,
        subscription: Subscription,
        snapshot: Snapshot,
        context: &Context,
    ) -> Self {
        let (say, said) = mpsc::unbounded_channel();
        Screen {
            terminal,
            subscription,
            model: Model::new(snapshot.service, snapshot.peers),
            colour: context.out.is_coloured(),
            context: Arc::new(context.again()),
            state: None,
            info: None,
            say,
            said,
        }
    }

    async fn run(mut self) -> Result<(), Error> {
        let mut inputs = inputs();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut ticks = interval(MOMENT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Screen {
                terminal,
                model,
                colour,
                ..
            } = &mut self;
            terminal.draw(|frame| view::draw(model, *colour, frame))?;
            let turn = tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => Turn::Input(input?),
                    None => Turn::End,
                },
                incident = self.subscription.next() => Turn::Incident(incident?),
                Some((text, paint)) = self.said.recv() => Turn::Said(text, paint),
                _ = ticks.tick() => Turn::Tick,
                _ = terminate.recv() => Turn::End,
                _ = hangup.recv() => Turn::End,
            };
            if !self.turn(turn)? {
                return Ok(());
            }
        }
    }

    /// Takes one thing; `false` is the end.
    fn turn(&mut self, turn: Turn) -> Result<bool, ControlError> {
        match turn {
            Turn::End => return Ok(false),
            Turn::Input(Input::Key(key)) if key.kind != KeyEventKind::Release => {
                if let Some(wish) = self.model.key(key) {
                    return self.grant(wish);
                }
            }
            // The next drawing finds the new size.
            Turn::Input(_) => {}
            Turn::Said(text, paint) => self.model.say(&text, paint),
            Turn::Tick => {
                // One that is not answered yet is waited for.
                if self.state.is_none() {
                    let request = self.subscription.ask(Request::Status {})?;
                    self.state = Some((request, Collected::default()));
                }
                if let Some(wish) = self.model.stale() {
                    return self.grant(wish);
                }
            }
            Turn::Incident(Incident::Event(event)) => self.model.event(&event),
            Turn::Incident(Incident::Dropped(events)) => {
                let events = text::count(events, "event");
                self.model
                    .say(&format!("{events} left out here"), Paint::Bad);
            }
            Turn::Incident(Incident::Reply(id, reply)) => self.reply(id, reply)?,
        }
        Ok(true)
    }

    fn reply(&mut self, id: u64, reply: Reply) -> Result<(), ControlError> {
        if let Some((request, state)) = &mut self.state
            && *request == id
        {
            if state.take(reply)?
                && let Some((_, state)) = self.state.take()
            {
                let (service, peers) = state.finish()?;
                self.model.refresh(service, peers);
            }
        } else if self.info == Some(id)
            && let Reply::Peer(detail) = reply
        {
            self.model.detail(*detail);
        }
        Ok(())
    }

    fn grant(&mut self, wish: Wish) -> Result<bool, ControlError> {
        match wish {
            Wish::Quit => return Ok(false),
            Wish::Info(peer) => self.info = Some(self.subscription.ask(Request::Info { peer })?),
            Wish::Kick(peer) => {
                // Observers may not command, so this takes a connection of its own.
                let (context, say) = (Arc::clone(&self.context), self.say.clone());
                tokio::spawn(async move {
                    let said = match kick(&context, &peer).await {
                        Ok(()) => (format!("{peer} is kicked"), Paint::Plain),
                        Err(error) => (format!("{peer} is not kicked: {error}"), Paint::Bad),
                    };
                    // Nobody is there to be told after the end.
                    let _ = say.send(said);
                });
            }
        }
        Ok(true)
    }
}

async fn kick(context: &Context, peer: &str) -> Result<(), Error> {
    let mut control = context.control(Pace::Prompt).await?;
    control.ask(Request::Submit {
        words: vec!["kick".to_owned(), peer.to_owned()],
    })?;
    loop {
        match control.reply().await? {
            Reply::Line(_) => {}
            Reply::Done {} => return Ok(()),
            Reply::Failed(words) => return Err(Error::Failed(words)),
            _ => return Err(ControlError::Unexpected.into()),
        }
    }
}
