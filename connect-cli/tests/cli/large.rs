// SPDX-License-Identifier: GPL-3.0-or-later
//! A service with 100,000 peers: what reads its state does so in bounded memory.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::thread::JoinHandle;

use connect_ipc::control::{Answer, Envelope, Reply};
use connect_ipc::hello::{Hello, Role};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::{Place, Result, peer, service};

const PEERS: usize = 100_000;

/// How many rows a message has.
const ROWS: usize = 100;

/// Tells the state of many peers to one client.
fn tell(stream: UnixStream) -> Result {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut stream = BufWriter::new(stream);
    serde_json::to_writer(&mut stream, &Hello::new(Role::Core))?;
    stream.write_all(b"\n")?;
    stream.flush()?;
    lines.next().ok_or("no hello")??;
    let request: Envelope = serde_json::from_str(&lines.next().ok_or("no request")??)?;
    let say = |stream: &mut BufWriter<UnixStream>, reply| {
        let id = request.id;
        serde_json::to_writer(&mut *stream, &Answer { id, reply })?;
        Result::Ok(stream.write_all(b"\n")?)
    };
    say(&mut stream, Reply::Service(Box::new(service()?)))?;
    // Many rows are made faster as text.
    let row = serde_json::to_string(&peer("NAME", &[1.5, 12.25])?)?;
    for first in (0..PEERS).step_by(ROWS) {
        let list = (first..first + ROWS).map(|at| row.replace("NAME", &format!("peer{at:06}")));
        let list = list.collect::<Vec<_>>().join(",");
        let id = request.id;
        let peers = format!("{{\"seq\":8,\"list\":[{list}]}}");
        writeln!(stream, "{{\"id\":{id},\"reply\":{{\"peers\":{peers}}}}}")?;
    }
    say(&mut stream, Reply::Done {})?;
    Ok(stream.flush()?)
}

/// Runs the program with so many megabytes of address space at most. Gives the number of lines of
/// its output that have this in them.
fn count(arguments: &str, megabytes: u64, text: &str) -> Result<usize> {
    let place = Place::new()?;
    let listener = UnixListener::bind(place.control())?;
    place.name_for_observers()?;
    let mut command = place.command();
    let mut child = command
        .args(arguments.split_whitespace())
        .stdout(Stdio::piped())
        .spawn()?;
    let most = Some(megabytes * 1_000_000);
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    // It has nothing to read before.
    prlimit(Some(Pid::from_child(&child)), Resource::As, limit)?;
    let core: JoinHandle<Result> = std::thread::spawn(move || tell(listener.accept()?.0));
    let mut found = 0;
    for line in BufReader::new(child.stdout.take().ok_or("no output")?).lines() {
        found += usize::from(line?.contains(text));
    }
    assert_eq!(child.wait()?.code(), Some(0), "{arguments}");
    core.join().map_err(|_| "the core panicked")??;
    Ok(found)
}

#[test]
fn the_state_of_many_peers_is_read_in_bounded_memory() -> Result {
    for (arguments, megabytes, text) in [
        // The program itself takes 20 of them.
        ("status --json", 60, "\"name\": \"peer"),
        ("status", 100, "192.0.2.1:4070"),
        ("metrics", 100, "tripe_connect_peer_info{"),
    ] {
        assert_eq!(count(arguments, megabytes, text)?, PEERS, "{arguments}");
    }
    Ok(())
}
