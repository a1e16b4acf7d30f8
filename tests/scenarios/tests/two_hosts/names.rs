// SPDX-License-Identifier: GPL-3.0-or-later
//! A name server of our own within a host, which the programs on that host ask and no others do.
//!
//! It knows one name. What it answers is changed while it runs.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use scenarios::PATIENCE;

use crate::hosts::Host;

/// The name that it knows.
pub(crate) const NAME: &str = "hub.names.example";

/// How often it looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A message's header (RFC 1035, 4.1.1).
const HEADER: usize = 12;

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// These addresses, in this order. Each question gets those of its family.
    Addresses(Vec<IpAddr>),
    /// Nothing, ever.
    Silence,
}

/// A running name server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct NameServer {
    answer: Arc<Mutex<Answer>>,
    questions: mpsc::Receiver<()>,
    ends: Arc<AtomicBool>,
    settings: PathBuf,
}

impl NameServer {
    /// Starts one on a host, which gets resolver settings that name it. Programs that are started
    /// on the host from then on have these in place of the machine's (ip-netns(8)).
    pub(crate) fn start(host: &Host, answer: Answer) -> anyhow::Result<Self> {
        let settings = Path::new("/etc/netns").join(&host.namespace);
        fs::create_dir_all(&settings)?;
        // The limit under test is the helper's, so the resolver's own is longer.
        let resolver = "nameserver 127.0.0.1\noptions timeout:30 attempts:2\n";
        fs::write(settings.join("resolv.conf"), resolver)?;
        // There may be a resolver of the machine that is asked by other ways than the network.
        if Path::new("/etc/nsswitch.conf").exists() {
            let order = "passwd: files\ngroup: files\nhosts: dns\n";
            fs::write(settings.join("nsswitch.conf"), order)?;
        }
        let socket = bound_within(host)?;
        socket.set_read_timeout(Some(LOOK_EVERY))?;
        let (told, questions) = mpsc::channel();
        let server = NameServer {
            answer: Arc::new(Mutex::new(answer)),
            questions,
            ends: Arc::default(),
            settings,
        };
        let (answer, ends) = (Arc::clone(&server.answer), Arc::clone(&server.ends));
        thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                serve_once(&socket, &answer, &told);
            }
        });
        Ok(server)
    }

    /// Answers this from now on. Questions before count no more.
    pub(crate) fn answers(&self, answer: Answer) {
        let mut present = locked(&self.answer);
        while self.questions.try_recv().is_ok() {}
        *present = answer;
    }

    /// Waits until it is asked.
    pub(crate) fn is_asked(&self) -> anyhow::Result<()> {
        self.questions
            .recv_timeout(PATIENCE)
            .context("the name server is not asked")
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Another test may have settings there, so the directory above stays unless it is empty.
        let _ = fs::remove_dir_all(&self.settings);
        let _ = fs::remove_dir("/etc/netns");
    }
}

fn locked(answer: &Mutex<Answer>) -> MutexGuard<'_, Answer> {
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket for questions in the namespace of a host. A thread of its own goes there and ends.
fn bound_within(host: &Host) -> anyhow::Result<UdpSocket> {
    let namespace = File::open(Path::new("/run/netns").join(&host.namespace))?;
    let bind = move || -> io::Result<UdpSocket> {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        UdpSocket::bind(("127.0.0.1", 53))
    };
    let bound = thread::spawn(bind).join();
    Ok(bound.map_err(|_| anyhow::anyhow!("the thread has panicked"))??)
}

/// Takes one question, if one comes, and answers it.
fn serve_once(socket: &UdpSocket, answer: &Mutex<Answer>, told: &mpsc::Sender<()>) {
    let mut buffer = [0; 512];
    let Ok((length, from)) = socket.recv_from(&mut buffer) else {
        return;
    };
    let answer = locked(answer);
    if let Answer::Addresses(addresses) = &*answer
        && let Some(reply) = reply(&buffer[..length], addresses)
    {
        // Who has asked may be gone.
        let _ = socket.send_to(&reply, from);
    }
    // The test may have ended.
    let _ = told.send(());
}

/// The reply to a message with one question; `None` if it cannot be read.
fn reply(message: &[u8], addresses: &[IpAddr]) -> Option<Vec<u8>> {
    let question = message.get(HEADER..)?;
    let (mut name, mut at) = (Vec::new(), 0);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = question.get(at..at + length)?;
        name.push(String::from_utf8_lossy(label).into_owned());
        at += length;
    }
    let kind = u16::from_be_bytes(question.get(at..at + 2)?.try_into().ok()?);
    let question = question.get(..at + 4)?;
    let known = name.join(".") == NAME;
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter(|_| known)
        .filter_map(|address| record(kind, *address))
        .collect();
    let mut reply = message.get(..2)?.to_vec();
    // A response with recursion; "no such name" for any other.
    reply.extend([0x81, if known { 0x80 } else { 0x83 }]);
    let count = u16::try_from(records.len()).ok()?.to_be_bytes();
    reply.extend([[0, 1], count, [0, 0], [0, 0]].concat());
    reply.extend(question);
    reply.extend(records.concat());
    Some(reply)
}

/// A record with this address, if it answers a question of this type. Nobody may keep it.
fn record(kind: u16, address: IpAddr) -> Option<Vec<u8>> {
    let data = match (kind, address) {
        (1, IpAddr::V4(address)) => address.octets().to_vec(),
        (28, IpAddr::V6(address)) => address.octets().to_vec(),
        _ => return None,
    };
    let length = u16::try_from(data.len()).ok()?.to_be_bytes();
    // The name is that of the question, at the end of the header.
    let mut record = vec![0xc0, 0x0c];
    record.extend(kind.to_be_bytes());
    record.extend([0, 1, 0, 0, 0, 0]);
    record.extend(length);
    record.extend(data);
    Some(record)
}
