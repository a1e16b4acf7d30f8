// SPDX-License-Identifier: GPL-3.0-or-later
//! Waiting no longer than a limit, if there is one.

use std::time::Duration;

use tokio::time::timeout;

/// Waits for `future` no longer than `limit`; `late` makes the error from the limit.
pub(crate) async fn within<F: Future, E>(
    limit: Option<Duration>,
    future: F,
    late: impl FnOnce(Duration) -> E,
) -> Result<F::Output, E> {
    match limit {
        None => Ok(future.await),
        Some(limit) => timeout(limit, future).await.map_err(|_| late(limit)),
    }
}
