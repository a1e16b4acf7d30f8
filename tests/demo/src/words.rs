// SPDX-License-Identifier: GPL-3.0-or-later
//! What a server broadcasts, in people's words.

use tripe_admin::token;

/// A sentence for a broadcast line; the line itself if there is none.
pub(crate) fn sentence(line: &str) -> String {
    let words = token::split(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["NOTE", "SVCCLAIM", "connect", version] => {
            format!("connect {version} is in charge of the peers")
        }
        ["NOTE", "SVCRELEASE", ..] => "the connect service has ended".to_owned(),
        ["NOTE", "KNOCK", peer, address @ ..] => {
            format!("{peer} knocks, from {}", place(address))
        }
        ["NOTE", "ADD", peer, interface, address @ ..] => {
            format!("{peer} is added at {}, on {interface}", place(address))
        }
        ["NOTE", "KILL", peer] => format!("{peer} is removed"),
        ["NOTE", "NEWADDR", peer, address @ ..] => {
            format!("{peer} is now at {}", place(address))
        }
        ["NOTE", "KXSTART", peer] => format!("agreeing on keys with {peer}"),
        ["NOTE", "KXDONE", peer] => format!("keys agreed with {peer}"),
        ["WARN", "PEER", "-", "unexpected-source", address @ ..] => {
            format!(
                "ignoring a packet from {}, where no peer is known",
                place(address)
            )
        }
        ["NOTE" | "WARN", "USER", "connect", rest @ ..] => {
            service(rest).unwrap_or_else(|| line.to_owned())
        }
        _ => line.to_owned(),
    }
}

/// What the service itself notifies and warns of.
fn service(words: &[&str]) -> Option<String> {
    Some(match words {
        ["ping-timeout", peer, "attempt", this, "of", all] => {
            format!("no reply from {peer}, attempt {this} of {all}")
        }
        ["ping-ok", peer] => format!("{peer} answers again"),
        ["reconnecting", peer] => format!("connecting to {peer} again"),
        ["peerdb-update"] => "the peer database has been read again".to_owned(),
        [script, peer, "stdout", said] => format!("{script} of {peer} says: {said}"),
        _ => return None,
    })
}

/// An address in the server's words as people write it.
fn place(address: &[&str]) -> String {
    match address {
        ["INET", host, port] => format!("{host}:{port}"),
        ["INET6", host, port] => format!("[{host}]:{port}"),
        other => other.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lines_become_sentences_and_others_stay() {
        for (line, expected) in [
            (
                "NOTE KNOCK gate INET 127.0.0.21 4070",
                "gate knocks, from 127.0.0.21:4070",
            ),
            (
                "WARN USER connect ping-timeout hub attempt 2 of 3",
                "no reply from hub, attempt 2 of 3",
            ),
            (
                "NOTE USER connect ifup hub stdout 'hello there'",
                "ifup of hub says: hello there",
            ),
            (
                "WARN PEER - unexpected-source INET 127.0.0.21 4070",
                "ignoring a packet from 127.0.0.21:4070, where no peer is known",
            ),
            ("WARN KX hub timeout", "WARN KX hub timeout"),
            ("WARN USER connect what", "WARN USER connect what"),
        ] {
            assert_eq!(sentence(line), expected);
        }
    }
}
