// SPDX-License-Identifier: GPL-3.0-or-later
//! What to do next where the service is being set up and there is no peer yet.

use std::net::IpAddr;
use std::path::Path;

use connect_policy::keys;
use peerdb::Database;
use peerdb::source::{ResolveError, Resolver, Source};

use crate::commands::db::input::{self, SOURCES};

/// The sample that the package has in the directory of sources.
const SAMPLE: &str = "50-sample";

/// The next step, if there are no peers: the file `path` is missing, or `database`, which was read
/// from it, has none. A running service has `running` peers in use.
pub(crate) fn of(
    server_answers: bool,
    path: &Path,
    database: Option<&Database>,
    running: Option<u64>,
    directory: &Path,
) -> Option<String> {
    let has_none = match (database, running) {
        (Some(database), _) => database.sorted_peers().is_empty(),
        (None, Some(peers)) => peers == 0 && !path.exists(),
        (None, None) => !path.exists(),
    };
    if !has_none {
        return None;
    }
    if !server_answers {
        return Some(
            "install and start the tripe server, with its socket open to the group of the \
             service (`-m 660'); the service waits for it"
                .to_owned(),
        );
    }
    if running.is_none() {
        return Some(
            "start the service: `systemctl start tripe-connect.target', or without systemd \
             `connect --daemon'"
                .to_owned(),
        );
    }
    let sources = directory.join(SOURCES);
    if describes_peers(&sources) {
        return Some("run `connect-cli db compile' and `connect-cli reload'".to_owned());
    }
    let sample = sources.join(SAMPLE);
    let hint = if sample.exists() {
        format!(" (remove the `#' before a sample in {})", sample.display())
    } else {
        String::new()
    };
    let sources = sources.display();
    Some(format!(
        "describe a peer in {sources}{hint}, then run `connect-cli db compile' and `connect-cli \
         reload'"
    ))
}

/// Whether there are sources with something for the compiler.
fn describes_peers(sources: &Path) -> bool {
    if !sources.is_dir() {
        return false;
    }
    let compilation = Source::read([sources], keys::is_known).compile(&NoResolver);
    input::describes_peers(&compilation)
}

/// Looks nothing up: the addresses of hosts do not matter here, and a name server may be slow.
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &[String]) -> Vec<Result<Vec<IpAddr>, ResolveError>> {
        Vec::new()
    }
}
