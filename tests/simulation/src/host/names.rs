// SPDX-License-Identifier: GPL-3.0-or-later
//! Where the partners are that are reached by host names, and the lookups of these names.
//!
//! What is imitated here: connect-ifscripts/src/lookups.rs, and the name server that it asks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use connect_ifscripts::machine::Input;
use connect_ipc::lookup::{Found, LOOKUP_LIMIT, LOOKUPS, LookedUp, Lookup};
use connect_ipc::scripts::FromScripts;
use tripe_lab::server::{Control, Server};

use super::Host;
use crate::chance::What;
use crate::instant::Instant;
use crate::network::{moved, reflected};
use crate::plan::{Naming, Part, Partner, RecordSite, host_name, named_peer};
use crate::queue::Step;
use crate::seen::{Seen, Watcher};
use crate::world::shared::Shared;

/// The name server, and the lookups of the present script helper.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// How it answers for the name of a peer, other than with the truth, and until when.
    wrong: BTreeMap<String, (Naming, Instant)>,
    /// How many lookups there were.
    begun: u64,
    /// How many of the present helper are under way.
    under_way: usize,
}

impl Host {
    /// Where the partner of a record is that the lab plays.
    pub(crate) fn partner_address(&self, peer: &str, number: u32) -> SocketAddr {
        let moved = self.truth.places.get(peer).copied();
        moved.unwrap_or_else(|| reflected(number))
    }

    /// Where the partners are at first that are reached by host names, for all who have to know.
    pub(crate) fn place_partners<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let records = self.site.records.clone();
        for record in records.iter().filter(|record| record.is_named()) {
            if let Partner::Reflected(number) = record.partner {
                self.place(&record.peer, reflected(number), shared);
            }
        }
    }

    fn place<W: Watcher>(&mut self, peer: &str, at: SocketAddr, shared: &mut Shared<W>) {
        self.truth.places.insert(peer.to_owned(), at);
        let (host, address) = (host_name(peer), at.ip());
        self.server.set_name(host.clone(), address);
        self.control(Control::Name { host, address }, shared);
        shared.see(self.id, Seen::Place(peer, at));
    }

    /// The partner of a peer moves: what is sent to its old address is lost. Whether the server has
    /// the peer.
    pub(crate) fn move_partner<W: Watcher>(&mut self, peer: &str, shared: &mut Shared<W>) -> bool {
        let record = self.named(peer).map(|record| record.partner);
        let Some(Partner::Reflected(number)) = record else {
            return false;
        };
        let next = moved(number, self.partner_address(peer, number));
        self.place(peer, next, shared);
        // The server may learn of it by itself, and something else may have been there.
        if let Some(control) = self.quietness(peer, next) {
            self.control(control, shared);
        }
        self.hush(peer, shared)
    }

    /// The record of a peer that is reached by a host name.
    fn named(&self, peer: &str) -> Option<&RecordSite> {
        let mut records = self.site.records.iter();
        records.find(|record| record.peer == peer && record.is_named())
    }

    /// Has the address at which the server has a peer be silent if its partner is not there, and
    /// not if it is there and lives. Whether the server has the peer.
    fn hush<W: Watcher>(&mut self, peer: &str, shared: &mut Shared<W>) -> bool {
        let Some(at) = self.address_at_server(peer) else {
            return false;
        };
        if let Some(control) = self.quietness(peer, at) {
            self.control(control, shared);
        }
        true
    }

    /// The address at which the server has a peer.
    pub(crate) fn address_at_server(&self, peer: &str) -> Option<SocketAddr> {
        let peers = self.server.machine.as_ref()?.peers();
        let view = peers.into_iter().find(|view| view.name == peer)?;
        Some(view.addr)
    }

    /// What makes the address of a peer silent or not, as its partner is there or not.
    pub(crate) fn quietness(&self, peer: &str, at: SocketAddr) -> Option<Control> {
        let asleep = self.power.sleep.is_some();
        let is_dead = self.truth.dead.contains(peer);
        let is_elsewhere = self
            .truth
            .places
            .get(peer)
            .is_some_and(|place| *place != at);
        let (peer, silent) = (peer.to_owned(), true);
        if is_dead || is_elsewhere {
            Some(Control::Silence { peer, silent })
        } else if self.truth.places.is_empty() || asleep {
            None
        } else {
            // Another peer may have been there by mistake.
            Some(Control::Wake(at))
        }
    }

    /// What is sent to the partner of a record is answered again. A peer that the server has at its
    /// address by mistake has another key, so it stays unanswered there.
    pub(crate) fn wake_partner<W: Watcher>(
        &mut self,
        peer: &str,
        number: u32,
        shared: &mut Shared<W>,
    ) {
        let at = self.partner_address(peer, number);
        let peers = self.server.machine.as_ref().map(Server::peers);
        let mut peers = peers.into_iter().flatten();
        if !peers.any(|view| view.addr == at && view.name != peer) {
            self.control(Control::Wake(at), shared);
        }
    }

    /// The name server answers in another way for the name of a peer.
    pub(crate) fn misname(&mut self, peer: &str, answers: &Naming, until: Instant) -> bool {
        let wrong = &mut self.helpers.names.wrong;
        wrong.insert(peer.to_owned(), (answers.clone(), until));
        // It counts as effective once a name was looked up.
        false
    }

    /// A new script helper knows of no lookups.
    pub(crate) fn forget_lookups(&mut self) {
        self.helpers.names.under_way = 0;
    }

    /// The script helper begins a lookup.
    pub(crate) fn look_up<W: Watcher>(&mut self, lookup: &Lookup, shared: &mut Shared<W>) {
        shared.summary.coverage.of("lookup").planned += 1;
        let names = &mut self.helpers.names;
        // A new core may find the lookups of the last one under way.
        if names.under_way >= 2 * LOOKUPS {
            return;
        }
        names.begun += 1;
        names.under_way += 1;
        let (found, time) = if names.under_way > LOOKUPS {
            let text = format!("{LOOKUPS} lookups are already under way");
            (Found::Failed(text), Duration::ZERO)
        } else {
            self.answer_for(&lookup.host, shared)
        };
        let number = lookup.number;
        let life = self.helpers.scripts.process.life;
        let step = Step::LookedUp(self.id, life, LookedUp { number, found });
        shared.after(time, step);
    }

    /// What the name server says of a name, and how long that takes.
    fn answer_for<W: Watcher>(&self, host: &str, shared: &mut Shared<W>) -> (Found, Duration) {
        let names = &self.helpers.names;
        let mut draw = shared.chances.of(What::Lookup, self.id, names.begun, 0);
        let time = Duration::from_millis(1 + draw.below(200));
        let failed = |text: &str| Found::Failed(text.to_owned());
        let known = named_peer(host).and_then(|peer| self.named(peer));
        let Some((record, Partner::Reflected(number))) = known.map(|it| (it, it.partner)) else {
            return (failed("Name or service not known"), time);
        };
        let present = self.partner_address(&record.peer, number);
        let wrong = names.wrong.get(&record.peer);
        let wrong = wrong.filter(|(_, until)| *until > shared.now);
        let Some((answers, _)) = wrong else {
            return (Found::Addresses(vec![present.ip()]), time);
        };
        shared.summary.coverage.of(answers.name()).effective += 1;
        match answers {
            Naming::Nothing => (failed("no answer within 10 s"), LOOKUP_LIMIT),
            Naming::Error => (failed("Name or service not known"), time),
            Naming::Late => {
                let late =
                    LOOKUP_LIMIT.saturating_sub(Duration::from_millis(1 + draw.below(4_000)));
                (Found::Addresses(vec![present.ip()]), late)
            }
            Naming::Flapping => {
                let next = moved(number, present);
                let all = [present, next, moved(number, next)].map(|it| it.ip());
                let [here, next, other] = all;
                let found = match names.begun % 4 {
                    0 => vec![next],
                    1 => vec![other, next],
                    2 => vec![next, here],
                    _ => vec![here],
                };
                (Found::Addresses(found), time)
            }
            Naming::OfAnother(peer) => {
                let address = self.address_of(peer, shared);
                (Found::Addresses(vec![address.ip()]), time)
            }
        }
    }

    /// A lookup of this life of the script helper has ended.
    pub(crate) fn looked_up<W: Watcher>(
        &mut self,
        life: u32,
        answer: LookedUp,
        shared: &mut Shared<W>,
    ) {
        let process = self.process(Part::Scripts);
        if !process.lives || process.life != life {
            return;
        }
        self.helpers.names.under_way -= 1;
        shared.summary.coverage.of("lookup").done += 1;
        let said = vec![FromScripts::LookedUp(answer)];
        self.tell_scripts(Input::Said(said), shared);
    }
}
