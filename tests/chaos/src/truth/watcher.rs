// SPDX-License-Identifier: GPL-3.0-or-later
//! The thread that listens to the server, and connects to the next one when it has died.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use connect_runtime::clock;
use tripe_admin::Note;
use tripe_admin::message::ServerLine;

use super::account::Account;
use super::client::{Client, Next, own_number, tell_number};
use crate::told;
use judge::history::Span;

/// How often it is looked whether all is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The pause between attempts to connect.
const RETRY_EVERY: Duration = Duration::from_millis(10);

/// The watcher and what it has found.
#[derive(Debug)]
pub(crate) struct Watcher {
    account: Arc<Mutex<Account>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts the thread.
    pub(crate) fn start(socket: &Path, account: Account) -> Self {
        let account = Arc::new(Mutex::new(account));
        let over = Arc::new(AtomicBool::new(false));
        let thread = Thread {
            socket: socket.to_owned(),
            account: Arc::clone(&account),
            over: Arc::clone(&over),
        };
        Watcher {
            account,
            over,
            thread: Some(std::thread::spawn(move || thread.run())),
        }
    }

    /// What was found so far.
    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends by itself, and has nothing more to tell.
            let _ = thread.join();
        }
    }
}

struct Thread {
    socket: PathBuf,
    account: Arc<Mutex<Account>>,
    over: Arc<AtomicBool>,
}

/// Which command an answer belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    Clients,
    Say,
    Watch,
    List,
}

impl Thread {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn run(&self) {
        while !self.is_over() {
            match Client::connect(&self.socket) {
                Ok(client) => {
                    self.follow(client);
                    self.account().server_died(clock::now());
                }
                Err(_) => std::thread::sleep(RETRY_EVERY),
            }
        }
    }

    /// Listens until the connection ends.
    fn follow(&self, mut client: Client) {
        let mut asked = VecDeque::from([Asked::Clients]);
        let mut listed = Vec::new();
        if client.send("LAB CLIENTS\n").is_err() {
            return;
        }
        while !self.is_over() {
            let (line, when) = match client.next(LOOK_EVERY) {
                Next::Line(line, when) => (line, when),
                Next::Nothing => continue,
                Next::Closed => return,
            };
            if let Some(number) = own_number(&line) {
                self.account().watcher = Some(number.to_owned());
                continue;
            }
            match ServerLine::parse(&line) {
                ServerLine::Info(words) => listed.extend(words.owned().into_iter().take(1)),
                ServerLine::Ok => match asked.pop_front() {
                    Some(Asked::Clients) => {
                        let clients = std::mem::take(&mut listed);
                        asked.extend(clients.iter().map(|_| Asked::Say));
                        asked.extend([Asked::Watch, Asked::List]);
                        let tell: String = clients.iter().map(|it| tell_number(it)).collect();
                        if client.send(&format!("{tell}WATCH -A+nw\nLIST\n")).is_err() {
                            return;
                        }
                    }
                    Some(Asked::List) => {
                        let peers = std::mem::take(&mut listed);
                        self.account().listed(&peers, when.to);
                    }
                    Some(Asked::Say | Asked::Watch) | None => {}
                },
                // A client that is gone meanwhile cannot be told its number.
                ServerLine::Fail(_) => drop(asked.pop_front()),
                ServerLine::Note(words) => self.noted(&Note::from_words(words), when),
                ServerLine::Warn(words) => self.warned(&words.owned(), when),
                _ => {}
            }
        }
    }

    fn noted(&self, note: &Note, when: Span) {
        match note {
            Note::Add { peer, .. } => self.account().added(peer, when),
            Note::Kill { peer } => self.account().removed(peer, when),
            _ => {}
        }
    }

    fn warned(&self, words: &[String], when: Span) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["USER", "connect", "reconnecting", peer, ..] => {
                self.account().reconnecting(peer, when);
            }
            ["USER", "connect", rest @ ..] => {
                if let Some((peer, told)) = told::from_words(rest, when) {
                    self.account().told.entry(peer).or_default().push(told);
                }
            }
            _ => {}
        }
    }
}
