// SPDX-License-Identifier: GPL-3.0-or-later
//! The tripe server: does it answer, is it new enough, and who provides the service to it?

use std::cmp::Ordering;
use std::time::Duration;

use tripe_admin::client::{Client, ClientError};
use tripe_admin::version;

use super::finding::Section;
use crate::client::admin::{self, AdminError};
use crate::common::{Common, Pace};

/// The first server with `-knock` and `-ephemeral`.
const OLDEST: &str = "1.5.0";

/// The service's name at the server.
const SERVICE: &str = "connect";

/// What the server has answered.
#[derive(Debug, Default)]
pub(crate) struct Server {
    /// Whether it has answered at all, or may have if we were allowed to ask it.
    pub(crate) answers: bool,
    /// The version of whoever provides the service.
    pub(crate) provider: Option<String>,
}

/// Checks the server.
pub(crate) async fn check(common: &Common, section: &mut Section<'_>) -> Server {
    let error = match ask_server(common, section).await {
        Ok(provider) => {
            return Server {
                answers: true,
                provider,
            };
        }
        // That it is there is all that this user may know.
        Err(AdminError::Denied { path }) => {
            let path = path.display();
            section.warning(
                format!("the tripe server was not asked: permission to use {path} is denied"),
                "run this as its owner, or as a user in its group",
            );
            return Server {
                answers: true,
                provider: None,
            };
        }
        Err(error) => error,
    };
    match remedy(&error) {
        Some((text, remedy)) => section.fault(text, remedy),
        None => section.fault_with_remedy(error.to_string(), "look at the log of the server"),
    }
    Server::default()
}

/// What to do about an error whose sentence does not say it after a semicolon.
fn remedy(error: &AdminError) -> Option<(String, &'static str)> {
    match error {
        AdminError::Client(ClientError::Connect { path, source }) => Some((
            format!(
                "cannot reach the tripe server on {}: {source}",
                path.display()
            ),
            "start the server, or name its socket with -a",
        )),
        AdminError::Timeout(limit) => Some((
            format!(
                "the tripe server has not answered for {} s",
                limit.as_secs()
            ),
            "check whether its process hangs or is stopped",
        )),
        AdminError::Client(ClientError::Closed) => Some((
            error.to_string(),
            "check whether the server has ended, and start it",
        )),
        _ => None,
    }
}

async fn ask_server(
    common: &Common,
    section: &mut Section<'_>,
) -> Result<Option<String>, AdminError> {
    let mut client = common.admin().await?;
    let limit = common.limit(Pace::Quick);
    let answer = admin::ask(&mut client, &["VERSION".to_owned()], limit).await?;
    let words = answer.into_iter().next().unwrap_or_default();
    match words.as_slice() {
        [name, version, ..] if name == "tripe" && is_old(version) => section.warning(
            format!("the server is tripe {version}, which has neither knock nor ephemeral"),
            &format!("install tripe {OLDEST} or later if a peer needs these"),
        ),
        words => section.ok(format!("the server answers; it is {}", words.join(" "))),
    }
    provider(&mut client, limit, section).await
}

fn is_old(version: &str) -> bool {
    version::compare(version, OLDEST) == Ordering::Less
}

/// The version of whoever provides the service.
async fn provider(
    client: &mut Client,
    limit: Option<Duration>,
    section: &mut Section<'_>,
) -> Result<Option<String>, AdminError> {
    let query = ["SVCQUERY", SERVICE].map(str::to_owned);
    match admin::ask(client, &query, limit).await {
        Ok(answer) => {
            let version = answer
                .iter()
                .flatten()
                .find_map(|word| word.strip_prefix("version="))
                .map(str::to_owned);
            let text = version.as_deref().unwrap_or("of unknown version");
            section.ok(format!("the service {SERVICE} is provided, {text}"));
            Ok(version)
        }
        Err(AdminError::Client(ClientError::Failed(failure)))
            if failure.code() == "unknown-service" =>
        {
            section.fault(
                format!("nobody provides the service {SERVICE} to the server"),
                "start connect",
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_the_knock_protocol_are_old() {
        assert!(is_old("1.0.0pre19"));
        assert!(is_old("1.4.9"));
        assert!(!is_old("1.5.0"));
        assert!(!is_old("1.6.1+3"));
    }
}
