// SPDX-License-Identifier: GPL-3.0-or-later
//! A bare tokio timer wheel: one timer for each peer, which does nothing but note how late it was.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::measure::figures::Samples;

/// How long timers run before they count, so that starting them all disturbs nobody.
const WARM_UP: Duration = Duration::from_secs(1);

/// Runs `peers` timers for a while and prints the lateness in milliseconds: p50, p99, most.
pub(crate) fn play(peers: u32, period: Duration, length: Duration) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let late: Arc<Mutex<Vec<f64>>> = Arc::default();
    runtime.block_on(async {
        let start = Instant::now() + WARM_UP;
        for n in 0..peers {
            let late = Arc::clone(&late);
            tokio::spawn(async move {
                let mut due = start + period.mul_f64(f64::from(n) / f64::from(peers));
                loop {
                    sleep_until(due).await;
                    let millis = (Instant::now() - due).as_secs_f64() * 1e3;
                    late.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(millis);
                    due += period;
                }
            });
        }
        sleep(WARM_UP + length).await;
    });
    let late = std::mem::take(&mut *late.lock().unwrap_or_else(PoisonError::into_inner));
    let late = Samples::new(late);
    let (p50, p99) = (late.percentile(0.5), late.percentile(0.99));
    println!("{p50} {p99} {}", late.max());
    Ok(())
}
