// SPDX-License-Identifier: GPL-3.0-or-later
//! Planted faults: none here. `tests/simulation/planted/run` puts another file in place of this in
//! a copy of the sources that has them.

use anyhow::{Result, ensure};

/// Has the planted fault with this number do its harm in this process from now on; 0 is none.
///
/// # Errors
/// If there are no planted faults in this build.
pub(crate) fn set(number: u32) -> Result<()> {
    ensure!(
        number == 0,
        "this build has no planted faults: use tests/simulation/planted/run"
    );
    Ok(())
}
