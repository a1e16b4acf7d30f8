// SPDX-License-Identifier: GPL-3.0-or-later
//! The HTTP side of `metrics --listen`: one request a connection, `GET /metrics`, nothing else.
//!
//! Connections on which nothing is sent must not delay a scrape. So a new connection never waits:
//! if there are too many connections, the oldest one is closed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use connect_runtime::clock;
use connect_runtime::exit::Exit;
use connect_runtime::notifier::Notifier;
use connect_runtime::streams::Stream;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::collect;
use super::exposition::Form;
use crate::common::Common;
use crate::error::Error;
use crate::interrupt::until_interrupted;

/// The longest head of a request that is read.
const MAX_HEAD: usize = 8 * 1024;

/// The most connections at the same time; connect-cli(1) says so.
const MAX_CONNECTIONS: usize = 64;

/// How long the head of a request may take.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// How long the service may take to answer. Prometheus gives a scrape up after ten seconds by
/// default, and only an answer in time can say that the service does not answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);

/// How long a connection may take: more than the head of a request and the service may.
const LIMIT: Duration = Duration::from_secs(20);

/// How long to wait after a connection could not be accepted, since the system lacks resources.
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
    let mut accepting = std::pin::pin!(accept(&listener, form, Arc::new(common.duplicate())));
    loop {
        let feeding = notifier.feeding_time();
        let pause = feeding.map_or(Duration::ZERO, |at| at.since(clock::now()));
        tokio::select! {
            () = &mut accepting => return Ok(Exit::Success),
            () = sleep(pause), if feeding.is_some() => notifier.feed(),
        }
    }
}

/// Accepts connections for ever, and serves each in a task of its own.
async fn accept(listener: &TcpListener, form: Option<Form>, common: Arc<Common>) {
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.retain(|connection| !connection.is_finished());
                if connections.len() >= MAX_CONNECTIONS
                    && let Some(oldest) = connections.pop_front()
                {
                    oldest.abort();
                }
                let serving = tokio::spawn(serve(stream, form, Arc::clone(&common)));
                connections.push_back(serving.abort_handle());
            }
            Err(error) => {
                // Whoever reads this must not hold a scrape up.
                Stream::Err.line(format!("connect-cli: cannot accept a connection: {error}"));
                sleep(PAUSE).await;
            }
        }
    }
}

/// Serves one connection.
async fn serve(stream: TcpStream, form: Option<Form>, common: Arc<Common>) {
    let service = service_fn(|request| answer(request, form, &common));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    // An error is the client's: it was too slow, closed the connection or sent nonsense.
    let _ = timeout(LIMIT, connection).await;
}

/// The answer to one request.
async fn answer(
    request: Request<Incoming>,
    form: Option<Form>,
    common: &Common,
) -> Result<Response<String>, Infallible> {
    let (status, kind, body) = match asked(&request) {
        Ok(wanted) => {
            let form = form.unwrap_or(wanted);
            let (text, _) = collect::text(common, form, limit(common)).await;
            (StatusCode::OK, form.media_type(), text)
        }
        Err(status) => {
            let body = format!("{status}\nOnly GET /metrics is served here.\n");
            (status, "text/plain; charset=utf-8", body)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        fields.insert(ALLOW, HeaderValue::from_static("GET"));
    }
    Ok(response)
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
    async fn a_service_that_stands_still_is_told_before_prometheus_gives_the_scrape_up() {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("control.sock");
        // Connections are made, and nobody accepts them.
        let _frozen = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let common = |timeout: Option<&str>| {
            Common::new(CommonOptions {
                control: Some(socket.clone()),
                timeout: timeout.map(|text| text.parse().unwrap()),
                ..CommonOptions::default()
            })
        };
        for (timeout, expected) in [(None, 4), (Some("3"), 3), (Some("7"), 7)] {
            let common = common(timeout);
            // The clock of this test is the runtime's, which moves on when nothing else can.
            let start = tokio::time::Instant::now();
            let (text, _) = collect::text(&common, Form::Prometheus, limit(&common)).await;
            assert!(text.ends_with("\ntripe_connect_up 0\n"), "{text}");
            assert_eq!(start.elapsed().as_secs(), expected, "{timeout:?}");
        }
    }
}
