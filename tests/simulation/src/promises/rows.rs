// SPDX-License-Identifier: GPL-3.0-or-later
//! P9: the state has the peers that the server has, with their addresses and interfaces.
//!
//! The rule looks once an hour, if nothing was broadcast and nothing disturbed the host for a
//! while.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use connect_ipc::control::ServerLink;

use super::calm::REST;
use super::{Moment, Rule, Verdict, ask};
use crate::instant::Instant;
use crate::promise::Promise;
use crate::seen::{Seen, View};

/// When the server has last said something to everybody.
#[derive(Debug, Default)]
pub(super) struct Rows {
    broadcast: Instant,
}

impl Rule for Rows {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Broadcast(line) if line.starts_with("NOTE ") => self.broadcast = now.at,
            Seen::Hour(view) if self.broadcast.max(now.calm.since) + REST < now.at => {
                return look(now, view);
            }
            _ => {}
        }
        Ok(())
    }
}

/// An address as the server writes it.
fn words(address: SocketAddr) -> String {
    let family = if address.is_ipv4() { "INET" } else { "INET6" };
    format!("{family} {} {}", address.ip(), address.port())
}

fn look(now: &Moment<'_>, view: &View<'_>) -> Verdict {
    let (Some(core), Some(server)) = (view.core, view.server) else {
        return Ok(());
    };
    if core.link() != ServerLink::Up {
        return Ok(());
    }
    let Some((_, rows)) = ask::state(core, view.now) else {
        return Ok(());
    };
    let rows = rows.into_iter().filter(|row| row.state.is_present());
    let mut rows: BTreeMap<String, _> = rows.map(|row| (row.name.clone(), row)).collect();
    let broken = |text: String| Err((Promise::Rows, text));
    for peer in server.peers() {
        let Some(row) = rows.remove(&peer.name) else {
            return broken(format!(
                "the server has {}, and the state does not",
                peer.name
            ));
        };
        // What the server has refused to tell is not known.
        if now.calm.is_untold(&peer.name) {
            continue;
        }
        let address = words(peer.addr);
        if row.address.as_ref() != Some(&address) {
            let told = row.address;
            return broken(format!(
                "{} is at {address}, and the state says {told:?}",
                peer.name
            ));
        }
        if row.interface.as_ref() != Some(&peer.ifname) {
            let (name, interface, told) = (peer.name, peer.ifname, row.interface);
            return broken(format!(
                "{name} has {interface}, and the state says {told:?}"
            ));
        }
    }
    match rows.into_keys().next() {
        Some(name) => broken(format!("the state has {name}, and the server does not")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use connect_core::machine::Input;
    use connect_ipc::clock::Monotonic;

    use super::super::testing::{Sight, joined, server, view};
    use super::*;

    /// When core hears the answers, in nanoseconds: when it has joined.
    const NOW: u64 = 1_000_000_000_000;

    /// What is seen of a core that knows these peers, while the server has those. The server has
    /// answered two questions about each, for the interface and for the address, and `tell` makes
    /// of the right answer what it told.
    fn look_after(
        known: &[&str],
        present: &[&str],
        tell: impl Fn(usize, String) -> Option<String>,
    ) -> Verdict {
        let (mut core, server) = (joined(&[], known), server(present));
        for peer in server.peers() {
            let answers = [peer.ifname.clone(), words(peer.addr)];
            for (question, answer) in answers.into_iter().enumerate() {
                let told = tell(question, answer).map(|told| format!("INFO {told}"));
                for line in told.into_iter().chain(["OK".to_owned()]) {
                    let mut out = Vec::new();
                    core.handle(Input::ServerLine(line.into()), Monotonic(NOW), &mut out);
                }
            }
        }
        let mut sight = Sight::new::<Rows>(&[]);
        sight.later(100);
        view(|view| {
            let (core, server) = (Some(&core), Some(&server));
            sight.see(Seen::Hour(View {
                core,
                server,
                ..view
            }))
        })
    }

    /// As [`look_after`], with a server that tells everything.
    fn look_at(known: &[&str], present: &[&str]) -> Verdict {
        look_after(known, present, |_, answer| Some(answer))
    }

    #[test]
    fn an_interface_or_an_address_that_is_wrong_or_missing_breaks_it() {
        for wrong in [None, Some("INET 192.0.2.1 1".to_owned())] {
            for of in [0, 1] {
                let broken = look_after(&["p"], &["p"], |question, answer| {
                    if question == of {
                        wrong.clone()
                    } else {
                        Some(answer)
                    }
                });
                assert!(matches!(broken, Err((Promise::Rows, _))), "{broken:?}");
            }
        }
    }

    #[test]
    fn the_same_peers_keep_it_and_another_or_a_missing_one_breaks_it() {
        assert_eq!(look_at(&[], &[]), Ok(()));
        assert_eq!(look_at(&["p"], &["p"]), Ok(()));
        for (known, present) in [(&["p"][..], &[][..]), (&[], &["p"]), (&["p"], &["q"])] {
            let broken = look_at(known, present);
            assert!(matches!(broken, Err((Promise::Rows, _))), "{broken:?}");
        }
    }
}
