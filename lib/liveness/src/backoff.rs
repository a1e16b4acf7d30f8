// SPDX-License-Identifier: GPL-3.0-or-later
//! How long to wait after a check that failed, so that a peer that is down does not get many pings,
//! and many peers are not all pinged at the same moment.

use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::pinger::PingPlan;

/// The pause after `failed_checks` (at least 1) failed checks in a row.
///
/// The first pause is exactly the plan's, so that the first retry is as prompt as the manual's.
/// Then it doubles up to the plan's limit, and a quarter of it is random. The limit is applied
/// before the random part: otherwise all peers that are at the limit would have the same pause.
#[must_use]
pub fn pause(plan: &PingPlan, peer: PeerId, failed_checks: u32) -> Duration {
    let first = u64::from(plan.backoff);
    if failed_checks <= 1 {
        return Duration::from_secs(first);
    }
    // 2^32 times any interval is above every limit, so further doubling changes nothing.
    let doublings = (failed_checks - 1).min(32);
    let limit = u64::from(plan.backoff_max).max(first);
    let full = first.saturating_mul(1 << doublings).min(limit) * 1_000;
    let chance = scatter(peer.0 ^ (u64::from(failed_checks) << 40)) % 1_000;
    Duration::from_millis(full - full / 4 * chance / 1_000)
}

/// Spreads `value` evenly over all 64-bit numbers (the finishing step of `SplitMix64`). After the
/// same number of failed checks, a peer always gets the same number, so tests and replays agree.
#[must_use]
pub const fn scatter(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan(backoff: u32, backoff_max: u32) -> PingPlan {
        PingPlan {
            every: 30,
            timeout: 10,
            retries: 5,
            backoff,
            backoff_max,
        }
    }

    #[test]
    fn the_first_pause_is_exact() {
        assert_eq!(pause(&plan(30, 120), PeerId(1), 1), Duration::from_secs(30));
    }

    #[test]
    fn a_fleet_does_not_come_back_in_lockstep() {
        let pauses: std::collections::HashSet<Duration> = (0..100)
            .map(|peer| pause(&plan(30, 120), PeerId(peer), 3))
            .collect();
        assert!(pauses.len() > 80, "{} different pauses", pauses.len());
    }

    proptest! {
        #[test]
        fn pauses_grow_within_their_bounds(
            first in 0u32..1_000_000, limit in 0u32..100_000_000, peer: u64, failed_checks in 2u32..u32::MAX
        ) {
            let pause = pause(&plan(first, limit), PeerId(peer), failed_checks);
            let limit = u64::from(limit.max(first));
            prop_assert!(pause <= Duration::from_secs(limit));
            let full = u64::from(first).saturating_mul(1 << (failed_checks - 1).min(32)).min(limit);
            prop_assert!(pause >= Duration::from_secs(full) * 3 / 4);
        }
    }
}
