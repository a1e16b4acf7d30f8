// SPDX-License-Identifier: GPL-3.0-or-later
//! Why the service does not know a peer, where it has no database: nothing else is to be done
//! before it has one.

use connect_ipc::control::DatabaseOrigin;
use connect_runtime::exit::Exit;

use crate::client::state::StateReader;
use crate::common::Common;
use crate::error::Error;
use crate::output::text;

/// Failures whose cause may be that there is no database.
const FAILURES: [&str; 2] = ["unknown-peer", "peer-not-adopted"];

/// The service's failure, with its cause if that is that no database is in use.
pub(crate) async fn explained(error: Error, common: &Common) -> Error {
    let Error::Failed(words) = &error else {
        return error;
    };
    if !words.first().is_some_and(|it| FAILURES.contains(&&**it)) {
        return error;
    }
    match fault(common).await {
        Some(fault) => Error::OtherOutcome {
            subject: text::clean(&words.join(" ")).into_owned(),
            what: format!("no database is in use: {fault}"),
            exit: Exit::Failure,
        },
        None => error,
    }
}

/// Why no database is in use; `None` if one is, or if the service does not say.
async fn fault(common: &Common) -> Option<String> {
    let mut control = common.observe().await.ok()?;
    let (_, service) = StateReader::begin(&mut control).await.ok()?;
    let is_none = service.database.origin == DatabaseOrigin::None;
    service.database.fault.filter(|_| is_none)
}
