// SPDX-License-Identifier: GPL-3.0-or-later
//! One lookup of a host name by the system's resolver: what the child of a lookup does.
//!
//! The resolver reads files, asks name servers and loads modules of others, and cannot be
//! interrupted. So it runs in a process of its own, which is killed if it takes too long.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use connect_ipc::foreign::Foreign;
use connect_ipc::lookup::{Family, Found, LOOKUP_LIMIT, MAX_ADDRESSES};

/// The first argument of a child that is to look a name up.
const WORD: &str = "resolve";

/// The arguments of the child that looks this name up.
pub(crate) fn arguments(host: &str, family: Family) -> [&str; 3] {
    [WORD, family.word(), host]
}

/// Looks a name up if the arguments ask for that, and writes a [`Found`] as one line of JSON.
/// `None` if they ask for something else.
pub(crate) fn child(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let words: Vec<OsString> = arguments.into_iter().skip(1).take(4).collect();
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let [WORD, family, host] = words[..] else {
        return None;
    };
    let family = Family::named(family)?;
    let found = within_limit(host, family);
    let written = serde_json::to_string(&found)
        .map_err(io::Error::other)
        .and_then(|line| writeln!(io::stdout(), "{line}"));
    Some(written.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}

/// The same within the limit, so that a child whose helper was killed does not stay.
fn within_limit(host: &str, family: Family) -> Found {
    let (sender, receiver) = mpsc::channel();
    let host = host.to_owned();
    let lookup = thread::Builder::new().spawn(move || sender.send(look_up(&host, family)));
    match lookup {
        Ok(_) => receiver
            .recv_timeout(LOOKUP_LIMIT)
            .unwrap_or_else(|_| unanswered()),
        Err(error) => Found::Failed(format!("cannot start a thread: {error}")),
    }
}

/// What is said of a lookup that takes too long.
pub(crate) fn unanswered() -> Found {
    Found::Failed(format!("no answer within {} s", LOOKUP_LIMIT.as_secs()))
}

fn look_up(host: &str, family: Family) -> Found {
    match (host, 0).to_socket_addrs() {
        Ok(found) => sorted_out(found.map(|it| it.ip()), family),
        Err(error) => Found::Failed(reason(&error)),
    }
}

/// Why a lookup failed, in the words of the system's resolver. The standard library puts words of
/// its own before these, so that little room would be left for them.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.strip_prefix("failed to lookup address information: ");
    Foreign::new(words.unwrap_or(&text)).to_string()
}

/// The addresses that can be a peer's, each once and in the same order.
fn sorted_out(found: impl Iterator<Item = IpAddr>, family: Family) -> Found {
    let mut addresses = Vec::new();
    for address in found.filter(|it| family.admits(it)) {
        let is_host = !address.is_unspecified() && !address.is_multicast();
        if is_host && !addresses.contains(&address) && addresses.len() < MAX_ADDRESSES {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        let family = family.word();
        return Found::Failed(format!(
            "the name has no address of the family {family} that a peer could have"
        ));
    }
    Found::Addresses(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(addresses: &[&str], family: Family) -> Vec<String> {
        let parsed = addresses.iter().map(|it| it.parse().unwrap());
        match sorted_out(parsed, family) {
            Found::Addresses(kept) => kept.iter().map(ToString::to_string).collect(),
            Found::Failed(_) => Vec::new(),
        }
    }

    #[test]
    fn addresses_are_kept_once_by_family_and_only_if_a_peer_can_have_them() {
        let found = [
            "192.0.2.2",
            "2001:db8::1",
            "192.0.2.1",
            "192.0.2.2",
            "0.0.0.0",
            "ff02::1",
        ];
        assert_eq!(kept(&found, Family::Inet), ["192.0.2.2", "192.0.2.1"]);
        assert_eq!(kept(&found, Family::Inet6), ["2001:db8::1"]);
        assert_eq!(kept(&found, Family::Any).len(), 3);
        assert_eq!(kept(&["0.0.0.0"], Family::Any), [""; 0]);
        let many: Vec<String> = (0..200).map(|it| format!("192.0.2.{it}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(kept(&many, Family::Any).len(), MAX_ADDRESSES);
    }

    #[test]
    fn only_the_arguments_of_a_lookup_make_one() {
        let of = |words: &[&str]| child(words.iter().map(OsString::from)).is_some();
        assert!(!of(&["connect-ifscripts"]));
        assert!(!of(&["connect-ifscripts", "--children", "1", "x"]));
        assert!(!of(&["connect-ifscripts", WORD, "INET7", "localhost"]));
        assert!(!of(&[
            "connect-ifscripts",
            WORD,
            "INET",
            "localhost",
            "more"
        ]));
    }

    #[test]
    fn the_reason_of_a_failure_is_the_resolver_s_and_whole() {
        let words = "Temporary failure in name resolution";
        let told = format!("failed to lookup address information: {words}");
        assert_eq!(reason(&io::Error::other(told)), words);
        let long = "x".repeat(100);
        assert!(reason(&io::Error::other(long)).len() < 70);
        // The prefix is that of the standard library in use. No name server is asked for a name
        // of this length.
        let Found::Failed(told) = look_up(&"x".repeat(300), Family::Any) else {
            panic!("a name that cannot exist has an address");
        };
        assert!(!told.contains("lookup address information"), "{told}");
    }

    #[test]
    fn a_numeric_name_is_its_own_address() {
        let own = Found::Addresses(vec!["127.0.0.1".parse().unwrap()]);
        assert_eq!(within_limit("127.0.0.1", Family::Any), own);
        assert!(matches!(
            within_limit("127.0.0.1", Family::Inet6),
            Found::Failed(_)
        ));
        assert!(matches!(
            within_limit("a\0b", Family::Any),
            Found::Failed(_)
        ));
    }
}
