// SPDX-License-Identifier: GPL-3.0-or-later
//! The floor: the smallest program that sends the same pings and reads the answers. One thread, no
//! state for a peer but its line, made beforehand; nothing counted, nothing decided.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use connect_core::machine::COALESCE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::schedule::Schedule;
use crate::rig::name;

/// Pings for ever. It is given the same leave to send pings together as core has.
pub(crate) fn play(socket: &Path, peers: u32, period: Duration) -> anyhow::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_nonblocking(true)?;
    let mut schedule = Schedule::new(Instant::now(), peers, period);
    let mut buffer = vec![0; 64 * 1024];
    let all: Vec<String> = (0..peers as usize)
        .map(|peer| format!("PING -background f{peer} -timeout 10 {}\n", name(peer)))
        .collect();
    let mut lines = Vec::new();
    let mut next = schedule.due();
    loop {
        let now = Instant::now();
        if now >= next {
            lines.clear();
            while let Some(peer) = schedule.take(now) {
                lines.extend_from_slice(all[peer as usize].as_bytes());
            }
            stream.write_all(&lines)?;
            next = schedule.due().max(now + COALESCE);
        }
        let wait = next.saturating_duration_since(now);
        let wait = Timespec::try_from(wait)?;
        if poll(&mut [PollFd::new(&stream, PollFlags::IN)], Some(&wait))? > 0 {
            ensure!(stream.read(&mut buffer)? > 0, "the server is gone");
        }
    }
}
