// SPDX-License-Identifier: GPL-3.0-or-later
//! The connection of a helper to core: makes it, reports what arrives on it, and makes it again.
//!
//! ```text
//!                   .--- pause, each longer than the last ---.
//!                   v                                        |
//!   [program] --> reaching --hello, hello--> connected --lost'
//!      ^                                         |
//!      '---- LinkEvent: connected, message, malformed, lost
//! ```

use std::future::pending;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use connect_ipc::hello::{Hello, Role, ToHelper};
use serde::Serialize;
use thiserror::Error;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::fault_log::FaultLog;
use crate::transport::{
    self, HELLO_LIMIT, HELPER_BACKLOG, ReceiveError, Receiver, SendError, Sender,
};
use crate::users::Admitted;

/// The first pause before connecting again: a restart of core takes about as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause: short enough for people who start core by hand, and next to no load.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The longest pause while core refuses this helper, since another one is connected or its user may
/// not be a helper. Either lasts until somebody changes it, so there is no hurry.
///
/// A helper that takes over from another one is not delayed by it: it begins with the first pause
/// and is refused once or twice while the other one ends; and the script helper waits for a lock
/// before it comes here. Only a helper that was refused for half a minute may wait for this time.
const LONGEST_REFUSED: Duration = Duration::from_secs(15);

/// What the service manager reads while there is no core.
const WAITING: &str = "waiting for core";

/// What it reads when the last connection is lost.
const ENDING: &str = "ending";

/// Where core is reached.
#[derive(Clone, Debug)]
pub struct CoreAddress {
    /// The socket on which it listens.
    pub socket: PathBuf,
    /// The users whose processes may be core: what core says is done with this helper's rights.
    pub users: Admitted,
}

/// What happens to the connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LinkEvent<M> {
    /// It is made, and the hellos are exchanged. The first message is to be the helper's `resume`.
    Connected,
    /// Core has sent this.
    Message(M),
    /// Core has sent something that is not a message; this says what is wrong with it.
    Malformed(String),
    /// It is lost. The link is already trying to make another one.
    Lost,
}

/// Core refuses this helper, for this reason.
#[derive(Debug, Error)]
#[error("core refuses this helper: {0}")]
struct Refused(String);

/// A connection on which both sides have said hello.
struct Connection {
    receiver: Receiver,
    sender: Sender,
    /// Core's version.
    version: String,
    /// Whether core has sent a message since, and so has accepted this helper.
    accepted: bool,
}

enum State {
    Reaching(Pin<Box<dyn Future<Output = anyhow::Result<Connection>> + Send>>),
    Connected(Connection),
    /// There is no connection, and there will be none.
    Over,
}

/// The link of a helper to which core sends `M`.
pub struct HelperLink<M> {
    core: CoreAddress,
    state: State,
    /// How long to wait before connecting again.
    pause: Duration,
    /// The state of the connection, for people.
    status: String,
    faults: FaultLog,
    /// Whether the present connection is the last.
    last: bool,
    message: PhantomData<fn() -> M>,
}

impl<M: ToHelper> HelperLink<M> {
    /// A link to the core at this address; the connection is made by [`HelperLink::next`].
    #[must_use]
    pub fn new(core: CoreAddress) -> Self {
        HelperLink {
            state: reaching::<M>(&core, Duration::ZERO),
            core,
            pause: FIRST_PAUSE,
            status: WAITING.to_owned(),
            faults: FaultLog::default(),
            last: false,
            message: PhantomData,
        }
    }

    /// Waits for the next event. Cancel safe.
    pub async fn next(&mut self) -> LinkEvent<M> {
        loop {
            match &mut self.state {
                State::Reaching(attempt) => match attempt.await {
                    Ok(connection) => {
                        self.state = State::Connected(connection);
                        return LinkEvent::Connected;
                    }
                    Err(error) => self.retry(&error),
                },
                State::Connected(connection) => {
                    let received = connection.receiver.next().await;
                    if matches!(received, Ok(None) | Err(ReceiveError::Io(_))) {
                        // A signal that came before the end of the connection must be handled
                        // before it. If that cancels this future, the next call reads the end
                        // again. The end is an error if core has not read all that we have sent.
                        yield_now().await;
                    }
                    return self.received(received);
                }
                State::Over => return pending().await,
            }
        }
    }

    /// This program is ending: once the present connection is lost, no other is made. The next core
    /// has a helper of its own.
    pub fn make_no_other(&mut self) {
        self.last = true;
        if matches!(self.state, State::Reaching(_)) {
            self.end();
        }
    }

    /// Whether there is no connection, and none will be made.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    fn end(&mut self) {
        ENDING.clone_into(&mut self.status);
        self.state = State::Over;
    }

    /// Whether core has sent something that was not read, or has ended the connection.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        matches!(&self.state, State::Connected(connection) if connection.receiver.has_unread())
    }

    /// An event that has happened already, so that all of them can be handled in one turn.
    pub fn ready(&mut self) -> Option<LinkEvent<M>> {
        let State::Connected(connection) = &mut self.state else {
            return None;
        };
        match connection.receiver.ready() {
            Ok(None) => None,
            received => Some(self.received(received)),
        }
    }

    /// Queues a message for core, to be sent with the next [`HelperLink::flush`] at the latest.
    /// `false` if there is no connection any more, which [`HelperLink::next`] reports soon.
    pub fn put<S: Serialize>(&self, message: &S) -> bool {
        let State::Connected(connection) = &self.state else {
            return false;
        };
        match connection.sender.put(message) {
            Ok(()) => true,
            Err(SendError::Frame(error)) => {
                tracing::error!(%error, "cannot send a message to core");
                true
            }
            Err(SendError::Gone | SendError::Stuck(_)) => false,
        }
    }

    /// Sends what is queued. Never waits.
    pub fn flush(&self) {
        if let State::Connected(connection) = &self.state {
            connection.sender.flush();
        }
    }

    /// The state of the connection to core, in a few words for people.
    #[must_use]
    pub fn status(&self) -> &str {
        &self.status
    }

    /// What was received, as an event.
    fn received(&mut self, received: Result<Option<M>, ReceiveError>) -> LinkEvent<M> {
        self.judge(received).unwrap_or_else(|error| {
            self.retry(&error);
            LinkEvent::Lost
        })
    }

    /// What was received, or why the connection cannot be used any more.
    fn judge(&mut self, received: Result<Option<M>, ReceiveError>) -> anyhow::Result<LinkEvent<M>> {
        let accepted = self.is_accepted();
        let message = match received {
            Ok(Some(message)) => message,
            Ok(None) if accepted => return Err(anyhow!("core closed the connection")),
            Ok(None) => {
                return Err(anyhow!(
                    "core closed the connection after the hello; another helper of this kind may \
                     be connected already"
                ));
            }
            Err(ReceiveError::Frame(error)) => {
                tracing::warn!(%error, "core sent a malformed message");
                return Ok(LinkEvent::Malformed(error.to_string()));
            }
            Err(error @ ReceiveError::Io(_)) => return Err(error.into()),
        };
        if let Some(error) = message.error() {
            ensure!(accepted, Refused(error.to_owned()));
            tracing::warn!(error, "core did not understand a message");
        } else if !accepted && let State::Connected(connection) = &mut self.state {
            connection.accepted = true;
            let version = &connection.version;
            tracing::info!(version, "{} is serving core", M::ROLE);
            self.status = format!("serving core {version}");
        }
        Ok(LinkEvent::Message(message))
    }

    /// Whether there is a connection and core has accepted this helper.
    const fn is_accepted(&self) -> bool {
        matches!(&self.state, State::Connected(connection) if connection.accepted)
    }

    /// Logs why there is no connection, once for each reason, and begins to make another one.
    fn retry(&mut self, error: &anyhow::Error) {
        if self.last {
            self.end();
            return;
        }
        if self.is_accepted() {
            self.pause = FIRST_PAUSE;
            self.faults.over();
        }
        let refusal = error.downcast_ref::<Refused>();
        let refusal = refusal.map(|Refused(reason)| reason.clone());
        let error = causes(error);
        if self.faults.is_new(&error) {
            let socket = self.core.socket.display();
            tracing::warn!(error, %socket, "no connection to core; retrying");
        }
        let longest = match refusal {
            Some(reason) => {
                self.status = format!("refused by core: {reason}");
                LONGEST_REFUSED
            }
            None => {
                WAITING.clone_into(&mut self.status);
                LONGEST_PAUSE
            }
        };
        self.state = reaching::<M>(&self.core, self.pause.min(longest));
        self.pause = (self.pause * 2).min(longest);
    }
}

/// An error and its causes, without those with which the text before them ends already.
fn causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn reaching<M: ToHelper>(core: &CoreAddress, pause: Duration) -> State {
    State::Reaching(Box::pin(reach(core.clone(), M::ROLE, pause)))
}

/// Connects and exchanges hellos, after a pause.
async fn reach(core: CoreAddress, role: Role, pause: Duration) -> anyhow::Result<Connection> {
    if !pause.is_zero() {
        sleep(pause).await;
    }
    let stream = transport::connect(&core.socket).await?;
    // Checked before we send anything: another process may have put its socket in the place of
    // core's.
    let user = transport::other_side(&stream).uid;
    ensure!(
        core.users.contains(user),
        "the socket {} belongs to a process of the user {}, who may not be core; --core-user \
         names who may",
        core.socket.display(),
        user.map_or_else(|| "?".to_owned(), |uid| uid.to_string())
    );
    let (mut receiver, sender) = transport::split(stream, HELPER_BACKLOG)?;
    sender.send(&Hello::new(role))?;
    let hello: Hello = timeout(HELLO_LIMIT, receiver.next())
        .await
        .context("core did not say hello in time")??
        .context("core closed the connection instead of saying hello")?;
    hello.check(&[Role::Core])?;
    Ok(Connection {
        receiver,
        sender,
        version: hello.version,
        accepted: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::scripts::{FromScripts, ToScripts};
    use interprocess::local_socket::tokio::Listener;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    fn at(socket: PathBuf) -> CoreAddress {
        let users = Admitted::new(&[], "--core-user").unwrap();
        CoreAddress { socket, users }
    }

    /// Core's side of a link.
    struct Core {
        listener: Listener,
        link: HelperLink<ToScripts>,
        _dir: tempfile::TempDir,
    }

    impl Core {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("helpers.sock");
            let listener = transport::listen(&path, 0o600).await.unwrap();
            let link = HelperLink::new(at(path));
            Core {
                listener,
                link,
                _dir: dir,
            }
        }

        /// Takes the next connection and answers its hello.
        async fn accept(&mut self, answer: &Hello) -> (Receiver, Sender) {
            let accepting = async {
                let (stream, _) = transport::accept(&self.listener).await.unwrap();
                let limits = transport::Limits::of_backlog(HELPER_BACKLOG);
                let (mut receiver, sender) = transport::split_within(stream, limits);
                let hello: Hello = receiver.next().await.unwrap().unwrap();
                assert_eq!(hello.role, Role::Ifscripts);
                sender.send(answer).unwrap();
                (receiver, sender)
            };
            tokio::select! {
                connection = accepting => connection,
                event = self.link.next() => panic!("{event:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_connection_is_made_again_whenever_it_is_lost() {
        let mut core = Core::new().await;
        for _ in 0..2 {
            assert_eq!(core.link.status(), WAITING);
            assert!(!core.link.put(&FromScripts::Resume(vec![])));
            let (mut receiver, sender) = core.accept(&Hello::new(Role::Core)).await;
            assert_eq!(core.link.next().await, LinkEvent::Connected);
            assert!(core.link.put(&FromScripts::Resume(vec![])));
            core.link.flush();
            let resume = receiver.next().await.unwrap();
            assert_eq!(resume, Some(FromScripts::Resume(vec![])));
            sender.send(&ToScripts::Ready {}).unwrap();
            sender.send(&"not a message").unwrap();
            sender.send(&ToScripts::Error("x".into())).unwrap();
            let ready = LinkEvent::Message(ToScripts::Ready {});
            assert_eq!(core.link.next().await, ready);
            assert!(core.link.status().starts_with("serving core "));
            let malformed = core.link.next().await;
            assert!(matches!(malformed, LinkEvent::Malformed(_)));
            let error = LinkEvent::Message(ToScripts::Error("x".into()));
            assert_eq!(core.link.next().await, error);
            assert_eq!(core.link.ready(), None);
            drop((receiver, sender));
            assert_eq!(core.link.next().await, LinkEvent::Lost);
        }
        assert_eq!(core.link.pause, 2 * FIRST_PAUSE);
    }

    /// What is delivered like a signal, through a file of its own.
    fn like_a_signal() -> (UnixStream, tokio::net::UnixStream) {
        let (from, to) = UnixStream::pair().unwrap();
        to.set_nonblocking(true).unwrap();
        (from, tokio::net::UnixStream::from_std(to).unwrap())
    }

    #[tokio::test]
    async fn a_signal_is_seen_before_the_end_of_the_connection() {
        for unread in [false, true] {
            let (mut sender, signal) = like_a_signal();
            let mut core = Core::new().await;
            let connection = core.accept(&Hello::new(Role::Core)).await;
            assert_eq!(core.link.next().await, LinkEvent::Connected);
            if unread {
                assert!(core.link.put(&FromScripts::Resume(vec![])));
                core.link.flush();
                yield_now().await;
            }
            drop(connection);
            // The runtime learns of the end, but not yet of the signal.
            yield_now().await;
            sender.write_all(b"x").unwrap();
            tokio::select! {
                biased;
                ready = signal.readable() => ready.unwrap(),
                event = core.link.next() => panic!("{event:?}, unread: {unread}"),
            }
            core.link.make_no_other();
            assert_eq!(core.link.next().await, LinkEvent::Lost);
            assert_eq!(core.link.faults.last(), None);
        }
    }

    #[tokio::test]
    async fn a_helper_that_ends_makes_no_other_connection() {
        let mut core = Core::new().await;
        let (_, sender) = core.accept(&Hello::new(Role::Core)).await;
        assert_eq!(core.link.next().await, LinkEvent::Connected);
        core.link.make_no_other();
        sender.send(&ToScripts::Ready {}).unwrap();
        let ready = LinkEvent::Message(ToScripts::Ready {});
        assert_eq!(core.link.next().await, ready);
        assert!(core.link.put(&FromScripts::Resume(vec![])));
        drop(sender);
        assert_eq!(core.link.next().await, LinkEvent::Lost);
        assert!(matches!(core.link.state, State::Over));
        assert_eq!(core.link.faults.last(), None);
        let mut reaching = HelperLink::<ToScripts>::new(core.link.core.clone());
        reaching.make_no_other();
        assert!(matches!(reaching.state, State::Over));
    }

    #[tokio::test]
    async fn a_core_that_refuses_is_tried_again_after_growing_pauses() {
        let mut core = Core::new().await;
        let (_, sender) = core.accept(&Hello::new(Role::Core)).await;
        assert_eq!(core.link.next().await, LinkEvent::Connected);
        sender
            .send(&ToScripts::Error("one too many".into()))
            .unwrap();
        assert_eq!(core.link.next().await, LinkEvent::Lost);
        let expected = "core refuses this helper: one too many";
        assert_eq!(core.link.faults.last(), Some(expected));
        let pause = core.link.pause;
        assert_eq!(core.link.status(), "refused by core: one too many");
        let (_, sender) = core.accept(&Hello::new(Role::Core)).await;
        assert_eq!(core.link.next().await, LinkEvent::Connected);
        drop(sender);
        assert_eq!(core.link.next().await, LinkEvent::Lost);
        assert!(core.link.pause > pause);
        assert_eq!(core.link.status(), WAITING);
    }

    #[test]
    fn the_pause_grows_further_for_a_helper_that_is_refused() {
        let mut link = HelperLink::<ToScripts>::new(at(PathBuf::from("nowhere")));
        let refused = Refused("one too many".to_owned()).into();
        for _ in 0..20 {
            link.retry(&refused);
        }
        assert_eq!(link.pause, LONGEST_REFUSED);
        // A core that is only gone for a moment is tried as before.
        link.retry(&anyhow!("gone"));
        assert_eq!(link.pause, LONGEST_PAUSE);
        link.retry(&refused);
        assert!(link.pause > LONGEST_PAUSE);
    }

    #[tokio::test]
    async fn a_core_of_another_protocol_is_not_served() {
        let mut core = Core::new().await;
        let mut other = Hello::new(Role::Core);
        other.protocol += 1;
        let (mut receiver, _sender) = core.accept(&other).await;
        // The link hangs up and tries again.
        tokio::select! {
            event = core.link.next() => panic!("{event:?}"),
            received = receiver.next::<FromScripts>() => assert_eq!(received.unwrap(), None),
        }
    }
}
