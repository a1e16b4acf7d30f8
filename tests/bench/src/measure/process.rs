// SPDX-License-Identifier: GPL-3.0-or-later
//! What /proc says about a process: processor time, memory, wake-ups, children.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// Processor time used so far by all threads of a process, to the nanosecond: the scheduler's own
/// count, since that of /proc/PID/stat moves in steps of 10 ms.
pub(crate) fn cpu_time(pid: i32) -> anyhow::Result<Duration> {
    let mut total = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("process {pid} is gone"))?
    {
        // A thread may end while they are counted; it takes its time with it, which is that of a
        // short-lived helper thread at most.
        let Ok(text) = fs::read_to_string(entry?.path().join("schedstat")) else {
            continue;
        };
        let nanos: u64 = text.split(' ').next().unwrap_or_default().parse()?;
        total += nanos;
    }
    Ok(Duration::from_nanos(total))
}

/// Proportional share of memory in bytes: shared pages count in parts, so that sums are honest.
pub(crate) fn pss(pid: i32) -> anyhow::Result<u64> {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss:").map(|kilobytes| kilobytes * 1024)
}

/// Memory that a process has in use at this moment, in bytes, shared pages counted whole. Unlike
/// [`pss`] it costs the process nothing.
pub(crate) fn resident(pid: i32) -> anyhow::Result<u64> {
    field(&format!("/proc/{pid}/status"), "VmRSS:").map(|kilobytes| kilobytes * 1024)
}

/// How many descriptors a process has open.
pub(crate) fn descriptors(pid: i32) -> anyhow::Result<u64> {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))
        .with_context(|| format!("process {pid} is gone"))?;
    Ok(open.count() as u64)
}

/// How often the process has waited and been woken, all of its present threads together.
pub(crate) fn wakeups(pid: i32) -> anyhow::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("process {pid} is gone"))?
    {
        let path = entry?.path().join("status");
        // A thread that has ended since it was listed takes its count with it.
        if let Ok(text) = fs::read_to_string(&path) {
            total += value(&text, "voluntary_ctxt_switches:")
                .with_context(|| format!("no count of switches in {}", path.display()))?;
        }
    }
    Ok(total)
}

/// The children of a process and their names.
pub(crate) fn children(pid: i32) -> anyhow::Result<Vec<(i32, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Ok(candidate) = name.to_string_lossy().parse::<i32>() else {
            continue;
        };
        let Ok(status) = fs::read_to_string(format!("/proc/{candidate}/stat")) else {
            continue;
        };
        // The name stands in parentheses and may hold anything, so cut at the last one.
        let Some((head, rest)) = status.rsplit_once(')') else {
            continue;
        };
        let parent = rest.split_ascii_whitespace().nth(1);
        if parent.and_then(|text| text.parse().ok()) == Some(pid) {
            let name = head.split_once('(').map_or("", |(_, name)| name);
            found.push((candidate, name.to_owned()));
        }
    }
    Ok(found)
}

/// Echo requests that this host has received, which on the loopback interface are those sent.
pub(crate) fn echo_requests() -> anyhow::Result<u64> {
    network_counter("/proc/net/snmp", "Icmp: ", "InEchos")
}

/// UDP datagrams sent so far in the network namespace of a process.
pub(crate) fn sent_datagrams(pid: i32) -> anyhow::Result<u64> {
    network_counter(&format!("/proc/{pid}/net/snmp"), "Udp: ", "OutDatagrams")
}

/// A counter of the system: names are in one line, values in the next that begins the same.
fn network_counter(path: &str, protocol: &str, counter: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path)?;
    let mut lines = text.lines().filter(|line| line.starts_with(protocol));
    let (names, values) = (lines.next(), lines.next());
    names
        .unwrap_or_default()
        .split(' ')
        .zip(values.unwrap_or_default().split(' '))
        .find(|(name, _)| *name == counter)
        .with_context(|| format!("the system does not count {counter}"))?
        .1
        .parse()
        .context("a count that is no number")
}

fn field(path: &str, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    value(&text, name).with_context(|| format!("no {name} in {path}"))
}

fn value(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_about_this_very_process() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(cpu_time(me).unwrap() > Duration::ZERO);
        assert!(pss(me).unwrap() > 100_000);
        assert!(resident(me).unwrap() > 100_000);
        assert!(descriptors(me).unwrap() > 2);
        // Threads come and go while they are counted.
        let coming_and_going = std::thread::spawn(|| {
            for _ in 0..200 {
                std::thread::spawn(|| {}).join().unwrap();
            }
        });
        while !coming_and_going.is_finished() {
            wakeups(me).unwrap();
        }
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
        assert!(children(parent).unwrap().iter().any(|(pid, _)| *pid == me));
    }
}
