// SPDX-License-Identifier: GPL-3.0-or-later
//! Just enough HTTP to be scraped: one request a connection, `GET /metrics`, nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use connect_runtime::exit::Exit;
use connect_runtime::notifier::Notifier;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::collect;
use super::exposition::Form;
use crate::common::Common;
use crate::error::Error;
use crate::interrupt::until_interrupted;
use crate::output::to_stderr;

/// The longest request that is read.
const MAX_REQUEST: usize = 8 * 1024;

/// The most header fields that a request may have.
const MAX_FIELDS: usize = 64;

/// How long a whole request may take, so that nobody holds a place for ever.
const LIMIT: Duration = Duration::from_secs(20);

/// How many are served at the same time.
const PLACES: usize = 16;

/// How long to wait after a connection could not be accepted: the system lacks something.
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
    common
        .out
        .line_flushed(&format!("listening on http://{local}/metrics"))?;
    notifier.ready();
    notifier.status(&format!("answering on http://{local}/metrics"));
    let common = Arc::new(common.duplicate());
    let places = Arc::new(Semaphore::new(PLACES));
    let serving = async {
        // The semaphore is never closed.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let common = Arc::clone(&common);
                    tokio::spawn(async move {
                        // Who is too slow, or leaves early, gets nothing.
                        let _ = timeout(LIMIT, serve(stream, form, &common)).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    to_stderr(&format!("cannot accept a connection: {error}"));
                    sleep(PAUSE).await;
                }
            }
        }
    };
    let mut serving = std::pin::pin!(serving);
    loop {
        let feeding = notifier.feeding_time().map(Instant::from_std);
        tokio::select! {
            () = &mut serving => return Ok(Exit::Success),
            () = sleep_until(feeding.unwrap_or_else(Instant::now)), if feeding.is_some() => {
                notifier.feed();
            }
        }
    }
}

/// What a request asks for.
#[derive(Debug, Eq, PartialEq)]
enum Asked {
    /// More must be read.
    Partial,
    /// The metrics, in this form if nothing else was said.
    Metrics(Form),
    /// Something else, which gets this status.
    Other(&'static str),
}

fn parse(bytes: &[u8]) -> Asked {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() < MAX_REQUEST => return Asked::Partial,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Asked::Other("431 Request Header Fields Too Large");
        }
        Err(_) => return Asked::Other("400 Bad Request"),
        Ok(httparse::Status::Complete(_)) => {}
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path != "/metrics" {
        return Asked::Other("404 Not Found");
    }
    if request.method != Some("GET") {
        return Asked::Other("405 Method Not Allowed");
    }
    let open = request.headers.iter().any(|field| {
        field.name.eq_ignore_ascii_case("accept")
            && String::from_utf8_lossy(field.value).contains("application/openmetrics-text")
    });
    Asked::Metrics(if open {
        Form::Openmetrics
    } else {
        Form::Prometheus
    })
}

async fn serve(mut stream: TcpStream, form: Option<Form>, common: &Common) -> io::Result<()> {
    let mut request = Vec::new();
    let asked = loop {
        match parse(&request) {
            Asked::Partial => {}
            asked => break asked,
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    };
    let (status, kind, body) = match asked {
        Asked::Metrics(wanted) => {
            let form = form.unwrap_or(wanted);
            let (text, _) = collect::text(common, form).await;
            ("200 OK", form.media_type(), text)
        }
        Asked::Partial => return Ok(()),
        Asked::Other(status) => (
            status,
            "text/plain; charset=utf-8",
            format!("{status}\nOnly GET /metrics is served here.\n"),
        ),
    };
    let allow = if status.starts_with("405") {
        "Allow: GET\r\n"
    } else {
        ""
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{allow}\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_served_and_everything_else_has_its_status() {
        let asked = |text: &str| parse(text.as_bytes());
        assert_eq!(asked("GET /metr"), Asked::Partial);
        assert_eq!(
            asked("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
            Asked::Metrics(Form::Prometheus)
        );
        assert_eq!(
            asked(
                "GET /metrics?x=1 HTTP/1.1\r\naccept: text/plain;q=0.5,\
                 application/openmetrics-text;version=1.0.0\r\n\r\n"
            ),
            Asked::Metrics(Form::Openmetrics)
        );
        for (request, status) in [
            ("GET / HTTP/1.0\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("\x16\x03\x01 nonsense\r\n\r\n", "400"),
        ] {
            let Asked::Other(said) = asked(request) else {
                panic!("{request}");
            };
            assert!(said.starts_with(status), "{request}: {said}");
        }
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(MAX_REQUEST));
        assert!(matches!(asked(&long), Asked::Other(said) if said.starts_with("431")));
    }
}
