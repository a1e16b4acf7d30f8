// SPDX-License-Identifier: GPL-3.0-or-later
//! The network between hosts: addresses, translations of addresses, and what happens to datagrams.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tripe_lab::config::DEFAULT_PORT;
use tripe_lab::rng::Rng;

use crate::chance::{Chances, What};
use crate::instant::Instant;
use crate::plan::{HostId, PathChange, Plan};

/// How long a datagram takes where nothing else is said.
const DELAY: Duration = Duration::from_millis(10);

/// How much later a datagram is that is overtaken.
const OVERTAKEN: Duration = Duration::from_millis(40);

/// The way from one host to another.
#[derive(Clone, Debug)]
struct Path {
    up_from: Instant,
    delay: Duration,
    loss: u32,
    duplicate: u32,
    reorder: u32,
    sent: u64,
    /// The changes that no datagram has felt yet.
    unfelt: Vec<PathChange>,
}

impl Default for Path {
    fn default() -> Self {
        Path {
            up_from: Instant(0),
            delay: DELAY,
            loss: 0,
            duplicate: 0,
            reorder: 0,
            sent: 0,
            unfelt: Vec::new(),
        }
    }
}

impl Path {
    /// Something happened to a datagram, for which these changes may be the reason. Gives those of
    /// them of which it is the first effect.
    fn feel(&mut self, is_reason: impl Fn(&PathChange) -> bool) -> Vec<PathChange> {
        self.unfelt.extract_if(.., |it| is_reason(it)).collect()
    }

    /// Whether datagrams pass as if nothing had happened to it.
    fn is_well(&self, now: Instant) -> bool {
        let is_sure = self.loss == 0 && self.duplicate == 0 && self.reorder == 0;
        is_sure && self.delay == DELAY && self.up_from <= now
    }

    /// As if nothing had ever happened to it.
    fn heal(&mut self) {
        *self = Path {
            sent: self.sent,
            ..Path::default()
        };
    }
}

/// A host as others see it.
#[derive(Clone, Copy, Debug)]
struct Place {
    inner: SocketAddr,
    outer: SocketAddr,
}

/// All hosts and the ways between them.
#[derive(Debug)]
pub(crate) struct Network {
    places: Vec<Place>,
    /// By sender and receiver.
    paths: Vec<Vec<Path>>,
    /// The changes of ways that have had an effect, which nobody has counted yet.
    pub(crate) felt: Vec<PathChange>,
}

/// The address of a host's server.
pub(crate) fn inner(host: HostId) -> SocketAddr {
    (
        Ipv4Addr::new(10, 0, 0, host.0.saturating_add(1)),
        DEFAULT_PORT,
    )
        .into()
}

/// The address of a host that has a translation, as its first one.
pub(crate) fn outer(host: HostId, port: u16) -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, host.0.saturating_add(1)), port).into()
}

/// The address of a reflected partner.
pub(crate) fn reflected(number: u32) -> SocketAddr {
    let base = u32::from(Ipv4Addr::new(198, 18, 0, 1));
    (Ipv4Addr::from(base.saturating_add(number)), DEFAULT_PORT).into()
}

/// Where a reflected partner is that moves from there: at four addresses in turn.
pub(crate) fn moved(number: u32, from: SocketAddr) -> SocketAddr {
    let numbers = (0..PLACES).map(|turn| number.saturating_add(turn * BETWEEN));
    let mut places = numbers.map(reflected).cycle().take(2 * PLACES as usize);
    places.find(|place| *place == from);
    places.next().unwrap_or_else(|| reflected(number))
}

/// At how many addresses a partner that moves may be.
const PLACES: u32 = 4;

/// How far these are apart, so that no two partners have one in common.
const BETWEEN: u32 = 20_000;

impl Network {
    /// That of a plan.
    pub(crate) fn new(plan: &Plan) -> Self {
        let hosts = plan.site.hosts.iter().zip(0u8..);
        let places: Vec<Place> = hosts
            .map(|(site, number)| {
                let host = HostId(number);
                let inner = inner(host);
                let outer = site.nat.map_or(inner, |nat| outer(host, nat.first_port));
                Place { inner, outer }
            })
            .collect();
        Network {
            paths: vec![vec![Path::default(); places.len()]; places.len()],
            places,
            felt: Vec::new(),
        }
    }

    /// When and from where each copy of a datagram arrives, and at which host.
    pub(crate) fn send(
        &mut self,
        from: HostId,
        to: SocketAddr,
        now: Instant,
        chances: Chances,
    ) -> Option<(HostId, SocketAddr, [Option<Instant>; 2])> {
        let index = self.places.iter().position(|place| place.outer == to)?;
        let sender = self.places.get(usize::from(from.0))?.outer;
        let path = self.paths.get_mut(usize::from(from.0))?.get_mut(index)?;
        path.sent += 1;
        let host = HostId(u8::try_from(index).unwrap_or(u8::MAX));
        if now < path.up_from {
            let felt = path.feel(|it| matches!(it, PathChange::Down { .. }));
            self.felt.extend(felt);
            return Some((host, sender, [None, None]));
        }
        let mut draw = chances.of(What::Datagram, from, u64::from(host.0), path.sent);
        if percent(&mut draw, path.loss) {
            let felt = path.feel(|it| matches!(it, PathChange::Loss(_)));
            self.felt.extend(felt);
            return Some((host, sender, [None, None]));
        }
        let mut is_late = false;
        let mut arrival = || {
            let is_overtaken = percent(&mut draw, path.reorder);
            is_late |= is_overtaken;
            let late = if is_overtaken {
                OVERTAKEN
            } else {
                Duration::ZERO
            };
            now + path.delay + Duration::from_micros(draw.below(500)) + late
        };
        let first = arrival();
        let second = arrival();
        let twice = percent(&mut draw, path.duplicate);
        let felt = path.feel(|it| match it {
            PathChange::Delay(_) => true,
            PathChange::Reorder(_) => is_late,
            PathChange::Duplicate(_) => twice,
            _ => false,
        });
        self.felt.extend(felt);
        Some((host, sender, [Some(first), twice.then_some(second)]))
    }

    /// Changes the way from one host to another. The other changes have an effect once a datagram
    /// feels them; healing has one if there was something to heal, and gives that.
    pub(crate) fn change(
        &mut self,
        from: HostId,
        to: HostId,
        change: PathChange,
        now: Instant,
    ) -> bool {
        if let PathChange::Down { both: true, time } = change
            && let Some(path) = self.path(to, from)
        {
            path.up_from = now + time;
        }
        let Some(path) = self.path(from, to) else {
            return false;
        };
        if change != PathChange::Heal {
            path.unfelt.push(change);
        }
        match change {
            PathChange::Loss(percent) => path.loss = percent,
            PathChange::Duplicate(percent) => path.duplicate = percent,
            PathChange::Delay(delay) => path.delay = delay,
            PathChange::Reorder(percent) => path.reorder = percent,
            PathChange::Down { time, .. } => path.up_from = now + time,
            PathChange::Heal => {
                let was_well = path.is_well(now);
                path.heal();
                return !was_well;
            }
        }
        false
    }

    fn path(&mut self, from: HostId, to: HostId) -> Option<&mut Path> {
        let paths = self.paths.get_mut(usize::from(from.0))?;
        paths.get_mut(usize::from(to.0))
    }

    /// Heals all ways.
    pub(crate) fn heal(&mut self) {
        self.paths.iter_mut().flatten().for_each(Path::heal);
    }

    /// Gives a host with a translation the next outer address. Whether it has one.
    pub(crate) fn move_host(&mut self, host: HostId) -> bool {
        let Some(place) = self.places.get_mut(usize::from(host.0)) else {
            return false;
        };
        let is_translated = place.inner != place.outer;
        if is_translated {
            place.outer.set_port(place.outer.port().wrapping_add(1));
        }
        is_translated
    }

    /// The address at which a host is reached now.
    pub(crate) fn address(&self, host: HostId) -> SocketAddr {
        let place = self.places.get(usize::from(host.0));
        place.map_or_else(|| inner(host), |place| place.outer)
    }
}

fn percent(draw: &mut Rng, percent: u32) -> bool {
    percent > 0 && draw.below(100) < u64::from(percent)
}
