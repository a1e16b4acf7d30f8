// SPDX-License-Identifier: GPL-3.0-or-later
//! Who gets a place on a socket: each user some, and trusted users always.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::endpoints::access::Owner;
use crate::machine::ConnectionId;

/// How many places a socket has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allotment {
    /// In all.
    pub(super) all: usize,
    /// For users who are not trusted.
    pub(super) others: usize,
    /// For one of these.
    pub(super) each: usize,
}

/// What to do with a new connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It gets a free place.
    Admit,
    /// It gets the place of the connection named here, which is to be closed.
    Displace(ConnectionId),
    /// There is no place for it.
    Refuse(NoPlace),
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoPlace {
    /// The user has as many connections as one user may have.
    User(usize),
    /// All places are taken, and no other user has many more than the user of the new connection.
    Socket(usize),
    /// Another user, who had fewer connections, got the place.
    Displaced,
    /// The user connects too often.
    TooSoon,
}

/// The sentence for the client that has no place.
impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoPlace::User(most) => write!(
                f,
                "this user has {most} connections to this socket, which is the limit for one \
                 user; close some"
            ),
            NoPlace::Socket(most) => write!(
                f,
                "{most} connections to this socket are in use, which is the limit; try again \
                 later"
            ),
            NoPlace::TooSoon => f.write_str(
                "this user connects to this socket too often; send several requests over one \
                 connection",
            ),
            NoPlace::Displaced => f.write_str(
                "all connections to this socket are in use, and this user has most of them; \
                 closing this one for another user",
            ),
        }
    }
}

/// The places of one socket.
#[derive(Debug)]
pub(super) struct Places {
    allotment: Allotment,
    trusted: BTreeSet<ConnectionId>,
    others: BTreeMap<Option<u32>, BTreeSet<ConnectionId>>,
    refused: u64,
}

impl Places {
    /// None is taken.
    pub(super) const fn new(allotment: Allotment) -> Self {
        Places {
            allotment,
            trusted: BTreeSet::new(),
            others: BTreeMap::new(),
            refused: 0,
        }
    }

    /// A new connection. Unless it is refused, it has a place from now on, and one that is
    /// displaced has none.
    pub(super) fn ask(&mut self, connection: ConnectionId, owner: Owner) -> Verdict {
        let verdict = match owner {
            Owner::Trusted => self.place_of_trusted(),
            Owner::Other(user) => self.place_of_other(user),
        };
        match verdict {
            Verdict::Refuse(_) => {
                self.refuse();
                return verdict;
            }
            Verdict::Displace(displaced) => self.leave(displaced),
            Verdict::Admit => {}
        }
        match owner {
            Owner::Trusted => self.trusted.insert(connection),
            Owner::Other(user) => self.others.entry(user).or_default().insert(connection),
        };
        verdict
    }

    /// A connection is refused.
    pub(super) const fn refuse(&mut self) {
        self.refused += 1;
    }

    /// A connection has ended.
    pub(super) fn leave(&mut self, connection: ConnectionId) {
        self.trusted.remove(&connection);
        self.others.retain(|_, connections| {
            connections.remove(&connection);
            !connections.is_empty()
        });
    }

    /// How many places are taken.
    pub(super) fn taken(&self) -> usize {
        self.trusted.len() + self.of_others()
    }

    /// How many connections were refused so far.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    fn of_others(&self) -> usize {
        self.others.values().map(BTreeSet::len).sum()
    }

    fn place_of_trusted(&self) -> Verdict {
        let all = self.allotment.all;
        if self.taken() < all {
            return Verdict::Admit;
        }
        match self.greediest() {
            Some((_, newest)) => Verdict::Displace(newest),
            None => Verdict::Refuse(NoPlace::Socket(all)),
        }
    }

    fn place_of_other(&self, user: Option<u32>) -> Verdict {
        let Allotment { all, others, each } = self.allotment;
        let own = self.others.get(&user).map_or(0, BTreeSet::len);
        if own >= each {
            return Verdict::Refuse(NoPlace::User(each));
        }
        if self.of_others() < others && self.taken() < all {
            return Verdict::Admit;
        }
        match self.greediest() {
            // Otherwise two users could take one place from each other for ever.
            Some((most, newest)) if own + 1 < most => Verdict::Displace(newest),
            _ => Verdict::Refuse(NoPlace::Socket(self.taken())),
        }
    }

    /// How many connections the user with most of them has, and the newest of these.
    fn greediest(&self) -> Option<(usize, ConnectionId)> {
        let users = self.others.values();
        let of_each = users.filter_map(|all| Some((all.len(), *all.last()?)));
        of_each.max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Allotment = Allotment {
        all: 8,
        others: 6,
        each: 4,
    };

    /// Users whose connections come in this order, numbered from 0; 0 is trusted.
    fn come(places: &mut Places, users: &[u32]) -> Vec<Verdict> {
        let first = places.taken() as u64 + 100 * places.refused();
        let come = |(number, user): (usize, &u32)| {
            let owner = match user {
                0 => Owner::Trusted,
                _ => Owner::Other(Some(*user)),
            };
            places.ask(ConnectionId(first + number as u64), owner)
        };
        users.iter().enumerate().map(come).collect()
    }

    #[test]
    fn one_user_gets_a_part_of_the_places_and_is_told_why_there_are_no_more() {
        let mut places = Places::new(SMALL);
        let verdicts = come(&mut places, &[1; 5]);
        assert_eq!(verdicts[..4], [Verdict::Admit; 4]);
        assert_eq!(verdicts[4], Verdict::Refuse(NoPlace::User(4)));
        assert_eq!((places.taken(), places.refused()), (4, 1));
        places.leave(ConnectionId(2));
        assert_eq!(come(&mut places, &[1]), [Verdict::Admit]);
    }

    #[test]
    fn a_user_with_fewer_gets_the_newest_place_of_the_one_with_most() {
        let mut places = Places::new(SMALL);
        come(&mut places, &[1, 1, 1, 1, 2, 2]);
        let third = come(&mut places, &[3]);
        assert_eq!(third, [Verdict::Displace(ConnectionId(3))]);
        // The three of them have 3, 2 and 1 now.
        let again = places.ask(ConnectionId(20), Owner::Other(Some(3)));
        assert_eq!(again, Verdict::Displace(ConnectionId(2)));
        for user in [1, 2, 3] {
            let more = places.ask(ConnectionId(21), Owner::Other(Some(user)));
            assert_eq!(more, Verdict::Refuse(NoPlace::Socket(6)));
        }
        assert_eq!(places.taken(), 6);
    }

    #[test]
    fn the_trusted_always_find_a_place_as_long_as_others_have_one() {
        let mut places = Places::new(SMALL);
        come(&mut places, &[1, 1, 1, 2, 2, 2]);
        let trusted: Vec<Verdict> = (10..16)
            .map(|number| places.ask(ConnectionId(number), Owner::Trusted))
            .collect();
        assert_eq!(trusted[..2], [Verdict::Admit; 2]);
        let displaced = |verdict: &Verdict| matches!(verdict, Verdict::Displace(_));
        assert!(trusted[2..].iter().all(displaced), "{trusted:?}");
        assert_eq!(places.taken(), SMALL.all);
        for number in 20..22 {
            places.ask(ConnectionId(number), Owner::Trusted);
        }
        let ninth = places.ask(ConnectionId(30), Owner::Trusted);
        assert_eq!(ninth, Verdict::Refuse(NoPlace::Socket(8)));
    }
}
