// SPDX-License-Identifier: GPL-3.0-or-later
//! Recorder: CPU per ping while core records everything that happens to it, beside the same
//! service that records nothing.

use super::{Effort, Found, cpu, progress};
use crate::report::Line;
use crate::rig::{Rig, Setup};

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let peers = effort.pick(10_000, 200);
    let mut rig = Rig::without_service(&Setup::new(peers, &[("every", "1")]))?;
    let (mut on, mut off) = (Vec::new(), Vec::new());
    while effort.goes_on([on.clone(), off.clone()]) {
        let run = on.len() + 1;
        // A recording is always a new file.
        let file = rig.site.path(&format!("recording-{run}"));
        let options = ["--record", &*file.to_string_lossy()];
        on.push(cpu::ours(&mut rig, effort, &options)?.micros_each());
        std::fs::remove_file(&file)?;
        off.push(cpu::ours(&mut rig, effort, &[])?.micros_each());
        progress(&format!(
            "recorder: run {run}: on {:.2} us, off {:.2} us",
            on.last().unwrap_or(&0.0),
            off.last().unwrap_or(&0.0)
        ));
    }
    let line = Line::new(
        "CPU per ping with the recorder on",
        format!("{peers} peers, each every 1 s"),
        "us",
        on,
    );
    found
        .lines
        .extend(line.map(|line| line.baseline("off", Ok(off))));
    Ok(())
}
