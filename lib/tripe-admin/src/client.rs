// SPDX-License-Identifier: GPL-3.0-or-later
//! A ready client for tokio: commands as futures, everything unasked as a stream of [`Incoming`].
//!
//! ```text
//!  Client --Request--> [connection task] --lines--> server
//!  Client <--oneshot--        |          <--lines--
//!  Inbox  <--Incoming---------+
//! ```
//!
//! The task never waits for a caller: broadcasts to an [`Inbox`] that is not read are dropped and
//! counted, answers go to whoever still waits, and jobs of services are never dropped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use crate::line::{Line, LineBuffer, MAX_RECEIVED};
use crate::message::Failure;
use crate::note::Note;
use crate::session::{Event, Refused, Session, Tag};

/// How many unread broadcasts are kept for an [`Inbox`] before further ones are dropped: about one
/// burst of a server that adds 10,000 peers.
const INBOX_BOUND: usize = 16 * 1024;

/// The lines of a successful answer, each split into words.
pub type Answer = Vec<Vec<String>>;

/// Why a command gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket could not be reached.
    #[error(
        "cannot reach the server's socket {path}: {source}; is tripe running, and is this the right socket?"
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The server answered `FAIL`.
    #[error("the server answered: {0}")]
    Failed(#[from] Failure),
    /// The command cannot be sent.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The connection ended before the answer came.
    #[error("the server closed the connection before it answered")]
    Closed,
}

/// What the server says unasked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Incoming {
    /// A notification.
    Note(Note),
    /// A warning broadcast.
    Warn(Vec<String>),
    /// A trace broadcast.
    Trace(String),
    /// A job for a service of ours.
    Job(Job),
    /// A job is no longer wanted.
    JobCancelled(JobId),
    /// A service of ours was taken over.
    Displaced {
        /// The service.
        service: String,
        /// The new provider's version.
        version: String,
    },
    /// A line that makes no sense; the connection goes on.
    Strange {
        /// The line, or its beginning.
        line: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// So many broadcasts were dropped because the inbox was full.
    Missed(u64),
}

/// A job's opaque identifier.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct JobId(String);

/// One job submitted to a service of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Job {
    /// What to answer to.
    pub id: JobId,
    /// Which service is asked.
    pub service: String,
    /// Command and arguments.
    pub words: Vec<String>,
}

#[derive(Debug)]
struct Pending {
    answer: Answer,
    reply: oneshot::Sender<Result<Answer, Failure>>,
}

#[derive(Debug)]
enum Request {
    Command {
        words: Vec<String>,
        background: bool,
        accepted: oneshot::Sender<Acceptance>,
        reply: oneshot::Sender<Result<Answer, Failure>>,
    },
    Cancel(Tag),
}

/// A handle to one connection; clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    requests: mpsc::UnboundedSender<Request>,
}

/// Where the server's unasked lines arrive.
#[derive(Debug)]
pub struct Inbox {
    incoming: mpsc::UnboundedReceiver<Incoming>,
    unread: Arc<AtomicUsize>,
}

impl Inbox {
    /// The next one; `None` once the connection has ended.
    pub async fn next(&mut self) -> Option<Incoming> {
        let next = self.incoming.recv().await;
        if next.is_some() {
            self.unread.fetch_sub(1, Ordering::Relaxed);
        }
        next
    }
}

/// What the connection task says of a request: the tag of a background job, or why it was not sent.
type Acceptance = Result<Option<Tag>, Refused>;

/// Cancels the background job when the caller stops waiting for it, at whatever moment: before the
/// task has taken the request, while the tag is on its way, or while the job runs.
struct CancelOnDrop<'a> {
    client: &'a Client,
    accepted: oneshot::Receiver<Acceptance>,
    tag: Option<Tag>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        // Once it is closed the tag is either here or was not sent, and then the task cancels.
        self.accepted.close();
        let on_its_way = || self.accepted.try_recv().ok()?.ok()?;
        if let Some(tag) = self.tag.take().or_else(on_its_way) {
            // A closed channel means that the job died with its connection.
            let _ = self.client.requests.send(Request::Cancel(tag));
        }
    }
}

impl Client {
    /// Connects to the server's socket and starts the connection task.
    ///
    /// # Errors
    /// [`ClientError::Connect`] if the socket cannot be reached.
    pub async fn connect(path: &Path) -> Result<(Client, Inbox), ClientError> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| ClientError::Connect {
                path: path.to_owned(),
                source,
            })?;
        let (requests, request_queue) = mpsc::unbounded_channel();
        let (incoming_sender, incoming) = mpsc::unbounded_channel();
        let unread = Arc::new(AtomicUsize::new(0));
        let connection = Connection {
            session: Session::new(),
            inbox: incoming_sender,
            unread: Arc::clone(&unread),
            missed: 0,
        };
        tokio::spawn(connection.run(stream, request_queue));
        Ok((Client { requests }, Inbox { incoming, unread }))
    }

    async fn request(&self, words: Vec<String>, background: bool) -> Result<Answer, ClientError> {
        let (accepted, acceptance) = oneshot::channel();
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(Request::Command {
                words,
                background,
                accepted,
                reply,
            })
            .map_err(|_| ClientError::Closed)?;
        let mut guard = CancelOnDrop {
            client: self,
            accepted: acceptance,
            tag: None,
        };
        guard.tag = (&mut guard.accepted)
            .await
            .map_err(|_| ClientError::Closed)??;
        let result = answer.await.map_err(|_| ClientError::Closed)?;
        guard.tag = None;
        Ok(result?)
    }

    /// Runs a foreground command and waits for its answer. Commands are answered in the order in
    /// which they were given.
    ///
    /// # Errors
    /// [`ClientError`] if the command cannot be sent, fails, or the connection ends.
    pub async fn command<I>(&self, words: I) -> Result<Answer, ClientError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.request(words.into_iter().map(Into::into).collect(), false)
            .await
    }

    /// Runs a command with `-background` (`ADD`, `PING`, `EPING`, `SVCSUBMIT`), so that it does not
    /// hold up others. The first word is the keyword. Dropping the future cancels the job.
    ///
    /// # Errors
    /// [`ClientError`] if the command cannot be sent, fails, or the connection ends.
    pub async fn background<I>(&self, words: I) -> Result<Answer, ClientError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.request(words.into_iter().map(Into::into).collect(), true)
            .await
    }

    /// Claims a service, so that its jobs come to this connection's [`Inbox`].
    ///
    /// # Errors
    /// [`ClientError::Failed`] with code `service-exists` if an equal or later version is there.
    pub async fn claim(&self, service: &str, version: &str) -> Result<(), ClientError> {
        self.command(["SVCCLAIM", service, version]).await.map(drop)
    }

    /// Gives one line of a job's answer.
    ///
    /// # Errors
    /// [`ClientError::Failed`] with code `unknown-jobid` if the job was cancelled meanwhile.
    pub async fn job_info(&self, job: &JobId, words: &[&str]) -> Result<(), ClientError> {
        let head = ["SVCINFO", &job.0];
        self.command(head.iter().chain(words).copied())
            .await
            .map(drop)
    }

    /// Ends a job with success.
    ///
    /// # Errors
    /// As [`Client::job_info`].
    pub async fn job_ok(&self, job: &JobId) -> Result<(), ClientError> {
        self.command(["SVCOK", &job.0]).await.map(drop)
    }

    /// Ends a job with failure; the first word is the code.
    ///
    /// # Errors
    /// As [`Client::job_info`].
    pub async fn job_fail(&self, job: &JobId, words: &[&str]) -> Result<(), ClientError> {
        let head = ["SVCFAIL", &job.0];
        self.command(head.iter().chain(words).copied())
            .await
            .map(drop)
    }
}

struct Connection {
    session: Session<Pending>,
    inbox: mpsc::UnboundedSender<Incoming>,
    /// How many of the inbox's messages nobody has taken yet.
    unread: Arc<AtomicUsize>,
    missed: u64,
}

impl Connection {
    async fn run(mut self, stream: UnixStream, mut requests: mpsc::UnboundedReceiver<Request>) {
        let (mut reader, mut writer) = stream.into_split();
        let mut lines = LineBuffer::new(MAX_RECEIVED);
        let mut output = Vec::new();
        let mut written = 0;
        loop {
            self.session.drain_output(&mut output);
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.start(request),
                    // Every handle is gone: nobody can ask anything any more.
                    None => return,
                },
                read = reader.read_buf(lines.tail()) => {
                    if !matches!(read, Ok(1..)) {
                        return;
                    }
                    self.take_lines(&mut lines);
                }
                wrote = writer.write(&output[written..]), if written < output.len() => {
                    let Ok(count) = wrote else { return };
                    written += count;
                    if written == output.len() {
                        output.clear();
                        written = 0;
                    }
                }
            }
        }
    }

    fn start(&mut self, request: Request) {
        match request {
            Request::Command {
                words,
                background,
                accepted,
                reply,
            } => {
                let pending = Pending {
                    answer: Vec::new(),
                    reply,
                };
                let sent = match words.split_first() {
                    Some((keyword, rest)) if background => {
                        self.session.background(pending, keyword, rest).map(Some)
                    }
                    _ => self.session.command(pending, &words).map(|()| None),
                };
                // Whoever asked may have stopped waiting before it could learn the tag.
                if let Err(Ok(Some(tag))) = accepted.send(sent) {
                    drop(self.session.cancel(tag));
                }
            }
            Request::Cancel(tag) => drop(self.session.cancel(tag)),
        }
    }

    fn take_lines(&mut self, lines: &mut LineBuffer) {
        while let Some(line) = lines.next_line() {
            let text = match &line {
                Line::Text(text) => text,
                Line::TooLong { start, .. } => {
                    let why = "longer than 64 KiB";
                    self.deliver(Incoming::Strange {
                        line: start.clone(),
                        why,
                    });
                    continue;
                }
            };
            let incoming = match self.session.receive(text) {
                Event::Info { context, words } => {
                    context.answer.push(words.owned());
                    continue;
                }
                Event::Done { context, result } => {
                    // Nobody waiting any more is no fault.
                    let _ = context.reply.send(result.map(|()| context.answer));
                    continue;
                }
                Event::Nothing => continue,
                Event::Note(note) => Incoming::Note(note),
                Event::Warn(words) => Incoming::Warn(words.owned()),
                Event::Trace(text) => Incoming::Trace(text.to_owned()),
                Event::Job { id, service, words } => Incoming::Job(Job {
                    id: JobId(id),
                    service,
                    words: words.owned(),
                }),
                Event::JobCancelled { id } => Incoming::JobCancelled(JobId(id)),
                Event::Displaced { service, version } => Incoming::Displaced { service, version },
                Event::Strange { why } => Incoming::Strange {
                    line: text.to_string(),
                    why,
                },
            };
            self.deliver(incoming);
        }
    }

    fn deliver(&mut self, incoming: Incoming) {
        let vital = matches!(
            incoming,
            Incoming::Job(_) | Incoming::JobCancelled(_) | Incoming::Displaced { .. }
        );
        if !vital && self.unread.load(Ordering::Relaxed) >= INBOX_BOUND {
            self.missed += 1;
            return;
        }
        if self.missed > 0 {
            let missed = std::mem::take(&mut self.missed);
            self.put(Incoming::Missed(missed));
        }
        self.put(incoming);
    }

    fn put(&self, incoming: Incoming) {
        // A dropped inbox means that nobody cares for broadcasts.
        if self.inbox.send(incoming).is_ok() {
            self.unread.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    use tokio::net::UnixListener;

    /// A server's end of one connection, played by hand.
    struct Script {
        stream: BufReader<UnixStream>,
    }

    impl Script {
        async fn expect(&mut self, expected: &str) -> String {
            let mut line = String::new();
            // Long enough for any machine; it only keeps a fault from hanging.
            let patience = std::time::Duration::from_secs(60);
            let read = tokio::time::timeout(patience, self.stream.read_line(&mut line)).await;
            assert!(read.is_ok(), "{expected:?} never came");
            assert!(
                line.starts_with(expected),
                "got {line:?}, expected {expected:?}"
            );
            line.trim_end().to_owned()
        }

        async fn say(&mut self, text: &str) {
            self.stream
                .get_mut()
                .write_all(text.as_bytes())
                .await
                .unwrap();
        }
    }

    async fn pair() -> (Script, Client, Inbox) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (client, inbox) = Client::connect(&path).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (
            Script {
                stream: BufReader::new(stream),
            },
            client,
            inbox,
        )
    }

    #[tokio::test]
    async fn a_slow_answer_holds_up_nobody() {
        let (mut server, client, mut inbox) = pair().await;
        let ping = client.background(["PING", "alice"]);
        let list = client.command(["LIST"]);
        let play = async {
            let ping = server.expect("PING -background ").await;
            let tag = ping.split(' ').nth(2).unwrap().to_owned();
            server.expect("LIST").await;
            server.say(&format!("BGDETACH {tag}\nINFO al")).await;
            server.say("ice\nNOTE KILL bob\nHUH\nOK\n").await;
            server
                .say(&format!("BGINFO {tag} ping-ok 1.0\nBGOK {tag}\n"))
                .await;
        };
        let (ping, list, ()) = tokio::join!(ping, list, play);
        assert_eq!(ping.unwrap(), [["ping-ok", "1.0"]]);
        assert_eq!(list.unwrap(), [["alice"]]);
        assert_eq!(
            inbox.next().await,
            Some(Incoming::Note(Note::Kill { peer: "bob".into() }))
        );
        assert!(matches!(inbox.next().await, Some(Incoming::Strange { .. })));
    }

    #[tokio::test]
    async fn a_service_answers_its_jobs_and_hears_of_cancellation_and_displacement() {
        let (mut server, client, mut inbox) = pair().await;
        let play = async {
            server.expect("SVCCLAIM connect 2.0.0").await;
            server.say("OK\nSVCJOB J1 connect info 'a b'\n").await;
            server.expect("SVCINFO J1 \"x y\"").await;
            server.say("OK\n").await;
            server.expect("SVCOK J1").await;
            server.say("OK\n").await;
            server.expect("SVCFAIL J1 late").await;
            server
                .say("FAIL unknown-jobid J1\nSVCCANCEL J2\nSVCCLAIM connect 3\n")
                .await;
        };
        let work = async {
            client.claim("connect", "2.0.0").await.unwrap();
            let Some(Incoming::Job(job)) = inbox.next().await else {
                panic!("no job")
            };
            assert_eq!(job.words, ["info", "a b"]);
            client.job_info(&job.id, &["x y"]).await.unwrap();
            client.job_ok(&job.id).await.unwrap();
            let late = client.job_fail(&job.id, &["late"]).await;
            assert!(matches!(late, Err(ClientError::Failed(f)) if f.code() == "unknown-jobid"));
            assert!(matches!(
                inbox.next().await,
                Some(Incoming::JobCancelled(_))
            ));
            assert!(matches!(
                inbox.next().await,
                Some(Incoming::Displaced { .. })
            ));
        };
        tokio::join!(play, work);
    }

    #[tokio::test]
    async fn dropping_a_background_command_cancels_it() {
        let (mut server, client, _inbox) = pair().await;
        let mut ping = Box::pin(client.background(["PING", "alice"]));
        tokio::select! {
            _ = &mut ping => panic!("nobody answered"),
            line = server.expect("PING -background ") => assert!(line.ends_with("alice")),
        }
        drop(ping);
        server.expect("BGCANCEL ").await;
    }

    #[tokio::test]
    async fn a_command_dropped_while_its_tag_is_on_its_way_is_cancelled_too() {
        let (mut server, client, _inbox) = pair().await;
        // Polled once: the request is sent, and the tag will come when the task runs.
        let mut ping = Box::pin(client.background(["PING", "alice"]));
        assert!(is_pending_after_one_poll(&mut ping).await);
        server.expect("PING -background ").await;
        drop(ping);
        server.expect("BGCANCEL ").await;
        // Dropped before the task has even seen the request.
        let mut ping = Box::pin(client.background(["PING", "bob"]));
        assert!(is_pending_after_one_poll(&mut ping).await);
        drop(ping);
        server.expect("PING -background ").await;
        server.expect("BGCANCEL ").await;
    }

    /// Polls a future once and tells whether it is still pending.
    async fn is_pending_after_one_poll<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())
        })
        .await
    }

    #[tokio::test]
    async fn a_closed_connection_fails_what_is_outstanding() {
        let (server, client, mut inbox) = pair().await;
        let (answer, ()) = tokio::join!(client.command(["LIST"]), async { drop(server) });
        assert!(matches!(answer, Err(ClientError::Closed)));
        assert_eq!(inbox.next().await, None);
        assert!(matches!(
            client.command(["LIST"]).await,
            Err(ClientError::Closed)
        ));
    }

    #[tokio::test]
    async fn an_inbox_that_is_not_read_loses_broadcasts_but_no_jobs() {
        let (mut server, client, mut inbox) = pair().await;
        for _ in 0..INBOX_BOUND + 10 {
            server.say("NOTE KILL x\n").await;
        }
        server.say("SVCJOB J1 connect help\n").await;
        let (answer, ()) = tokio::join!(client.command(["LIST"]), async {
            server.expect("LIST").await;
            server.say("OK\n").await;
        });
        assert!(answer.is_ok());
        for _ in 0..INBOX_BOUND {
            assert!(matches!(inbox.next().await, Some(Incoming::Note(_))));
        }
        assert_eq!(inbox.next().await, Some(Incoming::Missed(10)));
        assert!(matches!(inbox.next().await, Some(Incoming::Job(_))));
    }

    #[tokio::test]
    async fn a_missing_socket_is_named() {
        let error = Client::connect(Path::new("/nonexistent/tripesock"))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/tripesock"),
            "{error}"
        );
    }
}
