// SPDX-License-Identifier: GPL-3.0-or-later
//! Plays a history to a provider, at a lab server, in virtual time.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use connect_ipc::scripts::{Ended, ScriptKind, Stream};
use tripe_admin::split;
use tripe_admin::token::join;
use tripe_lab::LabConfig;
use tripe_lab::config::Reflect;
use tripe_lab::server::{ClientId, Control, Input, Output, Server, Watch};

use super::held::Held;
use super::history::{BEGIN, Change, Habit, History, LONGEST_WAIT, SECOND, What};
use super::provider::{Act, News, Provider, Start};
use super::recorder::Recorder;
use super::tolerances::{Tolerance, Tolerances};
use super::transcript::{Item, Present, Transcript};
use crate::world;

const ADMINISTRATOR: ClientId = ClientId(1);
const SUBMITTER: ClientId = ClientId(2);

/// How many rounds service and server may need at one instant until neither has anything to say.
const ROUNDS: usize = 1_000;

/// How many instants a history may have.
const INSTANTS: usize = 2_000_000;

/// How long a script takes that ends at once.
const QUICK: u64 = 3_000_000;

/// How long after a ping was sent, or after the stimulus, the host is suspended: before the ping is
/// answered, and at no instant at which something else is due.
const FALLING_ASLEEP: u64 = 11_000_000;

/// How long a reflected partner takes to answer.
const REFLECTED: Duration = Duration::from_millis(20);

/// Something that comes at its time.
enum Event {
    Stimulus(usize),
    /// One of a life of the service.
    Child(u32, u64, News),
    Revive(String),
    Cancel(String),
    Greeting(String),
    Sleep,
    Wake(u64),
}

/// A command that was submitted and is not answered.
struct Job {
    stimulus: usize,
    command: Vec<String>,
    lines: Vec<String>,
    /// When the peer greets after it has the challenge.
    greets: Option<u64>,
}

/// A history while it is played.
struct Play<'a, P, M> {
    history: &'a History,
    which: world::Provider,
    /// Makes a provider that is started at this time.
    make: M,
    provider: P,
    /// Which life of the service it is.
    life: u32,
    /// Its connection.
    service: ClientId,
    server: Server,
    /// When the server was started, and how many there were.
    booted: (u64, u64),
    now: u64,
    /// With a ping of which peer the host is to be suspended, if of one, and for how long.
    sleepy: Option<(Option<String>, u64)>,
    asleep: bool,
    /// How long the host has slept since it began.
    slept: u64,
    events: BTreeMap<(u64, u64), Event>,
    number: u64,
    recorder: Recorder<'a>,
    held: Held<'a>,
    /// Whether the server refuses something.
    refuses: bool,
    /// What the server has for the service.
    for_service: Vec<String>,
    /// What is done to the server when it has said what it has to say.
    interference: Vec<Control>,
    /// The peers whose partners are dead.
    dead: BTreeSet<String>,
    present: Present,
    /// The keys with which the service adds peers, after the present stimulus.
    keys: BTreeMap<String, String>,
    jobs: BTreeMap<String, Job>,
    /// Those of all lives.
    children: BTreeMap<(u32, u64), (ScriptKind, String)>,
}

/// Plays a history to providers that `make` makes, each started at the time that it is given.
///
/// # Errors
/// The provider and the server talk without end.
pub(crate) fn play<P: Provider>(
    history: &History,
    make: impl Fn(u64) -> P,
    which: world::Provider,
    tolerances: &Tolerances,
) -> Result<Transcript, String> {
    let mut play = Play {
        history,
        which,
        provider: make(BEGIN),
        make,
        life: 0,
        service: connection(0),
        server: server(history, 1),
        booted: (BEGIN, 1),
        now: BEGIN,
        sleepy: None,
        asleep: false,
        slept: 0,
        events: BTreeMap::new(),
        number: 0,
        recorder: Recorder::new(tolerances),
        held: Held::new(history, connection(0), which, tolerances, BEGIN),
        refuses: false,
        for_service: Vec::new(),
        interference: Vec::new(),
        dead: BTreeSet::new(),
        present: Present::new(),
        keys: BTreeMap::new(),
        jobs: BTreeMap::new(),
        children: BTreeMap::new(),
    };
    let timeouts = history.records.iter();
    let timeouts = timeouts.map(|record| (record.peer.clone(), record.timeout()));
    play.recorder.timeouts = timeouts.collect();
    play.run()?;
    play.is_over();
    play.recorder
        .transcript
        .faults
        .append(&mut play.held.broken);
    Ok(play.recorder.end())
}

/// A server that is started, the one of this number.
fn server(history: &History, number: u64) -> Server {
    let reflect = Reflect {
        network: [198, 18, 0, 0].into(),
        bits: 15,
        delay: REFLECTED,
    };
    let config = LabConfig {
        allow_remote: true,
        reflect: Some(reflect),
        seed: history.seed,
        ..LabConfig::new("/run/tripesock")
    };
    let udp = vec![SocketAddr::from(([192, 0, 2, 1], 4070))];
    Server::new(config, udp, number, SystemTime::UNIX_EPOCH)
}

/// The connection of a life of the service.
const fn connection(life: u32) -> ClientId {
    ClientId(10 + life)
}

impl<P: Provider, M: Fn(u64) -> P> Play<'_, P, M> {
    fn run(&mut self) -> Result<(), String> {
        self.others_connect();
        for (place, stimulus) in self.history.stimuli.iter().enumerate() {
            self.after(stimulus.at - BEGIN, Event::Stimulus(place));
        }
        for _ in 0..INSTANTS {
            let Some((at, event)) = self.next() else {
                return Ok(());
            };
            self.now = at.max(self.now);
            self.recorder.time(self.clock());
            if let Some(event) = event {
                self.event(event)?;
            }
            if self.asleep {
                continue;
            }
            self.serve(Input::Tick);
            let due = self.provider.next_deadline();
            if due.is_some_and(|due| due <= self.clock()) {
                self.provider.time(self.clock());
            }
            self.exchange()?;
        }
        Err("the history has no end".to_owned())
    }

    /// What comes next, if it comes before the end.
    fn next(&mut self) -> Option<(u64, Option<Event>)> {
        let event = self.events.keys().next().copied();
        let server = self.server.next_deadline();
        let server =
            server.map(|due| self.booted.0 + u64::try_from(due.as_nanos()).unwrap_or(u64::MAX));
        let provider = self.provider.next_deadline().map(|due| due + self.slept);
        let others = [server, provider].into_iter().flatten();
        let other = others.min().filter(|_| !self.asleep);
        let first = event.map(|(at, _)| at).into_iter().chain(other).min();
        let first = first.filter(|at| *at < self.history.until)?;
        let event = event.filter(|(at, _)| *at == first);
        Some((first, event.and_then(|key| self.events.remove(&key))))
    }

    fn after(&mut self, time: u64, event: Event) {
        self.number += 1;
        self.events.insert((self.now + time, self.number), event);
    }

    /// What the clock of the service shows.
    const fn clock(&self) -> u64 {
        self.now - self.slept
    }

    /// The host falls asleep, with the children on it.
    fn sleep(&mut self, lasts: u64) {
        self.asleep = true;
        self.held.sleeps(self.now, lasts, &self.present);
        for ((at, number), event) in std::mem::take(&mut self.events) {
            let is_here = !matches!(event, Event::Stimulus(_));
            let at = if is_here { at + lasts } else { at };
            self.events.insert((at, number), event);
        }
        self.after(lasts, Event::Wake(lasts));
        for peer in self.present.clone().into_keys() {
            let silence = Control::Silence { peer, silent: true };
            self.serve(Input::Control(silence));
        }
    }

    /// The host is awake. What was due meanwhile comes before what partners answer now.
    fn wake(&mut self, lasted: u64) -> Result<(), String> {
        self.asleep = false;
        self.slept += lasted;
        self.recorder.time(self.clock());
        self.held.slept(self.now, lasted);
        self.recorder.slept(self.which);
        self.provider.slept(lasted / SECOND, self.clock());
        self.serve(Input::Tick);
        for peer in self.present.clone().into_keys() {
            let silent = self.dead.contains(&peer);
            self.serve(Input::Control(Control::Silence { peer, silent }));
        }
        self.exchange()?;
        self.provider.time(self.clock());
        self.exchange()
    }

    fn event(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Stimulus(place) => self.stimulus(place),
            Event::Child(life, id, news) => {
                if let News::Ended(_) = news
                    && self.children.remove(&(life, id)).is_none()
                {
                    return Ok(());
                }
                if life == self.life {
                    self.provider.child(id, news, self.clock());
                }
            }
            Event::Revive(peer) => {
                self.dead.remove(&peer);
                self.silence(&peer);
            }
            Event::Cancel(tag) => self.say(SUBMITTER, &["BGCANCEL", &tag]),
            Event::Greeting(challenge) => {
                let note = format!("NOTE GREET {challenge} INET 198.18.0.99 4070");
                self.interference.push(Control::Broadcast(note));
            }
            Event::Sleep => {
                if let Some((_, lasts)) = self.sleepy.take() {
                    self.sleep(lasts);
                }
            }
            Event::Wake(lasted) => return self.wake(lasted),
        }
        Ok(())
    }

    /// What came after the last stimulus is over.
    fn is_over(&mut self) {
        let place = self.recorder.now_after();
        let left = &mut self.recorder.transcript.left;
        left.insert(place, self.present.clone());
    }

    fn stimulus(&mut self, place: usize) {
        self.is_over();
        self.recorder.stimulus(place);
        if let What::ServerRestarted(_) = &self.history.stimuli[place].what {
            self.restart_server();
        }
        let present = &mut self.recorder.transcript.present;
        present.insert(place, self.present.clone());
        if self.refuses && self.recorder.tolerances.leave_out(Tolerance::Refusals) {
            self.refuses = false;
            self.serve(Input::Control(Control::Command(vec!["ALLOW".to_owned()])));
        }
        self.recorder.every = self.longest_pauses(place);
        self.keys.clear();
        match &self.history.stimuli[place].what {
            What::Begin => self.begin(place, &self.history.present),
            What::ServerRestarted(peers) => self.begin(place, peers),
            What::Restarted => {
                self.provider.leave(self.clock());
                for act in self.provider.acts() {
                    self.act(act);
                }
                // Otherwise the server notices only when a ping ends that the service has sent.
                self.serve(Input::Closed(self.service));
                self.for_service.clear();
                self.start(place);
            }
            What::Dead(peer, lasts) => {
                self.held.dead(self.now, peer, *lasts);
                self.dead.insert(peer.clone());
                self.silence(peer);
                self.after(*lasts, Event::Revive(peer.clone()));
            }
            What::Suspended(peer, lasts) => {
                self.sleepy = Some((peer.clone(), *lasts));
                let wait = match peer {
                    Some(_) => LONGEST_WAIT,
                    None => FALLING_ASLEEP,
                };
                self.after(wait, Event::Sleep);
            }
            What::Add(peer) => self.add(peer),
            What::Kill(peer) => self.kill(peer),
            What::KillAndAdd(peer) => {
                self.kill(peer);
                self.add(peer);
            }
            What::AddAndKill(peer) => {
                self.add(peer);
                self.kill(peer);
            }
            What::Command(words) => {
                self.submit(place, words, None);
            }
            What::Cancelled(words, after) => {
                // A greeting for a command that was cancelled adds nobody.
                let tag = self.submit(place, words, Some(2 * after));
                match after {
                    0 => self.say(SUBMITTER, &["BGCANCEL", &tag]),
                    _ => self.after(*after, Event::Cancel(tag)),
                }
            }
            What::Passive(words, greets) => {
                self.submit(place, words, *greets);
            }
            What::Knock(name) => {
                // Each from an address of its own, so that none takes that of another.
                let record = self.history.record(name);
                let number = 100 + record.map_or(0, |record| record.address);
                let from = SocketAddr::from(([198, 18, 0, number], 4070));
                let name = name.clone();
                self.interference.push(Control::Knock { name, from });
            }
            What::Database(Change::Broken) => {
                let why = "peers.cdb is damaged".to_owned();
                self.provider.database(Err(why), self.clock());
            }
            What::Database(_) => {
                let database = Arc::new(self.history.database(place));
                for peer in self.history.records.iter().map(|record| &record.peer) {
                    let record = database.peer(peer);
                    if !record.is_some_and(|record| record.flag("watch")) {
                        self.recorder.disowned(peer);
                    }
                }
                self.provider.database(Ok(database), self.clock());
            }
            What::RefusedPings(peer, times) => {
                let times = times.to_string();
                self.refuse(&["-with", peer, "-times", &times, "-detach", "PING"]);
            }
            What::RefusedAdd(words) => {
                self.refuse(&["-times", "1", "-detach", "ADD"]);
                self.submit(place, words, None);
            }
        }
    }

    /// How long each peer may wait after a reply.
    fn longest_pauses(&self, place: usize) -> BTreeMap<String, u64> {
        let records = [place.saturating_sub(1), place].map(|it| self.history.records_after(it));
        let pause = |peer: &str| {
            let [before, now] = records.each_ref().map(|records| {
                let record = records.iter().find(|it| it.peer == peer);
                let record = record.filter(|it| it.record().flag("watch"));
                record.map_or(u64::MAX, |record| record.every().saturating_mul(SECOND))
            });
            let tolerances = self.recorder.tolerances;
            match before > now && tolerances.leave_out(Tolerance::ChangedInterval) {
                true => before,
                false => now,
            }
        };
        let peers = self
            .history
            .records
            .iter()
            .map(|record| record.peer.as_str());
        peers.map(|peer| (peer.to_owned(), pause(peer))).collect()
    }

    /// The server refuses commands until the next stimulus.
    fn refuse(&mut self, words: &[&str]) {
        self.refuses = true;
        let words = ["REFUSE"].into_iter().chain(words.iter().copied());
        let words = words.chain(["bad-luck"]).map(str::to_owned).collect();
        self.serve(Input::Control(Control::Command(words)));
    }

    fn others_connect(&mut self) {
        for client in [ADMINISTRATOR, SUBMITTER] {
            self.serve(Input::Connect(client, Watch::default()));
        }
    }

    /// Somebody adds these peers to a new server, and then starts the service.
    fn begin(&mut self, place: usize, peers: &[String]) {
        for peer in peers {
            self.add(peer);
        }
        self.start(place);
    }

    /// The server ends, with all it had, and is started again. What the service does then can reach
    /// nobody but its children.
    fn restart_server(&mut self) {
        self.provider.lost(self.clock());
        for act in self.provider.acts() {
            if !matches!(act, Act::Line(_)) {
                self.act(act);
            }
        }
        let number = self.booted.1 + 1;
        self.booted = (self.now, number);
        self.server = server(self.history, number);
        self.refuses = false;
        self.present.clear();
        self.for_service.clear();
        self.interference.clear();
        self.jobs.clear();
        self.others_connect();
    }

    /// A new life of the service begins. Nothing is under way for the one before.
    fn start(&mut self, place: usize) {
        let faults = &mut self.recorder.transcript.faults;
        faults.append(&mut self.held.broken);
        self.recorder.ended();
        self.life += 1;
        self.service = connection(self.life);
        self.serve(Input::Connect(self.service, Watch::default()));
        let (service, tolerances) = (self.service, self.recorder.tolerances);
        self.held = Held::new(self.history, service, self.which, tolerances, self.now);
        self.provider = (self.make)(self.clock());
        let database = Arc::new(self.history.database(place));
        self.provider.start(database, self.clock());
    }

    /// Somebody adds a peer.
    fn add(&mut self, peer: &str) {
        self.number += 1;
        let tag = format!("a{}", self.number);
        let words = self
            .history
            .record(peer)
            .map(super::history::RecordSite::words);
        let words = words.unwrap_or_default();
        let [family, address, port] = words.each_ref().map(String::as_str);
        let words = [
            "ADD",
            "-background",
            &tag,
            "--",
            peer,
            family,
            address,
            port,
        ];
        self.say(ADMINISTRATOR, &words);
    }

    /// Somebody removes a peer.
    fn kill(&mut self, peer: &str) {
        self.say(ADMINISTRATOR, &["KILL", peer]);
    }

    fn submit(&mut self, stimulus: usize, words: &[String], greets: Option<u64>) -> String {
        let tag = format!("j{stimulus}");
        let job = Job {
            stimulus,
            command: words.to_vec(),
            lines: Vec::new(),
            greets,
        };
        self.jobs.insert(tag.clone(), job);
        let words = words.iter().map(String::as_str);
        let head = ["SVCSUBMIT", "-background", &tag, "connect"];
        let words: Vec<&str> = head.into_iter().chain(words).collect();
        self.say(SUBMITTER, &words);
        tag
    }

    /// The partner of a peer that is there is dead or alive.
    fn silence(&mut self, peer: &str) {
        let silent = self.dead.contains(peer);
        let peer = peer.to_owned();
        self.interference.push(Control::Silence { peer, silent });
    }

    fn say(&mut self, client: ClientId, words: &[&str]) {
        let line = join(words.iter().copied());
        self.serve(Input::Line(client, Cow::Owned(line.into_bytes())));
    }

    /// Hands something to the server, and takes what it says.
    fn serve(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        let now = Duration::from_nanos(self.now - self.booted.0);
        self.server.handle(input, now, &mut out);
        for output in out {
            match output {
                Output::Line(SUBMITTER, line) => self.submitter_heard(&line),
                Output::Line(client, line) if client == self.service => self.for_service.push(line),
                Output::Broadcast(line) => {
                    match line.split(' ').collect::<Vec<_>>().as_slice() {
                        ["NOTE", "ADD", peer, interface, address @ ..] => {
                            let (peer, mut address) = ((*peer).to_owned(), address.join(" "));
                            // The server tells peers that knock apart by their keys, too.
                            address += self.keys.remove(&peer).as_deref().unwrap_or_default();
                            self.silence(&peer);
                            let interface = (*interface).to_owned();
                            self.recorder.interfaces.insert(peer.clone(), interface);
                            self.present.insert(peer, address);
                        }
                        ["NOTE", "NEWADDR", peer, address @ ..] => {
                            self.silence(peer);
                            self.present.insert((*peer).to_owned(), address.join(" "));
                        }
                        ["NOTE", "KILL", peer] => {
                            self.present.remove(*peer);
                        }
                        _ => {}
                    }
                    self.held.told(self.now, &line);
                    self.recorder.told(&line);
                }
                _ => {}
            }
        }
    }

    /// Service and server talk until neither has anything to say.
    fn exchange(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS {
            for control in std::mem::take(&mut self.interference) {
                self.serve(Input::Control(control));
            }
            let lines = std::mem::take(&mut self.for_service);
            let acts = self.provider.acts();
            if lines.is_empty() && acts.is_empty() && self.interference.is_empty() {
                return Ok(());
            }
            for act in acts {
                self.act(act);
            }
            if !lines.is_empty() {
                for line in &lines {
                    self.held.heard(self.now, line);
                    self.recorder.heard(line);
                }
                self.provider.lines(&lines, self.clock());
            }
        }
        Err(format!(
            "service and server talk without end at {}",
            self.now
        ))
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Line(line) => {
                let words = split(&line);
                if let Some(at) = words.iter().position(|word| word == "-key")
                    && words[0] == "ADD"
                {
                    let named = words
                        .iter()
                        .find(|word| self.history.record(word).is_some());
                    let peer = named.cloned().unwrap_or_default();
                    self.keys.insert(peer, format!(" by {}", words[at + 1]));
                }
                if let Some((Some(peer), _)) = &self.sleepy
                    && words[0] == "PING"
                    && words.last() == Some(peer)
                {
                    self.after(FALLING_ASLEEP, Event::Sleep);
                }
                self.held.wrote(self.now, &line);
                self.recorder.wrote(&line);
                self.serve(Input::Line(self.service, Cow::Owned(line.into_bytes())));
            }
            Act::Start(start) => {
                self.recorder.script(&start);
                self.live(start);
            }
            Act::Stop(id) => {
                if let Some((kind, peer)) = self.children.get(&(self.life, id)) {
                    self.recorder.stopped(*kind, peer);
                    self.after(
                        QUICK,
                        Event::Child(self.life, id, News::Ended(Ended::Signal(15))),
                    );
                }
            }
        }
    }

    /// A child lives as its habit says.
    fn live(&mut self, start: Start) {
        let Start { id, kind, peer, .. } = start;
        let stimulus = self.recorder.now_after();
        let habit = self.history.habit(&peer, kind, stimulus);
        let life = self.life;
        self.children.insert((life, id), (kind, peer));
        let mut says =
            |stream, line| self.after(QUICK, Event::Child(life, id, News::Wrote(stream, line)));
        let (after, end) = match habit {
            Habit::Ends(status) => (QUICK, Ended::Exited(status)),
            Habit::Slow(seconds, status) => (seconds * SECOND, Ended::Exited(status)),
            Habit::Signal(signal) => (QUICK, Ended::Signal(signal)),
            Habit::Unknown => (QUICK, Ended::Unknown(0xffff)),
            Habit::Says(stream, line) => {
                says(stream, line);
                (2 * QUICK, Ended::Exited(0))
            }
            Habit::Stays(line) => return says(Stream::Stdout, line),
        };
        self.after(after, Event::Child(life, id, News::Ended(end)));
    }

    /// The submitter was sent this line.
    fn submitter_heard(&mut self, line: &str) {
        let words = split(line);
        let Some((kind, rest)) = words.split_first() else {
            return;
        };
        let Some(tag) = rest.first() else {
            return;
        };
        if kind == "BGINFO"
            && let Some(job) = self.jobs.get_mut(tag)
        {
            job.lines.push(rest[1..].join(" "));
            if let (Some(after), Some(challenge)) = (job.greets, rest.get(1)) {
                self.after(after, Event::Greeting(challenge.clone()));
            }
        } else if (kind == "BGOK" || kind == "BGFAIL")
            && let Some(job) = self.jobs.remove(tag)
        {
            let failed = (kind == "BGFAIL").then(|| rest[1..].join(" "));
            self.answered(job, failed);
        }
    }

    fn answered(&mut self, mut job: Job, failed: Option<String>) {
        let tolerances = self.recorder.tolerances;
        let figures = job
            .command
            .get(1)
            .and_then(|it| self.recorder.figures.get(it));
        if let Some(figures) = figures.filter(|_| job.command[0] == "info") {
            for line in &mut job.lines {
                let wrong = figures.correct(line);
                let key = line.split('=').next().unwrap_or_default();
                if figures.knows(key) && tolerances.leave_out(Tolerance::Figures) {
                    *line = match wrong {
                        Some(right) => format!("{line}, which should be {right}"),
                        None => format!("{key} is right"),
                    };
                }
            }
        }
        if !job.lines.is_sorted() && tolerances.leave_out(Tolerance::OrderOfLines) {
            job.lines.sort();
        }
        let item = Item::Answer {
            command: job.command.join(" "),
            lines: job.lines,
            failed,
        };
        self.recorder.answer(job.stimulus, item);
    }
}
