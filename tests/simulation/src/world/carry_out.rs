// SPDX-License-Identifier: GPL-3.0-or-later
//! When faults come, what ends them, and the time in which everything settles.

use std::time::Duration;

use tripe_lab::server::Control;

use crate::host::Host;
use crate::plan::{DatabaseChange, Fault, HostId, Part, Partner, When};
use crate::promises::ask;
use crate::queue::Step;
use crate::seen::{Seen, Watcher};

use super::World;
use super::shared::Shared;

/// The number of the step with which everything begins to settle.
pub(super) const QUIET: usize = usize::MAX;

/// The number of the step in which an operator adds what was killed.
const REPAIR: usize = usize::MAX - 1;

/// The number of the step in which an operator adds what other hosts have ended since then.
const REPAIR_AGAIN: usize = usize::MAX - 2;

/// How long an aimed fault waits for its instant.
const PATIENCE: Duration = Duration::from_secs(600);

/// When an operator looks what is missing, after everything has calmed down, and after that once
/// more.
const REPAIR_AFTER: Duration = Duration::from_secs(900);

impl<W: Watcher> World<W> {
    /// A fault is due, or the instant has come that it waited for.
    pub(super) fn fault(&mut self, index: usize) {
        let Some(timed) = self.plan.faults.get(index).cloned() else {
            return;
        };
        let shared = &mut self.shared;
        let (name, detail) = (timed.fault.name(), timed.fault.detail());
        let names = [Some(name), detail].into_iter().flatten();
        if self.begun.insert(index) {
            for name in names.clone() {
                shared.summary.coverage.of(name).planned += 1;
            }
            if timed.when != When::Now {
                let peer = timed.fault.peer();
                shared.aims.add(index, timed.host, timed.when, peer);
                return shared.after(PATIENCE, Step::Impatient(index));
            }
        }
        if shared.now >= shared.quiet_from {
            return;
        }
        let Some(host) = self.hosts.get_mut(usize::from(timed.host.0)) else {
            return;
        };
        shared.see(timed.host, Seen::Fault(&timed.fault));
        for state in host.in_progress(shared) {
            shared.summary.coverage.of(&format!("{name} {state}")).done += 1;
        }
        let effective = host.suffer(index, &timed.fault, shared);
        let coverage = &mut shared.summary.coverage;
        for name in names {
            coverage.of(name).done += 1;
        }
        coverage.took_effect(name, detail, effective.into());
    }

    /// What a fault has done is over.
    pub(super) fn calm(&mut self, index: usize) {
        if index == QUIET {
            return self.quiet();
        }
        if index == REPAIR {
            for host in &mut self.hosts {
                host.repair(&mut self.shared);
            }
            self.shared.after(REPAIR_AFTER, Step::Calm(REPAIR_AGAIN));
            return;
        }
        if index == REPAIR_AGAIN {
            for host in &mut self.hosts {
                host.repair_again(&mut self.shared);
            }
            return;
        }
        // Whoever is dead when everything settles stays so.
        if self.shared.now >= self.shared.quiet_from {
            return;
        }
        if let Some(timed) = self.plan.faults.get(index)
            && let Some(host) = self.hosts.get_mut(usize::from(timed.host.0))
        {
            match &timed.fault {
                Fault::ServerChunks { .. } => {
                    host.write_whole_lines(&mut self.shared);
                }
                Fault::Database {
                    change: DatabaseChange::Unwatched(peer, _),
                } => {
                    let change = DatabaseChange::Record {
                        peer: peer.clone(),
                        key: "watch".to_owned(),
                        value: Some("t".to_owned()),
                    };
                    host.change_database(&change, &mut self.shared);
                    let seen = Fault::Database { change };
                    self.shared.see(timed.host, Seen::Fault(&seen));
                }
                Fault::Partner { peer, .. } => {
                    host.truth.dead.remove(peer);
                    let mut records = host.site.records.iter();
                    let record = records.find(|record| record.peer == *peer);
                    if let Some(Partner::Reflected(number)) = record.map(|it| it.partner) {
                        host.wake_partner(peer, number, &mut self.shared);
                    }
                }
                _ => {}
            }
        }
    }

    /// From now on everything settles.
    fn quiet(&mut self) {
        let shared = &mut self.shared;
        shared.network.heal();
        for host in &mut self.hosts {
            host.heal_server(shared);
            for part in Part::ALL {
                host.process(part).kill_after = None;
            }
            if let Some(client) = host.core.client
                && let Some(wire) = host.wires.open.get_mut(&client)
            {
                wire.to_server.cut_after = None;
                wire.to_client.cut_after = None;
            }
            host.clients.cancel_after = None;
            host.put_database(Ok(host.disk.site.clone()), shared);
            host.all_read(shared);
        }
        shared.after(REPAIR_AFTER, Step::Calm(REPAIR));
    }
}

impl Host {
    /// What is in progress, for the coverage.
    fn in_progress<W>(&self, shared: &Shared<W>) -> Vec<&'static str> {
        let mut states = Vec::new();
        let link = self.core.machine.as_ref().map(|machine| machine.link());
        match link {
            None => states.push("while there is no core"),
            Some(connect_ipc::control::ServerLink::Up) => {}
            Some(_) => states.push("while core is not joined"),
        }
        if !self.truth.children.is_empty() {
            states.push("while a script runs");
        }
        if self.disk.journal.runs().next().is_some() {
            states.push("while a run is not settled");
        }
        if self.truth.stands.values().any(|until| *until > shared.now) {
            states.push("while a process is suspended");
        }
        if !self.truth.dead.is_empty() {
            states.push("while a partner is dead");
        }
        states
    }

    /// An operator adds the peers that should be there, unless core says when it will.
    fn repair<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let records = self.site.records.iter();
        let missing: Vec<String> = records
            .filter(|it| !it.is_passive())
            .filter(|it| !self.truth.present.contains(&it.peer))
            .map(|it| it.peer.clone())
            .collect();
        self.truth.left.clear();
        self.add_missing(missing, shared);
    }

    /// An operator adds the other hosts that have ended their connection since the first time: one
    /// that is greeted twice has its peer removed and added again, and if the record of that peer
    /// has `mobile` or `knock`, the other server removes it.
    fn repair_again<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let records = self.site.records.iter();
        let left: Vec<String> = records
            .filter(|it| !it.is_passive() && matches!(it.partner, Partner::Host(_)))
            .filter(|it| self.truth.left.contains(&it.peer))
            .map(|it| it.peer.clone())
            .collect();
        self.add_missing(left, shared);
    }

    fn add_missing<W: Watcher>(&mut self, mut missing: Vec<String>, shared: &mut Shared<W>) {
        missing.retain(|peer| !self.comes_back(peer, shared));
        for peer in missing {
            self.submit(&["active".to_owned(), peer], shared);
        }
    }

    /// Whether core says when it will add a peer again.
    fn comes_back<W>(&self, peer: &str, shared: &Shared<W>) -> bool {
        let core = self.core.machine.as_ref();
        let detail = core.and_then(|core| ask::peer(core, self.clock(shared), peer));
        let status = detail.and_then(|detail| detail.status);
        status.is_some_and(|status| status.connection.next_add_ms.is_some())
    }

    /// The partners of passive peers that are not there knock.
    pub(super) fn partners_knock<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let records = self.site.records.iter();
        let missing: Vec<(String, u32)> = records
            .filter(|it| it.is_passive())
            .filter(|it| !self.truth.present.contains(&it.peer))
            .filter(|it| !self.truth.dead.contains(&it.peer))
            .filter_map(|it| match it.partner {
                Partner::Reflected(number) => Some((it.peer.clone(), number)),
                Partner::Host(HostId(_)) => None,
            })
            .collect();
        for (name, number) in missing {
            let from = crate::network::reflected(number);
            self.control(Control::Knock { name, from }, shared);
        }
    }
}
