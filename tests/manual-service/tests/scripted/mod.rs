// SPDX-License-Identifier: GPL-3.0-or-later
//! A service with a server that answers every command as a script says.

use std::sync::Arc;

use manual_service::{Child, ChildOrder, Input, Output, Service};
use peerdb::{Database, Record};

/// The service and its server.
pub(crate) struct Scripted {
    pub(crate) service: Service,
    now: u64,
    records: Arc<Database>,
    /// Peers to be added at startup.
    pub(crate) auto: Vec<String>,
    /// Peers that the server has when it is asked.
    present: Vec<String>,
    /// With this error every ADD fails.
    pub(crate) refuse: Option<String>,
    /// Whether an ADD is not answered.
    pub(crate) holds_adds: bool,
    /// All lines of the service.
    pub(crate) all_lines: Vec<String>,
    /// All children to be started.
    pub(crate) orders: Vec<ChildOrder>,
    /// The tag of the last command in the background.
    pub(crate) tag: String,
    challenges: u32,
}

/// A database of these records, with a user for each record that has this key.
pub(crate) fn database(records: &[(&str, &[(&str, &str)])], auto: &[String]) -> Arc<Database> {
    let peers = records
        .iter()
        .map(|(name, pairs)| Record::new(name, pairs.iter().copied()));
    let users = records.iter().flat_map(|(name, pairs)| {
        let users = pairs.iter().filter(|(key, _)| *key == "user");
        users.map(|(_, user)| ((*user).to_owned(), (*name).to_owned()))
    });
    Arc::new(Database::from_parts(peers, users, auto.to_vec()))
}

impl Scripted {
    pub(crate) fn new(records: &[(&str, &[(&str, &str)])]) -> Self {
        Scripted {
            service: Service::new("1"),
            now: 0,
            records: database(records, &[]),
            auto: Vec::new(),
            present: Vec::new(),
            refuse: None,
            holds_adds: false,
            all_lines: Vec::new(),
            orders: Vec::new(),
            tag: String::new(),
            challenges: 0,
        }
    }

    /// Starts the service while the server has these peers.
    pub(crate) fn start(&mut self, startup: bool, present: &[&str]) {
        self.present = present.iter().map(|peer| (*peer).to_owned()).collect();
        let records = self.records.peers().cloned();
        let users = self.records.users();
        let users = users.map(|(user, peer)| (user.to_owned(), peer.to_owned()));
        let database = Database::from_parts(records, users, self.auto.clone());
        self.handle(Input::Database(Arc::new(database)));
        self.handle(Input::Start { startup });
    }

    /// The server sends a line.
    pub(crate) fn say(&mut self, line: &str) {
        self.handle(Input::Line(line));
    }

    /// Something happens; the server answers whatever the service says to it.
    pub(crate) fn handle(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.service.handle(input, self.now, &mut out);
        let mut answers = Vec::new();
        for output in out {
            match output {
                Output::Start(order) => self.orders.push(order),
                Output::Line(line) => {
                    answers.extend(self.answer(&line));
                    self.all_lines.push(line);
                }
            }
        }
        for answer in answers {
            self.say(&answer);
        }
    }

    fn answer(&mut self, line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let info = match words[0] {
            "LIST" => self.present.clone(),
            "IFNAME" => vec![format!("tun-{}", words[1])],
            "ADDR" => vec!["INET 192.0.2.1 4070".to_owned()],
            "ALGS" => vec!["cipher-blksz=16 hash=sha256".to_owned()],
            "GETCHAL" => {
                self.challenges += 1;
                vec![format!("chal{}", self.challenges)]
            }
            "PING" | "ADD" => return self.background(words[0], words[2]),
            _ => vec![],
        };
        let info = info.into_iter().map(|line| format!("INFO {line}"));
        info.chain(["OK".to_owned()]).collect()
    }

    fn background(&mut self, keyword: &str, tag: &str) -> Vec<String> {
        self.tag = tag.to_owned();
        let end = match &self.refuse {
            Some(error) => format!("BGFAIL {tag} {error}"),
            None => format!("BGOK {tag}"),
        };
        let mut lines = vec![format!("BGDETACH {tag}")];
        lines.extend(Some(end).filter(|_| keyword == "ADD" && !self.holds_adds));
        lines
    }

    /// The ping under way ends like this.
    pub(crate) fn end_ping(&mut self, how: &str) {
        let tag = self.tag.clone();
        self.say(&format!("BGINFO {tag} {how}"));
        self.say(&format!("BGOK {tag}"));
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, time: u64) {
        self.now += time;
        self.handle(Input::Time);
    }

    /// A child does something.
    pub(crate) fn child(&mut self, id: u64, what: Child) {
        self.handle(Input::Child(id, what));
    }

    /// Somebody submits a command: what is answered.
    pub(crate) fn job(&mut self, command: &str) -> Vec<String> {
        let before = self.all_lines.len();
        self.say(&format!("SVCJOB J connect {command}"));
        let lines = self.all_lines[before..].iter();
        lines
            .filter(|line| line.starts_with("SVC"))
            .cloned()
            .collect()
    }

    /// What `info` says of a peer.
    pub(crate) fn info(&mut self, peer: &str) -> Vec<String> {
        let answer = self.job(&format!("info {peer}"));
        let lines = answer.iter();
        lines
            .filter_map(|line| line.strip_prefix("SVCINFO J "))
            .map(str::to_owned)
            .collect()
    }

    /// The lines that tell everybody something.
    pub(crate) fn told(&self) -> Vec<String> {
        let lines = self.all_lines.iter();
        lines
            .filter(|line| line.starts_with("WARN ") || line.starts_with("NOTIFY "))
            .cloned()
            .collect()
    }

    /// Commands of this kind, without their tags.
    fn background_lines(&self, keyword: &str) -> Vec<String> {
        let lines = self.all_lines.iter();
        lines
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .filter(|words| words[0] == keyword)
            .map(|words| [&words[..1], &words[3..]].concat().join(" "))
            .collect()
    }

    pub(crate) fn pings(&self) -> Vec<String> {
        self.background_lines("PING")
    }

    pub(crate) fn adds(&self) -> Vec<String> {
        self.background_lines("ADD")
    }

    /// The only child to be started since the last look.
    pub(crate) fn only_order(&mut self) -> ChildOrder {
        let orders = std::mem::take(&mut self.orders);
        assert_eq!(orders.len(), 1, "{orders:?}");
        orders[0].clone()
    }
}
