// SPDX-License-Identifier: GPL-3.0-or-later
//! What several sections need.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;

use anyhow::Context as _;
use scenarios::{Outcome, PATIENCE, Service, Site};
use tripe_lab::server::ClientId;
use tripe_lab::{Follower, What};

/// The address of a peer that answers, on a site built `with_answering_peers`.
pub(crate) const ANSWERING: &str = "INET 198.18.0.1 4070";

/// The address of another.
pub(crate) const ANSWERING_TOO: &str = "INET 198.18.0.2 4070";

/// An address where nobody is.
pub(crate) const NOBODY: &str = "INET 127.0.0.1 9";

/// A script's text that writes its arguments in brackets as one line, after `word`.
pub(crate) fn shows_arguments(word: &str) -> String {
    format!("printf {word}; for argument; do printf '<%s>' \"$argument\"; done; echo")
}

/// Everything broadcast on a site that begins so.
pub(crate) fn said(site: &Site, prefix: &str) -> Vec<String> {
    let all = site.lab.broadcasts();
    all.into_iter()
        .filter(|line| line.starts_with(prefix))
        .collect()
}

/// Every command that was given to a site's server and begins so.
pub(crate) fn commands(site: &Site, prefix: &str) -> Vec<String> {
    let all = site.lab.commands().into_iter().map(|seen| seen.line);
    all.filter(|line| line.starts_with(prefix)).collect()
}

/// Waits until everything that the service was sent before has been dealt with: it answers in
/// order.
pub(crate) fn barrier(site: &Site) -> anyhow::Result<()> {
    site.submit("help").map(drop)
}

/// What core's status says of a peer.
pub(crate) fn peer_status(service: &Service, name: &str) -> anyhow::Result<serde_json::Value> {
    let replies = service.status()?;
    let lists = replies
        .iter()
        .filter_map(|reply| reply.get("peers")?.get("list")?.as_array());
    lists
        .flatten()
        .find(|peer| peer["name"] == name)
        .cloned()
        .with_context(|| format!("no peer {name} in {replies:?}"))
}

/// Fails if the service ever had two pings of one peer under way: a ping ends with its last answer,
/// by the server's word on its cancellation, with its peer, or with the connection.
pub(crate) fn assert_one_ping_at_a_time(site: &Site) {
    // By client and tag, the peer.
    let mut under_way: HashMap<(String, String), String> = HashMap::new();
    for event in site.lab.events() {
        let (client, line, sent_by_client) = match &event.what {
            What::Command(client, line) => (client.to_string(), line, true),
            What::Sent(client, line) => (client.to_string(), line, false),
            What::Broadcast(line) => {
                if let Some(name) = line.strip_prefix("NOTE KILL ") {
                    under_way.retain(|_, peer| peer != name);
                }
                continue;
            }
            What::Disconnected(client) => {
                let gone = client.to_string();
                under_way.retain(|(client, _), _| *client != gone);
                continue;
            }
            _ => continue,
        };
        let words = tripe_admin::split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (words.as_slice(), sent_by_client) {
            (["PING" | "EPING", "-background", tag, .., peer], true) => {
                let clash = under_way.values().any(|other| other == peer);
                assert!(!clash, "{line} while another is under way");
                under_way.insert((client, (*tag).to_owned()), (*peer).to_owned());
            }
            (["BGCANCEL", tag], true) | (["BGOK" | "BGFAIL", tag, ..], false) => {
                under_way.remove(&(client, (*tag).to_owned()));
            }
            _ => {}
        }
    }
}

/// Waits for so many more pings of a peer.
pub(crate) fn pings(events: &mut Follower, peer: &str, count: usize) -> anyhow::Result<()> {
    let wanted = |what: &What| {
        matches!(what, What::Command(_, line)
        if line.starts_with("PING ") && line.ends_with(&format!(" {peer}")))
    };
    for number in 1..=count {
        events.next_within(PATIENCE, &format!("ping {number} of {peer}"), wanted)?;
    }
    Ok(())
}

/// The connection by which the service speaks to its server.
pub(crate) fn service_client(site: &Site) -> anyhow::Result<ClientId> {
    match site.lab.wait_for_command("SVCCLAIM connect")?.what {
        What::Command(client, _) => Ok(client),
        other => anyhow::bail!("not a command: {other}"),
    }
}

/// A connection to one of the service's own sockets, its hello read.
pub(crate) fn caller(service: &Service, socket: &str) -> anyhow::Result<BufReader<UnixStream>> {
    let path = service.control().with_file_name(socket);
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut hello = String::new();
    reader.read_line(&mut hello)?;
    assert!(hello.contains("\"role\":\"core\""), "{hello}");
    Ok(reader)
}

pub(crate) fn send(caller: &mut BufReader<UnixStream>, line: &str) -> Outcome {
    Ok(caller.get_mut().write_all(format!("{line}\n").as_bytes())?)
}

pub(crate) fn receive(caller: &mut BufReader<UnixStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    caller.read_line(&mut line)?;
    Ok(line)
}

/// `connect-cli` with these words, about the service of a site.
pub(crate) fn cli(site: &Site, words: &[&str]) -> anyhow::Result<Command> {
    let mut command = Service::bare_command_of("connect-cli")?;
    command.arg("-a").arg(site.lab.socket_path()).args(words);
    Ok(command)
}
