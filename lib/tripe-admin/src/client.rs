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
//! counted, and answers go to whoever still waits. A program that provides a service uses the
//! [`Session`] instead.

use std::io;
use std::path::{Path, PathBuf};

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
    incoming: mpsc::Receiver<Incoming>,
}

impl Inbox {
    /// The next one; `None` once the connection has ended.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
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
        let (inbox, incoming) = mpsc::channel(INBOX_BOUND);
        let connection = Connection {
            session: Session::new(),
            inbox,
            missed: 0,
        };
        tokio::spawn(connection.run(stream, request_queue));
        Ok((Client { requests }, Inbox { incoming }))
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
}

struct Connection {
    session: Session<Pending>,
    inbox: mpsc::Sender<Incoming>,
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
                Event::Note(note) => Incoming::Note(note),
                Event::Warn(words) => Incoming::Warn(words.owned()),
                // Traces are not watched, and no service is provided.
                Event::Nothing
                | Event::Trace(_)
                | Event::Job { .. }
                | Event::JobCancelled { .. }
                | Event::Displaced { .. } => continue,
                Event::Strange { why } => Incoming::Strange {
                    line: text.to_string(),
                    why,
                },
            };
            self.deliver(incoming);
        }
    }

    fn deliver(&mut self, incoming: Incoming) {
        if self.missed > 0 && self.inbox.try_send(Incoming::Missed(self.missed)).is_ok() {
            self.missed = 0;
        }
        // An inbox that was dropped means that nobody wants broadcasts.
        if let Err(mpsc::error::TrySendError::Full(_)) = self.inbox.try_send(incoming) {
            self.missed += 1;
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
    async fn an_inbox_that_is_not_read_loses_broadcasts_and_is_told_how_many() {
        let (mut server, client, mut inbox) = pair().await;
        let answered = async |server: &mut Script| {
            let (answer, ()) = tokio::join!(client.command(["LIST"]), async {
                server.expect("LIST").await;
                server.say("OK\n").await;
            });
            assert!(answer.is_ok());
        };
        for _ in 0..INBOX_BOUND + 10 {
            server.say("NOTE KILL x\n").await;
        }
        answered(&mut server).await;
        for _ in 0..INBOX_BOUND {
            assert!(matches!(inbox.next().await, Some(Incoming::Note(_))));
        }
        server.say("WARN USER late\n").await;
        answered(&mut server).await;
        assert_eq!(inbox.next().await, Some(Incoming::Missed(10)));
        assert!(matches!(inbox.next().await, Some(Incoming::Warn(_))));
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
