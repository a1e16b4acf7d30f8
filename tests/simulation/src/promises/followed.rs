// SPDX-License-Identifier: GPL-3.0-or-later
//! P19: a peer that is followed by its host name (key `re-resolve`) is added at an address that its
//! name has had, and that no other record has, nor another peer of the server; or where it has
//! greeted from. E1 for it: in the end the server has it where its partner is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use connect_ipc::lookup::Found;
use tripe_admin::{Note, split};
use tripe_lab::server::Server;

use super::tap::{Command, Fact};
use super::{Moment, Rule, Verdict};
use crate::promise::Promise;
use crate::seen::{Seen, View};

/// What is known of names and addresses.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// What lookups of the name of each peer have found, as core was told.
    found: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Where the server has its peers, as core was told.
    present: BTreeMap<String, SocketAddr>,
    /// Where greetings have come from on this connection.
    greeted: BTreeSet<SocketAddr>,
}

impl Rule for Followed {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::LookedUp(peer, Found::Addresses(addresses)) => {
                let found = self.found.entry((*peer).to_owned()).or_default();
                found.extend(addresses);
            }
            Seen::End(view) => return in_place(view),
            _ => {}
        }
        match now.fact {
            Some(Fact::Note(Note::Add { peer, address, .. } | Note::NewAddr { peer, address })) => {
                match socket(address.words()) {
                    Some(at) => self.present.insert(peer.clone(), at),
                    None => self.present.remove(peer),
                };
            }
            Some(Fact::Info(command, words)) if command.verb == "ADDR" => {
                if let Some(at) = socket(words) {
                    self.present.insert(command.word(0).to_owned(), at);
                }
            }
            Some(Fact::Note(Note::Kill { peer })) => {
                self.present.remove(peer);
            }
            Some(Fact::Note(Note::Greet { address, .. })) => {
                self.greeted.extend(socket(address.words()));
            }
            Some(Fact::Connected | Fact::Lost) => {
                self.present.clear();
                self.greeted.clear();
            }
            Some(Fact::Sent(command)) if command.verb == "ADD" => return self.added(now, command),
            _ => {}
        }
        Ok(())
    }
}

impl Followed {
    fn added(&self, now: &Moment<'_>, command: &Command) -> Verdict {
        let peer = command.word(0);
        let own = now.records.fixed(peer, "peer").unwrap_or_default();
        if !now.records.is_followed(peer) || own == "PASSIVE" {
            return Ok(());
        }
        let Some(at) = socket(command.words.get(1..).unwrap_or_default()) else {
            return Ok(());
        };
        // A peer that has greeted is added there.
        if self.greeted.contains(&at) {
            return Ok(());
        }
        let broken = |text: String| Err((Promise::Followed, format!("{peer} at {at}: {text}")));
        let found = self.found.get(peer);
        if !found.is_some_and(|found| found.contains(&at.ip())) {
            return broken(format!("lookups have found {found:?}"));
        }
        let others = now.records.peers().filter(|other| *other != peer);
        for other in others {
            let recorded = now.records.fixed(other, "peer").map(split);
            if recorded.is_some_and(|words| socket(&words) == Some(at)) {
                return broken(format!("the record of {other} has this address"));
            }
        }
        let mut present = self.present.iter();
        match present.find(|(other, place)| *other != peer && **place == at) {
            Some((other, _)) => broken(format!("{other} is there")),
            None => Ok(()),
        }
    }
}

/// Whether each peer is where its partner is that lives.
fn in_place(view: &View<'_>) -> Verdict {
    let present = view.server.map(Server::peers).unwrap_or_default();
    for peer in present {
        let Some(place) = view.truth.places.get(&peer.name) else {
            continue;
        };
        if peer.addr != *place && !view.truth.dead.contains(&peer.name) {
            let text = format!(
                "{} is at {}, and its partner at {place}",
                peer.name, peer.addr
            );
            return Err((Promise::Connected, text));
        }
    }
    Ok(())
}

/// The address in these words, if host and port are numbers.
fn socket(words: &[String]) -> Option<SocketAddr> {
    match words {
        [.., ip, port] => Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CORE, Sight, server, view};
    use super::*;
    use crate::seen::Who;
    use crate::world::Truth;

    const RECORDS: &[(&str, &[(&str, &str)])] = &[
        ("p", &[("peer", "INET p.example 4070"), ("re-resolve", "t")]),
        ("q", &[("peer", "INET 198.18.0.2 4070")]),
    ];

    fn add(last: u8) -> String {
        format!("> ADD -background c0.0 p INET 198.18.0.{last} 4070")
    }

    /// What is broken if the name is said to have these addresses and the peer is added at this.
    fn broken(found: &[u8], at: u8) -> Option<Promise> {
        let mut sight = Sight::new::<Followed>(RECORDS);
        sight.lines(&["< NOTE ADD r tripe0 INET 198.18.0.3 4070"]);
        let found = found.iter().map(|last| [198, 18, 0, *last].into());
        let found = Found::Addresses(found.collect());
        sight.see(Seen::LookedUp("p", &found)).unwrap();
        sight.lines(&[&add(at)])
    }

    #[test]
    fn an_address_of_its_own_keeps_it() {
        assert_eq!(broken(&[1, 4], 4), None);
        let mut sight = Sight::new::<Followed>(RECORDS);
        let by_name = "> ADD -background c0.0 p INET p.example 4070";
        assert_eq!(sight.lines(&[by_name]), None);
    }

    #[test]
    fn an_address_that_was_not_found_or_is_of_another_breaks_it() {
        let followed = Some(Promise::Followed);
        assert_eq!(broken(&[4], 1), followed, "not found");
        assert_eq!(broken(&[2], 2), followed, "of the record of q");
        assert_eq!(broken(&[3], 3), followed, "where r is");
    }

    #[test]
    fn where_it_has_greeted_from_keeps_it_until_the_connection_is_lost() {
        let mut sight = Sight::new::<Followed>(RECORDS);
        let greeted = "< NOTE GREET challenge INET 198.18.0.9 4070";
        assert_eq!(sight.lines(&[greeted, &add(9)]), None);
        sight.see(Seen::Ended(CORE)).unwrap();
        sight.see(Seen::Opened(CORE, Who::Core(1))).unwrap();
        assert_eq!(sight.lines(&[&add(9)]), Some(Promise::Followed));
    }

    /// What is broken at the end if the server has `p` at 198.18.0.1, and its partner is here.
    fn in_the_end(partner: u8, is_dead: bool) -> Option<Promise> {
        let server = server(&["p"]);
        assert_eq!(server.peers().len(), 1);
        let mut truth = Truth::default();
        let place = SocketAddr::from(([198, 18, 0, partner], 4070));
        truth.places.insert("p".to_owned(), place);
        truth.dead.extend(is_dead.then(|| "p".to_owned()));
        let mut sight = Sight::new::<Followed>(RECORDS);
        let seen = view(|view| {
            let (server, truth) = (Some(&server), &truth);
            sight.see(Seen::End(View {
                server,
                truth,
                ..view
            }))
        });
        seen.err().map(|(promise, _)| promise)
    }

    #[test]
    fn a_peer_that_is_not_where_its_living_partner_is_breaks_it_in_the_end() {
        assert_eq!(in_the_end(1, false), None);
        assert_eq!(in_the_end(9, false), Some(Promise::Connected));
        assert_eq!(in_the_end(9, true), None, "nobody answers there either");
    }
}
