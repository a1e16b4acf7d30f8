// SPDX-License-Identifier: GPL-3.0-or-later
//! Peer addresses as the server writes them: a family and its words.

use std::fmt;
use std::net::SocketAddr;

use crate::token;

/// A peer's network address in the words of the `ADDR` command: `INET HOST PORT`, `INET6 HOST
/// PORT`, or, where the server cannot render it, an error number and a message. The words are kept
/// as they came, since all that is asked of them is to be handed on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Address {
    words: Vec<String>,
}

impl Address {
    /// Takes the words as they stand; `None` if there are none.
    #[must_use]
    pub fn from_words(words: Vec<String>) -> Option<Self> {
        (!words.is_empty()).then_some(Address { words })
    }

    /// The words, the family first. Never empty.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        let family = if addr.is_ipv4() { "INET" } else { "INET6" };
        Address {
            words: vec![
                family.into(),
                addr.ip().to_string(),
                addr.port().to_string(),
            ],
        }
    }
}

impl fmt::Display for Address {
    /// The words as one line, quoted as on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&token::join(&self.words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_address_has_three_words_and_no_words_are_no_address() {
        let address = |text: &str| Address::from(text.parse::<SocketAddr>().unwrap()).to_string();
        assert_eq!(address("192.0.2.1:4070"), "INET 192.0.2.1 4070");
        assert_eq!(address("[2001:db8::1]:4070"), "INET6 2001:db8::1 4070");
        assert_eq!(Address::from_words(Vec::new()), None);
    }
}
