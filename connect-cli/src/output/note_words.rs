// SPDX-License-Identifier: GPL-3.0-or-later
//! The words of a notification, as the server sent them.

use tripe_admin::{Address, Note};

/// The words after `NOTE`.
pub(crate) fn words(note: Note) -> Vec<String> {
    let with = |kind: &str, words: Vec<String>| {
        let mut all = vec![kind.to_owned()];
        all.extend(words);
        all
    };
    let and = |mut words: Vec<String>, address: &Address| {
        words.extend_from_slice(address.words());
        words
    };
    match note {
        Note::Add {
            peer,
            ifname,
            address,
        } => with("ADD", and(vec![peer, ifname], &address)),
        Note::Kill { peer } => with("KILL", vec![peer]),
        Note::Greet { challenge, address } => with("GREET", and(vec![challenge], &address)),
        Note::Knock { name, address } => with("KNOCK", and(vec![name], &address)),
        Note::KxStart { peer } => with("KXSTART", vec![peer]),
        Note::KxDone { peer } => with("KXDONE", vec![peer]),
        Note::NewAddr { peer, address } => with("NEWADDR", and(vec![peer], &address)),
        Note::NewIfname { peer, old, new } => with("NEWIFNAME", vec![peer, old, new]),
        Note::SvcClaim { service, version } => with("SVCCLAIM", vec![service, version]),
        Note::SvcRelease { service } => with("SVCRELEASE", vec![service]),
        Note::Daemon => with("DAEMON", Vec::new()),
        Note::User(words) => with("USER", words),
        Note::Other(words) => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripe_admin::Words;

    #[test]
    fn every_note_is_given_as_it_came() {
        for line in [
            "ADD alice tripe0 INET 192.0.2.1 4070",
            "KILL alice",
            "GREET AAAA INET6 2001:db8::1 4070",
            "KNOCK a.b INET 192.0.2.1 4070",
            "KXSTART alice",
            "KXDONE alice",
            "NEWADDR alice INET 192.0.2.9 4070",
            "NEWIFNAME alice tripe0 vpn-alice",
            "SVCCLAIM connect 2.0.0",
            "SVCRELEASE connect",
            "DAEMON",
            "USER connect ping-ok alice",
            "KILL",
            "FUTURE thing",
        ] {
            let note = Note::from_words(Words::new(line));
            assert_eq!(words(note), tripe_admin::split(line), "{line}");
        }
    }
}
