// SPDX-License-Identifier: GPL-3.0-or-later
//! The HTTP side of `metrics --listen`: one request for each connection, and only `GET /metrics`.
//!
//! Connections on which nothing is sent, or read, must not delay a scrape. So a new connection
//! never waits: if there are too many connections, one that is idle is closed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use connect_runtime::clock;
use connect_runtime::exit::Exit;
use connect_runtime::notifier::Notifier;
use connect_runtime::streams::Stream;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{sleep, timeout};

use super::collect::{Pieces, State};
use super::exposition::Form;
use super::states::{OLDEST, States};
use crate::common::Common;
use crate::error::Error;
use crate::interrupt::until_interrupted;

/// The longest head of a request that is read.
const MAX_HEAD: usize = 8 * 1024;

/// The most connections at the same time; connect-cli(1) says so.
const MAX_CONNECTIONS: usize = 64;

/// How long the head of a request may take.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// How long the service may take to answer. By default, Prometheus waits ten seconds for a scrape;
/// an answer that says that the service does not answer must come before that. The state of 100,000
/// peers takes one or two seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

/// How long a connection may take: longer than the head of a request and the service together.
const LIMIT: Duration = Duration::from_secs(20);

/// How long to wait if a connection cannot be accepted, since the system lacks resources or all
/// connections wait for their figures.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until interrupted.
pub(crate) async fn run(
    address: SocketAddr,
    form: Option<Form>,
    common: &mut Common,
) -> Result<Exit, Error> {
    let mut notifier = Notifier::from_environment();
    let ended = until_interrupted(listen(address, form, common, &mut notifier)).await;
    notifier.stopping();
    ended
}

async fn listen(
    address: SocketAddr,
    form: Option<Form>,
    common: &mut Common,
    notifier: &mut Notifier,
) -> Result<Exit, Error> {
    let failed = |source| Error::System {
        action: format!("listen on {address}"),
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Stream::Out.line(format!("listening on http://{local}/metrics"));
    notifier.ready();
    notifier.status(&format!("answering on http://{local}/metrics"));
    let server = Server {
        form,
        common: common.duplicate(),
        states: States::new(OLDEST),
    };
    let mut accepting = std::pin::pin!(accept(&listener, Arc::new(server)));
    loop {
        let feeding = notifier.feeding_time();
        let pause = feeding.map_or(Duration::ZERO, |at| at.since(clock::now()));
        tokio::select! {
            () = &mut accepting => return Ok(Exit::Success),
            () = sleep(pause), if feeding.is_some() => notifier.feed(),
        }
    }
}

/// The progress of a connection. It decides which one is closed when a new one needs its place:
/// first those that have sent no request, then those that do not read their answers; among these,
/// the one that has been idle for longest. A connection that waits for its figures is not closed.
#[derive(Debug)]
struct Progress(AtomicU64);

impl Progress {
    /// Greater than any instant.
    const READING: u64 = 1 << 63;
    const WAITING: u64 = u64::MAX;

    fn begun() -> Self {
        Progress(AtomicU64::new(clock::now().0))
    }

    fn waits(&self) {
        self.0.store(Progress::WAITING, Relaxed);
    }

    fn reads(&self) {
        self.0.store(Progress::READING | clock::now().0, Relaxed);
    }
}

/// Accepts connections for ever, and serves each in a task of its own.
async fn accept(listener: &TcpListener, server: Arc<Server>) {
    let mut connections: Vec<(AbortHandle, Arc<Progress>)> = Vec::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while !make_room(&mut connections) {
                    sleep(PAUSE).await;
                }
                let progress = Arc::new(Progress::begun());
                let serving = serve(stream, Arc::clone(&server), Arc::clone(&progress));
                connections.push((tokio::spawn(serving).abort_handle(), progress));
                // The tasks of accepted connections are to read their requests before the next
                // connection is accepted.
                yield_now().await;
            }
            Err(error) => {
                // A reader of standard error that is slow must not delay a scrape.
                Stream::Err.line(format!("connect-cli: cannot accept a connection: {error}"));
                sleep(PAUSE).await;
            }
        }
    }
}

/// Closes a connection if there are as many as are allowed. Returns `false` if all of them wait for
/// their figures, which does not take long.
fn make_room(connections: &mut Vec<(AbortHandle, Arc<Progress>)>) -> bool {
    connections.retain(|(connection, _)| !connection.is_finished());
    if connections.len() < MAX_CONNECTIONS {
        return true;
    }
    let progress = |at: &usize| connections[*at].1.0.load(Relaxed);
    let idle = (0..connections.len()).min_by_key(progress);
    let idle = idle.filter(|at| progress(at) != Progress::WAITING);
    idle.map(|at| connections.swap_remove(at).0.abort())
        .is_some()
}

/// Serves one connection.
async fn serve(stream: TcpStream, server: Arc<Server>, progress: Arc<Progress>) {
    let service = service_fn(|request| server.answer(request, Arc::clone(&progress)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    // An error is the client's fault: it was too slow, closed the connection or sent something
    // malformed.
    let _ = timeout(LIMIT, connection).await;
}

/// What the answers on all connections are made from.
struct Server {
    form: Option<Form>,
    common: Common,
    states: States,
}

impl Server {
    /// The answer to one request.
    async fn answer(
        &self,
        request: Request<Incoming>,
        progress: Arc<Progress>,
    ) -> Result<Response<Body>, Infallible> {
        progress.waits();
        let (status, kind, mut pieces, next) = match asked(&request) {
            Ok(wanted) => {
                let form = self.form.unwrap_or(wanted);
                let state = self.states.get(&self.common, limit(&self.common)).await;
                let mut pieces = Pieces::new(state, form);
                let next = pieces.next();
                (StatusCode::OK, form.media_type(), Some(pieces), next)
            }
            Err(status) => {
                let text = format!("{status}\nOnly GET /metrics is served here.\n");
                (status, "text/plain; charset=utf-8", None, Some(text))
            }
        };
        pieces = pieces.filter(|pieces| !pieces.has_ended());
        progress.reads();
        let mut response = Response::new(Body {
            next,
            pieces,
            progress,
        });
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            fields.insert(ALLOW, HeaderValue::from_static("GET"));
        }
        Ok(response)
    }
}

/// The body of an answer. Each piece is made when the one before it was read.
struct Body {
    next: Option<String>,
    /// The pieces after that; `None` if there are no more.
    pieces: Option<Pieces<Arc<State>>>,
    progress: Arc<Progress>,
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.progress.reads();
        let piece = self.next.take();
        self.next = self.pieces.as_mut().and_then(Iterator::next);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        let known = u64::try_from(self.next.as_ref().map_or(0, String::len)).unwrap_or(u64::MAX);
        match self.pieces {
            None => SizeHint::with_exact(known),
            Some(_) => SizeHint::new(),
        }
    }
}

/// How long the service may take for the whole answer: `--timeout`, if it is given.
fn limit(common: &Common) -> Option<Duration> {
    common.given_limit().unwrap_or(Some(ANSWER_LIMIT))
}

/// The form of the metrics that a request asks for, or the status that it gets instead.
fn asked<B>(request: &Request<B>) -> Result<Form, StatusCode> {
    if request.uri().path() != "/metrics" {
        return Err(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::GET {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let open = request.headers().get_all(ACCEPT).iter().any(|accepted| {
        String::from_utf8_lossy(accepted.as_bytes()).contains("application/openmetrics-text")
    });
    Ok(if open {
        Form::Openmetrics
    } else {
        Form::Prometheus
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::CommonOptions;

    #[test]
    fn one_thing_is_served_and_everything_else_has_its_status() {
        let asked = |method: &str, uri: &str, accepted: &str| {
            let request = Request::builder().method(method).uri(uri);
            asked(&request.header("accept", accepted).body(()).unwrap())
        };
        assert_eq!(asked("GET", "/metrics", "*/*"), Ok(Form::Prometheus));
        let accepted = "text/plain;q=0.5,application/openmetrics-text;version=1.0.0";
        assert_eq!(
            asked("GET", "/metrics?x=1", accepted),
            Ok(Form::Openmetrics)
        );
        assert_eq!(asked("GET", "/", "*/*"), Err(StatusCode::NOT_FOUND));
        for method in ["POST", "HEAD"] {
            assert_eq!(
                asked(method, "/metrics", "*/*"),
                Err(StatusCode::METHOD_NOT_ALLOWED)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_suspended_is_reported_before_prometheus_ends_the_scrape() {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("control.sock");
        // Clients can connect, but nobody accepts the connections.
        let _frozen = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let common = |timeout: Option<&str>| {
            Common::new(CommonOptions {
                control: Some(socket.clone()),
                timeout: timeout.map(|text| text.parse().unwrap()),
                ..CommonOptions::default()
            })
        };
        for (timeout, expected) in [(None, 8), (Some("3"), 3), (Some("7"), 7)] {
            let common = common(timeout);
            // The clock of this test is the runtime's, which advances when no task can do anything.
            let start = tokio::time::Instant::now();
            let state = States::new(OLDEST).get(&common, limit(&common)).await;
            let text = Pieces::new(state, Form::Prometheus).collect::<String>();
            assert!(text.ends_with("\ntripe_connect_up 0\n"), "{text}");
            assert_eq!(start.elapsed().as_secs(), expected, "{timeout:?}");
        }
    }
}
