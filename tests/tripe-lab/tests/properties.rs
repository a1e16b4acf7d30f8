// SPDX-License-Identifier: GPL-3.0-or-later
//! Random commands from several clients, random datagrams and the passing of time, played to the
//! server's core under any switches: each command is answered once and in order, no line comes for
//! a tag that is not live, each job ends exactly once, and a recording of what happened, repeated,
//! gives the very same outputs.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use tripe_admin::split;
use tripe_lab::config::Host;
use tripe_lab::datagram::{Datagram, Echo};
use tripe_lab::faults::Chance;
use tripe_lab::server::{ClientId, Control, Input, Output, Server, Watch};
use tripe_lab::switches::{AddressSwap, HalfClose};
use tripe_lab::{LabConfig, Switches};

/// So many cases; a failing one is printed whole and needs no file to be played again.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    /// Client so-and-so says this. `%JOB%` stands for a job it was once given, told by the number.
    Say(u32, String, usize),
    /// It sends no more.
    Eof(u32),
    /// It cannot be written to.
    Gone(u32),
    /// Time passes.
    Wait(u32),
    /// A peer moves.
    Move(u32, usize),
    /// A datagram comes.
    Datagram(usize, Datagram),
}

/// How many clients there are at first; the numbers of those that come for those that went are
/// higher.
const CLIENTS: u32 = 4;

fn addr(index: usize) -> SocketAddr {
    SocketAddr::from((
        [127, 0, 0, 1],
        1_000 + u16::try_from(index).unwrap_or_default(),
    ))
}

/// Address words of a note.
fn place(ip: &str, port: &str) -> Result<SocketAddr, TestCaseError> {
    let text = format!("{ip}:{port}");
    text.parse().map_err(|_| TestCaseError::fail(text))
}

fn command() -> impl Strategy<Value = String> {
    let tag = prop_oneof![
        2 => Just(String::new()),
        5 => (0..4).prop_map(|t| format!("-background t{t} ")),
    ];
    let peer = (0..4).prop_map(|p| format!("p{p}"));
    let place = prop_oneof![
        (0..3).prop_map(|a| format!("192.0.2.{a}")),
        (0..3).prop_map(|a| format!("INET 127.0.0.1 {}", 1_000 + a)),
        (0..4).prop_map(|a| format!("slow.example {}", 4_070 + a)),
        Just("never-answers.example".to_owned()),
        Just("nosuch.example".to_owned()),
        Just("INET".to_owned()),
    ];
    let options = prop_oneof![
        4 => Just(""), 1 => Just("-cork "), 1 => Just("-mobile "), 1 => Just("-knock a.b "), 1 => Just("-bad "),
    ];
    let service = (0..2).prop_map(|s| format!("s{s}"));
    let reply = prop_oneof![
        Just("SVCINFO %JOB% x"),
        Just("SVCINFO %JOB%"),
        Just("SVCOK %JOB%"),
        Just("SVCFAIL %JOB% bad x"),
    ];
    prop_oneof![
        4 => (tag.clone(), options, peer.clone(), place)
            .prop_map(|(t, o, p, a)| format!("ADD {t}{o}{p} {a}")),
        3 => (tag.clone(), peer.clone(), 0..9)
            .prop_map(|(t, p, s)| format!("PING {t}-timeout {s} {p}")),
        2 => (tag.clone(), peer.clone()).prop_map(|(t, p)| format!("EPING {t}{p}")),
        3 => (tag, service.clone()).prop_map(|(t, s)| format!("SVCSUBMIT {t}{s} do 'a b'")),
        2 => (service.clone(), 0..3).prop_map(|(s, v)| format!("SVCCLAIM {s} {v}")),
        1 => service.prop_map(|s| format!("SVCRELEASE {s}")),
        6 => reply.prop_map(str::to_owned),
        2 => peer.clone().prop_map(|p| format!("KILL {p}")),
        1 => peer.prop_map(|p| format!("FORCEKX {p}")),
        3 => (0..4).prop_map(|t| format!("BGCANCEL t{t}")),
        1 => prop_oneof![
            Just("WATCH A"), Just("WATCH -A"), Just("WATCH z"), Just("LIST"), Just("JOBS"),
            Just("NOTIFY x"), Just("GETCHAL"), Just("HELP"), Just("nonsense"), Just("SVCLIST"),
        ].prop_map(str::to_owned),
        1 => "[ -~]{0,60}".prop_filter("the end of the server, or lines that nobody sent", |line| {
            let first = split(line).first().map(|word| word.to_uppercase());
            !matches!(first.as_deref(), Some("QUIT" | "LAB"))
        }),
    ]
}

fn datagram() -> impl Strategy<Value = Datagram> {
    let number = 0..3_u64;
    prop_oneof![
        (0..4_u32, number.clone()).prop_map(|(id, cookie)| Datagram::Pong(Echo { id, cookie })),
        (0..4_u32, number.clone()).prop_map(|(id, cookie)| Datagram::Ping(Echo { id, cookie })),
        number
            .clone()
            .prop_map(|n| Datagram::KxRequest(n, "x".into())),
        (number.clone(), number.clone()).prop_map(|(a, b)| Datagram::KxReply(a, b)),
        Just(Datagram::TokenRequest("a.p1".into())),
        number
            .clone()
            .prop_map(|n| Datagram::Knock(n, n, "a.p1".into())),
        number.clone().prop_map(|n| Datagram::Data(n, vec![1])),
        number.prop_map(Datagram::Bye),
        Just(Datagram::Greet(vec![0; 20])),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..CLIENTS, command(), 0..4_usize).prop_map(|(c, line, j)| Step::Say(c, line, j)),
        1 => (0..CLIENTS).prop_map(Step::Eof),
        1 => (0..CLIENTS).prop_map(Step::Gone),
        4 => (0..9_000_u32).prop_map(Step::Wait),
        1 => (0..4_u32, 0..4_usize).prop_map(|(peer, to)| Step::Move(peer, to)),
        3 => (0..4_usize, datagram()).prop_map(|(from, d)| Step::Datagram(from, d)),
    ]
}

fn switches() -> impl Strategy<Value = Switches> {
    let all = Switches::each();
    let default = Switches::default().settings();
    let pairs = (0..all.len(), 0..all.len());
    pairs.prop_map(move |(one, two)| {
        // Two at a time: what differs in either differs in the result.
        let mut switches = all[one].1;
        for setting in all[two].1.settings() {
            if !default.contains(&setting) {
                let _ = switches.set(setting.0, setting.1);
            }
        }
        switches
    })
}

/// What is known of a client.
#[derive(Debug, Default)]
struct Known {
    /// A command has not been answered yet.
    unanswered: bool,
    /// The tag of the `BGCANCEL` that is unanswered.
    cancelling: Option<String>,
    tags: BTreeSet<String>,
    /// Which of them are pings, and to which peer.
    pings: HashMap<String, String>,
    /// The peer it is about to ping.
    pinging: Option<String>,
    eof: bool,
    /// Jobs it was given, as provider, and whether they are open.
    jobs: Vec<(String, bool)>,
    /// The job it is about to settle.
    settling: Option<String>,
}

/// A server, and what its clients know.
struct Run {
    server: Server,
    now: Duration,
    clients: BTreeMap<ClientId, Known>,
    /// Which client stands in each place.
    places: Vec<ClientId>,
    next_client: u32,
    peers: BTreeMap<String, SocketAddr>,
    /// Who speaks just now.
    speaker: Option<ClientId>,
    /// Who submitted which job to whom.
    submitted: Vec<(ClientId, ClientId, String)>,
    transcript: Vec<Output>,
    /// Each input with its time, as JSON.
    recorded: Vec<serde_json::Result<String>>,
}

type Checked = Result<(), TestCaseError>;

impl Run {
    fn server(switches: Switches, seed: u64) -> Server {
        let mut config = LabConfig {
            seed,
            switches,
            reflect: "192.0.2.0/24".parse().ok(),
            max_provider_jobs: 5,
            ..LabConfig::new("/nonexistent")
        };
        config.faults.net.loss = Chance::percent(10);
        let slow = Host::Slow(3, vec![[192, 0, 2, 9].into()]);
        config.hosts.insert("slow.example".into(), slow);
        Server::new(config, vec![addr(0)], 0, SystemTime::UNIX_EPOCH)
    }

    fn new(switches: Switches, seed: u64) -> Self {
        let mut run = Run {
            server: Self::server(switches, seed),
            now: Duration::ZERO,
            clients: BTreeMap::new(),
            places: Vec::new(),
            next_client: 1,
            peers: BTreeMap::new(),
            speaker: None,
            submitted: Vec::new(),
            transcript: Vec::new(),
            recorded: Vec::new(),
        };
        for _ in 0..CLIENTS {
            let id = run.connect();
            run.places.push(id);
        }
        run
    }

    fn connect(&mut self) -> ClientId {
        let id = ClientId(self.next_client);
        self.next_client += 1;
        self.clients.insert(id, Known::default());
        let mut outputs = self.handle(Input::Connect(id, Watch::default()));
        self.transcript.append(&mut outputs);
        id
    }

    fn handle(&mut self, input: Input<'_>) -> Vec<Output> {
        self.recorded
            .push(serde_json::to_string(&(self.now, &input)));
        let mut outputs = Vec::new();
        self.server.handle(input, self.now, &mut outputs);
        outputs
    }

    fn feed(&mut self, input: Input<'_>) -> Checked {
        let outputs = self.handle(input);
        self.take(outputs)
    }

    fn take(&mut self, mut outputs: Vec<Output>) -> Checked {
        for output in &outputs {
            self.check(output)?;
        }
        self.transcript.append(&mut outputs);
        if self.server.config().switches.address_swap == AddressSwap::TwoNotes {
            let peers = self.server.peers().into_iter();
            let peers: BTreeMap<_, _> = peers.map(|peer| (peer.name, peer.addr)).collect();
            prop_assert_eq!(&self.peers, &peers);
            let places: BTreeSet<_> = peers.values().collect();
            prop_assert_eq!(places.len(), peers.len(), "two peers in one place");
        }
        for (id, known) in &self.clients {
            for (tag, peer) in &known.pings {
                let dead = known.tags.contains(tag) && !self.peers.contains_key(peer);
                prop_assert!(!dead, "{} is dead and ping {} is not", peer, tag);
            }
            // The one way not to be answered yet is to be held up.
            prop_assert_eq!(
                known.unanswered,
                self.server.is_blocked(*id),
                "client {}",
                id
            );
        }
        Ok(())
    }

    fn check(&mut self, output: &Output) -> Checked {
        match output {
            Output::Line(id, line) => self.check_line(*id, line),
            Output::Close(id) => {
                prop_assert!(
                    self.clients.remove(id).is_some(),
                    "client {} closed twice",
                    id
                );
                for (submitter, provider, job) in &self.submitted {
                    let open = self.clients.get(provider).is_some_and(|provider| {
                        let mut jobs = provider.jobs.iter();
                        // One that is just being settled gets its OK after its submitter, and one
                        // that is half-closed may have lost its jobs.
                        !provider.eof
                            && provider.settling.as_ref() != Some(job)
                            && jobs.any(|(name, open)| name == job && *open)
                    });
                    prop_assert!(submitter != id || !open, "{} lives on", job);
                }
                Ok(())
            }
            Output::Broadcast(line) => {
                let words = split(line);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                match words[..] {
                    ["NOTE", "ADD", peer, _, _, ip, port] => {
                        let at = place(ip, port)?;
                        prop_assert!(!self.peers.values().any(|other| *other == at));
                        prop_assert!(self.peers.insert(peer.into(), at).is_none());
                    }
                    ["NOTE", "KILL", peer] => prop_assert!(self.peers.remove(peer).is_some()),
                    ["NOTE", "NEWADDR", peer, _, ip, port] => {
                        let at = place(ip, port)?;
                        prop_assert!(self.peers.insert(peer.into(), at).is_some());
                    }
                    _ => {}
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn check_line(&mut self, id: ClientId, line: &str) -> Checked {
        let known = self.clients.get_mut(&id);
        let Some(known) = known else {
            return Err(TestCaseError::fail(format!(
                "{line:?} to {id}, which is closed"
            )));
        };
        let words = split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["OK" | "FAIL", ..] => {
                prop_assert!(known.unanswered, "{line:?} to {id} for nothing");
                known.unanswered = false;
                let ok = words[0] == "OK";
                if let ["FAIL", "tag-exists", tag] = words[..] {
                    prop_assert!(known.tags.contains(tag), "{tag} is not live");
                }
                known.pinging = None;
                if let Some(tag) = known.cancelling.take()
                    && ok
                {
                    known.tags.remove(&tag);
                }
                if let Some(job) = known.settling.take() {
                    let open = known.jobs.iter_mut().find(|(name, _)| *name == job);
                    if let Some((_, open)) = open {
                        if ok {
                            prop_assert!(*open, "{job} settled twice");
                            *open = false;
                        } else if words.get(1) == Some(&"unknown-jobid") {
                            prop_assert!(!*open, "{job} is open yet unknown");
                        }
                    }
                }
            }
            ["INFO", ..] => prop_assert!(known.unanswered, "{line:?} to {id} for nothing"),
            ["BGDETACH", tag] => {
                prop_assert!(known.unanswered, "{line:?} to {id} for nothing");
                known.unanswered = false;
                prop_assert!(known.tags.insert(tag.into()), "{tag} is live already");
                match known.pinging.take() {
                    Some(peer) => known.pings.insert(tag.into(), peer),
                    None => known.pings.remove(tag),
                };
            }
            ["BGINFO", tag, ..] => prop_assert!(known.tags.contains(tag), "{line:?}"),
            ["BGOK", tag] | ["BGFAIL", tag, ..] => {
                prop_assert!(known.tags.remove(tag), "{line:?} for a dead tag");
            }
            ["SVCJOB", job, _, ..] => {
                prop_assert!(!known.jobs.iter().any(|(name, _)| name == job));
                known.jobs.push((job.into(), true));
                let submitter = self.speaker.unwrap_or(id);
                self.submitted.push((submitter, id, job.into()));
            }
            ["SVCCANCEL", job] => {
                let open = known.jobs.iter_mut().find(|(name, _)| name == job);
                let was = open.map(|(_, open)| std::mem::replace(open, false));
                prop_assert_eq!(was, Some(true), "{} is not open", job);
            }
            ["SVCCLAIM", _, _] | ["NOTE" | "WARN" | "TRACE", ..] => {}
            _ => return Err(TestCaseError::fail(format!("odd line {line:?}"))),
        }
        Ok(())
    }

    fn say(&mut self, id: ClientId, line: &str, job: usize) -> Checked {
        let Some(known) = self.clients.get_mut(&id) else {
            return Ok(());
        };
        if known.eof || self.server.is_blocked(id) {
            return Ok(());
        }
        let chosen = known.jobs.iter().rev().nth(job);
        let name = chosen.map_or_else(|| "Jnone".to_owned(), |(name, _)| name.clone());
        let line = line.replace("%JOB%", &name);
        let words = split(&line);
        let Some(first) = words.first().map(|word| word.to_uppercase()) else {
            return self.feed(Input::Line(id, line.as_bytes().into()));
        };
        self.speaker = Some(id);
        known.unanswered = true;
        known.pinging = first
            .ends_with("PING")
            .then(|| words.last().cloned().unwrap_or_default());
        known.cancelling = (first == "BGCANCEL" && words.len() == 2).then(|| words[1].clone());
        known.settling = (first == "SVCOK" || first == "SVCFAIL").then_some(name);
        self.feed(Input::Line(id, line.as_bytes().into()))
    }

    /// Lets time pass, deadline by deadline.
    fn wait(&mut self, time: Duration) -> Checked {
        let until = self.now + time;
        // No run has nearly so many deadlines unless timers set each other without end.
        for _ in 0..100_000 {
            match self.server.next_deadline() {
                Some(at) if at <= until => {
                    self.now = self.now.max(at);
                    self.feed(Input::Tick)?;
                }
                _ => {
                    self.now = until;
                    return Ok(());
                }
            }
        }
        Err(TestCaseError::fail("time does not pass"))
    }

    fn step(&mut self, step: &Step) -> Checked {
        let place = |place: &u32| usize::try_from(*place).unwrap_or_default();
        match step {
            Step::Say(client, line, job) => self.say(self.places[place(client)], line, *job)?,
            Step::Eof(client) => {
                let id = self.places[place(client)];
                let held_up = self.server.is_blocked(id);
                if let Some(known) = self.clients.get_mut(&id)
                    && !held_up
                {
                    known.eof = true;
                    self.feed(Input::Eof(id))?;
                }
            }
            Step::Gone(client) => self.feed(Input::Gone(self.places[place(client)], 32))?,
            Step::Wait(millis) => self.wait(Duration::from_millis(u64::from(*millis)))?,
            Step::Move(peer, to) => {
                self.feed(Input::Control(Control::Move {
                    peer: format!("p{peer}"),
                    to: addr(*to),
                }))?;
            }
            Step::Datagram(from, datagram) => {
                self.feed(Input::Datagram(addr(*from), datagram.encode().into()))?;
            }
        }
        // Whoever went is replaced.
        for place in 0..self.places.len() {
            if !self.clients.contains_key(&self.places[place]) {
                self.places[place] = self.connect();
            }
        }
        Ok(())
    }

    /// What the server says when asked is what its clients have seen.
    fn compare(&mut self) -> Checked {
        let ids: Vec<ClientId> = self.clients.keys().copied().collect();
        for id in ids {
            let known = &self.clients[&id];
            if known.eof || self.server.is_blocked(id) {
                continue;
            }
            let mut tags: Vec<String> = known.tags.iter().cloned().collect();
            tags.push("OK".into());
            prop_assert_eq!(self.ask(id, "JOBS")?, tags);
            let mut peers: Vec<String> = self.peers.keys().cloned().collect();
            peers.sort();
            peers.push("OK".into());
            prop_assert_eq!(self.ask(id, "LIST")?, peers);
        }
        Ok(())
    }

    /// The sorted answer to a command, without `INFO`, and the `OK`.
    fn ask(&mut self, id: ClientId, line: &str) -> Result<Vec<String>, TestCaseError> {
        let start = self.transcript.len();
        self.say(id, line, 0)?;
        let mut lines: Vec<String> = self.transcript[start..]
            .iter()
            .filter_map(|output| match output {
                Output::Line(to, line) if *to == id => {
                    let text = line
                        .strip_prefix("INFO ")
                        .or_else(|| (line == "OK").then_some("OK"))?;
                    Some(split(text).join(" "))
                }
                _ => None,
            })
            .collect();
        let last = lines.pop();
        lines.sort();
        lines.extend(last);
        Ok(lines)
    }

    /// In the end, with every provider gone and all time passed, nothing is owed to anybody.
    fn end(&mut self) -> Checked {
        let providers: Vec<ClientId> = self
            .clients
            .iter()
            .filter(|(_, known)| known.jobs.iter().any(|(_, open)| *open))
            .map(|(id, _)| *id)
            .collect();
        for id in providers {
            self.feed(Input::Gone(id, 32))?;
        }
        self.wait(Duration::from_secs(100))?;
        for (id, known) in &self.clients {
            prop_assert!(
                known.tags.is_empty(),
                "client {} waits for {:?}",
                id,
                known.tags
            );
            prop_assert!(!known.unanswered, "client {} is not answered", id);
            prop_assert!(!known.eof, "client {} is not closed", id);
        }
        Ok(())
    }
}

fn play(switches: Switches, seed: u64, steps: &[Step]) -> Result<Run, TestCaseError> {
    let mut run = Run::new(switches, seed);
    for step in steps {
        run.step(step)?;
    }
    // A half-closed provider may have lost its services and jobs already.
    if switches.half_close == HalfClose::AtFinalClose {
        run.compare()?;
    }
    run.end()?;
    Ok(run)
}

fn json(outputs: &[Output]) -> serde_json::Result<Vec<String>> {
    outputs.iter().map(serde_json::to_string).collect()
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn every_command_is_answered_once_and_every_job_ends_once(
        switches in switches(),
        seed in 0..1_000_u64,
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let run = play(switches, seed, &steps)?;
        // Another server of the same seed, told the same, does the same, byte for byte.
        let mut again = Run::server(switches, seed);
        let mut outputs = Vec::new();
        for line in run.recorded {
            let line = line.unwrap();
            let (now, input) = serde_json::from_str(&line).unwrap();
            again.handle(input, now, &mut outputs);
        }
        let lines = json(&outputs).unwrap();
        prop_assert_eq!(&lines, &json(&run.transcript).unwrap());
        let read: serde_json::Result<Vec<Output>> =
            lines.iter().map(|line| serde_json::from_str(line)).collect();
        prop_assert_eq!(read.unwrap(), outputs);
    }

    #[test]
    fn no_line_of_bytes_harms_the_server(line in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut run = Run::new(Switches::default(), 1);
        let mut outputs = Vec::new();
        let input = Input::Line(ClientId(1), line.into());
        run.server.handle(input, Duration::ZERO, &mut outputs);
    }
}
