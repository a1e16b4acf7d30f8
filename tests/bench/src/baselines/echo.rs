// SPDX-License-Identifier: GPL-3.0-or-later
//! A bare server of JSON lines: reads a request, gives the same answer to each, knows nothing else.

use std::path::Path;

use connect_ipc::control::{Answer, Envelope, Reply};
use connect_ipc::hello::{Hello, Role};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// Serves for ever; every request is answered with the reply that the file holds as JSON.
pub(crate) fn play(socket: &Path, reply: &Path) -> anyhow::Result<()> {
    let reply: Reply = serde_json::from_slice(&std::fs::read(reply)?)?;
    super::serve_all(socket, |stream| serve(stream, reply.clone()))
}

async fn serve(stream: UnixStream, reply: Reply) -> anyhow::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader);
    let mut text = String::new();
    lines.read_line(&mut text).await?;
    let mut line = serde_json::to_vec(&Hello::new(Role::Core))?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    let mut answer = Answer { id: 0, reply };
    loop {
        text.clear();
        if lines.read_line(&mut text).await? == 0 {
            return Ok(());
        }
        let request: Envelope = serde_json::from_str(&text)?;
        answer.id = request.id;
        line.clear();
        serde_json::to_writer(&mut line, &answer)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
    }
}
