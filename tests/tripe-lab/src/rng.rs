// SPDX-License-Identifier: GPL-3.0-or-later
//! Numbers from a seed: the same seed gives the same run.

/// A small generator (splitmix64): good enough to vary a test, good for nothing secret.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

/// The odd constant of splitmix64: the golden ratio in 64 bits.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The mixing function of splitmix64: every bit of the input stirs every bit of the output.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Rng {
    /// A generator whose numbers follow from `seed` alone.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Rng { state: seed }
    }

    /// A generator for another purpose, so that drawing from one does not disturb the other.
    #[must_use]
    pub const fn fork(&self, purpose: u64) -> Self {
        Rng {
            state: mix(self.state ^ purpose.wrapping_mul(GOLDEN)),
        }
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        // The bias of a plain remainder is far below anything a test could see.
        if bound == 0 { 0 } else { self.next() % bound }
    }
}

/// A keyed checksum of `bytes`. It stands in for a message authentication code: nobody hits it by
/// chance, and that is all the lab needs. It is not secure.
#[must_use]
pub fn checksum(key: u64, bytes: &[u8]) -> u64 {
    let mut sum = mix(key ^ GOLDEN);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        for (slot, byte) in word.iter_mut().zip(chunk) {
            *slot = *byte;
        }
        sum = mix(sum ^ u64::from_le_bytes(word)).wrapping_add(GOLDEN);
    }
    mix(sum ^ bytes.len() as u64 ^ key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_all() {
        let (mut one, mut two, mut other) = (Rng::new(7), Rng::new(7), Rng::new(8));
        let first: Vec<u64> = (0..10).map(|_| one.next()).collect();
        assert_eq!(first, (0..10).map(|_| two.next()).collect::<Vec<_>>());
        assert_ne!(first, (0..10).map(|_| other.next()).collect::<Vec<_>>());
        assert_ne!(Rng::new(7).fork(1).next(), Rng::new(7).fork(2).next());
    }

    #[test]
    fn checksums_depend_on_key_bytes_and_length() {
        assert_eq!(checksum(1, b"abc"), checksum(1, b"abc"));
        assert_ne!(checksum(1, b"abc"), checksum(2, b"abc"));
        assert_ne!(checksum(1, b"abc"), checksum(1, b"abd"));
        assert_ne!(checksum(1, b"abc"), checksum(1, b"abc\0"));
    }
}
