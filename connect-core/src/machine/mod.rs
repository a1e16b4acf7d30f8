// SPDX-License-Identifier: GPL-3.0-or-later
//! Everything core decides, as one state machine without I/O.
//!
//! ```text
//!   Input, time --> [Machine::handle] --> Output
//! ```
//!
//! This file passes each input to the part that handles it. The parts own their fields: `server`
//! the connection to tripe(8), `peers` the peer table, `liveness` the pinger, `scripts` the script
//! helper, `additions` the peers being added, `commands` the commands that wait, `inheritance` what
//! an earlier core has saved, `database` the database, `events` events and their observers. Three
//! parts have no field in `Machine`: the setups of `setups` are in each peer, and what is not
//! decided yet is in `scripts`; `observing` is in `events`; what `changes` is doing is in
//! `additions`.

mod additions;
mod addresses;
mod backlog;
mod broadcast;
mod changes;
mod commands;
mod counting;
mod database;
mod departures;
mod events;
mod helper;
mod inheritance;
mod input;
mod limits;
mod liveness;
mod observing;
mod output;
mod overdue;
mod peer_states;
mod peers;
mod presence;
mod reload;
mod replies;
mod requester;
mod requests;
mod resume;
mod scripts;
mod second;
mod server;
mod setups;
mod watch;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink;

pub use backlog::Backlog;
pub use database::{DatabaseCopy, DatabaseFile, Loaded};
pub use inheritance::{Inherited, State};
pub use input::{Config, ConnectionId, HelperNews, Input, WriteNews};
pub use limits::ANSWER_LIMIT;
pub use liveness::COALESCE;
pub use output::{Ending, Milestone, Output, Told, Until};
pub use peers::PeerCounts;

/// The name of the service, as the manual has it.
pub const SERVICE: &str = "connect";

/// All of core's state.
#[derive(Clone, Debug)]
pub struct Machine {
    config: Config,
    now: Monotonic,
    server: server::Server,
    database: database::DatabaseState,
    peers: peers::PeerTable,
    pinger: liveness::Pinger,
    scripts: scripts::Scripts,
    additions: additions::Additions,
    commands: commands::Commands,
    inheritance: inheritance::Inheritance,
    events: events::Events,
    out: Vec<Output>,
}

impl Machine {
    /// A core that has had no input yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Machine {
            now: config.started,
            server: server::Server::new(&config),
            database: database::DatabaseState::default(),
            peers: peers::PeerTable::default(),
            pinger: liveness::Pinger::awaited(config.started),
            scripts: scripts::Scripts::new(config.started),
            additions: additions::Additions::default(),
            commands: commands::Commands::default(),
            inheritance: inheritance::Inheritance::default(),
            events: events::Events::default(),
            out: Vec::new(),
            config,
        }
    }

    /// Takes in what happened at `now`, and appends what has to be done to `out`. Time does not go
    /// back: if `now` is earlier than before, the latest time counts.
    pub fn handle(&mut self, input: Input<'_>, now: Monotonic, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        self.notice_delay();
        self.route(input);
        // Most inputs have no output before the end of the turn.
        if !self.out.is_empty() {
            out.append(&mut self.out);
        }
    }

    #[inline]
    fn route(&mut self, input: Input<'_>) {
        match input {
            Input::ServerConnected { run } => self.server_connected(run),
            Input::ServerLine(line) => self.server_line(&line),
            Input::ServerLost { reason } => self.server_lost(&reason),
            Input::PingerConnected { connection, status } => {
                self.pinger_connected(connection, status);
            }
            Input::Pinger(connection, message) => self.pinger_said(connection, message),
            Input::ScriptsConnected { connection, status } => {
                self.scripts_connected(connection, status);
            }
            Input::Scripts(connection, message) => self.scripts_said(connection, message),
            Input::Supervisor(news) => self.supervisor_said(news),
            Input::Request {
                connection,
                by,
                user,
                envelope,
            } => self.request(connection, &by, user, envelope),
            Input::Drained(connection) => self.events.observing.drained(connection),
            Input::Gone(connection) => self.gone(connection),
            Input::Database(loaded) => self.database_read(loaded),
            Input::Inherited(left) => self.inheritance.offer(*left),
            Input::Observers(counts) => self.events.observing.counts = counts,
            Input::EventsDropped(events) => self.events.drop_counted(events),
            Input::WallClock { millis } => self.events.set_clock(self.now, millis),
            Input::Slept { seconds } => self.slept(seconds),
            Input::Written(news) => self.written(news),
            Input::Leave => self.retire(),
            Input::Reload => self.reload_by_signal(),
            Input::ChildEnded(run) => self.child_ended(run),
            Input::EndOfTurn => self.end_turn(),
        }
    }

    /// Does what is due, and gives out what was collected in this turn.
    fn end_turn(&mut self) {
        self.send_due_pings();
        self.tend_additions();
        self.expire_server_waits();
        self.ask_questions();
        self.tend_scripts();
        self.look_if_due();
        self.send_to_pinger();
        self.send_lines();
        self.server.end_turn(self.now);
        self.pinger.watch.end_turn(self.now);
        // Last, after all events of this turn.
        self.walk_more();
    }

    /// When [`Input::EndOfTurn`] has something to do next, if nothing else happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let deadlines = [
            self.look_at(),
            self.pinger.deadline(),
            self.additions.deadline(self.now),
            self.revival_deadline(),
            self.server.deadline(),
            self.scripts.deadline(self.now, self.server.link()),
            self.events.observing.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The state of the connection to the server.
    #[must_use]
    pub const fn link(&self) -> ServerLink {
        self.server.link()
    }
}

#[cfg(test)]
mod tests;
