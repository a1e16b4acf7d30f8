// SPDX-License-Identifier: GPL-3.0-or-later
//! What each fault does to a host.

use std::sync::Arc;
use std::time::Duration;

use connect_ipc::control::Request;
use connect_ipc::event_filter::{EventFilter, EventKinds};
use connect_ipc::hello::{Hello, PROTOCOL, Role};
use connect_ipc::scripts::InterfaceScript;
use peerdb::{Database, Record};
use tripe_lab::server::{Control, Server};

use super::Host;
use super::clients::ClientStep;
use super::core::Arrival;
use super::observers::GoesOn;
use super::server::RESTART;
use crate::instant::{HostClock, Instant};
use crate::network::reflected;
use crate::plan::{
    DatabaseChange, Fault, Greeting, JournalLoss, Kept, Knock, Leaving, OTHER_SITE, OperatorAct,
    Part, Partner, PathChange, Way,
};
use crate::promise::Promise;
use crate::queue::Step;
use crate::seen::{Seen, Watcher};
use crate::world::shared::Shared;

impl Host {
    /// Does to this host what a fault says. Whether that changed something.
    pub(crate) fn suffer<W: Watcher>(
        &mut self,
        index: usize,
        fault: &Fault,
        shared: &mut Shared<W>,
    ) -> bool {
        // Nothing that a fault does lasts beyond the time in which everything settles.
        let left = shared.quiet_from.since(shared.now);
        let short = |time: &Duration| (*time).min(left);
        match fault {
            Fault::Kill { part, after, state } => self.kill(*part, *after, *state, shared),
            Fault::Stand { part, time } => self.stand(*part, shared.now + short(time), shared),
            Fault::Quit { how, again } => self.quit(*how, short(again), shared),
            Fault::Upgrade {} => {
                self.kill_helper(Part::Pinger, shared);
                self.kill_helper(Part::Scripts, shared);
                self.quit(Leaving::Signal, Duration::from_millis(200), shared)
            }
            Fault::CutAdmin { after, way } => self.cut_admin(*after, *way),
            Fault::CutHelper { part } => self.cut_helper(*part, shared),
            Fault::ServerRestart { with_peers, after } => {
                self.restart_server(*with_peers, short(after), shared)
            }
            Fault::ServerChunks { bytes, pause, time } => {
                shared.after(short(time), Step::Calm(index));
                let chunk = format!("chunk={bytes}");
                let pause = format!("pause={}", pause.as_millis());
                self.lab(&["WRITE", &chunk, &pause], shared)
            }
            Fault::Displace { version, time } => {
                let step = Step::Client(self.id, ClientStep::RivalLeaves);
                shared.after(short(time), step);
                self.displace(version, shared);
                // It counts as effective once the server has not refused it.
                false
            }
            Fault::Refuse {
                command,
                code,
                times,
                detach,
            } => {
                let times = times.to_string();
                let mut words = vec!["REFUSE", "-times", &times];
                words.extend(detach.then_some("-detach"));
                words.extend([command.as_str(), code.as_str()]);
                self.lab(&words, shared)
            }
            Fault::LateAnswers { time } => self.stall(shared.now + short(time), shared),
            Fault::CancelJob { after } => {
                self.clients.cancel_after = Some(*after);
                // It counts as effective once a job was there.
                false
            }
            Fault::VanishClient {} => self.vanish(shared),
            Fault::Database { change } => {
                if let DatabaseChange::Unwatched(_, time) = change {
                    shared.after(short(time), Step::Calm(index));
                }
                self.change_database(change, shared)
            }
            Fault::Journal { loss } => {
                self.kill_helper(Part::Scripts, shared);
                self.disk.lose_journal(*loss)
            }
            Fault::Suspend { time } => {
                let until = shared.now + short(time);
                let awake = self.power.sleep.is_none();
                if awake {
                    self.silence_partners(shared);
                    self.power.sleep = Some((shared.now, until));
                    shared.queue.push(until, Step::Awake(self.id));
                }
                awake
            }
            Fault::Reboot {} => self.reboot(shared),
            Fault::Path { to, change } => {
                let change = match change {
                    PathChange::Down { both, time } => PathChange::Down {
                        both: *both,
                        time: short(time),
                    },
                    other => *other,
                };
                shared.network.change(self.id, *to, change, shared.now)
            }
            Fault::Address {} => shared.network.move_host(self.id),
            Fault::Partner { peer, time } => self.die(index, peer, *time, shared),
            Fault::PartnerMoves { peer } => self.move_partner(peer, shared),
            Fault::Name {
                peer,
                answers,
                time,
            } => self.misname(peer, answers, shared.now + short(time)),
            Fault::Others { peer, act } => {
                self.others(peer, *act, shared);
                self.server.machine.is_some()
            }
            Fault::Command { words } => self.submit(words, shared),
            Fault::Knock { knock } => self.knock(knock, shared),
            Fault::Greeting { greeting } => self.greet(*greeting, shared),
            Fault::Operator { act } => self.operator(act, shared),
            Fault::SecondHelper { part, time } => {
                let until = shared.now + short(time);
                self.other_helper(*part, until, shared);
                // It counts as effective once core has refused it.
                false
            }
            Fault::NextProtocol { part, time } => self.supersede(*part, short(time), shared),
            Fault::WallClock { millis } => {
                self.core.wall = self.core.wall.saturating_add_signed(*millis);
                self.tell_core(Arrival::WallClock, shared);
                self.core.process.lives
            }
        }
    }

    fn kill<W: Watcher>(
        &mut self,
        part: Part,
        after: u32,
        state: Kept,
        shared: &mut Shared<W>,
    ) -> bool {
        let process = self.process(part);
        let lives = process.lives;
        if after > 0 {
            process.kill_after = Some(after).filter(|_| lives);
        }
        match part {
            Part::Server if after == 0 => {
                return self.restart_server(false, RESTART, shared);
            }
            Part::Server => {}
            Part::Core => {
                self.disk.kept = state;
                let is_found = self.disk.finds(state);
                if after == 0 {
                    self.kill_core(shared);
                }
                return lives && is_found;
            }
            Part::Pinger | Part::Scripts => {
                if after == 0 {
                    self.kill_helper(part, shared);
                }
            }
        }
        lives
    }

    fn stand<W: Watcher>(&mut self, part: Part, until: Instant, shared: &mut Shared<W>) -> bool {
        let process = self.process(part);
        if !process.lives || process.stands_until.is_some() {
            return false;
        }
        process.stands_until = Some(until);
        let life = process.life;
        self.truth.stands.insert(part, until);
        shared.queue.push(until, Step::Wake(self.id, part, life));
        shared.see(self.id, Seen::Stands(part, until));
        true
    }

    fn quit<W: Watcher>(&mut self, how: Leaving, again: Duration, shared: &mut Shared<W>) -> bool {
        if !self.core.process.lives {
            return false;
        }
        self.core.again = Some(again);
        match how {
            Leaving::Command => self.submit(&["quit".to_owned()], shared),
            Leaving::Signal => {
                self.tell_core(Arrival::Leave, shared);
                true
            }
        }
    }

    fn cut_admin(&mut self, after: u32, way: Way) -> bool {
        let client = self.core.client;
        let wire = client.and_then(|client| self.wires.open.get_mut(&client));
        wire.is_some_and(|wire| {
            wire.pipe(way).cut_after = Some(after);
            true
        })
    }

    fn restart_server<W: Watcher>(
        &mut self,
        with_peers: bool,
        after: Duration,
        shared: &mut Shared<W>,
    ) -> bool {
        let peers = self.server.machine.as_ref().map(Server::peers);
        let is_felt = peers
            .as_ref()
            .is_some_and(|it| !with_peers || !it.is_empty());
        self.end_server(shared);
        let after = after.max(Duration::from_millis(1));
        shared.after(after, Step::Start(self.id, Part::Server));
        for peer in peers.into_iter().flatten().filter(|_| with_peers) {
            let step = ClientStep::Administer(self.add_line(&peer.name, shared));
            let after = after + Duration::from_millis(30);
            shared.after(after, Step::Client(self.id, step));
        }
        is_felt
    }

    fn stall<W: Watcher>(&mut self, until: Instant, shared: &mut Shared<W>) -> bool {
        let Some(client) = self.core.client else {
            return false;
        };
        let Some(wire) = self.wires.open.get_mut(&client) else {
            return false;
        };
        wire.to_client.stalled_until = until;
        let step = Step::Bytes(self.id, client, Way::ToClient);
        shared.queue.push(until, step);
        true
    }

    pub(crate) fn change_database<W: Watcher>(
        &mut self,
        change: &DatabaseChange,
        shared: &mut Shared<W>,
    ) -> bool {
        let base = match &self.disk.file {
            Ok(database) => Arc::clone(database),
            Err(_) => Arc::clone(&self.disk.site),
        };
        let next = match change {
            DatabaseChange::Broken => Err("its hash table is damaged".to_owned()),
            DatabaseChange::Missing => Err("no such file".to_owned()),
            DatabaseChange::Back => Ok(Arc::clone(&self.disk.site)),
            DatabaseChange::OfOtherSite => Ok(Arc::new(of_other_site())),
            _ => Ok(Arc::new(changed(&base, change))),
        };
        let is_other = match (&self.disk.file, &next) {
            (Ok(before), Ok(after)) => !is_same(before, after),
            (Err(before), Err(after)) => before != after,
            _ => true,
        };
        self.put_database(next, shared);
        is_other
    }

    /// The database's file is another one; core sees it at the next full second.
    pub(crate) fn put_database<W: Watcher>(
        &mut self,
        file: Result<Arc<Database>, String>,
        shared: &mut Shared<W>,
    ) {
        self.truth.file = file.as_ref().ok().cloned();
        self.disk.file = file;
        let shown = self.clock(shared).0;
        let second = 1_000_000_000;
        let wait = Duration::from_nanos(second - shown % second);
        let step = Step::Look(self.id, self.core.process.life);
        shared.after(wait, step);
    }

    fn reboot<W: Watcher>(&mut self, shared: &mut Shared<W>) -> bool {
        let lived = Part::ALL
            .map(|part| self.process(part).lives)
            .contains(&true);
        for part in [Part::Pinger, Part::Scripts] {
            self.kill_helper(part, shared);
        }
        self.kill_core(shared);
        self.end_server(shared);
        self.helpers.children.clear();
        self.truth.children.clear();
        self.disk.lose_journal(JournalLoss::Removed);
        self.server.runs_of_boot = 0;
        self.power.sleep = None;
        self.power.clock = HostClock::booted(shared.now);
        self.truth.boots += 1;
        self.boot(shared);
        lived
    }

    fn die<W: Watcher>(
        &mut self,
        index: usize,
        peer: &str,
        time: Duration,
        shared: &mut Shared<W>,
    ) -> bool {
        let mut records = self.site.records.iter();
        let is_reflected =
            records.any(|it| it.peer == peer && matches!(it.partner, Partner::Reflected(_)));
        if !is_reflected || !self.truth.dead.insert(peer.to_owned()) {
            return false;
        }
        shared.after(time, Step::Calm(index));
        let peer = peer.to_owned();
        let silent = true;
        self.control(Control::Silence { peer, silent }, shared)
    }

    /// The host falls asleep: what living partners answer is lost until it is awake.
    fn silence_partners<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let present: Vec<String> = self.truth.present.iter().cloned().collect();
        for (peer, number) in self.living_partners() {
            // Where another site has it, nobody would wake it.
            let at = self.address_at_server(&peer);
            if present.contains(&peer) && at == Some(self.partner_address(&peer, number)) {
                let silent = true;
                self.control(Control::Silence { peer, silent }, shared);
            }
        }
    }

    /// The host is awake: what living partners answer arrives again.
    pub(crate) fn wake_partners<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        for (peer, number) in self.living_partners() {
            self.wake_partner(&peer, number, shared);
        }
    }

    fn living_partners(&self) -> Vec<(String, u32)> {
        let records = self.site.records.iter();
        let living = records.filter_map(|it| match it.partner {
            Partner::Reflected(number) => Some((it.peer.clone(), number)),
            Partner::Host(_) => None,
        });
        let living = living.filter(|(peer, _)| !self.truth.dead.contains(peer));
        living.collect()
    }

    fn knock<W: Watcher>(&mut self, knock: &Knock, shared: &mut Shared<W>) -> bool {
        let (name, peer) = match knock {
            Knock::Known(peer) => (peer.clone(), peer.as_str()),
            Knock::WrongKey(peer) => (format!("{peer}.wrong"), peer.as_str()),
            Knock::Unknown => ("stranger".to_owned(), "stranger"),
        };
        let records = &self.site.records;
        let record = records.iter().find(|record| record.peer == peer);
        let from = match record.map(|record| record.partner) {
            Some(Partner::Host(host)) => shared.network.address(host),
            Some(Partner::Reflected(number)) => self.partner_address(peer, number),
            None => reflected(9_998),
        };
        self.control(Control::Knock { name, from }, shared)
    }

    /// A greeting comes in: that of the partner for which a challenge was told last, or one with a
    /// challenge that no server has made. Whether the first is in time, nobody knows beforehand, so
    /// it counts as what it turns out to be.
    fn greet<W: Watcher>(&mut self, greeting: Greeting, shared: &mut Shared<W>) -> bool {
        if greeting == Greeting::Stale {
            let from = reflected(9_997).to_string();
            return self.lab(&["GREETING", "Dw4NDAsKCQgHBgUEAwIBAA==", &from], shared);
        }
        let Some(told) = self.clients.told.take() else {
            return false;
        };
        let from = self.address_of(&told.peer, shared).to_string();
        let came = if self.is_awaited(&told) {
            Greeting::Live
        } else {
            Greeting::Late
        };
        // A server that was started since does not know the challenge.
        let is_known = told.run == self.server.runs;
        if self.lab(&["GREETING", &told.challenge, &from], shared) && is_known {
            let coverage = &mut shared.summary.coverage;
            coverage.took_effect("greeting", Some(came.name()), 1);
        }
        false
    }

    fn operator<W: Watcher>(&mut self, act: &OperatorAct, shared: &mut Shared<W>) -> bool {
        // Everything, so that no number may be missing.
        let events = || {
            Request::Events(EventFilter {
                kinds: EventKinds::ALL,
                ..EventFilter::default()
            })
        };
        let (request, goes_on) = match act {
            OperatorAct::Status => (Request::Status {}, GoesOn::Leaves),
            OperatorAct::Events(time) => {
                let (time, reads) = (*time, true);
                (events(), GoesOn::Stays { time, reads })
            }
            OperatorAct::EventsUnread(time) => {
                let (time, reads) = (*time, false);
                (events(), GoesOn::Stays { time, reads })
            }
            OperatorAct::Flood(count) => {
                let time = Duration::from_millis(50);
                for _ in 1..*count {
                    self.ask_core(Request::Status {}, GoesOn::Asks(time), shared);
                }
                (Request::Status {}, GoesOn::Asks(time))
            }
            OperatorAct::Changes => (Request::Changes {}, GoesOn::Leaves),
            OperatorAct::Apply => (Request::ApplyChanges {}, GoesOn::Leaves),
            OperatorAct::RunScript { peer, up } => {
                let peer = peer.clone();
                let script = if *up {
                    InterfaceScript::Ifup
                } else {
                    InterfaceScript::Ifdown
                };
                (Request::RunScript { peer, script }, GoesOn::Leaves)
            }
            OperatorAct::Records => {
                let after = String::new();
                (Request::Records { after }, GoesOn::Leaves)
            }
            OperatorAct::Reload => (Request::Reload {}, GoesOn::Leaves),
            OperatorAct::Leaves => (Request::Status {}, GoesOn::LeavesAtOnce),
        };
        self.ask_core(request, goes_on, shared)
    }

    /// A helper of the next protocol version is installed for a time, whom core does not admit.
    fn supersede<W: Watcher>(
        &mut self,
        part: Part,
        time: Duration,
        shared: &mut Shared<W>,
    ) -> bool {
        let role = if part == Part::Pinger {
            Role::Pinger
        } else {
            Role::Ifscripts
        };
        let mut hello = Hello::new(role);
        hello.protocol = PROTOCOL + 1;
        if hello.check(&[Role::Pinger, Role::Ifscripts]).is_ok() {
            let text = "a helper of the next protocol version is admitted".to_owned();
            shared.fail(Promise::Lines, self.id, text);
        }
        let lived = self.process(part).lives;
        self.process(part).held_until = Some(shared.now + time);
        self.kill_helper(part, shared);
        lived
    }
}

/// The database of a site with other peers.
fn of_other_site() -> Database {
    let records = OTHER_SITE.iter();
    let records = records.map(|(peer, pairs)| Record::new(peer, pairs.iter().copied()));
    Database::from_parts(records, [], [])
}

/// Whether two databases say the same of all peers and users.
fn is_same(one: &Database, other: &Database) -> bool {
    one.peers().eq(other.peers()) && one.users().eq(other.users()) && one.auto() == other.auto()
}

/// A database with a record changed.
fn changed(base: &Database, change: &DatabaseChange) -> Database {
    let mut records: Vec<Record> = base.peers().cloned().collect();
    match change {
        DatabaseChange::Record { peer, key, value } => {
            set_key(&mut records, peer, key, value.as_deref());
        }
        DatabaseChange::Unwatched(peer, _) => set_key(&mut records, peer, "watch", None),
        DatabaseChange::Removed(peer) => records.retain(|record| record.name() != peer),
        DatabaseChange::New(peer) => {
            let address = reflected(9_000);
            let address = format!("INET {} {}", address.ip(), address.port());
            let all = [
                ("peer", address.as_str()),
                ("watch", "t"),
                ("ifup", "up-it"),
            ];
            records.retain(|record| record.name() != peer);
            records.push(Record::new(peer, all));
        }
        DatabaseChange::Broken
        | DatabaseChange::Missing
        | DatabaseChange::Back
        | DatabaseChange::OfOtherSite => {}
    }
    let users = base
        .users()
        .map(|(user, peer)| (user.to_owned(), peer.to_owned()));
    let users: Vec<(String, String)> = users.collect();
    Database::from_parts(records, users, base.auto().to_vec())
}

/// Gives a key of a peer's record another value, or takes it out.
fn set_key(records: &mut [Record], peer: &str, key: &str, value: Option<&str>) {
    for record in records.iter_mut().filter(|record| record.name() == peer) {
        let others = record.iter().filter(|(known, _)| *known != key);
        let others = others.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut all: Vec<(String, String)> = others.collect();
        all.extend(value.map(|value| (key.to_owned(), value.to_owned())));
        *record = Record::new(peer, all);
    }
}
