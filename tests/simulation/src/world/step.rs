// SPDX-License-Identifier: GPL-3.0-or-later
//! What each step of the world does. A host that sleeps, and a process that is suspended, has its
//! steps put off until it goes on.

use crate::host::Host;
use crate::host::core::Arrival;
use crate::instant::Instant;
use crate::plan::{HostId, Part, Way};
use crate::queue::Step;
use crate::seen::{Seen, Watcher, Who};

use super::World;

impl Step {
    /// The host that it is about, and the process that it needs there.
    const fn place(&self) -> Option<(HostId, Option<Part>)> {
        match self {
            Step::Bytes(host, _, Way::ToServer) => Some((*host, Some(Part::Server))),
            Step::Message(host, ..)
            | Step::Bytes(host, ..)
            | Step::Written(host, _)
            | Step::Look(host, _)
            | Step::Child(host, ..)
            | Step::Client(host, _)
            | Step::Start(host, _)
            | Step::Connect(host, _) => Some((*host, None)),
            Step::Wake(host, part, _) | Step::Reach(host, part, _) => Some((*host, Some(*part))),
            Step::LookedUp(host, ..) => Some((*host, Some(Part::Scripts))),
            Step::Datagram(host, ..) => Some((*host, Some(Part::Server))),
            Step::Fault(_)
            | Step::Impatient(_)
            | Step::Calm(_)
            | Step::Awake(_)
            | Step::Minute(_) => None,
        }
    }
}

impl<W: Watcher> World<W> {
    /// Carries out a step.
    pub(super) fn step(&mut self, step: Step) {
        if let Some((id, part)) = step.place() {
            // A process whose own suspension ends at the same instant must not read the clock as
            // if the host had not slept: it would go backwards.
            self.awake(id);
            let Some(host) = self.hosts.get_mut(usize::from(id.0)) else {
                return;
            };
            let needs = match &step {
                Step::Message(_, connection, message) if !message.is_to_core() => {
                    let link = host.links.open.get(connection);
                    link.filter(|link| !link.is_other).map(|link| link.part)
                }
                _ => part,
            };
            if let Some(until) = put_off(host, needs, self.shared.now) {
                // A datagram finds nobody who reads it.
                let is_lost = matches!(step, Step::Datagram(..));
                if !is_lost {
                    self.shared.queue.push(until, step);
                }
                return;
            }
        }
        self.carry_out_step(step);
    }

    fn carry_out_step(&mut self, step: Step) {
        let shared = &mut self.shared;
        let hosts = &mut self.hosts;
        match step {
            Step::Wake(id, part, life) => {
                if let Some(host) = host(hosts, id) {
                    host.wake(part, life, shared);
                }
            }
            Step::Bytes(id, client, way) => {
                if let Some(host) = host(hosts, id) {
                    host.bytes(client, way, shared);
                }
            }
            Step::Datagram(id, from, bytes) => {
                if let Some(host) = host(hosts, id) {
                    host.datagram(from, &bytes, shared);
                }
            }
            Step::Message(id, connection, message) => {
                if let Some(host) = host(hosts, id) {
                    host.message(connection, *message, shared);
                }
            }
            Step::Reach(id, part, life) => {
                if let Some(host) = host(hosts, id) {
                    host.reach(part, life, shared);
                }
            }
            Step::Connect(id, life) => {
                if let Some(host) = host(hosts, id) {
                    host.connect_core(life, shared);
                    host.core_wakes(shared);
                }
            }
            Step::Written(id, life) => {
                if let Some(host) = host(hosts, id) {
                    host.state_written(life);
                }
            }
            Step::Look(id, life) => {
                if let Some(host) = host(hosts, id) {
                    host.database_read(life, shared);
                }
            }
            Step::Child(id, run, step) => {
                if let Some(host) = host(hosts, id) {
                    host.child_step(run, step, shared);
                }
            }
            Step::LookedUp(id, life, answer) => {
                if let Some(host) = host(hosts, id) {
                    host.looked_up(life, answer, shared);
                }
            }
            Step::Client(id, step) => {
                if let Some(host) = host(hosts, id) {
                    host.client_step(step, shared);
                }
            }
            Step::Start(id, part) => {
                if let Some(host) = host(hosts, id) {
                    host.start(part, shared);
                }
            }
            Step::Fault(index) => self.fault(index),
            Step::Impatient(index) => {
                if shared.aims.give_up(index) {
                    self.fault(index);
                }
            }
            Step::Calm(index) => self.calm(index),
            Step::Awake(id) => self.awake(id),
            Step::Minute(number) => self.minute(number),
        }
    }

    /// A minute has passed.
    fn minute(&mut self, number: u64) {
        let minute = std::time::Duration::from_secs(60);
        self.shared.after(minute, Step::Minute(number + 1));
        for host in &mut self.hosts {
            if host.power.sleep.is_none() {
                host.partners_knock(&mut self.shared);
            }
        }
        for host in &self.hosts {
            let view = host.view(&self.shared);
            let (at, watcher) = (self.shared.now, &mut self.shared.watcher);
            let mut seen = watcher.see(at, host.id, Seen::Minute(view));
            if number.is_multiple_of(24 * 60) {
                self.shared.growth.day(host.id, &view);
            }
            if number.is_multiple_of(60) {
                seen = seen.and_then(|()| watcher.see(at, host.id, Seen::Hour(view)));
            }
            if let Err(broken) = seen {
                self.shared.broken.get_or_insert(broken);
            }
        }
    }

    /// Wakes a host up, if it is time.
    fn awake(&mut self, id: HostId) {
        let shared = &mut self.shared;
        let Some(host) = host(&mut self.hosts, id) else {
            return;
        };
        // A host that was booted meanwhile is awake.
        let now = shared.now;
        let Some((since, until)) = host.power.sleep.take_if(|(_, until)| *until <= now) else {
            return;
        };
        let slept = until.since(since);
        host.power.clock.slept(slept);
        shared.see(id, Seen::Slept(slept));
        let seconds = slept.as_secs();
        if seconds >= 1 {
            host.tell_core(Arrival::Slept(seconds), shared);
        }
        // What came meanwhile is lost.
        host.server_wakes(shared);
        host.wake_partners(shared);
    }
}

fn host(hosts: &mut [Host], id: HostId) -> Option<&mut Host> {
    hosts.get_mut(usize::from(id.0))
}

/// Until when a step has to wait.
fn put_off(host: &mut Host, part: Option<Part>, now: Instant) -> Option<Instant> {
    let asleep = host.power.sleep.map(|(_, until)| until);
    let stands = part.and_then(|part| host.process(part).stands_until);
    asleep.max(stands).filter(|until| *until > now)
}

impl Host {
    /// A process goes on by itself.
    fn wake<W: Watcher>(&mut self, part: Part, life: u32, shared: &mut super::shared::Shared<W>) {
        let process = self.process(part);
        if !process.lives || process.life != life {
            return;
        }
        let goes_on = process
            .stands_until
            .is_some_and(|until| until <= shared.now);
        if goes_on {
            process.stands_until = None;
        } else if process.wake.is_none_or(|at| at > shared.now) {
            return;
        }
        match part {
            Part::Server => self.server_wakes(shared),
            Part::Core => self.core_wakes(shared),
            Part::Pinger => self.pinger_wakes(shared),
            Part::Scripts => self.scripts_wake(shared),
        }
    }

    /// Bytes may have arrived on an admin connection.
    fn bytes<W: Watcher>(
        &mut self,
        client: tripe_lab::server::ClientId,
        way: Way,
        shared: &mut super::shared::Shared<W>,
    ) {
        if way == Way::ToServer {
            return self.server_reads(client, shared);
        }
        let Some(wire) = self.wires.open.get(&client) else {
            return;
        };
        if matches!(wire.who, Who::Core(_)) {
            self.core_reads(client, shared);
        } else {
            self.client_reads(client, shared);
        }
    }
}
