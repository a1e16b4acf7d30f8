// SPDX-License-Identifier: GPL-3.0-or-later
//! An alarm that knows its own setting: setting it to the same instant again costs nothing, and it
//! rings once for each setting.

use std::future::pending;
use std::io;

use connect_ipc::clock::Monotonic;

use crate::alarm::Alarm;
use crate::clock;

/// The deadline of a loop. Each turn calls [`Deadline::set`] with the instant at which something is
/// due next, and then waits for [`Deadline::passed`] or anything else.
#[derive(Debug)]
pub struct Deadline {
    alarm: Alarm,
    set: Option<Monotonic>,
}

impl Deadline {
    /// A deadline that is not set.
    ///
    /// # Errors
    /// If the system is out of descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Deadline {
            alarm: Alarm::new()?,
            set: None,
        })
    }

    /// Sets the deadline, or removes it.
    ///
    /// # Errors
    /// If the instant is beyond what the system counts.
    pub fn set(&mut self, at: Option<Monotonic>) -> io::Result<()> {
        // A deadline that is removed may still ring, and then nobody listens.
        if let Some(at) = at
            && self.set != Some(at)
        {
            self.alarm.set(at)?;
        }
        self.set = at;
        Ok(())
    }

    /// Waits until the deadline has passed, which removes it; forever while there is none. Cancel
    /// safe. Only one task may wait at a time.
    ///
    /// # Errors
    /// If the runtime is ending.
    pub async fn passed(&mut self) -> io::Result<()> {
        let Some(at) = self.set else {
            return pending().await;
        };
        // It may have rung for an earlier setting.
        while clock::now() < at {
            self.alarm.rings().await?;
        }
        self.set = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn it_passes_once_for_each_setting_and_never_early() {
        let mut deadline = Deadline::new().unwrap();
        for millis in [2, 0, 5] {
            let at = clock::now() + Duration::from_millis(millis);
            deadline.set(Some(at)).unwrap();
            deadline.set(Some(at)).unwrap();
            deadline.passed().await.unwrap();
            assert!(clock::now() >= at);
        }
        let hour = clock::now() + Duration::from_secs(3600);
        for (later, passes) in [
            (None, false),
            (Some(hour), false),
            (Some(Monotonic(0)), true),
        ] {
            // What rings for an earlier setting is not taken for this one.
            deadline.set(Some(Monotonic(1))).unwrap();
            deadline.set(later).unwrap();
            tokio::select! {
                biased;
                rung = deadline.passed() => {
                    rung.unwrap();
                    assert!(passes);
                }
                () = tokio::task::yield_now() => assert!(!passes),
            }
        }
    }
}
