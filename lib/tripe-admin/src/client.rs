// SPDX-License-Identifier: GPL-3.0-or-later
//! A client for programs that give commands one after the other, and may want broadcasts besides. A
//! program that has many commands under way, or provides a service, uses the [`Session`] itself.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::line::{Line, LineBuffer, MAX_RECEIVED};
use crate::message::Failure;
use crate::note::Note;
use crate::session::{Event, Refused, Session};

/// The lines of a successful answer, each split into words.
pub type Answer = Vec<Vec<String>>;

/// The longest path of a Unix socket on Linux, from the size of `sun_path` less its NUL.
const MAX_SOCKET_PATH: usize = 107;

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
    /// The path does not fit into a socket address.
    #[error(
        "the path of the server's socket {path} has {} bytes, but {MAX_SOCKET_PATH} are the most: \
         choose a shorter one with -a, such as a symbolic link to it", path.as_os_str().len()
    )]
    PathTooLong {
        /// The socket.
        path: PathBuf,
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

/// What the server says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Incoming {
    /// The answer to the oldest command that had none.
    Answer(Result<Answer, Failure>),
    /// A notification.
    Note(Note),
    /// A warning broadcast.
    Warn(Vec<String>),
    /// A line that is malformed; the connection goes on.
    Strange {
        /// The line, or its beginning.
        line: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// One connection to the server.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    session: Session<Answer>,
    lines: LineBuffer,
    unsent: Vec<u8>,
}

impl Client {
    /// Connects to the server's socket.
    ///
    /// # Errors
    /// [`ClientError::Connect`] if the socket cannot be reached, and [`ClientError::PathTooLong`].
    pub async fn connect(path: &Path) -> Result<Client, ClientError> {
        if path.as_os_str().len() > MAX_SOCKET_PATH {
            let path = path.to_owned();
            return Err(ClientError::PathTooLong { path });
        }
        let stream = UnixStream::connect(path).await;
        Ok(Client {
            stream: stream.map_err(|source| ClientError::Connect {
                path: path.to_owned(),
                source,
            })?,
            session: Session::new(),
            lines: LineBuffer::new(MAX_RECEIVED),
            unsent: Vec::new(),
        })
    }

    /// Gives the server a command, which is sent while [`Client::next`] is waited for.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the command cannot be sent.
    pub fn give(&mut self, words: &[String]) -> Result<(), ClientError> {
        self.session.command(Answer::new(), words)?;
        self.session.drain_output(&mut self.unsent);
        Ok(())
    }

    /// Gives the server a command and waits for the answer. Broadcasts that come before it are
    /// passed over.
    ///
    /// # Errors
    /// [`ClientError`] if the command cannot be sent, fails, or the connection ends.
    pub async fn command(&mut self, words: &[String]) -> Result<Answer, ClientError> {
        self.give(words)?;
        loop {
            if let Incoming::Answer(answer) = self.next().await? {
                return Ok(answer?);
            }
        }
    }

    /// The next thing that the server says. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError::Closed`] if the connection has ended.
    pub async fn next(&mut self) -> Result<Incoming, ClientError> {
        loop {
            if let Some(incoming) = self.received() {
                return Ok(incoming);
            }
            let (mut reader, mut writer) = self.stream.split();
            tokio::select! {
                read = reader.read_buf(self.lines.tail()) => match read {
                    Ok(1..) => {}
                    Ok(_) | Err(_) => return Err(ClientError::Closed),
                },
                wrote = writer.write(&self.unsent), if !self.unsent.is_empty() => {
                    let count = wrote.map_err(|_| ClientError::Closed)?;
                    self.unsent.drain(..count);
                }
            }
        }
    }

    /// Takes what has arrived, up to the first thing of interest.
    fn received(&mut self) -> Option<Incoming> {
        while let Some(line) = self.lines.next_line() {
            let text = match &line {
                Line::Text(text) => text,
                Line::TooLong { start, .. } => {
                    return Some(Incoming::Strange {
                        line: start.clone(),
                        why: "longer than 64 KiB",
                    });
                }
            };
            return Some(match self.session.receive(text) {
                Event::Info { context, words } => {
                    context.push(words.owned());
                    continue;
                }
                Event::Done { context, result } => Incoming::Answer(result.map(|()| context)),
                Event::Note(note) => Incoming::Note(note),
                Event::Warn(words) => Incoming::Warn(words.owned()),
                Event::Strange { why } => Incoming::Strange {
                    line: text.to_string(),
                    why,
                },
                // Traces are not watched, and no service is provided.
                Event::Nothing
                | Event::Trace(_)
                | Event::Job { .. }
                | Event::JobCancelled { .. }
                | Event::Displaced { .. } => continue,
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    use tokio::net::UnixListener;

    async fn pair() -> (BufReader<UnixStream>, Client) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let listener = UnixListener::bind(&path).unwrap();
        let client = Client::connect(&path).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (BufReader::new(stream), client)
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    /// The server's end: expects these lines, and says something after each.
    async fn play(server: &mut BufReader<UnixStream>, script: &[(&str, &str)]) {
        for (expected, said) in script {
            let mut line = String::new();
            server.read_line(&mut line).await.unwrap();
            assert_eq!(line.trim_end(), *expected);
            server.get_mut().write_all(said.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn answers_come_in_order_and_broadcasts_between_them() {
        let (mut server, mut client) = pair().await;
        client.give(&words("LIST")).unwrap();
        client.give(&words("ADDR alice")).unwrap();
        let script = [
            ("LIST", "INFO al"),
            (
                "ADDR alice",
                "ice\nNOTE KILL bob\nHUH\nOK\nFAIL unknown-peer alice\n",
            ),
        ];
        let mut said = Vec::new();
        let listen = async {
            for _ in 0..4 {
                said.push(client.next().await.unwrap());
            }
        };
        tokio::join!(listen, play(&mut server, &script));
        assert_eq!(said[0], Incoming::Note(Note::Kill { peer: "bob".into() }));
        assert!(matches!(said[1], Incoming::Strange { .. }));
        assert_eq!(
            said[2],
            Incoming::Answer(Ok(vec![vec!["alice".to_owned()]]))
        );
        let Incoming::Answer(Err(failure)) = &said[3] else {
            panic!("{said:?}")
        };
        assert_eq!(failure.code(), "unknown-peer");
    }

    #[tokio::test]
    async fn a_command_waits_for_its_answer_and_passes_over_broadcasts() {
        let (mut server, mut client) = pair().await;
        let list = words("LIST");
        let script = [("LIST", "WARN USER x\nINFO alice\nOK\n")];
        let (answer, ()) = tokio::join!(client.command(&list), play(&mut server, &script));
        assert_eq!(answer.unwrap(), [["alice"]]);
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_refused_and_a_line_too_long_is_named() {
        let (mut server, mut client) = pair().await;
        let long = words(&"x".repeat(300));
        assert!(matches!(client.give(&long), Err(ClientError::Refused(_))));
        let flood = format!("WARN {}\n", "y".repeat(MAX_RECEIVED));
        let send = async { server.get_mut().write_all(flood.as_bytes()).await.unwrap() };
        let (said, ()) = tokio::join!(client.next(), send);
        assert!(matches!(said, Ok(Incoming::Strange { line, .. }) if line.starts_with("WARN y")));
    }

    #[tokio::test]
    async fn a_closed_connection_fails_what_is_outstanding() {
        let (server, mut client) = pair().await;
        drop(server);
        for _ in 0..2 {
            let answer = client.command(&words("LIST")).await;
            assert!(matches!(answer, Err(ClientError::Closed)));
        }
    }

    #[tokio::test]
    async fn a_missing_socket_is_named() {
        let error = Client::connect(Path::new("/nonexistent/tripesock")).await;
        let text = error.unwrap_err().to_string();
        assert!(text.contains("/nonexistent/tripesock"), "{text}");
    }
}
