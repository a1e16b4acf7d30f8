// SPDX-License-Identifier: GPL-3.0-or-later
//! What the service is measured beside: other programs, and the least that a program of its kind
//! could do. Those of our own run as processes of their own, like the service.

pub(crate) mod bfd;
pub(crate) mod canned;
pub(crate) mod echo;
pub(crate) mod floor;
pub(crate) mod fping;
pub(crate) mod player;
pub(crate) mod provider;
pub(crate) mod schedule;
pub(crate) mod wheel;

use std::path::Path;

use tokio::net::{UnixListener, UnixStream};

/// Listens for ever, and says so; each connection is served by a task of its own.
fn serve_all<S, F>(socket: &Path, serve: S) -> anyhow::Result<()>
where
    S: Fn(UnixStream) -> F,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = UnixListener::bind(socket)?;
        println!("ready");
        loop {
            let (stream, _) = listener.accept().await?;
            let served = serve(stream);
            // A client that leaves ends its task, whatever it was about.
            tokio::spawn(async move { drop(served.await) });
        }
    })
}
