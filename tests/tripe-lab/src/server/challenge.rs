// SPDX-License-Identifier: GPL-3.0-or-later
//! Challenges: issued here, carried elsewhere, good for one greeting (tripe-admin.md, 3.5 and 6.6).

use std::net::SocketAddr;

use data_encoding::BASE64_NOPAD;

use super::args::Args;
use super::command::{Done, Outcome};
use super::fail::{Fail, read_base64};
use super::{ClientId, Server};
use crate::datagram::Datagram;
use crate::rng::checksum;

/// What issues challenges and knows which are used up.
#[derive(Debug)]
pub(super) struct Challenges {
    key: u64,
    next: u32,
    /// Lowest number of the window.
    base: u32,
    /// Which numbers of the window have been used, the lowest first.
    used: u32,
}

/// How many numbers the window holds (tripe.h).
const WINDOW: u32 = u32::BITS;

/// Why a challenge is no good; the words of the warning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BadChallenge {
    Length,
    Tag,
    Old,
    Duplicate,
}

impl BadChallenge {
    const fn words(self) -> &'static [&'static str] {
        match self {
            BadChallenge::Length => &["invalid-challenge"],
            BadChallenge::Tag => &["incorrect-tag"],
            BadChallenge::Old => &["replay", "old-sequence"],
            BadChallenge::Duplicate => &["replay", "duplicated-sequence"],
        }
    }
}

/// Length of a challenge: the number and two words of checksum.
const LENGTH: usize = 4 + 16;

impl Challenges {
    pub(super) const fn new(key: u64) -> Self {
        Challenges {
            key,
            next: 0,
            base: 0,
            used: 0,
        }
    }

    fn make(&self, number: u32) -> [u8; LENGTH] {
        let number = number.to_be_bytes();
        let mut challenge = [0; LENGTH];
        challenge[..4].copy_from_slice(&number);
        challenge[4..12].copy_from_slice(&checksum(self.key, &number).to_be_bytes());
        challenge[12..].copy_from_slice(&checksum(!self.key, &number).to_be_bytes());
        challenge
    }

    pub(super) fn issue(&mut self) -> [u8; LENGTH] {
        let challenge = self.make(self.next);
        self.next = self.next.wrapping_add(1);
        challenge
    }

    /// Checks a challenge and uses it up.
    pub(super) fn consume(&mut self, challenge: &[u8]) -> Result<(), BadChallenge> {
        let (number, _) = challenge
            .split_first_chunk()
            .filter(|_| challenge.len() == LENGTH)
            .ok_or(BadChallenge::Length)?;
        let number = u32::from_be_bytes(*number);
        if self.make(number) != challenge {
            return Err(BadChallenge::Tag);
        }
        let place = number.checked_sub(self.base).ok_or(BadChallenge::Old)?;
        let place = if place >= WINDOW {
            let shift = place - (WINDOW - 1);
            self.base += shift;
            self.used = self.used.checked_shr(shift).unwrap_or(0);
            WINDOW - 1
        } else {
            place
        };
        if self.used & 1 << place != 0 {
            return Err(BadChallenge::Duplicate);
        }
        self.used |= 1 << place;
        Ok(())
    }
}

impl Server {
    pub(super) fn getchal(&mut self, client: ClientId) -> Outcome {
        let challenge = BASE64_NOPAD.encode(&self.challenges.issue());
        let line = self.line("INFO").word(&challenge).finish();
        self.send(client, line);
        Ok(Done::Ok)
    }

    fn consume_challenge(&mut self, challenge: &[u8]) -> bool {
        match self.challenges.consume(challenge) {
            Ok(()) => true,
            Err(bad) => {
                let line = self.warn_line("CHAL").words(bad.words());
                self.warn(line);
                false
            }
        }
    }

    pub(super) fn checkchal(&mut self, args: &Args<'_>) -> Outcome {
        let challenge = read_base64(args.word(0))?;
        if self.consume_challenge(&challenge) {
            Ok(Done::Ok)
        } else {
            Err(Fail::InvalidChallenge)
        }
    }

    pub(super) fn greet(&mut self, args: &Args<'_>) -> Outcome {
        let peer = self.find_peer(args.word(0))?;
        let challenge = read_base64(args.word(1))?;
        self.transmit(peer, &Datagram::Greet(challenge));
        Ok(Done::Ok)
    }

    /// A greeting arrived; whose address it is does not matter.
    pub(super) fn greeting(&mut self, from: SocketAddr, challenge: &[u8]) {
        if self.consume_challenge(challenge) {
            let line = self
                .note_line("GREET")
                .word(&BASE64_NOPAD.encode(challenge))
                .addr(from);
            self.note(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_good_once() {
        let mut challenges = Challenges::new(5);
        let one = challenges.issue();
        let two = challenges.issue();
        assert_ne!(one, two);
        assert_eq!(challenges.consume(&two), Ok(()));
        assert_eq!(challenges.consume(&one), Ok(()));
        assert_eq!(challenges.consume(&one), Err(BadChallenge::Duplicate));
        assert_eq!(challenges.consume(&two), Err(BadChallenge::Duplicate));
    }

    #[test]
    fn what_was_not_issued_here_is_refused() {
        let mut challenges = Challenges::new(5);
        let mut forged = Challenges::new(6).issue();
        assert_eq!(challenges.consume(&forged), Err(BadChallenge::Tag));
        forged = challenges.issue();
        forged[19] ^= 1;
        assert_eq!(challenges.consume(&forged), Err(BadChallenge::Tag));
        assert_eq!(challenges.consume(&forged[..19]), Err(BadChallenge::Length));
        assert_eq!(challenges.consume(&[]), Err(BadChallenge::Length));
    }

    #[test]
    fn the_window_moves_with_the_newest() {
        let mut challenges = Challenges::new(5);
        let issued: Vec<_> = (0..100).map(|_| challenges.issue()).collect();
        assert_eq!(challenges.consume(&issued[0]), Ok(()));
        assert_eq!(challenges.consume(&issued[32]), Ok(()));
        assert_eq!(challenges.consume(&issued[1]), Ok(()));
        assert_eq!(challenges.consume(&issued[0]), Err(BadChallenge::Old));
        assert_eq!(challenges.consume(&issued[99]), Ok(()));
        assert_eq!(challenges.consume(&issued[67]), Err(BadChallenge::Old));
        assert_eq!(challenges.consume(&issued[68]), Ok(()));
        assert_eq!(
            challenges.consume(&issued[99]),
            Err(BadChallenge::Duplicate)
        );
    }
}
