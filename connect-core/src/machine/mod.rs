// SPDX-License-Identifier: GPL-3.0-or-later
//! Everything core decides, as one state machine without I/O.
//!
//! ```text
//!   lines of the server ----> +---------+ ----> lines to the server (Session)
//!   FromPinger -------------> |         | ----> ToPinger
//!   FromScripts ------------> | Machine | ----> ToScripts
//!   requests of operators --> |         | ----> Answers
//!   a new database, time ---> +---------+ ----> the end (Ending)
//! ```
//!
//! Inputs come as method calls with the present instant; outputs collect in [`Outputs`] and in the
//! admin [`Session`]'s buffer until the loop round the machine fetches them, once a turn, so that
//! everything decided in one turn leaves in one write to each side.

mod adding;
mod broadcast;
mod commands;
mod context;
mod events;
mod joining;
mod liveness;
mod notes;
mod operators;
mod passive;
mod peers;
mod ping_queue;
mod record_view;
mod reload;
mod result_batch;
mod runs;
mod scripts;
mod state;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::{Answer, Counters, HelperStatus, Reply, ServerLink};
use connect_ipc::event::{Event as Happening, EventFilter};
use connect_ipc::pinger::{Remembered, ToPinger};
use connect_ipc::scripts::ToScripts;
use connect_ipc::{PeerId, RunId};
use connect_plan::pinging::PingKind;
use peerdb::Database;
use tripe_admin::Interval;
use tripe_admin::session::{Event, Session};

pub use context::{Asker, ConnectionId};
pub use ping_queue::COALESCE;
pub use state::State;

use context::Context;
use peers::{Algorithms, PeerTable};

/// The name of the service, as the manual has it.
pub const SERVICE: &str = "connect";

/// What does not change while core runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The service's version for `SVCCLAIM`.
    pub version: String,
    /// The server's socket, for people.
    pub socket: PathBuf,
    /// The database's file, for people.
    pub database: PathBuf,
    /// Whether the service is started together with the server (`--startup`).
    pub startup: bool,
    /// The kind of ping for peers whose record does not choose.
    pub ping: PingKind,
    /// How long scripts may take whose record does not say; `None` for as long as they like.
    pub script_limit: Option<Interval>,
    /// When core started.
    pub started: Monotonic,
}

/// Why core ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ending {
    /// It was told to.
    Quit,
    /// Another provider took the service over.
    Displaced {
        /// Its version.
        version: String,
    },
    /// The claim was refused.
    Refused {
        /// What the server said.
        failure: String,
    },
}

/// What is to leave core.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Messages for the pinger, if it is connected.
    pub to_pinger: Vec<ToPinger>,
    /// Messages for the script helper, if it is connected.
    pub to_scripts: Vec<ToScripts>,
    /// Answers to operators.
    pub answers: Vec<(ConnectionId, Answer)>,
    /// What happened, if anybody wants to know.
    pub events: Vec<Happening>,
    /// Who wants events from now on: connection, request, filter, and the last event before.
    pub subscriptions: Vec<(ConnectionId, u64, EventFilter, u64)>,
    /// The database file is to be looked at now.
    pub look_at_database: bool,
    /// Core is to end, after everything else has left.
    pub ending: Option<Ending>,
    /// Challenges learnt in this turn, which a trace must not show.
    pub secrets: Vec<String>,
}

/// The database in use, and what is wrong with the file as it is now.
#[derive(Debug, Default)]
struct DatabaseState {
    current: Arc<Database>,
    fault: Option<String>,
}

/// One helper as seen from here.
#[derive(Debug, Default)]
struct Helper {
    status: HelperStatus,
    /// Whether it has told what it remembers and been told what it needs.
    ready: bool,
}

/// All of core's state.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    now: Monotonic,
    session: Session<Context>,
    link: ServerLink,
    /// Whether the service is ours on this connection.
    claimed: bool,
    /// Whether another provider that holds our name lives.
    probe: joining::Probe,
    /// Whether a `LIST` has been taken since core started.
    joined_before: bool,
    database: DatabaseState,
    peers: PeerTable,
    /// Distinct answers to `ALGS`, to be shared between peers.
    algorithms: HashSet<Algorithms>,
    /// Peers whose particulars are still to be asked for, a few at a time.
    unasked: Vec<PeerId>,
    /// How many questions for particulars are unanswered.
    asking: usize,
    /// Jobs of our service that are neither answered nor cancelled.
    jobs: HashSet<String>,
    adding: HashMap<String, adding::Adding>,
    /// Commands that came before the server had listed its peers.
    held: Vec<commands::Held>,
    /// Waiting `passive` commands, by challenge.
    greetings: HashMap<String, passive::Greeting>,
    pinger: Helper,
    /// What a pinger remembered of an earlier core's peers, until the peers are adopted.
    remembered: HashMap<String, Remembered>,
    /// What an earlier core has left for this one, until the server has listed its peers.
    inherited: Option<State>,
    /// Peers whose figures are those an earlier core had written down, so that a pinger which comes
    /// now may know better.
    from_state: HashSet<PeerId>,
    /// Whether what `--startup` stands for was done for this server, by this core or an earlier one.
    started_up: bool,
    /// Whether another program provided the service until we claimed it.
    succeeds: bool,
    /// Whether the server is another run than the one that was joined before.
    another_server: bool,
    /// Pings that the pinger has ordered ahead.
    ping_queue: ping_queue::PingQueue,
    /// Results that the pinger need not hear of at once.
    result_batch: result_batch::ResultBatch,
    scripts: Helper,
    /// What a script helper has told of runs under way, until it has told all.
    resumed_runs: Vec<connect_ipc::scripts::UnderWay>,
    runs: BTreeMap<RunId, runs::RunState>,
    next_run: u64,
    /// The last scripts that ended, of whatever peer.
    recent: VecDeque<runs::Recent>,
    counters: Counters,
    observed: bool,
    last_event: u64,
    out: Outputs,
}

impl Machine {
    /// A core that has met nobody yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let now = config.started;
        Machine {
            now,
            session: Session::new(),
            link: ServerLink::Down,
            claimed: false,
            probe: joining::Probe::NotNeeded,
            joined_before: false,
            database: DatabaseState::default(),
            peers: PeerTable::default(),
            algorithms: HashSet::new(),
            unasked: Vec::new(),
            asking: 0,
            jobs: HashSet::new(),
            adding: HashMap::new(),
            held: Vec::new(),
            greetings: HashMap::new(),
            pinger: Helper::default(),
            remembered: HashMap::new(),
            inherited: None,
            from_state: HashSet::new(),
            started_up: false,
            succeeds: false,
            another_server: false,
            ping_queue: ping_queue::PingQueue::default(),
            result_batch: result_batch::ResultBatch::default(),
            scripts: Helper::default(),
            resumed_runs: Vec::new(),
            runs: BTreeMap::new(),
            // The clock only grows, so no number of an earlier core is used again.
            next_run: now.0,
            recent: VecDeque::new(),
            counters: Counters::default(),
            observed: false,
            last_event: 0,
            out: Outputs::default(),
            config,
        }
    }

    /// Takes what is to leave core. What is for a helper that is away is dropped here: it gets the
    /// whole state when it comes.
    pub fn take_outputs(&mut self) -> Outputs {
        self.result_batch.join(&mut self.out.to_pinger, self.now);
        std::mem::take(&mut self.out)
    }

    /// Takes the challenges learnt since the last call, so that a trace can mask them.
    pub fn take_secrets(&mut self) -> Vec<String> {
        std::mem::take(&mut self.out.secrets)
    }

    /// Appends the lines for the server to `into`.
    pub fn drain_lines(&mut self, into: &mut Vec<u8>) {
        self.session.drain_output(into);
    }

    /// How core stands with the server.
    #[must_use]
    pub const fn link(&self) -> ServerLink {
        self.link
    }

    /// Whether the service has been ours and the server's peers known.
    #[must_use]
    pub const fn has_joined(&self) -> bool {
        self.joined_before
    }

    /// How many peers the server has, and how many of them are adopted.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let adopted = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.adoption.is_some())
            .count();
        (self.peers.len(), adopted)
    }

    /// How many adopted peers do not answer.
    #[must_use]
    pub fn down(&self) -> usize {
        self.peers
            .iter()
            .filter_map(|(_, peer)| peer.adoption.as_deref())
            .filter(|adoption| adoption.liveness.phase().rounds > 0)
            .count()
    }

    /// Takes one line of the server.
    pub fn server_line(&mut self, line: &str, now: Monotonic) {
        self.now = now;
        // The event borrows the session, so what it holds is taken out before core acts on it.
        let step = match self.session.receive(line) {
            Event::Info { context, words } => {
                if !context.take_info(words) {
                    tracing::warn!(
                        line,
                        "the server answered with words that make no sense here"
                    );
                }
                // Known from this very line on, so that no trace shows even its first appearance.
                self.out.secrets.extend(context.secret().map(str::to_owned));
                return;
            }
            Event::Done { context, result } => Step::Done(context, result),
            Event::Note(note) => Step::Note(note),
            Event::Job { id, service, words } => Step::Job {
                id,
                service,
                words: words.owned(),
            },
            Event::JobCancelled { id } => Step::JobCancelled(id),
            Event::Displaced { service, version } => Step::Displaced { service, version },
            Event::Warn(_) | Event::Trace(_) | Event::Nothing => return,
            Event::Strange { why } => {
                tracing::warn!(line, "ignoring a line of the server: {why}");
                return;
            }
        };
        match step {
            Step::Done(context, result) => self.answered(context, result),
            Step::Note(note) => self.note(note),
            Step::Job { id, service, words } => self.job(id, &service, &words),
            Step::JobCancelled(id) => self.job_cancelled(&id),
            Step::Displaced { service, version } if service == SERVICE => {
                tracing::warn!(%version, "another provider took the service over");
                self.out.ending = Some(Ending::Displaced { version });
            }
            Step::Displaced { .. } => {}
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Monotonic) {
        self.now = now;
        if self.ping_queue.deadline().is_some_and(|due| due <= now) {
            self.send_due_pings();
        }
        self.expire_greetings();
        self.expire_probe();
        self.ask_particulars();
    }

    /// When [`Machine::tick`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let greetings = self.greetings.values().map(|greeting| greeting.deadline);
        greetings
            .chain(self.probe.deadline())
            .chain(self.result_batch.deadline())
            .chain(self.ping_queue.deadline())
            .min()
    }

    /// Tells whoever asked one line of the answer.
    fn reply_line(&mut self, asker: &Asker, words: Vec<String>) {
        match asker {
            Asker::Job(id) => self.job_info(id, &words),
            Asker::Operator {
                connection,
                request,
            } => {
                self.answer(*connection, *request, Reply::Line(words));
            }
            Asker::Startup | Asker::Knock => {}
        }
    }

    /// Tells whoever asked that it is done.
    fn reply_done(&mut self, asker: &Asker) {
        match asker {
            Asker::Job(id) => self.job_done(id),
            Asker::Operator {
                connection,
                request,
            } => {
                self.answer(*connection, *request, Reply::Done {});
            }
            Asker::Startup | Asker::Knock => {}
        }
    }

    /// Tells whoever asked that it failed. `name` is the peer it was about, for those who are told
    /// by a warning.
    fn reply_failed<S: Into<String>>(
        &mut self,
        asker: &Asker,
        name: &str,
        words: impl IntoIterator<Item = S>,
    ) {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        match asker {
            Asker::Job(id) => self.job_failed(id, &words),
            Asker::Operator {
                connection,
                request,
            } => {
                self.answer(*connection, *request, Reply::Failed(words));
            }
            Asker::Startup => self.warn(["auto-add-failed", name], &words),
            Asker::Knock => self.warn(["knock-add-failed", name], &words),
        }
    }

    fn answer(&mut self, connection: ConnectionId, id: u64, reply: Reply) {
        self.out.answers.push((connection, Answer { id, reply }));
    }
}

/// One line of the server, cut loose from the session.
enum Step {
    Done(Context, Result<(), tripe_admin::Failure>),
    Note(tripe_admin::Note),
    Job {
        id: String,
        service: String,
        words: Vec<String>,
    },
    JobCancelled(String),
    Displaced {
        service: String,
        version: String,
    },
}

#[cfg(test)]
mod tests;
