// SPDX-License-Identifier: GPL-3.0-or-later
//! Which addresses the server has peers at, for lookups of host names.
//!
//! Most sites look no name up, and hubs have very many peers. So the index is made when it is first
//! asked, by one walk, and kept up to date from then on.

use std::collections::BTreeMap;

/// The addresses of peers, in the server's words, each with how many peers were told to have it.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses(Option<BTreeMap<Box<str>, u32>>);

impl Addresses {
    /// A peer that had the first address, if it had one, has the second, if it has one.
    pub(super) fn change(&mut self, from: Option<&str>, to: Option<&str>) {
        let Some(index) = &mut self.0 else {
            return;
        };
        if let Some(from) = from
            && let Some(peers) = index.get_mut(from)
        {
            *peers -= 1;
            if *peers == 0 {
                index.remove(from);
            }
        }
        if let Some(to) = to {
            *index.entry(to.into()).or_default() += 1;
        }
    }

    /// Whether a peer has this address; `all` are the addresses of all peers.
    pub(super) fn contains<'a>(
        &mut self,
        address: &str,
        all: impl Iterator<Item = &'a str>,
    ) -> bool {
        let index = self.0.get_or_insert_with(|| {
            let mut index = BTreeMap::new();
            for address in all {
                *index.entry(address.into()).or_default() += 1;
            }
            index
        });
        index.contains_key(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_made_once_and_follows_from_then_on() {
        let mut addresses = Addresses::default();
        addresses.change(None, Some("lost, since nobody has asked"));
        assert!(addresses.contains("a", ["a", "a", "b"].into_iter()));
        let has = |addresses: &mut Addresses, address| {
            addresses.contains(address, std::iter::from_fn(|| panic!("another walk")))
        };
        addresses.change(Some("a"), Some("c"));
        assert!(has(&mut addresses, "a"), "two had it");
        addresses.change(Some("a"), None);
        assert!(!has(&mut addresses, "a"));
        assert!(has(&mut addresses, "b") && has(&mut addresses, "c"));
        addresses.change(Some("never there"), None);
        assert!(!has(&mut addresses, "lost, since nobody has asked"));
    }
}
