// SPDX-License-Identifier: GPL-3.0-or-later
//! `metrics`: the metrics of the service and its peers, for Prometheus and similar programs.

mod collect;
pub(crate) mod exposition;
mod peers;
mod server;
mod states;

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use connect_runtime::exit::Exit;

use self::collect::Pieces;
use self::exposition::Form;
use crate::common::Common;
use crate::error::Error;

/// Give the metrics of the service and its peers to Prometheus
#[derive(Args, Debug)]
#[command(after_help = "\
    Without --output and --listen the metrics go to standard output. If the service does not \
    answer, tripe_connect_up is 0, and the exit code says so too. If the service answers but has \
    too many connections, tripe_connect_exporter_refused is 1. The service has 8 seconds to answer, \
    or the time of --timeout. With --listen, at most 64 connections are open at the same time; \
    one more closes the one that has been idle for longest, but never one that waits for its \
    metrics. A request must be complete within 5 seconds. Alert rules and a dashboard are in \
    packaging/prometheus and packaging/grafana, and below /usr/share/doc/tripe-connect/examples \
    in the package.\n\n\
    Examples:\n\
    \x20 connect-cli metrics\n\
    \x20 connect-cli metrics --output /var/lib/prometheus/node-exporter/tripe-connect.prom\n\
    \x20 connect-cli metrics --listen 9785")]
pub(crate) struct Metrics {
    /// Write to this file, which is replaced as a whole, as the textfile collector of
    /// node_exporter wants it.
    #[arg(short, long, value_name = "FILE", conflicts_with = "listen")]
    output: Option<PathBuf>,
    /// Answer GET /metrics on this port of the loopback address, or on this address and port,
    /// until interrupted.
    #[arg(short, long, value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,
    /// The form [default: openmetrics; prometheus with --output; what is asked for with --listen].
    #[arg(long, value_name = "FORM")]
    format: Option<Form>,
}

/// An address and port; a port alone is one of the loopback address.
fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse()
        .map_err(|_| "expected a port, or an address and a port such as [::1]:9785".to_owned())
}

/// The metrics of a state in each form, for the fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn of_state(state: &collect::State) -> [String; 2] {
    [Form::Openmetrics, Form::Prometheus].map(|form| Pieces::new(state, form).collect())
}

impl Metrics {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        if let Some(address) = self.listen {
            return server::run(address, self.format, common).await;
        }
        let form = self.format.unwrap_or(match self.output {
            Some(_) => Form::Prometheus,
            None => Form::Openmetrics,
        });
        let state = collect::state(common, None).await;
        let mut text = Pieces::new(&state, form);
        match &self.output {
            Some(path) => replace(path, text).map_err(|source| Error::System {
                action: format!("write {}", path.display()),
                source,
            })?,
            None => text.try_for_each(|piece| common.out.write_all(piece.as_bytes()))?,
        }
        state.map_or_else(|error| Err(error.into()), |_| Ok(Exit::Success))
    }
}

/// An error without the name of the temporary file, which is of no use to anybody.
fn without_name(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.split_once(" at path ") {
        Some((cause, _)) => io::Error::new(error.kind(), cause),
        None => error,
    }
}

/// Replaces a file in one step, so that nobody reads an incomplete one.
fn replace(path: &Path, mut text: impl Iterator<Item = String>) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(without_name)?;
    text.try_for_each(|piece| file.write_all(piece.as_bytes()))?;
    // The collector runs as another user.
    let permissions = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(permissions)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_for_this_machine_only() {
        for (text, expected) in [
            ("9785", "127.0.0.1:9785"),
            (":9785", "127.0.0.1:9785"),
            ("[::1]:9785", "[::1]:9785"),
            ("0.0.0.0:1", "0.0.0.0:1"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected, "{text}");
        }
        assert!(address("localhost").is_err());
    }
}
