// SPDX-License-Identifier: GPL-3.0-or-later
//! The machine that the figures were measured on.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::rows::progress;

/// What figures depend on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Machine {
    /// The processor's model, as it names itself.
    pub processor: String,
    /// How many processors there are.
    pub processors: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The compiler.
    pub rustc: String,
    /// How many processes wanted to run on average over the last minute, before and after.
    pub load: [f64; 2],
}

/// Below this load a machine does nothing else that would be seen in figures.
const QUIET: f64 = 0.3;

/// How long at most to wait for it: the load falls to a tenth in three minutes.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until work that has just ended, as of the compiler, is no longer seen in the load.
pub(crate) fn wait_until_quiet() {
    let started = Instant::now();
    if load() < QUIET {
        return;
    }
    progress(&format!(
        "waiting until the load is below {QUIET}, {} s at most; it is {}",
        PATIENCE.as_secs(),
        load()
    ));
    while load() >= QUIET && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_secs(1));
    }
}

impl Machine {
    /// This one, now.
    pub(crate) fn look() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown", |(_, name)| name);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            processor: processor.to_owned(),
            processors: std::thread::available_parallelism().map_or(0, Into::into),
            // Without what a distributor or an owner adds to it.
            kernel: kernel
                .trim()
                .split('-')
                .next()
                .unwrap_or_default()
                .to_owned(),
            rustc: rustc_version(),
            load: [load(); 2],
        }
    }

    /// What is to stand above the figures.
    pub(crate) fn text(&self, runs: usize) -> String {
        format!(
            "{}Medians of {runs} runs, of up to twice as many where they differed much\n",
            self.where_and_load()
        )
    }

    /// Which machine it is, and how busy it was.
    pub(crate) fn where_and_load(&self) -> String {
        let [before, after] = self.load;
        format!(
            "Machine: {}, {} processors, Linux {}\nCompiler: {}\n\
             Load: {before} at the beginning, {after} at the end\n",
            self.processor, self.processors, self.kernel, self.rustc
        )
    }

    /// Notes the load at the end.
    pub(crate) fn finish(&mut self) {
        self.load[1] = load();
    }
}

/// The compiler's version, in its own words.
pub(crate) fn rustc_version() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Command::new(rustc)
        .arg("--version")
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or_default()
}
