// SPDX-License-Identifier: GPL-3.0-or-later
//! Whatever comes in whatever order: nothing panics, every line fits, every job is answered once,
//! no peer has two pings under way, and what is counted is what a walk would count (the rig looks
//! after each turn).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::control::Request;
use connect_ipc::control::ServerLink;
use connect_ipc::scripts::{
    Child, Ended, FromScripts, InterfaceScript, ScriptKind, Stream, UnderWay,
};
use peerdb::Record;
use proptest::prelude::*;

use super::rig::{Rig, record};

const CHILD: Child = Child {
    pid: 5,
    start_time: 1,
};

/// The peers of these runs.
const PEERS: [&str; 4] = ["p", "q", "passive", "-x"];

fn records(variant: u8) -> Vec<Record> {
    let every = if variant & 1 == 0 { "30s" } else { "1s" };
    let watch = if variant & 2 == 0 { "t" } else { "nil" };
    let p = [
        ("peer", "INET 192.0.2.1 1"),
        ("watch", watch),
        ("every", every),
        ("retries", "2"),
        ("connect", "c"),
        ("disconnect", "d"),
        ("ifup", "up 'quoted word'"),
        ("ifdown", "down"),
    ];
    vec![
        record("p", &p),
        record(
            "q",
            &[
                ("peer", "INET 192.0.2.2 1"),
                ("watch", "t"),
                ("retries", "1"),
                ("key", "k"),
            ],
        ),
        record(
            "passive",
            &[("peer", "PASSIVE"), ("watch", watch), ("knock", "me")],
        ),
        record(
            "-x",
            &[("peer", "INET 192.0.2.3 1"), ("watch", "t"), ("ifup", "'")],
        ),
    ]
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// The server answers the oldest unanswered command: well, badly, or with a line in between.
    Answer(u8),
    /// A job comes, of this command about this peer.
    Job(u8, usize),
    /// The job of that number is cancelled.
    Cancel(usize),
    /// A note about a peer.
    Note(u8, usize),
    /// The pinger orders a ping of a peer.
    Order(usize),
    /// A background job of ours ends.
    End(u8, usize),
    /// The script helper tells something of a run.
    Script(u8, usize),
    /// A line of any kind.
    Line(String),
    /// The database changes.
    Database(u8),
    /// The server goes, or comes back; or a helper goes and comes.
    Loss(u8),
    /// An operator asks.
    Request(u8, usize),
    /// Seconds pass.
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let peer = 0..PEERS.len();
    prop_oneof![
        6 => (0u8..4).prop_map(Step::Answer),
        4 => (0u8..10, peer.clone()).prop_map(|(c, p)| Step::Job(c, p)),
        1 => (0usize..8).prop_map(Step::Cancel),
        4 => (0u8..8, peer.clone()).prop_map(|(n, p)| Step::Note(n, p)),
        3 => peer.clone().prop_map(Step::Order),
        5 => (0u8..6, 0usize..6).prop_map(|(e, n)| Step::End(e, n)),
        3 => (0u8..7, 0usize..4).prop_map(|(s, n)| Step::Script(s, n)),
        1 => "(OK|FAIL|INFO|BGINFO|BGOK|BGFAIL|SVCJOB|SVCCANCEL|NOTE|WARN|x)( (c0\\.0|J1|\"a b|KILL|'))?( .{0,300})?"
            .prop_map(Step::Line),
        1 => (0u8..4).prop_map(Step::Database),
        1 => (0u8..4).prop_map(Step::Loss),
        1 => (0u8..7, peer).prop_map(|(r, p)| Step::Request(r, p)),
        2 => (0u8..40).prop_map(Step::Wait),
    ]
}

/// The server as far as it matters here: what is unanswered, and which jobs there are.
#[derive(Default)]
struct World {
    /// Foreground commands, and background ones that have not detached.
    unanswered: Vec<String>,
    /// Background jobs by tag, with the peer of a ping.
    background: Vec<(String, Option<String>)>,
    jobs: HashMap<String, bool>,
    cancelled: HashSet<String>,
    next_job: u32,
    next_seq: u32,
    next_challenge: u32,
    runs: Vec<RunId>,
    /// Whether a line made at random may have been taken for an answer, so that ours no longer
    /// tell which command they are of.
    confused: bool,
}

impl World {
    /// Takes note of what the machine has sent, and checks it.
    fn look(&mut self, rig: &mut Rig) -> Result<(), TestCaseError> {
        for line in rig.sent() {
            prop_assert!(line.len() <= 255, "{} bytes: {line}", line.len());
            let words = tripe_admin::split(&line);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["SVCOK" | "SVCFAIL", id, ..] => {
                    prop_assert!(!self.cancelled.contains(*id), "cancelled: {line}");
                    let answered = self.jobs.insert((*id).to_owned(), true);
                    prop_assert_eq!(answered, Some(false), "answered twice: {}", line);
                }
                ["SVCINFO", id, ..] => {
                    prop_assert_eq!(self.jobs.get(*id), Some(&false), "{}", line);
                }
                ["PING" | "EPING", "-background", tag, .., peer] => {
                    let peer = Some((*peer).to_owned());
                    let other = self.background.iter().find(|(_, other)| *other == peer);
                    prop_assert!(other.is_none(), "{line} besides {other:?}");
                    self.background.push(((*tag).to_owned(), peer));
                }
                [_, "-background", tag, ..] => {
                    self.background.push(((*tag).to_owned(), None));
                }
                ["BGCANCEL", tag] => self.background.retain(|(other, _)| other != tag),
                _ => {}
            }
            self.unanswered.push(line);
        }
        self.runs.extend(rig.runs().into_iter().map(|(run, _)| run));
        Ok(())
    }

    /// The server forgets everything about the connection.
    fn lose(&mut self) {
        self.unanswered.clear();
        self.background.clear();
        self.jobs.clear();
        self.confused = false;
    }

    fn apply(&mut self, rig: &mut Rig, step: Step) {
        let away = rig.machine.link() == ServerLink::Down;
        match step {
            Step::Loss(_) if away => rig.connect_server(),
            // A server that is away says nothing.
            Step::Answer(_)
            | Step::Job(..)
            | Step::Cancel(_)
            | Step::Note(..)
            | Step::End(..)
            | Step::Line(_)
                if away => {}
            Step::Answer(how) => self.answer(rig, how),
            Step::Job(command, peer) => {
                self.next_job += 1;
                let (id, peer) = (format!("J{}", self.next_job), PEERS[peer]);
                let command = match command {
                    0 | 1 => format!("active {peer}"),
                    2 => "passive u".to_owned(),
                    3 => "passive -timeout 5 u".to_owned(),
                    4 => format!("kick {peer}"),
                    5 => format!("sabotage {peer}"),
                    6 => format!("info {peer}"),
                    7 => "list-active".to_owned(),
                    8 => format!("{} {peer}", "nonsense".repeat(40)),
                    _ => "adopted extra".to_owned(),
                };
                self.jobs.insert(id.clone(), false);
                rig.hear(&format!("SVCJOB {id} connect {command}"));
            }
            Step::Cancel(number) => {
                let mut open: Vec<String> = self
                    .jobs
                    .iter()
                    .filter(|(_, answered)| !**answered)
                    .map(|(id, _)| id.clone())
                    .collect();
                open.sort_unstable();
                if let Some(id) = open.get(number).cloned() {
                    rig.hear(&format!("SVCCANCEL {id}"));
                    self.jobs.remove(&id);
                    self.cancelled.insert(id);
                }
            }
            Step::Note(kind, peer) => self.note(rig, kind, PEERS[peer]),
            Step::Order(peer) => {
                if let Some(id) = rig.machine.peers.find(PEERS[peer]) {
                    self.next_seq += 1;
                    // Every third one ahead of its time.
                    let ahead = Duration::from_millis(100 * u64::from(self.next_seq % 3 / 2));
                    rig.order_ahead(id, self.next_seq, rig.now + ahead);
                }
            }
            Step::End(how, number) => self.end(rig, how, number),
            Step::Script(what, number) => self.script(rig, what, number),
            Step::Line(line) => {
                // It may end a command or a job, or be a job: then the books kept here are wrong
                // from now on, and only what holds without them is checked until the next loss.
                self.confused = true;
                rig.hear(&line);
            }
            Step::Database(variant) => rig.database(&records(variant)),
            Step::Loss(0) => {
                rig.lose_server();
                self.lose();
            }
            Step::Loss(1) => {
                rig.pinger_goes();
                rig.pinger_comes();
            }
            Step::Loss(2) => {
                rig.scripts_go();
                rig.scripts_come();
            }
            Step::Loss(_) => self.return_scripts(rig),
            Step::Request(what, peer) => {
                let peer = PEERS[peer].to_owned();
                let words = |words: &[&str]| Request::Submit {
                    words: words.iter().map(|word| (*word).to_owned()).collect(),
                };
                let request = match what {
                    0 => Request::Status {},
                    1 => Request::Info { peer },
                    2 => words(&["active", &peer]),
                    3 => words(&["passive", "u"]),
                    4 => words(&["kick", &peer]),
                    5 => Request::RunScript {
                        peer,
                        script: InterfaceScript::Ifup,
                    },
                    _ => words(&[]),
                };
                rig.request(1, 7, request);
            }
            Step::Wait(seconds) => rig.wait(Duration::from_secs(u64::from(seconds))),
        }
    }

    /// A script helper comes that has the known runs, and one of an earlier core.
    fn return_scripts(&mut self, rig: &mut Rig) {
        let earlier = RunId(1 + u64::from(self.next_job));
        let known = self.runs.iter().chain([&earlier]).map(|run| UnderWay {
            run: *run,
            peer: PEERS[0].to_owned(),
            kind: ScriptKind::Ifup,
            child: (run.0 % 2 == 0).then_some(CHILD),
            limit: None,
        });
        rig.scripts_come_with(known.collect());
        self.runs.push(earlier);
    }

    fn answer(&mut self, rig: &mut Rig, how: u8) {
        if self.unanswered.is_empty() {
            return;
        }
        let command = self.unanswered.remove(0);
        let words = tripe_admin::split(&command);
        if words.get(1).is_some_and(|word| word == "-background") {
            let tag = &words[2];
            if how == 0 {
                let ping = self.background.iter().find(|(other, _)| other == tag);
                let peer = ping.and_then(|(_, peer)| peer.clone());
                // A peer that the server does not know has no other ping under way either.
                self.background
                    .retain(|(other, pinged)| other != tag && (peer.is_none() || *pinged != peer));
                return rig.hear(&format!("FAIL unknown-peer {}", peer.unwrap_or_default()));
            }
            return rig.hear(&format!("BGDETACH {tag}"));
        }
        match (words[0].as_str(), how) {
            ("SVCCLAIM", _) => rig.hear("OK"),
            (_, 0) => rig.hear(&format!("FAIL not-today{}", " x".repeat(300))),
            ("GETCHAL", _) => {
                self.next_challenge += 1;
                rig.hear(&format!("INFO chal{}", self.next_challenge));
                rig.hear("OK");
            }
            ("LIST", _) => {
                let listed = &PEERS[..usize::from(how)];
                self.background.retain(|(_, pinged)| {
                    pinged
                        .as_ref()
                        .is_none_or(|peer| listed.contains(&peer.as_str()))
                });
                for peer in listed {
                    rig.hear(&format!("INFO {peer}"));
                }
                rig.hear("OK");
            }
            ("IFNAME", _) => {
                rig.hear("INFO tripe0");
                rig.hear("OK");
            }
            ("ADDR", _) => {
                rig.hear("INFO INET 192.0.2.1 1");
                rig.hear("OK");
            }
            ("ALGS", 1) => {
                rig.hear("INFO a=b c-d=e f");
                rig.hear("OK");
            }
            _ => rig.hear("OK"),
        }
    }

    fn note(&mut self, rig: &mut Rig, kind: u8, peer: &str) {
        match kind {
            0 | 1 => rig.hear(&format!("NOTE ADD {peer} tripe0 INET 192.0.2.1 1")),
            2 => {
                // The server ends a removed peer's pings.
                let ended: Vec<String> = self
                    .background
                    .iter()
                    .filter(|(_, other)| other.as_deref() == Some(peer))
                    .map(|(tag, _)| tag.clone())
                    .collect();
                self.background
                    .retain(|(_, other)| other.as_deref() != Some(peer));
                rig.hear(&format!("NOTE KILL {peer}"));
                for tag in ended {
                    rig.hear(&format!("BGINFO {tag} ping-peer-died"));
                    rig.hear(&format!("BGOK {tag}"));
                }
            }
            3 => rig.hear(&format!("NOTE KNOCK {peer} INET 192.0.2.9 1")),
            4 => rig.hear(&format!(
                "NOTE GREET chal{} INET 192.0.2.9 1",
                self.next_job
            )),
            5 => rig.hear(&format!("NOTE KXDONE {peer}")),
            6 => rig.hear(&format!("NOTE NEWADDR {peer} INET 192.0.2.8 1")),
            _ => rig.hear(&format!("NOTE NEWIFNAME {peer} a b")),
        }
    }

    /// A background job that has detached ends.
    fn end(&mut self, rig: &mut Rig, how: u8, number: usize) {
        let detached: Vec<String> = self
            .background
            .iter()
            .map(|(tag, _)| tag.clone())
            .filter(|tag| {
                let mark = format!("-background {tag} ");
                !self.unanswered.iter().any(|line| line.contains(&mark))
            })
            .collect();
        let Some(tag) = detached.get(number) else {
            return;
        };
        self.background.retain(|(other, _)| other != tag);
        match how {
            0 => rig.hear(&format!("BGINFO {tag} ping-ok 1.5")),
            1 => rig.hear(&format!("BGINFO {tag} ping-timeout")),
            2 => rig.hear(&format!("BGINFO {tag} ping-ok nonsense")),
            3 => return rig.hear(&format!("BGFAIL {tag} peer-exists p")),
            4 => return rig.hear(&format!("BGFAIL {tag} \"{}\"", "long ".repeat(100))),
            _ => {}
        }
        rig.hear(&format!("BGOK {tag}"));
    }

    fn script(&mut self, rig: &mut Rig, what: u8, number: usize) {
        let Some(run) = self.runs.get(number).copied() else {
            return;
        };
        let (stream, line) = (Stream::Stdout, "QUJD".to_owned());
        match what {
            0 => {
                let child = CHILD;
                rig.scripts_say(FromScripts::Started { run, child });
            }
            1 => rig.scripts_say(FromScripts::Output { run, stream, line }),
            2 => {
                let line = "\u{e9}\"\\ ".repeat(2_000);
                rig.scripts_say(FromScripts::Output {
                    run,
                    stream: Stream::Stderr,
                    line,
                });
            }
            3 => rig.scripts_say(FromScripts::Dropped {
                run,
                stream,
                lines: 5,
            }),
            4 => rig.scripts_say(FromScripts::Eof { run, stream }),
            _ => {
                self.runs.remove(number);
                let end = if what == 5 {
                    Ended::Exited(3)
                } else {
                    Ended::Lost
                };
                rig.scripts_say(FromScripts::Ended { run, end });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(house::cases(96)))]
    #[test]
    fn the_promises_hold_under_any_sequence(
        steps in proptest::collection::vec(step(), 1..150)
    ) {
        let mut rig = Rig::new(&records(0));
        rig.connect_server();
        let mut world = World::default();
        for step in steps {
            world.apply(&mut rig, step);
            if world.confused {
                for line in rig.sent() {
                    prop_assert!(line.len() <= 255, "{line}");
                }
                // A new connection puts the books right.
                rig.lose_server();
                world.lose();
                rig.connect_server();
            }
            if rig.ended.is_some() {
                return Ok(());
            }
            world.look(&mut rig)?;
        }
        if rig.machine.link() == ServerLink::Down {
            rig.connect_server();
        }
        // In the end the server answers everything and time runs out: no job is left open.
        for _ in 0..200 {
            world.answer(&mut rig, 1);
            world.end(&mut rig, 5, 0);
            rig.wait(Duration::from_secs(1));
            world.look(&mut rig)?;
        }
        let open: Vec<_> = world.jobs.iter().filter(|(_, answered)| !**answered).collect();
        prop_assert!(open.is_empty(), "never answered: {open:?}");
    }
}
