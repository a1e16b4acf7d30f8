// SPDX-License-Identifier: GPL-3.0-or-later
//! P19: a peer that is followed by its host name (key `re-resolve`) is added at an address that its
//! name has had, and that no other record has, nor another peer of the server; or, once for each
//! greeting with the challenge of a `passive` command for it, where that greeting came from. E1 for
//! it: in the end the server has it where its partner is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use connect_ipc::lookup::Found;
use tripe_admin::{Address, Note, split};
use tripe_lab::server::Server;

use super::tap::{Command, End, Fact};
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
    greetings: Greetings,
}

/// What is known of greetings on this connection.
#[derive(Debug, Default)]
struct Greetings {
    /// The `passive` commands that are not answered, and of which peer each is.
    jobs: BTreeMap<String, String>,
    /// The challenges that were given to them.
    challenges: BTreeMap<String, String>,
    /// Where each peer has greeted from that has not had its `ADD`.
    from: Vec<(String, SocketAddr)>,
    /// The peers that are being added where they have greeted from.
    adding: BTreeMap<String, SocketAddr>,
}

impl Greetings {
    /// A job is given. In all databases of a site, `user-PEER` is the user of PEER.
    fn given(&mut self, id: &str, words: &[String]) {
        if let [name, .., user] = words
            && name.eq_ignore_ascii_case("passive")
            && let Some(peer) = user.strip_prefix("user-")
        {
            self.jobs.insert(id.to_owned(), peer.to_owned());
        }
    }

    /// A job is told this challenge, if it is one of these.
    fn told(&mut self, id: &str, challenge: &str) {
        if self.jobs.contains_key(id) {
            self.challenges.insert(challenge.to_owned(), id.to_owned());
        }
    }

    /// A job has ended: its challenge is not awaited any more.
    fn ended(&mut self, id: &str) {
        self.jobs.remove(id);
        self.challenges.retain(|_, job| job != id);
    }

    /// Somebody has greeted.
    fn greeted(&mut self, challenge: &str, from: &Address) {
        if let Some(id) = self.challenges.remove(challenge)
            && let Some(peer) = self.jobs.get(&id)
            && let Some(from) = socket(from.words())
        {
            self.from.push((peer.clone(), from));
        }
    }

    /// Whether this `ADD` is the one that a greeting is answered with.
    fn answer(&mut self, peer: &str, at: SocketAddr) -> bool {
        let mut from = self.from.iter();
        let Some(found) = from.position(|(of, from)| of == peer && *from == at) else {
            return false;
        };
        self.from.swap_remove(found);
        self.adding.insert(peer.to_owned(), at);
        true
    }

    /// An `ADD` has ended. If the server had the peer, it is killed and added once more.
    fn added(&mut self, peer: &str, end: &End) {
        let Some(at) = self.adding.remove(peer) else {
            return;
        };
        if matches!(end, End::Failed(words) if words.first().is_some_and(|it| it == "peer-exists"))
        {
            self.from.push((peer.to_owned(), at));
        }
    }
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
            Some(Fact::Job(id, words)) => self.greetings.given(id, words),
            Some(Fact::Cancelled(id)) => self.greetings.ended(id),
            Some(Fact::Sent(command)) if command.verb == "SVCINFO" => {
                self.greetings.told(command.word(0), command.word(1));
            }
            Some(Fact::Sent(command)) if matches!(&*command.verb, "SVCOK" | "SVCFAIL") => {
                self.greetings.ended(command.word(0));
            }
            Some(Fact::Note(Note::Greet { challenge, address })) => {
                self.greetings.greeted(challenge, address);
            }
            Some(Fact::Ended(command, end)) if command.verb == "ADD" => {
                self.greetings.added(command.word(0), end);
            }
            Some(Fact::Connected | Fact::Lost) => {
                self.present.clear();
                self.greetings = Greetings::default();
            }
            Some(Fact::Sent(command)) if command.verb == "ADD" => return self.added(now, command),
            _ => {}
        }
        Ok(())
    }
}

impl Followed {
    fn added(&mut self, now: &Moment<'_>, command: &Command) -> Verdict {
        let peer = command.word(0);
        let Some(at) = socket(command.words.get(1..).unwrap_or_default()) else {
            return Ok(());
        };
        if self.greetings.answer(peer, at) {
            return Ok(());
        }
        let own = now.records.fixed(peer, "peer").unwrap_or_default();
        if !now.records.is_followed(peer) || own == "PASSIVE" {
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

    const PASSIVE: &str = "< SVCJOB J1 connect passive user-p";
    const TOLD: [&str; 2] = ["> SVCINFO J1 abc", "< OK"];
    const GREETED: &str = "< NOTE GREET abc INET 198.18.0.9 4070";

    /// What is broken if `p` is added after these lines where somebody has greeted from.
    fn greeted(lines: &[&str]) -> Option<Promise> {
        let mut sight = Sight::new::<Followed>(RECORDS);
        assert_eq!(sight.lines(lines), None);
        sight.lines(&[&add(9)])
    }

    fn awaited() -> Vec<&'static str> {
        [&[PASSIVE][..], &TOLD, &[GREETED]].concat()
    }

    #[test]
    fn where_it_has_greeted_from_keeps_it() {
        assert_eq!(greeted(&awaited()), None);
    }

    #[test]
    fn a_greeting_that_is_not_its_own_breaks_it() {
        let another = "< SVCJOB J1 connect passive user-q";
        let elsewhere = "< NOTE GREET abc INET 198.18.0.8 4070";
        let told = |first, last| [&[first][..], &TOLD, &[last]].concat();
        let late = |end| [&[PASSIVE][..], &TOLD, &[end, GREETED]].concat();
        for (lines, text) in [
            (vec![PASSIVE, GREETED], "not awaited"),
            (told(another, GREETED), "of q"),
            (told(PASSIVE, elsewhere), "from elsewhere"),
            (late("> SVCFAIL J1 connect-timeout"), "too late"),
            (late("< SVCCANCEL J1"), "cancelled"),
        ] {
            assert_eq!(greeted(&lines), Some(Promise::Followed), "{text}");
        }
    }

    #[test]
    fn a_greeting_is_answered_once_or_again_after_somebody_was_faster() {
        let add = add(9);
        for (end, expected) in [
            ("< BGOK c0.0", Some(Promise::Followed)),
            ("< BGFAIL c0.0 peer-exists p", None),
        ] {
            let lines = [&awaited()[..], &[&add, "< BGDETACH c0.0", end]].concat();
            assert_eq!(greeted(&lines), expected, "{end}");
        }
    }

    #[test]
    fn a_greeting_does_not_outlive_its_connection() {
        let mut sight = Sight::new::<Followed>(RECORDS);
        assert_eq!(sight.lines(&awaited()), None);
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
