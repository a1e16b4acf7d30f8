// SPDX-License-Identifier: GPL-3.0-or-later
//! A bare server that sends the same bytes in answer to each request, and knows nothing else.

use std::path::Path;

use connect_ipc::hello::{Hello, Role};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// Serves for ever; every request is answered with the bytes of the file.
pub(crate) fn play(socket: &Path, bytes: &Path) -> anyhow::Result<()> {
    let bytes: &[u8] = std::fs::read(bytes)?.leak();
    super::serve_all(socket, |stream| serve(stream, bytes))
}

async fn serve(stream: UnixStream, bytes: &'static [u8]) -> anyhow::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader);
    let mut text = String::new();
    let mut hello = serde_json::to_vec(&Hello::new(Role::Core))?;
    hello.push(b'\n');
    // As core does: some clients wait for it before they say theirs.
    writer.write_all(&hello).await?;
    lines.read_line(&mut text).await?;
    loop {
        text.clear();
        if lines.read_line(&mut text).await? == 0 {
            return Ok(());
        }
        writer.write_all(bytes).await?;
    }
}
